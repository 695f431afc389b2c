package intents

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/open-covenant/covenant-git/envelope/intent"
)

// Stats are how work went, by the moves that count.
type Stats struct {
	From, To   time.Time // the first move that is counted, and the last; zero when there are none
	Opened     int       // intents
	Integrated int       // moves there
	Moves      int
	Examined   int // intents that were in self_review, cross_review or validation
	Repaired   int // of these, that were in repair
	Validated  int // moves from validation to ready or repair
	Failed     int // of these, to repair
	Lead       Span
	States     []Stay // in the order of [intent.States]
	Roles      map[intent.Role]int
	Worst      []Worst // those with most repairs, then those that took longest; at most worstListed
}

// Span is how long something took.
type Span struct {
	N           int
	Median, P90 time.Duration
}

// Stay is how long intents were in a state, and how many are there now.
type Stay struct {
	State intent.State
	Now   int
	Span
}

// Worst is an intent that went badly.
type Worst struct {
	Row
	Repairs int
	Took    time.Duration // from its opening to its last move
}

const worstListed = 5

// Stats counts what happened since a time; zero is ever. An intent's stay in a state counts when it ended since then.
func (b *Book) Stats(since time.Time) *Stats {
	s := &Stats{Roles: map[intent.Role]int{}}
	stays := make([][]int64, len(intent.States))
	now := make([]int, len(intent.States))
	var lead []int64
	roles := make([]int, len(intent.Roles))
	after, first, last := int64(math.MinInt64), int64(math.MaxInt64), int64(math.MinInt64)
	if !since.IsZero() {
		after = since.Unix()
	}
	var worst []worse
	for i := range b.rows.len() {
		was, opened, w := pace{to: -1}, int64(0), worse{row: i}
		examined := false
		for n, p := range b.rows.trail(i).paces {
			if n == 0 {
				opened = p.at
				if opened >= after {
					s.Opened++
				}
				was = p
				continue
			}
			if p.at >= after {
				s.Moves++
				if p.role >= 0 {
					roles[p.role]++
				}
				first, last = min(first, p.at), max(last, p.at)
				stays[was.to] = append(stays[was.to], p.at-was.at)
				w.took = p.at - opened
				switch intent.States[p.to] {
				case intent.SelfReview, intent.CrossReview, intent.Validation:
					examined = true
				case intent.Repair:
					w.repairs++
				case intent.Integrated:
					s.Integrated++
					lead = append(lead, w.took)
				}
				if intent.States[was.to] == intent.Validation {
					switch intent.States[p.to] {
					case intent.Repair:
						s.Failed++
						s.Validated++
					case intent.Ready:
						s.Validated++
					}
				}
			}
			was = p
		}
		if was.to < 0 {
			continue // it is none
		}
		now[was.to]++
		if examined || w.repairs > 0 {
			s.Examined++
		}
		if w.repairs > 0 {
			s.Repaired++
			worst = b.worst(worst, w)
		}
	}
	if s.Moves > 0 {
		s.From, s.To = time.Unix(first, 0).UTC(), time.Unix(last, 0).UTC()
	}
	for i, n := range roles {
		if n > 0 {
			s.Roles[intent.Roles[i]] = n
		}
	}
	for i, state := range intent.States {
		s.States = append(s.States, Stay{state, now[i], spanOf(stays[i])})
	}
	s.Lead = spanOf(lead)
	for _, w := range worst {
		s.Worst = append(s.Worst, Worst{*b.rows.at(w.row), w.repairs, time.Duration(w.took) * time.Second})
	}
	return s
}

// worse is an intent that may be among the worst.
type worse struct {
	row, repairs int
	took         int64 // seconds
}

// worst takes one more in, and leaves those that went worst, the worst first.
func (b *Book) worst(list []worse, w worse) []worse {
	at, _ := slices.BinarySearchFunc(list, w, func(x, w worse) int {
		if c := cmp.Or(cmp.Compare(w.repairs, x.repairs), cmp.Compare(w.took, x.took)); c != 0 {
			return c
		}
		return cmp.Compare(b.rows.id(x.row), b.rows.id(w.row))
	})
	if at >= worstListed {
		return list
	}
	list = slices.Insert(list, at, w)
	return list[:min(len(list), worstListed)]
}

// RolesByMoves lists the roles, those that moved most first.
func (s *Stats) RolesByMoves() []intent.Role {
	return slices.SortedFunc(maps.Keys(s.Roles), func(a, b intent.Role) int { return cmp.Or(cmp.Compare(s.Roles[b], s.Roles[a]), cmp.Compare(a, b)) })
}

// spanOf takes the middle and the ninth tenth of seconds: of an even number the lower one, so that both are times that something took.
func spanOf(d []int64) Span {
	if len(d) == 0 {
		return Span{}
	}
	slices.Sort(d)
	at := func(tenths int) time.Duration { return time.Duration(d[(len(d)*tenths+9)/10-1]) * time.Second }
	return Span{len(d), at(5), at(9)}
}
