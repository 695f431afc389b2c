// Package gittest makes real repositories for tests, and holds the conformance suite of
// git.Reader. It links package testing: only test files may import it.
package gittest

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/git"
)

// Env returns an environment in which Git depends on nothing of the machine: a fixed identity and
// date, no system or user configuration. Settings, "NAME=value", are added.
func Env(t testing.TB, settings ...string) []string {
	t.Helper()
	env := []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + t.TempDir(),
		"TZ=UTC",
		"LC_ALL=C",
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=Ada",
		"GIT_AUTHOR_EMAIL=ada@example.org",
		"GIT_AUTHOR_DATE=1700000000 +0000",
		"GIT_COMMITTER_NAME=Bob",
		"GIT_COMMITTER_EMAIL=bob@example.org",
		"GIT_COMMITTER_DATE=1700000000 +0000",
		"GIT_CONFIG_COUNT=1",
		"GIT_CONFIG_KEY_0=init.defaultBranch",
		"GIT_CONFIG_VALUE_0=main",
	}
	if root := os.Getenv("SYSTEMROOT"); root != "" {
		env = append(env, "SYSTEMROOT="+root)
	}
	return append(env, settings...)
}

// Repo is a repository under test.
type Repo struct {
	T   testing.TB
	Dir string
	Env []string
}

// New makes a repository with "git init" and the given arguments in a new directory.
func New(t testing.TB, args ...string) *Repo {
	t.Helper()
	r := &Repo{T: t, Dir: filepath.Join(t.TempDir(), "repo"), Env: Env(t)}
	if err := os.Mkdir(r.Dir, 0o777); err != nil {
		t.Fatal(err)
	}
	r.Git(append([]string{"init", "-q"}, args...)...)
	return r
}

// Copy returns a copy of the repository in a new directory.
func (r *Repo) Copy(t testing.TB) *Repo {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "repo")
	err := filepath.WalkDir(r.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(r.Dir, path)
		if err != nil {
			return err
		}
		to := filepath.Join(dir, rel)
		info, err := d.Info()
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return os.Mkdir(to, info.Mode().Perm())
		case d.Type() == fs.ModeSymlink:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(target, to)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(to, b, info.Mode().Perm())
	})
	if err != nil {
		t.Fatal(err)
	}
	return &Repo{T: t, Dir: dir, Env: r.Env}
}

// At returns the same test's view of another directory.
func (r *Repo) At(dir string) *Repo { return &Repo{T: r.T, Dir: dir, Env: r.Env} }

// Git runs git in the repository and returns its output without the last newline.
func (r *Repo) Git(args ...string) string {
	r.T.Helper()
	return r.GitIn("", args...)
}

// GitIn is Git with standard input.
func (r *Repo) GitIn(stdin string, args ...string) string {
	r.T.Helper()
	out, err := r.TryIn(stdin, args...)
	if err != nil {
		r.T.Fatal(err)
	}
	return out
}

// TryIn is GitIn for commands that may fail.
func (r *Repo) TryIn(stdin string, args ...string) (string, error) {
	r.T.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = r.Dir
	cmd.Env = r.Env
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), &git.CommandError{Args: args, Code: cmd.ProcessState.ExitCode(), Stderr: errs.String()}
	}
	return strings.TrimSuffix(out.String(), "\n"), nil
}

// Write writes a file of the work tree.
func (r *Repo) Write(path, content string) {
	r.T.Helper()
	file := filepath.Join(r.Dir, path)
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		r.T.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o666); err != nil {
		r.T.Fatal(err)
	}
}

// Commit commits everything in the work tree and returns the commit's name.
func (r *Repo) Commit(message string) string {
	r.T.Helper()
	r.Git("add", "-A")
	r.Git("commit", "-q", "--allow-empty", "-m", message)
	return r.Git("rev-parse", "HEAD")
}

// Open opens the repository with package git.
func (r *Repo) Open() *git.Repo {
	r.T.Helper()
	repo, err := git.Open(context.Background(), git.Options{Dir: r.Dir, Env: r.Env})
	if err != nil {
		r.T.Fatal(err)
	}
	return repo
}

// Session opens the repository and a session that the test's end closes.
func (r *Repo) Session() *git.Session {
	r.T.Helper()
	s := r.Open().Session(context.Background())
	r.T.Cleanup(func() { s.Close() })
	return s
}
