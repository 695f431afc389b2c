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
)

// Decided is a recorded decision and its place.
type Decided struct {
	Header   envelope.Header
	KeyID    string
	Decision *provenance.Decision
}

// maxListed bounds the findings of one kind that one seal can cause: past it only their number is told.
const maxListed = 50

// Judge returns the verdict of one commit at a moment. The moment matters to
// grants that expire.
func Judge(w *World, c *Commit, now time.Time) Result {
	r := Result{Commit: c.ID, Warnings: slices.Clone(c.Notes)}
	if c.Before {
		r.Verdict = Before
		return r
	}
	type judged struct {
		cand     *Candidate
		mode     provenance.Mode
		findings []Finding
	}
	var good, bad []judged
	for i := range c.Candidates {
		cand := &c.Candidates[i]
		mode, findings := judgeSeal(w, c, cand, now)
		if len(findings) == 0 {
			good = append(good, judged{cand, mode, nil})
		} else {
			bad = append(bad, judged{cand, mode, findings})
		}
	}
	// Of several good seals the one that says most counts: made at the moment
	// before made later, then the older one.
	slices.SortStableFunc(good, func(a, b judged) int {
		return cmp.Or(
			cmp.Compare(rank(a.mode), rank(b.mode)),
			cmp.Compare(a.cand.Header.Time, b.cand.Header.Time),
			cmp.Compare(a.cand.ID, b.cand.ID))
	})
	if len(good) > 0 {
		best := good[0]
		r.Verdict, r.Mode, r.Coverage, r.Seal = Sealed, best.mode, "own", best.cand
		for _, other := range good[1:] {
			if other.cand.ID != best.cand.ID {
				r.Warnings = append(r.Warnings, Finding{Code: SealConflict, Object: string(other.cand.ID),
					Message: fmt.Sprintf("sealed more than once: %s counts, by %s", best.cand.ID.Short(), best.cand.KeyID)})
			}
		}
		for _, b := range bad {
			r.Warnings = append(r.Warnings, Finding{Code: SealRefused, Object: string(b.cand.ID),
				Message: "another seal of it was refused: " + b.findings[0].Message})
		}
		if len(c.DeepErrs) > 0 {
			r.Verdict, r.Findings = Invalid, slices.Clone(c.DeepErrs)
		}
	} else {
		r.Verdict = Unsealed
		for _, b := range bad {
			r.Findings = append(r.Findings, b.findings...)
			if b.cand.Seal != nil || !b.cand.InNote {
				r.Verdict = Invalid
			}
			if r.Seal == nil {
				r.Seal, r.Mode = b.cand, b.mode
			}
		}
		if r.Verdict == Unsealed {
			r.Findings = append([]Finding{{Code: SealMissing, Object: c.ID.String(), Message: "nobody known here sealed it",
				Hint: "covenant provenance seal " + c.ID.Short()}}, r.Findings...)
		}
		r.Findings = append(r.Findings, c.DeepErrs...)
	}
	if r.Seal != nil {
		if p, ok := w.Principal(r.Seal.KeyID); ok {
			r.Principal = &p
		}
		if r.Seal.Seal != nil {
			r.Unattended = !r.Seal.Seal.Predicate.Attended && r.Principal != nil && r.Principal.Kind == "human"
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

// judgeSeal returns the mode a seal really has, and everything wrong with it.
func judgeSeal(w *World, c *Commit, cand *Candidate, now time.Time) (provenance.Mode, []Finding) {
	var out []Finding
	add := func(code Code, path, hint, format string, a ...any) {
		out = append(out, Finding{Code: code, Path: path, Object: string(cand.ID), Message: fmt.Sprintf(format, a...), Hint: hint})
	}
	if cand.Err != nil {
		f := Finding{Code: CodeOf(cand.Err), Object: string(cand.ID), Message: cand.Err.Error()}
		if f.Code == SealUnknownKey {
			f.Object, f.Hint = cand.KeyID, "covenant identity list"
		}
		return "", append(out, f)
	}
	s, h := cand.Seal, cand.Header
	p := &s.Predicate
	if s.Commit() != c.ID {
		add(SealSubject, "", "", "it seals commit %s, not this one", s.Commit().Short())
		return p.Mode, out
	}
	if cand.InNote {
		out = append(out, unledgered(w, cand))
	}
	if chain := w.Chains[cand.Ledger]; chain != nil && !chain.Whole(cand.Index) {
		out = append(out, *chain.Broken)
	}
	for _, d := range h.Heads {
		switch id, ok := w.At(d.Ledger, d.Seq); {
		case !ok:
			add(LedgerRolledBack, "", "git fetch <remote> 'refs/covenant/*:refs/covenant/*'", "it saw entry %d of ledger %s, which is not there", d.Seq, d.Ledger)
		case id != d.ID:
			add(LedgerFork, "", "covenant doctor", "it saw %s as entry %d of ledger %s; %s stands there", d.ID.Short(), d.Seq, d.Ledger, id.Short())
		}
	}
	who, known := w.Principal(cand.KeyID)
	if !known {
		add(SealUnknownKey, "", "covenant identity list", "nobody here has the key %s", cand.KeyID)
		return p.Mode, out
	}
	if claimed := (Principal{p.Principal.Name, p.Principal.Kind, p.Principal.Accountable, cand.KeyID}); claimed != who {
		add(SealPrincipal, "", "", "it names %s (%s, under %s); the key is %s's (%s, under %s)",
			claimed.Name, claimed.Kind, claimed.Accountable, who.Name, who.Kind, who.Accountable)
	}
	if s.Tree() != c.Tree {
		add(SealTree, "", "", "it seals tree %s; the commit has %s", s.Tree().Short(), c.Tree.Short())
	}
	if !slices.Equal(p.Parents, c.Parents) {
		add(SealParents, "", "", "it names parents %s; the commit has %s", shorts(p.Parents), shorts(c.Parents))
	} else {
		out = append(out, compareChanges(c, cand)...)
	}
	mode := p.Mode
	if mode == provenance.Witness {
		d, ok := w.Decision(p.Decision)
		if !ok || d.KeyID != cand.KeyID || d.Header.Ledger() != h.Ledger() || d.Header.Seq >= h.Seq ||
			!d.Decision.Allows(cand.KeyID, c.Tree, c.Parents, p.Ref) {
			add(SealDecision, "", "", "it claims a decision %s for this commit; the ledger has none before it", p.Decision.Short())
		}
		if !slices.ContainsFunc(w.Emails(cand.KeyID), func(e string) bool { return strings.EqualFold(e, c.Committer) }) {
			mode = provenance.Vouching
		}
	}
	for _, id := range p.Grants {
		if !w.HasGrant(id, cand.KeyID) {
			add(SealGrant, "", "covenant identity list", "it relies on grant %s, which nobody with authority gave to this key", id.Short())
		}
	}
	if len(p.Grants) == 0 && !w.Operator(cand.KeyID) {
		add(SealGrant, "", "covenant identity list", "it names no grant, and %s is no operator", who.Name)
	}
	action := capability.Commit
	if mode == provenance.Vouching {
		action = capability.Vouch
	}
	if d := w.Authority.Decide(capability.Request{KeyID: cand.KeyID, Action: action, At: now, Paths: provenance.Paths(p.Changes), Ref: p.Ref}); !d.Allowed {
		hint := ""
		if mode != p.Mode {
			hint = "the committer " + c.Committer + " is not an address of " + who.Name
		}
		add(SealAuthority, "", hint, "%s", d.Reason)
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
