package shell

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// value is what a word may be.
type value struct {
	text    string
	known   bool   // text is all of it
	glob    bool   // it has signs that stand for other names
	choice  bool   // it is one of those that a variable may hold
	found   bool   // it is what a search finds there
	sure    int    // where it is not known: how many bytes of text surely begin it
	pattern string // where glob: text, with those signs quoted that stand for themselves
}

// values returns what a word may be: several where braces, arrays or variables say so. What is not known has the parts that are.
func (a *analysis) values(w *syntax.Word) []value {
	if w != nil && len(w.Parts) <= maxParts {
		if lists := a.fields(w); lists != nil {
			return slices.Concat(lists...)
		}
	}
	return a.word(w)
}

// unsplit is values where no value of a variable is split, as in an assignment.
func (a *analysis) unsplit(w *syntax.Word) []value {
	before := a.still
	a.still = true
	defer func() { a.still = before }()
	return a.word(w)
}

func (a *analysis) word(w *syntax.Word) []value {
	if w == nil {
		return []value{{known: true}}
	}
	braces := 0
	for _, p := range w.Parts {
		if l, ok := p.(*syntax.Lit); ok {
			braces += strings.Count(l.Value, "{")
		}
	}
	if braces > maxBraces || len(w.Parts) > maxParts {
		return []value{{}}
	}
	if split := (&syntax.Word{Parts: append([]syntax.WordPart(nil), w.Parts...)}); syntax.SplitBraces(split) {
		w = split
	}
	found := a.parts(w.Parts, true)
	if !unquotedTilde(w) {
		return found
	}
	out := make([]value, 0, len(found))
	for _, v := range found {
		if strings.HasPrefix(v.text, "~") {
			out = append(out, a.tilde(v)...)
		} else {
			out = append(out, v)
		}
	}
	return out
}

func unquotedTilde(w *syntax.Word) bool {
	if len(w.Parts) == 0 {
		return false
	}
	l, ok := w.Parts[0].(*syntax.Lit)
	return ok && strings.HasPrefix(l.Value, "~")
}

// cross joins what there is with what may follow.
func cross(left, right []value) []value {
	long := 0
	for _, v := range left {
		long = max(long, len(v.text))
	}
	more := 0
	for _, v := range right {
		more = max(more, len(v.text))
	}
	if len(left)*len(right) > maxSays || len(right) > 0 && (long+more)*len(left)*len(right) > maxLong {
		v := left[0]
		v.known = false
		return []value{v}
	}
	out := make([]value, 0, len(left)*len(right))
	for _, l := range left {
		for _, r := range right {
			v := value{text: l.text + r.text, known: l.known && r.known, glob: l.glob || r.glob, choice: l.choice || r.choice, found: l.found || r.found, sure: l.sure, pattern: l.pattern + r.pattern}
			if l.known {
				v.sure = len(l.text) + r.sure
			}
			out = append(out, v)
		}
	}
	return out
}

func (a *analysis) parts(parts []syntax.WordPart, unquoted bool) []value {
	out := []value{{known: true}}
	for _, p := range parts {
		out = cross(out, a.part(p, unquoted))
	}
	return out
}

func literal(s string) value { return value{text: s, known: true, pattern: escapeGlob(s)} }

func (a *analysis) part(p syntax.WordPart, unquoted bool) []value {
	switch p := p.(type) {
	case *syntax.Lit:
		if unquoted {
			return []value{bare(p.Value)}
		}
		return []value{literal(inDouble(p.Value))}
	case *syntax.SglQuoted:
		if p.Dollar {
			s, ok := ansi(p.Value)
			v := literal(s)
			v.known = ok
			return []value{v}
		}
		return []value{literal(p.Value)}
	case *syntax.DblQuoted:
		return a.parts(p.Parts, false)
	case *syntax.ParamExp:
		return a.param(p, unquoted)
	case *syntax.BraceExp:
		if p.Sequence {
			return []value{{}}
		}
		var out []value
		for _, w := range p.Elems {
			out = append(out, a.parts(w.Parts, unquoted)...)
		}
		if len(out) > maxSays || len(out) == 0 {
			return []value{{}}
		}
		return out
	case *syntax.ProcSubst:
		return []value{a.substituted(p)}
	case *syntax.CmdSubst:
		return a.printed(p, unquoted)
	case *syntax.ExtGlob:
		return []value{{glob: true}}
	}
	return []value{{}} // a substitution, arithmetic: known when it runs
}

