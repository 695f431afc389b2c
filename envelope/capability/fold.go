package capability

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/canonical"
	"github.com/open-covenant/covenant-git/envelope/identity"
)

// Place is where a statement stands. Seq is the number of an entry that really is there; one that only says so, or stands on
// the other way that its ledger went, has the greatest number there is: nobody saw it.
type Place struct {
	ID     envelope.Digest `json:"id"`
	KeyID  string          `json:"key"` // that signed it
	Ledger string          `json:"ledger"`
	Seq    uint64          `json:"seq"`
	Time   time.Time       `json:"time"` // as its writer claims
}

// Given is a grant whose envelope was opened, in its ledger.
type Given struct {
	Place
	Granted Grant `json:"granted"`
}

// Ended is a revocation whose envelope was opened.
type Ended struct {
	Place
	Revocation Revocation `json:"revocation"`
}

// Wish is a request whose envelope was opened.
type Wish struct {
	Place
	Asked
}

// Authority is the fold of a trust root and the capability ledgers: who the
// keys are, and what they may do. It is immutable.
type Authority struct {
	byKey    map[string]*Principal
	byName   map[string]*Principal
	folded   map[string]bool // names, in lower case
	grants   map[envelope.Digest]Given
	bySub    map[string][]envelope.Digest // key id → grants, in order of ids
	ended    map[envelope.Digest][]Ended  // grant → revocations, oldest first
	material map[string]string
	scopes   map[envelope.Digest][]byte // grant → its scope, canonical
	intro    map[envelope.Digest]end    // introduction → when it ends
	narrowed []Given                    // by persons who were operators then: they give nothing any more, and end introductions
	root     map[string]bool            // names that the trust root gives
	sight    Sight

	contested bool    // a delegation was refused for a name or key that another has
	Refused   []error // grants and revocations that count for nothing, and why
}

// A Sight tells when somebody accountable, other than its writer, first saw a statement; false when nobody did.
type Sight func(Place) (time.Time, bool)

// Witnessed returns the same authority for one who knows who saw what, which is asked about the past: what
// agents say they did before is then believed only as far as it was seen in time.
func (a *Authority) Witnessed(s Sight) *Authority {
	out := *a
	out.sight = s
	return &out
}

// seen reports whether a statement of one who is no operator had been seen by a moment. Who does not know who saw what
// takes the statement at its word.
func (a *Authority) seen(p Place, by time.Time) bool {
	if a.sight == nil {
		return true
	}
	t, ok := a.sight(p)
	return ok && !t.After(by)
}

// Contested reports whether two delegations introduce one name or one key: which of them counts
// depends on who came first, and times are claims. [FoldSeen] orders them.
func (a *Authority) Contested() bool { return a.contested }

// errTaken says that a name or a key is another's.
var errTaken = errors.New("is taken")

// FoldSeen is Fold where it is known who saw what: of delegations the one that somebody accountable saw first
// comes first, and what nobody saw comes last. Nobody takes the name or the key of a helper by a date.
func FoldSeen(persons []Principal, grants []Given, ended []Ended, sight Sight) *Authority {
	return fold(persons, grants, ended, sight).Witnessed(sight)
}

// Fold computes the authority. persons are the trust root's; grants and
// revocations may come in any order and from anybody: those that nobody with
// authority signed, or that contradict an introduction, are refused and say so.
func Fold(persons []Principal, grants []Given, ended []Ended) *Authority {
	return fold(persons, grants, ended, nil)
}

