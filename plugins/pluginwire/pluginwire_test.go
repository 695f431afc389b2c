//go:build linux

package pluginwire_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/plugins/pluginapi"
	"github.com/open-covenant/covenant-git/plugins/pluginwire"
)

var self = sync.OnceValues(func() (string, string) {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return exe, digest(exe)
})

func digest(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	d := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(d[:])
}

func playing(role string, args ...string) pluginwire.Program {
	path, pin := self()
	return pluginwire.Program{
		Name: "test", Path: path, Digest: pin, Args: append([]string{"act", role}, args...),
		Handshake: 20 * time.Second, Call: 20 * time.Second,
	}
}

func request(chains int) *pluginapi.Request {
	r := &pluginapi.Request{
		Version: pluginapi.Version, ID: "00112233445566778899aabbccddeeff", At: "2026-11-24T07:22:23Z",
		Action: "repo.commit", Principal: pluginapi.Principal{Name: "coder", Kind: "agent", Accountable: "ada"},
	}
	for range chains {
		r.Chains = append(r.Chains, pluginapi.Chain{{ID: "g", Action: "repo.*", Scope: []byte(`{"version":1}`), By: "ada", To: "coder"}})
	}
	return r
}

// asks starts a program, asks it, and closes it.
func asks(t *testing.T, p pluginwire.Program) ([]pluginapi.Answer, error) {
	t.Helper()
	if p.TempDir == "" {
		p.TempDir = shortDir(t)
	}
	t.Cleanup(func() {
		if left, err := os.ReadDir(p.TempDir); err == nil && len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
	proc, err := pluginwire.Start(t.Context(), p)
	if err != nil {
		return nil, err
	}
	defer proc.Close()
	return proc.Check(t.Context(), map[string]string{"a": "b"}, []*pluginapi.Request{request(2)})
}

func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "w") //nolint:usetesting // the name must leave room for a socket's
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestPluginsThatAnswer(t *testing.T) {
	as, err := asks(t, playing("good"))
	if err != nil || !as[0].Allowed || len(as[0].Chains) != 2 {
		t.Fatalf("%+v, %v", as, err)
	}
	as, err = asks(t, playing("deny"))
	if err != nil || as[0].Allowed || as[0].Reason != "not today" {
		t.Fatalf("%+v, %v", as, err)
	}
	if as, err = asks(t, playing("flood")); err != nil || !as[0].Allowed {
		t.Fatalf("%+v, %v", as, err)
	}
	as, err = asks(t, playing("by hand"))
	if err != nil || !as[0].Allowed || fmt.Sprint(as[0].Chains) != "[1]" {
		t.Fatalf("%+v, %v", as, err)
	}
	mtls := playing("good")
	mtls.AutoMTLS = true
	if as, err = asks(t, mtls); err != nil || !as[0].Allowed {
		t.Fatalf("%+v, %v", as, err)
	}
}

// TestTheExample builds the plugin that the specification shows, and asks it.
func TestTheExample(t *testing.T) {
	b, err := os.ReadFile("../../docs/spec/plugins.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```go\n(.*?)```").FindSubmatch(b)
	if m == nil {
		t.Fatal("the page shows no plugin")
	}
	dir := t.TempDir()
	src, bin := write(t, dir, "main.go", string(m[1]), 0o644), filepath.Join(dir, "plugin")
	if out, err := exec.Command("go", "build", "-o", bin, src).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	as, err := asks(t, pluginwire.Program{Name: "office-hours", Path: bin, Digest: digest(bin)})
	if err != nil || !as[0].Allowed {
		t.Fatalf("%+v, %v", as, err)
	}
}

func TestMisbehaviour(t *testing.T) {
	for role, want := range map[string]pluginapi.Failure{
		"panic":                        pluginapi.Failed,
		"an error":                     pluginapi.Failed,
		"hang in the call":             pluginapi.Timeout,
		"die in the call":              pluginapi.Died,
		"exit in the call":             pluginapi.Died,
		"another request":              pluginapi.OtherRequest,
		"another version's answer":     pluginapi.OtherVersion,
		"a chain out of range":         pluginapi.Garbage,
		"a huge answer":                pluginapi.Garbage,
		"too huge an answer":           pluginapi.Failed,
		"too many":                     pluginapi.Garbage,
		"too few":                      pluginapi.Garbage,
		"hang before the handshake":    pluginapi.Timeout,
		"end at once":                  pluginapi.Died,
		"garbage before the handshake": pluginapi.Garbage,
		"garbage without end":          pluginapi.Garbage,
		"another protocol version":     pluginapi.OtherVersion,
		"another core version":         pluginapi.OtherVersion,
		"net/rpc":                      pluginapi.OtherVersion,
		"nobody listens":               pluginapi.Handshake,
		"elsewhere":                    pluginapi.Garbage,
		"over the net":                 pluginapi.Garbage,
		"mute socket":                  pluginapi.Timeout,
		"an impostor":                  pluginapi.Handshake,
	} {
		t.Run(role, func(t *testing.T) {
			p := playing(role)
			if want == pluginapi.Timeout {
				p.Handshake, p.Call = 2*time.Second, 500*time.Millisecond
			}
			as, err := asks(t, p)
			var e *pluginapi.Error
			if !errors.As(err, &e) || e.Failure != want || e.Checker != p.FullName() || as != nil {
				t.Fatalf("%+v, %v", as, err)
			}
			if len(e.Error()) > 3000 {
				t.Errorf("the error has %d bytes", len(e.Error()))
			}
		})
	}
}

func TestStandardErrorIsRepeated(t *testing.T) {
	if _, err := asks(t, playing("end at once")); err == nil || !strings.Contains(err.Error(), "no license") {
		t.Error(err)
	}
	if _, err := asks(t, playing("an error")); err == nil || !strings.Contains(err.Error(), "the policy does not parse") {
		t.Error(err)
	}
	if _, err := asks(t, playing("panic")); err == nil || !strings.Contains(err.Error(), "panic: oh") {
		t.Error(err)
	}
}

// A checker that panics has not harmed its process.
func TestPanicLeavesTheProcess(t *testing.T) {
	proc, err := pluginwire.Start(t.Context(), playing("panic"))
	if err != nil {
		t.Fatal(err)
	}
	defer proc.Close()
	for range 2 {
		_, err := proc.Check(t.Context(), nil, []*pluginapi.Request{request(1)})
		var e *pluginapi.Error
		if !errors.As(err, &e) || e.Failure != pluginapi.Failed || !proc.Alive() {
			t.Error(err)
		}
	}
}

func TestMissingAndOtherPrograms(t *testing.T) {
	path, pin := self()
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		path, pin string
		want      pluginapi.Failure
	}{
		"missing":       {filepath.Join(dir, "none"), pin, pluginapi.Missing},
		"relative":      {"pluginwire.test", pin, pluginapi.Missing},
		"wrong digest":  {path, "sha256:" + strings.Repeat("0", 64), pluginapi.WrongDigest},
		"no digest":     {path, "", pluginapi.WrongDigest},
		"other hash":    {path, "sha512:" + strings.Repeat("0", 64), pluginapi.WrongDigest},
		"a directory":   {dir, pin, pluginapi.WrongDigest},
		"a named pipe":  {fifo, pin, pluginapi.WrongDigest},
		"not a program": {write(t, dir, "text", "hello\n", 0o755), digestOf("hello\n"), pluginapi.Handshake},
	} {
		_, err := asks(t, pluginwire.Program{Name: "test", Path: c.path, Digest: c.pin})
		var e *pluginapi.Error
		if !errors.As(err, &e) || e.Failure != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func write(t *testing.T, dir, name, s string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(s), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func digestOf(s string) string {
	d := sha256.Sum256([]byte(s))
	return "sha256:" + hex.EncodeToString(d[:])
}

// TestSwapping races starts against a program that is replaced, by a rename and in place: the
// pinned one runs, or none.
func TestSwapping(t *testing.T) {
	dir := t.TempDir()
	good := "#!/bin/sh\n# good\nexec /usr/bin/env -i sh -c 'echo good >&2'\n"
	evil := "#!/bin/sh\n# evil\nexec /usr/bin/env -i sh -c 'echo evil >&2'\n"
	path := write(t, dir, "plugin", good, 0o755)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			s := []string{good, evil}[i%2]
			if i%4 < 2 {
				next := filepath.Join(dir, "next")
				_ = os.WriteFile(next, []byte(s), 0o755)
				_ = os.Rename(next, path)
			} else if f, err := os.OpenFile(path, os.O_WRONLY, 0); err == nil {
				_, _ = f.WriteAt([]byte(s), 0)
				f.Close()
			}
		}
	})
	ran, refused := 0, 0
	start := time.Now()
	// On a busy machine the swapping rests for longer than 150 tries take.
	for n := 0; n < 150 || (ran == 0 || refused == 0) && time.Since(start) < 30*time.Second; n++ {
		_, err := asks(t, pluginwire.Program{Name: "test", Path: path, Digest: digestOf(good)})
		var e *pluginapi.Error
		switch {
		case !errors.As(err, &e):
			t.Fatal(err)
		case strings.Contains(err.Error(), "evil"):
			t.Fatalf("the other program ran: %v", err)
		case e.Failure == pluginapi.WrongDigest:
			refused++
		case strings.Contains(err.Error(), "good"):
			ran++
		}
	}
	close(stop)
	wg.Wait()
	if ran == 0 || refused == 0 {
		t.Errorf("the pinned one ran %d times, another was refused %d times", ran, refused)
	}
}

