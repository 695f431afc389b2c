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

// Edge is one sealed change of a path.
type Edge struct {
	From   Node `json:"from,omitzero"`
	To     Node `json:"to,omitzero"`
	Source int  `json:"source"` // whose it is

	// Behind is, of a merge that has what joining both its sides may have given, what the side that the edge does not begin at had changed; of a file that was moved, what had been
	// changed where it stood: whoever joined or moved it brought nothing of that, and so it must be covered itself.
	Behind *DerivedChange `json:"behind,omitempty"`
	Chosen bool           `json:"chosen,omitempty"` // who joined them may have chosen something, too
	Moved  bool           `json:"moved,omitempty"`  // it is of a file that was moved
}

// Derivation is where the changes of a commit without a seal may come from: sealed
// changes of other commits. It says nothing of authority.
type Derivation struct {
	Changes []DerivedChange `json:"changes"`
	Sources []Source        `json:"sources"`
	Cut     oid.ID          `json:"cut,omitzero"`   // where the history that could have used them up can't be read further
	Lost    string          `json:"lost,omitempty"` // a ledger that lacks entries: they could have told
	Over    []string        `json:"over,omitempty"` // paths with more to look at than is looked at
	Merge   bool            `json:"merge,omitempty"`
	Built   []Seen          `json:"built,omitempty"` // who built on it, the first first: it was there by then
}

// Weight is how many edges it holds; of none at all it is 0.
func (d *Derivation) Weight() int {
	if d == nil {
		return 0
	}
	n := len(d.Sources)
	for i := range d.Changes {
		d.Changes[i].walk(func(*DerivedChange, Edge) { n++ })
	}
	return n
}

// walk visits all edges of a change, also those behind others, with the change that each is of.
func (c *DerivedChange) walk(f func(*DerivedChange, Edge)) {
	for _, e := range c.Edges {
		if f(c, e); e.Behind != nil {
			e.Behind.walk(f)
		}
	}
}

// OfAny reports whether one of the sealed commits that it may come from is like that.
func (d *Derivation) OfAny(is func(oid.ID) bool) bool {
	return d != nil && slices.ContainsFunc(d.Sources, func(s Source) bool { return is(s.Commit) })
}

