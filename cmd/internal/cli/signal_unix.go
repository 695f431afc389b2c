//go:build unix

package cli

import (
	"os"
	"os/exec"
	"syscall"
)

// cancelChild passes on that we were asked to end. A child on our terminal has
// had its own SIGINT, and ends by itself as well.
func cancelChild(p *os.Process) error { return p.Signal(syscall.SIGTERM) }

// signalCode returns the status a shell gives a program that a signal ended.
func signalCode(e *exec.ExitError) int {
	if ws, ok := e.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return ExitNoAnswer
}
