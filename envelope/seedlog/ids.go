package seedlog

import (
	"crypto/sha256"
	"encoding/binary"
)

const (
	maxExact    = 1 << 16 // ids that are remembered as they are
	filterBits  = 1 << 27 // of the filter for those after them: 16 MiB, wrong once in 10^9 times at a million ids
	maxSuspects = 1 << 12
)

// ids finds ids that come twice in the same memory for any number of them: the first ones are remembered, of the others
// a filter knows those that were certainly not there. What it does not know so is a suspect, and looked for again.
type ids struct {
	exact    map[string]int
	filter   []uint64
	suspects map[string]int
	over     bool // there were more suspects than are kept
}

// add reports where an id was, if that is known.
func (s *ids) add(id string, number int) (at int, twice bool) {
	if at, twice = s.exact[id]; twice {
		return at, true
	}
	if len(s.exact) < maxExact {
		if s.exact == nil {
			s.exact = map[string]int{}
		}
		s.exact[id] = number
		return 0, false
	}
	if s.filter == nil {
		s.filter = make([]uint64, filterBits/64)
		s.suspects = map[string]int{}
	}
	sum, there := sha256.Sum256([]byte(id)), true
	for i := 0; i < len(sum); i += 4 {
		bit := binary.LittleEndian.Uint32(sum[i:]) % filterBits
		there = there && s.filter[bit/64]&(1<<(bit%64)) != 0
		s.filter[bit/64] |= 1 << (bit % 64)
	}
	if there {
		if _, known := s.suspects[id]; !known && len(s.suspects) == maxSuspects {
			s.over = true
		} else if !known {
			s.suspects[id] = 0
		}
	}
	return 0, false
}
