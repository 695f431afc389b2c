package handoff

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/git/oid"
)

// Marks by which Git is told not to look at a file.
var marks = []string{"--assume-unchanged", "--skip-worktree"}

// based is a repository with a commit of a few files.
func based(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, "sha1")
	w.write("f", "base\n")
	w.write("g", "base\n")
	w.write("in/1", "base\n")
	w.write("out/2", "base\n")
	w.git("add", "-A")
	w.git("commit", "-q", "-m", "base")
	return w
}

func (w *world) text(path string) string {
	w.t.Helper()
	data, err := os.ReadFile(filepath.Join(w.dir, path))
	if err != nil {
		w.t.Fatal(err)
	}
	return string(data)
}

// What a file holds that Git was told not to look at is neither overwritten nor left out.
func TestHiddenFiles(t *testing.T) {
	t.Parallel()
	for _, mark := range marks {
		t.Run(mark, func(t *testing.T) {
			w := based(t)
			w.write("f", "handed\n")
			m := w.create(Creating{})
			b := w.tree("b", "HEAD")
			b.git("update-index", mark, "f")
			b.write("f", "MY-LOCAL\n")
			before := b.look()
			var blocked *BlockedError
			if _, err := b.apply(m.ID, Applying{}); !errors.As(err, &blocked) || !errors.Is(err, ErrInTheWay) || !slices.Equal(blocked.Paths, []string{"f"}) {
				t.Errorf("a change of its own: %v", err)
			}
			if got := b.look(); got != before {
				t.Errorf("something was written: %s", got)
			}
			if got := b.create(Creating{}); got.Files != 1 {
				t.Errorf("handed off: %d files", got.Files)
			}
			if got := b.git("ls-files", "-v", "f"); got == "H f" {
				t.Error("the mark is gone")
			}

			c := w.tree("c", "HEAD")
			c.git("update-index", mark, "f", "g")
			c.write("g", "MY-LOCAL\n") // it is not in the way
			if _, err := c.apply(m.ID, Applying{}); err != nil {
				t.Fatal(err)
			}
			if got := c.git("status", "--porcelain"); got != " M f" || c.text("f") != "handed\n" || c.text("g") != "MY-LOCAL\n" {
				t.Errorf("Git says %q", got)
			}
		})
	}
}

// What Git would believe of a file without a look at it is not believed: a monitor that says that nothing changed, a size and a time that were kept.
func TestBelieved(t *testing.T) {
	t.Parallel()
	monitor := filepath.Join(t.TempDir(), "monitor")
	if err := os.WriteFile(monitor, []byte("#!/bin/sh\nprintf 'now\\0'\n"), 0o700); err != nil { //nolint:gosec // Git runs it
		t.Fatal(err)
	}
	for name, settle := range map[string]func(b *world){
		"monitor": func(b *world) {
			b.git("config", "core.fsmonitor", monitor)
			b.git("update-index", "--fsmonitor")
		},
		"times": func(b *world) {
			b.git("config", "core.trustctime", "false")
			b.git("config", "core.checkStat", "minimal")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := based(t)
			w.write("f", "handed\n")
			m := w.create(Creating{})
			b := w.tree("b", "HEAD")
			f, past := filepath.Join(b.dir, "f"), time.Unix(1_700_000_000, 0)
			if err := os.Chtimes(f, past, past); err != nil {
				t.Fatal(err)
			}
			settle(b)
			b.git("status")
			b.git("status")
			time.Sleep(1100 * time.Millisecond) // Git knows when a file was changed to the second
			b.write("f", "mine\n")
			if err := os.Chtimes(f, past, past); err != nil {
				t.Fatal(err)
			}
			if got := b.git("status", "--porcelain"); got != "" {
				t.Skipf("Git does look: %q", got)
			}
			var blocked *BlockedError
			if _, err := b.apply(m.ID, Applying{}); !errors.As(err, &blocked) {
				t.Errorf("a change of its own: %v", err)
			}
			if got := b.text("f"); got != "mine\n" {
				t.Errorf("it is %q", got)
			}
			if got := b.create(Creating{}); got.Files != 1 {
				t.Errorf("handed off: %d files", got.Files)
			}
		})
	}
}

// A file that is gone and that Git was told is unchanged is gone in the handoff; one that is not checked out is not.
func TestHiddenAndGone(t *testing.T) {
	t.Parallel()
	for i, mark := range marks {
		w := based(t)
		w.git("update-index", mark, "f")
		if err := os.Remove(filepath.Join(w.dir, "f")); err != nil {
			t.Fatal(err)
		}
		if got := w.create(Creating{}); got.Files != 1-i {
			t.Errorf("%s: %d files", mark, got.Files)
		}
	}
}

