package provenance

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/git/oid"
)

// What is read as a memory of ledgers is the same once more when it was written; nothing that is read asks for more memory than it has bytes.
func FuzzOpened(f *testing.F) {
	id := envelope.Digest("sha256:" + strings.Repeat("5a", 32))
	for _, format := range []oid.Format{oid.SHA1, oid.SHA256} {
		name := format.EmptyBlob()
		t := newOpenedTopic()
		c := &openedChain{}
		t.extend(c, []openedEntry{
			{commit: name, blob: name, id: id, key: "SHA256:k", time: "2026-03-01T12:00:00Z", kind: openedDecision},
			{commit: name, blob: name, id: id, key: "SHA256:k", time: "2026-03-01T12:00:00Z", kind: openedSeal, about: name, intent: "i", heads: []envelope.Head{{ID: id, Ledger: "audit/x", Seq: 1 << 52}}},
			{commit: name, blob: name, id: id, key: "SHA256:l", time: "1970-01-01T00:00:00Z", kind: openedText, text: []byte("{}\n")},
			{commit: name, blob: name, id: id, key: "SHA256:l", time: "2026-03-01T12:00:00Z"},
		})
		t.chains["provenance/x"] = c
		f.Add(t.encode(id, format), format == oid.SHA256)
	}
	f.Add([]byte{}, false)
	f.Fuzz(func(t *testing.T, b []byte, long bool) {
		format := oid.SHA1
		if long {
			format = oid.SHA256
		}
		was, err := decodeOpened(b, id, format)
		if err != nil {
			return
		}
		again, err := decodeOpened(was.encode(id, format), id, format)
		if err != nil || len(again.chains) != len(was.chains) {
			t.Fatalf("%d ledgers were written, and %v", len(was.chains), err)
		}
		for name, c := range was.chains {
			if d := again.chains[name]; d == nil || !reflect.DeepEqual(c.entries, d.entries) || !bytes.Equal(c.raw, d.raw) {
				t.Fatalf("%s: %+v came back as %+v", name, c, again.chains[name])
			}
		}
	})
}
