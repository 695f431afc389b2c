package tlog

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope/identity"
)

// Witnessed says that a witness saw the log in this state, that nothing was taken out of it since the
// states which the witness saw before, and that it saw no larger one by that time.
type Witnessed struct {
	Name string
	Time time.Time // whole seconds, UTC; a claim of the witness
}

// A QuorumError says who witnessed a checkpoint when that were too few. It is ErrWitnesses.
type QuorumError struct {
	Need int
	Have []Witnessed
	// Later are good cosignatures that were not counted: their times lie behind [Policy.Until].
	Later []Witnessed
}

func (e *QuorumError) Error() string {
	s := fmt.Sprintf("%v: %d of the %d needed", ErrWitnesses, len(e.Have), e.Need)
	if len(e.Later) > 0 {
		s += fmt.Sprintf(", and %d from the future", len(e.Later))
	}
	return s
}

// Is reports whether target is ErrWitnesses.
func (e *QuorumError) Is(target error) bool { return target == ErrWitnesses }

// maxSeconds is the end of the year 9999, the last that RFC 3339 can write. The specification ends at 2^63-1, and
// lets times in the future be refused.
const maxSeconds = 253402300799

// cosigned returns what a witness signs.
func cosigned(text string, seconds uint64) []byte {
	return []byte("cosignature/v1\ntime " + strconv.FormatUint(seconds, 10) + "\n" + text)
}

// Cosign signs, as the witness name, that c was seen at a time, and returns the signature line with its
// newline. The signer holds a plain ed25519 key that signs for this one witness; any other is ErrKeyType. A time
// before 1970-01-01T00:00:01Z or after the year 9999 is ErrSyntax.
//
// The caller has seen to it that c is consistent with all that it cosigned before, and has stored c: see [Witness].
func Cosign(c *Checkpoint, name string, signer identity.Signer, at time.Time) ([]byte, error) {
	k, err := NewWitnessKey(name, signer.Public())
	if err != nil {
		return nil, fmt.Errorf("cosigning: %w", err)
	}
	if c.claim.text == "" || at.Unix() <= 0 || at.Unix() > maxSeconds {
		return nil, fmt.Errorf("cosigning: %w: time %v", ErrSyntax, at)
	}
	seconds := uint64(at.Unix())
	sig, err := k.sign(signer, cosigned(c.claim.text, seconds))
	if err != nil {
		return nil, fmt.Errorf("cosigning: %w", err)
	}
	return []byte(line{name, k.ID(), append(binary.BigEndian.AppendUint64(nil, seconds), sig...)}.String()), nil
}

// witnessed verifies a cosignature line by k over text.
func (k WitnessKey) witnessed(text string, l line) (Witnessed, error) {
	if len(l.sig) < 8 {
		return Witnessed{}, fmt.Errorf("%w: by %s", ErrSignature, k.name)
	}
	seconds := binary.BigEndian.Uint64(l.sig)
	// Only the newer kind of cosignature may leave the time out.
	if seconds == 0 || seconds > maxSeconds {
		return Witnessed{}, fmt.Errorf("%w: by %s at no time", ErrSignature, k.name)
	}
	if err := k.verify(cosigned(text, seconds), l.sig[8:]); err != nil {
		return Witnessed{}, err
	}
	return Witnessed{k.name, time.Unix(int64(seconds), 0).UTC()}, nil
}

// Policy says which witnesses are believed, and how many of them must have seen a checkpoint. The zero
// Policy knows none and needs none. It is immutable.
type Policy struct {
	witnesses []WitnessKey
	need      int
	until     time.Time
}

