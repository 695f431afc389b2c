package hooks

import (
	"context"
	"errors"
	"slices"

	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// unclear returns those of the old commits that came to be something else, and are here, of which it is not plain who made them.
func (in *Input) unclear(ctx context.Context, k *provenance.Sealer) ([]git.Commit, error) {
	var olds []git.Commit
	asked := map[oid.ID]bool{}
	for _, p := range in.pairs {
		if asked[p.Old] {
			continue
		}
		asked[p.Old] = true
		c, err := k.Session.Commit(p.Old.String())
		if errors.Is(err, git.ErrMissing) {
			continue
		}
		if err != nil {
			return nil, err
		}
		olds = append(olds, c)
	}
	return k.Unclear(ctx, olds)
}

// relate records what commits came to be out of. What takes a look at history comes after all else, and others need not wait for it: unlock gives the lock back.
func (in *Input) relate(ctx context.Context, k *provenance.Sealer, unlock func()) error {
	unclear, err := in.unclear(ctx, k)
	if err != nil || len(unclear) == 0 {
		return errors.Join(err, in.link(ctx, k))
	}
	look := make(map[oid.ID]bool, len(unclear))
	for _, c := range unclear {
		look[c.ID] = true
	}
	all := in.pairs
	known := slices.DeleteFunc(slices.Clone(all), func(p prov.Rewrite) bool { return in.taken() && look[p.Old] })
	in.pairs = known
	if err := in.link(ctx, k); err != nil {
		return err
	}
	unlock()
	k.Locked = false
	in.pairs = all
	in.remade(ctx, k, unclear)
	said := make(map[prov.Rewrite]bool, len(known))
	for _, p := range known {
		said[p] = true
	}
	in.pairs = slices.DeleteFunc(in.pairs, func(p prov.Rewrite) bool { return said[p] })
	return in.link(ctx, k)
}

// taken reports whether old commits were only taken up, and Git itself does not say that they became new ones.
func (in *Input) taken() bool {
	c := in.command()
	return c == prov.Squash || c == prov.Reset || c == prov.Mail
}

// remade puts beside old commits of which it is not plain who made them the sealed ones that they are made of, as a squash by a button is: nobody else can
// tell when those are gone. Where nothing was sealed, nothing can be told of what was only taken up.
func (in *Input) remade(ctx context.Context, k *provenance.Sealer, unclear []git.Commit) {
	want := make(map[oid.ID]bool, len(unclear))
	for _, c := range unclear {
		want[c.ID] = true
	}
	of, sealed := map[oid.ID][]oid.ID{}, map[oid.ID]bool{}
	o := provenance.Options{Pin: k.Root.Pin(), Now: in.Now(), Opened: in.cache(k.Session.Repo())}
	hand := k.Hand.Signer.Public().ID()
	list, err := provenance.Remakes(ctx, k.Session, hand, unclear, want, o)
	for cut := (*provenance.ShallowError)(nil); errors.As(err, &cut) && want[cut.Commit]; {
		in.say("who made what %s had, that nobody sealed, can't be told: %v", cut.Commit.Short(), err)
		want[cut.Commit], sealed[cut.Commit] = false, true // what is not known is recorded
		list, err = provenance.Remakes(ctx, k.Session, hand, unclear, want, o)
	}
	if err != nil {
		in.say("who made what %s and others had, that nobody sealed, can't be told: %v", unclear[0].ID.Short(), err)
		for _, c := range unclear {
			sealed[c.ID] = true
		}
	}
	made := make(map[oid.ID]bool, len(in.pairs)) // just now: nothing was made of that before
	for _, p := range in.pairs {
		made[p.New] = true
	}
	for _, m := range list {
		of[m.Commit.ID] = slices.DeleteFunc(m.Of, func(id oid.ID) bool { return made[id] })
		sealed[m.Commit.ID] = sealed[m.Commit.ID] || m.Sealed || m.Over // what is not known is recorded
		if m.Over {
			in.say("who made what %s has takes more than is looked at: not all of them may be recorded", m.Commit.ID.Short())
		}
	}
	var pairs []prov.Rewrite
	said := map[prov.Rewrite]bool{}
	add := func(list *[]prov.Rewrite, x prov.Rewrite) {
		if !said[x] {
			said[x], *list = true, append(*list, x)
		}
	}
	beside := &pairs
	if prov.Replaces(in.command()) {
		beside = &in.besides
	}
	for _, p := range in.pairs {
		if !(in.taken() && want[p.Old] && !sealed[p.Old] && len(of[p.Old]) == 0) {
			add(&pairs, p)
		}
		for _, old := range of[p.Old] {
			add(beside, prov.Rewrite{New: p.New, Old: old})
		}
	}
	in.pairs = pairs
}
