package provenance

import (
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
	"github.com/open-covenant/covenant-git/envelope/handoff"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/oid"
)

// CapabilityTopic is the topic of the ledgers that carry grants.
const CapabilityTopic = "capability"

// AuditTopic is the topic of the ledgers that carry what happened and has no other topic.
const AuditTopic = "audit"

// Checked is a question to the checkers with its answer, and the header of its entry.
type Checked struct {
	capability.Check
	envelope.Header
}

// Facts is what the ledgers of a repository say, opened and linked, before any judgement.
type Facts struct {
	Root      *Root
	Authority *capability.Authority
	Chains    map[string]*verdict.Chain
	Tips      map[string]oid.ID                    // ledger ref → commit
	NotesTip  oid.ID                               // of the notes view; zero when there is none
	Grants    map[envelope.Digest]capability.Given // that count, or counted until they were revoked
	Wishes    []capability.Wish                    // requests for grants, oldest first
	Declined  map[envelope.Digest]Declined         // requests that an operator declined
	Checked   map[envelope.Digest]Checked          // what the checkers were asked and answered, where somebody kept it
	Admitted  []Admission                          // oldest first
	Denied    map[oid.ID][]verdict.Denial          // commits a gate refused, and that were made
	Reviews   []Review                             // in the order of their ledgers
	Attested  []Attested                           // likewise
	Evidence  map[oid.ID][]Evidence                // that stands in ledgers, by tree
	Rewritten map[oid.ID][]Origin                  // what commits came to be out of, as who rewrote them says
	// Checkpoints are what writers signed of all ledgers, by ledger, oldest first.
	Checkpoints []Checkpoint
	Handoffs    []handoff.Entry                   // what ledgers say of handoffs, in no order
	Problems    []verdict.Finding                 // what is wrong with ledgers; a verdict only for what relies on them
	byID        map[envelope.Digest]oid.ID        // every parsed entry → its blob
	bound       map[envelope.Digest]verdict.Named // evidence and reviews of all ledgers, whichever way these went
	cosigned    []event.Cosigning                 // by whoever brought them
	newest      freshness                         // checkpoint, where the policy demands one

	seals     map[oid.ID][]verdict.Candidate // by commit
	decisions map[envelope.Digest]*verdict.Decided
	known     *recollection // what is remembered of ledgers; nil: they are read as they are
	unread    *unread       // where seals and decisions are read when they are asked for; nil: they all were

	forkTips map[string]oid.ID // of the other ways that ledgers went: ref → commit
	forks    []fork
	ways     []event.Resolution                    // which operators said ledgers went
	prunings []Pruning                             // what ledgers of grants say was dropped, by their order there
	roots    map[string]map[uint64]envelope.Digest // see isOf
	gapped   map[string]bool                       // ledgers that have dropped entries, as somebody who might says
	dropped  map[*verdict.Chain]bool               // other ways of ledgers that count for nothing, as they said

	former  []*capability.Authority // of repositories that this one replaces: their keys say what is theirs
	overlay map[string]oid.ID       // refs as they are proposed to be
	only    bool                    // ledgers outside of the overlay are left out
	lines   map[string]*verdict.Line
	older   map[envelope.Digest]*trust.Version // versions of the trust root before the pinned one, where somebody asked
	firsts  capability.Sight                   // orders delegations that contest a name or key; nil: their times do
	seen    map[string][]seenAt                // ledger → who saw how far, furthest first
	timed   map[string][]time.Time             // see times; nil: nobody needed them yet
	latest  time.Time                          // see latestWord, which alone reads it
	commits map[oid.ID]git.Commit              // everything the one log brought, range included
	order   []oid.ID                           // the order it came in: parents before children
}

// Origin is a commit that became another by an amend or a rebase.
type Origin struct {
	Commit  oid.ID // it may be gone
	By      string // key id of who rewrote it
	Command string // Git's word for it
	Ledger  string // in which that is said
	Index   int    // where in it, from 0
}

// Load reads trust root and ledgers.
func Load(ctx context.Context, s *git.Session, pin envelope.Digest) (*Facts, error) {
	root, err := OpenRoot(s, pin)
	if err != nil {
		return nil, err
	}
	return load(ctx, s, root, nil, nil, nil)
}

// LoadProposed is Load with refs as they are proposed to be: an overlay's object
// stands in the place of what the ref of its name points to now, zero says that the
// ref is gone. No ref is written, and what is proposed may be in a quarantine.
func LoadProposed(ctx context.Context, s *git.Session, pin envelope.Digest, overlay map[string]oid.ID) (*Facts, error) {
	root, err := openProposed(s, pin, overlay)
	if err != nil {
		return nil, err
	}
	return load(ctx, s, root, nil, overlay, nil)
}

