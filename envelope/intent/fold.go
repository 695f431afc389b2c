package intent

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/canonical"
)

// Fact is one statement about an intent, verified, and what is known of its place among others.
type Fact struct {
	ID     envelope.Digest `json:"id"` // of its entry
	Key    string          `json:"key"`
	By     string          `json:"by,omitempty"` // whose key it is
	Ledger string          `json:"ledger"`
	Seq    uint64          `json:"seq"`
	Time   string          `json:"time"` // as it claims, and not earlier than what stands before it in its ledger

	// Seen is when somebody whose time is believed had seen it: an operator's own entry, when it says; of others the
	// time of the first operator's entry that names it. "" when nobody did.
	Seen string `json:"seen,omitempty"`
	// SeenIn and SeenSeq name that entry, of others.
	SeenIn  string `json:"seenIn,omitempty"`
	SeenSeq uint64 `json:"seenSeq,omitempty"`
	// Saw says how far its writer had seen those other ledgers that have statements which follow the same one.
	Saw map[string]uint64 `json:"saw,omitempty"`

	Opened *Opened `json:"opened,omitempty"`
	Edited *Edited `json:"edited,omitempty"`
	Moved  *Moved  `json:"moved,omitempty"`
}

// about returns the intent that a fact is about, and the statement it follows.
func (f *Fact) about() (ID, envelope.Digest) {
	switch {
	case f.Edited != nil:
		return f.Edited.Intent, f.Edited.After
	case f.Moved != nil:
		return f.Moved.Intent, f.Moved.After
	}
	return IDOf(f.ID), ""
}

// Intent returns the intent that a fact is about.
func (f *Fact) Intent() ID { id, _ := f.about(); return id }

// A Judge tells why the signer of a fact might not do an action on an intent, in a role where there is one; "" when it might.
type Judge func(f *Fact, action string, about ID, role Role) string

// Step is one statement of an intent's life, and whether it counts.
type Step struct {
	Fact
	Why string `json:"why,omitempty"` // it does not count; "" when it does
}

// Intent is what the statements about one come to.
type Intent struct {
	ID        ID              `json:"intent"`
	Entry     envelope.Digest `json:"entry,omitempty"` // that opened it; "" when that is not here
	Fields    Fields          `json:"fields"`
	State     State           `json:"state"`
	Last      envelope.Digest `json:"last,omitempty"`      // the last statement that counts
	Artifacts []Artifact      `json:"artifacts,omitempty"` // shown and not used up, by gate
	Steps     []Step          `json:"steps"`               // the opening, then what counts in its order, then what does not
	Void      string          `json:"void,omitempty"`      // why the opening does not count, and with it nothing else
}

// Counted returns the steps that count, the opening first.
func (s *Intent) Counted() []Step {
	n := slices.IndexFunc(s.Steps, func(x Step) bool { return x.Why != "" })
	if n < 0 {
		n = len(s.Steps)
	}
	return s.Steps[:n]
}

// Lost returns the steps that do not count.
func (s *Intent) Lost() []Step { return s.Steps[len(s.Counted()):] }

// Opening returns the statement that opened the intent; nil where it is not here.
func (s *Intent) Opening() *Step {
	if len(s.Steps) == 0 || s.Steps[0].Opened == nil {
		return nil
	}
	return &s.Steps[0]
}

// Moves returns the moves that count.
func (s *Intent) Moves() []Step {
	var out []Step
	for _, x := range s.Counted() {
		if x.Moved != nil {
			out = append(out, x)
		}
	}
	return out
}

// Open reports whether there is something left to do.
func (s *Intent) Open() bool { return s.Void == "" && s.State != Integrated }

// Digest is what a seal may bind of an intent: the SHA-256 of the canonical JSON of
//
//	{"intent":…,"last":…,"state":…,"type":"intent.state/v1"}
//
// last is the identity of the last statement that counts, which names the one before it, down to the opening.
func (s *Intent) Digest() envelope.Digest {
	b, err := canonical.Marshal(map[string]string{"intent": string(s.ID), "last": string(s.Last), "state": string(s.State), "type": "intent.state/v1"})
	if err != nil {
		return "" // short texts have a form always
	}
	sum := sha256.Sum256(b)
	return envelope.Digest("sha256:" + hex.EncodeToString(sum[:]))
}

