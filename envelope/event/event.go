// Package event holds the statement about what happened and has no statement of its own: a tool was called, a
// login failed, somebody notes something. A grant, a decision or a seal is none: it is its own record, and a second
// one could disagree with it.
//
// The statement is audit.recorded/v1, in ledgers of topic audit. Its body is
//
//	{"events":[{"at":…,"data":{…},"intent":…,"kind":…,"outcome":…,"session":…}, …]}
//
// with one event, or, where events come at a high rate, with all of a while: a segment. Only kind is always there. What
// data may hold is told by the kind ([Kinds]); a writer is held to that ([Event.Validate]), a reader takes any fields, so
// that a kind may learn a field without a ledger breaking for whoever has an older program ([Parse]).
package event

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/canonical"
)

// Recorded is the type of the statement.
const Recorded = "audit.recorded/v1"

// Name is a statement's type without its version, as the log has it for a kind.
func Name(typ string) string {
	if i := strings.LastIndex(typ, "/v"); i > 0 {
		return typ[:i]
	}
	return typ
}

// ErrInvalid says that an event is malformed, or not what its kind allows.
var ErrInvalid = errors.New("not a valid event")

// Limits of a recording. An entry is read whole, so a segment is bounded like any other; a longer text belongs into an attachment, by its digest.
const (
	MaxEvents = 1 << 16  // of one entry
	MaxEvent  = 64 << 10 // bytes of one event's canonical JSON
	MaxText   = 16 << 10 // bytes of a text
	MaxWord   = 256      // bytes of a name, an intent, a session
	maxList   = 1024     // items
	maxData   = 8        // levels of data of kinds that this program does not know
)

// Outcome is how what happened ended; "" where that is not the question.
type Outcome string

// Outcomes.
const (
	OK      Outcome = "ok"
	Failed  Outcome = "failed"
	Denied  Outcome = "denied"
	Ignored Outcome = "ignored"
)

// Event is one thing that happened.
type Event struct {
	At      string         `json:"at,omitempty"`      // when, RFC 3339 in UTC and whole seconds; absent: when the entry was made
	Data    map[string]any `json:"data,omitempty"`    // what the kind has fields for
	Intent  string         `json:"intent,omitempty"`  // it was done for
	Kind    string         `json:"kind"`              // lower case, digits and "_"; "x." and two such words for one of somebody's own
	Outcome Outcome        `json:"outcome,omitempty"` // how it ended
	Session string         `json:"session,omitempty"` // it belongs to
}

// Recording is the body of the statement: at least one event.
type Recording struct {
	Events []Event `json:"events"`
}

// Parse reads an opened recording.
func Parse(o *envelope.Opened) (*envelope.Ledger[Recording], error) {
	s, err := envelope.Decode[Recording](o, Recorded)
	if err != nil {
		return nil, err
	}
	if n := len(s.Body.Events); n == 0 || n > MaxEvents {
		return nil, fmt.Errorf("%w: an entry of %d events", ErrInvalid, n)
	}
	for i := range s.Body.Events {
		if err := s.Body.Events[i].shape(); err != nil {
			return nil, fmt.Errorf("event %d: %w", i+1, err)
		}
	}
	return s, nil
}

