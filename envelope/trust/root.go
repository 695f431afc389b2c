// Package trust holds the trust root: the signed document that says who the
// operators of a repository are, how many of them must agree, and from which
// commits on its history is governed.
//
// Version 1 signs itself and is trusted because its identity (the digest of
// its envelope) is pinned outside the tree under review. That digest is also
// the repository's name in every other statement.
package trust

import (
	"errors"
	"fmt"
	"slices"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/canonical"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/git/oid"
)

// Type is the document's type and version.
const Type = "covenant.trust-root/v1"

// Limits.
const (
	maxPersons  = 1000
	maxKeys     = 64
	maxEmails   = 64
	maxGoverned = 20000
	nonceLen    = 32
)

// ErrInvalid says that a document is no valid trust root.
var ErrInvalid = errors.New("not a valid trust root")

// Kind says what a principal is.
type Kind string

// The kinds of principals.
const (
	Human      Kind = "human"
	Agent      Kind = "agent"
	Automation Kind = "automation"
)

// Root is one version of the trust root.
type Root struct {
	Created   string          `json:"created"`            // RFC 3339, UTC
	Format    string          `json:"format"`             // "sha1" or "sha256"
	Governed  []Since         `json:"governed,omitempty"` // sorted by Ref
	Nonce     string          `json:"nonce"`              // 32 hexadecimal digits: two repositories never share an identity
	Operators []string        `json:"operators"`          // names of persons, sorted
	Persons   []Person        `json:"persons"`            // sorted by Name
	Previous  envelope.Digest `json:"previous,omitempty"` // identity of the version before; absent in version 1
	Threshold int             `json:"threshold"`          // operators that must sign a version
	Type      string          `json:"type"`
	Version   int             `json:"version"` // 1, 2, …
}

// Since says where governance of a branch began: the commit and all its ancestors are older.
type Since struct {
	Commit oid.ID `json:"commit"`
	Ref    string `json:"ref"`
}

// Person is a principal the root introduces.
type Person struct {
	Emails []string `json:"emails,omitempty"` // addresses this person commits with, sorted
	Keys   []string `json:"keys"`             // public keys as identity.ParsePublicKey reads them, sorted
	Kind   Kind     `json:"kind"`             // human or automation
	Name   string   `json:"name"`
}

// ValidName reports whether s may name a principal.
func ValidName(s string) bool { return identity.ValidName(s) }

// Validate reports everything that makes the document unusable, the first first.
func (r *Root) Validate() error {
	bad := func(format string, a ...any) error {
		return fmt.Errorf("%w: %w", ErrInvalid, fmt.Errorf(format, a...))
	}
	if r.Type != Type {
		return envelope.VersionError(r.Type, Type)
	}
	if r.Version < 1 || (r.Version == 1) != (r.Previous == "") {
		return bad("version %d after %q", r.Version, r.Previous)
	}
	if err := envelope.CheckTime(r.Created); err != nil {
		return bad("created: %v", err)
	}
	format, err := oid.ParseFormat(r.Format)
	if err != nil || r.Format == "" {
		return bad("format %q", r.Format)
	}
	if len(r.Nonce) != nonceLen || !isHex(r.Nonce) {
		return bad("nonce")
	}
	if n := len(r.Persons); n == 0 || n > maxPersons {
		return bad("%d persons", n)
	}
	if err := r.validatePersons(bad); err != nil {
		return err
	}
	if r.Threshold < 1 || r.Threshold > len(r.Operators) {
		return bad("threshold %d of %d operators", r.Threshold, len(r.Operators))
	}
	for i, name := range r.Operators {
		p := r.Person(name)
		if p == nil || p.Kind != Human {
			return bad("operator %q is no person of the root", name)
		}
		if i > 0 && r.Operators[i-1] >= name {
			return bad("operators out of order at %q", name)
		}
	}
	if len(r.Governed) > maxGoverned {
		return bad("%d governed refs", len(r.Governed))
	}
	for i, s := range r.Governed {
		if s.Commit.Format() != format || s.Ref == "" || (i > 0 && r.Governed[i-1].Ref >= s.Ref) {
			return bad("governed-since of %q", s.Ref)
		}
	}
	return nil
}

