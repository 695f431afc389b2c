package seedlog

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope/canonical"
)

// Schemas of the seed's documents.
const (
	RootSchema    = "covenant.audit-root-attestation.v1"
	ReleaseSchema = "covenant.provenance.release.v1"
)

// MaxDocument is how many bytes an attestation may have.
const MaxDocument = 4 << 20

// Findings of an attestation. The last one is a note.
const (
	BadDigest     Code = "digest"        // payloadSha256, or another digest of a part of it, is that of something else
	BadReport     Code = "report"        // the report that it attests is not one of a valid log
	Unsigned      Code = "unsigned"      // nobody signed it
	BadSignature  Code = "signature"     // the key in it did not sign it
	Untrusted     Code = "untrusted"     // the key in it is none of those that were named
	BadPrevious   Code = "previous"      // it does not go on from the attestation before it
	BadSubject    Code = "subject"       // the release that it embeds is another one
	BadValidation Code = "validation"    // what it says was run did not pass
	BadArtifact   Code = "artifact"      // an artifact is not there, or has other bytes
	Unvalidated   Code = "no-validation" // a release says of no validation
	Shrunk        Code = "shrunk"        // the log has fewer events than an earlier attestation of it
)

// Attestation is covenant.audit-root-attestation.v1: somebody's word that a log was verified, and what its root was.
type Attestation struct {
	Schema      string    `json:"schema"`
	GeneratedAt string    `json:"generatedAt"`
	Repository  string    `json:"repository"`
	Subject     Commit    `json:"subject"`
	Target      Target    `json:"target"`
	AuditRoot   Integrity `json:"auditRoot"`
	Previous    Previous  `json:"previous"`
	Signing     Signing   `json:"signing"`
	Runs        []Run     `json:"verification"`
	Claims      []string  `json:"claims"`
	Limits      []string  `json:"limits"`
	Payload     string    `json:"payloadSha256"`

	doc  map[string]json.RawMessage
	time time.Time
}

// Commit is the commit that an attestation is bound to.
type Commit struct {
	Kind   string `json:"kind"`
	Commit string `json:"commit"`
}

// Target is what an attestation is made for: a task, or a release.
type Target struct {
	Kind           string   `json:"kind"`
	ID             string   `json:"id"`
	Title          *string  `json:"title,omitempty"`
	State          *string  `json:"state,omitempty"`
	Priority       *string  `json:"priority,omitempty"`
	SnapshotPath   *string  `json:"snapshotPath,omitempty"`
	SnapshotSHA256 *string  `json:"snapshotSha256,omitempty"`
	Release        *Release `json:"releaseSubject,omitempty"`
	ReleaseSHA256  *string  `json:"releaseSubjectSha256,omitempty"`
}

// Integrity is what the seed's verifier reported of the log.
type Integrity struct {
	Events   uint64   `json:"events"`
	Anchors  uint64   `json:"anchors"`
	Valid    bool     `json:"valid"`
	Root     string   `json:"rootHashHex"`
	Failures []string `json:"failures"`
	SHA256   string   `json:"reportSha256"`
}

// Previous names the root that was attested before; nil: none.
type Previous struct {
	Root *string `json:"rootHashHex"`
}

// Signing is who signed, as the document has it.
type Signing struct {
	Status    string  `json:"status"`
	KeyID     *string `json:"keyId"`
	Algorithm *string `json:"algorithm"`
	KeySHA256 *string `json:"publicKeySpkiSha256,omitempty"`
	Key       *string `json:"publicKeySpkiBase64,omitempty"`
	Signature *string `json:"signature"`
}

// Run is a command that was run, and how that ended: passed, failed or skipped.
type Run struct {
	Command string `json:"command"`
	Status  string `json:"status"`
}

// Release is covenant.provenance.release.v1: which artifacts a release has.
type Release struct {
	Schema      string `json:"schema"`
	GeneratedAt string `json:"generatedAt"`
	Subject     Bundle `json:"subject"`
	Runs        *[]Run `json:"validation,omitempty"`
}

// Bundle is what a release is.
type Bundle struct {
	Kind       string     `json:"kind"`
	Repository string     `json:"repository"`
	ID         string     `json:"releaseId"`
	Tag        string     `json:"tag,omitempty"`
	Commit     string     `json:"commit"`
	Artifacts  []Artifact `json:"artifacts"`
}

