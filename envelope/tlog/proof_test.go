package tlog_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	formats "github.com/transparency-dev/formats/proof"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/tlog"
)

// sealed is the envelope of a small payload, and its record.
func sealed(t testing.TB) ([]byte, tlog.Record) {
	t.Helper()
	s := newSigner(t, "writer")
	e := must(envelope.Seal(envelope.TypeLedger, []byte(`{"type":"x/v1"}`), envelope.SealWith{KeyID: s.public.ID(), Signer: s}))(t)
	return must(e.Bytes())(t), must(tlog.RecordOf(e.ID()))(t)
}

// recordIn computes the record of the envelope in a proof's extra data.
func recordIn(extra []byte) (tlog.Record, error) {
	e, err := envelope.Parse(extra)
	if err != nil {
		return tlog.Record{}, err
	}
	return tlog.RecordOf(e.ID())
}

// selfContained is a proof that has its envelope with it.
func selfContained(t testing.TB, names ...string) ([]byte, tlog.Record) {
	t.Helper()
	extra, r := sealed(t)
	list := records(0, 300)
	list[200] = r
	tree, m := build(t, list)
	c := must(tlog.Sign(origin, tree, newSigner(t, "log")))(t)
	for _, name := range names {
		c = must(must(tlog.NewPolicy(0, witnessKey(t, name)))(t).Join(c, []byte(cosign(t, c, name, seconds))))(t)
	}
	p := tlog.Proof{Index: 200, Hashes: must(view(t, tree, m).Inclusion(200))(t), Checkpoint: c.Bytes(), Extra: extra}
	return must(p.Bytes())(t), r
}

func TestProofOfAnEnvelope(t *testing.T) {
	names := []string{"witness.example/a", "witness.example/b"}
	b, r := selfContained(t, names...)
	key, policy := logKey(t, newSigner(t, "log")), must(tlog.NewPolicy(2, witnessKeys(t, names...)...))(t)
	p, err := tlog.CheckProof(b, key, policy, recordIn)
	if err != nil || p.Index != 200 || p.Record != r || p.Checkpoint.Tree().Size != 300 || len(p.Witnesses) != 2 || must(recordIn(p.Extra))(t) != r {
		t.Fatalf("%+v %v", p, err)
	}
	flips(b, func(bit int, changed []byte) {
		if testing.Short() && bit%8 != bit/8%8 {
			return
		}
		got, err := tlog.CheckProof(changed, key, policy, recordIn)
		// What an envelope's identity does not cover is not proven.
		if err == nil && (got.Record != r || !onlySignature(t, got.Extra, p.Extra)) {
			t.Fatalf("bit %d of %q holds", bit, b[bit/8])
		}
	})
	for n := range b {
		if _, err := tlog.CheckProof(b[:n], key, policy, recordIn); err == nil {
			t.Fatalf("the first %d bytes hold", n)
		}
	}
	refused := errors.New("no envelope")
	if _, err := tlog.CheckProof(b, key, policy, func([]byte) (tlog.Record, error) { return r, refused }); !errors.Is(err, refused) {
		t.Error(err)
	}
	// Another program reads it.
	var theirs formats.TLogProof
	if err := theirs.Unmarshal(b); err != nil || theirs.Index != 200 || !bytes.Equal(theirs.ExtraData, p.Extra) || !bytes.Equal(theirs.Marshal(), b) {
		t.Errorf("formats: %v", err)
	}
}

// onlySignature reports whether two envelopes differ in their signatures or key ids only.
func onlySignature(t *testing.T, a, b []byte) bool {
	t.Helper()
	x, y := must(envelope.Parse(a))(t), must(envelope.Parse(b))(t)
	return x.ID() == y.ID()
}

