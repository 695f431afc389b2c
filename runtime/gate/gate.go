// Package gate asks the capability checkers, without linking what it takes to run them.
//
// A [Gate] hands requests to covenant-gate, which asks the built-in checker and each
// pinned plugin, every one a subprocess. Where a resident host of the same program is
// running it answers over a private socket, for a tenth of the time; when anything about
// that host is not as it should be, covenant-gate is run as if there were none.
//
// The documents that both sides exchange are described in docs/spec/plugins.md.
package gate

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

// DefaultTimeout bounds an [Gate.Ask] when the gate names no other time.
const DefaultTimeout = 15 * time.Second

// What is asked in one round: so many requests, of so many bytes. Answers must fit too.
const (
	maxRound      = 2048
	maxRoundBytes = pluginapi.MaxMessage / 2
)

// Gate says whom to ask. The zero value denies everything.
type Gate struct {
	Program  string // covenant-gate, beside our own program
	Socket   string // of the resident host, from [SocketPath]
	Resident bool   // use the host, and start it when there is none
	Plugins  []Plugin
	Timeout  time.Duration // of one round of at most 2048 requests; 0: [DefaultTimeout]
	Env      []string      // of covenant-gate itself; plugins see nothing of it. nil: empty

	ahead, asked *started // that waits for its question; that had it
}

// Plugin is a pinned checker.
type Plugin struct {
	Name   string            `json:"name"`
	Path   string            `json:"path"`
	Digest string            `json:"digest"`
	Config map[string]string `json:"config,omitempty"` // by file name
}

// Decision is what all checkers together say of one request.
type Decision struct {
	Allowed  bool
	Chains   []int    // the chains of the request that every checker allows
	Checkers []string // who was asked, with digests, in order; "scope@builtin" is first

	// Why not.
	Checker string            // who refused
	Refused string            // id of the grant that refused, when one did
	Failure pluginapi.Failure // when it refused by giving no answer
	Reason  string
}

// An Error says that no checker could be asked. Everything is denied.
type Error struct {
	Failure pluginapi.Failure
	Hint    string // what to do about it
	Err     error
}

func (e *Error) Error() string { return "asking the capability checkers: " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Ask returns one decision for each request, in their order. It gives each request its
// version and a fresh id; the caller's stay as they are. With an error, which is an
// [*Error], all are denied.
func (g *Gate) Ask(ctx context.Context, requests []*pluginapi.Request) ([]Decision, error) {
	decisions := make([]Decision, len(requests))
	var round []*pluginapi.Request
	var raw []json.RawMessage
	var at []int
	size := 0
	flush := func() error {
		if len(round) == 0 {
			return nil
		}
		got, err := g.round(ctx, round, raw)
		for i, d := range got {
			decisions[at[i]] = d
		}
		round, raw, at, size = nil, nil, nil, 0
		return err
	}
	for i, r := range requests {
		ours := *r
		ours.Version, ours.ID, ours.Config = pluginapi.Version, newID(), nil
		b, err := encode(&ours)
		if err != nil {
			decisions[i] = Decision{Reason: err.Error(), Failure: pluginapi.Failed}
			continue
		}
		if len(round) == maxRound || size+len(b) > maxRoundBytes {
			if err := flush(); err != nil {
				return deny(len(requests), err)
			}
		}
		round, raw, at, size = append(round, &ours), append(raw, b), append(at, i), size+len(b)
	}
	if err := flush(); err != nil {
		return deny(len(requests), err)
	}
	return decisions, nil
}

func encode(r *pluginapi.Request) ([]byte, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	b, err := json.Marshal(r)
	if err == nil && len(b) > maxRoundBytes {
		err = fmt.Errorf("%w: a request of %d bytes", pluginapi.ErrInvalid, len(b))
	}
	return b, err
}

func deny(n int, err error) ([]Decision, error) {
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{Failure: pluginapi.Failed, Err: err}
	}
	return slices.Repeat([]Decision{{Reason: e.Error(), Failure: e.Failure}}, n), e
}

