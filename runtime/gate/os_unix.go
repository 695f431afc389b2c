//go:build unix

package gate

import (
	"fmt"
	"os"
	"syscall"
)

func inode(st os.FileInfo) string {
	if s, ok := st.Sys().(*syscall.Stat_t); ok {
		return fmt.Sprintf("%d:%d", s.Dev, s.Ino)
	}
	return ""
}

func private(st os.FileInfo) bool {
	s, ok := st.Sys().(*syscall.Stat_t)
	return ok && int(s.Uid) == os.Getuid() && st.Mode().Perm()&0o077 == 0
}

func end(p *os.Process) error { return p.Signal(syscall.SIGTERM) }

func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
