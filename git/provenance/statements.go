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
	"unique"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/event"
	"github.com/open-covenant/covenant-git/envelope/evidence"
	"github.com/open-covenant/covenant-git/envelope/handoff"
	"github.com/open-covenant/covenant-git/envelope/intoto"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/release"
	"github.com/open-covenant/covenant-git/envelope/review"
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

func objectNames(refs []entryRef) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, r := range refs {
			if !yield(r.entry().Commit.String() + ":" + ledger.File) {
				return
			}
		}
	}
}

// statement is one opened and decoded entry; at most one of its fields is set.
type statement struct {
	seal      *prov.Seal
	decision  *prov.Decision
	admission *prov.Admission
	grant     *capability.Grant
	ended     *capability.Revocation
	asked     *capability.Asked
	declined  *capability.Declining
	checked   *capability.Check
	rewriting *prov.Rewriting
	adopted   *trust.Adoption
	signed    *event.Checkpoint
	cosigned  *event.Cosigning
	resolved  *event.Resolution
	pruned    *event.Pruning
	review    *review.Statement
	release   *release.Statement
	evidence  *evidence.Statement
	handoff   *handoff.Statement
}

// blank has what n entries state before they are read, or while they say nothing to us.
func blank(n int) []*statement {
	return slices.Repeat([]*statement{{}}, n)
}

// open reads the envelope's bytes into the entry: whatever is wrong is the entry's Err.
func open(e *verdict.Entry, repository envelope.Digest, data []byte, ring envelope.Keyring) (st statement) {
	env, err := ledger.ParseBlob(data)
	if err != nil {
		e.Err = err
		return st
	}
	e.ID = env.ID()
	if ids := env.KeyIDs(); len(ids) > 0 {
		e.KeyID = ids[0]
	}
	st, e.Header, e.Err = openEnvelope(env, repository, ring)
	for _, name := range []*string{&e.KeyID, (*string)(&e.Header.Repository), &e.Header.Topic, &e.Header.Writer} {
		*name = unique.Make(*name).Value() // entries say the same ones over and over: they are held once
	}
	return st
}

func openEnvelope(env *envelope.Envelope, repository envelope.Digest, ring envelope.Keyring) (st statement, h envelope.Header, err error) {
	typ := env.PayloadType()
	if typ != envelope.TypeInToto && typ != envelope.TypeLedger {
		return st, h, fmt.Errorf("%w: %.100q", envelope.ErrPayloadType, typ)
	}
	o, err := env.Open(typ, 1, ring)
	if err != nil {
		return st, h, err
	}
	return stated(o, repository)
}

// stated reads what an opened envelope states.
func stated(o *envelope.Opened, repository envelope.Digest) (st statement, h envelope.Header, err error) {
	if o.PayloadType == envelope.TypeInToto {
		if st, h, err = about(o); err != nil {
			return st, h, err
		}
		return st, h, h.Check(repository)
	}
	kind, err := envelope.TypeOf(o)
	if err != nil {
		return st, h, err
	}
	switch kind {
	case prov.Decided:
		d, err := prov.ParseDecision(o)
		if err != nil {
			return st, h, err
		}
		st.decision, h = &d.Body, d.Entry
	case prov.Admitted:
		a, err := prov.ParseAdmission(o)
		if err != nil {
			return st, h, err
		}
		st.admission, h = &a.Body, a.Entry
	case prov.Rewritten:
		r, err := prov.ParseRewriting(o)
		if err != nil {
			return st, h, err
		}
		st.rewriting, h = &r.Body, r.Entry
	case capability.Granted:
		g, err := capability.Parse(o)
		if err != nil {
			return st, h, err
		}
		st.grant, h = &g.Body, g.Entry
	case capability.Revoked:
		r, err := capability.ParseRevocation(o)
		if err != nil {
			return st, h, err
		}
		st.ended, h = &r.Body, r.Entry
	case capability.Requested:
		r, err := capability.ParseAsked(o)
		if err != nil {
			return st, h, err
		}
		st.asked, h = &r.Body, r.Entry
	case capability.Declined:
		d, err := capability.ParseDeclining(o)
		if err != nil {
			return st, h, err
		}
		st.declined, h = &d.Body, d.Entry
	case capability.Checked:
		c, err := capability.ParseCheck(o)
		if err != nil {
			return st, h, err
		}
		st.checked, h = &c.Body, c.Entry
	case trust.Adopted:
		a, err := trust.ParseAdopted(o)
		if err != nil {
			return st, h, err
		}
		st.adopted, h = &a.Body, a.Entry
	case event.Checkpointed:
		c, err := event.ParseCheckpoint(o)
		if err != nil {
			return st, h, err
		}
		st.signed, h = &c.Body, c.Entry
	case event.Cosigned:
		c, err := event.ParseCosigning(o)
		if err != nil {
			return st, h, err
		}
		st.cosigned, h = &c.Body, c.Entry
	case event.Resolved:
		r, err := event.ParseResolution(o)
		if err != nil {
			return st, h, err
		}
		st.resolved, h = &r.Body, r.Entry
	case event.Pruned:
		p, err := event.ParsePruning(o)
		if err != nil {
			return st, h, err
		}
		st.pruned, h = &p.Body, p.Entry
	case handoff.Created, handoff.Resumed, handoff.Released:
		p, err := handoff.Parse(o)
		if err != nil {
			return st, h, err
		}
		st.handoff, h = p, p.Entry
	default:
		if h, err = envelope.HeaderOf(o); err != nil {
			return st, h, err
		}
		// What a capability ledger says and we can't read could be the end of a grant.
		newer := h.Topic == CapabilityTopic
		for _, known := range []string{prov.Decided, prov.Admitted, prov.Rewritten} {
			newer = newer || errors.Is(envelope.VersionError(kind, known), envelope.ErrNewer)
		}
		if newer {
			return st, h, fmt.Errorf("%w: type %.100q", envelope.ErrNewer, kind)
		}
		return st, h, h.Check(repository) // it keeps its place in the chain, and says nothing to us
	}
	return st, h, h.Check(repository)
}