// TestReplacedAfterTheStart: a program may be upgraded while it runs.
func TestReplacedAfterTheStart(t *testing.T) {
	path, pin := self()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	ours := write(t, t.TempDir(), "plugin", string(b), 0o755)
	p := playing("good")
	p.Path = ours
	proc, err := pluginwire.Start(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	defer proc.Close()
	write(t, filepath.Dir(ours), "plugin", "replaced in place", 0o755)
	if as, err := proc.Check(t.Context(), nil, []*pluginapi.Request{request(0)}); err != nil || !as[0].Allowed {
		t.Error(as, err)
	}
	if _, err := asks(t, p); err == nil || !strings.Contains(err.Error(), "not "+pin) {
		t.Errorf("what was replaced starts: %v", err)
	}
}

func TestTheWorldOfAPlugin(t *testing.T) {
	for k, v := range map[string]string{
		"GIT_DIR": "/poison", "GIT_INDEX_FILE": "/poison", "PATH": "/poison:" + os.Getenv("PATH"), "COVENANT_ROOT": "poison", "LD_PRELOAD": "",
		"HOME": "/poison", "SSH_AUTH_SOCK": "/poison", "PLUGIN_CLIENT_CERT": "poison", "PLUGIN_UNIX_SOCKET_GROUP": "poison", "GODEBUG": "poison=1",
	} {
		t.Setenv(k, v)
	}
	secret, err := os.Open("/etc/hostname")
	if err != nil {
		t.Skip(err)
	}
	defer secret.Close()
	if _, _, e := syscall.Syscall(syscall.SYS_FCNTL, secret.Fd(), syscall.F_SETFD, syscall.FD_CLOEXEC); e != 0 {
		t.Fatal(e)
	}
	as, err := asks(t, playing("the world"))
	if err != nil {
		t.Fatal(err)
	}
	said := as[0].Reason
	for _, no := range []string{"poison", "GIT_", "COVENANT_", "LD_", "HOME", "SSH_", "hostname", "GODEBUG"} {
		if strings.Contains(said, no) {
			t.Errorf("%s is seen:\n%s", no, said)
		}
	}
	for _, yes := range []string{"PATH=/usr/bin:/bin\n", "TZ=UTC\n", "stdin 0 EOF\n", "wd /\n", "tty open /dev/tty: no such device", "LC_ALL=C\n"} {
		if !strings.Contains(said, yes) {
			t.Errorf("%q is not seen:\n%s", yes, said)
		}
	}
	var names []string
	for l := range strings.Lines(said) {
		if name, _, ok := strings.Cut(l, "="); ok {
			names = append(names, name)
		}
	}
	if len(names) > 9 {
		t.Errorf("the environment has %d variables: %v", len(names), names)
	}
}

// TestChildrenEnd: what a plugin started ends with it, in its process group or out of it.
func TestChildrenEnd(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux hands us the orphans")
	}
	for _, role := range []string{"children that stay", "children, then the end"} {
		t.Run(role, func(t *testing.T) {
			dir := t.TempDir()
			proc, err := pluginwire.Start(t.Context(), playing(role, dir))
			if err != nil {
				t.Fatal(err)
			}
			var pids []int
			for _, name := range []string{"0", "1"} {
				pids = append(pids, await(t, filepath.Join(dir, name)))
			}
			for _, pid := range pids {
				if !alive(pid) {
					t.Fatalf("%d has ended", pid)
				}
			}
			_, _ = proc.Check(t.Context(), nil, []*pluginapi.Request{request(0)})
			proc.Close()
			for _, pid := range append(pids, proc.Pid()) {
				if alive(pid) {
					t.Errorf("%d is alive", pid)
				}
			}
		})
	}
}

