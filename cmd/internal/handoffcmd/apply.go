package handoffcmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
	form "github.com/open-covenant/covenant-git/envelope/handoff"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/handoff"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/sync"
)

type applying struct {
	who, dir, branch, claim, most      string
	again, force, finish, revert, json bool
}

func newApply(env *cli.Env) *cobra.Command {
	var o applying
	cmd := &cobra.Command{
		Use:   "apply ID|FILE",
		Short: "Take up a handoff: put it into a work tree",
		Long: `Put a handoff into this work tree, byte for byte, what is staged and what is not apart, and
record that you have it. HEAD must be at the commit that it began on, and the work tree clean:
nothing is ever overwritten. A FILE is a bundle; its record is judged as that of a remote is.

A handoff can be taken up once: whoever comes second gets AlreadyResumed, with who and when,
and exit code 1. Two clones that do not know of each other can both have it until they sync;
with --claim the remote decides: it gives it to one of them, before anything is written.

When the process dies in the middle, --continue finishes it, and --abort takes it back.`,
		Example: `  covenant handoff apply 3f9a0c51b7de
  covenant handoff apply 3f9a0c51b7de --worktree ../resumed --onto-branch resumed
  covenant handoff apply work.bundle`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runApply(cmd.Context(), env, o, args) },
	}
	f := cmd.Flags()
	f.StringVar(&o.dir, "worktree", "", "into this work tree of the repository, which is made where it is not there")
	f.StringVar(&o.branch, "onto-branch", "", "on this branch, which is made at the commit that the handoff began on")
	f.StringVar(&o.claim, "claim", "", "ask this remote first: of all who do, one gets it")
	f.StringVar(&o.most, "max-bytes", "256m", "how much is taken")
	f.BoolVar(&o.again, "again", false, "also when somebody has it; that is recorded")
	f.BoolVar(&o.force, "force", false, "beside changes of your own that are not in the way")
	f.BoolVar(&o.finish, "continue", false, "finish what was begun in this work tree")
	f.BoolVar(&o.revert, "abort", false, "take back what was begun in this work tree")
	f.StringVar(&o.who, "identity", "", "act as this principal: a name, or the path of a private key")
	f.BoolVar(&o.json, "json", false, "print one JSON object")
	return cmd
}

// Resumed is a handoff that was taken up, with --json.
type Resumed struct {
	Type        string   `json:"type"` // "resumed"
	ID          string   `json:"id"`
	Entry       string   `json:"entry"`
	WorkTree    string   `json:"worktree"`
	Base        string   `json:"base,omitempty"`
	Ref         string   `json:"ref,omitempty"`
	Paths       int      `json:"paths"`
	From        string   `json:"from"` // who handed it off
	Intent      string   `json:"intent,omitempty"`
	IntentState string   `json:"intentState,omitempty"`
	Note        string   `json:"note,omitempty"`
	Next        string   `json:"next,omitempty"`
	Questions   []string `json:"questions"`
	Memory      []string `json:"memory"`
	Evidence    []string `json:"evidence"`
	Left        []Left   `json:"left"`
	LeftMore    int      `json:"leftMore,omitempty"`
}

// Aborted is a handoff that was taken back, with --json.
type Aborted struct {
	Type     string `json:"type"` // "aborted"
	ID       string `json:"id"`
	WorkTree string `json:"worktree"`
	Paths    int    `json:"paths"`
}

func runApply(ctx context.Context, env *cli.Env, o applying, args []string) error {
	limit, err := size("--max-bytes", o.most)
	switch {
	case err != nil:
		return err
	case o.finish && o.revert:
		return cli.Usage("--continue and --abort exclude each other")
	case o.finish || o.revert:
		if len(args) > 0 || o.dir != "" || o.branch != "" {
			return cli.Usage("--continue and --abort are of this work tree, and take nothing else")
		}
		return runPending(ctx, env, o)
	case len(args) == 0:
		return cli.Hint(cli.Usage("a handoff or a bundle must be named"), "see which there are: covenant handoff list")
	}
	w, err := open(ctx, env)
	if err != nil {
		return err
	}
	defer w.Close()
	if _, err := handoff.PendingHere(w.Session.Repo()); o.dir == "" && !errors.Is(err, handoff.ErrNoPending) {
		if err == nil {
			err = handoff.ErrPending
		}
		return explain(err, "ID")
	}
	id := args[0]
	if isFile(env, id) {
		if id, err = w.unbundle(ctx, env.Path(id), limit); err != nil {
			return err
		}
	}
	if o.claim != "" {
		if err := w.sync(ctx, o.claim, sync.Default); err != nil {
			return err
		}
	}
	h, err := w.find(id)
	if err != nil {
		return err
	}
	name := handoff.Short(h.ID)
	if err := w.free(ctx, h, &o); err != nil { // whose objects may be gone
		return explain(err, name)
	}
	v, err := handoff.Verify(ctx, w.Session, h, limit)
	if err != nil {
		return explain(err, name)
	}
	to, back, err := w.enter(ctx, env, v, &o)
	if err != nil {
		return explain(err, name)
	}
	if to != w {
		defer to.Close()
	}
	done, err := to.put(ctx, v, &o)
	if err == nil {
		return to.tellResumed(env, h, done, o.json)
	}
	_, none := handoff.PendingHere(to.Session.Repo())
	begun := errors.Is(err, handoff.ErrBegun) || errors.Is(err, handoff.ErrNoPending) // perhaps finished by somebody else since
	if errors.Is(none, handoff.ErrNoPending) && !begun {
		if berr := back(context.WithoutCancel(ctx)); berr != nil {
			env.Talk().Warn("what was made for it stays: %v", berr)
		}
	}
	return err
}

