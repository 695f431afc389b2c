//go:build unix

package git

import (
	"os"
	"syscall"
)

// terminate asks a child to end. Git removes its lock files on SIGTERM, and cannot on SIGKILL.
func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }
