package provenance

import (
	"maps"
	"slices"

	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
)

// brought tells which lines of a derived commit's files each of several brought, as far as content that they led through is here; diff is what it changes.
func (o *originals) brought(d *verdict.Derivation, diff []prov.Raw) {
	end := make(map[string]verdict.Node, len(diff))
	for i := range diff {
		end[diff[i].Path] = verdict.Node{Mode: diff[i].NewMode, ID: diff[i].New}
	}
	before := make([]map[string]*verdict.OriginPath, len(d.Sources)) // of each source, by path
	for i := range d.Sources {
		if o := d.Sources[i].Origins; o != nil {
			before[i] = make(map[string]*verdict.OriginPath, len(o.Paths))
			for j := range o.Paths {
				before[i][string(o.Paths[j].Path)] = &o.Paths[j]
			}
		}
	}
	for i := range d.Changes {
		c := &d.Changes[i]
		way, many := c.Passages()
		first := ""
		for _, p := range way {
			for _, s := range p.Sources {
				x := &d.Sources[s]
				many = many || first != "" && x.KeyID != first || before[s][p.Path] != nil
				first = x.KeyID
			}
		}
		if many {
			c.Brought = o.carried(way, end[string(c.Change.Path)], func(p *verdict.Passage, line int) verdict.Brought {
				if len(p.Sources) != 1 || len(p.Aside) > 0 {
					return verdict.Brought{Sources: p.Sources}
				}
				return p.Brought(before[p.Sources[0]][p.Path], line)
			})
		}
	}
}

// several reports whether sources have more than one signer.
func several(all []verdict.OriginSource, sources []int) bool {
	return slices.ContainsFunc(sources, func(s int) bool { return all[s].KeyID != all[sources[0]].KeyID })
}

// linesOf tells which lines of a file, that came of the shortest way over edges, each of several sources brought.
func (o *originals) linesOf(from, to, end verdict.Node, edges []share, at map[verdict.Node][]int) []verdict.Brought {
	way, by := o.wayTo(from, to, edges, at)
	if way == nil {
		return nil
	}
	return o.carried(way, end, func(p *verdict.Passage, line int) verdict.Brought {
		e := by[p.Sources[0]]
		if e.was == nil {
			return verdict.Brought{Sources: e.sources}
		}
		switch was := p.Brought(e.was, line); {
		case was.Own:
			return verdict.Brought{Sources: []int{e.signer}}
		case len(was.Made) > 0:
			return verdict.Brought{Sources: was.Made}
		}
		return verdict.Brought{Sources: e.sources}
	})
}

// wayTo returns the shortest way over edges, and those, as the sources of passages name them.
func (o *originals) wayTo(from, to verdict.Node, edges []share, at map[verdict.Node][]int) (way []verdict.Passage, by []*share) {
	came := map[verdict.Node]int{from: -1} // node → the edge that led there
	for todo := []verdict.Node{from}; len(todo) > 0; todo = todo[1:] {
		n := todo[0]
		if n == (verdict.Node{}) && n != from {
			continue
		}
		if !o.ports.take(len(at[n]) + 1) {
			return nil, nil
		}
		for _, i := range at[n] {
			if _, seen := came[edges[i].to]; !seen {
				came[edges[i].to] = i
				todo = append(todo, edges[i].to)
			}
		}
	}
	if _, led := came[to]; !led {
		return nil, nil
	}
	for i := came[to]; i >= 0; i = came[edges[i].from] {
		e := &edges[i]
		way, by = append(way, verdict.Passage{From: e.from, To: e.to, Sources: []int{len(by)}}), append(by, e)
	}
	slices.Reverse(way)
	return way, by
}

