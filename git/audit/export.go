package audit

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/event"
	"github.com/open-covenant/covenant-git/envelope/seedlog"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// ExportSeed writes records as a log of the seed, as far as the seed has kinds for them and they hold what those ask for.
// Records of logs that were taken over are left out: what they say is not the word of who took them over. It returns how many of each
// kind were left out.
func ExportSeed(f *provenance.Facts, records iter.Seq2[Record, error], out *seedlog.Writer) (map[string]uint64, error) {
	left := map[string]uint64{}
	for r, err := range records {
		if err != nil {
			return left, err
		}
		if r.Err != nil {
			left[r.Kind]++
			continue
		}
		e, ok := seedEvent(f, &r)
		if !ok {
			left[r.Kind]++
			continue
		}
		if err := out.Write(e); err != nil {
			return left, fmt.Errorf("entry %s: %w", r.ID, err)
		}
	}
	return left, nil
}

// ErrNotWhole says that a log was taken over by the digests of its records, or some of them, and can't be written again.
var ErrNotWhole = errors.New("not every record of it was kept")

// RestoreSeed writes a log of the seed that was taken over, by its root: the very bytes, where each line ended with a line feed.
func RestoreSeed(s *git.Session, f *provenance.Facts, imports map[string]Imported, root string, out *seedlog.Writer) error {
	entries := map[envelope.Digest]bool{}
	for at := root; at != seedlog.Genesis; at = imports[at].Previous {
		i, ok := imports[at]
		if !ok {
			return fmt.Errorf("no log with the root %s was taken over", at)
		}
		if !i.Whole {
			return fmt.Errorf("%w: see entry %s", ErrNotWhole, i.ID)
		}
		entries[i.ID] = true
	}
	for r, err := range Log(s, f, Filter{Kinds: []string{logRecord}}) {
		if err != nil {
			return err
		}
		if entries[r.ID] {
			if err := out.WriteLine([]byte(r.Get("record"))); err != nil {
				return fmt.Errorf("entry %s: %w", r.ID, err)
			}
		}
	}
	if out.Root() != root {
		return fmt.Errorf("what was kept leads to the root %s", out.Root())
	}
	return nil
}

// seedEvent returns what the seed would have recorded; false where it has no kind for it, or asks for what a record does not
// say.
func seedEvent(f *provenance.Facts, r *Record) (*seedlog.Event, bool) {
	if r.Principal == nil || r.At.UnixMilli() < 0 {
		return nil, false
	}
	key, ok := rawKey(r.Principal, r.KeyID)
	if !ok {
		return nil, false
	}
	kind, values, ok := seedKind(f, r)
	if !ok {
		return nil, false
	}
	e := &seedlog.Event{ID: seedID(r), Millis: uint64(r.At.UnixMilli()), Issuer: seedlog.Issuer{Display: seedName(r.Principal), Pubkey: seedlog.Base58(key)}, Kind: kind} //nolint:gosec // it is no negative number
	for i := 0; i < len(values); i += 2 {
		v, err := seedlog.Value(values[i].(string), values[i+1]) //nolint:forcetypeassert // seedKind made it
		if err != nil {
			return nil, false
		}
		e.Fields = append(e.Fields, v)
	}
	return e, true
}

// seedName is how the seed's displays look: a name at a host.
func seedName(p *capability.Principal) string { return p.Name + "@covenant" }

