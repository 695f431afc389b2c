package identity

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"fmt"

	tabled "github.com/cloudflare/circl/sign/ed25519"
	"golang.org/x/crypto/ssh"
)

// edSigner signs with a plain ed25519 private key in memory. The signature is the one that crypto/ed25519 makes (RFC 8032 leaves no choice), and that package verifies it; it is made by another one
// since that one has the multiples of the base point in a table, where crypto/ed25519 computes them in each process that signs, which takes as long as all else that a signature needs in a hundred.
type edSigner struct {
	public  *sshKey
	private ed25519.PrivateKey
}

func (s *edSigner) Public() PublicKey { return s.public }

func (s *edSigner) Sign(msg []byte) ([]byte, error) {
	if err := checkMessage(msg); err != nil {
		return nil, err
	}
	sig := tabled.Sign(tabled.PrivateKey(s.private), msg)
	if err := s.public.Verify(msg, sig); err != nil {
		return nil, fmt.Errorf("checking the signature just made: %w", err)
	}
	return sig, nil
}

// wrapSigner signs in the SSHSIG format with any other private key, in memory or elsewhere.
type wrapSigner struct {
	public *sshKey
	signer ssh.Signer
}

func (s *wrapSigner) Public() PublicKey { return s.public }

func (s *wrapSigner) Sign(msg []byte) ([]byte, error) {
	sig, err := sealSSHSIG(s.signer, msg)
	if err != nil {
		return nil, err
	}
	if err := s.public.Verify(msg, sig); err != nil {
		return nil, fmt.Errorf("checking the signature just made: %w", err)
	}
	return sig, nil
}

// newSigner returns the signer of a private key as x/crypto/ssh reads it from a file.
func newSigner(private crypto.PrivateKey) (Signer, error) {
	if key, ok := private.(*ed25519.PrivateKey); ok {
		private = *key
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrKeyType, err)
	}
	public, err := newSSHKey(signer.PublicKey(), nil)
	if err != nil {
		return nil, err
	}
	key, ok := private.(ed25519.PrivateKey)
	if !ok {
		return &wrapSigner{public: public, signer: signer}, nil
	}
	// A file whose public half was exchanged would make each signature give the private key away.
	if !bytes.Equal(tabled.NewKeyFromSeed(key.Seed()), key) {
		return nil, fmt.Errorf("%w: its public half is of another key", ErrKeyFormat)
	}
	return &edSigner{public: public, private: key}, nil
}

// checkMessage refuses to sign as it stands what a verifier of SSH could take for its own: the signed
// data of an SSHSIG with any namespace, which begins with its name, and a login, which begins with the
// length of the session identifier (RFC 4252, section 7), so with a zero byte.
func checkMessage(msg []byte) error {
	if bytes.HasPrefix(msg, []byte("SSHSIG")) || bytes.HasPrefix(msg, []byte{0}) {
		return fmt.Errorf("%w: the message begins like one of SSH", ErrRefused)
	}
	return nil
}
