package main_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// world is a home directory and the programs, for tests that are no stories.
type world struct {
	t   *testing.T
	dir string
	bin string
	env []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	bin := buildPrograms(t)
	w := &world{t: t, dir: t.TempDir(), bin: bin}
	home := filepath.Join(w.dir, "home")
	if err := os.MkdirAll(home, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, ".gitconfig"), []byte(gitconfig), 0o600); err != nil {
		t.Fatal(err)
	}
	w.env = []string{
		"HOME=" + home, "PATH=" + bin + string(filepath.ListSeparator) + os.Getenv("PATH"), "XDG_CONFIG_HOME=" + filepath.Join(home, ".config"),
		"GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "LC_ALL=C", "TZ=UTC",
	}
	return w
}

// try runs a program in a directory of the world.
func (w *world) try(dir string, args ...string) (string, error) {
	name := args[0]
	if name == "covenant" {
		name = filepath.Join(w.bin, name)
	}
	cmd := exec.Command(name, args[1:]...)
	cmd.Dir, cmd.Env = filepath.Join(w.dir, dir), w.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %s: %w\n%s", dir, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), err
}

func (w *world) run(dir string, args ...string) string {
	w.t.Helper()
	out, err := w.try(dir, args...)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *world) commit(dir, file, text string) error {
	if err := os.WriteFile(filepath.Join(w.dir, dir, file), []byte(text), 0o600); err != nil {
		return err
	}
	if _, err := w.try(dir, "git", "add", file); err != nil {
		return err
	}
	_, err := w.try(dir, "git", "commit", "-q", "-m", text)
	return err
}

// founded makes a bare repository "server" and a governed clone "founder" that has published, and returns the root.
func (w *world) founded() string {
	w.t.Helper()
	w.run("", "git", "init", "-q", "--bare", "server")
	w.run("", "git", "-C", "server", "config", "http.receivepack", "true")
	w.run("", "git", "clone", "-q", "server", "founder")
	w.run("founder", "covenant", "init", "--operator", "ada", "--no-fetch")
	w.run("founder", "git", "config", "covenant.origin.publish", "true")
	if err := w.commit("founder", "begin", "begin\n"); err != nil {
		w.t.Fatal(err)
	}
	w.run("founder", "git", "push", "-q", "origin", "main")
	return w.run("founder", "git", "config", "covenant.root")
}

