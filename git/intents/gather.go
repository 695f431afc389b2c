package intents

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
	"github.com/open-covenant/covenant-git/envelope/intent"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// errAnew says that what is remembered does not fit what came: all of it is read once more.
var errAnew = errors.New("ledgers came out of their order")

// entry is one that came: what it says of an intent, if anything, and what its writer had seen.
type entry struct {
	fact  *intent.Fact
	heads []envelope.Head // as far as they name what is here
	id    envelope.Digest
	key   string
	seq   uint64
	time  string
}

// gathering is one look at what ledgers gained.
type gathering struct {
	*Book
	f      *provenance.Facts
	full   bool // f knows all grants
	anew   bool // nothing was remembered
	tips   map[string]oid.ID
	cuts   map[string]uint64
	came   map[string][]entry             // by ledger, oldest first
	sights map[string][]sighting          // what operators saw of ledgers of intents, in this look
	had    map[string]provenance.Followed // how far each ledger had been followed before
	known  map[spot]envelope.Digest
	rivals map[rival]map[string]uint64 // the first statement, by ledger
	lost   bool                        // too much of before was named
	facts  map[intent.ID][]intent.Fact
	at     map[intent.ID]int // rows
}

// rival is what statements have in common of which at most one counts.
type rival struct {
	id    intent.ID
	after envelope.Digest
}

// mostLooked is how many entries of before are looked up one by one; where more are named, all is read anew, which costs no more.
const mostLooked = 64

// spot is the place of an entry.
type spot struct {
	ledger string
	seq    uint64
}

// update takes in what ledgers gained, and folds the intents anew that it is about.
func (b *Book) update(ctx context.Context, tips map[string]oid.ID) error {
	question := provenance.AuthorityQuestion(b.s, b.root, tips)
	forks := forksOf(tips)
	anew := len(b.head.Ledgers) == 0
	if !anew && (forks != b.head.Forks || !sameRoot(question, b.head.Authority)) {
		return errAnew
	}
	granted := question != b.head.Authority
	if !anew && !granted && !b.moved(tips) {
		return nil
	}
	g := &gathering{
		Book: b, anew: anew, tips: tips, came: map[string][]entry{}, sights: map[string][]sighting{}, facts: map[intent.ID][]intent.Fact{},
		had: map[string]provenance.Followed{}, known: map[spot]envelope.Digest{}, rivals: map[rival]map[string]uint64{}, at: make(map[intent.ID]int, len(b.rows)),
	}
	for i := range b.rows {
		g.at[b.rows[i].ID] = i
	}
	if err := g.authority(ctx, granted, forks != ""); err != nil {
		return err
	}
	for name, m := range b.head.Ledgers {
		g.had[name] = m.Followed
	}
	if err := g.follow(granted); err != nil {
		return err
	}
	was := b.head.Latest
	if err := g.grants(); err != nil {
		return err
	}
	if err := g.ingest(); err != nil {
		return err
	}
	seen, err := g.see()
	if err == nil && g.lost {
		err = errAnew
	}
	if err != nil {
		return err
	}
	b.head.Authority, b.head.Forks = question, forks
	return g.fold(ctx, granted, seen || was != b.head.Latest)
}

