package report

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope/capability"
)

// Holdings takes in the grants as they were at the end of a span. want picks by who holds, gave or answers for one; nil: all.
func (a *Account) Holdings(auth *capability.Authority, since, end time.Time, want func(names ...string) bool) {
	name := func(keyID string) string {
		if p, ok := auth.ByKey(keyID); ok {
			return p.Name
		}
		return keyID
	}
	grants := auth.Grants()
	for i := len(grants) - 1; i >= 0; i-- { // the newest first
		g := &grants[i]
		s, by := &g.Granted.Subject, name(g.KeyID)
		if g.Time.After(end) || want != nil && !want(s.Name, s.Accountable, by) {
			continue
		}
		fate := auth.Became(g.ID, end)
		h := Holding{
			ID: string(g.ID), To: clip(s.Name), Kind: clip(s.Kind), Accountable: clip(s.Accountable), Action: clip(g.Granted.Action), Scope: scopeWords(&g.Granted.Scope),
			By: clip(by), Given: stamp(g.Time), NotBefore: g.Granted.NotBefore, Until: auth.Expires(*g), State: string(fate.State), Ended: stamp(fate.Since), Reason: clip(fate.Why),
		}
		if fate.By.ID != "" {
			h.EndedBy, h.Reason = clip(name(fate.By.KeyID)), clip(fate.By.Revocation.Reason)
			if fate.By.Revocation.Grant != g.ID {
				h.Reason = clip("with grant " + fate.By.Revocation.Grant.Short() + ", which it rests on: " + fate.By.Revocation.Reason)
			}
		}
		switch {
		case fate.State == capability.Active || fate.State == capability.Pending:
			a.InForce = capped(a.InForce, h, maxGrants, &a.More.InForce)
		case !since.IsZero() && fate.Since.Before(since):
		default:
			a.Ended = capped(a.Ended, h, maxGrants, &a.More.Ended)
		}
	}
}

func capped[T any](list []T, x T, limit int, more *int) []T {
	if len(list) >= limit {
		*more++
		return list
	}
	return append(list, x)
}

// words say what a field of a scope means.
var words = map[string]string{
	"paths": "paths", "refs": "refs", "max_files": "at most so many files:", "max_bytes": "at most so many bytes:", "modes": "file modes", "intent": "for the intent", "hosts": "hosts",
	"tool": "the tool", "arguments": "exactly the arguments", "tiers": "tiers", "record_id": "the record", "apply": "may change something:", "before_ms": "older than (ms)",
	"peer_pubkey_b58": "the peer", "task_id": "the task", "lease_id": "the lease", "duplicate_risk": "repetitions:", "window": "at most so many entries:",
	"include_integrity": "with integrity:", "token_prefix": "tokens that begin with", "self": "its own:", "force": "by force:", "limit": "at most",
	"mint": "the mint", "cluster": "the cluster", "batch_id": "the batch", "payer_pubkey_b58": "paid by", "resource": "the resource",
}

// scopeWords says a scope in words.
func scopeWords(s *capability.Scope) string {
	b, err := json.Marshal(s)
	fields := map[string]json.RawMessage{}
	if err != nil || json.Unmarshal(b, &fields) != nil {
		return "a scope that cannot be told"
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if name == "version" {
			continue
		}
		word := words[name]
		if word == "" {
			word = name
		}
		var list []string
		var text string
		value := cut(string(fields[name]), maxCell)
		switch {
		case json.Unmarshal(fields[name], &list) == nil && len(list) == 0:
			value = "none"
		case json.Unmarshal(fields[name], &list) == nil:
			value = listed(list)
		case json.Unmarshal(fields[name], &text) == nil:
			value = cut(text, maxCell)
		}
		parts = append(parts, word+" "+validText(value))
	}
	if len(parts) == 0 {
		return "without limits"
	}
	return strings.Join(parts, "; ")
}

// maxListed is how many patterns of a scope are told. That there are more is told too: what is not shown may be the widest.
const maxListed = 8

func listed(list []string) string {
	n := min(len(list), maxListed)
	out := make([]string, n)
	for i := range out {
		out[i] = cut(list[i], maxCell)
	}
	if more := len(list) - n; more > 0 {
		out = append(out, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(out, ", ")
}
