package provenance

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

// stands returns where the ref under review is known to have been: what a range leaves out, or the head that is judged, which is also what is
// published of a ref that is not here and never was taken away, and what the ref here has come past; of a range that is history its end, too. An
// admission of any other place tells of a move that nobody has seen the ref make.
func (f *Facts) stands(ctx context.Context, s *git.Session, sp Span, ref string, history bool) ([]oid.ID, error) {
	switch {
	case len(sp.Except) > 0 && history:
		return append(slices.Clone(sp.Except), sp.Tips...), nil
	case len(sp.Except) > 0:
		return sp.Except, nil
	case sp.Ref == "":
		return sp.Tips, nil
	}
	h, err := HeadOf(s, ref)
	if err != nil {
		return nil, err
	}
	if h.Commit.IsZero() {
		if f.deleted(ref) {
			return nil, nil
		}
		return sp.Tips, nil
	}
	places := []oid.ID{h.Commit}
	for _, tip := range sp.Tips {
		if tip == h.Commit {
			continue
		}
		past, err := Forward(ctx, s, tip, h.Commit)
		if err != nil {
			return nil, err
		}
		if past {
			places = append(places, tip)
		}
	}
	return places, nil
}

// deleted reports whether somebody who might, now or once, admitted that a ref was taken away: it was here, and what else was admitted of it says
// nothing of where it is to be.
func (f *Facts) deleted(ref string) bool {
	return slices.ContainsFunc(f.Line(ref).Steps, func(s verdict.Step) bool { return s.New.IsZero() && f.Authority.MayEver(s.KeyID, s.Action) })
}

// graph is a history, parents before children.
type graph struct {
	order  []oid.ID
	index  map[oid.ID]int
	above  [][]int
	trees  []oid.ID
	with   map[oid.ID][]int // tree → the places of commits that have it
	except int              // how many the range leaves out: those come first

	brought []int        // by which move of the ref each came, from 1; 0: it is not known
	stood   map[int]bool // places at which the ref was
}

// graph reads what a range leaves out beside the range.
func (f *Facts) graph(s *git.Session, sp Span) (*graph, error) {
	g := &graph{index: map[oid.ID]int{}, with: map[oid.ID][]int{}}
	add := func(c *git.Commit) {
		if _, twice := g.index[c.ID]; twice {
			return
		}
		i := len(g.order)
		g.index[c.ID] = i
		g.order, g.trees = append(g.order, c.ID), append(g.trees, c.Tree)
		g.with[c.Tree] = append(g.with[c.Tree], i)
		var above []int
		for _, p := range c.Parents {
			if at, ok := g.index[p]; ok {
				above = append(above, at)
			}
		}
		g.above = append(g.above, above)
	}
	if len(sp.Except) > 0 {
		for c, err := range s.Log(git.LogQuery{Revs: tips(sp.Except)}) {
			if err != nil {
				return nil, err
			}
			add(&c)
		}
	}
	g.except = len(g.order)
	in := f.reach(sp.Tips)
	for _, id := range f.order {
		if in[id] {
			c := f.commits[id]
			add(&c)
		}
	}
	return g, nil
}

// reach returns which places are reachable from some, these included.
func (g *graph) reach(from []int) []bool {
	in := make([]bool, len(g.order))
	todo := slices.Clone(from)
	for len(todo) > 0 {
		i := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if in[i] {
			continue
		}
		in[i] = true
		todo = append(todo, g.above[i]...)
	}
	return in
}

// A move is one that a ref made.
type move struct {
	root envelope.Digest // version of the trust root that was in force; "" where it is not known
	when time.Time       // zero where it is not known
	end  int             // the place of the commit that it led to
	step *verdict.Step   // the admission of it; nil where it is not known
}

// moves finds out by which move of a ref each commit came, and returns them in order. The first has what was there before all
// others, the last is of what no admission brought; neither leads anywhere.
//
// A move is an admission that counts of a place that the ref is known to have been at, or to have come past; when it was made, or, of who is
// not believed about times, when somebody accountable first saw it. Until then it is not known to be one: what it brought belongs to the next.
func (f *Facts) moves(g *graph, ref string, places []oid.ID, before map[oid.ID]bool) []move {
	g.stood = map[int]bool{}
	var from []int
	for _, id := range places {
		if at, ok := g.index[id]; ok {
			from = append(from, at)
			for i := at; ; i = g.above[i][0] { // where it was, commit by commit, if nobody admitted anything
				g.stood[i] = true
				if len(g.above[i]) == 0 {
					break
				}
			}
		}
	}
	past := g.reach(from)
	g.brought = make([]int, len(g.order))
	for i, id := range g.order {
		if before[id] {
			g.brought[i] = 1
		}
	}
	moves := []move{{}}
	take := func(n, tip int) bool { // what a commit that was taken has was taken before it
		found := false
		for todo := []int{tip}; len(todo) > 0; {
			i := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			if g.brought[i] == 0 {
				g.brought[i], found = n, true
				todo = append(todo, g.above[i]...)
			}
		}
		return found
	}
	line := f.Line(ref)
	for _, id := range line.Since {
		if at, ok := g.index[id]; ok {
			take(1, at)
		}
	}
	w := f.World()
	type place struct {
		at   int
		when time.Time
		step *verdict.Step
	}
	var steps []place
	below := map[int][]bool{} // place → which it has among its ancestors
	has := func(at, from int) bool {
		if below[at] == nil {
			below[at] = g.reach([]int{at})
		}
		return below[at][from]
	}
	for i := range line.Steps {
		step := &line.Steps[i]
		at, here := g.index[step.New]
		if !here || !past[at] {
			continue
		}
		judged := *step
		if from, in := g.index[step.Old]; in && from < g.except && at >= g.except && has(at, from) {
			judged.Action = admits(ref, step.Old, step.New, true) // the range alone does not tell that it went forward
		}
		if when, known := f.moment(step); known && judged.Refusal(w, ref, when) == "" {
			steps = append(steps, place{at, when, step})
		}
	}
	slices.SortStableFunc(steps, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.at, b.at), a.when.Compare(b.when), cmp.Compare(a.step.ID, b.step.ID))
	})
	for _, p := range steps {
		if take(len(moves)+1, p.at) {
			moves = append(moves, move{f.inForceAt(p.when, p.step.Root), p.when, p.at, p.step})
		}
	}
	n := len(moves) + 1
	for i := range g.order {
		if g.brought[i] == 0 && i >= g.except {
			g.brought[i] = n
		}
	}
	return append(moves, move{})
}

// moment is Made of an admission.
func (f *Facts) moment(step *verdict.Step) (time.Time, bool) {
	return f.Made(capability.Place{ID: step.ID, KeyID: step.KeyID, Ledger: step.Ledger, Seq: step.Seq, Time: step.Time})
}

// touching is what the commits of each move touch.
type touching map[int]map[string]bool

func (t touching) add(move int, touched []pluginapi.Change) {
	if t[move] == nil {
		t[move] = map[string]bool{}
	}
	for i := range touched {
		t[move][string(touched[i].Path)] = true
	}
}

func (t touching) paths(move int) []string { return slices.Sorted(maps.Keys(t[move])) }
