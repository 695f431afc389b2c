package provenance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
)

// fresh returns which entries of next.Former are not in r.
func fresh(r, next *trust.Root) []int {
	var out []int
	for i, x := range next.Former {
		if !slices.ContainsFunc(r.Former, x.Same) {
			out = append(out, i)
		}
	}
	return out
}

// removed returns those entries of next.Former that it brings, and whose ledgers are to be looked up.
func removed(r, next *trust.Root) []int {
	return slices.DeleteFunc(fresh(r, next), func(i int) bool {
		x := next.Former[i]
		return x.Seen != nil || x.Compromised != "" && x.Compromised == r.Created
	})
}

// tainted returns those entries of next.Former that were there, and of which it says more about a theft.
func tainted(r, next *trust.Root) []int {
	var out []int
	for i, x := range next.Former {
		if slices.ContainsFunc(r.Former, func(y trust.Former) bool { return x.Same(y) && x.Compromised != y.Compromised }) {
			out = append(out, i)
		}
	}
	return out
}

// demoted returns those persons of next who are operators no more, since that version.
func demoted(r, next *trust.Root) []int {
	var out []int
	for i, p := range next.Persons {
		if r.IsOperator(p.Name) && !next.IsOperator(p.Name) {
			out = append(out, i)
		}
	}
	return out
}

// lookBack writes down, for each key that a version removes, how far its ledgers reach: what they hold stands, and
// what is added to them does not. Of a key that somebody else may have had since some time, what others had seen before that
// stands, and what this clone itself wrote. It returns what says to Git that the ledgers are still so.
func lookBack(ctx context.Context, s *git.Session, r *Root, next *trust.Root, gone, worse []int) ([]git.RefUpdate, error) {
	fell := demoted(r.Root, next)
	if len(gone)+len(worse)+len(fell) == 0 {
		return nil, nil
	}
	f, err := load(ctx, s, r, nil, nil, nil)
	if err != nil {
		return nil, err
	}
	var same []git.RefUpdate
	look := func(keys []string, stolen string, most func(ledger string) uint64) []envelope.Head {
		seen := []envelope.Head{} // that nothing was there is said as well
		for _, c := range f.chainsOf(keys) {
			n := min(whole(c).Header.Seq, most(c.Name))
			if stolen != "" {
				n = min(n, f.safe(s, c, stolen))
			}
			if n > 0 {
				seen = append(seen, envelope.Head{Ledger: c.Name, Seq: n, ID: c.Entries[n-1].ID})
			}
			if tip := f.Tips[ledger.Prefix+c.Name]; !tip.IsZero() {
				same = append(same, git.RefUpdate{Name: ledger.Prefix + c.Name, New: tip, Old: tip})
			}
		}
		if len(seen) > trust.MaxSeen { // the longest are worth most; what is not named counts for nothing
			slices.SortFunc(seen, func(a, b envelope.Head) int {
				return cmp.Or(cmp.Compare(b.Seq, a.Seq), cmp.Compare(a.Ledger, b.Ledger))
			})
			seen = seen[:trust.MaxSeen]
			slices.SortFunc(seen, func(a, b envelope.Head) int { return cmp.Compare(a.Ledger, b.Ledger) })
		}
		return seen
	}
	all := func(string) uint64 { return math.MaxUint64 }
	for _, i := range fell {
		next.Persons[i].OperatorSeen = look(next.Persons[i].Keys, "", all)
	}
	for _, i := range gone {
		x := &next.Former[i]
		x.Seen = look(x.Keys, x.Compromised, all)
	}
	for _, i := range worse {
		x := &next.Former[i]
		was := r.Former[slices.IndexFunc(r.Former, x.Same)].Seen
		x.Seen = look(x.Keys, x.Compromised, func(ledger string) uint64 {
			for _, h := range was {
				if h.Ledger == ledger {
					return h.Seq
				}
			}
			return 0
		})
	}
	return same, nil
}

// safe returns how many entries of a ledger were made before a time, as far as that is known from others than its writer: from who saw
// them, or because this clone wrote them.
func (f *Facts) safe(s *git.Session, c *verdict.Chain, before string) uint64 {
	t, err := time.Parse(time.RFC3339, before)
	if err != nil {
		return 0 // Validate says it
	}
	n := uint64(0)
	if name, ok := ledger.ParseRef(ledger.Prefix + c.Name); ok {
		if own, err := Own(s.Repo(), name); err == nil && own {
			// What came after this clone's own last entry somebody else wrote, as if it were this clone.
			tip := leftAt(s.Repo(), name)
			end := slices.IndexFunc(c.Entries, func(e verdict.Entry) bool { return e.Commit.String() == tip })
			for n < uint64(end+1) && c.Entries[n].Header.When().Before(t) { //nolint:gosec // -1 and more
				n++
			}
		}
	}
	for _, seen := range f.seen[c.Name] {
		if seen.Time.Before(t) {
			n = max(n, seen.Seq)
		}
	}
	return n
}

