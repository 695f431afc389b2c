package report

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/open-covenant/covenant-git/envelope/event"
	"github.com/open-covenant/covenant-git/git/audit"
)

// Limits of spans.
const (
	maxBatch = 500    // spans of a line
	maxOpen  = 10_000 // sessions and intents whose beginning and end are remembered; of more there is no span
)

// Spans makes OpenTelemetry spans of records, in the form that OpenTelemetry's file exporter writes: lines of
// {"resourceSpans":[…]}, by the JSON mapping of OTLP. There is one for each tool call that ended, each decision or
// check, each seal, and one for each intent and session over all that was done for it and in it. Ids are digests of the
// repository and of what a span is of, so the same record gives the same spans, here and elsewhere.
type Spans struct {
	repository, version string
	problems            int
	write               func(any) error
	batch               []span
	open                map[string]*whole
}

// A whole is the span of an intent or session, while it grows.
type whole struct {
	span
	first, last time.Time
}

type exported struct {
	ResourceSpans []resourceSpans `json:"resourceSpans"`
}

type resourceSpans struct {
	Resource   resource     `json:"resource"`
	ScopeSpans []scopeSpans `json:"scopeSpans"`
}

type resource struct {
	Attributes []attribute `json:"attributes"`
}

type scopeSpans struct {
	Scope scope  `json:"scope"`
	Spans []span `json:"spans"`
}

type scope struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

type span struct {
	TraceID    string      `json:"traceId"`
	SpanID     string      `json:"spanId"`
	ParentID   string      `json:"parentSpanId,omitempty"`
	Name       string      `json:"name"`
	Kind       int         `json:"kind"` // 1: internal
	Start      string      `json:"startTimeUnixNano"`
	End        string      `json:"endTimeUnixNano"`
	Attributes []attribute `json:"attributes"`
	Status     status      `json:"status"`
}

type status struct {
	Message string `json:"message,omitempty"`
	Code    int    `json:"code,omitempty"` // 1: ok, 2: error
}

type attribute struct {
	Key   string `json:"key"`
	Value value  `json:"value"`
}

// A value is a text or a number, and a number is a text in OTLP's JSON. One of them is there, even when it is empty.
type value struct {
	String *string `json:"stringValue,omitempty"`
	Int    *string `json:"intValue,omitempty"`
}

func textual(key, s string) attribute {
	s = clip(s)
	return attribute{key, value{String: &s}}
}

func integer(key string, n uint64) attribute {
	s := strconv.FormatUint(n, 10)
	return attribute{key, value{Int: &s}}
}

// NewSpans returns what hands lines to write. repository is the digest that names it; problems is how many things are wrong with
// the record.
func NewSpans(repository, version string, problems int, write func(any) error) *Spans {
	return &Spans{repository: repository, version: version, problems: problems, write: write, open: map[string]*whole{}}
}

// digest names something by n bytes.
func (s *Spans) digest(n int, parts ...string) string {
	h := sha256.New()
	for _, p := range append([]string{"covenant otlp v1", s.repository}, parts...) {
		_, _ = fmt.Fprintf(h, "%d:%s,", len(p), p) // no two lists give the same bytes
	}
	return hex.EncodeToString(h.Sum(nil)[:n])
}

// Add takes a record in. Records of other kinds only tell how long an intent or session was.
func (s *Spans) Add(r *audit.Record) error {
	if r.Err != nil {
		return nil
	}
	trace, parent := s.place(r)
	x := span{TraceID: trace, SpanID: s.digest(8, "record", string(r.ID), strconv.Itoa(r.Index)), ParentID: parent, Kind: 1, Start: nanos(r.At), End: nanos(r.At)}
	switch {
	case r.Kind == "tool_call_completed":
		x.Name = "tool " + clip(r.Get("tool"))
		x.Attributes = append(x.Attributes, textual("gen_ai.operation.name", "execute_tool"), textual("gen_ai.tool.name", r.Get("tool")))
		if ms, err := strconv.ParseUint(r.Get("duration_ms"), 10, 40); err == nil {
			x.Start = nanos(r.At.Add(-time.Duration(ms) * time.Millisecond)) //nolint:gosec // 40 bits
		}
	case decides(r.Kind):
		x.Name = "check " + clip(r.Get("action"))
		x.Attributes = append(x.Attributes, textual("covenant.action", r.Get("action")))
		if ref := r.Get("ref"); ref != "" {
			x.Attributes = append(x.Attributes, textual("vcs.ref.head.name", ref))
		}
	case r.Kind == audit.Seal:
		x.Name = "seal"
		x.Attributes = append(x.Attributes, textual("vcs.ref.head.revision", r.Get("commit")))
	default:
		return nil
	}
	if r.Outcome == event.Denied || r.Outcome == event.Failed {
		x.Status = status{clip(r.Get("reason")), 2}
	}
	x.Attributes = append(x.Attributes, textual("covenant.kind", r.Kind), textual("covenant.outcome", string(r.Outcome)),
		textual("covenant.entry", string(r.ID)), textual("covenant.ledger", r.Ledger), integer("covenant.seq", r.Seq))
	x.Attributes = append(x.Attributes, signedBy(r)...)
	return s.put(x)
}

