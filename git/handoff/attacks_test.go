package handoff

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/handoff"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// object writes any bytes as an object, as nothing but an attacker does.
func (w *world) object(kind, body string) oid.ID {
	w.t.Helper()
	s := w.session()
	id := s.Put(kind, []byte(body))
	if err := s.Flush(); err != nil {
		w.t.Fatal(err)
	}
	return id
}

type entry struct {
	mode, name string
	id         oid.ID
}

func (w *world) treeOf(list ...entry) oid.ID {
	var b strings.Builder
	for _, e := range list {
		raw, _ := hex.DecodeString(e.id.String())
		fmt.Fprintf(&b, "%s %s\x00%s", e.mode, e.name, raw)
	}
	return w.object("tree", b.String())
}

func (w *world) commitOf(tree oid.ID, parents ...oid.ID) oid.ID {
	body := "tree " + tree.String() + "\n"
	for _, p := range parents {
		body += "parent " + p.String() + "\n"
	}
	return w.object("commit", body+"author A <a@x> 1 +0000\ncommitter A <a@x> 1 +0000\n\nx\n")
}

// forge signs, as alice, a handoff of whatever trees; where it can it makes everything agree with them.
func (w *world) forge(work, untracked oid.ID, change func(*handoff.Creation)) envelope.Digest {
	w.t.Helper()
	s := w.session()
	base, err := s.Commit("HEAD")
	if err != nil {
		w.t.Fatal(err)
	}
	if work.IsZero() {
		work = base.Tree
	}
	c := handoff.Creation{Base: base.ID, Index: handoff.Part{Tree: base.Tree}, Tree: work, Manifest: envelope.Digest("sha256:" + strings.Repeat("0", 64))}
	c.Index.Commit = w.commitOf(base.Tree, base.ID)
	parents := []oid.ID{base.ID, c.Index.Commit}
	if !untracked.IsZero() {
		c.Untracked = handoff.Part{Tree: untracked, Commit: w.commitOf(untracked)}
		parents = append(parents, c.Untracked.Commit)
	}
	c.Commit = w.commitOf(work, parents...)
	if got, err := list(s, base.Tree, &c, 1<<30); err == nil {
		c.Bytes, c.Files, c.Manifest = got.bytes, len(got.list), got.manifest
	}
	if change != nil {
		change(&c)
	}
	return w.sign(w.sealer(), c)
}

func (w *world) sign(k *provenance.Sealer, c handoff.Creation) envelope.Digest {
	w.t.Helper()
	made, err := k.Record(context.Background(), handoff.Topic, provenance.Item{Type: handoff.Created, Body: c, Subject: "forged"})
	if err != nil {
		w.t.Fatal(err)
	}
	w.git("update-ref", Ref(made[0].ID), c.Commit.String())
	return made[0].ID
}

// hostile is what somebody signs that no honest program makes.
type hostile struct {
	work, untracked oid.ID
	change          func(*handoff.Creation)
}

