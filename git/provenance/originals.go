package provenance

import (
	"cmp"
	"maps"
	"slices"

	"github.com/open-covenant/covenant-git/envelope"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
)

// Limits of what is looked at for one commit that was rewritten.
const (
	maxOriginals = 1000 // commits that it came to be out of
	maxSides     = 16   // contents of a path that their changes begin with, and that they end with
)

// originals finds whose changes rewritten commits have. What a statement says became what lends nothing: the changes that the seals of the
// old commits list must lead to what the new one has, as they are or applied to what stood there.
type originals struct {
	f     *Facts
	w     *verdict.World
	ports *ports
	exams map[*verdict.Candidate]*verdict.ExamSeal  // nil: it tells nothing
	turns map[*verdict.Candidate][]*verdict.Origins // of old commits that their signers had rewritten in turn: against each parent
	open  map[rewriter]bool                         // whose work is looked at just now
	cuts  int                                       // how often less was looked at for that, or for lack of steps
	seen  sights
	s     *git.Session
}

// rewriter is who sealed a commit, and said what it came to be out of.
type rewriter struct {
	commit oid.ID
	keyID  string
}

// share is a change that an old commit made, or that those made whom it came to be out of.
type share struct {
	from, to verdict.Node
	sources  []int
	signer   int                 // of them, where was is known
	was      *verdict.OriginPath // whose its lines were before the signer rewrote that; nil where it is not known line by line
}

func (f *Facts) originals(s *git.Session, w *verdict.World) *originals {
	return &originals{
		f: f, w: w, exams: map[*verdict.Candidate]*verdict.ExamSeal{}, turns: map[*verdict.Candidate][]*verdict.Origins{}, open: map[rewriter]bool{}, seen: sights{}, s: s,
		ports: newPorts(s, portLimits{}),
	}
}

// missing reports whether content was asked for since the last time that is not here, and may come.
func (o *originals) missing() bool {
	was := o.ports.missing
	o.ports.missing = false
	return was
}

// of finds whose changes a commit has that signers of it said to have made out of others, for each of them: which seal counts is for who judges.
func (o *originals) of(c *verdict.Commit, e *verdict.Exam) {
	if c.DiffErr != nil || len(c.Diffs) == 0 {
		return
	}
	for i := range e.Seals {
		if x := &e.Seals[i]; x.Opened && len(x.Findings) == 0 {
			o.ports.again() // what one says takes no other's time
			x.Origins = o.whose(c.ID, x.KeyID, c.Diffs[0])
		}
	}
}

// sources finds the same for the sealed commits that a derived one is made of: who rewrote them before somebody squashed that has nobody's lines.
func (o *originals) sources(d *verdict.Derivation, diff []prov.Raw) {
	if d == nil {
		return
	}
	o.ports.again()
	for i := range d.Sources {
		s := &d.Sources[i]
		changes := make([]prov.Raw, 0, len(s.All))
		for _, e := range s.All {
			changes = append(changes, prov.Raw{Path: string(e.Path), OldMode: e.From.Mode, Old: e.From.ID, NewMode: e.To.Mode, New: e.To.ID})
		}
		s.Origins = o.whose(s.Commit, s.KeyID, changes)
	}
	o.brought(d, diff)
}

// whose returns whose changes a commit has that a key sealed, and whose holder said to have made it out of others; nil where they are its own.
func (o *originals) whose(id oid.ID, by string, changes []prov.Raw) *verdict.Origins {
	said := slices.DeleteFunc(slices.Clone(o.f.Rewritten[id]), func(x Origin) bool { return x.By != by })
	if len(said) == 0 {
		return nil
	}
	me := rewriter{id, by}
	o.open[me] = true
	defer delete(o.open, me)
	vouched := slices.ContainsFunc(o.f.SealsOf(id), func(x verdict.Candidate) bool {
		return x.KeyID == by && x.Seal != nil && x.Seal.Predicate.Mode == prov.Vouching
	})
	out := &verdict.Origins{By: by, Reseal: vouched && !slices.ContainsFunc(said, func(x Origin) bool { return x.Command != prov.Reseal })}
	old, told := o.f.outOf(id, by, o.ports.take)
	byPath := o.edges(changes, o.standsOn(id, by), old, told, out)
	others := func(s int) bool { return out.Sources[s].KeyID != by }
	made := make([]*verdict.OriginPath, len(changes))
	for i := range changes { // what is theirs as it is first: no other path takes the time for that
		made[i] = o.whole(&changes[i], byPath[changes[i].Path], out.Sources)
	}
	for i := range changes {
		if made[i] == nil {
			made[i] = o.made(&changes[i], byPath[changes[i].Path], out.Sources)
		}
		if p := made[i]; p != nil && slices.ContainsFunc(p.Sources, others) {
			out.Paths = append(out.Paths, *p)
		}
	}
	if len(out.Paths) == 0 {
		return nil
	}
	return out
}

