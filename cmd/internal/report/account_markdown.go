package report

import (
	"io"
	"strings"
)

// Markdown writes the account for people, as a document or a comment.
func (a *Account) Markdown(w io.Writer) error {
	out := sticky{w: w}
	out.printf("# Audit report\n")
	if len(a.Problems) > 0 {
		out.sheet(a.problems())
	}
	out.printf("\n")
	for _, c := range a.opening() {
		out.printf("%s\n", c.markdown())
	}
	for i, s := range a.sheets() {
		if i == 2 {
			out.sheet(a.over())
		}
		out.sheet(s)
	}
	out.printf("\n## What this report does not say\n\n")
	for _, l := range a.Limits {
		out.printf("- %s\n", l)
	}
	out.printf("\nTold by %d ledgers (%s), held to the trust root %s, pinned by %s. Made %s by covenant %s.\n",
		a.Ledgers, code(a.Tips, maxText), code(a.Root, maxText), code(a.Pinned, maxCell), code(a.Made, maxCell), code(a.Version, maxCell))
	return out.err
}

func (c cell) markdown() string {
	var b strings.Builder
	for _, p := range c {
		if p.foreign {
			b.WriteString(code(p.text, maxScope))
			continue
		}
		b.WriteString(p.text)
	}
	return b.String()
}

// maxScope is how many characters of a text a cell shows: a scope is the longest.
const maxScope = 2000

func (s *sticky) sheet(t sheet) {
	if len(t.rows) == 0 && t.nothing == "" {
		return
	}
	s.printf("\n## %s\n\n", t.title)
	switch {
	case t.grave:
		s.printf("**%s**\n\n", t.note)
	case t.note != "":
		s.printf("%s\n\n", t.note)
	}
	if len(t.rows) == 0 {
		s.printf("%s\n", t.nothing)
		return
	}
	s.printf("| %s |\n|%s\n", strings.Join(t.columns, " | "), strings.Repeat("---|", len(t.columns)))
	for _, row := range t.rows {
		for _, c := range row {
			s.printf("| %s ", c.markdown())
		}
		s.printf("|\n")
	}
	if t.more != "" {
		s.printf("\n%s\n", t.more)
	}
}
