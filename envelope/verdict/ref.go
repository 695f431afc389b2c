package verdict

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/git/oid"
)

// Step is one admission of a ref, and what is true of it whoever asks.
type Step struct {
	ID      envelope.Digest `json:"id"`
	KeyID   string          `json:"key"`
	Ledger  string          `json:"ledger"`
	Seq     uint64          `json:"seq"`
	Time    time.Time       `json:"time"` // as its writer claims
	Old     oid.ID          `json:"old,omitzero"`
	New     oid.ID          `json:"new,omitzero"`
	Root    envelope.Digest `json:"root"`
	Action  string          `json:"action"` // what its signer must be allowed
	Seen    Seen            `json:"seen,omitzero"`
	Unknown bool            `json:"unknown,omitempty"` // the version of the root it names is not here
	// Saw is how far its writer had seen the ledgers that the line's other admissions stand in.
	Saw map[string]uint64 `json:"saw,omitempty"`
}

// Line is what is known of the admissions of one ref, in any order.
type Line struct {
	Ref   string   `json:"ref"`
	Since []oid.ID `json:"since,omitempty"` // where the trust root says it was when governance began
	Steps []Step   `json:"steps,omitempty"`
}

// RefState is the verdict of a ref.
type RefState struct {
	Ref      string
	Head     oid.ID    // where it is
	Newest   *Step     // the admission that put it there; nil when none did
	Ends     []oid.ID  // where its admissions lead; one, when all is well
	Last     []*Step   // the admissions that lead there
	Findings []Finding // none, when all is well
	Warnings []Finding // admissions that count for nothing
}

// OK reports whether the ref is where an admission by somebody with authority put it.
func (r *RefState) OK() bool { return len(r.Findings) == 0 }

// Judge tells whether the ref is where its newest admission put it. commit is what
// head peels to: a tag's commit, else head itself. Both are zero when there is no ref.
//
// The line begins where governance did, or, where no admission says that, at
// nothing. Admissions whose signers had no authority are no part of it. Each must
// go on from the beginning or from another; and all must lead to one end.
func (l *Line) Judge(w *World, head, commit oid.ID, now time.Time) RefState {
	r := RefState{Ref: l.Ref, Head: head}
	var steps []*Step
	var refused []Finding
	for i := range l.Steps {
		s := &l.Steps[i]
		if why := s.Refusal(w, l.Ref, now); why != "" {
			refused = append(refused, Finding{
				Code: RefAuthority, Object: string(s.ID), Hint: "covenant ref log " + l.Ref,
				Message: fmt.Sprintf("admission %s of %s counts for nothing: %s", s.ID.Short(), place(s.New), why),
			})
			continue
		}
		steps = append(steps, s)
	}
	p := walk(l, steps)
	r.Last = p.ends
	for _, e := range p.ends {
		if !slices.Contains(r.Ends, e.New) {
			r.Ends = append(r.Ends, e.New)
		}
		if e.New == head {
			r.Newest = e
		}
	}
	add := func(code Code, object, format string, a ...any) {
		r.Findings = append(r.Findings, Finding{Code: code, Object: object, Message: fmt.Sprintf(format, a...), Hint: "covenant ref log " + l.Ref})
	}
	for _, s := range p.steps {
		if s.Unknown {
			add(RootMissing, string(s.Root), "admission %s was held to version %s of the trust root, which is not here", s.ID.Short(), s.Root.Short())
			r.Findings[len(r.Findings)-1].Hint = "git fetch REMOTE 'refs/covenant/trust/*:refs/covenant/trust/*'"
		}
	}
	for i, s := range p.gaps {
		if i == maxListed {
			add(RefGap, l.Ref, "and %d more", len(p.gaps)-i)
			break
		}
		add(RefGap, string(s.ID), "admission %s goes on from %s, and nothing admitted leads there", s.ID.Short(), place(s.Old))
	}
	for _, f := range p.forks {
		add(RefGap, string(f[1].ID), "admissions %s (to %s) and %s (to %s) both go on from %s", f[0].ID.Short(), place(f[0].New), f[1].ID.Short(), place(f[1].New), place(f[0].Old))
	}
	if p.split() && len(p.forks) == 0 {
		add(RefGap, l.Ref, "its admissions lead to different places, %s among them", place(p.ends[0].New))
	}
	switch {
	case len(steps) == 0 && !slices.Contains(l.Since, commit) && !head.IsZero():
		add(RefUnadmitted, l.Ref, "nobody with authority admitted that it is at %s", place(head))
		r.Findings[len(r.Findings)-1].Hint = "covenant ref admit " + l.Ref
	case len(steps) == 0 && len(l.Since) > 0 && head.IsZero():
		add(RefMoved, l.Ref, "it is gone; when governance began it was at %s", place(l.Since[0]))
	case len(steps) > 0 && len(p.ends) == 0 && len(p.gaps) == 0:
		add(RefGap, l.Ref, "its admissions lead nowhere: they go round in a circle")
	case len(r.Ends) > 0 && r.Newest == nil:
		add(RefMoved, l.Ref, "it is at %s; admission %s put it at %s", place(head), p.ends[len(p.ends)-1].ID.Short(), place(r.Ends[len(r.Ends)-1]))
	}
	if r.Warnings = refused; len(r.Findings) > 0 { // then they may be why
		r.Findings, r.Warnings = append(r.Findings, cut(refused)...), nil
	}
	return r
}

