package capability

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

// State is what a grant is at a moment.
type State string

// States of grants.
const (
	Active  State = "active"
	Expired State = "expired"
	Ending  State = "revoked"
	Pending State = "pending"  // in force later
	Open    State = "open"     // a request that nobody has answered
	Met     State = "granted"  // a request: what it asks for was granted since
	Unmet   State = "declined" // a request: an operator said no
)

// State returns what a grant is at a moment, those it rests on included.
func (a *Authority) State(id envelope.Digest, at time.Time) State {
	line := a.line(id)
	if _, ended := a.End(id, time.Time{}); ended || len(line) == 0 || a.void(line, time.Time{}) != "" {
		return Ending
	}
	state := Active
	for _, g := range line {
		if t, err := time.Parse(time.RFC3339, a.Expires(g)); err == nil && at.After(t) {
			return Expired
		}
		if t, err := time.Parse(time.RFC3339, g.Granted.NotBefore); err == nil && at.Before(t) {
			state = Pending
		}
	}
	return state
}

// Query asks whether a key may act.
type Query struct {
	KeyID    string
	Action   string
	At       time.Time // grants are in force at this moment
	EndedBy  time.Time // revocations after this moment do not count; zero: all count
	Past     bool      // At is when somebody saw, or took in, what was done: not now
	Ref      string    // the ref under review, "" when it is not known
	Anywhere bool      // [Authority.MightEver] passes by what a scope says of refs
	Intent   string
	Changes  []pluginapi.Change
	Resource map[string]any
}

// Decision answers a query. Grants names those relied on, an operator's first and
// the holder's last; an operator needs none.
type Decision struct {
	Allowed  bool
	Grants   []envelope.Digest
	Checkers []string        // who was asked
	Reason   string          // for people: why not
	Refused  envelope.Digest // the grant that refused, when one did

	// Unanswered: it is denied because somebody who must allow it gave no answer. That says nothing of what was asked.
	Unanswered bool
}

// Request turns a query into what checkers are asked. The error says why no
// checker needs to be asked: nobody has the key, or had it then.
func (a *Authority) Request(q *Query) (*pluginapi.Request, error) {
	p, ok := a.byKey[q.KeyID]
	if !ok {
		return nil, fmt.Errorf("nobody here has the key %s", q.KeyID)
	}
	if p.Gone(q.At) {
		return nil, fmt.Errorf("%s, or this key, was removed from the trust root%s", p.Name, at(p.Until))
	}
	r := &pluginapi.Request{
		Version: pluginapi.Version, At: envelope.Timestamp(q.At), Action: q.Action, Ref: q.Ref, Intent: q.Intent, Changes: q.Changes, Resource: q.Resource,
		Principal: pluginapi.Principal{Name: p.Name, Kind: p.Kind, Accountable: p.Accountable, Operator: (p.Operator || q.Past && p.operatedBy(q.At)) && (p.MayAct == nil || p.MayAct(q.Action))},
	}
	if r.Principal.Operator {
		return r, nil // who needs no grant
	}
	// What allows it is handed over, what an operator gave directly first: whoever may hand on could else bury that
	// under any number of grants, or swell what is asked.
	at, err := time.Parse(time.RFC3339, r.At)
	if err != nil {
		return nil, err
	}
	var told, over []pluginapi.Chain // why not, where nothing allows it
	far, size := 0, 0
	for _, id := range a.byLength(q.KeyID) {
		c := a.chain(id, q)
		if c == nil {
			continue
		}
		link, why := refusedBy(c, r, at)
		switch {
		case why == "":
			for i := range c {
				size += len(c[i].Scope)
			}
			if len(r.Chains) > 0 && size > maxHanded {
				return r, nil
			}
			if r.Chains = append(r.Chains, c); len(r.Chains) == maxChains {
				return r, nil
			}
		case slices.ContainsFunc(c, func(g pluginapi.Grant) bool { return inactive(g.NotBefore, g.Expires, at) != "" }):
			over = append(over, c)
		case link >= far: // of several refusals the one that came furthest helps most
			if link > far {
				far, told = link, nil
			}
			told = append(told, c)
		}
	}
	if len(told) == 0 {
		told = over
	}
	if len(r.Chains) == 0 {
		r.Chains = told[:min(len(told), maxTold)]
	}
	return r, nil
}

