package verdict

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/treepath"
	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

// Decided is a recorded decision and its place.
type Decided struct {
	Header   envelope.Header
	KeyID    string
	Decision *provenance.Decision
}

// maxListed bounds the findings of one kind that one seal can cause: past it only their number is told.
const maxListed = 50

// Exam is what is true of a commit whoever asks, and whenever: signatures,
// chains and changes were looked at, authority was not. It can be remembered.
type Exam struct {
	Commit    oid.ID     `json:"commit"`
	Before    bool       `json:"before,omitempty"`
	Committer string     `json:"committer,omitempty"` // e-mail address
	Seals     []ExamSeal `json:"seals,omitempty"`
	Notes     []Finding  `json:"notes,omitempty"` // warnings
	Deep      []Finding  `json:"deep,omitempty"`  // what re-hashing found

	Touched    Touched     `json:"touched,omitempty"`
	Ref        string      `json:"ref,omitempty"`
	Side       bool        `json:"side,omitempty"`
	Signer     string      `json:"signer,omitempty"`
	Admissions []Admission `json:"admissions,omitempty"`
	Denied     []Denial    `json:"denied,omitempty"`
	Derived    *Derivation `json:"derived,omitempty"` // where its changes may come from, of a commit that nobody sealed
	Barred     []Barred    `json:"barred,omitempty"`  // who sealed all of its changes elsewhere, where some of them may not bring it here
	Advance    *Advance    `json:"advance,omitempty"` // that brings it to the ref under review, where its policy asks for it
	Proofs     []Proof     `json:"proofs,omitempty"`  // of its tree, where the policy demands any
	Closed     bool        `json:"closed,omitempty"`  // where they may come from was not looked for: it holds without
}

// ExamSeal is what is true of one seal of a commit.
type ExamSeal struct {
	ID       envelope.Digest   `json:"id"`
	KeyID    string            `json:"key"`
	Time     string            `json:"time,omitempty"`
	Opened   bool              `json:"opened,omitempty"` // its signature verified and it was read
	InNote   bool              `json:"inNote,omitempty"` // no ledger has it
	Claimed  Principal         `json:"claimed,omitzero"` // whom it names
	Mode     provenance.Mode   `json:"mode,omitempty"`   // what it says it is
	Ref      string            `json:"ref,omitempty"`    // it claims
	Intent   string            `json:"intent,omitempty"` // likewise
	Grants   []envelope.Digest `json:"grants,omitempty"` // it relies on
	Seen     Seen              `json:"seen,omitzero"`    // by whom it was seen first
	Attended bool              `json:"attended,omitempty"`
	Named    []Standing        `json:"named,omitempty"` // entries that it names, as it says, and that are here
	Acts     []Act             `json:"acts,omitempty"`  // by which the intent came to what it says
	After    []envelope.Digest `json:"after,omitempty"` // other seals of the commit that its writer had seen when it made this one
	Findings []Finding         `json:"findings,omitempty"`
	Origins  *Origins          `json:"origins,omitempty"` // whose the changes were before its signer rewrote the commit, where that was asked for
	Of       []string          `json:"of,omitempty"`      // of one by an automation that answers for itself: key ids of who sealed what it said to have made the commit of

	candidate *Candidate
}

