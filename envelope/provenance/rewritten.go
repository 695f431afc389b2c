package provenance

import (
	"fmt"
	"slices"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/git/oid"
)

// Rewritten is the type of the ledger statement that commits came to be out of others: by an
// amend, a rebase, a filter. It says who rewrote, beside the seals that say who made them; it lends nobody anything.
const Rewritten = "commit.rewritten/v1"

// Commands of rewritings that leave the old commits where they were: a pick, a squash, a patch from a mail, and a commit of what a reset had taken back.
const (
	CherryPick = "cherry-pick"
	Squash     = "squash"
	Mail       = "am"
	Reset      = "reset"
)

// Reseal is the command of a rewriting that was none: who vouched for a commit, such as a merge that a server made, names the sealed
// commits that it is derived of, whose makers remain those of its lines.
const Reseal = "reseal"

// Replaces reports whether a rewriting puts the new commit in the old one's place.
func Replaces(command string) bool {
	return !slices.Contains([]string{CherryPick, Mail, Reseal, Reset, Squash}, command)
}

// Rewriting is its body.
type Rewriting struct {
	Command string    `json:"command"` // Git's word for it: "amend", "rebase"; CherryPick or Reseal
	Pairs   []Rewrite `json:"pairs"`   // in Git's order; several old ones may have become one
}

// Rewrite says that one commit became another.
type Rewrite struct {
	New oid.ID `json:"new"`
	Old oid.ID `json:"old"`
}

// MaxRewrites is how many pairs one statement holds.
const MaxRewrites = 10_000

// ParseRewriting reads an opened statement.
func ParseRewriting(o *envelope.Opened) (*envelope.Ledger[Rewriting], error) {
	s, err := envelope.Decode[Rewriting](o, Rewritten)
	if err != nil {
		return nil, err
	}
	return s, s.Body.Validate()
}

// Validate reports whether the statement is well formed.
func (r *Rewriting) Validate() error {
	if r.Command == "" || len(r.Command) > 64 || len(r.Pairs) == 0 || len(r.Pairs) > MaxRewrites {
		return fmt.Errorf("%w: rewriting by %.80q of %d commits", ErrInvalid, r.Command, len(r.Pairs))
	}
	for _, p := range r.Pairs {
		if p.New.IsZero() || p.Old.IsZero() || p.New == p.Old || p.New.Format() != p.Old.Format() {
			return fmt.Errorf("%w: rewriting of %s to %s", ErrInvalid, p.Old, p.New)
		}
	}
	return nil
}
