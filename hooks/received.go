package hooks

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// received admits the protected refs that moved, where this server has an identity of its own.
func received(ctx context.Context, in *Input, s *git.Session, pin envelope.Digest) ([]provenance.Made, error) {
	moves, err := readMoves(in.Stdin)
	if err != nil {
		return nil, err
	}
	choice := in.choice()
	if name, _ := s.Repo().Config().Get(provenance.IdentityKey); name == "" && choice.Explicit == "" {
		return nil, nil
	}
	root, err := provenance.OpenRoot(s, pin)
	if err != nil {
		return nil, err
	}
	var heads []provenance.Head
	for _, m := range moves {
		if !root.Policy.Protects(m.ref) {
			continue
		}
		h := provenance.Head{Ref: m.ref, Here: m.ref}
		if !m.new.IsZero() {
			h.ID = m.new
			if c, err := s.Commit(m.new.String() + "^{commit}"); err == nil {
				h.Commit = c.ID
			}
		}
		heads = append(heads, h)
	}
	if len(heads) == 0 {
		return nil, nil
	}
	unlock, err := s.Repo().Lock(ctx) // what is admitted goes on from what is there
	if err != nil {
		return nil, err
	}
	defer unlock()
	if heads, err = still(s, heads); err != nil || len(heads) == 0 {
		return nil, err
	}
	facts, err := provenance.LoadRefs(ctx, s, pin, heads)
	if err != nil {
		return nil, err
	}
	hand, err := provenance.ChooseHand(s.Repo(), facts.Authority, choice)
	if err != nil {
		return nil, fmt.Errorf("nothing was admitted: %w", err)
	}
	k := &provenance.Sealer{
		Session: s, Root: facts.Root, Authority: facts.Authority, Hand: hand, Moment: in.Moment, Now: in.Now, Locked: true,
		Asker: in.asker(s.Repo(), facts.Root, facts.Authority),
	}
	var failed error
	for _, h := range heads {
		made, err := k.AdmitHead(ctx, facts, h)
		for _, id := range made {
			in.say("%s admitted %s at %s (%s)", hand.Principal.Name, plain(h.Ref), spot(h.ID), id.Short())
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s was not admitted: %w", h.Ref, err))
		}
	}
	return nil, failed
}

// still leaves out what has moved on since: whoever moved it admits where it is now, and may have done so before this.
func still(s *git.Session, heads []provenance.Head) ([]provenance.Head, error) {
	var names []string
	for _, h := range heads {
		names = append(names, h.Ref)
	}
	refs, err := s.Tips(names...)
	if err != nil {
		return nil, err
	}
	at := map[string]oid.ID{}
	for _, r := range refs {
		at[r.Name] = r.ID
	}
	return slices.DeleteFunc(heads, func(h provenance.Head) bool { return at[h.Ref] != h.ID }), nil
}
