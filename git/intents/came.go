package intents

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/intent"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// errAnew says that what is remembered does not fit what came: all of it is read once more.
var errAnew = errors.New("ledgers came out of their order")

// entry is one that came: what it says of an intent, if anything, and what its writer had seen.
type entry struct {
	fact  *intent.Fact
	heads []envelope.Head // as far as they name what is here
	id    envelope.Digest
	key   string
	seq   uint64
	time  string
}

// rival is what statements have in common of which at most one counts.
type rival struct {
	id    intent.ID
	after envelope.Digest
}

// mostLooked is how many entries of before are looked up one by one; where more are named, all is read anew, which costs no more.
const mostLooked = 64

// spot is the place of an entry.
type spot struct {
	ledger string
	seq    uint64
}

// follow reads what the ledgers of intents gained.
func (g *gathering) follow(granted bool) error {
	here := map[string]bool{}
	for _, name := range names(g.tips) {
		n := name.String()
		here[n] = true
		m := g.head.Ledgers[n]
		if m == nil {
			m = &mark{}
			g.head.Ledgers[n] = m
		}
		tip := g.tips[name.Ref()]
		if m.Commit == tip.String() || m.Bad == tip.String() && !granted {
			continue
		}
		end, wrong, err := g.f.Follow(g.s, name, tip, m.Followed, g.cuts[n], func(x provenance.Next) error {
			if !g.anew && x.Header.Seq <= g.head.Awaited[n] {
				return errAnew // it was named before it came
			}
			g.came[n] = append(g.came[n], g.read(n, m, &x))
			return nil
		})
		if err != nil {
			return err
		}
		delete(g.head.Problems, n)
		if wrong != nil {
			if g.head.Problems == nil {
				g.head.Problems = map[string]verdict.Finding{}
			}
			g.head.Problems[n] = *wrong
		}
		m.Followed = end
	}
	for n, m := range g.head.Ledgers {
		if m.followed(n) && !here[n] {
			return errAnew // a ledger is gone
		}
	}
	return nil
}

// read takes what an entry says of an intent. One that is malformed keeps its place, and says nothing.
func (g *gathering) read(name string, m *mark, x *provenance.Next) entry {
	e := entry{id: x.Opened.ID, key: x.KeyID, seq: x.Header.Seq, time: x.Header.Time, heads: x.Header.Heads}
	operator := dated(g.f.Authority, x.KeyID, name, x.Header.Seq)
	if !operator && m.Time > e.time {
		e.time = m.Time
	}
	m.Time = max(m.Time, e.time)
	p, err := intent.Parse(x.Opened)
	if err != nil {
		return e
	}
	e.fact = &intent.Fact{ID: x.Opened.ID, Key: x.KeyID, Ledger: name, Seq: x.Header.Seq, Time: e.time, Opened: p.Opened, Edited: p.Edited, Moved: p.Moved}
	if who, ok := g.f.Authority.ByKey(x.KeyID); ok {
		e.fact.By = who.Name
	}
	if operator {
		e.fact.Seen = e.time
	}
	return e
}

// here returns those heads that name an entry as it stands here; others are awaited, or name another way that a ledger went.
func (g *gathering) here(heads []envelope.Head) []envelope.Head {
	var out []envelope.Head
	for _, h := range heads {
		if topic, _, _ := strings.Cut(h.Ledger, "/"); topic != intent.Topic {
			if topic == provenance.CapabilityTopic {
				out = append(out, h)
			}
			continue
		}
		switch id, ok := g.idAt(h.Ledger, h.Seq); {
		case !ok:
			if g.head.Awaited == nil {
				g.head.Awaited = map[string]uint64{}
			}
			g.head.Awaited[h.Ledger] = max(g.head.Awaited[h.Ledger], h.Seq)
		case id == h.ID:
			out = append(out, h)
		}
	}
	return out
}

