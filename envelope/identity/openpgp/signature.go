package openpgp

import (
	"bytes"
	"crypto"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/open-covenant/covenant-git/envelope/identity"
)

// maxSignature is the longest detached signature in bytes; RSA of 16384 bits with a few notations takes
// 3 KiB.
const maxSignature = 8 << 10

// parseSignature reads a signature packet of one of the given types, with an accepted hash and in its
// one encoding, the unsigned subpackets apart. Its numbers are not checked.
func parseSignature(p raw, types ...packet.SignatureType) (*packet.Signature, error) {
	parsed, err := packet.Read(bytes.NewReader(join([]raw{p})))
	if err != nil {
		return nil, fmt.Errorf("%w: %v", identity.ErrKeyFormat, err)
	}
	s, ok := parsed.(*packet.Signature)
	if !ok {
		return nil, fmt.Errorf("%w: not a signature packet", identity.ErrKeyFormat)
	}
	if err := acceptSignature(s, types...); err != nil {
		return nil, err
	}
	if _, err := layOut(p.body); err != nil {
		return nil, fmt.Errorf("%w: %v", identity.ErrKeyFormat, err)
	}
	return s, nil
}

// acceptSignature refuses signatures of another type and weak hashes.
func acceptSignature(s *packet.Signature, types ...packet.SignatureType) error {
	if !slices.Contains(types, s.SigType) {
		return fmt.Errorf("%w: signature of type %#x", identity.ErrKeyFormat, byte(s.SigType))
	}
	switch s.Hash {
	case crypto.SHA256, crypto.SHA384, crypto.SHA512:
		return nil
	}
	return fmt.Errorf("%w: signature with hash %v; it must be SHA-256, SHA-384 or SHA-512", identity.ErrKeyType, s.Hash)
}

var errCut = errors.New("signature packet is cut")

// layOut walks the body of a signature packet of version 4 or 6 (RFC 9580, section 5.2.3) to its last
// byte, refuses numbers that are not in their shortest form, and returns the unsigned subpackets.
func layOut(body []byte) (unhashed []byte, err error) {
	r := reader{b: body}
	head := r.take(4) // version, type, key algorithm, hash algorithm
	if r.cut {
		return nil, errCut
	}
	size := 2
	if head[0] == 6 {
		size = 4
	} else if head[0] != 4 {
		return nil, fmt.Errorf("signature packet of version %d", head[0])
	}
	r.take(r.number(size))
	unhashed = r.take(r.number(size))
	r.take(2) // first two bytes of the digest
	if head[0] == 6 {
		r.take(r.number(1)) // salt
	}
	switch packet.PublicKeyAlgorithm(head[2]) {
	case packet.PubKeyAlgoRSA, packet.PubKeyAlgoRSASignOnly:
		r.integer()
	case packet.PubKeyAlgoECDSA, packet.PubKeyAlgoEdDSA:
		r.integer()
		r.integer()
	case packet.PubKeyAlgoEd25519:
		r.take(64)
	default:
		return nil, fmt.Errorf("signature with key algorithm %d", head[2])
	}
	switch {
	case r.cut:
		return nil, errCut
	case r.long:
		return nil, errors.New("number in a signature packet is not in its shortest form")
	case len(r.b) > 0:
		return nil, fmt.Errorf("%d bytes after the signature", len(r.b))
	}
	return unhashed, nil
}

// checkUnhashed refuses a detached signature with unsigned subpackets other than the key id of its
// issuer (RFC 9580, section 5.2.3.12): anybody could change them.
func checkUnhashed(body []byte, issuer *packet.PublicKey) error {
	unhashed, err := layOut(body)
	if err != nil || len(unhashed) == 0 {
		return err
	}
	want := binary.BigEndian.AppendUint64([]byte{9, 16}, issuer.KeyId)
	if issuer.Version != 4 || !bytes.Equal(unhashed, want) {
		return errors.New("signature has unsigned subpackets besides its issuer's key id")
	}
	return nil
}

// reader takes fields from the front of b.
type reader struct {
	b    []byte
	cut  bool // a field reached beyond the end
	long bool // an integer was not in its shortest form
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.cut, r.b = true, nil
		return nil
	}
	field := r.b[:n]
	r.b = r.b[n:]
	return field
}

// number takes a big-endian number of n bytes.
func (r *reader) number(n int) int {
	v := 0
	for _, c := range r.take(n) {
		v = v<<8 | int(c)
	}
	return v
}

// integer takes a multiprecision integer (RFC 9580, section 3.2).
func (r *reader) integer() {
	n := r.number(2)
	field := r.take((n + 7) / 8)
	if len(field) > 0 && (len(field)-1)*8+bits.Len8(field[0]) != n {
		r.long = true
	}
}
