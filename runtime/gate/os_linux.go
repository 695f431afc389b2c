package gate

import (
	"fmt"
	"net"
	"strconv"
	"syscall"
)

// peer returns the user of the process at the other end, and its executable.
func peer(conn net.Conn) (uid int, exe string, err error) {
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return 0, "", fmt.Errorf("%T is no Unix socket", conn)
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return 0, "", err
	}
	var cred *syscall.Ucred
	if cerr := raw.Control(func(fd uintptr) {
		cred, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); cerr != nil {
		return 0, "", cerr
	}
	if err != nil {
		return 0, "", err
	}
	return int(cred.Uid), "/proc/" + strconv.Itoa(int(cred.Pid)) + "/exe", nil
}

func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
