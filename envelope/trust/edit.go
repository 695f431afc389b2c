package trust

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/canonical"
	"github.com/open-covenant/covenant-git/envelope/identity"
)

// ErrChange says that a change of the root makes no sense; its text says why.
var ErrChange = errors.New("the trust root cannot be changed so")

func change(format string, a ...any) error {
	return fmt.Errorf("%w: %w", ErrChange, fmt.Errorf(format, a...))
}

// Next returns a copy of the version with the number and links of its successor, to
// be changed by the methods below. Where a clock is behind that of the version before,
// created is that version's.
func (v *Version) Next(created string) (*Root, error) {
	b, err := canonical.Marshal(v.Root)
	if err != nil {
		return nil, fmt.Errorf("trust root: %w", err)
	}
	var r Root
	if err := canonical.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("trust root: %w", err)
	}
	if moment(created).Before(moment(v.Created)) {
		created = v.Created
	}
	r.Version, r.Previous, r.First, r.Created = v.Version+1, v.ID, v.Repository(), created
	return &r, nil
}

// Add adds a person, or further keys and addresses to one who is there. A kind of ""
// means that of the person who is there, else Human.
func (r *Root) Add(name string, kind Kind, emails []string, keys ...identity.PublicKey) error {
	p := r.Person(name)
	switch {
	case p == nil && len(keys) == 0:
		return change("%s is new here and has no key", name)
	case p == nil:
		if kind == "" {
			kind = Human
		}
		at, _ := slices.BinarySearchFunc(r.Persons, name, func(p Person, n string) int { return strings.Compare(p.Name, n) })
		r.Persons = slices.Insert(r.Persons, at, Person{Kind: kind, Name: name})
		p = &r.Persons[at]
		p.OperatorUntil, p.OperatorSeen = r.operated(name)
	case kind != "" && kind != p.Kind:
		return change("%s is of kind %s", name, p.Kind)
	}
	for _, k := range keys {
		if slices.Contains(p.Keys, k.String()) {
			return change("%s has the key %s already", name, k.ID())
		}
		p.Keys = union(p.Keys, []string{k.String()})
	}
	p.Emails = union(p.Emails, emails)
	return nil
}

// operated returns until when a person was an operator whose keys were all removed, and how far the ledgers reached; "" where there was none.
func (r *Root) operated(name string) (until string, seen []envelope.Head) {
	for _, f := range r.Former {
		at, to := f.OperatorUntil, f.OperatorSeen
		if f.Operator {
			at, to = f.Until, f.Seen
		}
		if f.Name == name && at > until {
			until, seen = at, append([]envelope.Head{}, to...)
		}
	}
	return until, seen
}

// Leaving says how a key leaves.
type Leaving struct {
	Grants      string // Lapse or Stand
	Compromised string // RFC 3339, "" when it is not
}

// Remove removes keys of a person, all of them when none is named; with the last one
// the person goes, and is no operator any more.
func (r *Root) Remove(name string, how Leaving, keyIDs ...string) error {
	i := slices.IndexFunc(r.Persons, func(p Person) bool { return p.Name == name })
	if i < 0 {
		return change("there is no person %q", name)
	}
	p := &r.Persons[i]
	f := Former{Compromised: how.Compromised, Emails: p.Emails, Grants: how.Grants, Kind: p.Kind, Name: name, Operator: r.IsOperator(name), Until: r.Created, OperatorUntil: p.OperatorUntil, OperatorSeen: p.OperatorSeen}
	var left []string
	for _, text := range p.Keys {
		pub, err := identity.ParsePublicKey(text)
		if err != nil {
			return fmt.Errorf("key of %s: %w", name, err)
		}
		if len(keyIDs) == 0 || slices.Contains(keyIDs, pub.ID()) {
			f.Keys = append(f.Keys, text)
		} else {
			left = append(left, text)
		}
	}
	if len(keyIDs) > 0 && len(f.Keys) != len(keyIDs) {
		return change("%s has not all of the keys %s", name, strings.Join(keyIDs, ", "))
	}
	at, _ := slices.BinarySearchFunc(r.Former, f, Former.compare)
	r.Former = slices.Insert(r.Former, at, f)
	if len(left) > 0 {
		p.Keys = left
		return nil
	}
	r.Persons = slices.Delete(r.Persons, i, i+1)
	r.Operators = slices.DeleteFunc(r.Operators, func(o string) bool { return o == name })
	return nil
}

