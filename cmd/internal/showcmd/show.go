// Package showcmd is the command "show": the story of one commit.
package showcmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/provenancecmd"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
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
	st, err := Of(ctx, w, pin, c, name, nil)
	if err != nil {
		return err
	}
	if asJSON {
		var shown Shown
		if shown, err = st.Shown(); err == nil {
			err = env.JSON(shown)
		}
	} else {
		err = st.Tell(env)
	}
	if err != nil || st.Result.Verdict.OK() {
		return err
	}
	if i := slices.IndexFunc(st.Result.Findings, func(f verdict.Finding) bool { return f.Code == verdict.DerivedHistory }); i >= 0 { // what this clone lacks would decide
		f := st.Result.Findings[i]
		return cli.Hint(errors.New(f.Message), "get what it lacks: "+f.Hint)
	}
	return cli.No(nil)
}

// Story is what is known of one commit.
type Story struct {
	Report *provenance.Report
	Result verdict.Result
	commit git.Commit
	others []provenancecmd.AttestationLine
	near   Around
}

// Of judges a commit as part of what it is part of, and gathers its story; name is what it was named by. What can't be read of what is around it is
// told, and is no error of the commit's. facts were loaded before with this pin; nil: they are.
func Of(ctx context.Context, w *work.Work, pin envelope.Digest, c git.Commit, name string, facts *provenance.Facts) (*Story, error) {
	opts := w.Looking(pin)
	opts.Facts, opts.Origins = facts, true
	rep, r, err := provenance.VerifyOne(ctx, w.Session, c, name, opts)
	if err != nil {
		return nil, work.Explain(err)
	}
	w.TellStale(rep.Facts.Problems)
	st := &Story{Report: rep, Result: r, commit: c}
	var errs, more []error
	st.others, errs = provenancecmd.Attested(w.Session, rep.Facts, &c)
	says := &prov.Predicate{}
	if r.Seal != nil && r.Seal.Seal != nil {
		says = &r.Seal.Seal.Predicate
	} else {
		says.Intent = provenancecmd.IntentOf(rep.Facts, &r)
	}
	st.near, more = around(ctx, w, rep.Facts, &c, says)
	for _, err := range append(errs, more...) {
		w.Env.Talk().Warn("%s", say.Line(err.Error()))
	}
	return st, nil
}

// made says in a line what a derived commit is made of.
func made(covers []verdict.Cover, parents int) string {
	paths := map[string]bool{}
	for i := range covers {
		for _, p := range covers[i].Paths {
			paths[p] = true
		}
	}
	all := "all " + say.Count(len(paths), "change") + " are covered"
	if len(paths) < 2 {
		all = "its change is covered" // or what joining both sides of a merge gives
	}
	switch {
	case len(covers) == 0:
		return "nobody sealed it, and it brings no change of its own"
	case parents > 1:
		return "nobody sealed it: a merge of what was sealed; " + all
	case len(covers) > 1:
		return "nobody sealed it: a squash of " + say.Count(len(covers), "sealed commit") + "; " + all
	}
	return "nobody sealed it: made of one sealed commit; " + all
}

// Shown is the story as one object.
func (s *Story) Shown() (Shown, error) {
	out := Shown{CommitLine: provenancecmd.Line(&s.Result), Attestations: s.others, Around: s.near}
	if s.Result.Seal != nil && s.Result.Seal.Seal != nil {
		b, err := json.Marshal(s.Result.Seal.Seal)
		if err != nil {
			return out, err
		}
		out.Statement = b
	}
	return out, nil
}

// Tell tells the story to people, with lines of somebody else's about how the commit came to be.
func (s *Story) Tell(env *cli.Env, lines ...string) error {
	rep, r, c, others := s.Report, &s.Result, &s.commit, s.others
	p := env.Palette()
	t := &teller{w: env.Out}
	t.say("commit %s", p.Mark(c.ID.String()))
	t.say("    %s", say.Inert(say.Line(c.Subject)))
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
		t.say("%s: %s", word, made(r.Covers, len(c.Parents)))
		t.say("  committer:   %s <%s> (nobody signed that)", say.Line(c.Committer.Name), say.Line(c.Committer.Email))
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
	for _, l := range lines {
		t.say("  %s", l)
	}
	t.around(&s.near, r)
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

// origins tells what a commit came to be out of, who made that, and who rewrote it; and of what was rewritten before the same.
func (t *teller) origins(f *provenance.Facts, id oid.ID, indent string) {
	left := maxOrigins
	t.chain(f, id, indent, map[oid.ID]bool{id: true}, &left)
}

func (t *teller) chain(f *provenance.Facts, id oid.ID, indent string, seen map[oid.ID]bool, left *int) {
	name := func(keyID string) string {
		if p, ok := f.Authority.ByKey(keyID); ok {
			return provenancecmd.Who(&verdict.Principal{Name: p.Name, Kind: p.Kind, Accountable: p.Accountable})
		}
		return say.Line(keyID)
	}
	list := f.Rewritten[id]
	same := func(a, b provenance.Origin) bool { return a.Commit == b.Commit && a.By == b.By }
	for i, o := range list {
		if slices.ContainsFunc(list[:i], func(x provenance.Origin) bool { return same(x, o) }) {
			continue // told
		}
		if *left--; *left < 0 {
			t.say("%srewritten:   and from %d more", indent, len(list)-i)
			return
		}
		made := ", which nobody sealed"
		seals := f.SealsOf(o.Commit)
		for j := range seals {
			if s := &seals[j]; s.Err == nil && s.Seal != nil && f.Told(&o, s) {
				made = ", sealed by " + name(s.KeyID)
				break
			}
		}
		how := []string{o.Command}
		for _, x := range list[i+1:] {
			if same(x, o) && !slices.Contains(how, x.Command) {
				how = append(how, x.Command)
			}
		}
		t.say("%srewritten:   from %s%s; %s by %s", indent, o.Commit.Short(), made, say.Line(strings.Join(how, ", ")), name(o.By))
		if !seen[o.Commit] {
			seen[o.Commit] = true
			kept := min(*left, len(list)-i-1) // for those beside it
			*left -= kept
			t.chain(f, o.Commit, indent+"  ", seen, left)
			*left = max(0, *left) + kept
		}
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
		if d, ok := rep.Facts.Decision(pr.Decision); ok {
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
