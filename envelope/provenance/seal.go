// Package provenance holds the statements about commits: the seal, which says
// who made a commit, on whose authority, and what exactly it changes; and the
// decision that precedes a witnessed seal. No Git is read here.
package provenance

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/canonical"
	"github.com/open-covenant/covenant-git/envelope/intoto"
	"github.com/open-covenant/covenant-git/git/oid"
)

// Types of the statements.
const (
	SealType = "https://github.com/open-covenant/covenant-git/seal/v1" // predicateType of a seal that names nothing: see [BoundType]
	Decided  = "gate.decided/v1"                                       // ledger statement type of a decision
)

// Topic is the topic of the ledgers that carry seals and decisions.
const Topic = "provenance"

// ErrInvalid says that a seal or decision is malformed.
var ErrInvalid = errors.New("not a valid seal")

// Seal is an in-toto Statement v1 whose subjects are a commit and its tree.
type Seal struct {
	Type          string           `json:"_type"`
	Predicate     Predicate        `json:"predicate"`
	PredicateType string           `json:"predicateType"`
	Subject       []intoto.Subject `json:"subject"`
}

// Mode says when a seal was made.
type Mode string

// A witness seal was made at the moment of the commit, after a recorded decision; a vouching one later.
const (
	Witness  Mode = "witness"
	Vouching Mode = "vouch"
)

// Predicate is what a seal says of its commit.
type Predicate struct {
	Bound
	Attended   bool              `json:"attended"` // a terminal was there when it was signed
	Changes    [][]Change        `json:"changes"`  // against each parent in order; against the empty tree for a root commit
	Decision   envelope.Digest   `json:"decision,omitempty"`
	Entry      envelope.Header   `json:"entry"`
	Grants     []envelope.Digest `json:"grants"`           // relied on; empty for an operator
	Intent     string            `json:"intent,omitempty"` // it was made for; a claim
	Mode       Mode              `json:"mode"`
	Parents    []oid.ID          `json:"parents"`
	Principal  Principal         `json:"principal"`
	Ref        string            `json:"ref,omitempty"` // the branch HEAD was on; a claim
	Tool       string            `json:"tool,omitempty"`
	Unrecorded []string          `json:"unrecorded"` // what this seal could say and does not, sorted
}

// Principal names who sealed.
type Principal struct {
	Accountable string `json:"accountable"`
	Kind        string `json:"kind"`
	Name        string `json:"name"`
}

// Content and patch digests that are none say why in these words.
const (
	TooLarge  = "too-large" // over MaxContent, or a patch over the limits of Patch
	Missing   = "missing"   // the object is not in this clone
	IsBinary  = "binary"    // a patch of content with NUL bytes
	IsLink    = "link"      // a patch of a symbolic link
	IsGitlink = "gitlink"   // a submodule's commit has no content here
)

// MaxContent is the size in bytes up to which new content is hashed.
const MaxContent = 32 << 20

// Change is one path's change.
type Change struct {
	New     string `json:"new,omitempty"` // object id; absent when deleted
	NewMode string `json:"newMode,omitempty"`
	Old     string `json:"old,omitempty"` // object id; absent when added
	OldMode string `json:"oldMode,omitempty"`
	Patch   string `json:"patch,omitempty"`  // of a modification of content: 64 hexadecimal digits, or why there is none
	Path    string `json:"path,omitempty"`   // when it is valid UTF-8
	Path64  string `json:"path64,omitempty"` // base64 of the bytes, when it is not
	SHA256  string `json:"sha256,omitempty"` // of the new content: 64 hexadecimal digits, or why there is none
	Status  string `json:"status"`           // "A", "M", "D" or "T" (type changed)
}

// SetPath stores the bytes of a path.
func (c *Change) SetPath(p string) {
	if utf8.ValidString(p) {
		c.Path, c.Path64 = p, ""
		return
	}
	c.Path, c.Path64 = "", base64.StdEncoding.EncodeToString([]byte(p))
}

// PathBytes returns the bytes of the path.
func (c *Change) PathBytes() string {
	if c.Path64 == "" {
		return c.Path
	}
	b, err := base64.StdEncoding.Strict().DecodeString(c.Path64)
	if err != nil {
		return ""
	}
	return string(b)
}

// ValidIntent reports whether a text may name an intent: 1 to 256 bytes of UTF-8 without control characters.
func ValidIntent(s string) bool {
	return envelope.IsLine(s, 256)
}

// NewSeal returns a seal of a commit and its tree.
func NewSeal(commit, tree oid.ID, p Predicate) *Seal {
	typ := SealType
	if p.Names() {
		typ = BoundType
	}
	return &Seal{Type: intoto.StatementType, PredicateType: typ, Predicate: p, Subject: intoto.Change(commit, tree)}
}

// Commit returns the commit the seal is about, zero when it is malformed.
func (s *Seal) Commit() oid.ID { return intoto.Object(s.Subject, 0, intoto.Commit) }

// Tree returns the commit's tree.
func (s *Seal) Tree() oid.ID { return intoto.Object(s.Subject, 1, intoto.Tree) }

