package trust_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/git/oid"
)

// signer returns the key of a name, always the same one: vectors are made of them.
func signer(t testing.TB, name string) identity.Signer {
	t.Helper()
	seed := sha256.Sum256([]byte("covenant test key of " + name))
	der, err := x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed(seed[:]))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := identity.LoadFile(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func with(list ...identity.Signer) []envelope.SealWith {
	var out []envelope.SealWith
	for _, s := range list {
		out = append(out, envelope.SealWith{KeyID: s.Public().ID(), Signer: s})
	}
	return out
}

// people are the signers of a test: a2 is ada's second key.
type people struct{ ada, a2, ben, cleo, mallory, bot identity.Signer }

func everybody(t testing.TB) people {
	t.Helper()
	return people{signer(t, "ada"), signer(t, "ada2"), signer(t, "ben"), signer(t, "cleo"), signer(t, "mallory"), signer(t, "bot")}
}

func text(s identity.Signer) string { return s.Public().String() }

// commit is the name of a commit that needs not exist.
func commit(t testing.TB, digit string) oid.ID {
	t.Helper()
	id, err := oid.Parse(strings.Repeat(digit, 40))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// first is version 1 with ada as its operator, and ben beside her.
func (p people) first(t testing.TB) *trust.Root {
	t.Helper()
	return &trust.Root{
		Type: trust.Type, Version: 1, Created: "2026-01-01T00:00:00Z", Format: "sha1", Nonce: strings.Repeat("0", 32), Threshold: 1,
		Operators: []string{"ada"}, Governed: []trust.Since{{Commit: commit(t, "a"), Ref: "refs/heads/main"}},
		Persons: []trust.Person{
			{Name: "ada", Kind: trust.Human, Keys: []string{text(p.ada)}, Emails: []string{"ada@example.org"}},
			{Name: "ben", Kind: trust.Human, Keys: []string{text(p.ben)}},
		},
	}
}

func sealed(t testing.TB, r *trust.Root, by ...identity.Signer) *envelope.Envelope {
	t.Helper()
	e, err := r.Seal(with(by...)...)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestValidate(t *testing.T) {
	p := everybody(t)
	digest := envelope.Digest("sha256:" + strings.Repeat("1", 64))
	for name, change := range map[string]func(*trust.Root){
		"one key, two persons":       func(r *trust.Root) { r.Persons[1].Keys = r.Persons[0].Keys },
		"one key twice":              func(r *trust.Root) { r.Persons[0].Keys = append(r.Persons[0].Keys, r.Persons[0].Keys...) },
		"keys out of order":          func(r *trust.Root) { k := sortedKeys(p.ada, p.a2); r.Persons[0].Keys = []string{k[1], k[0]} },
		"persons out of order":       func(r *trust.Root) { r.Persons[0], r.Persons[1] = r.Persons[1], r.Persons[0] },
		"one name twice":             func(r *trust.Root) { r.Persons[1].Name = "ada" },
		"an address twice":           func(r *trust.Root) { r.Persons[0].Emails = []string{"a", "a"} },
		"an empty address":           func(r *trust.Root) { r.Persons[0].Emails = []string{""} },
		"an address of two lines":    func(r *trust.Root) { r.Persons[0].Emails = []string{"a\nb"} },
		"no operator":                func(r *trust.Root) { r.Operators = nil },
		"unknown operator":           func(r *trust.Root) { r.Operators = []string{"eve"} },
		"an agent in the root":       func(r *trust.Root) { r.Persons[1].Kind = trust.Agent },
		"automation as operator":     func(r *trust.Root) { r.Persons[0].Kind = trust.Automation },
		"threshold nobody can reach": func(r *trust.Root) { r.Threshold = 2 },
		"no threshold":               func(r *trust.Root) { r.Threshold = 0 },
		"version 2 without previous": func(r *trust.Root) { r.Version, r.First = 2, digest },
		"version 2 without first":    func(r *trust.Root) { r.Version, r.Previous = 2, digest },
		"version 2 after another 1": func(r *trust.Root) {
			r.Version, r.Previous, r.First = 2, digest, envelope.Digest("sha256:"+strings.Repeat("2", 64))
		},
		"version 3 right after 1": func(r *trust.Root) { r.Version, r.Previous, r.First = 3, digest, digest },
		"version 0":               func(r *trust.Root) { r.Version = 0 },
		"version 1 with first":    func(r *trust.Root) { r.First = digest },
		"previous is no digest":   func(r *trust.Root) { r.Version, r.Previous, r.First = 3, "x", digest },
		"version 1 with former": func(r *trust.Root) {
			r.Former = []trust.Former{{Name: "old", Kind: trust.Human, Keys: []string{text(p.cleo)}, Grants: trust.Lapse, Until: r.Created}}
		},
		"short nonce":                  func(r *trust.Root) { r.Nonce = "0" },
		"nonce in capitals":            func(r *trust.Root) { r.Nonce = strings.Repeat("A", 32) },
		"time with a zone":             func(r *trust.Root) { r.Created = "2026-01-01T00:00:00+01:00" },
		"expired when it was made":     func(r *trust.Root) { r.Expires = r.Created },
		"expires no time":              func(r *trust.Root) { r.Expires = "tomorrow" },
		"unknown format":               func(r *trust.Root) { r.Format = "md5" },
		"no format":                    func(r *trust.Root) { r.Format = "" },
		"a commit of another format":   func(r *trust.Root) { r.Format = "sha256" },
		"governed twice":               func(r *trust.Root) { r.Governed = append(r.Governed, r.Governed...) },
		"a key with a comment":         func(r *trust.Root) { r.Persons[0].Keys[0] += " comment" },
		"a name with a slash":          func(r *trust.Root) { r.Persons[0].Name, r.Operators[0] = "a/b", "a/b" },
		"succeeds no digest":           func(r *trust.Root) { r.Succeeds = []trust.Predecessor{{Repository: digest}} },
		"a policy of another version":  func(r *trust.Root) { r.Policy = &trust.Policy{Version: 2, Reviews: 1} },
		"a policy that says nothing":   func(r *trust.Root) { r.Policy = &trust.Policy{Version: 1} },
		"more operators than can sign": func(r *trust.Root) { many(t, r); r.Threshold = trust.MaxThreshold + 1 },
	} {
		r := p.first(t)
		change(r)
		if err := r.Validate(); !errors.Is(err, trust.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	most := p.first(t)
	many(t, most)
	if most.Threshold = trust.MaxThreshold; most.Validate() != nil {
		t.Errorf("the largest threshold: %v", most.Validate())
	}
	newer := p.first(t)
	newer.Type = "covenant.trust-root/v2"
	if err := newer.Validate(); !errors.Is(err, envelope.ErrNewer) {
		t.Errorf("a newer version: %v", err)
	}
}

func many(t testing.TB, r *trust.Root) {
	t.Helper()
	r.Persons, r.Operators = nil, nil
	for _, n := range strings.Split("abcdefghijkl", "") {
		r.Persons = append(r.Persons, trust.Person{Name: n, Kind: trust.Human, Keys: []string{text(signer(t, n))}})
		r.Operators = append(r.Operators, n)
	}
}

func sortedKeys(list ...identity.Signer) []string {
	var out []string
	for _, s := range list {
		out = append(out, text(s))
	}
	slices.Sort(out)
	return out
}

// TestFormer: what a version may say of former keys.
func TestFormer(t *testing.T) {
	p := everybody(t)
	base := func() *trust.Root {
		r := p.first(t)
		r.Version, r.Created = 3, "2026-02-01T00:00:00Z"
		r.First, r.Previous = envelope.Digest("sha256:"+strings.Repeat("1", 64)), envelope.Digest("sha256:"+strings.Repeat("2", 64))
		r.Former = []trust.Former{{Name: "ada", Kind: trust.Human, Keys: []string{text(p.a2)}, Grants: trust.Stand, Until: r.Created, Operator: true}}
		return r
	}
	if err := base().Validate(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*trust.Root){
		"neither lapse nor stand":       func(r *trust.Root) { r.Former[0].Grants = "" },
		"no key":                        func(r *trust.Root) { r.Former[0].Keys = nil },
		"no time":                       func(r *trust.Root) { r.Former[0].Until = "" },
		"compromised after it was gone": func(r *trust.Root) { r.Former[0].Compromised = "2026-03-01T00:00:00Z" },
		"compromised at no time":        func(r *trust.Root) { r.Former[0].Compromised = "once" },
		"another person's key":          func(r *trust.Root) { r.Former[0].Keys = []string{text(p.ben)} },
		"twice":                         func(r *trust.Root) { r.Former = append(r.Former, r.Former[0]) },
		"another kind than she has":     func(r *trust.Root) { r.Former[0].Kind, r.Former[0].Operator = trust.Automation, false },
		"automation that was operator":  func(r *trust.Root) { r.Former[0].Name, r.Former[0].Kind = "robot", trust.Automation },
		"a key of two former persons":   func(r *trust.Root) { f := r.Former[0]; f.Name = "cleo"; r.Former = append(r.Former, f) },
		"a compromised key is used again": func(r *trust.Root) {
			r.Former[0].Keys, r.Former[0].Compromised = []string{text(p.ada)}, "2026-01-15T00:00:00Z"
		},
	} {
		r := base()
		change(r)
		if err := r.Validate(); !errors.Is(err, trust.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	back := base() // who left may come back, with the key they had
	back.Former[0].Keys = []string{text(p.ada)}
	if err := back.Validate(); err != nil {
		t.Errorf("the same key again: %v", err)
	}
}

func TestExpired(t *testing.T) {
	r := everybody(t).first(t)
	at := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := r.Expired(at); err != nil {
		t.Errorf("without expiry: %v", err)
	}
	r.Expires = envelope.Timestamp(at)
	if err := r.Expired(at.Add(-time.Second)); err != nil {
		t.Errorf("a second before: %v", err)
	}
	var x *trust.ExpiredError
	if err := r.Expired(at); !errors.As(err, &x) || !errors.Is(err, trust.ErrExpired) || x.Version != 1 || !x.At.Equal(at) {
		t.Errorf("at the time: %v", err)
	}
}

// TestEveryBit: no bit of a signed version can be changed and the chain still opens.
func TestEveryBit(t *testing.T) {
	c := begin(t)
	c.add(func(r *trust.Root) error { return r.Promote("ben") }, c.ada, c.ben)
	pin, last := c.list[0].ID(), len(c.list)-1
	good := bytesOf(t, c.list[last])
	step := 1
	if testing.Short() {
		step = 7 // still each bit of a byte in turn
	}
	for i := 0; i < len(good)*8; i += step {
		b := bytes.Clone(good)
		b[i/8] ^= 1 << (i % 8)
		e, err := envelope.Parse(b)
		if err != nil {
			continue
		}
		if _, err := trust.Chain([]*envelope.Envelope{c.list[0], e}, pin); err == nil {
			t.Fatalf("bit %d of byte %d: %s opens", i%8, i/8, b)
		}
	}
}

func bytesOf(t testing.TB, e *envelope.Envelope) []byte {
	t.Helper()
	b, err := e.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return b
}
