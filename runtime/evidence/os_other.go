//go:build !unix

package evidence

import (
	"os"
	"os/exec"
)

// A family is a command. What it started is not known here.
type family struct{ cmd *exec.Cmd }

func newFamily(cmd *exec.Cmd) *family { return &family{cmd} }

func (f *family) signal(s os.Signal) {
	if f.cmd.Process != nil && f.cmd.Process.Signal(s) != nil {
		_ = f.cmd.Process.Kill()
	}
}

func (f *family) terminate() { f.kill() }

func (f *family) kill() {
	if f.cmd.Process != nil {
		_ = f.cmd.Process.Kill()
	}
}

func (f *family) end() bool { return false }

func status(p *os.ProcessState) (exit int, signal string) {
	if p == nil {
		return 255, ""
	}
	return p.ExitCode() & 0xff, ""
}

// tryLock knows nothing here.
func tryLock(*os.File) (free, known bool) { return false, false }