func fold(persons []Principal, grants []Given, ended []Ended, sight Sight) *Authority {
	a := &Authority{
		byKey: map[string]*Principal{}, byName: map[string]*Principal{}, folded: map[string]bool{}, grants: map[envelope.Digest]Given{},
		bySub: map[string][]envelope.Digest{}, ended: map[envelope.Digest][]Ended{}, material: map[string]string{}, scopes: map[envelope.Digest][]byte{},
		root: map[string]bool{},
	}
	for _, p := range persons {
		a.add(p)
		a.root[p.Name] = p.Accountable == p.Name
	}
	todo := slices.Clone(grants)
	first := map[envelope.Digest]time.Time{} // when delegations were seen
	late := func(g Given) int {              // 1: nobody saw it
		if t, ok := first[g.ID]; g.Granted.Parent != "" && (!ok || t.IsZero()) {
			return 1
		}
		return 0
	}
	if sight != nil {
		for _, g := range grants {
			if t, ok := sight(g.Place); ok && g.Granted.Parent != "" {
				first[g.ID] = t
			}
		}
	}
	slices.SortFunc(todo, func(x, y Given) int { // an operator's introduction goes before an agent's of the same name
		return cmp.Or(cmp.Compare(min(1, len(x.Granted.Parent)), min(1, len(y.Granted.Parent))), cmp.Compare(late(x), late(y)), first[x.ID].Compare(first[y.ID]), x.Time.Compare(y.Time), cmp.Compare(x.Ledger, y.Ledger), cmp.Compare(x.Seq, y.Seq), cmp.Compare(x.ID, y.ID))
	})
	// A delegation counts when the grant it rests on does, wherever that stands.
	refused := map[envelope.Digest]error{}
	for progress := true; progress; {
		progress = false
		todo = slices.DeleteFunc(todo, func(g Given) bool {
			err := a.admit(g)
			if err == nil {
				progress = true
			}
			refused[g.ID] = err
			return err == nil
		})
	}
	for _, g := range todo {
		if by := a.byKey[g.KeyID]; by != nil && !by.Operator && by.operated(g.Place) && g.Granted.Parent == "" && !by.left(g.Place) {
			a.narrowed = append(a.narrowed, g)
		}
		a.contested = a.contested || g.Granted.Parent != "" && errors.Is(refused[g.ID], errTaken)
		a.Refused = append(a.Refused, fmt.Errorf("grant %s: %w", g.ID.Short(), refused[g.ID]))
	}
	a.introductions()
	ended = slices.Clone(ended)
	slices.SortFunc(ended, func(x, y Ended) int { return cmp.Or(x.Time.Compare(y.Time), cmp.Compare(x.ID, y.ID)) })
	for _, e := range ended {
		if err := a.mayEnd(e); err != nil {
			a.Refused = append(a.Refused, fmt.Errorf("revocation %s: %w", e.ID.Short(), err))
			continue
		}
		a.ended[e.Revocation.Grant] = append(a.ended[e.Revocation.Grant], e)
	}
	return a
}

func (a *Authority) add(p Principal) {
	pp := &p
	if a.byName[p.Name] == nil || p.Until.IsZero() {
		a.byName[p.Name] = pp
		a.folded[strings.ToLower(p.Name)] = true
	}
	for _, k := range p.Keys {
		was := a.byKey[k.ID()]
		if was == nil || p.Until.IsZero() || !was.Until.IsZero() && p.Until.After(was.Until) { // it was removed, given back, and removed again
			a.byKey[k.ID()] = pp
		}
		for _, m := range identity.Materials(k) {
			a.material[m] = p.Name
		}
	}
}

// errWaits says that a delegation rests on a grant that is not known.
var errWaits = errors.New("the grant it was delegated from is not known here, or counts for nothing")

