package redaction

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// MaxDepth is how deep values may nest: [] is one deep.
const MaxDepth = 64

// ErrValue says that a value is none that JSON has, or nests too deep. It is refused, since what is not
// understood cannot be redacted.
var ErrValue = errors.New("not a value that can be redacted")

// Value returns a copy of a value in which every string was redacted, and the names of objects too.
// Values are nil, bool, numbers, string, []any, []string, map[string]any and map[string]string; anything
// else, and what nests deeper than [MaxDepth], is ErrValue. A string is judged by the name it stands
// under, too, and as an argument by the flag before it. Hits are in the order of sorted names.
func (x *Redactor) Value(v any) (any, []Hit, error) {
	w := walk{x: x}
	out, err := w.value(v, "", "", 0)
	if err != nil {
		return nil, nil, err
	}
	return out, w.hits, nil
}

type walk struct {
	x    *Redactor
	hits []Hit
}

// value redacts a value that stands under a name; path is the pointer to it.
func (w *walk) value(v any, name, path string, depth int) (any, error) {
	if depth > MaxDepth {
		return nil, fmt.Errorf("%w: deeper than %d", ErrValue, MaxDepth)
	}
	switch v := v.(type) {
	case nil, bool, float64, float32, int, int64, int32, uint64, uint32, json.Number:
		return v, nil
	case string:
		return w.text(v, name, path), nil
	case []any:
		return w.list(v, name, path, depth)
	case []string:
		out := make([]string, len(v))
		for i, s := range v {
			out[i] = w.text(s, nameAt(v, i, name), path+"/"+strconv.Itoa(i))
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for _, key := range slices.Sorted(maps.Keys(v)) {
			shown := unused(out, w.text(key, "", path))
			inner, err := w.value(v[key], key, path+"/"+escapePointer(shown), depth+1)
			if err != nil {
				return nil, err
			}
			out[shown] = inner
		}
		return out, nil
	case map[string]string:
		out := make(map[string]string, len(v))
		for _, key := range slices.Sorted(maps.Keys(v)) {
			shown := unused(out, w.text(key, "", path))
			out[shown] = w.text(v[key], key, path+"/"+escapePointer(shown))
		}
		return out, nil
	}
	return nil, fmt.Errorf("%w: %T", ErrValue, v)
}

func (w *walk) list(v []any, name, path string, depth int) (any, error) {
	out := make([]any, len(v))
	for i, inner := range v {
		under := name
		if i > 0 {
			if flag, ok := v[i-1].(string); ok && isFlag(flag) {
				under = flag
			}
		}
		r, err := w.value(inner, under, path+"/"+strconv.Itoa(i), depth+1)
		if err != nil {
			return nil, err
		}
		out[i] = r
	}
	return out, nil
}

// nameAt returns the name that the string at i stands under: the flag before it, or that of the list.
func nameAt(list []string, i int, name string) string {
	if i > 0 && isFlag(list[i-1]) {
		return list[i-1]
	}
	return name
}

func isFlag(s string) bool { return strings.HasPrefix(s, "--") && !strings.ContainsAny(s, "= ") }

// text redacts a string that stands under a name. One that holds a mark was judged by its name before.
func (w *walk) text(s, name, path string) string {
	if rule, ok := w.judge(s, name); ok {
		at := place{line: 1, column: 1}
		w.add(path, at.hit(span{end: len(s), rule: rule}))
		return w.x.mark(rule, s)
	}
	out, hits := w.x.Redact(s)
	for _, h := range hits {
		w.add(path, h)
	}
	return out
}

func (w *walk) add(path string, h Hit) {
	h.Path = path
	if path == "" {
		h.Path = "/"
	}
	w.hits = append(w.hits, h)
}

// judge reports whether a whole string is a secret by the name it stands under.
func (w *walk) judge(s, name string) (ruleID, bool) {
	if name == "" || len(name) > 2*maxKey || strings.Contains(s, markOpen) {
		return 0, false
	}
	id, _ := Assignment.id()
	if !w.x.rules.on(id) || !isSecret(classify(name), s, true) {
		return 0, false
	}
	// A name that is itself redacted says nothing: it would say something else the second time.
	if strings.Contains(name, markOpen) || len(w.x.machine.all(name)) > 0 {
		return 0, false
	}
	// A rule that knows this very string says more.
	if spans := resolve(w.x.machine.all(s), 0); len(spans) == 1 && spans[0].start == 0 && spans[0].end == len(s) {
		return spans[0].rule, true
	}
	return id, true
}

// unused returns a name that the object does not have yet: without a key two names may be redacted to
// the same.
func unused[V any](object map[string]V, name string) string {
	shown := name
	for n := 2; ; n++ {
		if _, taken := object[shown]; !taken {
			return shown
		}
		shown = name + "#" + strconv.Itoa(n)
	}
}

func escapePointer(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}
