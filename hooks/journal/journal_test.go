package journal_test

import (
	"fmt"
	"os"
	"path/filepath"
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
				if err := j.Add(journal.Line{Session: "s", Call: fmt.Sprint(i, "-", k), State: journal.Invoked, Paths: []string{string(make([]byte, 4000))}}); err != nil {
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
	if err := j.Add(journal.Line{Session: "s", Call: "one", State: journal.Invoked, Paths: []string{"a"}}); err != nil {
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
	j := journal.Of(t.TempDir(), "/w")
	for _, l := range []journal.Line{
		at(10_000, journal.Told, "", ""),
		at(20_000, journal.Invoked, "a", "edit"), at(21_000, journal.Returned, "a", "edit", journal.File{Path: "x", SHA256: "aa"}),
		at(30_000, journal.Invoked, "b", "shell"), at(35_000, journal.Returned, "b", "shell"),
		at(40_000, journal.Invoked, "c", "shell"), at(41_000, journal.Denied, "c", "shell"),
		at(50_000, journal.Invoked, "d", "shell"), at(60_000, journal.Told, "", ""),
		at(70_000, journal.Invoked, "e", "mcp"),
	} {
		if err := j.Add(l); err != nil {
			t.Fatal(err)
		}
	}
	r, err := j.Receipts(time.UnixMilli(10_000_000))
	if err != nil || r.Since != 10_000 {
		t.Fatal(r.Since, err)
	}
	for _, c := range []struct {
		path, sum string
		at        int64
		told      bool
	}{
		{"x", "aa", 99_000_000, true},
		{"x", "bb", 20_500, false},
		{"y", "aa", 20_500, false},
		{"y", "q", 30_000, true},
		{"y", "q", 35_040, true},
		{"y", "q", 36_000, false},
		{"y", "q", 40_500, false},
		{"y", "q", 55_000, true},
		{"y", "q", 61_000, false},
		{"y", "q", 100_000, true},
		{"y", "q", 670_000, true},
		{"y", "q", 671_000, false},
	} {
		if got := r.Covers(c.path, c.sum, c.at); got != c.told {
			t.Errorf("%s %s at %d: %v", c.path, c.sum, c.at, got)
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
