package capabilitycmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// holder says to whom a grant is given.
type holder struct {
	to, key, kind string
	emails        []string
}

func (h *holder) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&h.to, "to", "", "who gets it: a name, or a key that is known here")
	f.StringVar(&h.key, "key", "", "public key of a holder who is new here: file, text, or - for standard input")
	f.StringVar(&h.kind, "kind", "agent", "what a new holder is: agent or automation")
	f.StringArrayVar(&h.emails, "email", nil, "e-mail address a new holder commits with; may be repeated (default: user.email of this repository)")
}

// resolve fills in the subject of a grant.
func (h *holder) resolve(c *court) (capability.Subject, error) {
	a := c.facts.Authority
	if h.to == "" {
		return capability.Subject{}, cli.Hint(cli.Usage("nobody to give it to"), "name somebody: --to NAME", "see who is known here: covenant identity list")
	}
	if p, ok := a.ByKey(h.to); ok { // a key id
		return subjectOf(p, h.to)
	}
	if pub, err := identity.ParsePublicKey(h.to); err == nil {
		p, ok := a.ByKey(pub.ID())
		if !ok {
			return capability.Subject{}, cli.Hint(fmt.Errorf("nobody here has the key %s", pub.ID()), "introduce its holder: --to NAME --key PUB")
		}
		return subjectOf(p, pub.ID())
	}
	p, known := a.ByName(h.to)
	if h.key == "" {
		if !known {
			return capability.Subject{}, cli.Hint(fmt.Errorf("nobody of the name %q is known here", h.to), "see who is: covenant identity list", "introduce a new one: --to "+say.Shell(h.to)+" --key PUB")
		}
		return subjectOf(p, "")
	}
	pub, err := work.PublicKey(c.Env, h.key)
	if err != nil {
		return capability.Subject{}, work.Explain(err)
	}
	emails := h.emails
	if e, ok := c.Session.Repo().Config().Get("user.email"); ok && len(emails) == 0 {
		emails = []string{e}
	}
	return capability.Subject{Name: h.to, Kind: h.kind, Emails: emails, Key: pub.String()}, nil
}

// subjectOf names a known principal by one of its keys, the newest when it is not said.
func subjectOf(p *capability.Principal, keyID string) (capability.Subject, error) {
	for i := len(p.Keys) - 1; i >= 0; i-- {
		if k := p.Keys[i]; keyID == "" || k.ID() == keyID {
			return capability.Subject{Name: p.Name, Kind: p.Kind, Accountable: p.Accountable, Emails: p.Emails, Key: k.String()}, nil
		}
	}
	return capability.Subject{}, fmt.Errorf("%s has no key", p.Name)
}