// admit takes a grant in: an operator signed it, or the holder of a grant that
// may be handed on; and its subject is new or the one already introduced.
func (a *Authority) admit(g Given) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %w", ErrInvalid, fmt.Errorf(format, args...))
	}
	by, ok := a.byKey[g.KeyID]
	if !ok {
		return bad("signed by %s, whom nobody introduced", g.KeyID)
	}
	if by.left(g.Place) {
		return bad("%w", by.tooLate(g.Place))
	}
	s := g.Granted.Subject
	answers := by.Name
	if g.Granted.Parent == "" {
		if !by.Operator {
			return bad("signed by %s, who is no operator", by.Name)
		}
	} else {
		parent, ok := a.grants[g.Granted.Parent]
		if !ok {
			return bad("%w", errWaits)
		}
		p := parent.Granted
		holder, err := identity.ParsePublicKey(p.Subject.Key)
		switch {
		case err != nil || holder.ID() != g.KeyID:
			return bad("%s hands on grant %s, which is %s's", by.Name, parent.ID.Short(), p.Subject.Name)
		case g.Granted.Subject.Name == by.Name:
			return bad("%s hands grant %s on to itself", by.Name, parent.ID.Short())
		case p.Delegable == 0:
			return bad("grant %s may not be handed on", parent.ID.Short())
		case p.Delegable <= g.Granted.Delegable:
			return bad("grant %s may be handed on %d times; this one says %d", parent.ID.Short(), p.Delegable, g.Granted.Delegable)
		case g.Time.Before(parent.Time):
			return bad("it is dated before grant %s, which it was handed on from", parent.ID.Short())
		case !Covers(p.Action, g.Granted.Action) && p.Action != g.Granted.Action:
			return bad("grant %s is of %s; this one of %s", parent.ID.Short(), p.Action, g.Granted.Action)
		}
		answers = p.Subject.Accountable
	}
	key, err := identity.ParsePublicKey(s.Key)
	if err != nil {
		return bad("%w", err)
	}
	known := a.byName[s.Name]
	owner := ""
	for _, m := range identity.Materials(key) { // an OpenPGP key signs with several
		if o := a.material[m]; owner == "" || o != "" && o != s.Name {
			owner = o
		}
	}
	switch {
	case owner != "" && owner != s.Name:
		return bad("the key of %s %w: it is %s's", s.Name, errTaken, owner)
	case known == nil && g.Granted.Parent != "" && a.folded[strings.ToLower(s.Name)]:
		return bad("the name %s differs from one that is known only in the case of its letters", s.Name)
	case known == nil && s.Kind == "human":
		return bad("persons are introduced by the trust root, and %s is none of its", s.Name)
	case known == nil:
		if s.Accountable != answers {
			return bad("%s names %s as accountable, but %s answers", s.Name, s.Accountable, answers)
		}
		a.add(Principal{Name: s.Name, Kind: s.Kind, Accountable: answers, Emails: s.Emails, Keys: []identity.PublicKey{key}})
	case known.Kind != s.Kind || known.Accountable != s.Accountable:
		return bad("the name %s %w: by a %s under %s", s.Name, errTaken, known.Kind, known.Accountable)
	case owner == "" && (s.Kind == "human" || a.root[s.Name]):
		return bad("the keys of %s are in the trust root, and this is none of them", s.Name)
	case owner == "" && !by.Operator:
		return bad("the name %s %w, and only an operator gives its bearer another key", s.Name, errTaken)
	case owner == "":
		known.Keys = append(known.Keys, key)
		a.byKey[key.ID()] = known
		for _, m := range identity.Materials(key) {
			a.material[m] = s.Name
		}
	}
	scope, err := canonical.Marshal(g.Granted.Scope)
	if err != nil {
		return bad("%w", err)
	}
	a.scopes[g.ID] = scope
	a.grants[g.ID] = g
	list := append(slices.Clone(a.bySub[key.ID()]), g.ID)
	slices.Sort(list)
	a.bySub[key.ID()] = list
	return nil
}

// mayEnd: a grant is revoked by an operator, by who gave it or one it was
// delegated from, or given up by its holder.
func (a *Authority) mayEnd(e Ended) error {
	by, ok := a.byKey[e.KeyID]
	if !ok {
		return fmt.Errorf("%w: signed by %s, whom nobody introduced", ErrInvalid, e.KeyID)
	}
	g, ok := a.grants[e.Revocation.Grant]
	if !ok {
		return fmt.Errorf("%w: of grant %s, which is not known here, or counts for nothing", ErrInvalid, e.Revocation.Grant.Short())
	}
	if by.left(e.Place) {
		return fmt.Errorf("%w: %w", ErrInvalid, by.tooLate(e.Place))
	}
	if by.operated(e.Place) || g.Granted.Subject.Name == by.Name {
		return nil
	}
	for _, link := range a.line(g.ID) {
		if who := a.byKey[link.KeyID]; who != nil && who.Name == by.Name {
			return nil
		}
	}
	return fmt.Errorf("%w: %s neither gave grant %s nor holds it", ErrInvalid, by.Name, e.Revocation.Grant.Short())
}

