package git_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/git/gittest"
)

// states are what refs below refs/covenant and refs/notes can come in; free says that listing them costs no child.
var states = []struct {
	name  string
	free  bool
	setup func(t *testing.T, r *gittest.Repo, common string)
}{
	{"none", true, func(*testing.T, *gittest.Repo, string) {}},
	{"loose", true, func(t *testing.T, r *gittest.Repo, _ string) { ours(t, r) }},
	{"packed", true, func(t *testing.T, r *gittest.Repo, _ string) { ours(t, r); r.Git("pack-refs", "--all") }},
	{"moved since they were packed", true, func(t *testing.T, r *gittest.Repo, _ string) {
		ours(t, r)
		r.Git("pack-refs", "--all")
		r.Git("update-ref", "refs/covenant/ledger/a/one", "HEAD~1")
	}},
	{"deleted since they were packed", true, func(t *testing.T, r *gittest.Repo, _ string) {
		ours(t, r)
		r.Git("pack-refs", "--all")
		r.Git("update-ref", "-d", "refs/covenant/ledger/a/one")
	}},
	{"tags, which are peeled in packed-refs", true, func(t *testing.T, r *gittest.Repo, _ string) {
		r.Git("tag", "-a", "-m", "t", "t")
		r.Git("update-ref", "refs/covenant/t", "refs/tags/t")
		r.Git("pack-refs", "--all")
	}},
	{"locks, empty folders and files of others", true, func(t *testing.T, r *gittest.Repo, common string) {
		ours(t, r)
		put(t, filepath.Join(common, "refs/covenant/ledger/a/three.lock"), "")
		put(t, filepath.Join(common, "refs/covenant/ledger/a/.hidden"), "x")
		if err := os.MkdirAll(filepath.Join(common, "refs/covenant/empty/er"), 0o777); err != nil {
			t.Fatal(err)
		}
	}},
	{"a missing object", true, func(t *testing.T, r *gittest.Repo, common string) {
		ours(t, r)
		id := r.Git("rev-parse", "HEAD")
		put(t, filepath.Join(common, "refs/covenant/ledger/gone"), strings.Map(func(c rune) rune {
			if c == 'f' {
				return '0'
			}
			return c + 1
		}, strings.NewReplacer("9", "f").Replace(id))+"\n")
	}},
	{"a symbolic ref", false, func(t *testing.T, r *gittest.Repo, _ string) {
		ours(t, r)
		r.Git("symbolic-ref", "refs/covenant/ledger/a/link", "refs/heads/main")
	}},
	{"a symbolic ref to nowhere", false, func(t *testing.T, r *gittest.Repo, _ string) {
		ours(t, r)
		r.Git("symbolic-ref", "refs/covenant/ledger/a/link", "refs/heads/nowhere")
	}},
	{"a file system's link", false, func(t *testing.T, r *gittest.Repo, common string) {
		ours(t, r)
		if err := os.Symlink("one", filepath.Join(common, "refs/covenant/ledger/a/link")); err != nil {
			t.Skip(err)
		}
	}},
	{"a name that is not ASCII", false, func(t *testing.T, r *gittest.Repo, _ string) {
		ours(t, r)
		r.Git("update-ref", "refs/covenant/ledger/é", "HEAD")
	}},
	{"a file that a crash left empty", false, func(t *testing.T, r *gittest.Repo, common string) {
		ours(t, r)
		put(t, filepath.Join(common, "refs/covenant/ledger/a/torn"), "")
	}},
	{"packed-refs cut short", false, func(t *testing.T, r *gittest.Repo, common string) {
		ours(t, r)
		r.Git("pack-refs", "--all")
		file := filepath.Join(common, "packed-refs")
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		put(t, file, string(b[:len(b)-5]))
	}},
}

func ours(t *testing.T, r *gittest.Repo) {
	t.Helper()
	for _, ref := range []string{"covenant/ledger/a/one", "covenant/ledger/a/two", "covenant/ledger/ab", "covenant/trust/root", "covenantx", "notes/covenant", "notes/covenant-2"} {
		r.Git("update-ref", "refs/"+ref, "HEAD")
	}
}

func put(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o666); err != nil {
		t.Fatal(err)
	}
}

// However refs are stored, those that are read from files are those that Git lists, or the same error.
func TestTips(t *testing.T) {
	for _, l := range layouts {
		if l.name != "plain" && l.name != "bare" && l.name != "sha256" && l.name != "linked worktree" && l.name != "inside .git/refs" {
			continue
		}
		for _, st := range states {
			t.Run(l.name+"/"+st.name, func(t *testing.T) {
				t.Parallel()
				r := l.setup(t)
				common := r.Open().CommonDir()
				st.setup(t, r, common)
				s := r.Session()
				defer s.Close()
				for _, prefixes := range [][]string{
					{"refs/covenant"},
					{"refs/covenant/"},
					{"refs/covenant/ledger/", "refs/notes/covenant", "refs/covenant/trust/root"},
					{"refs/covenant/ledger/a/one"},
					{"refs/covenant/ledger/a/one/"},
					{"refs/covenant/ledger/a/one/x"},
					{"refs/cov"},
					{"refs/covenant", "refs/covenant/ledger"},
				} {
					before := s.Children()
					got, err := s.Tips(prefixes...)
					cost := s.Children() - before
					want, werr := s.Refs(prefixes...)
					for i := range want {
						want[i].Kind = ""
					}
					if (err == nil) != (werr == nil) || !slices.Equal(got, want) {
						t.Errorf("%q: %v, %v\nwant %v, %v", prefixes, got, err, want, werr)
					}
					if st.free != (cost == 0) && prefixes[0] == "refs/covenant" {
						t.Errorf("%q cost %d children", prefixes, cost)
					}
				}
			})
		}
	}
}

// What belongs to one worktree, and what is no full name, is Git's to list.
func TestTipsOfOneWorktree(t *testing.T) {
	r := sample(t)
	dir := filepath.Join(t.TempDir(), "linked")
	r.Git("worktree", "add", "-q", "-b", "side", dir)
	at := r.At(dir)
	at.Git("update-ref", "refs/worktree/mine", "HEAD")
	s := at.Session()
	defer s.Close()
	for _, prefix := range []string{"refs/worktree", "refs/worktree/mine"} {
		if refs, err := s.Tips(prefix); err != nil || len(refs) != 1 || refs[0].Name != "refs/worktree/mine" {
			t.Errorf("%s: %v, %v", prefix, refs, err)
		}
	}
	if _, err := s.Tips("HEAD"); err == nil {
		t.Error("refs of no full name were listed")
	}
}

// Another process packs and moves refs all the time; none is ever missed, and no value is older than the reading.
func TestTipsWhileRefsArePacked(t *testing.T) {
	r := sample(t)
	ours(t, r)
	s := r.Session()
	defer s.Close()
	stop := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			for _, args := range [][]string{{"pack-refs", "--all"}, {"update-ref", "refs/covenant/ledger/a/one", "HEAD~1"}, {"pack-refs", "--all"}, {"update-ref", "refs/covenant/ledger/a/one", "HEAD"}} {
				if _, err := r.TryIn("", args...); err != nil {
					done <- err
					return
				}
			}
		}
	}()
	for range 2000 {
		refs, err := s.Tips("refs/covenant")
		if err != nil || len(refs) != 4 {
			t.Fatalf("%v, %v", refs, err)
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
