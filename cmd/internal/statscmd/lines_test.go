package statscmd

import (
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/oid"
)

const one, two = "1111111111111111111111111111111111111111", "2222222222222222222222222222222222222222"

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
		id(one): {Verdict: verdict.Derived, Principal: &coder, Covers: []verdict.Cover{{Principal: coder, Paths: []string{"a", "both"}}, {Principal: ada, Paths: []string{"both"}}}},
		id(two): {Verdict: verdict.Invalid, Principal: &ada},
	}
	got := tally(results, []file{{id(one), "a", 5, 0}, {id(one), "both", 3, 1}, {id(two), "a", 2, 2}})
	want := []Share{
		{"lines", []string{"coder"}, []string{"ada"}, "agent", 1, 5, 0, 1},
		{"lines", []string{"ada", "coder"}, []string{"ada"}, "mixed", 1, 3, 1, 1},
		{"lines", nil, nil, "unknown", 1, 2, 2, 1},
		{"summary", []string{"ada", "coder"}, []string{"ada"}, "mixed", 2, 10, 3, 3},
	}
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i := range want {
		g, w := got[i], want[i]
		if strings.Join(g.Principals, " ") != strings.Join(w.Principals, " ") || strings.Join(g.Accountable, " ") != strings.Join(w.Accountable, " ") ||
			g.Kind != w.Kind || g.Commits != w.Commits || g.Added != w.Added || g.Deleted != w.Deleted || g.Files != w.Files || g.Type != w.Type {
			t.Errorf("%+v, want %+v", g, w)
		}
	}
}
