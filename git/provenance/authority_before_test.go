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
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// What honest operators do turns nothing red, and what is left of the authority of one who had some takes nothing away.
func TestAuthorityOfBefore(t *testing.T) {
	demote := func(w *world) {
		w.adopted(func(r *trust.Root) error { return r.SetOperators([]string{"alice"}) }, "alice")
	}
	remove := func(w *world) {
		w.adopted(func(r *trust.Root) error { return r.Remove("ben", trust.Leaving{Grants: trust.Stand}) }, "alice")
	}
	// record has who once had authority write something now that says to be of another time, and be number seq.
	record := func(w *world, root string, at time.Time, do func()) { w.under(root, at, do) }
	for _, c := range []struct {
		name string
		do   func(w *world)
	}{
		{"an operator is made none", demote},
		{"an operator is made none, and leaves", func(w *world) { demote(w); w.clock = w.clock.Add(time.Hour); remove(w) }},
		{"an operator leaves", remove},
		{"an operator leaves, and comes back as none", func(w *world) {
			remove(w)
			w.clock = w.clock.Add(time.Hour)
			w.adopted(func(r *trust.Root) error { return r.Add("ben", "", nil, w.keys["ben"].Public()) }, "alice")
		}},
		{"an operator takes another key", func(w *world) {
			spare := w.key("spare")
			w.adopted(func(r *trust.Root) error {
				return errors.Join(r.Add("ben", "", nil, spare.Public()), r.Remove("ben", trust.Leaving{Grants: trust.Stand}, w.keys["ben"].Public().ID()))
			}, "alice")
		}},
		{"one who is no operator any more revokes, with a date of before", func(w *world) {
			root, at := w.git("rev-parse", provenance.RootRef), w.clock
			w.clock = w.clock.Add(time.Hour)
			demote(w)
			record(w, root, at, func() { w.revoke("ben", w.given["coder"]) })
		}},
		{"one who left revokes, with a date of before", func(w *world) {
			root, at := w.git("rev-parse", provenance.RootRef), w.clock
			w.clock = w.clock.Add(time.Hour)
			remove(w)
			record(w, root, at, func() { w.revoke("ben", w.given["coder"]) })
		}},
		{"one who left claims an early number", func(w *world) {
			root, at := w.git("rev-parse", provenance.RootRef), w.clock
			w.clock = w.clock.Add(time.Hour)
			remove(w)
			record(w, root, at, func() { w.revoke("ben", w.given["coder"]) })
			w.misplaced("ben", 1)
		}},
		{"one who left says what a newer program would", func(w *world) {
			root, at := w.git("rev-parse", provenance.RootRef), w.clock
			w.clock = w.clock.Add(time.Hour)
			remove(w)
			record(w, root, at, func() {
				if _, err := w.sealer(w.session(), "ben").Record(context.Background(), "capability", provenance.Item{Type: "capability.revoked/v9", Body: map[string]any{}, Subject: "newer"}); err != nil {
					w.t.Fatal(err)
				}
			})
		}},
		{"a ledger went two ways, and its writer took another key", func(w *world) {
			ref := w.ledgers("capability", "ben")[0]
			fork := w.git("rev-parse", ref)
			w.grant("ben", "helper", nil)
			w.looks("alice")
			w.git("update-ref", ref, fork)
			w.grant("ben", "helper", func(g *capability.Grant) { g.Action = "memory.read" })
			w.grant("ben", "helper", func(g *capability.Grant) { g.Action = "memory.read" })
			if _, last, why := w.passes(); last || !strings.Contains(why, "ledger.withheld") {
				w.t.Fatal("until then nothing is to be relied on:", why)
			}
			spare := w.key("spare")
			w.adopted(func(r *trust.Root) error {
				return errors.Join(r.Add("ben", "", nil, spare.Public()), r.Remove("ben", trust.Leaving{Grants: trust.Stand}, w.keys["ben"].Public().ID()))
			}, "alice")
		}},
		{"the root went two ways, and its operators said which", func(w *world) {
			root := w.git("rev-parse", provenance.RootRef)
			w.adoptedAndSaid(func(r *trust.Root) error { r.Expires = "2031-01-01T00:00:00Z"; return nil }, "alice")
			other := w.rootOf(w.session()).Digest
			w.adoptedAndSaid(func(r *trust.Root) error { r.Expires = "2032-01-01T00:00:00Z"; return nil }, "alice")
			second := w.rootOf(w.session()).Digest
			w.git("update-ref", provenance.RootRef, root)
			w.adopted(func(r *trust.Root) error { r.Expires = "2033-01-01T00:00:00Z"; return nil }, "alice")
			if _, last, why := w.passes(); last || !strings.Contains(why, "root.withheld") {
				w.t.Fatal("until then nothing is to be relied on:", why)
			}
			w.adopted(func(r *trust.Root) error { return r.DecideAgainst(other, second) }, "alice")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := court(t)
			w.given = map[string]envelope.Digest{"coder": w.grant("alice", "coder", nil)}
			base := w.oid("HEAD")
			w.sealedChange("ben", "a")
			w.admitted("ben", base)
			base = w.oid("HEAD")
			w.sealedChange("coder", "b")
			w.admitted("ben", base)
			w.grant("ben", "helper", func(g *capability.Grant) { g.Action = "memory.read" })
			w.looks("alice")
			if whole, last, why := w.passes(); !whole || !last {
				t.Fatal("it was to pass before:", why)
			}
			w.clock = w.clock.Add(time.Hour)
			c.do(w)
			w.clock = w.clock.Add(time.Hour)
			if whole, last, why := w.passes(); !whole || !last {
				t.Errorf("main passes: %v, its last commit: %v;%s", whole, last, why)
			}
		})
	}
}

// misplaced puts another number into the newest entry of somebody's capability ledger, signed anew.
func (w *world) misplaced(who string, seq uint64) {
	w.t.Helper()
	ref := w.ledgers("capability", who)[0]
	env, _, err := ledger.Read(w.session(), w.oid(ref))
	if err != nil {
		w.t.Fatal(err)
	}
	o, err := env.Open(envelope.TypeLedger, 1, func(string) (envelope.Key, bool) { return w.keys[who].Public(), true })
	if err != nil {
		w.t.Fatal(err)
	}
	st, err := envelope.Decode[capability.Revocation](o, capability.Revoked)
	if err != nil {
		w.t.Fatal(err)
	}
	st.Entry.Seq, st.Entry.Prev = seq, ""
	payload, err := envelope.Statement(capability.Revoked, st.Entry, st.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	tree := w.entryTree(who, payload)
	w.git("update-ref", ref, w.git("commit-tree", tree, "-p", ref+"~1", "-m", "misplaced"))
}
