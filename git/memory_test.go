package git_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/gittest"
)

// shelf is a memory that keeps everything, and believes what it kept.
type shelf map[string][]byte

func (s shelf) Recall(dir, name string) []byte {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil
	}
	return s[real+name]
}

func (s shelf) Remember(r *git.Repo, name string, b []byte) { s[r.CommonDir()+name] = b }

// remembering opens the repository and returns it with what that cost.
func remembering(t *testing.T, r *gittest.Repo, keep git.Memory) (*git.Repo, int) {
	t.Helper()
	repo, err := git.Open(ctx, git.Options{Dir: r.Dir, Env: r.Env, Memory: keep})
	if err != nil {
		t.Fatal(err)
	}
	s := repo.Session(ctx)
	defer s.Close()
	return repo, s.Children()
}

// homed has a home of its own, with a configuration, and settings that no environment brings.
func homed(t *testing.T, r *gittest.Repo) string {
	t.Helper()
	home := t.TempDir()
	var env []string
	for _, kv := range r.Env {
		if !strings.HasPrefix(kv, "GIT_CONFIG") && !strings.HasPrefix(kv, "HOME=") && !strings.HasPrefix(kv, "XDG_CONFIG_HOME=") {
			env = append(env, kv)
		}
	}
	r.Env = append(env, "HOME="+home)
	put(t, filepath.Join(home, ".gitconfig"), "[user]\n\tname = A\n\temail = a@example.com\n[safe]\n\tdirectory = *\n")
	return home
}

// The configuration is read once for as long as its files are as they were, in every layout.
func TestMemory(t *testing.T) {
	for _, l := range layouts {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			r := l.setup(t)
			homed(t, r)
			keep := shelf{}
			first, cost := remembering(t, r, keep)
			again, recalled := remembering(t, r, keep)
			if cost == 1 && recalled != 0 && len(keep) > 0 {
				t.Errorf("what was remembered cost %d children", recalled)
			}
			if recalled > cost {
				t.Errorf("with a memory it costs %d children, without one %d", recalled, cost)
			}
			for _, key := range first.Config().Keys("") {
				if a, b := first.Config().All(key), again.Config().All(key); strings.Join(a, "\x00") != strings.Join(b, "\x00") || first.Config().Scope(key) != again.Config().Scope(key) {
					t.Errorf("%s is %q, remembered as %q", key, a, b)
				}
			}
			if first.GitDir() != again.GitDir() || first.CommonDir() != again.CommonDir() || first.WorkTree() != again.WorkTree() || first.Format() != again.Format() {
				t.Errorf("another repository: %s, %s, %s, %s", again.GitDir(), again.CommonDir(), again.WorkTree(), again.Format())
			}
		})
	}
}

