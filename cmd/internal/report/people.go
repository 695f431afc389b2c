package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope/verdict"
)

// maxPeople is how many names are told of those who made something.
const maxPeople = 5

// named lists principals as they are called, and counts those that are too many.
func named(list []verdict.Principal, call func(*verdict.Principal) string) string {
	var out []string
	for i := range list {
		if i == maxPeople {
			out = append(out, fmt.Sprintf("and %d more", len(list)-maxPeople))
			break
		}
		out = append(out, call(&list[i]))
	}
	return strings.Join(out, ", ")
}

// signed says who had a hand in what others made: rewrote it, or sealed it again.
func signed(c *verdict.Result, made string, rewrote []verdict.Principal, call func(*verdict.Principal) string) string {
	switch {
	case len(rewrote) > 0:
		return made + ", rewritten by " + named(rewrote, call)
	case len(c.Made) > 0 && !c.Rewritten:
		return made + ", sealed by " + call(c.Principal)
	}
	return made
}

func called(p *verdict.Principal) string { return p.Name }

// Made says who made a commit of somebody's who rewrote it, or sealed it again; "" where who sealed it made it, and of a derived one.
func Made(r *verdict.Result) string {
	if len(r.Made) == 0 {
		return ""
	}
	made, rewrote := r.Everybody()
	s := "made by " + named(made, who)
	if len(rewrote) > 0 {
		s += ", rewritten by " + named(rewrote, called)
	}
	return s
}

// Makers names who made a commit, and who rewrote what others had made, or sealed it again.
func Makers(r *verdict.Result) string {
	made, rewrote := r.Everybody()
	return signed(r, named(made, who), rewrote, called)
}

// CoverBy says who made what a derived commit took from a sealed one, and who rewrote that; of one that is joined, who sealed it.
func CoverBy(c *verdict.Cover) string {
	made := c.Everybody()
	if len(made) == 0 {
		return who(&c.Principal)
	}
	s := named(made, who)
	if c.Rewritten {
		s += ", rewritten by " + called(&c.Principal)
	}
	return s
}

// principals returns the names of who made a commit, with the kind where one is no human, and of the humans who answer for them.
func principals(c Commit) (made, accountable string) {
	list, rewrote := c.Everybody()
	if len(list) == 0 {
		if c.Principal == nil {
			return "", ""
		}
		list = []verdict.Principal{*c.Principal}
	}
	var answer []verdict.Principal
	for _, p := range list {
		if !slices.ContainsFunc(answer, func(a verdict.Principal) bool { return a.Name == p.Accountable }) {
			answer = append(answer, verdict.Principal{Name: p.Accountable})
		}
	}
	made = named(list, func(p *verdict.Principal) string {
		if p.Kind != "human" {
			return p.Name + " (" + p.Kind + ")"
		}
		return p.Name
	})
	return signed(c.Result, made, rewrote, called), named(answer, called)
}

// authority says by what right a commit was made: the grants its seal relies on, or
// that an operator made it.
func authority(c Commit) string {
	switch {
	case !c.Verdict.OK():
		return "none: " + string(c.Verdict)
	case c.Verdict == verdict.Exempt:
		return "exempt by the policy"
	case c.Verdict == verdict.Derived:
		return "that of the sealed commits it is made of"
	}
	return rests(c.Grants)
}

// covered says by what right a cover of a commit was made.
func covered(c Commit, i int) string {
	if i >= len(c.Covered) {
		return rests(nil)
	}
	return rests(c.Covered[i])
}

// rests says what a seal rests on.
func rests(grants []Grant) string {
	switch {
	case grants == nil:
		return "not known here"
	case len(grants) == 0:
		return "operator, by the trust root"
	}
	var parts []string
	for _, g := range grants {
		by := g.By
		if by == "" {
			by = "somebody unknown"
		}
		parts = append(parts, g.ID+" by "+by)
	}
	return "grant " + strings.Join(parts, ", then ")
}

// took says what a derived commit has of a cover.
func took(c *verdict.Cover) string {
	switch {
	case c.Moved:
		return "moved: its maker brought nothing of it" + How(c)
	case c.Joined:
		return "joined: its maker brought nothing of it" + How(c)
	}
	return fmt.Sprintf("%d of %d changes", c.Took, c.Took+len(c.Left)) + How(c)
}

// How says of what a derived commit took from a sealed one what else is to be known of it.
func How(c *verdict.Cover) string {
	s := ""
	if c.Mode == "vouch" {
		s += ", vouched"
	}
	if c.Ported {
		s += ", applied to what others had changed"
	}
	if !c.Here {
		s += ", original not present"
	}
	return s
}
