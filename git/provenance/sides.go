package provenance

import (
	"bytes"

	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/oid"
)

// A pastOf is the history before a commit under judgement.
type pastOf struct {
	d    *deriver
	past func(place int) bool
	from map[string]verdict.Node // what stands before it at the paths that it changes
	may  func(c *verdict.Candidate, path string) bool
	at   map[string]map[verdict.Node]bool // what stood at a path
}

// stood reports whether something stood at a path, or nothing.
func (h *pastOf) stood(path string, n verdict.Node) bool {
	if h.at[path] == nil {
		h.at[path] = h.d.stood(path, h.past)
		h.at[path][h.from[path]] = true
	}
	return n == verdict.Node{} || h.at[path][n]
}

// begins returns the nodes from which sealed changes lead a path to one: those of that history, and nothing.
func (h *pastOf) begins(path string, to verdict.Node) []verdict.Node {
	from, work := h.nearest(path, to)
	if !h.d.h.take(work) {
		return nil // more than is looked at, which is said
	}
	return from
}

func (h *pastOf) nearest(path string, to verdict.Node) (from []verdict.Node, work int) {
	return h.d.offers.Nearest(path, to, h.may, func(n verdict.Node) bool { return h.stood(path, n) })
}

// has reports whether a commit is of that history.
func (h *pastOf) has(id oid.ID) bool {
	at, in := h.d.h.index[id]
	return in && h.past(at)
}

// sides tells what whoever sealed a merge of two, of which an offer is, took over from the side that the offer does not begin at, and that ends at a node.
//
// Where the merge has at a path just what joining both its sides gives, that is what this side had made of what both came from, which is found by taking back from the merge what
// either side has of it. Where that side's end is not here it is what the merge made of the other one, made of where sealed changes begin that lead there: it must give just the object
// that the seal names. Where that is not found, but Git may have joined them all the same (a side has nothing there, since the other renamed the file; each line stands on a side, as where Git is told to
// keep both; what would tell is gone, or is text to Git and not to us), it is whatever leads there from what stood there, or from nothing: who made the merge may have chosen, and may have looked at nothing.
// Else its maker chose all of it. told is false where that would take more than is looked at.
func (p *ports) sides(h *pastOf, path string, x verdict.Offer, other verdict.Node) (t verdict.Taken, told bool) {
	none := verdict.Node{}
	own, beside := x.Sides()
	text := func(n verdict.Node) bool { return n == none || verdict.IsText(n.Mode) }
	if x.From == none || other == none {
		first, second, work := p.d.offers.Moved(&x)
		if !p.take(work) {
			return verdict.Taken{}, false
		}
		if first && !h.has(own) || second && !h.has(beside) {
			return verdict.Taken{Is: true}, true // it may be what stood at another path there, which nobody asked about
		}
	}
	if other == none || x.From == other || !text(x.From) || !text(x.To) || !text(other) {
		return verdict.Taken{}, true // of links and submodules Git joins nothing
	}
	if x.From != none {
		side, joined := p.side(path, x, other)
		switch {
		case joined:
			return verdict.Taken{Is: true, From: []verdict.Node{side.From}, Past: h.has(beside)}, true
		case p.beyond(x.From.ID, x.To.ID) || p.beyond(x.To.ID, other.ID) || !p.take(0):
			return verdict.Taken{}, false
		case p.chose(x, other):
			return verdict.Taken{}, true
		}
	}
	if h.has(beside) {
		return verdict.Taken{}, true
	}
	from, work := h.nearest(path, other)
	return verdict.Taken{Is: true, From: from, Chosen: true}, p.take(work)
}

// binaryTo is how much of a file Git looks at to tell whether it is binary: what is, it joins with nothing.
const binaryTo = 8000

// chose reports whether whoever made a merge must have looked at what it has: where Git joins nothing, or where a line stands on neither side. A line that has no letter and no digit says
// nothing.
func (p *ports) chose(x verdict.Offer, other verdict.Node) bool {
	first, ok := p.text(x.From.ID)
	second, fine := p.text(other.ID)
	now, here := p.text(x.To.ID)
	if !ok || !fine || !here {
		return false
	}
	binary := func(b []byte) bool { return bytes.IndexByte(b[:min(len(b), binaryTo)], 0) >= 0 }
	work := 0
	for _, text := range [][]byte{first, second, now} {
		work += len(text)/64 + bytes.Count(text, []byte("\n"))
	}
	return binary(first) || binary(second) || p.take(work) && prov.Writes(now, first, second)
}

// beyond reports whether two contents, as far as they are here, take more to compare than is looked at.
func (p *ports) beyond(a, b oid.ID) bool {
	old, ok := p.text(a)
	now, fine := p.text(b)
	if !ok || !fine {
		return !ok && !p.absent[a] || !fine && !p.absent[b] // too large
	}
	return p.delta(a, b) == nil && bytes.IndexByte(old, 0) < 0 && bytes.IndexByte(now, 0) < 0
}

func (p *ports) side(path string, x verdict.Offer, other verdict.Node) (verdict.Move, bool) {
	mode := other.Mode
	switch {
	case x.From.Mode == other.Mode && x.To.Mode != other.Mode:
		return verdict.Move{}, false
	case x.From.Mode != other.Mode && x.To.Mode == other.Mode:
		mode = x.From.Mode
	}
	change := p.delta(x.From.ID, x.To.ID)
	if change == nil {
		p.unsure = p.unsure || p.absent[x.From.ID] || p.absent[x.To.ID]
		return verdict.Move{}, false
	}
	first, _ := p.text(x.From.ID)
	if second, here := p.text(other.ID); here {
		back, again := p.delta(x.To.ID, x.From.ID), p.delta(x.To.ID, other.ID)
		if back == nil || again == nil {
			return verdict.Move{}, false
		}
		base, ok := prov.Merge(back, again)
		if !ok || !p.take(len(base)/64) || !p.joinsTo(base, first, second, x.To.ID) {
			return verdict.Move{}, false
		}
		return verdict.Move{From: verdict.Node{Mode: mode, ID: x.To.ID.Format().Hash("blob", base)}, To: other}, true
	}
	before, work := p.d.offers.Before(path, other)
	p.take(work)
	for _, from := range before[:min(len(before), maxStarts)] {
		start, here := p.text(from.ID)
		apart := p.delta(x.From.ID, from.ID)
		if !here || from.Mode != mode || apart == nil {
			continue
		}
		end, ok := prov.Merge(apart, change)
		if !ok || !p.take(len(end)/64) || other.ID.Format().Hash("blob", end) != other.ID || !p.joinsTo(start, first, end, x.To.ID) {
			continue
		}
		return verdict.Move{From: from, To: other}, true
	}
	p.unsure = true
	return verdict.Move{}, false
}
