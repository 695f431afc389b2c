package handoff

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/git/oid"
)

var errNo = errors.New("the remote says no")

// While a remote is waited for, others write to the repository; and whoever finishes the handoff meanwhile, or takes it back, is followed.
func TestWaitingForARemote(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for name, c := range map[string]struct {
		meanwhile func(*world) error
		said      error
		want      error
		applied   bool
	}{
		"it says yes":    {func(*world) error { return nil }, nil, nil, true},
		"it says no":     {func(*world) error { return nil }, errNo, errNo, false},
		"taken back":     {func(b *world) error { _, err := Abort(ctx, b.sealer()); return err }, nil, ErrNoPending, false},
		"both":           {func(b *world) error { _, err := Abort(ctx, b.sealer()); return err }, errNo, errNo, false},
		"finished":       {func(b *world) error { return b.finish(nil) }, nil, ErrNoPending, true},
		"finished, late": {func(b *world) error { return b.finish(nil) }, errNo, ErrNoPending, true},
		"let go":         {func(b *world) error { return b.release(b.newest()) }, nil, ErrNotHeld, false},
		"another one":    {func(b *world) error { return b.begin() }, nil, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := based(t)
			w.write("f", "handed\n")
			m := w.create(Creating{})
			b := w.tree("b", "HEAD")
			asked := 0
			_, err := b.apply(m.ID, Applying{Remote: "origin", Claim: func(ctx context.Context, _ envelope.Digest, _, _ string, _ oid.ID) error {
				asked++
				ctx, cancel := context.WithTimeout(ctx, time.Minute)
				defer cancel()
				unlock, err := b.session().Repo().Lock(ctx)
				if err != nil {
					return err
				}
				unlock()
				if err := c.meanwhile(b); err != nil {
					t.Errorf("meanwhile: %v", err)
				}
				return c.said
			}})
			if asked != 1 || !errors.Is(err, c.want) || c.want == nil && err != nil {
				t.Errorf("asked %d times: %v", asked, err)
			}
			if got := b.text("f") == "handed\n"; got != c.applied {
				t.Errorf("applied: %v", got)
			}
			if got := b.find(m.ID).By() != nil; got != c.applied {
				t.Errorf("somebody has it: %v", got)
			}
			if _, err := PendingHere(b.session().Repo()); !errors.Is(err, ErrNoPending) {
				t.Errorf("it is not over: %v", err)
			}
			if _, err := os.Stat(b.session().Repo().IndexFile() + ".lock"); err == nil {
				t.Error("the lock of the index stayed")
			}
		})
	}
}

// finish goes on with what was begun, under a remote that answers at once.
func (w *world) finish(said error) error {
	_, err := Continue(context.Background(), w.sealer(), Applying{Claim: func(context.Context, envelope.Digest, string, string, oid.ID) error { return said }})
	return err
}

// begin begins another handoff in the same work tree, which is not to be had.
func (w *world) begin() error {
	m := w.create(Creating{})
	if _, err := w.apply(m.ID, Applying{}); !errors.Is(err, ErrPending) {
		return errors.Join(err, errors.New("it was not refused"))
	}
	return nil
}

// A process that is told to end while it waits leaves what can be finished and taken back.
func TestEndedWhileWaiting(t *testing.T) {
	t.Parallel()
	w := based(t)
	w.write("f", "handed\n")
	m := w.create(Creating{})
	b := w.tree("b", "HEAD")
	v, err := b.verify(m.ID)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	_, err = Apply(ctx, b.sealer(), v, Applying{Remote: "origin", Claim: func(ctx context.Context, _ envelope.Digest, _, _ string, _ oid.ID) error {
		cancel()
		return context.Cause(ctx)
	}})
	if !errors.Is(err, ErrBegun) || !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if p, err := PendingHere(b.session().Repo()); err != nil || p.ID != m.ID {
		t.Errorf("%v, %v", p, err)
	}
	if _, err := Abort(context.Background(), b.sealer()); err != nil {
		t.Fatal(err)
	}
	if b.find(m.ID).By() != nil || b.git("status", "--porcelain") != "" {
		t.Error("it was not taken back")
	}
}

