package trust

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/identity"
)

// Refusals of drafts.
var (
	// ErrStranger says that nobody who may sign a draft did.
	ErrStranger = errors.New("no operator signed the draft")
	// ErrNotOperator says that a key is of no operator of the version in force nor of the draft.
	ErrNotOperator = errors.New("not a key of an operator")
)

// A Draft is the next version while it collects signatures. It says nothing about
// what is in force.
type Draft struct {
	*Root
	ID       envelope.Digest
	Envelope *envelope.Envelope // with the signatures that count, and no others
	Old, New Tally              // operators of the version in force, and of the draft
}

// OpenDraft opens what was staged as the successor of prev: envelopes of one
// identity, from one or several places. Signatures that do not verify, or are by
// nobody who may sign, are dropped; at least one must be by an operator of prev.
// The document must be one that may follow prev. A refusal is a *StepError.
func OpenDraft(prev *Version, list ...*envelope.Envelope) (*Draft, error) {
	if len(list) == 0 {
		return nil, &StepError{After: prev.Version, Err: ErrStranger}
	}
	id := list[0].ID()
	refuse := func(version int, err error) (*Draft, error) { return nil, &StepError{version, prev.Version, id, err} }
	r, err := read(list[0])
	if err != nil {
		return refuse(0, err)
	}
	if err := Follows(prev, r); err != nil {
		return refuse(r.Version, err)
	}
	old, own := operatorKeys(prev.Root), operatorKeys(r)
	known := maps.Clone(own)
	maps.Copy(known, old)
	var good []*envelope.Envelope
	for _, e := range list {
		if e = e.Sift(known.ring); e != nil {
			good = append(good, e)
		}
	}
	if len(good) == 0 {
		return refuse(r.Version, ErrStranger)
	}
	e, err := envelope.Merge(good...)
	if err != nil {
		return refuse(r.Version, err)
	}
	d := &Draft{Root: r, ID: id, Envelope: e, Old: tally(prev.Root, old, e.KeyIDs()), New: tally(r, own, e.KeyIDs())}
	if len(d.Old.Signed) == 0 {
		return refuse(r.Version, ErrStranger)
	}
	return d, nil
}

// Complete reports whether enough operators signed, old and new: [Chain] then takes the envelope.
func (d *Draft) Complete() bool { return d.Old.Met() && d.New.Met() }

// Missing returns the operators who have not signed and are still needed or could be, sorted.
func (d *Draft) Missing() []string {
	var out []string
	for _, t := range []Tally{d.Old, d.New} {
		if !t.Met() {
			out = union(out, t.Missing)
		}
	}
	return out
}

// Signed returns the operators who signed, sorted.
func (d *Draft) Signed() []string { return union(d.Old.Signed, d.New.Signed) }

// Sign returns the draft with further signatures. Each signer must hold a key of an
// operator of prev or of the draft, else the error wraps ErrNotOperator.
func (d *Draft) Sign(prev *Version, by ...identity.Signer) (*Draft, error) {
	with, err := signers(prev, d.Root, by)
	if err != nil {
		return nil, err
	}
	e, err := d.Envelope.Countersign(with...)
	if err != nil {
		return nil, err
	}
	return OpenDraft(prev, e)
}

// NewDraft signs a document that may follow prev for the first time. One of the
// signers must be an operator of prev.
func NewDraft(prev *Version, next *Root, by ...identity.Signer) (*Draft, error) {
	if err := next.Validate(); err != nil {
		return nil, err
	}
	if err := Follows(prev, next); err != nil {
		return nil, err
	}
	with, err := signers(prev, next, by)
	if err != nil {
		return nil, err
	}
	e, err := next.Seal(with...)
	if err != nil {
		return nil, err
	}
	if e, err = envelope.Merge(e); err != nil { // in the order in which all others will be
		return nil, err
	}
	return OpenDraft(prev, e)
}

func signers(prev *Version, next *Root, by []identity.Signer) ([]envelope.SealWith, error) {
	old, own := operatorKeys(prev.Root), operatorKeys(next)
	var with []envelope.SealWith
	for _, s := range by {
		id := s.Public().ID()
		if slices.ContainsFunc(with, func(w envelope.SealWith) bool { return w.KeyID == id }) {
			continue
		}
		_, before := old[id]
		if _, after := own[id]; !before && !after {
			return nil, fmt.Errorf("%w: %s", ErrNotOperator, id)
		}
		with = append(with, envelope.SealWith{KeyID: id, Signer: s})
	}
	return with, nil
}
