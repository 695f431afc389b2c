package provenance_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/identity"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// grant gives somebody repo.commit of everything, or what change makes of it.
func (w *world) grant(by, to string, change func(*capability.Grant)) envelope.Digest {
	w.t.Helper()
	g := capability.Grant{Action: capability.Commit, Scope: capability.Whole, Subject: capability.Subject{
		Emails: []string{"alice@example.org"}, Key: w.keys[to].Public().String(), Kind: "agent", Name: to,
	}}
	if change != nil {
		change(&g)
	}
	id, err := w.sealer(w.session(), by).Grant(context.Background(), g)
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

func (w *world) revoke(by string, grant envelope.Digest) {
	w.t.Helper()
	if _, err := w.sealer(w.session(), by).Revoke(context.Background(), capability.Revocation{Grant: grant, Reason: "no more"}); err != nil {
		w.t.Fatal(err)
	}
}

func scope(t testing.TB, text string) capability.Scope {
	t.Helper()
	s, err := capability.ParseScope([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// looks appends an entry that says nothing to somebody's ledger: it names the heads that moved.
func (w *world) looks(who string) {
	w.t.Helper()
	if _, err := w.sealer(w.session(), who).Record(context.Background(), prov.Topic, provenance.Item{Type: "note.said/v1", Body: map[string]any{}, Subject: "looks"}); err != nil {
		w.t.Fatal(err)
	}
}

// sealedChange commits a change of a path, which who seals.
func (w *world) sealedChange(who, path string) oid.ID {
	w.t.Helper()
	w.write(path, path+w.clock.String())
	w.git("add", ".")
	id := w.made(path + " by " + who)
	w.seal(who, prov.Witness, "HEAD")
	return id
}

// young is a world with an operator alice, a human ben without any grant, whose key is mallory's, and nobody else.
func young(t testing.TB) *world {
	t.Helper()
	w := newWorld(t, "sha1")
	w.write("f", "from before\n")
	w.git("add", ".")
	w.made("before")
	w.found()
	w.keys["ben"] = w.keys["mallory"]
	w.adopted(func(r *trust.Root) error { return r.Add("ben", "", nil, w.keys["ben"].Public()) }, "alice")
	w.policy(`{"version":1,"protected":["refs/heads/main"]}`)
	return w
}

// Expiry is judged when an entry of another accountable principal first saw the seal, else now.
func TestExpiryWhenSeen(t *testing.T) {
	const hour = time.Hour
	type act struct {
		after time.Duration // since the grant was given, which lasts two hours
		do    func(*world)
	}
	look := func(who string) func(*world) { return func(w *world) { w.looks(who) } }
	for _, c := range []struct {
		name  string
		acts  []act
		judge time.Duration
		want  string
	}{
		{"in force", nil, hour, "sealed []"},
		{"seen by nobody", nil, 3 * hour, "invalid [seal.authority]"},
		{"seen by an operator in time", []act{{hour, look("alice")}}, 3 * hour, "sealed []"},
		{"seen by a human without grants in time", []act{{hour, look("ben")}}, 3 * hour, "sealed []"},
		{"seen too late", []act{{3 * hour, look("alice")}}, 4 * hour, "invalid [seal.authority]"},
		{"seen by another agent in time", []act{{hour, look("helper")}}, 3 * hour, "invalid [seal.authority]"},
		{"seen by its own writer in time", []act{{hour, look("coder")}}, 3 * hour, "invalid [seal.authority]"},
		{"seen by an agent in time, and by an operator later", []act{{hour, look("helper")}, {3 * hour, look("alice")}}, 4 * hour, "invalid [seal.authority]"},
		{"seen later by one, and by another in time", []act{{hour, look("ben")}, {3 * hour, look("alice")}}, 4 * hour, "sealed []"},
		{"seen before the seal only", nil, 3 * hour, "invalid [seal.authority]"},
		{"admitted in time", []act{{hour, func(w *world) { w.admit("alice", "refs/heads/main", w.oid("HEAD~1"), w.oid("HEAD")) }}}, 3 * hour, "sealed []"},
		{"admitted in time by automation of the trust root", []act{{hour, func(w *world) { w.admit("server", "refs/heads/main", w.oid("HEAD~1"), w.oid("HEAD")) }}}, 3 * hour, "sealed []"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := young(t)
			if strings.HasSuffix(c.name, "by automation of the trust root") {
				var err error
				if w.keys["server"], err = identity.Generate(filepath.Join(t.TempDir(), "server"), "server", nil); err != nil {
					t.Fatal(err)
				}
				w.adopted(func(r *trust.Root) error { return r.Add("server", trust.Automation, nil, w.keys["server"].Public()) }, "alice")
				w.grant("alice", "server", func(g *capability.Grant) { g.Action, g.Subject.Kind = capability.Push, "automation" })
			}
			start := w.clock
			w.grant("alice", "helper", nil)
			w.grant("alice", "coder", func(g *capability.Grant) { g.Expires = envelope.Timestamp(start.Add(2 * hour)) })
			if strings.HasPrefix(c.name, "seen before") {
				w.looks("alice")
			}
			id := w.sealedChange("coder", "a")
			for _, a := range c.acts {
				w.clock = start.Add(a.after)
				a.do(w)
			}
			w.clock = start.Add(c.judge)
			if r := w.one(id, false); codes(r) != c.want {
				t.Errorf("%s: %+v", codes(r), r.Findings)
			}
		})
	}
}

// Revocation is judged now, whoever saw the seal before, unless somebody else had
// taken the commit into a protected ref, and was allowed to.
func TestRevocationUnlessAdmitted(t *testing.T) {
	head := func(w *world) oid.ID { return w.oid("HEAD") }
	before := func(w *world) oid.ID { return w.oid("HEAD~1") }
	for _, c := range []struct {
		name        string
		first, then func(*world) // before and after the revocation
		want        string
	}{
		{"nobody admitted it", nil, nil, "invalid [seal.authority]"},
		{"seen before", func(w *world) { w.looks("alice") }, nil, "invalid [seal.authority]"},
		{"admitted before", func(w *world) { w.admit("alice", "refs/heads/main", before(w), head(w)) }, nil, "sealed []"},
		{"admitted after", nil, func(w *world) { w.admit("alice", "refs/heads/main", before(w), head(w)) }, "invalid [seal.authority]"},
		{"admitted before with what followed", func(w *world) {
			was := head(w)
			w.sealedChange("alice", "b")
			w.admit("alice", "refs/heads/main", was, head(w))
		}, nil, "sealed []"},
		{"what came before it was admitted", func(w *world) { w.admit("alice", "refs/heads/main", oid.ID{}, before(w)) }, nil, "invalid [seal.authority]"},
		{"admitted before to a ref nobody protects", func(w *world) { w.admit("alice", "refs/heads/agent/x", before(w), head(w)) }, nil, "invalid [seal.authority]"},
		{"admitted before by who may not", func(w *world) { w.admit("ben", "refs/heads/main", before(w), head(w)) }, nil, "invalid [seal.authority]"},
		{"admitted before by itself", func(w *world) {
			w.grant("alice", "coder", func(g *capability.Grant) { g.Action = capability.Push })
			w.admit("coder", "refs/heads/main", before(w), head(w))
		}, nil, "invalid [seal.authority]"},
		{"admitted before by an agent that may", func(w *world) {
			w.grant("alice", "helper", func(g *capability.Grant) { g.Action = capability.Push })
			w.admit("helper", "refs/heads/main", before(w), head(w))
		}, nil, "sealed []"},
		{"admitted in the future", func(w *world) {
			was := w.clock
			w.clock = was.Add(365 * 24 * time.Hour)
			w.admit("alice", "refs/heads/main", before(w), head(w))
			w.clock = was
		}, nil, "invalid [seal.authority]"},
		{"the key that admitted it was stolen by then", func(w *world) {
			w.adopted(func(r *trust.Root) error { return r.Promote("ben") }, "alice", "ben")
			w.admit("ben", "refs/heads/main", before(w), head(w))
			stolen := envelope.Timestamp(w.clock.Add(-time.Second))
			w.adopted(func(r *trust.Root) error {
				return r.Remove("ben", trust.Leaving{Grants: trust.Lapse, Compromised: stolen})
			}, "alice")
		}, nil, "invalid [seal.authority]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := young(t)
			g := w.grant("alice", "coder", nil)
			id := w.sealedChange("coder", "a")
			if c.first != nil {
				c.first(w)
			}
			judge := func() verdict.Result {
				t.Helper()
				res, _, err := w.verify(false, "main")
				if err != nil {
					t.Fatal(err)
				}
				return res[id]
			}
			if r := judge(); r.Verdict != verdict.Sealed {
				t.Fatalf("while it stands: %s %+v", codes(r), r.Findings)
			}
			w.now()
			w.revoke("alice", g)
			w.now()
			if c.then != nil {
				c.then(w)
			}
			w.now()
			if r := judge(); codes(r) != c.want {
				t.Errorf("%s: %+v", codes(r), r.Findings)
			}
		})
	}
}

// What an introduction let its holder do ends when somebody says what it may: for
// later commits also where the sealer does not know yet, for earlier ones not.
func TestIntroductionSuperseded(t *testing.T) {
	w := young(t)
	w.grant("alice", "coder", func(g *capability.Grant) { g.Introduction = true })
	early := w.sealedChange("coder", "docs/a")
	unseen := w.sealedChange("coder", "docs/b")
	w.now()
	stale := w.sealer(w.session(), "coder") // knows the introduction only
	w.grant("alice", "coder", func(g *capability.Grant) { g.Action, g.Scope = capability.Vouch, scope(t, `{"version":1}`) })
	if r := w.one(early, false); r.Verdict != verdict.Sealed {
		t.Fatalf("a grant of another action ends nothing: %s %+v", codes(r), r.Findings)
	}
	w.now()
	w.grant("alice", "coder", func(g *capability.Grant) { g.Scope = scope(t, `{"version":1,"paths":["src/**"]}`) })
	w.now()
	for _, id := range []oid.ID{early, unseen} { // the grant's own entry saw them
		if r := w.one(id, false); r.Verdict != verdict.Sealed {
			t.Errorf("from before: %s %+v", codes(r), r.Findings)
		}
	}
	if r := w.one(w.sealedChange("coder", "src/a"), false); r.Verdict != verdict.Sealed {
		t.Errorf("what it may: %s %+v", codes(r), r.Findings)
	}
	w.write("docs/c", "c")
	w.git("add", ".")
	late := w.made("late")
	commits, err := provenance.Commits(stale.Session, late.String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stale.Seal(context.Background(), prov.Witness, "refs/heads/main", commits); err != nil {
		t.Fatalf("the stale sealer knew: %v", err)
	}
	if r := w.one(late, false); codes(r) != "invalid [seal.authority]" {
		t.Errorf("after: %s %+v", codes(r), r.Findings)
	}
}

// A grant handed on twice verifies in a repository, in whatever order the ledgers come,
// and falls with any link.
func TestDelegatedChain(t *testing.T) {
	w := newWorld(t, "sha1")
	// Ledgers are read in the order of their names: the last one to be introduced comes first.
	names := []string{"helper", "coder", "alice"}
	keys := []identity.Signer{w.keys["alice"], w.keys["coder"], w.keys["helper"]}
	slices.SortFunc(keys, func(a, b identity.Signer) int {
		x, y := a.Public().Digest(), b.Public().Digest()
		return slices.Compare(x[:], y[:])
	})
	for i, n := range names {
		w.keys[n] = keys[i]
	}
	w.made("before")
	w.found()
	first := w.grant("alice", "coder", func(g *capability.Grant) { g.Delegable = 2 })
	second := w.grant("coder", "helper", func(g *capability.Grant) {
		g.Delegable, g.Parent, g.Scope = 1, first, scope(t, `{"version":1,"paths":["src/**"]}`)
	})
	third := w.grant("helper", "mallory", func(g *capability.Grant) { g.Parent, g.Scope = second, scope(t, `{"version":1,"paths":["*/a"]}`) })
	f, err := provenance.Load(context.Background(), w.session(), w.pin)
	if err != nil {
		t.Fatal(err)
	}
	var ledgers []string
	for name := range f.Chains {
		ledgers = append(ledgers, name)
	}
	slices.Sort(ledgers)
	if len(ledgers) != 3 || f.Chains[ledgers[0]].Entries[0].KeyID != w.keys["helper"].Public().ID() || f.Chains[ledgers[2]].Entries[0].KeyID != w.keys["alice"].Public().ID() {
		t.Fatalf("the ledgers do not come in the hard order: %v", ledgers)
	}
	if len(f.Problems) > 0 {
		t.Errorf("%+v", f.Problems)
	}
	id := w.sealedChange("mallory", "src/a")
	r := w.one(id, true)
	if r.Verdict != verdict.Sealed || r.Principal.Accountable != "alice" || !slices.Equal(r.Seal.Seal.Predicate.Grants, []envelope.Digest{first, second, third}) {
		t.Fatalf("%s %+v %v", codes(r), r.Principal, r.Findings)
	}
	for _, path := range []string{"docs/a", "src/b"} { // outside what the second, and the third, allow
		w.write(path, path)
		w.git("add", ".")
		w.made(path)
		commits, err := provenance.Commits(w.session(), "HEAD")
		if err != nil {
			t.Fatal(err)
		}
		if made, err := w.sealer(w.session(), "mallory").Seal(context.Background(), prov.Witness, "refs/heads/main", commits); err == nil {
			t.Errorf("%s: %v", path, made)
		}
	}
	by := w.sealedChange("coder", "src/c")
	w.now()
	w.revoke("coder", second)
	w.now()
	if r := w.one(id, false); codes(r) != "invalid [seal.authority]" {
		t.Errorf("with the second revoked: %s", codes(r))
	}
	if r := w.one(by, false); r.Verdict != verdict.Sealed {
		t.Errorf("the first is not: %s", codes(r))
	}
}

// generous allows everything, on the strength of what it is told to name.
type generous []envelope.Digest

func (g generous) Decide(capability.Query) capability.Decision {
	return capability.Decision{Allowed: true, Grants: g, Checkers: []string{"generous"}}
}

// The grants a seal names are a line from an operator's down to its key, or the seal is refused.
func TestGrantsOfASealAreALine(t *testing.T) {
	w := newWorld(t, "sha1")
	w.made("before")
	w.found()
	top := w.grant("alice", "coder", func(g *capability.Grant) { g.Delegable = 1 })
	other := w.grant("alice", "coder", nil)
	handed := w.grant("coder", "helper", func(g *capability.Grant) { g.Parent = top })
	own := w.grant("alice", "helper", nil)
	unknown := envelope.Digest("sha256:" + strings.Repeat("7", 64))
	for _, c := range []struct {
		name   string
		grants generous
		ok     bool
	}{
		{"the line handed on", generous{top, handed}, true},
		{"its own", generous{own}, true},
		{"none", generous{}, false},
		{"another's", generous{top}, false},
		{"the end alone", generous{handed}, false},
		{"the wrong way round", generous{handed, top}, false},
		{"another beginning", generous{other, handed}, false},
		{"too many", generous{own, top, handed}, false},
		{"two of its own", generous{top, handed, own}, false},
		{"one that nobody knows", generous{unknown}, false},
		{"one that nobody knows before its own", generous{unknown, own}, false},
	} {
		w.write("a", c.name)
		w.git("add", ".")
		id := w.made(c.name)
		k := w.sealer(w.session(), "helper")
		k.Asker = c.grants
		commits, err := provenance.Commits(k.Session, "HEAD")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Seal(context.Background(), prov.Witness, "refs/heads/main", commits); err != nil {
			t.Fatal(err)
		}
		want := "invalid [seal.grant]"
		if c.ok {
			want = "sealed []"
		}
		if r := w.one(id, false); codes(r) != want {
			t.Errorf("%s: %s", c.name, codes(r))
		}
	}
}

// Where a ledger breaks, grants count no more, and revocations on either side still do.
func TestForkedGrants(t *testing.T) {
	for _, c := range []struct{ name, want string }{{"revocation", "invalid [seal.authority]"}, {"grant", "sealed []"}} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, "sha1")
			w.made("before")
			w.found()
			g := w.grant("alice", "coder", nil)
			id := w.sealedChange("coder", "a")
			ref := provenance.LedgerOf(t, w.sealer(w.session(), "alice"), provenance.CapabilityTopic).Ref()
			fork := w.git("rev-parse", ref)
			if c.name == "revocation" {
				w.revoke("alice", g)
			} else {
				w.grant("alice", "helper", nil)
			}
			losing := w.git("rev-parse", ref)
			// Alice's other machine, or whoever has her key, went on from the same entry.
			w.git("update-ref", ref, fork)
			if err := os.RemoveAll(filepath.Join(w.dir, ".git", "covenant", "seen")); err != nil { // what this clone remembers of its own ledger
				t.Fatal(err)
			}
			w.grant("alice", "mallory", nil)
			winning := w.git("rev-parse", ref)
			if winning == losing || w.git("rev-parse", winning+"^") != fork {
				t.Fatal("this is no fork")
			}
			// Both sides come in one chain, as a server that hides neither would show them.
			w.git("update-ref", ref, w.gitIn("both\n", "commit-tree", losing+"^{tree}", "-p", winning))
			r := w.one(id, false)
			if codes(r) != c.want {
				t.Errorf("%s: %+v", codes(r), r.Findings)
			}
			f, err := provenance.Load(context.Background(), w.session(), w.pin)
			if err != nil {
				t.Fatal(err)
			}
			if !has(f.Problems, verdict.LedgerOrder) {
				t.Errorf("nobody says that it is broken: %+v", f.Problems)
			}
			if _, ok := f.Authority.ByName("helper"); ok {
				t.Error("a grant behind the break counts")
			}
			if _, ok := f.Authority.ByName("mallory"); !ok {
				t.Error("a grant before the break does not count")
			}
		})
	}
}

