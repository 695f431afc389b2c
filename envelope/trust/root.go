// Package trust holds the trust root: the signed document that says who the
// operators of a repository are, how many of them must agree, under which policy,
// and from which commits on its history is governed.
//
// The root is a chain of versions. Version 1 signs itself and is trusted because
// its identity (the digest of its envelope) is pinned outside the tree under
// review; that digest is also the repository's name in every other statement. A
// later version is signed by enough operators of the version before, and by enough
// of its own. A pin may name any version: it is a floor below which no reader goes.
//
// [Chain] is the one door from envelopes to versions that may be relied on.
package trust

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

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
	maxEmail    = 320 // bytes of one address; RFC 5321 allows 64 before the @ and 255 behind
	maxFormer   = 10000
	maxAgainst  = 1000
	maxSucceeds = 100
	maxGoverned = 20000
	maxVersion  = 1 << 30
	nonceLen    = 32

	// MaxThreshold is half the signatures an envelope may have: so a version that hands over
	// from some operators to entirely different ones can still carry the signatures of both.
	MaxThreshold = envelope.MaxSignatures / 2
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
	Created string          `json:"created"`           // RFC 3339, UTC; a claim
	Expires string          `json:"expires,omitempty"` // RFC 3339, UTC; absent: never
	First   envelope.Digest `json:"first,omitempty"`   // identity of version 1, which is the repository's name; absent in version 1
	Format  string          `json:"format"`            // "sha1" or "sha256"
	// Against are versions that somebody had put in force and that the operators decided against, sorted; later versions keep them.
	Against   []envelope.Digest `json:"against,omitempty"`
	Former    []Former          `json:"former,omitempty"`   // keys that were removed, sorted; later versions keep them
	Governed  []Since           `json:"governed,omitempty"` // sorted by Ref; later versions keep them
	Nonce     string            `json:"nonce"`              // 32 hexadecimal digits: two repositories never share an identity
	Operators []string          `json:"operators"`          // names of persons, sorted
	Persons   []Person          `json:"persons"`            // sorted by Name
	Policy    *Policy           `json:"policy,omitempty"`   // absent: the default
	Previous  envelope.Digest   `json:"previous,omitempty"` // identity of the version before; absent in version 1
	Succeeds  []Predecessor     `json:"succeeds,omitempty"` // repositories this one replaces, oldest first; later versions keep them
	Threshold int               `json:"threshold"`          // operators that must sign a version
	Type      string            `json:"type"`
	Version   int               `json:"version"` // 1, 2, …
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
	// OperatorUntil is when a person who is no operator was one last: RFC 3339, created of the version that changed it.
	// What an operator ended, narrowed or admitted stays so. OperatorSeen is how far the person's ledgers reached then, as Seen of [Former].
	OperatorUntil string          `json:"operatorUntil,omitempty"`
	OperatorSeen  []envelope.Head `json:"operatorSeen,omitzero"`
}

// MaxSeen is how many ledgers of one person are named.
const MaxSeen = 1000

// What becomes of the grants that a removed key signed.
const (
	Lapse = "lapse" // they count for nothing any more
	Stand = "stand" // those given before Until are still good
)

// Former is a person, or some keys of a person, whom an earlier version named and
// this one does not: what they signed before Until can still be read.
type Former struct {
	Compromised string   `json:"compromised,omitempty"` // RFC 3339: what nobody else had seen before is void
	Emails      []string `json:"emails,omitempty"`
	Grants      string   `json:"grants"` // Lapse or Stand
	Keys        []string `json:"keys"`   // sorted
	Kind        Kind     `json:"kind"`
	Name        string   `json:"name"`
	Operator    bool     `json:"operator"` // was one in the last version that named these keys
	// Seen is how far the ledgers of these keys reached when they were removed, or, of those who are compromised, had been seen
	// by others before: what they hold up to there stands, and nothing else. Sorted by ledger.
	Seen []envelope.Head `json:"seen,omitzero"`
	// OperatorUntil and OperatorSeen are those of a person who was an operator before, and not in that version.
	OperatorUntil string          `json:"operatorUntil,omitempty"`
	OperatorSeen  []envelope.Head `json:"operatorSeen,omitzero"`
	Until         string          `json:"until"` // RFC 3339: created of the version that removed them
}

