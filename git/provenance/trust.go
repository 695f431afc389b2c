package provenance

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
)

// Where other versions of the trust root stand.
const (
	StagedPrefix = "refs/covenant/trust/staged/" // <n>: a version n that still collects signatures
	FormerPrefix = "refs/covenant/trust/former/" // <12 hexadecimal digits>: the root of a repository this one replaced
	RemotePrefix = "refs/covenant-remote/"       // <remote>/…: what was fetched and not adopted yet
)

// Codes of findings about the trust root that need the clock, or the refs of remotes.
const (
	RootExpired verdict.Code = "root.expired"
	RootExpires verdict.Code = "root.expires-soon"
	RootFork    verdict.Code = "root.fork"
)

// ExpiryWarning is how long before it expires a root is warned of.
const ExpiryWarning = 90 * 24 * time.Hour

// Refusals of changes to the trust root.
var (
	// ErrRootMoved says that another version came into force meanwhile: look at it, and decide anew.
	ErrRootMoved = errors.New("another version of the trust root came into force meanwhile")
	// ErrStaged says that another draft of the same version collects signatures; the error is a [*StagedError].
	ErrStaged = errors.New("another draft of this version is staged")
	// ErrNoDraft says that there is nothing to sign.
	ErrNoDraft = errors.New("no draft of the next version is staged")
)

// A StagedError names the draft that is in the way. It wraps ErrStaged.
type StagedError struct{ Staged Staged }

func (e *StagedError) Error() string {
	return fmt.Sprintf("%v: version %d, %s", ErrStaged, e.Staged.Version, e.Staged.ID)
}

// Unwrap returns ErrStaged.
func (e *StagedError) Unwrap() error { return ErrStaged }

// ExpiryFinding tells of a root that has expired, or will within [ExpiryWarning]; false when all is well.
func ExpiryFinding(r *Root, now time.Time) (verdict.Finding, bool) {
	at, ok := r.Expiry()
	f := verdict.Finding{Object: string(r.Digest), Hint: "covenant trust set --expires 365d"}
	switch {
	case !ok:
		return f, false
	case r.Expired(now) != nil:
		f.Code, f.Message = RootExpired, r.Expired(now).Error()
		return f, true
	case at.Sub(now) <= ExpiryWarning:
		f.Code, f.Message = RootExpires, fmt.Sprintf("the trust root expires in %d days, at %s", int(at.Sub(now).Hours()/24), r.Expires)
		return f, true
	}
	return f, false
}

// RejectedKey is the configuration variable that names, apart by spaces, versions of the root which have enough
// signatures and which somebody decided against here: see [Rivals].
const RejectedKey = "covenant.rejected"

// Rivals looks for another valid successor, of whichever version, among the roots fetched from remotes. The
// error is a *trust.ForkError: nothing may be relied on until somebody decides for one of the two, which is
// written down under [RejectedKey]. Roots that are behind, ahead or invalid are no rivals.
func Rivals(s *git.Session, r *Root) error {
	if !fetchedRoots(s.Repo()) {
		return nil
	}
	refs, err := s.Tips(RootRef, RemotePrefix)
	if err != nil {
		return err
	}
	return rivals(s, r, refs)
}

// rejected returns the versions that somebody decided against here.
func rejected(s *git.Session) []string {
	return strings.Fields(strings.Join(s.Repo().Config().All(RejectedKey), " "))
}

func rivals(s *git.Session, r *Root, refs []git.Ref) error {
	against := rejected(s)
	for ref, fork := range forks(s, r, refs) {
		if !slices.Contains(against, string(fork.B.ID)) {
			return fmt.Errorf("%s: %w", ref, fork)
		}
	}
	return nil
}

// Against returns the versions that whoever decides for one of ours, or what follows it, decides against.
func Against(s *git.Session, r *Root, target envelope.Digest) ([]envelope.Digest, error) {
	refs, err := s.Tips(RootRef, RemotePrefix)
	if err != nil {
		return nil, err
	}
	var out []envelope.Digest
	for _, fork := range forks(s, r, refs) {
		at := slices.IndexFunc(r.Versions, func(v *trust.Version) bool { return v.ID == target })
		if at >= 0 && r.Versions[at].Version >= fork.A.Version && !slices.Contains(out, fork.B.ID) {
			out = append(out, fork.B.ID)
		}
	}
	return out, nil
}

