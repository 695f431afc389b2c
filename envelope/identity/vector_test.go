package identity_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/envelope/identity"
)

const vectors = "../../testdata/vectors/identity"

// vector is a key and a signature by it, with what must come out.
type vector struct {
	Key       string `json:"key"`
	ID        string `json:"id,omitempty"`
	Digest    string `json:"digest,omitempty"`
	Material  string `json:"material,omitempty"`
	Message   string `json:"message,omitempty"`
	Signature []byte `json:"signature,omitempty"`
	Touched   bool   `json:"touched,omitempty"`
	Verified  bool   `json:"verified,omitempty"`
}

// readVectors returns the vectors of one folder by name, and fails when there are none.
func readVectors(t testing.TB, folder string) map[string]vector {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(vectors, folder, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		t.Fatalf("no vectors in %s/%s", vectors, folder)
	}
	all := make(map[string]vector, len(paths))
	for _, path := range paths {
		var v vector
		dec := json.NewDecoder(strings.NewReader(read(t, path)))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&v); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all[strings.TrimSuffix(filepath.Base(path), ".json")] = v
	}
	return all
}

func TestAcceptedVectors(t *testing.T) {
	types := make(map[string]bool)
	for name, v := range readVectors(t, "accept") {
		key, err := identity.ParsePublicKey(v.Key)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		types[strings.Fields(key.String())[0]] = true
		digest := key.Digest()
		if key.ID() != v.ID || key.Material() != v.Material || hex.EncodeToString(digest[:]) != v.Digest {
			t.Errorf("%s: %s %s %x", name, key.ID(), key.Material(), digest)
		}
		if err := key.Verify([]byte(v.Message), v.Signature); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if touched, verified := identity.Presence(key, v.Signature); touched != v.Touched || verified != v.Verified {
			t.Errorf("%s: touched %v, verified %v", name, touched, verified)
		}
	}
	if len(types) != 7 {
		t.Errorf("vectors for %v, want all 7 kinds", types)
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
