package report

import (
	"encoding/json"
	"io"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope/intoto"
	"github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
)

// Names of the SLSA verification summary, in-toto's Statement v1 around it.
const (
	summaryType = "https://slsa.dev/verification_summary/v1"
	slsaVersion = "1.2"
)

// What a summary may claim. No level above 1: that a ref was never moved but forward,
// that tags never moved, and that nobody went past the control is enforced by who
// serves the repository, not by who verifies it. Nothing is said of two parties.
const (
	level1    = "SLSA_SOURCE_LEVEL_1"
	sealed    = "ORG_SOURCE_COVENANT_SEALED"    // every commit has a seal by a key with authority
	witnessed = "ORG_SOURCE_COVENANT_WITNESSED" // and a recorded decision precedes each
	admitted  = "ORG_SOURCE_COVENANT_ADMITTED"  // the protected ref is where its newest admission put it
)

type vsaStatement struct {
	Type          string       `json:"_type"`
	Subject       []vsaSubject `json:"subject"`
	PredicateType string       `json:"predicateType"`
	Predicate     vsaPredicate `json:"predicate"`
}

type vsaSubject struct {
	URI         string            `json:"uri"`
	Digest      map[string]string `json:"digest"`
	Annotations map[string]any    `json:"annotations,omitempty"`
}

type vsaPredicate struct {
	Verifier       vsaVerifier `json:"verifier"`
	TimeVerified   string      `json:"timeVerified"`
	ResourceURI    string      `json:"resourceUri"`
	Policy         vsaPolicy   `json:"policy"`
	Result         string      `json:"verificationResult"`
	VerifiedLevels []string    `json:"verifiedLevels"`
	SLSAVersion    string      `json:"slsaVersion"`
}

type vsaVerifier struct {
	ID      string            `json:"id"`
	Version map[string]string `json:"version"`
}

type vsaPolicy struct {
	URI    string            `json:"uri"`
	Digest map[string]string `json:"digest"`
}

// vsa writes a Source VSA of SLSA 1.2 about the tips: passed when every commit of the
// range passes, else failed. It is not signed.
type vsa struct {
	w                   io.Writer
	run                 Run
	unwitnessed, sealed int
	admitted            bool
}

func newVSA(w io.Writer, run Run) Encoder { return &vsa{w: w, run: run} }

func (v *vsa) Commit(c Commit) error {
	if c.Verdict == verdict.Sealed {
		v.sealed++
	}
	if c.Mode != provenance.Witness {
		v.unwitnessed++
	}
	return nil
}

// Problem does nothing: a warning never changes an answer.
func (v *vsa) Problem(verdict.Finding, bool) error { return nil }

func (v *vsa) Ref(r Ref) error {
	v.admitted = r.OK() && r.Newest != nil
	return nil
}

func (v *vsa) End(s Summary) error {
	if s.Undecided != "" {
		return nil // there is no answer to sum up
	}
	p := vsaPredicate{
		Verifier:     vsaVerifier{homepage, map[string]string{"covenant": v.run.Version}},
		TimeVerified: v.run.Now.UTC().Format(time.RFC3339),
		ResourceURI:  v.resource(),
		// The identity of a version is the SHA-256 of what its operators sign (the DSSE
		// PAE), not of a file, so it does not go under "sha256".
		Policy:      vsaPolicy{v.resource() + "#refs/covenant/trust/root", map[string]string{"covenantIdentity": strings.TrimPrefix(v.inForce(), "sha256:")}},
		Result:      "FAILED",
		SLSAVersion: slsaVersion,
		// The SLSA word for no level at all.
		VerifiedLevels: []string{"FAILED"},
	}
	if s.OK && s.Commits > 0 {
		p.Result, p.VerifiedLevels = "PASSED", v.levels(s)
	}
	out := vsaStatement{Type: intoto.StatementType, PredicateType: summaryType, Predicate: p, Subject: []vsaSubject{}}
	for _, t := range v.run.Tips {
		sub := vsaSubject{URI: v.resource(), Digest: map[string]string{"gitCommit": t.Commit, "gitTree": t.Tree}, Annotations: map[string]any{}}
		if v.run.Ref != "" {
			// The final specification writes sourceRefs, its drafts and tools source_refs.
			sub.Annotations["sourceRefs"], sub.Annotations["source_refs"] = []string{v.run.Ref}, []string{v.run.Ref}
		}
		if len(v.run.Except) > 0 {
			sub.Annotations["covenantExcept"] = v.run.Except
		}
		out.Subject = append(out.Subject, sub)
	}
	enc := json.NewEncoder(v.w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}

// resource is the repository as a URI of package managers: of what kind it is goes before it.
func (v *vsa) resource() string {
	if strings.HasPrefix(v.run.Repository, "git+") {
		return v.run.Repository
	}
	return "git+" + v.run.Repository
}

func (v *vsa) inForce() string {
	if v.run.InForce != "" {
		return v.run.InForce
	}
	return v.run.Root
}

func (v *vsa) levels(s Summary) []string {
	out := []string{level1}
	if v.sealed == s.Commits {
		out = append(out, sealed)
		if v.unwitnessed == 0 {
			out = append(out, witnessed)
		}
	}
	if v.admitted {
		out = append(out, admitted)
	}
	return out
}
