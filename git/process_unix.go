//go:build unix

package git

import (
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// terminate asks a child to end. Git removes its lock files on SIGTERM, and cannot on SIGKILL.
func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }

// apart puts a child into a process group of its own, with all that it starts, and hands on to it none of the files that our starter
// had open: Git waits for the other end of its pipes.
func apart(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	fds, err := os.ReadDir("/dev/fd")
	if err != nil {
		return
	}
	for _, e := range fds {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			syscall.CloseOnExec(fd) // as all that Go opens is
		}
	}
}

// terminateGroup asks a child that is apart, and all that it started, to end.
func terminateGroup(p *os.Process) error { return signalGroup(p, syscall.SIGTERM) }

// killGroup ends what a child that was apart left behind.
func killGroup(p *os.Process) { _ = signalGroup(p, syscall.SIGKILL) } // there is nobody, when all is well

func signalGroup(p *os.Process, sig syscall.Signal) error {
	if err := syscall.Kill(-p.Pid, sig); err != nil {
		return os.ErrProcessDone
	}
	return nil
}

// owner is whose a file is.
func owner(st os.FileInfo) uint32 {
	if s, ok := st.Sys().(*syscall.Stat_t); ok {
		return s.Uid
	}
	return 0
}
