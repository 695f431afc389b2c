package provenancecmd

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/provenance"
)

type verifyOptions struct {
	json, deep, noCache, quiet bool
	root, ref                  string
}

// NewVerify returns the command "verify".
func NewVerify(env *cli.Env) *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use:   "verify [REV | A..B]...",
		Short: "Tell for each commit whether its seal holds",
		Long: `Tell for each commit whether a key that is trusted for it sealed exactly this
commit. A..B is a range under review, REV is its whole history; the default is HEAD.

Verdicts: sealed, derived, exempt (the policy lets this human's commits go without a
seal, and Git's own signature holds), unsealed, invalid, and before (older than
governance). All findings are told; their codes are stable. The exit code is 0 when
every commit is sealed, derived, exempt or before, 1 when one is unsealed or invalid,
and 2 when there is no answer: an empty range, an unknown revision, history that ends
too early.

When REV is a ref that the policy protects, the ref itself is judged as well: it
must be where its newest admission put it.`,
		Example: `  covenant verify
  covenant verify origin/main..HEAD
  covenant verify main --json | jq 'select(.type=="commit" and .verdict!="sealed")'
  covenant verify --root sha256:… --deep main`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error { return runVerify(cmd.Context(), env, o, args) },
	}
	f := cmd.Flags()
	f.BoolVar(&o.json, "json", false, "print one JSON object per commit, and a summary")
	f.BoolVar(&o.deep, "deep", false, "hash every commit, tree and blob again, and every content digest")
	f.BoolVar(&o.noCache, "no-cache", false, "believe nothing remembered from earlier runs")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "print only what is wrong")
	f.StringVar(&o.ref, "ref", "", "the ref that the commits are for, a full name or a branch (default: the one the revision names)")
	f.StringVar(&o.root, "root", "", "digest of the trust root to hold everything to (default: COVENANT_ROOT, else covenant.root)")
	return cmd
}

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
	Findings   []verdict.Finding  `json:"findings"`
	Warnings   []verdict.Finding  `json:"warnings"`
}

// ProblemLine is a warning about the repository rather than a commit.
type ProblemLine struct {
	Type string `json:"type"` // "warning"
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
		Unattended: r.Unattended, Envelope: string(r.SealID), Findings: r.Findings, Warnings: r.Warnings,
	}
	if l.Findings == nil {
		l.Findings = []verdict.Finding{}
	}
	if l.Warnings == nil {
		l.Warnings = []verdict.Finding{}
	}
	return l
}

func runVerify(ctx context.Context, env *cli.Env, o verifyOptions, args []string) error {
	revs, err := env.Lines(args)
	if err != nil {
		return err
	}
	w, err := work.Open(ctx, env)
	if err != nil {
		return err
	}
	defer w.Close()
	pinned, err := w.PinFrom(o.root)
	if err != nil {
		return err
	}
	pin := pinned.Digest
	span, err := provenance.ParseSpan(w.Session, revs...)
	if err != nil {
		return work.Explain(err)
	}
	if span.Ref = o.ref; span.Ref != "" && !strings.HasPrefix(span.Ref, "refs/") {
		span.Ref = "refs/heads/" + span.Ref
	}
	opts := w.Verifying(pin)
	opts.Deep, opts.Cache = o.deep, w.Cache(o.noCache)
	rep, err := provenance.Verify(ctx, w.Session, span, opts)
	if err != nil {
		var re *provenance.RootError
		if errors.As(err, &re) {
			return rootRefused(env, o, re)
		}
		return work.Explain(err)
	}
	sum := SummaryLine{Type: "summary", Root: string(pin), Pinned: pinned.Source}
	bar := env.Talk().Progress("verifying", len(rep.Commits))
	i, newer := 0, false
	for r, err := range rep.Results {
		if err != nil {
			bar.Done()
			return work.Explain(err)
		}
		sum.add(r.Verdict)
		for _, f := range r.Findings {
			newer = newer || f.Code == verdict.SealNewer || f.Code == verdict.LedgerNewer
		}
		if err := printResult(env, o, &r, &rep.Commits[i]); err != nil {
			return err
		}
		i++
		bar.Add(1)
	}
	bar.Done()
	for _, p := range rep.Problems {
		newer = newer || rep.Facts.Undecided(p)
		if err := printProblem(env, o, p); err != nil {
			return err
		}
	}
	sum.OK = sum.Unsealed+sum.Invalid == 0
	head, whole, err := span.Head(w.Session)
	if err != nil {
		return work.Explain(err)
	}
	if whole && rep.Facts.Root.Policy.Protects(head.Ref) {
		state := rep.Facts.RefState(head, env.Now(), w.Ask(rep.Facts.Root, rep.Facts.Authority))
		sum.OK = sum.OK && state.OK()
		if !o.quiet || !state.OK() {
			if err := PrintRef(env, o.json, &state, rep.Facts); err != nil {
				return err
			}
		}
	}
	if err := printSummary(env, o, sum); err != nil {
		return err
	}
	if newer {
		return cli.Hint(errors.New("a statement was written by a newer release; this one can't decide"), "install the newer one: https://github.com/open-covenant/covenant-git")
	}
	if !sum.OK {
		return cli.No(nil)
	}
	return nil
}

