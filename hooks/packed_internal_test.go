//go:build unix

package hooks

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/open-covenant/covenant-git/git/gittest"
	"github.com/open-covenant/covenant-git/git/oid"
)

// TestPacked: a ref that is deleted is not taken for one that was packed, also where the file of packed refs is a link and Git locks what that leads to.
func TestPacked(t *testing.T) {
	r := gittest.New(t)
	r.Write("a", "a")
	id, err := oid.Parse(r.Commit("one"))
	if err != nil {
		t.Fatal(err)
	}
	m := move{old: id, ref: r.Git("symbolic-ref", "HEAD")}
	dir, elsewhere := filepath.Join(r.Dir, ".git"), filepath.Join(r.Dir, "elsewhere")
	at := filepath.Join(dir, "packed-refs")
	look := func(what string, want bool) {
		t.Helper()
		if got := packed(r.Open(), m); got != want {
			t.Errorf("%s: %v", what, got)
		}
	}
	look("not packed", false)
	r.Git("pack-refs", "--all")
	look("packed", true)
	lock := func(what, file string) {
		t.Helper()
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		look(what, false)
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	lock("deleted", at+".lock")
	if err := os.Rename(at, elsewhere); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, at); err != nil {
		t.Fatal(err)
	}
	look("packed behind a link", true)
	lock("deleted behind a link", elsewhere+".lock")
	m.old = oid.ID{}
	look("its old value is not told", false)
}
