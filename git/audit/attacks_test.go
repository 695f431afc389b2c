package audit_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/event"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/tlog"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/audit"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// Whoever may write a ledger signs checkpoints that are not what the ledgers make: each is told.
func TestCheckpointLies(t *testing.T) {
	good := func(w *world) (*audit.Made, *provenance.Sealer) {
		w.note("one", "two", "three")
		return w.checkpoint(), w.sealer()
	}
	sign := func(w *world, origin tlog.Origin, tree tlog.Tree, by identity.Signer) string {
		c, err := tlog.Sign(origin, tree, by)
		if err != nil {
			w.t.Fatal(err)
		}
		return string(c.Bytes())
	}
	for name, lie := range map[string]func(w *world, m *audit.Made) string{
		"fewer entries": func(w *world, m *audit.Made) string {
			tree := m.Note.Tree()
			tree.Size--
			return sign(w, m.Key.Origin(), tree, w.alice)
		},
		"more entries": func(w *world, m *audit.Made) string {
			tree := m.Note.Tree()
			tree.Size++
			return sign(w, m.Key.Origin(), tree, w.alice)
		},
		"another root": func(w *world, m *audit.Made) string {
			tree := m.Note.Tree()
			tree.Root[7] ^= 1
			return sign(w, m.Key.Origin(), tree, w.alice)
		},
		"another origin": func(w *world, m *audit.Made) string {
			return sign(w, m.Key.Origin()+"x", m.Note.Tree(), w.alice)
		},
		"another key": func(w *world, m *audit.Made) string {
			other, err := identity.Generate(filepath.Join(w.t.TempDir(), "k"), "k", nil)
			if err != nil {
				w.t.Fatal(err)
			}
			return sign(w, m.Key.Origin(), m.Note.Tree(), other)
		},
		"no checkpoint at all": func(*world, *audit.Made) string { return "junk\n" },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			m, k := good(w)
			if wrong := w.wrong(); len(wrong) > 0 {
				t.Fatalf("before: %q", wrong)
			}
			body := event.Checkpoint{Note: lie(w, m), Root: k.Root.Digest, Version: k.Root.Version}
			if _, err := k.Record(context.Background(), event.CheckpointTopic, provenance.Item{Type: event.Checkpointed, Body: body, Subject: "x"}); err != nil {
				t.Fatal(err)
			}
			if wrong := w.wrong(); !slices.Equal(wrong, []string{"checkpoint.wrong"}) {
				t.Errorf("%q", wrong)
			}
			// An honest one after it holds, and the log goes on.
			w.note("four")
			w.checkpoint()
			if wrong := w.wrong(); !slices.Equal(wrong, []string{"checkpoint.wrong"}) {
				t.Errorf("after an honest one: %q", wrong)
			}
		})
	}
}

// What is done to a ledger that a checkpoint covers, or another entry saw, is told.
func TestLedgerTampered(t *testing.T) {
	at := func(i int, f func(b []byte) []byte) func([][]byte) [][]byte {
		return func(list [][]byte) [][]byte {
			list[i] = f(slices.Clone(list[i]))
			return list
		}
	}
	for name, change := range map[string]func([][]byte) [][]byte{
		"a bit of an entry":    at(1, func(b []byte) []byte { b[40] ^= 1; return b }),
		"a bit of a signature": at(1, func(b []byte) []byte { b[len(b)-12] ^= 1; return b }),
		"entries swapped":      func(l [][]byte) [][]byte { l[1], l[2] = l[2], l[1]; return l },
		"one dropped":          func(l [][]byte) [][]byte { return slices.Delete(l, 1, 2) },
		"the last dropped":     func(l [][]byte) [][]byte { return l[:len(l)-1] },
		"one twice":            func(l [][]byte) [][]byte { return slices.Insert(l, 2, l[1]) },
		"cut to the first":     func(l [][]byte) [][]byte { return l[:1] },
		"gone":                 func([][]byte) [][]byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			places := w.note("one", "two", "three", "four")
			w.checkpoint()
			if wrong := w.wrong(); len(wrong) > 0 {
				t.Fatalf("before: %q", wrong)
			}
			ref, _ := ledger.ParseRef(ledger.Prefix + places[0].Ledger)
			w.rewrite(ref, change)
			wrong := w.wrong()
			if len(wrong) == 0 {
				t.Fatal("nobody noticed")
			}
			if !slices.Contains(wrong, "checkpoint.wrong") {
				if name == "a bit of a signature" {
					return // what was said is as it was, and who said it is not shown any more
				}
				t.Errorf("the checkpoint holds: %q", wrong)
			}
		})
	}
}

