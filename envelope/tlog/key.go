package tlog

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/identity"
)

// Signature types of signed-note.
const (
	typeLog     = 1 // ed25519 over the text
	typeWitness = 4 // ed25519 over a time and the text
)

// Origin names a log; it is the first line of its checkpoints and the name of its key.
type Origin string

// OriginOf returns the origin of the log that a writer keeps of a repository, which is named by the
// identity of version 1 of its trust root: "covenant/<its first 16 digits>/<writer>". The error wraps ErrSyntax.
func OriginOf(repository envelope.Digest, writer string) (Origin, error) {
	if !repository.Valid() || writer == "" || strings.Contains(writer, "/") {
		return "", fmt.Errorf("%w: no log of writer %q in %q", ErrSyntax, clip(writer), clip(string(repository)))
	}
	digits := strings.TrimPrefix(string(repository), "sha256:")[:16]
	return ParseOrigin("covenant/" + digits + "/" + writer)
}

// ParseOrigin accepts the origin of any C2SP log whose key carries its name: 1 to MaxName bytes of UTF-8
// without spaces, control characters and "+". The error wraps ErrSyntax or ErrTooLarge.
func ParseOrigin(s string) (Origin, error) {
	return Origin(s), checkName(s)
}

// checkName holds the grammar of key names (signed-note).
func checkName(s string) error {
	if len(s) > MaxName {
		return fmt.Errorf("%w: a name of %d bytes, at most %d", ErrTooLarge, len(s), MaxName)
	}
	bad := func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || r == '+' }
	if s == "" || !utf8.ValidString(s) || strings.ContainsFunc(s, bad) {
		return fmt.Errorf("%w: %q cannot name a key", ErrSyntax, clip(s))
	}
	return nil
}

// key is a named ed25519 key for one type of signature. Values are comparable.
type key struct {
	name  string
	typ   byte
	point [ed25519.PublicKeySize]byte
}

func newKey(name string, typ byte, pk identity.PublicKey) (key, error) {
	k := key{name: name, typ: typ}
	if err := checkName(name); err != nil {
		return key{}, err
	}
	// An OpenPGP key of the same material signs something else.
	digits, ok := strings.CutPrefix(pk.Material(), "ed25519:")
	point, err := hex.DecodeString(digits)
	if !ok || err != nil || len(point) != len(k.point) || !strings.HasPrefix(pk.String(), "ssh-ed25519 ") {
		return key{}, fmt.Errorf("%w: %s", ErrKeyType, pk.ID())
	}
	k.point = [ed25519.PublicKeySize]byte(point)
	return k, nil
}

// parseKey reads <name>+<key id>+<base64>. A key has one text.
func parseKey(s string, typ byte) (key, error) {
	if len(s) > MaxName+64 { // two signs, 8 and 44 characters
		return key{}, fmt.Errorf("%w: a key of %d bytes", ErrTooLarge, len(s))
	}
	name, rest, _ := strings.Cut(s, "+")
	_, text, _ := strings.Cut(rest, "+")
	if err := checkName(name); err != nil {
		return key{}, err
	}
	b, err := decode(text)
	if err != nil || len(b) == 0 {
		return key{}, fmt.Errorf("%w: key %q", ErrSyntax, clip(s))
	}
	k := key{name: name, typ: typ}
	if b[0] != typ {
		return key{}, fmt.Errorf("%w: type %d, not %d", ErrKeyType, b[0], typ)
	}
	if len(b) != 1+len(k.point) {
		return key{}, fmt.Errorf("%w: key %q", ErrSyntax, clip(s))
	}
	// Points of small order, under which anybody can sign, are refused here.
	if _, err := identity.Material(ed25519.PublicKey(b[1:])); err != nil {
		return key{}, fmt.Errorf("%w: %w", ErrKeyType, err)
	}
	k.point = [ed25519.PublicKeySize]byte(b[1:])
	if k.String() != s {
		return key{}, fmt.Errorf("%w: key %q has another id", ErrSyntax, clip(s))
	}
	return k, nil
}

// ID returns the key id, which a signature carries: a hint of 32 bits.
func (k key) ID() uint32 {
	b := append([]byte(k.name), '\n', k.typ)
	sum := sha256.Sum256(append(b, k.point[:]...))
	return binary.BigEndian.Uint32(sum[:])
}

// String returns the text of the key, <name>+<key id>+<base64>, which other C2SP tools call a vkey.
func (k key) String() string {
	return fmt.Sprintf("%s+%08x+%s", k.name, k.ID(), b64.EncodeToString(append([]byte{k.typ}, k.point[:]...)))
}

func (k key) verify(msg, sig []byte) error {
	if len(sig) != ed25519.SignatureSize || !ed25519.Verify(k.point[:], msg, sig) {
		return fmt.Errorf("%w: by %s", ErrSignature, k.name)
	}
	return nil
}

// sign signs with a signer whose key is k.
func (k key) sign(signer identity.Signer, msg []byte) ([]byte, error) {
	sig, err := signer.Sign(msg)
	if err != nil {
		return nil, fmt.Errorf("signing as %s: %w", k.name, err)
	}
	return sig, k.verify(msg, sig)
}

// LogKey verifies the checkpoints of one log.
type LogKey struct{ key }

// NewLogKey returns the key of a log. A key that is no plain ed25519 key is ErrKeyType.
func NewLogKey(origin Origin, pk identity.PublicKey) (LogKey, error) {
	k, err := newKey(string(origin), typeLog, pk)
	return LogKey{k}, err
}

// ParseLogKey reads the text of a log's key. The error wraps ErrSyntax, ErrTooLarge or ErrKeyType.
func ParseLogKey(s string) (LogKey, error) {
	k, err := parseKey(s, typeLog)
	return LogKey{k}, err
}

// Origin returns the log that the key signs for.
func (k LogKey) Origin() Origin { return Origin(k.name) }

// WitnessKey verifies the cosignatures of one witness.
type WitnessKey struct{ key }

// NewWitnessKey returns the key of a witness; its name has the grammar of an origin. A key that is no
// plain ed25519 key is ErrKeyType.
func NewWitnessKey(name string, pk identity.PublicKey) (WitnessKey, error) {
	k, err := newKey(name, typeWitness, pk)
	return WitnessKey{k}, err
}

// ParseWitnessKey reads the text of a witness's key. The error wraps ErrSyntax, ErrTooLarge or
// ErrKeyType; the newer witnesses with ML-DSA keys are ErrKeyType.
func ParseWitnessKey(s string) (WitnessKey, error) {
	k, err := parseKey(s, typeWitness)
	return WitnessKey{k}, err
}

// Name returns the name of the witness.
func (k WitnessKey) Name() string { return k.name }
