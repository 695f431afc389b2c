// Package attestation reads what other programs attest of commits and trees: in-toto
// statements in DSSE envelopes, alone or in Sigstore bundles, those that gittuf writes, and the
// provenance envelopes of the system that Covenant re-creates.
//
// What is read is a [Claim]. Nobody's authority follows from one: it says who signed it as
// far as that can be told from keys that are known here, and no more.
package attestation

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/canonical"
)

// Limits of what is read.
const (
	MaxSize       = 16 << 20 // bytes of a note, or of a file
	MaxClaims     = 1000     // of one note or file
	maxSubjects   = 10_000
	maxSignatures = 16
	maxChecks     = 4096     // of signatures, for one commit or file; each step of stepSize bytes that are signed counts as one more
	stepSize      = 16 << 10 // bytes
)

// Forms of documents.
const (
	DSSE      = "dsse"                   // https://github.com/secure-systems-lab/dsse
	Bundle    = "sigstore-bundle"        // a DSSE envelope, with what Sigstore needs to verify it
	Statement = "statement"              // an in-toto statement that nobody signed
	Seed      = "covenant.provenance.v1" // signed by nobody
)

// ErrSyntax says that a document is none of these.
var ErrSyntax = errors.New("no attestation that is known here")

// Claim is one document.
type Claim struct {
	Form          string
	PayloadType   string // of an envelope
	PredicateType string
	Subjects      []Subject
	Signatures    []Signature
	Certificate   bool   // a certificate stands for the signer; it is not checked
	Files         []File // that a claim of form Seed lists
	Problem       string // what is wrong with the document by itself; "" when nothing was found

	payload    []byte   // of an envelope whose signatures were not looked at yet
	signatures [][]byte // nil of one that is no base64
}

// Subject is what a claim is about.
type Subject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"` // algorithm → hexadecimal
}

// Signature names who is said to have signed, and who did, as far as that is known.
type Signature struct {
	KeyID string // as the document has it; it is not signed
	Known string // id of the known key by which it verifies, once [Claim.Verify] found it; "" when none does
}

// File is what a claim of form Seed says of one file of its commit.
type File struct {
	Path   string `json:"path"`
	Blob   string `json:"gitBlob"`
	SHA256 string `json:"sha256"`
}

// Known is a key, by its id.
type Known struct {
	ID  string
	Key envelope.Key
}

// Keys are keys that may have signed what others attest, and how much may still be looked at: whoever writes documents chooses how many
// signatures they have.
type Keys struct {
	list []Known
	byID map[string][]Known
	left int
}

// NewKeys takes keys, to look at the signatures of one commit's documents, or of one file's.
func NewKeys(list []Known) *Keys {
	k := &Keys{list: list, byID: make(map[string][]Known, len(list))}
	for i := range list {
		k.byID[list[i].ID] = list[i : i+1 : i+1]
	}
	return k.Again()
}

// Again returns the same keys, for other documents.
func (k *Keys) Again() *Keys { return &Keys{list: k.list, byID: k.byID, left: maxChecks} }

// Verify finds out which of the keys made the signatures: the one that a signature names, where that is one of them, else any. It is for
// claims that somebody will see: what is about nothing that is asked for is not worth the work.
func (c *Claim) Verify(keys *Keys) {
	payload, signatures := c.payload, c.signatures
	c.payload, c.signatures = nil, nil
	if len(signatures) == 0 {
		return
	}
	pae := envelope.PAE(c.PayloadType, payload)
	for i, sig := range signatures {
		list, named := keys.byID[c.Signatures[i].KeyID]
		if !named {
			list = keys.list
		}
		if sig == nil {
			continue
		}
		for _, k := range list {
			if keys.left -= 1 + len(pae)/stepSize; keys.left < 0 {
				if c.Problem == "" {
					c.Problem = "not all of its signatures were looked at: there are too many here"
				}
				return
			}
			if k.Key.Verify(pae, sig) == nil {
				c.Signatures[i].Known = k.ID
				break
			}
		}
	}
}

// Read reads a note or a file: one document of JSON, or one on each line. What can't be read is in errs, by line; it does not
// keep others from being read.
func Read(data []byte) (claims []Claim, errs []error) {
	if len(data) > MaxSize {
		return nil, []error{fmt.Errorf("%w: over %d bytes", ErrSyntax, MaxSize)}
	}
	if c, err := Parse(data); err == nil {
		return []Claim{*c}, nil
	}
	n := 0
	for line := range bytes.Lines(data) {
		n++
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if len(claims)+len(errs) == MaxClaims {
			return claims, append(errs, fmt.Errorf("line %d: more than %d documents", n, MaxClaims))
		}
		c, err := Parse(line)
		if err != nil {
			errs = append(errs, fmt.Errorf("line %d: %w", n, err))
			continue
		}
		claims = append(claims, *c)
	}
	return claims, errs
}

// fields are a JSON object by the exact names of its members.
type fields map[string]json.RawMessage

func (f fields) text(name string) string {
	var s string
	if json.Unmarshal(f[name], &s) != nil {
		return ""
	}
	return s
}

