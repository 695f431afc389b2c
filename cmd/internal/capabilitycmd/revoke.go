package capabilitycmd

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/git/provenance"
)

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
