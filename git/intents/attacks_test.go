package intents_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/intent"
	"github.com/open-covenant/covenant-git/git/intents"
	"github.com/open-covenant/covenant-git/git/provenance"
)

func moved(id intent.ID, after envelope.Digest, from, to intent.State, role intent.Role) intent.Moved {
	return intent.Moved{After: after, From: from, Intent: id, Role: role, To: to}
}

// Whoever may move intents writes moves that our commands would not: none of them counts, and each says why.
func TestForgedMoves(t *testing.T) {
	w := newWorld(t, "coder")
	id := w.open("alice", intent.Fields{Gates: []intent.Gate{intent.PlanGate}})
	other := w.open("alice", intent.Fields{})
	w.move("alice", id, intent.Triaged)
	before := w.last(id)
	w.move("alice", id, intent.Planned)
	at := w.last(id)
	for name, c := range map[string]struct {
		m    intent.Moved
		want string
	}{
		"a way that is none":             {moved(id, at, intent.Planned, intent.Integrated, intent.ReleaseOperator), "cannot go from planned to integrated"},
		"from a state that it is not in": {moved(id, at, intent.Ready, intent.Integrated, intent.ReleaseOperator), "it says to come from ready, and it was planned"},
		"in another role":                {moved(id, at, intent.Planned, intent.InProgress, intent.Verifier), "by implementer, not by verifier"},
		"past a gate":                    {moved(id, at, intent.Planned, intent.InProgress, intent.Implementer), "gate plan has no artifact"},
		"after one that stood before":    {moved(id, before, intent.Triaged, intent.Blocked, intent.Planner), "alice moved it to planned at the same time, and that counts"},
		"after the opening":              {moved(id, envelope.Digest("sha256:"+string(id)+strings.Repeat("0", 32)), intent.Proposed, intent.Blocked, intent.Planner), "which is not here"},
		"after a statement of another":   {moved(id, w.last(other), intent.Proposed, intent.Triaged, intent.Planner), "which is not here"},
		"an artifact for another gate": {func() intent.Moved {
			m := moved(id, at, intent.Planned, intent.InProgress, intent.Implementer)
			m.Artifacts = []intent.Artifact{{Gate: intent.DocsGate, Ref: "text:x"}}
			return m
		}(), "gate plan has no artifact"},
	} {
		if why := w.why(id, w.write("coder", c.m)); !strings.Contains(why, c.want) {
			t.Errorf("%s: %q", name, why)
		}
	}
	if got := w.state(id); got != intent.Planned {
		t.Fatalf("it is %s", got)
	}
}

// An agent that learns of a move writes another one from the same state, in a ledger that says to have seen nothing, with an
// earlier time: what an operator had seen stays.
func TestBackdated(t *testing.T) {
	w := newWorld(t, "coder", "mallory")
	id := w.open("alice", intent.Fields{})
	w.move("alice", id, intent.Triaged, intent.Planned)
	at, when := w.last(id), w.clock.at
	w.move("coder", id, intent.InProgress)
	w.open("alice", intent.Fields{Text: "something else, by who saw that"})
	forged, _ := w.forge("mallory", moved(id, at, intent.Planned, intent.Blocked, intent.Implementer), when.Add(-time.Hour), w.pin)
	if got := w.state(id); got != intent.InProgress {
		t.Fatalf("it is %s", got)
	}
	if why := w.why(id, forged); !strings.Contains(why, "coder moved it to in_progress at the same time") {
		t.Errorf("%q", why)
	}
	// Where both were seen by nobody, whoever made the move before goes on; and who names what it saw comes after it.
	w.move("coder", id, intent.SelfReview)
	at = w.last(id)
	w.move("coder", id, intent.CrossReview)
	forged, _ = w.forge2(t, "mallory", moved(id, at, intent.SelfReview, intent.Repair, intent.Implementer), when)
	if got := w.state(id); got != intent.CrossReview {
		t.Errorf("it is %s: %s", got, w.why(id, forged))
	}
	honest := w.write("mallory", moved(id, at, intent.SelfReview, intent.Repair, intent.Implementer), when)
	if why := w.why(id, honest); !strings.Contains(why, "at the same time") {
		t.Errorf("%q", why)
	}
}

// forge2 is forge, after what was forged before.
func (w *world) forge2(t *testing.T, name string, m intent.Moved, at time.Time) (envelope.Digest, string) {
	t.Helper()
	w.git("update-ref", "-d", "refs/covenant/ledger/intent/"+strings.TrimPrefix(w.forgedBy(name), "intent/"))
	id, n := w.forge(name, m, at, w.pin)
	return id, n.String()
}

func (w *world) forgedBy(name string) string {
	for _, ref := range strings.Fields(w.git("for-each-ref", "--format=%(refname)", "refs/covenant/ledger/intent")) {
		if strings.Contains(ref, "-f0") {
			return strings.TrimPrefix(ref, "refs/covenant/ledger/")
		}
	}
	w.t.Fatalf("nothing is forged by %s", name)
	return ""
}

