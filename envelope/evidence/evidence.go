// Package evidence holds the statement that a command was run against an exact tree, and how that ended: an in-toto
// Statement v1 with the predicate test-result v0.1, whose subject is the tree. What in-toto has no field for stands in the
// predicate's field "run", and its place in a ledger in "entry". No process is started and no Git is read here.
//
// A statement says what the program that signs it observed, under the control of whoever holds the key. That the tree is
// good it does not say.
package evidence

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/canonical"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/intoto"
	"github.com/open-covenant/covenant-git/git/oid"
)

// PredicateType is that of the statement.
const PredicateType = "https://in-toto.io/attestation/test-result/v0.1"

// Topic is the topic of the ledgers that carry evidence: that of seals.
const Topic = "provenance"

// ErrInvalid says that a statement of evidence is malformed, or contradicts itself.
var ErrInvalid = errors.New("not valid evidence")

// Limits. A statement stays in the history for good, so it is small: longer output is told by its beginning, its end and
// its digest.
const (
	MaxArgs   = 1024
	MaxArgv   = 64 << 10 // bytes of all arguments
	MaxHead   = 4 << 10  // bytes of the output's beginning
	MaxTail   = 12 << 10 // bytes of its end
	MaxNames  = 1024     // variables
	MaxFailed = 100      // names of failed tests
	MaxTools  = 16
	MaxText   = 512 // bytes of a name, or of a line that a tool says of itself

	maxCount = 1 << 53
)

// Result is how a run ended, in in-toto's words.
type Result string

// Results. They follow from the rest of the statement: see [Predicate.Outcome].
const (
	Passed Result = "PASSED"
	Warned Result = "WARNED"
	Failed Result = "FAILED"
)

// Where a command ran.
const (
	Worktree = "worktree" // in the work tree, which equalled the tree
	Checkout = "checkout" // in a checkout of the tree, made for it
)

// Observed is how the statement came to be: this program ran the command itself.
const Observed = "observed"

// What a checkout may lack.
const (
	LFS        = "lfs"
	Submodules = "submodules"
)

// Formats of reports of tests.
var formats = []string{"cargo", "go-test-json", "junit", "pytest", "tap"}

// Statement is an in-toto Statement v1 about one tree.
type Statement struct {
	Type          string           `json:"_type"`
	Predicate     Predicate        `json:"predicate"`
	PredicateType string           `json:"predicateType"`
	Subject       []intoto.Subject `json:"subject"`
}

// Predicate is in-toto's test-result, with entry and run beside its own fields.
type Predicate struct {
	Configuration []Program       `json:"configuration"` // one: the file that was run
	Entry         envelope.Header `json:"entry"`
	FailedTests   []string        `json:"failedTests,omitempty"` // the first MaxFailed, sorted
	Result        Result          `json:"result"`
	Run           Run             `json:"run"`
}

// Program is an in-toto ResourceDescriptor of the program's file. Without a digest it could not be read.
type Program struct {
	Digest map[string]string `json:"digest,omitempty"` // sha256
	Name   string            `json:"name"`
}

// Run is what in-toto has no field for.
type Run struct {
	Absent       []string        `json:"absent,omitempty"`  // what the checkout lacked: LFS, Submodules
	Argv         []string        `json:"argv"`              // redacted
	Changed      bool            `json:"changed,omitempty"` // files of the tree were not as they were, afterwards
	Dir          string          `json:"dir,omitempty"`     // below the top, where it ran; slashes
	Environment  Environment     `json:"environment"`
	Exit         int             `json:"exit"`           // its status; 128 and the signal's number where one ended it
	How          string          `json:"how"`            // Observed
	Left         bool            `json:"left,omitempty"` // it left processes behind, which were ended
	Milliseconds uint64          `json:"milliseconds"`
	Name         string          `json:"name"`
	Output       Output          `json:"output"`
	Platform     string          `json:"platform"` // such as linux/amd64
	Principal    Principal       `json:"principal"`
	Rerun        envelope.Digest `json:"rerun,omitempty"`  // the evidence that this repeats
	Signal       string          `json:"signal,omitempty"` // that ended it, such as SIGKILL
	Started      string          `json:"started"`
	Tests        *Tests          `json:"tests,omitempty"` // absent where no report was found
	TimedOut     bool            `json:"timedOut,omitempty"`
	Tools        []Tool          `json:"tools,omitempty"`
	Version      int             `json:"version"` // 1
	Where        string          `json:"where"`
}

