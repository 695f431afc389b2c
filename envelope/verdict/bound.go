package verdict

import (
	"fmt"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/git/oid"
)

// Codes of what is wrong with what a seal names of the record around its commit.
const (
	SealEvidence Code = "seal.evidence"
	SealReview   Code = "seal.review"
	SealIntent   Code = "seal.intent"
	SealLapsed   Code = "seal.lapsed" // a warning: it held when it was named
)

// Named is an entry that a seal names by its identity, as it stands here.
type Named struct {
	Evidence, Review bool   // at most one is set; neither: it says something else
	Base, Tree       oid.ID // what it is about; Base of a review, zero where the change is the first of all
	Standing
}

// Standing is what decides whether an entry that a seal names counts still.
type Standing struct {
	ID    envelope.Digest `json:"id"`
	KeyID string          `json:"key"`
	Seen  string          `json:"seen,omitempty"` // when somebody accountable first saw it
	Why   string          `json:"why,omitempty"`  // why it counts for nothing, whoever asks
}

// Work is what the statements about an intent come to, down to one that a seal names: alone, whatever else was said of the intent.
type Work struct {
	Intent     string
	State      string
	Statements int
	Acts       []Act           // that were taken, by whom: of those alike the first
	Why        string          // why there was no such way: a step is against the rules of intents
	Lacks      envelope.Digest // a statement that is not here; "" for none
	Newer      bool            // a statement is newer than this program
}

// Act is what somebody did to an intent. That its signer never held anything by which it might is wrong whenever it is asked; what ended
// since, or was too late, is no matter of who saw it happen.
type Act struct {
	ID     envelope.Digest `json:"id"`
	KeyID  string          `json:"key"`
	Action string          `json:"action"`
	Intent string          `json:"intent,omitempty"`
	Role   string          `json:"role,omitempty"`
}

// Like reports whether another is the same act of the same key: who may do one may do the other.
func (a *Act) Like(b Act) bool {
	return a.KeyID == b.KeyID && a.Action == b.Action && a.Intent == b.Intent && a.Role == b.Role
}

// bound holds what a seal names to what the ledgers have.
func (s *ExamSeal) bound(w *World, c *Commit, cand *Candidate) {
	p := &cand.Seal.Predicate
	add := func(code Code, hint, format string, a ...any) {
		s.Findings = append(s.Findings, Finding{Code: code, Object: string(cand.ID), Message: fmt.Sprintf(format, a...), Hint: hint})
	}
	gone := func(what string, id envelope.Digest) {
		add(LedgerRolledBack, "covenant sync", "it names %s %s, which no ledger here has", what, id.Short())
	}
	if w.Named != nil {
		for _, id := range p.Evidence {
			switch n, ok := w.Named(id); {
			case !ok:
				gone("evidence", id)
			case !n.Evidence:
				add(SealEvidence, "", "it names %s as evidence, and it is none", id.Short())
			case n.Tree != cand.Seal.Tree():
				add(SealEvidence, "", "it names evidence %s, which is about tree %s", id.Short(), n.Tree.Short())
			default:
				s.Named = append(s.Named, n.Standing)
			}
		}
		for _, id := range p.Reviews {
			switch n, ok := w.Named(id); {
			case !ok:
				gone("review", id)
			case !n.Review:
				add(SealReview, "", "it names %s as a review, and it is none", id.Short())
			case n.Tree != cand.Seal.Tree() || c.Based && n.Base != c.Base:
				add(SealReview, "", "it names review %s, which is of the step from %s to %s", id.Short(), from(n.Base), n.Tree.Short())
			default:
				s.Named = append(s.Named, n.Standing)
			}
		}
	}
	if x := p.IntentState; x != nil && w.Work != nil {
		work, ok := w.Work(x.Last)
		says := fmt.Sprintf("it says that intent %.12s was %s after %d statements", p.Intent, x.State, x.Statements)
		switch {
		case !ok:
			gone("statement about an intent", x.Last)
		case work.Lacks != "":
			add(LedgerRolledBack, "covenant sync", "it names statement %s about an intent, which follows %s, which no ledger here has", x.Last.Short(), work.Lacks.Short())
		case work.Newer:
			add(SealNewer, "update covenant", "%s, and these are newer than this program", says)
		case work.Why != "":
			add(SealIntent, "covenant intent show "+p.Intent, "%s, and that never was: %s", says, work.Why)
		case work.Intent != p.Intent:
			add(SealIntent, "", "%s, the last of them %s, which is about intent %.12s", says, x.Last.Short(), work.Intent)
		case work.State != x.State || work.Statements != x.Statements:
			add(SealIntent, "covenant intent show "+p.Intent, "%s; with %s it was %s after %d", says, x.Last.Short(), work.State, work.Statements)
		default:
			s.Acts = work.Acts
		}
	}
}

// from names the tree that a step comes from.
func from(tree oid.ID) string {
	if tree.IsZero() {
		return "nothing"
	}
	return tree.Short()
}

// lapsed tells what a seal names and that counts for nothing now: it did when it was named, or nobody could know better.
func (s *ExamSeal) lapsed(w *World, now time.Time) []Finding {
	var out []Finding
	for i := range s.Named {
		n := &s.Named[i]
		at := now
		if t, err := time.Parse(time.RFC3339, n.Seen); err == nil {
			at = t
		}
		why := n.Why
		if who, known := w.Principal(n.KeyID); why == "" && !known {
			why = "nobody here has the key that signed it"
		} else if why == "" && w.Left(n.KeyID, at) {
			why = "the trust root let " + who.Name + ", or this key, go before anybody else saw it"
		}
		if why != "" {
			out = append(out, Finding{Code: SealLapsed, Object: string(n.ID), Message: fmt.Sprintf("the seal names %s, which counts for nothing now: %s", n.ID.Short(), why)})
		}
	}
	return out
}
