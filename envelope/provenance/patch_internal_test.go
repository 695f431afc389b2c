package provenance

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func lines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "line %d\n", i)
	}
	return b.String()
}

func TestPatch(t *testing.T) {
	base := lines(40)
	edited := strings.Replace(base, "line 20\n", "line twenty\n", 1)
	p := func(old, now string) string { return Patch("a.txt", "100644", "100644", []byte(old), []byte(now)) }
	want := p(base, edited)
	if len(want) != 64 {
		t.Fatalf("digest %q", want)
	}
	above := "new first line\n" // the same edit, further down in the file
	if got := p(above+base, above+edited); got != want {
		t.Error("an edit has another digest when lines above it moved")
	}
	for name, got := range map[string]string{
		"the reverse":       p(edited, base),
		"another path":      Patch("b.txt", "100644", "100644", []byte(base), []byte(edited)),
		"another mode":      Patch("a.txt", "100644", "100755", []byte(base), []byte(edited)),
		"white space":       p(base, strings.Replace(base, "line 20\n", "line  20\n", 1)),
		"other context":     p(strings.Replace(base, "line 18\n", "other\n", 1), strings.Replace(edited, "line 18\n", "other\n", 1)),
		"no newline at end": p(base, strings.TrimSuffix(edited, "\n")),
	} {
		if got == want {
			t.Errorf("%s has the same digest", name)
		}
	}
	for want, got := range map[string]string{
		IsBinary: p("a\x00b", "c"),
		TooLarge: p(base, strings.Repeat("x", MaxPatchContent+1)),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := p(lines(3000), strings.ReplaceAll(lines(3000), "line", "word")); got != TooLarge {
		t.Errorf("over the limit of edits: %q", got)
	}
}

// FuzzEditScript: a script turns the old lines into the new ones, and keeps only what is equal.
func FuzzEditScript(f *testing.F) {
	f.Add("a\nb\nc\n", "a\nc\nd\n")
	f.Add("", "x")
	f.Add("same", "same")
	f.Fuzz(func(t *testing.T, old, now string) {
		a, b := splitLines([]byte(old)), splitLines([]byte(now))
		script, ok := editScript(a, b)
		if !ok {
			return
		}
		var x, y bytes.Buffer
		for _, e := range script {
			switch e.op {
			case ' ':
				if !bytes.Equal(a[e.a], b[e.b]) {
					t.Fatalf("kept %q as %q", a[e.a], b[e.b])
				}
				x.Write(a[e.a])
				y.Write(b[e.b])
			case '-':
				x.Write(a[e.a])
			case '+':
				y.Write(b[e.b])
			}
		}
		if x.String() != old || y.String() != now {
			t.Fatalf("%q → %q became %q → %q", old, now, x.String(), y.String())
		}
	})
}
