package event_test

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/canonical"
	"github.com/open-covenant/covenant-git/envelope/event"
)

type signer ed25519.PrivateKey

func (s signer) Sign(msg []byte) ([]byte, error) {
	return ed25519.Sign(ed25519.PrivateKey(s), msg), nil
}

type key ed25519.PublicKey

func (k key) Verify(msg, sig []byte) error {
	if !ed25519.Verify(ed25519.PublicKey(k), msg, sig) {
		return envelope.ErrSignature
	}
	return nil
}

// open signs a body as a recording, and opens it again.
func open(t testing.TB, typ string, body any) (*envelope.Opened, error) {
	t.Helper()
	pub, priv, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	repository := envelope.Digest("sha256:" + strings.Repeat("0", 64))
	payload, err := envelope.Statement(typ, envelope.Header{Repository: repository, Seq: 1, Time: "2026-01-01T00:00:00Z", Topic: "audit", Writer: "w"}, body)
	if err != nil {
		return nil, err
	}
	e, err := envelope.Seal(envelope.TypeLedger, payload, envelope.SealWith{KeyID: "k", Signer: signer(priv)})
	if err != nil {
		return nil, err
	}
	return e.Open(envelope.TypeLedger, 1, func(string) (envelope.Key, bool) { return key(pub), true })
}

