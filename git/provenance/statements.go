package provenance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/handoff"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/oid"
)

// entryRef points into a chain while its envelopes are on their way.
type entryRef struct {
	chain *verdict.Chain
	i     int
}

func (f *Facts) entriesOf(want func(topic string) bool) []entryRef {
	var out []entryRef
	for _, n := range slices.Sorted(maps.Keys(f.Chains)) {
		topic, _, _ := strings.Cut(n, "/")
		if !want(topic) {
			continue
		}
		for i := range f.Chains[n].Entries {
			if !f.Chains[n].Entries[i].Dropped {
				out = append(out, entryRef{f.Chains[n], i})
			}
		}
	}
	return out
}

func (r entryRef) entry() *verdict.Entry { return &r.chain.Entries[r.i] }

// objectNames names the envelopes of those of some entries that are at these places.
func objectNames(refs []entryRef, at []int) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, i := range at {
			if !yield(refs[i].entry().Commit.String() + ":" + ledger.File) {
				return
			}
		}
	}
}

// readGrants reads the capability ledgers, links them, and folds the authority.
// Who may write there is told by what is written there: delegations are by the
// holders of grants. So entries by keys nobody knows yet are opened again when
// more are known.
func (f *Facts) readGrants(_ context.Context, s *git.Session) error {
	persons := Persons(f.Root)
	ofGrants := func(t string) bool { return t == CapabilityTopic }
	refs := append(f.entriesOf(ofGrants), f.forkEntries(ofGrants)...)
	data := make([][]byte, len(refs))
	kept := make([]*openedEntry, len(refs)) // what is remembered of them
	var open []int
	for i, r := range refs {
		if kept[i] = f.known.of(r); kept[i] == nil {
			open = append(open, i)
		}
	}
	i := 0
	for o, err := range s.Objects(objectNames(refs, open), envelope.MaxSize) {
		if i >= len(open) {
			break
		}
		e := refs[open[i]].entry()
		if err != nil {
			e.Err = fmt.Errorf("%w: %w", ledger.ErrDamaged, err)
		} else {
			e.Blob, data[open[i]] = o.ID, o.Data
		}
		i++
	}
	if i < len(open) {
		return fmt.Errorf("reading ledgers: %d of %d entries came", i, len(open))
	}
	f.Authority = capability.Fold(persons, nil, nil)
	states := blank(len(refs))
	for known := -1; known < len(f.Authority.Principals()); {
		known = len(f.Authority.Principals())
		for i, r := range refs {
			e := r.entry()
			if data[i] == nil && kept[i] == nil || (e.ID != "" && !errors.Is(e.Err, envelope.ErrUnknownKey)) {
				continue
			}
			var st statement
			if e.Err = nil; kept[i] != nil {
				st = f.recall(r, kept[i])
			} else {
				st = openInto(e, f.Root.ID, data[i], f.ring)
			}
			if states[i] = &st; e.ID != "" {
				f.byID[e.ID] = e.Blob
			}
		}
		f.Authority = f.fold(persons, refs, states)
	}
	f.resolve(refs, states)
	f.tellForks(ofGrants)
	f.link(f.Authority, CapabilityTopic)
	f.Authority = f.fold(persons, refs, states)
	for _, g := range f.Authority.Grants() {
		f.Grants[g.ID] = g
	}
	f.gatherPrunings(refs, states)
	for i, r := range refs {
		if st := states[i]; st.asked != nil && r.entry().Err == nil && r.chain.Whole(r.i) {
			f.Wishes = append(f.Wishes, capability.Wish{Place: r.place(), Asked: *st.asked})
		}
		if p, ok := f.Authority.ByKey(r.entry().KeyID); ok && p.Operator && states[i].declined != nil && r.entry().Err == nil && r.chain.Whole(r.i) {
			f.Declined[states[i].declined.Request] = Declined{By: p.Name, Reason: states[i].declined.Reason}
		}
	}
	slices.SortFunc(f.Wishes, func(a, b capability.Wish) int { return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.ID, b.ID)) })
	for _, err := range f.Authority.Refused {
		f.problem(verdict.GrantRefused, "", "", "%v", err)
	}
	f.known.note(f, refs, states, data)
	return nil
}

