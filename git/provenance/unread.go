package provenance

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"

	"github.com/open-covenant/covenant-git/envelope"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/oid"
)

// ErrForgotten says that what was remembered of ledgers is not what is there: it was forgotten, and who asks again reads them.
var ErrForgotten = errors.New("ledgers are not what they were when they were read, and are read anew the next time")

// unread reads seals and decisions that a load found remembered, when somebody asks for them. Where one can't be read nothing that
// was remembered holds: [Facts.unreadable].
type unread struct {
	s     *git.Session
	cache *Cache
	mu    sync.Mutex
	lost  error // the first failure
	// What was read, by the identity of its entry: so a seal is one wherever it is held.
	seals   map[envelope.Digest]*prov.Seal
	errs    map[envelope.Digest]error
	filled  map[oid.ID]bool            // commits whose seals are read
	intents map[envelope.Digest]string // that seals name
}

func newUnread(s *git.Session, c *Cache) *unread {
	return &unread{s: s, cache: c, seals: map[envelope.Digest]*prov.Seal{}, errs: map[envelope.Digest]error{}, filled: map[oid.ID]bool{}, intents: map[envelope.Digest]string{}}
}

// SealsOf returns what ledgers have of seals of a commit.
func (f *Facts) SealsOf(id oid.ID) []verdict.Candidate {
	list := f.seals[id]
	if f.unread == nil || len(list) == 0 {
		return list
	}
	f.unread.mu.Lock()
	defer f.unread.mu.Unlock()
	if !f.unread.filled[id] {
		f.fill(list)
		f.unread.filled[id] = true
	}
	return list
}

// intentOf returns the intent that a seal names.
func (f *Facts) intentOf(c *verdict.Candidate) string {
	switch {
	case c.Seal != nil:
		return c.Seal.Predicate.Intent
	case f.unread != nil && c.Err == nil:
		return f.unread.intents[c.ID]
	}
	return ""
}

// sealed returns the commits that somebody sealed, as ledgers say, sorted by their names.
func (f *Facts) sealed() []oid.ID { return slices.SortedFunc(maps.Keys(f.seals), oid.ID.Compare) }

// readAll reads all seals at once.
func (f *Facts) readAll() {
	if f.unread == nil {
		return
	}
	f.unread.mu.Lock()
	defer f.unread.mu.Unlock()
	var lists [][]verdict.Candidate
	for id, list := range f.seals {
		if !f.unread.filled[id] {
			lists = append(lists, list)
			f.unread.filled[id] = true
		}
	}
	f.fill(lists...)
}

// readAhead is how many of the commits that come next were looked at, and how many will be the next time.
type readAhead struct{ left, next int }

// read sees to it that the seals of the first commit are read, with those of more of them each time.
func (a *readAhead) read(f *Facts, view map[oid.ID]seen, commits []git.Commit) {
	if a.left--; a.left >= 0 || f.unread == nil {
		return
	}
	a.next = min(max(8, 2*a.next), 1024)
	n := min(a.next, len(commits))
	lists := make([][]verdict.Candidate, n)
	for i := range lists {
		lists[i] = view[commits[i].ID].candidates
	}
	f.fillCandidates(lists...)
	a.left = n - 1
}

// fillCandidates reads the seals of candidates of commits, and the decisions that these name.
func (f *Facts) fillCandidates(lists ...[]verdict.Candidate) {
	if f.unread == nil {
		return
	}
	f.unread.mu.Lock()
	defer f.unread.mu.Unlock()
	f.fill(lists...)
	want := map[envelope.Digest]bool{}
	for _, list := range lists {
		for i := range list {
			if list[i].Seal != nil {
				want[list[i].Seal.Predicate.Decision] = true
			}
		}
	}
	f.decide(want)
}

