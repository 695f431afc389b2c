package provenance

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/event"
	"github.com/open-covenant/covenant-git/envelope/tlog"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
)

// PurgeAction is what somebody must be allowed whose prunings count.
const PurgeAction = "audit.purge"

// A Pruning is the statement that entries of a ledger were dropped.
type Pruning struct {
	capability.Place
	Says event.Pruning
	Err  error // why it counts for nothing
	late bool  // its signer's key was removed by who did not know of it
}

// Why a pruning counts for nothing.
var (
	ErrNoPruning = errors.New("it prunes nothing")
	ErrUnseen    = errors.New("nobody accountable has seen it yet")
)

// expand puts, where a ledger of events has gaps, and somebody who might says that entries of it were dropped, an entry for each that was: no further
// than is said, and of all ledgers not more than [ledger.MaxDropped]. Those come first of which operators say it, then those that
// lack the fewest.
func (f *Facts) expand(s *git.Session) error {
	type gapped struct {
		chain    *verdict.Chain
		commits  []git.Commit
		first    int
		most     uint64
		operator bool
	}
	said := map[string]struct{ operators, most uint64 }{} // how far
	for i := range f.prunings {
		if p := &f.prunings[i]; f.mightPrune(p) {
			x := said[p.Says.Of]
			if by, _ := f.Authority.ByKey(p.KeyID); by.Operator {
				x.operators = max(x.operators, p.Says.UpTo)
			}
			x.most = max(x.most, p.Says.UpTo)
			said[p.Says.Of] = x
		}
	}
	var list []gapped
	for _, name := range slices.Sorted(maps.Keys(f.Chains)) {
		c := f.Chains[name]
		if !strings.HasPrefix(name, AuditTopic+"/") {
			continue // of no other anything is dropped: a gap there is an entry that can't be read
		}
		commits := make([]git.Commit, len(c.Entries))
		for i := range c.Entries {
			commits[i] = f.commits[c.Entries[i].Commit]
		}
		i := slices.IndexFunc(commits, func(c git.Commit) bool { return ledger.Gapped([]git.Commit{c}) })
		if i < 0 {
			continue
		}
		x, ok := said[name]
		if !ok {
			f.cut(c, i, "entries", "no statement that counts says that they were dropped")
			continue
		}
		if x.operators > 0 {
			list = append(list, gapped{c, commits, i, x.operators, true})
		}
		if x.most > x.operators { // what others say beyond that has their rank
			list = append(list, gapped{c, commits, i, x.most, false})
		}
	}
	slices.SortStableFunc(list, func(a, b gapped) int {
		switch {
		case a.operator && !b.operator:
			return -1
		case b.operator && !a.operator:
			return 1
		}
		return cmp.Compare(a.most, b.most)
	})
	left := ledger.MaxDropped
	unread := map[string]gapped{}
	for _, x := range list {
		c := x.chain
		if f.gapped[c.Name] {
			continue // read as far as operators say, which is all of it
		}
		slots, err := ledger.ExpandUpTo(s, x.commits, int(min(uint64(left), x.most))) //nolint:gosec // bounded by left
		if err != nil {
			return err
		}
		c.Entries = entriesAt(slots)
		if n := count(droppedOf(c)); n > 0 {
			left -= int(n) //nolint:gosec // entries in memory
			f.gapped[c.Name] = true
			delete(unread, c.Name)
		} else {
			unread[c.Name] = x
		}
	}
	for _, name := range slices.Sorted(maps.Keys(unread)) {
		f.cut(unread[name].chain, unread[name].first, "entries", "more than who says so says, or more than can be read")
	}
	return nil
}

// entriesAt are the entries of places, none of them opened.
func entriesAt(slots []ledger.Slot) []verdict.Entry {
	out := make([]verdict.Entry, len(slots))
	for i, x := range slots {
		out[i] = verdict.Entry{Commit: x.Commit, ID: x.Dropped, Dropped: x.Dropped != ""}
	}
	return out
}

// mightPrune reports whether the signer of a pruning may say it, or might once: what anybody else says is not looked into.
func (f *Facts) mightPrune(p *Pruning) bool {
	q, err := purging(p.KeyID, p.Says.Before)
	by, _ := f.Authority.ByKey(p.KeyID)
	return err == nil && !p.late && f.Authority.MightEver(q) && (by.Operator || !by.OperatorUntil.IsZero() || !f.onlyOperators(p.KeyID, p.Says.Of))
}

// gatherPrunings takes in what ledgers of grants say was dropped.
func (f *Facts) gatherPrunings(refs []entryRef, states []*statement) {
	f.prunings = nil
	for i, r := range refs {
		if st := states[i].pruned; st != nil && r.entry().Err == nil && r.chain == f.Chains[r.chain.Name] && (r.chain.Broken == nil || r.i < r.chain.From) {
			f.prunings = append(f.prunings, Pruning{Place: r.place(), Says: *st, late: !r.chain.Whole(r.i)})
		}
	}
}

