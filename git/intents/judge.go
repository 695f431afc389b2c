package intents

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/intent"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// court tells who might do what, then.
type court struct {
	authority *capability.Authority
	latest    string // the newest word of an operator
}

// dated reports whether the time that an entry claims is believed: its signer is an operator; of one who was, what had been seen when that ended.
func dated(a *capability.Authority, keyID, ledger string, seq uint64) bool {
	p, ok := a.ByKey(keyID)
	if !ok || p.Accountable != p.Name {
		return false
	}
	if p.OperatorUntil.IsZero() {
		return p.Operator
	}
	return seq <= p.Operated(ledger)
}

// Query is what is asked of the authority about an act on an intent.
func Query(keyID, action string, about intent.ID, role intent.Role) capability.Query {
	return provenance.IntentQuery(keyID, action, string(about), string(role))
}

// judge is an [intent.Judge]. What an operator had seen is judged as of the second before: grants that end later, and revocations, do not undo
// it. Else every revocation counts, and a grant must be in force at the newest moment at which the statement may have been
// made: its own time, or that of the newest word of an operator, if that is later. A grant that was given later gives nothing.
func (c *court) judge(f *intent.Fact, action string, about intent.ID, role intent.Role) string {
	q := Query(f.Key, action, about, role)
	own, err := time.Parse(time.RFC3339, f.Time)
	if err != nil {
		return "it has no time"
	}
	given := own
	switch {
	case dated(c.authority, f.Key, f.Ledger, f.Seq):
		q.At, q.Past = own, true
	case f.Seen != "":
		seen, err := time.Parse(time.RFC3339, f.Seen)
		if err != nil {
			return "it was seen at no time"
		}
		q.At, q.Past, given = seen.Add(-time.Second), true, seen
		q.EndedBy = q.At
	default:
		if t, err := time.Parse(time.RFC3339, c.latest); err == nil && t.After(own) {
			q.At = t
		} else {
			q.At = own
		}
		given = q.At
	}
	d := c.authority.Decide(q)
	if !d.Allowed {
		return cmp.Or(d.Reason, "it was not allowed")
	}
	return c.later(f, q, d, given)
}

// later says that of the grants by which something is allowed each line has one that was given after a moment, or by who had seen what was done.
func (c *court) later(f *intent.Fact, q capability.Query, d capability.Decision, by time.Time) string {
	if len(d.Grants) == 0 {
		return "" // an operator needs none
	}
	r, err := c.authority.Request(&q)
	if err != nil {
		return err.Error()
	}
	late := func(id envelope.Digest) bool {
		g, ok := c.authority.Grant(id)
		return !ok || g.Time.After(by) || g.Ledger == f.SeenIn && g.Seq >= f.SeenSeq
	}
	for _, chain := range r.Chains {
		some := false
		for i := range chain {
			some = some || late(envelope.Digest(chain[i].ID))
		}
		if !some {
			return ""
		}
	}
	id := d.Grants[slices.IndexFunc(d.Grants, late)]
	g, _ := c.authority.Grant(id)
	return fmt.Sprintf("grant %s was given at %s, after it", id.Short(), envelope.Timestamp(g.Time))
}
