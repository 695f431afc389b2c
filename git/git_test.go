package git_test

import (
	"context"
	"errors"
	"iter"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/gittest"
	"github.com/open-covenant/covenant-git/git/oid"
)

var ctx = context.Background()

func id(t testing.TB, s string) oid.ID {
	t.Helper()
	v, err := oid.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func collect[T any](t testing.TB, seq iter.Seq2[T, error]) []T {
	t.Helper()
	var all []T
	for v, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	return all
}

func sample(t testing.TB, args ...string) *gittest.Repo {
	r := gittest.New(t, args...)
	r.Write("a", "one\n")
	r.Write("dir/b", "two\n")
	r.Commit("first\nline two\n\nbody")
	r.Write("a", "changed\n")
	r.Write("dir/c", "three\n")
	r.Commit("second")
	return r
}

func TestOpen(t *testing.T) {
	r := sample(t)
	repo := r.Open()
	dir, err := filepath.EvalSymlinks(r.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if repo.GitDir() != filepath.Join(dir, ".git") || repo.CommonDir() != repo.GitDir() || repo.WorkTree() != dir {
		t.Errorf("directories %q %q %q", repo.GitDir(), repo.CommonDir(), repo.WorkTree())
	}
	if repo.Format() != oid.SHA1 {
		t.Errorf("format %s", repo.Format())
	}
	if n := repo.Session(ctx).Children(); n != 1 {
		t.Errorf("opening took %d children, want 1", n)
	}
	if _, err := git.Open(ctx, git.Options{Dir: t.TempDir(), Env: r.Env}); !errors.Is(err, git.ErrNotRepository) {
		t.Errorf("opening a plain directory: %v", err)
	}
}

func TestObject(t *testing.T) {
	r := sample(t)
	s := r.Session()
	o, err := s.Object("HEAD:dir/c", 0)
	if err != nil || o.Kind != "blob" || string(o.Data) != "three\n" || o.Size != 6 || o.ID.String() != r.Git("rev-parse", "HEAD:dir/c") {
		t.Errorf("object %+v, %v", o, err)
	}
	for _, name := range []string{"HEAD:nope", "nope", strings.Repeat("1", 40), "a\nb", "", "x\x00y", "HEAD:a\r", strings.Repeat("x", 1<<20)} {
		if _, err := s.Object(name, 0); !errors.Is(err, git.ErrMissing) {
			t.Errorf("%.20q: %v", name, err)
		}
	}
	var large *git.TooLargeError
	if _, err := s.Object("HEAD:dir/c", 5); !errors.As(err, &large) || large.Size != 6 || large.Limit != 5 {
		t.Errorf("limit: %v", err)
	}
	if o, err = s.Object("HEAD:a", 8); err != nil || string(o.Data) != "changed\n" {
		t.Errorf("after errors: %+v, %v", o, err)
	}
	if n := s.Children(); n != 2 {
		t.Errorf("%d children, want 2", n)
	}
}

func TestObjects(t *testing.T) {
	r := sample(t)
	s := r.Session()
	q := s.Put("blob", []byte("queued"))
	names := []string{"HEAD:a", "nope", q.String(), "HEAD^{tree}", "HEAD:dir/b"}
	var got []string
	for o, err := range s.Objects(slices.Values(names), 7) {
		var large *git.TooLargeError
		switch {
		case errors.Is(err, git.ErrMissing):
			got = append(got, "missing")
		case errors.As(err, &large):
			got = append(got, "large")
		case err != nil:
			t.Fatal(err)
		default:
			got = append(got, string(o.Data))
		}
	}
	if want := []string{"large", "missing", "queued", "large", "two\n"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	many := func(yield func(string) bool) {
		for range 5000 {
			if !yield("HEAD:dir/b") {
				return
			}
		}
	}
	n := 0
	for range s.Objects(many, 0) {
		if n++; n == 3000 {
			break
		}
	}
	if o, err := s.Object("HEAD:a", 0); err != nil || string(o.Data) != "changed\n" {
		t.Errorf("after a broken loop: %v", err)
	}
	if n := len(collect(t, s.Objects(many, 0))); n != 5000 {
		t.Errorf("%d results", n)
	}
}

func TestDiff(t *testing.T) {
	r := sample(t)
	s := r.Session()
	old, new := id(t, r.Git("rev-parse", "HEAD^^{tree}")), id(t, r.Git("rev-parse", "HEAD^{tree}"))
	show := func(cs []git.Change) string {
		var b strings.Builder
		for _, c := range cs {
			b.WriteString(string(c.Status) + " " + c.OldMode.String() + " " + c.NewMode.String() + " " + c.Path + "\n")
		}
		return b.String()
	}
	cs, err := s.Diff(old, new)
	if want := "M 100644 100644 a\nA 000000 100644 dir/c\n"; err != nil || show(cs) != want {
		t.Errorf("got %s, %v", show(cs), err)
	}
	if cs[1].Old != (oid.ID{}) || cs[1].New.String() != r.Git("rev-parse", "HEAD:dir/c") {
		t.Errorf("names %+v", cs[1])
	}
	if cs, err = s.Diff(oid.ID{}, old); err != nil || len(cs) != 2 {
		t.Errorf("from nothing: %v %v", cs, err)
	}
	if cs, err = s.Diff(new, new); err != nil || len(cs) != 0 {
		t.Errorf("same: %v %v", cs, err)
	}
	lost := id(t, strings.Repeat("1", 40))
	pairs := []git.TreePair{{Old: old, New: new}, {Old: old, New: lost}, {New: old}, {Old: new, New: old}}
	var got []int
	for cs, err := range s.Diffs(slices.Values(pairs)) {
		if errors.Is(err, git.ErrMissing) {
			got = append(got, -1)
		} else if err != nil {
			t.Fatal(err)
		} else {
			got = append(got, len(cs))
		}
	}
	if want := []int{2, -1, 2, 2}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestLog(t *testing.T) {
	r := sample(t)
	r.Git("update-ref", "refs/covenant/ledger/x,y", "HEAD")
	r.Git("tag", "-a", "-m", "tag", "v1", "HEAD^")
	s := r.Session()
	cs := collect(t, s.Log(git.LogQuery{Revs: []string{"HEAD"}, Decorate: []string{"refs/covenant/", "refs/tags/"}}))
	if len(cs) != 2 {
		t.Fatalf("%d commits", len(cs))
	}
	if c := cs[0]; c.Subject != "first line two" || len(c.Parents) != 0 || !slices.Equal(c.Refs, []string{"refs/tags/v1"}) ||
		c.Author.Name != "Ada" || c.Committer.Email != "bob@example.org" || !c.Author.When.Equal(time.Unix(1700000000, 0)) {
		t.Errorf("first %+v", c)
	}
	if c := cs[1]; c.Parents[0] != cs[0].ID || c.Tree.String() != r.Git("rev-parse", "HEAD^{tree}") || !slices.Equal(c.Refs, []string{"refs/covenant/ledger/x,y"}) {
		t.Errorf("second %+v", c)
	}
	for _, c := range cs {
		o, err := s.Object(c.ID.String(), 0)
		if err != nil {
			t.Fatal(err)
		}
		p, err := git.ParseCommit(oid.SHA1, c.ID, o.Data)
		if err != nil || p.Subject != c.Subject || p.Author != c.Author || p.Committer != c.Committer || p.Tree != c.Tree || !slices.Equal(p.Parents, c.Parents) {
			t.Errorf("parsed %+v, %v; log %+v", p, err, c)
		}
	}
	if n := len(collect(t, s.Log(git.LogQuery{}))); n != 0 {
		t.Errorf("nothing asked: %d commits", n)
	}
	if n := len(collect(t, s.Log(git.LogQuery{Globs: []string{"refs/none/*"}}))); n != 0 {
		t.Errorf("no ref matches: %d commits", n)
	}
	if n := len(collect(t, s.Log(git.LogQuery{Globs: []string{"refs/covenant/*"}, Revs: []string{"^" + cs[0].ID.String()}}))); n != 1 {
		t.Errorf("range: %d commits", n)
	}
	lost := strings.Repeat("1", 40)
	if n := len(collect(t, s.Log(git.LogQuery{Revs: []string{lost, "refs/heads/none"}, IgnoreMissing: true}))); n != 0 {
		t.Errorf("missing ignored: %d commits", n)
	}
	for _, rev := range []string{lost, "--all", "main", "HEAD~1", "a\nb", "refs/heads/main:a", "refs/heads/none"} {
		failed := false
		for _, err := range s.Log(git.LogQuery{Revs: []string{rev}}) {
			failed = failed || err != nil
		}
		if !failed {
			t.Errorf("%q was accepted", rev)
		}
	}
}

func TestPutUpdate(t *testing.T) {
	r := sample(t)
	s := r.Session()
	me := git.Ident{Name: "A <b>", Email: "a@b", When: time.Unix(5, 0)}
	write := func(n int, parents ...oid.ID) oid.ID {
		var entries []git.TreeEntry
		for i := range n {
			name := strings.Repeat("f", i%50+1) + string(rune('a'+i/50))
			entries = append(entries, git.TreeEntry{Mode: git.ModeFile, Name: name, ID: s.Put("blob", []byte(name))})
		}
		tree, err := git.EncodeTree(entries)
		if err != nil {
			t.Fatal(err)
		}
		c := s.Put("commit", git.EncodeCommit(s.Put("tree", tree), parents, me, me, "made\n"))
		if o, err := s.Object(c.String(), 0); err != nil || o.Kind != "commit" {
			t.Errorf("queued: %+v %v", o, err)
		}
		if _, err := r.TryIn("", "cat-file", "-e", c.String()); err == nil {
			t.Error("visible before the flush")
		}
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
		return c
	}
	c1 := write(3)
	c2 := write(500, c1)
	const ref = "refs/covenant/x"
	if err := s.Update("msg", git.RefUpdate{Name: ref, New: c1}); err != nil {
		t.Fatal(err)
	}
	var conflict *git.ConflictError
	if err := s.Update("msg", git.RefUpdate{Name: ref, New: c2}); !errors.As(err, &conflict) || !slices.Equal(conflict.Refs, []string{ref}) {
		t.Errorf("create twice: %v", err)
	}
	if err := s.Update("msg", git.RefUpdate{Name: ref, New: c2, Old: c1}, git.RefUpdate{Name: ref + "2", New: c2}); err != nil {
		t.Fatal(err)
	}
	if err := s.Update("", git.RefUpdate{Name: ref + "2", Old: c1}); !errors.As(err, &conflict) {
		t.Errorf("delete a moved one: %v", err)
	}
	if err := s.Update("", git.RefUpdate{Name: ref + "2", Old: c2}); err != nil {
		t.Error(err)
	}
	refs, err := s.Refs("refs/covenant/")
	if err != nil || len(refs) != 1 || refs[0] != (git.Ref{Name: ref, ID: c2, Kind: "commit"}) {
		t.Errorf("refs %v, %v", refs, err)
	}
	if out := r.Git("fsck", "--full", "--strict"); strings.Contains(out, "error") {
		t.Error(out)
	}
	if h, err := s.HeadRef(); err != nil || h != "refs/heads/main" {
		t.Errorf("HEAD %q %v", h, err)
	}
}
