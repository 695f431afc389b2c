package verdict

import (
	"cmp"
	"slices"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/git/oid"
)

// Origins are whose the changes of a commit were before somebody rewrote it, who sealed it: an amend, a rebase, a pick, or a reseal of what
// a server made. They are facts of seals, and nobody's authority: the verdict is of the commit's own seal.
type Origins struct {
	By      string         `json:"by"` // key id of who rewrote it and sealed it
	Sources []OriginSource `json:"sources"`
	Paths   []OriginPath   `json:"paths"`
	Reseal  bool           `json:"reseal,omitempty"` // nothing was rewritten
}

// OriginSource is a seal of a commit that the commit came to be out of.
type OriginSource struct {
	Commit  oid.ID          `json:"commit"`
	ID      envelope.Digest `json:"id"`
	KeyID   string          `json:"key"`
	Claimed Principal       `json:"claimed"`
}

// OriginPath is a path whose change these sources sealed, all of it or in part.
type OriginPath struct {
	Path    []byte             `json:"path"`
	Sources []int              `json:"sources"`
	Part    bool               `json:"part,omitempty"`    // who sealed the commit changed something there, too
	Own     []provenance.Lines `json:"own,omitempty"`     // the lines that came by that, as the commit has them
	Brought []Brought          `json:"brought,omitempty"` // the other lines, where several made them and that is known
}

// Made is who made what a commit changes at a path, where others than who sealed it did.
type Made struct {
	Path string
	By   []Principal        // each once, by name
	Part bool               // who sealed the commit changed something there, too
	Own  []provenance.Lines // the lines that came by that, as the commit has them

	Lines [][]provenance.Lines // of By, in order, the lines that each brought; none where that is not known
}

// MadeAt returns who made a path where others than who sealed the commit did, else nil.
func (r *Result) MadeAt(path string) *Made { return madeAt(r.Made, path) }

func madeAt(list []Made, path string) *Made {
	if i := slices.IndexFunc(list, func(m Made) bool { return m.Path == path }); i >= 0 {
		return &list[i]
	}
	return nil
}

// A Share is who made a path of a commit.
type Share struct {
	Path    string
	By      []Principal // each once, by name
	Part    bool        // who sealed what others had made changed something there, too
	Rewrote *Principal  // who rewrote what others had made, the last one; nil where nobody did
}

// add takes in what a seal says: that its signer made the path, or others whose changes it has.
func (s *Share) add(signer *Principal, m *Made, rewritten bool) {
	if m != nil {
		for _, p := range m.By {
			s.By = withName(s.By, p)
		}
		s.Part = s.Part || m.Part
		if rewritten {
			s.Rewrote = signer
		}
	}
	if m == nil || m.Part {
		s.By = withName(s.By, *signer)
	}
}

func withName(list []Principal, who Principal) []Principal {
	if slices.ContainsFunc(list, func(p Principal) bool { return p.Name == who.Name }) {
		return list
	}
	return append(list, who)
}

// Makers returns who made a path of a commit, each once, by name: who sealed it or, of a derived one, what it was made of, or whose that was
// before it was rewritten, with who rewrote it where that one changed something there, too. rewrote is who rewrote it last, nil where nobody
// did. A commit that does not verify is nobody's.
func (r *Result) Makers(path string) (made []Principal, rewrote *Principal) {
	var s Share
	switch {
	case r.Verdict == Derived:
		for i := range r.Covers {
			if c := &r.Covers[i]; slices.Contains(c.Paths, path) {
				s.add(&c.Principal, madeAt(c.Made, path), c.Rewritten)
			}
		}
	case r.answered():
		s.add(r.Principal, r.MadeAt(path), r.Rewritten)
	}
	return s.By, s.Rewrote
}

// answered reports whether somebody answers for the commit itself.
func (r *Result) answered() bool {
	return r.Principal != nil && r.Verdict != Derived && r.Verdict != Before && r.Verdict.OK()
}

