package event

import (
	"fmt"
	"strings"

	"github.com/open-covenant/covenant-git/envelope"
)

// Types of the statements about the log itself, in ledgers of topic [CheckpointTopic].
const (
	Checkpointed = "checkpoint.signed/v1"
	Cosigned     = "checkpoint.cosigned/v1"
)

// CheckpointTopic is the topic of the ledgers whose writers checkpoint the others.
const CheckpointTopic = "checkpoint"

// Limits of texts in C2SP formats.
const (
	maxNote  = 256 << 10 // a checkpoint, as package tlog has it
	maxLines = 256 << 10
)

// Checkpoint is the body of a [Checkpointed] statement: its writer's log of all ledgers, as far as its header's heads and those of
// earlier checkpoints of this writer reach, is a tree, which the note signs in the format of C2SP tlog-checkpoint.
type Checkpoint struct {
	Note    string          `json:"note"`
	Root    envelope.Digest `json:"root"`    // the version of the trust root that was in force
	Version int             `json:"version"` // its number
}

// ParseCheckpoint reads an opened checkpoint. The note is not opened.
func ParseCheckpoint(o *envelope.Opened) (*envelope.Ledger[Checkpoint], error) {
	s, err := envelope.Decode[Checkpoint](o, Checkpointed)
	if err != nil {
		return nil, err
	}
	if b := &s.Body; len(b.Note) > maxNote || !strings.HasSuffix(b.Note, "\n") || !b.Root.Valid() || b.Version < 1 {
		return nil, fmt.Errorf("%w: checkpoint", ErrInvalid)
	}
	return s, nil
}

// Cosigning is the body of a [Cosigned] statement: witnesses saw a checkpoint. Their signatures speak for themselves, whoever
// brings them.
type Cosigning struct {
	Checkpoint envelope.Digest `json:"checkpoint"` // the entry
	Lines      string          `json:"lines"`      // signature lines of C2SP tlog-cosignature, each with its newline
}

// ParseCosigning reads opened cosignatures. They are not verified.
func ParseCosigning(o *envelope.Opened) (*envelope.Ledger[Cosigning], error) {
	s, err := envelope.Decode[Cosigning](o, Cosigned)
	if err != nil {
		return nil, err
	}
	if b := &s.Body; !b.Checkpoint.Valid() || b.Lines == "" || len(b.Lines) > maxLines || !strings.HasSuffix(b.Lines, "\n") {
		return nil, fmt.Errorf("%w: cosignatures", ErrInvalid)
	}
	return s, nil
}