// In a sparse work tree Git is to see what the handoff did where it does not look.
func TestOutsideOfASparseCheckout(t *testing.T) {
	t.Parallel()
	w := based(t)
	if err := os.Remove(filepath.Join(w.dir, "out", "2")); err != nil {
		t.Fatal(err)
	}
	w.write("f", "handed\n")
	before := w.git("status", "--porcelain")
	gone := w.create(Creating{})
	w.write("out/2", "handed\n")
	changed := w.create(Creating{})
	for _, m := range []*Made{gone, changed} {
		b := w.tree("b"+Short(m.ID), "HEAD")
		b.git("sparse-checkout", "set", "in")
		if _, err := b.apply(m.ID, Applying{}); err != nil {
			t.Fatal(err)
		}
		if got := b.git("status", "--porcelain"); got != before {
			t.Errorf("it is %q, not %q", got, before)
		}
		before = " M f\n M out/2"
	}
}

// A link that comes to be between the look and the writing leads nothing into .git, which is in the work tree, too.
func TestLinkInTheMeantime(t *testing.T) {
	t.Parallel()
	w := based(t)
	w.write("new/deep/file", "owned\n")
	m := w.create(Creating{})
	for _, link := range []string{"new", "new/deep"} {
		b := w.tree("b"+strings.ReplaceAll(link, "/", "-"), "HEAD")
		inside := filepath.Join(b.dir, "hooks")
		if err := os.MkdirAll(inside, 0o755); err != nil {
			t.Fatal(err)
		}
		_, err := b.apply(m.ID, Applying{at: func(moment string) {
			if moment == "recorded" {
				at := filepath.Join(b.dir, link)
				if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.Symlink(strings.Repeat("../", strings.Count(link, "/"))+"hooks", at)); err != nil {
					t.Error(err)
				}
			}
		}})
		if !errors.Is(err, ErrChanged) {
			t.Errorf("%s: %v", link, err)
		}
		if list, err := os.ReadDir(inside); err != nil || len(list) > 0 {
			t.Errorf("%s: something was written: %v, %v", link, list, err)
		}
		if _, err := Continue(context.Background(), b.sealer(), Applying{}); !errors.Is(err, ErrChanged) {
			t.Errorf("%s: finished: %v", link, err)
		}
		if _, err := Abort(context.Background(), b.sealer()); err != nil {
			t.Errorf("%s: taken back: %v", link, err)
		}
		if info, err := os.Lstat(filepath.Join(b.dir, link)); err != nil || info.Mode()&os.ModeSymlink == 0 {
			t.Errorf("%s: somebody's link is gone: %v", link, err)
		}
	}
}

// Taking back writes through no link, either.
func TestLinkBeforeAnAbort(t *testing.T) {
	t.Parallel()
	w := based(t)
	if err := os.RemoveAll(filepath.Join(w.dir, "out")); err != nil {
		t.Fatal(err)
	}
	m := w.create(Creating{})
	b := w.tree("b", "HEAD")
	secret := errors.New("the process died")
	func() {
		defer func() { _ = recover() }()
		_, _ = b.apply(m.ID, Applying{at: func(moment string) {
			if moment == "written" {
				panic(secret)
			}
		}})
	}()
	if err := errors.Join(os.Mkdir(filepath.Join(b.dir, "hooks"), 0o755), os.Symlink("hooks", filepath.Join(b.dir, "out"))); err != nil {
		t.Fatal(err)
	}
	if _, err := Abort(context.Background(), b.sealer()); !errors.Is(err, ErrChanged) {
		t.Errorf("taken back: %v", err)
	}
	if list, err := os.ReadDir(filepath.Join(b.dir, "hooks")); err != nil || len(list) > 0 {
		t.Errorf("something was written: %v, %v", list, err)
	}
	if err := os.Remove(filepath.Join(b.dir, "out")); err != nil {
		t.Fatal(err)
	}
	if _, err := Abort(context.Background(), b.sealer()); err != nil || b.text("out/2") != "base\n" {
		t.Errorf("taken back then: %v", err)
	}
}

