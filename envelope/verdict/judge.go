package verdict

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/git/oid"
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
	Grants   []envelope.Digest `json:"grants,omitempty"` // it relies on
	Paths    [][]byte          `json:"paths,omitempty"`  // that change; bytes
	Attended bool              `json:"attended,omitempty"`
	Findings []Finding         `json:"findings,omitempty"`

	candidate *Candidate
}

// Examine looks at everything but authority.
func Examine(w *World, c *Commit) Exam {
	e := Exam{Commit: c.ID, Before: c.Before, Committer: c.Committer, Notes: c.Notes, Deep: c.DeepErrs}
	if c.Before {
		return e
	}
	for i := range c.Candidates {
		e.Seals = append(e.Seals, examine(w, c, &c.Candidates[i]))
	}
	return e
}

// Judge asks for authority at a moment, which matters to grants that expire, and sums up.
func (e Exam) Judge(w *World, now time.Time) Result {
	r := Result{Commit: e.Commit, Warnings: slices.Clone(e.Notes)}
	if e.Before {
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
	var good, bad []judged
	for i := range e.Seals {
		s := &e.Seals[i]
		mode, findings := s.authorize(w, e.Committer, now)
		if len(findings) == 0 {
			good = append(good, judged{s, mode, nil})
		} else {
			bad = append(bad, judged{s, mode, findings})
		}
	}
	// Of several good seals the one that says most counts: made at the moment
	// before made later, then the older one.
	slices.SortStableFunc(good, func(a, b judged) int {
		return cmp.Or(cmp.Compare(rank(a.mode), rank(b.mode)), cmp.Compare(a.seal.Time, b.seal.Time), cmp.Compare(a.seal.ID, b.seal.ID))
	})
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
		for _, b := range bad {
			r.Findings = append(r.Findings, b.findings...)
			if b.seal.Opened || !b.seal.InNote {
				r.Verdict = Invalid
			}
			if counts == nil {
				counts, r.Mode = b.seal, b.mode
			}
		}
		if r.Verdict == Unsealed {
			r.Findings = append([]Finding{{
				Code: SealMissing, Object: e.Commit.String(), Message: "nobody known here sealed it",
				Hint: "covenant provenance seal " + e.Commit.Short(),
			}}, r.Findings...)
		}
		r.Findings = append(r.Findings, e.Deep...)
	}
	if counts != nil {
		r.SealID, r.Seal = counts.ID, counts.candidate
		if p, ok := w.Principal(counts.KeyID); ok {
			r.Principal = &p
			r.Unattended = counts.Opened && !counts.Attended && p.Kind == "human"
		}
	}
	return r
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
	e.Opened, e.Mode, e.Ref, e.Grants, e.Attended = true, p.Mode, p.Ref, p.Grants, p.Attended
	e.Claimed = Principal{p.Principal.Name, p.Principal.Kind, p.Principal.Accountable, cand.KeyID}
	if s.Commit() != c.ID {
		add(SealSubject, "", "", "it seals commit %s, not this one", s.Commit().Short())
		return e
	}
	for _, path := range provenance.Paths(p.Changes) {
		e.Paths = append(e.Paths, []byte(path))
	}
	if cand.InNote {
		e.Findings = append(e.Findings, unledgered(w, cand))
	}
	if chain := w.Chains[cand.Ledger]; chain != nil && !chain.Whole(cand.Index) {
		e.Findings = append(e.Findings, *chain.Broken)
	}
	for _, d := range h.Heads {
		switch id, ok := w.At(d.Ledger, d.Seq); {
		case !ok:
			add(LedgerRolledBack, "", "git fetch <remote> 'refs/covenant/*:refs/covenant/*'", "it saw entry %d of ledger %s, which is not there", d.Seq, d.Ledger)
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
	if p.Mode == provenance.Witness {
		d, ok := w.Decision(p.Decision)
		if !ok || d.KeyID != cand.KeyID || d.Header.Ledger() != h.Ledger() || d.Header.Seq >= h.Seq ||
			!d.Decision.Allows(cand.KeyID, c.Tree, c.Parents, p.Ref) {
			add(SealDecision, "", "", "it claims a decision %s for this commit; the ledger has none before it", p.Decision.Short())
		}
	}
	return e
}

// authorize asks whether the key may have sealed it, and returns the mode the seal really has with all findings.
func (e *ExamSeal) authorize(w *World, committer string, now time.Time) (provenance.Mode, []Finding) {
	out := slices.Clone(e.Findings)
	if !e.Opened || (len(out) > 0 && out[0].Code == SealSubject) {
		return e.Mode, out
	}
	add := func(code Code, hint, format string, a ...any) {
		out = append(out, Finding{Code: code, Object: string(e.ID), Message: fmt.Sprintf(format, a...), Hint: hint})
	}
	who, known := w.Principal(e.KeyID)
	if !known {
		add(SealUnknownKey, "covenant identity list", "nobody here has the key %s", e.KeyID)
		return e.Mode, out
	}
	if e.Claimed != who {
		add(SealPrincipal, "", "it names %s (%s, under %s); the key is %s's (%s, under %s)",
			e.Claimed.Name, e.Claimed.Kind, e.Claimed.Accountable, who.Name, who.Kind, who.Accountable)
	}
	mode := e.Mode
	if mode == provenance.Witness && !slices.ContainsFunc(w.Emails(e.KeyID), func(a string) bool { return strings.EqualFold(a, committer) }) {
		mode = provenance.Vouching
	}
	for _, id := range e.Grants {
		if !w.HasGrant(id, e.KeyID) {
			add(SealGrant, "covenant identity list", "it relies on grant %s, which nobody with authority gave to this key", id.Short())
		}
	}
	if len(e.Grants) == 0 && !w.Operator(e.KeyID) {
		add(SealGrant, "covenant identity list", "it names no grant, and %s is no operator", who.Name)
	}
	action := capability.Commit
	if mode == provenance.Vouching {
		action = capability.Vouch
	}
	paths := make([]string, len(e.Paths))
	for i, p := range e.Paths {
		paths[i] = string(p)
	}
	if d := w.Authority.Decide(capability.Request{KeyID: e.KeyID, Action: action, At: now, Paths: paths, Ref: e.Ref}); !d.Allowed {
		hint := ""
		if mode != e.Mode {
			hint = "the committer " + committer + " is not an address of " + who.Name
		}
		add(SealAuthority, hint, "%s", d.Reason)
	}
	return mode, out
}

// unledgered says what a seal that only a note holds means: its ledger lacks it.
func unledgered(w *World, cand *Candidate) Finding {
	h := cand.Header
	f := Finding{Object: string(cand.ID), Hint: "git fetch <remote> 'refs/covenant/*:refs/covenant/*'"}
	switch id, ok := w.At(h.Ledger(), h.Seq); {
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
