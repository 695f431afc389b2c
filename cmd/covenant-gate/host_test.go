//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/plugins/pluginapi"
	"github.com/open-covenant/covenant-git/runtime/gate"
)

// resident returns a gate that uses a host, which was started.
func resident(t *testing.T, idle string, plugins ...gate.Plugin) (*gate.Gate, *exec.Cmd) {
	t.Helper()
	g := newGate(t, plugins...)
	dir, err := os.MkdirTemp("", "h") //nolint:usetesting // the name must leave room for a socket's
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	g.Socket, g.Resident = filepath.Join(dir, "run", "s"), true
	return g, startHost(t, g, idle)
}

func startHost(t *testing.T, g *gate.Gate, idle string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(g.Program, "serve", "--socket", g.Socket, "--idle", idle)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-done
	})
	eventually(t, "the host listens", func() bool { return reaches(g.Socket) })
	return cmd
}

func reaches(socket string) bool {
	c, err := net.Dial("unix", socket)
	if err == nil {
		c.Close()
	}
	return err == nil
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for range 1000 {
		if f() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("never: %s", what)
}

// pid is the process that answers.
func pid(t *testing.T, g *gate.Gate) int {
	t.Helper()
	d := ask1(t, g, operator())
	n, err := strconv.Atoi(d.Reason)
	if err != nil {
		t.Fatalf("%+v", d)
	}
	return n
}

// kept reports whether the same process answers twice.
func kept(t *testing.T, g *gate.Gate) bool {
	t.Helper()
	first := pid(t, g)
	return pid(t, g) == first
}

func TestResidentKeepsCheckers(t *testing.T) {
	g, _ := resident(t, "1m", plugin(t, "p", "pid"))
	first := pid(t, g)
	if again := pid(t, g); again != first {
		t.Errorf("%d, then %d: it is not kept", first, again)
	}
	if d := ask1(t, g, operator()); len(d.Checkers) != 2 {
		t.Errorf("%+v", d)
	}
	// A checker that ended meanwhile is started again; one that ends when asked is not asked twice.
	_ = syscall.Kill(first, syscall.SIGKILL)
	if again := pid(t, g); again == first {
		t.Error("the dead answer")
	}
	g.Plugins = []gate.Plugin{plugin(t, "p", "die")}
	if d := ask1(t, g, operator()); d.Failure != pluginapi.Died {
		t.Errorf("%+v", d)
	}
	g.Plugins = []gate.Plugin{plugin(t, "p", "allow"), plugin(t, "q", "second")}
	if d := ask1(t, g, agent(2)); !d.Allowed || fmt.Sprint(d.Chains) != "[1]" {
		t.Errorf("%+v", d)
	}
	// The pin counts, also for a checker that is warm under another one.
	g.Plugins[0].Digest = "sha256:" + strings.Repeat("0", 64)
	if d := ask1(t, g, agent(2)); d.Allowed || d.Failure != pluginapi.WrongDigest {
		t.Errorf("%+v", d)
	}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if ds, err := newGateLike(g, "allow").Ask(t.Context(), []*pluginapi.Request{agent(1)}); err != nil || !ds[0].Allowed {
				t.Error(ds, err)
			}
		})
	}
	wg.Wait()
}

func newGateLike(g *gate.Gate, do string) *gate.Gate {
	like := *g
	like.Plugins = []gate.Plugin{g.Plugins[1]}
	like.Plugins[0].Config = map[string]string{"do": do}
	return &like
}

func TestHostIsStartedOnDemand(t *testing.T) {
	g := newGate(t)
	dir, err := os.MkdirTemp("", "h") //nolint:usetesting // the name must leave room for a socket's
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	g.Socket, g.Resident = filepath.Join(dir, "run", "s"), true
	r, w, err := os.Pipe() // what Git might wait for the end of
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, _, e := syscall.Syscall(syscall.SYS_FCNTL, w.Fd(), syscall.F_SETFD, 0); e != 0 {
		t.Fatal(e)
	}
	if d := ask1(t, g, operator()); !d.Allowed { // the cold path
		t.Fatalf("%+v", d)
	}
	eventually(t, "a host listens", func() bool { return reaches(g.Socket) })
	w.Close()
	end := make(chan struct{})
	go func() { _, _ = r.Read(make([]byte, 1)); close(end) }()
	select {
	case <-end:
	case <-time.After(5 * time.Second):
		t.Error("the host holds what we had open")
	}
	g.Plugins = []gate.Plugin{plugin(t, "p", "pid")}
	if !kept(t, g) {
		t.Error("it is not used")
	}
	host := listener(t, g.Socket)
	if sid, err := getsid(host); err != nil || sid != host {
		t.Errorf("host %d is in session %d", host, sid)
	}
	_ = syscall.Kill(host, syscall.SIGTERM)
	eventually(t, "the socket goes", func() bool { _, err := os.Stat(g.Socket); return err != nil })
}