// Examine looks at everything but authority.
func Examine(w *World, c *Commit) Exam {
	e := Exam{Commit: c.ID, Before: c.Before, Committer: c.Committer, Notes: c.Notes, Deep: c.DeepErrs}
	if c.Before && len(c.Candidates) == 0 {
		return e
	}
	e.Touched, e.Ref, e.Side, e.Admissions, e.Denied, e.Advance, e.Proofs = c.Touched, c.Ref, c.Side, c.Admissions, c.Denied, c.Advance, c.Proofs
	e.Deep = nil
	if c.DiffErr == nil && !slices.ContainsFunc(c.Candidates, func(x Candidate) bool { return x.Claims(c.ID) }) {
		e.Signer = c.Signer // what nobody can say the changes of is exempt from nothing
	}
	for i := range c.Candidates {
		e.Seals = append(e.Seals, examine(w, c, &c.Candidates[i]))
		for j := range c.Candidates {
			if j != i && w.saw(&c.Candidates[i], &c.Candidates[j]) {
				e.Seals[i].After = append(e.Seals[i].After, c.Candidates[j].ID)
			}
		}
	}
	for i := range c.Touched {
		if c.Touched[i].NewMode == "" {
			continue // it takes it away
		}
		if why := treepath.Unsafe(string(c.Touched[i].Path)); why != "" && len(e.Deep) < maxListed {
			e.Deep = append(e.Deep, Finding{Code: PathUnsafe, Path: string(c.Touched[i].Path), Object: c.ID.String(), Message: "Git checks out no such path: " + why, Hint: "git fsck"})
		}
	}
	for _, f := range c.DeepErrs { // what is wrong with one seal spoils no other
		i := slices.IndexFunc(e.Seals, func(s ExamSeal) bool { return f.Code == SealContent && string(s.ID) == f.Object })
		if i < 0 {
			e.Deep = append(e.Deep, f)
			continue
		}
		e.Seals[i].Findings = append(e.Seals[i].Findings, f)
	}
	return e
}

// Judge asks for authority at a moment, which matters to grants that expire, and sums up.
func (e Exam) Judge(w *World, now time.Time) Result {
	r := e.judge(w, now)
	if !e.Before || r.Verdict.OK() {
		return r
	}
	// Nobody needed to seal what is older than governance: a seal of it that does not hold says nothing.
	out := Result{Commit: e.Commit, Verdict: Before, Warnings: r.Warnings}
	for _, f := range r.Findings {
		if f.Code == ObjectHash { // what says that it is older may be forged
			out.Verdict, out.Findings = Invalid, append(out.Findings, f)
			continue
		}
		out.Warnings = append(out.Warnings, Finding{Code: SealRefused, Object: f.Object, Path: f.Path, Message: "a seal of it was refused: " + f.Message})
	}
	return out
}

