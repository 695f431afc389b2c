package evidence

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/open-covenant/covenant-git/runtime/children"
)

// attributes: a session of its own, so that it has no terminal and its group is its own; and the kernel kills it when the
// thread that started it ends, which is when we do.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
}

// An adopter makes orphans among our descendants our children, so that what leaves the command's session is found as well.
type adopter struct {
	on    bool
	known map[int]bool // children that were there before
}

func adopt() adopter {
	a := adopter{known: map[int]bool{}}
	for _, pid := range children.List() {
		a.known[pid] = true
	}
	a.on = children.Adopt(true) == nil
	return a
}

// end kills the children that came since and reports whether one was alive. When one dies its own children become ours, so it
// looks again until there are none.
func (a adopter) end() bool {
	if !a.on {
		return false
	}
	defer func() { _ = children.Adopt(false) }()
	left := false
	for range 1000 {
		found := false
		for _, pid := range children.List() {
			if a.known[pid] {
				continue
			}
			found = true
			if got, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); got == pid || errors.Is(err, unix.ECHILD) {
				continue // it had ended by itself
			}
			left = true
			children.Kill(pid)
		}
		if !found {
			break
		}
	}
	return left
}
