package pluginwire

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/open-covenant/covenant-git/runtime/children"
)

// memoryPath is the first descriptor after the standard three, in the child.
const memoryPath = "/proc/self/fd/3"

func ownExecutable() (string, error) { return "/proc/self/exe", nil } // also when the file was replaced

// inMemory opens a file that has no name.
func inMemory(name string) (*os.File, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate(name[:min(len(name), 200)], flags|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3
		fd, err = unix.MemfdCreate(name[:min(len(name), 200)], flags)
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// seal makes the contents final, for us and everybody.
func seal(f *os.File) error {
	_, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL)
	return err
}

// attributes: a session of its own, so that it has no terminal and its group is its own; and
// the kernel kills it when we die.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
}

// ending waits until the process is about to be waited for. Until then its number is its own.
func ending(cmd *exec.Cmd) {
	for {
		if err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// listens reports whether the other end of a connection is a process of this group.
func listens(conn net.Conn, group int) error {
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return fmt.Errorf("%T is no Unix socket", conn)
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return err
	}
	var cred *unix.Ucred
	if cerr := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); cerr != nil {
		return cerr
	}
	if err != nil {
		return err
	}
	if at, err := unix.Getpgid(int(cred.Pid)); err != nil || at != group {
		return fmt.Errorf("process %d listens at its socket", cred.Pid)
	}
	return nil
}

// family is the children of ours that are plugins. Any other child is one that a plugin
// left behind, once [Adopt] was called.
var family struct {
	sync.Mutex
	adopting bool
	known    map[int]bool
}

// Adopt makes orphans among our descendants our children. Then closing a [Process] also finds
// what left its process group. It is for programs that start nothing but plugins: any other
// child is killed.
func Adopt() error {
	family.Lock()
	defer family.Unlock()
	err := children.Adopt(true)
	family.adopting = err == nil
	return err
}

func spawn(cmd *exec.Cmd) error {
	family.Lock()
	defer family.Unlock()
	err := cmd.Start()
	if err == nil {
		if family.known == nil {
			family.known = make(map[int]bool)
		}
		family.known[cmd.Process.Pid] = true
	}
	return err
}

func forget(pid int) {
	family.Lock()
	defer family.Unlock()
	delete(family.known, pid)
}

// sweep kills the children that are no plugins. When one dies its own children become ours, so
// it looks again until there are none.
func sweep() {
	family.Lock()
	defer family.Unlock()
	for try := 0; family.adopting && try < 100; try++ {
		if err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); errors.Is(err, unix.ECHILD) {
			return // there are none at all
		}
		found := false
		for _, pid := range children.List() {
			if family.known[pid] {
				continue
			}
			found = true
			if at, err := unix.Getpgid(pid); err == nil && at == pid {
				_ = unix.Kill(-pid, unix.SIGKILL)
			}
			children.Kill(pid)
		}
		if !found {
			return
		}
	}
}
