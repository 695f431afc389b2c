package provenance

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/evidence"
	"github.com/open-covenant/covenant-git/envelope/review"
	"github.com/open-covenant/covenant-git/envelope/trust"
)

// Held is what became of an entry that somebody showed at a gate.
type Held struct {
	What string `json:"what,omitempty"` // it is, for people
	Why  string `json:"why,omitempty"`  // it does not hold; "" when it does
}

// Shown is what an entry says that somebody showed at a gate, and what became of it.
type Shown struct {
	Held
	Result  evidence.Result `json:"result,omitempty"`  // of evidence
	Verdict review.Verdict  `json:"verdict,omitempty"` // of a review
	Gates   []string        `json:"gates,omitempty"`   // that a review names
	By      string          `json:"by,omitempty"`      // who signed it, or gave a review on a forge, where that is known
	Person  bool            `json:"person,omitempty"`  // By is a human
}

// Shown tells what an entry is, and whether what it says holds still: it is in its ledger, its signer is known and has neither left before anybody else
// saw it nor lost all that was granted to it, and of a review that its signer says the same still.
func (f *Facts) Shown(id envelope.Digest, now time.Time) Shown {
	n, there := f.bound[id]
	if !there {
		if _, there = f.byID[id]; !there {
			return Shown{Held: Held{Why: "no ledger here has it"}}
		}
		return Shown{Held: Held{What: "an entry"}}
	}
	who := n.KeyID
	p, known := f.Authority.ByKey(n.KeyID)
	if known {
		who = p.Name
	}
	at := now
	if t, err := time.Parse(time.RFC3339, n.Seen); err == nil {
		at = t
	}
	h := f.says(id)
	h.What += " by " + who
	if h.By == "" && known {
		h.By, h.Person = p.Name, p.Kind == string(trust.Human)
	}
	switch {
	case n.Why != "":
		h.Why = n.Why
	case !known:
		h.Why = "nobody here has the key that signed it"
	case p.Gone(at):
		h.Why = "the trust root let " + who + ", or this key, go before anybody else saw it"
	case f.Authority.Stripped(n.KeyID, time.Time{}):
		h.Why = "all that was granted to " + who + " was revoked"
	default:
		h.Why = f.takenBack(id)
	}
	return h
}

// Makers returns who sealed commits for an intent, and who answers for them.
func (f *Facts) Makers(intent string) map[string]string {
	out := map[string]string{}
	for _, list := range f.seals {
		for i := range list {
			if f.intentOf(&list[i]) != intent {
				continue
			}
			if p, ok := f.Authority.ByKey(list[i].KeyID); ok {
				out[p.Name] = p.Accountable
			}
		}
	}
	return out
}

// says tells what evidence or a review says.
func (f *Facts) says(id envelope.Digest) Shown {
	if i := f.reviewAt(id); i >= 0 {
		p := &f.Reviews[i].Statement.Predicate
		out := Shown{Held: Held{What: "review: " + string(p.Verdict)}, Verdict: p.Verdict, Gates: p.Gates}
		if p.Forge != nil {
			if out.By, out.Person = f.Root.Policy.Person(p.Forge.Account); !out.Person || !f.reviews(&f.Reviews[i]) {
				out.By, out.Person = p.Forge.Account, false
			}
		}
		return out
	}
	for _, list := range f.Evidence {
		for i := range list {
			if list[i].ID == id {
				p := &list[i].Statement.Predicate
				return Shown{Held: Held{What: fmt.Sprintf("evidence: %s %s", p.Run.Name, strings.ToLower(string(p.Result)))}, Result: p.Result}
			}
		}
	}
	return Shown{Held: Held{What: "an entry"}}
}

func (f *Facts) reviewAt(id envelope.Digest) int {
	return slices.IndexFunc(f.Reviews, func(r Review) bool { return r.ID == id })
}

// takenBack says that whose word a review is said otherwise of the same change since.
func (f *Facts) takenBack(id envelope.Digest) string {
	i := f.reviewAt(id)
	if i < 0 || !f.mayCount(&f.Reviews[i]) {
		return ""
	}
	r, order := &f.Reviews[i], f.reviewOrder()
	who := f.speaker(r)
	last := f.reviewedBy(r, order[i])
	for j := range f.Reviews {
		x := &f.Reviews[j]
		if f.mayCount(x) && f.speaker(x) == who && stepOf(x) == stepOf(r) {
			if said := f.reviewedBy(x, order[j]); said.Compare(last) > 0 {
				last = said
			}
		}
	}
	if v := last.Verdict; v != r.Statement.Predicate.Verdict || v == review.Withdraw {
		return fmt.Sprintf("%s says %s of the same change since, in %s", who, v, last.ID.Short())
	}
	return ""
}

// speaker is whose word a review is that may count.
func (f *Facts) speaker(r *Review) string {
	if g := r.Statement.Predicate.Forge; g != nil {
		name, _ := f.Root.Policy.Person(g.Account)
		return name
	}
	p, _ := f.Authority.ByKey(r.KeyID)
	return p.Name
}
