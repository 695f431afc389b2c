package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/open-covenant/covenant-git/cmd/internal/say"
)

// JSON writes v to standard output as one line.
//
// The line is safe on a terminal: every character outside ASCII that is not
// printable (bidirectional controls, invisible ones, C1 controls) and DEL are
// written as \u escapes. HTML characters are left alone.
func (e *Env) JSON(v any) error { return writeJSON(e.Out, v) }

func writeJSON(w io.Writer, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(escapeHidden(b.Bytes()))
	return err
}

// escapeHidden escapes what package say would not show. It works on whole lines
// because outside strings JSON is ASCII.
func escapeHidden(line []byte) []byte {
	hidden := func(r rune) bool { return r == 0x7f || r >= utf8.RuneSelf && say.Name(string(r)) != string(r) }
	if bytes.IndexFunc(line, hidden) < 0 {
		return line
	}
	var b bytes.Buffer
	for _, r := range string(line) {
		switch {
		case !hidden(r):
			b.WriteRune(r)
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, hi, lo)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.Bytes()
}
