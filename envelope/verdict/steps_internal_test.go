package verdict

import (
	"fmt"
	"slices"
	"testing"

	"github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

// TestEdgesCounted: every look at an edge is counted, also at those that come to nothing; seals of who may not bring a path are looked at once.
func TestEdgesCounted(t *testing.T) {
	t.Parallel()
	const n = 30
	w := &ways{from: map[Node][]int{}, to: map[Node][]int{}, of: map[signedEdge]int{}}
	node := func(i int) Node { return Node{Mode: "100644", ID: oid.SHA1.Hash("blob", []byte(fmt.Sprint(i)))} }
	for i := range n {
		for j := range n {
			if i != j {
				w.add(Offer{From: node(i), To: node(j), Seal: &Candidate{KeyID: "k"}})
			}
		}
	}
	const edges = n * (n - 1)
	for _, may := range []bool{true, false} {
		asked, steps := 0, 0
		w.own = nil
		f := &edgeSearch{
			o: &Offers{byPath: map[string]*ways{"p": w}},
			q: &Question{
				Take: func(n int) bool { steps += n; return true },
				May:  func(*Candidate, string) bool { asked++; return may },
			},
		}
		c := &DerivedChange{Change: pluginapi.Change{Path: []byte("p")}, From: node(0), To: node(1)}
		for range 10 {
			if got := f.edges(c, func(string, Offer) bool { return false }, 0); len(got) > 0 {
				t.Fatalf("%d edges", len(got))
			}
		}
		if asked != edges || may != (steps > 10*edges) || !may && steps > 10 {
			t.Errorf("may: %v: asked %d times, %d steps for %d edges", may, asked, steps, edges)
		}
	}
}

// TestBehindBounded: merges that stand behind one another, each of them said several times, are looked at up to a limit, which is told.
func TestBehindBounded(t *testing.T) {
	t.Parallel()
	node := func(i int) Node { return Node{Mode: "100644", ID: oid.SHA1.Hash("blob", []byte(fmt.Sprint(i)))} }
	w := &ways{from: map[Node][]int{}, to: map[Node][]int{}, of: map[signedEdge]int{}}
	const same = 6
	for i := range maxBehind {
		for range same {
			w.add(Offer{From: node(i), To: node(i + 1), Seal: twoSides("p", node(i), node((i+1)%maxBehind+1), node(i+1))})
		}
	}
	looked := 0
	f := &edgeSearch{
		o: &Offers{byPath: map[string]*ways{"p": w}, merges: map[*Candidate][]map[string]Node{}, moved: map[*Candidate]map[string][]pathNode{}}, behind: maxEdgesBehind,
		source: func(Offer) (int, bool) { return 0, true }, now: func(int, string) bool { return true },
		q: &Question{
			Take: func(int) bool { return true },
			Joined: func(_ string, x Offer, _ Node) (Taken, bool) {
				for i := range maxBehind {
					if x.From == node(i) {
						return Taken{Is: true, From: []Node{node((i + 1) % maxBehind)}}, true
					}
				}
				return Taken{}, true
			},
			Sided: func(string, Offer) bool { looked++; return true },
			Anew:  func(string, Offer) bool { looked++; return true },
		},
	}
	f.edges(&DerivedChange{Change: pluginapi.Change{Path: []byte("p")}, From: node(0), To: node(1)}, func(string, Offer) bool { return true }, 0)
	if !f.over || looked > maxEdgesBehind*2 {
		t.Errorf("looked at %d edges behind merges; told: %v", looked, f.over)
	}
}

// twoSides is a seal of a merge which has what neither side has.
func twoSides(path string, first, second, now Node) *Candidate {
	change := func(from Node) []provenance.Change {
		return []provenance.Change{{Path: path, Status: "M", OldMode: from.Mode, Old: from.ID.String(), NewMode: now.Mode, New: now.ID.String()}}
	}
	return &Candidate{Seal: &provenance.Seal{Predicate: provenance.Predicate{Changes: [][]provenance.Change{change(first), change(second)}}}}
}

// TestUncopiedBounded: where no steps are left to tell who copied whom, nothing is anybody's, and little was looked at since.
func TestUncopiedBounded(t *testing.T) {
	t.Parallel()
	node := func(i int) Node { return Node{Mode: "100644", ID: oid.SHA1.Hash("blob", []byte(fmt.Sprint(i)))} }
	for _, steps := range []int{1 << 30, 100, 0} {
		c := DerivedChange{Change: pluginapi.Change{Path: []byte("p")}, From: node(0), To: node(1)}
		d := &Derivation{}
		const n = 2000
		for i := range n {
			d.Sources = append(d.Sources, Source{All: []PathEdge{{Path: []byte("p"), From: node(0), To: node(1)}}})
			c.Edges = append(c.Edges, Edge{From: node(0), To: node(1), Source: i})
		}
		d.Changes = []DerivedChange{c}
		asked, left := 0, steps
		d.uncopied(func(n int) bool { left -= n; return left > 0 }, func(int) bool { return true }, func(_ string, later, first int) bool {
			asked++
			return first == 0 && later != 0
		})
		kept, over := len(d.Changes[0].Edges), len(d.Over)
		switch {
		case steps == 1<<30 && (kept != 1 || over != 0):
			t.Errorf("%d edges are kept, %d paths are not known", kept, over)
		case steps < 1<<30 && (kept != 0 || over != 1 || asked > n+steps):
			t.Errorf("with %d steps %d edges are kept, %d paths are not known, %d questions", steps, kept, over, asked)
		}
	}
}

// Of several contents from which a side may come the first counts from which who may now leads there: a seal of who may no more keeps nobody from being asked.
func TestTakenOfWhoMay(t *testing.T) {
	t.Parallel()
	node := func(i int) Node { return Node{Mode: "100644", ID: oid.SHA1.Hash("blob", []byte(fmt.Sprint(i)))} }
	change := func(from, to Node) *Candidate {
		return &Candidate{Seal: &provenance.Seal{Predicate: provenance.Predicate{Changes: [][]provenance.Change{{{Path: "p", Status: "M", OldMode: from.Mode, Old: from.ID.String(), NewMode: to.Mode, New: to.ID.String()}}}}}}
	}
	merge, left, may := twoSides("p", node(0), node(1), node(2)), change(node(3), node(1)), change(node(4), node(1))
	w := &ways{from: map[Node][]int{}, to: map[Node][]int{}, of: map[signedEdge]int{}}
	w.add(Offer{From: node(0), To: node(2), Seal: merge})
	w.add(Offer{From: node(3), To: node(1), Seal: left})
	w.add(Offer{From: node(4), To: node(1), Seal: may})
	f := &edgeSearch{
		o: &Offers{byPath: map[string]*ways{"p": w}, merges: map[*Candidate][]map[string]Node{}, moved: map[*Candidate]map[string][]pathNode{}}, behind: maxEdgesBehind,
		source: func(x Offer) (int, bool) { return slices.Index([]*Candidate{merge, left, may}, x.Seal), true }, now: func(source int, _ string) bool { return source != 1 },
		q: &Question{
			Take:   func(int) bool { return true },
			Usable: func(string, Offer) bool { return true },
			Joined: func(string, Offer, Node) (Taken, bool) {
				return Taken{Is: true, From: []Node{node(3), node(4)}, Chosen: true}, true
			},
		},
	}
	got := f.edges(&DerivedChange{Change: pluginapi.Change{Path: []byte("p")}, From: node(0), To: node(2)}, f.q.Usable, 0)
	if len(got) != 1 || got[0].Behind == nil || got[0].Behind.From != node(4) || !got[0].Chosen {
		t.Errorf("%+v", got)
	}
}