// idAt returns the identity of an entry of a ledger of intents.
func (g *gathering) idAt(name string, seq uint64) (envelope.Digest, bool) {
	had := g.had[name]
	if list := g.came[name]; seq > had.Seq {
		if i := seq - had.Seq - 1; i < uint64(len(list)) {
			return list[i].id, true
		}
		return "", false
	}
	if seq == had.Seq {
		return had.ID, true
	}
	at := spot{name, seq}
	if id, ok := g.known[at]; ok {
		return id, true
	}
	if len(g.known) == mostLooked {
		g.lost = true
		return "", false
	}
	o, err := g.s.Object(fmt.Sprintf("%s~%d:%s", had.Commit, had.Seq-seq, ledger.File), envelope.MaxSize)
	if err != nil {
		return "", false
	}
	e, err := ledger.ParseBlob(o.Data)
	if err != nil {
		return "", false
	}
	g.known[at] = e.ID()
	return e.ID(), true
}

// ingest puts what came to the intents it is about: what an entry names goes before it, so that it is known which statements its writer had seen.
func (g *gathering) ingest() error {
	for _, list := range g.came {
		for i := range list {
			list[i].heads = g.here(list[i].heads)
		}
	}
	done := map[string]int{}
	base := map[string]uint64{}
	for n, list := range g.came {
		base[n] = g.head.Ledgers[n].Seq - uint64(len(list))
	}
	ready := func(n string) bool {
		e := &g.came[n][done[n]]
		return !slices.ContainsFunc(e.heads, func(h envelope.Head) bool {
			i, coming := base[h.Ledger]
			return coming && h.Seq <= i+uint64(len(g.came[h.Ledger])) && h.Seq > i+uint64(done[h.Ledger]) //nolint:gosec // counts
		})
	}
	order := slices.Sorted(maps.Keys(g.came))
	for left := len(order); left > 0; {
		left = 0
		stuck := true
		for _, n := range order {
			for done[n] < len(g.came[n]) && ready(n) {
				stuck = false
				if err := g.put(n, &g.came[n][done[n]]); err != nil {
					return err
				}
				done[n]++
			}
			if done[n] < len(g.came[n]) {
				left++
			}
		}
		if stuck && left > 0 { // some name each other, as no honest writers' do
			for _, n := range order {
				if done[n] < len(g.came[n]) {
					if err := g.put(n, &g.came[n][done[n]]); err != nil {
						return err
					}
					done[n]++
					break
				}
			}
		}
	}
	return nil
}

func (g *gathering) put(n string, e *entry) error {
	m := g.head.Ledgers[n]
	for _, h := range e.heads {
		if strings.HasPrefix(h.Ledger, intent.Topic+"/") {
			if m.Saw == nil {
				m.Saw = map[string]uint64{}
			}
			m.Saw[h.Ledger] = max(m.Saw[h.Ledger], h.Seq)
		}
	}
	if dated(g.f.Authority, e.key, n, e.seq) {
		g.saw(sighting{Time: e.time, By: n, BySeq: e.seq}, e.heads)
	}
	if e.fact == nil {
		return nil
	}
	id := e.fact.Intent()
	facts, err := g.of(id)
	if err != nil {
		return err
	}
	for name, first := range g.rivals[rival{id, e.fact.Follows()}] {
		if seq := m.Saw[name]; name != n && seq >= first {
			if e.fact.Saw == nil {
				e.fact.Saw = map[string]uint64{}
			}
			e.fact.Saw[name] = seq
		}
	}
	g.rival(id, e.fact)
	g.facts[id] = append(facts, *e.fact)
	return nil
}

// rival notes a statement among those of which at most one counts.
func (g *gathering) rival(id intent.ID, f *intent.Fact) {
	k := rival{id, f.Follows()}
	if g.rivals[k] == nil {
		g.rivals[k] = map[string]uint64{}
	}
	if first, ok := g.rivals[k][f.Ledger]; !ok || f.Seq < first {
		g.rivals[k][f.Ledger] = f.Seq
	}
}

// of returns the statements about an intent that are known so far.
func (g *gathering) of(id intent.ID) ([]intent.Fact, error) {
	if facts, ok := g.facts[id]; ok {
		return facts, nil
	}
	i, ok := g.at[id]
	if !ok {
		return nil, nil
	}
	s, err := g.Book.read(g.rows.at(i))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errAnew, err)
	}
	facts := make([]intent.Fact, 0, len(s.Steps))
	for _, x := range s.Steps {
		facts = append(facts, x.Fact)
		g.rival(id, &facts[len(facts)-1])
	}
	g.facts[id] = facts
	return facts, nil
}
