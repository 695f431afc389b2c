package capability

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/open-covenant/covenant-git/git/pattern"
	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

// Name is the name of the built-in checker in decisions.
const Name = "scope@builtin"

// Checker is the built-in capability checker. It allows what an operator asks,
// and what every grant of a chain allows: its action, its time, its scope, and
// the depth to which it could be handed on.
type Checker struct{}

// Check answers requests in their order.
func (Checker) Check(ctx context.Context, requests []*pluginapi.Request) ([]pluginapi.Answer, error) {
	out := make([]pluginapi.Answer, len(requests))
	for i, r := range requests {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		out[i] = check(r)
	}
	return out, nil
}

func check(r *pluginapi.Request) pluginapi.Answer {
	if err := r.Validate(); err != nil {
		return pluginapi.Deny(r, err.Error())
	}
	at, err := time.Parse(time.RFC3339, r.At)
	if err != nil {
		return pluginapi.Deny(r, "the moment is no time: "+r.At)
	}
	if r.Principal.Operator {
		return pluginapi.AllowAll(r)
	}
	var allowed []int
	denied := pluginapi.Deny(r, fmt.Sprintf("%s has no grant of %s", r.Principal.Name, r.Action))
	far := -1
	for i, c := range r.Chains {
		link, why := refusedBy(c, r, at)
		if why == "" {
			allowed = append(allowed, i)
			continue
		}
		came := 2 * link // of several refusals the one that came furthest helps most, and one that is for the ref came further
		if s, err := scopeOf(&c[link]); err == nil && (s.Refs == nil || pattern.Any(s.Refs, r.Ref)) {
			came++
		}
		if came >= far {
			far = came
			denied.Refused, denied.Reason = c[link].ID, fmt.Sprintf("grant %s, %s to %s: %s", short(c[link].ID), c[link].By, c[link].To, why)
		}
	}
	if len(allowed) > 0 {
		return pluginapi.Allow(r, allowed...)
	}
	if len(denied.Reason) > pluginapi.MaxReason {
		denied.Reason = strings.ToValidUTF8(denied.Reason[:pluginapi.MaxReason], "")
	}
	return denied
}

func short(id string) string {
	if hex, ok := strings.CutPrefix(id, "sha256:"); ok && len(hex) > 12 {
		return hex[:12]
	}
	return id
}

// refusedBy returns the first link of a chain that refuses, and why; "" when none does.
func refusedBy(c pluginapi.Chain, r *pluginapi.Request, at time.Time) (int, string) {
	for i := range c {
		g := &c[i]
		if !Covers(g.Action, r.Action) {
			return i, fmt.Sprintf("it is of %s, not %s", g.Action, r.Action)
		}
		if i > 0 && c[i-1].Delegable <= g.Delegable {
			return i, fmt.Sprintf("it may be handed on %d times, and the grant before it %d times", g.Delegable, c[i-1].Delegable)
		}
		if why := inactive(g.NotBefore, g.Expires, at); why != "" {
			return i, why
		}
		s, err := scopeOf(g)
		if err != nil {
			return i, err.Error()
		}
		if why := s.refuses(r); why != "" {
			return i, why
		}
	}
	return 0, ""
}

// scopes are the scopes that grants were found to have: the same few are asked about again and again.
var scopes struct {
	sync.Mutex
	m map[string]*Scope
}

// maxScopes bounds how many are kept.
const maxScopes = 1024

// scopeOf reads a grant's scope, which must be one of its action. Nobody changes what it returns.
func scopeOf(g *pluginapi.Grant) (*Scope, error) {
	key := g.Action + "\x00" + string(g.Scope)
	scopes.Lock()
	defer scopes.Unlock()
	if s, ok := scopes.m[key]; ok {
		return s, nil
	}
	s, err := ParseScope(g.Scope)
	if err != nil {
		return nil, err
	}
	if err := s.Validate(g.Action); err != nil {
		return nil, err
	}
	if len(scopes.m) >= maxScopes || scopes.m == nil {
		scopes.m = map[string]*Scope{}
	}
	scopes.m[key] = &s
	return &s, nil
}

// inactive says why a grant is not in force at a moment; at the very second it
// expires it still is.
func inactive(notBefore, expires string, at time.Time) string {
	if notBefore != "" {
		if t, err := time.Parse(time.RFC3339, notBefore); err != nil || at.Before(t) {
			return "it is in force from " + notBefore + " on"
		}
	}
	if expires != "" {
		if t, err := time.Parse(time.RFC3339, expires); err != nil || at.After(t) {
			return "it expired at " + expires
		}
	}
	return ""
}

// Covers reports whether an action, exact or ending in ".*", covers another.
func Covers(granted, asked string) bool {
	if prefix, ok := strings.CutSuffix(granted, ".*"); ok {
		return strings.HasPrefix(asked, prefix+".")
	}
	return granted == asked
}
