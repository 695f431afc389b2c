package tlog_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	sumdb "golang.org/x/mod/sumdb/tlog"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/tlog"
)

func theirs(p []tlog.Hash) []sumdb.Hash {
	out := make([]sumdb.Hash, len(p))
	for i, h := range p {
		out[i] = sumdb.Hash(h)
	}
	return out
}

// tileReader lets x/mod read our tiles. Its paths have the height in them.
type tileReader struct {
	t *testing.T
	m tlog.TileMap
}

func (r tileReader) Height() int { return 8 }

func (r tileReader) ReadTiles(tiles []sumdb.Tile) ([][]byte, error) {
	var out [][]byte
	for _, tile := range tiles {
		b, err := r.m.Tile(strings.Replace(tile.Path(), "tile/8/", "tile/", 1))
		if err != nil {
			r.t.Errorf("%s: %v", tile.Path(), err)
			return nil, err
		}
		out = append(out, b)
	}
	return out, nil
}

func (tileReader) SaveTiles([]sumdb.Tile, [][]byte) {}

func TestRecordOf(t *testing.T) {
	id := envelope.Digest("sha256:883faafe6c8b66812eda33bd0dee8c00a81ba99d7d8c5a3046b2fbee4a4be052")
	r, err := tlog.RecordOf(id)
	if err != nil || r.ID() != id || fmt.Sprintf("sha256:%x", r[:]) != string(id) {
		t.Errorf("%v %x", err, r)
	}
	if want := sha256.Sum256(append([]byte{0}, r[:]...)); r.Leaf() != want {
		t.Errorf("leaf %s", r.Leaf())
	}
	for _, s := range []envelope.Digest{"", "sha256:", id[:70], "sha512:" + id[7:], id + "0"} {
		if _, err := tlog.RecordOf(s); !errors.Is(err, tlog.ErrSyntax) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

// TestAllSizes compares every tree up to 600 entries, grown one by one, with the RFC and with x/mod's reader.
func TestAllSizes(t *testing.T) {
	const most = 600
	n := newNaive(records(0, most))
	tree, m := tlog.Tree{}, tlog.TileMap{}
	for size := 0; size <= most; size++ {
		if testing.Short() && size == 270 {
			return
		}
		if size > 0 {
			tree = grow(t, tree, m, n.leaves[size-1:size]).Tree
		}
		if want := n.mth(0, size); tree.Size != uint64(size) || (size > 0 && tree.Root != want) {
			t.Fatalf("size %d: %+v, want %s", size, tree, want)
		}
		v := view(t, tree, m)
		if got := v.Tree().Root; got != n.mth(0, size) {
			t.Fatalf("size %d: %s", size, got)
		}
		reader := sumdb.TileHashReader(sumdb.Tree{N: int64(size), Hash: sumdb.Hash(v.Tree().Root)}, tileReader{t, m})
		for i := range size {
			if size > 40 && (size < 254 || size > 259) && i%31 != size%31 && i < size-2 {
				continue // the same shapes again
			}
			p, err := v.Inclusion(uint64(i))
			if err != nil || !slices.Equal(p, n.path(i, 0, size)) {
				t.Fatalf("entry %d of %d: %v %v", i, size, p, err)
			}
			if err := tree.CheckInclusion(p, uint64(i), record(i)); err != nil {
				t.Fatalf("entry %d of %d: %v", i, size, err)
			}
			if err := sumdb.CheckRecord(theirs(p), int64(size), sumdb.Hash(tree.Root), int64(i), sumdb.Hash(record(i).Leaf())); err != nil {
				t.Fatalf("entry %d of %d: %v", i, size, err)
			}
			if i%61 != size%61 {
				continue
			}
			if other, err := sumdb.ProveRecord(int64(size), int64(i), reader); err != nil || !slices.Equal(theirs(p), other) {
				t.Fatalf("entry %d of %d, by x/mod: %v", i, size, err)
			}
			if r, err := v.Record(uint64(i)); err != nil || r != record(i) {
				t.Fatalf("entry %d of %d: %v %v", i, size, r, err)
			}
			if was, err := v.Was(uint64(i)); err != nil || was.Root != n.mth(0, i) {
				t.Fatalf("%d of %d: %v %v", i, size, was, err)
			}
		}
		for _, err := range []error{
			errOf(v.Inclusion(uint64(size))), errOf(v.Record(uint64(size))), errOf(v.Record(1 << 60)),
			tree.CheckInclusion(nil, uint64(size), record(size)),
		} {
			if !errors.Is(err, tlog.ErrIndex) {
				t.Fatalf("behind the end of %d: %v", size, err)
			}
		}
		for _, err := range []error{errOf(v.Consistency(uint64(size + 1))), errOf(v.Was(uint64(size + 1))), errOf(v.Was(1 << 60))} {
			if !errors.Is(err, tlog.ErrSize) {
				t.Fatalf("behind the end of %d: %v", size, err)
			}
		}
	}
}

func errOf[T any](_ T, err error) error { return err }

// TestConsistencyOfAllPairs: the RFC's proofs, which x/mod accepts, and no others.
func TestConsistencyOfAllPairs(t *testing.T) {
	const most = 70
	n := newNaive(records(0, most))
	_, m := build(t, n.leaves)
	tree := func(size int) tlog.Tree { return tlog.Tree{Size: uint64(size), Root: n.mth(0, size)} }
	for size := 0; size <= most; size++ {
		if size > 0 {
			_, m = build(t, n.leaves[:size])
		}
		v := view(t, tree(size), m)
		for old := 0; old <= size; old++ {
			p, err := v.Consistency(uint64(old))
			if err != nil {
				t.Fatal(err)
			}
			if old > 0 {
				if want := n.subproof(old, 0, size, true); !slices.Equal(p, want) {
					t.Fatalf("%d to %d: %v, want %v", old, size, p, want)
				}
				if err := sumdb.CheckTree(theirs(p), int64(size), sumdb.Hash(tree(size).Root), int64(old), sumdb.Hash(tree(old).Root)); err != nil {
					t.Fatalf("%d to %d, by x/mod: %v", old, size, err)
				}
			}
			if err := tree(size).CheckConsistency(p, tree(old)); err != nil {
				t.Fatalf("%d to %d: %v", old, size, err)
			}
			bad := [][]tlog.Hash{append(slices.Clone(p), tlog.Hash{}), append([]tlog.Hash{{}}, p...)}
			if len(p) > 0 {
				bad = append(bad, p[1:], p[:len(p)-1])
			}
			for i := range p {
				changed := slices.Clone(p)
				changed[i][i%32] ^= 0x10
				bad = append(bad, changed)
			}
			for _, p := range bad {
				if err := tree(size).CheckConsistency(p, tree(old)); !errors.Is(err, tlog.ErrProof) {
					t.Fatalf("%d to %d with another proof: %v", old, size, err)
				}
			}
			other := tree(old)
			other.Root[0] ^= 1
			if err := tree(size).CheckConsistency(p, other); err == nil {
				t.Fatalf("%d to %d from another root", old, size)
			}
			if old < size {
				if err := tree(old).CheckConsistency(p, tree(size)); !errors.Is(err, tlog.ErrSize) {
					t.Fatalf("%d back to %d: %v", size, old, err)
				}
			}
		}
	}
}

// TestGrowthInBatches: however a log grows, it is the same files, once what is superseded is gone.
func TestGrowthInBatches(t *testing.T) {
	for seed := range uint64(6) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		most := 66_000 + rnd.IntN(3000) // beyond the first full tile of level 1
		list := records(0, most)
		tree, once := build(t, list)
		var g tlog.Growth
		m := tlog.TileMap{}
		for at := 0; at < most; {
			n := min(1+rnd.IntN(1+rnd.IntN(20_000)), most-at)
			old := g.Tree
			reads := &counter{m: m}
			var err error
			if g, err = tlog.Grow(old, reads, seq(list[at:at+n]), m.Put); err != nil {
				t.Fatal(err)
			}
			if reads.n > 8 {
				t.Fatalf("growing from %d read %d tiles", at, reads.n)
			}
			for _, path := range g.Filled {
				if len(m[path]) == 0 || !slices.ContainsFunc(g.Superseded, func(s string) bool { return strings.HasPrefix(s, path+".p/") }) {
					t.Fatalf("%s filled, of %v", path, g.Superseded)
				}
			}
			for _, path := range g.Superseded {
				delete(m, path)
			}
			at += n
			// The old tree is still there for who has its checkpoint, where nothing partial was taken away.
			if err := g.Tree.CheckConsistency(must(view(t, g.Tree, m).Consistency(old.Size))(t), old); err != nil {
				t.Fatalf("from %d to %d: %v", old.Size, at, err)
			}
		}
		if g.Tree != tree || !maps.EqualFunc(m, once, bytes.Equal) {
			t.Fatalf("seed %d: %d files in batches, %d at once", seed, len(m), len(once))
		}
	}
}

type counter struct {
	m tlog.TileMap
	n int
}

func (c *counter) Tile(path string) ([]byte, error) {
	c.n++
	return c.m.Tile(path)
}

// TestSpecifiedTiles: the example of tlog-tiles, a log of 70,000 entries, in bytes.
func TestSpecifiedTiles(t *testing.T) {
	list := records(0, 70_000)
	tree, m := build(t, list)
	want := map[string]int{"tile/0/273.p/112": 112 * 32, "tile/1/000": 8192, "tile/1/001.p/17": 17 * 32, "tile/2/000.p/1": 32, "tile/entries/273.p/112": 112 * 34}
	for i := range 273 {
		want[fmt.Sprintf("tile/0/%03d", i)] = 8192
		want[fmt.Sprintf("tile/entries/%03d", i)] = 256 * 34
	}
	got := map[string]int{}
	for path, b := range m {
		got[path] = len(b)
		if p, err := tlog.ParsePlace(path); err != nil || p.String() != path {
			t.Errorf("%s: %v %v", path, p, err)
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("%d files, want %d", len(got), len(want))
	}
	r, h := record(256*3+5), record(256*3+5).Leaf()
	if !bytes.Equal(m["tile/entries/003"][5*34:6*34], append([]byte{0, 32}, r[:]...)) || !bytes.Equal(m["tile/0/003"][5*32:6*32], h[:]) {
		t.Error("entry 773 stands elsewhere")
	}
	n := newNaive(list)
	h = n.mth(256*5, 256*6)
	if !bytes.Equal(m["tile/1/000"][5*32:6*32], h[:]) {
		t.Error("the hash of full tile 5 stands elsewhere")
	}
	if h = n.mth(0, 65536); !bytes.Equal(m["tile/2/000.p/1"], h[:]) || tree.Root != n.mth(0, 70_000) {
		t.Error("the top is another")
	}
}

// TestLeaves: a leaf dropped, doubled, swapped, added or changed is another log, without a proof from the first.
func TestLeaves(t *testing.T) {
	for _, size := range []int{2, 3, 255, 256, 257, 300, 520} {
		list := records(0, size)
		tree, _ := build(t, list)
		for _, at := range []int{0, (size - 1) / 2, size - 2} {
			swapped := slices.Clone(list)
			swapped[at], swapped[at+1] = swapped[at+1], swapped[at]
			changed := slices.Clone(list)
			changed[at][31] ^= 1
			for what, other := range map[string][]tlog.Record{
				"dropped":  slices.Delete(slices.Clone(list), at, at+1),
				"doubled":  slices.Insert(slices.Clone(list), at, list[at]),
				"inserted": slices.Insert(slices.Clone(list), at, record(9999)),
				"swapped":  swapped, "changed": changed,
			} {
				fork, m := build(t, other)
				if fork.Root == tree.Root {
					t.Fatalf("%d of %d %s: the root is the same", at, size, what)
				}
				if fork.Size < tree.Size {
					continue
				}
				p := must(view(t, fork, m).Consistency(tree.Size))(t)
				if err := fork.CheckConsistency(p, tree); !errors.Is(err, tlog.ErrProof) {
					t.Fatalf("%d of %d %s: %v", at, size, what, err)
				}
			}
		}
	}
}

// TestSplitView: of two trees of one size neither begins as the other, whatever is offered as a proof.
func TestSplitView(t *testing.T) {
	a, ma := build(t, records(0, 100))
	b, mb := build(t, append(records(0, 99), record(1000)))
	va, vb := view(t, a, ma), view(t, b, mb)
	for size := range uint64(101) {
		for _, v := range []*tlog.View{va, vb} {
			p := must(v.Consistency(size))(t)
			if err := a.CheckConsistency(p, b); !errors.Is(err, tlog.ErrProof) {
				t.Fatalf("proof from %d: %v", size, err)
			}
		}
	}
	if err := a.CheckConsistency(must(va.Inclusion(99))(t), b); !errors.Is(err, tlog.ErrProof) {
		t.Fatal(err)
	}
	longer, m := build(t, append(records(0, 99), record(1000), record(100)))
	if err := longer.CheckConsistency(must(view(t, longer, m).Consistency(100))(t), a); !errors.Is(err, tlog.ErrProof) {
		t.Fatal(err)
	}
}

// TestEveryBitOfTiles: a tile with one bit changed is found, by name, and never grown upon.
func TestEveryBitOfTiles(t *testing.T) {
	const size = 300
	tree, m := build(t, records(0, size))
	for path, b := range m {
		place := must(tlog.ParsePlace(path))(t)
		index := place.Index * 256
		if place.Level == 1 {
			index = 0
		}
		edge := strings.Contains(path, ".p/")
		broken := maps.Clone(m)
		whole := view(t, tree, broken) // keeps no tile that it found damaged
		flips(b, func(bit int, changed []byte) {
			if testing.Short() && !edge && bit%97 != 0 || !edge && bit/8%1024 >= 32 && bit%8 != bit/8%8 {
				return // of full tiles one bit of each byte, and every bit of every 32nd hash
			}
			var err error
			v := whole
			broken[path] = changed
			if edge {
				v, err = tlog.At(tree, broken)
			}
			if err == nil {
				_, err = v.Record(index)
			}
			var tile *tlog.TileError
			if !errors.Is(err, tlog.ErrDamaged) || !errors.As(err, &tile) || !slices.Contains(tile.Paths, path) {
				t.Fatalf("%s, bit %d: %v", path, bit, err)
			}
			if !edge || bit%8 != bit/8%8 {
				return
			}
			wrote := func(tlog.Tile) error {
				t.Fatalf("%s, bit %d: the log grew", path, bit)
				return nil
			}
			if _, err := tlog.Grow(tree, broken, seq(records(size, size+300)), wrote); !errors.Is(err, tlog.ErrDamaged) {
				t.Fatalf("%s, bit %d: %v", path, bit, err)
			}
		})
		for what, b := range map[string][]byte{"short": b[:len(b)-1], "long": append(slices.Clone(b), 0), "empty": {}} {
			v, err := tlog.At(tree, with(m, path, b))
			if err == nil {
				_, err = v.Record(index)
			}
			if !errors.Is(err, tlog.ErrDamaged) {
				t.Errorf("%s, %s: %v", path, what, err)
			}
		}
		gone := maps.Clone(m)
		delete(gone, path)
		v, err := tlog.At(tree, gone)
		if err == nil {
			_, err = v.Record(index)
		}
		var tile *tlog.TileError
		if !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &tile) || !slices.Equal(tile.Paths, []string{path}) {
			t.Errorf("without %s: %v", path, err)
		}
	}
}

// TestEveryBitOfProofs: a proof of inclusion holds as it is, for its entry, in its tree.
func TestEveryBitOfProofs(t *testing.T) {
	const size, index = 300, 77
	tree, m := build(t, records(0, size))
	v := view(t, tree, m)
	p := must(v.Inclusion(index))(t)
	for i := range p {
		flips(p[i][:], func(bit int, changed []byte) {
			bad := slices.Clone(p)
			bad[i] = tlog.Hash(changed)
			if err := tree.CheckInclusion(bad, index, record(index)); !errors.Is(err, tlog.ErrProof) {
				t.Fatalf("hash %d, bit %d: %v", i, bit, err)
			}
		})
	}
	root := tree.Root
	flips(root[:], func(bit int, changed []byte) {
		if err := (tlog.Tree{Size: size, Root: tlog.Hash(changed)}).CheckInclusion(p, index, record(index)); !errors.Is(err, tlog.ErrProof) {
			t.Fatalf("root, bit %d: %v", bit, err)
		}
	})
	for i := range size {
		if err := tree.CheckInclusion(p, uint64(i), record(index)); (err == nil) != (i == index) {
			t.Errorf("at %d: %v", i, err)
		}
		if err := tree.CheckInclusion(p, index, record(i)); (err == nil) != (i == index) {
			t.Errorf("record %d: %v", i, err)
		}
	}
	for _, bad := range [][]tlog.Hash{nil, p[1:], p[:len(p)-1], append(slices.Clone(p), tlog.Hash{}), append([]tlog.Hash{{}}, p...)} {
		if err := tree.CheckInclusion(bad, index, record(index)); !errors.Is(err, tlog.ErrProof) {
			t.Errorf("%d hashes: %v", len(bad), err)
		}
	}
	if err := tree.CheckInclusion(make([]tlog.Hash, 64), index, record(index)); !errors.Is(err, tlog.ErrTooLarge) {
		t.Error(err)
	}
}

// TestPartialFromFull: a tree that was signed before a tile filled is read from the full tile.
func TestPartialFromFull(t *testing.T) {
	old, m := build(t, records(0, 300))
	g := grow(t, old, m, records(300, 600))
	if want := []string{"tile/entries/001.p/44", "tile/0/001.p/44", "tile/1/000.p/1"}; !slices.Equal(g.Superseded, want) {
		t.Fatal(g.Superseded)
	}
	if want := []string{"tile/entries/001", "tile/0/001"}; !slices.Equal(g.Filled, want) {
		t.Fatal(g.Filled)
	}
	delete(m, "tile/entries/001.p/44")
	delete(m, "tile/0/001.p/44")
	v := view(t, old, m)
	if err := old.CheckInclusion(must(v.Inclusion(299))(t), 299, must(v.Record(299))(t)); err != nil {
		t.Error(err)
	}
	m["tile/0/001"] = m["tile/0/001"][:8191]
	if _, err := tlog.At(old, m); !errors.Is(err, tlog.ErrDamaged) {
		t.Error(err)
	}
}

func TestGrowStops(t *testing.T) {
	tree, m := build(t, records(0, 10))
	before := maps.Clone(m)
	stop := errors.New("stop")
	bad := func(yield func(tlog.Record, error) bool) { _ = yield(record(10), nil) && yield(tlog.Record{}, stop) }
	if _, err := tlog.Grow(tree, m, bad, m.Put); !errors.Is(err, stop) || !maps.EqualFunc(m, before, bytes.Equal) {
		t.Errorf("%v, %d files", err, len(m))
	}
	for fail := range 4 { // two full tiles, two partial ones
		n := 0
		write := func(tlog.Tile) error {
			if n++; n > fail {
				return stop
			}
			return nil
		}
		if _, err := tlog.Grow(tree, m, seq(records(10, 300)), write); !errors.Is(err, stop) {
			t.Errorf("write %d: %v", fail, err)
		}
	}
	if g, err := tlog.Grow(tree, m, seq(nil), func(tlog.Tile) error { return stop }); err != nil || g.Tree != tree || g.Superseded != nil {
		t.Errorf("%+v %v", g, err)
	}
}

// TestLargest: at the limit of size a log is read, and does not grow.
func TestLargest(t *testing.T) {
	tile := make([]byte, 32*32)
	var hashes []tlog.Hash
	for i := range 32 {
		hashes = append(hashes, record(i).Leaf())
		copy(tile[32*i:], hashes[i][:])
	}
	for len(hashes) > 1 {
		hashes[0] = tlog.Hash(sumdb.NodeHash(sumdb.Hash(hashes[0]), sumdb.Hash(hashes[1])))
		hashes = append(hashes[:1], hashes[2:]...)
		if len(hashes) > 1 { // rotate, so that a whole row is joined before the next
			hashes = append(hashes[1:], hashes[0])
		}
	}
	tree := tlog.Tree{Size: tlog.MaxSize, Root: hashes[0]}
	m := tlog.TileMap{"tile/6/000.p/32": tile}
	v := view(t, tree, m)
	if _, err := v.Inclusion(tlog.MaxSize - 1); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "tile/5/031") {
		t.Error(err)
	}
	if _, err := tlog.Grow(tree, m, seq(records(0, 1)), m.Put); !errors.Is(err, tlog.ErrTooLarge) {
		t.Error(err)
	}
	tree.Size++
	if _, err := tlog.At(tree, m); !errors.Is(err, tlog.ErrTooLarge) {
		t.Error(err)
	}
	if err := tree.CheckInclusion(nil, 0, record(0)); !errors.Is(err, tlog.ErrTooLarge) {
		t.Error(err)
	}
	if _, err := tlog.At(tlog.Tree{Root: tlog.Hash{1}}, m); !errors.Is(err, tlog.ErrSyntax) {
		t.Error(err)
	}
}

