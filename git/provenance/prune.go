package provenance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/event"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/oid"
)

// ErrStays says that a pruning drops an entry that is never dropped, or one that is not known to be as old. Who has the entry takes no part in it.
var ErrStays = errors.New("it drops what stays")

// body is what an entry says that may be dropped.
type body struct {
	stays string   // why it is never dropped; "" where it may be
	kinds []string // of its records
	heads []envelope.Head
	time  time.Time // as it claims
}

// bodyOf reads an entry of a ledger of events.
func (f *Facts) bodyOf(env *envelope.Envelope) (body, error) {
	if env.PayloadType() != envelope.TypeLedger {
		return body{stays: "a statement about an object"}, nil
	}
	o, err := env.Open(envelope.TypeLedger, 1, f.ring)
	if err != nil {
		return body{}, err
	}
	kind, err := envelope.TypeOf(o)
	if err != nil {
		return body{}, err
	}
	h, err := envelope.HeaderOf(o)
	if err != nil {
		return body{}, err
	}
	b := body{heads: h.Heads, time: h.When()}
	switch kind {
	case event.Recorded:
		r, err := event.Parse(o)
		if err != nil {
			b.stays = "a recording that says nothing"
			return b, nil //nolint:nilerr // it is told by audit verify --deep
		}
		b.stays = r.Body.Stays()
		for i := range r.Body.Events {
			b.kinds = append(b.kinds, r.Body.Events[i].Kind)
		}
	case capability.Checked:
		c, err := capability.ParseCheck(o)
		if err != nil {
			return body{}, err
		}
		if b.kinds = []string{event.Name(kind)}; !c.Body.Allowed {
			b.stays = "a denial"
		}
	default:
		b.stays = event.Name(kind)
	}
	return b, nil
}

// attests returns why an entry stays whatever it says: what an accountable person or automation had seen when they wrote it dates
// what others did.
func (f *Facts) attests(keyID string, heads []envelope.Head) string {
	if p, ok := f.Authority.ByKey(keyID); ok && p.Accountable == p.Name && len(heads) > 0 {
		return "what somebody accountable had seen"
	}
	return ""
}

// madeBefore reports whether an entry is known to have been made before a time: by an operator's word for its own, else since somebody else who
// is accountable had seen it by then. What its writer claims is no evidence.
func (f *Facts) madeBefore(c *verdict.Chain, i int, claimed, before time.Time) bool {
	e := &c.Entries[i]
	made, known := f.Made(capability.Place{ID: e.ID, KeyID: e.KeyID, Ledger: c.Name, Seq: uint64(i) + 1, Time: claimed}) //nolint:gosec // an index is no negative number
	return known && made.Before(before)
}

// bodies reads what entries of a ledger say.
func (f *Facts) bodies(s *git.Session, c *verdict.Chain, slots []ledger.Slot, list []int, yield func(i int, b body) error) error {
	return f.each(s, c, slots, list, func(i int, env *envelope.Envelope) error {
		b, err := f.bodyOf(env)
		if err != nil {
			return err
		}
		return yield(i, b)
	})
}

// each reads entries of a ledger, which must be the very ones, from where they stand.
func (f *Facts) each(s *git.Session, c *verdict.Chain, slots []ledger.Slot, list []int, yield func(i int, env *envelope.Envelope) error) error {
	n := 0
	for o, err := range s.Objects(func(yield func(string) bool) {
		for _, i := range list {
			if !yield(slots[i].Commit.String() + ":" + ledger.File) {
				return
			}
		}
	}, envelope.MaxSize) {
		if n == len(list) {
			break
		}
		i := list[n]
		n++
		var env *envelope.Envelope
		if err == nil {
			env, err = ledger.ParseBlob(o.Data)
		}
		if err == nil && env.ID() != c.Entries[i].ID {
			err = fmt.Errorf("%w: it is %s, not %s", ErrStays, env.ID().Short(), c.Entries[i].ID.Short())
		}
		if err == nil {
			err = yield(i, env)
		}
		if err != nil {
			return fmt.Errorf("entry %d of %s: %w", i+1, c.Name, err)
		}
	}
	if n < len(list) {
		return fmt.Errorf("%w: %d of %d entries came", ledger.ErrDamaged, n, len(list))
	}
	return nil
}

