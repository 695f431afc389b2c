package capabilitycmd

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
)

// Listed is one line of list and show with --json.
type Listed struct {
	Type      string           `json:"type"` // "grant" or "request"
	ID        string           `json:"id"`
	Subject   string           `json:"subject"`
	Action    string           `json:"action"`
	State     capability.State `json:"state"` // of a request: open, granted or declined
	Scope     capability.Scope `json:"scope"`
	By        string           `json:"by,omitempty"` // who gave it
	Time      string           `json:"time"`
	NotBefore string           `json:"notBefore,omitempty"`
	Expires   string           `json:"expires,omitempty"`
	Delegable int              `json:"delegable"`
	Parent    string           `json:"parent,omitempty"`
	Reason    string           `json:"reason,omitempty"` // of a revocation, or a request; why an introduction gives nothing more

	answer   string // to a request, for people
	replaced bool   // an introduction, which gives nothing more
}

func (c *court) listed(g capability.Given, now time.Time) Listed {
	l := Listed{
		Type: "grant", ID: string(g.ID), Subject: g.Granted.Subject.Name, Action: g.Granted.Action, State: c.facts.Authority.State(g.ID, now), Scope: g.Granted.Scope,
		By: c.nameOf(g.KeyID), Time: envelope.Timestamp(g.Time), NotBefore: g.Granted.NotBefore, Expires: c.facts.Authority.Expires(g), Delegable: g.Granted.Delegable, Parent: string(g.Granted.Parent),
	}
	if e, ok := c.facts.Authority.End(g.ID, time.Time{}); ok {
		l.Reason = e.Revocation.Reason
	}
	if l.Expires != g.Granted.Expires { // an introduction, since something else was granted
		f := c.facts.Authority.Became(g.ID, now)
		l.replaced, l.Reason = true, cmp.Or(l.Reason, f.Why)
		if !f.Since.IsZero() {
			l.Expires = envelope.Timestamp(f.Since)
		}
	}
	return l
}

func (c *court) wished(w *capability.Wish) Listed {
	l := Listed{
		Type: "request", ID: string(w.ID), Subject: c.nameOf(w.KeyID), Action: w.Action, State: capability.Open, Scope: w.Scope,
		Time: envelope.Timestamp(w.Time), Expires: w.Expires, Delegable: w.Delegable, Reason: w.Reason,
	}
	if c.answered(l.Subject, w) {
		l.State = capability.Met
	} else if d, no := c.facts.Declined[w.ID]; no {
		l.State, l.answer = capability.Unmet, "declined by "+d.By
		if d.Reason != "" {
			l.answer += ": " + d.Reason
		}
	}
	return l
}

func (c *court) nameOf(keyID string) string {
	if p, ok := c.facts.Authority.ByKey(keyID); ok {
		return p.Name
	}
	return keyID
}

// listedStates are those that the list has.
var listedStates = []capability.State{capability.Active, capability.Expired, capability.Ending, capability.Pending, capability.Open}

