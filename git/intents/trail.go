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

// Pace is one move of a trail. The first stands for the opening, and has no role.
type Pace struct {
	To   intent.State
	Role intent.Role
	At   time.Time
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

// Paces reads a trail.
func (t Trail) Paces() []Pace {
	if t == "" {
		return nil
	}
	out := make([]Pace, 0, strings.Count(string(t), ".")+1)
	last := int64(0)
	for part := range strings.SplitSeq(string(t), ".") {
		if len(part) < 3 {
			return nil
		}
		state, role := int(part[0]-'A'), int(part[1]-'a')-1
		n, err := strconv.ParseInt(part[2:], 36, 64)
		if err != nil || state >= len(intent.States) || role >= len(intent.Roles) {
			return nil
		}
		last += n
		p := Pace{To: intent.States[state], At: time.Unix(last, 0).UTC()}
		if role >= 0 {
			p.Role = intent.Roles[role]
		}
		out = append(out, p)
	}
	return out
}
