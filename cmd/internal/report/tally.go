package report

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/event"
	"github.com/open-covenant/covenant-git/git/audit"
)

// A Reckoner adds up records, one after another in the order of the log. What it keeps is bounded by how many
// principals and ledgers there are, whatever the number of records: nothing of a record stays but counts, times, and
// a bounded number of short texts for each principal.
type Reckoner struct {
	since, until, now time.Time
	authority         *capability.Authority
	people            map[string]*person
	latest            map[string]time.Time // of each ledger
	records           Records
	first, last       time.Time
}

// A person is what a principal did, while it is added up.
type person struct {
	Activity
	first, last                     time.Time
	kinds, tools, sessions, intents names
	marks                           series
	denials                         map[denied]*Denial // that it signed
	moreDenials                     int
}

type denied struct{ who, kind, action, ref, reason string }

// NewReckoner returns one for a span, both ends included; a zero time leaves it open. Records that do not lie in it
// are handed to it as well: it counts them apart.
func NewReckoner(a *capability.Authority, since, until, now time.Time) *Reckoner {
	return &Reckoner{since: since, until: until, now: now, authority: a, people: map[string]*person{}, latest: map[string]time.Time{}}
}

// Add takes a record in.
func (k *Reckoner) Add(r *audit.Record) {
	if r.Index <= 1 {
		if r.Time.Before(k.latest[r.Ledger]) {
			k.records.Backwards++
		}
		k.latest[r.Ledger] = r.Time
	}
	if r.At.After(k.now) {
		k.records.Ahead++
	}
	switch {
	case r.Err != nil:
		k.records.Unreadable++
		return
	case !k.since.IsZero() && r.At.Before(k.since):
		k.records.Before++
		return
	case !k.until.IsZero() && r.At.After(k.until):
		k.records.After++
		return
	}
	k.records.Counted++
	widen(&k.first, &k.last, r.At)
	signer, who := k.signer(r), k.subject(r)
	who.add(r, signer == who)
	if r.Kind == "capability.granted" {
		k.received(r)
	}
	if r.Outcome == event.Denied {
		signer.denial(r, who)
	}
}

func widen(first, last *time.Time, at time.Time) {
	if first.IsZero() || at.Before(*first) {
		*first = at
	}
	if at.After(*last) {
		*last = at
	}
}

// signer returns who signed a record.
func (k *Reckoner) signer(r *audit.Record) *person {
	if r.Principal == nil {
		return k.person(r.KeyID, nil)
	}
	return k.person(r.Principal.Name, r.Principal)
}

// subject returns whom a record counts with: of a decision that is who asked, else who signed it.
func (k *Reckoner) subject(r *audit.Record) *person {
	if decides(r.Kind) {
		if p, ok := k.authority.ByKey(r.Get("key")); ok {
			return k.person(p.Name, p)
		}
	}
	return k.signer(r)
}

func decides(kind string) bool { return kind == "gate.decided" || kind == "capability.checked" }

func (k *Reckoner) person(name string, p *capability.Principal) *person {
	x, ok := k.people[name]
	if !ok {
		x = &person{Activity: Activity{Principal: clip(name)}, denials: map[denied]*Denial{}}
		k.people[name] = x
	}
	if p != nil && x.Kind == "" {
		x.Kind, x.Accountable = clip(p.Kind), clip(p.Accountable)
	}
	return x
}

// received counts a grant with whom it is to.
func (k *Reckoner) received(r *audit.Record) {
	var to capability.Subject
	for _, f := range r.Data {
		if f.Name == "subject" && json.Unmarshal(f.Value, &to) == nil {
			if p, ok := k.authority.ByName(to.Name); ok {
				k.person(p.Name, p).Received++
			}
		}
	}
}

func (p *person) add(r *audit.Record, own bool) {
	widen(&p.first, &p.last, r.At)
	p.Records++
	p.kinds.at(r.Kind, known(r.Kind)).add(r.Outcome)
	p.marks.add(r.At.Unix(), classOf(r.Kind), r.Outcome == event.Denied || r.Outcome == event.Failed)
	switch r.Kind {
	case audit.Seal:
		p.Sealed++
	case "gate.decided", "capability.checked":
		if r.Outcome == event.Denied {
			p.Denied++
		} else {
			p.Allowed++
		}
		if !own {
			p.Told++
		}
	case "capability.granted":
		p.Given++
	case "capability.revoked":
		p.Revoked++
	case "note":
		p.Notes++
	case "tool_call_completed":
		p.tools.at(r.Get("tool"), false).add(r.Outcome)
	}
	if !own { // what somebody else says of it could crowd its own out
		return
	}
	if r.Session != "" {
		p.sessions.at(r.Session, false).add(r.Outcome)
	}
	if r.Intent != "" {
		p.intents.at(r.Intent, false).add(r.Outcome)
	}
}

// known reports whether a kind is one of a fixed list, so that counting it needs no limit.
func known(kind string) bool {
	if _, ok := event.Find(kind); ok || decides(kind) || kind == audit.Seal || kind == audit.Evidence {
		return true
	}
	return slices.Contains([]string{"capability.granted", "capability.revoked", "capability.requested", "ref.admitted", "commit.rewritten", "root.adopted"}, kind)
}

