package evidence

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/git"
)

const (
	checkoutPrefix = "covenant-evidence-" // of the folder that a checkout is in
	heldFile       = "held"               // in it, locked as long as the run lasts
	checkoutStale  = 24 * time.Hour       // where locks tell nothing
)

// Stale returns the folders of checkouts that runs of processes that are gone left behind.
func Stale(r *git.Repo, now time.Time) []string {
	files, err := filepath.Glob(filepath.Join(r.CommonDir(), "worktrees", "*", "gitdir"))
	if err != nil {
		return nil
	}
	var out []string
	for _, file := range files {
		b, err := os.ReadFile(file) //nolint:gosec // Git's
		if err != nil {
			continue
		}
		top := filepath.Dir(strings.TrimSpace(string(b)))
		parent := filepath.Dir(top)
		if filepath.Base(top) == "tree" && strings.HasPrefix(filepath.Base(parent), checkoutPrefix) && abandoned(parent, file, now) {
			out = append(out, parent)
		}
	}
	return out
}

// abandoned reports whether nobody runs anything in a checkout any more. Where its lock tells nothing, or it is not there, since another
// machine or container has it, that is when what Git noted of it, in a file, is old.
func abandoned(parent, noted string, now time.Time) bool {
	f, err := os.OpenFile(filepath.Join(parent, heldFile), os.O_RDWR, 0)
	if err == nil {
		defer f.Close()
		if free, known := tryLock(f); known {
			return free
		}
	}
	st, err := os.Stat(noted)
	return err == nil && now.Sub(st.ModTime()) > checkoutStale
}

// hold makes a file that is locked until it is closed, or the process ends.
func hold(file string) (*os.File, error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600) //nolint:gosec // in a folder that was just made
	if err == nil {
		_, _ = tryLock(f)
	}
	return f, err
}

// sweep removes checkouts that nobody removed. What can't be removed the next run tries again.
func sweep(ctx context.Context, r *git.Repo, now time.Time) {
	for _, parent := range Stale(r, now) {
		_ = Discard(ctx, r, parent)
	}
}

// Discard removes a checkout with all that is in it, and what the repository knows of it. What a command put a link to in its place stays.
func Discard(ctx context.Context, r *git.Repo, parent string) error {
	for _, dir := range []string{parent, filepath.Join(parent, "tree")} {
		if st, err := os.Lstat(dir); err == nil && !st.IsDir() {
			if err := os.Remove(dir); err != nil {
				return err
			}
		}
	}
	remove := append(slices.Clone(quiet), "worktree", "remove", "--force", "--force", filepath.Join(parent, "tree"))
	_, err := r.Run(ctx, nil, remove...)
	if err != nil { // something is not writable, or is a submodule
		unlock(parent)
		_ = os.RemoveAll(filepath.Join(parent, "tree"))
		_, err = r.Run(ctx, nil, remove...)
	}
	unlock(parent)
	return errors.Join(err, os.RemoveAll(parent))
}

// unlock makes directories writable, so that they can be removed. It follows no link.
func unlock(dir string) {
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			if info, err := d.Info(); err == nil && info.Mode().Perm()&0o700 != 0o700 {
				_ = os.Chmod(path, 0o700) //nolint:gosec // a directory of ours
			}
		}
		return nil
	})
}
