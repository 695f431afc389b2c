package provenance

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
)

// maxSteps bounds the work of one verification, and maxStepsOfOne that for one commit: what it takes to know more is not
// derived.
const (
	maxSteps      = 40_000_000
	maxStepsOfOne = 4_000_000
)

// history is all that the commits of a span continue, and what a range leaves out.
type history struct {
	f        *Facts
	order    []oid.ID // parents before children
	index    map[oid.ID]int
	above    [][]int // the places of a commit's parents
	chain    []int   // commits of one chain follow each other by first parents
	at       map[int]*walk
	excepted map[int]bool    // left out of the range, and not apart from the ref under review
	before   map[oid.ID]bool // older than governance
	cut      oid.ID          // where it can't be read further; zero when it can
	paths    map[string]*past
	steps    int // that are left
	of       int // of one commit
}

// past is what a history did at one path since governance began.
type past struct {
	moved []int                  // places of the commits that chose what stands there, in order
	moves map[int][]verdict.Move // how, against each parent that has something else
	left  map[verdict.Node][]int // who left what stood there, or stood there on the way if they were made of sealed changes
}

// take counts steps; false when there are none left.
func (h *history) take(n int) bool {
	h.steps -= n
	h.of -= n
	return h.steps > 0 && h.of > 0
}

// history reads what a range leaves out, as far as it is here.
func (d *deriver) history(s *git.Session) (*history, error) {
	full := *d.f
	full.commits = maps.Clone(d.f.commits)
	h := &history{
		f: &full, index: map[oid.ID]int{}, before: map[oid.ID]bool{}, at: map[int]*walk{}, excepted: map[int]bool{}, paths: map[string]*past{}, steps: maxSteps, of: maxSteps,
	}
	order := d.f.order
	in := map[oid.ID]bool{}
	if len(d.span.Except) > 0 {
		shallow, err := s.Repo().Shallow()
		if err != nil {
			return nil, err
		}
		var past []oid.ID
		for c, err := range s.Log(git.LogQuery{Revs: tips(d.span.Except)}) {
			if err != nil {
				return nil, err
			}
			in[c.ID] = true
			full.commits[c.ID] = c
			past = append(past, c.ID)
		}
		h.before = full.reach(d.since(""))
		for _, id := range past {
			if shallow[id] && !h.before[id] {
				h.cut = id
			}
		}
		order = append(past, slices.DeleteFunc(slices.Clone(order), func(id oid.ID) bool { return in[id] })...)
	} else {
		h.before = d.before
	}
	reached := full.reach(d.span.Tips)
	had := in
	if len(d.span.Apart) > 0 {
		had = full.reach(slices.DeleteFunc(slices.Clone(d.span.Except), func(id oid.ID) bool { return slices.Contains(d.span.Apart, id) }))
	}
	for _, id := range order {
		if reached[id] || in[id] {
			if had[id] {
				h.excepted[len(h.order)] = true
			}
			h.index[id] = len(h.order)
			h.order = append(h.order, id)
		}
	}
	h.above, h.chain = make([][]int, len(h.order)), make([]int, len(h.order))
	ends := map[int]int{} // chain → its last commit
	for i, id := range h.order {
		h.chain[i] = i
		if p := full.commits[id].Parents; len(p) > 0 {
			if at, here := h.index[p[0]]; here && ends[h.chain[at]] == at {
				h.chain[i] = h.chain[at]
			}
		}
		ends[h.chain[i]] = i
		for _, p := range full.commits[id].Parents {
			if at, here := h.index[p]; here {
				h.above[i] = append(h.above[i], at)
			}
		}
	}
	return h, nil
}

// since are the commits at which a ref, or any, came to be governed.
func (d *deriver) since(ref string) []oid.ID {
	var out []oid.ID
	for _, g := range d.f.Root.Governed {
		if ref == "" || g.Ref == ref {
			out = append(out, g.Commit)
		}
	}
	return out
}

func tips(ids []oid.ID) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = id.String()
	}
	return out
}

// leave finds out what the commits of the history chose at some paths since governance began, whoever made them. A commit
// chooses where it has what none of its parents has; a merge also where it has what one parent has, and another one's side
// had changed the path since they parted.
func (d *deriver) leave(ctx context.Context, s *git.Session, paths map[string]bool) error {
	h := d.h
	for p := range paths {
		h.paths[p] = &past{moves: map[int][]verdict.Move{}, left: map[verdict.Node][]int{}}
	}
	var commits []git.Commit
	for _, id := range h.order {
		if !h.before[id] && id != h.cut { // of the commit where it is cut nobody knows what it changed
			commits = append(commits, h.f.commits[id])
		}
	}
	trees, err := h.f.parentTrees(s, commits)
	if err != nil {
		return err
	}
	next, parent := 0, 0 // the commit, and which of its parents
	differs := map[string][]against{}
	for list, err := range s.Diffs(treePairs(commits, nil, trees)) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if h.spent() {
			break // nothing more is found out, and nothing is covered
		}
		if next == len(commits) {
			break
		}
		c := &commits[next]
		if err != nil {
			h.cut = c.ID // what it did is not known
		}
		for _, r := range RawChanges(list) {
			if paths[r.Path] {
				differs[r.Path] = append(differs[r.Path], against{parent, verdict.Move{From: verdict.Node{Mode: r.OldMode, ID: r.Old}, To: verdict.Node{Mode: r.NewMode, ID: r.New}}})
			}
		}
		if parent++; parent < len(c.Parents) {
			continue
		}
		for _, p := range slices.Sorted(maps.Keys(differs)) {
			d.move(p, c, differs[p])
		}
		next, parent = next+1, 0
		clear(differs)
	}
	return ctx.Err()
}

