// Package refcmd is the command group "ref": where protected refs may be, and who said so.
package refcmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/provenancecmd"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// New returns the command group.
func New(env *cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ref",
		Short: "Say where protected refs may be, and see who said so",
		Long: `An admission is the signed statement that a protected ref moved from one place to
another, by somebody who may and who verified what came. A protected ref must be
where its newest admission put it: neither a server nor who pushes can roll it
back, or point it elsewhere, unseen. "verify" tells; so does "covenant verify REF".`,
	}
	cmd.AddCommand(newAdmit(env), newLog(env), newVerify(env))
	return cmd
}

// Admitted is one admission with --json.
type Admitted struct {
	Type      string `json:"type"` // "admission"
	ID        string `json:"id"`
	Ref       string `json:"ref"`
	Old       string `json:"old,omitempty"` // absent: the ref was made
	New       string `json:"new,omitempty"` // absent: it was deleted
	Principal string `json:"principal,omitempty"`
	Key       string `json:"key,omitempty"`
	Action    string `json:"action,omitempty"` // what its signer must be allowed
	Time      string `json:"time,omitempty"`
	Root      string `json:"root,omitempty"`
	Ledger    string `json:"ledger,omitempty"`
	OK        bool   `json:"ok"`               // it counts
	Reason    string `json:"reason,omitempty"` // why it does not
}

// refOf finds the ref that an argument means: in a clone of its own, "origin/main" is the remote's main. With a *RevisionError it returns what
// branch is meant, if it ever was one.
func refOf(s *git.Session, name string) (provenance.Head, error) {
	if strings.HasPrefix(name, "refs/") && !strings.HasPrefix(name, "refs/remotes/") {
		h, err := provenance.HeadOf(s, name) // it may be gone
		return h, err
	}
	sp, err := provenance.ParseSpan(s, name)
	var unknown *provenance.RevisionError
	if ref := provenance.FullRef(name); errors.As(err, &unknown) && git.ValidRef(ref) {
		return provenance.Head{Ref: ref, Here: ref}, err // maybe one that is gone
	}
	if err != nil {
		return provenance.Head{}, err
	}
	h, ok, err := sp.Head(s)
	if err == nil && !ok {
		err = fmt.Errorf("%w: %q is not the name of a ref", provenance.ErrRevision, name)
	}
	return h, err
}

func newAdmit(env *cli.Env) *cobra.Command {
	var who, old string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "admit REF",
		Short: "Admit that a protected ref is where it is now",
		Long: `Admit that a ref is where it is now in this clone: verify every commit that came
since its newest admission, and record that it moved. To go forward needs repo.push,
to go back or elsewhere repo.rewind, to make or delete it repo.ref, for tags repo.tag.
Where its admissions lead to several places, all of them are brought together.

--old says where it comes from instead: a server asks for exactly the move it is
asked to make.`,
		Example: "  covenant ref admit main\n  covenant ref admit refs/heads/release/1 --identity ci\n  covenant ref admit main --old 6f1c0a…",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runAdmit(cmd.Context(), env, who, old, asJSON, args[0])
		},
	}
	f := cmd.Flags()
	f.StringVar(&old, "old", "", "where the ref comes from: a full object name, or zeros for a ref that is made (default: where its newest admission put it)")
	f.StringVar(&who, "identity", "", "act as this principal: a name, or the path of a private key")
	f.BoolVar(&asJSON, "json", false, "print one JSON object per admission")
	return cmd
}

func runAdmit(ctx context.Context, env *cli.Env, who, old string, asJSON bool, name string) error {
	var from oid.ID
	if old != "" {
		var err error
		if from, err = oid.Parse(old); err != nil {
			return cli.Usage("--old takes a full object name, not %q", old)
		}
	}
	w, pin, err := work.OpenPinned(ctx, env, "")
	if err != nil {
		return err
	}
	defer w.Close()
	w.Explicit = who
	unlock, err := w.Session.Repo().Lock(ctx) // what is admitted goes on from what is there
	if err != nil {
		return err
	}
	defer unlock()
	f, heads, err := load(ctx, w, pin, name)
	if err != nil {
		return err
	}
	h := heads[0]
	k, err := w.Sealer(f)
	if err != nil {
		return err
	}
	k.Locked, k.Moment = true, "ref admit"
	var made []envelope.Digest
	if old != "" {
		if err := f.MayFollow(h, from); err != nil {
			return cli.No(cli.Hint(err, "admit where the ref was first, then where it is: covenant ref log "+say.Shell(h.Ref)))
		}
		id, aerr := k.Admit(ctx, h.Ref, from, h.ID)
		if err = aerr; err == nil {
			made = append(made, id)
		}
	} else {
		made, err = k.AdmitHead(ctx, f, h)
	}
	if perr := printMade(env, h, k.Hand.Principal.Name, made, asJSON); perr != nil { // on the way to a refusal some may have been made
		return perr
	}
	switch {
	case err != nil && len(made)+len(f.Line(h.Ref).Steps) == 0 && unreviewed(err):
		return cli.No(cli.Hint(err, "nobody said yet that "+say.Shell(h.Ref)+" may be where it is, and what is there had no reviews: leave them out of the policy, admit it, and then ask for them"))
	case err != nil:
		return explain(err)
	case len(made) == 0:
		env.Talk().Note("%s is where it was admitted already", say.Name(h.Ref))
	}
	if !f.Root.Policy.Protects(h.Ref) {
		env.Talk().Note("%s is not protected by the policy: the admission is recorded, and nothing asks for it", say.Name(h.Ref))
	}
	return nil
}

