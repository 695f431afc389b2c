package verdict

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

// Codes of what is wrong with required evidence.
const (
	EvidenceMissing Code = "evidence.missing"
	EvidenceFailed  Code = "evidence.failed"
	EvidenceStale   Code = "evidence.stale"
	EvidenceAuthor  Code = "evidence.author"
)

// Proof is what is true of one statement of evidence about a commit's tree, whoever asks.
type Proof struct {
	ID     envelope.Digest `json:"id"`
	KeyID  string          `json:"key"`
	Name   string          `json:"name"`
	Argv   []string        `json:"argv,omitempty"`
	Dir    string          `json:"dir,omitempty"` // below the top, where it ran
	Passed bool            `json:"passed,omitempty"`
	Exit   int             `json:"exit"`
	Failed uint64          `json:"failed,omitempty"`  // tests, as its report counts
	Edited bool            `json:"changed,omitempty"` // it changed files of the tree
	Time   string          `json:"time"`              // it claims, or when somebody accountable saw it, if that was before
	Order  int             `json:"order"`             // in its ledger
	Seen   string          `json:"seen,omitempty"`    // when somebody accountable first saw it
}

// seen is when somebody accountable first saw it, else now.
func (p *Proof) seen(now time.Time) time.Time {
	if at, err := time.Parse(time.RFC3339, p.Seen); err == nil {
		return at
	}
	return now
}

// Ahead is how far a clock may go before ours.
const Ahead = 5 * time.Minute

// how says how it ended, for people.
func (p *Proof) how() string {
	out := fmt.Sprintf("exit %d", p.Exit)
	if p.Failed == 1 {
		out += ", and 1 test failed"
	} else if p.Failed > 1 {
		out += fmt.Sprintf(", and %d tests failed", p.Failed)
	}
	if p.Edited {
		out += ", and it changed files of the tree"
	}
	return out
}

// Prove returns what keeps evidence about a tree from being what a check demands; nil where it is that. Of each signer the newest
// run in each directory counts: who ran it again and saw it fail takes the pass before that back, and one elsewhere is no other; of
// its own runs and nobody else's. Where the check says which command, that is a run at the top. Its age is asked for at a moment; now is
// when that is asked.
func (w *World) Prove(c trust.Check, proofs []Proof, at, now time.Time) *Finding {
	newest := map[string]map[string]*Proof{} // of signers, by directories
	var elsewhere *Proof
	for i := range proofs {
		p := &proofs[i]
		who, known := w.Principal(p.KeyID)
		when, err := time.Parse(time.RFC3339, p.Time)
		if p.Name != c.Name || (len(c.Command) > 0 && !slices.Equal(p.Argv, c.Command)) || !known || err != nil || w.Left(p.KeyID, when) {
			continue
		}
		if len(c.Command) > 0 && p.Dir != "" {
			elsewhere = p
			continue
		}
		if newest[who.Name] == nil {
			newest[who.Name] = map[string]*Proof{}
		}
		if old := newest[who.Name][p.Dir]; old == nil || cmp.Or(cmp.Compare(old.Time, p.Time), cmp.Compare(old.Order, p.Order), cmp.Compare(old.ID, p.ID)) < 0 {
			newest[who.Name][p.Dir] = p
		}
	}
	var by time.Time // as of now, all that was revoked counts
	if at.Before(now) {
		by = at
	}
	var failed, stale, author *Finding
	for _, name := range slices.Sorted(maps.Keys(newest)) {
		good, bad := false, false
		for _, dir := range slices.Sorted(maps.Keys(newest[name])) {
			f := w.prove(c, newest[name][dir], at, now, by)
			switch {
			case f == nil:
				good = true
			case f.Code == EvidenceFailed:
				failed, bad = f, true
			case f.Code == EvidenceStale:
				stale = f
			case f.Code == EvidenceAuthor:
				author = f
			}
		}
		if good && !bad {
			return nil
		}
	}
	for _, f := range []*Finding{failed, stale, author} {
		if f != nil {
			return f
		}
	}
	msg := "nobody ran " + c.Name + " on its tree"
	if len(c.Command) > 0 {
		msg += " as the command that is asked for"
	}
	if elsewhere != nil {
		msg += fmt.Sprintf(", at the top; it was run in %q", elsewhere.Dir)
	}
	return &Finding{Code: EvidenceMissing, Message: msg}
}

