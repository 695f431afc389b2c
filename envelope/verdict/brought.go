package verdict

import (
	"slices"
	"sync"

	"github.com/open-covenant/covenant-git/envelope/provenance"
)

// Brought are lines of a file, as a commit has it, and the sources that brought them together.
type Brought struct {
	Sources []int              `json:"sources"`
	Made    []int              `json:"made,omitempty"` // of the origins of the source, those that made them before its signer rewrote that
	Own     bool               `json:"own,omitempty"`  // the signer of the source did, and nobody before
	Lines   []provenance.Lines `json:"lines"`
}

// brings are the lines that a source brought; told is false where that is not known.
func brings(list []Brought, source int) (lines []provenance.Lines, told bool) {
	for i := range list {
		if slices.Contains(list[i].Sources, source) {
			lines = append(lines, list[i].Lines...)
		}
	}
	return lines, len(list) > 0
}

// Part is some lines of a path of a derived commit that one cover brought.
type Part struct {
	Lines []provenance.Lines
	By    []Principal // who made them before the cover's principal rewrote that; none where nobody did, or it is not known
	Own   bool        // nobody did
}

// parts are the lines that a source brought; nil where that is not known.
func (s *Source) parts(w *World, list []Brought, source int) []Part {
	if len(list) == 0 {
		return nil
	}
	out := []Part{}
	for i := range list {
		if b := &list[i]; slices.Contains(b.Sources, source) {
			p := Part{Lines: b.Lines, Own: b.Own}
			if len(b.Made) > 0 {
				p.By, _ = s.Origins.known(w, b.Made)
			}
			out = append(out, p)
		}
	}
	return out
}

// within reports whether a line is among some.
func within(list []provenance.Lines, line int) bool {
	return slices.ContainsFunc(list, func(l provenance.Lines) bool { return l.Start <= line && line <= l.End })
}

// A Passage is what stood at a path next on the way of a change.
type Passage struct {
	From, To Node
	Sources  []int  // that brought it together
	Path     string // where they did

	Aside []Passage // of a merge that has what joining its sides gives, what the other side had changed: that is what came
}

// Brought tells who brought a line in a passage; was is whose the lines were before its signer rewrote that, nil where they were nobody else's, or there were several.
func (p *Passage) Brought(was *OriginPath, line int) Brought {
	b := Brought{Sources: p.Sources}
	if was == nil {
		return b
	}
	if b.Own = within(was.Own, line); b.Own {
		return b
	}
	for i := range was.Brought {
		if within(was.Brought[i].Lines, line) {
			b.Made = was.Brought[i].Sources
			return b
		}
	}
	if !was.Part || len(was.Own) > 0 {
		b.Made = was.Sources
	}
	return b
}

// Passages returns what stood at the path, one after another, on the way of the change that is found first, whoever may bring it; none where there is no way. replaced
// is whether there was more, in whose place something was moved.
func (c *DerivedChange) Passages() (out []Passage, replaced bool) {
	return passages(c, c.way(anySource))
}

func passages(c *DerivedChange, way []step) (out []Passage, replaced bool) {
	for _, x := range way {
		if x.of != c {
			break // what is behind follows
		}
		p := Passage{From: x.From, To: x.To, Sources: []int{x.Source}, Path: string(c.Change.Path)}
		if x.Behind == nil {
			out = append(out, p)
			continue
		}
		there, more := passages(x.Behind, x.Behind.way(anySource))
		switch {
		case len(there) == 0:
			return nil, false
		case x.Moved:
			out, replaced = there, replaced || more || len(out) > 0
			continue
		}
		if p.Aside = there; !x.Chosen {
			p.Sources = nil
		}
		for i := range there {
			for _, s := range there[i].Sources {
				if !slices.Contains(p.Sources, s) {
					p.Sources = append(p.Sources, s)
				}
			}
		}
		out = append(out, p)
	}
	return out, replaced
}

// found reports whether a way is the one that is found first, whoever may.
func (c *DerivedChange) found(way []step) bool {
	return slices.EqualFunc(way, c.way(anySource), func(a, b step) bool {
		return a.Source == b.Source && a.From == b.From && a.To == b.To && string(a.of.Change.Path) == string(b.of.Change.Path)
	})
}

// ToldApart reports whether it is known who of several made which lines of a path.
func (r *Result) ToldApart(path string) bool {
	if r.Verdict == Derived {
		return slices.ContainsFunc(r.Covers, func(c Cover) bool { return c.Parts[path] != nil })
	}
	m := r.MadeAt(path)
	return r.answered() && m != nil && len(m.Own)+len(m.Lines) > 0
}

// MakersOf returns who made a line of a path of a commit, counted from 1, as [Result.Makers] does; of a line of which that is not known it returns who made any of the path.
func (r *Result) MakersOf(path string, line int) (made []Principal, rewrote *Principal) {
	return r.MakersIn(path)(line)
}

// MakersIn is [Result.MakersOf] for who asks of many lines.
func (r *Result) MakersIn(path string) func(line int) (made []Principal, rewrote *Principal) {
	all := sync.OnceValue(func() *Share {
		by, rewrote := r.Makers(path)
		return &Share{By: by, Rewrote: rewrote}
	})
	of := func(*Share, int) {}
	switch {
	case r.Verdict == Derived:
		var covers []*Cover
		told := false
		for i := range r.Covers {
			if c := &r.Covers[i]; slices.Contains(c.Paths, path) {
				covers = append(covers, c)
				told = told || c.Parts[path] != nil
			}
		}
		if !told {
			return func(int) ([]Principal, *Principal) { return all().By, all().Rewrote }
		}
		of = func(s *Share, line int) {
			for _, c := range covers {
				c.add(s, path, line)
			}
		}
	case r.answered():
		m := r.MadeAt(path)
		of = func(s *Share, line int) {
			if m != nil && m.Brought(line) {
				s.add(r.Principal, &Made{By: m.of(line)}, r.Rewritten)
			} else {
				s.add(r.Principal, nil, r.Rewritten)
			}
		}
	}
	return func(line int) ([]Principal, *Principal) {
		var s Share
		if of(&s, line); len(s.By) == 0 {
			return all().By, all().Rewrote
		}
		return s.alone()
	}
}

// add takes in who made a line, if the cover brought it.
func (c *Cover) add(s *Share, path string, line int) {
	for i := range c.Parts[path] {
		switch p := &c.Parts[path][i]; {
		case !within(p.Lines, line):
		case p.Own:
			s.add(&c.Principal, nil, false)
		case len(p.By) > 0:
			s.add(&c.Principal, &Made{By: p.By}, c.Rewritten)
		default:
			s.add(&c.Principal, madeAt(c.Made, path), c.Rewritten)
		}
	}
}

// of returns who made one line of those that others than who sealed the commit brought.
func (m *Made) of(line int) (out []Principal) {
	for i := range m.Lines {
		if within(m.Lines[i], line) {
			out = append(out, m.By[i])
		}
	}
	if len(out) == 0 {
		return m.By
	}
	return out
}

// alone is who made a line, and who rewrote it, if that is somebody else.
func (s *Share) alone() ([]Principal, *Principal) {
	if s.Rewrote != nil && len(s.By) == 1 && s.By[0].Name == s.Rewrote.Name {
		return s.By, nil
	}
	return s.By, s.Rewrote
}
