package capabilitycmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/canonical"
	"github.com/open-covenant/covenant-git/envelope/capability"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/git/provenance"
	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

// asked is a question on the command line.
type asked struct {
	as, action, ref, intent, resource, mode string
	paths                                   []string
	size                                    int64
}

func (q *asked) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&q.as, "as", "", "who asks: a name or a key id (default: who acts here)")
	f.StringVar(&q.action, "action", "", "what is asked for, such as repo.commit")
	f.StringArrayVar(&q.paths, "path", nil, "path that changes; may be repeated")
	f.StringVar(&q.ref, "ref", "", "ref it is for: a full name, or a branch (default: the branch you are on)")
	f.StringVar(&q.intent, "intent", "", "intent it is for")
	f.StringVar(&q.mode, "mode", "100644", "file mode the paths come to have")
	f.Int64Var(&q.size, "bytes", 0, "bytes of new content of each path")
	f.StringVar(&q.resource, "resource", "", "of actions that are not repo.*: what is acted on, a JSON object by the fields of the scope")
}

func (q *asked) query(c *court) (*capability.Query, error) {
	a := c.facts.Authority
	if q.action == "" {
		return nil, cli.Hint(cli.Usage("no action"), "name one: --action repo.commit")
	}
	if err := capability.CheckAction(q.action); err != nil {
		return nil, usage(err)
	}
	out := &capability.Query{Action: q.action, At: c.Env.Now(), Intent: q.intent}
	switch p, ok := a.ByName(q.as); {
	case q.as == "":
		h, err := provenance.ChooseHand(c.Session.Repo(), a, c.Choice())
		if err != nil {
			return nil, work.Explain(err)
		}
		out.KeyID = h.Signer.Public().ID()
	case ok:
		out.KeyID = p.Keys[len(p.Keys)-1].ID()
		for _, k := range p.Keys { // the key that holds a grant, when there are several
			if r, err := a.Request(&capability.Query{KeyID: k.ID(), Action: q.action, At: out.At}); err == nil && len(r.Chains) > 0 {
				out.KeyID = k.ID()
			}
		}
	default:
		if _, ok := a.ByKey(q.as); !ok {
			return nil, cli.Hint(fmt.Errorf("nobody of the name or key %q is known here", q.as), "see who is: covenant identity list")
		}
		out.KeyID = q.as
	}
	var sp provenance.Span
	if q.ref != "" {
		sp.Names = []string{q.ref}
	}
	ref, err := sp.UnderReview(c.Session)
	switch {
	case err != nil:
		return nil, err
	case q.ref == "":
		if ref, err = c.Session.HeadRef(); err != nil {
			return nil, err
		}
	case ref == "":
		ref = provenance.FullRef(q.ref) // it need not be there yet
	}
	out.Ref = ref
	diff := make([]prov.Raw, 0, len(q.paths))
	for _, p := range q.paths {
		diff = append(diff, prov.Raw{Path: p, Status: 'M', OldMode: q.mode, NewMode: q.mode})
	}
	out.Changes = prov.Touched([][]prov.Raw{diff})
	for i := range out.Changes {
		out.Changes[i].Size = q.size
	}
	if q.resource != "" {
		text, err := canonical.Of([]byte(q.resource))
		if err == nil {
			err = pluginapi.Decode(text, &out.Resource)
		}
		if err != nil {
			return nil, cli.Usage("--resource: %v", err)
		}
	}
	return out, nil
}

// Answer is what check and explain print with --json.
type Answer struct {
	Type     string   `json:"type"` // "decision"
	Allowed  bool     `json:"allowed"`
	Subject  string   `json:"subject"`
	Action   string   `json:"action"`
	Ref      string   `json:"ref,omitempty"`
	Grants   []string `json:"grants"` // relied on, the operator's first
	Checkers []string `json:"checkers"`
	Reason   string   `json:"reason,omitempty"`
	Refused  string   `json:"refused,omitempty"` // the grant that refused
	Needed   string   `json:"needed,omitempty"`  // of explain: the command that an operator would type
	Entry    string   `json:"entry,omitempty"`   // of check --record: the ledger entry
}

func (c *court) answer(q *capability.Query, d capability.Decision) Answer {
	a := Answer{
		Type: "decision", Allowed: d.Allowed, Subject: c.nameOf(q.KeyID), Action: q.Action, Ref: q.Ref, Grants: []string{}, Checkers: d.Checkers,
		Reason: d.Reason, Refused: string(d.Refused),
	}
	for _, g := range d.Grants {
		a.Grants = append(a.Grants, string(g))
	}
	return a
}

