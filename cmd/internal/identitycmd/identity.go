// Package identitycmd is the command group "identity": who may act here, and as whom you do.
package identitycmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/terminal"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// New returns the command group.
func New(env *cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "identity",
		Short: "Say who may act here, and choose as whom you do",
		Long: `A principal is who a key speaks for: a human of the trust root, or an agent or
automation that an operator introduced. The introduction is a signed grant in the
operator's ledger; it names the operator as the accountable human.

A hook takes its identity from COVENANT_IDENTITY, else from the worktree's
configuration, else from the repository's. Where an agent tool is seen running, a
human's identity is never taken by default.`,
	}
	cmd.AddCommand(newNew(env), newAdd(env), newList(env), newShow(env), newUse(env))
	return cmd
}

type intro struct {
	kind, key  string
	emails     []string
	passphrase bool
	json       bool
}

func (o *intro) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.kind, "kind", "agent", "what it is: agent or automation")
	f.StringArrayVar(&o.emails, "email", nil, "e-mail address it commits with; may be repeated (default: user.email of this repository)")
	f.BoolVar(&o.json, "json", false, "print one JSON object")
}

func newNew(env *cli.Env) *cobra.Command {
	var o intro
	cmd := &cobra.Command{
		Use:   "new NAME",
		Short: "Make a key and introduce its holder",
		Long: `Make an ed25519 key in your configuration directory and introduce its holder: a
signed grant of repo.commit in your ledger, with you as the accountable human. Only
an operator can.`,
		Example: `  covenant identity new coder --kind agent
  COVENANT_IDENTITY=coder git commit -m "work of the agent"`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runNew(cmd.Context(), env, args[0], o) },
	}
	o.flags(cmd)
	cmd.Flags().BoolVar(&o.passphrase, "passphrase", false, "ask for a passphrase for the new key")
	return cmd
}

func newAdd(env *cli.Env) *cobra.Command {
	var o intro
	cmd := &cobra.Command{
		Use:   "add NAME --key PUB",
		Short: "Introduce the holder of a key that exists",
		Long: `Introduce the holder of a public key: the path of a .pub file, an OpenSSH public
key line, what gpg --export --armor prints, or "-" for standard input. The private half stays where it is.`,
		Example: `  covenant identity add reviewer --key reviewer.pub --kind agent
  ssh-add -L | head -n1 | covenant identity add ci --kind automation --key -`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runAdd(cmd.Context(), env, args[0], o) },
	}
	o.flags(cmd)
	cmd.Flags().StringVar(&o.key, "key", "", "public key: file, text, or - for standard input")
	return cmd
}

// Introduced is what new and add print with --json.
type Introduced struct {
	Type        string `json:"type"` // "identity"
	Name        string `json:"name"`
	Kind        string `json:"kind"`
	Accountable string `json:"accountable"`
	Key         string `json:"key"`   // key id
	Grant       string `json:"grant"` // id
}

func runNew(ctx context.Context, env *cli.Env, name string, o intro) error {
	path := filepath.Join(provenance.KeysDir(work.ConfigDir(env)), name)
	if err := checkKind(name, o.kind); err != nil {
		return err
	}
	return introduce(ctx, env, name, o, func(a *capability.Authority) (identity.PublicKey, error) {
		if _, err := os.Lstat(path); err == nil {
			next := fmt.Sprintf("introduce it here, too: covenant identity add %s --kind %s --key %s", name, o.kind, say.Shell(path+".pub"))
			if _, known := a.ByName(name); known {
				next = "it is known here already: covenant identity use " + name
			}
			return nil, cli.Hint(fmt.Errorf("there is a key for %q already: %s", name, path), next)
		}
		var pass []byte
		if o.passphrase {
			var err error
			if pass, err = terminal.Passphrase("the new key"); err != nil {
				return nil, err
			}
		}
		s, err := identity.Generate(path, name, pass)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", path, err)
		}
		return s.Public(), nil
	})
}

func runAdd(ctx context.Context, env *cli.Env, name string, o intro) error {
	if o.key == "" {
		return cli.Hint(cli.Usage("whose key it is must be said: --key PUB, the path of a .pub file, its text, or - for standard input"), "make one with the identity: covenant identity new "+say.Shell(name))
	}
	if err := checkKind(name, o.kind); err != nil {
		return err
	}
	return introduce(ctx, env, name, o, func(*capability.Authority) (identity.PublicKey, error) { return work.PublicKey(ctx, env, o.key) })
}

