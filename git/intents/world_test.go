package intents_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/intent"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/intents"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// clock gives each act of all clones a second of its own.
type clock struct{ at time.Time }

func (c *clock) now() time.Time {
	c.at = c.at.Add(time.Second)
	return c.at
}

// world is a clone of a real repository that alice governs.
type world struct {
	t     testing.TB
	dir   string
	home  string
	env   []string
	pin   envelope.Digest
	keys  map[string]identity.Signer
	clock *clock
}

func newWorld(t testing.TB, agents ...string) *world {
	t.Helper()
	home := t.TempDir()
	w := &world{t: t, home: filepath.Join(home, "covenant"), dir: filepath.Join(t.TempDir(), "repo"), keys: map[string]identity.Signer{}, clock: &clock{time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}}
	w.env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "XDG_CONFIG_HOME=" + home, "GIT_CONFIG_NOSYSTEM=1", "TZ=UTC", "LC_ALL=C",
		"GIT_AUTHOR_NAME=Alice", "GIT_AUTHOR_EMAIL=alice@example.org", "GIT_COMMITTER_NAME=Alice", "GIT_COMMITTER_EMAIL=alice@example.org",
	}
	if err := os.MkdirAll(w.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(w.home, 0o700); err != nil {
		t.Fatal(err)
	}
	w.git("init", "-q", "-b", "main")
	w.git("commit", "-q", "--allow-empty", "-m", "x")
	for _, name := range append([]string{"alice"}, agents...) {
		k, err := identity.Generate(filepath.Join(home, name), name, nil)
		if err != nil {
			t.Fatal(err)
		}
		w.keys[name] = k
	}
	r, err := provenance.Found(context.Background(), w.session(), provenance.Founder{Name: "alice", Emails: []string{"alice@example.org"}, Signer: w.keys["alice"]}, w.clock.now())
	if err != nil {
		t.Fatal(err)
	}
	w.pin = r.ID
	w.git("config", provenance.PinKey, string(r.ID))
	for _, name := range agents {
		w.grant(name, "intent.*", capability.Whole, "")
	}
	return w
}

// clone is another clone, with all that is here.
func (w *world) clone() *world {
	w.t.Helper()
	out := *w
	out.dir = filepath.Join(w.t.TempDir(), "clone")
	w.git("clone", "-q", w.dir, out.dir)
	out.git("config", provenance.PinKey, string(w.pin))
	out.home = filepath.Join(w.t.TempDir(), "covenant")
	if err := os.MkdirAll(out.home, 0o700); err != nil {
		w.t.Fatal(err)
	}
	out.fetch(w)
	return &out
}

// fetch takes what another clone has.
func (w *world) fetch(from *world) {
	w.t.Helper()
	cmd := exec.Command("git", "fetch", "-q", from.dir, "refs/covenant/*:refs/covenant/*")
	cmd.Dir, cmd.Env = w.dir, w.env
	if out, err := cmd.CombinedOutput(); err != nil && len(out) > 0 && !strings.Contains(string(out), "rejected") { // ours may be further
		w.t.Fatalf("fetch: %v\n%s", err, out)
	}
}

func (w *world) git(args ...string) string {
	w.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Env = w.dir, w.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Fatalf("git %q: %v\n%s", args, err, out)
	}
	return strings.TrimRight(string(out), "\n")
}

func (w *world) session() *git.Session {
	w.t.Helper()
	r, err := git.Open(context.Background(), git.Options{Dir: w.dir, Env: w.env})
	if err != nil {
		w.t.Fatal(err)
	}
	s := r.Session(context.Background())
	w.t.Cleanup(func() { _ = s.Close() })
	return s
}

// sealer is the hand of somebody, now or at a time that they choose.
func (w *world) sealer(name string, at ...time.Time) *provenance.Sealer {
	w.t.Helper()
	s := w.session()
	f, err := provenance.LoadAuthority(context.Background(), s, w.pin)
	if err != nil {
		w.t.Fatal(err)
	}
	p, ok := f.Authority.ByName(name)
	if !ok {
		w.t.Fatalf("no %s", name)
	}
	k := &provenance.Sealer{Session: s, Root: f.Root, Authority: f.Authority, Hand: provenance.Hand{Principal: p, Signer: w.keys[name]}, Moment: "test", Now: w.clock.now}
	if len(at) > 0 {
		k.Now = func() time.Time { return at[0] }
	}
	return k
}

