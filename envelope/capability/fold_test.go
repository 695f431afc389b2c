package capability_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/identity"
)

func key(t *testing.T) identity.PublicKey {
	t.Helper()
	s, err := identity.Generate(filepath.Join(t.TempDir(), "key"), "key", nil)
	if err != nil {
		t.Fatal(err)
	}
	return s.Public()
}

func grant(name, accountable string, k identity.PublicKey) capability.Grant {
	return capability.Grant{
		Action: capability.Commit, Scope: capability.Whole, Serial: strings.Repeat("0", 32),
		Subject: capability.Subject{Name: name, Kind: "agent", Accountable: accountable, Key: k.String()},
	}
}

func TestFold(t *testing.T) {
	ada, ben, coder, other := key(t), key(t), key(t), key(t)
	persons := []capability.Principal{
		{Name: "ada", Kind: "human", Accountable: "ada", Operator: true, Keys: []identity.PublicKey{ada}},
		{Name: "ben", Kind: "human", Accountable: "ben", Keys: []identity.PublicKey{ben}},
	}
	n := 0
	given := func(by identity.PublicKey, g capability.Grant) capability.Given {
		n++
		return capability.Given{Place: capability.Place{ID: envelope.Digest("sha256:" + strings.Repeat("0", 63) + string(rune('0'+n))), KeyID: by.ID(), Ledger: "capability/x", Seq: uint64(n), Time: time.Unix(1767225600, 0)}, Granted: g}
	}
	ask := func(a *capability.Authority, k identity.PublicKey, action string) bool {
		return a.Decide(capability.Query{KeyID: k.ID(), Action: action, At: time.Unix(1767225600, 0)}).Allowed
	}
	a := capability.Fold(persons, []capability.Given{given(ada, grant("coder", "ada", coder))}, nil)
	if !ask(a, coder, capability.Commit) || ask(a, coder, capability.Vouch) || !ask(a, ada, capability.Vouch) || ask(a, ben, capability.Commit) || ask(a, other, capability.Commit) {
		t.Error("the plain case is judged wrongly")
	}
	if p, ok := a.ByKey(coder.ID()); !ok || p.Accountable != "ada" || p.Kind != "agent" {
		t.Errorf("coder is %+v", p)
	}
	expired := grant("coder", "ada", coder)
	expired.Expires = "2025-01-01T00:00:00Z"
	later := grant("coder", "ada", coder)
	later.NotBefore = "2027-01-01T00:00:00Z"
	delegated := grant("coder", "ada", coder)
	delegated.Parent = envelope.Digest("sha256:" + strings.Repeat("1", 64))
	human := grant("ben", "ben", other)
	for name, g := range map[string]capability.Given{
		"signed by no operator":           given(ben, grant("coder", "ben", coder)),
		"signed by the agent itself":      given(coder, grant("coder", "ada", coder)),
		"another accountable than signer": given(ada, grant("coder", "ben", coder)),
		"expired":                         given(ada, expired),
		"not yet":                         given(ada, later),
		"delegated":                       given(ada, delegated),
		"the key of a person":             given(ada, grant("coder", "ada", ada)),
		"a person made an agent":          given(ada, human),
	} {
		a := capability.Fold(persons, []capability.Given{g}, nil)
		if ask(a, coder, capability.Commit) || ask(a, other, capability.Commit) {
			t.Errorf("%s: allowed", name)
		}
	}
}