// shape holds an event to what every reader must be able to rely on, whatever its kind.
func (e *Event) shape() error {
	switch {
	case !ValidKind(e.Kind):
		return fmt.Errorf("%w: kind %.100q", ErrInvalid, e.Kind)
	case e.At != "" && envelope.CheckTime(e.At) != nil:
		return fmt.Errorf("%w: at %.40q is no time in UTC with whole seconds, such as 2026-01-31T12:00:00Z", ErrInvalid, e.At)
	case e.Intent != "" && !envelope.IsLine(e.Intent, MaxWord), e.Session != "" && !envelope.IsLine(e.Session, MaxWord):
		return fmt.Errorf("%w: an intent or session is 1 to %d bytes of one line", ErrInvalid, MaxWord)
	case !slices.Contains([]Outcome{"", OK, Failed, Denied, Ignored}, e.Outcome):
		return fmt.Errorf("%w: outcome %.40q; there are ok, failed, denied and ignored", ErrInvalid, e.Outcome)
	}
	for name, v := range e.Data {
		if !label(name) || slices.Contains(reserved, name) {
			return fmt.Errorf("%w: no field is named %.100q", ErrInvalid, name)
		}
		if err := plain(v, 1); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// reserved are the names that lines of the log have beside the fields of data.
var reserved = []string{
	"accountable", "at", "entry", "id", "index", "intent", "kind", "ledger", "line", "object", "outcome", "principal", "seq", "session", "time", "type",
}

// plain reports whether a value of data is made of what canonical JSON holds, not too deep.
func plain(v any, depth int) error {
	if depth > maxData {
		return fmt.Errorf("%w: nested too deep", ErrInvalid)
	}
	switch v := v.(type) {
	case string:
		if len(v) > MaxText || !utf8.ValidString(v) {
			return fmt.Errorf("%w: a text has at most %d bytes of UTF-8", ErrInvalid, MaxText)
		}
	case []any:
		if len(v) > maxList {
			return fmt.Errorf("%w: a list has at most %d items", ErrInvalid, maxList)
		}
		for _, x := range v {
			if err := plain(x, depth+1); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, x := range v {
			if err := plain(x, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// ValidKind reports whether a text may name a kind: a lower-case letter, then lower-case letters, digits and "_", at most 64
// bytes; or "x." and two such words with a dot between them, the first of whoever it belongs to.
func ValidKind(s string) bool {
	own, ok := strings.CutPrefix(s, "x.")
	if !ok {
		return label(s) && s != "seal" && s != "evidence" // which the log has for those statements
	}
	who, what, cut := strings.Cut(own, ".")
	return cut && label(who) && label(what)
}

func label(s string) bool {
	for i, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (i == 0 || ((c < '0' || c > '9') && c != '_')) {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// Validate holds an event to its kind, before it is written.
func (e *Event) Validate() error {
	if err := e.shape(); err != nil {
		return err
	}
	if n, err := e.size(); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	} else if n > MaxEvent {
		return fmt.Errorf("%w: %d bytes; an event has at most %d: keep long text in a file, and its digest here", ErrInvalid, n, MaxEvent)
	}
	if strings.HasPrefix(e.Kind, "x.") {
		return nil
	}
	k, ok := Find(e.Kind)
	if !ok {
		return fmt.Errorf("%w: there is no kind %q; one of your own is x.WHO.WHAT", ErrInvalid, e.Kind)
	}
	if k.Outcome && e.Outcome == "" {
		return fmt.Errorf("%w: %s must say its outcome: ok, failed, denied or ignored", ErrInvalid, e.Kind)
	}
	for _, name := range slices.Sorted(maps.Keys(e.Data)) {
		i := slices.IndexFunc(k.Fields, func(f Field) bool { return f.Name == name })
		if i < 0 {
			return fmt.Errorf("%w: %s has no field %q; it has %s", ErrInvalid, e.Kind, name, strings.Join(k.names(), ", "))
		}
		if err := k.Fields[i].Type.check(e.Data[name]); err != nil {
			return fmt.Errorf("%w: %s: field %s %w", ErrInvalid, e.Kind, name, err)
		}
	}
	for _, f := range k.Fields {
		if _, there := e.Data[f.Name]; f.Must && !there {
			return fmt.Errorf("%w: %s lacks its field %q (%s)", ErrInvalid, e.Kind, f.Name, f.Type)
		}
	}
	return nil
}

// Size returns how many bytes the event has as canonical JSON; 0 when it has no such form.
func (e *Event) Size() int {
	n, _ := e.size()
	return n
}

func (e *Event) size() (int, error) {
	b, err := canonical.Marshal(e)
	return len(b), err
}
