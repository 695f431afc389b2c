package intent

import (
	"fmt"
	"slices"
	"strings"
)

// State is where an intent is in its life.
type State string

// States.
const (
	Proposed    State = "proposed"
	Triaged     State = "triaged"
	Planned     State = "planned"
	InProgress  State = "in_progress"
	SelfReview  State = "self_review"
	CrossReview State = "cross_review"
	Validation  State = "validation"
	Repair      State = "repair"
	Ready       State = "ready"
	Integrated  State = "integrated"
	Blocked     State = "blocked"
)

// States lists them in the order of a life without trouble.
var States = []State{Proposed, Triaged, Planned, InProgress, SelfReview, CrossReview, Validation, Repair, Ready, Integrated, Blocked}

// Role is in which part somebody acts on an intent.
type Role string

// Roles.
const (
	Strategist       Role = "strategist"
	Planner          Role = "planner"
	Implementer      Role = "implementer"
	Reviewer         Role = "reviewer"
	SecurityReviewer Role = "security_reviewer"
	Verifier         Role = "verifier"
	ReleaseOperator  Role = "release_operator"
)

// Roles lists them.
var Roles = []Role{Strategist, Planner, Implementer, Reviewer, SecurityReviewer, Verifier, ReleaseOperator}

// Priority says how soon an intent wants to be worked on.
type Priority string

// Priorities.
const (
	Low      Priority = "low"
	Medium   Priority = "medium"
	High     Priority = "high"
	Critical Priority = "critical"
)

// Priorities lists them, the least first.
var Priorities = []Priority{Low, Medium, High, Critical}

// Gate is something that must be shown before an intent reaches the state that the gate guards.
type Gate string

// Gates.
const (
	PlanGate          Gate = "plan"
	FanOutGate        Gate = "fan_out"
	TestExpansionGate Gate = "test_expansion"
	SecurityGate      Gate = "security"
	DocsGate          Gate = "docs"
	EscalationGate    Gate = "escalation"
)

// Guard says what a gate is about, and which state it guards.
type Guard struct {
	Gate   Gate
	Before State
	Wants  string // what its artifact is, for people
}

// Guards lists the gates.
var Guards = []Guard{
	{PlanGate, InProgress, "the plan that was agreed on"},
	{FanOutGate, InProgress, "how the work is split, and who has which paths"},
	{TestExpansionGate, Validation, "the tests that were added"},
	{SecurityGate, Ready, "the security review"},
	{DocsGate, Ready, "the documents that were changed"},
	{EscalationGate, Integrated, "what the person decided to whom it was escalated"},
}

// GuardOf returns what is known of a gate.
func GuardOf(g Gate) (Guard, bool) {
	i := slices.IndexFunc(Guards, func(x Guard) bool { return x.Gate == g })
	if i < 0 {
		return Guard{}, false
	}
	return Guards[i], true
}

// A way is one step that an intent may go, and in which roles somebody may take it there. The first is taken where nobody says.
type way struct {
	from, to State
	roles    []Role
}

var (
	planning    = []Role{Planner, Strategist}
	making      = []Role{Implementer}
	reviewing   = []Role{Reviewer, SecurityReviewer}
	verifying   = []Role{Verifier}
	releasing   = []Role{ReleaseOperator}
	stopping    = []Role{Implementer, Planner, Strategist, Reviewer, SecurityReviewer, Verifier, ReleaseOperator}
	triaging    = []Role{Planner, Strategist}
	takingBack  = []Role{ReleaseOperator, Verifier}
	opening     = []Role{ReleaseOperator, Planner, Strategist}
	examining   = []Role{Implementer, Reviewer, SecurityReviewer}
	transitions = []way{
		{Proposed, Triaged, triaging},
		{Triaged, Planned, planning},
		{Planned, InProgress, making},
		{InProgress, SelfReview, making},
		{SelfReview, CrossReview, making},
		{SelfReview, Validation, making},
		{SelfReview, Repair, examining},
		{CrossReview, Validation, reviewing},
		{CrossReview, Repair, reviewing},
		{Validation, Repair, verifying},
		{Repair, Validation, making},
		{Validation, Ready, verifying},
		{Ready, Repair, takingBack},
		{Ready, Integrated, releasing},
		{Integrated, Triaged, opening},
		{Blocked, Triaged, triaging},
		{Proposed, Blocked, stopping},
		{Triaged, Blocked, stopping},
		{Planned, Blocked, stopping},
		{InProgress, Blocked, stopping},
	}
)

// RolesFor returns in which roles an intent may be taken from one state to another; none where it may not at all.
func RolesFor(from, to State) []Role {
	for _, w := range transitions {
		if w.from == from && w.to == to {
			return w.roles
		}
	}
	return nil
}

// After returns where an intent may go from a state.
func After(from State) []State {
	var out []State
	for _, w := range transitions {
		if w.from == from {
			out = append(out, w.to)
		}
	}
	return out
}

// Path returns the shortest way from one state to another, without the first and with the last; nil where there is none.
func Path(from, to State) []State {
	type at struct {
		state State
		path  []State
	}
	seen := map[State]bool{from: true}
	for todo := []at{{state: from}}; len(todo) > 0; todo = todo[1:] {
		for _, next := range After(todo[0].state) {
			path := append(slices.Clone(todo[0].path), next)
			if next == to {
				return path
			}
			if next == Blocked || seen[next] {
				continue
			}
			seen[next] = true
			todo = append(todo, at{next, path})
		}
	}
	return nil
}

// ParseState reads a state as people type it: "-" is as good as "_".
func ParseState(s string) (State, error) { return word("state", s, States) }

// ParseRole reads a role likewise.
func ParseRole(s string) (Role, error) { return word("role", s, Roles) }

// ParsePriority reads a priority likewise.
func ParsePriority(s string) (Priority, error) { return word("priority", s, Priorities) }

// ParseGate reads the name of a gate likewise.
func ParseGate(s string) (Gate, error) {
	all := make([]Gate, 0, len(Guards))
	for _, g := range Guards {
		all = append(all, g.Gate)
	}
	return word("gate", s, all)
}

func word[T ~string](what, s string, all []T) (T, error) {
	v := T(strings.ReplaceAll(strings.ToLower(s), "-", "_"))
	if slices.Contains(all, v) {
		return v, nil
	}
	return "", fmt.Errorf("%w: there is no %s %.40q; there are %s", ErrInvalid, what, s, List(all))
}

// List names words for people.
func List[T ~string](all []T) string {
	parts := make([]string, 0, len(all))
	for _, x := range all {
		parts = append(parts, string(x))
	}
	return strings.Join(parts, ", ")
}
