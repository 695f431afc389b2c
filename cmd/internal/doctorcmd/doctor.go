// Package doctorcmd is the command "doctor": what is damaged, and what mends it.
package doctorcmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/hookscmd"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/identity"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/audit"
	"github.com/open-covenant/covenant-git/git/handoff"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/notes"
	"github.com/open-covenant/covenant-git/git/provenance"
	"github.com/open-covenant/covenant-git/git/sync"
	"github.com/open-covenant/covenant-git/hooks"
	"github.com/open-covenant/covenant-git/hooks/install"
)

// New returns the command.
func New(env *cli.Env) *cobra.Command {
	var fix, asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Name what is damaged here, and mend what can be",
		Long: `Name what is damaged: the trust root and its pin, ledgers, the notes view, protected
refs that are not where they were admitted, hooks that are not reached, commits that
a hook could not seal, locks left behind, keys that others can read. With --fix, mend
what can be mended without losing a record: rebuild notes from ledgers, seal (vouching)
what hooks could not, remove stale locks, install hooks. On a healthy repository it says nothing and exits 0.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), env, fix, asJSON) },
	}
	cmd.Flags().BoolVar(&fix, "fix", false, "mend what can be mended")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per finding")
	return cmd
}

// Line is one finding with --json.
type Line struct {
	Type string `json:"type"` // "finding"
	verdict.Finding
	Fixed bool `json:"fixed"`
}

// The codes only doctor uses.
const (
	hookUnreached verdict.Code = "hook.unreached"
	hookFailed    verdict.Code = "hook.failed"
	lockStale     verdict.Code = "git.lock"
	refStray      verdict.Code = "ref.stray"
	keyMode       verdict.Code = "key.mode"
	keyUnattended verdict.Code = "key.unattended"
	keyFormer     verdict.Code = "key.former"
	pinMissing    verdict.Code = "root.not-pinned"
)

// staleAfter is the age at which a lock of a ref of ours has no living owner: no transaction of ours takes a second.
const staleAfter = time.Minute

// ailment is a finding and what mends it; mend is nil when only people can.
type ailment struct {
	verdict.Finding
	mend func() error
	key  string // ailments of the same key are mended together
}

func run(ctx context.Context, env *cli.Env, fix, asJSON bool) error {
	w, err := work.OpenFresh(ctx, env)
	if err != nil {
		return err
	}
	defer w.Close()
	list, err := examine(ctx, w)
	if err != nil {
		return err
	}
	left := 0
	mended := map[string]error{}
	for _, a := range list {
		fixed := false
		if fix && a.mend != nil {
			err, done := mended[a.key]
			if !done || a.key == "" {
				err = a.mend()
				mended[a.key] = err
			}
			if fixed = err == nil; !fixed {
				a.Message += "; it can't be mended: " + err.Error()
			}
		}
		if !fixed {
			left++
		}
		if err := print(env, a.Finding, fixed, asJSON); err != nil {
			return err
		}
	}
	if left > 0 {
		return cli.No(nil)
	}
	return nil
}

func print(env *cli.Env, f verdict.Finding, fixed, asJSON bool) error {
	if asJSON {
		return env.JSON(Line{"finding", f, fixed})
	}
	p := env.Palette()
	lead := p.Bad(string(f.Code))
	if fixed {
		lead = p.Good("mended " + string(f.Code))
	}
	object := ""
	if f.Object != "" {
		object = say.Line(f.Object) + ": "
	}
	if _, err := fmt.Fprintf(env.Out, "%s: %s%s\n", lead, object, say.Line(f.Message)); err != nil {
		return err
	}
	if f.Hint != "" && !fixed {
		_, err := fmt.Fprintf(env.Out, "  hint: %s\n", say.Line(f.Hint))
		return err
	}
	return nil
}

func examine(ctx context.Context, w *work.Work) ([]ailment, error) {
	var out []ailment
	out = append(out, locks(w.Session.Repo(), w.Env.Now())...)
	astray, err := stray(w.Session)
	if err != nil {
		return out, err
	}
	out = append(out, astray...)
	gone, err := dangling(w.Session)
	if err != nil {
		return out, err
	}
	out = append(out, gone...)
	pin, err := w.Pin("")
	switch {
	case errors.Is(err, provenance.ErrNotPinned):
		return append(out, ailment{Finding: verdict.Finding{Code: pinMissing, Message: err.Error(), Hint: strings.Join(cli.Hints(err), "; ")}}), nil
	case err != nil:
		return out, err
	}
	facts, err := provenance.Load(ctx, w.Session, pin)
	if err != nil {
		var re *provenance.RootError
		if errors.As(err, &re) {
			code := verdict.RootInvalid
			if errors.Is(err, provenance.ErrRootMismatch) {
				code = verdict.RootMismatch
			}
			return append(out, ailment{Finding: verdict.Finding{
				Code: code, Object: provenance.RootRef, Message: err.Error(),
				Hint: "see what it says to be: covenant trust show; or fetch the pinned one: git fetch origin '+refs/covenant/trust/root:refs/covenant/trust/root'",
			}}), nil
		}
		if errors.Is(err, provenance.ErrRootMissing) {
			return append(out, ailment{Finding: verdict.Finding{
				Code: verdict.RootMissing, Object: provenance.RootRef, Message: "the pinned trust root is not here",
				Hint: "covenant sync",
			}}), nil
		}
		return out, work.Explain(err)
	}
	about, err := root(w, facts.Root)
	if err != nil {
		return out, err
	}
	out = append(out, about...)
	tardy, err := late(w, facts)
	if err != nil {
		return out, work.Explain(err)
	}
	out = append(out, tardy...)
	for _, f := range append(slices.Clone(facts.Problems), sync.TakenBack(w.Session.Repo())...) {
		told := slices.ContainsFunc(gone, func(a ailment) bool { return a.Object == ledger.Prefix+f.Object })
		if f.Code != verdict.GrantRefused && !told {
			out = append(out, ailment{Finding: f, mend: turn(w, facts, &f)})
		}
	}
	logs, err := checkpoints(w, facts)
	if err != nil {
		return out, err
	}
	out = append(out, logs...)
	for _, err := range facts.Authority.Refused {
		if !errors.Is(err, capability.ErrLate) { // told with the ledger it stands in
			out = append(out, ailment{Finding: verdict.Finding{Code: verdict.GrantRefused, Message: err.Error(), Hint: "covenant capability list"}})
		}
	}
	left, err := handoffs(w, facts)
	if err != nil {
		return out, err
	}
	out = append(out, left...)
	damage, err := facts.NotesDamage(w.Session)
	if err != nil {
		return out, err
	}
	for _, f := range damage {
		out = append(out, ailment{Finding: f, key: "notes", mend: func() error { return provenance.RebuildNotes(ctx, w.Session, pin, w.Env.Now()) }})
	}
	out = append(out, keys(w)...) // before what they sign
	out = append(out, former(ctx, w, facts.Authority)...)
	failed := failures(ctx, w, facts)
	out = append(out, failed...)
	red, err := unverified(ctx, w, pin, failed)
	if err != nil {
		return out, err
	}
	out = append(out, red...)
	moved, err := protected(ctx, w, pin, facts.Root)
	if err != nil {
		return out, err
	}
	out = append(out, moved...)
	return append(out, unreached(ctx, w)...), nil
}

// turn moves a ledger to its other way, where an operator said that it goes there; nil for any other finding.
func turn(w *work.Work, facts *provenance.Facts, f *verdict.Finding) func() error {
	for _, x := range facts.Forks() {
		if f.Code == verdict.LedgerFork && f.Object == x.Ledger.String() && x.Decided {
			return func() error { return provenance.Turn(w.Session, x) }
		}
	}
	return nil
}

// checkpoints are those that the ledgers disagree with, and what this clone remembers of the log and the ledgers have not.
func checkpoints(w *work.Work, facts *provenance.Facts) ([]ailment, error) {
	list, err := audit.Wrong(facts, w.Cache(false), w.Env.Now())
	out := make([]ailment, 0, len(list))
	for _, f := range list {
		out = append(out, ailment{Finding: f})
	}
	return out, err
}

// protected are refs here that the policy protects and that are not where their newest admissions put them.
func protected(ctx context.Context, w *work.Work, pin envelope.Digest, root *provenance.Root) ([]ailment, error) {
	refs, err := w.Session.Refs()
	if err != nil {
		return nil, err
	}
	var heads []provenance.Head
	for _, ref := range refs {
		if !root.Policy.Protects(ref.Name) {
			continue
		}
		h, err := provenance.HeadOf(w.Session, ref.Name)
		if err != nil {
			return nil, work.Explain(err)
		}
		heads = append(heads, h)
	}
	if len(heads) == 0 {
		return nil, nil
	}
	f, err := provenance.LoadRefs(ctx, w.Session, pin, heads)
	if errors.Is(err, provenance.ErrShallow) || errors.Is(err, provenance.ErrPartial) {
		return nil, nil // what is not here is not damaged
	}
	if err != nil {
		return nil, work.Explain(err)
	}
	var out []ailment
	for _, h := range heads {
		state := f.RefState(h, w.Env.Now(), w.Ask(f.Root, f.Authority))
		w.HintMoved(&state)
		for _, x := range state.Findings {
			x.Message = h.Ref + ": " + x.Message
			if x.Object == h.Ref {
				x.Object = ""
			}
			out = append(out, ailment{Finding: x})
		}
	}
	return out, nil
}

// maxRed is how many commits that do not verify are told one by one.
const maxRed = 20

// unverified are commits of this branch that do not verify, but for those that were told already. A history that ends too
// early, or that nobody began, has none to tell.
func unverified(ctx context.Context, w *work.Work, pin envelope.Digest, told []ailment) ([]ailment, error) {
	span, err := provenance.ParseSpan(w.Session)
	if errors.Is(err, provenance.ErrRevision) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	opts := w.Looking(pin)
	opts.Cache = w.Cache(false)
	rep, err := provenance.Verify(ctx, w.Session, span, opts)
	var out []ailment
	known := map[string]bool{}
	for _, a := range told {
		known[a.Object] = true
	}
	more := 0
	if err == nil {
		for r, rerr := range rep.Results {
			if err = rerr; err != nil {
				break
			}
			switch {
			case r.Verdict.OK() || known[r.Commit.String()]:
			case len(out) == maxRed:
				more++
			default:
				first := r.Findings[0]
				out = append(out, ailment{Finding: verdict.Finding{
					Code: first.Code, Object: r.Commit.String(), Path: first.Path, Message: "it does not verify: " + first.Message, Hint: "covenant show " + r.Commit.Short(),
				}})
			}
		}
	}
	if more > 0 {
		out = append(out, ailment{Finding: verdict.Finding{Code: out[0].Code, Message: fmt.Sprintf("and %d more commits do not verify", more), Hint: "covenant verify -q"}})
	}
	if errors.Is(err, provenance.ErrShallow) || errors.Is(err, provenance.ErrEmptyRange) || errors.Is(err, provenance.ErrPartial) || errors.As(err, new(*provenance.RootError)) || errors.Is(err, provenance.ErrFreshness) {
		err = nil // or what is wrong with the root was told
	}
	return out, work.Explain(err)
}

// root is what time and remotes say of a root that verifies, and operators' keys that its policy does not want.
func root(w *work.Work, r *provenance.Root) ([]ailment, error) {
	var out []ailment
	switch ref, wrapped, err := provenance.RootWrapped(w.Session); {
	case err != nil:
		return out, err
	case wrapped:
		out = append(out, ailment{
			Finding: verdict.Finding{Code: verdict.RootInvalid, Object: provenance.RootRef, Message: "the ref is a " + ref.Kind + ", which no version can follow", Hint: "covenant doctor --fix"},
			mend:    func() error { return provenance.UnwrapRoot(w.Session, r.Pin()) },
		})
	}
	if f, ok := provenance.ExpiryFinding(r, w.Env.Now()); ok {
		out = append(out, ailment{Finding: f})
	}
	switch err := provenance.Rivals(w.Session, r); {
	case errors.Is(err, trust.ErrFork):
		out = append(out, ailment{Finding: verdict.Finding{Code: provenance.RootFork, Object: provenance.RootRef, Message: err.Error(), Hint: "ask the operators which one is theirs, then: covenant trust pin DIGEST"}})
	case err != nil:
		return out, err
	}
	if r.Policy.AsksPresence() != trust.Ask {
		return out, nil
	}
	for _, name := range r.Operators {
		path, ok := w.Session.Repo().Config().Get(provenance.KeyOf(name))
		if !ok {
			path = filepath.Join(provenance.KeysDir(work.ConfigDir(w.Env)), name)
		}
		if _, err := identity.LoadFile(path, nil); err == nil { // it signs without asking anybody
			out = append(out, ailment{Finding: verdict.Finding{
				Code: keyUnattended, Object: path, Message: "the policy asks for presence, and this key of the operator " + name + " has no passphrase", Hint: "ssh-keygen -p -f " + say.Shell(path),
			}})
		}
	}
	return out, nil
}

// late is what keys signed and nobody who removed them knew of. It counts for nothing until it is done again.
func late(w *work.Work, f *provenance.Facts) ([]ailment, error) {
	list, err := f.Late(w.Session)
	var out []ailment
	for _, l := range list {
		if l.Left() {
			out = append(out, ailment{Finding: l.Finding()})
		}
	}
	return out, err
}

// former are keys that are chosen for somebody here and are none of theirs any more.
func former(ctx context.Context, w *work.Work, a *capability.Authority) []ailment {
	var out []ailment
	r, c := w.Session.Repo(), w.Choice()
	chosen := c.Named(r)
	for _, p := range a.Principals() {
		if _, configured := r.Config().Get(provenance.KeyOf(p.Name)); !configured && p.Name != chosen {
			continue
		}
		err := provenance.CheckKey(r, p, c)
		if err == nil {
			continue
		}
		f := verdict.Finding{Code: keyFormer, Object: p.Name, Message: err.Error() + "; another one is not found here", Hint: "covenant identity use " + p.Name + " --key PATH"}
		var mend func() error
		if other, ok := provenance.OtherKey(r, p, c); ok {
			f.Message, f.Hint = err.Error()+"; "+other+" acts in its place", "covenant identity use "+p.Name+" --key "+say.Shell(other)
			mend = func() error { return w.SetConfig(ctx, false, provenance.KeyOf(p.Name), other) }
		}
		out = append(out, ailment{Finding: f, mend: mend})
	}
	return out
}

// failures are the commits that hooks could not seal and nobody sealed since.
func failures(ctx context.Context, w *work.Work, f *provenance.Facts) []ailment {
	var out []ailment
	r := w.Session.Repo()
	list := hooks.Failures(r)
	open := 0
	for _, x := range list {
		if len(f.Seals[x.Commit]) > 0 {
			continue
		}
		commits, err := provenance.Commits(w.Session, x.Commit.String())
		if err != nil {
			continue // rewritten away and collected
		}
		if exempt, err := f.Root.Exempted(ctx, w.Session, commits, w.Verifying(f.Root.Pin())); err == nil && exempt[x.Commit] {
			continue
		}
		open++ // remembered: what was taken back may come back
		if !held(ctx, w, x.Commit.String()) {
			continue
		}
		if denied := f.Denied[x.Commit]; len(denied) > 0 { // nobody vouches for that unasked
			out = append(out, ailment{Finding: verdict.Finding{
				Code: verdict.SealBypassed, Object: x.Commit.String(), Message: "the gate refused it, and it stands: " + denied[0].Reason,
				Hint: "covenant capability explain " + denied[0].ID.Short(),
			}})
			continue
		}
		out = append(out, ailment{
			Finding: verdict.Finding{Code: hookFailed, Object: x.Commit.String(), Message: x.Moment + " could not seal it: " + x.Reason, Hint: "covenant provenance seal " + x.Commit.Short()},
			mend: func() error {
				k, err := w.Sealer(f)
				if err != nil {
					return err
				}
				_, err = k.Seal(ctx, prov.Vouching, "", commits)
				return err
			},
		})
	}
	if open == 0 && len(list) > 0 {
		_ = hooks.ForgetFailures(r)
	}
	return out
}

// held reports whether a ref, or HEAD, leads to a commit.
func held(ctx context.Context, w *work.Work, commit string) bool {
	r := w.Session.Repo()
	if out, err := r.Run(ctx, nil, "for-each-ref", "--count=1", "--format=%(refname)", "--contains", commit); err != nil || len(out) > 0 {
		return true
	}
	_, err := r.Run(ctx, nil, "merge-base", "--is-ancestor", commit, "HEAD")
	return err == nil
}

// unreached are hooks that Git would not run.
func unreached(ctx context.Context, w *work.Work) []ailment {
	if w.Session.Repo().WorkTree() == "" {
		return nil // no commit is made in a bare repository
	}
	list, err := hookscmd.Unreached(ctx, w.Env, w.Session.Repo())
	if err != nil {
		return []ailment{{Finding: verdict.Finding{Code: hookUnreached, Message: err.Error(), Hint: "covenant hooks status"}}}
	}
	if _, chosen := w.Session.Repo().Config().Get(provenance.IdentityKey); !chosen && len(list) == len(install.Moments) {
		return nil // a clone to read in: nobody commits here under a name of ours
	}
	var out []ailment
	for _, m := range list {
		out = append(out, ailment{
			Finding: verdict.Finding{Code: hookUnreached, Object: m, Message: "Git does not reach this hook", Hint: "covenant hooks install"},
			key:     "hooks", mend: func() error { _, err := hookscmd.InstallFor(ctx, w.Env, w.Session.Repo()); return err },
		})
	}
	return out
}

// stray are refs among ours that are none of ours. One that has the name of a folder of refs keeps us from writing there.
func stray(s *git.Session) ([]ailment, error) {
	refs, err := s.Refs("refs/covenant")
	if err != nil {
		return nil, err
	}
	var out []ailment
	for _, r := range refs {
		_, isLedger := ledger.ParseRef(r.Name)
		number, isStaged := strings.CutPrefix(r.Name, provenance.StagedPrefix)
		if isStaged {
			n, err := strconv.Atoi(number)
			isStaged = err == nil && n > 0 && strconv.Itoa(n) == number
		}
		if isLedger || isStaged || r.Name == provenance.RootRef || strings.HasPrefix(r.Name, provenance.FormerPrefix) {
			continue
		}
		if _, ok := handoff.IDOf(r.Name); ok { // whether a statement is of it is looked at with the ledgers
			continue
		}
		out = append(out, ailment{Finding: verdict.Finding{
			Code: refStray, Object: r.Name, Message: "is no record of ours, and may be in the way of one", Hint: "look at it, then: git update-ref -d " + say.Shell(r.Name),
		}})
	}
	return out, nil
}

// dangling are refs of the record whose commit is not here: Git fetches nothing into a repository that has one.
func dangling(s *git.Session) ([]ailment, error) {
	refs, err := s.Tips("refs/covenant", provenance.RemotePrefix, provenance.ForkPrefix, notes.Ref)
	if err != nil {
		return nil, err
	}
	var out []ailment
	for _, r := range refs {
		if _, err := s.Object(r.ID.String(), 1<<20); !errors.Is(err, git.ErrMissing) || r.Name == provenance.RootRef { // of the root more is said
			continue
		}
		out = append(out, ailment{
			Finding: verdict.Finding{
				Code: verdict.LedgerDamaged, Object: r.Name, Message: "its commit " + r.ID.String() + " is not here, and keeps Git from fetching",
				Hint: "look for it in a copy, or let it go and fetch what others have: covenant doctor --fix && covenant sync",
			},
			mend: func() error { return s.Update("covenant doctor", git.RefUpdate{Name: r.Name, Old: r.ID}) },
		})
	}
	return out, nil
}

// locks are lock files on our refs, on packed refs and on the configuration that a killed process left.
func locks(r *git.Repo, now time.Time) []ailment {
	var out []ailment
	for _, name := range []string{"config.lock", "packed-refs.lock"} {
		path := filepath.Join(r.CommonDir(), name)
		if info, err := os.Lstat(path); err == nil && now.Sub(info.ModTime()) >= staleAfter {
			out = append(out, ailment{
				Finding: verdict.Finding{Code: lockStale, Object: path, Message: "a process that died left this lock", Hint: "covenant doctor --fix"},
				mend:    func() error { return os.Remove(path) },
			})
		}
	}
	for _, dir := range []string{"refs/covenant", "refs/notes"} {
		_ = filepath.WalkDir(filepath.Join(r.CommonDir(), dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".lock") || (dir == "refs/notes" && filepath.Base(path) != "covenant.lock") {
				return nil //nolint:nilerr // what can't be read has no lock to tell of
			}
			info, err := d.Info()
			if err != nil || now.Sub(info.ModTime()) < staleAfter {
				return nil //nolint:nilerr // gone, or in use
			}
			out = append(out, ailment{
				Finding: verdict.Finding{Code: lockStale, Object: path, Message: "a process that died left this lock", Hint: "covenant doctor --fix"},
				mend:    func() error { return os.Remove(path) },
			})
			return nil
		})
	}
	return out
}

// keys are private keys of ours that others can read.
func keys(w *work.Work) []ailment {
	var out []ailment
	dir := provenance.KeysDir(work.ConfigDir(w.Env))
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || strings.HasSuffix(e.Name(), ".pub") || !info.Mode().IsRegular() || info.Mode().Perm()&0o077 == 0 || os.PathSeparator == '\\' {
			continue
		}
		path := filepath.Join(dir, e.Name())
		out = append(out, ailment{
			Finding: verdict.Finding{Code: keyMode, Object: path, Message: fmt.Sprintf("others can read this private key (mode %04o)", info.Mode().Perm()), Hint: "chmod 600 " + say.Shell(path)},
			mend:    func() error { return os.Chmod(path, 0o600) },
		})
	}
	return out
}