func printMade(env *cli.Env, h provenance.Head, who string, made []envelope.Digest, asJSON bool) error {
	for _, id := range made {
		if asJSON {
			if err := env.JSON(Admitted{Type: "admission", ID: string(id), Ref: h.Ref, New: text(h.ID), Principal: who, OK: true}); err != nil {
				return err
			}
			continue
		}
		if _, err := fmt.Fprintf(env.Out, "%s %s at %s\n%s\n", env.Palette().Good("admitted"), say.Name(h.Ref), short(h.ID), id); err != nil {
			return err
		}
	}
	return nil
}

// unreviewed reports whether reviews are what commits lack.
func unreviewed(err error) bool {
	var bad *provenance.UnverifiedError
	return errors.As(err, &bad) && slices.ContainsFunc(bad.Results, func(r verdict.Result) bool {
		return slices.ContainsFunc(r.Findings, func(f verdict.Finding) bool { return f.Code == verdict.PolicyReview })
	})
}

// explain says what to type about commits that do not verify.
func explain(err error) error {
	var bad *provenance.UnverifiedError
	if errors.As(err, &bad) {
		hint := "see all of it: covenant verify"
		if len(bad.Results) > 0 {
			hint = "see why: covenant show " + bad.Results[0].Commit.Short()
		}
		return cli.No(cli.Hint(err, hint))
	}
	return work.Explain(err)
}

func text(id oid.ID) string {
	if id.IsZero() {
		return ""
	}
	return id.String()
}

func short(id oid.ID) string {
	if id.IsZero() {
		return "nothing"
	}
	return id.Short()
}

func newLog(env *cli.Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "log REF",
		Short: "List the admissions of a ref, oldest first",
		Long: `List the admissions of a ref, oldest first: from where to where, when, by whom, and
whether each counts.`,
		Example: "  covenant ref log main\n  covenant ref log main --json | jq 'select(.ok|not)'",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runLog(cmd.Context(), env, asJSON, args[0])
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per admission")
	return cmd
}

func runLog(ctx context.Context, env *cli.Env, asJSON bool, name string) error {
	w, pin, err := work.OpenPinned(ctx, env, "")
	if err != nil {
		return err
	}
	defer w.Close()
	f, heads, err := load(ctx, w, pin, name)
	if err != nil {
		return err
	}
	h := heads[0]
	world := f.World()
	world.Authority = w.Ask(f.Root, f.Authority)
	steps := slices.Clone(f.Line(h.Ref).Steps)
	slices.SortStableFunc(steps, func(a, b verdict.Step) int { return a.Time.Compare(b.Time) })
	for i := range steps {
		if err := printStep(env, f, h.Ref, &steps[i], steps[i].Refusal(world, h.Ref, env.Now()), asJSON); err != nil {
			return err
		}
	}
	if len(steps) == 0 {
		env.Talk().Note("nobody admitted anything of %s", say.Name(h.Ref))
	}
	return nil
}

func printStep(env *cli.Env, f *provenance.Facts, ref string, s *verdict.Step, why string, asJSON bool) error {
	who := s.KeyID
	if p, ok := f.Authority.ByKey(s.KeyID); ok {
		who = p.Name
	}
	if asJSON {
		return env.JSON(Admitted{
			Type: "admission", ID: string(s.ID), Ref: ref, Old: text(s.Old), New: text(s.New), Principal: who, Key: s.KeyID, Action: s.Action,
			Time: envelope.Timestamp(s.Time), Root: string(s.Root), Ledger: s.Ledger, OK: why == "", Reason: why,
		})
	}
	p := env.Palette()
	word := p.Good("admitted")
	if why != "" {
		word = p.Bad("refused ")
	}
	line := fmt.Sprintf("%s %s  %s → %s  %s by %s", word, s.ID.Short(), short(s.Old), short(s.New), envelope.Timestamp(s.Time), say.Line(who))
	if why != "" {
		line += "\n         " + say.Line(why)
	}
	_, err := fmt.Fprintln(env.Out, line)
	return err
}

// Summary is the last line of verify with --json.
type Summary struct {
	Type string `json:"type"` // "summary"
	Refs int    `json:"refs"`
	OK   bool   `json:"ok"`
	Root string `json:"root"`
}

