package intents_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/open-covenant/covenant-git/envelope/intent"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/git/intents"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// stateFor is what a seal would name.
func (w *world) stateFor(id intent.ID, remembered bool) *prov.IntentState {
	w.t.Helper()
	s := w.session()
	r, err := provenance.OpenRoot(s, w.pin)
	if err != nil {
		w.t.Fatal(err)
	}
	var c *provenance.Cache
	if remembered {
		c = provenance.OpenCache(s.Repo(), w.home)
	}
	return intents.StateFor(context.Background(), s, r, c, string(id))
}

func (w *world) cached(name string) string {
	return filepath.Join(w.dir, ".git/covenant/cache", name)
}

// What a seal names of an intent is what the book says, from memory and without; what was remembered is believed for exactly these ledgers, and from
// who remembered it.
func TestStateFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "coder")
	id := w.open("alice", intent.Fields{})
	w.move("alice", id, intent.Triaged, intent.Planned)
	w.move("coder", id, intent.InProgress)
	hold := func(what string) {
		t.Helper()
		s, err := w.book(false).Intent(id)
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprint(prov.IntentState{Last: s.Last, State: string(s.State), Statements: len(s.Counted())})
		for _, remembered := range []bool{true, true, false} {
			got := w.stateFor(id, remembered)
			if got == nil || fmt.Sprint(*got) != want {
				t.Fatalf("%s, remembered %t: %v, not %s", what, remembered, got, want)
			}
		}
	}
	hold("after a move")
	// A command that moves it leaves what the next commit reads: neither index nor ledgers are needed for it.
	w.move("coder", id, intent.SelfReview)
	for _, name := range []string{"intents", "intents-lines"} {
		if err := os.Remove(w.cached(name)); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.stateFor(id, true); got == nil || got.State != string(intent.SelfReview) || got.Statements != 5 {
		t.Errorf("%+v", got)
	}
	if _, err := os.Stat(w.cached("intents")); err == nil {
		t.Error("the index was made anew")
	}
	// What somebody else wrote there is not believed.
	file := w.cached("intent-" + string(id))
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-3] ^= 1
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	hold("after it was edited")
	// What came from elsewhere is read.
	other := w.clone()
	other.move("alice", id, intent.CrossReview)
	other.open("coder", intent.Fields{Text: "something else"})
	w.fetch(other)
	hold("after a fetch")
	if got := w.stateFor(id, true); got.State != string(intent.CrossReview) {
		t.Errorf("%+v", got)
	}
	// A ledger is taken away: what is remembered of it is not named.
	for _, ref := range []string{w.git("for-each-ref", "--format=%(refname)", "--sort=-committerdate", "--count=1", "refs/covenant/ledger/intent")} {
		w.git("update-ref", "-d", ref)
	}
	hold("after a ledger was taken away")
	if got := w.stateFor("ffffffffffffffffffffffffffffffff", true); got != nil {
		t.Errorf("of an intent that is not there: %+v", got)
	}
}

// Where much is to be read first nobody says the state, until a command has read it: a commit does not wait for that.
func TestStateForLittle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.open("alice", intent.Fields{})
	k := w.sealer("alice")
	var many []intent.Opened
	for i := range 300 {
		text := fmt.Sprint("number ", i)
		many = append(many, intent.Opened{Fields: intent.Fields{Priority: intent.Low, Role: intent.Planner, Text: text, Title: text}})
	}
	if _, err := w.book(true).BeginAll(context.Background(), k, many); err != nil {
		t.Fatal(err)
	}
	for _, remembered := range []bool{true, false} {
		if got := w.stateFor(id, remembered); got != nil {
			t.Errorf("remembered %t: %+v", remembered, got)
		}
	}
	w.book(true)
	if got := w.stateFor(id, true); got == nil || got.Statements != 1 {
		t.Errorf("after it was read: %+v", got)
	}
	if got := w.stateFor(id, false); got != nil {
		t.Errorf("where nothing is remembered: %+v", got)
	}
}
