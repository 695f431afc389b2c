// Package openpgp lets OpenPGP keys (RFC 9580) sign and be checked beside SSH keys. A program that wants
// them calls [Enable]; others do not link OpenPGP at all.
//
// # Key
//
// The text of a key is "openpgp:" and the standard base64, without line ends, of the smallest binary
// certificate that can be checked:
//
//   - version 4: the primary key, one user id, its newest self-certification;
//   - version 6: the primary key, its newest direct key signature;
//   - then each subkey that may sign, with its newest binding, which carries the subkey's own
//     signature that it belongs to this primary key.
//
// Packets have headers of the current format with the shortest length, and nothing else is there.
// Primary and subkeys are ed25519, RSA of at least 2048 bits, or ECDSA on P-256, P-384 or P-521; each
// signature uses SHA-256, SHA-384 or SHA-512. [Import] makes the text from what gpg --export writes.
//
// # Signature
//
// A signature is one binary detached signature packet over the message (type 0x00), as gpg
// --detach-sign writes it, by the primary key if its flags let it sign or by a signing subkey of the
// text. It has the version of the key, shortest numbers, and outside the signed part nothing but the
// key id of its issuer.
//
// # Time
//
// Nothing here knows the time: an expired key or signature verifies. What a key may do, and until
// when, is the trust root's and the grants' to say, which name keys for a time. Import refuses a key
// that was revoked and leaves out revoked subkeys; a text that was imported before stays what it is.
package openpgp

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"
	"sync"

	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/open-covenant/covenant-git/envelope/identity"
)

// prefix begins the text and the ID of a key.
const prefix = "openpgp:"

var enable = sync.OnceFunc(func() { identity.Register(prefix, parse) })

// Enable makes identity.ParsePublicKey read OpenPGP keys. It may be called more than once.
func Enable() { enable() }

// key is an OpenPGP certificate as an identity.PublicKey.
type key struct {
	text string
	certificate
}

var _ identity.PublicKey = (*key)(nil)

// parse reads the text of a key; what follows a space is a comment.
func parse(text string) (identity.PublicKey, error) {
	k, err := parseText(text)
	if err != nil {
		return nil, fmt.Errorf("reading an OpenPGP key: %w", err)
	}
	return k, nil
}

func parseText(text string) (*key, error) {
	if i := strings.IndexAny(text, " \t"); i >= 0 {
		text = text[:i]
	}
	b, err := base64.StdEncoding.Strict().DecodeString(strings.TrimPrefix(text, prefix))
	if err != nil {
		return nil, fmt.Errorf("%w: %v", identity.ErrKeyFormat, err)
	}
	packets, err := split(b)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(join(packets), b) {
		return nil, fmt.Errorf("%w: packet headers are not the shortest of the current format", identity.ErrKeyFormat)
	}
	c, err := parseCertificate(packets)
	if err != nil {
		return nil, err
	}
	return &key{text: text, certificate: c}, nil
}

func (k *key) ID() string {
	return prefix + strings.ToUpper(hex.EncodeToString(k.primary.Fingerprint))
}

func (k *key) String() string { return k.text }

func (k *key) Digest() [32]byte { return sha256.Sum256(k.primary.Fingerprint) }

// Material returns the material of the primary key.
func (k *key) Material() string { return k.materials[0] }

// Materials returns the material of the primary key and of every subkey that signs.
func (k *key) Materials() []string { return slices.Clone(k.materials) }

func (k *key) Verify(msg, sig []byte) error {
	if err := k.verify(msg, sig); err != nil {
		return fmt.Errorf("%s: %w: %v", k.ID(), identity.ErrSignature, err)
	}
	return nil
}

func (k *key) verify(msg, sig []byte) error {
	if len(sig) > maxSignature {
		return fmt.Errorf("signature of %d bytes, the limit is %d", len(sig), maxSignature)
	}
	packets, err := split(sig)
	if err != nil {
		return err
	}
	if len(packets) != 1 || packets[0].tag != tagSignature {
		return errors.New("not one signature packet")
	}
	s, err := parseSignature(packets[0], packet.SigTypeBinary)
	if err != nil {
		return err
	}
	for _, signer := range k.signers {
		if !s.CheckKeyIdOrFingerprint(signer) {
			continue
		}
		if err := checkUnhashed(packets[0].body, signer); err != nil {
			return err
		}
		return checkMessage(signer, s, msg)
	}
	return errors.New("made by no signing key of this certificate")
}

// checkMessage checks the numbers of a detached signature.
func checkMessage(signer *packet.PublicKey, s *packet.Signature, msg []byte) error {
	if s.Version != signer.Version {
		return fmt.Errorf("signature of version %d under a key of version %d", s.Version, signer.Version)
	}
	digest := func() (hash.Hash, error) {
		h, err := s.PrepareVerify()
		if err == nil {
			h.Write(msg)
		}
		return h, err
	}
	h, err := digest()
	if err != nil {
		return err
	}
	// Version 4 does not insist on the two bytes of the digest that stand outside.
	if err := packet.VerifyHashTag(h, s); err != nil {
		return err
	}
	if h, err = digest(); err != nil {
		return err
	}
	return signer.VerifySignature(h, s)
}
