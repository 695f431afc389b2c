package canonical_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gowebpki/jcs"

	"github.com/open-covenant/covenant-git/envelope/canonical"
)

const vectors = "../../testdata/vectors/canonical"

// reasons maps the first word of a rejected vector's name to the error it must give.
var reasons = map[string]error{
	"syntax":    canonical.ErrSyntax,
	"duplicate": canonical.ErrDuplicate,
	"order":     canonical.ErrOrder,
	"number":    canonical.ErrNumber,
	"utf8":      canonical.ErrUTF8,
	"depth":     canonical.ErrDepth,
	"trailing":  canonical.ErrTrailing,
	"escape":    canonical.ErrEscape,
	"space":     canonical.ErrSpace,
}

// readVectors returns the documents of one folder by name, and fails when there are none.
func readVectors(t testing.TB, folder string) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(vectors, folder, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		t.Fatalf("no vectors in %s/%s", vectors, folder)
	}
	docs := make(map[string][]byte, len(paths))
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		docs[strings.TrimSuffix(filepath.Base(path), ".json")] = b
	}
	return docs
}

func TestAcceptedVectors(t *testing.T) {
	for name, b := range readVectors(t, "accept") {
		if err := canonical.Check(b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if out, err := jcs.Transform(b); err != nil || string(out) != string(b) {
			t.Errorf("%s: the independent implementation gives %q, %v", name, out, err)
		}
		var v any
		if err := canonical.Unmarshal(b, &v); err != nil {
			t.Errorf("%s: Unmarshal: %v", name, err)
		} else if again, err := canonical.Marshal(v); err != nil || string(again) != string(b) {
			t.Errorf("%s: Marshal gives %q, %v", name, again, err)
		}
	}
}

func TestRejectedVectors(t *testing.T) {
	seen := make(map[string]bool)
	for name, b := range readVectors(t, "reject") {
		reason, _, _ := strings.Cut(name, "-")
		want, ok := reasons[reason]
		if !ok {
			t.Errorf("%s: the name does not begin with a known reason", name)
			continue
		}
		seen[reason] = true
		err := canonical.Check(b)
		if !errors.Is(err, want) {
			t.Errorf("%s: Check gives %v, want %v", name, err, want)
		}
		var v any
		if err := canonical.Unmarshal(b, &v); !errors.Is(err, want) {
			t.Errorf("%s: Unmarshal gives %v, want %v", name, err, want)
		}
		for other, sentinel := range reasons {
			if other != reason && errors.Is(err, sentinel) {
				t.Errorf("%s: the error is also %v", name, sentinel)
			}
		}
	}
	for reason := range reasons {
		if !seen[reason] {
			t.Errorf("no vector for the reason %q", reason)
		}
	}
}

// Every truncation of a canonical object or array, and every byte appended to it, is refused.
func TestEveryPrefixIsRefused(t *testing.T) {
	tried := 0
	for name, b := range readVectors(t, "accept") {
		if len(b) == 0 || (b[0] != '{' && b[0] != '[' && b[0] != '"') {
			continue
		}
		for n := range len(b) {
			tried++
			if canonical.Check(b[:n]) == nil {
				t.Errorf("%s: the first %d bytes pass", name, n)
			}
		}
		for c := range 256 {
			if canonical.Check(append(b[:len(b):len(b)], byte(c))) == nil {
				t.Errorf("%s: passes with byte %#x appended", name, c)
			}
		}
	}
	if tried == 0 {
		t.Fatal("no vector was cut")
	}
}

func TestCheckAllocatesNothing(t *testing.T) {
	doc := statement(t)
	if n := testing.AllocsPerRun(100, func() {
		if err := canonical.Check(doc); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestErrorNamesTheByte(t *testing.T) {
	err := canonical.Check([]byte(`{"b":1,"a":2}`))
	if err == nil || !strings.Contains(err.Error(), "byte 7:") {
		t.Errorf("%v does not name byte 7", err)
	}
}
