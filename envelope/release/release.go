// Package release holds the statement by which somebody stands for a release, or for a finished piece of work: these files, this
// commit and tag, all that the record said until then, and what was attested before it. No Git is read here.
//
// It is an in-toto Statement v1. Its subjects are the commit, the tag, and the files; the predicate binds them to a checkpoint of
// the record:
//
//	{"artifacts":[{"name":…,"sha256":…,"size":…}, …],"checkpoint":{"entry":…,"note":…},"entry":{…},"id":…,"intent":…,
//	 "previous":…,"principal":{…},"scope":{"commits":…,"from":…,"sha256":…},"tag":…,"text":…}
package release

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/canonical"
	"github.com/open-covenant/covenant-git/envelope/intoto"
	"github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/git/oid"
)

// Type is the predicateType of an attestation.
const Type = "https://github.com/open-covenant/covenant-git/attestation/v1"

// ErrInvalid says that an attestation is malformed.
var ErrInvalid = errors.New("not a valid attestation")

// Limits of an attestation.
const (
	MaxArtifacts = 4096
	MaxText      = 16 << 10  // bytes
	maxNote      = 256 << 10 // of a checkpoint, as package tlog has it
	maxWord      = 256
	maxName      = 1024
)

// Statement is an attestation.
type Statement struct {
	Type          string           `json:"_type"`
	Predicate     Predicate        `json:"predicate"`
	PredicateType string           `json:"predicateType"`
	Subject       []intoto.Subject `json:"subject"`
}

// Predicate is what it says.
type Predicate struct {
	Artifacts  []Artifact           `json:"artifacts,omitempty"` // sorted by name
	Checkpoint Checkpoint           `json:"checkpoint"`
	Commit     oid.ID               `json:"commit"`
	Entry      envelope.Header      `json:"entry"`
	ID         string               `json:"id,omitempty"`       // name of the release
	Intent     string               `json:"intent,omitempty"`   // the piece of work; an attestation is for one of both, or for both
	Previous   envelope.Digest      `json:"previous,omitempty"` // the attestation before this one; absent: it is the first
	Principal  provenance.Principal `json:"principal"`
	Scope      Scope                `json:"scope"`
	Tag        oid.ID               `json:"tag,omitzero"`      // the tag's object
	TagName    string               `json:"tagName,omitempty"` // full name of the ref
	Text       string               `json:"text,omitempty"`
}

// Checkpoint is how far the record reached.
type Checkpoint struct {
	Entry envelope.Digest `json:"entry"`
	Note  string          `json:"note"` // as C2SP tlog-checkpoint has it, with cosignatures
}

// Artifact is a file.
type Artifact struct {
	Name   string `json:"name"` // a path with slashes, below the directory of the files
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
}

// Scope is the commits that are new since what was attested before.
type Scope struct {
	Commits int    `json:"commits"`
	From    oid.ID `json:"from,omitzero"` // they are what the commit has and this one has not; absent: all that it has
	SHA256  string `json:"sha256"`        // over their names, as [Names] has it
}

// Names is the digest of a set of commits: SHA-256 over a line for each, sorted by bytes.
func Names(ids []oid.ID) string {
	sorted := slices.Clone(ids)
	slices.SortFunc(sorted, oid.ID.Compare)
	h := sha256.New()
	for _, id := range sorted {
		_, _ = io.WriteString(h, id.String()+"\n")
	}
	return hex.EncodeToString(h.Sum(nil))
}

// New returns an attestation, with the subjects that its predicate calls for.
func New(p Predicate) *Statement {
	return &Statement{Type: intoto.StatementType, PredicateType: Type, Predicate: p, Subject: subjects(&p)}
}

func subjects(p *Predicate) []intoto.Subject {
	out := []intoto.Subject{intoto.Of("commit", intoto.Commit, p.Commit)}
	if !p.Tag.IsZero() {
		out = append(out, intoto.Of(p.TagName, intoto.Tag, p.Tag))
	}
	for _, a := range p.Artifacts {
		out = append(out, intoto.Subject{Name: a.Name, Digest: map[string]string{"sha256": a.SHA256}})
	}
	return out
}

