package provenance

import (
	"bytes"
	"cmp"
	"iter"
	"slices"

	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
)

// Limits of what is looked at for a change that was applied to other content.
const (
	maxStarts = 64       // contents that it may have been made on
	maxTexts  = 64 << 20 // bytes that are kept
)

// porter finds, for one commit, the sealed changes that were applied to other content than they were made on: as when a branch is
// squashed or rebased onto a main branch that has changed the same file.
type porter struct {
	d      *deriver
	s      *git.Session
	joined map[string]verdict.Move // by a merge
	counts func(place int) bool
	usable func(string, verdict.Offer) bool
}

func (d *deriver) porter(s *git.Session, joined map[string]verdict.Move, counts func(place int) bool, usable func(string, verdict.Offer) bool) *porter {
	return &porter{d, s, joined, counts, usable}
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
		if way, ok := p.joined[r.Path]; ok {
			if change := p.d.delta(p.s, r.Old, r.New); change != nil {
				yield(verdict.Port{Move: way, Usable: p.fresh(r, change)})
			}
			return
		}
		old, ok := p.d.text(p.s, r.Old)
		change := p.d.delta(p.s, r.Old, r.New)
		if !ok || change == nil {
			return
		}
		fresh := p.fresh(r, change)
		for _, from := range p.starts(r) {
			start, ok := p.d.text(p.s, from.ID)
			if !ok {
				continue
			}
			apart, ok := prov.CompareText(old, start)
			if !ok || !p.d.h.take(apart.Work()) {
				continue
			}
			end, ok := prov.Merge(apart, change)
			if !ok {
				continue
			}
			to := verdict.Node{Mode: r.NewMode, ID: r.New.Format().Hash("blob", end)}
			if !p.d.offers.Leads(r.Path, to) || !p.d.joinsTo(p.s, start, old, end, r.New) {
				continue
			}
			p.d.keep(to.ID, end) // a later commit may go on from it
			if !yield(verdict.Port{Move: verdict.Move{From: from, To: to}, Usable: fresh}) {
				return
			}
		}
	}
}

// starts are the contents that a change may have been made on.
func (p *porter) starts(r *prov.Raw) []verdict.Node {
	var out []verdict.Node
	for _, n := range p.d.begins(r.Path) {
		if n.Mode == r.OldMode && n.ID != r.Old && len(out) < maxStarts {
			out = append(out, n)
		}
	}
	p.d.h.take(len(out))
	return out
}

// begins are the contents on which sealed changes of a path begin, those that the history had last first.
func (d *deriver) begins(path string) []verdict.Node {
	if out, known := d.started[path]; known {
		return out
	}
	last := map[verdict.Node]int{}
	if past := d.h.paths[path]; past != nil {
		for _, k := range past.moved {
			for _, m := range past.moves[k] {
				last[m.From], last[m.To] = k+1, k+1
			}
		}
	}
	out := slices.SortedFunc(d.offers.Starts(path), func(a, b verdict.Node) int { return cmp.Or(cmp.Compare(last[b], last[a]), a.ID.Compare(b.ID)) })
	d.started[path] = out[:min(len(out), 4*maxStarts)]
	return d.started[path]
}

// fresh tells which offers of a change are usable: not those that do again what was done, or undone, since they were made.
func (p *porter) fresh(r *prov.Raw, change *prov.Delta) func(string, verdict.Offer) bool {
	revives := map[int]bool{}
	back := p.d.delta(p.s, r.New, r.Old)
	if back == nil {
		return func(string, verdict.Offer) bool { return false }
	}
	does := func(place int) bool {
		if is, known := revives[place]; known {
			return is
		}
		for _, m := range p.d.h.paths[r.Path].moves[place] {
			step, after := p.d.delta(p.s, m.From.ID, m.To.ID), p.d.delta(p.s, r.New, m.To.ID)
			if step == nil || after == nil || change.Revives(step, after, back) {
				revives[place] = true
				return true
			}
		}
		revives[place] = false
		return false
	}
	return func(path string, x verdict.Offer) bool {
		if !p.usable(path, x) {
			return false
		}
		for _, k := range p.d.h.paths[r.Path].moved {
			if !p.d.h.take(1) || p.counts(k) && !p.d.knows(x.Seal, k) && does(k) {
				return false
			}
		}
		return true
	}
}

