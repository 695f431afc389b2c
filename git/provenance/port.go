package provenance

import (
	"bytes"
	"cmp"
	"errors"
	"iter"
	"slices"

	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
)

// Limits of what is looked at for changes that were applied to other content. What it takes is apart from what all else takes: where it is used
// up nothing more is found to be applied, and nothing else is lost.
const (
	portSteps      = 20_000_000 // of one run, in lines or so
	portStepsOfOne = 4_000_000  // of one commit
	tooMuch        = 200_000    // steps that it takes to find that there is too much to compare
	maxStarts      = 64         // contents that one may have been made on
	maxFound       = 16         // of those, that were found
	maxEnds        = 8          // sealed contents that are compared to tell which lines nobody sealed
	maxTexts       = 64 << 20   // bytes that are kept: of what was read, of what was found again, and of what was compared, each
	maxDeltas      = 1024       // comparisons that are kept
)

// portLimits are those of them that tests make small; zero stands for the constant.
type portLimits struct {
	of    int // portStepsOfOne
	texts int // maxTexts

	taken func(steps int) // for tests: how much of the history and of seals was looked at in a run
}

func (l portLimits) orDefault() portLimits {
	l.of, l.texts = cmp.Or(l.of, portStepsOfOne), cmp.Or(l.texts, maxTexts)
	return l
}

// ports is what is known of contents, whichever commit is looked at.
type ports struct {
	d         *deriver
	s         *git.Session
	texts     map[oid.ID][]byte
	textBytes int
	deltas    map[[2]oid.ID]*prov.Delta
	compared  int                             // bytes that those keep alive, at most
	started   map[string][]verdict.Node       // by path
	found     map[string][]verdict.Node       // whose content was found again, likewise; the last first
	contents  map[oid.ID][]byte               // of those
	foundSize int                             // bytes of those contents
	ends      map[string]map[int]verdict.Node // where the way ends that a commit without a seal applied, by path and place
	unsure    bool                            // whether a merge joined its sides could not be told, and what it takes may come
	missing   bool                            // some content was asked for and is not here: it may come
	absent    map[oid.ID]bool                 // such content
	steps, of int                             // that are left; and for one commit
	limits    portLimits
}

func newPorts(s *git.Session, l portLimits) *ports {
	l = l.orDefault()
	return &ports{
		s: s, texts: map[oid.ID][]byte{}, absent: map[oid.ID]bool{}, deltas: map[[2]oid.ID]*prov.Delta{}, started: map[string][]verdict.Node{},
		found: map[string][]verdict.Node{}, contents: map[oid.ID][]byte{}, ends: map[string]map[int]verdict.Node{}, steps: portSteps, of: l.of, limits: l,
	}
}

// again gives steps for another commit: what was looked at for the one before is not held against it.
func (p *ports) again() { p.of = p.limits.of }

// porting returns what is known of contents. Whoever looks at another commit gives it steps of its own.
func (d *deriver) porting(s *git.Session) *ports {
	if d.ports == nil {
		d.ports = newPorts(s, d.limits)
		d.ports.d = d
	}
	return d.ports
}

// take counts steps; false when there are none left.
func (p *ports) take(n int) bool {
	p.steps -= n
	p.of -= n
	return p.steps > 0 && p.of > 0
}

// porter finds, for one commit, the sealed changes that were applied to other content than they were made on: as when a branch is
// squashed or rebased onto a main branch that has changed the same file.
type porter struct {
	*ports
	joined map[string]verdict.Move // by a merge
	counts func(place int) bool
	usable func(string, verdict.Offer) bool
}

