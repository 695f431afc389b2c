//go:build unix

package main_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shop is a governed repository of the crash tests.
type shop struct {
	t   *testing.T
	dir string
	env []string
}

func newShop(t *testing.T, dir string) *shop {
	t.Helper()
	bin, home := buildPrograms(t), t.TempDir()
	s := &shop{t: t, dir: dir, env: []string{
		"PATH=" + bin + string(os.PathListSeparator) + os.Getenv("PATH"), "HOME=" + home, "XDG_CONFIG_HOME=" + home, "GIT_CONFIG_NOSYSTEM=1", "LC_ALL=C",
	}}
	s.ok("git", "init", "-q", "-b", "main")
	s.ok("git", "config", "user.name", "Ada Lovelace")
	s.ok("git", "config", "user.email", "ada@example.com")
	s.ok("git", "config", "gc.auto", "0")
	s.ok("covenant", "init", "--operator", "ada")
	return s
}

func (s *shop) command(name string, args ...string) *exec.Cmd {
	for _, kv := range s.env {
		if list, ok := strings.CutPrefix(kv, "PATH="); ok {
			for _, d := range filepath.SplitList(list) {
				if _, err := os.Stat(filepath.Join(d, name)); err == nil {
					name = filepath.Join(d, name)
					break
				}
			}
		}
	}
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = s.dir, s.env
	return cmd
}

func (s *shop) run(name string, args ...string) (string, error) {
	cmd := s.command(name, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

func (s *shop) ok(name string, args ...string) string {
	s.t.Helper()
	out, err := s.run(name, args...)
	if err != nil {
		s.t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return out
}

// whole fails the test when a ledger is torn: what a crash left must be all or nothing.
func (s *shop) whole(when string) {
	s.t.Helper()
	out, _ := s.run("covenant", "verify", "--no-cache", "--json", "main")
	for _, bad := range []string{`"verdict":"invalid"`, `"ledger.`, `"type":"error"`} {
		if strings.Contains(out, bad) {
			s.t.Fatalf("%s: %s in\n%s", when, bad, out)
		}
	}
	s.ok("git", "fsck", "--connectivity-only", "--no-dangling")
}

// TestKilledAnywhere kills a sealing process with its children at every stage,
// many times; what is there afterwards is whole, and the next run finishes the work.
func TestKilledAnywhere(t *testing.T) {
	s := newShop(t, t.TempDir())
	for range 12 {
		s.ok("git", "-c", "core.hooksPath="+os.DevNull, "commit", "-q", "--allow-empty", "-m", "unsealed")
	}
	killed := 0
	for i := range 40 {
		commits := strings.Fields(s.ok("git", "rev-list", "--reverse", "main"))
		cmd := s.command("covenant", append([]string{"provenance", "seal"}, commits[:3+3*(i%4)]...)...)
		// A process group of its own, killed as one: git children die with it, as in a crash of the machine.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(4+3*(i%14)) * time.Millisecond)
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		if err := cmd.Wait(); err != nil {
			killed++
		}
		s.whole("after a kill")
	}
	if killed == 0 {
		t.Fatal("nothing was killed: the test did not test")
	}
	unlock(t, s)
	s.ok("covenant", "provenance", "seal", s.root()+"..main", s.root())
	s.ok("covenant", "doctor", "--fix")
	s.ok("covenant", "verify", "main")
	if out := s.ok("sh", "-c", "covenant doctor 2>/dev/null"); out != "" { // a note about a key is talk
		t.Errorf("doctor on a healthy repository: %s", out)
	}
}

func (s *shop) root() string {
	return strings.TrimSpace(s.ok("git", "rev-list", "--max-parents=0", "main"))
}

// unlock makes locks that a kill left old enough for doctor to know that nobody holds them, and has it mend them.
func unlock(t *testing.T, s *shop) {
	t.Helper()
	old := time.Now().Add(-time.Hour)
	found := false
	for _, dir := range []string{"refs/covenant", "refs/notes"} {
		_ = filepath.WalkDir(filepath.Join(s.dir, ".git", dir), func(path string, d os.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".lock") {
				found = true
				return os.Chtimes(path, old, old)
			}
			return nil
		})
	}
	if found {
		if out, _ := s.run("covenant", "doctor", "--fix"); !strings.Contains(out, "mended git.lock") {
			t.Errorf("doctor did not mend the locks: %s", out)
		}
	}
}

// TestFullDisk commits on a disk that is full: the commit that Git could make
// stands, the record is whole, and once there is room everything is sealed.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		t.Skip("needs a small file system of its own, and so root on Linux")
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("no small file system here: %v %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", dir).Run() })
	s := newShop(t, dir)
	s.ok("git", "commit", "-q", "--allow-empty", "-m", "with room")
	s.ok("covenant", "verify", "main")
	// What is left is filled up to some room, less each time, so that the disk is full at another point of the work.
	failed := 0
	for _, room := range []int{48, 40, 36, 32, 28, 24, 20, 16, 12, 8} {
		_, _ = s.run("sh", "-c", "cat /dev/zero >fill 2>/dev/null; true")
		if err := shrink(filepath.Join(dir, "fill"), int64(room)<<10); err != nil {
			t.Fatal(err)
		}
		out, err := s.run("git", "commit", "-q", "--allow-empty", "-m", "on a full disk")
		if err != nil || strings.Contains(out, "not sealed") {
			failed++
		}
		if err := os.Remove(filepath.Join(dir, "fill")); err != nil {
			t.Fatal(err)
		}
		s.whole("after a full disk")
	}
	if failed == 0 {
		t.Fatal("the disk was never full: the test did not test")
	}
	if _, err := s.run("covenant", "doctor", "--fix"); err != nil {
		out, _ := s.run("covenant", "doctor")
		if strings.TrimSpace(out) != "" && !strings.Contains(out, "hook.failed") {
			t.Errorf("doctor: %s", out)
		}
	}
	s.ok("covenant", "provenance", "seal", s.root()+"..main")
	s.ok("covenant", "doctor", "--fix")
	s.ok("covenant", "verify", "main")
}

func shrink(file string, by int64) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	return os.Truncate(file, max(0, info.Size()-by))
}
