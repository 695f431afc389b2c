package cli_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
)

type result struct {
	code     int
	out, err string
	dir      string
}

var errBroken = errors.New("broken")

// call runs a small program with one command for each way to end.
func call(t *testing.T, change func(*cli.Env), args ...string) result {
	t.Helper()
	var out, talk strings.Builder
	env := &cli.Env{
		In: strings.NewReader(""), Out: &out, Err: &talk,
		Dir: t.TempDir(), Args0: "/opt/bin/prog", Args: args,
		Now: func() time.Time { return time.Unix(0, 0) },
	}
	if change != nil {
		change(env)
	}
	root := &cobra.Command{Use: "prog", Short: "A program"}
	leaf := func(use string, run func(*cobra.Command, []string) error) *cobra.Command {
		c := &cobra.Command{Use: use, Short: use, RunE: run}
		c.Flags().Bool("json", false, "print JSON")
		return c
	}
	group := &cobra.Command{Use: "key", Short: "Keys"}
	group.AddCommand(leaf("new", func(*cobra.Command, []string) error { return nil }))
	one := leaf("one FILE", func(_ *cobra.Command, args []string) error {
		fmt.Fprintln(&out, env.Path(args[0]))
		return nil
	})
	one.Args = cobra.ExactArgs(1)
	root.AddCommand(
		group, one,
		leaf("yes", func(*cobra.Command, []string) error { fmt.Fprintln(&out, "yes"); return nil }),
		leaf("no", func(*cobra.Command, []string) error { return cli.No(errors.New("unsealed \x1b[2J")) }),
		leaf("quiet", func(*cobra.Command, []string) error { return cli.No(nil) }),
		leaf("pass", func(*cobra.Command, []string) error { return cli.Code(7, nil) }),
		leaf("own", func(*cobra.Command, []string) error { return cli.Code(cli.ExitOwn, errBroken) }),
		leaf("fail", func(*cobra.Command, []string) error {
			return fmt.Errorf("outer: %w", cli.Hint(errBroken, "mend it", "or not"))
		}),
	)
	code := cli.Main(env, root)
	return result{code, out.String(), talk.String(), env.Dir}
}

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
		err  string
	}{
		{"yes", 0, ""},
		{"no", 1, "error: unsealed \\x1b[2J\n"},
		{"quiet", 1, ""},
		{"pass", 7, ""},
		{"own", 125, "error: broken\n"},
		{"fail", 2, "error: outer: broken\nhint: mend it\nhint: or not\n"},
		{"fail --json", 2, `{"type":"error","code":2,"message":"outer: broken","hints":["mend it","or not"]}` + "\n"},
		{"quiet --json", 1, ""},
		{"yes x", 2, "error: prog yes takes no arguments, got x\nhint: see: prog yes --help\n"},
		{"one", 2, "error: prog one takes FILE, and got nothing\nhint: usage: prog one FILE\nhint: see: prog one --help\n"},
		{"yes --nope", 2, "error: unknown flag: --nope\nhint: see: prog yes --help\n"},
		{"yes --nope --json", 2, `{"type":"error","code":2,"message":"unknown flag: --nope","hints":["see: prog yes --help"]}` + "\n"},
		{"yes -- --json", 2, "error: prog yes takes no arguments, got --json\nhint: see: prog yes --help\n"},
		{"key", 2, "error: prog key needs one of: new\nhint: see: prog key --help\n"},
		{"key old", 2, "error: prog key has no command old, only: new\nhint: see: prog key --help\n"},
		{"help nope", 2, "error: no help for nope\nhint: see: prog help --help\n"},
		{"fial", 2, "error: prog has no command fial, and there is no program prog-fial\nhint: did you mean: prog fail\nhint: see: prog --help\n"},
		{"../yes", 2, "error: prog has no command ../yes, and there is no program prog-../yes\nhint: see: prog --help\n"},
		{"-C", 2, "error: -C needs a directory\nhint: see: prog --help\n"},
	} {
		t.Run(c.args, func(t *testing.T) {
			got := call(t, nil, strings.Fields(c.args)...)
			if got.code != c.code || got.err != c.err {
				t.Errorf("exit %d, stderr\n%swant %d\n%s", got.code, got.err, c.code, c.err)
			}
			if c.code != 0 && got.out != "" {
				t.Errorf("a failure writes to stdout: %q", got.out)
			}
		})
	}
}

