package witness_test

import (
	"crypto/sha256"
	"encoding/binary"
	"path/filepath"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/cmd/internal/witness"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/tlog"
)

const (
	origin = tlog.Origin("covenant/338a8e2812903cf8/de0e73245bf05f58-d7e19f35")
	name   = "witness.example/a"
)

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func newSigner(t testing.TB) identity.Signer {
	t.Helper()
	return must(identity.Generate(filepath.Join(t.TempDir(), "key"), "test", nil))(t)
}

// A book is a log of which a test has all states.
type book struct {
	signer identity.Signer
	key    tlog.LogKey
	tiles  tlog.TileMap
	states map[uint64]*tlog.Checkpoint
	tree   tlog.Tree
}

func newBook(t testing.TB, o tlog.Origin, signer identity.Signer) *book {
	t.Helper()
	return &book{signer: signer, key: must(tlog.NewLogKey(o, signer.Public()))(t), tiles: tlog.TileMap{}, states: map[uint64]*tlog.Checkpoint{}}
}

// grow adds entries whose content begins with salt, so that two logs with one key can differ.
func (b *book) grow(t testing.TB, n int, salt byte) *tlog.Checkpoint {
	t.Helper()
	first := int(b.tree.Size)
	g := must(tlog.Grow(b.tree, b.tiles, func(yield func(tlog.Record, error) bool) {
		for i := range n {
			if !yield(sha256.Sum256(binary.BigEndian.AppendUint64([]byte{salt}, uint64(first+i))), nil) {
				return
			}
		}
	}, b.tiles.Put))(t)
	b.tree = g.Tree
	c := must(tlog.Sign(b.key.Origin(), g.Tree, b.signer))(t)
	b.states[g.Tree.Size] = c
	return c
}

func (b *book) prove(t testing.TB, from, to uint64) []tlog.Hash {
	t.Helper()
	return must(must(tlog.At(b.tree, b.tiles))(t).Between(from, to))(t)
}

// request is the body that asks for the state of a size, from another.
func (b *book) request(t testing.TB, old, size uint64) []byte {
	t.Helper()
	r := tlog.Request{Old: old, Checkpoint: b.states[size].Bytes()}
	if old > 0 && old <= size {
		r.Proof = b.prove(t, old, size)
	}
	return must(r.Bytes())(t)
}

var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// A desk is a witness with its memory, which can be opened again.
type desk struct {
	*witness.Witness
	dir    *witness.Dir
	path   string
	signer identity.Signer
	key    tlog.WitnessKey
	now    time.Time
}

func newDesk(t testing.TB, logs ...tlog.LogKey) *desk {
	t.Helper()
	s := newSigner(t)
	d := &desk{path: filepath.Join(t.TempDir(), "state"), signer: s, key: must(tlog.NewWitnessKey(name, s.Public()))(t), now: noon}
	if err := d.open(t, d.signer, logs...); err != nil {
		t.Fatal(err)
	}
	return d
}

// open is what a new process does.
func (d *desk) open(t testing.TB, signer identity.Signer, logs ...tlog.LogKey) error {
	t.Helper()
	if d.dir != nil {
		_ = d.dir.Close()
	}
	dir, err := witness.OpenDir(d.path, d.key)
	if err != nil {
		return err
	}
	d.dir = dir
	t.Cleanup(func() { _ = dir.Close() })
	w, err := witness.New(dir, signer, logs, func() time.Time { return d.now })
	if err != nil {
		return err
	}
	w.Log = func(line string) { t.Log(line) }
	d.Witness = w
	return nil
}

// cosigned verifies what a witness answered.
func (d *desk) cosigned(t testing.TB, c *tlog.Checkpoint, lines []byte) tlog.Witnessed {
	t.Helper()
	p := must(tlog.NewPolicy(1, d.key))(t)
	joined := must(p.Join(c, lines))(t)
	return must(p.Check(joined))(t)[0]
}
