package blamecmd

import (
	"strings"
	"testing"
)

// TestParse: what git blame --porcelain says once holds for all lines of a commit, until it says otherwise.
func TestParse(t *testing.T) {
	one, two := strings.Repeat("1", 40), strings.Repeat("2", 40)
	lines, err := parse([]byte(one + " 1 1 2\nauthor A\nfilename a\n\tx\n" + one + " 2 2\n\t\ty\n" +
		two + " 7 3 1\nauthor B\nboundary\nfilename \"q\\\"\"\n\t\n" + one + " 9 4 1\nfilename b\n\tz\n" + one + " 3 5 1\nfilename a\n\tw\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []blamed{{number: 1, origin: 1, path: "a", text: "x"}, {number: 2, origin: 2, path: "a", text: "\ty"}, {number: 3, origin: 7, path: `q"`}, {number: 4, origin: 9, path: "b", text: "z"}, {number: 5, origin: 3, path: "a", text: "w"}}
	if len(lines) != len(want) {
		t.Fatalf("%d lines: %+v", len(lines), lines)
	}
	for i, l := range lines {
		id := l.commit.String()
		l.commit = want[i].commit
		if l != want[i] || (id == two) != (i == 2) {
			t.Errorf("line %d: %+v of %s", i, l, id)
		}
	}
	for _, bad := range []string{"\tx\n", one + " 1\n", one[1:] + " 1 1 1\n", one + " x 1 1\n"} {
		if _, err := parse([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}
