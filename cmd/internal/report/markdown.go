package report

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/envelope/verdict"
)

// maxComment is how many characters GitHub takes in a comment.
const maxComment = 65_536

// How many characters of somebody else's text are shown in a cell, and in a line.
const (
	maxCell = 120
	maxLine = 200
)

// markdown writes a report for a comment. Lists grow while commits come, each to its
// share of the limit, so that none crowds out another; End puts them together.
type markdown struct {
	w     io.Writer
	run   Run
	limit int

	errors, warnings, commits, files section
	last                             lastChanges
}

// A section is a list that stops growing at its limit, and counts what did not fit.
type section struct {
	b       strings.Builder
	size    int // characters
	limit   int
	dropped int
}

func (s *section) add(item string) {
	n := utf8.RuneCountInString(item)
	if s.dropped > 0 || s.size+n > s.limit {
		s.dropped++
		return
	}
	s.size += n
	s.b.WriteString(item)
}

func newMarkdown(w io.Writer, run Run) Encoder {
	m := &markdown{w: w, run: run, limit: run.Limit}
	if m.limit <= 0 {
		m.limit = maxComment
	}
	share := max(0, m.limit-4096) // what is around the lists
	m.errors.limit, m.warnings.limit, m.commits.limit, m.files.limit = share*3/10, share/10, share*3/10, share*3/10
	return m
}

// code shows somebody else's text as code, cut to n characters: it is one line, in one
// cell, and nothing in it is markup, a link, a mention or a reference. A code span
// does that for all but its own delimiter, the pipe of a table and the backslash before
// one; with those every punctuation character is a character reference.
func code(s string, n int) string {
	s = cut(say.Line(s), n)
	switch {
	case strings.TrimSpace(s) == "":
		return ""
	case !strings.ContainsAny(s, "`|\\"):
		return "`" + s + "`"
	}
	var b strings.Builder
	b.WriteString("<code>")
	for _, r := range s {
		if r > ' ' && r < utf8.RuneSelf && !('0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z') {
			fmt.Fprintf(&b, "&#%d;", r)
			continue
		}
		b.WriteRune(r)
	}
	b.WriteString("</code>")
	return b.String()
}

func (m *markdown) finding(list *section, at string, f verdict.Finding) {
	var b strings.Builder
	b.WriteString("- " + code(string(f.Code), maxCell))
	if at != "" {
		b.WriteString(" in " + code(at, maxCell))
	}
	if f.Path != "" {
		b.WriteString(", " + code(f.Path, maxLine))
	}
	b.WriteString(": " + code(f.Message, maxLine) + "\n")
	if f.Hint != "" {
		b.WriteString("  What to do: " + code(f.Hint, maxLine) + "\n")
	}
	list.add(b.String())
}

func (m *markdown) Commit(c Commit) error {
	m.last.add(c)
	for _, f := range c.Findings {
		list := &m.errors
		if c.Verdict.OK() {
			list = &m.warnings
		}
		m.finding(list, short(c), f)
	}
	for _, f := range c.Warnings {
		m.finding(&m.warnings, short(c), f)
	}
	if c.Verdict == verdict.Before {
		return nil
	}
	mark := "✅"
	if !c.Verdict.OK() {
		mark = "❌"
	}
	name, accountable := principal(c.Principal)
	mode := string(c.Mode)
	if c.Unattended {
		mode += " (unattended)"
	}
	m.commits.add(fmt.Sprintf("| %s | %s | %s %s | %s | %s | %s | %s |\n", code(short(c), maxCell), code(c.Subject, maxCell), mark, c.Verdict,
		code(name, maxCell), code(accountable, maxCell), mode, c.Coverage))
	return nil
}

func (m *markdown) Problem(f verdict.Finding, refused bool) error {
	where := &m.warnings
	if refused {
		where = &m.errors
	}
	m.finding(where, "", about(f))
	return nil
}

