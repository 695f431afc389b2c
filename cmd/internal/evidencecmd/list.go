package evidencecmd

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

type listing struct {
	name string
	most int
	json bool
}

func newList(env *cli.Env) *cobra.Command {
	var o listing
	cmd := &cobra.Command{
		Use:   "list [REV]",
		Short: "List evidence, the newest first",
		Long: `List the evidence that stands in ledgers, the newest first: all of it, or that about the
tree of a revision. The kind of who ran it is said where that is no person.`,
		Example: "  covenant evidence list\n  covenant evidence list HEAD --json | jq -r 'select(.result==\"failed\") | .name'",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), env, args)
		},
		ValidArgsFunction: cli.Complete(env, 1, work.Revisions(env)),
	}
	f := cmd.Flags()
	f.StringVar(&o.name, "name", "", "only evidence of this name")
	f.IntVarP(&o.most, "max-count", "n", 0, "list at most this many (default: all)")
	f.BoolVar(&o.json, "json", false, "print one JSON object per line")
	return cmd
}

func (o *listing) run(ctx context.Context, env *cli.Env, args []string) error {
	r, err := openRecord(ctx, env, "")
	if err != nil {
		return err
	}
	defer r.Close()
	list := r.facts.AllEvidence()
	var tree oid.ID
	if len(args) > 0 {
		if tree, _, err = treeOf(r.Session, args[0]); err != nil {
			return err
		}
	}
	n := 0
	for i := range list {
		e := &list[i]
		if (len(args) > 0 && e.Statement.Tree() != tree) || (o.name != "" && e.Statement.Predicate.Run.Name != o.name) {
			continue
		}
		if n++; o.most > 0 && n > o.most {
			break
		}
		if err := printOne(env, r.facts, e, o.json); err != nil {
			return err
		}
	}
	if n == 0 {
		env.Talk().Note("there is none; record some with: covenant evidence run --name test -- COMMAND")
	}
	return nil
}

func printOne(env *cli.Env, f *provenance.Facts, e *provenance.Evidence, asJSON bool) error {
	x := shown(f, e)
	if asJSON {
		return env.JSON(x)
	}
	_, err := fmt.Fprintln(env.Out, line(env, &x)+"  "+env.Palette().Dim("tree "+say.Line(x.Tree[:12])))
	return err
}
