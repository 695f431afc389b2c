package openpgp_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	pgp "github.com/ProtonMail/go-crypto/openpgp"

	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/identity/openpgp"
)

// FuzzParse: a text that is read is its key's text, an independent reader finds the same primary key and
// as many subkeys in it, and importing its bytes gives it back.
func FuzzParse(f *testing.F) {
	for _, folder := range []string{"accept", "reject"} {
		for _, v := range readVectors(f, folder) {
			if b, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(v.Key, "openpgp:")); err == nil {
				f.Add(b)
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		openpgp.Import(b) // must end, whatever b is
		text := textOf(b)
		key, err := identity.ParsePublicKey(text)
		if err != nil {
			return
		}
		if key.String() != text {
			t.Fatalf("%s was read from %s", key, text)
		}
		ring, err := pgp.ReadKeyRing(bytes.NewReader(b))
		if err != nil || len(ring) != 1 || key.ID() != "openpgp:"+strings.ToUpper(hex.EncodeToString(ring[0].PrimaryKey.Fingerprint)) {
			t.Fatalf("%s: %v %v", key.ID(), ring, err)
		}
		if got := len(identity.Materials(key)); got != 1+len(ring[0].Subkeys) {
			t.Fatalf("%d materials, %d subkeys", got, len(ring[0].Subkeys))
		}
		if again, err := openpgp.Import(b); err != nil || again.String() != text {
			t.Fatalf("Import gives %v, %v for %s", again, err, text)
		}
	})
}

// FuzzVerify: bytes that verify a vector's message are its signature, possibly under another header or
// without the unsigned key id. ECDSA is left out, where anybody can turn one signature into a second.
func FuzzVerify(f *testing.F) {
	var known []vector
	var keys []identity.PublicKey
	for _, v := range readVectors(f, "accept") {
		if strings.HasPrefix(v.Material, "ecdsa") {
			continue
		}
		key, err := identity.ParsePublicKey(v.Key)
		if err != nil {
			f.Fatal(err)
		}
		known, keys = append(known, v), append(keys, key)
		f.Add(v.Signature)
	}
	for _, v := range readVectors(f, "reject") {
		f.Add(v.Signature)
	}
	f.Fuzz(func(t *testing.T, sig []byte) {
		for i, key := range keys {
			if key.Verify([]byte(known[i].Message), sig) != nil {
				continue
			}
			if !slices.ContainsFunc(known, func(v vector) bool { return bytes.HasSuffix(sig, v.Signature[len(v.Signature)-60:]) }) {
				t.Fatalf("%x verifies under %s", sig, key.ID())
			}
		}
	})
}