// fold: grants after the break of a chain do not count; revocations on both sides of a fork do.
func (f *Facts) fold(persons []capability.Principal, refs []entryRef, states []*statement) *capability.Authority {
	var given []capability.Given
	var ended []capability.Ended
	for i, r := range refs {
		if r.entry().Err != nil || f.dropped[r.chain] {
			continue
		}
		switch st := states[i]; {
		case st.grant != nil && r.chain.Whole(r.i):
			given = append(given, capability.Given{Place: f.placeOf(r), Granted: *st.grant})
		case st.ended != nil:
			ended = append(ended, capability.Ended{Place: f.placeOf(r), Revocation: *st.ended})
		}
	}
	if f.firsts != nil {
		return capability.FoldSeen(persons, given, ended, f.firsts)
	}
	return capability.Fold(persons, given, ended)
}

// placeOf is the place of an entry as [capability.Place] has it. Where the trust root says how far the ledger reached, it must have
// gone that way.
func (f *Facts) placeOf(r entryRef) capability.Place {
	at := r.place()
	real := r.chain == f.Chains[r.chain.Name] && at.Seq == uint64(r.i)+1 //nolint:gosec // an index is no negative number
	if p, ok := f.Authority.ByKey(at.KeyID); ok {
		for _, h := range p.Ends(r.chain.Name) {
			real = real && h.Seq <= uint64(len(r.chain.Entries)) && r.chain.Entries[h.Seq-1].ID == h.ID
		}
	}
	if !real {
		at.Seq = math.MaxUint64
	}
	return at
}

// vouches reports whether an entry is evidence of what it says others did: see [capability.Authority.Vouches]. That of an automation is
// while something is granted to it.
func (f *Facts) vouches(r entryRef) bool {
	if p, ok := f.Authority.ByKey(r.entry().KeyID); ok && p.Kind == string(trust.Automation) && !p.Operator {
		if !f.Authority.HeldAt(r.entry().KeyID, f.latestWord()) {
			return false
		}
	}
	stands := r.chain == f.Chains[r.chain.Name] && r.chain.Late != nil && r.i < r.chain.LateFrom
	return f.Authority.Vouches(r.entry().KeyID, stands)
}

// dated reports whether the time that an entry claims is believed: its signer is an operator. Of one who was an operator
// and is none, only what had been seen when that ended: who may do less now could else say to have done more then.
func (f *Facts) dated(keyID, name string, seq uint64) bool {
	p, ok := f.Authority.ByKey(keyID)
	if !ok || p.Accountable != p.Name {
		return false
	}
	if p.OperatorUntil.IsZero() {
		return p.Operator
	}
	c := f.Chains[name]
	if c == nil || seq == 0 || seq > uint64(len(c.Entries)) {
		return false
	}
	return f.placeOf(entryRef{c, int(seq) - 1}).Seq <= p.Operated(name) //nolint:gosec // bounded
}

func (r entryRef) place() capability.Place {
	e := r.entry()
	return capability.Place{ID: e.ID, KeyID: e.KeyID, Ledger: r.chain.Name, Seq: e.Header.Seq, Time: e.Header.When()}
}

