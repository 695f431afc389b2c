package git

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/open-covenant/covenant-git/git/oid"
)

// Mode is the mode of a tree entry. The zero value stands for no entry.
type Mode uint32

// The modes Git writes. Old trees may also hold 0o100664.
const (
	ModeTree       Mode = 0o040000
	ModeFile       Mode = 0o100644
	ModeExecutable Mode = 0o100755
	ModeLink       Mode = 0o120000
	ModeGitlink    Mode = 0o160000
)

const modeGroupWritable Mode = 0o100664

// String returns six octal digits, as Git prints modes.
func (m Mode) String() string { return fmt.Sprintf("%06o", uint32(m)) }

// IsTree reports whether the entry is a directory.
func (m Mode) IsTree() bool { return m == ModeTree }

// IsGitlink reports whether the entry names a commit of a submodule.
func (m Mode) IsGitlink() bool { return m == ModeGitlink }

// IsLink reports whether the entry is a symbolic link.
func (m Mode) IsLink() bool { return m == ModeLink }

// IsRegular reports whether the entry is a file, executable or not.
func (m Mode) IsRegular() bool { return m&0o170000 == 0o100000 }

func (m Mode) valid() bool {
	switch m {
	case ModeTree, ModeFile, ModeExecutable, ModeLink, ModeGitlink, modeGroupWritable:
		return true
	}
	return false
}

// parseMode reads octal digits.
func parseMode(s string) (Mode, error) {
	n, err := strconv.ParseUint(s, 8, 32)
	if err != nil || n > 0o177777 {
		return 0, fmt.Errorf("bad mode %q", clip(s))
	}
	return Mode(n), nil
}

// TreeEntry is one entry of a tree object.
type TreeEntry struct {
	Mode Mode
	Name string // the bytes of one path component
	ID   oid.ID
}

var errTree = errors.New("malformed tree")

// ParseTree reads the body of a tree object: "<mode> SP <name> NUL <raw id>" for each entry.
// It is strict: entries sorted as Git sorts them, no name twice, none empty, "." or ".." or with a
// slash, modes as Git writes them, no all-zero object name. What it accepts, [EncodeTree] gives back byte for byte.
func ParseTree(format oid.Format, body []byte) ([]TreeEntry, error) {
	var entries []TreeEntry
	for b := body; len(b) > 0; {
		sp := bytes.IndexByte(b[:min(len(b), 8)], ' ')
		if sp < 5 || b[0] == '0' {
			return nil, fmt.Errorf("%w: entry %d has no mode", errTree, len(entries))
		}
		mode, err := parseMode(string(b[:sp]))
		if err != nil {
			return nil, fmt.Errorf("%w: entry %d: %w", errTree, len(entries), err)
		}
		b = b[sp+1:]
		nul := bytes.IndexByte(b, 0)
		if nul < 0 || len(b) < nul+1+format.Size() {
			return nil, fmt.Errorf("%w: entry %d is cut short", errTree, len(entries))
		}
		id := format.FromBytes(b[nul+1 : nul+1+format.Size()])
		entries = append(entries, TreeEntry{mode, string(b[:nul]), id})
		b = b[nul+1+format.Size():]
	}
	return entries, checkTree(entries)
}

// EncodeTree returns the body of the tree object with these entries, sorted as Git sorts them. It
// refuses what [ParseTree] refuses, and mixed object formats.
func EncodeTree(entries []TreeEntry) ([]byte, error) {
	sorted := slices.SortedFunc(slices.Values(entries), TreeEntry.Compare)
	if err := checkTree(sorted); err != nil {
		return nil, err
	}
	var b []byte
	for _, e := range sorted {
		if e.ID.Format() != sorted[0].ID.Format() {
			return nil, fmt.Errorf("%w: %q has an object name of another format", errTree, clip(e.Name))
		}
		b = strconv.AppendUint(b, uint64(e.Mode), 8)
		b = append(b, ' ')
		b = append(b, e.Name...)
		b = append(b, 0)
		b = append(b, e.ID.Bytes()...)
	}
	return b, nil
}

// checkTree checks sorted entries.
func checkTree(entries []TreeEntry) error {
	// A file "a" and a directory "a" are one name, but need not be neighbours: "a.b" sorts between.
	// files holds the files whose name begins the current one, the only ones it can collide with.
	var files []string
	for i, e := range entries {
		switch {
		case !e.Mode.valid():
			return fmt.Errorf("%w: %q has mode %s", errTree, clip(e.Name), e.Mode)
		case e.ID.IsZero():
			return fmt.Errorf("%w: %q has no object name", errTree, clip(e.Name))
		case e.Name == "" || e.Name == "." || e.Name == ".." || strings.ContainsAny(e.Name, "/\x00"):
			return fmt.Errorf("%w: bad name %q", errTree, clip(e.Name))
		case i > 0 && entries[i-1].Compare(e) >= 0:
			return fmt.Errorf("%w: %q is not after %q", errTree, clip(e.Name), clip(entries[i-1].Name))
		}
		for len(files) > 0 && !strings.HasPrefix(e.Name, files[len(files)-1]) {
			files = files[:len(files)-1]
		}
		if !e.Mode.IsTree() {
			files = append(files, e.Name)
		} else if len(files) > 0 && slices.Contains(files, e.Name) {
			return fmt.Errorf("%w: %q twice", errTree, clip(e.Name))
		}
	}
	return nil
}

// Compare orders entries as Git does: bytewise, a directory as if its name ended in "/".
func (e TreeEntry) Compare(other TreeEntry) int {
	n := min(len(e.Name), len(other.Name))
	if c := strings.Compare(e.Name[:n], other.Name[:n]); c != 0 {
		return c
	}
	return int(e.after(n)) - int(other.after(n))
}

// after returns the byte that counts at position n of the name.
func (e TreeEntry) after(n int) byte {
	switch {
	case n < len(e.Name):
		return e.Name[n]
	case e.Mode.IsTree():
		return '/'
	}
	return 0
}
