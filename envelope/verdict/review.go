package verdict

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/review"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

// Advance is the move of a ref that brings a commit, one that was admitted or one that is to come, and what was reviewed of it.
type Advance struct {
	Move    int             `json:"move"`            // which one
	Root    envelope.Digest `json:"root,omitempty"`  // version of the trust root that was in force; "" while it is to come
	At      string          `json:"at,omitempty"`    // when it was made, as far as that is believed; likewise
	End     bool            `json:"end,omitempty"`   // the commit is what it led to
	Paths   []string        `json:"paths,omitempty"` // then, that any commit of it touches, where evidence is asked for, sorted
	Reviews []Reviewed      `json:"reviews,omitempty"`
}

// Reviewed is one review of a change that has a commit in it.
type Reviewed struct {
	ID      envelope.Digest `json:"id"`
	KeyID   string          `json:"key"`
	Verdict review.Verdict  `json:"verdict"`
	Order   int             `json:"order"`             // among all that may count: none comes before one that its writer had seen
	Time    string          `json:"time"`              // it claims, or when somebody accountable saw it, if that was before
	Account string          `json:"account,omitempty"` // on a forge: its signer tells of it
	At      string          `json:"at,omitempty"`      // when it was given there
	Base    oid.ID          `json:"base,omitzero"`     // tree that the change comes from
	Tree    oid.ID          `json:"tree"`              // and that it leads to
	Late    bool            `json:"late,omitempty"`    // it was made after the move was admitted
}

// Compare orders what one person says of one change, the word that counts last: what it signed is more than what others tell of a forge. What was
// withdrawn there stays so, whoever tells of it anew.
func (r Reviewed) Compare(o Reviewed) int {
	told := func(r Reviewed) int { return btoi(r.Account == "") }
	back := func(r Reviewed) int { return btoi(r.Account != "" && r.Verdict == review.Withdraw) }
	return cmp.Or(cmp.Compare(told(r), told(o)), cmp.Compare(r.At, o.At), cmp.Compare(back(r), back(o)), cmp.Compare(r.Order, o.Order))
}

