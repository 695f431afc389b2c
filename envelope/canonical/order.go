package canonical

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// compareNames orders two object names, given as they stand between their quotes, by the UTF-16
// code units of what they say (RFC 8785, section 3.2.3): negative if a comes first, 0 if equal.
// Both have passed scanner.text in exact form.
func compareNames(a, b []byte) int {
	n := min(len(a), len(b))
	i := 0
	for i < n && a[i] == b[i] && a[i] != '\\' && a[i] < utf8.RuneSelf {
		i++
	}
	a, b = a[i:], b[i:]
	if bytes.Equal(a, b) {
		return 0
	}
	for len(a) > 0 && len(b) > 0 {
		ra, na := nextRune(a)
		rb, nb := nextRune(b)
		if ra != rb {
			ua, ub := firstUnit(ra), firstUnit(rb)
			if ua == ub {
				// Same high surrogate: the order of the low ones is that of the runes.
				return int(ra - rb)
			}
			return int(ua - ub)
		}
		a, b = a[na:], b[nb:]
	}
	return len(a) - len(b)
}

// nextRune returns the code point that b begins with, an escape decoded, and its length in b.
func nextRune(b []byte) (rune, int) {
	if b[0] != '\\' {
		return utf8.DecodeRune(b)
	}
	switch b[1] {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		// The exact form escapes only \u0000 to \u001f this way.
		low := b[5] - '0'
		if b[5] >= 'a' {
			low = b[5] - 'a' + 10
		}
		return rune(b[4]-'0')<<4 | rune(low), 6
	}
	return rune(b[1]), 2
}

// firstUnit returns the first UTF-16 code unit of r.
func firstUnit(r rune) rune {
	if r < 0x10000 {
		return r
	}
	high, _ := utf16.EncodeRune(r)
	return high
}
