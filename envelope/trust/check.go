package trust

import (
	"slices"
	"time"
)

// Check says what counts as evidence of a name. A field that is absent demands nothing; a name without a check takes what anybody
// known here recorded under it.
type Check struct {
	Command    []string `json:"command,omitempty"` // exactly this was run
	Kinds      []string `json:"kinds,omitempty"`   // kinds of principals whose evidence counts
	MaxAge     string   `json:"maxAge,omitempty"`  // Go duration: no older than that
	Name       string   `json:"name"`
	Principals []string `json:"principals,omitempty"` // whose evidence counts
}

// Limits of a check.
const (
	maxChecks  = 256
	maxCommand = 1024     // arguments
	maxArgv    = 64 << 10 // bytes of all of them
)

func (p *Policy) checkChecks() error {
	if len(p.Checks) > maxChecks {
		return badPolicy("checks: %d, at most %d may be", len(p.Checks), maxChecks)
	}
	for i, c := range p.Checks {
		size := 0
		for _, a := range c.Command {
			size += len(a)
		}
		d, err := time.ParseDuration(c.MaxAge)
		switch {
		case !ValidName(c.Name):
			return badPolicy("checks[%d].name: %.80q is no name", i, c.Name)
		case i > 0 && p.Checks[i-1].Name >= c.Name:
			return badPolicy("checks: out of order, or twice, at %q", c.Name)
		case c.MaxAge != "" && (err != nil || d <= 0):
			return badPolicy("checks[%d].maxAge: %.40q is no duration such as 24h", i, c.MaxAge)
		case len(c.Command) > maxCommand || size > maxArgv || (len(c.Command) > 0 && c.Command[0] == ""):
			return badPolicy("checks[%d].command: %d arguments, %d bytes", i, len(c.Command), size)
		case len(c.Command)+len(c.Kinds)+len(c.Principals) == 0 && c.MaxAge == "":
			return badPolicy("checks[%d] demands nothing of %q", i, c.Name)
		}
		if err := list("checks.kinds", c.Kinds, 3, oneOf(string(Agent), string(Automation), string(Human))); err != nil {
			return err
		}
		if err := list("checks.principals", c.Principals, maxNames, validName); err != nil {
			return err
		}
	}
	return nil
}

// CheckOf returns what counts as evidence of a name.
func (p *Policy) CheckOf(name string) Check {
	if p != nil {
		if i := slices.IndexFunc(p.Checks, func(c Check) bool { return c.Name == name }); i >= 0 {
			return p.Checks[i]
		}
	}
	return Check{Name: name}
}

// WantsEvidence reports whether the policy demands any evidence.
func (p *Policy) WantsEvidence() bool {
	return p != nil && (len(p.Evidence) > 0 || slices.ContainsFunc(p.Rules, func(r Rule) bool { return len(r.Evidence) > 0 }))
}

// WantsReviews reports whether the policy asks for any review.
func (p *Policy) WantsReviews() bool {
	return p != nil && (p.Reviews > 0 || slices.ContainsFunc(p.Rules, func(r Rule) bool { return r.Reviews > 0 }))
}

// Age returns how old evidence may be; false when it may have any age.
func (c *Check) Age() (time.Duration, bool) {
	d, err := time.ParseDuration(c.MaxAge)
	return d, err == nil && c.MaxAge != ""
}
