package hooks

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What is told of a refused push: Git puts "remote: " before each line.
const (
	maxComplaints = 14
	maxOfCommit   = 3 // findings
	maxHints      = 3
	maxComplaint  = 400 // characters
)

// verdict says what is wrong to who pushes, and returns the refusal.
func (p *pushed) verdict() error {
	if len(p.wrong) == 0 {
		return nil
	}
	for _, w := range p.wrong {
		p.in.say("%s", w)
	}
	if p.more > 0 {
		p.in.say("and %d more", p.more)
	}
	return &RefusedError{Err: errors.New("nothing of this push was taken"), Hint: p.hints[:min(len(p.hints), maxHints)], refusals: p.refusals()}
}

// refusals are what is recorded of a push: the refs that something is wrong with, and what; where it is the push itself, all of it, with its first ref.
func (p *pushed) refusals() []refusal {
	var out []refusal
	for _, m := range p.moves {
		var why []string
		for _, w := range p.wrong {
			if w.ref == m.ref {
				why = append(why, w.String())
			}
		}
		if len(why) > 0 {
			out = append(out, refusal{move: m, reason: strings.Join(why, "\n")})
		}
	}
	if len(out) == 0 && len(p.moves) > 0 {
		var why []string
		for _, w := range p.wrong {
			why = append(why, w.String())
		}
		out = append(out, refusal{move: p.moves[0], reason: strings.Join(why, "\n")})
	}
	return out
}

// A complaint is one thing that is wrong with a push.
type complaint struct {
	ref  string // it is about; "" where it is the push itself
	text string
}

func (c complaint) String() string {
	if c.ref == "" {
		return plain(c.text)
	}
	return plain(c.ref + ": " + c.text)
}

// refuse notes what is wrong with a ref of the push, "" for the push itself, and what to do about it.
func (p *pushed) refuse(ref, hint, format string, a ...any) {
	if len(p.wrong) == maxComplaints {
		p.more++
		return
	}
	p.wrong = append(p.wrong, complaint{ref, fmt.Sprintf(format, a...)})
	p.hint(hint)
}

func (p *pushed) hint(hint string) {
	if hint != "" && !slices.Contains(p.hints, hint) {
		p.hints = append(p.hints, hint)
	}
}

// plain makes a line, and no long one, of what somebody else chose the words of.
func plain(s string) string {
	s = visible(s)
	if r := []rune(s); len(r) > maxComplaint {
		return string(r[:maxComplaint]) + "…"
	}
	return s
}

// visible makes one line of text in which what a terminal would obey, or nobody would see, is written as an escape.
func visible(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
		i += n
	}
	return b.String()
}
