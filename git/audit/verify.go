package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// EventInvalid says that a recording is none: its entry keeps its place, and says nothing.
const EventInvalid verdict.Code = "event.invalid"

// Verdict is what was found when the whole record was verified.
type Verdict struct {
	Findings    []verdict.Finding `json:"findings"`
	Entries     int               `json:"entries"` // that count
	Dropped     uint64            `json:"dropped"` // of these, of which no more than the identity is left
	Ledgers     int               `json:"ledgers"`
	Checkpoints int               `json:"checkpoints"`

	Root  *provenance.Root  `json:"-"`
	Facts *provenance.Facts `json:"-"` // nil where it was remembered
}

// verdictFile is where it is remembered.
const verdictFile = "record"

// Verify verifies every ledger and every checkpoint; with deep also what every recording says. Where no ref has moved since it
// was done last, and cache is not nil, what was found then is found again: signatures and chains do not change by time. memory is what this
// clone has made logs of; nil: nothing.
func Verify(ctx context.Context, s *git.Session, pin envelope.Digest, cache, memory *provenance.Cache, now time.Time, deep bool) (*Verdict, error) {
	if deep {
		cache = nil
	}
	root, err := cache.OpenRoot(s, pin)
	if err != nil {
		return nil, err
	}
	question, err := provenance.RecordQuestion(s, root)
	if err != nil {
		return nil, err
	}
	question += memory.Sum(statePrefix)
	v := &Verdict{Root: root}
	if body := cache.Recall(verdictFile, question); body != nil && json.Unmarshal(body, v) == nil {
		return v, nil
	}
	v = &Verdict{Root: root}
	if v.Facts, err = provenance.Load(ctx, s, pin); err != nil {
		return nil, err
	}
	f := v.Facts
	v.Root = f.Root
	v.Findings = slices.Clone(f.Problems)
	more, err := Wrong(f, memory, now)
	if err != nil {
		return nil, err
	}
	v.Findings = append(v.Findings, more...)
	if deep {
		for r, err := range Log(s, f, Filter{Kinds: []string{Unread}}) {
			if err != nil {
				return nil, err
			}
			v.Findings = append(v.Findings, verdict.Finding{Code: EventInvalid, Object: string(r.ID), Message: fmt.Sprintf("entry %d of %s says nothing: %v", r.Seq, r.Ledger, r.Err)})
		}
	}
	for name, n := range Heads(f) {
		v.Entries += int(n) //nolint:gosec // a count of what is in memory
		v.Dropped += f.Dropped(name)
	}
	v.Ledgers, v.Checkpoints = len(f.Chains), len(f.Checkpoints)
	// What was read must be what was asked about: a ledger may have moved in between.
	if again, err := provenance.RecordQuestion(s, f.Root); err == nil && again+memory.Sum(statePrefix) == question {
		if body, err := json.Marshal(v); err == nil {
			cache.Keep(verdictFile, question, body)
		}
	}
	return v, nil
}
