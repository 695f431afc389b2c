// Package pattern matches paths and ref names against the patterns of scopes and policies.
//
// A pattern is matched against the whole name, byte by byte: case counts, and nothing is
// normalised, unescaped or resolved. "*" is any run of bytes but "/", "?" one byte but "/",
// "[…]" a class, "{a,b}" alternatives, and "**" as a whole element any number of elements:
// "src/**" is everything below src, and "**/*.go" every such file at any depth.
package pattern

import (
	"errors"
	"fmt"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// ErrInvalid says that a pattern is malformed.
var ErrInvalid = errors.New("not a valid pattern")

// MaxLen is the longest pattern in bytes.
const MaxLen = 1024

// Check reports whether p is a pattern. One that starts or ends with "/", or has an empty, "."
// or ".." element could never match a path of Git, so it is a mistake.
func Check(p string) error {
	if p == "" || len(p) > MaxLen || !doublestar.ValidatePattern(p) || strings.ContainsRune(p, 0) {
		return fmt.Errorf("%w: %.100q", ErrInvalid, p)
	}
	for _, e := range strings.Split(p, "/") {
		if e == "" || e == "." || e == ".." {
			return fmt.Errorf("%w: %.100q has an element %q, which no name in Git has", ErrInvalid, p, e)
		}
	}
	return nil
}

// Match reports whether the whole name matches p. A malformed pattern matches nothing.
func Match(p, name string) bool {
	if Check(p) != nil {
		return false
	}
	// "src/**" is what is below src: doublestar also lets it match "src" itself.
	if dir, ok := strings.CutSuffix(p, "/**"); ok && !strings.ContainsAny(dir, `*?[{\`) {
		return strings.HasPrefix(name, dir+"/")
	}
	ok, err := doublestar.Match(p, name)
	return ok && err == nil
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