// prove returns what keeps one run from being what a check demands. One without a code says nothing: it failed, and would not have counted.
func (w *World) prove(c trust.Check, p *Proof, at, now, by time.Time) *Finding {
	who, _ := w.Principal(p.KeyID)
	when, _ := time.Parse(time.RFC3339, p.Time)
	age, limited := c.Age()
	say := func(code Code, format string, a ...any) *Finding {
		return &Finding{Code: code, Object: string(p.ID), Message: fmt.Sprintf(format, a...)}
	}
	none := EvidenceAuthor
	if !p.Passed {
		none = ""
	}
	switch {
	case len(c.Kinds) > 0 && !slices.Contains(c.Kinds, who.Kind):
		return say(none, "%s was run by %s, of kind %s; only runs of kind %s count", c.Name, who.Name, who.Kind, strings.Join(c.Kinds, " or "))
	case len(c.Principals) > 0 && !slices.Contains(c.Principals, who.Name):
		return say(none, "%s was run by %s; only runs of %s count", c.Name, who.Name, strings.Join(c.Principals, " or "))
	case len(c.Kinds)+len(c.Principals) > 0 && w.Endorsed != nil && !w.Endorsed(p.KeyID, p.seen(now)): // who hands on grants chooses names and kinds
		return say(none, "%s was run by %s, who held nothing from an operator when somebody else saw that", c.Name, who.Name)
	case w.Stripped != nil && w.Stripped(p.KeyID, by):
		return say(none, "%s was run by %s, to whom all was revoked that was granted", c.Name, who.Name)
	case !p.Passed:
		in := ""
		if p.Dir != "" {
			in = fmt.Sprintf(" in %q", p.Dir)
		}
		return say(EvidenceFailed, "%s did not pass when %s ran it%s: %s", c.Name, who.Name, in, p.how())
	case when.After(now.Add(Ahead)):
		return say(EvidenceStale, "%s, by %s, claims a time that has not come: %s", c.Name, who.Name, p.Time)
	case limited && at.Sub(when) > age:
		return say(EvidenceStale, "%s, by %s, is of %s, and no older than %s may be", c.Name, who.Name, p.Time, c.MaxAge)
	}
	return nil
}

// proofs returns the names of the evidence that a policy demands where these paths change, sorted.
func proofs(p *trust.Policy, touched []pluginapi.Change, more []string) []string {
	if p == nil {
		return nil
	}
	names := slices.Clone(p.Evidence)
	for _, path := range more {
		for _, rule := range p.RulesFor(path) {
			names = append(names, rule.Evidence...)
		}
	}
	for i := range touched {
		for _, rule := range p.RulesFor(string(touched[i].Path)) {
			names = append(names, rule.Evidence...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// unproven returns what of the evidence is not there that the policy demands of a commit on a protected ref. It is asked for on the
// commit's own tree, of the commits that the ref was at, or is to be at, for all that came by that move: not of those between. Its age is that of when the ref was
// first admitted to hold the commit, else that of now: what was fresh when it came in, by who had not lost all grants then, does not turn red later; nor does what was
// admitted when nobody asked for it.
func (e *Exam) unproven(w *World, ref string, now time.Time) []Finding {
	if e.Advance != nil && !e.Advance.End {
		return nil
	}
	var paths []string
	if e.Advance != nil {
		paths = e.Advance.Paths
	}
	then := proofs(e.Advance.policy(w), e.Touched, paths)
	var out []Finding
	for _, name := range proofs(w.Policy, e.Touched, paths) {
		if _, asked := slices.BinarySearch(then, name); !asked {
			continue
		}
		check := w.Policy.CheckOf(name)
		f := w.Prove(check, e.Proofs, now, now)
		if f != nil && (f.Code == EvidenceStale || f.Code == EvidenceAuthor) {
			for at, in := range e.admitted(w, "", now) {
				if in.Ref == ref && w.Prove(check, e.thereWhen(w, in, at), at, now) == nil {
					f = nil
					break
				}
			}
		}
		if f == nil {
			continue
		}
		if f.Message += ": required on " + ref; f.Object == "" {
			f.Object = e.Commit.String()
		}
		f.Hint = "covenant evidence run --name " + name + " --tree " + e.Commit.Short() + " -- " + shell(check.Command)
		switch {
		case len(check.Principals) > 0:
			f.Hint = "by " + strings.Join(check.Principals, " or ") + ": " + f.Hint
		case len(check.Kinds) > 0:
			f.Hint = "by a principal of kind " + strings.Join(check.Kinds, " or ") + " (covenant identity list): " + f.Hint
		}
		out = append(out, *f)
	}
	return out
}

// thereWhen returns the evidence that was there when a ref was admitted to hold the commit: who runs something later, or says to have run it
// before, makes nothing of it that was fresh then. It was when somebody else accountable had seen it by then; and what stands before that, of
// who admitted the ref, and of operators, whose time is believed.
func (e *Exam) thereWhen(w *World, in Admission, at time.Time) []Proof {
	by, _ := w.Principal(in.KeyID)
	var out []Proof
	for _, p := range e.Proofs {
		who, _ := w.Principal(p.KeyID)
		if seen, err := time.Parse(time.RFC3339, p.Seen); err != nil || seen.After(at) {
			if when, err := time.Parse(time.RFC3339, p.Time); err != nil || when.After(at) || who.Name != by.Name && !w.Operator(p.KeyID) {
				continue
			}
		}
		out = append(out, p)
	}
	return out
}

// shell writes a command as people type it.
func shell(argv []string) string {
	if len(argv) == 0 {
		return "COMMAND"
	}
	out := make([]string, len(argv))
	for i, a := range argv {
		if out[i] = a; a == "" || strings.ContainsFunc(a, func(r rune) bool {
			return r != '/' && r != '.' && r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
		}) {
			out[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(out, " ")
}
