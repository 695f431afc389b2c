package envelope_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/open-covenant/covenant-git/envelope"
)

type key struct {
	pub  ed25519.PublicKey
	priv ed25519.PrivateKey
}

func newKey(t testing.TB) key {
	t.Helper()
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key{pub, priv}
}

func (k key) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(k.priv, msg), nil }

func (k key) Verify(msg, sig []byte) error {
	if !ed25519.Verify(k.pub, msg, sig) {
		return errors.New("no")
	}
	return nil
}

const payloadType = "application/vnd.covenant.test+json"

func seal(t testing.TB, ids ...string) (*envelope.Envelope, envelope.Keyring) {
	t.Helper()
	ring := map[string]key{}
	var with []envelope.SealWith
	for _, id := range ids {
		ring[id] = newKey(t)
		with = append(with, envelope.SealWith{KeyID: id, Signer: ring[id]})
	}
	e, err := envelope.Seal(payloadType, []byte(`{"a":1,"b":"text"}`), with...)
	if err != nil {
		t.Fatal(err)
	}
	return e, func(id string) (envelope.Key, bool) { k, ok := ring[id]; return k, ok }
}

func line(t testing.TB, e *envelope.Envelope) []byte {
	t.Helper()
	b, err := e.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRoundTrip(t *testing.T) {
	e, ring := seal(t, "one", "two")
	got, err := envelope.Parse(line(t, e))
	if err != nil {
		t.Fatal(err)
	}
	if got.ID() != e.ID() || !got.ID().Valid() {
		t.Errorf("identity %s became %s", e.ID(), got.ID())
	}
	o, err := got.Open(payloadType, 2, ring)
	if err != nil {
		t.Fatal(err)
	}
	if string(o.Payload) != `{"a":1,"b":"text"}` || len(o.KeyIDs) != 2 {
		t.Errorf("opened %s by %v", o.Payload, o.KeyIDs)
	}
	if !bytes.Equal(line(t, got), line(t, e)) {
		t.Error("the same envelope has two forms")
	}
}

func TestTheDoorsRefuse(t *testing.T) {
	e, ring := seal(t, "one")
	none := func(string) (envelope.Key, bool) { return nil, false }
	other, _ := seal(t, "one")
	for name, c := range map[string]struct {
		open func() error
		want error
	}{
		"another type":   {func() error { _, err := e.Open("text/plain", 1, ring); return err }, envelope.ErrPayloadType},
		"two expected":   {func() error { _, err := e.Open(payloadType, 2, ring); return err }, envelope.ErrSignatureCount},
		"none expected":  {func() error { _, err := e.Open(payloadType, 0, ring); return err }, envelope.ErrSignatureCount},
		"an unknown key": {func() error { _, err := e.Open(payloadType, 1, none); return err }, envelope.ErrUnknownKey},
		"another's key":  {func() error { _, err := other.Open(payloadType, 1, ring); return err }, envelope.ErrSignature},
		"another pin": {func() error {
			_, err := e.OpenPinned(payloadType, "sha256:"+envelope.Digest(strings.Repeat("0", 64)))
			return err
		}, envelope.ErrDigest},
		"an empty pin":    {func() error { _, err := e.OpenPinned(payloadType, ""); return err }, envelope.ErrDigest},
		"pin, other type": {func() error { _, err := e.OpenPinned("x", e.ID()); return err }, envelope.ErrPayloadType},
	} {
		if err := c.open(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if _, err := e.OpenPinned(payloadType, e.ID()); err != nil {
		t.Errorf("pinned: %v", err)
	}
}

// TestEveryBit flips each bit of an envelope: what still parses must not open, or be the very same statement.
func TestEveryBit(t *testing.T) {
	e, ring := seal(t, "one")
	good := line(t, e)
	for i := range good {
		for bit := range 8 {
			b := bytes.Clone(good)
			b[i] ^= 1 << bit
			got, err := envelope.Parse(b)
			if err != nil {
				continue
			}
			if _, err := got.Open(payloadType, 1, ring); err == nil {
				t.Fatalf("bit %d of byte %d: %s opens", bit, i, b)
			}
		}
	}
}

func TestVectors(t *testing.T) {
	for _, kind := range []string{"accept", "reject"} {
		files, err := filepath.Glob(filepath.Join("..", "testdata", "vectors", "envelope", kind, "*"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no %s vectors: %v", kind, err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			_, err = envelope.Parse(bytes.TrimSuffix(b, []byte("\n")))
			if (err == nil) != (kind == "accept") {
				t.Errorf("%s: %v", f, err)
			}
		}
	}
}

// TestOthersReadOurs holds our bytes to the DSSE of go-securesystemslib.
func TestOthersReadOurs(t *testing.T) {
	e, _ := seal(t, "one")
	var theirs dsse.Envelope
	if err := json.Unmarshal(line(t, e), &theirs); err != nil {
		t.Fatal(err)
	}
	payload, err := theirs.DecodeB64Payload()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(dsse.PAE(theirs.PayloadType, payload), envelope.PAE(payloadType, payload)) {
		t.Error("the pre-authentication encoding is not DSSE's")
	}
}

func FuzzParse(f *testing.F) {
	e, _ := seal(f, "one")
	f.Add(line(f, e))
	f.Add([]byte(`{"payload":"e30=","payloadType":"x","signatures":[{"keyid":"k","sig":"AA=="}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := envelope.Parse(b)
		if err != nil {
			return
		}
		if again := line(t, got); !bytes.Equal(again, b) {
			t.Errorf("%q encodes to %q", b, again)
		}
	})
}

func TestSealRefuses(t *testing.T) {
	k := newKey(t)
	for name, payload := range map[string]string{"nothing": "", "white space": `{ }`, "no JSON": "x", "unsorted": `{"b":1,"a":1}`} {
		if _, err := envelope.Seal(payloadType, []byte(payload), envelope.SealWith{KeyID: "k", Signer: k}); err == nil {
			t.Errorf("%s was sealed", name)
		}
	}
	if _, err := envelope.Seal(payloadType, []byte("{}")); !errors.Is(err, envelope.ErrSignatureCount) {
		t.Errorf("sealed by nobody: %v", err)
	}
}
