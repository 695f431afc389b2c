package git_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/gittest"
	"github.com/open-covenant/covenant-git/git/oid"
)

// What was fetched is readable in quarantine, and in the repository once it is kept; nothing of what is not kept stays.
func TestIncoming(t *testing.T) {
	for _, format := range []string{"sha1", "sha256"} {
		t.Run(format, func(t *testing.T) {
			there := gittest.New(t, "--object-format="+format)
			there.Write("a", "1\n")
			base := there.Commit("one")
			here := gittest.New(t, "--object-format="+format)
			here.Git("remote", "add", "origin", there.Dir)
			here.Git("fetch", "-q", "origin", "HEAD:refs/heads/here")
			for i := range 40 { // more than Git unpacks
				there.Write("b", string(rune('a'+i%26))+"\n")
				there.Commit("more")
			}
			there.Git("update-ref", "refs/x/wanted", "HEAD")
			there.Git("switch", "-q", "-c", "junk", base)
			there.Write("c", "junk\n")
			there.Git("update-ref", "refs/x/junk", there.Commit("junk"))
			wanted, junk := id(t, there.Git("rev-parse", "refs/x/wanted")), id(t, there.Git("rev-parse", "refs/x/junk"))

			r := here.Open()
			before := here.Git("for-each-ref")
			q, err := r.Quarantine(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if err := q.Fetch(ctx, 1<<30, 10_000, "origin", "+refs/x/*:"+git.QuarantineRefs+"x/*"); err != nil {
				t.Fatal(err)
			}
			s := q.Session(ctx)
			refs, err := s.Refs(git.QuarantineRefs + "x/")
			if err != nil || len(refs) != 2 {
				t.Fatalf("refs in quarantine: %v, %v", refs, err)
			}
			if c, err := s.Commit(wanted.String()); err != nil || c.ID != wanted {
				t.Errorf("in quarantine: %v", err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			home := here.Session()
			if _, err := home.Commit(wanted.String()); !errors.Is(err, git.ErrMissing) {
				t.Errorf("in the repository before it is kept: %v", err)
			}
			if err := q.Keep(ctx, []oid.ID{wanted}, []oid.ID{id(t, base)}); err != nil {
				t.Fatal(err)
			}
			if err := q.Remove(); err != nil {
				t.Fatal(err)
			}
			if _, err := home.Commit(wanted.String()); err != nil {
				t.Errorf("kept: %v", err)
			}
			if _, err := home.Commit(junk.String()); !errors.Is(err, git.ErrMissing) {
				t.Errorf("not kept: %v", err)
			}
			here.Git("rev-list", "--objects", wanted.String())
			if after := here.Git("for-each-ref"); after != before {
				t.Errorf("refs moved: %s", after)
			}
			if left, _ := filepath.Glob(filepath.Join(r.StateDir(), "incoming-*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// A fetch that brings more than the limit is stopped, and leaves nothing.
func TestIncomingLimit(t *testing.T) {
	there := gittest.New(t)
	there.Write("a", "1\n")
	there.Commit("one")
	for i := range 24 {
		b := make([]byte, 1<<16)
		for j := range b {
			b[j] = byte(j * j * (i + 7) >> 3)
		}
		there.Write("big", string(b)+string(rune('a'+i)))
		there.Git("update-ref", "refs/x/"+there.Commit("big"), "HEAD")
	}
	here := gittest.New(t)
	r := here.Open()
	for _, limit := range []struct {
		bytes int64
		files int
	}{{10_000, 1 << 20}, {1 << 30, 20}} {
		q, err := r.Quarantine(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := q.Fetch(ctx, limit.bytes, limit.files, there.Dir, "+refs/x/*:"+git.QuarantineRefs+"x/*"); !errors.Is(err, git.ErrQuarantineFull) {
			t.Errorf("%v: %v", limit, err)
		}
		if err := q.Remove(); err != nil {
			t.Fatal(err)
		}
	}
	if out := here.Git("count-objects"); out != "0 objects, 0 kilobytes" {
		t.Errorf("the repository has %s", out)
	}
	if _, err := os.Stat(r.StateDir()); err != nil {
		t.Error(err)
	}
}

// A quarantine that a dead process left is removed by the next one, and one that may be in use is not.
func TestIncomingLeft(t *testing.T) {
	here := gittest.New(t)
	r := here.Open()
	first, err := r.Quarantine(ctx)
	if err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(r.StateDir(), "incoming-dead")
	if err := os.Mkdir(old, 0o700); err != nil {
		t.Fatal(err)
	}
	yesterday := time.Now().Add(-25 * time.Hour)
	if err := os.Chtimes(old, yesterday, yesterday); err != nil {
		t.Fatal(err)
	}
	second, err := r.Quarantine(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); err == nil {
		t.Error("what a dead process left is there")
	}
	for _, q := range []*git.Quarantine{first, second} {
		if _, err := q.Session(ctx).Refs("refs/"); err != nil {
			t.Errorf("one that is in use: %v", err)
		}
		if err := q.Remove(); err != nil {
			t.Error(err)
		}
	}
}