// A Plan is what can be dropped of a ledger.
type Plan struct {
	Says  event.Pruning  // without its reason; of no ranges where nothing can be dropped that is here
	New   uint64         // entries that are here and go
	Again bool           // it says of nothing new that it was dropped: see [Facts.PlanAgain]
	Stays map[string]int // older entries that stay, by why
	Young int            // entries that are not known to be as old
}

// ErrNotPrunable says that a ledger can't be pruned now.
var ErrNotPrunable = errors.New("can't be pruned")

// PlanPruning finds what can be dropped of a ledger of events: what was made before a time, without what is never dropped, what others rest on, and the newest entry.
func (f *Facts) PlanPruning(s *git.Session, name string, before time.Time) (*Plan, error) {
	c := f.Chains[name]
	switch {
	case c == nil || !strings.HasPrefix(name, AuditTopic+"/"):
		return nil, fmt.Errorf("%w: %s is no ledger of topic %s that is here", ErrNotPrunable, name, AuditTopic)
	case c.Broken != nil:
		return nil, fmt.Errorf("%w: %s", ErrNotPrunable, c.Broken.Message)
	}
	for _, x := range f.forks {
		if x.chain.Name == name {
			return nil, fmt.Errorf("%w: %s went two ways, and %s is the evidence", ErrNotPrunable, name, x.ref)
		}
	}
	slots := make([]ledger.Slot, len(c.Entries))
	var list []int
	for i := range c.Entries {
		slots[i] = ledger.Slot{Commit: c.Entries[i].Commit, Dropped: c.Entries[i].ID}
		if !c.Entries[i].Dropped && i < len(c.Entries)-1 {
			list = append(list, i)
		}
	}
	p := &Plan{Stays: map[string]int{}, Says: event.Pruning{Before: envelope.Timestamp(before), Of: name, Kinds: map[string]uint64{}}}
	read := make(map[int]body, len(list))
	err := f.bodies(s, c, slots, list, func(i int, b body) error {
		if !f.madeBefore(c, i, b.time, before) {
			p.Young++
			return nil
		}
		if b.stays == "" {
			b.stays = f.attests(c.Entries[i].KeyID, b.heads)
		}
		read[i] = b
		return nil
	})
	if err != nil {
		return nil, err
	}
	drop := make([]bool, len(c.Entries))
	named := map[string]uint64{} // by entries that stay, and come later
	for i := len(c.Entries) - 1; i >= 0; i-- {
		b, old := read[i]
		switch {
		case c.Entries[i].Dropped:
			drop[i] = true
			continue
		case old && b.stays == "" && slices.ContainsFunc(b.heads, func(h envelope.Head) bool { return named[h.Ledger] < h.Seq }):
			b.stays = "the last that names another ledger"
		case old && b.stays == "":
			drop[i] = true
			p.New++
			for _, k := range b.kinds {
				p.Says.Kinds[k]++
			}
			continue
		}
		if old {
			p.Stays[b.stays]++
		}
		for _, h := range c.Entries[i].Header.Heads {
			named[h.Ledger] = max(named[h.Ledger], h.Seq)
		}
	}
	if p.New == 0 {
		return p, nil
	}
	if was, ok := f.PruningOf(name); ok {
		for k, n := range was.Says.Kinds {
			p.Says.Kinds[k] += n
		}
	}
	p.Says.Kinds = event.FewKinds(p.Says.Kinds)
	p.Says.Ranges = rangesOf(len(drop), func(i int) bool { return drop[i] })
	all := p.New
	for other := range f.gapped {
		all += f.Dropped(other)
	}
	if all > ledger.MaxDropped {
		return nil, fmt.Errorf("%w: ledgers keep the identities of at most %d dropped entries, and with those of %s it would be %d", ErrNotPrunable, ledger.MaxDropped, name, all)
	}
	if len(p.Says.Ranges) > event.MaxRanges {
		return nil, fmt.Errorf("%w: what stays of %s leaves more than %d gaps", ErrNotPrunable, name, event.MaxRanges)
	}
	return p, p.commit(c)
}

