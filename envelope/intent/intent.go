// Package intent holds the statements about pieces of work that somebody asked for, their life, and what all statements about one
// of them come to.
//
// An intent is opened by intent.opened/v1, changed by intent.edited/v1, and taken from one state to another by intent.moved/v1, in
// ledgers of topic intent. Each move and each edit names the statement before it, the first one the opening. So none can be put before
// another that stands already, whatever it says of its time. [Fold] reads them back.
//
// docs/spec/intent.md is the format.
package intent

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/pattern"
)

// Topic is the topic of the ledgers that intents stand in.
const Topic = "intent"

// Types of the statements.
const (
	OpenedType = "intent.opened/v1"
	EditedType = "intent.edited/v1"
	MovedType  = "intent.moved/v1"
)

// Actions by which somebody who is no operator may make them.
const (
	OpenAction   = "intent.open"
	EditAction   = "intent.edit"
	MoveAction   = "intent.move"
	ImportAction = "intent.import" // open in another state than proposed, as it was elsewhere
	WaiveAction  = "intent.waive"  // take a gate away
)

// ErrInvalid says that a statement or a field of it is malformed.
var ErrInvalid = errors.New("not a valid intent")

// Limits.
const (
	MaxText     = 16 << 10  // bytes of a text
	MaxLine     = 1024      // bytes of what is one line, or an item of a list
	MaxTitle    = 256       // bytes
	MaxName     = 128       // bytes
	MaxItems    = 64        // items of a list
	MaxImported = 256 << 10 // bytes of what was taken over
	MaxLines    = 1 << 24   // lines of a file of events
	IDLen       = 32        // hexadecimal digits of an id
)

// ID names an intent: the first 32 hexadecimal digits of the identity of the entry that opened it.
type ID string

// IDOf returns the id of the intent that an entry opens.
func IDOf(entry envelope.Digest) ID {
	hex := strings.TrimPrefix(string(entry), "sha256:")
	return ID(hex[:min(IDLen, len(hex))])
}

// Valid reports whether an id is one.
func (id ID) Valid() bool { return len(id) == IDLen && hexadecimal(string(id)) }

// Short is how people are shown an id, and may type it where no other begins so.
func (id ID) Short() string { return string(id[:min(12, len(id))]) }

func hexadecimal(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return s != ""
}

// Fields are what an intent says, and what an edit may change.
type Fields struct {
	Escalations  []string `json:"escalations,omitempty"`  // when a person is to be asked
	Failures     []string `json:"failures,omitempty"`     // how it is expected to go wrong
	Gates        []Gate   `json:"gates,omitempty"`        // sorted
	Name         string   `json:"name,omitempty"`         // a slug, beside the id
	Needs        []ID     `json:"needs,omitempty"`        // intents that are to be integrated before this one is worked on; sorted
	Next         string   `json:"next,omitempty"`         // what is to be done next
	Parent       ID       `json:"parent,omitempty"`       // the intent that this one is a part of
	Priority     Priority `json:"priority"`               //
	Role         Role     `json:"role"`                   // whose turn it is
	Scope        []string `json:"scope,omitempty"`        // patterns of paths
	Text         string   `json:"text"`                   // what is asked for
	Title        string   `json:"title"`                  // one line
	Verification []string `json:"verification,omitempty"` // commands that tell whether it is done
}

// Opened is the body of the statement that opens an intent.
type Opened struct {
	Fields
	Imported *Imported `json:"imported,omitempty"`
	State    State     `json:"state,omitempty"` // absent: proposed
}

// Imported is an intent as another system had it, byte for byte.
type Imported struct {
	Events []string `json:"events,omitempty"` // its lines of events.jsonl
	Format string   `json:"format"`           // "autonomy/v1"
	Lines  []int    `json:"lines,omitempty"`  // their numbers there, from 1
	Record string   `json:"record"`           // the file of its task
}

func (i *Imported) size() int {
	n := len(i.Record)
	for _, e := range i.Events {
		n += len(e) + 1
	}
	return n
}

// Edited is the body of the statement that changes what an intent says: all of it is said anew.
type Edited struct {
	After  envelope.Digest `json:"after"` // the edit or move before it that counts, else the opening
	Intent ID              `json:"intent"`
	Set    Fields          `json:"set"`
}

// Moved is the body of the statement that takes an intent from one state to another.
type Moved struct {
	After     envelope.Digest `json:"after"` // likewise
	Artifacts []Artifact      `json:"artifacts,omitempty"`
	From      State           `json:"from"`
	Intent    ID              `json:"intent"`
	Next      string          `json:"next,omitempty"` // what is to be done next; absent: as it was
	Note      string          `json:"note,omitempty"`
	Role      Role            `json:"role"`
	To        State           `json:"to"`
}

