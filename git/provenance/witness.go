package provenance

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/oid"
)

// Admission is an admission in its ledger.
type Admission struct {
	capability.Place
	prov.Admission
}

// Action is what an admission's signer must be allowed to do. forward says that
// the new commit has the old one among its ancestors.
func (a *Admission) Action(forward bool) string { return admits(a.Ref, a.Old, a.New, forward) }

func admits(ref string, from, to oid.ID, forward bool) string {
	switch {
	case strings.HasPrefix(ref, "refs/tags/"):
		return capability.Tag
	case from.IsZero() || to.IsZero():
		return capability.Ref
	case forward:
		return capability.Push
	}
	return capability.Rewind
}

// seenAt says that a key saw a ledger up to an entry, or further.
type seenAt struct {
	Seq  uint64    `json:"seq"`
	Key  string    `json:"key"`
	Time time.Time `json:"time"`
}

// sight gathers who saw how far each ledger reached: the entries of persons and
// automation of the trust root, other than its own writer, name the heads they saw.
// An automation is believed when, as far as others saw that entry or wrote since, something was granted to it.
func (f *Facts) sight() {
	f.seen = map[string][]seenAt{}
	writers := map[string]string{}
	for name, c := range f.Chains {
		if len(c.Entries) > 0 {
			if p, ok := f.Authority.ByKey(c.Entries[0].KeyID); ok {
				writers[name] = p.Name
			}
		}
	}
	w := verdict.World{Chains: f.Chains}
	look := func(into map[string][]seenAt, kind trust.Kind) {
		for _, name := range slices.Sorted(maps.Keys(f.Chains)) {
			c := f.Chains[name]
			for i, e := range c.Entries {
				p, ok := f.Authority.ByKey(e.KeyID)
				if e.Err != nil || !c.Whole(i) || len(e.Header.Heads) == 0 || !ok || p.Accountable != p.Name || p.Kind != string(kind) {
					continue
				}
				if kind != trust.Human && !f.Authority.HeldAt(e.KeyID, f.notBefore(name, i)) {
					continue
				}
				for _, h := range e.Header.Heads {
					if id, ok := w.At(h.Ledger, h.Seq); ok && id == h.ID && writers[h.Ledger] != p.Name {
						into[h.Ledger] = append(into[h.Ledger], seenAt{h.Seq, e.KeyID, f.times()[name][i]})
					}
				}
			}
		}
	}
	look(f.seen, trust.Human)
	for _, p := range f.Root.Persons { // who made an operator none saw how far the ledgers reached
		f.sawUntil(p.OperatorSeen, p.OperatorUntil)
	}
	for _, x := range f.Root.Former { // the operators who removed a key saw how far its ledgers reached
		f.sawUntil(x.OperatorSeen, x.OperatorUntil)
		f.sawUntil(x.Seen, cmp.Or(x.Compromised, x.Until)) // of a stolen key it reached so far before the theft
	}
	f.firstOnly()
	f.witness() // automations are believed as far as persons saw
	others := map[string][]seenAt{}
	look(others, trust.Automation)
	for name, list := range others {
		f.seen[name] = append(f.seen[name], list...)
	}
	f.firstOnly()
}

// firstOnly leaves of those who saw as far who was first.
func (f *Facts) firstOnly() {
	for _, list := range f.seen {
		slices.SortFunc(list, func(a, b seenAt) int { return cmp.Or(cmp.Compare(b.Seq, a.Seq), a.Time.Compare(b.Time)) })
		for i := 1; i < len(list); i++ { // who saw further saw this too: keep who was first
			if first := list[i-1]; first.Time.Before(list[i].Time) {
				list[i].Key, list[i].Time = first.Key, first.Time
			}
		}
	}
}

// notBefore is a moment at which an entry was there for certain: the second before somebody else first saw it; else when operators wrote
// last, or when it says, whichever is later.
func (f *Facts) notBefore(name string, i int) time.Time {
	if s, ok := f.seenBy(name, i); ok {
		if t, err := time.Parse(time.RFC3339, s.Time); err == nil {
			return t.Add(-time.Second)
		}
	}
	latest := f.latestWord()
	if own := f.times()[name][i]; own.After(latest) {
		return own
	}
	return latest
}

