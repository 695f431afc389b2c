package intents

import (
	"context"

	"github.com/open-covenant/covenant-git/envelope/intent"
)

// fold folds the intents anew of which something came, or is judged otherwise now, and remembers all.
func (g *gathering) fold(ctx context.Context, granted, seen bool) error {
	for i := range g.rows.len() {
		if !granted && !seen {
			break
		}
		if b := g.rows.brief(i); granted && b.judged() || seen && b.unseen() {
			if _, err := g.of(b.ID); err != nil {
				return err
			}
		}
	}
	operators := func() bool {
		for _, facts := range g.facts {
			for i := range facts {
				if !dated(g.f.Authority, facts[i].Key, facts[i].Ledger, facts[i].Seq) {
					return false
				}
			}
		}
		return true
	}
	if !g.full && !operators() {
		if err := g.grant(ctx); err != nil {
			return err
		}
	}
	c := &court{g.f.Authority.Witnessed(g.sight()), g.head.Latest}
	for id, facts := range g.facts {
		for i := range facts {
			if p, ok := g.f.Authority.ByKey(facts[i].Key); ok {
				facts[i].By = p.Name
			}
		}
		s := intent.Fold(id, facts, c.judge)
		g.whole[id] = s
		r := rowOf(s)
		for i := range facts {
			operator := dated(g.f.Authority, facts[i].Key, facts[i].Ledger, facts[i].Seq)
			r.judged = r.judged || !operator
			r.unseen = r.unseen || !operator && facts[i].Seen == ""
		}
		if i, ok := g.at[id]; ok {
			r.at = g.rows.at(i).at
			g.rows.put(i, r)
		} else {
			g.rows.add(r)
			g.at[id] = g.rows.len() - 1
		}
	}
	if g.rows.sort() {
		g.byID = nil
	}
	all := g.anew
	if !all && 2*g.head.Garbage > g.size()+1<<20 { // more than half of the file is nobody's
		for i := range g.rows.len() {
			if _, err := g.Book.wholeOf(g.rows.at(i)); err != nil {
				return err
			}
		}
		all = true
	}
	g.keep(g.whole, all)
	return nil
}

// wholeOf is Intent, before rows have their numbers.
func (b *Book) wholeOf(r *Row) (*intent.Intent, error) {
	if s, ok := b.whole[r.ID]; ok {
		return s, nil
	}
	s, err := b.read(r)
	if err == nil {
		b.whole[r.ID] = s
	}
	return s, err
}

func rowOf(s *intent.Intent) Row {
	r := Row{
		ID: s.ID, Name: s.Fields.Name, State: s.State, Priority: s.Fields.Priority, Role: s.Fields.Role, Title: s.Fields.Title, Next: s.Fields.Next, Parent: s.Fields.Parent, Needs: s.Fields.Needs,
		Lost: len(s.Lost()), Void: s.Void, Trail: trailOf(s),
	}
	if o := s.Opening(); o != nil {
		r.Opened, r.Opener = o.Time, o.By
	}
	if m := s.Moves(); len(m) > 0 {
		last := m[len(m)-1]
		r.Moved, r.Mover = last.Time, last.By
	}
	return r
}
