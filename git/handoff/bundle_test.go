package handoff_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/handoff"
	"github.com/open-covenant/covenant-git/git/sync"
)

// untouched returns what inspecting a bundle must not change: refs, objects, and what is in the state directory.
func untouched(t *testing.T, w handoff.World) string {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(w.Session().Repo().StateDir(), "incoming-*"))
	if err != nil {
		t.Fatal(err)
	}
	return w.Git("for-each-ref") + "\n" + w.Git("count-objects", "-v") + "\n" + strings.Join(left, "\n")
}

func inspect(w handoff.World, file string, id envelope.Digest, limits sync.Limits) (*sync.Inspected, error) {
	return sync.Inspect(context.Background(), w.Session(), sync.Options{Remote: file, Pin: w.Pin(), Now: time.Now(), Limits: limits}, id, 1<<30)
}

// Bundles of handoffs that no honest program makes, by somebody whose key is known: each is refused as it is when it is taken up, and
// nothing of it gets into the repository.
func TestHostileBundles(t *testing.T) {
	t.Parallel()
	w, cases := handoff.HostileWorld(t)
	victim := w.Clone("victim")
	for _, name := range []string{
		"dot dot", "absolute", "upper case", "short name of NTFS", "ignored by HFS", "through a link of base", "in place of a file", "a bomb", "other contents", "another commit",
	} {
		t.Run(name, func(t *testing.T) {
			id := cases[name]()
			file := filepath.Join(t.TempDir(), "work.bundle")
			if err := handoff.WriteBundle(context.Background(), w.Session(), id, file); err != nil {
				t.Fatal(err)
			}
			before := untouched(t, victim)
			got, err := inspect(victim, file, id, sync.Limits{})
			known := []error{handoff.ErrUnsafe, handoff.ErrMismatch, handoff.ErrMissing, handoff.ErrTooLarge, handoff.ErrTooMany, git.ErrUnsound, git.ErrTooManyChanges}
			if err == nil || !slices.ContainsFunc(known, func(x error) bool { return errors.Is(err, x) }) && !strings.Contains(err.Error(), "malformed tree") {
				t.Errorf("refused for another reason: %v %+v", err, got)
			}
			if after := untouched(t, victim); after != before {
				t.Errorf("something stayed:\n%s\nbefore\n%s", after, before)
			}
		})
	}
}

// A bundle is good where it is what was signed, and then, too, nothing of it stays; one that was changed, has more than is taken, or is of another
// root, is not.
func TestInspect(t *testing.T) {
	t.Parallel()
	w, _ := handoff.HostileWorld(t)
	victim := w.Clone("victim")
	w.Write("new", "one\n")
	m := w.Create()
	file := filepath.Join(t.TempDir(), "work.bundle")
	if err := handoff.WriteBundle(context.Background(), w.Session(), m.ID, file); err != nil {
		t.Fatal(err)
	}
	before := untouched(t, victim)
	got, err := inspect(victim, file, m.ID, sync.Limits{})
	if err != nil || !got.OK() || got.Handoff == nil || got.Handoff.Commit != m.Commit {
		t.Fatalf("%v %+v", err, got)
	}
	if victim.Try("cat-file", "-e", m.Commit.String()) == nil {
		t.Error("the handoff is in the repository")
	}
	if _, err := inspect(victim, file, m.ID, sync.Limits{Bytes: 100, Ledgers: 10, Entries: 10}); !errors.Is(err, sync.ErrTooMuch) {
		t.Errorf("more than is taken: %v", err)
	}
	if _, err := inspect(victim, file, envelope.Digest("sha256:"+strings.Repeat("1", 64)), sync.Limits{}); err == nil {
		t.Error("another handoff than it has")
	}
	// The name of the handoff leads elsewhere.
	w.Git("update-ref", handoff.Ref(m.ID), "HEAD")
	swapped := filepath.Join(t.TempDir(), "swapped.bundle")
	if err := handoff.WriteBundle(context.Background(), w.Session(), m.ID, swapped); err != nil {
		t.Fatal(err)
	}
	if _, err := inspect(victim, swapped, m.ID, sync.Limits{}); !errors.Is(err, handoff.ErrMismatch) {
		t.Errorf("swapped: %v", err)
	}
	// Bytes are changed on the way.
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-60] ^= 1
	broken := filepath.Join(t.TempDir(), "broken.bundle")
	if err := os.WriteFile(broken, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := inspect(victim, broken, m.ID, sync.Limits{}); err == nil {
		t.Error("a bundle that was changed is good")
	}
	// Somebody else's repository.
	other, _ := handoff.HostileWorld(t)
	if got, err := inspect(other, file, m.ID, sync.Limits{}); err == nil && got.OK() {
		t.Errorf("under another root it is good: %+v", got)
	}
	if after := untouched(t, victim); after != before {
		t.Errorf("something stayed:\n%s\nbefore\n%s", after, before)
	}
}
