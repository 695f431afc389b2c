package audit

import (
	"bytes"
	"encoding/json"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/event"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/seedlog"
	"github.com/open-covenant/covenant-git/git/provenance"
)

func recorded(t *testing.T, id byte, kind string, data map[string]any) *Record {
	t.Helper()
	r := &Record{Kind: kind, Index: 1, Of: 1, Outcome: event.OK, At: time.UnixMilli(1_700_000_000_000)}
	r.ID = envelope.Digest("sha256:" + strings.Repeat(string("0123456789abcdef"[id&15]), 64))
	m := map[string]json.RawMessage{}
	for name, v := range data {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		m[name] = b
	}
	r.fields(m)
	return r
}

const uuid = "00000000-0000-4000-8000-000000000001"

// Each event that has a place in the seed's log is written there, as it takes it; without what its kind asks for there it is left out.
func TestExportKinds(t *testing.T) {
	key, err := identity.ParsePublicKey("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c")
	if err != nil {
		t.Fatal(err)
	}
	ada := &capability.Principal{Name: "ada", Kind: "human", Keys: []identity.PublicKey{key}}
	hash, grant := strings.Repeat("a", 64), "sha256:"+strings.Repeat("b", 64)
	given := capability.Given{Granted: capability.Grant{Action: "repo.commit", Subject: capability.Subject{Name: "coder"}}}
	f := &provenance.Facts{Grants: map[envelope.Digest]capability.Given{envelope.Digest(grant): given, recorded(t, 1, "", nil).ID: given}}
	for _, c := range []struct {
		kind, there     string
		data            map[string]any
		intent, session string
		without         string // left out when this is not said; "intent" and "session" are
	}{
		{"capability.granted", "capability_granted", map[string]any{"action": "repo.commit"}, "", "", ""},
		{"capability.revoked", "capability_revoked", map[string]any{"grant": grant}, "", "", "grant"},
		{"capability_grant_rejected", "capability_grant_rejected", map[string]any{"action": "a", "subject": "s", "reason": "r"}, "", "", ""},
		{"capability_scope_rejected", "capability_scope_rejected", map[string]any{"action": "a", "reason": "r"}, "", "", ""},
		{"capability_revoke_rejected", "capability_revoke_rejected", map[string]any{"grant": grant, "reason": "r"}, "", "", "grant"},
		{"secret_access_granted", "secret_access_granted", map[string]any{"secret": "s", "grant": grant}, "", "", "grant"},
		{"secret_access_denied", "secret_access_denied", map[string]any{"secret": "s", "reason": "r"}, "", "", ""},
		{"authentication_failed", "authentication_failed", map[string]any{"transport": "ipc", "reason": "\u2028<\"\n"}, "", "", ""},
		{"a2a_sender_mismatch", "a2_a_sender_mismatch", map[string]any{"task": "t", "claimed": "c", "actual": "a"}, "", "", ""},
		{"a2a_result_rejected", "a2_a_result_rejected", map[string]any{"task": uuid, "sender": "s", "reason": "r"}, "", "", "task"},
		{"tool_invoked", "hermes_tool_invoked", map[string]any{"tool": "x", "arguments_sha256": hash}, uuid, "s", "arguments_sha256"},
		{"tool_invoked", "hermes_tool_invoked", map[string]any{"tool": "x", "arguments_sha256": hash}, uuid, "s", "intent"},
		{"file_written", "hermes_file_written", map[string]any{"path": "p", "bytes": 7}, uuid, "s", "session"},
		{"tool_call_completed", "tool_call_completed", map[string]any{"tool": "x", "arguments_sha256": hash, "duration_ms": 5}, "", "", "duration_ms"},
		{"tool_call_completed", "hermes_tool_completed", map[string]any{"tool": "x", "duration_ms": 5}, uuid, "s", "session"},
		{"settlement_receipt_backfill_applied", "settlement_receipt_backfill_applied", map[string]any{"receipts": 3}, "", "", ""},
		{"memory_record_backfill_applied", "memory_record_backfill_applied", map[string]any{"records": 3}, "", "", ""},
		{"note", "", map[string]any{"text": "x"}, "", "", ""},
		{"log_record", "", map[string]any{"record": `{"id":"` + uuid + `"}`, "record_sha256": hash}, "", "", ""},
	} {
		r := recorded(t, 1, c.kind, c.data)
		r.Principal, r.KeyID, r.Intent, r.Session = ada, key.ID(), c.intent, c.session
		export := func(r *Record) (string, map[string]uint64) {
			var log, chain bytes.Buffer
			w := seedlog.NewWriter(&log, &chain)
			left, err := ExportSeed(f, iter.Seq2[Record, error](func(yield func(Record, error) bool) { yield(*r, nil) }), w)
			if err != nil {
				t.Errorf("%s: %v", c.kind, err)
				return "", left
			}
			v, err := seedlog.Verify(bytes.NewReader(log.Bytes()), &chain, func(x seedlog.Finding) { t.Errorf("%s: %+v", c.kind, x) }, nil)
			if err != nil || !v.Valid() || v.Events != w.Events() {
				t.Errorf("%s: %+v %v", c.kind, v, err)
			}
			if w.Events() == 0 {
				return "", left
			}
			e, err := seedlog.Parse(bytes.TrimSuffix(log.Bytes(), []byte("\n")))
			if err != nil {
				t.Fatal(err)
			}
			if e.Issuer.Display != "ada@covenant" || e.Millis != 1_700_000_000_000 {
				t.Errorf("%s: %+v", c.kind, e)
			}
			return e.Kind, left
		}
		if got, left := export(r); got != c.there || (got == "") != (left[c.kind] == 1) {
			t.Errorf("%s is %q, %v", c.kind, got, left)
		}
		if c.without == "" {
			continue
		}
		less := maps.Clone(c.data)
		delete(less, c.without)
		b := recorded(t, 1, c.kind, less)
		if b.Principal, b.KeyID = ada, key.ID(); c.without != "intent" {
			b.Intent = c.intent
		}
		if c.without != "session" {
			b.Session = c.session
		}
		if got, _ := export(b); got != "" {
			t.Errorf("%s without %s is %q", c.kind, c.without, got)
		}
		r.Principal = nil
		if got, _ := export(r); got != "" {
			t.Errorf("%s by nobody is %q", c.kind, got)
		}
	}
}

