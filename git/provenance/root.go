// Package provenance gathers facts about a repository, seals commits and walks
// ranges. What the facts mean is decided elsewhere (envelope/verdict).
package provenance

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/notes"
	"github.com/open-covenant/covenant-git/git/oid"
)

// RootRef holds the chain of trust root versions; each is a commit whose tree has the envelope.
const RootRef = "refs/covenant/trust/root"

// PinKey is the configuration variable that pins the trust root.
const PinKey = "covenant.root"

// Errors of a repository's root.
var (
	ErrNotGoverned  = errors.New("this repository has no trust root")
	ErrNotPinned    = errors.New("the trust root of this repository is not pinned in this clone")
	ErrGoverned     = errors.New("this repository has a trust root already")
	ErrRootMismatch = errors.New("the trust root is not the pinned one")
	ErrRootMissing  = errors.New("the pinned trust root is not in this clone")
	ErrRootHistory  = errors.New("not all of the trust root is in this clone")
)

// A RootError says that a trust root is there and can't be trusted. It wraps
// ErrRootMismatch, or what is wrong with the document.
type RootError struct {
	Pinned envelope.Digest
	Found  envelope.Digest // "" when it could not even be parsed
	Err    error
}

func (e *RootError) Error() string {
	if e.Err == ErrRootMismatch { //nolint:errorlint // what wraps it says more
		return fmt.Sprintf("%v: pinned %s, found %s", e.Err, e.Pinned, e.Found)
	}
	return "trust root: " + e.Err.Error()
}

// Unwrap returns the reason.
func (e *RootError) Unwrap() error { return e.Err }

// Root is the trust root in force.
type Root struct {
	*trust.Root                  // the version in force
	ID          envelope.Digest  // identity of version 1: the repository's name, which every statement carries
	Digest      envelope.Digest  // identity of the version in force
	Versions    []*trust.Version // verified ones, oldest first: from the pinned one on. The last is in force

	pin envelope.Digest
}

// Current returns the version in force, as the next one must name it.
func (r *Root) Current() *trust.Version { return r.Versions[len(r.Versions)-1] }

// Pin returns the version the root was held to.
func (r *Root) Pin() envelope.Digest { return r.pin }

// Pin returns the digest this clone has pinned: explicit when it is not empty,
// else the configuration's. ErrNotPinned names the digest found in the
// repository, which proves nothing until it is compared with one got elsewhere.
func Pin(s *git.Session, explicit string) (envelope.Digest, error) {
	pin := explicit
	if pin == "" {
		pin, _ = s.Repo().Config().Get(PinKey)
	}
	if pin != "" {
		return envelope.ParseDigest(pin)
	}
	found, err := RootDigest(s)
	if err != nil {
		return "", err
	}
	return "", fmt.Errorf("%w: it is %s", ErrNotPinned, found)
}

// Later returns which of two versions of the trust root comes after the other, in a chain that is here and verifies from that one on; ok is false where none does.
func Later(s *git.Session, a, b envelope.Digest) (later envelope.Digest, ok bool) {
	for _, pair := range [][2]envelope.Digest{{a, b}, {b, a}} {
		r, err := OpenRoot(s, pair[0])
		if err == nil && slices.ContainsFunc(r.Versions, func(v *trust.Version) bool { return v.ID == pair[1] }) {
			return pair[1], true
		}
	}
	return "", false
}

// RootDigest returns the identity of the newest version that is in the repository, unverified.
func RootDigest(s *git.Session) (envelope.Digest, error) {
	e, err := readRoot(s, RootRef)
	if err != nil {
		return "", err
	}
	return e.ID(), nil
}

// Limits of one version's envelope, of all versions that are read at once, and of their number.
const (
	maxRootSize  = 16 << 20
	maxRootSizes = 256 << 20
	maxVersions  = 10_000
)

// readRoot reads the envelope at a ref or commit.
func readRoot(s *git.Session, at string) (*envelope.Envelope, error) {
	o, err := s.Object(at+":"+ledger.File, maxRootSize)
	if errors.Is(err, git.ErrMissing) {
		if c, cerr := s.Commit(at); cerr == nil { // a partial clone, or a damaged one
			return nil, fmt.Errorf("%w: the envelope of %s is missing", ErrRootHistory, c.ID.Short())
		}
		return nil, ErrNotGoverned
	}
	if err != nil {
		return nil, &RootError{Err: err}
	}
	e, err := ledger.ParseBlob(o.Data)
	if err != nil {
		return nil, &RootError{Err: err}
	}
	return e, nil
}

