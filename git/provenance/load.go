package provenance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/identity"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/oid"
)

// CapabilityTopic is the topic of the ledgers that carry grants.
const CapabilityTopic = "capability"

// Facts is what the ledgers of a repository say, opened and linked, before any judgement.
type Facts struct {
	Root      *Root
	Authority *capability.Authority
	Chains    map[string]*verdict.Chain
	Tips      map[string]oid.ID              // ledger ref → commit
	NotesTip  oid.ID                         // of the notes view; zero when there is none
	Seals     map[oid.ID][]verdict.Candidate // by commit
	Decisions map[envelope.Digest]*verdict.Decided
	Grants    map[envelope.Digest]capability.Given // that count, or counted until they were revoked
	Wishes    []capability.Wish                    // requests for grants, oldest first
	Admitted  []Admission                          // oldest first
	Denied    map[oid.ID][]verdict.Denial          // commits a gate refused, and that were made
	Problems  []verdict.Finding                    // what is wrong with ledgers; a verdict only for what relies on them
	byID      map[envelope.Digest]oid.ID           // every parsed entry → its blob

	overlay map[string]oid.ID // refs as they are proposed to be
	lines   map[string]*verdict.Line
	seen    map[string][]seenAt   // ledger → who saw how far, furthest first
	commits map[oid.ID]git.Commit // everything the one log brought, range included
	order   []oid.ID              // the order it came in: parents before children
}

// Load reads trust root and ledgers.
func Load(ctx context.Context, s *git.Session, pin envelope.Digest) (*Facts, error) {
	root, err := OpenRoot(s, pin)
	if err != nil {
		return nil, err
	}
	return load(ctx, s, root, nil, nil)
}

// LoadProposed is Load with refs as they are proposed to be: an overlay's object
// stands in the place of what the ref of its name points to now, zero says that the
// ref is gone. No ref is written, and what is proposed may be in a quarantine.
func LoadProposed(ctx context.Context, s *git.Session, pin envelope.Digest, overlay map[string]oid.ID) (*Facts, error) {
	root, err := openProposed(s, pin, overlay)
	if err != nil {
		return nil, err
	}
	return load(ctx, s, root, nil, overlay)
}

// openProposed is OpenRoot, of the version that is proposed where one is.
func openProposed(s *git.Session, pin envelope.Digest, overlay map[string]oid.ID) (*Root, error) {
	switch id, ok := overlay[RootRef]; {
	case !ok:
		return OpenRoot(s, pin)
	case id.IsZero():
		return nil, fmt.Errorf("%w: %s", ErrRootMissing, pin)
	default:
		return OpenRootAt(s, id.String(), pin)
	}
}

// at returns the name to read a ref by: its own, or that of the object that is
// proposed for it; "" when it is proposed to be gone.
func (f *Facts) at(ref string) string {
	id, ok := f.overlay[ref]
	if !ok {
		return ref
	}
	if id.IsZero() {
		return ""
	}
	return id.String()
}

// LoadAuthority reads trust root and capability ledgers, and no others.
func LoadAuthority(ctx context.Context, s *git.Session, pin envelope.Digest) (*Facts, error) {
	root, err := OpenRoot(s, pin)
	if err != nil {
		return nil, err
	}
	return loadTopics(ctx, s, root, CapabilityTopic+"/")
}

func load(ctx context.Context, s *git.Session, root *Root, revs []string, overlay map[string]oid.ID) (*Facts, error) {
	f := newFacts(root)
	f.overlay = overlay
	if err := f.readLog(s, ledger.Prefix, revs); err != nil {
		return nil, err
	}
	f.assemble()
	if err := f.readGrants(ctx, s); err != nil {
		return nil, err
	}
	if err := f.readSeals(ctx, s); err != nil {
		return nil, err
	}
	return f, nil
}

