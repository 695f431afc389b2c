// Package handoff has the statements by which one session leaves its unfinished work to another: that it did
// ([Created]), that somebody took it up ([Resumed]), and that whoever had taken it up, or an operator, let it go again ([Released]).
//
// The work itself is in Git: commits of what HEAD was at, of the index, of the tracked files and of the untracked ones. The
// statement names them, and has a digest of every content, so that it rests on no SHA-1. docs/spec/handoff.md has the bytes.
package handoff

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/git/oid"
)

// Types of statements. All stand in ledgers of topic [Topic].
const (
	Created  = "handoff.created/v1"
	Resumed  = "handoff.resumed/v1"
	Released = "handoff.released/v1"
)

// Topic is the topic of the ledgers that they stand in.
const Topic = "intent"

// Limits of what a statement holds.
const (
	MaxText      = 16 << 10 // bytes of a note, a question, the next action
	MaxQuestions = 64
	MaxNames     = 256 // evidence; references to memory
	MaxWord      = 256 // bytes of one line
	MaxLeft      = 256 // files that were left out, and are named
	MaxPath      = 4096
	MaxFiles     = 100_000 // contents of a handoff
)

// ErrInvalid says that a statement is none of its type.
var ErrInvalid = errors.New("not a valid handoff")

// Part is one of the commits that a handoff is made of.
type Part struct {
	Commit oid.ID `json:"commit"`
	Tree   oid.ID `json:"tree"`
}

// IsZero reports whether there is no such part.
func (p Part) IsZero() bool { return p.Commit.IsZero() && p.Tree.IsZero() }

// Reason says why a file was left out.
type Reason string

// Reasons.
const (
	TooLarge  Reason = "size"       // of one file
	TooMuch   Reason = "total"      // with all that come before it
	Secret    Reason = "secret"     // it holds one, by a rule of redaction
	Submodule Reason = "submodule"  // what is in it, or where its HEAD is
	Nested    Reason = "repository" // it is a repository of its own
	Special   Reason = "special"    // it is neither a file nor a link
	Absent    Reason = "absent"     // it was to be added, and is not there
	Name      Reason = "name"       // its name is one that Git checks out for nobody
)

func (r Reason) valid() bool {
	switch r {
	case TooLarge, TooMuch, Secret, Submodule, Nested, Special, Absent, Name:
		return true
	}
	return false
}

// Left is a file that is not in the handoff. A tracked one is as the index has it there.
type Left struct {
	Bytes  int64  `json:"bytes,omitempty"`
	Path   string `json:"path,omitempty"`
	Path64 string `json:"path64,omitempty"` // in its place, where the bytes are no UTF-8
	Reason Reason `json:"reason"`
	Rule   string `json:"rule,omitempty"` // of redaction
}

// NewLeft names a file by the bytes of its path.
func NewLeft(path string, why Reason) Left {
	l := Left{Reason: why, Path: path}
	if !utf8.ValidString(path) {
		l.Path, l.Path64 = "", base64.StdEncoding.EncodeToString([]byte(path))
	}
	return l
}

// PathBytes returns the bytes of the path.
func (l Left) PathBytes() string {
	if l.Path64 == "" {
		return l.Path
	}
	b, _ := base64.StdEncoding.DecodeString(l.Path64)
	return string(b)
}

func (l Left) valid() bool {
	if l.Path64 != "" {
		b, err := base64.StdEncoding.Strict().DecodeString(l.Path64)
		if err != nil || utf8.Valid(b) || base64.StdEncoding.EncodeToString(b) != l.Path64 {
			return false
		}
	}
	return (l.Path == "") != (l.Path64 == "") && len(l.PathBytes()) <= MaxPath && l.Bytes >= 0 && l.Reason.valid() && (l.Rule == "" || envelope.IsLine(l.Rule, MaxWord))
}

// Creation is the body of a [Created] statement.
type Creation struct {
	Base        oid.ID            `json:"base,omitzero"` // what HEAD was at; absent where the branch had no commit
	Bytes       int64             `json:"bytes"`         // of all contents together
	Commit      oid.ID            `json:"commit"`        // of the tracked files; its parents are base, index and untracked, those that are there
	Evidence    []envelope.Digest `json:"evidence,omitempty"`
	Files       int               `json:"files"` // how many contents
	Index       Part              `json:"index"` // the commit's parent is base
	Intent      string            `json:"intent,omitempty"`
	IntentState string            `json:"intentState,omitempty"` // digest of the intent's state
	Left        []Left            `json:"left,omitempty"`
	LeftMore    int               `json:"leftMore,omitempty"` // how many more were left out
	Manifest    envelope.Digest   `json:"manifest"`           // of all contents
	Memory      []string          `json:"memory,omitempty"`
	Next        string            `json:"next,omitempty"` // what is to be done next
	Note        string            `json:"note,omitempty"`
	Questions   []string          `json:"questions,omitempty"` // that are open
	Ref         string            `json:"ref,omitempty"`       // that HEAD was on; absent where it was detached
	Tree        oid.ID            `json:"tree"`                // of the commit
	Untracked   Part              `json:"untracked,omitzero"`  // the commit has no parent; absent where there was nothing
}