func getsid(pid int) (int, error) {
	s, _, e := syscall.Syscall(syscall.SYS_GETSID, uintptr(pid), 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(s), nil
}

func listener(t *testing.T, socket string) int {
	t.Helper()
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	_ = raw.Control(func(fd uintptr) {
		if cred, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED); err == nil {
			n = int(cred.Pid)
		}
	})
	return n
}

func TestWithoutAHost(t *testing.T) {
	t.Run("dead socket file", func(t *testing.T) {
		g, cmd := resident(t, "1m")
		_ = cmd.Process.Kill()
		eventually(t, "it is dead", func() bool { return !reaches(g.Socket) })
		if _, err := os.Stat(g.Socket); err != nil {
			t.Fatal("a killed host leaves its socket:", err)
		}
		if d := ask1(t, g, operator()); !d.Allowed {
			t.Errorf("%+v", d)
		}
		eventually(t, "another takes its place", func() bool { return reaches(g.Socket) })
		_ = syscall.Kill(listener(t, g.Socket), syscall.SIGTERM)
	})
	t.Run("stopped", func(t *testing.T) {
		g, cmd := resident(t, "1m")
		_ = cmd.Process.Signal(syscall.SIGSTOP)
		defer func() { _ = cmd.Process.Signal(syscall.SIGCONT) }()
		eventually(t, "it is stopped", func() bool {
			b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid))
			return strings.Contains(string(b), ") T ")
		})
		start := time.Now()
		if d := ask1(t, g, operator()); !d.Allowed || time.Since(start) > 5*time.Second {
			t.Errorf("%+v after %v", d, time.Since(start))
		}
	})
	t.Run("killed in the call", func(t *testing.T) {
		g, cmd := resident(t, "1m", plugin(t, "p", "hang"))
		g.Timeout = 12 * time.Second
		time.AfterFunc(time.Second, func() { _ = cmd.Process.Kill() })
		if d := ask1(t, g, operator()); d.Failure != pluginapi.Timeout {
			t.Errorf("%+v", d) // the cold path hangs as well, and says so
		}
		g.Socket = "" // the host started meanwhile is not ours to ask
	})
	t.Run("not private", func(t *testing.T) {
		g, _ := resident(t, "1m", plugin(t, "p", "pid"))
		if err := os.Chmod(filepath.Dir(g.Socket), 0o755); err != nil {
			t.Fatal(err)
		}
		if kept(t, g) {
			t.Error("a host in an open directory is used")
		}
	})
	t.Run("a link to a directory", func(t *testing.T) {
		g, _ := resident(t, "1m", plugin(t, "p", "pid"))
		link := filepath.Join(filepath.Dir(filepath.Dir(g.Socket)), "l")
		if err := os.Symlink(filepath.Dir(g.Socket), link); err != nil {
			t.Fatal(err)
		}
		g.Socket = filepath.Join(link, "s")
		if kept(t, g) {
			t.Error("a link is followed")
		}
	})
	t.Run("garbage", func(t *testing.T) {
		for _, says := range []string{"", "x", "R", "R\xff\xff\xff\xff", "R\x00\x00\x00\x02{}", "R\x00\x00\x00\x05hello"} {
			g := newGate(t)
			dir, err := os.MkdirTemp("", "h") //nolint:usetesting // the name must leave room for a socket's
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			g.Socket, g.Resident = filepath.Join(dir, "s"), true
			l, err := net.Listen("unix", g.Socket)
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					_, _ = c.Write([]byte(says))
					_ = c.(*net.UnixConn).CloseWrite()
				}
			}()
			if d := ask1(t, g, operator()); !d.Allowed {
				t.Errorf("%q: %+v", says, d)
			}
			l.Close()
		}
	})
}

func TestIdleExit(t *testing.T) {
	g, _ := resident(t, "300ms", plugin(t, "p", "pid"))
	plug := pid(t, g)
	eventually(t, "the socket goes", func() bool { _, err := os.Stat(g.Socket); return err != nil })
	eventually(t, "the checkers go", func() bool { return syscall.Kill(plug, 0) != nil })
}

