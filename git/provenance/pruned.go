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
	said := map[string]gapped{}
	for i := range f.prunings {
		if p := &f.prunings[i]; f.mightPrune(p) {
			x := said[p.Says.Of]
			by, _ := f.Authority.ByKey(p.KeyID)
			x.most, x.operator = max(x.most, p.Says.UpTo), x.operator || by.Operator
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
		if x.chain, x.commits, x.first = c, commits, i; ok {
			list = append(list, x)
			continue
		}
		f.cut(c, i, "entries", "no statement that counts says that they were dropped")
	}
	slices.SortStableFunc(list, func(a, b gapped) int {
		if a.operator != b.operator {
			return map[bool]int{true: -1, false: 1}[a.operator]
		}
		return cmp.Compare(a.most, b.most)
	})
	left := ledger.MaxDropped
	for _, x := range list {
		slots, err := ledger.ExpandUpTo(s, x.commits, int(min(uint64(left), x.most))) //nolint:gosec // bounded by left
		if err != nil {
			return err
		}
		c := x.chain
		c.Entries = entriesAt(slots)
		if n := count(droppedOf(c)); n > 0 {
			left -= int(n) //nolint:gosec // entries in memory
			f.gapped[c.Name] = []int{}
		} else {
			f.cut(c, x.first, "entries", "more than who says so says, or more than can be read")
		}
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
	return err == nil && f.Authority.MightEver(q) && (by.Operator || !by.OperatorUntil.IsZero() || !f.onlyOperators(p.KeyID, p.Says.Of))
}

// gatherPrunings takes in what ledgers of grants say was dropped.
func (f *Facts) gatherPrunings(refs []entryRef, states []statement) {
	f.prunings = nil
	for i, r := range refs {
		if st := states[i].pruned; st != nil && r.entry().Err == nil && r.chain == f.Chains[r.chain.Name] && r.chain.Whole(r.i) {
			f.prunings = append(f.prunings, Pruning{Place: r.place(), Says: *st})
		}
	}
}

// holdGaps gives dropped entries their places, and breaks a ledger where it lacks what no pruning names: it was cut.
func (f *Facts) holdGaps() {
	for _, name := range slices.Sorted(maps.Keys(f.gapped)) {
		c := f.Chains[name]
		key := ""
		for i := range c.Entries {
			if key = c.Entries[i].KeyID; key != "" {
				break
			}
		}
		topic, writer, _ := strings.Cut(name, "/")
		var prev envelope.Digest
		for i := range c.Entries {
			if e := &c.Entries[i]; e.Dropped {
				e.KeyID = key
				e.Header = envelope.Header{Prev: prev, Repository: f.Root.ID, Seq: uint64(i) + 1, Topic: topic, Writer: writer} //nolint:gosec // an index is no negative number
			}
			prev = c.Entries[i].ID
		}
		ranges := droppedOf(c)
		f.gapped[name] = []int{}
		for i := range f.prunings {
			if p := &f.prunings[i]; slices.Equal(p.Says.Ranges, ranges) && f.isOf(p, c) == nil {
				f.gapped[name] = append(f.gapped[name], i)
			}
		}
		if len(f.gapped[name]) == 0 {
			f.cut(c, first(ranges), entriesIn(ranges), "no statement that counts says that they were dropped")
		}
	}
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
	at := fmt.Sprint(c.Name, " ", n)
	root, known := f.roots[at]
	if !known {
		var err error
		if root, err = rootOf(c.Entries[:n]); err != nil {
			return err
		}
		f.roots[at] = root // whoever may say it may say it often
	}
	if root != p.Says.Root {
		return fmt.Errorf("%w: the first %d entries of %s have another root than %s", ErrNoPruning, n, c.Name, p.Says.Root.Short())
	}
	return nil
}

// rootOf is the RFC 6962 tree hash of the identities of entries.
func rootOf(entries []verdict.Entry) (envelope.Digest, error) {
	tiles := edgeTiles{}
	g, err := tlog.Grow(tlog.Tree{}, tiles, func(yield func(tlog.Record, error) bool) {
		for i := range entries {
			r, err := tlog.RecordOf(entries[i].ID)
			if !yield(r, err) || err != nil {
				return
			}
		}
	}, func(tlog.Tile) error { return nil })
	if err != nil {
		return "", err
	}
	return envelope.Digest("sha256:" + hex.EncodeToString(g.Tree.Root[:])), nil
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
		c, named := f.Chains[name], f.gapped[name]
		if c == nil || len(named) == 0 || slices.ContainsFunc(named, func(i int) bool { return f.prunings[i].Err == nil }) {
			continue
		}
		ranges := droppedOf(c)
		if c.Broken != nil && c.From <= first(ranges) {
			continue
		}
		f.cut(c, first(ranges), entriesIn(ranges), fmt.Sprintf("who says that they were dropped may not: %v", f.prunings[named[0]].Err))
		f.Problems = append(f.Problems, *c.Broken)
	}
	f.Authority = known
	f.timed, f.latest = nil, time.Time{} // what stands beyond is evidence of nothing
}

// judgePrunings finds which prunings count, as far as it is known who saw what.
func (f *Facts) judgePrunings() {
	for i := range f.prunings {
		p := &f.prunings[i]
		c := f.Chains[p.Says.Of]
		if p.Err = f.mayPrune(p); p.Err == nil && c != nil {
			p.Err = f.isOf(p, c)
		}
	}
}

// tellPrunings tells of those who said that something was dropped, and may not.
func (f *Facts) tellPrunings() {
	for i := range f.prunings {
		if p := &f.prunings[i]; errors.Is(p.Err, ErrDenied) {
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
	case !f.dated(p.KeyID, p.Ledger, p.Seq) && f.onlyOperators(p.KeyID, p.Says.Of):
		return fmt.Errorf("%w: only operators drop what they, persons and automations of the trust root, or the pruner itself said", ErrDenied)
	case believed:
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

// Pending returns, for each ledger that has entries here which somebody who may dropped, the pruning that drops the most.
func (f *Facts) Pending() []Pruning {
	best := map[string]*Pruning{}
	for i := range f.prunings {
		p := &f.prunings[i]
		c := f.Chains[p.Says.Of]
		if p.Err != nil || c == nil || c.Broken != nil && uint64(c.From) <= p.Says.UpTo { //nolint:gosec // an index
			continue
		}
		have := droppedOf(c)
		if count(have) >= p.Says.Dropped || !within(have, p.Says.Ranges) {
			continue
		}
		was := best[c.Name]
		if was == nil || p.Says.Dropped > was.Says.Dropped || p.Says.Dropped == was.Says.Dropped && p.ID < was.ID {
			best[c.Name] = p
		}
	}
	var out []Pruning
	for _, name := range slices.Sorted(maps.Keys(best)) {
		out = append(out, *best[name])
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
	if _, ok := f.gapped[name]; !ok || c == nil {
		return 0
	}
	return count(droppedOf(c))
}
