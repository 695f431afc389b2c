package capability

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/identity"
)

// Principal is who a key speaks for.
type Principal struct {
	Name        string
	Kind        string // "human", "agent" or "automation"
	Accountable string // the human who answers for it; a human's own name
	Operator    bool   // a human who needs no grant
	Emails      []string
	Keys        []identity.PublicKey
}

// Given is a grant whose envelope was opened, in its ledger.
type Given struct {
	ID      envelope.Digest
	KeyID   string // the key that signed it
	Ledger  string
	Seq     uint64
	Granted Grant
}

// Authority is the fold of a trust root and the grants of its ledgers: who the
// keys are, and what they may do. It is immutable.
type Authority struct {
	byKey    map[string]*Principal
	byName   map[string]*Principal
	grants   map[envelope.Digest]Given
	bySub    map[string][]envelope.Digest // key id → grants, in order of ids
	Refused  []error                      // grants that count for nothing, and why
	material map[string]string
}

// Fold computes the authority. persons are the trust root's; grants may come in
// any order and from anybody: those that no operator signed, or that contradict
// an introduction, are refused and say so.
func Fold(persons []Principal, grants []Given) *Authority {
	a := &Authority{
		byKey: map[string]*Principal{}, byName: map[string]*Principal{}, grants: map[envelope.Digest]Given{},
		bySub: map[string][]envelope.Digest{}, material: map[string]string{},
	}
	for _, p := range persons {
		a.add(p)
	}
	grants = slices.Clone(grants)
	slices.SortFunc(grants, func(x, y Given) int {
		return cmp.Or(cmp.Compare(x.Ledger, y.Ledger), cmp.Compare(x.Seq, y.Seq), cmp.Compare(x.ID, y.ID))
	})
	for _, g := range grants {
		if err := a.admit(g); err != nil {
			a.Refused = append(a.Refused, fmt.Errorf("grant %s: %w", g.ID.Short(), err))
		}
	}
	return a
}

func (a *Authority) add(p Principal) {
	pp := &p
	a.byName[p.Name] = pp
	for _, k := range p.Keys {
		a.byKey[k.ID()] = pp
		for _, m := range identity.Materials(k) {
			a.material[m] = p.Name
		}
	}
}

// admit takes a grant in: its signer must be an operator, and its subject either new or the one already introduced.
func (a *Authority) admit(g Given) error {
	by, ok := a.byKey[g.KeyID]
	if !ok || !by.Operator {
		return fmt.Errorf("%w: signed by %s, who is no operator", ErrInvalid, g.KeyID)
	}
	s := g.Granted.Subject
	if g.Granted.Parent != "" {
		return fmt.Errorf("%w: delegated grants are newer than this program", envelope.ErrNewer)
	}
	key, err := identity.ParsePublicKey(s.Key)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	known := a.byName[s.Name]
	owner := ""
	for _, m := range identity.Materials(key) { // an OpenPGP key signs with several
		if o := a.material[m]; owner == "" || o != "" && o != s.Name {
			owner = o
		}
	}
	switch {
	case owner != "" && owner != s.Name:
		return fmt.Errorf("%w: the key of %s is already %s's", ErrInvalid, s.Name, owner)
	case known == nil:
		if s.Accountable != by.Name {
			return fmt.Errorf("%w: %s names %s as accountable, but %s signed", ErrInvalid, s.Name, s.Accountable, by.Name)
		}
		a.add(Principal{Name: s.Name, Kind: s.Kind, Accountable: by.Name, Emails: s.Emails, Keys: []identity.PublicKey{key}})
	case known.Kind != s.Kind || known.Accountable != s.Accountable:
		return fmt.Errorf("%w: %s is already a %s under %s", ErrInvalid, s.Name, known.Kind, known.Accountable)
	case owner == "":
		known.Keys = append(known.Keys, key)
		a.byKey[key.ID()] = known
		for _, m := range identity.Materials(key) {
			a.material[m] = s.Name
		}
	}
	a.grants[g.ID] = g
	a.bySub[key.ID()] = append(a.bySub[key.ID()], g.ID)
	return nil
}

// ByKey returns the principal a key speaks for.
func (a *Authority) ByKey(keyID string) (*Principal, bool) {
	p, ok := a.byKey[keyID]
	return p, ok
}

// ByName returns the principal of a name.
func (a *Authority) ByName(name string) (*Principal, bool) {
	p, ok := a.byName[name]
	return p, ok
}

// Principals returns all principals, by name.
func (a *Authority) Principals() []*Principal {
	out := make([]*Principal, 0, len(a.byName))
	for _, p := range a.byName {
		out = append(out, p)
	}
	slices.SortFunc(out, func(x, y *Principal) int { return cmp.Compare(x.Name, y.Name) })
	return out
}

// Ring finds the keys of all principals.
func (a *Authority) Ring(keyID string) (envelope.Key, bool) {
	p, ok := a.byKey[keyID]
	if !ok {
		return nil, false
	}
	for _, k := range p.Keys {
		if k.ID() == keyID {
			return k, true
		}
	}
	return nil, false
}

// Request asks whether a key may act.
type Request struct {
	KeyID  string
	Action string
	At     time.Time
	Paths  []string // the paths that change, verbatim
	Ref    string   // the ref under review, "" when it is not known
}

// Decision answers a request. Grants names those relied on; an operator needs none.
type Decision struct {
	Allowed bool
	Grants  []envelope.Digest
	Reason  string // for people: why not
}

// Decide is the built-in checker: a pure function of the authority and the request.
func (a *Authority) Decide(r Request) Decision {
	p, ok := a.byKey[r.KeyID]
	if !ok {
		return Decision{Reason: "nobody here has the key " + r.KeyID}
	}
	if p.Operator {
		return Decision{Allowed: true}
	}
	for _, id := range a.bySub[r.KeyID] {
		g := a.grants[id].Granted
		if g.Covers(r.Action) && g.Active(r.At) {
			return Decision{Allowed: true, Grants: []envelope.Digest{id}}
		}
	}
	return Decision{Reason: fmt.Sprintf("%s has no grant of %s in force", p.Name, r.Action)}
}

// Grant returns an admitted grant.
func (a *Authority) Grant(id envelope.Digest) (Given, bool) {
	g, ok := a.grants[id]
	return g, ok
}