// ErrSeen says that a draft names entries that are not here: who signs it would say that they are to be had.
var ErrSeen = errors.New("the draft names entries of ledgers that are not in this clone")

// checkSeen holds what a draft says of how far ledgers reached to what is here.
func checkSeen(ctx context.Context, s *git.Session, r *Root, next *trust.Root) error {
	var heads []envelope.Head
	for _, i := range fresh(r.Root, next) {
		heads = append(heads, next.Former[i].Seen...)
	}
	for _, i := range demoted(r.Root, next) {
		heads = append(heads, next.Persons[i].OperatorSeen...)
	}
	if len(heads) == 0 {
		return nil
	}
	f, err := load(ctx, s, r, nil, nil, nil)
	if err != nil {
		return err
	}
	for _, h := range heads {
		if c := f.Chains[h.Ledger]; c == nil || h.Seq > uint64(len(c.Entries)) || c.Entries[h.Seq-1].ID != h.ID {
			return fmt.Errorf("%w: entry %d (%s) of %s", ErrSeen, h.Seq, h.ID.Short(), h.Ledger)
		}
	}
	return nil
}

// chainsOf returns the ledgers that keys wrote as far as they are whole, sorted by name; those without such an entry are left out.
func (f *Facts) chainsOf(keys []string) []*verdict.Chain {
	ids := map[string]bool{}
	for _, text := range keys {
		if k, err := identity.ParsePublicKey(text); err == nil {
			ids[k.ID()] = true
		}
	}
	var out []*verdict.Chain
	for _, name := range slices.Sorted(maps.Keys(f.Chains)) {
		if e := whole(f.Chains[name]); e != nil && ids[e.KeyID] {
			out = append(out, f.Chains[name])
		}
	}
	return out
}

// whole returns the newest entry of a ledger up to which nothing is wrong with it, nil when there is none.
func whole(c *verdict.Chain) *verdict.Entry {
	n := len(c.Entries)
	if c.Broken != nil {
		n = c.From
	}
	if n == 0 {
		return nil
	}
	return &c.Entries[n-1]
}

// Leave is a key that a version removes, and what is here of its ledgers.
type Leave struct {
	Name      string
	KeyID     string
	Elsewhere []Elsewhere
	Pruned    []string // ledgers that lack entries which nobody else says were dropped, and would be broken by that
}

// Elsewhere is how far a ledger of another clone reaches here.
type Elsewhere struct {
	Ledger string
	Seq    uint64
	Time   string // of its newest entry, as that says
}

// prunedBy returns the ledgers that hold only by what a key said that is not known to have been said before it was stolen.
func (f *Facts) prunedBy(s *git.Session, keyID, stolen string) []string {
	if stolen == "" {
		return nil // what is here of it stands
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(f.gapped)) {
		c := f.Chains[name]
		if c == nil || c.Broken != nil {
			continue
		}
		left := slices.DeleteFunc(f.counting(name), func(p *Pruning) bool {
			return p.KeyID == keyID && p.Seq > f.safe(s, f.Chains[p.Ledger], stolen)
		})
		if len(unsaid(c, left)) > 0 {
			out = append(out, name)
		}
	}
	return out
}

// Leaves tells of the keys that next removes: what they signed in other clones, and is not here
// when next is proposed, counts for nothing from then on.
func Leaves(ctx context.Context, s *git.Session, r *Root, next *trust.Root) ([]Leave, error) {
	gone := removed(r.Root, next)
	if len(gone) == 0 {
		return nil, nil
	}
	f, err := load(ctx, s, r, nil, nil, nil)
	if err != nil {
		return nil, err
	}
	var out []Leave
	for _, i := range gone {
		for _, text := range next.Former[i].Keys {
			k, err := identity.ParsePublicKey(text)
			if err != nil {
				continue // Validate says it
			}
			l := Leave{Name: next.Former[i].Name, KeyID: k.ID()}
			for _, c := range f.chainsOf([]string{text}) {
				last := whole(c)
				if stolen := next.Former[i].Compromised; stolen != "" {
					n := f.safe(s, c, stolen)
					if n == 0 {
						continue
					}
					last = &c.Entries[n-1]
				}
				n, _ := ledger.ParseRef(ledger.Prefix + c.Name)
				if own, err := Own(s.Repo(), n); err == nil && own {
					continue
				}
				l.Elsewhere = append(l.Elsewhere, Elsewhere{c.Name, last.Header.Seq, last.Header.Time})
			}
			l.Pruned = f.prunedBy(s, l.KeyID, next.Former[i].Compromised)
			out = append(out, l)
		}
	}
	return out, nil
}
