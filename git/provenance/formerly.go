package provenance

import (
	"errors"
	"slices"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/oid"
)

// Formerly is a seal that was made in a repository that this one replaces. Its signature holds; it decides nothing here.
type Formerly struct {
	Name       string // of who sealed the commit, as that repository knew the key
	KeyID      string
	Repository envelope.Digest
	Time       string // its signer's claim
}

// Formerly returns the seals of a commit from repositories that this one replaces, by keys that those knew.
func (f *Facts) Formerly(id oid.ID) []Formerly {
	var out []Formerly
	seals := f.SealsOf(id)
	for i := range seals {
		c := &seals[i]
		if !errors.Is(c.Err, envelope.ErrRepository) || !f.Root.Replaces(c.Header.Repository) {
			continue
		}
		for _, a := range f.former {
			if p, ok := a.ByKey(c.KeyID); ok {
				out = append(out, Formerly{Name: p.Name, KeyID: c.KeyID, Repository: c.Header.Repository, Time: c.Header.Time})
				break
			}
		}
	}
	return out
}

// replaced reports whether all that a ledger holds is of a repository that this one replaces.
func (f *Facts) replaced(c *verdict.Chain) bool {
	return len(c.Entries) > 0 && !slices.ContainsFunc(c.Entries, func(e verdict.Entry) bool {
		return !errors.Is(e.Err, envelope.ErrRepository) || !f.Root.Replaces(e.Header.Repository)
	})
}