// commit fills in what follows from the ranges of a plan and the identities of the ledger.
func (p *Plan) commit(c *verdict.Chain) error {
	p.Says.Dropped = count(p.Says.Ranges)
	p.Says.UpTo = p.Says.Ranges[len(p.Says.Ranges)-1][1]
	p.Says.Last = c.Entries[p.Says.UpTo-1].ID
	roots, err := rootsOf(c.Entries, []uint64{p.Says.UpTo})
	p.Says.Root = roots[p.Says.UpTo]
	return err
}

// Prune states, as the hand, that entries are dropped, as f planned it: all or none. Nothing is dropped by that: see
// [Facts.Forget]. That the hand may not is recorded, and returned as a *[DeniedError].
func (k *Sealer) Prune(ctx context.Context, f *Facts, reason string, plans ...*Plan) ([]ledger.Appended, error) {
	if err := event.CheckReason(reason); err != nil {
		return nil, err
	}
	var items []Item
	for _, p := range plans {
		q, err := purging(k.Hand.Signer.Public().ID(), p.Says.Before)
		if err != nil {
			return nil, err
		}
		switch operator := k.Hand.Principal.Operator; {
		case p.Again && !operator:
			err = k.Forbid(ctx, q, capability.Decision{Reason: "only operators say again what others dropped"})
		case !operator && f.onlyOperators(q.KeyID, p.Says.Of):
			err = k.Forbid(ctx, q, capability.Decision{Reason: "only operators prune " + p.Says.Of})
		default:
			err = k.Permit(ctx, q)
		}
		if err != nil {
			return nil, err
		}
		says := p.Says
		says.Reason = reason
		items = append(items, Item{event.Pruned, says, fmt.Sprintf("ledger.pruned %s %d entries", says.Of, says.Dropped)})
	}
	return k.Record(ctx, CapabilityTopic, items...)
}

// CheckDropped holds what a pruning drops of a ledger to the entries as they are here, or were: was are their places. All of them must be
// in the ledger as f has it, and what goes of them must be what may be dropped. The error wraps ErrStays, or [ErrComesBack].
func (f *Facts) CheckDropped(s *git.Session, c *verdict.Chain, was []ledger.Slot, says *event.Pruning) error {
	if len(was) > len(c.Entries) {
		return fmt.Errorf("%w: it has %d entries of %d", ErrStays, len(c.Entries), len(was))
	}
	goes := make([]bool, len(c.Entries))
	mark(goes, says.Ranges)
	until, parts := f.until(c, says.Ranges)
	var list, same []int
	for i, x := range was {
		switch {
		case x.Dropped != "" && x.Dropped != c.Entries[i].ID:
			return fmt.Errorf("%w: entry %d is another one", ErrStays, i+1)
		case x.Dropped != "" && !goes[i]:
			return fmt.Errorf("%w: entry %d", ErrComesBack, i+1)
		case x.Dropped != "":
			for _, p := range parts {
				p.whole = p.whole && !p.drops[i]
			}
		case goes[i]:
			list = append(list, i)
		case x.Commit != c.Entries[i].Commit:
			same = append(same, i)
		}
	}
	if err := f.same(s, c, was, same); err != nil {
		return err
	}
	named := map[string]uint64{}
	last := len(c.Entries) - 1
	later := func(i int) { // takes in what stays behind an entry
		for ; last > i; last-- {
			if !goes[last] {
				for _, h := range c.Entries[last].Header.Heads {
					named[h.Ledger] = max(named[h.Ledger], h.Seq)
				}
			}
		}
	}
	slices.Reverse(list)
	err := f.bodies(s, c, was, list, func(i int, b body) error {
		later(i)
		for _, p := range parts {
			p.count(i, b.kinds)
		}
		why := b.stays
		if why == "" {
			why = f.attests(c.Entries[i].KeyID, b.heads)
		}
		switch {
		case why != "":
			return fmt.Errorf("%w: %s", ErrStays, why)
		case !f.madeBefore(c, i, b.time, until[i]):
			return fmt.Errorf("%w: nobody accountable is known to have seen it before %s", ErrStays, envelope.Timestamp(until[i]))
		case slices.ContainsFunc(b.heads, func(h envelope.Head) bool { return named[h.Ledger] < h.Seq }):
			return fmt.Errorf("%w: no later entry says that its writer had seen as much", ErrStays)
		}
		return nil
	})
	for _, p := range parts {
		if err == nil && p.whole && uint64(len(was)) >= p.says.UpTo {
			if why := p.says.Counts(p.least, p.most); why != nil {
				err = fmt.Errorf("%w: %w", ErrStays, why)
			}
		}
	}
	return err
}

