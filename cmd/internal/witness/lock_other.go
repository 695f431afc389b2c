//go:build !unix

package witness

import (
	"errors"
	"os"
)

// lockFile refuses: where a memory cannot be locked, two witnesses could cosign from it at once.
func lockFile(string) (*os.File, error) {
	return nil, errors.New("a witness is served on Unix only")
}
