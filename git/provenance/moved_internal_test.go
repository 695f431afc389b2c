package provenance

import (
	"fmt"
	"testing"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/oid"
)

// TestCarryIsBounded: a file that was moved from folder to folder, each move sealed many times as after rebases, has as many edges as before, and its maker's.
func TestCarryIsBounded(t *testing.T) {
	t.Parallel()
	const moved, sealed = 12, 20
	content := oid.SHA1.Hash("blob", []byte("x"))
	node := verdict.Node{Mode: "100644", ID: content}
	sources := []verdict.OriginSource{{ID: "maker"}}
	edges := map[string][]share{"0": {{to: node, sources: []int{0}}}}
	moves := map[string][]sealedMove{}
	for i := range moved {
		m := sealedMove{from: fmt.Sprint(i), to: fmt.Sprint(i + 1), content: content}
		var of []int
		for j := range sealed {
			id := envelope.Digest(fmt.Sprint("mover ", i, j))
			m.seals, of = append(m.seals, id), append(of, len(sources))
			sources = append(sources, verdict.OriginSource{ID: id})
		}
		moves[m.to] = append(moves[m.to], m)
		edges[m.to] = []share{{to: node, sources: of}}
	}
	o := &originals{ports: &ports{steps: 1 << 30, of: 1 << 30}}
	o.carry(edges, moves, sources)
	for i := range moved {
		list := edges[fmt.Sprint(i+1)]
		if len(list) != 1 || len(list[0].sources) != 1 || list[0].sources[0] != 0 {
			t.Fatalf("after %d moves: %d edges, the first by %v", i+1, len(list), list[0].sources)
		}
	}
}