func checkKind(name, kind string) error {
	if kind == "human" {
		return cli.Usage("persons are named by the trust root; identity introduces agents and automation")
	}
	if kind != "agent" && kind != "automation" {
		return cli.Usage("--kind is agent or automation, not %q", kind)
	}
	if name == "" || strings.ContainsAny(name, `/\`) {
		return cli.Usage("%q is no name: letters, digits, and ._- inside", name)
	}
	return nil
}

func introduce(ctx context.Context, env *cli.Env, name string, o intro, key func(*capability.Authority) (identity.PublicKey, error)) error {
	w, pin, err := work.OpenPinned(ctx, env, "")
	if err != nil {
		return err
	}
	defer w.Close()
	f, err := w.Cache(false).Load(ctx, w.Session, pin)
	if err != nil {
		return work.Explain(err)
	}
	k, err := w.Sealer(f)
	if err != nil {
		return err
	}
	if !k.Hand.Principal.Operator {
		err := fmt.Errorf("only an operator introduces principals, and %s is none", k.Hand.Principal.Name)
		if p := k.Hand.Principal; p.Accountable != p.Name {
			return cli.No(cli.Hint(err, "what may be handed on is handed on to a key, which introduces its holder: covenant capability delegate GRANT --to "+say.Shell(name)+" --key PUB", "or ask "+p.Accountable+", who answers for "+p.Name))
		}
		return cli.No(cli.Hint(err, "act as an operator: --identity NAME, or COVENANT_IDENTITY=NAME"))
	}
	emails := o.emails
	if len(emails) == 0 {
		if e, ok := w.Session.Repo().Config().Get("user.email"); ok {
			emails = []string{e}
		}
	}
	if len(emails) == 0 {
		env.Talk().Warn("%s has no e-mail address: its commits can only be vouched for; name one with --email", name)
	}
	g := capability.Grant{
		Action: capability.Commit, Introduction: true, Scope: capability.Whole,
		Subject: capability.Subject{Accountable: k.Hand.Principal.Name, Emails: emails, Kind: o.kind, Name: name},
	}
	if p, ok := f.Authority.ByName(name); ok && p.Kind != o.kind {
		return cli.Hint(fmt.Errorf("%s is known here already, as %s", name, p.Kind), "see who is: covenant identity list")
	}
	pub, err := key(f.Authority)
	if err != nil {
		return work.Explain(err)
	}
	if p, ok := f.Authority.ByKey(pub.ID()); ok {
		return cli.Hint(fmt.Errorf("the key %s is %s's already", pub.ID(), p.Name), "see who is known here: covenant identity list")
	}
	g.Subject.Key = pub.String()
	if err := w.Presence(f.Root, k.Hand.Signer.Public(), "introduce "+name); err != nil {
		return err
	}
	id, err := k.Grant(ctx, g)
	if err != nil {
		return work.Explain(err)
	}
	made := Introduced{"identity", name, o.kind, k.Hand.Principal.Name, pub.ID(), string(id)}
	if o.json {
		return env.JSON(made)
	}
	_, err = fmt.Fprintf(env.Out, "%s %s %s (%s), accountable: %s\ngrant %s: %s\n",
		env.Palette().Good("introduced"), o.kind, name, pub.ID(), made.Accountable, id.Short(), g.Action)
	switch t := env.Talk(); {
	case err != nil:
	case o.key == "":
		t.Hint("let it commit as itself: COVENANT_IDENTITY=" + name + " git commit …")
	default:
		if len(o.emails) == 0 && len(emails) > 0 {
			t.Note("its commits carry your address, there: git config user.email %s", say.Shell(emails[0]))
		}
		t.Hint("where its private key is, after covenant sync: covenant identity use " + name + " --key PATH")
	}
	return err
}

// Listed is one line of list and show with --json.
type Listed struct {
	Type        string   `json:"type"` // "identity"
	Name        string   `json:"name"`
	Kind        string   `json:"kind"`
	Accountable string   `json:"accountable"`
	Operator    bool     `json:"operator"`
	Keys        []string `json:"keys"`
	Emails      []string `json:"emails"`
	Chosen      bool     `json:"chosen"` // acts here by default
}

func newList(env *cli.Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List who may act here",
		Long: `List the principals of this repository: name, kind, accountable human and keys. A
star marks the one that acts here by default.`,
		Example: "  covenant identity list\n  covenant identity list --json | jq -r 'select(.kind==\"agent\").name'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := load(cmd.Context(), env)
			if err != nil {
				return err
			}
			for _, l := range list {
				if asJSON {
					err = env.JSON(l)
				} else {
					mark := " "
					if l.Chosen {
						mark = "*"
					}
					_, err = fmt.Fprintf(env.Out, "%s %-20s %-10s %-20s %s\n", mark, l.Name, l.Kind, l.Accountable, strings.Join(l.Keys, " "))
				}
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per principal")
	return cmd
}

func newShow(env *cli.Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show [NAME]",
		Short: "Show a principal, by default the one that acts here",
		Long: `Show a principal: what it is, who answers for it, its keys, and the e-mail addresses
it commits with. A commit by another address can only be vouched for.`,
		Example: "  covenant identity show\n  covenant identity show coder --json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := load(cmd.Context(), env)
			if err != nil {
				return err
			}
			for _, l := range list {
				if (len(args) == 1 && l.Name != args[0]) || (len(args) == 0 && !l.Chosen) {
					continue
				}
				if asJSON {
					return env.JSON(l)
				}
				role := ""
				if l.Operator {
					role = ", operator"
				}
				_, err := fmt.Fprintf(env.Out, "%s (%s%s)\naccountable: %s\nkeys:        %s\ncommits as:  %s\n",
					l.Name, l.Kind, role, l.Accountable, strings.Join(l.Keys, "\n             "), say.Line(strings.Join(l.Emails, ", ")))
				return err
			}
			if len(args) == 0 {
				return work.Explain(provenance.ErrNoIdentity)
			}
			return cli.Hint(work.Explain(&provenance.NobodyError{Name: args[0]}), "see who is: covenant identity list")
		},
	}
	cmd.ValidArgsFunction = cli.Complete(env, 1, work.Names(env))
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func load(ctx context.Context, env *cli.Env) ([]Listed, error) {
	w, pin, err := work.OpenPinned(ctx, env, "")
	if err != nil {
		return nil, err
	}
	defer w.Close()
	f, err := w.Cache(false).Load(ctx, w.Session, pin)
	if err != nil {
		return nil, work.Explain(err)
	}
	chosen := w.Choice().Explicit
	if chosen == "" {
		chosen, _ = w.Session.Repo().Config().Get(provenance.IdentityKey)
	}
	chosenKey := ""
	if strings.ContainsAny(chosen, `/\`) {
		if pub, err := identity.PublicOfFile(chosen); err == nil {
			chosenKey = pub.ID()
		}
	}
	var out []Listed
	for _, p := range f.Authority.Principals() {
		l := Listed{Type: "identity", Name: p.Name, Kind: p.Kind, Accountable: p.Accountable, Operator: p.Operator, Emails: p.Emails, Chosen: p.Name == chosen || (chosenKey != "" && p.Keys[0].ID() == chosenKey), Keys: []string{}}
		if l.Emails == nil {
			l.Emails = []string{}
		}
		for _, k := range p.Keys {
			l.Keys = append(l.Keys, k.ID())
		}
		out = append(out, l)
	}
	return out, nil
}

func newUse(env *cli.Env) *cobra.Command {
	var worktree bool
	var key string
	cmd := &cobra.Command{
		Use:   "use NAME",
		Short: "Choose as whom commits of this repository, or worktree, are sealed",
		Long: `Choose as whom commits are sealed, in this repository or with --worktree in this
worktree alone. COVENANT_IDENTITY in the environment goes before both. Where the key that
was chosen for it is none of its any more, and another one is on this machine, that is
chosen. Whom only a staged version of the trust root names can be chosen to sign it.`,
		Example: `  covenant identity use alice
  covenant identity use coder --worktree
  covenant identity use alice --key agent`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runUse(cmd.Context(), env, args[0], key, worktree)
		},
	}
	cmd.ValidArgsFunction = cli.Complete(env, 1, work.Names(env))
	cmd.Flags().BoolVar(&worktree, "worktree", false, "only in this worktree (turns on extensions.worktreeConfig)")
	cmd.Flags().StringVar(&key, "key", "", "where its private key is: a path, \"agent\" or \"openpgp\"")
	return cmd
}

func runUse(ctx context.Context, env *cli.Env, name, key string, worktree bool) error {
	w, pin, err := work.OpenPinned(ctx, env, "")
	if err != nil {
		return err
	}
	defer w.Close()
	f, err := w.Cache(false).Load(ctx, w.Session, pin)
	if err != nil {
		return work.Explain(err)
	}
	p, ok := f.Authority.ByName(name)
	var draft *provenance.Staged
	if !ok {
		if p, draft, err = staged(w, f.Root, name); err != nil {
			return work.Explain(err)
		}
	}
	if p == nil {
		return cli.Hint(work.Explain(provenance.Nobody(f.Authority, name)), "see who is: covenant identity list", "whoever was added meanwhile comes with: covenant sync")
	}
	if key != "" && key != "agent" && key != "openpgp" {
		pub, err := identity.PublicOfFile(env.Path(key))
		if err != nil {
			return cli.Hint(fmt.Errorf("--key %s: %w", key, err), "name the file of the private key")
		}
		if !slices.ContainsFunc(p.Keys, func(k identity.PublicKey) bool { return k.ID() == pub.ID() }) {
			see := "see its keys: covenant identity show " + name
			if draft != nil {
				see = "see its keys: covenant trust show"
			}
			return cli.Hint(fmt.Errorf("%w: %s is not %s's", provenance.ErrOtherKey, pub.ID(), name), see)
		}
		key = env.Path(key)
	}
	if key == "" && provenance.CheckKey(w.Session.Repo(), p, w.Choice()) != nil {
		if other, ok := provenance.OtherKey(w.Session.Repo(), p, w.Choice()); ok {
			env.Talk().Note("the key that was chosen is none of %s's any more; from now on: %s", name, other)
			key = other
		}
	}
	if !keyHere(w, f.Authority, p, key) {
		env.Talk().Warn("no private key of %s's is found here, and nothing is sealed without", name)
		env.Talk().Hint("say where it is: covenant identity use " + name + " --key PATH, or --key agent when ssh-agent has it")
	}
	if worktree {
		if err := w.OwnWorktreeConfig(ctx); err != nil {
			return err
		}
	}
	if key != "" {
		if err := w.SetConfig(ctx, false, provenance.KeyOf(name), key); err != nil {
			return err
		}
	}
	if err := w.SetConfig(ctx, worktree, provenance.IdentityKey, name); err != nil || draft == nil {
		return err
	}
	env.Talk().Note("%s is named by version %d of the trust root, which is staged: until it is in force, what %s commits is not sealed", name, draft.Version, name)
	if slices.Contains(draft.Draft.Missing(), name) {
		env.Talk().Hint(fmt.Sprintf("look at it: covenant trust show; then sign it: covenant trust sign %d; and send that: covenant sync", draft.Version))
	}
	return nil
}

// staged finds somebody whom no version in force names, and a draft of the next one does: who is to sign it acts here before.
func staged(w *work.Work, root *provenance.Root, name string) (*capability.Principal, *provenance.Staged, error) {
	drafts, err := provenance.Drafts(w.Session, root)
	if err != nil {
		return nil, nil, err
	}
	for i := range drafts {
		d := &drafts[i]
		if d.Err != nil || d.Draft.Root.Person(name) == nil {
			continue
		}
		next := *root
		next.Root = d.Draft.Root
		if p, ok := capability.Fold(provenance.Persons(&next), nil, nil).ByName(name); ok {
			return p, d, nil
		}
	}
	return nil, nil, nil
}

// keyHere reports whether a key of a principal's is where it was said to be, or where it is looked for. Nobody is asked for a passphrase.
func keyHere(w *work.Work, a *capability.Authority, p *capability.Principal, key string) bool {
	c := w.Choice()
	if key != "" {
		return c.Holds(p, key)
	}
	if _, known := a.ByName(p.Name); !known {
		a = capability.Fold([]capability.Principal{*p}, nil, nil)
	}
	c.Explicit, c.Ask = p.Name, nil
	_, err := provenance.ChooseHand(w.Session.Repo(), a, c)
	return err == nil || errors.Is(err, identity.ErrPassphrase)
}