func (r *Root) validatePersons(bad func(string, ...any) error) error {
	material := map[string]string{} // key material → its one owner
	for i, p := range r.Persons {
		if !ValidName(p.Name) {
			return bad("name %q", p.Name)
		}
		if i > 0 && r.Persons[i-1].Name >= p.Name {
			return bad("persons out of order at %q", p.Name)
		}
		if p.Kind != Human && p.Kind != Automation {
			return bad("%s is of kind %q", p.Name, p.Kind)
		}
		if n := len(p.Keys); n == 0 || n > maxKeys {
			return bad("%s has %d keys", p.Name, n)
		}
		if len(p.Emails) > maxEmails || !slices.IsSorted(p.Emails) {
			return bad("e-mail addresses of %s", p.Name)
		}
		for _, k := range p.Keys {
			pub, err := identity.ParsePublicKey(k)
			if err != nil {
				return bad("key of %s: %w", p.Name, err)
			}
			if pub.String() != k {
				return bad("key of %s is not in its canonical form", p.Name)
			}
			for _, m := range identity.Materials(pub) { // an OpenPGP key signs with several
				if owner, taken := material[m]; taken {
					return bad("%s and %s have the same key %s", owner, p.Name, pub.ID())
				}
				material[m] = p.Name
			}
		}
	}
	return nil
}

// Person returns the person of this name, nil when there is none.
func (r *Root) Person(name string) *Person {
	for i := range r.Persons {
		if r.Persons[i].Name == name {
			return &r.Persons[i]
		}
	}
	return nil
}

// IsOperator reports whether name is an operator.
func (r *Root) IsOperator(name string) bool { return slices.Contains(r.Operators, name) }

// Open reads version 1 of a trust root whose identity is pin: the document
// must be valid and signed by Threshold different operators, each once.
func Open(e *envelope.Envelope, pin envelope.Digest) (*Root, error) {
	o, err := e.OpenPinned(envelope.TypeRoot, pin)
	if err != nil {
		return nil, err
	}
	var r Root
	if err := canonical.Unmarshal(o.Payload, &r); err != nil {
		if typ, terr := envelope.TypeOf(o); terr == nil && typ != Type {
			return nil, envelope.VersionError(typ, Type)
		}
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if err := r.Validate(); err != nil {
		return nil, err
	}
	keys := map[string]identity.PublicKey{}
	owner := map[string]string{}
	for _, name := range r.Operators {
		for _, k := range r.Person(name).Keys {
			pub, err := identity.ParsePublicKey(k)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
			}
			keys[pub.ID()], owner[pub.ID()] = pub, name
		}
	}
	ids := e.KeyIDs()
	signers := map[string]bool{}
	for _, id := range ids {
		if owner[id] != "" && signers[owner[id]] {
			return nil, fmt.Errorf("%w: %s signed twice", ErrInvalid, owner[id])
		}
		signers[owner[id]] = true
	}
	if _, err := e.Open(envelope.TypeRoot, len(ids), func(id string) (envelope.Key, bool) {
		k, ok := keys[id]
		return k, ok
	}); err != nil {
		return nil, err
	}
	if len(signers) < r.Threshold {
		return nil, fmt.Errorf("%w: signed by %d of %d operators", ErrInvalid, len(signers), r.Threshold)
	}
	return &r, nil
}

// Seal signs the document, which must be valid.
func (r *Root) Seal(with ...envelope.SealWith) (*envelope.Envelope, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	payload, err := canonical.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("trust root: %w", err)
	}
	return envelope.Seal(envelope.TypeRoot, payload, with...)
}

func isHex(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
