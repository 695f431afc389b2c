package envelope

import (
	"strings"
	"unicode/utf8"
)

// IsLine reports whether a text is one line of 1 to most bytes of UTF-8 without control characters.
func IsLine(s string, most int) bool {
	return s != "" && len(s) <= most && utf8.ValidString(s) && !strings.ContainsFunc(s, control)
}

// IsText reports whether a text has 1 to most bytes of UTF-8, and no control characters but line feeds and tabs.
func IsText(s string, most int) bool {
	return s != "" && len(s) <= most && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return control(r) && r != '\n' && r != '\t' })
}

func control(r rune) bool { return r < ' ' || r == 0x7f }

// IsSHA256 reports whether a text is the 64 hexadecimal digits of a SHA-256, in small letters.
func IsSHA256(s string) bool { return Digest(digestPrefix + s).Valid() }
