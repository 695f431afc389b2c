package provenance

import (
	"fmt"

	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
)

// deep hashes every object of the commits again, since Git does not check what
// it reads, and computes again every content and patch digest of their seals. Of what is skipped,
// and of all that is older than governance, the commits alone are hashed.
func (f *Facts) deep(s *git.Session, commits []git.Commit, before, skip map[oid.ID]bool, want bool) (map[oid.ID][]verdict.Finding, error) {
	out := map[oid.ID][]verdict.Finding{}
	if !want {
		return out, nil
	}
	if err := f.deepBefore(s, commits, before, out); err != nil {
		return nil, err
	}
	d := &digger{s: s, seen: map[oid.ID]bool{}, out: out}
	for _, c := range commits {
		if skip[c.ID] {
			continue
		}
		if err := d.dig(c.ID, c.ID); err != nil {
			return nil, err
		}
		for _, p := range c.Parents { // what it changes is told by their trees too
			if err := d.dig(c.ID, p); err != nil {
				return nil, err
			}
		}
		if err := f.contents(s, c, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// deepBefore hashes the commits that say what is older than governance: a
// commit whose bytes are not those of its name could put anything before it.
// What it finds stands against every commit of the walk that would pass as such.
func (f *Facts) deepBefore(s *git.Session, commits []git.Commit, before map[oid.ID]bool, out map[oid.ID][]verdict.Finding) error {
	var ids []oid.ID
	for id := range before {
		ids = append(ids, id)
	}
	var bad []verdict.Finding
	i := 0
	for o, err := range s.Objects(names(ids), 1<<40) {
		if i >= len(ids) {
			break
		}
		id := ids[i]
		i++
		if err != nil {
			return fmt.Errorf("commit %s: %w", id.Short(), err)
		}
		if got := id.Format().Hash(o.Kind, o.Data); got != id {
			bad = append(bad, verdict.Finding{Code: verdict.ObjectHash, Object: id.String(), Message: fmt.Sprintf("the %s hashes to %s", o.Kind, got), Hint: "git fsck"})
		}
	}
	if i < len(ids) {
		return fmt.Errorf("reading history: %d of %d commits came", i, len(ids))
	}
	if len(bad) > 0 {
		for _, c := range commits {
			if before[c.ID] {
				out[c.ID] = append(out[c.ID], bad...)
			}
		}
	}
	return nil
}

type digger struct {
	s    *git.Session
	seen map[oid.ID]bool
	out  map[oid.ID][]verdict.Finding
}

// dig hashes a commit, the one that is judged or a parent of it, and all its tree
// has, except what was hashed already.
func (d *digger) dig(commit, top oid.ID) error {
	level := d.add(nil, top)
	for len(level) > 0 {
		var next []oid.ID
		i := 0
		for o, err := range d.s.Objects(names(level), 1<<40) {
			if i >= len(level) {
				break
			}
			id := level[i]
			i++
			if err != nil {
				return fmt.Errorf("object %s of commit %s: %w", id.Short(), commit.Short(), err)
			}
			if got := id.Format().Hash(o.Kind, o.Data); got != id {
				d.out[commit] = append(d.out[commit], verdict.Finding{
					Code: verdict.ObjectHash, Object: id.String(), Message: fmt.Sprintf("the %s hashes to %s", o.Kind, got), Hint: "git fsck",
				})
				continue
			}
			switch o.Kind {
			case "commit":
				c, err := git.ParseCommit(id.Format(), id, o.Data)
				if err != nil {
					d.malformed(commit, id, err)
					continue
				}
				next = d.add(next, c.Tree)
			case "tree":
				entries, err := git.ParseTree(id.Format(), o.Data)
				if err != nil {
					d.malformed(commit, id, err)
					continue
				}
				for _, e := range entries {
					if !e.Mode.IsGitlink() {
						next = d.add(next, e.ID)
					}
				}
			}
		}
		if i < len(level) {
			return fmt.Errorf("commit %s: %d of %d objects came", commit.Short(), i, len(level))
		}
		level = next
	}
	return nil
}

// malformed tells of an object that Git reads, and would not write.
func (d *digger) malformed(commit, id oid.ID, err error) {
	d.out[commit] = append(d.out[commit], verdict.Finding{Code: verdict.ObjectMalformed, Object: id.String(), Message: err.Error(), Hint: "git fsck"})
}

func (d *digger) add(list []oid.ID, id oid.ID) []oid.ID {
	if d.seen[id] {
		return list
	}
	d.seen[id] = true
	return append(list, id)
}

// contents holds the content digests of a commit's seals to the content.
func (f *Facts) contents(s *git.Session, c git.Commit, out map[oid.ID][]verdict.Finding) error {
	if len(f.seals[c.ID]) == 0 {
		return nil
	}
	trees, err := f.parentTrees(s, []git.Commit{c})
	if err != nil {
		return err
	}
	var pairs []git.TreePair
	for p := range treePairs([]git.Commit{c}, nil, trees) {
		pairs = append(pairs, p)
	}
	actual, err := changes(s, pairs)
	if err != nil {
		return fmt.Errorf("commit %s: %w", c.ID.Short(), err)
	}
	for _, cand := range f.SealsOf(c.ID) {
		if cand.Seal == nil {
			continue
		}
		for i, list := range cand.Seal.Predicate.Changes {
			if i < len(actual) {
				out[c.ID] = append(out[c.ID], contentFindings(cand, list, actual[i])...)
			}
		}
	}
	return nil
}

func contentFindings(cand verdict.Candidate, sealed, actual []prov.Change) []verdict.Finding {
	real := make(map[string]*prov.Change, len(actual))
	for i := range actual {
		real[actual[i].PathBytes()] = &actual[i]
	}
	var out []verdict.Finding
	for i := range sealed {
		c := &sealed[i]
		r, ok := real[c.PathBytes()]
		if !ok {
			continue // another check says so
		}
		for _, pair := range [][3]string{{"content", c.SHA256, r.SHA256}, {"patch", c.Patch, r.Patch}} {
			if pair[1] == pair[2] || pair[2] == prov.Missing { // what is not here can't be held to anything
				continue
			}
			out = append(out, verdict.Finding{
				Code: verdict.SealContent, Path: c.PathBytes(), Object: string(cand.ID),
				Message: fmt.Sprintf("the seal says its %s digest is %.20q; it is %.20q", pair[0], pair[1], pair[2]),
			})
		}
	}
	return out
}
