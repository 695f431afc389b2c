package seedlog_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/envelope/seedlog"
)

var writeVectors = flag.Bool("write-vectors", false, "write testdata/vectors/seed-audit anew")

var vectors = filepath.Join("..", "..", "testdata", "vectors", "seed-audit")

// goldenRoot is the root that the seed's own tests have of its six example records.
const goldenRoot = "a7e20494893290efda2d70681d31bdba8a4dc1c47b808eceb1aac7d272fc08cf"

var operator = seedlog.Issuer{Display: "operator@covenant", Pubkey: "US517G5965aydkZ46HS38QLi7UQiSojurfbQfKCELFx"}

func event(t testing.TB, n int, kind string, values ...any) *seedlog.Event {
	t.Helper()
	e := &seedlog.Event{ID: fmt.Sprintf("00000000-0000-0000-0000-%012x", n), Millis: uint64(1_700_000_000_000 + n - 1), Issuer: operator, Kind: kind}
	for i := 0; i < len(values); i += 2 {
		f, err := seedlog.Value(values[i].(string), values[i+1])
		if err != nil {
			t.Fatal(err)
		}
		e.Fields = append(e.Fields, f)
	}
	return e
}

// golden are the seed's example records, made of their values.
func golden(t testing.TB) []*seedlog.Event {
	const who, what, sig = "research@agent", "memory.write", "GrantSigWrite"
	by := operator.Display
	return []*seedlog.Event{
		event(t, 1, "capability_check", "agent_id", who, "required_actions", []string{what, "a2a.send"}, "missing_actions", []string{"a2a.send"},
			"passed", false, "authorized_by", []seedlog.Authorization{{Action: what, GrantedBy: by, Signature: sig}}),
		event(t, 2, "capability_granted", "subject_display", who, "action", what, "granted_by_display", by, "signature_b58", sig),
		event(t, 3, "capability_grant_rejected", "subject_display", who, "action", what, "reason", "capability expired"),
		event(t, 4, "capability_scope_rejected", "agent_id", who, "action", "audit.purge", "reason", "before_ms exceeds granted scope"),
		event(t, 5, "capability_revoked", "subject_display", who, "action", what, "signature_b58", sig, "removed", true),
		event(t, 6, "capability_revoke_rejected", "signature_b58", "OtherSig", "reason", "not the capability subject"),
	}
}

// write returns a log and its sidecar.
func write(t testing.TB, list []*seedlog.Event) (log, chain []byte, root string) {
	t.Helper()
	var l, c bytes.Buffer
	w := seedlog.NewWriter(&l, &c)
	for _, e := range list {
		if err := w.Write(e); err != nil {
			t.Fatal(err)
		}
	}
	return l.Bytes(), c.Bytes(), w.Root()
}