// compare orders the entries: by name, time, and first key.
func (f Former) compare(g Former) int {
	return cmp.Or(strings.Compare(f.Name, g.Name), strings.Compare(f.Until, g.Until), slices.Compare(f.Keys, g.Keys))
}

// Same reports whether two entries are of the same keys, removed by the same version.
func (f Former) Same(g Former) bool { return f.compare(g) == 0 && slices.Equal(f.Keys, g.Keys) }

// Predecessor is a repository that another one replaces, because its operators' keys were lost.
type Predecessor struct {
	Head       envelope.Digest `json:"head"`       // identity of its last version
	Repository envelope.Digest `json:"repository"` // identity of its version 1
}

// ValidName reports whether s may name a principal.
func ValidName(s string) bool { return identity.ValidName(s) }

func invalid(format string, a ...any) error {
	return fmt.Errorf("%w: %w", ErrInvalid, fmt.Errorf(format, a...))
}

// Validate reports what makes the document unusable, the first thing first.
func (r *Root) Validate() error {
	if r.Type != Type {
		return envelope.VersionError(r.Type, Type)
	}
	if err := r.validateHead(); err != nil {
		return err
	}
	if n := len(r.Persons); n == 0 || n > maxPersons {
		return invalid("%d persons, from 1 to %d may be", n, maxPersons)
	}
	if len(r.Former) > maxFormer {
		return invalid("%d former persons, at most %d may be", len(r.Former), maxFormer)
	}
	if err := r.validatePersons(); err != nil {
		return err
	}
	if err := r.validateOperators(); err != nil {
		return err
	}
	if err := r.validateGoverned(); err != nil {
		return err
	}
	if r.Policy != nil {
		if err := r.Policy.Validate(); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		if r.Policy.says() == 0 {
			return invalid("a policy that says nothing is left out")
		}
	}
	return nil
}

// validateHead checks what stands for itself, and how the version names those before it.
func (r *Root) validateHead() error {
	one := r.Version == 1
	switch {
	case r.Version < 1 || r.Version > maxVersion:
		return invalid("version %d", r.Version)
	case one != (r.Previous == "") || (!one && !r.Previous.Valid()):
		return invalid("version %d after %.80q", r.Version, r.Previous)
	case one != (r.First == "") || (!one && !r.First.Valid()):
		return invalid("version %d of the repository %.80q", r.Version, r.First)
	case (r.Version == 2) != (r.First != "" && r.First == r.Previous):
		return invalid("version %d follows %.80q, version 1 is %.80q", r.Version, r.Previous, r.First)
	}
	if one && len(r.Former) > 0 {
		return invalid("version 1 has former persons")
	}
	if err := envelope.CheckTime(r.Created); err != nil {
		return invalid("created: %w", err)
	}
	if r.Expires != "" {
		if err := envelope.CheckTime(r.Expires); err != nil {
			return invalid("expires: %w", err)
		}
		if !moment(r.Expires).After(moment(r.Created)) {
			return invalid("it expires at %s and was created at %s", r.Expires, r.Created)
		}
	}
	if _, err := oid.ParseFormat(r.Format); err != nil || r.Format == "" {
		return invalid("format %.20q", r.Format)
	}
	if len(r.Nonce) != nonceLen || !isHex(r.Nonce) {
		return invalid("nonce %.40q", r.Nonce)
	}
	if len(r.Against) > maxAgainst {
		return invalid("it is against %d versions, at most %d may be", len(r.Against), maxAgainst)
	}
	for i, d := range r.Against {
		if !d.Valid() || d == r.Previous || d == r.First || (i > 0 && r.Against[i-1] >= d) {
			return invalid("it is against the version %.80q", d)
		}
	}
	if len(r.Succeeds) > maxSucceeds {
		return invalid("it succeeds %d repositories", len(r.Succeeds))
	}
	for _, s := range r.Succeeds {
		if !s.Repository.Valid() || !s.Head.Valid() || s.Repository == r.First {
			return invalid("it succeeds %.80q at %.80q", s.Repository, s.Head)
		}
	}
	return nil
}