// NewPolicy returns the policy that need of the witnesses must have seen a checkpoint. The error wraps
// ErrPolicy: when there are not as many, when there are more than MaxSignatures, and when two have the same
// key, whatever their names.
func NewPolicy(need int, witnesses ...WitnessKey) (Policy, error) {
	if need < 0 || need > len(witnesses) || len(witnesses) > MaxSignatures {
		return Policy{}, fmt.Errorf("%w: %d of %d witnesses", ErrPolicy, need, len(witnesses))
	}
	for i, w := range witnesses {
		if w.typ != typeWitness {
			return Policy{}, fmt.Errorf("%w: witness %d has no key", ErrPolicy, i+1)
		}
		for _, other := range witnesses[:i] {
			if w.point == other.point {
				return Policy{}, fmt.Errorf("%w: %s and %s are one key", ErrPolicy, other.name, w.name)
			}
		}
	}
	return Policy{witnesses: slices.Clone(witnesses), need: need}, nil
}

// Until returns the policy that does not count cosignatures of a time after t, as of a clock that runs ahead. Add
// to t what clocks may differ by.
func (p Policy) Until(t time.Time) Policy {
	p.until = t
	return p
}

// Check returns the policy's witnesses that saw c, in the policy's order, each once, with the latest of
// its times. The log itself is no witness of its own. Too few is a [*QuorumError]; a bad
// signature under a witness's name and key id is ErrSignature, whatever else there is.
func (p Policy) Check(c *Checkpoint) ([]Witnessed, error) {
	var have, later []Witnessed
	for _, k := range p.witnesses {
		var seen, ahead Witnessed
		for _, l := range c.claim.lines {
			if !l.by(k.key) {
				continue
			}
			w, err := k.witnessed(c.claim.text, l)
			if err != nil {
				return nil, fmt.Errorf("cosignature: %w", err)
			}
			if !p.until.IsZero() && w.Time.After(p.until) {
				ahead = w
			} else if seen.Name == "" || w.Time.After(seen.Time) {
				seen = w
			}
		}
		switch {
		case k.point == c.key.point:
		case seen.Name != "":
			have = append(have, seen)
		case ahead.Name != "":
			later = append(later, ahead)
		}
	}
	if len(have) < p.need {
		return nil, &QuorumError{p.need, have, later}
	}
	return have, nil
}

// Join returns c with the signature lines that a witness answered. Lines by others than the policy's witnesses
// are dropped, and of each witness the line with the latest time stays. A bad signature under a witness's
// name and key id is ErrSignature; what is no signature lines is ErrSyntax or ErrTooLarge.
func (p Policy) Join(c *Checkpoint, answer []byte) (*Checkpoint, error) {
	if len(answer) > MaxCheckpoint {
		return nil, fmt.Errorf("answer of a witness: %w: %d bytes", ErrTooLarge, len(answer))
	}
	lines, err := parseLines(answer)
	if err != nil {
		return nil, fmt.Errorf("answer of a witness: %w", err)
	}
	out := c.claim
	out.lines = slices.Clone(out.lines)
	for _, k := range p.witnesses {
		for _, l := range lines {
			if !l.by(k.key) {
				continue
			}
			w, err := k.witnessed(out.text, l)
			if err != nil {
				return nil, fmt.Errorf("answer of a witness: %w", err)
			}
			newer := true
			out.lines = slices.DeleteFunc(out.lines, func(have line) bool {
				if !have.by(k.key) {
					return false
				}
				old, err := k.witnessed(out.text, have)
				keep := err == nil && old.Time.After(w.Time)
				newer = newer && !keep
				return !keep
			})
			if newer {
				out.lines = append(out.lines, l)
			}
		}
	}
	out = out.tidy()
	if b := out.bytes(); len(out.lines) > MaxSignatures || len(b) > MaxCheckpoint {
		return nil, fmt.Errorf("joining cosignatures: %w: %d signatures, %d bytes", ErrTooLarge, len(out.lines), len(b))
	}
	return &Checkpoint{out, c.key}, nil
}

// String says for people what is there and who signed, also those whom nobody has verified.
func (c *Checkpoint) String() string {
	names := make([]string, len(c.claim.lines))
	for i, l := range c.claim.lines {
		names[i] = l.name
	}
	return fmt.Sprintf("%s at %d entries, signed by %s", c.claim.origin, c.claim.tree.Size, strings.Join(names, ", "))
}
