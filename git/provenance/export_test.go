package provenance

import (
	"context"
	"testing"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/oid"
)

// LedgerOf names the sealer's chain of a topic.
func LedgerOf(t testing.TB, k *Sealer, topic string) ledger.Name {
	t.Helper()
	n, err := k.ledger(topic)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// SeqOf is what the sealer's own appends use.
func (k *Sealer) SeqOf() ledger.SeqOf { return k.seqOf }

// A Claim is what a seal says of a commit that need not exist.
type Claim struct {
	Commit  git.Commit
	Changes [][]prov.Change
}

// Claims vouches for whatever it is told, in one transaction.
func (k *Sealer) Claims(t testing.TB, ref string, grants []envelope.Digest, list []Claim) {
	t.Helper()
	err := k.update(context.Background(), prov.Topic, func(tx *ledger.Tx, name ledger.Name, moved []envelope.Head) error {
		for i := range list {
			d := draft{commit: list[i].Commit, changes: list[i].Changes, mode: prov.Vouching, ref: ref}
			d.query = capability.Query{Action: capability.Commit}
			d.answer = capability.Decision{Allowed: true, Grants: grants, Checkers: []string{"liar"}}
			if _, _, err := k.append(tx, name, &d, moved); err != nil {
				return err
			}
			moved = nil
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Names vouches for a commit, and names whatever it is told.
func (k *Sealer) Names(t testing.TB, c git.Commit, bound prov.Bound) {
	t.Helper()
	d, err := k.draft(context.Background(), prov.Vouching, "refs/heads/main", c)
	if err != nil {
		t.Fatal(err)
	}
	d.bound, d.answer = bound, k.decideAll([]capability.Query{d.query})[0]
	err = k.update(context.Background(), prov.Topic, func(tx *ledger.Tx, name ledger.Name, moved []envelope.Head) error {
		_, _, err := k.append(tx, name, &d, moved)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// BoundOf is what the sealer would name.
func (k *Sealer) BoundOf(t testing.TB, c git.Commit) prov.Bound {
	t.Helper()
	d, err := k.draft(context.Background(), prov.Witness, "refs/heads/main", c)
	if err != nil {
		t.Fatal(err)
	}
	return d.bound
}

// WithPortLimits bounds what is looked at for changes that were applied to other content: steps of one commit, and bytes that are kept.
func (o Options) WithPortLimits(steps, bytes int) Options {
	o.limits = portLimits{of: steps, texts: bytes}
	return o
}

// CountingSteps tells how much of the history and of seals a run looked at.
func (o Options) CountingSteps(taken func(int)) Options {
	o.limits.taken = taken
	return o
}

// StepsOfRun is how much may be looked at in one run.
const StepsOfRun = maxSteps

// PortsKeep reads contents and compares each with the one before, and returns how many bytes of each were kept at most.
func PortsKeep(s *git.Session, limit int, ids []oid.ID) (texts, compared int) {
	p := newPorts(s, portLimits{texts: limit})
	for i, id := range ids {
		if _, ok := p.text(id); !ok || i > 0 && p.delta(ids[i-1], id) == nil {
			return -1, -1
		}
		n, m := 0, 0
		for _, b := range p.texts {
			n += len(b)
		}
		for key := range p.deltas {
			a, _ := p.text(key[0])
			b, _ := p.text(key[1])
			m += len(a) + len(b)
		}
		texts, compared = max(texts, n), max(compared, m)
	}
	return texts, compared
}

// Works tells to what statements about intents come, as verification asks it.
func (f *Facts) Works(s *git.Session) func(envelope.Digest) (verdict.Work, bool) { return f.works(s) }

// SealsRead reports whether seals were looked at at all, and not only what is remembered of commits.
func (f *Facts) SealsRead() bool { return f.seals != nil }

// Unread is how many seals were remembered and not read yet.
func (f *Facts) Unread() int {
	n := 0
	for _, list := range f.seals {
		for i := range list {
			if list[i].Seal == nil && list[i].Err == nil {
				n++
			}
		}
	}
	return n
}
