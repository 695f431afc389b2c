// Package tlog is a transparency log over entries: it makes append-only visible from outside. The
// log is a Merkle tree (RFC 6962, section 2.1; RFC 9162, section 2.1) in the formats of
// https://c2sp.org, so that any tool for those reads, mirrors and witnesses it.
//
// # Leaves
//
// The record of an entry is the 32 bytes of its identity, the SHA-256 of the envelope's PAE. With H
// for SHA-256:
//
//	leaf  = H(0x00 || record)
//	node  = H(0x01 || left || right)
//	empty = H("")
//
// # Tiles (tlog-tiles)
//
//	tile/<L>/<N>[.p/<W>]      W hashes of 32 bytes; 256 and no suffix when full
//	tile/entries/<N>[.p/<W>]  W records, each behind its length, 0x00 0x20
//
// N is written in elements of three digits, all but the last behind an "x": 1234067 is x001/x234/067.
// A folder of these files and the checkpoint is a whole log, which any web server serves.
//
// # Checkpoints (tlog-checkpoint, signed-note)
//
//	<origin> LF <size> LF <base64 of the root> LF
//	LF
//	— <origin> <base64 of key id and signature> LF
//	— <witness> <base64 of key id, timestamp and signature> LF
//	…
//
// A log signs the first three lines as they stand, with a plain ed25519 key whose name is the origin. A
// witness (tlog-cosignature) signs, at a time in seconds since 1970,
//
//	cosignature/v1 LF
//	time <decimal> LF
//
// and the same three lines. Neither begins as an envelope's PAE or a message of SSH does, so one key may
// sign all. A key id is the first four bytes of H(name || LF || type || point), type 1 for a log's and
// 4 for a witness's; a key in text is <name>+<key id in hexadecimal>+<base64 of type and point>.
//
// There may be more signatures than a reader knows keys for. The log's comes first, the others are sorted
// by name and key id and occur once: a checkpoint has one form. [Policy.Join] makes it.
//
// # Proofs (tlog-proof)
//
//	c2sp.org/tlog-proof@v1 LF
//	extra <base64> LF            absent when empty
//	index <decimal> LF
//	<base64 of a hash> LF        0 to 63 of them, from the leaf up
//	LF
//	<checkpoint>
//
// # Requests to witnesses (tlog-witness)
//
//	old <decimal> LF
//	<base64 of a hash> LF        0 to 63 of them
//	LF
//	<checkpoint>
//
// Base64 is that of RFC 4648 section 4, with padding, and strict: what decodes has one encoding.
// Numbers have no sign and no leading zero.
//
// # Trust
//
// [Open] is the only door from a checkpoint's bytes to its tree, [CheckProof] the only one from a
// proof's bytes to what it proves, and [At] the only one to tiles: what comes out was checked against a
// tree that the caller names. A checkpoint says what its log claims. That it claims the same to everybody
// is for witnesses to say ([Policy]).
package tlog

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/open-covenant/covenant-git/envelope"
)

// Limits of the parsers, so that no input takes more memory or time than an honest one.
const (
	// MaxSize is the largest number of entries of a log: what JSON holds exactly, like an entry's number.
	MaxSize = 1 << 53
	// MaxSignatures bounds the signatures of a checkpoint. C2SP asks for 16, and policies name 32 witnesses.
	MaxSignatures = 64
	// MaxCheckpoint bounds a checkpoint in bytes: 64 signatures of the largest kinds (ML-DSA) fit.
	MaxCheckpoint = 256 << 10
	// MaxHashes bounds the hashes of a proof; tlog-witness sets it.
	MaxHashes = 63
	// MaxExtra bounds the extra data of a proof in bytes: any envelope fits.
	MaxExtra = envelope.MaxSize
	// MaxName bounds an origin or another name of a key in bytes: newer cosignatures count it in one byte.
	MaxName = 255
)

// The kinds of refusal. All errors of this package wrap one of them, an error of the caller's Tiles or
// records, or one of the caller's signer.
var (
	// ErrSyntax says that bytes are not in the one form that they must have.
	ErrSyntax = errors.New("malformed")
	// ErrTooLarge says that something passes a limit.
	ErrTooLarge = errors.New("too large")
	// ErrOrigin says that a checkpoint is of another log.
	ErrOrigin = errors.New("checkpoint of another log")
	// ErrKeyType says that a key is no plain ed25519 key: no other kind makes these signatures.
	ErrKeyType = errors.New("kind of key cannot sign checkpoints; a plain ed25519 key can")
	// ErrSignature says that a signature of a known key does not verify, or that the log's is missing.
	ErrSignature = errors.New("signature does not verify")
	// ErrWitnesses says that too few witnesses saw a checkpoint; the error is a [*QuorumError].
	ErrWitnesses = errors.New("not enough witnesses")
	// ErrPolicy says that witnesses or their number make no policy.
	ErrPolicy = errors.New("no policy")
	// ErrDamaged says that tiles are not those of the tree; the error is a [*TileError].
	ErrDamaged = errors.New("damaged tile")
	// ErrIndex says that a tree has no entry of a number.
	ErrIndex = errors.New("no such entry in the log")
	// ErrSize says that a log never had a size, or not yet.
	ErrSize = errors.New("no such size of the log")
	// ErrProof says that a proof does not prove what it should. For a proof of consistency between
	// two checkpoints of one log it may mean that the log forked: both are the evidence, keep them.
	ErrProof = errors.New("proof does not hold")
)