// readSeals reads all other ledgers, on all processors.
func (f *Facts) readSeals(ctx context.Context, s *git.Session) error {
	others := func(t string) bool { return t != CapabilityTopic }
	refs := f.entriesOf(others)
	here := len(refs)
	refs = append(refs, f.forkEntries(others)...)
	type job struct {
		i    int
		id   oid.ID
		data []byte
	}
	states := blank(len(refs))
	kept := make([]*openedEntry, len(refs)) // what is remembered of them
	data := make([][]byte, len(refs))
	jobs := make(chan job, 256)
	var wg sync.WaitGroup
	for range max(1, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for j := range jobs {
				var st statement
				if e := refs[j.i].entry(); kept[j.i] != nil {
					st = f.recall(refs[j.i], kept[j.i])
				} else {
					e.Blob = j.id
					st = openInto(e, f.Root.ID, j.data, f.ring)
				}
				if st != (statement{}) {
					states[j.i] = &st
				}
				if f.known != nil && kindOf(&st) == openedText {
					data[j.i] = j.data
				}
			}
		})
	}
	var open []int
	for i, r := range refs[:here] {
		switch kept[i] = f.known.of(r); {
		case kept[i] == nil:
			open = append(open, i)
		case kept[i].kind == openedText:
			jobs <- job{i: i}
		default:
			f.recall(r, kept[i])
		}
	}
	for i := here; i < len(refs); i++ {
		open = append(open, i)
	}
	i := 0
	for o, err := range s.Objects(objectNames(refs, open), envelope.MaxSize) {
		if i >= len(open) || ctx.Err() != nil {
			break
		}
		if err != nil {
			refs[open[i]].entry().Err = fmt.Errorf("%w: %w", ledger.ErrDamaged, err)
		} else {
			jobs <- job{open[i], o.ID, o.Data}
		}
		i++
	}
	close(jobs)
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	if i < len(open) {
		return fmt.Errorf("reading ledgers: %d of %d entries came", i, len(open))
	}
	f.drop()
	f.holdGaps()
	f.tellForks(others)
	f.link(f.Authority, "")
	f.denied(refs[here:], states[here:])
	f.provePrunings()
	f.lost()
	if err := f.later(s, refs, states); err != nil {
		return err
	}
	f.sight()
	f.witness()
	f.judgePrunings()
	f.tellPrunings()
	for i, r := range refs {
		if r.entry().Err == nil {
			f.keepNamed(r, states[i])
		}
	}
	for i, r := range refs[:here] {
		e := r.entry()
		if e.ID != "" {
			f.byID[e.ID] = e.Blob
		}
		switch st := states[i]; {
		case e.Err == nil && kept[i] != nil && kept[i].kind == openedSeal:
			if f.unreadIn(s); kept[i].intent != "" {
				f.unread.intents[e.ID] = kept[i].intent
			}
			f.seals[kept[i].about] = append(f.seals[kept[i].about], verdict.Candidate{ID: e.ID, KeyID: e.KeyID, Blob: e.Blob, Header: e.Header, Ledger: r.chain.Name, Index: r.i})
		case e.Err == nil && kept[i] != nil && kept[i].kind == openedDecision:
			f.unreadIn(s)
			f.decisions[e.ID] = &verdict.Decided{Header: e.Header, KeyID: e.KeyID}
		case st.seal != nil && errors.Is(e.Err, envelope.ErrRepository):
			// The seal is of another repository; say so where it stands.
			f.seals[st.seal.Commit()] = append(f.seals[st.seal.Commit()], verdict.Candidate{ID: e.ID, KeyID: e.KeyID, Blob: e.Blob, Header: e.Header, Err: e.Err, Ledger: r.chain.Name, Index: r.i})
		case e.Err != nil:
		case st.seal != nil:
			f.seals[st.seal.Commit()] = append(f.seals[st.seal.Commit()], verdict.Candidate{ID: e.ID, KeyID: e.KeyID, Blob: e.Blob, Header: e.Header, Seal: st.seal, Ledger: r.chain.Name, Index: r.i})
		case st.release != nil && r.chain.Whole(r.i):
			f.Attested = append(f.Attested, Attested{Place: r.place(), Index: r.i, Blob: e.Blob, Statement: st.release})
		case st.review != nil && r.chain.Whole(r.i):
			f.Reviews = append(f.Reviews, Review{Place: r.place(), Index: r.i, Blob: e.Blob, Statement: st.review})
		case st.evidence != nil && r.chain.Whole(r.i):
			f.keepEvidence(r, st.evidence)
		case st.admission != nil && r.chain.Whole(r.i):
			f.Admitted = append(f.Admitted, Admission{Place: r.place(), Admission: *st.admission})
		case st.checked != nil:
			f.Checked[e.ID] = Checked{Check: *st.checked, Header: e.Header}
		case st.rewriting != nil && r.chain.Whole(r.i):
			for _, pair := range st.rewriting.Pairs {
				f.Rewritten[pair.New] = append(f.Rewritten[pair.New], Origin{Commit: pair.Old, By: e.KeyID, Command: st.rewriting.Command, Ledger: r.chain.Name, Index: r.i})
			}
		case st.signed != nil && r.chain.Whole(r.i):
			f.Checkpoints = append(f.Checkpoints, Checkpoint{Place: r.place(), Checkpoint: *st.signed})
		case st.handoff != nil && r.chain.Whole(r.i):
			at := r.place()
			f.Handoffs = append(f.Handoffs, handoff.Entry{Place: handoff.Place{ID: at.ID, KeyID: at.KeyID, Ledger: at.Ledger, Seq: at.Seq, Time: at.Time}, Commit: e.Commit, Statement: *st.handoff})
		case st.cosigned != nil && r.chain.Whole(r.i):
			f.cosigned = append(f.cosigned, *st.cosigned)
		case st.decision != nil:
			f.deny(e, st.decision)
			f.decisions[e.ID] = &verdict.Decided{Header: e.Header, KeyID: e.KeyID, Decision: st.decision}
		}
	}
	f.known.note(f, refs[:here], states, data)
	return nil
}

