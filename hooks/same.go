package hooks

import (
	"errors"
	"io"
	"io/fs"
	"os"
)

var errSwapped = errors.New("another file came into its place")

// openSame opens a regular file that was looked at before, and no other that came into its place since: a pipe would be waited for, and a link lead elsewhere.
func openSame(at string, looked fs.FileInfo) (*os.File, error) {
	f, err := os.OpenFile(at, os.O_RDONLY|noWait, 0) //nolint:gosec // a file that the user's agent names
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && (!info.Mode().IsRegular() || !os.SameFile(info, looked)) {
		err = errSwapped
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// readSame reads a file that was looked at before, up to a limit.
func readSame(at string, looked fs.FileInfo, limit int64) ([]byte, error) {
	f, err := openSame(at, looked)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, limit))
	return text, errors.Join(err, f.Close())
}