func newGrant(env *cli.Env) *cobra.Command {
	var o scopeFlags
	var h holder
	var who, request, seed, seedRoot string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "grant --to NAME --action ACTION",
		Short: "Grant an action within a scope",
		Long: `Grant an action within a scope, as an operator. The grant is an entry of your
ledger, and its id is printed. Without a scope the action is granted whole. A new
grant after a revocation is another grant, and valid.

The first grant that an introduced agent is given takes the place of what the
introduction let it do.`,
		Example: `  covenant capability grant --to coder --action repo.commit --path 'src/**' --ref 'refs/heads/agent/*' --expires 8h
  covenant capability grant --to ci --key ci.pub --kind automation --action repo.push --ref refs/heads/main
  covenant capability grant --to coder --action memory.read --scope '{"tiers":["working"]}'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return give(cmd.Context(), env, who, asJSON, func(c *court) (capability.Grant, error) {
				if request != "" {
					return fromRequest(c, request, &o)
				}
				if seed != "" {
					return fromSeed(c, seed, seedRoot, &h)
				}
				g, err := o.parse(env.Now())
				if err != nil {
					return g, err
				}
				g.Subject, err = h.resolve(c)
				return g, err
			})
		},
	}
	o.bind(cmd)
	h.bind(cmd)
	cmd.Flags().StringVar(&request, "request", "", "grant what this request asks for")
	cmd.Flags().StringVar(&seed, "seed", "", "grant what a capability of the seed says: a file with its signed JSON")
	cmd.Flags().StringVar(&seedRoot, "seed-root", "", "the seed's trust root that must have signed it, in base58")
	cmd.Flags().StringVar(&who, "identity", "", "act as this principal: a name, or the path of a private key")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func newDelegate(env *cli.Env) *cobra.Command {
	var o scopeFlags
	var h holder
	var who string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "delegate GRANT --to NAME",
		Short: "Hand on a grant of yours, or a narrower part of it",
		Long: `Hand on a grant that you hold, or a narrower part of it, as often as the grant says it
can be. What is handed on is never more than the grant: every grant of the line must
allow what is asked. It ends with the grant it comes from.`,
		Example: `  covenant capability delegate 1a2b3c4d --to helper --path 'src/parser/**' --expires 1h
  covenant capability delegate 1a2b3c4d --to helper --key helper.pub`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return give(cmd.Context(), env, who, asJSON, func(c *court) (capability.Grant, error) {
				id, err := c.find(args[0])
				if err != nil {
					return capability.Grant{}, err
				}
				parent, _ := c.facts.Authority.Grant(id)
				if o.action == "" {
					o.action = parent.Granted.Action
				}
				g, err := o.parse(env.Now())
				if err != nil {
					return g, err
				}
				g.Parent = id
				g.Subject, err = h.resolve(c)
				return g, err
			})
		},
	}
	o.bind(cmd)
	h.bind(cmd)
	cmd.Flags().StringVar(&who, "identity", "", "act as this principal: a name, or the path of a private key")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// give writes the grant that build makes.
func give(ctx context.Context, env *cli.Env, who string, asJSON bool, build func(*court) (capability.Grant, error)) error {
	c, err := open(ctx, env)
	if err != nil {
		return err
	}
	defer c.Close()
	c.Explicit = who
	g, err := build(c)
	if err != nil {
		return err
	}
	k, err := c.Sealer(c.facts)
	if err != nil {
		return err
	}
	if k.Hand.Principal.Operator {
		if err := c.Presence(c.facts.Root, k.Hand.Signer.Public(), "grant "+g.Action+" to "+g.Subject.Name); err != nil {
			return err
		}
	}
	id, err := k.Grant(ctx, g)
	if err != nil {
		return denied(err)
	}
	out := Granted{
		Type: "grant", ID: string(id), Subject: g.Subject.Name, Action: g.Action, Scope: g.Scope, NotBefore: g.NotBefore, Expires: g.Expires,
		Delegable: g.Delegable, Parent: string(g.Parent),
	}
	if asJSON {
		return env.JSON(out)
	}
	_, err = fmt.Fprintln(env.Out, id)
	return err
}

func fromRequest(c *court, text string, o *scopeFlags) (capability.Grant, error) {
	want := strings.TrimPrefix(text, "sha256:")
	for _, w := range c.facts.Wishes {
		if len(want) < 4 || !strings.HasPrefix(strings.TrimPrefix(string(w.ID), "sha256:"), want) {
			continue
		}
		p, ok := c.facts.Authority.ByKey(w.KeyID)
		if !ok {
			return capability.Grant{}, fmt.Errorf("nobody here has the key %s of request %s", w.KeyID, w.ID.Short())
		}
		g := capability.Grant{Action: w.Action, Scope: w.Scope, Expires: w.Expires, Delegable: w.Delegable}
		if o.expires != "" {
			var err error
			if g.Expires, err = work.In("--expires", o.expires, c.Env.Now()); err != nil {
				return g, err
			}
		}
		var err error
		g.Subject, err = subjectOf(p, w.KeyID)
		return g, err
	}
	return capability.Grant{}, cli.Hint(fmt.Errorf("there is no request %s here", text), "see what there is: covenant capability list")
}

// fromSeed grants anew what the seed's trust root granted. Its signature is checked, and gives nothing: the operator who runs this does.
func fromSeed(c *court, file, root string, h *holder) (capability.Grant, error) {
	if root == "" {
		return capability.Grant{}, cli.Usage("--seed wants --seed-root: the key that must have signed it")
	}
	b, err := os.ReadFile(c.Env.Path(file))
	if err != nil {
		return capability.Grant{}, err
	}
	g, err := capability.ReadSeed(b, root, c.Env.Now())
	if err != nil {
		return g, cli.No(cli.Hint(err, "what is kept of the seed's rules, and what is not: docs/spec/capability.md"))
	}
	pub, err := identity.ParsePublicKey(g.Subject.Key)
	if err != nil {
		return g, err
	}
	if p, ok := c.facts.Authority.ByKey(pub.ID()); ok {
		g.Subject, err = subjectOf(p, pub.ID())
		return g, err
	}
	if h.to != "" {
		g.Subject.Name = h.to
	}
	g.Subject.Kind, g.Subject.Emails = h.kind, h.emails
	return g, nil
}

func newRequest(env *cli.Env) *cobra.Command {
	var o scopeFlags
	var who, reason string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "request --action ACTION --reason WHY",
		Short: "Ask an operator for a grant",
		Long: `Ask for a grant: the request is an entry of your own ledger, and operators see it
with "covenant capability list". It lets you do nothing.`,
		Example: "  covenant capability request --action repo.commit --path 'docs/**' --expires 2h --reason 'the guide is out of date'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			g, err := o.parse(env.Now())
			if err != nil {
				return err
			}
			if g.NotBefore != "" {
				return cli.Usage("--not-before is for who grants")
			}
			c, err := open(cmd.Context(), env)
			if err != nil {
				return err
			}
			defer c.Close()
			c.Explicit = who
			k, err := c.Sealer(c.facts)
			if err != nil {
				return err
			}
			id, err := k.Wish(cmd.Context(), capability.Asked{Action: g.Action, Delegable: g.Delegable, Expires: g.Expires, Reason: reason, Scope: g.Scope})
			if err != nil {
				return denied(err)
			}
			if asJSON {
				return env.JSON(Granted{Type: "request", ID: string(id), Subject: k.Hand.Principal.Name, Action: g.Action, Scope: g.Scope, Expires: g.Expires, Delegable: g.Delegable})
			}
			_, err = fmt.Fprintln(env.Out, id)
			env.Talk().Hint("an operator grants it: covenant capability grant --request " + id.Short())
			return err
		},
	}
	o.bind(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "why it is needed")
	cmd.Flags().StringVar(&who, "identity", "", "act as this principal: a name, or the path of a private key")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	_ = cmd.MarkFlagRequired("reason")
	return cmd
}

// Revoked is what revoke prints with --json.
type Revoked struct {
	Type   string   `json:"type"` // "revocation"
	ID     string   `json:"id"`
	Grant  string   `json:"grant"`
	Also   []string `json:"also"` // grants that rested on it
	Reason string   `json:"reason"`
}

func newRevoke(env *cli.Env) *cobra.Command {
	var who, reason string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "revoke GRANT --reason WHY",
		Short: "End a grant, and all that was handed on from it",
		Long: `End a grant and all that was handed on from it. Operators revoke any grant, a holder
what it handed on, or its own. From then on nothing that rests on it passes, and what
was sealed under it and is not admitted to a protected ref no longer verifies; see
"covenant ref admit". A new grant is another grant.`,
		Example: "  covenant capability revoke 1a2b3c4d --reason 'the job is done'",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := open(cmd.Context(), env)
			if err != nil {
				return err
			}
			defer c.Close()
			c.Explicit = who
			id, err := c.find(args[0])
			if err != nil {
				return err
			}
			k, err := c.Sealer(c.facts)
			if err != nil {
				return err
			}
			return revoke(cmd.Context(), c, k, id, reason, asJSON)
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why it ends")
	cmd.Flags().StringVar(&who, "identity", "", "act as this principal: a name, or the path of a private key")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func revoke(ctx context.Context, c *court, k *provenance.Sealer, id envelope.Digest, reason string, asJSON bool) error {
	out := Revoked{Type: "revocation", Grant: string(id), Also: []string{}, Reason: reason}
	for _, g := range c.facts.Authority.Grants() {
		for _, link := range c.facts.Authority.Line(g.ID) {
			if link.ID == id && g.ID != id {
				out.Also = append(out.Also, string(g.ID))
			}
		}
	}
	if k.Hand.Principal.Operator {
		if err := c.Presence(c.facts.Root, k.Hand.Signer.Public(), "revoke grant "+id.Short()); err != nil {
			return err
		}
	}
	entry, err := k.Revoke(ctx, capability.Revocation{Grant: id, Reason: reason})
	if errors.Is(err, capability.ErrInvalid) {
		return cli.No(cli.Hint(err, "a grant is revoked by an operator, by who gave it, or by its holder"))
	}
	if err != nil {
		return work.Explain(err)
	}
	out.ID = string(entry)
	if asJSON {
		return c.Env.JSON(out)
	}
	if _, err := fmt.Fprintf(c.Env.Out, "%s grant %s\n", c.Env.Palette().Good("revoked"), id.Short()); err != nil {
		return err
	}
	c.Env.Talk().Note("what it sealed, and nobody admitted to a protected ref, no longer verifies")
	for _, other := range out.Also {
		if _, err := fmt.Fprintf(c.Env.Out, "and with it %s\n", envelope.Digest(other).Short()); err != nil {
			return err
		}
	}
	return nil
}
