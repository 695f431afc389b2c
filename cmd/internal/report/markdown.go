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

	errors, warnings, commits, covers, files, runs, reviews section
	last                                                    lastChanges
	words                                                   legend
	more                                                    int // runs and reviews that no commit has
}

// around is how many characters are left for what is around the lists: heads, the legend, the trust root.
const around = 6144

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
	m := &markdown{w: w, run: run, limit: run.Limit, last: newLastChanges(run), words: legend{}}
	if m.limit <= 0 {
		m.limit = maxComment
	}
	share := max(0, m.limit-around) / 100
	m.errors.limit, m.warnings.limit, m.commits.limit, m.files.limit = share*20, share*10, share*20, share*25
	m.covers.limit, m.runs.limit, m.reviews.limit = share*15, share*5, share*5
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

func (s *section) rows(rows [][]cell) {
	for _, row := range rows {
		var b strings.Builder
		for _, c := range row {
			b.WriteString("| " + c.markdown() + " ")
		}
		b.WriteString("|\n")
		s.add(b.String())
	}
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
	m.words.add(c)
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
	name, accountable := principals(c)
	mode := string(c.Mode)
	if c.Unattended {
		mode += " (unattended)"
	}
	m.commits.add(fmt.Sprintf("| %s | %s | %s %s | %s | %s | %s | %s |\n", code(short(c), maxCell), code(c.Subject, maxCell), mark, c.Verdict,
		code(name, maxCell), code(accountable, maxCell), mode, c.Coverage))
	m.covers.rows(coverRows(c))
	m.runs.rows(runRows(c))
	m.reviews.rows(reviewRows(c))
	m.more += c.More
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
		m.files.add(fmt.Sprintf("| %s | %s | %s | %s | %s |\n", code(x.path, maxLine), code(x.commit, maxCell), code(x.who, maxCell), code(x.authority, maxLine), code(x.proof, maxLine)))
	}
	out := sticky{w: m.w}
	head := map[string]string{"ok": "✅ Every commit passes", "refused": "❌ Refused", "no answer": "❔ No answer"}[s.answer()]
	out.printf("## Covenant: %s\n\n%s.\n", head, s.Counts())
	if s.Undecided != "" {
		out.printf("\n%s.\n", code(s.Undecided, maxLine))
	}
	m.section(&out, "Errors", "", "errors", &m.errors)
	m.section(&out, "Commits", "| commit | subject | verdict | who | accountable | mode | coverage |\n|---|---|---|---|---|---|---|\n", "commits", &m.commits)
	m.section(&out, "Files: who changed them last, and on whose authority", "| file | commit | who | authority | evidence |\n|---|---|---|---|---|\n", "files", &m.files)
	for _, t := range []struct {
		table
		rows *section
	}{{madeOf, &m.covers}, {evidence, &m.runs}, {reviews, &m.reviews}} {
		m.section(&out, t.title, t.head(), t.things, t.rows)
	}
	if m.more > 0 {
		out.printf("\n%d more runs and reviews are not shown: `covenant evidence list`, `covenant review list`\n", m.more)
	}
	m.section(&out, "Warnings: they do not change the verdict", "", "warnings", &m.warnings)
	out.printf("\nHeld to the trust root %s, pinned by %s", code(m.run.Root, maxLine), code(m.run.Pinned, maxCell))
	if m.run.Ref != "" {
		out.printf("; judged for %s", code(m.run.Ref, maxLine))
	}
	out.printf(".\n")
	out.printf("\n### Words\n\n")
	m.words.tell(func(word, meaning string) { out.printf("- **%s**: %s\n", word, meaning) })
	out.printf("- What a code of an error or a warning means, and what to do: [findings](%s)\n", findingsPage)
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