// Undecided reports whether a problem leaves everything open: an operator wrote
// into a capability ledger what this program can't read. Anybody else's newer
// statement concerns only what rests on that ledger.
func (f *Facts) Undecided(p verdict.Finding) bool {
	c := f.Chains[p.Object]
	if p.Code != verdict.LedgerNewer || c == nil || !strings.HasPrefix(p.Object, CapabilityTopic+"/") {
		return false
	}
	if c.Broken == nil || c.From >= len(c.Entries) {
		return false
	}
	by, ok := f.Authority.ByKey(c.Entries[c.From].KeyID)
	return ok && by.Operator && f.vouches(entryRef{c, c.From})
}

func entriesOf(c *verdict.Chain) []verdict.Entry {
	if c == nil {
		return nil
	}
	return c.Entries
}

// link checks the chains of a topic, or of all topics but capability.
func (f *Facts) link(known *capability.Authority, topic string) {
	for _, name := range slices.Sorted(maps.Keys(f.Chains)) {
		c := f.Chains[name]
		t, w, _ := strings.Cut(name, "/")
		if (topic != "") != (t == CapabilityTopic) {
			continue
		}
		if f.replaced(c) {
			delete(f.Chains, name) // it says nothing here, and nothing is wrong with it
			continue
		}
		unknown := ""
		if len(c.Entries) > 0 {
			if _, ok := known.ByKey(c.Entries[0].KeyID); !ok && c.Entries[0].KeyID != "" {
				unknown = c.Entries[0].KeyID
			}
		}
		c.Link(t, w, f.ownerOf(known))
		end(c, known)
		switch {
		case unknown != "":
			f.problem(verdict.LedgerUnknown, name, "covenant identity list", "is written by %s, whom nobody introduced", unknown)
		case c.Broken != nil:
			f.Problems = append(f.Problems, *c.Broken)
		}
	}
}

// ownerOf tells how the names of the ledgers of a key begin. What it returns has one caller at a time.
func (f *Facts) ownerOf(known *capability.Authority) func(keyID string) (string, bool) {
	digits := map[string]string{} // "" of a key that nobody has
	return func(keyID string) (string, bool) {
		own, asked := digits[keyID]
		if !asked {
			if k, ok := PublicKey(known, keyID); ok {
				own = ledger.KeyDigits(k.Digest())
			}
			digits[keyID] = own
		}
		return own, own != ""
	}
}

// end marks where a ledger ends whose key the trust root removed: what stands beyond counts for nothing, neither by itself nor
// as evidence of what its writer saw. Where another entry stands at its end than the one that the root names, nothing counts.
func end(c *verdict.Chain, known *capability.Authority) {
	if len(c.Entries) == 0 {
		return
	}
	p, ok := known.ByKey(c.Entries[0].KeyID)
	if !ok {
		return
	}
	last, all := p.Reach(c.Name)
	if all {
		return
	}
	n := 0
	if last.Seq > 0 && last.Seq <= uint64(len(c.Entries)) && c.Entries[last.Seq-1].ID == last.ID {
		n = int(last.Seq) //nolint:gosec // an entry's number
	}
	c.LateFrom, c.Late = n, &verdict.Finding{
		Code: LedgerLate, Object: c.Name, Hint: "covenant trust log",
		Message: fmt.Sprintf("the key of %s was removed from the trust root, and who removed it knew of nothing in %s from entry %d on", p.Name, c.Name, n+1),
	}
}
