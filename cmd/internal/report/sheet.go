package report

import (
	"fmt"
	"strings"

	"github.com/open-covenant/covenant-git/cmd/internal/say"
)

// A sheet is a table of an account, as all documents show it.
type sheet struct {
	title, note string
	columns     []string
	rows        [][]cell
	more        string // what is left out, "" for nothing
	nothing     string // what is said when there are no rows; "" leaves the sheet out
	grave       bool
}

// A cell is pieces of text, one after another.
type cell []piece

// A piece of text is ours, or somebody else's.
type piece struct {
	text    string
	foreign bool
}

func ours(format string, a ...any) cell { return cell{{fmt.Sprintf(format, a...), false}} }

func theirs(s string) cell {
	if s == "" {
		return nil
	}
	return cell{{s, true}}
}

// number leaves a nought out, so that what is there stands out.
func number(n int) cell {
	if n == 0 {
		return nil
	}
	return ours("%d", n)
}

func join(cells ...cell) cell {
	var out cell
	for _, c := range cells {
		out = append(out, c...)
	}
	return out
}

func more(n int, what string) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("And %d more %s.", n, what)
}

// instant is a time as people read it.
func instant(s string) cell {
	return ours("%s", strings.TrimSuffix(strings.Replace(s, "T", " ", 1), "Z"))
}

// counted lists what has names: the first few, and how many records the others have.
func counted(list []NamedOutcomes, rest int, skip func(name string) bool) cell {
	var out cell
	n := 0
	for _, x := range list {
		if skip != nil && skip(x.Name) {
			continue
		}
		if n++; n > maxNamed {
			rest += x.total()
			continue
		}
		if n > 1 {
			out = append(out, piece{text: ", "})
		}
		out = append(out, piece{x.Name, true}, piece{text: fmt.Sprintf(" %d", x.total())})
		var not []string
		for _, o := range []struct {
			n    int
			word string
		}{{x.Denied, "denied"}, {x.Failed, "failed"}, {x.Ignored, "ignored"}} {
			if o.n > 0 {
				not = append(not, fmt.Sprintf("%d %s", o.n, o.word))
			}
		}
		if len(not) > 0 {
			out = append(out, piece{text: " (" + strings.Join(not, ", ") + ")"})
		}
	}
	if rest > 0 {
		out = append(out, piece{text: fmt.Sprintf(" and %d under other names", rest)})
	}
	return out
}

// shownApart reports whether a kind has a column of its own.
func shownApart(kind string) bool {
	switch kind {
	case "seal", "gate.decided", "capability.checked", "capability.granted", "capability.revoked", "note", "tool_call_completed":
		return true
	}
	return false
}

// problems is the first sheet, where there is one.
func (a *Account) problems() sheet {
	s := sheet{
		title: "What is wrong with the record", note: "This comes first: what follows is told by the parts of the record that hold.", grave: true,
		columns: []string{"code", "of", "what is wrong", "what to do"}, more: more(a.More.Problems, "problems"),
	}
	if a.broken() {
		s.note = "Entries that others saw are missing here. What ended an authority may be among them: nothing that follows can be relied on."
	}
	for _, p := range a.Problems {
		s.rows = append(s.rows, []cell{theirs(p.Code), theirs(p.Object), theirs(p.Message), theirs(p.Hint)})
	}
	return s
}

// sheets are all others, in their order; the timeline has its place before the third.
func (a *Account) sheets() []sheet {
	return []sheet{a.people(), a.work(), a.denied(), a.holdings("Grants in force at the end of the span", a.InForce, a.More.InForce), a.holdings("Grants that ended in the span", a.Ended, a.More.Ended), a.refs(), a.doubts()}
}

func (a *Account) people() sheet {
	s := sheet{
		title: "Who did what", columns: []string{"who", "answers for it", "first", "last", "records", "commits sealed", "allowed", "denied", "grants given", "received", "revoked", "notes", "tool calls"},
		more: more(a.More.Principals, "principals"), nothing: "Nothing was recorded in the span.",
	}
	for i := range a.Principals {
		p := &a.Principals[i]
		who := theirs(p.Principal)
		if p.Kind != "" && p.Kind != "human" {
			who = join(who, ours(" "), theirs(p.Kind))
		}
		if p.Kind == "" {
			who = join(ours("unknown key "), who)
		}
		answers := theirs(p.Accountable)
		if p.Accountable == p.Principal {
			answers = nil
		}
		denied := number(p.Denied)
		if p.Told > 0 {
			denied = join(denied, ours(" (%d of all decisions told by others)", p.Told))
		}
		calls := 0
		for _, t := range p.Tools {
			calls += t.total()
		}
		s.rows = append(s.rows, []cell{
			who, answers, instant(p.First), instant(p.Last), ours("%d", p.Records), number(p.Sealed), number(p.Allowed), denied,
			number(p.Given), number(p.Received), number(p.Revoked), number(p.Notes), number(calls + p.More.Tools),
		})
	}
	return s
}

