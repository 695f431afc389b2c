package capabilitycmd

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/git/provenance"
	"github.com/open-covenant/covenant-git/plugins/pluginapi"
	"github.com/open-covenant/covenant-git/runtime/gate"
)

func newExplain(env *cli.Env) *cobra.Command {
	var q asked
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "explain [ENTRY]",
		Short: "Tell why something is allowed or denied, and what would be needed",
		Long: `Tell why something is allowed or denied: the whole line of grants with the one that
refused, and the narrowest grant that would be needed, as a command to type. What a
plugin refuses no grant changes: then it says which. ENTRY is a recorded decision;
without it the question is asked now, as "covenant capability check" asks it. Of the
flags that ask, only --intent goes with ENTRY: a record names the intent it was asked for, if any.`,
		Example: `  covenant capability explain --as coder --action repo.commit --path README.md
  covenant capability explain 9f8e7d6c`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				for _, f := range []string{"as", "action", "path", "ref", "mode", "bytes", "resource"} {
					if cmd.Flags().Changed(f) {
						return cli.Usage("--%s and ENTRY both say what is asked", f)
					}
				}
			}
			c, err := open(cmd.Context(), env)
			if err != nil {
				return err
			}
			defer c.Close()
			if err := c.inForce(); err != nil {
				return err
			}
			if len(args) == 1 {
				return c.recorded(cmd.Context(), args[0], q.intent, asJSON)
			}
			query, err := q.query(c)
			if err != nil {
				return err
			}
			return c.explain(c.reasoned(query, c.rule(cmd.Context(), query)), asJSON)
		},
	}
	q.bind(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// ruling is a decision, and which checker denied it.
type ruling struct {
	capability.Decision
	by string // as in Checkers; "" when it is allowed, and when nobody was asked
}

// rule decides a query as decide does.
func (c *court) rule(ctx context.Context, q *capability.Query) ruling {
	a := c.facts.Authority
	request, err := a.Request(q)
	if err != nil {
		return ruling{Decision: capability.Decision{Reason: err.Error()}}
	}
	asker, plugins := c.Ask(c.facts.Root, a).(*gate.Asker)
	if !plugins {
		r := ruling{Decision: c.decide(q)}
		if !r.Allowed {
			r.by = capability.Name
		}
		return r
	}
	answers, _ := asker.Gate.Ask(ctx, []*pluginapi.Request{request}) // with an error it is denied, and says why
	d := answers[0]
	r := ruling{Decision: a.Conclude(q, request, d.Allowed, d.Chains, d.Checkers, d.Reason, d.Refused), by: d.Checker}
	r.Unanswered = d.Failure != ""
	return r
}

// recorded explains a decision that stands in a ledger, and asks the same again now.
func (c *court) recorded(ctx context.Context, text, intent string, asJSON bool) error {
	f, err := c.Cache(false).Load(ctx, c.Session, c.pin)
	if err != nil {
		return work.Explain(err)
	}
	ids := slices.AppendSeq(f.Decided(), maps.Keys(f.Checked))
	id, err := pick("decision", text, ids, "refusals name theirs; ledgers list them: git log refs/covenant/ledger/provenance/…")
	if err != nil {
		return err
	}
	q, told := c.wasAsked(f, id)
	if !asJSON {
		if _, err := fmt.Fprintf(c.Env.Out, "%s %s\n\n", id.Short(), told); err != nil {
			return err
		}
	}
	q.Intent = cmp.Or(intent, q.Intent)
	if d, ok := f.Decision(id); ok {
		if b := d.Decision; !b.Tree.IsZero() { // else no commit was asked for: a ref was to move
			q.Changes, err = provenance.TouchedBy(c.Session, b.Tree, b.Parents)
		}
	}
	if err != nil {
		return cli.Hint(fmt.Errorf("what it would change is not here: %w", err), "it was a refused change that Git has collected since")
	}
	r := c.rule(ctx, q)
	a := c.reasoned(q, r)
	a.Entry = string(id)
	return c.explain(a, asJSON)
}

// wasAsked is what was asked of the checkers, as a decision or its record tells, and a line about it.
func (c *court) wasAsked(f *provenance.Facts, id envelope.Digest) (*capability.Query, string) {
	word := func(allowed bool) string {
		if allowed {
			return "allowed"
		}
		return "denied"
	}
	if d, ok := f.Decision(id); ok {
		b := d.Decision
		return &capability.Query{KeyID: b.KeyID, Action: b.Action, At: c.Env.Now(), Ref: b.Ref, Intent: b.Intent},
			fmt.Sprintf("%s %s at %s, asked at %s by %s: %s", word(b.Allowed), say.Line(b.Action), d.Header.Time, say.Line(b.Moment), say.Line(c.nameOf(b.KeyID)), say.Line(orNone(b.Reason)))
	}
	k := f.Checked[id]
	q := &capability.Query{KeyID: k.KeyID, Action: k.Action, At: c.Env.Now(), Ref: k.Ref, Intent: k.Intent, Resource: k.Resource}
	for _, p := range k.Paths {
		q.Changes = append(q.Changes, pluginapi.Change{Path: []byte(p), Status: "M"})
	}
	return q, fmt.Sprintf("%s %s at %s, asked of %s: %s", word(k.Allowed), say.Line(k.Action), k.Header.Time, say.Line(c.nameOf(k.KeyID)), say.Line(orNone(k.Reason)))
}

func orNone(s string) string {
	if s == "" {
		return "no reason was given"
	}
	return s
}

// reasoned is the answer to a query with all that is to be said of a denial.
func (c *court) reasoned(q *capability.Query, r ruling) Answer {
	a := c.answer(q, r.Decision)
	if r.Allowed {
		return a
	}
	a.Checker = r.by
	if r.Refused != "" {
		for _, g := range c.facts.Authority.Through(q, r.Refused) {
			a.Line = append(a.Line, string(g.ID))
		}
	}
	p, known := c.facts.Authority.ByKey(q.KeyID)
	plugin, _, _ := strings.Cut(r.by, "@")
	switch {
	case r.Unanswered && r.by == "":
		a.Notes = append(a.Notes, "nobody could be asked, and no grant changes that: covenant plugin doctor")
	case r.Unanswered:
		a.Notes = append(a.Notes, fmt.Sprintf("%s gave no answer, and no grant changes that: covenant plugin verify", plugin))
	case r.by != capability.Name && r.by != "":
		a.Notes = append(a.Notes, fmt.Sprintf("%s, a plugin that the policy pins, refused it, and no grant changes that: covenant policy show", plugin))
	case !known || p.Gone(q.At):
	default:
		if p.Operator {
			a.Notes = append(a.Notes, "the policy does not leave it to operators, who need a grant of it like everybody else: covenant policy show")
		}
		if a.Needed = c.needed(p.Name, q); a.Needed == "" {
			break
		}
		for _, g := range c.facts.Authority.Superseded(p.Name, q.Action, q.At) {
			l := c.listed(g, q.At)
			a.Notes = append(a.Notes, fmt.Sprintf("that grant takes the place of %s's introduction, by which it may %s now,%s", p.Name, l.Action, orWhole(describe(&l))))
		}
	}
	return a
}

// few is how many paths are named one by one.
const few = 50

// needed is the narrowest grant that would allow exactly this, as a command; "" where no grant would.
func (c *court) needed(to string, q *capability.Query) string {
	s, err := capability.Needed(q, few)
	if err != nil { // a record may name anything
		return ""
	}
	return grantCommand(to, q.Action, &s) + " --expires 8h"
}

// grantCommand is the command that grants an action within a scope.
func grantCommand(to, action string, s *capability.Scope) string {
	return "covenant capability grant --to " + say.Shell(to) + " --action " + say.Shell(action) + flags(s)
}

// flags are the flags that say a scope, each with a blank in front.
func flags(s *capability.Scope) string {
	var b strings.Builder
	for _, w := range s.Flags() {
		b.WriteString(" " + say.Shell(w))
	}
	return b.String()
}

func (c *court) explain(a Answer, asJSON bool) error {
	if asJSON {
		if err := c.Env.JSON(a); err != nil {
			return err
		}
		if !a.Allowed {
			return cli.No(nil)
		}
		return nil
	}
	p := c.Env.Palette()
	if a.Allowed {
		if _, err := fmt.Fprintf(c.Env.Out, "%s: %s may %s now, by\n", p.Good("allowed"), say.Line(a.Subject), say.Line(a.Action)); err != nil {
			return err
		}
		if len(a.Grants) == 0 {
			_, err := fmt.Fprintln(c.Env.Out, "  the trust root: an operator needs no grant")
			return err
		}
		return c.line(a.Grants, "")
	}
	if _, err := fmt.Fprintf(c.Env.Out, "%s: %s\n", p.Bad("denied"), say.Line(a.Reason)); err != nil {
		return err
	}
	if err := c.line(a.Line, a.Refused); err != nil {
		return err
	}
	if a.Needed != "" {
		if _, err := fmt.Fprintf(c.Env.Out, "an operator could allow it: %s\n", say.Line(a.Needed)); err != nil {
			return err
		}
	}
	for _, note := range a.Notes {
		if _, err := fmt.Fprintln(c.Env.Out, say.Line(note)); err != nil {
			return err
		}
	}
	return cli.No(nil)
}

// line prints the grants of a line, and marks the one that refused.
func (c *court) line(ids []string, refused string) error {
	for _, id := range ids {
		g, ok := c.facts.Authority.Grant(envelope.Digest(id))
		if !ok {
			return fmt.Errorf("grant %s is not here", id)
		}
		l := c.listed(g, c.Env.Now())
		mark := ""
		if id == refused {
			mark = "  <- refuses"
		}
		if _, err := fmt.Fprintf(c.Env.Out, "  %s, %s: %s to %s, %s%s%s\n", g.ID.Short(), l.State, say.Line(l.By), say.Line(l.Subject), l.Action, say.Line(orWhole(describe(&l))), mark); err != nil {
			return err
		}
	}
	return nil
}