// OpenRoot reads the trust root and holds it to the pin, which may be any of its
// versions: it is verified from there on. Where the newest version is the pinned one
// this reads one object, else two for each version since.
//
// The error wraps ErrRootMissing, ErrRootHistory, or is a *RootError: with
// ErrRootMismatch when the pinned version is not there or another repository's
// stands on it, else with what is wrong. Whether the version has expired is for the
// caller to ask, and whether a remote has another successor for [Rivals].
func OpenRoot(s *git.Session, pin envelope.Digest) (*Root, error) {
	return openRoot(s, RootRef, pin, false)
}

// OpenRootAt is OpenRoot for the chain at another ref, such as one that was fetched.
func OpenRootAt(s *git.Session, ref string, pin envelope.Digest) (*Root, error) {
	return openRoot(s, ref, pin, false)
}

// OpenHistory is OpenRoot with all versions since the first. Those older than the
// pin are vouched for by it, and their signatures not looked at.
func OpenHistory(s *git.Session, pin envelope.Digest) (*Root, error) {
	return openRoot(s, RootRef, pin, true)
}

// OpenWhole is OpenRootAt with all versions since the first, which must be there.
func OpenWhole(s *git.Session, ref string, pin envelope.Digest) (*Root, error) {
	r, err := openRoot(s, ref, pin, true)
	if err != nil {
		return nil, err
	}
	if n := r.Versions[0].Version; n != 1 {
		return nil, fmt.Errorf("%w: it begins with version %d", ErrRootHistory, n)
	}
	return r, nil
}

func openRoot(s *git.Session, ref string, pin envelope.Digest, whole bool) (*Root, error) {
	list, err := chainAt(s, ref, pin, whole)
	if err != nil {
		return nil, err
	}
	return holdRoot(s.Repo(), list, pin)
}

// chainAt reads the versions at a ref since the pinned one, or since the first, oldest first; only the newest where that is pinned.
func chainAt(s *git.Session, ref string, pin envelope.Digest, whole bool) ([]*envelope.Envelope, error) {
	tip, err := readRoot(s, ref)
	if errors.Is(err, ErrNotGoverned) {
		return nil, fmt.Errorf("%w: %s", ErrRootMissing, pin)
	}
	if err != nil || tip.ID() == pin && !whole {
		return []*envelope.Envelope{tip}, err
	}
	return versionsAt(s, ref, pin, whole)
}

// holdRoot verifies versions, and holds them to the pin.
func holdRoot(r *git.Repo, list []*envelope.Envelope, pin envelope.Digest) (*Root, error) {
	tip := list[len(list)-1]
	refuse := func(err error) (*Root, error) { return nil, &RootError{Pinned: pin, Found: tip.ID(), Err: err} }
	versions, err := trust.Chain(list, pin)
	var step *trust.StepError
	switch {
	case errors.Is(err, trust.ErrPin):
		return refuse(ErrRootMismatch)
	case errors.As(err, &step) && step.After > 0 && (step.Version == 1 || errors.Is(err, trust.ErrIdentity)):
		return refuse(fmt.Errorf("%w: %w", ErrRootMismatch, err))
	case err != nil:
		return refuse(err)
	}
	v := versions[len(versions)-1]
	if v.Format != r.Format().String() {
		return refuse(fmt.Errorf("%w: it governs a %s repository", trust.ErrInvalid, v.Format))
	}
	return &Root{Root: v.Root, ID: v.Repository(), Digest: v.ID, Versions: versions, pin: pin}, nil
}

// versionsAt reads the chain at a ref back to the pinned version, or to the first, and returns it oldest first.
func versionsAt(s *git.Session, ref string, pin envelope.Digest, whole bool) ([]*envelope.Envelope, error) {
	var list []*envelope.Envelope
	size := 0
	for at := ref; ; {
		c, err := s.Commit(at)
		if err != nil {
			if len(list) > 0 && errors.Is(err, git.ErrMissing) {
				return nil, fmt.Errorf("%w: it lacks %s, before %s", ErrRootHistory, at, list[len(list)-1].ID().Short())
			}
			return nil, &RootError{Pinned: pin, Err: err}
		}
		o, err := s.Object(c.ID.String()+":"+ledger.File, maxRootSize)
		if errors.Is(err, git.ErrMissing) {
			return nil, fmt.Errorf("%w: the envelope of %s is missing", ErrRootHistory, c.ID.Short())
		}
		if err != nil {
			return nil, &RootError{Pinned: pin, Err: err}
		}
		e, err := ledger.ParseBlob(o.Data)
		if err != nil {
			return nil, &RootError{Pinned: pin, Err: err}
		}
		list = append(list, e)
		if size += len(o.Data); size > maxRootSizes || len(list) > maxVersions {
			return nil, &RootError{Pinned: pin, Found: list[0].ID(), Err: fmt.Errorf("%w: more than %d versions or %d bytes since the pinned one", trust.ErrInvalid, maxVersions, maxRootSizes)}
		}
		if (e.ID() == pin && !whole) || len(c.Parents) == 0 {
			break
		}
		if len(c.Parents) > 1 {
			return nil, &RootError{Pinned: pin, Found: list[0].ID(), Err: fmt.Errorf("%w: version %s follows more than one", trust.ErrInvalid, e.ID().Short())}
		}
		at = c.Parents[0].String()
	}
	slices.Reverse(list)
	return list, nil
}

