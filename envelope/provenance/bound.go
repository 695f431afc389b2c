package provenance

import (
	"fmt"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope"
)

// BoundType is the predicateType of a seal that names something of the record around its commit. One that names nothing is of
// [SealType], so who reads no other reads those.
const BoundType = "https://github.com/open-covenant/covenant-git/seal/v2"

// Limits of what a seal names.
const (
	MaxBound      = 16      // pieces of evidence, and reviews
	MaxStatements = 1 << 16 // about an intent
	maxMore       = 1 << 20 // that were left out
	intentDigits  = 32      // of the id of an intent
	maxState      = 32      // bytes of the name of a state
	stateLetters  = "abcdefghijklmnopqrstuvwxyz_"
	hexadecimals  = "0123456789abcdef"
)

// Bound is what a seal names of the record around its commit, as its signer saw it. What is named is held to what the ledgers
// have; what is not named is not said to be missing.
type Bound struct {
	Evidence     []envelope.Digest `json:"evidence,omitempty"`     // about exactly the commit's tree; sorted
	EvidenceMore int               `json:"evidenceMore,omitempty"` // how many more there were, at least
	IntentState  *IntentState      `json:"intentState,omitempty"`  // of the intent that the seal names by its id
	Reviews      []envelope.Digest `json:"reviews,omitempty"`      // of exactly the step from its first parent's tree to its own; sorted
	ReviewsMore  int               `json:"reviewsMore,omitempty"`
}

// IntentState is what the statements about an intent came to.
type IntentState struct {
	Last       envelope.Digest `json:"last"` // the newest of those that counted: it names the one before it, and so all
	State      string          `json:"state"`
	Statements int             `json:"statements"` // that counted, the opening among them
}

// Names reports whether anything is named.
func (b *Bound) Names() bool {
	return len(b.Evidence) > 0 || len(b.Reviews) > 0 || b.IntentState != nil || b.EvidenceMore != 0 || b.ReviewsMore != 0
}

// IsIntentID reports whether the name of an intent is an id: a state can be said of no other.
func IsIntentID(s string) bool { return len(s) == intentDigits && strings.Trim(s, hexadecimals) == "" }

// LeftOut lists, sorted, everything that a seal has a word for and this one does not say. Whether there was something to
// say is another matter.
func (p *Predicate) LeftOut() []string {
	u := []string{"memory", "model", "usage"}
	for word, said := range map[string]bool{"evidence": len(p.Evidence) > 0, "intent": p.Intent != "", "reviews": len(p.Reviews) > 0, "tool": p.Tool != ""} {
		if !said {
			u = append(u, word)
		}
	}
	if p.Intent != "" && p.IntentState == nil && p.Names() {
		u = append(u, "intentState") // the first version has no word for it
	}
	slices.Sort(u)
	return u
}

// check reports what makes the names of a seal malformed.
func (b *Bound) check(intent string) error {
	for _, list := range []struct {
		field string
		ids   []envelope.Digest
		more  int
	}{{"evidence", b.Evidence, b.EvidenceMore}, {"reviews", b.Reviews, b.ReviewsMore}} {
		if len(list.ids) > MaxBound {
			return fmt.Errorf("%s: %d are named, at most %d may be", list.field, len(list.ids), MaxBound)
		}
		if list.more < 0 || list.more > maxMore || list.more > 0 && len(list.ids) < MaxBound {
			return fmt.Errorf("%s: %d more than %d", list.field, list.more, len(list.ids))
		}
		for i, id := range list.ids {
			if !id.Valid() || i > 0 && list.ids[i-1] >= id {
				return fmt.Errorf("%s: identities, sorted, each once: %.80q", list.field, id)
			}
		}
	}
	if s := b.IntentState; s != nil {
		switch {
		case !IsIntentID(intent):
			return fmt.Errorf("intentState: %.40q is no id of an intent", intent)
		case !s.Last.Valid() || s.Statements < 1 || s.Statements > MaxStatements:
			return fmt.Errorf("intentState: %d statements, the last %.80q", s.Statements, s.Last)
		case s.State == "" || len(s.State) > maxState || strings.Trim(s.State, stateLetters) != "":
			return fmt.Errorf("intentState: %.40q is no state", s.State)
		}
	}
	return nil
}
