package provenance

import (
	"context"
	"errors"
	"fmt"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
)

// ErrDenied says that the checker does not allow what was asked.
var ErrDenied = errors.New("not allowed")

// ErrUnanswered says that a checker that must allow it gave no answer: nothing is sealed, and nothing was refused.
var ErrUnanswered = errors.New("the capability checkers gave no answer")

// A DeniedError names what was refused. It wraps ErrDenied.
type DeniedError struct {
	Commit  oid.ID // zero when there is none yet
	Action  string
	Who     string
	Reason  string
	Refused envelope.Digest // the grant that refused, when one did
	Entry   envelope.Digest // the record of the refusal; "" when it could not be recorded
}

func (e *DeniedError) Error() string {
	what := e.Action
	if !e.Commit.IsZero() {
		what = "commit " + e.Commit.Short() + ": " + e.Action
	}
	return fmt.Sprintf("%s is not allowed to %s: %s", what, e.Who, e.Reason)
}

// Unwrap returns ErrDenied.
func (e *DeniedError) Unwrap() error { return ErrDenied }

// Ask asks whether the hand may act.
func (k *Sealer) Ask(q capability.Query) capability.Decision {
	q.KeyID, q.At = k.Hand.Signer.Public().ID(), k.Now()
	return k.decideAll([]capability.Query{q})[0]
}

func (k *Sealer) decideAll(queries []capability.Query) []capability.Decision {
	var asker verdict.Asker = k.Authority
	if k.Asker != nil {
		asker = k.Asker
	}
	if b, ok := asker.(Batcher); ok {
		return b.DecideAll(queries)
	}
	out := make([]capability.Decision, len(queries))
	for i, q := range queries {
		out[i] = asker.Decide(q)
	}
	return out
}

// deny records that a commit was refused, and returns the refusal. Who asks to vouch
// for what others made passes by no gate: such a record is held against no commit.
func (k *Sealer) deny(ctx context.Context, mode prov.Mode, d *draft) error {
	c := d.commit
	if mode == prov.Vouching || d.answer.Unanswered {
		c.ID = oid.ID{}
	}
	err := k.Deny(ctx, d.action(), d.ref, c, d.answer)
	var denied *DeniedError
	if errors.As(err, &denied) {
		denied.Commit = d.commit.ID
	}
	if d.answer.Unanswered {
		return fmt.Errorf("commit %s: %w: %s", d.commit.ID.Short(), ErrUnanswered, d.answer.Reason)
	}
	return err
}

// Deny records a refusal in the hand's ledger and returns it as a *DeniedError;
// commit has no ID when there is none yet. A refusal that can't be recorded is one all the same.
func (k *Sealer) Deny(ctx context.Context, action, ref string, c git.Commit, answer capability.Decision) error {
	out := &DeniedError{Commit: c.ID, Action: action, Who: k.Hand.Principal.Name, Reason: answer.Reason, Refused: answer.Refused}
	body := k.decision(action, ref, c, answer)
	body.Commit = c.ID
	made, err := k.Record(ctx, prov.Topic, Item{Type: prov.Decided, Body: body, Subject: fmt.Sprintf("gate.decided deny %s to %s", action, k.Hand.Principal.Name)})
	if err == nil {
		out.Entry = made[0].ID
	}
	return out
}

func (k *Sealer) decision(action, ref string, c git.Commit, answer capability.Decision) prov.Decision {
	d := prov.Decision{
		Action: action, Allowed: answer.Allowed, Checkers: answer.Checkers, Grants: answer.Grants, KeyID: k.Hand.Signer.Public().ID(), Moment: k.Moment,
		Intent: k.Intent, Parents: c.Parents, Reason: answer.Reason, Ref: ref, Refused: answer.Refused, Tree: c.Tree,
	}
	if d.Grants == nil {
		d.Grants = []envelope.Digest{}
	}
	if d.Parents == nil {
		d.Parents = []oid.ID{}
	}
	if d.Checkers == nil {
		d.Checkers = []string{}
	}
	return d
}
