package report

import (
	"time"
	"unicode/utf8"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/event"
	"github.com/open-covenant/covenant-git/envelope/verdict"
)

// What an account has at most. Whoever writes records could else make it as long as it likes; what is left out is
// counted. Where one writer could crowd out another, each has a share of its own.
const (
	maxPrincipals = 200
	maxNames      = 50 // kinds, tools, sessions, intents of one principal
	maxNamed      = 6  // of those that a document shows in one cell
	maxDenials    = 200
	maxTold       = 50 // groups of denials that one signer tells of
	maxGrants     = 200
	maxBranches   = 100
	maxCommits    = 100
	maxProblems   = 100
	maxText       = 200 // characters of somebody else's text
)

// An Account is what the ledgers of a repository say of a span of time, and what its protected refs look like. It is
// its own JSON form, which docs/spec/audit.md describes: times are RFC 3339 in UTC, lists are never null.
type Account struct {
	Type       string     `json:"type"` // "audit-report"
	Made       string     `json:"made"`
	Version    string     `json:"version"` // of this program
	Root       string     `json:"root"`    // the pin of the trust root
	Pinned     string     `json:"pinned"`  // where the pin came from
	Tips       string     `json:"tips"`    // digest of all ledger heads: equal ones mean the same record
	Ledgers    int        `json:"ledgers"`
	Asked      Asked      `json:"asked"`
	Records    Records    `json:"records"`
	Problems   []Problem  `json:"problems"` // of the record itself; empty when there is none
	Principals []Activity `json:"principals"`
	Denials    []Denial   `json:"denials"`       // in order of the first of each
	InForce    []Holding  `json:"grantsInForce"` // at the end of the span
	Ended      []Holding  `json:"grantsEnded"`   // in the span
	Refs       []Branch   `json:"refs"`          // that are protected, else the one HEAD is on
	Commits    []Doubt    `json:"commits"`       // of those, which do not verify
	Timeline   Timeline   `json:"timeline"`
	More       More       `json:"more"`
	Limits     []string   `json:"limits"` // what it does not say
}

// Asked is which records an account is of.
type Asked struct {
	Since     string `json:"since,omitempty"`
	Until     string `json:"until,omitempty"`
	Principal string `json:"principal,omitempty"`
	Intent    string `json:"intent,omitempty"`
}

// NewAsked is the question of a span, both ends included; a zero time leaves it open.
func NewAsked(since, until time.Time, principal, intent string) Asked {
	return Asked{Since: stamp(since), Until: stamp(until), Principal: clip(principal), Intent: clip(intent)}
}

// Records says how many records there are, and what is odd about the times they claim.
type Records struct {
	Counted    int    `json:"counted"` // in the span
	First      string `json:"first,omitempty"`
	Last       string `json:"last,omitempty"`
	Before     int    `json:"before"`     // of the same question, which claim a time before the span
	After      int    `json:"after"`      // or after it
	Ahead      int    `json:"ahead"`      // of all of these, which claim a time that had not come when the account was made
	Backwards  int    `json:"backwards"`  // entries that claim an earlier time than the one before them in their ledger
	Unreadable int    `json:"unreadable"` // recordings that say nothing, since they are malformed; the others do not count them
	Dropped    uint64 `json:"dropped"`    // entries of whoever is asked about, of any time, of which no more than the identity is left; likewise
}

// More says how many items each list lacks.
type More struct {
	Problems   int `json:"problems"`
	Principals int `json:"principals"`
	Denials    int `json:"denials"` // single ones, not groups
	InForce    int `json:"grantsInForce"`
	Ended      int `json:"grantsEnded"`
	Refs       int `json:"refs"`
	Commits    int `json:"commits"`
}

