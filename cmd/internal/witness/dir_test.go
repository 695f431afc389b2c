package witness_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/cmd/internal/witness"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/tlog"
)

// dying is a signer whose process dies when it shall sign: what it would sign is stored by then.
type dying struct {
	identity.Signer
	look func()
}

func (d dying) Sign([]byte) ([]byte, error) {
	d.look()
	return nil, errors.New("dead")
}

func TestStoredBeforeItIsSigned(t *testing.T) {
	b := newBook(t, origin, newSigner(t))
	b.grow(t, 3, 0)
	b.grow(t, 4, 0)
	d := newDesk(t, b.key)
	asked := 0
	if err := d.open(t, dying{d.signer, func() {
		asked++
		if seen, err := d.dir.Load(b.key); err != nil || seen.Tree != b.states[3].Tree() {
			t.Errorf("when it signs the disk has %v, %v", seen.Tree, err)
		}
	}}, b.key); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(d.Server().Handler)
	if g := post(t, s.URL, b.request(t, 0, 3)); g.status != http.StatusInternalServerError || asked != 1 {
		t.Errorf("status %d, asked to sign %d times", g.status, asked)
	}
	s.Close()

	// The next process knows what the dead one saw, and whoever had no answer gets one.
	if err := d.open(t, d.signer, b.key); err != nil {
		t.Fatal(err)
	}
	s = httptest.NewServer(d.Server().Handler)
	defer s.Close()
	if g := post(t, s.URL, b.request(t, 0, 3)); g.status != 409 || g.body != "3\n" {
		t.Errorf("the same request: %v", g)
	}
	g := post(t, s.URL, b.request(t, 3, 3))
	if g.status != 200 {
		t.Fatalf("from what it saw: %v", g)
	}
	d.cosigned(t, b.states[3], []byte(g.body))
}

func TestNothingIsSignedThatIsNotStored(t *testing.T) {
	b := newBook(t, origin, newSigner(t))
	b.grow(t, 3, 0)
	d := newDesk(t, b.key)
	if err := d.open(t, dying{d.signer, func() { t.Error("it signs") }}, b.key); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(d.Server().Handler)
	defer s.Close()
	if err := os.RemoveAll(d.path); err != nil {
		t.Fatal(err)
	}
	if g := post(t, s.URL, b.request(t, 0, 3)); g.status != http.StatusInternalServerError {
		t.Errorf("%v", g)
	}
	if got := d.Seen(origin).Tree.Size; got != 0 {
		t.Errorf("it remembers %d entries", got)
	}
}