// LoadOnly is LoadProposed without the ledgers that the overlay does not name, but for those of grants. What it says of entries
// and their writers holds; what ledgers say of each other, and [Facts.Problems], do not.
func LoadOnly(ctx context.Context, s *git.Session, pin envelope.Digest, overlay map[string]oid.ID) (*Facts, error) {
	root, err := openProposed(s, pin, overlay)
	if err != nil {
		return nil, err
	}
	f := newFacts(root)
	f.overlay, f.only = overlay, true
	if err := f.readLog(s, ledger.Prefix, nil); err != nil {
		return nil, err
	}
	f.assemble()
	if err := f.read(ctx, s); err != nil || !f.Authority.Contested() && len(f.gapped) == 0 {
		return f, err
	}
	return load(ctx, s, root, nil, overlay, nil) // who was first, and who saw what was dropped, is told by all of them
}

// LoadTopic is LoadOnly with the ledgers of a topic as they are here.
func LoadTopic(ctx context.Context, s *git.Session, pin envelope.Digest, topic string) (*Facts, error) {
	refs, err := s.Tips(ledger.Prefix + topic)
	if err != nil {
		return nil, err
	}
	overlay := make(map[string]oid.ID, len(refs))
	for _, ref := range refs {
		overlay[ref.Name] = ref.ID
	}
	return LoadOnly(ctx, s, pin, overlay)
}

// Saw reports whether the writer of an entry had seen another one when it wrote it, as its ledger says.
func (f *Facts) Saw(by, seen handoff.Place) bool {
	if by.Ledger == seen.Ledger {
		return by.Seq > seen.Seq
	}
	c := f.Chains[by.Ledger]
	if c == nil {
		return false
	}
	for _, e := range c.Entries[:min(by.Seq, uint64(len(c.Entries)))] {
		for _, h := range e.Header.Heads {
			if h.Ledger == seen.Ledger && h.Seq >= seen.Seq {
				return true
			}
		}
	}
	return false
}

