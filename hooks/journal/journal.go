// Package journal keeps what an agent does until it is sealed: a file for each session, to which each moment adds a line before it
// decides anything. A line is a checksum, a blank and an object:
//
//	<16 hexadecimal digits of SHA-256 of the object> {"at":<milliseconds>, …}
//
// One write adds one line, so moments that come at once do not mix, and a process that is killed leaves whole lines and at most one that is torn,
// which its checksum tells. After a loss of power the last lines may be missing. A line is what a program of this user wrote; it proves nothing until it is
// in a ledger, and not even then more than that.
package journal

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope/event"
)

// Limits.
const (
	MaxLine  = 256 << 10 // bytes of a line
	maxFile  = 64 << 20  // bytes of a file that is read
	maxFiles = 1024      // sessions of a work tree that are read
)

// Line is one moment.
type Line struct {
	At      int64         `json:"at"` // milliseconds since 1970
	Session string        `json:"session,omitempty"`
	Sub     string        `json:"sub,omitempty"` // the sub-agent whose call it is
	Call    string        `json:"call,omitempty"`
	Tool    string        `json:"tool,omitempty"`
	Kind    string        `json:"kind,omitempty"`
	State   State         `json:"state"`
	Above   []string      `json:"above,omitempty"`  // names of the processes that whoever says it was started by, the nearest first; none where they are not known
	Files   []File        `json:"files,omitempty"`  // as the call left them
	Untold  []File        `json:"untold,omitempty"` // changes that no call tells of, and that are recorded with this line
	Events  []event.Event `json:"events,omitempty"`
}

// State is what a line tells of a session or a call.
type State string

// States.
const (
	Invoked  State = "invoked"
	Denied   State = "denied"
	Returned State = "returned"
	Told     State = "told" // nothing of a call
	Over     State = "over" // nothing of a call, and that no call of who says it runs any more
)

// File is what stands at a path of a work tree.
type File struct {
	Path   string `json:"path"`
	Mode   string `json:"mode,omitempty"`   // as Git has it: "100644", "100755", "120000"; "" when nothing is there
	SHA256 string `json:"sha256,omitempty"` // of its content; "" when nothing is there, and of what is not read
}

// read reports whether it is known what stands there.
func (f File) read() bool { return f.Mode == "" || f.SHA256 != "" }

// Journal is the files of one work tree.
type Journal struct {
	dir    string
	prefix string
}

// Of returns the journal of a work tree, whose lines stand in a directory that repositories have for what is theirs.
func Of(stateDir, workTree string) Journal {
	return Journal{dir: filepath.Join(stateDir, "agents"), prefix: short(workTree) + "-"}
}

func short(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:8])
}

func (j Journal) file(session string) string {
	return filepath.Join(j.dir, j.prefix+short(session)+".jsonl")
}

// Add adds a line.
func (j Journal) Add(l Line) error {
	b, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if len(b) > MaxLine {
		l.Files, l.Untold = l.Files[:min(len(l.Files), 64)], l.Untold[:min(len(l.Untold), 64)]
		if len(l.Events) > 1 {
			l.Events = l.Events[:1]
		}
		if b, err = json.Marshal(l); err != nil || len(b) > MaxLine {
			return fmt.Errorf("journal: a line of %d bytes", len(b))
		}
	}
	sum := sha256.Sum256(b)
	line := slices.Concat([]byte(hex.EncodeToString(sum[:8])+" "), b, []byte("\n"))
	f, err := os.OpenFile(j.file(l.Session), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(j.dir, 0o700); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		f, err = os.OpenFile(j.file(l.Session), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	}
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if torn(f) {
		line = append([]byte("\n"), line...)
	}
	_, err = f.Write(line)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// torn reports whether the last line of a file has no end.
func torn(f *os.File) bool {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return false
	}
	r, err := os.Open(f.Name())
	if err != nil {
		return false
	}
	defer func() { _ = r.Close() }()
	var last [1]byte
	_, err = r.ReadAt(last[:], info.Size()-1)
	return err == nil && last[0] != '\n'
}

// Page is what a session's file holds.
type Page struct {
	Lines []Line
	Size  int64 // bytes that were read
	Torn  int   // lines whose checksum is wrong
}

// Read reads a session from a place in its file on.
func (j Journal) Read(session string, from int64) (Page, error) { return read(j.file(session), from) }

// Any reports whether a session was ever told of in this work tree.
func (j Journal) Any() bool {
	names, _ := j.names()
	return len(names) > 0
}

func (j Journal) names() ([]string, error) {
	entries, err := os.ReadDir(j.dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	var out []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), j.prefix) && strings.HasSuffix(e.Name(), ".jsonl") {
			out = append(out, e.Name())
		}
	}
	return out, nil
}

