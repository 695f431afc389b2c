package audit_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/event"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/audit"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// world is a real repository that alice governs.
type world struct {
	t     testing.TB
	dir   string
	home  string
	env   []string
	pin   envelope.Digest
	alice identity.Signer
	clock time.Time
}

func newWorld(t testing.TB) *world {
	t.Helper()
	home := t.TempDir()
	w := &world{t: t, home: filepath.Join(home, "covenant"), dir: filepath.Join(t.TempDir(), "repo"), clock: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	w.env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "XDG_CONFIG_HOME=" + home, "GIT_CONFIG_NOSYSTEM=1", "TZ=UTC", "LC_ALL=C",
		"GIT_AUTHOR_NAME=Alice", "GIT_AUTHOR_EMAIL=alice@example.org", "GIT_COMMITTER_NAME=Alice", "GIT_COMMITTER_EMAIL=alice@example.org",
	}
	if err := os.Mkdir(w.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	w.git("init", "-q", "-b", "main")
	w.git("commit", "-q", "--allow-empty", "-m", "x")
	var err error
	if w.alice, err = identity.Generate(filepath.Join(home, "alice"), "alice", nil); err != nil {
		t.Fatal(err)
	}
	r, err := provenance.Found(context.Background(), w.session(), provenance.Founder{Name: "alice", Emails: []string{"alice@example.org"}, Signer: w.alice}, w.now())
	if err != nil {
		t.Fatal(err)
	}
	w.pin = r.ID
	w.git("config", provenance.PinKey, string(r.ID))
	return w
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

func (w *world) now() time.Time {
	w.clock = w.clock.Add(time.Second)
	return w.clock
}

func (w *world) facts() *provenance.Facts {
	w.t.Helper()
	f, err := provenance.Load(context.Background(), w.session(), w.pin)
	if err != nil {
		w.t.Fatal(err)
	}
	return f
}

func (w *world) sealer() *provenance.Sealer {
	w.t.Helper()
	s := w.session()
	f, err := provenance.Load(context.Background(), s, w.pin)
	if err != nil {
		w.t.Fatal(err)
	}
	p, ok := f.Authority.ByName("alice")
	if !ok {
		w.t.Fatal("no alice")
	}
	return &provenance.Sealer{Session: s, Root: f.Root, Authority: f.Authority, Hand: provenance.Hand{Principal: p, Signer: w.alice}, Moment: "test", Now: w.now}
}

func (w *world) note(texts ...string) []audit.Place {
	w.t.Helper()
	var list []event.Event
	for _, text := range texts {
		list = append(list, event.Event{Kind: "note", Data: map[string]any{"text": text}})
	}
	places, err := audit.Append(context.Background(), w.sealer(), false, list...)
	if err != nil {
		w.t.Fatal(err)
	}
	return places
}

func (w *world) checkpoint() *audit.Made {
	w.t.Helper()
	m, err := w.sign(w.sealer())
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

func (w *world) cache(s *git.Session) *provenance.Cache {
	return provenance.OpenCache(s.Repo(), w.home)
}

func (w *world) sign(k *provenance.Sealer) (*audit.Made, error) {
	return audit.Checkpoint(context.Background(), k, w.cache(k.Session))
}

// wrong returns what is wrong with the record: codes of problems, and checkpoints that do not hold.
func (w *world) wrong() []string {
	w.t.Helper()
	f := w.facts()
	var out []string
	for _, p := range f.Problems {
		out = append(out, string(p.Code))
	}
	signed, err := f.Signed(w.clock)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, s := range signed {
		if s.Err != nil {
			out = append(out, string(provenance.CheckpointWrong))
		}
	}
	return out
}

// rewrite makes a ledger of other entries, in fresh commits, as whoever may write refs can.
func (w *world) rewrite(name ledger.Name, change func(blobs [][]byte) [][]byte) {
	w.t.Helper()
	s := w.session()
	var blobs [][]byte
	for _, id := range strings.Fields(w.git("rev-list", "--reverse", name.Ref())) {
		o, err := s.Object(id+":"+ledger.File, envelope.MaxSize)
		if err != nil {
			w.t.Fatal(err)
		}
		blobs = append(blobs, o.Data)
	}
	var parents []oid.ID
	who := git.Ident{Name: "x", Email: "x", When: w.now()}
	var tip oid.ID
	for _, b := range change(blobs) {
		tree, err := git.EncodeTree([]git.TreeEntry{{Mode: git.ModeFile, Name: ledger.File, ID: s.Put("blob", b)}})
		if err != nil {
			w.t.Fatal(err)
		}
		tip = s.Put("commit", git.EncodeCommit(s.Put("tree", tree), parents, who, who, "x\n"))
		parents = []oid.ID{tip}
	}
	if err := s.Flush(); err != nil {
		w.t.Fatal(err)
	}
	if tip.IsZero() {
		w.git("update-ref", "-d", name.Ref())
		return
	}
	w.git("update-ref", name.Ref(), tip.String())
}

// otherwise signs, in a ledger's name, other entries after its first one.
func (w *world) otherwise(name ledger.Name, l [][]byte) [][]byte {
	w.t.Helper()
	for i := range l[1:] {
		l[i+1] = w.after(name, l[i], uint64(i)+2, fmt.Sprintf("%d, otherwise", i+2))
	}
	return l
}

// after signs a note that follows an entry.
func (w *world) after(name ledger.Name, blob []byte, seq uint64, text string) []byte {
	w.t.Helper()
	prev, err := ledger.ParseBlob(blob)
	if err != nil {
		w.t.Fatal(err)
	}
	payload, err := envelope.Statement(event.Recorded, envelope.Header{
		Prev: prev.ID(), Repository: w.pin, Seq: seq, Time: envelope.Timestamp(w.now()), Topic: name.Topic, Writer: string(name.Writer),
	}, event.Recording{Events: []event.Event{{Kind: "note", Data: map[string]any{"text": text}}}})
	if err != nil {
		w.t.Fatal(err)
	}
	e, err := envelope.Seal(envelope.TypeLedger, payload, envelope.SealWith{KeyID: w.alice.Public().ID(), Signer: w.alice})
	if err != nil {
		w.t.Fatal(err)
	}
	b, err := ledger.Blob(e)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// renew makes the clone another replica, so that what it wrote is another writer's from then on.
func (w *world) renew() {
	w.t.Helper()
	if err := provenance.RenewReplica(w.session().Repo()); err != nil {
		w.t.Fatal(err)
	}
}

// adopt puts a policy in force.
func (w *world) adopt(p *trust.Policy) {
	w.t.Helper()
	s, root := w.session(), w.facts().Root
	next, err := root.Current().Next(envelope.Timestamp(w.now()))
	if err != nil {
		w.t.Fatal(err)
	}
	next.Policy = p
	if _, err := provenance.Propose(context.Background(), s, root, next, w.now(), w.alice); err != nil {
		w.t.Fatal(err)
	}
}

// swap flips a bit of a file of a tree that a ref points to.
func (w *world) swap(ref, path string) {
	w.t.Helper()
	s := w.session()
	o, err := s.Object(ref+":"+path, 1<<20)
	if err != nil {
		w.t.Fatal(err)
	}
	o.Data[len(o.Data)/2] ^= 1
	blob := s.Put("blob", o.Data)
	if err := s.Flush(); err != nil {
		w.t.Fatal(err)
	}
	index := filepath.Join(w.t.TempDir(), "index")
	run := func(args ...string) string {
		cmd := exec.Command("git", args...)
		cmd.Dir, cmd.Env = w.dir, append(slices.Clone(w.env), "GIT_INDEX_FILE="+index)
		out, err := cmd.CombinedOutput()
		if err != nil {
			w.t.Fatalf("%q: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	run("read-tree", ref)
	run("update-index", "--add", "--cacheinfo", "100644,"+blob.String()+","+path)
	w.git("update-ref", ref, run("commit-tree", "-m", "x", run("write-tree")))
}

func must[T any](v T, ok bool) T {
	if !ok {
		panic("malformed")
	}
	return v
}

// rootOf is the RFC 6962 tree hash of the first entries of a ledger, by its definition.
func rootOf(t testing.TB, c *verdict.Chain, n uint64) envelope.Digest {
	t.Helper()
	var hash func(ids []verdict.Entry) []byte
	hash = func(ids []verdict.Entry) []byte {
		if len(ids) == 1 {
			b, err := hex.DecodeString(strings.TrimPrefix(string(ids[0].ID), "sha256:"))
			if err != nil {
				t.Fatal(err)
			}
			h := sha256.Sum256(append([]byte{0}, b...))
			return h[:]
		}
		k := 1
		for k*2 < len(ids) {
			k *= 2
		}
		h := sha256.Sum256(slices.Concat([]byte{1}, hash(ids[:k]), hash(ids[k:])))
		return h[:]
	}
	return envelope.Digest("sha256:" + hex.EncodeToString(hash(c.Entries[:n])))
}
