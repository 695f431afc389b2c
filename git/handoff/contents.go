// Package handoff takes an unfinished work tree into commits that a signed statement names, and puts it back elsewhere byte
// for byte, once.
//
// Taking reads: HEAD, index, work tree and stash stay as they are. Putting back looks at everything before it writes
// anything, keeps a journal in the state directory, and can be finished or taken back after a crash at any instant.
package handoff

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/handoff"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
)

// Refusals of handoffs.
var (
	ErrMissing  = errors.New("the objects of the handoff are not here")
	ErrMismatch = errors.New("the objects are not those that were signed")
	ErrUnsafe   = errors.New("a path that nothing is written at")
)

// Parts of a handoff.
const (
	Index     = "index"     // staged: what differs from base
	Worktree  = "worktree"  // tracked files: what differs from the index
	Untracked = "untracked" // the others
)

// Content is one file of a handoff that differs.
type Content struct {
	Part string
	git.Change
	Size   int64
	SHA256 string // of the bytes; "" of what is gone or a submodule
}

// contents is all that differs, part by part.
type contents struct {
	list     []Content
	bytes    int64
	manifest envelope.Digest
}

// parts are the pairs of trees that are compared.
func parts(base oid.ID, c *handoff.Creation) []struct {
	name string
	pair git.TreePair
} {
	return []struct {
		name string
		pair git.TreePair
	}{{Index, git.TreePair{Old: base, New: c.Index.Tree}}, {Worktree, git.TreePair{Old: c.Index.Tree, New: c.Tree}}, {Untracked, git.TreePair{New: c.Untracked.Tree}}}
}

// list compares the trees of a handoff and takes the digest of every content. It reads no file that does not differ.
func list(s *git.Session, base oid.ID, c *handoff.Creation, most int64) (*contents, error) {
	out := &contents{}
	t := newTrees(s)
	for _, part := range parts(base, c) {
		if part.pair.Old == part.pair.New {
			continue
		}
		changes, err := t.compare(part.pair.Old, part.pair.New)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", part.name, err)
		}
		for _, ch := range changes {
			out.list = append(out.list, Content{Part: part.name, Change: ch})
		}
		if len(out.list) > handoff.MaxFiles {
			return nil, ErrTooMany
		}
	}
	for _, c := range out.list {
		if why := handoff.Unsafe(c.Path); why != "" && c.NewMode != 0 {
			return nil, fmt.Errorf("%w: %.200q: %s", ErrUnsafe, c.Path, why)
		}
		switch m := c.NewMode; {
		case m == 0 || m == git.ModeFile || m == git.ModeExecutable || m == git.ModeLink || m == 0o100664:
		case m.IsGitlink() && c.Part == Index:
		default:
			return nil, fmt.Errorf("%w: %.200q has mode %s", ErrUnsafe, c.Path, m)
		}
	}
	if err := out.sizes(s, most); err != nil {
		return nil, err
	}
	return out, out.digest(s, most)
}

// names yields the object names of contents that have bytes.
func (c *contents) names(yield func(string) bool) {
	for i := range c.list {
		if c.list[i].bytesThere() && !yield(c.list[i].New.String()) {
			return
		}
	}
}

func (c *Content) bytesThere() bool { return c.NewMode != 0 && !c.NewMode.IsGitlink() }

// sizes adds up what would be read before it is.
func (c *contents) sizes(s *git.Session, most int64) error {
	i := 0
	next := func() *Content {
		for !c.list[i].bytesThere() {
			i++
		}
		i++
		return &c.list[i-1]
	}
	for size, err := range s.Sizes(c.names) {
		at := next()
		if err != nil {
			return fmt.Errorf("%q: %w", at.Path, err)
		}
		at.Size = size
		if c.bytes += size; c.bytes > most {
			return fmt.Errorf("%w: more than %d bytes", ErrTooLarge, most)
		}
	}
	return nil
}

func (c *contents) digest(s *git.Session, most int64) error {
	m := handoff.NewManifest()
	i := 0
	flush := func(to int) {
		for ; i < to; i++ {
			what := "-"
			if at := &c.list[i]; at.NewMode.IsGitlink() {
				what = at.New.String()
			}
			m.Add(c.list[i].Part, c.list[i].NewMode.String(), what, c.list[i].Path)
		}
	}
	for o, err := range s.Objects(c.names, most) {
		at := i + slices.IndexFunc(c.list[i:], func(x Content) bool { return x.bytesThere() })
		flush(at)
		if err != nil {
			return fmt.Errorf("%q: %w", c.list[at].Path, err)
		}
		if o.Kind != "blob" {
			return fmt.Errorf("%q: %w: %s is a %s", c.list[at].Path, ErrMismatch, o.ID.Short(), o.Kind)
		}
		c.list[at].SHA256 = fmt.Sprintf("%x", sha256.Sum256(o.Data))
		m.Add(c.list[at].Part, c.list[at].NewMode.String(), c.list[at].SHA256, c.list[at].Path)
		i = at + 1
	}
	flush(len(c.list))
	c.manifest = m.Digest()
	return nil
}

