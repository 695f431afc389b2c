package witnesscmd_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/witness"
	"github.com/open-covenant/covenant-git/cmd/internal/witnesscmd"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/tlog"
)

// buffer is read while a command writes to it.
type buffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// run is what the program does with arguments, in dir.
func run(t *testing.T, dir string, args ...string) (code int, out, talk string) {
	t.Helper()
	var o, e buffer
	env := &cli.Env{In: strings.NewReader(""), Out: &o, Err: &e, Dir: dir, Args0: "covenant-witness", Args: args, Now: time.Now}
	code = cli.Main(env, witnesscmd.New(env))
	return code, o.String(), e.String()
}

// logKey is the key of some log, and what signs its checkpoints.
func logKey(t *testing.T) (tlog.LogKey, identity.Signer) {
	t.Helper()
	s, err := identity.Generate(filepath.Join(t.TempDir(), "log"), "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	k, err := tlog.NewLogKey("example.org/log", s.Public())
	if err != nil {
		t.Fatal(err)
	}
	return k, s
}

func TestKey(t *testing.T) {
	dir := t.TempDir()
	code, made, talk := run(t, dir, "key", "--new", "--name", "witness.example/a", "--key", "k")
	if _, err := tlog.ParseWitnessKey(strings.TrimSuffix(made, "\n")); code != 0 || err != nil {
		t.Fatalf("exit %d, %q, %s, %v", code, made, talk, err)
	}
	if code, again, _ := run(t, dir, "key", "--name", "witness.example/a", "--key", "k"); code != 0 || again != made {
		t.Errorf("exit %d, %q", code, again)
	}
	for _, c := range []struct{ args, want string }{
		{"--new --name witness.example/a --key k", "hint: it is there already"},
		{"--name witness.example/a --key none", "hint: make one"},
		{"--new --name a+b --key other", "hint: a name has no spaces"},
		{"--key k", "required flag"},
	} {
		if code, out, talk := run(t, dir, append([]string{"key"}, strings.Fields(c.args)...)...); code != 2 || out != "" || !strings.Contains(talk, c.want) {
			t.Errorf("%s: exit %d, %q, %s", c.args, code, out, talk)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "other")); err == nil {
		t.Error("a key was made for a name that is none")
	}
}

func TestServeRefuses(t *testing.T) {
	dir := t.TempDir()
	log, _ := logKey(t)
	if code, _, talk := run(t, dir, "key", "--new", "--name", "w", "--key", "k"); code != 0 {
		t.Fatal(talk)
	}
	for name, text := range map[string]string{"empty": "# no log\n\n", "wrong": "# one\n" + log.String() + "\njunk\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ args, want string }{
		{"--listen unix:s --state st", "needs the key of a log"},
		{"--listen unix:s --state st --logs empty", "needs the key of a log"},
		{"--listen unix:s --state st --logs wrong", "wrong: line 3: "},
		{"--listen unix:s --state st --log junk", "hint: the key of a log is what this prints"},
		{"--listen nowhere --state st --log " + log.String(), "it is ADDRESS:PORT or unix:PATH"},
		{"--listen unix: --state st --log " + log.String(), "needs a path"},
		{"--listen unix:s --state st --log " + log.String() + " --log " + log.String(), "has two keys"},
		{"--listen unix:s --log " + log.String(), "required flag"},
	} {
		args := append([]string{"serve", "--name", "w", "--key", "k"}, strings.Fields(c.args)...)
		if code, out, talk := run(t, dir, args...); code != 2 || out != "" || !strings.Contains(talk, c.want) {
			t.Errorf("%s: exit %d, %q, %s", c.args, code, out, talk)
		}
	}
}

// TestServe: it says its key and where it is, answers there, over a socket that a dead one left, and ends when it is asked to.
func TestServe(t *testing.T) {
	dir := t.TempDir()
	log, signer := logKey(t)
	_, key, _ := run(t, dir, "key", "--new", "--name", "w", "--key", "k")
	left, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	left.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = left.Close()
	for _, listen := range []string{"unix:s", "127.0.0.1:0"} {
		var out, talk buffer
		env := &cli.Env{In: strings.NewReader(""), Out: &out, Err: &talk, Dir: dir, Now: time.Now}
		cmd := witnesscmd.New(env)
		cmd.SetArgs([]string{"serve", "--name", "w", "--key", "k", "--state", "st", "--listen", listen, "--log", log.String()})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- cmd.ExecuteContext(ctx) }()
		at := ""
		for range 2000 {
			if _, rest, ok := strings.Cut(talk.String(), "listening on "); ok && strings.HasSuffix(rest, "\n") {
				at = strings.TrimSpace(rest)
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		e, err := witness.NewEndpoint(at, nil)
		if err != nil {
			t.Fatalf("%v: %s", err, talk.String())
		}
		c, err := tlog.Sign(log.Origin(), tlog.Tree{Size: 1, Root: tlog.Hash{1}}, signer)
		if err != nil {
			t.Fatal(err)
		}
		lines, err := e.Ask(t.Context(), c, 0, func(uint64) ([]tlog.Hash, error) { return nil, nil })
		if err != nil || !strings.HasPrefix(string(lines), "— w ") {
			t.Errorf("%s: %q, %v", listen, lines, err)
		}
		if code, _, said := run(t, dir, "serve", "--name", "w", "--key", "k", "--state", "st", "--listen", listen, "--log", log.String()); code != 2 || !strings.Contains(said, "hint: a witness has one process") {
			t.Errorf("%s: a second one: exit %d, %s", listen, code, said)
		}
		if listen == "unix:s" {
			if code, _, said := run(t, dir, "serve", "--name", "w", "--key", "k", "--state", "st2", "--listen", listen, "--log", log.String()); code != 2 || !strings.Contains(said, "somebody answers there already") {
				t.Errorf("on its socket: exit %d, %s", code, said)
			}
		}
		e.Close()
		stop()
		if err := <-done; err != nil || out.String() != key {
			t.Errorf("%s: ended with %v; printed %q", listen, err, out.String())
		}
		if !strings.Contains(talk.String(), " 200 example.org/log 1 entries\n") {
			t.Errorf("%s: %s", listen, talk.String())
		}
	}
}
