package redaction

import (
	"encoding/base64"
	"encoding/json"
	"strings"
)

// A private key is claimed from its first line to its last, or as far as lines of it go: output is
// often cut. Lines may carry what programs put before them (a number, "> ", "| ", the sign of a diff)
// and may be separated by \n written out, as in JSON.

// minBody is how much base64 makes a block a key, and not a picture of one.
const minBody = 24

// pemBlock finds the blocks of PEM, OpenSSH, OpenPGP and SSH2.
func pemBlock(v *view, start, end int) (from, to int, ok bool) {
	if !v.has(start, "-----BEGIN ") && !v.has(start, "---- BEGIN ") {
		return 0, 0, false
	}
	i, ok := v.run(end, 48, func(c byte) bool { return isUpperAlnum(c) || c == ' ' })
	if !ok || !strings.Contains(v.s[end:i]+" ", "PRIVATE KEY ") {
		return 0, 0, false
	}
	if i, ok = v.run(i, 5, func(c byte) bool { return c == '-' }); !ok || v.at(i-1) != '-' {
		return 0, 0, false
	}
	to, ok = v.body(i)
	return start, to, ok
}

// puttyBlock finds the private half of a key of PuTTY.
func puttyBlock(v *view, _, end int) (from, to int, ok bool) {
	i, _ := v.run(end, 8, func(c byte) bool { return isBlank(c) || isDigit(c) })
	to, ok = v.body(i)
	return end, to, ok
}

// body reads the lines of a key that follow i. It returns the end of the last one, and whether there
// was enough of a key.
func (v *view) body(i int) (end int, ok bool) {
	total, headers := 0, 0
	for end = i; ; {
		next, n := v.lineBreak(i)
		if n == 0 {
			next, _ = v.run(i, 4, isBlank)
			if !v.atEnd(next) && !v.isBody(next) {
				return end, total >= minBody
			}
		}
		i = v.noise(next)
		if v.atEnd(i) || v.atEnd(i+1) {
			stop, _ := v.run(i+5, 64, func(c byte) bool { return isUpperAlnum(c) || c == ' ' || c == '-' })
			return stop, total >= minBody
		}
		stop, _ := v.run(i, Window, isBase64)
		switch c := v.at(stop); {
		case (c == ':' || c == '-' && stop > i && !v.atEnd(stop)) && total == 0 && headers < 8: // a header, such as DEK-Info
			headers++
			i, ok = v.run(stop, 300, func(c byte) bool { return c >= ' ' && c != '\\' && c < 0x7f })
			if !ok {
				return end, false
			}
		case c >= 0x80 || isWord(c) || c == ':':
			return end, total >= minBody
		default:
			total += stop - i
			if i = stop; stop > next {
				end = stop
			}
		}
	}
}

// atEnd reports whether the last line of a block begins at i.
func (v *view) atEnd(i int) bool { return v.has(i, "-----END ") || v.has(i, "---- END ") }

// isBody reports whether base64 goes on at i, where no line ends: some write a key in one line.
func (v *view) isBody(i int) bool {
	_, short := v.run(i, minBody-1, isBase64)
	return !short
}

// lineBreak returns where the next line begins, if after white space the line ends at i: at a newline,
// or at one that is written out, perhaps with the end of one string and the beginning of the next after
// it. n is 0 if it does not end.
func (v *view) lineBreak(i int) (next, n int) {
	for isBlank(v.at(i)) || v.at(i) == '\r' {
		i++
	}
	begin := i
	for v.at(i) == '\\' && i < begin+8 {
		i++
	}
	if i > begin {
		for range 2 { // \r\n
			switch v.at(i) {
			case 'n':
				i++
				return v.afterEscape(i), 1
			case 'r':
				i++
			default:
				return begin, 0
			}
			for v.at(i) == '\\' && i < begin+16 {
				i++
			}
		}
		return begin, 0
	}
	if v.at(i) == '\n' {
		return i + 1, 1
	}
	return begin, 0
}

// afterEscape goes over what stands between two strings that make one: "…\n" + "…".
func (v *view) afterEscape(i int) int {
	if !isQuote(v.at(i)) {
		return i
	}
	j, ok := v.run(i+1, 80, func(c byte) bool { return isSpace(c) || c == '+' || c == ',' || c == '\\' || c == '.' })
	if ok && isQuote(v.at(j)) {
		return j + 1
	}
	return i
}

// noise goes over what a program put before a line: white space, a number, and one of the signs that
// follow it. What may be base64 is not gone over.
func (v *view) noise(i int) int {
	begin := i
	for j := i; j < begin+24; j++ {
		switch c := v.at(j); {
		case isBlank(c), c == '>', c == '|', c == '#', c == '*', c == '"', c == '\'':
			i = j + 1
		case c == '-' && v.at(j+1) != '-', c == ':':
			i = j + 1
		case isDigit(c):
		case c == 0xe2 && v.has(j, "→"):
			j += 2
			i = j + 1
		default:
			return i
		}
	}
	return i
}

// jwt finds signed and encrypted JSON Web Tokens: the first part has to be a header that names an
// algorithm.
func jwt(v *view, start, _ int) (from, to int, ok bool) {
	if !v.has(start, "eyJ") || !v.wordStart(start) || v.at(start-1) == '-' {
		return 0, 0, false
	}
	dot, ok := v.run(start, 2048, isURLBase64)
	if !ok || v.at(dot) != '.' || !isHeader(v.s[start:dot]) {
		return 0, 0, false
	}
	parts := 1
	for to = dot; parts < 5 && v.at(to) == '.'; parts++ {
		if to, ok = v.run(to+1, 16<<10, isURLBase64); !ok {
			return 0, 0, false
		}
	}
	if v.at(to-1) == '.' && parts > 2 && to-dot > 2 && v.at(to-2) != '.' && parts == 3 {
		return start, to, true // alg none, no signature
	}
	return start, to, (parts == 3 || parts == 5) && to-dot > 16
}

// isHeader reports whether s is base64 of a JSON object that names an algorithm.
func isHeader(s string) bool {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return false
	}
	var header struct {
		Alg *string `json:"alg"`
	}
	return json.Unmarshal(b, &header) == nil && header.Alg != nil
}
