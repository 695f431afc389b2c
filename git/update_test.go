//go:build unix

package git_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
)

func TestStaleLocks(t *testing.T) {
	r := sample(t)
	s := r.Session()
	head := id(t, r.Git("rev-parse", "HEAD"))
	parent := id(t, r.Git("rev-parse", "HEAD^"))
	if err := s.Update("", git.RefUpdate{Name: chain, New: parent}); err != nil {
		t.Fatal(err)
	}
	lock := filepath.Join(r.Dir, ".git", filepath.FromSlash(chain)+".lock")
	if err := os.WriteFile(lock, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	move := func() error { return s.Update("", git.RefUpdate{Name: chain, New: head, Old: parent}) }
	var conflict *git.ConflictError
	if err := move(); !errors.As(err, &conflict) || len(conflict.Locks) != 1 || filepath.Base(conflict.Locks[0]) != "chain.lock" {
		t.Errorf("locked: %v", err)
	}
	short, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	err := git.Retry(short, move)
	if !errors.As(err, &conflict) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "chain.lock") || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("retried: %v", err)
	}
	// The lock goes away while somebody retries.
	time.AfterFunc(300*time.Millisecond, func() { os.Remove(lock) })
	if err := git.Retry(ctx, move); err != nil {
		t.Error(err)
	}
	r.Git("pack-refs", "--all")
	if err := os.WriteFile(filepath.Join(r.Dir, ".git", "packed-refs.lock"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	r.Git("config", "core.packedRefsTimeout", "50")
	if err := s.Update("", git.RefUpdate{Name: chain, Old: head}); !errors.As(err, &conflict) || len(conflict.Locks) != 1 {
		t.Errorf("packed-refs locked: %v", err)
	}
	if got := tip(t, s); got != head {
		t.Errorf("the ref moved to %s", got)
	}
	os.Remove(filepath.Join(r.Dir, ".git", "packed-refs.lock"))
	if err := os.WriteFile(filepath.Join(r.Dir, ".git", "HEAD.lock"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := s.Update("", git.RefUpdate{Name: "refs/heads/main", New: parent, Old: head}); !errors.As(err, &conflict) || len(conflict.Locks) != 1 {
		t.Errorf("HEAD locked: %v", err)
	}
}

// An old value that the ref has left is refused also when packed-refs looks unchanged: rewritten
// twice within a second it has the size, the time in seconds and often the inode it had before.
func TestRepackedRefs(t *testing.T) {
	r := sample(t)
	s := r.Session()
	var c [4]oid.ID
	for i := range c {
		c[i] = id(t, r.Commit(strconv.Itoa(i)))
	}
	r.Git("update-ref", chain, c[0].String())
	r.Git("pack-refs", "--all")
	time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second)))
	r.Git("pack-refs", "--all")
	if err := s.Update("x", git.RefUpdate{Name: chain, New: c[0], Old: c[0]}); err != nil {
		t.Fatal(err)
	}
	for _, next := range c[1:3] {
		r.Git("update-ref", chain, next.String())
		r.Git("pack-refs", "--all")
	}
	var conflict *git.ConflictError
	if err := s.Update("x", git.RefUpdate{Name: chain, New: c[3], Old: c[0]}); !errors.As(err, &conflict) {
		t.Errorf("the ref is at %s, moved from %s: %v", tip(t, s), c[0], err)
	}
}

