package provenance

import (
	"testing"

	"github.com/open-covenant/covenant-git/git/oid"
)

// A walk that ran out of one commit's steps goes on where it stood with the next one's: nothing that lies behind is forgotten.
func TestReachesGoesOn(t *testing.T) {
	fresh := func() *history {
		return &history{order: make([]oid.ID, 5), above: [][]int{{}, {0}, {0}, {1, 2}, {3}}, chain: []int{0, 0, 2, 0, 0}, at: map[int]*walk{}, steps: 1000, of: 1000}
	}
	if !fresh().reaches(4, 2) {
		t.Fatal("4 goes on from 2")
	}
	for n := 1; n < 6; n++ {
		h := fresh()
		h.of = n
		first := h.reaches(4, 2)
		h.of = 1000 // the next commit
		if again := h.reaches(4, 2); !again {
			t.Errorf("with %d steps: %t; then, with 1000: %t, want true", n, first, again)
		}
	}
}
