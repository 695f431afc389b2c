package report

import (
	"cmp"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope/verdict"
)

// MaxAround is how many runs, and how many reviews, are told of one commit.
const MaxAround = 20

// A Ran is one run on a commit's tree.
type Ran struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Result string `json:"result"`
	Exit   int    `json:"exit"`
	By     string `json:"principal"`
	Kind   string `json:"kind,omitempty"`
	Time   string `json:"time"`
	Sealed bool   `json:"sealed,omitempty"` // the seal names it

	Who *verdict.Principal `json:"-"` // nil where nobody here has the key
}

// A Review is one that leads to a commit or its tree.
type Review struct {
	ID      string `json:"id"`
	Verdict string `json:"verdict"`
	State   string `json:"state"`
	Ref     string `json:"ref"`
	By      string `json:"principal"`
	Kind    string `json:"kind,omitempty"`
	Account string `json:"account,omitempty"` // on a forge
	Time    string `json:"time"`
	Sealed  bool   `json:"sealed,omitempty"` // the seal names it

	Who  *verdict.Principal `json:"-"` // nil where nobody here has the key
	Base string             `json:"-"` // the commit that the change begins with
}

// Signer names who signed it.
func (r *Ran) Signer() string { return signer(r.Who, r.By) }

// Signer names who signed it.
func (r *Review) Signer() string { return signer(r.Who, r.By) }

// Voice names who says it, on a forge or here, and tells where that is the human who answers for a commit itself: no second person's approval.
func (r *Review) Voice(of *verdict.Result) string {
	by := r.Signer()
	switch {
	case r.Account != "":
		return r.Account + ", as " + by + " says"
	case r.Verdict == "approve" && r.Who != nil && r.Who.Accountable == r.Who.Name && answers(of, r.Who.Name):
		return by + " (answers for it)"
	}
	return by
}

// answers reports whether a human answers for a commit, or for what is in it.
func answers(r *verdict.Result, name string) bool {
	if r == nil {
		return false
	}
	who := []verdict.Principal{}
	if r.Principal != nil {
		who = append(who, *r.Principal)
	}
	for i := range r.Covers {
		who = append(append(who, r.Covers[i].Principal), r.Covers[i].Everybody()...)
	}
	return slices.ContainsFunc(who, func(p verdict.Principal) bool { return p.Accountable == name })
}

func signer(p *verdict.Principal, key string) string {
	if p == nil {
		return key
	}
	return who(p)
}

// maxProof is how many runs and reviews are told in one cell.
const maxProof = 5

// proof says in few words how the runs on a commit's tree ended and what people say of its change: of each signer the last word.
func proof(c Commit) string {
	var out []string
	seen := map[[2]string]bool{}
	for i := range c.Evidence {
		r := &c.Evidence[i]
		if key := [2]string{r.By, r.Name}; !seen[key] {
			seen[key] = true
			out = append(out, r.Name+" "+r.Result+" ("+r.By+")")
		}
	}
	slices.Sort(out)
	said := map[[2]string]string{}
	for i := range c.Reviews {
		r := &c.Reviews[i]
		if r.Verdict == "comment" || r.Verdict == "request" {
			continue
		}
		word := map[string]string{"approve": "approved by ", "reject": "rejected by "}[r.Verdict]
		if r.State == "stale" {
			word = ""
		}
		if word != "" {
			word += cmp.Or(r.Account, r.Voice(c.Result))
		}
		said[[2]string{r.By, r.Account}] = word
	}
	var words []string
	for _, w := range said {
		if w != "" {
			words = append(words, w)
		}
	}
	slices.Sort(words)
	out = append(out, words...)
	if len(out) > maxProof {
		out = append(out[:maxProof], "…")
	}
	return strings.Join(out, ", ")
}

// Tables that both documents have. A row is of one commit.
var (
	madeOf   = table{"Derived: the sealed commits that others are made of, and on whose authority those were made", "covers", []string{"commit", "made of", "who", "took", "authority"}}
	evidence = table{"Evidence: what was run on the tree of a commit", "runs", []string{"commit", "what", "result", "who", "when"}}
	reviews  = table{"Reviews: what people said of the change that leads to a commit", "reviews", []string{"commit", "what", "who", "for", "state"}}
)

type table struct {
	title, things string
	columns       []string
}

// head begins the table in Markdown.
func (t *table) head() string {
	return "| " + strings.Join(t.columns, " | ") + " |\n|" + strings.Repeat("---|", len(t.columns)) + "\n"
}

// coverRows tells what a commit is made of; of one that does not verify, what it is made of in part.
func coverRows(c Commit) [][]cell {
	var out [][]cell
	for i := range c.Covers {
		x := &c.Covers[i]
		out = append(out, []cell{theirs(short(c)), theirs(x.Commit.Short()), brief(CoverBy(x)), ours("%s", took(x)), theirs(cut(covered(c, i), maxLine))})
	}
	return out
}

func runRows(c Commit) [][]cell {
	var out [][]cell
	for i := range c.Evidence {
		r := &c.Evidence[i]
		out = append(out, []cell{theirs(short(c)), brief(r.Name), brief(r.Result), brief(r.Signer()), theirs(r.Time)})
	}
	return out
}

func reviewRows(c Commit) [][]cell {
	var out [][]cell
	for i := range c.Reviews {
		r := &c.Reviews[i]
		out = append(out, []cell{theirs(short(c)), brief(r.Verdict), brief(r.Voice(c.Result)), brief(r.Ref), ours("%s", cmp.Or(r.State, "not looked at"))})
	}
	return out
}

// brief is a name of somebody else's.
func brief(s string) cell { return theirs(cut(s, maxCell)) }
