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
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/identity"
)

// Granted is the type of a grant.
const Granted = "capability.granted/v1"

// Actions this version knows.
const (
	Commit = "repo.commit" // make commits, and seal them when they are made
	Vouch  = "repo.vouch"  // seal commits after the fact, or commits of others
)

// ErrInvalid says that a grant is malformed.
var ErrInvalid = errors.New("not a valid grant")

// Grant is the body of a grant.
type Grant struct {
	Action    string          `json:"action"`              // exact, or ending in ".*"
	Delegable int             `json:"delegable"`           // how many further hands it may pass through
	Expires   string          `json:"expires,omitempty"`   // RFC 3339; absent: never
	NotBefore string          `json:"notBefore,omitempty"` // RFC 3339; absent: at once
	Parent    envelope.Digest `json:"parent,omitempty"`    // the grant this one was delegated from
	Scope     Scope           `json:"scope"`
	Serial    string          `json:"serial"` // 32 hexadecimal digits: the same grant given again is another grant
	Subject   Subject         `json:"subject"`
}

// Scope narrows a grant. Version 1 of the empty scope narrows nothing; fields
// this program does not know make the grant unreadable, never wider.
type Scope struct {
	Version int `json:"version"`
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
	if !validAction(g.Action) {
		return bad("action %q", g.Action)
	}
	if g.Scope.Version != 1 {
		return bad("scope version %d", g.Scope.Version)
	}
	if !validSerial(g.Serial) {
		return bad("serial")
	}
	if g.Delegable < 0 || g.Delegable > maxDelegable {
		return bad("delegable %d", g.Delegable)
	}
	if g.Parent != "" && !g.Parent.Valid() {
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
	if s.Kind != "agent" && s.Kind != "automation" {
		return bad("kind %q: persons are introduced by the trust root", s.Kind)
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

// Covers reports whether the grant's action covers an action.
func (g *Grant) Covers(action string) bool {
	if prefix, ok := strings.CutSuffix(g.Action, ".*"); ok {
		return strings.HasPrefix(action, prefix+".")
	}
	return g.Action == action
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

// Active reports whether the grant is in force at t.
func (g *Grant) Active(t time.Time) bool {
	if g.NotBefore != "" {
		if nb, err := time.Parse(time.RFC3339, g.NotBefore); err != nil || t.Before(nb) {
			return false
		}
	}
	if g.Expires != "" {
		if ex, err := time.Parse(time.RFC3339, g.Expires); err != nil || t.After(ex) {
			return false
		}
	}
	return true
}
