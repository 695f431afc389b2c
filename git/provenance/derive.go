package provenance

import (
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
	named  bool   // whose the changes are is asked, and not whether they may come here
	before map[oid.ID]bool
	now    time.Time
	limits portLimits
	offers *verdict.Offers     // nil: nobody needed them yet
	h      *history            // likewise
	real   map[oid.ID][]oid.ID // sealed commits that are in this clone, and their parents
	lost   string              // a ledger that lacks entries
	built  map[oid.ID][]verdict.Seen

	goods       map[*verdict.Candidate]bool
	allowed     map[sealedPath]bool                          // by may
	allowedNow  map[sealedPath]bool                          // by mayNow
	wide        map[*verdict.Candidate]map[string][]prov.Raw // by sealedAt
	entered     map[origin]entry
	own         map[origin]bool              // by under
	enteredBy   map[*verdict.Candidate]entry // by enters
	remadeOf    *verdict.Candidate           // by copies
	lastRemade  map[oid.ID]Origin
	after       map[sealAndLedger]int // by preceded
	sights      sights                // by saw
	behindOf    *verdict.Candidate    // likewise, of behind
	lastBehind  map[oid.ID]bool
	lineOf      *verdict.Candidate // whose line was asked for last
	lastLine    map[oid.ID]bool
	children    map[oid.ID][]oid.ID  // which sealed commits go on from which; nil: nobody needed it yet
	accountable []*verdict.Candidate // seals of persons and automation of the trust root, as built has them
	ports       *ports               // nil: nobody needed it yet
}

// heldExam is a commit that waits for its derivation, or for that of an earlier one.
type heldExam struct {
	exam   verdict.Exam
	commit git.Commit
	diffs  [][]prov.Raw // against each parent; nil: it is not derived
}

func (f *Facts) deriver(w *verdict.World, sp Span, ref string, before map[oid.ID]bool, o *Options) *deriver {
	plain := *w
	plain.Authority = f.Authority
	return &deriver{
		f: f, w: &plain, span: sp, ref: ref, named: o.made != nil, before: before, now: o.Now, limits: o.limits,
		goods: map[*verdict.Candidate]bool{}, allowed: map[sealedPath]bool{}, allowedNow: map[sealedPath]bool{}, entered: map[origin]entry{}, wide: map[*verdict.Candidate]map[string][]prov.Raw{}, own: map[origin]bool{}, enteredBy: map[*verdict.Candidate]entry{}, sights: sights{}, after: map[sealAndLedger]int{},
	}
}

// open reports whether sealed changes of other commits could make a difference to the verdict of a commit.
func (d *deriver) open(c *verdict.Commit, e *verdict.Exam) bool {
	if c.Before || c.DiffErr != nil || len(e.Deep) > 0 || len(d.f.seals) == 0 {
		return false
	}
	if !d.named && (len(c.Parents) == 0 || len(c.Parents) > 2 || len(e.Denied) > 0) {
		return false
	}
	if len(e.Seals) > 0 || e.Signer != "" {
		if v := e.Judge(d.w, d.now).Verdict; v.OK() && !(d.named && v == verdict.Exempt) { // of that its signer says nothing of who made it
			e.Closed = true // whoever remembers it looks again when that does not hold any more
			return false
		}
	}
	if d.offers == nil {
		d.offers = verdict.NewOffers(d.w, d.f.candidates)
	}
	if len(c.Parents) == 2 && len(c.Diffs[0]) == 0 {
		return true // it takes in nothing
	}
	return slices.ContainsFunc(c.Diffs[0], func(r prov.Raw) bool { return d.offers.Reaches(&r) || d.offers.Modifies(&r) })
}

