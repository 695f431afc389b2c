package provenance

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/review"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
)

// Review is one review that stands in a ledger.
type Review struct {
	capability.Place
	Index     int // in its ledger, from 0
	Blob      oid.ID
	Statement *review.Statement
}

// Review appends a review to the hand's ledger. Header and principal are filled in. What was reviewed must be here.
func (k *Sealer) Review(ctx context.Context, commit, tree oid.ID, p review.Predicate) (*Review, error) {
	p.Principal, p.Attended = k.as(), k.Hand.Attended
	if err := review.New(commit, tree, p).Validate(); err != nil {
		return nil, err
	}
	on := oid.ID{}
	if noted(p.Verdict, p.Principal.Kind) {
		on = tree
	}
	made, err := k.Say(ctx, prov.Topic, fmt.Sprintf("review.%s %s by %s", p.Verdict, commit.Short(), p.Principal.Name), on, func(h envelope.Header) ([]byte, error) {
		p.Entry = h
		return review.New(commit, tree, p).Encode()
	})
	if err != nil {
		return nil, err
	}
	at := capability.Place{ID: made.ID, KeyID: k.Hand.Signer.Public().ID(), Ledger: made.Ledger.String(), Seq: made.Seq, Time: p.Entry.When()}
	return &Review{Place: at, Index: int(made.Seq) - 1, Blob: made.Blob, Statement: review.New(commit, tree, p)}, nil //nolint:gosec // an entry's number
}

// asks reports whether a policy wants reviews or evidence of what reaches a ref.
func asks(p *trust.Policy, ref string) bool {
	return p.Protects(ref) && (p.WantsEvidence() || p.WantsReviews())
}

// advances returns, for each commit of a span, the move that brings it to the ref under review, and which reviews are about it. It is
// nil where the policy asks for no review or evidence of that ref.
//
// A review is about a change from one tree to another. It is about a commit when the move that brings the commit has in it a commit
// with the second tree, that goes on from one with the first, all that lies between the two came by that move, and the commit is of it.
// It is used up when the ref made that very step before.
func (f *Facts) advances(ctx context.Context, s *git.Session, sp Span, ref string, before map[oid.ID]bool, history bool) (map[oid.ID]*verdict.Advance, error) {
	if ref == "" || !asks(f.Root.Policy, ref) {
		return nil, nil
	}
	g, err := f.graph(s, sp)
	if err != nil {
		return nil, err
	}
	if err := f.learn(s); err != nil {
		return nil, err
	}
	places, err := f.stands(ctx, s, sp, ref, history)
	if err != nil {
		return nil, err
	}
	moves := f.moves(g, ref, places, before)
	plain := make([]*verdict.Advance, len(moves)) // most commits of a move have no review that others of it have not
	for n := range moves {
		plain[n] = &verdict.Advance{Move: n, Root: moves[n].root}
		if moves[n].root != "" {
			plain[n].At = envelope.Timestamp(moves[n].when)
		}
	}
	out := make(map[oid.ID]*verdict.Advance, len(g.order))
	for i, id := range g.order {
		out[id] = plain[max(0, g.brought[i]-1)]
	}
	ends := make([]int, 0, len(moves)+len(sp.Tips))
	for _, m := range moves[:len(moves)-1] {
		ends = append(ends, m.end)
	}
	for _, id := range sp.Tips {
		if at, here := g.index[id]; here && g.brought[at] == len(moves) {
			ends = append(ends, at)
		}
	}
	for _, at := range ends[1:] { // the first move is none
		end := *out[g.order[at]]
		end.End = true
		out[g.order[at]] = &end
	}
	order, seen := f.reviewOrder(), sights{}
	type change struct{ from, base, tree oid.ID }
	abouts := map[change][]int{}
	for i := range f.Reviews {
		r := &f.Reviews[i]
		p := &r.Statement.Predicate
		if p.Ref != ref || !f.mayCount(r) {
			continue
		}
		c := change{p.Base.Commit, p.Base.Tree, r.Statement.Tree()}
		about, known := abouts[c]
		if !known {
			about = g.about(r.Statement)
			abouts[c] = about
		}
		for _, at := range about {
			a := out[g.order[at]]
			if len(a.Reviews) == 0 {
				own := *a
				a = &own
				out[g.order[at]] = a
			}
			said := f.reviewedBy(r, order[i])
			said.Late = f.late(r, &moves[a.Move], seen)
			a.Reviews = append(a.Reviews, said)
		}
	}
	return out, nil
}

