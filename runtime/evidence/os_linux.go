package evidence

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
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
	for _, pid := range children() {
		a.known[pid] = true
	}
	a.on = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == nil
	return a
}

// end kills the children that came since and reports whether one was alive. When one dies its own children become ours, so it
// looks again until there are none.
func (a adopter) end() bool {
	if !a.on {
		return false
	}
	defer func() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) }()
	left := false
	for range 1000 {
		found := false
		for _, pid := range children() {
			if a.known[pid] {
				continue
			}
			found = true
			if got, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); got == pid || errors.Is(err, unix.ECHILD) {
				continue // it had ended by itself
			}
			left = true
			_ = unix.Kill(pid, unix.SIGKILL)
			for wait := range 100 {
				if got, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); got == pid || err != nil && !errors.Is(err, unix.EINTR) {
					break
				}
				time.Sleep(time.Duration(wait) * 100 * time.Microsecond)
			}
		}
		if !found {
			break
		}
	}
	return left
}

// children lists the children of all our threads.
func children() []int {
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		return nil
	}
	var pids []int
	for _, l := range lists {
		b, err := os.ReadFile(l)
		if err != nil {
			continue
		}
		for _, f := range bytes.Fields(b) {
			if pid, err := strconv.Atoi(string(f)); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