func TestHelpIsData(t *testing.T) {
	for _, args := range [][]string{{}, {"--help"}, {"help"}, {"help", "key"}, {"key", "-h"}, {"yes", "--help"}} {
		got := call(t, nil, args...)
		if got.code != 0 || got.err != "" || !strings.Contains(got.out, "prog") {
			t.Errorf("%q: exit %d, stdout %q, stderr %q", args, got.code, got.out, got.err)
		}
	}
}

func TestCompletion(t *testing.T) {
	got := call(t, nil, "__complete", "ke")
	if got.code != 0 || !strings.HasPrefix(got.out, "key\tKeys\n") {
		t.Errorf("exit %d, stdout %q, stderr %q", got.code, got.out, got.err)
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if got := call(t, nil, "completion", shell); got.code != 0 || !strings.Contains(got.out, "prog") {
			t.Errorf("%s: exit %d, stderr %q", shell, got.code, got.err)
		}
	}
}

func TestDirectory(t *testing.T) {
	base := t.TempDir()
	if err := os.MkdirAll(filepath.Join(base, "a", "b"), 0o755); err != nil {
		t.Fatal(err)
	}
	in := func(e *cli.Env) { e.Dir = base }
	got := call(t, in, "-C", "a", "-C", "b", "one", "f")
	if want := filepath.Join(base, "a", "b", "f") + "\n"; got.code != 0 || got.out != want {
		t.Errorf("exit %d, stdout %q, want %q; stderr %s", got.code, got.out, want, got.err)
	}
	if got := call(t, in, "-C", "none", "yes"); got.code != 2 || got.out != "" {
		t.Errorf("missing directory: exit %d, stdout %q", got.code, got.out)
	}
}

func TestMultiCall(t *testing.T) {
	for _, c := range []struct {
		args0, args, out string
	}{
		{"prog-yes", "", "yes\n"},
		{"/usr/bin/prog-yes", "", "yes\n"},
		{"prog-yes.exe", "", "yes\n"},
		{"git-prog", "yes", "yes\n"},
		{"prog-linux-amd64", "yes", "yes\n"},
	} {
		got := call(t, func(e *cli.Env) { e.Args0 = c.args0 }, strings.Fields(c.args)...)
		if got.code != 0 || got.out != c.out {
			t.Errorf("%s %s: exit %d, stdout %q, stderr %q", c.args0, c.args, got.code, got.out, got.err)
		}
	}
}

func TestExternal(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the programs of this test are shell scripts")
	}
	script := func(dir, name, body string, mode os.FileMode) {
		t.Helper()
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+body+"\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	base := t.TempDir()
	bin, path := filepath.Join(base, "bin"), filepath.Join(base, "path")
	script(bin, "prog-both", "echo sibling", 0o755)
	script(path, "prog-both", "echo path", 0o755)
	script(path, "prog-args", `printf '[%s]' "$@"; cat; pwd; echo "$MARK" >&2; exit 3`, 0o755)
	script(path, "prog-yes", "echo shadowed", 0o755)
	script(path, "prog-plain", "echo no", 0o644)
	script(path, "prog-dies", "kill -TERM $$", 0o755)
	script(filepath.Join(base, "work"), "prog-local", "echo no", 0o755)
	setup := func(e *cli.Env) {
		e.Dir = filepath.Join(base, "work")
		e.Exe = filepath.Join(bin, "prog")
		e.In = strings.NewReader("stdin ")
		e.Environ = []string{"MARK=wrong", "PATH=." + string(filepath.ListSeparator) + path + string(filepath.ListSeparator) + "/bin", "MARK=right"}
	}
	for _, c := range []struct {
		args     string
		code     int
		out, err string
	}{
		{"both", 0, "sibling\n", ""},
		{"args -x --help", 3, "[-x][--help]stdin " + filepath.Join(base, "work") + "\n", "right\n"},
		{"yes", 0, "yes\n", ""},
		{"dies", 143, "", ""},
		{"plain", 2, "", "*"},
		{"local", 2, "", "*"},
		{"Both", 2, "", "*"},
	} {
		t.Run(c.args, func(t *testing.T) {
			got := call(t, setup, strings.Fields(c.args)...)
			if got.code != c.code || got.out != c.out || c.err != "*" && got.err != c.err {
				t.Errorf("exit %d, stdout %q, stderr %q", got.code, got.out, got.err)
			}
		})
	}
}