// On a file system that ignores case a link of one name is on the way to another one.
func TestFoldedNames(t *testing.T) {
	t.Parallel()
	w := based(t)
	blob, target := w.object("blob", "#!/bin/sh\n"), w.object("blob", ".git/hooks")
	file := w.treeOf(entry{"100755", "post-index-change", blob})
	for name, tree := range map[string]struct {
		tree oid.ID
		ok   bool
	}{
		"a link above":          {w.treeOf(entry{"120000", "A", target}, entry{"40000", "a", file}), false},
		"a link above, further": {w.treeOf(entry{"40000", "D", w.treeOf(entry{"120000", "x", target})}, entry{"40000", "d", w.treeOf(entry{"40000", "X", file})}), false},
		"other letters":         {w.treeOf(entry{"40000", "K", file}, entry{"120000", "\u212a", target}), false},
		"a file above":          {w.treeOf(entry{"100644", "A", blob}, entry{"40000", "a", file}), false},
		"twice":                 {w.treeOf(entry{"100644", "A", blob}, entry{"100644", "a", blob}), false},
		"beside":                {w.treeOf(entry{"120000", "A", target}, entry{"40000", "ab", file}), true},
	} {
		id := w.forge(oid.ID{}, tree.tree, nil)
		b := w.tree("b"+strings.ReplaceAll(name, " ", "-"), "HEAD")
		b.git("config", "core.ignoreCase", "true")
		before := b.look()
		_, err := b.apply(id, Applying{})
		if (err == nil) != tree.ok || err != nil && !errors.Is(err, ErrUnsafe) {
			t.Errorf("%s: %v", name, err)
		}
		if got := b.look(); err != nil && got != before {
			t.Errorf("%s: something was written: %s", name, got)
		}
	}
}

// Whether a handoff fits is found out before the work tree goes to base: what HEAD has goes then, and what Git does not know stays.
func TestFits(t *testing.T) {
	t.Parallel()
	w := based(t)
	base := w.git("rev-parse", "HEAD")
	w.write("new", "handed\n")
	w.write("dir/new", "handed\n")
	w.write("f", "handed\n")
	m := w.create(Creating{})
	w.git("clean", "-q", "-f", "-d")
	w.git("checkout", "-q", "f")
	w.write("f", "second\n")
	w.write("new", "second\n") // goes with HEAD
	w.write("dir", "a file\n")
	w.git("add", "-A")
	w.git("commit", "-q", "-m", "second")
	second := w.git("rev-parse", "HEAD")
	for name, c := range map[string]struct {
		at   string
		do   func(*world)
		want error
	}{
		"from another commit": {second, func(*world) {}, nil},
		"from base":           {base, func(*world) {}, nil},
		"a change":            {second, func(b *world) { b.write("g", "mine\n") }, ErrDirty},
		"a hidden change":     {second, func(b *world) { b.git("update-index", "--assume-unchanged", "g"); b.write("g", "mine\n") }, ErrDirty},
		"a file in the way":   {base, func(b *world) { b.write("new", "mine\n") }, ErrInTheWay},
		"a file above":        {base, func(b *world) { b.write("dir", "mine\n") }, ErrInTheWay},
		"a directory":         {base, func(b *world) { b.write("new/mine", "mine\n") }, ErrInTheWay},
		"a directory that has": {second, func(b *world) {
			b.git("rm", "-q", "new")
			b.git("commit", "-q", "-m", "x")
			b.write("new/mine", "mine\n")
		}, ErrInTheWay},
		"tracked files in it": {second, func(b *world) {
			b.git("rm", "-q", "new")
			b.write("new/theirs", "x\n")
			b.git("add", "-A")
			b.git("commit", "-q", "-m", "x")
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := w.tree(strings.ReplaceAll(name, " ", "-"), c.at)
			c.do(b)
			v, err := b.verify(m.ID)
			if err != nil {
				t.Fatal(err)
			}
			before := b.look()
			err = Fits(context.Background(), b.session(), v)
			if !errors.Is(err, c.want) || c.want == nil && err != nil {
				t.Errorf("it fits: %v, not %v", err, c.want)
			}
			if got := b.look(); got != before {
				t.Error("something was written")
			}
			if err != nil {
				return
			}
			b.git("switch", "-q", "--detach", base)
			if _, err := b.apply(m.ID, Applying{}); err != nil {
				t.Errorf("it does not: %v", err)
			}
			if err := b.release(m.ID); err != nil {
				t.Error(err)
			}
		})
	}
}

// release lets a handoff go, as alice.
func (w *world) release(id envelope.Digest) error {
	_, _, err := Release(context.Background(), w.sealer(), string(id), "")
	return err
}
