package hooks

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"time"
)

var (
	errSwapped = errors.New("another file came into its place")
	errNoFile  = errors.New("no regular file")
)

// openPlain opens a regular file, and nothing else: a pipe that somebody put there would be waited for.
func openPlain(at string) (*os.File, fs.FileInfo, error) {
	f, err := os.OpenFile(at, os.O_RDONLY|noWait, 0) //nolint:gosec // Git's, ours, or one that the user's agent names
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errNoFile
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

// small reads a file that is no larger than so many bytes, and when it was written.
func small(file string, limit int64) ([]byte, time.Time, bool) {
	f, info, err := openPlain(file)
	if err != nil {
		return nil, time.Time{}, false
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	return b, info.ModTime(), err == nil && int64(len(b)) <= limit
}

// openSame opens a regular file that was looked at before, and no other that came into its place since: a link would lead elsewhere.
func openSame(at string, looked fs.FileInfo) (*os.File, error) {
	f, info, err := openPlain(at)
	switch {
	case errors.Is(err, errNoFile):
		return nil, errSwapped
	case err != nil:
		return nil, err
	case !os.SameFile(info, looked):
		return nil, errors.Join(errSwapped, f.Close())
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