func (e Exam) judge(w *World, now time.Time) Result {
	r := Result{Commit: e.Commit, Warnings: slices.Clone(e.Notes)}
	if e.Before && len(e.Seals) == 0 {
		r.Verdict = Before
		if len(e.Deep) > 0 {
			r.Verdict, r.Findings = Invalid, slices.Clone(e.Deep)
		}
		return r
	}
	type judged struct {
		seal     *ExamSeal
		mode     provenance.Mode
		findings []Finding
	}
	all := make([]judged, len(e.Seals))
	hold := make([]bool, len(e.Seals))
	for i := range e.Seals {
		x := &all[i]
		x.seal = &e.Seals[i]
		x.mode, x.findings = x.seal.authorize(w, &e, now)
		hold[i] = x.seal.Opened && !slices.ContainsFunc(x.findings, func(f Finding) bool { return !f.Code.ofOthers() })
	}
	var good, bad []judged
	for i, x := range all {
		if _, known := w.Principal(x.seal.KeyID); known && x.seal.answerable() {
			x.findings = append(x.findings, e.reviewed(w, e.makers(w, i, hold), e.Touched, now)...)
		}
		if len(x.findings) == 0 {
			good = append(good, x)
		} else {
			bad = append(bad, x)
		}
	}
	// Of several good seals the one that says most counts: made at the moment
	// before made later, then the one that others saw first: a writer's own time is a claim.
	slices.SortStableFunc(good, func(a, b judged) int {
		return cmp.Or(cmp.Compare(rank(a.mode), rank(b.mode)), compareSeen(w.seen(a.seal), w.seen(b.seal)), cmp.Compare(a.seal.Time, b.seal.Time), cmp.Compare(a.seal.ID, b.seal.ID))
	})
	for i := 1; i < len(good); i++ { // whoever had seen another one was later, whatever both claim
		first, x := good[0], good[i]
		if rank(first.mode) == rank(x.mode) && compareSeen(w.seen(first.seal), w.seen(x.seal)) == 0 && slices.Contains(first.seal.After, x.seal.ID) && !slices.Contains(x.seal.After, first.seal.ID) {
			good[0], good[i] = x, first
		}
	}
	var counts *ExamSeal
	if len(good) > 0 {
		best := good[0]
		r.Verdict, r.Mode, r.Coverage, counts = Sealed, best.mode, "own", best.seal
		for _, other := range good[1:] {
			if other.seal.ID != best.seal.ID {
				r.Warnings = append(r.Warnings, Finding{
					Code: SealConflict, Object: string(other.seal.ID),
					Message: fmt.Sprintf("sealed more than once: %s counts, by %s", best.seal.ID.Short(), best.seal.KeyID),
				})
			}
		}
		for _, b := range bad {
			r.Warnings = append(r.Warnings, Finding{
				Code: SealRefused, Object: string(b.seal.ID),
				Message: "another seal of it was refused: " + b.findings[0].Message,
			})
		}
		if len(e.Deep) > 0 {
			r.Verdict, r.Findings = Invalid, slices.Clone(e.Deep)
		}
	} else {
		r.Verdict = Unsealed
		holds := false // a seal does, and what is wanting is asked for of whoever's commit it is
		for _, b := range bad {
			holds = holds || !slices.ContainsFunc(b.findings, func(f Finding) bool { return !f.Code.ofOthers() })
			r.Findings = append(r.Findings, b.findings...)
			if b.seal.Opened || !b.seal.InNote {
				r.Verdict = Invalid
			}
			if counts == nil {
				counts, r.Mode = b.seal, b.mode
			}
		}
		if !holds && (e.exempt(w, &r, now) || e.derive(w, &r, now)) {
			return r
		}
		if r.Verdict == Unsealed {
			for _, d := range e.Denied {
				r.Verdict = Invalid
				r.Findings = append(r.Findings, bypassed(d))
			}
		}
		if r.Verdict == Unsealed {
			r.Findings = append([]Finding{e.nobodys(w, "")}, r.Findings...)
		}
		r.Findings = append(r.Findings, e.Deep...)
	}
	if counts != nil {
		r.SealID, r.Seal = counts.ID, counts.candidate
		if p, ok := w.Principal(counts.KeyID); ok {
			r.Principal = &p
			r.Unattended = counts.Opened && !counts.Attended && p.Kind == "human"
			if r.Verdict == Sealed {
				r.Warnings = append(r.Warnings, counts.lapsed(w, now)...)
				r.Made = counts.Origins.made(w)
				r.Rewritten = len(r.Made) > 0 && !counts.Origins.Reseal
				made := byPath(r.Made)
				r.Besides = len(made) > 0 && slices.ContainsFunc(e.Touched, func(c pluginapi.Change) bool { return made[string(c.Path)] == nil })
			}
		}
	}
	return r
}

func bypassed(d Denial) Finding {
	return Finding{
		Code: SealBypassed, Object: string(d.ID), Message: fmt.Sprintf("the gate refused it at %s, and it was made all the same: %s", d.Moment, d.Reason),
		Hint: "covenant capability explain " + d.ID.Short(),
	}
}

