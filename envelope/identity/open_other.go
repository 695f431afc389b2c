//go:build !unix

package identity

import (
	"fmt"
	"os"
)

// modeCounts says that permission bits mean what they say.
const modeCounts = false

// openNoFollow opens a file for reading unless it is a symbolic link, also when it becomes one
// meanwhile.
func openNoFollow(path string) (*os.File, error) {
	before, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if err := refuseLink(path, nil); err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	after, err := f.Stat()
	if err == nil && !os.SameFile(before, after) {
		err = fmt.Errorf("%s: %w", path, ErrSymlink)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