// Validate reports whether the body is one that every reader takes.
func (c *Creation) Validate() error {
	bad := func(what string) error { return fmt.Errorf("%w: %s", ErrInvalid, what) }
	format := c.Commit.Format()
	ids := []oid.ID{c.Commit, c.Tree, c.Index.Commit, c.Index.Tree}
	if !c.Untracked.IsZero() {
		ids = append(ids, c.Untracked.Commit, c.Untracked.Tree)
	}
	for _, id := range ids {
		if id.IsZero() || id.Format() != format {
			return bad("it names no object")
		}
	}
	if !c.Base.IsZero() && c.Base.Format() != format {
		return bad("base is no object of this repository")
	}
	switch {
	case !c.Manifest.Valid():
		return bad("manifest is no digest")
	case c.Bytes < 0 || c.Files < 0 || c.Files > MaxFiles:
		return bad("number or bytes of contents")
	case c.Ref != "" && (!strings.HasPrefix(c.Ref, "refs/") || !envelope.IsLine(c.Ref, MaxWord)):
		return bad("ref is no full name")
	case c.Intent != "" && !envelope.IsLine(c.Intent, MaxWord), c.IntentState != "" && (c.Intent == "" || !envelope.IsLine(c.IntentState, MaxWord)):
		return bad("intent")
	case !text(c.Note) || !text(c.Next):
		return bad("note or next action: a text has at most 16 KiB of UTF-8")
	case len(c.Questions) > MaxQuestions || len(c.Evidence) > MaxNames || len(c.Memory) > MaxNames || len(c.Left) > MaxLeft:
		return bad("a list is too long")
	case c.LeftMore < 0 || c.LeftMore > 0 && len(c.Left) < MaxLeft:
		return bad("files that were left out")
	}
	for _, q := range c.Questions {
		if q == "" || !text(q) {
			return bad("a question")
		}
	}
	for _, d := range c.Evidence {
		if !d.Valid() {
			return bad("evidence is no id")
		}
	}
	for _, m := range c.Memory {
		if !envelope.IsLine(m, MaxWord) {
			return bad("a reference to memory")
		}
	}
	for _, l := range c.Left {
		if !l.valid() {
			return bad("a file that was left out")
		}
	}
	return nil
}

// Resumption is the body of a [Resumed] statement.
type Resumption struct {
	Again   bool            `json:"again,omitempty"` // it was resumed before, and whoever says this knows
	Created envelope.Digest `json:"created"`         // the handoff
	Serial  string          `json:"serial"`          // 32 hexadecimal digits: the attempt that it is of
}

// Release is the body of a [Released] statement.
type Release struct {
	Reason  string          `json:"reason,omitempty"` // for people
	Resumed envelope.Digest `json:"resumed"`          // the resumption, of the same key, or of anybody where an operator says so
}

// Statement is one opened statement; one of its pointers is set.
type Statement struct {
	Entry    envelope.Header
	Creation *Creation
	Resume   *Resumption
	Release  *Release
}

// Parse reads an opened statement of one of the three types.
func Parse(o *envelope.Opened) (*Statement, error) {
	typ, err := envelope.TypeOf(o)
	if err != nil {
		return nil, err
	}
	name, _, _ := strings.Cut(typ, "/")
	switch name {
	case "handoff.resumed":
		s, err := envelope.Decode[Resumption](o, Resumed)
		if err != nil {
			return nil, err
		}
		if !s.Body.Created.Valid() || !serial(s.Body.Serial) {
			return nil, fmt.Errorf("%w: it resumes nothing, or has no serial", ErrInvalid)
		}
		return topical(&Statement{Entry: s.Entry, Resume: &s.Body})
	case "handoff.released":
		s, err := envelope.Decode[Release](o, Released)
		if err != nil {
			return nil, err
		}
		if !s.Body.Resumed.Valid() || !text(s.Body.Reason) {
			return nil, fmt.Errorf("%w: it releases nothing", ErrInvalid)
		}
		return topical(&Statement{Entry: s.Entry, Release: &s.Body})
	}
	s, err := envelope.Decode[Creation](o, Created)
	if err != nil {
		return nil, err
	}
	if err := s.Body.Validate(); err != nil {
		return nil, err
	}
	return topical(&Statement{Entry: s.Entry, Creation: &s.Body})
}

func topical(s *Statement) (*Statement, error) {
	if s.Entry.Topic != Topic {
		return nil, fmt.Errorf("%w: in a ledger of topic %.40q, not %s", ErrInvalid, s.Entry.Topic, Topic)
	}
	return s, nil
}

func serial(s string) bool {
	return len(s) == 32 && strings.Trim(s, "0123456789abcdef") == ""
}

func text(s string) bool { return len(s) <= MaxText && utf8.ValidString(s) }
