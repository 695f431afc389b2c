package provenance

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
)

// ErrUnverified says that a ref can't be admitted: not all that it would bring verifies on it.
var ErrUnverified = errors.New("not every commit verifies")

// An UnverifiedError names the commits that do not. It wraps ErrUnverified.
type UnverifiedError struct {
	Ref     string
	Results []verdict.Result // the first of them, with their findings
	Failed  int              // how many there are
}

func (e *UnverifiedError) Error() string {
	if len(e.Results) == 0 {
		return fmt.Sprintf("%v on %s", ErrUnverified, e.Ref)
	}
	r := e.Results[0]
	why := string(r.Verdict)
	if len(r.Findings) > 0 {
		why = fmt.Sprintf("%s: %s", r.Findings[0].Code, r.Findings[0].Message)
	}
	more := ""
	if e.Failed > 1 {
		more = fmt.Sprintf("; %d more do not either", e.Failed-1)
	}
	return fmt.Sprintf("%v on %s: commit %s: %s%s", ErrUnverified, e.Ref, r.Commit.Short(), why, more)
}

// Unwrap returns ErrUnverified.
func (e *UnverifiedError) Unwrap() error { return ErrUnverified }

// A CondemnedError says that nothing here can be relied on, whatever the verdicts of commits are. It wraps ErrUnverified.
type CondemnedError struct{ Problem verdict.Finding }

func (e *CondemnedError) Error() string {
	return fmt.Sprintf("%s: %s: %s", e.Problem.Code, e.Problem.Object, e.Problem.Message)
}

// Unwrap returns ErrUnverified.
func (e *CondemnedError) Unwrap() error { return ErrUnverified }

// Condemned returns a *CondemnedError where what is wrong with the repository leaves nothing to rely on.
func (r *Report) Condemned() error { return condemned(r.Problems) }

// Condemned is [Report.Condemned], of what was loaded.
func (f *Facts) Condemned() error { return condemned(f.Problems) }

func condemned(problems []verdict.Finding) error {
	if i := slices.IndexFunc(problems, func(p verdict.Finding) bool { return p.Code.Condemns() }); i >= 0 {
		return &CondemnedError{problems[i]}
	}
	return nil
}

// maxUnverified bounds the results an UnverifiedError carries.
const maxUnverified = 16

// Verified judges a span whose ref under review is named, and returns nil when every commit
// of it passes, or there is none; else an *UnverifiedError, or a *CondemnedError.
func Verified(ctx context.Context, s *git.Session, sp Span, o Options) error {
	_, err := verified(ctx, s, sp, o, func(git.Commit, *verdict.Result) {})
	if errors.Is(err, ErrEmptyRange) {
		return nil
	}
	return err
}

// verified is Verified, and shows each commit; an empty range is an error.
func verified(ctx context.Context, s *git.Session, sp Span, o Options, show func(git.Commit, *verdict.Result)) (*Facts, error) {
	rep, err := Verify(ctx, s, sp, o)
	if err != nil {
		return nil, err
	}
	if err := rep.Condemned(); err != nil {
		return nil, err
	}
	bad := &UnverifiedError{Ref: sp.Ref}
	i := 0
	for r, err := range rep.Results {
		if err != nil {
			return nil, err
		}
		show(rep.Commits[i], &r)
		if i++; r.Verdict.OK() {
			continue
		}
		if bad.Failed++; len(bad.Results) < maxUnverified {
			bad.Results = append(bad.Results, r)
		}
	}
	if bad.Failed > 0 {
		return nil, bad
	}
	return rep.Facts, nil
}

// Forward reports whether a commit has another among its ancestors. A commit that is not here is nobody's.
func Forward(ctx context.Context, s *git.Session, from, to oid.ID) (bool, error) {
	if _, err := s.Commit(from.String() + "^{commit}"); errors.Is(err, git.ErrMissing) {
		return false, nil
	}
	_, err := s.Repo().Run(ctx, nil, "merge-base", "--is-ancestor", from.String(), to.String())
	var failed *git.CommandError
	if errors.As(err, &failed) && failed.Code == 1 {
		return false, nil
	}
	return err == nil, err
}

// Admit records that a ref moved, or may move, from old to new; a zero one says
// that there was no ref, or will be none. It is refused with a *DeniedError, which is
// recorded, when the hand may not: repo.push to go forward, repo.rewind to go
// anywhere else, repo.ref to make or delete it, repo.tag for tags. It is refused with an
// *UnverifiedError when not every commit that new has and old has not verifies on this ref.
func (k *Sealer) Admit(ctx context.Context, ref string, old, new oid.ID) (envelope.Digest, error) {
	f, err := Load(ctx, k.Session, k.Root.Pin())
	if err != nil {
		return "", err
	}
	return k.admit(ctx, f, ref, old, new)
}