// Parse reads one document. No signature is looked at. The error wraps ErrSyntax.
func Parse(doc []byte) (*Claim, error) {
	var f fields
	if len(doc) > MaxSize {
		return nil, fmt.Errorf("%w: over %d bytes", ErrSyntax, MaxSize)
	}
	if err := json.Unmarshal(doc, &f); err != nil || f == nil {
		return nil, fmt.Errorf("%w: no JSON object", ErrSyntax)
	}
	switch {
	case f["dsseEnvelope"] != nil:
		var inner fields
		if err := json.Unmarshal(f["dsseEnvelope"], &inner); err != nil || inner == nil {
			return nil, fmt.Errorf("%w: dsseEnvelope is no object", ErrSyntax)
		}
		c, err := parseEnvelope(inner)
		if err == nil {
			c.Form, c.Certificate = Bundle, true
		}
		return c, err
	case f["payload"] != nil && f["payloadType"] != nil:
		return parseEnvelope(f)
	case f.text("schema") == Seed:
		return parseSeed(f)
	case f["_type"] != nil:
		c := &Claim{Form: Statement}
		return c, c.statement(f)
	}
	return nil, fmt.Errorf("%w: neither payload, dsseEnvelope, _type nor a schema that is known", ErrSyntax)
}

func parseEnvelope(f fields) (*Claim, error) {
	c := &Claim{Form: DSSE, PayloadType: f.text("payloadType")}
	payload, err := decode(f.text("payload"))
	if err != nil || len(payload) == 0 {
		return nil, fmt.Errorf("%w: payload is no base64", ErrSyntax)
	}
	var signatures []struct {
		KeyID string `json:"keyid"`
		Sig   string `json:"sig"`
	}
	if err := json.Unmarshal(f["signatures"], &signatures); err != nil || len(signatures) > maxSignatures {
		return nil, fmt.Errorf("%w: signatures", ErrSyntax)
	}
	c.payload = payload
	for _, s := range signatures {
		sig, err := decode(s.Sig)
		if err != nil {
			sig = nil
		}
		c.Signatures, c.signatures = append(c.Signatures, Signature{KeyID: s.KeyID}), append(c.signatures, sig)
	}
	if len(signatures) == 0 {
		c.Problem = "it has no signature"
	}
	var inner fields
	if err := json.Unmarshal(payload, &inner); err != nil || inner == nil {
		return nil, fmt.Errorf("%w: the payload is no JSON object", ErrSyntax)
	}
	return c, c.statement(inner)
}

// statement reads an in-toto statement; gittuf writes its members' names otherwise.
func (c *Claim) statement(f fields) error {
	if c.PredicateType = f.text("predicateType"); c.PredicateType == "" {
		c.PredicateType = f.text("predicate_type")
	}
	if c.PredicateType == "" {
		return fmt.Errorf("%w: a statement without a predicate type", ErrSyntax)
	}
	var list []json.RawMessage
	if err := json.Unmarshal(f["subject"], &list); err != nil || len(list) > maxSubjects {
		return fmt.Errorf("%w: subject", ErrSyntax)
	}
	for _, raw := range list {
		var s Subject
		if err := json.Unmarshal(raw, &s); err != nil {
			return fmt.Errorf("%w: subject: %w", ErrSyntax, err)
		}
		c.Subjects = append(c.Subjects, s)
	}
	return nil
}

// decode reads both alphabets of base64: DSSE allows either.
func decode(s string) ([]byte, error) {
	if b, err := base64.StdEncoding.DecodeString(s); err == nil {
		return b, nil
	}
	return base64.URLEncoding.DecodeString(s)
}

func parseSeed(f fields) (*Claim, error) {
	var subject struct {
		Kind   string `json:"kind"`
		Commit string `json:"commit"`
		Files  []File `json:"files"`
	}
	if err := json.Unmarshal(f["subject"], &subject); err != nil || subject.Kind != "git_commit" || len(subject.Files) > maxSubjects {
		return nil, fmt.Errorf("%w: subject", ErrSyntax)
	}
	c := &Claim{
		Form: Seed, PredicateType: Seed, Files: subject.Files,
		Subjects: []Subject{{Name: "commit", Digest: map[string]string{"gitCommit": subject.Commit}}},
	}
	want := f.text("payloadSha256")
	rest := make(map[string]json.RawMessage, len(f))
	for k, v := range f {
		if k != "payloadSha256" {
			rest[k] = v
		}
	}
	b, err := json.Marshal(rest)
	if err == nil {
		b, err = canonical.Of(b)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSyntax, err)
	}
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != want {
		c.Problem = "its payloadSha256 is not the digest of what it holds: it was changed"
	}
	return c, nil
}

// What a claim may be about.
const (
	OfCommit = "commit"
	OfTree   = "tree"
)

// About tells what of a commit a claim is about: the commit, its tree, "" neither.
func (c *Claim) About(commit, tree string) string {
	of := ""
	for _, s := range c.Subjects {
		for algorithm, digest := range s.Digest {
			switch {
			case digest == commit && (algorithm == "gitCommit" || algorithm == "sha1" || algorithm == "sha256"):
				return OfCommit
			case digest == tree && (algorithm == "gitTree" || algorithm == "sha1" || algorithm == "sha256"):
				of = OfTree
			}
		}
	}
	return of
}
