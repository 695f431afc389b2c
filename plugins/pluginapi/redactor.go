package pluginapi

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"
)

// A Redactor finds secrets in texts that are about to be written. It is a plugin like a [Checker], of another kind: it names more than the
// built-in rules do, and can take nothing of what they found back.
type Redactor interface {
	// Find returns the secrets of each text, in the order of the texts. An error keeps all of them from being written.
	Find(ctx context.Context, texts []string) ([][]Span, error)
}

// A Span is where a secret stands in a text, in bytes, and by which of the redactor's own rules it is one. A secret that is longer than
// [MaxSpan] is several spans, one after the other.
type Span struct {
	Start int    `json:"start"`
	End   int    `json:"end"` // the first byte after it
	Rule  string `json:"rule"`
}

// Limits of what a redactor finds: bytes of a span, and spans in all texts that it is asked about at once. What is shorter stands
// everywhere, and taking it out everywhere would say more than it hides.
const (
	MinSpan  = 6
	MaxSpan  = 4096
	MaxSpans = 100_000
)

// Texts is the message that asks a redactor. They are UTF-8.
type Texts struct {
	Version int      `json:"version"`
	Texts   []string `json:"texts"`
}

// Found is the message that answers [Texts], one list for each text and in their order.
type Found struct {
	Version int      `json:"version"`
	Found   [][]Span `json:"found"`
}

// EncodeTexts writes texts. One that is not UTF-8 is refused: what stands where in it would be another matter after that.
func EncodeTexts(texts []string) ([]byte, error) {
	for i, t := range texts {
		if !utf8.ValidString(t) {
			return nil, fmt.Errorf("%w: text %d is not UTF-8", ErrInvalid, i)
		}
	}
	return encode(Texts{Version, texts})
}

// DecodeTexts reads texts.
func DecodeTexts(msg []byte) ([]string, error) {
	if err := ofOurVersion(msg); err != nil {
		return nil, err
	}
	var t Texts
	if err := Decode(msg, &t); err != nil {
		return nil, err
	}
	return t.Texts, nil
}

// EncodeFound writes what was found.
func EncodeFound(found [][]Span) ([]byte, error) { return encode(Found{Version, found}) }

// DecodeFound reads what was found in texts, and checks that it can be.
func DecodeFound(msg []byte, texts []string) ([][]Span, error) {
	if err := ofOurVersion(msg); err != nil {
		return nil, err
	}
	var f Found
	if err := Decode(msg, &f); err != nil {
		return nil, err
	}
	return f.Found, CheckFound(f.Found, texts)
}

// CheckFound holds what was found to the texts: each span lies in its text, between characters, and within the limits.
func CheckFound(found [][]Span, texts []string) error {
	if len(found) != len(texts) {
		return fmt.Errorf("%w: %d answers to %d texts", ErrInvalid, len(found), len(texts))
	}
	n := 0
	for i, list := range found {
		if n += len(list); n > MaxSpans {
			return fmt.Errorf("%w: more than %d secrets", ErrInvalid, MaxSpans)
		}
		for _, s := range list {
			if err := s.in(texts[i]); err != nil { //nolint:gosec // there are as many
				return fmt.Errorf("%w: text %d: %w", ErrInvalid, i, err)
			}
		}
	}
	return nil
}

func (s Span) in(text string) error {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789-_."
	whole := func(at int) bool { return at == len(text) || utf8.RuneStart(text[at]) }
	switch {
	case s.Start < 0, s.End <= s.Start, s.End > len(text):
		return fmt.Errorf("from %d to %d of %d bytes", s.Start, s.End, len(text))
	case s.End-s.Start < MinSpan, s.End-s.Start > MaxSpan:
		return fmt.Errorf("%d bytes, from %d to %d may be", s.End-s.Start, MinSpan, MaxSpan)
	case !whole(s.Start), !whole(s.End):
		return fmt.Errorf("from %d to %d is not between characters", s.Start, s.End)
	case s.Rule == "", len(s.Rule) > 64, strings.Trim(s.Rule, letters) != "":
		return fmt.Errorf("%.80q is no name of a rule", s.Rule)
	}
	return nil
}
