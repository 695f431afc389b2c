package tlog

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// Request is the body of tlog-witness's add-checkpoint: a log asks a witness to cosign.
type Request struct {
	Old        uint64 // the size that the witness cosigned last, 0 for none
	Proof      []Hash // of consistency, from Old to the checkpoint's size
	Checkpoint []byte
}

// Bytes returns the body. The error wraps ErrSyntax or ErrTooLarge.
func (r Request) Bytes() ([]byte, error) {
	if _, err := r.claim(); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString("old " + strconv.FormatUint(r.Old, 10) + "\n")
	writeHashes(&b, r.Proof)
	b.Write(r.Checkpoint)
	return b.Bytes(), nil
}

func (r Request) claim() (claim, error) {
	if r.Old > MaxSize || len(r.Proof) > MaxHashes {
		return claim{}, fmt.Errorf("request: %w: old size %d, %d hashes", ErrTooLarge, r.Old, len(r.Proof))
	}
	c, err := parseClaim(r.Checkpoint)
	if err != nil {
		return claim{}, fmt.Errorf("request: checkpoint: %w", err)
	}
	return c, nil
}

// MaxRequest bounds the body of a request in bytes: what a server reads before it gives up.
const MaxRequest = MaxCheckpoint + 4096

// ParseRequest reads the body. The checkpoint's signatures may be in any order, as C2SP allows; nothing is
// verified. What it accepts, Bytes gives back. The error wraps ErrSyntax or ErrTooLarge.
func ParseRequest(b []byte) (Request, error) {
	r, _, err := parseRequest(b)
	return r, err
}

func parseRequest(b []byte) (Request, claim, error) {
	var r Request
	if len(b) > MaxRequest {
		return r, claim{}, fmt.Errorf("request: %w: %d bytes", ErrTooLarge, len(b))
	}
	first, rest, ok := bytes.Cut(b, []byte("\n"))
	number, has := strings.CutPrefix(string(first), "old ")
	if !ok || !has {
		return r, claim{}, fmt.Errorf("request: %w: no old size", ErrSyntax)
	}
	var err error
	if r.Old, err = parseSize(number); err != nil {
		return r, claim{}, fmt.Errorf("request: old size: %w", err)
	}
	if r.Proof, r.Checkpoint, err = cutHashes(rest); err != nil {
		return r, claim{}, fmt.Errorf("request: %w", err)
	}
	c, err := r.claim()
	return r, c, err
}

// The HTTP status codes that tlog-witness gives a meaning.
const (
	StatusCosign        = 200 // store the checkpoint, then answer with Cosign's line
	StatusBadRequest    = 400 // malformed, or the old size is larger than the new one
	StatusForbidden     = 403 // not signed by the log's key
	StatusNotFound      = 404 // a log that the witness does not know
	StatusConflict      = 409 // the old size is not what was cosigned last, or that size had another root
	StatusUnprocessable = 422 // not consistent with what was cosigned last
)

// Decision is what a witness does about a request.
type Decision struct {
	Status int
	// Cosign is the checkpoint to store and cosign, nil unless Status is StatusCosign.
	Cosign *Checkpoint
	// Size is the size that was cosigned last, for StatusConflict.
	Size uint64
	// Err says why not. With ErrProof, a request that the log signed shows a log which forked, or a wrong
	// proof: it is worth keeping.
	Err error
}

// SizeType is the Content-Type of a conflict's body.
const SizeType = "text/x.tlog.size"

// Body returns what is answered: the lines that were signed, the size in a conflict, else nothing.
func (d Decision) Body(lines []byte) []byte {
	switch d.Status {
	case StatusCosign:
		return lines
	case StatusConflict:
		return []byte(strconv.FormatUint(d.Size, 10) + "\n")
	}
	return nil
}

// Witness decides about the body of an add-checkpoint request. find returns the key of a log that the witness
// knows, and the tree it cosigned last, the zero Tree if none.
//
// The caller holds one lock for the log over find, Witness, and the storing of Cosign's tree, which it
// does before it answers: else a later request with an older checkpoint rolls the witness back.
func Witness(body []byte, find func(Origin) (k LogKey, last Tree, known bool)) Decision {
	r, c, err := parseRequest(body)
	if err != nil {
		return Decision{Status: StatusBadRequest, Err: err}
	}
	k, last, known := find(c.origin)
	if !known {
		return Decision{Status: StatusNotFound, Err: fmt.Errorf("%w: %s", ErrOrigin, c.origin)}
	}
	checkpoint, err := c.tidy().open(k)
	if err != nil {
		return Decision{Status: StatusForbidden, Err: err}
	}
	last, err = last.whole()
	switch {
	case r.Old > c.tree.Size:
		return Decision{Status: StatusBadRequest, Err: fmt.Errorf("%w: from %d to %d entries", ErrSize, r.Old, c.tree.Size)}
	case err != nil || r.Old != last.Size:
		return Decision{Status: StatusConflict, Size: last.Size, Err: fmt.Errorf("%w: %d, the last seen is %d", ErrSize, r.Old, last.Size)}
	case r.Old == c.tree.Size && last != c.tree:
		return Decision{Status: StatusConflict, Size: last.Size, Err: fmt.Errorf("%w: two trees of %d entries", ErrProof, r.Old)}
	}
	if err := c.tree.CheckConsistency(r.Proof, last); err != nil {
		return Decision{Status: StatusUnprocessable, Err: err}
	}
	return Decision{Status: StatusCosign, Cosign: checkpoint}
}
