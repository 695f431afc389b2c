// Package envelope signs and opens statements.
//
// An envelope is DSSE v1 (https://github.com/secure-systems-lab/dsse): a payload,
// its type, and signatures over the pre-authentication encoding
//
//	PAE = "DSSEv1" SP len(type) SP type SP len(payload) SP payload
//
// written as one line of canonical JSON (RFC 8785):
//
//	{"payload":"<base64>","payloadType":"<type>","signatures":[{"keyid":"<id>","sig":"<base64>"}]}
//
// An envelope's identity is the SHA-256 of its PAE, never of the JSON around
// it: key ids, the list of signatures and the base64 are not signed.
//
// A payload leaves an envelope through two doors only, [Envelope.Open], which
// verifies every signature, and [Envelope.OpenPinned], which compares the
// identity with one the caller got elsewhere. There is no third.
package envelope

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/open-covenant/covenant-git/envelope/canonical"
)

// Limits of the parser. A seal of a commit that changes 5,000 files has about
// 1.5 MB; what is larger than MaxSize was not written by this program.
const (
	MaxSize       = 64 << 20 // bytes of one envelope
	MaxSignatures = 16
	maxTypeLen    = 256
	maxKeyIDLen   = 256
	maxSigLen     = 16 << 10
)

// The kinds of refusal. All errors of this package wrap one of them.
var (
	ErrSyntax         = errors.New("not an envelope")
	ErrTooLarge       = errors.New("envelope is too large")
	ErrEmptyPayload   = errors.New("envelope has no payload")
	ErrPayloadType    = errors.New("envelope has another payload type")
	ErrSignatureCount = errors.New("envelope has not exactly the signatures expected")
	ErrSignature      = errors.New("signature does not verify")
	ErrUnknownKey     = errors.New("signed by an unknown key")
	ErrDigest         = errors.New("envelope is not the one that was pinned")
)

// A KeyError names the key whose signature was refused. It wraps ErrSignature or ErrUnknownKey.
type KeyError struct {
	KeyID string
	Err   error
}

func (e *KeyError) Error() string { return fmt.Sprintf("%v: %s", e.Err, e.KeyID) }

// Unwrap returns the kind of refusal.
func (e *KeyError) Unwrap() error { return e.Err }

// Digest is the identity of an envelope: "sha256:" and the hexadecimal SHA-256 of its PAE.
type Digest string

const digestPrefix = "sha256:"

// ParseDigest reads a digest of exactly 64 lower-case hexadecimal digits.
func ParseDigest(s string) (Digest, error) {
	if d := Digest(s); d.Valid() {
		return d, nil
	}
	return "", fmt.Errorf("%q is no digest; one looks like sha256:<64 hexadecimal digits>", clip(s))
}

// Begins reports whether a text that people type means the digest: at least four of the digits that it begins with, with or without
// "sha256:".
func (d Digest) Begins(text string) bool {
	digits := strings.TrimPrefix(text, digestPrefix)
	return len(digits) >= 4 && strings.HasPrefix(strings.TrimPrefix(string(d), digestPrefix), digits)
}

// Valid reports whether d is well formed.
func (d Digest) Valid() bool {
	if len(d) != len(digestPrefix)+2*sha256.Size || d[:len(digestPrefix)] != digestPrefix {
		return false
	}
	for _, c := range []byte(d[len(digestPrefix):]) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// Short returns twelve hexadecimal digits, for people.
func (d Digest) Short() string {
	if !d.Valid() {
		return string(d)
	}
	return string(d[len(digestPrefix) : len(digestPrefix)+12])
}

// PAE returns the bytes that are signed.
func PAE(payloadType string, payload []byte) []byte {
	b := make([]byte, 0, len(payload)+len(payloadType)+64)
	b = append(b, "DSSEv1 "...)
	b = strconv.AppendInt(b, int64(len(payloadType)), 10)
	b = append(b, ' ')
	b = append(b, payloadType...)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(len(payload)), 10)
	b = append(b, ' ')
	return append(b, payload...)
}

func digestOf(pae []byte) Digest {
	sum := sha256.Sum256(pae)
	return Digest(digestPrefix + hex.EncodeToString(sum[:]))
}

// Signer makes signatures with one key.
type Signer interface {
	Sign(msg []byte) ([]byte, error)
}

// Key verifies the signatures of one key.
type Key interface {
	Verify(msg, sig []byte) error
}

