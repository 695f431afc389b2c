// Package capabilitycmd is the command group "capability": who may do what, for
// how long, on whose word.
package capabilitycmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// New returns the command group.
func New(env *cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "capability",
		Short: "Say who may do what here, for how long, and on whose word",
		Long: `A capability is a signed grant of an action within a scope to a key. Only operators
grant; a holder may hand on what its grant says can be handed on, and never more.
A request is allowed when every grant from the operator's down to the holder's
allows it. Grants end by expiry or revocation, and take what was handed on along.`,
	}
	cmd.AddCommand(newGrant(env), newDelegate(env), newRequest(env), newAnswer(env), newList(env), newShow(env), newCheck(env), newExplain(env), newRevoke(env))
	return cmd
}

// scopeFlags say what a grant is of.
type scopeFlags struct {
	action, scope, notBefore, expires string
	paths, refs, modes, hosts         []string
	maxFiles, maxBytes                int64
	intent                            string
	delegable                         int
}

func (o *scopeFlags) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.action, "action", "", "what may be done: repo.commit, repo.push, memory.read, … or a family such as repo.*")
	f.StringArrayVar(&o.paths, "path", nil, "pattern of paths it is limited to, such as 'src/**'; may be repeated")
	f.StringArrayVar(&o.refs, "ref", nil, "pattern of full ref names it is limited to, such as 'refs/heads/agent/*'; may be repeated")
	f.StringArrayVar(&o.modes, "mode", nil, "file mode that a changed path may have, such as 100644; may be repeated")
	f.StringArrayVar(&o.hosts, "host", nil, "pattern of names of hosts that network.connect is limited to, such as '*.example.com'; may be repeated")
	f.Int64Var(&o.maxFiles, "max-files", -1, "how many files one commit may change")
	f.Int64Var(&o.maxBytes, "max-bytes", -1, "how many bytes of new content one commit may bring")
	f.StringVar(&o.intent, "intent", "", "the intent it is for")
	f.StringVar(&o.scope, "scope", "", "the scope as a JSON object; the flags above add to it")
	f.StringVar(&o.notBefore, "not-before", "", "when it begins: a time (RFC 3339) or a duration from now, such as 30m or 2d")
	f.StringVar(&o.expires, "expires", "", "when it ends: a time (RFC 3339) or a duration from now, such as 8h or 30d")
	f.IntVar(&o.delegable, "delegable", 0, "how many further hands it may pass through")
}

func (o *scopeFlags) parse(env *cli.Env) (g capability.Grant, err error) {
	now := env.Now()
	if o.action == "" {
		return g, cli.Hint(cli.Usage("no action"), "name one: --action repo.commit")
	}
	if err := capability.CheckAction(o.action); err != nil {
		return g, usage(err)
	}
	s := capability.Whole
	if o.scope != "" {
		if s, err = capability.ParseScope([]byte(o.scope)); err != nil {
			return g, cli.Hint(usage(err), "fields and namespaces are in docs/spec/capability.md")
		}
	}
	for _, x := range []struct {
		flag      string
		given, in bool // as a flag, in --scope
		take      func()
	}{
		{"path", o.paths != nil, s.Paths != nil, func() { s.Paths = o.paths }},
		{"ref", o.refs != nil, s.Refs != nil, func() { s.Refs = o.refs }},
		{"mode", o.modes != nil, s.Modes != nil, func() { s.Modes = o.modes }},
		{"host", o.hosts != nil, s.Hosts != nil, func() { s.Hosts = o.hosts }},
		{"intent", o.intent != "", s.Intent != "", func() { s.Intent = o.intent }},
		{"max-files", o.maxFiles >= 0, s.MaxFiles != nil, func() { s.MaxFiles = &o.maxFiles }},
		{"max-bytes", o.maxBytes >= 0, s.MaxBytes != nil, func() { s.MaxBytes = &o.maxBytes }},
	} {
		switch {
		case x.given && x.in:
			return g, cli.Usage("--%s and --scope both say it", x.flag)
		case x.given:
			x.take()
		}
	}
	g = capability.Grant{Action: o.action, Scope: s, Delegable: o.delegable}
	if o.notBefore != "" {
		if g.NotBefore, err = work.In("--not-before", o.notBefore, now); err != nil {
			return g, err
		}
	}
	if o.expires != "" {
		if g.Expires, err = work.In("--expires", o.expires, now); err != nil {
			return g, err
		}
	}
	if g.Expires != "" && g.Expires < envelope.Timestamp(now) {
		return g, cli.Usage("--expires %s: that is over", o.expires)
	}
	if g.Expires != "" && g.NotBefore != "" && g.Expires <= g.NotBefore {
		return g, cli.Usage("--expires %s is not after --not-before %s: it would never be in force", g.Expires, g.NotBefore)
	}
	if err := s.Validate(g.Action); err != nil {
		return g, cli.Hint(usage(err), "fields and namespaces are in docs/spec/capability.md")
	}
	scope, err := json.Marshal(s)
	if err != nil {
		return g, err
	}
	return g, work.Refuse(env, "the scope", string(scope))
}

