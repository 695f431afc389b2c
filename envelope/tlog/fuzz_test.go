package tlog_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	formats "github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/note"

	"github.com/open-covenant/covenant-git/envelope/tlog"
)

// seeds adds what readers get in the vectors of a format.
func seeds(f *testing.F, format string) {
	for _, kind := range []string{"accept", "reject"} {
		for _, b := range readVectors(f, format, kind) {
			_, content, _ := bytes.Cut(b, []byte("\n\n"))
			f.Add(content)
		}
	}
}

// FuzzCheckpoint: what opens encodes to the bytes it was read from, and x/mod opens it too; what can be
// made tidy is tidy then, and says the same.
func FuzzCheckpoint(f *testing.F) {
	seeds(f, "checkpoint")
	seeds(f, "cosignature")
	key := logKey(f, newSigner(f, "log"))
	theirs := note.VerifierList(must(note.NewVerifier(key.String()))(f))
	policy := must(tlog.NewPolicy(0, witnessKeys(f, "witness.example/a", "witness.example/b")...))(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := tlog.Open(b, key); err == nil {
			if !bytes.Equal(c.Bytes(), b) {
				t.Fatalf("%q encodes to %q", b, c.Bytes())
			}
			n, err := note.Open(b, theirs)
			if text, _ := text(c); err != nil || n.Text != text {
				t.Fatalf("x/mod: %v, %q", err, b)
			}
			if seen, err := policy.Check(c); err == nil && len(seen) > 2 {
				t.Fatalf("%v", seen)
			}
		}
		tidy, err := tlog.Tidy(b)
		if err != nil {
			return
		}
		again, err := tlog.Tidy(tidy)
		if err != nil || !bytes.Equal(again, tidy) {
			t.Fatalf("%q is not tidy: %v", tidy, err)
		}
		sorted := func(b []byte) []string {
			lines := slices.Sorted(strings.Lines(string(b)))
			return slices.Compact(lines)
		}
		if !slices.Equal(sorted(b), sorted(tidy)) {
			t.Fatalf("%q became %q", b, tidy)
		}
	})
}

// FuzzAnswer: whatever a witness answers, a checkpoint stays one, and gains only what verifies.
func FuzzAnswer(f *testing.F) {
	c := signed(f, 300)
	for _, name := range []string{"witness.example/a", "witness.example/b"} {
		f.Add([]byte(cosign(f, c, name, seconds)))
	}
	f.Add([]byte(cosign(f, c, "witness.example/a", seconds) + cosign(f, c, "witness.example/a", seconds+1)))
	f.Add([]byte("— other.example AAAAAEFB\n"))
	policy := must(tlog.NewPolicy(0, witnessKeys(f, "witness.example/a", "witness.example/b")...))(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := policy.Join(c, b)
		if err != nil {
			return
		}
		again, err := tlog.Open(got.Bytes(), c.Key())
		if err != nil {
			t.Fatal(err)
		}
		seen, err := policy.Check(again)
		if _, lines := text(again); err != nil || len(lines) != 1+len(seen) {
			t.Fatalf("%v %v: %q", seen, err, got.Bytes())
		}
	})
}

// FuzzKey: a key that is read has this text only, and x/mod agrees about those of logs.
func FuzzKey(f *testing.F) {
	f.Add(logKey(f, newSigner(f, "log")).String())
	f.Add(witnessKey(f, "witness.example/a").String())
	f.Add(smallOrder("x"))
	f.Add("a+00000000+AQ==")
	f.Fuzz(func(t *testing.T, s string) {
		if k, err := tlog.ParseLogKey(s); err == nil {
			v, err := note.NewVerifier(s)
			if k.String() != s || err != nil || v.Name() != string(k.Origin()) || v.KeyHash() != k.ID() {
				t.Fatalf("%q is %s; x/mod: %v", s, k, err)
			}
		}
		if k, err := tlog.ParseWitnessKey(s); err == nil && k.String() != s {
			t.Fatalf("%q is %s", s, k)
		}
	})
}

// FuzzProof: what is read encodes to the bytes it was read from, and formats reads the same.
func FuzzProof(f *testing.F) {
	seeds(f, "tlog-proof")
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := tlog.ParseProof(b)
		if err != nil {
			return
		}
		again, err := p.Bytes()
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%q encodes to %q, %v", b, again, err)
		}
		var theirs formats.TLogProof
		if len(b) > 60_000 { // it reads lines of at most 64 KiB
			return
		}
		if err := theirs.Unmarshal(b); err != nil || theirs.Index != p.Index || !bytes.Equal(theirs.ExtraData, p.Extra) || !bytes.Equal(theirs.Checkpoint, p.Checkpoint) || len(theirs.Hashes) != len(p.Hashes) {
			t.Fatalf("formats: %+v %v", theirs, err)
		}
	})
}

// FuzzRequest: what is read encodes to the bytes it was read from, and a witness cosigns only what it can open.
func FuzzRequest(f *testing.F) {
	tree, m := build(f, records(0, 9))
	five, _ := build(f, records(0, 5))
	c := must(tlog.Sign(origin, tree, newSigner(f, "log")))(f)
	key := c.Key()
	for _, r := range []tlog.Request{{Checkpoint: c.Bytes()}, {Old: 5, Proof: must(view(f, tree, m).Consistency(5))(f), Checkpoint: c.Bytes()}, {Old: 9, Checkpoint: c.Bytes()}} {
		f.Add(must(r.Bytes())(f))
	}
	f.Add([]byte("old 5\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := tlog.ParseRequest(b)
		if err == nil {
			if again, err := r.Bytes(); err != nil || !bytes.Equal(again, b) {
				t.Fatalf("%q encodes to %q, %v", b, again, err)
			}
		}
		d := tlog.Witness(b, func(tlog.Origin) (tlog.LogKey, tlog.Tree, bool) { return key, five, true })
		if err != nil && d.Status != tlog.StatusBadRequest {
			t.Fatalf("%d for what is no request: %v", d.Status, err)
		}
		if d.Status == tlog.StatusCosign && (r.Old != 5 || d.Cosign.Tree() != tree) {
			t.Fatalf("cosigned %s", d.Cosign)
		}
	})
}

// FuzzPlace: a path that is read is the only one of its tile.
func FuzzPlace(f *testing.F) {
	for _, s := range []string{"tile/0/000", "tile/entries/x001/x234/067.p/8", "tile/6/000.p/255", "tile/0/x/000", "tile/data/000"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if p, err := tlog.ParsePlace(s); err == nil && (p.String() != s || p.Width < 1 || p.Width > 256 || p.Level < -1 || p.Level > 6) {
			t.Fatalf("%q is %+v, %s", s, p, p)
		}
	})
}

// FuzzTiles: whatever stands in the files of a log, what comes out is what went in.
func FuzzTiles(f *testing.F) {
	tree, m := build(f, records(0, 300))
	for path, b := range m {
		f.Add(path, b, uint16(0))
		f.Add(path, b[1:], uint16(299))
	}
	f.Fuzz(func(t *testing.T, path string, b []byte, index uint16) {
		v, err := tlog.At(tree, with(m, path, b))
		if err != nil {
			return
		}
		if r, err := v.Record(uint64(index)); err == nil && r != record(int(index)) {
			t.Fatalf("entry %d is %s", index, r.ID())
		}
		if p, err := v.Inclusion(uint64(index)); err == nil {
			if err := tree.CheckInclusion(p, uint64(index), record(int(index))); err != nil {
				t.Fatal(err)
			}
		}
	})
}