// Of returns the sealed commits that it may come from, each once, those on the ways that are found first before the others.
func (d *Derivation) Of() []oid.ID {
	if d == nil {
		return nil
	}
	var out []oid.ID
	add := func(_ *DerivedChange, e Edge) {
		if id := d.Sources[e.Source].Commit; !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	for i := range d.Changes {
		for _, x := range d.Changes[i].way(anySource) {
			add(x.of, x.Edge)
		}
	}
	for i := range d.Changes {
		for c := &d.Changes[i]; c != nil; c = c.Or {
			c.walk(add)
		}
	}
	return out
}

// Covered reports whether sealed changes lead to all of it, whoever may bring them.
func (d *Derivation) Covered() bool {
	return d != nil && !slices.ContainsFunc(d.Changes, func(c DerivedChange) bool { return c.way(anySource) == nil })
}

// DerivedChange is one change, and every sealed edge that lies on a way from its old side to its new one; where it is
// ported, on the way that was applied to its old side and gave its new one.
type DerivedChange struct {
	Change pluginapi.Change `json:"change"`
	From   Node             `json:"from,omitzero"` // of the way
	To     Node             `json:"to,omitzero"`
	Edges  []Edge           `json:"edges,omitempty"`
	Ported bool             `json:"ported,omitempty"`
	Or     *DerivedChange   `json:"or,omitempty"` // another way, where this one's signers may not

	// Lacks says that content is not here, and can be fetched, to which sealed changes may have been applied to give what no way leads to.
	Lacks bool `json:"lacks,omitempty"`

	// Brought says which lines the sources brought, on the way that is found first, where several made the file; none where that was not asked for, or is not known.
	Brought []Brought `json:"brought,omitempty"`

	// Lines are those that nobody sealed, of a file of lines that no way leads to; none where that is not known.
	Lines []provenance.Lines `json:"lines,omitempty"`
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
	Path []byte `json:"path"`
	From Node   `json:"from,omitzero"`
	To   Node   `json:"to,omitzero"`
	Moot bool   `json:"moot,omitempty"` // not left out where it was not taken: the commit has what it leads to, or its signer took it back, in work that went on from it
}

// Cover is a sealed commit that a derived one took changes from.
type Cover struct {
	Commit    oid.ID
	Seal      string // identity of its envelope
	Principal Principal
	Mode      provenance.Mode
	Time      string            // its signer's claim
	Here      bool              // the commit is in this clone
	Took      int               // of its changes
	Paths     []string          // of those; not where it is a merge that has just what joining both its sides gives
	Parts     map[string][]Part // by path, the lines that it brought, as the commit has them; nil where that is not known
	Joined    bool              // it is such a merge at all that was taken of it, or a move: whoever made it brought nothing of that
	Moved     bool              // it is files that were moved
	Left      []string          // paths of changes that were not taken
	Ported    bool              // to content that others had changed meanwhile
	Made      []Made            // by others than the principal, who had rewritten that; only where it was asked for
	Rewritten bool              // the principal rewrote what they made
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
	var uncovered []string
	lacks := !protected || w.Policy.CoveredBy(trust.Patch)
	lines := map[string][]provenance.Lines{}
	allowed := map[string]bool{}
	may := func(source int, of *DerivedChange) bool {
		key := fmt.Sprint(source, " ", string(of.Change.Path))
		ok, known := allowed[key]
		if !known {
			_, findings := d.Sources[source].mayBring(w, e, []pluginapi.Change{of.Change}, now)
			ok = len(findings) == 0
			allowed[key] = ok
		}
		return ok
	}
	asked := *d
	d = &asked
	d.Changes = slices.Clone(d.Changes)
	for i := range d.Changes {
		way := d.Changes[i].way(may)
		if other := d.Changes[i].Or; way == nil && other != nil {
			if way = other.way(may); way != nil {
				d.Changes[i] = *other
			}
		}
		if way == nil {
			path := string(d.Changes[i].Change.Path)
			uncovered, lines[path] = append(uncovered, path), d.Changes[i].Lines
			lacks = lacks && d.Changes[i].Lacks
			continue
		}
		for _, s := range way {
			if took[s.Source] == nil {
				took[s.Source] = map[string]bool{}
			}
			took[s.Source][key(s.of.Change.Path, s.From, s.To)] = true
		}
		if c := &d.Changes[i]; len(c.Brought) > 0 && !c.found(way) {
			c.Brought = nil
		}
	}
	if lacks && len(uncovered) > 0 && len(d.Over) == 0 {
		f := Finding{
			Code: DerivedHistory, Path: uncovered[0], Object: e.Commit.String(), Message: "sealed changes may have been applied to content that this clone lacks",
			Hint: "git fetch --refetch --no-filter origin",
		}
		if !d.Cut.IsZero() {
			f.Hint = "git fetch --unshallow"
		}
		r.Mode, r.Verdict, r.Findings = "", Unsealed, append(r.Findings, f)
		return true
	}
	if len(uncovered) == len(d.Changes) && len(d.Over) == 0 && !(d.Merge && len(d.Changes) == 0) {
		return false
	}
	coverage := trust.Blob
	if slices.ContainsFunc(d.Changes, func(c DerivedChange) bool { return c.Ported }) {
		coverage = trust.Patch
	}
	var findings []Finding
	for _, path := range uncovered {
		if len(findings) == maxListed {
			findings = append(findings, Finding{Code: DerivedUncovered, Message: fmt.Sprintf("and %d more paths", len(uncovered)-maxListed)})
			break
		}
		f := Finding{Code: DerivedUncovered, Path: path, Object: e.Commit.String(), Message: "nobody who may sealed this change", Hint: "covenant show " + e.Commit.Short(), Lines: lines[path]}
		if len(f.Lines) > 0 {
			f.Message = "nobody who may sealed " + someLines(f.Lines)
		}
		if slices.Contains(d.Over, path) {
			f.Message = "more sealed changes of this path than are looked at"
		}
		findings = append(findings, f)
	}
	if len(d.Changes) == 0 && len(d.Over) > 0 {
		findings = append(findings, Finding{Code: DerivedUncovered, Object: e.Commit.String(), Message: "whether its maker chose anything takes more than is looked at", Hint: "covenant show " + e.Commit.Short()})
	}
	if protected && d.Merge && len(d.Changes) == 0 && len(d.Over) == 0 {
		findings = append(findings, Finding{
			Code: DerivedUncovered, Object: e.Commit.String(), Message: "it is a merge that brings nothing, so nobody made it, and the commits of its side come to " + ref + " by it",
			Hint: "who may brings them with hooks, or vouches: covenant provenance seal " + e.Commit.Short(),
		})
	}
	const wants = "who decides that they are adds %q to coverage: covenant policy edit; else somebody vouches: covenant provenance seal %s"
	if protected && !w.Policy.CoveredBy(trust.Blob) {
		findings = append(findings, Finding{Code: PolicyCoverage, Object: e.Commit.String(), Message: "a commit without a seal of its own is not enough on " + ref, Hint: fmt.Sprintf(wants, trust.Blob, e.Commit.Short())})
	} else if protected && !w.Policy.CoveredBy(coverage) {
		findings = append(findings, Finding{
			Code: PolicyCoverage, Object: e.Commit.String(), Message: "sealed changes cover all of it, applied to what others had changed, and such are not enough on " + ref, Hint: fmt.Sprintf(wants, trust.Patch, e.Commit.Short()),
		})
	}
	if protected {
		findings = append(findings, e.unproven(w, ref, now)...)
	}
	r.Mode = provenance.Witness
	within, shares := d.within(), d.portions(took)
	unattended := false
	var makers []string // whose reviews count for nothing
	for i := range d.Sources {
		if took[i] == nil {
			continue
		}
		s := &d.Sources[i]
		var brought []pluginapi.Change
		var paths []string
		asked := map[string]int{} // path → where it is in brought
		made, parts := s.Origins.made(w), map[string][]Part{}
		before := byPath(slices.Clone(made))
		ported, moved := false, true
		for _, x := range shares[i] {
			if n, twice := asked[string(x.of.Change.Path)]; !twice {
				asked[string(x.of.Change.Path)] = len(brought)
				brought = append(brought, x.of.Change)
			} else if x.of.Change.Size > brought[n].Size { // it was changed where it stood, and is gone from there
				brought[n] = x.of.Change
			}
			ported, moved = ported || x.change.Ported, moved && x.moved
			path := string(x.change.Change.Path)
			if !x.own || len(paths) > 0 && paths[len(paths)-1] == path {
				continue
			}
			if list := s.parts(w, x.change.Brought, i); list != nil {
				parts[path] = list
			}
			paths = append(paths, path)
			if m := before[string(x.of.Change.Path)]; m != nil {
				there := *m
				if there.Path = path; there.Path != m.Path {
					made = append(made, there)
				}
			}
		}
		mode, wrong := s.mayBring(w, e, brought, now) // all of it at once, as when it was made
		findings = append(findings, wrong...)
		if mode != provenance.Witness {
			r.Mode = mode
		}
		who, _ := w.Principal(s.KeyID)
		c := Cover{Commit: s.Commit, Seal: string(s.ID), Principal: who, Mode: mode, Time: s.Time, Here: s.Here, Took: len(took[i]), Paths: paths, Parts: parts, Joined: len(paths) == 0, Ported: ported}
		c.Moved = c.Joined && moved
		makers = append(makers, s.answering(w)...)
		c.Made = made
		c.Rewritten = len(c.Made) > 0 && !s.Origins.Reseal
		for _, x := range s.All {
			if k := key(x.Path, x.From, x.To); !took[i][k] && !within[i][k] && !x.Moot {
				c.Left = append(c.Left, string(x.Path))
			}
		}
		if len(c.Left) > 0 {
			r.Warnings = append(r.Warnings, Finding{Code: DerivedPartial, Object: s.Commit.String(), Message: "only a part of " + s.Commit.Short() + " was taken; left out: " + someOf(c.Left)})
			if protected && !w.Policy.CoveredBy(trust.Partial) {
				findings = append(findings, Finding{Code: PolicyCoverage, Object: s.Commit.String(), Message: "a part of a sealed commit is not enough on " + ref, Hint: fmt.Sprintf(wants, trust.Partial, e.Commit.Short())})
			}
		}
		r.Covers = append(r.Covers, c)
		unattended = unattended || !s.Attended && who.Kind == string(trust.Human)
	}
	for i := range d.Changes { // and whoever else sealed it: a reviewer is none of those
		for c := &d.Changes[i]; c != nil; c = c.Or {
			c.walk(func(of *DerivedChange, x Edge) {
				if may(x.Source, of) {
					makers = append(makers, d.Sources[x.Source].answering(w)...)
				}
			})
		}
	}
	findings = append(findings, e.reviewed(w, makers, e.Touched, now)...)
	slices.SortFunc(r.Covers, func(a, b Cover) int { return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Seal, b.Seal)) })
	if len(findings) == 0 && (!d.Cut.IsZero() || d.Lost != "") && len(d.Changes) > 0 {
		r.Mode, r.Covers, r.Verdict = "", nil, Unsealed
		f := Finding{
			Code: DerivedHistory, Object: d.Cut.String(), Message: "sealed changes would cover it, if none was used before; the history of this clone ends at " + d.Cut.Short(), Hint: "git fetch --unshallow",
		}
		if d.Cut.IsZero() {
			f.Object, f.Message, f.Hint = d.Lost, "sealed changes would cover it, and ledger "+d.Lost+" lacks entries that could tell otherwise", "covenant doctor"
		}
		r.Findings = append(r.Findings, f)
		return true
	}
	if len(findings) > 0 {
		r.Mode = ""
		r.Findings = append(slices.Clone(r.Findings), findings...)
		if r.Verdict == Unsealed && (len(uncovered) > 0 || len(d.Changes) == 0) {
			r.Findings = append([]Finding{e.nobodys(w, ", and sealed changes do not cover all of it")}, r.Findings...)
		}
		return true
	}
	for _, f := range r.Findings { // of seals that do not hold: whoever puts one there can't take the verdict away
		r.Warnings = append(r.Warnings, Finding{Code: SealRefused, Object: f.Object, Message: "a seal of it was refused: " + f.Message})
	}
	made, most := map[string]int{}, 0 // who made most of it speaks for it
	for i := range r.Covers {
		c := &r.Covers[i]
		if c.Joined {
			continue
		}
		if made[c.Principal.Name] += len(c.Paths); made[c.Principal.Name] > most {
			most, r.Principal = made[c.Principal.Name], &c.Principal
		}
	}
	r.Verdict, r.Coverage, r.Findings, r.SealID, r.Unattended = Derived, coverage, nil, "", unattended
	return true
}

