package install_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/hooks/install"
)

// others is a hook that must not run when a probe is fired.
const others = "#!/bin/sh\necho \"others $0\" >>\"$LOG\"\n"

func TestSharedFolderIsLeftAlone(t *testing.T) {
	b := newBench(t)
	shared := filepath.Join(t.TempDir(), "shared hooks")
	put(t, filepath.Join(shared, "post-commit"), others, 0o755)
	for _, scope := range []string{"--global", "--local"} {
		b.Git("config", scope, "core.hooksPath", shared)
		report, err := install.Install(t.Context(), b.open(), b.files())
		var refused *install.SharedError
		if !errors.As(err, &refused) || refused.Dir != shared || refused.Scope != scope[2:] {
			t.Fatalf("%s: %v", scope, err)
		}
		for _, d := range report.Moments {
			if d.Action != install.Refused || !strings.Contains(d.Snippet, b.binary) {
				t.Errorf("%+v", d)
			}
		}
		entries, err := os.ReadDir(shared)
		if err != nil || len(entries) != 1 {
			t.Errorf("the folder has %d entries, %v", len(entries), err)
		}
		b.wantState(b.files(), install.NotInstalled)
	}

	// The snippet does what the hook file would.
	report, _ := install.Install(t.Context(), b.open(), b.files())
	put(t, filepath.Join(shared, "post-commit"), "#!/bin/sh\nset -e\n"+report.Moments[0].Snippet+"echo after >>\"$LOG\"\n", 0o755)
	b.Git("commit", "-q", "--allow-empty", "-m", "x")
	if got := b.calls(); got != "covenant post-commit\nafter\n" {
		t.Errorf("calls %q", got)
	}

	// Who says so may install there, and take it away.
	put(t, filepath.Join(shared, "post-commit"), others, 0o755)
	o := b.files()
	o.Shared = true
	b.install(o)
	b.wantState(o, install.Reached)
	b.uninstall(install.Options{})
	b.wantState(o, install.Reached)
	b.uninstall(install.Options{Shared: true})
	b.wantState(o, install.NotInstalled)
	if text, err := os.ReadFile(filepath.Join(shared, "post-commit")); err != nil || string(text) != others {
		t.Errorf("the hook of the folder is %q, %v", text, err)
	}

	// A hooks folder of the repository that is a link to elsewhere is shared as well.
	b.Git("config", "--unset", "core.hooksPath")
	b.Git("config", "--global", "--unset", "core.hooksPath")
	if err := os.Symlink(shared, b.hook("")); err != nil {
		t.Skip(err)
	}
	var refused *install.SharedError
	if _, err := install.Install(t.Context(), b.open(), b.files()); !errors.As(err, &refused) || refused.Scope != "" {
		t.Errorf("a linked folder: %v", err)
	}
}

func TestShadowed(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*bench)
		by    string
	}{
		"core.hooksPath": {func(b *bench) { b.Git("config", "core.hooksPath", "elsewhere") }, "core.hooksPath (local)"},
		"global core.hooksPath": {
			func(b *bench) { b.Git("config", "--global", "core.hooksPath", b.T.TempDir()) }, "core.hooksPath (global)",
		},
		"mode": {func(b *bench) { put(t, b.hook("post-commit"), readAll(t, b.hook("post-commit")), 0o644) }, "is not executable"},
		"lefthook": {func(b *bench) {
			move(t, b.hook("post-commit"), b.hook("post-commit.old"))
			put(t, b.hook("post-commit"), others+"call_lefthook run post-commit\n", 0o755)
		}, "lefthook wrote"},
		"overwritten": {func(b *bench) { put(t, b.hook("post-commit"), others, 0o755) }, "something else wrote"},
		"deleted":     {func(b *bench) { _ = os.Remove(b.hook("post-commit")) }, "is gone"},
		"behind nothing": {func(b *bench) {
			move(t, b.hook("post-commit"), b.hook("post-commit.legacy"))
			put(t, b.hook("post-commit"), others, 0o755)
		}, "something else wrote"},
		"broken": {func(b *bench) {
			put(t, b.hook("post-commit"), strings.Replace(readAll(t, b.hook("post-commit")), "covenant() {", "exit 1\ncovenant() {", 1), 0o755)
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			put(t, b.hook("post-commit"), others, 0o755)
			b.install(b.files())
			c.spoil(b)
			s := b.status(b.files())["post-commit"]
			if s.State != install.Shadowed || !strings.Contains(s.By, c.by) || s.Mend == "" {
				t.Errorf("%+v", s)
			}
			if got := b.calls(); got != "" {
				t.Errorf("status ran hooks:\n%s", got)
			}
		})
	}
}

