package git_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/gittest"
	"github.com/open-covenant/covenant-git/git/oid"
)

// layouts are the shapes a repository comes in. Each setup returns where to open it and the
// environment that differs from the repository's own. cost is how many children opening may take.
var layouts = []struct {
	name  string
	cost  int
	setup func(t *testing.T) (at *gittest.Repo)
}{
	{"plain", 1, func(t *testing.T) *gittest.Repo { return sample(t) }},
	{"subdirectory", 1, func(t *testing.T) *gittest.Repo { r := sample(t); return r.At(filepath.Join(r.Dir, "dir")) }},
	{"inside .git", 1, func(t *testing.T) *gittest.Repo { r := sample(t); return r.At(filepath.Join(r.Dir, ".git")) }},
	{"inside .git/refs", 1, func(t *testing.T) *gittest.Repo { r := sample(t); return r.At(filepath.Join(r.Dir, ".git", "refs")) }},
	{"bare", 1, func(t *testing.T) *gittest.Repo { return bare(t) }},
	{"inside bare", 1, func(t *testing.T) *gittest.Repo { r := bare(t); return r.At(filepath.Join(r.Dir, "refs", "heads")) }},
	{"sha256", 1, func(t *testing.T) *gittest.Repo { return sample(t, "--object-format=sha256") }},
	{"linked worktree", 1, func(t *testing.T) *gittest.Repo {
		r := sample(t)
		dir := filepath.Join(t.TempDir(), "linked")
		r.Git("worktree", "add", "-q", "-b", "side", dir)
		return r.At(dir)
	}},
	{"linked worktree of a bare repository", 1, func(t *testing.T) *gittest.Repo {
		r := bare(t)
		dir := filepath.Join(t.TempDir(), "linked")
		r.Git("worktree", "add", "-q", dir, "main")
		return r.At(dir)
	}},
	{"separate git dir", 1, func(t *testing.T) *gittest.Repo {
		r := gittest.New(t, "--separate-git-dir", filepath.Join(t.TempDir(), "elsewhere"))
		r.Write("a", "x")
		r.Commit("one")
		return r
	}},
	{"submodule", 1, func(t *testing.T) *gittest.Repo {
		sub, super := sample(t), sample(t)
		super.Git("-c", "protocol.file.allow=always", "submodule", "add", "-q", sub.Dir, "sub")
		super.Commit("with submodule")
		return super.At(filepath.Join(super.Dir, "sub"))
	}},
	{"absorbed inside a superproject", 1, func(t *testing.T) *gittest.Repo {
		r := sample(t)
		inner := r.At(filepath.Join(r.Dir, "inner"))
		r.Git("init", "-q", "inner")
		inner.Write("a", "inner")
		inner.Commit("inner")
		return inner
	}},
	{"sparse checkout", 1, func(t *testing.T) *gittest.Repo {
		r := sample(t)
		r.Git("sparse-checkout", "set", "dir")
		if r.Git("config", "extensions.worktreeConfig") != "true" {
			t.Fatal("no worktree configuration")
		}
		return r
	}},
	{"sparse checkout in a linked worktree", 1, func(t *testing.T) *gittest.Repo {
		r := sample(t)
		dir := filepath.Join(t.TempDir(), "linked")
		r.Git("worktree", "add", "-q", dir)
		r.At(dir).Git("sparse-checkout", "set", "dir")
		return r.At(dir)
	}},
	{"core.worktree elsewhere", 2, func(t *testing.T) *gittest.Repo {
		r := sample(t)
		r.Git("config", "core.worktree", t.TempDir())
		return r
	}},
	{"alternates", 1, func(t *testing.T) *gittest.Repo {
		r := sample(t)
		dir := filepath.Join(t.TempDir(), "borrower")
		r.Git("clone", "-q", "--shared", r.Dir, dir)
		return r.At(dir)
	}},
	{"relative alternates", 1, func(t *testing.T) *gittest.Repo {
		r := sample(t)
		dir := filepath.Join(filepath.Dir(r.Dir), "borrower")
		r.Git("clone", "-q", "--shared", r.Dir, dir)
		alt := filepath.Join(dir, ".git", "objects", "info", "alternates")
		if err := os.WriteFile(alt, []byte("../../../repo/.git/objects\n"), 0o666); err != nil {
			t.Fatal(err)
		}
		return r.At(dir)
	}},
	{"shallow", 1, func(t *testing.T) *gittest.Repo {
		r := sample(t)
		dir := filepath.Join(t.TempDir(), "shallow")
		r.Git("clone", "-q", "--depth=1", "file://"+r.Dir, dir)
		return r.At(dir)
	}},
	{"packed", 1, func(t *testing.T) *gittest.Repo {
		r := sample(t)
		r.Git("gc", "-q")
		r.Git("pack-refs", "--all", "--prune")
		return r
	}},
	{"detached HEAD", 1, func(t *testing.T) *gittest.Repo { r := sample(t); r.Git("checkout", "-q", "--detach"); return r }},
	{"core.hooksPath", 1, func(t *testing.T) *gittest.Repo {
		r := sample(t)
		r.Git("config", "core.hooksPath", t.TempDir())
		return r
	}},
	{"GIT_DIR", 1, func(t *testing.T) *gittest.Repo {
		r := sample(t)
		r.Env = append(r.Env, "GIT_DIR=.git", "GIT_INDEX_FILE=.git/index")
		return r
	}},
	{"GIT_DIR of a server hook", 1, func(t *testing.T) *gittest.Repo { r := bare(t); r.Env = append(r.Env, "GIT_DIR=."); return r }},
	{"GIT_DIR and GIT_WORK_TREE", 2, func(t *testing.T) *gittest.Repo {
		r := sample(t)
		r.Env = append(r.Env, "GIT_DIR="+filepath.Join(r.Dir, ".git"), "GIT_WORK_TREE="+r.Dir)
		return r.At(t.TempDir())
	}},
	{"GIT_OBJECT_DIRECTORY", 1, func(t *testing.T) *gittest.Repo {
		r := sample(t)
		r.Env = append(r.Env, "GIT_OBJECT_DIRECTORY="+t.TempDir(), "GIT_ALTERNATE_OBJECT_DIRECTORIES="+filepath.Join(r.Dir, ".git", "objects"))
		return r
	}},
	{"GIT_CEILING_DIRECTORIES below", 2, func(t *testing.T) *gittest.Repo {
		r := sample(t)
		r.Env = append(r.Env, "GIT_CEILING_DIRECTORIES="+filepath.Dir(r.Dir))
		return r.At(filepath.Join(r.Dir, "dir"))
	}},
	{"reached through a symbolic link", 1, func(t *testing.T) *gittest.Repo {
		r := sample(t)
		link := filepath.Join(t.TempDir(), "link")
		if err := os.Symlink(r.Dir, link); err != nil {
			t.Skip(err)
		}
		return r.At(link)
	}},
	{"odd directory name", 1, func(t *testing.T) *gittest.Repo {
		r := sample(t)
		dir := filepath.Join(t.TempDir(), "we\tird 'ñ' \"q\"")
		if err := os.Rename(r.Dir, dir); err != nil {
			t.Skip(err)
		}
		return r.At(dir)
	}},
	{"empty configuration", 2, func(t *testing.T) *gittest.Repo {
		r := sample(t)
		if err := os.WriteFile(filepath.Join(r.Dir, ".git", "config"), nil, 0o666); err != nil {
			t.Fatal(err)
		}
		return r
	}},
}