// maxEnds is how many sealed contents are compared to tell which lines nobody sealed.
const maxEnds = 8

// nobodys returns the lines of a change that nobody sealed, as far as sealed content tells: those by which it differs from what comes
// nearest of what sealed contents, joined with what stood there, give. Nothing where it is no change of lines.
func (d *deriver) nobodys(s *git.Session, r *prov.Raw) []prov.Lines {
	if !verdict.IsText(r.NewMode) || r.OldMode != "" && !verdict.IsText(r.OldMode) || r.Old == r.New {
		return nil
	}
	best := d.delta(s, r.Old, r.New)
	if best == nil {
		return nil
	}
	old, _ := d.text(s, r.Old)
	now, _ := d.text(s, r.New)
	try := func(text []byte) {
		if x, ok := prov.CompareText(text, now); ok && d.h.take(x.Work()) && x.Edits() < best.Edits() {
			best = x
		}
	}
	ends := slices.SortedFunc(d.offers.Ends(r.Path), func(a, b verdict.Node) int { return a.ID.Compare(b.ID) })
	for _, end := range ends[:min(len(ends), maxEnds)] {
		sealed, ok := d.text(s, end.ID)
		if !ok || end.ID.IsZero() {
			continue
		}
		try(sealed)
		for _, start := range d.begins(r.Path)[:min(len(d.begins(r.Path)), maxEnds)] {
			a, b := d.delta(s, start.ID, r.Old), d.delta(s, start.ID, end.ID)
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
func (d *deriver) joins(s *git.Session, ours, theirs, now *prov.Raw) bool {
	for _, m := range []string{ours.OldMode, ours.NewMode, theirs.NewMode, now.NewMode} {
		if m != ours.OldMode || !verdict.IsText(m) {
			return false
		}
	}
	base, ok := d.text(s, ours.Old)
	first, fine := d.text(s, ours.New)
	second, whole := d.text(s, theirs.New)
	return ok && fine && whole && d.joinsTo(s, base, first, second, now.New)
}

// joinsTo reports whether two sides, joined, give some content.
func (d *deriver) joinsTo(s *git.Session, base, first, second []byte, want oid.ID) bool {
	a, ok := prov.CompareText(base, first)
	b, fine := prov.CompareText(base, second)
	if !ok || !fine || !d.h.take(a.Work()+b.Work()) {
		return false
	}
	out, ok := prov.Merge(a, b)
	there, here := d.text(s, want)
	return ok && here && bytes.Equal(out, there)
}

// delta compares two contents; nil where that can't be done. Nothing is like an empty file.
func (d *deriver) delta(s *git.Session, old, now oid.ID) *prov.Delta {
	a, ok := d.text(s, old)
	b, fine := d.text(s, now)
	if !ok || !fine {
		return nil
	}
	x, ok := prov.CompareText(a, b)
	if !ok || !d.h.take(x.Work()) {
		return nil
	}
	return x
}

// text returns content that is here, or that was found again.
func (d *deriver) text(s *git.Session, id oid.ID) ([]byte, bool) {
	if id.IsZero() {
		return nil, true
	}
	if b, ok := d.texts[id]; ok {
		return b, b != nil
	}
	o, err := s.Object(id.String(), prov.MaxPatchContent)
	if err != nil || o.Kind != "blob" {
		d.keep(id, nil)
		return nil, false
	}
	if o.Data == nil {
		o.Data = []byte{}
	}
	d.keep(id, o.Data)
	return o.Data, true
}

// keep remembers content; nil says that it is not to be had.
func (d *deriver) keep(id oid.ID, b []byte) {
	if d.textBytes += len(b); d.texts == nil || d.textBytes > maxTexts {
		d.texts, d.textBytes = map[oid.ID][]byte{}, len(b)
	}
	d.texts[id] = b
}
