package handoff

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/handoff"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// may reports whether who asks can have a handoff at all.
func may(k *provenance.Sealer) error {
	if k.Authority.Stripped(k.Hand.Signer.Public().ID(), time.Time{}) {
		return fmt.Errorf("%s: %w", k.Hand.Principal.Name, ErrStripped)
	}
	return nil
}

// held asks whether somebody has the handoff, as it is now.
func held(ctx context.Context, k *provenance.Sealer, h *handoff.Handoff, again bool) error {
	if again {
		return nil
	}
	rec, claim, err := current(ctx, k, h.ID)
	if err != nil {
		return err
	}
	now, err := rec.Find(string(h.ID))
	if err != nil {
		return err
	}
	if by := rec.Held(now, claim); by != nil {
		return by
	}
	return nil
}

// current reads what the ledgers say now, and the claim.
func current(ctx context.Context, k *provenance.Sealer, id envelope.Digest) (*Record, oid.ID, error) {
	rec, err := Load(ctx, k.Session, k.Root.Digest)
	if err != nil {
		return nil, oid.ID{}, err
	}
	claim, err := tip(k.Session, Claim(id))
	return rec, claim, err
}

func tip(s *git.Session, ref string) (oid.ID, error) {
	refs, err := s.Tips(ref)
	for _, x := range refs {
		if x.Name == ref {
			return x.ID, nil
		}
	}
	return oid.ID{}, err
}

// record says in the ledger that the hand has the handoff, unless it was said by this very attempt. The claim comes to be
// with the entry, or neither.
func (j *journal) record(ctx context.Context, k *provenance.Sealer) (id envelope.Digest, ref string, entry oid.ID, err error) {
	rec, claim, err := current(ctx, k, j.ID)
	if err != nil {
		return "", "", entry, err
	}
	h, err := rec.Find(string(j.ID))
	if err != nil {
		return "", "", entry, err
	}
	for _, t := range h.Taken {
		if t.Serial == j.Serial && !t.Over() { // whoever goes on with it
			return t.ID, ledger.Prefix + t.Ledger, t.Commit, nil
		}
	}
	if by := rec.Held(h, claim); by != nil && !j.Again {
		return "", "", entry, by
	}
	items := []provenance.Item{{Type: handoff.Resumed, Body: handoff.Resumption{Again: j.Again, Created: j.ID, Serial: j.Serial}, Subject: "handoff.resumed " + Short(j.ID)}}
	if k.Hand.Principal.Operator && !j.Again {
		items = append(voids(h), items...)
	}
	at := len(items) - 1
	made, err := k.ComposeWith(ctx, handoff.Topic, func(ledger.Name, []envelope.Head) ([]provenance.Item, error) { return items, nil }, func(a []ledger.Appended) []git.RefUpdate {
		if j.Again {
			return nil
		}
		return []git.RefUpdate{{Name: Claim(j.ID), New: a[at].Commit, Old: claim}}
	})
	if err != nil {
		return "", "", entry, err
	}
	return made[at].ID, made[at].Ledger.Ref(), made[at].Commit, nil
}

// voids let go what is void, so that it does not count again where its signer is granted to anew.
func voids(h *handoff.Handoff) []provenance.Item {
	var out []provenance.Item
	for _, t := range h.Taken {
		if t.Void != "" && !t.Released && !t.Again {
			out = append(out, provenance.Item{Type: handoff.Released, Body: handoff.Release{Resumed: t.ID, Reason: t.Void}, Subject: "handoff.released " + Short(h.ID)})
		}
	}
	return out
}

// claim asks the remote for the handoff, where one is to be asked and has not said yes, and lets it go where it says no. Nobody waits for
// the remote but who has this journal: whoever finishes it meanwhile, or takes it back, is followed.
func (j *journal) claim(ctx context.Context, k *provenance.Sealer, l *hold, o *Applying, ref string, entry oid.ID) error {
	if j.Remote == "" || j.Claimed {
		return nil
	}
	o.at("claiming")
	l.free()
	said := o.Claim(ctx, j.ID, j.Remote, ref, entry)
	if err := l.again(ctx); err != nil {
		j.lost = true
		return &begunError{errors.Join(said, err)}
	}
	now, err := readJournal(j.dir)
	if err != nil || now.Serial != j.Serial {
		j.lost = true
		return errors.Join(said, fmt.Errorf("%w any more: it was finished, or taken back", ErrNoPending))
	}
	if said != nil && !now.Claimed {
		if err := j.release(ctx, k, "it could not be claimed elsewhere"); err != nil {
			return &begunError{errors.Join(said, err)}
		}
		return said
	}
	j.Claimed = true
	return errors.Join(j.holds(ctx, k), j.write())
}