// hostileTrees makes a repository, and all of them in it.
func hostileTrees(t testing.TB) (*world, map[string]hostile) {
	w := newWorld(t, "sha1")
	w.write("file", "x\n")
	if err := os.Symlink("/etc", filepath.Join(w.dir, "link")); err != nil {
		t.Fatal(err)
	}
	w.git("add", "-A")
	w.git("commit", "-q", "-m", "base")
	blob := w.object("blob", "owned\n")
	target := w.object("blob", "../..")
	file := func(name string) oid.ID { return w.treeOf(entry{"100644", name, blob}) }
	bomb := file("f")
	for range 20 {
		var list []entry
		for i := range 10 {
			list = append(list, entry{"40000", string(rune('a' + i)), bomb})
		}
		bomb = w.treeOf(list...)
	}
	baseFile, err := oid.Parse(w.git("rev-parse", "HEAD:file"))
	if err != nil {
		t.Fatal(err)
	}
	return w, map[string]hostile{
		"dot dot":                {untracked: w.treeOf(entry{"40000", "..", file("evil")})},
		"dot":                    {untracked: w.treeOf(entry{"40000", ".", file("evil")})},
		"absolute":               {untracked: file("/tmp/evil")},
		"slash in a name":        {untracked: file("a/b")},
		"an empty name":          {untracked: w.treeOf(entry{"40000", "", file("etc")})},
		"git directory":          {untracked: w.treeOf(entry{"40000", ".git", file("config")})},
		"upper case":             {untracked: w.treeOf(entry{"40000", ".GIT", file("config")})},
		"below":                  {untracked: w.treeOf(entry{"40000", "sub", w.treeOf(entry{"40000", ".Git", file("config")})})},
		"short name of NTFS":     {untracked: w.treeOf(entry{"40000", "git~1", file("config")})},
		"trailing dot":           {untracked: w.treeOf(entry{"40000", ".git. ", file("config")})},
		"stream":                 {untracked: w.treeOf(entry{"40000", ".git::$INDEX_ALLOCATION", file("config")})},
		"ignored by HFS":         {untracked: w.treeOf(entry{"40000", ".g\u200cit", file("config")})},
		"backslash":              {untracked: file(`..\evil`)},
		"git by a backslash":     {untracked: file(`.git\config`)},
		"tracked, in the work":   {work: w.treeOf(entry{"40000", ".git", file("hooks")}, entry{"100644", "file", blob}, entry{"120000", "link", target})},
		"through a link of both": {work: w.treeOf(entry{"120000", "a", target}, entry{"100644", "file", baseFile}), untracked: w.treeOf(entry{"40000", "a", file("b")})},
		"through a link of base": {untracked: w.treeOf(entry{"40000", "link", file("passwd")})},
		"tracked and untracked":  {untracked: file("file")},
		"in place of a file":     {untracked: w.treeOf(entry{"40000", "file", file("b")})},
		"link and directory":     {untracked: w.treeOf(entry{"120000", "a", target}, entry{"40000", "a", file("b")})},
		"twice":                  {untracked: w.treeOf(entry{"100644", "a", blob}, entry{"100644", "a", target})},
		"out of order":           {untracked: w.treeOf(entry{"100644", "b", blob}, entry{"100644", "a", blob})},
		"odd mode":               {untracked: w.treeOf(entry{"100777", "a", blob})},
		"a submodule":            {untracked: w.treeOf(entry{"160000", "a", w.commitOf(file("x"))})},
		"a tree as a blob":       {untracked: w.treeOf(entry{"100644", "a", file("x")})},
		"a bomb":                 {untracked: bomb},
		"a missing blob":         {untracked: w.treeOf(entry{"100644", "a", w.sha("nowhere")})},
		"other contents":         {untracked: file("a"), change: func(c *handoff.Creation) { c.Manifest = envelope.Digest("sha256:" + strings.Repeat("1", 64)) }},
		"more bytes":             {untracked: file("a"), change: func(c *handoff.Creation) { c.Bytes++ }},
		"too many bytes":         {untracked: file("a"), change: func(c *handoff.Creation) { c.Bytes = 1 << 40 }},
		"another tree":           {untracked: file("a"), change: func(c *handoff.Creation) { c.Untracked.Tree = file("b") }},
		"another index":          {untracked: file("a"), change: func(c *handoff.Creation) { c.Index.Tree = file("b") }},
		"another commit":         {untracked: file("a"), change: func(c *handoff.Creation) { c.Commit = c.Index.Commit }},
		"another base":           {untracked: file("a"), change: func(c *handoff.Creation) { c.Base = c.Index.Commit }},
		"no base":                {untracked: file("a"), change: func(c *handoff.Creation) { c.Base = oid.ID{} }},
	}
}

