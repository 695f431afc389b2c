package handoff

import (
	"errors"
	"fmt"
	"slices"
	"strings"

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
