package verdict

import "testing"

// TestUncopied: a copy goes where what it copies leads there, and nothing goes where each is said to be a copy of another.
func TestUncopied(t *testing.T) {
	t.Parallel()
	all := func(int) bool { return true }
	from, mid, to := Node{Mode: "100644"}, Node{Mode: "100755"}, Node{Mode: "120000"}
	for name, c := range map[string]struct {
		copies func(path string, later, first int) bool
		want   int
	}{
		"a copy in one step":  {func(_ string, later, first int) bool { return later == 2 && first < 2 }, 2},
		"nothing is a copy":   {func(string, int, int) bool { return false }, 3},
		"all are, in circles": {func(string, int, int) bool { return true }, 3},
		"of one step alone":   {func(_ string, later, first int) bool { return later == 2 && first == 0 }, 3},
	} {
		d := DerivedChange{From: from, To: to, Edges: []Edge{{From: from, To: mid, Source: 0}, {From: mid, To: to, Source: 1}, {From: from, To: to, Source: 2}}}
		if d.uncopied(all, c.copies); len(d.Edges) != c.want || d.way(anySource) == nil {
			t.Errorf("%s: %d edges are left, want %d", name, len(d.Edges), c.want)
		}
	}
	both := DerivedChange{From: from, To: to, Edges: []Edge{{From: from, To: to, Source: 0}, {From: from, To: to, Source: 1}}}
	if both.uncopied(all, func(string, int, int) bool { return true }); len(both.Edges) != 2 {
		t.Errorf("each a copy of the other: %d edges are left", len(both.Edges))
	}
}