// candidates are the seals of all ledgers, in the order of their commits' names and then of ledgers.
func (f *Facts) candidates(yield func(*verdict.Candidate) bool) {
	f.readAll()
	for _, id := range f.sealed() {
		for i := range f.seals[id] {
			if !yield(&f.seals[id][i]) {
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
	for _, p := range d.offers.MovedTo(slices.Sorted(maps.Keys(paths))) {
		paths[p] = true
	}
	if d.real, err = d.present(s); err != nil { // whoever asks what a seal's commit goes on from holds it to that
		return err
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
	return nil
}

// derive finds what may cover a commit.
func (d *deriver) derive(s *git.Session, x *heldExam) error {
	c := &x.commit
	q := &verdict.Question{
		Changes: x.diffs[0], Touched: sized(x.diffs[0], x.exam.Touched), Here: func(id oid.ID) bool { _, ok := d.real[id]; return ok },
		Continues: func(later, earlier *verdict.Candidate) bool { return d.line(earlier)[later.Seal.Commit()] },
	}
	d.h.of = maxStepsOfOne // what was looked at for the commit before is not held against this one
	if d.ports != nil {
		d.ports.again()
	}
	var joined map[string]verdict.Move
	if len(c.Parents) == 2 {
		var err error
		if q.Chosen, joined, err = d.merged(s, c, x.diffs); err != nil {
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
	counts, past := d.pasts(c)
	side := x.exam.Side && !d.named
	q.Usable, q.Sided, q.Anew = d.usable(c, q.Changes, side, counts, past)
	if q.Take = d.h.take; !side {
		q.May = d.may
	}
	p := d.porting(s)
	h := &pastOf{d: d, past: past, from: olds(q.Changes), may: q.May, at: map[string]map[verdict.Node]bool{}}
	q.Joined = func(path string, x verdict.Offer, other verdict.Node) (verdict.Taken, bool) {
		return p.sides(h, path, x, other)
	}
	q.Stood, q.Begins = h.stood, h.begins
	q.Copies = d.copies
	q.Now, q.Stands, q.Has = d.mayNow, d.stands, has(s, c.Tree)
	q.Ported = (&porter{p, joined, counts, q.Usable}).ported
	q.Lines = p.nobodys
	lacking := false
	q.Lacks = func(r *prov.Raw) bool {
		lacks := (!d.h.cut.IsZero() || s.Repo().Partial()) && p.lacks(r)
		lacking = lacking || lacks
		return lacks
	}
	x.exam.Derived = d.offers.Derive(q)
	v := x.exam.Derived
	for i := range v.Sources {
		v.Sources[i].Of = d.f.ofOthers(v.Sources[i].Commit, v.Sources[i].KeyID)
	}
	over := map[string]bool{}
	for _, p := range v.Over {
		over[p] = true
	}
	for i := range v.Changes {
		if p := string(v.Changes[i].Change.Path); d.over(p) {
			if !d.named { // who was found made some of it
				v.Changes[i].Edges, v.Changes[i].Or = nil, nil
			}
			if !over[p] {
				v.Over = append(v.Over, p)
			}
		}
	}
	if d.h.spent() && len(v.Changes) == 0 { // whether its maker chose anything is not known
		v.Over = append(v.Over, ".")
	}
	if v.Merge = len(c.Parents) == 2; len(v.Sources) == 0 && !(v.Merge && len(v.Changes) == 0) && len(v.Over) == 0 && !lacking {
		x.exam.Derived, x.exam.Barred = nil, d.offers.Barred(x.diffs[0], d.may)
		return nil
	}
	if slices.ContainsFunc(v.Changes, func(c verdict.DerivedChange) bool { return len(c.Edges) == 0 }) {
		x.exam.Barred = d.offers.Barred(x.diffs[0], d.may)
	}
	v.Cut, v.Lost, v.Built = d.h.cut, d.lost, d.built[c.ID]
	return nil
}

// maxRead is how many entries of folders are read for one commit, to see what of a seal it has already.
const maxRead = 1 << 18

// has tells whether a tree has something at a path, or nothing there; no, where that can't be read, or takes too much. A folder is read once.
func has(s *git.Session, root oid.ID) func(path string, n verdict.Node) bool {
	left := maxRead
	folders := map[string]map[string]git.TreeEntry{} // nil: not known
	var folder func(path string) map[string]git.TreeEntry
	folder = func(path string) map[string]git.TreeEntry {
		list, known := folders[path]
		if known {
			return list
		}
		id := root
		if path != "" {
			dir, name := split(path)
			in := folder(dir)
			at, there := in[name]
			if in != nil && (!there || !at.Mode.IsTree()) {
				list = map[string]git.TreeEntry{}
			}
			id = at.ID
		}
		if list == nil && !id.IsZero() && left > 0 {
			left--
			o, err := s.Object(id.String(), 0)
			if err != nil || o.Kind != "tree" {
				return nil
			}
			entries, err := git.ParseTree(id.Format(), o.Data)
			if left -= len(entries); err == nil && left > 0 {
				list = make(map[string]git.TreeEntry, len(entries))
				for _, e := range entries {
					list[e.Name] = e
				}
			}
		}
		folders[path] = list
		return list
	}
	return func(path string, n verdict.Node) bool {
		dir, name := split(path)
		in := folder(dir)
		at, there := in[name]
		if n.ID.IsZero() {
			return in != nil && !there
		}
		return there && at.ID == n.ID && at.Mode.String() == n.Mode
	}
}

// split parts a path of a tree from its last component.
func split(path string) (dir, name string) {
	i := strings.LastIndexByte(path, '/')
	return path[:max(i, 0)], path[i+1:]
}

// over reports whether there is more about a path than is looked at.
func (d *deriver) over(path string) bool {
	return d.h.steps <= 0 || d.h.of <= 0 || slices.ContainsFunc(d.offers.Crowded(path), func(c *verdict.Candidate) bool { return d.may(c, path) })
}

// pasts tells which places of the history a commit continues by its first parent, and which of them count: those, and where it
// is to come to the ref under review, what that ref has; but what a merge took in along with the rest.
func (d *deriver) pasts(c *git.Commit) (counts, past func(place int) bool) {
	h := d.h
	var parents []int
	for _, p := range c.Parents {
		if at, in := h.index[p]; in {
			parents = append(parents, at)
		}
	}
	past = func(k int) bool { return len(parents) > 0 && h.reaches(parents[0], k) }
	counts = func(k int) bool {
		return past(k) || d.span.Ref != "" && h.excepted[k] && !(len(parents) == 2 && h.reaches(parents[1], k))
	}
	return counts, past
}

// usable tells which offers may cover a commit's changes, whoever may bring them; sided which may cover what a merge joined
// that covers one, and anew the same of a side that is not of the history before.
func (d *deriver) usable(c *git.Commit, changes []prov.Raw, side bool, counts, past func(place int) bool) (usable, sided, anew func(string, verdict.Offer) bool) {
	h := d.h
	place := h.index[c.ID]
	from := olds(changes)
	sided = func(path string, o verdict.Offer) bool {
		id := o.Seal.Seal.Commit()
		switch {
		case !h.take(1), id == c.ID, d.before[id], h.before[id], !d.named && d.refused(o.Seal):
			return false
		case !side && !d.may(o.Seal, path):
			return false
		}
		list, ok := d.enters(o.Seal)
		return ok && !slices.ContainsFunc(list, func(at int) bool { return h.reaches(at, place) }) // else it came after it
	}
	usable = func(path string, o verdict.Offer) bool {
		at, known := h.index[o.Seal.Seal.Commit()]
		return !(known && past(at)) && sided(path, o) && (d.named || d.informed(path, o, from[path], counts) && !d.takenBack(path, o, place, from[path], past))
	}
	anew = func(path string, o verdict.Offer) bool {
		at, known := h.index[o.Seal.Seal.Commit()]
		return !(known && past(at)) && sided(path, o) && (d.named || !d.takenBack(path, o, place, from[path], past))
	}
	return usable, sided, anew
}

// olds are what a diff begins with, by path.
func olds(changes []prov.Raw) map[string]verdict.Node {
	out := make(map[string]verdict.Node, len(changes))
	for i := range changes {
		out[changes[i].Path] = verdict.Node{Mode: changes[i].OldMode, ID: changes[i].Old}
	}
	return out
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
		if !d.rooted(cand) {
			continue // whose times are claims
		}
		d.accountable = append(d.accountable, cand)
		if !d.good(cand) || d.lies(cand) {
			continue
		}
		for _, p := range cand.Seal.Predicate.Parents {
			d.built[p] = append(d.built[p], by)
		}
	}
	for _, list := range d.built {
		slices.SortFunc(list, func(a, b verdict.Seen) int { return strings.Compare(a.Time, b.Time) })
	}
}

// lies reports whether a seal names other parents than its commit has, where that is in this clone.
func (d *deriver) lies(c *verdict.Candidate) bool {
	parents, here := d.real[c.Seal.Commit()]
	return here && !slices.Equal(parents, c.Seal.Predicate.Parents)
}

// present returns the sealed commits that are in this clone, with their parents.
func (d *deriver) present(s *git.Session) (map[oid.ID][]oid.ID, error) {
	ids := d.f.sealed()
	out := make(map[oid.ID][]oid.ID, len(ids))
	i := 0
	for c, err := range s.Commits(slices.Values(tips(ids))) {
		if i == len(ids) {
			break
		}
		if err == nil {
			out[ids[i]] = c.Parents
		}
		i++
	}
	return out, nil
}

// merged returns the paths at which the result of a merge of two is not what one side alone made of it: those its
// maker chose. What the other side changed and took back since they parted is among them: whether it is to come again is
// for somebody to say. So is all, where the two have no one common ancestor, or the first side has commits that
// nobody judges on this ref. Where both sides changed the lines of a file, and it has just what joining them gives,
// that is joined, with what the second side made of it.
func (d *deriver) merged(s *git.Session, c *git.Commit, diffs [][]prov.Raw) (chosen map[string]bool, joined map[string]verdict.Move, err error) {
	h := d.h
	chosen, joined = map[string]bool{}, map[string]verdict.Move{}
	all := func() (map[string]bool, map[string]verdict.Move, error) {
		for _, list := range diffs {
			for i := range list {
				chosen[list[i].Path] = true
			}
		}
		return chosen, nil, nil
	}
	base, ok := h.base(c.Parents[0], c.Parents[1])
	if !ok {
		return all()
	}
	of := func(id oid.ID) func(int) bool {
		at := h.index[id]
		return func(k int) bool { return h.reaches(at, k) }
	}
	common := of(base)
	sides := [2]func(int) bool{of(c.Parents[0]), of(c.Parents[1])}
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
		return nil, nil, err
	}
	var side [2]map[string]prov.Raw
	for i, p := range c.Parents {
		list, err := s.Diff(trees[base], trees[p])
		if err != nil {
			return nil, nil, err
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
			if _, is := joined[r.Path]; is {
				continue
			}
			if first, second := side[0][r.Path], side[1][r.Path]; both && changed && d.porting(s).joins(&first, &second, &r) && !d.tookBack(s, &first, &second, &r, sides, common) {
				joined[r.Path] = verdict.Move{From: verdict.Node{Mode: second.OldMode, ID: second.Old}, To: verdict.Node{Mode: second.NewMode, ID: second.New}}
				continue
			}
			if both || !changed || there.New != r.New || there.NewMode != r.NewMode {
				chosen[r.Path] = true
				continue
			}
			moved := h.paths[r.Path].moved
			for j := len(moved) - 1; j >= 0; j-- {
				if k := moved[j]; sides[i](k) && !common(k) {
					chosen[r.Path] = true
					break
				}
			}
		}
	}
	return chosen, joined, nil
}

// tookBack reports whether a merge that joins both sides has something that one of them took back since they parted.
func (d *deriver) tookBack(s *git.Session, first, second, now *prov.Raw, sides [2]func(int) bool, common func(int) bool) bool {
	p := d.porting(s)
	for i, old := range []oid.ID{second.New, first.New} { // what the first side made of the second's, and the other way round
		change := p.delta(old, now.New)
		if change == nil {
			return true
		}
		past := d.h.paths[now.Path]
		for _, k := range past.moved {
			if !sides[1-i](k) || common(k) {
				continue
			}
			for _, m := range past.moves[k] {
				if p.revives(change, m) {
					return true
				}
			}
		}
	}
	return false
}

// waits reports whether content that is not here, and may come without a ref moving, could cover what nothing covers of a commit that was just looked at.
func (d *deriver) waits(e *verdict.Exam) bool {
	if d.ports == nil {
		return false
	}
	missing, unsure := d.ports.missing, d.ports.unsure
	d.ports.missing, d.ports.unsure = false, false
	return unsure || missing && !e.Derived.Covered()
}
