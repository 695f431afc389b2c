package evidencecmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/provenance"
)

type verifying struct {
	root           string
	require, kinds []string
	age            time.Duration
	json           bool
}

func newVerify(env *cli.Env) *cobra.Command {
	var o verifying
	cmd := &cobra.Command{
		Use:   "verify [REV]",
		Short: "Check the evidence about a tree, and ask for some",
		Long: `Check all evidence about the tree of a revision (default HEAD): signature and key, place in
its ledger, that it is about this tree and this repository, and that it names its signer. What
stands on the tree and is not good is told, and the exit code is 1.

A run that failed is good evidence of that. To have the exit code tell that something passed,
ask for it: --require NAME, of kinds of principals with --kind, no older than --max-age. Of
each signer the newest run of that name counts. What the policy demands is asked for by
"covenant verify".`,
		Example: "  covenant evidence verify\n  covenant evidence verify main --require test --kind automation --max-age 24h",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			rev := "HEAD"
			if len(args) > 0 {
				rev = args[0]
			}
			return o.run(cmd.Context(), env, rev)
		},
		ValidArgsFunction: cli.Complete(env, 1, work.Revisions(env)),
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.require, "require", nil, "evidence of this name must be there, and passed; may be given several times")
	f.StringSliceVar(&o.kinds, "kind", nil, "with --require: run by a principal of this kind: human, agent or automation")
	f.DurationVar(&o.age, "max-age", 0, "with --require: no older than that, such as 24h")
	f.StringVar(&o.root, "root", "", "hold it to this trust root instead of the pinned one")
	f.BoolVar(&o.json, "json", false, "print one JSON object per line")
	return cmd
}

// Told is a finding with --json.
type Told struct {
	Type string `json:"type"` // "finding", or "warning": it makes no difference to the answer
	verdict.Finding
}

// Summary ends the output with --json.
type Summary struct {
	Type     string `json:"type"` // "summary"
	OK       bool   `json:"ok"`
	Tree     string `json:"tree"`
	Evidence int    `json:"evidence"` // good statements about the tree
	Findings int    `json:"findings"`
}

func (o *verifying) checks() ([]trust.Check, error) {
	for _, k := range o.kinds {
		if !slices.Contains([]string{string(trust.Agent), string(trust.Automation), string(trust.Human)}, k) {
			return nil, cli.Usage("--kind takes human, agent or automation, not %s", say.Name(k))
		}
	}
	if len(o.require) == 0 && (len(o.kinds) > 0 || o.age != 0) {
		return nil, cli.Usage("--kind and --max-age go with --require NAME")
	}
	if o.age < 0 {
		return nil, cli.Usage("--max-age takes a time such as 24h")
	}
	var out []trust.Check
	for _, name := range o.require {
		if !identity.ValidName(name) {
			return nil, cli.Usage("--require: %s is no name", say.Name(name))
		}
		c := trust.Check{Name: name, Kinds: o.kinds}
		if o.age > 0 {
			c.MaxAge = o.age.String()
		}
		out = append(out, c)
	}
	return out, nil
}

func (o *verifying) run(ctx context.Context, env *cli.Env, rev string) error {
	checks, err := o.checks()
	if err != nil {
		return err
	}
	r, err := openRecord(ctx, env, o.root)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := provenance.InForce(r.Session, r.facts.Root, env.Now()); err != nil {
		return work.Explain(err)
	}
	tree, _, err := treeOf(r.Session, rev)
	if err != nil {
		return err
	}
	good, findings, err := r.facts.ExamineEvidence(r.Session, tree)
	if err != nil {
		return work.Explain(err)
	}
	newer := func(f verdict.Finding) bool { return f.Code == provenance.EvidenceNewer }
	for _, f := range findings {
		if newer(f) {
			if err := o.warn(env, f); err != nil {
				return err
			}
		}
	}
	told := slices.ContainsFunc(findings, newer)
	findings = slices.DeleteFunc(findings, newer)
	for _, p := range r.facts.Problems {
		if p.Code.Condemns() { // what is missing may be anything
			findings = append(findings, p)
		} else if !o.json {
			env.Talk().Warn("%s: %s", p.Code, p.Message)
		}
	}
	if len(good)+len(findings)+len(checks) == 0 && !told {
		return cli.Hint(fmt.Errorf("there is no evidence about tree %s", tree.Short()), "record some: covenant evidence run --name test -- COMMAND", "more may be at the remote: covenant sync")
	}
	now, proofs := env.Now(), r.facts.Proofs(tree)
	for _, c := range checks {
		if f := r.facts.World().Prove(c, proofs, now, now); f != nil {
			f.Hint = "covenant evidence run --name " + c.Name + " -- COMMAND"
			findings = append(findings, *f)
		}
	}
	for i := range good {
		if err := printOne(env, r.facts, &good[i], o.json); err != nil {
			return err
		}
	}
	if err := o.tell(env, findings); err != nil {
		return err
	}
	if o.json {
		err = env.JSON(Summary{"summary", len(findings) == 0, tree.String(), len(good), len(findings)})
	}
	if err == nil && len(findings) > 0 {
		err = cli.No(nil)
	}
	return err
}

func (o *verifying) warn(env *cli.Env, f verdict.Finding) error {
	if o.json {
		return env.JSON(Told{"warning", f})
	}
	env.Talk().Warn("%s: %s: %s", f.Code, envelope.Digest(f.Object).Short(), say.Line(f.Message))
	env.Talk().Hint(f.Hint)
	return nil
}

func (o *verifying) tell(env *cli.Env, findings []verdict.Finding) error {
	for _, f := range findings {
		var err error
		if o.json {
			err = env.JSON(Told{"finding", f})
		} else {
			_, err = fmt.Fprintf(env.Out, "%s %s\n", env.Palette().Bad(string(f.Code)), say.Line(f.Message))
			if f.Object != "" {
				_, oerr := fmt.Fprintf(env.Out, "  %s\n", say.Line(f.Object))
				err = errors.Join(err, oerr)
			}
			env.Talk().Hint(f.Hint)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