// forks returns, by the ref of the other one, where roots of remotes go another way than ours. A of each is ours.
func forks(s *git.Session, r *Root, refs []git.Ref) iter.Seq2[string, *trust.ForkError] {
	return func(yield func(string, *trust.ForkError) bool) {
		i := slices.IndexFunc(refs, func(ref git.Ref) bool { return ref.Name == RootRef })
		here, whole := r.Versions, false
		for _, ref := range refs {
			if _, there, ok := cutRemote(ref.Name); !ok || there != RootRef || i >= 0 && ref.ID == refs[i].ID {
				continue
			}
			if !whole {
				whole = true
				if all, err := OpenHistory(s, r.pin); err == nil && len(all.Versions) > len(here) {
					here = all.Versions
				}
			}
			var fork *trust.ForkError
			if _, err := Beyond(s, ref.Name, here); errors.As(err, &fork) && !yield(ref.Name, fork) {
				return
			}
		}
	}
}

// Beyond opens the chain at a ref from the newest of the versions here that it holds on: it is the same as ours, or
// behind, where it has one version, ahead where it has more. The error is a *trust.ForkError where it goes another
// way, that of [OpenRootAt] where it holds none of them, or does not verify.
func Beyond(s *git.Session, ref string, here []*trust.Version) (*Root, error) {
	list, err := versionsAt(s, ref, here[0].ID, false)
	if err != nil {
		return nil, err
	}
	for i := len(here) - 1; i >= 0; i-- {
		if !slices.ContainsFunc(list, func(e *envelope.Envelope) bool { return e.ID() == here[i].ID }) {
			continue
		}
		other, err := OpenRootAt(s, ref, here[i].ID)
		if err == nil && i < len(here)-1 && len(other.Versions) > 1 {
			return nil, &trust.ForkError{A: here[i+1], B: other.Versions[1]}
		}
		return other, err
	}
	return OpenRootAt(s, ref, here[len(here)-1].ID)
}

// cutRemote splits the name of a fetched ref into the remote's name and the name it has there. The
// remote's name may itself have slashes.
func cutRemote(name string) (remote, there string, ok bool) {
	rest, ok := strings.CutPrefix(name, RemotePrefix)
	if !ok {
		return "", "", false
	}
	i := strings.Index(rest, "/trust/")
	if i <= 0 {
		return "", "", false
	}
	return rest[:i], "refs/covenant" + rest[i:], true
}

// Staged is a draft that was found, in this clone or as fetched from a remote.
type Staged struct {
	Version int // as the refs say
	ID      envelope.Digest
	Draft   *trust.Draft // nil when Err is not
	Err     error        // why it can't be signed
	Refs    []string     // where it stands, sorted

	commits []oid.ID
	found   []*envelope.Envelope
}

// Drafts returns the drafts of later versions than the one in force: those of this
// clone and those fetched from remotes, the signatures of one payload together.
// They are sorted by version, then identity.
func Drafts(s *git.Session, r *Root) ([]Staged, error) {
	refs, err := s.Refs(strings.TrimSuffix(StagedPrefix, "/"), strings.TrimSuffix(RemotePrefix, "/"))
	if err != nil {
		return nil, err
	}
	return drafts(s, r.Current(), refs), nil
}