// A portion is a change of which a source brought some: of what stands at the path of the commit's, or stood elsewhere.
type portion struct {
	change, of *DerivedChange // the commit's, and what the source changed: the same, but behind a move
	own        bool           // not all of that stands before what others brought
	moved      bool           // all of it is of a file that was moved
}

// portions are what of each source's is in the commit, in the order of changes.
func (d *Derivation) portions(took []map[string]bool) [][]portion {
	out := make([][]portion, len(d.Sources))
	type listed struct {
		source, change int
		path           string
	}
	places := map[listed]int{}
	for j := range d.Changes {
		d.Changes[j].walk(func(of *DerivedChange, x Edge) {
			if took[x.Source] == nil || !took[x.Source][key(of.Change.Path, x.From, x.To)] {
				return
			}
			list, here := out[x.Source], listed{x.Source, j, string(of.Change.Path)}
			at, known := places[here]
			if !known {
				at = len(list)
				places[here] = at
				if string(of.Change.Path) == string(d.Changes[j].Change.Path) {
					of = &d.Changes[j]
				}
				list = append(list, portion{change: &d.Changes[j], of: of, moved: true})
			}
			list[at].own = list[at].own || x.Behind == nil || x.Chosen
			list[at].moved = list[at].moved && x.Moved
			out[x.Source] = list
		})
	}
	return out
}