func (a *Account) work() sheet {
	s := sheet{title: "With which tools, in which sessions, for what", columns: []string{"who", "tool calls by tool", "other records by kind", "sessions", "intents"}}
	for i := range a.Principals {
		p := &a.Principals[i]
		row := []cell{
			theirs(p.Principal), counted(p.Tools, p.More.Tools, nil), counted(p.Kinds, p.More.Kinds, shownApart), counted(p.Sessions, p.More.Sessions, nil), counted(p.Intents, p.More.Intents, nil),
		}
		if len(row[1])+len(row[2])+len(row[3])+len(row[4]) > 0 {
			s.rows = append(s.rows, row)
		}
	}
	return s
}

func (a *Account) denied() sheet {
	s := sheet{
		title: "Denials", columns: []string{"when", "who", "what", "ref", "why", "times"},
		more: more(a.More.Denials, "denials"), nothing: "Nothing was denied.",
	}
	for i := range a.Denials {
		d := &a.Denials[i]
		when, who, what := instant(d.First), theirs(d.Principal), theirs(d.Action)
		if d.Last != "" {
			when = join(when, ours(" to "), instant(d.Last))
		}
		if d.By != "" {
			who = join(who, ours(", as told by "), theirs(d.By))
		}
		if d.Action == "" || !decides(d.Kind) {
			what = join(theirs(d.Kind), ours(" "), what)
		}
		s.rows = append(s.rows, []cell{when, who, what, theirs(d.Ref), theirs(d.Reason), ours("%d", d.Count)})
	}
	return s
}

func (a *Account) holdings(title string, list []Holding, rest int) sheet {
	s := sheet{title: title, columns: []string{"grant", "to", "action", "scope", "by", "given", "until", "what became of it"}, more: more(rest, "grants"), nothing: "There are none."}
	for i := range list {
		h := &list[i]
		to := theirs(h.To)
		if h.Accountable != h.To {
			to = join(to, ours(" for "), theirs(h.Accountable))
		}
		until, fate := instant(h.Until), ours("%s", h.State)
		if h.Until == "" {
			until = ours("no end")
		}
		if h.State == "pending" {
			fate = join(ours("from "), instant(h.NotBefore))
		}
		if h.Ended != "" {
			fate = join(fate, ours(" "), instant(h.Ended))
		}
		if h.EndedBy != "" {
			fate = join(fate, ours(" by "), theirs(h.EndedBy))
		}
		if h.Reason != "" {
			fate = join(fate, ours(": "), theirs(h.Reason))
		}
		s.rows = append(s.rows, []cell{theirs(shortID(h.ID)), to, theirs(h.Action), theirs(h.Scope), theirs(h.By), instant(h.Given), until, fate})
	}
	return s
}

func (a *Account) refs() sheet {
	s := sheet{
		title: "Commits of protected refs", columns: []string{"ref", "commits", "verdicts", "why not", "do not verify, dated elsewhere"},
		more: more(a.More.Refs, "refs"), nothing: "There is no commit.",
	}
	if len(a.Refs) > 0 && !a.Refs[0].Protected {
		s.title, s.note = "Commits", "The policy protects no ref; these are the commits of the one that is checked out."
	}
	if a.Asked.Principal != "" || a.Asked.Intent != "" {
		s.note = strings.TrimSpace(s.note + " All commits are judged, whoever made them: nobody answers for one without a seal.")
	}
	for i := range a.Refs {
		b := &a.Refs[i]
		verdicts := tallied(b.Verdicts)
		if b.Undecided != "" {
			verdicts = join(ours("no answer: "), theirs(b.Undecided))
		}
		s.rows = append(s.rows, []cell{theirs(b.Ref), number(b.Commits), verdicts, tallied(b.Codes), number(b.Elsewhere)})
	}
	return s
}

