package tlog

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/mod/sumdb/tlog"
)

// maxKept bounds the tiles that a View keeps, 8 KiB each.
const maxKept = 256

// View reads a log as one tree of it: everything it returns was checked against the tree's root. It
// reads the tiles that an answer needs, keeps some of them, and is for one goroutine.
//
// It does not use TileHashReader of x/mod, which cannot say which tile is damaged.
type View struct {
	tree  Tree
	tiles Tiles
	edge  [maxLevel + 1][]byte // the partial tile of each level
	kept  map[Place][]byte     // full tiles that were checked
}

// At opens the log as the tree t, which the caller trusts: it comes from a checkpoint that was opened.
// It reads the partial tiles at the right edge and checks that they make the root; else the error is a
// [*TileError]. A partial tile that is gone is taken from the full one (tlog-tiles).
func At(t Tree, tiles Tiles) (*View, error) {
	t, err := t.whole()
	if err != nil {
		return nil, err
	}
	v := &View{tree: t, tiles: tiles, kept: make(map[Place][]byte)}
	var paths []string
	for level := range v.edge {
		p := edge(level, t.Size)
		if p.Width == 0 {
			continue
		}
		if v.edge[level], err = v.read(p); err != nil {
			return nil, err
		}
		paths = append(paths, p.String())
	}
	if rootOf(v.edge[:]) != t.Root {
		return nil, &TileError{paths, ErrDamaged}
	}
	return v, nil
}

// Tree returns the tree that the view is of.
func (v *View) Tree() Tree { return v.tree }

// read reads a tile of the right length, unchecked.
func (v *View) read(p Place) ([]byte, error) {
	path := p.String()
	b, err := v.tiles.Tile(path)
	want := p.bytes()
	if err != nil && p.Width < width && errors.Is(err, fs.ErrNotExist) {
		full := Place{p.Level, p.Index, width}
		if b2, err2 := v.tiles.Tile(full.String()); err2 == nil {
			if len(b2) != full.bytes() {
				return nil, &TileError{[]string{full.String()}, ErrDamaged}
			}
			b, err = b2[:want], nil
		}
	}
	if err != nil {
		return nil, &TileError{[]string{path}, err}
	}
	if len(b) != want {
		return nil, &TileError{[]string{path}, ErrDamaged}
	}
	return b, nil
}

// tile returns a tile of hashes, checked against its parent, or the edge.
func (v *View) tile(level int, index uint64) ([]byte, error) {
	switch p := edge(level, v.tree.Size); {
	case index == p.Index && p.Width > 0:
		return v.edge[level], nil
	case index >= p.Index:
		return nil, fmt.Errorf("%w: tile %d of level %d", ErrIndex, index, level)
	}
	p := Place{level, index, width}
	if b, ok := v.kept[p]; ok {
		return b, nil
	}
	parent, err := v.tile(level+1, index/width)
	if err != nil {
		return nil, err
	}
	b, err := v.read(p)
	if err != nil {
		return nil, err
	}
	at := index % width * hashLen
	if subtree(b) != Hash(parent[at:at+hashLen]) {
		return nil, &TileError{[]string{p.String()}, ErrDamaged}
	}
	if len(v.kept) >= maxKept {
		clear(v.kept)
	}
	v.kept[p] = b
	return b, nil
}

// bundle returns a tile of records, checked against its leaf hashes.
func (v *View) bundle(p Place) ([]byte, error) {
	leaves, err := v.tile(0, p.Index)
	if err != nil {
		return nil, err
	}
	b, err := v.read(p)
	if err != nil {
		return nil, err
	}
	for i := range p.Width {
		e := b[i*entryLen:][:entryLen]
		h := Record(e[2:]).Leaf()
		if e[0] != 0 || e[1] != hashLen || !bytes.Equal(h[:], leaves[i*hashLen:][:hashLen]) {
			return nil, &TileError{[]string{p.String()}, ErrDamaged}
		}
	}
	return b, nil
}

// Record returns the record of an entry, ErrIndex if there is none, or a [*TileError].
func (v *View) Record(index uint64) (Record, error) {
	if index >= v.tree.Size {
		return Record{}, fmt.Errorf("%w: entry %d of %d", ErrIndex, index, v.tree.Size)
	}
	p := Place{entries, index / width, width}
	if e := edge(entries, v.tree.Size); e.Index == p.Index {
		p = e
	}
	b, err := v.bundle(p)
	if err != nil {
		return Record{}, err
	}
	return Record(b[index%width*entryLen+2:][:hashLen]), nil
}

