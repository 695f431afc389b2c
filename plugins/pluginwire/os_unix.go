//go:build unix

package pluginwire

import (
	"errors"
	"os"
	"syscall"
)

func root() string { return "/" }

// openFile opens a program without waiting for the other end of a pipe.
func openFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

func killGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }

func textBusy(err error) bool { return errors.Is(err, syscall.ETXTBSY) }
