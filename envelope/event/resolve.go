package event

import (
	"fmt"

	"github.com/open-covenant/covenant-git/envelope"
)

// Resolved is the type of the statement by which an operator says which way a ledger went whose writer signed two entries of one
// number. It stands in a ledger of topic capability, since it says which grants count.
const Resolved = "ledger.resolved/v1"

// Resolution is its body.
type Resolution struct {
	Drop   envelope.Digest `json:"drop"`             // the entry of that number that counts for nothing, with all that follows it
	Keep   envelope.Digest `json:"keep"`             // the one that the ledger has
	Ledger string          `json:"ledger"`           // "<topic>/<writer>"
	Reason string          `json:"reason,omitempty"` // for people
	Seq    uint64          `json:"seq"`              // their number
}

// ParseResolution reads an opened resolution.
func ParseResolution(o *envelope.Opened) (*envelope.Ledger[Resolution], error) {
	s, err := envelope.Decode[Resolution](o, Resolved)
	if err != nil {
		return nil, err
	}
	if b := &s.Body; !b.Keep.Valid() || !b.Drop.Valid() || b.Keep == b.Drop || b.Ledger == "" || len(b.Ledger) > 128 || b.Seq == 0 || b.Seq >= 1<<53 || len(b.Reason) > MaxText {
		return nil, fmt.Errorf("%w: resolution", ErrInvalid)
	}
	return s, nil
}
