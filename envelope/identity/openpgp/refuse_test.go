package openpgp_test

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	pgp "github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/identity/openpgp"
)

// Kinds of key that are not accepted in any wrapping.
func TestKindsRefused(t *testing.T) {
	g := newGnuPG(t)
	for _, algorithm := range []string{"rsa1024", "dsa2048", "brainpoolP256r1", "secp256k1"} {
		fingerprint := g.generate(algorithm+" <a@example.com>", algorithm, "sign")
		if key, err := openpgp.Import(g.export(fingerprint)); !errors.Is(err, identity.ErrKeyType) {
			t.Errorf("%s: %v %v", algorithm, key, err)
		}
	}
	e := entity(t, &packet.Config{Algorithm: packet.PubKeyAlgoEd448, V6Keys: true, DefaultHash: crypto.SHA512})
	if key, err := openpgp.Import(serialize(t, e)); !errors.Is(err, identity.ErrKeyType) {
		t.Errorf("ed448: %v %v", key, err)
	}
	// A weak subkey under a good primary key is left out; its signatures are nothing.
	fingerprint := g.generate("weak sub <a@example.com>", "ed25519", "sign")
	g.addSubkey(fingerprint, "rsa1024", "sign")
	key, err := g.tool().Key(fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(packetsOf(t, key)); n != 3 {
		t.Errorf("%d packets", n)
	}
	if err := key.Verify(message, g.sign(fingerprint)); !errors.Is(err, identity.ErrSignature) {
		t.Errorf("signature of the weak subkey: %v", err)
	}
}

// An ed25519 point of small order is refused in this wrapping too.
func TestSmallOrder(t *testing.T) {
	openpgp.Enable()
	for _, order := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
	} {
		point, err := hex.DecodeString(order)
		if err != nil {
			t.Fatal(err)
		}
		for name, body := range map[string][]byte{
			"Ed25519":     slices.Concat([]byte{4, 0, 0, 0, 1, 27}, point),
			"EdDSALegacy": slices.Concat([]byte{4, 0, 0, 0, 1, 22, 9, 0x2b, 6, 1, 4, 1, 0xda, 0x47, 0x0f, 1, 1, 7, 0x40}, point),
		} {
			e := entity(t, v4)
			p := packetsOf(t, imported(t, serialize(t, e)))
			p[0] = &packet.OpaquePacket{Tag: 6, Contents: body}
			if key, err := identity.ParsePublicKey(text(t, p...)); !errors.Is(err, identity.ErrKeyType) {
				t.Errorf("%s %s: %v %v", name, order, key, err)
			}
		}
	}
}

// What a primary key took back is not imported.
func TestRevoked(t *testing.T) {
	g := newGnuPG(t)
	fingerprint := g.generate("revoked <a@example.com>", "ed25519", "sign")
	g.addSubkey(fingerprint, "rsa2048", "sign")
	whole := imported(t, g.export(fingerprint))
	certificate, err := os.ReadFile(filepath.Join(g.home, "openpgp-revocs.d", fingerprint+".rev"))
	if err != nil {
		t.Fatal(err)
	}

	// The subkey first.
	g.run([]byte("key 1\nrevkey\ny\n0\n\ny\nsave\n"), "--command-fd", "0", "--edit-key", fingerprint)
	rest := imported(t, g.export(fingerprint))
	if len(packetsOf(t, whole)) != 5 || len(packetsOf(t, rest)) != 3 {
		t.Errorf("with the subkey %d packets, without %d", len(packetsOf(t, whole)), len(packetsOf(t, rest)))
	}

	// GnuPG keeps the certificate of the key unusable by a colon.
	g.run(bytes.Replace(certificate, []byte(":-----BEGIN"), []byte("-----BEGIN"), 1), "--import")
	if key, err := openpgp.Import(g.export(fingerprint)); !errors.Is(err, identity.ErrKeyType) {
		t.Errorf("revoked key: %v %v", key, err)
	}
	if _, err := g.tool().Key(fingerprint); !errors.Is(err, identity.ErrKeyType) {
		t.Errorf("revoked key: %v", err)
	}
	signer, err := g.tool().Signer(whole)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signer.Sign(message); err == nil {
		t.Error("gpg signed with a revoked key")
	}

	// A revocation by somebody else means nothing.
	e, other := entity(t, v4), entity(t, v4)
	if err := other.RevokeKey(packet.KeyCompromised, "", v4); err != nil {
		t.Fatal(err)
	}
	e.Revocations = other.Revocations
	imported(t, serialize(t, e))
}

// Of several user ids the primary one is taken, then the newest; a revoked one is not.
func TestUserID(t *testing.T) {
	g := newGnuPG(t)
	g.clock = "20200101T000000!"
	fingerprint := g.generate("first <a@example.com>", "ed25519", "sign")
	userID := func() string {
		t.Helper()
		return string(packetsOf(t, imported(t, g.export(fingerprint)))[1].Contents)
	}
	g.clock = "20210101T000000!"
	g.run(nil, "--quick-add-uid", fingerprint, "second <b@example.com>")
	if id := userID(); id != "second <b@example.com>" {
		t.Errorf("newest: %s", id)
	}
	g.clock = "20220101T000000!"
	g.run(nil, "--quick-set-primary-uid", fingerprint, "first <a@example.com>")
	if id := userID(); id != "first <a@example.com>" {
		t.Errorf("primary: %s", id)
	}
	g.clock = "20230101T000000!"
	g.run(nil, "--quick-revoke-uid", fingerprint, "first <a@example.com>")
	if id := userID(); id != "second <b@example.com>" {
		t.Errorf("after revocation: %s", id)
	}
}

