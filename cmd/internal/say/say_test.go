package say_test

import (
	"errors"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/open-covenant/covenant-git/cmd/internal/say"
)

func TestName(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"src/main.go", "src/main.go"},
		{"two words", "two words"},
		{`back\slash`, `back\slash`},
		{"naïve/日本.txt", "naïve/日本.txt"},
		{"שלום", "שלום"},
		{"", `""`},
		{" lead", `" lead"`},
		{"trail ", `"trail "`},
		{`"quoted"`, `"\"quoted\""`},
		{"a\nb", `"a\nb"`},
		{"\x1b[2J", `"\x1b[2J"`},
		{"bell\a", `"bell\a"`},
		{"\x7f", `"\x7f"`},
		{"c1\u009b31m", `"c1\u009b31m"`},
		{"exe\u202etxt.go", `"exe\u202etxt.go"`},
		{"\u2066x\u2069", `"\u2066x\u2069"`},
		{"zero\u200bwidth", `"zero\u200bwidth"`},
		{"bad\xff", `"bad\xff"`},
		{"nbsp\u00a0", `"nbsp\u00a0"`},
	} {
		if got := say.Name(c.in); got != c.want {
			t.Errorf("Name(%q) = %s, want %s", c.in, got, c.want)
		}
	}
}

func TestClean(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"one\n\ttwo", "one\n\ttwo"},
		{"over\rwrite", `over\rwrite`},
		{"\x1b]0;title\x07", `\x1b]0;title\a`},
		{"bad\xff\xfe.", `bad\xff\xfe.`},
		{"\u3164", `\u3164`},
		{"a\u202eb", `a\u202eb`},
	} {
		if got := say.Clean(c.in); got != c.want {
			t.Errorf("Clean(%q) = %q, want %q", c.in, got, c.want)
		}
	}
	if got, want := say.Line("a\nb\tc"), `a\nb\tc`; got != want {
		t.Errorf("Line = %q, want %q", got, want)
	}
}

// FuzzText: whatever the bytes, what is shown is harmless, and a quoted name can
// be read back.
func FuzzText(f *testing.F) {
	for _, s := range []string{"a", "\x1b[31m", "\u202e", "\xff", "a\nb", `"`, "'", "$(x)", "\u3164"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		harmless(t, say.Name(s), "")
		harmless(t, say.Line(s), "")
		harmless(t, say.Clean(s), "\n\t")
		name := say.Name(s)
		if strings.HasPrefix(name, `"`) {
			back, err := strconv.Unquote(name)
			if err != nil || back != s {
				t.Errorf("Name(%q) = %s reads back as %q, %v", s, name, back, err)
			}
		} else if name != s {
			t.Errorf("Name(%q) = %s, neither quoted nor the same", s, name)
		}
	})
}

func harmless(t *testing.T, shown, allowed string) {
	t.Helper()
	if !utf8.ValidString(shown) {
		t.Errorf("%q is no UTF-8", shown)
	}
	for _, r := range shown {
		if !unicode.IsPrint(r) && !strings.ContainsRune(allowed, r) {
			t.Errorf("%q shows %U raw", shown, r)
		}
	}
}

func TestShell(t *testing.T) {
	sh, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash to read the words back")
	}
	for _, s := range []string{
		"", "plain", "a b", "it's", "$HOME", "`x`", `back\slash`, "~root", "~", "a~b", "#c", "!e", "{a,b}", "*?[x]",
		"new\nline", "tab\t", "esc\x1b'\\", "\xff\xfe1", "ünï", "\u202e", "\x7f", "-n", "a;b", "a&b", "=x", "a=b",
	} {
		out, err := exec.Command(sh, "-c", "printf %s "+say.Shell(s)).Output()
		if s == "-n" { // printf's own option, not the shell's
			continue
		}
		if err != nil || string(out) != s {
			t.Errorf("bash reads Shell(%q) = %s as %q, %v", s, say.Shell(s), out, err)
		}
	}
}

func TestTalker(t *testing.T) {
	var b strings.Builder
	w := say.New(&b, say.Options{Prefix: "covenant: "})
	w.Note("sealed %s", say.Name("a\x1b"))
	w.Warn("odd\r")
	w.Error(errors.New("first\nsecond"))
	w.Hint("one", "two")
	w.Error(errors.New("the server says: a ##[add-mask]b ## c\n  ::stop-commands::x\n##vso[task.setvariable variable=A]b\nd::e"))
	want := `covenant: sealed "a\x1b"
covenant: warning: odd\r
covenant: error: first
covenant:   second
covenant: hint: one
covenant: hint: two
covenant: error: the server says: a ##\[add-mask]b ## c
covenant:   \::stop-commands::x
covenant:   ##vso\[task.setvariable variable=A]b
covenant:   d::e
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

func TestColour(t *testing.T) {
	var b strings.Builder
	say.New(&b, say.Options{Colour: true}).Error(errors.New("no \x1b[0m"))
	if got, want := b.String(), "\x1b[31merror: \x1b[0mno \\x1b[0m\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := say.Palette(false).Good("ok"); got != "ok" {
		t.Errorf("a palette without colour paints: %q", got)
	}
}

func TestProgress(t *testing.T) {
	var b strings.Builder
	now := time.Unix(0, 0)
	talk := say.New(&b, say.Options{Progress: true, Width: 60, Now: func() time.Time { return now }})
	p := talk.Progress("seal", 100)

	now = now.Add(400 * time.Millisecond)
	p.Add(1)
	if b.Len() != 0 {
		t.Fatalf("short work shows %q", b.String())
	}
	now = now.Add(600 * time.Millisecond)
	p.Add(24)
	if want := "\r\x1b[Kseal [######..................] 25/100, 3s left"; b.String() != want {
		t.Fatalf("got %q, want %q", b.String(), want)
	}
	b.Reset()
	now = now.Add(50 * time.Millisecond)
	p.Add(1)
	if b.Len() != 0 {
		t.Fatalf("drawn again after 50 ms: %q", b.String())
	}
	talk.Note("line")
	if want := "\r\x1b[Kline\n"; b.String() != want {
		t.Fatalf("got %q, want %q", b.String(), want)
	}
	b.Reset()
	now = now.Add(time.Second)
	p.Add(10)
	p.Done()
	p.Done()
	p.Add(1)
	if !strings.HasSuffix(b.String(), "\r\x1b[K") || strings.Count(b.String(), "\r\x1b[K") != 2 {
		t.Fatalf("got %q, want one line, taken away once", b.String())
	}

	b.Reset()
	talk = say.New(&b, say.Options{Now: func() time.Time { return now }})
	p = talk.Progress("seal", 2)
	now = now.Add(time.Hour)
	p.Add(1)
	p.Done()
	if b.Len() != 0 {
		t.Errorf("no terminal, but %q", b.String())
	}
	var none *say.Progress
	none.Add(1)
	none.Add(1)
	none.Done()
}

func TestProgressFits(t *testing.T) {
	var b strings.Builder
	now := time.Unix(0, 0)
	talk := say.New(&b, say.Options{Progress: true, Width: 10, Now: func() time.Time { return now }})
	p := talk.Progress(strings.Repeat("ü", 40)+"\x1b", 0)
	now = now.Add(time.Minute)
	p.Add(7)
	if want := "\r\x1b[K" + strings.Repeat("ü", 9); b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}