// Environment says which variables were set. Values are in nobody's history; the digest lets who made it, and nobody else,
// tell whether two runs had the same.
type Environment struct {
	Digest string   `json:"digest,omitempty"` // 64 hexadecimal digits
	Names  []string `json:"names"`            // sorted
}

// Output is what the command wrote to standard output and standard error, as they came, after redaction.
type Output struct {
	Bytes    uint64 `json:"bytes"`
	Head     string `json:"head,omitempty"`
	Lossy    bool   `json:"lossy,omitempty"`    // what is no UTF-8 was replaced in head and tail
	Redacted uint64 `json:"redacted,omitempty"` // how often something was taken out
	SHA256   string `json:"sha256"`
	Tail     string `json:"tail,omitempty"` // its end, where head is not all of it
}

// Principal names who ran it.
type Principal struct {
	Accountable string `json:"accountable"`
	Kind        string `json:"kind"`
	Name        string `json:"name"`
}

// Tests are what a report of tests counted.
type Tests struct {
	Failed  uint64 `json:"failed"`
	Format  string `json:"format"`
	Passed  uint64 `json:"passed"`
	Skipped uint64 `json:"skipped"`
}

// Tool is what a program said of itself.
type Tool struct {
	Command string `json:"command"`
	Said    string `json:"said"` // its first line
}

// New returns a statement about a tree.
func New(tree oid.ID, p Predicate) *Statement {
	return &Statement{Type: intoto.StatementType, PredicateType: PredicateType, Predicate: p, Subject: []intoto.Subject{intoto.Of("tree", intoto.Tree, tree)}}
}

// Tree returns the tree it is about, zero when it is malformed.
func (s *Statement) Tree() oid.ID {
	if len(s.Subject) != 1 {
		return oid.ID{}
	}
	return intoto.Object(s.Subject, 0, intoto.Tree)
}

// Outcome returns the result that follows from the rest: FAILED with another status than zero; WARNED where it is zero, and the
// files changed or a report counts failures; else PASSED.
func (p *Predicate) Outcome() Result {
	switch r := &p.Run; {
	case r.Exit != 0 || r.Signal != "" || r.TimedOut:
		return Failed
	case r.Changed || (r.Tests != nil && r.Tests.Failed > 0):
		return Warned
	}
	return Passed
}

// Encode writes the statement as canonical JSON.
func (s *Statement) Encode() ([]byte, error) {
	if err := s.validate(); err != nil {
		return nil, err
	}
	return canonical.Marshal(s)
}

// Parse reads an opened statement of evidence. One whose run has a later version than 1 is [envelope.ErrNewer].
func Parse(o *envelope.Opened) (*Statement, error) {
	var v struct {
		Predicate struct {
			Run struct {
				Version int `json:"version"`
			} `json:"run"`
		} `json:"predicate"`
	}
	if json.Unmarshal(o.Payload, &v) == nil && v.Predicate.Run.Version > 1 {
		return nil, fmt.Errorf("%w: evidence of version %d; this program reads 1", envelope.ErrNewer, v.Predicate.Run.Version)
	}
	return intoto.Read(o, ErrInvalid, (*Statement).validate)
}

func bad(format string, a ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, a...))
}

func (s *Statement) validate() error {
	if s.Type != intoto.StatementType || s.PredicateType != PredicateType {
		return bad("type %.100q of %.100q", s.PredicateType, s.Type)
	}
	if len(s.Subject) != 1 || s.Subject[0].Name != "tree" || len(s.Subject[0].Digest) != 1 || s.Tree().IsZero() {
		return bad("its subject is no tree")
	}
	p := &s.Predicate
	if len(p.Configuration) != 1 || !text(p.Configuration[0].Name) {
		return bad("configuration")
	}
	if d := p.Configuration[0].Digest; d != nil && (len(d) != 1 || !envelope.IsSHA256(d["sha256"])) {
		return bad("digest of the program")
	}
	if len(p.FailedTests) > MaxFailed || !sorted(p.FailedTests) {
		return bad("names of failed tests")
	}
	if len(p.FailedTests) > 0 && (p.Run.Tests == nil || uint64(len(p.FailedTests)) > p.Run.Tests.Failed) {
		return bad("%d failed tests are named", len(p.FailedTests))
	}
	if err := p.Run.validate(); err != nil {
		return err
	}
	if want := p.Outcome(); p.Result != want {
		return bad("the result is %.40q, and what it tells makes %s", p.Result, want)
	}
	return nil
}

