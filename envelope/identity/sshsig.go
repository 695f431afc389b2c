package identity

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
)

// maxSSHSIG is the longest SSHSIG blob in bytes: an RSA key of 16384 bits takes 4.2 KiB.
const maxSSHSIG = 8 << 10

// Flags of a security key's signature (WebAuthn, section 6.1).
const (
	flagPresent  = 0x01
	flagVerified = 0x04
)

// sealSSHSIG signs msg with a private key and returns the SSHSIG blob.
func sealSSHSIG(signer ssh.Signer, msg []byte) ([]byte, error) {
	sig, err := sshsig.Sign(bytes.NewReader(msg), signer, sshsig.HashSHA512, Namespace)
	if err != nil {
		return nil, fmt.Errorf("signing with %s: %w", ssh.FingerprintSHA256(signer.PublicKey()), err)
	}
	return sig.Marshal(), nil
}

// openSSHSIG checks that blob is the SSHSIG of msg by k, in a namespace and with one of some hashes,
// and returns its inner signature.
func (k *sshKey) openSSHSIG(msg, blob []byte, namespace string, hashes ...sshsig.HashAlgorithm) (*ssh.Signature, error) {
	sig, err := k.parseSSHSIG(blob, namespace, hashes...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %v", k.ID(), ErrSignature, err)
	}
	if err := sshsig.Verify(bytes.NewReader(msg), sig, k.key, sig.HashAlgorithm, namespace); err != nil {
		return nil, fmt.Errorf("%s: %w: %v", k.ID(), ErrSignature, err)
	}
	return sig.Signature, nil
}

// parseSSHSIG reads a blob that claims to be by k, and refuses a second encoding of a signature.
func (k *sshKey) parseSSHSIG(blob []byte, namespace string, hashes ...sshsig.HashAlgorithm) (*sshsig.Signature, error) {
	if len(blob) > maxSSHSIG {
		return nil, fmt.Errorf("SSHSIG of %d bytes, the limit is %d", len(blob), maxSSHSIG)
	}
	sig, err := sshsig.ParseSignature(blob)
	if err != nil {
		return nil, err
	}
	inner := sig.Signature
	switch {
	case !bytes.Equal(sig.PublicKey.Marshal(), k.wire):
		return nil, fmt.Errorf("made by %s", ssh.FingerprintSHA256(sig.PublicKey))
	case sig.Namespace != namespace:
		return nil, fmt.Errorf("SSHSIG namespace %.64q, not %q", sig.Namespace, namespace)
	case !slices.Contains(hashes, sig.HashAlgorithm):
		return nil, fmt.Errorf("SSHSIG hash %.64q, not one of %q", sig.HashAlgorithm, hashes)
	case !bytes.Equal(sig.Marshal(), blob):
		// Also what ParseSignature does not look at: the reserved field.
		return nil, fmt.Errorf("SSHSIG is not encoded canonically")
	}
	return sig, k.checkInner(inner)
}

// checkInner refuses an inner signature of another algorithm than the key's, or in another than its
// one encoding.
func (k *sshKey) checkInner(inner *ssh.Signature) error {
	algorithm, rest := k.key.Type(), 0
	switch algorithm {
	case ssh.KeyAlgoRSA:
		algorithm = ssh.KeyAlgoRSASHA512
		if size := rsaSize(k.key); len(inner.Blob) != size {
			return fmt.Errorf("RSA signature of %d bytes under a key of %d", len(inner.Blob), size)
		}
	case ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256:
		rest = 5 // flags and counter
	}
	if inner.Format != algorithm {
		return fmt.Errorf("signature algorithm %.64q, not %s", inner.Format, algorithm)
	}
	if len(inner.Rest) != rest {
		return fmt.Errorf("%d bytes after the signature, not %d", len(inner.Rest), rest)
	}
	switch k.key.Type() {
	case ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoSKECDSA256:
		return checkECDSA(inner.Blob)
	}
	return nil
}

// Presence reports what the holder of the security key pk did for the signature sig: touched it, and
// proved to it who they are, by PIN or finger (PROTOCOL.u2f). Both are false if pk is no security key
// or sig is not by it. The answer counts only after pk.Verify accepted sig, which signs the flags
// too.
func Presence(pk PublicKey, sig []byte) (touched, verified bool) {
	k, ok := pk.(*sshKey)
	if !ok || !k.isSecurityKey() {
		return false, false
	}
	parsed, err := k.parseSSHSIG(sig, Namespace, sshsig.HashSHA512)
	if err != nil {
		return false, false
	}
	flags := parsed.Signature.Rest[0]
	return flags&flagPresent != 0, flags&flagVerified != 0
}
