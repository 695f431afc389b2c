package audit_test

import (
	"slices"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/git/audit"
)

// Causes come before effects whatever the clocks say, nothing is in the log twice, and the order is the same for everybody.
func TestOrder(t *testing.T) {
	w := newWorld(t)
	w.note("first")
	w.checkpoint() // sees it
	w.clock = w.clock.Add(-48 * time.Hour)
	w.note("after the checkpoint, with a clock set back")
	w.checkpoint()
	w.clock = w.clock.Add(200 * time.Hour)
	w.note("with a clock set forward")
	w.checkpoint()
	var got []string
	for r, err := range audit.Log(w.session(), w.facts(), audit.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		text := r.Get("text")
		if text == "" {
			text = r.Kind
		}
		got = append(got, text)
	}
	want := []string{"first", "checkpoint.signed", "after the checkpoint, with a clock set back", "checkpoint.signed", "with a clock set forward", "checkpoint.signed"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	var back []string
	for r, err := range audit.Backwards(w.session(), w.facts(), audit.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		back = append(back, string(r.ID))
	}
	slices.Reverse(back)
	var forth []string
	for r := range audit.Log(w.session(), w.facts(), audit.Filter{}) {
		forth = append(forth, string(r.ID))
	}
	if !slices.Equal(back, forth) || len(forth) != len(want) {
		t.Errorf("forth %q, back %q", forth, back)
	}
}
