package capabilitycmd

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
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

	// Where it was revoked before, and nothing was written: the rest says how.
	Already bool   `json:"already,omitempty"`
	By      string `json:"by,omitempty"`
	Time    string `json:"time,omitempty"`
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
"covenant ref admit". A new grant is another grant. What was revoked already is told,
and nothing is written; an operator may confirm what only a holder revoked.`,
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
	cmd.Flags().StringVarP(&reason, "reason", "m", "", "why it ends")
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
	if e, ok := c.ended(id, k.Hand.Principal); ok {
		out.ID, out.Reason, out.Already, out.By, out.Time = string(e.ID), e.Revocation.Reason, true, c.nameOf(e.KeyID), envelope.Timestamp(e.Time)
		if asJSON {
			return c.Env.JSON(out)
		}
		_, err := fmt.Fprintf(c.Env.Out, "grant %s is revoked already%s\n", id.Short(), say.Line(c.ending(id, e)))
		return err
	}
	if k.Hand.Principal.Operator {
		if err := c.Presence(c.facts.Root, k.Hand.Signer.Public(), "revoke grant "+id.Short()); err != nil {
			return err
		}
	}
	reason, err := work.Redacted(c.Env, "--reason", reason)
	if err != nil {
		return err
	}
	out.Reason = reason
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
	c.Env.Talk().Note("what it sealed, and nobody who may took in by a merge or admitted to a protected ref, no longer verifies; who may vouch for what shall stay: covenant provenance seal REV")
	for _, other := range out.Also {
		if _, err := fmt.Fprintf(c.Env.Out, "and with it %s\n", envelope.Digest(other).Short()); err != nil {
			return err
		}
	}
	return nil
}

// ended returns the revocation after which one more by this principal says nothing. An operator's says more than one that
// somebody else made: what was admitted is judged by an operator's alone, as long as nobody saw the other ([capability.Authority.End]).
func (c *court) ended(id envelope.Digest, by *capability.Principal) (capability.Ended, bool) {
	for _, g := range c.facts.Authority.Line(id) {
		for _, e := range c.facts.Authority.Ended(g.ID) {
			p, ok := c.facts.Authority.ByKey(e.KeyID)
			if ok && p.Operator || !by.Operator {
				return e, true
			}
		}
	}
	return capability.Ended{}, false
}