func (s *SummaryLine) add(v verdict.Verdict) {
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

// rootRefused answers no: nothing here can be held to the pinned root.
func rootRefused(env *cli.Env, o verifyOptions, e *provenance.RootError) error {
	f := verdict.Finding{Code: verdict.RootInvalid, Object: string(e.Found), Message: e.Error()}
	switch {
	case errors.Is(e, provenance.ErrRootMismatch):
		f.Code = verdict.RootMismatch
	case errors.Is(e, trust.ErrExpired):
		f.Code = provenance.RootExpired
	case errors.Is(e, trust.ErrFork):
		f.Code = provenance.RootFork
	}
	if o.json {
		if err := env.JSON(SummaryLine{Type: "summary", Root: string(e.Pinned), Findings: []verdict.Finding{f}}); err != nil {
			return err
		}
		return cli.No(nil)
	}
	if _, err := fmt.Fprintf(env.Out, "%s %s\n", env.Palette().Bad("refused"), f.Code); err != nil {
		return err
	}
	return cli.No(work.Explain(e))
}

func printResult(env *cli.Env, o verifyOptions, r *verdict.Result, c *git.Commit) error {
	if o.json {
		return env.JSON(Line(r))
	}
	if r.Verdict == verdict.Before || (o.quiet && r.Verdict.OK() && len(r.Warnings) == 0) {
		return nil
	}
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
	if _, err := fmt.Fprintf(env.Out, "%s %s%s  %s\n", word, c.ID.Short(), who, say.Line(c.Subject)); err != nil {
		return err
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
		b.WriteString(say.Name(f.Path) + ": ")
	}
	b.WriteString(say.Line(f.Message))
	if f.Hint != "" {
		b.WriteString("\n           hint: " + say.Line(f.Hint))
	}
	_, err := fmt.Fprintln(env.Out, b.String())
	return err
}

func printProblem(env *cli.Env, o verifyOptions, f verdict.Finding) error {
	if o.json {
		return env.JSON(ProblemLine{"warning", f})
	}
	if f.Object != "" {
		f.Message = f.Object + ": " + f.Message
	}
	return printFinding(env, env.Palette().Warn("warning: "+string(f.Code)), f)
}

func printSummary(env *cli.Env, o verifyOptions, s SummaryLine) error {
	if o.json {
		return env.JSON(s)
	}
	var parts []string
	for _, c := range []struct {
		n    int
		word string
	}{{s.Sealed, "sealed"}, {s.Derived, "derived"}, {s.Exempt, "exempt"}, {s.Unsealed, "unsealed"}, {s.Invalid, "invalid"}, {s.Before, "before governance"}} {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.word))
		}
	}
	word := env.Palette().Good("ok")
	if !s.OK {
		word = env.Palette().Bad("refused")
	}
	_, err := fmt.Fprintf(env.Out, "%s: %d commits: %s; trust root %s (%s)\n", word, s.Commits, strings.Join(parts, ", "), s.Root, s.Pinned)
	return err
}
