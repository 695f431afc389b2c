package provenance

import (
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/oid"
)

// Followed says how far a ledger was followed. The zero value is its beginning.
type Followed struct {
	Commit string            `json:"commit,omitempty"`
	ID     envelope.Digest   `json:"id,omitempty"`
	Seq    uint64            `json:"seq,omitempty"`
	Named  map[string]uint64 `json:"named,omitempty"` // heads that its entries named, by ledger
	Bad    string            `json:"bad,omitempty"`   // a tip that could not be followed to its end
}

// A Next is an entry that a ledger was followed to: it opened, and stands where its writer put it.
type Next struct {
	KeyID  string
	Header envelope.Header
	Opened *envelope.Opened
}

// ErrRolledBack says that a ledger no longer has an entry that it was followed to.
var ErrRolledBack = errors.New("the ledger was rolled back")

// followed is how many entries are opened together.
const followed = 4096

// Follow reads the entries of a ledger that came since it was followed before, oldest first, and returns how far it came. Where an entry
// breaks the rules of a chain it and all that follow are left out, and the finding says why; so are those that a key signed
// which the trust root let go, beyond what was known then, and from cut on, where that is not 0. f knows the keys: what [LoadAuthority] or [Load] returned.
func (f *Facts) Follow(s *git.Session, name ledger.Name, tip oid.ID, from Followed, cut uint64, yield func(Next) error) (Followed, *verdict.Finding, error) {
	at := from
	thread := verdict.Thread{Topic: name.Topic, Writer: string(name.Writer), ID: from.ID, Seq: from.Seq, Named: maps.Clone(from.Named)}
	owners := f.ownerOf(f.Authority)
	commits, wrong, err := f.commitsSince(s, name, tip, from)
	if err != nil {
		return from, nil, err
	}
	broken := func(code verdict.Code, format string, a ...any) *verdict.Finding {
		at.Bad = tip.String()
		return &verdict.Finding{Code: code, Object: name.String(), Message: fmt.Sprintf(format, a...), Hint: "covenant doctor"}
	}
	if wrong != "" {
		return at, broken(verdict.LedgerDamaged, "%s", wrong), nil
	}
	owner, _, known := WriterKey(f.Authority, name.Writer)
	if !known {
		return at, broken(verdict.LedgerUnknown, "is written by somebody whom nobody introduced"), nil
	}
	last, all := owner.Reach(name.String())
	for len(commits) > 0 {
		batch := commits[:min(followed, len(commits))]
		commits = commits[len(batch):]
		entries, opened, err := f.openAll(s, batch)
		if err != nil {
			return from, nil, err
		}
		for i := range entries {
			e := &entries[i]
			if !all && at.Seq >= last.Seq || cut > 0 && at.Seq+1 >= cut {
				at.Bad = tip.String()
				return at, nil, nil
			}
			if !all && e.Err == nil && e.Header.Seq == last.Seq && e.ID != last.ID {
				return at, broken(LedgerLate, "entry %d is another one than the trust root names", last.Seq), nil
			}
			if code, why := thread.Take(e, owners); code != "" {
				return at, broken(code, "%s", why), nil
			}
			at.Commit, at.ID, at.Seq, at.Named = e.Commit.String(), e.ID, e.Header.Seq, thread.Named
			if err := yield(Next{e.KeyID, e.Header, opened[i]}); err != nil {
				return from, nil, err
			}
		}
	}
	at.Bad = ""
	return at, nil, nil
}

