package verdict

import "cmp"

// seen is who saw a seal first: an operator who made it did.
func (w *World) seen(s *ExamSeal) Seen {
	if w.Operator(s.KeyID) && (s.Seen.Time == "" || s.Time < s.Seen.Time) {
		return Seen{KeyID: s.KeyID, Time: s.Time}
	}
	return s.Seen
}

// SeenBefore reports whether one seal was seen before another one, by whoever is believed about times.
func (w *World) SeenBefore(a, b *ExamSeal) bool { return compareSeen(w.seen(a), w.seen(b)) < 0 }

// saw reports whether the writer of a seal had seen another one, as the heads in its ledger say.
func (w *World) saw(x, other *Candidate) bool {
	if x.Ledger == other.Ledger {
		return x.Ledger != "" && other.Index < x.Index
	}
	c := w.Chains[x.Ledger]
	if c == nil || other.Ledger == "" {
		return false
	}
	for i := min(x.Index, len(c.Entries)-1); i >= 0; i-- {
		for _, h := range c.Entries[i].Header.Heads {
			if h.Ledger == other.Ledger {
				id, there := w.At(h.Ledger, h.Seq)
				return there && id == h.ID && h.Seq > uint64(other.Index) //nolint:gosec // an index is no negative number
			}
		}
	}
	return false
}

func compareSeen(a, b Seen) int {
	if (a.Time == "") != (b.Time == "") {
		return cmp.Compare(b.Time, a.Time) // seen by somebody before seen by nobody
	}
	return cmp.Compare(a.Time, b.Time)
}
