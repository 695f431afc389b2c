package event

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/open-covenant/covenant-git/envelope"
)

// Type is what a field holds.
type Type string

// Types of fields.
const (
	Text   Type = "text"    // 1 to [MaxText] bytes of UTF-8
	Word   Type = "word"    // one line, 1 to 256 bytes, no control characters
	Words  Type = "words"   // a list of up to 1024 of them
	Count  Type = "count"   // an integer from 0 to 2^53-1
	Flag   Type = "flag"    // true or false
	Hash   Type = "sha-256" // 64 lower-case hexadecimal digits
	Object Type = "object"  // the name of a Git object: 40 or 64 lower-case hexadecimal digits
)

func (t Type) check(v any) error {
	ok := false
	switch t {
	case Text:
		s, is := v.(string)
		ok = is && s != "" // its length was looked at
	case Word:
		s, is := v.(string)
		ok = is && envelope.IsLine(s, MaxWord)
	case Words:
		list, is := v.([]any)
		ok = is && !slices.ContainsFunc(list, func(x any) bool { s, is := x.(string); return !is || !envelope.IsLine(s, MaxWord) })
	case Count:
		switch n := v.(type) {
		case float64:
			ok = n >= 0 && n == math.Trunc(n) && n < 1<<53
		case int:
			ok = n >= 0
		}
	case Flag:
		_, ok = v.(bool)
	case Hash:
		s, is := v.(string)
		ok = is && len(s) == 64 && hexadecimal(s)
	case Object:
		s, is := v.(string)
		ok = is && (len(s) == 40 || len(s) == 64) && hexadecimal(s)
	}
	if !ok {
		return fmt.Errorf("is no %s", t)
	}
	return nil
}