// exempt reports whether a human whose commits need no seal signed it with Git's
// own signature, and says so in the result. On a protected ref such a commit is held
// to all that the policy demands there but a seal; what it lacks is told.
func (e *Exam) exempt(w *World, r *Result, now time.Time) bool {
	if e.Signer == "" || len(e.Deep) > 0 {
		return false
	}
	p, ok := w.Principal(e.Signer)
	if !ok || p.Kind != string(trust.Human) || !w.Policy.Exempts(trust.Human) || !e.there(w, now) {
		return false
	}
	for _, d := range e.Denied { // it was somebody else's, whoever lent the key
		if by, _ := w.Principal(d.KeyID); by.Name != p.Name {
			return false
		}
	}
	var lacks []Finding
	if !e.Side && w.Policy.Protects(e.Ref) {
		lacks = demanded(w.Policy, p, "", e.Touched, e.Ref)
		for i := range lacks {
			lacks[i].Object, lacks[i].Hint = e.Commit.String(), "covenant policy show"
		}
		lacks = append(lacks, e.unproven(w, e.Ref, now)...)
	}
	if lacks = append(lacks, e.reviewed(w, []string{p.Accountable}, e.Touched, now)...); len(lacks) > 0 {
		r.Verdict, r.Principal, r.Findings = Unsealed, &p, append(r.Findings, lacks...)
		return false
	}
	for _, f := range r.Findings { // of what somebody put into its note
		r.Warnings = append(r.Warnings, Finding{Code: SealRefused, Object: f.Object, Message: "a line of its note was refused: " + f.Message})
	}
	r.Verdict, r.Principal, r.Findings = Exempt, &p, nil
	r.SealID, r.Mode = "", ""
	return true
}

// there reports whether the trust root knows the signer of Git's signature still, or
// knew it when somebody else took the commit into a protected ref: the commit's own
// dates are claims.
func (e *Exam) there(w *World, now time.Time) bool {
	if !w.Left(e.Signer, now) {
		return true
	}
	for at := range e.admitted(w, e.Signer, now) {
		if !w.Left(e.Signer, at) {
			return true
		}
	}
	return false
}

func rank(m provenance.Mode) int {
	if m == provenance.Witness {
		return 0
	}
	return 1
}

// examine returns what is true of a seal, and all that is wrong with it but authority.
func examine(w *World, c *Commit, cand *Candidate) ExamSeal {
	e := ExamSeal{ID: cand.ID, KeyID: cand.KeyID, Time: cand.Header.Time, InNote: cand.InNote, candidate: cand}
	add := func(code Code, path, hint, format string, a ...any) {
		e.Findings = append(e.Findings, Finding{Code: code, Path: path, Object: string(cand.ID), Message: fmt.Sprintf(format, a...), Hint: hint})
	}
	if cand.Err != nil {
		f := Finding{Code: CodeOf(cand.Err), Object: string(cand.ID), Message: cand.Err.Error()}
		if f.Code == SealUnknownKey {
			f.Object, f.Hint = cand.KeyID, "covenant identity list"
		}
		e.Findings = append(e.Findings, f)
		return e
	}
	s, h := cand.Seal, cand.Header
	p := &s.Predicate
	e.Opened, e.Mode, e.Ref, e.Intent, e.Grants, e.Attended = true, p.Mode, p.Ref, p.Intent, p.Grants, p.Attended
	e.Claimed = Principal{p.Principal.Name, p.Principal.Kind, p.Principal.Accountable, cand.KeyID}
	if s.Commit() != c.ID {
		add(SealSubject, "", "", "it seals commit %s, not this one", s.Commit().Short())
		return e
	}
	if w.Seen != nil && cand.Ledger != "" {
		e.Seen, _ = w.Seen(cand.Ledger, cand.Index)
	}
	if cand.InNote {
		e.Findings = append(e.Findings, unledgered(w, cand))
	}
	if chain := w.Chains[cand.Ledger]; chain != nil {
		if wrong := chain.Wrong(cand.Index); wrong != nil {
			e.Findings = append(e.Findings, *wrong)
		}
	}
	if chain := w.Chains[cand.Ledger]; chain != nil && chain.Lost != nil && cand.Index > chain.LostAt {
		f := *chain.Lost
		f.Object = string(cand.ID)
		e.Findings = append(e.Findings, f)
	}
	for _, d := range h.Heads {
		switch id, ok := w.At(d.Ledger, d.Seq); {
		case !ok:
			add(LedgerRolledBack, "", "covenant sync", "it saw entry %d of ledger %s, which is not there", d.Seq, d.Ledger)
		case id != d.ID:
			add(LedgerFork, "", "covenant doctor", "it saw %s as entry %d of ledger %s; %s stands there", d.ID.Short(), d.Seq, d.Ledger, id.Short())
		}
	}
	if s.Tree() != c.Tree {
		add(SealTree, "", "", "it seals tree %s; the commit has %s", s.Tree().Short(), c.Tree.Short())
	}
	if !slices.Equal(p.Parents, c.Parents) {
		add(SealParents, "", "", "it names parents %s; the commit has %s", shorts(p.Parents), shorts(c.Parents))
	} else {
		e.Findings = append(e.Findings, compareChanges(c, cand)...)
	}
	e.bound(w, c, cand)
	if p.Mode == provenance.Witness {
		d, ok := w.Decision(p.Decision)
		if !ok || d.KeyID != cand.KeyID || d.Header.Ledger() != h.Ledger() || d.Header.Seq >= h.Seq ||
			!d.Decision.Allows(cand.KeyID, c.Tree, c.Parents, p.Ref) {
			add(SealDecision, "", "", "it claims a decision %s for this commit; the ledger has none before it", p.Decision.Short())
		}
	}
	return e
}