// Taint marks keys that were removed before as compromised since a time, and lets
// the grants they signed lapse.
func (r *Root) Taint(name, since string) error {
	n := 0
	for i := range r.Former {
		f := &r.Former[i]
		if f.Name != name {
			continue
		}
		n++
		if moment(since).After(moment(f.Until)) {
			continue // it was gone by then
		}
		if f.Compromised == "" || moment(since).Before(moment(f.Compromised)) {
			f.Compromised = since
		}
		f.Grants = Lapse
	}
	if n == 0 {
		return change("nobody named %q was here", name)
	}
	return nil
}

// Promote makes a person an operator.
func (r *Root) Promote(name string) error {
	if p := r.Person(name); p == nil || p.Kind != Human {
		return change("%q is no human of the root, so no operator", name)
	}
	return r.SetOperators(slices.Concat(r.Operators, []string{name}))
}

// DecideAgainst writes down that a version which somebody had put in force, in the place of one of this chain, is not meant.
func (r *Root) DecideAgainst(versions ...envelope.Digest) error {
	for _, d := range versions {
		if !d.Valid() {
			return change("%q is no digest of a version", d)
		}
		if at, there := slices.BinarySearch(r.Against, d); !there {
			r.Against = slices.Insert(r.Against, at, d)
		}
	}
	return nil
}

// SetOperators names all operators, who are humans of the root. Of those who are none any more the root keeps until when they were.
func (r *Root) SetOperators(names []string) error {
	for _, name := range names {
		if p := r.Person(name); p == nil || p.Kind != Human {
			return change("%q is no human of the root, so no operator", name)
		}
	}
	was := r.Operators
	r.Operators = union(nil, names)
	for i := range r.Persons {
		switch p := &r.Persons[i]; {
		case r.IsOperator(p.Name):
			p.OperatorUntil, p.OperatorSeen = "", nil
		case slices.Contains(was, p.Name):
			p.OperatorUntil, p.OperatorSeen = r.Created, []envelope.Head{}
		}
	}
	return nil
}

// Changes says in lines for people what next changes. Prefixes are "+" for what is new, "-" for what is
// gone, and "~" for the rest.
func Changes(prev, next *Root) []string {
	var out []string
	say := func(format string, a ...any) { out = append(out, fmt.Sprintf(format, a...)) }
	for _, p := range next.Persons {
		old := prev.Person(p.Name)
		if old == nil {
			say("+ %s %s", p.Kind, p.Name)
			old = &Person{}
		}
		diff(old.Keys, p.Keys, func(sign, k string) { say("%s key %s of %s", sign, keyID(k), p.Name) })
		diff(old.Emails, p.Emails, func(sign, e string) { say("%s address %q of %s", sign, e, p.Name) })
	}
	for _, p := range prev.Persons {
		if next.Person(p.Name) == nil {
			say("- %s %s", p.Kind, p.Name)
		}
	}
	for _, f := range next.Former {
		if slices.ContainsFunc(prev.Former, func(g Former) bool {
			return g.compare(f) == 0 && g.Compromised == f.Compromised && g.Grants == f.Grants
		}) {
			continue
		}
		line := fmt.Sprintf("~ former keys of %s: grants %s", f.Name, f.Grants)
		if f.Compromised != "" {
			line += ", compromised since " + f.Compromised
		}
		out = append(out, line)
	}
	diff(prev.Operators, next.Operators, func(sign, n string) { say("%s operator %s", sign, n) })
	for _, f := range [][3]string{
		{"threshold", strconv.Itoa(prev.Threshold), strconv.Itoa(next.Threshold)},
		{"expires", orNever(prev.Expires), orNever(next.Expires)},
		{"policy", policyText(prev.Policy), policyText(next.Policy)},
	} {
		if f[1] != f[2] {
			say("~ %s: %s → %s", f[0], f[1], f[2])
		}
	}
	for _, d := range next.Against {
		if !slices.Contains(prev.Against, d) {
			say("~ against version %s", d)
		}
	}
	if n := len(next.Governed) - len(prev.Governed); n > 0 {
		say("+ %d governed refs", n)
	}
	return out
}

func diff(old, now []string, say func(sign, item string)) {
	for _, x := range now {
		if !slices.Contains(old, x) {
			say("+", x)
		}
	}
	for _, x := range old {
		if !slices.Contains(now, x) {
			say("-", x)
		}
	}
}

func keyID(text string) string {
	pub, err := identity.ParsePublicKey(text)
	if err != nil {
		return "?"
	}
	return pub.ID()
}

func orNever(s string) string {
	if s == "" {
		return "never"
	}
	return s
}

func policyText(p *Policy) string {
	if p == nil {
		return "default"
	}
	b, err := canonical.Marshal(p)
	if err != nil {
		return "?"
	}
	return string(b)
}
