//go:build !unix

package hooks

import "os"

// noWait opens what nobody writes to at once.
const noWait = 0

// changedAt is when a file changed last, in milliseconds since 1970.
func changedAt(p string) (int64, bool) {
	info, err := os.Lstat(p)
	if err != nil {
		return 0, false
	}
	return info.ModTime().UnixMilli(), true
}
