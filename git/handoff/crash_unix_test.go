//go:build unix

package handoff

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/identity"
)

// child is what a process of this test does in a work tree.
type child struct {
	Dir, Home string
	Env       []string
	Pin, ID   envelope.Digest
	Clock     time.Time
	Die       int // at which moment it kills itself, from 1; 0: never
	Again     bool
}

// TestChild is not a test: it is the process that others start.
func TestChild(t *testing.T) {
	text := os.Getenv("HANDOFF_CHILD")
	if text == "" {
		return
	}
	var c child
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: c.Dir, env: c.Env, pin: c.Pin, clock: &c.Clock}
	var err error
	if w.alice, err = identity.LoadFile(filepath.Join(c.Home, "alice"), nil); err != nil {
		t.Fatal(err)
	}
	n := 0
	_, err = w.apply(c.ID, Applying{Again: c.Again, at: func(string) {
		if n++; n == c.Die {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}})
	switch {
	case errors.Is(err, ErrResumed):
		os.Exit(11)
	case err != nil:
		t.Fatal(err)
	}
	os.Exit(10)
}

// start runs a child, and returns how it ended: 10 applied, 11 AlreadyResumed, -1 killed.
func (w *world) start(id envelope.Digest, die int) int {
	w.t.Helper()
	text, err := json.Marshal(child{Dir: w.dir, Home: filepath.Dir(filepath.Dir(w.session().Repo().CommonDir())), Env: w.env, Pin: w.pin, ID: id, Clock: *w.clock, Die: die})
	if err != nil {
		w.t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestChild$")
	cmd.Env = append(os.Environ(), "HANDOFF_CHILD="+string(text))
	out, err := cmd.CombinedOutput()
	code := cmd.ProcessState.ExitCode()
	if code != 10 && code != 11 && code != -1 {
		w.t.Fatalf("%v: %s", err, out)
	}
	*w.clock = w.clock.Add(time.Second)
	return code
}

// messy makes a work tree of all sorts.
func messy(t *testing.T) (*world, string, string) {
	t.Helper()
	a := newWorld(t, "sha1")
	a.write("kept", "kept\n")
	a.write("one", "one\n")
	a.write("two", "two\n")
	a.write("dir/file", "x\n")
	a.git("add", "-A")
	a.git("commit", "-q", "-m", "base")
	a.write("one", "staged\n")
	a.git("add", "one")
	a.write("one", "staged, and more\n")
	a.write("two", "not staged\n")
	if err := errors.Join(os.RemoveAll(filepath.Join(a.dir, "dir")), os.Symlink("../..", filepath.Join(a.dir, "dir"))); err != nil {
		t.Fatal(err)
	}
	a.write("new/deep/file", "untracked\n")
	a.write("added", "to be added\n")
	a.git("add", "-N", "added")
	return a, a.look(), a.git("rev-parse", "HEAD")
}

// Whenever a process dies, what it began can be finished, and can be taken back; and Git works meanwhile, or says what is in its way.
func TestKilledAtEveryMoment(t *testing.T) {
	t.Parallel()
	a, before, base := messy(t)
	died := 0
	for moment := 1; ; moment++ {
		m := a.create(Creating{})
		b := a.tree("t"+strings.Repeat("x", moment), base)
		clean := b.look()
		if code := b.start(m.ID, moment); code == 10 {
			if got := b.look(); got != before {
				t.Fatalf("nothing died, and it is\n%s\nnot\n%s", got, before)
			}
			break
		}
		died++
		b.settle(t, moment, clean, func() error {
			_, err := Abort(context.Background(), b.sealer())
			return err
		})
		if h := b.find(m.ID); h.By() != nil {
			t.Fatalf("moment %d: taken back, and %s has it", moment, h.By().ID)
		}
		if code := b.start(m.ID, moment); code != -1 {
			t.Fatalf("moment %d: %d", moment, code)
		}
		_, none := PendingHere(b.session().Repo())
		b.settle(t, moment, before, func() error {
			_, err := Continue(context.Background(), b.sealer(), Applying{})
			return err
		})
		if h := b.find(m.ID); h.By() == nil {
			t.Fatalf("moment %d: finished, and nobody has it", moment)
		} else if n := len(h.Lost()); n > 0 {
			t.Fatalf("moment %d: taken up twice", moment)
		}
		if none != nil && moment > 1 {
			if _, err := os.Stat(b.session().Repo().IndexFile() + ".lock"); err == nil {
				t.Fatalf("moment %d: the lock of the index stayed", moment)
			}
		}
	}
	if died < 8 {
		t.Fatalf("a process died at %d moments only", died)
	}
}

// settle does what a person does after a crash; where nothing had begun yet there is nothing to do, and the handoff is applied.
func (w *world) settle(t *testing.T, moment int, want string, do func() error) {
	t.Helper()
	err := do()
	if errors.Is(err, ErrNoPending) {
		if h := w.find(w.newest()); h.By() == nil {
			if want != w.look() { // continue: it never began
				if _, err := w.apply(h.ID, Applying{}); err != nil {
					t.Fatalf("moment %d: %v", moment, err)
				}
			}
		}
		err = nil
	}
	if err != nil {
		t.Fatalf("moment %d: %v", moment, err)
	}
	if got := w.look(); got != want {
		t.Fatalf("moment %d: it is\n%s\nnot\n%s", moment, got, want)
	}
	for _, left := range []string{w.session().Repo().IndexFile() + ".lock", placeOf(w.session().Repo())} {
		if _, err := os.Stat(left); err == nil && moment > 1 {
			t.Fatalf("moment %d: %s stayed", moment, left)
		}
	}
}

func (w *world) newest() envelope.Digest {
	rec, err := Load(context.Background(), w.session(), w.pin)
	if err != nil || len(rec.List) == 0 {
		w.t.Fatalf("no handoff: %v", err)
	}
	return rec.List[0].ID
}

// Of many processes in several work trees that take up one handoff at once, one gets it.
func TestResumedOnce(t *testing.T) {
	t.Parallel()
	a, before, base := messy(t)
	m := a.create(Creating{})
	var trees []*world
	for i := range 6 {
		trees = append(trees, a.tree("r"+strings.Repeat("x", i), base))
	}
	codes := make([]int, len(trees))
	var wg sync.WaitGroup
	for i, w := range trees {
		own := *w
		clock := *w.clock
		own.clock = &clock
		wg.Go(func() { codes[i] = own.start(m.ID, 0) })
	}
	wg.Wait()
	won := 0
	for i, code := range codes {
		switch {
		case code == 10:
			won++
			if got := trees[i].look(); got != before {
				t.Errorf("the one that has it is\n%s", got)
			}
		case code != 11:
			t.Errorf("process %d ended with %d", i, code)
		case trees[i].git("status", "--porcelain") != "":
			t.Errorf("process %d came too late, and wrote", i)
		}
	}
	if won != 1 {
		t.Errorf("%d processes have it: %v", won, codes)
	}
	if h := a.find(m.ID); len(h.Taken) != 1 {
		t.Errorf("%d resumptions are recorded", len(h.Taken))
	}
}
