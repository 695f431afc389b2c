// Package seedlog reads, verifies and writes the audit log of the system that Covenant re-creates, the seed: JSON
// lines, a sidecar that chains them, and the attestations of a chain's root. docs/spec/seed-audit.md has the bytes.
//
// A line of the log is one event,
//
//	{"id":"<uuid>","timestamp_ms":<n>,"issuer":{"display":"<local@host>","pubkey":"<base58>"},"kind":{"type":"<kind>",…}}
//
// and the line of the sidecar beside it one anchor,
//
//	{"index":<n>,"event_id":"<uuid>","timestamp_ms":<n>,"event_hash_hex":"<h>","previous_hash_hex":"<p>","chain_hash_hex":"<c>"}
//
// where h is the SHA-256 of the line's exact bytes, and c that of p, a line feed and h, as texts. The first p is
// [Genesis], the last c the root. Nobody signed any of it: who may write both files writes another history that verifies.
// Only a root that is known from elsewhere says that this is the one.
package seedlog

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// MaxLine is how many bytes a line may have: it is held in memory. What is longer counts for the chain and is not read.
const MaxLine = 1 << 20

// Genesis is what the chain begins with, and the root of an empty log.
const Genesis = "0000000000000000000000000000000000000000000000000000000000000000"

// ErrSyntax says that a line, or a document, is not of the seed's form.
var ErrSyntax = errors.New("not of the seed's form")

// Event is a line of a log.
type Event struct {
	ID      string // a UUID: 32 lower-case hexadecimal digits and four "-"
	Millis  uint64 // when, in milliseconds since 1970
	Issuer  Issuer
	Kind    string
	Fields  []Field // of the kind, in the order of the line
	Unknown bool    // the kind is none of the 37 that are known here
	Odd     []string
}

// Issuer is who the event is said to be of.
type Issuer struct {
	Display string // NAME@HOST
	Pubkey  string // base58 of 32 bytes
}

// Field is one field of a kind, with its value as JSON.
type Field struct {
	Name  string
	Value json.RawMessage
}

func syntax(format string, a ...any) error {
	return fmt.Errorf("%w: %w", ErrSyntax, fmt.Errorf(format, a...))
}

// sum returns the SHA-256 of b as the seed writes it.
func sum(b []byte) string {
	d := sha256.Sum256(b)
	return hex.EncodeToString(d[:])
}

// Link returns the chain's hash after an event, by the chain's hash before it and the SHA-256 of the event's line.
func Link(previous, event string) string { return sum([]byte(previous + "\n" + event)) }

// LineHash returns the SHA-256 of a line, without its line feed.
func LineHash(line []byte) string { return sum(line) }

// A member is a name and a value of a JSON object.
type member struct {
	name  string
	value []byte
}

// object splits a JSON object. No name may occur twice: readers differ in which one they believe.
func object(b []byte) ([]member, error) {
	if !utf8.Valid(b) {
		return nil, syntax("it is not UTF-8")
	}
	if !json.Valid(b) {
		return nil, syntax("it is not JSON")
	}
	return members(bytes.TrimSpace(b))
}

// members splits a value of valid JSON.
func members(b []byte) ([]member, error) {
	if b[0] != '{' {
		return nil, syntax("it is no JSON object")
	}
	out := make([]member, 0, 8)
	for b = space(b[1:]); b[0] != '}'; b = space(b) { // it is valid: each step has what it looks for
		n := end(b)
		name, _ := text(b[:n])
		if slices.ContainsFunc(out, func(m member) bool { return m.name == name }) {
			return nil, syntax("%.80q stands in it twice", name)
		}
		b = space(space(b[n:])[1:])
		n = end(b)
		out = append(out, member{name, b[:n]})
		if b = space(b[n:]); b[0] == ',' {
			b = space(b[1:])
		}
	}
	return out, nil
}

func space(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t' || b[0] == '\r' || b[0] == '\n') {
		b = b[1:]
	}
	return b
}

// text reads a string of valid JSON.
func text(v []byte) (s string, ok bool) {
	if v[0] != '"' {
		return "", false
	}
	if bytes.IndexByte(v, '\\') < 0 {
		return string(v[1 : len(v)-1]), true
	}
	return s, json.Unmarshal(v, &s) == nil
}

// end returns where the value that valid JSON begins with ends.
func end(b []byte) int {
	depth := 0
	for i := 0; ; i++ {
		switch b[i] {
		case '"':
			for i++; b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		default:
			if depth == 0 && (i+1 == len(b) || strings.IndexByte(",]} \t\r\n", b[i+1]) >= 0) {
				return i + 1
			}
		}
	}
}

// A slot is a member that must be there, and where it goes: a *string, *uint64, or *[]byte for any other value.
type slot struct {
	name string
	into any
}

