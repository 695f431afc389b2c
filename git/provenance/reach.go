package provenance

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/canonical"
	"github.com/open-covenant/covenant-git/envelope/verdict"
)

// A Reach is how far the ledgers and the trust root of a repository reached when it was verified.
// Kept outside of the repository it shows what was taken back since, also when everything was taken back together.
type Reach struct {
	Heads      []envelope.Head `json:"heads"` // by name of the ledger
	Repository envelope.Digest `json:"repository"`
	Root       envelope.Digest `json:"root"` // the version in force
	Type       string          `json:"type"` // "tips"
	Version    int             `json:"version"`
}

// ErrReach says that something is no Reach, or that of another repository.
var ErrReach = errors.New("no tips of this repository")

// maxReach bounds what is read.
const maxReach = 16 << 20

// ParseReach reads what [Reach.Bytes] wrote.
func ParseReach(b []byte) (*Reach, error) {
	var r Reach
	if len(b) > maxReach {
		return nil, fmt.Errorf("%w: %d bytes", ErrReach, len(b))
	}
	if err := canonical.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrReach, err)
	}
	if r.Type != "tips" || r.Version < 1 || !r.Root.Valid() || !r.Repository.Valid() {
		return nil, fmt.Errorf("%w: malformed", ErrReach)
	}
	for _, h := range r.Heads {
		if h.Ledger == "" || h.Seq == 0 || !h.ID.Valid() {
			return nil, fmt.Errorf("%w: head of %.100q", ErrReach, h.Ledger)
		}
	}
	return &r, nil
}

// Bytes returns the one encoding.
func (r *Reach) Bytes() ([]byte, error) { return canonical.Marshal(r) }

// Reached returns how far ledgers and root reach; of a broken chain as far as it is whole.
func (f *Facts) Reached() *Reach {
	r := &Reach{Type: "tips", Repository: f.Root.ID, Root: f.Root.Digest, Version: f.Root.Version, Heads: []envelope.Head{}}
	for _, name := range slices.Sorted(maps.Keys(f.Chains)) {
		c := f.Chains[name]
		n := 0
		for n < len(c.Entries) && c.Entries[n].Err == nil && c.Whole(n) {
			n++
		}
		if n > 0 {
			r.Heads = append(r.Heads, envelope.Head{Ledger: name, Seq: uint64(n), ID: c.Entries[n-1].ID}) //nolint:gosec // a count of entries
		}
	}
	return r
}

// Lacks returns what is not there any more, or is another now. It needs all ledgers: facts from
// memory tell nothing.
func (f *Facts) Lacks(r *Reach) ([]verdict.Finding, error) {
	if r.Repository != f.Root.ID && !f.Root.Replaces(r.Repository) {
		return nil, fmt.Errorf("%w: they are of %s", ErrReach, r.Repository.Short())
	}
	if r.Repository != f.Root.ID {
		return nil, nil // this one replaces it: its ledgers begin anew
	}
	var out []verdict.Finding
	if f.Root.Version < r.Version {
		out = append(out, verdict.Finding{
			Code: verdict.RootMismatch, Object: RootRef, Message: fmt.Sprintf("the trust root was at version %d, and is at %d now", r.Version, f.Root.Version), Hint: "fetch it from who has it",
		})
	}
	w := verdict.World{Chains: f.Chains}
	for _, h := range r.Heads {
		id, ok := w.At(h.Ledger, h.Seq)
		switch {
		case !ok:
			out = append(out, verdict.Finding{
				Code: verdict.LedgerRolledBack, Object: h.Ledger, Message: fmt.Sprintf("it had %d entries when it was verified last (%s), and has %d now", h.Seq, h.ID.Short(), len(entriesOf(f.Chains[h.Ledger]))),
				Hint: "fetch it from who has it",
			})
		case id != h.ID:
			out = append(out, verdict.Finding{
				Code: verdict.LedgerFork, Object: h.Ledger, Message: fmt.Sprintf("entry %d was %s when it was verified last, and is %s now", h.Seq, h.ID.Short(), id.Short()), Hint: "covenant doctor",
			})
		}
	}
	return out, nil
}
