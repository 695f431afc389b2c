package audit_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/event"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/tlog"
	"github.com/open-covenant/covenant-git/git/audit"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/provenance"
)

var ctx = context.Background()

// agent introduces an agent, and gives it one more action.
func (w *world) agent(name, action, scope string) identity.Signer {
	w.t.Helper()
	key, err := identity.Generate(filepath.Join(w.t.TempDir(), name), name, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.grant(name, key, capability.Commit, `{"version":1}`)
	if action != "" {
		w.grant(name, key, action, scope)
	}
	return key
}

func (w *world) grant(name string, key identity.Signer, action, scope string) envelope.Digest {
	w.t.Helper()
	s, err := capability.ParseScope(json.RawMessage(scope))
	if err != nil {
		w.t.Fatal(err)
	}
	id, err := w.sealer().Grant(ctx, capability.Grant{
		Action: action, Scope: s, Subject: capability.Subject{Emails: []string{name + "@example.org"}, Key: key.Public().String(), Kind: "agent", Name: name},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// as is a sealer for somebody.
func (w *world) as(name string, key identity.Signer) *provenance.Sealer {
	w.t.Helper()
	k := w.sealer()
	p, ok := k.Authority.ByName(name)
	if !ok {
		w.t.Fatalf("no %s", name)
	}
	k.Hand = provenance.Hand{Principal: p, Signer: key}
	return k
}

func calls(n int) []event.Event {
	out := make([]event.Event, n)
	for i := range out {
		out[i] = event.Event{Kind: "tool_call_completed", Data: map[string]any{"tool": "grep"}, Outcome: event.OK}
	}
	return out
}

func denial() event.Event {
	return event.Event{Kind: "secret_access_denied", Data: map[string]any{"secret": "s", "reason": "not yours"}}
}

// record has somebody record events, and alice see them.
func (w *world) record(k *provenance.Sealer, list ...event.Event) ledger.Name {
	w.t.Helper()
	places, err := audit.Append(ctx, k, false, list...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.checkpoint()
	n, _ := ledger.ParseRef(ledger.Prefix + places[0].Ledger)
	return n
}

func (w *world) plan(n ledger.Name, before time.Time) *provenance.Plan {
	w.t.Helper()
	s := w.session()
	f, err := provenance.Load(ctx, s, w.pin)
	if err != nil {
		w.t.Fatal(err)
	}
	p, err := f.PlanPruning(s, n.String(), before)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// forget drops what is to be dropped.
func (w *world) forget() error {
	w.t.Helper()
	s := w.session()
	f, err := provenance.Load(ctx, s, w.pin)
	if err != nil {
		w.t.Fatal(err)
	}
	list := f.Pending()
	if len(list) == 0 {
		return errors.New("nothing is to be dropped")
	}
	for _, p := range list {
		if err := f.Forget(ctx, s, p); err != nil {
			return err
		}
	}
	return nil
}

// prune has somebody prune a ledger, here.
func (w *world) prune(k *provenance.Sealer, n ledger.Name) *provenance.Plan {
	w.t.Helper()
	p := w.plan(n, w.now())
	if _, err := k.Prune(ctx, w.facts(), "kept long enough", p); err != nil {
		w.t.Fatal(err)
	}
	if err := w.forget(); err != nil {
		w.t.Fatal(err)
	}
	return p
}

// force does to a ledger what a pruning says, whoever may say it.
func (w *world) force(n ledger.Name, says event.Pruning) {
	w.t.Helper()
	s := w.session()
	tips, err := s.Tips(n.Ref())
	if err != nil {
		w.t.Fatal(err)
	}
	slots, err := ledger.Chain(s, tips[0].ID)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range says.Ranges {
		for seq := r[0]; seq <= r[1]; seq++ {
			e, _, err := ledger.Read(s, slots[seq-1].Commit)
			if err != nil {
				w.t.Fatal(err)
			}
			slots[seq-1].Dropped = e.ID()
		}
	}
	tip, err := ledger.Prune(s, n, slots)
	if err == nil {
		err = s.Flush()
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.git("update-ref", n.Ref(), tip.String())
}

// state signs a pruning as it stands.
func (w *world) state(k *provenance.Sealer, says event.Pruning) envelope.Digest {
	w.t.Helper()
	made, err := k.Record(ctx, provenance.CapabilityTopic, provenance.Item{Type: event.Pruned, Body: says, Subject: "x"})
	if err != nil {
		w.t.Fatal(err)
	}
	return made[0].ID
}

// What an agent's calls said is dropped and is gone, and all that others had of it still holds.
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

// What a statement must not say, or must not be obeyed in.
func TestPruneLies(t *testing.T) {
	ms := func(w *world, d time.Duration) string {
		b, _ := json.Marshal(map[string]any{"version": 1, "before_ms": w.clock.Add(d).UnixMilli()})
		return string(b)
	}
	other := envelope.Digest("sha256:" + strings.Repeat("1", 64))
	for name, row := range map[string]struct {
		action    string
		scope     func(w *world) string
		seen      bool // alice sees the statement
		lie       func(w *world, says *event.Pruning)
		elsewhere bool // it is a statement of another repository
		holds     bool // it may be obeyed, as far as anybody can tell who has not what it drops
		obeyed    bool // it is obeyed by who has that
	}{
		"an honest one":                {action: provenance.PurgeAction, seen: true, holds: true, obeyed: true},
		"one that nobody saw":          {action: provenance.PurgeAction},
		"of another repository":        {action: provenance.PurgeAction, seen: true, elsewhere: true},
		"by who may not":               {seen: true},
		"by who may do something else": {action: "audit.append", seen: true},
		"up to its cutoff":             {action: provenance.PurgeAction, scope: func(w *world) string { return ms(w, time.Hour) }, seen: true, holds: true, obeyed: true},
		"beyond its cutoff":            {action: provenance.PurgeAction, scope: func(w *world) string { return ms(w, -time.Hour) }, seen: true},
		"another root":                 {action: provenance.PurgeAction, seen: true, lie: func(_ *world, p *event.Pruning) { p.Root = other }},
		"another identity":             {action: provenance.PurgeAction, seen: true, lie: func(_ *world, p *event.Pruning) { p.Last = other }},
		"another ledger":               {action: provenance.PurgeAction, seen: true, lie: func(_ *world, p *event.Pruning) { p.Of = "audit/0123456789abcdef-01234567" }},
		"fewer than are dropped": {action: provenance.PurgeAction, seen: true, lie: func(_ *world, p *event.Pruning) {
			p.Ranges[0][0]++
			p.Dropped--
			p.Kinds["tool_call_completed"]--
		}, obeyed: true},
		"other kinds":                       {action: provenance.PurgeAction, seen: true, lie: func(_ *world, p *event.Pruning) { p.Kinds["note"] = 1 }, holds: true},
		"a time before they were made":      {action: provenance.PurgeAction, seen: true, lie: func(_ *world, p *event.Pruning) { p.Before = "2020-01-01T00:00:00Z" }, holds: true},
		"what names another ledger is gone": {action: provenance.PurgeAction, seen: true, lie: func(_ *world, p *event.Pruning) { p.Ranges[0][0]--; p.Dropped++; p.Kinds["tool_call_completed"]++ }, holds: true},
		"a denial is gone": {action: provenance.PurgeAction, seen: true, lie: func(w *world, p *event.Pruning) {
			p.Ranges[0][1]++
			p.Dropped++
			p.UpTo++
			p.Kinds["secret_access_denied"] = 1
			c := w.facts().Chains[p.Of]
			p.Last = c.Entries[p.UpTo-1].ID
			p.Root = rootOf(w.t, c, p.UpTo)
		}, holds: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			bob := w.agent("bob", "", "")
			scope := `{"version":1}`
			if row.scope != nil {
				scope = row.scope(w)
			}
			eve := w.agent("eve", row.action, scope)
			n := w.record(w.as("bob", bob), append(append(calls(4), denial()), calls(1)...)...)
			honest := w.plan(n, w.now()).Says
			honest.Reason = "x"
			says := honest
			says.Ranges, says.Kinds = slices.Clone(honest.Ranges), maps.Clone(honest.Kinds)
			if row.lie != nil {
				row.lie(w, &says)
			}
			k := w.as("eve", eve)
			if row.elsewhere {
				r := *k.Root
				r.ID, k.Root = other, &r
			}
			w.state(k, says)
			if row.seen {
				w.checkpoint()
			}
			tip := w.git("rev-parse", n.Ref())
			err := w.forget()
			if obeyed := err == nil; obeyed != row.obeyed {
				t.Errorf("obeyed %v: %v", obeyed, err)
			}
			if now := w.git("rev-parse", n.Ref()); (now != tip) != row.obeyed {
				t.Errorf("moved %v", now != tip)
			}
			w.git("update-ref", n.Ref(), tip)
			drops := honest
			if strings.HasSuffix(name, "is gone") {
				drops = says
			}
			w.force(n, drops)
			if wrong := w.wrong(); slices.Contains(wrong, "ledger.pruned") == row.holds {
				t.Errorf("forced: %q", wrong)
			}
		})
	}
}

// Nobody prunes what is no ledger of events, whoever it is.
func TestPruneOtherTopics(t *testing.T) {
	w := newWorld(t)
	w.agent("bob", provenance.PurgeAction, `{"version":1}`)
	w.note("one")
	f := w.facts()
	for name := range f.Chains {
		if strings.HasPrefix(name, provenance.AuditTopic) {
			continue
		}
		n, _ := ledger.ParseRef(ledger.Prefix + name)
		c := f.Chains[name]
		if len(c.Entries) < 2 {
			continue
		}
		if _, err := f.PlanPruning(w.session(), name, w.now()); !errors.Is(err, provenance.ErrNotPrunable) {
			t.Errorf("%s: %v", name, err)
		}
		says := event.Pruning{
			Before: envelope.Timestamp(w.now()), Dropped: 1, Last: c.Entries[0].ID, Kinds: map[string]uint64{"x": 1}, Of: name,
			Ranges: []event.Range{{1, 1}}, Reason: "x", Root: rootOf(t, c, 1), UpTo: 1,
		}
		w.renew() // a statement in the very ledger would go with it
		w.state(w.sealer(), says)
		if err := w.forget(); err == nil {
			t.Errorf("%s was pruned", name)
		}
		w.force(n, says)
		if f := w.facts(); len(f.Problems) == 0 || f.Chains[name].Broken == nil {
			t.Errorf("%s: nobody noticed: %v", name, f.Problems)
		}
		return
	}
	t.Fatal("there is no such ledger")
}

// A time that a writer claims makes nothing old: an entry is as old as somebody else knows.
func TestPruneBackdated(t *testing.T) {
	w := newWorld(t)
	bob := w.agent("bob", "", "")
	k := w.as("bob", bob)
	was := w.clock
	w.clock = w.clock.Add(-10 * 365 * 24 * time.Hour)
	places, err := audit.Append(ctx, k, false, calls(4)...)
	if err != nil {
		t.Fatal(err)
	}
	w.clock = was
	n, _ := ledger.ParseRef(ledger.Prefix + places[0].Ledger)
	if p := w.plan(n, w.now()); p.New != 0 || p.Young != 3 {
		t.Errorf("nobody saw them: %+v", p)
	}
	before := w.now()
	w.checkpoint()
	if p := w.plan(n, before); p.New != 0 || p.Young != 3 {
		t.Errorf("seen later: %+v", p)
	}
	p := w.plan(n, w.now())
	if p.New != 2 {
		t.Fatalf("seen before: %+v", p)
	}
	p.Says.Before, p.Says.Reason = envelope.Timestamp(before), "x"
	w.state(w.sealer(), p.Says)
	if err := w.forget(); !errors.Is(err, provenance.ErrStays) {
		t.Errorf("%v", err)
	}
}

// Who was allowed when somebody accountable saw it has pruned for good; who is revoked before that has not.
func TestPruneRevoked(t *testing.T) {
	for name, early := range map[string]bool{"afterwards": false, "before": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			bob := w.agent("bob", "", "")
			eve := w.agent("eve", "", "")
			may := w.grant("eve", eve, provenance.PurgeAction, `{"version":1}`)
			n := w.record(w.as("bob", bob), calls(5)...)
			says := w.plan(n, w.now()).Says
			says.Reason = "x"
			revoke := func() {
				if _, err := w.sealer().Revoke(ctx, capability.Revocation{Grant: may, Reason: "x"}); err != nil {
					t.Fatal(err)
				}
			}
			k := w.as("eve", eve)
			if early {
				revoke()
				w.clock = w.clock.Add(-time.Minute) // and she says that it was before
			}
			w.state(k, says)
			if early {
				w.clock = w.clock.Add(time.Minute)
			}
			w.checkpoint()
			if err := w.forget(); (err == nil) == early {
				t.Fatalf("%v", err)
			}
			if !early {
				revoke()
				w.checkpoint()
				if wrong := w.wrong(); len(wrong) > 0 {
					t.Errorf("revoked since: %q", wrong)
				}
				return
			}
			w.force(n, says)
			if wrong := w.wrong(); !slices.Contains(wrong, "ledger.pruned") {
				t.Errorf("%q", wrong)
			}
		})
	}
}

// Whoever says different things of one ledger leaves a ledger that holds: nothing that is gone is asked for, and the next pruning drops what either did.
func TestPruneDisagree(t *testing.T) {
	w := newWorld(t)
	bob := w.agent("bob", "", "")
	n := w.record(w.as("bob", bob), calls(8)...)
	all := w.plan(n, w.now()).Says
	part := func(from, to uint64) event.Pruning {
		c := w.facts().Chains[n.String()]
		return event.Pruning{
			Before: all.Before, Dropped: to - from + 1, Last: c.Entries[to-1].ID, Kinds: map[string]uint64{"tool_call_completed": to - from + 1}, Of: n.String(),
			Ranges: []event.Range{{from, to}}, Reason: "x", Root: rootOf(t, c, to), UpTo: to,
		}
	}
	tip := w.git("rev-parse", n.Ref())
	w.state(w.sealer(), part(2, 4))
	if err := w.forget(); err != nil {
		t.Fatal(err)
	}
	first := w.git("rev-parse", n.Ref())
	w.state(w.sealer(), part(5, 7))
	if f := w.facts(); len(f.Pending()) > 0 || len(f.Problems) > 0 {
		t.Fatalf("%+v, %v", f.Pending(), f.Problems)
	}

	// Somebody who has everything puts it back: it is seen, and goes again, to the very same commits.
	w.git("update-ref", n.Ref(), tip)
	if f := w.facts(); len(f.Pending()) != 1 || len(f.Problems) > 0 {
		t.Fatalf("%+v, %v", f.Pending(), f.Problems)
	}
	if err := w.forget(); err != nil {
		t.Fatal(err)
	}
	if now := w.git("rev-parse", n.Ref()); now != first && w.facts().Dropped(n.String()) != 3 {
		t.Errorf("%s, %s", now, first)
	}
	p := w.prune(w.sealer(), n)
	if wrong := w.wrong(); len(wrong) > 0 || p.Says.Dropped != 6 {
		t.Errorf("%q, %+v", wrong, p.Says)
	}
	end := w.git("rev-parse", n.Ref())
	w.git("update-ref", n.Ref(), tip)
	if err := w.forget(); err != nil {
		t.Fatal(err)
	}
	if now := w.git("rev-parse", n.Ref()); now != end {
		t.Errorf("two who drop the same have %s and %s", end, now)
	}
}

// What a writer appends while somebody prunes stays.
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

// What keys of the trust root said is evidence of what others did, and nobody else drops it; nor does anybody what it said itself.
func TestPruneOnlyOperators(t *testing.T) {
	w := newWorld(t)
	eve := w.agent("eve", provenance.PurgeAction, `{"version":1}`)
	alices := w.note("one", "two", "three", "four")
	n, _ := ledger.ParseRef(ledger.Prefix + alices[0].Ledger)
	own := w.record(w.as("eve", eve), calls(5)...)
	tips := map[ledger.Name]string{}
	for _, n := range []ledger.Name{n, own} {
		p := w.plan(n, w.now())
		if p.New == 0 {
			t.Fatalf("%s: %+v", n, p)
		}
		if _, err := w.as("eve", eve).Prune(ctx, w.facts(), "x", p); !errors.Is(err, provenance.ErrDenied) {
			t.Errorf("%s: %v", n, err)
		}
		p.Says.Reason = "x"
		w.state(w.as("eve", eve), p.Says)
		w.checkpoint()
		if err := w.forget(); err == nil {
			t.Errorf("%s was pruned", n)
		}
		tips[n] = w.git("rev-parse", n.Ref())
		w.force(n, p.Says)
	}
	wrong := w.wrong()
	if !slices.Contains(wrong, "ledger.pruned") || !slices.Contains(wrong, "ledger.withheld") {
		t.Errorf("%q", wrong)
	}
	for n, tip := range tips {
		w.git("update-ref", n.Ref(), tip)
		w.prune(w.sealer(), n)
	}
	if wrong := w.wrong(); !slices.Equal(wrong, []string{"ledger.pruned", "ledger.pruned"}) { // her statements
		t.Errorf("pruned by alice: %q", wrong)
	}
}

// A few commits that stand for very much are not believed.
func TestPruneBomb(t *testing.T) {
	w := newWorld(t)
	bob := w.agent("bob", "", "")
	n := w.record(w.as("bob", bob), calls(4)...)
	says := w.plan(n, w.now()).Says
	says.Reason = "x"
	w.state(w.sealer(), says)
	s := w.session()
	id := envelope.Digest("sha256:" + strings.Repeat("1", 64))
	slots := make([]ledger.Slot, 3*ledger.MaxGap)
	for i := range slots {
		slots[i].Dropped = id
	}
	tip, err := ledger.Prune(s, n, slots)
	if err == nil {
		err = s.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	w.git("update-ref", n.Ref(), tip.String())
	if c := w.facts().Chains[n.String()]; len(c.Entries) > ledger.MaxGap+2 || c.Broken == nil {
		t.Errorf("%d entries, %v", len(c.Entries), c.Broken)
	}
}
