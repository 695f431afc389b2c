package audit

import (
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/envelope/event"
)

// call is one that put these lines in, as the file was then.
func call(name string, from int, lines string) *Written {
	return &Written{Call: name, Ranges: []LineRange{{from, from + strings.Count(lines, "\n") - 1}}, hashes: event.LineHashes([]byte(lines))}
}

// TestPutIn: lines are found where they stand now, and are of who put them in last.
func TestPutIn(t *testing.T) {
	write := call("w", 1, "a\n{\n b\n}\n\n")
	for name, c := range map[string]struct {
		calls   []*Written // the last first
		content string
		want    string // a letter for each line, "." where nobody is known
	}{
		"as it was":                  {[]*Written{write}, "a\n{\n b\n}\n\n", "wwwww"},
		"moved down":                 {[]*Written{write}, "x\ny\na\n{\n b\n}\n\n", "..wwwww"},
		"others put lines between":   {[]*Written{write}, "a\nx\n{\n b\n}\n\n", "w.wwww"},
		"a later call put one in":    {[]*Written{call("e", 3, " c\n"), write}, "a\n{\n c\n}\n\n", "wwe.."},
		"punctuation alone is not":   {[]*Written{write}, "x\n}\n\n{\n", "...."},
		"the same lines twice":       {[]*Written{call("e", 9, "a\n"), write}, "a\nq\na\n{\n b\n}\n", "e.wwww"},
		"nothing of it is left":      {[]*Written{write}, "q\n", "."},
		"an end without a newline":   {[]*Written{call("w", 1, "a\nb\n")}, "a\nb", "ww"},
		"carriage returns":           {[]*Written{call("w", 1, "a\r\nb\r\n")}, "a\nb\n", "ww"},
		"an empty file":              {[]*Written{write}, "", ""},
		"ranges that lie are passed": {[]*Written{{Call: "w", Ranges: []LineRange{{1, 1 << 30}}, hashes: event.LineHashes([]byte("a\n"))}}, "a\n", "."},
	} {
		t.Run(name, func(t *testing.T) {
			var got strings.Builder
			for _, w := range PutIn(c.calls, []byte(c.content), nil) {
				if w == nil {
					got.WriteByte('.')
				} else {
					got.WriteString(w.Call)
				}
			}
			if got.String() != c.want {
				t.Errorf("%q, want %q", got.String(), c.want)
			}
		})
	}
}

// TestPutInByItsMaker: what somebody records who did not make a line takes no call from who did, and fills in where that one recorded none.
func TestPutInByItsMaker(t *testing.T) {
	content := "a\nb\nc\nd\n"
	by := func(who string, w *Written) *Written { w.By = who; return w }
	calls := []*Written{by("mallory", call("M", 1, content)), by("mallory", call("m", 1, "c\nd\n")), by("helper", call("h", 1, "b\nc\n")), by("ada", call("a", 1, content))}
	makers := [][]string{{"ada"}, {"helper"}, {"coder", "helper"}, {"nobody"}}
	got := ""
	for _, w := range PutIn(calls, []byte(content), func(line int) []string { return makers[line-1] }) {
		got += w.Call
	}
	if got != "ahhM" {
		t.Errorf("%q, want %q", got, "ahhM")
	}
}

// FuzzPutIn: each line gets a call or none, and whoever is named put in a line like it.
func FuzzPutIn(f *testing.F) {
	f.Add("a\nb\n", "a\nb\nc\n", 1)
	f.Add("}\n}\na\n", "a\n}\n}\n", 7)
	f.Fuzz(func(t *testing.T, put, content string, from int) {
		if len(put)+len(content) > 1<<16 || from < 1 || from > 1<<20 {
			return
		}
		w := call("w", from, put)
		out := PutIn([]*Written{w}, []byte(content), nil)
		i, hashes := 0, event.LineHashes([]byte(put))
		for l := range strings.Lines(content) {
			if out[i] != nil {
				h := event.LineHashes([]byte(l))
				found := false
				for k := 0; k < len(hashes); k += event.HashSize {
					found = found || hashes[k:k+event.HashSize] == h
				}
				if !found {
					t.Errorf("line %q is said to be put in by %q", l, put)
				}
			}
			i++
		}
		if i != len(out) {
			t.Errorf("%d lines, %d told", i, len(out))
		}
	})
}