func (w *world) grant(name, action string, scope capability.Scope, expires string) envelope.Digest {
	w.t.Helper()
	id, err := w.sealer("alice").Grant(context.Background(), capability.Grant{
		Action: action, Scope: scope, Expires: expires, Subject: capability.Subject{Key: w.keys[name].Public().String(), Kind: "agent", Name: name},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

func (w *world) revoke(id envelope.Digest) {
	w.t.Helper()
	if _, err := w.sealer("alice").Revoke(context.Background(), capability.Revocation{Grant: id}); err != nil {
		w.t.Fatal(err)
	}
}

// book reads the intents, from memory, or without.
func (w *world) book(remembered bool) *intents.Book {
	w.t.Helper()
	s := w.session()
	r, err := provenance.OpenRoot(s, w.pin)
	if err != nil {
		w.t.Fatal(err)
	}
	var c *provenance.Cache
	if remembered {
		c = provenance.OpenCache(s.Repo(), w.home)
	}
	b, err := intents.Open(context.Background(), s, r, c)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(b.Close)
	return b
}

func (w *world) open(name string, f intent.Fields) intent.ID {
	w.t.Helper()
	if f.Text == "" {
		f.Text = "do it"
	}
	f.Title, f.Priority, f.Role = intent.TitleOf(f.Text), intent.Medium, intent.Implementer
	id, _, err := w.book(false).Begin(context.Background(), w.sealer(name), intent.Opened{Fields: f})
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

func (w *world) move(name string, id intent.ID, states ...intent.State) {
	w.t.Helper()
	for _, to := range states {
		if _, err := w.book(true).Move(context.Background(), w.sealer(name), id, intents.Step{To: to}); err != nil {
			w.t.Fatalf("%s to %s: %v", name, to, err)
		}
	}
}

// write records a move as it is, whatever our own commands would say of it; from is whoever signs, at whatever time.
func (w *world) write(name string, m intent.Moved, at ...time.Time) envelope.Digest {
	w.t.Helper()
	made, err := w.sealer(name, at...).Record(context.Background(), intent.Topic, provenance.Item{Type: intent.MovedType, Body: m, Subject: "x"})
	if err != nil {
		w.t.Fatal(err)
	}
	return made[0].ID
}

// forge records a move in a ledger of another replica, and says to have seen nothing: what somebody does with a program of their own.
func (w *world) forge(name string, m intent.Moved, at time.Time, repository envelope.Digest) (envelope.Digest, ledger.Name) {
	w.t.Helper()
	s := w.session()
	key := w.keys[name]
	n := ledger.Name{Topic: intent.Topic, Writer: ledger.NewWriter(key.Public().Digest(), [4]byte{0xf0, byte(len(name)), 1, 1})}
	var id envelope.Digest
	seqOf := func(ledger.Name, oid.ID, *envelope.Envelope) (uint64, error) { return 0, nil }
	err := ledger.Update(context.Background(), s, seqOf, []string{ledger.Prefix}, nil, func(tx *ledger.Tx) error {
		a, err := tx.Append(n, func(seq uint64, prev envelope.Digest) (ledger.Entry, error) {
			h := envelope.Header{Prev: prev, Repository: repository, Seq: seq, Time: envelope.Timestamp(at), Topic: n.Topic, Writer: string(n.Writer)}
			payload, err := envelope.Statement(intent.MovedType, h, m)
			if err != nil {
				return ledger.Entry{}, err
			}
			e, err := envelope.Seal(envelope.TypeLedger, payload, envelope.SealWith{KeyID: key.Public().ID(), Signer: key})
			return ledger.Entry{Envelope: e, Subject: "x", Author: name, When: at}, err
		})
		id = a.ID
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return id, n
}

// last is the statement that a next one must follow.
func (w *world) last(id intent.ID) envelope.Digest {
	w.t.Helper()
	s, err := w.book(false).Intent(id)
	if err != nil {
		w.t.Fatal(err)
	}
	return s.Last
}

func (w *world) state(id intent.ID) intent.State {
	w.t.Helper()
	s, err := w.book(true).Intent(id)
	if err != nil {
		w.t.Fatal(err)
	}
	return s.State
}

// why says why a statement does not count; "" when it does.
func (w *world) why(id intent.ID, entry envelope.Digest) string {
	w.t.Helper()
	s, err := w.book(true).Intent(id)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, x := range s.Steps {
		if x.ID == entry {
			return x.Why
		}
	}
	return "it is not there"
}