func bare(t testing.TB) *gittest.Repo {
	t.Helper()
	r := sample(t)
	dir := filepath.Join(t.TempDir(), "bare.git")
	r.Git("clone", "-q", "--bare", r.Dir, dir)
	return r.At(dir)
}

// Every layout must be found where Git finds it, read, and written.
func TestLayouts(t *testing.T) {
	for _, l := range layouts {
		t.Run(l.name, func(t *testing.T) {
			r := l.setup(t)
			repo := r.Open()
			s := repo.Session(ctx)
			defer s.Close()
			if n := s.Children(); n != l.cost {
				t.Errorf("opening took %d children, want %d", n, l.cost)
			}
			real := func(dir string) string {
				if dir == "" {
					return ""
				}
				dir, err := filepath.EvalSymlinks(dir)
				if err != nil {
					t.Fatal(err)
				}
				return dir
			}
			if got, want := repo.GitDir(), real(r.Git("rev-parse", "--absolute-git-dir")); got != want {
				t.Errorf("git dir %q, want %q", got, want)
			}
			if got, want := repo.CommonDir(), real(r.Git("rev-parse", "--path-format=absolute", "--git-common-dir")); got != want {
				t.Errorf("common dir %q, want %q", got, want)
			}
			top, _ := r.TryIn("", "rev-parse", "--show-toplevel")
			if got, want := repo.WorkTree(), real(top); got != want {
				t.Errorf("work tree %q, want %q", got, want)
			}
			if got, want := repo.Format().String(), r.Git("rev-parse", "--show-object-format"); got != want {
				t.Errorf("format %s, want %s", got, want)
			}
			branch, _ := r.TryIn("", "symbolic-ref", "-q", "HEAD")
			if got, err := s.HeadRef(); err != nil || got != branch {
				t.Errorf("HEAD %q %v, want %q", got, err, branch)
			}
			readAndWrite(t, r, s)
		})
	}
}

