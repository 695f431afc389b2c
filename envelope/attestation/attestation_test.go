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

func TestParse(t *testing.T) {
	doc, known := signed(t, statement("gitCommit", commit))
	c, err := attestation.Parse([]byte(doc), known)
	if err != nil || c.About(commit, tree) != attestation.OfCommit || c.Signatures[0].Known != "SHA256:known" || c.Signatures[0].KeyID != "theirs" || c.PredicateType != "https://example.org/p/v1" {
		t.Errorf("%+v %v", c, err)
	}
	if c, err = attestation.Parse([]byte(doc), nil); err != nil || c.Signatures[0].Known != "" {
		t.Errorf("whose key nobody has: %+v %v", c, err)
	}
	changed := strings.Replace(doc, base64.StdEncoding.EncodeToString([]byte(statement("gitCommit", commit))), base64.StdEncoding.EncodeToString([]byte(statement("gitCommit", tree))), 1)
	if c, err = attestation.Parse([]byte(changed), known); err != nil || c.Signatures[0].Known != "" {
		t.Errorf("changed after it was signed: %+v %v", c, err)
	}
	for about, text := range map[string]string{
		attestation.OfCommit: statement("sha1", commit), attestation.OfTree: statement("gitTree", tree), "": statement("gitBlob", commit),
	} {
		if c, err := attestation.Parse([]byte(text), nil); err != nil || c.About(commit, tree) != about || c.Form != attestation.Statement {
			t.Errorf("%s: %+v %v", about, c, err)
		}
	}
	bundle := `{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{},"dsseEnvelope":` + doc + `}`
	if c, err := attestation.Parse([]byte(bundle), known); err != nil || c.Form != attestation.Bundle || !c.Certificate {
		t.Errorf("a bundle: %+v %v", c, err)
	}
	gittuf, _ := signed(t, `{"type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"gitTree":"`+tree+`"}}],"predicate_type":"https://gittuf.dev/reference-authorization/v0.1","predicate":{}}`)
	if c, err := attestation.Parse([]byte(gittuf), nil); err != nil || c.About(commit, tree) != attestation.OfTree {
		t.Errorf("gittuf: %+v %v", c, err)
	}
}

func TestReadLines(t *testing.T) {
	doc, known := signed(t, statement("sha1", commit))
	claims, errs := attestation.Read([]byte(doc+"\n\njunk\n"+statement("gitTree", tree)+"\n"), known)
	if len(claims) != 2 || len(errs) != 1 || !errors.Is(errs[0], attestation.ErrSyntax) || !strings.HasPrefix(errs[0].Error(), "line 3: ") {
		t.Errorf("%+v %v", claims, errs)
	}
	if _, errs := attestation.Read([]byte(strings.Repeat("{}\n", attestation.MaxClaims+5)), nil); len(errs) != attestation.MaxClaims+1 {
		t.Errorf("%d errors", len(errs))
	}
	if _, errs := attestation.Read(make([]byte, attestation.MaxSize+1), nil); len(errs) != 1 {
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
			c, err := attestation.Parse(b, nil)
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
		claims, errs := attestation.Read(doc, known)
		if len(claims)+len(errs) > attestation.MaxClaims+1 {
			t.Fatalf("%d claims, %d errors", len(claims), len(errs))
		}
		for i := range claims {
			for _, s := range claims[i].Signatures {
				if s.Known != "" {
					t.Fatal("a key signed what it never saw")
				}
			}
		}
	})
}
