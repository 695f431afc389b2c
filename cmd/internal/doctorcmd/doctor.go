// Package doctorcmd is the command "doctor": what is damaged, and what mends it.
package doctorcmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/audit"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/provenance"
	"github.com/open-covenant/covenant-git/git/sync"
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
	checkoutStale verdict.Code = "evidence.checkout"
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
	out = append(out, checkouts(ctx, w.Session.Repo(), w.Env.Now())...)
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
	out = append(out, unpruned(ctx, w, facts)...)
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
	moved, err := protected(w, pin)
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

// unpruned are entries that somebody who may dropped, and that are here: a process died before it was done, or somebody put them back.
func unpruned(ctx context.Context, w *work.Work, facts *provenance.Facts) []ailment {
	pending := facts.Pending()
	out := make([]ailment, 0, len(pending))
	for _, p := range pending {
		out = append(out, ailment{Finding: verdict.Finding{
			Code: verdict.LedgerUnpruned, Object: p.Says.Of, Hint: "drop them here, too: covenant doctor --fix",
			Message: fmt.Sprintf("entries are here that were dropped, as %s says, which drops %d", p.ID.Short(), p.Says.Dropped),
		}, mend: func() error { return facts.Forget(ctx, w.Session, p) }})
	}
	return out
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

// maxRed is how many commits that do not verify are told one by one.
const maxRed = 20
