package git_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
