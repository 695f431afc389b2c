package gate

import (
	"os"
	"syscall"
)

func inode(os.FileInfo) string { return "" }

// private: there is no resident host on Windows.
func private(os.FileInfo) bool { return false }

func end(p *os.Process) error { return p.Kill() }

func detached() *syscall.SysProcAttr { return nil }
