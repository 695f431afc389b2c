// Package report writes what verify found in the forms that other programs read:
// SARIF, JUnit, workflow commands of GitHub, Code Quality of GitLab, Markdown, HTML
// and a SLSA verification summary. Verdicts come in, bytes go out: no Git, no clock,
// no environment.
//
// File names, subjects, names and messages are somebody else's text. Each form has
// one function that they pass through, and that makes them harmless there; what a
// terminal would not show is written as an escape before, see package say.
//
// An encoder is called once for each commit, parents before children, then for what
// is said of the repository and of a protected ref, and last with the sum. Where
// verification fails on the way End is not called, and what was written is of no use.
//
// An [Account] is another report: what the ledgers say of a span of time. A
// [Reckoner] adds up the records of the log, and keeps counts only; what an account
// has is bounded, and its documents are the same tables, [Account.Markdown] and
// [Account.HTML].
package report

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
)

// A Run is what is known before the first commit.
type Run struct {
	Revisions  []string // as they were typed; empty: HEAD
	Ref        string   // the ref under review, a full name; "" when none is known
	Tips       []Tip
	Except     []string  // commits whose history is not looked at
	Root       string    // the pin of the trust root
	Pinned     string    // where the pin came from
	InForce    string    // the version of the trust root that was judged by
	Repository string    // URI, without credentials; "" when none is known
	Version    string    // of this program
	Now        time.Time // when it was verified
	Limit      int       // of characters or bytes, where a form has one; 0: the form's own
}

// A Tip is a commit that was asked about, with its tree.
type Tip struct{ Commit, Tree string }

// A Commit is a verdict, and what people want to see beside it.
type Commit struct {
	*verdict.Result
	Subject string
	Paths   []string  // what it changes itself; empty where it can't be known, or nobody asked
	Grants  []Grant   // what its seal relies on, the operator's first; empty, not nil, for an operator; nil: not known
	Covered [][]Grant // likewise what the seal of each of its covers relies on

	Evidence []Ran    // that is about its tree, the newest first
	Reviews  []Review // of the change that leads to it
	More     int      // of both, which are not here
}

// A Grant is one that a seal relies on, and who gave it.
type Grant struct{ ID, By string }

// A Ref is the verdict of a protected ref.
type Ref struct {
	*verdict.RefState
	By string // who admitted that it is where it is; "" for nobody
}

// A Summary is the sum of all verdicts.
type Summary struct {
	Commits, Sealed, Derived, Exempt, Unsealed, Invalid, Before int

	OK        bool
	Undecided string            // why there is no answer; "" when there is one
	Mend      string            // what to type for one, where that depends
	Findings  []verdict.Finding // about the trust root; then nothing was judged
}

// An Encoder writes one report.
type Encoder interface {
	Commit(Commit) error
	Problem(f verdict.Finding, refused bool) error // about the repository: a warning, or why all of it is refused
	Ref(Ref) error
	End(Summary) error
}

// A Format is a form of report.
type Format struct {
	Name  string
	Paths bool // its encoder wants [Commit.Paths]
	Seals bool // its encoder wants what seals rely on, evidence and reviews
	New   func(io.Writer, Run) Encoder
}

// Formats are all forms of this package.
var Formats = []Format{
	{Name: "sarif", Paths: true, New: newSARIF},
	{Name: "junit", New: newJUnit},
	{Name: "github", Paths: true, Seals: true, New: newGitHub}, // for the summary beside it
	{Name: "gitlab", Paths: true, New: newGitLab},
	{Name: "markdown", Paths: true, Seals: true, New: newMarkdown},
	{Name: "html", Paths: true, Seals: true, New: newHTML},
	{Name: "vsa", New: newVSA},
}

// Named returns the form of that name.
func Named(name string) (Format, bool) {
	i := slices.IndexFunc(Formats, func(f Format) bool { return f.Name == name })
	if i < 0 {
		return Format{}, false
	}
	return Formats[i], true
}

// short is what people call a commit.
func short(c Commit) string { return c.Result.Commit.Short() }

// answer is the verdict of the run in one word.
func (s Summary) answer() string {
	switch {
	case s.Undecided != "":
		return "no answer"
	case s.OK:
		return "ok"
	}
	return "refused"
}

// Counts says how many commits have which verdict.
func (s Summary) Counts() string {
	var parts []string
	for _, c := range []struct {
		n    int
		word string
	}{{s.Sealed, "sealed"}, {s.Derived, "derived"}, {s.Exempt, "exempt"}, {s.Unsealed, "unsealed"}, {s.Invalid, "invalid"}, {s.Before, "before governance"}} {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.word))
		}
	}
	if len(parts) == 0 {
		return "nothing was judged"
	}
	return strings.Join(parts, ", ")
}

// undecided is the finding that there is no answer.
func (s Summary) undecided() verdict.Finding {
	return verdict.Finding{Code: "undecided", Message: s.Undecided}
}

// fingerprint names a finding: the same in every run, whatever else is found, and
// another for every commit, code, path and object. n tells apart findings that agree
// in all of these.
func fingerprint(at string, f verdict.Finding, n int) string {
	h := sha256.New()
	for _, s := range []string{at, string(f.Code), f.Path, f.Object} {
		_, _ = fmt.Fprintf(h, "%d:%s,", len(s), s) // no two lists of strings give the same bytes
	}
	_, _ = fmt.Fprintf(h, "%d", n)
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// A counter gives [fingerprint] its last argument.
type counter map[string]int

func (c counter) fingerprint(at string, f verdict.Finding) string {
	key := fingerprint(at, f, 0)
	n := c[key]
	c[key]++
	if n == 0 {
		return key
	}
	return fingerprint(at, f, n)
}

// firstLines is where a finding of a path is told: its first lines, else the beginning.
func firstLines(f verdict.Finding) provenance.Lines {
	if len(f.Lines) == 0 {
		return provenance.Lines{Start: 1}
	}
	return f.Lines[0]
}

// text is a finding as people read it, in one line.
func text(f verdict.Finding) string {
	s := say.Line(f.Message)
	if f.Hint != "" {
		s += " (" + say.Line(f.Hint) + ")"
	}
	return s
}

// about is text with the object that a problem of the repository is about.
func about(f verdict.Finding) verdict.Finding {
	if f.Object != "" {
		f.Message = f.Object + ": " + f.Message
	}
	return f
}

// place is where a form that must have a path shows a finding without one: the first
// path that the commit changes, else a name that tells the commit.
func place(c Commit, f verdict.Finding) string {
	switch {
	case f.Path != "":
		return f.Path
	case len(c.Paths) > 0:
		return c.Paths[0]
	}
	return "commit/" + c.Result.Commit.String()
}

// who names a principal: an agent with the human who answers for it.
func who(p *verdict.Principal) string {
	switch {
	case p == nil:
		return ""
	case p.Accountable == p.Name:
		return say.Line(p.Name)
	}
	return say.Line(p.Name + " (" + p.Kind + " of " + p.Accountable + ")")
}

// cut returns at most n characters of s, the last one an ellipsis when there were more.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// A Writer that remembers its first error, so that encoders check once.
type sticky struct {
	w   io.Writer
	err error
}

func (s *sticky) printf(format string, a ...any) {
	if s.err == nil {
		_, s.err = fmt.Fprintf(s.w, format, a...)
	}
}
