// Package redaction takes secrets and personal names out of text before it is written where nothing
// is ever forgotten.
//
// A [Redactor] replaces what it finds by a mark that everybody can see, such as
//
//	[redacted:github-token:3f9a0c51b7de]
//
// where the digest is the beginning of the HMAC-SHA-256 of the secret under the caller's key: who
// holds the key recognizes equal secrets, and nobody else can try out guesses. Without a key no digest
// is shown. docs/spec/redaction.md has the rules, the grammar of marks, and what is not caught.
//
// How it works: one automaton finds the anchors of all rules ("ghp_", "://", "token"), each anchor's
// matcher looks at the bytes around it, and what matchers find is put in order and replaced. Three
// properties follow from that, and are fuzzed:
//
//   - A matcher is a function of the bytes it looks at, at most [Back] before its anchor and [Window]
//     after it. So [Writer] and [Reader] give what [Redactor.Redact] gives, however text is cut.
//   - A matcher that looks at a mark finds nothing. So what was redacted stays as it is.
//   - Every byte that a matcher claims is replaced, also where claims overlap. So half a secret does
//     not stay because something else began in its middle.
package redaction

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

const (
	// Window is how many bytes after the beginning of its anchor a matcher looks at. A block of a
	// private key that is longer is redacted up to there.
	Window = 64 << 10
	// Back is how many bytes before its anchor a matcher looks at.
	Back = 256
	// KeySize is the size of a key for digests.
	KeySize = 32

	// hold is how many bytes before its anchor a hit may begin.
	hold = 64
	// maxMark is more than the length of the longest mark.
	maxMark = 64
	// digestDigits is how many hexadecimal digits of the HMAC a mark shows.
	digestDigits = 12
)

// Errors of [New].
var (
	// ErrKey says that a key for digests has the wrong size.
	ErrKey = errors.New("a key for redaction has 32 bytes")
	// ErrSecrets says that there are too many secrets to look for. What was to be redacted must not be written.
	ErrSecrets = errors.New("too many secrets")
)

// A Redactor finds and replaces secrets. It never changes and may be used by many goroutines.
type Redactor struct {
	rules   Rules
	machine *machine
	key     []byte
}

// New returns a redactor. The key has [KeySize] bytes, or is empty: then marks show no digest. Any
// other size is ErrKey; more than [MaxSecrets] secrets are ErrSecrets.
func New(rules Rules, key []byte) (*Redactor, error) {
	if len(key) != 0 && len(key) != KeySize {
		return nil, fmt.Errorf("%w, not %d", ErrKey, len(key))
	}
	if len(rules.secrets) > MaxSecrets {
		return nil, fmt.Errorf("%w: more than %d", ErrSecrets, MaxSecrets)
	}
	return &Redactor{rules: rules, machine: rules.machine(), key: slices.Clone(key)}, nil
}

// Names returns the rules that are in force, in their order.
func (x *Redactor) Names() []Rule { return x.rules.Names() }

// A Hit says where a secret stood. It does not hold the secret.
type Hit struct {
	Rule Rule
	// Path is the JSON pointer to the string, for hits of [Redactor.Value]; with its names redacted.
	Path string
	// Offset and Length are in bytes of the text that was looked at.
	Offset, Length int
	// Line and Column count from 1; columns are bytes.
	Line, Column int
}

// String returns "line:column: rule, length bytes", after the path if there is one.
func (h Hit) String() string {
	s := fmt.Sprintf("%d:%d: %s, %d bytes", h.Line, h.Column, h.Rule, h.Length)
	if h.Path != "" {
		return h.Path + ": " + s
	}
	return s
}

// Redact returns the text with every secret replaced by a mark, and the hits in the order of the text.
// What was redacted comes back unchanged and without hits. Text that is valid UTF-8 stays valid.
func (x *Redactor) Redact(text string) (string, []Hit) { return x.Part(text, 0, len(text)) }