func TestProofLimits(t *testing.T) {
	c := signed(t, 1).Bytes()
	for what, p := range map[string]tlog.Proof{
		"extra": {Checkpoint: c, Extra: make([]byte, tlog.MaxExtra+1)}, "hashes": {Checkpoint: c, Hashes: make([]tlog.Hash, 64)}, "index": {Checkpoint: c, Index: tlog.MaxSize},
	} {
		if _, err := p.Bytes(); !errors.Is(err, tlog.ErrTooLarge) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := (tlog.Proof{Checkpoint: []byte("x")}).Bytes(); !errors.Is(err, tlog.ErrSyntax) {
		t.Error(err)
	}
	if _, err := tlog.ParseProof(make([]byte, 100<<20)); !errors.Is(err, tlog.ErrTooLarge) {
		t.Error(err)
	}
	p := tlog.Proof{Checkpoint: c, Extra: bytes.Repeat([]byte{1}, 1<<20), Hashes: make([]tlog.Hash, 63), Index: tlog.MaxSize - 1}
	b := must(p.Bytes())(t)
	if got := must(tlog.ParseProof(b))(t); !bytes.Equal(must(got.Bytes())(t), b) || len(got.Extra) != 1<<20 {
		t.Error("a large proof is another when it is read")
	}
}

// TestWitness: every answer of tlog-witness, and a witness that goes along with a log.
func TestWitness(t *testing.T) {
	s := newSigner(t, "log")
	key := logKey(t, s)
	logs := make(map[int]*tlog.Checkpoint)
	proofs := make(map[[2]int][]tlog.Hash)
	for _, size := range []int{0, 5, 9, 300} {
		tree, m := build(t, records(0, size))
		logs[size] = must(tlog.Sign(origin, tree, s))(t)
		for _, old := range []int{0, 5, 9, 300} {
			if old <= size {
				proofs[[2]int{old, size}] = must(view(t, tree, m).Consistency(uint64(old)))(t)
			}
		}
	}
	fork, m := build(t, records(1000, 1009))
	forked := must(tlog.Sign(origin, fork, s))(t)
	forkProof := must(view(t, fork, m).Consistency(5))(t)
	body := func(old int, proof []tlog.Hash, checkpoint []byte) []byte {
		return must(tlog.Request{Old: uint64(old), Proof: proof, Checkpoint: checkpoint}.Bytes())(t)
	}
	elsewhere := must(tlog.Sign("example.com/other", fork, s))(t)
	stranger := must(tlog.Sign(origin, fork, newSigner(t, "stranger")))(t)
	unsorted := string(logs[9].Bytes()) + "— z.example AAAAAEFB\n— a.example AAAAAEFB\n"
	cosigned := must(must(tlog.NewPolicy(0, witnessKey(t, "witness.example/a")))(t).Join(logs[9], []byte(cosign(t, logs[9], "witness.example/a", seconds))))(t)
	for name, c := range map[string]struct {
		last   int
		body   []byte
		status int
	}{
		"first":                           {0, body(0, nil, logs[5].Bytes()), 200},
		"first, of no entries":            {0, body(0, nil, logs[0].Bytes()), 200},
		"grown":                           {5, body(5, proofs[[2]int{5, 9}], logs[9].Bytes()), 200},
		"grown much":                      {9, body(9, proofs[[2]int{9, 300}], logs[300].Bytes()), 200},
		"the same again":                  {9, body(9, nil, logs[9].Bytes()), 200},
		"others signed in any order":      {5, body(5, proofs[[2]int{5, 9}], []byte(unsorted)), 200},
		"another witness has cosigned":    {5, body(5, proofs[[2]int{5, 9}], cosigned.Bytes()), 200},
		"another log":                     {5, body(5, nil, elsewhere.Bytes()), 404},
		"another key":                     {5, body(5, forkProof, stranger.Bytes()), 403},
		"shrinking":                       {9, body(9, nil, logs[5].Bytes()), 400},
		"old size too small":              {9, body(5, proofs[[2]int{5, 300}], logs[300].Bytes()), 409},
		"old size too small, nothing new": {9, body(5, proofs[[2]int{5, 9}], logs[9].Bytes()), 409},
		"old size too large":              {5, body(9, proofs[[2]int{9, 300}], logs[300].Bytes()), 409},
		"old size unknown":                {9, body(0, nil, logs[300].Bytes()), 409},
		"two trees of one size":           {9, body(9, nil, forked.Bytes()), 409},
		"forked":                          {5, body(5, forkProof, forked.Bytes()), 422},
		"no proof":                        {5, body(5, nil, logs[9].Bytes()), 422},
		"proof of another growth":         {5, body(5, proofs[[2]int{5, 300}], logs[9].Bytes()), 422},
		"proof where none is needed":      {0, body(0, proofs[[2]int{5, 9}], logs[9].Bytes()), 422},
		"proof for the same again":        {9, body(9, proofs[[2]int{5, 9}], logs[9].Bytes()), 422},
		"empty":                           {5, nil, 400},
		"no old size":                     {5, logs[9].Bytes(), 400},
		"old size with a zero before":     {5, bytes.Replace(body(5, nil, logs[9].Bytes()), []byte("old 5"), []byte("old 05"), 1), 400},
		"64 hashes":                       {5, []byte("old 5\n" + strings.Repeat(tlog.Hash{}.String()+"\n", 64) + "\n" + string(logs[9].Bytes())), 400},
		"no empty line":                   {5, []byte("old 5\n" + string(logs[9].Bytes())), 400},
		"large":                           {5, make([]byte, tlog.MaxRequest+1), 400},
	} {
		last := logs[c.last].Tree()
		if c.last == 0 {
			last = tlog.Tree{}
		}
		d := tlog.Witness(c.body, func(o tlog.Origin) (tlog.LogKey, tlog.Tree, bool) { return key, last, o == origin })
		if d.Status != c.status || (d.Err == nil) != (c.status == 200) || (d.Cosign != nil) != (c.status == 200) {
			t.Errorf("%s: %d %v, want %d", name, d.Status, d.Err, c.status)
		}
		answer := string(d.Body([]byte("line\n")))
		if want := map[int]string{200: "line\n", 409: fmt.Sprintf("%d\n", c.last)}[c.status]; answer != want {
			t.Errorf("%s: body %q, want %q", name, answer, want)
		}
		if name == "forked" && !errors.Is(d.Err, tlog.ErrProof) {
			t.Errorf("%s: %v", name, d.Err)
		}
	}

	last := tlog.Tree{}
	find := func(tlog.Origin) (tlog.LogKey, tlog.Tree, bool) { return key, last, true }
	policy := must(tlog.NewPolicy(1, witnessKey(t, "witness.example/a")))(t)
	for _, size := range []int{0, 5, 9, 300} {
		d := tlog.Witness(body(int(last.Size), proofs[[2]int{int(last.Size), size}], logs[size].Bytes()), find)
		if d.Status != tlog.StatusCosign {
			t.Fatalf("%d to %d: %d %v", last.Size, size, d.Status, d.Err)
		}
		last = d.Cosign.Tree()
		answer := d.Body(must(tlog.Cosign(d.Cosign, "witness.example/a", newSigner(t, "witness.example/a"), time.Unix(seconds, 0)))(t))
		if seen, err := policy.Check(must(policy.Join(logs[size], answer))(t)); err != nil || len(seen) != 1 {
			t.Fatalf("%v %v", seen, err)
		}
	}
	for _, r := range []tlog.Request{{Old: tlog.MaxSize + 1, Checkpoint: logs[5].Bytes()}, {Proof: make([]tlog.Hash, 64), Checkpoint: logs[5].Bytes()}} {
		if _, err := r.Bytes(); !errors.Is(err, tlog.ErrTooLarge) {
			t.Error(err)
		}
	}
	if _, err := (tlog.Request{Checkpoint: []byte("x")}).Bytes(); !errors.Is(err, tlog.ErrSyntax) {
		t.Error(err)
	}
}
