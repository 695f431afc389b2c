package provenance

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

// A deriver finds the sealed changes that commits without a good seal may be made of. What stood at a path and
// was left comes back only by who sealed it knowing that.
type deriver struct {
	f      *Facts
	w      *verdict.World // who may do what by the built-in checker
	span   Span
	ref    string // under review, "" when it is not known
	before map[oid.ID]bool
	now    time.Time
	offers *verdict.Offers // nil: nobody needed them yet
	h      *history        // likewise
	here   map[oid.ID]bool // sealed commits that are in this clone
	lost   string          // a ledger that lacks entries
	built  map[oid.ID][]verdict.Seen
}

// heldExam is a commit that waits for its derivation, or for that of an earlier one.
type heldExam struct {
	exam   verdict.Exam
	commit git.Commit
	diffs  [][]prov.Raw // against each parent; nil: it is not derived
}

// maxSteps bounds the work of finding out what stood at one path: past it nothing of it is derived.
const maxSteps = 20_000_000

func (f *Facts) deriver(w *verdict.World, sp Span, ref string, before map[oid.ID]bool, now time.Time) *deriver {
	plain := *w
	plain.Authority = f.Authority
	return &deriver{f: f, w: &plain, span: sp, ref: ref, before: before, now: now}
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
	if len(c.Parents) == 2 && len(c.Diffs[0]) == 0 {
		return true // it takes in nothing
	}
	return slices.ContainsFunc(c.Diffs[0], func(r prov.Raw) bool { return d.offers.Reaches(&r) })
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

// prepare reads the history and what it did at the paths of the commits that wait.
func (d *deriver) prepare(ctx context.Context, s *git.Session, held []heldExam) error {
	var err error
	if d.h, err = d.history(s); err != nil {
		return err
	}
	paths := map[string]bool{}
	for i := range held {
		for _, list := range held[i].diffs {
			for j := range list {
				paths[list[j].Path] = true
			}
		}
	}
	if err := d.leave(ctx, s, paths); err != nil {
		return err
	}
	for i := range d.f.Problems {
		if c := d.f.Problems[i].Code; c == verdict.LedgerRolledBack || c == verdict.LedgerWithheld {
			d.lost = d.f.Problems[i].Object
		}
	}
	d.builders()
	d.here, err = d.present(s)
	return err
}

// derive finds what may cover a commit.
func (d *deriver) derive(s *git.Session, x *heldExam) error {
	c := &x.commit
	q := &verdict.Question{
		Changes: x.diffs[0], Touched: sized(x.diffs[0], x.exam.Touched), Here: func(id oid.ID) bool { return d.here[id] },
		Continues: func(later, earlier *verdict.Candidate) bool { return d.continues(later, earlier.Seal.Commit()) },
	}
	if len(c.Parents) == 2 {
		var err error
		if q.Chosen, err = d.merged(s, c, x.diffs); err != nil {
			return err
		}
		shown := map[string]bool{}
		for i := range q.Changes {
			shown[q.Changes[i].Path] = true
		}
		q.Changes = slices.Clone(q.Changes)
		for i := range x.diffs[1] { // what its maker chose, as the other side sees it
			if r := x.diffs[1][i]; q.Chosen[r.Path] && !shown[r.Path] {
				q.Changes = append(q.Changes, r)
			}
		}
	}
	past := d.h.walks[0].from(d.h, c.Parents[0])
	place, placed := d.h.index[c.ID]
	q.Usable = func(path string, o verdict.Offer) bool {
		id := o.Seal.Seal.Commit()
		at, known := d.h.index[id]
		if d.h.over[path] || id == c.ID || d.before[id] || d.h.before[id] || known && past(at) || d.refused(o.Seal) || placed && d.follows(o.Seal, place) {
			return false // it is no part of this one, or came after it
		}
		left := d.h.left[path][o.To]
		var own *line
		for i := len(left) - 1; i >= 0; i-- { // what was done last is nearest
			k := left[i]
			if !past(k) && !d.h.excepted[k] || d.knows(o.Seal, k) {
				continue
			}
			if own == nil {
				own = d.line(o.Seal, path)
			}
			if len(d.f.Seals[d.h.order[k]]) > 0 || !own.did(d.h.moves[path][k]) {
				return false // it was left by somebody whom the signer did not know
			}
		}
		return !d.offers.TakenBack(path, o, func(y *verdict.Candidate) bool {
			return !d.offers.Renames(y, path) && (!placed || !d.knows(y, place) && !d.leftAfter(path, o.To, place))
		})
	}
	x.exam.Derived = d.offers.Derive(q)
	v := x.exam.Derived
	if v.Merge = len(c.Parents) == 2; len(v.Sources) == 0 && !(v.Merge && len(v.Changes) == 0) && len(d.h.over) == 0 {
		x.exam.Derived = nil
		return nil
	}
	v.Cut, v.Lost, v.Built = d.h.cut, d.lost, d.built[c.ID]
	for i := range v.Changes {
		if p := string(v.Changes[i].Change.Path); d.h.over[p] {
			v.Over = append(v.Over, p)
		}
	}
	return nil
}

// leftAfter reports whether what a commit brought was left again by one that follows it.
func (d *deriver) leftAfter(path string, n verdict.Node, place int) bool {
	for _, k := range d.h.left[path][n] {
		if k > place && (d.h.chain[k] == d.h.chain[place] || d.h.pastOf(k)(place)) {
			return true
		}
	}
	return false
}

// A line is what the signer of a seal had sealed at a path before, in work that is not in the history under its own name.
type line struct {
	from map[verdict.Node][]verdict.Node
	work int
}

// line collects it, by what the signer says it went on from.
func (d *deriver) line(c *verdict.Candidate, path string) *line {
	l := &line{from: map[verdict.Node][]verdict.Node{}}
	d.trail(c, false, func(id oid.ID) bool {
		if _, in := d.h.index[id]; in {
			return true
		}
		for i := range d.f.Seals[id] {
			x := &d.f.Seals[id][i]
			if x.Err != nil || x.Seal == nil || x.KeyID != c.KeyID {
				continue
			}
			for _, o := range d.offers.At(path, x) {
				l.from[o.From] = append(l.from[o.From], o.To)
			}
		}
		return true
	})
	return l
}

// did reports whether the line goes from one node to another, for each of some moves, and takes what it goes out of it:
// what somebody did once accounts for one that did the same.
func (l *line) did(moves []verdict.Move) bool {
	for _, m := range moves {
		came := map[verdict.Node]verdict.Node{m.From: m.From}
		for todo := []verdict.Node{m.From}; len(todo) > 0; todo = todo[1:] {
			for _, to := range l.from[todo[0]] {
				if _, seen := came[to]; !seen {
					came[to] = todo[0]
					todo = append(todo, to)
				}
			}
			if l.work++; l.work > maxTrail {
				return false
			}
		}
		if _, ok := came[m.To]; !ok || m.From == m.To {
			return false
		}
		for at := m.To; at != m.From; at = came[at] {
			list := l.from[came[at]]
			i := slices.Index(list, at)
			l.from[came[at]] = slices.Delete(list, i, i+1)
		}
	}
	return len(moves) > 0
}

// refused reports whether the gate of a seal's own signer refused its commit.
func (d *deriver) refused(c *verdict.Candidate) bool {
	return slices.ContainsFunc(d.f.Denied[c.Seal.Commit()], func(x verdict.Denial) bool { return x.KeyID == c.KeyID })
}

// sized are the touched paths of a diff, with the sizes that were found for all of the commit.
func sized(diff []prov.Raw, touched []pluginapi.Change) []pluginapi.Change {
	size := make(map[string]int64, len(touched))
	for i := range touched {
		size[string(touched[i].Path)] = touched[i].Size
	}
	out := prov.Touched([][]prov.Raw{diff})
	for i := range out {
		out[i].Size = size[string(out[i].Path)]
	}
	return out
}

// builders finds who made a sealed commit on top of which others, and so knew them.
func (d *deriver) builders() {
	d.built = map[oid.ID][]verdict.Seen{}
	for cand := range d.f.candidates {
		if cand.Err != nil || cand.Seal == nil || cand.InNote {
			continue
		}
		by := verdict.Seen{KeyID: cand.KeyID, Time: cand.Header.Time}
		if p, ok := d.f.Authority.ByKey(cand.KeyID); !ok || p.Accountable != p.Name { // whose times are claims: when it was seen
			if by, ok = d.f.seenBy(cand.Ledger, cand.Index); !ok {
				continue
			}
		}
		for _, p := range cand.Seal.Predicate.Parents {
			d.built[p] = append(d.built[p], by)
		}
	}
	for _, list := range d.built {
		slices.SortFunc(list, func(a, b verdict.Seen) int { return strings.Compare(a.Time, b.Time) })
	}
}

// history is all that the commits of a span continue, and what a range leaves out.
type history struct {
	f        *Facts
	order    []oid.ID // parents before children
	index    map[oid.ID]int
	above    [][]int // the places of a commit's parents
	chain    []int   // commits of one chain follow each other by first parents
	walks    [4]walk
	at       map[int]*walk    // further ones, by where they start
	entries  map[string][]int // where the work of a seal's signer left the history
	excepted map[int]bool     // left out of the range
	before   map[oid.ID]bool  // older than governance
	cut      oid.ID           // where it can't be read further; zero when it can
	left     map[string]map[verdict.Node][]int
	moved    map[string][]int                  // who changed a path at all
	moves    map[string]map[int][]verdict.Move // and how
	over     map[string]bool                   // paths of which there is too much to look at
	work     map[string]int
}

// history reads what a range leaves out, as far as it is here.
func (d *deriver) history(s *git.Session) (*history, error) {
	full := *d.f
	full.commits = maps.Clone(d.f.commits)
	h := &history{
		f: &full, index: map[oid.ID]int{}, before: map[oid.ID]bool{}, left: map[string]map[verdict.Node][]int{}, moved: map[string][]int{}, moves: map[string]map[int][]verdict.Move{}, over: map[string]bool{},
		work: map[string]int{}, at: map[int]*walk{}, entries: map[string][]int{}, excepted: map[int]bool{},
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
	for _, id := range order {
		if reached[id] || in[id] {
			if in[id] {
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

// leave finds out what the commits of the history did at some paths since governance began, whoever made them, against each
// of their parents: what stood there, or stood there on the way if they were made of sealed changes, and was left.
func (d *deriver) leave(ctx context.Context, s *git.Session, paths map[string]bool) error {
	h := d.h
	var commits []git.Commit
	for _, id := range h.order {
		if !h.before[id] {
			commits = append(commits, h.f.commits[id])
		}
	}
	trees, err := h.f.parentTrees(s, commits)
	if err != nil {
		return err
	}
	next, parent := 0, 0 // the commit, and which of its parents
	for list, err := range s.Diffs(treePairs(commits, nil, trees)) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if next == len(commits) {
			break
		}
		c := &commits[next]
		if parent++; parent >= len(c.Parents) {
			next, parent = next+1, 0
		}
		if err != nil {
			h.cut = c.ID // what it did is not known
			continue
		}
		place := h.index[c.ID]
		for _, r := range RawChanges(list) {
			if !paths[r.Path] || h.over[r.Path] {
				continue
			}
			if m := h.moved[r.Path]; len(m) == 0 || m[len(m)-1] != place {
				h.moved[r.Path] = append(m, place)
			}
			if h.moves[r.Path] == nil {
				h.moves[r.Path] = map[int][]verdict.Move{}
			}
			from, to := verdict.Node{Mode: r.OldMode, ID: r.Old}, verdict.Node{Mode: r.NewMode, ID: r.New}
			h.moves[r.Path][place] = append(h.moves[r.Path][place], verdict.Move{From: from, To: to})
			// What was sealed by who went on from there is no part of it.
			nodes, work := d.offers.Passed(r.Path, from, to, func(c *verdict.Candidate) bool { return !d.knows(c, place) })
			if h.work[r.Path] += work + 1; h.work[r.Path] > maxSteps {
				h.over[r.Path] = true
				continue
			}
			at := h.left[r.Path]
			if at == nil {
				at = map[verdict.Node][]int{}
				h.left[r.Path] = at
			}
			for _, n := range nodes {
				if n == to {
					continue
				}
				if m := at[n]; len(m) == 0 || m[len(m)-1] != place {
					at[n] = append(m, place)
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
	past        func(int) bool // of one that starts at one place only
}

// from returns what tells whether a place is that of a commit or of an ancestor of it, until the next call.
func (w *walk) from(h *history, tip oid.ID) func(int) bool {
	start, ok := h.index[tip]
	if !ok {
		return func(int) bool { return false }
	}
	return w.start(h, start)
}

func (w *walk) start(h *history, start int) func(int) bool {
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

// Limits of following what a signer says it went on from.
const (
	maxTrail = 10_000
	maxWalks = 64
)

// trail calls visit with each commit that the signer of a seal says it went on from, by the parents it named there and
// in its other seals, until one is in the history; those it returns.
//
// With anybody's seals it finds more, and proves less: who made up a commit between may have named what it likes.
func (d *deriver) trail(c *verdict.Candidate, anybody bool, visit func(oid.ID) bool) []int {
	var out []int
	seen := map[oid.ID]bool{}
	todo := slices.Clone(c.Seal.Predicate.Parents)
	for len(todo) > 0 && len(seen) < maxTrail {
		id := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[id] {
			continue
		}
		seen[id] = true
		if visit != nil && !visit(id) {
			return out
		}
		if at, in := d.h.index[id]; in {
			out = append(out, at)
			continue
		}
		for i := range d.f.Seals[id] {
			if x := &d.f.Seals[id][i]; x.Err == nil && x.Seal != nil && (anybody || x.KeyID == c.KeyID) {
				todo = append(todo, x.Seal.Predicate.Parents...)
			}
		}
	}
	return out
}

// continues reports whether the signer of a seal went on from a commit.
func (d *deriver) continues(c *verdict.Candidate, from oid.ID) bool {
	found := false
	for _, at := range d.trail(c, false, func(id oid.ID) bool { found = id == from; return !found }) {
		if to, in := d.h.index[from]; !found && in {
			found = d.h.walks[3].start(d.h, at)(to)
		}
	}
	return found
}

// knows reports whether the signer of a seal went on from the commit at a place, and so knew what it did.
func (d *deriver) knows(c *verdict.Candidate, place int) bool { return d.after(c, place, false) }

// follows reports whether a seal seems to have been made after the commit at a place.
func (d *deriver) follows(c *verdict.Candidate, place int) bool { return d.after(c, place, true) }

func (d *deriver) after(c *verdict.Candidate, place int, anybody bool) bool {
	k := string(c.ID)
	if anybody {
		k += " anybody"
	}
	list, known := d.h.entries[k]
	if !known {
		list = d.trail(c, anybody, nil)
		d.h.entries[k] = list
	}
	for _, at := range list {
		if at < place {
			continue
		}
		if d.h.chain[at] == d.h.chain[place] || d.h.pastOf(at)(place) {
			return true
		}
	}
	return false
}

// pastOf returns what tells whether a place is another, or that of an ancestor of it.
func (h *history) pastOf(at int) func(int) bool {
	w := h.at[at]
	if w == nil {
		if len(h.at) >= maxWalks {
			clear(h.at)
		}
		w = &walk{}
		w.past = w.start(h, at)
		h.at[at] = w
	}
	return w.past
}

// present tells which sealed commits are in this clone.
func (d *deriver) present(s *git.Session) (map[oid.ID]bool, error) {
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

// merged returns the paths at which the result of a merge of two is not what one side alone made of it: those its
// maker chose. What the other side changed and took back since they parted is among them: whether it is to come again is
// for somebody to say. So is all, where the two have no one common ancestor, or the first side has commits that
// nobody judges on this ref.
func (d *deriver) merged(s *git.Session, c *git.Commit, diffs [][]prov.Raw) (map[string]bool, error) {
	h := d.h
	chosen := map[string]bool{}
	all := func() (map[string]bool, error) {
		for _, list := range diffs {
			for i := range list {
				chosen[list[i].Path] = true
			}
		}
		return chosen, nil
	}
	base, ok := h.base(c.Parents[0], c.Parents[1])
	if !ok {
		return all()
	}
	common := h.walks[1].from(h, base)
	sides := [2]func(int) bool{h.walks[2].from(h, c.Parents[0]), h.walks[3].from(h, c.Parents[1])}
	own := map[oid.ID]bool{}
	if d.ref != "" {
		own = h.f.reach(d.since(d.ref))
	}
	for i := h.index[c.Parents[0]]; i >= 0; i-- {
		if id := h.order[i]; sides[0](i) && !common(i) && h.before[id] && !own[id] {
			return all() // older than governance, and not of this ref: it was judged nowhere
		}
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
			if both || !changed || there.New != r.New || there.NewMode != r.NewMode || h.over[r.Path] {
				chosen[r.Path] = true
				continue
			}
			for j := len(h.moved[r.Path]) - 1; j >= 0; j-- {
				if k := h.moved[r.Path][j]; sides[i](k) && !common(k) {
					chosen[r.Path] = true
					break
				}
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
