package provenance

import (
	"maps"
	"slices"

	"github.com/open-covenant/covenant-git/envelope"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/oid"
)

// A sealedMove is of a file that a sealed commit put at one path and took away at another: whoever moves what others made makes nothing of it.
type sealedMove struct {
	from, to string
	before   verdict.Node // in whose place it was put
	content  oid.ID
	seals    []envelope.Digest // that say so
}

// moves returns by path what old commits moved there, or who amended them to one that has some changes, on some commit, and adds to the paths that are wanted those that it came from.
func (o *originals) moves(changes []prov.Raw, on oid.ID, old []oid.ID, told map[oid.ID]Origin, by string, wanted map[string]bool) map[string][]sealedMove {
	all := map[string][]sealedMove{}
	anew := newlyPlaced(changes)
	for _, id := range old {
		said := told[id]
		again := slices.ContainsFunc(o.f.Rewritten[id], func(x Origin) bool { return x.By == by })
		if !o.ports.take(len(o.f.seals[id])) {
			return nil
		}
		seals := o.f.SealsOf(id)
		for i := range seals {
			x := &seals[i]
			if x.Err != nil || x.Seal == nil || len(x.Seal.Predicate.Changes) != 1 || again && x.KeyID == by || o.counts(x, &said) == nil {
				continue
			}
			list := x.Seal.Predicate.Changes[0]
			if !o.ports.take(len(list)) {
				return nil
			}
			moved := verdict.MovedIn(list)
			if p := x.Seal.Predicate.Parents; len(p) == 1 && p[0] == on { // else that path may have what stood below
				anew.leave(list)
			}
			for j := range list {
				c := &list[j]
				from, is := moved[c.PathBytes()]
				if !is {
					continue
				}
				r := verdict.RawOf(c)
				m := sealedMove{from: from, to: r.Path, before: verdict.Node{Mode: r.OldMode, ID: r.Old}, content: r.New}
				n := slices.IndexFunc(all[m.to], func(x sealedMove) bool { return x.from == m.from && x.before == m.before && x.content == m.content })
				if n < 0 {
					n = len(all[m.to])
					all[m.to] = append(all[m.to], m)
				}
				all[m.to][n].seals = append(all[m.to][n].seals, x.ID)
			}
		}
	}
	for _, m := range anew.moves() {
		all[m.to] = append(all[m.to], m)
	}
	out := map[string][]sealedMove{}
	todo := make([]string, 0, len(wanted))
	for p := range wanted {
		todo = append(todo, p)
	}
	for ; len(todo) > 0; todo = todo[1:] {
		for _, m := range all[todo[0]] {
			if m.content == m.content.Format().Hash("blob", nil) {
				continue // what is empty nobody made
			}
			if out[m.to] = append(out[m.to], m); !wanted[m.from] {
				wanted[m.from] = true
				todo = append(todo, m.from)
			}
		}
	}
	return out
}

// standsOn returns the one parent of a commit, as who sealed it says.
func (o *originals) standsOn(id oid.ID, by string) (on oid.ID) {
	for _, x := range o.f.SealsOf(id) {
		if x.KeyID == by && x.Seal != nil && len(x.Seal.Predicate.Parents) == 1 {
			on = x.Seal.Predicate.Parents[0]
		}
	}
	return on
}

// placed is what a commit puts at paths, of what old commits that were amended to it had at others.
type placed struct {
	at   map[string]*prov.Raw       // by path
	from map[string]map[string]bool // content → where old commits put it, and nothing had stood
}

func newlyPlaced(changes []prov.Raw) *placed {
	p := &placed{at: map[string]*prov.Raw{}, from: map[string]map[string]bool{}}
	for i := range changes {
		r := &changes[i]
		if p.at[r.Path] = r; !r.New.IsZero() {
			p.from[r.New.String()] = map[string]bool{}
		}
	}
	return p
}

// leave notes what an old commit put where.
func (p *placed) leave(list []prov.Change) {
	for j := range list {
		c := &list[j]
		if from := p.from[c.New]; from != nil && (c.Old == "" || p.at[c.PathBytes()] != nil) {
			from[c.PathBytes()] = true
		}
	}
}

// moves are what stands at another path than old commits had it at, and no more there.
func (p *placed) moves() (out []sealedMove) {
	for _, to := range slices.Sorted(maps.Keys(p.at)) {
		r := p.at[to]
		from := p.from[r.New.String()]
		if r.New.IsZero() || from[to] {
			continue
		}
		for _, path := range slices.Sorted(maps.Keys(from)) {
			if there := p.at[path]; there == nil || there.New.IsZero() {
				out = append(out, sealedMove{from: path, to: to, before: verdict.Node{Mode: r.OldMode, ID: r.Old}, content: r.New})
				break
			}
		}
	}
	return out
}

// carry puts what led to a file where it stood in the place of the change of who moved it.
func (o *originals) carry(edges map[string][]share, moves map[string][]sealedMove, sources []verdict.OriginSource) {
	done := map[string]bool{}
	var at func(path string)
	at = func(path string) {
		if done[path] {
			return
		}
		done[path] = true
		for _, m := range moves[path] {
			at(m.from)
			there := edges[m.from]
			if !slices.ContainsFunc(there, func(e share) bool { return e.to.ID == m.content }) || !o.ports.take(len(there)+len(edges[path])) {
				continue
			}
			var kept []share
			for _, e := range edges[path] {
				if e.from == m.before && e.to.ID == m.content {
					e.sources = slices.DeleteFunc(slices.Clone(e.sources), func(s int) bool { return slices.Contains(m.seals, sources[s].ID) })
				}
				if len(e.sources) > 0 {
					kept = append(kept, e)
				}
			}
			kept = append(kept, there...)
			for _, e := range there {
				if e.from == (verdict.Node{}) && m.before != e.from {
					e.from = m.before
					kept = append(kept, e)
				}
			}
			edges[path] = kept
		}
	}
	for _, path := range slices.Sorted(maps.Keys(moves)) {
		at(path)
	}
}