// late reports whether a review was made after a move was admitted: its writer had seen that; where neither writer had seen the other's entry, by when each was made.
func (f *Facts) late(r *Review, m *move, seen sights) bool {
	all := func(int) bool { return true }
	switch {
	case m.step == nil:
		return false
	case m.step.Ledger == r.Ledger:
		return r.Seq > m.step.Seq
	case seen.upTo(f, r.Ledger, r.Index, m.step.Ledger, all) >= m.step.Seq:
		return true
	case seen.upTo(f, m.step.Ledger, int(m.step.Seq)-1, r.Ledger, all) >= r.Seq: //nolint:gosec // an entry's number
		return false
	}
	return f.madeAt(r).After(m.when)
}

// mayCount reports whether a review may make a difference. What agents say of changes, and talk, does not, nor does it to the order of what does.
func (f *Facts) mayCount(r *Review) bool {
	v := r.Statement.Predicate.Verdict
	return v != review.Comment && v != review.Request && f.reviews(r)
}

// madeAt is when a review was made: as it says, or when somebody accountable saw it, if that was before.
func (f *Facts) madeAt(r *Review) time.Time {
	if at, ok := f.firstSeen(r.Place); ok && at.Before(r.Time) {
		return at
	}
	return r.Time
}

// reviews reports whether what a key says of changes could count: humans review, and automations that may tell of reviews that somebody
// known here gave on a forge.
func (f *Facts) reviews(r *Review) bool {
	p, ok := f.Authority.ByKey(r.KeyID)
	g := r.Statement.Predicate.Forge
	switch {
	case !ok:
		return false
	case g == nil:
		return p.Kind == string(trust.Human)
	}
	_, known := f.Root.Policy.Person(g.Account)
	return known && p.Kind == string(trust.Automation) && f.Authority.MayEver(r.KeyID, capability.Review)
}

// OnForge returns what a key, or automations that may tell of it, have recorded of what accounts on forges say of a step: the word of each that counts,
// by its account, where that is neither a comment nor taken back.
func (f *Facts) OnForge(p *Proposal, keyID string) map[string]*Review {
	out, order := map[string]*Review{}, f.reviewOrder()
	at := map[string]verdict.Reviewed{}
	for i := range f.Reviews {
		r := &f.Reviews[i]
		s := &r.Statement.Predicate
		if s.Forge == nil || s.Verdict == review.Comment || s.Ref != p.Ref || s.Base.Tree != p.Base.Tree || r.Statement.Tree() != p.Head.Tree {
			continue
		}
		if by, _ := f.Authority.ByKey(r.KeyID); r.KeyID != keyID && (by == nil || by.Kind != string(trust.Automation) || !f.Authority.MayEver(r.KeyID, capability.Review)) {
			continue
		}
		said := f.reviewedBy(r, order[i])
		if old, had := at[s.Forge.Account]; !had || said.Compare(old) > 0 {
			at[s.Forge.Account], out[s.Forge.Account] = said, r
		}
	}
	maps.DeleteFunc(out, func(_ string, r *Review) bool { return r.Statement.Predicate.Verdict == review.Withdraw })
	return out
}

func (f *Facts) reviewedBy(r *Review, order int) verdict.Reviewed {
	p := &r.Statement.Predicate
	out := verdict.Reviewed{ID: r.ID, KeyID: r.KeyID, Verdict: p.Verdict, Order: order, Time: envelope.Timestamp(f.madeAt(r)), Base: p.Base.Tree, Tree: r.Statement.Tree()}
	if p.Forge != nil {
		out.Account, out.At = p.Forge.Account, p.Forge.At
	}
	return out
}

