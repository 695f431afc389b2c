//go:build unix

package handoff

import (
	"errors"
	"syscall"
)

// notDir reports whether a path could not be looked at since something on its way is no directory.
func notDir(err error) bool { return errors.Is(err, syscall.ENOTDIR) }
