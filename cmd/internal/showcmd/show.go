// Package showcmd is the command "show": the story of one commit.
package showcmd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/provenancecmd"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// New returns the command.
func New(env *cli.Env) *cobra.Command {
	var asJSON bool
	var root string
	cmd := &cobra.Command{
		Use:   "show [REV]",
		Short: "Tell the story of a commit: who made it, on whose authority, what it changes",
		Long: `Tell the story of a commit: who sealed it, when and as what, on whose authority,
what it changes against each parent, what was not recorded, for which work it was made,
what was run on its tree, what people said of the change, what other programs attest of it,
and everything that is wrong. The exit code is that of "covenant verify" for this one commit.`,
		Example: `  covenant show
  covenant show HEAD~3 --json | jq .statement.predicate`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return run(cmd.Context(), env, root, asJSON, args) },
	}
	cmd.ValidArgsFunction = cli.Complete(env, 1, work.Revisions(env))
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object, with the opened statement")
	cmd.Flags().StringVar(&root, "root", "", "digest of the trust root (default: COVENANT_ROOT, else covenant.root)")
	return cmd
}

// Shown is what show prints with --json.
type Shown struct {
	provenancecmd.CommitLine
	Statement    json.RawMessage                 `json:"statement,omitempty"`    // the opened seal
	Attestations []provenancecmd.AttestationLine `json:"attestations,omitempty"` // what other programs say of it; they decide nothing
	Around
}

func run(ctx context.Context, env *cli.Env, root string, asJSON bool, args []string) error {
	w, pin, err := work.OpenPinned(ctx, env, root)
	if err != nil {
		return err
	}
	defer w.Close()
	commits, err := provenance.Commits(w.Session, args...)
	if err != nil {
		return work.Explain(err)
	}
	c := commits[len(commits)-1]
	name := "HEAD"
	if len(args) > 0 {
		name = args[len(args)-1]
	}
	rep, r, err := provenance.VerifyOne(ctx, w.Session, c, name, w.Looking(pin))
	if err != nil {
		return work.Explain(err)
	}
	w.TellStale(rep.Facts.Problems)
	others, errs := provenancecmd.Attested(w.Session, rep.Facts, &c)
	for _, err := range errs {
		env.Talk().Warn("%s", say.Line(err.Error()))
	}
	says := &prov.Predicate{}
	if r.Seal != nil && r.Seal.Seal != nil {
		says = &r.Seal.Seal.Predicate
	}
	near, errs := around(ctx, w, rep.Facts, &c, says)
	for _, err := range errs {
		env.Talk().Warn("%s", say.Line(err.Error()))
	}
	if asJSON {
		err = printJSON(env, &r, others, near)
	} else {
		err = tell(env, rep, &r, &c, others, near)
	}
	if err == nil && !r.Verdict.OK() {
		return cli.No(nil)
	}
	return err
}

func printJSON(env *cli.Env, r *verdict.Result, others []provenancecmd.AttestationLine, near Around) error {
	s := Shown{CommitLine: provenancecmd.Line(r), Attestations: others, Around: near}
	if r.Seal != nil && r.Seal.Seal != nil {
		b, err := json.Marshal(r.Seal.Seal)
		if err != nil {
			return err
		}
		s.Statement = b
	}
	return env.JSON(s)
}

func tell(env *cli.Env, rep *provenance.Report, r *verdict.Result, c *git.Commit, others []provenancecmd.AttestationLine, near Around) error {
	p := env.Palette()
	t := &teller{w: env.Out}
	t.say("commit %s", p.Mark(c.ID.String()))
	t.say("    %s", say.Line(c.Subject))
	t.say("")
	word := p.Good(string(r.Verdict))
	if !r.Verdict.OK() {
		word = p.Bad(string(r.Verdict))
	}
	switch {
	case r.Verdict == verdict.Before:
		t.say("%s: older than this repository's governance; nothing is claimed of it", word)
	case r.Verdict == verdict.Exempt:
		t.say("%s by %s: the policy lets this human's commits go without a seal, and Git's signature holds", word, provenancecmd.Who(r.Principal))
		t.say("  key:         %s", r.Principal.Key)
	case r.Verdict == verdict.Derived:
		t.say("%s: nobody sealed it, and every change of it was sealed in another commit", word)
	case r.Principal == nil:
		t.say("%s: nobody known here answers for it", word)
	case r.SealID == "":
		t.say("%s: %s signed it with Git's own signature, and that is not enough", word, provenancecmd.Who(r.Principal))
		t.say("  key:         %s", r.Principal.Key)
	default:
		t.story(rep, r, word)
	}
	for i := range r.Covers {
		t.say("  %s", provenancecmd.MadeOf(&r.Covers[i]))
		t.origins(rep.Facts, r.Covers[i].Commit, "    ")
	}
	for _, s := range rep.Facts.Formerly(c.ID) {
		t.say("  formerly:    sealed by %s (%s) at %s, in the repository %s that this one replaces; its signature holds", say.Line(s.Name), say.Line(s.KeyID), s.Time, s.Repository.Short())
	}
	t.origins(rep.Facts, c.ID, "  ")
	t.around(&near, rep.Facts)
	for i := range others {
		if i == maxOrigins {
			t.say("  attested:    and %d more: covenant provenance attestations %s", len(others)-maxOrigins, c.ID.Short())
			break
		}
		t.say("  attested:    %s", provenancecmd.Attestation(&others[i]))
	}
	for _, f := range r.Findings {
		t.finding(p.Bad(string(f.Code)), f)
	}
	for _, f := range r.Warnings {
		t.finding(p.Warn("warning: "+string(f.Code)), f)
	}
	return t.err
}

