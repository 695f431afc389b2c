package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/envelope/event"
)

// TestSpans holds the lines to the JSON mapping of OTLP: ids in lower-case hexadecimal of 16 and 8 bytes, 64-bit numbers as texts,
// enumerations as numbers, and no member that the messages don't have.
func TestSpans(t *testing.T) {
	_, who := people(t, "ada", "ben")
	lay := func() []byte {
		var b bytes.Buffer
		s := NewSpans("sha256:"+strings.Repeat("0", 64), "v1", 2, func(v any) error { return json.NewEncoder(&b).Encode(v) })
		for i := range 1200 {
			at := now.Add(time.Duration(i) * time.Second)
			kind := []string{"tool_call_completed", "gate.decided", "seal", "note"}[i%4]
			r := record(who[i%2], i, at, kind, []event.Outcome{event.OK, event.Failed, event.Denied}[i%3], "tool", "grep", "action", "repo.commit", "reason", "no \u202e <", "duration_ms", "1500", "commit", "c")
			r.Index = i + 1
			switch i % 3 {
			case 0:
				r.Session = "s"
			case 1:
				r.Session, r.Intent = "s", fmt.Sprint("i", i%5)
			}
			if i == 7 {
				r.At = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
			}
			if err := s.Add(r); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	out := lay()
	if !bytes.Equal(out, lay()) {
		t.Error("the same record gives other bytes")
	}
	type attr struct {
		Key   string
		Value struct{ StringValue, IntValue *string }
	}
	type aSpan struct {
		TraceID           string `json:"traceId"`
		SpanID            string `json:"spanId"`
		ParentSpanID      string `json:"parentSpanId"`
		Name              string
		Kind              int
		StartTimeUnixNano string
		EndTimeUnixNano   string
		Attributes        []attr
		Status            struct {
			Message string
			Code    int
		}
	}
	type message struct {
		ResourceSpans []struct {
			Resource   struct{ Attributes []attr }
			ScopeSpans []struct {
				Scope struct{ Name, Version string }
				Spans []aSpan
			}
		}
	}
	trace, id := regexp.MustCompile(`^[0-9a-f]{32}$`), regexp.MustCompile(`^[0-9a-f]{16}$`)
	spans, lines := map[string]aSpan{}, 0
	for line := range strings.Lines(string(out)) {
		lines++
		d := json.NewDecoder(strings.NewReader(line))
		d.DisallowUnknownFields()
		var m message
		if err := d.Decode(&m); err != nil {
			t.Fatal(err)
		}
		if len(m.ResourceSpans) != 1 || len(m.ResourceSpans[0].ScopeSpans) != 1 || len(m.ResourceSpans[0].ScopeSpans[0].Spans) > maxBatch {
			t.Fatalf("line %d has another shape", lines)
		}
		for _, s := range m.ResourceSpans[0].ScopeSpans[0].Spans {
			start, err1 := strconv.ParseUint(s.StartTimeUnixNano, 10, 64)
			end, err2 := strconv.ParseUint(s.EndTimeUnixNano, 10, 64)
			if !trace.MatchString(s.TraceID) || !id.MatchString(s.SpanID) || s.ParentSpanID != "" && !id.MatchString(s.ParentSpanID) ||
				err1 != nil || err2 != nil || start > end || s.Kind != 1 || s.Name == "" || s.Status.Code != 0 && s.Status.Code != 2 {
				t.Errorf("%+v", s)
			}
			for _, a := range s.Attributes {
				if a.Key == "" || (a.Value.StringValue == nil) == (a.Value.IntValue == nil) {
					t.Errorf("%s: attribute %+v", s.Name, a)
				}
			}
			if _, twice := spans[s.TraceID+s.SpanID]; twice {
				t.Errorf("%s is there twice", s.SpanID)
			}
			spans[s.TraceID+s.SpanID] = s
			if strings.HasPrefix(s.Name, "tool ") && start > 0 && end-start != 1_500_000_000 {
				t.Errorf("%s took %d", s.Name, end-start)
			}
		}
	}
	kinds := map[string]int{}
	for _, s := range spans {
		word, _, _ := strings.Cut(s.Name, " ")
		kinds[word]++
		if s.ParentSpanID == "" {
			continue
		}
		if _, ok := spans[s.TraceID+s.ParentSpanID]; !ok {
			t.Errorf("%s: its parent is not in its trace", s.Name)
		}
	}
	// Two who have a session "s" each: in a trace of its own, and in that of each of five intents.
	if want := map[string]int{"tool": 300, "check": 300, "seal": 300, "intent": 5, "session": 2 + 2*5}; fmt.Sprint(kinds) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", kinds, want)
	}
	if lines != 2 {
		t.Errorf("%d lines", lines)
	}
}
