// Package review holds the statement of a review: what somebody says of a change, from one tree to another, that is for a
// ref. No Git is read here.
//
// It is an in-toto Statement v1 whose subjects are the commit and the tree that were reviewed; the predicate says from which
// tree they come, for which ref, and what the reviewer says of it:
//
//	{"attended":…,"base":{"commit":…,"tree":…},"entry":{…},"findings":[…],"forge":{…},"from":[…],"gates":[…],
//	 "principal":{…},"ref":…,"text":…,"verdict":"approve"}
//
// A review is about the step from one tree to the other, and about no other: whoever changes either needs another one.
package review

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/canonical"
	"github.com/open-covenant/covenant-git/envelope/intoto"
	"github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/treepath"
)

// Type is the predicateType of a review.
const Type = "https://github.com/open-covenant/covenant-git/review/v1"

// ErrInvalid says that a review is malformed.
var ErrInvalid = errors.New("not a valid review")

// Limits of a review.
const (
	MaxText     = 16 << 10 // bytes of a text
	MaxFindings = 256
	MaxNames    = 64 // principals that are asked, gates
	maxWord     = 256
	maxPath     = 4096
)

// Verdict is what a review says of a change.
type Verdict string

// The verdicts. Of those that one person gives the same change the newest counts.
const (
	Approve  Verdict = "approve"
	Reject   Verdict = "reject"   // it stands in the way until who said it says otherwise
	Comment  Verdict = "comment"  // neither
	Request  Verdict = "request"  // somebody is asked for one
	Withdraw Verdict = "withdraw" // what its signer said before counts for nothing
)

// Severities of findings.
const (
	Note    = "note"
	Warning = "warning"
	Error   = "error"
)

// Statement is a review.
type Statement struct {
	Type          string           `json:"_type"`
	Predicate     Predicate        `json:"predicate"`
	PredicateType string           `json:"predicateType"`
	Subject       []intoto.Subject `json:"subject"`
}

// Predicate is what it says.
type Predicate struct {
	Attended  bool                 `json:"attended"` // a terminal was there when it was signed
	Base      Base                 `json:"base"`
	Entry     envelope.Header      `json:"entry"`
	Findings  []Finding            `json:"findings,omitempty"`
	Forge     *Forge               `json:"forge,omitempty"` // it was given there, and is told by who signs this
	From      []string             `json:"from,omitempty"`  // of a request: names of who is asked, sorted; absent: anybody
	Gates     []string             `json:"gates,omitempty"` // gates of an intent that it passes, sorted
	Principal provenance.Principal `json:"principal"`
	Ref       string               `json:"ref"` // full name of the ref that the change is for
	Text      string               `json:"text,omitempty"`
	Verdict   Verdict              `json:"verdict"`
}

// Base is where the change comes from. Without a tree it is the first of all.
type Base struct {
	Commit oid.ID `json:"commit,omitzero"`
	Tree   oid.ID `json:"tree,omitzero"`
}

// Finding is one thing that a reviewer says of a place.
type Finding struct {
	Line     int    `json:"line,omitempty"` // from 1
	Path     string `json:"path,omitempty"`
	Severity string `json:"severity"`
	Text     string `json:"text"`
}

// Forge is a review that was given on a web page, by somebody who has no key here.
type Forge struct {
	Account string `json:"account"` // HOST/NAME
	At      string `json:"at"`      // when it was given, as the forge says; of a withdrawal, what it takes back
	URL     string `json:"url,omitempty"`
}

// New returns a review of the change that leads to a commit and its tree.
func New(commit, tree oid.ID, p Predicate) *Statement {
	return &Statement{Type: intoto.StatementType, PredicateType: Type, Predicate: p, Subject: intoto.Change(commit, tree)}
}

// Commit returns the commit that was reviewed, zero when the statement is malformed.
func (s *Statement) Commit() oid.ID { return intoto.Object(s.Subject, 0, intoto.Commit) }

// Tree returns its tree.
func (s *Statement) Tree() oid.ID { return intoto.Object(s.Subject, 1, intoto.Tree) }

// Encode writes the review as canonical JSON.
func (s *Statement) Encode() ([]byte, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	return canonical.Marshal(s)
}

// Parse reads an opened review. Of a newer version the error wraps [envelope.ErrNewer].
func Parse(o *envelope.Opened) (*Statement, error) {
	return intoto.Read(o, ErrInvalid, (*Statement).Validate, Type)
}

