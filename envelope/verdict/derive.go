package verdict

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

// Node is what stands at a path: a mode of six octal digits and an object. The zero Node is nothing.
type Node struct {
	Mode string `json:"mode,omitempty"`
	ID   oid.ID `json:"id,omitzero"`
}

// Edge is one sealed change of a path.
type Edge struct {
	From   Node `json:"from,omitzero"`
	To     Node `json:"to,omitzero"`
	Source int  `json:"source"` // whose it is
}

// A Move leads from what stands at a path to what stands there next.
type Move struct{ From, To Node }

// Derivation is where the changes of a commit without a seal may come from: sealed
// changes of other commits. It says nothing of authority.
type Derivation struct {
	Changes []DerivedChange `json:"changes"`
	Sources []Source        `json:"sources"`
	Cut     oid.ID          `json:"cut,omitzero"`   // where the history that could have used them up can't be read further
	Over    string          `json:"over,omitempty"` // a path with more sealed changes than are looked at
}

// DerivedChange is one change, and every sealed edge that lies on a way from its old side to its new one.
type DerivedChange struct {
	Change pluginapi.Change `json:"change"`
	From   Node             `json:"from,omitzero"`
	To     Node             `json:"to,omitzero"`
	Second bool             `json:"second,omitempty"` // it is a change against a merge's second parent: what the ref had already
	Edges  []Edge           `json:"edges,omitempty"`
}

// Source is a seal of another commit.
type Source struct {
	ExamSeal
	Commit oid.ID     `json:"commit"` // it may be gone
	Here   bool       `json:"here,omitempty"`
	All    []PathEdge `json:"all"` // everything it changed
}

// PathEdge is a change of a source.
type PathEdge struct {
	Path   []byte `json:"path"`
	From   Node   `json:"from,omitzero"`
	To     Node   `json:"to,omitzero"`
	Undone bool   `json:"undone,omitempty"` // its signer took it back, in a seal as well
}

// Cover is a sealed commit that a derived one took changes from.
type Cover struct {
	Commit    oid.ID
	Seal      string // identity of its envelope
	Principal Principal
	Mode      provenance.Mode
	Time      string   // its signer's claim
	Here      bool     // the commit is in this clone
	Took      int      // of its changes
	Left      []string // paths of changes that were not taken
}

// Limits of what is looked at. One key's seals can't crowd out another's.
const (
	maxOfKey   = 64   // seals of one key that make the same change
	maxSources = 8192 // of one commit
)

// Offers are the seals that may cover commits, by path.
type Offers struct {
	w      *World
	byPath map[string]*ways
	exams  map[*Candidate]*ExamSeal // nil: it covers nothing
}

type offer struct {
	from, to Node
	cand     *Candidate
}

// ways are the offers for one path, and where they begin and end.
type ways struct {
	list     []offer
	from, to map[Node][]int
	of       map[signedEdge]int // how many there are
}

type signedEdge struct {
	from, to Node
	keyID    string
}

func (w *ways) add(x offer) {
	e := signedEdge{x.from, x.to, x.cand.KeyID}
	if w.of[e]++; w.of[e] > maxOfKey {
		return
	}
	w.from[x.from] = append(w.from[x.from], len(w.list))
	w.to[x.to] = append(w.to[x.to], len(w.list))
	w.list = append(w.list, x)
}

// NewOffers takes the seals that ledgers hold. Only changes against the one parent of
// a commit, or of one without parents, are offered: a merge's own work is not told apart from
// what it brings in.
func NewOffers(w *World, seals func(yield func(*Candidate) bool)) *Offers {
	o := &Offers{w: w, byPath: map[string]*ways{}, exams: map[*Candidate]*ExamSeal{}}
	for cand := range seals {
		if cand.Err != nil || cand.Seal == nil || cand.InNote || len(cand.Seal.Predicate.Parents) > 1 || len(cand.Seal.Predicate.Changes) != 1 {
			continue
		}
		for i := range cand.Seal.Predicate.Changes[0] {
			c := &cand.Seal.Predicate.Changes[0][i]
			p := c.PathBytes()
			if o.byPath[p] == nil {
				o.byPath[p] = &ways{from: map[Node][]int{}, to: map[Node][]int{}, of: map[signedEdge]int{}}
			}
			o.byPath[p].add(offer{node(c.OldMode, c.Old), node(c.NewMode, c.New), cand})
		}
	}
	return o
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
	w := o.byPath[c.Path]
	return w != nil && len(w.to[Node{c.NewMode, c.New}]) > 0
}

