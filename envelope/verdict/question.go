package verdict

import (
	"cmp"
	"iter"
	"maps"
	"slices"

	"github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

// Question is a commit whose changes are looked for.
type Question struct {
	Changes []provenance.Raw   // against its first parent
	Touched []pluginapi.Change // likewise, with sizes where a grant needs them
	Chosen  map[string]bool    // paths of which whoever made a merge chose what it has: nothing covers them
	Take    func(n int) bool   // counts what is looked at; false when there is to be no more
	Usable  func(path string, x Offer) bool
	May     func(c *Candidate, path string) bool // its signer may bring the path, or might when it was sealed: nothing else is usable; nil: whoever signed it
	Now     func(c *Candidate, path string) bool // its signer may bring the path now
	Stands  func(c *Candidate, path string) bool // likewise, or might when somebody accountable had seen the seal
	// Joined tells what whoever made a merge, of which an offer is, took over at a path from the other side, which ends at a node; told is false where that takes more than is
	// looked at.
	Joined func(path string, x Offer, other Node) (t Taken, told bool)
	// Sided is Usable for what such a side had changed, where the merge has just what joining both gives: whoever joined them knew it. Anew is likewise, of a side that is not of
	// the history before the commit: what that has, or its signer took back, does not come again so.
	Sided, Anew func(path string, x Offer) bool

	// Stood reports whether the history before the commit had something at a path; Begins returns the nodes from which what leads there is looked for, of a file that was moved.
	Stood  func(path string, n Node) bool
	Begins func(path string, to Node) []Node

	Ported func(c *provenance.Raw) iter.Seq[Port]     // for a change that no way covers
	Lines  func(c *provenance.Raw) []provenance.Lines // that nobody sealed, of a change that nothing covers
	Lacks  func(c *provenance.Raw) bool               // whether content that could cover such a change is not here
	Here   func(oid.ID) bool                          // whether a sealed commit is in this clone
	Has    func(path string, n Node) bool             // whether the commit has that at a path; no, where it is not known
	// Copies reports whether a seal is known to have been made after another one, of somebody else, and not to be of what its signer said to have made of that.
	Copies func(later, first *Candidate) bool
	// Continues reports whether the signer of a later seal went on from the commit of an earlier one.
	Continues func(later, earlier *Candidate) bool
}

// Taken is what whoever made a merge of two took over from the side that an offer does not begin at.
type Taken struct {
	Is     bool   // something was: that must be covered itself. Else who made the merge chose all of it
	From   []Node // where what that side changed may begin: the first counts from which sealed changes lead to what it has
	Chosen bool   // who made the merge may have chosen some of it
	Past   bool   // that side is of the history before the commit
}

// A Port is a way of sealed changes that was applied to other content than it began with, and gave what the commit has.
type Port struct {
	Move   // where the way leads
	Usable func(path string, x Offer) bool
}

// Derive finds what may cover the changes of a commit.
func (o *Offers) Derive(q *Question) *Derivation {
	d := &Derivation{}
	type listed struct {
		seal *Candidate
		list int
	}
	at := map[listed]int{}
	var seals []*Candidate // of the sources
	source := func(x Offer) (int, bool) {
		i, ok := at[listed{x.Seal, x.list}]
		if ok {
			return i, i >= 0
		}
		exam := o.exam(x.Seal)
		if exam == nil {
			at[listed{x.Seal, x.list}] = -1
			return -1, false
		}
		c := x.Seal.Seal.Commit()
		s := Source{ExamSeal: *exam, Commit: c, Here: q.Here(c)}
		s.Seen = Seen{} // that it was seen says nothing of when it was brought here
		list := x.Seal.Seal.Predicate.Changes[x.list]
		for i := range list {
			if o.taken(x.Seal, list[i].PathBytes()) {
				continue // a side that was taken is nobody's change, so nothing of it is left out
			}
			s.All = append(s.All, PathEdge{Path: []byte(list[i].PathBytes()), From: node(list[i].OldMode, list[i].Old), To: node(list[i].NewMode, list[i].New)})
		}
		at[listed{x.Seal, x.list}] = len(d.Sources)
		d.Sources, seals = append(d.Sources, s), append(seals, x.Seal)
		return len(d.Sources) - 1, true
	}
	f := &edgeSearch{o: o, q: q, source: source, now: func(i int, path string) bool { return q.Now(seals[i], path) }}
	byPath := make(map[string]pluginapi.Change, len(q.Touched))
	for _, t := range q.Touched {
		byPath[string(t.Path)] = t
	}
	for i := range q.Changes {
		c := &q.Changes[i]
		dc := DerivedChange{Change: byPath[c.Path], From: Node{c.OldMode, c.Old}, To: Node{c.NewMode, c.New}}
		if dc.Change.Path == nil {
			dc.Change.Path = []byte(c.Path)
		}
		if f.behind = maxEdgesBehind; !q.Chosen[c.Path] && o.byPath[c.Path] != nil {
			dc.Edges = f.edges(&dc, q.Usable, 0)
			now := func(i int, of *DerivedChange) bool { return q.Now(seals[i], string(of.Change.Path)) }
			if dc.way(now) == nil { // whoever sealed the same and may not keeps nobody from being asked
				var other *DerivedChange
				for port := range q.Ported(c) {
					moved := DerivedChange{Change: dc.Change, From: port.From, To: port.To, Ported: true}
					if moved.Edges = f.edges(&moved, port.Usable, 0); moved.way(anySource) == nil {
						continue
					}
					sure := moved.way(now) != nil
					if other == nil || sure {
						other = &moved
					}
					if sure {
						break
					}
				}
				switch {
				case other == nil:
				case dc.way(anySource) == nil:
					dc = *other
				default:
					dc.Or = other
				}
			}
		}
		if dc.way(anySource) == nil {
			dc.Lines, dc.Lacks = q.Lines(c), q.Lacks(c)
		}
		if f.over {
			d.Over, f.over = append(d.Over, c.Path), false
		}
		d.Changes = append(d.Changes, dc)
	}
	// Nothing is left out where the commit has what a change leads to, or its signer took it back, in work that went on from it.
	moot := func(i int, e *PathEdge, taken map[string]bool) bool {
		path, seal := string(e.Path), seals[i]
		return !taken[key(e.Path, e.From, e.To)] && (q.Has(path, e.To) || o.undone(path, Offer{From: e.From, To: e.To, Seal: seal}, q.Take, func(y *Candidate) bool {
			return q.Continues(y, seal) && o.only(y, path, taken) && q.Stands(y, path)
		}, func(y *Candidate) bool { return q.Continues(y, seal) }))
	}
	taken, in := d.taken()
	whole := map[int]bool{}
	comes := func(i int) bool {
		is, known := whole[i]
		if !known {
			is = len(in[i]) >= len(d.Sources[i].All) || !slices.ContainsFunc(d.Sources[i].All, func(e PathEdge) bool { return !in[i][key(e.Path, e.From, e.To)] && !moot(i, &e, taken) })
			whole[i] = is
		}
		return is
	}
	d.uncopied(q.Take, comes, func(path string, later, first int) bool {
		return q.Copies(seals[later], seals[first]) && q.Now(seals[first], path)
	})
	d.prefer(comes)
	taken, _ = d.taken()
	for i := range d.Sources {
		for j := range d.Sources[i].All {
			e := &d.Sources[i].All[j]
			e.Moot = moot(i, e, taken)
		}
	}
	return d
}

func anySource(int, *DerivedChange) bool { return true }

// uncopied leaves out edges of seals that are known to be after others', of which nothing is left out, where those lead all the way of the change, or from where such an edge
// begins to where it leads: whoever seals again what somebody had sealed made nothing of it, also by a detour.
func (d *Derivation) uncopied(take func(int) bool, whole func(source int) bool, copies func(path string, later, first int) bool) {
	for i := range d.Changes {
		for c := &d.Changes[i]; c != nil; c = c.Or {
			if c.uncopied(take, func(path string, later, first int) bool {
				return later != first && whole(first) && copies(path, later, first)
			}) {
				continue
			}
			path := string(c.Change.Path)
			c.Edges = nil // whose it is is not known
			if !slices.Contains(d.Over, path) {
				d.Over = append(d.Over, path)
			}
		}
	}
}

// uncopied returns false where there are no steps left to tell.
func (c *DerivedChange) uncopied(take func(int) bool, copies func(path string, later, first int) bool) bool {
	at, told := c.begin(), true
	led := func(from, to Node, later int) bool {
		if told = told && take(0); !told {
			return false
		}
		way, work := c.wayOf(at, from, to, func(s int, of *DerivedChange) bool { return copies(string(of.Change.Path), later, s) })
		told = take(work)
		return told && way != nil
	}
	whole := map[int]bool{} // sources that others were all there before
	kept := c.Edges[:0:0]
	for _, e := range c.Edges {
		is, known := whole[e.Source]
		if !known {
			is = led(c.From, c.To, e.Source)
			whole[e.Source] = is
		}
		if !is && !led(e.From, e.To, e.Source) {
			kept = append(kept, e)
		}
	}
	left := DerivedChange{From: c.From, To: c.To, Edges: kept}
	if len(kept) < len(c.Edges) && (left.way(anySource) != nil || c.way(anySource) == nil) { // seals that are each after another one, in a circle, take nothing away
		c.Edges = kept
	}
	for i := range c.Edges {
		if b := c.Edges[i].Behind; b != nil {
			told = b.uncopied(take, copies) && told
		}
	}
	return told
}

// Limits of merges behind one another, and of the edges behind merges of one commit.
const (
	maxBehind      = 8
	maxEdgesBehind = 1 << 14
)

// workOfEdge is what it takes to look at an edge once, in steps.
const workOfEdge = 4

// edgeSearch finds the edges of one commit's changes.
type edgeSearch struct {
	o      *Offers
	q      *Question
	source func(Offer) (int, bool)
	now    func(source int, path string) bool // its signer may bring the path now
	over   bool                               // more would have to be looked at
	behind int                                // so many edges behind merges are left
}

// edges are the usable ones that lie on the way of a change, with their sources.
func (f *edgeSearch) edges(c *DerivedChange, usable func(string, Offer) bool, depth int) []Edge {
	path := string(c.Change.Path)
	w := f.o.of(path, f.q.May)
	if w == nil {
		return nil
	}
	all, work := w.between(c.From, c.To)
	if !f.q.Take(work * workOfEdge) {
		f.over = true
		return nil
	}
	var out []Edge
	of := map[string]int{}
	for _, x := range all {
		if of[x.Seal.KeyID] == maxOfWay {
			continue
		}
		of[x.Seal.KeyID]++
		if !usable(path, x) {
			continue
		}
		if depth > 0 {
			if f.behind == 0 {
				f.over = true
				return out
			}
			f.behind--
		}
		n, ok := f.source(x)
		if !ok {
			continue
		}
		e := Edge{From: x.From, To: x.To, Source: n}
		if len(x.Seal.Seal.Predicate.Changes) > 2 {
			continue // who merges more than two chooses nothing: Git joins them, or there is no merge
		}
		if other, two := f.o.other(&x, path); two {
			taken, told := f.q.Joined(path, x, other)
			if !told || taken.Is && depth == maxBehind {
				f.over = true // whose it is is not known
				continue
			}
			if taken.Is && !f.take(&e, c, other, &taken, depth) {
				continue
			}
		}
		if from := f.o.movedFrom(&x); len(from) > 0 {
			if depth == maxBehind {
				f.over = true
				continue
			}
			if !f.moved(&e, c, from, depth) {
				continue
			}
		}
		out = append(out, e)
	}
	return out
}

// take finds the edges of what a merge took over, which stand behind its own; false where none lead there.
func (f *edgeSearch) take(e *Edge, c *DerivedChange, to Node, taken *Taken, depth int) bool {
	usable := f.q.Sided
	switch e.Chosen = taken.Chosen; {
	case e.Chosen:
		usable = f.q.Usable
	case !taken.Past:
		usable = f.q.Anew
	}
	return f.stand(e, &c.Change, taken.From, to, usable, depth)
}

// moved finds the edges of what stood where a file was moved from, which stand behind its own; none where the history has that, and false where none lead there.
func (f *edgeSearch) moved(e *Edge, c *DerivedChange, from []pathNode, depth int) bool {
	for _, p := range from {
		if f.q.Stood(p.path, p.node) {
			return true
		}
	}
	for _, p := range from {
		there := c.Change
		there.Path = []byte(p.path)
		if f.stand(e, &there, f.q.Begins(p.path, p.node), p.node, f.q.Sided, depth) {
			e.Moved = true
			return true
		}
	}
	return false
}

// stand puts behind an edge what led a path to a node, from one of some nodes; the first counts from which sealed changes lead there.
func (f *edgeSearch) stand(e *Edge, change *pluginapi.Change, from []Node, to Node, usable func(string, Offer) bool, depth int) bool {
	for _, n := range from {
		b := &DerivedChange{Change: *change, From: n, To: to}
		b.Edges = f.edges(b, usable, depth+1)
		if b.way(func(source int, of *DerivedChange) bool { return f.now(source, string(of.Change.Path)) }) != nil {
			e.Behind = b
			break
		}
		if e.Behind == nil && b.way(anySource) != nil { // whoever may not now keeps nobody from being asked
			e.Behind = b
		}
	}
	return e.Behind != nil
}

// A pathNode is what stood at a path.
type pathNode struct {
	path string
	node Node
}

// maxMovedFrom is how many paths are looked at from which a file may have been moved.
const maxMovedFrom = 16

// MovedTo returns the paths, each once and none that is named, from which sealed commits moved files to some paths, also by others between: at most so many as it
// makes sense to read the history of.
func (o *Offers) MovedTo(paths []string) (out []string) {
	const most = 1024
	seen := make(map[string]bool, len(paths))
	for _, p := range paths {
		seen[p] = true
	}
	for todo := paths; len(todo) > 0 && len(out) < most; todo = todo[1:] {
		w := o.byPath[todo[0]]
		if w == nil {
			continue
		}
		for i := range w.list {
			for _, p := range o.movedFrom(&w.list[i]) {
				if !seen[p.path] && len(out) < most {
					seen[p.path] = true
					out, todo = append(out, p.path), append(todo, p.path)
				}
			}
		}
	}
	return out
}

// movedFrom returns where a file stood that an offer's commit put at its path, and took away there: no edge, but two, of whoever moved it.
func (o *Offers) movedFrom(x *Offer) []pathNode {
	lists := x.Seal.Seal.Predicate.Changes
	if len(lists) != 1 || x.To == (Node{}) || x.To.ID == x.From.ID || x.To.ID == x.To.ID.Format().Hash("blob", nil) { // what is empty nobody made
		return nil
	}
	gone, known := o.gone[x.Seal]
	if !known {
		gone = map[oid.ID][]pathNode{}
		for i := range lists[0] {
			c := &lists[0][i]
			if n := node(c.OldMode, c.Old); c.New == "" && len(gone[n.ID]) < maxMovedFrom {
				gone[n.ID] = append(gone[n.ID], pathNode{c.PathBytes(), n})
			}
		}
		o.gone[x.Seal] = gone
	}
	return gone[x.To.ID]
}

// other returns what stands at a path on the other side of a merge of two, which has there what neither side has.
func (o *Offers) other(x *Offer, path string) (Node, bool) {
	if len(x.Seal.Seal.Predicate.Changes) != 2 || x.aside {
		return Node{}, false
	}
	n, ok := o.listed(x.Seal)[1-x.list][path]
	return n, ok
}

// taken reports whether a merge has at a path what one of its parents has.
func (o *Offers) taken(c *Candidate, path string) bool {
	if len(c.Seal.Predicate.Changes) < 2 {
		return false
	}
	return slices.ContainsFunc(o.listed(c), func(at map[string]Node) bool { _, ok := at[path]; return !ok })
}

// listed is what stood at each path that a merge changed, by parent.
func (o *Offers) listed(c *Candidate) []map[string]Node {
	out, ok := o.merges[c]
	if !ok {
		for _, list := range c.Seal.Predicate.Changes {
			at := make(map[string]Node, len(list))
			for i := range list {
				at[list[i].PathBytes()] = node(list[i].OldMode, list[i].Old)
			}
			out = append(out, at)
		}
		o.merges[c] = out
	}
	return out
}

// only reports whether all that a seal lists but for one path was taken.
func (o *Offers) only(y *Candidate, path string, taken map[string]bool) bool {
	for _, list := range y.Seal.Predicate.Changes {
		for i := range list {
			c := &list[i]
			if p := c.PathBytes(); p != path && !taken[key([]byte(p), node(c.OldMode, c.Old), node(c.NewMode, c.New))] {
				return false
			}
		}
	}
	return true
}

// taken are the changes that lie on the ways of the commit's, of all sources, and of each.
func (d *Derivation) taken() (all map[string]bool, in []map[string]bool) {
	all, in = map[string]bool{}, d.within()
	for _, of := range in {
		maps.Copy(all, of)
	}
	return all, in
}

// prefer puts the edges first whose sources come whole: of two drafts of one change the one that was taken.
func (d *Derivation) prefer(whole func(source int) bool) {
	part := func(i int) int {
		if !whole(i) {
			return 1
		}
		return 0
	}
	for i := range d.Changes {
		for c := &d.Changes[i]; c != nil; c = c.Or {
			c.sort(func(a, b Edge) int {
				x, y := &d.Sources[a.Source], &d.Sources[b.Source]
				return cmp.Or(cmp.Compare(part(a.Source), part(b.Source)), cmp.Compare(y.Time, x.Time), cmp.Compare(x.ID, y.ID))
			})
		}
	}
}

// within returns what of each source lies on the ways of the commit's changes, as key names it.
func (d *Derivation) within() []map[string]bool {
	in := make([]map[string]bool, len(d.Sources))
	for i := range in {
		in[i] = map[string]bool{}
	}
	for i := range d.Changes {
		c := &d.Changes[i]
		c.walk(func(of *DerivedChange, e Edge) { in[e.Source][key(of.Change.Path, e.From, e.To)] = true })
	}
	return in
}

func (c *DerivedChange) sort(by func(a, b Edge) int) {
	slices.SortStableFunc(c.Edges, by)
	for _, e := range c.Edges {
		if e.Behind != nil {
			e.Behind.sort(by)
		}
	}
}
