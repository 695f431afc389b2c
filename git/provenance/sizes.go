package provenance

import (
	"fmt"

	"github.com/open-covenant/covenant-git/envelope/capability"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

// sizes fills in how many bytes the new content of each path has, as Git says. A
// submodule's commit has none.
func sizes(s *git.Session, touched []pluginapi.Change, diffs [][]prov.Raw) error {
	content := map[string]oid.ID{}
	for _, list := range diffs {
		for i := range list {
			if c := &list[i]; !c.New.IsZero() && c.NewMode != gitlink {
				content[c.Path] = c.New
			}
		}
	}
	var ids []oid.ID
	var at []int
	for i := range touched {
		if id, ok := content[string(touched[i].Path)]; ok {
			ids, at = append(ids, id), append(at, i)
		}
	}
	n := 0
	for size, err := range s.Sizes(names(ids)) {
		if n >= len(ids) {
			break
		}
		if err != nil {
			return fmt.Errorf("size of %s: %w", ids[n].Short(), err)
		}
		touched[at[n]].Size = size
		n++
	}
	if n < len(ids) {
		return fmt.Errorf("sizes of %d of %d objects came", n, len(ids))
	}
	return nil
}

// TouchedBy returns what a commit of this tree with these parents changes, sizes included.
func TouchedBy(s *git.Session, tree oid.ID, parents []oid.ID) ([]pluginapi.Change, error) {
	diffs, err := DiffsBy(s, tree, parents)
	if err != nil {
		return nil, err
	}
	touched := prov.Touched(diffs)
	return touched, sizes(s, touched, diffs)
}

// DiffsBy returns the differences of a commit of this tree from each of these parents; of one without any, from nothing.
func DiffsBy(s *git.Session, tree oid.ID, parents []oid.ID) ([][]prov.Raw, error) {
	pairs := []git.TreePair{{New: tree}}
	if len(parents) > 0 {
		pairs = pairs[:0]
		for c, err := range s.Commits(names(parents)) {
			if err != nil {
				return nil, err
			}
			pairs = append(pairs, git.TreePair{Old: c.Tree, New: tree})
		}
	}
	var diffs [][]prov.Raw
	for _, p := range pairs {
		list, err := s.Diff(p.Old, p.New)
		if err != nil {
			return nil, fmt.Errorf("comparing trees %s and %s: %w", p.Old.Short(), p.New.Short(), err)
		}
		diffs = append(diffs, RawChanges(list))
	}
	return diffs, nil
}

// Touched returns what checkers are asked about; sizes are looked up where a grant needs them.
func Touched(s *git.Session, a *capability.Authority, diffs [][]prov.Raw) ([]pluginapi.Change, error) {
	touched := prov.Touched(diffs)
	if !a.NeedsSizes() {
		return touched, nil
	}
	return touched, sizes(s, touched, diffs)
}
