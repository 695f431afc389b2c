package provenancecmd

import (
	"fmt"
	"strings"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/report"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// CommitLine is what verify prints for a commit with --json.
type CommitLine struct {
	Type       string             `json:"type"` // "commit"
	Commit     string             `json:"commit"`
	Verdict    verdict.Verdict    `json:"verdict"`
	Mode       string             `json:"mode,omitempty"`
	Coverage   string             `json:"coverage,omitempty"`
	Principal  *verdict.Principal `json:"principal,omitempty"`
	Envelope   string             `json:"envelope,omitempty"`
	Unattended bool               `json:"unattended,omitempty"`
	Covers     []CoverLine        `json:"covers,omitempty"` // the sealed commits that a derived one is made of
	// Made is who made what by path, of a derived commit and where others than who sealed it made something.
	Made        []MadeLine          `json:"made,omitempty"`
	RewrittenBy []verdict.Principal `json:"rewrittenBy,omitempty"` // who rewrote what others had made
	Formerly    string              `json:"formerly,omitempty"`    // log only: who sealed it in a repository that this one replaces
	Findings    []verdict.Finding   `json:"findings"`
	Warnings    []verdict.Finding   `json:"warnings"`
}

// MadeLine is who made a path.
type MadeLine struct {
	Path       string              `json:"path"`
	Principals []verdict.Principal `json:"principals"`
	Part       bool                `json:"part,omitempty"` // who rewrote what others had made changed something there, too
}

// CoverLine is a sealed commit that a derived one took changes from.
type CoverLine struct {
	Commit    string            `json:"commit"`
	Envelope  string            `json:"envelope"`
	Principal verdict.Principal `json:"principal"`
	Mode      string            `json:"mode"`
	Took      int               `json:"took"`                // of its changes
	Left      []string          `json:"left"`                // paths of those that were not taken
	Present   bool              `json:"present"`             // the commit is in this clone
	Joined    bool              `json:"joined,omitempty"`    // it is a merge that has just what joining both its sides gives, or a move: its maker brought nothing of that
	Moved     bool              `json:"moved,omitempty"`     // it is a move
	Ported    bool              `json:"ported,omitempty"`    // applied to content that others had changed meanwhile
	Rewritten bool              `json:"rewritten,omitempty"` // its principal rewrote what others had made: Made of the commit has those
}

func covers(list []verdict.Cover) []CoverLine {
	var out []CoverLine
	for _, c := range list {
		l := CoverLine{Commit: c.Commit.String(), Envelope: c.Seal, Principal: c.Principal, Mode: string(c.Mode), Took: c.Took, Left: c.Left, Present: c.Here, Joined: c.Joined, Moved: c.Moved, Ported: c.Ported, Rewritten: c.Rewritten}
		if l.Left == nil {
			l.Left = []string{}
		}
		out = append(out, l)
	}
	return out
}

// MadeOf says in words what a derived commit took from a sealed one.
func MadeOf(c *verdict.Cover) string {
	switch {
	case c.Moved:
		return fmt.Sprintf("moved in %s by %s", c.Commit.Short(), Who(&c.Principal)) + report.How(c)
	case c.Joined:
		return fmt.Sprintf("joined in %s by %s", c.Commit.Short(), Who(&c.Principal)) + report.How(c)
	}
	return fmt.Sprintf("made of %s by %s: %d of %d changes", c.Commit.Short(), report.CoverBy(c), c.Took, c.Took+len(c.Left)) + report.How(c)
}

// ProblemLine is about the repository rather than a commit.
type ProblemLine struct {
	Type string `json:"type"` // "warning", or "finding" where all of it is refused
	verdict.Finding
}

// RefLine is what verify prints for a protected ref with --json.
type RefLine struct {
	Type      string            `json:"type"` // "ref"
	Ref       string            `json:"ref"`
	Head      string            `json:"head,omitempty"`      // absent: there is no such ref here
	Admission string            `json:"admission,omitempty"` // that put it there
	OK        bool              `json:"ok"`
	Findings  []verdict.Finding `json:"findings"`
	Warnings  []verdict.Finding `json:"warnings,omitempty"`
}

// PrintRef prints the verdict of a ref.
func PrintRef(env *cli.Env, asJSON bool, r *verdict.RefState, f *provenance.Facts) error {
	if asJSON {
		l := RefLine{Type: "ref", Ref: r.Ref, OK: r.OK(), Findings: r.Findings, Warnings: r.Warnings}
		if !r.Head.IsZero() {
			l.Head = r.Head.String()
		}
		if r.Newest != nil {
			l.Admission = string(r.Newest.ID)
		}
		if l.Findings == nil {
			l.Findings = []verdict.Finding{}
		}
		return env.JSON(l)
	}
	p := env.Palette()
	word, at, by := p.Good("admitted"), "nowhere", ""
	if !r.OK() {
		word = p.Bad("ref")
	} else if r.Newest == nil {
		word = p.Good("unmoved")
	}
	if !r.Head.IsZero() {
		at = r.Head.Short()
	}
	if r.Newest != nil {
		by = " by " + r.Newest.KeyID
		if who, ok := f.Authority.ByKey(r.Newest.KeyID); ok {
			by = " by " + who.Name
		}
	}
	if _, err := fmt.Fprintf(env.Out, "%s %s at %s%s\n", word, say.Name(r.Ref), at, say.Line(by)); err != nil {
		return err
	}
	for _, x := range r.Findings {
		if err := printFinding(env, p.Bad(string(x.Code)), x); err != nil {
			return err
		}
	}
	for _, x := range r.Warnings {
		if err := printFinding(env, p.Warn("warning: "+string(x.Code)), x); err != nil {
			return err
		}
	}
	return nil
}

// SummaryLine is the last line of verify with --json.
type SummaryLine struct {
	Type     string            `json:"type"` // "summary"
	Commits  int               `json:"commits"`
	Sealed   int               `json:"sealed"`
	Derived  int               `json:"derived"`
	Exempt   int               `json:"exempt"`
	Unsealed int               `json:"unsealed"`
	Invalid  int               `json:"invalid"`
	Before   int               `json:"before"`
	OK       bool              `json:"ok"`
	Root     string            `json:"root"`
	Pinned   string            `json:"pinned,omitempty"`   // where the digest came from: --root, COVENANT_ROOT, git config covenant.root
	Findings []verdict.Finding `json:"findings,omitempty"` // about the trust root, when nothing could be judged under it
}

// Line makes the output line of a result.
func Line(r *verdict.Result) CommitLine {
	l := CommitLine{
		Type: "commit", Commit: r.Commit.String(), Verdict: r.Verdict, Mode: string(r.Mode), Coverage: r.Coverage, Principal: r.Principal,
		Unattended: r.Unattended, Envelope: string(r.SealID), Covers: covers(r.Covers), Findings: r.Findings, Warnings: r.Warnings,
	}
	for _, m := range r.Shares() {
		l.Made = append(l.Made, MadeLine{Path: m.Path, Principals: m.By, Part: m.Part})
	}
	_, l.RewrittenBy = r.Everybody()
	if l.Findings == nil {
		l.Findings = []verdict.Finding{}
	}
	if l.Warnings == nil {
		l.Warnings = []verdict.Finding{}
	}
	return l
}

// count adds a verdict to a sum.
func count(s *report.Summary, v verdict.Verdict) {
	s.Commits++
	switch v {
	case verdict.Sealed:
		s.Sealed++
	case verdict.Derived:
		s.Derived++
	case verdict.Exempt:
		s.Exempt++
	case verdict.Invalid:
		s.Invalid++
	case verdict.Before:
		s.Before++
	default:
		s.Unsealed++
	}
}

// lines is the encoder of the forms text and json, which are printed as results come.
type lines struct {
	env   *cli.Env
	json  bool
	quiet bool
	run   report.Run
	facts *provenance.Facts // nil when the trust root was refused
}

// Commit prints the verdict of a commit.
func (l *lines) Commit(c report.Commit) error {
	if l.json {
		return l.env.JSON(Line(c.Result))
	}
	return l.printResult(c)
}

// Problem prints a warning about the repository.
func (l *lines) Problem(f verdict.Finding, refused bool) error {
	if l.json && refused {
		return l.env.JSON(ProblemLine{"finding", f})
	}
	if l.json {
		return l.env.JSON(ProblemLine{"warning", f})
	}
	if f.Object != "" {
		f.Message = f.Object + ": " + f.Message
	}
	if refused {
		return printFinding(l.env, l.env.Palette().Bad(string(f.Code)), f)
	}
	return printFinding(l.env, l.env.Palette().Warn("warning: "+string(f.Code)), f)
}

// Ref prints the verdict of a protected ref.
func (l *lines) Ref(r report.Ref) error {
	if l.quiet && r.OK() {
		return nil
	}
	return PrintRef(l.env, l.json, r.RefState, l.facts)
}

// End prints the sum, or why nothing was judged.
func (l *lines) End(s report.Summary) error {
	if l.json {
		line := SummaryLine{
			Type: "summary", Commits: s.Commits, Sealed: s.Sealed, Derived: s.Derived, Exempt: s.Exempt, Unsealed: s.Unsealed, Invalid: s.Invalid, Before: s.Before,
			OK: s.OK, Root: l.run.Root, Pinned: l.run.Pinned, Findings: s.Findings,
		}
		return l.env.JSON(line)
	}
	for _, f := range s.Findings {
		_, err := fmt.Fprintf(l.env.Out, "%s %s\n", l.env.Palette().Bad("refused"), f.Code)
		return err
	}
	return l.printSummary(s)
}

func (l *lines) printResult(r report.Commit) error {
	if r.Verdict == verdict.Before || (l.quiet && r.Verdict.OK() && len(r.Warnings) == 0) {
		return nil
	}
	env := l.env
	p := env.Palette()
	word := p.Good(fmt.Sprintf("%-8s", r.Verdict))
	if !r.Verdict.OK() {
		word = p.Bad(fmt.Sprintf("%-8s", r.Verdict))
	}
	who := ""
	if r.Principal != nil {
		who = " " + Who(r.Principal)
		if r.Mode == "vouch" {
			who += p.Dim(" (vouched)")
		}
		if r.Unattended {
			who += p.Dim(" (unattended)")
		}
	}
	if _, err := fmt.Fprintf(env.Out, "%s %s%s  %s\n", word, r.Result.Commit.Short(), who, say.Inert(say.Line(r.Subject))); err != nil {
		return err
	}
	if made := report.Made(r.Result); made != "" {
		if _, err := fmt.Fprintf(env.Out, "         %s\n", made); err != nil {
			return err
		}
	}
	for i := range r.Covers {
		if _, err := fmt.Fprintf(env.Out, "         %s\n", MadeOf(&r.Covers[i])); err != nil {
			return err
		}
	}
	for _, f := range r.Findings {
		if err := printFinding(env, p.Bad(string(f.Code)), f); err != nil {
			return err
		}
	}
	for _, f := range r.Warnings {
		if err := printFinding(env, p.Warn("warning: "+string(f.Code)), f); err != nil {
			return err
		}
	}
	return nil
}

// Who names a principal: an agent with the human who answers for it.
func Who(p *verdict.Principal) string {
	if p.Accountable == p.Name {
		return say.Line(p.Name)
	}
	return say.Line(p.Name + " (" + p.Kind + " of " + p.Accountable + ")")
}

func printFinding(env *cli.Env, lead string, f verdict.Finding) error {
	var b strings.Builder
	b.WriteString("         " + lead + ": ")
	if f.Path != "" {
		b.WriteString(say.Inert(say.Name(f.Path)) + ": ")
	}
	b.WriteString(say.Inert(say.Line(f.Message)))
	if f.Hint != "" {
		b.WriteString("\n           hint: " + say.Inert(say.Line(f.Hint)))
	}
	_, err := fmt.Fprintln(env.Out, b.String())
	return err
}

func (l *lines) printSummary(s report.Summary) error {
	word := l.env.Palette().Good("ok")
	if !s.OK {
		word = l.env.Palette().Bad("refused")
	}
	_, err := fmt.Fprintf(l.env.Out, "%s: %s: %s; trust root %s (%s)\n", word, say.Count(s.Commits, "commit"), s.Counts(), l.run.Root, l.run.Pinned)
	return err
}
