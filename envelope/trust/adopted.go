package trust

import (
	"fmt"

	"github.com/open-covenant/covenant-git/envelope"
)

// Adopted is the type of the ledger statement that a version of the trust root came into force.
const Adopted = "root.adopted/v1"

// Adoption is its body. The version itself stands in the chain of the trust root; the entry lets others see that
// there is one. Without a digest it is the last word of a key that the version removes, said right before.
type Adoption struct {
	Digest  envelope.Digest `json:"digest,omitempty"`
	Version int             `json:"version"`
}

// ParseAdopted reads an opened adoption.
func ParseAdopted(o *envelope.Opened) (*envelope.Ledger[Adoption], error) {
	s, err := envelope.Decode[Adoption](o, Adopted)
	if err != nil {
		return nil, err
	}
	if s.Body.Digest != "" && !s.Body.Digest.Valid() || s.Body.Version < 2 {
		return nil, fmt.Errorf("%w: adoption of version %d", ErrInvalid, s.Body.Version)
	}
	return s, nil
}
