package trust

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/canonical"
	"github.com/open-covenant/covenant-git/envelope/identity"
)

// The kinds of refusal of a chain. A [*StepError] says which version was refused.
var (
	// ErrNumber says that a version skips numbers, repeats one, or goes back.
	ErrNumber = errors.New("its number does not follow")
	// ErrPrevious says that a version follows another one than the one before it.
	ErrPrevious = errors.New("it follows another version")
	// ErrIdentity says that a version changes what makes the repository this one: first, nonce, format or succeeds.
	ErrIdentity = errors.New("it is of another repository")
	// ErrDropped says that a version leaves out what later versions must keep.
	ErrDropped = errors.New("it leaves out what must be kept")
	// ErrFormer says that a version calls keys former that it does not remove.
	ErrFormer = errors.New("its former keys are not those it removes")
	// ErrThreshold says that too few operators signed; the error is a [*ThresholdError].
	ErrThreshold = errors.New("signed by too few operators")
	// ErrPin says that the chain does not contain the pinned version.
	ErrPin = errors.New("the pinned version is not among them")
	// ErrFork says that one version has two valid successors; the error is a [*ForkError].
	ErrFork = errors.New("one version has two successors")
)

// Version is a version of the root that was verified, or that the pin vouches for.
type Version struct {
	*Root
	ID      envelope.Digest
	Signers []string // operators whose signatures verified, sorted; empty for versions older than the pin
}

// Repository returns the identity of version 1.
func (v *Version) Repository() envelope.Digest { return repository(v.Root, v.ID) }

func repository(r *Root, id envelope.Digest) envelope.Digest {
	if r.First == "" {
		return id
	}
	return r.First
}

// A StepError says that a version is not what may follow the one before it. It
// wraps one of the sentinels above, [ErrInvalid], or an error of the envelope.
type StepError struct {
	Version int             // of the version refused; 0 when it could not be read
	After   int             // of the version before; 0 when there is none
	ID      envelope.Digest // of the version refused
	Err     error
}

func (e *StepError) Error() string {
	what := fmt.Sprintf("version %d of the trust root (%s)", e.Version, e.ID.Short())
	if e.Version == 0 {
		what = "trust root " + e.ID.Short()
	}
	if e.After > 0 {
		what += fmt.Sprintf(", after version %d,", e.After)
	}
	return what + " is refused: " + e.Err.Error()
}

// Unwrap returns the reason.
func (e *StepError) Unwrap() error { return e.Err }

// A Tally counts persons: who of the operators of a version signed, and who did not.
type Tally struct {
	Version int // whose operators are counted
	Need    int
	Signed  []string // sorted
	Missing []string // sorted; Need-len(Signed) of them are enough
}

// Met reports whether enough signed.
func (t Tally) Met() bool { return len(t.Signed) >= t.Need }

// A ThresholdError is the evidence that too few operators of a version signed. It wraps ErrThreshold.
type ThresholdError struct{ Tally }

func (e *ThresholdError) Error() string {
	signed := "nobody"
	if len(e.Signed) > 0 {
		signed = strings.Join(e.Signed, ", ")
	}
	return fmt.Sprintf("%v: %d of the operators of version %d must sign, and %s did; missing: %s",
		ErrThreshold, e.Need, e.Version, signed, strings.Join(e.Missing, ", "))
}

// Unwrap returns ErrThreshold.
func (e *ThresholdError) Unwrap() error { return ErrThreshold }

// A PinError says that a chain does not contain the pinned version. It wraps ErrPin.
type PinError struct{ Pin, Head envelope.Digest }

func (e *PinError) Error() string {
	return fmt.Sprintf("%v: pinned is %s, and the chain ends with %s", ErrPin, e.Pin, e.Head)
}

// Unwrap returns ErrPin.
func (e *PinError) Unwrap() error { return ErrPin }

// A ForkError is the evidence that one version has two successors, both signed by
// enough operators. Nothing may be relied on until one of them is pinned. It wraps ErrFork.
type ForkError struct{ A, B *Version }

func (e *ForkError) Error() string {
	return fmt.Sprintf("%v: two versions %d, %s signed by %s and %s signed by %s", ErrFork, e.A.Version,
		e.A.ID, strings.Join(e.A.Signers, ", "), e.B.ID, strings.Join(e.B.Signers, ", "))
}

