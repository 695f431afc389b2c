//go:build unix

package identity_test

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/envelope/identity"
)

// A pipe in the place of a key does not make a hook wait for its writer.
func TestPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := identity.LoadFile(path, nil)
		done <- err
	}()
	select {
	case err := <-done:
		if !errors.Is(err, identity.ErrKeyFormat) {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("LoadFile waits at a pipe")
	}
}
