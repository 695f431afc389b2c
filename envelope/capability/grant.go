// Package capability holds grants: signed permissions to act in a repository.
//
// The grant that first names a key also introduces its holder: display name,
// kind, e-mail addresses, and the accountable human, who is the operator that
// signed it. A grant is a statement of type [Granted] in its grantor's
// capability ledger; its id is the identity of its envelope.
package capability

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/identity"
)

// Types of the statements in capability ledgers.
const (
	Granted   = "capability.granted/v1"
	Revoked   = "capability.revoked/v1"
	Requested = "capability.requested/v1"
)

// Actions on the repository.
const (
	Commit = "repo.commit" // make commits, and seal them when they are made
	Vouch  = "repo.vouch"  // seal commits after the fact, or commits of others

	Connect    = "network.connect" // reach hosts, which the request has as "hosts"
	ReadSecret = "secret.read"     // read files that are secret, which the request has as "paths"
	Push       = "repo.push"       // admit that a protected branch moves forward
	Rewind     = "repo.rewind"     // admit that a protected ref goes back, or elsewhere
	Tag        = "repo.tag"        // admit tags
	Ref        = "repo.ref"        // admit that a protected ref is made or deleted
	Review     = "repo.review"     // tell of reviews that were given on a forge
)

// repoActions are the actions on the repository that a grant may name.
var repoActions = []string{Commit, Vouch, Push, Rewind, Tag, Ref, Review, "repo.*"}

// MovesRefs reports whether an action on the repository changes no files: a scope that limits those does not allow it.
func MovesRefs(action string) bool {
	return action == Push || action == Rewind || action == Tag || action == Ref || action == Review
}

// ErrInvalid says that a grant is malformed.
var ErrInvalid = errors.New("not a valid grant")

// Grant is the body of a grant.
type Grant struct {
	Action    string `json:"action"`            // exact, or ending in ".*"
	Delegable int    `json:"delegable"`         // how many further hands it may pass through
	Expires   string `json:"expires,omitempty"` // RFC 3339; absent: never
	// Introduction marks what a new principal may do until somebody says what: it ends
	// when its holder is first given a grant that covers the same action.
	Introduction bool            `json:"introduction,omitempty"`
	NotBefore    string          `json:"notBefore,omitempty"` // RFC 3339; absent: at once
	Parent       envelope.Digest `json:"parent,omitempty"`    // the grant this one was delegated from
	Scope        Scope           `json:"scope"`
	Serial       string          `json:"serial"` // 32 hexadecimal digits: the same grant given again is another grant
	Subject      Subject         `json:"subject"`
}

// Subject is who may act.
type Subject struct {
	Accountable string   `json:"accountable"`      // a human of the trust root
	Emails      []string `json:"emails,omitempty"` // addresses the subject commits with, sorted
	Key         string   `json:"key"`              // as identity.ParsePublicKey reads it
	Kind        string   `json:"kind"`             // "agent" or "automation"
	Name        string   `json:"name"`
}

// Limits.
const (
	maxEmails    = 64
	maxDelegable = 16
	serialLen    = 32
)

// validAction reports whether s is words of small letters, digits and "_" joined by dots, the last of which may be "*".
func validAction(s string) bool {
	words := strings.Split(s, ".")
	for i, w := range words {
		if w == "*" && i == len(words)-1 && i > 0 {
			continue
		}
		if w == "" || (i == 0 && (w[0] < 'a' || w[0] > 'z')) {
			return false
		}
		for _, c := range []byte(w) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
				return false
			}
		}
	}
	return len(s) <= 128
}

// CheckAction reports why s is no action that could be granted or asked for. The error wraps ErrInvalid.
func CheckAction(s string) error {
	if !validAction(s) {
		return fmt.Errorf("%w: action %.80q", ErrInvalid, s)
	}
	if Namespace(s) == "repo" && !slices.Contains(repoActions, s) {
		return fmt.Errorf("%w: action %.80q: those on the repository are %s", ErrInvalid, s, strings.Join(repoActions, ", "))
	}
	return nil
}

func validSerial(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(s) == serialLen
}

// Validate reports whether the grant is well formed.
func (g *Grant) Validate() error {
	bad := func(format string, a ...any) error {
		return fmt.Errorf("%w: %w", ErrInvalid, fmt.Errorf(format, a...))
	}
	if err := CheckAction(g.Action); err != nil {
		return err
	}
	if err := g.Scope.Validate(g.Action); err != nil {
		return err
	}
	if !validSerial(g.Serial) {
		return bad("serial")
	}
	if g.Delegable < 0 || g.Delegable > maxDelegable {
		return bad("delegable %d", g.Delegable)
	}
	if g.Parent != "" && (!g.Parent.Valid() || g.Introduction) {
		return bad("parent")
	}
	for _, t := range []string{g.Expires, g.NotBefore} {
		if t != "" && envelope.CheckTime(t) != nil {
			return bad("time %q", t)
		}
	}
	s := g.Subject
	if !identity.ValidName(s.Name) || !identity.ValidName(s.Accountable) {
		return bad("subject %q, accountable %q", s.Name, s.Accountable)
	}
	if s.Kind != "agent" && s.Kind != "automation" && s.Kind != "human" {
		return bad("kind %q", s.Kind)
	}
	if s.Kind == "human" && s.Accountable != s.Name {
		return bad("%s is human, and answers for themselves", s.Name)
	}
	if len(s.Emails) > maxEmails || !slices.IsSorted(s.Emails) {
		return bad("e-mail addresses")
	}
	pub, err := identity.ParsePublicKey(s.Key)
	if err != nil {
		return bad("key: %w", err)
	}
	if pub.String() != s.Key {
		return bad("key is not in its canonical form")
	}
	return nil
}