// The same, when Git reads packed-refs for one ref and then waits for the lock of another. The test
// holds that lock, and moves the ref under it.
func TestRepackedRefsWhileWaiting(t *testing.T) {
	r := sample(t)
	r.Git("config", "core.filesRefLockTimeout", "5000")
	var c [4]oid.ID
	for i := range c {
		c[i] = id(t, r.Commit(strconv.Itoa(i)))
	}
	s := r.Session()
	const first, second = "refs/covenant/a", "refs/covenant/b"
	file := filepath.Join(r.Dir, ".git", filepath.FromSlash(second))
	r.Git("update-ref", first, c[0].String())
	r.Git("update-ref", second, c[0].String())
	r.Git("pack-refs", "--all")
	time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second)))
	r.Git("pack-refs", "--all")
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file+".lock", nil, 0o666); err != nil {
		t.Fatal(err)
	}
	outcome := make(chan error)
	go func() {
		outcome <- s.Update("x", git.RefUpdate{Name: first, New: c[3], Old: c[0]}, git.RefUpdate{Name: second, New: c[3], Old: c[0]})
	}()
	if err := waitFor(func() bool {
		_, err := os.Lstat(filepath.Join(r.Dir, ".git", filepath.FromSlash(first)+".lock"))
		return err == nil
	}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond)
	// Which inode a new packed-refs gets is the file system's choice; wait for the old one.
	inode := func() uint64 {
		st, err := os.Stat(filepath.Join(r.Dir, ".git", "packed-refs"))
		if err != nil {
			t.Fatal(err)
		}
		return st.Sys().(*syscall.Stat_t).Ino
	}
	before, again := inode(), false
	for i := 0; i < 60 && !again; i++ {
		for n := range rand.N(4) { // shift what is free
			if err := os.WriteFile(filepath.Join(r.Dir, ".git", "filler"+strconv.Itoa(n)), nil, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(file, []byte(c[1+i%2].String()+"\n"), 0o666); err != nil {
			t.Fatal(err)
		}
		r.TryIn("", "-c", "core.filesRefLockTimeout=0", "pack-refs", "--all") // cannot prune what is locked
		os.Remove(file)
		for n := range 4 {
			os.Remove(filepath.Join(r.Dir, ".git", "filler"+strconv.Itoa(n)))
		}
		again = inode() == before
	}
	t.Logf("packed-refs has its old inode: %v", again)
	moved := r.Git("rev-parse", second)
	os.Remove(file + ".lock")
	var conflict *git.ConflictError
	if err := <-outcome; !errors.As(err, &conflict) || !strings.Contains(err.Error(), second) {
		t.Errorf("update of a moved ref: %v", err)
	}
	for ref, want := range map[string]string{first: c[0].String(), second: moved} {
		if got := r.Git("rev-parse", ref); got != want {
			t.Errorf("%s is at %s, want %s", ref, got, want)
		}
	}
	if err := waitFor(func() bool {
		locks, _ := filepath.Glob(filepath.Dir(file) + "/*.lock")
		return len(locks) == 0
	}); err != nil {
		t.Error("locks are left")
	}
}

// What is not a conflict is not reported as one, and nothing moves.
func TestUpdateRefusals(t *testing.T) {
	r := sample(t)
	s := r.Session()
	head := id(t, r.Git("rev-parse", "HEAD"))
	blob := id(t, r.Git("rev-parse", "HEAD:a"))
	lost := oid.SHA1.Hash("blob", []byte("lost"))
	if err := s.Update("", git.RefUpdate{Name: chain, New: head}); err != nil {
		t.Fatal(err)
	}
	before := r.Git("for-each-ref")
	hook := filepath.Join(r.Dir, ".git", "hooks", "reference-transaction")
	for name, c := range map[string]struct {
		hook    bool
		updates []git.RefUpdate
	}{
		"name below a ref":           {updates: []git.RefUpdate{{Name: chain + "/x", New: head}}},
		"missing object":             {updates: []git.RefUpdate{{Name: "refs/covenant/y", New: lost}}},
		"a branch that is no commit": {updates: []git.RefUpdate{{Name: "refs/heads/y", New: blob}}},
		"all or nothing":             {updates: []git.RefUpdate{{Name: "refs/covenant/y", New: head}, {Name: "refs/heads/y", New: blob}}},
		"hook":                       {true, []git.RefUpdate{{Name: "refs/covenant/y", New: head}}},
		"bad name":                   {updates: []git.RefUpdate{{Name: "refs/covenant/a b", New: head}}},
		"newline in name":            {updates: []git.RefUpdate{{Name: "refs/covenant/a\ncommit", New: head}}},
		"no full name":               {updates: []git.RefUpdate{{Name: "HEAD", New: head}}},
		"twice":                      {updates: []git.RefUpdate{{Name: "refs/x", New: head}, {Name: "refs/x", New: head}}},
		"nothing to do":              {updates: []git.RefUpdate{{Name: "refs/x"}}},
		"another format":             {updates: []git.RefUpdate{{Name: "refs/x", New: oid.SHA256.EmptyBlob()}}},
	} {
		if c.hook {
			if err := os.WriteFile(hook, []byte("#!/bin/sh\nexit 1\n"), 0o777); err != nil {
				t.Fatal(err)
			}
		}
		err := s.Update("", c.updates...)
		var conflict *git.ConflictError
		if err == nil || errors.As(err, &conflict) {
			t.Errorf("%s: %v", name, err)
		}
		if c.hook {
			os.Remove(hook)
		}
		if after := r.Git("for-each-ref"); after != before {
			t.Errorf("%s: refs moved: %s", name, after)
		}
	}
	if err := s.Update(""); err != nil {
		t.Errorf("no updates: %v", err)
	}
}

// A branch has a reflog, and the message is in it; refs given first move first is up to Git.
func TestReflog(t *testing.T) {
	r := sample(t)
	s := r.Session()
	head, parent := id(t, r.Git("rev-parse", "HEAD")), id(t, r.Git("rev-parse", "HEAD^"))
	for _, msg := range []string{"one message", "another\nwith a newline", ""} {
		if err := s.Update(msg, git.RefUpdate{Name: "refs/heads/main", New: parent, Old: head}); err != nil {
			t.Fatal(err)
		}
		if err := s.Update(msg, git.RefUpdate{Name: "refs/heads/main", New: head, Old: parent}); err != nil {
			t.Fatal(err)
		}
	}
	log := r.Git("reflog", "main", "--format=%gs")
	if strings.Count(log, "one message") != 2 || strings.Count(log, "another with a newline") != 2 {
		t.Errorf("reflog:\n%s", log)
	}
}