func cut(list []Finding) []Finding {
	if len(list) <= maxListed {
		return list
	}
	return append(list[:maxListed:maxListed], Finding{Code: list[maxListed].Code, Message: fmt.Sprintf("and %d more", len(list)-maxListed)})
}

func place(id oid.ID) string {
	if id.IsZero() {
		return "nothing"
	}
	return id.Short()
}

// Refusal says why an admission counts for nothing, "" when it counts: its signer
// must have been allowed at its time. That is the time it claims only of persons and automation of the trust root; of
// others, who could say they had done it while they might, the time at which somebody accountable first saw it, else now.
// What somebody accountable saw is held to the revocations before that, so a revocation does not undo what its writer saw; of
// what nobody else saw all revocations count.
func (s *Step) Refusal(w *World, ref string, now time.Time) string {
	by, _ := w.Principal(s.KeyID)
	rooted := by.Name != "" && by.Accountable == by.Name && (w.Dated == nil || w.Dated(s.KeyID, s.Ledger, s.Seq))
	q := capability.Query{KeyID: s.KeyID, Action: s.Action, At: now, Ref: ref}
	if rooted && s.Time.Before(now) {
		q.At, q.Past = s.Time, true
	}
	seen, err := time.Parse(time.RFC3339, s.Seen.Time)
	switch {
	case err == nil:
		q.EndedBy = seen.Add(-time.Second) // it was there before it was seen
		if rooted && seen.Before(q.At) {
			q.At = seen
		}
	case w.Gone != nil && w.Gone(s.KeyID):
		return "its signer, or this key, was removed from the trust root, and nobody accountable saw it before"
	}
	d := w.Authority.Decide(q)
	if !d.Allowed && !rooted && err == nil && q.EndedBy.Before(now) {
		q.At, q.Past = q.EndedBy, true
		if then := w.Authority.Decide(q); then.Allowed {
			d = then
		}
	}
	if !d.Allowed && d.Reason == "" {
		d.Reason = "its signer may not " + s.Action
	}
	if d.Allowed {
		return ""
	}
	return d.Reason
}

// course is how admissions follow each other.
type course struct {
	steps []*Step // that lead from the beginning
	ends  []*Step // that nothing follows, oldest first
	gaps  []*Step // the first of those that nothing leads to
	forks [][2]*Step

	work int // how much may still be looked at to tell of forks
}

// maxWork bounds what is looked at to say which admissions part: that they do is told by the ends.
const maxWork = 200_000