// Ten clones push twenty commits each at once: nothing is lost, nothing doubled, nobody does anything by hand, and one
// sync of each makes them all the same.
func TestSyncConverges(t *testing.T) {
	if testing.Short() {
		t.Skip("ten clones take a while")
	}
	const clones, commits = 10, 20
	w := newWorld(t)
	root := w.founded()
	name := func(i int) string { return fmt.Sprintf("clone%d", i) }
	for i := range clones {
		w.run("", "git", "clone", "-q", "server", name(i))
		w.run(name(i), "covenant", "init", "--root", root)
		w.run(name(i), "covenant", "identity", "use", "ada")
		w.run(name(i), "git", "config", "covenant.origin.publish", "true")
		w.run(name(i), "git", "switch", "-q", "-c", name(i))
	}
	all := func(work func(i int) error) {
		t.Helper()
		var wg sync.WaitGroup
		errs := make([]error, clones)
		for i := range clones {
			wg.Go(func() { errs[i] = work(i) })
		}
		wg.Wait()
		for _, err := range errs {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	all(func(i int) error {
		for n := range commits {
			if err := w.commit(name(i), "file", fmt.Sprintf("%d of %d\n", n, i)); err != nil {
				return err
			}
		}
		return nil
	})
	all(func(i int) error {
		out, err := w.try(name(i), "git", "push", "-q", "origin", "HEAD")
		if err == nil && out != "" {
			err = fmt.Errorf("%s: a push said: %s", name(i), out)
		}
		return err
	})
	for i := range clones { // each ledger is there, whole
		for _, ref := range strings.Fields(w.run(name(i), "git", "for-each-ref", "--format=%(refname)", "refs/covenant/ledger")) {
			if here, there := w.run(name(i), "git", "rev-parse", ref), w.run("server", "git", "rev-parse", ref); here != there {
				t.Errorf("%s: %s is at %s, and at %s on the server", name(i), ref, here, there)
			}
		}
	}
	for range 2 { // the last one's notes reach the first one with the second
		all(func(i int) error { _, err := w.try(name(i), "covenant", "sync"); return err })
	}
	all(func(i int) error { _, err := w.try(name(i), "covenant", "sync"); return err })
	want := w.run(name(0), "git", "for-each-ref", "refs/covenant", "refs/notes")
	entries := w.run(name(0), "git", "rev-list", "--count", "--glob=refs/covenant/ledger/provenance/*")
	if entries != fmt.Sprint(2*(clones*commits+1)) {
		t.Errorf("%s entries, want a decision and a seal for each of %d commits", entries, clones*commits+1)
	}
	for i := range clones {
		if got := w.run(name(i), "git", "for-each-ref", "refs/covenant", "refs/notes"); got != want {
			t.Errorf("%s has\n%s\nand clone0 has\n%s", name(i), got, want)
		}
		if out := w.run(name(i), "covenant", "sync"); out != "" {
			t.Errorf("%s: a sync with nothing new says %s", name(i), out)
		}
	}
	w.run(name(0), "git", "fetch", "-q")
	for i := range clones {
		if out := w.run(name(0), "covenant", "verify", "origin/"+name(i)); strings.Contains(out, "warning") {
			t.Errorf("of %s: %s", name(i), out)
		}
	}
	out := w.run(name(0), "covenant", "doctor")
	if !strings.HasPrefix(out, "the key of the operator ada has no passphrase") || strings.Contains(out, "\n") {
		t.Errorf("doctor, of which nothing but ada's key should be known: %s", out)
	}
}

// A sync and the hook's push go over every transport of Git, against hosting that knows nothing of us.
func TestSyncTransports(t *testing.T) {
	backend, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(strings.TrimSpace(string(backend)), "git-http-backend")
	for _, c := range []struct {
		name string
		url  func(t *testing.T, w *world) string
	}{
		{"file", func(_ *testing.T, w *world) string {
			return "file://" + filepath.ToSlash(filepath.Join(w.dir, "server"))
		}},
		{"path", func(_ *testing.T, w *world) string { return filepath.Join(w.dir, "server") }},
		{"http", func(t *testing.T, w *world) string {
			if _, err := os.Stat(exe); err != nil {
				t.Skip("this Git has no http-backend")
			}
			srv := httptest.NewServer(&cgi.Handler{Path: exe, Dir: w.dir, Env: []string{"GIT_PROJECT_ROOT=" + w.dir, "GIT_HTTP_EXPORT_ALL=1", "HOME=" + filepath.Join(w.dir, "home")}, InheritEnv: []string{"PATH"}, Stderr: io.Discard})
			t.Cleanup(srv.Close)
			resp, err := http.Get(srv.URL + "/server/info/refs?service=git-upload-pack")
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Fatalf("the web server: %v, %v", resp, err)
			}
			resp.Body.Close()
			return srv.URL + "/server"
		}},
		{"daemon", func(t *testing.T, w *world) string {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			at := l.Addr().(*net.TCPAddr)
			l.Close()
			ctx, cancel := context.WithCancel(context.Background())
			cmd := exec.CommandContext(ctx, "git", "daemon", "--listen=127.0.0.1", fmt.Sprintf("--port=%d", at.Port), "--base-path="+w.dir, "--export-all", "--enable=receive-pack", "--reuseaddr")
			cmd.Env, cmd.WaitDelay = w.env, 5*time.Second
			cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
			var said bytes.Buffer
			cmd.Stderr = &said
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { cancel(); _ = cmd.Wait() })
			for range 100 {
				if c, err := net.Dial("tcp", at.String()); err == nil {
					c.Close()
					return fmt.Sprintf("git://127.0.0.1:%d/server", at.Port)
				}
				time.Sleep(50 * time.Millisecond)
			}
			t.Fatalf("git daemon does not answer: %s", said.String())
			return ""
		}},
		{"ssh", func(t *testing.T, w *world) string { // what sshd would do with the command that Git asks for
			wrap := filepath.Join(w.dir, "ssh")
			if err := os.WriteFile(wrap, []byte("#!/bin/sh\nwhile [ $# -gt 1 ]; do shift; done\nexec env -u GIT_DIR -u GIT_OBJECT_DIRECTORY -u GIT_ALTERNATE_OBJECT_DIRECTORIES sh -c \"$1\"\n"), 0o700); err != nil { //nolint:gosec // it is to be started
				t.Fatal(err)
			}
			w.env = append(w.env, "GIT_SSH="+wrap, "GIT_SSH_VARIANT=ssh")
			return "ssh://git@example.invalid" + filepath.ToSlash(filepath.Join(w.dir, "server"))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			root := w.founded()
			url := c.url(t, w)
			w.run("founder", "git", "remote", "set-url", "origin", url)
			w.run("", "git", "clone", "-q", url, "clone")
			w.run("clone", "covenant", "init", "--root", root)
			w.run("clone", "covenant", "identity", "use", "ada")
			w.run("clone", "git", "config", "covenant.origin.publish", "true")
			if err := w.commit("clone", "a", "there\n"); err != nil {
				t.Fatal(err)
			}
			if out := w.run("clone", "git", "push", "-q", "origin", "main"); out != "" {
				t.Errorf("push: %s", out)
			}
			if out := w.run("founder", "git", "pull", "-q", "--ff-only"); out != "" {
				t.Errorf("pull: %s", out)
			}
			if out := w.run("founder", "covenant", "verify"); !strings.Contains(out, "2 sealed") || strings.Contains(out, "warning") {
				t.Errorf("verify: %s", out)
			}
			if out := w.run("founder", "covenant", "sync"); out != "" {
				t.Errorf("nothing is new, and sync says %s", out)
			}
			w.run("clone", "covenant", "sync", "--purge", "origin", "--yes")
			if out := w.run("server", "git", "for-each-ref", "refs/covenant", "refs/notes"); out != "" {
				t.Errorf("purged: %s", out)
			}
		})
	}
}
