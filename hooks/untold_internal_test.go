package hooks

import "testing"

// TestSays: a line of settings counts where their agent reads it.
func TestSays(t *testing.T) {
	for text, want := range map[string]bool{
		`{"command":"us"}`: true, `{"a":"b\"","command":"us"}`: true, "{// \"us\"\n}": false, "{/* \"us\" */}": false, `{"a":"// ","b":"us"}`: true, `{"a":"\"us\""}`: false, `{"a":"us`: false,
		`{"a":"x us"}`: false, `{"a":"\`: false, "/*": false, "//": false, "": false, "{\"a\":\"/*\", \"b\":\"us\"}": true,
	} {
		if says(text, "us") != want {
			t.Errorf("%s: not %v", text, want)
		}
	}
}
