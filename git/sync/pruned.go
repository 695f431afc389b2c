package sync

import (
	"fmt"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope/event"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// pruned reports whether entries were dropped of a ledger, there or here, that the other side still has.
func (a *along) pruned() bool {
	for i := range a.same {
		if (a.ours[i].Dropped == "") != (a.theirs[i].Dropped == "") {
			return true
		}
	}
	return false
}

// prune returns what becomes of a ledger of which entries were dropped there or here, if that holds: nothing that was dropped on either side
// comes back, and what is new on either side stays.
func (in *incoming) prune(ref string, a *along) (oid.ID, error) {
	slots := slices.Clone(a.ours)
	for i := range a.same {
		if slots[i].Dropped == "" {
			slots[i].Dropped = a.theirs[i].Dropped
		}
	}
	if len(a.theirs) > len(slots) {
		slots = append(slots, a.theirs[len(slots):]...)
	}
	n, _ := isLedger(ref)
	tip, err := ledger.Prune(in.qs, n, slots)
	if err != nil {
		return tip, err
	}
	return tip, in.qs.Flush()
}

// holdsPruned returns what is to become of a ledger that was pruned there or here, zero where that does not hold: this clone, which has what
// is dropped, says whether it may be.
func (in *incoming) holdsPruned(f *provenance.Facts, ref string, a *along) oid.ID {
	n, _ := isLedger(ref)
	c := f.Chains[n.String()]
	if c.Broken != nil {
		in.rep.refuse(c.Broken.Code, c.Name, "ask who keeps "+in.shown+" to put the ledger back: git push --force "+in.shown+" "+ref, "of %s: %s; it was not adopted", in.shown, c.Broken.Message)
		return oid.ID{}
	}
	says := event.Pruning{Before: "1970-01-01T00:00:00Z"}
	if p, ok := f.PruningOf(c.Name); ok {
		says = p.Says
	}
	if err := f.CheckDropped(in.qs, c, a.ours, &says); err != nil {
		in.rep.refuse(verdict.LedgerPruned, c.Name, "ask who says so, and an operator: covenant audit log --kind ledger.pruned", "of %s: entries were dropped that stay here: %v; it was not adopted", in.shown, err)
		return oid.ID{}
	}
	if in.bareEntries(c, 0, len(c.Entries)) < len(c.Entries) {
		return oid.ID{}
	}
	return c.Entries[len(c.Entries)-1].Commit
}

// take moves a ledger to where it was pruned. What the remote is known to have is kept without what was dropped.
func (in *incoming) take(ref string, to oid.ID, a *along) {
	name := under(ref)
	in.moves[ref] = to
	if n, ok := isLedger(ref); ok && len(a.theirs) > len(a.ours) {
		in.copied(n)
	}
	if slots, err := ledger.Chain(in.qs, to); err == nil {
		n := len(a.theirs)
		if n == len(slots) || n > 0 && n < len(slots) && slots[n].Commit != slots[n-1].Commit {
			in.keep[name] = slots[n-1].Commit
		}
	}
	left := 0
	for i := range a.same {
		if a.ours[i].Dropped != "" && a.theirs[i].Dropped == "" {
			left++
		}
	}
	if left == 0 {
		return // what is here goes on from what is there
	}
	still := "1 entry that was"
	if left > 1 {
		still = fmt.Sprintf("%d entries that were", left)
	}
	in.rep.warn(verdict.LedgerUnpruned, strings.TrimPrefix(ref, ledger.Prefix), "send it without them: covenant sync; where that is refused, who keeps "+in.shown+" lets refs/covenant/ledger/audit be replaced",
		"%s still has %s dropped", in.shown, still)
	in.pruned[ref] = in.there[name]
}

// forget drops here what was dropped, as statements that have just come say. It reports whether anything was.
func (r *run) forget() (bool, error) {
	if !r.prunes || !slices.ContainsFunc(r.rep.Adopted, func(m Move) bool { return strings.HasPrefix(m.Name, provenance.CapabilityTopic+"/") }) {
		return false, nil
	}
	f, err := provenance.Load(r.ctx, r.s, r.o.Pin)
	if err != nil {
		return false, err
	}
	done := false
	for _, p := range f.Pending() {
		if err := f.Forget(r.ctx, r.s, p); err != nil {
			if r.ctx.Err() != nil {
				return done, err
			}
			r.rep.refuse(verdict.LedgerUnpruned, p.Says.Of, "ask who says so, and an operator: covenant audit log --kind ledger.pruned",
				"%d entries were dropped, says %s, and stay here: %v", p.Says.Dropped, p.ID.Short(), err)
			continue
		}
		r.rep.Dropped = append(r.rep.Dropped, fmt.Sprintf("%s: %d entries", p.Says.Of, p.Says.Dropped))
		done = true
	}
	return done, nil
}