// walk finds how the steps follow each other from the beginning of the line.
func walk(l *Line, steps []*Step) course {
	slices.SortFunc(steps, func(a, b *Step) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Ledger, b.Ledger), cmp.Compare(a.Seq, b.Seq))
	})
	from := map[oid.ID][]*Step{}
	for _, s := range steps {
		from[s.Old] = append(from[s.Old], s)
	}
	var begin []*Step
	for _, id := range l.Since {
		begin = append(begin, from[id]...)
	}
	if len(begin) == 0 {
		begin = from[oid.ID{}]
	}
	again := revisited(steps)
	reached := map[*Step]bool{}
	todo := slices.Clone(begin)
	var c course
	for len(todo) > 0 {
		s := todo[0]
		todo = todo[1:]
		if reached[s] {
			continue
		}
		reached[s] = true
		next := follow(s, from, again)
		todo = append(todo, next...)
	}
	led := map[oid.ID]bool{}
	for _, s := range steps {
		if !reached[s] {
			led[s.New] = true
			continue
		}
		c.steps = append(c.steps, s)
		if len(follow(s, from, again)) == 0 {
			c.ends = append(c.ends, s)
		}
	}
	for _, s := range steps {
		if !reached[s] && !led[s.Old] {
			c.gaps = append(c.gaps, s)
		}
	}
	if len(c.gaps) == 0 && len(c.steps) < len(steps) { // a circle apart
		i := slices.IndexFunc(steps, func(s *Step) bool { return !reached[s] })
		c.gaps = append(c.gaps, steps[i])
	}
	if c.split() {
		c.work = maxWork
		next := func(s *Step) []*Step {
			out := follow(s, from, again)
			c.work -= 1 + len(from[s.New])
			return out
		}
		c.fork(begin, next)
		for _, s := range c.steps {
			if c.work <= 0 {
				break
			}
			c.fork(next(s), next)
		}
		for _, s := range c.ends {
			if len(c.forks) == 0 && s.New != c.ends[0].New {
				c.forks = append(c.forks, [2]*Step{c.ends[0], s})
			}
		}
	}
	return c
}

// split reports whether the ends are at different places.
func (c *course) split() bool {
	return slices.ContainsFunc(c.ends, func(s *Step) bool { return s.New != c.ends[0].New })
}

// fork tells of two that go on from the same place to different ones, where neither leads to the other.
func (c *course) fork(list []*Step, next func(*Step) []*Step) {
	for i, s := range list {
		for _, t := range list[i+1:] {
			if c.work <= 0 {
				return
			}
			c.work--
			pair := [2]*Step{s, t}
			if len(c.forks) < maxListed && s.New != t.New && !slices.Contains(c.forks, pair) && !leads(s, t, next) && !leads(t, s, next) {
				c.forks = append(c.forks, pair)
			}
		}
	}
}

// leads reports whether one step leads to another.
func leads(from, to *Step, next func(*Step) []*Step) bool {
	seen := map[*Step]bool{}
	todo := []*Step{from}
	for len(todo) > 0 {
		s := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if s == to {
			return true
		}
		if len(todo) > maxWork {
			return false
		}
		if !seen[s] {
			seen[s] = true
			todo = append(todo, next(s)...)
		}
	}
	return false
}

// follow returns the steps that go on from where s led.
func follow(s *Step, from map[oid.ID][]*Step, again map[oid.ID]bool) []*Step {
	var out []*Step
	for _, t := range from[s.New] {
		switch {
		case t == s:
		case !again[s.New]:
			out = append(out, t)
		case s.saw(t):
		case t.saw(s), t.Time.After(s.Time), t.Time.Equal(s.Time) && t.ID > s.ID:
			out = append(out, t)
		}
	}
	return out
}

// saw reports whether the writer of s had seen t when it wrote s.
func (s *Step) saw(t *Step) bool {
	if s.Ledger == t.Ledger {
		return s.Seq > t.Seq
	}
	return s.Saw[t.Ledger] >= t.Seq
}

// revisited returns the places that a line may come back to. Where it can't, an
// admission follows another by its place alone, whatever the clocks of their
// writers said; there, it matters which came first.
func revisited(steps []*Step) map[oid.ID]bool {
	again := map[oid.ID]bool{}
	for _, s := range steps {
		again[s.Old], again[s.New] = true, true
	}
	strip(steps, again, func(s *Step) (oid.ID, oid.ID) { return s.Old, s.New })
	strip(steps, again, func(s *Step) (oid.ID, oid.ID) { return s.New, s.Old })
	return again
}

// strip takes away the places that no way leads to: they are on no circle.
func strip(steps []*Step, left map[oid.ID]bool, ends func(*Step) (from, to oid.ID)) {
	ways, next := map[oid.ID]int{}, map[oid.ID][]oid.ID{}
	for _, s := range steps {
		if from, to := ends(s); left[from] && left[to] {
			ways[to]++
			next[from] = append(next[from], to)
		}
	}
	var todo []oid.ID
	for id := range left {
		if ways[id] == 0 {
			todo = append(todo, id)
		}
	}
	for len(todo) > 0 {
		id := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		delete(left, id)
		for _, to := range next[id] {
			if ways[to]--; ways[to] == 0 {
				todo = append(todo, to)
			}
		}
	}
}