// commitsSince lists the entries after the one that a ledger was followed to, oldest first. wrong says why they are no chain.
func (f *Facts) commitsSince(s *git.Session, name ledger.Name, tip oid.ID, from Followed) (commits []oid.ID, wrong string, err error) {
	if from.Commit != "" && from.Commit == tip.String() {
		return nil, "", nil
	}
	id := tip
	for range stepwise { // few are read one by one, which costs no further child
		c, err := s.Commit(id.String())
		if err != nil {
			if errors.Is(err, git.ErrMissing) {
				return nil, "entry " + id.Short() + " is not in this clone", nil
			}
			return nil, "", err
		}
		commits = append(commits, id)
		if len(c.Parents) > 1 {
			return nil, "entry " + id.Short() + " follows more than one", nil
		}
		if len(c.Parents) == 0 && from.Commit != "" {
			return nil, "", fmt.Errorf("%w: %s no longer has entry %s", ErrRolledBack, name, from.ID.Short())
		}
		if len(c.Parents) == 0 || c.Parents[0].String() == from.Commit {
			slices.Reverse(commits)
			return commits, "", nil
		}
		id = c.Parents[0]
	}
	commits = commits[:0]
	q := git.LogQuery{Revs: []string{tip.String()}}
	if from.Commit != "" {
		q.Revs = append(q.Revs, "^"+from.Commit)
	}
	last := from.Commit
	for c, err := range s.Log(q) {
		switch {
		case errors.Is(err, git.ErrMissing):
			return nil, err.Error(), nil
		case err != nil:
			return nil, "", err
		case len(c.Parents) > 1:
			return nil, "entry " + c.ID.Short() + " follows more than one", nil
		case len(c.Parents) == 0 && last != "", len(c.Parents) == 1 && c.Parents[0].String() != last:
			if from.Commit != "" {
				return nil, "", fmt.Errorf("%w: %s no longer has entry %s", ErrRolledBack, name, from.ID.Short())
			}
			return nil, "entry " + c.ID.Short() + " does not follow the one before it", nil
		}
		commits, last = append(commits, c.ID), c.ID.String()
	}
	if last != tip.String() {
		return nil, "", fmt.Errorf("%w: %s no longer has entry %s", ErrRolledBack, name, from.ID.Short())
	}
	return commits, "", nil
}

// openAll opens entries of ledgers, on all processors.
func (f *Facts) openAll(s *git.Session, commits []oid.ID) ([]verdict.Entry, []*envelope.Opened, error) {
	entries, opened := make([]verdict.Entry, len(commits)), make([]*envelope.Opened, len(commits))
	type job struct {
		i    int
		data []byte
	}
	jobs := make(chan job, 64)
	var wg sync.WaitGroup
	for range max(1, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for j := range jobs {
				opened[j.i] = f.openOne(&entries[j.i], j.data)
			}
		})
	}
	i := 0
	for o, err := range s.Objects(func(yield func(string) bool) {
		for _, id := range commits {
			if !yield(id.String() + ":" + ledger.File) {
				return
			}
		}
	}, envelope.MaxSize) {
		if i == len(commits) {
			break
		}
		entries[i].Commit = commits[i]
		if err != nil {
			entries[i].Err = fmt.Errorf("%w: %w", ledger.ErrDamaged, err)
		} else {
			jobs <- job{i, o.Data}
		}
		i++
	}
	close(jobs)
	wg.Wait()
	if i < len(commits) {
		return nil, nil, fmt.Errorf("reading ledgers: %d of %d entries came", i, len(commits))
	}
	return entries, opened, nil
}

func (f *Facts) openOne(e *verdict.Entry, data []byte) *envelope.Opened {
	env, err := ledger.ParseBlob(data)
	if err != nil {
		e.Err = err
		return nil
	}
	e.ID = env.ID()
	if ids := env.KeyIDs(); len(ids) > 0 {
		e.KeyID = ids[0]
	}
	if _, e.Header, e.Err = openEnvelope(env, f.Root.ID, f.ring); e.Err != nil {
		return nil
	}
	o, err := env.OpenPinned(env.PayloadType(), e.ID) // its signature was checked just now
	if err != nil {
		e.Err = err
	}
	return o
}

// Tips returns ledgers of topics, and the other ways that some of them went, by ref.
func Tips(s *git.Session, topics ...string) (map[string]oid.ID, error) {
	var under []string
	for _, t := range topics {
		under = append(under, ledger.Prefix+t, ForkPrefix+t)
	}
	list, err := s.Tips(under...)
	if err != nil {
		return nil, err
	}
	out := make(map[string]oid.ID, len(list))
	for _, r := range list {
		out[r.Name] = r.ID
	}
	return out, nil
}

// AuthorityQuestion writes down what an authority depends on: the trust root, and the ledgers of grants, of what [Tips] returned.
func AuthorityQuestion(s *git.Session, root *Root, tips map[string]oid.ID) string {
	var refs []git.Ref
	for name, id := range tips {
		refs = append(refs, git.Ref{Name: name, ID: id})
	}
	slices.SortFunc(refs, func(a, b git.Ref) int { return strings.Compare(a.Name, b.Name) })
	return fmt.Sprintln(cacheVersion, root.pin, rejected(s)) + authorityQuestion(root, refs)
}

// RootAlone returns facts that know nobody but the persons and automations of the trust root: enough to read what operators wrote.
func RootAlone(root *Root) *Facts {
	f := newFacts(root)
	f.Authority = capability.Fold(Persons(root), nil, nil)
	return f
}

// Pinned returns the pin that a trust root was held to.
func (r *Root) Pinned() envelope.Digest { return r.pin }