// ported yields the ways of sealed changes that, applied to what stood at a path, give what a change put there.
//
// Where a way ends need not be here: what the change did, applied to where the way begins, must give just the object that a seal names,
// and then the way, applied to what stood there, just what stands there now.
func (p *porter) ported(r *prov.Raw) iter.Seq[verdict.Port] {
	return func(yield func(verdict.Port) bool) {
		if !verdict.IsText(r.OldMode) || !verdict.IsText(r.NewMode) {
			return
		}
		change := p.delta(r.Old, r.New)
		if change == nil {
			return
		}
		starts, fresh := p.starts(r.Path), p.fresh(r, change)
		if way, ok := p.joined[r.Path]; ok {
			yield(verdict.Port{Move: way, Usable: fresh})
			return
		}
		for _, from := range starts {
			if from.Mode != r.OldMode || from.ID == r.Old {
				continue
			}
			to, ok := p.applied(r, from)
			if ok && !yield(verdict.Port{Move: verdict.Move{From: from, To: to}, Usable: fresh}) {
				return
			}
		}
	}
}

// applied returns where a sealed way ends that begins at a node and, applied to what stood at a path, gives what a change put there.
func (p *ports) applied(r *prov.Raw, from verdict.Node) (verdict.Node, bool) {
	apart, change := p.delta(r.Old, from.ID), p.delta(r.Old, r.New)
	if apart == nil || change == nil {
		return verdict.Node{}, false
	}
	end, ok := prov.Merge(apart, change)
	if !ok || !p.take(len(end)/64) {
		return verdict.Node{}, false
	}
	to := verdict.Node{Mode: r.NewMode, ID: r.New.Format().Hash("blob", end)}
	start, _ := p.text(from.ID)
	old, _ := p.text(r.Old)
	if !p.d.offers.Leads(r.Path, to) || !p.joinsTo(start, old, end, r.New) {
		return verdict.Node{}, false
	}
	if _, here := p.text(to.ID); !here && p.foundSize+len(end) <= p.limits.texts { // another commit may go on from it
		p.foundSize += len(end)
		p.contents[to.ID] = end
		p.found[r.Path] = append([]verdict.Node{to}, p.found[r.Path]...)
	}
	return to, true
}

// starts are the contents that a change may have been made on: those that were found again, and those here, that the history had last, first.
func (p *ports) starts(path string) []verdict.Node {
	here, known := p.started[path]
	if !known {
		here = p.begin(path)
		p.started[path] = here
		p.rebuild(path, here)
	}
	out := slices.Clone(p.found[path][:min(len(p.found[path]), maxFound)])
	return append(out, here[:min(len(here), maxStarts)]...)
}

// begin finds the contents on which sealed changes of a path begin, of who may bring it.
func (p *ports) begin(path string) []verdict.Node {
	last := map[verdict.Node]int{}
	if past := p.d.h.paths[path]; past != nil {
		for _, k := range past.moved {
			for _, m := range past.moves[k] {
				last[m.From], last[m.To] = k+1, k+1
			}
		}
	}
	all := slices.SortedFunc(p.d.offers.Starts(path, func(c *verdict.Candidate) bool { return p.d.may(c, path) }), func(a, b verdict.Node) int {
		return cmp.Or(cmp.Compare(last[b], last[a]), a.ID.Compare(b.ID))
	})
	return slices.DeleteFunc(all[:min(len(all), 4*maxStarts)], func(n verdict.Node) bool {
		if n.ID.IsZero() || !verdict.IsText(n.Mode) {
			return true
		}
		_, ok := p.text(n.ID)
		return !ok
	})
}

// lacks reports whether content is not here without which it can't be told whether sealed changes were applied to give a change: the content
// on either side of it, or one that a sealed change begins with and the history had, or may have had before a shallow clone ends in it.
func (p *ports) lacks(r *prov.Raw) bool {
	if !p.d.offers.Modifies(r) {
		return false
	}
	gone := func(id oid.ID) bool {
		_, here := p.text(id)
		return !here && p.absent[id]
	}
	if gone(r.Old) || gone(r.New) {
		return true
	}
	stood := map[verdict.Node]bool{}
	if past := p.d.h.paths[r.Path]; past != nil {
		for _, k := range past.moved {
			for _, m := range past.moves[k] {
				stood[m.From], stood[m.To] = true, true
			}
		}
	}
	all := slices.SortedFunc(p.d.offers.Starts(r.Path, func(c *verdict.Candidate) bool { return p.d.may(c, r.Path) }), func(a, b verdict.Node) int { return a.ID.Compare(b.ID) })
	return slices.ContainsFunc(all[:min(len(all), 4*maxStarts)], func(n verdict.Node) bool {
		return !n.ID.IsZero() && verdict.IsText(n.Mode) && (!p.d.h.cut.IsZero() || stood[n]) && gone(n.ID)
	})
}

