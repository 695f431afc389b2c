package provenance_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// What no reader would take is not appended: a ledger that has it is damaged for everybody.
func TestReadBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "sha1")
	w.write("a", "before\n")
	w.git("add", ".")
	w.made("before")
	w.found()
	w.introduce("coder")
	before := w.git("for-each-ref")
	k := w.sealer(w.session(), "alice")
	for name, item := range map[string]provenance.Item{
		"a revocation of nothing": {Type: capability.Revoked, Subject: "x", Body: capability.Revocation{Grant: "x"}},
		"a reason too long":       {Type: capability.Requested, Subject: "x", Body: capability.Asked{Action: "repo.commit", Scope: capability.Whole, Reason: strings.Repeat("x", 5000)}},
	} {
		if _, err := k.Record(context.Background(), provenance.CapabilityTopic, item); !errors.Is(err, provenance.ErrUnreadable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if after := w.git("for-each-ref"); after != before {
		t.Errorf("something moved:\n%s\n%s", before, after)
	}
}
