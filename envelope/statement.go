package envelope

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope/canonical"
)

// Payload types. Each separates one domain of statements from all others.
const (
	TypeInToto = "application/vnd.in-toto+json"             // statements about Git objects: in-toto Statement v1
	TypeLedger = "application/vnd.covenant.ledger.v1+json"  // all other statements of a ledger
	TypeRoot   = "application/vnd.covenant.trust-root+json" // versions of the trust root
)

// Refusals of statements.
var (
	ErrRepository = errors.New("statement of another repository")
	ErrHeader     = errors.New("statement's entry is malformed")
	// ErrNewer says that a statement's version is newer than this program: it cannot decide.
	ErrNewer = errors.New("statement is newer than this program")
)

// Header binds a statement to its place in its writer's ledger. It is the
// field "entry" of a ledger statement, and of the predicate of an in-toto one.
type Header struct {
	Heads      []Head `json:"heads,omitempty"` // other ledgers that moved since this writer's last entry, sorted by Ledger
	Prev       Digest `json:"prev,omitempty"`  // identity of the previous entry; absent in the first
	Repository Digest `json:"repository"`      // identity of version 1 of the trust root
	Seq        uint64 `json:"seq"`             // 1 for the first entry
	Time       string `json:"time"`            // RFC 3339, UTC, whole seconds; a claim of the writer
	Topic      string `json:"topic"`
	Writer     string `json:"writer"`
}

// Head says that the writer had seen the entry Seq of a ledger, and that its identity was ID.
type Head struct {
	ID     Digest `json:"id"`
	Ledger string `json:"ledger"` // "<topic>/<writer>"
	Seq    uint64 `json:"seq"`
}

// Limits of a header.
const (
	maxHeads  = 4096
	maxSeq    = 1 << 53
	maxNameIn = 128
)

// Ledger returns "<topic>/<writer>".
func (h Header) Ledger() string { return h.Topic + "/" + h.Writer }

// When returns Time as a time.
func (h Header) When() time.Time {
	t, _ := time.Parse(time.RFC3339, h.Time)
	return t
}

// Timestamp writes t as a header carries it.
func Timestamp(t time.Time) string { return t.UTC().Truncate(time.Second).Format(time.RFC3339) }

// CheckTime reports whether s is a time as Timestamp writes it.
func CheckTime(s string) error {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || Timestamp(t) != s {
		return fmt.Errorf("%w: time %q", ErrHeader, clip(s))
	}
	return nil
}

// Check reports whether the header is well formed and belongs to the repository.
func (h Header) Check(repository Digest) error {
	if h.Repository != repository {
		return fmt.Errorf("%w: %s, not %s", ErrRepository, clip(string(h.Repository)), repository)
	}
	if h.Seq == 0 || h.Seq >= maxSeq || (h.Seq == 1) != (h.Prev == "") || (h.Prev != "" && !h.Prev.Valid()) {
		return fmt.Errorf("%w: entry %d after %q", ErrHeader, h.Seq, clip(string(h.Prev)))
	}
	if h.Topic == "" || h.Writer == "" || len(h.Topic)+len(h.Writer) > maxNameIn {
		return fmt.Errorf("%w: ledger %q", ErrHeader, clip(h.Ledger()))
	}
	if err := CheckTime(h.Time); err != nil {
		return err
	}
	if len(h.Heads) > maxHeads {
		return fmt.Errorf("%w: %d heads", ErrHeader, len(h.Heads))
	}
	for i, d := range h.Heads {
		if !d.ID.Valid() || d.Seq == 0 || d.Seq >= maxSeq || d.Ledger == "" || len(d.Ledger) > maxNameIn || d.Ledger == h.Ledger() {
			return fmt.Errorf("%w: head %q", ErrHeader, clip(d.Ledger))
		}
		if i > 0 && h.Heads[i-1].Ledger >= d.Ledger {
			return fmt.Errorf("%w: heads out of order at %q", ErrHeader, clip(d.Ledger))
		}
	}
	return nil
}

// Ledger is a statement of a ledger that is not about a Git object. The type
// ends in "/v" and a number; the body's shape belongs to the type.
type Ledger[T any] struct {
	Body  T      `json:"body"`
	Entry Header `json:"entry"`
	Type  string `json:"type"`
}

// Statement writes a ledger statement as canonical JSON.
func Statement[T any](typ string, h Header, body T) ([]byte, error) {
	return canonical.Marshal(Ledger[T]{Body: body, Entry: h, Type: typ})
}

// TypeOf returns the type of an opened ledger statement.
func TypeOf(o *Opened) (string, error) {
	if typ, ok := cutType(o.Payload); ok {
		return typ, nil
	}
	var p struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(o.Payload, &p); err != nil || p.Type == "" {
		return "", fmt.Errorf("%w: no type", ErrSyntax)
	}
	return p.Type, nil
}

// cutType finds the type at the end of a canonical object, where its name sorts it: a quote in a text would have a backslash
// before it, and an object within this one would end before the last brace does.
func cutType(payload []byte) (string, bool) {
	const name = `,"type":"`
	rest, ok := bytes.CutSuffix(payload, []byte(`"}`))
	i := bytes.LastIndex(rest, []byte(name))
	if !ok || i < 0 {
		return "", false
	}
	typ := rest[i+len(name):]
	if len(typ) == 0 || bytes.ContainsAny(typ, `"\\`) {
		return "", false
	}
	return string(typ), true
}

// HeaderOf returns the header of an opened statement of a type this program may not know.
func HeaderOf(o *Opened) (Header, error) {
	var p struct {
		Entry     *Header `json:"entry"`
		Predicate struct {
			Entry *Header `json:"entry"`
		} `json:"predicate"`
	}
	if err := json.Unmarshal(o.Payload, &p); err != nil {
		return Header{}, fmt.Errorf("%w: %w", ErrHeader, err)
	}
	h := p.Entry
	if o.PayloadType == TypeInToto {
		h = p.Predicate.Entry
	}
	if h == nil {
		return Header{}, fmt.Errorf("%w: there is none", ErrHeader)
	}
	return *h, nil
}

// Decode reads a ledger statement of exactly this type, strictly. Another
// version of the same type is ErrNewer.
func Decode[T any](o *Opened, typ string) (*Ledger[T], error) {
	got, err := TypeOf(o)
	if err != nil {
		return nil, err
	}
	if got != typ {
		return nil, VersionError(got, typ)
	}
	var s Ledger[T]
	if err := canonical.Unmarshal(o.Payload, &s); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", typ, ErrSyntax, err)
	}
	return &s, nil
}

// VersionError says why a statement of type got is not one of type want: ErrNewer when only the version differs.
func VersionError(got, want string) error {
	g, _, _ := cutVersion(got)
	w, _, _ := cutVersion(want)
	if g == w && w != "" {
		return fmt.Errorf("%w: %q; this program reads %q", ErrNewer, clip(got), want)
	}
	return fmt.Errorf("%w: type %q, not %q", ErrSyntax, clip(got), want)
}

func cutVersion(s string) (name, version string, ok bool) {
	i := strings.LastIndex(s, "/v")
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+2:], true
}
