package intents

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/intent"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// grants takes what operators saw as they gave grants.
func (g *gathering) grants() error {
	if !g.full {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(g.f.Chains)) {
		c := g.f.Chains[name]
		if !strings.HasPrefix(name, provenance.CapabilityTopic+"/") {
			continue
		}
		m := g.head.Ledgers[name]
		if m == nil {
			m = &mark{}
			g.head.Ledgers[name] = m
		}
		if m.Seq > uint64(len(c.Entries)) || m.Seq > 0 && c.Entries[m.Seq-1].ID != m.ID {
			return errAnew
		}
		for i := int(m.Seq); i < len(c.Entries) && c.Whole(i); i++ { //nolint:gosec // bounded by the number of entries
			e := &c.Entries[i]
			if e.Err == nil && dated(g.f.Authority, e.KeyID, name, e.Header.Seq) {
				g.saw(sighting{Time: e.Header.Time, By: name, BySeq: e.Header.Seq}, g.here(e.Header.Heads))
			}
			m.Seq, m.ID = e.Header.Seq, e.ID
		}
	}
	return nil
}

// saw notes that an operator named heads, in an entry and at a time.
func (g *gathering) saw(s sighting, heads []envelope.Head) {
	g.head.Latest = max(g.head.Latest, s.Time)
	for _, h := range heads {
		s.Seq = h.Seq
		switch topic, writer, _ := strings.Cut(h.Ledger, "/"); {
		case strings.HasSuffix(s.By, "/"+writer): // its own
		case topic == intent.Topic:
			g.sights[h.Ledger] = append(g.sights[h.Ledger], s)
		case topic == provenance.CapabilityTopic:
			if g.head.Sights == nil {
				g.head.Sights = map[string][]sighting{}
			}
			g.head.Sights[h.Ledger] = append(g.head.Sights[h.Ledger], s)
		}
	}
}

// see says of statements when operators first saw them. It reports whether any was seen.
func (g *gathering) see() (bool, error) {
	type span struct {
		after uint64
		sighting
	}
	spans := map[string][]span{}
	for n, list := range g.sights {
		m := g.head.Ledgers[n]
		if m == nil {
			continue
		}
		slices.SortFunc(list, func(a, b sighting) int {
			return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.By, b.By), cmp.Compare(a.BySeq, b.BySeq))
		})
		for _, s := range list {
			if s.Time < m.SeenTime || s.Time == m.SeenTime && s.By < m.SeenBy {
				return false, errAnew // somebody saw it earlier than was known
			}
			if s.Seq > m.SeenSeq {
				spans[n] = append(spans[n], span{m.SeenSeq, s})
				m.SeenSeq, m.SeenTime, m.SeenBy = s.Seq, s.Time, s.By
			}
		}
	}
	if len(spans) == 0 {
		return false, nil
	}
	for i := range g.rows.len() {
		if b := g.rows.brief(i); b.unseen() {
			if _, err := g.of(b.ID); err != nil {
				return false, err
			}
		}
	}
	for _, facts := range g.facts {
		for i := range facts {
			f := &facts[i]
			for _, s := range spans[f.Ledger] {
				if f.Seen == "" && f.Seq > s.after && f.Seq <= s.Seq {
					f.Seen, f.SeenIn, f.SeenSeq = s.Time, s.By, s.BySeq
				}
			}
		}
	}
	return true, nil
}

// sight tells when an operator first saw a grant that was handed on, or its revocation.
func (g *gathering) sight() capability.Sight {
	return func(p capability.Place) (time.Time, bool) {
		first := ""
		for _, s := range g.head.Sights[p.Ledger] {
			if s.Seq >= p.Seq && (first == "" || s.Time < first) {
				first = s.Time
			}
		}
		t, err := time.Parse(time.RFC3339, first)
		return t, first != "" && err == nil
	}
}
