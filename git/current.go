package git

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/open-covenant/covenant-git/git/oid"
)

// Git remembers what it read of packed-refs and asks only the file's time in seconds, size and
// inode whether that still holds. Two runs of "git pack-refs" within a second can restore all
// three. So a process that read packed-refs before it had a ref's lock, for another ref of the
// transaction or because it had to wait for the lock, can find an old value right that the ref has
// long left. The values are therefore read once more while Git holds the locks: nobody else may
// change them then, so the reading is exact.

// moved returns the refs that are not at their old value. All are locked by our transaction. Refs
// in other than files (reftable) are Git's business alone.
func (r *Repo) moved(updates []RefUpdate) ([]string, error) {
	if v, ok := r.config.Get("extensions.refStorage"); ok && v != "files" {
		return nil, nil
	}
	var names []string
	for _, u := range updates {
		now, err := r.current(u.Name)
		if err != nil {
			return nil, fmt.Errorf("read %s under its lock: %w", u.Name, err)
		}
		if !same(now, u.Old) {
			names = append(names, u.Name)
		}
	}
	return names, nil
}

// current reads a ref as gitrepository-layout(5) describes: its own file, else packed-refs.
// Symbolic refs are followed. The zero name says that there is none.
func (r *Repo) current(name string) (oid.ID, error) {
	for range 5 {
		line, err := readLine(r.refPath(name))
		if missingFile(r.refPath(name), err) {
			return r.packedRef(name)
		}
		if err != nil {
			return oid.ID{}, err
		}
		target, symbolic := strings.CutPrefix(line, "ref:")
		if !symbolic {
			id, ok := parseName(r.format, strings.TrimSpace(line))
			if !ok {
				return oid.ID{}, fmt.Errorf("unexpected content %q", clip(line))
			}
			return id, nil
		}
		name = strings.TrimSpace(target)
		if err := checkRefName(name); err != nil {
			return oid.ID{}, err
		}
	}
	return oid.ID{}, errors.New("too many symbolic refs")
}

// missingFile reports whether there is no file: nothing, a directory of refs below that name, or a
// file where a directory would have to be.
func missingFile(path string, err error) bool {
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return err != nil
	}
	st, serr := os.Stat(path)
	return serr != nil || st.IsDir()
}

// checkLoose reports a file of a ref that holds neither an object name nor the name of a ref.
func (r *Repo) checkLoose(prefixes []string) error {
	if len(prefixes) == 0 {
		prefixes = []string{"refs/"}
	}
	for _, prefix := range prefixes {
		root := filepath.Clean(r.refPath(prefix))
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) || err == nil && (d.IsDir() || strings.HasSuffix(path, ".lock")) {
				return nil
			}
			if err != nil {
				return err
			}
			b, err := readFile(path, headerLimit)
			if err != nil {
				if errors.Is(err, fs.ErrNotExist) {
					return nil
				}
				return err
			}
			content := strings.TrimSpace(string(b))
			if _, err := oid.Parse(content); err != nil && !strings.HasPrefix(content, "ref:") {
				return fmt.Errorf("%s holds no ref: a crash may have emptied it", path)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// packedRef finds a ref in packed-refs, whose lines are "<name of object> SP <ref>"; lines that
// begin with "#" or "^" are about others.
func (r *Repo) packedRef(name string) (oid.ID, error) {
	f, err := os.Open(filepath.Join(r.commonDir, "packed-refs"))
	if errors.Is(err, fs.ErrNotExist) {
		return oid.ID{}, nil
	}
	if err != nil {
		return oid.ID{}, err
	}
	defer f.Close()
	digits := 2 * r.format.Size()
	lines := bufio.NewReaderSize(f, headerLimit)
	for {
		line, err := lines.ReadSlice('\n')
		if err == io.EOF && len(line) == 0 {
			return oid.ID{}, nil
		}
		if err != nil {
			return oid.ID{}, fmt.Errorf("packed-refs: %w", err)
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == digits+1+len(name) && string(line[digits+1:]) == name {
			id, ok := parseName(r.format, string(line[:digits]))
			if !ok {
				return oid.ID{}, fmt.Errorf("packed-refs: unexpected line %q", clip(string(line)))
			}
			return id, nil
		}
	}
}
