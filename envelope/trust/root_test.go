package trust_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/trust"
)

func signer(t *testing.T) identity.Signer {
	t.Helper()
	s, err := identity.Generate(filepath.Join(t.TempDir(), "key"), "key", nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func with(s identity.Signer) envelope.SealWith {
	return envelope.SealWith{KeyID: s.Public().ID(), Signer: s}
}

func root(ada, ben identity.Signer) *trust.Root {
	return &trust.Root{
		Type: trust.Type, Version: 1, Created: "2026-01-01T00:00:00Z", Format: "sha1", Nonce: strings.Repeat("0", 32), Threshold: 1,
		Operators: []string{"ada"},
		Persons: []trust.Person{
			{Name: "ada", Kind: trust.Human, Keys: []string{ada.Public().String()}},
			{Name: "ben", Kind: trust.Human, Keys: []string{ben.Public().String()}},
		},
	}
}

func TestOpen(t *testing.T) {
	ada, ben := signer(t), signer(t)
	e, err := root(ada, ben).Seal(with(ada))
	if err != nil {
		t.Fatal(err)
	}
	if r, err := trust.Open(e, e.ID()); err != nil || !r.IsOperator("ada") || r.IsOperator("ben") {
		t.Fatalf("%+v %v", r, err)
	}
	if _, err := trust.Open(e, envelope.Digest("sha256:"+strings.Repeat("0", 64))); !errors.Is(err, envelope.ErrDigest) {
		t.Errorf("another pin: %v", err)
	}
	for name, s := range map[string][]envelope.SealWith{"signed by no operator": {with(ben)}, "signed by a stranger": {with(signer(t))}} {
		e, err := root(ada, ben).Seal(s...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := trust.Open(e, e.ID()); err == nil {
			t.Errorf("%s: it opens", name)
		}
	}
}

func TestValidate(t *testing.T) {
	ada, ben := signer(t), signer(t)
	for name, change := range map[string]func(*trust.Root){
		"one key, two persons":       func(r *trust.Root) { r.Persons[1].Keys = r.Persons[0].Keys },
		"one key twice":              func(r *trust.Root) { r.Persons[0].Keys = append(r.Persons[0].Keys, r.Persons[0].Keys...) },
		"persons out of order":       func(r *trust.Root) { r.Persons[0], r.Persons[1] = r.Persons[1], r.Persons[0] },
		"one name twice":             func(r *trust.Root) { r.Persons[1].Name = "ada" },
		"no operator":                func(r *trust.Root) { r.Operators = nil },
		"unknown operator":           func(r *trust.Root) { r.Operators = []string{"eve"} },
		"an agent in the root":       func(r *trust.Root) { r.Persons[1].Kind = trust.Agent },
		"automation as operator":     func(r *trust.Root) { r.Persons[0].Kind = trust.Automation },
		"threshold nobody can reach": func(r *trust.Root) { r.Threshold = 2 },
		"no threshold":               func(r *trust.Root) { r.Threshold = 0 },
		"version 2 without previous": func(r *trust.Root) { r.Version = 2 },
		"short nonce":                func(r *trust.Root) { r.Nonce = "0" },
		"time with a zone":           func(r *trust.Root) { r.Created = "2026-01-01T00:00:00+01:00" },
		"unknown format":             func(r *trust.Root) { r.Format = "md5" },
		"a key with a comment":       func(r *trust.Root) { r.Persons[0].Keys[0] += " comment" },
		"a name with a slash":        func(r *trust.Root) { r.Persons[0].Name, r.Operators[0] = "a/b", "a/b" },
	} {
		r := root(ada, ben)
		change(r)
		if err := r.Validate(); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	newer := root(ada, ben)
	newer.Type = "covenant.trust-root/v2"
	if err := newer.Validate(); !errors.Is(err, envelope.ErrNewer) {
		t.Errorf("a newer version: %v", err)
	}
}
