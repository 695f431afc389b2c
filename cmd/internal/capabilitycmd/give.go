package capabilitycmd

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/identity"
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
func (h *holder) resolve(ctx context.Context, c *court) (capability.Subject, error) {
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
	if !known && h.key == "" {
		if err := work.NotAName(c.Env, h.to); err != nil {
			return capability.Subject{}, err
		}
	}
	if h.key == "" {
		if !known {
			return capability.Subject{}, cli.Hint(fmt.Errorf("nobody of the name %q is known here", h.to), "see who is: covenant identity list", "introduce a new one, with a key that it keeps: ssh-keygen -t ed25519 -N '' -f KEY, then: --to "+say.Shell(h.to)+" --key KEY.pub; it acts with: COVENANT_IDENTITY=KEY")
		}
		return subjectOf(p, "")
	}
	pub, err := work.PublicKey(ctx, c.Env, h.key)
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
introduction let it do.

With --request the request says to whom, what and how far; flags of the scope take the
place of what it says there, where they are no wider. With --seed a capability of the
seed says it, and --expires, --not-before and --to go with it.`,
		Example: `  covenant capability grant --to coder --action repo.commit --path 'src/**' --ref 'refs/heads/agent/*' --expires 8h
  covenant capability grant --to ci --key ci.pub --kind automation --action repo.push --ref refs/heads/main
  covenant capability grant --to coder --action memory.read --scope '{"tiers":["working"]}'
  covenant capability grant --request 1a2b3c4d --path docs/guide.md --expires 1h`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			changed := cmd.Flags().Changed
			switch {
			case request != "" && seed != "":
				return cli.Usage("--request and --seed both say what is granted")
			case changed("seed-root") && seed == "":
				return cli.Usage("--seed-root goes with --seed")
			}
			return give(cmd.Context(), env, who, asJSON, request+seed != "", func(c *court) (capability.Grant, error) {
				if request != "" {
					return fromRequest(c, request, &o, changed)
				}
				if seed != "" {
					return fromSeed(c, seed, seedRoot, &o, &h, changed)
				}
				g, err := o.parse(env)
				if err != nil {
					return g, err
				}
				g.Subject, err = h.resolve(cmd.Context(), c)
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
allow what is asked. It ends with the grant it comes from. What could never apply is
refused, and what the grant may take away of it is told.`,
		Example: `  covenant capability delegate 1a2b3c4d --to helper --path 'src/parser/**' --expires 1h
  covenant capability delegate 1a2b3c4d --to helper --key helper.pub`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return give(cmd.Context(), env, who, asJSON, false, func(c *court) (capability.Grant, error) {
				id, err := c.find(args[0])
				if err != nil {
					return capability.Grant{}, err
				}
				parent, _ := c.facts.Authority.Grant(id)
				if o.action == "" {
					o.action = parent.Granted.Action
				}
				g, err := o.parse(env)
				if err != nil {
					return g, err
				}
				g.Parent = id
				if g.Subject, err = h.resolve(cmd.Context(), c); err != nil {
					return g, err
				}
				return g, c.fits(&g)
			})
		},
	}
	o.bind(cmd)
	h.bind(cmd)
	cmd.Flags().StringVar(&who, "identity", "", "act as this principal: a name, or the path of a private key")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// give writes the grant that build makes. tell: somebody else said what it is, so say it to who gives it.
