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
	"github.com/open-covenant/covenant-git/git/provenance"
)

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
