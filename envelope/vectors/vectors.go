// Package vectors holds parsers of statements to the files of testdata/vectors, and fuzzes them from there. It is for tests.
//
// Below the directory of a format, accept and reject have a payload a file, and a newline. What is accepted is written as the same
// bytes; what is refused is named after its reason, and is a newer version exactly where the name begins so.
package vectors

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/envelope"
)

var update = flag.Bool("update", false, "write the vectors")

// Parse reads a payload, and returns it as it would be written.
type Parse func(payload []byte) (again []byte, err error)

// Hold holds a parser to the vectors in a directory. With -update they are written first: files are their texts by names such as
// accept/one.
func Hold(t *testing.T, dir string, files map[string]string, parse Parse) {
	t.Helper()
	if *update {
		for name, text := range files {
			file := filepath.Join(dir, name+".json")
			if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text+"\n"), 0o644)); err != nil { //nolint:gosec // they are in the repository
				t.Fatal(err)
			}
		}
	}
	for _, kind := range []string{"accept", "reject"} {
		for name, payload := range Read(t, filepath.Join(dir, kind)) {
			again, err := parse(payload)
			switch {
			case (err == nil) != (kind == "accept"):
				t.Errorf("%s/%s: %v", kind, name, err)
			case err == nil && !bytes.Equal(again, payload):
				t.Errorf("%s/%s is written as %s", kind, name, again)
			case strings.HasPrefix(name, "newer") != errors.Is(err, envelope.ErrNewer):
				t.Errorf("%s/%s: %v", kind, name, err)
			}
		}
	}
}

// Fuzz gives a parser what the vectors are made into: what parses is written as the same bytes.
func Fuzz(f *testing.F, dir string, parse Parse) {
	f.Helper()
	Seed(f, dir)
	f.Fuzz(func(t *testing.T, payload []byte) {
		if again, err := parse(payload); err == nil && !bytes.Equal(again, payload) {
			t.Errorf("%s is written as %s", payload, again)
		}
	})
}

// Seed adds the vectors to a fuzz target of one argument.
func Seed(f *testing.F, dir string) {
	f.Helper()
	for _, kind := range []string{"accept", "reject"} {
		for _, payload := range Read(f, filepath.Join(dir, kind)) {
			f.Add(payload)
		}
	}
}

// Read returns the payloads in a directory by name; there must be some.
func Read(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no vectors in %s: %v", dir, err)
	}
	out := make(map[string][]byte, len(files))
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimSuffix(filepath.Base(file), ".json")] = bytes.TrimSuffix(b, []byte("\n"))
	}
	return out
}