// Fold returns what statements about one intent come to. It is a function of the set of them: their order does not matter. Of several that
// follow the same one at most one counts. That is, of those that are legal and that their signers might make: none whose writer had
// seen another of them; then the one that somebody whose time is believed had seen first; then that of whoever made the
// one before; then the earlier one, and the one with the smaller identity.
func Fold(id ID, facts []Fact, judge Judge) *Intent {
	s := &Intent{ID: id}
	follow := map[envelope.Digest][]int{} // statement → those that follow it
	var openings []int
	for i := range facts {
		about, after := facts[i].about()
		switch {
		case about != id:
		case facts[i].Opened != nil:
			openings = append(openings, i)
		default:
			follow[after] = append(follow[after], i)
		}
	}
	why := make([]string, len(facts))
	if len(openings) > 0 {
		first := choose(facts, openings, "")
		s.open(&facts[first], judge)
		for _, i := range openings {
			if i != first {
				why[i] = "another opening has this id"
			}
		}
		why[first] = ""
	} else {
		s.Void = "its opening is not here"
	}
	taken := map[int]bool{}
	for s.Void == "" {
		var legal []int
		for _, i := range follow[s.Last] {
			if why[i] = s.refuses(&facts[i], judge); why[i] == "" {
				legal = append(legal, i)
			}
		}
		if len(legal) == 0 {
			break
		}
		w := choose(facts, legal, s.Steps[len(s.Steps)-1].By)
		for _, i := range legal {
			if i != w {
				why[i] = fmt.Sprintf("%s %s at the same time, and that counts: %s", cmp.Or(facts[w].By, facts[w].Key), facts[w].did(), facts[w].ID.Short())
			}
		}
		taken[w] = true
		s.take(&facts[w])
	}
	s.lose(facts, taken, why)
	return s
}

// lose adds the statements that do not count, the earliest first.
func (s *Intent) lose(facts []Fact, taken map[int]bool, why []string) {
	known := map[envelope.Digest]bool{}
	for i := range facts {
		known[facts[i].ID] = true
	}
	counted := len(s.Steps)
	for i := range facts {
		about, after := facts[i].about()
		if taken[i] || about != s.ID || facts[i].ID == s.Entry {
			continue
		}
		switch {
		case why[i] != "":
		case !known[after]:
			why[i] = "it follows " + after.Short() + ", which is not here"
		case s.Void != "":
			why[i] = s.Void
		default:
			why[i] = "it follows " + after.Short() + ", which does not count"
		}
		s.Steps = append(s.Steps, Step{facts[i], why[i]})
	}
	slices.SortFunc(s.Steps[counted:], func(a, b Step) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Ledger, b.Ledger), cmp.Compare(a.Seq, b.Seq))
	})
}

// did says what a statement did, for people.
func (f *Fact) did() string {
	if f.Moved != nil {
		return "moved it to " + string(f.Moved.To)
	}
	return "edited it"
}

func (s *Intent) open(f *Fact, judge Judge) {
	s.Entry, s.Last, s.Fields, s.State = f.ID, f.ID, f.Opened.Fields, cmp.Or(f.Opened.State, Proposed)
	action := OpenAction
	if f.Opened.State != "" || f.Opened.Imported != nil {
		action = ImportAction
	}
	s.Void = judge(f, action, f.Opened.Parent, "")
	s.Steps = append(s.Steps, Step{*f, s.Void})
}

// With returns the intent as it is after a statement that counts, and follows the last one.
func (s *Intent) With(f *Fact) *Intent {
	out := *s
	lost := slices.Clone(s.Lost())
	out.Steps = slices.Clone(s.Counted())
	out.take(f)
	out.Steps = append(out.Steps, lost...)
	return &out
}

// Next returns what comes of an intent by a statement that follows the last one, or why that does not count; of nil, by one that opens an intent.
// For who follows one way through the statements: what else was said is not looked at, and no steps are kept.
func (s *Intent) Next(f *Fact, judge Judge) (*Intent, string) {
	id, after := f.about()
	if s == nil {
		out := &Intent{ID: id}
		if f.Opened == nil {
			return nil, "its opening is not here"
		}
		out.open(f, judge)
		out.Steps = nil
		return out, out.Void
	}
	switch {
	case id != s.ID:
		return nil, "its statements are about different intents"
	case f.Opened != nil || after != s.Last:
		return nil, "it does not follow " + s.Last.Short()
	}
	if why := s.refuses(f, judge); why != "" {
		return nil, why
	}
	out := *s
	out.Artifacts = slices.Clone(s.Artifacts)
	out.take(f)
	out.Steps = nil
	return &out, ""
}