// Artifact is what is shown at a gate.
type Artifact struct {
	Gate Gate   `json:"gate"`
	Ref  string `json:"ref"` // PATH@COMMIT, sha256:… of an entry, or text:…
}

// Parsed is an opened statement of this package; exactly one of its first three fields is set.
type Parsed struct {
	Opened *Opened
	Edited *Edited
	Moved  *Moved
	Entry  envelope.Header
}

// Types lists the types of statements that [Parse] reads.
var Types = []string{OpenedType, EditedType, MovedType}

// Parse reads an opened statement about an intent. Of a newer version the error wraps [envelope.ErrNewer].
func Parse(o *envelope.Opened) (*Parsed, error) {
	typ, err := envelope.TypeOf(o)
	if err != nil {
		return nil, err
	}
	name, _, _ := strings.Cut(typ, "/")
	switch name {
	case "intent.opened":
		s, err := envelope.Decode[Opened](o, OpenedType)
		if err != nil {
			return nil, err
		}
		return &Parsed{Opened: &s.Body, Entry: s.Entry}, s.Body.Validate()
	case "intent.edited":
		s, err := envelope.Decode[Edited](o, EditedType)
		if err != nil {
			return nil, err
		}
		return &Parsed{Edited: &s.Body, Entry: s.Entry}, s.Body.Validate()
	case "intent.moved":
		s, err := envelope.Decode[Moved](o, MovedType)
		if err != nil {
			return nil, err
		}
		return &Parsed{Moved: &s.Body, Entry: s.Entry}, s.Body.Validate()
	}
	return nil, fmt.Errorf("%w: a statement of type %.100q", ErrInvalid, typ)
}

func invalid(format string, a ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, a...)...)
}

// Validate reports whether an opening is well formed.
func (o *Opened) Validate() error {
	if err := o.Fields.Validate(); err != nil {
		return err
	}
	if o.State != "" && (o.State == Proposed || !slices.Contains(States, o.State)) {
		return invalid("state %.40q of an opening", o.State)
	}
	if i := o.Imported; i != nil {
		switch {
		case i.Format != SeedFormat:
			return invalid("it was imported from %.40q, which is not known", i.Format)
		case i.Record == "" || i.size() > MaxImported:
			return invalid("%d bytes were imported; at most %d are", i.size(), MaxImported)
		case len(i.Events) != len(i.Lines) || !slices.IsSorted(i.Lines) || len(i.Lines) > 0 && (i.Lines[0] < 1 || i.Lines[len(i.Lines)-1] > MaxLines):
			return invalid("the lines of its events have no numbers from 1 to %d", MaxLines)
		}
	}
	return nil
}

// Validate reports whether the fields are well formed. It says which one is not.
func (f *Fields) Validate() error {
	switch {
	case f.Text == "" || len(f.Text) > MaxText:
		return invalid("the text has %d bytes; it has 1 to %d", len(f.Text), MaxText)
	case !plain(f.Text, true):
		return invalid("the text has control characters, or is not UTF-8")
	case !line(f.Title, MaxTitle):
		return invalid("the title is one line of 1 to %d bytes without control characters", MaxTitle)
	case f.Name != "" && !ValidName(f.Name):
		return invalid("name %.140q: a name is a-z, 0-9 and \"-\", begins with neither \"-\" nor looks like an id, and has at most %d bytes", f.Name, MaxName)
	case !slices.Contains(Priorities, f.Priority):
		return invalid("priority %.40q; there are %s", f.Priority, List(Priorities))
	case !slices.Contains(Roles, f.Role):
		return invalid("role %.40q; there are %s", f.Role, List(Roles))
	case f.Next != "" && !line(f.Next, MaxLine):
		return invalid("the next action is one line of at most %d bytes without control characters", MaxLine)
	case f.Parent != "" && !f.Parent.Valid():
		return invalid("parent %.80q is no id", f.Parent)
	}
	for what, list := range map[string][]string{"escalations": f.Escalations, "failures": f.Failures, "verification": f.Verification} {
		if len(list) > MaxItems {
			return invalid("%d items in %s; at most %d are", len(list), what, MaxItems)
		}
		for _, x := range list {
			if !line(x, MaxLine) {
				return invalid("%s: %.60q is not one line of 1 to %d bytes without control characters", what, x, MaxLine)
			}
		}
	}
	if len(f.Gates) > len(Guards) || len(f.Needs) > MaxItems || len(f.Scope) > MaxItems {
		return invalid("too many gates, needs or paths")
	}
	for i, g := range f.Gates {
		if _, ok := GuardOf(g); !ok || i > 0 && f.Gates[i-1] >= g {
			return invalid("gates are %s, sorted, each once", List(f.Gates))
		}
	}
	for i, id := range f.Needs {
		if !id.Valid() || i > 0 && f.Needs[i-1] >= id {
			return invalid("needs are ids, sorted, each once: %.80q", id)
		}
	}
	for _, p := range f.Scope {
		if err := pattern.Check(p); err != nil || !line(p, pattern.MaxLen) {
			return invalid("scope: %.100q is no pattern of paths of the repository", p)
		}
	}
	return nil
}

