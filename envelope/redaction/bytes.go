package redaction

import (
	"math"
	"strings"
)

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isLower(c byte) bool { return 'a' <= c && c <= 'z' }
func isUpper(c byte) bool { return 'A' <= c && c <= 'Z' }
func isAlpha(c byte) bool { return isLower(c) || isUpper(c) }
func isAlnum(c byte) bool { return isAlpha(c) || isDigit(c) }
func isWord(c byte) bool  { return isAlnum(c) || c == '_' }
func isHex(c byte) bool   { return isDigit(c) || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F' }
func isBlank(c byte) bool { return c == ' ' || c == '\t' }
func isSpace(c byte) bool { return isBlank(c) || c == '\n' || c == '\r' }

func isLowerHex(c byte) bool   { return isDigit(c) || 'a' <= c && c <= 'f' }
func isUpperAlnum(c byte) bool { return isUpper(c) || isDigit(c) }
func isURLBase64(c byte) bool  { return isWord(c) || c == '-' }
func isBase64(c byte) bool     { return isAlnum(c) || c == '+' || c == '/' || c == '=' }
func isToken68(c byte) bool    { return isBase64(c) || c == '-' || c == '_' || c == '.' || c == '~' }
func isDotted(c byte) bool     { return isURLBase64(c) || c == '.' }
func isQuote(c byte) bool      { return c == '"' || c == '\'' || c == '`' }

func lower(c byte) byte {
	if isUpper(c) {
		return c + 'a' - 'A'
	}
	return c
}

// A shape is what a string is made of.
type shape struct {
	lower, upper, digit, symbol, wide int
	hex                               bool
	distinct                          int
	entropy                           float64 // bits for each byte, by Shannon, of the string itself
}

func shapeOf(s string) shape {
	x := shape{hex: true}
	var count [256]int
	for i := range len(s) {
		c := s[i]
		count[c]++
		x.hex = x.hex && isHex(c)
		switch {
		case isLower(c):
			x.lower++
		case isUpper(c):
			x.upper++
		case isDigit(c):
			x.digit++
		case c >= 0x80:
			x.wide++
		case !strings.ContainsRune("-_./: ", rune(c)):
			x.symbol++
		}
	}
	for _, n := range count {
		if n > 0 {
			p := float64(n) / float64(len(s))
			x.distinct++
			x.entropy -= p * math.Log2(p)
		}
	}
	return x
}

func (x shape) letters() int { return x.lower + x.upper + x.wide }

// random reports whether a string has letters and digits and as many different ones as chance gives.
func random(s string, atLeast int) bool {
	if len(s) < atLeast {
		return false
	}
	x := shapeOf(s)
	if x.letters() == 0 || x.digit == 0 {
		return false
	}
	if x.hex {
		return x.entropy >= 2.8
	}
	return x.entropy >= 3.2
}

// fillers are parts of what people write where a secret would stand.
var fillers = []string{
	"example", "xxxx", "your", "placeholder", "redacted", "changeme", "change-me", "change_me", "dummy", "insert", "replace",
	"00000000", "12345678", "abcdefgh", "....", "****", "••••", "todo", "foobar", "sample", "deadbeef", "not-a-real", "notreal",
}

// filler reports whether s is of the kind that stands in documents for a secret.
func filler(s string) bool {
	l := strings.ToLower(s)
	for _, f := range fillers {
		if strings.Contains(l, f) {
			return true
		}
	}
	x := shapeOf(s)
	return x.distinct <= 3 || len(s) >= 16 && x.entropy < 2.2
}