// Part is what a commit changes against one of its parents.
type Part struct {
	Changes []provenance.Raw
	Own     map[string]bool                   // paths of which whoever made the commit chose what it has: nothing else covers them
	Second  bool                              // it is against the second parent of a merge
	Usable  func(*Candidate) bool             // whether a sealed commit may cover anything here
	Spent   func(path string, move Move) bool // whether the history of that parent has made a move already
}

// Derive finds what may cover the changes of a commit. here tells whether a sealed commit is in this clone.
func (o *Offers) Derive(parts []Part, here func(oid.ID) bool) *Derivation {
	d := &Derivation{}
	at := map[*Candidate]int{}
	source := func(c *Candidate) (int, bool) {
		i, ok := at[c]
		if ok {
			return i, i >= 0
		}
		exam := o.exam(c)
		if exam == nil || len(d.Sources) == maxSources {
			at[c] = -1
			return -1, false
		}
		s := Source{ExamSeal: *exam, Commit: c.Seal.Commit(), Here: here(c.Seal.Commit())}
		for i := range c.Seal.Predicate.Changes[0] {
			x := &c.Seal.Predicate.Changes[0][i]
			e := PathEdge{Path: []byte(x.PathBytes()), From: node(x.OldMode, x.Old), To: node(x.NewMode, x.New)}
			e.Undone = o.byPath[x.PathBytes()].of[signedEdge{e.To, e.From, c.KeyID}] > 0
			s.All = append(s.All, e)
		}
		at[c] = len(d.Sources)
		d.Sources = append(d.Sources, s)
		return at[c], true
	}
	for _, part := range parts {
		touched := provenance.Touched([][]provenance.Raw{part.Changes})
		byPath := make(map[string]pluginapi.Change, len(touched))
		for _, t := range touched {
			byPath[string(t.Path)] = t
		}
		usable := map[*Candidate]bool{}
		for i := range part.Changes {
			c := &part.Changes[i]
			dc := DerivedChange{Change: byPath[c.Path], From: Node{c.OldMode, c.Old}, To: Node{c.NewMode, c.New}, Second: part.Second}
			if part.Own[c.Path] || o.byPath[c.Path] == nil {
				d.Changes = append(d.Changes, dc)
				continue
			}
			for _, x := range o.byPath[c.Path].between(dc.From, dc.To) {
				if part.Spent(c.Path, Move{x.from, x.to}) {
					continue
				}
				may, asked := usable[x.cand]
				if !asked {
					may = part.Usable(x.cand)
					usable[x.cand] = may
				}
				if !may {
					continue
				}
				if n, ok := source(x.cand); ok {
					dc.Edges = append(dc.Edges, Edge{x.from, x.to, n})
				}
			}
			d.Changes = append(d.Changes, dc)
		}
	}
	d.prefer()
	return d
}

// prefer puts the edges first whose sources come whole: of two drafts of one change the one that was taken.
func (d *Derivation) prefer() {
	in := make([]map[string]bool, len(d.Sources))
	for i := range in {
		in[i] = map[string]bool{}
	}
	for i := range d.Changes {
		c := &d.Changes[i]
		for _, e := range c.Edges {
			in[e.Source][key(c.Change.Path, e.From, e.To)] = true
		}
	}
	part := func(i int) int {
		if len(in[i]) < len(d.Sources[i].All) {
			return 1
		}
		return 0
	}
	for i := range d.Changes {
		slices.SortStableFunc(d.Changes[i].Edges, func(a, b Edge) int {
			x, y := &d.Sources[a.Source], &d.Sources[b.Source]
			return cmp.Or(cmp.Compare(part(a.Source), part(b.Source)), cmp.Compare(y.Time, x.Time), cmp.Compare(x.ID, y.ID))
		})
	}
}

// Moves returns the sealed moves that lie on a way from one node of a path to another: a commit that went that way
// may have been made of them.
func (o *Offers) Moves(path string, from, to Node) []Move {
	w := o.byPath[path]
	if w == nil {
		return nil
	}
	seen := map[Move]bool{}
	var out []Move
	for _, x := range w.between(from, to) {
		if st := (Move{x.from, x.to}); !seen[st] {
			seen[st] = true
			out = append(out, st)
		}
	}
	return out
}

