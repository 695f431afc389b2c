package provenance_test

import (
	"strings"
	"testing"

	v1 "github.com/in-toto/attestation/go/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/git/oid"
)

func example(t testing.TB) *provenance.Seal {
	t.Helper()
	id := func(c string) oid.ID {
		v, err := oid.Parse(strings.Repeat(c, 40))
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	c := provenance.Change{Status: "A", NewMode: "100644", New: strings.Repeat("c", 40), SHA256: strings.Repeat("d", 64)}
	c.SetPath("a.txt")
	return provenance.NewSeal(id("a"), id("b"), provenance.Predicate{
		Changes: [][]provenance.Change{{c}}, Grants: []envelope.Digest{}, Mode: provenance.Vouching, Parents: []oid.ID{},
		Entry: envelope.Header{
			Repository: envelope.Digest("sha256:" + strings.Repeat("0", 64)), Seq: 1, Time: "2026-01-01T00:00:00Z", Topic: "provenance", Writer: "0123456789abcdef-01234567",
		},
		Principal: provenance.Principal{Name: "ada", Kind: "human", Accountable: "ada"}, Unrecorded: (&provenance.Predicate{}).LeftOut(),
	})
}

// TestInTotoReadsIt holds a seal to in-toto's own types and their validation.
func TestInTotoReadsIt(t *testing.T) {
	b, err := example(t).Encode()
	if err != nil {
		t.Fatal(err)
	}
	var s v1.Statement
	if err := protojson.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	if s.GetType() != v1.StatementTypeUri || s.GetPredicateType() != provenance.SealType {
		t.Errorf("%s of %s", s.GetPredicateType(), s.GetType())
	}
	if got := s.GetSubject()[0].GetDigest()["gitCommit"]; got != strings.Repeat("a", 40) {
		t.Errorf("gitCommit %s", got)
	}
	if got := s.GetSubject()[1].GetDigest()["gitTree"]; got != strings.Repeat("b", 40) {
		t.Errorf("gitTree %s", got)
	}
}

// TestIntent: an intent that is named is not listed as left out, and one that is no name is refused.
func TestIntent(t *testing.T) {
	for intent, good := range map[string]bool{
		"fix-42": true, "caf\u00e9 au lait": true, strings.Repeat("x", 256): true,
		strings.Repeat("x", 257): false, "a\nb": false, "a\x1b[2J": false, "\xff": false, "\x7f": false,
	} {
		s := example(t)
		s.Predicate.Intent = intent
		if _, err := s.Encode(); err == nil {
			t.Errorf("%q: named and said to be left out", intent)
		}
		s.Predicate.Unrecorded = s.Predicate.LeftOut()
		if _, err := s.Encode(); (err == nil) != good {
			t.Errorf("%q: %v", intent, err)
		}
	}
}