// Signatures that gpg accepts, or that say something else, and do not count here.
func TestSignaturesRefused(t *testing.T) {
	g := newGnuPG(t)
	mine := g.generate("mine <a@example.com>", "rsa2048", "sign")
	other := g.generate("other <a@example.com>", "rsa2048", "sign")
	key := imported(t, g.export(mine))
	good := g.sign(mine, "--digest-algo", "SHA384")
	if err := key.Verify(message, good); err != nil {
		t.Fatal(err)
	}
	p := packets(t, good)[0]
	change := func(f func([]byte) []byte) []byte {
		var b bytes.Buffer
		if err := (&packet.OpaquePacket{Tag: 2, Contents: f(bytes.Clone(p.Contents))}).Serialize(&b); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	if err := key.Verify(message, change(func(b []byte) []byte { return b })); err != nil {
		t.Errorf("the same packet under a header of the current format: %v", err)
	}
	hashed := int(p.Contents[4])<<8 | int(p.Contents[5])
	unhashed := 6 + hashed // where the length of the unsigned part stands
	if !bytes.Equal(p.Contents[unhashed:unhashed+4], []byte{0, 10, 9, 16}) {
		t.Fatalf("gpg's unsigned part is %x", p.Contents[unhashed:unhashed+12])
	}
	for name, sig := range map[string][]byte{
		"SHA-1":                         g.sign(mine, "--digest-algo", "SHA1"),
		"SHA-224":                       g.sign(mine, "--digest-algo", "SHA224"),
		"RIPEMD-160":                    g.sign(mine, "--digest-algo", "RIPEMD160"),
		"text mode":                     g.sign(mine, "--textmode"),
		"armor":                         g.sign(mine, "--armor"),
		"other key":                     g.sign(other),
		"two signatures":                g.sign(mine, "--local-user", other),
		"the message too":               g.run(message, "--local-user", mine, "--sign"),
		"clear signature":               g.run(message, "--local-user", mine, "--clear-sign"),
		"certification":                 packetBytes(t, packetsOf(t, key)[2]),
		"twice":                         append(bytes.Clone(good), good...),
		"marker in front":               append([]byte{0xca, 3, 'P', 'G', 'P'}, good...),
		"empty":                         {},
		"9 KiB":                         make([]byte, 9<<10),
		"long header":                   slices.Concat([]byte{0xc2, 0xff, 0, 0, byte(len(p.Contents) >> 8), byte(len(p.Contents))}, p.Contents),
		"long header of the old format": slices.Concat([]byte{0x8a, 0, 0, byte(len(p.Contents) >> 8), byte(len(p.Contents))}, p.Contents),
		"header without a length":       slices.Concat([]byte{0x8b}, p.Contents),
		"unsigned notation": change(func(b []byte) []byte {
			return slices.Concat(b[:unhashed], []byte{0, 12, 9}, b[unhashed+3:unhashed+12], []byte{1, 100}, b[unhashed+12:])
		}),
		"other key id": change(func(b []byte) []byte { b[unhashed+4]++; return b }),
		"number with leading zero": change(func(b []byte) []byte {
			n := unhashed + 2 + 10 + 2
			return slices.Concat(b[:n], []byte{8, 8, 0}, b[n+2:])
		}),
		"version 3": change(func(b []byte) []byte { b[0] = 3; return b }),
		"version 6": change(func(b []byte) []byte { b[0] = 6; return b }),
	} {
		if err := key.Verify(message, sig); !errors.Is(err, identity.ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Without any unsigned part it is the same signature; the signed part names the issuer.
	if err := key.Verify(message, change(func(b []byte) []byte { return slices.Concat(b[:unhashed], []byte{0, 0}, b[unhashed+12:]) })); err != nil {
		t.Errorf("no unsigned part: %v", err)
	}
}

func packetBytes(t testing.TB, p *packet.OpaquePacket) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := p.Serialize(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A certificate whose self-signatures rest on SHA-1 is one that a forger could have made.
func TestSHA1Certificate(t *testing.T) {
	g := newGnuPG(t)
	g.run(nil, "--cert-digest-algo", "SHA1", "--quick-gen-key", "old <a@example.com>", "rsa2048", "sign", "never")
	if key, err := openpgp.Import(g.export("old")); !errors.Is(err, identity.ErrKeyType) {
		t.Errorf("%v %v", key, err)
	}
}

// An expired key verifies: time is not judged here.
func TestExpired(t *testing.T) {
	then := func() time.Time { return time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC) }
	old := &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, DefaultHash: crypto.SHA512, Time: then, KeyLifetimeSecs: 3600}
	e, err := pgp.NewEntity("name", "", "a@example.com", old)
	if err != nil {
		t.Fatal(err)
	}
	key := imported(t, serialize(t, e))
	if err := key.Verify(message, detach(t, e, old)); err != nil {
		t.Error(err)
	}
}
