package envelope_test

import (
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/envelope"
)

func TestTexts(t *testing.T) {
	for _, c := range []struct {
		s          string
		line, text bool
	}{
		{"", false, false},
		{"a", true, true},
		{strings.Repeat("é", 4), true, true},
		{strings.Repeat("é", 4) + "x", false, false},
		{"a\nb", false, true},
		{"a\tb", false, true},
		{"a\rb", false, false},
		{"a\x1bb", false, false},
		{"a\x7f", false, false},
		{"\xff", false, false},
	} {
		if envelope.IsLine(c.s, 8) != c.line || envelope.IsText(c.s, 8) != c.text {
			t.Errorf("%q: %v %v", c.s, envelope.IsLine(c.s, 8), envelope.IsText(c.s, 8))
		}
	}
	good := strings.Repeat("0a", 32)
	for _, s := range []string{"", good[1:], good + "0", strings.ToUpper(good), strings.Repeat("0g", 32), "sha256:" + good} {
		if envelope.IsSHA256(s) {
			t.Errorf("%q", s)
		}
	}
	if !envelope.IsSHA256(good) {
		t.Error(good)
	}
}