// Who holds a grant, or gave it as an agent, does not undo what others took in by a date: only an operator's word goes back.
func TestRevocationBackdated(t *testing.T) {
	for _, c := range []struct {
		by   string
		seen bool // by an operator, before the admission
		want string
	}{
		{"coder", false, "sealed []"},
		{"coder", true, "invalid [seal.authority]"},
		{"alice", false, "invalid [seal.authority]"},
	} {
		w := young(t)
		start := w.clock
		g := w.grant("alice", "coder", nil)
		id := w.sealedChange("coder", "a")
		admit := func() { w.admit("alice", "refs/heads/main", w.oid("HEAD~1"), w.oid("HEAD")) }
		back := func() { w.revoke(c.by, g) }
		if c.seen {
			w.clock = start.Add(time.Hour)
			back()
			w.clock = start.Add(2 * time.Hour)
			w.looks("alice")
			admit()
		} else {
			w.clock = start.Add(2 * time.Hour)
			admit()
			w.clock = start.Add(time.Hour) // a claim
			back()
		}
		w.clock = start.Add(3 * time.Hour)
		cache := provenance.OpenCache(w.session().Repo(), t.TempDir())
		for _, o := range []provenance.Options{{}, {Cache: cache}, {Cache: cache}} { // at once, remembering, remembered
			if r := w.judged(id, "refs/heads/main", o); codes(r) != c.want {
				t.Errorf("%+v, cache %v: %s: %+v", c, o.Cache != nil, codes(r), r.Findings)
			}
		}
	}
}

