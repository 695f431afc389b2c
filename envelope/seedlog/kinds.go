package seedlog

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// schema has a line for each kind of the seed: its name, then its fields in the order of the wire, each with its type. A
// type that ends in "?" is also null, or left out.
const schema = `
intent_dispatched intent_id:uuid intent_text:text matched_agent:text? result_hash_hex:text status:text
hermes_tool_invoked intent_id:uuid run_id:text tool:text preview_hash_hex:text
hermes_tool_completed intent_id:uuid run_id:text tool:text duration_ms:u64 error:flag
hermes_approval_requested intent_id:uuid run_id:text choices:texts
hermes_approval_resolved intent_id:uuid run_id:text choice:text resolved:u64
hermes_file_written intent_id:uuid run_id:text path:text bytes:u64
capability_check agent_id:text required_actions:texts missing_actions:texts passed:flag authorized_by:grants
capability_granted subject_display:text action:text granted_by_display:text signature_b58:text
capability_grant_rejected subject_display:text action:text reason:text
capability_scope_rejected agent_id:text action:text reason:text
secret_access_granted agent_id:text secret_name:text signature_b58:text
secret_access_denied agent_id:text secret_name:text reason:text
intent_ignored intent_id:uuid intent_text:text matched_pattern:text
a2_a_result_rejected task_id:uuid reason:text
authentication_failed transport:text reason:text
a2_a_sender_mismatch peer_display:text claimed_sender_display:text
a2_a_recipient_rejected sender_display:text recipient_display:text action:text
a2_a_repair_applied task_id:uuid action:text reason:text lease_id:uuid? duplicate_risk:text? attempt:u32
a2_a_auto_retry_scheduler_scan enabled:flag considered:u64 requeued:u64 skipped:u64 skipped_by_reason:counts min_lease_age_ms:u64 max_attempts:u32 max_requeues:u64 scan_limit:u64 error:text?
memory_repair_applied memory_id:uuid action:text mode:text changed:flag reason:text
memory_compaction_applied mode:text changed:flag reason:text deleted:uuids stale_marked:uuids parents_detached:uuids
capability_revoked subject_display:text action:text signature_b58:text removed:flag
capability_revoke_rejected signature_b58:text reason:text
budget_exhausted agent_display:text intent_id:uuid intent_text:text requested:u64 tokens_remaining:u64 refill_eta_ms:u64
budget_preempted agent_display:text intent_id:uuid reason:text signal_sent:text exit_code:i32?
budget_preempt_failed agent_display:text intent_id:uuid reason:text errno:i32
budget_unseeded agent_display:text intent_id:uuid requested:u64
operator_token_rotated peer_display:text old_token_prefix:text new_token_prefix:text
operator_token_rotation_rejected peer_display:text peer_pubkey_b58:text
operator_peers_list_rejected peer_display:text peer_pubkey_b58:text
peer_revoked peer_display:text peer_pubkey_b58:text token_prefix:text
operator_peer_revoke_rejected peer_display:text peer_pubkey_b58:text
peer_self_revoke_blocked peer_display:text peer_pubkey_b58:text token_prefix:text
external_payment_settled provider:text endpoint:text network:text asset:text amount:text receipt_id:uuid
settlement_receipt_backfill_applied row_count:u64 rollback_path:text? dry_run:flag
memory_record_backfill_applied row_count:u64 savepoint_name:text? dry_run:flag
tool_call_completed tool:text arguments_hash_hex:text duration_ms:u64 outcome:text
`

// A shape is a field that a kind has.
type shape struct {
	name, typ string
	optional  bool
}

var shapes = sync.OnceValue(func() map[string][]shape {
	out := map[string][]shape{}
	for line := range strings.Lines(strings.TrimSpace(schema)) {
		words := strings.Fields(line)
		list := []shape{}
		for _, w := range words[1:] {
			name, typ, _ := strings.Cut(w, ":")
			base, optional := strings.CutSuffix(typ, "?")
			list = append(list, shape{name, base, optional})
		}
		out[words[0]] = list
	}
	return out
})

// Known reports whether the seed has such a kind.
func Known(kind string) bool { _, ok := shapes()[kind]; return ok }

// Authorization is an element of capability_check's authorized_by.
type Authorization struct {
	Action    string `json:"action"`
	GrantedBy string `json:"granted_by_display"`
	Signature string `json:"signature_b58"`
}

func (s shape) holds(v json.RawMessage) bool {
	if string(v) == "null" {
		return s.optional
	}
	var into any
	switch s.typ {
	case "text":
		_, ok := text(v)
		return ok
	case "texts":
		into = new([]string)
	case "flag":
		into = new(bool)
	case "u64":
		_, err := strconv.ParseUint(string(v), 10, 64)
		return err == nil
	case "u32":
		into = new(uint32)
	case "i32":
		into = new(int32)
	case "counts":
		into = new(map[string]uint64)
	case "grants":
		into = new([]Authorization)
	case "uuid":
		id, ok := text(v)
		return ok && ValidUUID(id)
	case "uuids":
		var ids []string
		return json.Unmarshal(v, &ids) == nil && !slices.ContainsFunc(ids, func(id string) bool { return !ValidUUID(id) })
	}
	return json.Unmarshal(v, into) == nil
}

// check holds an event to its kind. Kinds of the seed got fields, and there came to be more of them, so none of it breaks a
// log here; the seed's own reader, of one release, refuses a line for it.
func (e *Event) check() {
	list, known := shapes()[e.Kind]
	if !known {
		e.Unknown = true
		return
	}
	for _, s := range list {
		i := slices.IndexFunc(e.Fields, func(f Field) bool { return f.Name == s.name })
		switch {
		case i < 0 && !s.optional:
			e.Odd = append(e.Odd, fmt.Sprintf("%s lacks %s", e.Kind, s.name))
		case i >= 0 && !s.holds(e.Fields[i].Value):
			e.Odd = append(e.Odd, fmt.Sprintf("%s: %s is %.80s", e.Kind, s.name, e.Fields[i].Value))
		}
	}
	for _, f := range e.Fields {
		if !slices.ContainsFunc(list, func(s shape) bool { return s.name == f.Name }) {
			e.Odd = append(e.Odd, fmt.Sprintf("%s has no %.80q", e.Kind, f.Name))
		}
	}
}