// Encode writes the seal as canonical JSON.
func (s *Seal) Encode() ([]byte, error) {
	if err := s.validate(); err != nil {
		return nil, err
	}
	return canonical.Marshal(s)
}

// Parse reads an opened seal.
func Parse(o *envelope.Opened) (*Seal, error) {
	return intoto.Read(o, ErrInvalid, (*Seal).validate, SealType, BoundType)
}

func (s *Seal) validate() error {
	bad := func(format string, a ...any) error {
		return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, a...))
	}
	switch names := s.Predicate.Names(); {
	case s.Type != intoto.StatementType || s.PredicateType != SealType && s.PredicateType != BoundType:
		return bad("type %q of %q", s.PredicateType, s.Type)
	case names != (s.PredicateType == BoundType):
		return bad("type %q, and what it names is of the other", s.PredicateType)
	}
	if len(s.Subject) != 2 || len(s.Subject[0].Digest) != 1 || len(s.Subject[1].Digest) != 1 ||
		s.Subject[0].Name != "commit" || s.Subject[1].Name != "tree" {
		return bad("subjects")
	}
	commit, tree := s.Commit(), s.Tree()
	if commit.IsZero() || tree.IsZero() || commit.Format() != tree.Format() {
		return bad("subjects")
	}
	p := s.Predicate
	if want := max(1, len(p.Parents)); len(p.Changes) != want {
		return bad("changes against %d of %d parents", len(p.Changes), want)
	}
	for _, id := range p.Parents {
		if id.Format() != commit.Format() || id.IsZero() {
			return bad("parent %q", id)
		}
	}
	if p.Mode != Witness && p.Mode != Vouching {
		return bad("mode %q", p.Mode)
	}
	if (p.Mode == Witness) != (p.Decision != "") {
		return bad("mode %s with decision %q", p.Mode, p.Decision)
	}
	if p.Decision != "" && !p.Decision.Valid() {
		return bad("decision")
	}
	for i, g := range p.Grants {
		if !g.Valid() || slices.Contains(p.Grants[:i], g) {
			return bad("grants")
		}
	}
	if p.Intent != "" && !ValidIntent(p.Intent) {
		return bad("intent %.40q", p.Intent)
	}
	if p.Principal.Name == "" || p.Principal.Kind == "" || p.Principal.Accountable == "" {
		return bad("principal")
	}
	if err := p.check(p.Intent); err != nil {
		return bad("%v", err)
	}
	if !slices.Equal(p.Unrecorded, p.LeftOut()) {
		return bad("unrecorded: what is left out must be said")
	}
	return nil
}

// Decision is the body of a [Decided] statement: what the checkers answered for
// exactly this tree, these parents and this ref. It is evidence; verification asks again.
type Decision struct {
	Action   string            `json:"action"`
	Allowed  bool              `json:"allowed"`
	Checkers []string          `json:"checkers"`          // who was asked, in order
	Commit   oid.ID            `json:"commit,omitzero"`   // a refused commit that was made all the same
	Grants   []envelope.Digest `json:"grants"`            // relied on, the operator's first
	Intent   string            `json:"intent,omitempty"`  // it was asked for
	KeyID    string            `json:"key"`               // who asked
	Moment   string            `json:"moment"`            // when: a Git hook's name, or a command's
	Parents  []oid.ID          `json:"parents"`           // of the commit that is, or would be
	Reason   string            `json:"reason,omitempty"`  // of a refusal
	Ref      string            `json:"ref,omitempty"`     // it is, or would be, made on
	Refused  envelope.Digest   `json:"refused,omitempty"` // the grant that refused
	Tree     oid.ID            `json:"tree"`
}

// ParseDecision reads an opened decision.
func ParseDecision(o *envelope.Opened) (*envelope.Ledger[Decision], error) {
	return envelope.Decode[Decision](o, Decided)
}

// Allows reports whether the decision allowed exactly this commit.
func (d *Decision) Allows(keyID string, tree oid.ID, parents []oid.ID, ref string) bool {
	return d.Allowed && d.KeyID == keyID && d.Tree == tree && slices.Equal(d.Parents, parents) && d.Ref == ref
}

// Admitted is the type of an admission.
const Admitted = "ref.admitted/v1"

// Admission is the body of an [Admitted] statement: a protected ref moved, and its
// signer verified what it moved to. The admissions of a ref follow each other from old to new.
type Admission struct {
	New  oid.ID          `json:"new,omitzero"` // absent: the ref was deleted
	Old  oid.ID          `json:"old,omitzero"` // absent: it was made
	Ref  string          `json:"ref"`
	Root envelope.Digest `json:"root"` // the version of the trust root it was held to
	Tips envelope.Digest `json:"tips"` // over all ledger heads that were known
}

// ParseAdmission reads an opened admission.
func ParseAdmission(o *envelope.Opened) (*envelope.Ledger[Admission], error) {
	s, err := envelope.Decode[Admission](o, Admitted)
	if err != nil {
		return nil, err
	}
	b := &s.Body
	if !strings.HasPrefix(b.Ref, "refs/") || !b.Root.Valid() || !b.Tips.Valid() || b.New == b.Old {
		return nil, fmt.Errorf("%w: admission of %.100q", ErrInvalid, b.Ref)
	}
	return s, nil
}