// Unwrap returns ErrFork.
func (e *ForkError) Unwrap() error { return ErrFork }

// Chain opens a chain of versions, oldest first: from version 1 or from the pinned
// one on. The last of what it returns is the version in force.
//
// The pin must be the identity of one of them. What is older is vouched for by the
// pin, as each version names the identity of the one before; its signatures are not
// looked at. The pinned version must be signed by its own threshold. Each later one
// must be signed by the threshold of operators of the version before and by its own;
// all its signatures must be good, each by a key of one of those. Several keys of one
// person count once. [Follows] says what else must hold.
//
// A refusal is a *StepError or a *PinError.
func Chain(list []*envelope.Envelope, pin envelope.Digest) ([]*Version, error) {
	at := slices.IndexFunc(list, func(e *envelope.Envelope) bool { return e.ID() == pin })
	if at < 0 {
		e := &PinError{Pin: pin}
		if len(list) > 0 {
			e.Head = list[len(list)-1].ID()
		}
		return nil, e
	}
	versions := make([]*Version, 0, len(list))
	var prev *Version
	for i, e := range list {
		r, err := read(e)
		if err != nil {
			return nil, &StepError{ID: e.ID(), Err: err}
		}
		v := &Version{Root: r, ID: e.ID()}
		if i == 0 && at > 0 && r.Version != 1 {
			return nil, &StepError{r.Version, 0, v.ID, fmt.Errorf("%w: the chain begins with it, and neither with version 1 nor with the pinned one", ErrNumber)}
		}
		switch {
		case i < at: // the pin vouches for it
			err = link(prev, v.Root)
		case i == at:
			if err = link(prev, v.Root); err == nil {
				err = v.opens(prev, e)
			}
		default:
			if err = Follows(prev, v.Root); err == nil {
				err = v.succeeds(prev, e)
			}
		}
		if err != nil {
			after := 0
			if prev != nil {
				after = prev.Version
			}
			return nil, &StepError{r.Version, after, v.ID, err}
		}
		versions = append(versions, v)
		prev = v
	}
	return versions, nil
}

