package provenance

import (
	"context"
	"fmt"
	"slices"

	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
)

// A Remake is a commit to vouch for, and what it is derived of, in whole or in part.
type Remake struct {
	Commit git.Commit
	Of     []oid.ID // sealed commits, each once; none where it is nobody else's
}

// Derived judges a span whose ref under review is named and returns its derived commits, those that a seal is worth having for: where all
// verify. Else the error is an *UnverifiedError or a *CondemnedError.
func Derived(ctx context.Context, s *git.Session, sp Span, o Options) (*Facts, []Remake, error) {
	o.Cache = nil // what a derived commit is made of is not remembered
	var out []Remake
	f, err := verified(ctx, s, sp, o, func(c git.Commit, r *verdict.Result) {
		if r.Verdict != verdict.Derived {
			return
		}
		out = append(out, Remake{Commit: c, Of: madeOf(r)})
	})
	return f, out, err
}

// MadeOf returns what commits without a seal that counts are made of, those that sealed changes cover in whole or in part, as judged on a ref.
// Whose they are is to be known when somebody has vouched for them, too.
func MadeOf(ctx context.Context, s *git.Session, ref string, commits []git.Commit, o Options) (map[oid.ID][]oid.ID, error) {
	o.Only, o.Cache = map[oid.ID]bool{}, nil
	leads := map[oid.ID]bool{}
	for _, c := range commits {
		o.Only[c.ID] = true
		for _, p := range c.Parents {
			leads[p] = true
		}
	}
	sp := Span{Ref: ref}
	for _, c := range commits {
		if !leads[c.ID] {
			sp.Tips = append(sp.Tips, c.ID)
		}
		for _, p := range c.Parents {
			if !o.Only[p] {
				sp.Except = append(sp.Except, p)
			}
		}
	}
	out := map[oid.ID][]oid.ID{}
	if len(sp.Tips) == 0 {
		return out, nil
	}
	rep, err := Verify(ctx, s, sp, o)
	if err != nil {
		return nil, err
	}
	for r, err := range rep.Results {
		if err != nil {
			return nil, err
		}
		if of := madeOf(&r); r.SealID == "" && len(of) > 0 {
			out[r.Commit] = of
		}
	}
	return out, nil
}

// madeOf are the sealed commits, each once, that a result is made of.
func madeOf(r *verdict.Result) []oid.ID {
	var out []oid.ID
	for i := range r.Covers {
		if of := r.Covers[i].Commit; of != r.Commit && !slices.Contains(out, of) {
			out = append(out, of)
		}
	}
	return out
}

// Reseal vouches for commits on the ref they were judged on, and records what they are derived of, which goes first: an interrupted
// run leaves no seal without it. What the hand must be allowed is what [Sealer.Seal] asks in that mode.
func (k *Sealer) Reseal(ctx context.Context, ref string, list []Remake) ([]Made, error) {
	var items []Item
	var pairs []prov.Rewrite
	commits := make([]git.Commit, 0, len(list))
	for _, m := range list {
		commits = append(commits, m.Commit)
		for _, old := range m.Of {
			pairs = append(pairs, prov.Rewrite{New: m.Commit.ID, Old: old})
		}
	}
	for some := range slices.Chunk(pairs, prov.MaxRewrites) {
		items = append(items, Item{Type: prov.Rewritten, Body: prov.Rewriting{Command: prov.Reseal, Pairs: some}, Subject: fmt.Sprintf("commit.rewritten %s %d", prov.Reseal, len(some))})
	}
	return k.sealAfter(ctx, prov.Vouching, ref, commits, func() error {
		if len(items) == 0 {
			return nil
		}
		_, err := k.Record(ctx, prov.Topic, items...)
		return err
	})
}