// Validate reports whether an edit is well formed.
func (e *Edited) Validate() error {
	if !e.Intent.Valid() || !e.After.Valid() {
		return invalid("an edit of %.80q after %.80q", e.Intent, e.After)
	}
	return e.Set.Validate()
}

// Validate reports whether a move is well formed. Whether it is legal is told by [Fold].
func (m *Moved) Validate() error {
	switch {
	case !m.Intent.Valid() || !m.After.Valid():
		return invalid("a move of %.80q after %.80q", m.Intent, m.After)
	case !slices.Contains(States, m.From) || !slices.Contains(States, m.To) || !slices.Contains(Roles, m.Role):
		return invalid("a move from %.40q to %.40q by %.40q", m.From, m.To, m.Role)
	case m.Next != "" && !line(m.Next, MaxLine):
		return invalid("the next action is one line of at most %d bytes without control characters", MaxLine)
	case m.Note != "" && (len(m.Note) > MaxText || !plain(m.Note, true)):
		return invalid("a note has at most %d bytes of UTF-8 without control characters", MaxText)
	case len(m.Artifacts) > len(Guards):
		return invalid("%d artifacts", len(m.Artifacts))
	}
	for i, a := range m.Artifacts {
		if err := a.Validate(); err != nil {
			return err
		}
		if i > 0 && m.Artifacts[i-1].Gate >= a.Gate {
			return invalid("artifacts are sorted by gate, one for each")
		}
	}
	return nil
}

// Validate reports whether an artifact is well formed.
func (a *Artifact) Validate() error {
	if _, ok := GuardOf(a.Gate); !ok {
		return invalid("there is no gate %.40q", a.Gate)
	}
	if !line(a.Ref, MaxLine) {
		return invalid("the artifact of gate %s is one line of 1 to %d bytes without control characters", a.Gate, MaxLine)
	}
	if text, ok := strings.CutPrefix(a.Ref, "text:"); ok {
		if strings.TrimSpace(text) == "" {
			return invalid("the artifact of gate %s says nothing", a.Gate)
		}
		return nil
	}
	if envelope.Digest(a.Ref).Valid() {
		return nil
	}
	i := strings.LastIndexByte(a.Ref, '@')
	if i <= 0 {
		return invalid("the artifact of gate %s is PATH@COMMIT, the sha256:… of an entry, or text:…, not %.100q", a.Gate, a.Ref)
	}
	if _, err := oid.Parse(a.Ref[i+1:]); err != nil || !relative(a.Ref[:i]) {
		return invalid("the artifact of gate %s is PATH@COMMIT with a path of the repository and a full object name, not %.100q", a.Gate, a.Ref)
	}
	return nil
}

// relative reports whether a path stays within the repository.
func relative(p string) bool {
	return p != "" && p != "." && path.Clean(p) == p && !path.IsAbs(p) && p != ".." && !strings.HasPrefix(p, "../")
}

// ValidName reports whether a slug may name an intent: it could not be taken for an id.
func ValidName(s string) bool {
	if s == "" || len(s) > MaxName || s[0] == '-' || ID(s).Valid() {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// LikeID reports whether a name could be taken for the beginning of an id, as those are shown: none is given to an intent any more.
func LikeID(name string) bool { return len(name) >= 7 && len(name) <= IDLen && hexadecimal(name) }

// TitleOf is the title of an intent that was given none: its first line, cut between words.
func TitleOf(text string) string {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	text = strings.Join(strings.Fields(text), " ")
	const most = 80
	if len(text) <= most {
		return text
	}
	cut := most - len("…")
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	if i := strings.LastIndexByte(text[:cut], ' '); i > most/2 {
		cut = i
	}
	return text[:cut] + "…"
}

// plain reports whether a text is UTF-8 without control characters; lines may be several.
func plain(s string, lines bool) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		if lines && (r == '\n' || r == '\t') {
			return false
		}
		return r < ' ' || r >= 0x7f && r < 0xa0
	})
}

func line(s string, most int) bool { return s != "" && len(s) <= most && plain(s, false) }
