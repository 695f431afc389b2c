package tlog

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

const proofHeader = "c2sp.org/tlog-proof@v1\n"

// Proof is the content of a tlog-proof file, which shows to who is offline that a log has an entry.
// Nothing in it is verified: [CheckProof] does that.
type Proof struct {
	Extra      []byte // for the application to compute the record from; nobody signed it
	Index      uint64
	Hashes     []Hash // from the leaf's sibling up
	Checkpoint []byte // in its one form, with its cosignatures
}

// Bytes returns the file. The error wraps ErrSyntax or ErrTooLarge.
func (p Proof) Bytes() ([]byte, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString(proofHeader)
	if len(p.Extra) > 0 {
		b.WriteString("extra " + b64.EncodeToString(p.Extra) + "\n")
	}
	b.WriteString("index " + strconv.FormatUint(p.Index, 10) + "\n")
	writeHashes(&b, p.Hashes)
	b.Write(p.Checkpoint)
	return b.Bytes(), nil
}

func (p Proof) check() error {
	if len(p.Extra) > MaxExtra || len(p.Hashes) > MaxHashes || p.Index >= MaxSize {
		return fmt.Errorf("proof: %w: %d bytes of extra data, %d hashes, index %d", ErrTooLarge, len(p.Extra), len(p.Hashes), p.Index)
	}
	if _, err := parseTidy(p.Checkpoint); err != nil {
		return fmt.Errorf("proof: checkpoint: %w", err)
	}
	return nil
}

// ParseProof reads a tlog-proof file. It refuses whatever Bytes would not have written; the error
// wraps ErrSyntax or ErrTooLarge.
func ParseProof(b []byte) (Proof, error) {
	if len(b) > MaxExtra/3*4+4+MaxCheckpoint+4096 {
		return Proof{}, fmt.Errorf("proof: %w: %d bytes", ErrTooLarge, len(b))
	}
	var p Proof
	rest, ok := bytes.CutPrefix(b, []byte(proofHeader))
	if !ok {
		return p, fmt.Errorf("proof: %w: it does not begin with %q", ErrSyntax, proofHeader)
	}
	first, rest, ok := bytes.Cut(rest, []byte("\n"))
	var err error
	if text, has := bytes.CutPrefix(first, []byte("extra ")); has {
		if p.Extra, err = decode(string(text)); err != nil || len(p.Extra) == 0 {
			return p, fmt.Errorf("proof: %w: extra data", ErrSyntax)
		}
		first, rest, ok = bytes.Cut(rest, []byte("\n"))
	}
	number, has := strings.CutPrefix(string(first), "index ")
	if !ok || !has {
		return p, fmt.Errorf("proof: %w: no index", ErrSyntax)
	}
	if p.Index, err = parseSize(number); err != nil {
		return p, fmt.Errorf("proof: index: %w", err)
	}
	if p.Hashes, p.Checkpoint, err = cutHashes(rest); err != nil {
		return p, fmt.Errorf("proof: %w", err)
	}
	return p, p.check()
}

// writeHashes writes hashes and the empty line behind them.
func writeHashes(b *bytes.Buffer, hashes []Hash) {
	for _, h := range hashes {
		b.WriteString(h.String() + "\n")
	}
	b.WriteByte('\n')
}

// cutHashes reads lines of hashes up to an empty line.
func cutHashes(b []byte) (hashes []Hash, rest []byte, err error) {
	for {
		text, rest, ok := bytes.Cut(b, []byte("\n"))
		switch {
		case !ok:
			return nil, nil, fmt.Errorf("%w: no empty line behind the hashes", ErrSyntax)
		case len(text) == 0:
			return hashes, rest, nil
		case len(hashes) == MaxHashes:
			return nil, nil, fmt.Errorf("%w: more than %d hashes", ErrTooLarge, MaxHashes)
		}
		h, err := parseHash(string(text))
		if err != nil {
			return nil, nil, err
		}
		hashes, b = append(hashes, h), rest
	}
}

// Proven is what a proof shows.
type Proven struct {
	Index      uint64
	Record     Record
	Checkpoint *Checkpoint
	Witnesses  []Witnessed
	Extra      []byte // as good as what record made of it
}

// CheckProof verifies a tlog-proof file: its checkpoint is signed by the log and seen by the witnesses
// that the policy asks for, and its hashes lead from the record to the checkpoint's root.
//
// The record is computed by the caller from the extra data, or known to it from elsewhere. What the record
// does not commit to is not proven: an envelope's identity covers its payload and type, not who signed. An
// error of record is returned wrapped; others are those of [Open], [Policy.Check] and [Tree.CheckInclusion].
func CheckProof(b []byte, k LogKey, policy Policy, record func(extra []byte) (Record, error)) (*Proven, error) {
	p, err := ParseProof(b)
	if err != nil {
		return nil, err
	}
	c, err := Open(p.Checkpoint, k)
	if err != nil {
		return nil, fmt.Errorf("proof: %w", err)
	}
	seen, err := policy.Check(c)
	if err != nil {
		return nil, fmt.Errorf("proof: %w", err)
	}
	r, err := record(p.Extra)
	if err != nil {
		return nil, fmt.Errorf("proof: record: %w", err)
	}
	if err := c.Tree().CheckInclusion(p.Hashes, p.Index, r); err != nil {
		return nil, fmt.Errorf("proof: %w", err)
	}
	return &Proven{p.Index, r, c, seen, p.Extra}, nil
}