func (r *Root) validateOperators() error {
	if r.Threshold < 1 || r.Threshold > min(len(r.Operators), MaxThreshold) {
		return invalid("threshold %d of %d operators, at most %d", r.Threshold, len(r.Operators), MaxThreshold)
	}
	for i, name := range r.Operators {
		if p := r.Person(name); p == nil || p.Kind != Human {
			return invalid("operator %.80q is no human of the root", name)
		}
		if i > 0 && r.Operators[i-1] >= name {
			return invalid("operators out of order at %q", name)
		}
	}
	return nil
}

func (r *Root) validateGoverned() error {
	format, err := oid.ParseFormat(r.Format)
	if err != nil {
		return invalid("format %.20q", r.Format)
	}
	if len(r.Governed) > maxGoverned {
		return invalid("%d governed refs, at most %d may be", len(r.Governed), maxGoverned)
	}
	for i, s := range r.Governed {
		if s.Commit.Format() != format || s.Ref == "" || (i > 0 && r.Governed[i-1].Ref >= s.Ref) {
			return invalid("governed-since of %.80q", s.Ref)
		}
	}
	return nil
}

func (r *Root) validatePersons() error {
	owners := map[string]string{} // key material → its one owner
	for i, p := range r.Persons {
		if i > 0 && r.Persons[i-1].Name >= p.Name {
			return invalid("persons out of order at %.80q", p.Name)
		}
		if err := validatePerson(p, owners); err != nil {
			return err
		}
		if err := r.validateUntil(p.Name, p.Kind, r.IsOperator(p.Name), p.OperatorUntil, p.OperatorSeen); err != nil {
			return err
		}
	}
	for i, f := range r.Former {
		if i > 0 && r.Former[i-1].compare(f) >= 0 {
			return invalid("former persons out of order at %.80q", f.Name)
		}
		mine := map[string]string{}
		if err := validatePerson(Person{Emails: f.Emails, Keys: f.Keys, Kind: f.Kind, Name: f.Name}, mine); err != nil {
			return fmt.Errorf("former person: %w", err)
		}
		if f.Grants != Lapse && f.Grants != Stand {
			return invalid("grants of %s: %.20q is neither %s nor %s", f.Name, f.Grants, Lapse, Stand)
		}
		if err := envelope.CheckTime(f.Until); err != nil {
			return invalid("keys of %s were good until: %w", f.Name, err)
		}
		if f.Compromised != "" && (envelope.CheckTime(f.Compromised) != nil || moment(f.Compromised).After(moment(f.Until))) {
			return invalid("keys of %s were good until %s and compromised since %.40q", f.Name, f.Until, f.Compromised)
		}
		if err := errors.Join(validateSeen(f.Name, f.Seen), r.validateUntil(f.Name, f.Kind, f.Operator, f.OperatorUntil, f.OperatorSeen)); err != nil {
			return err
		}
		if f.Operator && f.Kind != Human {
			return invalid("former operator %s is of kind %q", f.Name, f.Kind)
		}
		if p := r.Person(f.Name); p != nil && p.Kind != f.Kind {
			return invalid("%s was of kind %q and is of kind %q", f.Name, f.Kind, p.Kind)
		}
		for m := range mine {
			switch owner, taken := owners[m]; {
			case taken && owner != f.Name:
				return invalid("a key of %s was %s's", owner, f.Name)
			case taken && f.Compromised != "" && r.has(m):
				return invalid("a key of %s was compromised since %s, and is none any more", f.Name, f.Compromised)
			}
			owners[m] = f.Name
		}
	}
	return nil
}

// validateUntil checks what is said of when somebody was an operator who is none.
func (r *Root) validateUntil(name string, kind Kind, operator bool, until string, seen []envelope.Head) error {
	if until == "" && seen == nil {
		return nil
	}
	if seen == nil || envelope.CheckTime(until) != nil || moment(until).After(moment(r.Created)) || kind != Human || operator {
		return invalid("%s was an operator until %.40q", name, until)
	}
	return validateSeen(name, seen)
}

