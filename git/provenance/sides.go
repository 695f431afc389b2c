package provenance

import (
	"context"
	"fmt"
	"slices"
	"strings"

	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

// Answers narrows what the maker of a merge of two is asked about, on a ref that the policy does not protect, to what the maker
// answers for: not for what the other side alone had changed since they parted, and the merge has as it is there, where that
// side is of a branch that answers for itself. It costs two children, and a third where that is so.
func Answers(ctx context.Context, s *git.Session, root *Root, ref string, parents []oid.ID, diffs [][]prov.Raw, touched []pluginapi.Change) ([]pluginapi.Change, error) {
	if len(parents) != 2 || len(diffs) != 2 || root.Policy.Protects(ref) {
		return touched, nil
	}
	if ok, err := root.settled(ctx, s, ref, parents[1], oid.ID{}); err != nil || !ok {
		return touched, err
	}
	out, err := s.Repo().Run(ctx, nil, "merge-base", "--all", parents[0].String(), parents[1].String())
	if err != nil {
		return touched, nil //nolint:nilerr // they have nothing in common: all of it is the maker's
	}
	bases := strings.Fields(string(out))
	if len(bases) != 1 {
		return touched, nil
	}
	base, err := s.Commit(bases[0])
	if err != nil {
		return nil, err
	}
	first, err := s.Commit(parents[0].String())
	if err != nil {
		return nil, err
	}
	list, err := s.Diff(base.Tree, first.Tree)
	if err != nil {
		return nil, fmt.Errorf("comparing with %s, where they parted: %w", base.ID.Short(), err)
	}
	return without(touched, taken(RawChanges(list), diffs)), nil
}

// AnswersBy is Answers for a tree that may have been no commit.
func AnswersBy(ctx context.Context, s *git.Session, root *Root, ref string, tree oid.ID, parents []oid.ID) ([]pluginapi.Change, error) {
	diffs, err := compared(s, tree, parents)
	if err != nil {
		return nil, err
	}
	touched := prov.Touched(diffs)
	if err := sizes(s, touched, diffs); err != nil {
		return nil, err
	}
	return Answers(ctx, s, root, ref, parents, diffs, touched)
}

// settled reports whether a commit is in a branch, other than the ref, that the policy protects, or that was governed from the
// beginning. A branch that has the commit without is none.
func (r *Root) settled(ctx context.Context, s *git.Session, ref string, id, without oid.ID) (bool, error) {
	args := []string{"for-each-ref", "--format=%(refname)", "--contains=" + id.String()}
	if !without.IsZero() {
		args = append(args, "--no-contains="+without.String())
	}
	out, err := s.Repo().Run(ctx, nil, append(args, "refs/heads", "refs/remotes")...)
	if err != nil {
		return false, err
	}
	for name := range strings.Lines(string(out)) {
		name = strings.TrimSuffix(name, "\n")
		branches := []string{name}
		if rest, ok := strings.CutPrefix(name, "refs/remotes/"); ok { // the name of a remote may have slashes
			branches = branches[:0]
			for i := range rest {
				if rest[i] == '/' {
					branches = append(branches, "refs/heads/"+rest[i+1:])
				}
			}
		}
		for _, b := range branches {
			if b != ref && (r.Policy.Protects(b) || slices.ContainsFunc(r.Governed, func(g trust.Since) bool { return g.Ref == b })) {
				return true, nil
			}
		}
	}
	return false, nil
}

// taken returns the paths at which a merge has what its second parent has, and its first had changed nothing.
func taken(mine []prov.Raw, diffs [][]prov.Raw) map[string]bool {
	out := map[string]bool{}
	for i := range diffs[0] {
		out[diffs[0][i].Path] = true
	}
	for _, list := range [][]prov.Raw{diffs[1], mine} {
		for i := range list {
			delete(out, list[i].Path)
		}
	}
	return out
}

func without(touched []pluginapi.Change, paths map[string]bool) []pluginapi.Change {
	return slices.DeleteFunc(slices.Clone(touched), func(c pluginapi.Change) bool { return paths[string(c.Path)] })
}

// answers is Answers for a merge that is verified, whose history is known.
func (d *deriver) answers(ctx context.Context, s *git.Session, x *heldExam) error {
	c, e := &x.commit, &x.exam
	second, here := d.h.index[c.Parents[1]]
	protected := !e.Side && d.f.Root.Policy.Protects(d.ref)
	ok := e.Side || here && d.h.excepted[second] && (d.span.Ref != "" || !protected) // whoever brought it to this branch answers; it is there already
	if !ok && !protected && d.span.Ref == "" {
		var err error
		if ok, err = d.f.Root.settled(ctx, s, d.ref, c.Parents[1], c.ID); err != nil {
			return err
		}
	}
	base, one := d.h.base(c.Parents[0], c.Parents[1])
	if !ok || !one {
		return nil
	}
	trees, err := d.h.f.parentTrees(s, []git.Commit{{Parents: []oid.ID{base, c.Parents[0]}}})
	if err != nil {
		return err
	}
	list, err := s.Diff(trees[base], trees[c.Parents[0]])
	if err != nil {
		return err
	}
	e.Touched = without(e.Touched, taken(RawChanges(list), x.diffs))
	return nil
}
