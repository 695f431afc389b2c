package verdict

import (
	"cmp"
	"iter"
	"slices"

	"github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/git/oid"
)

// Node is what stands at a path: a mode of six octal digits and an object. The zero Node is nothing.
type Node struct {
	Mode string `json:"mode,omitempty"`
	ID   oid.ID `json:"id,omitzero"`
}

// Limits of what is looked at. One key's seals can't crowd out another's.
const (
	maxOfKey  = 256  // seals of one key that make the same change
	maxOfWay  = 1024 // edges of one key that are looked at for one change
	maxUndone = 4096 // edges of one key that are followed to see whether it took one back
)

// Offers are the seals that may cover commits, by path.
type Offers struct {
	w      *World
	byPath map[string]*ways
	exams  map[*Candidate]*ExamSeal // nil: it covers nothing
	merges map[*Candidate][]map[string]Node
	moved  map[*Candidate]map[string][]pathNode // what each put where, and took away
}

// An Offer is one change that a seal lists.
type Offer struct {
	From, To Node
	Seal     *Candidate
	list     int  // against which parent
	aside    bool // of a merge that has what another parent has: it takes its side, and brings nothing of its own
}

// Sides are, of a merge of two, the parent that the offer begins at, and the other one.
func (x *Offer) Sides() (own, other oid.ID) {
	if p := x.Seal.Seal.Predicate.Parents; len(p) == 2 && x.list < 2 {
		return p[x.list], p[1-x.list]
	}
	return oid.ID{}, oid.ID{}
}

// Moved reports whether a merge of two has, by the offer's side and by the other, no more what the other side did not have: that may have put it at another path. work is how much was looked at.
func (o *Offers) Moved(x *Offer) (own, other bool, work int) {
	lists := x.Seal.Seal.Predicate.Changes
	if len(lists) != 2 {
		return false, false, 1
	}
	at := o.listed(x.Seal)
	gone := func(i int) bool {
		return slices.ContainsFunc(lists[i], func(c provenance.Change) bool {
			_, both := at[1-i][c.PathBytes()]
			return !both && c.New == ""
		})
	}
	return gone(x.list), gone(1 - x.list), len(lists[0]) + len(lists[1])
}

// A Move leads from what stands at a path to what stands there next.
type Move struct{ From, To Node }

// RawOf is the diff that a change speaks of.
func RawOf(c *provenance.Change) provenance.Raw {
	from, to := node(c.OldMode, c.Old), node(c.NewMode, c.New)
	out := provenance.Raw{Path: c.PathBytes(), OldMode: from.Mode, NewMode: to.Mode, Old: from.ID, New: to.ID}
	if c.Status != "" {
		out.Status = c.Status[0]
	}
	return out
}

// All returns every change of a path, the sides that merges took among them.
func (o *Offers) All(path string) iter.Seq[Offer] {
	return func(yield func(Offer) bool) {
		if w := o.byPath[path]; w != nil {
			for i := range w.list {
				if !yield(w.list[i]) {
					return
				}
			}
		}
	}
}

// Crowded returns a seal of each key that makes one change of a path so often that not all of it is looked at.
func (o *Offers) Crowded(path string) []*Candidate {
	if w := o.byPath[path]; w != nil {
		return w.crowded
	}
	return nil
}

// ways are the offers for one path, and where they begin and end.
type ways struct {
	list     []Offer
	from, to map[Node][]int
	of       map[signedEdge]int // how many there are
	crowded  []*Candidate       // one of each key of which there are too many
	rank     map[Node]int       // later where it can't lead back; nil: not known yet
	own      *ways              // those of who may bring the path; nil: nobody needed them yet
}

type signedEdge struct {
	from, to Node
	keyID    string
}

func (w *ways) add(x Offer) {
	e := signedEdge{x.From, x.To, x.Seal.KeyID}
	if w.of[e]++; w.of[e] > maxOfKey {
		if !slices.ContainsFunc(w.crowded, func(c *Candidate) bool { return c.KeyID == x.Seal.KeyID }) {
			w.crowded = append(w.crowded, x.Seal)
		}
		return
	}
	if !x.aside {
		w.from[x.From] = append(w.from[x.From], len(w.list))
		w.to[x.To] = append(w.to[x.To], len(w.list))
	}
	w.list = append(w.list, x)
}