// Keyring finds a key by its id. It is asked only for ids an envelope names.
type Keyring func(keyID string) (Key, bool)

// Signature is one signature of an envelope.
type Signature struct {
	KeyID string
	Sig   []byte
}

// Envelope is a parsed envelope that nobody has verified yet: its payload is not accessible.
type Envelope struct {
	payloadType string
	payload     []byte
	sigs        []Signature
	pae         []byte
	id          Digest
}

// SealWith is a signer under the key id that verifiers will look for.
type SealWith struct {
	KeyID  string
	Signer Signer
}

// Seal signs payload, which must be canonical JSON, and returns the envelope.
func Seal(payloadType string, payload []byte, with ...SealWith) (*Envelope, error) {
	if len(payload) == 0 {
		return nil, ErrEmptyPayload
	}
	if err := canonical.Check(payload); err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	e := &Envelope{payloadType: payloadType, payload: payload, pae: PAE(payloadType, payload)}
	e.id = digestOf(e.pae)
	for _, w := range with {
		sig, err := w.Signer.Sign(e.pae)
		if err != nil {
			return nil, fmt.Errorf("signing with %s: %w", w.KeyID, err)
		}
		e.sigs = append(e.sigs, Signature{w.KeyID, sig})
	}
	if n := len(e.sigs); n == 0 || n > MaxSignatures {
		return nil, ErrSignatureCount
	}
	return e, nil
}

type wire struct {
	Payload     string    `json:"payload"`
	PayloadType string    `json:"payloadType"`
	Signatures  []wireSig `json:"signatures"`
}

type wireSig struct {
	KeyID string `json:"keyid"`
	Sig   string `json:"sig"`
}

var b64 = base64.StdEncoding.Strict()

// Bytes returns the envelope as one line of canonical JSON, without a newline.
func (e *Envelope) Bytes() ([]byte, error) {
	w := wire{Payload: b64.EncodeToString(e.payload), PayloadType: e.payloadType}
	for _, s := range e.sigs {
		w.Signatures = append(w.Signatures, wireSig{s.KeyID, b64.EncodeToString(s.Sig)})
	}
	return canonical.Marshal(w)
}

// Parse reads one envelope. It refuses whatever Bytes would not have written.
func Parse(b []byte) (*Envelope, error) {
	if len(b) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(b), MaxSize)
	}
	w, ok := cutWire(b)
	if !ok {
		if err := canonical.Unmarshal(b, &w); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrSyntax, err)
		}
	}
	if w.Payload == "" {
		return nil, ErrEmptyPayload
	}
	if w.PayloadType == "" || len(w.PayloadType) > maxTypeLen {
		return nil, fmt.Errorf("%w: payload type %q", ErrSyntax, clip(w.PayloadType))
	}
	if n := len(w.Signatures); n == 0 || n > MaxSignatures {
		return nil, fmt.Errorf("%w: %d signatures", ErrSignatureCount, n)
	}
	e := &Envelope{payloadType: w.PayloadType}
	var err error
	if e.payload, err = b64.DecodeString(w.Payload); err != nil {
		return nil, fmt.Errorf("%w: payload: %w", ErrSyntax, err)
	}
	seen := make(map[string]bool, len(w.Signatures))
	for _, s := range w.Signatures {
		if s.KeyID == "" || len(s.KeyID) > maxKeyIDLen || len(s.Sig) > maxSigLen {
			return nil, fmt.Errorf("%w: signature by %q", ErrSyntax, clip(s.KeyID))
		}
		if seen[s.KeyID] {
			return nil, fmt.Errorf("%w: two by %s", ErrSignatureCount, s.KeyID)
		}
		seen[s.KeyID] = true
		sig, err := b64.DecodeString(s.Sig)
		if err != nil || len(sig) == 0 {
			return nil, fmt.Errorf("%w: signature by %s is no base64", ErrSyntax, s.KeyID)
		}
		e.sigs = append(e.sigs, Signature{s.KeyID, sig})
	}
	// base64 decoding skips line breaks, and canonical JSON can carry them
	// inside a string: only what encodes back is one envelope's only form.
	if len(w.Payload) != b64.EncodedLen(len(e.payload)) {
		return nil, fmt.Errorf("%w: payload is not strict base64", ErrSyntax)
	}
	for i, s := range w.Signatures {
		if len(s.Sig) != b64.EncodedLen(len(e.sigs[i].Sig)) {
			return nil, fmt.Errorf("%w: signature is not strict base64", ErrSyntax)
		}
	}
	e.pae = PAE(e.payloadType, e.payload)
	e.id = digestOf(e.pae)
	return e, nil
}

