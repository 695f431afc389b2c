package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdJSON is "json FILE [KEY=VALUE…] PATH WANT": of the JSON values in FILE (stdout
// and stderr are what the last command wrote) whose KEYs have these VALUEs, those at
// PATH, joined by spaces, are WANT. With "!" they are something else.
//
// A path is names and array indices joined by dots; "*" stands for all elements,
// and "len" for the number of elements of an array. What is not there is nothing.
// Strings are compared as they are, everything else as compact JSON.
func cmdJSON(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 3 {
		ts.Fatalf("usage: json FILE [KEY=VALUE…] PATH WANT")
	}
	last := len(args) - 1
	got, err := query(ts.ReadFile(args[0]), args[1:last-1], args[last-1])
	ts.Check(err)
	if (got == args[last]) == neg {
		ts.Fatalf("%s is %q", args[last-1], got)
	}
}

// cmdJSONCount is "jsoncount FILE [KEY=VALUE…] N": so many values match.
func cmdJSONCount(ts *testscript.TestScript, neg bool, args []string) {
	positive(ts, neg, args, 2, "jsoncount FILE [KEY=VALUE…] N")
	last := len(args) - 1
	values, err := filter(ts.ReadFile(args[0]), args[1:last])
	ts.Check(err)
	if got := strconv.Itoa(len(values)); got != args[last] {
		ts.Fatalf("%s match", got)
	}
}

// cmdJSONVar is "jsonvar NAME FILE [KEY=VALUE…] PATH": the variable becomes what
// json would compare.
func cmdJSONVar(ts *testscript.TestScript, neg bool, args []string) {
	positive(ts, neg, args, 3, "jsonvar NAME FILE [KEY=VALUE…] PATH")
	last := len(args) - 1
	got, err := query(ts.ReadFile(args[1]), args[2:last], args[last])
	ts.Check(err)
	ts.Setenv(args[0], got)
}

func query(text string, filters []string, path string) (string, error) {
	values, err := filter(text, filters)
	if err != nil {
		return "", err
	}
	var found []string
	for _, v := range values {
		found = append(found, at(v, strings.Split(path, "."))...)
	}
	return strings.Join(found, " "), nil
}

// filter returns the JSON values of text for which all filters hold.
func filter(text string, filters []string) ([]any, error) {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var values []any
	for {
		var v any
		if err := dec.Decode(&v); err == io.EOF {
			return values, nil
		} else if err != nil {
			return nil, fmt.Errorf("no JSON: %w", err)
		}
		match := true
		for _, f := range filters {
			path, want, ok := strings.Cut(f, "=")
			if !ok {
				return nil, fmt.Errorf("%q is not KEY=VALUE", f)
			}
			match = match && slices.Contains(at(v, strings.Split(path, ".")), want)
		}
		if match {
			values = append(values, v)
		}
	}
}

func at(v any, path []string) []string {
	if len(path) == 0 {
		if s, ok := v.(string); ok {
			return []string{s}
		}
		b, err := json.Marshal(v)
		if err != nil {
			return []string{err.Error()}
		}
		return []string{string(b)}
	}
	switch v := v.(type) {
	case map[string]any:
		if sub, ok := v[path[0]]; ok {
			return at(sub, path[1:])
		}
	case []any:
		switch i, err := strconv.Atoi(path[0]); {
		case path[0] == "*":
			var found []string
			for _, sub := range v {
				found = append(found, at(sub, path[1:])...)
			}
			return found
		case path[0] == "len":
			return []string{strconv.Itoa(len(v))}
		case err == nil && i >= 0 && i < len(v):
			return at(v[i], path[1:])
		}
	}
	return nil
}

func TestQuery(t *testing.T) {
	const text = `{"type":"commit","n":1,"findings":[{"code":"a"},{"code":"b","x":[1]}]}
{"type":"commit","n":12345678901234567890,"findings":[]}
{"type":"summary","ok":true,"root":null}
`
	for _, c := range []struct{ filters, path, want string }{
		{"type=commit", "n", "1 12345678901234567890"},
		{"type=commit", "findings.*.code", "a b"},
		{"type=commit", "findings.len", "2 0"},
		{"findings.*.code=b", "findings.1.x", "[1]"},
		{"type=summary ok=true", "root", "null"},
		{"type=summary", "gone.deeper", ""},
		{"type=none", "n", ""},
	} {
		got, err := query(text, strings.Fields(c.filters), c.path)
		if err != nil || got != c.want {
			t.Errorf("%s %s: %q, %v, want %q", c.filters, c.path, got, err, c.want)
		}
	}
	if _, err := query("not json", nil, "x"); err == nil {
		t.Error("text that is no JSON passes")
	}
}
