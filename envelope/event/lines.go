package event

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
)

// HashSize is how many characters of [LineHashes] stand for one line.
const HashSize = 4

// MaxHashed is how many lines fit into a text of an event.
const MaxHashed = MaxText / HashSize

// LineHashes says the lines of a text in four characters each: the first 24 bits of the SHA-256 of a line, without "\n" or "\r\n" at its end, in base64url (RFC 4648 5). It tells
// the lines of a file apart, and proves nothing; whoever guesses a line cannot be sure of it.
func LineHashes(text []byte) string {
	out := make([]byte, 0, HashSize*(bytes.Count(text, []byte("\n"))+1))
	for line := range bytes.Lines(text) {
		line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		sum := sha256.Sum256(line)
		out = base64.RawURLEncoding.AppendEncode(out, sum[:3])
	}
	return string(out)
}
