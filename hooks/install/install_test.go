package install_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/hooks/install"
)

// TestEachWay installs over everything that may be there, twice, commits, and takes
// it away: every file is as before.
func TestEachWay(t *testing.T) {
	foreign := "#!/bin/sh\necho foreign >>\"$LOG\"\n"
	situations := map[string]func(*bench){
		"nothing": func(*bench) {},
		"folder": func(b *bench) {
			if err := os.Mkdir(b.hook(""), 0o755); err != nil {
				b.T.Fatal(err)
			}
		},
		"hook":             func(b *bench) { put(b.T, b.hook("post-commit"), foreign, 0o755) },
		"private hook":     func(b *bench) { put(b.T, b.hook("post-commit"), foreign, 0o700) },
		"hook that is off": func(b *bench) { put(b.T, b.hook("post-commit"), "#!/bin/sh\necho off >>\"$LOG\"\n", 0o644) },
		"binary hook":      func(b *bench) { put(b.T, b.hook("post-merge"), "\x7fELF\x00\xff\r\n", 0o755) },
		"empty hook":       func(b *bench) { put(b.T, b.hook("post-merge"), "", 0o755) },
		"no interpreter":   func(b *bench) { put(b.T, b.hook("post-commit"), "echo foreign >>\"$LOG\"", 0o755) },
		"link": func(b *bench) {
			put(b.T, filepath.Join(b.Dir, "scripts", "hook"), foreign, 0o755)
			if err := os.MkdirAll(b.hook(""), 0o755); err != nil {
				b.T.Fatal(err)
			}
			if err := os.Symlink("../../scripts/hook", b.hook("post-commit")); err != nil {
				b.T.Skip(err)
			}
		},
		"local hooksPath": func(b *bench) {
			b.Git("config", "core.hooksPath", "githooks")
			put(b.T, filepath.Join(b.Dir, "githooks", "post-commit"), foreign, 0o755)
		},
		"local hooksPath, no folder": func(b *bench) { b.Git("config", "core.hooksPath", "githooks") },
		"husky 9": func(b *bench) {
			huskyNine(b)
			put(b.T, filepath.Join(b.Dir, ".husky", "post-commit"), "echo foreign >>\"$LOG\"\n", 0o644)
		},
		"husky 9, no newline": func(b *bench) {
			huskyNine(b)
			put(b.T, filepath.Join(b.Dir, ".husky", "post-commit"), "#!/bin/sh", 0o600)
		},
	}
	for _, dir := range gits() {
		for name, prepare := range situations {
			for _, files := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s/files=%v/git=%s", name, files, filepath.Base(dir)), func(t *testing.T) {
					b := newBenchGit(t, dir)
					prepare(b)
					before := b.snapshot()
					o := b.files()
					o.Files = files

					b.install(o)
					once := b.snapshot()
					if once == before {
						t.Fatal("nothing was installed")
					}
					for _, d := range b.install(o).Moments {
						if d.Action != install.Kept {
							t.Errorf("the second time: %+v", d)
						}
					}
					if twice := b.snapshot(); twice != once {
						t.Errorf("once\n%s\ntwice\n%s", once, twice)
					}
					b.wantState(o, install.Reached)
					if got := b.calls(); got != "" {
						t.Errorf("a probe did more than ask:\n%s", got)
					}

					b.Git("commit", "-q", "--allow-empty", "-m", "x")
					got := b.calls()
					if strings.Count(got, "covenant post-commit\n") != 1 {
						t.Errorf("git commit made these calls:\n%s", got)
					}
					if strings.Contains(before, "foreign") != strings.Contains(got, "foreign") || strings.Contains(got, "off") {
						t.Errorf("the hook from before: there %v; calls:\n%s", strings.Contains(before, "foreign"), got)
					}

					other := o
					other.Strict = true
					b.install(other)
					if b.snapshot() == once {
						t.Error("another option changed nothing")
					}
					b.uninstall(install.Options{})
					if after := b.snapshot(); after != before {
						t.Errorf("before\n%s\nafter\n%s", before, after)
					}
					b.wantState(o, install.NotInstalled)
					if r := b.uninstall(install.Options{}); len(r.Moments) != 0 {
						t.Errorf("nothing to take away, but %+v", r.Moments)
					}
				})
			}
		}
	}
}

