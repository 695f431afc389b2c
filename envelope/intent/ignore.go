package intent

import (
	"strings"
	"unicode/utf8"
)

// Limits of a file of rules.
const (
	MaxRules    = 256
	MaxRuleFile = 16 << 10 // bytes
)

// A Rule keeps work whose text it matches from being asked for: a line of .covenantignore.
type Rule struct {
	Text   string // as it was written
	keep   bool   // "!": what it matches is asked for all the same
	anchor bool   // "/": at the beginning of the text only
	glob   []rune
}

// anyRun stands in a rule for "**", which is any run of characters.
const anyRun = -1

// ParseRules reads rules, a line each. Empty lines, and those that begin with "#", are none. "!" before a rule takes away what earlier ones match,
// "/" ties it to the beginning of the text; else it may match anywhere. "*" is any run of characters but "/", "?" one that is not "/", "**" any run.
func ParseRules(text string) ([]Rule, error) {
	if len(text) > MaxRuleFile || !utf8.ValidString(text) {
		return nil, invalid("rules have at most %d bytes of UTF-8", MaxRuleFile)
	}
	var out []Rule
	for l := range strings.SplitSeq(text, "\n") {
		l = strings.TrimSpace(l)
		if l == "" || l[0] == '#' {
			continue
		}
		r := Rule{Text: l}
		l, r.keep = strings.CutPrefix(l, "!")
		l, r.anchor = strings.CutPrefix(l, "/")
		if l == "" {
			continue
		}
		for i := 0; i < len(l); {
			if strings.HasPrefix(l[i:], "**") {
				r.glob = append(r.glob, anyRun)
				i += 2
				continue
			}
			c, n := utf8.DecodeRuneInString(l[i:])
			r.glob = append(r.glob, c)
			i += n
		}
		if out = append(out, r); len(out) > MaxRules {
			return nil, invalid("more than %d rules", MaxRules)
		}
	}
	return out, nil
}

// Ignored returns the rule by which a text is not asked for: the last one that matches decides.
func Ignored(rules []Rule, text string) (string, bool) {
	for i := len(rules) - 1; i >= 0; i-- {
		if rules[i].matches(text) {
			return rules[i].Text, !rules[i].keep
		}
	}
	return "", false
}

// matches reports whether the rule matches a beginning of the text, or, where it is not tied to that, of the rest of it from any place on. It looks at
// each character once, with all places of the rule that it may be at.
func (r *Rule) matches(text string) bool {
	at, next := make([]bool, len(r.glob)+1), make([]bool, len(r.glob)+1)
	enter := func(set []bool, i int) {
		for set[i] = true; i < len(r.glob) && (r.glob[i] == '*' || r.glob[i] == anyRun); i++ {
			set[i+1] = true // a run may be empty
		}
	}
	enter(at, 0)
	for _, c := range text {
		if at[len(r.glob)] {
			return true
		}
		clear(next)
		for i, g := range r.glob {
			if !at[i] {
				continue
			}
			switch {
			case g == anyRun, g == '*' && c != '/':
				enter(next, i)
			case g == '?' && c != '/', g == c && g != '*' && g != '?':
				enter(next, i+1)
			}
		}
		if !r.anchor {
			enter(next, 0)
		}
		at, next = next, at
	}
	return at[len(r.glob)]
}
