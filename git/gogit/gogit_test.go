package gogit_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/gittest"
	"github.com/open-covenant/covenant-git/git/gogit"
)

// go-git reads what it can as Git does, and refuses the rest before anything is read.
func TestReader(t *testing.T) {
	gogit.Register()
	gittest.RunRefusing(t, func(dir string) (git.Reader, error) {
		return git.OpenReader(context.Background(), gogit.Name, git.Options{Dir: dir})
	}, gogit.ErrUnsupported, "sha256", "sparse checkout", "alternates")
}

// Extensions that Git 2.39 cannot make are refused too.
func TestRefusals(t *testing.T) {
	for _, ext := range []string{"refStorage=reftable", "partialClone=origin", "preciousObjects=true", "relativeWorktrees=true", "fromTheFuture=1"} {
		r := gittest.New(t)
		config := filepath.Join(r.Dir, ".git", "config")
		if err := os.WriteFile(config, []byte("[core]\n\trepositoryFormatVersion = 1\n[extensions]\n\t"+ext+"\n"), 0o666); err != nil {
			t.Fatal(err)
		}
		if s, err := gogit.Open(r.Dir); !errors.Is(err, gogit.ErrUnsupported) {
			t.Errorf("%s: %v, %v", ext, s, err)
		}
	}
	r := gittest.New(t)
	r.Git("config", "core.repositoryFormatVersion", "9")
	if s, err := gogit.Open(r.Dir); !errors.Is(err, gogit.ErrUnsupported) {
		t.Errorf("format 9: %v, %v", s, err)
	}
	if s, err := gogit.Open(t.TempDir()); !errors.Is(err, git.ErrNotRepository) {
		t.Errorf("no repository: %v, %v", s, err)
	}
	if err := os.WriteFile(filepath.Join(r.Dir, ".git", "config"), []byte("[core\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if s, err := gogit.Open(r.Dir); err == nil {
		t.Errorf("broken configuration: %v", s)
	}
}

// A ref file that a crash left empty, and lock files, are not taken for refs or for nothing.
func TestBrokenRefs(t *testing.T) {
	r := gittest.History(t)
	s, err := gogit.Open(r.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	before, err := s.Refs()
	if err != nil {
		t.Fatal(err)
	}
	heads := filepath.Join(r.Dir, ".git", "refs", "heads")
	if err := os.WriteFile(filepath.Join(heads, "main.lock"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	after, err := s.Refs()
	if err != nil || len(after) != len(before) {
		t.Errorf("with a lock file: %d refs, %v; want %d", len(after), err, len(before))
	}
	if err := os.WriteFile(filepath.Join(heads, "torn"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if refs, err := s.Refs("refs/heads"); err == nil {
		t.Errorf("an empty ref file was passed over: %v", refs)
	}
}

// Objects that are packed anew while the store is open are found.
func TestRepack(t *testing.T) {
	r := gittest.History(t)
	r.Git("repack", "-dq")
	s, err := gogit.Open(r.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Object("HEAD", 0); err != nil {
		t.Fatal(err)
	}
	r.Write("new", "new")
	r.Commit("new")
	r.Git("repack", "-adq")
	r.Git("prune-packed")
	if _, err := s.Object("HEAD:new", 0); err != nil {
		t.Error(err)
	}
}
