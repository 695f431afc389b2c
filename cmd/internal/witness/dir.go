package witness

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/open-covenant/covenant-git/envelope/tlog"
)

// Refusals of a memory. A witness that went on without it could cosign what contradicts what it cosigned before.
var (
	ErrBusy    = errors.New("another process has this memory")
	ErrForeign = errors.New("this memory is another witness's")
	ErrDamaged = errors.New("what the witness remembers is damaged")
	ErrLost    = errors.New("the witness cosigned this log before, and does not remember what")
)

// Seen is what a witness cosigned last of a log. The zero Seen is nothing.
type Seen struct {
	Tree tlog.Tree
	Time time.Time // of the cosignature, in whole seconds

	checkpoint *tlog.Checkpoint
}

// Dir is the memory of one witness: a directory with
//
//	lock            held by the process that has it
//	witness         the key of the witness, and the logs of which it has cosigned something, one on each line
//	HASH.cosigned   for each such log, what it cosigned last; the name is the SHA-256 of the origin
//
// A file of the last kind is
//
//	covenant-witness/v1
//	<SHA-256 of what follows, in hexadecimal digits>
//	<time of the cosignature, in seconds since 1970>
//	<the checkpoint, with the log's signature>
//
// so that no bit of it changes unseen, and a file that is gone is missed.
type Dir struct {
	path string
	key  tlog.WitnessKey
	lock *os.File

	Anew bool // nothing was remembered when it was opened

	mu   sync.Mutex
	logs []string // in the file witness
}

const (
	head    = "covenant-witness/v1\n"
	maxFile = tlog.MaxCheckpoint + 1024
	maxLogs = 8 << 20
)

// OpenDir takes the memory of a witness for this process. One that is not there is made, and is [Dir.Anew]. The caller closes it.
func OpenDir(dir string, key tlog.WitnessKey) (*Dir, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := lockFile(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	d := &Dir{path: dir, key: key, lock: lock}
	if err := d.open(); err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return d, nil
}

func (d *Dir) open() error {
	left, err := filepath.Glob(filepath.Join(d.path, "*.tmp"))
	for _, f := range left { // of a process that died
		err = errors.Join(err, os.Remove(f))
	}
	if err != nil {
		return err
	}
	b, err := readFile(filepath.Join(d.path, "witness"), maxLogs)
	if errors.Is(err, fs.ErrNotExist) {
		if some, _ := filepath.Glob(filepath.Join(d.path, "*.cosigned")); len(some) > 0 {
			return fmt.Errorf("%w: the file witness is missing", ErrDamaged)
		}
		d.Anew = true
		return d.write("witness", d.list(nil))
	}
	if err != nil {
		return err
	}
	text, ok := strings.CutSuffix(string(b), "\n")
	list := strings.Split(text, "\n")
	if k, err := tlog.ParseWitnessKey(list[0]); !ok || err != nil {
		return fmt.Errorf("%w: the file witness", ErrDamaged)
	} else if k != d.key {
		return fmt.Errorf("%w: %s", ErrForeign, k)
	}
	for _, o := range list[1:] {
		if _, err := tlog.ParseOrigin(o); err != nil {
			return fmt.Errorf("%w: the file witness: %w", ErrDamaged, err)
		}
	}
	d.logs = list[1:]
	return nil
}

func (d *Dir) list(logs []string) []byte {
	return []byte(strings.Join(append([]string{d.key.String()}, logs...), "\n") + "\n")
}

// Close gives the memory up.
func (d *Dir) Close() error { return d.lock.Close() }

func fileOf(o tlog.Origin) string {
	sum := sha256.Sum256([]byte(o))
	return hex.EncodeToString(sum[:]) + ".cosigned"
}

// Load returns what was cosigned last of a log: the zero Seen if nothing ever was. The error wraps [ErrDamaged] or [ErrLost].
func (d *Dir) Load(k tlog.LogKey) (Seen, error) {
	name := fileOf(k.Origin())
	b, err := readFile(filepath.Join(d.path, name), maxFile)
	d.mu.Lock()
	known := slices.Contains(d.logs, string(k.Origin()))
	d.mu.Unlock()
	switch {
	case errors.Is(err, fs.ErrNotExist) && known:
		return Seen{}, fmt.Errorf("%w: %s: %s is missing in %s", ErrLost, k.Origin(), name, d.path)
	case errors.Is(err, fs.ErrNotExist):
		return Seen{}, nil
	case err != nil:
		return Seen{}, err
	}
	s, err := parseSeen(b, k)
	if err != nil {
		return Seen{}, fmt.Errorf("%w: %s: %s in %s: %w", ErrDamaged, k.Origin(), name, d.path, err)
	}
	return s, nil
}

func parseSeen(b []byte, k tlog.LogKey) (Seen, error) {
	rest, ok := bytes.CutPrefix(b, []byte(head))
	sum, rest, cut := bytes.Cut(rest, []byte("\n"))
	have := sha256.Sum256(rest)
	if !ok || !cut || string(sum) != hex.EncodeToString(have[:]) {
		return Seen{}, errors.New("it is not what was written")
	}
	number, checkpoint, _ := bytes.Cut(rest, []byte("\n"))
	seconds, err := strconv.ParseInt(string(number), 10, 64)
	if err != nil || seconds <= 0 {
		return Seen{}, errors.New("it has no time")
	}
	c, err := tlog.Open(checkpoint, k)
	if err != nil {
		return Seen{}, err
	}
	return Seen{c.Tree(), time.Unix(seconds, 0).UTC(), c}, nil
}

func (s Seen) bytes() []byte {
	rest := append([]byte(strconv.FormatInt(s.Time.Unix(), 10)+"\n"), s.checkpoint.Bytes()...)
	sum := sha256.Sum256(rest)
	return append([]byte(head+hex.EncodeToString(sum[:])+"\n"), rest...)
}

// Store remembers what is about to be cosigned of a log, in the place of what was. When it returns nil the disk has it. The
// caller holds the log's lock.
func (d *Dir) Store(s Seen) error {
	origin := s.checkpoint.Origin()
	if err := d.write(fileOf(origin), s.bytes()); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if slices.Contains(d.logs, string(origin)) {
		return nil
	}
	more := append(slices.Clone(d.logs), string(origin))
	if err := d.write("witness", d.list(more)); err != nil {
		return err
	}
	d.logs = more
	return nil
}

// write replaces a file, whole or not at all, and returns when the disk has it.
func (d *Dir) write(name string, data []byte) error {
	tmp := filepath.Join(d.path, name+"-"+rand.Text()+".tmp")
	defer func() { _ = os.Remove(tmp) }()
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, filepath.Join(d.path, name)); err != nil {
		return err
	}
	return syncDir(d.path)
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func readFile(file string, most int64) ([]byte, error) {
	st, err := os.Lstat(file)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > most {
		return nil, fmt.Errorf("%w: %s is no file of at most %d bytes", ErrDamaged, file, most)
	}
	return os.ReadFile(file)
}