// of returns the ways of a path, those only whose signers may bring it: seals of who may not are looked at once, however many commits ask. All of them where may is nil.
func (o *Offers) of(path string, may func(c *Candidate, path string) bool) *ways {
	w := o.byPath[path]
	if w == nil || may == nil {
		return w
	}
	if w.own == nil {
		w.own = &ways{list: w.list, from: map[Node][]int{}, to: map[Node][]int{}}
		for i, x := range w.list {
			if !x.aside && may(x.Seal, path) {
				w.own.from[x.From] = append(w.own.from[x.From], i)
				w.own.to[x.To] = append(w.own.to[x.To], i)
			}
		}
	}
	return w.own
}

// NewOffers takes the seals that ledgers hold, with what they list against each parent.
func NewOffers(w *World, seals func(yield func(*Candidate) bool)) *Offers {
	o := &Offers{w: w, byPath: map[string]*ways{}, exams: map[*Candidate]*ExamSeal{}, merges: map[*Candidate][]map[string]Node{}, moved: map[*Candidate]map[string][]pathNode{}}
	for cand := range seals {
		if cand.Err != nil || cand.Seal == nil || cand.InNote {
			continue
		}
		lists := cand.Seal.Predicate.Changes
		if slices.ContainsFunc(lists, twice) {
			continue // no diff has a path twice: it holds for no commit
		}
		var in map[string]int // path → against how many parents of a merge it differs
		if len(lists) > 1 {
			in = map[string]int{}
			for _, list := range lists {
				for i := range list {
					in[list[i].PathBytes()]++
				}
			}
		}
		for n, list := range lists {
			for i := range list {
				c := &list[i]
				p := c.PathBytes()
				if o.byPath[p] == nil {
					o.byPath[p] = &ways{from: map[Node][]int{}, to: map[Node][]int{}, of: map[signedEdge]int{}}
				}
				o.byPath[p].add(Offer{node(c.OldMode, c.Old), node(c.NewMode, c.New), cand, n, in != nil && in[p] < len(lists)})
			}
		}
	}
	return o
}

// twice reports whether a list has a path more than once.
func twice(list []provenance.Change) bool {
	seen := make(map[string]bool, len(list))
	for i := range list {
		p := list[i].PathBytes()
		if seen[p] {
			return true
		}
		seen[p] = true
	}
	return false
}

func node(mode, id string) Node {
	n, err := oid.Parse(id)
	if id == "" || err != nil {
		return Node{}
	}
	return Node{mode, n}
}

// Reaches reports whether any seal brings a path where a change brings it.
func (o *Offers) Reaches(c *provenance.Raw) bool {
	return o.Leads(c.Path, Node{c.NewMode, c.New})
}

// Modifies reports whether a change is one of the lines of a file of which some seal tells.
func (o *Offers) Modifies(c *provenance.Raw) bool {
	return o.byPath[c.Path] != nil && IsText(c.OldMode) && IsText(c.NewMode) && c.Old != c.New
}

// IsText reports whether what has a mode may have lines.
func IsText(mode string) bool { return mode == "100644" || mode == "100755" }

// Starts are the nodes at which sealed changes of a path begin that count.
func (o *Offers) Starts(path string, counts func(*Candidate) bool) iter.Seq[Node] {
	return func(yield func(Node) bool) {
		if w := o.byPath[path]; w != nil {
			for n, list := range w.from {
				if slices.ContainsFunc(list, func(i int) bool { return counts(w.list[i].Seal) }) && !yield(n) {
					return
				}
			}
		}
	}
}

// Ends are the nodes to which sealed changes of a path lead.
func (o *Offers) Ends(path string) iter.Seq[Node] {
	return func(yield func(Node) bool) {
		if w := o.byPath[path]; w != nil {
			for n := range w.to {
				if !yield(n) {
					return
				}
			}
		}
	}
}

