package install_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/hooks/install"
)

// manager returns the path of a real hook manager below $COVENANT_MANAGERS, or skips
// the test when that is not set. Who sets it wants them all.
func manager(t *testing.T, path ...string) string {
	t.Helper()
	top := os.Getenv("COVENANT_MANAGERS")
	if top == "" {
		t.Skip("COVENANT_MANAGERS is not set; .ci/managers installs them")
	}
	file := filepath.Join(append([]string{top, "node_modules"}, path...)...)
	if _, err := os.Stat(file); err != nil {
		t.Fatal(err)
	}
	return file
}

// run runs a program in the repository.
func (b *bench) run(program string, args ...string) {
	b.T.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Env = b.Dir, b.Env
	if out, err := cmd.CombinedOutput(); err != nil {
		b.T.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
}

func (b *bench) commit() string {
	b.T.Helper()
	b.Git("commit", "-q", "--allow-empty", "-m", "x")
	return b.calls()
}

func TestRealHusky(t *testing.T) {
	const line = "echo husky >>\"$LOG\"\n"
	for name, c := range map[string]struct {
		cli  []string
		args []string
		file string
		mode os.FileMode
	}{
		"8": {[]string{"husky8", "lib", "bin.js"}, []string{"install"}, "#!/usr/bin/env sh\n. \"$(dirname -- \"$0\")/_/husky.sh\"\n\n" + line, 0o755},
		"9": {[]string{"husky9", "bin.js"}, nil, line, 0o644},
	} {
		t.Run(name, func(t *testing.T) {
			cli := manager(t, c.cli...)
			b := newBench(t)
			file := filepath.Join(b.Dir, ".husky", "post-commit")
			put(t, file, c.file, c.mode)
			setUp := func() { b.run("node", append([]string{cli}, c.args...)...) }
			setUp()
			before := b.snapshot()

			o := b.files()
			if r := b.install(o); r.Manager != "husky" {
				t.Errorf("%+v", r)
			}
			b.wantState(o, install.Reached)
			if got := b.calls(); got != "" {
				t.Errorf("status ran hooks:\n%s", got)
			}
			if got := b.commit(); got != "covenant post-commit\nhusky\n" {
				t.Errorf("calls %q", got)
			}
			old := b.Git("rev-parse", "HEAD")
			b.Git("commit", "-q", "--amend", "--allow-empty", "-m", "y")
			if want := "covenant post-rewrite amend\n" + old + " " + b.Git("rev-parse", "HEAD") + "\n"; !strings.Contains(b.calls(), want) {
				t.Errorf("an amend does not come with %q", want)
			}

			setUp() // as each npm install does
			b.wantState(o, install.Reached)

			b.Env = append(b.Env, "HUSKY=0")
			o.Env = b.Env
			b.wantState(o, install.Shadowed)
			b.Env = append(b.Env, "HUSKY=")
			o.Env = b.Env

			b.uninstall(install.Options{})
			if after := b.snapshot(); after != before {
				t.Errorf("before\n%s\nafter\n%s", before, after)
			}
			if got := b.commit(); got != "husky\n" {
				t.Errorf("calls %q", got)
			}

			// A clone in which husky was not set up runs no hook at all.
			b.install(o)
			if err := os.RemoveAll(filepath.Join(b.Dir, ".husky", "_")); err != nil {
				t.Fatal(err)
			}
			b.wantState(o, install.Shadowed)
		})
	}
}

// TestRealHuskyBesideGate: a hook of husky that refuses still does, and so does ours.
func TestRealHuskyBesideGate(t *testing.T) {
	cli := manager(t, "husky9", "bin.js")
	b := newBench(t)
	put(t, filepath.Join(b.Dir, ".husky", "pre-push"), "cat >>\"$LOG\"\nexit ${FOREIGN_EXIT-0}\n", 0o644)
	b.run("node", cli)
	o := b.files()
	o.Moments = []string{"pre-push", "reference-transaction"}
	b.install(o)
	b.wantState(o, install.Reached, o.Moments...)
	b.Git("commit", "-q", "--allow-empty", "-m", "x")
	b.calls()
	remote := filepath.Join(t.TempDir(), "remote")
	b.Git("init", "-q", "--bare", remote)
	b.Git("push", "-q", remote, "HEAD:main")
	if got := b.calls(); strings.Count(got, " refs/heads/main ") < 2 {
		t.Errorf("both get what Git writes, but\n%s", got)
	}
	for _, refuse := range []string{"FOREIGN_EXIT=1", "COVENANT_EXIT=1"} {
		cmd := exec.Command("git", "push", "-q", remote, "HEAD:other")
		cmd.Dir, cmd.Env = b.Dir, append(append([]string{}, b.Env...), refuse)
		if cmd.Run() == nil {
			t.Errorf("%s, and the push goes on", refuse)
		}
	}
	b.uninstall(install.Options{})
}

func TestRealLefthook(t *testing.T) {
	lefthook := manager(t, ".bin", "lefthook")
	for _, first := range []string{"lefthook", "covenant"} {
		t.Run(first+" first", func(t *testing.T) {
			b := newBench(t)
			b.Env = append(b.Env, "LEFTHOOK_QUIET=meta,summary,execution", "LEFTHOOK_BIN="+lefthook)
			put(t, filepath.Join(b.Dir, "lefthook.yml"), "post-commit:\n  jobs:\n    - run: echo lefthook >>\"$LOG\"\n", 0o644)
			o := b.files()
			if first == "lefthook" {
				b.run(lefthook, "install")
				before := b.snapshot()
				b.install(o)
				b.wantState(o, install.Reached)
				if got := b.commit(); got != "lefthook\ncovenant post-commit\n" {
					t.Errorf("calls %q", got)
				}
				b.uninstall(install.Options{})
				if after := b.snapshot(); after != before {
					t.Errorf("before\n%s\nafter\n%s", before, after)
				}
				b.install(o)
			} else {
				b.install(o)
			}

			// lefthook moves aside what it finds. Status sees it, and installing mends it.
			b.run(lefthook, "install", "--force")
			s := b.status(o)["post-commit"]
			if s.State != install.Shadowed || !strings.Contains(s.By, "lefthook") || s.Mend != "covenant hooks install" {
				t.Errorf("%+v", s)
			}
			b.install(o)
			b.wantState(o, install.Reached)
			if got := b.commit(); got != "lefthook\ncovenant post-commit\n" {
				t.Errorf("calls %q", got)
			}
			b.uninstall(install.Options{})
			if got := b.commit(); got != "lefthook\n" {
				t.Errorf("calls %q", got)
			}
		})
	}
}

func TestRealPreCommit(t *testing.T) {
	manager(t)
	preCommit, err := exec.LookPath("pre-commit")
	if err != nil {
		t.Fatal(err)
	}
	const config = `repos:
- repo: local
  hooks:
  - id: say
    name: say
    language: system
    entry: sh -c 'echo pre-commit >>"$LOG"'
    always_run: true
    pass_filenames: false
    stages: [post-commit, post-rewrite]
`
	for _, first := range []string{"pre-commit", "covenant"} {
		t.Run(first+" first", func(t *testing.T) {
			b := newBench(t)
			put(t, filepath.Join(b.Dir, ".pre-commit-config.yaml"), config, 0o644)
			put(t, b.hook("post-commit"), "#!/bin/sh\necho foreign >>\"$LOG\"\n", 0o755)
			b.Git("add", "-A")
			b.Git("commit", "-q", "-m", "base")
			b.calls()
			o := b.files()
			setUp := func() { b.run(preCommit, "install", "-t", "post-commit", "-t", "post-rewrite") }
			if first == "covenant" {
				b.install(o)
				setUp()
				b.wantState(o, install.Reached, "post-commit")
				b.wantState(o, install.Shadowed, "post-rewrite")
			} else {
				setUp()
			}
			b.install(o)
			for range 2 {
				b.wantState(o, install.Reached)
				if got := b.calls(); got != "" {
					t.Errorf("status ran hooks:\n%s", got)
				}
				if got := b.commit(); got != "foreign\ncovenant post-commit\npre-commit\n" {
					t.Errorf("calls %q", got)
				}
				setUp() // as each new clone of its users does
				b.install(o)
			}
			old := b.Git("rev-parse", "HEAD")
			b.Git("commit", "-q", "--amend", "--allow-empty", "-m", "y")
			if got, want := b.calls(), "covenant post-rewrite amend\n"+old+" "+b.Git("rev-parse", "HEAD")+"\n"; strings.Count(got, want) != 1 {
				t.Errorf("%q is not once in\n%s", want, got)
			}

			b.uninstall(install.Options{})
			if strings.Contains(b.snapshot(), "covenant") {
				t.Errorf("left\n%s", b.snapshot())
			}
			if got := b.commit(); got != "foreign\npre-commit\n" {
				t.Errorf("calls %q", got)
			}
			b.run(preCommit, "uninstall", "-t", "post-commit", "-t", "post-rewrite")
			if got := b.commit(); got != "foreign\n" {
				t.Errorf("calls %q", got)
			}
		})
	}
}