// forksOf writes down the other ways that ledgers of intents went.
func forksOf(tips map[string]oid.ID) string {
	var out []string
	for name, id := range tips {
		if strings.HasPrefix(name, provenance.ForkPrefix+intent.Topic+"/") {
			out = append(out, name+" "+id.String())
		}
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// sameRoot reports whether what two authorities depend on begins with the same trust root: only grants differ.
func sameRoot(a, b string) bool {
	cut := func(s string) string {
		lines := strings.SplitN(s, "\n", 3)
		return strings.Join(lines[:min(2, len(lines))], "\n")
	}
	return cut(a) == cut(b)
}

// names lists the ledgers of intents that are here.
func names(tips map[string]oid.ID) []ledger.Name {
	var out []ledger.Name
	for ref := range tips {
		if n, ok := ledger.ParseRef(ref); ok && n.Topic == intent.Topic {
			out = append(out, n)
		}
	}
	slices.SortFunc(out, func(a, b ledger.Name) int { return cmp.Compare(a.String(), b.String()) })
	return out
}

// moved reports whether a ledger of intents has moved, or is gone.
func (b *Book) moved(tips map[string]oid.ID) bool {
	all := names(tips)
	n := 0
	for _, name := range all {
		m, ok := b.head.Ledgers[name.String()]
		if at := tips[name.Ref()].String(); !ok || m.Commit != at && m.Bad != at {
			return true
		}
		n++
	}
	for name, m := range b.head.Ledgers {
		if m.followed(name) {
			n--
		}
	}
	return n != 0
}

// followed reports whether a ledger is one of intents, and was here.
func (m *mark) followed(name string) bool {
	return strings.HasPrefix(name, intent.Topic+"/") && (m.Commit != "" || m.Bad != "")
}

// authority reads as much of who may do what as is needed: of operators the trust root tells it.
func (g *gathering) authority(ctx context.Context, granted, forked bool) error {
	var err error
	switch {
	case forked:
		if g.f, err = provenance.Load(ctx, g.s, g.root.Pinned()); err != nil {
			return err
		}
		g.full, g.cuts = true, map[string]uint64{}
		for _, x := range g.f.Forks() {
			g.cuts[x.Ledger.String()] = x.Seq
		}
		return nil
	case !granted && !g.anew:
		g.f = provenance.RootAlone(g.root)
		for _, name := range names(g.tips) {
			m := g.head.Ledgers[name.String()]
			if at := g.tips[name.Ref()].String(); m != nil && (m.Commit == at || m.Bad == at) {
				continue
			}
			if p, _, ok := provenance.WriterKey(g.f.Authority, name.Writer); !ok || !p.Operator {
				return g.grant(ctx)
			}
		}
		return nil
	}
	return g.grant(ctx)
}

// grant reads all grants.
func (g *gathering) grant(ctx context.Context) (err error) {
	if g.full {
		return nil
	}
	if g.f, err = provenance.LoadAuthority(ctx, g.s, g.root.Pinned()); err == nil && g.f.Authority.Contested() {
		g.f, err = provenance.Load(ctx, g.s, g.root.Pinned()) // who was first is told by all ledgers
	}
	g.full = err == nil
	return err
}

// follow reads what the ledgers of intents gained.
func (g *gathering) follow(granted bool) error {
	here := map[string]bool{}
	for _, name := range names(g.tips) {
		n := name.String()
		here[n] = true
		m := g.head.Ledgers[n]
		if m == nil {
			m = &mark{}
			g.head.Ledgers[n] = m
		}
		tip := g.tips[name.Ref()]
		if m.Commit == tip.String() || m.Bad == tip.String() && !granted {
			continue
		}
		end, wrong, err := g.f.Follow(g.s, name, tip, m.Followed, g.cuts[n], func(x provenance.Next) error {
			if !g.anew && x.Header.Seq <= g.head.Awaited[n] {
				return errAnew // it was named before it came
			}
			g.came[n] = append(g.came[n], g.read(n, m, &x))
			return nil
		})
		if err != nil {
			return err
		}
		delete(g.head.Problems, n)
		if wrong != nil {
			if g.head.Problems == nil {
				g.head.Problems = map[string]verdict.Finding{}
			}
			g.head.Problems[n] = *wrong
		}
		m.Followed = end
	}
	for n, m := range g.head.Ledgers {
		if m.followed(n) && !here[n] {
			return errAnew // a ledger is gone
		}
	}
	return nil
}

// read takes what an entry says of an intent. One that is malformed keeps its place, and says nothing.
func (g *gathering) read(name string, m *mark, x *provenance.Next) entry {
	e := entry{id: x.Opened.ID, key: x.KeyID, seq: x.Header.Seq, time: x.Header.Time, heads: x.Header.Heads}
	operator := dated(g.f.Authority, x.KeyID, name, x.Header.Seq)
	if !operator && m.Time > e.time {
		e.time = m.Time
	}
	m.Time = max(m.Time, e.time)
	p, err := intent.Parse(x.Opened)
	if err != nil {
		return e
	}
	e.fact = &intent.Fact{ID: x.Opened.ID, Key: x.KeyID, Ledger: name, Seq: x.Header.Seq, Time: e.time, Opened: p.Opened, Edited: p.Edited, Moved: p.Moved}
	if who, ok := g.f.Authority.ByKey(x.KeyID); ok {
		e.fact.By = who.Name
	}
	if operator {
		e.fact.Seen = e.time
	}
	return e
}

// grants takes what operators saw as they gave grants.
func (g *gathering) grants() error {
	if !g.full {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(g.f.Chains)) {
		c := g.f.Chains[name]
		if !strings.HasPrefix(name, provenance.CapabilityTopic+"/") {
			continue
		}
		m := g.head.Ledgers[name]
		if m == nil {
			m = &mark{}
			g.head.Ledgers[name] = m
		}
		if m.Seq > uint64(len(c.Entries)) || m.Seq > 0 && c.Entries[m.Seq-1].ID != m.ID {
			return errAnew
		}
		for i := int(m.Seq); i < len(c.Entries) && c.Whole(i); i++ { //nolint:gosec // bounded by the number of entries
			e := &c.Entries[i]
			if e.Err == nil && dated(g.f.Authority, e.KeyID, name, e.Header.Seq) {
				g.saw(sighting{Time: e.Header.Time, By: name, BySeq: e.Header.Seq}, g.here(e.Header.Heads))
			}
			m.Seq, m.ID = e.Header.Seq, e.ID
		}
	}
	return nil
}

// here returns those heads that name an entry as it stands here; others are awaited, or name another way that a ledger went.
func (g *gathering) here(heads []envelope.Head) []envelope.Head {
	var out []envelope.Head
	for _, h := range heads {
		if topic, _, _ := strings.Cut(h.Ledger, "/"); topic != intent.Topic {
			if topic == provenance.CapabilityTopic {
				out = append(out, h)
			}
			continue
		}
		switch id, ok := g.idAt(h.Ledger, h.Seq); {
		case !ok:
			if g.head.Awaited == nil {
				g.head.Awaited = map[string]uint64{}
			}
			g.head.Awaited[h.Ledger] = max(g.head.Awaited[h.Ledger], h.Seq)
		case id == h.ID:
			out = append(out, h)
		}
	}
	return out
}

// idAt returns the identity of an entry of a ledger of intents.
func (g *gathering) idAt(name string, seq uint64) (envelope.Digest, bool) {
	had := g.had[name]
	if list := g.came[name]; seq > had.Seq {
		if i := seq - had.Seq - 1; i < uint64(len(list)) {
			return list[i].id, true
		}
		return "", false
	}
	if seq == had.Seq {
		return had.ID, true
	}
	at := spot{name, seq}
	if id, ok := g.known[at]; ok {
		return id, true
	}
	if len(g.known) == mostLooked {
		g.lost = true
		return "", false
	}
	o, err := g.s.Object(fmt.Sprintf("%s~%d:%s", had.Commit, had.Seq-seq, ledger.File), envelope.MaxSize)
	if err != nil {
		return "", false
	}
	e, err := ledger.ParseBlob(o.Data)
	if err != nil {
		return "", false
	}
	g.known[at] = e.ID()
	return e.ID(), true
}

// saw notes that an operator named heads, in an entry and at a time.
func (g *gathering) saw(s sighting, heads []envelope.Head) {
	g.head.Latest = max(g.head.Latest, s.Time)
	for _, h := range heads {
		s.Seq = h.Seq
		switch topic, writer, _ := strings.Cut(h.Ledger, "/"); {
		case strings.HasSuffix(s.By, "/"+writer): // its own
		case topic == intent.Topic:
			g.sights[h.Ledger] = append(g.sights[h.Ledger], s)
		case topic == provenance.CapabilityTopic:
			if g.head.Sights == nil {
				g.head.Sights = map[string][]sighting{}
			}
			g.head.Sights[h.Ledger] = append(g.head.Sights[h.Ledger], s)
		}
	}
}

// ingest puts what came to the intents it is about: what an entry names goes before it, so that it is known which statements its writer had seen.
func (g *gathering) ingest() error {
	for _, list := range g.came {
		for i := range list {
			list[i].heads = g.here(list[i].heads)
		}
	}
	done := map[string]int{}
	base := map[string]uint64{}
	for n, list := range g.came {
		base[n] = g.head.Ledgers[n].Seq - uint64(len(list))
	}
	ready := func(n string) bool {
		e := &g.came[n][done[n]]
		return !slices.ContainsFunc(e.heads, func(h envelope.Head) bool {
			i, coming := base[h.Ledger]
			return coming && h.Seq <= i+uint64(len(g.came[h.Ledger])) && h.Seq > i+uint64(done[h.Ledger]) //nolint:gosec // counts
		})
	}
	order := slices.Sorted(maps.Keys(g.came))
	for left := len(order); left > 0; {
		left = 0
		stuck := true
		for _, n := range order {
			for done[n] < len(g.came[n]) && ready(n) {
				stuck = false
				if err := g.put(n, &g.came[n][done[n]]); err != nil {
					return err
				}
				done[n]++
			}
			if done[n] < len(g.came[n]) {
				left++
			}
		}
		if stuck && left > 0 { // some name each other, as no honest writers' do
			for _, n := range order {
				if done[n] < len(g.came[n]) {
					if err := g.put(n, &g.came[n][done[n]]); err != nil {
						return err
					}
					done[n]++
					break
				}
			}
		}
	}
	return nil
}

func (g *gathering) put(n string, e *entry) error {
	m := g.head.Ledgers[n]
	for _, h := range e.heads {
		if strings.HasPrefix(h.Ledger, intent.Topic+"/") {
			if m.Saw == nil {
				m.Saw = map[string]uint64{}
			}
			m.Saw[h.Ledger] = max(m.Saw[h.Ledger], h.Seq)
		}
	}
	if dated(g.f.Authority, e.key, n, e.seq) {
		g.saw(sighting{Time: e.time, By: n, BySeq: e.seq}, e.heads)
	}
	if e.fact == nil {
		return nil
	}
	id := e.fact.Intent()
	facts, err := g.of(id)
	if err != nil {
		return err
	}
	for name, first := range g.rivals[rival{id, e.fact.Follows()}] {
		if seq := m.Saw[name]; name != n && seq >= first {
			if e.fact.Saw == nil {
				e.fact.Saw = map[string]uint64{}
			}
			e.fact.Saw[name] = seq
		}
	}
	g.rival(id, e.fact)
	g.facts[id] = append(facts, *e.fact)
	return nil
}

// rival notes a statement among those of which at most one counts.
func (g *gathering) rival(id intent.ID, f *intent.Fact) {
	k := rival{id, f.Follows()}
	if g.rivals[k] == nil {
		g.rivals[k] = map[string]uint64{}
	}
	if first, ok := g.rivals[k][f.Ledger]; !ok || f.Seq < first {
		g.rivals[k][f.Ledger] = f.Seq
	}
}

// of returns the statements about an intent that are known so far.
func (g *gathering) of(id intent.ID) ([]intent.Fact, error) {
	if facts, ok := g.facts[id]; ok {
		return facts, nil
	}
	i, ok := g.at[id]
	if !ok {
		return nil, nil
	}
	s, err := g.Book.read(&g.rows[i])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errAnew, err)
	}
	facts := make([]intent.Fact, 0, len(s.Steps))
	for _, x := range s.Steps {
		facts = append(facts, x.Fact)
		g.rival(id, &facts[len(facts)-1])
	}
	g.facts[id] = facts
	return facts, nil
}