// TestEveryByteOfTheMemory: whatever changes in it, the witness does not start.
func TestEveryByteOfTheMemory(t *testing.T) {
	b := newBook(t, origin, newSigner(t))
	b.grow(t, 3, 0)
	d := newDesk(t, b.key)
	s := httptest.NewServer(d.Server().Handler)
	post(t, s.URL, b.request(t, 0, 3))
	s.Close()
	files := must(filepath.Glob(filepath.Join(d.path, "*.cosigned")))(t)
	if len(files) != 1 {
		t.Fatalf("files %q", files)
	}
	good := must(os.ReadFile(files[0]))(t)
	put := func(b []byte) {
		t.Helper()
		if err := os.WriteFile(files[0], b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i := range good {
		bad := append([]byte{}, good...)
		bad[i] ^= 1 << (i % 8)
		put(bad)
		if seen, err := d.dir.Load(b.key); !errors.Is(err, witness.ErrDamaged) {
			t.Fatalf("byte %d: %v, %v", i, seen, err)
		}
	}
	for _, n := range []int{0, 1, len(good) / 2, len(good) - 1} {
		put(good[:n])
		if err := d.open(t, d.signer, b.key); !errors.Is(err, witness.ErrDamaged) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
	if err := os.Remove(files[0]); err != nil {
		t.Fatal(err)
	}
	if err := d.open(t, d.signer, b.key); !errors.Is(err, witness.ErrLost) {
		t.Errorf("missing: %v", err)
	}
	put(good)
	if err := d.open(t, d.signer, b.key); err != nil {
		t.Errorf("as it was: %v", err)
	}
	list := filepath.Join(d.path, "witness")
	text := must(os.ReadFile(list))(t)
	for _, bad := range [][]byte{nil, text[:len(text)-1], append(text, '\n'), []byte("junk\n")} {
		if err := os.WriteFile(list, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := d.open(t, d.signer, b.key); !errors.Is(err, witness.ErrDamaged) {
			t.Errorf("list %q: %v", bad, err)
		}
	}
	if err := os.Remove(list); err != nil {
		t.Fatal(err)
	}
	if err := d.open(t, d.signer, b.key); !errors.Is(err, witness.ErrDamaged) {
		t.Errorf("no list: %v", err)
	}
}

func TestMemoryIsOneWitnesss(t *testing.T) {
	b := newBook(t, origin, newSigner(t))
	d := newDesk(t, b.key)
	if _, err := witness.OpenDir(d.path, d.key); !errors.Is(err, witness.ErrBusy) {
		t.Errorf("a second time: %v", err)
	}
	_ = d.dir.Close()
	other := must(tlog.NewWitnessKey(name, newSigner(t).Public()))(t)
	if _, err := witness.OpenDir(d.path, other); !errors.Is(err, witness.ErrForeign) {
		t.Errorf("with another key: %v", err)
	}
	if err := d.open(t, newSigner(t), b.key); !errors.Is(err, tlog.ErrKeyType) {
		t.Errorf("another signer: %v", err)
	}
	if err := d.open(t, d.signer, b.key, b.key); !errors.Is(err, tlog.ErrOrigin) {
		t.Errorf("a log twice: %v", err)
	}
	// What a process that died left of a write is no memory.
	if err := os.WriteFile(filepath.Join(d.path, "x.cosigned-y.tmp"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.open(t, d.signer, b.key); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(d.path, "*.tmp")); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// TestLockEndsWithItsProcess asks from another process: the lock is not this one's alone.
func TestLockEndsWithItsProcess(t *testing.T) {
	if dir := os.Getenv("WITNESS_TEST_DIR"); dir != "" {
		key := must(tlog.ParseWitnessKey(os.Getenv("WITNESS_TEST_KEY")))(t)
		if _, err := witness.OpenDir(dir, key); !errors.Is(err, witness.ErrBusy) {
			t.Fatalf("not busy: %v", err)
		}
		return
	}
	d := newDesk(t)
	cmd := exec.CommandContext(t.Context(), must(os.Executable())(t), "-test.run=^TestLockEndsWithItsProcess$")
	cmd.Env = append(os.Environ(), "WITNESS_TEST_DIR="+d.path, "WITNESS_TEST_KEY="+d.key.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestClockSetBack: a larger tree is never cosigned at an earlier time.
func TestClockSetBack(t *testing.T) {
	b := newBook(t, origin, newSigner(t))
	for range 3 {
		b.grow(t, 3, 0)
	}
	d := newDesk(t, b.key)
	s := httptest.NewServer(d.Server().Handler)
	defer s.Close()
	post(t, s.URL, b.request(t, 0, 3))
	d.now = noon.Add(-time.Minute)
	g := post(t, s.URL, b.request(t, 3, 6))
	if g.status != 200 {
		t.Fatal(g)
	}
	if at := d.cosigned(t, b.states[6], []byte(g.body)).Time; !at.Equal(noon) {
		t.Errorf("a minute back: %s", at)
	}
	d.now = noon.Add(-time.Hour)
	if g := post(t, s.URL, b.request(t, 6, 9)); g.status != http.StatusInternalServerError {
		t.Errorf("an hour back: %v", g)
	}
	if got := d.Seen(origin).Tree.Size; got != 6 {
		t.Errorf("it remembers %d", got)
	}
	d.now = noon.Add(time.Hour)
	if g := post(t, s.URL, b.request(t, 6, 9)); g.status != 200 {
		t.Errorf("an hour on: %v", g)
	}
}
