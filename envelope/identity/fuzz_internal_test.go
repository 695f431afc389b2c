package identity

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"testing"

	"golang.org/x/crypto/ssh"
)

// FuzzPrivateKey: a file that loads signs what its public key verifies, its public half without a
// passphrase is that key, and the key is one that ParsePublicKey accepts.
func FuzzPrivateKey(f *testing.F) {
	_, ed, err := ed25519.GenerateKey(nil)
	if err != nil {
		f.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		f.Fatal(err)
	}
	for _, key := range []any{ed, ec, rs} {
		block, err := ssh.MarshalPrivateKey(key, "comment")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(pem.EncodeToMemory(block))
		if block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "comment", []byte("secret")); err != nil {
			f.Fatal(err)
		}
		f.Add(pem.EncodeToMemory(block))
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	}
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rs)}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > maxKeyFile {
			return
		}
		signer, err := decodePrivate(b, "fuzz", nil)
		if err != nil {
			return
		}
		msg := []byte("message")
		sig, err := signer.Sign(msg)
		if err != nil {
			t.Fatal(err)
		}
		if err := signer.Public().Verify(msg, sig); err != nil {
			t.Fatal(err)
		}
		if half, err := publicOf(b); err != nil || half.ID() != signer.Public().ID() {
			t.Fatalf("public half %v, %v", half, err)
		}
		if _, err := ParsePublicKey(signer.Public().String()); err != nil {
			t.Fatal(err)
		}
	})
}