// part is one of the prunings by which a ledger lacks entries.
type part struct {
	says        *event.Pruning
	drops, gone []bool // which entries it drops, and which of these others had dropped
	whole       bool   // what all of them said is here
	least, most map[string]uint64
}

func (p *part) count(i int, kinds []string) {
	if !p.drops[i] {
		return
	}
	for _, k := range kinds {
		if p.most[k]++; !p.gone[i] {
			p.least[k]++
		}
	}
}

// until returns up to when each entry of a ledger may be dropped that some ranges drop, as the prunings say that count, and those of them that
// say the most.
func (f *Facts) until(c *verdict.Chain, ranges []event.Range) ([]time.Time, []*part) {
	until := make([]time.Time, len(c.Entries))
	said := f.counting(c.Name)
	slices.SortFunc(said, func(a, b *Pruning) int {
		return cmp.Or(cmp.Compare(b.Says.Dropped, a.Says.Dropped), cmp.Compare(a.ID, b.ID))
	})
	var parts []*part
	for _, p := range said {
		before, err := time.Parse(time.RFC3339, p.Says.Before)
		if err != nil || !within(p.Says.Ranges, ranges) {
			continue
		}
		for _, r := range p.Says.Ranges {
			for seq := r[0]; seq <= r[1]; seq++ {
				if t := &until[seq-1]; t.Before(before) {
					*t = before
				}
			}
		}
		most := true
		for _, x := range parts {
			if within(p.Says.Ranges, x.says.Ranges) {
				if most = false; p.Says.Dropped < x.says.Dropped {
					mark(x.gone, p.Says.Ranges)
				}
			}
		}
		if most {
			x := &part{says: &p.Says, drops: make([]bool, len(until)), gone: make([]bool, len(until)), whole: true, least: map[string]uint64{}, most: map[string]uint64{}}
			mark(x.drops, p.Says.Ranges)
			parts = append(parts, x)
		}
	}
	return until, parts
}

// ErrComesBack says that a ledger has entries that were dropped where it is to go.
var ErrComesBack = errors.New("what was dropped would come back")

// mark notes the numbers in ranges among places, of which they may go beyond the end.
func mark(places []bool, ranges []event.Range) {
	for _, r := range ranges {
		for seq := r[0]; seq <= min(r[1], uint64(len(places))); seq++ {
			places[seq-1] = true
		}
	}
}

// same reports whether entries that stand elsewhere are those of a ledger.
func (f *Facts) same(s *git.Session, c *verdict.Chain, was []ledger.Slot, list []int) error {
	return f.each(s, c, was, list, func(int, *envelope.Envelope) error { return nil })
}

// PruningOf returns what prunings that count say of the entries that a ledger lacks; false where it lacks none, or some of which none says so.
func (f *Facts) PruningOf(name string) (Pruning, bool) {
	c := f.Chains[name]
	if !f.gapped[name] || c == nil {
		return Pruning{}, false
	}
	said := f.counting(name)
	said = slices.DeleteFunc(said, func(p *Pruning) bool { return !within(p.Says.Ranges, droppedOf(c)) })
	if len(said) == 0 || len(unsaid(c, said)) > 0 {
		return Pruning{}, false
	}
	most := slices.MaxFunc(said, func(a, b *Pruning) int {
		return cmp.Or(cmp.Compare(a.Says.Dropped, b.Says.Dropped), cmp.Compare(b.ID, a.ID))
	})
	out := *most
	out.Says.Ranges, out.Says.Kinds = droppedOf(c), kindsOf(said)
	out.Says.Dropped, out.Says.UpTo = count(out.Says.Ranges), out.Says.Ranges[len(out.Says.Ranges)-1][1]
	return out, true
}