func drafts(s *git.Session, prev *trust.Version, refs []git.Ref) []Staged {
	var out []Staged
	for _, ref := range refs {
		n, ok := stagedNumber(ref.Name)
		if !ok || n <= prev.Version {
			continue
		}
		e, err := readRoot(s, ref.ID.String())
		if err != nil {
			out = append(out, Staged{Version: n, Err: fmt.Errorf("it can't be read: %w", err), Refs: []string{ref.Name}, commits: []oid.ID{ref.ID}})
			continue
		}
		i := slices.IndexFunc(out, func(d Staged) bool { return d.Version == n && d.ID == e.ID() })
		if i < 0 {
			i, out = len(out), append(out, Staged{Version: n, ID: e.ID()})
		}
		out[i].Refs, out[i].found = append(out[i].Refs, ref.Name), append(out[i].found, e)
		if !slices.Contains(out[i].commits, ref.ID) {
			out[i].commits = append(out[i].commits, ref.ID)
		}
	}
	for i := range out {
		d := &out[i]
		if d.Err != nil {
			continue
		}
		if d.Draft, d.Err = trust.OpenDraft(prev, d.found...); d.Err == nil && d.Draft.Version != d.Version {
			d.Draft, d.Err = nil, fmt.Errorf("%w: it is version %d", trust.ErrNumber, d.Draft.Version)
		}
	}
	slices.SortFunc(out, func(a, b Staged) int {
		if a.Version != b.Version {
			return a.Version - b.Version
		}
		return strings.Compare(string(a.ID), string(b.ID))
	})
	return out
}

// CheckStaged reports why a commit is no draft of a later version for a ref under [StagedPrefix].
func CheckStaged(s *git.Session, r *Root, ref string, id oid.ID) error {
	n, ok := stagedNumber(ref)
	if !ok || !strings.HasPrefix(ref, StagedPrefix) {
		return fmt.Errorf("%w: %q is no name for a draft", trust.ErrNumber, ref)
	}
	list := drafts(s, r.Current(), []git.Ref{{Name: ref, ID: id}})
	if len(list) == 0 {
		return fmt.Errorf("%w: version %d is in force, so version %d can't be staged", trust.ErrNumber, r.Version, n)
	}
	return list[0].Err
}

// stagedNumber reads the number of a staged ref, ours or a remote's.
func stagedNumber(name string) (int, bool) {
	if _, there, ok := cutRemote(name); ok {
		name = there
	}
	text, ok := strings.CutPrefix(name, StagedPrefix)
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(text)
	return n, err == nil && n > 0 && strconv.Itoa(n) == text
}

// Outcome is what became of a draft.
type Outcome struct {
	Draft   *trust.Draft
	Adopted bool  // it is in force
	Root    *Root // in force now
	Ref     string
}

// Propose signs a document that may follow the version in force, and puts it where
// it belongs: in force when enough operators signed, else staged. A draft of the same
// payload that is staged already gets the signatures; another one is a *StagedError.
// What a key signed that the document removes is looked up, and the document put, in one step: no
// other process of this clone writes in between.
func Propose(ctx context.Context, s *git.Session, r *Root, next *trust.Root, now time.Time, by ...identity.Signer) (*Outcome, error) {
	gone, worse := removed(r.Root, next), tainted(r.Root, next)
	return putDraft(ctx, s, r, now, func() (*trust.Draft, []git.RefUpdate, error) {
		if err := checkTaken(ctx, s, r, next); err != nil {
			return nil, nil, err
		}
		seen, err := lookBack(ctx, s, r, next, gone, worse)
		if err != nil {
			return nil, nil, err
		}
		d, err := trust.NewDraft(r.Current(), next, by...)
		return d, seen, err
	})
}

// Try reports why [Propose] would refuse, as far as that can be told before, and puts nothing anywhere.
func Try(ctx context.Context, s *git.Session, r *Root, next *trust.Root, by ...identity.Signer) error {
	if err := checkTaken(ctx, s, r, next); err != nil {
		return err
	}
	_, err := trust.NewDraft(r.Current(), next, by...)
	return err
}

// Countersign adds signatures to a draft that Drafts returned, and puts it where it belongs.
func Countersign(ctx context.Context, s *git.Session, r *Root, staged Staged, now time.Time, by ...identity.Signer) (*Outcome, error) {
	if staged.Err != nil {
		return nil, staged.Err
	}
	return putDraft(ctx, s, r, now, func() (*trust.Draft, []git.RefUpdate, error) {
		if err := checkSeen(ctx, s, r, staged.Draft.Root); err != nil {
			return nil, nil, err
		}
		if err := checkTaken(ctx, s, r, staged.Draft.Root); err != nil {
			return nil, nil, err
		}
		d, err := staged.Draft.Sign(r.Current(), by...)
		return d, nil, err
	})
}