// latestWord is the time of what an operator wrote last, in any ledger that is here.
func (f *Facts) latestWord() time.Time {
	f.times()
	return f.latest
}

// times are when entries were made, by ledger: as operators say, of a dropped one what the one before it says. Anybody else's is not earlier than the one before it, nor than
// those of operators whose heads it or one before it names.
func (f *Facts) times() map[string][]time.Time {
	if f.timed != nil {
		return f.timed
	}
	f.timed = map[string][]time.Time{}
	operator := func(keyID string) bool {
		p, ok := f.Authority.ByKey(keyID)
		return ok && p.Operator
	}
	for name, c := range f.Chains {
		list := make([]time.Time, len(c.Entries))
		for i, e := range c.Entries {
			if list[i] = e.Header.When(); e.Dropped && i > 0 { // what it said is gone: it was not before the entry before it
				list[i] = list[i-1]
			}
			if e.Err == nil && c.Whole(i) && operator(e.KeyID) && list[i].After(f.latest) {
				f.latest = list[i]
			}
		}
		f.timed[name] = list
	}
	w := verdict.World{Chains: f.Chains}
	for name, c := range f.Chains {
		list := f.timed[name]
		for i, e := range c.Entries {
			if operator(e.KeyID) {
				continue
			}
			if i > 0 && list[i-1].After(list[i]) {
				list[i] = list[i-1]
			}
			for _, h := range e.Header.Heads {
				id, ok := w.At(h.Ledger, h.Seq)
				if !ok || id != h.ID || !operator(f.Chains[h.Ledger].Entries[h.Seq-1].KeyID) {
					continue
				}
				if t := f.timed[h.Ledger][h.Seq-1]; t.After(list[i]) {
					list[i] = t
				}
			}
		}
	}
	return f.timed
}

// sawUntil takes in that the trust root names how far ledgers reached at a time.
func (f *Facts) sawUntil(heads []envelope.Head, until string) {
	at, err := time.Parse(time.RFC3339, until)
	if err != nil {
		return
	}
	w := verdict.World{Chains: f.Chains}
	for _, h := range heads {
		if id, ok := w.At(h.Ledger, h.Seq); ok && id == h.ID {
			f.seen[h.Ledger] = append(f.seen[h.Ledger], seenAt{h.Seq, "trust root", at})
		}
	}
}

// witness tells the authority who saw what.
func (f *Facts) witness() { f.Authority = f.Authority.Witnessed(f.firstSeen) }

// firstSeen is [capability.Sight].
func (f *Facts) firstSeen(p capability.Place) (time.Time, bool) {
	s, ok := f.seenBy(p.Ledger, int(p.Seq)-1) //nolint:gosec // bounded by envelope.Header.Check
	t, err := time.Parse(time.RFC3339, s.Time)
	return t, ok && err == nil
}

// seenBy returns who accountable, other than its writer, first saw the entry at an index of a ledger.
func (f *Facts) seenBy(ledger string, index int) (verdict.Seen, bool) {
	list := f.seen[ledger]
	// The last that reaches past the entry stands for all that do.
	n, _ := slices.BinarySearchFunc(list, uint64(index), func(s seenAt, i uint64) int { //nolint:gosec // an index is no negative number
		if s.Seq > i {
			return -1
		}
		return 1
	})
	if n == 0 {
		return verdict.Seen{}, false
	}
	s := list[n-1]
	return verdict.Seen{KeyID: s.Key, Time: envelope.Timestamp(s.Time)}, true
}