// Encode writes the attestation as canonical JSON.
func (s *Statement) Encode() ([]byte, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	return canonical.Marshal(s)
}

// Parse reads an opened attestation. Of a newer version the error wraps [envelope.ErrNewer].
func Parse(o *envelope.Opened) (*Statement, error) {
	return intoto.Read(o, ErrInvalid, (*Statement).Validate, Type)
}

// Validate reports what is wrong with an attestation but its header, the first thing first. The error wraps ErrInvalid.
func (s *Statement) Validate() error {
	bad := func(format string, a ...any) error {
		return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, a...))
	}
	p := &s.Predicate
	switch {
	case s.Type != intoto.StatementType || s.PredicateType != Type:
		return bad("type %.100q of %.100q", s.PredicateType, s.Type)
	case p.Commit.IsZero():
		return bad("commit")
	case p.ID == "" && p.Intent == "":
		return bad("it is for no release and no intent")
	case p.ID != "" && !envelope.IsLine(p.ID, maxWord), p.Intent != "" && !provenance.ValidIntent(p.Intent):
		return bad("id %.40q, intent %.40q", p.ID, p.Intent)
	case p.Tag.IsZero() != (p.TagName == ""), p.TagName != "" && (!strings.HasPrefix(p.TagName, "refs/tags/") || !envelope.IsLine(p.TagName, maxName)):
		return bad("tag %.100q", p.TagName)
	case !p.Tag.IsZero() && p.Tag.Format() != p.Commit.Format(), !p.Scope.From.IsZero() && p.Scope.From.Format() != p.Commit.Format():
		return bad("objects of two formats")
	case !p.Checkpoint.Entry.Valid() || len(p.Checkpoint.Note) > maxNote || !strings.HasSuffix(p.Checkpoint.Note, "\n"):
		return bad("checkpoint")
	case p.Previous != "" && !p.Previous.Valid():
		return bad("previous")
	case p.Principal.Name == "" || p.Principal.Kind == "" || p.Principal.Accountable == "":
		return bad("principal")
	case p.Scope.Commits < 0 || p.Scope.Commits > 1<<40 || !envelope.IsSHA256(p.Scope.SHA256):
		return bad("scope")
	case p.Text != "" && !envelope.IsText(p.Text, MaxText):
		return bad("a text is 1 to %d bytes of UTF-8", MaxText)
	case len(p.Artifacts) > MaxArtifacts:
		return bad("%d files, at most %d may be", len(p.Artifacts), MaxArtifacts)
	}
	for i, a := range p.Artifacts {
		if !envelope.IsLine(a.Name, maxName) || strings.HasPrefix(a.Name, "/") || slices.ContainsFunc(strings.Split(a.Name, "/"), func(e string) bool { return e == "" || e == "." || e == ".." }) || strings.ContainsRune(a.Name, '\\') {
			return bad("artifacts[%d]: name %.100q", i, a.Name)
		}
		if i > 0 && p.Artifacts[i-1].Name >= a.Name {
			return bad("artifacts: out of order, or twice, at %.100q", a.Name)
		}
		if !envelope.IsSHA256(a.SHA256) || a.Size < 0 || a.Size > 1<<53 {
			return bad("artifacts[%d]: %s", i, a.Name)
		}
	}
	want := subjects(p)
	if !slices.EqualFunc(s.Subject, want, func(a, b intoto.Subject) bool {
		return a.Name == b.Name && len(a.Digest) == 1 && len(b.Digest) == 1 && digest(a) == digest(b)
	}) {
		return bad("its subjects are not what it says")
	}
	return nil
}

func digest(s intoto.Subject) string {
	for k, v := range s.Digest {
		return k + ":" + v
	}
	return ""
}
