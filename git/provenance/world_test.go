package provenance_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/identity"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// world is a real repository with an operator alice and agents coder and
// helper, whose history has every kind of change.
type world struct {
	t      testing.TB
	dir    string
	home   string
	env    []string
	pin    envelope.Digest
	keys   map[string]identity.Signer // alice, coder, helper; mallory is known to nobody
	clock  time.Time
	commit map[string]oid.ID // by subject
	order  []string
	given  map[string]envelope.Digest // a grant of each agent, where a test remembers it
	alikes int                        // see alike
}

func newWorld(t testing.TB, format string) *world {
	t.Helper()
	w := &world{
		t: t, dir: filepath.Join(t.TempDir(), "repo"), keys: map[string]identity.Signer{}, commit: map[string]oid.ID{},
		clock: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
	}
	home := t.TempDir()
	w.home = home
	w.env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "XDG_CONFIG_HOME=" + home, "GIT_CONFIG_NOSYSTEM=1", "TZ=UTC", "LC_ALL=C",
		"GIT_AUTHOR_NAME=Alice", "GIT_AUTHOR_EMAIL=alice@example.org", "GIT_COMMITTER_NAME=Alice", "GIT_COMMITTER_EMAIL=alice@example.org",
		"GIT_AUTHOR_DATE=2026-03-01T12:00:00Z", "GIT_COMMITTER_DATE=2026-03-01T12:00:00Z",
	}
	if err := os.Mkdir(w.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	w.git("init", "-q", "-b", "main", "--object-format="+format)
	for _, n := range []string{"alice", "coder", "helper", "mallory"} {
		s, err := identity.Generate(filepath.Join(home, "keys", n), n, nil)
		if err != nil {
			t.Fatal(err)
		}
		w.keys[n] = s
	}
	return w
}

func (w *world) git(args ...string) string {
	w.t.Helper()
	return w.gitIn("", args...)
}

func (w *world) gitIn(stdin string, args ...string) string {
	w.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Env, cmd.Stdin = w.dir, w.env, strings.NewReader(stdin)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		w.t.Fatalf("git %q: %v\n%s", args, err, errs.String())
	}
	return strings.TrimRight(string(out), "\n")
}