// A Problem is something wrong with the record.
type Problem struct {
	Code    string `json:"code"`
	Object  string `json:"object,omitempty"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	All     bool   `json:"all"` // nothing here can be relied on
}

// Outcomes counts records by how they ended.
type Outcomes struct {
	OK      int `json:"ok"`
	Denied  int `json:"denied"`
	Failed  int `json:"failed"`
	Ignored int `json:"ignored"`
}

func (o *Outcomes) add(x event.Outcome) {
	switch x {
	case event.Denied:
		o.Denied++
	case event.Failed:
		o.Failed++
	case event.Ignored:
		o.Ignored++
	default:
		o.OK++
	}
}

func (o *Outcomes) total() int { return o.OK + o.Denied + o.Failed + o.Ignored }

// NamedOutcomes counts what has a name.
type NamedOutcomes struct {
	Name string `json:"name"`
	Outcomes
}

// Activity is what one principal did, and was allowed or denied.
type Activity struct {
	Principal   string          `json:"principal"` // its name, or the id of a key that nobody here has
	Kind        string          `json:"kind,omitempty"`
	Accountable string          `json:"accountable,omitempty"`
	First       string          `json:"first"`
	Last        string          `json:"last"`
	Records     int             `json:"records"`
	Sealed      int             `json:"sealed"`
	Allowed     int             `json:"allowed"` // decisions and checks
	Denied      int             `json:"denied"`
	Told        int             `json:"told"` // of these, which somebody else signed
	Given       int             `json:"given"`
	Revoked     int             `json:"revoked"`  // grants that it ended
	Received    int             `json:"received"` // grants to it; they count as records of who gave them
	Notes       int             `json:"notes"`
	Tools       []NamedOutcomes `json:"tools"` // calls that ended
	Kinds       []NamedOutcomes `json:"kinds"` // all of its records
	Sessions    []NamedOutcomes `json:"sessions"`
	Intents     []NamedOutcomes `json:"intents"`
	More        struct {
		Tools    int `json:"tools"` // records under names that are not listed
		Kinds    int `json:"kinds"`
		Sessions int `json:"sessions"`
		Intents  int `json:"intents"`
	} `json:"more"`
}

// A Denial is what was denied, once or many times.
type Denial struct {
	Principal string `json:"principal"`      // whom it was denied
	By        string `json:"by,omitempty"`   // who says so, where that is somebody else
	Kind      string `json:"kind"`           // of the records
	Action    string `json:"action"`         // what was asked; "" where the kind says it
	Ref       string `json:"ref,omitempty"`  // it was for
	Reason    string `json:"reason"`         // as the record gives it
	First     string `json:"first"`          // when
	Last      string `json:"last,omitempty"` // of several
	Count     int    `json:"count"`
}

// A Holding is a grant, as it was at the end of a span.
type Holding struct {
	ID          string `json:"id"`
	To          string `json:"to"`
	Kind        string `json:"kind"`
	Accountable string `json:"accountable"`
	Action      string `json:"action"`
	Scope       string `json:"scope"` // in words
	By          string `json:"by"`
	Given       string `json:"given"`
	NotBefore   string `json:"notBefore,omitempty"`
	Until       string `json:"until,omitempty"` // absent: it does not expire
	State       string `json:"state"`
	Ended       string `json:"ended,omitempty"` // when
	EndedBy     string `json:"endedBy,omitempty"`
	Reason      string `json:"reason,omitempty"` // why
}

// A Branch is a ref whose commits were judged.
type Branch struct {
	Ref       string       `json:"ref"`
	Protected bool         `json:"protected"`
	Commits   int          `json:"commits"` // dated in the span
	Verdicts  []NamedCount `json:"verdicts"`
	Codes     []NamedCount `json:"codes"`               // why commits of the span do not verify
	Elsewhere int          `json:"elsewhere"`           // commits that do not verify and are dated outside of the span
	Undecided string       `json:"undecided,omitempty"` // why there is no answer
}

// NamedCount is a word and how often it came.
type NamedCount struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
}

// A Doubt is a commit that does not verify.
type Doubt struct {
	Commit    string   `json:"commit"`
	Ref       string   `json:"ref"`
	Time      string   `json:"time"`      // the committer's, a claim
	Committer string   `json:"committer"` // likewise
	Subject   string   `json:"subject"`
	Verdict   string   `json:"verdict"`
	Codes     []string `json:"codes"`
}

// limits is what every account leaves open.
var limits = []string{
	"A record proves that its key signed it and what it saw before. What it says is its signer's claim: that a tool was called, how it ended, and every time, which is why the order of the log and not the clock says what came first.",
	"Records are picked by the time they claim. Those of the same question outside of the span are counted beside it.",
	"A denial tells what was asked and refused, as its signer says. What was done without asking shows among the commits that do not verify, or not at all.",
	"Newest entries that somebody withholds from this clone cannot be missed without a checkpoint or another ledger that saw them.",
	"What was done outside of this repository is in it only as far as somebody recorded it.",
	"Commits are dated by their committers, and judged by what is known now.",
}

// NewAccount returns an account that says nothing yet.
func NewAccount(run Run, asked Asked) *Account {
	return &Account{
		Type: "audit-report", Made: stamp(run.Now), Version: run.Version, Root: run.Root, Pinned: run.Pinned, Asked: asked, Limits: limits,
		Problems: []Problem{}, Principals: []Activity{}, Denials: []Denial{}, InForce: []Holding{}, Ended: []Holding{}, Refs: []Branch{}, Commits: []Doubt{},
	}
}

// Problem takes in what is wrong with the record, the gravest first.
func (a *Account) Problem(f verdict.Finding) {
	if len(a.Problems) >= maxProblems && !f.Code.Condemns() {
		a.More.Problems++
		return
	}
	p := ProblemOf(f)
	if p.All {
		a.Problems = append([]Problem{p}, a.Problems...)
	} else {
		a.Problems = append(a.Problems, p)
	}
	if n := len(a.Problems) - maxProblems; n > 0 {
		a.Problems, a.More.Problems = a.Problems[:maxProblems], a.More.Problems+n
	}
}

// ProblemOf is a finding as an account has it.
func ProblemOf(f verdict.Finding) Problem {
	return Problem{Code: string(f.Code), Object: clip(f.Object), Message: clip(f.Message), Hint: clip(f.Hint), All: f.Code.Condemns()}
}

// Committers fills in who the listed commits say committed them.
func (a *Account) Committers(of func(commit string) string) {
	for i := range a.Commits {
		a.Commits[i].Committer = clip(of(a.Commits[i].Commit))
	}
}

// broken reports whether nothing in the account can be relied on.
func (a *Account) broken() bool { return len(a.Problems) > 0 && a.Problems[0].All }

// clip is somebody else's text as an account keeps it.
func clip(s string) string {
	const enough = (maxText + 1) * utf8.UTFMax
	return cut(validText(s[:min(len(s), enough)]), maxText)
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return envelope.Timestamp(t)
}
