package handoff

import (
	"context"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"unicode"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/handoff"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// Prefixes of refs.
const (
	// Prefix is where the objects of handoffs are kept, each under the 64 digits of its statement's identity.
	Prefix = "refs/covenant/handoff/"
	// ClaimPrefix is where it stands who took one up: the ledger's entry, likewise. Who makes it first has the handoff.
	ClaimPrefix = "refs/covenant/claim/"
)

// Ref is the ref that keeps the objects of a handoff.
func Ref(id envelope.Digest) string { return Prefix + digits(id) }

// Claim is the ref that says who took it up.
func Claim(id envelope.Digest) string { return ClaimPrefix + digits(id) }

func digits(id envelope.Digest) string { return strings.TrimPrefix(string(id), "sha256:") }

// IDOf reads the identity of the handoff that a ref is of, by either prefix.
func IDOf(ref string) (envelope.Digest, bool) {
	for _, prefix := range []string{Prefix, ClaimPrefix} {
		if rest, ok := strings.CutPrefix(ref, prefix); ok {
			d, err := envelope.ParseDigest("sha256:" + rest)
			return d, err == nil
		}
	}
	return "", false
}

// Creating says what goes into a handoff beside the work tree.
type Creating struct {
	Note, Next, Intent, IntentState string
	Questions, Memory               []string
	Evidence                        []envelope.Digest
	Limits                          Limits
	Secret                          func(data []byte) (rule string) // whether a file holds one for sure; nil: none is looked for
	Secrets                         bool                            // untracked files that do are taken all the same
}

// Made is a handoff that was made.
type Made struct {
	ID     envelope.Digest
	Ledger string
	Seq    uint64
	handoff.Creation
	Suspects []Suspect // tracked files that are in it and seem to hold a secret
}

// Create takes the work tree that the sealer's repository has, and records the handoff as its hand. Nothing of HEAD, index,
// work tree or stash changes. Errors: ErrNoWorkTree, *UnmergedError, *OperationError, ErrTooMany, handoff.ErrInvalid; git.ErrUnsound where
// nobody could take it up.
func Create(ctx context.Context, k *provenance.Sealer, o Creating) (*Made, error) {
	s := k.Session
	r := s.Repo()
	if r.WorkTree() == "" {
		return nil, ErrNoWorkTree
	}
	if what := r.InProgress(); what != "" {
		return nil, &OperationError{what}
	}
	if o.Limits == (Limits{}) {
		o.Limits = Default
	}
	if o.Secret == nil {
		o.Secret = func([]byte) string { return "" }
	}
	root, err := os.OpenRoot(r.WorkTree())
	if err != nil {
		return nil, err
	}
	defer root.Close()
	st, _, err := status(ctx, r, root)
	if err != nil {
		return nil, err
	}
	p := &snapshot{ctx: ctx, s: s, root: root, limits: o.Limits, secret: o.Secret, secrets: o.Secrets, trees: newTrees(s)}
	if err := p.take(st); err != nil {
		return nil, err
	}
	c := handoff.Creation{
		Base: p.base, Tree: p.work, Index: handoff.Part{Tree: p.index}, Ref: st.Branch, Left: p.left, LeftMore: p.more,
		Note: o.Note, Next: o.Next, Intent: o.Intent, IntentState: o.IntentState, Questions: o.Questions, Memory: o.Memory, Evidence: o.Evidence,
	}
	p.commit(k, &c)
	if err := s.Flush(); err != nil { // what compares trees is a child of its own
		return nil, err
	}
	got, err := list(s, p.baseTree, &c, 2*o.Limits.Total+o.Limits.File) // what is staged and changed again is there twice
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(got.list, func(x Content) bool { return gits(path.Base(x.Path)) }) {
		if err := sound(ctx, s, &c); err != nil {
			return nil, err
		}
	}
	c.Bytes, c.Files, c.Manifest = got.bytes, len(got.list), got.manifest
	if err := c.Validate(); err != nil {
		return nil, err
	}
	where := "a detached HEAD"
	if c.Ref != "" {
		where = strings.TrimPrefix(c.Ref, "refs/heads/")
	}
	item := provenance.Item{Type: handoff.Created, Body: c, Subject: fmt.Sprintf("handoff.created %s on %s", c.Commit.Short(), where)}
	made, err := k.ComposeWith(ctx, handoff.Topic, func(ledger.Name, []envelope.Head) ([]provenance.Item, error) {
		return []provenance.Item{item}, nil
	}, func(a []ledger.Appended) []git.RefUpdate { return []git.RefUpdate{{Name: Ref(a[0].ID), New: c.Commit}} })
	if err != nil {
		return nil, err
	}
	return &Made{ID: made[0].ID, Ledger: made[0].Ledger.String(), Seq: made[0].Seq, Creation: c, Suspects: p.suspects}, nil
}

// gits reports whether a name may be to some file system one of those of whose files git-fsck refuses some, such as .gitmodules.
func gits(name string) bool {
	return strings.Contains(strings.ToLower(name), "git") || strings.Contains(name, "~") || strings.ContainsFunc(name, func(r rune) bool { return r > unicode.MaxASCII })
}

// commit queues the commits, laid out as git-stash(1) lays out its own.
func (p *snapshot) commit(k *provenance.Sealer, c *handoff.Creation) {
	who := git.Ident{Name: k.Hand.Principal.Name, Email: "handoff@covenant", When: k.Now()}
	put := func(tree oid.ID, parents []oid.ID, message string) oid.ID {
		return p.s.Put("commit", git.EncodeCommit(tree, parents, who, who, message+"\n"))
	}
	var parents []oid.ID
	if !p.base.IsZero() {
		parents = append(parents, p.base)
	}
	c.Index.Commit = put(p.index, parents, "index")
	parents = append(parents, c.Index.Commit)
	if !p.untracked.IsZero() {
		c.Untracked = handoff.Part{Commit: put(p.untracked, nil, "untracked files"), Tree: p.untracked}
		parents = append(parents, c.Untracked.Commit)
	}
	c.Commit = put(p.work, parents, "handoff")
}
