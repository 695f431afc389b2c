package sync

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// finish brings what is kept into the repository and moves refs, in one transaction.
func (in *incoming) finish() error {
	view, err := in.view()
	if err != nil {
		return err
	}
	if err := in.bringOver(); err != nil {
		return err
	}
	unlock, err := in.s.Repo().Lock(in.ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := in.renew(); err != nil {
		return err
	}
	first := true
	return git.Retry(in.ctx, func() error {
		if !first {
			if err := in.look(); err != nil {
				return err
			}
		}
		first = false
		updates, moved, err := in.updates(view)
		if err != nil || len(updates) == 0 {
			return err
		}
		if err := in.update(updates); err != nil {
			return err
		}
		for _, u := range updates {
			refs, name := in.ours, u.Name
			if strings.HasPrefix(u.Name, provenance.ForkPrefix) {
				refs = in.evidently
			}
			if there, ok := strings.CutPrefix(u.Name, in.at); ok {
				refs, name = in.tracked, there
			}
			if refs[name] = u.New; u.New.IsZero() {
				delete(refs, name)
			}
		}
		in.rep.Adopted = append(in.rep.Adopted, moved...)
		return in.pin()
	})
}

// bringOver makes what is kept objects of the repository. What Git would refuse there is left, and the rest is kept.
func (in *incoming) bringOver() error {
	var except []oid.ID
	have := map[oid.ID]bool{}
	for _, refs := range []map[string]oid.ID{in.ours, in.tracked, in.evidently} {
		for _, id := range refs {
			if !have[id] {
				have[id] = true
				except = append(except, id)
			}
		}
	}
	tips := func() []oid.ID {
		var out []oid.ID
		for _, refs := range []map[string]oid.ID{in.moves, in.keep, in.forked} {
			for _, id := range refs {
				if !have[id] && !slices.Contains(out, id) {
					out = append(out, id)
				}
			}
		}
		return out
	}
	err := in.q.Keep(in.ctx, tips(), except)
	if !errors.Is(err, git.ErrUnsound) {
		return err
	}
	for _, refs := range []map[string]oid.ID{in.moves, in.keep, in.forked} {
		for _, name := range slices.Sorted(maps.Keys(refs)) {
			id := refs[name]
			if have[id] {
				continue
			}
			switch err := in.q.Sound(in.ctx, []oid.ID{id}, except); {
			case errors.Is(err, git.ErrUnsound):
				delete(refs, name)
				in.unsound(name, err)
			case err != nil:
				return err
			}
		}
	}
	return in.q.Keep(in.ctx, tips(), except)
}

// unsound leaves there what a ref of ours, or a tracking ref, was to be.
func (in *incoming) unsound(name string, err error) {
	if name == trackedNotes {
		in.noView, in.theirView = true, oid.ID{}
		in.rep.warn(verdict.NoteJunk, notesRef, "ask who keeps "+in.shown+" to delete it there", "the notes view of %s was not taken: %v", in.shown, err)
		return
	}
	if !strings.HasPrefix(name, covenant) {
		name = covenant + name
	}
	if in.bad[name] = true; name == provenance.RootRef {
		in.rep.Root = nil
	}
	in.rep.refuse(verdict.LedgerDamaged, strings.TrimPrefix(name, ledger.Prefix), "ask who keeps "+in.shown, "of %s: %v; it was not adopted", in.shown, err)
}

// update moves refs: what is deleted goes first, since it may stand in the way of what comes.
func (in *incoming) update(updates []git.RefUpdate) error {
	var gone []git.RefUpdate
	for _, u := range updates {
		if u.New.IsZero() && strings.HasPrefix(u.Name, in.at) {
			gone = append(gone, u)
		}
	}
	if err := in.s.Update("covenant sync", gone...); err != nil {
		return err
	}
	for _, u := range gone {
		delete(in.tracked, strings.TrimPrefix(u.Name, in.at))
	}
	return in.s.Update("covenant sync", slices.DeleteFunc(slices.Clone(updates), func(u git.RefUpdate) bool { return u.New.IsZero() && strings.HasPrefix(u.Name, in.at) })...)
}

// pin moves the pin of the configuration forward, along the chain that was verified from it.
func (in *incoming) pin() error {
	if in.rep.Root == nil {
		return nil
	}
	if was, _ := in.s.Repo().Config().Get(provenance.PinKey); was != string(in.o.Pin) {
		return nil // it was pinned elsewhere
	}
	_, err := in.s.Repo().Run(in.ctx, nil, "config", "--local", provenance.PinKey, string(in.rep.Root.Digest))
	return err
}

// updates is the transaction: what moved here meanwhile is left to the next time.
func (in *incoming) updates(view func() (oid.ID, error)) ([]git.RefUpdate, []Move, error) {
	var out []git.RefUpdate
	var moved []Move
	for _, ref := range slices.Sorted(maps.Keys(in.moves)) {
		to := in.moves[ref]
		if now := in.ours[ref]; now != in.from[ref] || now == to {
			continue
		}
		out = append(out, git.RefUpdate{Name: ref, New: to, Old: in.from[ref]})
		m := Move{Name: strings.TrimPrefix(ref, ledger.Prefix), From: in.from[ref], To: to}
		for at := to; !at.IsZero() && at != m.From; {
			parents, ok := in.fresh[at]
			if !ok {
				break
			}
			m.Entries++
			if at = (oid.ID{}); len(parents) == 1 {
				at = parents[0]
			}
		}
		moved = append(moved, m)
	}
	tip, err := view()
	if err != nil {
		return nil, nil, err
	}
	if now := in.ours[notesRef]; !tip.IsZero() && tip != now {
		out = append(out, git.RefUpdate{Name: notesRef, New: tip, Old: now})
	}
	for _, name := range slices.Sorted(maps.Keys(in.keep)) {
		if id := in.keep[name]; in.tracked[name] != id {
			out = append(out, git.RefUpdate{Name: in.at + name, New: id, Old: in.tracked[name]})
		}
	}
	for _, ref := range slices.Sorted(maps.Keys(in.forked)) {
		if id := in.forked[ref]; in.evidently[ref] != id {
			out = append(out, git.RefUpdate{Name: ref, New: id, Old: in.evidently[ref]})
		}
	}
	for name, id := range in.tracked {
		if _, kept := in.keep[name]; strings.HasPrefix(name, trackedStaged) && !kept {
			out = append(out, git.RefUpdate{Name: in.at + name, Old: id})
		}
	}
	if in.rep.Root != nil {
		for ref, id := range in.ours {
			if n, ok := stagedNumber(under(ref)); ok && n <= in.rep.Root.Version {
				out = append(out, git.RefUpdate{Name: ref, Old: id})
			}
		}
	}
	return out, moved, nil
}
