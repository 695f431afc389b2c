package identity_test

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/open-covenant/covenant-git/envelope/identity"
)

// FuzzParsePublicKey: a key that is read writes the text it was read from, comment and spaces apart;
// that text reads back to the same key; and the name is the one an independent reader computes.
func FuzzParsePublicKey(f *testing.F) {
	for _, folder := range []string{"accept", "reject"} {
		for _, v := range readVectors(f, folder) {
			f.Add(v.Key)
			f.Add(v.Key + " comment\n")
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		key, err := identity.ParsePublicKey(text)
		if err != nil {
			return
		}
		fields := strings.Fields(text)
		if len(fields) < 2 || key.String() != fields[0]+" "+fields[1] {
			t.Fatalf("%q was read from %q", key, text)
		}
		again, err := identity.ParsePublicKey(key.String())
		if err != nil || again.ID() != key.ID() || again.String() != key.String() || again.Material() != key.Material() || again.Digest() != key.Digest() {
			t.Fatalf("%q reads back to %v, %v", key, again, err)
		}
		wire, err := base64.StdEncoding.DecodeString(fields[1])
		if err != nil {
			t.Fatal(err)
		}
		other, err := ssh.ParsePublicKey(wire)
		if err != nil || ssh.FingerprintSHA256(other) != key.ID() {
			t.Fatalf("%q is %s: %v", text, key.ID(), err)
		}
		if key.Verify(nil, nil) == nil {
			t.Fatalf("%q accepts an empty signature", text)
		}
	})
}

// FuzzVerify: of all bytes only the vector's own signature verifies its message. ECDSA is left out,
// where anybody can turn one signature into a second.
func FuzzVerify(f *testing.F) {
	var known []vector
	var keys []identity.PublicKey
	for _, v := range readVectors(f, "accept") {
		if strings.Contains(v.Key, "ecdsa") {
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
			ok := key.Verify([]byte(known[i].Message), sig) == nil
			if ok && !listed(known, known[i], sig) {
				t.Fatalf("%x verifies under %s", sig, key)
			}
			if touched, _ := identity.Presence(key, sig); ok && strings.HasPrefix(known[i].Key, "sk-") && !touched {
				t.Fatalf("%x verifies under %s untouched", sig, key)
			}
		}
	})
}

// listed reports whether sig belongs to a vector with the key and message of v.
func listed(known []vector, v vector, sig []byte) bool {
	return slices.ContainsFunc(known, func(k vector) bool {
		return k.Key == v.Key && k.Message == v.Message && bytes.Equal(k.Signature, sig)
	})
}
