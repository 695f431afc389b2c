package report

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/open-covenant/covenant-git/envelope/verdict"
)

// A Judged adds up the verdicts of a ref's commits.
type Judged struct {
	branch          Branch
	since, until    time.Time
	verdicts, codes map[string]int
	doubts          []Doubt
	more            int
}

// NewBranch begins with a ref; the span is that of the account.
func NewBranch(ref string, protected bool, since, until time.Time) *Judged {
	return &Judged{branch: Branch{Ref: clip(ref), Protected: protected}, since: since, until: until, verdicts: map[string]int{}, codes: map[string]int{}}
}

// Add takes a commit in, with the codes of why it does not verify.
func (j *Judged) Add(commit string, v verdict.Verdict, codes []verdict.Code, at time.Time, subject string) {
	if !j.since.IsZero() && at.Before(j.since) || !j.until.IsZero() && at.After(j.until) {
		if !v.OK() {
			j.branch.Elsewhere++
		}
		return
	}
	j.branch.Commits++
	j.verdicts[string(v)]++
	if v.OK() {
		return
	}
	d := Doubt{Commit: commit, Ref: j.branch.Ref, Time: stamp(at), Subject: clip(subject), Verdict: string(v), Codes: []string{}}
	for _, c := range codes {
		if !slices.Contains(d.Codes, string(c)) {
			d.Codes = append(d.Codes, string(c))
			j.codes[string(c)]++
		}
	}
	j.doubts = capped(j.doubts, d, maxCommits, &j.more)
}

// Fail says that there is no answer, and why. What was added is forgotten: it could be less than the half.
func (j *Judged) Fail(why string) {
	*j = *NewBranch(j.branch.Ref, j.branch.Protected, j.since, j.until)
	j.branch.Undecided = clip(why)
}

// Into puts the ref into an account.
func (j *Judged) Into(a *Account) {
	b := j.branch
	b.Verdicts, b.Codes = sorted(j.verdicts), sorted(j.codes)
	a.Refs = capped(a.Refs, b, maxBranches, &a.More.Refs)
	a.More.Commits += j.more
	for _, d := range j.doubts {
		a.Commits = capped(a.Commits, d, maxCommits, &a.More.Commits)
	}
}

func sorted(m map[string]int) []NamedCount {
	out := make([]NamedCount, 0, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		out = append(out, NamedCount{name, m[name]})
	}
	slices.SortStableFunc(out, func(x, y NamedCount) int { return cmp.Compare(y.Count, x.Count) })
	return out
}
