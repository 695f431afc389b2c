package git_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/gittest"
	"github.com/open-covenant/covenant-git/git/oid"
)

// Trees that Git reads as something else than they store are named, not passed over.
func TestEvilTrees(t *testing.T) {
	r := sample(t)
	s := r.Session()
	blob, err := s.Object("HEAD:a", 0)
	if err != nil {
		t.Fatal(err)
	}
	put := func(mode string) oid.ID {
		return s.Put("tree", append([]byte(mode+" a\x00"), blob.ID.Bytes()...))
	}
	sane, odd, zero := put("100644"), put("100664"), put("0100644")
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, evil := range []oid.ID{odd, zero} {
		if cs, err := s.Diff(sane, evil); !errors.Is(err, git.ErrEmptyDiff) {
			t.Errorf("diff: %v, %v", cs, err)
		}
	}
	head, err := s.Object("HEAD", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range [][2]oid.ID{{blob.ID, sane}, {sane, blob.ID}, {head.ID, sane}, {sane, head.ID}} {
		if cs, err := s.Diff(p[0], p[1]); err == nil && p[1] != head.ID {
			t.Errorf("diff of no tree: %v", cs)
		}
	}
	if cs, err := s.Diff(sane, oid.ID{}); err != nil || len(cs) != 1 || cs[0].Status != 'D' {
		t.Errorf("still in step? %v, %v", cs, err)
	}
}

// A missing subtree is named, wherever it is, and the pairs after it are answered.
func TestMissingSubtree(t *testing.T) {
	r := gittest.New(t)
	r.Write("dir/deep/x", "1")
	r.Commit("one")
	r.Write("dir/deep/x", "2")
	r.Write("zz/y", "2")
	r.Commit("two")
	old, new := id(t, r.Git("rev-parse", "HEAD^^{tree}")), id(t, r.Git("rev-parse", "HEAD^{tree}"))
	lost := r.Git("rev-parse", "HEAD:dir/deep")
	if err := os.Remove(filepath.Join(r.Dir, ".git", "objects", lost[:2], lost[2:])); err != nil {
		t.Fatal(err)
	}
	s := r.Session()
	cs, err := s.Diff(old, new)
	if !errors.Is(err, git.ErrMissing) || !strings.Contains(err.Error(), lost) || cs != nil {
		t.Errorf("diff: %v, %v", cs, err)
	}
	pairs := []git.TreePair{{New: old}, {Old: old, New: new}, {New: new}, {Old: old}, {Old: new}, {New: old}}
	var got []int
	for cs, err := range s.Diffs(slices.Values(pairs)) {
		if err != nil && !errors.Is(err, git.ErrMissing) {
			t.Error(err)
		}
		if err != nil {
			got = append(got, -1)
		} else {
			got = append(got, len(cs))
		}
	}
	if want := []int{1, -1, -1, 1, -1, 1}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestHistoryShapes(t *testing.T) {
	r := sample(t)
	for _, b := range []string{"b1", "b2", "b3"} {
		r.Git("checkout", "-q", "-b", b, "main")
		r.Write(b, b)
		r.Commit(b)
	}
	r.Git("checkout", "-q", "main")
	r.Commit("own")
	r.Git("merge", "-q", "-m", "octopus", "b1", "b2", "b3")
	r.Git("checkout", "-q", "--orphan", "orphan")
	r.Commit("orphan root")
	r.Git("merge", "-q", "--allow-unrelated-histories", "-s", "ours", "-m", "evil", "main")
	r.Git("commit", "-q", "--allow-empty", "--allow-empty-message", "-m", "")
	raw := "tree " + r.Git("rev-parse", "HEAD^{tree}") + "\nparent " + r.Git("rev-parse", "HEAD") +
		"\nauthor No Mail 12 +0000\ncommitter B <b@b> 99999999999999999999 +99999\nencoding latin1\nx-odd: y\n more\n\n\n \n  caf\xe9 one \n two\t\n\nbody"
	r.Git("update-ref", "HEAD", r.GitIn(raw, "hash-object", "-w", "-t", "commit", "--literally", "--stdin"))
	s := r.Session()
	cs := collect(t, s.Log(git.LogQuery{Globs: []string{"refs/heads/*"}}))
	seen := map[oid.ID]bool{}
	octopus := false
	for _, c := range cs {
		for _, p := range c.Parents {
			if !seen[p] {
				t.Errorf("%s before its parent", c.ID)
			}
		}
		seen[c.ID] = true
		octopus = octopus || len(c.Parents) == 4
		o, err := s.Object(c.ID.String(), 0)
		if err != nil {
			t.Fatal(err)
		}
		p, err := git.ParseCommit(oid.SHA1, c.ID, o.Data)
		if err != nil {
			t.Fatal(err)
		}
		// Git converts what says it is not UTF-8.
		latin := strings.NewReplacer("\xe9", "é")
		if p.Subject = latin.Replace(p.Subject); fmt.Sprint(p) != fmt.Sprint(c) {
			t.Errorf("parsed %+v\n   log %+v", p, c)
		}
		want := r.Git("log", "-1", "--format=%s", c.ID.String())
		if p.Subject != want {
			t.Errorf("subject %q, want %q", p.Subject, want)
		}
	}
	if !octopus || fmt.Sprint(len(cs)) != r.Git("rev-list", "--count", "--all") {
		t.Errorf("%d commits, octopus %v", len(cs), octopus)
	}
	if last := cs[len(cs)-1]; last.Subject != "  café one  two" || last.Author != (git.Ident{}) || last.Committer.Name != "B" {
		t.Errorf("odd commit %+q", fmt.Sprint(last))
	}
	if n := len(collect(t, s.Log(git.LogQuery{Revs: []string{"HEAD"}, Max: 2}))); n != 2 {
		t.Errorf("max: %d", n)
	}
	if n := len(collect(t, s.Log(git.LogQuery{Revs: []string{"HEAD"}, FirstParent: true}))); n != 4 {
		t.Errorf("first parent: %d", n)
	}
	for c, err := range s.Log(git.LogQuery{Revs: []string{"HEAD"}}) {
		if err != nil || c.ID.IsZero() {
			t.Error(err)
		}
		break
	}
}
