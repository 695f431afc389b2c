package gogit

import (
	"errors"
	"fmt"

	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
)

// Diff returns all changes from tree old to tree new as Git computes them, in its order. A tree
// that is missing or malformed is an error, never a short list.
func (s *Store) Diff(old, new oid.ID) ([]git.Change, error) {
	if old.IsZero() {
		old = oid.SHA1.EmptyTree()
	}
	if new.IsZero() {
		new = oid.SHA1.EmptyTree()
	}
	// Git reads both trees even when they are one.
	if old == new {
		if _, err := s.tree(old); err != nil {
			return nil, fmt.Errorf("diff %s %s: %w", old, new, err)
		}
		return nil, nil
	}
	d := differ{store: s}
	if err := d.trees("", old, new); err != nil {
		return nil, fmt.Errorf("diff %s %s: %w", old, new, err)
	}
	if len(d.changes) == 0 {
		return nil, fmt.Errorf("diff %s %s: %w", old, new, git.ErrEmptyDiff)
	}
	return d.changes, nil
}

// maxPath is the longest path in bytes that is followed; it also bounds the depth.
const maxPath = 64 << 10

type differ struct {
	store   *Store
	changes []git.Change
}

// trees compares two trees whose paths begin with prefix. A zero name is no tree.
func (d *differ) trees(prefix string, old, new oid.ID) error {
	if len(prefix) > maxPath {
		return errors.New("a path is too long")
	}
	var a, b []git.TreeEntry
	var err error
	if !old.IsZero() {
		if a, err = d.store.tree(old); err != nil {
			return err
		}
	}
	if !new.IsZero() {
		if b, err = d.store.tree(new); err != nil {
			return err
		}
	}
	for len(a) > 0 || len(b) > 0 {
		order := 0
		switch {
		case len(a) == 0:
			order = 1
		case len(b) == 0:
			order = -1
		default:
			order = a[0].Compare(b[0])
		}
		var x, y git.TreeEntry
		if order <= 0 {
			x, a = a[0], a[1:]
		}
		if order >= 0 {
			y, b = b[0], b[1:]
		}
		if err := d.entries(prefix, x, y); err != nil {
			return err
		}
	}
	return nil
}

// entries compares two entries of one name and both trees, or both no trees; one may be absent.
func (d *differ) entries(prefix string, x, y git.TreeEntry) error {
	name := x.Name + y.Name
	if x.Name != "" && y.Name != "" {
		name = x.Name
	}
	x.Mode, y.Mode = canonical(x.Mode), canonical(y.Mode)
	if x.Mode == y.Mode && x.ID == y.ID {
		return nil
	}
	if x.Mode.IsTree() || y.Mode.IsTree() {
		return d.trees(prefix+name+"/", x.ID, y.ID)
	}
	c := git.Change{Path: prefix + name, OldMode: x.Mode, NewMode: y.Mode, Old: x.ID, New: y.ID}
	switch {
	case x.Mode == 0:
		c.Status = 'A'
	case y.Mode == 0:
		c.Status = 'D'
	case x.Mode&typeMask != y.Mode&typeMask:
		c.Status = 'T'
	default:
		c.Status = 'M'
	}
	d.changes = append(d.changes, c)
	return nil
}

const typeMask git.Mode = 0o170000

// canonical returns the mode as Git reads it: old trees may hold group-writable files.
func canonical(m git.Mode) git.Mode {
	if m.IsRegular() && m != git.ModeExecutable {
		return git.ModeFile
	}
	return m
}
