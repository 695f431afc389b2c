package provenancecmd

import (
	"unicode/utf8"

	"github.com/open-covenant/covenant-git/cmd/internal/report"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/envelope"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// maxSubject is how many characters of a subject are shown: it is as long as somebody likes.
const maxSubject = 1000

// clip returns at most n characters, the last one an ellipsis where there were more.
func clip(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// A looker finds what people want to see beside a verdict.
type looker struct {
	session *git.Session
	report  *provenance.Report
	talk    *say.Talker
	trees   map[oid.ID]oid.ID
	reviews func(*git.Commit, *prov.Predicate) []report.Review // nil: they were not looked for yet
	told    bool                                               // that evidence could not be read
}

func (l *looker) commit(r *verdict.Result, c *git.Commit, f report.Format) report.Commit {
	out := report.Commit{Result: r, Subject: clip(c.Subject, maxSubject)}
	if r.Verdict == verdict.Before {
		return out
	}
	if f.Paths {
		out.Paths = l.paths(c)
	}
	if f.Seals {
		l.rests(r, &out)
		l.around(r, c, &out)
	}
	return out
}

// rests finds on what the seal of a commit relies, or those of what it is made of.
func (l *looker) rests(r *verdict.Result, out *report.Commit) {
	if r.Seal != nil && r.Seal.Seal != nil {
		out.Grants = l.grants(r.Seal.Seal.Predicate.Grants)
	}
	for i := range r.Covers {
		var grants []report.Grant
		for _, s := range l.report.Facts.SealsOf(r.Covers[i].Commit) {
			if string(s.ID) == r.Covers[i].Seal && s.Seal != nil {
				grants = l.grants(s.Seal.Predicate.Grants)
				break
			}
		}
		out.Covered = append(out.Covered, grants)
	}
}

func (l *looker) grants(ids []envelope.Digest) []report.Grant {
	out := []report.Grant{}
	for _, id := range ids {
		g := report.Grant{ID: id.Short()}
		if given, ok := l.report.Facts.Grants[id]; ok {
			if p, ok := l.report.Facts.Authority.ByKey(given.KeyID); ok {
				g.By = p.Name
			}
		}
		out = append(out, g)
	}
	return out
}

// around finds what was run on the tree of a commit, and what people said of it. That it can't be read is told, and changes no answer.
func (l *looker) around(r *verdict.Result, c *git.Commit, out *report.Commit) {
	says := &prov.Predicate{}
	if r.Seal != nil && r.Seal.Seal != nil {
		says = &r.Seal.Seal.Predicate
	}
	runs, err := Runs(l.session, l.report.Facts, c, says)
	if err != nil && !l.told {
		l.talk.Warn("%s", say.Line(err.Error()))
		l.told = true
	}
	if l.reviews == nil {
		if l.reviews, err = Reviews(l.session, l.report.Facts, l.report.Commits); err != nil {
			l.talk.Warn("%s", say.Line(err.Error()))
			l.reviews = func(*git.Commit, *prov.Predicate) []report.Review { return nil }
		}
	}
	reviews := l.reviews(c, says)
	out.Evidence, out.Reviews = runs[:min(len(runs), report.MaxAround)], reviews[max(0, len(reviews)-report.MaxAround):]
	out.More = len(runs) - len(out.Evidence) + len(reviews) - len(out.Reviews)
}

// paths returns what a commit changes itself: of a merge, what differs from every
// parent. It is empty where a tree is missing, which is a finding of its own. A commit that was remembered has
// neither tree nor parents: they are read.
func (l *looker) paths(c *git.Commit) []string {
	if c.Tree.IsZero() {
		whole, err := l.session.Commit(c.ID.String())
		if err != nil {
			return nil
		}
		c = &whole
	}
	parents := c.Parents
	if len(parents) == 0 {
		parents = []oid.ID{{}}
	}
	var out []string
	differs := map[string]int{}
	for i, p := range parents {
		tree, err := l.tree(p)
		if err != nil {
			return nil
		}
		changes, err := l.session.Diff(tree, c.Tree)
		if err != nil {
			return nil
		}
		for _, x := range changes {
			if differs[x.Path]++; differs[x.Path] == len(parents) && i == len(parents)-1 {
				out = append(out, x.Path)
			}
		}
	}
	return out
}

func (l *looker) tree(id oid.ID) (oid.ID, error) {
	if id.IsZero() {
		return oid.ID{}, nil
	}
	if t, ok := l.trees[id]; ok {
		return t, nil
	}
	c, err := l.session.Commit(id.String())
	if err != nil {
		return oid.ID{}, err
	}
	if l.trees == nil || len(l.trees) > 1<<16 {
		l.trees = map[oid.ID]oid.ID{}
	}
	l.trees[id] = c.Tree
	return c.Tree, nil
}
