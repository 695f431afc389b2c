package handoff

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

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
	ErrBegun     = errors.New("it was begun, and is not finished")
	ErrKept      = errors.New("what was kept of the files is damaged")
	ErrJournal   = errors.New("the journal of a handoff that was being put into a work tree is damaged")
)

// A JournalError says where a damaged journal is. It wraps ErrJournal.
type JournalError struct {
	Dir string // with what was kept: before-N of the Nth path, index.before
	Why error
}

func (e *JournalError) Error() string { return fmt.Sprintf("%v: %s: %v", ErrJournal, e.Dir, e.Why) }

// Unwrap returns ErrJournal.
func (e *JournalError) Unwrap() error { return ErrJournal }

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
	lost bool   // to another process, or it may be: what there is is not ours to clean up
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
	Damaged  *JournalError // then nothing else is known
}

// Pendings lists what was begun in any work tree of the repository, and is not finished.
func Pendings(r *git.Repo) []Pending {
	dirs, err := filepath.Glob(filepath.Join(r.StateDir(), journalDir, "*"))
	if err != nil {
		return nil
	}
	var out []Pending
	for _, dir := range dirs {
		j, err := readJournal(dir)
		var damaged *JournalError
		switch {
		case err == nil:
			out = append(out, Pending{ID: j.ID, WorkTree: j.WorkTree})
		case errors.As(err, &damaged):
			out = append(out, Pending{Damaged: damaged})
		}
	}
	return out
}

// PendingHere is that of this work tree. Errors: ErrNoPending, *JournalError.
func PendingHere(r *git.Repo) (Pending, error) {
	j, err := readJournal(placeOf(r))
	if err != nil {
		return Pending{}, err
	}
	return Pending{ID: j.ID, WorkTree: j.WorkTree}, nil
}

func readJournal(dir string) (*journal, error) {
	b, err := readFile(filepath.Join(dir, journalFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoPending
	}
	if err != nil {
		return nil, &JournalError{dir, err}
	}
	j := &journal{dir: dir, left: true}
	if err := json.Unmarshal(b, j); err != nil {
		return nil, &JournalError{dir, err}
	}
	if !j.ID.Valid() || j.Serial == "" || j.WorkTree == "" {
		return nil, &JournalError{dir, errors.New("it does not say of what it is")}
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
		if err := writeSynced(j.kept(i), data); err != nil {
			return err
		}
	}
	return j.write()
}

// writeSynced writes a file of a journal's directory: it is there when the power goes.
func writeSynced(name string, data []byte) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) //nolint:gosec // ours
	if err != nil {
		return err
	}
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncFile flushes a file, or what is in a directory, where the system can.
func syncFile(name string) error {
	f, err := os.Open(name) //nolint:gosec // ours
	if err != nil {
		return err
	}
	if err = f.Sync(); errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrInvalid) || errors.Is(err, fs.ErrPermission) {
		err = nil // a directory on some systems
	}
	return errors.Join(err, f.Close())
}

// write writes the journal, whole.
func (j *journal) write() error {
	b, err := json.Marshal(j)
	if err != nil {
		return err
	}
	tmp := filepath.Join(j.dir, journalFile+".new")
	if err := writeSynced(tmp, b); err != nil {
		return err
	}
	if err := syncFile(j.dir); err != nil { // what it rests on is there before it is
		return err
	}
	if err := os.Rename(tmp, filepath.Join(j.dir, journalFile)); err != nil {
		return err
	}
	return syncFile(j.dir)
}

func (j *journal) kept(i int) string { return filepath.Join(j.dir, fmt.Sprintf("before-%d", i)) }

// end takes the journal away: first what makes it one.
func (j *journal) end() error {
	if err := os.Remove(filepath.Join(j.dir, journalFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(j.dir)
}

// readFile reads the index, its lock, or a file of ours, and waits for nobody: what is no regular file has nothing to read.
func readFile(name string) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) //nolint:gosec // in the git directory
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil {
		return nil, err
	} else if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file", name)
	}
	return io.ReadAll(f)
}

// sumFile returns the SHA-256 of a file, "" where there is none.
func sumFile(name string) (string, error) {
	b, err := readFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", sha256.Sum256(b)), nil
}

// lockIndex takes Git's lock of the index, with content in it that will be the index. A lock with what this journal writes
// was left by a process of ours that died. sum is its SHA-256.
func (j *journal) lockIndex(index, content, sum string) error {
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
	b, err := readFile(content)
	if err == nil && fmt.Sprintf("%x", sha256.Sum256(b)) != sum {
		err = fmt.Errorf("%w: %s", ErrKept, content)
	}
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
