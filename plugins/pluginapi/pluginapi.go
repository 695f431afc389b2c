// Package pluginapi is what a capability plugin is asked and what it answers:
// plain values, standard library only. An author of a plugin in Go needs this
// package and plugins/pluginwire; in another language, docs/spec/plugins.md.
//
// A plugin is a pure function of a [Request]. It has no clock (At is in the
// request), no network and no state: asked again years later, the same request
// has the same answer. It never sees a key or a signature: the host has checked
// both, and hands over facts.
package pluginapi

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Version of the contract. A plugin refuses requests of another one.
const Version = 1

// Limits of what goes over the wire, in bytes and numbers.
const (
	MaxMessage = 32 << 20
	MaxChains  = 1024
	MaxLinks   = 32
	MaxReason  = 4096
)

// ErrInvalid says that a request or an answer breaks the contract. The two others are
// kinds of it: a message of another version, and an answer to another request.
var (
	ErrInvalid      = errors.New("not a valid message")
	ErrVersion      = fmt.Errorf("%w: another version of the contract", ErrInvalid)
	ErrOtherRequest = fmt.Errorf("%w: an answer to another request", ErrInvalid)
)

// A Checker answers requests. Answers come in the order of the requests. An
// error denies them all.
type Checker interface {
	Check(ctx context.Context, requests []*Request) ([]Answer, error)
}

// Request asks whether a principal may do something. All of it was checked by the host.
type Request struct {
	Version    int       `json:"version"`    // [Version]
	ID         string    `json:"id"`         // 32 hexadecimal digits; the answer repeats it
	Repository string    `json:"repository"` // identity of version 1 of the trust root
	At         string    `json:"at"`         // the moment that grants are judged at: RFC 3339, UTC
	Action     string    `json:"action"`     // such as "repo.commit"
	Principal  Principal `json:"principal"`  // who asks
	Ref        string    `json:"ref,omitempty"`
	Intent     string    `json:"intent,omitempty"`
	Changes    []Change  `json:"changes,omitempty"` // of repo.*: what changes, sorted by path
	// Resource is what other actions act on, by the field names of their scope: {"tiers":["working"],"apply":true}.
	Resource map[string]any `json:"resource,omitempty"`
	// Chains are the unbroken chains of grants that end at this principal's key and whose
	// action covers this one, each from the operator's grant down to the holder's. Operators need none.
	Chains []Chain `json:"chains,omitempty"`
	// Config is the plugin's own configuration from the trust root, by file name. Requests
	// travel in a [Batch], which carries it once for all of them.
	Config map[string]string `json:"config,omitempty"`
}

// Principal is who asks.
type Principal struct {
	Name        string `json:"name"`
	Kind        string `json:"kind"`        // "human", "agent" or "automation"
	Accountable string `json:"accountable"` // the human who answers for it
	Operator    bool   `json:"operator,omitempty"`
}

// Change is one changed path. A path is bytes; encoding/json writes them in base64.
type Change struct {
	Path    []byte `json:"path"`
	Status  string `json:"status"`            // "A", "M", "D" or "T"
	OldMode string `json:"oldMode,omitempty"` // six octal digits
	NewMode string `json:"newMode,omitempty"`
	Size    int64  `json:"size,omitempty"` // of the new content in bytes; 0 when there is none
}

// Chain is grants from an operator's down to the holder's.
type Chain []Grant

// Grant is one link.
type Grant struct {
	ID        string          `json:"id"`
	Action    string          `json:"action"` // exact, or ending in ".*"
	Scope     json.RawMessage `json:"scope"`
	NotBefore string          `json:"notBefore,omitempty"`
	Expires   string          `json:"expires,omitempty"`
	Delegable int             `json:"delegable"`
	By        string          `json:"by"` // name of who gave it
	To        string          `json:"to"` // name of who got it
}

// Answer answers the request of the same ID. When a checker allows, Chains are
// the indices of the chains it allows, all of them when it does not care; for an
// operator there are none.
type Answer struct {
	Version int    `json:"version"`
	ID      string `json:"id"`
	Allowed bool   `json:"allowed"`
	Chains  []int  `json:"chains,omitempty"`
	Reason  string `json:"reason,omitempty"`  // for people: why not; the first link that refused
	Refused string `json:"refused,omitempty"` // id of the grant that refused, when one did
}

// Allow answers yes for these chains.
func Allow(r *Request, chains ...int) Answer {
	return Answer{Version: Version, ID: r.ID, Allowed: true, Chains: chains}
}