// see says of statements when operators first saw them. It reports whether any was seen.
func (g *gathering) see() (bool, error) {
	type span struct {
		after uint64
		sighting
	}
	spans := map[string][]span{}
	for n, list := range g.sights {
		m := g.head.Ledgers[n]
		if m == nil {
			continue
		}
		slices.SortFunc(list, func(a, b sighting) int {
			return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.By, b.By), cmp.Compare(a.BySeq, b.BySeq))
		})
		for _, s := range list {
			if s.Time < m.SeenTime || s.Time == m.SeenTime && s.By < m.SeenBy {
				return false, errAnew // somebody saw it earlier than was known
			}
			if s.Seq > m.SeenSeq {
				spans[n] = append(spans[n], span{m.SeenSeq, s})
				m.SeenSeq, m.SeenTime, m.SeenBy = s.Seq, s.Time, s.By
			}
		}
	}
	if len(spans) == 0 {
		return false, nil
	}
	for i := range g.rows {
		if g.rows[i].unseen {
			if _, err := g.of(g.rows[i].ID); err != nil {
				return false, err
			}
		}
	}
	for _, facts := range g.facts {
		for i := range facts {
			f := &facts[i]
			for _, s := range spans[f.Ledger] {
				if f.Seen == "" && f.Seq > s.after && f.Seq <= s.Seq {
					f.Seen, f.SeenIn, f.SeenSeq = s.Time, s.By, s.BySeq
				}
			}
		}
	}
	return true, nil
}

