package provenance

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/verdict"
)

// Who names a dropped entry of an operator's wrote after the entry that stands before it: what it claims itself is no earlier.
func TestTimesOfDropped(t *testing.T) {
	key, err := identity.Generate(filepath.Join(t.TempDir(), "ada"), "ada", nil)
	if err != nil {
		t.Fatal(err)
	}
	at := func(minute int) envelope.Header {
		return envelope.Header{Time: envelope.Timestamp(time.Date(2026, 1, 1, 0, minute, 0, 0, time.UTC))}
	}
	back := at(0) // it says it was before that
	back.Heads = []envelope.Head{{ID: "c", Ledger: "audit/ada", Seq: 3}}
	ada := key.Public().ID()
	f := &Facts{
		Authority: capability.Fold([]capability.Principal{{Name: "ada", Kind: "human", Accountable: "ada", Operator: true, Keys: []identity.PublicKey{key.Public()}}}, nil, nil),
		Chains: map[string]*verdict.Chain{
			"audit/ada": {Name: "audit/ada", Entries: []verdict.Entry{
				{ID: "a", KeyID: ada, Header: at(10)},
				{ID: "b", KeyID: ada, Dropped: true},
				{ID: "c", KeyID: ada, Dropped: true},
				{ID: "d", KeyID: ada, Header: at(30)},
			}},
			"audit/coder": {Name: "audit/coder", Entries: []verdict.Entry{{ID: "x", KeyID: "coder's", Header: back}}},
		},
	}
	if got := f.times()["audit/coder"][0]; !got.Equal(at(10).When()) {
		t.Errorf("it counts as of %s", got)
	}
}