func verify(t testing.TB, log, chain []byte) (*seedlog.Report, []seedlog.Finding) {
	t.Helper()
	var all []seedlog.Finding
	r, err := seedlog.Verify(bytes.NewReader(log), bytes.NewReader(chain), func(f seedlog.Finding) { all = append(all, f) }, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r, all
}

func codes(all []seedlog.Finding) (out []seedlog.Code) {
	for _, f := range all {
		if !slices.Contains(out, f.Code) {
			out = append(out, f.Code)
		}
	}
	return out
}

func TestGoldenRoot(t *testing.T) {
	log, chain, root := write(t, golden(t))
	if root != goldenRoot {
		t.Fatalf("root %s", root)
	}
	r, all := verify(t, log, chain)
	if !r.Valid() || len(all) > 0 || r.Root != goldenRoot || r.Events != 6 || r.Anchors != 6 || r.First != 1_700_000_000_000 || r.Last != 1_700_000_000_005 {
		t.Errorf("%+v %v", r, all)
	}
}

func TestEmptyLog(t *testing.T) {
	if r, all := verify(t, nil, nil); !r.Valid() || r.Root != seedlog.Genesis || len(all) > 0 {
		t.Errorf("%+v %v", r, all)
	}
}

func lines(b []byte) [][]byte {
	return bytes.SplitAfter(bytes.TrimSuffix(b, []byte("\n")), []byte("\n"))
}

// anchorOf is a line of the sidecar.
const anchorOf = `{"index":%d,"event_id":"%s","timestamp_ms":%d,"event_hash_hex":"%s","previous_hash_hex":"%s","chain_hash_hex":"%s"}` + "\n"

// rechain writes the sidecar anew for lines as they are.
func rechain(log []byte) []byte {
	at := seedlog.Genesis
	var out bytes.Buffer
	for i, line := range bytes.Split(bytes.TrimSuffix(log, []byte("\n")), []byte("\n")) {
		h := seedlog.LineHash(line)
		id, ms := "00000000-0000-0000-0000-000000000000", uint64(0)
		if e, err := seedlog.Parse(line); err == nil {
			id, ms = e.ID, e.Millis
		}
		next := seedlog.Link(at, h)
		fmt.Fprintf(&out, anchorOf, i, id, ms, h, at, next)
		at = next
	}
	return out.Bytes()
}

// logVectors are logs, each named after what is found in it first; in accept after what it is.
func logVectors(t testing.TB) map[string][2][]byte {
	log, chain, _ := write(t, golden(t))
	l, c := lines(log), lines(chain)
	join := func(p ...[]byte) []byte { return bytes.Join(p, nil) }
	change := func(b []byte, from, to string) []byte { return bytes.Replace(b, []byte(from), []byte(to), 1) }
	re := func(b []byte) [2][]byte { return [2][]byte{b, rechain(b)} }
	twice := golden(t)[:3]
	twice[2].ID = twice[0].ID
	back := golden(t)[:3]
	back[2].Millis = 1
	twiceLog, twiceChain, _ := write(t, twice)
	backLog, backChain, _ := write(t, back)
	long := change(l[0], "research@agent", strings.Repeat("x", seedlog.MaxLine))
	return map[string][2][]byte{
		"accept/golden":                    {log, chain},
		"accept/note-id-twice":             {twiceLog, twiceChain},
		"accept/note-time-back":            {backLog, backChain},
		"accept/note-kind-unknown":         re(change(log, "capability_granted", "capability_of_later")),
		"accept/note-odd-field":            re(change(log, `"passed":false`, `"passed":false,"more":1`)),
		"accept/note-odd-lacks":            re(change(log, `,"removed":true`, ``)),
		"accept/note-empty-line":           {join(l[0], []byte("\n"), l[1]), join(c[0], c[1], []byte("\n"))},
		"accept/note-no-newline":           {bytes.TrimSuffix(log, []byte("\n")), bytes.TrimSuffix(chain, []byte("\n"))},
		"accept/note-form-space":           {log, change(chain, `"index":0,`, `"index": 0, `)},
		"accept/note-form-field":           {log, change(chain, `"index":0,`, `"index":0,"more":1,`)},
		"reject/mismatch-line-changed":     {change(log, "expired", "Expired"), chain},
		"reject/mismatch-line-removed":     {join(l[0], l[2], l[3], l[4], l[5]), join(c[0], c[2], c[3], c[4], c[5])},
		"reject/mismatch-lines-swapped":    {join(l[1], l[0], l[2]), join(c[1], c[0], c[2])},
		"reject/mismatch-index":            {log, change(chain, `"index":2`, `"index":3`)},
		"reject/mismatch-event-id":         {log, change(chain, `000000000003"`, `000000000004"`)},
		"reject/mismatch-time":             {log, change(chain, `1700000000002`, `1700000000003`)},
		"reject/mismatch-carriage-return":  {change(log, "\n", "\r\n"), chain},
		"reject/missing-anchors-cut":       {log, join(c[0], c[1])},
		"reject/missing-no-anchors":        {log, nil},
		"reject/length-lines-cut":          {join(l[0], l[1]), chain},
		"reject/anchor-is-no-json":         {log, change(chain, `{"index":3`, `["index":3`)},
		"reject/anchor-lacks-field":        {log, change(chain, `"timestamp_ms":1700000000003,`, ``)},
		"reject/anchor-name-in-upper-case": {log, change(chain, `"index":3`, `"Index":3`)},
		"reject/anchor-name-twice":         {log, change(chain, `"index":3`, `"index":3,"index":3`)},
		"reject/event-is-no-json":          re(change(log, `{"id"`, `["id"`)),
		"reject/event-is-no-object":        re([]byte("7\n")),
		"reject/event-no-utf8":             re(change(log, "expired", "expire\xff")),
		"reject/event-id-is-none":          re(change(log, "000000000001", "00000000000z")),
		"reject/event-id-in-upper-case":    re(change(log, "000000000001", "00000000000A")),
		"reject/event-time-negative":       re(change(log, ":1700000000000", ":-1")),
		"reject/event-time-is-text":        re(change(log, ":1700000000000", `:"1"`)),
		"reject/event-no-issuer":           re(change(log, `"issuer"`, `"issued"`)),
		"reject/event-display-no-host":     re(change(log, `operator@covenant`, `operator`)),
		"reject/event-key-too-short":       re(change(log, `US517G`, `US51`)),
		"reject/event-key-no-base58":       re(change(log, `US517G`, `US510G`)),
		"reject/event-name-twice":          re(change(log, `"id":`, `"timestamp_ms":1,"id":`)),
		"reject/event-no-type":             re(change(log, `"type":"capability_check",`, ``)),
		"reject/event-line-too-long":       re(long),
	}
}

func TestLogVectors(t *testing.T) {
	n := 0
	for name, v := range logVectors(t) {
		verdict, want, _ := strings.Cut(name, "/")
		if want != "event-line-too-long" { // it is long
			n++
			for i, ext := range []string{".jsonl", ".chain.jsonl"} {
				keep(t, filepath.Join(vectors, filepath.FromSlash(name)+ext), v[i])
			}
		}
		r, all := verify(t, v[0], v[1])
		if r.Valid() != (verdict == "accept") {
			t.Errorf("%s: %+v %v", name, r, all)
			continue
		}
		found := codes(all)
		want = strings.TrimPrefix(want, "note-")
		if want != "golden" && (len(found) == 0 || !strings.HasPrefix(want, string(found[0]))) {
			t.Errorf("%s: %v", name, all)
		}
	}
	files, err := filepath.Glob(filepath.Join(vectors, "*", "*.chain.jsonl"))
	if err != nil || len(files) != n {
		t.Errorf("%d files for %d vectors (%v)", len(files), n, err)
	}
}

// keep holds a file to what the test makes.
func keep(t *testing.T, file string, text []byte) {
	t.Helper()
	if *writeVectors {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if have, err := os.ReadFile(file); err != nil || !bytes.Equal(have, text) {
		t.Errorf("%s is not what this test makes: %v", file, err)
	}
}

// All that is wrong is told, in the words of the seed's own verifier, and what only follows is marked.
func TestAllIsTold(t *testing.T) {
	log, chain, _ := write(t, golden(t))
	log = bytes.Replace(log, []byte("expired"), []byte("Expired"), 1)
	log = bytes.Replace(log, []byte(`{"id":"00000000-0000-0000-0000-000000000005"`), []byte(`{"id":7`), 1)
	r, all := verify(t, log, append(chain, lines(chain)[0]...))
	var got []string
	for _, f := range all {
		mark := ""
		if f.Follows {
			mark = " (follows)"
		}
		text, _, _ := strings.Cut(f.Text, ": ")
		got = append(got, text+mark)
	}
	want := []string{
		"chain entry 2 mismatch", "chain entry 3 mismatch (follows)", "event line 4 parse error", "chain entry 4 mismatch", "chain entry 5 mismatch (follows)",
		"chain length mismatch", "1 dangling chain anchor(s)",
	}
	if !slices.Equal(got, want) || r.Failures != 7 || r.Root == goldenRoot {
		t.Errorf("%q\n%+v", got, r)
	}
}

// No bit of a log or a sidecar can be another one without its being told.
func TestEveryBit(t *testing.T) {
	log, chain, _ := write(t, golden(t)[4:])
	for which, text := range [][]byte{log, chain} {
		for i := range text {
			for bit := range 8 {
				b := bytes.Clone(text)
				b[i] ^= 1 << bit
				pair := [][]byte{log, chain}
				pair[which] = b
				if r, all := verify(t, pair[0], pair[1]); r.Valid() && len(all) == 0 {
					t.Fatalf("file %d byte %d bit %d: nothing is told", which, i, bit)
				} else if r.Valid() && which == 0 {
					t.Fatalf("byte %d bit %d of the log: it is valid: %v", i, bit, all)
				}
			}
		}
	}
}

// Ids are found twice near each other and far apart, also when there are more than are remembered.
func TestIDTwice(t *testing.T) {
	const n = 70_000
	var l, c bytes.Buffer
	at := seedlog.Genesis
	for i := range n {
		line := record(i)
		switch i {
		case n - 1:
			line = record(66_000)
		case n - 2:
			line = record(5)
		}
		h := seedlog.LineHash(line)
		next := seedlog.Link(at, h)
		l.Write(append(line, '\n'))
		fmt.Fprintf(&c, anchorOf, i, line[7:43], 1_700_000_000_000, h, at, next)
		at = next
	}
	r, all := verify(t, l.Bytes(), c.Bytes())
	if !r.Valid() || len(all) != 2 || all[0].Line != n-1 || !strings.Contains(all[0].Text, "line 6") || all[1].Line != n || !strings.Contains(all[1].Text, "line 66001") {
		t.Errorf("%+v %v", r, all)
	}
}

// Everything that is written is read, for each kind.
func TestKinds(t *testing.T) {
	seed := strings.Fields(`intent_dispatched hermes_tool_invoked hermes_tool_completed hermes_approval_requested hermes_approval_resolved hermes_file_written
		capability_check capability_granted capability_grant_rejected capability_scope_rejected secret_access_granted secret_access_denied intent_ignored
		a2_a_result_rejected authentication_failed a2_a_sender_mismatch a2_a_recipient_rejected a2_a_repair_applied a2_a_auto_retry_scheduler_scan
		memory_repair_applied memory_compaction_applied capability_revoked capability_revoke_rejected budget_exhausted budget_preempted budget_preempt_failed
		budget_unseeded operator_token_rotated operator_token_rotation_rejected operator_peers_list_rejected peer_revoked operator_peer_revoke_rejected
		peer_self_revoke_blocked external_payment_settled settlement_receipt_backfill_applied memory_record_backfill_applied tool_call_completed`)
	if len(seed) != 37 {
		t.Fatalf("%d kinds", len(seed))
	}
	for _, k := range seed {
		if !seedlog.Known(k) {
			t.Errorf("%s is not known", k)
		}
	}
	if seedlog.Known("note") {
		t.Error("the seed has no notes")
	}
	var l, c bytes.Buffer
	w := seedlog.NewWriter(&l, &c)
	for name, e := range map[string]*seedlog.Event{
		"of no kind":      event(t, 1, "note", "text", "x"),
		"lacks a field":   event(t, 1, "authentication_failed", "transport", "ipc"),
		"has a field":     event(t, 1, "authentication_failed", "transport", "ipc", "reason", "x", "more", "y"),
		"has a number":    event(t, 1, "authentication_failed", "transport", "ipc", "reason", 7),
		"has a negative":  event(t, 1, "tool_call_completed", "tool", "x", "arguments_hash_hex", "y", "duration_ms", -1, "outcome", "ok"),
		"has no uuid":     event(t, 1, "a2_a_result_rejected", "task_id", "t1", "reason", "x"),
		"is not of UTF-8": {ID: event(t, 1, "x").ID, Issuer: operator, Kind: "authentication_failed", Fields: []seedlog.Field{{Name: "transport", Value: []byte("\"\xff\"")}, {Name: "reason", Value: []byte(`""`)}}},
		"has no issuer":   {ID: event(t, 1, "x").ID, Kind: "authentication_failed"},
	} {
		if err := w.Write(e); err == nil {
			t.Errorf("an event that %s is written", name)
		}
	}
	if l.Len()+c.Len() > 0 {
		t.Error("what was refused was written")
	}
	for _, line := range []string{"", "{}", "7", golden(t)[0].ID} {
		if err := w.WriteLine([]byte(line)); err == nil {
			t.Errorf("%q is written", line)
		}
	}
}

// The page shows a line and its anchor as they are, and names each finding.
func TestSpec(t *testing.T) {
	b, err := os.ReadFile("../../docs/spec/seed-audit.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	log, chain, _ := write(t, golden(t))
	for _, want := range []string{string(lines(log)[2]), string(lines(chain)[2]), goldenRoot, trusted(), seedlog.RootSchema, seedlog.ReleaseSchema} {
		if !strings.Contains(page, want) {
			t.Errorf("docs/spec/seed-audit.md lacks %s", want)
		}
	}
	for _, c := range []seedlog.Code{
		seedlog.Length, seedlog.Mismatch, seedlog.Missing, seedlog.Dangling, seedlog.BadEvent, seedlog.BadChain, seedlog.KindUnknown, seedlog.KindOdd, seedlog.IDTwice,
		seedlog.TimeBack, seedlog.Form, seedlog.EmptyLine, seedlog.NoNewline, seedlog.BadDigest, seedlog.BadReport, seedlog.Unsigned, seedlog.BadSignature, seedlog.Untrusted,
		seedlog.BadPrevious, seedlog.BadSubject, seedlog.BadValidation, seedlog.BadArtifact, seedlog.Unvalidated, seedlog.Shrunk,
	} {
		if !strings.Contains(page, "`"+string(c)+"`") {
			t.Errorf("docs/spec/seed-audit.md does not tell of %s", c)
		}
	}
}

func TestBase58(t *testing.T) {
	for in, want := range map[string]string{"": "", "\x00": "1", "\x00\x00\x01": "112", "\xff": "5Q", "hello": "Cn8eVZg"} {
		if got := seedlog.Base58([]byte(in)); got != want {
			t.Errorf("%q is %s", in, got)
		}
	}
	if got := seedlog.Base58(make([]byte, 32)); got != strings.Repeat("1", 32) {
		t.Error(got)
	}
}

// What is a line of the seed is that for every reader of JSON, and says the same.
func FuzzParse(f *testing.F) {
	for _, v := range logVectors(f) {
		for _, line := range lines(v[0]) {
			if len(line) < 1<<16 {
				f.Add(bytes.TrimSuffix(line, []byte("\n")))
			}
		}
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := seedlog.Parse(line)
		if err != nil {
			return
		}
		var m struct {
			ID     string `json:"id"`
			Millis uint64 `json:"timestamp_ms"`
			Issuer struct{ Display, Pubkey string }
			Kind   map[string]any
		}
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatal(err)
		}
		if len(e.Fields)+1 != len(m.Kind) || m.Kind["type"] != e.Kind {
			t.Fatalf("%+v is %+v", e, m)
		}
		if bytes.Contains(line, []byte("\n")) {
			return
		}
		var l, c bytes.Buffer
		if err := seedlog.NewWriter(&l, &c).WriteLine(line); err != nil {
			t.Fatal(err)
		}
		if r, _ := verify(t, l.Bytes(), c.Bytes()); !r.Valid() || r.Events != 1 {
			t.Fatalf("%s: %+v", line, r)
		}
	})
}

// A log is valid exactly when each line has the anchor that its bytes ask for; whatever stands in the files, they are read to their ends.
func FuzzVerify(f *testing.F) {
	log, chain, _ := write(f, golden(f)[5:]) // small seeds: what is found is made small, which takes long for a large one
	f.Add(log, chain)
	f.Add(log, []byte{})
	f.Add([]byte{}, chain)
	f.Add(append([]byte("\n"), log...), append(chain, '\n'))
	f.Add(bytes.Replace(log, []byte("Other"), []byte("other"), 1), chain)
	f.Add([]byte("{}\n"), rechain([]byte("{}\n")))
	f.Fuzz(func(t *testing.T, log, chain []byte) {
		r, all := verify(t, log, chain)
		failures := uint64(0)
		for _, x := range all {
			if !x.Note {
				failures++
			}
		}
		if failures != r.Failures || uint64(len(all)) != r.Failures+r.Notes {
			t.Fatalf("%+v of %v", r, all)
		}
		at, n := seedlog.Genesis, uint64(0)
		for line := range bytes.SplitSeq(log, []byte("\n")) {
			if len(line) > 0 {
				n++
				at = seedlog.Link(at, seedlog.LineHash(line))
			}
		}
		if r.Events != n || r.Root != at {
			t.Fatalf("%+v; there are %d lines to %s", r, n, at)
		}
		if !r.Valid() {
			return
		}
		if r.Anchors != n || (n > 0 && !bytes.Contains(chain, []byte(at))) {
			t.Fatalf("%+v without its anchors", r)
		}
	})
}