// Of two agents who introduce one key, or one name, the one that somebody accountable saw first did: nobody takes a
// helper's place with a date.
func TestSquatting(t *testing.T) {
	for _, name := range []string{"helper", "squatter"} { // the helper's name for another key; another name for its key
		w := newWorld(t, "sha1")
		w.made("before")
		w.found()
		start := w.clock
		first := w.grant("alice", "coder", func(g *capability.Grant) { g.Delegable = 1 })
		evil := w.grant("alice", "mallory", func(g *capability.Grant) { g.Delegable = 1 })
		key := w.keys["helper"].Public()
		if name == "helper" {
			other, err := identity.Generate(filepath.Join(t.TempDir(), "k"), "k", nil)
			if err != nil {
				t.Fatal(err)
			}
			key = other.Public()
		}
		w.clock = start.Add(2 * time.Hour)
		w.grant("coder", "helper", func(g *capability.Grant) { g.Parent = first })
		id := w.sealedChange("helper", "a")
		w.clock = start.Add(3 * time.Hour)
		w.looks("alice")
		w.clock = start.Add(time.Hour) // a claim
		g := capability.Grant{
			Action: capability.Commit, Scope: capability.Whole, Parent: evil, Serial: strings.Repeat("5", 32),
			Subject: capability.Subject{Accountable: "alice", Emails: []string{}, Key: key.String(), Kind: "agent", Name: name},
		}
		if _, err := w.sealer(w.session(), "mallory").Record(context.Background(), provenance.CapabilityTopic, provenance.Item{Type: capability.Granted, Body: g, Subject: "squat"}); err != nil {
			t.Fatal(err)
		}
		w.clock = start.Add(4 * time.Hour)
		cache := provenance.OpenCache(w.session().Repo(), t.TempDir())
		for _, o := range []provenance.Options{{}, {Cache: cache}, {Cache: cache}} {
			if r := w.judged(id, "refs/heads/main", o); r.Verdict != verdict.Sealed || r.Principal.Name != "helper" {
				t.Errorf("%s, cache %v: %s %+v: %+v", name, o.Cache != nil, codes(r), r.Principal, r.Findings)
			}
		}
		f, err := provenance.Load(context.Background(), w.session(), w.pin)
		if err != nil || len(f.Problems) != 1 || f.Problems[0].Code != verdict.GrantRefused {
			t.Errorf("%s: %+v %v", name, f.Problems, err)
		}
	}
}
