package provenance

import (
	"slices"

	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
)

// brought tells which lines of a derived commit's files each of several brought, as far as content that they led through is here.
func (o *originals) brought(d *verdict.Derivation) {
	for i := range d.Changes {
		c := &d.Changes[i]
		way := c.Passages()
		first, many := "", false
		for _, p := range way {
			for _, s := range p.Sources {
				x := &d.Sources[s]
				many = many || first != "" && x.KeyID != first || x.Origins.At(p.Path) != nil
				first = x.KeyID
			}
		}
		if many {
			c.Brought = o.carried(way, func(s int, path string) *verdict.OriginPath { return d.Sources[s].Origins.At(path) })
		}
	}
}

// linesOf tells the same of the shortest way over edges, whose sources are of some.
func (o *originals) linesOf(from, to verdict.Node, edges []share, at map[verdict.Node][]int, all []verdict.OriginSource) []verdict.Brought {
	came := map[verdict.Node]int{from: -1} // node → the edge that led there
	for todo := []verdict.Node{from}; len(todo) > 0; todo = todo[1:] {
		n := todo[0]
		if n == (verdict.Node{}) && n != from {
			continue
		}
		if !o.ports.take(len(at[n]) + 1) {
			return nil
		}
		for _, i := range at[n] {
			if _, seen := came[edges[i].to]; !seen {
				came[edges[i].to] = i
				todo = append(todo, edges[i].to)
			}
		}
	}
	if _, led := came[to]; !led {
		return nil
	}
	var way []verdict.Passage
	many := false
	for i := came[to]; i >= 0; i = came[edges[i].from] {
		e := &edges[i]
		many = many || slices.ContainsFunc(e.sources, func(s int) bool { return all[s].KeyID != all[edges[came[to]].sources[0]].KeyID })
		way = append(way, verdict.Passage{From: e.from, To: e.to, Sources: e.sources})
	}
	if !many {
		return nil
	}
	slices.Reverse(way)
	return o.carried(way, func(int, string) *verdict.OriginPath { return nil })
}

// carried follows lines from content to content, and tells who brought those that the last one has; none where one of them is not here, or no file of lines. That it is not here
// is no reason to look again. before tells whose a source's were before its signer rewrote that.
func (o *originals) carried(way []verdict.Passage, before func(source int, path string) *verdict.OriginPath) []verdict.Brought {
	missing := o.ports.missing
	defer func() { o.ports.missing = missing }()
	c := carrier{ports: o.ports, before: before}
	for line, i := range c.along(way) {
		if i < 0 {
			continue // it was there before
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
	ports  *ports
	before func(source int, path string) *verdict.OriginPath
	out    []verdict.Brought
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
		var was *verdict.OriginPath
		if len(p.Sources) == 1 && len(p.Aside) == 0 {
			was = c.before(p.Sources[0], p.Path)
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
			return c.owner(p.Brought(was, line))
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
