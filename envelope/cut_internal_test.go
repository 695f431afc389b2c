package envelope

import (
	"encoding/json"
	"testing"

	"github.com/open-covenant/covenant-git/envelope/canonical"
)

// What is cut out of an envelope is what reading JSON makes of it.
func FuzzCutWire(f *testing.F) {
	for _, s := range []string{
		`{"payload":"e30=","payloadType":"x","signatures":[{"keyid":"k","sig":"AA=="}]}`,
		`{"payload":"e30=","payloadType":"x\u0001","signatures":[{"keyid":"k","sig":"AA=="}]}`,
		`{"payload":"","payloadType":"","signatures":[{"keyid":"","sig":""}]}`,
		`{"payload":"e30=","payloadType":"x","signatures":[{"keyid":"k","sig":"AA=="},{"keyid":"l","sig":"AA=="}]}`,
		`{"payload":"a\"b","payloadType":"x","signatures":[{"keyid":"k","sig":"AA=="}]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, ok := cutWire(b)
		if !ok {
			return
		}
		var want wire
		if err := canonical.Unmarshal(b, &want); err != nil {
			t.Fatalf("%q is cut, and is refused: %v", b, err)
		}
		if len(want.Signatures) != 1 || got.Payload != want.Payload || got.PayloadType != want.PayloadType || got.Signatures[0] != want.Signatures[0] {
			t.Errorf("%q: %+v, not %+v", b, got, want)
		}
	})
}

// The type that is cut out of a canonical document is the one it has.
func FuzzCutType(f *testing.F) {
	for _, s := range []string{
		`{"body":{"type":"a/v1"},"entry":{},"type":"b/v1"}`, `{"body":{},"z":{"a":1,"type":"b/v1"}}`, `{"a":1,"type":"b\"/v1"}`, `{"type":"b/v1"}`,
		`{"a":",\"type\":\"x","type":"y"}`, `{"a":1,"b":",\"type\":\"x"}`, `[{"a":1,"type":"x"}]`, `{"a":1,"type":""}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if canonical.Check(b) != nil {
			return
		}
		got, ok := cutType(b)
		if !ok {
			return
		}
		var want struct {
			Type string `json:"type"`
		}
		if err := json.Unmarshal(b, &want); err != nil || want.Type != got {
			t.Errorf("%q: %q, not %q (%v)", b, got, want.Type, err)
		}
	})
}
