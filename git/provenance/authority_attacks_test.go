package provenance_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/identity"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// court is a world with operators alice and ben, agents coder and helper without a grant, and a protected main branch.
func court(t *testing.T) *world {
	w := young(t)
	w.adopted(func(r *trust.Root) error { return r.Promote("ben") }, "alice")
	return w
}

// ledgers returns the refs of somebody's ledgers of a topic.
func (w *world) ledgers(topic, who string) []string {
	d := w.keys[who].Public().Digest()
	return strings.Fields(w.git("for-each-ref", "--format=%(refname)", "refs/covenant/ledger/"+topic+"/"+hexOf(d[:8])+"*"))
}

func hexOf(b []byte) string {
	const digits = "0123456789abcdef"
	var s strings.Builder
	for _, c := range b {
		s.WriteByte(digits[c>>4])
		s.WriteByte(digits[c&15])
	}
	return s.String()
}

// rewrap puts other commits in the place of a ledger's, with the same parents as before: tree says what each holds, given its
// subject and its tree.
func (w *world) rewrap(ref string, tree func(n int, subject, tree string) string) {
	w.t.Helper()
	parent := ""
	for n, id := range strings.Fields(w.git("rev-list", "--reverse", ref)) {
		subject := w.git("log", "-1", "--format=%s", id)
		args := []string{"commit-tree", tree(n, subject, w.git("rev-parse", id+"^{tree}")), "-m", subject}
		if parent != "" {
			args = append(args, "-p", parent)
		}
		parent = w.git(args...)
	}
	w.git("update-ref", ref, parent)
}

func (w *world) emptyTree() string { return w.gitIn("", "mktree") }

// under does something while the trust root is an older one, as in a clone that has not heard, and at another time.
func (w *world) under(root string, at time.Time, do func()) {
	w.t.Helper()
	now, clock := w.git("rev-parse", provenance.RootRef), w.clock
	w.git("update-ref", provenance.RootRef, root)
	w.clock = at
	do()
	w.git("update-ref", provenance.RootRef, now)
	w.clock = clock
}

// passes reports whether main, and the last commit as a range under review, verify.
func (w *world) passes() (whole, last bool, why string) {
	w.t.Helper()
	s := w.session()
	defer func() { _ = s.Close() }()
	look := func(args ...string) bool {
		res, problems, err := w.verify(false, args...)
		if err != nil {
			why += " " + err.Error()
			return false
		}
		ok := true
		for _, r := range res {
			if !r.Verdict.OK() {
				ok = false
				why += " " + codes(r)
			}
		}
		for _, p := range problems {
			if p.Code.Condemns() {
				ok = false
				why += " " + string(p.Code)
			}
		}
		return ok
	}
	whole = look("main")
	span, err := provenance.ParseSpan(s, "main")
	if err != nil {
		w.t.Fatal(err)
	}
	f, err := provenance.LoadRefs(context.Background(), s, w.pin, []provenance.Head{{Ref: "refs/heads/main", Here: "refs/heads/main", ID: span.Tips[0], Commit: span.Tips[0]}})
	if err != nil {
		w.t.Fatal(err)
	}
	if st := f.RefState(provenance.Head{Ref: "refs/heads/main", ID: span.Tips[0], Commit: span.Tips[0]}, w.clock, nil); !st.OK() {
		whole = false
		for _, x := range st.Findings {
			why += " " + string(x.Code)
		}
	}
	return whole, look("HEAD~1..main"), why
}

// admitted has somebody admit that main is at HEAD, held to the root in force.
func (w *world) admitted(who string, old oid.ID) {
	w.t.Helper()
	s := w.session()
	k := w.sealer(s, who)
	if _, err := k.Record(context.Background(), prov.Topic, provenance.Item{
		Type: prov.Admitted, Body: prov.Admission{Ref: "refs/heads/main", Old: old, New: w.oid("HEAD"), Root: k.Root.Digest, Tips: k.Root.Digest}, Subject: "ref.admitted",
	}); err != nil {
		w.t.Fatal(err)
	}
}

