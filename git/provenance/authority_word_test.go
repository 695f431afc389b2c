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

// header is that of an entry of a ledger.
func (w *world) header(ref string, n int) envelope.Header {
	w.t.Helper()
	f, err := provenance.Load(context.Background(), w.session(), w.pin)
	if err != nil {
		w.t.Fatal(err)
	}
	name, _ := ledger.ParseRef(ref)
	return f.Chains[name.String()].Entries[n].Header
}

// asks has somebody ask for something: an innocent entry of a capability ledger.
func (w *world) asks(who string) {
	w.t.Helper()
	if _, err := w.sealer(w.session(), who).Record(context.Background(), provenance.CapabilityTopic, provenance.Item{
		Type: capability.Requested, Body: capability.Asked{Action: "memory.read", Reason: "x", Scope: capability.Whole}, Subject: "capability.requested",
	}); err != nil {
		w.t.Fatal(err)
	}
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

// What was taken in stays, whatever becomes of who took it in, and whoever says something of before.
func TestWhatWasTakenInStays(t *testing.T) {
	// taken is a commit of coder's that ben admitted, and alice saw.
	taken := func(w *world) {
		w.clock = w.clock.Add(time.Minute)
		base := w.oid("HEAD")
		w.sealedChange("coder", "a")
		w.admitted("ben", base)
		w.looks("alice")
		w.clock = w.clock.Add(24 * time.Hour)
	}
	for _, how := range []string{"forked", "misnumbered"} {
		t.Run("an agent's own revocation, dated before: "+how, func(t *testing.T) {
			w := court(t)
			id := w.grant("alice", "coder", nil)
			w.asks("coder")
			w.looks("alice")
			at := w.clock.Add(10 * time.Second)
			taken(w)
			w.holds("before")
			ref := w.ledgers(provenance.CapabilityTopic, "coder")[0]
			h := w.header(ref, 0)
			h.Time, h.Heads = envelope.Timestamp(at), nil
			payload, err := envelope.Statement(capability.Revoked, h, capability.Revocation{Grant: id, Reason: "x"})
			if err != nil {
				t.Fatal(err)
			}
			if tree := w.entryTree("coder", payload); how == "forked" {
				name, _ := ledger.ParseRef(ref)
				w.git("update-ref", provenance.ForkPrefix+name.String()+"-000000000000", w.git("commit-tree", tree, "-m", "x"))
			} else {
				w.git("update-ref", ref, w.git("commit-tree", tree, "-p", ref, "-m", "x"))
			}
			w.holds(how)
		})
	}
	for _, by := range []string{"helper", "alice"} {
		t.Run("the grant of who admitted it is ended by "+by, func(t *testing.T) {
			w := court(t)
			gc := w.grant("alice", "coder", nil)
			gp := w.grant("alice", "helper", func(g *capability.Grant) { g.Action = capability.Push })
			base := w.oid("HEAD")
			w.sealedChange("coder", "a")
			w.admitted("helper", base)
			w.looks("alice")
			w.clock = w.clock.Add(24 * time.Hour)
			w.revoke("alice", gc)
			w.looks("ben")
			w.holds("before")
			w.clock = w.clock.Add(24 * time.Hour)
			w.revoke(by, gp)
			w.looks("ben")
			w.holds("after")
		})
	}
	t.Run("an automation admitted it, and its grant ran out", func(t *testing.T) {
		w := court(t)
		w.automation()
		w.wide(capability.Push)
		gc := w.grant("alice", "coder", nil)
		base := w.oid("HEAD")
		w.sealedChange("coder", "a")
		w.admitted("ci", base)
		w.looks("alice")
		w.clock = w.clock.Add(24 * time.Hour)
		w.revoke("alice", gc)
		w.looks("ben")
		w.holds("after")
	})
	t.Run("a part of it had been admitted to another branch", func(t *testing.T) {
		w := court(t)
		w.policy(`{"version":1,"protected":["refs/heads/dev","refs/heads/main"]}`)
		gc := w.grant("alice", "coder", nil)
		for _, action := range []string{capability.Push, capability.Ref} {
			w.grant("alice", "helper", func(g *capability.Grant) { g.Action = action })
		}
		base := w.oid("HEAD")
		w.sealedChange("coder", "a")
		w.admit("helper", "refs/heads/dev", base, w.oid("HEAD"))
		b := w.sealedChange("coder", "b")
		w.sealedChange("alice", "c")
		w.admit("helper", "refs/heads/main", base, w.oid("HEAD"))
		w.looks("alice")
		w.clock = w.clock.Add(time.Hour)
		w.revoke("alice", gc)
		w.looks("ben")
		res, _, err := w.verify(false, "main")
		if r := res[b]; err != nil || !r.Verdict.OK() {
			t.Error(codes(r), err)
		}
	})
	t.Run("who shared what it had buries its helper under grants", func(t *testing.T) {
		w := court(t)
		w.key("evil")
		gc := w.grant("alice", "coder", func(g *capability.Grant) { g.Delegable = 1 })
		ge := w.grant("alice", "evil", func(g *capability.Grant) { g.Delegable = 1; g.Scope = scope(t, `{"paths":["sandbox/**"],"version":1}`) })
		gh := w.grant("coder", "helper", func(g *capability.Grant) { g.Parent = gc })
		base := w.oid("HEAD")
		w.sealedChange("helper", "a")
		w.admitted("alice", base)
		w.looks("ben")
		w.clock = w.clock.Add(time.Hour)
		k := w.sealer(w.session(), "evil")
		g, _ := k.Authority.Grant(gh)
		var items []provenance.Item
		for i := range 3000 {
			b := g.Granted
			b.Parent, b.Scope, b.Serial = ge, scope(t, `{"paths":["sandbox/**"],"version":1}`), fmt.Sprintf("%032x", i)
			items = append(items, provenance.Item{Type: capability.Granted, Body: b, Subject: "g"})
		}
		if _, err := k.Record(context.Background(), provenance.CapabilityTopic, items...); err != nil {
			t.Fatal(err)
		}
		w.holds("buried")
		w.revoke("alice", ge)
		w.revoke("alice", gh)
		w.looks("ben")
		w.holds("both ended")
	})
	t.Run("somebody moves 64 ledgers before each of an operator's acts", func(t *testing.T) {
		w := court(t)
		start := w.clock
		w.grant("alice", "helper", nil)
		w.grant("alice", "coder", func(g *capability.Grant) { g.Expires = envelope.Timestamp(start.Add(time.Hour)) })
		root, prev := w.rootOf(w.session()), map[int]envelope.Digest{}
		move := func(seq uint64) {
			for i := range 64 {
				writer := fmt.Sprintf("%s-%08x", ledger.KeyDigits(w.keys["helper"].Public().Digest()), i)
				h := envelope.Header{Repository: root.ID, Seq: seq, Time: envelope.Timestamp(w.now()), Topic: provenance.AuditTopic, Writer: writer, Prev: prev[i]}
				payload, err := envelope.Statement("note.said/v1", h, map[string]any{})
				if err != nil {
					t.Fatal(err)
				}
				ref := ledger.Prefix + provenance.AuditTopic + "/" + writer
				args := []string{"commit-tree", w.entryTree("helper", payload), "-m", "x"}
				if seq > 1 {
					args = append(args, "-p", ref)
				}
				w.git("update-ref", ref, w.git(args...))
				e, _, err := ledger.Read(w.session(), w.oid(ref))
				if err != nil {
					t.Fatal(err)
				}
				prev[i] = e.ID()
			}
		}
		w.clock = start.Add(time.Minute)
		id := w.sealedChange("coder", "a")
		for i := range 2 {
			w.clock = start.Add(time.Duration(i+2) * time.Minute)
			move(uint64(i + 1)) //nolint:gosec // two
			w.looks("alice")
		}
		w.clock = start.Add(3 * time.Hour)
		if r := w.one(id, false); !r.Verdict.OK() {
			t.Error(codes(r))
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

// hands has somebody sign a grant, whatever becomes of it.
func (w *world) hands(who string, g capability.Grant) {
	w.t.Helper()
	k := w.sealer(w.session(), who)
	if _, err := k.Record(context.Background(), provenance.CapabilityTopic, provenance.Item{Type: capability.Granted, Body: g, Subject: "capability.granted"}); err != nil {
		w.t.Fatal(err)
	}
}

// What was handed on later, and says to have been before, gives nothing, and takes nothing from who has it from another.
func TestHandedOnLater(t *testing.T) {
	w := court(t)
	gp := w.grant("alice", "coder", func(g *capability.Grant) { g.Action, g.Delegable = "repo.*", 2 })
	w.grant("alice", "helper", nil)
	good := w.oid("HEAD")
	w.sealedChange("alice", "fix")
	w.admitted("alice", good)
	w.looks("ben")
	fixed := w.oid("HEAD")
	w.clock = w.clock.Add(time.Minute)
	at := w.clock
	w.git("reset", "-q", "--hard", good.String())
	w.admitted("helper", fixed) // who may not
	w.git("reset", "-q", "--hard", fixed.String())
	w.looks("alice")
	w.clock = w.clock.Add(time.Hour)
	w.revoke("alice", gp)
	w.looks("ben")
	now := w.clock.Add(30 * 24 * time.Hour)
	w.clock = at.Add(-10 * time.Second)
	g := w.grantTo("helper")
	g.Action, g.Parent, g.Scope, g.Subject.Accountable, g.Serial = "repo.*", gp, capability.Whole, "alice", fmt.Sprintf("%032x", 77)
	w.hands("coder", g)
	w.clock = now
	w.holds("main where it was admitted")
	w.git("reset", "-q", "--hard", good.String())
	if whole, _, _ := w.passes(); whole {
		t.Error("main was taken back by what counted for nothing")
	}

	w = court(t)
	w.key("dan")
	w.adopted(func(r *trust.Root) error { return r.Add("dan", trust.Human, nil, w.keys["dan"].Public()) }, "alice")
	gd := w.grant("alice", "dan", func(g *capability.Grant) {
		g.Action, g.Delegable, g.Subject.Kind, g.Subject.Emails = capability.Push, 1, "human", nil
	})
	gc := w.grant("alice", "coder", nil)
	gp = w.grant("alice", "coder", func(g *capability.Grant) { g.Action, g.Delegable = capability.Push, 1 })
	w.grant("alice", "helper", func(g *capability.Grant) { g.Action = "memory.read" })
	gh := w.grant("dan", "helper", func(g *capability.Grant) { g.Action, g.Parent = capability.Push, gd })
	base := w.oid("HEAD")
	w.sealedChange("coder", "a")
	k := w.sealer(w.session(), "coder")
	mine, _ := k.Authority.Grant(gh)
	for i := range 12 { // some have lower ids than dan's
		g := mine.Granted
		g.Parent, g.Serial = gp, fmt.Sprintf("%032x", i+1)
		w.hands("coder", g)
	}
	w.admitted("helper", base)
	w.looks("alice")
	w.clock = w.clock.Add(24 * time.Hour)
	w.revoke("alice", gc)
	w.looks("ben")
	w.holds("taken in by helper, whom dan let")
}

// An agent's second self is not somebody else, and takes nobody's work for its own.
func TestSecondSelf(t *testing.T) {
	for _, by := range []string{"coder", "helper"} {
		w := court(t)
		gc := w.grant("alice", "coder", nil)
		gp := w.grant("alice", "coder", func(g *capability.Grant) { g.Action, g.Delegable = capability.Push, 1 })
		if by == "helper" {
			w.grant("coder", "helper", func(g *capability.Grant) { g.Action, g.Parent = capability.Push, gp })
		}
		base := w.oid("HEAD")
		w.evil()
		w.admitted(by, base)
		w.looks("alice")
		w.clock = w.clock.Add(time.Hour)
		w.revoke("alice", gc)
		if _, last, _ := w.passes(); last {
			t.Error("what coder took in itself stays, through", by)
		}
	}
	w := court(t)
	w.grant("alice", "coder", nil)
	id := w.sealedChange("alice", "a")
	w.seal("coder", prov.Witness, "HEAD") // with alice's address
	w.looks("alice")
	if r := w.one(id, false); r.Principal.Name != "alice" {
		t.Error("alice's commit is told as", r.Principal.Name)
	}
}

// A person's new key ends what the old one handed on.
func TestEndedByAnotherKey(t *testing.T) {
	w := young(t)
	g := w.grant("alice", "ben", func(g *capability.Grant) { g.Delegable, g.Subject.Kind, g.Subject.Emails = 1, "human", nil })
	child := w.grant("ben", "helper", func(x *capability.Grant) { x.Parent = g })
	spare := w.key("spare")
	w.adopted(func(r *trust.Root) error {
		if err := r.Add("ben", "", nil, spare.Public()); err != nil {
			return err
		}
		return r.Remove("ben", trust.Leaving{Grants: trust.Stand}, w.keys["ben"].Public().ID())
	}, "alice")
	w.keys["ben"] = spare
	w.revoke("ben", child)
	f, err := provenance.Load(context.Background(), w.session(), w.pin)
	if err != nil {
		t.Fatal(err)
	}
	if _, ended := f.Authority.End(child, time.Time{}); !ended {
		t.Error("it is in force")
	}
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
