package handoff

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/git"
)

// Errors of work that was begun.
var (
	ErrPending   = errors.New("a handoff is being put into this work tree, or was when a process died")
	ErrNoPending = errors.New("no handoff is being put into this work tree")
	ErrChanged   = errors.New("files changed since")
	ErrIndexLock = errors.New("another process holds the index")
	ErrIndex     = errors.New("the index changed since")
)

// journalDir, in the state directory, has a directory for each work tree that a handoff is being put into.
const journalDir = "handoff"

// A journal is what is being done to a work tree, with all it takes to finish it and to take it back. It is written before the
// first change, and goes after the last.
type journal struct {
	ID          envelope.Digest `json:"id"`
	Serial      string          `json:"serial"` // of the statement that somebody took it up
	Again       bool            `json:"again,omitempty"`
	Remote      string          `json:"remote,omitempty"`  // that is asked
	Claimed     bool            `json:"claimed,omitempty"` // it said yes
	WorkTree    string          `json:"workTree"`
	GitDir      string          `json:"gitDir"`
	Steps       []step          `json:"steps"`
	Dirs        []string        `json:"dirs,omitempty"` // that are made
	IndexBefore string          `json:"indexBefore"`    // SHA-256; "" where there was none
	IndexAfter  string          `json:"indexAfter"`

	dir  string // where it is kept
	left bool   // by a process that died
}

// Files of a journal's directory. Bytes that are replaced are in files that are named by their place among the steps.
const (
	journalFile = "journal.json"
	fileBefore  = "index.before"
	fileAfter   = "index.after"
)

// placeOf is the directory of a work tree's journal.
func placeOf(r *git.Repo) string {
	return filepath.Join(r.StateDir(), journalDir, fmt.Sprintf("%x", sha256.Sum256([]byte(r.GitDir())))[:12])
}

// scratch is the name of a file of the work tree, and of one beside the index, while it is being written.
func (j *journal) scratch() string { return ".covenant-handoff-" + filepath.Base(j.dir) }

// A Pending is a handoff that is being put into a work tree.
type Pending struct {
	ID       envelope.Digest
	WorkTree string
}

// Pendings lists what was begun in any work tree of the repository, and is not finished.
func Pendings(r *git.Repo) []Pending {
	dirs, err := filepath.Glob(filepath.Join(r.StateDir(), journalDir, "*"))
	if err != nil {
		return nil
	}
	var out []Pending
	for _, dir := range dirs {
		if j, err := readJournal(dir); err == nil {
			out = append(out, Pending{j.ID, j.WorkTree})
		}
	}
	return out
}

// PendingHere is that of this work tree; ok is false where there is none.
func PendingHere(r *git.Repo) (Pending, bool) {
	j, err := readJournal(placeOf(r))
	if err != nil {
		return Pending{}, false
	}
	return Pending{j.ID, j.WorkTree}, true
}

func readJournal(dir string) (*journal, error) {
	b, err := os.ReadFile(filepath.Join(dir, journalFile)) //nolint:gosec // ours
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoPending
	}
	if err != nil {
		return nil, err
	}
	j := &journal{dir: dir, left: true}
	if err := json.Unmarshal(b, j); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, journalFile), err)
	}
	return j, nil
}

// begin keeps what is replaced, then writes the journal, whole. The directory holds index.after already.
func (j *journal) begin(root *os.Root, modes bool) error {
	for i := range j.Steps {
		x := &j.Steps[i]
		if x.Before.Mode == 0 {
			continue
		}
		now, data, err := readState(root, string(x.Path), modes)
		if err != nil {
			return err
		}
		if now != x.Before {
			return fmt.Errorf("%w: %q", ErrChanged, x.Path)
		}
		if err := os.WriteFile(j.kept(i), data, 0o600); err != nil {
			return err
		}
	}
	return j.write()
}

// write writes the journal, whole.
func (j *journal) write() error {
	b, err := json.Marshal(j)
	if err != nil {
		return err
	}
	tmp := filepath.Join(j.dir, journalFile+".new")
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) //nolint:gosec // ours
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(j.dir, journalFile))
}

func (j *journal) kept(i int) string { return filepath.Join(j.dir, fmt.Sprintf("before-%d", i)) }

// end takes the journal away: first what makes it one.
func (j *journal) end() error {
	if err := os.Remove(filepath.Join(j.dir, journalFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(j.dir)
}

// sumFile returns the SHA-256 of a file, "" where there is none.
func sumFile(name string) (string, error) {
	b, err := os.ReadFile(name) //nolint:gosec // the index, or ours
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", sha256.Sum256(b)), nil
}

// lockIndex takes Git's lock of the index, with content in it that will be the index. A lock with what this journal writes
// was left by a process of ours that died. content is "" for no index.
func (j *journal) lockIndex(index, content string) error {
	lock := index + ".lock"
	held, err := sumFile(lock)
	if err != nil {
		return err
	}
	if j.left && held != "" && (held == j.IndexAfter || held == j.IndexBefore) {
		if err := os.Remove(lock); err != nil {
			return err
		}
	}
	b, err := os.ReadFile(content) //nolint:gosec // ours
	if err != nil {
		return err
	}
	tmp := filepath.Join(filepath.Dir(index), j.scratch())
	if err := os.WriteFile(tmp, b, 0o666); err != nil { //nolint:gosec // as Git makes its own; umask applies
		return err
	}
	defer os.Remove(tmp)
	if st, err := os.Stat(index); err == nil { // as core.sharedRepository has it
		if err := os.Chmod(tmp, st.Mode().Perm()); err != nil {
			return err
		}
	}
	err = os.Link(tmp, lock)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %s", ErrIndexLock, lock)
	}
	if err == nil {
		return nil
	}
	f, cerr := os.OpenFile(lock, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666) //nolint:gosec // a file system without links
	if errors.Is(cerr, fs.ErrExist) {
		return fmt.Errorf("%w: %s", ErrIndexLock, lock)
	}
	if cerr != nil {
		return errors.Join(err, cerr)
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close())
}
