// Package treepath tells which paths of trees lead elsewhere.
package treepath

import (
	"strconv"
	"strings"
)

// Unsafe says why Git checks out nothing at a path, here or on another system; "" where it does: a tree may hold names that lead out of the
// work tree or into the git directory. The rules are those of Git with core.protectHFS and core.protectNTFS, which it has
// everywhere but for the first.
func Unsafe(path string) string {
	for part := range strings.SplitSeq(path, "/") {
		switch {
		case part == "":
			return "an empty name"
		case part == "." || part == "..":
			return "a name that is " + strconv.Quote(part)
		}
		for piece := range strings.SplitSeq(part, `\`) { // which separates names elsewhere
			if ntfsGit(piece) || hfsGit(piece) {
				return "a name that is Git's own"
			}
		}
	}
	return ""
}

// ntfsGit reports whether NTFS takes a name for .git: its case, trailing dots and spaces, a stream, and the short name git~1.
func ntfsGit(name string) bool {
	name, _, _ = strings.Cut(name, ":")
	name = strings.TrimRight(name, ". ")
	return strings.EqualFold(name, ".git") || strings.EqualFold(name, "git~1")
}

// hfsGit reports whether HFS+ takes a name for .git: it passes over characters that show nothing.
func hfsGit(name string) bool {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 0x200c && r <= 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x206a && r <= 0x206f, r == 0xfeff:
			return -1
		}
		return r
	}, name)
	return strings.EqualFold(clean, ".git")
}