// fill reads the seals of candidates that have none and could have one. Where that can't be done they say why.
func (f *Facts) fill(lists ...[]verdict.Candidate) {
	u := f.unread
	var open []*verdict.Candidate
	var blobs []oid.ID
	for _, list := range lists {
		for i := range list {
			if c := &list[i]; c.Seal == nil && c.Err == nil && c.Ledger != "" {
				if c.Seal, c.Err = u.seals[c.ID], u.errs[c.ID]; c.Seal == nil && c.Err == nil {
					open, blobs = append(open, c), append(blobs, c.Blob)
				}
			}
		}
	}
	states := make([]statement, len(open))
	u.each(blobs, func(i int, blob []byte, err error) {
		if err == nil {
			states[i], _, err = pinnedStatement(blob, open[i].ID, f.Root.ID)
		}
		if open[i].Seal = states[i].seal; open[i].Seal == nil {
			open[i].Err = fmt.Errorf("%w: entry %s is not what it was when it was opened: %w", ledger.ErrDamaged, open[i].ID.Short(), cmp.Or(err, errOpened))
		}
	})
	for _, c := range open {
		if c.Err != nil {
			u.errs[c.ID] = c.Err
			u.lose(c.Err)
		} else {
			u.seals[c.ID] = c.Seal
		}
	}
}

// lose notes a failure, and forgets what is remembered.
func (u *unread) lose(err error) {
	if u.lost == nil {
		u.lost = fmt.Errorf("%w: %w", ErrForgotten, err)
		u.cache.forgetOpened()
	}
}

// unreadable returns why what was said so far of commits is not to be relied on; nil: it is.
func (f *Facts) unreadable() error {
	if f.unread == nil {
		return nil
	}
	f.unread.mu.Lock()
	defer f.unread.mu.Unlock()
	return f.unread.lost
}

// each reads blobs, and hands them on, on all processors. Of one that can't be read it hands on why.
func (u *unread) each(blobs []oid.ID, take func(i int, blob []byte, err error)) {
	type job struct {
		i    int
		data []byte
		err  error
	}
	if len(blobs) == 0 {
		return
	}
	jobs := make(chan job, 64)
	var wg sync.WaitGroup
	for range max(1, min(runtime.GOMAXPROCS(0), len(blobs)/8)) {
		wg.Go(func() {
			for j := range jobs {
				take(j.i, j.data, j.err)
			}
		})
	}
	i := 0
	for o, err := range u.s.Objects(slices.Values(tips(blobs)), envelope.MaxSize) {
		if i == len(blobs) {
			break
		}
		jobs <- job{i, o.Data, err}
		i++
	}
	for ; i < len(blobs); i++ {
		jobs <- job{i, nil, fmt.Errorf("%w: %s", git.ErrMissing, blobs[i].Short())}
	}
	close(jobs)
	wg.Wait()
}

// Decision returns a decision that a ledger has.
func (f *Facts) Decision(id envelope.Digest) (*verdict.Decided, bool) {
	d, ok := f.decisions[id]
	if !ok || f.unread == nil {
		return d, ok
	}
	f.unread.mu.Lock()
	defer f.unread.mu.Unlock()
	if d.Decision == nil {
		f.decide(map[envelope.Digest]bool{id: true})
	}
	if d.Decision == nil {
		return nil, false // it is not what it was
	}
	return d, true
}

// Decides reports whether an entry is a decision.
func (f *Facts) Decides(id envelope.Digest) bool { return f.decisions[id] != nil }

// Decided returns the identities of all decisions, in no order.
func (f *Facts) Decided() []envelope.Digest { return slices.Collect(maps.Keys(f.decisions)) }

// decide reads those of some decisions that were not read.
func (f *Facts) decide(want map[envelope.Digest]bool) {
	var open []*verdict.Decided
	var ids []envelope.Digest
	var blobs []oid.ID
	for id := range want {
		if d := f.decisions[id]; d != nil && d.Decision == nil {
			open, ids, blobs = append(open, d), append(ids, id), append(blobs, f.byID[id])
		}
	}
	errs := make([]error, len(open))
	f.unread.each(blobs, func(i int, blob []byte, err error) {
		var st statement
		if err == nil {
			st, _, err = pinnedStatement(blob, ids[i], f.Root.ID)
		}
		if open[i].Decision = st.decision; st.decision == nil {
			errs[i] = fmt.Errorf("%w: entry %s is not what it was when it was opened: %w", ledger.ErrDamaged, ids[i].Short(), cmp.Or(err, errOpened))
		}
	})
	for _, err := range errs {
		if err != nil {
			f.unread.lose(err)
		}
	}
}
