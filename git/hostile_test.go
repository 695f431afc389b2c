package git_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/gittest"
	"github.com/open-covenant/covenant-git/git/oid"
)

// busy makes a repository with everything a diff or log can show.
func busy(t testing.TB, args ...string) *gittest.Repo {
	r := gittest.New(t, args...)
	r.Write("a", "one\n")
	r.Write("big", strings.Repeat("line\n", 100))
	r.Write("dir/deep/x", "x\n")
	r.Write("näme", "ü\n")
	sub := "160000," + r.Open().Format().Hash("commit", []byte("sub one")).String() + ",sub"
	r.Git("add", "-A")
	r.Git("update-index", "--add", "--cacheinfo", sub)
	r.Git("commit", "-q", "-m", "one")
	os.Rename(filepath.Join(r.Dir, "big"), filepath.Join(r.Dir, "moved"))
	os.Remove(filepath.Join(r.Dir, "a"))
	if err := os.Symlink("moved", filepath.Join(r.Dir, "a")); err != nil {
		t.Skip(err)
	}
	r.Write("dir/deep/y", "y\n")
	os.Remove(filepath.Join(r.Dir, "dir/deep/x"))
	os.Chmod(filepath.Join(r.Dir, "näme"), 0o755)
	r.Write("new\nline", "odd\n")
	r.Write("not-utf8-\xff\xfe", "odd\n")
	r.Write(".gitmodules", "[submodule \"sub\"]\n\tpath = sub\n\turl = ./sub\n\tignore = all\n")
	r.Write(".gitattributes", "* -diff diff=evil\n*.x binary\n")
	r.Git("add", "-A", "--", ":!sub")
	r.Git("update-index", "--cacheinfo", "160000,"+r.Open().Format().Hash("commit", []byte("sub two")).String()+",sub")
	r.Git("commit", "-q", "-m", "two")
	return r
}

// reading is all that can be read of a repository, for comparison.
func reading(t testing.TB, r *gittest.Repo) string {
	t.Helper()
	s := r.Session()
	defer s.Close()
	var b strings.Builder
	var last oid.ID
	for c, err := range s.Log(git.LogQuery{Revs: []string{"HEAD"}, Decorate: []string{"refs/heads/", "refs/tags/"}}) {
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%+v\n", c)
		changes, err := s.Diff(last, c.Tree)
		if err != nil {
			t.Fatal(err)
		}
		for _, ch := range changes {
			fmt.Fprintf(&b, "  %+q\n", fmt.Sprint(ch))
		}
		last = c.Tree
		o, err := s.Object(c.ID.String(), 0)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%+v\n", o)
	}
	refs, err := s.Refs("refs/heads", "refs/tags")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(&b, refs)
	return b.String()
}