// AllowAll answers yes for every chain.
func AllowAll(r *Request) Answer {
	all := make([]int, len(r.Chains))
	for i := range all {
		all[i] = i
	}
	return Allow(r, all...)
}

// Deny answers no. A reason that is too long is cut.
func Deny(r *Request, reason string) Answer {
	reason = strings.ToValidUTF8(reason, "\uFFFD")
	if len(reason) > MaxReason {
		reason = strings.ToValidUTF8(reason[:MaxReason-len("…")], "") + "…"
	}
	return Answer{Version: Version, ID: r.ID, Reason: reason}
}

// Validate reports whether the request keeps the contract.
func (r *Request) Validate() error {
	switch {
	case r.Version != Version:
		return fmt.Errorf("%w: %d, not %d", ErrVersion, r.Version, Version)
	case !validID(r.ID):
		return fmt.Errorf("%w: id %.40q", ErrInvalid, r.ID)
	case r.Action == "" || r.Principal.Name == "" || r.Principal.Kind == "":
		return fmt.Errorf("%w: no action or principal", ErrInvalid)
	case !validTime(r.At):
		return fmt.Errorf("%w: time %.40q", ErrInvalid, r.At)
	case len(r.Chains) > MaxChains:
		return fmt.Errorf("%w: %d chains", ErrInvalid, len(r.Chains))
	}
	for i := range r.Changes {
		if err := r.Changes[i].validate(); err != nil {
			return err
		}
	}
	for _, c := range r.Chains {
		if len(c) == 0 || len(c) > MaxLinks {
			return fmt.Errorf("%w: a chain of %d grants", ErrInvalid, len(c))
		}
	}
	return nil
}

// Answers reports whether the answer is one to this request that keeps the contract. A host
// that gets an error denies.
func (a *Answer) Answers(r *Request) error {
	switch {
	case a.Version != Version:
		return fmt.Errorf("%w: %d, not %d", ErrVersion, a.Version, Version)
	case a.ID != r.ID:
		return fmt.Errorf("%w, %.40q", ErrOtherRequest, a.ID)
	case len(a.Reason) > MaxReason || len(a.Refused) > MaxReason:
		return fmt.Errorf("%w: a reason of %d bytes", ErrInvalid, len(a.Reason))
	case !a.Allowed:
		return nil
	case len(r.Chains) > 0 && len(a.Chains) == 0:
		return fmt.Errorf("%w: it allows, but no chain of grants", ErrInvalid)
	}
	for i, c := range a.Chains {
		if c < 0 || c >= len(r.Chains) || slices.Contains(a.Chains[:i], c) {
			return fmt.Errorf("%w: chain %d of %d", ErrInvalid, c, len(r.Chains))
		}
	}
	return nil
}

// Match reports whether these are the answers to these requests, one each and in their order.
func Match(requests []*Request, answers []Answer) error {
	if len(answers) != len(requests) {
		return fmt.Errorf("%w: %d answers to %d requests", ErrInvalid, len(answers), len(requests))
	}
	for i := range answers {
		if err := answers[i].Answers(requests[i]); err != nil {
			return fmt.Errorf("answer %d: %w", i, err)
		}
	}
	return nil
}

func (c *Change) validate() error {
	switch {
	case len(c.Path) == 0 || bytes.IndexByte(c.Path, 0) >= 0:
		return fmt.Errorf("%w: path %.40q", ErrInvalid, c.Path)
	case !slices.Contains([]string{"A", "M", "D", "T"}, c.Status):
		return fmt.Errorf("%w: status %.40q of %.40q", ErrInvalid, c.Status, c.Path)
	case !validMode(c.OldMode) || !validMode(c.NewMode):
		return fmt.Errorf("%w: modes %.40q and %.40q of %.40q", ErrInvalid, c.OldMode, c.NewMode, c.Path)
	case c.Size < 0:
		return fmt.Errorf("%w: size %d of %.40q", ErrInvalid, c.Size, c.Path)
	}
	return nil
}

func validMode(s string) bool {
	return s == "" || len(s) == 6 && strings.Trim(s, "01234567") == ""
}

func validTime(s string) bool {
	_, err := time.Parse(time.RFC3339, s)
	return err == nil && strings.HasSuffix(s, "Z")
}

func validID(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 16 && hex.EncodeToString(b) == s
}

// Decode reads one JSON value strictly: unknown fields and trailing data are refused.
func Decode(b []byte, v any) error {
	if len(b) > MaxMessage {
		return fmt.Errorf("%w: %d bytes", ErrInvalid, len(b))
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: data after it", ErrInvalid)
	}
	return nil
}
