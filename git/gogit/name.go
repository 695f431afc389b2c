package gogit

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
)

// Object reads one object by object name, HEAD or full ref name, with any of "^{kind}", "^{}" and
// at the end ":path" after it. Other names that gitrevisions(7) describes are [ErrUnsupported].
func (s *Store) Object(name string, limit int64) (git.Object, error) {
	base, path, inTree := strings.Cut(name, ":")
	base, peels, ok := cutPeels(base)
	if !ok {
		return git.Object{}, fmt.Errorf("read object %q: %w", name, ErrUnsupported)
	}
	id, err := s.base(base)
	if err != nil {
		return git.Object{}, fmt.Errorf("read object %s: %w", name, err)
	}
	for _, kind := range peels {
		if id, err = s.peel(id, kind); err != nil {
			return git.Object{}, fmt.Errorf("read object %s: %w", name, err)
		}
	}
	if inTree {
		if id, err = s.peel(id, "tree"); err == nil {
			id, err = s.at(id, path)
		}
		if err != nil {
			return git.Object{}, fmt.Errorf("read object %s: %w", name, err)
		}
	}
	o, err := s.object(id, limit)
	var large *git.TooLargeError
	if errors.As(err, &large) {
		large.Name = name
	}
	return o, err
}

// Objects reads many objects; one result per name, in order.
func (s *Store) Objects(names iter.Seq[string], limit int64) iter.Seq2[git.Object, error] {
	return func(yield func(git.Object, error) bool) {
		for name := range names {
			o, err := s.Object(name, limit)
			var large *git.TooLargeError
			last := err != nil && !errors.Is(err, git.ErrMissing) && !errors.As(err, &large)
			if !yield(o, err) || last {
				return
			}
		}
	}
}

// cutPeels splits "base^{a}^{b}".
func cutPeels(s string) (base string, peels []string, ok bool) {
	base, rest, found := strings.Cut(s, "^")
	for found {
		var op string
		op, rest, found = strings.Cut(rest, "^")
		kind, opened := strings.CutPrefix(op, "{")
		kind, closed := strings.CutSuffix(kind, "}")
		if !opened || !closed {
			return "", nil, false
		}
		peels = append(peels, kind)
	}
	return base, peels, !strings.ContainsAny(base, "~@")
}

func (s *Store) base(name string) (oid.ID, error) {
	if id, err := oid.Parse(name); err == nil {
		return id, nil
	}
	if name != "HEAD" && !strings.HasPrefix(name, "refs/") {
		return oid.ID{}, fmt.Errorf("%w: %q", git.ErrMissing, name)
	}
	id, err := s.ref(name)
	if err == nil && id.IsZero() {
		err = fmt.Errorf("%w: %s", git.ErrMissing, name)
	}
	return id, err
}

// peel follows tags, and a commit to its tree, until the kind is reached; "" stops at the first
// object that is no tag, "object" anywhere.
func (s *Store) peel(id oid.ID, kind string) (oid.ID, error) {
	for {
		o, err := s.object(id, 0)
		if err != nil {
			return oid.ID{}, err
		}
		switch {
		case kind == "object", kind == o.Kind, kind == "" && o.Kind != "tag":
			return id, nil
		case o.Kind == "tag":
			line, _, _ := bytes.Cut(o.Data, []byte{'\n'})
			target, ok := strings.CutPrefix(string(line), "object ")
			if !ok {
				return oid.ID{}, fmt.Errorf("malformed tag %s", id)
			}
			if id, err = oid.Parse(target); err != nil {
				return oid.ID{}, fmt.Errorf("malformed tag %s: %w", o.ID, err)
			}
		case o.Kind == "commit" && kind == "tree":
			c, err := git.ParseCommit(oid.SHA1, id, o.Data)
			if err != nil {
				return oid.ID{}, err
			}
			return c.Tree, nil
		default:
			return oid.ID{}, fmt.Errorf("%w: %s is a %s, not a %s", git.ErrMissing, id, o.Kind, kind)
		}
	}
}

// at finds a path in a tree.
func (s *Store) at(tree oid.ID, path string) (oid.ID, error) {
	id := tree
	if path == "" {
		return id, nil
	}
	for part := range strings.SplitSeq(path, "/") {
		entries, err := s.tree(id)
		if err != nil {
			return oid.ID{}, err
		}
		found := false
		for _, e := range entries {
			if e.Name == part {
				id, found = e.ID, true
			}
		}
		if !found {
			return oid.ID{}, fmt.Errorf("%w: no path %q", git.ErrMissing, path)
		}
	}
	return id, nil
}

// tree reads the entries of a tree.
func (s *Store) tree(id oid.ID) ([]git.TreeEntry, error) {
	if id == oid.SHA1.EmptyTree() {
		return nil, nil // Git knows it without having it
	}
	o, err := s.object(id, 0)
	if err != nil {
		return nil, err
	}
	if o.Kind != "tree" {
		return nil, fmt.Errorf("%w: %s is a %s, not a tree", git.ErrMissing, id, o.Kind)
	}
	entries, err := git.ParseTree(oid.SHA1, o.Data)
	if err != nil {
		return nil, fmt.Errorf("tree %s: %w", id, err)
	}
	return entries, nil
}
