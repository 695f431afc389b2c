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

// A Remake is a derived commit, and what it is derived of.
type Remake struct {
	Commit git.Commit
	Of     []oid.ID // sealed commits, each once
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
		m := Remake{Commit: c}
		for j := range r.Covers {
			if of := r.Covers[j].Commit; of != c.ID && !slices.Contains(m.Of, of) {
				m.Of = append(m.Of, of)
			}
		}
		out = append(out, m)
	})
	return f, out, err
}

// Reseal vouches for derived commits on the ref they were judged on, and records what they are derived of, which goes first: an interrupted
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