// No setting, attribute or .gitmodules changes what is read.
func TestHostileConfiguration(t *testing.T) {
	r := busy(t)
	r.Git("tag", "v1", "HEAD^")
	want := reading(t, r)
	for _, path := range []string{`\n`, "not-utf8", "sub", "moved", ".gitmodules"} {
		if !strings.Contains(want, path) {
			t.Fatalf("the repository under test shows no %q:\n%s", path, want)
		}
	}
	order := filepath.Join(t.TempDir(), "order")
	if err := os.WriteFile(order, []byte("sub\nnäme\n*\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{
		"diff.orderFile": order, "diff.noprefix": "true", "diff.mnemonicPrefix": "true", "diff.relative": "true",
		"diff.ignoreSubmodules": "all", "diff.renames": "copies", "diff.renameLimit": "1", "diff.external": "false",
		"diff.evil.command": "false", "diff.evil.textconv": "false", "diff.evil.binary": "true", "diff.submodule": "log",
		"diff.algorithm": "histogram", "diff.interHunkContext": "9", "diff.colorMoved": "zebra", "diff.wsErrorHighlight": "all",
		"diff.dirstat": "lines", "diff.statGraphWidth": "3", "diff.suppressBlankEmpty": "true", "diff.wordRegex": ".",
		"submodule.sub.ignore": "all", "submodule.recurse": "true", "status.submoduleSummary": "true",
		"log.showSignature": "true", "log.decorate": "short", "log.date": "relative", "log.follow": "true", "log.abbrevCommit": "true",
		"log.showRoot": "false", "log.mailmap": "true", "log.diffMerges": "on", "log.excludeDecoration": "refs/*",
		"log.initialDecorationSet": "all", "log.graphColors": "red", "format.pretty": "oneline", "format.notes": "*",
		"notes.displayRef": "refs/notes/*", "color.ui": "always", "color.diff": "always", "color.decorate.branch": "red",
		"core.quotePath": "true", "core.pager": "false", "core.abbrev": "4", "core.notesRef": "refs/heads/main", "core.commentChar": "x",
		"core.precomposeUnicode": "true", "core.ignoreCase": "true", "core.fileMode": "false", "core.symlinks": "false",
		"core.attributesFile": order, "core.warnAmbiguousRefs": "true", "core.multiPackIndex": "true", "core.useReplaceRefs": "true",
		"i18n.logOutputEncoding": "UTF-16", "i18n.commitEncoding": "ISO-8859-1", "mailmap.file": order, "gpg.program": "false",
		"pager.log": "true", "pager.diff-tree": "true", "alias.log": "status", "alias.cat-file": "!false", "advice.graftFileDeprecated": "true",
		"for-each-ref.sort": "-refname", "grep.fullName": "true", "versionsort.suffix": "-rc", "column.ui": "always", "tag.sort": "-refname", "branch.sort": "-refname",
	}
	for key, value := range settings {
		r.Git("config", key, value)
	}
	if err := os.WriteFile(filepath.Join(r.Dir, ".git", "info", "attributes"), []byte("* diff=evil filter=evil\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	for where, at := range map[string]*gittest.Repo{"top": r, "subdirectory": r.At(filepath.Join(r.Dir, "dir")), "git directory": r.At(filepath.Join(r.Dir, ".git"))} {
		if got := reading(t, at); got != want {
			t.Errorf("read in %s under hostile settings:\n%s\nwant:\n%s", where, got, want)
		}
	}
	r.Env = append(r.Env, "GIT_EXTERNAL_DIFF=false", "GIT_DIFF_OPTS=-u99", "GIT_CONFIG="+order, "GIT_NO_REPLACE_OBJECTS=", "GIT_LITERAL_PATHSPECS=1",
		"GIT_NOTES_REF=refs/heads/main", "GIT_PAGER=false", "GIT_FLUSH=0", "LC_ALL=xx", "LANGUAGE=de", "GIT_ICASE_PATHSPECS=1", "GIT_MERGE_VERBOSITY=5",
		"GIT_CONFIG_COUNT=2", "GIT_CONFIG_KEY_0=core.quotePath", "GIT_CONFIG_VALUE_0=true", "GIT_CONFIG_KEY_1=core.commitGraph", "GIT_CONFIG_VALUE_1=true",
		"GIT_CONFIG_PARAMETERS='core.quotePath'='true' 'core.commitGraph'='true'")
	if got := reading(t, r); got != want {
		t.Errorf("read in a hostile environment:\n%s\nwant:\n%s", got, want)
	}
}

// What replaces, grafts or caches history is not history.
func TestReplacements(t *testing.T) {
	r := sample(t)
	r.Write("z", "z")
	r.Commit("third")
	want := reading(t, r)
	head, parent, first := r.Git("rev-parse", "HEAD"), r.Git("rev-parse", "HEAD^"), r.Git("rev-parse", "HEAD^^")

	r.Git("replace", head, first)
	r.Git("replace", r.Git("rev-parse", parent+":a"), r.Git("rev-parse", first+":a"))
	if r.Git("rev-list", "--count", "HEAD") != "1" {
		t.Fatal("the replacement has no effect on Git itself")
	}
	if got := reading(t, r); got != want {
		t.Errorf("replaced:\n%s\nwant:\n%s", got, want)
	}
	r.Git("replace", "-d", head, r.Git("rev-parse", parent+":a"))

	grafts := filepath.Join(r.Dir, ".git", "info", "grafts")
	if err := os.WriteFile(grafts, []byte(head+" "+first+"\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if r.Git("rev-list", "--count", "HEAD") != "2" {
		t.Fatal("the graft has no effect on Git itself")
	}
	if got := reading(t, r); got != want {
		t.Errorf("grafted:\n%s\nwant:\n%s", got, want)
	}
	os.Remove(grafts)

	r.Git("commit-graph", "write", "--reachable")
	editGraph(t, filepath.Join(r.Dir, ".git", "objects", "info", "commit-graph"), id(t, head), id(t, first))
	if out := r.Git("log", "--format=%P", "-1"); out != first {
		t.Fatalf("the edited commit-graph has no effect on Git itself: %s", out)
	}
	if got := reading(t, r); got != want {
		t.Errorf("with an edited commit-graph:\n%s\nwant:\n%s", got, want)
	}
}

// editGraph makes the commit-graph say that child's first parent is parent
// (gitformat-commit-graph(5)).
func editGraph(t *testing.T, path string, child, parent oid.ID) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	chunk := func(name string) []byte {
		for i := range int(b[6]) {
			e := b[8+12*i:]
			if string(e[:4]) == name {
				return b[binary.BigEndian.Uint64(e[4:]):]
			}
		}
		t.Fatalf("no chunk %s", name)
		return nil
	}
	n := int(binary.BigEndian.Uint32(chunk("OIDF")[4*255:]))
	at := func(id oid.ID) int {
		for i := range n {
			if bytes.Equal(chunk("OIDL")[20*i:20*i+20], id.Bytes()) {
				return i
			}
		}
		t.Fatalf("%s is not in the graph", id)
		return 0
	}
	binary.BigEndian.PutUint32(chunk("CDAT")[36*at(child)+20:], uint32(at(parent)))
	os.Chmod(path, 0o666)
	if err := os.WriteFile(path, b, 0o666); err != nil {
		t.Fatal(err)
	}
}

// Trees that Git reads as something else than they store are named, not passed over.
func TestEvilTrees(t *testing.T) {
	r := sample(t)
	s := r.Session()
	blob, err := s.Object("HEAD:a", 0)
	if err != nil {
		t.Fatal(err)
	}
	put := func(mode string) oid.ID {
		return s.Put("tree", append([]byte(mode+" a\x00"), blob.ID.Bytes()...))
	}
	sane, odd, zero := put("100644"), put("100664"), put("0100644")
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, evil := range []oid.ID{odd, zero} {
		if cs, err := s.Diff(sane, evil); !errors.Is(err, git.ErrEmptyDiff) {
			t.Errorf("diff: %v, %v", cs, err)
		}
	}
	head, err := s.Object("HEAD", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range [][2]oid.ID{{blob.ID, sane}, {sane, blob.ID}, {head.ID, sane}, {sane, head.ID}} {
		if cs, err := s.Diff(p[0], p[1]); err == nil && p[1] != head.ID {
			t.Errorf("diff of no tree: %v", cs)
		}
	}
	if cs, err := s.Diff(sane, oid.ID{}); err != nil || len(cs) != 1 || cs[0].Status != 'D' {
		t.Errorf("still in step? %v, %v", cs, err)
	}
}

// A missing subtree is named, wherever it is, and the pairs after it are answered.
func TestMissingSubtree(t *testing.T) {
	r := gittest.New(t)
	r.Write("dir/deep/x", "1")
	r.Commit("one")
	r.Write("dir/deep/x", "2")
	r.Write("zz/y", "2")
	r.Commit("two")
	old, new := id(t, r.Git("rev-parse", "HEAD^^{tree}")), id(t, r.Git("rev-parse", "HEAD^{tree}"))
	lost := r.Git("rev-parse", "HEAD:dir/deep")
	if err := os.Remove(filepath.Join(r.Dir, ".git", "objects", lost[:2], lost[2:])); err != nil {
		t.Fatal(err)
	}
	s := r.Session()
	cs, err := s.Diff(old, new)
	if !errors.Is(err, git.ErrMissing) || !strings.Contains(err.Error(), lost) || cs != nil {
		t.Errorf("diff: %v, %v", cs, err)
	}
	pairs := []git.TreePair{{New: old}, {Old: old, New: new}, {New: new}, {Old: old}, {Old: new}, {New: old}}
	var got []int
	for cs, err := range s.Diffs(slices.Values(pairs)) {
		if err != nil && !errors.Is(err, git.ErrMissing) {
			t.Error(err)
		}
		if err != nil {
			got = append(got, -1)
		} else {
			got = append(got, len(cs))
		}
	}
	if want := []int{1, -1, -1, 1, -1, 1}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestHistoryShapes(t *testing.T) {
	r := sample(t)
	for _, b := range []string{"b1", "b2", "b3"} {
		r.Git("checkout", "-q", "-b", b, "main")
		r.Write(b, b)
		r.Commit(b)
	}
	r.Git("checkout", "-q", "main")
	r.Commit("own")
	r.Git("merge", "-q", "-m", "octopus", "b1", "b2", "b3")
	r.Git("checkout", "-q", "--orphan", "orphan")
	r.Commit("orphan root")
	r.Git("merge", "-q", "--allow-unrelated-histories", "-s", "ours", "-m", "evil", "main")
	r.Git("commit", "-q", "--allow-empty", "--allow-empty-message", "-m", "")
	raw := "tree " + r.Git("rev-parse", "HEAD^{tree}") + "\nparent " + r.Git("rev-parse", "HEAD") +
		"\nauthor No Mail 12 +0000\ncommitter B <b@b> 99999999999999999999 +99999\nencoding latin1\nx-odd: y\n more\n\n\n \n  caf\xe9 one \n two\t\n\nbody"
	r.Git("update-ref", "HEAD", r.GitIn(raw, "hash-object", "-w", "-t", "commit", "--literally", "--stdin"))
	s := r.Session()
	cs := collect(t, s.Log(git.LogQuery{Globs: []string{"refs/heads/*"}}))
	seen := map[oid.ID]bool{}
	octopus := false
	for _, c := range cs {
		for _, p := range c.Parents {
			if !seen[p] {
				t.Errorf("%s before its parent", c.ID)
			}
		}
		seen[c.ID] = true
		octopus = octopus || len(c.Parents) == 4
		o, err := s.Object(c.ID.String(), 0)
		if err != nil {
			t.Fatal(err)
		}
		p, err := git.ParseCommit(oid.SHA1, c.ID, o.Data)
		if err != nil {
			t.Fatal(err)
		}
		// Git converts what says it is not UTF-8.
		latin := strings.NewReplacer("\xe9", "é")
		if p.Subject = latin.Replace(p.Subject); fmt.Sprint(p) != fmt.Sprint(c) {
			t.Errorf("parsed %+v\n   log %+v", p, c)
		}
		want := r.Git("log", "-1", "--format=%s", c.ID.String())
		if p.Subject != want {
			t.Errorf("subject %q, want %q", p.Subject, want)
		}
	}
	if !octopus || fmt.Sprint(len(cs)) != r.Git("rev-list", "--count", "--all") {
		t.Errorf("%d commits, octopus %v", len(cs), octopus)
	}
	if last := cs[len(cs)-1]; last.Subject != "  café one  two" || last.Author != (git.Ident{}) || last.Committer.Name != "B" {
		t.Errorf("odd commit %+q", fmt.Sprint(last))
	}
	if n := len(collect(t, s.Log(git.LogQuery{Revs: []string{"HEAD"}, Max: 2}))); n != 2 {
		t.Errorf("max: %d", n)
	}
	if n := len(collect(t, s.Log(git.LogQuery{Revs: []string{"HEAD"}, FirstParent: true}))); n != 4 {
		t.Errorf("first parent: %d", n)
	}
	for c, err := range s.Log(git.LogQuery{Revs: []string{"HEAD"}}) {
		if err != nil || c.ID.IsZero() {
			t.Error(err)
		}
		break
	}
}

// Inside a real pre-receive hook the pushed objects are only in the quarantine, and refs cannot
// move. Both a small push (loose objects) and a large one (a pack) must be seen.
func TestQuarantine(t *testing.T) {
	for _, files := range []int{1, 300} {
		server := bare(t)
		client := server.At(filepath.Join(t.TempDir(), "client"))
		server.Git("clone", "-q", server.Dir, client.Dir)
		for i := range files {
			client.Write(fmt.Sprintf("f%d", i), fmt.Sprint(i))
		}
		want := client.Commit("pushed")
		exe, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		hook := "#!/bin/sh\nGIT_TEST_JOB=quarantine exec '" + exe + "'\n"
		if err := os.WriteFile(filepath.Join(server.Dir, "hooks", "pre-receive"), []byte(hook), 0o777); err != nil {
			t.Fatal(err)
		}
		client.Git("push", "-q", "origin", "HEAD:refs/heads/main")
		report, err := os.ReadFile(filepath.Join(server.Dir, "report"))
		if err != nil {
			t.Fatal(err)
		}
		if wantReport := fmt.Sprintf("%s %d refused\n", want, files); string(report) != wantReport {
			t.Errorf("report %q, want %q", report, wantReport)
		}
		if server.Git("rev-parse", "main") != want {
			t.Error("nothing was pushed")
		}
	}
}

func init() {
	jobs["quarantine"] = func() error {
		var old, new, ref string
		if _, err := fmt.Scan(&old, &new, &ref); err != nil {
			return err
		}
		repo, err := git.Open(ctx, git.Options{})
		if err != nil {
			return err
		}
		s := repo.Session(ctx)
		defer s.Close()
		before, err := s.Object(old+"^{tree}", 0)
		if err != nil {
			return err
		}
		after, err := s.Object(new+"^{tree}", 0)
		if err != nil {
			return err
		}
		changes, err := s.Diff(before.ID, after.ID)
		if err != nil {
			return err
		}
		made := s.Put("blob", []byte("written in quarantine"))
		if err := s.Flush(); err != nil {
			return err
		}
		if _, err := os.Stat(filepath.Join(repo.CommonDir(), "objects", made.String()[:2], made.String()[2:])); err == nil {
			return errors.New("written outside the quarantine")
		}
		if _, err := s.Object(made.String(), 0); err != nil {
			return err
		}
		outcome := "moved"
		var ce *git.CommandError
		if id, err := oid.Parse(new); err != nil {
			return err
		} else if err := s.Update("x", git.RefUpdate{Name: "refs/covenant/x", New: id}); errors.As(err, &ce) {
			outcome = "refused"
		}
		return os.WriteFile("report", fmt.Appendf(nil, "%s %d %s\n", new, len(changes), outcome), 0o666)
	}
}

// Files are as readable as core.sharedRepository says, exactly as Git's own.
func TestSharedRepository(t *testing.T) {
	for _, shared := range []string{"umask", "group", "all", "0640", "0600", "0777", "true", "2"} {
		r := gittest.New(t, "--shared="+shared)
		r.Git("config", "core.sharedRepository", shared)
		s := r.Session()
		r.GitIn("by git", "hash-object", "-w", "--stdin")
		ours := s.Put("blob", []byte("by us")).String()
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
		theirs := r.Open().Format().Hash("blob", []byte("by git")).String()
		mode := func(name string) string {
			dir := filepath.Join(r.Dir, ".git", "objects", name[:2])
			d, err := os.Stat(dir)
			if err != nil {
				t.Fatal(err)
			}
			f, err := os.Stat(filepath.Join(dir, name[2:]))
			if err != nil {
				t.Fatal(err)
			}
			return d.Mode().String() + " " + f.Mode().String()
		}
		if mode(ours) != mode(theirs) {
			t.Errorf("%s: ours %s, Git's %s", shared, mode(ours), mode(theirs))
		}
		if unlock, err := s.Repo().Lock(ctx); err != nil {
			t.Error(err)
		} else {
			unlock()
		}
		st, err := os.Stat(s.Repo().StateDir())
		if err != nil {
			t.Fatal(err)
		}
		if closed := st.Mode().Perm()&0o077 == 0; closed != (shared == "umask" || shared == "0600") {
			t.Errorf("%s: state directory is %s", shared, st.Mode())
		}
	}
}

// Children end with the context, whatever they are doing.
func TestCancel(t *testing.T) {
	r := sample(t)
	c, cancel := contextWithCancel()
	s := r.Open().Session(c)
	defer s.Close()
	if _, err := s.Object("HEAD", 0); err != nil {
		t.Fatal(err)
	}
	endless := func(yield func(string) bool) {
		for yield("HEAD") {
		}
	}
	time.AfterFunc(50*time.Millisecond, cancel)
	failed := false
	for _, err := range s.Objects(endless, 0) {
		failed = err != nil
	}
	if !failed {
		t.Error("an endless read ended without an error")
	}
	if _, err := s.Object("HEAD", 0); !errors.Is(err, errCanceled) {
		t.Errorf("after the end: %v", err)
	}
	if _, err := r.Open().Run(c, nil, "version"); !errors.Is(err, errCanceled) {
		t.Errorf("run: %v", err)
	}
	// No child may be left: the repository's directory is nobody's working directory.
	if out, err := exec.Command("sh", "-c", "ls -l /proc/[0-9]*/cwd 2>/dev/null | grep -c -- '"+r.Dir+"$'").Output(); err == nil && strings.TrimSpace(string(out)) != "0" {
		t.Errorf("%s children left", bytes.TrimSpace(out))
	}
}