// Two ledgers of one number, as a stolen key or a restored disk makes them.
func TestResigned(t *testing.T) {
	w := newWorld(t)
	places := w.note("one", "two", "three")
	name, _ := ledger.ParseRef(ledger.Prefix + places[0].Ledger)
	w.checkpoint()
	// The same key writes the last entries again, and says something else.
	w.rewrite(name, func(l [][]byte) [][]byte { return w.otherwise(name, l) })
	if wrong := w.wrong(); !slices.Contains(wrong, "checkpoint.wrong") {
		t.Errorf("history was written again, and the checkpoint holds: %q", wrong)
	}
}

// Who serves a ledger wraps its entries into other commits when a new one comes: the next checkpoint covers that.
func TestRewrappedIsCovered(t *testing.T) {
	w := newWorld(t)
	places := w.note("one", "two")
	name, _ := ledger.ParseRef(ledger.Prefix + places[0].Ledger)
	w.renew()
	before := w.checkpoint().Note.Tree()
	w.rewrite(name, func(l [][]byte) [][]byte { return append(l, w.after(name, l[1], 3, "three")) })
	m := w.checkpoint()
	if after := m.Note.Tree(); after.Size != before.Size+1 || len(m.Missed) > 0 {
		t.Errorf("%d entries, then %d; missed %q", before.Size, after.Size, m.Missed)
	}
	if wrong := w.wrong(); len(wrong) > 0 {
		t.Errorf("%q", wrong)
	}
	// One that has another entry in the place of one that was seen is not covered, and that is said.
	w.rewrite(name, func(l [][]byte) [][]byte { return w.otherwise(name, l) })
	if m := w.checkpoint(); !slices.Equal(m.Missed, []string{name.String()}) {
		t.Errorf("missed %q", m.Missed)
	}
}

// Many entries that follow nothing, and one that is signed: nobody names it as seen.
func TestPlantedHead(t *testing.T) {
	w := newWorld(t)
	places := w.note("one")
	name, _ := ledger.ParseRef(ledger.Prefix + places[0].Ledger)
	w.renew()
	w.note("by the next replica")
	w.renew()
	w.rewrite(name, func(l [][]byte) [][]byte {
		for range 98 {
			l = append(l, []byte("junk\n"))
		}
		return append(l, w.after(name, l[0], 100, "planted"))
	})
	w.note("an honest act")
	w.rewrite(name, func(l [][]byte) [][]byte { return l[:1] })
	for _, p := range w.facts().Problems {
		t.Errorf("%s: %s: %s", p.Code, p.Object, p.Message)
	}
}

// A ledger of any topic that went two ways goes the one that an operator says.
func TestResolve(t *testing.T) {
	for _, there := range []bool{false, true} {
		w := newWorld(t)
		places := w.note("one", "two", "three")
		name, _ := ledger.ParseRef(ledger.Prefix + places[0].Ledger)
		ours := w.git("rev-parse", name.Ref())
		w.rewrite(name, func(l [][]byte) [][]byte { return w.otherwise(name, l) })
		other := w.git("rev-parse", name.Ref())
		w.git("update-ref", name.Ref(), ours)
		w.git("update-ref", provenance.ForkPrefix+name.String()+"-0123456789ab", other)
		forks := w.facts().Forks()
		if len(forks) != 1 || forks[0].Seq != 2 || !slices.Contains(w.wrong(), "ledger.fork") {
			t.Fatalf("%+v, %q", forks, w.wrong())
		}
		if _, err := w.sealer().Resolve(context.Background(), forks[0], there, "because"); err != nil {
			t.Fatal(err)
		}
		forks = w.facts().Forks()
		if there {
			if len(forks) != 1 || !forks[0].Decided {
				t.Fatalf("decided for the other way: %+v", forks)
			}
			if err := provenance.Turn(w.session(), forks[0]); err != nil {
				t.Fatal(err)
			}
			if at := w.git("rev-parse", name.Ref()); at != other {
				t.Errorf("the ledger is at %s", at)
			}
			forks = w.facts().Forks()
		}
		if wrong := w.wrong(); len(forks) > 0 || len(wrong) > 0 {
			t.Errorf("there %v: %+v, %q", there, forks, wrong)
		}
	}
}

// A checkpoint that says to be of a time to come counts for nothing, also beside one that counts.
func TestCheckpointToCome(t *testing.T) {
	w := newWorld(t)
	w.adopt(&trust.Policy{Version: 1, MaxCheckpointAge: "24h"})
	at := func(later time.Duration) {
		k := w.sealer()
		k.Now = func() time.Time { return w.now().Add(later) }
		if _, err := w.sign(k); err != nil {
			t.Fatal(err)
		}
	}
	fresh := func(now time.Time) bool {
		err := w.facts().Fresh(now)
		if err != nil && !errors.Is(err, provenance.ErrFreshness) {
			t.Fatal(err)
		}
		return err == nil
	}
	at(0)
	start := w.clock
	if !fresh(start) || fresh(start.Add(25*time.Hour)) {
		t.Error("before")
	}
	at(48 * time.Hour)
	if !fresh(start) || fresh(start.Add(25*time.Hour)) {
		t.Error("what says to be of the day after tomorrow changed the answer")
	}
	if !fresh(start.Add(49 * time.Hour)) {
		t.Error("it does not count when its time has come")
	}
}