// param returns what a variable may hold, where it is given its values in the command itself.
func (a *analysis) param(p *syntax.ParamExp, unquoted bool) []value {
	if p.Param != nil && p.Exp != nil && !p.Excl && !p.Length && p.Index == nil {
		if out, read := a.edited(p); read {
			return out
		}
	}
	if p.Param != nil && p.Index != nil && p.Exp == nil && p.Repl == nil && p.Slice == nil && !p.Excl && !p.Length {
		return a.indexed(p, unquoted)
	}
	if p.Param == nil || p.Excl || p.Length || p.Width || p.IsSet || p.Index != nil || p.Slice != nil || p.Repl != nil || p.Exp != nil || p.Names != 0 || p.Flags != nil || p.NestedParam != nil {
		return []value{{}}
	}
	name := p.Param.Value
	if n, err := strconv.Atoi(name); err == nil && n > 0 {
		var out []value
		for _, list := range a.positional {
			if n <= len(list) {
				out = append(out, list[n-1])
			}
		}
		if out != nil {
			return chosen(out)
		}
	}
	if all := slices.Concat(a.positional...); (name == "@" || name == "*") && len(all) > 0 && len(all) <= maxSays {
		return all
	}
	if values := a.vars[name]; len(values) > 0 {
		out := make([]value, 0, len(values))
		for _, s := range values {
			if _, split := a.vars["IFS"]; unquoted && !a.still && (split || strings.ContainsAny(s, " \t\n*?[")) { // it may be split, or stand for other names
				return []value{{text: s}}
			}
			out = append(out, literal(s))
		}
		return chosen(out)
	}
	if _, set := a.vars[name]; set {
		return []value{{}}
	}
	if name == "0" && len(a.zero) == 1 {
		return a.zero
	}
	if lists := a.arrays[name]; len(lists) > 0 {
		return firsts(lists, 0)
	}
	switch {
	case name == "TMPDIR":
		return []value{literal(scratch)}
	case name == "OLDPWD":
		a.opaque("a directory that it was in before")
		return literals(a.olds())
	case name == "HOME" && a.in.Home != "":
		return []value{literal(a.in.Home)}
	case name == "PWD" && !a.lost && len(a.dirs) > 0:
		return literals(a.dirs)
	}
	return []value{{}}
}

// indexed returns what an element of an array may be, or all of them joined.
func (a *analysis) indexed(p *syntax.ParamExp, unquoted bool) []value {
	lists := a.arrays[p.Param.Value]
	if n, err := strconv.Atoi(indexOf(p)); err == nil && n >= 0 {
		return firsts(lists, n)
	}
	if !elements(p) || len(lists) == 0 {
		return []value{{}}
	}
	var out []value
	for _, list := range lists {
		words, known := make([]string, 0, len(list)), true
		for _, v := range list {
			words, known = append(words, v.text), known && v.known
		}
		if _, split := a.vars["IFS"]; split && indexOf(p) == "*" {
			known = false
		}
		v := literal(strings.Join(words, " "))
		v.known = known && !unquoted
		out = append(out, v)
	}
	return chosen(out)
}

// firsts are the nth elements of lists.
func firsts(lists [][]value, n int) []value {
	var out []value
	for _, list := range lists {
		if n < len(list) {
			out = append(out, list[n])
		}
	}
	if out == nil {
		return []value{{}}
	}
	return chosen(out)
}

// literals are texts of which there is one at a time.
func literals(texts []string) []value {
	out := make([]value, 0, len(texts))
	for _, s := range texts {
		out = append(out, literal(s))
	}
	return chosen(out)
}

// chosen marks values of which there is one at a time.
func chosen(values []value) []value {
	if len(values) < 2 {
		return values
	}
	out := slices.Clone(values)
	for i := range out {
		out[i].choice = true
	}
	return out
}

// bare reads what stands without quotes: a backslash takes the meaning from what follows.
func bare(s string) value {
	var text, pattern strings.Builder
	v := value{known: true}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '\\' && i+1 < len(s) {
			i++
			if s[i] == '\n' {
				continue
			}
			text.WriteByte(s[i])
			pattern.WriteString(escapeGlob(s[i : i+1]))
			continue
		}
		if c == '*' || c == '?' || c == '[' {
			v.glob = true
		}
		text.WriteByte(c)
		pattern.WriteByte(c)
	}
	v.text, v.pattern = text.String(), pattern.String()
	return v
}

// inDouble reads what stands in double quotes.
func inDouble(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && strings.IndexByte("$`\"\\\n", s[i+1]) >= 0 {
			i++
			if s[i] == '\n' {
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func escapeGlob(s string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(s)
}

// ansi reads the inside of $'…'; false where it has an escape that is not read here.
func ansi(s string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		switch c := s[i]; c {
		case 'a', 'b', 'e', 'E', 'f', 'n', 'r', 't', 'v':
			b.WriteByte(map[byte]byte{'a': 7, 'b': 8, 'e': 27, 'E': 27, 'f': 12, 'n': 10, 'r': 13, 't': 9, 'v': 11}[c])
		case '\\', '\'', '"', '?':
			b.WriteByte(c)
		case 'x', 'u', 'U', '0', '1', '2', '3', '4', '5', '6', '7':
			digits, most, radix := i, 3, rune(8)
			switch c {
			case 'x':
				digits, most, radix = i+1, 2, 16
			case 'u':
				digits, most, radix = i+1, 4, 16
			case 'U':
				digits, most, radix = i+1, 8, 16
			}
			var n rune
			j := digits
			for ; j < len(s) && j-digits < most; j++ {
				d := digit(s[j])
				if d < 0 || d >= radix {
					break
				}
				n = n*radix + d
			}
			if j == digits {
				return b.String(), false
			}
			if c == 'u' || c == 'U' {
				b.WriteRune(n)
			} else {
				b.WriteByte(byte(n)) //nolint:gosec // bash takes the low eight bits
			}
			i = j - 1
		default:
			return b.String(), false
		}
	}
	return b.String(), true
}

func digit(c byte) rune {
	switch {
	case c >= '0' && c <= '9':
		return rune(c - '0')
	case c >= 'a' && c <= 'f':
		return rune(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return rune(c-'A') + 10
	}
	return -1
}

// words returns what words may be, where each is one; several values of a word stand one after the other.
func (a *analysis) words(list []*syntax.Word) ([]value, bool) {
	var out []value
	known := true
	for _, w := range list {
		for _, v := range a.values(w) {
			known = known && v.known
			out = append(out, v)
		}
	}
	return out, known
}

func base(s string) string { return path.Base(strings.TrimSuffix(s, ".exe")) }
