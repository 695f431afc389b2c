package provenance

import (
	"math"

	"github.com/open-covenant/covenant-git/envelope/verdict"
)

// sealAndLedger is a seal and another ledger.
type sealAndLedger struct {
	seal   *verdict.Candidate
	ledger string
}

// copies reports whether a seal is known to have been made after another one, of somebody else: its writer had seen that, or a person or an automation of the trust root had, and not the later one. Not where
// whoever made it said that its commit was made of the other's, and had seen that: the lines are those of that one then.
func (d *deriver) copies(later, first *verdict.Candidate) bool {
	if later.KeyID == first.KeyID || !d.preceded(first, later) || d.preceded(later, first) { // where ledgers tell both it is not known
		return false
	}
	if a, ok := d.w.Principal(later.KeyID); ok {
		if b, known := d.w.Principal(first.KeyID); known && a.Name == b.Name {
			return false
		}
	}
	if d.remadeOf != later {
		d.remadeOf = later
		_, d.lastRemade = d.f.outOf(later.Seal.Commit(), later.KeyID, d.h.take)
	}
	of, said := d.lastRemade[first.Seal.Commit()]
	return !said || !d.f.told(&of, first, d.sights, d.h.take)
}

// preceded reports whether some ledger tells that one seal was there without another one.
func (d *deriver) preceded(x, y *verdict.Candidate) bool {
	key := sealAndLedger{x, y.Ledger}
	from, known := d.after[key]
	if !known {
		from = d.knownAfter(x, y.Ledger)
		if d.h.spent() {
			return false // another commit may have more steps
		}
		d.after[key] = from
	}
	return y.Index >= from
}

// knownAfter returns from which index of another ledger on its entries are known to have been made after a seal: where its writer had seen that, or an entry of a person or an automation of the trust root
// names the seal's ledger that far, and that one only up to there.
func (d *deriver) knownAfter(x *verdict.Candidate, other string) int {
	from := math.MaxInt
	if at := d.firstSight(other, x); at >= 0 {
		from = at
	}
	for name, c := range d.f.Chains {
		if !d.h.take(1) {
			return from
		}
		if len(c.Entries) == 0 || name == other {
			continue
		}
		p, ok := d.f.Authority.ByKey(c.Entries[0].KeyID)
		if !ok || p.Accountable != p.Name || p.Kind == "agent" {
			continue
		}
		if at := d.firstSight(name, x); at >= 0 {
			from = min(from, int(d.saw(name, at, other))) //nolint:gosec // bounded by envelope.Header.Check
		}
	}
	return from
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
