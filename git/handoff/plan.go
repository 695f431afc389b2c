package handoff

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"unicode"

	"github.com/open-covenant/covenant-git/envelope/handoff"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
)

// Refusals of a place to put a handoff.
var (
	ErrBase     = errors.New("HEAD is not where the handoff began")
	ErrDirty    = errors.New("the work tree has changes of its own")
	ErrInTheWay = errors.New("files are in the way")
)

// A BaseError says where HEAD is and where it should be. It wraps ErrBase.
type BaseError struct{ Head, Base oid.ID }

func (e *BaseError) Error() string {
	name := func(id oid.ID) string {
		if id.IsZero() {
			return "no commit"
		}
		return id.Short()
	}
	return fmt.Sprintf("%v: it is at %s, and the handoff is of %s", ErrBase, name(e.Head), name(e.Base))
}

// Unwrap returns ErrBase.
func (e *BaseError) Unwrap() error { return ErrBase }

// A BlockedError lists the paths that would be overwritten. It wraps ErrDirty or ErrInTheWay.
type BlockedError struct {
	Why   error
	Paths []string
}

func (e *BlockedError) Error() string { return fmt.Sprintf("%v: %d paths", e.Why, len(e.Paths)) }

// Unwrap returns why.
func (e *BlockedError) Unwrap() error { return e.Why }

// state is what stands at a path of the work tree; mode 0: nothing.
type state struct {
	Mode git.Mode `json:"mode,omitempty"`
	Sum  string   `json:"sum,omitempty"` // SHA-256 of the bytes
}

// step is one path of the work tree that changes.
type step struct {
	Path   []byte `json:"path"`
	Before state  `json:"before"`
	After  state  `json:"after"`
	Blob   string `json:"blob,omitempty"` // the bytes to be
}

// plan is everything that putting a handoff into a work tree does.
type plan struct {
	steps []step
	dirs  map[string]bool     // that are made
	index []git.Change        // of entries
	adds  map[string]git.Mode // paths that are intended to be added
	root  *os.Root            // the work tree
	modes bool                // the file system has executable bits
	gone  map[string]int      // path → its step, of those that end
	trees *trees
	there oid.ID // tree of HEAD
	leave bool   // the work tree goes to base first: what HEAD has goes, or becomes what base has
}

// lstat is that of a path; nil where nothing is, as below a link.
func lstat(root *os.Root, name string) (fs.FileInfo, error) {
	for i := range name {
		if name[i] != '/' {
			continue
		}
		info, err := root.Lstat(name[:i])
		if errors.Is(err, fs.ErrNotExist) || notDir(err) || err == nil && !info.IsDir() {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
	}
	info, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) || notDir(err) {
		return nil, nil
	}
	return info, err
}

// makeWay makes the directories above a path. Whatever else is there stops it, above all a link: the root of a work tree keeps links from leading
// out of it, and .git is in it. Names are for the file system to compare: it may take two for one.
func makeWay(root *os.Root, name string) error {
	for i := range name {
		if name[i] != '/' {
			continue
		}
		info, err := root.Lstat(name[:i])
		if errors.Is(err, fs.ErrNotExist) {
			if err := root.Mkdir(name[:i], 0o777); err != nil {
				return err
			}
			continue
		}
		if err != nil && !notDir(err) {
			return err
		}
		if err != nil || !info.IsDir() {
			return fmt.Errorf("%w: %q is no directory", ErrChanged, name[:i])
		}
	}
	return nil
}

// readState finds what stands at a path, and its bytes. Below a link there is nothing.
func readState(root *os.Root, name string, modes bool) (state, []byte, error) {
	info, err := lstat(root, name)
	if info == nil || err != nil {
		return state{}, nil, err
	}
	var data []byte
	st := state{Mode: git.ModeFile}
	switch {
	case info.IsDir():
		return state{Mode: git.ModeTree}, nil, nil
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := root.Readlink(name)
		if err != nil {
			return state{}, nil, err
		}
		st.Mode, data = git.ModeLink, []byte(target)
	case info.Mode().IsRegular():
		if data, err = root.ReadFile(name); err != nil {
			return state{}, nil, err
		}
		if modes && info.Mode().Perm()&0o100 != 0 {
			st.Mode = git.ModeExecutable
		}
	default:
		return state{Mode: ^git.Mode(0)}, nil, nil // nothing of ours
	}
	st.Sum = fmt.Sprintf("%x", sha256.Sum256(data))
	return st, data, nil
}

