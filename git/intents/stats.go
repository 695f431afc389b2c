package intents

import (
	"cmp"
	"maps"
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
	stays := map[intent.State][]time.Duration{}
	now := map[intent.State]int{}
	var lead []time.Duration
	for i := range b.rows {
		r := &b.rows[i]
		paces := r.Trail.Paces()
		if r.Void != "" || len(paces) == 0 {
			continue
		}
		now[r.State]++
		if !paces[0].At.Before(since) {
			s.Opened++
		}
		w := Worst{Row: *r}
		examined := false
		for i := 1; i < len(paces); i++ {
			p, was := paces[i], paces[i-1]
			if p.At.Before(since) {
				continue
			}
			s.Moves++
			s.Roles[p.Role]++
			if s.From.IsZero() || p.At.Before(s.From) {
				s.From = p.At
			}
			if p.At.After(s.To) {
				s.To = p.At
			}
			stays[was.To] = append(stays[was.To], p.At.Sub(was.At))
			w.Took = p.At.Sub(paces[0].At)
			switch p.To {
			case intent.SelfReview, intent.CrossReview, intent.Validation:
				examined = true
			case intent.Repair:
				w.Repairs++
			case intent.Integrated:
				s.Integrated++
				lead = append(lead, w.Took)
			}
			if was.To == intent.Validation && (p.To == intent.Ready || p.To == intent.Repair) {
				s.Validated++
				if p.To == intent.Repair {
					s.Failed++
				}
			}
		}
		if examined || w.Repairs > 0 {
			s.Examined++
		}
		if w.Repairs > 0 {
			s.Repaired++
			s.Worst = append(s.Worst, w)
		}
	}
	for _, state := range intent.States {
		s.States = append(s.States, Stay{state, now[state], spanOf(stays[state])})
	}
	s.Lead = spanOf(lead)
	slices.SortFunc(s.Worst, func(a, b Worst) int {
		return cmp.Or(cmp.Compare(b.Repairs, a.Repairs), cmp.Compare(b.Took, a.Took), cmp.Compare(a.ID, b.ID))
	})
	s.Worst = s.Worst[:min(len(s.Worst), worstListed)]
	return s
}

// RolesByMoves lists the roles, those that moved most first.
func (s *Stats) RolesByMoves() []intent.Role {
	return slices.SortedFunc(maps.Keys(s.Roles), func(a, b intent.Role) int { return cmp.Or(cmp.Compare(s.Roles[b], s.Roles[a]), cmp.Compare(a, b)) })
}

// spanOf takes the middle and the ninth tenth: of an even number the lower one, so that both are times that something took.
func spanOf(d []time.Duration) Span {
	if len(d) == 0 {
		return Span{}
	}
	slices.Sort(d)
	at := func(tenths int) time.Duration { return d[(len(d)*tenths+9)/10-1] }
	return Span{len(d), at(5), at(9)}
}