// Weight is how many sealed changes of a path there are to look at.
func (o *Offers) Weight(path string) int {
	if w := o.byPath[path]; w != nil {
		return len(w.list)
	}
	return 0
}

// between returns the edges that lie on a way from one node to another. "Nothing" may begin or end
// a way; none passes it: a file that was deleted and put back is another change.
func (w *ways) between(from, to Node) []offer {
	ahead := reach(from, to, w.from, func(i int) Node { return w.list[i].to })
	if !ahead[to] {
		return nil
	}
	back := reach(to, from, w.to, func(i int) Node { return w.list[i].from })
	var out []offer
	for n := range ahead {
		for _, i := range w.from[n] {
			switch x := w.list[i]; {
			case !back[x.to] || x.from == to || x.to == from:
			case x.from == (Node{}) && from != (Node{}), x.to == (Node{}) && to != (Node{}):
			default:
				out = append(out, x)
			}
		}
	}
	slices.SortFunc(out, func(a, b offer) int { return cmp.Compare(a.cand.ID, b.cand.ID) })
	return out
}

// reach returns the nodes that lead from start without passing end, or nothing.
func reach(start, end Node, from map[Node][]int, next func(int) Node) map[Node]bool {
	seen := map[Node]bool{start: true}
	todo := []Node{start}
	for len(todo) > 0 {
		n := todo[0]
		todo = todo[1:]
		if n == end || n == (Node{}) && n != start {
			continue
		}
		for _, i := range from[n] {
			if b := next(i); !seen[b] {
				seen[b] = true
				todo = append(todo, b)
			}
		}
	}
	return seen
}

// exam looks at a seal for what it is without its commit, which may be gone; nil when it covers nothing.
func (o *Offers) exam(cand *Candidate) *ExamSeal {
	if e, ok := o.exams[cand]; ok {
		return e
	}
	s := cand.Seal
	// As if the commit were what the seal says: what can't be held to Git is what its signer answers for.
	e := examine(o.w, &Commit{ID: s.Commit(), Tree: s.Tree(), Parents: s.Predicate.Parents, Diffs: [][]provenance.Raw{raws(s.Predicate.Changes[0])}}, cand)
	e.candidate = nil
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
		c := &list[i]
		from, to := node(c.OldMode, c.Old), node(c.NewMode, c.New)
		out[i] = provenance.Raw{Path: c.PathBytes(), OldMode: from.Mode, NewMode: to.Mode, Old: from.ID, New: to.ID}
		if c.Status != "" {
			out[i].Status = c.Status[0]
		}
	}
	return out
}