// cutWire reads an envelope of one signature whose texts need no escape, which nearly all are: its canonical form leaves no
// choice but those texts, so cutting them out tells as much as reading JSON does. ok: it is one, and w is what JSON would have made of it.
func cutWire(b []byte) (w wire, ok bool) {
	var sig wireSig
	for _, part := range []struct {
		before string
		into   *string
	}{{`{"payload":"`, &w.Payload}, {`","payloadType":"`, &w.PayloadType}, {`","signatures":[{"keyid":"`, &sig.KeyID}, {`","sig":"`, &sig.Sig}} {
		rest, is := bytes.CutPrefix(b, []byte(part.before))
		end := bytes.IndexByte(rest, '"')
		if !is || end < 0 || bytes.ContainsFunc(rest[:end], func(r rune) bool { return r < ' ' || r == '\\' || r > '~' }) {
			return wire{}, false
		}
		*part.into, b = string(rest[:end]), rest[end:]
	}
	w.Signatures = []wireSig{sig}
	return w, string(b) == `"}]}`
}

// ID returns the envelope's identity.
func (e *Envelope) ID() Digest { return e.id }

// PayloadType returns the type the envelope claims. It is signed, but nothing has verified it yet.
func (e *Envelope) PayloadType() string { return e.payloadType }

// KeyIDs returns the ids of the keys the envelope claims to be signed by. They are hints.
func (e *Envelope) KeyIDs() []string {
	ids := make([]string, len(e.sigs))
	for i, s := range e.sigs {
		ids[i] = s.KeyID
	}
	return ids
}

// Opened is what a door let out.
type Opened struct {
	ID          Digest
	PayloadType string
	Payload     []byte   // canonical JSON
	KeyIDs      []string // the keys whose signatures verified; empty after OpenPinned
}

// Open verifies that the envelope carries exactly n signatures, each by another
// key of the ring, each good, over a canonical payload of this type.
func (e *Envelope) Open(payloadType string, n int, ring Keyring) (*Opened, error) {
	if e.payloadType != payloadType {
		return nil, fmt.Errorf("%w: %q, not %q", ErrPayloadType, clip(e.payloadType), payloadType)
	}
	if len(e.sigs) != n {
		return nil, fmt.Errorf("%w: %d instead of %d", ErrSignatureCount, len(e.sigs), n)
	}
	for _, s := range e.sigs {
		key, ok := ring(s.KeyID)
		if !ok {
			return nil, &KeyError{s.KeyID, ErrUnknownKey}
		}
		if err := key.Verify(e.pae, s.Sig); err != nil {
			return nil, &KeyError{s.KeyID, ErrSignature}
		}
	}
	o, err := e.opened()
	if err != nil {
		return nil, err
	}
	o.KeyIDs = e.KeyIDs()
	return o, nil
}

// OpenPinned returns the payload when the envelope's identity is want, whoever
// signed it: for a document that names the very keys that sign it, whose
// identity the reader knows from elsewhere. The caller still owes Open.
func (e *Envelope) OpenPinned(payloadType string, want Digest) (*Opened, error) {
	if e.payloadType != payloadType {
		return nil, fmt.Errorf("%w: %q, not %q", ErrPayloadType, clip(e.payloadType), payloadType)
	}
	if !want.Valid() || e.id != want {
		return nil, fmt.Errorf("%w: it is %s, pinned is %s", ErrDigest, e.id, want)
	}
	return e.opened()
}

func (e *Envelope) opened() (*Opened, error) {
	if err := canonical.Check(e.payload); err != nil {
		return nil, fmt.Errorf("%w: payload: %w", ErrSyntax, err)
	}
	return &Opened{ID: e.id, PayloadType: e.payloadType, Payload: e.payload}, nil
}

// Lines splits a note, or any file of envelopes, into its lines. A last line may lack its newline; empty lines are dropped.
func Lines(b []byte) [][]byte {
	var out [][]byte
	for line := range bytes.SplitSeq(b, []byte{'\n'}) {
		if len(line) > 0 {
			out = append(out, line)
		}
	}
	return out
}

func clip(s string) string {
	if len(s) > 100 {
		return s[:100] + "…"
	}
	return s
}