// seedID names an event: a UUID of version 8 (RFC 9562), made of the entry's identity and the event's number in it.
func seedID(r *Record) string {
	d := sha256.Sum256(fmt.Appendf(nil, "%s %d", r.ID, r.Index))
	b := d[:16]
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	h := hex.EncodeToString(b)
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

// rawKey returns the 32 bytes of a plain ed25519 key: the seed knows no other.
func rawKey(p *capability.Principal, id string) ([]byte, bool) {
	for _, k := range p.Keys {
		text, plain := strings.CutPrefix(k.String(), "ssh-ed25519 ")
		if k.ID() != id || !plain {
			continue
		}
		wire, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(wire) < ed25519.PublicKeySize {
			return nil, false
		}
		return wire[len(wire)-ed25519.PublicKeySize:], true
	}
	return nil, false
}

// grantName is what stands for a grant where the seed has the signature of one: its identity.
func grantName(id envelope.Digest) (string, bool) {
	b, err := hex.DecodeString(strings.TrimPrefix(string(id), "sha256:"))
	if err != nil || !id.Valid() {
		return "", false
	}
	return seedlog.Base58(b), true
}

// seedKind returns a kind of the seed, and its fields: names and values in turn.
func seedKind(f *provenance.Facts, r *Record) (kind string, values []any, ok bool) {
	g, who := r.Get, seedName(r.Principal)
	has := func(names ...string) bool {
		return !slices.ContainsFunc(names, func(n string) bool { return g(n) == "" })
	}
	count := func(name string) uint64 {
		var n uint64
		_ = json.Unmarshal([]byte(g(name)), &n)
		return n
	}
	switch r.Kind {
	case "capability.granted":
		return seedGranted(f, r)
	case "capability.revoked":
		id := envelope.Digest(g("grant"))
		name, valid := grantName(id)
		given, known := f.Grants[id]
		return as("capability_revoked", valid && known, "subject_display", given.Granted.Subject.Name+"@covenant", "action", given.Granted.Action, "signature_b58", name, "removed", true)
	case "gate.decided", "capability.checked":
		return seedCheck(f, r)
	case "capability_grant_rejected":
		return as(r.Kind, true, "subject_display", g("subject"), "action", g("action"), "reason", g("reason"))
	case "capability_scope_rejected":
		return as(r.Kind, true, "agent_id", who, "action", g("action"), "reason", g("reason"))
	case "capability_revoke_rejected":
		name, valid := grantName(envelope.Digest(g("grant")))
		return as(r.Kind, valid, "signature_b58", name, "reason", g("reason"))
	case "secret_access_granted":
		name, valid := grantName(envelope.Digest(g("grant")))
		return as(r.Kind, valid, "agent_id", who, "secret_name", g("secret"), "signature_b58", name)
	case "secret_access_denied":
		return as(r.Kind, true, "agent_id", who, "secret_name", g("secret"), "reason", g("reason"))
	case "authentication_failed":
		return as(r.Kind, true, "transport", g("transport"), "reason", g("reason"))
	case "a2a_sender_mismatch":
		return as("a2_a_sender_mismatch", true, "peer_display", g("actual"), "claimed_sender_display", g("claimed"))
	case "a2a_result_rejected":
		return as("a2_a_result_rejected", seedlog.ValidUUID(g("task")), "task_id", g("task"), "reason", g("reason"))
	case "tool_invoked":
		return as("hermes_tool_invoked", r.run() && has("arguments_sha256"), "intent_id", r.Intent, "run_id", r.Session, "tool", g("tool"), "preview_hash_hex", g("arguments_sha256"))
	case "file_written":
		return as("hermes_file_written", r.run() && has("bytes"), "intent_id", r.Intent, "run_id", r.Session, "path", g("path"), "bytes", count("bytes"))
	case "tool_call_completed":
		if has("arguments_sha256", "duration_ms") {
			return as(r.Kind, true, "tool", g("tool"), "arguments_hash_hex", g("arguments_sha256"), "duration_ms", count("duration_ms"), "outcome", string(r.Outcome))
		}
		return as("hermes_tool_completed", r.run() && has("duration_ms"), "intent_id", r.Intent, "run_id", r.Session, "tool", g("tool"), "duration_ms", count("duration_ms"), "error", r.Outcome == event.Failed)
	case "settlement_receipt_backfill_applied":
		return as(r.Kind, true, "row_count", count("receipts"), "rollback_path", nil, "dry_run", false)
	case "memory_record_backfill_applied":
		return as(r.Kind, true, "row_count", count("records"), "savepoint_name", nil, "dry_run", false)
	}
	return "", nil, false
}

func as(kind string, ok bool, values ...any) (string, []any, bool) { return kind, values, ok }

// run reports whether a record says for which intent, and in which session, as the seed names them.
func (r *Record) run() bool { return seedlog.ValidUUID(r.Intent) && r.Session != "" }

func seedGranted(f *provenance.Facts, r *Record) (string, []any, bool) {
	name, valid := grantName(r.ID)
	given, known := f.Grants[r.ID] // of one that counts for nothing the seed has no event
	return as("capability_granted", valid && known, "subject_display", given.Granted.Subject.Name+"@covenant", "action", given.Granted.Action,
		"granted_by_display", seedName(r.Principal), "signature_b58", name)
}

// seedCheck is a decision. One that allowed names the grant that it relied on last: the holder's own.
func seedCheck(f *provenance.Facts, r *Record) (string, []any, bool) {
	var grants []envelope.Digest
	for _, x := range r.Data {
		if x.Name == "grants" && json.Unmarshal(bytes.TrimSpace(x.Value), &grants) != nil {
			return "", nil, false
		}
	}
	asked, known := f.Authority.ByKey(r.Get("key"))
	action := r.Get("action")
	if !known || action == "" {
		return "", nil, false
	}
	allowed := r.Outcome != event.Denied
	missing, by := []string{}, []seedlog.Authorization{}
	if !allowed {
		missing = append(missing, action)
	} else if len(grants) > 0 {
		id := grants[len(grants)-1]
		name, valid := grantName(id)
		given, there := f.Grants[id]
		if !valid || !there {
			return "", nil, false
		}
		giver := ""
		if p, ok := f.Authority.ByKey(given.KeyID); ok {
			giver = seedName(p)
		}
		by = append(by, seedlog.Authorization{Action: action, GrantedBy: cmp.Or(giver, "unknown@covenant"), Signature: name})
	}
	return as("capability_check", true, "agent_id", seedName(asked), "required_actions", []string{action}, "missing_actions", missing, "passed", allowed, "authorized_by", by)
}
