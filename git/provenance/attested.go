package provenance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/release"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
)

// AttestAction is what it takes to stand for a release, or for a piece of work.
const AttestAction = "audit.attest"

// Attested is one attestation that stands in a ledger.
type Attested struct {
	capability.Place
	Index     int // in its ledger, from 0
	Blob      oid.ID
	Statement *release.Statement
}

// Attest appends an attestation to the hand's ledger, and puts it on the tag, where it names one. Header and principal are filled in.
func (k *Sealer) Attest(ctx context.Context, p release.Predicate) (envelope.Digest, error) {
	p.Principal = k.as()
	if err := release.New(p).Validate(); err != nil {
		return "", err
	}
	what := p.ID
	if what == "" {
		what = p.Intent
	}
	made, err := k.Say(ctx, AuditTopic, fmt.Sprintf("attestation of %s by %s", what, p.Principal.Name), p.Tag, func(h envelope.Header) ([]byte, error) {
		p.Entry = h
		return release.New(p).Encode()
	})
	return made.ID, err
}

// AllowedThen returns why the signer of an entry may not have done what it says, nil where it may: when somebody accountable first saw
// it, at its own time where its signer is an operator, else now. A later revocation does not undo what was seen.
func (f *Facts) AllowedThen(at capability.Place, index int, action string, now time.Time) error {
	q := capability.Query{KeyID: at.KeyID, Action: action, At: now}
	seen, known := f.seenBy(at.Ledger, index)
	when, err := time.Parse(time.RFC3339, seen.Time)
	switch {
	case f.dated(at.KeyID, at.Ledger, at.Seq):
		q.At, q.Past = at.Time, true
	case known && err == nil:
		q.At, q.EndedBy, q.Past = when.Add(-time.Second), when.Add(-time.Second), true // it was there before it was seen
	}
	if d := f.Authority.Decide(q); !d.Allowed {
		return fmt.Errorf("%w: %s: %s", ErrDenied, action, d.Reason)
	}
	return nil
}

// Attestations returns the attestations of the ledgers in the order in which they follow each other; those that follow nothing begin,
// and of several the earlier ones by their claimed times.
func (f *Facts) Attestations() []Attested {
	left := slices.Clone(f.Attested)
	slices.SortStableFunc(left, func(a, b Attested) int { return a.Time.Compare(b.Time) })
	var out []Attested
	here, put := map[envelope.Digest]bool{}, map[envelope.Digest]bool{}
	for i := range left {
		here[left[i].ID] = true
	}
	for len(left) > 0 {
		n := slices.IndexFunc(left, func(a Attested) bool { p := a.Statement.Predicate.Previous; return p == "" || !here[p] || put[p] })
		n = max(n, 0) // none of those that go round in a circle is first
		put[left[n].ID] = true
		out = append(out, left[n])
		left = slices.Delete(left, n, n+1)
	}
	return out
}

// Codes of what is wrong with attestations.
const (
	AttestationAuthority verdict.Code = "attestation.authority"
	AttestationChain     verdict.Code = "attestation.chain"
	AttestationRecord    verdict.Code = "attestation.record"
	AttestationScope     verdict.Code = "attestation.scope"
	AttestationTag       verdict.Code = "attestation.tag"
	AttestationArtifact  verdict.Code = "attestation.artifact"
	AttestationUnknown   verdict.Code = "attestation.not-here"
	AttestationPrincipal verdict.Code = "attestation.principal"
)

// ErrNoCommit says that a commit of an attestation is not here.
var ErrNoCommit = errors.New("not all that it names is here")

// ScopeOf returns the commits that one commit has and another has not.
func ScopeOf(s *git.Session, from, to oid.ID) (release.Scope, error) {
	q := git.LogQuery{Revs: []string{to.String()}}
	if !from.IsZero() {
		q.Revs = append(q.Revs, "^"+from.String())
	}
	var ids []oid.ID
	for c, err := range s.Log(q) {
		if err != nil {
			return release.Scope{}, err
		}
		ids = append(ids, c.ID)
	}
	return release.Scope{Commits: len(ids), From: from, SHA256: release.Names(ids)}, nil
}
