// Package oid holds Git object names: SHA-1 (20 bytes) and SHA-256 (32 bytes),
// as gitformat-hash-function(5) describes them. An object name addresses bytes;
// it is never evidence of who wrote them.
package oid

import (
	"crypto/sha1" //nolint:gosec // Git's own object format, not a security claim of ours.
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strconv"
)

// ErrFormat says that a text is not the hexadecimal name of a Git object.
var ErrFormat = errors.New("not a Git object name")

// Format is a repository's object format.
type Format uint8

// The object formats Git knows.
const (
	SHA1 Format = iota + 1
	SHA256
)

// ParseFormat reads the value of extensions.objectFormat; the empty string is SHA-1.
func ParseFormat(s string) (Format, error) {
	switch s {
	case "", "sha1":
		return SHA1, nil
	case "sha256":
		return SHA256, nil
	}
	return 0, fmt.Errorf("object format %q: this program knows sha1 and sha256", s)
}

// String returns the name Git uses: "sha1" or "sha256".
func (f Format) String() string {
	if f == SHA256 {
		return "sha256"
	}
	return "sha1"
}

// Size returns the length of a name in bytes.
func (f Format) Size() int {
	if f == SHA256 {
		return sha256.Size
	}
	return sha1.Size
}

// New returns the hash Git computes over "<kind> <size>\x00<body>".
func (f Format) New() hash.Hash {
	if f == SHA256 {
		return sha256.New()
	}
	return sha1.New() //nolint:gosec // see the import
}

// Hash returns the name of the object of this kind ("blob", "tree", "commit", "tag") and body.
func (f Format) Hash(kind string, body []byte) ID {
	h := f.New()
	h.Write([]byte(kind + " " + strconv.Itoa(len(body)) + "\x00"))
	h.Write(body)
	return f.FromBytes(h.Sum(nil))
}

// FromBytes returns the name made of the raw bytes b, which must have the format's size.
func (f Format) FromBytes(b []byte) ID {
	var id ID
	if len(b) != f.Size() {
		return id
	}
	copy(id.b[:], b)
	id.n = uint8(len(b))
	return id
}

// Null returns the all-zero name that Git writes for "no object".
func (f Format) Null() ID { return ID{n: uint8(f.Size())} }

// EmptyTree returns the name of the tree without entries.
func (f Format) EmptyTree() ID { return f.Hash("tree", nil) }

// EmptyBlob returns the name of the blob without content.
func (f Format) EmptyBlob() ID { return f.Hash("blob", nil) }

// ID is the name of one object. The zero value names nothing. IDs are comparable.
type ID struct {
	b [sha256.Size]byte
	n uint8
}

// Parse reads a full lower-case hexadecimal name of 40 or 64 digits.
func Parse(s string) (ID, error) {
	var id ID
	if len(s) != 2*sha1.Size && len(s) != 2*sha256.Size {
		return id, fmt.Errorf("%w: %q", ErrFormat, clip(s))
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return id, fmt.Errorf("%w: %q", ErrFormat, clip(s))
		}
	}
	n, err := hex.Decode(id.b[:], []byte(s))
	if err != nil {
		return ID{}, fmt.Errorf("%w: %q", ErrFormat, clip(s))
	}
	id.n = uint8(n)
	return id, nil
}

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}

// String returns the full hexadecimal name, "" for the zero value.
func (id ID) String() string { return hex.EncodeToString(id.b[:id.n]) }

// Short returns the first twelve hexadecimal digits, for people.
func (id ID) Short() string {
	s := id.String()
	return s[:min(len(s), 12)]
}

// Bytes returns the raw name.
func (id ID) Bytes() []byte { return append([]byte(nil), id.b[:id.n]...) }

// IsZero reports whether id names no object: the zero value, or Git's all-zero name.
func (id ID) IsZero() bool { return id.b == [sha256.Size]byte{} }

// Format returns the object format id belongs to, 0 for the zero value.
func (id ID) Format() Format {
	switch id.n {
	case sha1.Size:
		return SHA1
	case sha256.Size:
		return SHA256
	}
	return 0
}

// Compare orders names bytewise, for stable output.
func (id ID) Compare(other ID) int {
	for i := range id.b {
		if id.b[i] != other.b[i] {
			if id.b[i] < other.b[i] {
				return -1
			}
			return 1
		}
	}
	return int(id.n) - int(other.n)
}

// MarshalText writes the hexadecimal name.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (id *ID) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*id = ID{}
		return nil
	}
	v, err := Parse(string(b))
	if err != nil {
		return err
	}
	*id = v
	return nil
}