// take reads the members of an object that has all of these. It returns the names of the others.
func take(list []member, slots ...slot) (more []string, err error) {
	found := 0
	for _, m := range list {
		i := slices.IndexFunc(slots, func(s slot) bool { return s.name == m.name })
		if i < 0 {
			more = append(more, m.name)
			continue
		}
		ok := true
		switch into := slots[i].into.(type) {
		case *string:
			*into, ok = text(m.value)
		case *uint64:
			*into, err = strconv.ParseUint(string(m.value), 10, 64)
			ok = err == nil && m.value[0] != '+'
		case *[]byte:
			*into = m.value
		}
		if !ok {
			return nil, syntax("%s is %.80s", m.name, m.value)
		}
		found |= 1 << i
	}
	for i, s := range slots {
		if found&(1<<i) == 0 {
			return nil, syntax("it has no %s", s.name)
		}
	}
	return more, nil
}

// pattern is a regular expression that is compiled when it is first asked.
func pattern(expr string) func(string) bool {
	re := sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
	return func(s string) bool { return re().MatchString(s) }
}

// display reports whether s is NAME@HOST, both of letters, digits and "_.-".
func display(s string) bool {
	name, host, cut := strings.Cut(s, "@")
	return cut && displayed(name) && displayed(host)
}

func displayed(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '.' && c != '-' {
			return false
		}
	}
	return s != ""
}

func hex64(s string) bool { return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == "" }

// Parse reads a line, without its line feed. What the seed would read it for is there and well-formed; what is odd about
// its kind, or more than the seed writes, is in Odd.
func Parse(line []byte) (*Event, error) {
	list, err := object(line)
	if err != nil {
		return nil, err
	}
	e := &Event{}
	var issuer, kind []byte
	more, err := take(list, slot{"id", &e.ID}, slot{"timestamp_ms", &e.Millis}, slot{"issuer", &issuer}, slot{"kind", &kind})
	if err != nil {
		return nil, err
	}
	e.odd(more, "an event")
	if !ValidUUID(e.ID) {
		return nil, syntax("id %.80q is no UUID in lower case", e.ID)
	}
	if list, err = members(issuer); err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	if more, err = take(list, slot{"display", &e.Issuer.Display}, slot{"pubkey", &e.Issuer.Pubkey}); err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	e.odd(more, "an issuer")
	if !display(e.Issuer.Display) {
		return nil, syntax("issuer: display %.80q is not NAME@HOST", e.Issuer.Display)
	}
	if !validKey(e.Issuer.Pubkey) {
		return nil, syntax("issuer: pubkey %.80q is no base58 of 32 bytes", e.Issuer.Pubkey)
	}
	if list, err = members(kind); err != nil {
		return nil, fmt.Errorf("kind: %w", err)
	}
	e.Fields = make([]Field, 0, len(list))
	for i, m := range list {
		if m.name != "type" {
			e.Fields = append(e.Fields, Field{m.name, m.value})
			continue
		}
		if e.Kind, _ = text(m.value); e.Kind == "" {
			return nil, syntax("kind: type is %.80s", m.value)
		}
		if i > 0 {
			e.Odd = append(e.Odd, "the type of its kind does not come first")
		}
	}
	if e.Kind == "" {
		return nil, syntax("kind: it has no type")
	}
	e.check()
	return e, nil
}

func (e *Event) odd(names []string, of string) {
	for _, n := range names {
		e.Odd = append(e.Odd, fmt.Sprintf("%s has no %.80q", of, n))
	}
}

// ValidUUID reports whether s is a UUID as the seed writes them: lower case, with its four hyphens.
func ValidUUID(s string) bool {
	for i, c := range []byte(s) {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
		} else if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(s) == 36
}

const digits58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// Base58 writes bytes as the seed writes keys and signatures.
func Base58(b []byte) string {
	var out []byte
	n, mod, base := new(big.Int).SetBytes(b), new(big.Int), big.NewInt(58)
	for n.Sign() > 0 {
		n.DivMod(n, base, mod)
		out = append(out, digits58[mod.Int64()])
	}
	for i := 0; i < len(b) && b[i] == 0; i++ {
		out = append(out, digits58[0])
	}
	slices.Reverse(out)
	return string(out)
}

func validKey(s string) bool {
	if len(s) < 32 || len(s) > 44 {
		return false
	}
	zeros := 0
	for zeros < len(s) && s[zeros] == digits58[0] {
		zeros++
	}
	var n [ed25519.PublicKeySize]byte // big-endian
	for _, c := range []byte(s) {
		carry := strings.IndexByte(digits58, c)
		if carry < 0 {
			return false
		}
		for i := len(n) - 1; i >= 0; i-- {
			carry += int(n[i]) * 58
			n[i] = byte(carry)
			carry >>= 8
		}
		if carry > 0 {
			return false
		}
	}
	return zeros == len(n)-len(bytes.TrimLeft(n[:], "\x00"))
}

// anchor returns the sidecar's line of an event.
func anchor(index uint64, id string, millis uint64, event, previous, chain string) []byte {
	b := make([]byte, 0, 400)
	b = strconv.AppendUint(append(b, `{"index":`...), index, 10)
	b = append(append(b, `,"event_id":"`...), id...)
	b = strconv.AppendUint(append(b, `","timestamp_ms":`...), millis, 10)
	b = append(append(b, `,"event_hash_hex":"`...), event...)
	b = append(append(b, `","previous_hash_hex":"`...), previous...)
	b = append(append(b, `","chain_hash_hex":"`...), chain...)
	return append(b, `"}`...)
}
