package provenance

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/oid"
)

// recollection is what a clone remembers of its ledgers while they are loaded.
type recollection struct {
	cache  *Cache
	topics map[string]*openedTopic // as far as they were asked for; nil: nothing is remembered
	fresh  map[string]*openedTopic // what is to be remembered, of topics of which more is known now
}

// Load is the function of that name, and opens of the ledgers no more than what is new. A nil cache remembers nothing.
func (c *Cache) Load(ctx context.Context, s *git.Session, pin envelope.Digest) (*Facts, error) {
	if c == nil {
		return Load(ctx, s, pin)
	}
	root, err := c.OpenRoot(s, pin)
	if err != nil {
		return nil, err
	}
	return load(ctx, s, root, nil, nil, c)
}

// LoadTopic is the function of that name, likewise.
func (c *Cache) LoadTopic(ctx context.Context, s *git.Session, pin envelope.Digest, topic string) (*Facts, error) {
	if c == nil {
		return LoadTopic(ctx, s, pin, topic)
	}
	root, err := c.OpenRoot(s, pin)
	if err != nil {
		return nil, err
	}
	f := newFacts(root)
	f.only, f.known = true, &recollection{cache: c}
	if !f.recollect(s, ledger.Prefix, nil, func(t string) bool { return t == topic || t == CapabilityTopic }) {
		return LoadTopic(ctx, s, pin, topic)
	}
	f.assemble()
	if err := f.read(ctx, s); err != nil {
		return nil, err
	}
	if f.Authority.Contested() || len(f.gapped) > 0 {
		return c.Load(ctx, s, pin) // who was first, and who saw what was dropped, is told by all of them
	}
	f.known.keep(f)
	return f, nil
}

// recollect is readLog where much of the ledgers of some topics is remembered: their commits are not listed again. It is
// false, and nothing was read, where that would not tell the same.
func (f *Facts) recollect(s *git.Session, under string, revs []string, want func(topic string) bool) bool {
	refs, err := s.Tips(under, forkUnder(under))
	if err != nil {
		return false
	}
	k := f.known
	k.topics = map[string]*openedTopic{}
	no := func() bool {
		clear(f.commits)
		clear(f.Tips)
		f.order, k.topics = nil, nil
		return false
	}
	var since []string
	chains := map[string]*openedChain{}
	steps := maxStraight
	for _, ref := range refs {
		n, ok := ledger.ParseRef(ref.Name)
		if !ok && !strings.HasPrefix(ref.Name, ledger.Prefix) {
			return no() // another way that a ledger went
		}
		topic, _, _ := strings.Cut(strings.TrimPrefix(ref.Name, ledger.Prefix), "/")
		if !want(topic) {
			continue
		}
		if !ok { // it is told as what it is
			f.Tips[ref.Name] = ref.ID
			since = append(since, ref.ID.String())
			continue
		}
		t, read := k.topics[n.Topic]
		if !read {
			t = k.cache.opened(f.Root.ID, s.Repo().Format(), n.Topic)
			k.topics[n.Topic] = t
		}
		f.Tips[ref.Name] = ref.ID
		if t == nil || t.chains[n.String()] == nil {
			since = append(since, ref.ID.String())
			continue
		}
		c := t.chains[n.String()]
		chains[ref.Name] = c
		last := c.entries[len(c.entries)-1].commit
		list := follow(s, ref.ID, last, &steps)
		if last != ref.ID && list == nil {
			since = append(since, ref.ID.String(), "^"+last.String())
		}
		for _, n := range slices.Backward(list) {
			f.commits[n.ID] = n
			f.order = append(f.order, n.ID)
		}
	}
	take := func(c git.Commit) {
		if _, twice := f.commits[c.ID]; !twice {
			f.order = append(f.order, c.ID)
		}
		f.commits[c.ID] = c
	}
	if len(since) > 0 {
		list, err := logged(s, since)
		if err != nil {
			return no()
		}
		for _, c := range list {
			take(c)
		}
	}
	for ref, tip := range f.Tips {
		if _, here := f.commits[tip]; chains[ref] == nil && !here {
			return no() // it is not there, or names its commit by a tag
		}
	}
	for ref, c := range chains { // what is new must follow what is remembered
		last := c.entries[len(c.entries)-1].commit
		for id := f.Tips[ref]; id != last; {
			n, ok := f.commits[id]
			if !ok || len(n.Parents) != 1 {
				name, _ := ledger.ParseRef(ref)
				k.cache.forget(openedFile(name.Topic)) // it would be in the way each time
				return no()
			}
			id = n.Parents[0]
		}
	}
	known := 0
	for _, c := range chains {
		known += len(c.entries)
	}
	order := make([]oid.ID, 0, known+len(f.order))
	for _, ref := range slices.Sorted(maps.Keys(chains)) {
		var parents []oid.ID
		for i := range chains[ref].entries {
			id := chains[ref].entries[i].commit
			if _, twice := f.commits[id]; twice {
				return no() // two ledgers share it
			}
			f.commits[id] = git.Commit{ID: id, Parents: parents}
			parents = []oid.ID{id}
			order = append(order, id)
		}
	}
	f.order = append(order, f.order...)
	if len(revs) == 0 {
		return true
	}
	list, err := logged(s, revs)
	if err != nil {
		return no()
	}
	met := func(id oid.ID) bool { _, ok := f.commits[id]; return ok }
	for i := range list {
		if met(list[i].ID) || slices.ContainsFunc(list[i].Parents, met) {
			return no() // a ledger has code, or code stands on top of it: then what a range has depends on what ledgers brought, and in which order
		}
	}
	for _, c := range list {
		take(c)
	}
	return true
}