// An entry counts as an import only when its digests lead to the root that it claims.
func TestImportCounts(t *testing.T) {
	lines := []string{"one", "two", "three"}
	at, chain := seedlog.Genesis, []string{}
	for _, l := range lines {
		at = seedlog.Link(at, seedlog.LineHash([]byte(l)))
		chain = append(chain, at)
	}
	rec := func(l string, more map[string]any) map[string]any {
		m := map[string]any{"record_sha256": seedlog.LineHash([]byte(l)), "record": l}
		maps.Copy(m, more)
		return m
	}
	end := func(root string, events, records int, more map[string]any) map[string]any {
		m := map[string]any{"format": "seed-audit", "root": root, "events": events, "records": records}
		maps.Copy(m, more)
		return m
	}
	fold := func(entries ...[]map[string]any) map[string]Imported {
		known := map[string]Imported{}
		for n, list := range entries {
			var in entry
			for i, data := range list {
				kind := logRecord
				if _, is := data["format"]; is {
					kind = logImported
				}
				r := recorded(t, byte(n+1), kind, data)
				r.Index, r.Of = i+1, len(list)
				if r.ID != in.id {
					in = entry{id: r.ID, whole: true}
				}
				in.add(r, known)
			}
		}
		return known
	}
	type entryOf = []map[string]any
	first := entryOf{rec("one", nil), rec("two", nil), end(chain[1], 2, 2, nil)}
	rest := entryOf{rec("three", nil), end(chain[2], 3, 1, map[string]any{"previous": chain[1]})}
	known := fold(first, rest)
	if len(known) != 2 || known[chain[2]].Events != 3 || known[chain[2]].Previous != chain[1] || !known[chain[2]].Whole {
		t.Fatalf("%+v", known)
	}
	if known := fold(entryOf{rec("one", map[string]any{"record": ""}), end(chain[0], 1, 1, nil)}); len(known) != 1 || known[chain[0]].Whole {
		t.Errorf("digests alone: %+v", known)
	}
	if known := fold(entryOf{rec("one", map[string]any{"record": ""}), end(chain[0], 1, 1, nil)}, entryOf{rec("one", nil), end(chain[0], 1, 1, nil)}); !known[chain[0]].Whole {
		t.Errorf("digests, then lines: %+v", known)
	}
	for name, list := range map[string][]entryOf{
		"a claim without records":     {{end(chain[1], 2, 2, nil)}},
		"the genesis":                 {{end(seedlog.Genesis, 0, 0, nil)}},
		"another root":                {{rec("one", nil), end(chain[1], 1, 1, nil)}},
		"other events":                {{rec("one", nil), end(chain[0], 2, 1, nil)}},
		"other records":               {{rec("one", nil), end(chain[0], 1, 2, nil)}},
		"another format":              {{rec("one", nil), end(chain[0], 1, 1, map[string]any{"format": "x"})}},
		"a line that is another one":  {{rec("one", map[string]any{"record": "One"}), end(chain[0], 1, 1, nil)}},
		"a root that is not there":    {rest},
		"not at the end":              {{rec("one", nil), end(chain[0], 1, 1, nil), rec("two", nil)}},
		"another event in it":         {{rec("one", nil), {"text": "x"}, end(chain[0], 1, 1, nil)}},
		"records in two entries":      {{rec("one", nil)}, {rec("two", nil), end(chain[1], 2, 2, nil)}},
		"in another order":            {{rec("two", nil), rec("one", nil), end(chain[1], 2, 2, nil)}},
		"more than one end":           {{rec("one", nil), end(chain[0], 1, 1, nil), end(chain[0], 1, 1, nil)}},
		"a previous one of its own":   {{rec("three", nil), end(chain[2], 3, 1, map[string]any{"previous": chain[2]})}},
		"a number written otherwise":  {{rec("one", nil), end(chain[0], 1, 1, map[string]any{"events": "1.0"})}},
		"a digest that is another's":  {{rec("one", map[string]any{"record_sha256": seedlog.LineHash([]byte("two"))}), end(chain[0], 1, 1, nil)}},
		"a digest that leads nowhere": {{rec("x", map[string]any{"record": ""}), end(chain[0], 1, 1, nil)}},
	} {
		if known := fold(list...); len(known) > 0 {
			t.Errorf("%s: %+v", name, slices.Collect(maps.Values(known)))
		}
	}
}