// MayGrant reports why a grant signed by a key at a moment would count for nothing.
func (a *Authority) MayGrant(keyID string, at time.Time, g Grant) error {
	trial := &Authority{
		byKey: maps.Clone(a.byKey), byName: maps.Clone(a.byName), folded: maps.Clone(a.folded), grants: maps.Clone(a.grants), bySub: maps.Clone(a.bySub), material: maps.Clone(a.material), scopes: map[envelope.Digest][]byte{}, root: a.root,
	}
	if p, ok := trial.byName[g.Subject.Name]; ok { // it may be given another key
		c := *p
		c.Keys = slices.Clone(p.Keys)
		trial.byName[c.Name] = &c
	}
	if g.Parent != "" {
		if e, ended := a.End(g.Parent, time.Time{}); ended {
			return fmt.Errorf("%w: grant %s was revoked: %s", ErrInvalid, e.Revocation.Grant.Short(), e.Revocation.Reason)
		}
	}
	return trial.admit(Given{Place: Place{KeyID: keyID, Time: at}, Granted: g})
}

// MayRevoke reports why a revocation signed by a key at a moment would count for nothing.
func (a *Authority) MayRevoke(keyID string, at time.Time, r Revocation) error {
	return a.mayEnd(Ended{Place: Place{KeyID: keyID, Time: at}, Revocation: r})
}

// line returns the grants from the operator's down to this one.
func (a *Authority) line(id envelope.Digest) []Given {
	var out []Given
	for range maxDelegable + 2 {
		g, ok := a.grants[id]
		if !ok {
			return nil
		}
		out = append(out, g)
		if g.Granted.Parent == "" {
			slices.Reverse(out)
			return out
		}
		id = g.Granted.Parent
	}
	return nil
}

// Line returns the grants that a grant rests on, the operator's first and the grant itself last.
func (a *Authority) Line(id envelope.Digest) []Given { return a.line(id) }

// End returns the revocation that ends a grant: its own, or that of one it rests
// on, made at a moment or before; the zero moment is any. Before a moment in the past an operator's
// word counts, and anybody else's if it had been seen by then: who holds a grant could else
// undo what others took in, with a date.
func (a *Authority) End(id envelope.Digest, by time.Time) (Ended, bool) {
	for _, g := range a.line(id) {
		for _, e := range a.ended[g.ID] {
			if by.IsZero() || !e.Time.After(by) && (a.operated(e.Place) || a.seen(e.Place, by)) {
				return e, true
			}
		}
	}
	return Ended{}, false
}

func (a *Authority) operated(at Place) bool {
	p := a.byKey[at.KeyID]
	return p != nil && p.operated(at)
}

// end is when an introduction's permission ends: now, and by the words of operators, for what was done; and what others
// handed on to its holder.
type end struct {
	now, past string
	handed    []Given
}

// introductions finds when the permissions of introductions end: the second before
// somebody with authority first says what their holder may do.
func (a *Authority) introductions() {
	first := map[string][]Given{} // name → what it was given since
	for _, g := range a.grants {
		if !g.Granted.Introduction {
			first[g.Granted.Subject.Name] = append(first[g.Granted.Subject.Name], g)
		}
	}
	for _, g := range a.narrowed {
		if g.Granted.Introduction {
			continue
		}
		first[g.Granted.Subject.Name] = append(first[g.Granted.Subject.Name], g)
	}
	a.intro = map[envelope.Digest]end{}
	for id, g := range a.grants {
		if !g.Granted.Introduction {
			continue
		}
		e := end{now: g.Granted.Expires, past: g.Granted.Expires}
		for _, other := range first[g.Granted.Subject.Name] {
			if !Covers(other.Granted.Action, g.Granted.Action) {
				continue
			}
			earlier(&e.now, other.Time)
			if other.Granted.Parent == "" {
				earlier(&e.past, other.Time)
			} else {
				e.handed = append(e.handed, other)
			}
		}
		a.intro[id] = e
	}
}

// earlier moves an end to the second before a moment, unless it is there already.
func earlier(at *string, t time.Time) {
	if s := envelope.Timestamp(t.Add(-time.Second)); *at == "" || s < *at {
		*at = s
	}
}

// Expires returns when a grant ends, RFC 3339, "" for never.
func (a *Authority) Expires(g Given) string {
	if e, ok := a.intro[g.ID]; ok {
		return e.now
	}
	return g.Granted.Expires
}