// Somebody whose key is known signs handoffs of trees that no honest program makes: each is refused before anything is written.
func TestHostileTrees(t *testing.T) {
	t.Parallel()
	w, cases := hostileTrees(t)
	before := w.look()
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			id := w.forge(c.work, c.untracked, c.change)
			_, err := w.apply(id, Applying{})
			if err == nil {
				t.Fatal("it was applied")
			}
			known := []error{ErrUnsafe, ErrMismatch, ErrMissing, ErrTooLarge, ErrTooMany, git.ErrUnsound, git.ErrTooManyChanges}
			if !slices.ContainsFunc(known, func(x error) bool { return errors.Is(err, x) }) && !strings.Contains(err.Error(), "malformed tree") {
				t.Errorf("refused for another reason: %v", err)
			}
			if got := w.look(); got != before {
				t.Errorf("something was written:\n%s", got)
			}
			if h := w.find(id); len(h.Taken) > 0 {
				t.Error("it was recorded that somebody has it")
			}
			if _, err := os.Lstat(filepath.Join(filepath.Dir(w.dir), "evil")); err == nil {
				t.Error("something was written outside")
			}
		})
	}
}

func (w *world) sha(text string) oid.ID { return oid.SHA1.Hash("blob", []byte(text)) }

// The ref of a handoff leads to another handoff's objects, or the statement is of somebody or somewhere else.
func TestSwapped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "sha1")
	w.write("file", "x\n")
	w.git("add", "-A")
	w.git("commit", "-q", "-m", "base")
	w.write("new", "one\n")
	one := w.create(Creating{})
	w.write("new", "two\n")
	two := w.create(Creating{})
	w.git("update-ref", Ref(one.ID), two.Commit.String())
	if _, err := w.verify(one.ID); !errors.Is(err, ErrMismatch) {
		t.Errorf("a ref that was swapped: %v", err)
	}
	w.git("update-ref", Ref(one.ID), one.Commit.String())
	if _, err := w.verify(one.ID); err != nil {
		t.Errorf("put back: %v", err)
	}

	mallory, err := identity.Generate(filepath.Join(t.TempDir(), "mallory"), "mallory", nil)
	if err != nil {
		t.Fatal(err)
	}
	k := w.sealer()
	k.Hand = provenance.Hand{Principal: &capability.Principal{Name: "alice", Kind: "human", Keys: []identity.PublicKey{mallory.Public()}}, Signer: mallory}
	forged, err := k.Record(context.Background(), handoff.Topic, provenance.Item{Type: handoff.Created, Body: one.Creation, Subject: "forged"})
	if err != nil {
		t.Fatal(err)
	}
	rec, err := Load(context.Background(), w.session(), w.pin)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rec.Find(string(forged[0].ID)); !errors.Is(err, ErrUnknown) {
		t.Errorf("by a key that nobody introduced: %v", err)
	}

	other := newWorld(t, "sha1")
	other.write("file", "x\n")
	other.git("add", "-A")
	other.git("commit", "-q", "-m", "base")
	other.alice = w.alice
	other.git("fetch", "-q", w.dir, "refs/covenant/ledger/*:refs/covenant/ledger/*", "refs/covenant/handoff/*:refs/covenant/handoff/*")
	rec, err = Load(context.Background(), other.session(), other.pin)
	if err != nil {
		t.Fatal(err)
	}
	if len(rec.List) > 0 {
		t.Errorf("%d handoffs of another repository count", len(rec.List))
	}
}

