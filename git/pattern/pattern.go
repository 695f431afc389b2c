// Package pattern matches paths and ref names against the patterns of scopes and policies.
//
// A pattern is matched against the whole name, byte by byte: case counts, and nothing is
// normalised, unescaped or resolved. "*" is any run of bytes but "/", "?" one byte but "/",
// "[…]" a class, "[!…]" or "[^…]" what is not in one, "{a,b}" alternatives, "\\" takes away what the next byte
// means, and "**" as a whole element is any number of elements, at the end at least one:
// "src/**" is everything below src, and "**/*.go" every such file at any depth. No class and no "?" is "/".
package pattern

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"sync"
	"unicode/utf8"
)

// ErrInvalid says that a pattern is malformed.
var ErrInvalid = errors.New("not a valid pattern")

// MaxLen is the longest pattern in bytes.
const MaxLen = 1024

// maxAlternatives is how many patterns without braces one may stand for.
const maxAlternatives = 256

// maxExpanded is how many bytes these have together.
const maxExpanded = 16 << 10

// anyDepth stands for "**" where that was written: what alternatives put together is none.
const anyDepth = "\x00"

// marked puts anyDepth in the place of each "**" that is written.
func marked(p string) string {
	if !strings.Contains(p, "**") {
		return p
	}
	var b strings.Builder
	class := false
	for i := 0; i < len(p); i++ {
		switch c := p[i]; {
		case c == '\\' && i+1 < len(p):
			b.WriteByte(c)
			i++
			b.WriteByte(p[i])
		case class:
			class = c != ']'
			b.WriteByte(c)
		case c == '*' && i+1 < len(p) && p[i+1] == '*':
			b.WriteString(anyDepth)
			i++
		default:
			class = c == '['
			b.WriteByte(c)
		}
	}
	return b.String()
}

// parsed are patterns that were read: the same few are matched again and again.
var parsed struct {
	sync.Mutex
	m map[string][][]string
}

// maxParsed bounds how many are kept.
const maxParsed = 4096

// Check reports whether p is a pattern. One that starts or ends with "/", or has an empty, "."
// or ".." element could never match a path of Git, so it is a mistake.
func Check(p string) error {
	_, err := parse(p)
	return err
}

func parse(p string) ([][]string, error) {
	if p == "" || len(p) > MaxLen || strings.ContainsRune(p, 0) {
		return nil, fmt.Errorf("%w: %.100q", ErrInvalid, p)
	}
	flat, ok := alternatives(marked(p))
	if !ok {
		return nil, fmt.Errorf("%w: %.100q stands for more than %d, or has a brace too many", ErrInvalid, p, maxAlternatives)
	}
	out := make([][]string, 0, len(flat))
	size := 0
	for _, f := range flat {
		if size += len(f); size > maxExpanded {
			return nil, fmt.Errorf("%w: %.100q stands for more than %d bytes", ErrInvalid, p, maxExpanded)
		}
		elements := strings.Split(f, "/")
		for i, e := range elements {
			if e == "" || e == "." || e == ".." {
				return nil, fmt.Errorf("%w: %.100q has an element %q, which no name in Git has", ErrInvalid, p, e)
			}
			if e == anyDepth {
				continue
			}
			elements[i] = bytewise(strings.ReplaceAll(e, anyDepth, "*"))
			if _, err := path.Match(elements[i], ""); err != nil {
				return nil, fmt.Errorf("%w: %.100q", ErrInvalid, p)
			}
		}
		out = append(out, elements)
	}
	return out, nil
}

// Match reports whether the whole name matches p. A malformed pattern matches nothing.
func Match(p, name string) bool {
	flat := known(p)
	if flat == nil || name == "" {
		return false
	}
	elements := strings.Split(latin(name), "/")
	for _, f := range flat {
		if match(f, elements) {
			return true
		}
	}
	return false
}

// known is parse for what is matched: nil where p is no pattern.
func known(p string) [][]string {
	parsed.Lock()
	defer parsed.Unlock()
	if flat, ok := parsed.m[p]; ok {
		return flat
	}
	flat, err := parse(p)
	if err != nil {
		flat = nil
	}
	if len(p) <= MaxLen {
		if parsed.m == nil || len(parsed.m) >= maxParsed {
			parsed.m = map[string][][]string{}
		}
		parsed.m[p] = flat
	}
	return flat
}

// match matches element by element. Where "**" took too little the last one takes one more, which is enough: what an earlier one
// could take the last can as well.
func match(p, name []string) bool {
	star, from := -1, 0
	i, j := 0, 0
	for j < len(name) {
		switch {
		case i < len(p) && p[i] == anyDepth:
			if i == len(p)-1 {
				return true // the rest, which is one element at least
			}
			star, from = i, j
			i++
		case i < len(p) && element(p[i], name[j]):
			i++
			j++
		case star >= 0:
			from++
			i, j = star+1, from
		default:
			return false
		}
	}
	return i == len(p)
}

func element(p, name string) bool {
	ok, err := path.Match(p, name)
	return ok && err == nil
}

// latin makes each byte a character, so that what goes by characters goes by bytes.
func latin(s string) string {
	if isASCII(s) {
		return s
	}
	r := make([]rune, len(s))
	for i := range len(s) {
		r[i] = rune(s[i])
	}
	return string(r)
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) // what is no UTF-8 is U+FFFD there
}

// bytewise is an element of a pattern as [path.Match] reads it: "[!" is "[^" there.
func bytewise(e string) string {
	b := []byte(e)
	for i := 0; i < len(b); i++ {
		switch {
		case b[i] == '\\':
			i++
		case b[i] == '[' && i+1 < len(b):
			if b[i+1] == '!' {
				b[i+1] = '^'
			}
			for i++; i < len(b) && b[i] != ']'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
		}
	}
	return latin(string(b))
}

// alternatives returns the patterns without braces that p stands for.
func alternatives(p string) ([]string, bool) {
	open, depth, class := -1, 0, false
	var cuts []int // of the first braces: "{", each "," of its own, "}"
	for i := 0; i < len(p); i++ {
		switch c := p[i]; {
		case c == '\\':
			i++
		case class:
			class = c != ']'
		case c == '[':
			class = true
		case c == '{':
			if depth++; depth == 1 {
				open, cuts = i, []int{i}
			}
		case c == ',' && depth == 1:
			cuts = append(cuts, i)
		case c == '}' && depth == 0:
			return nil, false
		case c == '}':
			if depth--; depth > 0 {
				continue
			}
			var out []string
			for n, at := range cuts {
				end := i
				if n+1 < len(cuts) {
					end = cuts[n+1]
				}
				more, ok := alternatives(p[:open] + p[at+1:end] + p[i+1:])
				if out = append(out, more...); !ok || len(out) > maxAlternatives {
					return nil, false
				}
			}
			return out, true
		}
	}
	return []string{p}, depth == 0
}

// Any reports whether a name matches one of the patterns.
func Any(patterns []string, name string) bool {
	for _, p := range patterns {
		if Match(p, name) {
			return true
		}
	}
	return false
}