// holdGaps gives dropped entries their places, and breaks a ledger where it lacks what no pruning names: it was cut.
func (f *Facts) holdGaps() {
	for _, name := range slices.Sorted(maps.Keys(f.gapped)) {
		c := f.Chains[name]
		f.place(c)
		var said []*Pruning
		for i := range f.prunings {
			if p := &f.prunings[i]; p.Says.Of == name && f.mightPrune(p) {
				said = append(said, p)
			}
		}
		f.growRoots(c, said)
		said = slices.DeleteFunc(said, func(p *Pruning) bool { return f.isOf(p, c) != nil })
		if open := unsaid(c, said); len(open) > 0 {
			f.cut(c, first(open), entriesIn(open), "no statement that counts says that they were dropped")
		}
	}
}

// place gives the dropped entries of a ledger their places.
func (f *Facts) place(c *verdict.Chain) {
	key := ""
	for i := range c.Entries {
		if key = c.Entries[i].KeyID; key != "" {
			break
		}
	}
	topic, writer, _ := strings.Cut(c.Name, "/")
	var prev envelope.Digest
	for i := range c.Entries {
		if e := &c.Entries[i]; e.Dropped {
			e.KeyID = key
			e.Header = envelope.Header{Prev: prev, Repository: f.Root.ID, Seq: uint64(i) + 1, Topic: topic, Writer: writer} //nolint:gosec // an index is no negative number
		}
		prev = c.Entries[i].ID
	}
}

// unsaid returns which dropped entries of a ledger none of some prunings drops.
func unsaid(c *verdict.Chain, said []*Pruning) []event.Range {
	drops := make([]bool, len(c.Entries))
	said = slices.SortedFunc(slices.Values(said), func(a, b *Pruning) int { return cmp.Compare(b.Says.Dropped, a.Says.Dropped) })
	for i, p := range said { // each mostly says what those before it said
		if i == 0 || !within(p.Says.Ranges, said[0].Says.Ranges) {
			mark(drops, p.Says.Ranges)
		}
	}
	return rangesOf(len(c.Entries), func(i int) bool { return c.Entries[i].Dropped && !drops[i] })
}

// counting lists the prunings of a ledger as it is here that count.
func (f *Facts) counting(name string) []*Pruning {
	var out []*Pruning
	for i := range f.prunings {
		if p := &f.prunings[i]; p.Says.Of == name && p.Err == nil {
			out = append(out, p)
		}
	}
	return out
}

func first(ranges []event.Range) int { return int(ranges[0][0]) - 1 } //nolint:gosec // a number of an entry that is in memory

func entriesIn(ranges []event.Range) string {
	if n := count(ranges); n > 1 {
		return fmt.Sprintf("%d entries", n)
	}
	return "an entry"
}

// cut breaks a ledger at its first gap.
func (f *Facts) cut(c *verdict.Chain, i int, what, why string) {
	c.Break(i, verdict.LedgerPruned, "%s lacks %s, from number %d on, and %s", c.Name, what, i+1, why)
	if c.Broken.Code == verdict.LedgerPruned {
		c.Broken.Hint = "fetch it from who has them: covenant sync"
		if slices.ContainsFunc(f.prunings, func(p Pruning) bool { return p.Says.Of == c.Name }) {
			c.Broken.Hint += "; if nobody has, and it was right, an operator says so again: covenant audit prune --again --ledger " + c.Name + " --reason TEXT"
		}
	}
}

// droppedOf returns which entries of a ledger were dropped.
func droppedOf(c *verdict.Chain) []event.Range {
	return rangesOf(len(c.Entries), func(i int) bool { return c.Entries[i].Dropped })
}

// rangesOf returns the numbers of the places of n that have something.
func rangesOf(n int, has func(i int) bool) []event.Range {
	var out []event.Range
	for i := range n {
		seq := uint64(i) + 1 //nolint:gosec // an index is no negative number
		switch last := len(out) - 1; {
		case !has(i):
		case last >= 0 && out[last][1] == seq-1:
			out[last][1] = seq
		default:
			out = append(out, event.Range{seq, seq})
		}
	}
	return out
}

func count(ranges []event.Range) (n uint64) {
	for _, r := range ranges {
		n += r[1] - r[0] + 1
	}
	return n
}

