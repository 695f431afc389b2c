//go:build unix

package hooks

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestSame: what comes into the place of a file after it was looked at is not read, and not waited for.
func TestSame(t *testing.T) {
	dir := t.TempDir()
	at, other := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	for _, f := range []string{at, other} {
		if err := os.WriteFile(f, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	looked, err := os.Lstat(at)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := readSame(at, looked, 8); err != nil || string(text) != "x" {
		t.Errorf("%q, %v", text, err)
	}
	for what, put := range map[string]func() error{
		"a pipe": func() error { return syscall.Mkfifo(at, 0o600) }, "a link": func() error { return os.Symlink(other, at) }, "another file": func() error { return os.WriteFile(at, []byte("y"), 0o600) }, "a folder": func() error { return os.Mkdir(at, 0o700) },
	} {
		if err := os.Rename(at, filepath.Join(dir, "was")); err != nil {
			t.Fatal(err)
		}
		if err := put(); err != nil {
			t.Fatal(err)
		}
		if text, err := readSame(at, looked, 8); !errors.Is(err, errSwapped) {
			t.Errorf("%s is read: %q, %v", what, text, err)
		}
		if err := errors.Join(os.RemoveAll(at), os.Rename(filepath.Join(dir, "was"), at)); err != nil {
			t.Fatal(err)
		}
	}
}