func usage(err error) error { return cli.Usage("%v", err) }

// court is an opened repository with what is known of its authority.
type court struct {
	*work.Work
	pin   envelope.Digest
	facts *provenance.Facts
}

func open(ctx context.Context, env *cli.Env) (*court, error) {
	w, err := work.Open(ctx, env)
	if err != nil {
		return nil, err
	}
	pin, err := w.Pin("")
	if err == nil {
		var f *provenance.Facts
		if f, err = provenance.LoadAuthority(ctx, w.Session, pin); err == nil {
			return &court{w, pin, f}, nil
		}
	}
	w.Close()
	return nil, work.Explain(err)
}

// inForce refuses to say who may do something under a trust root that has expired: nothing verifies by it.
func (c *court) inForce() error {
	if err := c.facts.Root.Expired(c.Env.Now()); err != nil {
		return cli.Hint(fmt.Errorf("nobody may do anything: %w", err), "its operators sign the next version: covenant trust set --expires 365d")
	}
	return nil
}

// openAs is open for a question about one principal: what it rests on may be remembered.
func openAs(ctx context.Context, env *cli.Env, name string) (*court, error) {
	w, err := work.OpenIdle(ctx, env)
	if err != nil {
		return nil, err
	}
	c := &court{Work: w}
	cache := w.Cache(false)
	ahead := provenance.RefsAhead(w.Session) // while the root is read
	if c.pin, err = w.Pin(""); err == nil {
		var root *provenance.Root
		if root, err = cache.OpenRoot(w.Session, c.pin); err == nil {
			if name == "" {
				name = w.Choice().Named(w.Session.Repo())
			}
			var a *capability.Authority
			if a, err = provenance.AuthorityOf(ctx, w.Session, root, name, cache, ahead); err == nil {
				c.facts = &provenance.Facts{Root: root, Authority: a}
				return c, nil
			}
		}
	}
	w.Close()
	return nil, work.Explain(err)
}

// find resolves a grant's id, or the beginning of one.
func (c *court) find(text string) (envelope.Digest, error) {
	grants := c.facts.Authority.Grants()
	ids := make([]envelope.Digest, 0, len(grants))
	for _, g := range grants {
		ids = append(ids, g.ID)
	}
	return pick("grant", text, ids, seeList)
}

const seeList = "see what there is: covenant capability list"

// maxListed is how many ids an error lists.
const maxListed = 8

// pick returns the one id that text begins, with or without sha256: in front. what says what the ids are of, and hint where
// to look for others.
func pick(what, text string, ids []envelope.Digest, hint string) (envelope.Digest, error) {
	want := strings.TrimPrefix(text, "sha256:")
	if len(want) < 4 {
		return "", cli.Hint(cli.Usage("%q is too short to name a %s", text, what), hint)
	}
	found := slices.DeleteFunc(slices.Clone(ids), func(id envelope.Digest) bool {
		return !strings.HasPrefix(strings.TrimPrefix(string(id), "sha256:"), want)
	})
	slices.Sort(found)
	switch len(found) {
	case 0:
		return "", cli.Hint(fmt.Errorf("there is no %s %s here", what, text), hint)
	case 1:
		return found[0], nil
	}
	list := make([]string, 0, maxListed)
	for _, id := range found[:min(len(found), maxListed)] {
		list = append(list, string(id))
	}
	return "", cli.Hint(fmt.Errorf("%s is the beginning of more than one %s: %s", text, what, strings.Join(list, ", ")), "give more of it")
}

// Granted is what grant, delegate and request print with --json.
type Granted struct {
	Type      string `json:"type"` // "grant" or "request"
	ID        string `json:"id"`
	Subject   string `json:"subject"`
	Action    string `json:"action"`
	Scope     any    `json:"scope"`
	NotBefore string `json:"notBefore,omitempty"`
	Expires   string `json:"expires,omitempty"`
	Delegable int    `json:"delegable"`
	Parent    string `json:"parent,omitempty"`
}

// denied turns a refusal to write into the exit code for no.
func denied(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, capability.ErrInvalid):
		return cli.No(cli.Hint(err, "only operators grant; a holder hands on what was granted with --delegable: covenant capability list"))
	}
	return work.Explain(err)
}
