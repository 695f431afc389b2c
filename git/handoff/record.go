package handoff

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/handoff"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// Errors of looking for one.
var (
	ErrUnknown   = errors.New("there is no such handoff here")
	ErrAmbiguous = errors.New("more than one handoff begins so")
	// ErrResumed says that somebody has the handoff already.
	ErrResumed = errors.New("AlreadyResumed")
	// ErrStripped says that who asks has lost everything.
	ErrStripped = errors.New("all that was granted to this key was revoked")
	// ErrTheirs says that who asks can't let it go.
	ErrTheirs = errors.New("only who took it up, or an operator, lets it go")
	// ErrNotHeld says that there is nothing to let go.
	ErrNotHeld = errors.New("nobody has the handoff")
)

// An AlreadyResumedError says who has the handoff. It wraps ErrResumed.
type AlreadyResumedError struct {
	ID  envelope.Digest
	By  handoff.Taken
	Who string // the principal
	At  string // the remote that says so; "" for this repository
}

func (e *AlreadyResumedError) Error() string {
	where := ""
	if e.At != "" {
		where = " at " + e.At
	}
	if e.By.ID == "" {
		return fmt.Sprintf("%v: handoff %s was taken up%s by somebody whose record is not here", ErrResumed, Short(e.ID), where)
	}
	return fmt.Sprintf("%v: handoff %s was taken up%s by %s, %s", ErrResumed, Short(e.ID), where, e.Who, envelope.Timestamp(e.By.Time))
}

// Unwrap returns ErrResumed.
func (e *AlreadyResumedError) Unwrap() error { return ErrResumed }

// Record is what the ledgers say of handoffs.
type Record struct {
	Facts *provenance.Facts
	List  []*handoff.Handoff // the newest first
}

// Load reads the ledgers of handoffs, and of who may write them.
func Load(ctx context.Context, s *git.Session, pin envelope.Digest) (*Record, error) {
	f, err := provenance.LoadTopic(ctx, s, pin, handoff.Topic)
	if err != nil {
		return nil, err
	}
	return Of(f), nil
}

// Of folds what facts say of handoffs.
func Of(f *provenance.Facts) *Record {
	s := standing{f.Authority}
	return &Record{f, handoff.Fold(f.Handoffs, handoff.Standing{Saw: f.Saw, Void: s.void, Operator: s.operator})}
}

// standing tells what became of those who sign.
type standing struct{ *capability.Authority }

// void says why a signer has no handoff: all that was granted to it was revoked; or the trust root let it go, and nobody of its name is there, or
// did not know of what it signed. What a person signed with a key that another one replaced counts.
func (s standing) void(at handoff.Place) string {
	p, known := s.ByKey(at.KeyID)
	switch {
	case !known:
		return "nobody here has the key that signed it"
	case s.Stripped(at.KeyID, time.Time{}):
		return "all that was granted to " + p.Name + " was revoked"
	case !p.Compromised.IsZero() && !at.Time.Before(p.Compromised):
		return "the key of " + p.Name + " was in other hands"
	}
	last, all := p.Reach(at.Ledger)
	if all {
		return ""
	}
	if now, there := s.ByName(p.Name); at.Seq > last.Seq || !there || !now.Until.IsZero() {
		return "the trust root let " + p.Name + ", or this key, go"
	}
	return ""
}

// operator reports whether who signed was an operator.
func (s standing) operator(at handoff.Place) bool {
	p, known := s.ByKey(at.KeyID)
	return known && s.void(at) == "" && (p.Operator || !p.OperatorUntil.IsZero() && at.Seq <= p.Operated(at.Ledger))
}

// Find finds a handoff by its identity, its digits or the beginning of them.
func (r *Record) Find(name string) (*handoff.Handoff, error) {
	want := strings.TrimPrefix(name, "sha256:")
	var found *handoff.Handoff
	for _, h := range r.List {
		if want == "" || !strings.HasPrefix(digits(h.ID), want) {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("%w: %.70s", ErrAmbiguous, name)
		}
		found = h
	}
	if found == nil {
		return nil, fmt.Errorf("%w: %.70q", ErrUnknown, name)
	}
	return found, nil
}

// Who names the principal of a key; the key itself where nobody here has it.
func (r *Record) Who(keyID string) string {
	if p, ok := r.Facts.Authority.ByKey(keyID); ok {
		return p.Name
	}
	return keyID
}

// By returns the principal of a key; the zero one where nobody here has it.
func (r *Record) By(keyID string) capability.Principal {
	if p, ok := r.Facts.Authority.ByKey(keyID); ok {
		return *p
	}
	return capability.Principal{Name: keyID}
}

// Resumption finds the statement whose entry is a commit.
func (r *Record) Resumption(id envelope.Digest, commit oid.ID) (handoff.Taken, bool) {
	for _, h := range r.List {
		if h.ID != id {
			continue
		}
		for _, t := range h.Taken {
			if t.Commit == commit {
				return t, true
			}
		}
	}
	return handoff.Taken{}, false
}

// Held says who has a handoff, by a claim's commit where there is one (zero: none), else by what is recorded; nil where it is open.
func (r *Record) Held(h *handoff.Handoff, claim oid.ID) *AlreadyResumedError {
	if t, ok := r.Resumption(h.ID, claim); !claim.IsZero() && (!ok || !t.Over()) {
		return &AlreadyResumedError{ID: h.ID, By: t, Who: r.Who(t.KeyID)}
	}
	if t := h.By(); t != nil {
		return &AlreadyResumedError{ID: h.ID, By: *t, Who: r.Who(t.KeyID)}
	}
	return nil
}

// Verified is a handoff whose objects are those that were signed.
type Verified struct {
	*handoff.Handoff
	Contents []Content
	baseTree oid.ID
}

// Verify holds the objects of a handoff that is here to what was signed: all there, nothing else, no path that leads elsewhere,
// and nothing that git-fsck refuses. most bounds the bytes that are read. Errors: ErrMissing, ErrMismatch, ErrUnsafe, ErrTooLarge,
// git.ErrUnsound.
func Verify(ctx context.Context, s *git.Session, h *handoff.Handoff, most int64) (*Verified, error) {
	at, err := s.Tips(Ref(h.ID))
	if err != nil {
		return nil, err
	}
	for _, ref := range at {
		if ref.Name == Ref(h.ID) && ref.ID != h.Commit {
			return nil, fmt.Errorf("%w: %s is at %s, and %s was signed", ErrMismatch, ref.Name, ref.ID.Short(), h.Commit.Short())
		}
	}
	v, err := Check(s, h, most)
	if err != nil {
		return nil, err
	}
	return v, sound(ctx, s, &h.Creation)
}

// sound reports whether git-fsck refuses nothing that base does not reach. The error wraps git.ErrUnsound.
func sound(ctx context.Context, s *git.Session, c *handoff.Creation) error {
	q, err := s.Repo().Quarantine(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = q.Remove() }() // what stays is swept by the next one
	var except []oid.ID
	if !c.Base.IsZero() {
		except = append(except, c.Base)
	}
	return q.Sound(ctx, []oid.ID{c.Commit}, except)
}

// Check is Verify of objects that may be in a quarantine, without git-fsck, and whatever the ref says.
func Check(s *git.Session, h *handoff.Handoff, most int64) (*Verified, error) {
	got, base, err := check(s, &h.Creation, most)
	if err != nil {
		return nil, err
	}
	return &Verified{h, got.list, base}, nil
}
