// Package notes keeps the view of envelopes on the objects they speak of, in
// refs/notes/covenant, as git-notes(1) lays notes out: a tree of blobs named by
// the objects' names, in up to a few levels of fan-out.
//
// The note of a commit has its envelopes, one a line. The note of a blob has
// pointer lines, {"commit":…,"envelope":…}. Notes are derived from ledgers: they
// may be lost, and they prove nothing that the envelopes in them do not.
package notes

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
)

// Ref is where notes stand.
const Ref = "refs/notes/covenant"

// Limits. A blob that very many commits put back keeps its first pointer and
// the newest; pointers are hints, and the ledger has them all. A view with more notes than
// MaxNotes is not read.
const (
	maxNote     = 64 << 20
	MaxPointers = 32
	MaxNotes    = 4 << 20
	fanoutAt    = 256 // entries of a flat tree from which on it is split, as Git would about do
)

// ErrUnreadable says that the notes view is damaged. Nothing is lost with it: ledgers have it all.
var ErrUnreadable = errors.New("the notes view can't be read")

// Pointer is a line of a blob's note.
type Pointer struct {
	Commit   oid.ID          `json:"commit"`
	Envelope envelope.Digest `json:"envelope"`
}

// Line writes the pointer as a line without its newline.
func (p Pointer) Line() []byte {
	return []byte(`{"commit":"` + p.Commit.String() + `","envelope":"` + string(p.Envelope) + `"}`)
}

// ParsePointer reads a line of a blob's note.
func ParsePointer(line []byte) (Pointer, error) {
	var p Pointer
	if len(line) > 512 {
		return p, errors.New("not a pointer: too long")
	}
	if err := json.Unmarshal(line, &p); err != nil {
		return p, fmt.Errorf("not a pointer: %w", err)
	}
	if p.Commit.IsZero() || !p.Envelope.Valid() || !bytes.Equal(p.Line(), line) {
		return p, errors.New("not a pointer")
	}
	return p, nil
}

// Add is what an edit puts on one object.
type Add struct {
	Object oid.ID
	Line   []byte // without newline
	Blob   oid.ID // when not zero: a blob that holds exactly Line and a newline, used when the note was empty
	Hint   bool   // a pointer: the note keeps at most MaxPointers lines
	Other  bool   // the note is others', who may write what they like: it stays byte for byte, and the line follows
}

// Edit puts lines on objects and returns the new commit of the notes ref. base
// is the present commit, zero when there is none. A line that stands there
// already is not put twice. When nothing changes, base is returned.
func Edit(s *git.Session, base oid.ID, who git.Ident, subject string, adds []Add) (oid.ID, error) {
	t := &tree{s: s, format: s.Repo().Format()}
	if !base.IsZero() {
		if err := t.load(base.String() + "^{tree}"); err != nil {
			return oid.ID{}, err
		}
	}
	return t.commit(base, who, subject, adds)
}

// Join returns a commit with what one commit of a view holds, that goes on from another one as well.
func Join(s *git.Session, view, other oid.ID, who git.Ident, subject string) (oid.ID, error) {
	c, err := s.Commit(view.String())
	if err != nil {
		return oid.ID{}, err
	}
	return s.Put("commit", git.EncodeCommit(c.Tree, []oid.ID{view, other}, who, who, subject+"\n")), nil
}

// Rebuild is Edit of an empty view on top of base: what adds do not put is gone.
func Rebuild(s *git.Session, base oid.ID, who git.Ident, subject string, adds []Add) (oid.ID, error) {
	t := &tree{s: s, format: s.Repo().Format(), dirty: true}
	return t.commit(base, who, subject, adds)
}

func (t *tree) commit(base oid.ID, who git.Ident, subject string, adds []Add) (oid.ID, error) {
	for _, a := range adds {
		if err := t.add(a); err != nil {
			return oid.ID{}, fmt.Errorf("note on %s: %w", a.Object.Short(), err)
		}
	}
	if !t.dirty && !base.IsZero() {
		return base, nil
	}
	root, err := t.write()
	if err != nil {
		return oid.ID{}, err
	}
	var parents []oid.ID
	if !base.IsZero() {
		parents = []oid.ID{base}
	}
	return t.s.Put("commit", git.EncodeCommit(root, parents, who, who, subject+"\n")), nil
}

// Ident is the author of notes commits: they are a view and speak for nobody.
func Ident(when time.Time) git.Ident {
	return git.Ident{Name: "covenant", Email: "notes@covenant", When: when}
}

// tree is one level of the notes tree, loaded on demand.
type tree struct {
	s       *git.Session
	format  oid.Format
	entries []git.TreeEntry  // sorted as Git sorts
	sub     map[string]*tree // loaded subtrees, by name
	dirty   bool
}

