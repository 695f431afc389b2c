package capability_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

// court is a repository's authority in the making.
type court struct {
	t      *testing.T
	keys   map[string]identity.PublicKey
	people []capability.Principal
	grants []capability.Given
	ended  []capability.Ended
	clock  time.Time
}

func newCourt(t *testing.T) *court {
	c := &court{t: t, keys: map[string]identity.PublicKey{}, clock: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	for _, n := range []string{"ada", "ben", "coder", "helper", "third", "mallory"} {
		c.keys[n] = key(t)
	}
	c.people = []capability.Principal{
		{Name: "ada", Kind: "human", Accountable: "ada", Operator: true, Keys: []identity.PublicKey{c.keys["ada"]}},
		{Name: "ben", Kind: "human", Accountable: "ben", Keys: []identity.PublicKey{c.keys["ben"]}},
	}
	return c
}

func (c *court) place(by string) capability.Place {
	c.clock = c.clock.Add(time.Minute)
	n := len(c.grants) + len(c.ended) + 1
	return capability.Place{ID: envelope.Digest(fmt.Sprintf("sha256:%064x", n)), KeyID: c.keys[by].ID(), Ledger: "capability/" + by, Seq: uint64(n), Time: c.clock}
}

func (c *court) grant(by, to, action, scope string, change ...func(*capability.Grant)) envelope.Digest {
	c.t.Helper()
	s, err := capability.ParseScope([]byte(scope))
	if err != nil {
		c.t.Fatal(err)
	}
	g := capability.Grant{
		Action: action, Scope: s, Serial: strings.Repeat("0", 32),
		Subject: capability.Subject{Name: to, Kind: "agent", Accountable: "ada", Key: c.keys[to].String()},
	}
	for _, f := range change {
		f(&g)
	}
	if err := g.Validate(); err != nil {
		c.t.Fatal(err)
	}
	p := c.place(by)
	c.grants = append(c.grants, capability.Given{Place: p, Granted: g})
	return p.ID
}

func (c *court) revoke(by string, id envelope.Digest) {
	c.ended = append(c.ended, capability.Ended{Place: c.place(by), Revocation: capability.Revocation{Grant: id, Reason: "no more"}})
}

func (c *court) fold() *capability.Authority { return capability.Fold(c.people, c.grants, c.ended) }

func (c *court) ask(who, action string, change ...func(*capability.Query)) capability.Decision {
	q := capability.Query{KeyID: c.keys[who].ID(), Action: action, At: c.clock.Add(time.Hour), Ref: "refs/heads/agent/x", Changes: paths("src/a.go")}
	for _, f := range change {
		f(&q)
	}
	return c.fold().Decide(q)
}

func paths(list ...string) []pluginapi.Change {
	var out []pluginapi.Change
	for _, p := range list {
		out = append(out, pluginapi.Change{Path: []byte(p), Status: "M", OldMode: "100644", NewMode: "100644", Size: 10})
	}
	return out
}

func under(id envelope.Digest, depth int) func(*capability.Grant) {
	return func(g *capability.Grant) { g.Parent, g.Delegable = id, depth }
}

func depth(n int) func(*capability.Grant) { return func(g *capability.Grant) { g.Delegable = n } }

func TestScopesOfCommits(t *testing.T) {
	const in = `{ "paths": ["src/**", "docs/*.md"], "refs": ["refs/heads/agent/*"],"max_files":3,"max_bytes":35,"modes":["100644"],"intent":"i1"}`
	change := func(f func(*pluginapi.Change)) func(*capability.Query) {
		return func(q *capability.Query) { f(&q.Changes[0]) }
	}
	for _, test := range []struct {
		name   string
		change func(*capability.Query)
		refuse string // part of the reason; "" when it is allowed
	}{
		{"within", func(*capability.Query) {}, ""},
		{"three files", func(q *capability.Query) { q.Changes = paths("src/a", "src/b/c", "docs/x.md") }, ""},
		{"deleting", change(func(c *pluginapi.Change) { c.Status, c.NewMode, c.Size = "D", "", 0 }), ""},
		{"nothing", func(q *capability.Query) { q.Changes = nil }, ""},
		{"another path", func(q *capability.Query) { q.Changes = paths("README") }, "outside its paths"},
		{"one path of two", func(q *capability.Query) { q.Changes = paths("src/a", ".github/workflows/x.yml") }, "outside its paths"},
		{"the folder itself", func(q *capability.Query) { q.Changes = paths("src") }, "outside its paths"},
		{"another case", func(q *capability.Query) { q.Changes = paths("SRC/a.go") }, "outside its paths"},
		{"a prefix", func(q *capability.Query) { q.Changes = paths("srcs/a.go") }, "outside its paths"},
		{"bytes", func(q *capability.Query) { q.Changes = paths("doc\xff/a") }, "base64:"},
		{"another ref", func(q *capability.Query) { q.Ref = "refs/heads/main" }, "outside its refs"},
		{"deeper ref", func(q *capability.Query) { q.Ref = "refs/heads/agent/x/y" }, "outside its refs"},
		{"no ref", func(q *capability.Query) { q.Ref = "" }, "not known which ref"},
		{"four files", func(q *capability.Query) { q.Changes = paths("src/a", "src/b", "src/c", "src/d") }, "4 files"},
		{"too many bytes", change(func(c *pluginapi.Change) { c.Size = 36 }), "36 bytes"},
		{"negative bytes", func(q *capability.Query) { q.Changes = paths("src/a", "src/b"); q.Changes[0].Size = -100 }, "size -100"},
		{"overflow", func(q *capability.Query) {
			q.Changes = paths("src/a", "src/b")
			q.Changes[0].Size, q.Changes[1].Size = 1<<62, 1<<62
		}, ""},
		{"executable", change(func(c *pluginapi.Change) { c.NewMode = "100755" }), "mode 100755"},
		{"link", change(func(c *pluginapi.Change) { c.NewMode = "120000" }), "mode 120000"},
		{"submodule", change(func(c *pluginapi.Change) { c.NewMode = "160000" }), "mode 160000"},
		{"another intent", func(q *capability.Query) { q.Intent = "i2" }, "for intent i1"},
		{"another action", func(q *capability.Query) { q.Action = capability.Push }, "no grant"},
	} {
		c := newCourt(t)
		c.grant("ada", "coder", capability.Commit, in)
		d := c.ask("coder", capability.Commit, func(q *capability.Query) { q.Intent = "i1" }, test.change)
		if test.name == "overflow" {
			if d.Allowed {
				t.Error("a sum that wraps around is allowed")
			}
			continue
		}
		if d.Allowed != (test.refuse == "") || !strings.Contains(d.Reason, test.refuse) {
			t.Errorf("%s: %+v, want %q", test.name, d, test.refuse)
		}
		if d.Allowed && len(d.Grants) != 1 {
			t.Errorf("%s: grants %v", test.name, d.Grants)
		}
	}
}

// TestNearestRefusal: of two grants the one that is for the ref tells why, whichever came last.
func TestNearestRefusal(t *testing.T) {
	for _, refs := range [][2]string{{"refs/heads/agent/*", "refs/heads/main"}, {"refs/heads/main", "refs/heads/agent/*"}} {
		c := newCourt(t)
		for _, ref := range refs {
			c.grant("ada", "coder", capability.Commit, `{"paths":["src/**"],"refs":["`+ref+`"]}`)
		}
		d := c.ask("coder", capability.Commit, func(q *capability.Query) { q.Changes = paths("README") })
		if d.Allowed || !strings.Contains(d.Reason, `path "README" is outside its paths`) {
			t.Errorf("%v: %+v", refs, d)
		}
	}
}

func TestEmptyListsDenyAll(t *testing.T) {
	for _, scope := range []string{`{"paths":[]}`, `{"refs":[]}`, `{"modes":[]}`, `{"max_files":0}`} {
		c := newCourt(t)
		c.grant("ada", "coder", capability.Commit, scope)
		if d := c.ask("coder", capability.Commit); d.Allowed {
			t.Errorf("%s allows", scope)
		}
	}
}

func TestOtherNamespaces(t *testing.T) {
	res := func(kv ...any) map[string]any {
		m := map[string]any{}
		for i := 0; i < len(kv); i += 2 {
			m[kv[i].(string)] = kv[i+1]
		}
		return m
	}
	list := func(s ...any) []any { return s }
	for _, test := range []struct {
		action, scope string
		asked         string // "" is the action
		resource      map[string]any
		want          bool
	}{
		{"tool.call.search", `{"tool":"search"}`, "", nil, true},
		{"tool.call.*", `{"tool":"search"}`, "tool.call.search", nil, true},
		{"tool.call.*", `{"tool":"search"}`, "tool.call.shell", nil, false},
		{"tool.call.search", `{"arguments":{"allow":{"q":"x","n":1}}}`, "", res("arguments", map[string]any{"n": 1.0, "q": "x"}), true},
		{"tool.call.search", `{"arguments":{"allow":{"q":"x"}}}`, "", res("arguments", map[string]any{"q": "x", "also": 1.0}), false},
		{"tool.call.search", `{"arguments":{"allow":{"q":"x"}}}`, "", nil, false},
		{"memory.read.working", `{"tiers":["working"],"apply":false}`, "", res("apply", false), true},
		{"memory.read.*", `{"tiers":["working"]}`, "memory.read.longterm", nil, false},
		{"memory.write", `{"tiers":["working"],"apply":true}`, "", res("tiers", list("working"), "apply", true), true},
		{"memory.write", `{"tiers":["working"],"apply":true}`, "", res("tiers", list("working")), true},
		{"memory.write", `{"apply":false}`, "", nil, false},
		{"memory.write", `{}`, "", res("apply", false), false}, // it says something else than its action
		{"memory.purge", `{"apply":true}`, "", nil, true},
		{"memory.purge", `{"apply":true}`, "", res("apply", "yes"), false},
		{"memory.read", `{"apply":false}`, "", nil, true},
		{"memory.read", `{"apply":true}`, "", nil, false},
		{"memory.read", `{}`, "", res("apply", true), false},
		{"memory.compact.apply", `{"apply":true}`, "", nil, true},
		{"memory.compact.apply", `{}`, "", res("apply", false), false},
		{"memory.compact.*", `{"apply":false}`, "memory.compact.apply", nil, false},
		{"memory.compact.*", `{"apply":false}`, "memory.compact.dry_run", res("apply", false), true},
		{"memory.repair.dry_run", `{}`, "", res("apply", true), false},
		{"memory.search", `{"apply":false}`, "", nil, false}, // its name does not tell
		{"memory.search", `{"apply":false}`, "", res("apply", false), true},
		{"memory.write", `{"tiers":["working"]}`, "", res("tiers", list("working", "longterm")), false},
		{"memory.read.working", `{"tiers":["working"]}`, "", res("tiers", list("working")), true},
		{"memory.read.working", `{"tiers":["working"]}`, "", res("tiers", list("longterm")), false},
		{"memory.read.working", `{"tiers":["working"]}`, "", res("tiers", list("working", "longterm")), false},
		{"memory.read.*", `{}`, "memory.read.working", res("tiers", list("longterm")), false},
		{"memory.read.working", `{}`, "", res("tiers", "longterm"), false},
		{"memory.compact.apply", `{"tiers":["working"]}`, "", res("tiers", list("working"), "detach_stale_parents", true), false},
		{"memory.compact.apply", `{"tiers":["working"]}`, "", res("tiers", list("working"), "detach_stale_parents", false), true},
		{"memory.compact.apply", `{"tiers":["working","episodic","longterm"]}`, "", res("tiers", list("working"), "detach_stale_parents", true), true},
		{"memory.compact.apply", `{}`, "", res("tiers", list("working"), "detach_stale_parents", true), true},
		{"memory.purge", `{"tiers":["working"]}`, "", nil, false},
		{"memory.purge", `{"tiers":["working","episodic","longterm"]}`, "", nil, true},
		{"memory.purge", `{"tiers":[]}`, "", res("tiers", list()), false},
		{"memory.purge", `{"before_ms":100}`, "", res("before_ms", 100.0), true},
		{"memory.purge", `{"before_ms":100}`, "", res("before_ms", 101.0), false},
		{"memory.purge", `{"before_ms":100}`, "", nil, false},
		{"memory.read", `{"before_ms":100}`, "", res("created_at", 99.0), true},
		{"memory.read", `{"before_ms":100}`, "", res("created_at", 100.0), false},
		{"memory.read", `{"before_ms":100}`, "", res("created_at", 5.0, "before_ms", 100.0), true},
		{"memory.read", `{"before_ms":100}`, "", res("created_at", 5.0, "before_ms", 101.0), false},
		{"memory.read", `{"before_ms":100}`, "", res("created_at", 100.0, "before_ms", 5.0), false},
		{"memory.read", `{"before_ms":100}`, "", res("created_at", 5.0, "before_ms", "5"), false},
		{"memory.purge", `{"before_ms":1000}`, "", res("before_ms", 999999.0, "created_at", 5.0), false},
		{"memory.purge", `{"before_ms":1000}`, "", res("created_at", 5.0), false}, // how far it goes is not said
		{"audit.purge", `{"before_ms":1000}`, "", res("before_ms", 999999.0, "created_at", 5.0), false},
		{"memory.read", `{"record_id":"r1"}`, "", res("record_id", "r1"), true},
		{"memory.read", `{"record_id":"r1"}`, "", res("record_id", "r2"), false},
		{"a2a.send.x", `{"peer_pubkey_b58":"P","duplicate_risk":"operator-accepted"}`, "", res("peer_pubkey_b58", "P", "duplicate_risk", "operator_accepted"), true},
		{"a2a.send.x", `{"peer_pubkey_b58":"P"}`, "", res("peer_pubkey_b58", "Q"), false},
		{"audit.purge", `{"before_ms":5,"window":10}`, "", res("before_ms", 4.0, "window", 10.0), true},
		{"audit.purge", `{"window":10}`, "", res("window", 11.0), false},
		{"peers.revoke", `{"token_prefix":"abc","force":false}`, "", res("token_prefix", "abcd", "force", false), true},
		{"peers.revoke", `{"token_prefix":"abc"}`, "", res("token_prefix", "xabc"), false},
		{"identity.attest", `{"self":true}`, "", res("self", false), false},
		{"chain.receipts", `{"limit":5}`, "", res("limit", 5.0), true},
		{"network.connect", `{"hosts":["*.a.b","::1"]}`, "", res("hosts", []any{"x.a.b", "x.y.a.b", "::1"}), true},
		{"network.connect", `{"hosts":["*.a.b"]}`, "", res("hosts", []any{"x.a.b", "a.b"}), false},
		{"network.connect", `{"hosts":["*.a.b"]}`, "", res("hosts", []any{"x.a.b.c"}), false},
		{"network.connect", `{"hosts":["*.a.b"]}`, "", res("hosts", "x.a.b"), false},
		{"network.connect", `{"hosts":["*"]}`, "", nil, false},
		{"network.connect", `{"hosts":[]}`, "", res("hosts", []any{"a.b"}), false},
		{"network.connect", `{}`, "", nil, true},
		{"secret.read", `{"paths":["conf/**","~/.aws/*"]}`, "", res("paths", []any{"conf/a/b", "~/.aws/x"}), true},
		{"secret.read", `{"paths":["conf/**"]}`, "", res("paths", []any{"conf/a", ".env"}), false},
		{"chain.receipts", `{"limit":5}`, "", nil, false}, // the seed let what was not said pass
		{"peers.revoke", `{"peer_pubkey_b58":"4vJ9JU1bJJE96FWSJKvHsmmFADCg4gpZQff4P3bkLKi"}`, "", res("peer_pubkey_b58", "4vJ9JU1bJJE96FWSJKvHsmmFADCg4gpZQff4P3bkLKi"), true},
		{"chain.receipts", `{"resource":"compute"}`, "", res("resource", "compute"), true},
		{"chain.receipts", `{"resource":"compute"}`, "", res("resource", "tool"), false},
		{"chain.flush", `{"mint":"m"}`, "", res("mint", "n"), false},
		{"intent.subscribe", `{}`, "", nil, true},
		{"deploy.prod", `{}`, "", nil, true},
	} {
		c := newCourt(t)
		c.grant("ada", "coder", test.action, test.scope)
		asked := test.asked
		if asked == "" {
			asked = test.action
		}
		d := c.ask("coder", asked, func(q *capability.Query) { q.Changes, q.Resource = nil, test.resource })
		if d.Allowed != test.want {
			t.Errorf("%s %s asked %v: %+v", test.action, test.scope, test.resource, d)
		}
	}
}

func TestScopesThatAreRefused(t *testing.T) {
	k := key(t)
	for _, test := range []struct{ action, scope string }{
		{"repo.commit", `{"path":["src/**"]}`},
		{"repo.commit", `{"Paths":["src/**"]}`},
		{"repo.commit", `{"paths":null}`},
		{"repo.commit", `{"paths":"src/**"}`},
		{"repo.commit", `{"paths":["/src"]}`},
		{"repo.commit", `{"paths":["src/["]}`},
		{"repo.commit", `{"refs":["main"]}`},
		{"repo.commit", `{"modes":["0644"]}`},
		{"repo.commit", `{"max_files":-1}`},
		{"repo.commit", `{"max_files":1.5}`},
		{"repo.commit", `{"tiers":["working"]}`},
		{"repo.commit", `{"version":2}`},
		{"repo.commit", `{"version":"1"}`},
		{"repo.commit", `[]`},
		{"repo.commit", `null`},
		{"repo.commit", `{} {}`},
		{"repo.commit", `{"paths":["a"],"paths":["**"]}`},
		{"memory.read", `{"tier":["working"]}`},
		{"memory.read", `{"tiers":["fast"]}`},
		{"tool.call.a", `{"tool":"b"}`},
		{"tool.call.a", `{"arguments":{}}`},
		{"audit.purge", `{"window":0}`},
		{"peers.revoke", `{"peer_pubkey_b58":"P"}`},
		{"peers.revoke", `{"peer_pubkey_b58":"4vJ9JU1bJJE96FWSJKvHsmmFADCg4gpZQff4P3bkLK"}`},
		{"identity.attest", `{"peer_pubkey_b58":"0OIl"}`},
		{"peers.revoke", `{"token_prefix":"0"}`},
		{"peers.revoke", `{"token_prefix":""}`},
		{"chain.receipts", `{"payer_pubkey_b58":"P"}`},
		{"chain.receipts", `{"resource":"money"}`},
		{"network.connect", `{"hosts":["a.b:443"]}`},
		{"network.connect", `{"hosts":["https://a.b"]}`},
		{"network.connect", `{"hosts":["A.b"]}`},
		{"network.connect", `{"paths":["a"]}`},
		{"secret.read", `{"hosts":["a"]}`},
		{"repo.commit", `{"hosts":["a"]}`},
		{"chain.receipts", `{"mint":""}`},
		{"intent.subscribe", `{"paths":["a"]}`},
		{"deploy.prod", `{"paths":["a"]}`},
	} {
		s, err := capability.ParseScope([]byte(test.scope))
		if err == nil {
			g := grant("coder", "ada", k)
			g.Action, g.Scope = test.action, s
			err = g.Validate()
		}
		if err == nil {
			t.Errorf("%s with scope %s is accepted", test.action, test.scope)
		}
	}
}

func TestDelegationOnlyNarrows(t *testing.T) {
	c := newCourt(t)
	top := c.grant("ada", "coder", "repo.*", `{"paths":["src/**"]}`, depth(2))
	mid := c.grant("coder", "helper", "repo.commit", `{"paths":["**"],"refs":["refs/heads/agent/*"]}`, under(top, 1))
	c.grant("helper", "third", "repo.commit", `{}`, under(mid, 0))
	d := c.ask("third", capability.Commit)
	if !d.Allowed || len(d.Grants) != 3 || d.Grants[0] != top {
		t.Fatalf("the chain is not relied on: %+v", d)
	}
	if d := c.ask("third", capability.Commit, func(q *capability.Query) { q.Changes = paths("README") }); d.Allowed || d.Refused != top {
		t.Errorf("a wider path by delegation: %+v", d)
	}
	if d := c.ask("third", capability.Commit, func(q *capability.Query) { q.Ref = "refs/heads/main" }); d.Allowed || d.Refused != mid {
		t.Errorf("a wider ref by delegation: %+v", d)
	}
	if d := c.ask("helper", capability.Push); d.Allowed {
		t.Errorf("an action that was not handed on: %+v", d)
	}
	if p, ok := c.fold().ByKey(c.keys["third"].ID()); !ok || p.Accountable != "ada" {
		t.Errorf("who answers for third: %+v", p)
	}

	for name, add := range map[string]func(*court){
		"handed on by one who does not hold it": func(c *court) { c.grant("helper", "mallory", "repo.commit", `{}`, under(top, 0)) },
		"deeper than allowed":                   func(c *court) { c.grant("coder", "mallory", "repo.commit", `{}`, under(top, 2)) },
		"of an action it is not of":             func(c *court) { c.grant("helper", "mallory", "repo.push", `{}`, under(mid, 0)) },
		"without a parent":                      func(c *court) { c.grant("coder", "mallory", "repo.commit", `{}`) },
		"to itself":                             func(c *court) { c.grant("mallory", "mallory", "repo.commit", `{}`) },
		"with another accountable": func(c *court) {
			c.grant("coder", "mallory", "repo.commit", `{}`, under(top, 0), func(g *capability.Grant) { g.Subject.Accountable = "ben" })
		},
		"under a name that is taken": func(c *court) {
			c.grant("coder", "helper", "repo.commit", `{}`, under(top, 0), func(g *capability.Grant) { g.Subject.Key = c.keys["mallory"].String() })
		},
		"as a human": func(c *court) {
			c.grant("coder", "ben", "repo.commit", `{}`, under(top, 0), func(g *capability.Grant) {
				g.Subject.Kind, g.Subject.Accountable, g.Subject.Key = "human", "ben", c.keys["mallory"].String()
			})
		},
		"by an unknown parent": func(c *court) {
			c.grant("coder", "mallory", "repo.commit", `{}`, under(envelope.Digest("sha256:"+strings.Repeat("f", 64)), 0))
		},
	} {
		x := *c
		x.t, x.grants = t, slices.Clone(c.grants)
		add(&x)
		if d := x.ask("mallory", capability.Commit); d.Allowed {
			t.Errorf("a grant %s counts: %+v", name, d)
		}
		if a := x.fold(); len(a.Refused) == 0 {
			t.Errorf("a grant %s is not told", name)
		}
	}
}

func TestRevocation(t *testing.T) {
	c := newCourt(t)
	top := c.grant("ada", "coder", "repo.*", `{}`, depth(1))
	sub := c.grant("coder", "helper", "repo.commit", `{}`, under(top, 0))
	before := c.clock
	for who, want := range map[string]bool{"ada": true, "coder": true, "helper": true, "ben": false, "mallory": false} {
		x := *c
		x.ended = nil
		x.revoke(who, sub)
		if d := x.ask("helper", capability.Commit); d.Allowed == want {
			t.Errorf("revoked by %s: %+v", who, d)
		}
	}
	c.revoke("ada", top)
	for _, who := range []string{"coder", "helper"} {
		d := c.ask(who, capability.Commit)
		if d.Allowed || !strings.Contains(d.Reason, "revoked by ada") || !strings.Contains(d.Reason, "no more") {
			t.Errorf("%s after revocation: %+v", who, d)
		}
		if d := c.ask(who, capability.Commit, func(q *capability.Query) { q.EndedBy = before }); !d.Allowed {
			t.Errorf("%s as of before: %+v", who, d)
		}
	}
	if s := c.fold().State(sub, c.clock); s != capability.Ending {
		t.Errorf("the child is %s", s)
	}
	c.grant("ada", "coder", "repo.*", `{}`)
	if d := c.ask("coder", capability.Commit); !d.Allowed {
		t.Errorf("the same grant given again stays revoked: %+v", d)
	}
}

func TestTimeAndRemoval(t *testing.T) {
	c := newCourt(t)
	start := c.clock.Add(30 * time.Minute)
	end := start.Add(time.Hour)
	id := c.grant("ada", "coder", "repo.commit", `{}`, func(g *capability.Grant) {
		g.NotBefore, g.Expires = envelope.Timestamp(start), envelope.Timestamp(end)
	})
	for at, want := range map[time.Time]capability.State{
		start.Add(-time.Second): capability.Pending, start: capability.Active, end: capability.Active, end.Add(time.Second): capability.Expired,
	} {
		d := c.ask("coder", capability.Commit, func(q *capability.Query) { q.At = at })
		if d.Allowed != (want == capability.Active) || c.fold().State(id, at) != want {
			t.Errorf("at %s: %+v, %s", at, d, c.fold().State(id, at))
		}
	}
	// ada goes: what she gave lapses, or stands, and from then on she gives nothing.
	for _, lapse := range []bool{true, false} {
		x := newCourt(t)
		x.grant("ada", "coder", "repo.commit", `{}`)
		x.people[0].Until, x.people[0].Lapse = x.clock.Add(time.Minute), lapse
		x.people[0].Seen = []envelope.Head{{Ledger: x.grants[0].Ledger, Seq: x.grants[0].Seq}}
		if d := x.ask("coder", capability.Commit); d.Allowed == lapse {
			t.Errorf("lapse %v: %+v", lapse, d)
		}
		before := x.people[0].Until.Add(-time.Second)
		if d := x.ask("coder", capability.Commit, func(q *capability.Query) { q.At, q.EndedBy, q.Past = before, before, true }); !d.Allowed {
			t.Errorf("lapse %v: what others took in before goes with it: %s", lapse, d.Reason)
		}
		if d := x.ask("coder", capability.Commit, func(q *capability.Query) { q.At, q.EndedBy, q.Past = x.people[0].Until, x.people[0].Until, true }); d.Allowed == lapse {
			t.Errorf("lapse %v: when it was gone: %+v", lapse, d)
		}
		if d := x.ask("ada", capability.Commit); d.Allowed {
			t.Error("one who was removed still acts")
		}
		x.clock = x.clock.Add(time.Hour)
		x.grant("ada", "helper", "repo.commit", `{}`)
		if d := x.ask("helper", capability.Commit); d.Allowed {
			t.Error("one who was removed still gives")
		}
	}
	// An operator whom policy gives no action needs a grant for it.
	c.people[0].MayAct = func(a string) bool { return a == capability.Push }
	if c.ask("ada", capability.Commit).Allowed || !c.ask("ada", capability.Push).Allowed {
		t.Error("policy does not say what operators may do")
	}
}

// TestRootNamesItsKeys: no operator alone gives another key to a name of the trust root, of whatever kind: that takes as many as sign the root.
func TestRootNamesItsKeys(t *testing.T) {
	for _, kind := range []string{"human", "automation"} {
		c := newCourt(t)
		c.people = append(c.people, capability.Principal{Name: "third", Kind: kind, Accountable: "third", Keys: []identity.PublicKey{c.keys["third"]}})
		c.grant("ada", "third", "repo.push", `{}`, func(g *capability.Grant) { g.Subject.Kind, g.Subject.Accountable = kind, "third" })
		if d := c.ask("third", "repo.push"); !d.Allowed {
			t.Errorf("%s: its own key: %s", kind, d.Reason)
		}
		c.grant("ada", "third", "repo.*", `{}`, func(g *capability.Grant) {
			g.Subject.Kind, g.Subject.Accountable, g.Subject.Key = kind, "third", c.keys["mallory"].String()
		})
		if d := c.ask("mallory", "repo.commit"); d.Allowed {
			t.Errorf("%s: another key acts in its name", kind)
		}
		if _, ok := c.fold().ByKey(c.keys["mallory"].ID()); ok {
			t.Errorf("%s: another key is known as its own", kind)
		}
	}
}

// TestIntroductionEnds: what a new principal may do at first ends when an operator says what it may.
func TestIntroductionEnds(t *testing.T) {
	c := newCourt(t)
	intro := c.grant("ada", "coder", capability.Commit, `{}`, func(g *capability.Grant) { g.Introduction = true })
	other := func(q *capability.Query) { q.Changes = paths("README") }
	if d := c.ask("coder", capability.Commit, other); !d.Allowed {
		t.Fatalf("at first: %+v", d)
	}
	c.grant("ada", "coder", "repo.push", `{}`)
	if d := c.ask("coder", capability.Commit, other); !d.Allowed {
		t.Errorf("after a grant of something else: %+v", d)
	}
	id := c.grant("ada", "coder", "repo.*", `{"paths":["src/**"]}`)
	if d := c.ask("coder", capability.Commit, other); d.Allowed {
		t.Errorf("outside what it was given: %+v", d)
	}
	if d := c.ask("coder", capability.Commit); !d.Allowed {
		t.Errorf("within what it was given: %+v", d)
	}
	if s := c.fold().State(intro, c.clock); s != capability.Expired {
		t.Errorf("the introduction is %s", s)
	}
	at := c.grants[0].Time.Add(time.Second)
	if d := c.ask("coder", capability.Commit, other, func(q *capability.Query) { q.At = at }); !d.Allowed {
		t.Errorf("as of before: %+v", d)
	}
	c.revoke("ada", id)
	if d := c.ask("coder", capability.Commit, other); d.Allowed {
		t.Errorf("the introduction came back: %+v", d)
	}
}

// TestSuperseded: it is known beforehand which introduction a grant takes the place of.
func TestSuperseded(t *testing.T) {
	c := newCourt(t)
	intro := c.grant("ada", "coder", capability.Commit, `{}`, func(g *capability.Grant) { g.Introduction = true })
	for action, want := range map[string]int{capability.Commit: 1, "repo.*": 1, capability.Push: 0} {
		got := c.fold().Superseded("coder", action, c.clock)
		if len(got) != want || want == 1 && got[0].ID != intro {
			t.Errorf("%s: %v", action, got)
		}
	}
	if got := c.fold().Superseded("helper", capability.Commit, c.clock); len(got) != 0 {
		t.Errorf("another's: %v", got)
	}
	c.grant("ada", "coder", capability.Commit, `{"paths":["src/**"]}`)
	if got := c.fold().Superseded("coder", capability.Commit, c.clock); len(got) != 0 {
		t.Errorf("what ended already: %v", got)
	}
}

// TestThrough: a refusal is told by the whole line, down to the grant of who asked.
func TestThrough(t *testing.T) {
	c := newCourt(t)
	top := c.grant("ada", "coder", "repo.*", `{"paths":["src/**"]}`, depth(2))
	mid := c.grant("coder", "helper", capability.Commit, `{}`, under(top, 1))
	own := c.grant("helper", "third", capability.Commit, `{}`, under(mid, 0))
	ids := func(list []capability.Given) (out []envelope.Digest) {
		for _, g := range list {
			out = append(out, g.ID)
		}
		return out
	}
	q := capability.Query{KeyID: c.keys["third"].ID(), Action: capability.Commit, At: c.clock.Add(time.Hour), Changes: paths("README")}
	a := c.fold()
	d := a.Decide(q)
	if got := ids(a.Through(&q, d.Refused)); d.Refused != top || !slices.Equal(got, []envelope.Digest{top, mid, own}) {
		t.Errorf("refused by %s: %v", d.Refused, got)
	}
	c.revoke("ada", mid)
	a = c.fold()
	d = a.Decide(q)
	if got := ids(a.Through(&q, d.Refused)); !slices.Equal(got, []envelope.Digest{top, mid, own}) {
		t.Errorf("revoked, refused by %s: %v", d.Refused, got)
	}
}

// FuzzScope: a scope that is read, and is right for its action, is written as it was read.
func FuzzScope(f *testing.F) {
	f.Add("repo.commit", `{"version":1,"paths":["src/**"],"max_files":3}`)
	f.Add("memory.read", `{"tiers":[]}`)
	f.Fuzz(func(t *testing.T, action, text string) {
		s, err := capability.ParseScope([]byte(text))
		if err != nil || s.Validate(action) != nil {
			return
		}
		g := capability.Grant{Action: action, Scope: s}
		_ = g.Validate()
		a, err := capability.ParseScope([]byte(text))
		if err != nil || fmt.Sprintf("%+v", a) == "" {
			t.Fatal("read twice, it differs")
		}
	})
}