// fold folds the intents anew of which something came, or is judged otherwise now, and remembers all.
func (g *gathering) fold(ctx context.Context, granted, seen bool) error {
	for i := range g.rows {
		if r := &g.rows[i]; granted && r.judged || seen && r.unseen {
			if _, err := g.of(r.ID); err != nil {
				return err
			}
		}
	}
	operators := func() bool {
		for _, facts := range g.facts {
			for i := range facts {
				if !dated(g.f.Authority, facts[i].Key, facts[i].Ledger, facts[i].Seq) {
					return false
				}
			}
		}
		return true
	}
	if !g.full && !operators() {
		if err := g.grant(ctx); err != nil {
			return err
		}
	}
	c := &court{g.f.Authority.Witnessed(g.sight()), g.head.Latest}
	for id, facts := range g.facts {
		for i := range facts {
			if p, ok := g.f.Authority.ByKey(facts[i].Key); ok {
				facts[i].By = p.Name
			}
		}
		s := intent.Fold(id, facts, c.judge)
		g.whole[id] = s
		r := rowOf(s)
		for i := range facts {
			operator := dated(g.f.Authority, facts[i].Key, facts[i].Ledger, facts[i].Seq)
			r.judged = r.judged || !operator
			r.unseen = r.unseen || !operator && facts[i].Seen == ""
		}
		if i, ok := g.at[id]; ok {
			r.at = g.rows[i].at
			g.rows[i] = r
		} else {
			g.rows = append(g.rows, r)
		}
	}
	slices.SortFunc(g.rows, func(a, b Row) int { return cmp.Or(cmp.Compare(a.Opened, b.Opened), cmp.Compare(a.ID, b.ID)) })
	all := g.anew
	if size := int64(0); !all {
		for i := range g.rows {
			size += int64(g.rows[i].at.len)
		}
		if g.head.Garbage > size+1<<20 { // more than half of the file is nobody's
			for i := range g.rows {
				if _, err := g.Book.wholeOf(&g.rows[i]); err != nil {
					return err
				}
			}
			all = true
		}
	}
	g.keep(g.whole, all)
	return nil
}