// outOf returns the commits that one came to be out of, by the words of who sealed it, and of who sealed those; and who said so first of each.
func (f *Facts) outOf(id oid.ID, by string, take func(int) bool) (out []oid.ID, told map[oid.ID]Origin) {
	seen := map[oid.ID]bool{id: true}
	told = map[oid.ID]Origin{}
	for todo := []oid.ID{id}; len(todo) > 0; todo = todo[1:] {
		at := todo[0]
		sealed := map[string]bool{by: at == id} // whose word counts
		if at != id {
			if !take(len(f.seals[at])) {
				return out, told
			}
			seals := f.SealsOf(at)
			for i := range seals {
				sealed[seals[i].KeyID] = sealed[seals[i].KeyID] || seals[i].Seal != nil
			}
		}
		for _, x := range f.Rewritten[at] {
			if len(out) == maxOriginals || !take(1) {
				return out, told
			}
			if seen[x.Commit] || !sealed[x.By] {
				continue
			}
			seen[x.Commit], told[x.Commit] = true, x
			out, todo = append(out, x.Commit), append(todo, x.Commit)
		}
	}
	return out, told
}

// ofOthers returns, of a seal by an automation that answers for itself, who sealed what that said to have made the commit of and had seen: nobody else answers for it.
func (f *Facts) ofOthers(id oid.ID, keyID string) (keys []string) {
	if p, ok := f.Authority.ByKey(keyID); !ok || p.Kind != string(trust.Automation) || p.Accountable != p.Name {
		return nil
	}
	seen := sights{}
	all := func(int) bool { return true }
	olds, told := f.outOf(id, keyID, all)
	for _, old := range olds {
		by := told[old]
		seals := f.SealsOf(old)
		for i := range seals {
			if x := &seals[i]; x.Err == nil && x.Seal != nil && x.KeyID != keyID && !slices.Contains(keys, x.KeyID) && f.told(&by, x, seen, all) {
				keys = append(keys, x.KeyID)
			}
		}
	}
	return keys
}

// edges returns, by path, what seals of commits changed where the commit changes something, with the sources that it adds. Where who rewrote an
// old commit sealed it, its changes are those of whom it was made of, too; the seals of who rewrote the commit itself tell nothing. Nor does one
// that whoever rewrote it had not seen then, or that says other parents or another tree than its commit has, where that is here, or that came
// after another's. Of seals of which that is not known the changes are all their signers'.
func (o *originals) edges(changes []prov.Raw, on oid.ID, old []oid.ID, told map[oid.ID]Origin, out *verdict.Origins) map[string][]share {
	wanted := map[string]bool{}
	for i := range changes {
		wanted[changes[i].Path] = true
	}
	slices.SortFunc(old, oid.ID.Compare)
	moves := o.moves(changes, on, old, told, out.By, wanted)
	edges := map[string][]share{}
	index := map[envelope.Digest]int{} // of the sources that old commits were made of
	for _, id := range old {
		if !o.ports.take(len(o.f.Rewritten[id]) + len(o.f.seals[id])) {
			break
		}
		rewrote, begin := map[string]bool{}, map[string]int{} // who did; by path, where what this commit changed begins
		for _, x := range o.f.Rewritten[id] {
			rewrote[x.By] = true
		}
		by := told[id]
		firsts := o.firsts(id, &by)
		seals := o.f.SealsOf(id)
		for i := range seals {
			x := &seals[i]
			again := rewrote[x.KeyID]
			if again && x.KeyID == out.By {
				continue
			}
			if again && o.open[rewriter{id, x.KeyID}] {
				o.cuts++
				continue
			}
			e := o.counts(x, &by)
			if e == nil || o.late(x, firsts) {
				continue
			}
			var before []*verdict.Origins
			if again {
				before = o.before(x)
			}
			at := len(out.Sources)
			out.Sources = append(out.Sources, verdict.OriginSource{Commit: id, ID: x.ID, KeyID: x.KeyID, Claimed: e.Claimed})
			for parent, list := range x.Seal.Predicate.Changes {
				if !o.ports.take(len(list) + 1) {
					break
				}
				var made map[string]*verdict.OriginPath
				if again && before[parent] != nil {
					made = o.add(out, before[parent], wanted, index)
				}
				for j := range list {
					r := verdict.RawOf(&list[j])
					if !wanted[r.Path] {
						continue
					}
					edge := share{from: verdict.Node{Mode: r.OldMode, ID: r.Old}, to: verdict.Node{Mode: r.NewMode, ID: r.New}, sources: []int{at}}
					if was := made[r.Path]; was != nil {
						edge.sources, edge.signer, edge.was = slices.Clone(was.Sources), at, was
						if was.Part { // who rewrote it changed something there, too
							edge.sources = append(edge.sources, at)
						}
					}
					if _, begun := begin[r.Path]; !begun {
						begin[r.Path] = len(edges[r.Path])
					}
					its := edges[r.Path][begin[r.Path]:]
					if same := slices.IndexFunc(its, func(x share) bool { return x.from == edge.from && x.to == edge.to }); same >= 0 {
						its[same].sources, its[same].was = slices.Concat(its[same].sources, edge.sources), nil
						continue
					}
					edges[r.Path] = append(edges[r.Path], edge)
				}
			}
		}
	}
	o.carry(edges, moves, out.Sources)
	for _, list := range edges { // what the rewriter sealed on the way to it, and others before, is theirs
		slices.SortStableFunc(list, func(a, b share) int {
			own := func(e share) int {
				if out.Sources[e.sources[0]].KeyID == out.By {
					return 1
				}
				return 0
			}
			return own(a) - own(b)
		})
	}
	return edges
}