// TestSibling: a program that does the work of a command in a group gets its arguments as they are, and its code is ours.
func TestSibling(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the programs of this test are shell scripts")
	}
	bin := t.TempDir()
	for name, body := range map[string]string{
		"prog-more":  `printf '[%s]' "$@"; exit 3`,
		"prog-waits": `trap 'echo ended; exit 0' TERM; echo ready >"$READY"; while :; do sleep 0.02; done`,
	} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	ready := filepath.Join(t.TempDir(), "ready")
	env := &cli.Env{In: strings.NewReader(""), Out: &out, Err: &out, Dir: bin, Exe: filepath.Join(bin, "prog"), Environ: []string{"PATH=/usr/bin:/bin", "READY=" + ready}}
	if err := cli.Sibling(t.Context(), env, "prog-more", "--help", "a b", "--", "-x"); cli.ExitCode(err) != 3 || out.String() != "[--help][a b][--][-x]" {
		t.Errorf("%v, %q", err, out.String())
	}
	for _, none := range []string{"prog-none", "../prog-more", "", "-x"} {
		if err := cli.Sibling(t.Context(), env, none); !errors.Is(err, cli.ErrNoProgram) {
			t.Errorf("%q: %v", none, err)
		}
	}
	// One that is asked to end, and ends well, did well.
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		for range 1000 {
			if _, err := os.Stat(ready); err == nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	if err := cli.Sibling(ctx, env, "prog-waits"); err != nil || !strings.HasSuffix(out.String(), "ended\n") {
		t.Errorf("%v, %q", err, out.String())
	}
}

func TestHints(t *testing.T) {
	inner := cli.Hint(errBroken, "inner")
	err := cli.Hint(fmt.Errorf("a: %w", errors.Join(inner, cli.Hint(context.Canceled, "second"))), "outer")
	if got, want := cli.Hints(err), []string{"outer", "inner", "second"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if !errors.Is(err, errBroken) || !errors.Is(cli.No(err), context.Canceled) {
		t.Error("a hint hides the error it is for")
	}
	if cli.Hint(nil, "x") != nil || cli.Code(0, nil) != nil {
		t.Error("no error became one")
	}
	if got := cli.ExitCode(fmt.Errorf("x: %w", cli.No(err))); got != 1 {
		t.Errorf("a wrapped no exits %d", got)
	}
}

func TestJSONIsSafeOnATerminal(t *testing.T) {
	var out strings.Builder
	env := &cli.Env{Out: &out}
	in := map[string]string{"s": "<a&b>\u202e\x7f\u009b\x1b\U000e0041日本"}
	if err := env.JSON(in); err != nil {
		t.Fatal(err)
	}
	if want := `{"s":"<a&b>\u202e\u007f\u009b\u001b\udb40\udc41日本"}` + "\n"; out.String() != want {
		t.Errorf("got %s want %s", out.String(), want)
	}
	var back map[string]string
	if err := json.Unmarshal([]byte(out.String()), &back); err != nil || back["s"] != in["s"] {
		t.Errorf("reads back as %q, %v", back["s"], err)
	}
}

func TestLines(t *testing.T) {
	env := &cli.Env{In: strings.NewReader("x\r\n\ny")}
	got, err := env.Lines([]string{"a", "-", "b"})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"a", "x", "y", "b"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	env.In = strings.NewReader(strings.Repeat("z", 2<<20))
	if _, err := env.Lines([]string{"-"}); err == nil {
		t.Error("a line of 2 MiB is read")
	}
	env.In = strings.NewReader("\n\n")
	if got, err := env.Lines([]string{"a", "-"}); err == nil {
		t.Errorf("nothing is %q", got)
	}
}

func TestColourNeedsATerminal(t *testing.T) {
	for _, c := range []struct {
		tty     bool
		environ []string
		want    bool
	}{
		{false, nil, false},
		{true, nil, true},
		{true, []string{"NO_COLOR="}, true},
		{true, []string{"NO_COLOR=1"}, false},
		{true, []string{"TERM=dumb"}, false},
	} {
		env := &cli.Env{Err: &strings.Builder{}, StdoutTTY: c.tty, StderrTTY: c.tty, Environ: c.environ}
		if got := bool(env.Palette()); got != c.want {
			t.Errorf("stdout, %v %q: colour %v", c.tty, c.environ, got)
		}
		if got := bool(env.Talk().Palette()); got != c.want {
			t.Errorf("stderr, %v %q: colour %v", c.tty, c.environ, got)
		}
	}
}