func tallied(list []NamedCount) cell {
	var out cell
	for i, x := range list {
		if i > 0 {
			out = append(out, piece{text: ", "})
		}
		out = append(out, piece{x.Name, true}, piece{text: fmt.Sprintf(" %d", x.Count)})
	}
	return out
}

func (a *Account) doubts() sheet {
	s := sheet{title: "Commits that do not verify", columns: []string{"commit", "ref", "when", "committer, as it says", "subject", "verdict", "why"}, more: more(a.More.Commits, "commits: covenant verify REF")}
	for i := range a.Commits {
		c := &a.Commits[i]
		why := cell{}
		for j, code := range c.Codes {
			if j > 0 {
				why = append(why, piece{text: ", "})
			}
			why = append(why, piece{code, true})
		}
		s.rows = append(s.rows, []cell{theirs(c.Commit[:min(12, len(c.Commit))]), theirs(c.Ref), instant(c.Time), theirs(c.Committer), theirs(c.Subject), theirs(c.Verdict), why})
	}
	return s
}

// over is the table that says what the timeline shows.
func (a *Account) over() sheet {
	s := sheet{title: "Over time", columns: []string{"from", "before"}}
	s.columns = append(append(s.columns, classNames[:]...), "of these denied or failed")
	const layout = "2006-01-02 15:04:05"
	for _, p := range a.Timeline.periods() {
		row := []cell{ours("%s", p.from.UTC().Format(layout)), ours("%s", p.to.UTC().Format(layout))}
		for _, n := range p.kinds {
			row = append(row, number(n))
		}
		s.rows = append(s.rows, append(row, number(p.notOK)))
	}
	return s
}

// opening says in a few sentences of what the account is, and what is in it.
func (a *Account) opening() []cell {
	span := ours("All records")
	since, until := a.Asked.Since, a.Asked.Until
	switch {
	case since != "" && until != "":
		span = join(ours("From "), instant(since), ours(" to "), instant(until), ours(" UTC"))
	case since != "":
		span = join(ours("From "), instant(since), ours(" UTC on"))
	case until != "":
		span = join(ours("Up to "), instant(until), ours(" UTC"))
	}
	if a.Asked.Principal != "" {
		span = join(span, ours(", of principal "), theirs(a.Asked.Principal))
	}
	if a.Asked.Intent != "" {
		span = join(span, ours(", for the intent "), theirs(a.Asked.Intent))
	}
	denials, doubts := a.More.Denials, a.More.Commits+len(a.Commits)
	for i := range a.Denials {
		denials += a.Denials[i].Count
	}
	undecided := ""
	for i := range a.Refs {
		if a.Refs[i].Undecided != "" {
			undecided = ", and some could not be judged"
		}
	}
	out := []cell{
		join(span, ours(".")),
		ours("%s by %s, %s, %s not verify%s.", say.Count(a.Records.Counted, "record"), say.Count(len(a.Principals)+a.More.Principals, "principal"),
			say.Count(denials, "denial"), say.Count(doubts, "commit")+map[bool]string{true: " does", false: " do"}[doubts == 1], undecided),
	}
	r := &a.Records
	if n := r.Before + r.After; n > 0 {
		out = append(out, ours("%s of the same question claim a time outside of the span: %d before it, %d after it.", say.Count(n, "record"), r.Before, r.After))
	}
	if r.Ahead > 0 {
		out = append(out, ours("%s claim a time that had not come yet.", say.Count(r.Ahead, "record")))
	}
	if r.Backwards > 0 {
		out = append(out, ours("%d times an entry claims an earlier time than the one before it in its ledger: a clock was set back, or a time is false.", r.Backwards))
	}
	if r.Unreadable > 0 {
		out = append(out, ours("%s cannot be read: the writer signed what is none.", say.Count(r.Unreadable, "recording")))
	}
	if r.Dropped > 0 {
		out = append(out, ours("%d entries were dropped, of any time, and are in no other number; denials are not to be among them. Who dropped what, and why: covenant audit log --kind ledger.pruned", r.Dropped))
	}
	return out
}

// shortID is what people call a statement.
func shortID(id string) string {
	id = strings.TrimPrefix(id, "sha256:")
	return id[:min(12, len(id))]
}
