package capability

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/identity"
)

// Principal is who a key speaks for.
type Principal struct {
	Name        string
	Kind        string // "human", "agent" or "automation"
	Accountable string // the human who answers for it; a human's own name
	Operator    bool   // signs grants, and needs none where MayAct says so
	Emails      []string
	Keys        []identity.PublicKey

	// MayAct tells what an operator does without a grant; nil: everything.
	MayAct func(action string) bool
	// OperatorUntil is when a person of the trust root, who is no operator now, was one last, and OperatorSeen how far the
	// person's ledgers reached then. What that person ended or narrowed by then stays so. Zero: never.
	OperatorUntil time.Time
	OperatorSeen  []envelope.Head
	// Until is when the trust root let this person or key go: it is known, and
	// may do nothing from then on. Zero: it is in the root.
	Until time.Time
	// Seen is how far this key's ledgers reached when it was removed; what stands beyond, or in a ledger that is not
	// named, counts for nothing, whatever time it claims.
	Seen []envelope.Head
	// Lapse: grants of one who went count for nothing from Until on.
	Lapse bool
	// Compromised voids all that is dated then or later. Zero: nothing.
	Compromised time.Time
}

// Commits reports whether an address is one that the principal commits with, letter case aside.
func (p *Principal) Commits(email string) bool {
	return slices.ContainsFunc(p.Emails, func(e string) bool { return strings.EqualFold(e, email) })
}

// Gone reports whether the trust root had let the principal go at a moment, or holds its keys for stolen then.
func (p *Principal) Gone(at time.Time) bool {
	return !p.Until.IsZero() && !at.Before(p.Until) || !p.Compromised.IsZero() && !at.Before(p.Compromised)
}

// Reach returns how far a ledger that this principal's key writes counts: up to the entry that the trust root names
// since it removed the key, the zero head where it names none. all: it is in the root, and nothing ends the ledger.
func (p *Principal) Reach(ledger string) (last envelope.Head, all bool) {
	if p.Until.IsZero() {
		return envelope.Head{}, true
	}
	return of(p.Seen, ledger), false
}

// of returns the head of a ledger, the zero head where there is none.
func of(heads []envelope.Head, ledger string) envelope.Head {
	for _, h := range heads {
		if h.Ledger == ledger {
			return h
		}
	}
	return envelope.Head{}
}

// Ends returns what the trust root says of how far a ledger of this principal reached at some time, in no order.
func (p *Principal) Ends(ledger string) []envelope.Head {
	var out []envelope.Head
	for _, h := range []envelope.Head{of(p.Seen, ledger), of(p.OperatorSeen, ledger)} {
		if h.Seq > 0 {
			out = append(out, h)
		}
	}
	return out
}

// left reports whether a statement was made after its signer had left.
func (p *Principal) left(at Place) bool {
	if !p.Compromised.IsZero() && !at.Time.Before(p.Compromised) {
		return true
	}
	last, all := p.Reach(at.Ledger)
	return !all && at.Seq > last.Seq
}

// operated reports whether the principal is an operator, or was one when it made a statement.
func (p *Principal) operated(at Place) bool {
	return p.Operator || !p.OperatorUntil.IsZero() && at.Seq <= of(p.OperatorSeen, at.Ledger).Seq
}

// Operated returns up to which entry a ledger of a person, who is no operator now, was an operator's.
func (p *Principal) Operated(ledger string) uint64 { return of(p.OperatorSeen, ledger).Seq }

// operatedBy reports whether the principal is an operator, or was one at a moment that is certain.
func (p *Principal) operatedBy(at time.Time) bool {
	return p.Operator || !p.OperatorUntil.IsZero() && !at.After(p.OperatorUntil)
}

// ErrLate says that a statement was signed by a key that had been removed, or that was removed before anybody
// who removed it knew of the statement. Who may says the same again with a key that is there.
var ErrLate = errors.New("its signer's key was removed")

// tooLate says why a statement of one who left counts for nothing.
func (p *Principal) tooLate(at Place) error {
	switch {
	case !p.Compromised.IsZero() && !at.Time.Before(p.Compromised):
		return fmt.Errorf("%w: %s's, compromised since %s", ErrLate, p.Name, envelope.Timestamp(p.Compromised))
	case at.Ledger == "":
		return fmt.Errorf("%w: %s's, at %s", ErrLate, p.Name, envelope.Timestamp(p.Until))
	}
	return fmt.Errorf("%w: %s's, at %s; entry %d of %s was not known to who removed it", ErrLate, p.Name, envelope.Timestamp(p.Until), at.Seq, at.Ledger)
}
