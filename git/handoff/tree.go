package handoff

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope/handoff"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
)

// file is an entry of a tree; mode 0: there is none.
type file struct {
	mode git.Mode
	id   oid.ID
}

// maxTree is how many bytes one tree object may have.
const maxTree = 16 << 20

// trees reads trees, each once.
type trees struct {
	s    *git.Session
	read map[oid.ID][]git.TreeEntry
}

func newTrees(s *git.Session) *trees { return &trees{s, map[oid.ID][]git.TreeEntry{}} }

// entries returns the entries of a tree; none of the zero name.
func (t *trees) entries(id oid.ID) ([]git.TreeEntry, error) {
	if id.IsZero() || id == t.s.Repo().Format().EmptyTree() {
		return nil, nil
	}
	if list, ok := t.read[id]; ok {
		return list, nil
	}
	o, err := t.s.Object(id.String(), maxTree)
	if err != nil {
		return nil, err
	}
	if o.Kind != "tree" {
		return nil, fmt.Errorf("%w: %s is a %s, not a tree", git.ErrMissing, id.Short(), o.Kind)
	}
	list, err := git.ParseTree(t.s.Repo().Format(), o.Data)
	if err != nil {
		return nil, fmt.Errorf("tree %s: %w", id.Short(), err)
	}
	t.read[id] = list
	return list, nil
}

// find returns what a tree has at a path, and at which of its directories the way ends where there is something else: "" when
// it does not.
func (t *trees) find(root oid.ID, path string) (at file, blocked string, err error) {
	id := root
	parts := strings.Split(path, "/")
	for i, part := range parts {
		list, err := t.entries(id)
		if err != nil {
			return file{}, "", err
		}
		n := slices.IndexFunc(list, func(e git.TreeEntry) bool { return e.Name == part })
		if n < 0 {
			return file{}, "", nil
		}
		at = file{list[n].Mode, list[n].ID}
		if i == len(parts)-1 {
			return at, "", nil
		}
		if !at.mode.IsTree() {
			return file{}, strings.Join(parts[:i+1], "/"), nil
		}
		id = at.id
	}
	return file{}, "", nil
}

// compare lists the files in which two trees differ, sorted by path: what git-diff-tree(1) lists, but for the order. It goes into equal
// directories never, and ends when there are more than so many entries to look at: git-diff-tree holds all it finds in memory, and a few
// small trees that name each other can show any number.
func (t *trees) compare(old, now oid.ID) ([]git.Change, error) {
	var out []git.Change
	looked := 0
	var walk func(old, now oid.ID, at string, depth int) error
	one := func(a, b file, path string, depth int) error {
		if looked++; looked > 4*handoff.MaxFiles {
			return ErrTooMany
		}
		was, is := oid.ID{}, oid.ID{} // directories to go into
		c := git.Change{Path: path, Status: 'M'}
		if a.mode.IsTree() {
			was = a.id
		} else {
			c.OldMode, c.Old = a.mode, a.id
		}
		if b.mode.IsTree() {
			is = b.id
		} else {
			c.NewMode, c.New = b.mode, b.id
		}
		switch {
		case c.OldMode == 0:
			c.Status = 'A'
		case c.NewMode == 0:
			c.Status = 'D'
		case c.OldMode&0o170000 != c.NewMode&0o170000:
			c.Status = 'T'
		}
		if c.OldMode != 0 || c.NewMode != 0 {
			if out = append(out, c); len(out) > handoff.MaxFiles {
				return ErrTooMany
			}
		}
		if was == is {
			return nil
		}
		return walk(was, is, path+"/", depth+1)
	}
	walk = func(old, now oid.ID, at string, depth int) error {
		if depth > maxDepth {
			return fmt.Errorf("%w: %.100q: deeper than %d", ErrUnsafe, at, maxDepth)
		}
		a, err := t.entries(old)
		if err != nil {
			return err
		}
		b, err := t.entries(now)
		if err != nil {
			return err
		}
		had := make(map[string]git.TreeEntry, len(a))
		for _, e := range a {
			had[e.Name] = e
		}
		for _, e := range b {
			x := had[e.Name]
			delete(had, e.Name)
			if x.Mode == e.Mode && x.ID == e.ID {
				continue
			}
			if err := one(file{x.Mode, x.ID}, file{e.Mode, e.ID}, at+e.Name, depth); err != nil {
				return err
			}
		}
		for _, e := range a {
			if _, gone := had[e.Name]; gone {
				if err := one(file{e.Mode, e.ID}, file{}, at+e.Name, depth); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if err := walk(old, now, "", 0); err != nil {
		return nil, err
	}
	slices.SortFunc(out, func(a, b git.Change) int { return strings.Compare(a.Path, b.Path) })
	return out, nil
}

// maxDepth is how deep directories are looked into.
const maxDepth = 256

// errClash says that a path would be a file and a directory.
var errClash = errors.New("would be a file and a directory")

// node is a directory's changes by name.
type node struct {
	change *file
	below  map[string]*node
}

func (n *node) put(path string, f file) {
	for part := range strings.SplitSeq(path, "/") {
		if n.below == nil {
			n.below = map[string]*node{}
		}
		next := n.below[part]
		if next == nil {
			next = &node{}
			n.below[part] = next
		}
		n = next
	}
	n.change = &f
}

// edit returns the tree that root becomes with files changed, and queues what is new of it. It reads only directories that change.
func (t *trees) edit(root oid.ID, changes map[string]file) (oid.ID, error) {
	top := &node{}
	for path, f := range changes {
		top.put(path, f)
	}
	id, _, err := t.rebuild(root, top, "")
	return id, err
}

func (t *trees) rebuild(root oid.ID, n *node, at string) (id oid.ID, empty bool, err error) {
	old, err := t.entries(root)
	if err != nil {
		return oid.ID{}, false, err
	}
	byName := make(map[string]git.TreeEntry, len(old))
	for _, e := range old {
		byName[e.Name] = e
	}
	for name, c := range n.below {
		was, there := byName[name]
		if c.change != nil && (!there || !was.Mode.IsTree()) {
			delete(byName, name)
			there = false
		}
		if len(c.below) > 0 {
			sub := oid.ID{}
			if there && was.Mode.IsTree() {
				sub = was.ID
			}
			id, none, err := t.rebuild(sub, c, at+name+"/")
			if err != nil {
				return oid.ID{}, false, err
			}
			if delete(byName, name); !none {
				byName[name] = git.TreeEntry{Mode: git.ModeTree, Name: name, ID: id}
			}
		}
		if c.change != nil && c.change.mode != 0 {
			if _, taken := byName[name]; taken {
				return oid.ID{}, false, fmt.Errorf("%q %w", at+name, errClash)
			}
			byName[name] = git.TreeEntry{Mode: c.change.mode, Name: name, ID: c.change.id}
		}
	}
	list := make([]git.TreeEntry, 0, len(byName))
	for _, e := range byName {
		list = append(list, e)
	}
	body, err := git.EncodeTree(list)
	if err != nil {
		return oid.ID{}, false, err
	}
	id = t.s.Put("tree", body)
	t.read[id] = slices.SortedFunc(slices.Values(list), git.TreeEntry.Compare)
	return id, len(list) == 0, nil
}