// readAndWrite exercises everything on a repository with a commit.
func readAndWrite(t *testing.T, r *gittest.Repo, s *git.Session) {
	t.Helper()
	head, err := s.Object("HEAD", 0)
	if err != nil || head.ID.String() != r.Git("rev-parse", "HEAD") {
		t.Fatalf("HEAD: %v %v", head.ID, err)
	}
	c, err := git.ParseCommit(s.Repo().Format(), head.ID, head.Data)
	if err != nil {
		t.Fatal(err)
	}
	changes, err := s.Diff(oid.ID{}, c.Tree)
	if err != nil || len(changes) != strings.Count(r.Git("ls-tree", "-r", "--full-tree", "HEAD"), "\n")+1 {
		t.Errorf("diff: %d changes, %v", len(changes), err)
	}
	shallow, err := s.Repo().Shallow()
	if err != nil {
		t.Error(err)
	}
	walked := 0
	for l, err := range s.Log(git.LogQuery{Revs: []string{"HEAD"}}) {
		if err != nil {
			t.Fatal(err)
		}
		walked++
		if len(l.Parents) == 0 && len(shallow) > 0 && !shallow[l.ID] {
			t.Errorf("%s ends the history but is no boundary", l.ID)
		}
	}
	if strconv.Itoa(walked) != r.Git("rev-list", "--count", "HEAD") {
		t.Errorf("walked %d commits", walked)
	}
	refs, err := s.Refs()
	if err != nil || len(refs) != strings.Count(r.Git("for-each-ref")+"\n", "\n") {
		t.Errorf("refs %v, %v", refs, err)
	}
	me := git.Ident{Name: "n", Email: "e", When: time.Unix(1, 0)}
	for n := range 2 {
		tree := s.Put("tree", nil)
		made := s.Put("commit", git.EncodeCommit(tree, []oid.ID{head.ID}, me, me, strings.Repeat("x", n)))
		for i := range n * 100 {
			s.Put("blob", []byte{byte(i), byte(i >> 8)})
		}
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
		ref := "refs/covenant/test/" + string(rune('a'+n))
		if err := s.Update("test", git.RefUpdate{Name: ref, New: made}); err != nil {
			t.Fatal(err)
		}
		if got := r.Git("rev-parse", ref+"^1"); got != head.ID.String() {
			t.Errorf("%s^ is %s", ref, got)
		}
	}
	r.Git("fsck", "--strict", "--connectivity-only")
	unlock, err := s.Repo().Lock(ctx)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}
