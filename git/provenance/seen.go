package provenance

import (
	"cmp"
	"slices"

	"github.com/open-covenant/covenant-git/envelope/verdict"
)

// reached is up to which entry another ledger was seen, from an index of one's own on.
type reached struct {
	index int
	upTo  uint64
}

// sights remembers what writers of ledgers had seen of others, as the heads in their entries say: by a ledger and another one.
type sights map[[2]string][]reached

// upTo returns up to which entry the writer of a ledger had seen another one, as it stands here, at an index of its own. take is asked whether so many entries may be looked at.
func (v sights) upTo(f *Facts, ledger string, index int, other string, take func(int) bool) uint64 {
	key := [2]string{ledger, other}
	list, known := v[key]
	if c := f.Chains[ledger]; !known && c != nil {
		if !take(len(c.Entries)) {
			return 0
		}
		there := f.Chains[other]
		for i := range c.Entries {
			for _, h := range c.Entries[i].Header.Heads {
				if h.Ledger != other || len(list) > 0 && h.Seq <= list[len(list)-1].upTo {
					continue
				}
				if there != nil && h.Seq > 0 && h.Seq <= uint64(len(there.Entries)) && there.Entries[h.Seq-1].ID == h.ID {
					list = append(list, reached{i, h.Seq})
				}
			}
		}
		v[key] = list
	}
	n, _ := slices.BinarySearchFunc(list, index, func(r reached, at int) int { return cmp.Or(cmp.Compare(r.index, at), -1) })
	if n == 0 {
		return 0
	}
	return list[n-1].upTo
}

// Told reports whether who said that a commit was made of an old one had seen a seal of that then: what is sealed afterwards, whoever seals it, gives nobody the lines.
func (f *Facts) Told(o *Origin, x *verdict.Candidate) bool {
	return f.told(o, x, sights{}, func(int) bool { return true })
}

func (f *Facts) told(o *Origin, x *verdict.Candidate, v sights, take func(int) bool) bool {
	if x.Ledger == o.Ledger {
		return x.Index < o.Index
	}
	return v.upTo(f, o.Ledger, o.Index, x.Ledger, take) > uint64(x.Index) //nolint:gosec // an index is no negative number
}