// answerable reports whether a seal says something of this commit, so that its signer can be asked for it.
func (s *ExamSeal) answerable() bool {
	return s.Opened && (len(s.Findings) == 0 || s.Findings[0].Code != SealSubject)
}

// authorize asks whether the key may have sealed it, and returns the mode the seal really has with all findings but those about reviews.
func (s *ExamSeal) authorize(w *World, e *Exam, now time.Time) (provenance.Mode, []Finding) {
	out := slices.Clone(s.Findings)
	if !s.answerable() {
		return s.Mode, out
	}
	add := func(code Code, hint, format string, a ...any) {
		out = append(out, Finding{Code: code, Object: string(s.ID), Message: fmt.Sprintf(format, a...), Hint: hint})
	}
	who, known := w.Principal(s.KeyID)
	if !known {
		add(SealUnknownKey, "covenant identity list", "nobody here has the key %s", s.KeyID)
		return s.Mode, out
	}
	if s.Claimed != who {
		add(SealPrincipal, "", "it names %s (%s, under %s); the key is %s's (%s, under %s)",
			s.Claimed.Name, s.Claimed.Kind, s.Claimed.Accountable, who.Name, who.Kind, who.Accountable)
	}
	mode := s.Mode
	if mode == provenance.Witness && !slices.ContainsFunc(w.Emails(s.KeyID), func(a string) bool { return strings.EqualFold(a, e.Committer) }) {
		mode = provenance.Vouching
	}
	if !w.Holds(s.Grants, s.KeyID) {
		add(SealGrant, "covenant capability list", "it relies on grants %s, which are no line of grants from an operator to this key", shorts(s.Grants))
	}
	if len(s.Grants) == 0 && !w.Operator(s.KeyID) {
		add(SealGrant, "covenant capability list", "it names no grant, and %s is no operator", who.Name)
	}
	for _, a := range s.Acts {
		if w.Might != nil && !w.Might(a) {
			by, _ := w.Principal(a.KeyID)
			add(SealIntent, "covenant intent show "+s.Intent, "it says what intent %.12s had come to by %s, which %s never might do: %s",
				s.Intent, a.ID.Short(), cmp.Or(by.Name, a.KeyID), strings.TrimSpace(a.Action+" "+a.Role))
			break
		}
	}
	for _, d := range e.Denied {
		if d.KeyID == s.KeyID {
			out = append(out, bypassed(d))
		}
	}
	d := s.ask(w, e, mode, now)
	if !d.Allowed {
		hint := ""
		if d.Refused != "" {
			hint = "covenant capability show " + d.Refused.Short() + "; who may vouch for it all the same: covenant provenance seal " + e.Commit.Short()
		}
		if ref := s.ref(e); ref == "" && s.Ref != "" {
			hint = "it was made on " + s.Ref + "; say for which ref it is looked at: --ref " + s.Ref
		} else if ref != s.Ref && s.Ref != "" {
			hint = "it was made on " + s.Ref + ": who may commit to " + ref + " can take it in by a merge, and answers for that: git merge --no-ff"
		}
		if mode != s.Mode {
			hint = "the committer " + e.Committer + " is not an address of " + who.Name
		}
		add(SealAuthority, hint, "%s", d.Reason)
	}
	if ref := s.ref(e); w.Policy.Protects(ref) {
		for _, f := range demanded(w.Policy, who, mode, e.Touched, ref) {
			f.Object, f.Hint = string(s.ID), "covenant policy show"
			out = append(out, f)
		}
		out = append(out, e.unproven(w, ref, now)...)
	}
	return mode, out
}