// loadTopics reads only the ledgers under a prefix of topics, and of those only grants.
func loadTopics(ctx context.Context, s *git.Session, root *Root, under string) (*Facts, error) {
	f := newFacts(root)
	if err := f.readLog(s, ledger.Prefix+under, nil); err != nil {
		return nil, err
	}
	f.assemble()
	return f, f.readGrants(ctx, s)
}

func newFacts(root *Root) *Facts {
	return &Facts{
		Root: root, Chains: map[string]*verdict.Chain{}, Tips: map[string]oid.ID{}, Seals: map[oid.ID][]verdict.Candidate{},
		Decisions: map[envelope.Digest]*verdict.Decided{}, Grants: map[envelope.Digest]capability.Given{},
		Denied: map[oid.ID][]verdict.Denial{}, byID: map[envelope.Digest]oid.ID{}, commits: map[oid.ID]git.Commit{},
	}
}

// readLog fills commits and Tips with one log. Where a damaged ledger makes
// that log fail, each ledger is read alone, so that it spoils no other.
func (f *Facts) readLog(s *git.Session, under string, revs []string) error {
	take := func(q git.LogQuery) error {
		for c, err := range s.Log(q) {
			if err != nil {
				return err
			}
			if _, twice := f.commits[c.ID]; !twice {
				f.order = append(f.order, c.ID)
			}
			f.commits[c.ID] = c
			for _, ref := range c.Refs {
				if strings.HasPrefix(ref, ledger.Prefix) {
					f.Tips[ref] = c.ID
				}
			}
		}
		return nil
	}
	if slices.ContainsFunc(revs, func(r string) bool { return strings.HasPrefix(r, "^") }) {
		// What a range leaves out could have a ledger among its ancestors: a
		// commit may name anything as its parent. So ledgers are read apart.
		if err := take(git.LogQuery{Revs: revs, IgnoreMissing: true}); err != nil {
			return err
		}
		revs = nil
	}
	if f.overlay != nil {
		return f.readProposed(s, under, revs, take)
	}
	apart := maps.Clone(f.commits)
	order := slices.Clone(f.order)
	err := take(git.LogQuery{Revs: revs, Globs: []string{under + "*"}, Decorate: []string{strings.TrimSuffix(ledger.Prefix, "/")}, IgnoreMissing: true})
	if err == nil {
		return nil
	}
	f.commits, f.order = apart, order
	clear(f.Tips)
	refs, rerr := s.Refs(under)
	if rerr != nil {
		return errors.Join(err, rerr)
	}
	if len(revs) > 0 {
		if err := take(git.LogQuery{Revs: revs, IgnoreMissing: true}); err != nil {
			return err
		}
	}
	for _, ref := range refs {
		f.Tips[ref.Name] = ref.ID
	}
	return f.readApart(take)
}

// readApart reads each ledger alone, so that a damaged one spoils no other.
func (f *Facts) readApart(take func(git.LogQuery) error) error {
	for _, ref := range slices.Sorted(maps.Keys(f.Tips)) {
		if err := take(git.LogQuery{Revs: []string{f.Tips[ref].String()}}); err != nil {
			f.problem(verdict.LedgerDamaged, strings.TrimPrefix(ref, ledger.Prefix), "covenant doctor", "can't be read: %v", err)
		}
	}
	return nil
}

// readProposed is the log where refs are as an overlay has them.
func (f *Facts) readProposed(s *git.Session, under string, revs []string, take func(git.LogQuery) error) error {
	refs, err := s.Refs(under)
	if err != nil {
		return err
	}
	for _, ref := range refs {
		f.Tips[ref.Name] = ref.ID
	}
	for ref, id := range f.overlay {
		if !strings.HasPrefix(ref, under) {
			continue
		}
		if delete(f.Tips, ref); !id.IsZero() {
			f.Tips[ref] = id
		}
	}
	apart, order := maps.Clone(f.commits), slices.Clone(f.order)
	all := slices.Clone(revs)
	for _, ref := range slices.Sorted(maps.Keys(f.Tips)) {
		all = append(all, f.Tips[ref].String())
	}
	if err := take(git.LogQuery{Revs: all, IgnoreMissing: true}); err == nil {
		return nil
	}
	f.commits, f.order = apart, order
	if len(revs) > 0 {
		if err := take(git.LogQuery{Revs: revs, IgnoreMissing: true}); err != nil {
			return err
		}
	}
	return f.readApart(take)
}

