package handoff

import (
	"crypto/sha256"
	"fmt"
	"hash"

	"github.com/open-covenant/covenant-git/envelope"
)

// Manifest takes the digest of all contents of a handoff. Each is written as
//
//	<part> SP <mode> SP <content> SP <path> NUL
//
// where part is "index" for what differs from base, "worktree" for what differs from the index, and "untracked"; mode has six
// octal digits, "000000" of a file that is gone; content is the SHA-256 of the bytes, the commit of a submodule, or "-" of what is gone.
// The parts come in that order, in each the paths in the order of their bytes.
type Manifest struct{ h hash.Hash }

// NewManifest begins one.
func NewManifest() *Manifest { return &Manifest{sha256.New()} }

// Add writes one content.
func (m *Manifest) Add(part, mode, content, path string) {
	fmt.Fprintf(m.h, "%s %s %s %s\x00", part, mode, content, path)
}

// Digest returns the digest of what was added.
func (m *Manifest) Digest() envelope.Digest {
	return envelope.Digest(fmt.Sprintf("sha256:%x", m.h.Sum(nil)))
}
