package provenance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/notes"
	"github.com/open-covenant/covenant-git/git/oid"
)

func (k *Sealer) lock(ctx context.Context) (func(), error) {
	if k.Locked {
		return func() {}, nil
	}
	return k.Session.Repo().Lock(ctx)
}

// Item is one statement to record that is not about a Git object.
type Item struct {
	Type    string
	Body    any
	Subject string // one line for people
}

// Record appends statements to the hand's ledger of a topic, all or none.
func (k *Sealer) Record(ctx context.Context, topic string, items ...Item) ([]ledger.Appended, error) {
	return k.Compose(ctx, topic, func(ledger.Name, []envelope.Head) ([]Item, error) { return items, nil })
}

// Compose is Record of statements that depend on what their writer has seen: compose is told the ledger, and the heads that the first
// of them will name. It may be called again, and must have no other effect. When it returns nothing, nothing is appended.
func (k *Sealer) Compose(ctx context.Context, topic string, compose func(name ledger.Name, heads []envelope.Head) ([]Item, error)) ([]ledger.Appended, error) {
	return k.ComposeWith(ctx, topic, compose, nil)
}

// ComposeWith is Compose, and moves refs in the same transaction, after the ledger, that refs names when it is told what is appended.
func (k *Sealer) ComposeWith(ctx context.Context, topic string, compose func(name ledger.Name, heads []envelope.Head) ([]Item, error), refs func([]ledger.Appended) []git.RefUpdate) ([]ledger.Appended, error) {
	var made []ledger.Appended
	err := k.update(ctx, topic, func(tx *ledger.Tx, name ledger.Name, moved []envelope.Head) error {
		made = made[:0]
		now := k.Now()
		items, err := compose(name, moved)
		if err != nil {
			return err
		}
		for _, item := range items {
			a, err := tx.Append(name, func(seq uint64, prev envelope.Digest) (ledger.Entry, error) {
				payload, err := envelope.Statement(item.Type, k.header(name, seq, prev, moved, now), item.Body)
				if err != nil {
					return ledger.Entry{}, err
				}
				return k.entry(envelope.TypeLedger, payload, item.Subject, now)
			})
			if err != nil {
				return err
			}
			moved = nil
			made = append(made, a)
		}
		if refs != nil && len(made) > 0 {
			tx.Also(refs(made)...)
		}
		return nil
	})
	return made, err
}

// as is how statements name the hand.
func (k *Sealer) as() prov.Principal {
	p := k.Hand.Principal
	return prov.Principal{Accountable: p.Accountable, Kind: p.Kind, Name: p.Name}
}

// Say appends one statement about Git objects to the hand's ledger of a topic, and puts it on an object, where one is named. encode
// writes its payload, given its header. It may be called again.
func (k *Sealer) Say(ctx context.Context, topic, subject string, on oid.ID, encode func(envelope.Header) ([]byte, error)) (ledger.Appended, error) {
	var made ledger.Appended
	err := k.update(ctx, topic, func(tx *ledger.Tx, name ledger.Name, moved []envelope.Head) error {
		now := k.Now()
		var line []byte
		var err error
		made, err = tx.Append(name, func(seq uint64, prev envelope.Digest) (ledger.Entry, error) {
			payload, err := encode(k.header(name, seq, prev, moved, now))
			if err != nil {
				return ledger.Entry{}, err
			}
			e, err := k.entry(envelope.TypeInToto, payload, subject, now)
			if err == nil {
				line, err = e.Envelope.Bytes()
			}
			return e, err
		})
		if err != nil || on.IsZero() {
			return err
		}
		return k.note(tx, []notes.Add{{Object: on, Line: line, Blob: made.Blob}}, subject)
	})
	return made, err
}

