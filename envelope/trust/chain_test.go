package trust_test

import (
	"errors"
	"flag"
	"slices"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/trust"
)

// chain grows a root, one version after the other.
type chain struct {
	people
	t    testing.TB
	list []*envelope.Envelope
	last *trust.Version
}

func begin(t testing.TB) *chain {
	t.Helper()
	c := &chain{people: everybody(t), t: t}
	c.put(c.first(t), c.ada)
	return c
}

func (c *chain) put(r *trust.Root, by ...identity.Signer) {
	c.t.Helper()
	e := sealed(c.t, r, by...)
	c.list, c.last = append(c.list, e), &trust.Version{Root: r, ID: e.ID()}
}

// next is a draft of the version that follows, a day later.
func (c *chain) next(change func(*trust.Root) error) *trust.Root {
	c.t.Helper()
	r, err := c.last.Next("2026-01-0" + string(rune('1'+c.last.Version)) + "T00:00:00Z")
	if err == nil && change != nil {
		err = change(r)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

func (c *chain) add(change func(*trust.Root) error, by ...identity.Signer) {
	c.t.Helper()
	c.put(c.next(change), by...)
}

func (c *chain) open(pin int) ([]*trust.Version, error) { return trust.Chain(c.list, c.list[pin].ID()) }

// TestChain: three versions, with a handover in between, opened from every pin.
func TestChain(t *testing.T) {
	c := begin(t)
	c.add(func(r *trust.Root) error {
		r.Threshold = 2
		return errors.Join(r.Add("cleo", "", nil, c.cleo.Public()), r.Promote("cleo"))
	}, c.ada, c.cleo)
	c.add(func(r *trust.Root) error { // ada changes her key, and signs with both
		return errors.Join(r.Add("ada", "", nil, c.a2.Public()), r.Remove("ada", trust.Leaving{Grants: trust.Stand}, c.ada.Public().ID()))
	}, c.ada, c.a2, c.cleo)
	for pin := range c.list {
		for from := 0; from <= pin; from++ {
			if from > 0 && from < pin {
				continue // neither from version 1 nor from the pin on
			}
			list := c.list[from:]
			v, err := trust.Chain(list, c.list[pin].ID())
			if err != nil {
				t.Fatalf("from %d, pinned %d: %v", from+1, pin+1, err)
			}
			last := v[len(v)-1]
			if last.Version != 3 || last.ID != c.list[2].ID() || last.Repository() != c.list[0].ID() || len(v) != len(list) {
				t.Errorf("from %d, pinned %d: %d versions, version %d of %s", from+1, pin+1, len(v), last.Version, last.Repository())
			}
			if !slices.Equal(last.Signers, []string{"ada", "cleo"}) {
				t.Errorf("from %d, pinned %d: signed by %v", from+1, pin+1, last.Signers)
			}
			if pin > 0 && from == 0 && len(v[0].Signers) > 0 {
				t.Errorf("pinned %d: the signatures of version 1 were counted", pin+1)
			}
		}
	}
	if f := c.last.Former; len(f) != 1 || f[0].Name != "ada" || !f[0].Operator || f[0].Grants != trust.Stand || f[0].Until != c.last.Created {
		t.Errorf("former: %+v", f)
	}
	if _, err := trust.Chain(c.list[1:], c.list[2].ID()); !errors.Is(err, trust.ErrNumber) {
		t.Errorf("neither from version 1 nor from the pin on: %v", err)
	}
	var pe *trust.PinError
	if _, err := trust.Chain(c.list[:2], c.list[2].ID()); !errors.As(err, &pe) || pe.Head != c.list[1].ID() {
		t.Errorf("rolled back behind the pin: %v", err)
	}
	if _, err := trust.Chain(nil, c.list[2].ID()); !errors.Is(err, trust.ErrPin) {
		t.Errorf("nothing: %v", err)
	}
}

// refusals are chains that must not open, by the name of their vector. The word
// before the first dash says which error it is.
func refusals(t testing.TB) map[string]*chain {
	out := map[string]*chain{}
	refuse := func(name string, build func(*chain)) {
		c := begin(t)
		build(c)
		out[name] = c
	}
	two := func(c *chain) { // ada and ben, both must sign
		c.add(func(r *trust.Root) error { r.Threshold = 2; return r.Promote("ben") }, c.ada, c.ben)
	}
	refuse("threshold-nobody-of-the-version-before", func(c *chain) {
		c.add(func(r *trust.Root) error { return r.Promote("ben") }, c.ben)
	})
	refuse("threshold-not-its-own", func(c *chain) {
		c.add(func(r *trust.Root) error { r.Threshold = 2; return r.Promote("ben") }, c.ada)
	})
	refuse("threshold-one-of-two", func(c *chain) { two(c); c.add(nil, c.ada) })
	refuse("threshold-two-keys-of-one-person", func(c *chain) {
		c.add(func(r *trust.Root) error {
			r.Threshold = 2
			return errors.Join(r.Add("ada", "", nil, c.a2.Public()), r.Promote("ben"))
		}, c.ada, c.ben)
		c.add(nil, c.ada, c.a2)
	})
	refuse("threshold-lowered-by-one", func(c *chain) {
		two(c)
		c.add(func(r *trust.Root) error { r.Threshold = 1; return nil }, c.ben)
	})
	refuse("threshold-throws-the-other-out", func(c *chain) {
		two(c)
		c.add(func(r *trust.Root) error { r.Threshold = 1; return r.Remove("ada", trust.Leaving{Grants: trust.Lapse}) }, c.ben)
	})
	refuse("threshold-rotated-without-the-new-key", func(c *chain) {
		c.add(func(r *trust.Root) error {
			return errors.Join(r.Add("ada", "", nil, c.a2.Public()), r.Remove("ada", trust.Leaving{Grants: trust.Stand}, c.ada.Public().ID()))
		}, c.ada)
	})
	refuse("key-of-no-operator", func(c *chain) { c.add(nil, c.ada, c.ben) })
	refuse("key-of-a-stranger", func(c *chain) { c.add(nil, c.ada, c.mallory) })
	refuse("key-first-version-by-no-operator", func(c *chain) { c.list = nil; c.put(c.first(t), c.ada, c.ben) })
	refuse("number-skips", func(c *chain) {
		r := c.next(nil)
		r.Version = 3
		r.Previous = envelope.Digest("sha256:" + strings.Repeat("3", 64))
		c.put(r, c.ada)
	})
	refuse("number-repeats", func(c *chain) {
		c.add(nil, c.ada)
		r := c.next(nil)
		r.Version, r.Previous = 2, c.list[0].ID()
		c.put(r, c.ada)
	})
	refuse("number-goes-back", func(c *chain) {
		c.add(nil, c.ada)
		c.put(c.first(t), c.ada)
	})
	refuse("number-created-before-the-one-before", func(c *chain) {
		c.add(nil, c.ada)
		r := c.next(nil)
		r.Created = "2026-01-01T00:00:00Z"
		c.put(r, c.ada)
	})
	refuse("previous-of-another-chain", func(c *chain) {
		c.add(nil, c.ada)
		r := c.next(nil)
		r.Previous = envelope.Digest("sha256:" + strings.Repeat("4", 64))
		c.put(r, c.ada)
	})
	refuse("identity-first", func(c *chain) {
		c.add(nil, c.ada)
		r := c.next(nil)
		r.First = envelope.Digest("sha256:" + strings.Repeat("5", 64))
		c.put(r, c.ada)
	})
	refuse("identity-nonce", func(c *chain) {
		c.add(func(r *trust.Root) error { r.Nonce = strings.Repeat("1", 32); return nil }, c.ada)
	})
	refuse("identity-format", func(c *chain) {
		c.list = nil
		one := c.first(t)
		one.Governed = nil
		c.put(one, c.ada)
		c.add(func(r *trust.Root) error { r.Format = "sha256"; return nil }, c.ada)
	})
	refuse("identity-succeeds", func(c *chain) {
		d := envelope.Digest("sha256:" + strings.Repeat("6", 64))
		c.add(func(r *trust.Root) error { r.Succeeds = []trust.Predecessor{{Head: d, Repository: d}}; return nil }, c.ada)
	})
	refuse("identity-kind-of-a-person", func(c *chain) {
		c.add(func(r *trust.Root) error { r.Persons[1].Kind = trust.Automation; return nil }, c.ada)
	})
	refuse("dropped-governed", func(c *chain) { c.add(func(r *trust.Root) error { r.Governed = nil; return nil }, c.ada) })
	refuse("dropped-governed-moved", func(c *chain) {
		c.add(func(r *trust.Root) error { r.Governed[0].Commit = commit(t, "b"); return nil }, c.ada)
	})
	refuse("dropped-person", func(c *chain) {
		c.add(func(r *trust.Root) error { r.Persons = r.Persons[:1]; return nil }, c.ada)
	})
	refuse("dropped-key", func(c *chain) {
		c.add(func(r *trust.Root) error { r.Persons[1].Keys = []string{text(c.cleo)}; return nil }, c.ada)
	})
	without := func(c *chain) {
		c.add(func(r *trust.Root) error { return r.Remove("ben", trust.Leaving{Grants: trust.Lapse}) }, c.ada)
	}
	refuse("dropped-former", func(c *chain) {
		without(c)
		c.add(func(r *trust.Root) error { r.Former = nil; return nil }, c.ada)
	})
	refuse("dropped-lapsed-grants-stand-again", func(c *chain) {
		without(c)
		c.add(func(r *trust.Root) error { r.Former[0].Grants = trust.Stand; return nil }, c.ada)
	})
	refuse("dropped-compromised-no-more", func(c *chain) {
		c.add(func(r *trust.Root) error {
			return r.Remove("ben", trust.Leaving{Grants: trust.Lapse, Compromised: "2026-01-01T12:00:00Z"})
		}, c.ada)
		c.add(func(r *trust.Root) error { r.Former[0].Compromised = ""; return nil }, c.ada)
	})
	refuse("former-whom-nobody-knew", func(c *chain) {
		c.add(func(r *trust.Root) error {
			r.Former = []trust.Former{{Name: "cleo", Kind: trust.Human, Keys: []string{text(c.cleo)}, Grants: trust.Stand, Until: r.Created}}
			return nil
		}, c.ada)
	})
	refuse("former-and-still-there", func(c *chain) {
		c.add(func(r *trust.Root) error {
			r.Former = []trust.Former{{Name: "ben", Kind: trust.Human, Keys: []string{text(c.ben)}, Grants: trust.Lapse, Until: r.Created}}
			return nil
		}, c.ada)
	})
	return out
}

var kinds = map[string]error{
	"threshold": trust.ErrThreshold, "number": trust.ErrNumber, "previous": trust.ErrPrevious, "identity": trust.ErrIdentity,
	"dropped": trust.ErrDropped, "former": trust.ErrFormer, "invalid": trust.ErrInvalid, "pin": trust.ErrPin,
	"key": envelope.ErrUnknownKey, "signature": envelope.ErrSignature, "type": envelope.ErrPayloadType, "newer": envelope.ErrNewer,
}

func kindOf(name string) error {
	word, _, _ := strings.Cut(name, "-")
	return kinds[word]
}

func TestChainRefuses(t *testing.T) {
	for name, c := range refusals(t) {
		_, err := c.open(0)
		var step *trust.StepError
		if !errors.As(err, &step) || !errors.Is(err, kindOf(name)) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if strings.HasPrefix(name, "key-first") {
			continue
		}
		if step.ID != c.list[len(c.list)-1].ID() || step.After != len(c.list)-1 {
			t.Errorf("%s: %+v", name, step)
		}
	}
}

// TestThresholdNames: the refusal says who signed and who is missing.
func TestThresholdNames(t *testing.T) {
	c := begin(t)
	c.add(func(r *trust.Root) error {
		r.Threshold = 2
		return errors.Join(r.Promote("ben"), r.Add("cleo", "", nil, c.cleo.Public()), r.Promote("cleo"))
	}, c.ada, c.ben)
	c.add(nil, c.cleo)
	_, err := c.open(0)
	var te *trust.ThresholdError
	if !errors.As(err, &te) || te.Version != 2 || te.Need != 2 || !slices.Equal(te.Signed, []string{"cleo"}) || !slices.Equal(te.Missing, []string{"ada", "ben"}) {
		t.Fatalf("%+v, %v", te, err)
	}
	for _, word := range []string{"cleo did", "missing: ada, ben", "version 3"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not say %q", err, word)
		}
	}
}

// TestStricter: of former keys more may be learned later, never less.
func TestStricter(t *testing.T) {
	c := begin(t)
	c.add(func(r *trust.Root) error { return r.Remove("ben", trust.Leaving{Grants: trust.Stand}) }, c.ada)
	c.add(func(r *trust.Root) error { return r.Taint("ben", "2026-01-01T12:00:00Z") }, c.ada)
	c.add(func(r *trust.Root) error { return r.Taint("ben", "2026-01-01T06:00:00Z") }, c.ada)
	c.add(func(r *trust.Root) error { return r.Taint("ben", "2026-01-01T18:00:00Z") }, c.ada) // nothing new
	v, err := c.open(0)
	if err != nil {
		t.Fatal(err)
	}
	if f := v[4].Former; len(f) != 1 || f[0].Compromised != "2026-01-01T06:00:00Z" || f[0].Grants != trust.Lapse {
		t.Errorf("%+v", f)
	}
}

func TestConflict(t *testing.T) {
	a, b := begin(t), begin(t)
	a.add(nil, a.ada)
	b.add(func(r *trust.Root) error { return r.Promote("ben") }, b.ada, b.ben)
	open := func(c *chain) []*trust.Version {
		v, err := c.open(0)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	var fork *trust.ForkError
	if err := trust.Conflict(open(a), open(b)); !errors.As(err, &fork) || fork.A.ID != a.last.ID || fork.B.ID != b.last.ID {
		t.Errorf("two successors: %v", err)
	}
	if err := trust.Conflict(open(a), open(a)[:1]); err != nil {
		t.Errorf("one behind the other: %v", err)
	}
	if err := trust.Conflict(open(a), nil); err != nil {
		t.Errorf("nothing: %v", err)
	}
	other := &chain{people: a.people, t: t}
	r := a.first(t)
	r.Nonce = strings.Repeat("9", 32)
	other.put(r, a.ada)
	if err := trust.Conflict(open(a), open(other)); !errors.Is(err, trust.ErrIdentity) {
		t.Errorf("two repositories: %v", err)
	}
}

func TestDraft(t *testing.T) {
	c := begin(t)
	c.add(func(r *trust.Root) error { r.Threshold = 2; return r.Promote("ben") }, c.ada, c.ben)
	versions, err := c.open(0)
	if err != nil {
		t.Fatal(err)
	}
	prev := versions[1]
	next := c.next(func(r *trust.Root) error {
		r.Threshold = 3
		return errors.Join(r.Add("cleo", "", nil, c.cleo.Public()), r.Promote("cleo"))
	})
	d, err := trust.NewDraft(prev, next, c.ada)
	if err != nil {
		t.Fatal(err)
	}
	if d.Complete() || !slices.Equal(d.Missing(), []string{"ben", "cleo"}) || !slices.Equal(d.Signed(), []string{"ada"}) {
		t.Errorf("by ada: missing %v, signed %v", d.Missing(), d.Signed())
	}
	if _, err := trust.Chain(append(slices.Clone(c.list), d.Envelope), c.list[0].ID()); !errors.Is(err, trust.ErrThreshold) {
		t.Errorf("a draft opens: %v", err)
	}
	byBen, err := d.Sign(prev, c.ben)
	if err != nil {
		t.Fatal(err)
	}
	byCleo, err := d.Sign(prev, c.cleo) // elsewhere, at the same time
	if err != nil {
		t.Fatal(err)
	}
	both, err := trust.OpenDraft(prev, byCleo.Envelope, byBen.Envelope)
	if err != nil {
		t.Fatal(err)
	}
	if byBen.Complete() || byCleo.Complete() || !both.Complete() || len(both.Missing()) > 0 || both.ID != d.ID {
		t.Errorf("ben %v, cleo %v, both %v", byBen.Complete(), byCleo.Complete(), both.Complete())
	}
	if _, err := trust.Chain(append(slices.Clone(c.list), both.Envelope), c.list[0].ID()); err != nil {
		t.Errorf("complete: %v", err)
	}
	if _, err := d.Sign(prev, c.mallory); !errors.Is(err, trust.ErrNotOperator) {
		t.Errorf("by a stranger: %v", err)
	}
	if _, err := trust.NewDraft(prev, next, c.cleo); !errors.Is(err, trust.ErrStranger) {
		t.Errorf("proposed by who is no operator yet: %v", err)
	}
	junk := sealed(t, next, c.mallory)
	if _, err := trust.OpenDraft(prev, junk); !errors.Is(err, trust.ErrStranger) {
		t.Errorf("signed by a stranger only: %v", err)
	}
	if mixed, err := trust.OpenDraft(prev, junk, both.Envelope); err != nil || !mixed.Complete() || len(mixed.Envelope.KeyIDs()) != 3 {
		t.Errorf("junk spoils a draft: %v", err)
	}
	if _, err := trust.OpenDraft(versions[0], d.Envelope); !errors.Is(err, trust.ErrNumber) {
		t.Errorf("of another version: %v", err)
	}
	other := c.next(nil)
	if _, err := trust.OpenDraft(prev, d.Envelope, sealed(t, other, c.ada)); !errors.Is(err, envelope.ErrDigest) {
		t.Errorf("two drafts as one: %v", err)
	}
	if _, err := trust.OpenDraft(prev); !errors.Is(err, trust.ErrStranger) {
		t.Errorf("none: %v", err)
	}
}

func TestChanges(t *testing.T) {
	c := begin(t)
	old := *c.last.Root
	next := c.next(func(r *trust.Root) error {
		r.Threshold, r.Expires, r.Policy = 2, "2027-01-01T00:00:00Z", &trust.Policy{Version: 1, Reviews: 1}
		return errors.Join(r.Add("cleo", "", []string{"c@x"}, c.cleo.Public()), r.Promote("cleo"), r.Remove("ben", trust.Leaving{Grants: trust.Lapse}))
	})
	got := strings.Join(trust.Changes(&old, next), "\n")
	want := strings.Join([]string{
		"+ human cleo", "+ key " + c.cleo.Public().ID() + " of cleo", `+ address "c@x" of cleo`, "- human ben", "~ former keys of ben: grants lapse",
		"+ operator cleo", "~ threshold: 1 → 2", "~ expires: never → 2027-01-01T00:00:00Z", `~ policy: default → {"reviews":1,"version":1}`,
	}, "\n")
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if same := trust.Changes(&old, c.next(nil)); len(same) != 0 {
		t.Errorf("nothing changed: %v", same)
	}
	for name, err := range map[string]error{
		"a new person without a key": c.next(nil).Add("dora", "", nil),
		"a key she has":              c.next(nil).Add("ada", "", nil, c.ada.Public()),
		"another kind":               c.next(nil).Add("ada", trust.Automation, nil, c.a2.Public()),
		"nobody":                     c.next(nil).Remove("dora", trust.Leaving{Grants: trust.Lapse}),
		"a key he has not":           c.next(nil).Remove("ben", trust.Leaving{Grants: trust.Lapse}, c.ada.Public().ID()),
		"nobody was":                 c.next(nil).Taint("dora", "2026-01-01T00:00:00Z"),
		"no operator":                c.next(nil).Promote("dora"),
	} {
		if !errors.Is(err, trust.ErrChange) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

var update = flag.Bool("update", false, "write the vectors")
