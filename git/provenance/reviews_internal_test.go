package provenance

import (
	"fmt"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/review"
	"github.com/open-covenant/covenant-git/git/oid"
)

// backAndForth is a history of commits that have one of two trees in turn, all of one move but the first.
func backAndForth(t *testing.T, commits int) (g *graph, st *review.Statement) {
	t.Helper()
	id := func(n int) oid.ID {
		out, err := oid.Parse(fmt.Sprintf("%040x", n+1))
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	trees := []oid.ID{id(1 << 30), id(1<<30 + 1)}
	g = &graph{index: map[oid.ID]int{}, with: map[oid.ID][]int{}, stood: map[int]bool{0: true}}
	for i := range commits {
		g.index[id(i)] = i
		g.order, g.trees, g.with[trees[i%2]] = append(g.order, id(i)), append(g.trees, trees[i%2]), append(g.with[trees[i%2]], i)
		if i == 0 {
			g.above, g.brought = append(g.above, nil), append(g.brought, 1)
			continue
		}
		g.above, g.brought = append(g.above, []int{i - 1}), append(g.brought, 2)
	}
	return g, review.New(id(1), trees[1], review.Predicate{Base: review.Base{Commit: id(0), Tree: trees[0]}})
}

// A branch that goes back and forth between two trees is approved as a whole, and does not take the square of its length.
func TestReviewsBackAndForth(t *testing.T) {
	for _, n := range []int{2, 20, 40_000} {
		g, st := backAndForth(t, n)
		if got := g.about(st); len(got) != n-1 {
			t.Errorf("%d commits: about %d", n, len(got))
		}
		g.except = n // and nothing of it is asked for
		if got := g.about(st); got != nil {
			t.Errorf("%d commits before the range: about %d", n, len(got))
		}
	}
}

// Of reviews by whom nothing is decided so many steps are looked at, the newest, however many there are and whatever refs they name: each ref is
// a look at a history.
func TestTalkIsBounded(t *testing.T) {
	f := newFacts(&Root{})
	f.Authority = capability.Fold(nil, nil, nil)
	tree := func(n int) oid.ID {
		id, err := oid.Parse(fmt.Sprintf("%040x", n+1))
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	talk := func(n int, ref string) Review {
		return Review{
			Place:     capability.Place{KeyID: "nobody", Time: time.Unix(int64(n), 0)},
			Statement: review.New(tree(n), tree(n), review.Predicate{Ref: ref, Verdict: review.Approve}),
		}
	}
	var one, many []Review
	for n := range 10_000 {
		one, many = append(one, talk(n, "refs/heads/main"), talk(n, "refs/heads/main")), append(many, talk(n, fmt.Sprint("refs/heads/", n)))
	}
	got := f.steps(one)["refs/heads/main"]
	if len(got) != maxTalkedSteps || len(got[stepOf(&one[len(one)-1])]) != 2 || got[stepOf(&one[0])] != nil {
		t.Errorf("%d steps of one ref are looked at", len(got))
	}
	if got := f.steps(many); len(got) != maxTalkedRefs {
		t.Errorf("%d refs are looked at", len(got))
	}
}
