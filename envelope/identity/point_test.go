package identity_test

import (
	"crypto/ed25519"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/open-covenant/covenant-git/envelope/identity"
)

// The eight points of small order, in their canonical encodings.
var smallOrder = []string{
	"0100000000000000000000000000000000000000000000000000000000000000",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0000000000000000000000000000000000000000000000000000000000000080",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
}

func point(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != ed25519.PublicKeySize {
		t.Fatalf("%s: %v", text, err)
	}
	return b
}

func ed25519Line(point []byte) string {
	return line(ssh.KeyAlgoED25519, ssh.Marshal(&struct {
		Type  string
		Point []byte
	}{ssh.KeyAlgoED25519, point}))
}

func skEd25519Line(point []byte, application string) string {
	return line(ssh.KeyAlgoSKED25519, ssh.Marshal(&struct {
		Type        string
		Point       []byte
		Application string
	}{ssh.KeyAlgoSKED25519, point, application}))
}

// Under a key of small order anybody signs anything, without a private key: first it is done, then the
// key is refused.
func TestSmallOrder(t *testing.T) {
	for _, text := range smallOrder {
		key := point(t, text)
		forged := false
		for i := uint32(0); i < 4096 && !forged; i++ {
			msg := binary.BigEndian.AppendUint32([]byte("pay "), i)
			for _, r := range smallOrder {
				if ed25519.Verify(key, msg, append(point(t, r), make([]byte, 32)...)) {
					forged = true
				}
			}
		}
		if !forged {
			t.Errorf("%s is not of small order", text)
		}
		for kind, l := range map[string]string{"plain": ed25519Line(key), "security key": skEd25519Line(key, "ssh:")} {
			if k, err := identity.ParsePublicKey(l); !errors.Is(err, identity.ErrKeyType) {
				t.Errorf("%s %s: %v %v", kind, text, k, err)
			}
		}
	}
}

// Encodings with y of 2^255-19 and more, and a sign of x where x is zero, name a point a second time.
func TestSecondEncodingOfPoint(t *testing.T) {
	for low := 0xed; low <= 0xff; low++ {
		for _, high := range []byte{0x7f, 0xff} {
			b := make([]byte, ed25519.PublicKeySize)
			for i := range b {
				b[i] = 0xff
			}
			b[0], b[31] = byte(low), high
			if k, err := identity.ParsePublicKey(ed25519Line(b)); !errors.Is(err, identity.ErrKeyFormat) {
				t.Errorf("%x: %v %v", b, k, err)
			}
		}
	}
	for _, text := range smallOrder[:2] {
		b := point(t, text)
		b[31] |= 0x80
		if k, err := identity.ParsePublicKey(ed25519Line(b)); !errors.Is(err, identity.ErrKeyType) {
			t.Errorf("%x: %v %v", b, k, err)
		}
	}
	largest := point(t, smallOrder[1])
	largest[0] = 0xeb
	if _, err := identity.ParsePublicKey(ed25519Line(largest)); err != nil {
		t.Errorf("y = 2^255-21: %v", err)
	}
}
