package provenance

import (
	"slices"

	"github.com/open-covenant/covenant-git/envelope/verdict"
)

// copies reports whether a seal is known to have been made after another one, of somebody else: its writer had seen that, or a person or an automation of the trust root had, and not the later one. Not where
// whoever made it said that its commit was made of the other's.
func (d *deriver) copies(later, first *verdict.Candidate) bool {
	if later == first || later.KeyID == first.KeyID {
		return false
	}
	if a, ok := d.w.Principal(later.KeyID); ok {
		if b, known := d.w.Principal(first.KeyID); known && a.Name == b.Name {
			return false
		}
	}
	if slices.ContainsFunc(d.f.Rewritten[later.Seal.Commit()], func(o Origin) bool { return o.By == later.KeyID }) {
		return false
	}
	key := [2]*verdict.Candidate{later, first}
	is, known := d.copied[key]
	if !known {
		is = d.preceded(first, later) && !d.preceded(later, first) // where ledgers tell both it is not known
		d.copied[key] = is
	}
	return is
}

// preceded reports whether some ledger tells that one seal was there without another one.
func (d *deriver) preceded(x, y *verdict.Candidate) bool {
	return d.saw(y.Ledger, y.Index, x.Ledger) > uint64(x.Index) || d.firstSeen(x, y) //nolint:gosec // an index is no negative number
}

// firstSeen reports whether some entry of a person or an automation of the trust root names the ledger of one seal that far, and that of another not.
func (d *deriver) firstSeen(x, y *verdict.Candidate) bool {
	for name, c := range d.f.Chains {
		if !d.h.take(1) {
			return false
		}
		if len(c.Entries) == 0 || name == y.Ledger {
			continue
		}
		p, ok := d.f.Authority.ByKey(c.Entries[0].KeyID)
		if !ok || p.Accountable != p.Name || p.Kind == "agent" {
			continue
		}
		at := d.firstSight(name, x)
		if at >= 0 && d.saw(name, at, y.Ledger) <= uint64(y.Index) { //nolint:gosec // an index is no negative number
			return true
		}
	}
	return false
}

// firstSight returns at which index of a ledger its writer had seen a seal, -1 for never; of its own ledger where that stands.
func (d *deriver) firstSight(ledger string, x *verdict.Candidate) int {
	if ledger == x.Ledger {
		return x.Index
	}
	d.saw(ledger, 0, x.Ledger)
	for _, r := range d.sights[[2]string{ledger, x.Ledger}] {
		if r.upTo > uint64(x.Index) { //nolint:gosec // an index is no negative number
			return r.index
		}
	}
	return -1
}