// AdmitHead admits that a ref is where it is: one admission from each end of its
// line, so that a line that forked is one again. It returns none when the line leads there already.
func (k *Sealer) AdmitHead(ctx context.Context, f *Facts, h Head) ([]envelope.Digest, error) {
	state := f.RefState(h, k.Now(), k.Asker)
	ends := state.Ends
	if len(f.Line(h.Ref).Steps) == 0 || len(ends) == 0 {
		if ends = f.since(h.Ref); len(ends) == 0 {
			ends = []oid.ID{{}}
		}
		ends = ends[:1]
		if ends[0] == h.Commit && !h.Commit.IsZero() {
			return nil, nil // it never moved
		}
	}
	var made []envelope.Digest
	for _, end := range ends {
		if end == h.ID || end.IsZero() && h.ID.IsZero() {
			continue
		}
		id, err := k.admit(ctx, f, h.Ref, end, h.ID)
		if err != nil {
			return made, err
		}
		made = append(made, id)
	}
	return made, nil
}

// ErrGap says that an admission would follow nothing.
var ErrGap = errors.New("no admission leads there")

// MayFollow reports why an admission of a ref from a place would leave a gap: no admission leads there, and the line does not begin there.
func (f *Facts) MayFollow(h Head, from oid.ID) error {
	places := append(f.since(h.Ref), oid.ID{})
	for _, step := range f.Line(h.Ref).Steps {
		places = append(places, step.New)
	}
	for _, place := range places {
		if place == from || place.IsZero() && from.IsZero() {
			return nil
		}
	}
	return fmt.Errorf("%w: %s at %s", ErrGap, h.Ref, from.Short())
}

func (k *Sealer) admit(ctx context.Context, f *Facts, ref string, old, new oid.ID) (envelope.Digest, error) {
	if old.IsZero() {
		old = oid.ID{}
	}
	if new.IsZero() {
		new = oid.ID{}
	}
	if old == new {
		return "", fmt.Errorf("%s is at %s already", ref, new.Short())
	}
	if !strings.HasPrefix(ref, "refs/") {
		return "", fmt.Errorf("%w: %q is no full name of a ref", ErrRevision, ref)
	}
	sp := Span{Ref: ref}
	var tip git.Commit
	if !new.IsZero() {
		o, err := k.Session.Object(new.String(), 1<<40)
		if err != nil {
			return "", fmt.Errorf("%w: %s: %w", ErrRevision, new.Short(), err)
		}
		if tip, err = k.Session.Commit(new.String() + "^{commit}"); err == nil {
			sp.Tips = []oid.ID{tip.ID}
		} else if o.Kind == "commit" || !strings.HasPrefix(ref, "refs/tags/") {
			return "", fmt.Errorf("%w: %s: %w", ErrRevision, new.Short(), err)
		}
	}
	forward := false
	if !old.IsZero() && !new.IsZero() {
		var err error
		if forward, err = Forward(ctx, k.Session, old, new); err != nil {
			return "", err
		}
		if c, err := k.Session.Commit(old.String() + "^{commit}"); err == nil {
			sp.Except = []oid.ID{c.ID}
		}
	} else if new.IsZero() {
		tip, _ = k.Session.Commit(old.String() + "^{commit}")
	}
	action := admits(ref, old, new, forward)
	if d := k.Ask(capability.Query{Action: action, Ref: ref}); !d.Allowed {
		return "", k.Deny(ctx, action, ref, git.Commit{Tree: tip.Tree}, d)
	}
	if len(sp.Tips) > 0 {
		o := Options{Pin: k.Root.Pin(), Now: k.Now(), Facts: f}
		if k.Asker != nil {
			o.Asker = func(*Root, *capability.Authority) verdict.Asker { return k.Asker }
		}
		if err := Verified(ctx, k.Session, sp, o); err != nil {
			return "", err
		}
	}
	body := prov.Admission{New: new, Old: old, Ref: ref, Root: f.Root.Digest, Tips: f.TipsDigest()}
	made, err := k.Record(ctx, prov.Topic, Item{Type: prov.Admitted, Body: body, Subject: fmt.Sprintf("ref.admitted %s %s", ref, short(new))})
	if err != nil {
		return "", err
	}
	return made[0].ID, nil
}

func short(id oid.ID) string {
	if id.IsZero() {
		return "deleted"
	}
	return id.Short()
}

// TipsDigest sums up all ledger heads that are known: SHA-256 over a line
// "<ledger> <seq> <id>" for each, sorted.
func (f *Facts) TipsDigest() envelope.Digest {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(f.Chains)) {
		c := f.Chains[name]
		for i := len(c.Entries) - 1; i >= 0; i-- {
			if e := c.Entries[i]; c.Whole(i) && e.ID != "" {
				fmt.Fprintf(h, "%s %d %s\n", name, e.Header.Seq, e.ID)
				break
			}
		}
	}
	return envelope.Digest("sha256:" + hex.EncodeToString(h.Sum(nil)))
}