// Fits reports whether a handoff could be put into this work tree if it went to base first. Nothing is written. Errors: ErrNoWorkTree, *BlockedError,
// ErrUnsafe.
func Fits(ctx context.Context, s *git.Session, v *Verified) error {
	if s.Repo().WorkTree() == "" {
		return ErrNoWorkTree
	}
	root, err := os.OpenRoot(s.Repo().WorkTree())
	if err != nil {
		return err
	}
	defer root.Close()
	_, err = makePlan(ctx, s, root, v, false, true)
	return err
}

// makePlan looks at the work tree and says what would be written, where leave is set after it went to base. Nothing is.
func makePlan(ctx context.Context, s *git.Session, root *os.Root, v *Verified, force, leave bool) (*plan, error) {
	r := s.Repo()
	st, hidden, err := status(ctx, r, root)
	if err != nil {
		return nil, err
	}
	if st.Head != v.Base && !leave {
		return nil, &BaseError{Head: st.Head, Base: v.Base}
	}
	dirty, shown := map[string]bool{}, map[string]bool{}
	for _, c := range st.Changes {
		if dirty[c.Path] = true; !hidden[c.Path] || leave {
			shown[c.Path] = true
		}
	}
	if len(shown) > 0 && !force {
		return nil, &BlockedError{ErrDirty, sorted(shown)}
	}
	p := &plan{root: root, modes: r.Config().Bool("core.fileMode", true), gone: map[string]int{}, dirs: map[string]bool{}, adds: map[string]git.Mode{}, trees: newTrees(s), there: v.baseTree, leave: leave}
	if leave {
		p.there = oid.ID{}
		if !st.Head.IsZero() {
			c, err := s.Commit(st.Head.String())
			if err != nil {
				return nil, err
			}
			p.there = c.Tree
		}
	}
	if err := p.compute(s, v); err != nil {
		return nil, err
	}
	blocked := map[string]bool{}
	for _, c := range p.index {
		if dirty[c.Path] {
			blocked[c.Path] = true
		}
	}
	for add := range p.adds {
		if dirty[add] {
			blocked[add] = true
		}
	}
	for i := range p.steps {
		if err := p.look(&p.steps[i], dirty, blocked); err != nil {
			return nil, err
		}
	}
	if len(blocked) > 0 {
		return nil, &BlockedError{ErrInTheWay, sorted(blocked)}
	}
	if r.Config().Bool("core.ignoreCase", false) {
		if err := p.folds(); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// folds reports whether two paths that come are one to a file system that ignores case, or one of them would be below the other: through a
// link it would lead elsewhere. It is early, not complete: what else a file system takes for one name stops makeWay.
func (p *plan) folds() error {
	seen := map[string]string{}
	for _, x := range p.steps {
		if x.After.Mode != 0 {
			name := fold(string(x.Path))
			if other, twice := seen[name]; twice {
				return fmt.Errorf("%w: this file system takes %.100q and %.100q for one", ErrUnsafe, other, x.Path)
			}
			seen[name] = string(x.Path)
		}
	}
	for name, path := range seen {
		for i := range name {
			if name[i] != '/' {
				continue
			}
			if other, there := seen[name[:i]]; there {
				return fmt.Errorf("%w: %.100q would be below %.100q on this file system", ErrUnsafe, path, other)
			}
		}
	}
	return nil
}

// fold maps names that differ by case only to one.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			least = min(least, next)
		}
		return least
	}, name)
}

