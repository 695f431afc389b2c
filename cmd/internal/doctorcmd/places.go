package doctorcmd

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/cmd/internal/hookscmd"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/handoff"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/notes"
	"github.com/open-covenant/covenant-git/git/provenance"
	"github.com/open-covenant/covenant-git/hooks/install"
	"github.com/open-covenant/covenant-git/runtime/evidence"
)

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
	return append(out, agents(ctx, w)...)
}

// agents are hooks of coding agents that were installed, and are not reached. Nothing is mended: who took them out may have meant it, and an agent may have to be told by a person.
func agents(ctx context.Context, w *work.Work) []ailment {
	byName, err := hookscmd.AgentsUnreached(ctx, w.Env, w.Session.Repo())
	if err != nil {
		return []ailment{{Finding: verdict.Finding{Code: hookUnreached, Message: err.Error(), Hint: "covenant hooks status"}}}
	}
	var out []ailment
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		for _, s := range byName[name] {
			out = append(out, ailment{Finding: verdict.Finding{Code: hookUnreached, Object: name + " " + s.Event, Message: "the hook of this agent is " + string(s.State) + " (" + s.File + ")", Hint: s.Mend}})
		}
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

// checkouts are those that a run which was killed left behind.
func checkouts(ctx context.Context, r *git.Repo, now time.Time) []ailment {
	var out []ailment
	for _, dir := range evidence.Stale(r, now) {
		out = append(out, ailment{
			Finding: verdict.Finding{Code: checkoutStale, Object: dir, Message: "a run that was killed left its checkout", Hint: "covenant doctor --fix"},
			mend:    func() error { return evidence.Discard(ctx, r, dir) },
		})
	}
	return out
}
