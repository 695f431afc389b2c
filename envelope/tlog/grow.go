package tlog

import (
	"fmt"
	"iter"
)

// Growth is what became of a log.
type Growth struct {
	Tree Tree
	// Superseded are the partial tiles of the old tree that stand wider or full among those written.
	// No reader of the new tree asks for them; one who still checks the old tree does.
	Superseded []string
	// Filled are the paths of those among the tiles written that are full now and were partial in the
	// old tree: the folder "<path>.p" may go. Before that, tlog-tiles asks a log that serves others
	// to keep the partial tiles of all sizes it signed.
	Filled []string
}

// Grow appends records to the log with the tree old, and hands each tile that is new to write: full
// ones as they fill, then the partial ones. It reads only the partial tiles of old, at most eight, and
// checks them against its root first; so a damaged log is a [*TileError] and nothing was written.
//
// An error of records or write ends Grow and is returned wrapped. Tiles that were written by then do no
// harm: they stand behind the end of old, and the same records give the same tiles again. The caller
// publishes the new tree after all tiles are in place.
func Grow(old Tree, tiles Tiles, records iter.Seq2[Record, error], write func(Tile) error) (Growth, error) {
	v, err := At(old, tiles)
	if err != nil {
		return Growth{}, err
	}
	g := grower{size: v.tree.Size, write: write}
	for level, hashes := range v.edge {
		g.levels[level] = append(make([]byte, 0, width*hashLen), hashes...)
	}
	if p := edge(entries, old.Size); p.Width > 0 {
		bundle, err := v.bundle(p)
		if err != nil {
			return Growth{}, err
		}
		g.bundle = append(make([]byte, 0, width*entryLen), bundle...)
	}
	for r, err := range records {
		if err == nil {
			err = g.add(r)
		}
		if err != nil {
			return Growth{}, fmt.Errorf("growing the log: %w", err)
		}
	}
	return g.end(v.tree)
}

// grower holds the open tile of each level.
type grower struct {
	size   uint64
	bundle []byte
	levels [maxLevel + 1][]byte
	write  func(Tile) error
}

func (g *grower) add(r Record) error {
	if g.size >= MaxSize {
		return fmt.Errorf("%w: a log has at most %d entries", ErrTooLarge, uint64(MaxSize))
	}
	g.bundle = append(append(g.bundle, 0, hashLen), r[:]...)
	if len(g.bundle) == width*entryLen {
		if err := g.put(Place{entries, g.size / width, width}, g.bundle); err != nil {
			return err
		}
		g.bundle = make([]byte, 0, width*entryLen)
	}
	h := r.Leaf()
	for level := range g.levels {
		g.levels[level] = append(g.levels[level], h[:]...)
		if len(g.levels[level]) < width*hashLen {
			break
		}
		if err := g.put(Place{level, g.size >> (8 * (level + 1)), width}, g.levels[level]); err != nil {
			return err
		}
		h = subtree(g.levels[level])
		g.levels[level] = make([]byte, 0, width*hashLen)
	}
	g.size++
	return nil
}

func (g *grower) put(p Place, b []byte) error {
	path := p.String()
	if err := g.write(Tile{path, b}); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// end writes the partial tiles that old has not.
func (g *grower) end(old Tree) (Growth, error) {
	out := Growth{Tree: Tree{g.size, rootOf(g.levels[:])}}
	for level := entries; level <= maxLevel; level++ {
		was, is := edge(level, old.Size), edge(level, g.size)
		if was == is {
			continue
		}
		if is.Width > 0 {
			b := g.bundle
			if level != entries {
				b = g.levels[level]
			}
			if err := g.put(is, b); err != nil {
				return Growth{}, fmt.Errorf("growing the log: %w", err)
			}
		}
		if was.Width > 0 {
			out.Superseded = append(out.Superseded, was.String())
			if is.Index > was.Index {
				out.Filled = append(out.Filled, Place{level, was.Index, width}.String())
			}
		}
	}
	return out, nil
}

// subtree returns the hash over a power of two of hashes, at most 256.
func subtree(b []byte) Hash {
	var row [width]Hash
	n := len(b) / hashLen
	for i := range n {
		row[i] = Hash(b[i*hashLen:])
	}
	for ; n > 1; n /= 2 {
		for i := range n / 2 {
			row[i] = node(row[2*i], row[2*i+1])
		}
	}
	return row[0]
}

// rootOf returns the root of a tree of which each level's last, partial tile is given. Those hold every
// perfect subtree at the right edge: the root joins them from the smallest up (RFC 6962, section 2.1).
func rootOf(levels [][]byte) Hash {
	root, found := emptyRoot, false
	for _, b := range levels {
		for len(b) > 0 {
			n := len(b) / hashLen
			cut := (n - n&-n) * hashLen
			if h := subtree(b[cut:]); found {
				root = node(h, root)
			} else {
				root, found = h, true
			}
			b = b[:cut]
		}
	}
	return root
}