// Parse reads an opened grant.
func Parse(o *envelope.Opened) (*envelope.Ledger[Grant], error) {
	s, err := envelope.Decode[Grant](o, Granted)
	if err != nil {
		return nil, err
	}
	if err := s.Body.Validate(); err != nil {
		return nil, err
	}
	return s, nil
}

// Revocation is the body of a [Revoked] statement: from its time on the grant and
// everything delegated from it counts for nothing.
type Revocation struct {
	Grant  envelope.Digest `json:"grant"`
	Reason string          `json:"reason"`
}

// Asked is the body of a [Requested] statement: a grant that a principal asks for.
type Asked struct {
	Action    string `json:"action"`
	Delegable int    `json:"delegable"`
	Expires   string `json:"expires,omitempty"`
	Reason    string `json:"reason"`
	Scope     Scope  `json:"scope"`
}

// Declined is the type of the ledger statement by which an operator says that a request is not granted.
const Declined = "capability.declined/v1"

// Declining is its body. It takes nothing away: what it declines may be asked again, and granted all the same.
type Declining struct {
	Reason  string          `json:"reason,omitempty"`
	Request envelope.Digest `json:"request"`
}

// ParseDeclining reads an opened declining.
func ParseDeclining(o *envelope.Opened) (*envelope.Ledger[Declining], error) {
	s, err := envelope.Decode[Declining](o, Declined)
	if err != nil {
		return nil, err
	}
	return s, s.Body.Validate()
}

// Validate reports whether the declining is well formed.
func (d *Declining) Validate() error {
	if !d.Request.Valid() || len(d.Reason) > maxReason {
		return fmt.Errorf("%w: declining of %.80q", ErrInvalid, d.Request)
	}
	return nil
}

// maxReason is the longest reason in bytes.
const maxReason = 4096

// ParseRevocation reads an opened revocation.
func ParseRevocation(o *envelope.Opened) (*envelope.Ledger[Revocation], error) {
	s, err := envelope.Decode[Revocation](o, Revoked)
	if err != nil {
		return nil, err
	}
	return s, s.Body.Validate()
}

// Validate reports whether the revocation is well formed.
func (r *Revocation) Validate() error {
	if !r.Grant.Valid() || len(r.Reason) > maxReason {
		return fmt.Errorf("%w: revocation of %.80q", ErrInvalid, r.Grant)
	}
	return nil
}

// Checked is the type of the ledger statement that somebody asked the checkers, and kept the answer.
const Checked = "capability.checked/v1"

// Check is its body. It is evidence of what was asked and answered, and lets nobody do anything.
type Check struct {
	Action   string            `json:"action"`
	Allowed  bool              `json:"allowed"`
	Checkers []string          `json:"checkers"` // who was asked, in order
	Grants   []envelope.Digest `json:"grants"`   // relied on, the operator's first
	Intent   string            `json:"intent,omitempty"`
	KeyID    string            `json:"key"` // whom it was asked about
	Paths    []string          `json:"paths,omitempty"`
	Reason   string            `json:"reason,omitempty"` // of a denial
	Ref      string            `json:"ref,omitempty"`
	Refused  envelope.Digest   `json:"refused,omitempty"` // the grant that refused
	Resource map[string]any    `json:"resource,omitempty"`
}

// maxPaths is how many paths one question names.
const maxPaths = 10_000

// ParseCheck reads an opened check.
func ParseCheck(o *envelope.Opened) (*envelope.Ledger[Check], error) {
	s, err := envelope.Decode[Check](o, Checked)
	if err != nil {
		return nil, err
	}
	return s, s.Body.Validate()
}

// Validate reports whether the check is well formed.
func (c *Check) Validate() error {
	if c.Action == "" || c.KeyID == "" || len(c.Paths) > maxPaths || c.Allowed && (c.Reason != "" || c.Refused != "") {
		return fmt.Errorf("%w: check of %.80q", ErrInvalid, c.Action)
	}
	for _, g := range c.Grants {
		if !g.Valid() {
			return fmt.Errorf("%w: check of %.80q: grant %.80q", ErrInvalid, c.Action, g)
		}
	}
	return nil
}

// ParseAsked reads an opened request.
func ParseAsked(o *envelope.Opened) (*envelope.Ledger[Asked], error) {
	s, err := envelope.Decode[Asked](o, Requested)
	if err != nil {
		return nil, err
	}
	return s, s.Body.Validate()
}

// Validate reports whether the request is well formed.
func (r *Asked) Validate() error {
	switch {
	case !validAction(r.Action):
		return fmt.Errorf("%w: action %q", ErrInvalid, r.Action)
	case r.Delegable < 0 || r.Delegable > maxDelegable:
		return fmt.Errorf("%w: delegable %d", ErrInvalid, r.Delegable)
	case r.Expires != "" && envelope.CheckTime(r.Expires) != nil:
		return fmt.Errorf("%w: time %q", ErrInvalid, r.Expires)
	case len(r.Reason) > maxReason:
		return fmt.Errorf("%w: a reason of %d bytes", ErrInvalid, len(r.Reason))
	}
	return r.Scope.Validate(r.Action)
}
