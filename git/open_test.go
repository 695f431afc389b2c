package git_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/gittest"
)

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name, words string
		setup       func(t *testing.T) *gittest.Repo
	}{
		{"GIT_CEILING_DIRECTORIES above", "not a git repository", func(t *testing.T) *gittest.Repo {
			r := sample(t)
			r.Env = append(r.Env, "GIT_CEILING_DIRECTORIES="+r.Dir)
			return r.At(filepath.Join(r.Dir, "dir"))
		}},
		{"GIT_DIR that is none", "not a git repository", func(t *testing.T) *gittest.Repo {
			r := sample(t)
			r.Env = append(r.Env, "GIT_DIR="+t.TempDir())
			return r
		}},
		{"repository of a future version", "repo version", func(t *testing.T) *gittest.Repo {
			r := sample(t)
			r.Git("config", "core.repositoryFormatVersion", "7")
			return r
		}},
		{"unknown extension", "extension", func(t *testing.T) *gittest.Repo {
			r := sample(t)
			r.Git("config", "core.repositoryFormatVersion", "1")
			r.Git("config", "extensions.fromTheFuture", "yes")
			return r
		}},
		{"another user's", "dubious ownership", func(t *testing.T) *gittest.Repo {
			if os.Getuid() != 0 {
				t.Skip("only root can give a repository away")
			}
			r := sample(t)
			if err := filepath.Walk(r.Dir, func(path string, _ os.FileInfo, err error) error {
				return errors.Join(err, os.Chown(path, 4242, 4242))
			}); err != nil {
				t.Fatal(err)
			}
			return r
		}},
		{"another user's, bare", "dubious ownership", func(t *testing.T) *gittest.Repo {
			if os.Getuid() != 0 {
				t.Skip("only root can give a repository away")
			}
			r := bare(t)
			if err := os.Chown(r.Dir, 4242, 4242); err != nil {
				t.Fatal(err)
			}
			return r
		}},
		{"bare by stealth", "bare", func(t *testing.T) *gittest.Repo {
			r := bare(t)
			r.Env = append(r.Env, "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.bareRepository", "GIT_CONFIG_VALUE_0=explicit")
			return r
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := c.setup(t)
			_, err := git.Open(ctx, git.Options{Dir: r.Dir, Env: r.Env})
			if !errors.Is(err, git.ErrNotRepository) || !strings.Contains(err.Error(), c.words) {
				t.Errorf("error %v", err)
			}
		})
	}
	t.Run("trusted again", func(t *testing.T) {
		if os.Getuid() != 0 {
			t.Skip("only root can give a repository away")
		}
		r := sample(t)
		if err := os.Chown(r.Dir, 4242, 4242); err != nil {
			t.Fatal(err)
		}
		home := t.TempDir()
		if err := os.WriteFile(filepath.Join(home, ".gitconfig"), []byte("[safe]\n\tdirectory = *\n"), 0o666); err != nil {
			t.Fatal(err)
		}
		r.Env = append(r.Env, "HOME="+home)
		r.Open()
	})
	t.Run("broken configuration", func(t *testing.T) {
		r := sample(t)
		if err := os.WriteFile(filepath.Join(r.Dir, ".git", "config"), []byte("[core\n"), 0o666); err != nil {
			t.Fatal(err)
		}
		var ce *git.CommandError
		if _, err := git.Open(ctx, git.Options{Dir: r.Dir, Env: r.Env}); !errors.As(err, &ce) || ce.Code != 128 {
			t.Errorf("error %v", err)
		}
	})
	t.Run("no git", func(t *testing.T) {
		r := sample(t)
		if _, err := git.Open(ctx, git.Options{Dir: r.Dir, Env: []string{"PATH=" + t.TempDir()}}); err == nil {
			t.Error("opened without git")
		}
	})
	t.Run("no such directory", func(t *testing.T) {
		if _, err := git.Open(ctx, git.Options{Dir: filepath.Join(t.TempDir(), "none"), Env: gittest.Env(t)}); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("error %v", err)
		}
	})
}

func TestUnborn(t *testing.T) {
	for _, args := range [][]string{{"-b", "topic"}, {"-b", "topic", "--bare"}, {"-b", "topic", "--object-format=sha256"}} {
		r := gittest.New(t, args...)
		s := r.Session()
		if h, err := s.HeadRef(); err != nil || h != "refs/heads/topic" {
			t.Errorf("%v: HEAD %q %v", args, h, err)
		}
		if _, err := s.Object("HEAD", 0); !errors.Is(err, git.ErrMissing) {
			t.Errorf("%v: %v", args, err)
		}
		if refs, err := s.Refs(); err != nil || len(refs) != 0 {
			t.Errorf("%v: %v %v", args, refs, err)
		}
		failed := false
		for _, err := range s.Log(git.LogQuery{Revs: []string{"HEAD"}}) {
			failed = err != nil
		}
		if !failed {
			t.Errorf("%v: walked an unborn HEAD", args)
		}
		if n := len(collect(t, s.Log(git.LogQuery{Revs: []string{"HEAD"}, IgnoreMissing: true}))); n != 0 {
			t.Errorf("%v: %d commits", args, n)
		}
	}
}

func TestShallow(t *testing.T) {
	r := sample(t)
	dir := filepath.Join(t.TempDir(), "shallow")
	r.Git("clone", "-q", "--depth=1", "file://"+r.Dir, dir)
	sh, err := r.At(dir).Open().Shallow()
	if err != nil || len(sh) != 1 || !sh[id(t, r.Git("rev-parse", "HEAD"))] {
		t.Errorf("boundary %v, %v", sh, err)
	}
	if sh, err = r.Open().Shallow(); err != nil || len(sh) != 0 {
		t.Errorf("whole history: %v, %v", sh, err)
	}
	linked := r.At(filepath.Join(t.TempDir(), "linked"))
	r.At(dir).Git("worktree", "add", "-q", linked.Dir)
	if sh, err = linked.Open().Shallow(); err != nil || len(sh) != 1 {
		t.Errorf("linked worktree: %v, %v", sh, err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".git", "shallow"), []byte("nonsense\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err = r.At(dir).Open().Shallow(); err == nil {
		t.Error("a bad boundary was read")
	}
}
