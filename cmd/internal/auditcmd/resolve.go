package auditcmd

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/git/provenance"
)

type resolving struct {
	keep, reason, who string
	json              bool
}

// Forked is a ledger that went two ways, and what was decided, with --json.
type Forked struct {
	Type   string `json:"type"` // "fork", or "resolution" of what was decided now
	ID     string `json:"id,omitempty"`
	Ledger string `json:"ledger"`
	Seq    uint64 `json:"seq"`   // of the first entry that differs
	Here   string `json:"here"`  // the entry of that number which the ledger has here
	There  string `json:"there"` // the other one
	Ref    string `json:"ref"`   // where the other way is
	Keep   string `json:"keep,omitempty"`
}

func newResolve(env *cli.Env) *cobra.Command {
	var o resolving
	cmd := &cobra.Command{
		Use:   "resolve [LEDGER --keep here|there]",
		Short: "Decide, as an operator, which way a forked ledger goes",
		Long: `List the ledgers whose writers signed two entries of one number: a stolen key, a restored
disk or a copied clone makes them. Until an operator decides, revocations and denials of both
ways count, and grants of neither that were given after the fork.

With a ledger and --keep, an operator says which way it goes: the one it has here, or the
other one ("there"). That is an entry of the operator's own ledger, and goes to everybody with
it. What the other way says counts for nothing from then on; it is kept as evidence.`,
		Example: "  covenant audit resolve\n  covenant audit resolve capability/1b7aba67280f53ca-c5f6520f --keep here --reason 'the key was stolen'",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), env, args)
		},
	}
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	f := cmd.Flags()
	f.StringVar(&o.keep, "keep", "", "which way it goes: here or there")
	f.StringVarP(&o.reason, "reason", "m", "", "why")
	f.StringVar(&o.who, "identity", "", "act as this principal: a name, or the path of a private key")
	f.BoolVar(&o.json, "json", false, "print one JSON object per ledger")
	return cmd
}

func (o *resolving) run(ctx context.Context, env *cli.Env, args []string) error {
	if o.keep != "" && o.keep != "here" && o.keep != "there" {
		return cli.Usage("--keep takes here or there, not %q", o.keep)
	}
	if err := checkReason(o.reason); err != nil {
		return err
	}
	w, err := openRecord(ctx, env, "", false)
	if err != nil {
		return err
	}
	defer w.Close()
	w.Explicit = o.who
	f := w.facts
	forks := f.Forks()
	if len(args) == 0 {
		if o.keep != "" {
			return cli.Usage("--keep is of one ledger: name it")
		}
		for i := range forks {
			if err := o.print(env, &forks[i], Forked{Type: "fork"}); err != nil {
				return err
			}
		}
		return nil
	}
	var found []provenance.Fork
	for _, x := range forks {
		if x.Ledger.String() == args[0] || strings.HasPrefix(string(x.Ledger.Writer), args[0]) {
			found = append(found, x)
		}
	}
	switch {
	case len(found) == 0:
		return cli.Hint(fmt.Errorf("no ledger %s went two ways here, or operators said already that it goes as it does", args[0]), "see those that did: covenant audit resolve")
	case len(found) > 1:
		return cli.Hint(fmt.Errorf("%s is the beginning of more than one, or one went more than two ways", args[0]), "see them: covenant audit resolve --json", "take away the evidence that is not meant: git update-ref -d REF")
	case o.keep == "":
		return cli.Hint(cli.Usage("which way does it go?"), "see both: git log --graph "+found[0].Ledger.Ref()+" "+found[0].Ref, "say it: --keep here, or --keep there")
	}
	x := found[0]
	if o.keep == "there" {
		if err := x.Reaches(); err != nil {
			return cli.No(cli.Hint(err, "decide where they are: in a clone that has not dropped them"))
		}
	}
	k, err := w.Sealer(f)
	if err != nil {
		return err
	}
	if !k.Hand.Principal.Operator {
		return cli.No(cli.Hint(fmt.Errorf("%s is no operator, and operators decide", say.Line(k.Hand.Principal.Name)), "see who is: covenant trust show"))
	}
	if err := w.Presence(f.Root, k.Hand.Signer.Public(), "say that "+x.Ledger.String()+" goes on with what is "+o.keep); err != nil {
		return err
	}
	if o.reason, err = work.Redacted(env, "--reason", o.reason); err != nil {
		return err
	}
	id, err := k.Resolve(ctx, x, o.keep == "there", o.reason)
	if err != nil {
		return work.Explain(err)
	}
	if o.keep == "there" {
		if err := provenance.Turn(w.Session, x); err != nil {
			return cli.Hint(fmt.Errorf("it is decided (%s), and the ledger was not moved: %w", id.Short(), err), "move it: covenant doctor --fix")
		}
	}
	return o.print(env, &x, Forked{Type: "resolution", ID: string(id), Keep: o.keep})
}

func (o *resolving) print(env *cli.Env, x *provenance.Fork, out Forked) error {
	out.Ledger, out.Seq, out.Here, out.There, out.Ref = x.Ledger.String(), x.Seq, string(x.Here), string(x.There), x.Ref
	if o.json {
		return env.JSON(out)
	}
	if out.Keep != "" {
		_, err := fmt.Fprintf(env.Out, "%s\n", out.ID)
		return err
	}
	_, err := fmt.Fprintf(env.Out, "%s entry %d: here %s, there %s (%s)\n", say.Line(out.Ledger), out.Seq, x.Here.Short(), x.There.Short(), say.Line(out.Ref))
	return err
}
