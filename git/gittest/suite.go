package gittest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
)

// Run tests a reader against Git itself on every one of [Worlds], and on damaged repositories.
// open opens the repository in dir; a reader that opens nothing fails.
func Run(t *testing.T, open func(dir string) (git.Reader, error)) {
	t.Helper()
	RunRefusing(t, open, nil)
}

// RunRefusing is Run for a reader that cannot read every repository: the named worlds must be
// refused when they are opened, with an error that wraps refusal, and all others read.
func RunRefusing(t *testing.T, open func(dir string) (git.Reader, error), refusal error, worlds ...string) {
	t.Helper()
	for _, name := range worlds {
		if Worlds[name] == nil {
			t.Fatalf("no world is called %q", name)
		}
	}
	history := History(t)
	diffs := map[[2]oid.ID]string{}
	for name, world := range Worlds {
		t.Run(name, func(t *testing.T) {
			r := world(t, history)
			reader, err := open(r.Dir)
			if slices.Contains(worlds, name) {
				if err == nil {
					reader.Close()
				}
				if !errors.Is(err, refusal) {
					t.Errorf("opened with %v, want %v", err, refusal)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer reader.Close()
			w := &suite{t, r, reader, r.Open().Format(), diffs}
			w.objects()
			w.names()
			w.history()
			w.queries()
			w.refs()
		})
	}
	t.Run("damage", func(t *testing.T) { damage(t, open) })
}

type suite struct {
	*testing.T
	repo   *Repo
	reader git.Reader
	format oid.Format
	diffs  map[[2]oid.ID]string // what Git said before: trees do not change
}

func (s *suite) id(name string) oid.ID {
	s.Helper()
	id, err := oid.Parse(s.repo.Git("rev-parse", "--verify", name))
	if err != nil {
		s.Fatal(err)
	}
	return id
}

// objects reads every object there is, alone and in a row, between names that lead nowhere.
func (s *suite) objects() {
	lost := s.format.Hash("blob", []byte("lost")).String()
	var names []string
	for line := range strings.Lines(s.repo.Git("cat-file", "--batch-all-objects", "--batch-check") + "\n") {
		f := strings.Fields(line)
		names = append(names, f[0], lost)
		o, err := s.reader.Object(f[0], 0)
		if err != nil {
			s.Errorf("object %s: %v", f[0], err)
			continue
		}
		if o.ID.String() != f[0] || o.Kind != f[1] || fmt.Sprint(o.Size) != f[2] || s.format.Hash(o.Kind, o.Data) != o.ID {
			s.Errorf("object %s: got %s %s of %d bytes, want %s", f[0], o.ID, o.Kind, o.Size, strings.TrimSpace(line))
		}
	}
	if len(names) < 20 {
		s.Fatalf("only %d objects", len(names)/2)
	}
	const limit = 1 << 16
	i, large := 0, 0
	for o, err := range s.reader.Objects(slices.Values(names), limit) {
		var tooLarge *git.TooLargeError
		switch {
		case names[i] == lost:
			if !errors.Is(err, git.ErrMissing) || !o.ID.IsZero() {
				s.Errorf("a missing object: %v, %v", o.ID, err)
			}
		case errors.As(err, &tooLarge):
			large++
			if tooLarge.Size <= limit || tooLarge.Limit != limit || tooLarge.Name != names[i] {
				s.Errorf("too large: %+v", tooLarge)
			}
		case err != nil || o.ID.String() != names[i] || s.format.Hash(o.Kind, o.Data) != o.ID || o.Size > limit:
			s.Errorf("in a row: %s of %d bytes, %v; want %s", o.ID, o.Size, err, names[i])
		}
		i++
	}
	if i != len(names) || large != 1 {
		s.Errorf("%d results for %d names, %d too large", i, len(names), large)
	}
	for range s.reader.Objects(slices.Values(names), limit) {
		break // must leave the reader usable
	}
}

func (s *suite) names() {
	branch := "refs/remotes/origin/main"
	if _, err := s.repo.TryIn("", "rev-parse", "--verify", branch); err != nil {
		branch = "refs/heads/main"
	}
	for _, name := range []string{"HEAD", "HEAD^{tree}", "HEAD^{commit}", "HEAD:a/inside", "HEAD:dir", branch, branch + "^{tree}", branch + ":dir/deep/deeper/x", s.id("HEAD^{tree}").String() + ":run"} {
		want := s.id(name)
		if o, err := s.reader.Object(name, 0); err != nil || o.ID != want {
			s.Errorf("%s: %s, %v; want %s", name, o.ID, err, want)
		}
	}
	for _, name := range []string{"HEAD:none", "HEAD:dir/none/x", "HEAD:evil/x", "refs/heads/none", "refs/heads/none:x", "refs/heads", "HEAD^{tag}", "", "a\nb"} {
		if o, err := s.reader.Object(name, 0); !errors.Is(err, git.ErrMissing) {
			s.Errorf("%q: %s, %v", name, o.ID, err)
		}
	}
}

// history compares every commit and every change against each parent with Git's own answers.
func (s *suite) history() {
	var commits []git.Commit
	for c, err := range s.reader.Log(git.LogQuery{Revs: []string{"HEAD"}}) {
		if err != nil {
			s.Fatal(err)
		}
		commits = append(commits, c)
	}
	want := map[string]string{}
	for line := range strings.Lines(s.repo.Git("rev-list", "--parents", "HEAD") + "\n") {
		id, parents, _ := strings.Cut(strings.TrimSpace(line), " ")
		want[id] = parents
	}
	seen := map[oid.ID]oid.ID{}
	for _, c := range commits {
		var parents []string
		for _, p := range c.Parents {
			parents = append(parents, p.String())
			if _, ok := seen[p]; !ok {
				s.Errorf("%s before its parent %s", c.ID, p)
			}
		}
		if w, ok := want[c.ID.String()]; !ok || w != strings.Join(parents, " ") {
			s.Errorf("%s has parents %s, want %s", c.ID, parents, w)
		}
		if _, twice := seen[c.ID]; twice {
			s.Errorf("%s twice", c.ID)
		}
		seen[c.ID] = c.Tree
		s.fields(c)
		s.diff(oid.ID{}, c.Tree)
		s.diff(c.Tree, oid.ID{})
		for _, p := range c.Parents {
			s.diff(seen[p], c.Tree)
			s.diff(c.Tree, seen[p])
		}
	}
	if len(commits) != len(want) || len(commits) < 2 {
		s.Errorf("%d commits, want %d", len(commits), len(want))
	}
}

// fields compares what was said of a commit with its object.
func (s *suite) fields(c git.Commit) {
	o, err := s.reader.Object(c.ID.String(), 0)
	if err != nil {
		s.Fatal(err)
	}
	want, err := git.ParseCommit(s.format, c.ID, o.Data)
	if err != nil {
		s.Fatal(err)
	}
	want.Parents, want.Refs = c.Parents, c.Refs // a shallow boundary hides parents
	if fmt.Sprint(c) != fmt.Sprint(want) {
		s.Errorf("commit\n%v\nwant\n%v", c, want)
	}
}

// diff compares with one-shot "git diff-tree".
func (s *suite) diff(old, new oid.ID) {
	name := func(id oid.ID) string {
		if id.IsZero() {
			return s.format.EmptyTree().String()
		}
		return id.String()
	}
	got, err := s.reader.Diff(old, new)
	if err != nil {
		s.Errorf("diff %s %s: %v", old, new, err)
		return
	}
	out, ok := s.diffs[[2]oid.ID{old, new}]
	if !ok {
		out = s.repo.Git("diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", "--ignore-submodules=none", "--no-ext-diff", "--no-relative", name(old), name(new))
		s.diffs[[2]oid.ID{old, new}] = out
	}
	var b strings.Builder
	for _, c := range got {
		side := func(id oid.ID) string {
			if id == (oid.ID{}) {
				return s.format.Null().String()
			}
			return id.String()
		}
		fmt.Fprintf(&b, ":%s %s %s %s %c\x00%s\x00", c.OldMode, c.NewMode, side(c.Old), side(c.New), c.Status, c.Path)
	}
	if b.String() != out {
		s.Errorf("diff %s %s:\n%q\nwant\n%q", old, new, b.String(), out)
	}
}

func (s *suite) queries() {
	head, first := s.id("HEAD"), s.id("HEAD^")
	refs := s.repo.Git("for-each-ref", "--format=%(refname)", "refs/heads", "refs/remotes", "refs/covenant", "refs/tags")
	for name, c := range map[string]struct {
		query git.LogQuery
		args  []string // what rev-list says
	}{
		"range":        {git.LogQuery{Revs: []string{head.String(), "^" + first.String()}}, []string{"HEAD", "^HEAD^"}},
		"first parent": {git.LogQuery{Revs: []string{"HEAD"}, FirstParent: true}, []string{"--first-parent", "HEAD"}},
		"glob":         {git.LogQuery{Globs: []string{"refs/heads/*"}}, []string{"--glob=refs/heads/*"}},
		"glob without": {git.LogQuery{Globs: []string{"refs/heads"}}, []string{"--glob=refs/heads"}},
		"deep glob":    {git.LogQuery{Globs: []string{"refs/*/m?in"}}, []string{"--glob=refs/*/m?in"}},
		"ref less ref": {git.LogQuery{Globs: []string{"refs/covenant/"}, Revs: []string{"^" + first.String()}}, []string{"--glob=refs/covenant/", "^HEAD^"}},
		"no match":     {git.LogQuery{Globs: []string{"refs/none/*"}}, []string{"--glob=refs/none/*"}},
		"nothing":      {git.LogQuery{}, []string{"--glob=refs/none/*"}},
		"newest":       {git.LogQuery{Revs: []string{"HEAD"}, Max: 1}, []string{"-1", "HEAD"}},
		"missing":      {git.LogQuery{Revs: []string{s.format.Hash("commit", nil).String(), "refs/heads/none"}, IgnoreMissing: true}, []string{"--glob=refs/none/*"}},
	} {
		var got []string
		for c, err := range s.reader.Log(c.query) {
			if err != nil {
				s.Errorf("%s: %v", name, err)
				break
			}
			got = append(got, c.ID.String())
		}
		want := strings.Fields(s.repo.Git(append([]string{"rev-list"}, c.args...)...))
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			s.Errorf("%s: commits %s, want %s", name, got, want)
		}
	}
	for _, rev := range []string{"main", "--all", "HEAD^", "", "refs/heads/none", s.format.Hash("commit", nil).String(), s.id("HEAD^{tree}").String()[:12], "a\nb"} {
		if !fails(s.reader.Log(git.LogQuery{Revs: []string{rev}})) {
			s.Errorf("revision %q was walked", rev)
		}
	}
	for _, rev := range []string{"refs/heads/none", s.format.Hash("commit", nil).String(), "^" + s.format.Hash("commit", nil).String()} {
		for _, err := range s.reader.Log(git.LogQuery{Revs: []string{"HEAD", rev}}) {
			if !errors.Is(err, git.ErrMissing) {
				s.Errorf("revision %q: %v", rev, err)
			}
		}
	}
	decorated := map[string]bool{}
	for c, err := range s.reader.Log(git.LogQuery{Revs: []string{"HEAD"}, Decorate: []string{"refs/covenant/", "refs/tags", "refs/heads"}}) {
		if err != nil {
			s.Fatal(err)
		}
		for _, ref := range c.Refs {
			decorated[ref] = true
			if s.id(ref+"^{}") != c.ID || !strings.Contains(refs, ref) {
				s.Errorf("%s at %s", ref, c.ID)
			}
		}
	}
	for ref := range strings.FieldsSeq(refs) {
		commit, err := s.repo.TryIn("", "rev-parse", "--verify", "-q", ref+"^{commit}")
		if err != nil || strings.HasPrefix(ref, "refs/remotes") {
			continue
		}
		_, err = s.repo.TryIn("", "merge-base", "--is-ancestor", commit, "HEAD")
		if (err == nil) != decorated[ref] {
			s.Errorf("%s: decorated %v", ref, decorated[ref])
		}
	}
}

func fails(seq func(func(git.Commit, error) bool)) bool {
	for _, err := range seq {
		if err != nil {
			return true
		}
	}
	return false
}

func (s *suite) refs() {
	for _, prefixes := range [][]string{nil, {"refs/heads"}, {"refs/covenant/", "refs/tags"}, {"refs/heads/main"}, {"refs/he"}, {"refs/covenant/ledger/x"}} {
		refs, err := s.reader.Refs(prefixes...)
		if err != nil {
			s.Errorf("refs %q: %v", prefixes, err)
		}
		var got []string
		for _, r := range refs {
			got = append(got, r.ID.String()+" "+r.Kind+" "+r.Name)
		}
		want := s.repo.Git(append([]string{"for-each-ref", "--format=%(objectname) %(objecttype) %(refname)"}, prefixes...)...)
		if strings.Join(got, "\n") != want {
			s.Errorf("refs %q:\n%s\nwant\n%s", prefixes, strings.Join(got, "\n"), want)
		}
	}
	if _, err := s.reader.Refs("HEAD"); err == nil {
		s.Error("refs of no full name were listed")
	}
}