func newVerify(env *cli.Env) *cobra.Command {
	var asJSON bool
	var root string
	cmd := &cobra.Command{
		Use:   "verify [REF]...",
		Short: "Tell for protected refs whether each is where its newest admission put it",
		Long: `Tell for protected refs, by default all that are here, whether each is where its
newest admission put it. One that was somewhere and is gone is told as well: in a clone, which need
not have each branch of its remote, as a note. Commits are not judged: "covenant verify REF" does both.
The exit code is 1 when one is not.`,
		Example: "  covenant ref verify\n  covenant ref verify origin/main --json",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runVerify(cmd.Context(), env, root, asJSON, args)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per ref, and a summary")
	cmd.Flags().StringVar(&root, "root", "", "digest of the trust root to hold everything to (default: COVENANT_ROOT, else covenant.root)")
	return cmd
}

var errNoneProtected = errors.New("no ref here is protected by the policy")

func runVerify(ctx context.Context, env *cli.Env, root string, asJSON bool, args []string) error {
	names, err := env.Lines(args)
	if err != nil {
		return err
	}
	w, pin, err := work.OpenPinned(ctx, env, root)
	if err != nil {
		return err
	}
	defer w.Close()
	f, heads, err := load(ctx, w, pin, names...)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		if heads, err = withGone(ctx, w, f, heads); err != nil {
			return err
		}
	}
	sum := Summary{Type: "summary", Refs: len(heads), OK: true, Root: string(pin)}
	ask := w.Ask(f.Root, f.Authority)
	for _, h := range heads {
		state := f.RefState(h, env.Now(), ask)
		w.HintMoved(&state)
		sum.OK = sum.OK && state.OK()
		if err := provenancecmd.PrintRef(env, asJSON, &state, f); err != nil {
			return err
		}
	}
	condemned := f.Condemned()
	sum.OK = sum.OK && condemned == nil
	if asJSON {
		if err := env.JSON(sum); err != nil {
			return err
		}
	}
	if condemned != nil { // what is shown of refs can't be relied on
		return cli.No(cli.Hint(condemned, "see all of it: covenant verify"))
	}
	if !sum.OK {
		return cli.No(nil)
	}
	return nil
}

// load reads the histories of the refs that are named, or, where none is, of all that the policy protects and are here. What is no revision may be a
// branch that is gone: if it was ever somewhere, as governance or an admission has it.
func load(ctx context.Context, w *work.Work, pin envelope.Digest, names ...string) (*provenance.Facts, []provenance.Head, error) {
	var heads []provenance.Head
	var unknown []error // of the head beside it
	for _, n := range names {
		h, err := refOf(w.Session, n)
		if err != nil && h.Ref == "" {
			return nil, nil, work.Explain(err)
		}
		heads, unknown = append(heads, h), append(unknown, err)
	}
	var err error
	if len(names) == 0 {
		if heads, err = w.Protected(pin); err != nil {
			return nil, nil, work.Explain(err)
		}
	}
	f, err := w.Cache(false).LoadRefs(ctx, w.Session, pin, heads)
	if err != nil {
		return nil, nil, work.Explain(err)
	}
	for i, err := range unknown {
		if l := f.Line(heads[i].Ref); err != nil && len(l.Steps)+len(l.Since) == 0 {
			return nil, nil, work.Explain(err)
		}
	}
	return f, heads, nil
}

// withGone adds protected refs that were somewhere, as governance or an admission has it, and are not here. A clone need not have each branch that its remote has, so
// there it is only said.
func withGone(ctx context.Context, w *work.Work, f *provenance.Facts, heads []provenance.Head) ([]provenance.Head, error) {
	remotes, err := w.Session.Repo().Run(ctx, nil, "remote")
	if err != nil {
		return nil, err
	}
	whole := w.Session.Repo().WorkTree() == "" || len(bytes.TrimSpace(remotes)) == 0
	seen, told := map[string]bool{}, ""
	for _, h := range heads {
		seen[h.Ref] = true
	}
	var known []string
	for _, g := range f.Root.Governed {
		known = append(known, g.Ref)
	}
	for i := range f.Admitted {
		known = append(known, f.Admitted[i].Ref)
	}
	for _, ref := range known {
		if seen[ref] || !f.Root.Policy.Protects(ref) {
			continue
		}
		seen[ref] = true
		h := provenance.Head{Ref: ref, Here: ref}
		if state := f.RefState(h, w.Env.Now(), w.Ask(f.Root, f.Authority)); state.OK() {
			continue // an admission says that it is gone
		}
		if told = ref; whole {
			heads = append(heads, h)
			continue
		}
		w.Env.Talk().Note("%s is protected, was admitted, and is not here; of the remote's: covenant ref verify REMOTE/%s", say.Name(ref), say.Name(strings.TrimPrefix(ref, "refs/heads/")))
	}
	switch {
	case len(heads) > 0:
		return heads, nil
	case told != "":
		return nil, errors.New("no ref that the policy protects is here")
	}
	return nil, cli.Hint(errNoneProtected, "see which it protects: covenant policy show")
}
