package provenance

import (
	"context"
	"testing"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
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
