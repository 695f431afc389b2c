//go:build unix && !linux

package pluginwire

import "syscall"

// attributes: a session of its own, so that it has no terminal and its group is its own.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