func (f *Facts) problem(code verdict.Code, object, hint, format string, a ...any) {
	f.Problems = append(f.Problems, verdict.Finding{Code: code, Object: object, Message: fmt.Sprintf(format, a...), Hint: hint})
}

// assemble turns commits into chains, oldest entry first.
func (f *Facts) assemble() {
	for _, ref := range slices.Sorted(maps.Keys(f.Tips)) {
		tip := f.Tips[ref]
		name, ok := ledger.ParseRef(ref)
		if !ok {
			f.problem(verdict.LedgerUnknown, ref, "", "is no name of a ledger")
			continue
		}
		c := &verdict.Chain{Name: name.String()}
		broken := ""
		for id := tip; ; {
			commit, ok := f.commits[id]
			if !ok {
				broken = "entry " + id.Short() + " is not in this clone"
				break
			}
			c.Entries = append(c.Entries, verdict.Entry{Commit: id})
			if len(c.Entries) > len(f.commits) {
				broken = "its entries follow each other in a circle" // objects whose bytes are not their names'
				break
			}
			if len(commit.Parents) == 0 {
				break
			}
			if len(commit.Parents) > 1 {
				broken = "entry " + id.Short() + " follows more than one"
				break
			}
			id = commit.Parents[0]
		}
		slices.Reverse(c.Entries)
		if broken != "" {
			c.Break(0, verdict.LedgerDamaged, "%s: %s", c.Name, broken)
		}
		f.Chains[c.Name] = c
	}
}

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
			out = append(out, entryRef{f.Chains[n], i})
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
	if typ == envelope.TypeInToto {
		s, err := prov.Parse(o)
		if err != nil {
			return st, h, err
		}
		st.seal, h = s, s.Predicate.Entry
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
	default:
		if h, err = envelope.HeaderOf(o); err != nil {
			return st, h, err
		}
		// What a capability ledger says and we can't read could be the end of a grant.
		newer := h.Topic == CapabilityTopic
		for _, known := range []string{prov.Decided, prov.Admitted} {
			newer = newer || errors.Is(envelope.VersionError(kind, known), envelope.ErrNewer)
		}
		if newer {
			return st, h, fmt.Errorf("%w: type %.100q", envelope.ErrNewer, kind)
		}
		return st, h, h.Check(repository) // it keeps its place in the chain, and says nothing to us
	}
	return st, h, h.Check(repository)
}

// readGrants reads the capability ledgers, links them, and folds the authority.
// Who may write there is told by what is written there: delegations are by the
// holders of grants. So entries by keys nobody knows yet are opened again when
// more are known.
func (f *Facts) readGrants(_ context.Context, s *git.Session) error {
	persons := Persons(f.Root)
	refs := f.entriesOf(func(t string) bool { return t == CapabilityTopic })
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
	states := make([]statement, len(refs))
	for known := -1; known < len(f.Authority.Principals()); {
		known = len(f.Authority.Principals())
		for i, r := range refs {
			e := r.entry()
			if data[i] == nil || (e.ID != "" && !errors.Is(e.Err, envelope.ErrUnknownKey)) {
				continue
			}
			e.Err = nil
			if states[i] = open(e, f.Root.ID, data[i], f.Authority.Ring); e.ID != "" {
				f.byID[e.ID] = e.Blob
			}
		}
		f.Authority = f.fold(persons, refs, states)
	}
	f.link(f.Authority, CapabilityTopic)
	f.Authority = f.fold(persons, refs, states)
	for _, g := range f.Authority.Grants() {
		f.Grants[g.ID] = g
	}
	for i, r := range refs {
		if st := states[i]; st.asked != nil && r.entry().Err == nil && r.chain.Whole(r.i) {
			f.Wishes = append(f.Wishes, capability.Wish{Place: r.place(), Asked: *st.asked})
		}
	}
	slices.SortFunc(f.Wishes, func(a, b capability.Wish) int { return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.ID, b.ID)) })
	for _, err := range f.Authority.Refused {
		f.problem(verdict.GrantRefused, "", "", "%v", err)
	}
	return nil
}