// Artifact is a file of a release.
type Artifact struct {
	Name      string          `json:"name"`
	SHA256    string          `json:"sha256"`
	Size      uint64          `json:"sizeBytes"`
	Filename  string          `json:"filename,omitempty"`
	MediaType string          `json:"mediaType,omitempty"`
	Platform  json.RawMessage `json:"platform,omitempty"`
	URI       string          `json:"uri,omitempty"`
}

var (
	keyIDs       = pattern(`^[A-Za-z0-9][A-Za-z0-9_.:-]{1,127}$`)
	repositories = pattern(`^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$`)
	releaseIDs   = pattern(`^[A-Za-z0-9_.:@/-]+$`)
	commits      = pattern(`^([0-9a-f]{40}|[0-9a-f]{64})$`)
	artifacts    = pattern(`^[A-Za-z0-9][A-Za-z0-9_.:@/-]{0,127}$`)
)

// ParseAttestation reads an attestation of a log's root, and holds it to its shape: no field more, none less, none twice.
// The error wraps [ErrSyntax]. Whether it is true is for [Attestation.Check] to say.
func ParseAttestation(doc []byte) (*Attestation, error) {
	a := &Attestation{}
	text, err := document(doc, a)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &a.doc); err != nil {
		return nil, syntax("%w", err)
	}
	if a.Schema != RootSchema {
		return nil, syntax("schema %.80q", a.Schema)
	}
	if a.time, err = when(a.GeneratedAt); err != nil {
		return nil, err
	}
	r, s := &a.AuditRoot, &a.Signing
	for _, c := range []struct {
		ok   bool
		what string
	}{
		{repositories(a.Repository), "repository"},
		{a.Subject.Kind == "git_commit" && commits(a.Subject.Commit), "subject"},
		{hex64(r.Root), "auditRoot.rootHashHex"},
		{hex64(r.SHA256), "auditRoot.reportSha256"},
		{a.Previous.Root == nil || hex64(*a.Previous.Root), "previous.rootHashHex"},
		{hex64(a.Payload), "payloadSha256"},
		{s.whole(), "signing"},
		{r.Failures != nil && a.Runs != nil && a.Claims != nil && a.Limits != nil, "failures, verification, claims or limits"},
	} {
		if !c.ok {
			return nil, syntax("its %s is not as it must be", c.what)
		}
	}
	for _, run := range a.Runs {
		if !run.valid() {
			return nil, syntax("verification: %.80q is %.20q", run.Command, run.Status)
		}
	}
	return a, a.Target.valid()
}

// document reads JSON that people may have laid out, into exactly its fields, and returns its canonical form.
func document(doc []byte, into any) ([]byte, error) {
	if len(doc) > MaxDocument {
		return nil, syntax("it has over %d bytes", MaxDocument)
	}
	text, err := canonical.Of(doc)
	if err != nil {
		return nil, syntax("%w", err)
	}
	if err := canonical.Unmarshal(text, into); err != nil {
		return nil, syntax("%w", err)
	}
	return text, nil
}

func when(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, syntax("generatedAt %.40q is no time", s)
	}
	return t, nil
}

func (r Run) valid() bool {
	return r.Command != "" && slices.Contains([]string{"passed", "failed", "skipped"}, r.Status)
}

// whole reports whether a signing block has what its status asks for, and nothing else.
func (s *Signing) whole() bool {
	switch s.Status {
	case "unsigned":
		return s.KeyID == nil && s.Algorithm == nil && s.Signature == nil && s.KeySHA256 == nil && s.Key == nil
	case "signed":
		return s.KeyID != nil && s.Algorithm != nil && s.Signature != nil && s.KeySHA256 != nil && s.Key != nil &&
			keyIDs(*s.KeyID) && *s.Algorithm == "ed25519" && hex64(*s.KeySHA256)
	}
	return false
}

func (t *Target) valid() error {
	task := t.Title != nil && t.State != nil && t.Priority != nil && t.SnapshotPath != nil && t.SnapshotSHA256 != nil
	some := t.Title != nil || t.State != nil || t.Priority != nil || t.SnapshotPath != nil || t.SnapshotSHA256 != nil
	switch {
	case t.Kind == "task" && task && t.Release == nil && t.ReleaseSHA256 == nil && hex64(*t.SnapshotSHA256):
		return nil
	case t.Kind != "release" || some || !releaseIDs(t.ID) || (t.Release == nil) != (t.ReleaseSHA256 == nil):
		return syntax("its target is neither a task nor a release")
	case t.Release == nil:
		return nil
	}
	return t.Release.valid()
}