// Authority is that of then: what was done without a grant, after its end, or after a revocation does not count, with whatever date; what an
// operator had seen before is not undone.
func TestAuthorityThen(t *testing.T) {
	w := newWorld(t, "coder", "mallory")
	id := w.open("alice", intent.Fields{})
	w.move("alice", id, intent.Triaged, intent.Planned)

	// A key that holds nothing of this.
	nobody, err := identity.Generate(filepath.Join(t.TempDir(), "k"), "k", nil)
	if err != nil {
		t.Fatal(err)
	}
	w.keys["reader"] = nobody
	w.grant("reader", "memory.read", capability.Whole, "")
	if why := w.why(id, w.write("reader", moved(id, w.last(id), intent.Planned, intent.InProgress, intent.Implementer))); !strings.Contains(why, "has no grant of intent.move") {
		t.Errorf("%q", why)
	}
	// A grant that comes later does not make it good.
	scope := capability.Scope{Version: 1, Roles: []string{"implementer"}}
	late := w.grant("reader", "intent.move", scope, "")
	if got := w.state(id); got != intent.Planned {
		t.Errorf("a later grant: it is %s", got)
	}
	// In another role than the grant's.
	w.move("reader", id, intent.InProgress, intent.SelfReview, intent.Validation)
	if why := w.why(id, w.write("reader", moved(id, w.last(id), intent.Validation, intent.Ready, intent.Verifier))); !strings.Contains(why, "roles") {
		t.Errorf("%q", why)
	}
	w.open("alice", intent.Fields{Text: "alice has seen it"})
	seen := w.clock.at
	w.revoke(late)
	if got := w.state(id); got != intent.Validation {
		t.Fatalf("what was seen was undone: it is %s", got)
	}
	// After the revocation, with a date before it.
	forged, _ := w.forge("reader", moved(id, w.last(id), intent.Validation, intent.Repair, intent.Verifier), seen.Add(-time.Minute), w.pin)
	if why := w.why(id, forged); !strings.Contains(why, "revoked") && !strings.Contains(why, "no grant") {
		t.Errorf("%q", why)
	}
	// After the end of a grant, with a date before it: operators wrote since.
	second := w.open("alice", intent.Fields{Text: "the second"})
	short := w.clock.at.Add(10 * time.Second)
	w.keys["short"], err = identity.Generate(filepath.Join(t.TempDir(), "k"), "k", nil)
	if err != nil {
		t.Fatal(err)
	}
	w.grant("short", "intent.move", capability.Whole, envelope.Timestamp(short))
	w.clock.at = short.Add(time.Hour)
	w.open("alice", intent.Fields{Text: "alice wrote since"})
	forged, _ = w.forge("short", moved(second, w.last(second), intent.Proposed, intent.Triaged, intent.Planner), short.Add(-time.Second), w.pin)
	if why := w.why(second, forged); !strings.Contains(why, "expired") {
		t.Errorf("%q", why)
	}
}

// A key that nobody introduced, and a statement of another repository, say nothing, and stop nobody.
func TestStrangers(t *testing.T) {
	w := newWorld(t, "coder")
	id := w.open("alice", intent.Fields{})
	stranger, err := identity.Generate(filepath.Join(t.TempDir(), "k"), "k", nil)
	if err != nil {
		t.Fatal(err)
	}
	w.keys["mallory"] = stranger
	_, mallorys := w.forge("mallory", moved(id, w.last(id), intent.Proposed, intent.Triaged, intent.Planner), w.clock.now(), w.pin)
	_, replayed := w.forge("coder", moved(id, w.last(id), intent.Proposed, intent.Triaged, intent.Planner), w.clock.now(), envelope.Digest("sha256:"+strings.Repeat("7", 64)))
	for _, remembered := range []bool{true, true, false} {
		b := w.book(remembered)
		s, err := b.Intent(id)
		if err != nil || s.State != intent.Proposed || len(s.Steps) != 1 {
			t.Fatalf("%v: %+v", err, s)
		}
		var told []string
		for _, p := range b.Problems() {
			told = append(told, p.Object)
		}
		if !slices.Contains(told, mallorys.String()) || !slices.Contains(told, replayed.String()) {
			t.Errorf("told of %v", told)
		}
	}
	w.move("alice", id, intent.Triaged)
}