// await returns the number in a file, when it is there.
func await(t *testing.T, path string) int {
	t.Helper()
	for range 1000 {
		if b, err := os.ReadFile(path); err == nil {
			if n, err := strconv.Atoi(string(b)); err == nil {
				return n
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s does not come", path)
	return 0
}

func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(b), ") Z ")
}

// TestTheHostDies: a host that is killed takes its plugins with it.
func TestTheHostDies(t *testing.T) {
	dir := t.TempDir()
	exe, _ := self()
	cmd := exec.Command(exe, "act", "host", dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := await(t, filepath.Join(dir, "pid"))
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	for range 500 {
		if !alive(pid) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("plugin %d lives on", pid)
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := pluginwire.Start(ctx, playing("good"))
	var e *pluginapi.Error
	if !errors.As(err, &e) || e.Failure != pluginapi.Timeout {
		t.Error(err)
	}
}

func TestManyAtOnce(t *testing.T) {
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if as, err := asks(t, playing("good")); err != nil || !as[0].Allowed {
				t.Error(as, err)
			}
		})
	}
	wg.Wait()
}

// TestNothingIsLeft: starts that fail leave no goroutine that dials.
func TestNothingIsLeft(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 5 {
		_, _ = asks(t, playing("nobody listens"))
		_, _ = asks(t, playing("die in the call"))
		_, _ = asks(t, playing("good"))
	}
	for range 300 {
		if runtime.NumGoroutine() <= before+2 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	buf := make([]byte, 1<<20)
	t.Errorf("%d goroutines, %d before\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
}
