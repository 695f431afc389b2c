//go:build unix && !linux

package evidence

import "syscall"

func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// An adopter finds nothing here: what leaves the command's session gets away.
type adopter struct{}

func adopt() adopter      { return adopter{} }
func (adopter) end() bool { return false }
