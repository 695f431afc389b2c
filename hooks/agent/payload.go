package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// payload is an object, of which every name occurs once.
type payload map[string]json.RawMessage

// parse reads a payload. What two readers could understand in two ways is refused: a name that occurs twice, bytes that are no
// UTF-8, halves of surrogates, what follows the object.
func parse(b []byte) (payload, error) {
	if len(b) > MaxPayload {
		return nil, bad("it has more than %d bytes", MaxPayload)
	}
	if !utf8.Valid(b) {
		return nil, bad("it is no UTF-8")
	}
	if err := scan(b); err != nil {
		return nil, err
	}
	var p payload
	if err := json.Unmarshal(b, &p); err != nil || p == nil {
		return nil, bad("it is no JSON object")
	}
	return p, nil
}

// scan holds a document to the limits, and its objects to names that occur once.
func scan(b []byte) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	type level struct {
		names map[string]bool // nil: an array
		value bool            // the next string is a value
	}
	var open []level
	for n := 0; ; n++ {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) && len(open) == 0 && n > 0 {
			return nil
		}
		if err != nil {
			return bad("it is no JSON: %v", err)
		}
		if n > maxTokens {
			return bad("it has more than %d parts", maxTokens)
		}
		if len(open) == 0 && n > 0 {
			return bad("something follows the object")
		}
		var in *level
		if len(open) > 0 {
			in = &open[len(open)-1]
		}
		switch t := tok.(type) {
		case json.Delim:
			if t == '}' || t == ']' {
				open = open[:len(open)-1]
				continue
			}
			if in != nil {
				in.value = false
			}
			if len(open) == maxDepth {
				return bad("it is nested more than %d deep", maxDepth)
			}
			l := level{}
			if t == '{' {
				l.names = map[string]bool{}
			}
			open = append(open, l)
			continue
		case string:
			if in != nil && in.names != nil && !in.value {
				if in.names[t] {
					return bad("%.60q occurs twice", t)
				}
				in.names[t], in.value = true, true
				continue
			}
		}
		if in == nil && n == 0 {
			return bad("it is no JSON object")
		}
		if in != nil {
			in.value = false
		}
	}
}

// text returns a string, "" where there is none or null. Several names are tried in their order.
func (p payload) text(names ...string) (string, error) {
	for _, name := range names {
		raw, ok := p[name]
		if !ok || string(raw) == "null" {
			continue
		}
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return "", bad("%s is no text", name)
		}
		if s != "" {
			return s, nil
		}
	}
	return "", nil
}

// texts reads strings into places, and returns the first error.
func (p payload) texts(into map[*string][]string) error {
	for at, names := range into {
		s, err := p.text(names...)
		if err != nil {
			return err
		}
		*at = s
	}
	return nil
}

func (p payload) flag(name string) (bool, error) {
	raw, ok := p[name]
	if !ok || string(raw) == "null" {
		return false, nil
	}
	var v bool
	if err := json.Unmarshal(raw, &v); err != nil {
		return false, bad("%s is neither true nor false", name)
	}
	return v, nil
}

// count returns a number that is not negative, rounded down; 0 where there is none, or none that fits.
func (p payload) count(names ...string) int64 {
	for _, name := range names {
		var v float64
		if raw, ok := p[name]; ok && json.Unmarshal(raw, &v) == nil && v >= 0 && v < 1<<53 {
			return int64(v)
		}
	}
	return 0
}

// object returns an object, nil where there is none. One that stands in a string is read from there, as some agents have it.
func (p payload) object(names ...string) (payload, error) {
	for _, name := range names {
		raw, ok := p[name]
		if !ok || string(raw) == "null" {
			continue
		}
		return objectOf(raw, name)
	}
	return nil, nil
}

func objectOf(raw json.RawMessage, what string) (payload, error) {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		if strings.TrimSpace(s) == "" {
			return payload{}, nil
		}
		if raw = json.RawMessage(s); scan(raw) != nil {
			return nil, bad("%s is a text that holds no object", what)
		}
	}
	var o payload
	if err := json.Unmarshal(raw, &o); err != nil || o == nil {
		return nil, bad("%s is no object", what)
	}
	return o, nil
}

// list returns the strings of an array, nil where there is none.
func (p payload) list(name string) ([]string, error) {
	raw, ok := p[name]
	if !ok || string(raw) == "null" {
		return nil, nil
	}
	var out []string
	if err := json.Unmarshal(raw, &out); err != nil {
		return nil, bad("%s is no list of texts", name)
	}
	return out, nil
}

// compact is a value without white space around its parts: what a digest of it is taken of.
func compact(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return raw
	}
	return b.Bytes()
}

// line reports whether s is one line of 1 to limit bytes without control characters.
func line(s string, limit int) bool {
	return s != "" && len(s) <= limit && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' })
}

// wrongPath says why a path is none that could be judged: which file is meant must be certain.
func wrongPath(p string) string {
	switch {
	case p == "":
		return "it is empty"
	case len(p) > maxPath:
		return "it is too long"
	case strings.ContainsRune(p, 0):
		return "it has a NUL"
	case strings.ContainsRune(p, utf8.RuneError):
		return "it has bytes that JSON cannot say"
	}
	return ""
}