// counts looks at a seal without its commit; nil where anything is wrong with it, or who said that the commit was rewritten had not seen it then.
func (o *originals) counts(x *verdict.Candidate, by *Origin) *verdict.ExamSeal {
	if x.Err != nil || x.Seal == nil || !o.f.told(by, x, o.seen, o.ports.take) {
		return nil
	}
	return o.exam(x)
}

// firsts returns of each key that sealed a commit one seal that counts, the first in its ledger.
func (o *originals) firsts(id oid.ID, by *Origin) (out []*verdict.Candidate) {
	known := map[string]bool{}
	seals := o.f.SealsOf(id)
	for i := range seals {
		if x := &seals[i]; !known[x.KeyID] && o.counts(x, by) != nil {
			known[x.KeyID] = true
			out = append(out, x)
		}
	}
	return out
}

// late reports whether somebody else had sealed a commit before a seal of it was made: who seals again what somebody had sealed made nothing of it.
func (o *originals) late(x *verdict.Candidate, firsts []*verdict.Candidate) bool {
	saw := func(a, b *verdict.Candidate) bool {
		return o.f.told(&Origin{Ledger: a.Ledger, Index: a.Index}, b, o.seen, o.ports.take)
	}
	return slices.ContainsFunc(firsts, func(y *verdict.Candidate) bool {
		if y.KeyID == x.KeyID {
			return false
		}
		one, other := saw(x, y), saw(y, x)
		return one && !other || one == other && o.w.SeenBefore(o.exam(y), o.exam(x))
	})
}

// before finds whose the changes of a commit are, against each parent, that the signer of a seal had rewritten; nil are the signer's. What was cut short is
// looked for anew the next time: there may be more then.
func (o *originals) before(x *verdict.Candidate) []*verdict.Origins {
	list, known := o.turns[x]
	if known {
		return list
	}
	was := o.cuts
	for _, changes := range x.Seal.Predicate.Changes {
		var found *verdict.Origins
		if o.ports.take(len(changes) + 1) {
			raws := make([]prov.Raw, len(changes))
			for i := range changes {
				raws[i] = verdict.RawOf(&changes[i])
			}
			found = o.whose(x.Seal.Commit(), x.KeyID, raws)
		}
		list = append(list, found)
	}
	if o.cuts == was && o.ports.take(0) {
		o.turns[x] = list
	}
	return list
}

// add takes in the sources that an old commit was made of where something is wanted, each once, and returns by path whose that was.
func (o *originals) add(out, old *verdict.Origins, wanted map[string]bool, index map[envelope.Digest]int) map[string]*verdict.OriginPath {
	made := map[string]*verdict.OriginPath{}
	for i := range old.Paths {
		p := &old.Paths[i]
		if !wanted[string(p.Path)] {
			continue
		}
		if !o.ports.take(len(p.Sources) + 1) {
			break
		}
		taken := func(sources []int) (of []int) {
			for _, s := range sources {
				id := old.Sources[s].ID
				at, known := index[id]
				if !known {
					at = len(out.Sources)
					index[id] = at
					out.Sources = append(out.Sources, old.Sources[s])
				}
				of = append(of, at)
			}
			return of
		}
		was := &verdict.OriginPath{Path: p.Path, Part: p.Part, Own: p.Own, Sources: taken(p.Sources)}
		for j := range p.Brought {
			was.Brought = append(was.Brought, verdict.Brought{Sources: taken(p.Brought[j].Sources), Lines: p.Brought[j].Lines})
		}
		made[string(p.Path)] = was
	}
	return made
}

