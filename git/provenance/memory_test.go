package provenance_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/gittest"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// What is remembered of the configuration is believed only as this user wrote it: whoever may write into the repository
// can't make a hook think that it is not governed.
func TestMemoryIsAuthenticated(t *testing.T) {
	r := gittest.New(t)
	r.Write("a", "x")
	r.Commit("one")
	r.Git("config", provenance.PinKey, "sha256:"+strings.Repeat("0", 64))
	config := t.TempDir()
	none := func(string) (string, bool) { return "", false }
	home := t.TempDir()
	var env []string
	for _, kv := range r.Env {
		if !strings.HasPrefix(kv, "GIT_CONFIG") && !strings.HasPrefix(kv, "HOME=") && !strings.HasPrefix(kv, "XDG_CONFIG_HOME=") {
			env = append(env, kv)
		}
	}
	env = append(env, "HOME="+home)
	cost := func(keep git.Memory) int {
		repo, err := git.Open(context.Background(), git.Options{Dir: r.Dir, Env: env, Memory: keep})
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := repo.Config().Get(provenance.PinKey); !ok {
			t.Fatal("the pin is gone")
		}
		return repo.Session(context.Background()).Children()
	}
	keep := provenance.MemoryFor(config, none)
	if cost(keep) == 0 || cost(keep) != 0 {
		t.Fatal("nothing was remembered")
	}
	files, err := filepath.Glob(filepath.Join(r.Dir, ".git", "covenant", "cache", "config-*"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	good, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(good); i += 7 {
		bad := append([]byte(nil), good...)
		bad[i] ^= 1
		if err := os.WriteFile(files[0], bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if cost(keep) == 0 {
			t.Fatalf("byte %d was changed, and nobody saw it", i)
		}
	}
	if cost(keep) != 0 {
		t.Error("it is not remembered any more")
	}
	if cost(provenance.MemoryFor(t.TempDir(), none)) == 0 {
		t.Error("another user's memory was believed")
	}
	ci := func(key string) (string, bool) { return "true", key == "CI" }
	if provenance.MemoryFor(config, ci) != nil {
		t.Error("something remembered is believed in CI")
	}
}
