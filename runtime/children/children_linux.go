package children

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Adopt makes orphans among our descendants our children, or no longer.
func Adopt(on bool) error {
	n := uintptr(0)
	if on {
		n = 1
	}
	return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, n, 0, 0, 0)
}

// List returns the children of all our threads.
func List() []int {
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

// Kill kills a child and takes it away, which a process does that can be killed at once. Its own children become ours then, where we adopt.
func Kill(pid int) {
	_ = unix.Kill(pid, unix.SIGKILL)
	for wait := range 100 {
		if got, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); got == pid || err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		time.Sleep(time.Duration(wait) * 100 * time.Microsecond)
	}
}
