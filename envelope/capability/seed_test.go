package capability

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"flag"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var writeVectors = flag.Bool("write-vectors", false, "write testdata/vectors/seed-capability anew")

func enc58(b []byte) string {
	n := new(big.Int).SetBytes(b)
	var out []byte
	for n.Sign() > 0 {
		m := new(big.Int)
		n.DivMod(n, big.NewInt(58), m)
		out = append([]byte{base58Digits[m.Int64()]}, out...)
	}
	for _, c := range b {
		if c != 0 {
			break
		}
		out = append([]byte{'1'}, out...)
	}
	return string(out)
}

func seedKey(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

var seedRoot = enc58(seedKey(1).Public().(ed25519.PublicKey))

// signSeed makes a capability as the seed does.
func signSeed(action, scope string, expires *uint64, by ed25519.PrivateKey) []byte {
	subject := seedKey(2).Public().(ed25519.PublicKey)
	granter := by.Public().(ed25519.PublicKey)
	sig := ed25519.Sign(by, seedMessage(subject, action, []byte(scope), granter, expires))
	end := "null"
	if expires != nil {
		end = fmt.Sprint(*expires)
	}
	return fmt.Appendf(nil, `{"capability":{"subject":{"display":"coder@local","pubkey":%q},"action":%q,"scope":%s,"granted_by":{"display":"user@local","pubkey":%q},"expires_at":%s},"signature":%q}`,
		enc58(subject), action, scope, enc58(granter), end, enc58(sig))
}

var seedNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// seedVectors are the capabilities of docs/spec/capability.md: golden ones of each
// namespace whose rules are kept, and those that are refused, by reason.
func seedVectors() map[string][]byte {
	end := uint64(seedNow.Add(time.Hour).UnixMilli()) //nolint:gosec // after 1970
	past := uint64(seedNow.Add(-time.Second).UnixMilli())
	root := seedKey(1)
	v := map[string][]byte{
		"accept/intent":   signSeed("intent.delegate", `{}`, nil, root),
		"accept/agent":    signSeed("agent.run", `{"version":1}`, &end, root),
		"accept/tool":     signSeed("tool.call.search", `{"arguments":{"allow":{"q":"x"}},"tool":"search","version":1}`, nil, root),
		"accept/memory":   signSeed("memory.read.working", `{"apply":false,"before_ms":null,"tiers":["working"],"version":1}`, &end, root),
		"accept/a2a":      signSeed("a2a.send.peer", `{"duplicate_risk":"operator_accepted","version":1}`, nil, root),
		"accept/audit":    signSeed("audit.purge", `{"before_ms":5,"version":1,"window":10}`, nil, root),
		"accept/peers":    signSeed("peers.revoke", `{"force":false,"token_prefix":"ab","version":1}`, nil, root),
		"accept/identity": signSeed("identity.attest", `{"self":true,"version":1}`, nil, root),
		"accept/chain":    signSeed("chain.receipts", `{"limit":5,"version":1}`, nil, root),

		"reject/unknown-field":     signSeed("memory.read", `{"tier":["working"],"version":1}`, nil, root),
		"reject/no-version":        signSeed("memory.read", `{"tiers":["working"]}`, nil, root),
		"reject/version-2":         signSeed("memory.read", `{"version":2}`, nil, root),
		"reject/expired":           signSeed("intent.delegate", `{}`, &past, root),
		"reject/another-root":      signSeed("intent.delegate", `{}`, nil, seedKey(3)),
		"reject/scope-not-object":  signSeed("intent.delegate", `[]`, nil, root),
		"reject/action-with-b58":   signSeed("a2a.send.Pe-er", `{}`, nil, root),
		"reject/signature-changed": bytes.Replace(signSeed("intent.delegate", `{}`, nil, root), []byte("intent.delegate"), []byte("intent.delegatf"), 1),
		"reject/key-missing":       bytes.Replace(signSeed("intent.delegate", `{}`, nil, root), []byte(`,"expires_at":null`), nil, 1),
		"reject/key-twice":         bytes.Replace(signSeed("intent.delegate", `{}`, nil, root), []byte(`"expires_at":null`), []byte(`"expires_at":null,"expires_at":1`), 1),
		"reject/short-signature":   bytes.Replace(signSeed("intent.delegate", `{}`, nil, root), []byte(`"signature":"`), []byte(`"signature":"1`), 1),
	}
	return v
}

func TestSeedVectors(t *testing.T) {
	dir := filepath.Join("..", "..", "testdata", "vectors", "seed-capability")
	for name, text := range seedVectors() {
		file := filepath.Join(dir, filepath.FromSlash(name)+".json")
		if *writeVectors {
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, append(text, '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		have, err := os.ReadFile(file)
		if err != nil || !bytes.Equal(bytes.TrimSpace(have), text) {
			t.Errorf("%s is not what this test makes: %v", file, err)
			continue
		}
		g, err := ReadSeed(have, seedRoot, seedNow)
		if strings.HasPrefix(name, "reject/") {
			if err == nil {
				t.Errorf("%s is accepted", name)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if g.Subject.Name != "coder" || !strings.HasPrefix(g.Subject.Key, "ssh-ed25519 ") {
			t.Errorf("%s: %+v", name, g.Subject)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.json"))
	if err != nil || len(files) != len(seedVectors()) {
		t.Errorf("%d files for %d vectors: %v", len(files), len(seedVectors()), err)
	}
}

func inDisplay(text []byte, i int) bool {
	for _, d := range []string{"coder@local", "user@local"} {
		if at := bytes.Index(text, []byte(d)); i >= at && i < at+len(d) {
			return true
		}
	}
	return false
}

// TestSeedEveryBit: no bit of what was signed can be changed.
func TestSeedEveryBit(t *testing.T) {
	text := signSeed("memory.read.working", `{"tiers":["working"],"version":1}`, nil, seedKey(1))
	for i := range text {
		if inDisplay(text, i) {
			continue // displays are not signed
		}
		for bit := range 8 {
			changed := bytes.Clone(text)
			changed[i] ^= 1 << bit
			var a, b any
			if json.Unmarshal(changed, &a) == nil && json.Unmarshal(text, &b) == nil && fmt.Sprint(a) == fmt.Sprint(b) {
				continue
			}
			if _, err := ReadSeed(changed, seedRoot, seedNow); err == nil {
				t.Fatalf("byte %d bit %d: %s", i, bit, changed)
			}
		}
	}
}

func FuzzReadSeed(f *testing.F) {
	for _, v := range seedVectors() {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		g, err := ReadSeed(text, seedRoot, seedNow)
		if err == nil && (g.Scope.Validate(g.Action) != nil || g.Subject.Key == "") {
			t.Errorf("accepted %s as %+v", text, g)
		}
	})
}
