//go:build unix

package git_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/gittest"
	"github.com/open-covenant/covenant-git/git/oid"
)

const chain = "refs/covenant/chain"

func init() {
	jobs["append"] = func() error { return appendJob(false) }
	jobs["append-forever"] = func() error { return appendJob(true) }
	jobs["flush"] = flushJob
}

// job is the test binary as another process that works on a repository.
func job(t testing.TB, r *gittest.Repo, name string, settings ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Dir = r.Dir
	cmd.Env = append(append([]string{}, r.Env...), append(settings, "GIT_TEST_JOB="+name)...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// appendOne extends the chain by one commit.
func appendOne(s *git.Session, message string) error {
	me := git.Ident{Name: "n", Email: "e", When: time.Unix(1, 0)}
	return git.Retry(ctx, func() error {
		refs, err := s.Refs(chain)
		if err != nil {
			return err
		}
		var tip oid.ID
		var parents []oid.ID
		if len(refs) > 0 {
			tip = refs[0].ID
			parents = []oid.ID{tip}
		}
		c := s.Put("commit", git.EncodeCommit(s.Put("tree", nil), parents, me, me, message))
		if err := s.Flush(); err != nil {
			return err
		}
		return s.Update("append", git.RefUpdate{Name: chain, New: c, Old: tip})
	})
}

func appendJob(forever bool) error {
	repo, err := git.Open(ctx, git.Options{})
	if err != nil {
		return err
	}
	s := repo.Session(ctx)
	defer s.Close()
	count, _ := strconv.Atoi(os.Getenv("JOB_COUNT"))
	for i := 0; i < count || forever; i++ {
		if err := appendOne(s, fmt.Sprintf("%s/%d", os.Getenv("JOB_NAME"), i)); err != nil {
			return err
		}
		fmt.Println(i)
	}
	return nil
}

func flushJob() error {
	repo, err := git.Open(ctx, git.Options{})
	if err != nil {
		return err
	}
	s := repo.Session(ctx)
	me := git.Ident{Name: "n", Email: "e", When: time.Unix(1, 0)}
	c := s.Put("commit", git.EncodeCommit(s.Put("tree", nil), nil, me, me, "flushed"))
	if err := s.Flush(); err != nil {
		return err
	}
	fmt.Println(c)
	select {}
}

// Eight processes extend one ref while another packs refs all the time: every append that was
// acknowledged is there, once, after the one before it.
func TestConcurrentAppends(t *testing.T) {
	const writers, each = 8, 15
	r := sample(t)
	stop := make(chan struct{})
	var packing sync.WaitGroup
	packing.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				r.TryIn("", "pack-refs", "--all")
			}
		}
	})
	var running sync.WaitGroup
	for w := range writers {
		running.Go(func() {
			if err := job(t, r, "append", fmt.Sprintf("JOB_COUNT=%d", each), fmt.Sprintf("JOB_NAME=w%d", w)).Run(); err != nil {
				t.Errorf("writer %d: %v", w, err)
			}
		})
	}
	running.Wait()
	close(stop)
	packing.Wait()
	next := map[string]int{}
	for c, err := range r.Session().Log(git.LogQuery{Revs: []string{chain}}) {
		if err != nil {
			t.Fatal(err)
		}
		name, n, _ := strings.Cut(c.Subject, "/")
		if n != strconv.Itoa(next[name]) {
			t.Errorf("%s follows %s/%d", c.Subject, name, next[name]-1)
		}
		next[name]++
	}
	for w := range writers {
		if n := next[fmt.Sprintf("w%d", w)]; n != each {
			t.Errorf("writer %d: %d of %d appends", w, n, each)
		}
	}
}

// Death between Flush and Update leaves objects and no trace in the refs.
func TestCrashBeforeUpdate(t *testing.T) {
	r := sample(t)
	before := r.Git("for-each-ref")
	cmd := job(t, r, "flush")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	made, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	cmd.Wait()
	if after := r.Git("for-each-ref"); after != before {
		t.Errorf("refs moved: %s", after)
	}
	if r.Git("cat-file", "-t", strings.TrimSpace(made)) != "commit" {
		t.Error("the flushed commit is gone")
	}
}

// Death during Update, of the process alone or with its git child, leaves the ref at its old or
// new value, and loses nothing that was acknowledged. A lock file that stays behind is named.
func TestCrashDuringUpdate(t *testing.T) {
	r := sample(t)
	s := r.Session()
	acked := 0
	stale := 0
	for round := range 12 {
		cmd := job(t, r, "append-forever", fmt.Sprintf("JOB_NAME=r%d", round))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		if !lines.Scan() {
			t.Fatal("the writer did not start")
		}
		n := 1
		counted := make(chan struct{})
		go func() {
			for lines.Scan() {
				n++
			}
			close(counted)
		}()
		time.Sleep(rand.N(30 * time.Millisecond))
		victim := cmd.Process.Pid
		if round%2 == 0 {
			victim = -victim // its children too
		}
		syscall.Kill(victim, syscall.SIGKILL)
		<-counted
		cmd.Wait()
		acked += n
		if err := waitFor(func() bool { return lockFree(r) }); err != nil && round%2 == 1 {
			t.Error("git left a lock although it could clean up")
		}
		if !lockFree(r) {
			stale++
			var conflict *git.ConflictError
			err := s.Update("", git.RefUpdate{Name: chain, New: tip(t, s), Old: tip(t, s)})
			if !errors.As(err, &conflict) || len(conflict.Locks) != 1 {
				t.Errorf("stale lock: %v", err)
			}
			os.Remove(conflict.Locks[0])
		}
		length := 0
		for _, err := range s.Log(git.LogQuery{Revs: []string{chain}}) {
			if err != nil {
				t.Fatal(err)
			}
			length++
		}
		if length < acked || length > acked+round+1 {
			t.Errorf("round %d: %d commits, %d acknowledged", round, length, acked)
		}
		if err := appendOne(s, "after"); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
		acked++
	}
	r.Git("fsck", "--strict")
	t.Logf("%d stale locks in 12 kills", stale)
}

func tip(t *testing.T, s *git.Session) oid.ID {
	t.Helper()
	refs, err := s.Refs(chain)
	if err != nil || len(refs) != 1 {
		t.Fatalf("%v, %v", refs, err)
	}
	return refs[0].ID
}

func lockFree(r *gittest.Repo) bool {
	_, err := os.Lstat(filepath.Join(r.Dir, ".git", filepath.FromSlash(chain)+".lock"))
	return err != nil
}

func waitFor(ok func() bool) error {
	for range 100 {
		if ok() {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return errors.New("waited in vain")
}

// The lock keeps processes and sessions apart, and waiting for it ends with the context.
func TestLock(t *testing.T) {
	r := sample(t)
	unlock, err := r.Open().Lock(ctx)
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := r.Open().Lock(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second lock: %v", err)
	}
	unlock()
	again, err := r.Open().Lock(ctx)
	if err != nil {
		t.Fatal(err)
	}
	again()
}
