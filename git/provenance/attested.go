package provenance

import (
	"context"
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

// AllowedThen returns why the signer of an entry may not have done what it says, nil where it may: when it was made, as far as that is
// believed ([Facts.Made]), else now. A later revocation does not undo what was seen.
func (f *Facts) AllowedThen(at capability.Place, action string, now time.Time) error {
	q := capability.Query{KeyID: at.KeyID, Action: action, At: now}
	if made, known := f.Made(at); known {
		q.At, q.EndedBy, q.Past = made, made, true
	}
	if d := f.Authority.Decide(q); !d.Allowed {
		return fmt.Errorf("%w: %s: %s", ErrDenied, action, d.Reason)
	}
	return nil
}

// Attestations returns the attestations of the ledgers, each after the one that it goes on from; else by their claimed times.
func (f *Facts) Attestations() []Attested {
	list := slices.Clone(f.Attested)
	slices.SortStableFunc(list, func(a, b Attested) int { return a.Time.Compare(b.Time) })
	at := make(map[envelope.Digest]int, len(list))
	for i := range list {
		at[list[i].ID] = i
	}
	out := make([]Attested, 0, len(list))
	put := make([]bool, len(list))
	for i := range list {
		var line []int // from i back to one that is there already; of those that go round in a circle each comes once
		for n, here := i, true; here && !put[n]; {
			put[n] = true
			line = append(line, n)
			n, here = at[list[n].Statement.Predicate.Previous]
		}
		for _, n := range slices.Backward(line) {
			out = append(out, list[n])
		}
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
