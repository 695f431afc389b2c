package git_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/gittest"
)

// A missing object of a partial clone is missing at once: nothing is fetched, nobody is asked.
func TestPartialClone(t *testing.T) {
	for _, filter := range []string{"blob:none", "tree:0"} {
		t.Run(filter, func(t *testing.T) {
			origin := sample(t)
			origin.Git("config", "uploadpack.allowFilter", "true")
			r := origin.At(filepath.Join(t.TempDir(), "partial"))
			origin.Git("clone", "-q", "--no-checkout", "--filter="+filter, "file://"+origin.Dir, r.Dir)
			// Any use of the network would leave a file behind.
			witness := filepath.Join(t.TempDir(), "fetched")
			helper := filepath.Join(t.TempDir(), "fetch")
			if err := os.WriteFile(helper, []byte("#!/bin/sh\ntouch '"+witness+"'\nexit 1\n"), 0o777); err != nil {
				t.Fatal(err)
			}
			r.Git("config", "remote.origin.uploadpack", helper)
			r.Git("config", "protocol.ext.allow", "always")
			head := r.Git("rev-parse", "HEAD")
			blob := origin.Git("rev-parse", "HEAD:a")
			tree := id(t, origin.Git("rev-parse", "HEAD^{tree}"))
			parent := id(t, origin.Git("rev-parse", "HEAD^^{tree}"))
			for _, at := range []*gittest.Repo{r, func() *gittest.Repo {
				linked := r.At(filepath.Join(t.TempDir(), "linked"))
				r.Git("worktree", "add", "-q", "--no-checkout", linked.Dir)
				return linked
			}()} {
				s := at.Session()
				start := time.Now()
				for _, name := range []string{blob, "HEAD:a", head + ":dir/b"} {
					if _, err := s.Object(name, 0); !errors.Is(err, git.ErrMissing) {
						t.Errorf("%s: %v", name, err)
					}
				}
				missing := 0
				for _, err := range s.Objects(func(yield func(string) bool) {
					for range 100 {
						if !yield(blob) {
							return
						}
					}
				}, 0) {
					if errors.Is(err, git.ErrMissing) {
						missing++
					}
				}
				if missing != 100 {
					t.Errorf("%d of 100 missing", missing)
				}
				if o, err := s.Object("HEAD", 0); err != nil || o.ID.String() != head {
					t.Errorf("HEAD: %v", err)
				}
				changes, err := s.Diff(parent, tree)
				if filter == "blob:none" && (err != nil || len(changes) != 2) {
					t.Errorf("diff: %v, %v", changes, err)
				}
				if filter == "tree:0" && !errors.Is(err, git.ErrMissing) {
					t.Errorf("diff: %v, %v", changes, err)
				}
				if n := len(collect(t, s.Log(git.LogQuery{Revs: []string{"HEAD"}}))); n != 2 {
					t.Errorf("%d commits", n)
				}
				if refs, err := s.Refs("refs/heads"); err != nil || len(refs) == 0 {
					t.Errorf("refs %v, %v", refs, err)
				}
				made := s.Put("blob", []byte("new"))
				if err := s.Flush(); err != nil {
					t.Fatal(err)
				}
				if o, err := s.Object(made.String(), 0); err != nil || string(o.Data) != "new" {
					t.Errorf("new object: %v", err)
				}
				if err := s.Update("", git.RefUpdate{Name: "refs/covenant/x", New: id(t, head)}); err != nil {
					t.Error(err)
				}
				if refs, err := s.Refs("refs/covenant"); err != nil || len(refs) != 1 {
					t.Errorf("refs %v, %v", refs, err)
				}
				if err := s.Update("", git.RefUpdate{Name: "refs/covenant/x", Old: id(t, head)}); err != nil {
					t.Error(err)
				}
				if d := time.Since(start); d > 5*time.Second {
					t.Errorf("took %v", d)
				}
				if _, err := s.Repo().Run(ctx, nil, "cat-file", "-p", blob); err == nil {
					t.Error("Run read a missing object")
				}
			}
			if _, err := os.Stat(witness); err == nil {
				t.Error("something was fetched")
			}
		})
	}
}

// A partial clone still fetches and pushes when it is told to.
func TestPartialCloneRemotes(t *testing.T) {
	origin := bare(t)
	origin.Git("config", "uploadpack.allowFilter", "true")
	origin.Git("config", "uploadpack.allowAnySHA1InWant", "true")
	r := origin.At(filepath.Join(t.TempDir(), "partial"))
	origin.Git("clone", "-q", "--filter=blob:none", "file://"+origin.Dir, r.Dir)
	other := origin.At(filepath.Join(t.TempDir(), "other"))
	origin.Git("clone", "-q", origin.Dir, other.Dir)
	other.Write("fetched", "x")
	want := other.Commit("fetched")
	other.Git("push", "-q", "origin", "HEAD:main")
	repo := r.Open()
	if _, err := repo.Run(ctx, nil, "fetch", "-q", "origin"); err != nil {
		t.Fatal(err)
	}
	if got := r.Git("rev-parse", "origin/main"); got != want {
		t.Errorf("fetched %s, want %s", got, want)
	}
	r.Write("pushed", "y")
	want = r.Commit("pushed")
	if _, err := repo.Run(ctx, nil, "-c", "push.default=nothing", "push", "-q", "origin", "HEAD:refs/heads/new"); err != nil {
		t.Fatal(err)
	}
	if got := origin.Git("rev-parse", "new"); got != want {
		t.Errorf("pushed %s, want %s", got, want)
	}
}
