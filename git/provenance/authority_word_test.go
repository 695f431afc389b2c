package provenance_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// automation names ci in the trust root.
func (w *world) automation() {
	w.t.Helper()
	w.key("ci")
	w.adopted(func(r *trust.Root) error { return r.Add("ci", trust.Automation, nil, w.keys["ci"].Public()) }, "alice")
}

// wide is a grant to ci until an hour from now.
func (w *world) wide(action string) envelope.Digest {
	w.t.Helper()
	return w.grant("alice", "ci", func(g *capability.Grant) {
		g.Action, g.Subject.Kind, g.Subject.Emails = action, "automation", nil
		g.Expires = envelope.Timestamp(w.clock.Add(time.Hour))
	})
}

// capabilities are the capability ledgers as they are.
func (w *world) capabilities() string {
	w.t.Helper()
	return w.git("for-each-ref", "--format=%(objectname) %(refname)", "refs/covenant/ledger/capability")
}

// holds fails where what must pass does not.
func (w *world) holds(what string) {
	w.t.Helper()
	if whole, _, why := w.passes(); !whole {
		w.t.Errorf("%s: %s", what, why)
	}
}

// Nobody whose authority has ended speaks for the time at which it had not.
func TestTimesAreClaims(t *testing.T) {
	t.Run("an automation's grant has ended: it admits a revoked agent's work", func(t *testing.T) {
		w := court(t)
		w.automation()
		start := w.clock
		w.wide(capability.Push)
		gc := w.grant("alice", "coder", nil)
		base := w.oid("HEAD")
		w.sealedChange("coder", "good")
		w.admitted("ci", base)
		w.looks("alice")
		w.clock = start.Add(30 * 24 * time.Hour)
		w.holds("before")
		base = w.oid("HEAD")
		was := w.capabilities()
		w.revoke("alice", gc)
		after := w.capabilities()
		w.restore(was) // as who attacks has it
		now := w.clock
		w.clock = start.Add(20 * time.Minute)
		w.evil()
		w.admitted("ci", base)
		w.clock = now
		w.restore(after)
		w.looks("alice")
		if _, last, _ := w.passes(); last {
			t.Error("it passes")
		}
	})
	for _, who := range []string{"coder", "ci"} {
		t.Run("a grant that has ended takes the branch back: "+who, func(t *testing.T) {
			w := court(t)
			w.automation()
			start := w.clock
			if who == "ci" {
				w.wide("repo.*")
			} else {
				w.grant("alice", who, func(g *capability.Grant) { g.Action, g.Expires = "repo.*", envelope.Timestamp(start.Add(time.Hour)) })
			}
			good := w.oid("HEAD")
			w.sealedChange("alice", "fix")
			w.admitted("alice", good)
			w.looks("ben")
			w.clock = start.Add(30 * 24 * time.Hour)
			bad := w.oid("HEAD")
			w.git("reset", "-q", "--hard", good.String())
			w.under(w.git("rev-parse", provenance.RootRef), start.Add(10*time.Minute), func() { w.admitted(who, bad) })
			for range 2 {
				if whole, _, _ := w.passes(); whole {
					t.Error("it passes")
				}
				w.looks("alice")
			}
		})
	}
	for _, granted := range []bool{true, false} {
		t.Run(fmt.Sprint("an automation saw it in time, it says; granted: ", granted), func(t *testing.T) {
			w := court(t)
			w.automation()
			start := w.clock
			if granted {
				w.wide(capability.Push)
			}
			w.grant("alice", "coder", func(g *capability.Grant) { g.Expires = envelope.Timestamp(start.Add(time.Hour)) })
			w.clock = start.Add(30 * 24 * time.Hour)
			w.looks("alice")
			now := w.clock
			w.clock = start.Add(5 * time.Minute)
			w.evil()
			w.clock = start.Add(10 * time.Minute)
			w.renewed(func() { w.looks("ci") })
			w.clock = now
			if _, last, _ := w.passes(); last {
				t.Error("it passes")
			}
		})
	}
	t.Run("a person who is no operator saw it before the entry before", func(t *testing.T) {
		w := court(t)
		w.key("dan")
		w.adopted(func(r *trust.Root) error { return r.Add("dan", trust.Human, nil, w.keys["dan"].Public()) }, "alice")
		start := w.clock
		w.grant("alice", "coder", func(g *capability.Grant) { g.Expires = envelope.Timestamp(start.Add(time.Hour)) })
		w.clock = start.Add(30 * 24 * time.Hour)
		w.looks("dan")
		now := w.clock
		w.clock = start.Add(5 * time.Minute)
		w.evil()
		w.clock = start.Add(10 * time.Minute)
		w.looks("dan")
		w.clock = now
		if _, last, _ := w.passes(); last {
			t.Error("it passes")
		}
	})
}