// TestMend: installing again puts ours back, keeps what came between, and uninstalling
// leaves what would be there had we never been.
func TestMend(t *testing.T) {
	foreign := "#!/bin/sh\necho foreign >>\"$LOG\"\n"
	lefthook := "#!/bin/sh\necho lefthook >>\"$LOG\"\n# call_lefthook\n"
	t.Run("lefthook", func(t *testing.T) {
		b := newBench(t)
		put(t, b.hook("post-commit"), foreign, 0o755)
		b.install(b.files())
		move(t, b.hook("post-commit"), b.hook("post-commit.old"))
		put(t, b.hook("post-commit"), lefthook, 0o755)
		b.install(b.files())
		b.wantState(b.files(), install.Reached)
		b.Git("commit", "-q", "--allow-empty", "-m", "x")
		if got := b.calls(); got != "lefthook\ncovenant post-commit\n" {
			t.Errorf("calls %q", got)
		}
		b.uninstall(install.Options{})
		if readAll(t, b.hook("post-commit")) != lefthook || readAll(t, b.hook("post-commit.old")) != foreign {
			t.Errorf("left\n%s", b.snapshot())
		}
	})
	t.Run("overwritten", func(t *testing.T) {
		b := newBench(t)
		put(t, b.hook("post-commit"), foreign, 0o755)
		b.install(b.files())
		put(t, b.hook("post-commit"), lefthook, 0o755)
		report := b.install(b.files())
		if !strings.Contains(report.Moments[0].Note, "pre-covenant.1") {
			t.Errorf("%+v", report.Moments[0])
		}
		b.wantState(b.files(), install.Reached)
		b.uninstall(install.Options{})
		if readAll(t, b.hook("post-commit")) != lefthook || readAll(t, b.hook("post-commit.pre-covenant.1")) != foreign {
			t.Errorf("left\n%s", b.snapshot())
		}
	})
	t.Run("uninstalled after it was overwritten", func(t *testing.T) {
		b := newBench(t)
		put(t, b.hook("post-commit"), foreign, 0o755)
		b.install(b.files())
		put(t, b.hook("post-commit"), lefthook, 0o755)
		b.uninstall(install.Options{})
		if readAll(t, b.hook("post-commit")) != lefthook || readAll(t, b.hook("post-commit.pre-covenant")) != foreign {
			t.Errorf("left\n%s", b.snapshot())
		}
	})
	t.Run("edited", func(t *testing.T) {
		b := newBench(t)
		put(t, b.hook("post-commit"), foreign, 0o755)
		b.install(b.files())
		edited := readAll(t, b.hook("post-commit")) + "echo mine\n"
		put(t, b.hook("post-commit"), edited, 0o755)
		report := b.uninstall(install.Options{})
		if readAll(t, b.hook("post-commit")) != foreign || readAll(t, b.hook("post-commit.covenant-edited")) != edited {
			t.Errorf("left\n%s", b.snapshot())
		}
		if !strings.Contains(report.Moments[1].Note, "covenant-edited") {
			t.Errorf("%+v", report.Moments)
		}
	})
}

