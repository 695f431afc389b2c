package envelope_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/open-covenant/covenant-git/envelope"
)

// TestCollect: signatures of one payload come together from several places.
func TestCollect(t *testing.T) {
	keys := map[string]key{"a": newKey(t), "b": newKey(t), "c": newKey(t)}
	ring := func(ids ...string) envelope.Keyring {
		return func(id string) (envelope.Key, bool) { k, ok := keys[id]; return k, ok && slices.Contains(ids, id) }
	}
	with := func(id string) envelope.SealWith { return envelope.SealWith{KeyID: id, Signer: keys[id]} }
	e, err := envelope.Seal(payloadType, []byte(`{"a":1}`), with("b"))
	if err != nil {
		t.Fatal(err)
	}
	one, err := e.Countersign(with("a"), with("b"))
	if err != nil {
		t.Fatal(err)
	}
	two, err := e.Countersign(with("c"))
	if err != nil {
		t.Fatal(err)
	}
	if len(e.KeyIDs()) != 1 {
		t.Errorf("the envelope that was countersigned changed: %v", e.KeyIDs())
	}
	all, err := envelope.Merge(two, one)
	if err != nil {
		t.Fatal(err)
	}
	again, err := envelope.Merge(one, two)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(line(t, all), line(t, again)) || all.ID() != e.ID() || !slices.Equal(all.KeyIDs(), []string{"a", "b", "c"}) {
		t.Errorf("merged %v and %v", all.KeyIDs(), again.KeyIDs())
	}
	if _, err := all.Open(payloadType, 3, ring("a", "b", "c")); err != nil {
		t.Error(err)
	}
	if got := all.Sift(ring("c", "a")); !slices.Equal(got.KeyIDs(), []string{"a", "c"}) {
		t.Errorf("sifted %v", got.KeyIDs())
	}
	if all.Sift(ring()) != nil {
		t.Error("an envelope without signatures came out")
	}
	keys["a"], keys["x"] = newKey(t), keys["a"] // now a's signature is junk
	if got := all.Sift(ring("a", "b")); !slices.Equal(got.KeyIDs(), []string{"b"}) {
		t.Errorf("sifted %v", got.KeyIDs())
	}
	other, err := envelope.Seal(payloadType, []byte(`{"a":2}`), with("b"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := envelope.Merge(e, other); !errors.Is(err, envelope.ErrDigest) {
		t.Errorf("two statements: %v", err)
	}
	if _, err := envelope.Merge(); !errors.Is(err, envelope.ErrSignatureCount) {
		t.Errorf("nothing: %v", err)
	}
	var many []envelope.SealWith
	for i := range envelope.MaxSignatures {
		many = append(many, envelope.SealWith{KeyID: fmt.Sprint(i), Signer: keys["b"]})
	}
	if _, err := e.Countersign(many...); !errors.Is(err, envelope.ErrSignatureCount) {
		t.Errorf("too many: %v", err)
	}
}
