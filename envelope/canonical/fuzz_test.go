package canonical_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"slices"
	"testing"
	"unicode/utf16"

	"github.com/gowebpki/jcs"

	"github.com/open-covenant/covenant-git/envelope/canonical"
)

func seed(f *testing.F) {
	for _, folder := range []string{"accept", "reject"} {
		for _, b := range readVectors(f, folder) {
			f.Add(b)
		}
	}
}

// FuzzCheck: a document passes exactly if an independent canonicalizer leaves it as it is and an
// independent reader finds only plain integers and at most MaxDepth levels in it.
func FuzzCheck(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		out, err := jcs.Transform(b)
		want := err == nil && bytes.Equal(out, b) && restricted(b)
		if got := canonical.Check(b); (got == nil) != want {
			t.Fatalf("Check(%q) = %v; independent answer %v (%v)", b, got, want, err)
		}
	})
}

// restricted reports whether the JSON document b keeps to the limits that RFC 8785 does not have.
func restricted(b []byte) bool {
	limit := big.NewInt(1<<53 - 1)
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	for depth := 0; ; {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return true
		}
		if err != nil {
			return false
		}
		switch token := token.(type) {
		case json.Delim:
			if token == '{' || token == '[' {
				depth++
			} else {
				depth--
			}
			if depth > canonical.MaxDepth {
				return false
			}
		case json.Number:
			n, ok := new(big.Int).SetString(token.String(), 10)
			if !ok || n.String() != token.String() || n.CmpAbs(limit) > 0 {
				return false
			}
		}
	}
}

// FuzzRoundTrip: what is read encodes to the bytes it was read from, and Marshal of any JSON either
// fails or gives a document that passes, that says the same, and that is a fixed point.
func FuzzRoundTrip(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		var v any
		if canonical.Unmarshal(b, &v) == nil {
			again, err := canonical.Marshal(v)
			if err != nil || !bytes.Equal(again, b) {
				t.Fatalf("Marshal(Unmarshal(%q)) = %q, %v", b, again, err)
			}
		}
		if !json.Valid(b) {
			return
		}
		out, err := canonical.Marshal(json.RawMessage(b))
		if err != nil {
			return
		}
		if err := canonical.Check(out); err != nil {
			t.Fatalf("Marshal gave %q: %v", out, err)
		}
		if want, err := jcs.Transform(b); err != nil || !bytes.Equal(out, want) {
			t.Fatalf("Marshal(%q) = %q; independent answer %q, %v", b, out, want, err)
		}
	})
}

// FuzzOrder: two names may follow each other exactly if their UTF-16 code units say so.
func FuzzOrder(f *testing.F) {
	for _, s := range []string{"", "a", "A", "\ufb33", "😀", "\U00010000", "\U00010001", "\ue000", "\n", "\t", "\x00", "\x1f", "\"", "\\", "!", "é", "e\u0301"} {
		f.Add(s, "a")
		f.Add("😀", s)
		f.Add("\u20ac"+s, "\u20ac\n")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		ja, errA := canonical.Marshal(a)
		jb, errB := canonical.Marshal(b)
		if errA != nil || errB != nil {
			return
		}
		want := slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
		err := canonical.Check(slices.Concat([]byte("{"), ja, []byte(":0,"), jb, []byte(":0}")))
		switch {
		case want < 0 && err == nil, want == 0 && errors.Is(err, canonical.ErrDuplicate), want > 0 && errors.Is(err, canonical.ErrOrder):
		default:
			t.Fatalf("%q before %q: %v; UTF-16 order %d", a, b, err, want)
		}
	})
}
