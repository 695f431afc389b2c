package gittest

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Worlds are the repositories the suite reads, by name. Each function makes one, from a copy of
// what [History] gave, and returns where to open it.
var Worlds = map[string]func(t testing.TB, h *Repo) *Repo{
	"plain":  func(t testing.TB, h *Repo) *Repo { return h.Copy(t) },
	"sha256": func(t testing.TB, _ *Repo) *Repo { return History(t, "--object-format=sha256") },
	"packed": func(t testing.TB, h *Repo) *Repo {
		r := h.Copy(t)
		r.Git("gc", "-q")
		r.Git("commit-graph", "write", "--reachable")
		r.Git("multi-pack-index", "write")
		return r
	},
	"packed with loose refs over packed ones": func(t testing.TB, h *Repo) *Repo {
		r := h.Copy(t)
		r.Git("repack", "-adq")
		r.Git("pack-refs", "--all")
		r.Git("update-ref", "refs/heads/side", "HEAD")
		r.Write("later", "later\n")
		r.Commit("later")
		return r
	},
	"many packs": func(t testing.TB, h *Repo) *Repo {
		r := h.Copy(t)
		for i := range 5 {
			r.Write("pack", strconv.Itoa(i))
			r.Commit("pack " + strconv.Itoa(i))
			r.Git("repack", "-dq")
		}
		return r
	},
	"bare": func(t testing.TB, h *Repo) *Repo {
		r := h.Copy(t)
		dir := filepath.Join(t.TempDir(), "bare.git")
		r.Git("clone", "-q", "--mirror", r.Dir, dir)
		return r.At(dir)
	},
	"inside a directory": func(t testing.TB, h *Repo) *Repo { r := h.Copy(t); return r.At(filepath.Join(r.Dir, "dir")) },
	"linked worktree": func(t testing.TB, h *Repo) *Repo {
		r := h.Copy(t)
		dir := filepath.Join(t.TempDir(), "linked")
		r.Git("worktree", "add", "-q", "--detach", dir, "HEAD^")
		return r.At(dir)
	},
	"submodule": func(t testing.TB, h *Repo) *Repo {
		sub, super := h.Copy(t), New(t)
		super.Git("-c", "protocol.file.allow=always", "submodule", "add", "-q", sub.Dir, "sub")
		super.Commit("with submodule")
		return super.At(filepath.Join(super.Dir, "sub"))
	},
	"shallow": func(t testing.TB, h *Repo) *Repo {
		r := h.Copy(t)
		dir := filepath.Join(t.TempDir(), "shallow")
		r.Git("clone", "-q", "--depth=2", "file://"+r.Dir, dir)
		return r.At(dir)
	},
	"alternates": func(t testing.TB, h *Repo) *Repo {
		r := h.Copy(t)
		dir := filepath.Join(t.TempDir(), "borrower")
		r.Git("clone", "-q", "--shared", r.Dir, dir)
		return r.At(dir)
	},
	"sparse checkout": func(t testing.TB, h *Repo) *Repo { r := h.Copy(t); r.Git("sparse-checkout", "set", "dir"); return r },
}

// History makes a repository with what histories hold: odd paths, every mode, renames, type
// changes, empty commits, several roots, an octopus and an evil merge, tags and other refs, text
// that is no UTF-8, an object larger than a buffer.
func History(t testing.TB, args ...string) *Repo {
	t.Helper()
	r := New(t, args...)
	format := r.Open().Format()
	link := func(path, target string) {
		os.Remove(filepath.Join(r.Dir, path))
		if err := os.Symlink(target, filepath.Join(r.Dir, path)); err != nil {
			t.Fatal(err)
		}
	}
	r.Write("a", "one\n")
	r.Write("a.b", "sorts between a and a/\n")
	r.Write("dir/deep/deeper/x", "x\n")
	r.Write("dir/y", "y\n")
	r.Write("empty", "")
	r.Write("big", strings.Repeat("0123456789abcdef", 1<<15))
	r.Write("näme with space", "ü\n")
	r.Write("new\nline\tand tab", "odd\n")
	r.Write("bytes-\xff\xfe", "odd\n")
	r.Commit("first\nsecond line\n\nbody\n")
	root := r.Git("rev-parse", "HEAD")

	os.Remove(filepath.Join(r.Dir, "a"))
	r.Write("a/inside", "a is a directory now\n")
	link("a.b", "dir/y")
	r.Write("run", "#!/bin/sh\n")
	os.Chmod(filepath.Join(r.Dir, "run"), 0o755)
	os.Rename(filepath.Join(r.Dir, "dir", "y"), filepath.Join(r.Dir, "dir", "renamed"))
	r.Git("add", "-A")
	r.Git("update-index", "--add", "--cacheinfo", "160000,"+format.Hash("commit", []byte("elsewhere")).String()+",module")
	r.Git("commit", "-q", "-m", "modes")
	r.Git("commit", "-q", "--allow-empty", "-m", "empty")
	r.Git("-c", "user.name=Ünï", "commit", "-q", "--allow-empty", "--allow-empty-message", "-m", "", "--author=Zoë \"Z\" <z@example.org>", "--date=1600000000 -0730")
	side := func(name, start string) {
		r.Git("checkout", "-q", "-f", "-b", name, start)
		r.Write(name, name)
		r.Git("add", name)
		r.Git("commit", "-q", "-m", "on "+name)
	}
	for _, name := range []string{"one", "two", "three"} {
		side(name, "main")
	}
	side("side", root)
	r.Git("checkout", "-q", "-f", "--orphan", "other")
	r.Git("rm", "-rfq", ".")
	r.Write("other", "another root\n")
	r.Git("add", "other")
	r.Git("commit", "-q", "-m", "another root")
	r.Git("checkout", "-q", "-f", "main")
	r.Git("commit", "-q", "--allow-empty", "-m", "own")
	r.Git("merge", "-q", "-m", "octopus", "one", "two", "three")
	r.Git("merge", "-q", "-m", "unrelated", "--allow-unrelated-histories", "other")
	r.Git("merge", "-q", "--no-commit", "-s", "ours", "side")
	r.Write("evil", "in neither parent\n")
	r.Git("add", "evil")
	r.Git("commit", "-q", "-m", "evil merge")

	r.Git("tag", "light", root)
	r.Git("tag", "-a", "-m", "annotated", "heavy", "HEAD^")
	r.Git("tag", "-a", "-m", "of a tag", "heavier", "heavy")
	r.Git("tag", "of-a-blob", "HEAD:evil")
	r.Git("update-ref", "refs/covenant/ledger/x,y/z", "HEAD~2")
	r.Git("update-ref", "refs/covenant/ledger/w", root)
	r.Git("symbolic-ref", "refs/heads/alias", "refs/heads/main")
	r.Git("symbolic-ref", "refs/heads/dangling", "refs/heads/unborn")
	return r
}