// Whoever signs something beside a handoff cannot take it from who has it, or give it to somebody else.
func TestOthersResumptions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "sha1")
	w.git("commit", "-q", "--allow-empty", "-m", "base")
	w.write("new", "one\n")
	m := w.create(Creating{})
	b := w.tree("b", "HEAD")
	if _, err := b.apply(m.ID, Applying{}); err != nil {
		t.Fatal(err)
	}
	c := w.tree("c", "HEAD")
	var already *AlreadyResumedError
	if _, err := c.apply(m.ID, Applying{}); !errors.As(err, &already) || already.Who != "alice" {
		t.Fatalf("twice: %v", err)
	}
	// The claim is taken away: the ledger still says who has it.
	w.git("update-ref", "-d", Claim(m.ID))
	if _, err := c.apply(m.ID, Applying{}); !errors.Is(err, ErrResumed) {
		t.Fatalf("without its claim: %v", err)
	}
	// And the claim alone is enough: whoever cannot read who made it does not pass over it.
	other := w.create(Creating{})
	w.git("update-ref", Claim(other.ID), "HEAD")
	if _, err := c.apply(other.ID, Applying{}); !errors.Is(err, ErrResumed) {
		t.Fatalf("under a claim of nobody: %v", err)
	}
	// Somebody else's release lets nothing go.
	h := w.find(m.ID)
	if _, err := w.stranger().Record(context.Background(), handoff.Topic, provenance.Item{Type: handoff.Released, Body: handoff.Release{Resumed: h.By().ID}, Subject: "forged"}); err != nil {
		t.Fatal(err)
	}
	if w.find(m.ID).By() == nil {
		t.Error("somebody else let it go")
	}
	// Who knows what it does takes a copy, and that is recorded.
	if _, err := c.apply(m.ID, Applying{Again: true}); err != nil {
		t.Fatal(err)
	}
	if h := w.find(m.ID); len(h.Taken) != 2 || !h.Taken[1].Again || h.By().ID != h.Taken[0].ID {
		t.Errorf("%+v", h.Taken)
	}
}