// newID returns 32 hexadecimal digits that nobody has seen. crypto/rand does not fail.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// round asks once.
func (g *Gate) round(ctx context.Context, requests []*pluginapi.Request, raw []json.RawMessage) ([]Decision, error) {
	timeout := g.Timeout
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	if _, err := os.Stat(g.Program); err != nil || g.Program == "" {
		return nil, missing(g.Program, err)
	}
	if g.Resident {
		third := timeout / 3
		timeout -= third
		doc, err := g.document(raw, third)
		if err != nil {
			return nil, err
		}
		if b, ok := g.askHost(ctx, doc, third); ok {
			// Who was late there may still come in the time that is left.
			if ds, err := g.read(b, requests); err == nil && !slices.ContainsFunc(ds, late) {
				return ds, nil
			}
		}
	}
	doc, err := g.document(raw, timeout)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	b, err := g.run(ctx, doc)
	if err != nil {
		return nil, err
	}
	ds, err := g.read(b, requests)
	if err != nil {
		return nil, &Error{Failure: pluginapi.FailureOf(err), Hint: reinstall, Err: err}
	}
	return ds, nil
}

// document leaves the checkers less time than we have, so that who was late is what we hear.
func (g *Gate) document(raw []json.RawMessage, timeout time.Duration) ([]byte, error) {
	doc, err := json.Marshal(rawDocument{Version, (timeout * 9 / 10).Milliseconds(), raw, g.Plugins})
	if err == nil && len(doc) > MaxDocument {
		err = fmt.Errorf("%w: %d bytes", pluginapi.ErrInvalid, len(doc))
	}
	if err != nil {
		return nil, &Error{Failure: pluginapi.Failed, Err: err}
	}
	return doc, nil
}

func late(d Decision) bool { return d.Failure == pluginapi.Timeout }

// checkers are the names of those who must answer, in order.
func (g *Gate) checkers() []string {
	names := []string{Builtin}
	for _, p := range g.Plugins {
		names = append(names, p.FullName())
	}
	return names
}

// FullName is the name with the digest it is pinned to.
func (p *Plugin) FullName() string { return p.Name + "@" + p.Digest }

// read reads a result, and takes nothing from it that does not answer what was asked.
func (g *Gate) read(b []byte, requests []*pluginapi.Request) ([]Decision, error) {
	r, err := DecodeResult(b)
	if err != nil {
		return nil, err
	}
	if len(r.Answers) != len(requests) {
		return nil, fmt.Errorf("%w: %d answers to %d requests", pluginapi.ErrInvalid, len(r.Answers), len(requests))
	}
	names := g.checkers()
	ds := make([]Decision, 0, len(requests))
	for i, q := range requests {
		d, err := decide(q, names, r.Answers[i])
		if err != nil {
			return nil, err
		}
		ds = append(ds, d)
	}
	return ds, nil
}

// decide puts together what the checkers said of a request.
func decide(r *pluginapi.Request, names []string, said []Said) (Decision, error) {
	if len(said) != len(names) {
		return Decision{}, fmt.Errorf("%w: %d checkers of %d answered", pluginapi.ErrInvalid, len(said), len(names))
	}
	d := Decision{Checkers: names, Chains: make([]int, len(r.Chains))}
	for i := range d.Chains {
		d.Chains[i] = i
	}
	denied := func(checker, reason string) {
		if d.Checker == "" {
			d.Checker, d.Reason = checker, reason
		}
	}
	for i, s := range said {
		if s.Checker != names[i] {
			return Decision{}, fmt.Errorf("%w: an answer of %.100q, not %s", pluginapi.ErrInvalid, s.Checker, names[i])
		}
		if s.Answer == nil {
			if d.Checker == "" {
				d.Failure = s.Failure
			}
			denied(s.Checker, s.Error)
			continue
		}
		if err := s.Answer.Answers(r); err != nil {
			return Decision{}, err
		}
		if !s.Answer.Allowed {
			if d.Checker == "" {
				d.Refused = s.Answer.Refused
			}
			denied(s.Checker, s.Answer.Reason)
			continue
		}
		before := len(d.Chains)
		d.Chains = slices.DeleteFunc(d.Chains, func(c int) bool { return !slices.Contains(s.Answer.Chains, c) })
		if before > 0 && len(d.Chains) == 0 {
			denied(s.Checker, "no chain of grants is allowed by all checkers")
		}
	}
	if d.Checker != "" {
		d.Chains = nil
		return d, nil
	}
	d.Allowed = true
	return d, nil
}
