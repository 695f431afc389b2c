package provenance

import (
	"slices"

	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
)

// ReviewState says what has become of the change that a review is about.
type ReviewState string

// The states.
const (
	ReviewOpen  ReviewState = "open"  // it is here, and its ref has not made that step
	ReviewUsed  ReviewState = "used"  // its ref made that step
	ReviewStale ReviewState = "stale" // neither: what it was about has changed, or is not here
)

// Limits of how many steps are looked at of which nobody speaks whose word may count, the newest first; and of the refs that they name. Each
// costs a look at a history, and whoever has a key may record any number.
const (
	maxTalkedSteps = 256
	maxTalkedRefs  = 16
)

// step is what a review is about.
type step struct {
	ref              string
	from, base, tree oid.ID
}

func stepOf(r *Review) step {
	p := &r.Statement.Predicate
	return step{p.Ref, p.Base.Commit, p.Base.Tree, r.Statement.Tree()}
}

// steps returns the places of those reviews whose changes are looked at, by ref and step.
func (f *Facts) steps(list []Review) map[string]map[step][]int {
	out := map[string]map[step][]int{}
	take := func(i int) {
		x := stepOf(&list[i])
		if out[x.ref] == nil {
			out[x.ref] = map[step][]int{}
		}
		out[x.ref][x] = append(out[x.ref][x], i)
	}
	var others []int
	for i := range list {
		if f.reviews(&list[i]) {
			take(i)
		} else {
			others = append(others, i)
		}
	}
	slices.SortStableFunc(others, func(a, b int) int { return list[b].Time.Compare(list[a].Time) })
	steps, refs := maxTalkedSteps, maxTalkedRefs
	for _, i := range others {
		x := stepOf(&list[i])
		if out[x.ref] == nil {
			if refs == 0 {
				continue
			}
			refs--
		}
		if out[x.ref][x] == nil {
			if steps == 0 {
				continue
			}
			steps--
		}
		take(i)
	}
	return out
}

// ReviewStates says of each review what has become of its change, as the history that is here has it; "" of one that was not looked at, since
// there are too many by whose word nothing is decided.
func (f *Facts) ReviewStates(s *git.Session, list []Review) ([]ReviewState, error) {
	out := make([]ReviewState, len(list))
	for ref, steps := range f.steps(list) {
		sp := Span{Ref: ref}
		var places []oid.ID
		if h, err := HeadOf(s, ref); err == nil && !h.Commit.IsZero() {
			places = []oid.ID{h.Commit}
			sp.Tips = append(sp.Tips, h.Commit)
		}
		tried := map[oid.ID]bool{}
		for _, at := range steps {
			for _, i := range at {
				out[i] = ReviewStale
				id := list[i].Statement.Commit()
				if tried[id] {
					continue
				}
				tried[id] = true
				if c, err := s.Commit(id.String()); err == nil && c.Tree == list[i].Statement.Tree() {
					sp.Tips = append(sp.Tips, c.ID)
				}
			}
		}
		for _, l := range f.Line(ref).Steps {
			if c, err := s.Commit(l.New.String() + "^{commit}"); err == nil {
				sp.Tips = append(sp.Tips, c.ID)
			}
		}
		slices.SortFunc(sp.Tips, oid.ID.Compare)
		sp.Tips = slices.Compact(sp.Tips)
		if len(sp.Tips) == 0 {
			continue
		}
		var revs []string
		for _, id := range sp.Tips {
			revs = append(revs, id.String())
		}
		all, err := f.with(s, revs)
		if err != nil {
			return nil, err
		}
		g, err := all.graph(s, sp)
		if err != nil {
			return nil, err
		}
		last := len(all.moves(g, ref, places, nil))
		for _, at := range steps {
			state := ReviewStale
			for _, c := range g.about(list[at[0]].Statement) {
				state = ReviewUsed
				if g.brought[c] == last {
					state = ReviewOpen
					break
				}
			}
			for _, i := range at {
				out[i] = state
			}
		}
	}
	return out, nil
}
