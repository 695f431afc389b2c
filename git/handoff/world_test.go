package handoff

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/handoff"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// world is a clone of a repository that alice governs.
type world struct {
	t     testing.TB
	dir   string
	env   []string
	pin   envelope.Digest
	alice identity.Signer
	clock *time.Time
}

func newWorld(t testing.TB, format string) *world {
	t.Helper()
	home := t.TempDir()
	clock := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	w := &world{t: t, dir: filepath.Join(home, "a"), clock: &clock}
	w.env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "XDG_CONFIG_HOME=" + home, "GIT_CONFIG_NOSYSTEM=1", "TZ=UTC", "LC_ALL=C",
		"GIT_AUTHOR_NAME=Alice", "GIT_AUTHOR_EMAIL=alice@example.org", "GIT_COMMITTER_NAME=Alice", "GIT_COMMITTER_EMAIL=alice@example.org",
	}
	if err := os.Mkdir(w.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	w.git("init", "-q", "-b", "main", "--object-format="+format)
	var err error
	if w.alice, err = identity.Generate(filepath.Join(home, "alice"), "alice", nil); err != nil {
		t.Fatal(err)
	}
	r, err := provenance.Found(context.Background(), w.session(), provenance.Founder{Name: "alice", Emails: []string{"alice@example.org"}, Signer: w.alice}, w.now())
	if err != nil {
		t.Fatal(err)
	}
	w.pin = r.ID
	return w
}

// clone makes another clone, with the record.
func (w *world) clone(name string) *world {
	w.t.Helper()
	other := *w
	other.dir = filepath.Join(filepath.Dir(w.dir), name)
	w.git("clone", "-q", "-n", w.dir, other.dir)
	other.fetch()
	return &other
}

// fetch brings the record over, unchecked.
func (w *world) fetch() {
	w.t.Helper()
	w.git("fetch", "-q", "origin", "refs/covenant/ledger/*:refs/covenant/ledger/*", "refs/covenant/trust/*:refs/covenant/trust/*", "refs/covenant/handoff/*:refs/covenant/handoff/*")
}

// tree is the same clone in another work tree.
func (w *world) tree(name, base string) *world {
	w.t.Helper()
	other := *w
	other.dir = filepath.Join(filepath.Dir(w.dir), name)
	w.git("worktree", "add", "-q", "--detach", other.dir, base)
	return &other
}

func (w *world) try(args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Env = w.dir, w.env
	out, err := cmd.CombinedOutput()
	return strings.TrimRight(string(out), "\n"), err
}

func (w *world) git(args ...string) string {
	w.t.Helper()
	out, err := w.try(args...)
	if err != nil {
		w.t.Fatalf("git %q: %v\n%s", args, err, out)
	}
	return out
}

func (w *world) session() *git.Session {
	w.t.Helper()
	r, err := git.Open(context.Background(), git.Options{Dir: w.dir, Env: w.env})
	if err != nil {
		w.t.Fatal(err)
	}
	s := r.Session(context.Background())
	w.t.Cleanup(func() { _ = s.Close() })
	return s
}

func (w *world) now() time.Time {
	*w.clock = w.clock.Add(time.Second)
	return *w.clock
}

func (w *world) sealer() *provenance.Sealer {
	w.t.Helper()
	s := w.session()
	f, err := provenance.LoadAuthority(context.Background(), s, w.pin)
	if err != nil {
		w.t.Fatal(err)
	}
	p, ok := f.Authority.ByName("alice")
	if !ok {
		w.t.Fatal("no alice")
	}
	return &provenance.Sealer{Session: s, Root: f.Root, Authority: f.Authority, Hand: provenance.Hand{Principal: p, Signer: w.alice}, Moment: "test", Now: w.now}
}

func (w *world) write(path, text string) {
	w.t.Helper()
	file := filepath.Join(w.dir, path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) create(o Creating) *Made {
	w.t.Helper()
	m, err := Create(context.Background(), w.sealer(), o)
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

func (w *world) find(id envelope.Digest) *handoff.Handoff {
	w.t.Helper()
	rec, err := Load(context.Background(), w.session(), w.pin)
	if err != nil {
		w.t.Fatal(err)
	}
	h, err := rec.Find(string(id))
	if err != nil {
		w.t.Fatal(err)
	}
	return h
}

func (w *world) verify(id envelope.Digest) (*Verified, error) {
	w.t.Helper()
	return Verify(context.Background(), w.session(), w.find(id), 1<<30)
}

func (w *world) apply(id envelope.Digest, o Applying) (*Done, error) {
	w.t.Helper()
	v, err := w.verify(id)
	if err != nil {
		return nil, err
	}
	return Apply(context.Background(), w.sealer(), v, o)
}

// look is everything that a person can see of a work tree: what Git says of it, its index, and every file.
func (w *world) look() string {
	w.t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\n", w.git("status", "--porcelain=v2", "-z", "-uall", "--no-renames"), w.git("ls-files", "-s", "-z"))
	err := filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(w.dir, path)
		if rel == ".git" {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		switch {
		case d.IsDir():
			return nil
		case d.Type() == fs.ModeSymlink:
			target, err := os.Readlink(path)
			fmt.Fprintf(&b, "%q -> %q\n", rel, target)
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		fmt.Fprintf(&b, "%q %o %q\n", rel, info.Mode().Perm()&0o111, data)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return b.String()
}

// rest is what creating a handoff must not change beside the work tree.
func (w *world) rest() string {
	w.t.Helper()
	index, err := os.ReadFile(w.session().Repo().IndexFile())
	if err != nil {
		w.t.Fatal(err)
	}
	refs, _ := w.try("for-each-ref", "refs/heads", "refs/tags", "refs/stash")
	head, _ := w.try("rev-parse", "HEAD")
	return fmt.Sprintf("%x\n%s\n%s", index, refs, head)
}