// rebuild finds again, from what commits without a seal did at a path, contents that sealed changes led to and that are not here: others
// begin there. What is found is the same whichever commit is looked at, and in which order.
func (p *ports) rebuild(path string, here []verdict.Node) {
	past := p.d.h.paths[path]
	if past == nil {
		return
	}
	for _, k := range past.moved {
		if len(p.d.f.seals[p.d.h.order[k]]) > 0 || len(past.moves[k]) != 1 {
			continue
		}
		m := past.moves[k][0]
		if !verdict.IsText(m.From.Mode) || !verdict.IsText(m.To.Mode) {
			continue
		}
		r := prov.Raw{Path: path, Status: 'M', OldMode: m.From.Mode, NewMode: m.To.Mode, Old: m.From.ID, New: m.To.ID}
		for _, from := range append(slices.Clone(p.found[path][:min(len(p.found[path]), maxFound)]), here[:min(len(here), maxFound)]...) {
			if from.Mode != r.OldMode || from.ID == r.Old {
				continue
			}
			to, ok := p.applied(&r, from)
			if ok {
				if p.ends[path] == nil {
					p.ends[path] = map[int]verdict.Node{}
				}
				p.ends[path][k] = to
			}
			if ok || !p.take(1) {
				break
			}
		}
	}
}

// fresh tells which offers of a change are usable: not those that do again what was done, or undone, since they were made.
func (p *porter) fresh(r *prov.Raw, change *prov.Delta) func(string, verdict.Offer) bool {
	past := p.d.h.paths[r.Path]
	known := map[int]bool{}
	does := func(place int) bool {
		is, asked := known[place]
		if !asked {
			is = slices.ContainsFunc(past.moves[place], func(m verdict.Move) bool {
				moded := r.OldMode != r.NewMode && m.From.Mode != m.To.Mode && (m.From.Mode == r.NewMode || m.To.Mode == r.NewMode)
				return moded || p.revives(change, m)
			})
			known[place] = is
		}
		return is
	}
	return func(path string, x verdict.Offer) bool {
		if !p.usable(path, x) {
			return false
		}
		for _, k := range past.moved {
			if !p.d.h.take(1) || p.counts(k) && !p.d.knows(x.Seal, k) && does(k) && !p.made(path, x.Seal, k) {
				return false
			}
		}
		return true
	}
}

// revives reports whether a change does again what a move did, or undoes it; also where that is not known.
func (p *ports) revives(change *prov.Delta, m verdict.Move) bool {
	step := p.delta(m.From.ID, m.To.ID)
	return step == nil || !p.take(change.WorkOf(step)) || change.Revives(step)
}

// made reports whether the commit at a place can be made of nothing, at a path, but work from which a seal's commit goes on, as it is or applied
// to other content: the next commit of a branch that a forge rebased knows those before it.
func (p *ports) made(path string, c *verdict.Candidate, place int) bool {
	if p.d.made(path, c, place) {
		return true
	}
	end, ok := p.ends[path][place]
	if !ok {
		return false
	}
	behind, found := p.d.behind(c), false
	for z := range p.d.offers.All(path) {
		if z.To != end || z.Seal.Seal.Commit() == c.Seal.Commit() {
			continue
		}
		if found = behind[z.Seal.Seal.Commit()]; !found || !p.take(1) {
			return false
		}
	}
	return found
}