func give(ctx context.Context, env *cli.Env, who string, asJSON, tell bool, build func(*court) (capability.Grant, error)) error {
	c, err := open(ctx, env)
	if err != nil {
		return err
	}
	defer c.Close()
	c.Explicit = who
	if err := c.inForce(); err != nil {
		return err
	}
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
	if tell {
		env.Talk().Note("granted to %s: %s", g.Subject.Name, c.told(&g))
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

// told is what a grant that is being given says, in one line.
func (c *court) told(g *capability.Grant) string {
	scope := flags(&g.Scope)
	if scope == "" {
		scope = ", whole"
	}
	end := ", without an end"
	if g.Expires != "" {
		end = ", until " + g.Expires
	}
	out := g.Action + scope + end
	if g.NotBefore != "" {
		out += ", from " + g.NotBefore
	}
	if g.Delegable > 0 {
		out += fmt.Sprintf(", to be handed on %d times", g.Delegable)
	}
	if len(c.facts.Authority.Superseded(g.Subject.Name, g.Action, c.Env.Now())) > 0 {
		out += "; it takes the place of the introduction"
	}
	return out
}

// fromSeed grants anew what the seed's trust root granted. Its signature is checked, and gives nothing: the operator who runs this does.
func fromSeed(c *court, file, root string, o *scopeFlags, h *holder, changed func(string) bool) (capability.Grant, error) {
	if root == "" {
		return capability.Grant{}, cli.Usage("--seed wants --seed-root: the key that must have signed it")
	}
	for _, f := range []string{"key", "action", "scope", "path", "ref", "mode", "intent", "max-files", "max-bytes", "delegable"} {
		if changed(f) {
			return capability.Grant{}, cli.Hint(cli.Usage("--%s goes with no --seed, which says it", f), "grant something else, without it: covenant capability grant --to NAME --action ACTION")
		}
	}
	b, err := os.ReadFile(c.Env.Path(file))
	if err != nil {
		return capability.Grant{}, err
	}
	g, err := capability.ReadSeed(b, root, c.Env.Now())
	if err != nil {
		return g, cli.No(cli.Hint(err, "what is kept of the seed's rules, and what is not: docs/spec/capability.md"))
	}
	o.action = g.Action
	said, err := o.parse(c.Env)
	if err != nil {
		return g, err
	}
	if g.NotBefore = said.NotBefore; said.Expires != "" {
		if g.Expires != "" && said.Expires > g.Expires {
			return g, cli.Usage("--expires %s is after %s, when the seed's capability ends", said.Expires, g.Expires)
		}
		g.Expires = said.Expires
	}
	if g.Expires != "" && g.Expires <= g.NotBefore {
		return g, cli.Usage("--not-before %s is not before %s, when it ends: it would never be in force", g.NotBefore, g.Expires)
	}
	pub, err := identity.ParsePublicKey(g.Subject.Key)
	if err != nil {
		return g, err
	}
	if p, ok := c.facts.Authority.ByKey(pub.ID()); ok {
		if changed("kind") || changed("email") || changed("to") && h.to != p.Name {
			return g, cli.Usage("the seed's capability is of the key of %s, who is known here: --to, --kind and --email are for who is new", p.Name)
		}
		g.Subject, err = subjectOf(p, pub.ID())
		return g, err
	}
	if h.to != "" {
		g.Subject.Name = h.to
	}
	g.Subject.Kind, g.Subject.Emails = h.kind, h.emails
	return g, nil
}

// fits refuses what is handed on and could never apply, since the grants it rests on take all of it away, and warns
// where they take some, or where that is not known.
func (c *court) fits(g *capability.Grant) error {
	now := envelope.Timestamp(c.Env.Now())
	for _, link := range c.facts.Authority.Line(g.Parent) {
		l := c.listed(link, c.Env.Now())
		limits := fmt.Sprintf("grant %s is of %s%s", link.ID.Short(), l.Action, orWhole(describe(&l)))
		no := func(format string, args ...any) error {
			return cli.No(cli.Hint(fmt.Errorf(format, args...), limits))
		}
		_, ended := c.facts.Authority.End(link.ID, time.Time{})
		never, less := g.Scope.Apart(&l.Scope)
		s := &l.Scope
		switch {
		case ended: // that is said when it is written
			return nil
		case !capability.Covers(l.Action, g.Action) && l.Action != g.Action:
			return no("grant %s is of %s; this one of %s: it could never apply", link.ID.Short(), l.Action, g.Action)
		case l.Expires != "" && l.Expires < now:
			return no("grant %s expired at %s: what rests on it could never apply", link.ID.Short(), l.Expires)
		case l.Expires != "" && g.Expires > l.Expires:
			return no("--expires %s is after %s, when grant %s ends, and is not cut to it: say --expires %s, or leave it out to end with it", g.Expires, l.Expires, link.ID.Short(), l.Expires)
		case l.Expires != "" && g.NotBefore > l.Expires:
			return no("--not-before %s is after %s, when grant %s ends: it could never apply", g.NotBefore, l.Expires, link.ID.Short())
		case g.Expires != "" && g.Expires < l.NotBefore:
			return no("--expires %s is before %s, when grant %s begins: it could never apply", g.Expires, l.NotBefore, link.ID.Short())
		case len(never) > 0:
			return no("%s is outside of grant %s: it could never apply", never[0], link.ID.Short())
		case capability.MovesRefs(g.Action) && (s.Paths != nil || s.Modes != nil || s.MaxFiles != nil || s.MaxBytes != nil):
			return no("grant %s is limited to what files change, and %s says nothing of that: it could never apply", link.ID.Short(), g.Action)
		case len(less) > 0:
			c.Env.Talk().Warn("%s reaches beyond grant %s, or may do so: only what both allow is allowed; %s", strings.Join(less, ", "), link.ID.Short(), limits)
		}
	}
	return nil
}