func (m *markdown) Ref(r Ref) error {
	for _, f := range r.Findings {
		m.finding(&m.errors, r.RefState.Ref, f)
	}
	for _, f := range r.Warnings {
		m.finding(&m.warnings, r.RefState.Ref, f)
	}
	return nil
}

func (m *markdown) End(s Summary) error {
	for _, f := range s.Findings {
		m.finding(&m.errors, "trust root", f)
	}
	for _, x := range m.last.list() {
		m.files.add(fmt.Sprintf("| %s | %s | %s | %s |\n", code(x.path, maxLine), code(x.commit, maxCell), code(x.who, maxCell), code(x.authority, maxLine)))
	}
	out := sticky{w: m.w}
	head := map[string]string{"ok": "✅ Every commit passes", "refused": "❌ Refused", "no answer": "❔ No answer"}[s.answer()]
	out.printf("## Covenant: %s\n\n%s.\n", head, s.Counts())
	if s.Undecided != "" {
		out.printf("\n%s.\n", code(s.Undecided, maxLine))
	}
	m.section(&out, "Errors", "", "errors", &m.errors)
	m.section(&out, "Commits", "| commit | subject | verdict | who | accountable | mode | coverage |\n|---|---|---|---|---|---|---|\n", "commits", &m.commits)
	m.section(&out, "Files: who changed them last, and on whose authority", "| file | commit | who | authority |\n|---|---|---|---|\n", "files", &m.files)
	m.section(&out, "Warnings: they do not change the verdict", "", "warnings", &m.warnings)
	out.printf("\nHeld to the trust root %s, pinned by %s", code(m.run.Root, maxLine), code(m.run.Pinned, maxCell))
	if m.run.Ref != "" {
		out.printf("; judged for %s", code(m.run.Ref, maxLine))
	}
	out.printf(".\n")
	return out.err
}

func (m *markdown) section(out *sticky, title, head, things string, s *section) {
	if s.size == 0 && s.dropped == 0 {
		return
	}
	out.printf("\n### %s\n\n%s%s", title, head, s.b.String())
	if s.dropped > 0 {
		out.printf("\n%d more %s are not shown, since a report has at most %d characters. All of them: `covenant verify`\n", s.dropped, things, m.limit)
	}
}

// principal returns the name of who sealed, with the kind where it is no human, and of
// the human who answers for it.
func principal(p *verdict.Principal) (name, accountable string) {
	if p == nil {
		return "", ""
	}
	name = p.Name
	if p.Kind != "human" {
		name += " (" + p.Kind + ")"
	}
	return name, p.Accountable
}

// A change tells who changed a path last.
type change struct{ path, commit, who, authority string }

// lastChanges finds the last change of each path; the zero value is ready.
type lastChanges struct {
	at   map[string]int
	rows []change
}

func (l *lastChanges) add(c Commit) {
	if c.Verdict == verdict.Before {
		return
	}
	if l.at == nil {
		l.at = map[string]int{}
	}
	name := who(c.Principal)
	if name == "" {
		name = "nobody known here"
	}
	x := change{commit: short(c), who: name, authority: authority(c)}
	for _, p := range c.Paths {
		x.path = p
		if i, ok := l.at[p]; ok {
			l.rows[i] = x
			continue
		}
		l.at[p] = len(l.rows)
		l.rows = append(l.rows, x)
	}
}

func (l *lastChanges) list() []change { return l.rows }

// authority says by what right a commit was made: the grants its seal relies on, or
// that an operator made it.
func authority(c Commit) string {
	switch {
	case !c.Verdict.OK():
		return "none: " + string(c.Verdict)
	case c.Verdict == verdict.Exempt:
		return "exempt by the policy"
	case c.Verdict == verdict.Derived:
		return "that of the sealed commits it is made of"
	case c.Grants == nil:
		return "not known here"
	case len(c.Grants) == 0:
		return "operator, by the trust root"
	}
	var parts []string
	for _, g := range c.Grants {
		by := g.By
		if by == "" {
			by = "somebody unknown"
		}
		parts = append(parts, g.ID+" by "+by)
	}
	return "grant " + strings.Join(parts, ", then ")
}
