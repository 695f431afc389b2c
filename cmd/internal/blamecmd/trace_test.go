package blamecmd

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/oid"
)

const vectors = "../../../testdata/vectors/agent-trace"

func files(t testing.TB, folder string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(vectors, folder, "*.jsonl"))
	if err != nil || len(list) == 0 {
		t.Fatalf("no vectors in %s: %v", folder, err)
	}
	return list
}

func at(t testing.TB, line int) *blamed {
	t.Helper()
	id, err := oid.Parse("1111111111111111111111111111111111111111")
	if err != nil {
		t.Fatal(err)
	}
	return &blamed{commit: id, origin: line, number: line + 100, path: "src/a.go"}
}

func TestTraceVectors(t *testing.T) {
	want := map[string]string{"conversation.jsonl": "ai anthropic/claude", "range-contributor.jsonl": "human"}
	for _, f := range files(t, "accept") {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		c, err := readClaims(b)
		if err != nil || c.of(at(t, 2)) != want[filepath.Base(f)] || c.of(at(t, 1)) != "" || c.of(at(t, 4)) != "" {
			t.Errorf("%s: %q, %v", f, c.of(at(t, 2)), err)
		}
	}
	for _, f := range files(t, "reject") {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := readClaims(b); !errors.Is(err, errTrace) {
			t.Errorf("%s: %v", f, err)
		}
	}
}

// TestTraceOfOurs: what is written is read, and says the same of each line.
func TestTraceOfOurs(t *testing.T) {
	people := []verdict.Principal{{Name: "ada", Kind: "human", Accountable: "ada"}, {Name: "coder", Kind: "agent", Accountable: "ada"}}
	made := [][]verdict.Principal{people[:1], people[1:], people[1:], people, people[:1]}
	say := []string{"human", "ai", "ai", "mixed", "unknown"}
	var lines []blamed
	for i := range made {
		l := *at(t, i+1)
		l.number = i + 1
		lines = append(lines, l)
	}
	r := trace("src/a.go", "1111111111111111111111111111111111111111", "2026-01-01T00:00:00Z", lines, func(l *blamed) (*verdict.Result, []verdict.Principal, *work.Call) {
		v := verdict.Sealed
		if l.number == 5 {
			v = verdict.Invalid
		}
		return &verdict.Result{Verdict: v}, made[l.number-1], nil
	})
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	c, err := readClaims(b)
	if err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	for i, want := range say {
		if got := c.of(at(t, i+1)); got != want {
			t.Errorf("line %d: %q, want %q", i+1, got, want)
		}
	}
}

// FuzzTrace: what is read names lines from 1 on and a kind of contributor that the format has.
func FuzzTrace(f *testing.F) {
	for _, folder := range []string{"accept", "reject"} {
		for _, name := range files(f, folder) {
			b, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := readClaims(b)
		if err != nil {
			return
		}
		for _, list := range c {
			for _, x := range list {
				if x.start < 1 || x.end < x.start || (x.Type != "human" && x.Type != "ai" && x.Type != "mixed" && x.Type != "unknown") {
					t.Fatalf("%+v", x)
				}
			}
		}
	})
}