// What is derived is not believed: tiles, state and index that somebody changed are made again, or refuse to prove.
func TestDerivedTampered(t *testing.T) {
	open := func(w *world) (*audit.Tlog, error) {
		k := w.sealer()
		list, errs := audit.Logs(k.Session, w.cache(k.Session), k.Root.ID, k.Authority, "")
		if len(list) != 1 {
			return nil, errors.Join(errs...)
		}
		return list[0], nil
	}
	prove := func(w *world, id envelope.Digest) error {
		l, err := open(w)
		if err != nil {
			return err
		}
		at, err := l.Find(string(id))
		if err != nil {
			return err
		}
		p, err := l.Prove(at)
		if err != nil {
			return err
		}
		b, err := p.Bytes()
		if err != nil {
			return err
		}
		_, err = tlog.CheckProof(b, l.Key, tlog.Policy{}, audit.RecordOfEnvelope)
		return err
	}
	w := newWorld(t)
	var texts []string
	for i := range 300 {
		texts = append(texts, fmt.Sprint("note ", i))
	}
	places := w.note(texts...)
	w.checkpoint()
	if err := prove(w, places[17].ID); err != nil {
		t.Fatal(err)
	}
	index, err := filepath.Glob(filepath.Join(w.dir, ".git/covenant/tlog/*"))
	if err != nil || len(index) != 1 {
		t.Fatalf("%q, %v", index, err)
	}
	b, err := os.ReadFile(index[0])
	if err != nil {
		t.Fatal(err)
	}
	b[17*64+3] ^= 1
	if err := os.WriteFile(index[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := prove(w, places[17].ID); err == nil {
		t.Error("an index that was changed proves")
	}
	if err := os.Remove(index[0]); err != nil {
		t.Fatal(err)
	}
	if err := prove(w, places[17].ID); err != nil {
		t.Errorf("without an index: %v", err)
	}
	ref := w.git("for-each-ref", "--format=%(refname)", audit.TlogPrefix)
	for _, path := range []string{"tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1", "checkpoint"} {
		if _, err := w.session().Object(ref+":"+path, 1<<20); err != nil {
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, git.ErrMissing) {
				t.Fatalf("there is no %s", path)
			}
			t.Fatal(err)
		}
		w.swap(ref, path)
		for _, n := range []int{17, 290} { // it is made anew, and proves
			if err := prove(w, places[n].ID); err != nil {
				t.Errorf("%s: note %d: %v", path, n, err)
			}
		}
		w.checkpoint() // what it signs is what the ledgers make
		if wrong := w.wrong(); len(wrong) > 0 {
			t.Errorf("%s: %q", path, wrong)
		}
	}
	w.git("update-ref", "-d", ref)
	if err := prove(w, places[290].ID); err != nil {
		t.Errorf("without tiles: %v", err)
	}
}

// A ledger of checkpoints is taken back, to other commits or to fewer: what this clone remembers of it outlives every look at the logs.
func TestRollbackIsRemembered(t *testing.T) {
	for name, change := range map[string]func(w *world, ref string, l [][]byte){
		"to fewer": func(w *world, ref string, _ [][]byte) { w.git("update-ref", ref, ref+"~1") },
		"to fewer, and anew": func(w *world, ref string, l [][]byte) {
			w.rewrite(must(ledger.ParseRef(ref)), func([][]byte) [][]byte { return l[:1] })
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.note("one")
			w.checkpoint()
			w.note("two")
			m := w.checkpoint()
			ref := ledger.Prefix + m.Ledger
			var l [][]byte
			w.rewrite(must(ledger.ParseRef(ref)), func(blobs [][]byte) [][]byte { l = blobs; return blobs })
			change(w, ref, l)
			for range 2 {
				k := w.sealer()
				if list, errs := audit.Logs(k.Session, w.cache(k.Session), k.Root.ID, k.Authority, ""); len(list) > 0 || len(errs) != 1 || !errors.Is(errs[0], provenance.ErrRolledBack) {
					t.Errorf("%d logs, %v", len(list), errs)
				}
				found, err := audit.Wrong(w.facts(), w.cache(k.Session), w.clock)
				if err != nil || len(found) != 1 || found[0].Code != "ledger.rolled-back" {
					t.Errorf("%v, %v", found, err)
				}
			}
		})
	}
}
