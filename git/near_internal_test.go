package git

import (
	"bytes"
	"cmp"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/git/oid"
)

// loose makes a repository with one commit of two files, nothing packed.
func loose(t *testing.T, format string) *Repo {
	t.Helper()
	dir := t.TempDir()
	env := append(os.Environ(), "HOME="+dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b")
	for _, args := range [][]string{{"init", "-q", "--object-format=" + format}, {"add", "."}, {"commit", "-q", "-m", "one"}, {"tag", "-a", "-m", "t", "t"}} {
		if args[0] == "add" {
			for name, text := range map[string]string{"a": "hello\n", "long": strings.Repeat("0123456789", 1000)} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		c := exec.Command("git", args...)
		c.Dir, c.Env = dir, env
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("git %s: %s", args, out)
		}
	}
	r, err := Open(context.Background(), Options{Dir: dir, Env: env})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What is near is what Git says it is, and no child is started for it; of everything else Git says what there is to say.
func TestNear(t *testing.T) {
	for _, format := range []string{"sha1", "sha256"} {
		t.Run(format, func(t *testing.T) {
			r := loose(t, format)
			asked := r.Session(t.Context())
			defer asked.Close()
			asked.Warm()
			name := func(rev string) string {
				o, err := asked.Object(rev, 0)
				if err != nil {
					t.Fatal(err)
				}
				return o.ID.String()
			}
			commit, tree := name("HEAD"), name("HEAD^{tree}")
			for _, rev := range []string{commit, tree, name("refs/tags/t"), name("HEAD:a"), commit + ":a", tree + ":long"} {
				s := r.Session(t.Context())
				got, err := s.Object(rev, 0)
				want, werr := asked.Object(rev, 0)
				if err != nil || werr != nil || got.ID != want.ID || got.Kind != want.Kind || got.Size != want.Size || !bytes.Equal(got.Data, want.Data) {
					t.Errorf("%s: %v %v, %v %v", rev, got.ID, err, want.ID, werr)
				}
				if s.has(readPurpose) {
					t.Errorf("%s: a child was asked", rev)
				}
				s.Close()
			}
			for _, rev := range []string{commit + ":none", commit + ":a/b", commit + ":", name("HEAD:a") + ":a", strings.Repeat("1", len(commit)), "HEAD:a", commit[:8]} {
				s := r.Session(t.Context())
				got, err := s.Object(rev, 0)
				want, werr := asked.Object(rev, 0)
				if fmt.Sprint(got.ID, err) != fmt.Sprint(want.ID, werr) {
					t.Errorf("%s: %v %v, want %v %v", rev, got.ID, err, want.ID, werr)
				}
				s.Close()
			}
			s := r.Session(t.Context())
			defer s.Close()
			var large *TooLargeError
			if _, err := s.Object(commit+":long", 9999); !errors.As(err, &large) || large.Size != 10_000 {
				t.Errorf("too large: %v", err)
			}
			if _, err := s.Commit(commit); err != nil {
				t.Error(err)
			}
			// Of many, the first are near, and the rest is Git's: in order, whatever stands between them, and whoever stops early.
			for _, of := range [][]string{{commit, tree + ":a"}, {commit, "bad\nname", "HEAD", tree + ":a", "HEAD:long"}, slices.Repeat([]string{tree}, 3*nearby), {"HEAD:none", commit}, nil} {
				for stop := range len(of) + 1 {
					s := r.Session(t.Context())
					i := 0
					for o, err := range s.Objects(slices.Values(of), 0) {
						want, werr := asked.Object(of[i], 0)
						if o.ID != want.ID || fmt.Sprint(err) != fmt.Sprint(werr) {
							t.Errorf("%d of %q: %v %v, want %v %v", i, of, o.ID, err, want.ID, werr)
						}
						if i++; i == stop {
							break
						}
					}
					if want := min(len(of), cmp.Or(stop, len(of))); i != want {
						t.Errorf("%q: %d results, want %d", of, i, want)
					}
					s.Close()
				}
			}
		})
	}
}

// A file with another content than its name says, and each with one bit of it changed, is not believed.
func TestNearDamaged(t *testing.T) {
	r := loose(t, "sha1")
	s := r.Session(t.Context())
	defer s.Close()
	o, err := s.Object("HEAD:a", 0)
	if err != nil {
		t.Fatal(err)
	}
	id := o.ID
	file := filepath.Join(r.objectDir(), id.String()[:2], id.String()[2:])
	was, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	put := func(b []byte) {
		t.Helper()
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for bit := range 8 * len(was) {
		b := bytes.Clone(was)
		b[bit/8] ^= 1 << (bit % 8)
		put(b)
		if got, ok := r.readLoose(id, 0xffff); ok && (got.Kind != "blob" || string(got.Data) != "hello\n") {
			t.Errorf("bit %d changed: %q", bit, got.Data)
		}
	}
	for what, b := range map[string][]byte{
		"another": deflated("blob 6\x00jello\n"), "kind": deflated("tree 6\x00hello\n"), "size": deflated("blob 5\x00hello\n"), "less": deflated("blob 7\x00hello\n"),
		"behind it": append(bytes.Clone(was), 0), "nothing": nil, "half": was[:len(was)/2], "zeros": make([]byte, len(was)), "digits": deflated("blob 06\x00hello\n"), "no end": deflated("blob 6 hello\n"),
		"huge": deflated("blob 9223372036854775807\x00hello\n"), "minus": deflated("blob -1\x00"),
	} {
		put(b)
		if got, ok := r.readLoose(id, 1<<40); ok {
			t.Errorf("%s: %q", what, got.Data)
		}
	}
	put(was)
	if got, ok := r.readLoose(id, 6); !ok || string(got.Data) != "hello\n" {
		t.Error("as it was, it is not read")
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(file, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, ok := r.readLoose(id, 6); ok {
		t.Error("a directory was read")
	}
}

func deflated(text string) []byte {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	_, _ = io.WriteString(z, text)
	_ = z.Close()
	return b.Bytes()
}

// What is read as a loose object is one: written again it is read as the same, and it is never more than was asked for.
func FuzzInflate(f *testing.F) {
	f.Add(deflated("blob 6\x00hello\n"))
	f.Add(deflated("commit 0\x00"))
	f.Add(deflated("tag 99999999999999999999\x00"))
	f.Add(append(deflated("blob 1\x00a"), 'x'))
	f.Fuzz(func(t *testing.T, file []byte) {
		const limit = 1 << 16
		o, ok := inflate(bytes.NewReader(file), limit)
		if !ok {
			return
		}
		if o.Size != int64(len(o.Data)) || o.Size > limit {
			t.Fatalf("%d bytes, said to be %d", len(o.Data), o.Size)
		}
		again, ok := inflate(bytes.NewReader(deflated(fmt.Sprintf("%s %d\x00%s", o.Kind, o.Size, o.Data))), limit)
		if !ok || again.Kind != o.Kind || oid.SHA1.Hash(again.Kind, again.Data) != oid.SHA1.Hash(o.Kind, o.Data) {
			t.Error("not the same again")
		}
	})
}
