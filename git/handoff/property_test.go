package handoff

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// names of files that a random work tree has: among them spaces, newlines, bytes that are no UTF-8, patterns, and directories that can
// come to be in a file's place.
var names = []string{
	"a", "b.txt", "c c", "d/e", "d/f/g", "d/f", "new\nline", "caf\xc3\xa9", "by\xfftes", "-dash", "[glob]*", "x/y/z", "x", "q\"uote", "tab\tbed", ":colon", "back\\slash",
}

// step does something random to a work tree.
func (w *world) step(r *rand.Rand) {
	name := names[r.IntN(len(names))]
	file := filepath.Join(w.dir, name)
	content := func() []byte {
		b := make([]byte, r.IntN(40))
		for i := range b {
			b[i] = "ab\n\r\x00\xff "[r.IntN(7)]
		}
		return b
	}
	clear := func() bool { // whatever stands at the path and on the way there goes
		for dir := filepath.Dir(file); dir != w.dir; dir = filepath.Dir(dir) {
			if st, err := os.Lstat(dir); err == nil && !st.IsDir() {
				_ = os.Remove(dir)
			}
		}
		return errors.Join(os.RemoveAll(file), os.MkdirAll(filepath.Dir(file), 0o755)) == nil
	}
	switch r.IntN(10) {
	case 0, 1, 2, 3:
		if clear() {
			_ = os.WriteFile(file, content(), []fs.FileMode{0o644, 0o755}[r.IntN(2)])
		}
	case 4:
		if clear() {
			_ = os.Symlink([]string{"a", "../..", "nowhere", "d"}[r.IntN(4)], file)
		}
	case 5:
		_ = os.RemoveAll(file)
	case 6:
		if st, err := os.Lstat(file); err == nil && st.Mode().IsRegular() {
			_ = os.Chmod(file, st.Mode().Perm()^0o111)
		}
	case 7:
		_, _ = w.try("--literal-pathspecs", "add", "-A", "--", name)
	case 8:
		_, _ = w.try("--literal-pathspecs", "rm", "-q", "-r", "--cached", "-f", "--", name)
	case 9:
		if r.IntN(2) == 0 {
			_, _ = w.try("--literal-pathspecs", "add", "-N", "--", name)
		} else {
			_, _ = w.try("--literal-pathspecs", "mv", "-f", "--", name, names[r.IntN(len(names))])
		}
	}
}

// What was handed off in one clone is in another as it was: what Git says of it, the index, every byte and mode.
func TestEverythingComesBack(t *testing.T) {
	t.Parallel()
	rounds := 2 // of many steps: a round costs more than its steps do
	if testing.Short() {
		rounds = 1
	}
	for _, v := range []struct {
		name, format string
		config       []string
		attributes   string
	}{
		{"sha1", "sha1", nil, ""},
		{"sha256", "sha256", nil, ""},
		{"autocrlf", "sha1", []string{"core.autocrlf=true", "core.safecrlf=false"}, ""},
		{"filter", "sha1", []string{"filter.up.clean=tr a b", "filter.up.smudge=tr b a"}, "* filter=up\n"},
		{"split", "sha1", []string{"core.splitIndex=true"}, ""},
		{"untracked cache", "sha1", []string{"core.untrackedCache=true", "index.version=4"}, ""},
	} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(rounds) { //nolint:gosec // small
				r := rand.New(rand.NewPCG(seed, 7)) //nolint:gosec // repeatable
				a := newWorld(t, v.format)
				for _, kv := range v.config {
					k, val, _ := strings.Cut(kv, "=")
					a.git("config", k, val)
				}
				if v.attributes != "" {
					a.write(".gitattributes", v.attributes)
				}
				for range 60 {
					a.step(r)
				}
				a.git("add", "-A")
				a.git("commit", "-q", "--allow-empty", "-m", "base")
				a.git("rm", "-q", "-r", "-f", "--ignore-unmatch", ".") // what is unchanged is what Git checks out
				a.git("reset", "-q", "--hard")
				for range 40 {
					a.step(r)
				}
				for line := range strings.SplitSeq(a.git("status", "--porcelain=v2", "-z", "--no-renames"), "\x00") {
					if name, ok := strings.CutPrefix(line, "1 .A "); ok { // with the mode that it has now: Git keeps the one that it had
						a.git("--literal-pathspecs", "rm", "-q", "--cached", "-f", "--", strings.SplitN(name, " ", 7)[6])
						a.git("--literal-pathspecs", "add", "-N", "--", strings.SplitN(name, " ", 7)[6])
					}
				}
				before, rest := a.look(), a.rest()
				m := a.create(Creating{})
				if got := a.rest(); got != rest {
					t.Fatalf("seed %d: creating changed the repository", seed)
				}
				if got := a.look(); got != before {
					t.Fatalf("seed %d: creating changed the work tree:\n%s\n%s", seed, before, got)
				}
				b := a.clone(fmt.Sprint("b", seed))
				for _, kv := range v.config {
					k, val, _ := strings.Cut(kv, "=")
					b.git("config", k, val)
				}
				b.git("checkout", "-q", "main")
				clean := b.look()
				if _, err := b.apply(m.ID, Applying{}); err != nil {
					t.Fatalf("seed %d: %v\n%s", seed, err, before)
				}
				if got := b.look(); got != before {
					t.Fatalf("seed %d:\nthere %s\n\nhere  %s\n\n%v", seed, before, got, m.Left)
				}
				if clean == before && m.Files > 0 {
					t.Errorf("seed %d: it holds files and changed nothing", seed)
				}
				if seed == 0 && len(m.Left) > 0 {
					t.Logf("left out: %v", m.Left)
				}
			}
		})
	}
}
