package provenance

import (
	"slices"
	"time"

	"github.com/open-covenant/covenant-git/envelope/capability"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

// A descent is what the commit of a seal went on from, as seals say it: the commit may be gone.
type descent struct {
	gone   map[oid.ID]bool // commits that are not in the history, those among them that an amend or a rebase made others of
	picked map[oid.ID]bool // commits that others of them are picks of
	enter  []int           // where it comes into the history
}

// maxTrail bounds the commits of one descent that are not in the history.
const maxTrail = 10_000

// descent follows the parents that a seal names, through the seals of commits that are not in the history: its own signer's,
// and those of others who may bring what they sealed to this ref. Anybody else names what it likes. Where nobody sealed such a commit, as
// when a forge made it, the signer is taken to have gone on from what it sealed last on that branch.
func (d *deriver) descent(c *verdict.Candidate) *descent {
	if known, ok := d.descents[c]; ok {
		return known
	}
	out := &descent{gone: map[oid.ID]bool{}, picked: map[oid.ID]bool{}}
	d.descents[c] = out
	type step struct {
		id   oid.ID
		from *verdict.Candidate // whose parent it is
	}
	var todo []step
	follow := func(x *verdict.Candidate) {
		for _, p := range x.Seal.Predicate.Parents {
			todo = append(todo, step{p, x})
		}
	}
	follow(c)
	d.twins(c.Seal.Commit(), out)
	for len(todo) > 0 {
		at := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if place, in := d.h.index[at.id]; in {
			if !slices.Contains(out.enter, place) {
				out.enter = append(out.enter, place)
			}
			continue
		}
		if out.gone[at.id] {
			continue
		}
		if out.gone[at.id] = true; len(out.gone) > maxTrail || !d.h.take(1) {
			d.h.steps = 0
			return out
		}
		d.twins(at.id, out)
		sealed := false
		for i := range d.f.Seals[at.id] {
			if x := &d.f.Seals[at.id][i]; x.Err == nil && x.Seal != nil && (x.KeyID == c.KeyID || d.good(x)) {
				sealed = true
				follow(x)
			}
		}
		if last := d.previous(at.from); !sealed && last != nil {
			todo = append(todo, step{last.Seal.Commit(), last})
		}
	}
	return out
}

// twins adds what a commit was made of by an amend, a rebase or a pick, as who sealed it says.
func (d *deriver) twins(id oid.ID, out *descent) {
	for _, o := range d.f.Rewritten[id] {
		switch _, in := d.h.index[o.Commit]; {
		case !d.sealedBy(id, o.By) || out.gone[o.Commit] || len(out.gone) > maxTrail:
		case o.Command == prov.CherryPick:
			out.picked[o.Commit] = true
		case !in:
			out.gone[o.Commit] = true
			d.twins(o.Commit, out)
		}
	}
}

// sealedBy reports whether a key sealed a commit.
func (d *deriver) sealedBy(id oid.ID, keyID string) bool {
	return slices.ContainsFunc(d.f.Seals[id], func(x verdict.Candidate) bool { return x.Err == nil && x.KeyID == keyID })
}

// previous returns the seal that a signer made before another one on the branch that it names; nil for none.
func (d *deriver) previous(c *verdict.Candidate) *verdict.Candidate {
	if d.ledgers == nil {
		d.ledgers = map[string][]*verdict.Candidate{}
		for x := range d.f.candidates {
			if x.Err == nil && x.Seal != nil && !x.InNote {
				d.ledgers[x.Ledger] = append(d.ledgers[x.Ledger], x)
			}
		}
		for _, list := range d.ledgers {
			slices.SortFunc(list, func(a, b *verdict.Candidate) int { return a.Index - b.Index })
		}
	}
	list := d.ledgers[c.Ledger]
	i, _ := slices.BinarySearchFunc(list, c.Index, func(x *verdict.Candidate, at int) int { return x.Index - at })
	for i--; i >= 0; i-- {
		if list[i].Seal.Predicate.Ref == c.Seal.Predicate.Ref {
			return list[i]
		}
	}
	return nil
}

// holds reports whether a commit is among what a seal's commit went on from.
func (d *deriver) holds(c *verdict.Candidate, id oid.ID) bool {
	t := d.descent(c)
	if t.gone[id] {
		return true
	}
	place, in := d.h.index[id]
	return in && d.comes(t, place)
}

func (d *deriver) comes(t *descent, place int) bool {
	return slices.ContainsFunc(t.enter, func(at int) bool { return d.h.reaches(at, place) })
}

// knows reports whether the commit of a seal went on from the commit at a place, and so its signer knew what it did.
func (d *deriver) knows(c *verdict.Candidate, place int) bool { return d.comes(d.descent(c), place) }

// good reports whether the signer of a seal might bring all that it changed to the ref under review.
func (d *deriver) good(c *verdict.Candidate) bool {
	ok, known := d.goods[c]
	if !known {
		var all []prov.Raw
		for _, list := range c.Seal.Predicate.Changes {
			for i := range list {
				all = append(all, verdict.RawOf(&list[i]))
			}
		}
		ok = d.asked(c, prov.Touched([][]prov.Raw{all}))
		d.goods[c] = ok
	}
	return ok
}

// may reports whether the signer of a seal might bring what it changed at a path to the ref under review: now, or when it
// was sealed. Others' seals make no difference to the commits there.
func (d *deriver) may(c *verdict.Candidate, path string) bool {
	key := sealedPath{c, path}
	ok, known := d.allowed[key]
	if !known {
		var all []prov.Raw
		for _, list := range c.Seal.Predicate.Changes {
			for i := range list {
				if list[i].PathBytes() == path {
					all = append(all, verdict.RawOf(&list[i]))
				}
			}
		}
		ok = d.asked(c, prov.Touched([][]prov.Raw{all}))
		d.allowed[key] = ok
	}
	return ok
}

type sealedPath struct {
	seal *verdict.Candidate
	path string
}

func (d *deriver) asked(c *verdict.Candidate, changes []pluginapi.Change) bool {
	d.h.take(16)
	q := capability.Query{KeyID: c.KeyID, Action: capability.Commit, At: d.now, Ref: d.ref, Intent: c.Seal.Predicate.Intent, Changes: changes}
	if c.Seal.Predicate.Mode == prov.Vouching {
		q.Action = capability.Vouch
	}
	if q.Ref == "" {
		q.Ref = c.Seal.Predicate.Ref
	}
	if d.w.Authority.Decide(q).Allowed {
		return true
	}
	then, err := time.Parse(time.RFC3339, c.Header.Time)
	if err != nil {
		return false
	}
	q.At, q.EndedBy, q.Past = then, then, true
	return d.w.Authority.Decide(q).Allowed
}

// decided reports whether the commit at a place is somebody's own decision at a path: somebody who may sealed it, or it may be
// exempt.
func (d *deriver) decided(place int, path string) bool {
	id := d.h.order[place]
	list := d.f.Seals[id]
	for i := range list {
		if x := &list[i]; x.Err == nil && x.Seal != nil && d.may(x, path) {
			return true
		}
	}
	return d.signed[id]
}

// spent returns the seals whose last step, of some that make up what the commit at a place did at a path, it may have been: what
// they lead to is there, their signers knew what they had to, and they were not made after it.
func (d *deriver) spent(path string, place int) []verdict.Offer {
	p := d.h.paths[path]
	if out, ok := p.spent[place]; ok {
		return out
	}
	var out []verdict.Offer
	id := d.h.order[place]
	for _, m := range p.moves[place] {
		for x := range d.offers.To(path, m.To) {
			if !d.h.take(1) {
				return nil
			}
			c := x.Seal
			at, in := d.h.index[c.Seal.Commit()]
			switch {
			case c.Seal.Commit() == id || in && at < place && d.h.reaches(place, at) || !d.may(c, path) || d.refused(c) || d.knows(c, place):
			case slices.ContainsFunc(out, func(y verdict.Offer) bool { return y.Seal == c }):
			case d.informed(path, x, m.From, func(k int) bool { return k < place && d.h.reaches(place, k) }):
				out = append(out, x)
			}
		}
	}
	p.spent[place] = out
	return out
}

// informed reports whether the signer of an offer knew all who had left what it leads to, or what stands there now.
func (d *deriver) informed(path string, x verdict.Offer, now verdict.Node, counts func(place int) bool) bool {
	p := d.h.paths[path]
	for _, n := range []verdict.Node{x.To, now} {
		left := p.left[n]
		for i := len(left) - 1; i >= 0; i-- { // what was done last is nearest
			if counts(left[i]) && !d.accounts(path, x, left[i]) {
				return false
			}
		}
	}
	return true
}

// accounts reports whether the signer of an offer knew what the commit at a place did at a path: its commit went on from it; or
// it went on from what that was made of, as who sealed that says; or it began with what nobody but that one brought; or, if
// nobody sealed it, it went on from what that must have been made of: all that it may have been made of is work that
// this goes on from, or that goes on from this.
func (d *deriver) accounts(path string, x verdict.Offer, place int) bool {
	c := x.Seal
	if d.knows(c, place) || d.began(path, x, place) {
		return true
	}
	own := c.Seal.Commit()
	if id := d.h.order[place]; d.decided(place, path) {
		return slices.ContainsFunc(d.f.Rewritten[id], func(o Origin) bool { return o.Commit != own && d.sealedBy(id, o.By) && d.holds(c, o.Commit) })
	}
	known := false
	for _, z := range d.spent(path, place) {
		switch of := z.Seal.Seal.Commit(); {
		case of == own:
		case d.holds(c, of) || d.descent(c).picked[of] || slices.ContainsFunc(d.f.Rewritten[of], func(o Origin) bool { return o.By == z.Seal.KeyID && d.holds(c, o.Commit) }):
			known = true
		case d.holds(z.Seal, own):
		default:
			return false // it may have been another's work, of which this one knew nothing
		}
	}
	return known
}

// began reports whether an offer begins with what the commit at a place brought to a path, and nobody else did, least of all
// its own signer: who changes it has it from there.
func (d *deriver) began(path string, x verdict.Offer, place int) bool {
	p := d.h.paths[path]
	if x.From == (verdict.Node{}) || !slices.ContainsFunc(p.moves[place], func(m verdict.Move) bool { return m.To == x.From }) {
		return false
	}
	for _, k := range p.moved {
		if k != place && slices.ContainsFunc(p.moves[k], func(m verdict.Move) bool { return m.To == x.From || m.From == x.From && !d.h.reaches(k, place) }) {
			return false
		}
	}
	who, _ := d.w.Principal(x.Seal.KeyID)
	spent := d.spent(path, place)
	for z := range d.offers.To(path, x.From) {
		by, _ := d.w.Principal(z.Seal.KeyID)
		if by.Name == who.Name || z.Seal.Seal.Commit() != d.h.order[place] && !slices.ContainsFunc(spent, func(y verdict.Offer) bool { return y.Seal == z.Seal }) {
			return false
		}
	}
	return true
}

// takenBack reports whether the signer of an offer took it back, itself, in work that went on from it: to what stood there
// before it, or before the commit that it may cover, which is at a place. What is no part of that history, was made on
// top of that commit, was brought after it as well, or was seen to be made later, takes nothing back.
func (d *deriver) takenBack(path string, x verdict.Offer, place int, from verdict.Node) bool {
	p := d.h.paths[path]
	stood := map[verdict.Node]bool{x.From: true, from: true}
	for _, k := range p.moved {
		if k < place && d.h.reaches(place, k) {
			for _, m := range p.moves[k] {
				stood[m.From], stood[m.To] = true, true
			}
		}
	}
	delete(stood, x.To)
	who, _ := d.w.Principal(x.Seal.KeyID)
	commit := x.Seal.Seal.Commit()
	type spot struct {
		path string
		node verdict.Node
	}
	seen := map[spot]bool{{path, x.To}: true}
	for todo := []spot{{path, x.To}}; len(todo) > 0; todo = todo[1:] {
		at := todo[0]
		for y := range d.offers.From(at.path, at.node) {
			if !d.h.take(1) {
				return true
			}
			if y.Seal == x.Seal || !d.may(y.Seal, at.path) || !d.holds(y.Seal, commit) {
				continue
			}
			next := []spot{{at.path, y.To}}
			if y.To == (verdict.Node{}) { // where it was moved to, it is still there
				if to := y.Moved(at.node); len(to) > 0 {
					next = next[:0]
					for _, p := range to {
						next = append(next, spot{p, at.node})
					}
				}
			}
			by, _ := d.w.Principal(y.Seal.KeyID)
			for _, n := range next {
				back := stood[n.node]
				if n.path != path {
					back = n.node == verdict.Node{}
				}
				if back && by.Name == who.Name && !d.excused(path, x, y, place) {
					return true
				}
				if !seen[n] {
					seen[n] = true
					todo = append(todo, n)
				}
			}
		}
	}
	return false
}

// excused reports whether a step back says nothing of the commit at a place.
func (d *deriver) excused(path string, x, y verdict.Offer, place int) bool {
	if _, in := d.h.index[y.Seal.Seal.Commit()]; in || d.knows(y.Seal, place) {
		return true
	}
	for _, k := range d.h.paths[path].moved {
		if k > place && d.h.reaches(k, place) && slices.ContainsFunc(d.spent(path, k), func(z verdict.Offer) bool { return z.Seal == y.Seal }) {
			return true
		}
	}
	return x.Seal.Ledger == y.Seal.Ledger && d.between(x.Seal, y.Seal, place)
}

// between reports whether somebody who is accountable built on the commit at a place, or admitted it, and had seen the
// first of two entries of a ledger then, and not the second.
func (d *deriver) between(x, y *verdict.Candidate, place int) bool {
	saw := func(ledger string, index int) bool {
		c := d.f.Chains[ledger]
		if c == nil {
			return false
		}
		upTo := uint64(0)
		for i := 0; i <= index && i < len(c.Entries); i++ {
			for _, h := range c.Entries[i].Header.Heads {
				if h.Ledger == x.Ledger {
					upTo = max(upTo, h.Seq)
				}
			}
		}
		d.h.take(index + 1)
		return upTo > uint64(x.Index) && upTo <= uint64(y.Index) //nolint:gosec // indexes are no negative numbers
	}
	accountable := func(keyID string) bool {
		p, ok := d.f.Authority.ByKey(keyID)
		return ok && p.Accountable == p.Name && p.Kind != "agent"
	}
	for w := range d.f.candidates {
		if w.Err == nil && w.Seal != nil && !w.InNote && accountable(w.KeyID) && d.knows(w, place) && saw(w.Ledger, w.Index) {
			return true
		}
	}
	for i := range d.f.Admitted {
		a := &d.f.Admitted[i]
		if accountable(a.KeyID) && d.h.continues(a.New, d.h.order[place]) && saw(a.Ledger, int(a.Seq)-1) { //nolint:gosec // bounded by envelope.Header.Check
			return true
		}
	}
	return false
}