func signedBy(r *audit.Record) []attribute {
	if r.Principal == nil {
		return []attribute{textual("covenant.key", r.KeyID)}
	}
	return []attribute{textual("covenant.principal", r.Principal.Name), textual("covenant.principal.kind", r.Principal.Kind), textual("covenant.accountable", r.Principal.Accountable)}
}

// place returns the trace of a record and the span above its own, both of which grow to have it in them.
func (s *Spans) place(r *audit.Record) (trace, parent string) {
	signer := r.KeyID
	if r.Principal != nil {
		signer = r.Principal.Name
	}
	switch {
	case r.Intent != "":
		trace = s.digest(16, "intent", r.Intent)
	case r.Session != "":
		trace = s.digest(16, "session", signer, r.Session)
	default:
		return s.digest(16, "entry", string(r.ID)), ""
	}
	if r.Intent != "" {
		x := span{TraceID: trace, SpanID: s.digest(8, "intent", r.Intent), Name: "intent " + clip(r.Intent), Attributes: []attribute{textual("covenant.intent", r.Intent)}}
		parent = s.grow(x, r)
	}
	if r.Session != "" {
		x := span{TraceID: trace, SpanID: s.digest(8, trace, "session", signer, r.Session), ParentID: parent, Name: "session " + clip(r.Session)}
		x.Attributes = append([]attribute{textual("covenant.session", r.Session)}, signedBy(r)...)
		parent = s.grow(x, r)
	}
	return trace, parent
}

// grow makes a span reach over a record, and returns its id.
func (s *Spans) grow(x span, r *audit.Record) string {
	w := s.open[x.SpanID]
	if w == nil {
		if len(s.open) >= maxOpen {
			return x.SpanID // whoever reads spans takes one whose parent is not there
		}
		x.Kind = 1
		w = &whole{span: x}
		s.open[x.SpanID] = w
	}
	widen(&w.first, &w.last, r.At)
	return x.SpanID
}

func (s *Spans) put(x span) error {
	if s.batch = append(s.batch, x); len(s.batch) < maxBatch {
		return nil
	}
	return s.flush()
}

func (s *Spans) flush() error {
	if len(s.batch) == 0 {
		return nil
	}
	line := exported{[]resourceSpans{{
		Resource:   resource{[]attribute{textual("service.name", "covenant"), textual("covenant.repository", s.repository), integer("covenant.record.problems", uint64(max(0, s.problems)))}},
		ScopeSpans: []scopeSpans{{scope{"covenant audit report", s.version}, s.batch}},
	}}}
	s.batch = nil
	return s.write(line)
}

// Close writes the spans of intents and sessions, and what is left.
func (s *Spans) Close() error {
	list := slices.SortedFunc(maps.Values(s.open), func(a, b *whole) int {
		return cmp.Or(a.first.Compare(b.first), cmp.Compare(len(a.ParentID), len(b.ParentID)), cmp.Compare(a.SpanID, b.SpanID))
	})
	for _, w := range list {
		w.Start, w.End = nanos(w.first), nanos(w.last)
		if err := s.put(w.span); err != nil {
			return err
		}
	}
	return s.flush()
}

// nanos is a time as OTLP's JSON has it; there is none before 1970, nor after what 64 bits hold.
func nanos(t time.Time) string {
	sec := max(0, min(t.Unix(), 1<<33))
	return strconv.FormatUint(uint64(sec)*1_000_000_000+uint64(t.Nanosecond()), 10) //nolint:gosec // bounded, and no negative number
}