// derive judges a commit without a seal by the sealed changes that it is made of. It reports whether
// something covers any of it; then the result says so, or what is not covered.
//
// It transfers authorship only: everybody whose change it is must be allowed to bring that
// path to the ref of this commit.
func (e *Exam) derive(w *World, r *Result, now time.Time) bool {
	d := e.Derived
	if d == nil || len(e.Deep) > 0 || len(e.Denied) > 0 {
		return false
	}
	ref := e.Ref
	protected := !e.Side && w.Policy.Protects(ref)
	took := make([]map[string]bool, len(d.Sources)) // source → what of it is in the commit, as key() names it
	mine := make([]bool, len(d.Sources))            // it brings something to the ref
	var uncovered []string
	allowed := map[string]bool{}
	may := func(source, change int) bool {
		if d.Changes[change].Second {
			return true // it is on the ref already, and was judged there
		}
		key := fmt.Sprint(source, " ", change)
		ok, known := allowed[key]
		if !known {
			_, findings := d.Sources[source].mayBring(w, e, []pluginapi.Change{d.Changes[change].Change}, now)
			ok = len(findings) == 0
			allowed[key] = ok
		}
		return ok
	}
	for i := range d.Changes {
		way := d.Changes[i].way(func(source int) bool { return may(source, i) })
		if way == nil {
			uncovered = append(uncovered, string(d.Changes[i].Change.Path))
			continue
		}
		for _, s := range way {
			mine[s.Source] = mine[s.Source] || !d.Changes[i].Second
			if took[s.Source] == nil {
				took[s.Source] = map[string]bool{}
			}
			took[s.Source][key(d.Changes[i].Change.Path, s.From, s.To)] = true
		}
	}
	if len(uncovered) == len(d.Changes) {
		return false
	}
	var findings []Finding
	for _, path := range uncovered {
		if len(findings) == maxListed {
			findings = append(findings, Finding{Code: DerivedUncovered, Message: fmt.Sprintf("and %d more paths", len(uncovered)-maxListed)})
			break
		}
		f := Finding{Code: DerivedUncovered, Path: path, Object: e.Commit.String(), Message: "nobody who may sealed this change", Hint: "covenant show " + e.Commit.Short()}
		if path == d.Over {
			f.Message = "more sealed changes of this path than are looked at"
		}
		findings = append(findings, f)
	}
	if protected && !w.Policy.CoveredBy(trust.Blob) {
		findings = append(findings, Finding{Code: PolicyCoverage, Object: e.Commit.String(), Message: "a commit without a seal of its own is not enough on " + ref, Hint: "covenant policy show"})
	}
	r.Mode = provenance.Witness
	evened := d.evened(took)
	for i := range d.Sources {
		if took[i] == nil {
			continue
		}
		s := &d.Sources[i]
		if !mine[i] {
			continue
		}
		var brought []pluginapi.Change
		for j := range d.Changes {
			p := d.Changes[j].Change.Path
			if !d.Changes[j].Second && slices.ContainsFunc(d.Changes[j].Edges, func(x Edge) bool { return x.Source == i && took[i][key(p, x.From, x.To)] }) {
				brought = append(brought, d.Changes[j].Change)
			}
		}
		mode, wrong := s.mayBring(w, e, brought, now) // all of it at once, as when it was made
		findings = append(findings, wrong...)
		if mode != provenance.Witness {
			r.Mode = mode
		}
		who, _ := w.Principal(s.KeyID)
		c := Cover{Commit: s.Commit, Seal: string(s.ID), Principal: who, Mode: mode, Time: s.Time, Here: s.Here, Took: len(took[i])}
		for _, x := range s.All {
			if p := string(x.Path); !took[i][key(x.Path, x.From, x.To)] && !x.Undone && !evened[p] {
				c.Left = append(c.Left, p)
			}
		}
		if len(c.Left) > 0 {
			r.Warnings = append(r.Warnings, Finding{Code: DerivedPartial, Object: s.Commit.String(), Message: "only a part of " + s.Commit.Short() + " was taken; left out: " + someOf(c.Left)})
			if protected && !w.Policy.CoveredBy(trust.Partial) {
				findings = append(findings, Finding{Code: PolicyCoverage, Object: s.Commit.String(), Message: "a part of a sealed commit is not enough on " + ref, Hint: "covenant policy show"})
			}
		}
		r.Covers = append(r.Covers, c)
	}
	slices.SortFunc(r.Covers, func(a, b Cover) int { return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Seal, b.Seal)) })
	if len(findings) == 0 && !d.Cut.IsZero() {
		r.Mode, r.Covers, r.Verdict = "", nil, Unsealed
		r.Findings = append(r.Findings, Finding{
			Code: DerivedHistory, Object: d.Cut.String(), Message: "sealed changes would cover it, if none was used before; the history of this clone ends at " + d.Cut.Short(), Hint: "git fetch --unshallow",
		})
		return true
	}
	if len(findings) > 0 {
		r.Mode = ""
		r.Findings = append(slices.Clone(r.Findings), findings...)
		if r.Verdict == Unsealed {
			r.Findings = append([]Finding{{
				Code: SealMissing, Object: e.Commit.String(), Message: "nobody known here sealed it, and sealed changes do not cover all of it",
				Hint: "covenant provenance seal " + e.Commit.Short(),
			}}, r.Findings...)
		}
		return true
	}
	for _, f := range r.Findings { // of seals that do not hold: whoever puts one there can't take the verdict away
		r.Warnings = append(r.Warnings, Finding{Code: SealRefused, Object: f.Object, Message: "a seal of it was refused: " + f.Message})
	}
	made, most := map[string]int{}, 0 // who made most of it speaks for it
	for i := range r.Covers {
		c := &r.Covers[i]
		if made[c.Principal.Name] += c.Took; made[c.Principal.Name] > most {
			most, r.Principal = made[c.Principal.Name], &c.Principal
		}
	}
	r.Verdict, r.Coverage, r.Findings, r.SealID = Derived, "blob", nil, ""
	return true
}

