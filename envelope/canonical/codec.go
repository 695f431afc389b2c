package canonical

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/gowebpki/jcs"
)

var (
	// ErrUnknownField says that a document has an object name for which the Go type has no field
	// of exactly that spelling.
	ErrUnknownField = errors.New("unknown field")
	// ErrNotExact says that the Go value does not encode to the document it was read from: the
	// document says something twice or more than the type can hold, such as null for an empty list
	// or an optional field given explicitly with its default.
	ErrNotExact = errors.New("document is not the one encoding of its value")
)

// Marshal returns the canonical form of v, encoded as encoding/json does (tags, Marshalers), without
// HTML escaping. What the canonical form cannot hold is refused, never rounded or replaced: the error
// wraps ErrNumber, ErrUTF8, ErrDepth or ErrDuplicate.
func Marshal(v any) ([]byte, error) {
	b, err := encode(v)
	if err != nil {
		return nil, err
	}
	if Check(b) == nil {
		return b, nil
	}
	if b, err = canonicalize(b); err != nil {
		return nil, fmt.Errorf("encoding %T: %w", v, err)
	}
	return b, nil
}

// Unmarshal reads the canonical document b into v, a pointer to a zero value. It returns an error of
// [Check], one of encoding/json, ErrUnknownField (also when a name matches a field only apart from
// letter case) or ErrNotExact. Without an error [Marshal] of v returns b again, so nothing that was
// signed is overlooked by the reader. After an error v must not be used.
func Unmarshal(b []byte, v any) error {
	if err := Check(b); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return decodeError(b, v, err)
	}
	again, err := encode(v)
	if err != nil {
		return err
	}
	if bytes.Equal(again, b) {
		return nil
	}
	if again, err = canonicalize(again); err != nil {
		return fmt.Errorf("encoding %T again: %w", v, err)
	}
	if bytes.Equal(again, b) {
		return nil
	}
	return difference(b, again)
}

// encode returns encoding/json's form of v.
func encode(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encoding %T: %w", v, err)
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

// Of returns the canonical form of any JSON document that people wrote. What [Check] refuses for more than
// its form, a name twice in an object among them, is refused.
func Of(b []byte) ([]byte, error) {
	var tight bytes.Buffer
	if err := json.Compact(&tight, b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSyntax, err)
	}
	return canonicalize(tight.Bytes())
}

// canonicalize sorts and re-escapes b, the output of encode.
func canonicalize(b []byte) ([]byte, error) {
	if err := scan(b, values); err != nil {
		return nil, err
	}
	out, err := jcs.Transform(b)
	if err != nil {
		// Of what a canonicalizer must refuse, the scan leaves only this.
		return nil, fmt.Errorf("%w: %v", ErrDuplicate, err)
	}
	if err := Check(out); err != nil {
		return nil, err
	}
	return out, nil
}

// decodeError tells an unknown field from the other reasons for err: without strictness about
// fields the same bytes decode. encoding/json has no type or sentinel for it.
func decodeError(b []byte, v any, err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return wrongType{wrong}
	}
	t := reflect.TypeOf(v)
	if t == nil || t.Kind() != reflect.Pointer || errors.Is(err, ErrUnknownField) {
		return err
	}
	if json.Unmarshal(b, reflect.New(t.Elem()).Interface()) != nil {
		return err
	}
	return fmt.Errorf("%w (%v)", ErrUnknownField, err)
}

// wrongType says it in JSON's words, where encoding/json speaks of Go's types.
type wrongType struct{ *json.UnmarshalTypeError }

func (e wrongType) Error() string {
	where := "the document"
	if e.Field != "" {
		where = strconv.Quote(e.Field)
	}
	return fmt.Sprintf("%s: %s stands where %s belongs", where, e.Value, jsonWord(e.Type))
}

func (e wrongType) Unwrap() error { return e.UnmarshalTypeError }

// jsonWord is what a value of a Go type is called in JSON.
func jsonWord(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Pointer:
		return jsonWord(t.Elem())
	}
	return "a number"
}

// difference says why a document and the encoding of what was read from it differ.
func difference(doc, again []byte) error {
	var a, b any
	if json.Unmarshal(doc, &a) == nil && json.Unmarshal(again, &b) == nil {
		if name, ok := caseOnly(a, b); ok {
			return fmt.Errorf("%w %q: letter case differs", ErrUnknownField, name)
		}
	}
	return ErrNotExact
}

// caseOnly finds an object name of a that b has only in another letter case.
func caseOnly(a, b any) (string, bool) {
	switch a := a.(type) {
	case map[string]any:
		b, _ := b.(map[string]any)
		for name, value := range a {
			if other, ok := b[name]; ok {
				if found, ok := caseOnly(value, other); ok {
					return found, true
				}
				continue
			}
			for other := range b {
				if strings.EqualFold(name, other) {
					return name, true
				}
			}
		}
	case []any:
		b, _ := b.([]any)
		for i := range min(len(a), len(b)) {
			if found, ok := caseOnly(a[i], b[i]); ok {
				return found, true
			}
		}
	}
	return "", false
}