// kindsOf is how many records of each kind were dropped at least, as prunings of a ledger say.
func kindsOf(said []*Pruning) map[string]uint64 {
	out := map[string]uint64{}
	sum := func(m map[string]uint64) (n uint64) {
		for _, x := range m {
			n += x
		}
		return n
	}
	for _, p := range said {
		_, rest := p.Says.Kinds[event.Rest]
		if _, had := out[event.Rest]; rest || had { // which of them the other one counts as the rest is not known
			if sum(p.Says.Kinds) > sum(out) {
				out = maps.Clone(p.Says.Kinds)
			}
			continue
		}
		for k, n := range p.Says.Kinds {
			out[k] = max(out[k], n)
		}
	}
	return out
}

// Forget drops from this clone what a pruning says, once it is known here that all of it may be: the ledger, and what is known of it at remotes,
// move to commits without it. Git deletes the rest when it collects what nothing leads to. What was appended
// meanwhile stays. It may be done again, and ends what a process that died began.
func (f *Facts) Forget(ctx context.Context, s *git.Session, p Pruning) error {
	c := f.Chains[p.Says.Of]
	if c == nil || p.Err != nil {
		return errors.Join(ErrNoPruning, p.Err)
	}
	name, ok := ledger.ParseRef(ledger.Prefix + c.Name)
	if !ok {
		return ErrNoPruning
	}
	unlock, err := s.Repo().Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return git.Retry(ctx, func() error {
		refs, err := s.Tips(name.Ref(), RemotePrefix)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(refs, func(r git.Ref) bool { return r.Name == name.Ref() })
		if i < 0 {
			return fmt.Errorf("%w: %s is not here", ErrNoPruning, name)
		}
		old := refs[i].ID
		was, err := ledger.Chain(s, old)
		if err != nil {
			return err
		}
		if len(was) < len(c.Entries) {
			return fmt.Errorf("%w: %s was changed meanwhile", ErrNoPruning, name)
		}
		slots := slices.Clone(was)
		for _, r := range p.Says.Ranges {
			for seq := r[0]; seq <= r[1]; seq++ {
				slots[seq-1].Dropped = c.Entries[seq-1].ID
			}
		}
		says := p.Says
		says.Ranges = rangesOf(len(c.Entries), func(i int) bool { return slots[i].Dropped != "" }) // with what is gone already
		if err := f.CheckDropped(s, c, was[:len(c.Entries)], &says); err != nil {
			return err
		}
		tip, err := ledger.Prune(s, name, slots)
		if err != nil || tip == old {
			return err
		}
		if err := s.Flush(); err != nil {
			return err
		}
		now, err := ledger.Chain(s, tip)
		if err != nil {
			return err
		}
		updates := []git.RefUpdate{{Name: name.Ref(), New: tip, Old: old}}
		for _, r := range refs {
			if strings.HasPrefix(r.Name, RemotePrefix) && strings.HasSuffix(r.Name, "/ledger/"+c.Name) {
				if u, ok := tracking(r, was, now); ok {
					updates = append(updates, u)
				}
			}
		}
		if err := s.Update("covenant audit prune", updates...); err != nil {
			return err
		}
		if v, ok := sightOf(s.Repo(), name); ok && v.Tip == old.String() {
			v.Tip = tip.String()
			v.keep(s.Repo(), name)
		}
		return nil
	})
}

// tracking moves what a remote is known to have of a ledger to where the same entry stands now; where that was dropped, and others after it, it is forgotten.
func tracking(r git.Ref, was, now []ledger.Slot) (git.RefUpdate, bool) {
	for i := len(was) - 1; i >= 0; i-- {
		if was[i].Commit != r.ID {
			continue
		}
		u := git.RefUpdate{Name: r.Name, Old: r.ID, New: now[i].Commit}
		if i+1 < len(now) && now[i+1].Commit == now[i].Commit {
			u.New = oid.ID{}
		}
		return u, u.New != u.Old
	}
	return git.RefUpdate{}, false
}

// Stayed lists why older entries stay, for people, the most frequent first.
func (p *Plan) Stayed() []string {
	keys := slices.SortedFunc(maps.Keys(p.Stays), func(a, b string) int { return p.Stays[b] - p.Stays[a] })
	out := make([]string, 0, len(keys))
	for _, k := range keys {
		out = append(out, fmt.Sprintf("%d: %s", p.Stays[k], k))
	}
	return out
}