// isOf returns why a pruning is not one of a ledger as it is here; nil where it is. What is dropped is another question.
func (f *Facts) isOf(p *Pruning, c *verdict.Chain) error {
	n := p.Says.UpTo
	switch {
	case p.Says.Of != c.Name:
		return fmt.Errorf("%w: it is of %s", ErrNoPruning, p.Says.Of)
	case n >= uint64(len(c.Entries)): // the newest entry stays, and is signed
		return fmt.Errorf("%w: %s has %d entries, and %d are to be behind it", ErrNoPruning, c.Name, len(c.Entries), n)
	case c.Entries[n-1].ID != p.Says.Last:
		return fmt.Errorf("%w: entry %d of %s is %s, not %s", ErrNoPruning, n, c.Name, c.Entries[n-1].ID.Short(), p.Says.Last.Short())
	}
	if root := f.roots[c.Name][n]; root != p.Says.Root {
		return fmt.Errorf("%w: the first %d entries of %s have another root than %s", ErrNoPruning, n, c.Name, p.Says.Root.Short())
	}
	return nil
}

// growRoots makes known what [Facts.isOf] asks of a ledger: the roots up to where prunings reach, all in one go over its entries.
func (f *Facts) growRoots(c *verdict.Chain, said []*Pruning) {
	var ends []uint64
	known := f.roots[c.Name]
	for _, p := range said {
		if n := p.Says.UpTo; known[n] == "" && n < uint64(len(c.Entries)) && c.Entries[n-1].ID == p.Says.Last {
			ends = append(ends, n)
		}
	}
	slices.Sort(ends)
	roots, err := rootsOf(c.Entries, slices.Compact(ends))
	if err != nil {
		return // an identity that is none is no place of a root
	}
	if known == nil {
		f.roots[c.Name] = roots
		return
	}
	maps.Copy(known, roots)
}

// rootsOf are the RFC 6962 tree hashes of the identities of the first entries, so many of them each time, in order.
func rootsOf(entries []verdict.Entry, ends []uint64) (map[uint64]envelope.Digest, error) {
	tree, tiles, out := tlog.Tree{}, edgeTiles{}, map[uint64]envelope.Digest{}
	for _, n := range ends {
		g, err := tlog.Grow(tree, tiles, func(yield func(tlog.Record, error) bool) {
			for i := range entries[tree.Size:n] {
				r, err := tlog.RecordOf(entries[tree.Size+uint64(i)].ID) //nolint:gosec // an index is no negative number
				if !yield(r, err) || err != nil {
					return
				}
			}
		}, tiles.put)
		if err != nil {
			return nil, err
		}
		for _, path := range g.Superseded {
			delete(tiles, path)
		}
		tree = g.Tree
		out[n] = envelope.Digest("sha256:" + hex.EncodeToString(tree.Root[:]))
	}
	return out, nil
}

// provePrunings breaks, before it is asked what is missing, the ledgers that lack what no pruning names that counts.
func (f *Facts) provePrunings() {
	if len(f.gapped) == 0 {
		return
	}
	known := f.Authority
	f.sight()
	f.witness()
	f.judgePrunings()
	for _, name := range slices.Sorted(maps.Keys(f.gapped)) {
		c := f.Chains[name]
		if c == nil {
			continue
		}
		open := unsaid(c, f.counting(name))
		if len(open) == 0 || c.Broken != nil && c.From <= first(open) {
			continue
		}
		why := "no statement that counts says that they were dropped"
		if i := slices.IndexFunc(f.prunings, func(p Pruning) bool { return p.Says.Of == name && p.Err != nil && !errors.Is(p.Err, ErrNoPruning) }); i >= 0 {
			why = fmt.Sprintf("who says that they were dropped may not: %v", f.prunings[i].Err)
		}
		f.cut(c, first(open), entriesIn(open), why)
		f.Problems = append(f.Problems, *c.Broken)
	}
	f.Authority = known
	f.timed, f.latest = nil, time.Time{} // what stands beyond is evidence of nothing
}

// judgePrunings finds which prunings count, as far as it is known who saw what.
func (f *Facts) judgePrunings() {
	may := map[string][]*Pruning{}
	for i := range f.prunings {
		p := &f.prunings[i]
		if p.Err = f.mayPrune(p); p.Err == nil && f.Chains[p.Says.Of] != nil {
			may[p.Says.Of] = append(may[p.Says.Of], p)
		}
	}
	for name, list := range may {
		c := f.Chains[name]
		f.growRoots(c, list)
		for _, p := range list {
			p.Err = f.isOf(p, c)
		}
	}
}

// tellPrunings tells of those who said that something was dropped, and may not.
func (f *Facts) tellPrunings() {
	for i := range f.prunings {
		p := &f.prunings[i]
		if errors.Is(p.Err, ErrDenied) && !(f.mightPrune(p) && slices.ContainsFunc(f.counting(p.Says.Of), func(q *Pruning) bool { return within(p.Says.Ranges, q.Says.Ranges) })) {
			f.problem(verdict.LedgerPruned, p.Says.Of, "see who may do what: covenant capability list", "that entries of it were dropped (%s) counts for nothing: %v", p.ID.Short(), p.Err)
		}
	}
}