// lies reports whether a seal says another tree or other parents than its commit has, where that is in this clone.
func (o *originals) lies(x *verdict.Candidate) bool {
	c, err := o.s.Commit(x.Seal.Commit().String())
	return err == nil && (c.Tree != x.Seal.Tree() || !slices.Equal(c.Parents, x.Seal.Predicate.Parents))
}

// exam looks at a seal without its commit; nil where anything is wrong with it.
func (o *originals) exam(x *verdict.Candidate) *verdict.ExamSeal {
	e, known := o.exams[x]
	if !known {
		if found := verdict.ExamineAlone(o.w, x); len(found.Findings) == 0 && !o.lies(x) {
			e = &found
		}
		o.exams[x] = e
	}
	return e
}

// startsAt tells which edges begin at a node.
func startsAt(edges []share) map[verdict.Node][]int {
	at := map[verdict.Node][]int{}
	for i, e := range edges {
		at[e.from] = append(at[e.from], i)
	}
	return at
}

// whole returns whose edges lead all the way from what stood at a path to what a change put there, nil where none do.
func (o *originals) whole(r *prov.Raw, edges []share, all []verdict.OriginSource) *verdict.OriginPath {
	if len(edges) == 0 {
		return nil
	}
	from, to := verdict.Node{Mode: r.OldMode, ID: r.Old}, verdict.Node{Mode: r.NewMode, ID: r.New}
	at := startsAt(edges)
	if sources := o.waysFrom(from, edges, at)[to]; sources != nil {
		p := &verdict.OriginPath{Path: []byte(r.Path), Sources: sources}
		if several(all, sources) {
			p.Brought = o.linesOf(from, to, to, edges, at)
		}
		return p
	}
	return nil
}

// made returns whose edges lead from what stood at a path to what a change put there, applied to other content, all the way or to something nearer to it; nil where they
// brought nothing of it.
func (o *originals) made(r *prov.Raw, edges []share, all []verdict.OriginSource) *verdict.OriginPath {
	if len(edges) == 0 {
		return nil
	}
	from, to := verdict.Node{Mode: r.OldMode, ID: r.Old}, verdict.Node{Mode: r.NewMode, ID: r.New}
	out := &verdict.OriginPath{Path: []byte(r.Path)}
	at := startsAt(edges)
	if to.ID.IsZero() || !text(from) || !text(to) {
		return nil
	}
	least := o.ports.delta(from.ID, to.ID)
	if least == nil {
		return nil
	}
	starts := map[verdict.Node]bool{}
	for _, e := range edges {
		starts[e.from] = true
	}
	var applied, alike [2]verdict.Node
	var came *prov.Delta // what is looked at for lines that are alike
found:
	for _, start := range some(starts) {
		if !text(start) || start.ID.IsZero() && !from.ID.IsZero() {
			continue
		}
		ways := o.waysFrom(start, edges, at)
		for _, end := range some(ways) {
			if end.ID.IsZero() || !text(end) {
				continue
			}
			rest := o.rest(r, start, end)
			if rest == nil || rest.Edits() >= least.Edits() {
				continue
			}
			out.Sources, out.Part, out.Own, least = ways[end], rest.Edits() > 0 || moded(r, end), rest.Came(), rest
			if applied = [2]verdict.Node{start, end}; !out.Part {
				break found
			}
		}
	}
	whole := out.Sources != nil
	if out.Sources == nil || out.Part && len(out.Own) > 0 {
		alike, came = o.shared(r, least, edges, at, starts, out)
	}
	if out.Sources == nil || !several(all, out.Sources) {
		if out.Sources == nil {
			return nil
		}
		return out
	}
	if whole {
		out.Brought = o.linesOf(applied[0], applied[1], to, edges, at)
	}
	if came != nil {
		out.Brought = append(out.Brought, o.textsOf(alike[0], alike[1], came, edges, at)...)
	}
	return out
}

// moded reports whether a change brings a mode that a way does not end with.
func moded(r *prov.Raw, end verdict.Node) bool {
	return r.NewMode != r.OldMode && r.NewMode != end.Mode
}

