package audit_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/event"
	"github.com/open-covenant/covenant-git/envelope/tlog"
	"github.com/open-covenant/covenant-git/git/audit"
	"github.com/open-covenant/covenant-git/git/provenance"
)

func TestPrune(t *testing.T) {
	w := newWorld(t)
	bob := w.agent("bob", "", "")
	n := w.record(w.as("bob", bob), append(calls(5), denial())...)
	w.record(w.as("bob", bob), calls(2)...)
	made := w.checkpoint()
	s := w.session()
	logs, errs := audit.Logs(s, w.cache(s), w.pin, w.facts().Authority, "")
	if len(errs) > 0 || len(logs) == 0 {
		t.Fatal(errs)
	}
	ids := map[int]envelope.Digest{}
	blobs := map[int]string{}
	for i, e := range w.facts().Chains[n.String()].Entries {
		ids[i+1], blobs[i+1] = e.ID, e.Blob.String()
	}
	prove := func(seq int) (*tlog.Proof, error) {
		s := w.session()
		logs, errs := audit.Logs(s, w.cache(s), w.pin, w.facts().Authority, "")
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		at, err := logs[0].Find(string(ids[seq]))
		if err != nil {
			t.Fatal(err)
		}
		return logs[0].Prove(at)
	}
	old, err := prove(3)
	if err != nil {
		t.Fatal(err)
	}

	p := w.prune(w.sealer(), n)
	if !slices.Equal(p.Says.Ranges, []event.Range{{2, 5}}) || p.Stays["a denial"] != 1 || p.Stays["the last that names another ledger"] != 2 {
		t.Fatalf("%+v", p)
	}
	w.git("reflog", "expire", "--expire=now", "--all")
	w.git("gc", "-q", "--prune=now")
	w.git("fsck", "--strict", "--no-dangling")
	for seq, blob := range blobs {
		_, err := w.session().Object(blob, 1<<20)
		if gone := err != nil; gone != (seq >= 2 && seq <= 5) {
			t.Errorf("entry %d: gone %v", seq, gone)
		}
	}
	if wrong := w.wrong(); len(wrong) > 0 {
		t.Fatalf("afterwards: %q", wrong)
	}
	f := w.facts()
	for i, e := range f.Chains[n.String()].Entries {
		if e.ID != ids[i+1] || e.Dropped != (i >= 1 && i <= 4) {
			t.Errorf("entry %d: %+v", i+1, e)
		}
	}
	if len(f.Pending()) > 0 || f.Dropped(n.String()) != 4 {
		t.Errorf("%+v, %d", f.Pending(), f.Dropped(n.String()))
	}

	// Proofs: of what stays, of what went, and one from before.
	kept, err := prove(6)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := prove(3); !errors.Is(err, audit.ErrDropped) {
		t.Errorf("a proof of what was dropped: %v", err)
	}
	policy, err := tlog.NewPolicy(0)
	if err != nil {
		t.Fatal(err)
	}
	for _, proof := range []*tlog.Proof{old, kept} {
		b, err := proof.Bytes()
		if err == nil {
			_, err = tlog.CheckProof(b, made.Key, policy, audit.RecordOfEnvelope)
		}
		if err != nil {
			t.Error(err)
		}
	}

	// All go on where they were: the writer in its ledger, the checkpoints over it, and another pruning.
	if again := w.record(w.as("bob", bob), calls(3)...); again != n {
		t.Errorf("the writer went on in %s", again)
	}
	if wrong := w.wrong(); len(wrong) > 0 {
		t.Fatalf("with more: %q", wrong)
	}
	p = w.prune(w.sealer(), n)
	if !slices.Equal(p.Says.Ranges, []event.Range{{2, 5}, {8, 8}, {10, 10}}) && p.New == 0 {
		t.Errorf("%+v", p.Says)
	}
	if p.Says.Kinds["tool_call_completed"] != p.Says.Dropped {
		t.Errorf("%+v", p.Says)
	}
	if wrong := w.wrong(); len(wrong) > 0 {
		t.Fatalf("pruned twice: %q", wrong)
	}

	// The log has what stays, and who dropped what; a ledger that loses an entry now is found out as before.
	kinds := map[string]int{}
	s = w.session()
	for r, err := range audit.Log(s, w.facts(), audit.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		kinds[r.Kind]++
	}
	if kinds["ledger.pruned"] != 2 || kinds["secret_access_denied"] != 1 || kinds["tool_call_completed"] != 10-int(p.Says.Dropped) {
		t.Errorf("%v, %d dropped", kinds, p.Says.Dropped)
	}
	w.git("update-ref", n.Ref(), n.Ref()+"~1")
	if wrong := w.wrong(); !slices.Contains(wrong, "ledger.rolled-back") || !slices.Contains(wrong, "checkpoint.wrong") {
		t.Errorf("rolled back: %q", wrong)
	}
}

func TestPruneMeanwhile(t *testing.T) {
	w := newWorld(t)
	bob := w.agent("bob", "", "")
	n := w.record(w.as("bob", bob), calls(6)...)
	p := w.plan(n, w.now())
	if _, err := w.sealer().Prune(ctx, w.facts(), "x", p); err != nil {
		t.Fatal(err)
	}
	s := w.session()
	f, err := provenance.Load(ctx, s, w.pin)
	if err != nil {
		t.Fatal(err)
	}
	late, err := audit.Append(ctx, w.as("bob", bob), false, calls(2)...)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range f.Pending() {
		if err := f.Forget(ctx, s, x); err != nil {
			t.Fatal(err)
		}
	}
	c := w.facts().Chains[n.String()]
	if len(c.Entries) != 8 || c.Broken != nil || c.Entries[7].ID != late[1].ID || w.facts().Dropped(n.String()) != p.New {
		t.Errorf("%d entries, %v", len(c.Entries), c.Broken)
	}
	if more := w.record(w.as("bob", bob), calls(1)...); more != n {
		t.Errorf("the writer went on in %s", more)
	}
	if wrong := w.wrong(); len(wrong) > 0 {
		t.Errorf("%q", wrong)
	}
}
