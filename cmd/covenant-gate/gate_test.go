//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/open-covenant/covenant-git/plugins/pluginapi"
	"github.com/open-covenant/covenant-git/plugins/pluginwire"
	"github.com/open-covenant/covenant-git/runtime/gate"
)

// The test's own program is covenant-gate, and a plugin that is told by its configuration
// what to do.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "decide" || os.Args[1] == "serve" || os.Args[1] == "checker") {
		main()
		return
	}
	if os.Getenv("PLUGIN_MAGIC_COOKIE") != "" {
		pluginwire.Serve(obedient{})
		return
	}
	if len(os.Args) == 4 && os.Args[1] == "as another user" {
		asAnotherUser(os.Args[2], os.Args[3])
		return
	}
	os.Exit(m.Run())
}

type obedient struct{}

func (obedient) Check(_ context.Context, rs []*pluginapi.Request) ([]pluginapi.Answer, error) {
	as := make([]pluginapi.Answer, 0, len(rs))
	for _, r := range rs {
		switch r.Config["do"] {
		case "allow":
			as = append(as, pluginapi.AllowAll(r))
		case "second":
			if len(r.Chains) < 2 {
				as = append(as, pluginapi.Deny(r, "there is no second"))
				continue
			}
			as = append(as, pluginapi.Allow(r, 1))
		case "pid":
			as = append(as, pluginapi.Deny(r, strconv.Itoa(os.Getpid())))
		case "hang":
			time.Sleep(time.Hour)
		case "descriptors":
			said := ""
			for fd := range 64 {
				if name, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd)); err == nil {
					said += name + "\n"
				}
			}
			as = append(as, pluginapi.Deny(r, said))
		case "die":
			os.Exit(1)
		default:
			as = append(as, pluginapi.Deny(r, "as told"))
		}
	}
	return as, nil
}

func self(t *testing.T) (path, digest string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	d, err := gate.Digest(exe)
	if err != nil {
		t.Fatal(err)
	}
	return exe, d
}

func plugin(t *testing.T, name, do string) gate.Plugin {
	t.Helper()
	exe, d := self(t)
	return gate.Plugin{Name: name, Path: exe, Digest: d, Config: map[string]string{"do": do}}
}

func newGate(t *testing.T, plugins ...gate.Plugin) *gate.Gate {
	t.Helper()
	exe, _ := self(t)
	return &gate.Gate{Program: exe, Plugins: plugins, Timeout: 30 * time.Second, Env: []string{"GORACE=atexit_sleep_ms=0"}}
}

func operator() *pluginapi.Request {
	return &pluginapi.Request{
		At: "2026-11-24T07:22:23Z", Action: "repo.commit",
		Principal: pluginapi.Principal{Name: "ada", Kind: "human", Accountable: "ada", Operator: true},
	}
}

func agent(chains int) *pluginapi.Request {
	r := &pluginapi.Request{
		At: "2026-11-24T07:22:23Z", Action: "repo.commit",
		Principal: pluginapi.Principal{Name: "coder", Kind: "agent", Accountable: "ada"},
	}
	for i := range chains {
		r.Chains = append(r.Chains, pluginapi.Chain{{ID: "g" + strconv.Itoa(i), Action: "repo.commit", Scope: []byte(`{"version":1}`), By: "ada", To: "coder"}})
	}
	return r
}

func ask1(t *testing.T, g *gate.Gate, r *pluginapi.Request) gate.Decision {
	t.Helper()
	ds, err := g.Ask(t.Context(), []*pluginapi.Request{r})
	if err != nil {
		t.Fatal(err)
	}
	return ds[0]
}