// put puts the handoff into the work tree that was gone to.
func (w *opened) put(ctx context.Context, v *handoff.Verified, o *applying) (*handoff.Done, error) {
	w.Explicit = o.who
	k, err := w.Sealer(w.Facts)
	if err != nil {
		return nil, err
	}
	a := handoff.Applying{Again: o.again, Force: o.force, Claim: w.take}
	if !o.again {
		a.Remote = o.claim
	}
	done, err := handoff.Apply(ctx, k, v, a)
	if errors.Is(err, handoff.ErrBegun) {
		return nil, begun(err, o.dir)
	}
	return done, explain(w.told(ctx, err), handoff.Short(v.ID))
}

// begun says what to do about a handoff that is half in a work tree.
func begun(err error, dir string) error {
	in := ""
	if dir != "" {
		in = "-C " + say.Shell(dir) + " "
	}
	return cli.Hint(work.Explain(err), "it is not all in the work tree; when that is mended, finish it: covenant "+in+"handoff apply --continue", "or take it back: covenant "+in+"handoff apply --abort")
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// free says whether the handoff can be had, here and at the remote that is asked.
func (w *opened) free(ctx context.Context, h *form.Handoff, o *applying) error {
	if o.again {
		return nil
	}
	claim, err := w.Session.Tips(handoff.Claim(h.ID))
	if err != nil {
		return err
	}
	at := oid.ID{}
	for _, r := range claim {
		at = r.ID
	}
	if by := w.Held(h, at); by != nil {
		return by
	}
	if o.claim == "" {
		return nil
	}
	at, err = sync.ClaimAt(ctx, w.Session, o.claim, h.ID)
	if err != nil || at.IsZero() {
		return err
	}
	if by := w.Held(h, at); by != nil {
		by.At = sync.Shown(o.claim)
		return by
	}
	return nil
}

// take claims a handoff at a remote. A claim there that is over is replaced. Who was first is asked later, by told.
func (w *opened) take(ctx context.Context, id envelope.Digest, remote, ledger string, entry oid.ID) error {
	w.asked = remote
	old, err := sync.ClaimAt(ctx, w.Session, remote, id)
	if err != nil {
		return err
	}
	if !old.IsZero() && old != entry {
		if t, ok := w.Resumption(id, old); !ok || !t.Over() {
			return &handoff.AlreadyResumedError{ID: id, At: sync.Shown(remote)}
		}
	}
	err = sync.Take(ctx, w.Session, remote, id, ledger, entry, old)
	if errors.Is(err, sync.ErrClaimed) {
		err = &handoff.AlreadyResumedError{ID: id, At: sync.Shown(remote)}
	}
	return err
}

// told finds out who was first at a remote, where it said that somebody was.
func (w *opened) told(ctx context.Context, err error) error {
	var by *handoff.AlreadyResumedError
	if !errors.As(err, &by) || by.At == "" || by.By.ID != "" || w.asked == "" {
		return err
	}
	return w.heldAt(ctx, by.ID, w.asked)
}

// heldAt says who has a handoff at a remote, as far as its record can be had.
func (w *opened) heldAt(ctx context.Context, id envelope.Digest, remote string) error {
	by := &handoff.AlreadyResumedError{ID: id, At: sync.Shown(remote)}
	if err := w.sync(ctx, remote, sync.Default); err != nil {
		return errors.Join(by, err)
	}
	at, err := sync.ClaimAt(ctx, w.Session, remote, id)
	if err != nil {
		return errors.Join(by, err)
	}
	if t, ok := w.Resumption(id, at); ok {
		by.By, by.Who = t, w.Who(t.KeyID)
	}
	return by
}

// sync takes over what a remote, or a bundle, has of the record.
func (w *opened) sync(ctx context.Context, remote string, limits sync.Limits) error {
	rep, err := sync.Run(ctx, w.Session, sync.Options{Remote: remote, Pin: w.pin, Now: w.Env.Now(), Fetch: true, Limits: limits})
	if err != nil {
		return cli.Hint(err, "see whether Git reads it: git ls-remote "+say.Shell(sync.Shown(remote)))
	}
	for _, f := range append(append([]verdict.Finding{}, rep.Refused...), rep.Warnings...) {
		w.Env.Talk().Warn("%s: %s: %s", f.Code, say.Name(f.Object), say.Line(f.Message))
	}
	if !rep.OK() {
		return cli.No(fmt.Errorf("the record of %s was not taken over: see above", say.Name(sync.Shown(remote))))
	}
	if rep.Root != nil {
		w.pin = rep.Root.Digest
	}
	return w.load(ctx)
}

// unbundle takes over what a bundle has, and says which handoff that is. It is read as any other hostile input.
func (w *opened) unbundle(ctx context.Context, file string, limit int64) (string, error) {
	file, id, err := w.bundled(ctx, file, limit)
	if err != nil {
		return "", err
	}
	err = w.sync(ctx, file, sync.Default.Up(limit))
	if ferr := sync.Forget(w.Session, file); err == nil { // another bundle of that name is not held to this one
		err = ferr
	}
	if err != nil {
		return "", err
	}
	h, err := w.Find(string(id))
	if err != nil {
		return "", unsigned(file, err)
	}
	return string(h.ID), nil
}

func (w *opened) tellResumed(env *cli.Env, h *form.Handoff, done *handoff.Done, asJSON bool) error {
	l := line(w.Session, w.Record, h)
	tree := w.Session.Repo().WorkTree()
	if asJSON {
		return env.JSON(Resumed{
			Type: "resumed", ID: l.ID, Entry: string(done.Resumed), WorkTree: tree, Base: l.Base, Ref: l.Ref, Paths: done.Paths, From: l.Principal, Intent: l.Intent, IntentState: l.IntentState,
			Note: l.Note, Next: l.Next, Questions: l.Questions, Memory: l.Memory, Evidence: l.Evidence, Left: l.Left, LeftMore: l.LeftMore,
		})
	}
	if _, err := fmt.Fprintf(env.Out, "%s %s in %s: %s\n", env.Palette().Good("resumed"), handoff.Short(h.ID), say.Name(tree), say.Count(done.Paths, "path")); err != nil {
		return err
	}
	tellLeft(env, &h.Creation)
	var b strings.Builder
	if l.Intent != "" {
		fmt.Fprintf(&b, "%-10s %s\n", "intent", intent(l.Intent, l.IntentState))
	}
	paragraph(&b, "note", l.Note)
	for _, q := range l.Questions {
		paragraph(&b, "question", q)
	}
	paragraph(&b, "next", l.Next)
	for _, m := range l.Memory {
		fmt.Fprintf(&b, "%-10s %s\n", "memory", say.Name(m))
	}
	for _, e := range l.Evidence {
		fmt.Fprintf(&b, "%-10s %s\n", "evidence", e)
	}
	_, err := fmt.Fprint(env.Out, b.String())
	return err
}

// runPending finishes what was begun in this work tree, or takes it back.
func runPending(ctx context.Context, env *cli.Env, o applying) error {
	w, err := open(ctx, env)
	if err != nil {
		return err
	}
	defer w.Close()
	w.Explicit = o.who
	p, err := handoff.PendingHere(w.Session.Repo())
	if err != nil {
		return explain(err, "ID")
	}
	k, err := w.Sealer(w.Facts)
	if err != nil {
		return err
	}
	if o.revert {
		done, err := handoff.Abort(ctx, k)
		if errors.Is(err, handoff.ErrBegun) {
			return begun(err, "")
		}
		if err != nil {
			return explain(err, handoff.Short(p.ID))
		}
		if o.json {
			return env.JSON(Aborted{"aborted", string(p.ID), p.WorkTree, done.Paths})
		}
		_, err = fmt.Fprintf(env.Out, "%s %s: %s as they were\n", env.Palette().Warn("taken back"), handoff.Short(p.ID), say.Count(done.Paths, "path"))
		return err
	}
	done, err := handoff.Continue(ctx, k, handoff.Applying{Claim: w.take})
	if errors.Is(err, handoff.ErrBegun) {
		return begun(err, "")
	}
	if err != nil {
		return explain(w.told(ctx, err), handoff.Short(p.ID))
	}
	h, err := w.find(string(p.ID))
	if err != nil {
		return err
	}
	return w.tellResumed(env, h, done, o.json)
}