// Before are the nodes from which sealed changes lead a path to a node, that one not among them, whoever signed them. work is how much was looked at.
func (o *Offers) Before(path string, to Node) (out []Node, work int) {
	w := o.byPath[path]
	if w == nil {
		return nil, 1
	}
	seen, work := reach(to, Node{}, w.to, func(i int) Node { return w.list[i].From })
	for n := range seen {
		if n != to && n != (Node{}) {
			out = append(out, n)
		}
	}
	slices.SortFunc(out, func(a, b Node) int { return cmp.Or(a.ID.Compare(b.ID), cmp.Compare(a.Mode, b.Mode)) })
	return out, work
}

// maxNearest is how many nodes are found from which one may come.
const maxNearest = 8

// Nearest returns the nodes like that from which sealed changes of who may lead a path to a node, by way of none that is like it; nothing is, too. Those that are fewest changes
// away come first. work is how much was looked at.
func (o *Offers) Nearest(path string, to Node, may func(c *Candidate, path string) bool, like func(Node) bool) (out []Node, work int) {
	w := o.of(path, may)
	if w == nil {
		return nil, 1
	}
	seen := map[Node]bool{to: true}
	for todo := []Node{to}; len(todo) > 0; todo = todo[1:] {
		for _, i := range w.to[todo[0]] {
			n := w.list[i].From
			if work++; seen[n] {
				continue
			}
			switch seen[n] = true; {
			case n != (Node{}) && !like(n):
				todo = append(todo, n)
			case len(out) < maxNearest:
				out = append(out, n)
			}
		}
	}
	return out, work + 1
}

// Leads reports whether a sealed change leads a path to a node.
func (o *Offers) Leads(path string, to Node) bool {
	w := o.byPath[path]
	return w != nil && len(w.to[to]) > 0
}

// Passed returns what stood at a path when a commit brought it from one node to another, if it was made of sealed
// changes of who may, that count: every node on every way, also on those through nothing and back again; both ends are among them. work
// is how much was looked at.
func (o *Offers) Passed(path string, from, to Node, may func(c *Candidate, path string) bool, counts func(*Candidate) bool) (nodes []Node, work int) {
	w := o.of(path, may)
	if w == nil {
		return []Node{from, to}, 1
	}
	w.order()
	first, last := w.place(from), w.place(to)
	if first < 0 || last < first {
		return []Node{from, to}, 1
	}
	within := func(n Node) bool { r := w.rank[n]; return first <= r && r <= last }
	walk := func(start Node, at map[Node][]int, next func(int) Node) map[Node]bool {
		seen := map[Node]bool{start: true}
		for todo := []Node{start}; len(todo) > 0; {
			n := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			for _, i := range at[n] {
				work++
				if b := next(i); !seen[b] && within(b) && counts(w.list[i].Seal) {
					seen[b] = true
					todo = append(todo, b)
				}
			}
		}
		return seen
	}
	ahead := walk(from, w.from, func(i int) Node { return w.list[i].To })
	if !ahead[to] {
		return []Node{from, to}, work
	}
	back := walk(to, w.to, func(i int) Node { return w.list[i].From })
	for n := range ahead {
		if back[n] {
			nodes = append(nodes, n)
		}
	}
	return nodes, work + len(nodes)
}

func (w *ways) place(n Node) int {
	if r, ok := w.rank[n]; ok {
		return r
	}
	return -1
}

// order ranks the nodes: where a way leads from one to another, and none back, the other's rank is higher; nodes that lead to
// each other have one rank (Tarjan, "Depth-first search and linear graph algorithms", 1972).
func (w *ways) order() {
	if w.rank != nil {
		return
	}
	w.rank = map[Node]int{}
	type frame struct {
		n    Node
		next int
	}
	index, low, on := map[Node]int{}, map[Node]int{}, map[Node]bool{}
	var stack []Node
	var groups [][]Node
	for start := range w.from {
		if _, seen := index[start]; seen {
			continue
		}
		calls := []frame{{n: start}}
		for len(calls) > 0 {
			f := &calls[len(calls)-1]
			if f.next == 0 {
				index[f.n], low[f.n] = len(index), len(index)
				stack, on[f.n] = append(stack, f.n), true
			}
			if edges := w.from[f.n]; f.next < len(edges) {
				to := w.list[edges[f.next]].To
				f.next++
				if _, seen := index[to]; !seen {
					calls = append(calls, frame{n: to})
				} else if on[to] {
					low[f.n] = min(low[f.n], index[to])
				}
				continue
			}
			n := f.n
			if calls = calls[:len(calls)-1]; len(calls) > 0 {
				above := calls[len(calls)-1].n
				low[above] = min(low[above], low[n])
			}
			if low[n] != index[n] {
				continue
			}
			var group []Node
			for {
				top := stack[len(stack)-1]
				stack = stack[:len(stack)-1]
				on[top] = false
				group = append(group, top)
				if top == n {
					break
				}
			}
			groups = append(groups, group)
		}
	}
	for i, g := range groups { // the first group leads nowhere but into itself
		for _, n := range g {
			w.rank[n] = len(groups) - i
		}
	}
}