// A TileError names the tiles that are not of the tree, or that could not be read. Several are named
// when only all together are checked: one of them, or the tree, is wrong. It wraps ErrDamaged or what
// the caller's Tiles returned.
type TileError struct {
	Paths []string
	Err   error
}

func (e *TileError) Error() string { return fmt.Sprintf("%v: %s", e.Err, strings.Join(e.Paths, ", ")) }

// Unwrap returns the kind of refusal.
func (e *TileError) Unwrap() error { return e.Err }

// Hash is a hash of the tree.
type Hash [sha256.Size]byte

// String returns the hash as checkpoints and proofs write it, in base64.
func (h Hash) String() string { return b64.EncodeToString(h[:]) }

// MarshalText implements [encoding.TextMarshaler], as base64.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]. The error wraps ErrSyntax.
func (h *Hash) UnmarshalText(text []byte) error {
	b, err := b64.DecodeString(string(text))
	if err != nil || len(b) != len(h) {
		return fmt.Errorf("%w: %.60q is no hash", ErrSyntax, text)
	}
	copy(h[:], b)
	return nil
}

// Record is what the log holds of an entry: its identity.
type Record [sha256.Size]byte

// RecordOf returns the record of the entry with this identity. A digest that is not valid is ErrSyntax.
func RecordOf(id envelope.Digest) (Record, error) {
	if !id.Valid() {
		return Record{}, fmt.Errorf("record: %w: digest %q", ErrSyntax, clip(string(id)))
	}
	b, err := hex.DecodeString(strings.TrimPrefix(string(id), "sha256:"))
	if err != nil {
		return Record{}, fmt.Errorf("record: %w: %v", ErrSyntax, err)
	}
	return Record(b), nil
}

// ID returns the identity of the record's entry.
func (r Record) ID() envelope.Digest { return envelope.Digest("sha256:" + hex.EncodeToString(r[:])) }

// Leaf returns the hash of the record in the tree.
func (r Record) Leaf() Hash { return Hash(tlog.RecordHash(r[:])) }

// Tree is the state of a log: how many entries it has, and what they hash to. The zero Tree is that of no entries.
type Tree struct {
	Size uint64
	Root Hash
}

var emptyRoot = Hash(sha256.Sum256(nil))

// whole returns the tree with the root of the empty one filled in, or ErrSyntax or ErrTooLarge.
func (t Tree) whole() (Tree, error) {
	if t.Size > MaxSize {
		return t, fmt.Errorf("%w: a tree of %d entries", ErrTooLarge, t.Size)
	}
	if t.Size == 0 {
		if t.Root != (Hash{}) && t.Root != emptyRoot {
			return t, fmt.Errorf("%w: a tree without entries has another root", ErrSyntax)
		}
		t.Root = emptyRoot
	}
	return t, nil
}

func node(left, right Hash) Hash { return Hash(tlog.NodeHash(tlog.Hash(left), tlog.Hash(right))) }

// Tiles reads the files of a log.
type Tiles interface {
	// Tile returns the file at a path, such as "tile/0/x001/234" or "tile/entries/000.p/7". The error
	// for one that is not there wraps [fs.ErrNotExist]. The bytes are not changed afterwards.
	Tile(path string) ([]byte, error)
}

// TileMap is a log in memory, by path.
type TileMap map[string][]byte

// Tile implements Tiles.
func (m TileMap) Tile(path string) ([]byte, error) {
	if b, ok := m[path]; ok {
		return b, nil
	}
	return nil, fs.ErrNotExist
}

// Put stores a tile; it is what [Grow] writes with.
func (m TileMap) Put(t Tile) error {
	m[t.Path] = t.Data
	return nil
}

var b64 = base64.StdEncoding.Strict()

// decode reads base64 in its one form. Line ends, which encoding/base64 skips, are refused.
func decode(s string) ([]byte, error) {
	b, err := b64.DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrSyntax, err)
	}
	if len(s) != b64.EncodedLen(len(b)) {
		return nil, fmt.Errorf("%w: base64 with line ends", ErrSyntax)
	}
	return b, nil
}

func parseHash(s string) (Hash, error) {
	if len(s) != b64.EncodedLen(sha256.Size) {
		return Hash{}, fmt.Errorf("%w: hash %q", ErrSyntax, clip(s))
	}
	b, err := decode(s)
	if err != nil || len(b) != sha256.Size {
		return Hash{}, fmt.Errorf("%w: hash %q", ErrSyntax, clip(s))
	}
	return Hash(b), nil
}

// parseNumber reads a number below 2^63 in its one form, such as a size that may be too large.
func parseNumber(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || strconv.FormatUint(n, 10) != s {
		return 0, fmt.Errorf("%w: number %q", ErrSyntax, clip(s))
	}
	return n, nil
}

func parseSize(s string) (uint64, error) {
	n, err := parseNumber(s)
	if err == nil && n > MaxSize {
		err = fmt.Errorf("%w: %d entries", ErrTooLarge, n)
	}
	return n, err
}

func clip(s string) string {
	if len(s) > 100 {
		return s[:100] + "…"
	}
	return s
}
