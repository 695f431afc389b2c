package provenance_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/intent"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// What the statements about an intent come to at one of them is the same in whatever order it is asked, and after whatever else was
// asked: the way is gone from the nearest place that is known.
func TestWorksInAnyOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "sha1")
	w.write("a", "before\n")
	w.git("add", ".")
	w.made("before")
	w.found()
	id, first := w.opens("alice", "work")
	const n = 200
	random := rand.New(rand.NewPCG(1, 2))
	ids := []envelope.Digest{first}
	at := []int{1} // how many statements lead there
	k := w.sealer(w.session(), "alice")
	// Mostly one long way, from which others part; each is one append, so that a statement can follow any that is there.
	for i := 1; i < n; i++ {
		after := i - 1
		if random.IntN(8) == 0 {
			after = random.IntN(i)
		}
		item := provenance.Item{Type: intent.EditedType, Subject: "edit", Body: intent.Edited{After: ids[after], Intent: id, Set: intent.Fields{
			Priority: intent.Low, Role: intent.Planner, Text: fmt.Sprint(i), Title: fmt.Sprint(i),
		}}}
		if i == n/2 {
			item = provenance.Item{Type: intent.MovedType, Subject: "move", Body: intent.Moved{After: ids[after], From: intent.Proposed, Intent: id, Role: intent.Planner, To: intent.Triaged}}
		}
		if i == n/3 { // from a state that it was not in: nothing that follows it ever was
			item = provenance.Item{Type: intent.MovedType, Subject: "move", Body: intent.Moved{After: ids[after], From: intent.Planned, Intent: id, Role: intent.Planner, To: intent.InProgress}}
		}
		made, err := k.Record(context.Background(), intent.Topic, item)
		if err != nil {
			t.Fatal(err)
		}
		ids, at = append(ids, made[0].ID), append(at, at[after]+1)
	}
	s := w.session()
	f, err := provenance.Load(context.Background(), s, w.pin)
	if err != nil {
		t.Fatal(err)
	}
	fresh := map[envelope.Digest]any{}
	for i, last := range ids {
		got, ok := f.Works(s)(last)
		if !ok || got.Why == "" && (got.Statements != at[i] || got.Intent != string(id)) {
			t.Fatalf("%d: %+v", i, got)
		}
		if i == n/3 && got.Why == "" {
			t.Errorf("a move from nowhere: %+v", got)
		}
		fresh[last] = got
	}
	for range 5 {
		works := f.Works(s)
		for _, i := range random.Perm(n) {
			if got, _ := works(ids[i]); !reflect.DeepEqual(got, fresh[ids[i]]) {
				t.Fatalf("%d: %+v, and alone %+v", i, got, fresh[ids[i]])
			}
		}
	}
	if _, ok := f.Works(s)(envelope.Digest("sha256:" + fmt.Sprintf("%064d", 1))); ok {
		t.Error("what is in no ledger came to something")
	}
}