func TestParse(t *testing.T) {
	many := make([]event.Event, event.MaxEvents+1)
	for i := range many {
		many[i] = event.Event{Kind: "note"}
	}
	deep := any("x")
	for range 9 {
		deep = []any{deep}
	}
	for name, c := range map[string]struct {
		body any
		ok   bool
	}{
		"one":                        {event.Recording{Events: []event.Event{{Kind: "note", Data: map[string]any{"text": "x"}}}}, true},
		"a kind of a later program":  {event.Recording{Events: []event.Event{{Kind: "not_yet_known", Data: map[string]any{"a": 1, "b": []any{"c"}}}}}, true},
		"a field of a later program": {event.Recording{Events: []event.Event{{Kind: "note", Data: map[string]any{"text": "x", "more": true}}}}, true},
		"a segment":                  {event.Recording{Events: many[:event.MaxEvents]}, true},
		"none":                       {event.Recording{Events: []event.Event{}}, false},
		"too many":                   {event.Recording{Events: many}, false},
		"no kind":                    {event.Recording{Events: []event.Event{{}}}, false},
		"kind in upper case":         {event.Recording{Events: []event.Event{{Kind: "Note"}}}, false},
		"kind with a space":          {event.Recording{Events: []event.Event{{Kind: "a note"}}}, false},
		"field of the line":          {event.Recording{Events: []event.Event{{Kind: "note", Data: map[string]any{"principal": "ada"}}}}, false},
		"outcome of its own":         {event.Recording{Events: []event.Event{{Kind: "note", Outcome: "fine"}}}, false},
		"a time with an offset":      {event.Recording{Events: []event.Event{{Kind: "note", At: "2026-01-01T00:00:00+01:00"}}}, false},
		"a time with a fraction":     {event.Recording{Events: []event.Event{{Kind: "note", At: "2026-01-01T00:00:00.5Z"}}}, false},
		"an intent of two lines":     {event.Recording{Events: []event.Event{{Kind: "note", Intent: "a\nb"}}}, false},
		"a text too long":            {event.Recording{Events: []event.Event{{Kind: "note", Data: map[string]any{"text": strings.Repeat("x", event.MaxText+1)}}}}, false},
		"data too deep":              {event.Recording{Events: []event.Event{{Kind: "x.a.b", Data: map[string]any{"v": deep}}}}, false},
		"a field of the body":        {map[string]any{"events": []any{map[string]any{"kind": "note"}}, "who": "ada"}, false},
		"a field of the event":       {map[string]any{"events": []any{map[string]any{"kind": "note", "who": "ada"}}}, false},
		"empty data":                 {map[string]any{"events": []any{map[string]any{"kind": "note", "data": map[string]any{}}}}, false},
	} {
		o, err := open(t, event.Recorded, c.body)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err = event.Parse(o); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	o, err := open(t, "audit.recorded/v2", event.Recording{Events: many[:1]})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := event.Parse(o); !errors.Is(err, envelope.ErrNewer) {
		t.Errorf("a newer recording: %v", err)
	}
}

func TestValidate(t *testing.T) {
	hash := strings.Repeat("a", 64)
	for name, c := range map[string]struct {
		e  event.Event
		ok bool
	}{
		"note":                     {event.Event{Kind: "note", Data: map[string]any{"text": "x"}}, true},
		"note about":               {event.Event{Kind: "note", Data: map[string]any{"text": "x", "about": []any{"a", "b"}}}, true},
		"note without text":        {event.Event{Kind: "note"}, false},
		"note with a number":       {event.Event{Kind: "note", Data: map[string]any{"text": 1.0}}, false},
		"note about a number":      {event.Event{Kind: "note", Data: map[string]any{"text": "x", "about": []any{1.0}}}, false},
		"unknown field":            {event.Event{Kind: "note", Data: map[string]any{"text": "x", "txet": "y"}}, false},
		"unknown kind":             {event.Event{Kind: "nosuch"}, false},
		"a kind of one's own":      {event.Event{Kind: "x.me.it", Data: map[string]any{"any": []any{1.0}}}, true},
		"outcome missing":          {event.Event{Kind: "tool_call_completed", Data: map[string]any{"tool": "x"}}, false},
		"outcome":                  {event.Event{Kind: "tool_call_completed", Outcome: event.Failed, Data: map[string]any{"tool": "x", "duration_ms": 5.0, "result_sha256": hash}}, true},
		"a count below zero":       {event.Event{Kind: "tool_call_completed", Outcome: event.OK, Data: map[string]any{"tool": "x", "duration_ms": -1.0}}, false},
		"half a count":             {event.Event{Kind: "tool_call_completed", Outcome: event.OK, Data: map[string]any{"tool": "x", "duration_ms": 0.5}}, false},
		"a count too large":        {event.Event{Kind: "tool_call_completed", Outcome: event.OK, Data: map[string]any{"tool": "x", "duration_ms": float64(1 << 53)}}, false},
		"a hash in upper case":     {event.Event{Kind: "tool_call_completed", Outcome: event.OK, Data: map[string]any{"tool": "x", "result_sha256": strings.ToUpper(hash)}}, false},
		"a word of two lines":      {event.Event{Kind: "tool_invoked", Data: map[string]any{"tool": "x\ny"}}, false},
		"an object":                {event.Event{Kind: "ref_refused", Data: map[string]any{"ref": "r", "moment": "m", "reason": "x", "new": hash[:40]}}, true},
		"half an object":           {event.Event{Kind: "ref_refused", Data: map[string]any{"ref": "r", "moment": "m", "reason": "x", "new": hash[:39]}}, false},
		"an event too large":       {event.Event{Kind: "x.me.it", Data: map[string]any{"a": strings.Repeat("x", event.MaxText), "b": strings.Repeat("x", event.MaxText), "c": strings.Repeat("x", event.MaxText), "d": strings.Repeat("x", event.MaxText)}}, false},
		"null in one's own":        {event.Event{Kind: "x.me.it", Data: map[string]any{"a": nil}}, true},
		"a fraction in one's own":  {event.Event{Kind: "x.me.it", Data: map[string]any{"a": 0.5}}, false},
		"a text that is not UTF-8": {event.Event{Kind: "note", Data: map[string]any{"text": "\xff"}}, false},
	} {
		err := c.e.Validate()
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && !errors.Is(err, event.ErrInvalid) {
			t.Errorf("%s: %v is no ErrInvalid", name, err)
		}
	}
}

func TestKinds(t *testing.T) {
	if !slices.IsSortedFunc(event.Kinds, func(a, b event.Kind) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("kinds are not sorted by name")
	}
	for _, k := range event.Kinds {
		if !event.ValidKind(k.Name) || k.About == "" {
			t.Errorf("%q", k.Name)
		}
		if k.Outcome && k.Ends != "" {
			t.Errorf("%s must say its outcome, and has one", k.Name)
		}
		e := event.Event{Kind: k.Name, Data: map[string]any{}}
		for _, f := range k.Fields {
			e.Data[f.Name] = "x"
			if err := event.ParseShape(&e); err != nil {
				t.Errorf("%s: field %s: %v", k.Name, f.Name, err)
			}
		}
	}
}

// The page lists the kinds as they are, and where each kind of the Rust system went.
func TestSpec(t *testing.T) {
	b, err := os.ReadFile("../../docs/spec/audit.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	for _, k := range event.Kinds {
		row := "| `" + k.Name + "` | " + k.About + " | "
		var fields []string
		for _, f := range k.Fields {
			s := "`" + f.Name + "` " + string(f.Type)
			if f.Must {
				s = "**`" + f.Name + "`** " + string(f.Type)
			}
			fields = append(fields, s)
		}
		if k.Outcome {
			fields = append(fields, "**outcome**")
		}
		must := ""
		if k.Must {
			must = "yes"
		}
		if row += strings.Join(fields, ", ") + " | " + string(k.Ends) + " | " + must + " |"; !strings.Contains(page, row) {
			t.Errorf("docs/spec/audit.md lacks:\n%s", row)
		}
	}
	seed := strings.Fields(`intent_dispatched hermes_tool_invoked hermes_tool_completed hermes_approval_requested hermes_approval_resolved hermes_file_written
		capability_check capability_granted capability_grant_rejected capability_scope_rejected secret_access_granted secret_access_denied intent_ignored
		a2_a_result_rejected authentication_failed a2_a_sender_mismatch a2_a_recipient_rejected a2_a_repair_applied a2_a_auto_retry_scheduler_scan
		memory_repair_applied memory_compaction_applied capability_revoked capability_revoke_rejected budget_exhausted budget_preempted budget_preempt_failed
		budget_unseeded operator_token_rotated operator_token_rotation_rejected operator_peers_list_rejected peer_revoked operator_peer_revoke_rejected
		peer_self_revoke_blocked external_payment_settled settlement_receipt_backfill_applied memory_record_backfill_applied tool_call_completed`)
	if len(seed) != 37 {
		t.Fatalf("%d kinds", len(seed))
	}
	for _, kind := range seed {
		if _, same := event.Find(kind); !same && !regexp.MustCompile("(?m)^\\| `"+kind+"` \\| `[a-z0-9_./]+`").MatchString(page) {
			t.Errorf("docs/spec/audit.md does not say where %s went", kind)
		}
	}
}

// What a writer may write every reader takes.
func FuzzEvent(f *testing.F) {
	f.Add([]byte(`{"kind":"note","data":{"text":"x"}}`))
	f.Add([]byte(`{"at":"2026-01-01T00:00:00Z","data":{"tool":"x"},"intent":"i","kind":"tool_call_completed","outcome":"ok","session":"s"}`))
	f.Add([]byte(`{"data":{"a":[null,true,{"b":1}]},"kind":"x.me.it"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var e event.Event
		if canonical.Unmarshal(b, &e) != nil {
			return
		}
		shape := event.ParseShape(&e)
		if e.Validate() != nil {
			return
		}
		if shape != nil {
			t.Fatalf("%s: a writer may, and a reader does not take it: %v", b, shape)
		}
		again, err := canonical.Marshal(&e)
		if err != nil || string(again) != string(b) {
			t.Errorf("%s encodes to %s (%v)", b, again, err)
		}
	})
}

// What another system recorded stays as a whole: it has denials of its own.
func TestStays(t *testing.T) {
	for kind, stays := range map[string]bool{"note": false, "log_record": true, "log_imported": true, "secret_access_denied": true, "x.me.it": false} {
		r := event.Recording{Events: []event.Event{{Kind: "note"}, {Kind: kind}}}
		if (r.Stays() != "") != stays {
			t.Errorf("%s: %q", kind, r.Stays())
		}
	}
}

// Kinds are counted as what they are as far as there is room, and no count is over what there was, nor leaves out what a pruning is the first to drop.
func TestCounts(t *testing.T) {
	many := map[string]uint64{}
	for i := range 2000 {
		many[fmt.Sprintf("x.me.k%d", i)] = uint64(i) + 1
	}
	few := event.FewKinds(many)
	again := event.FewKinds(maps.Clone(few))
	if len(few) != 1024 || few["x.me.k1999"] != 2000 || few[event.Rest] != 977*978/2 || !maps.Equal(few, again) {
		t.Errorf("%d kinds, %d beside them", len(few), few[event.Rest])
	}
	most := map[string]uint64{"note": 3, "tool_invoked": 2}
	for name, row := range map[string]struct {
		says, least map[string]uint64
		ok          bool
	}{
		"all":                     {map[string]uint64{"note": 3, "tool_invoked": 2}, most, true},
		"none of what went early": {map[string]uint64{"note": 1}, map[string]uint64{"note": 1}, true},
		"more than there were":    {map[string]uint64{"note": 4}, nil, false},
		"what was not there":      {map[string]uint64{"note": 3, "tool_invoked": 2, "session_ended": 1}, most, false},
		"fewer than it drops":     {map[string]uint64{"note": 2, "tool_invoked": 2}, most, false},
		"a kind left out":         {map[string]uint64{"note": 3}, most, false},
		"some beside them":        {map[string]uint64{"note": 3, event.Rest: 2}, most, true},
		"too many beside them":    {map[string]uint64{"note": 3, event.Rest: 3}, most, false},
		"too few beside them":     {map[string]uint64{"note": 3, event.Rest: 1}, most, false},
	} {
		p := event.Pruning{Kinds: row.says}
		if err := p.Counts(row.least, most); (err == nil) != row.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