// What persons saw decides which automations are believed, and neither the order of ledgers nor what an automation says of itself does.
func TestAutomationsAreBelieved(t *testing.T) {
	// seen is a commit of coder's, whose grant lasts an hour, that ci saw in time.
	seen := func(t *testing.T, limit bool) (w *world, id oid.ID, start time.Time, grant envelope.Digest) {
		w = court(t)
		w.automation()
		start = w.clock
		grant = w.grant("alice", "ci", func(g *capability.Grant) {
			g.Action, g.Subject.Kind, g.Subject.Emails = capability.Push, "automation", nil
			if limit {
				g.Expires = envelope.Timestamp(start.Add(time.Hour))
			}
		})
		w.grant("alice", "coder", func(g *capability.Grant) { g.Expires = envelope.Timestamp(start.Add(time.Hour)) })
		w.looks("alice")
		id = w.sealedChange("coder", "a")
		w.clock = start.Add(20 * time.Minute)
		w.looks("ci")
		return w, id, start, grant
	}
	// apart has somebody write without the ledgers of others.
	apart := func(w *world, who string, without ...string) {
		was := w.git("for-each-ref", "--format=%(objectname) %(refname)", "refs/covenant/ledger/provenance")
		for _, x := range without {
			for _, ref := range w.ledgers(prov.Topic, x) {
				w.git("update-ref", "-d", ref)
			}
		}
		w.renewed(func() { w.looks(who) })
		w.restore(was)
	}
	t.Run("another automation saw it: one answer", func(t *testing.T) {
		w, id, start, _ := seen(t, true)
		w.key("cd")
		w.adopted(func(r *trust.Root) error { return r.Add("cd", trust.Automation, nil, w.keys["cd"].Public()) }, "alice")
		w.grant("alice", "cd", func(g *capability.Grant) {
			g.Action, g.Subject.Kind, g.Subject.Emails = capability.Push, "automation", nil
		})
		w.clock = start.Add(30 * time.Minute)
		apart(w, "cd", "coder")
		w.clock = start.Add(30 * 24 * time.Hour)
		apart(w, "alice", "coder", "ci", "cd")
		first := codes(w.one(id, false))
		for range 20 {
			if again := codes(w.one(id, false)); again != first {
				t.Fatalf("%s, then %s", first, again)
			}
		}
	})
	t.Run("its own revocation, dated before", func(t *testing.T) {
		w, id, start, g := seen(t, false)
		w.clock = start.Add(2 * time.Hour)
		w.looks("alice")
		w.clock = start.Add(10 * time.Minute)
		w.renewed(func() { w.revoke("ci", g) })
		w.clock = start.Add(24 * time.Hour)
		if r := w.one(id, false); !r.Verdict.OK() {
			t.Error(codes(r))
		}
	})
	t.Run("it takes another key, and nobody wrote between", func(t *testing.T) {
		w, id, start, _ := seen(t, false)
		w.clock = start.Add(24 * time.Hour)
		spare := w.key("ci2")
		w.adopted(func(r *trust.Root) error {
			if err := r.Add("ci", "", nil, spare.Public()); err != nil {
				return err
			}
			return r.Remove("ci", trust.Leaving{Grants: trust.Stand}, w.keys["ci"].Public().ID())
		}, "alice")
		w.clock = start.Add(26 * time.Hour)
		if r := w.one(id, false); !r.Verdict.OK() {
			t.Error(codes(r))
		}
	})
	t.Run("its grant begins later than operators wrote", func(t *testing.T) {
		w := court(t)
		w.automation()
		start := w.clock
		w.grant("alice", "ci", func(g *capability.Grant) {
			g.Action, g.Subject.Kind, g.Subject.Emails, g.NotBefore = capability.Push, "automation", nil, envelope.Timestamp(start.Add(time.Minute))
		})
		w.grant("alice", "coder", func(g *capability.Grant) { g.Expires = envelope.Timestamp(start.Add(time.Hour)) })
		base := w.oid("HEAD")
		w.sealedChange("coder", "a")
		w.clock = start.Add(20 * time.Minute)
		w.admitted("ci", base)
		w.clock = start.Add(24 * time.Hour)
		w.holds("admitted in time")
	})
	t.Run("an agent hands something on to one whose grants were ended", func(t *testing.T) {
		w := court(t)
		w.automation()
		start := w.clock
		gci := w.grant("alice", "ci", func(g *capability.Grant) {
			g.Action, g.Subject.Kind, g.Subject.Emails = capability.Push, "automation", nil
		})
		gm := w.grant("alice", "coder", func(g *capability.Grant) { g.Action, g.Delegable = "memory.read", 1 })
		w.grant("alice", "coder", func(g *capability.Grant) { g.Expires = envelope.Timestamp(start.Add(time.Hour)) })
		old := w.git("for-each-ref", "--format=%(objectname) %(refname)", ledger.Prefix)
		w.clock = start.Add(24 * time.Hour)
		w.revoke("alice", gci)
		w.looks("ben")
		now := start.Add(30 * 24 * time.Hour)
		full := w.git("for-each-ref", "--format=%(objectname) %(refname)", ledger.Prefix)
		w.drop("refs/covenant/ledger")
		w.restore(old)
		w.clock = start.Add(5 * time.Minute)
		id := w.sealedChange("coder", "evil")
		w.clock = start.Add(10 * time.Minute)
		w.looks("ci")
		w.clock = now
		w.restore(full)
		w.hands("coder", capability.Grant{
			Action: "memory.read", Parent: gm, Scope: capability.Whole, Serial: fmt.Sprintf("%032x", 5),
			Subject: capability.Subject{Accountable: "ci", Key: w.keys["ci"].Public().String(), Kind: "automation", Name: "ci"},
		})
		if r := w.one(id, false); r.Verdict.OK() {
			t.Error("it passes")
		}
	})
}

