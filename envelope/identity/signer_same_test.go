package identity

import (
	"bytes"
	"crypto/ed25519"
	"testing"
)

// TestSameSignature: whichever library makes a signature, it is the same (RFC 8032, 5.1.6).
func TestSameSignature(t *testing.T) {
	t.Parallel()
	for i := range 200 {
		seed := bytes.Repeat([]byte{byte(i), byte(i * 7)}, ed25519.SeedSize/2)
		key := ed25519.NewKeyFromSeed(seed)
		s, err := newSigner(key)
		if err != nil {
			t.Fatal(err)
		}
		msg := append([]byte("DSSEv1 "), bytes.Repeat(seed, i)...)
		sig, err := s.Sign(msg)
		if err != nil || !bytes.Equal(sig, ed25519.Sign(key, msg)) {
			t.Fatalf("%d: %x %v", i, sig, err)
		}
	}
	wrong := append(bytes.Clone(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))[:32]), ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, 32))[32:]...)
	if _, err := newSigner(ed25519.PrivateKey(wrong)); err == nil {
		t.Error("a key whose public half is another's signs")
	}
}
