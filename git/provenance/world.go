package provenance

import (
	"fmt"
	"sync"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/tlog"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/ledger"
)

// PublicKey finds a key of any principal.
func PublicKey(a *capability.Authority, keyID string) (identity.PublicKey, bool) {
	p, ok := a.ByKey(keyID)
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

// WriterKey finds whose key a writer's is, or was, by the digits that begin its name.
func WriterKey(a *capability.Authority, w ledger.Writer) (*capability.Principal, identity.PublicKey, bool) {
	return a.Key(func(k identity.PublicKey) bool { return w.OfKey(k.Digest()) })
}

// LogKey returns the key by which the checkpoints of a writer are verified: it is the writer's.
func LogKey(repository envelope.Digest, a *capability.Authority, w ledger.Writer) (tlog.LogKey, error) {
	_, k, ok := WriterKey(a, w)
	if !ok {
		return tlog.LogKey{}, fmt.Errorf("%w: the writer %s", envelope.ErrUnknownKey, w)
	}
	origin, err := tlog.OriginOf(repository, string(w))
	if err != nil {
		return tlog.LogKey{}, err
	}
	return tlog.NewLogKey(origin, k)
}

// Persons returns the persons of a trust root as principals, those who left after
// those who are there.
func Persons(r *Root) []capability.Principal {
	keys := func(list []string) (out []identity.PublicKey) {
		for _, text := range list {
			if k, err := identity.ParsePublicKey(text); err == nil { // Validate parsed it already
				out = append(out, k)
			}
		}
		return out
	}
	var out []capability.Principal
	for _, p := range r.Root.Persons {
		c := capability.Principal{
			Name: p.Name, Kind: string(p.Kind), Accountable: p.Name, Operator: r.IsOperator(p.Name), Emails: p.Emails, Keys: keys(p.Keys), MayAct: r.Policy.OperatorMay,
		}
		c.OperatorUntil, _ = time.Parse(time.RFC3339, p.OperatorUntil)
		c.OperatorSeen = p.OperatorSeen
		out = append(out, c)
	}
	for _, p := range r.Former {
		c := capability.Principal{
			Name: p.Name, Kind: string(p.Kind), Accountable: p.Name, Operator: p.Operator, Emails: p.Emails, Keys: keys(p.Keys), MayAct: r.Policy.OperatorMay,
			Lapse: p.Grants == trust.Lapse, Seen: p.Seen, OperatorSeen: p.OperatorSeen,
		}
		c.OperatorUntil, _ = time.Parse(time.RFC3339, p.OperatorUntil)
		c.Until, _ = time.Parse(time.RFC3339, p.Until)
		c.Compromised, _ = time.Parse(time.RFC3339, p.Compromised)
		out = append(out, c)
	}
	return out
}

// World returns what the judge needs to know.
func (f *Facts) World() *verdict.World {
	return &verdict.World{
		Authority: f.Authority,
		Principal: func(keyID string) (verdict.Principal, bool) {
			p, ok := f.Authority.ByKey(keyID)
			if !ok {
				return verdict.Principal{}, false
			}
			return verdict.Principal{Name: p.Name, Kind: p.Kind, Accountable: p.Accountable, Key: keyID}, true
		},
		Emails: func(keyID string) []string {
			if p, ok := f.Authority.ByKey(keyID); ok {
				return p.Emails
			}
			return nil
		},
		Operator: func(keyID string) bool {
			p, ok := f.Authority.ByKey(keyID)
			return ok && (p.Operator || !p.OperatorUntil.IsZero())
		},
		Endorsed: f.endorsed(),
		Stripped: f.Authority.Stripped,
		Might:    f.might,
		Dated:    f.dated,
		Apart:    f.Authority.Apart,
		Gone: func(keyID string) bool {
			p, ok := f.Authority.ByKey(keyID)
			return ok && !p.Until.IsZero()
		},
		Policy: f.Root.Policy, PolicyOf: f.policyOf,
		Holds: func(grants []envelope.Digest, keyID string) bool {
			if len(grants) == 0 {
				return true
			}
			line := f.Authority.Line(grants[len(grants)-1])
			if len(line) != len(grants) {
				return false
			}
			for i, g := range line {
				if g.ID != grants[i] {
					return false
				}
			}
			k, err := identity.ParsePublicKey(line[len(line)-1].Granted.Subject.Key)
			return err == nil && k.ID() == keyID
		},
		Left: func(keyID string, at time.Time) bool {
			p, ok := f.Authority.ByKey(keyID)
			return !ok || p.Gone(at)
		},
		Human: func(name string, at time.Time) bool {
			p, ok := f.Authority.ByName(name)
			return ok && p.Kind == string(trust.Human) && !p.Gone(at)
		},
		Seen:     f.seenBy,
		Chains:   f.Chains,
		Decision: f.Decision,
	}
}

// endorsed tells whether a key is one of the trust root, or one that a grant of an operator's names as it is known here, and that held
// something from an operator at a moment.
func (f *Facts) endorsed() func(keyID string, at time.Time) bool {
	rooted := map[string]bool{}
	for _, p := range Persons(f.Root) {
		for _, k := range p.Keys {
			rooted[k.ID()] = true
		}
	}
	keys := sync.OnceValue(func() map[string]bool {
		out := map[string]bool{}
		for _, g := range f.Grants {
			if g.Granted.Parent != "" {
				continue
			}
			k, err := identity.ParsePublicKey(g.Granted.Subject.Key)
			if err != nil {
				continue
			}
			if p, ok := f.Authority.ByKey(k.ID()); ok && p.Name == g.Granted.Subject.Name && p.Kind == g.Granted.Subject.Kind {
				out[k.ID()] = true
			}
		}
		return out
	})
	return func(keyID string, at time.Time) bool {
		return rooted[keyID] || keys()[keyID] && f.Authority.HeldAt(keyID, at)
	}
}
