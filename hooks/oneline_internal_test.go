package hooks

import "testing"

// TestOneLine: what others wrote says no more than its letters to whoever reads it.
func TestOneLine(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"a b": "a b", "é 好": "é 好", "a\nb": "a b", "\x1b[31ma": " [31ma", "\u009b31ma": " 31ma", "a\u202eb\u2066c": "a b c", "a\u2028b": "a b", "\x7f\r\t": "   ",
	} {
		if got := oneLine(s); got != want {
			t.Errorf("%q became %q, want %q", s, got, want)
		}
	}
}