// between returns the edges that lie on a way from one node to another. "Nothing" may begin or end
// a way; none passes it: a file that was deleted and put back is another change. work is how much was looked at.
func (w *ways) between(from, to Node) (out []Offer, work int) {
	ahead, work := reach(from, to, w.from, func(i int) Node { return w.list[i].To })
	if !ahead[to] {
		return nil, work
	}
	back, more := reach(to, from, w.to, func(i int) Node { return w.list[i].From })
	work += 2 * more
	for n := range ahead {
		for _, i := range w.from[n] {
			switch x := w.list[i]; {
			case !back[x.To] || x.From == to || x.To == from:
			case x.From == (Node{}) && from != (Node{}), x.To == (Node{}) && to != (Node{}):
			default:
				out = append(out, x)
			}
		}
	}
	slices.SortFunc(out, func(a, b Offer) int { return cmp.Or(cmp.Compare(a.Seal.ID, b.Seal.ID), cmp.Compare(a.list, b.list)) })
	return out, work
}

// reach returns the nodes that lead from start without passing end, or nothing, and how much was looked at for that.
func reach(start, end Node, from map[Node][]int, next func(int) Node) (seen map[Node]bool, work int) {
	seen = map[Node]bool{start: true}
	todo := []Node{start}
	for len(todo) > 0 {
		n := todo[0]
		todo = todo[1:]
		if n == end || n == (Node{}) && n != start {
			continue
		}
		for _, i := range from[n] {
			work++
			if b := next(i); !seen[b] {
				seen[b] = true
				todo = append(todo, b)
			}
		}
	}
	return seen, work
}

// undone reports whether the signer of an offer led the path back to where it was, by later seals that count, and nobody put it
// there again after that.
func (o *Offers) undone(path string, x Offer, take func(int) bool, counts, again func(*Candidate) bool) bool {
	w := o.byPath[path]
	if !take(len(w.to[x.To])) || slices.ContainsFunc(w.to[x.To], func(i int) bool { return w.list[i].Seal != x.Seal && again(w.list[i].Seal) }) {
		return false
	}
	seen := map[Node]bool{x.To: true}
	work := 0
	for todo := []Node{x.To}; len(todo) > 0; {
		n := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if !take(len(w.from[n])) {
			return false
		}
		for _, i := range w.from[n] {
			y := &w.list[i]
			if y.Seal.KeyID != x.Seal.KeyID || y.Seal == x.Seal {
				continue
			}
			if work++; work > maxUndone {
				return false
			}
			if seen[y.To] || !counts(y.Seal) {
				continue
			}
			if y.To == x.From {
				return true
			}
			seen[y.To] = true
			todo = append(todo, y.To)
		}
	}
	return false
}

// exam looks at a seal for what it is without its commit, which may be gone; nil when it covers nothing.
func (o *Offers) exam(cand *Candidate) *ExamSeal {
	if e, ok := o.exams[cand]; ok {
		return e
	}
	e := ExamineAlone(o.w, cand)
	o.exams[cand] = &e
	if len(e.Findings) > 0 {
		o.exams[cand] = nil
	}
	return o.exams[cand]
}

// raws is the diff that a list of changes speaks of; a list with a path twice speaks of none.
func raws(list []provenance.Change) []provenance.Raw {
	out := make([]provenance.Raw, len(list))
	for i := range list {
		out[i] = RawOf(&list[i])
	}
	return out
}