// holds reports whether what this attempt recorded was let go meanwhile. Error: ErrNotHeld.
func (j *journal) holds(ctx context.Context, k *provenance.Sealer) error {
	rec, _, err := current(ctx, k, j.ID)
	if err != nil {
		return err
	}
	h, err := rec.Find(string(j.ID))
	if err != nil || slices.ContainsFunc(h.Taken, func(t handoff.Taken) bool { return t.Serial == j.Serial && !t.Over() }) {
		return err
	}
	return fmt.Errorf("%w any more: it was let go meanwhile", ErrNotHeld)
}

// hold is the repository's lock for a sealer. It is let go while somebody else is waited for.
type hold struct {
	k      *provenance.Sealer
	unlock func()
}

func take(ctx context.Context, k *provenance.Sealer) (*hold, error) {
	l := &hold{k: k}
	return l, l.again(ctx)
}

func (l *hold) again(ctx context.Context) (err error) {
	if l.unlock, err = l.k.Session.Repo().Lock(ctx); err == nil {
		l.k.Locked = true
	}
	return err
}

func (l *hold) free() {
	if l.unlock != nil {
		l.unlock()
		l.unlock, l.k.Locked = nil, false
	}
}

// release says that this attempt does not have the handoff any more, where it did.
func (j *journal) release(ctx context.Context, k *provenance.Sealer, why string) error {
	rec, claim, err := current(ctx, k, j.ID)
	if err != nil {
		return err
	}
	h, err := rec.Find(string(j.ID))
	if err != nil {
		return err
	}
	i := slices.IndexFunc(h.Taken, func(t handoff.Taken) bool { return t.Serial == j.Serial && !t.Over() })
	if i < 0 {
		return nil
	}
	_, err = letGo(ctx, k, rec, h, &h.Taken[i], claim, why)
	return err
}

// letGo records that a resumption is over, and takes its claim away with that. Who made it may, and an operator. Error: ErrTheirs.
func letGo(ctx context.Context, k *provenance.Sealer, rec *Record, h *handoff.Handoff, t *handoff.Taken, claim oid.ID, why string) (envelope.Digest, error) {
	if t.KeyID != k.Hand.Signer.Public().ID() && !k.Hand.Principal.Operator {
		return "", fmt.Errorf("%w: %s has it", ErrTheirs, rec.Who(t.KeyID))
	}
	made, err := k.ComposeWith(ctx, handoff.Topic, func(ledger.Name, []envelope.Head) ([]provenance.Item, error) {
		return []provenance.Item{{Type: handoff.Released, Body: handoff.Release{Resumed: t.ID, Reason: why}, Subject: "handoff.released " + Short(h.ID)}}, nil
	}, func([]ledger.Appended) []git.RefUpdate {
		if claim != t.Commit {
			return nil
		}
		return []git.RefUpdate{{Name: Claim(h.ID), Old: claim}}
	})
	if err != nil {
		return "", err
	}
	return made[0].ID, nil
}

// Release lets go of a handoff that somebody has, and returns who had it, and the statement. Errors: ErrUnknown, ErrAmbiguous, ErrNotHeld,
// ErrTheirs, handoff.ErrInvalid.
func Release(ctx context.Context, k *provenance.Sealer, name, why string) (handoff.Taken, envelope.Digest, error) {
	l, err := take(ctx, k)
	if err != nil {
		return handoff.Taken{}, "", err
	}
	defer l.free()
	rec, err := Load(ctx, k.Session, k.Root.Digest)
	if err != nil {
		return handoff.Taken{}, "", err
	}
	h, err := rec.Find(name)
	if err != nil {
		return handoff.Taken{}, "", err
	}
	t := h.By()
	if t == nil {
		return handoff.Taken{}, "", fmt.Errorf("%w: %s", ErrNotHeld, Short(h.ID))
	}
	claim, err := tip(k.Session, Claim(h.ID))
	if err != nil {
		return handoff.Taken{}, "", err
	}
	id, err := letGo(ctx, k, rec, h, t, claim, why)
	return *t, id, err
}