// mayPrune returns why the signer of a pruning may not prune so far; nil where it may: when it was made, as far as that is believed. Of a
// person or automation of the trust root that nobody else has seen it does no harm; anybody else's waits for that. Only operators drop what
// keys of the trust root said, which is evidence of what others did, and what they said themselves.
func (f *Facts) mayPrune(p *Pruning) error {
	if !strings.HasPrefix(p.Says.Of, AuditTopic+"/") {
		return fmt.Errorf("%w: entries of %s are never dropped", ErrNoPruning, p.Says.Of)
	}
	q, err := purging(p.KeyID, p.Says.Before)
	if err != nil {
		return err
	}
	by, known := f.Authority.ByKey(p.KeyID)
	made, believed := f.Made(p.Place)
	switch {
	case p.late:
		return fmt.Errorf("%w: %s's key was removed, and who removed it did not know of it", capability.ErrLate, by.Name)
	case !f.dated(p.KeyID, p.Ledger, p.Seq) && f.onlyOperators(p.KeyID, p.Says.Of):
		return fmt.Errorf("%w: only operators drop what they, persons and automations of the trust root, or the pruner itself said", ErrDenied)
	case believed:
		for _, end := range []time.Time{by.Until, by.Compromised} { // who removed the key knew of it, whatever the clocks say
			if !end.IsZero() && !made.Before(end) {
				made = end.Add(-time.Second)
			}
		}
		q.At, q.EndedBy, q.Past = made, made, true
	case known && by.Accountable == by.Name:
		q.At = f.notBefore(p.Ledger, int(p.Seq)-1) //nolint:gosec // bounded by envelope.Header.Check
	default:
		return fmt.Errorf("%w: it is by somebody for whom another answers", ErrUnseen)
	}
	if d := f.Authority.Decide(q); !d.Allowed {
		return fmt.Errorf("%w: %s: %s", ErrDenied, PurgeAction, d.Reason)
	}
	return nil
}

// onlyOperators reports whether a ledger is one that only operators prune: that of a key of the trust root, or of the key itself.
func (f *Facts) onlyOperators(keyID, name string) bool {
	if f.rooted()[writerKey(name)] != nil {
		return true
	}
	k, ok := PublicKey(f.Authority, keyID)
	return ok && ledger.KeyDigits(k.Digest()) == writerKey(name)
}

// purging asks whether somebody may drop what was made before a time.
func purging(keyID, before string) (capability.Query, error) {
	t, err := time.Parse(time.RFC3339, before)
	if err != nil {
		return capability.Query{}, err
	}
	return capability.Query{KeyID: keyID, Action: PurgeAction, Resource: map[string]any{"before_ms": float64(t.UnixMilli())}}, nil
}

// Prunings returns what ledgers of grants say was dropped, and whether that counts.
func (f *Facts) Prunings() []Pruning { return f.prunings }

// Pending returns the prunings that count by which entries were dropped that are here, without those that others say as well: what an agent says
// is in the place of nothing that an operator does.
func (f *Facts) Pending() []Pruning {
	operator := func(p *Pruning) bool {
		by, ok := f.Authority.ByKey(p.KeyID)
		return ok && by.Operator
	}
	rank := func(p *Pruning) int {
		if operator(p) {
			return 0
		}
		return 1
	}
	by := map[string][]*Pruning{}
	for i := range f.prunings {
		p := &f.prunings[i]
		c := f.Chains[p.Says.Of]
		if p.Err != nil || c == nil || c.Broken != nil && uint64(c.From) <= p.Says.UpTo { //nolint:gosec // an index
			continue
		}
		by[c.Name] = append(by[c.Name], p)
	}
	var out []Pruning
	for _, name := range slices.Sorted(maps.Keys(by)) {
		slices.SortFunc(by[name], func(a, b *Pruning) int {
			return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(b.Says.Dropped, a.Says.Dropped), cmp.Compare(a.ID, b.ID))
		})
		have := [][]event.Range{droppedOf(f.Chains[name])}
		for _, p := range by[name] {
			if !slices.ContainsFunc(have, func(r []event.Range) bool { return within(p.Says.Ranges, r) }) {
				out, have = append(out, *p), append(have, p.Says.Ranges)
			}
		}
	}
	return out
}

// within reports whether all numbers of some ranges are in others.
func within(some, others []event.Range) bool {
	i := 0
	for _, r := range some {
		for i < len(others) && others[i][1] < r[0] {
			i++
		}
		if i == len(others) || !others[i].Has(r[0]) || !others[i].Has(r[1]) {
			return false
		}
	}
	return true
}

// Dropped returns how many entries of a ledger were dropped.
func (f *Facts) Dropped(name string) uint64 {
	c := f.Chains[name]
	if !f.gapped[name] || c == nil {
		return 0
	}
	return count(droppedOf(c))
}