// taken reports whether an admission tells when something was taken in, and sets its time to when that is
// certain: of an operator the time it claims; of another person or automation of the trust root likewise, if it might admit
// something when somebody else first saw that, or as far as is known since; else, of who could say they had done it before
// a revocation, when somebody accountable first saw it.
func (f *Facts) taken(a *Admission) bool {
	if f.dated(a.KeyID, a.Ledger, a.Seq) {
		return true
	}
	i := int(a.Seq) - 1 //nolint:gosec // bounded by envelope.Header.Check
	if p, ok := f.Authority.ByKey(a.KeyID); ok && p.Accountable == p.Name && p.Until.IsZero() && p.OperatorUntil.IsZero() &&
		f.Authority.HeldAt(a.KeyID, f.notBefore(a.Ledger, i), admitting...) {
		a.Time = f.times()[a.Ledger][i]
		return true
	}
	seen, ok := f.seenBy(a.Ledger, i)
	if !ok {
		return false
	}
	t, err := time.Parse(time.RFC3339, seen.Time)
	if before := t.Add(-time.Second); err == nil && before.After(a.Time) { // it was there before it was seen
		a.Time = before
	}
	return err == nil
}

// admitting are the actions by which something is admitted.
var admitting = []string{capability.Push, capability.Rewind, capability.Ref, capability.Tag}

// admissions returns, for each commit the log brought, the first admission of each signer that took it in.
func (f *Facts) admissions() map[oid.ID][]verdict.Admission {
	out := map[oid.ID][]verdict.Admission{}
	taken := map[string]map[oid.ID]bool{} // signer → commits
	var list []Admission
	for _, a := range f.Admitted {
		if f.admits(a.KeyID) && f.taken(&a) {
			list = append(list, a)
		}
	}
	slices.SortStableFunc(list, func(a, b Admission) int { return a.Time.Compare(b.Time) })
	pos := f.positions(len(list) > 0)
	for i := range list {
		a := &list[i]
		if _, ok := f.commits[a.New]; !ok {
			continue
		}
		if taken[a.KeyID] == nil {
			taken[a.KeyID] = map[oid.ID]bool{}
		}
		var fresh []oid.ID
		todo := []oid.ID{a.New}
		for len(todo) > 0 {
			id := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			c, ok := f.commits[id]
			if !ok || taken[a.KeyID][id] {
				continue
			}
			taken[a.KeyID][id] = true
			todo = append(todo, c.Parents...)
			fresh = append(fresh, id)
		}
		if len(fresh) == 0 {
			continue
		}
		// What went on from outside of the range goes forward: the line of admissions is judged where the ref is.
		_, known := f.commits[a.Old]
		in := verdict.Admission{KeyID: a.KeyID, Ref: a.Ref, Time: envelope.Timestamp(a.Time), Action: a.Action(!known || f.forward(pos, a.Old, a.New))}
		if seen, ok := f.seenBy(a.Ledger, int(a.Seq)-1); ok { //nolint:gosec // bounded by envelope.Header.Check
			in.Seen = seen.Time
		}
		for _, id := range fresh {
			out[id] = append(out[id], in)
		}
	}
	return out
}

// Made returns when an entry was made, as far as that is believed: at its own time where its signer is an operator, else right before
// somebody accountable first saw it; false where nobody else is known to have seen it.
func (f *Facts) Made(at capability.Place) (time.Time, bool) {
	if f.dated(at.KeyID, at.Ledger, at.Seq) {
		return at.Time, true
	}
	seen, known := f.seenBy(at.Ledger, int(at.Seq)-1) //nolint:gosec // bounded by envelope.Header.Check
	if !known {
		return time.Time{}, false
	}
	when, err := time.Parse(time.RFC3339, seen.Time)
	return when.Add(-time.Second), err == nil // it was there before it was seen
}

// Earlier orders entries by when they were made: of which that is not known come last. Of the same time those come first that claim an earlier one,
// then those with the smaller identity.
func (f *Facts) Earlier(a, b capability.Place) int {
	at, known := f.Made(a)
	bt, too := f.Made(b)
	switch {
	case known != too && known:
		return -1
	case known != too:
		return 1
	}
	return cmp.Or(at.Compare(bt), a.Time.Compare(b.Time), cmp.Compare(a.ID, b.ID))
}