// denial takes in what somebody says was denied to who.
func (p *person) denial(r *audit.Record, who *person) {
	key := denied{who.Principal, clip(r.Kind), "", clip(r.Get("ref")), clip(r.Get("reason"))}
	for _, name := range []string{"action", "tool", "secret", "rule"} {
		if v := r.Get(name); v != "" {
			key.action = clip(v)
			break
		}
	}
	d, ok := p.denials[key]
	if !ok && len(p.denials) >= maxTold {
		p.moreDenials++
		return
	}
	at := stamp(r.At)
	if !ok {
		d = &Denial{Principal: key.who, Kind: key.kind, Action: key.action, Ref: key.ref, Reason: key.reason, First: at, Last: at}
		if p != who {
			d.By = p.Principal
		}
		p.denials[key] = d
	}
	d.Count++
	d.First, d.Last = min(d.First, at), max(d.Last, at) // one form, so they sort as texts
}

// Into puts the sums into an account.
func (k *Reckoner) Into(a *Account) {
	a.Records = k.records
	a.Records.First, a.Records.Last = stamp(k.first), stamp(k.last)
	busy := slices.SortedFunc(maps.Values(k.people), func(x, y *person) int {
		return cmp.Or(cmp.Compare(y.Records, x.Records), cmp.Compare(x.Principal, y.Principal))
	})
	var groups []ranked
	for _, p := range busy {
		groups = append(groups, p.ranked()...)
		a.More.Denials += p.moreDenials
	}
	a.fairly(groups)
	busy = slices.DeleteFunc(busy, func(p *person) bool { return p.Records == 0 && p.Received == 0 })
	a.Timeline = timeline(busy, k.since, k.until, k.first, k.last)
	for _, p := range busy {
		if len(a.Principals) >= maxPrincipals {
			a.More.Principals++
			continue
		}
		x := p.Activity
		x.First, x.Last = stamp(p.first), stamp(p.last)
		x.Kinds, x.More.Kinds = p.kinds.list()
		x.Tools, x.More.Tools = p.tools.list()
		x.Sessions, x.More.Sessions = p.sessions.list()
		x.Intents, x.More.Intents = p.intents.list()
		a.Principals = append(a.Principals, x)
	}
}

// ranked is a group of denials, and how many greater ones its signer tells of.
type ranked struct {
	*Denial
	rank int
}

func (p *person) ranked() []ranked {
	list := slices.SortedFunc(maps.Values(p.denials), func(x, y *Denial) int { return cmp.Or(cmp.Compare(y.Count, x.Count), x.compare(y)) })
	out := make([]ranked, len(list))
	for i, d := range list {
		out[i] = ranked{d, i}
	}
	return out
}

// compare orders denials by time.
func (d *Denial) compare(e *Denial) int {
	return cmp.Or(cmp.Compare(d.First, e.First), cmp.Compare(d.Principal, e.Principal), cmp.Compare(d.By, e.By), cmp.Compare(d.Kind, e.Kind),
		cmp.Compare(d.Action, e.Action), cmp.Compare(d.Ref, e.Ref), cmp.Compare(d.Reason, e.Reason))
}

// fairly keeps as many groups as there is room for: the greatest of every signer before the next of any.
func (a *Account) fairly(groups []ranked) {
	slices.SortFunc(groups, func(x, y ranked) int { return cmp.Or(cmp.Compare(x.rank, y.rank), x.compare(y.Denial)) })
	for i, g := range groups {
		if i >= maxDenials {
			a.More.Denials += g.Count
			continue
		}
		d := *g.Denial
		if d.Last == d.First {
			d.Last = ""
		}
		a.Denials = append(a.Denials, d)
	}
	slices.SortFunc(a.Denials, func(x, y Denial) int { return x.compare(&y) })
}

// names counts by name, up to maxNames names; what has another name is counted together. The zero value is ready.
type names struct {
	by   map[string]*Outcomes
	own  int // of them, which are not of a fixed list
	rest Outcomes
}

// at returns where to count a name; fixed says that there are few of its sort.
func (n *names) at(name string, fixed bool) *Outcomes {
	name = clip(name)
	if o, ok := n.by[name]; ok {
		return o
	}
	if !fixed {
		if n.own >= maxNames {
			return &n.rest
		}
		n.own++
	}
	if n.by == nil {
		n.by = map[string]*Outcomes{}
	}
	o := &Outcomes{}
	n.by[name] = o
	return o
}

// list returns the counts, the greatest first, and how many records have a name that is not among them.
func (n *names) list() ([]NamedOutcomes, int) {
	out := make([]NamedOutcomes, 0, len(n.by))
	for name, o := range n.by {
		out = append(out, NamedOutcomes{name, *o})
	}
	slices.SortFunc(out, func(x, y NamedOutcomes) int {
		return cmp.Or(cmp.Compare(y.total(), x.total()), cmp.Compare(x.Name, y.Name))
	})
	return out, n.rest.total()
}

// validText is s with what is no UTF-8 replaced, so that all forms have the same.
func validText(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
