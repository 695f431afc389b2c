package openpgp_test

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	pgp "github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/identity/openpgp"
)

var (
	v4 = &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, DefaultHash: crypto.SHA512}
	v6 = &packet.Config{Algorithm: packet.PubKeyAlgoEd25519, DefaultHash: crypto.SHA512, V6Keys: true}
)

func entity(t testing.TB, config *packet.Config) *pgp.Entity {
	t.Helper()
	openpgp.Enable()
	e, err := pgp.NewEntity("name", "", "a@example.com", config)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func withSubkey(t testing.TB, config *packet.Config) *pgp.Entity {
	t.Helper()
	e := entity(t, config)
	if err := e.AddSigningSubkey(config); err != nil {
		t.Fatal(err)
	}
	return e
}

func serialize(t testing.TB, e *pgp.Entity) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := e.Serialize(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// packets cuts a certificate with an independent reader.
func packets(t testing.TB, b []byte) []*packet.OpaquePacket {
	t.Helper()
	var all []*packet.OpaquePacket
	r := packet.NewOpaqueReader(bytes.NewReader(b))
	for {
		p, err := r.Next()
		if err != nil {
			return all
		}
		all = append(all, p)
	}
}

// packetsOf cuts the text of a key.
func packetsOf(t testing.TB, key identity.PublicKey) []*packet.OpaquePacket {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(key.String(), "openpgp:"))
	if err != nil {
		t.Fatal(err)
	}
	return packets(t, b)
}

func text(t testing.TB, all ...*packet.OpaquePacket) string {
	t.Helper()
	var b bytes.Buffer
	for _, p := range all {
		if err := p.Serialize(&b); err != nil {
			t.Fatal(err)
		}
	}
	return textOf(b.Bytes())
}

func textOf(b []byte) string { return "openpgp:" + base64.StdEncoding.EncodeToString(b) }

func detach(t testing.TB, e *pgp.Entity, config *packet.Config) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := pgp.DetachSign(&b, e, bytes.NewReader(message), config); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Keys and signatures of another implementation, of version 6 too.
func TestVersions(t *testing.T) {
	for name, c := range map[string]struct {
		config *packet.Config
		digits int
		tags   []uint8
	}{
		"version 4": {v4, 40, []uint8{6, 13, 2, 14, 2}},
		"version 6": {v6, 64, []uint8{6, 2, 14, 2}},
	} {
		e := withSubkey(t, c.config)
		key := imported(t, serialize(t, e))
		if len(key.ID()) != len("openpgp:")+c.digits {
			t.Errorf("%s: ID %s", name, key.ID())
		}
		var tags []uint8
		for _, p := range packetsOf(t, key) {
			tags = append(tags, p.Tag)
		}
		if !slices.Equal(tags, c.tags) {
			t.Errorf("%s: the smallest certificate has packets %v", name, tags)
		}
		mangle(t, key, message, detach(t, e, c.config))
		plain := entity(t, c.config)
		mangle(t, imported(t, serialize(t, plain)), message, detach(t, plain, c.config))
		if err := key.Verify(message, detach(t, plain, c.config)); !errors.Is(err, identity.ErrSignature) {
			t.Errorf("%s: signature of another key: %v", name, err)
		}
	}
}

// Somebody who binds another's signing key to their own primary key would own the other's signatures.
func TestAdoptedSubkey(t *testing.T) {
	for name, config := range map[string]*packet.Config{"version 4": v4, "version 6": v6} {
		alice, mallory := withSubkey(t, config), entity(t, config)
		sub := alice.Subkeys[len(alice.Subkeys)-1]
		bind := func(change func(*packet.Signature)) []byte {
			s := &packet.Signature{
				Version: mallory.PrimaryKey.Version, SigType: packet.SigTypeSubkeyBinding, PubKeyAlgo: mallory.PrimaryKey.PubKeyAlgo, Hash: crypto.SHA512,
				CreationTime: time.Now(), IssuerKeyId: &mallory.PrimaryKey.KeyId, IssuerFingerprint: mallory.PrimaryKey.Fingerprint, FlagsValid: true, FlagSign: true,
			}
			change(s)
			if err := s.SignKey(sub.PublicKey, mallory.PrivateKey, config); err != nil {
				t.Fatal(err)
			}
			// Serialize of an Entity would leave this binding out.
			var b bytes.Buffer
			for _, p := range packetsOf(t, imported(t, serialize(t, mallory))) {
				if err := p.Serialize(&b); err != nil {
					t.Fatal(err)
				}
			}
			if err := errors.Join(sub.PublicKey.Serialize(&b), s.Serialize(&b)); err != nil {
				t.Fatal(err)
			}
			return b.Bytes()
		}
		agreed := func(s *packet.Signature) {
			s.EmbeddedSignature = &packet.Signature{
				Version: s.Version, SigType: packet.SigTypePrimaryKeyBinding, PubKeyAlgo: s.PubKeyAlgo, Hash: s.Hash, CreationTime: s.CreationTime,
				IssuerKeyId: &sub.PublicKey.KeyId, IssuerFingerprint: sub.PublicKey.Fingerprint,
			}
			if err := s.EmbeddedSignature.CrossSignKey(sub.PublicKey, mallory.PrimaryKey, sub.PrivateKey, config); err != nil {
				t.Fatal(err)
			}
		}
		for what, certificate := range map[string][]byte{
			"without agreement": bind(func(*packet.Signature) {}),
			"with the agreement to its own primary": bind(func(s *packet.Signature) {
				s.EmbeddedSignature = sub.Sig.EmbeddedSignature
			}),
			"with an agreement by the thief": bind(func(s *packet.Signature) {
				s.EmbeddedSignature = &packet.Signature{
					Version: s.Version, SigType: packet.SigTypePrimaryKeyBinding, PubKeyAlgo: s.PubKeyAlgo, Hash: s.Hash, CreationTime: s.CreationTime,
					IssuerKeyId: &sub.PublicKey.KeyId, IssuerFingerprint: sub.PublicKey.Fingerprint,
				}
				if err := s.EmbeddedSignature.CrossSignKey(sub.PublicKey, mallory.PrimaryKey, mallory.PrivateKey, config); err != nil {
					t.Fatal(err)
				}
			}),
			"without permission to sign": bind(func(s *packet.Signature) {
				agreed(s)
				s.FlagSign, s.FlagEncryptStorage = false, true
			}),
		} {
			if key, err := identity.ParsePublicKey(textOf(certificate)); !errors.Is(err, identity.ErrKeyFormat) {
				t.Errorf("%s %s: %v %v", name, what, key, err)
			}
			// Import leaves the subkey out.
			key := imported(t, certificate)
			if err := key.Verify(message, detach(t, alice, config)); !errors.Is(err, identity.ErrSignature) {
				t.Errorf("%s %s: alice's signature counts as %s's: %v", name, what, key.ID(), err)
			}
		}
		// The pattern of these cases is right: with alice's true agreement it is accepted.
		if _, err := identity.ParsePublicKey(textOf(bind(agreed))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A text says what the smallest certificate says, in one way, and nothing besides.
func TestTextRefused(t *testing.T) {
	e := withSubkey(t, v4)
	key := imported(t, serialize(t, e))
	p := packetsOf(t, key) // key, user id, certification, subkey, binding
	if len(p) != 5 {
		t.Fatalf("%d packets", len(p))
	}
	all := packets(t, serialize(t, e))
	encryption := all[slices.IndexFunc(all, func(p *packet.OpaquePacket) bool { return p.Tag == 14 }):][:2]
	other := packetsOf(t, imported(t, serialize(t, withSubkey(t, v4))))
	good := text(t, p...)
	if good != key.String() {
		t.Fatal("the pattern of these cases is wrong")
	}
	raw, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(good, "openpgp:"))
	old := slices.Concat([]byte{0x98, raw[1]}, raw[2:])
	long := slices.Concat([]byte{raw[0], 255, 0, 0, 0, raw[1]}, raw[2:])
	flip := func(i, at int) *packet.OpaquePacket {
		c := bytes.Clone(p[i].Contents)
		c[at] ^= 1
		return &packet.OpaquePacket{Tag: p[i].Tag, Contents: c}
	}
	secret := &packet.OpaquePacket{Tag: 5, Contents: p[0].Contents}
	for name, s := range map[string]string{
		"empty":                     "openpgp:",
		"not base64":                "openpgp:****",
		"base64 without padding":    strings.TrimRight(good, "=") + strings.Repeat("=", 3),
		"byte behind":               textOf(append(slices.Clip(raw), 0)),
		"cut":                       textOf(raw[:len(raw)-1]),
		"old header":                textOf(old),
		"long header":               textOf(long),
		"only the key":              text(t, p[0]),
		"no self-certification":     text(t, p[0], p[1]),
		"no user id":                text(t, p[0], p[2]),
		"subkey without binding":    text(t, p[0], p[1], p[2], p[3]),
		"user id twice":             text(t, p[0], p[1], p[2], p[1], p[2]),
		"two certifications":        text(t, p[0], p[1], p[2], p[2], p[3], p[4]),
		"subkey twice":              text(t, append(slices.Clip(p), p[3], p[4])...),
		"encryption subkey":         text(t, append(slices.Clip(p), encryption...)...),
		"certification of another":  text(t, p[0], p[1], other[2]),
		"user id of another":        text(t, p[0], other[1], other[2]),
		"subkey of another":         text(t, append(p[:3:3], other[3], other[4])...),
		"own binding, other subkey": text(t, append(p[:3:3], other[3], p[4])...),
		"binding as certification":  text(t, p[0], p[1], p[4]),
		"primary key as subkey":     text(t, append(p[:3:3], &packet.OpaquePacket{Tag: 14, Contents: p[0].Contents}, p[4])...),
		"subkey as primary key":     text(t, &packet.OpaquePacket{Tag: 6, Contents: p[3].Contents}, p[1], p[2]),
		"private key":               text(t, secret, p[1], p[2]),
		"marker":                    text(t, append([]*packet.OpaquePacket{{Tag: 10, Contents: []byte("PGP")}}, p...)...),
		"trust packet":              text(t, append(slices.Clip(p), &packet.OpaquePacket{Tag: 12, Contents: []byte{1}})...),
		"user id changed":           text(t, p[0], flip(1, 0), p[2]),
		"creation time changed":     text(t, flip(0, 4), p[1], p[2]),
		"byte behind the key":       text(t, &packet.OpaquePacket{Tag: 6, Contents: append(slices.Clip(p[0].Contents), 0)}, p[1], p[2]),
		"byte behind the signature": text(t, p[0], p[1], &packet.OpaquePacket{Tag: 2, Contents: append(slices.Clip(p[2].Contents), 0)}),
	} {
		if k, err := identity.ParsePublicKey(s); !errors.Is(err, identity.ErrKeyFormat) && !errors.Is(err, identity.ErrKeyType) {
			t.Errorf("%s: %v %v", name, k, err)
		}
	}
	for i := range p {
		for at := range p[i].Contents {
			changed := slices.Clone(p)
			changed[i] = flip(i, at)
			if k, err := identity.ParsePublicKey(text(t, changed...)); err == nil && k.ID() == key.ID() && i != 2 && i != 4 {
				t.Errorf("packet %d, byte %d changed and nobody minds", i+1, at)
			}
		}
	}
	if k, err := identity.ParsePublicKey(good + " a comment"); err != nil || k.String() != good {
		t.Errorf("comment: %v %v", k, err)
	}
}

// Base64 whose unused bits are set says the same bytes in another text.
func TestUnusedBits(t *testing.T) {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	for range 100 {
		good := imported(t, serialize(t, entity(t, v4))).String()
		body := strings.TrimRight(good, "=")
		if body == good {
			continue // the length depends on the signature
		}
		last := strings.IndexByte(digits, body[len(body)-1])
		if k, err := identity.ParsePublicKey(body[:len(body)-1] + digits[last+1:last+2] + good[len(body):]); !errors.Is(err, identity.ErrKeyFormat) {
			t.Errorf("%v %v", k, err)
		}
		return
	}
	t.Fatal("no text has padding")
}

// The signature of a version 6 key over itself is checked, and stands where a user id would.
func TestVersion6Refused(t *testing.T) {
	p := packetsOf(t, imported(t, serialize(t, withSubkey(t, v6))))
	other := packetsOf(t, imported(t, serialize(t, withSubkey(t, v6))))
	old := packetsOf(t, imported(t, serialize(t, withSubkey(t, v4))))
	whole := packets(t, serialize(t, entity(t, v6)))
	forged := bytes.Clone(p[1].Contents)
	forged[len(forged)-1] ^= 1
	count := bytes.Clone(p[0].Contents)
	count[9]++ // the length of the key material, which many readers skip
	for name, s := range map[string]string{
		"no direct signature":         text(t, p[0]),
		"direct signature of another": text(t, p[0], other[1]),
		"direct signature forged":     text(t, p[0], &packet.OpaquePacket{Tag: 2, Contents: forged}),
		"two direct signatures":       text(t, p[0], p[1], p[1]),
		"user id":                     text(t, whole[0], whole[2], whole[3]),
		"subkey of version 4":         text(t, p[0], p[1], old[3], old[4]),
		"subkey of another":           text(t, p[0], p[1], other[2], other[3]),
		"length of the material":      text(t, &packet.OpaquePacket{Tag: 6, Contents: count}, p[1]),
	} {
		if k, err := identity.ParsePublicKey(s); !errors.Is(err, identity.ErrKeyFormat) {
			t.Errorf("%s: %v %v", name, k, err)
		}
	}
}

// Import reads one public key and nothing else.
func TestImportRefused(t *testing.T) {
	e := entity(t, v4)
	var private, armored bytes.Buffer
	if err := e.SerializePrivateWithoutSigning(&private, nil); err != nil {
		t.Fatal(err)
	}
	w, err := armor.Encode(&armored, pgp.PublicKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(serialize(t, e))
	w.Close()
	if key := imported(t, armored.Bytes()); key.String() != imported(t, serialize(t, e)).String() {
		t.Errorf("armored %s", key)
	}
	for name, c := range map[string]struct {
		b    []byte
		want error
	}{
		"nothing":        {nil, identity.ErrNoKey},
		"text":           {[]byte("hello"), identity.ErrKeyFormat},
		"two keys":       {slices.Concat(serialize(t, e), serialize(t, entity(t, v4))), identity.ErrKeyFormat},
		"private key":    {private.Bytes(), identity.ErrKeyFormat},
		"signature":      {detach(t, e, v4), identity.ErrKeyFormat},
		"cut":            {serialize(t, e)[:100], identity.ErrKeyFormat},
		"armor cut":      {armored.Bytes()[:100], identity.ErrKeyFormat},
		"SSH public key": {[]byte("ssh-ed25519 AAAA"), identity.ErrKeyFormat},
		"5 MiB":          {make([]byte, 5<<20), identity.ErrKeyFormat},
	} {
		if key, err := openpgp.Import(c.b); !errors.Is(err, c.want) {
			t.Errorf("%s: %v %v", name, key, err)
		}
	}
}
