package statscmd

import (
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/oid"
)

const (
	one   = "1111111111111111111111111111111111111111"
	two   = "2222222222222222222222222222222222222222"
	three = "3333333333333333333333333333333333333333"
)

func TestNumstat(t *testing.T) {
	out := "\x01" + one + "\x00\n3\t1\tsrc/a\tb\x001\t0\t\x00old\x00new\x00-\t-\tbin\x00\x01" + two + "\x00\n0\t7\t\xff\n\x00"
	files, err := numstat([]byte(out))
	if err != nil || len(files) != 4 {
		t.Fatalf("%v, %v", files, err)
	}
	if f := files[0]; f.path != "src/a\tb" || f.added != 3 || f.deleted != 1 || f.commit.String() != one {
		t.Errorf("%+v", f)
	}
	if f := files[1]; f.path != "new" || f.added != 1 {
		t.Errorf("%+v", f)
	}
	if f := files[2]; f.path != "bin" || f.added != 0 {
		t.Errorf("%+v", f)
	}
	if f := files[3]; f.path != "\xff\n" || f.deleted != 7 || f.commit.String() != two {
		t.Errorf("%+v", f)
	}
	for _, bad := range []string{"x", "1\t2\ta\x00", "\x01" + one + "\x001\t2\x00", "\x01" + one + "\x001\t2\t\x00old\x00", "\x01" + one + "\x00-1\t0\ta\x00", "\x01" + one[1:] + "\x00"} {
		if _, err := numstat([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

// FuzzNumstat: what is read has a commit and a path, and counts no less than nothing.
func FuzzNumstat(f *testing.F) {
	f.Add([]byte("\x01" + one + "\x00\n3\t1\tsrc/a\tb\x001\t0\t\x00old\x00new\x00-\t-\tbin\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		files, err := numstat(b)
		if err != nil {
			return
		}
		for _, x := range files {
			if x.commit.IsZero() || x.added < 0 || x.deleted < 0 || strings.ContainsRune(x.path, 0) {
				t.Fatalf("%+v", x)
			}
		}
	})
}

// TestTally: nobody's lines are nobody's, whatever a seal that does not hold says, and paths that several made are mixed.
func TestTally(t *testing.T) {
	id := func(s string) oid.ID {
		x, err := oid.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	ada, coder := verdict.Principal{Name: "ada", Kind: "human", Accountable: "ada"}, verdict.Principal{Name: "coder", Kind: "agent", Accountable: "ada"}
	results := map[oid.ID]verdict.Result{
		id(one):   {Verdict: verdict.Derived, Principal: &coder, Covers: []verdict.Cover{{Principal: coder, Paths: []string{"a", "both"}}, {Principal: ada, Paths: []string{"both"}}}},
		id(two):   {Verdict: verdict.Invalid, Principal: &ada},
		id(three): {Verdict: verdict.Sealed, Principal: &ada, Rewritten: true, Made: []verdict.Made{{Path: "a", By: []verdict.Principal{coder}}, {Path: "both", By: []verdict.Principal{coder}, Part: true}}},
	}
	got := tally(results, []file{{id(one), "a", 5, 0}, {id(one), "both", 3, 1}, {id(two), "a", 2, 2}, {id(three), "a", 7, 0}, {id(three), "both", 4, 0}, {id(three), "own", 1, 0}}, nil, nil)
	want := []Share{
		{Type: "lines", Principals: []string{"coder"}, Accountable: []string{"ada"}, Kind: "agent", Commits: 2, Added: 12, Files: 2, Rewritten: 7, RewrittenBy: []string{"ada"}},
		{Type: "lines", Principals: []string{"ada", "coder"}, Accountable: []string{"ada"}, Kind: "mixed", Commits: 2, Added: 7, Deleted: 1, Files: 2, Rewritten: 4, RewrittenBy: []string{"ada"}},
		{Type: "lines", Kind: "unknown", Commits: 1, Added: 2, Deleted: 2, Files: 1},
		{Type: "lines", Principals: []string{"ada"}, Accountable: []string{"ada"}, Kind: "human", Commits: 1, Added: 1, Files: 1},
		{Type: "summary", Principals: []string{"ada", "coder"}, Accountable: []string{"ada"}, Kind: "mixed", Commits: 3, Added: 22, Deleted: 3, Files: 6, Rewritten: 11, RewrittenBy: []string{"ada"}},
	}
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i := range want {
		g, w := got[i], want[i]
		if strings.Join(g.Principals, " ") != strings.Join(w.Principals, " ") || strings.Join(g.Accountable, " ") != strings.Join(w.Accountable, " ") ||
			g.Kind != w.Kind || g.Commits != w.Commits || g.Added != w.Added || g.Deleted != w.Deleted || g.Files != w.Files || g.Type != w.Type || g.Rewritten != w.Rewritten || strings.Join(g.RewrittenBy, " ") != strings.Join(w.RewrittenBy, " ") {
			t.Errorf("%+v, want %+v", g, w)
		}
	}
}

// TestTallyByLine: where it is known who of several made which lines, each is whose it is, and what was deleted is of who made most.
func TestTallyByLine(t *testing.T) {
	id, err := oid.Parse(one)
	if err != nil {
		t.Fatal(err)
	}
	ada, coder := verdict.Principal{Name: "ada", Kind: "human", Accountable: "ada"}, verdict.Principal{Name: "coder", Kind: "agent", Accountable: "ada"}
	part := func(from, to int) map[string][]verdict.Part {
		return map[string][]verdict.Part{"both": {{Lines: []provenance.Lines{{Start: from, End: to}}}}}
	}
	r := verdict.Result{Verdict: verdict.Derived, Principal: &coder, Covers: []verdict.Cover{
		{Principal: coder, Paths: []string{"both"}, Parts: part(1, 3)}, {Principal: ada, Paths: []string{"both"}, Parts: part(4, 4)},
	}}
	if !r.ToldApart("both") || r.ToldApart("other") {
		t.Error("what is known of paths")
	}
	at := spot{id, "both"}
	got := tally(map[oid.ID]verdict.Result{id: r}, []file{{id, "both", 6, 2}}, map[spot][]stretch{at: {{1, 2}, {3, 4}}}, map[spot]map[int]string{at: {2: "m", 4: ""}})
	for i, want := range []struct {
		who                        string
		added, deleted, files, put int64
	}{{"coder", 3, 2, 1, 1}, {"ada coder", 2, 0, 1, 0}, {"ada", 1, 0, 1, 1}, {"ada coder", 6, 2, 1, 2}} {
		if g := got[i]; strings.Join(g.Principals, " ") != want.who || g.Added != want.added || g.Deleted != want.deleted || g.Files != want.files || *g.Put != want.put {
			t.Errorf("%d: %+v, want %+v", i, g, want)
		}
	}
}

// TestStretches: the lines that a commit added are told apart from what stands in them.
func TestStretches(t *testing.T) {
	out := "\x01" + one + "\n\ndiff --git a/a b/a\nindex 1..2 100644\n--- a/a\n+++ b/a\n@@ -1,2 +1,3 @@ func\n-x\n-y\n+@@ -9 +9 @@\n++++ b/z\n+c\n@@ -9 +10,0 @@\n-+++ b/z\n\\ No newline at end of file\n" +
		"diff --git \"a/sp \\303\\244\" \"b/sp \\303\\244\"\nnew file mode 100644\n--- /dev/null\n+++ \"b/sp \\303\\244\"\t\n@@ -0,0 +1 @@\n+a\n\\ No newline at end of file\ndiff --git a/gone b/gone\n--- a/gone\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n" +
		"\x01" + two + "\n\ndiff --git a/bin b/bin\nBinary files a/bin and b/bin differ\n"
	got, err := stretches([]byte(out))
	if err != nil || len(got) != 2 {
		t.Fatalf("%+v %v", got, err)
	}
	for at, list := range got {
		want := map[string]stretch{"a": {1, 3}, "sp ä": {1, 1}}[at.path]
		if at.commit.String() != one || len(list) != 1 || list[0] != want {
			t.Errorf("%+v: %+v, want %+v", at, list, want)
		}
	}
	for _, bad := range []string{"\x01xyz\n", "@@ -1 +1 @@\n", "\x01" + one + "\n+++ b/a\n@@ -1 1 @@\n", "\x01" + one + "\n+++ b/a\n@@ -1 +-1 @@\n"} {
		if _, err := stretches([]byte(bad)); err == nil {
			t.Errorf("%q passes", bad)
		}
	}
}

func FuzzStretches(f *testing.F) {
	f.Add([]byte("\x01" + one + "\n\n--- a/a\n+++ b/a\n@@ -1 +1 @@\n-a\n+b\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := stretches(b)
		if err != nil {
			return
		}
		for at, list := range got {
			for _, s := range list {
				if at.path == "" || at.commit.IsZero() || s.count < 1 || s.from < 0 {
					t.Errorf("%+v: %+v", at, s)
				}
			}
		}
	})
}
