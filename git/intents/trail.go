package intents

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope/intent"
)

// Trail is the moves of an intent in few bytes: for each, in their order, a letter for the state it led to, one for the role, and the seconds since
// the move before it, or since 1970, in base 36; with "." between them. The first stands for the opening.
type Trail string

// pace is one move of a trail. The first stands for the opening, and has no role.
type pace struct {
	to   int   // index of the state
	role int   // index of the role; -1 for none
	at   int64 // seconds since 1970
}

func trailOf(s *intent.Intent) Trail {
	opening := s.Opening()
	if opening == nil || s.Void != "" {
		return ""
	}
	var b strings.Builder
	last := int64(0)
	add := func(to intent.State, role intent.Role, at string) {
		t, _ := time.Parse(time.RFC3339, at)
		now := max(last, t.Unix()) // times are claims: nothing ends before it begins
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteByte('A' + byte(slices.Index(intent.States, to)))
		b.WriteByte('a' + byte(slices.Index(intent.Roles, role)+1))
		b.WriteString(strconv.FormatInt(now-last, 36))
		last = now
	}
	first := opening.Opened.State
	if first == "" {
		first = intent.Proposed
	}
	add(first, "", opening.Time)
	for _, m := range s.Moves() {
		add(m.Moved.To, m.Moved.Role, m.Time)
	}
	return Trail(b.String())
}

// paces reads a trail, up to what can't be read.
func (t Trail) paces(yield func(int, pace) bool) {
	last := int64(0)
	rest := string(t)
	for n := 0; rest != ""; n++ {
		var part string
		part, rest, _ = strings.Cut(rest, ".")
		if len(part) < 3 {
			return
		}
		p := pace{to: int(part[0]) - 'A', role: int(part[1]) - 'a' - 1}
		seconds, err := strconv.ParseInt(part[2:], 36, 64)
		if err != nil || p.to < 0 || p.to >= len(intent.States) || p.role < -1 || p.role >= len(intent.Roles) {
			return
		}
		last += seconds
		p.at = last
		if !yield(n, p) {
			return
		}
	}
}