// Founder is who signs version 1.
type Founder struct {
	Name    string
	Emails  []string
	Signer  identity.Signer
	Expires string // RFC 3339; "": never
}

// Found writes version 1 of the trust root with one operator. All branches that
// exist now, local and remote-tracking, are governed from their present tips on.
func Found(_ context.Context, s *git.Session, by Founder, now time.Time) (*Root, error) {
	refs, err := s.Refs("refs/heads", "refs/remotes", "refs/tags", RootRef)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(refs, func(r git.Ref) bool { return r.Name == RootRef }) {
		return nil, ErrGoverned
	}
	e, r, err := firstVersion(s, refs, by, now, nil)
	if err != nil {
		return nil, err
	}
	commit, err := putVersion(s, e, r, nil, by.Name, now)
	if err != nil {
		return nil, err
	}
	if err := s.Update("covenant: trust root 1", git.RefUpdate{Name: RootRef, New: commit, Old: oid.ID{}}); err != nil {
		return nil, err
	}
	v := &trust.Version{Root: r, ID: e.ID(), Signers: r.Operators}
	return &Root{Root: r, ID: v.ID, Digest: v.ID, Versions: []*trust.Version{v}, pin: v.ID}, nil
}

// firstVersion makes and signs version 1: the refs are governed from where they point on.
func firstVersion(s *git.Session, refs []git.Ref, by Founder, now time.Time, succeeds []trust.Predecessor) (*envelope.Envelope, *trust.Root, error) {
	var nonce [16]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return nil, nil, fmt.Errorf("nonce: %w", err)
	}
	r := &trust.Root{
		Type: trust.Type, Version: 1, Created: envelope.Timestamp(now), Expires: by.Expires, Format: s.Repo().Format().String(),
		Nonce: hex.EncodeToString(nonce[:]), Threshold: 1, Operators: []string{by.Name}, Succeeds: succeeds,
		Persons: []trust.Person{{Name: by.Name, Kind: trust.Human, Emails: sorted(by.Emails), Keys: []string{by.Signer.Public().String()}}},
	}
	for _, ref := range refs {
		if ref.Name == RootRef || (strings.HasPrefix(ref.Name, "refs/remotes/") && strings.HasSuffix(ref.Name, "/HEAD")) {
			continue
		}
		id := ref.ID
		if ref.Kind != "commit" {
			c, err := s.Commit(ref.ID.String() + "^{commit}")
			if err != nil {
				continue // a tag of a tree or a blob governs nothing
			}
			id = c.ID
		}
		r.Governed = append(r.Governed, trust.Since{Ref: ref.Name, Commit: id})
	}
	if head, err := s.Commit("HEAD^{commit}"); err == nil && !slices.ContainsFunc(r.Governed, func(x trust.Since) bool { return x.Commit == head.ID }) {
		r.Governed = append(r.Governed, trust.Since{Ref: "HEAD", Commit: head.ID}) // detached
	}
	slices.SortFunc(r.Governed, func(a, b trust.Since) int { return strings.Compare(a.Ref, b.Ref) })
	e, err := r.Seal(envelope.SealWith{KeyID: by.Signer.Public().ID(), Signer: by.Signer})
	return e, r, err
}

// putVersion queues the commit of a version, complete or not.
func putVersion(s *git.Session, e *envelope.Envelope, r *trust.Root, parents []oid.ID, by string, now time.Time) (oid.ID, error) {
	b, err := ledger.Blob(e)
	if err != nil {
		return oid.ID{}, err
	}
	tree, err := git.EncodeTree([]git.TreeEntry{{Mode: 0o100644, Name: ledger.File, ID: s.Put("blob", b)}})
	if err != nil {
		return oid.ID{}, err
	}
	who := git.Ident{Name: by, Email: "trust@covenant", When: now}
	return s.Put("commit", git.EncodeCommit(s.Put("tree", tree), parents, who, who, fmt.Sprintf("trust.root %d by %s\n", r.Version, by))), nil
}

func sorted(list []string) []string {
	out := slices.Clone(list)
	slices.Sort(out)
	return slices.Compact(out)
}

// prefixes are the refs one of our transactions looks at, and what authority depends on besides.
var prefixes = []string{ledger.Prefix, notes.Ref, ForkPrefix, RootRef}
