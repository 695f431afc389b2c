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
)

// A RootError says that a trust root is there and can't be trusted. It wraps
// ErrRootMismatch, or what is wrong with the document.
type RootError struct {
	Pinned envelope.Digest
	Found  envelope.Digest // "" when it could not even be parsed
	Err    error
}

func (e *RootError) Error() string {
	if errors.Is(e.Err, ErrRootMismatch) {
		return fmt.Sprintf("%v: pinned %s, found %s", e.Err, e.Pinned, e.Found)
	}
	return "trust root: " + e.Err.Error()
}

// Unwrap returns the reason.
func (e *RootError) Unwrap() error { return e.Err }

// Root is the trust root in force, and its identity: the repository's name.
type Root struct {
	*trust.Root
	ID envelope.Digest
}

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

// RootDigest returns the identity of the root that is in the repository, unverified.
func RootDigest(s *git.Session) (envelope.Digest, error) {
	e, err := readRoot(s)
	if err != nil {
		return "", err
	}
	return e.ID(), nil
}

func readRoot(s *git.Session) (*envelope.Envelope, error) {
	o, err := s.Object(RootRef+":"+ledger.File, 16<<20)
	if errors.Is(err, git.ErrMissing) {
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

// OpenRoot reads the trust root and holds it to the pin.
func OpenRoot(s *git.Session, pin envelope.Digest) (*Root, error) {
	e, err := readRoot(s)
	if errors.Is(err, ErrNotGoverned) {
		return nil, fmt.Errorf("%w: %s", ErrRootMissing, pin)
	}
	if err != nil {
		return nil, err
	}
	if e.ID() != pin {
		return nil, &RootError{Pinned: pin, Found: e.ID(), Err: ErrRootMismatch}
	}
	r, err := trust.Open(e, pin)
	if err != nil {
		return nil, &RootError{Pinned: pin, Found: e.ID(), Err: err}
	}
	if r.Format != s.Repo().Format().String() {
		return nil, &RootError{Pinned: pin, Found: e.ID(), Err: fmt.Errorf("%w: it governs a %s repository", trust.ErrInvalid, r.Format)}
	}
	return &Root{r, pin}, nil
}

// Founder is who signs version 1.
type Founder struct {
	Name   string
	Emails []string
	Signer identity.Signer
}

// Found writes version 1 of the trust root with one operator. All branches that
// exist now, local and remote-tracking, are governed from their present tips on.
func Found(_ context.Context, s *git.Session, by Founder, now time.Time) (*Root, error) {
	refs, err := s.Refs("refs/heads", "refs/remotes", "refs/tags", RootRef)
	if err != nil {
		return nil, err
	}
	var nonce [16]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return nil, fmt.Errorf("nonce: %w", err)
	}
	r := &trust.Root{
		Type: trust.Type, Version: 1, Created: envelope.Timestamp(now), Format: s.Repo().Format().String(),
		Nonce: hex.EncodeToString(nonce[:]), Threshold: 1, Operators: []string{by.Name},
		Persons: []trust.Person{{Name: by.Name, Kind: trust.Human, Emails: sorted(by.Emails), Keys: []string{by.Signer.Public().String()}}},
	}
	for _, ref := range refs {
		if ref.Name == RootRef {
			return nil, ErrGoverned
		}
		if strings.HasPrefix(ref.Name, "refs/remotes/") && strings.HasSuffix(ref.Name, "/HEAD") {
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
	if err != nil {
		return nil, err
	}
	b, err := ledger.Blob(e)
	if err != nil {
		return nil, err
	}
	tree, err := git.EncodeTree([]git.TreeEntry{{Mode: 0o100644, Name: ledger.File, ID: s.Put("blob", b)}})
	if err != nil {
		return nil, err
	}
	who := git.Ident{Name: by.Name, Email: "trust@covenant", When: now}
	commit := s.Put("commit", git.EncodeCommit(s.Put("tree", tree), nil, who, who, "trust.root 1 by "+by.Name+"\n"))
	if err := s.Flush(); err != nil {
		return nil, err
	}
	if err := s.Update("covenant: trust root 1", git.RefUpdate{Name: RootRef, New: commit, Old: oid.ID{}}); err != nil {
		return nil, err
	}
	return &Root{r, e.ID()}, nil
}

func sorted(list []string) []string {
	out := slices.Clone(list)
	slices.Sort(out)
	return slices.Compact(out)
}

// prefixes are the refs one of our transactions looks at.
var prefixes = []string{ledger.Prefix, notes.Ref}