// about decodes a statement about Git objects.
func about(o *envelope.Opened) (st statement, h envelope.Header, err error) {
	switch intoto.PredicateType(o) {
	case evidence.PredicateType:
		if st.evidence, err = evidence.Parse(o); err == nil {
			h = st.evidence.Predicate.Entry
		}
	case review.Type:
		if st.review, err = review.Parse(o); err == nil {
			h = st.review.Predicate.Entry
		}
	case release.Type:
		if st.release, err = release.Parse(o); err == nil {
			h = st.release.Predicate.Entry
		}
	default:
		if st.seal, err = prov.Parse(o); err == nil {
			h = st.seal.Predicate.Entry
		}
	}
	return st, h, err
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
	i := 0
	for o, err := range s.Objects(objectNames(refs), envelope.MaxSize) {
		if i >= len(refs) {
			break
		}
		e := refs[i].entry()
		if err != nil {
			e.Err = fmt.Errorf("%w: %w", ledger.ErrDamaged, err)
		} else {
			e.Blob, data[i] = o.ID, o.Data
		}
		i++
	}
	if i < len(refs) {
		return fmt.Errorf("reading ledgers: %d of %d entries came", i, len(refs))
	}
	f.Authority = capability.Fold(persons, nil, nil)
	states := blank(len(refs))
	for known := -1; known < len(f.Authority.Principals()); {
		known = len(f.Authority.Principals())
		for i, r := range refs {
			e := r.entry()
			if data[i] == nil || (e.ID != "" && !errors.Is(e.Err, envelope.ErrUnknownKey)) {
				continue
			}
			e.Err = nil
			st := open(e, f.Root.ID, data[i], f.ring)
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
	jobs := make(chan job, 256)
	var wg sync.WaitGroup
	for range max(1, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for j := range jobs {
				e := refs[j.i].entry()
				e.Blob = j.id
				if st := open(e, f.Root.ID, j.data, f.ring); st != (statement{}) {
					states[j.i] = &st
				}
			}
		})
	}
	i := 0
	for o, err := range s.Objects(objectNames(refs), envelope.MaxSize) {
		if i >= len(refs) || ctx.Err() != nil {
			break
		}
		if err != nil {
			refs[i].entry().Err = fmt.Errorf("%w: %w", ledger.ErrDamaged, err)
		} else {
			jobs <- job{i, o.ID, o.Data}
		}
		i++
	}
	close(jobs)
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	if i < len(refs) {
		return fmt.Errorf("reading ledgers: %d of %d entries came", i, len(refs))
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
		case st.seal != nil && errors.Is(e.Err, envelope.ErrRepository):
			// The seal is of another repository; say so where it stands.
			f.Seals[st.seal.Commit()] = append(f.Seals[st.seal.Commit()], verdict.Candidate{ID: e.ID, KeyID: e.KeyID, Blob: e.Blob, Header: e.Header, Err: e.Err, Ledger: r.chain.Name, Index: r.i})
		case e.Err != nil:
		case st.seal != nil:
			f.Seals[st.seal.Commit()] = append(f.Seals[st.seal.Commit()], verdict.Candidate{ID: e.ID, KeyID: e.KeyID, Blob: e.Blob, Header: e.Header, Seal: st.seal, Ledger: r.chain.Name, Index: r.i})
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
			f.Decisions[e.ID] = &verdict.Decided{Header: e.Header, KeyID: e.KeyID, Decision: st.decision}
		}
	}
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

// ownerOf tells how the names of the ledgers of a key begin.
func (f *Facts) ownerOf(known *capability.Authority) func(keyID string) (string, bool) {
	return func(keyID string) (string, bool) {
		k, ok := PublicKey(known, keyID)
		if !ok {
			return "", false
		}
		return ledger.KeyDigits(k.Digest()), true
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
