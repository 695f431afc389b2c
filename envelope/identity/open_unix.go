//go:build unix

package identity

import (
	"os"
	"syscall"
)

// modeCounts says that permission bits mean what they say.
const modeCounts = true

// openNoFollow opens a file for reading unless it is a symbolic link, without waiting at a pipe.
func openNoFollow(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, refuseLink(path, err)
	}
	return f, nil
}