// TestNoDescriptors: a plugin gets no file that somebody before us left open.
func TestNoDescriptors(t *testing.T) {
	if _, err := os.Readlink("/proc/self/fd/0"); err != nil {
		t.Skip(err)
	}
	name := filepath.Join(t.TempDir(), "secret")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if flags, err := unix.FcntlInt(f.Fd(), unix.F_SETFD, 0); err != nil {
		t.Fatal(flags, err)
	}
	out, err := exec.Command("ls", "-l", "/proc/self/fd").CombinedOutput()
	if err != nil || !strings.Contains(string(out), name) {
		t.Fatalf("a child does not inherit it: %s, %v", out, err)
	}
	if d := ask1(t, newGate(t, plugin(t, "look", "descriptors")), operator()); !strings.Contains(d.Reason, "/dev/null") || strings.Contains(d.Reason, "secret") {
		t.Errorf("open in a plugin:\n%s", d.Reason)
	}
}

func TestColdDecisions(t *testing.T) {
	second, no := plugin(t, "second", "second"), plugin(t, "no", "deny")
	d := ask1(t, newGate(t, second), agent(3))
	if !d.Allowed || fmt.Sprint(d.Chains) != "[1]" || fmt.Sprint(d.Checkers) != "[scope@builtin "+second.FullName()+"]" {
		t.Errorf("%+v", d)
	}
	if d = ask1(t, newGate(t), operator()); !d.Allowed {
		t.Errorf("%+v", d)
	}
	if d = ask1(t, newGate(t), agent(0)); d.Allowed || d.Checker != gate.Builtin || d.Reason == "" {
		t.Errorf("%+v", d)
	}
	if d = ask1(t, newGate(t, second, no), agent(3)); d.Allowed || d.Checker != no.FullName() || d.Reason != "as told" || d.Chains != nil {
		t.Errorf("%+v", d)
	}
	ds, err := newGate(t, second).Ask(t.Context(), []*pluginapi.Request{agent(2), agent(0), {}, agent(3)})
	if err != nil || !ds[0].Allowed || ds[1].Allowed || ds[2].Allowed || ds[2].Reason == "" || !ds[3].Allowed {
		t.Errorf("%+v, %v", ds, err)
	}
}

func TestEveryFailureDenies(t *testing.T) {
	wrong, gone, hang, die := plugin(t, "p", "allow"), plugin(t, "p", "allow"), plugin(t, "p", "hang"), plugin(t, "p", "die")
	wrong.Digest = "sha256:" + strings.Repeat("0", 64)
	gone.Path = filepath.Join(t.TempDir(), "none")
	for want, p := range map[pluginapi.Failure]gate.Plugin{
		pluginapi.WrongDigest: wrong, pluginapi.Missing: gone, pluginapi.Timeout: hang, pluginapi.Died: die,
	} {
		g := newGate(t, p)
		if want == pluginapi.Timeout {
			g.Timeout = 5 * time.Second
		}
		if d := ask1(t, g, operator()); d.Allowed || d.Failure != want || d.Checker != p.FullName() || d.Reason == "" {
			t.Errorf("%s: %+v", want, d)
		}
	}
	for i, p := range []gate.Plugin{{Name: "../p", Path: "/x", Digest: "d"}, {Name: "", Path: "/x"}} {
		g := newGate(t, p)
		ds, err := g.Ask(t.Context(), []*pluginapi.Request{operator()})
		if err == nil || ds[0].Allowed {
			t.Errorf("%d: %+v", i, ds)
		}
	}
}

func TestDocumentsThatAreNone(t *testing.T) {
	for _, s := range []string{"", "{}", `{"version":2}`, `{"version":1,"requests":[{}]}`, `{"version":1,"requests":[null]}`, `{"version":1,"more":1}`} {
		if err := decide(strings.NewReader(s), &bytes.Buffer{}); !errors.Is(err, pluginapi.ErrInvalid) {
			t.Errorf("%s: %v", s, err)
		}
	}
}

func TestUsage(t *testing.T) {
	exe, _ := self(t)
	out, err := exec.Command(exe, "serve", "--sock", "x").CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.HasPrefix(string(out), "usage:") {
		t.Errorf("%v: %s", err, out)
	}
}
