package event

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope"
)

// Pruned is the type of the statement by which somebody who may says that entries of a ledger of events were dropped. Of these the
// ledger keeps the identities. It stands in a ledger of topic capability, which is read before all others, and of which nothing is
// ever dropped.
const Pruned = "ledger.pruned/v1"

// Pruning is its body. It says all that was dropped of the ledger, also by the statements before it.
type Pruning struct {
	Before  string            `json:"before"`  // what it is the first to drop was made before this time
	Dropped uint64            `json:"dropped"` // how many entries
	Kinds   map[string]uint64 `json:"kinds"`   // how many records of each kind the dropped entries held, as far as its signer knows; see [Rest]
	Last    envelope.Digest   `json:"last"`    // identity of entry UpTo
	Of      string            `json:"of"`      // the ledger, "<topic>/<writer>"
	Ranges  []Range           `json:"ranges"`  // which numbers, in order, as few ranges as say it
	Reason  string            `json:"reason"`  // for people
	Root    envelope.Digest   `json:"root"`    // RFC 6962 tree hash of the identities of entries 1 to UpTo
	UpTo    uint64            `json:"upTo"`    // number of the last entry that is dropped
}

// A Range is the numbers from the first to the last, both included.
type Range [2]uint64

// Has reports whether a number is in the range.
func (r Range) Has(seq uint64) bool { return r[0] <= seq && seq <= r[1] }

// Limits of a pruning.
const (
	MaxRanges = 1 << 16
	maxKinds  = 1024
)

// Rest is what records are counted under whose kinds are more than a statement names.
const Rest = "*"

// FewKinds counts the rarest kinds as [Rest], where there are more than a pruning names.
func FewKinds(kinds map[string]uint64) map[string]uint64 {
	if len(kinds) <= maxKinds {
		return kinds
	}
	names := slices.SortedFunc(maps.Keys(kinds), func(a, b string) int { return cmp.Or(cmp.Compare(kinds[b], kinds[a]), strings.Compare(a, b)) })
	out := map[string]uint64{Rest: kinds[Rest]}
	for _, k := range names {
		switch {
		case k == Rest:
		case len(out) < maxKinds:
			out[k] = kinds[k]
		default:
			out[Rest] += kinds[k]
		}
	}
	return out
}

// Counts returns why a pruning tells wrong numbers of kinds: least has the records of the entries that it is the first to drop, most
// those of all that it drops.
func (p *Pruning) Counts(least, most map[string]uint64) error {
	sum, low, high := uint64(0), uint64(0), uint64(0)
	_, rest := p.Kinds[Rest]
	for k, n := range p.Kinds {
		if sum += n; k != Rest && n > most[k] {
			return fmt.Errorf("%w: pruning: it counts %d records of %s, and there were %d", ErrInvalid, n, k, most[k])
		}
	}
	for k, n := range least {
		if low += n; !rest && n > p.Kinds[k] {
			return fmt.Errorf("%w: pruning: it counts %d records of %s, and there were %d", ErrInvalid, p.Kinds[k], k, n)
		}
	}
	for _, n := range most {
		high += n
	}
	if sum < low || sum > high {
		return fmt.Errorf("%w: pruning: it counts %d records, and there were %d", ErrInvalid, sum, high)
	}
	return nil
}

// CheckReason returns why a text can't be what a pruning, or a resolution, gives as its reason.
func CheckReason(text string) error {
	if text != "" && !envelope.IsText(text, MaxText) {
		return fmt.Errorf("%w: a reason has at most %d bytes of UTF-8, and no control characters but line feeds and tabs", ErrInvalid, MaxText)
	}
	return nil
}

// ParsePruning reads an opened pruning.
func ParsePruning(o *envelope.Opened) (*envelope.Ledger[Pruning], error) {
	s, err := envelope.Decode[Pruning](o, Pruned)
	if err != nil {
		return nil, err
	}
	if err := s.Body.check(); err != nil {
		return nil, err
	}
	return s, nil
}

func (p *Pruning) check() error {
	bad := func(what string) error { return fmt.Errorf("%w: pruning: %s", ErrInvalid, what) }
	switch {
	case p.Of == "" || len(p.Of) > 128:
		return bad("ledger")
	case !p.Last.Valid() || !p.Root.Valid():
		return bad("identity or root")
	case envelope.CheckTime(p.Before) != nil:
		return bad("before")
	case !envelope.IsText(p.Reason, MaxText):
		return bad("reason")
	case len(p.Ranges) == 0 || len(p.Ranges) > MaxRanges:
		return bad("ranges")
	case len(p.Kinds) == 0 || len(p.Kinds) > maxKinds || p.Kinds[Rest] > 0 && len(p.Kinds) < maxKinds:
		return bad("kinds")
	}
	sum, last := uint64(0), uint64(0)
	for i, r := range p.Ranges {
		if r[0] == 0 || r[1] < r[0] || r[1] >= 1<<53 || i > 0 && r[0] <= last+1 {
			return bad("ranges")
		}
		sum, last = sum+r[1]-r[0]+1, r[1]
	}
	if last != p.UpTo || sum != p.Dropped {
		return bad("the ranges are not what it counts")
	}
	for kind, n := range p.Kinds {
		if !envelope.IsLine(kind, MaxWord) || n == 0 || n >= 1<<53 {
			return bad("kinds")
		}
	}
	return nil
}

// Stays returns why a recording is never dropped; "" where it may be. A denial stays, so does what had to be on record for
// somebody to go on, and what this program can't tell from either.
func (r *Recording) Stays() string {
	for i := range r.Events {
		e := &r.Events[i]
		k, known := Find(e.Kind)
		switch {
		case e.Ended() == Denied:
			return "a denial"
		case k.Must:
			return "a record that must be there"
		case e.Kind == "log_record" || e.Kind == "log_imported": // it has denials of its own, and is whole or nothing
			return "a log of another system"
		case !known && e.Outcome == "" && !strings.HasPrefix(e.Kind, "x."): // another release may have it end in a denial
			return "a record of a kind that is not known here"
		}
	}
	return ""
}