// TestPreCommitInFront: what pre-commit moves aside it goes on running, so that is
// where ours stays; input it does not pass on, so there ours goes in front.
func TestPreCommitInFront(t *testing.T) {
	foreign := "#!/bin/sh\necho foreign >>\"$LOG\"\n"
	front := "#!/bin/sh\n# File generated by pre-commit: https://pre-commit.com\n" +
		"h=$(dirname \"$0\")/MOMENT.legacy\n[ ! -x \"$h\" ] || PRE_COMMIT_RUNNING_LEGACY=1 \"$h\" \"$@\" </dev/null\n" +
		"[ -f .pre-commit-config.yaml ] || exit 0\necho pre-commit >>\"$LOG\"\n"
	b := newBench(t)
	put(t, filepath.Join(b.Dir, ".pre-commit-config.yaml"), "repos: []\n", 0o644)
	put(t, b.hook("post-commit"), foreign, 0o755)
	b.install(b.files())
	for _, m := range []string{"post-commit", "post-rewrite"} {
		move(t, b.hook(m), b.hook(m+".legacy"))
		put(t, b.hook(m), strings.ReplaceAll(front, "MOMENT", m), 0o755)
	}
	b.wantState(b.files(), install.Reached, "post-commit")
	b.wantState(b.files(), install.Shadowed, "post-rewrite")
	if got := b.calls(); got != "" {
		t.Errorf("status ran hooks:\n%s", got)
	}
	b.Git("commit", "-q", "--allow-empty", "-m", "x")
	want := "foreign\ncovenant post-commit\npre-commit\n"
	if got := b.calls(); got != want {
		t.Errorf("calls %q", got)
	}

	b.install(b.files())
	b.wantState(b.files(), install.Reached)
	if got := readAll(t, b.hook("post-commit")); !strings.Contains(got, "generated by pre-commit") {
		t.Errorf("ours went in front of pre-commit:\n%s", got)
	}
	old := b.Git("rev-parse", "HEAD")
	b.Git("commit", "-q", "--amend", "--allow-empty", "-m", "y")
	want += "pre-commit\ncovenant post-rewrite amend\n" + old + " " + b.Git("rev-parse", "HEAD") + "\n"
	if got := b.calls(); got != want {
		t.Errorf("calls %q, want %q", got, want)
	}

	// Set up anew, pre-commit moves ours aside again: neither runs the other in circles.
	move(t, b.hook("post-rewrite"), b.hook("post-rewrite.legacy"))
	put(t, b.hook("post-rewrite"), strings.ReplaceAll(front, "MOMENT", "post-rewrite"), 0o755)
	b.Git("commit", "-q", "--amend", "--allow-empty", "-m", "z")
	if got := b.calls(); strings.Count(got, "covenant post-rewrite") != 1 {
		t.Errorf("calls %q", got)
	}

	b.uninstall(install.Options{})
	if got := readAll(t, b.hook("post-commit.legacy")); got != foreign {
		t.Errorf("left\n%s", b.snapshot())
	}
	if strings.Contains(b.snapshot(), "covenant hook file") {
		t.Errorf("ours is left\n%s", b.snapshot())
	}
}