// at is a moment in a sentence, "" when there was none.
func at(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return " at " + envelope.Timestamp(t)
}

// Limits of what checkers are handed.
const (
	maxChains = 64       // that allow what is asked
	maxTold   = 16       // where none does, for the reason they give
	maxHanded = 64 << 10 // bytes of scopes
)

// byLength returns a key's grants, those of the shortest lines first.
func (a *Authority) byLength(keyID string) []envelope.Digest {
	ids := a.bySub[keyID]
	if !slices.ContainsFunc(ids, func(id envelope.Digest) bool { return a.grants[id].Granted.Parent != "" }) {
		return ids
	}
	ids = slices.Clone(ids)
	slices.SortStableFunc(ids, func(x, y envelope.Digest) int { return cmp.Compare(len(a.line(x)), len(a.line(y))) })
	return ids
}

func (a *Authority) chain(id envelope.Digest, q *Query) pluginapi.Chain {
	line := a.line(id)
	if len(line) == 0 || !Covers(line[len(line)-1].Granted.Action, q.Action) || a.void(line, q.EndedBy) != "" {
		return nil
	}
	if _, ended := a.End(id, q.EndedBy); ended {
		return nil
	}
	if then := q.EndedBy; q.Past || !then.IsZero() { // what was handed on since, or is said to have been, gave nothing then
		if then.IsZero() {
			then = q.At
		}
		if slices.ContainsFunc(line, func(g Given) bool { return g.Granted.Parent != "" && !a.seen(g.Place, then.Add(time.Second)) }) {
			return nil // a moment is the second before something was seen, and this was seen with it
		}
	}
	if top := line[len(line)-1]; top.Granted.Introduction && inactive(top.Granted.NotBefore, a.expiresFor(top, q), q.At) != "" {
		return nil // something else took its place, and says more
	}
	return a.links(line, q)
}

// links is a line of grants as checkers see it.
func (a *Authority) links(line []Given, q *Query) pluginapi.Chain {
	var c pluginapi.Chain
	for _, g := range line {
		scope := a.scopes[g.ID]
		by := ""
		if p := a.byKey[g.KeyID]; p != nil {
			by = p.Name
		}
		c = append(c, pluginapi.Grant{
			ID: string(g.ID), Action: g.Granted.Action, Scope: scope, NotBefore: g.Granted.NotBefore, Expires: a.expiresFor(g, q),
			Delegable: g.Granted.Delegable, By: by, To: g.Granted.Subject.Name,
		})
	}
	return c
}

// Decide answers a query with the built-in checker alone: a pure function of the authority and the query.
func (a *Authority) Decide(q Query) Decision {
	r, err := a.Request(&q)
	if err != nil {
		return Decision{Reason: err.Error(), Checkers: []string{Name}}
	}
	r.ID = "00000000000000000000000000000000" // nobody else answers
	answer := check(r)
	return a.Conclude(&q, r, answer.Allowed, answer.Chains, []string{Name}, answer.Reason, answer.Refused)
}

// Conclude makes a decision of what the checkers agreed on. A refusal that no
// grant was there for names the grant that used to be.
func (a *Authority) Conclude(q *Query, r *pluginapi.Request, allowed bool, chains []int, checkers []string, reason, refused string) Decision {
	d := Decision{Allowed: allowed, Checkers: checkers}
	if !allowed {
		d.Reason, d.Refused = reason, envelope.Digest(refused)
		if why, id := a.past(q, r); why != "" {
			d.Reason, d.Refused = why, id
		}
		return d
	}
	if r.Principal.Operator || len(chains) == 0 {
		return d
	}
	for _, g := range r.Chains[slices.Min(chains)] {
		d.Grants = append(d.Grants, envelope.Digest(g.ID))
	}
	return d
}

