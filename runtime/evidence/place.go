package evidence

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
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
var quiet = []string{
	"-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false", "-c", "core.ignoreStat=false", "-c", "core.hooksPath=" + os.DevNull, "-c", "core.sparseCheckout=false",
	"-c", "core.trustctime=true", "-c", "core.checkStat=default", // a size and a time that were set are no content
}

// pointers are settings under which files in Git LFS are their pointers, here and now: with an empty process Git asks no other filter, and
// what is required it would miss.
var pointers = []string{"-c", "filter.lfs.process=", "-c", "filter.lfs.clean=", "-c", "filter.lfs.smudge=", "-c", "filter.lfs.required=false"}

// equals reports whether the work tree is the tree of HEAD exactly: nothing is staged, changed, or there and neither tracked nor
// ignored; and no file is one that Git was told not to look at, or sees through a filter.
func equals(ctx context.Context, r *git.Repo) (bool, error) {
	var wg sync.WaitGroup
	var blind bool
	var through string
	var blindErr, throughErr error
	wg.Go(func() { blind, blindErr = flagged(ctx, r) })
	wg.Go(func() { through, throughErr = filters(ctx, r, filtersThen(r)) })
	out, err := r.Run(ctx, nil, append(slices.Clone(quiet), "status", "--porcelain=v2", "-z", "--untracked-files=normal", "--ignore-submodules=none", "--no-renames")...)
	wg.Wait()
	return err == nil && len(out) == 0 && !blind && through == "", errors.Join(err, blindErr, throughErr)
}

// filters lists the filters of Git's through which files are compared with the tree, of those that are set, and these files; "" where there are
// none. Those of Git LFS are known: their pointers name what a file has.
func filters(ctx context.Context, r *git.Repo, set map[string]string, settings ...string) (string, error) {
	var out strings.Builder
	args := append(slices.Clone(settings), "ls-files", "-z", "--full-name", "--")
	for _, key := range slices.Sorted(maps.Keys(set)) {
		at, does := strings.LastIndexByte(key, '.'), set[key]
		name := strings.TrimPrefix(key[:at], "filter.")
		if does == "" || key[at:] != ".clean" && key[at:] != ".process" || name == evidence.LFS && strings.HasPrefix(does, "git-lfs ") {
			continue
		}
		fmt.Fprintf(&out, "%s %q\n", key, does)
		if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			args = append(args, ":/") // no pattern takes that name: it may be any file's
			continue
		}
		args = append(args, ":(top,attr:filter="+name+")")
	}
	if out.Len() == 0 {
		return "", nil
	}
	files, err := r.Run(ctx, nil, args...)
	if err != nil || len(files) == 0 {
		return "", err
	}
	out.Write(files)
	return out.String(), nil
}

// filtersThen are the settings of filters when a repository was opened, filtersNow those that there are now.
func filtersThen(r *git.Repo) map[string]string {
	c, out := r.Config(), map[string]string{}
	for _, key := range c.Keys("filter.") {
		out[key], _ = c.Get(key)
	}
	return out
}

func filtersNow(ctx context.Context, r *git.Repo, settings []string) (map[string]string, error) {
	all, err := r.Run(ctx, nil, append(slices.Clone(settings), "config", "-z", "--list")...)
	out := map[string]string{}
	for entry := range strings.SplitSeq(string(all), "\x00") {
		if key, does, _ := strings.Cut(entry, "\n"); strings.HasPrefix(key, "filter.") {
			out[key] = does
		}
	}
	return out, err
}

// flagged reports whether the index marks a file as one that Git is not to look at.
func flagged(ctx context.Context, r *git.Repo, settings ...string) (bool, error) {
	out, err := r.Run(ctx, nil, append(slices.Clone(settings), "ls-files", "-v", "-z", "--full-name", ":/")...)
	for entry := range bytes.SplitSeq(out, []byte{0}) {
		if len(entry) > 0 && entry[0] != 'H' {
			return true, err
		}
	}
	return false, err
}

// same are settings under which Git looks where it did when the command began, whatever that pointed it at since, and at modes and links as it did.
func (p *place) same() []string {
	c := p.repo.Config()
	return []string{
		"--git-dir=" + p.repo.GitDir(), "--work-tree=" + p.top,
		"-c", fmt.Sprintf("core.fileMode=%t", c.Bool("core.fileMode", true)), "-c", fmt.Sprintf("core.symlinks=%t", c.Bool("core.symlinks", true)),
	}
}

// changed reports whether tracked files differ from the tree, or are hidden from who asks that: when the command began none was, but by filters
// that there were.
func (p *place) changed(ctx context.Context, tree oid.ID) (bool, error) {
	for _, dir := range []string{p.top, p.repo.GitDir()} {
		if _, err := os.Stat(dir); err != nil {
			return false, fmt.Errorf("what the command ran in is gone: %w", err)
		}
	}
	same := p.same()
	settings := slices.Concat(same, quiet)
	if p.where == evidence.Checkout {
		settings = append(settings, pointers...)
	}
	var wg sync.WaitGroup
	var through string
	var throughErr error
	wg.Go(func() {
		var set map[string]string
		if set, throughErr = filtersNow(ctx, p.repo, same); throughErr == nil {
			through, throughErr = filters(ctx, p.repo, set, same...)
		}
	})
	out, err := p.repo.Run(ctx, nil, append(settings, "diff", "--raw", "-z", "--no-ext-diff", "--no-textconv", "--no-relative", "--ignore-submodules=none", "--no-renames", tree.String(), "--")...)
	blind := false
	if err == nil && len(out) == 0 {
		blind, err = flagged(ctx, p.repo, same...)
	}
	wg.Wait()
	return len(out) > 0 || blind || through != p.filters, errors.Join(err, throughErr)
}

// A place is where a command runs: the top of a tree's files.
type place struct {
	repo    *git.Repo // whose work tree it is
	top     string
	where   string
	absent  []string
	filters string // when the command began
	remove  func() error
}

// choose finds where to run: in the work tree where that is asked for and equals the tree, else in a checkout that it makes.
func (q *Request) choose(ctx context.Context, s *git.Session, head oid.ID, now time.Time) (*place, error) {
	r := s.Repo()
	sweep(ctx, r, now)
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
		p.filters, err = filters(ctx, p.repo, filtersThen(p.repo))
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
