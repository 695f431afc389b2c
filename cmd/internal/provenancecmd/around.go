package provenancecmd

import (
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/cmd/internal/report"
	"github.com/open-covenant/covenant-git/envelope"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// Runs returns what was run on a commit's tree, the newest first; seal is what the seal that counts says.
func Runs(s *git.Session, f *provenance.Facts, c *git.Commit, seal *prov.Predicate) ([]report.Ran, error) {
	if len(f.Evidence[c.Tree]) == 0 {
		return nil, nil
	}
	runs, _, err := f.ExamineEvidence(s, c.Tree)
	if err != nil {
		return nil, err
	}
	out := make([]report.Ran, 0, len(runs))
	for i := range runs {
		p := &runs[i].Statement.Predicate
		r := report.Ran{ID: string(runs[i].ID), Name: p.Run.Name, Result: strings.ToLower(string(p.Result)), Exit: p.Run.Exit, Time: envelope.Timestamp(runs[i].Time)}
		r.By, r.Kind, r.Who = signer(f, runs[i].KeyID)
		r.Sealed = slices.Contains(seal.Evidence, runs[i].ID)
		out = append(out, r)
	}
	return out, nil
}

// Reviews finds what people said of the changes that lead to some commits, or to their trees. The function that it returns tells it of one of them, in
// the order of the ledgers.
func Reviews(s *git.Session, f *provenance.Facts, commits []git.Commit) (func(*git.Commit, *prov.Predicate) []report.Review, error) {
	wanted := make(map[oid.ID]bool, 2*len(commits))
	for i := range commits {
		wanted[commits[i].ID], wanted[commits[i].Tree] = true, true
	}
	var list []provenance.Review
	about := map[oid.ID][]int{}
	for i := range f.Reviews {
		commit, tree := f.Reviews[i].Statement.Commit(), f.Reviews[i].Statement.Tree()
		if wanted[commit] || wanted[tree] {
			about[commit], about[tree] = append(about[commit], len(list)), append(about[tree], len(list))
			list = append(list, f.Reviews[i])
		}
	}
	states, err := f.ReviewStates(s, list)
	if err != nil {
		return nil, err
	}
	return func(c *git.Commit, seal *prov.Predicate) []report.Review {
		at := slices.Concat(about[c.ID], about[c.Tree])
		slices.Sort(at)
		var out []report.Review
		for _, i := range slices.Compact(at) {
			p := &list[i].Statement.Predicate
			r := report.Review{ID: string(list[i].ID), Verdict: string(p.Verdict), State: string(states[i]), Ref: p.Ref, Base: p.Base.Commit.String(), Time: envelope.Timestamp(list[i].Time)}
			r.Sealed = slices.Contains(seal.Reviews, list[i].ID)
			if r.By, r.Kind, r.Who = signer(f, list[i].KeyID); p.Forge != nil {
				r.Account = p.Forge.Account
			}
			out = append(out, r)
		}
		return out
	}, nil
}

// IntentOf is the intent that a commit was sealed for; of a derived one, that all of what it is made of was sealed for. It is "" where that is several or none.
func IntentOf(f *provenance.Facts, r *verdict.Result) string {
	if r.Seal != nil && r.Seal.Seal != nil {
		return r.Seal.Seal.Predicate.Intent
	}
	one := ""
	for i := range r.Covers {
		named := ""
		for _, s := range f.SealsOf(r.Covers[i].Commit) {
			if string(s.ID) == r.Covers[i].Seal && s.Seal != nil {
				named = s.Seal.Predicate.Intent
			}
		}
		if named == "" || one != "" && named != one {
			return ""
		}
		one = named
	}
	return one
}

// signer names who a key is, else the key.
func signer(f *provenance.Facts, keyID string) (name, kind string, who *verdict.Principal) {
	p, ok := f.Authority.ByKey(keyID)
	if !ok {
		return keyID, "", nil
	}
	return p.Name, p.Kind, &verdict.Principal{Name: p.Name, Kind: p.Kind, Accountable: p.Accountable, Key: keyID}
}
