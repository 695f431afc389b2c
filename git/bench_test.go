package git_test

import (
	"fmt"
	"iter"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/gittest"
	"github.com/open-covenant/covenant-git/git/gogit"
	"github.com/open-covenant/covenant-git/git/oid"
)

// long makes a packed repository of many commits, each of which changes five of a thousand files in
// fifty directories.
func long(b *testing.B, commits int) *gittest.Repo {
	b.Helper()
	r := gittest.New(b)
	var in strings.Builder
	for i := range commits {
		fmt.Fprintf(&in, "commit refs/heads/main\ncommitter n <e> %d +0000\ndata 8\ncommit \n\n", 1700000000+i)
		files := 5
		if i == 0 {
			files = 1000
		}
		for f := range files {
			body := fmt.Sprintf("%d of %d %s\n", f, i, strings.Repeat("content ", 20))
			n := (i*7 + f*13) % 1000
			if i == 0 {
				n = f
			}
			fmt.Fprintf(&in, "M 100644 inline dir%d/file%d\ndata %d\n%s\n", n%50, n, len(body), body)
		}
	}
	r.GitIn(in.String(), "fast-import", "--quiet")
	r.Git("reset", "-q", "--hard")
	r.Git("repack", "-adq")
	return r
}

// pairs gives each commit's tree with the one before it, as the history is walked.
func pairs(b *testing.B, s git.Reader) iter.Seq[git.TreePair] {
	return func(yield func(git.TreePair) bool) {
		var last oid.ID
		for c, err := range s.Log(git.LogQuery{Revs: []string{"HEAD"}}) {
			if err != nil {
				b.Error(err)
				return
			}
			if !yield(git.TreePair{Old: last, New: c.Tree}) {
				return
			}
			last = c.Tree
		}
	}
}

// Walking 2,000 commits and comparing each with its parent, from opening the repository; "git" is
// what "git log --raw" takes for the same.
func BenchmarkDiffs(b *testing.B) {
	r := long(b, 2000)
	b.Run("git log --raw", func(b *testing.B) {
		for b.Loop() {
			cmd := exec.Command("git", "log", "--raw", "-z", "--no-renames", "--no-abbrev", "--format=%H %T %P", "--root", "main")
			cmd.Dir, cmd.Env = r.Dir, r.Env
			if out, err := cmd.Output(); err != nil || len(out) == 0 {
				b.Fatal(err)
			}
		}
	})
	b.Run("Session", func(b *testing.B) {
		for b.Loop() {
			repo, err := git.Open(ctx, git.Options{Dir: r.Dir, Env: r.Env})
			if err != nil {
				b.Fatal(err)
			}
			s := repo.Session(ctx)
			n := 0
			for cs, err := range s.Diffs(pairs(b, s)) {
				if err != nil {
					b.Fatal(err)
				}
				n += len(cs)
			}
			if n < 2000 {
				b.Fatal(n)
			}
			b.ReportMetric(float64(s.Children()), "children")
			s.Close()
		}
	})
	b.Run("go-git", func(b *testing.B) {
		for b.Loop() {
			s, err := gogit.Open(r.Dir)
			if err != nil {
				b.Fatal(err)
			}
			for p := range pairs(b, s) {
				if _, err := s.Diff(p.Old, p.New); err != nil {
					b.Fatal(err)
				}
			}
			s.Close()
		}
	})
}

// Reading 10,000 blobs.
func BenchmarkObjects(b *testing.B) {
	r := long(b, 1900)
	var names []string
	for line := range strings.Lines(r.Git("cat-file", "--batch-all-objects", "--batch-check")) {
		if f := strings.Fields(line); f[1] == "blob" && len(names) < 10000 {
			names = append(names, f[0])
		}
	}
	each := func(yield func(string) bool) {
		for _, n := range names {
			if !yield(n) {
				return
			}
		}
	}
	read := func(b *testing.B, s git.Reader) {
		n := 0
		for _, err := range s.Objects(each, 0) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != len(names) || n < 9000 {
			b.Fatal(n)
		}
	}
	b.Run("git cat-file --batch --buffer", func(b *testing.B) {
		in := strings.Join(names, "\n") + "\n"
		for b.Loop() {
			cmd := exec.Command("git", "cat-file", "--batch", "--buffer")
			cmd.Dir, cmd.Env, cmd.Stdin = r.Dir, r.Env, strings.NewReader(in)
			if out, err := cmd.Output(); err != nil || len(out) == 0 {
				b.Fatal(err)
			}
		}
	})
	b.Run("Session", func(b *testing.B) {
		repo := openBench(b, r)
		for b.Loop() {
			s := repo.Session(ctx)
			read(b, s)
			s.Close()
		}
	})
	b.Run("go-git", func(b *testing.B) {
		for b.Loop() {
			s, err := gogit.Open(r.Dir)
			if err != nil {
				b.Fatal(err)
			}
			read(b, s)
			s.Close()
		}
	})
}

func openBench(b *testing.B, r *gittest.Repo) *git.Repo {
	repo, err := git.Open(ctx, git.Options{Dir: r.Dir, Env: r.Env})
	if err != nil {
		b.Fatal(err)
	}
	return repo
}

// Writing objects: few become loose, many a pack.
func BenchmarkPut(b *testing.B) {
	for _, n := range []int{5, 64, 5000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := sample(b)
			s := openBench(b, r).Session(ctx)
			defer s.Close()
			body := []byte(strings.Repeat("some two kilobytes of an envelope ", 60))
			round := 0
			for b.Loop() {
				for i := range n {
					s.Put("blob", fmt.Appendf(body, "%d/%d", round, i))
				}
				if err := s.Flush(); err != nil {
					b.Fatal(err)
				}
				round++
			}
		})
	}
}

// What one moment costs: opening, one object, one commit made, one ref moved.
func BenchmarkMoment(b *testing.B) {
	r := sample(b)
	b.Run("git version", func(b *testing.B) {
		for b.Loop() {
			cmd := exec.Command("git", "version")
			cmd.Env = r.Env
			if err := cmd.Run(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Open", func(b *testing.B) {
		for b.Loop() {
			openBench(b, r)
		}
	})
	b.Run("all", func(b *testing.B) {
		var tip oid.ID
		me := git.Ident{Name: "n", Email: "e", When: time.Unix(1, 0)}
		for b.Loop() {
			s := openBench(b, r).Session(ctx)
			o, err := s.Object("HEAD", 0)
			if err != nil {
				b.Fatal(err)
			}
			c := s.Put("commit", git.EncodeCommit(s.Put("tree", nil), []oid.ID{o.ID}, me, me, tip.String()))
			if err := s.Flush(); err != nil {
				b.Fatal(err)
			}
			if err := s.Update("moment", git.RefUpdate{Name: "refs/covenant/bench", New: c, Old: tip}); err != nil {
				b.Fatal(err)
			}
			tip = c
			b.ReportMetric(float64(s.Children()), "children")
			s.Close()
		}
	})
}
