package provenance

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/git"
)

// ErrTaken says that a version gives a person a name or a key that a grant introduced as somebody else's; the error is a [*TakenError].
var ErrTaken = errors.New("somebody else has it")

// A TakenError names who has a name or a key that a version of the root would give to a person. It wraps ErrTaken.
type TakenError struct {
	Person string // of the version
	KeyID  string // "" when it is the name
	Owner  string
	Kind   string // of the owner
	Under  string // who answers for the owner
}

func (e *TakenError) Error() string {
	if e.KeyID == "" {
		return fmt.Sprintf("the name %s is taken: by an introduced %s, for which %s answers", e.Person, e.Kind, e.Under)
	}
	return fmt.Sprintf("the key %s is not %s's: it is that of %s, an introduced %s, for which %s answers", e.KeyID, e.Person, e.Owner, e.Kind, e.Under)
}

// Unwrap returns ErrTaken.
func (e *TakenError) Unwrap() error { return ErrTaken }

// checkTaken reports whether a version gives a person, new there, a name or a key of somebody whom a grant introduced.
func checkTaken(ctx context.Context, s *git.Session, r *Root, next *trust.Root) error {
	f, err := loadTopics(ctx, s, r, CapabilityTopic+"/")
	if err != nil {
		return err
	}
	introduced := map[string]bool{} // by operators: what others introduce gives way to a person
	for _, g := range f.Authority.Grants() {
		introduced[g.Granted.Subject.Name] = introduced[g.Granted.Subject.Name] || g.Granted.Parent == ""
	}
	owner := map[string]*capability.Principal{} // key material → who was introduced with it
	for _, p := range f.Authority.Principals() {
		if f.named(p.Name) || !introduced[p.Name] {
			continue
		}
		for _, k := range p.Keys {
			for _, m := range identity.Materials(k) {
				owner[m] = p
			}
		}
	}
	for _, p := range next.Persons {
		if q, ok := f.Authority.ByName(p.Name); ok && introduced[p.Name] && !f.named(p.Name) {
			return &TakenError{Person: p.Name, Owner: q.Name, Kind: q.Kind, Under: q.Accountable}
		}
		for _, text := range p.Keys {
			k, err := identity.ParsePublicKey(text)
			if err != nil {
				return fmt.Errorf("key of %s: %w", p.Name, err)
			}
			for _, m := range identity.Materials(k) {
				if q := owner[m]; q != nil && q.Name != p.Name {
					return &TakenError{Person: p.Name, KeyID: k.ID(), Owner: q.Name, Kind: q.Kind, Under: q.Accountable}
				}
			}
		}
	}
	return nil
}

// named reports whether the trust root names, or named, somebody.
func (f *Facts) named(name string) bool {
	return f.Root.Person(name) != nil || slices.ContainsFunc(f.Root.Former, func(x trust.Former) bool { return x.Name == name })
}
