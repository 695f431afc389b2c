package blamecmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

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
		c, err := readClaims(t.Context(), b)
		got := said(t, c, []blamed{*at(t, 1), *at(t, 2), *at(t, 4)})
		if err != nil || !slices.Equal(got, []string{"", want[filepath.Base(f)], ""}) {
			t.Errorf("%s: %q, %v", f, got, err)
		}
	}
	for _, f := range files(t, "reject") {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := readClaims(t.Context(), b); !errors.Is(err, errTrace) {
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
	r := trace("src/a.go", "1111111111111111111111111111111111111111", "2026-01-01T00:00:00Z", nil, lines, func(l *blamed) (*verdict.Result, []verdict.Principal, *work.Call) {
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
	c, err := readClaims(t.Context(), b)
	if err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	if got := said(t, c, lines); !slices.Equal(got, say) {
		t.Errorf("%q, want %q", got, say)
	}
}

// TestTraceTellsMakersApart: lines of one commit that an agent and a human made are not said to be of one of them.
func TestTraceTellsMakersApart(t *testing.T) {
	ada, coder := verdict.Principal{Name: "ada", Kind: "human", Accountable: "ada"}, verdict.Principal{Name: "coder", Kind: "agent", Accountable: "ada"}
	var lines []blamed
	for i := range 4 {
		l := *at(t, i+1)
		l.number = i + 1
		lines = append(lines, l)
	}
	r := trace("a", "1", "2026-01-01T00:00:00Z", nil, lines, func(l *blamed) (*verdict.Result, []verdict.Principal, *work.Call) {
		made := []verdict.Principal{ada}
		if l.number > 2 {
			made[0] = coder
		}
		return &verdict.Result{Verdict: verdict.Sealed}, made, nil
	})
	var got []string
	for _, x := range r.Metadata["covenant"] {
		a := x.(*attribution)
		got = append(got, fmt.Sprintf("%d-%d %s", a.Start, a.End, strings.Join(a.Principals, ",")))
	}
	if want := []string{"1-2 ada", "3-4 coder"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func said(t testing.TB, c claims, lines []blamed) []string {
	t.Helper()
	out, err := c.words(t.Context(), lines)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestClaimsOfLines: of each line the words are told that somebody who looks at every claim would find, sorted, up to some.
func TestClaimsOfLines(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		c := claims{}
		var lines []blamed
		for i := range 12 {
			if rng.IntN(4) > 0 {
				lines = append(lines, *at(t, i+1))
			}
		}
		rng.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
		key := at(t, 1).commit.String() + "\x00src/a.go"
		for range rng.IntN(60) {
			from := 1 + rng.IntN(12)
			c[key] = append(c[key], claim{from, from + rng.IntN(8), contributor{"ai", fmt.Sprintf("m%02d", rng.IntN(20))}})
		}
		got := said(t, c, lines)
		for i := range lines {
			var want []string
			for _, x := range c[key] {
				if x.start <= lines[i].origin && lines[i].origin <= x.end {
					want = append(want, x.word())
				}
			}
			slices.Sort(want)
			if want = slices.Compact(want); len(want) > maxWords {
				want = append(want[:maxWords], "…")
			}
			if got[i] != strings.Join(want, ", ") {
				t.Fatalf("line %d: %q, want %q", lines[i].origin, got[i], want)
			}
		}
	}
}

// TestManyClaims: however many claims cover all lines, what is told of one is short, and soon there.
func TestManyClaims(t *testing.T) {
	key := at(t, 1).commit.String() + "\x00src/a.go"
	c := claims{}
	for i := range 200_000 {
		c[key] = append(c[key], claim{1, 999_999, contributor{"ai", strconv.Itoa(i)}})
	}
	var lines []blamed
	for i := range 20_000 {
		lines = append(lines, *at(t, i+1))
	}
	began := time.Now()
	got := said(t, c, lines)
	if len(got[0]) > 100 || !strings.HasSuffix(got[19_999], ", …") || time.Since(began) > 20*time.Second {
		t.Errorf("%q after %v", got[0], time.Since(began))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.words(ctx, lines); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want that it ends when it is told to", err)
	}
	if _, err := readClaims(t.Context(), fmt.Appendf(nil, `{"version":"0.1.0","id":"x","vcs":{"type":"git","revision":"%040d"},"files":[{"path":"a","conversations":[{"ranges":[{"start_line":1,"end_line":1,"contributor":{"type":"ai","model_id":"%0251d"}}]}]}]}`, 1, 1)); !errors.Is(err, errTrace) {
		t.Errorf("a model's name of 251 bytes: %v", err)
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
		c, err := readClaims(t.Context(), b)
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