// TestNobodyFindsIt: a host whose directory was removed ends.
func TestNobodyFindsIt(t *testing.T) {
	if testing.Short() {
		t.Skip("it looks every few seconds")
	}
	g, cmd := resident(t, "1h")
	if err := os.RemoveAll(filepath.Dir(g.Socket)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it ends", func() bool { return syscall.Kill(cmd.Process.Pid, 0) != nil })
}

// TestUpgrade: a host of another build is not believed, and goes.
func TestUpgrade(t *testing.T) {
	exe, _ := self(t)
	b, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	for name, replace := range map[string]func(string) error{
		"renamed over": func(path string) error {
			if err := os.WriteFile(path+".new", b, 0o755); err != nil {
				return err
			}
			return os.Rename(path+".new", path)
		},
		"touched": func(path string) error { return os.Chtimes(path, time.Unix(1, 0), time.Unix(1, 0)) },
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate(t, plugin(t, "p", "pid"))
			dir, err := os.MkdirTemp("", "h") //nolint:usetesting // the name must leave room for a socket's
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			g.Program = filepath.Join(dir, "covenant-gate")
			if err := os.WriteFile(g.Program, b, 0o755); err != nil {
				t.Fatal(err)
			}
			g.Socket, g.Resident = filepath.Join(dir, "run", "s"), true
			cmd := startHost(t, g, "1m")
			if !kept(t, g) {
				t.Fatal("not kept")
			}
			old := pid(t, g)
			if err := replace(g.Program); err != nil {
				t.Fatal(err)
			}
			if pid(t, g) == old {
				t.Error("the host of the other build answers")
			}
			eventually(t, "it goes", func() bool { return syscall.Kill(cmd.Process.Pid, 0) != nil })
			eventually(t, "another comes", func() bool { return reaches(g.Socket) && listener(t, g.Socket) != cmd.Process.Pid })
			if !kept(t, g) {
				t.Error("the new host is not used")
			}
			_ = syscall.Kill(listener(t, g.Socket), syscall.SIGTERM)
		})
	}
}

// TestAnotherUser: a host neither hears another user, nor is one of another user asked.
func TestAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can be somebody else")
	}
	const nobody = 65534
	as := func(what, socket string) *exec.Cmd {
		exe, _ := self(t)
		b, err := os.ReadFile(exe)
		if err != nil {
			t.Fatal(err)
		}
		dir, err := os.MkdirTemp("", "h") //nolint:usetesting // others must reach it
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		_ = os.Chmod(dir, 0o755)
		prog := filepath.Join(dir, "gate.test")
		if err := os.WriteFile(prog, b, 0o755); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(prog, "as another user", what, socket)
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		return cmd
	}
	t.Run("asks", func(t *testing.T) {
		g, _ := resident(t, "1m")
		// As if the directory did not keep them out.
		for dir := filepath.Dir(g.Socket); len(dir) > 4; dir = filepath.Dir(dir) {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(g.Socket, 0o777); err != nil {
			t.Fatal(err)
		}
		out, err := as("dial", g.Socket).CombinedOutput()
		if err != nil || string(out) != "connected\nEOF\n" {
			t.Errorf("%v: %s", err, out)
		}
	})
	t.Run("answers", func(t *testing.T) {
		dir, err := os.MkdirTemp("", "h") //nolint:usetesting // the name must leave room for a socket's
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		socket := filepath.Join(dir, "s")
		cmd := as("listen", socket)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
		eventually(t, "it listens", func() bool { return reaches(socket) })
		// As if it had got into our directory.
		if err := os.Chmod(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := gate.CheckPeer(conn, "/bin/true"); !errors.Is(err, gate.ErrOtherHost) {
			t.Error(err)
		}
		g := newGate(t)
		g.Socket, g.Resident = socket, true
		if d := ask1(t, g, operator()); !d.Allowed {
			t.Errorf("the cold path is not used: %+v", d)
		}
	})
}

func asAnotherUser(what, socket string) {
	switch what {
	case "dial":
		c, err := net.Dial("unix", socket)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("connected")
		_, err = c.Read(make([]byte, 1))
		fmt.Println(err)
	case "listen":
		syscall.Umask(0)
		l, err := net.Listen("unix", socket)
		if err != nil {
			os.Exit(1)
		}
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { // it would allow everything
				_, _ = c.Write([]byte{gate.Ready})
				var call gate.Call
				_ = gate.ReadFrame(c, &call)
				doc, err := gate.DecodeDocument(call.Document)
				if err != nil {
					return
				}
				r := gate.Result{Version: 1}
				for _, q := range doc.Requests {
					a := pluginapi.AllowAll(q)
					r.Answers = append(r.Answers, []gate.Said{{Checker: gate.Builtin, Answer: &a}})
				}
				b, _ := json.Marshal(r)
				_ = gate.WriteFrame(c, gate.Reply{Version: 1, Result: b})
			}()
		}
	}
}