// huskyNine makes what husky 9 makes; the stories meet the real one.
func huskyNine(b *bench) {
	b.Git("config", "core.hooksPath", ".husky/_")
	run := "#!/bin/sh\nf=$(dirname \"$(dirname \"$0\")\")/$(basename \"$0\")\n[ -f \"$f\" ] || exit 0\nsh -e \"$f\" \"$@\"\n"
	put(b.T, filepath.Join(b.Dir, ".husky", "_", "h"), "", 0o644)
	for _, m := range install.Moments {
		put(b.T, filepath.Join(b.Dir, ".husky", "_", m), run, 0o755)
	}
}

// TestCalledAsGitCalls: arguments and input reach both hooks, in the forms of Git.
func TestCalledAsGitCalls(t *testing.T) {
	foreign := "#!/bin/sh\n{ echo \"foreign $*\"; cat; } >>\"$LOG\"\n"
	for _, dir := range gits() {
		for _, files := range []bool{true, false} {
			t.Run(fmt.Sprintf("files=%v/git=%s", files, filepath.Base(dir)), func(t *testing.T) {
				b := newBenchGit(t, dir)
				for _, m := range []string{"post-rewrite", "post-merge", "post-applypatch"} {
					put(t, b.hook(m), foreign, 0o755)
				}
				o := b.files()
				o.Files = files
				b.install(o)
				b.Git("commit", "-q", "--allow-empty", "-m", "one")
				old := b.Git("rev-parse", "HEAD")
				b.calls()
				b.Git("commit", "-q", "--amend", "--allow-empty", "-m", "two")
				line := old + " " + b.Git("rev-parse", "HEAD") + "\n"
				got := b.calls()
				for _, want := range []string{"covenant post-commit\n", "covenant post-rewrite amend\n" + line, "foreign amend\n" + line} {
					if strings.Count(got, want) != 1 {
						t.Errorf("amend: %q is not once in\n%s", want, got)
					}
				}

				b.Git("checkout", "-q", "-b", "side")
				put(t, filepath.Join(b.Dir, "f"), "f\n", 0o644)
				b.Git("add", "f")
				b.Git("commit", "-q", "-m", "side")
				patch := filepath.Join(t.TempDir(), "p")
				put(t, patch, b.Git("format-patch", "--stdout", "-1"), 0o644)
				b.Git("checkout", "-q", "-")
				b.calls()
				b.Git("merge", "-q", "--no-ff", "-m", "merge", "side")
				if got := b.calls(); !strings.Contains(got, "covenant post-merge 0\n") || !strings.Contains(got, "foreign 0\n") {
					t.Errorf("merge:\n%s", got)
				}
				b.Git("reset", "-q", "--hard", "HEAD^")
				b.Git("am", "-q", patch)
				if got := b.calls(); !strings.Contains(got, "covenant post-applypatch\n") || !strings.Contains(got, "foreign \n") {
					t.Errorf("am:\n%s", got)
				}
			})
		}
	}
}