func sorted(set map[string]bool) []string {
	var out []string
	for name := range set {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// compute lists the paths that change, from the trees alone.
func (p *plan) compute(s *git.Session, v *Verified) error {
	changes, err := diff(s, v.baseTree, v.Tree)
	if err != nil {
		return err
	}
	at := map[string]int{}
	sums := map[oid.ID]string{}
	for i := range v.Contents {
		c := &v.Contents[i]
		if c.SHA256 != "" {
			sums[c.New] = c.SHA256
		}
		if c.Part == Worktree && c.OldMode == 0 {
			p.adds[c.Path] = c.NewMode
		}
	}
	add := func(path string, mode git.Mode, id oid.ID) error {
		x := step{Path: []byte(path)}
		if mode != 0 {
			if mode == 0o100664 {
				mode = git.ModeFile
			}
			if !p.modes && mode == git.ModeExecutable {
				mode = git.ModeFile
			}
			if x.After = (state{mode, sums[id]}); x.After.Sum == "" {
				return fmt.Errorf("%w: %.200q", ErrMismatch, path)
			}
			x.Blob = id.String()
		}
		i, twice := at[path]
		if !twice {
			i = len(p.steps)
			at[path] = i
			p.steps = append(p.steps, step{})
		}
		p.steps[i] = x
		return nil
	}
	for _, c := range changes {
		if c.NewMode.IsGitlink() || c.OldMode.IsGitlink() && c.NewMode == 0 { // what is checked out of a submodule is its own affair
			continue
		}
		if err := add(c.Path, c.NewMode, c.New); err != nil {
			return err
		}
	}
	for i := range v.Contents {
		if c := &v.Contents[i]; c.Part == Untracked {
			if err := add(c.Path, c.NewMode, c.New); err != nil {
				return err
			}
		}
	}
	for i, x := range p.steps {
		if x.After.Mode == 0 {
			p.gone[string(x.Path)] = i
		}
	}
	p.index, err = diff(s, v.baseTree, v.Index.Tree)
	return err
}

func diff(s *git.Session, old, now oid.ID) ([]git.Change, error) {
	if old == now {
		return nil, nil
	}
	return newTrees(s).compare(old, now)
}

// goes reports whether what stands at a path is gone before the path, or one below it, is written.
func (p *plan) goes(path string) (bool, error) {
	if _, ends := p.gone[path]; ends || !p.leave {
		return ends, nil
	}
	at, _, err := p.trees.find(p.there, path)
	return at.mode != 0 && !at.mode.IsTree(), err
}

// look finds what stands at a path and on the way there. Whatever is not the clean file of HEAD is in the way.
func (p *plan) look(x *step, dirty, blocked map[string]bool) error {
	name := string(x.Path)
	if why := handoff.Unsafe(name); why != "" {
		if x.After.Mode != 0 {
			return fmt.Errorf("%w: %.200q: %s", ErrUnsafe, name, why)
		}
	}
	for i := range name {
		if name[i] != '/' {
			continue
		}
		dir := name[:i]
		info, err := p.root.Lstat(dir)
		if errors.Is(err, fs.ErrNotExist) {
			if x.After.Mode != 0 {
				p.dirs[dir] = true
			}
			continue
		}
		if err != nil && !notDir(err) {
			return err
		}
		if err == nil && info.IsDir() {
			continue
		}
		if x.After.Mode == 0 {
			return nil // it is not there
		}
		if err == nil {
			goes, err := p.goes(dir)
			if err != nil {
				return err
			}
			if !goes {
				blocked[dir] = true
				return nil
			}
		}
		p.dirs[dir] = true
	}
	now, _, err := readState(p.root, name, p.modes)
	if err != nil {
		return err
	}
	switch x.Before = now; {
	case now.Mode == 0:
		return nil
	case now.Mode.IsTree():
		x.Before = state{} // it goes when it is empty
		if x.After.Mode == 0 {
			return nil
		}
		return p.below(name, blocked)
	}
	was, _, err := p.trees.find(p.there, name)
	if err != nil {
		return err
	}
	if was.mode == 0 || was.mode.IsTree() || dirty[name] || now.Mode == ^git.Mode(0) {
		blocked[name] = true
	}
	return nil
}

// below lists what stays of a directory in whose place a file comes.
func (p *plan) below(dir string, blocked map[string]bool) error {
	return fs.WalkDir(p.root.FS(), dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return nil
		}
		goes, err := p.goes(name)
		if err == nil && !goes {
			blocked[name] = true
		}
		return err
	})
}

// order puts what ends before what begins: deeper paths first, then all others.
func order(steps []step) []step {
	out := slices.Clone(steps)
	slices.SortFunc(out, func(a, b step) int {
		if (a.After.Mode == 0) != (b.After.Mode == 0) {
			if a.After.Mode == 0 {
				return -1
			}
			return 1
		}
		if a.After.Mode == 0 {
			return strings.Compare(string(b.Path), string(a.Path))
		}
		return strings.Compare(string(a.Path), string(b.Path))
	})
	return out
}

// emptied removes the directories above a path that have nothing in them any more, but not the work tree.
func emptied(root *os.Root, name string) {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if root.Remove(dir) != nil {
			return
		}
	}
}