func (w *world) write(name, content string) {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// made commits what is staged and remembers the commit.
func (w *world) made(subject string) oid.ID {
	w.t.Helper()
	w.git("commit", "-q", "--allow-empty", "-m", subject)
	return w.head(subject)
}

func (w *world) head(subject string) oid.ID {
	w.t.Helper()
	id, err := oid.Parse(w.git("rev-parse", "HEAD"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.commit[subject] = id
	w.order = append(w.order, subject)
	return id
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
	w.clock = w.clock.Add(time.Second)
	return w.clock
}

func (w *world) found() {
	w.t.Helper()
	s := w.session()
	r, err := provenance.Found(context.Background(), s, provenance.Founder{Name: "alice", Emails: []string{"alice@example.org"}, Signer: w.keys["alice"]}, w.now())
	if err != nil {
		w.t.Fatal(err)
	}
	w.pin = r.ID
	w.git("config", provenance.PinKey, string(r.ID))
}

func (w *world) sealer(s *git.Session, who string) *provenance.Sealer {
	w.t.Helper()
	f, err := provenance.Load(context.Background(), s, w.pin)
	if err != nil {
		w.t.Fatal(err)
	}
	p, ok := f.Authority.ByKey(w.keys[who].Public().ID())
	if !ok {
		w.t.Fatalf("nobody has the key of %s", who)
	}
	return &provenance.Sealer{Session: s, Root: f.Root, Authority: f.Authority, Hand: provenance.Hand{Principal: p, Signer: w.keys[who], Attended: true}, Now: w.now}
}

func (w *world) introduce(name string) envelope.Digest {
	w.t.Helper()
	k := w.sealer(w.session(), "alice")
	id, err := k.Grant(context.Background(), capability.Grant{Action: capability.Commit, Scope: capability.Whole, Subject: capability.Subject{
		Emails: []string{"alice@example.org"}, Key: w.keys[name].Public().String(), Kind: "agent", Name: name,
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

func (w *world) seal(who string, mode prov.Mode, revs ...string) []provenance.Made {
	w.t.Helper()
	s := w.session()
	commits, err := provenance.Commits(s, revs...)
	if err != nil {
		w.t.Fatal(err)
	}
	made, err := w.sealer(s, who).Seal(context.Background(), mode, "refs/heads/main", commits)
	if err != nil {
		w.t.Fatal(err)
	}
	return made
}

// build makes the history: each commit is sealed, by alice and coder in turn.
func (w *world) build() {
	w.t.Helper()
	w.write("old.txt", "from before\n")
	w.git("add", ".")
	w.made("before")
	w.found()
	w.introduce("coder")
	w.introduce("helper")
	n := 0
	step := func(subject string, change func()) {
		w.t.Helper()
		change()
		w.made(subject)
		n++
		w.seal([]string{"coder", "alice"}[n%2], prov.Witness, "HEAD")
	}
	add := func(name, content string) func() {
		return func() { w.write(name, content); w.git("add", name) }
	}
	step("add", func() {
		add("src/a.txt", "one\ntwo\nthree\n")()
		add("src/b.txt", "b\n")()
		add("run.sh", "#!/bin/sh\n")()
	})
	step("modify", add("src/a.txt", "one\nTWO\nthree\n"))
	step("mode", func() { w.git("update-index", "--chmod=+x", "run.sh") })
	step("rename", func() { w.git("mv", "src/b.txt", "src/c.txt") })
	step("odd path", add("d\xff\xfe/\xe9.txt", "bytes\n"))
	step("composed", add("caf\u00e9", "nfc\n"))
	step("link", func() {
		if err := os.Symlink("src/a.txt", filepath.Join(w.dir, "link")); err != nil {
			w.t.Fatal(err)
		}
		w.git("add", "link")
	})
	step("gitlink", func() {
		w.git("update-index", "--add", "--cacheinfo", "160000,"+w.commit["add"].String()+",sub")
	})
	step("binary", add("bin", "a\x00b"))
	step("delete", func() { w.git("rm", "-q", "old.txt") })
	step("empty", func() {})
	w.git("checkout", "-q", "-b", "side", "HEAD~2")
	step("on side", add("side.txt", "side\n"))
	w.git("checkout", "-q", "main")
	w.git("merge", "-q", "--no-ff", "--no-commit", "side")
	w.write("merger", "what the merger chose\n") // else the seals of the side would do for it
	w.git("add", "merger")
	w.git("commit", "-q", "-m", "merge")
	w.head("merge")
	w.seal("alice", prov.Witness, "HEAD")
	step("last", add("src/a.txt", "one\nTWO\nthree\nfour\n"))
}

// verify judges main and returns the results by commit, and the problems.
func (w *world) verify(deep bool, revs ...string) (map[oid.ID]verdict.Result, []verdict.Finding, error) {
	w.t.Helper()
	s := w.session()
	defer func() { _ = s.Close() }()
	span, err := provenance.ParseSpan(s, revs...)
	if err != nil {
		return nil, nil, err
	}
	o := provenance.Options{Pin: w.pin, Deep: deep, Now: w.clock}
	rep, err := provenance.Verify(context.Background(), s, span, o)
	if err != nil {
		w.alike(span, o, nil, nil, err)
		return nil, nil, err
	}
	out := map[oid.ID]verdict.Result{}
	var list []verdict.Result
	for r, err := range rep.Results {
		if err != nil {
			return nil, nil, err
		}
		out[r.Commit] = r
		list = append(list, r)
	}
	w.alike(span, o, list, rep.Problems, nil)
	return out, rep.Problems, nil
}

// fine fails the test unless everything passes, with no warning.
func (w *world) fine() {
	w.t.Helper()
	res, problems, err := w.verify(true, "main")
	if err != nil {
		w.t.Fatal(err)
	}
	for id, r := range res {
		if !r.Verdict.OK() || len(r.Warnings) > 0 {
			w.t.Errorf("commit %s: %s %+v %+v", id.Short(), r.Verdict, r.Findings, r.Warnings)
		}
	}
	if len(problems) > 0 {
		w.t.Errorf("problems: %+v", problems)
	}
	if len(res) != len(w.order) {
		w.t.Errorf("%d results for %d commits", len(res), len(w.order))
	}
}

func codes(r verdict.Result) string {
	var s []string
	for _, f := range r.Findings {
		s = append(s, string(f.Code))
	}
	return fmt.Sprintf("%s %v", r.Verdict, s)
}

func has(list []verdict.Finding, code verdict.Code) bool {
	for _, f := range list {
		if f.Code == code {
			return true
		}
	}
	return false
}