func btoi(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// policy returns what was demanded when the move was admitted.
func (s *Advance) policy(w *World) *trust.Policy {
	if s == nil || s.Root == "" || w.PolicyOf == nil {
		return w.Policy
	}
	if p, ok := w.PolicyOf(s.Root); ok {
		return p
	}
	return w.Policy
}

// reviews returns how many distinct humans must have reviewed what changes these paths.
func reviews(p *trust.Policy, touched []pluginapi.Change) int {
	if p == nil || len(touched) == 0 {
		return 0
	}
	n := p.Reviews
	for i := range touched {
		for _, rule := range p.RulesFor(string(touched[i].Path)) {
			n = max(n, rule.Reviews)
		}
	}
	return n
}

// ofOthers reports whether a finding is about what others did not do: a commit lacks it however it came to be.
func (c Code) ofOthers() bool {
	return c == PolicyReview || c == EvidenceMissing || c == EvidenceFailed || c == EvidenceStale || c == EvidenceAuthor
}

// An opinion is what one human says of one change, the newest word of several.
type opinion struct {
	person string
	said   Reviewed
}

// reviewed returns what is wanting of reviews of a commit by some humans: reviewers distinct from them, and from each other. Agents
// and automations review too, and none of them is a second person.
func (e *Exam) reviewed(w *World, makers []string, touched []pluginapi.Change, now time.Time) []Finding {
	if e.Ref == "" || !w.Policy.Protects(e.Ref) {
		return nil
	}
	// What was admitted is held to what was demanded then; what is no longer demanded is not.
	need := min(reviews(w.Policy, touched), reviews(e.Advance.policy(w), touched))
	if need == 0 {
		return nil
	}
	yes, no, own := map[string]bool{}, []opinion{}, map[string]bool{}
	for _, o := range e.opinions(w, now) {
		switch {
		case o.said.Verdict == review.Approve && slices.Contains(makers, o.person):
			own[o.person] = true
		case o.said.Verdict == review.Approve:
			yes[o.person] = true
		case o.said.Verdict == review.Reject:
			no = append(no, o)
		}
	}
	var out []Finding
	for _, o := range no {
		delete(yes, o.person)
		out = append(out, Finding{
			Code: PolicyReview, Object: string(o.said.ID), Message: fmt.Sprintf("%s rejects the change that it is in, for %s", o.person, e.Ref), Hint: "covenant review show " + o.said.ID.Short(),
		})
	}
	if len(yes) >= need {
		return out
	}
	has := "none"
	if len(yes) > 0 {
		has = strings.Join(sortedNames(yes), ", ")
	}
	if len(own) > 0 {
		is := " answers for the commit, and is no second person"
		if len(own) > 1 {
			is = " answer for the commit, and are no second persons"
		}
		has += "; " + strings.Join(sortedNames(own), ", ") + is
	}
	return append(out, Finding{
		Code: PolicyReview, Object: e.Commit.String(), Message: fmt.Sprintf("%d of %d reviews on %s: %s", len(yes), need, e.Ref, has),
		Hint: "another person approves the whole change that it is in: covenant review approve A..B --ref " + e.Ref,
	})
}

// answering returns the humans who answer for what a seal says its signer made: of an automation that answers for itself also those for whom who sealed what it was made of.
func (s *ExamSeal) answering(w *World) []string {
	var out []string
	if p, ok := w.Principal(s.KeyID); ok {
		out = append(out, p.Accountable)
	}
	for _, key := range s.Of {
		if p, ok := w.Principal(key); ok && !slices.Contains(out, p.Accountable) {
			out = append(out, p.Accountable)
		}
	}
	return out
}

// makers returns the humans who answer for a commit by one of its seals: its signer's, and those of others that hold, unless they are known to have been made after it. Who seals again what
// somebody had sealed made nothing of it.
func (e *Exam) makers(w *World, i int, hold []bool) []string {
	s := &e.Seals[i]
	out := s.answering(w)
	for j := range e.Seals {
		x := &e.Seals[j]
		if j == i || !hold[j] || x.KeyID == s.KeyID {
			continue
		}
		earlier, later := slices.Contains(s.After, x.ID), slices.Contains(x.After, s.ID)
		if later && !earlier || later == earlier && w.SeenBefore(s, x) {
			continue
		}
		for _, name := range x.answering(w) {
			if !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}

func sortedNames(m map[string]bool) []string {
	out := make([]string, 0, len(m))
	for n := range m {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

// opinions returns what humans say of the changes that a commit is in: of each human and change the newest word, with which another
// one about the same change is as if it had not been. Who rejects what was admitted, or takes back what they said of it, comes too late.
func (e *Exam) opinions(w *World, now time.Time) []opinion {
	if e.Advance == nil {
		return nil
	}
	list := slices.Clone(e.Advance.Reviews)
	slices.SortStableFunc(list, Reviewed.Compare)
	type change struct {
		person     string
		base, tree oid.ID
	}
	newest := map[change]opinion{}
	for _, r := range list {
		switch when, err := time.Parse(time.RFC3339, r.Time); {
		case err != nil:
		case r.Verdict == review.Approve && when.After(now.Add(Ahead)):
			continue // it claims a time that has not come
		case r.Verdict != review.Approve && r.Late:
			continue
		}
		if person, ok := e.reviewer(w, &r, now); ok && r.Verdict != review.Comment && r.Verdict != review.Request {
			newest[change{person, r.Base, r.Tree}] = opinion{person, r}
		}
	}
	out := make([]opinion, 0, len(newest))
	for _, o := range newest {
		out = append(out, o)
	}
	slices.SortFunc(out, func(a, b opinion) int {
		return cmp.Or(cmp.Compare(a.person, b.person), cmp.Compare(a.said.ID, b.said.ID))
	})
	return out
}

// reviewer returns the human whose word a review is: who signed it, or, of one that was given on a forge, whom the policy says the
// account is, where who tells of it may. Who has left says nothing of what is to come, and what was admitted is judged as of then.
func (e *Exam) reviewer(w *World, r *Reviewed, now time.Time) (string, bool) {
	p, ok := w.Principal(r.KeyID)
	if !ok {
		return "", false
	}
	q := capability.Query{KeyID: r.KeyID, Action: capability.Review, Ref: e.Ref, At: now}
	if at, err := time.Parse(time.RFC3339, e.Advance.At); err == nil {
		q.At, q.EndedBy, q.Past = at, at, true
	}
	if r.Account == "" {
		return p.Name, p.Kind == string(trust.Human) && !w.Left(r.KeyID, q.At)
	}
	person, known := w.Policy.Person(r.Account)
	if !known || p.Kind != string(trust.Automation) || w.Human == nil || !w.Human(person, q.At) {
		return "", false
	}
	return person, w.Authority.Decide(q).Allowed
}