// Who was let go by somebody else in the middle, and was followed by another, takes back what was written: its journal stays until then.
func TestLetGoInTheMiddle(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, moment := range []string{"recorded", "written", "indexed"} {
		a, _, base := messy(t)
		m := a.create(Creating{})
		b, c := a.tree("b", base), a.tree("c", base)
		func() {
			defer func() { _ = recover() }()
			_, _ = b.apply(m.ID, Applying{at: func(at string) {
				if at == moment {
					panic(at)
				}
			}})
		}()
		if err := a.release(m.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := c.apply(m.ID, Applying{}); err != nil {
			t.Fatal(err)
		}
		_, err := Continue(ctx, b.sealer(), Applying{})
		if !errors.Is(err, ErrResumed) || errors.Is(err, ErrBegun) != (moment != "recorded") {
			t.Errorf("%s: finished: %v", moment, err)
		}
		if _, err := Abort(ctx, b.sealer()); err != nil && (moment != "recorded" || !errors.Is(err, ErrNoPending)) {
			t.Errorf("%s: taken back: %v", moment, err)
		}
		if got := b.git("status", "--porcelain"); got != "" {
			t.Errorf("%s: it is %q", moment, got)
		}
		if h := a.find(m.ID); h.By() == nil || len(h.Taken) != 2 || h.Taken[0].Counts {
			t.Errorf("%s: %+v", moment, h.Taken)
		}
	}
}

// What an abort needs is held to what stood there before anything is put back, and a journal that can't be read is not taken for none.
func TestDamagedJournal(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	a, _, base := messy(t)
	m := a.create(Creating{})
	b := a.tree("b", base)
	died := errors.New("the process died")
	func() {
		defer func() { _ = recover() }()
		n := 0
		_, _ = b.apply(m.ID, Applying{at: func(moment string) {
			if moment == "indexed" {
				if n++; n == 1 {
					panic(died)
				}
			}
		}})
	}()
	dir := placeOf(b.session().Repo())
	before := b.look()
	for _, name := range []string{fileBefore, "before-0"} {
		kept, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Abort(ctx, b.sealer()); !errors.Is(err, ErrKept) {
			t.Errorf("%s: %v", name, err)
		}
		if got := b.look(); got != before {
			t.Errorf("%s: something was put back:\n%s", name, got)
		}
		if err := os.WriteFile(filepath.Join(dir, name), kept, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	journal, err := os.ReadFile(filepath.Join(dir, journalFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "{}", string(journal[:100]), "null"} {
		if err := os.WriteFile(filepath.Join(dir, journalFile), []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		var damaged *JournalError
		if _, err := Abort(ctx, b.sealer()); !errors.As(err, &damaged) || damaged.Dir != dir {
			t.Errorf("%.10q: taken back: %v", bad, err)
		}
		if _, err := Continue(ctx, b.sealer(), Applying{}); !errors.Is(err, ErrJournal) {
			t.Errorf("%.10q: finished: %v", bad, err)
		}
		if _, err := b.apply(m.ID, Applying{Again: true}); !errors.Is(err, ErrJournal) {
			t.Errorf("%.10q: begun again: %v", bad, err)
		}
		if list := Pendings(a.session().Repo()); len(list) != 1 || list[0].Damaged == nil {
			t.Errorf("%.10q: told: %v", bad, list)
		}
		if _, err := os.Stat(filepath.Join(dir, "before-0")); err != nil {
			t.Errorf("%.10q: %v", bad, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, journalFile), journal, 0o600); err != nil {
		t.Fatal(err)
	}
	if list := Pendings(a.session().Repo()); len(list) != 1 || list[0].ID != m.ID || list[0].WorkTree != b.dir {
		t.Errorf("told: %v", list)
	}
	if _, err := Abort(ctx, b.sealer()); err != nil || b.git("status", "--porcelain") != "" {
		t.Errorf("taken back: %v", err)
	}
}

// What somebody stages after a crash is neither overwritten nor lost.
func TestIndexChangedAfterACrash(t *testing.T) {
	t.Parallel()
	a, _, base := messy(t)
	m := a.create(Creating{})
	b := a.tree("b", base)
	func() {
		defer func() { _ = recover() }()
		_, _ = b.apply(m.ID, Applying{at: func(moment string) {
			if moment == "recorded" {
				panic(moment)
			}
		}})
	}()
	if err := os.Remove(b.session().Repo().IndexFile() + ".lock"); err != nil {
		t.Fatal(err)
	}
	b.write("mine", "mine\n")
	b.git("add", "mine")
	if _, err := Continue(context.Background(), b.sealer(), Applying{}); !errors.Is(err, ErrIndex) {
		t.Errorf("finished: %v", err)
	}
	if _, err := Abort(context.Background(), b.sealer()); err != nil {
		t.Errorf("taken back: %v", err)
	}
	if got := b.git("status", "--porcelain"); got != "A  mine" {
		t.Errorf("it is %q", got)
	}
}

// The name under which files are written first is nobody's, neither here nor in a handoff.
func TestScratchInTheWay(t *testing.T) {
	t.Parallel()
	w := based(t)
	w.write("f", "handed\n")
	m := w.create(Creating{})
	b := w.tree("b", "HEAD")
	name := (&journal{dir: placeOf(b.session().Repo())}).scratch()
	b.ignore(name)
	b.write(name, "mine\n")
	if _, err := b.apply(m.ID, Applying{}); !errors.Is(err, ErrInTheWay) || b.text(name) != "mine\n" || b.text("f") != "base\n" {
		t.Errorf("there: %v", err)
	}
	blob := w.object("blob", "x\n")
	id := w.forge(oid.ID{}, w.treeOf(entry{"40000", name, w.treeOf(entry{"100644", "x", blob})}), nil)
	c := w.tree("c", "HEAD")
	name = (&journal{dir: placeOf(c.session().Repo())}).scratch()
	other := w.forge(oid.ID{}, w.treeOf(entry{"100644", name, blob}), nil)
	if _, err := c.apply(other, Applying{}); !errors.Is(err, ErrUnsafe) {
		t.Errorf("in a handoff: %v", err)
	}
	if err := os.Remove(filepath.Join(b.dir, (&journal{dir: placeOf(b.session().Repo())}).scratch())); err != nil {
		t.Fatal(err)
	}
	if _, err := b.apply(id, Applying{}); !errors.Is(err, ErrUnsafe) {
		t.Errorf("in a handoff, as a directory: %v", err)
	}
}