func newCheck(env *cli.Env) *cobra.Command {
	var q asked
	var asJSON, quiet, record bool
	cmd := &cobra.Command{
		Use:   "check --as NAME --action ACTION",
		Short: "Ask whether somebody may do something now",
		Long: `Ask the checkers whether somebody may do something now. The exit code is 0 when it is
allowed, 1 when it is denied and 2 when there is no answer. With --record question and
answer are an entry of your ledger before you get the answer; what a hook decides is
always one.`,
		Example: `  covenant capability check --as coder --action repo.commit --path src/main.go --ref refs/heads/agent/x
  covenant capability check --action repo.push --ref main && git push`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := openAs(cmd.Context(), env, q.as)
			if err != nil {
				return err
			}
			defer c.Close()
			query, err := q.query(c)
			if err != nil {
				return err
			}
			d := c.decide(query)
			a := c.answer(query, d)
			if record {
				id, err := c.record(cmd.Context(), query, d)
				if err != nil {
					return err // what can't be recorded is no answer
				}
				a.Entry = string(id)
			}
			switch {
			case asJSON:
				err = env.JSON(a)
			case quiet:
			case d.Allowed:
				_, err = fmt.Fprintf(env.Out, "%s: %s may %s\n", env.Palette().Good("allowed"), say.Line(a.Subject), a.Action)
			default:
				_, err = fmt.Fprintf(env.Out, "%s: %s\n", env.Palette().Bad("denied"), say.Line(d.Reason))
			}
			if err == nil && !d.Allowed {
				return cli.No(nil)
			}
			return err
		},
	}
	q.bind(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print nothing; the exit code tells")
	cmd.Flags().BoolVar(&record, "record", false, "record question and answer in your ledger")
	return cmd
}

func (c *court) record(ctx context.Context, q *capability.Query, d capability.Decision) (envelope.Digest, error) {
	k, err := c.Sealer(c.facts)
	if err != nil {
		return "", err
	}
	body := capability.Check{
		Action: q.Action, Allowed: d.Allowed, Checkers: d.Checkers, Grants: d.Grants, Intent: q.Intent, KeyID: q.KeyID, Ref: q.Ref, Resource: q.Resource,
	}
	if !d.Allowed {
		body.Reason, body.Refused = d.Reason, d.Refused
	}
	if body.Grants == nil {
		body.Grants = []envelope.Digest{}
	}
	for _, x := range q.Changes {
		body.Paths = append(body.Paths, string(x.Path))
	}
	id, err := k.Checked(ctx, body)
	return id, work.Explain(err)
}

func (c *court) decide(q *capability.Query) capability.Decision {
	return c.Ask(c.facts.Root, c.facts.Authority).Decide(*q)
}