// All reads the sessions of the work tree; of too many those that were written last.
func (j Journal) All() ([]Page, error) {
	names, err := j.names()
	if err != nil {
		return nil, err
	}
	if len(names) > maxFiles {
		written := map[string]time.Time{}
		for _, name := range names {
			if info, err := os.Stat(filepath.Join(j.dir, name)); err == nil {
				written[name] = info.ModTime()
			}
		}
		slices.SortStableFunc(names, func(a, b string) int { return written[b].Compare(written[a]) })
		names = names[:maxFiles]
	}
	var out []Page
	for _, name := range names {
		p, err := read(filepath.Join(j.dir, name), 0)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

func read(file string, from int64) (Page, error) {
	f, err := os.Open(file) //nolint:gosec // our own
	if errors.Is(err, os.ErrNotExist) {
		return Page{}, nil
	}
	if err != nil {
		return Page{}, fmt.Errorf("journal: %w", err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return Page{}, fmt.Errorf("journal: %w", err)
	}
	p := Page{Size: from}
	in := bufio.NewReaderSize(io.LimitReader(f, maxFile), 64<<10)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 0 && line[len(line)-1] == '\n' {
			p.Size += int64(len(line))
			if l, ok := parse(bytes.TrimSuffix(line, []byte("\n"))); ok {
				p.Lines = append(p.Lines, l)
			} else if len(line) > 1 {
				p.Torn++
			}
		}
		if errors.Is(err, io.EOF) {
			return p, nil // a line without an end is still being written, or torn
		}
		if err != nil {
			return p, fmt.Errorf("journal: %w", err)
		}
	}
}

func parse(line []byte) (Line, bool) {
	var l Line
	sum, body, ok := bytes.Cut(line, []byte(" "))
	if !ok || len(body) > MaxLine {
		return l, false
	}
	want := sha256.Sum256(body)
	if string(sum) != hex.EncodeToString(want[:8]) || json.Unmarshal(body, &l) != nil {
		return l, false
	}
	return l, true
}

// Sealed returns up to where a session's file is in a ledger.
func (j Journal) Sealed(session string) int64 {
	b, err := os.ReadFile(j.file(session) + ".sealed")
	var n int64
	if err != nil || len(b) > 32 {
		return 0
	}
	if _, err := fmt.Sscanf(string(b), "%d\n", &n); err != nil || n < 0 {
		return 0
	}
	if info, err := os.Stat(j.file(session)); err != nil || info.Size() < n {
		return 0 // another file than the one that was sealed
	}
	return n
}

// Seal notes up to where a session's file is in a ledger. Where a process dies between the two it is said once more: what a ledger has twice has one call, and one time.
func (j Journal) Seal(session string, to int64) error {
	tmp := j.file(session) + ".sealed.new"
	if err := os.WriteFile(tmp, fmt.Appendf(nil, "%d\n", to), 0o600); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if err := os.Rename(tmp, j.file(session)+".sealed"); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// Sweep removes the files of sessions that are sealed to their end and that nobody wrote to since a moment.
func (j Journal) Sweep(before time.Time) {
	names, err := j.names()
	if err != nil {
		return
	}
	for _, name := range names {
		file := filepath.Join(j.dir, name)
		info, err := os.Stat(file)
		if err != nil || !info.ModTime().Before(before) {
			continue
		}
		var n int64
		if b, err := os.ReadFile(file + ".sealed"); err == nil { //nolint:gosec // our own
			_, _ = fmt.Sscanf(string(b), "%d\n", &n)
		}
		if n == info.Size() {
			_ = errors.Join(os.Remove(file), os.Remove(file+".sealed"))
		}
	}
}