func TestPlaces(t *testing.T) {
	for path, want := range map[string]tlog.Place{
		"tile/0/000":                     {Level: 0, Index: 0, Width: 256},
		"tile/0/x001/x234/067":           {Level: 0, Index: 1234067, Width: 256},
		"tile/entries/x001/000.p/255":    {Level: -1, Index: 1000, Width: 255},
		"tile/6/000.p/1":                 {Level: 6, Index: 0, Width: 1},
		"tile/0/x035/x184/x372/x088/831": {Index: 1<<45 - 1, Width: 256},
	} {
		if got, err := tlog.ParsePlace(path); err != nil || got != want || got.String() != path {
			t.Errorf("%s: %+v %v", path, got, err)
		}
	}
	for _, path := range []string{
		"", "tile", "tile/", "tile/0", "tile/0/", "tile/7/000", "tile/00/000", "tile/-1/000", "tile/+1/000", "tile/8/0/000", "tile/data/000",
		"tile/0/0", "tile/0/00", "tile/0/0000", "tile/0/x000/000", "tile/0/001/234", "tile/0/x001/x234", "tile/0/x001/23", "tile/0/001.p/", "tile/0/001.p/0",
		"tile/0/001.p/256", "tile/0/001.p/01", "tile/0/001.p/1.p/1", "/tile/0/000", "tile/0/000/", "tile/0/../000", "tile/6/001", "tile/0/x035/x184/x372/x088/832",
		"tile/0/x99999999999999999999/000", "tile/0/x00x/1",
	} {
		if p, err := tlog.ParsePlace(path); !errors.Is(err, tlog.ErrSyntax) {
			t.Errorf("%q: %+v %v", path, p, err)
		}
	}
}