// Shares tells what [Result.Makers] does, of a derived commit for all paths that somebody made, of another for those that others than who sealed
// it made. They are in the order of their paths.
func (r *Result) Shares() []Share {
	var out []Share
	at := map[string]int{}
	add := func(path string, signer *Principal, m *Made, rewritten bool) {
		i, known := at[path]
		if !known {
			i = len(out)
			at[path], out = i, append(out, Share{Path: path})
		}
		out[i].add(signer, m, rewritten)
	}
	switch {
	case r.Verdict == Derived:
		for i := range r.Covers {
			c := &r.Covers[i]
			made := byPath(c.Made)
			for _, path := range c.Paths {
				add(path, &c.Principal, made[path], c.Rewritten)
			}
		}
	case r.answered():
		for i := range r.Made {
			add(r.Made[i].Path, r.Principal, &r.Made[i], r.Rewritten)
		}
	}
	slices.SortFunc(out, func(a, b Share) int { return cmp.Compare(a.Path, b.Path) })
	return out
}

func byPath(list []Made) map[string]*Made {
	out := make(map[string]*Made, len(list))
	for i := range list {
		out[list[i].Path] = &list[i]
	}
	return out
}

// Everybody returns who made anything of a commit, whoever made most paths first, and who rewrote what others had made, each once, by name.
func (r *Result) Everybody() (made, rewrote []Principal) {
	paths := map[string]int{}
	for _, s := range r.Shares() {
		for _, p := range s.By {
			made = withName(made, p)
			paths[p.Name]++
		}
		if s.Rewrote != nil {
			rewrote = withName(rewrote, *s.Rewrote)
		}
	}
	slices.SortStableFunc(made, func(a, b Principal) int { return cmp.Compare(paths[b.Name], paths[a.Name]) })
	if r.answered() && (len(r.Made) == 0 || r.Besides) {
		made = withName(made, *r.Principal)
	}
	return made, rewrote
}

// Everybody returns who made anything of what a derived commit took, each once, by name. It is nobody where the cover is joined.
func (c *Cover) Everybody() []Principal {
	var s Share
	made := byPath(c.Made)
	for _, path := range c.Paths {
		s.add(&c.Principal, made[path], c.Rewritten)
	}
	return s.By
}

// Brought reports whether a line of the path, counted from 1, came by others than who sealed the commit.
func (m *Made) Brought(line int) bool {
	return !slices.ContainsFunc(m.Own, func(l provenance.Lines) bool { return l.Start <= line && line <= l.End })
}

// ExamineAlone looks at a seal for what it is without its commit, which may be gone: as if that were what the seal says. What can't be held
// to Git is what its signer answers for.
func ExamineAlone(w *World, cand *Candidate) ExamSeal {
	s := cand.Seal
	diffs := make([][]provenance.Raw, len(s.Predicate.Changes))
	for i := range diffs {
		diffs[i] = raws(s.Predicate.Changes[i])
	}
	e := examine(w, &Commit{ID: s.Commit(), Tree: s.Tree(), Parents: s.Predicate.Parents, Diffs: diffs}, cand)
	e.candidate = nil
	return e
}

// known returns who sealed some of the sources, each once, and which of them it is; none where somebody is not known by the name it was sealed with.
func (o *Origins) known(w *World, sources []int) (by []Principal, at []int) {
	for _, s := range sources {
		if s < 0 || s >= len(o.Sources) {
			return nil, nil
		}
		who, ok := w.Principal(o.Sources[s].KeyID)
		if !ok || who != o.Sources[s].Claimed {
			return nil, nil
		}
		n := slices.IndexFunc(by, func(p Principal) bool { return p.Name == who.Name })
		if n < 0 {
			n = len(by)
			by = append(by, who)
		}
		at = append(at, n)
	}
	return by, at
}

// made tells whose changes a commit has. A source counts whose key is known, by the name it was sealed with.
func (o *Origins) made(w *World) []Made {
	if o == nil {
		return nil
	}
	var out []Made
	for i := range o.Paths {
		p := &o.Paths[i]
		m := Made{Path: string(p.Path), Part: p.Part, Own: p.Own}
		var at []int
		if m.By, at = o.known(w, p.Sources); len(m.By) == 0 {
			continue
		}
		for j, s := range p.Sources {
			if lines, told := brings(p.Brought, s); told {
				if m.Lines == nil {
					m.Lines = make([][]provenance.Lines, len(m.By))
				}
				m.Lines[at[j]] = append(m.Lines[at[j]], lines...)
			}
		}
		out = append(out, m)
	}
	return out
}
