package provenance_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// Attacks on authority by who once had some. Each is really made; that the same without it passes, or that what is attacked matters, says
// the row's own preparation.
func TestAuthorityAttacks(t *testing.T) {
	push := func(w *world, who string, change func(*capability.Grant)) {
		w.grant("alice", who, func(g *capability.Grant) {
			g.Action = capability.Push
			if change != nil {
				change(g)
			}
		})
	}
	// revoked is a world in which ben ended coder's grant, and alice saw it.
	revoked := func(w *world) {
		id := w.grant("alice", "coder", nil)
		w.grant("ben", "helper", nil)
		w.revoke("ben", id)
		w.grant("ben", "helper", nil)
		w.looks("alice")
	}
	for _, c := range []struct {
		name   string
		attack func(w *world)
		want   string // a code among what is said
		ranged bool   // only the range is refused: nothing is said of the ref, or nothing was attacked there
	}{
		{"the revocation cut out of the middle", func(w *world) {
			was := w.grant("alice", "coder", nil)
			w.grant("ben", "helper", nil)
			bare := w.git("rev-parse", w.ledgers("capability", "ben")[0])
			w.revoke("ben", was)
			w.grant("ben", "helper", nil)
			w.looks("alice")
			ref := w.ledgers("capability", "ben")[0]
			whole := w.git("rev-parse", ref)
			w.git("update-ref", ref, bare)
			w.evil() // where nothing is known of it
			w.git("update-ref", ref, whole)
			w.rewrap(ref, func(_ int, subject, tree string) string {
				if strings.HasPrefix(subject, "capability.revoked") {
					return w.emptyTree()
				}
				return tree
			})
		}, "ledger.withheld", false},
		{"all from the revocation on made empty", func(w *world) {
			revoked(w)
			cut := false
			ref := w.ledgers("capability", "ben")[0]
			w.rewrap(ref, func(_ int, subject, tree string) string {
				if cut = cut || strings.HasPrefix(subject, "capability.revoked"); cut {
					return w.emptyTree()
				}
				return tree
			})
			w.evil()
		}, "ledger.withheld", false},
		{"an earlier entry in the revocation's place", func(w *world) {
			revoked(w)
			ref := w.ledgers("capability", "ben")[0]
			first := w.git("rev-parse", w.git("rev-list", "--max-parents=0", ref)+"^{tree}")
			w.rewrap(ref, func(_ int, subject, tree string) string {
				if strings.HasPrefix(subject, "capability.revoked") {
					return first
				}
				return tree
			})
			w.evil()
		}, "ledger.withheld", false},
		{"a hole, seen by nobody: what stands behind it tells", func(w *world) {
			id := w.grant("alice", "coder", nil)
			w.grant("ben", "helper", nil)
			w.revoke("ben", id)
			w.grant("ben", "helper", nil)
			w.rewrap(w.ledgers("capability", "ben")[0], func(_ int, subject, tree string) string {
				if strings.HasPrefix(subject, "capability.revoked") {
					return w.emptyTree()
				}
				return tree
			})
			w.evil()
		}, "ledger.withheld", false},
		{"an admission made empty, and the branch moved back", func(w *world) {
			good := w.sealedChange("ben", "a")
			w.admitted("ben", w.oid("HEAD~1"))
			w.sealedChange("ben", "b")
			w.admitted("ben", good)
			w.looks("alice")
			w.git("reset", "-q", "--hard", good.String())
			n := 0
			w.rewrap(w.ledgers("provenance", "ben")[0], func(i int, subject, tree string) string {
				if subject == "ref.admitted" {
					if n++; n > 1 {
						return w.emptyTree()
					}
				}
				return tree
			})
		}, "ledger.withheld", false},
		{"a removed operator admits what a revoked agent made, with a date of before", func(w *world) {
			id := w.grant("alice", "coder", nil)
			w.sealedChange("ben", "a")
			w.admitted("ben", w.oid("HEAD~1"))
			before, root := w.clock, w.git("rev-parse", provenance.RootRef)
			w.clock = w.clock.Add(time.Hour)
			w.looks("alice")
			base := w.oid("HEAD")
			capRefs := w.git("for-each-ref", "--format=%(objectname) %(refname)", "refs/covenant/ledger/capability")
			w.revoke("alice", id)
			after := w.git("for-each-ref", "--format=%(objectname) %(refname)", "refs/covenant/ledger/capability")
			w.adopted(func(r *trust.Root) error { return r.Remove("ben", trust.Leaving{Grants: trust.Stand}) }, "alice")
			w.restore(capRefs)
			w.under(root, before.Add(time.Second), func() { w.evil(); w.admitted("ben", base) })
			w.restore(after)
			w.clock = w.clock.Add(time.Hour)
			w.looks("alice")
		}, "seal.authority", false},
		{"a removed operator saw it in time, it says", func(w *world) {
			start := w.clock
			w.grant("alice", "coder", func(g *capability.Grant) { g.Expires = envelope.Timestamp(start.Add(time.Hour)) })
			w.looks("ben")
			root := w.git("rev-parse", provenance.RootRef)
			w.clock = start.Add(24 * time.Hour)
			w.adopted(func(r *trust.Root) error { return r.Remove("ben", trust.Leaving{Grants: trust.Stand}) }, "alice")
			w.under(root, start.Add(10*time.Minute), func() { w.evil(); w.looks("ben") })
		}, "seal.authority", true},
		{"a removed operator writes its ledger anew, as long as it was", func(w *world) {
			start := w.clock
			w.looks("ben")
			w.looks("ben")
			root := w.git("rev-parse", provenance.RootRef)
			ref := w.ledgers("provenance", "ben")[0]
			w.clock = start.Add(24 * time.Hour)
			w.grant("alice", "coder", func(g *capability.Grant) {
				g.NotBefore, g.Expires = envelope.Timestamp(start), envelope.Timestamp(start.Add(time.Hour))
			})
			w.adopted(func(r *trust.Root) error { return r.Remove("ben", trust.Leaving{Grants: trust.Stand}) }, "alice")
			w.git("update-ref", "-d", ref)
			w.under(root, start.Add(10*time.Minute), func() { w.evil(); w.looks("ben"); w.looks("ben") })
		}, "ledger.withheld", false},
		{"a key that had signed nothing when it was removed", func(w *world) {
			spare := w.key("spare")
			w.adopted(func(r *trust.Root) error { return r.Add("alice", "", nil, spare.Public()) }, "alice")
			before, root := w.clock, w.git("rev-parse", provenance.RootRef)
			w.clock = w.clock.Add(time.Hour)
			w.adopted(func(r *trust.Root) error {
				return r.Remove("alice", trust.Leaving{Grants: trust.Stand}, spare.Public().ID())
			}, "alice")
			w.under(root, before.Add(time.Second), func() { w.grant("spare", "coder", nil); w.evil() })
		}, "seal.unknown-key", false},
		{"a stolen key, with dates of before the theft", func(w *world) {
			spare := w.key("spare")
			w.adopted(func(r *trust.Root) error { return r.Add("ben", "", nil, spare.Public()) }, "alice")
			w.clock = w.clock.Add(time.Hour)
			before := w.clock
			w.clock = before.Add(time.Hour)
			theft := envelope.Timestamp(w.clock)
			w.under(w.git("rev-parse", provenance.RootRef), before, func() { // elsewhere: this clone is none that the key's holder wrote in
				w.renewed(func() { w.grant("spare", "coder", nil); w.evil() })
			})
			w.adopted(func(r *trust.Root) error {
				return r.Remove("ben", trust.Leaving{Grants: trust.Stand, Compromised: theft}, spare.Public().ID())
			}, "alice")
		}, "seal.unknown-key", false},
		{"a theft that was told of later", func(w *world) {
			spare := w.key("spare")
			w.adopted(func(r *trust.Root) error { return r.Add("ben", "", nil, spare.Public()) }, "alice")
			w.clock = w.clock.Add(time.Hour)
			before := w.clock
			w.clock = before.Add(time.Hour)
			theft := envelope.Timestamp(w.clock)
			w.under(w.git("rev-parse", provenance.RootRef), before, func() {
				w.renewed(func() { w.grant("spare", "coder", nil); w.evil() })
			})
			w.clock = w.clock.Add(time.Hour)
			w.adopted(func(r *trust.Root) error {
				return r.Remove("ben", trust.Leaving{Grants: trust.Stand}, spare.Public().ID())
			}, "alice")
			if _, last, why := w.passes(); !last {
				w.t.Fatal("it was to pass until then:", why)
			}
			w.adopted(func(r *trust.Root) error { return r.Taint("ben", theft) }, "alice")
		}, "seal.unknown-key", false},
		{"the trust root taken back to when the operator was one", func(w *world) {
			root := w.git("rev-parse", provenance.RootRef)
			w.adoptedAndSaid(func(r *trust.Root) error { return r.Remove("ben", trust.Leaving{Grants: trust.Lapse}) }, "alice")
			w.sealedChange("alice", "a")
			w.admitted("alice", w.oid("HEAD~1"))
			w.git("update-ref", provenance.RootRef, root)
			base := w.oid("HEAD")
			w.sealedChange("ben", "evil")
			w.admitted("ben", base)
		}, "root.withheld", false},
		{"the same, pinned at the version that is taken back to", func(w *world) {
			root := w.git("rev-parse", provenance.RootRef)
			w.pin = w.rootOf(w.session()).Digest
			w.adoptedAndSaid(func(r *trust.Root) error { return r.Remove("ben", trust.Leaving{Grants: trust.Lapse}) }, "alice")
			w.sealedChange("alice", "a")
			w.git("update-ref", provenance.RootRef, root)
			w.sealedChange("ben", "evil")
		}, "root.withheld", false},
		{"only an admission names the later version", func(w *world) {
			root := w.git("rev-parse", provenance.RootRef)
			w.pin = w.rootOf(w.session()).Digest
			w.adopted(func(r *trust.Root) error { return r.Remove("ben", trust.Leaving{Grants: trust.Lapse}) }, "alice")
			w.sealedChange("alice", "a")
			w.admitted("alice", w.oid("HEAD~1"))
			w.git("update-ref", provenance.RootRef, root)
			w.sealedChange("ben", "evil")
		}, "root.withheld", false},
		{"a rewind by a grant that ended before anybody saw it", func(w *world) {
			start := w.clock
			w.grant("alice", "coder", func(g *capability.Grant) { g.Action, g.Expires = "repo.*", envelope.Timestamp(start.Add(time.Hour)) })
			good := w.oid("HEAD")
			w.sealedChange("alice", "a")
			w.admitted("alice", good)
			w.clock = start.Add(24 * time.Hour)
			bad := w.oid("HEAD")
			w.git("reset", "-q", "--hard", good.String())
			w.under(w.git("rev-parse", provenance.RootRef), start.Add(10*time.Minute), func() { w.admitted("coder", bad) })
		}, "ref.moved", true},
		{"an operator who ended a grant is none any more", func(w *world) {
			id := w.grant("alice", "coder", nil)
			bare := w.git("for-each-ref", "--format=%(objectname) %(refname)", "refs/covenant/ledger/capability")
			w.revoke("ben", id)
			after := w.git("for-each-ref", "--format=%(objectname) %(refname)", "refs/covenant/ledger/capability")
			w.drop("refs/covenant/ledger/capability")
			w.restore(bare)
			w.evil()
			w.restore(after)
			w.clock = w.clock.Add(time.Hour)
			w.adopted(func(r *trust.Root) error { return r.SetOperators([]string{"alice"}) }, "alice")
		}, "seal.authority", false},
		{"one who left, and came back as no operator", func(w *world) {
			id := w.grant("alice", "coder", nil)
			bare := w.git("for-each-ref", "--format=%(objectname) %(refname)", "refs/covenant/ledger/capability")
			w.revoke("ben", id)
			after := w.git("for-each-ref", "--format=%(objectname) %(refname)", "refs/covenant/ledger/capability")
			w.drop("refs/covenant/ledger/capability")
			w.restore(bare)
			w.evil()
			w.restore(after)
			w.clock = w.clock.Add(time.Hour)
			w.adopted(func(r *trust.Root) error { return r.Remove("ben", trust.Leaving{Grants: trust.Stand}) }, "alice")
			w.clock = w.clock.Add(time.Hour)
			w.adopted(func(r *trust.Root) error { return r.Add("ben", "", nil, w.keys["ben"].Public()) }, "alice")
		}, "seal.authority", false},
		{"an operator who narrowed a grant is none any more", func(w *world) {
			w.grant("alice", "coder", func(g *capability.Grant) { g.Introduction = true })
			w.clock = w.clock.Add(time.Hour)
			w.grant("ben", "coder", func(g *capability.Grant) { g.Scope = scope(w.t, `{"paths":["src/**"]}`) })
			bare := w.git("for-each-ref", "--format=%(objectname) %(refname)", "refs/covenant/ledger/capability")
			w.git("update-ref", "-d", w.ledgers("capability", "ben")[0])
			w.clock = w.clock.Add(time.Hour)
			w.evil()
			w.restore(bare)
			w.clock = w.clock.Add(time.Hour)
			w.adopted(func(r *trust.Root) error { return r.SetOperators([]string{"alice"}) }, "alice")
		}, "seal.authority", false},
		{"an operator who ended a grant is none any more, and then leaves", func(w *world) {
			w.ended()
			w.adopted(func(r *trust.Root) error { return r.SetOperators([]string{"alice"}) }, "alice")
			w.clock = w.clock.Add(time.Hour)
			w.adopted(func(r *trust.Root) error { return r.Remove("ben", trust.Leaving{Grants: trust.Stand}) }, "alice")
		}, "seal.authority", false},
		{"an operator who ended a grant is none any more, and takes another key", func(w *world) {
			w.ended()
			w.adopted(func(r *trust.Root) error { return r.SetOperators([]string{"alice"}) }, "alice")
			w.clock = w.clock.Add(time.Hour)
			spare := w.key("spare")
			w.adopted(func(r *trust.Root) error {
				return errors.Join(r.Add("ben", "", nil, spare.Public()), r.Remove("ben", trust.Leaving{Grants: trust.Stand}, w.keys["ben"].Public().ID()))
			}, "alice")
		}, "seal.authority", false},
		{"an operator who ended a grant left, came back as none, and left again", func(w *world) {
			w.ended()
			for range 2 {
				w.adopted(func(r *trust.Root) error { return r.Remove("ben", trust.Leaving{Grants: trust.Stand}) }, "alice")
				w.clock = w.clock.Add(time.Hour)
				w.adopted(func(r *trust.Root) error { return r.Add("ben", "", nil, w.keys["ben"].Public()) }, "alice")
				w.clock = w.clock.Add(time.Hour)
			}
			w.adopted(func(r *trust.Root) error { return r.Remove("ben", trust.Leaving{Grants: trust.Stand}) }, "alice")
		}, "seal.authority", false},
		{"one who is no operator any more admits, with a date of before", func(w *world) {
			start, base := w.clock, w.oid("HEAD")
			id := w.grant("alice", "coder", nil)
			w.looks("ben")
			w.clock = start.Add(time.Hour)
			w.adopted(func(r *trust.Root) error { return r.SetOperators([]string{"alice"}) }, "alice")
			w.revoke("alice", id)
			bare := w.git("for-each-ref", "--format=%(objectname) %(refname)", "refs/covenant/ledger/capability")
			w.git("update-ref", w.ledgers("capability", "alice")[0], w.ledgers("capability", "alice")[0]+"~1")
			w.clock = start.Add(2 * time.Hour)
			now := w.clock
			w.clock = start.Add(10 * time.Minute)
			w.evil()
			w.admitted("ben", base)
			w.clock = now
			w.restore(bare)
			w.looks("alice")
		}, "seal.authority", false},
		{"the root taken back to before the key of the only operator was replaced", func(w *world) {
			w.adopted(func(r *trust.Root) error { return r.SetOperators([]string{"alice"}) }, "alice")
			root := w.git("rev-parse", provenance.RootRef)
			r := w.rootOf(w.session())
			if _, err := w.sealer(w.session(), "alice").Record(context.Background(), "audit", provenance.Item{
				Type: trust.Adopted, Body: trust.Adoption{Version: r.Version + 1}, Subject: "root.leaving",
			}); err != nil {
				w.t.Fatal(err)
			}
			change, fresh := w.rotate("alice-2")
			w.keys["fresh"] = fresh
			w.adopted(change, "alice", "fresh")
			if whole, last, why := w.passes(); !last && !whole {
				w.t.Fatal("before that it was to pass:", why)
			}
			w.git("update-ref", provenance.RootRef, root)
			base := w.oid("HEAD")
			w.sealedChange("alice", "evil")
			w.admitted("alice", base)
		}, "root.withheld", false},
		{"a key that was given back: its ledger cut beyond what was seen when it left", func(w *world) {
			id := w.grant("alice", "coder", nil)
			w.looks("ben")
			w.adopted(func(r *trust.Root) error { return r.Remove("ben", trust.Leaving{Grants: trust.Stand}) }, "alice")
			w.adopted(func(r *trust.Root) error {
				return errors.Join(r.Add("ben", "", nil, w.keys["ben"].Public()), r.Promote("ben"))
			}, "alice")
			w.revoke("ben", id)
			w.looks("alice")
			w.git("update-ref", "-d", w.ledgers("capability", "ben")[0])
			w.evil()
		}, "ledger.withheld", false},
		{"the one witness took another key since", func(w *world) {
			id := w.grant("alice", "coder", nil)
			w.revoke("ben", id)
			w.looks("alice")
			change, fresh := w.rotate("alice-2")
			w.keys["fresh"] = fresh
			w.adopted(change, "alice", "fresh")
			w.git("update-ref", "-d", w.ledgers("capability", "ben")[0])
			w.evil()
		}, "ledger.withheld", false},
		{"an agent signs into the operator's ledger, where the revocation was", func(w *world) {
			revoked(w)
			ref := w.ledgers("capability", "ben")[0]
			w.rewrap(ref, func(n int, subject, tree string) string {
				if strings.HasPrefix(subject, "capability.revoked") {
					return w.forged("coder", ref, n)
				}
				return tree
			})
			w.evil()
		}, "ledger.withheld", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := court(t)
			push(w, "helper", nil)
			c.attack(w)
			whole, last, why := w.passes()
			if last || whole && !c.ranged {
				t.Errorf("main passes: %v, its last commit: %v;%s", whole, last, why)
			}
			if !strings.Contains(why, c.want) {
				t.Errorf("no %s among%s", c.want, why)
			}
		})
	}
}
