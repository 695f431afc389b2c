package envelope

import (
	"cmp"
	"fmt"
	"slices"
)

// The functions of this file are for statements that need several signers, who
// sign the same payload at different places and times. None lets a payload out.

// Countersign returns the envelope with signatures added, in order of key ids.
// A key that signed already is passed over: a signature is never replaced.
func (e *Envelope) Countersign(with ...SealWith) (*Envelope, error) {
	out := *e
	out.sigs = slices.Clone(e.sigs)
	for _, w := range with {
		if out.signedBy(w.KeyID) {
			continue
		}
		sig, err := w.Signer.Sign(e.pae)
		if err != nil {
			return nil, fmt.Errorf("signing with %s: %w", w.KeyID, err)
		}
		out.sigs = append(out.sigs, Signature{w.KeyID, sig})
	}
	return out.sorted()
}

// Sift returns the envelope with only those signatures that verify under a key of
// the ring, nil when none does. It is for envelopes that still collect signatures,
// where junk beside a good signature must not spoil it; what is complete is held to
// [Envelope.Open].
func (e *Envelope) Sift(ring Keyring) *Envelope {
	out := *e
	out.sigs = nil
	for _, s := range e.sigs {
		if key, ok := ring(s.KeyID); ok && key.Verify(e.pae, s.Sig) == nil {
			out.sigs = append(out.sigs, s)
		}
	}
	if len(out.sigs) == 0 {
		return nil
	}
	return &out
}

// Merge returns one envelope with the signatures of all, in order of key ids. All
// must have the same identity, else the error wraps ErrDigest. Of two signatures of
// one key the first is kept: sift first.
func Merge(list ...*Envelope) (*Envelope, error) {
	if len(list) == 0 {
		return nil, ErrSignatureCount
	}
	out := *list[0]
	out.sigs = nil
	for _, e := range list {
		if e.id != out.id {
			return nil, fmt.Errorf("%w: %s and %s are two statements", ErrDigest, out.id, e.id)
		}
		for _, s := range e.sigs {
			if !out.signedBy(s.KeyID) {
				out.sigs = append(out.sigs, s)
			}
		}
	}
	return out.sorted()
}

func (e *Envelope) signedBy(keyID string) bool {
	return slices.ContainsFunc(e.sigs, func(s Signature) bool { return s.KeyID == keyID })
}

// sorted orders the signatures of an envelope that is not shared yet.
func (e *Envelope) sorted() (*Envelope, error) {
	if n := len(e.sigs); n == 0 || n > MaxSignatures {
		return nil, fmt.Errorf("%w: %d signatures, at most %d", ErrSignatureCount, n, MaxSignatures)
	}
	slices.SortFunc(e.sigs, func(a, b Signature) int { return cmp.Compare(a.KeyID, b.KeyID) })
	return e, nil
}