func newList(env *cli.Env) *cobra.Command {
	var asJSON bool
	var to, state string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List grants and what became of them, and requests",
		Long: `List the grants of this repository, oldest first, with what they are now: active,
expired, revoked or pending (not yet in force); then the requests that nobody has
granted since, which are open.`,
		Example: `  covenant capability list
  covenant capability list --to coder --json | jq 'select(.state=="active")'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if state != "" && !slices.Contains(listedStates, capability.State(state)) {
				return cli.Usage("--state %.40q: it is one of active, expired, revoked, pending, open", state)
			}
			c, err := open(cmd.Context(), env)
			if err != nil {
				return err
			}
			defer c.Close()
			now := env.Now()
			lines := make([]Listed, 0, len(c.facts.Grants))
			for _, g := range c.facts.Authority.Grants() {
				lines = append(lines, c.listed(g, now))
			}
			for i := range c.facts.Wishes {
				w := &c.facts.Wishes[i]
				if _, ok := c.facts.Authority.ByKey(w.KeyID); !ok {
					continue
				}
				if l := c.wished(w); l.State == capability.Open {
					lines = append(lines, l)
				}
			}
			for _, l := range lines {
				if (to != "" && l.Subject != to) || (state != "" && string(l.State) != state) {
					continue
				}
				if err := l.print(env, asJSON); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "only what this principal holds or asks for")
	cmd.Flags().StringVar(&state, "state", "", "only active, expired, revoked, pending or open ones")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per grant")
	return cmd
}

// answered reports whether a grant of what was asked for came after a request.
func (c *court) answered(name string, w *capability.Wish) bool {
	return slices.ContainsFunc(c.facts.Authority.Grants(), func(g capability.Given) bool {
		x := &g.Granted
		return !x.Introduction && x.Subject.Name == name && capability.Covers(x.Action, w.Action) && !g.Time.Before(w.Time) &&
			(x.Scope.Beyond(&w.Scope) == "" || w.Scope.Beyond(&x.Scope) == "")
	})
}

func (l *Listed) print(env *cli.Env, asJSON bool) error {
	if asJSON {
		return env.JSON(l)
	}
	p := env.Palette()
	word, reason := fmt.Sprintf("%-8s", l.State), ""
	if l.replaced {
		reason = ": " + l.Reason
	}
	switch {
	case l.Type == "request":
		word = p.Warn("request ")
		if l.Reason != "" {
			reason = ": " + l.Reason
		}
	case l.State == capability.Active:
		word = p.Good(word)
	default:
		word = p.Dim(word)
	}
	_, err := fmt.Fprintf(env.Out, "%s %s %-16s %s%s%s\n", word, envelope.Digest(l.ID).Short(), say.Line(l.Subject), l.Action, say.Line(describe(l)), say.Line(reason))
	return err
}

// describe tells the limits of a grant in the flags that make them.
func describe(l *Listed) string {
	var b strings.Builder
	add := func(flag, value string) { b.WriteString(" --" + flag + " " + say.Shell(value)) }
	b.WriteString(flags(&l.Scope))
	if l.NotBefore != "" {
		add("not-before", l.NotBefore)
	}
	if l.Expires != "" && !l.replaced {
		add("expires", l.Expires)
	}
	if l.Delegable > 0 {
		add("delegable", fmt.Sprint(l.Delegable))
	}
	return b.String()
}

func newShow(env *cli.Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show a grant and those it rests on, or a request",
		Long: `Show a grant and those it rests on, the operator's first: all of them must allow what is
asked. Or show a request: who asks for what, why, and whether it was granted since.`,
		Example: "  covenant capability show 1a2b3c4d",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := open(cmd.Context(), env)
			if err != nil {
				return err
			}
			defer c.Close()
			var ids []envelope.Digest
			requests := map[envelope.Digest]*capability.Wish{}
			for i := range c.facts.Wishes {
				w := &c.facts.Wishes[i]
				requests[w.ID] = w
				ids = append(ids, w.ID)
			}
			for _, g := range c.facts.Authority.Grants() {
				ids = append(ids, g.ID)
			}
			id, err := pick("grant or request", args[0], ids, seeList)
			if err != nil {
				return err
			}
			if w, ok := requests[id]; ok {
				l := c.wished(w)
				if asJSON {
					return env.JSON(l)
				}
				end := ""
				if l.answer != "" {
					end = "  " + say.Line(l.answer) + "\n"
				}
				_, err := fmt.Fprintf(env.Out, "request %s, %s\n  %s asked for %s at %s: %s\n %s\n%s", id.Short(), l.State, say.Line(l.Subject), l.Action, l.Time, say.Line(orNone(l.Reason)), say.Line(orWhole(describe(&l))), end)
				return err
			}
			for _, g := range c.facts.Authority.Line(id) {
				l := c.listed(g, env.Now())
				if asJSON {
					err = env.JSON(l)
				} else {
					err = c.story(l)
				}
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per grant of the line")
	return cmd
}

func (c *court) story(l Listed) error {
	end := ""
	if e, ok := c.facts.Authority.End(envelope.Digest(l.ID), time.Time{}); ok {
		end = "\n  revoked" + say.Line(c.ending(envelope.Digest(l.ID), e))
	} else if l.replaced {
		end = "\n  until " + l.Expires + ": " + l.Reason
	}
	_, err := fmt.Fprintf(c.Env.Out, "grant %s, %s\n  %s gave %s %s at %s\n %s%s\n", l.ID, l.State, say.Line(l.By), say.Line(l.Subject), l.Action, l.Time, say.Line(limits(&l)), end)
	return err
}

// limits are those of a grant itself; of one that was handed on, those of what it rests on hold, too.
func limits(l *Listed) string {
	if d := describe(l); d != "" {
		return d
	}
	if l.Parent != "" {
		return " no more than the grant before it"
	}
	return orWhole("")
}

// ending tells by whom a grant was revoked, when and why, and with which grant it ended.
func (c *court) ending(id envelope.Digest, e capability.Ended) string {
	s := fmt.Sprintf(" by %s at %s", c.nameOf(e.KeyID), envelope.Timestamp(e.Time))
	if e.Revocation.Reason != "" {
		s += ": " + e.Revocation.Reason
	}
	if e.Revocation.Grant != id {
		s += " (with grant " + e.Revocation.Grant.Short() + ")"
	}
	return s
}

func orWhole(s string) string {
	if s == "" {
		return " without limits"
	}
	return s
}