// putDraft joins the draft with all signatures of its payload that are here, and puts
// it in force or stages it. Refs move together, or none does, and only while those that the draft
// was made of are where they were. It holds the repository's lock, and makes the draft again when refs move all the same.
func putDraft(ctx context.Context, s *git.Session, r *Root, now time.Time, draft func() (*trust.Draft, []git.RefUpdate, error)) (*Outcome, error) {
	unlock, err := s.Repo().Lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	var out *Outcome
	err = git.Retry(ctx, func() error {
		refs, err := s.Refs(RootRef, strings.TrimSuffix(StagedPrefix, "/"), strings.TrimSuffix(RemotePrefix, "/"))
		if err != nil {
			return err
		}
		if err := rivals(s, r, refs); err != nil {
			return err
		}
		tip, err := tipOf(s, r, refs)
		if err != nil {
			return err
		}
		d, seen, err := draft()
		if err != nil {
			return err
		}
		out, err = putDraftOn(s, r, d, tip, refs, seen, now)
		return err
	})
	return out, err
}

// tipOf returns the commit of the version in force.
func tipOf(s *git.Session, r *Root, refs []git.Ref) (oid.ID, error) {
	i := slices.IndexFunc(refs, func(x git.Ref) bool { return x.Name == RootRef })
	if i < 0 {
		return oid.ID{}, ErrRootMoved
	}
	if kind := refs[i].Kind; kind != "commit" { // nothing can follow it
		return oid.ID{}, &RootError{Err: fmt.Errorf("%w: the ref is a %s", ErrRootHistory, kind)}
	}
	e, err := readRoot(s, refs[i].ID.String())
	if err != nil {
		return oid.ID{}, err
	}
	if e.ID() != r.Digest {
		return oid.ID{}, fmt.Errorf("%w: %s", ErrRootMoved, e.ID())
	}
	return refs[i].ID, nil
}

func putDraftOn(s *git.Session, r *Root, d *trust.Draft, tip oid.ID, refs []git.Ref, seen []git.RefUpdate, now time.Time) (*Outcome, error) {
	local := StagedPrefix + strconv.Itoa(d.Version)
	parents := []oid.ID{tip}
	envelopes := []*envelope.Envelope{d.Envelope}
	for _, other := range drafts(s, r.Current(), refs) {
		switch {
		case other.Version != d.Version:
		case other.ID == d.ID && other.Err == nil:
			parents, envelopes = other.commits, append(envelopes, other.found...)
		case other.Err == nil && slices.Contains(other.Refs, local):
			return nil, &StagedError{other} // what nobody can sign is not in the way
		}
	}
	d, err := trust.OpenDraft(r.Current(), envelopes...)
	if err != nil {
		return nil, err
	}
	if d.Complete() {
		return adopt(s, r, d, tip, refs, seen, now)
	}
	out := &Outcome{Draft: d, Root: r, Ref: local}
	old := oid.ID{}
	for _, ref := range refs {
		if ref.Name == local {
			old = ref.ID
		}
	}
	if len(parents) == 1 && parents[0] == old { // nobody else has it: is there anything new?
		if e, err := readRoot(s, old.String()); err == nil && slices.Equal(e.KeyIDs(), d.Envelope.KeyIDs()) {
			return out, nil
		}
	}
	commit, err := putVersion(s, d.Envelope, d.Root, parents, strings.Join(d.Signed(), ", ")+" so far", now)
	if err != nil {
		return nil, err
	}
	return out, s.Update(fmt.Sprintf("covenant: trust root %d staged", d.Version), append(seen, git.RefUpdate{Name: local, New: commit, Old: old})...)
}

