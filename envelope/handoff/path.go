package handoff

import (
	"strconv"
	"strings"
)

// maxDepth bounds the components of a path.
const maxDepth = 256

// Unsafe says why nothing is written at a path, "" when it may be: it would lead out of the work tree or into the git
// directory, here or on another system. The rules are those of Git with core.protectHFS and core.protectNTFS.
func Unsafe(path string) string {
	if len(path) > MaxPath {
		return "longer than " + strconv.Itoa(MaxPath) + " bytes"
	}
	if strings.ContainsRune(path, 0) {
		return "a NUL"
	}
	if strings.Count(path, "/") >= maxDepth {
		return "deeper than " + strconv.Itoa(maxDepth)
	}
	for part := range strings.SplitSeq(path, "/") {
		switch {
		case part == "":
			return "an empty name"
		case part == "." || part == "..":
			return "a name that is " + strconv.Quote(part)
		}
		for piece := range strings.SplitSeq(part, `\`) { // which separates names elsewhere
			switch {
			case piece == ".." && part != piece:
				return "a name that is \"..\" elsewhere"
			case ntfsGit(piece), hfsGit(piece):
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