// demanded returns what a policy demands on a protected ref and does not get, but for evidence. A
// commit that needs no seal has no mode: a rule that names modes wants one for its paths.
func demanded(p *trust.Policy, who Principal, mode provenance.Mode, touched []pluginapi.Change, ref string) []Finding {
	var out []Finding
	if mode != "" && !p.Accepts(string(mode)) {
		out = append(out, Finding{Code: PolicyMode, Message: fmt.Sprintf("a seal of mode %s is not enough on %s", mode, ref)})
	}
	for i := range touched {
		path := string(touched[i].Path)
		for _, rule := range p.RulesFor(path) {
			switch {
			case len(rule.Principals) > 0 && !slices.Contains(rule.Principals, who.Name):
				out = append(out, Finding{Code: PolicyPath, Path: path, Message: fmt.Sprintf("only %s may change it on %s", strings.Join(rule.Principals, ", "), ref)})
			case len(rule.Kinds) > 0 && !slices.Contains(rule.Kinds, who.Kind):
				out = append(out, Finding{Code: PolicyPath, Path: path, Message: fmt.Sprintf("only principals of kind %s may change it on %s", strings.Join(rule.Kinds, ", "), ref)})
			case len(rule.Modes) > 0 && !slices.Contains(rule.Modes, string(mode)):
				out = append(out, Finding{Code: PolicyMode, Path: path, Message: fmt.Sprintf("it needs a seal of mode %s on %s", strings.Join(rule.Modes, " or "), ref)})
			}
		}
	}
	if len(out) > maxListed {
		out = append(out[:maxListed:maxListed], Finding{Code: out[maxListed].Code, Message: fmt.Sprintf("and %d more", len(out)-maxListed)})
	}
	return out
}

// ref is the one a seal is judged on: the ref under review, never the one it
// claims; but a commit that a merge brought in was made where its seal says, and
// the merge answers for bringing it here.
func (s *ExamSeal) ref(e *Exam) string {
	if e.Side {
		return s.Ref
	}
	return e.Ref
}

// ask asks for authority at the moments that count. What somebody else took into
// a protected ref is judged as of then: later ends of grants don't undo it.
// Otherwise all revocations count, and a grant must be in force now, or have
// been when somebody accountable first saw the seal.
func (s *ExamSeal) ask(w *World, e *Exam, mode provenance.Mode, now time.Time) capability.Decision {
	q := capability.Query{KeyID: s.KeyID, Action: capability.Commit, Ref: s.ref(e), Intent: s.Intent, Changes: e.Touched}
	if mode == provenance.Vouching {
		q.Action = capability.Vouch
	}
	for at, in := range e.admitted(w, s.KeyID, now) {
		then := q
		then.At, then.EndedBy, then.Past = at, at, true
		if !e.Side && (e.Ref == "" || !w.Policy.Protects(e.Ref)) {
			then.Ref = in.Ref // what was taken into one protected ref was not taken into another
		}
		if d := w.Authority.Decide(then); d.Allowed {
			return d
		}
	}
	q.At = now
	d := w.Authority.Decide(q)
	if at, err := time.Parse(time.RFC3339, s.Seen.Time); err == nil && !d.Allowed && at.Before(now) {
		q.At, q.Past = at.Add(-time.Second), true // it was there before it was seen
		if seen := w.Authority.Decide(q); seen.Allowed {
			return seen
		}
	}
	return d
}

