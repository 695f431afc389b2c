package provenance

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
)

// A deriver finds the sealed changes that commits without a good seal may be made of. What
// the history has done once was done: a step that a commit took, or may have been made of, covers nothing after it.
type deriver struct {
	f      *Facts
	w      *verdict.World // who may do what by the built-in checker
	span   Span
	before map[oid.ID]bool
	now    time.Time
	offers *verdict.Offers // nil: nobody needed them yet
}

// heldExam is a commit that waits for its derivation, or for that of an earlier one.
type heldExam struct {
	exam   verdict.Exam
	commit git.Commit
	diffs  [][]prov.Raw // against each parent; nil: it is not derived
}

// maxSteps bounds the work of finding out what a history may have been made of: past it nothing more is derived.
const maxSteps = 20_000_000

func (f *Facts) deriver(w *verdict.World, sp Span, before map[oid.ID]bool, now time.Time) *deriver {
	plain := *w
	plain.Authority = f.Authority
	return &deriver{f: f, w: &plain, span: sp, before: before, now: now}
}

// open reports whether sealed changes of other commits could make a difference to the verdict of a commit.
func (d *deriver) open(c *verdict.Commit, e *verdict.Exam) bool {
	if c.Before || c.DiffErr != nil || len(c.Parents) == 0 || len(c.Parents) > 2 || len(e.Deep) > 0 || len(e.Denied) > 0 || len(d.f.Seals) == 0 {
		return false
	}
	if len(e.Seals) > 0 || e.Signer != "" {
		if e.Judge(d.w, d.now).Verdict.OK() {
			return false
		}
	}
	if d.offers == nil {
		d.offers = verdict.NewOffers(d.w, d.f.candidates)
	}
	for _, list := range c.Diffs {
		for i := range list {
			if d.offers.Reaches(&list[i]) {
				return true
			}
		}
	}
	return false
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

// derive finds what may cover the commits that wait for it.
func (d *deriver) derive(ctx context.Context, s *git.Session, held []heldExam) error {
	h, err := d.history(s)
	if err != nil {
		return err
	}
	paths := map[string]bool{}
	for i := range held {
		for _, list := range held[i].diffs {
			for j := range list {
				if d.offers.Weight(list[j].Path) > 0 {
					paths[list[j].Path] = true
				}
			}
		}
	}
	if err := d.spend(ctx, s, h, paths); err != nil {
		return err
	}
	here, err := d.here(s)
	if err != nil {
		return err
	}
	for i := range held {
		x := &held[i]
		if x.diffs == nil {
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		parts, err := d.parts(s, h, x)
		if err != nil {
			return err
		}
		if x.exam.Derived = d.offers.Derive(parts, func(id oid.ID) bool { return here[id] }); len(x.exam.Derived.Sources) == 0 {
			x.exam.Derived = nil
			continue
		}
		x.exam.Derived.Cut = h.cut
		for p := range h.over {
			if slices.ContainsFunc(x.exam.Derived.Changes, func(c verdict.DerivedChange) bool { return string(c.Change.Path) == p }) {
				x.exam.Derived.Over = p
			}
		}
	}
	return nil
}

// parts are what a commit changes against each of its parents, held to the history of that parent.
func (d *deriver) parts(s *git.Session, h *history, x *heldExam) ([]verdict.Part, error) {
	c := &x.commit
	var chosen map[string]bool
	if len(c.Parents) == 2 {
		var err error
		if chosen, err = h.merged(s, c, x.diffs); err != nil {
			return nil, err
		}
	}
	out := make([]verdict.Part, 0, len(c.Parents))
	for i, p := range c.Parents {
		past := h.walks[i].from(h, p)
		out = append(out, verdict.Part{
			Changes: x.diffs[i], Own: chosen, Second: i == 1,
			Usable: func(cand *verdict.Candidate) bool {
				id := cand.Seal.Commit()
				at, known := h.index[id]
				return id != c.ID && !d.before[id] && !h.before[id] && !(known && past(at))
			},
			Spent: func(path string, move verdict.Move) bool {
				if h.over[path] {
					return true
				}
				list := h.spent[path][move]
				for i := len(list) - 1; i >= 0; i-- { // what was done last is nearest
					if past(list[i]) {
						return true
					}
				}
				return false
			},
		})
	}
	return out, nil
}

// history is all that the commits of a span continue, since governance began.
type history struct {
	f      *Facts
	order  []oid.ID // parents before children
	index  map[oid.ID]int
	above  [][]int // the places of a commit's parents
	walks  [2]walk
	before map[oid.ID]bool                   // older than governance: what was sealed since was not done then
	cut    oid.ID                            // where it can't be read further; zero when it can
	spent  map[string]map[verdict.Move][]int // the places of who made a move, or may have been made of it
	over   map[string]bool                   // paths of which there is too much to look at
}

// history reads what a range leaves out, as far as it is here.
func (d *deriver) history(s *git.Session) (*history, error) {
	full := *d.f
	full.commits = maps.Clone(d.f.commits)
	h := &history{f: &full, index: map[oid.ID]int{}, before: map[oid.ID]bool{}, spent: map[string]map[verdict.Move][]int{}, over: map[string]bool{}}
	order := d.f.order
	if len(d.span.Except) > 0 {
		shallow, err := s.Repo().Shallow()
		if err != nil {
			return nil, err
		}
		var past []oid.ID
		in := map[oid.ID]bool{}
		for c, err := range s.Log(git.LogQuery{Revs: tips(d.span.Except)}) {
			if err != nil {
				return nil, err
			}
			in[c.ID] = true
			full.commits[c.ID] = c
			past = append(past, c.ID)
		}
		var since []oid.ID
		for _, g := range d.f.Root.Governed {
			since = append(since, g.Commit)
		}
		h.before = full.reach(since)
		for _, id := range past {
			if shallow[id] && !h.before[id] {
				h.cut = id
			}
		}
		order = append(past, slices.DeleteFunc(slices.Clone(order), func(id oid.ID) bool { return in[id] })...)
	}
	reached := full.reach(d.span.Tips)
	for _, id := range order {
		if reached[id] {
			h.index[id] = len(h.order)
			h.order = append(h.order, id)
		}
	}
	h.above = make([][]int, len(h.order))
	for i, id := range h.order {
		for _, p := range full.commits[id].Parents {
			if at, here := h.index[p]; here {
				h.above[i] = append(h.above[i], at)
			}
		}
	}
	return h, nil
}

func tips(ids []oid.ID) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = id.String()
	}
	return out
}