func newExplain(env *cli.Env) *cobra.Command {
	var q asked
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "explain [ENTRY]",
		Short: "Tell why something is allowed or denied, and what would be needed",
		Long: `Tell why something is allowed or denied: the whole line of grants, or the first that
refused and the grant that would be needed, as a command to type. ENTRY is a recorded
decision; without it the question is asked now, as "covenant capability check" asks it.`,
		Example: `  covenant capability explain --as coder --action repo.commit --path README.md
  covenant capability explain 9f8e7d6c`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := open(cmd.Context(), env)
			if err != nil {
				return err
			}
			defer c.Close()
			if len(args) == 1 {
				return c.recorded(cmd.Context(), args[0], asJSON)
			}
			query, err := q.query(c)
			if err != nil {
				return err
			}
			d := c.decide(query)
			return c.explain(query, d, asJSON)
		},
	}
	q.bind(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// recorded explains a decision that stands in a ledger, and asks the same again now.
func (c *court) recorded(ctx context.Context, text string, asJSON bool) error {
	f, err := provenance.Load(ctx, c.Session, c.pin)
	if err != nil {
		return work.Explain(err)
	}
	want := strings.TrimPrefix(text, "sha256:")
	for id, d := range f.Decisions {
		if len(want) < 4 || !strings.HasPrefix(strings.TrimPrefix(string(id), "sha256:"), want) {
			continue
		}
		b := d.Decision
		if !asJSON {
			word := "allowed"
			if !b.Allowed {
				word = "denied"
			}
			if _, err := fmt.Fprintf(c.Env.Out, "%s %s %s at %s, asked at %s by %s: %s\n\n", id.Short(), word, say.Line(b.Action), d.Header.Time, say.Line(b.Moment), say.Line(c.nameOf(b.KeyID)), say.Line(orNone(b.Reason))); err != nil {
				return err
			}
		}
		q := &capability.Query{KeyID: b.KeyID, Action: b.Action, At: c.Env.Now(), Ref: b.Ref}
		q.Changes, err = provenance.TouchedBy(c.Session, b.Tree, b.Parents)
		if err != nil {
			return cli.Hint(fmt.Errorf("what it would change is not here: %w", err), "it was a refused change that Git has collected since")
		}
		return c.explain(q, c.decide(q), asJSON)
	}
	return cli.Hint(fmt.Errorf("there is no decision %s here", text), "refusals name theirs; ledgers list them: git log refs/covenant/ledger/provenance/…")
}

func orNone(s string) string {
	if s == "" {
		return "no reason was given"
	}
	return s
}

func (c *court) explain(q *capability.Query, d capability.Decision, asJSON bool) error {
	a := c.answer(q, d)
	if !d.Allowed {
		a.Needed = c.needed(q)
	}
	if asJSON {
		if err := c.Env.JSON(a); err != nil {
			return err
		}
		if !d.Allowed {
			return cli.No(nil)
		}
		return nil
	}
	p := c.Env.Palette()
	if d.Allowed {
		if _, err := fmt.Fprintf(c.Env.Out, "%s: %s may %s now, by\n", p.Good("allowed"), say.Line(a.Subject), say.Line(a.Action)); err != nil {
			return err
		}
		if len(d.Grants) == 0 {
			_, err := fmt.Fprintln(c.Env.Out, "  the trust root: an operator needs no grant")
			return err
		}
		return c.line(d.Grants)
	}
	if _, err := fmt.Fprintf(c.Env.Out, "%s: %s\n", p.Bad("denied"), say.Line(d.Reason)); err != nil {
		return err
	}
	if d.Refused != "" {
		var ids []envelope.Digest
		for _, g := range c.facts.Authority.Line(d.Refused) {
			ids = append(ids, g.ID)
		}
		if err := c.line(ids); err != nil {
			return err
		}
	}
	if a.Needed != "" {
		if _, err := fmt.Fprintf(c.Env.Out, "an operator could allow it: %s\n", say.Line(a.Needed)); err != nil {
			return err
		}
	}
	return cli.No(nil)
}

func (c *court) line(ids []envelope.Digest) error {
	for _, id := range ids {
		g, ok := c.facts.Authority.Grant(id)
		if !ok {
			return errors.New("grant " + string(id) + " is not here")
		}
		l := c.listed(g, c.Env.Now())
		if _, err := fmt.Fprintf(c.Env.Out, "  %s, %s: %s to %s, %s%s\n", id.Short(), l.State, say.Line(l.By), say.Line(l.Subject), l.Action, say.Line(orWhole(describe(&l)))); err != nil {
			return err
		}
	}
	return nil
}

// needed is the narrowest grant that would allow exactly this, as a command.
func (c *court) needed(q *capability.Query) string {
	p, ok := c.facts.Authority.ByKey(q.KeyID)
	if !ok || capability.CheckAction(q.Action) != nil { // a record may name anything
		return ""
	}
	var b strings.Builder
	b.WriteString("covenant capability grant --to " + say.Shell(p.Name) + " --action " + say.Shell(q.Action))
	if q.Action == capability.Commit || q.Action == capability.Vouch {
		for _, p := range patternsOf(q.Changes) {
			b.WriteString(" --path " + say.Shell(p))
		}
	}
	if q.Intent != "" && capability.Namespace(q.Action) == "repo" {
		b.WriteString(" --intent " + say.Shell(q.Intent))
	}
	switch {
	case capability.Namespace(q.Action) != "repo":
		s, err := capability.Narrowest(q.Action, q.Resource)
		if err != nil {
			return ""
		}
		text, err := canonical.Marshal(s)
		if err != nil {
			return ""
		}
		if string(text) != `{"version":1}` {
			b.WriteString(" --scope " + say.Shell(string(text)))
		}
	case q.Ref != "":
		b.WriteString(" --ref " + say.Shell(escape(q.Ref)))
	}
	return b.String() + " --expires 8h"
}

// patternsOf names paths by patterns: each by itself, and where they are many, by the deepest folders that are few.
func patternsOf(changes []pluginapi.Change) []string {
	const many, deepest = 50, 16
	var out []string
	for keep := deepest; keep > 0; keep-- { // parts of a path
		out = out[:0]
		for i := range changes {
			path := string(changes[i].Path)
			if parts := strings.Split(path, "/"); keep < deepest && len(parts) > keep {
				out = append(out, escape(strings.Join(parts[:keep], "/"))+"/**")
				continue
			}
			out = append(out, escape(path))
		}
		slices.Sort(out)
		if out = slices.Compact(out); len(out) <= many {
			break
		}
	}
	return out
}

// escape makes a pattern that matches a name and nothing else; for what is no UTF-8, which no pattern can say, any byte.
func escape(name string) string {
	var b strings.Builder
	for len(name) > 0 {
		r, size := utf8.DecodeRuneInString(name)
		switch {
		case r == utf8.RuneError && size == 1:
			b.WriteByte('?')
		case strings.ContainsRune(`\*?[]{},`, r):
			b.WriteByte('\\')
			fallthrough
		default:
			b.WriteString(name[:size])
		}
		name = name[size:]
	}
	return b.String()
}
