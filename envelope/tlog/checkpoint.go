package tlog

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/open-covenant/covenant-git/envelope/identity"
)

const dash = "— " // U+2014 and a space begin a signature line

// line is a signature line.
type line struct {
	name string
	id   uint32
	sig  []byte // behind the key id
}

func (l line) by(k key) bool { return l.name == k.name && l.id == k.ID() }

func (l line) String() string {
	return dash + l.name + " " + b64.EncodeToString(append(binary.BigEndian.AppendUint32(nil, l.id), l.sig...)) + "\n"
}

func parseLine(s string) (line, error) {
	rest, ok := strings.CutPrefix(s, dash)
	name, text, cut := strings.Cut(rest, " ")
	if !ok || !cut {
		return line{}, fmt.Errorf("%w: signature line %q", ErrSyntax, clip(s))
	}
	if err := checkName(name); err != nil {
		return line{}, err
	}
	b, err := decode(text)
	if err != nil || len(b) <= 4 {
		return line{}, fmt.Errorf("%w: signature by %q", ErrSyntax, clip(name))
	}
	return line{name, binary.BigEndian.Uint32(b), b[4:]}, nil
}

func parseLines(b []byte) ([]line, error) {
	s, ok := strings.CutSuffix(string(b), "\n")
	if !ok {
		return nil, fmt.Errorf("%w: no signature line", ErrSyntax)
	}
	if n := strings.Count(s, "\n") + 1; n > MaxSignatures {
		return nil, fmt.Errorf("%w: %d signatures, at most %d", ErrTooLarge, n, MaxSignatures)
	}
	var lines []line
	for t := range strings.SplitSeq(s, "\n") {
		l, err := parseLine(t)
		if err != nil {
			return nil, err
		}
		lines = append(lines, l)
	}
	return lines, nil
}

// claim is a checkpoint that nobody has verified.
type claim struct {
	origin Origin
	tree   Tree
	text   string // what is signed
	lines  []line
}

func textOf(origin Origin, t Tree) string {
	return string(origin) + "\n" + strconv.FormatUint(t.Size, 10) + "\n" + t.Root.String() + "\n"
}

// order is that of the signature lines of a checkpoint.
func (c claim) order(a, b line) int {
	if mine := a.name == string(c.origin); mine != (b.name == string(c.origin)) {
		if mine {
			return -1
		}
		return 1
	}
	return cmp.Or(strings.Compare(a.name, b.name), cmp.Compare(a.id, b.id), bytes.Compare(a.sig, b.sig))
}

func (c claim) bytes() []byte {
	var b bytes.Buffer
	b.WriteString(c.text + "\n")
	for _, l := range c.lines {
		b.WriteString(l.String())
	}
	return b.Bytes()
}

// parseClaim reads a checkpoint with its signature lines in any order, as C2SP allows.
func parseClaim(b []byte) (claim, error) {
	if len(b) > MaxCheckpoint {
		return claim{}, fmt.Errorf("%w: a checkpoint of %d bytes, at most %d", ErrTooLarge, len(b), MaxCheckpoint)
	}
	control := func(r rune) bool { return r < ' ' && r != '\n' }
	if !utf8.Valid(b) || bytes.ContainsFunc(b, control) {
		return claim{}, fmt.Errorf("%w: a checkpoint is UTF-8 without control characters", ErrSyntax)
	}
	at := bytes.LastIndex(b, []byte("\n\n"))
	if at < 0 {
		return claim{}, fmt.Errorf("%w: no blank line before signatures", ErrSyntax)
	}
	c := claim{text: string(b[:at+1])}
	part := strings.Split(c.text, "\n")
	if len(part) != 4 {
		return claim{}, fmt.Errorf("%w: a checkpoint of %d lines instead of 3; extension lines are refused", ErrSyntax, len(part)-1)
	}
	var err error
	if c.origin, err = ParseOrigin(part[0]); err != nil {
		return claim{}, err
	}
	if c.tree.Size, err = parseSize(part[1]); err != nil {
		return claim{}, err
	}
	if c.tree.Root, err = parseHash(part[2]); err != nil {
		return claim{}, err
	}
	if c.tree, err = c.tree.whole(); err != nil {
		return claim{}, err
	}
	if textOf(c.origin, c.tree) != c.text { // zeroes as the root of no entries
		return claim{}, fmt.Errorf("%w: a tree without entries has another root", ErrSyntax)
	}
	c.lines, err = parseLines(b[at+2:])
	return c, err
}