// evil is what no attack may have accepted: a commit by coder.
func (w *world) evil() oid.ID { w.t.Helper(); return w.sealedChange("coder", "evil") }

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

// restore sets refs as for-each-ref listed them.
func (w *world) restore(list string) {
	for line := range strings.Lines(list) {
		id, ref, _ := strings.Cut(strings.TrimSpace(line), " ")
		w.git("update-ref", ref, id)
	}
}

// drop deletes the refs below a prefix.
func (w *world) drop(prefix string) {
	w.t.Helper()
	for ref := range strings.FieldsSeq(w.git("for-each-ref", "--format=%(refname)", prefix)) {
		w.git("update-ref", "-d", ref)
	}
}

// key makes another key.
func (w *world) key(name string) identity.Signer {
	w.t.Helper()
	s, err := identity.Generate(filepath.Join(w.home, "keys", name), name, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.keys[name] = s
	return s
}

// renewed does something as another clone would: in ledgers of its own.
func (w *world) renewed(do func()) {
	w.t.Helper()
	r := w.session().Repo()
	if err := provenance.RenewReplica(r); err != nil {
		w.t.Fatal(err)
	}
	do()
	if err := provenance.RenewReplica(r); err != nil {
		w.t.Fatal(err)
	}
}

// adoptedAndSaid is adopted, and says so in a ledger, as the commands do.
func (w *world) adoptedAndSaid(change func(*trust.Root) error, by string) {
	w.t.Helper()
	r := w.adopted(change, by)
	if _, err := w.sealer(w.session(), by).Record(context.Background(), "audit", provenance.Item{
		Type: trust.Adopted, Body: trust.Adoption{Digest: r.Digest, Version: r.Version}, Subject: "root.adopted",
	}); err != nil {
		w.t.Fatal(err)
	}
}

// forged returns the tree of an entry that says to be number n+1 of a ledger, signed by who does not write it.
func (w *world) forged(who, ref string, n int) string {
	w.t.Helper()
	s := w.session()
	f, err := provenance.Load(context.Background(), s, w.pin)
	if err != nil {
		w.t.Fatal(err)
	}
	name := strings.TrimPrefix(ref, "refs/covenant/ledger/")
	e := f.Chains[name].Entries
	payload, err := envelope.Statement("note.said/v1", e[n].Header, map[string]any{})
	if err != nil {
		w.t.Fatal(err)
	}
	signed, err := envelope.Seal(envelope.TypeLedger, payload, envelope.SealWith{KeyID: w.keys[who].Public().ID(), Signer: w.keys[who]})
	if err != nil {
		w.t.Fatal(err)
	}
	b, err := signed.Bytes()
	if err != nil {
		w.t.Fatal(err)
	}
	blob := w.gitIn(string(b)+"\n", "hash-object", "-w", "--stdin")
	return w.gitIn("100644 blob "+blob+"\tenvelope.json\n", "mktree")
}

// ended is a world in which coder made something after ben had ended its grant, and did not know.
func (w *world) ended() {
	w.t.Helper()
	id := w.grant("alice", "coder", nil)
	bare := w.git("for-each-ref", "--format=%(objectname) %(refname)", "refs/covenant/ledger/capability")
	w.revoke("ben", id)
	after := w.git("for-each-ref", "--format=%(objectname) %(refname)", "refs/covenant/ledger/capability")
	w.drop("refs/covenant/ledger/capability")
	w.restore(bare)
	w.evil()
	w.restore(after)
	w.clock = w.clock.Add(time.Hour)
}

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
	signed, err := envelope.Seal(envelope.TypeLedger, payload, envelope.SealWith{KeyID: w.keys[who].Public().ID(), Signer: w.keys[who]})
	if err != nil {
		w.t.Fatal(err)
	}
	b, err := signed.Bytes()
	if err != nil {
		w.t.Fatal(err)
	}
	blob := w.gitIn(string(b)+"\n", "hash-object", "-w", "--stdin")
	tree := w.gitIn("100644 blob "+blob+"\tenvelope.json\n", "mktree")
	w.git("update-ref", ref, w.git("commit-tree", tree, "-p", ref+"~1", "-m", "misplaced"))
}