// spend finds out what the commits of the history did at some paths, whoever made them, against each of their parents, and
// what each of it may have been made of.
func (d *deriver) spend(ctx context.Context, s *git.Session, h *history, paths map[string]bool) error {
	var commits []git.Commit
	for _, id := range h.order {
		if !d.before[id] && !h.before[id] {
			commits = append(commits, h.f.commits[id])
		}
	}
	trees, err := h.f.parentTrees(s, commits)
	if err != nil {
		return err
	}
	type went struct {
		path string
		step verdict.Move
	}
	made := map[went][]verdict.Move{}
	work := 0
	next := 0 // the commit, and which of its parents
	parent := 0
	for list, err := range s.Diffs(treePairs(commits, nil, trees)) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if next == len(commits) {
			break
		}
		c := &commits[next]
		place := h.index[c.ID]
		if parent++; parent >= len(c.Parents) {
			next, parent = next+1, 0
		}
		if err != nil {
			h.cut = c.ID // what it did is not known
			continue
		}
		for _, r := range RawChanges(list) {
			if !paths[r.Path] || h.over[r.Path] {
				continue
			}
			w := went{r.Path, verdict.Move{From: verdict.Node{Mode: r.OldMode, ID: r.Old}, To: verdict.Node{Mode: r.NewMode, ID: r.New}}}
			steps, known := made[w]
			if !known {
				if work += d.offers.Weight(r.Path); work > maxSteps {
					h.over[r.Path] = true
					continue
				}
				steps = d.offers.Moves(r.Path, w.step.From, w.step.To)
				made[w] = steps
			}
			at := h.spent[r.Path]
			if at == nil {
				at = map[verdict.Move][]int{}
				h.spent[r.Path] = at
			}
			if work += len(steps); work > maxSteps {
				h.over[r.Path] = true
				continue
			}
			for _, st := range steps {
				if n := len(at[st]); n == 0 || at[st][n-1] != place {
					at[st] = append(at[st], place)
				}
			}
		}
	}
	return ctx.Err()
}