// maxCommit is how many bytes a commit of a handoff may have.
const maxCommit = 16 << 10

// check holds the objects of a handoff to what was signed, and returns its contents and the tree of base.
func check(s *git.Session, c *handoff.Creation, most int64) (*contents, oid.ID, error) {
	if c.Bytes > most {
		return nil, oid.ID{}, fmt.Errorf("%w: %d bytes, and %d are the limit", ErrTooLarge, c.Bytes, most)
	}
	if c.Commit.Format() != s.Repo().Format() {
		return nil, oid.ID{}, fmt.Errorf("%w: they have names of another format", ErrMismatch)
	}
	var bases, parents []oid.ID
	baseTree := oid.ID{}
	if !c.Base.IsZero() {
		bases = []oid.ID{c.Base}
		b, err := s.Commit(c.Base.String())
		if err != nil {
			return nil, oid.ID{}, fmt.Errorf("%w: base: %w", ErrMissing, err)
		}
		baseTree = b.Tree
	}
	parents = append(slices.Clone(bases), c.Index.Commit)
	if !c.Untracked.IsZero() {
		parents = append(parents, c.Untracked.Commit)
	}
	for _, x := range []struct {
		name         string
		commit, tree oid.ID
		parents      []oid.ID
	}{{"the handoff", c.Commit, c.Tree, parents}, {Index, c.Index.Commit, c.Index.Tree, bases}, {Untracked, c.Untracked.Commit, c.Untracked.Tree, nil}} {
		if x.commit.IsZero() {
			continue
		}
		o, err := s.Object(x.commit.String(), maxCommit)
		if err != nil {
			return nil, oid.ID{}, fmt.Errorf("%w: %s: %w", ErrMissing, x.name, err)
		}
		if o.Kind != "commit" || s.Repo().Format().Hash(o.Kind, o.Data) != x.commit {
			return nil, oid.ID{}, fmt.Errorf("%w: %s is no commit of that name", ErrMismatch, x.name)
		}
		got, err := git.ParseCommit(s.Repo().Format(), o.ID, o.Data)
		if err != nil {
			return nil, oid.ID{}, fmt.Errorf("%w: %s: %w", ErrMismatch, x.name, err)
		}
		if got.Tree != x.tree || !slices.Equal(got.Parents, x.parents) {
			return nil, oid.ID{}, fmt.Errorf("%w: commit %s of %s has another tree or other parents", ErrMismatch, x.commit.Short(), x.name)
		}
	}
	got, err := list(s, baseTree, c, most)
	if errors.Is(err, git.ErrMissing) {
		err = fmt.Errorf("%w: %w", ErrMissing, err)
	}
	if err != nil {
		return nil, oid.ID{}, err
	}
	if got.manifest != c.Manifest || got.bytes != c.Bytes || len(got.list) != c.Files {
		return nil, oid.ID{}, fmt.Errorf("%w: their contents have the digest %s, and %s was signed", ErrMismatch, got.manifest, c.Manifest)
	}
	return got, baseTree, apart(s, c, got)
}

// apart reports whether an untracked file would stand where a tracked one is, or below it: nothing is written through a link.
func apart(s *git.Session, c *handoff.Creation, got *contents) error {
	t := newTrees(s)
	for i := range got.list {
		x := &got.list[i]
		if x.Part != Untracked {
			continue
		}
		at, blocked, err := t.find(c.Tree, x.Path)
		switch {
		case err != nil:
			return err
		case blocked != "":
			return fmt.Errorf("%w: %.200q is below %.200q, which is no directory", ErrUnsafe, x.Path, blocked)
		case at.mode != 0:
			return fmt.Errorf("%w: %.200q is tracked and untracked", ErrUnsafe, x.Path)
		}
	}
	return nil
}

// Short is how people name a handoff: the beginning of its digest.
func Short(id envelope.Digest) string { return strings.TrimPrefix(string(id), "sha256:")[:12] }