func hexadecimal(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// Field is a field of a kind's data.
type Field struct {
	Name string
	Type Type
	Must bool
}

// Kind is what an event may be about.
type Kind struct {
	Name    string
	About   string  // one phrase
	Fields  []Field // of data
	Outcome bool    // it must say how it ended
	Ends    Outcome // how it ended where it does not say; "" is OK
	Must    bool    // what cannot record it must not go on
}

func (k *Kind) names() []string {
	out := make([]string, len(k.Fields))
	for i, f := range k.Fields {
		out[i] = f.Name
	}
	return out
}

// Ended returns how an event ended: as it says, else as its kind has it.
func (e *Event) Ended() Outcome {
	k, _ := Find(e.Kind)
	return cmp.Or(e.Outcome, k.Ends, OK)
}

// Find returns a kind.
func Find(name string) (Kind, bool) {
	i := slices.IndexFunc(Kinds, func(k Kind) bool { return k.Name == name })
	if i < 0 {
		return Kind{}, false
	}
	return Kinds[i], true
}

func must(name string, t Type) Field { return Field{name, t, true} }
func may(name string, t Type) Field  { return Field{name, t, false} }

// Kinds are all kinds, by name. Those of the Rust system keep its names, but for the name of one agent in front
// (hermes_) and "a_2_a", which is a2a here.
var Kinds = []Kind{
	{Name: "a2a_auto_retry_scheduler_scan", About: "messages whose answer is overdue were looked for", Fields: []Field{must("scanned", Count), may("retried", Count), may("skipped", Count)}},
	{Name: "a2a_recipient_rejected", About: "a message was for nobody here", Ends: Denied, Fields: []Field{must("task", Word), must("recipient", Word), must("reason", Text)}, Must: true},
	{Name: "a2a_repair_applied", About: "the state of a message was mended by hand", Fields: []Field{must("task", Word), must("action", Word), may("reason", Text)}},
	{Name: "a2a_result_rejected", About: "an answer was not taken", Ends: Denied, Fields: []Field{must("task", Word), must("sender", Word), must("reason", Text)}},
	{Name: "a2a_sender_mismatch", About: "who sent a message is not who it says", Ends: Denied, Fields: []Field{must("task", Word), must("claimed", Word), must("actual", Word)}, Must: true},
	{Name: "approval_requested", About: "an agent asked a person", Fields: []Field{must("approval", Word), must("action", Word), may("text", Text)}},
	{Name: "approval_resolved", About: "a person answered", Fields: []Field{must("approval", Word), must("approver", Word), may("text", Text)}, Outcome: true},
	{Name: "authentication_failed", About: "a peer could not show who it is", Ends: Failed, Fields: []Field{must("transport", Word), must("reason", Text)}, Must: true},
	{Name: "budget_exhausted", About: "there was too little left for it", Ends: Denied, Fields: []Field{must("agent", Word), must("requested", Count), may("remaining", Count)}, Must: true},
	{Name: "budget_preempt_failed", About: "what went over its budget could not be stopped", Ends: Failed, Fields: []Field{must("agent", Word), must("reason", Text)}, Must: true},
	{Name: "budget_preempted", About: "what went over its budget was stopped", Fields: []Field{must("agent", Word), may("requested", Count), may("remaining", Count)}, Must: true},
	{Name: "budget_unseeded", About: "an agent without a budget acted", Fields: []Field{must("agent", Word)}},
	{Name: "capability_grant_rejected", About: "a grant was asked for or signed that counts for nothing", Ends: Denied, Fields: []Field{must("action", Word), must("subject", Word), must("reason", Text)}, Must: true},
	{Name: "capability_revoke_rejected", About: "somebody wanted to end a grant and may not", Ends: Denied, Fields: []Field{must("grant", Word), must("reason", Text)}, Must: true},
	{Name: "capability_scope_rejected", About: "what was asked is outside of the scope", Ends: Denied, Fields: []Field{must("action", Word), must("reason", Text), may("grant", Word)}},
	{Name: "change_unrecorded", About: "a file changed, and no hook of an agent was told of a call that did it", Fields: []Field{
		must("path", Text), must("moment", Word), may("sha256", Hash), may("commit", Object), may("reason", Text),
	}},
	{Name: "external_payment_settled", About: "somebody was paid elsewhere", Fields: []Field{must("provider", Word), must("reference", Word), must("amount", Word), may("asset", Word)}},
	{Name: "file_written", About: "an agent wrote a file outside of a commit", Fields: []Field{
		must("path", Text), may("sha256", Hash), may("bytes", Count), may("tool", Word), may("call", Word), may("agent", Word), may("lines", Words), may("line_hashes", Text),
	}},
	{Name: "intent_dispatched", About: "an agent was given work, and how that ended", Fields: []Field{must("agent", Word), may("result_sha256", Hash), may("duration_ms", Count), may("reason", Text)}, Outcome: true},
	{Name: "intent_ignored", About: "an ignore rule kept work from being given", Ends: Ignored, Fields: []Field{must("rule", Text)}},
	{Name: "log_imported", About: "the records before it, in its entry, are of another system's log, which goes so far", Fields: []Field{
		must("format", Word), must("root", Hash), may("previous", Hash), must("events", Count), must("records", Count), must("file_sha256", Hash), must("file_bytes", Count),
		may("first", Word), may("last", Word),
	}},
	{Name: "log_record", About: "a record of another system's log, as it stood there", Fields: []Field{must("record_sha256", Hash), may("record", Text), may("original", Word), may("by", Word)}},
	{Name: "memory_compaction_applied", About: "memory was compacted", Fields: []Field{must("removed", Count), may("kept", Count), may("tier", Word)}},
	{Name: "memory_record_backfill_applied", About: "records of memory were completed", Fields: []Field{must("records", Count)}},
	{Name: "memory_repair_applied", About: "memory was mended", Fields: []Field{must("action", Word), must("records", Count)}},
	{Name: "note", About: "what somebody wants to be remembered", Fields: []Field{must("text", Text), may("about", Words)}},
	{Name: "operator_peer_revoke_rejected", About: "somebody wanted to shut a peer out and may not", Ends: Denied, Fields: []Field{must("peer", Word), must("reason", Text)}, Must: true},
	{Name: "operator_peers_list_rejected", About: "somebody wanted to see the peers and may not", Ends: Denied, Fields: []Field{must("reason", Text)}, Must: true},
	{Name: "operator_token_rotated", About: "an operator's token was replaced", Fields: []Field{may("previous_sha256", Hash)}},
	{Name: "operator_token_rotation_rejected", About: "somebody wanted to replace an operator's token and may not", Ends: Denied, Fields: []Field{must("reason", Text)}, Must: true},
	{Name: "peer_revoked", About: "a peer was shut out", Fields: []Field{must("peer", Word), may("reason", Text)}},
	{Name: "peer_self_revoke_blocked", About: "a peer wanted to shut itself out", Ends: Denied, Fields: []Field{must("peer", Word)}, Must: true},
	{Name: "prompt_submitted", About: "a person said something to an agent", Fields: []Field{may("sha256", Hash), may("bytes", Count), may("agent", Word), may("turn", Word)}},
	{Name: "ref_refused", About: "a push was refused, by a clone before it or by a server", Ends: Denied, Fields: []Field{
		must("ref", Text), must("moment", Word), must("reason", Text), may("old", Object), may("new", Object), may("remote", Text),
	}, Must: true},
	{Name: "secret_access_denied", About: "somebody wanted a secret and may not", Ends: Denied, Fields: []Field{must("secret", Word), must("reason", Text)}, Must: true},
	{Name: "secret_access_granted", About: "a secret was handed out", Fields: []Field{must("secret", Word), may("grant", Word)}, Must: true},
	{Name: "session_ended", About: "an agent's session, or a turn of it, ended", Fields: []Field{
		may("reason", Text), may("duration_ms", Count), may("model", Word), may("input_tokens", Count), may("output_tokens", Count), may("cost_micros", Count), may("agent", Word),
	}, Outcome: true},
	{Name: "session_started", About: "an agent's session began, or went on", Fields: []Field{must("tool", Word), may("model", Word), may("version", Word), may("source", Word), may("agent", Word), may("parent", Word)}},
	{Name: "settlement_receipt_backfill_applied", About: "receipts were completed", Fields: []Field{must("receipts", Count)}},
	{Name: "tool_call_completed", About: "a tool was called, and how that ended", Fields: []Field{
		must("tool", Word), may("arguments_sha256", Hash), may("result_sha256", Hash), may("duration_ms", Count), may("reason", Text),
		may("call", Word), may("agent", Word), may("turn", Word), may("model", Word),
	}, Outcome: true},
	{Name: "tool_invoked", About: "a tool is about to be called", Fields: []Field{
		must("tool", Word), may("arguments_sha256", Hash), may("call", Word), may("agent", Word), may("turn", Word), may("class", Word), may("paths", Words), may("hidden", Words),
	}},
	{Name: "transcript_kept", About: "what was said in an agent's session was kept in one clone", Fields: []Field{must("sha256", Hash), must("blob", Object), may("bytes", Count), may("left_out", Count), may("agent", Word)}},
}
