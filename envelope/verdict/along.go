package verdict

import "slices"

// along is what came with moves: whoever moves files takes away what stood beside them, and puts back what was moved before.
type along struct {
	of   []map[int]bool            // by source, who moved files of it
	gone []map[string]bool         // by source, the paths that it took away
	back map[int]map[pathNode]bool // by source that moves files, what it moved away that was moved back
}

// along returns what came with moves.
func (d *Derivation) along() *along {
	a := &along{of: make([]map[int]bool, len(d.Sources)), gone: make([]map[string]bool, len(d.Sources)), back: map[int]map[pathNode]bool{}}
	var follow func(c *DerivedChange, by []int, to []string)
	follow = func(c *DerivedChange, by []int, to []string) {
		for _, e := range c.Edges {
			for _, j := range by {
				if a.of[e.Source] == nil {
					a.of[e.Source] = map[int]bool{}
				}
				a.of[e.Source][j] = true
			}
			switch {
			case e.Behind == nil:
			case !e.Moved:
				follow(e.Behind, by, to)
			default:
				from := pathNode{string(e.Behind.Change.Path), e.Behind.To}
				if a.back[e.Source] == nil {
					a.back[e.Source] = map[pathNode]bool{}
				}
				if slices.Contains(to, from.path) {
					a.back[e.Source][from] = true
				}
				follow(e.Behind, append(by[:len(by):len(by)], e.Source), append(to[:len(to):len(to)], string(c.Change.Path)))
			}
		}
	}
	for i := range d.Changes {
		for c := &d.Changes[i]; c != nil; c = c.Or {
			follow(c, nil, nil)
		}
	}
	return a
}

// took reports whether a change that a source lists, and the commit does not have of it, went with a move: the commit has nothing at its path, and who moved other files of that
// source, and may bring that path, took away what stood there; or the source moved files, and what it moved away there was moved back, or the commit has what it put there.
func (a *along) took(d *Derivation, i int, e *PathEdge, has func(path string, n Node) bool, may func(source int, path string) bool) bool {
	path := string(e.Path)
	if a.back[i][pathNode{path, e.From}] && e.To == (Node{}) || a.back[i] != nil && e.To != (Node{}) && has(path, e.To) {
		return true
	}
	if e.To == (Node{}) || !has(path, Node{}) {
		return false
	}
	for j := range a.of[i] {
		if j == i {
			continue
		}
		if a.gone[j] == nil {
			a.gone[j] = map[string]bool{}
			for _, x := range d.Sources[j].All {
				if x.To == (Node{}) {
					a.gone[j][string(x.Path)] = true
				}
			}
		}
		if a.gone[j][path] && may(j, path) {
			return true
		}
	}
	return false
}
