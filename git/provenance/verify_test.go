package provenance_test

import (
	"context"
	"slices"
	"testing"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/provenance"
)

func TestEveryKindOfChange(t *testing.T) {
	for _, format := range []string{"sha1", "sha256"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, format)
			w.build()
			w.fine()
			res, _, err := w.verify(false, "main")
			if err != nil {
				t.Fatal(err)
			}
			if r := res[w.commit["before"]]; r.Verdict != verdict.Before {
				t.Errorf("the first commit is %s", r.Verdict)
			}
			if r := res[w.commit["add"]]; r.Principal == nil || r.Principal.Name != "alice" || r.Mode != "witness" || r.Coverage != "own" {
				t.Errorf("add: %+v", r)
			}
			if r := res[w.commit["modify"]]; r.Principal == nil || r.Principal.Name != "coder" || r.Principal.Accountable != "alice" {
				t.Errorf("modify: %+v", r)
			}
		})
	}
}

// A statement in a capability ledger that this program can't read could end a
// grant: what comes after it is not believed, and it is said.
func TestNewerCapabilityStatement(t *testing.T) {
	for _, typ := range []string{"capability.granted/v2", "capability.suspended/v1"} {
		w := newWorld(t, "sha1")
		w.build()
		s := w.session()
		k := w.sealer(s, "alice")
		name := provenance.LedgerOf(t, k, provenance.CapabilityTopic)
		err := ledger.Update(context.Background(), s, k.SeqOf(), []string{ledger.Prefix}, nil, func(tx *ledger.Tx) error {
			_, err := tx.Append(name, func(seq uint64, prev envelope.Digest) (ledger.Entry, error) {
				payload, err := envelope.Statement(typ, envelope.Header{
					Prev: prev, Repository: w.pin, Seq: seq, Time: envelope.Timestamp(w.now()), Topic: name.Topic, Writer: string(name.Writer),
				}, map[string]any{"grant": "all"})
				if err != nil {
					return ledger.Entry{}, err
				}
				e, err := envelope.Seal(envelope.TypeLedger, payload, envelope.SealWith{KeyID: w.keys["alice"].Public().ID(), Signer: w.keys["alice"]})
				return ledger.Entry{Envelope: e, Subject: "newer", Author: "alice", When: w.now()}, err
			})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		_, problems, err := w.verify(false, "main")
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(problems, func(f verdict.Finding) bool { return f.Code == verdict.LedgerNewer }) {
			t.Errorf("%s: %+v", typ, problems)
		}
	}
}
