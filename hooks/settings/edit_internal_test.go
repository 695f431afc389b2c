package settings

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/tailscale/hujson"
)

// FuzzEdit: what is put in goes out again and takes nothing with it: the settings mean what they meant, whoever reads them, but for lists and objects of hooks that are empty.
func FuzzEdit(f *testing.F) {
	for _, s := range []string{"{}", `{"a":1}`, `{"hooks":{}}`, `{"hooks":{"Stop":[{"hooks":[{"command":"x"}]}]}}`, "{\n // c\n \"a\": 1, // d\n}\n", `{"hooks":{"Stop":[],},}`, "/**/{}", "{\r\n\t\"hooks\": { // x\n}}", `{"version":2}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, Program) || len(text) > 1<<12 {
			return
		}
		for _, name := range []string{"claude-code", "cursor"} {
			put, err := with([]byte(text), true, layouts[name], Place{Agent: name})
			if err != nil {
				continue
			}
			out, err := without(put, func(string) bool { return false })
			if err != nil {
				t.Fatalf("%q became %q, which is not read: %v", text, put, err)
			}
			if bytes.Contains(out, []byte(Program)) {
				t.Errorf("%q leaves %q", text, out)
			}
			if strings.Count(string(out), "/*") < strings.Count(text, "/*") {
				t.Errorf("%q lost a comment: %q", text, out)
			}
			if a, b := meaning(text, name), meaning(string(out), name); !reflect.DeepEqual(a, b) {
				t.Errorf("%q, which means %v, became %q, which means %v", text, a, out, b)
			}
		}
	})
}

// meaning is settings as an agent reads them, without empty hooks.
func meaning(text, name string) map[string]any {
	var v map[string]any
	plain, err := hujson.Standardize([]byte(text))
	if err != nil || json.Unmarshal(plain, &v) != nil {
		return map[string]any{}
	}
	if v == nil {
		v = map[string]any{}
	}
	if hooks, ok := v["hooks"].(map[string]any); ok {
		for event, list := range hooks {
			if l, ok := list.([]any); ok && len(l) == 0 {
				delete(hooks, event)
			}
		}
		if len(hooks) == 0 {
			delete(v, "hooks")
		}
	}
	if name == "cursor" {
		delete(v, "version")
	}
	return v
}