// Was returns the tree as it was with size entries, ErrSize if the log has fewer, or a [*TileError].
func (v *View) Was(size uint64) (Tree, error) {
	if size > v.tree.Size {
		return Tree{}, fmt.Errorf("%w: %d; it has %d", ErrSize, size, v.tree.Size)
	}
	h, err := tlog.TreeHash(int64(size), tlog.HashReaderFunc(v.hashes)) // below 2^53
	return Tree{size, Hash(h)}, err
}

// Inclusion proves that the tree has the entry of this index. Check it with [Tree.CheckInclusion]. The
// error is ErrIndex or a [*TileError].
func (v *View) Inclusion(index uint64) ([]Hash, error) {
	if index >= v.tree.Size {
		return nil, fmt.Errorf("%w: entry %d of %d", ErrIndex, index, v.tree.Size)
	}
	p, err := tlog.ProveRecord(int64(v.tree.Size), int64(index), tlog.HashReaderFunc(v.hashes))
	return ours(p), err
}

// Consistency proves that the tree began as the one with size entries. Check it with
// [Tree.CheckConsistency]. The proof from no entries is empty. The error is ErrSize or a [*TileError].
func (v *View) Consistency(size uint64) ([]Hash, error) { return v.Between(size, v.tree.Size) }

// Between is Consistency of two earlier states of the log: it proves that the tree with later entries began as the one with
// earlier ones. ErrSize when they are not in this order, or the log has fewer.
func (v *View) Between(earlier, later uint64) ([]Hash, error) {
	switch {
	case later > v.tree.Size || earlier > later:
		return nil, fmt.Errorf("%w: %d and %d; it has %d", ErrSize, earlier, later, v.tree.Size)
	case earlier == 0:
		return nil, nil
	}
	p, err := tlog.ProveTree(int64(later), int64(earlier), tlog.HashReaderFunc(v.hashes))
	return ours(p), err
}

// hashes answers for the numbers by which x/mod names the hashes of a tree.
func (v *View) hashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		t := tlog.TileForIndex(8, index)
		b, err := v.tile(t.L, uint64(t.N))
		if err != nil {
			return nil, err
		}
		t.W = len(b) / hashLen
		if out[i], err = tlog.HashFromTile(t, b, index); err != nil {
			return nil, fmt.Errorf("%w: %v", ErrIndex, err)
		}
	}
	return out, nil
}

func ours[P ~[]tlog.Hash](p P) []Hash {
	var out []Hash
	for _, h := range p {
		out = append(out, Hash(h))
	}
	return out
}

func theirs(p []Hash) []tlog.Hash {
	var out []tlog.Hash
	for _, h := range p {
		out = append(out, tlog.Hash(h))
	}
	return out
}

// CheckInclusion returns nil if proof shows that the entry of this index in the tree has the record r.
// The error wraps ErrIndex, ErrProof, or says that t is no tree.
func (t Tree) CheckInclusion(proof []Hash, index uint64, r Record) error {
	t, err := t.whole()
	if err != nil {
		return err
	}
	if index >= t.Size {
		return fmt.Errorf("%w: entry %d of %d", ErrIndex, index, t.Size)
	}
	if len(proof) > MaxHashes {
		return fmt.Errorf("%w: %d hashes", ErrTooLarge, len(proof))
	}
	if tlog.CheckRecord(theirs(proof), int64(t.Size), tlog.Hash(t.Root), int64(index), tlog.Hash(r.Leaf())) != nil {
		return fmt.Errorf("%w: entry %d of the tree of %d entries", ErrProof, index, t.Size)
	}
	return nil
}

// CheckConsistency returns nil if proof shows that the tree t began as old: every entry of old is in t, at
// its place. The error wraps ErrSize when old is larger, ErrProof, or says that one is no tree.
func (t Tree) CheckConsistency(proof []Hash, old Tree) error {
	t, err := t.whole()
	if err != nil {
		return err
	}
	if old, err = old.whole(); err != nil {
		return err
	}
	switch {
	case old.Size > t.Size:
		return fmt.Errorf("%w: %d; it has %d", ErrSize, old.Size, t.Size)
	case len(proof) > MaxHashes:
		return fmt.Errorf("%w: %d hashes", ErrTooLarge, len(proof))
	case old.Size == 0 && len(proof) == 0, old == t && len(proof) == 0:
		return nil
	case old.Size == 0, old.Size == t.Size,
		tlog.CheckTree(theirs(proof), int64(t.Size), tlog.Hash(t.Root), int64(old.Size), tlog.Hash(old.Root)) != nil:
		return fmt.Errorf("%w: from %d to %d entries", ErrProof, old.Size, t.Size)
	}
	return nil
}
