package evidence

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/open-covenant/covenant-git/envelope/evidence"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
)

// ErrNoDirectory says that the tree has no such directory.
var ErrNoDirectory = errors.New("the tree has no such directory")

// quiet are settings under which what Git says of a work tree depends on the work tree only.
var quiet = []string{"-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false", "-c", "core.ignoreStat=false", "-c", "core.hooksPath=" + os.DevNull, "-c", "core.sparseCheckout=false"}

// equals reports whether the work tree is the tree of HEAD exactly: nothing is staged, changed, or there and neither tracked nor
// ignored; and no file is one that Git was told not to look at.
func equals(ctx context.Context, r *git.Repo) (bool, error) {
	var wg sync.WaitGroup
	var blind bool
	var blindErr error
	wg.Go(func() {
		out, err := r.Run(ctx, nil, "ls-files", "-v", "-z", "--full-name", ":/")
		blindErr = err
		for entry := range bytes.SplitSeq(out, []byte{0}) {
			blind = blind || len(entry) > 0 && entry[0] != 'H'
		}
	})
	out, err := r.Run(ctx, nil, append(slices.Clone(quiet), "status", "--porcelain=v2", "-z", "--untracked-files=normal", "--ignore-submodules=none", "--no-renames")...)
	wg.Wait()
	return err == nil && len(out) == 0 && !blind, errors.Join(err, blindErr)
}

// changed reports whether tracked files differ from the tree.
func (p *place) changed(ctx context.Context, tree oid.ID) (bool, error) {
	out, err := p.repo.Run(ctx, nil, append(slices.Clone(quiet), "diff", "--raw", "-z", "--no-ext-diff", "--no-textconv", "--no-relative", "--ignore-submodules=none", "--no-renames", tree.String(), "--")...)
	return len(out) > 0, err
}

// A place is where a command runs: the top of a tree's files.
type place struct {
	repo   *git.Repo // whose work tree it is
	top    string
	where  string
	absent []string
	remove func() error
}

// choose finds where to run: in the work tree where that is asked for and equals the tree, else in a checkout that it makes.
func (q *Request) choose(ctx context.Context, s *git.Session, head oid.ID, now time.Time) (*place, error) {
	r := s.Repo()
	if !q.Clean && r.WorkTree() != "" && q.Tree == head {
		same, err := equals(ctx, r)
		if err != nil {
			return nil, err
		}
		if same {
			return &place{repo: r, top: r.WorkTree(), where: evidence.Worktree, remove: func() error { return nil }}, nil
		}
	}
	return q.checkout(ctx, s, now)
}

// checkout makes a linked work tree of a tree, outside of the repository: Git works in it, no hook runs for it, nothing is fetched
// for it, and sparse rules leave nothing out.
func (q *Request) checkout(ctx context.Context, s *git.Session, now time.Time) (*place, error) {
	r, commit := s.Repo(), q.Commit
	if commit.IsZero() { // of a tree alone; nothing refers to it, so it is collected later
		who := git.Ident{Name: "covenant", Email: "evidence@covenant", When: now}
		commit = s.Put("commit", git.EncodeCommit(q.Tree, nil, who, who, "a tree that evidence is about\n"))
		if err := s.Flush(); err != nil {
			return nil, err
		}
	}
	parent, err := os.MkdirTemp(q.Temp, "covenant-evidence-")
	if err != nil {
		return nil, err
	}
	if parent, err = filepath.EvalSymlinks(parent); err != nil {
		return nil, err
	}
	top := filepath.Join(parent, "tree")
	p := &place{top: top, where: evidence.Checkout}
	p.remove = func() error {
		ctx := context.WithoutCancel(ctx)
		_, err := r.Run(ctx, nil, append(slices.Clone(quiet), "worktree", "remove", "--force", "--force", top)...)
		if err != nil { // something is not writable, or is a submodule
			unlock(parent)
			_ = os.RemoveAll(top)
			_, err = r.Run(ctx, nil, append(slices.Clone(quiet), "worktree", "remove", "--force", "--force", top)...)
		}
		unlock(parent)
		return errors.Join(err, os.RemoveAll(parent))
	}
	if _, err := r.Run(ctx, nil, append(slices.Clone(quiet), "-c", "filter.lfs.smudge=cat", "-c", "filter.lfs.process=", "worktree", "add", "--detach", "--quiet", top, commit.String())...); err != nil {
		return nil, errors.Join(err, p.remove())
	}
	if p.repo, err = git.Open(ctx, git.Options{Dir: top, Env: Environment(q.Env)}); err == nil {
		p.absent, err = lacks(ctx, p.repo)
	}
	if err != nil {
		return nil, errors.Join(err, p.remove())
	}
	return p, nil
}

// lacks says what a checkout has the names of only.
func lacks(ctx context.Context, r *git.Repo) ([]string, error) {
	var out []string
	large, err := r.Run(ctx, nil, "ls-files", "-z", "--", ":(attr:filter=lfs)")
	if err != nil {
		return nil, err
	}
	if len(large) > 0 {
		out = append(out, evidence.LFS)
	}
	staged, err := r.Run(ctx, nil, "ls-files", "-s", "-z")
	if err != nil {
		return nil, err
	}
	for entry := range bytes.SplitSeq(staged, []byte{0}) {
		if bytes.HasPrefix(entry, []byte("160000 ")) {
			return append(out, evidence.Submodules), nil
		}
	}
	return out, nil
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

// in returns a directory of the place, given as a path with slashes below its top.
func (p *place) in(dir string) (string, error) {
	if dir == "" {
		return p.top, nil
	}
	full := filepath.Join(p.top, filepath.FromSlash(dir))
	real, err := filepath.EvalSymlinks(full)
	if err == nil && real != p.top && !strings.HasPrefix(real, p.top+string(filepath.Separator)) {
		err = errors.New("it leads out of the tree")
	}
	if err == nil {
		var st os.FileInfo
		if st, err = os.Stat(real); err == nil && !st.IsDir() {
			err = errors.New("it is a file")
		}
	}
	if err != nil {
		return "", fmt.Errorf("%w: %q: %w", ErrNoDirectory, dir, err)
	}
	return full, nil
}

// below returns where a directory is below the work tree's top, with slashes; "" for the top, or elsewhere.
func below(top, dir string) string {
	if top == "" {
		return ""
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return ""
	}
	rel, err := filepath.Rel(top, real)
	if err != nil || rel == "." || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return ""
	}
	return filepath.ToSlash(rel)
}