// maxOrigins is how many commits are told that one came to be out of.
const maxOrigins = 50

// origins tells what a commit came to be out of, who made that, and who rewrote it.
func (t *teller) origins(f *provenance.Facts, id oid.ID, indent string) {
	name := func(keyID string) string {
		if p, ok := f.Authority.ByKey(keyID); ok {
			return provenancecmd.Who(&verdict.Principal{Name: p.Name, Kind: p.Kind, Accountable: p.Accountable})
		}
		return say.Line(keyID)
	}
	list := f.Rewritten[id]
	for i, o := range list {
		if i == maxOrigins {
			t.say("%srewritten:   and from %d more", indent, len(list)-maxOrigins)
			return
		}
		made := ", which nobody sealed"
		for j := range f.Seals[o.Commit] {
			if s := &f.Seals[o.Commit][j]; s.Err == nil && s.Seal != nil {
				made = ", sealed by " + name(s.KeyID)
				break
			}
		}
		t.say("%srewritten:   from %s%s; %s by %s", indent, o.Commit.Short(), made, say.Line(o.Command), name(o.By))
	}
}

type teller struct {
	w   io.Writer
	err error
}

func (t *teller) say(format string, a ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.w, format+"\n", a...)
	}
}

func (t *teller) finding(lead string, f verdict.Finding) {
	path := ""
	if f.Path != "" {
		path = say.Name(f.Path) + ": "
	}
	t.say("%s: %s%s", lead, path, say.Line(f.Message))
	if f.Hint != "" {
		t.say("    hint: %s", say.Line(f.Hint))
	}
}

func (t *teller) story(rep *provenance.Report, r *verdict.Result, word string) {
	how := "witnessed: after a recorded decision"
	if r.Mode == prov.Vouching {
		how = "vouched for after it was made"
	}
	t.say("%s by %s, %s", word, provenancecmd.Who(r.Principal), how)
	t.say("  key:         %s", r.Principal.Key)
	if r.Seal.Seal == nil {
		return
	}
	pr := &r.Seal.Seal.Predicate
	h := pr.Entry
	t.say("  when:        %s (the sealer's clock)", h.When().Format(time.RFC3339))
	if pr.Ref != "" {
		t.say("  on:          %s", say.Name(pr.Ref))
	}
	if pr.Intent != "" {
		t.say("  intent:      %s", say.Line(pr.Intent))
	}
	if x := pr.IntentState; x != nil {
		t.say("  sealed in:   state %s, after %s (%s)", x.State, say.Count(x.Statements, "statement"), x.Last.Short())
	}
	for _, list := range []struct {
		what        string
		named, more int
	}{{"evidence", len(pr.Evidence), pr.EvidenceMore}, {"reviews", len(pr.Reviews), pr.ReviewsMore}} {
		if list.more > 0 {
			t.say("  named:       %d of %s, and it says that there were %d more", list.named, list.what, list.more)
		}
	}
	if pr.Tool != "" {
		t.say("  tool:        %s", say.Name(pr.Tool))
	}
	if r.Unattended {
		t.say("  unattended:  a person's key signed, and no terminal was there")
	}
	switch {
	case len(pr.Grants) == 0:
		t.say("  authority:   operator, by the trust root")
	default:
		for _, id := range pr.Grants {
			by := "nobody with authority"
			if g, ok := rep.Facts.Grants[id]; ok {
				if p, ok := rep.Facts.Authority.ByKey(g.KeyID); ok {
					by = p.Name
				}
				t.say("  authority:   %s, granted by %s (%s)", g.Granted.Action, by, id.Short())
				continue
			}
			t.say("  authority:   grant %s by %s", id.Short(), by)
		}
	}
	if pr.Decision != "" {
		if d, ok := rep.Facts.Decisions[pr.Decision]; ok {
			t.say("  decision:    allowed by %s before it was sealed (%s)", say.Line(strings.Join(d.Decision.Checkers, ", ")), pr.Decision.Short())
		}
	}
	t.say("  entry:       %d of %s (%s)", h.Seq, h.Ledger(), r.Seal.ID.Short())
	for _, d := range h.Heads {
		t.say("  saw:         entry %d of %s", d.Seq, d.Ledger)
	}
	t.say("  unrecorded:  %s", strings.Join(pr.Unrecorded, ", "))
	t.say("")
	for i, list := range pr.Changes {
		if len(pr.Changes) > 1 {
			t.say("changes against parent %d, %s:", i+1, pr.Parents[i].Short())
		}
		t.changes(list)
	}
}

// changes lists a diff; a deletion and an addition of the same object are told as a rename.
func (t *teller) changes(list []prov.Change) {
	from := map[string]string{}
	gone := map[string]bool{}
	for _, r := range prov.Renames(list) {
		from[r.To], gone[r.From] = r.From, true
	}
	if len(list) == 0 {
		t.say("  no change")
	}
	for i := range list {
		c := &list[i]
		path := c.PathBytes()
		old, renamed := from[path]
		switch {
		case c.Status == "D" && gone[path]:
		case renamed:
			t.say("  R  %s → %s", say.Name(old), say.Name(path))
		case c.Status == "M" && c.OldMode != c.NewMode:
			t.say("  M  %s (mode %s → %s)", say.Name(path), c.OldMode, c.NewMode)
		default:
			t.say("  %s  %s", c.Status, say.Name(path))
		}
	}
}