// wholeOf is Intent, before rows have their numbers.
func (b *Book) wholeOf(r *Row) (*intent.Intent, error) {
	if s, ok := b.whole[r.ID]; ok {
		return s, nil
	}
	s, err := b.read(r)
	if err == nil {
		b.whole[r.ID] = s
	}
	return s, err
}

// sight tells when an operator first saw a grant that was handed on, or its revocation.
func (g *gathering) sight() capability.Sight {
	return func(p capability.Place) (time.Time, bool) {
		first := ""
		for _, s := range g.head.Sights[p.Ledger] {
			if s.Seq >= p.Seq && (first == "" || s.Time < first) {
				first = s.Time
			}
		}
		t, err := time.Parse(time.RFC3339, first)
		return t, first != "" && err == nil
	}
}

func rowOf(s *intent.Intent) Row {
	r := Row{
		ID: s.ID, Name: s.Fields.Name, State: s.State, Priority: s.Fields.Priority, Role: s.Fields.Role, Title: s.Fields.Title, Next: s.Fields.Next, Parent: s.Fields.Parent, Needs: s.Fields.Needs,
		Lost: len(s.Lost()), Void: s.Void, Trail: trailOf(s),
	}
	if o := s.Opening(); o != nil {
		r.Opened, r.Opener = o.Time, o.By
	}
	if m := s.Moves(); len(m) > 0 {
		last := m[len(m)-1]
		r.Moved, r.Mover = last.Time, last.By
	}
	return r
}