// evened returns the paths at which all that the sources did comes out as what the commit has: what one
// of them did there, another undid or went on with.
func (d *Derivation) evened(took []map[string]bool) map[string]bool {
	sum := map[string]map[Node]int{}
	add := func(path string, n Node, by int) {
		if sum[path] == nil {
			sum[path] = map[Node]int{}
		}
		sum[path][n] += by
	}
	steps := map[string]bool{}
	for i := range d.Sources {
		for _, x := range d.Sources[i].All {
			if k := key(x.Path, x.From, x.To); took[i] != nil && !steps[k] {
				steps[k] = true
				add(string(x.Path), x.From, 1)
				add(string(x.Path), x.To, -1)
			}
		}
	}
	for i := range d.Changes {
		c := &d.Changes[i]
		if p := string(c.Change.Path); sum[p] != nil && !c.Second {
			add(p, c.From, -1)
			add(p, c.To, 1)
		}
	}
	out := map[string]bool{}
	for p, at := range sum {
		even := true
		for _, n := range at {
			even = even && n == 0
		}
		out[p] = even
	}
	return out
}

func key(path []byte, from, to Node) string {
	return from.Mode + from.ID.String() + " " + to.Mode + to.ID.String() + " " + string(path)
}

// way returns the shortest way from the old side to the new one over allowed edges, nil when there is none.
func (c *DerivedChange) way(allowed func(source int) bool) []Edge {
	at := map[Node][]int{}
	for i, e := range c.Edges {
		at[e.From] = append(at[e.From], i)
	}
	came := map[Node]int{c.From: -1} // node → the edge that led there
	for todo := []Node{c.From}; len(todo) > 0; todo = todo[1:] {
		n := todo[0]
		if n == (Node{}) && n != c.From {
			continue
		}
		for _, i := range at[n] {
			e := c.Edges[i]
			if _, seen := came[e.To]; seen || !allowed(e.Source) {
				continue
			}
			came[e.To] = i
			if e.To != c.To {
				todo = append(todo, e.To)
				continue
			}
			var way []Edge
			for i := i; i >= 0; i = came[c.Edges[i].From] {
				way = append(way, c.Edges[i])
			}
			slices.Reverse(way)
			return way
		}
	}
	return nil
}

// mayBring asks whether a source's signer may bring some changes to where the commit under judgement is.
func (s *Source) mayBring(w *World, e *Exam, changes []pluginapi.Change, now time.Time) (provenance.Mode, []Finding) {
	var out []Finding
	who, known := w.Principal(s.KeyID)
	if !known || s.Claimed != who {
		return s.Mode, []Finding{{Code: SealUnknownKey, Object: s.KeyID, Message: "nobody here has the key of " + s.Commit.Short() + " under the name it was sealed with"}}
	}
	if len(s.Grants) == 0 && !w.Operator(s.KeyID) {
		return s.Mode, []Finding{{Code: SealGrant, Object: string(s.ID), Message: "it names no grant, and " + who.Name + " is no operator"}}
	}
	there := *e
	there.Touched = changes
	if d := s.ask(w, &there, s.Mode, now); !d.Allowed {
		f := Finding{Code: SealAuthority, Object: string(s.ID), Message: fmt.Sprintf("%s, who sealed %s, may not bring it here: %s", who.Name, s.Commit.Short(), d.Reason)}
		if d.Refused != "" {
			f.Hint = "covenant capability show " + d.Refused.Short()
		}
		out = append(out, f)
	}
	if ref := s.ref(e); w.Policy.Protects(ref) {
		for _, f := range demanded(w.Policy, who, s.Mode, changes, ref) {
			f.Object, f.Hint = string(s.ID), "covenant policy show"
			out = append(out, f)
		}
	}
	return s.Mode, out
}

// someOf names a few of many paths.
func someOf(paths []string) string {
	const few = 5
	quoted := make([]string, 0, few)
	for _, p := range paths[:min(few, len(paths))] {
		quoted = append(quoted, fmt.Sprintf("%q", p))
	}
	out := strings.Join(quoted, ", ")
	if len(paths) > few {
		out += fmt.Sprintf(" and %d more", len(paths)-few)
	}
	return out
}