// stranger seals as an agent that alice introduced.
func (w *world) stranger() *provenance.Sealer {
	w.t.Helper()
	key, err := identity.Generate(filepath.Join(w.t.TempDir(), "coder"), "coder", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	k := w.sealer()
	grant := capability.Grant{
		Action: "repo.commit", Scope: capability.Scope{Version: 1},
		Subject: capability.Subject{Accountable: "alice", Key: key.Public().String(), Kind: "agent", Name: "coder"},
	}
	if _, err := k.Grant(context.Background(), grant); err != nil {
		w.t.Fatal(err)
	}
	s := w.session()
	f, err := provenance.LoadAuthority(context.Background(), s, w.pin)
	if err != nil {
		w.t.Fatal(err)
	}
	p, ok := f.Authority.ByName("coder")
	if !ok {
		w.t.Fatal("no coder")
	}
	return &provenance.Sealer{Session: s, Root: f.Root, Authority: f.Authority, Hand: provenance.Hand{Principal: p, Signer: key}, Moment: "test", Now: w.now}
}

// Nothing that is there is overwritten, whoever made it, and whether Git knows it or not.
func TestInTheWay(t *testing.T) {
	t.Parallel()
	a, _, base := messy(t)
	m := a.create(Creating{})
	for name, c := range map[string]struct {
		do    func(*world) error
		force bool
		want  error
	}{
		"a changed file that it changes":     {func(w *world) error { w.write("one", "mine\n"); return nil }, false, ErrDirty},
		"also with force":                    {func(w *world) error { w.write("one", "mine\n"); return nil }, true, ErrInTheWay},
		"a changed file elsewhere":           {func(w *world) error { w.write("kept", "mine\n"); return nil }, false, ErrDirty},
		"a staged file elsewhere":            {func(w *world) error { w.write("staged", "mine\n"); w.git("add", "staged"); return nil }, false, ErrDirty},
		"an untracked file":                  {func(w *world) error { w.write("added", "mine\n"); return nil }, false, ErrInTheWay},
		"an untracked file below":            {func(w *world) error { w.write("dir/mine", "mine\n"); return nil }, true, ErrInTheWay},
		"a file where a directory comes":     {func(w *world) error { w.write("new", "mine\n"); return nil }, false, ErrInTheWay},
		"a link where a directory comes":     {func(w *world) error { return os.Symlink("/tmp", filepath.Join(w.dir, "new")) }, false, ErrInTheWay},
		"a link to a directory within":       {func(w *world) error { return os.Symlink("dir", filepath.Join(w.dir, "new")) }, false, ErrInTheWay},
		"an ignored file":                    {func(w *world) error { w.ignore("added"); w.write("added", "mine\n"); return nil }, false, ErrInTheWay},
		"an ignored file below":              {func(w *world) error { w.ignore("mine"); w.write("dir/mine", "mine\n"); return nil }, false, ErrInTheWay},
		"a directory with something in it":   {func(w *world) error { w.write("added/x", "mine\n"); return nil }, false, ErrInTheWay},
		"a commit more":                      {func(w *world) error { w.git("commit", "-q", "--allow-empty", "-m", "x"); return nil }, false, ErrBase},
		"a merge that is not finished":       {func(w *world) error { w.merge(); return nil }, true, ErrOperation},
		"somebody holds the index":           {func(w *world) error { return os.WriteFile(w.session().Repo().IndexFile()+".lock", nil, 0o644) }, false, ErrIndexLock},
		"a file whose staged mode is not so": {func(w *world) error { w.git("update-index", "--chmod=+x", "one"); return nil }, true, ErrInTheWay},
	} {
		t.Run(name, func(t *testing.T) {
			b := a.tree(strings.ReplaceAll(name, " ", "-"), base)
			if err := c.do(b); err != nil {
				t.Fatal(err)
			}
			before := b.look()
			_, err := b.apply(m.ID, Applying{Force: c.force})
			if !errors.Is(err, c.want) {
				t.Fatalf("%v, not %v", err, c.want)
			}
			if got := b.look(); got != before {
				t.Errorf("something was written:\n%s\nbefore\n%s", got, before)
			}
			if _, err := PendingHere(b.session().Repo()); !errors.Is(err, ErrNoPending) {
				t.Error("a journal stayed")
			}
			if h := b.find(m.ID); h.By() != nil {
				t.Error("it was recorded that somebody has it")
			}
		})
	}
	b := a.tree("beside", base)
	b.write("kept", "mine\n")
	b.write("staged", "mine\n")
	b.git("add", "staged")
	if _, err := b.apply(m.ID, Applying{Force: true}); err != nil {
		t.Fatalf("beside changes that are not in the way: %v", err)
	}
	if got := b.git("status", "--porcelain", "kept", "staged", "one"); got != " M kept\nMM one\nA  staged" {
		t.Errorf("it is\n%s", got)
	}
}

func (w *world) ignore(pattern string) {
	w.t.Helper()
	file := filepath.Join(w.session().Repo().CommonDir(), "info", "exclude")
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(pattern+"\n"), 0o644)); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = os.Remove(file) })
}

// merge leaves a merge in conflict.
func (w *world) merge() {
	w.t.Helper()
	at := w.git("rev-parse", "HEAD")
	tree := w.git("rev-parse", "HEAD^{tree}")
	other := w.git("commit-tree", tree, "-p", at, "-m", "other")
	_, _ = w.try("merge", "-q", "--no-commit", "--no-ff", other)
}

// A file that somebody changed after a crash is neither overwritten nor taken back.
func TestChangedAfterACrash(t *testing.T) {
	t.Parallel()
	a, _, base := messy(t)
	m := a.create(Creating{})
	b := a.tree("b", base)
	if code := b.start(m.ID, 6); code != -1 { // some files are written
		t.Fatal(code)
	}
	b.write("one", "mine\n")
	if _, err := Continue(context.Background(), b.sealer(), Applying{}); !errors.Is(err, ErrChanged) {
		t.Errorf("finished: %v", err)
	}
	var blocked *BlockedError
	if _, err := Abort(context.Background(), b.sealer()); !errors.As(err, &blocked) || !slices.Equal(blocked.Paths, []string{"one"}) {
		t.Errorf("taken back: %v", err)
	}
	if data, err := os.ReadFile(filepath.Join(b.dir, "one")); err != nil || string(data) != "mine\n" {
		t.Errorf("it is %q, %v", data, err)
	}
	if _, err := b.apply(m.ID, Applying{}); !errors.Is(err, ErrPending) {
		t.Errorf("begun again: %v", err)
	}
}