// adopt puts a complete draft in force, and takes away what was staged up to it.
func adopt(s *git.Session, r *Root, d *trust.Draft, tip oid.ID, refs []git.Ref, seen []git.RefUpdate, now time.Time) (*Outcome, error) {
	before, err := readRoot(s, tip.String())
	if err != nil {
		return nil, err
	}
	versions, err := trust.Chain([]*envelope.Envelope{before, d.Envelope}, r.Digest) // as every reader will
	if err != nil {
		return nil, err
	}
	commit, err := putVersion(s, d.Envelope, d.Root, []oid.ID{tip}, strings.Join(d.Signed(), ", "), now)
	if err != nil {
		return nil, err
	}
	updates := append(seen, git.RefUpdate{Name: RootRef, New: commit, Old: tip})
	for _, ref := range refs {
		if n, ok := stagedNumber(ref.Name); ok && n <= d.Version && strings.HasPrefix(ref.Name, StagedPrefix) {
			updates = append(updates, git.RefUpdate{Name: ref.Name, Old: ref.ID})
		}
	}
	if err := s.Update(fmt.Sprintf("covenant: trust root %d", d.Version), updates...); err != nil {
		return nil, err
	}
	v := versions[1]
	in := &Root{Root: v.Root, ID: r.ID, Digest: v.ID, Versions: append(slices.Clone(r.Versions), v), pin: r.pin}
	return &Outcome{Draft: d, Adopted: true, Root: in, Ref: RootRef}, nil
}

// Reroot replaces the repository's root by a new version 1 with one operator, when
// too few operators of the old one have their keys left to sign a next version.
// History up to the present tips is older than the new governance. The old chain is
// kept at a ref under [FormerPrefix]; statements of the old repository count for
// nothing any more. Other clones must pin the new root: nothing they have verifies it.
func Reroot(ctx context.Context, s *git.Session, old *Root, by Founder, now time.Time) (*Root, error) {
	unlock, err := s.Repo().Lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	var out *Root
	err = git.Retry(ctx, func() error {
		refs, err := s.Refs("refs/heads", "refs/remotes", "refs/tags", RootRef, strings.TrimSuffix(StagedPrefix, "/"), strings.TrimSuffix(FormerPrefix, "/"))
		if err != nil {
			return err
		}
		tip, err := tipOf(s, old, refs)
		if err != nil {
			return err
		}
		kept := FormerPrefix + old.ID.Short()
		var governed []git.Ref
		// The old chain is kept before anything else moves: a crash in between loses nothing.
		updates := []git.RefUpdate{{Name: kept, New: tip}, {}}
		for _, ref := range refs {
			switch {
			case ref.Name == kept:
				updates[0].Old = ref.ID
			case strings.HasPrefix(ref.Name, StagedPrefix):
				updates = append(updates, git.RefUpdate{Name: ref.Name, Old: ref.ID})
			case !strings.HasPrefix(ref.Name, "refs/covenant/"):
				governed = append(governed, ref)
			}
		}
		e, r, err := firstVersion(s, governed, by, now, append(slices.Clone(old.Succeeds), trust.Predecessor{Head: old.Digest, Repository: old.ID}))
		if err != nil {
			return err
		}
		commit, err := putVersion(s, e, r, nil, by.Name, now)
		if err != nil {
			return err
		}
		updates[1] = git.RefUpdate{Name: RootRef, New: commit, Old: tip}
		if updates[0].Old == tip {
			updates = updates[1:]
		}
		// A ledger belongs to one repository: were the replica forgotten later, a crash in between would go on in the old ones.
		if err := forgetReplica(s.Repo()); err != nil {
			return err
		}
		if err := s.Update("covenant: trust root 1 of a new repository", updates...); err != nil {
			return err
		}
		v := &trust.Version{Root: r, ID: e.ID(), Signers: r.Operators}
		out = &Root{Root: r, ID: v.ID, Digest: v.ID, Versions: []*trust.Version{v}, pin: v.ID}
		return nil
	})
	return out, err
}

// ForgetReplica makes this clone a new replica. A clone that turns to another
// repository's root must: a ledger belongs to one repository.
func ForgetReplica(ctx context.Context, r *git.Repo) error {
	unlock, err := r.Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return forgetReplica(r)
}

func forgetReplica(r *git.Repo) error {
	if err := os.Remove(filepath.Join(r.StateDir(), "replica")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("replica: %w", err)
	}
	return nil
}