// logged lists the commits of revisions, as far as they are here.
func logged(s *git.Session, revs []string) ([]git.Commit, error) {
	var out []git.Commit
	for c, err := range s.Log(git.LogQuery{Revs: revs, IgnoreMissing: true}) {
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// follow returns the commits from the end of a ledger down to one that is left out, as far as there are steps left; nil where that does not lead there.
func follow(s *git.Session, tip, last oid.ID, steps *int) []git.Commit {
	var out []git.Commit
	for id := tip; id != last; *steps-- {
		c, err := s.Commit(id.String())
		if err != nil || len(c.Parents) != 1 || *steps <= 0 {
			return nil
		}
		out, id = append(out, c), c.Parents[0]
	}
	return out
}

// of returns what is remembered of an entry; nil for nothing.
func (k *recollection) of(r entryRef) *openedEntry {
	if k == nil || len(k.topics) == 0 {
		return nil
	}
	topic, _, _ := strings.Cut(r.chain.Name, "/")
	return k.topics[topic].of(r.chain.Name, r.i, r.entry().Commit)
}

// recall puts what is remembered into an entry, and returns what it states where that is kept. As when it was opened, its key must
// be known.
func (f *Facts) recall(r entryRef, x *openedEntry) (st statement) {
	e := r.entry()
	topic, writer, _ := strings.Cut(r.chain.Name, "/")
	e.Blob, e.ID, e.KeyID = x.blob, x.id, x.key
	if _, ok := f.ring(x.key); !ok {
		e.Err = &envelope.KeyError{KeyID: x.key, Err: envelope.ErrUnknownKey}
		return st
	}
	var prev envelope.Digest
	if r.i > 0 {
		prev = f.known.topics[topic].chains[r.chain.Name].entries[r.i-1].id
	}
	e.Header = x.header(f.Root.ID, topic, writer, r.i, prev)
	if x.kind == openedText {
		st, _, e.Err = pinnedStatement(x.text, x.id, f.Root.ID)
	}
	return st
}

// unreadIn notes that some of what ledgers say is read when it is asked for.
func (f *Facts) unreadIn(s *git.Session) {
	if f.unread == nil {
		f.unread = newUnread(s, f.known.cache)
	}
}

// pinnedStatement reads the blob of an entry whose signature was verified, and whose identity is remembered.
func pinnedStatement(blob []byte, id, repository envelope.Digest) (statement, envelope.Header, error) {
	env, err := ledger.ParseBlob(blob)
	if err != nil {
		return statement{}, envelope.Header{}, err
	}
	o, err := env.OpenPinned(env.PayloadType(), id)
	if err != nil {
		return statement{}, envelope.Header{}, err
	}
	return stated(o, repository)
}

// opened returns what is remembered of the ledgers of a topic; nil for nothing.
func (c *Cache) opened(repository envelope.Digest, format oid.Format, topic string) *openedTopic {
	b := c.read(openedFile(topic))
	if b == nil {
		return nil
	}
	t, err := decodeOpened(b, repository, format)
	if err != nil {
		return nil
	}
	return t
}

const openedPrefix = "opened-"

func openedFile(topic string) string { return openedPrefix + topic }

// forgetOpened forgets what is remembered of all ledgers.
func (c *Cache) forgetOpened() {
	for _, name := range c.Names(openedPrefix) {
		c.forget(name)
	}
}

// note notes what there is to remember of ledgers whose entries were opened: states and data are of refs, and empty where an
// entry was remembered before.
func (k *recollection) note(f *Facts, refs []entryRef, states []*statement, data [][]byte) {
	if k == nil {
		return
	}
	for from := 0; from < len(refs); {
		c, to := refs[from].chain, from
		for to < len(refs) && refs[to].chain == c {
			to++
		}
		k.noteChain(f, c, refs[from:to], states[from:to], data[from:to])
		from = to
	}
}

func (k *recollection) noteChain(f *Facts, c *verdict.Chain, refs []entryRef, states []*statement, data [][]byte) {
	if c != f.Chains[c.Name] || len(refs) != len(c.Entries) || f.gapped[c.Name] {
		return // of what was dropped, and of another way that a ledger went, all is read
	}
	topic, _, _ := strings.Cut(c.Name, "/")
	t := k.fresh[topic]
	if t == nil {
		if t = newOpenedTopic(); k.fresh == nil {
			k.fresh = map[string]*openedTopic{}
		}
		if old := k.topics[topic]; old != nil {
			for _, n := range old.names {
				t.name(n)
			}
		}
		k.fresh[topic] = t
	}
	out := &openedChain{}
	whole := len(c.Entries)
	if c.Broken != nil {
		whole = min(whole, c.From)
	}
	if old := k.topics[topic]; old != nil && old.chains[c.Name] != nil {
		if was := old.chains[c.Name]; len(was.entries) <= whole && old.of(c.Name, len(was.entries)-1, c.Entries[len(was.entries)-1].Commit) != nil {
			out.entries, out.raw = slices.Clip(was.entries), slices.Clip(was.raw)
		}
	}
	var more []openedEntry
	for i := len(out.entries); i < whole; i++ {
		e := &c.Entries[i]
		x, ok := f.known.topics[topic].of(c.Name, i, e.Commit), true
		switch {
		case e.Err != nil || e.Dropped:
			ok = false
		case x == nil:
			var m openedEntry
			m, ok = memorable(e, states[i], data[i])
			x = &m
		}
		if !ok {
			break
		}
		more = append(more, *x)
	}
	t.extend(out, more)
	if len(out.entries) > 0 {
		t.chains[c.Name] = out
	}
}

// keep writes down what there is to remember, of topics of which enough is new.
func (k *recollection) keep(f *Facts) {
	if k == nil || len(f.forks) > 0 {
		return
	}
	for topic, t := range k.fresh {
		have, had := t.size(), k.topics[topic].size()
		if more := have - had; more > 0 && more >= have/64 || have < had {
			k.cache.write(openedFile(topic), t.encode(f.Root.ID, k.cache.repo.Format()))
		}
	}
	k.fresh = nil
}

func (t *openedTopic) size() int {
	n := 0
	if t != nil {
		for _, c := range t.chains {
			n += len(c.entries)
		}
	}
	return n
}
