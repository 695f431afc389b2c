package git_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/gittest"
	"github.com/open-covenant/covenant-git/git/oid"
)

// Inside a real pre-receive hook the pushed objects are only in the quarantine, and refs cannot
// move. Both a small push (loose objects) and a large one (a pack) must be seen.
func TestQuarantine(t *testing.T) {
	for _, files := range []int{1, 300} {
		server := bare(t)
		client := server.At(filepath.Join(t.TempDir(), "client"))
		server.Git("clone", "-q", server.Dir, client.Dir)
		for i := range files {
			client.Write(fmt.Sprintf("f%d", i), fmt.Sprint(i))
		}
		want := client.Commit("pushed")
		exe, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		hook := "#!/bin/sh\nGIT_TEST_JOB=quarantine exec '" + exe + "'\n"
		if err := os.WriteFile(filepath.Join(server.Dir, "hooks", "pre-receive"), []byte(hook), 0o777); err != nil {
			t.Fatal(err)
		}
		client.Git("push", "-q", "origin", "HEAD:refs/heads/main")
		report, err := os.ReadFile(filepath.Join(server.Dir, "report"))
		if err != nil {
			t.Fatal(err)
		}
		if wantReport := fmt.Sprintf("%s %d refused\n", want, files); string(report) != wantReport {
			t.Errorf("report %q, want %q", report, wantReport)
		}
		if server.Git("rev-parse", "main") != want {
			t.Error("nothing was pushed")
		}
	}
}

func init() {
	jobs["quarantine"] = func() error {
		var old, new, ref string
		if _, err := fmt.Scan(&old, &new, &ref); err != nil {
			return err
		}
		repo, err := git.Open(ctx, git.Options{})
		if err != nil {
			return err
		}
		s := repo.Session(ctx)
		defer s.Close()
		before, err := s.Object(old+"^{tree}", 0)
		if err != nil {
			return err
		}
		after, err := s.Object(new+"^{tree}", 0)
		if err != nil {
			return err
		}
		changes, err := s.Diff(before.ID, after.ID)
		if err != nil {
			return err
		}
		made := s.Put("blob", []byte("written in quarantine"))
		if err := s.Flush(); err != nil {
			return err
		}
		if _, err := os.Stat(filepath.Join(repo.CommonDir(), "objects", made.String()[:2], made.String()[2:])); err == nil {
			return errors.New("written outside the quarantine")
		}
		if _, err := s.Object(made.String(), 0); err != nil {
			return err
		}
		outcome := "moved"
		var ce *git.CommandError
		if id, err := oid.Parse(new); err != nil {
			return err
		} else if err := s.Update("x", git.RefUpdate{Name: "refs/covenant/x", New: id}); errors.As(err, &ce) {
			outcome = "refused"
		}
		return os.WriteFile("report", fmt.Appendf(nil, "%s %d %s\n", new, len(changes), outcome), 0o666)
	}
}

// Files are as readable as core.sharedRepository says, exactly as Git's own.
func TestSharedRepository(t *testing.T) {
	for _, shared := range []string{"umask", "group", "all", "0640", "0600", "0777", "true", "2"} {
		r := gittest.New(t, "--shared="+shared)
		r.Git("config", "core.sharedRepository", shared)
		s := r.Session()
		r.GitIn("by git", "hash-object", "-w", "--stdin")
		ours := s.Put("blob", []byte("by us")).String()
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
		theirs := r.Open().Format().Hash("blob", []byte("by git")).String()
		mode := func(name string) string {
			dir := filepath.Join(r.Dir, ".git", "objects", name[:2])
			d, err := os.Stat(dir)
			if err != nil {
				t.Fatal(err)
			}
			f, err := os.Stat(filepath.Join(dir, name[2:]))
			if err != nil {
				t.Fatal(err)
			}
			return d.Mode().String() + " " + f.Mode().String()
		}
		if mode(ours) != mode(theirs) {
			t.Errorf("%s: ours %s, Git's %s", shared, mode(ours), mode(theirs))
		}
		if unlock, err := s.Repo().Lock(ctx); err != nil {
			t.Error(err)
		} else {
			unlock()
		}
		st, err := os.Stat(s.Repo().StateDir())
		if err != nil {
			t.Fatal(err)
		}
		if closed := st.Mode().Perm()&0o077 == 0; closed != (shared == "umask" || shared == "0600") {
			t.Errorf("%s: state directory is %s", shared, st.Mode())
		}
	}
}

// Children end with the context, whatever they are doing.
func TestCancel(t *testing.T) {
	r := sample(t)
	c, cancel := contextWithCancel()
	s := r.Open().Session(c)
	defer s.Close()
	if _, err := s.Object("HEAD", 0); err != nil {
		t.Fatal(err)
	}
	endless := func(yield func(string) bool) {
		for yield("HEAD") {
		}
	}
	time.AfterFunc(50*time.Millisecond, cancel)
	failed := false
	for _, err := range s.Objects(endless, 0) {
		failed = err != nil
	}
	if !failed {
		t.Error("an endless read ended without an error")
	}
	if _, err := s.Object("HEAD", 0); !errors.Is(err, errCanceled) {
		t.Errorf("after the end: %v", err)
	}
	if _, err := r.Open().Run(c, nil, "version"); !errors.Is(err, errCanceled) {
		t.Errorf("run: %v", err)
	}
	// No child may be left: the repository's directory is nobody's working directory.
	if out, err := exec.Command("sh", "-c", "ls -l /proc/[0-9]*/cwd 2>/dev/null | grep -c -- '"+r.Dir+"$'").Output(); err == nil && strings.TrimSpace(string(out)) != "0" {
		t.Errorf("%s children left", bytes.TrimSpace(out))
	}
}

// Used and closed, a session leaves neither goroutines nor children nor files.
func TestNothingLeft(t *testing.T) {
	r := sample(t)
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	partial := r.At(filepath.Join(t.TempDir(), "partial"))
	r.Git("config", "uploadpack.allowFilter", "true")
	r.Git("clone", "-q", "--filter=blob:none", "file://"+r.Dir, partial.Dir)
	before := runtime.NumGoroutine()
	for _, r := range []*gittest.Repo{r, partial} {
		repo := r.Open()
		for range 3 {
			s := repo.Session(ctx)
			head, err := s.Object("HEAD", 0)
			if err != nil {
				t.Fatal(err)
			}
			for range s.Objects(slices.Values([]string{"HEAD", "HEAD^", "none"}), 0) {
				break
			}
			for range s.Log(git.LogQuery{Revs: []string{"HEAD"}}) {
				break
			}
			s.Diff(oid.ID{}, oid.SHA1.Hash("tree", []byte("lost")))
			s.Update("x", git.RefUpdate{Name: "refs/covenant/x", New: head.ID, Old: head.ID})
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			s.Close()
		}
	}
	for range 100 {
		if runtime.NumGoroutine() <= before {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > before {
		b := make([]byte, 1<<16)
		t.Errorf("%d goroutines, %d before:\n%s", n, before, b[:runtime.Stack(b, true)])
	}
	if out, err := exec.Command("ps", "-o", "stat=,args=", "--ppid", fmt.Sprint(os.Getpid())).Output(); err == nil {
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, "git") {
				t.Errorf("child left: %s", line)
			}
		}
	}
	if left, _ := filepath.Glob(filepath.Join(tmp, "*")); len(left) > 0 {
		t.Errorf("files left: %s", left)
	}
}
