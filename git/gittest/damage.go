package gittest

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
)

// damage takes objects away, or breaks them, and demands an error: never a short answer.
func damage(t *testing.T, open func(dir string) (git.Reader, error)) {
	for _, broken := range []bool{false, true} {
		for _, target := range []string{"HEAD:dir/deep/deeper", "HEAD:dir", "HEAD^{tree}", "HEAD:dir/deep/deeper/x", "HEAD^^2"} {
			name := "missing " + target
			if broken {
				name = "broken " + target
			}
			t.Run(name, func(t *testing.T) {
				r := New(t)
				r.Write("dir/deep/deeper/x", "x\n")
				r.Commit("one")
				r.Git("checkout", "-q", "-b", "side")
				r.Write("dir/deep/deeper/x", "side\n")
				r.Commit("side")
				r.Git("checkout", "-q", "main")
				r.Git("merge", "-q", "--no-ff", "-m", "merge", "side")
				r.Write("dir/deep/deeper/x", "changed\n")
				r.Write("zz", "after the damage\n")
				r.Commit("two")
				parse := func(name string) oid.ID {
					id, err := oid.Parse(r.Git("rev-parse", name))
					if err != nil {
						t.Fatal(err)
					}
					return id
				}
				old, new, id := parse("HEAD^^{tree}"), parse("HEAD^{tree}"), parse(target)
				kind := r.Git("cat-file", "-t", id.String())
				file := filepath.Join(r.Dir, ".git", "objects", id.String()[:2], id.String()[2:])
				if err := os.Remove(file); err != nil {
					t.Fatal(err)
				}
				if broken {
					if err := os.WriteFile(file, []byte("x\x01 no object"), 0o444); err != nil {
						t.Fatal(err)
					}
				}
				reader, err := open(r.Dir)
				if err != nil {
					t.Fatal(err)
				}
				defer reader.Close()
				if o, err := reader.Object(id.String(), 0); err == nil || !broken && !errors.Is(err, git.ErrMissing) {
					t.Errorf("object %s, %v", o.ID, err)
				}
				changes, err := reader.Diff(old, new)
				if bad := kind == "tree"; (err != nil) != bad || bad && (changes != nil || !broken && !errors.Is(err, git.ErrMissing)) {
					t.Errorf("diff: %d changes, %v", len(changes), err)
				}
				if bad := kind == "commit"; fails(reader.Log(git.LogQuery{Revs: []string{"HEAD"}})) != bad {
					t.Errorf("walk: error %v, want %v", !bad, bad)
				}
				// What is whole can still be read.
				if o, err := reader.Object("HEAD", 0); err != nil || o.Kind != "commit" {
					t.Errorf("HEAD: %v", err)
				}
				if changes, err := reader.Diff(oid.ID{}, old); (err == nil) && len(changes) != 1 {
					t.Errorf("diff of a whole tree: %d changes", len(changes))
				}
				for range reader.Objects(slices.Values([]string{id.String(), "HEAD"}), 0) {
				}
			})
		}
	}
	t.Run("ref file that a crash emptied", func(t *testing.T) {
		r := New(t)
		r.Commit("one")
		r.Git("update-ref", "refs/covenant/x", "HEAD")
		if err := os.WriteFile(filepath.Join(r.Dir, ".git", "refs", "covenant", "x"), nil, 0o666); err != nil {
			t.Fatal(err)
		}
		reader, err := open(r.Dir)
		if err != nil {
			t.Fatal(err)
		}
		defer reader.Close()
		for _, prefixes := range [][]string{nil, {"refs/covenant/"}, {"refs/covenant/x"}} {
			if refs, err := reader.Refs(prefixes...); err == nil {
				t.Errorf("%q: it was passed over: %v", prefixes, refs)
			}
		}
		if refs, err := reader.Refs("refs/heads"); err != nil || len(refs) != 1 {
			t.Errorf("others: %v, %v", refs, err)
		}
	})
	t.Run("trees without a difference", func(t *testing.T) {
		r := New(t)
		r.Write("a", "a")
		r.Commit("one")
		blob := r.Git("rev-parse", "HEAD:a")
		raw, err := oid.Parse(blob)
		if err != nil {
			t.Fatal(err)
		}
		put := func(mode string) oid.ID {
			id, err := oid.Parse(r.GitIn(mode+" a\x00"+string(raw.Bytes()), "hash-object", "-t", "tree", "-w", "--literally", "--stdin"))
			if err != nil {
				t.Fatal(err)
			}
			return id
		}
		sane, odd := put("100644"), put("100664")
		reader, err := open(r.Dir)
		if err != nil {
			t.Fatal(err)
		}
		defer reader.Close()
		if changes, err := reader.Diff(sane, odd); !errors.Is(err, git.ErrEmptyDiff) {
			t.Errorf("%v, %v", changes, err)
		}
		if changes, err := reader.Diff(sane, sane); err != nil || len(changes) != 0 {
			t.Errorf("%v, %v", changes, err)
		}
	})
}