// textsOf tells who brought which of the lines that came, where a way can't be applied, as after a conflict: who brought such a line on it.
func (o *originals) textsOf(start, end verdict.Node, came *prov.Delta, edges []share, at map[verdict.Node][]int) []verdict.Brought {
	way, by := o.wayTo(start, end, edges, at)
	brought := map[int][]int{} // line → by whom
	for i := range way {
		step := o.ports.delta(way[i].From.ID, way[i].To.ID)
		if step == nil || !o.ports.take(step.Work()+came.Work()) {
			return nil
		}
		own, _, _ := came.Brought(step)
		for _, l := range came.Came() {
			for line := l.Start; line <= l.End; line++ {
				if !slices.ContainsFunc(own, func(l prov.Lines) bool { return l.Start <= line && line <= l.End }) {
					brought[line] = with(brought[line], by[way[i].Sources[0]].sources)
				}
			}
		}
	}
	var out []verdict.Brought
	for _, line := range slices.Sorted(maps.Keys(brought)) {
		out = append(out, verdict.Brought{Sources: brought[line], Lines: []prov.Lines{{Start: line, End: line}}})
	}
	return out
}

// carried follows lines from content to content, and on to what the commit has, where that way was applied to something else, and tells who brought those that it has; none where
// one of them is not here, or no file of lines. That it is not here is a reason to look again in a partial clone alone. of tells who brought a line that came in a passage.
func (o *originals) carried(way []verdict.Passage, end verdict.Node, of func(p *verdict.Passage, line int) verdict.Brought) []verdict.Brought {
	if missing := o.ports.missing; !o.s.Repo().Partial() { // elsewhere nothing brings it
		defer func() { o.ports.missing = missing }()
	}
	c := carrier{ports: o.ports, of: of}
	owners := c.along(way)
	if last := way[len(way)-1].To; last.ID != end.ID && owners != nil {
		d := c.delta(last, end)
		if d == nil {
			return nil
		}
		owners = d.Carry(owners, func(int) int { return -1 })
	}
	for line, i := range owners {
		if i < 0 {
			continue // it was there before, or it is not known
		}
		if lines := c.out[i].Lines; len(lines) > 0 && lines[len(lines)-1].End == line {
			lines[len(lines)-1].End++
		} else {
			c.out[i].Lines = append(lines, prov.Lines{Start: line + 1, End: line + 1})
		}
	}
	return slices.DeleteFunc(c.out, func(b verdict.Brought) bool { return len(b.Lines) == 0 })
}

// carrier follows lines, and gives those who brought them numbers.
type carrier struct {
	ports *ports
	of    func(p *verdict.Passage, line int) verdict.Brought
	out   []verdict.Brought
}

func (c *carrier) owner(b verdict.Brought) int {
	at := slices.IndexFunc(c.out, func(x verdict.Brought) bool {
		return slices.Equal(x.Sources, b.Sources) && slices.Equal(x.Made, b.Made) && x.Own == b.Own
	})
	if at < 0 {
		at = len(c.out)
		c.out = append(c.out, b)
	}
	return at
}

// along returns whose the lines are that stand at the end of a way, by number, -1 for what stood there before; nil where that can't be told.
func (c *carrier) along(way []verdict.Passage) (owners []int) {
	for i := range way {
		p := &way[i]
		d := c.delta(p.From, p.To)
		if d == nil {
			return nil
		}
		if i == 0 {
			owners = slices.Repeat([]int{-1}, d.Before())
		}
		var aside []int // whose the lines are that the other side has, too
		if n := len(p.Aside); n > 0 {
			if joined := c.delta(p.Aside[n-1].To, p.To); joined != nil {
				aside = joined.Carry(c.along(p.Aside), func(int) int { return -1 })
			}
		}
		owners = d.Carry(owners, func(line int) int {
			if line <= len(aside) && aside[line-1] >= 0 {
				return aside[line-1]
			}
			return c.owner(c.of(p, line))
		})
	}
	return owners
}

// delta compares what stands at a path with what stands there next; nil where one of them is no file of lines, or not here.
func (c *carrier) delta(from, to verdict.Node) *prov.Delta {
	if !text(from) || !text(to) {
		return nil
	}
	d := c.ports.delta(from.ID, to.ID)
	if d == nil || !c.ports.take(d.Work()) {
		return nil
	}
	return d
}

func text(n verdict.Node) bool { return n.ID.IsZero() || verdict.IsText(n.Mode) }