// ParseRelease reads a release's subject. It may be without validation: the seed writes it so, and then refuses it.
func ParseRelease(doc []byte) (*Release, error) {
	r := &Release{}
	if _, err := document(doc, r); err != nil {
		return nil, err
	}
	return r, r.valid()
}

func (r *Release) valid() error {
	b := &r.Subject
	if _, err := when(r.GeneratedAt); err != nil {
		return err
	}
	if r.Schema != ReleaseSchema || b.Kind != "release_bundle" || !repositories(b.Repository) ||
		!releaseIDs(b.ID) || !commits(b.Commit) || len(b.Artifacts) == 0 {
		return syntax("its release has not what a release must have")
	}
	if r.Runs != nil && slices.ContainsFunc(*r.Runs, func(x Run) bool { return !x.valid() }) {
		return syntax("a validation of its release is neither passed, failed nor skipped")
	}
	names, files := map[string]bool{}, map[string]bool{}
	for _, a := range b.Artifacts {
		if !artifacts(a.Name) || names[a.Name] || files[a.File()] || !hex64(a.SHA256) || !local(a.File()) {
			return syntax("artifact %.80q: its name, digest or file is not as it must be, or stands there twice", a.Name)
		}
		names[a.Name], files[a.File()] = true, true
	}
	return nil
}

// File returns the path of an artifact below the directory of all.
func (a *Artifact) File() string {
	if a.Filename != "" {
		return a.Filename
	}
	return a.Name
}

// local reports whether a path stays below where it starts, on any system.
func local(p string) bool {
	for part := range strings.SplitSeq(p, "/") {
		if part == "" || part == "." || part == ".." || strings.ContainsAny(part, `\:`) || strings.ContainsFunc(part, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return false
		}
	}
	return true
}

// digest returns the SHA-256 of the canonical form of a value.
func digest(v any) string {
	b, err := canonical.Marshal(v)
	if err != nil {
		return "" // of nothing that was read from canonical JSON
	}
	return sum(b)
}

// Check tells what is wrong with an attestation, all of it. keys are the digests of the keys that are trusted: the
// SHA-256 of their SubjectPublicKeyInfo, in hexadecimal. The key that stands in the document is evidence of what it
// says and no more: anybody can make one.
func (a *Attestation) Check(keys []string) []Finding {
	var out []Finding
	say := func(code Code, format string, args ...any) {
		out = append(out, Finding{Code: code, Text: fmt.Sprintf(format, args...)})
	}
	rest := func(unsigned bool) map[string]json.RawMessage {
		m := map[string]json.RawMessage{}
		for k, v := range a.doc {
			if k != "payloadSha256" {
				m[k] = v
			}
		}
		if unsigned {
			s := a.Signing
			s.Signature = nil
			m["signing"], _ = canonical.Marshal(s)
		}
		return m
	}
	if digest(rest(false)) != a.Payload {
		say(BadDigest, "its payloadSha256 is not the digest of what it holds: it was changed")
	}
	r := &a.AuditRoot
	report := map[string]any{"events": r.Events, "anchors": r.Anchors, "valid": r.Valid, "root_hash_hex": r.Root, "failures": r.Failures}
	if digest(report) != r.SHA256 {
		say(BadDigest, "its reportSha256 is not the digest of the report that it holds")
	}
	if !r.Valid || r.Events != r.Anchors || len(r.Failures) > 0 || (r.Events == 0) != (r.Root == Genesis) {
		say(BadReport, "the report that it holds is not that of a valid log")
	}
	switch why := a.verify(rest(true)); {
	case a.Signing.Status == "unsigned":
		say(Unsigned, "nobody signed it")
	case why != "":
		say(BadSignature, "%s", why)
	case !slices.Contains(keys, *a.Signing.KeySHA256):
		say(Untrusted, "it is signed with the key %s, which is none that you named", *a.Signing.KeySHA256)
	}
	out = append(out, failed(a.Runs, "verification")...)
	if rel := a.Target.Release; rel != nil {
		if digest(rel) != *a.Target.ReleaseSHA256 {
			say(BadDigest, "its releaseSubjectSha256 is not the digest of the release that it holds")
		}
		if rel.Subject.Repository != a.Repository || rel.Subject.ID != a.Target.ID || rel.Subject.Commit != a.Subject.Commit {
			say(BadSubject, "the release that it holds is one of another repository, name or commit")
		}
		out = append(out, rel.Check()...)
	}
	return out
}