// Validate reports what is wrong with a review but its header, the first thing first. The error wraps ErrInvalid.
func (s *Statement) Validate() error {
	bad := func(format string, a ...any) error {
		return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, a...))
	}
	if s.Type != intoto.StatementType || s.PredicateType != Type {
		return bad("type %.100q of %.100q", s.PredicateType, s.Type)
	}
	if len(s.Subject) != 2 || len(s.Subject[0].Digest) != 1 || len(s.Subject[1].Digest) != 1 ||
		s.Subject[0].Name != "commit" || s.Subject[1].Name != "tree" {
		return bad("subjects")
	}
	commit, tree, p := s.Commit(), s.Tree(), &s.Predicate
	if commit.IsZero() || tree.IsZero() || commit.Format() != tree.Format() {
		return bad("subjects")
	}
	if p.Base.Commit.IsZero() != p.Base.Tree.IsZero() || !p.Base.Tree.IsZero() && (p.Base.Tree.Format() != tree.Format() || p.Base.Commit.Format() != tree.Format()) {
		return bad("base")
	}
	if p.Base.Tree == tree {
		return bad("it changes nothing: the base has the same tree")
	}
	if !strings.HasPrefix(p.Ref, "refs/") || !envelope.IsLine(p.Ref, maxWord) {
		return bad("ref %.100q is no full name of one", p.Ref)
	}
	if !slices.Contains([]Verdict{Approve, Reject, Comment, Request, Withdraw}, p.Verdict) {
		return bad("verdict %.40q", p.Verdict)
	}
	if p.Principal.Name == "" || p.Principal.Kind == "" || p.Principal.Accountable == "" {
		return bad("principal")
	}
	if p.Text != "" && !envelope.IsText(p.Text, MaxText) {
		return bad("a text is 1 to %d bytes of UTF-8", MaxText)
	}
	if len(p.Findings) > MaxFindings {
		return bad("%d findings, at most %d may be", len(p.Findings), MaxFindings)
	}
	for i, f := range p.Findings {
		switch {
		case !envelope.IsText(f.Text, MaxText):
			return bad("findings[%d]: a text is 1 to %d bytes of UTF-8", i, MaxText)
		case !slices.Contains([]string{Note, Warning, Error}, f.Severity):
			return bad("findings[%d]: severity %.40q is none of note, warning, error", i, f.Severity)
		case f.Line < 0 || f.Line > 1<<30 || f.Line > 0 && f.Path == "":
			return bad("findings[%d]: line %d of %.100q", i, f.Line, f.Path)
		case f.Path != "" && (len(f.Path) > maxPath || treepath.Unsafe(f.Path) != ""):
			return bad("findings[%d]: path %.100q", i, f.Path)
		}
	}
	if err := names("from", p.From); err != nil {
		return err
	}
	if err := names("gates", p.Gates); err != nil {
		return err
	}
	if len(p.From) > 0 && p.Verdict != Request {
		return bad("from: only a request asks somebody")
	}
	if g := p.Forge; g != nil {
		host, name, ok := strings.Cut(g.Account, "/")
		switch {
		case !ok || host == "" || name == "" || !envelope.IsLine(g.Account, maxWord) || strings.ContainsAny(g.Account, " \t"):
			return bad("forge.account %.100q is not HOST/NAME", g.Account)
		case envelope.CheckTime(g.At) != nil:
			return bad("forge.at %.40q is no time in UTC with whole seconds", g.At)
		case g.URL != "" && !page(g.URL):
			return bad("forge.url %.100q", g.URL)
		case p.Verdict == Request:
			return bad("a forge asks nobody here for a review")
		}
	}
	return nil
}

// page reports whether a text is the address of a page.
func page(s string) bool {
	return envelope.IsLine(s, maxWord) && (strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://"))
}

func names(field string, list []string) error {
	if len(list) > MaxNames {
		return fmt.Errorf("%w: %s: %d names, at most %d may be", ErrInvalid, field, len(list), MaxNames)
	}
	for i, n := range list {
		if !envelope.IsLine(n, maxWord) || i > 0 && list[i-1] >= n {
			return fmt.Errorf("%w: %s: %.100q is no name, or out of order", ErrInvalid, field, n)
		}
	}
	return nil
}
