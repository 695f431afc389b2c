//go:build unix

package hooks

import (
	"os"
	"syscall"
)

// noWait opens what nobody writes to at once.
const noWait = syscall.O_NONBLOCK

// changedAt is when a file, or what is known of it, changed last, in milliseconds since 1970. Its owner can set the time of its content
// back, and not that of its inode.
func changedAt(p string) (int64, bool) {
	info, err := os.Lstat(p)
	if err != nil {
		return 0, false
	}
	at := info.ModTime().UnixMilli()
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		at = max(at, inodeChanged(st))
	}
	return at, true
}
