// Package verdict judges commits: a pure function from facts, which somebody
// else gathered, to findings. It reads no Git, no clock and no file, and
// believes no recorded decision: it asks again.
package verdict

import (
	"errors"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

// Verdict is the sum of a commit's findings.
type Verdict string

// The verdicts.
const (
	Sealed   Verdict = "sealed"   // a trusted key sealed exactly this commit, with authority
	Derived  Verdict = "derived"  // every change is covered by sealed commits
	Unsealed Verdict = "unsealed" // nobody we know sealed it
	Invalid  Verdict = "invalid"  // somebody we know sealed it, and something is wrong with that
	Before   Verdict = "before"   // older than the repository's governed-since
	Exempt   Verdict = "exempt"   // policy lets this human's commits go without a seal, and their Git signature holds
)

// OK reports whether the verdict lets a commit pass.
func (v Verdict) OK() bool { return v == Sealed || v == Derived || v == Before || v == Exempt }

// Finding is one thing wrong. Codes are stable: docs/spec/findings.md lists them.
type Finding struct {
	Code    Code   `json:"code"`
	Path    string `json:"path,omitempty"`   // bytes that are not UTF-8 are replaced in JSON
	Object  string `json:"object,omitempty"` // the commit, entry, ledger or key it is about
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"` // the next command to type

	Lines []provenance.Lines `json:"lines,omitempty"` // of the path, as the commit has it
}

// Candidate is an envelope that may be a commit's seal.
type Candidate struct {
	ID     envelope.Digest
	KeyID  string // the key that signed it; when Err says it did not verify, the one it claims
	Blob   oid.ID // where its bytes are
	Header envelope.Header
	Seal   *provenance.Seal // nil when Err is not
	Err    error            // why it was not opened or read
	InNote bool             // it was found in a note and in no ledger
	Ledger string           // the chain it was found in; its header may claim another
	Index  int              // its place there, from 0
}

// Claims reports whether the envelope says that somebody sealed the commit: a ledger
// holds it, or it was opened and names the commit. Any other was put into a note by
// whoever writes notes.
func (c *Candidate) Claims(commit oid.ID) bool {
	return c.Ledger != "" || (c.Seal != nil && c.Seal.Commit() == commit)
}

// Commit is what is known of one commit.
type Commit struct {
	ID, Tree   oid.ID
	Parents    []oid.ID
	Based      bool               // Base is known
	Base       oid.ID             // tree of its first parent; zero where it has none
	Committer  string             // e-mail address
	Before     bool               // it is older than governance: where no seal of it holds, nothing is claimed of it
	Diffs      [][]provenance.Raw // as Git computes them, against each parent or the empty tree
	DiffErr    error              // why they could not be computed
	DeepErrs   []Finding          // what re-hashing found
	Candidates []Candidate
	Notes      []Finding          // what is odd about its note; never a verdict
	Touched    []pluginapi.Change // what checkers are asked about, sizes included where a grant needs them
	Ref        string             // the ref under review, when the commit is on its own line; "" when it is not known
	Side       bool               // a merge brought it in: it was made on the ref its seal names
	Signer     string             // id of the known key whose Git signature the commit carries; "" for none. Only looked at where no candidate claims the commit
	Admissions []Admission        // of refs that hold it, the first of each signer
	Denied     []Denial           // decisions that refused it and were recorded
	Advance    *Advance           // that brings it to the ref under review; nil where nobody asks
	Proofs     []Proof            // evidence about its tree, where the policy demands any
}

// Admission says that a signer took a commit into a protected ref.
type Admission struct {
	KeyID  string `json:"key"`
	Ref    string `json:"ref"`
	Time   string `json:"time"`
	Action string `json:"action"`         // what the signer needs to be allowed
	Seen   string `json:"seen,omitempty"` // when somebody else accountable first saw it; "" when nobody did
}

// Denial is a recorded refusal of a commit that was made all the same.
type Denial struct {
	KeyID  string          `json:"key"`
	ID     envelope.Digest `json:"id"`
	Moment string          `json:"moment"`
	Reason string          `json:"reason"`
}

// Seen says that somebody accountable saw a seal in its ledger.
type Seen struct {
	KeyID string `json:"key"`
	Time  string `json:"time"`
}

// Asker answers what a principal may do: the capability checkers.
type Asker interface {
	Decide(capability.Query) capability.Decision
}

// Principal is who sealed a commit, as output shows it.
type Principal struct {
	Name        string `json:"name"`
	Kind        string `json:"kind"`
	Accountable string `json:"accountable"`
	Key         string `json:"key"`
}

// Result is the verdict of one commit.
type Result struct {
	Commit     oid.ID
	Verdict    Verdict
	Mode       provenance.Mode // of the seal that counts
	Coverage   string          // "own", or "blob" of a derived commit
	Covers     []Cover         // the sealed commits that a derived one is made of
	Principal  *Principal
	Made       []Made          // by others than the principal, of a sealed commit; only where that was asked for
	Rewritten  bool            // the principal rewrote what they made
	Besides    bool            // where others made something: the principal changed other paths, too
	SealID     envelope.Digest // of the seal that counts, or of the first that was refused
	Seal       *Candidate      // that seal; nil when only an exam of it was remembered
	Unattended bool
	Findings   []Finding
	Warnings   []Finding
}

// Code names a kind of finding.
type Code string

// Codes of findings and warnings.
const (
	SealMissing    Code = "seal.missing"
	SealSignature  Code = "seal.signature"
	SealUnknownKey Code = "seal.unknown-key"
	SealSyntax     Code = "seal.syntax"
	SealTooLarge   Code = "seal.too-large"
	SealSignatures Code = "seal.signature-count"
	SealType       Code = "seal.payload-type"
	SealNewer      Code = "seal.newer"
	SealRepository Code = "seal.repository"
	SealSubject    Code = "seal.subject"
	SealTree       Code = "seal.tree"
	SealParents    Code = "seal.parents"
	SealPrincipal  Code = "seal.principal"
	SealDecision   Code = "seal.decision"
	SealAuthority  Code = "seal.authority"
	SealGrant      Code = "seal.grant"
	SealContent    Code = "seal.content"
	SealConflict   Code = "seal.conflict"
	SealUnledgered Code = "seal.not-in-ledger"
	SealRefused    Code = "seal.other-refused"
	SealBypassed   Code = "seal.gate-bypassed"
	// seal.change-missing, -extra, -differs and -duplicate are made of provenance.DifferenceKind.
	sealPrefix = "seal."

	LedgerFork       Code = "ledger.fork"
	LedgerOrder      Code = "ledger.order"
	LedgerDamaged    Code = "ledger.damaged"
	LedgerSignature  Code = "ledger.signature"
	LedgerUnknown    Code = "ledger.unknown-writer"
	LedgerWriter     Code = "ledger.writer"
	LedgerRolledBack Code = "ledger.rolled-back"
	LedgerWithheld   Code = "ledger.withheld" // of a ledger that others rest on: nothing here can be relied on
	LedgerHeads      Code = "ledger.heads-back"
	LedgerNewer      Code = "ledger.newer"
	LedgerPruned     Code = "ledger.pruned"   // entries were dropped, and nobody who may says so
	LedgerUnpruned   Code = "ledger.unpruned" // entries are here that somebody who may dropped
	GrantRefused     Code = "grant.refused"

	NoteJunk      Code = "note.junk"
	NoteMissing   Code = "note.missing"
	NotePointers  Code = "note.pointers"
	NoteUnknown   Code = "note.unknown-key"
	NoteElsewhere Code = "note.elsewhere"

	RootMismatch Code = "root.mismatch"
	RootInvalid  Code = "root.invalid"
	RootMissing  Code = "root.missing"
	RootWithheld Code = "root.withheld" // the record names a version that is not here: nothing here can be relied on

	PolicyMode     Code = "policy.mode"
	PolicyPath     Code = "policy.path"
	PolicyReview   Code = "policy.review"
	PolicyCoverage Code = "policy.coverage"

	DerivedUncovered Code = "derived.uncovered"
	DerivedPartial   Code = "derived.partial"
	DerivedHistory   Code = "derived.history"

	RefUnadmitted Code = "ref.not-admitted"
	RefMoved      Code = "ref.moved"
	RefGap        Code = "ref.admission-gap"
	RefAuthority  Code = "ref.authority"

	DiffFailed Code = "git.diff"
	ObjectHash Code = "git.object-hash"

	ObjectMalformed Code = "git.object-malformed"
	PathUnsafe      Code = "git.path"
)

// Condemns reports whether what a problem of the repository says leaves nothing to rely on, whatever the verdicts of
// commits are: what ended an authority, or took a ref somewhere, may be among what is missing.
func (c Code) Condemns() bool { return c == LedgerWithheld || c == RootWithheld }

// CodeOf names the refusal an error of opening or reading a seal stands for.
func CodeOf(err error) Code {
	for _, m := range []struct {
		err  error
		code Code
	}{
		{envelope.ErrUnknownKey, SealUnknownKey},
		{envelope.ErrSignature, SealSignature},
		{envelope.ErrSignatureCount, SealSignatures},
		{envelope.ErrTooLarge, SealTooLarge},
		{envelope.ErrPayloadType, SealType},
		{envelope.ErrNewer, SealNewer},
		{envelope.ErrRepository, SealRepository},
	} {
		if errors.Is(err, m.err) {
			return m.code
		}
	}
	return SealSyntax
}
