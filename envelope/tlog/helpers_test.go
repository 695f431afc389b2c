package tlog_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"iter"
	"maps"
	"testing"

	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/tlog"
)

const origin = tlog.Origin("covenant/338a8e2812903cf8/de0e73245bf05f58-d7e19f35")

// signer is a plain ed25519 key whose seed is a name, so that vectors stay the same.
type signer struct {
	private ed25519.PrivateKey
	public  identity.PublicKey
}

func newSigner(t testing.TB, name string) signer {
	t.Helper()
	seed := sha256.Sum256([]byte(name))
	private := ed25519.NewKeyFromSeed(seed[:])
	var wire []byte
	for _, s := range []string{"ssh-ed25519", string(private.Public().(ed25519.PublicKey))} {
		wire = append(binary.BigEndian.AppendUint32(wire, uint32(len(s))), s...)
	}
	public, err := identity.ParsePublicKey("ssh-ed25519 " + base64.StdEncoding.EncodeToString(wire))
	if err != nil {
		t.Fatal(err)
	}
	return signer{private, public}
}

func (s signer) Public() identity.PublicKey { return s.public }

func (s signer) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(s.private, msg), nil }

func logKey(t testing.TB, s identity.Signer) tlog.LogKey {
	t.Helper()
	return must(tlog.NewLogKey(origin, s.Public()))(t)
}

func witnessKey(t testing.TB, name string) tlog.WitnessKey {
	t.Helper()
	return must(tlog.NewWitnessKey(name, newSigner(t, name).Public()))(t)
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// record returns the record of entry i, the same at every call.
func record(i int) tlog.Record {
	return sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
}

func records(from, to int) []tlog.Record {
	var list []tlog.Record
	for i := from; i < to; i++ {
		list = append(list, record(i))
	}
	return list
}

func seq(list []tlog.Record) iter.Seq2[tlog.Record, error] {
	return func(yield func(tlog.Record, error) bool) {
		for _, r := range list {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// grow grows the log in m.
func grow(t testing.TB, old tlog.Tree, m tlog.TileMap, list []tlog.Record) tlog.Growth {
	t.Helper()
	return must(tlog.Grow(old, m, seq(list), m.Put))(t)
}

// build makes a log of list in one go.
func build(t testing.TB, list []tlog.Record) (tlog.Tree, tlog.TileMap) {
	t.Helper()
	m := tlog.TileMap{}
	return grow(t, tlog.Tree{}, m, list).Tree, m
}

func view(t testing.TB, tree tlog.Tree, m tlog.Tiles) *tlog.View {
	t.Helper()
	return must(tlog.At(tree, m))(t)
}

// naive is RFC 6962, sections 2.1 to 2.1.2, as it is written there.
type naive struct {
	leaves []tlog.Record
	known  map[[2]int]tlog.Hash
}

func newNaive(leaves []tlog.Record) *naive { return &naive{leaves, map[[2]int]tlog.Hash{}} }

// split is the largest power of two smaller than n.
func split(n int) int {
	k := 1
	for k*2 < n {
		k *= 2
	}
	return k
}

// mth is MTH(D[lo:hi]).
func (n *naive) mth(lo, hi int) tlog.Hash {
	if h, ok := n.known[[2]int{lo, hi}]; ok {
		return h
	}
	var h tlog.Hash
	switch hi - lo {
	case 0:
		h = sha256.Sum256(nil)
	case 1:
		h = sha256.Sum256(append([]byte{0}, n.leaves[lo][:]...))
	default:
		k := split(hi - lo)
		left, right := n.mth(lo, lo+k), n.mth(lo+k, hi)
		h = sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
	}
	n.known[[2]int{lo, hi}] = h
	return h
}

// path is PATH(m, D[lo:hi]), m counted from lo.
func (n *naive) path(m, lo, hi int) []tlog.Hash {
	if hi-lo == 1 {
		return nil
	}
	k := split(hi - lo)
	if m < k {
		return append(n.path(m, lo, lo+k), n.mth(lo+k, hi))
	}
	return append(n.path(m-k, lo+k, hi), n.mth(lo, lo+k))
}

// subproof is SUBPROOF(m, D[lo:hi], whole).
func (n *naive) subproof(m, lo, hi int, whole bool) []tlog.Hash {
	if m == hi-lo {
		if whole {
			return nil
		}
		return []tlog.Hash{n.mth(lo, hi)}
	}
	k := split(hi - lo)
	if m <= k {
		return append(n.subproof(m, lo, lo+k, whole), n.mth(lo+k, hi))
	}
	return append(n.subproof(m-k, lo+k, hi, false), n.mth(lo, lo+k))
}

// flips calls f with a copy of b for each bit of b, with that bit changed.
func flips(b []byte, f func(bit int, changed []byte)) {
	for bit := range 8 * len(b) {
		changed := append([]byte(nil), b...)
		changed[bit/8] ^= 1 << (bit % 8)
		f(bit, changed)
	}
}

func with(m tlog.TileMap, path string, b []byte) tlog.TileMap {
	m = maps.Clone(m)
	m[path] = b
	return m
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func unb64(t testing.TB, s string) []byte {
	t.Helper()
	return must(base64.StdEncoding.Strict().DecodeString(s))(t)
}

// smallOrder is the text of a log's key under which anybody can sign.
func smallOrder(name string) string {
	material := make([]byte, 33)
	material[0], material[1] = 1, 1 // the neutral point
	id := sha256.Sum256(append([]byte(name+"\n"), material...))
	return name + "+" + hex.EncodeToString(id[:4]) + "+" + b64(material)
}