// Part returns what [Redactor.Redact] makes of text[from:to] where it stands. A secret that reaches
// across an end of the part is all of it replaced.
func (x *Redactor) Part(text string, from, to int) (string, []Hit) {
	spans := x.machine.all(text)
	if len(spans) == 0 {
		return text[from:to], nil
	}
	var out strings.Builder
	out.Grow(to - from + len(spans)*16)
	hits, at := make([]Hit, 0, len(spans)), place{line: 1, column: 1}
	for _, s := range resolve(spans, 0) {
		if s.end <= from || s.start >= to {
			continue
		}
		out.WriteString(text[from:max(from, s.start)])
		at.advance(text[at.offset:s.start])
		secret := text[s.start:s.end]
		hits = append(hits, at.hit(s))
		out.WriteString(x.mark(s.rule, secret))
		at.advance(secret)
		from = s.end
	}
	out.WriteString(text[min(from, to):to])
	return out.String(), hits
}

// Scan returns what [Redactor.Redact] would replace: in text that was redacted, what slipped through.
func (x *Redactor) Scan(text string) []Hit {
	_, hits := x.Redact(text)
	return hits
}

// mark returns what stands in place of a secret.
func (x *Redactor) mark(rule ruleID, secret string) string {
	if len(x.key) == 0 {
		return markOpen + string(catalogue[rule].name) + "]"
	}
	mac := hmac.New(sha256.New, x.key)
	mac.Write([]byte(secret))
	return markOpen + string(catalogue[rule].name) + ":" + hex.EncodeToString(mac.Sum(nil))[:digestDigits] + "]"
}

// A place is how far a text was read.
type place struct{ offset, line, column int }

func (p *place) advance(s string) {
	p.offset += len(s)
	if n := strings.Count(s, "\n"); n > 0 {
		p.line += n
		p.column = len(s) - strings.LastIndexByte(s, '\n')
		return
	}
	p.column += len(s)
}

func (p *place) hit(s span) Hit {
	return Hit{Rule: catalogue[s.rule].name, Offset: p.offset, Length: s.end - s.start, Line: p.line, Column: p.column}
}

// A span is what a matcher claims.
type span struct {
	start, end int
	rule       ruleID
}

// order sorts spans: leftmost, then longest, then in the order of rules.
func order(a, b span) int {
	return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(b.end, a.end), cmp.Compare(a.rule, b.rule))
}

// resolve puts spans in order and makes them disjoint: the first keeps all of its bytes, and of one
// that overlaps it what is left over is claimed still. What ends before from is dropped.
func resolve(spans []span, from int) []span {
	slices.SortFunc(spans, order)
	kept := spans[:0]
	for _, s := range spans {
		if s.start = max(s.start, from); s.end > s.start {
			kept = append(kept, s)
			from = s.end
		}
	}
	return kept
}

const markOpen = "[redacted:"

// Unmarked returns what tells what stands in a part of a text beside marks: what is secret in a text that was redacted before, since a mark is none. A
// mark that the part cuts through is one. The marks are found once.
func Unmarked(text string) func(from, to int) []string {
	marks, _ := findMarks(text, true)
	return func(from, to int) []string {
		var out []string
		first, _ := slices.BinarySearchFunc(marks, from, func(m span, from int) int { return cmp.Compare(m.end, from+1) }) // that ends behind it
		for i := first; from < to; i++ {
			end, next := to, to
			if i < len(marks) && marks[i].start < to {
				end, next = marks[i].start, marks[i].end
			}
			for part := range strings.SplitSeq(text[from:max(from, end)], markOpen) {
				if part != "" {
					out = append(out, part)
				}
			}
			from = next
		}
		return out
	}
}

// parseMark returns the length of the mark that s begins with, 0 if it begins with none; partial tells
// that s ends where a mark may go on.
func parseMark(s string) (length int, partial bool) {
	if len(s) < len(markOpen) {
		return 0, strings.HasPrefix(markOpen, s)
	}
	if !strings.HasPrefix(s, markOpen) {
		return 0, false
	}
	i := len(markOpen)
	for i < len(s) && i < len(markOpen)+maxName && (isLower(s[i]) || isDigit(s[i]) || s[i] == '-') {
		i++
	}
	if i == len(s) {
		return 0, i < len(markOpen)+maxName
	}
	if !Rule(s[len(markOpen):i]).Exists() {
		return 0, false
	}
	if s[i] == ']' {
		return i + 1, false
	}
	if s[i] != ':' {
		return 0, false
	}
	for n := 0; ; n++ {
		switch i++; {
		case i == len(s):
			return 0, true
		case n == digestDigits && s[i] == ']':
			return i + 1, false
		case n == digestDigits, !isDigit(s[i]) && (s[i] < 'a' || s[i] > 'f'):
			return 0, false
		}
	}
}
