package gogit

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
)

// Log walks the commits that q selects, oldest first: every parent comes before its children. The
// names of all of them are held in memory. Globs may use "*" and "?", which match slashes too.
func (s *Store) Log(q git.LogQuery) iter.Seq2[git.Commit, error] {
	return func(yield func(git.Commit, error) bool) {
		w := walk{store: s, query: q, commits: map[oid.ID]git.Commit{}, hidden: map[oid.ID]bool{}}
		order, err := w.run()
		if err != nil {
			yield(git.Commit{}, fmt.Errorf("walk commits: %w", err))
			return
		}
		for _, id := range order {
			c := w.commits[id]
			c.Refs = w.refs[id]
			if !yield(c, nil) {
				return
			}
		}
	}
}

type walk struct {
	store   *Store
	query   git.LogQuery
	commits map[oid.ID]git.Commit
	hidden  map[oid.ID]bool
	refs    map[oid.ID][]string
}

func (w *walk) run() ([]oid.ID, error) {
	show, hide, err := w.starts()
	if err != nil {
		return nil, err
	}
	for len(hide) > 0 {
		id := hide[len(hide)-1]
		hide = hide[:len(hide)-1]
		if w.hidden[id] {
			continue
		}
		w.hidden[id] = true
		c, err := w.commit(id)
		if err != nil {
			return nil, err
		}
		hide = append(hide, c.Parents...)
	}
	if err := w.decorate(); err != nil {
		return nil, err
	}
	// Depth first, a commit after its parents. The stack is ours: histories are deep.
	type frame struct {
		id      oid.ID
		parents []oid.ID
	}
	var order []oid.ID
	var stack []frame
	seen := map[oid.ID]bool{}
	push := func(id oid.ID) error {
		if seen[id] || w.hidden[id] {
			return nil
		}
		seen[id] = true
		c, err := w.commit(id)
		if err != nil {
			return err
		}
		parents := c.Parents
		if w.query.FirstParent && len(parents) > 1 {
			parents = parents[:1]
		}
		stack = append(stack, frame{id, parents})
		return nil
	}
	for _, id := range show {
		if err := push(id); err != nil {
			return nil, err
		}
		for len(stack) > 0 {
			top := &stack[len(stack)-1]
			if len(top.parents) == 0 {
				order = append(order, top.id)
				stack = stack[:len(stack)-1]
				continue
			}
			next := top.parents[0]
			top.parents = top.parents[1:]
			if err := push(next); err != nil {
				return nil, err
			}
		}
	}
	if n := w.query.Max; n > 0 && len(order) > n {
		order = order[len(order)-n:]
	}
	return order, nil
}

// commit reads a commit; one at the shallow boundary has no parents.
func (w *walk) commit(id oid.ID) (git.Commit, error) {
	if c, ok := w.commits[id]; ok {
		return c, nil
	}
	o, err := w.store.object(id, 0)
	if err != nil {
		return git.Commit{}, err
	}
	if o.Kind != "commit" {
		return git.Commit{}, fmt.Errorf("%s is a %s, not a commit", id, o.Kind)
	}
	c, err := git.ParseCommit(oid.SHA1, id, o.Data)
	if err != nil {
		return git.Commit{}, err
	}
	if w.store.shallow[id] {
		c.Parents = nil
	}
	w.commits[id] = c
	return c, nil
}

// starts resolves the query to commits.
func (w *walk) starts() (show, hide []oid.ID, err error) {
	for _, rev := range w.query.Revs {
		name, not := strings.CutPrefix(rev, "^")
		if _, err := oid.Parse(name); err != nil && name != "HEAD" && !validName(name) {
			return nil, nil, fmt.Errorf("%q is no full object or ref name", rev)
		}
		id, err := w.store.base(name)
		if err == nil {
			id, err = w.store.peel(id, "commit")
		}
		if errors.Is(err, git.ErrMissing) && w.query.IgnoreMissing {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		if not {
			hide = append(hide, id)
		} else {
			show = append(show, id)
		}
	}
	for _, pattern := range w.query.Globs {
		if !strings.HasPrefix(pattern, "refs/") {
			return nil, nil, fmt.Errorf("%q is no pattern of full ref names", pattern)
		}
		if strings.ContainsAny(pattern, `[\`) {
			return nil, nil, fmt.Errorf("pattern %q: %w", pattern, ErrUnsupported)
		}
		if !strings.ContainsAny(pattern, "*?") {
			pattern = strings.TrimSuffix(pattern, "/") + "/*"
		}
		matching, err := w.store.refs(func(name string) bool { return glob(pattern, name) })
		if err != nil {
			return nil, nil, err
		}
		for name, id := range matching {
			id, err := w.store.peel(id, "commit")
			if err != nil {
				return nil, nil, fmt.Errorf("%s: %w", name, err)
			}
			show = append(show, id)
		}
	}
	slices.SortFunc(show, oid.ID.Compare)
	return show, hide, nil
}

// decorate finds the refs that point at commits.
func (w *walk) decorate() error {
	if len(w.query.Decorate) == 0 {
		return nil
	}
	all, err := w.store.refs(func(name string) bool { return under(name, w.query.Decorate) })
	if err != nil {
		return err
	}
	w.refs = map[oid.ID][]string{}
	for name, id := range all {
		if id, err = w.store.peel(id, ""); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		w.refs[id] = append(w.refs[id], name)
	}
	for _, names := range w.refs {
		slices.Sort(names)
	}
	return nil
}

// glob matches "*" (anything, slashes too) and "?" (any byte).
func glob(pattern, s string) bool {
	for i := 0; i < len(pattern); i++ {
		switch {
		case pattern[i] == '*':
			for j := 0; j <= len(s)-i; j++ {
				if glob(pattern[i+1:], s[i+j:]) {
					return true
				}
			}
			return false
		case i >= len(s) || pattern[i] != '?' && pattern[i] != s[i]:
			return false
		}
	}
	return len(s) == len(pattern)
}