// Check tells what a release says of itself that is not good.
func (r *Release) Check() []Finding {
	if r.Runs == nil || len(*r.Runs) == 0 {
		return []Finding{{Code: Unvalidated, Text: "the release names nothing that was run to validate it", Note: true}}
	}
	return failed(*r.Runs, "validation")
}

func failed(runs []Run, what string) (out []Finding) {
	for _, x := range runs {
		if x.Status == "failed" {
			out = append(out, Finding{Code: BadValidation, Text: fmt.Sprintf("%s: %.200q failed", what, x.Command)})
		}
	}
	return out
}

// spki is what a SubjectPublicKeyInfo of an ed25519 key begins with; the key's 32 bytes follow (RFC 8410).
const spki = "\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00"

func (a *Attestation) verify(payload any) (why string) {
	s := &a.Signing
	if s.Status != "signed" {
		return ""
	}
	der, err1 := base64.StdEncoding.Strict().DecodeString(*s.Key)
	sig, err2 := base64.StdEncoding.Strict().DecodeString(*s.Signature)
	key, ok := bytes.CutPrefix(der, []byte(spki))
	text, err3 := canonical.Marshal(payload)
	switch {
	case err1 != nil || err2 != nil || err3 != nil || !ok || len(key) != ed25519.PublicKeySize:
		return "its key or signature is none of ed25519"
	case sum(der) != *s.KeySHA256:
		return "its publicKeySpkiSha256 is not the digest of the key that it holds"
	case !ed25519.Verify(key, text, sig):
		return "its signature is not by the key that it holds"
	}
	return ""
}

// Series orders attestations by their times, and tells of those that do not go on from the one before them, for each repository. Findings
// are by the index of the attestation in the list that was given.
func Series(list []*Attestation) map[int][]Finding {
	out := map[int][]Finding{}
	order := make([]int, len(list))
	for i := range list {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return list[i].time.Compare(list[j].time) })
	last := map[string]*Attestation{}
	for _, i := range order {
		a := list[i]
		before := last[a.Repository]
		last[a.Repository] = a
		if before == nil {
			continue
		}
		switch p := a.Previous.Root; {
		case p == nil:
			out[i] = append(out[i], Finding{Code: BadPrevious, Text: fmt.Sprintf("it names no root before it, and %s attested %s", before.GeneratedAt, before.AuditRoot.Root)})
		case *p != before.AuditRoot.Root:
			out[i] = append(out[i], Finding{Code: BadPrevious, Text: fmt.Sprintf("the root that it goes on from is %s, and %s attested %s", *p, before.GeneratedAt, before.AuditRoot.Root)})
		}
		if a.AuditRoot.Events < before.AuditRoot.Events {
			out[i] = append(out[i], Finding{Code: Shrunk, Text: fmt.Sprintf("its log has %d events, and had %d before: some were purged", a.AuditRoot.Events, before.AuditRoot.Events), Note: true})
		}
	}
	return out
}

// Artifacts reads what a release says it has, by the path of each, and tells of what is not there or has other bytes.
func (r *Release) Artifacts(open func(path string) (io.ReadCloser, error)) (out []Finding) {
	for i := range r.Subject.Artifacts {
		a := &r.Subject.Artifacts[i]
		if err := a.read(open); err != nil {
			out = append(out, Finding{Code: BadArtifact, Text: fmt.Sprintf("artifact %s: %v", a.Name, err)})
		}
	}
	return out
}

func (a *Artifact) read(open func(string) (io.ReadCloser, error)) error {
	f, err := open(a.File())
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(f, int64(min(a.Size, 1<<62))+1)) //nolint:gosec // bounded
	if err != nil {
		return err
	}
	if uint64(n) != a.Size { //nolint:gosec // it is no negative number
		return fmt.Errorf("it has not %d bytes", a.Size)
	}
	if have := hex.EncodeToString(h.Sum(nil)); have != a.SHA256 {
		return fmt.Errorf("its bytes have the digest %s, not %s", have, a.SHA256)
	}
	return nil
}