// TestPlaces: the folder is the one Git says, wherever the repository was opened.
func TestPlaces(t *testing.T) {
	b := newBench(t)
	b.Git("commit", "-q", "--allow-empty", "-m", "x")
	b.Git("config", "core.hooksPath", "githooks")
	sub := filepath.Join(b.Dir, "a", "b")
	if err := os.MkdirAll(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	inSub := &bench{b.At(sub), b.binary, b.log}
	report := inSub.install(b.files())
	if want := filepath.Join(b.Dir, "githooks"); report.Dir != want {
		t.Errorf("folder %s, want %s", report.Dir, want)
	}
	inSub.wantState(b.files(), install.Reached)
	b.uninstall(install.Options{})
	b.Git("config", "--unset", "core.hooksPath")

	linked := filepath.Join(t.TempDir(), "linked")
	b.Git("worktree", "add", "-q", linked)
	inLinked := &bench{b.At(linked), b.binary, b.log}
	inLinked.install(b.files())
	inLinked.wantState(b.files(), install.Reached)
	b.wantState(b.files(), install.Reached)
	b.calls()
	inLinked.Git("commit", "-q", "--allow-empty", "-m", "y")
	if got := b.calls(); got != "covenant post-commit\n" {
		t.Errorf("a commit in a linked work tree: %q", got)
	}

	bare := filepath.Join(t.TempDir(), "bare")
	b.Git("clone", "-q", "--bare", b.Dir, bare)
	inBare := &bench{b.At(bare), b.binary, b.log}
	inBare.install(b.files())
	inBare.wantState(b.files(), install.Reached)
	inBare.uninstall(install.Options{})
	inBare.wantState(b.files(), install.NotInstalled)
}

// TestReleasesOfGit: what one release needs is taken away when another one is used.
func TestReleasesOfGit(t *testing.T) {
	old, recent := t.TempDir(), t.TempDir()
	for dir, release := range map[string]string{old: "2.39.0", recent: "2.54.0"} {
		put(t, filepath.Join(dir, "git"), "#!/bin/sh\n"+
			"for a; do case $a in version) echo git version "+release+"; exit;; esac; done\n"+
			"PATH=${PATH#*:} exec git \"$@\"\n", 0o755)
	}
	b := newBench(t)
	before := b.snapshot()
	with := func(dir string) *bench {
		r := *b.Repo
		r.Env = append(append([]string{}, b.Env...), "PATH="+dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
		return &bench{&r, b.binary, b.log}
	}
	o := b.files()
	o.Files = false

	with(old).install(o)
	if got := b.snapshot(); strings.Contains(got, "[hook") || !strings.Contains(got, "hooks/post-commit") {
		t.Errorf("an old release has\n%s", got)
	}
	report := with(recent).install(o)
	if got := b.snapshot(); !strings.Contains(got, "[hook ") || strings.Contains(got, "hooks/post-commit") || report.Manager != "config" {
		t.Errorf("a recent release has\n%s", got)
	}
	o.Env = with(old).Env
	s := with(old).status(o)["post-commit"]
	if s.State != install.Shadowed || !strings.Contains(s.By, "Git 2.39") {
		t.Errorf("%+v", s)
	}
	with(old).install(o)
	if got := b.snapshot(); strings.Contains(got, "[hook") || !strings.Contains(got, "hooks/post-commit") {
		t.Errorf("back at an old release there is\n%s", got)
	}
	with(recent).install(o)
	with(old).uninstall(install.Options{})
	if after := b.snapshot(); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
}

// TestConfiguredHooks needs a Git that runs them: other hooks are not run by a probe,
// and a hook that is turned off is no hook.
func TestConfiguredHooks(t *testing.T) {
	for _, dir := range gits() {
		t.Run("git="+filepath.Base(dir), func(t *testing.T) { configuredHooks(t, newBenchGit(t, dir)) })
	}
}

func configuredHooks(t *testing.T, b *bench) {
	o := b.files()
	o.Files = false
	if b.install(o).Manager != "config" {
		t.Skip("this Git has no hooks in the configuration; COVENANT_TEST_GIT may name the folder of one that does")
	}
	b.Git("config", "hook.others.event", "post-commit")
	b.Git("config", "hook.others.command", "echo others >>\"$LOG\"; :")
	b.Git("config", "--global", "hook.more.event", "post-commit")
	b.Git("config", "--global", "hook.more.command", "echo more >>\"$LOG\"; :")
	b.Git("config", "--global", "core.hooksPath", t.TempDir())
	put(t, b.hook("post-commit"), others, 0o755)
	b.wantState(o, install.Reached)
	if got := b.calls(); got != "" {
		t.Errorf("status ran hooks:\n%s", got)
	}
	b.Git("commit", "-q", "--allow-empty", "-m", "x")
	if got := b.calls(); strings.Count(got, "covenant post-commit\n") != 1 || !strings.Contains(got, "others") || !strings.Contains(got, "more") {
		t.Errorf("calls %q", got)
	}
	for _, key := range []string{"hook.post-commit.enabled", "hook.covenant-post-commit.enabled"} {
		b.Git("config", key, "false")
		if s := b.status(o)["post-commit"]; s.State != install.Shadowed || !strings.Contains(s.By, key) {
			t.Errorf("%+v", s)
		}
		b.Git("config", "--unset", key)
	}
}

func move(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func readAll(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