// take applies a statement that counts.
func (s *Intent) take(f *Fact) {
	s.Steps = append(s.Steps, Step{Fact: *f})
	s.Last = f.ID
	if f.Edited != nil {
		s.Fields = f.Edited.Set
		return
	}
	m := f.Moved
	for _, a := range m.Artifacts {
		s.Artifacts = slices.DeleteFunc(s.Artifacts, func(x Artifact) bool { return x.Gate == a.Gate })
		s.Artifacts = append(s.Artifacts, a)
	}
	slices.SortFunc(s.Artifacts, func(a, b Artifact) int { return cmp.Compare(a.Gate, b.Gate) })
	switch { // what was shown was shown of the work as it was
	case m.From == Integrated, m.From == Blocked:
		s.Artifacts = nil
	case m.To == Repair:
		s.Artifacts = slices.DeleteFunc(s.Artifacts, func(a Artifact) bool {
			g, _ := GuardOf(a.Gate)
			return g.Before != InProgress
		})
	}
	s.State = m.To
	if m.Next != "" {
		s.Fields.Next = m.Next
	}
}

// refuses says why a statement that follows the last one that counts is not legal there, or its signer might not make it.
func (s *Intent) refuses(f *Fact, judge Judge) string {
	if f.Edited != nil {
		if why := judge(f, EditAction, s.ID, ""); why != "" {
			return why
		}
		if slices.ContainsFunc(s.Fields.Gates, func(g Gate) bool { return !slices.Contains(f.Edited.Set.Gates, g) }) {
			return judge(f, WaiveAction, s.ID, "")
		}
		return ""
	}
	if why := s.Legal(f.Moved); why != "" {
		return why
	}
	return judge(f, MoveAction, s.ID, f.Moved.Role)
}

// Legal says why an intent can't be moved so, whoever asks; "" when it can.
func (s *Intent) Legal(m *Moved) string {
	roles := RolesFor(s.State, m.To)
	switch {
	case m.From != s.State:
		return fmt.Sprintf("it says to come from %s, and it was %s", m.From, s.State)
	case roles == nil:
		return fmt.Sprintf("it cannot go from %s to %s", s.State, m.To)
	case !slices.Contains(roles, m.Role):
		return fmt.Sprintf("from %s to %s it goes by %s, not by %s", s.State, m.To, List(roles), m.Role)
	}
	if missing := s.Missing(m.To, m.Artifacts); len(missing) > 0 {
		return fmt.Sprintf("gate %s has no artifact, and it guards %s", List(missing), m.To)
	}
	return ""
}

// Missing returns the gates that guard a state and have nothing to show, with what is shown besides.
func (s *Intent) Missing(to State, more []Artifact) []Gate {
	var out []Gate
	for _, g := range s.Fields.Gates {
		guard, _ := GuardOf(g)
		shown := func(a Artifact) bool { return a.Gate == g }
		if guard.Before == to && !slices.ContainsFunc(s.Artifacts, shown) && !slices.ContainsFunc(more, shown) {
			out = append(out, g)
		}
	}
	return out
}

// choose returns which of several statements that follow the same one counts; by is who made that one.
func choose(facts []Fact, among []int, by string) int {
	earliest := map[string]uint64{} // by ledger
	for _, i := range among {
		if n, ok := earliest[facts[i].Ledger]; !ok || facts[i].Seq < n {
			earliest[facts[i].Ledger] = facts[i].Seq
		}
	}
	first := slices.DeleteFunc(slices.Clone(among), func(i int) bool { // who had seen another comes after it
		f := &facts[i]
		if f.Seq > earliest[f.Ledger] {
			return true
		}
		for name, seq := range f.Saw {
			if n, ok := earliest[name]; ok && name != f.Ledger && n <= seq {
				return true
			}
		}
		return false
	})
	if len(first) == 0 {
		first = among // no honest writers had seen each other's
	}
	return slices.MinFunc(first, func(i, j int) int {
		a, b := &facts[i], &facts[j]
		return cmp.Or(
			order(a.Seen == "", b.Seen == ""), cmp.Compare(a.Seen, b.Seen),
			order(a.By != by, b.By != by),
			cmp.Compare(a.Time, b.Time), cmp.Compare(a.ID, b.ID),
		)
	})
}

func order(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// Follows returns the statement that a fact follows; "" of an opening.
func (f *Fact) Follows() envelope.Digest { _, after := f.about(); return after }
