package provenance

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/git/ledger"
)

// Introduce writes a grant in the sealer's capability ledger: the first grant to
// a key introduces its holder. The sealer must be an operator.
func (k *Sealer) Introduce(ctx context.Context, g capability.Grant) (envelope.Digest, error) {
	if !k.Hand.Principal.Operator {
		return "", fmt.Errorf("%w: only an operator introduces principals, and %s is none", ErrDenied, k.Hand.Principal.Name)
	}
	var serial [16]byte
	if _, err := rand.Read(serial[:]); err != nil {
		return "", fmt.Errorf("serial: %w", err)
	}
	g.Serial = hex.EncodeToString(serial[:])
	g.Subject.Accountable = k.Hand.Principal.Name
	g.Subject.Emails = sorted(g.Subject.Emails)
	if err := g.Validate(); err != nil {
		return "", err
	}
	unlock, err := k.Session.Repo().Lock(ctx)
	if err != nil {
		return "", err
	}
	defer unlock()
	name, err := k.ledger(CapabilityTopic)
	if err != nil {
		return "", err
	}
	var id envelope.Digest
	var heads *sight
	err = ledger.Update(ctx, k.Session, k.seqOf, prefixes, func(tx *ledger.Tx) error {
		if heads, err = k.look(ctx, tx, name); err != nil {
			return err
		}
		now := k.Now()
		a, err := tx.Append(name, func(seq uint64, prev envelope.Digest) (ledger.Entry, error) {
			payload, err := envelope.Statement(capability.Granted, envelope.Header{
				Heads: heads.moved, Prev: prev, Repository: k.Root.ID, Seq: seq, Time: envelope.Timestamp(now), Topic: name.Topic, Writer: string(name.Writer),
			}, g)
			if err != nil {
				return ledger.Entry{}, err
			}
			return k.entry(envelope.TypeLedger, payload, fmt.Sprintf("capability.granted %s %s", g.Subject.Name, g.Action), now)
		})
		id = a.ID
		return err
	})
	if err != nil {
		return "", err
	}
	heads.remember(k.Session.Repo(), name)
	return id, nil
}
