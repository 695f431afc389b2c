package report

import (
	"cmp"

	"github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/envelope/verdict"
)

// glossary explains the words of a report to who reads one for the first time.
var glossary = []struct{ word, meaning string }{
	{string(verdict.Sealed), "somebody known here signed exactly this commit, and may make it"},
	{string(verdict.Derived), "nobody signed the commit itself, and somebody known here signed each of its changes in other commits"},
	{string(verdict.Exempt), "the policy lets this person's commits go without a seal, and Git's own signature holds"},
	{string(verdict.Unsealed), "nobody known here signed it"},
	{string(verdict.Invalid), "somebody known here signed it, and something is wrong with that"},
	{"accountable", "the human who answers for what an agent or a machine did"},
	{"rewritten by", "who amended, rebased or picked what others had made, and sealed the outcome"},
	{string(provenance.Witness), "(mode) sealed when it was made, after a recorded decision that allowed it"},
	{string(provenance.Vouching), "(mode) sealed after it was made, by somebody who answers for it"},
	{"unattended", "a person's key signed, and no terminal was there"},
	{"own", "(coverage) the commit has a seal of its own"},
	{trust.Blob, "(coverage) its files are, byte for byte, what was sealed in other commits"},
	{trust.Patch, "(coverage) sealed changes, applied to what others had changed meanwhile"},
	{"operator", "a person whom the trust root names to decide who may do what"},
	{"grant", "a signed permission, which an operator gave or somebody who may hand it on"},
	{"open", "(review) the ref has not made that step"},
	{"used", "(review) the ref has made that step"},
	{"stale", "(review) it is of a step that does not lead on from where the ref is"},
}

// legend remembers which words of the glossary a report has.
type legend map[string]bool

func (l legend) add(c Commit) {
	if c.Verdict == verdict.Before {
		return
	}
	for _, w := range []string{string(c.Verdict), string(c.Mode), c.Coverage} {
		l[w] = true
	}
	l["unattended"] = l["unattended"] || c.Unattended
	made, rewrote := c.Everybody()
	if len(rewrote) > 0 {
		l["rewritten by"] = true
	}
	if c.Principal != nil {
		made = append(made, *c.Principal)
	}
	for _, p := range made {
		l["accountable"] = l["accountable"] || p.Accountable != p.Name
	}
	rights := [][]Grant{}
	if c.Verdict == verdict.Sealed {
		rights = append(rights, c.Grants)
	}
	for _, grants := range append(rights, c.Covered...) {
		if grants != nil {
			l[map[bool]string{true: "operator", false: "grant"}[len(grants) == 0]] = true
		}
	}
	for _, r := range c.Reviews {
		l[cmp.Or(r.State, "")] = true
	}
}

// tell calls f for each word that occurred, and reports whether any did.
func (l legend) tell(f func(word, meaning string)) {
	for _, g := range glossary {
		if l[g.word] {
			f(g.word, g.meaning)
		}
	}
}
