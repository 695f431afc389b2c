package journal_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/hooks/journal"
)

func file(t testing.TB, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "agents", "*.jsonl"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%q, %v", files, err)
	}
	return files[0]
}

// TestAtOnce: lines of moments that come at once are all there, each whole.
func TestAtOnce(t *testing.T) {
	dir := t.TempDir()
	j := journal.Of(dir, "/w")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for k := range 50 {
				if err := j.Add(journal.Line{Session: "s", Call: fmt.Sprint(i, "-", k), State: journal.Invoked, Files: []journal.File{{Path: string(make([]byte, 4000))}}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	p, err := j.Read("s", 0)
	if err != nil || len(p.Lines) != 400 || p.Torn != 0 {
		t.Errorf("%d lines, %d torn, %v", len(p.Lines), p.Torn, err)
	}
}

// TestCutAnywhere: wherever a process died while it wrote, the lines before are there, and so are those that are added after it.
func TestCutAnywhere(t *testing.T) {
	dir := t.TempDir()
	j := journal.Of(dir, "/w")
	for i := range 3 {
		if err := j.Add(journal.Line{Session: "s", Call: fmt.Sprint(i), State: journal.Invoked}); err != nil {
			t.Fatal(err)
		}
	}
	whole, err := os.ReadFile(file(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(whole) {
		if err := os.WriteFile(file(t, dir), whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if err := j.Add(journal.Line{Session: "s", Call: "after", State: journal.Invoked}); err != nil {
			t.Fatal(err)
		}
		p, err := j.Read("s", 0)
		if err != nil || len(p.Lines) == 0 || p.Lines[len(p.Lines)-1].Call != "after" || p.Torn > 1 {
			t.Fatalf("cut at %d: %+v, %v", n, p, err)
		}
		for i, l := range p.Lines[:len(p.Lines)-1] {
			if l.Call != fmt.Sprint(i) {
				t.Fatalf("cut at %d: line %d is %q", n, i, l.Call)
			}
		}
	}
}

// TestChanged: no byte of a line is changed unseen.
func TestChanged(t *testing.T) {
	dir := t.TempDir()
	j := journal.Of(dir, "/w")
	if err := j.Add(journal.Line{Session: "s", Call: "one", State: journal.Invoked, Files: []journal.File{{Path: "a"}}}); err != nil {
		t.Fatal(err)
	}
	whole, _ := os.ReadFile(file(t, dir))
	for i := range len(whole) - 1 {
		b := append([]byte{}, whole...)
		b[i] ^= 1
		if err := os.WriteFile(file(t, dir), b, 0o600); err != nil {
			t.Fatal(err)
		}
		if p, err := j.Read("s", 0); err != nil || len(p.Lines) != 0 {
			t.Errorf("byte %d: %+v, %v", i, p, err)
		}
	}
}

func TestSealed(t *testing.T) {
	dir := t.TempDir()
	j := journal.Of(dir, "/w")
	add := func(call string) {
		if err := j.Add(journal.Line{Session: "s", Call: call, State: journal.Invoked}); err != nil {
			t.Fatal(err)
		}
	}
	add("1")
	p, _ := j.Read("s", 0)
	if err := j.Seal("s", p.Size); err != nil {
		t.Fatal(err)
	}
	add("2")
	if p, err := j.Read("s", j.Sealed("s")); err != nil || len(p.Lines) != 1 || p.Lines[0].Call != "2" {
		t.Errorf("%+v, %v", p, err)
	}
	j.Sweep(time.Now().Add(time.Hour))
	if p, _ := j.Read("s", 0); len(p.Lines) != 2 {
		t.Error("what is not sealed was swept")
	}
	p, _ = j.Read("s", 0)
	if err := j.Seal("s", p.Size); err != nil {
		t.Fatal(err)
	}
	j.Sweep(time.Now().Add(-time.Hour))
	if p, _ := j.Read("s", 0); len(p.Lines) != 2 {
		t.Error("what is young was swept")
	}
	j.Sweep(time.Now().Add(time.Hour))
	if j.Any() || j.Sealed("s") != 0 {
		t.Error("what is sealed and old was not swept")
	}
	if other := journal.Of(dir, "/other"); other.Any() {
		t.Error("another work tree has lines of this one")
	}
}

// TestReceipts: which changes are told.
func TestReceipts(t *testing.T) {
	at := func(ms int64, state journal.State, call, kind string, files ...journal.File) journal.Line {
		return journal.Line{At: ms, Session: "s", Call: call, Kind: kind, State: state, Files: files}
	}
	x := func(mode, sum string) journal.File { return journal.File{Path: "x", Mode: mode, SHA256: sum} }
	j := journal.Of(t.TempDir(), "/w")
	for _, l := range []journal.Line{
		at(10_000, journal.Over, "", ""),
		at(20_000, journal.Invoked, "a", "edit"), at(21_000, journal.Returned, "a", "edit", x("100644", "aa"), journal.File{Path: "gone"}, journal.File{Path: "large", Mode: "100644"}),
		at(30_000, journal.Invoked, "b", "shell"), at(35_000, journal.Returned, "b", "shell"),
		at(40_000, journal.Invoked, "c", "shell"), at(41_000, journal.Denied, "c", "shell"),
		at(50_000, journal.Invoked, "d", "shell"), at(60_000, journal.Over, "", ""), // refused elsewhere, or broken off
		at(61_000, journal.Invoked, "", "shell"), at(62_000, journal.Invoked, "", "shell"), at(63_000, journal.Returned, "", "shell"), at(64_000, journal.Over, "", ""), // calls without names
		at(65_000, journal.Invoked, "e", "shell"), at(66_000, journal.Over, "", ""), at(68_000, journal.Returned, "e", "shell"), // somebody said something meanwhile
		at(69_000, journal.Invoked, "f", "shell"), at(69_500, journal.Told, "", ""), // a sub-agent began
		{At: 70_000, Session: "s", Sub: "sub", Call: "g", Kind: "mcp", State: journal.Invoked},
		at(71_000, journal.Over, "", ""),                                                                                                                                                                                    // of the agent itself
		at(73_000, journal.Invoked, "i", "shell"), at(74_000, journal.Invoked, "k", "read"), at(74_500, journal.Returned, "k", "read"), at(75_000, journal.Invoked, "l", "read"), at(75_100, journal.Returned, "l", "read"), // refused elsewhere, and the agent went on
		at(76_000, journal.Invoked, "m", "shell"), at(76_100, journal.Invoked, "n", "read"), at(76_200, journal.Returned, "n", "read"), at(76_300, journal.Invoked, "o", "read"), at(76_400, journal.Returned, "o", "read"), at(77_000, journal.Returned, "m", "shell"), // three at once
		at(80_000, journal.Invoked, "h", "edit"), at(81_000, journal.Returned, "h", "edit", x("100644", "bb")),
		{At: 90_000, Session: "s", State: journal.Told, Untold: []journal.File{{Path: "u", Mode: "100644", SHA256: "uu"}}},
	} {
		if err := j.Add(l); err != nil {
			t.Fatal(err)
		}
	}
	r, err := j.Receipts(time.UnixMilli(10_000_000))
	if err != nil || r.Since != 10_000 {
		t.Fatal(r.Since, err)
	}
	for ms, want := range map[int64]string{
		20_500: "", 30_000: "ran", 35_040: "ran", 36_000: "", 40_500: "", 55_000: "cut", 60_500: "", 61_500: "cut", 62_500: "ran cut", 63_500: "cut", 67_000: "ran", 69_200: "cut", 72_000: "ran", 74_700: "ran cut", 75_500: "ran", 76_900: "ran", 670_000: "ran", 671_000: "",
	} {
		got := ""
		if r.Ran(ms) {
			got = "ran"
		}
		if r.Cut(ms) {
			got += " cut"
		}
		if strings.TrimSpace(got) != want {
			t.Errorf("at %d: %q, not %q", ms, got, want)
		}
	}
	for _, c := range []struct {
		file             journal.File
		left, once, said bool
	}{
		{x("100644", "bb"), true, true, false},
		{x("100644", "aa"), false, true, false},
		{x("100755", "bb"), false, false, false},
		{x("120000", "bb"), false, false, false},
		{x("", ""), false, false, false},
		{x("100644", ""), false, false, false},
		{journal.File{Path: "gone"}, true, true, false},
		{journal.File{Path: "gone", Mode: "100644", SHA256: "aa"}, false, false, false},
		{journal.File{Path: "gone", Mode: "100644"}, false, false, false},
		{journal.File{Path: "large", Mode: "100644"}, false, false, false},
		{journal.File{Path: "u", Mode: "100644", SHA256: "uu"}, false, false, true},
		{journal.File{Path: "u"}, false, false, false},
	} {
		if left, once, said := r.Left(c.file), r.Once(c.file), r.Said(c.file); left != c.left || once != c.once || said != c.said {
			t.Errorf("%+v: left %v, once %v, said %v", c.file, left, once, said)
		}
	}
}

// TestBelow: what a call runs opens no call of its own, ends none, and leaves no receipt; what the agent says at once does.
func TestBelow(t *testing.T) {
	line := func(ms int64, session string, state journal.State, call string, above []string, files ...journal.File) journal.Line {
		return journal.Line{At: ms, Session: session, Call: call, Kind: "shell", State: state, Above: above, Files: files}
	}
	x := func(path string) journal.File { return journal.File{Path: path, Mode: "100644", SHA256: path} }
	agent, wrapped, tool, none := []string{"9.9", "1.1"}, []string{"sh.1", "9.9", "1.1"}, []string{"sh.2", "tool.1", "9.9", "1.1"}, []string(nil)
	for what, c := range map[string]struct {
		outer, inner []string
		told         bool
	}{
		"below":           {agent, tool, false},
		"below a wrapper": {wrapped, tool, false},
		"beside":          {agent, agent, true},
		"beside, wrapped": {wrapped, []string{"sh.3", "9.9", "1.1"}, true},
		"another tree":    {agent, []string{"8.8"}, true},
		"not known":       {none, tool, true},
		"not said":        {agent, none, true},
	} {
		for _, session := range []string{"s", "other"} {
			j := journal.Of(t.TempDir(), "/w")
			for _, l := range []journal.Line{
				line(10_000, "s", journal.Invoked, "a", c.outer),
				line(11_000, session, journal.Invoked, "b", c.inner),
				line(12_000, session, journal.Returned, "c", c.inner, x("left")),
				line(13_000, "s", journal.Returned, "a", c.inner, x("own")),
				line(20_000, "s", journal.Returned, "a", c.outer, x("end")),
				line(30_000, session, journal.Returned, "d", c.inner, x("later")),
			} {
				if err := j.Add(l); err != nil {
					t.Fatal(err)
				}
			}
			r, err := j.Receipts(time.UnixMilli(40_000))
			if err != nil {
				t.Fatal(err)
			}
			if r.Ran(35_000) != c.told || r.Once(x("left")) != c.told || !r.Once(x("end")) || !r.Once(x("later")) || !r.Ran(12_000) {
				t.Errorf("%s, %s: %v %v %v %v", what, session, r.Ran(35_000), r.Once(x("left")), r.Once(x("end")), r.Once(x("later")))
			}
			if r.Once(x("own")) != c.told || !c.told && !r.Ran(19_000) {
				t.Errorf("%s, %s: its end is said by what it runs: %v, %v", what, session, r.Once(x("own")), r.Ran(19_000))
			}
		}
	}
}

// FuzzRead: whatever a file holds, reading it ends, and a line that is added is the last one there.
func FuzzRead(f *testing.F) {
	f.Add([]byte("x\n"))
	f.Add([]byte("0123456789abcdef {}\n{"))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		j := journal.Of(dir, "/w")
		if err := j.Add(journal.Line{Session: "s", State: journal.Told}); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file(t, dir), b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := j.Add(journal.Line{Session: "s", Call: "last", State: journal.Told}); err != nil {
			t.Fatal(err)
		}
		p, err := j.Read("s", 0)
		if err != nil || len(p.Lines) == 0 || p.Lines[len(p.Lines)-1].Call != "last" {
			t.Errorf("%+v, %v", p, err)
		}
	})
}

// TestManySessions: of more sessions than are read those count that were written last, whatever they are called.
func TestManySessions(t *testing.T) {
	dir := t.TempDir()
	j := journal.Of(dir, "/w")
	for i := range 1100 {
		if err := j.Add(journal.Line{Session: fmt.Sprint(i), State: journal.Told}); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "agents", "*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if err := os.Chtimes(f, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 20 {
		if err := j.Add(journal.Line{Session: fmt.Sprint("new", i), State: journal.Told}); err != nil {
			t.Fatal(err)
		}
	}
	pages, err := j.All()
	found := map[string]bool{}
	for _, p := range pages {
		for _, l := range p.Lines {
			found[l.Session] = true
		}
	}
	for i := range 20 {
		if !found[fmt.Sprint("new", i)] || err != nil || len(pages) > 1024 {
			t.Fatalf("session new%d is not read, of %d; %v", i, len(pages), err)
		}
	}
}

// TestSaidLast: of what sessions say of a file that no call tells of, the last word counts, whatever the sessions are called.
func TestSaidLast(t *testing.T) {
	for name, at := range map[string]func(int64) int64{"forwards": func(i int64) int64 { return i }, "backwards": func(i int64) int64 { return 9 - i }} {
		j := journal.Of(t.TempDir(), "/w")
		said := func(i int64) journal.File {
			return journal.File{Path: "f", Mode: "100644", SHA256: fmt.Sprint(i)}
		}
		for i := range int64(10) {
			if err := j.Add(journal.Line{At: 1 + at(i), Session: fmt.Sprint(i), State: journal.Told, Untold: []journal.File{said(at(i))}}); err != nil {
				t.Fatal(err)
			}
		}
		r, err := j.Receipts(time.UnixMilli(100))
		if err != nil || !r.Said(said(9)) {
			t.Errorf("%s: the last word does not count: %v", name, err)
		}
	}
}