// reviewOrder returns the place of each review that may count in an order in which none comes before one that its writer had seen, whatever
// times they claim. Those that know nothing of each other stand as their times say.
func (f *Facts) reviewOrder() []int {
	in := map[string][]int{} // ledger → its reviews
	for i := range f.Reviews {
		if f.mayCount(&f.Reviews[i]) {
			in[f.Reviews[i].Ledger] = append(in[f.Reviews[i].Ledger], i)
		}
	}
	saw := make([][]int, len(f.Reviews)) // of each other ledger the newest review
	for name, mine := range in {
		slices.SortFunc(mine, func(a, b int) int { return f.Reviews[a].Index - f.Reviews[b].Index })
		heads := map[string]uint64{}
		next := 0
		for at := range f.Chains[name].Entries {
			for _, h := range f.Chains[name].Entries[at].Header.Heads {
				if in[h.Ledger] != nil {
					heads[h.Ledger] = max(heads[h.Ledger], h.Seq)
				}
			}
			if next == len(mine) {
				break
			}
			if f.Reviews[mine[next]].Index != at {
				continue
			}
			if next > 0 {
				saw[mine[next]] = append(saw[mine[next]], mine[next-1])
			}
			for other, seq := range heads {
				if n, _ := slices.BinarySearchFunc(in[other], seq+1, func(i int, seq uint64) int { return cmp.Compare(f.Reviews[i].Seq, seq) }); n > 0 {
					saw[mine[next]] = append(saw[mine[next]], in[other][n-1])
				}
			}
			next++
		}
	}
	// A review is as late as what its writer had seen, and after it.
	type late struct {
		at    int64
		after int
	}
	when := make([]late, len(f.Reviews))
	done := make([]int, len(f.Reviews)) // 1: on the way, 2: done
	for i := range f.Reviews {
		for todo := []int{i}; len(todo) > 0; {
			r := todo[len(todo)-1]
			if done[r] == 0 {
				done[r] = 1
				for _, o := range saw[r] {
					if done[o] == 0 {
						todo = append(todo, o)
					}
				}
				continue
			}
			todo = todo[:len(todo)-1]
			if done[r] == 2 {
				continue
			}
			when[r].at = f.madeAt(&f.Reviews[r]).Unix()
			for _, o := range saw[r] {
				when[r].at, when[r].after = max(when[r].at, when[o].at), max(when[r].after, when[o].after+1)
			}
			done[r] = 2
		}
	}
	sorted := make([]int, len(f.Reviews))
	for i := range sorted {
		sorted[i] = i
	}
	slices.SortFunc(sorted, func(a, b int) int {
		return cmp.Or(cmp.Compare(when[a].at, when[b].at), cmp.Compare(when[a].after, when[b].after), cmp.Compare(f.Reviews[a].ID, f.Reviews[b].ID))
	})
	out := make([]int, len(f.Reviews))
	for place, i := range sorted {
		out[i] = place
	}
	return out
}

// maxTries is how many commits with a tree are tried, of those that come in question for one review: a branch that goes back and forth
// between two trees has as many pairs of them as the square of its length, and the first and last say it all.
const maxTries = 16

// about returns the commits that a review is about, in order.
func (g *graph) about(st *review.Statement) []int {
	with := g.with[st.Tree()]
	if len(with) == 0 || with[len(with)-1] < g.except {
		return nil // nothing of it is judged
	}
	base := st.Predicate.Base.Tree
	used := g.used(st)
	out := map[int]bool{}
	tries := 0
	for _, x := range slices.Backward(with) { // the last has most
		n := g.brought[x]
		if x < g.except || out[x] || used < n {
			continue // nobody asks, it is known, or the ref made that step before
		}
		if tries++; tries > maxTries {
			break
		}
		reached := g.reach([]int{x})
		if base.IsZero() { // it is the first change of all
			g.between(out, n, reached, nil)
			continue
		}
		for _, y := range g.bases(base, x, n, reached) {
			if g.between(out, n, reached, g.reach([]int{y})) {
				break // those after it have less
			}
		}
	}
	return slices.Sorted(maps.Keys(out))
}

// bases returns the commits from which a change to x may come: of those before x's move the last that x has, if it has the tree, since it has
// all others; and the first of the move itself.
func (g *graph) bases(tree oid.ID, x, n int, reached []bool) []int {
	var out []int
	for y := x - 1; y >= 0; y-- {
		if reached[y] && g.brought[y] < n {
			if g.trees[y] == tree {
				out = append(out, y)
			}
			break
		}
	}
	for _, y := range g.with[tree] {
		if y < x && reached[y] && g.brought[y] == n {
			if out = append(out, y); len(out) > maxTries {
				break
			}
		}
	}
	return out
}

// between takes in what was reached and not left out, where one move brought all of it: else the step is from another tree, and it
// returns false.
func (g *graph) between(out map[int]bool, n int, reached, left []bool) bool {
	var all []int
	for i, in := range reached {
		if !in || left != nil && left[i] {
			continue
		}
		if g.brought[i] != n {
			return false
		}
		all = append(all, i)
	}
	for _, i := range all {
		out[i] = true
	}
	return true
}

// used returns the first move by which the ref came to the review's tree from the base's: of that very base where the ref is known to
// have been at it, or after it. Where there was none it is more than there are.
func (g *graph) used(st *review.Statement) int {
	base := st.Predicate.Base.Tree
	from, based := g.index[st.Predicate.Base.Commit]
	based = based && g.stood[from]
	first := len(g.order) + 2
	on := make([]bool, len(g.order)) // it goes on from one with the base's tree
	for i := range g.order {
		for _, p := range g.above[i] {
			on[i] = on[i] || on[p] || (based && p == from) || (!based && g.trees[p] == base)
		}
		if (on[i] || base.IsZero()) && g.trees[i] == st.Tree() {
			first = min(first, g.brought[i]) // 0 where nobody knows by which: it was there before the range
		}
	}
	return first
}
