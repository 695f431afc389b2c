package verdict

import (
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
	Part    bool               `json:"part,omitempty"` // who sealed the commit changed something there, too
	Own     []provenance.Lines `json:"own,omitempty"`  // the lines that came by that, as the commit has them
}

// Made is who made what a commit changes at a path, where others than who sealed it did.
type Made struct {
	Path string
	By   []Principal        // each once, by name
	Part bool               // who sealed the commit changed something there, too
	Own  []provenance.Lines // the lines that came by that, as the commit has them
}

// MadeAt returns who made a path where others than who sealed the commit did, else nil.
func (r *Result) MadeAt(path string) *Made { return madeAt(r.Made, path) }

func madeAt(list []Made, path string) *Made {
	if i := slices.IndexFunc(list, func(m Made) bool { return m.Path == path }); i >= 0 {
		return &list[i]
	}
	return nil
}

// Makers returns who made a path of a derived commit, each once, by name: who sealed what it was made of, or whose that was before it was
// rewritten, with who rewrote it where that one changed something there, too. rewrote is who rewrote it last, nil where nobody did.
func (r *Result) Makers(path string) (made []Principal, rewrote *Principal) {
	add := func(who Principal) {
		if !slices.ContainsFunc(made, func(p Principal) bool { return p.Name == who.Name }) {
			made = append(made, who)
		}
	}
	for i := range r.Covers {
		c := &r.Covers[i]
		if !slices.Contains(c.Paths, path) {
			continue
		}
		m := madeAt(c.Made, path)
		if m == nil || m.Part {
			add(c.Principal)
		}
		if m != nil {
			for _, p := range m.By {
				add(p)
			}
			if c.Rewritten {
				rewrote = &c.Principal
			}
		}
	}
	return made, rewrote
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

// made tells whose changes a commit has that a seal counts for. A source counts whose key is known, by the name it was sealed with.
func (o *Origins) made(w *World, keyID string) []Made {
	if o == nil || o.By != keyID {
		return nil
	}
	var out []Made
	for i := range o.Paths {
		p := &o.Paths[i]
		m := Made{Path: string(p.Path), Part: p.Part, Own: p.Own}
		known := true
		for _, s := range p.Sources {
			if s < 0 || s >= len(o.Sources) {
				return nil
			}
			who, ok := w.Principal(o.Sources[s].KeyID)
			if known = known && ok && who == o.Sources[s].Claimed; !known {
				break
			}
			if !slices.ContainsFunc(m.By, func(p Principal) bool { return p.Name == who.Name }) {
				m.By = append(m.By, who)
			}
		}
		if known && len(m.By) > 0 {
			out = append(out, m)
		}
	}
	return out
}