// nobodys returns the lines of a change that nobody sealed, as far as sealed content tells: those by which it differs from what comes
// nearest of what sealed contents, joined with what stood there, give. Nothing where it is no change of lines.
func (p *ports) nobodys(r *prov.Raw) []prov.Lines {
	if !verdict.IsText(r.NewMode) || r.OldMode != "" && !verdict.IsText(r.OldMode) || r.Old == r.New {
		return nil
	}
	best := p.delta(r.Old, r.New)
	if best == nil {
		return nil
	}
	old, _ := p.text(r.Old)
	now, _ := p.text(r.New)
	try := func(text []byte) {
		if x := p.compare(text, now); x != nil && x.Edits() < best.Edits() {
			best = x
		}
	}
	ends := slices.SortedFunc(p.d.offers.Ends(r.Path), func(a, b verdict.Node) int { return a.ID.Compare(b.ID) })
	starts := p.starts(r.Path)
	for _, end := range ends[:min(len(ends), maxEnds)] {
		sealed, ok := p.text(end.ID)
		if !ok || end.ID.IsZero() {
			continue
		}
		try(sealed)
		for _, start := range starts[:min(len(starts), maxEnds)] {
			a, b := p.delta(start.ID, r.Old), p.delta(start.ID, end.ID)
			if a == nil || b == nil {
				continue
			}
			if text, ok := prov.Merge(a, b); ok && !bytes.Equal(text, old) {
				try(text)
			}
		}
	}
	return best.Now()
}

// joins reports whether a merge has at a path just what joining both sides' changes of the lines gives.
func (p *ports) joins(ours, theirs, now *prov.Raw) bool {
	for _, m := range []string{ours.OldMode, ours.NewMode, theirs.NewMode, now.NewMode} {
		if m != ours.OldMode || !verdict.IsText(m) {
			return false
		}
	}
	base, ok := p.text(ours.Old)
	first, fine := p.text(ours.New)
	second, whole := p.text(theirs.New)
	return ok && fine && whole && p.joinsTo(base, first, second, now.New)
}

// joinsTo reports whether two sides, joined, give some content.
func (p *ports) joinsTo(base, first, second []byte, want oid.ID) bool {
	a, b := p.compare(base, first), p.compare(base, second)
	if a == nil || b == nil {
		return false
	}
	out, ok := prov.Merge(a, b)
	there, here := p.text(want)
	return ok && here && bytes.Equal(out, there)
}

// compare compares two contents; nil where that can't be done, or takes too much.
func (p *ports) compare(a, b []byte) *prov.Delta {
	if !p.take((len(a) + len(b)) / 64) {
		return nil
	}
	x, ok := prov.CompareText(a, b)
	switch {
	case !ok:
		p.take(tooMuch)
		return nil
	case !p.take(x.Work()):
		return nil
	}
	return x
}

// delta compares two contents by their names, and remembers that. Nothing is like an empty file.
func (p *ports) delta(old, now oid.ID) *prov.Delta {
	key := [2]oid.ID{old, now}
	if x, ok := p.deltas[key]; ok {
		return x
	}
	a, ok := p.text(old)
	b, fine := p.text(now)
	if !ok || !fine {
		return nil
	}
	x := p.compare(a, b)
	if x == nil && (p.steps <= 0 || p.of <= 0) {
		return nil // another commit may have more
	}
	if p.compared += len(a) + len(b); len(p.deltas) >= maxDeltas || p.compared > p.limits.texts {
		clear(p.deltas)
		p.compared = len(a) + len(b)
	}
	p.deltas[key] = x
	return x
}

// text returns content that is here, or that was found again.
func (p *ports) text(id oid.ID) ([]byte, bool) {
	if id.IsZero() {
		return nil, true
	}
	if b, ok := p.contents[id]; ok {
		return b, true
	}
	if b, ok := p.texts[id]; ok {
		return b, b != nil
	}
	o, err := p.s.Object(id.String(), prov.MaxPatchContent)
	if errors.Is(err, git.ErrMissing) {
		p.missing, p.absent[id] = true, true
	}
	b := o.Data
	switch {
	case err != nil || o.Kind != "blob":
		b = nil
	case b == nil:
		b = []byte{}
	}
	if p.textBytes += len(b) + 64; p.textBytes > p.limits.texts {
		p.texts, p.textBytes = map[oid.ID][]byte{}, len(b)
	}
	p.texts[id] = b
	p.take(len(b)/64 + 16)
	return b, b != nil
}
