package provenance

import (
	"maps"
	"slices"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/oid"
)

// A sealedMove is of a file that a sealed commit put at one path and took away at another: whoever moves what others made makes nothing of it.
type sealedMove struct {
	from, to string
	content  oid.ID
	seals    []envelope.Digest // that say so
}

// moves returns by path what old commits moved there, and adds to the paths that are wanted those that it came from.
func (o *originals) moves(old []oid.ID, told map[oid.ID]Origin, by string, wanted map[string]bool) map[string][]sealedMove {
	all := map[string][]sealedMove{}
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
			gone := map[string]string{} // content → the first path that it was taken away from
			for j := range list {
				if c := &list[j]; c.New == "" && gone[c.Old] == "" {
					gone[c.Old] = c.PathBytes()
				}
			}
			for j := range list {
				c := &list[j]
				from, to := gone[c.New], c.PathBytes()
				if c.New == "" || c.New == c.Old || from == "" {
					continue
				}
				content := verdict.RawOf(c).New
				n := slices.IndexFunc(all[to], func(m sealedMove) bool { return m.from == from && m.content == content })
				if n < 0 {
					n = len(all[to])
					all[to] = append(all[to], sealedMove{from: from, to: to, content: content})
				}
				all[to][n].seals = append(all[to][n].seals, x.ID)
			}
		}
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
				if e.to.ID == m.content {
					e.sources = slices.DeleteFunc(slices.Clone(e.sources), func(s int) bool { return slices.Contains(m.seals, sources[s].ID) })
				}
				if len(e.sources) > 0 {
					kept = append(kept, e)
				}
			}
			edges[path] = append(kept, there...)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(moves)) {
		at(path)
	}
}