// TestFailuresCountAsBefore: what stopped Git before still does, and a hook that Git
// does not heed stops nothing.
func TestFailuresCountAsBefore(t *testing.T) {
	b := newBench(t)
	put(t, b.hook("pre-commit"), "#!/bin/sh\necho foreign >>\"$LOG\"\nexit ${FOREIGN_EXIT-0}\n", 0o755)
	put(t, b.hook("post-commit"), "#!/bin/sh\nexit 3\n", 0o755)
	put(t, b.hook("pre-push"), "#!/bin/sh\ncat >/dev/null\nexit ${FOREIGN_EXIT-0}\n", 0o755)
	o := b.files()
	o.Moments = []string{"pre-commit", "post-commit", "pre-push"}
	b.install(o)
	commit := func(env ...string) error {
		cmd := exec.Command("git", "commit", "-q", "--allow-empty", "-m", "x")
		cmd.Dir, cmd.Env = b.Dir, append(slices.Clone(b.Env), env...)
		return cmd.Run()
	}
	if err := commit(); err != nil {
		t.Errorf("both hooks say yes: %v", err)
	}
	if got, want := b.calls(), "foreign\ncovenant pre-commit\ncovenant post-commit\n"; got != want {
		t.Errorf("calls %q, want %q", got, want)
	}
	if commit("FOREIGN_EXIT=1") == nil {
		t.Error("the hook from before does not stop the commit")
	}
	if got := b.calls(); got != "foreign\n" {
		t.Errorf("after it said no: %q", got)
	}
	if commit("COVENANT_EXIT=1") == nil {
		t.Error("covenant-hook does not stop the commit")
	}
	b.calls()

	remote := filepath.Join(t.TempDir(), "remote")
	b.Git("init", "-q", "--bare", remote)
	push := func(env ...string) error {
		cmd := exec.Command("git", "push", "-q", remote, "HEAD:main")
		cmd.Dir, cmd.Env = b.Dir, append(slices.Clone(b.Env), env...)
		return cmd.Run()
	}
	if push("FOREIGN_EXIT=1") == nil || push("COVENANT_EXIT=1") == nil {
		t.Error("a push goes on after a hook said no")
	}
	b.calls()
	if err := push(); err != nil {
		t.Errorf("push: %v", err)
	}
	if got := b.calls(); !strings.Contains(got, "covenant pre-push "+remote) || !strings.Contains(got, b.Git("rev-parse", "HEAD")) {
		t.Errorf("pre-push got %q", got)
	}
}

func TestMissingBinary(t *testing.T) {
	for _, dir := range gits() {
		for _, files := range []bool{true, false} {
			for _, strict := range []bool{true, false} {
				t.Run(fmt.Sprintf("files=%v/strict=%v/git=%s", files, strict, filepath.Base(dir)), func(t *testing.T) {
					b := newBenchGit(t, dir)
					o := b.files()
					o.Files, o.Strict, o.Moments = files, strict, []string{"pre-commit", "post-commit"}
					b.install(o)
					if err := os.Remove(b.binary); err != nil {
						t.Fatal(err)
					}
					b.wantState(o, install.BinaryMissing, o.Moments...)
					commit := func() (string, error) {
						cmd := exec.Command("git", "commit", "-q", "--allow-empty", "-m", "x")
						cmd.Dir, cmd.Env = b.Dir, b.Env
						out, err := cmd.CombinedOutput()
						return string(out), err
					}
					out, err := commit()
					if (err != nil) != strict {
						t.Errorf("strict %v: %v", strict, err)
					}
					if !strings.Contains(out, "covenant: pre-commit did nothing") || strings.Count(out, "\n") > 3 {
						t.Errorf("it says %q", out)
					}

					// A program that cannot be started is none either.
					put(t, b.binary, "\x7fELF nonsense", 0o755)
					if out, err := commit(); (err != nil) != strict {
						t.Errorf("strict %v: %v\n%s", strict, err, out)
					}

					// PATH is the second place to look.
					if err := os.Remove(b.binary); err != nil {
						t.Fatal(err)
					}
					elsewhere := t.TempDir()
					put(t, filepath.Join(elsewhere, "covenant-hook"), fake, 0o755)
					b.Env = append(b.Env, "PATH="+elsewhere+string(filepath.ListSeparator)+os.Getenv("PATH"))
					o.Env = b.Env
					b.wantState(o, install.Reached, o.Moments...)
					if out, err := commit(); err != nil {
						t.Errorf("from PATH: %v\n%s", err, out)
					}
					if got := b.calls(); got != "covenant pre-commit\ncovenant post-commit\n" {
						t.Errorf("from PATH: %q", got)
					}
				})
			}
		}
	}
}

func TestOptions(t *testing.T) {
	b := newBench(t)
	for _, o := range []install.Options{
		{Binary: "covenant-hook"},
		{Binary: ""},
		{Binary: "/x\x00y"},
		{Binary: b.binary, Moments: []string{"post-comit"}},
		{Binary: b.binary, Moments: []string{"../post-commit"}},
	} {
		if _, err := install.Install(context.Background(), b.open(), o); !errors.Is(err, install.ErrOptions) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if got := b.snapshot(); strings.Contains(got, "covenant") {
		t.Errorf("refused options installed\n%s", got)
	}
}
