package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/envelope/verdict"
)

// GitHub shows no more annotations of each level for a step.
const maxAnnotations = 10

// maxPlain is how many characters of a line are shown in a log.
const maxPlain = 4096

type github struct {
	sticky
	run          Run
	shown, total [2]int
}

// levels of annotations, as github counts them.
const (
	levelError = iota
	levelWarning
)

var levelNames = [...]string{"error", "warning"}

func newGitHub(w io.Writer, run Run) Encoder { return &github{sticky: sticky{w: w}, run: run} }

// data escapes the message of a workflow command, as the runner unescapes it.
func githubData(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(s)
}

// githubProperty escapes the value of a property of a workflow command.
func githubProperty(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C").Replace(s)
}

// plain prints a line that is no command, whatever it says.
func (g *github) plain(s string) {
	g.printf("%s\n", say.Inert(cut(say.Line(s), maxPlain)))
}

func (g *github) annotate(level int, title string, f verdict.Finding) {
	if g.total[level]++; g.total[level] > maxAnnotations {
		return
	}
	g.shown[level]++
	var props []string
	if f.Path != "" {
		props = append(props, "file="+githubProperty(say.Line(f.Path)))
		if at := firstLines(f); len(f.Lines) > 0 {
			props = append(props, fmt.Sprintf("line=%d,endLine=%d", at.Start, at.End))
		}
	}
	props = append(props, "title="+githubProperty(cut(say.Line(title), 200)))
	g.printf("::%s %s::%s\n", levelNames[level], strings.Join(props, ","), githubData(cut(text(f), maxPlain)))
}

func (g *github) Commit(c Commit) error {
	if c.Verdict == verdict.Before {
		return g.err
	}
	line := fmt.Sprintf("%-8s %s", c.Verdict, short(c))
	if name := who(c.Principal); name != "" {
		line += " " + name
	}
	if made := Made(c.Result); made != "" {
		line += ", " + made
	}
	g.plain(line + "  " + c.Subject)
	level := levelError
	if c.Verdict.OK() {
		level = levelWarning
	}
	for _, f := range c.Findings {
		g.annotate(level, string(f.Code)+" in "+short(c), f)
	}
	for _, f := range c.Warnings {
		g.annotate(levelWarning, string(f.Code)+" in "+short(c), f)
	}
	return g.err
}

func (g *github) Problem(f verdict.Finding, refused bool) error {
	level := levelWarning
	if refused {
		level = levelError
	}
	g.annotate(level, string(f.Code), about(f))
	return g.err
}

func (g *github) Ref(r Ref) error {
	for _, f := range r.Findings {
		g.annotate(levelError, string(f.Code)+" of "+r.RefState.Ref, f)
	}
	for _, f := range r.Warnings {
		g.annotate(levelWarning, string(f.Code)+" of "+r.RefState.Ref, f)
	}
	return g.err
}

func (g *github) End(s Summary) error {
	for _, f := range s.Findings {
		g.annotate(levelError, string(f.Code), f)
	}
	for level, name := range levelNames {
		if more := g.total[level] - g.shown[level]; more > 0 {
			g.plain(fmt.Sprintf("%d more of level %s are not shown as annotations; all of them: covenant verify", more, name))
		}
	}
	if s.Undecided != "" {
		g.plain("no answer: " + s.Undecided)
	}
	g.plain(fmt.Sprintf("%s: %s: %s; trust root %s (%s)", s.answer(), say.Count(s.Commits, "commit"), s.Counts(), g.run.Root, g.run.Pinned))
	return g.err
}