// CheckAsked holds what is known before a command runs to what a statement can have: its name, arguments and directory, and
// what it repeats.
func (r *Run) CheckAsked() error {
	size := 0
	for _, a := range r.Argv {
		if size += len(a); !utf8.ValidString(a) {
			return bad("an argument is no UTF-8")
		}
	}
	switch {
	case !identity.ValidName(r.Name):
		return bad("name %.80q", r.Name)
	case len(r.Argv) == 0 || len(r.Argv) > MaxArgs || size > MaxArgv || r.Argv[0] == "":
		return bad("a command of %d arguments, %d bytes; at most %d and %d can be recorded", len(r.Argv), size, MaxArgs, MaxArgv)
	case r.Dir != "" && !relative(r.Dir):
		return bad("directory %.100q", r.Dir)
	case r.Rerun != "" && !r.Rerun.Valid():
		return bad("what it repeats")
	}
	return nil
}

func (r *Run) validate() error {
	if err := r.CheckAsked(); err != nil {
		return err
	}
	switch {
	case r.Version != 1:
		return bad("version %d", r.Version)
	case r.How != Observed:
		return bad("how it came to be: %.40q", r.How)
	case r.Exit < 0 || r.Exit > 255:
		return bad("exit status %d", r.Exit)
	case r.Signal != "" && (r.Exit <= 128 || !strings.HasPrefix(r.Signal, "SIG") || !text(r.Signal)):
		return bad("signal %.40q with status %d", r.Signal, r.Exit)
	case r.Where != Worktree && r.Where != Checkout:
		return bad("where %.40q", r.Where)
	case !sorted(r.Absent) || slices.ContainsFunc(r.Absent, func(a string) bool { return a != LFS && a != Submodules }):
		return bad("what is absent")
	case len(r.Absent) > 0 && r.Where != Checkout:
		return bad("a work tree that lacks %s", strings.Join(r.Absent, ", "))
	case envelope.CheckTime(r.Started) != nil:
		return bad("started %.40q", r.Started)
	case r.Milliseconds >= maxCount:
		return bad("it took %d ms", r.Milliseconds)
	case !text(r.Platform):
		return bad("platform")
	case r.Principal.Name == "" || r.Principal.Kind == "" || r.Principal.Accountable == "":
		return bad("principal")
	case len(r.Environment.Names) > MaxNames || !sorted(r.Environment.Names) || (r.Environment.Digest != "" && !envelope.IsSHA256(r.Environment.Digest)):
		return bad("environment")
	case len(r.Tools) > MaxTools:
		return bad("%d tools", len(r.Tools))
	}
	for _, t := range r.Tools {
		if !text(t.Command) || len(t.Said) > MaxText || !utf8.ValidString(t.Said) {
			return bad("tool %.80q", t.Command)
		}
	}
	if t := r.Tests; t != nil && (!slices.Contains(formats, t.Format) || t.Passed >= maxCount || t.Failed >= maxCount || t.Skipped >= maxCount) {
		return bad("tests")
	}
	return r.Output.validate()
}

func (o *Output) validate() error {
	switch {
	case !envelope.IsSHA256(o.SHA256) || o.Bytes >= maxCount || o.Redacted >= maxCount || len(o.Head) > MaxHead+MaxTail || len(o.Tail) > MaxTail:
		return bad("output")
	case o.Tail != "" && len(o.Head) > MaxHead:
		return bad("output of a beginning of %d bytes", len(o.Head))
	}
	if o.Whole() && (o.SHA256 != Sum([]byte(o.Head)) || uint64(len(o.Head)) != o.Bytes) {
		return bad("the output is not what its digest says")
	}
	return nil
}

// Whole reports whether the statement has all of the output, byte for byte.
func (o *Output) Whole() bool { return o.Tail == "" && !o.Lossy }

// Sum returns the SHA-256 of bytes as statements have it.
func Sum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// When returns when the run began.
func (r *Run) When() time.Time {
	t, _ := time.Parse(time.RFC3339, r.Started)
	return t
}

func text(s string) bool { return s != "" && len(s) <= MaxText && utf8.ValidString(s) }

func sorted(list []string) bool {
	for i, s := range list {
		if !text(s) || (i > 0 && list[i-1] >= s) {
			return false
		}
	}
	return true
}

// relative reports whether a path leads down from the top and nowhere else.
func relative(p string) bool {
	if len(p) > 4096 || !utf8.ValidString(p) {
		return false
	}
	for part := range strings.SplitSeq(p, "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	return true
}
