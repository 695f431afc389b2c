package provenance

import (
	"context"
	"maps"
	"slices"

	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
)

// derivations finds, for the commits that nobody sealed, the sealed changes they may be made
// of. Of a merge of two, those are what it takes in from the second, changed there alone. A seal covers only if its commit is not in the history that the covered one continues, and if
// nothing in that history may have been covered by it already: an old edge can't be used for ever.
func (f *Facts) derivations(ctx context.Context, s *git.Session, w *verdict.World, sp Span, commits []git.Commit, before map[oid.ID]bool, view map[oid.ID]seen) (map[oid.ID]*verdict.Derivation, error) {
	var open []git.Commit
	for _, c := range commits {
		claimed := slices.ContainsFunc(view[c.ID].candidates, func(x verdict.Candidate) bool { return x.Claims(c.ID) })
		if !before[c.ID] && !claimed && len(c.Parents) <= 2 && len(f.Denied[c.ID]) == 0 {
			open = append(open, c)
		}
	}
	if len(open) == 0 || len(f.Seals) == 0 {
		return nil, nil
	}
	offers := verdict.NewOffers(w, f.candidates)
	diffs, err := f.diffsOf(s, open)
	if err != nil {
		return nil, err
	}
	wanted := false
	for _, c := range open {
		wanted = wanted || slices.ContainsFunc(diffs[c.ID], func(r prov.Raw) bool { return offers.Reaches(&r) })
	}
	if !wanted {
		return nil, nil
	}
	h, err := f.whole(s, sp)
	if err != nil {
		return nil, err
	}
	// What went before without a seal may have used some of them.
	judged := map[oid.ID]bool{}
	own := map[oid.ID]map[string]bool{}
	for _, c := range open {
		judged[c.ID] = true
		if len(c.Parents) == 2 {
			if diffs[c.ID], own[c.ID], err = h.merged(s, c, diffs[c.ID]); err != nil {
				return nil, err
			}
		}
	}
	var older []git.Commit
	for _, id := range h.order {
		if c := h.commits[id]; h.past[id] && !h.before[id] && len(f.Seals[id]) == 0 && len(c.Parents) < 2 {
			older = append(older, c)
		}
	}
	past, err := h.diffsOf(s, older)
	if err != nil {
		return nil, err
	}
	maps.Copy(diffs, past)
	used := map[*verdict.Candidate][]oid.ID{} // → commits that may be made of it
	out := map[oid.ID]*verdict.Derivation{}
	for _, id := range h.order {
		changes := diffs[id]
		if len(changes) == 0 || ctx.Err() != nil {
			continue
		}
		var parent oid.ID
		if c := h.commits[id]; len(c.Parents) > 0 {
			parent = c.Parents[0]
		}
		from := map[oid.ID]*verdict.Candidate{}
		var ancestors map[oid.ID]bool
		has := func(x oid.ID) bool {
			if ancestors == nil {
				ancestors = h.reach([]oid.ID{parent})
			}
			return ancestors[x]
		}
		d := offers.Derive(changes, own[id], func(c *verdict.Candidate) bool {
			x := c.Seal.Commit()
			if x == id || has(x) || slices.ContainsFunc(used[c], has) {
				return false
			}
			from[x] = c
			return true
		}, func(x oid.ID) bool { return h.here[x] })
		for _, c := range from {
			used[c] = append(used[c], id)
		}
		if judged[id] && len(d.Sources) > 0 {
			d.Cut = h.cut
			out[id] = d
		}
	}
	return out, ctx.Err()
}

// candidates are the seals of all ledgers, in the order of their commits' names and then of ledgers.
func (f *Facts) candidates(yield func(*verdict.Candidate) bool) {
	for _, id := range slices.SortedFunc(maps.Keys(f.Seals), oid.ID.Compare) {
		for i := range f.Seals[id] {
			if !yield(&f.Seals[id][i]) {
				return
			}
		}
	}
}

// history is all that the commits of a span continue.
type history struct {
	*Facts
	past   map[oid.ID]bool // left out of the span
	before map[oid.ID]bool // of the past: older than governance, when there was nothing to use
	cut    oid.ID          // where a shallow clone ends it after that; zero when it does not
	here   map[oid.ID]bool // sealed commits that are in this clone
}

