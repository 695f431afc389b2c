package handoff

import (
	"slices"
	"strconv"
	"strings"

	"github.com/open-covenant/covenant-git/git/treepath"
)

// maxDepth bounds the components of a path.
const maxDepth = 256

// Unsafe says why nothing is written at a path, "" when it may be: beside what Git checks out nowhere ([treepath.Unsafe]) that is what is too long
// or too deep, and what leads upwards where a backslash separates names.
func Unsafe(path string) string {
	switch {
	case len(path) > MaxPath:
		return "longer than " + strconv.Itoa(MaxPath) + " bytes"
	case strings.ContainsRune(path, 0):
		return "a NUL"
	case strings.Count(path, "/") >= maxDepth:
		return "deeper than " + strconv.Itoa(maxDepth)
	case slices.Contains(strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == '\\' }), ".."):
		return "a name that is \"..\", here or elsewhere"
	}
	return treepath.Unsafe(path)
}
