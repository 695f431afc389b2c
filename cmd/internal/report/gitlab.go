package report

import (
	"bytes"
	"encoding/json"
	"io"

	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/envelope/verdict"
)

// An issue of GitLab's Code Quality report.
type issue struct {
	Description string        `json:"description"`
	CheckName   string        `json:"check_name"`
	Fingerprint string        `json:"fingerprint"`
	Severity    string        `json:"severity"`
	Location    issueLocation `json:"location"`
}

type issueLocation struct {
	Path  string     `json:"path"`
	Lines issueLines `json:"lines"`
}

type issueLines struct {
	Begin int `json:"begin"`
	End   int `json:"end,omitempty"`
}

// gitlab writes an array of issues, as they come.
type gitlab struct {
	sticky
	seen counter
	some bool
}

func newGitLab(w io.Writer, _ Run) Encoder { return &gitlab{sticky: sticky{w: w}, seen: counter{}} }

func (g *gitlab) add(severity, at, path, lead string, f verdict.Finding) {
	lines := firstLines(f)
	b, err := compact(issue{
		Description: lead + text(f), CheckName: string(f.Code), Fingerprint: g.seen.fingerprint(at, f), Severity: severity,
		Location: issueLocation{say.Line(path), issueLines{lines.Start, lines.End}},
	})
	if err != nil && g.err == nil {
		g.err = err
	}
	open := "[\n"
	if g.some {
		open = ",\n"
	}
	g.some = true
	g.printf("%s%s", open, b)
}

func (g *gitlab) Commit(c Commit) error {
	severity := "blocker"
	if c.Verdict.OK() {
		severity = "minor"
	}
	id, lead := c.Result.Commit.String(), "commit "+short(c)+": "
	for _, f := range c.Findings {
		g.add(severity, id, place(c, f), lead, f)
	}
	for _, f := range c.Warnings {
		g.add("minor", id, place(c, f), lead, f)
	}
	return g.err
}

func (g *gitlab) Problem(f verdict.Finding, refused bool) error {
	severity := "minor"
	if refused {
		severity = "blocker"
	}
	g.add(severity, "", "repository", "", about(f))
	return g.err
}

func (g *gitlab) Ref(r Ref) error {
	name := r.RefState.Ref
	for _, f := range r.Findings {
		g.add("blocker", name, name, say.Line(name)+": ", f)
	}
	for _, f := range r.Warnings {
		g.add("minor", name, name, say.Line(name)+": ", f)
	}
	return g.err
}

func (g *gitlab) End(s Summary) error {
	for _, f := range s.Findings {
		g.add("blocker", "root", "refs/covenant/trust/root", "", f)
	}
	if s.Undecided != "" {
		g.add("blocker", "run", "repository", "", s.undecided())
	}
	if !g.some {
		g.printf("[")
	}
	g.printf("]\n")
	return g.err
}

// compact is v as one line of JSON that is shown as it is: HTML characters are left alone.
func compact(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}