// whole reads the history that a range leaves out, as far as it is here.
func (f *Facts) whole(s *git.Session, sp Span) (*history, error) {
	h := &history{Facts: f, past: map[oid.ID]bool{}, here: map[oid.ID]bool{}}
	if len(sp.Except) > 0 {
		full := *f
		full.commits, full.order = maps.Clone(f.commits), nil
		var revs []string
		for _, id := range sp.Except {
			revs = append(revs, id.String())
		}
		shallow, err := s.Repo().Shallow()
		if err != nil {
			return nil, err
		}
		for c, err := range s.Log(git.LogQuery{Revs: revs}) {
			if err != nil {
				return nil, err
			}
			h.past[c.ID] = true
			full.commits[c.ID] = c
			full.order = append(full.order, c.ID)
		}
		for _, id := range f.order {
			if !h.past[id] {
				full.order = append(full.order, id)
			}
		}
		h.Facts = &full
		var since []oid.ID
		for _, g := range f.Root.Governed {
			since = append(since, g.Commit)
		}
		h.before = h.reach(since)
		for id := range h.past {
			if shallow[id] && !h.before[id] {
				h.cut = id
			}
		}
	}
	var ask []string
	ids := slices.SortedFunc(maps.Keys(f.Seals), oid.ID.Compare)
	for _, id := range ids {
		ask = append(ask, id.String())
	}
	i := 0
	for _, err := range s.Sizes(slices.Values(ask)) {
		if err == nil {
			h.here[ids[i]] = true
		}
		i++
	}
	return h, nil
}

// merged returns what a merge of two changes on its first parent, and what of the second it drops, with the paths at
// which the result is not what either side alone made of it: those its maker chose. Where the two have no one
// common ancestor to tell that by, there is nothing to return.
func (h *history) merged(s *git.Session, c git.Commit, changes []prov.Raw) ([]prov.Raw, map[string]bool, error) {
	base, ok := h.base(c.Parents[0], c.Parents[1])
	if !ok {
		return nil, nil, nil
	}
	trees, err := h.parentTrees(s, []git.Commit{c, {Parents: []oid.ID{base}}})
	if err != nil {
		return nil, nil, err
	}
	side := func(from, to oid.ID) (map[string]prov.Raw, error) {
		list, err := s.Diff(from, to)
		out := make(map[string]prov.Raw, len(list))
		for _, r := range RawChanges(list) {
			out[r.Path] = r
		}
		return out, err
	}
	first, err := side(trees[base], trees[c.Parents[0]])
	if err != nil {
		return nil, nil, err
	}
	second, err := side(trees[base], trees[c.Parents[1]])
	if err != nil {
		return nil, nil, err
	}
	own := map[string]bool{}
	at := map[string]bool{}
	for i := range changes {
		r := &changes[i]
		at[r.Path] = true
		_, here := first[r.Path]
		there, changed := second[r.Path]
		own[r.Path] = here || !changed || there.New != r.New || there.NewMode != r.NewMode
	}
	for path, r := range second { // what the result has of it is what the first side has
		if f, here := first[path]; at[path] || here && f.New == r.New && f.NewMode == r.NewMode {
			continue
		}
		own[path] = true
		dropped := prov.Raw{Path: path, Status: 'M', Old: r.New, OldMode: r.NewMode, New: r.Old, NewMode: r.OldMode}
		if f, here := first[path]; here {
			dropped.New, dropped.NewMode = f.New, f.NewMode
		}
		switch {
		case dropped.Old.IsZero():
			dropped.Status = 'A'
		case dropped.New.IsZero():
			dropped.Status = 'D'
		}
		changes = append(changes, dropped)
	}
	return changes, own, nil
}

// base returns the one best common ancestor of two commits; false when there is none, or more than one.
func (h *history) base(a, b oid.ID) (oid.ID, bool) {
	left, right := h.reach([]oid.ID{a}), h.reach([]oid.ID{b})
	var best []oid.ID
	covered := map[oid.ID]bool{}
	for i := len(h.order) - 1; i >= 0; i-- { // children before parents
		id := h.order[i]
		if !left[id] || !right[id] {
			continue
		}
		if !covered[id] {
			best = append(best, id)
		}
		for _, p := range h.commits[id].Parents {
			covered[p] = true
		}
	}
	if len(best) != 1 {
		return oid.ID{}, false
	}
	return best[0], true
}

// diffsOf returns what each of some commits changes on its first parent. A commit whose changes
// can't be told is left out: it has a finding of its own.
func (f *Facts) diffsOf(s *git.Session, commits []git.Commit) (map[oid.ID][]prov.Raw, error) {
	trees, err := f.parentTrees(s, commits)
	if err != nil {
		return nil, err
	}
	out := make(map[oid.ID][]prov.Raw, len(commits))
	first := make([]git.Commit, len(commits))
	for i, c := range commits {
		first[i] = c
		first[i].Parents = c.Parents[:min(1, len(c.Parents))]
	}
	i := 0
	for list, err := range s.Diffs(treePairs(first, nil, trees)) {
		if i >= len(commits) {
			break
		}
		if err == nil {
			out[commits[i].ID] = RawChanges(list)
		}
		i++
	}
	return out, nil
}