func TestValidate(t *testing.T) {
	k := key(t)
	for name, change := range map[string]func(*capability.Grant){
		"scope without version": func(g *capability.Grant) { g.Scope.Version = 0 },
		"newer scope":           func(g *capability.Grant) { g.Scope.Version = 2 },
		"short serial":          func(g *capability.Grant) { g.Serial = "0" },
		"action with space":     func(g *capability.Grant) { g.Action = "repo commit" },
		"star inside":           func(g *capability.Grant) { g.Action = "repo.*.commit" },
		"bare star":             func(g *capability.Grant) { g.Action = "*" },
		"no action":             func(g *capability.Grant) { g.Action = "" },
		"human":                 func(g *capability.Grant) { g.Subject.Kind = "human" },
		"name with a newline":   func(g *capability.Grant) { g.Subject.Name = "a\nb" },
		"negative depth":        func(g *capability.Grant) { g.Delegable = -1 },
		"time with a fraction":  func(g *capability.Grant) { g.Expires = "2026-01-01T00:00:00.5Z" },
		"emails out of order":   func(g *capability.Grant) { g.Subject.Emails = []string{"b@x", "a@x"} },
	} {
		g := grant("coder", "ada", k)
		if err := g.Validate(); err != nil {
			t.Fatal(err)
		}
		change(&g)
		if err := g.Validate(); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	g := grant("coder", "ada", k)
	for action, want := range map[string]bool{"repo.commit": true, "repo.commits": false, "repo": false} {
		if capability.Covers(g.Action, action) != want {
			t.Errorf("%s covers %s: %v", g.Action, action, !want)
		}
	}
	g.Action = "repo.*"
	for action, want := range map[string]bool{"repo.commit": true, "repository.x": false, "repo": false, "repo.": true} {
		if capability.Covers(g.Action, action) != want {
			t.Errorf("%s covers %s: %v", g.Action, action, !want)
		}
	}
}

func TestCheckValidate(t *testing.T) {
	good := capability.Check{Action: "repo.commit", Allowed: true, Checkers: []string{}, Grants: []envelope.Digest{}, KeyID: "SHA256:x"}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*capability.Check){
		"no action":            func(c *capability.Check) { c.Action = "" },
		"about nobody":         func(c *capability.Check) { c.KeyID = "" },
		"allowed with reason":  func(c *capability.Check) { c.Reason = "no" },
		"allowed and refused":  func(c *capability.Check) { c.Refused = envelope.Digest("sha256:" + strings.Repeat("0", 64)) },
		"a grant that is none": func(c *capability.Check) { c.Grants = []envelope.Digest{"x"} },
		"very many paths":      func(c *capability.Check) { c.Paths = make([]string, 10_001) },
	} {
		c := good
		change(&c)
		if err := c.Validate(); !errors.Is(err, capability.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Why nothing is allowed any more is told of what was given last, however the identities of the grants sort.
func TestWhyNoMore(t *testing.T) {
	ada, coder := key(t), key(t)
	persons := []capability.Principal{{Name: "ada", Kind: "human", Accountable: "ada", Operator: true, Keys: []identity.PublicKey{ada}}}
	at := func(minute int) time.Time { return time.Date(2026, 1, 1, 0, minute, 0, 0, time.UTC) }
	expiring := grant("coder", "ada", coder)
	expiring.Expires = envelope.Timestamp(at(10))
	for _, ids := range [][2]string{{"1", "2"}, {"2", "1"}} {
		digest := func(n int) envelope.Digest { return envelope.Digest("sha256:" + strings.Repeat(ids[n], 64)) }
		place := func(n, minute int) capability.Place {
			return capability.Place{ID: digest(n), KeyID: ada.ID(), Ledger: "capability/x", Seq: uint64(n + 1), Time: at(minute)}
		}
		ended := []capability.Ended{{Place: capability.Place{ID: envelope.Digest("sha256:" + strings.Repeat("f", 64)), KeyID: ada.ID(), Ledger: "capability/x", Seq: 3, Time: at(4)}, Revocation: capability.Revocation{Grant: digest(0), Reason: "x"}}}
		for name, c := range map[string]struct {
			grants []capability.Given
			want   string
		}{
			"the newer one expired":     {[]capability.Given{{Place: place(0, 1), Granted: grant("coder", "ada", coder)}, {Place: place(1, 5), Granted: expiring}}, "expired"},
			"the newer one was revoked": {[]capability.Given{{Place: place(1, 1), Granted: expiring}, {Place: place(0, 3), Granted: grant("coder", "ada", coder)}}, "was revoked by ada"},
		} {
			d := capability.Fold(persons, c.grants, ended).Decide(capability.Query{KeyID: coder.ID(), Action: capability.Commit, At: at(20)})
			if d.Allowed || !strings.Contains(d.Reason, c.want) {
				t.Errorf("%s, %v: %v, %s", name, ids, d.Allowed, d.Reason)
			}
		}
	}
}

// A key that was taken from somebody who has another now is still found by what it is like.
func TestFormerKeys(t *testing.T) {
	now, before := key(t), key(t)
	a := capability.Fold([]capability.Principal{
		{Name: "ada", Kind: "human", Accountable: "ada", Operator: true, Keys: []identity.PublicKey{now}},
		{Name: "ada", Kind: "human", Accountable: "ada", Keys: []identity.PublicKey{before}, Until: time.Unix(1767225600, 0)},
	}, nil, nil)
	for _, k := range []identity.PublicKey{now, before} {
		p, found, ok := a.Key(func(x identity.PublicKey) bool { return x.Digest() == k.Digest() })
		if !ok || found.ID() != k.ID() || p.Name != "ada" || p.Until.IsZero() != (k == now) {
			t.Errorf("%v: %+v %v", k == now, p, ok)
		}
	}
	if _, _, ok := a.Key(func(identity.PublicKey) bool { return false }); ok {
		t.Error("a key was found that nobody has")
	}
}

func TestDeclining(t *testing.T) {
	request := envelope.Digest("sha256:" + strings.Repeat("1", 64))
	for name, c := range map[string]struct {
		d  capability.Declining
		ok bool
	}{
		"with a reason":     {capability.Declining{Request: request, Reason: "main is for people"}, true},
		"without":           {capability.Declining{Request: request}, true},
		"of nothing":        {capability.Declining{Reason: "x"}, false},
		"of no identity":    {capability.Declining{Request: "sha256:12"}, false},
		"a reason too long": {capability.Declining{Request: request, Reason: strings.Repeat("x", 4097)}, false},
	} {
		if err := c.d.Validate(); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