// expiresFor is Expires for a query. For the past what was handed on ends an introduction only if that had been
// seen when the act was, and never from before the introduction: who may hand on could else date it as it likes.
func (a *Authority) expiresFor(g Given, q *Query) string {
	e, ok := a.intro[g.ID]
	if !ok || !q.Past {
		return a.Expires(g)
	}
	past := e.past
	for _, h := range e.handed {
		if !a.seen(h.Place, q.At.Add(time.Second)) {
			continue
		}
		t := h.Time
		if t.Before(g.Time) {
			t = g.Time
		}
		earlier(&past, t.Add(-time.Second)) // what was seen in the same second came after it
	}
	return past
}

// Ended returns the revocations of a grant itself, oldest first.
func (a *Authority) Ended(id envelope.Digest) []Ended { return a.ended[id] }

// void says why a grant counts for nothing: who gave it, or gave what it rests on, went with all grants. Like a revocation that is
// held against what was done later only; the zero moment is any.
func (a *Authority) void(line []Given, by time.Time) string {
	for _, g := range line {
		p := a.byKey[g.KeyID]
		if p == nil || !p.Lapse || p.Until.IsZero() {
			continue
		}
		since := p.Until
		if !p.Compromised.IsZero() {
			since = p.Compromised
		}
		if by.IsZero() || !by.Before(since) {
			return p.Name + ", who gave it, was removed from the trust root"
		}
	}
	return ""
}

// Narrowed returns the grants that give nothing any more, since who gave them is no operator now, and still end the introductions
// of a name.
func (a *Authority) Narrowed(name string) []Given {
	return slices.DeleteFunc(slices.Clone(a.narrowed), func(g Given) bool { return g.Granted.Subject.Name != name })
}

// Vouches reports whether what a key signed is evidence: its holder is a person or automation of the trust root, or was one when it was
// signed, which stands tells, and nobody else is known to have the key.
func (a *Authority) Vouches(keyID string, stands bool) bool {
	p, ok := a.byKey[keyID]
	return ok && a.root[p.Name] && p.Kind != "agent" && p.Compromised.IsZero() && (stands || p.Until.IsZero())
}

// ByKey returns the principal a key speaks for.
func (a *Authority) ByKey(keyID string) (*Principal, bool) {
	p, ok := a.byKey[keyID]
	return p, ok
}

// ByName returns the principal of a name.
func (a *Authority) ByName(name string) (*Principal, bool) {
	p, ok := a.byName[name]
	return p, ok
}

// Principals returns all principals, by name.
func (a *Authority) Principals() []*Principal {
	return slices.SortedFunc(maps.Values(a.byName), func(x, y *Principal) int { return cmp.Compare(x.Name, y.Name) })
}

// Key finds a key that somebody holds, or held, by what it is like; of several the one whose id comes first.
func (a *Authority) Key(is func(identity.PublicKey) bool) (holder *Principal, key identity.PublicKey, ok bool) {
	for id, p := range a.byKey {
		if key != nil && id > key.ID() {
			continue
		}
		for _, k := range p.Keys {
			if k.ID() == id && is(k) {
				holder, key = p, k
			}
		}
	}
	return holder, key, key != nil
}

// Grants returns all grants that count, or counted before they were revoked, oldest first, and after those they rest on.
func (a *Authority) Grants() []Given {
	return slices.SortedFunc(maps.Values(a.grants), func(x, y Given) int {
		return cmp.Or(x.Time.Compare(y.Time), cmp.Compare(len(a.line(x.ID)), len(a.line(y.ID))), cmp.Compare(x.ID, y.ID))
	})
}

// Grant returns an admitted grant.
func (a *Authority) Grant(id envelope.Digest) (Given, bool) {
	g, ok := a.grants[id]
	return g, ok
}

// Ring finds the keys of all principals.
func (a *Authority) Ring(keyID string) (envelope.Key, bool) {
	p, ok := a.byKey[keyID]
	if !ok {
		return nil, false
	}
	for _, k := range p.Keys {
		if k.ID() == keyID {
			return k, true
		}
	}
	return nil, false
}
