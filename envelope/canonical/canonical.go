// Package canonical reads and writes the one byte form that Covenant signs: the JSON
// Canonicalization Scheme of RFC 8785, restricted to what every JSON reader agrees on.
//
// A canonical document is one JSON value without white space. Object names are sorted by their
// UTF-16 code units and occur once. Strings are valid UTF-8, where only '"', '\\' and the control
// characters below U+0020 are escaped, in their shortest form (\b \t \n \f \r, else \u00xx with
// lower case digits). Numbers are integers between -(2^53-1) and 2^53-1, without fraction,
// exponent, leading zero or minus zero; larger amounts and fractions travel as strings. Arrays and
// objects nest at most [MaxDepth] deep.
//
// So a value has exactly one encoding, a document has exactly one meaning, and a digest of the
// bytes is a digest of the meaning.
package canonical

import (
	"errors"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxDepth is how deep arrays and objects may nest: [] is one deep.
const MaxDepth = 64

// maxInteger is the largest magnitude that an IEEE 754 double, and so every JSON reader, keeps
// apart from its neighbours (RFC 7493, section 2.2).
const maxInteger = 1<<53 - 1

// Why a document is refused. Errors of [Check] wrap exactly one of these.
var (
	ErrSyntax    = errors.New("not JSON")
	ErrDuplicate = errors.New("object name occurs twice")
	ErrOrder     = errors.New("object names are not sorted")
	ErrNumber    = errors.New("number is not a plain integer between -(2^53-1) and 2^53-1")
	ErrUTF8      = errors.New("string is not valid UTF-8")
	ErrDepth     = errors.New("nested too deep")
	ErrTrailing  = errors.New("data after the value")
	ErrEscape    = errors.New("escape is not the shortest form")
	ErrSpace     = errors.New("white space outside strings")
)

// An offsetError says where a document stops being canonical.
type offsetError struct {
	offset int
	kind   error
}

func (e *offsetError) Error() string {
	return fmt.Sprintf("canonical JSON: byte %d: %v", e.offset, e.kind)
}
func (e *offsetError) Unwrap() error { return e.kind }

// Check reports whether b is exactly the canonical form of a value: nil if it is, else an error that
// wraps one of the sentinels above and names the first offending byte. It reads b once, allocates
// nothing for a canonical document, and needs no more stack than MaxDepth levels.
func Check(b []byte) error {
	return scan(b, exact)
}

// A form is how much of the canonical form a scan insists on.
type form uint8

const (
	// exact insists on all of it.
	exact form = iota
	// values insists on what a canonicalizer would otherwise change silently (numbers out of
	// range, replaced bad UTF-8) or that it does not limit (depth), and lets pass what it mends: the
	// order of names and the form of escapes.
	values
)

type scanner struct {
	b    []byte
	i    int
	form form
}

func scan(b []byte, f form) error {
	s := scanner{b: b, form: f}
	if err := s.value(0); err != nil {
		return err
	}
	if s.i == len(b) {
		return nil
	}
	if isSpace(b[s.i]) {
		return s.fail(ErrSpace)
	}
	return s.fail(ErrTrailing)
}

func (s *scanner) fail(kind error) error { return s.failAt(s.i, kind) }

func (s *scanner) failAt(i int, kind error) error { return &offsetError{offset: i, kind: kind} }

// unexpected classifies the byte at which the grammar cannot go on.
func (s *scanner) unexpected() error {
	if s.i < len(s.b) && isSpace(s.b[s.i]) {
		return s.fail(ErrSpace)
	}
	return s.fail(ErrSyntax)
}

// next consumes c, or fails.
func (s *scanner) next(c byte) error {
	if s.i < len(s.b) && s.b[s.i] == c {
		s.i++
		return nil
	}
	return s.unexpected()
}

// at reports whether the next byte is c, and consumes it if so.
func (s *scanner) at(c byte) bool {
	if s.i < len(s.b) && s.b[s.i] == c {
		s.i++
		return true
	}
	return false
}

func (s *scanner) value(depth int) error {
	if s.i == len(s.b) {
		return s.fail(ErrSyntax)
	}
	switch c := s.b[s.i]; {
	case c == '"':
		_, err := s.text()
		return err
	case c == '{':
		return s.object(depth + 1)
	case c == '[':
		return s.array(depth + 1)
	case c == '-' || isDigit(c):
		return s.number()
	case c == 't':
		return s.literal("true")
	case c == 'f':
		return s.literal("false")
	case c == 'n':
		return s.literal("null")
	}
	return s.unexpected()
}

func (s *scanner) literal(word string) error {
	if len(s.b)-s.i < len(word) || string(s.b[s.i:s.i+len(word)]) != word {
		return s.fail(ErrSyntax)
	}
	s.i += len(word)
	return nil
}

func (s *scanner) array(depth int) error {
	if depth > MaxDepth {
		return s.fail(ErrDepth)
	}
	s.i++
	if s.at(']') {
		return nil
	}
	for {
		if err := s.value(depth); err != nil {
			return err
		}
		if s.at(']') {
			return nil
		}
		if err := s.next(','); err != nil {
			return err
		}
	}
}

func (s *scanner) object(depth int) error {
	if depth > MaxDepth {
		return s.fail(ErrDepth)
	}
	s.i++
	if s.at('}') {
		return nil
	}
	var previous []byte
	for first := true; ; first = false {
		start := s.i
		if start == len(s.b) || s.b[start] != '"' {
			return s.unexpected()
		}
		name, err := s.text()
		if err != nil {
			return err
		}
		if !first && s.form == exact {
			switch c := compareNames(previous, name); {
			case c == 0:
				return s.failAt(start, ErrDuplicate)
			case c > 0:
				return s.failAt(start, ErrOrder)
			}
		}
		previous = name
		if err := s.next(':'); err != nil {
			return err
		}
		if err := s.value(depth); err != nil {
			return err
		}
		if s.at('}') {
			return nil
		}
		if err := s.next(','); err != nil {
			return err
		}
	}
}

// number reads an integer. A number that JSON allows and this form does not, and one with a leading
// zero, is ErrNumber; a lone minus is ErrSyntax.
func (s *scanner) number() error {
	start := s.i
	negative := s.at('-')
	first := s.i
	var n uint64
	for ; s.i < len(s.b) && isDigit(s.b[s.i]); s.i++ {
		if n = n*10 + uint64(s.b[s.i]-'0'); n > maxInteger {
			return s.failAt(start, ErrNumber)
		}
	}
	digits := s.i - first
	switch {
	case digits == 0:
		return s.fail(ErrSyntax)
	case s.b[first] == '0' && (digits > 1 || negative):
		return s.failAt(start, ErrNumber)
	case s.i < len(s.b) && (s.b[s.i] == '.' || s.b[s.i] == 'e' || s.b[s.i] == 'E'):
		return s.failAt(start, ErrNumber)
	}
	return nil
}

// text reads a string and returns what stands between its quotes, escapes included.
func (s *scanner) text() ([]byte, error) {
	s.i++
	start := s.i
	for s.i < len(s.b) {
		switch c := s.b[s.i]; {
		case c == '"':
			s.i++
			return s.b[start : s.i-1], nil
		case c == '\\':
			n, kind := s.form.escape(s.b[s.i:])
			if kind != nil {
				return nil, s.fail(kind)
			}
			s.i += n
		case c < 0x20:
			return nil, s.fail(ErrSyntax)
		case c < utf8.RuneSelf:
			s.i++
		default:
			// DecodeRune refuses overlong forms, encoded surrogates and code points
			// above U+10FFFF, as RFC 3629 demands.
			r, n := utf8.DecodeRune(s.b[s.i:])
			if r == utf8.RuneError && n == 1 {
				return nil, s.fail(ErrUTF8)
			}
			s.i += n
		}
	}
	return nil, s.fail(ErrSyntax)
}

// escape returns the length of the escape that b begins with, or why it is refused.
func (f form) escape(b []byte) (int, error) {
	if len(b) < 2 {
		return 0, ErrSyntax
	}
	switch b[1] {
	case '"', '\\', 'b', 'f', 'n', 'r', 't':
		return 2, nil
	case '/':
		if f == exact {
			return 0, ErrEscape
		}
		return 2, nil
	case 'u':
	default:
		return 0, ErrSyntax
	}
	unit, lower, ok := hex4(b[2:])
	if !ok {
		return 0, ErrSyntax
	}
	if f == values {
		return wellFormed(unit, b)
	}
	short := unit == '\b' || unit == '\t' || unit == '\n' || unit == '\f' || unit == '\r'
	if unit >= 0x20 || short || !lower {
		return 0, ErrEscape
	}
	return 6, nil
}

// wellFormed returns the length of the escape of a code point that b begins with; unit is its first
// UTF-16 code unit. A surrogate without its other half is ErrUTF8, and so is U+FFFD: encoding/json
// writes this escape, and only this, for bytes that are not UTF-8, while a U+FFFD that was meant is
// written as itself.
func wellFormed(unit rune, b []byte) (int, error) {
	if unit == utf8.RuneError {
		return 0, ErrUTF8
	}
	if !utf16.IsSurrogate(unit) {
		return 6, nil
	}
	if len(b) < 8 || b[6] != '\\' || b[7] != 'u' {
		return 0, ErrUTF8
	}
	low, _, ok := hex4(b[8:])
	if !ok || utf16.DecodeRune(unit, low) == utf8.RuneError {
		return 0, ErrUTF8
	}
	return 12, nil
}

// hex4 reads the four hexadecimal digits that b begins with; lower is false if one is upper case.
func hex4(b []byte) (unit rune, lower, ok bool) {
	if len(b) < 4 {
		return 0, false, false
	}
	lower = true
	for _, c := range b[:4] {
		switch {
		case isDigit(c):
			unit = unit<<4 | rune(c-'0')
		case 'a' <= c && c <= 'f':
			unit = unit<<4 | rune(c-'a'+10)
		case 'A' <= c && c <= 'F':
			unit, lower = unit<<4|rune(c-'A'+10), false
		default:
			return 0, false, false
		}
	}
	return unit, lower, true
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