func validateSeen(name string, seen []envelope.Head) error {
	if len(seen) > MaxSeen {
		return invalid("%d ledgers of %s, at most %d may be", len(seen), name, MaxSeen)
	}
	for j, h := range seen {
		if !h.ID.Valid() || h.Seq == 0 || h.Ledger == "" || len(h.Ledger) > 128 || (j > 0 && seen[j-1].Ledger >= h.Ledger) {
			return invalid("what was seen of %s: ledger %.80q", name, h.Ledger)
		}
	}
	return nil
}

// has reports whether a person of this version holds the key material.
func (r *Root) has(material string) bool {
	for _, p := range r.Persons {
		for _, k := range p.Keys {
			if pub, err := identity.ParsePublicKey(k); err == nil && slices.Contains(identity.Materials(pub), material) {
				return true
			}
		}
	}
	return false
}

// validatePerson checks one person, and enters the material of the keys into owners, where it must be new.
func validatePerson(p Person, owners map[string]string) error {
	if !ValidName(p.Name) {
		return invalid("name %.80q", p.Name)
	}
	if p.Kind != Human && p.Kind != Automation {
		return invalid("%s is of kind %.20q", p.Name, p.Kind)
	}
	if n := len(p.Keys); n == 0 || n > maxKeys {
		return invalid("%s has %d keys, from 1 to %d may be", p.Name, n, maxKeys)
	}
	if len(p.Emails) > maxEmails {
		return invalid("%s has %d e-mail addresses, at most %d may be", p.Name, len(p.Emails), maxEmails)
	}
	for i, e := range p.Emails {
		if e == "" || len(e) > maxEmail || strings.ContainsFunc(e, func(c rune) bool { return c < ' ' || c == 0x7f }) {
			return invalid("e-mail address %.80q of %s", e, p.Name)
		}
		if i > 0 && p.Emails[i-1] >= e {
			return invalid("e-mail addresses of %s out of order at %.80q", p.Name, e)
		}
	}
	for i, k := range p.Keys {
		pub, err := identity.ParsePublicKey(k)
		if err != nil {
			return invalid("key of %s: %w", p.Name, err)
		}
		if pub.String() != k {
			return invalid("key %s of %s is not in its canonical form", pub.ID(), p.Name)
		}
		for _, m := range identity.Materials(pub) { // an OpenPGP key signs with several
			if owner, taken := owners[m]; taken {
				return invalid("%s and %s have the same key %s", owner, p.Name, pub.ID())
			}
			owners[m] = p.Name
		}
		if i > 0 && p.Keys[i-1] >= k {
			return invalid("keys of %s out of order at %s", p.Name, pub.ID())
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

// Replaces reports whether a statement of that repository was one of a repository that this one replaces.
func (r *Root) Replaces(repository envelope.Digest) bool {
	return slices.ContainsFunc(r.Succeeds, func(p Predecessor) bool { return p.Repository == repository })
}

// ErrExpired says that a version's time has passed.
var ErrExpired = errors.New("the trust root has expired")

// An ExpiredError names a version whose time has passed. It wraps ErrExpired. The
// caller relies on it no longer; its operators may still sign the next version.
type ExpiredError struct {
	Version int
	At      time.Time
}

func (e *ExpiredError) Error() string {
	return fmt.Sprintf("%v: version %d, at %s", ErrExpired, e.Version, envelope.Timestamp(e.At))
}

// Unwrap returns ErrExpired.
func (e *ExpiredError) Unwrap() error { return ErrExpired }

// Expired returns an *ExpiredError when the version is no longer good at t.
func (r *Root) Expired(t time.Time) error {
	if at, ok := r.Expiry(); ok && !t.Before(at) {
		return &ExpiredError{r.Version, at}
	}
	return nil
}

// Expiry returns when the version expires; false when it never does.
func (r *Root) Expiry() (time.Time, bool) {
	if r.Expires == "" {
		return time.Time{}, false
	}
	return moment(r.Expires), true
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

// moment reads a time that envelope.CheckTime passed.
func moment(s string) time.Time {
	t, _ := time.Parse(time.RFC3339, s)
	return t
}

func isHex(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
