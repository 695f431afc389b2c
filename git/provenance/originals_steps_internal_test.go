package provenance

import (
	"fmt"
	"testing"

	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/oid"
)

// TestWaysFromCounted: ways with many sources take steps for each, and end when there are none left.
func TestWaysFromCounted(t *testing.T) {
	t.Parallel()
	node := func(i int) verdict.Node {
		return verdict.Node{Mode: "100644", ID: oid.SHA1.Hash("blob", []byte(fmt.Sprint(i)))}
	}
	const n = 50_000
	many := func(from int) []int {
		out := make([]int, n)
		for i := range out {
			out[i] = from + i
		}
		return out
	}
	edges := []share{{from: node(0), to: node(1), sources: many(0)}, {from: node(1), to: node(2), sources: many(n)}, {from: node(2), to: node(3), sources: many(0)}}
	at := map[verdict.Node][]int{node(0): {0}, node(1): {1}, node(2): {2}}
	for _, steps := range []int{1 << 30, 2 * n} {
		p := &ports{steps: steps, of: steps}
		o := &originals{ports: p}
		ways := o.waysFrom(node(0), edges, at)
		switch got := ways[node(3)]; {
		case steps == 1<<30 && (len(got) != 2*n || steps-p.steps < 6*n):
			t.Errorf("%d sources in %d steps", len(got), steps-p.steps)
		case steps < 1<<30 && got != nil:
			t.Errorf("%d sources, and no steps", len(got))
		}
	}
}