func (t *tree) load(name string) error {
	o, err := t.s.Object(name, maxNote)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	if o.Kind != "tree" {
		return fmt.Errorf("%w: %s is a %s", ErrUnreadable, o.ID.Short(), o.Kind)
	}
	t.entries, err = git.ParseTree(t.format, o.Data)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	return nil
}

func (t *tree) index(name string) int {
	return slices.IndexFunc(t.entries, func(e git.TreeEntry) bool { return e.Name == name })
}

const dirMode = git.Mode(0o040000)

func (t *tree) subtree(i int) (*tree, error) {
	e := t.entries[i]
	if s, ok := t.sub[e.Name]; ok {
		return s, nil
	}
	s := &tree{s: t.s, format: t.format}
	if !e.ID.IsZero() {
		if err := s.load(e.ID.String()); err != nil {
			return nil, err
		}
	}
	if t.sub == nil {
		t.sub = map[string]*tree{}
	}
	t.sub[e.Name] = s
	return s, nil
}

func (t *tree) add(a Add) error {
	changed, err := t.addAt(a, a.Object.String())
	t.dirty = t.dirty || changed
	return err
}

// addAt puts the line under the remaining hexadecimal digits of the object's name.
func (t *tree) addAt(a Add, rest string) (bool, error) {
	i := t.index(rest)
	if i < 0 && len(rest) > 2 {
		if !t.fanned() && len(t.entries) >= fanoutAt {
			t.fanOut(len(rest))
		}
		if t.fanned() {
			s, err := t.subtree(t.dir(rest[:2]))
			if err != nil {
				return false, err
			}
			changed, err := s.addAt(a, rest[2:])
			s.dirty = s.dirty || changed
			return changed, err
		}
	}
	if i < 0 {
		blob := a.Blob
		if blob.IsZero() {
			blob = t.s.Put("blob", append(slices.Clone(a.Line), '\n'))
		}
		t.insert(git.TreeEntry{Mode: 0o100644, Name: rest, ID: blob})
		return true, nil
	}
	if t.entries[i].ID == a.Blob && !a.Blob.IsZero() {
		return false, nil
	}
	o, err := t.s.Object(t.entries[i].ID.String(), maxNote)
	if err != nil {
		return false, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	lines := envelope.Lines(o.Data)
	for _, l := range lines {
		if bytes.Equal(l, a.Line) {
			return false, nil
		}
	}
	if a.Other {
		text := slices.Clone(o.Data)
		if len(text) > 0 && text[len(text)-1] != '\n' {
			text = append(text, '\n')
		}
		t.entries[i].ID = t.s.Put("blob", append(append(text, a.Line...), '\n'))
		return true, nil
	}
	lines = append(lines, a.Line)
	if a.Hint && len(lines) > MaxPointers {
		lines = slices.Delete(lines, 1, 1+len(lines)-MaxPointers)
	}
	t.entries[i].ID = t.s.Put("blob", append(bytes.Join(lines, []byte{'\n'}), '\n'))
	return true, nil
}

// fanned reports whether the tree has a level of fan-out below it.
func (t *tree) fanned() bool {
	return slices.ContainsFunc(t.entries, func(e git.TreeEntry) bool { return e.Mode == dirMode && len(e.Name) == 2 })
}

// dir returns the index of a directory, which it makes when there is none.
func (t *tree) dir(name string) int {
	if i := t.index(name); i >= 0 {
		return i
	}
	t.insert(git.TreeEntry{Mode: dirMode, Name: name})
	return t.index(name)
}

// fanOut moves the notes whose names have n digits one level down.
func (t *tree) fanOut(n int) {
	old := t.entries
	t.entries = nil
	for _, e := range old {
		if e.Mode == dirMode || len(e.Name) != n {
			t.insert(e)
			continue
		}
		d := t.entries[t.dir(e.Name[:2])].Name
		if t.sub == nil {
			t.sub = map[string]*tree{}
		}
		if t.sub[d] == nil {
			t.sub[d] = &tree{s: t.s, format: t.format, dirty: true}
		}
		t.sub[d].insert(git.TreeEntry{Mode: e.Mode, Name: e.Name[2:], ID: e.ID})
	}
}

func (t *tree) insert(e git.TreeEntry) {
	i, _ := slices.BinarySearchFunc(t.entries, e.Name, func(x git.TreeEntry, name string) int { return strings.Compare(x.Name, name) })
	t.entries = slices.Insert(t.entries, i, e)
}

func (t *tree) write() (oid.ID, error) {
	for i := range t.entries {
		if s, ok := t.sub[t.entries[i].Name]; ok && s.dirty {
			id, err := s.write()
			if err != nil {
				return oid.ID{}, err
			}
			t.entries[i].ID = id
		}
	}
	b, err := git.EncodeTree(t.entries)
	if err != nil {
		return oid.ID{}, err
	}
	t.dirty = false
	return t.s.Put("tree", b), nil
}

// Note is one note: the object it is on and the blob that holds it. The same
// object can have more than one, over different fan-outs.
type Note struct{ Object, Blob oid.ID }

// List returns all notes of a notes commit or tree, over every fan-out. What is
// no note of ours (other modes, other names) is passed over.
//
// The error wraps ErrUnreadable where the tree is no view that a writer of notes makes: see [Check].
func List(s *git.Session, root string) ([]Note, error) { return walk(s, root, false) }

// Check reports whether the tree of a notes commit has the shape of a view, and nothing else: directories of two hexadecimal digits, blobs
// under the rest of an object's name, at most [MaxNotes] of them, and no directory twice. The names of objects are
// digests, so no two directories of a real view are equal; where equal ones are allowed, eight trees show more entries than anybody can list.
func Check(s *git.Session, root string) error {
	_, err := walk(s, root, true)
	return err
}

func walk(s *git.Session, root string, strict bool) ([]Note, error) {
	format := s.Repo().Format()
	digits := 2 * format.Size()
	bad := func(out []Note, format string, a ...any) ([]Note, error) {
		return out, fmt.Errorf("%w: "+format, append([]any{ErrUnreadable}, a...)...)
	}
	var out []Note
	type dir struct{ prefix, name string }
	level := []dir{{"", root + "^{tree}"}}
	known := map[oid.ID]bool{}
	for len(level) > 0 {
		var next []dir
		i := 0
		for o, err := range s.Objects(namesOf(level, func(d dir) string { return d.name }), maxNote) {
			if err != nil {
				return bad(out, "%w", err)
			}
			if o.Kind != "tree" {
				return bad(out, "%s is a %s", o.ID.Short(), o.Kind)
			}
			if known[o.ID] {
				return bad(out, "it shows the directory %s twice", o.ID.Short())
			}
			known[o.ID] = true
			entries, err := git.ParseTree(format, o.Data)
			if err != nil {
				return bad(out, "%w", err)
			}
			for _, e := range entries {
				full := level[i].prefix + e.Name
				id, perr := oid.Parse(full)
				switch {
				case e.Mode == dirMode && len(e.Name) == 2 && len(full) < digits && hexadecimal(e.Name):
					next = append(next, dir{full, e.ID.String()})
				case e.Mode.IsRegular() && len(full) == digits && perr == nil:
					out = append(out, Note{id, e.ID})
				case strict:
					return bad(out, "%.80q is no note", full)
				}
			}
			if len(out)+len(next) > MaxNotes {
				return bad(out, "it has more than %d notes", MaxNotes)
			}
			i++
		}
		level = next
	}
	return out, nil
}

func hexadecimal(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return (r < '0' || r > '9') && (r < 'a' || r > 'f') })
}

