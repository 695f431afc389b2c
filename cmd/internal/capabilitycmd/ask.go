package capabilitycmd

import (
	"context"
	"fmt"

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
	Entry    string   `json:"entry,omitempty"`   // of check --record: the ledger entry; of explain ENTRY: that one

	// Of explain, when it is denied.
	Checker string   `json:"checker,omitempty"` // who refused, or gave no answer
	Line    []string `json:"line,omitempty"`    // the grants that the refusal is about, the operator's first and the holder's last
	Needed  string   `json:"needed,omitempty"`  // the command that an operator would type
	Notes   []string `json:"notes,omitempty"`   // what to know of it
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
			if err := c.inForce(); err != nil {
				return err
			}
			query, err := q.query(c)
			if err != nil {
				return err
			}
			if record {
				if err := work.Refuse(env, "what is asked", append([]string{q.intent, q.resource}, q.paths...)...); err != nil {
					return err
				}
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
	id, err := k.Answered(ctx, *q, d)
	return id, work.Explain(err)
}

func (c *court) decide(q *capability.Query) capability.Decision {
	return c.Ask(c.facts.Root, c.facts.Authority).Decide(*q)
}
