package sync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/notes"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// maxRootBytes bounds what is fetched of a trust root before anything is known of it.
const maxRootBytes = 64 << 20

// Found is a trust root that a remote has. Nothing proves it until Digest, or that of an earlier version, is
// compared with one got elsewhere.
type Found struct {
	Digest envelope.Digest  // of the newest version
	Root   *provenance.Root // the newest version, held to itself only; nil when even that fails
	Ref    string           // where it stands now: a tracking ref
}

// Look fetches the trust root of a remote, and nothing else, to its tracking ref. It is nil when the remote has none.
func Look(ctx context.Context, s *git.Session, remote string) (*Found, error) {
	r := newRun(ctx, s, Options{Remote: remote, Limits: Limits{Bytes: maxRootBytes, Ledgers: 1}})
	if err := r.look(); err != nil {
		return nil, err
	}
	in, err := r.bring("+" + provenance.RootRef + "*:" + quarantined + trackedRoot + "*")
	if err != nil {
		return nil, Said(err)
	}
	defer in.close()
	if kind, odd := in.odd[trackedRoot]; odd {
		return nil, fmt.Errorf("the trust root of %s: %w: it is a %s", Shown(remote), ledger.ErrDamaged, kind)
	}
	tip, ok := r.there[trackedRoot]
	if !ok {
		return nil, nil
	}
	env, _, err := ledger.Read(in.qs, tip)
	if err != nil {
		return nil, fmt.Errorf("the trust root of %s: %w", Shown(remote), err)
	}
	f := &Found{Digest: env.ID(), Ref: in.at + trackedRoot}
	if root, err := provenance.OpenRootAt(in.qs, tip.String(), env.ID()); err == nil {
		f.Root = root
	}
	if err := in.bare(tip); err != nil {
		return nil, fmt.Errorf("the trust root of %s: %w", Shown(remote), err)
	}
	old := r.tracked[trackedRoot]
	if old == tip {
		return f, nil
	}
	if err := in.q.Keep(ctx, []oid.ID{tip}, nil); err != nil {
		return nil, err
	}
	return f, s.Update("covenant sync", git.RefUpdate{Name: f.Ref, New: tip, Old: old})
}

// Join puts a trust root that [Look] found in force in a clone that has none. It must lead from version 1 to the pin, and verify
// from there.
func Join(s *git.Session, f *Found, pin envelope.Digest) (*provenance.Root, error) {
	root, err := provenance.OpenWhole(s, f.Ref, pin)
	if err != nil {
		return nil, err
	}
	refs, err := s.Refs(f.Ref)
	if err != nil || len(refs) != 1 || refs[0].Kind != "commit" {
		return nil, errors.Join(err, fmt.Errorf("%w: %s", provenance.ErrRootMissing, pin))
	}
	return root, s.Update("covenant: joined", git.RefUpdate{Name: provenance.RootRef, New: refs[0].ID})
}

// Begin puts the pinned root in force in a clone that has none, as a remote has it; false where that has none either.
func Begin(ctx context.Context, s *git.Session, remote string, pin envelope.Digest) (bool, error) {
	if _, err := provenance.RootDigest(s); !errors.Is(err, provenance.ErrNotGoverned) {
		return err == nil, err
	}
	found, err := Look(ctx, s, remote)
	if err != nil || found == nil {
		return false, err
	}
	_, err = Join(s, found, pin)
	return err == nil, err
}

// Theirs lists all refs of ours that a remote has, where a push to it goes.
func Theirs(ctx context.Context, s *git.Session, remote string) ([]git.Ref, error) {
	if apart(s.Repo(), remote) {
		if out, err := s.Repo().Run(ctx, nil, "remote", "get-url", "--push", "--", remote); err == nil { // an address is where it goes
			remote = strings.TrimSuffix(string(out), "\n")
		}
	}
	return refsAt(ctx, s, remote)
}

// refsAt lists all refs of ours that a remote or address shows to who fetches.
func refsAt(ctx context.Context, s *git.Session, remote string) ([]git.Ref, error) {
	out, err := s.Repo().Run(ctx, nil, "ls-remote", "--refs", "--quiet", "--", remote, covenant+"*", notes.Ref)
	if err != nil {
		return nil, Said(err)
	}
	var refs []git.Ref
	for line := range strings.Lines(string(out)) {
		hex, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		id, err := oid.Parse(hex)
		if !ok || err != nil || !(strings.HasPrefix(name, covenant) || name == notes.Ref) {
			continue // ls-remote matches the ends of names
		}
		refs = append(refs, git.Ref{Name: name, ID: id})
	}
	return refs, nil
}

// Purge deletes refs of ours at a remote, each only if it is still what [Theirs] said, and forgets what
// the remote is known to have.
func Purge(ctx context.Context, s *git.Session, remote string, refs []git.Ref) error {
	for chunk := range slices.Chunk(refs, 1000) {
		args := pushArgs(s.Repo(), remote)
		for _, ref := range chunk {
			args = append(args, "--force-with-lease="+ref.Name+":"+ref.ID.String())
		}
		args = append(args, "--", remote)
		for _, ref := range chunk {
			args = append(args, ":"+ref.Name)
		}
		if _, err := s.Repo().Run(ctx, nil, args...); err != nil {
			return Said(err)
		}
	}
	return forget(s, remote)
}
