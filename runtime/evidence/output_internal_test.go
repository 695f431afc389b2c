package evidence

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/open-covenant/covenant-git/envelope/evidence"
)

// keep is what is kept of an output that comes in pieces of some size.
func keep(t testing.TB, text []byte, piece int) *keeper {
	t.Helper()
	k := newKeeper()
	for part := range slices.Chunk(text, piece) {
		if n, err := k.Write(part); n != len(part) || err != nil {
			t.Fatal(n, err)
		}
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	return k
}

// What is said of an output is UTF-8, says the same however it came, and has the digest of what is kept.
func FuzzKeeper(f *testing.F) {
	for _, seed := range []string{"", "plain", "a\xffb", "\xe2\x82", "\xe2\x82\xac\xf0\x9f\x98\x80", "\xff\xff\xff", strings.Repeat("€", evidence.MaxHead), "\xed\xa0\x80\xc0\x80"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		all := keep(t, text, max(1, len(text)))
		for _, piece := range []int{1, 2, 3, 5, 4096} {
			if got := keep(t, text, piece).output(nil); got != all.output(nil) {
				t.Fatalf("in pieces of %d: %+v, want %+v", piece, got, all.output(nil))
			}
		}
		out, want := all.output(nil), string([]rune(string(text)))
		if string(all.begin) != want || out.Lossy == utf8.Valid(text) || out.SHA256 != evidence.Sum(all.begin) || !utf8.ValidString(out.Head+out.Tail) {
			t.Fatalf("%q became %q, %+v", text, all.begin, out)
		}
	})
}

// Of an output that is too long both ends are kept with what stands beside them, of whole characters and within the limits.
func TestKeeperOfMuch(t *testing.T) {
	text := []byte("x" + strings.Repeat("€", maxKept/3) + "ends")
	for _, piece := range []int{1000, 32 << 10, len(text)} {
		k := keep(t, text, piece)
		out := k.output(nil)
		begin, end := k.shown()
		for shown, most := range map[string]int{begin: evidence.MaxHead + beside, end: evidence.MaxTail + beside} {
			if !k.long() || len(shown) > most || len(shown) < most-utf8.UTFMax || !utf8.ValidString(shown) {
				t.Fatalf("%d bytes are shown", len(shown))
			}
		}
		if out.Bytes != uint64(len(text)) || out.SHA256 != evidence.Sum(text) || out.Lossy {
			t.Fatalf("%+v", out)
		}
		if len(out.Head) > evidence.MaxHead || len(out.Tail) > evidence.MaxTail || !utf8.ValidString(out.Head) || !utf8.ValidString(out.Tail) ||
			!strings.HasPrefix(string(text), out.Head) || !strings.HasSuffix(string(text), out.Tail) || len(out.Head)+len(out.Tail) < evidence.MaxHead+evidence.MaxTail-2*utf8.UTFMax {
			t.Fatalf("%d bytes of head, %d of tail", len(out.Head), len(out.Tail))
		}
	}
}
