package git

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/lockedfile"
)

// Lock takes the lock that serialises our own writers of this repository, over all its worktrees
// and processes, and waits for it until ctx ends. Git does not know it: it protects no refs, it
// only spares our writers conflicts with each other and guards what lies in [Repo.StateDir].
//
// The lock is advisory, on <common>/covenant/lock, and goes when the process does. The directory
// is made readable for its owner only, or as core.sharedRepository says.
func (r *Repo) Lock(ctx context.Context) (unlock func(), err error) {
	return r.LockFor(ctx, lockName)
}

const lockName = "lock"

// LockFor is Lock for one kind of work, which goes on while others write: <common>/covenant/<name> is locked.
func (r *Repo) LockFor(ctx context.Context, name string) (unlock func(), err error) {
	path, err := r.lockFile(name)
	if err != nil {
		return nil, fmt.Errorf("lock the repository: %w", err)
	}
	type result struct {
		unlock func()
		err    error
	}
	got := make(chan result, 1)
	go func() {
		u, err := lockedfile.MutexAt(path).Lock()
		got <- result{u, err}
	}()
	select {
	case g := <-got:
		if g.err != nil {
			return nil, fmt.Errorf("lock the repository: %w", g.err)
		}
		return g.unlock, nil
	case <-ctx.Done():
		// The system call cannot be interrupted; give the lock back when it comes.
		go func() {
			if g := <-got; g.err == nil {
				g.unlock()
			}
		}()
		return nil, fmt.Errorf("lock the repository: %w", context.Cause(ctx))
	}
}

// lockFile makes the state directory and a lock file in it.
func (r *Repo) lockFile(name string) (string, error) {
	dir := r.StateDir()
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	share := r.sharing()
	switch err := os.Mkdir(dir, 0o700); {
	case err == nil:
		if err := share.apply(dir); err != nil {
			return "", err
		}
	case !os.IsExist(err):
		return "", err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return "", err
	}
	if err := f.Close(); err != nil {
		return "", err
	}
	return path, share.apply(path)
}