// past says what became of a grant that would allow a query; where no grant is left at all, of one that covered its action.
func (a *Authority) past(q *Query, r *pluginapi.Request) (string, envelope.Digest) {
	at, err := time.Parse(time.RFC3339, r.At)
	if err != nil {
		return "", ""
	}
	if len(r.Chains) > 0 {
		if _, why := refusedBy(r.Chains[0], r, at); why == "" {
			return "", "" // it is a plugin that refuses
		}
	}
	for _, id := range a.newestFirst(q.KeyID) {
		line := a.line(id)
		if len(line) == 0 || !Covers(line[len(line)-1].Granted.Action, q.Action) {
			continue
		}
		c := a.links(line, q)
		if _, why := refusedBy(c, r, at); why != "" && len(r.Chains) > 0 {
			for i := range c {
				c[i].NotBefore, c[i].Expires = "", ""
			}
			if _, why := refusedBy(c, r, at); why == "" {
				return "", "" // it is the newest that would, and only its time is not now: that is told
			}
			continue
		}
		if e, ok := a.End(id, q.EndedBy); ok {
			who := e.KeyID
			if p := a.byKey[e.KeyID]; p != nil {
				who = p.Name
			}
			why := fmt.Sprintf("grant %s was revoked by %s at %s", id.Short(), who, envelope.Timestamp(e.Time))
			if e.Revocation.Grant != id {
				why += ", with grant " + e.Revocation.Grant.Short() + ", which it rests on"
			}
			if e.Revocation.Reason != "" {
				why += ": " + e.Revocation.Reason
			}
			return why, id
		}
		if why := a.void(line, q.EndedBy); why != "" {
			return fmt.Sprintf("grant %s: %s", id.Short(), why), id
		}
	}
	return "", ""
}

// newestFirst returns a key's grants, those given last first.
func (a *Authority) newestFirst(keyID string) []envelope.Digest {
	ids := slices.Clone(a.bySub[keyID])
	slices.SortStableFunc(ids, func(x, y envelope.Digest) int {
		g, h := a.grants[x], a.grants[y]
		return cmp.Or(h.Time.Compare(g.Time), cmp.Compare(h.Place.Ledger, g.Place.Ledger), cmp.Compare(h.Place.Seq, g.Place.Seq))
	})
	return ids
}

// MayEver reports whether a key holds, or held, anything by which it could do one of these: what it says it did is
// not looked into otherwise.
func (a *Authority) MayEver(keyID string, actions ...string) bool {
	p, ok := a.byKey[keyID]
	if !ok {
		return false
	}
	return slices.ContainsFunc(actions, func(action string) bool {
		return (p.Operator || !p.OperatorUntil.IsZero()) && (p.MayAct == nil || p.MayAct(action)) ||
			slices.ContainsFunc(a.bySub[keyID], func(id envelope.Digest) bool { return Covers(a.grants[id].Granted.Action, action) })
	})
}

// Stripped reports whether something was granted to a key, and all of it was revoked, at a moment or before; the zero moment is any. What merely
// expired was meant to. Who is in the trust root holds what that says.
func (a *Authority) Stripped(keyID string, by time.Time) bool {
	p, ok := a.byKey[keyID]
	if !ok || p.Accountable == p.Name || len(a.bySub[keyID]) == 0 {
		return false
	}
	introduced := func(id envelope.Digest) bool { return a.grants[id].Granted.Introduction }
	ids := slices.DeleteFunc(slices.Clone(a.bySub[keyID]), introduced)
	if len(ids) == 0 { // what it was introduced with holds until something is granted
		ids = a.bySub[keyID]
	}
	return !slices.ContainsFunc(ids, func(id envelope.Digest) bool {
		_, ended := a.End(id, by)
		return !ended && a.void(a.line(id), by) == ""
	})
}

// somewhere is in the place of a ref where which one makes no difference: no ref is named so.
const somewhere = "\x00"