// Whatever changes is seen at once.
func TestMemoryForgets(t *testing.T) {
	for _, c := range []struct {
		name, want string
		change     func(t *testing.T, r *gittest.Repo, home string)
	}{
		{"the repository's configuration", "local", func(_ *testing.T, r *gittest.Repo, _ string) { r.Git("config", "test.key", "local") }},
		{"a value of the same length in the same second", "two", func(t *testing.T, r *gittest.Repo, _ string) {
			file := filepath.Join(r.Dir, ".git", "config")
			st, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			put(t, file, strings.Replace(string(b), "key = one", "key = two", 1))
			if err := os.Chtimes(file, st.ModTime(), st.ModTime()); err != nil {
				t.Fatal(err)
			}
		}},
		{"the user's", "global", func(_ *testing.T, r *gittest.Repo, _ string) {
			r.Git("config", "--unset", "test.key")
			r.Git("config", "--global", "test.key", "global")
		}},
		{"a file of the user's that was not there", "xdg", func(t *testing.T, r *gittest.Repo, home string) {
			r.Git("config", "--unset", "test.key")
			if err := os.MkdirAll(filepath.Join(home, ".config", "git"), 0o777); err != nil {
				t.Fatal(err)
			}
			put(t, filepath.Join(home, ".config", "git", "config"), "[test]\n\tkey = xdg\n")
		}},
		{"another file of the user's", "elsewhere", func(t *testing.T, r *gittest.Repo, home string) {
			r.Git("config", "--unset", "test.key")
			put(t, filepath.Join(home, "other"), "[test]\n\tkey = elsewhere\n")
			r.Env = append(r.Env, "GIT_CONFIG_GLOBAL="+filepath.Join(home, "other"))
		}},
		{"the system's", "system", func(t *testing.T, r *gittest.Repo, home string) {
			r.Git("config", "--unset", "test.key")
			put(t, filepath.Join(home, "system"), "[test]\n\tkey = system\n")
			r.Env = append(r.Env, "GIT_CONFIG_SYSTEM="+filepath.Join(home, "system"))
		}},
		{"the worktree's", "worktree", func(_ *testing.T, r *gittest.Repo, _ string) {
			r.Git("config", "extensions.worktreeConfig", "true")
			r.Git("config", "--worktree", "test.key", "worktree")
		}},
		{"the worktree's, once it has one", "again", func(t *testing.T, r *gittest.Repo, _ string) {
			r.Git("config", "extensions.worktreeConfig", "true")
			remembering(t, r, kept)
			r.Git("config", "--worktree", "test.key", "again")
		}},
		{"the command line", "command", func(_ *testing.T, r *gittest.Repo, _ string) {
			r.Env = append(r.Env, "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=test.key", "GIT_CONFIG_VALUE_0=command")
		}},
		{"git -c", "parameter", func(_ *testing.T, r *gittest.Repo, _ string) {
			r.Env = append(r.Env, "GIT_CONFIG_PARAMETERS='test.key'='parameter'")
		}},
		{"what another file says that is included", "included", func(t *testing.T, r *gittest.Repo, home string) {
			put(t, filepath.Join(home, "more"), "[test]\n\tkey = before\n")
			r.Git("config", "include.path", filepath.Join(home, "more"))
			remembering(t, r, kept)
			put(t, filepath.Join(home, "more"), "[test]\n\tkey = included\n")
		}},
		{"the branch that an include is for", "branch", func(t *testing.T, r *gittest.Repo, home string) {
			put(t, filepath.Join(home, "more"), "[test]\n\tkey = branch\n")
			r.Git("config", "includeIf.onbranch:other.path", filepath.Join(home, "more"))
			remembering(t, r, kept)
			r.Git("checkout", "-q", "-b", "other")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := sample(t)
			home := homed(t, r)
			r.Git("config", "test.key", "one")
			kept = shelf{}
			for range 2 {
				if repo, _ := remembering(t, r, kept); repo.Config().All("test.key")[0] != "one" {
					t.Fatal("it was not so before")
				}
			}
			if len(kept) != 1 {
				t.Fatalf("%d things are remembered", len(kept))
			}
			c.change(t, r, home)
			for range 2 {
				repo, _ := remembering(t, r, kept)
				if v, _ := repo.Config().Get("test.key"); v != c.want {
					t.Errorf("test.key is %q, not %q", v, c.want)
				}
			}
		})
	}
}

var kept shelf

// A repository that somebody else owns by now is Git's to judge again; so is what was remembered long ago, or by halves.
func TestMemoryIsAskedAgain(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(t *testing.T, r *gittest.Repo, keep shelf)
	}{
		{"another owner", func(t *testing.T, r *gittest.Repo, _ shelf) {
			if os.Getuid() != 0 {
				t.Skip("only root can give a repository away")
			}
			if err := os.Chown(filepath.Join(r.Dir, ".git"), 4242, 4242); err != nil {
				t.Fatal(err)
			}
		}},
		{"cut short", func(_ *testing.T, _ *gittest.Repo, keep shelf) {
			for k, b := range keep {
				keep[k] = b[:len(b)/2]
			}
		}},
		{"of another place", func(_ *testing.T, _ *gittest.Repo, keep shelf) {
			for k, b := range keep {
				keep[k] = []byte(strings.ReplaceAll(string(b), `\"`, `'`))
			}
		}},
		{"two hours old", func(_ *testing.T, _ *gittest.Repo, keep shelf) {
			for k, b := range keep {
				keep[k] = []byte(strings.Replace(string(b), `"at":`, `"at":-`, 1))
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := sample(t)
			homed(t, r)
			keep := shelf{}
			remembering(t, r, keep)
			if _, cost := remembering(t, r, keep); cost != 0 {
				t.Fatalf("it cost %d children", cost)
			}
			c.change(t, r, keep)
			if _, cost := remembering(t, r, keep); cost == 0 {
				t.Error("Git was not asked")
			}
			if _, cost := remembering(t, r, keep); cost != 0 {
				t.Errorf("it cost %d children once more", cost)
			}
		})
	}
}

// While somebody writes a configuration nothing half is remembered.
func TestMemoryWhileWritten(t *testing.T) {
	r := sample(t)
	homed(t, r)
	keep := shelf{}
	stop := time.Now().Add(2 * time.Second)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; time.Now().Before(stop); i++ {
			_, _ = r.TryIn("", "config", "test.key", strings.Repeat("x", i%7+1))
		}
	}()
	for time.Now().Before(stop) {
		remembering(t, r, keep)
	}
	<-done
	want := r.Git("config", "test.key")
	for range 3 {
		repo, _ := remembering(t, r, keep)
		if v, _ := repo.Config().Get("test.key"); v != want {
			t.Fatalf("%q, not %q", v, want)
		}
	}
}
