package evidencecmd

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/terminal"
	stated "github.com/open-covenant/covenant-git/envelope/evidence"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
	"github.com/open-covenant/covenant-git/runtime/evidence"
)

type repeating struct {
	running
	yes, json bool
}

func newRerun(env *cli.Env) *cobra.Command {
	var o repeating
	cmd := &cobra.Command{
		Use:   "rerun ID|NAME",
		Short: "Run again what evidence is of, and compare",
		Long: `Run the command of some evidence again, in a clean checkout of its tree, and compare: exit,
and what reports of tests count. It is recorded as evidence of its own, which names the first.
The exit code is 0 where it came out the same, 1 where it did not, 2 where it could not be
run again. What the command writes goes to standard error.

The command is whatever the first run's signer says it was. One that somebody else recorded
runs only after you were asked on the terminal, or with --yes.`,
		Example: "  covenant evidence rerun test\n  covenant evidence rerun sha256:1b4f0e98 --yes --identity ci",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.again(cmd.Context(), env, args[0])
		},
	}
	o.flags(cmd)
	f := cmd.Flags()
	f.BoolVarP(&o.yes, "yes", "y", false, "run what somebody else recorded, unasked")
	f.BoolVar(&o.json, "json", false, "print one JSON object")
	return cmd
}

// Again is the comparison of two runs, with --json.
type Again struct {
	Type        string   `json:"type"` // "rerun"
	ID          string   `json:"id"`
	First       string   `json:"first"`
	Name        string   `json:"name"`
	Tree        string   `json:"tree"`
	Same        bool     `json:"same"`
	Differences []string `json:"differences"`
}

func (o *repeating) again(ctx context.Context, env *cli.Env, what string) error {
	r, err := openRecord(context.WithoutCancel(ctx), env, "")
	if err != nil {
		return err
	}
	defer r.Close()
	r.Explicit = o.who
	var tree oid.ID
	if head, err := r.Session.Commit("HEAD"); err == nil {
		tree = head.Tree
	}
	first, err := r.facts.FindEvidence(what, tree)
	if err != nil {
		return explain(err)
	}
	k, err := r.Sealer(r.facts)
	if err != nil {
		return err
	}
	p := &first.Statement.Predicate
	run := &p.Run
	quoted := make([]string, len(run.Argv))
	for i, a := range run.Argv {
		if strings.Contains(a, "[redacted:") {
			return cli.Hint(fmt.Errorf("evidence %s: argument %d was redacted before it was recorded: it can't be run again", first.ID.Short(), i+1), "run it anew, with what is secret in the environment: covenant evidence run --name "+run.Name+" -- COMMAND")
		}
		quoted[i] = say.Shell(a)
	}
	command := strings.Join(quoted, " ")
	if err := o.allowed(r.facts, &first, k, command); err != nil {
		return err
	}
	env.Talk().Note("on tree %s, in a checkout: %s", first.Statement.Tree().Short(), command)
	q := &evidence.Request{Name: run.Name, Argv: run.Argv, Tree: first.Statement.Tree(), Dir: run.Dir, Clean: true, Rerun: first.ID, Out: env.Err, Err: env.Err}
	out, err := o.observe(r.Work, q)
	if err != nil {
		return explain(err)
	}
	if out.Interrupted {
		return cli.Hint(errors.New("it was interrupted: nothing was recorded"), "again: covenant evidence rerun "+say.Shell(what))
	}
	id, err := keep(r.Work, k, q, out)
	if err != nil {
		return err
	}
	diff := evidence.Differences(p, &out.Predicate)
	a := Again{Type: "rerun", ID: string(id), First: string(first.ID), Name: q.Name, Tree: q.Tree.String(), Same: len(diff) == 0, Differences: diff}
	if a.Differences == nil {
		a.Differences = []string{}
	}
	if err := o.print(env, &a, &out.Predicate); err != nil {
		return err
	}
	if !a.Same {
		return cli.No(nil)
	}
	return nil
}

// allowed asks before a command runs that somebody else chose.
func (o *repeating) allowed(f *provenance.Facts, first *provenance.Evidence, k *provenance.Sealer, command string) error {
	who, ok := f.Authority.ByKey(first.KeyID)
	if o.yes || (ok && who.Name == k.Hand.Principal.Name) {
		return nil
	}
	name := first.KeyID
	if ok {
		name = who.Name
	}
	yes, err := terminal.Confirm(fmt.Sprintf("%s recorded this command: %s\nRun it here?", say.Name(name), say.Clean(command)))
	if errors.Is(err, terminal.ErrNone) {
		return cli.Hint(fmt.Errorf("%s recorded this command, and nobody is here to say that it may run: %s", say.Name(name), say.Line(command)), "where you trust it: --yes")
	}
	if err != nil {
		return err
	}
	if !yes {
		return cli.Code(cli.ExitNoAnswer, errors.New("it was not run"))
	}
	return nil
}

func (o *repeating) print(env *cli.Env, a *Again, second *stated.Predicate) error {
	if o.json {
		return env.JSON(a)
	}
	p := env.Palette()
	if a.Same {
		_, err := fmt.Fprintf(env.Out, "%s %s: exit %d again\n%s\n", p.Good("same"), say.Name(a.Name), second.Run.Exit, a.ID)
		return err
	}
	_, err := fmt.Fprintf(env.Out, "%s %s\n", p.Bad("differs"), say.Name(a.Name))
	for _, d := range a.Differences {
		if err == nil {
			_, err = fmt.Fprintf(env.Out, "  %s\n", say.Line(d))
		}
	}
	if err == nil {
		_, err = fmt.Fprintln(env.Out, a.ID)
	}
	return err
}
