//go:build unix

package audit_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/open-covenant/covenant-git/envelope/release"
	"github.com/open-covenant/covenant-git/git/audit"
)

// Files are compared by their bytes, and nothing but files is opened.
func TestArtifacts(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	list, err := audit.Artifacts(os.DirFS(dir))
	if err != nil || len(list) != 1 || list[0].Size != 1 {
		t.Fatalf("%+v %v", list, err)
	}
	st := &release.Statement{Predicate: release.Predicate{Artifacts: list}}
	if wrong := audit.CheckArtifacts(os.DirFS(dir), st); len(wrong) > 0 {
		t.Errorf("%+v", wrong)
	}
	if err := os.Remove(filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "a"), 0o644); err != nil {
		t.Skip(err)
	}
	if wrong := audit.CheckArtifacts(os.DirFS(dir), st); len(wrong) != 1 { // else it would wait for ever
		t.Errorf("%+v", wrong)
	}
	if _, err := audit.Artifacts(os.DirFS(dir)); err == nil {
		t.Error("a pipe is a file of a release")
	}
}
