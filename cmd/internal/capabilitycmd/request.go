package capabilitycmd

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
)

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
			g, err := o.parse(env)
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
			if reason, err = work.Redacted(env, "--reason", reason); err != nil {
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
			env.Talk().Hint("an operator answers it: covenant capability answer, or grants it: covenant capability grant --request " + id.Short())
			return err
		},
	}
	o.bind(cmd)
	cmd.Flags().StringVarP(&reason, "reason", "m", "", "why it is needed")
	cmd.Flags().StringVar(&who, "identity", "", "act as this principal: a name, or the path of a private key")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	_ = cmd.MarkFlagRequired("reason")
	return cmd
}

// wish resolves a request's id, or the beginning of one.
func (c *court) wish(text string) (capability.Wish, error) {
	ids := make([]envelope.Digest, 0, len(c.facts.Wishes))
	for _, w := range c.facts.Wishes {
		ids = append(ids, w.ID)
	}
	id, err := pick("request", text, ids, seeList)
	if err != nil {
		return capability.Wish{}, err
	}
	return c.facts.Wishes[slices.Index(ids, id)], nil
}

// fromRequest grants what a request asks for, or the part of it that the flags say.
func fromRequest(c *court, text string, o *scopeFlags, changed func(string) bool) (capability.Grant, error) {
	w, err := c.wish(text)
	if err != nil {
		return capability.Grant{}, err
	}
	p, ok := c.facts.Authority.ByKey(w.KeyID)
	if !ok {
		return capability.Grant{}, fmt.Errorf("nobody here has the key %s of request %s", w.KeyID, w.ID.Short())
	}
	another := "grant something else than was asked: " + grantCommand(p.Name, w.Action, &w.Scope) + " --expires 8h"
	for _, f := range []string{"to", "key", "kind", "email", "action", "scope"} {
		if changed(f) {
			return capability.Grant{}, cli.Hint(cli.Usage("--%s goes with no --request, which says it", f), another)
		}
	}
	o.action = w.Action
	said, err := o.parse(c.Env)
	if err != nil {
		return said, err
	}
	g := capability.Grant{Action: w.Action, Scope: w.Scope, Expires: w.Expires, NotBefore: said.NotBefore, Delegable: w.Delegable}
	for flag, take := range map[string]func(){
		"path": func() { g.Scope.Paths = said.Scope.Paths }, "ref": func() { g.Scope.Refs = said.Scope.Refs }, "mode": func() { g.Scope.Modes = said.Scope.Modes },
		"host":   func() { g.Scope.Hosts = said.Scope.Hosts },
		"intent": func() { g.Scope.Intent = said.Scope.Intent }, "max-files": func() { g.Scope.MaxFiles = said.Scope.MaxFiles }, "max-bytes": func() { g.Scope.MaxBytes = said.Scope.MaxBytes },
		"expires": func() { g.Expires = said.Expires }, "delegable": func() { g.Delegable = said.Delegable },
	} {
		if changed(flag) {
			take()
		}
	}
	wider := g.Scope.Beyond(&w.Scope)
	switch {
	case w.Expires != "" && (g.Expires == "" || g.Expires > w.Expires):
		wider = "expires"
	case g.Delegable > w.Delegable:
		wider = "delegable"
	}
	switch {
	case wider != "":
		return g, cli.Hint(cli.Usage("what is said of %s is not plainly within what was asked: %s", wider, c.asked(&w)), another)
	case g.Expires != "" && g.Expires < envelope.Timestamp(c.Env.Now()):
		return g, cli.Hint(cli.Usage("it was asked for until %s: that is over", g.Expires), another)
	case g.Expires != "" && g.Expires <= g.NotBefore:
		return g, cli.Usage("--not-before %s is not before %s, when it ends: it would never be in force", g.NotBefore, g.Expires)
	}
	g.Subject, err = subjectOf(p, w.KeyID)
	return g, err
}

// asked is what a request asks for, in one line.
func (c *court) asked(w *capability.Wish) string {
	l := c.wished(w)
	return l.Action + orWhole(describe(&l))
}