// against is how a commit differs from one of its parents at a path.
type against struct {
	parent int
	verdict.Move
}

// move notes what a commit chose at a path, if it did.
func (d *deriver) move(path string, c *git.Commit, list []against) {
	h, p := d.h, d.h.paths[path]
	place := h.index[c.ID]
	for _, a := range list {
		if len(list) < len(c.Parents) && !h.drops(p, c, list, a.parent) {
			continue // that side had not touched it
		}
		p.moves[place] = append(p.moves[place], a.Move)
		// What was sealed by who went on from there is no part of it.
		nodes, work := d.offers.Passed(path, a.From, a.To, d.may, func(x *verdict.Candidate) bool { return h.take(1) && !d.knows(x, place) })
		h.take(work + 1)
		for _, n := range nodes {
			if m := p.left[n]; n != a.To && (len(m) == 0 || m[len(m)-1] != place) {
				p.left[n] = append(m, place)
			}
		}
	}
	if len(p.moves[place]) > 0 {
		p.moved = append(p.moved, place)
	}
}

// drops reports whether a merge that has at a path what one of its parents has takes away what the side of another one chose.
func (h *history) drops(p *past, c *git.Commit, list []against, parent int) bool {
	side, here := h.index[c.Parents[parent]]
	if !here {
		return false
	}
	for i := len(p.moved) - 1; i >= 0; i-- {
		k := p.moved[i]
		if !h.reaches(side, k) {
			continue
		}
		kept := false
		for n, id := range c.Parents {
			at, in := h.index[id]
			if in && !slices.ContainsFunc(list, func(a against) bool { return a.parent == n }) && h.reaches(at, k) {
				kept = true
				break
			}
		}
		if !kept {
			return true
		}
	}
	return false
}

// A walk goes back from a commit, as far as it is asked.
type walk struct {
	seen        []uint64
	todo, later []int
	low         int // everything from here on was seen
}

// walkMemory bounds what walks are kept, in bytes.
const walkMemory = 1 << 27

// spent reports whether more was to be looked at than is.
func (h *history) spent() bool { return h.steps <= 0 || h.of <= 0 }

// reaches reports whether the commit at a place is another, or continues it.
func (h *history) reaches(from, to int) bool {
	switch {
	case to > from || h.steps <= 0 || h.of <= 0: // whoever asked finds out that there were too many
		return false
	case h.chain[from] == h.chain[to]:
		return true
	}
	w := h.at[from]
	if w == nil {
		if len(h.at) >= max(64, walkMemory/(len(h.order)/8+64)) {
			clear(h.at)
		}
		w = &walk{seen: make([]uint64, len(h.order)/64+1), later: []int{from}, low: from + 1}
		h.at[from] = w
		h.take(len(h.order) / 64)
	}
	if to < w.low {
		w.todo, w.later = append(w.todo, w.later...), w.later[:0]
		for len(w.todo) > 0 {
			x := w.todo[len(w.todo)-1]
			w.todo = w.todo[:len(w.todo)-1]
			if !h.take(1) {
				w.todo = append(w.todo, x) // the walk is kept, and goes on from here
				return false
			}
			switch {
			case w.seen[x/64]&(1<<(x%64)) != 0:
			case x < to:
				w.later = append(w.later, x)
			default:
				w.seen[x/64] |= 1 << (x % 64)
				w.todo = append(w.todo, h.above[x]...)
			}
		}
		w.low = to
	}
	h.take(1)
	return w.seen[to/64]&(1<<(to%64)) != 0
}

// continues is reaches for commits by name; false where one is not in the history.
func (h *history) continues(from, to oid.ID) bool {
	a, ok := h.index[from]
	b, in := h.index[to]
	return ok && in && h.reaches(a, b)
}

// base returns the one best common ancestor of two commits; false when there is none, or more than one.
func (h *history) base(a, b oid.ID) (oid.ID, bool) {
	const left, right, stale = 1, 2, 4
	flags := map[oid.ID]int{}
	var queue []oid.ID // by their place in the history, the last first
	open := 0          // of the queue: not stale
	push := func(id oid.ID, flag int) {
		if _, here := h.index[id]; !here {
			return
		}
		was, queued := flags[id]
		flags[id] = was | flag
		switch {
		case !queued:
			at, _ := slices.BinarySearchFunc(queue, id, func(x, y oid.ID) int { return cmp.Compare(h.index[x], h.index[y]) })
			queue = slices.Insert(queue, at, id)
			if flag&stale == 0 {
				open++
			}
		case was&stale == 0 && flag&stale != 0:
			open--
		}
	}
	push(a, left)
	push(b, right)
	var best []oid.ID
	for open > 0 {
		id := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		flag := flags[id]
		if flag&stale == 0 {
			open--
			if flag == left|right {
				best = append(best, id)
				flag |= stale
			}
		}
		for _, p := range h.f.commits[id].Parents {
			push(p, flag)
		}
	}
	if len(best) != 1 {
		return oid.ID{}, false
	}
	return best[0], true
}
