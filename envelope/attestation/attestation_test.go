package attestation_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/attestation"
)

const (
	commit = "1111111111111111111111111111111111111111"
	tree   = "2222222222222222222222222222222222222222"
)

type key ed25519.PublicKey

func (k key) Verify(msg, sig []byte) error {
	if !ed25519.Verify(ed25519.PublicKey(k), msg, sig) {
		return envelope.ErrSignature
	}
	return nil
}

// signed is a DSSE envelope as a library of another program writes it.
func signed(t *testing.T, payload string) (doc string, known []attestation.Known) {
	t.Helper()
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sig := ed25519.Sign(priv, envelope.PAE("application/vnd.in-toto+json", []byte(payload)))
	b, err := json.Marshal(map[string]any{
		"payloadType": "application/vnd.in-toto+json", "payload": base64.StdEncoding.EncodeToString([]byte(payload)),
		"signatures": []map[string]string{{"keyid": "theirs", "sig": base64.StdEncoding.EncodeToString(sig)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(b), []attestation.Known{{ID: "SHA256:known", Key: key(pub)}}
}

func statement(algorithm, digest string) string {
	return fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"x","digest":{%q:%q}}],"predicateType":"https://example.org/p/v1","predicate":{}}`, algorithm, digest)
}

func parse(doc string, known []attestation.Known) (*attestation.Claim, error) {
	c, err := attestation.Parse([]byte(doc))
	if err == nil {
		c.Verify(attestation.NewKeys(known))
	}
	return c, err
}

// counted counts how often it is asked.
type counted struct {
	envelope.Key
	n *int
}

func (k counted) Verify(msg, sig []byte) error {
	*k.n++
	return k.Key.Verify(msg, sig)
}

// TestVerifyIsBounded: whoever writes documents does not choose how long their signatures are looked at, and whose key is named is
// found by it.
func TestVerifyIsBounded(t *testing.T) {
	doc, known := signed(t, statement("sha1", commit))
	n := 0
	var keys []attestation.Known
	for i := range 30 {
		_, other := signed(t, "{}")
		keys = append(keys, attestation.Known{ID: fmt.Sprint("other", i), Key: counted{other[0].Key, &n}})
	}
	keys = append(keys, attestation.Known{ID: "SHA256:known", Key: counted{known[0].Key, &n}})
	c, err := parse(strings.Replace(doc, "theirs", "SHA256:known", 1), keys)
	if err != nil || c.Signatures[0].Known != "SHA256:known" || n != 1 {
		t.Errorf("%+v after %d, %v", c, n, err)
	}
	if c, err = parse(strings.Replace(doc, "theirs", "other3", 1), keys); err != nil || c.Signatures[0].Known != "" || n != 2 {
		t.Errorf("by another than it says: %+v after %d, %v", c, n, err)
	}
	if c, err = parse(doc, keys); err != nil || c.Signatures[0].Known != "SHA256:known" || n != 33 {
		t.Errorf("a name that nobody has: %+v after %d, %v", c, n, err)
	}
	n = 0
	ring := attestation.NewKeys(keys)
	sixteen := strings.Replace(doc, `"signatures":[`, `"signatures":[`+strings.Repeat(`{"keyid":"k","sig":"AAAA"},`, 15), 1)
	var last *attestation.Claim
	for range 1000 {
		if last, err = attestation.Parse([]byte(sixteen)); err != nil {
			t.Fatal(err)
		}
		last.Verify(ring)
	}
	if n > 5000 || last.Problem == "" || last.Signatures[15].Known != "" {
		t.Errorf("%d signatures looked at: %+v", n, last)
	}
	n = 0
	large, _ := signed(t, `{"predicateType":"x","subject":[],"pad":"`+strings.Repeat(" ", 10<<20)+`"}`)
	if _, err := parse(large, keys); err != nil || n > 10 {
		t.Errorf("10 MB: %d signatures looked at, %v", n, err)
	}
}

func TestParse(t *testing.T) {
	doc, known := signed(t, statement("gitCommit", commit))
	c, err := parse(doc, known)
	if err != nil || c.About(commit, tree) != attestation.OfCommit || c.Signatures[0].Known != "SHA256:known" || c.Signatures[0].KeyID != "theirs" || c.PredicateType != "https://example.org/p/v1" {
		t.Errorf("%+v %v", c, err)
	}
	if c, err = parse(doc, nil); err != nil || c.Signatures[0].Known != "" {
		t.Errorf("whose key nobody has: %+v %v", c, err)
	}
	changed := strings.Replace(doc, base64.StdEncoding.EncodeToString([]byte(statement("gitCommit", commit))), base64.StdEncoding.EncodeToString([]byte(statement("gitCommit", tree))), 1)
	if c, err = parse(changed, known); err != nil || c.Signatures[0].Known != "" {
		t.Errorf("changed after it was signed: %+v %v", c, err)
	}
	for about, text := range map[string]string{
		attestation.OfCommit: statement("sha1", commit), attestation.OfTree: statement("gitTree", tree), "": statement("gitBlob", commit),
	} {
		if c, err := parse(text, nil); err != nil || c.About(commit, tree) != about || c.Form != attestation.Statement {
			t.Errorf("%s: %+v %v", about, c, err)
		}
	}
	bundle := `{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{},"dsseEnvelope":` + doc + `}`
	if c, err := parse(bundle, known); err != nil || c.Form != attestation.Bundle || !c.Certificate {
		t.Errorf("a bundle: %+v %v", c, err)
	}
	gittuf, _ := signed(t, `{"type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"gitTree":"`+tree+`"}}],"predicate_type":"https://gittuf.dev/reference-authorization/v0.1","predicate":{}}`)
	if c, err := parse(gittuf, nil); err != nil || c.About(commit, tree) != attestation.OfTree {
		t.Errorf("gittuf: %+v %v", c, err)
	}
}

func TestReadLines(t *testing.T) {
	doc, _ := signed(t, statement("sha1", commit))
	claims, errs := attestation.Read([]byte(doc + "\n\njunk\n" + statement("gitTree", tree) + "\n"))
	if len(claims) != 2 || len(errs) != 1 || !errors.Is(errs[0], attestation.ErrSyntax) || !strings.HasPrefix(errs[0].Error(), "line 3: ") {
		t.Errorf("%+v %v", claims, errs)
	}
	if _, errs := attestation.Read([]byte(strings.Repeat("{}\n", attestation.MaxClaims+5))); len(errs) != attestation.MaxClaims+1 {
		t.Errorf("%d errors", len(errs))
	}
	if _, errs := attestation.Read(make([]byte, attestation.MaxSize+1)); len(errs) != 1 {
		t.Error("too large, and read")
	}
}

// Each file of accept is read, each of reject is refused for what its name says.
func TestVectors(t *testing.T) {
	dir := filepath.Join("..", "..", "testdata", "vectors", "attestation")
	n := 0
	for _, kind := range []string{"accept", "reject"} {
		files, err := filepath.Glob(filepath.Join(dir, kind, "*.json"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			n++
			b, err := os.ReadFile(f) //nolint:gosec // our own
			if err != nil {
				t.Fatal(err)
			}
			c, err := attestation.Parse(b)
			changed := strings.HasSuffix(f, "changed.json")
			switch {
			case kind == "reject" && !errors.Is(err, attestation.ErrSyntax):
				t.Errorf("%s: %+v %v", f, c, err)
			case kind == "accept" && (err != nil || c.About(commit, tree) == "" || (c.Problem != "") != changed):
				t.Errorf("%s: %+v %v", f, c, err)
			}
		}
	}
	if n < 10 {
		t.Errorf("%d vectors", n)
	}
}

// FuzzParse: what is read is bounded, and a claim of nobody's is never a known key's.
func FuzzParse(f *testing.F) {
	f.Add([]byte(statement("sha1", commit)))
	f.Add([]byte(`{"payload":"e30=","payloadType":"x","signatures":[{"sig":"AA=="}]}`))
	f.Add([]byte(`{"schema":"covenant.provenance.v1","subject":{"kind":"git_commit","commit":"` + commit + `","files":[]},"payloadSha256":"00"}`))
	pub, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	known := []attestation.Known{{ID: "k", Key: key(pub)}}
	f.Fuzz(func(t *testing.T, doc []byte) {
		claims, errs := attestation.Read(doc)
		if len(claims)+len(errs) > attestation.MaxClaims+1 {
			t.Fatalf("%d claims, %d errors", len(claims), len(errs))
		}
		keys := attestation.NewKeys(known)
		for i := range claims {
			claims[i].Verify(keys)
			for _, s := range claims[i].Signatures {
				if s.Known != "" {
					t.Fatal("a key signed what it never saw")
				}
			}
		}
	})
}