// update appends to the hand's ledger of a topic, under the repository's lock. build is told which heads of other ledgers
// moved, for the first entry it appends. A ledger of the hand's that others
// have written into, that lost entries, or whose lock a dead process left, is left: the clone becomes a new replica.
func (k *Sealer) update(ctx context.Context, topic string, build func(*ledger.Tx, ledger.Name, []envelope.Head) error) error {
	unlock, err := k.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	renewed := false
	for {
		name, err := k.ledger(topic)
		if err != nil {
			return err
		}
		var heads *sight
		early := k.takeRefs()
		err = ledger.Update(ctx, k.Session, k.seqOf, prefixes, early, func(tx *ledger.Tx) error {
			if err = k.held(tx); err != nil {
				return err
			}
			if tx.Stuck(name.Ref()) { // nobody else writes it, and we hold the repository's lock: who holds this one is dead
				return fmt.Errorf("%w: its lock is held", errForeign)
			}
			if heads, err = k.look(ctx, tx, name); err != nil {
				return err
			}
			if err = build(tx, name, heads.moved); err == nil && !tx.Stuck(RootRef) {
				tx.Hold(RootRef)
			}
			return err
		})
		if errors.Is(err, errForeign) && early != nil {
			continue // they were read before the lock was ours: another process of this writer has gone on since
		}
		if errors.Is(err, errForeign) && !renewed {
			renewed = true
			if err := RenewReplica(k.Session.Repo()); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		if tip, err := heads.tx.Tip(name); err == nil && (len(heads.moved) == 0 || tip.Commit != heads.own) { // what nothing was written of is not named
			heads.remember(k.Session.Repo(), name)
		}
		return nil
	}
}

// Missed returns the ledgers whose writers are known and that could not be followed when the last entry was made: it does not
// name what is new in them.
func (k *Sealer) Missed() []string { return k.missed }

// held reports whether the hand's key still counts under the trust root as it is now: another process may have put a version
// in force since the hand was chosen. The transaction holds the root to what was looked at.
func (k *Sealer) held(tx *ledger.Tx) error {
	at, ok := tx.Refs()[RootRef]
	if !ok {
		return fmt.Errorf("%w: it is gone", ErrRootMoved)
	}
	if at == k.rootAt {
		return nil
	}
	e, err := readRoot(k.Session, at.String())
	if err != nil {
		return err
	}
	if e.ID() != k.Root.Digest {
		now, err := OpenRootAt(k.Session, at.String(), k.Root.Digest)
		if errors.Is(err, ErrRootMismatch) {
			return fmt.Errorf("%w: %s", ErrRootMoved, e.ID())
		}
		if err != nil {
			return err
		}
		id := k.Hand.Signer.Public().ID()
		if p, known := capability.Fold(Persons(now), nil, nil).ByKey(id); known && !p.Until.IsZero() {
			return fmt.Errorf("%w: %s of %s, by version %d of the trust root; nothing was written", ErrKeyRemoved, id, k.Hand.Principal.Name, now.Version)
		}
	}
	k.rootAt = at
	return nil
}

// takeRefs hands out the refs once: what is written next moves them.
func (k *Sealer) takeRefs() []git.Ref {
	refs := k.Refs
	k.Refs = nil
	return refs
}

func (k *Sealer) header(name ledger.Name, seq uint64, prev envelope.Digest, heads []envelope.Head, now time.Time) envelope.Header {
	return envelope.Header{Heads: heads, Prev: prev, Repository: k.Root.ID, Seq: seq, Time: envelope.Timestamp(now), Topic: name.Topic, Writer: string(name.Writer)}
}

// ledger names this key's chain of a topic on this clone.
func (k *Sealer) ledger(topic string) (ledger.Name, error) {
	replica, err := OpenReplica(k.Session.Repo())
	if err != nil {
		return ledger.Name{}, err
	}
	return ledger.Name{Topic: topic, Writer: ledger.NewWriter(k.Hand.Signer.Public().Digest(), replica)}, nil
}

// ErrUnreadable says that nothing was written, since no reader would take it.
var ErrUnreadable = errors.New("nothing was written: it is no valid statement")

func (k *Sealer) entry(typ string, payload []byte, subject string, when time.Time) (ledger.Entry, error) {
	e, err := envelope.Seal(typ, payload, envelope.SealWith{KeyID: k.Hand.Signer.Public().ID(), Signer: k.Hand.Signer})
	if err != nil {
		return ledger.Entry{}, err
	}
	// What a reader would refuse damages the ledger it stands in, for good: nothing is appended that was not read back.
	o, err := e.OpenPinned(typ, e.ID())
	if err == nil {
		_, _, err = stated(o, k.Root.ID)
	}
	if err != nil && !errors.Is(err, envelope.ErrNewer) {
		return ledger.Entry{}, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	return ledger.Entry{Envelope: e, Subject: subject, Author: k.Hand.Principal.Name, When: when}, nil
}

// note moves the notes view with the ledgers. A view that can't be read, or whose
// lock a dead process left, is left alone: doctor mends it, and no seal is lost with it.
func (k *Sealer) note(tx *ledger.Tx, adds []notes.Add, subject string) error {
	if tx.Stuck(notes.Ref) {
		return nil
	}
	base := tx.Refs()[notes.Ref]
	tip, err := notes.Edit(k.Session, base, notes.Ident(k.Now()), subject, adds)
	if err != nil {
		if errors.Is(err, notes.ErrUnreadable) {
			return nil
		}
		return err
	}
	if tip != base {
		tx.Set(notes.Ref, tip)
	}
	return nil
}
