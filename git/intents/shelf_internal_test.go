package intents

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/envelope/intent"
)

// random returns rows of all kinds, in no order.
func random(n int) *shelf {
	r := rand.New(rand.NewPCG(1, uint64(n))) //nolint:gosec // to be the same each time
	s := &shelf{}
	for i := range n {
		row := Row{
			ID: intent.ID(fmt.Sprintf("%032x", r.Uint64())), State: intent.States[r.IntN(len(intent.States))], Priority: intent.Priorities[r.IntN(len(intent.Priorities))],
			Title: "a title", Opened: fmt.Sprintf("2026-01-%02dT00:00:00Z", 1+r.IntN(28)), Opener: "ada", Trail: "Aa0.Bb1", at: place{int64(i), i + 1, "5e"},
		}
		if r.IntN(2) == 0 {
			row.Name = fmt.Sprintf("name-%d", r.IntN(1000))
		}
		if r.IntN(5) == 0 {
			row.Void, row.Trail = "nobody opened it", ""
		}
		row.unseen, row.judged = r.IntN(2) == 0, r.IntN(3) == 0
		s.add(row)
	}
	for i := range n / 4 { // some need others, which may need them
		row := *s.at(i)
		row.Needs = []intent.ID{s.id(r.IntN(n)), s.id(r.IntN(n))}
		s.put(i, row)
	}
	return s
}

func TestShelfComesBack(t *testing.T) {
	was := random(500)
	was.sort()
	var out bytes.Buffer
	was.encode(&out)
	now, ok := newShelf(out.String(), was.len())
	if !ok {
		t.Fatal("it can't be read")
	}
	for i := range was.len() {
		a, b := was.brief(i), now.brief(i)
		a.needs, b.needs = "", b.needs[:0]
		if !reflect.DeepEqual(a, b) || now.id(i) != was.id(i) || now.trail(i) != was.trail(i) {
			t.Fatalf("%+v became %+v", a, b)
		}
		if !reflect.DeepEqual(was.at(i), now.at(i)) {
			t.Fatalf("%+v became %+v", was.at(i), now.at(i))
		}
		if i > 0 && (now.at(i).Opened < now.at(i-1).Opened) {
			t.Fatalf("row %d was opened before the one before it", i)
		}
	}
	row := *now.at(7)
	row.Title, row.at.len = "a\ttab\nand a line", 9
	now.put(7, row)
	out.Reset()
	now.encode(&out)
	again, ok := newShelf(out.String(), now.len())
	if !ok || again.at(7).Title != "a tab and a line" || again.at(8).ID != now.at(8).ID {
		t.Fatal("a row that was changed is another one")
	}
	whole := out.String()
	for name, text := range map[string]string{
		"a line less": whole[strings.IndexByte(whole, '\n')+1:], "a line more": whole + whole[:strings.IndexByte(whole, '\n')+1],
		"a field less": strings.Replace(whole, "\t", "", 1), "a field more": strings.Replace(whole, "\t", "\t\t", 1), "nothing": "",
	} {
		if _, ok := newShelf(text, now.len()); ok {
			t.Errorf("%s: it is read", name)
		}
	}
	if _, ok := newShelf("", -1); ok {
		t.Error("fewer rows than none")
	}
}

// The first few of those that may be worked on are the beginning of all of them, in the order that is promised.
func TestNextBegins(t *testing.T) {
	b := &Book{rows: random(500)}
	b.rows.sort()
	all, total, waiting := b.Next(1000, nil)
	if len(all) != total || total == 0 || waiting == 0 {
		t.Fatalf("%d of %d, %d wait", len(all), total, waiting)
	}
	key := func(c Candidate) string {
		return fmt.Sprintf("%03d %d %s", 999-c.Rank, 9-slices.Index(intent.Priorities, c.Priority), called(c.Row))
	}
	for i := 1; i < len(all); i++ {
		if key(all[i]) < key(all[i-1]) {
			t.Fatalf("%s comes after %s", key(all[i]), key(all[i-1]))
		}
		if same := all[i].Rank == all[i-1].Rank && all[i].Priority == all[i-1].Priority; all[i].First == same || same && all[i].Same != all[i-1].Same {
			t.Fatalf("number %d is told to be first: %v, of %d", i, all[i].First, all[i].Same)
		}
	}
	for _, n := range []int{0, 1, 2, 7, total - 1} {
		some, of, _ := b.Next(n, nil)
		if of != total || len(some) != n {
			t.Fatalf("the first %d are %d of %d", n, len(some), of)
		}
		for i := range some {
			if key(some[i]) != key(all[i]) {
				t.Fatalf("of %d, number %d is %s, of all %s", n, i, key(some[i]), key(all[i]))
			}
		}
	}
	blocked, of, _ := b.Next(1000, func(s intent.State) bool { return s == intent.Repair })
	if of == 0 || slices.ContainsFunc(blocked, func(c Candidate) bool { return c.State != intent.Repair }) {
		t.Fatalf("%d, of them some in another state", of)
	}
}

func called(r *Row) string {
	if r.Name != "" {
		return r.Name
	}
	return string(r.ID)
}
