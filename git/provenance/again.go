package provenance

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/event"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
)

// PlanAgain plans to say again what entries a ledger lacks, where somebody said so whose word counts for nothing now: whose key was removed by who did
// not know of it, or was stolen then. What was dropped can't be looked at any more: who signs it answers for that. It returns as well who had said it.
// Nothing else may be wrong with the ledger, and what accountable others had seen of it must be what it has.
func (f *Facts) PlanAgain(s *git.Session, name string) (*Plan, []Pruning, error) {
	no := func(format string, a ...any) (*Plan, []Pruning, error) {
		return nil, nil, fmt.Errorf("%w: "+format, append([]any{ErrNotPrunable}, a...)...)
	}
	c := f.Chains[name]
	switch {
	case c == nil || !strings.HasPrefix(name, AuditTopic+"/"):
		return no("%s is no ledger of topic %s that is here", name, AuditTopic)
	case c.Broken == nil || c.Broken.Code != verdict.LedgerPruned:
		return no("%s lacks nothing of which a statement is wanted", name)
	}
	full, err := f.full(s, c)
	if err != nil {
		return nil, nil, err
	}
	if full.Broken != nil {
		return no("%s", full.Broken.Message)
	}
	delete(f.roots, name)
	var said []*Pruning
	for i := range f.prunings {
		p := &f.prunings[i]
		q, err := purging(p.KeyID, p.Says.Before)
		if err == nil && p.Says.Of == name && f.Authority.MightEver(q) {
			said = append(said, p)
		}
	}
	f.growRoots(full, said)
	said = slices.DeleteFunc(said, func(p *Pruning) bool { return f.isOf(p, full) != nil || !within(p.Says.Ranges, droppedOf(full)) })
	delete(f.roots, name)
	if open := unsaid(full, said); len(open) > 0 {
		return no("of %s that %s lacks from number %d on nobody who might once said that they were dropped", entriesIn(open), name, first(open)+1)
	}
	if err := f.agrees(full); err != nil {
		return nil, nil, err
	}
	p := &Plan{Again: true, Stays: map[string]int{}, Says: event.Pruning{Of: name, Ranges: droppedOf(full), Kinds: event.FewKinds(kindsOf(said))}}
	var by []Pruning
	for _, x := range said {
		p.Says.Before = max(p.Says.Before, x.Says.Before) // times have one form, and sort as texts
		by = append(by, *x)
	}
	return p, by, p.commit(full)
}

// full is a ledger with a place for each entry that it lacks, as if that were said.
func (f *Facts) full(s *git.Session, c *verdict.Chain) (*verdict.Chain, error) {
	opened := map[string]verdict.Entry{}
	var commits []git.Commit
	for i := range c.Entries {
		e := &c.Entries[i]
		if n := len(commits); n == 0 || commits[n-1].ID != e.Commit {
			commits = append(commits, f.commits[e.Commit])
		}
		opened[e.Commit.String()] = *e
	}
	slots, err := ledger.Expand(s, commits)
	if err != nil {
		return nil, err
	}
	out := &verdict.Chain{Name: c.Name, Entries: entriesAt(slots)}
	for i := range out.Entries {
		if e := &out.Entries[i]; !e.Dropped {
			*e = opened[e.Commit.String()]
		}
	}
	f.place(out)
	topic, writer, _ := strings.Cut(c.Name, "/")
	out.Link(topic, writer, f.ownerOf(f.Authority))
	return out, nil
}

// errOther says that a ledger is not the one that others saw.
var errOther = errors.New("it is not what others saw")

// agrees reports whether a ledger has what accountable others named of it, and what their checkpoints were made over.
func (f *Facts) agrees(full *verdict.Chain) error {
	own, _ := f.Authority.ByKey(full.Entries[0].KeyID)
	for _, c := range f.Chains {
		for i := range c.Entries {
			e := &c.Entries[i]
			p, ok := f.Authority.ByKey(e.KeyID)
			if e.Err != nil || !c.Whole(i) || !ok || p.Accountable != p.Name || own != nil && p.Name == own.Name {
				continue
			}
			for _, h := range e.Header.Heads {
				if h.Ledger == full.Name && h.Seq <= uint64(len(full.Entries)) && full.Entries[h.Seq-1].ID != h.ID {
					return fmt.Errorf("%w: %w: entry %d of %s was %s, says %s, and is %s here", ErrNotPrunable, errOther, h.Seq, full.Name, h.ID.Short(), e.ID.Short(), full.Entries[h.Seq-1].ID.Short())
				}
			}
		}
	}
	wrong := func() (map[envelope.Digest]error, error) {
		out := map[envelope.Digest]error{}
		all, err := f.Signed(time.Time{})
		for i := range all {
			if p, ok := f.Authority.ByKey(all[i].KeyID); ok && p.Accountable == p.Name && all[i].Err != nil && !all[i].Lacks {
				out[all[i].ID] = all[i].Err
			}
		}
		return out, err
	}
	was := f.Chains[full.Name]
	delete(f.Chains, full.Name)
	before, err := wrong()
	f.Chains[full.Name] = was
	if err != nil {
		return err
	}
	f.Chains[full.Name] = full
	after, err := wrong()
	f.Chains[full.Name] = was
	for id, why := range after {
		if before[id] == nil {
			return fmt.Errorf("%w: %w: checkpoint %s: %w", ErrNotPrunable, errOther, id.Short(), why)
		}
	}
	return err
}