// shared finds whose lines came where no way can be applied, or none further, as after a conflict: those of a way that brought most of them, too. It returns that way, and what came,
// where it tells of each line whose it is.
func (o *originals) shared(r *prov.Raw, came *prov.Delta, edges []share, at map[verdict.Node][]int, starts map[verdict.Node]bool, out *verdict.OriginPath) (way [2]verdict.Node, of *prov.Delta) {
	var by []int
	var rest []prov.Lines
	most, chosen := 0, false
	for _, start := range some(starts) {
		ways := o.waysFrom(start, edges, at)
		for _, end := range some(ways) {
			if end.ID.IsZero() || !verdict.IsText(end.Mode) || !start.ID.IsZero() && !verdict.IsText(start.Mode) {
				continue
			}
			step := o.ports.delta(start.ID, end.ID)
			if step == nil || !o.ports.take(step.Work()+came.Work()) {
				continue
			}
			if own, n, moved := came.Brought(step); n > most {
				way = [2]verdict.Node{start, end}
				by, rest, most, chosen = ways[end], own, n, moved || came.Drops(step) || moded(r, end) || o.otherwise(r, start, end)
			}
		}
	}
	if most == 0 {
		return way, nil
	}
	if out.Part, out.Own = len(rest) > 0 || chosen, rest; !chosen {
		of = came
	}
	for _, source := range by {
		if !slices.Contains(out.Sources, source) {
			out.Sources = append(out.Sources, source)
		}
	}
	return way, of
}

// otherwise reports whether a way can be applied to what stood at a path, and gives something else than a change put there: nothing but who made that change has put lines elsewhere, or left them out.
func (o *originals) otherwise(r *prov.Raw, start, end verdict.Node) bool {
	rest := o.rest(r, start, end)
	return rest != nil && rest.Edits() > 0
}

// some are as many of the nodes as are looked at, always the same.
func some[T any](nodes map[verdict.Node]T) []verdict.Node {
	all := slices.SortedFunc(maps.Keys(nodes), func(a, b verdict.Node) int { return cmp.Or(a.ID.Compare(b.ID), cmp.Compare(a.Mode, b.Mode)) })
	return all[:min(len(all), maxSides)]
}

// waysFrom returns the nodes to which edges lead from one, each with the sources of the edges on the shortest way, each once; at tells which edges begin at a node. "Nothing" may begin or
// end a way; none passes it. Where there are no steps left it returns less.
func (o *originals) waysFrom(start verdict.Node, edges []share, at map[verdict.Node][]int) map[verdict.Node][]int {
	out := map[verdict.Node][]int{}
	for todo := []verdict.Node{start}; len(todo) > 0; todo = todo[1:] {
		n := todo[0]
		if n == (verdict.Node{}) && n != start {
			continue
		}
		if !o.ports.take(len(at[n]) + 1) {
			break
		}
		for _, i := range at[n] {
			e := edges[i]
			if _, seen := out[e.to]; seen || e.to == start {
				continue
			}
			if !o.ports.take(len(out[n]) + len(e.sources)) {
				return out
			}
			out[e.to], todo = with(out[n], e.sources), append(todo, e.to)
		}
	}
	return out
}

// rest compares what a way, applied to what stood at a path, gives with what a change put there; nil where that can't be done.
func (o *originals) rest(r *prov.Raw, start, end verdict.Node) *prov.Delta {
	p := o.ports
	if start.ID == r.Old {
		return p.delta(end.ID, r.New)
	}
	apart := p.delta(start.ID, r.Old)
	if apart == nil {
		return nil
	}
	now, ok := p.text(r.New)
	if !ok {
		return nil
	}
	way := p.delta(start.ID, end.ID)
	if way == nil { // where it ends may be gone: it is what the change, applied to where it begins, gives, or is not known
		back, change := p.delta(r.Old, start.ID), p.delta(r.Old, r.New)
		if back == nil || change == nil {
			return nil
		}
		sealed, ok := prov.Merge(back, change)
		if !ok || r.New.Format().Hash("blob", sealed) != end.ID {
			return nil
		}
		begin, _ := p.text(start.ID)
		if way = p.compare(begin, sealed); way == nil {
			return nil
		}
	}
	given, ok := prov.Merge(apart, way)
	if !ok {
		return nil
	}
	return p.compare(given, now)
}

// with returns numbers with those of others that are not among them.
func with(list, others []int) []int {
	out := slices.Clone(list)
	had := make(map[int]bool, len(list)+len(others))
	for _, n := range list {
		had[n] = true
	}
	for _, n := range others {
		if !had[n] {
			had[n], out = true, append(out, n)
		}
	}
	return out
}