// LoadProposedAuthority is LoadAuthority with refs as they are proposed to be, as LoadProposed has them.
func LoadProposedAuthority(ctx context.Context, s *git.Session, pin envelope.Digest, overlay map[string]oid.ID) (*Facts, error) {
	root, err := openProposed(s, pin, overlay)
	if err != nil {
		return nil, err
	}
	f := newFacts(root)
	f.overlay = overlay
	if err := f.readLog(s, ledger.Prefix+CapabilityTopic+"/", nil); err != nil {
		return nil, err
	}
	f.assemble()
	f.readFormer(ctx, s)
	return f, f.readGrants(ctx, s)
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

// load reads ledgers and the commits of revs. Where there is a cache, and no overlay, what that remembers is not read again.
func load(ctx context.Context, s *git.Session, root *Root, revs []string, overlay map[string]oid.ID, cache *Cache) (*Facts, error) {
	f := newFacts(root)
	f.overlay = overlay
	if cache != nil && overlay == nil {
		f.known = &recollection{cache: cache}
	}
	if f.known == nil || !f.recollect(s, ledger.Prefix, revs, func(string) bool { return true }) {
		if err := f.readLog(s, ledger.Prefix, revs); err != nil {
			return nil, err
		}
	}
	early := slices.Clone(f.Problems)
	f.assemble()
	if err := f.read(ctx, s); err != nil {
		return nil, err
	}
	f.known.keep(f)
	if !f.Authority.Contested() {
		return f, nil
	}
	// Two agents introduce one name or one key. Who saw what, which tells who was first, is known now: once more.
	again := newFacts(root)
	again.forkTips = f.forkTips
	again.known = f.known
	again.overlay, again.Tips, again.commits, again.order, again.firsts, again.Problems = overlay, f.Tips, f.commits, f.order, f.firstSeen, early
	again.assemble()
	return again, again.read(ctx, s)
}

// read opens all ledgers: those that say who may do what go before the others.
func (f *Facts) read(ctx context.Context, s *git.Session) error {
	f.readFormer(ctx, s)
	if err := f.readGrants(ctx, s); err != nil {
		return err
	}
	if err := f.expand(s); err != nil {
		return err
	}
	return f.readSeals(ctx, s)
}

// loadTopics reads only the ledgers under a prefix of topics, and of those only grants.
func loadTopics(ctx context.Context, s *git.Session, root *Root, under string) (*Facts, error) {
	f := newFacts(root)
	if err := f.readLog(s, ledger.Prefix+under, nil); err != nil {
		return nil, err
	}
	f.assemble()
	f.readFormer(ctx, s)
	return f, f.readGrants(ctx, s)
}

// readFormer reads who the principals of the repositories were that this one replaces, as far as their roots are
// here. Nothing they signed counts; it is known by their keys for what it is.
func (f *Facts) readFormer(ctx context.Context, s *git.Session) {
	for _, p := range f.Root.Succeeds {
		root, err := OpenRootAt(s, FormerPrefix+p.Repository.Short(), p.Head)
		if err != nil || root.ID != p.Repository {
			continue
		}
		old := newFacts(root)
		if old.readLog(s, ledger.Prefix+CapabilityTopic+"/", nil) != nil {
			continue
		}
		old.assemble()
		if old.readGrants(ctx, s) == nil {
			f.former = append(f.former, old.Authority)
		}
	}
}

// ring finds the keys of all principals, and of those of replaced repositories.
func (f *Facts) ring(keyID string) (envelope.Key, bool) {
	k, ok := f.Authority.Ring(keyID)
	for i := 0; !ok && i < len(f.former); i++ {
		k, ok = f.former[i].Ring(keyID)
	}
	return k, ok
}

func newFacts(root *Root) *Facts {
	return &Facts{
		Root: root, Chains: map[string]*verdict.Chain{}, Tips: map[string]oid.ID{}, seals: map[oid.ID][]verdict.Candidate{},
		decisions: map[envelope.Digest]*verdict.Decided{}, Grants: map[envelope.Digest]capability.Given{}, Checked: map[envelope.Digest]Checked{}, Declined: map[envelope.Digest]Declined{},
		Denied: map[oid.ID][]verdict.Denial{}, Rewritten: map[oid.ID][]Origin{}, byID: map[envelope.Digest]oid.ID{}, bound: map[envelope.Digest]verdict.Named{}, commits: map[oid.ID]git.Commit{},
		forkTips: map[string]oid.ID{}, gapped: map[string]bool{}, roots: map[string]map[uint64]envelope.Digest{}, Evidence: map[oid.ID][]Evidence{},
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
				switch {
				case strings.HasPrefix(ref, ledger.Prefix):
					f.Tips[ref] = c.ID
				case strings.HasPrefix(ref, forkUnder(under)):
					f.forkTips[ref] = c.ID
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
	refs, rerr := s.Tips(under, forkUnder(under)) // before: what comes to be meanwhile is told by the log
	apart := maps.Clone(f.commits)
	order := slices.Clone(f.order)
	err := take(git.LogQuery{Revs: revs, Globs: []string{under + "*", forkUnder(under) + "*"}, Decorate: []string{strings.TrimSuffix(ledger.Prefix, "/"), strings.TrimSuffix(ForkPrefix, "/")}, IgnoreMissing: true})
	if err == nil && rerr == nil {
		f.setTips(refs) // Git passes over a ref whose commit is not there
		return nil
	}
	f.commits, f.order = apart, order
	clear(f.Tips)
	clear(f.forkTips)
	if rerr != nil {
		return errors.Join(err, rerr)
	}
	if len(revs) > 0 {
		if err := take(git.LogQuery{Revs: revs, IgnoreMissing: true}); err != nil {
			return err
		}
	}
	f.setTips(refs)
	return f.readApart(take)
}

// setTips notes where the ledgers are of which the log did not tell.
func (f *Facts) setTips(refs []git.Ref) {
	for _, ref := range refs {
		into := f.Tips
		if strings.HasPrefix(ref.Name, ForkPrefix) {
			into = f.forkTips
		}
		if _, told := into[ref.Name]; !told {
			into[ref.Name] = ref.ID
		}
	}
}

// readApart reads each ledger alone, so that a damaged one spoils no other.
func (f *Facts) readApart(take func(git.LogQuery) error) error {
	for _, ref := range slices.Sorted(maps.Keys(f.Tips)) {
		if err := take(git.LogQuery{Revs: []string{f.Tips[ref].String()}}); err != nil {
			f.problem(verdict.LedgerDamaged, strings.TrimPrefix(ref, ledger.Prefix), "covenant doctor", "can't be read: %v", err)
		}
	}
	for _, ref := range slices.Sorted(maps.Keys(f.forkTips)) {
		if err := take(git.LogQuery{Revs: []string{f.forkTips[ref].String()}}); err != nil {
			f.problem(verdict.LedgerDamaged, ref, "covenant doctor", "can't be read: %v", err)
		}
	}
	return nil
}

// readProposed is the log where refs are as an overlay has them.
func (f *Facts) readProposed(s *git.Session, under string, revs []string, take func(git.LogQuery) error) error {
	refs, err := s.Tips(under, forkUnder(under))
	if err != nil {
		return err
	}
	for _, ref := range refs {
		if strings.HasPrefix(ref.Name, ForkPrefix) {
			f.forkTips[ref.Name] = ref.ID
			continue
		}
		if !f.only || strings.HasPrefix(ref.Name, ledger.Prefix+CapabilityTopic+"/") {
			f.Tips[ref.Name] = ref.ID
		}
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
	for _, id := range f.forkTips {
		all = append(all, id.String())
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
	f.assembleForks()
}