// parseTidy reads a checkpoint in its one form.
func parseTidy(b []byte) (claim, error) {
	c, err := parseClaim(b)
	if err != nil {
		return c, err
	}
	for i := range c.lines[1:] {
		if c.order(c.lines[i], c.lines[i+1]) >= 0 {
			return c, fmt.Errorf("%w: signatures out of order, or twice, at %q", ErrSyntax, clip(c.lines[i+1].name))
		}
	}
	return c, nil
}

// tidy puts the signature lines in order, each once.
func (c claim) tidy() claim {
	c.lines = slices.Clone(c.lines)
	slices.SortFunc(c.lines, c.order)
	c.lines = slices.CompactFunc(c.lines, func(a, b line) bool { return c.order(a, b) == 0 })
	return c
}

// Tidy returns the one form of a checkpoint that another program wrote: C2SP leaves the order of
// signatures free. It verifies nothing.
func Tidy(checkpoint []byte) ([]byte, error) {
	c, err := parseClaim(checkpoint)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	return c.tidy().bytes(), nil
}

// Checkpoint is a checkpoint whose log's signature was verified. It is immutable.
type Checkpoint struct {
	claim claim
	key   LogKey
}

// Origin returns the log.
func (c *Checkpoint) Origin() Origin { return c.claim.origin }

// Tree returns the state of the log that it signed.
func (c *Checkpoint) Tree() Tree { return c.claim.tree }

// Key returns the key that verified the checkpoint.
func (c *Checkpoint) Key() LogKey { return c.key }

// Bytes returns the checkpoint with all its signatures.
func (c *Checkpoint) Bytes() []byte { return c.claim.bytes() }

// Sign signs the state of a log. The signer holds a plain ed25519 key, in a file or an ssh-agent; any
// other is ErrKeyType.
//
// Two checkpoints of one log that are not consistent are, to everybody who sees both, the proof that it
// lies. The caller signs only what [Grow] made of the tree that it signed last, and sees to it that no
// other process does at the same time.
func Sign(origin Origin, t Tree, signer identity.Signer) (*Checkpoint, error) {
	k, err := NewLogKey(origin, signer.Public())
	if err != nil {
		return nil, fmt.Errorf("signing a checkpoint: %w", err)
	}
	if t, err = t.whole(); err != nil {
		return nil, fmt.Errorf("signing a checkpoint: %w", err)
	}
	c := claim{origin: origin, tree: t, text: textOf(origin, t)}
	sig, err := k.sign(signer, []byte(c.text))
	if err != nil {
		return nil, fmt.Errorf("signing a checkpoint: %w", err)
	}
	c.lines = []line{{string(origin), k.ID(), sig}}
	return &Checkpoint{c, k}, nil
}

// Open verifies a checkpoint. It refuses one of another origin (ErrOrigin), one without a good signature
// by the key or with a bad one (ErrSignature), extension lines, which nobody could audit, and every form but
// the one (ErrSyntax, ErrTooLarge). Signatures by other keys are kept and say nothing: see [Policy].
func Open(checkpoint []byte, k LogKey) (*Checkpoint, error) {
	c, err := parseTidy(checkpoint)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	return c.open(k)
}

func (c claim) open(k LogKey) (*Checkpoint, error) {
	if c.origin != k.Origin() {
		return nil, fmt.Errorf("%w: %q, not %q", ErrOrigin, clip(string(c.origin)), clip(k.name))
	}
	signed := false
	for _, l := range c.lines {
		if !l.by(k.key) {
			continue
		}
		if err := k.verify([]byte(c.text), l.sig); err != nil {
			return nil, fmt.Errorf("checkpoint: %w", err)
		}
		signed = true
	}
	if !signed {
		return nil, fmt.Errorf("checkpoint: %w: none by the key of %s", ErrSignature, k.name)
	}
	return &Checkpoint{c, k}, nil
}
