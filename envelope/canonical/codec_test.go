package canonical_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/envelope/canonical"
)

type inner struct {
	Z string   `json:"z"`
	A *int     `json:"a,omitempty"`
	L []string `json:"l"`
}

type record struct {
	Name  string            `json:"name"`
	Inner inner             `json:"inner"`
	Tags  map[string]string `json:"tags,omitempty"`
	Count int64             `json:"count,omitempty"`
}

func TestMarshal(t *testing.T) {
	seven := 7
	for _, c := range []struct {
		v    any
		want string
	}{
		{
			record{Name: "<a&b>", Inner: inner{Z: "\u2028\x7f\b", A: &seven, L: []string{}}, Tags: map[string]string{"\ufb33": "", "😀": "", "a": ""}},
			`{"inner":{"a":7,"l":[],"z":"` + "\u2028\x7f" + `\b"},"name":"<a&b>","tags":{"a":"","😀":"","` + "\ufb33" + `":""}}`,
		},
		{json.RawMessage(` { "b" : "\u0041\/\ud83d\ude00" , "a" : [ 1 ] } `), `{"a":[1],"b":"A/😀"}`},
		{float64(3), `3`},
		{"\ufffd", "\"\ufffd\""},
		{`\ufffd`, `"\\ufffd"`},
		{nil, `null`},
	} {
		got, err := canonical.Marshal(c.v)
		if err != nil || string(got) != c.want {
			t.Errorf("Marshal(%#v) = %s, %v; want %s", c.v, got, err, c.want)
		}
	}
}

// A value that has no exact canonical form is an error, not something near it.
func TestMarshalRefuses(t *testing.T) {
	deep := any(0)
	for range canonical.MaxDepth + 1 {
		deep = []any{deep}
	}
	for name, c := range map[string]struct {
		v    any
		want error
	}{
		"fraction":                        {1.5, canonical.ErrNumber},
		"minus zero":                      {math.Copysign(0, -1), canonical.ErrNumber},
		"integer above 2^53-1":            {int64(1 << 53), canonical.ErrNumber},
		"integer that jcs would round":    {map[string]any{"b": int64(1<<53 + 1), "a": 1}, canonical.ErrNumber},
		"fraction that jcs would round":   {map[string]any{"b": json.Number("1.0"), "a": 1}, canonical.ErrNumber},
		"text that is not UTF-8":          {"a\xffb", canonical.ErrUTF8},
		"name that is not UTF-8":          {map[string]int{"\xed\xa0\x80": 1}, canonical.ErrUTF8},
		"raw lone high surrogate":         {json.RawMessage(`"\ud83d"`), canonical.ErrUTF8},
		"raw lone low surrogate":          {json.RawMessage(`"\ude00"`), canonical.ErrUTF8},
		"raw surrogates in wrong order":   {json.RawMessage(`"\ude00\ud83d"`), canonical.ErrUTF8},
		"raw surrogate followed by other": {json.RawMessage(`"\ud83d\u0041"`), canonical.ErrUTF8},
		"raw surrogate cut":               {json.RawMessage(`"\ud83d\n"`), canonical.ErrUTF8},
		"raw duplicate name":              {json.RawMessage(`{"b":1,"b":2}`), canonical.ErrDuplicate},
		"raw duplicate name apart":        {json.RawMessage(`{"b":1,"a":0,"b":2}`), canonical.ErrDuplicate},
		"raw duplicate name, escaped":     {json.RawMessage(`{"b":1,"\u0062":2}`), canonical.ErrDuplicate},
		"too deep":                        {deep, canonical.ErrDepth},
		"too deep and unsorted":           {map[string]any{"\ufb33": deep, "😀": 1}, canonical.ErrDepth},
	} {
		if b, err := canonical.Marshal(c.v); !errors.Is(err, c.want) || b != nil {
			t.Errorf("%s: %q, %v; want %v", name, b, err, c.want)
		}
	}
	if _, err := canonical.Marshal(make(chan int)); err == nil {
		t.Error("a channel was encoded")
	}
}