// Of returns the content of all notes on one object: there is more than one
// where different fan-outs hold it. No notes, or none on it, is no error.
func Of(s *git.Session, ref string, object oid.ID) ([][]byte, error) {
	return Within(s, ref, object, maxNote)
}

// Within is Of for who reads no note of more than so many bytes: one that is larger is [ErrUnreadable].
func Within(s *git.Session, ref string, object oid.ID, most int64) ([][]byte, error) {
	var out [][]byte
	dir, rest := ref+"^{tree}", object.String()
	for {
		o, err := s.Object(dir, maxNote)
		if errors.Is(err, git.ErrMissing) {
			return out, nil
		}
		if err != nil {
			return out, fmt.Errorf("%w: %w", ErrUnreadable, err)
		}
		entries, err := git.ParseTree(s.Repo().Format(), o.Data)
		if err != nil {
			return out, fmt.Errorf("%w: %w", ErrUnreadable, err)
		}
		dir = ""
		for _, e := range entries {
			switch {
			case e.Name == rest && e.Mode.IsRegular():
				n, err := s.Object(e.ID.String(), most)
				if err != nil {
					return out, fmt.Errorf("%w: %w", ErrUnreadable, err)
				}
				out = append(out, n.Data)
			case e.Mode == dirMode && len(rest) > 2 && e.Name == rest[:2]:
				dir = e.ID.String()
			}
		}
		if dir == "" {
			return out, nil
		}
		rest = rest[2:]
	}
}

func namesOf[T any](list []T, name func(T) string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, x := range list {
			if !yield(name(x)) {
				return
			}
		}
	}
}