// admitted tells when, and into which protected ref, others than the holder of a key, and than those who
// have it from that one, took the commit in and were allowed to.
func (e *Exam) admitted(w *World, keyID string, now time.Time) iter.Seq2[time.Time, Admission] {
	return func(yield func(time.Time, Admission) bool) {
		self, _ := w.Principal(keyID)
		for _, a := range e.Admissions {
			at, err := time.Parse(time.RFC3339, a.Time)
			by, known := w.Principal(a.KeyID)
			if err != nil || !known || by.Name == self.Name || at.After(now) || !w.Policy.Protects(a.Ref) {
				continue
			}
			q := capability.Query{KeyID: a.KeyID, Action: a.Action, At: at, Ref: a.Ref, Past: true}
			if seen, err := time.Parse(time.RFC3339, a.Seen); err == nil {
				q.EndedBy = seen.Add(-time.Second) // it was there before it was seen: what ended since does not undo it
			}
			if !w.Authority.Decide(q).Allowed || w.Apart != nil && !w.Apart(q, self.Name) {
				continue
			}
			if !yield(at, a) {
				return
			}
		}
	}
}

// unledgered says what a seal that only a note holds means: its ledger lacks it.
func unledgered(w *World, cand *Candidate) Finding {
	h := cand.Header
	f := Finding{Object: string(cand.ID), Hint: "covenant sync"}
	switch id, ok := w.At(h.Ledger(), h.Seq); {
	case ok && id == "":
		f.Code, f.Message, f.Hint = LedgerDamaged, fmt.Sprintf("the note has it as entry %d of ledger %s, which can't be read there", h.Seq, h.Ledger()), "covenant doctor"
	case ok && id != cand.ID:
		f.Code, f.Message = LedgerFork, fmt.Sprintf("the note has it as entry %d of ledger %s; %s stands there", h.Seq, h.Ledger(), id.Short())
	case w.Chains[h.Ledger()] != nil:
		f.Code, f.Message = LedgerRolledBack, fmt.Sprintf("the note has it as entry %d of ledger %s, which ends before", h.Seq, h.Ledger())
	default:
		f.Code, f.Message = SealUnledgered, fmt.Sprintf("only a note has it; ledger %s is not here", h.Ledger())
	}
	return f
}

func compareChanges(c *Commit, cand *Candidate) []Finding {
	if c.DiffErr != nil {
		return []Finding{{Code: DiffFailed, Object: c.ID.String(), Message: "Git can't say what it changes: " + c.DiffErr.Error()}}
	}
	var out []Finding
	lists := cand.Seal.Predicate.Changes
	for i, actual := range c.Diffs {
		if i >= len(lists) {
			break // parents were compared before
		}
		diffs := provenance.Compare(i, lists[i], actual)
		for n, d := range diffs {
			if n == maxListed {
				out = append(out, Finding{Code: sealPrefix + Code(d.Kind), Object: string(cand.ID), Message: fmt.Sprintf("and %d more paths", len(diffs)-n)})
				break
			}
			msg := d.Detail
			if len(c.Diffs) > 1 {
				msg += fmt.Sprintf(" (against parent %d)", i+1)
			}
			out = append(out, Finding{Code: sealPrefix + Code(d.Kind), Path: d.Path, Object: string(cand.ID), Message: msg})
		}
	}
	return out
}

func shorts[T interface{ Short() string }](ids []T) string {
	if len(ids) == 0 {
		return "none"
	}
	s := make([]string, len(ids))
	for i, id := range ids {
		s[i] = id.Short()
	}
	return strings.Join(s, ", ")
}
