package hooks

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestSiteShifts: a link that leads to another place for each process is no place that a tool may write, since it would not be the one that we find.
func TestSiteShifts(t *testing.T) {
	if _, err := os.Readlink("/proc/self/cwd"); err != nil {
		t.Skip("no /proc here")
	}
	dir := t.TempDir()
	for name, to := range map[string]string{"cwd": "/proc/self/cwd", "fd": "/dev/fd", "twice": "cwd", "thread": "/proc/thread-self/root"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range []string{"cwd", "cwd/README.md", "twice/README.md", "fd/3/README.md", "thread/etc/x", "cwd/../x"} {
		if s, err := siteAt(dir + "/" + p); !errors.Is(err, errShift) {
			t.Errorf("%s is found at %+v, %v", p, s, err)
		}
	}
	if _, err := siteAt(filepath.Join(dir, "plain")); err != nil {
		t.Error(err)
	}
}