// MightEver reports whether a key holds, or held, a line of grants whose scopes allow what is asked, whenever these were in force and whatever
// became of them, or was an operator's. Who fails this never could.
func (a *Authority) MightEver(q Query) bool {
	p, ok := a.byKey[q.KeyID]
	if !ok {
		return false
	}
	if p.Operator || !p.OperatorUntil.IsZero() {
		return true // whatever the policy lets operators do now
	}
	r := &pluginapi.Request{
		Version: pluginapi.Version, At: envelope.Timestamp(q.At), Action: q.Action, Ref: q.Ref, Intent: q.Intent, Changes: q.Changes, Resource: q.Resource,
		Principal: pluginapi.Principal{Name: p.Name, Kind: p.Kind, Accountable: p.Accountable},
	}
	return slices.ContainsFunc(a.bySub[q.KeyID], func(id envelope.Digest) bool {
		line := a.line(id)
		if len(line) == 0 || !Covers(line[len(line)-1].Granted.Action, q.Action) {
			return false
		}
		c := a.links(line, &q)
		for i := range c {
			c[i].NotBefore, c[i].Expires = "", ""
		}
		if q.Anywhere {
			r.Ref = somewhere
		}
		_, why := refusedBy(c, r, q.At)
		return why == ""
	})
}

// HeldAt reports whether a key was an operator's, or held anything in force from an operator, by which it could do one of these, or anything where
// none is named, as far as had been said by that moment.
func (a *Authority) HeldAt(keyID string, at time.Time, actions ...string) bool {
	p, ok := a.byKey[keyID]
	if !ok || p.Gone(at) {
		return false
	}
	return p.operatedBy(at) || slices.ContainsFunc(a.bySub[keyID], func(id envelope.Digest) bool {
		line := a.line(id)
		if _, ended := a.End(id, at); ended || len(line) != 1 || line[0].Time.After(at) || a.void(line, at) != "" {
			return false
		}
		if len(actions) > 0 && !slices.ContainsFunc(actions, func(action string) bool { return Covers(a.grants[id].Granted.Action, action) }) {
			return false
		}
		return inactive(line[0].Granted.NotBefore, a.Expires(line[0]), at) == ""
	})
}

// Apart reports whether a key may do something, as the built-in checker has it, by a line of grants that somebody did not hand on.
func (a *Authority) Apart(q Query, name string) bool {
	r, err := a.Request(&q)
	if err != nil || r.Principal.Operator {
		return err == nil
	}
	at, err := time.Parse(time.RFC3339, r.At)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(a.bySub[q.KeyID], func(id envelope.Digest) bool {
		if slices.ContainsFunc(a.line(id), func(g Given) bool {
			by := a.byKey[g.KeyID]
			return g.Granted.Parent != "" && by != nil && by.Name == name
		}) {
			return false
		}
		c := a.chain(id, &q)
		if c == nil {
			return false
		}
		_, why := refusedBy(c, r, at)
		return why == ""
	})
}

// NeedsSizes reports whether any grant is limited by the size of new content, which costs a look at every object.
func (a *Authority) NeedsSizes() bool {
	for _, g := range a.grants {
		if g.Granted.Scope.MaxBytes != nil {
			return true
		}
	}
	return false
}

// Through returns the line of grants by which a query's key would act and which passes through a grant, the operator's
// first and the holder's own last: of several the one whose refusal the built-in checker tells. It is that of the grant itself
// where no line counts.
func (a *Authority) Through(q *Query, link envelope.Digest) []Given {
	if r, err := a.Request(q); err == nil {
		for _, c := range slices.Backward(r.Chains) {
			if slices.ContainsFunc(c, func(g pluginapi.Grant) bool { return g.ID == string(link) }) {
				return a.line(envelope.Digest(c[len(c)-1].ID))
			}
		}
	}
	return a.line(link)
}

// Superseded returns the introductions, in force at a moment, whose place a grant of an action to a name takes: what they
// allow ends with it. See [Grant.Introduction].
func (a *Authority) Superseded(name, action string, at time.Time) []Given {
	var out []Given
	for _, g := range a.Grants() {
		if g.Granted.Introduction && g.Granted.Subject.Name == name && Covers(action, g.Granted.Action) && a.State(g.ID, at) == Active {
			out = append(out, g)
		}
	}
	return out
}
