package provenance

import (
	"testing"

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
