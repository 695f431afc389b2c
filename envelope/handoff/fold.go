package handoff

import (
	"cmp"
	"slices"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/git/oid"
)

// Place is where a statement stands, and who signed it.
type Place struct {
	ID     envelope.Digest
	KeyID  string
	Ledger string
	Seq    uint64
	Time   time.Time // as its writer claims
}

// Entry is a statement in its place.
type Entry struct {
	Place
	Commit oid.ID // that is the entry
	Statement
}

// Taken is a resumption in its place, with what became of it.
type Taken struct {
	Place
	Commit   oid.ID // that is the entry
	Again    bool
	Serial   string
	Released bool   // whoever had taken it up let it go, or an operator did
	Void     string // why it counts for nothing, whatever was let go; "" when it may count
	Counts   bool   // it is the one that has the handoff
}

// Over reports whether the resumption was let go, or counts for nothing: somebody else can take the handoff up.
func (t *Taken) Over() bool { return t.Released || t.Void != "" }

// Standing tells what statements rest on beside each other. What a nil function would tell is not so of any.
type Standing struct {
	Saw      func(by, seen Place) bool // the writer of one had seen another
	Void     func(at Place) string     // why a signer has no handoff any more; "" when it may
	Operator func(at Place) bool       // its signer may let go what others took up
}

// Handoff is a handoff, and who took it up.
type Handoff struct {
	Place
	Creation
	Taken []Taken // in the order that decides
}

// By returns the resumption that has the handoff; nil where it is open.
func (h *Handoff) By() *Taken {
	for i := range h.Taken {
		if h.Taken[i].Counts {
			return &h.Taken[i]
		}
	}
	return nil
}

// Lost returns the resumptions that came too late: others had the handoff, and who resumed did not know.
func (h *Handoff) Lost() []Taken {
	return slices.DeleteFunc(slices.Clone(h.Taken), func(t Taken) bool { return t.Counts || t.Again || t.Over() })
}

// Fold puts together what statements say of each handoff, the newest first. Of several resumptions one counts, and everybody
// finds the same: of those that were not let go, whose signers may have one, and that do not say "again", the one that another of them had seen; else the
// one with the earliest time; else that of the smallest identity.
func Fold(entries []Entry, s Standing) []*Handoff {
	byID := map[envelope.Digest]*Handoff{}
	var out []*Handoff
	type release struct {
		of  envelope.Digest
		key string
	}
	released, byOperators := map[release]bool{}, map[envelope.Digest]bool{}
	for _, e := range entries {
		switch {
		case e.Creation != nil:
			if byID[e.ID] == nil {
				h := &Handoff{Place: e.Place, Creation: *e.Creation}
				byID[e.ID] = h
				out = append(out, h)
			}
		case e.Release != nil:
			if released[release{e.Release.Resumed, e.KeyID}] = true; s.Operator != nil && s.Operator(e.Place) {
				byOperators[e.Release.Resumed] = true
			}
		}
	}
	for _, e := range entries {
		if e.Resume == nil {
			continue
		}
		if h := byID[e.Resume.Created]; h != nil && !slices.ContainsFunc(h.Taken, func(t Taken) bool { return t.ID == e.ID }) {
			t := Taken{Place: e.Place, Commit: e.Commit, Again: e.Resume.Again, Serial: e.Resume.Serial, Released: released[release{e.ID, e.KeyID}] || byOperators[e.ID]}
			if s.Void != nil {
				t.Void = s.Void(e.Place)
			}
			h.Taken = append(h.Taken, t)
		}
	}
	for _, h := range out {
		h.decide(s.Saw)
	}
	slices.SortFunc(out, func(a, b *Handoff) int { return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(a.ID, b.ID)) })
	return out
}

func (h *Handoff) decide(saw func(by, seen Place) bool) {
	slices.SortFunc(h.Taken, func(a, b Taken) int { return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.ID, b.ID)) })
	var rivals []int
	for i, t := range h.Taken {
		if !t.Again && !t.Over() {
			rivals = append(rivals, i)
		}
	}
	first := func(i int) bool { // nobody else's was seen by its writer
		return saw == nil || !slices.ContainsFunc(rivals, func(j int) bool { return j != i && saw(h.Taken[i].Place, h.Taken[j].Place) })
	}
	for _, i := range rivals {
		if first(i) {
			h.Taken[i].Counts = true
			return
		}
	}
	if len(rivals) > 0 { // each saw another: they lie, and time decides
		h.Taken[rivals[0]].Counts = true
	}
}