// read returns the document of an envelope whose signatures nobody has looked at
// yet: who must have signed is said by the document itself, and by the one before.
func read(e *envelope.Envelope) (*Root, error) {
	o, err := e.OpenPinned(envelope.TypeRoot, e.ID())
	if err != nil {
		return nil, err
	}
	var r Root
	if err := canonical.Unmarshal(o.Payload, &r); err != nil {
		if typ, terr := envelope.TypeOf(o); terr == nil && typ != Type {
			return nil, envelope.VersionError(typ, Type)
		}
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return &r, r.Validate()
}

// opens checks the signatures of the pinned version. Without the version before,
// signatures of its operators alone cannot be told from others and are passed over.
func (v *Version) opens(prev *Version, e *envelope.Envelope) error {
	own := operatorKeys(v.Root)
	known := maps.Clone(own)
	if prev != nil {
		for id, k := range operatorKeys(prev.Root) {
			known[id] = k
		}
	}
	if v.Version > 1 && prev == nil {
		if e = e.Sift(known.ring); e == nil {
			return &ThresholdError{tally(v.Root, own, nil)}
		}
	}
	return v.signed(e, known, tally(v.Root, own, e.KeyIDs()))
}

// succeeds checks the signatures of a version that follows another one.
func (v *Version) succeeds(prev *Version, e *envelope.Envelope) error {
	own, old := operatorKeys(v.Root), operatorKeys(prev.Root)
	known := maps.Clone(own)
	maps.Copy(known, old)
	ids := e.KeyIDs()
	return v.signed(e, known, tally(prev.Root, old, ids), tally(v.Root, own, ids))
}

// signed verifies all signatures and holds them to the tallies.
func (v *Version) signed(e *envelope.Envelope, known keys, tallies ...Tally) error {
	if _, err := e.Open(envelope.TypeRoot, len(e.KeyIDs()), known.ring); err != nil {
		return err
	}
	for _, t := range tallies {
		if !t.Met() {
			return &ThresholdError{t}
		}
		v.Signers = union(v.Signers, t.Signed)
	}
	return nil
}

// keys are operators' keys by id.
type keys map[string]operatorKey

type operatorKey struct {
	identity.PublicKey
	owner string
}

func (k keys) ring(id string) (envelope.Key, bool) {
	key, ok := k[id]
	return key.PublicKey, ok
}

func operatorKeys(r *Root) keys {
	out := keys{}
	for _, name := range r.Operators {
		for _, text := range r.Person(name).Keys {
			if pub, err := identity.ParsePublicKey(text); err == nil { // Validate parsed it already
				out[pub.ID()] = operatorKey{pub, name}
			}
		}
	}
	return out
}

// tally counts the persons among r's operators who hold the keys.
func tally(r *Root, own keys, ids []string) Tally {
	t := Tally{Version: r.Version, Need: r.Threshold}
	for _, id := range ids {
		if k, ok := own[id]; ok && !slices.Contains(t.Signed, k.owner) {
			t.Signed = append(t.Signed, k.owner)
		}
	}
	slices.Sort(t.Signed)
	for _, name := range r.Operators {
		if !slices.Contains(t.Signed, name) {
			t.Missing = append(t.Missing, name)
		}
	}
	return t
}

func union(a, b []string) []string {
	out := append(slices.Clone(a), b...)
	slices.Sort(out)
	return slices.Compact(out)
}

// link checks how a version names the one before it; prev is nil for the first of a chain.
func link(prev *Version, next *Root) error {
	switch {
	case prev == nil:
		return nil
	case next.Version != prev.Version+1:
		return fmt.Errorf("%w: version %d after version %d", ErrNumber, next.Version, prev.Version)
	case next.Previous != prev.ID:
		return fmt.Errorf("%w: it names %s, and version %d is %s", ErrPrevious, next.Previous, prev.Version, prev.ID)
	case next.First != prev.Repository():
		return fmt.Errorf("%w: first is %s, and version 1 is %s", ErrIdentity, next.First, prev.Repository())
	}
	return nil
}

// Follows reports whether next may follow prev, signatures aside: it is the next
// number and names prev; first, nonce, format and succeeds are the same; governed
// and former of prev are all there; each key that prev names and next does not is
// in former, and nothing else is new there; nobody's kind changed; created is not
// earlier. An entry of former may only become stricter:
// its grants lapse, or it is compromised, or since an earlier time.
func Follows(prev *Version, next *Root) error {
	if err := link(prev, next); err != nil {
		return err
	}
	switch {
	case next.Nonce != prev.Nonce:
		return fmt.Errorf("%w: nonce changed", ErrIdentity)
	case next.Format != prev.Format:
		return fmt.Errorf("%w: format %s, not %s", ErrIdentity, next.Format, prev.Format)
	case !slices.Equal(next.Succeeds, prev.Succeeds):
		return fmt.Errorf("%w: succeeds changed", ErrIdentity)
	case moment(next.Created).Before(moment(prev.Created)):
		return fmt.Errorf("%w: created at %s, before version %d at %s", ErrNumber, next.Created, prev.Version, prev.Created)
	}
	for _, g := range prev.Governed {
		if !slices.Contains(next.Governed, g) {
			return fmt.Errorf("%w: %s is governed since %s", ErrDropped, g.Ref, g.Commit)
		}
	}
	for _, d := range prev.Against {
		if !slices.Contains(next.Against, d) {
			return fmt.Errorf("%w: it was decided against %s", ErrDropped, d)
		}
	}
	for _, f := range prev.Former {
		if !slices.ContainsFunc(next.Former, f.becomes) {
			return fmt.Errorf("%w: former keys of %s until %s", ErrDropped, f.Name, f.Until)
		}
	}
	for _, p := range prev.Persons {
		if err := keepsKeys(prev, next, p); err != nil {
			return err
		}
	}
	if err := keepsOperators(prev, next); err != nil {
		return err
	}
	for _, f := range next.Former {
		known := slices.ContainsFunc(prev.Former, func(g Former) bool { return g.becomes(f) })
		if !known && !removes(prev, next, f) {
			return fmt.Errorf("%w: those of %s until %s", ErrFormer, f.Name, f.Until)
		}
	}
	return nil
}

// removes reports whether next takes exactly these keys from a person of prev.
func removes(prev *Version, next *Root, f Former) bool {
	was, now := prev.Person(f.Name), next.Person(f.Name)
	if was == nil || f.Until != next.Created || f.Operator != prev.IsOperator(f.Name) || f.Kind != was.Kind || f.OperatorUntil != was.OperatorUntil || !slices.Equal(f.OperatorSeen, was.OperatorSeen) {
		return false
	}
	for _, k := range f.Keys {
		if !slices.Contains(was.Keys, k) || (now != nil && slices.Contains(now.Keys, k)) {
			return false
		}
	}
	return true
}

// becomes reports whether g is f, or a stricter form of it.
func (f Former) becomes(g Former) bool {
	return g.compare(f) == 0 && g.Kind == f.Kind && g.Operator == f.Operator && slices.Equal(g.Emails, f.Emails) && g.OperatorUntil == f.OperatorUntil && slices.Equal(g.OperatorSeen, f.OperatorSeen) &&
		(slices.Equal(g.Seen, f.Seen) || g.Compromised != f.Compromised && within(g.Seen, f.Seen)) &&
		(g.Grants == f.Grants || g.Grants == Lapse) &&
		(g.Compromised == f.Compromised || g.Compromised != "" && (f.Compromised == "" || moment(g.Compromised).Before(moment(f.Compromised))))
}

// within reports whether heads reach no further than others do.
func within(a, b []envelope.Head) bool {
	for _, h := range a {
		i := slices.IndexFunc(b, func(o envelope.Head) bool { return o.Ledger == h.Ledger })
		if i < 0 || h.Seq > b[i].Seq || h.Seq == b[i].Seq && h.ID != b[i].ID {
			return false
		}
	}
	return true
}

// keepsOperators checks that it stays known until when persons were operators who are none any more.
func keepsOperators(prev *Version, next *Root) error {
	for _, p := range next.Persons {
		was := prev.Person(p.Name)
		until, seen := "", []envelope.Head(nil)
		switch {
		case next.IsOperator(p.Name):
		case was == nil:
			until, seen = prev.operated(p.Name)
		case prev.IsOperator(p.Name):
			until, seen = next.Created, p.OperatorSeen // whoever signs it has looked
		default:
			until, seen = was.OperatorUntil, was.OperatorSeen
		}
		if p.OperatorUntil != until || !slices.Equal(p.OperatorSeen, seen) {
			return fmt.Errorf("%w: until when %s was an operator", ErrDropped, p.Name)
		}
	}
	return nil
}

// keepsKeys checks that each key of a person is still that person's, or a former one.
func keepsKeys(prev *Version, next *Root, p Person) error {
	now := next.Person(p.Name)
	if now != nil && now.Kind != p.Kind {
		return fmt.Errorf("%w: %s was of kind %s and is of kind %s", ErrIdentity, p.Name, p.Kind, now.Kind)
	}
	for _, k := range p.Keys {
		if now != nil && slices.Contains(now.Keys, k) {
			continue
		}
		if !slices.ContainsFunc(next.Former, func(f Former) bool {
			return f.Name == p.Name && f.Kind == p.Kind && f.Operator == prev.IsOperator(p.Name) && f.Until == next.Created && slices.Contains(f.Keys, k)
		}) {
			return fmt.Errorf("%w: a key of %s, who has it no longer, is not among the former ones with until %s", ErrDropped, p.Name, next.Created)
		}
	}
	return nil
}

// Conflict compares two verified chains of one repository. It returns a *ForkError
// with the first two versions of one number that differ; nil when one chain is the
// beginning of the other. Chains of different repositories are ErrIdentity.
func Conflict(a, b []*Version) error {
	if len(a) == 0 || len(b) == 0 {
		return nil
	}
	if a[0].Repository() != b[0].Repository() {
		return fmt.Errorf("%w: %s and %s", ErrIdentity, a[0].Repository(), b[0].Repository())
	}
	byNumber := map[int]*Version{}
	for _, v := range a {
		byNumber[v.Version] = v
	}
	for _, v := range b {
		if other := byNumber[v.Version]; other != nil && other.ID != v.ID {
			return &ForkError{other, v}
		}
	}
	return nil
}
