package openpgp_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/identity/openpgp"
)

const vectors = "../../../testdata/vectors/openpgp"

// vector is a key and a signature by it, with what must come out.
type vector struct {
	Key       string `json:"key"`
	ID        string `json:"id,omitempty"`
	Digest    string `json:"digest,omitempty"`
	Material  string `json:"material,omitempty"`
	Message   string `json:"message,omitempty"`
	Signature []byte `json:"signature,omitempty"`
}

// readVectors returns the vectors of one folder by name, and fails when there are none.
func readVectors(t testing.TB, folder string) map[string]vector {
	t.Helper()
	openpgp.Enable()
	paths, err := filepath.Glob(filepath.Join(vectors, folder, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		t.Fatalf("no vectors in %s/%s", vectors, folder)
	}
	all := make(map[string]vector, len(paths))
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var v vector
		dec := json.NewDecoder(bytes.NewReader(b))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&v); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all[strings.TrimSuffix(filepath.Base(path), ".json")] = v
	}
	return all
}

func TestAcceptedVectors(t *testing.T) {
	for name, v := range readVectors(t, "accept") {
		key, err := identity.ParsePublicKey(v.Key)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		digest := key.Digest()
		if key.ID() != v.ID || key.Material() != v.Material || hex.EncodeToString(digest[:]) != v.Digest {
			t.Errorf("%s: %s %s %x", name, key.ID(), key.Material(), digest)
		}
		if err := key.Verify([]byte(v.Message), v.Signature); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRejectedVectors(t *testing.T) {
	seen := make(map[string]bool)
	for name, v := range readVectors(t, "reject") {
		reason, _, _ := strings.Cut(name, "-")
		seen[reason] = true
		key, err := identity.ParsePublicKey(v.Key)
		switch reason {
		case "keytype":
			if !errors.Is(err, identity.ErrKeyType) {
				t.Errorf("%s: %v", name, err)
			}
		case "keyformat":
			if !errors.Is(err, identity.ErrKeyFormat) {
				t.Errorf("%s: %v", name, err)
			}
		case "signature":
			if err != nil {
				t.Errorf("%s: %v", name, err)
			} else if err := key.Verify([]byte(v.Message), v.Signature); !errors.Is(err, identity.ErrSignature) {
				t.Errorf("%s: %v", name, err)
			}
		default:
			t.Errorf("%s: the name does not begin with a known reason", name)
		}
	}
	for _, reason := range []string{"keytype", "keyformat", "signature"} {
		if !seen[reason] {
			t.Errorf("no vector for the reason %q", reason)
		}
	}
}