// What Create can't take is said, and nothing is recorded.
func TestNotTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "sha1")
	w.write("file", "x\n")
	w.git("add", "-A")
	w.git("commit", "-q", "-m", "base")
	w.git("switch", "-q", "-c", "other")
	w.write("file", "other\n")
	w.git("commit", "-q", "-am", "other")
	w.git("switch", "-q", "main")
	w.write("file", "main\n")
	w.git("commit", "-q", "-am", "main")
	_, _ = w.try("merge", "other")
	var op *OperationError
	if _, err := Create(context.Background(), w.sealer(), Creating{}); !errors.As(err, &op) || op.What != "merge" {
		t.Errorf("in a merge: %v", err)
	}
	if err := os.Remove(filepath.Join(w.dir, ".git", "MERGE_HEAD")); err != nil {
		t.Fatal(err)
	}
	var unmerged *UnmergedError
	if _, err := Create(context.Background(), w.sealer(), Creating{}); !errors.As(err, &unmerged) || !slices.Equal(unmerged.Paths, []string{"file"}) {
		t.Errorf("in a conflict: %v", err)
	}
	w.git("reset", "-q", "--hard")
	w.write("large", strings.Repeat("x", 2000))
	w.write("secret", "S")
	w.write("small", "x")
	w.write("file", strings.Repeat("y", 2000))
	w.git("init", "-q", "nested")
	m := w.create(Creating{Limits: Limits{File: 1000, Total: 10_000}, Secret: func(b []byte) string {
		if string(b) == "S" {
			return "known"
		}
		return ""
	}})
	var left []string
	for _, l := range m.Left {
		left = append(left, l.PathBytes()+":"+string(l.Reason)+l.Rule)
	}
	if !slices.Equal(left, []string{"file:size", "large:size", "nested/:repository", "secret:secretknown"}) || m.Files != 1 {
		t.Errorf("left out: %q, taken %d", left, m.Files)
	}
	if name, ok := ledger.ParseRef("refs/covenant/ledger/" + m.Ledger); !ok || name.Topic != handoff.Topic {
		t.Errorf("recorded in %s", m.Ledger)
	}
}

// A branch without commits, a HEAD that is on none, and a sparse checkout are handed off, too.
func TestUnusualHeads(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "sha1")
	w.write("first", "1\n")
	w.git("add", "first")
	w.write("second", "2\n")
	before := w.look()
	m := w.create(Creating{})
	if !m.Base.IsZero() || m.Ref != "refs/heads/main" {
		t.Errorf("base %s, ref %s", m.Base, m.Ref)
	}
	b := w.clone("b")
	b.git("symbolic-ref", "HEAD", "refs/heads/main")
	if _, err := b.apply(m.ID, Applying{}); err != nil {
		t.Fatal(err)
	}
	if got := b.look(); got != before {
		t.Errorf("it is\n%s\nnot\n%s", got, before)
	}
	w.write("out/side", "x\n")
	w.git("add", "-A")
	w.git("commit", "-q", "-m", "one")
	w.git("checkout", "-q", "--detach")
	w.git("sparse-checkout", "set", "--cone", "in")
	w.write("first", "changed\n")
	m = w.create(Creating{})
	if m.Ref != "" || m.Files != 1 {
		t.Errorf("ref %q, %d files", m.Ref, m.Files)
	}
	c := w.tree("c", "HEAD")
	if _, err := c.apply(m.ID, Applying{}); err != nil {
		t.Fatal(err)
	}
	if got := c.git("status", "--porcelain"); got != " M first\n" && got != " M first" {
		t.Errorf("it is %q", got)
	}
}