func key(path []byte, from, to Node) string {
	return from.Mode + from.ID.String() + " " + to.Mode + to.ID.String() + " " + string(path)
}

// A step is an edge on the way of a change, or on one behind that, and the change it is of.
type step struct {
	Edge
	of *DerivedChange
}

// way returns the shortest way from the old side to the new one over allowed edges, and after it the ways behind it; nil when there is none.
func (c *DerivedChange) way(allowed func(source int, of *DerivedChange) bool) []step {
	way, _ := c.wayOf(c.begin(), c.From, c.To, allowed)
	return way
}

// begin tells which edges begin at a node.
func (c *DerivedChange) begin() map[Node][]int {
	at := map[Node][]int{}
	for i, e := range c.Edges {
		at[e.From] = append(at[e.From], i)
	}
	return at
}

// wayOf is way, between any two nodes. work is how many edges were looked at.
func (c *DerivedChange) wayOf(at map[Node][]int, from, to Node, allowed func(source int, of *DerivedChange) bool) (way []step, work int) {
	came := map[Node]int{from: -1} // node → the edge that led there
	behind := func(e Edge) []step {
		way, more := e.Behind.wayOf(e.Behind.begin(), e.Behind.From, e.Behind.To, allowed)
		work += more + len(e.Behind.Edges)
		return way
	}
	for todo := []Node{from}; len(todo) > 0; todo = todo[1:] {
		n := todo[0]
		if n == (Node{}) && n != from {
			continue
		}
		for _, i := range at[n] {
			e := c.Edges[i]
			work++
			if _, seen := came[e.To]; seen || !allowed(e.Source, c) || e.Behind != nil && behind(e) == nil {
				continue
			}
			came[e.To] = i
			if e.To != to {
				todo = append(todo, e.To)
				continue
			}
			for i := i; i >= 0; i = came[c.Edges[i].From] {
				way = append(way, step{c.Edges[i], c})
			}
			slices.Reverse(way)
			for _, e := range way {
				if e.Behind != nil {
					way = append(way, behind(e.Edge)...)
				}
			}
			return way, work
		}
	}
	return nil, work
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
	brought := s.ExamSeal
	for _, b := range e.Derived.Built { // it was there when somebody else built on it
		if by, ok := w.Principal(b.KeyID); ok && by.Name != who.Name && by.Accountable == by.Name {
			brought.Seen = b
			break
		}
	}
	if d := brought.ask(w, &there, s.Mode, now); !d.Allowed {
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

// someLines names a few of many stretches of lines.
func someLines(list []provenance.Lines) string {
	const few = 5
	var out []string
	for _, l := range list[:min(few, len(list))] {
		text := fmt.Sprint(l.Start)
		if l.End > l.Start {
			text += fmt.Sprintf("-%d", l.End)
		}
		out = append(out, text)
	}
	s := strings.Join(out, ", ")
	if len(list) > few {
		return fmt.Sprintf("lines %s and %d more places", s, len(list)-few)
	}
	if len(list) == 1 && list[0].Start == list[0].End {
		return "line " + s
	}
	return "lines " + s
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
