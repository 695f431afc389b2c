package provenance

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
)

// Grant writes a grant in the hand's capability ledger and returns its id. The
// first grant to a key introduces its holder. Without a parent the hand must be
// an operator, and is accountable for an agent that is new; with one it must hold
// the parent. The grant is held to the rules before it is written, so that nothing
// is recorded that counts for nothing.
func (k *Sealer) Grant(ctx context.Context, g capability.Grant) (envelope.Digest, error) {
	var serial [16]byte
	if _, err := rand.Read(serial[:]); err != nil {
		return "", fmt.Errorf("serial: %w", err)
	}
	g.Serial = hex.EncodeToString(serial[:])
	g.Subject.Emails = sorted(g.Subject.Emails)
	if known, ok := k.Authority.ByName(g.Subject.Name); ok {
		g.Subject.Kind, g.Subject.Accountable = known.Kind, known.Accountable
	} else if g.Parent != "" {
		p, ok := k.Authority.Grant(g.Parent)
		if !ok {
			return "", fmt.Errorf("%w: grant %s is not known here, or counts for nothing", capability.ErrInvalid, g.Parent)
		}
		g.Subject.Accountable = p.Granted.Subject.Accountable
	} else {
		g.Subject.Accountable = k.Hand.Principal.Name
	}
	if err := g.Validate(); err != nil {
		return "", err
	}
	now := k.Now()
	if err := k.Authority.MayGrant(k.Hand.Signer.Public().ID(), now, g); err != nil {
		return "", err
	}
	made, err := k.Record(ctx, CapabilityTopic, Item{capability.Granted, g, fmt.Sprintf("capability.granted %s %s", g.Subject.Name, g.Action)})
	if err != nil {
		return "", err
	}
	return made[0].ID, nil
}

// Revoke ends a grant and all that was delegated from it.
func (k *Sealer) Revoke(ctx context.Context, r capability.Revocation) (envelope.Digest, error) {
	if err := r.Validate(); err != nil {
		return "", err
	}
	if err := k.Authority.MayRevoke(k.Hand.Signer.Public().ID(), k.Now(), r); err != nil {
		return "", err
	}
	made, err := k.Record(ctx, CapabilityTopic, Item{capability.Revoked, r, "capability.revoked " + r.Grant.Short()})
	if err != nil {
		return "", err
	}
	return made[0].ID, nil
}

// Wish records that the hand asks for a grant.
func (k *Sealer) Wish(ctx context.Context, w capability.Asked) (envelope.Digest, error) {
	if err := w.Validate(); err != nil {
		return "", err
	}
	made, err := k.Record(ctx, CapabilityTopic, Item{capability.Requested, w, fmt.Sprintf("capability.requested %s %s", k.Hand.Principal.Name, w.Action)})
	if err != nil {
		return "", err
	}
	return made[0].ID, nil
}

// Declined is who declined a request, and why.
type Declined struct{ By, Reason string }

// Decline records that a request is not granted. Only operators' words count.
func (k *Sealer) Decline(ctx context.Context, d capability.Declining) (envelope.Digest, error) {
	if err := d.Validate(); err != nil {
		return "", err
	}
	if !k.Hand.Principal.Operator {
		return "", fmt.Errorf("%w: only an operator declines what is asked for, and %s is none", ErrDenied, k.Hand.Principal.Name)
	}
	made, err := k.Record(ctx, CapabilityTopic, Item{capability.Declined, d, "capability.declined " + d.Request.Short()})
	if err != nil {
		return "", err
	}
	return made[0].ID, nil
}

// Answered is Checked of a question with its answer.
func (k *Sealer) Answered(ctx context.Context, q capability.Query, d capability.Decision) (envelope.Digest, error) {
	c := capability.Check{
		Action: q.Action, Allowed: d.Allowed, Checkers: d.Checkers, Grants: d.Grants, Intent: q.Intent, KeyID: q.KeyID, Ref: q.Ref, Resource: q.Resource,
	}
	if !d.Allowed {
		c.Reason, c.Refused = d.Reason, d.Refused
	}
	if c.Checkers == nil {
		c.Checkers = []string{}
	}
	if c.Grants == nil {
		c.Grants = []envelope.Digest{}
	}
	if len(c.Resource) == 0 {
		c.Resource = nil
	}
	for _, x := range q.Changes {
		c.Paths = append(c.Paths, string(x.Path))
	}
	return k.Checked(ctx, c)
}

// Checked records what was asked and answered, in the hand's ledger of topic audit.
func (k *Sealer) Checked(ctx context.Context, c capability.Check) (envelope.Digest, error) {
	if err := c.Validate(); err != nil {
		return "", err
	}
	word := "allow"
	if !c.Allowed {
		word = "deny"
	}
	made, err := k.Record(ctx, AuditTopic, Item{capability.Checked, c, fmt.Sprintf("capability.checked %s %s", word, c.Action)})
	if err != nil {
		return "", err
	}
	return made[0].ID, nil
}

// Permit asks whether the hand may do something that is no commit and moves no ref, and records that it may not. The error is a *[DeniedError], or wraps [ErrUnanswered].
func (k *Sealer) Permit(ctx context.Context, q capability.Query) error {
	q.KeyID = k.Hand.Signer.Public().ID()
	d := k.Ask(q)
	switch {
	case d.Allowed:
		return nil
	case d.Unanswered:
		return fmt.Errorf("%w: %s", ErrUnanswered, d.Reason)
	}
	return k.Forbid(ctx, q, d)
}

// Forbid records that the hand may not do something, and returns that. What can't be recorded is forbidden all the same.
func (k *Sealer) Forbid(ctx context.Context, q capability.Query, d capability.Decision) *DeniedError {
	out := &DeniedError{Action: q.Action, Who: k.Hand.Principal.Name, Reason: d.Reason, Refused: d.Refused}
	if id, err := k.Answered(ctx, q, d); err == nil {
		out.Entry = id
	}
	return out
}