// A gate is not taken away by who may only edit.
func TestWaive(t *testing.T) {
	w := newWorld(t)
	k, err := identity.Generate(filepath.Join(t.TempDir(), "k"), "k", nil)
	if err != nil {
		t.Fatal(err)
	}
	w.keys["coder"] = k
	w.grant("coder", "intent.edit", capability.Whole, "")
	id := w.open("alice", intent.Fields{Gates: []intent.Gate{intent.SecurityGate}})
	drop := func(f *intent.Fields) error { f.Gates = nil; return nil }
	var refused *intents.RefusedError
	if _, err := w.book(true).Edit(context.Background(), w.sealer("coder"), id, drop); !errors.As(err, &refused) || refused.Action != intent.WaiveAction {
		t.Errorf("%v", err)
	}
	s, err := w.book(true).Intent(id)
	if err != nil {
		t.Fatal(err)
	}
	e := intent.Edited{After: s.Last, Intent: id, Set: s.Fields}
	e.Set.Gates = nil
	made, err := w.sealer("coder").Record(context.Background(), intent.Topic, provenance.Item{Type: intent.EditedType, Body: e, Subject: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if why := w.why(id, made[0].ID); !strings.Contains(why, "intent.waive") {
		t.Errorf("%q", why)
	}
	// Nor is an intent opened past its beginning by who may only open.
	w.grant("coder", "intent.open", capability.Whole, "")
	o := intent.Opened{Fields: s.Fields, State: intent.Ready}
	made, err = w.sealer("coder").Record(context.Background(), intent.Topic, provenance.Item{Type: intent.OpenedType, Body: o, Subject: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if s, err := w.book(true).Intent(intent.IDOf(made[0].ID)); err != nil || !strings.Contains(s.Void, "intent.import") {
		t.Errorf("%v %+v", err, s)
	}
	if _, err := w.book(true).Move(context.Background(), w.sealer("alice"), intent.IDOf(made[0].ID), intents.Step{To: intent.Integrated}); !errors.Is(err, intents.ErrUnknown) {
		t.Errorf("%v", err)
	}
}

// What is remembered is believed as it was written only: with any of it changed, cut or exchanged the answer is that of the ledgers.
func TestMemoryIsHeldToWhatWasWritten(t *testing.T) {
	w := newWorld(t, "coder")
	id := w.open("alice", intent.Fields{})
	w.move("alice", id, intent.Triaged, intent.Planned)
	w.move("coder", id, intent.InProgress)
	whole := func(b *intents.Book) string {
		s, err := b.Intent(id)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	want := whole(w.book(false))
	dir := filepath.Join(w.dir, ".git", "covenant", "cache")
	for _, name := range []string{"intents", "intents-lines"} {
		w.book(true)
		good, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for what, bad := range map[string][]byte{
			"none": nil, "empty": {}, "cut": good[:len(good)/2], "longer": append(slices.Clone(good), good...),
			"other state": []byte(strings.ReplaceAll(string(good), "in_progress", "integrated_")),
		} {
			if name == "intents-lines" && what == "longer" {
				continue // lines that nothing refers to
			}
			file := filepath.Join(dir, name)
			if bad == nil {
				err = os.Remove(file)
			} else {
				err = os.WriteFile(file, bad, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := whole(w.book(true)); got != want {
				t.Errorf("%s %s: %s", name, what, got)
			}
			if got := whole(w.book(true)); got != want {
				t.Errorf("%s %s, again: %s", name, what, got)
			}
		}
	}
	// A ledger that was moved back is seen so.
	ref := w.git("for-each-ref", "--format=%(refname)", "--sort=committerdate", "refs/covenant/ledger/intent")
	refs := strings.Fields(ref)
	w.git("update-ref", "-d", refs[len(refs)-1])
	if got, want := whole(w.book(true)), whole(w.book(false)); got != want {
		t.Errorf("a ledger is gone: %s, not %s", got, want)
	}
}

// Needs that lead in a circle, which two clones made at once, hold nothing up, and are told; a long line of them costs no more than a short one.
func TestCircle(t *testing.T) {
	w := newWorld(t)
	a, b := w.open("alice", intent.Fields{Text: "a"}), w.open("alice", intent.Fields{Text: "b"})
	c := w.open("alice", intent.Fields{Text: "c", Needs: []intent.ID{a}})
	other := w.clone()
	need := func(id intent.ID) func(*intent.Fields) error {
		return func(f *intent.Fields) error { f.Needs = []intent.ID{id}; return nil }
	}
	if _, err := w.book(true).Edit(context.Background(), w.sealer("alice"), a, need(b)); err != nil {
		t.Fatal(err)
	}
	if _, err := other.book(true).Edit(context.Background(), other.sealer("alice"), b, need(a)); err != nil {
		t.Fatal(err)
	}
	var refused *intents.RefusedError
	if _, err := w.book(true).Edit(context.Background(), w.sealer("alice"), b, need(c)); !errors.As(err, &refused) || refused.Kind != intents.Circle {
		t.Errorf("%v", err)
	}
	w.fetch(other)
	book := w.book(true)
	for id, want := range map[intent.ID]struct {
		waits  int
		circle bool
	}{a: {0, true}, b: {0, true}, c: {1, false}} {
		r, _ := book.Row(id)
		if on, circle := book.Waits(&r); len(on) != want.waits || circle != want.circle {
			t.Errorf("%s waits for %v, circle %v", r.Title, on, circle)
		}
	}
	if list, total, waiting := book.Next(10, nil); len(list) != 2 || total != 2 || waiting != 1 {
		t.Errorf("%v, %d wait", list, waiting)
	}
}

// The roles that a grant may name are those that there are.
func TestRolesOfGrants(t *testing.T) {
	var roles []string
	for _, r := range intent.Roles {
		roles = append(roles, string(r))
	}
	if got := capability.Roles(); !slices.Equal(got, roles) {
		t.Errorf("%v, not %v", got, roles)
	}
}