// A ledger that begins with a statement of the repository before, and goes on with this one's, is damaged from there on, and nothing of it counts.
func TestLedgerOfTwoRepositories(t *testing.T) {
	w := court(t)
	old := w.rootOf(w.session())
	r, err := provenance.Reroot(context.Background(), w.session(), old, provenance.Founder{Name: "alice", Emails: []string{"alice@example.org"}, Signer: w.keys["alice"]}, w.now())
	if err != nil {
		t.Fatal(err)
	}
	w.pin = r.ID
	w.git("config", provenance.PinKey, string(r.ID))
	w.adopted(func(r *trust.Root) error { return r.Add("ben", "", nil, w.keys["ben"].Public()) }, "alice")
	w.adopted(func(r *trust.Root) error { return r.Promote("ben") }, "alice")
	w.policy(`{"version":1,"protected":["refs/heads/main"]}`)
	gc := w.grant("alice", "coder", nil)
	base := w.oid("HEAD")
	w.sealedChange("coder", "good")
	w.admitted("alice", base)
	w.looks("ben")
	before, root := w.clock, w.git("rev-parse", provenance.RootRef)
	w.clock = w.clock.Add(time.Hour)
	w.holds("before")
	was := w.capabilities()
	w.revoke("alice", gc)
	after := w.capabilities()
	w.adopted(func(r *trust.Root) error { return r.Remove("ben", trust.Leaving{Grants: trust.Lapse}) }, "alice")
	w.looks("alice")
	base = w.oid("HEAD")
	w.restore(was)
	w.under(root, before.Add(time.Second), func() { w.evil() })
	w.restore(after)
	writer := ledger.KeyDigits(w.keys["ben"].Public().Digest()) + "-0badc0de"
	h := envelope.Header{Repository: old.ID, Seq: 1, Time: envelope.Timestamp(before), Topic: prov.Topic, Writer: writer}
	ref, parents := ledger.Prefix+prov.Topic+"/"+writer, []string(nil)
	for _, body := range []map[string]any{
		nil, {"ref": "refs/heads/main", "old": base.String(), "new": w.oid("HEAD").String(), "root": string(r.ID), "tips": string(r.ID)},
	} {
		kind := "note.said/v1"
		if body != nil {
			kind, h.Repository, h.Seq, h.Prev = prov.Admitted, r.ID, 2, r.ID
		} else {
			body = map[string]any{}
		}
		payload, err := envelope.Statement(kind, h, body)
		if err != nil {
			t.Fatal(err)
		}
		w.git("update-ref", ref, w.git(append([]string{"commit-tree", w.entryTree("ben", payload), "-m", "x"}, parents...)...))
		parents = []string{"-p", ref}
	}
	if whole, last, why := w.passes(); whole || last {
		t.Error("a revoked agent's commit passes, by an admission of who was removed", why)
	}
}

// Who has no authority says nothing of versions of the trust root, and takes no key or name that a person is to have.
func TestRootIsNotHeldUp(t *testing.T) {
	w := court(t)
	w.automation()
	k := w.sealer(w.session(), "ci")
	for i := range 3 {
		if _, err := k.Record(context.Background(), provenance.AuditTopic, provenance.Item{
			Type: trust.Adopted, Body: trust.Adoption{Version: k.Root.Version + 1, Digest: envelope.Digest(fmt.Sprintf("sha256:%064x", i))}, Subject: "root.adopted",
		}); err != nil {
			t.Fatal(err)
		}
	}
	w.sealedChange("alice", "a")
	_, last, why := w.passes()
	if !last {
		t.Error("an automation without a grant holds everybody up:", why)
	}

	ge := w.grant("alice", "coder", func(g *capability.Grant) { g.Action, g.Delegable = "memory.read", 1 })
	spare := w.key("spare")
	w.grant("coder", "spare", func(g *capability.Grant) { g.Action, g.Parent, g.Delegable = "memory.read", ge, 0 })
	w.revoke("alice", ge)
	w.adopted(func(r *trust.Root) error { return r.Add("ben", "", nil, spare.Public()) }, "alice")
	f, err := provenance.Load(context.Background(), w.session(), w.pin)
	if err != nil {
		t.Fatal(err)
	}
	if p, ok := f.Authority.ByKey(spare.Public().ID()); !ok || p.Name != "ben" {
		t.Errorf("it is the key of %+v", p)
	}
}