// A walk goes back from a commit, as far as it is asked. It is used again and again.
type walk struct {
	seen        []int // who came by last
	round       int
	todo, later []int
}

// from returns what tells whether a place is that of a commit or of an ancestor of it, until the next call.
func (w *walk) from(h *history, tip oid.ID) func(int) bool {
	start, ok := h.index[tip]
	if !ok {
		return func(int) bool { return false }
	}
	if w.seen == nil {
		w.seen = make([]int, len(h.order))
	}
	w.round++
	w.todo, w.later = w.todo[:0], append(w.later[:0], start)
	low := start + 1 // everything from here on was seen
	return func(at int) bool {
		if at > start {
			return false
		}
		if at < low {
			w.todo, w.later = append(w.todo, w.later...), w.later[:0]
			for len(w.todo) > 0 {
				x := w.todo[len(w.todo)-1]
				w.todo = w.todo[:len(w.todo)-1]
				switch {
				case w.seen[x] == w.round:
				case x < at:
					w.later = append(w.later, x)
				default:
					w.seen[x] = w.round
					w.todo = append(w.todo, h.above[x]...)
				}
			}
			low = at
		}
		return w.seen[at] == w.round
	}
}

// here tells which sealed commits are in this clone.
func (d *deriver) here(s *git.Session) (map[oid.ID]bool, error) {
	ids := slices.SortedFunc(maps.Keys(d.f.Seals), oid.ID.Compare)
	out := make(map[oid.ID]bool, len(ids))
	i := 0
	for _, err := range s.Sizes(slices.Values(tips(ids))) {
		if i == len(ids) {
			break
		}
		if err == nil {
			out[ids[i]] = true
		}
		i++
	}
	return out, nil
}

// merged returns the paths at which the result of a merge of two is not what either side alone made of it: those its
// maker chose. Where the two have no one common ancestor to tell that by, that is everything. What one side changed and the
// result lacks is a change against that side's parent.
func (h *history) merged(s *git.Session, c *git.Commit, diffs [][]prov.Raw) (map[string]bool, error) {
	chosen := map[string]bool{}
	base, ok := h.base(c.Parents[0], c.Parents[1])
	if !ok {
		for _, list := range diffs {
			for i := range list {
				chosen[list[i].Path] = true
			}
		}
		return chosen, nil
	}
	trees, err := h.f.parentTrees(s, []git.Commit{*c, {Parents: []oid.ID{base}}})
	if err != nil {
		return nil, err
	}
	var side [2]map[string]prov.Raw
	for i, p := range c.Parents {
		list, err := s.Diff(trees[base], trees[p])
		if err != nil {
			return nil, err
		}
		side[i] = map[string]prov.Raw{}
		for _, r := range RawChanges(list) {
			side[i][r.Path] = r
		}
	}
	for i := range 2 { // against each parent: what the other side alone changed, and as it has it
		for _, r := range diffs[i] {
			_, both := side[i][r.Path]
			there, changed := side[1-i][r.Path]
			if both || !changed || there.New != r.New || there.NewMode != r.NewMode {
				chosen[r.Path] = true
			}
		}
	}
	return chosen, nil
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
