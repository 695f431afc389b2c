package evidence

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope/evidence"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
)

// ErrNoDirectory says that the tree has no such directory.
var ErrNoDirectory = errors.New("the tree has no such directory")

// A place is where a command runs: the top of a tree's files.
type place struct {
	repo   *git.Repo // whose work tree it is
	top    string
	where  string
	absent []string
	seen   seen // when the command began
	remove func() error
}

// choose finds where to run: in the work tree where that is asked for and equals the tree, else in a checkout that it makes.
func (q *Request) choose(ctx context.Context, s *git.Session, head oid.ID, now time.Time) (*place, error) {
	r := s.Repo()
	sweep(ctx, r, now)
	if !q.Clean && r.WorkTree() != "" && q.Tree == head {
		same, through, err := equals(ctx, r)
		if err != nil {
			return nil, err
		}
		if same {
			return &place{repo: r, top: r.WorkTree(), where: evidence.Worktree, seen: through, remove: func() error { return nil }}, nil
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
	parent, err := os.MkdirTemp(q.Temp, checkoutPrefix)
	if err != nil {
		return nil, err
	}
	if parent, err = filepath.EvalSymlinks(parent); err != nil {
		return nil, err
	}
	top := filepath.Join(parent, "tree")
	ours, err := hold(filepath.Join(parent, heldFile))
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(parent))
	}
	p := &place{top: top, where: evidence.Checkout}
	p.remove = func() error {
		err := Discard(context.WithoutCancel(ctx), r, parent)
		_ = ours.Close()
		return err
	}
	if _, err := r.Run(ctx, nil, slices.Concat(quiet, pointers, []string{"worktree", "add", "--detach", "--quiet", top, commit.String()})...); err != nil {
		return nil, errors.Join(err, p.remove())
	}
	if p.repo, err = git.Open(ctx, git.Options{Dir: top, Env: Environment(q.Env)}); err == nil {
		p.absent, err = lacks(ctx, p.repo)
	}
	if err == nil {
		p.seen, err = between(ctx, p, settingsThen(p.repo))
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