// fold: grants after the break of a chain do not count; revocations on both sides of a fork do.
func (f *Facts) fold(persons []capability.Principal, refs []entryRef, states []statement) *capability.Authority {
	var given []capability.Given
	var ended []capability.Ended
	for i, r := range refs {
		if r.entry().Err != nil {
			continue
		}
		switch st := states[i]; {
		case st.grant != nil && r.chain.Whole(r.i):
			given = append(given, capability.Given{Place: r.place(), Granted: *st.grant})
		case st.ended != nil:
			ended = append(ended, capability.Ended{Place: r.place(), Revocation: *st.ended})
		}
	}
	return capability.Fold(persons, given, ended)
}

func (r entryRef) place() capability.Place {
	e := r.entry()
	return capability.Place{ID: e.ID, KeyID: e.KeyID, Ledger: r.chain.Name, Seq: e.Header.Seq, Time: e.Header.When()}
}

// readSeals reads all other ledgers, on all processors.
func (f *Facts) readSeals(ctx context.Context, s *git.Session) error {
	refs := f.entriesOf(func(t string) bool { return t != CapabilityTopic })
	type job struct {
		i    int
		id   oid.ID
		data []byte
	}
	states := make([]statement, len(refs))
	jobs := make(chan job, 256)
	var wg sync.WaitGroup
	for range max(1, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for j := range jobs {
				e := refs[j.i].entry()
				e.Blob = j.id
				states[j.i] = open(e, f.Root.ID, j.data, f.Authority.Ring)
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
	f.link(f.Authority, "")
	f.lost()
	f.sight()
	for i, r := range refs {
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
		case st.admission != nil && r.chain.Whole(r.i):
			f.Admitted = append(f.Admitted, Admission{Place: r.place(), Admission: *st.admission})
		case st.decision != nil:
			if d := st.decision; !d.Allowed && !d.Commit.IsZero() && d.KeyID == e.KeyID {
				f.Denied[d.Commit] = append(f.Denied[d.Commit], verdict.Denial{KeyID: e.KeyID, ID: e.ID, Moment: d.Moment, Reason: d.Reason})
			}
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
	for _, e := range c.Entries {
		if by, ok := f.Authority.ByKey(e.KeyID); ok && by.Operator {
			return true
		}
	}
	return false
}

// lost tells of ledgers that lack what somebody saw there.
func (f *Facts) lost() {
	w := verdict.World{Chains: f.Chains}
	far := map[string]envelope.Head{}
	for _, c := range f.Chains {
		for _, e := range c.Entries {
			for _, h := range e.Header.Heads {
				if _, ok := w.At(h.Ledger, h.Seq); !ok && h.Seq > far[h.Ledger].Seq {
					far[h.Ledger] = h
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(far)) {
		f.problem(verdict.LedgerRolledBack, name, "fetch it from who has it; in a clone of your own look for the entry: git fsck --lost-found", "it had %d entries when others saw it (%s), and has %d now",
			far[name].Seq, far[name].ID.Short(), len(entriesOf(f.Chains[name])))
	}
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
		if len(c.Entries) > 0 && errors.Is(c.Entries[0].Err, envelope.ErrRepository) && f.Root.Replaces(c.Entries[0].Header.Repository) {
			delete(f.Chains, name) // of the repository this one replaces: it says nothing here, and nothing is wrong with it
			continue
		}
		unknown := ""
		if len(c.Entries) > 0 {
			if _, ok := known.ByKey(c.Entries[0].KeyID); !ok && c.Entries[0].KeyID != "" {
				unknown = c.Entries[0].KeyID
			}
		}
		c.Link(t, w, func(keyID string) (string, bool) {
			k, ok := PublicKey(known, keyID)
			if !ok {
				return "", false
			}
			d := k.Digest()
			return fmt.Sprintf("%x", d[:8]), true
		})
		switch {
		case unknown != "":
			f.problem(verdict.LedgerUnknown, name, "covenant identity list", "is written by %s, whom nobody introduced", unknown)
		case c.Broken != nil:
			f.Problems = append(f.Problems, *c.Broken)
		}
	}
}

// PublicKey finds a key of any principal.
func PublicKey(a *capability.Authority, keyID string) (identity.PublicKey, bool) {
	p, ok := a.ByKey(keyID)
	if !ok {
		return nil, false
	}
	for _, k := range p.Keys {
		if k.ID() == keyID {
			return k, true
		}
	}
	return nil, false
}

// Persons returns the persons of a trust root as principals, those who left after
// those who are there.
func Persons(r *Root) []capability.Principal {
	keys := func(list []string) (out []identity.PublicKey) {
		for _, text := range list {
			if k, err := identity.ParsePublicKey(text); err == nil { // Validate parsed it already
				out = append(out, k)
			}
		}
		return out
	}
	var out []capability.Principal
	for _, p := range r.Root.Persons {
		out = append(out, capability.Principal{
			Name: p.Name, Kind: string(p.Kind), Accountable: p.Name, Operator: r.IsOperator(p.Name), Emails: p.Emails, Keys: keys(p.Keys), MayAct: r.Policy.OperatorMay,
		})
	}
	for _, p := range r.Former {
		c := capability.Principal{
			Name: p.Name, Kind: string(p.Kind), Accountable: p.Name, Operator: p.Operator, Emails: p.Emails, Keys: keys(p.Keys), MayAct: r.Policy.OperatorMay,
			Lapse: p.Grants == trust.Lapse, Seen: p.Seen,
		}
		c.Until, _ = time.Parse(time.RFC3339, p.Until)
		c.Compromised, _ = time.Parse(time.RFC3339, p.Compromised)
		out = append(out, c)
	}
	return out
}

// World returns what the judge needs to know.
func (f *Facts) World() *verdict.World {
	return &verdict.World{
		Authority: f.Authority,
		Principal: func(keyID string) (verdict.Principal, bool) {
			p, ok := f.Authority.ByKey(keyID)
			if !ok {
				return verdict.Principal{}, false
			}
			return verdict.Principal{Name: p.Name, Kind: p.Kind, Accountable: p.Accountable, Key: keyID}, true
		},
		Emails: func(keyID string) []string {
			if p, ok := f.Authority.ByKey(keyID); ok {
				return p.Emails
			}
			return nil
		},
		Operator: func(keyID string) bool {
			p, ok := f.Authority.ByKey(keyID)
			return ok && p.Operator
		},
		Gone: func(keyID string) bool {
			p, ok := f.Authority.ByKey(keyID)
			return ok && !p.Until.IsZero()
		},
		Policy: f.Root.Policy,
		Holds: func(grants []envelope.Digest, keyID string) bool {
			if len(grants) == 0 {
				return true
			}
			line := f.Authority.Line(grants[len(grants)-1])
			if len(line) != len(grants) {
				return false
			}
			for i, g := range line {
				if g.ID != grants[i] {
					return false
				}
			}
			k, err := identity.ParsePublicKey(line[len(line)-1].Granted.Subject.Key)
			return err == nil && k.ID() == keyID
		},
		Left: func(keyID string, at time.Time) bool {
			p, ok := f.Authority.ByKey(keyID)
			return !ok || p.Gone(at)
		},
		Seen:   f.seenBy,
		Chains: f.Chains,
		Decision: func(id envelope.Digest) (*verdict.Decided, bool) {
			d, ok := f.Decisions[id]
			return d, ok
		},
	}
}
