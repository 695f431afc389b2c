package install_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/gittest"
	"github.com/open-covenant/covenant-git/hooks/install"
)

// A bench is a repository under test with a covenant-hook that writes down how it was
// called.
type bench struct {
	*gittest.Repo
	binary, log string
}

// fake answers a probe as covenant-hook does, and else notes its arguments and input.
const fake = `#!/bin/sh
if [ -n "${COVENANT_PROBE-}" ]; then echo "$1" >>"$COVENANT_PROBE"; exit 0; fi
{ echo "covenant $*"; cat; } >>"$LOG"
exit ${COVENANT_EXIT-0}
`

func newBench(t *testing.T) *bench {
	t.Helper()
	return newBenchGit(t, "")
}

// newBenchGit uses the git in dir, "" being the one on PATH, with which tests run in
// parallel.
func newBenchGit(t *testing.T, dir string) *bench {
	t.Helper()
	top := t.TempDir()
	b := &bench{binary: filepath.Join(top, "bin dir", "covenant-hook"), log: filepath.Join(top, "log")}
	put(t, b.binary, fake, 0o755)
	if dir != "" {
		t.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
	} else {
		t.Parallel()
	}
	b.Repo = gittest.New(t)
	b.Env = append(b.Env, "LOG="+b.log)
	if err := os.RemoveAll(filepath.Join(b.Dir, ".git", "hooks")); err != nil { // samples
		t.Fatal(err)
	}
	return b
}

func put(t testing.TB, name, text string, mode fs.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil {
		t.Fatal(err)
	}
}

func (b *bench) open() *git.Repo {
	b.T.Helper()
	r, err := git.Open(b.T.Context(), git.Options{Dir: b.Dir, Env: b.Env})
	if err != nil {
		b.T.Fatal(err)
	}
	return r
}

// files are the options under which all releases of Git are treated alike.
// after are the moments that most of these tests look at: one commit calls one of them.
var after = []string{"post-commit", "post-merge", "post-applypatch", "post-rewrite"}

func (b *bench) files() install.Options {
	return install.Options{Binary: b.binary, Files: true, Env: b.Env, Moments: after}
}

func (b *bench) install(o install.Options) install.Report {
	if o.Moments == nil {
		o.Moments = after
	}
	b.T.Helper()
	r, err := install.Install(b.T.Context(), b.open(), o)
	if err != nil {
		b.T.Fatalf("install: %v", err)
	}
	return r
}

func (b *bench) uninstall(o install.Options) install.Report {
	b.T.Helper()
	r, err := install.Uninstall(b.T.Context(), b.open(), o)
	if err != nil {
		b.T.Fatalf("uninstall: %v", err)
	}
	return r
}

func (b *bench) status(o install.Options) map[string]install.MomentStatus {
	if o.Moments == nil {
		o.Moments = after
	}
	b.T.Helper()
	all, err := install.Status(b.T.Context(), b.open(), o)
	if err != nil {
		b.T.Fatalf("status: %v", err)
	}
	states := make(map[string]install.MomentStatus)
	for _, s := range all {
		states[s.Moment] = s
	}
	return states
}

// wantState checks the state of some moments, all when none is named.
func (b *bench) wantState(o install.Options, want install.State, moments ...string) {
	b.T.Helper()
	if len(moments) == 0 {
		moments = after
	}
	states := b.status(o)
	for _, m := range moments {
		if s := states[m]; s.State != want {
			b.T.Errorf("%s: %+v, want %s", m, s, want)
		} else if want != install.Reached && s.Mend == "" {
			b.T.Errorf("%s: %+v says not how to mend it", m, s)
		}
	}
}

// calls returns what covenant-hook noted since the last call.
func (b *bench) calls() string {
	b.T.Helper()
	text, err := os.ReadFile(b.log)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.T.Fatal(err)
	}
	_ = os.Remove(b.log)
	return string(text)
}

func (b *bench) hook(name string) string { return filepath.Join(b.Dir, ".git", "hooks", name) }

// snapshot returns names, modes and content of all files below the hooks folder, the
// configuration, and husky's folder.
func (b *bench) snapshot() string {
	b.T.Helper()
	var s strings.Builder
	for _, top := range []string{".git/hooks", ".git/config", ".husky", "githooks", "scripts"} {
		err := filepath.WalkDir(filepath.Join(b.Dir, top), func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			rel, _ := filepath.Rel(b.Dir, name)
			fmt.Fprintf(&s, "%s %s\n", info.Mode(), filepath.ToSlash(rel))
			switch {
			case info.Mode()&fs.ModeSymlink != 0:
				to, err := os.Readlink(name)
				fmt.Fprintf(&s, "-> %s\n", to)
				return err
			case d.IsDir():
				return nil
			}
			text, err := os.ReadFile(name)
			fmt.Fprintf(&s, "%q\n", text)
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			b.T.Fatal(err)
		}
	}
	return s.String()
}

// gits returns the folders of the releases of Git to test with: the one on PATH, and
// the one that COVENANT_TEST_GIT names.
func gits() []string {
	dirs := []string{""}
	if dir := os.Getenv("COVENANT_TEST_GIT"); dir != "" {
		dirs = append(dirs, dir)
	}
	return dirs
}
