//go:build unix

package evidence

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// A family is a command and all that it started.
type family struct {
	cmd    *exec.Cmd
	adopts adopter
}

func newFamily(cmd *exec.Cmd) *family {
	cmd.SysProcAttr = attributes()
	return &family{cmd, adopt()}
}

func (f *family) signal(s os.Signal) {
	if sig, ok := s.(syscall.Signal); ok && f.cmd.Process != nil {
		_ = syscall.Kill(-f.cmd.Process.Pid, sig) // it may be gone
	}
}

func (f *family) terminate() { f.signal(syscall.SIGTERM) }
func (f *family) kill()      { f.signal(syscall.SIGKILL) }

// end ends what the command left behind, and reports whether there was anything.
func (f *family) end() bool {
	left := f.adopts.end()
	if f.cmd.Process != nil && syscall.Kill(-f.cmd.Process.Pid, syscall.SIGKILL) == nil {
		left = true
	}
	return left
}

// status is a process's exit status as a shell has it, and the signal that ended it.
func status(p *os.ProcessState) (exit int, signal string) {
	if p == nil {
		return 255, ""
	}
	if ws, ok := p.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		name := unix.SignalName(ws.Signal())
		if name == "" {
			name = "SIG" + strconv.Itoa(int(ws.Signal()))
		}
		return 128 + int(ws.Signal()), name
	}
	return p.ExitCode(), ""
}

// tryLock takes a lock that ends with the process, or with the file. It reports whether nobody had it, and whether that is known.
func tryLock(f *os.File) (free, known bool) {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) //nolint:gosec // a descriptor
	return err == nil, err == nil || errors.Is(err, syscall.EWOULDBLOCK)
}
