package seedlog

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/open-covenant/covenant-git/envelope/canonical"
)

// Writer writes a log and its sidecar. Neither is flushed: the caller gives what buffers, and flushes the log first.
type Writer struct {
	log, chain io.Writer
	index      uint64
	at         string
}

// NewWriter begins a log.
func NewWriter(log, chain io.Writer) *Writer { return &Writer{log: log, chain: chain, at: Genesis} }

// Root returns the chain's hash after what was written.
func (w *Writer) Root() string { return w.at }

// Events returns how many events were written.
func (w *Writer) Events() uint64 { return w.index }

// Write adds an event, in the seed's order of fields. It is held to its kind: the seed reads no other.
func (w *Writer) Write(e *Event) error {
	line, err := e.line()
	if err != nil {
		return err
	}
	again, err := Parse(line)
	if err != nil {
		return err
	}
	if again.Unknown {
		return syntax("there is no kind %.80q", e.Kind)
	}
	if len(again.Odd) > 0 {
		return syntax("%s", again.Odd[0])
	}
	return w.put(again, line)
}

// WriteLine adds a line as it is, which must be an event.
func (w *Writer) WriteLine(line []byte) error {
	e, err := Parse(line)
	if err != nil {
		return err
	}
	if slices.Contains(line, '\n') || len(line) > MaxLine {
		return syntax("it is no line")
	}
	return w.put(e, line)
}

func (w *Writer) put(e *Event, line []byte) error {
	h := sum(line)
	next := Link(w.at, h)
	if _, err := w.log.Write(append(slices.Clip(line), '\n')); err != nil {
		return err
	}
	if _, err := w.chain.Write(append(anchor(w.index, e.ID, e.Millis, h, w.at, next), '\n')); err != nil {
		return err
	}
	w.index, w.at = w.index+1, next
	return nil
}

// line encodes an event as the seed does: no white space, strings escaped in their shortest form.
func (e *Event) line() ([]byte, error) {
	b := []byte(`{"id":`)
	text := func(s string) error {
		t, err := canonical.Marshal(s)
		b = append(b, t...)
		return err
	}
	put := func(name, s string) error {
		b = append(b, name...)
		return text(s)
	}
	if err := text(e.ID); err != nil {
		return nil, err
	}
	b = strconv.AppendUint(append(b, `,"timestamp_ms":`...), e.Millis, 10)
	for _, p := range [][2]string{{`,"issuer":{"display":`, e.Issuer.Display}, {`,"pubkey":`, e.Issuer.Pubkey}, {`},"kind":{"type":`, e.Kind}} {
		if err := put(p[0], p[1]); err != nil {
			return nil, err
		}
	}
	for _, s := range shapes()[e.Kind] { // in its order
		v := json.RawMessage("null")
		if i := slices.IndexFunc(e.Fields, func(f Field) bool { return f.Name == s.name }); i >= 0 {
			v = e.Fields[i].Value
		} else if !s.optional {
			return nil, syntax("%s lacks %s", e.Kind, s.name)
		}
		b = append(append(append(b, `,"`...), s.name...), `":`...)
		b = append(b, v...)
	}
	for _, f := range e.Fields {
		if !slices.ContainsFunc(shapes()[e.Kind], func(s shape) bool { return s.name == f.Name }) {
			return nil, syntax("%s has no %.80q", e.Kind, f.Name)
		}
	}
	return append(b, "}}"...), nil
}

// Value returns a field with a value as the seed encodes it: a string, bool, integer, nil, or a list of strings or
// of [Authorization].
func Value(name string, v any) (Field, error) {
	var b []byte
	var err error
	switch v := v.(type) {
	case []Authorization: // its fields are in the seed's order, which canonical JSON has, too
		if v == nil {
			v = []Authorization{}
		}
		b, err = canonical.Marshal(v)
	case []string:
		if v == nil {
			v = []string{}
		}
		b, err = canonical.Marshal(v)
	case string, bool, nil, int, uint64:
		b, err = canonical.Marshal(v)
	default:
		err = fmt.Errorf("the seed has no value %T", v)
	}
	return Field{name, b}, err
}