func TestUnmarshal(t *testing.T) {
	const doc = `{"inner":{"l":["x"],"z":""},"name":"n"}`
	var r record
	if err := canonical.Unmarshal([]byte(doc), &r); err != nil {
		t.Fatal(err)
	}
	if r.Name != "n" || len(r.Inner.L) != 1 || r.Inner.A != nil {
		t.Errorf("read %+v", r)
	}
}

// The reader and the signer of a document must not be able to see different things in it.
func TestUnmarshalRefuses(t *testing.T) {
	for _, c := range []struct {
		name, doc string
		want      error
	}{
		{"unknown field", `{"inner":{"l":[],"z":""},"name":"","other":1}`, canonical.ErrUnknownField},
		{"unknown nested field", `{"inner":{"l":[],"y":0,"z":""},"name":""}`, canonical.ErrUnknownField},
		{"letter case", `{"Name":"x","inner":{"l":[],"z":""},"name":"y"}`, canonical.ErrUnknownField},
		{"letter case alone", `{"NAME":"x","inner":{"l":[],"z":""}}`, canonical.ErrUnknownField},
		{"letter case of a nested name", `{"inner":{"L":[],"z":""},"name":""}`, canonical.ErrUnknownField},
		{"letter case, long s", `{"inner":{"l":[],"z":""},"name":"","tagſ":{"a":"b"}}`, canonical.ErrUnknownField},
		{"required field missing", `{"inner":{"l":[],"z":""}}`, canonical.ErrNotExact},
		{"optional field given as zero", `{"count":0,"inner":{"l":[],"z":""},"name":""}`, canonical.ErrNotExact},
		{"optional field given as null", `{"inner":{"a":null,"l":[],"z":""},"name":""}`, canonical.ErrNotExact},
		{"optional map given empty", `{"inner":{"l":[],"z":""},"name":"","tags":{}}`, canonical.ErrNotExact},
		{"null for a string", `{"inner":{"l":[],"z":null},"name":""}`, canonical.ErrNotExact},
		{"null for everything", `null`, canonical.ErrNotExact},
		{"not canonical", `{"name":"", "inner":{"l":[],"z":""}}`, canonical.ErrSpace},
		{"newline", `{"inner":{"l":[],"z":""},"name":""}` + "\n", canonical.ErrSpace},
	} {
		var r record
		if err := canonical.Unmarshal([]byte(c.doc), &r); !errors.Is(err, c.want) {
			t.Errorf("%s: %v; want %v", c.name, err, c.want)
		}
	}
	var r record
	err := canonical.Unmarshal([]byte(`{"inner":{"l":[],"z":""},"name":7}`), &r)
	var typeError *json.UnmarshalTypeError
	if !errors.As(err, &typeError) {
		t.Errorf("wrong type: %v", err)
	}
	if err := canonical.Unmarshal([]byte(`{}`), nil); err == nil {
		t.Error("read into nil")
	}
	if err := canonical.Unmarshal([]byte(`{}`), record{}); err == nil {
		t.Error("read into a value that is not a pointer")
	}
}

// statement returns a canonical document of about 3 KiB in the manner of a seal.
func statement(t testing.TB) []byte {
	t.Helper()
	var changes []any
	for i := range 14 {
		changes = append(changes, map[string]any{
			"path": "src/package/" + strings.Repeat("é", i%3) + "file_name.go", "mode": "100644", "status": "M", "size": 1234 + i,
			"new": strings.Repeat("0123456789abcdef", 4)[:40], "sha256": strings.Repeat("89abcdef", 8),
		})
	}
	b, err := canonical.Marshal(map[string]any{"_type": "https://in-toto.io/Statement/v1", "predicate": map[string]any{"changes": changes, "note": "line\nline"}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func BenchmarkCheck(b *testing.B) {
	doc := statement(b)
	b.SetBytes(int64(len(doc)))
	for b.Loop() {
		if err := canonical.Check(doc); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUnmarshal(b *testing.B) {
	doc, err := canonical.Marshal(record{Name: "n", Inner: inner{L: []string{"a", "b"}}})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(doc)))
	for b.Loop() {
		var r record
		if err := canonical.Unmarshal(doc, &r); err != nil {
			b.Fatal(err)
		}
	}
}
