package intentcmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope/intent"
	"github.com/open-covenant/covenant-git/git/intents"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// stepFlags are what goes with a move, as flags.
type stepFlags struct {
	role, note, next, who string
	artifacts             []string
	json                  bool
}

func (o *stepFlags) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.role, "role", "", "in which role you act (default: the first in which you may go there)")
	f.StringVarP(&o.note, "message", "m", "", "why, for people")
	f.StringVar(&o.next, "next", "", "what is to be done next")
	f.StringArrayVar(&o.artifacts, "artifact", nil, "what is shown at a gate, as GATE=REF: PATH@REVISION, the sha256:… of an entry, or text:…; may be repeated")
	f.StringVar(&o.who, "identity", "", "act as this principal: a name, or the path of a private key")
	f.BoolVar(&o.json, "json", false, "print one JSON object for each step")
}

// step is what is said of a move.
func (o *stepFlags) step(d *desk) (intents.Step, error) {
	var s intents.Step
	var err error
	if o.role != "" {
		if s.Role, err = intent.ParseRole(o.role); err != nil {
			return s, cli.Usage("%v", err)
		}
	}
	if s.Note, err = work.Redacted(d.Env, "--message", o.note); err != nil {
		return s, err
	}
	if s.Next, err = work.Redacted(d.Env, "--next", o.next); err != nil {
		return s, err
	}
	for _, text := range o.artifacts {
		gate, ref, ok := strings.Cut(text, "=")
		if !ok {
			return s, cli.Usage("--artifact takes GATE=REF, not %.100q", text)
		}
		g, err := intent.ParseGate(gate)
		if err != nil {
			return s, cli.Usage("%v", err)
		}
		if ref, err = work.Redacted(d.Env, "--artifact", ref); err != nil {
			return s, err
		}
		a, err := intents.Show(d.Session, g, ref)
		if err != nil {
			return s, explain(err)
		}
		s.Artifacts = append(s.Artifacts, a)
	}
	return s, nil
}

// print tells of a step that was taken.
func (o *stepFlags) print(d *desk, s *intent.Intent, from intent.State) error {
	if o.json {
		return d.Env.JSON(written(s, from))
	}
	_, err := fmt.Fprintf(d.Env.Out, "%s %s %s → %s\n", d.Env.Palette().Good("moved"), s.ID.Short(), from, s.State)
	return err
}

func newMove(env *cli.Env) *cobra.Command {
	var o stepFlags
	cmd := &cobra.Command{
		Use:   "move ID STATE",
		Short: "Take an intent to another state",
		Long: `Take an intent to another state. The exit code is 1 when that is refused: its state has no
such way, you act in another role than that wants, no grant of intent.move allows it, or a gate
that guards the state has nothing to show.

  proposed → triaged → planned → in_progress → self_review → cross_review → validation → ready → integrated
  self_review → validation; self_review, cross_review, validation, ready → repair → validation
  proposed, triaged, planned, in_progress → blocked → triaged; integrated → triaged`,
		Example: `  covenant intent move fix-login triaged
  covenant intent move fix-login in_progress --artifact plan=docs/plan.md@HEAD
  covenant intent move fix-login ready --role verifier --artifact 'security=text:no input of others reaches it' -m 'all tests pass'`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: then(env),
		RunE: func(cmd *cobra.Command, args []string) error {
			to, err := intent.ParseState(args[1])
			if err != nil {
				return cli.Usage("%v", err)
			}
			return o.run(cmd.Context(), env, args[0], func(intent.State) []intent.State { return []intent.State{to} })
		},
	}
	o.bind(cmd)
	return cmd
}

// run takes an intent along a way that depends on where it is. What is said goes with the last step; artifacts with the one that they are for.
func (o *stepFlags) run(ctx context.Context, env *cli.Env, name string, way func(intent.State) []intent.State) error {
	d, err := act(ctx, env, o.who)
	if err != nil {
		return err
	}
	defer d.Close()
	_, err = o.walk(ctx, d, name, way)
	return err
}

func (o *stepFlags) walk(ctx context.Context, d *desk, name string, way func(intent.State) []intent.State) (*intent.Intent, error) {
	r, err := d.find(name)
	if err != nil {
		return nil, err
	}
	said, err := o.step(d)
	if err != nil {
		return nil, err
	}
	s, err := d.book.Intent(r.ID)
	if err != nil {
		return nil, explain(err)
	}
	states := way(r.State)
	for i, to := range states {
		step := said
		if i < len(states)-1 {
			step = intents.Step{}
			for _, a := range said.Artifacts {
				if g, _ := intent.GuardOf(a.Gate); g.Before == to {
					step.Artifacts = append(step.Artifacts, a)
				}
			}
			said.Artifacts = slices.DeleteFunc(said.Artifacts, func(a intent.Artifact) bool { return slices.Contains(step.Artifacts, a) })
		}
		step.To = to
		from := s.State
		if s, err = d.book.Move(ctx, d.sealer, r.ID, step); err != nil {
			var refused *intents.RefusedError
			for at := to; errors.As(err, &refused) && i+1 < len(states); i++ { // a grant for this step alone ends at the next
				refused.Ahead, at = append(refused.Ahead, intent.RolesFor(at, states[i+1])[0]), states[i+1]
			}
			return nil, explain(err)
		}
		if err := o.print(d, s, from); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func newBlock(env *cli.Env) *cobra.Command {
	var o stepFlags
	cmd := &cobra.Command{
		Use:   "block ID -m WHY",
		Short: "Say that an intent cannot go on, and why",
		Long: `Take an intent to the state blocked, from proposed, triaged, planned or in_progress.
"covenant intent reopen" takes it back to triaged.`,
		Example:           "  covenant intent block fix-login -m 'the designers are away until Monday'",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: complete(env),
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(o.note) == "" {
				return cli.Hint(cli.Usage("nobody will know why"), "say it: covenant intent block ID -m WHY")
			}
			return o.run(cmd.Context(), env, args[0], func(intent.State) []intent.State { return []intent.State{intent.Blocked} })
		},
	}
	o.bind(cmd)
	return cmd
}

func newReopen(env *cli.Env) *cobra.Command {
	var o stepFlags
	cmd := &cobra.Command{
		Use:   "reopen ID",
		Short: "Take up again what was integrated, blocked or ready",
		Long: `Take an intent that is integrated or blocked back to triaged, and one that is ready back to
repair. What was shown at its gates was of the work as it was: it is to be shown again.`,
		Example:           "  covenant intent reopen fix-login -m 'it is back in release 2'",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: complete(env),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), env, args[0], func(from intent.State) []intent.State {
				if from == intent.Ready {
					return []intent.State{intent.Repair}
				}
				return []intent.State{intent.Triaged}
			})
		},
	}
	o.bind(cmd)
	return cmd
}

func newDone(env *cli.Env) *cobra.Command {
	var o stepFlags
	cmd := &cobra.Command{
		Use:   "done ID",
		Short: "Take an intent to integrated, step by step",
		Long: `Take an intent from where it is to integrated, by the shortest way. Each step is recorded, and
each is one that you may take and whose gates are shown something: at the first that is
refused it stands still, with exit code 1, and the steps before it are taken.`,
		Example:           "  covenant intent done fix-login --artifact docs=docs/login.md@HEAD",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: complete(env),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), env, args[0], func(from intent.State) []intent.State { return wayTo(from, intent.Integrated) })
		},
	}
	o.bind(cmd)
	return cmd
}

// wayTo is the shortest way; where there is none, the step that is refused with the reason.
func wayTo(from, to intent.State) []intent.State {
	if way := intent.Path(from, to); from != to && way != nil {
		return way
	}
	return []intent.State{to}
}

func newStart(env *cli.Env) *cobra.Command {
	var o stepFlags
	var tree bool
	cmd := &cobra.Command{
		Use:   "start ID",
		Short: "Begin to work on an intent",
		Long: `Take an intent from proposed, triaged or planned to in_progress, step by step; one that is
further stays where it is. Then a line is printed with which a shell makes commits for this
intent: seals, trailers and checks name it. With --worktree it is written into the
configuration of this work tree instead, where hooks find it when COVENANT_INTENT is not set.`,
		Example: `  eval "$(covenant intent start fix-login)"
  covenant intent start fix-login --worktree`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: complete(env),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runStart(cmd.Context(), env, &o, tree, args[0])
		},
	}
	o.bind(cmd)
	cmd.Flags().BoolVar(&tree, "worktree", false, "write it into the configuration of this work tree, and print nothing (turns on extensions.worktreeConfig)")
	return cmd
}

// under is where an intent is being worked on.
var under = map[intent.State]bool{
	intent.InProgress: true, intent.SelfReview: true, intent.CrossReview: true, intent.Validation: true, intent.Repair: true, intent.Ready: true,
}

func runStart(ctx context.Context, env *cli.Env, o *stepFlags, tree bool, name string) error {
	d, err := act(ctx, env, o.who)
	if err != nil {
		return err
	}
	defer d.Close()
	r, err := d.find(name)
	if err != nil {
		return err
	}
	if on, _ := d.book.Waits(&r); len(on) > 0 {
		return cli.No(cli.Hint(fmt.Errorf("refused: %s needs %s, which is not integrated", r.ID.Short(), on[0].Short()),
			"see what can be worked on: covenant intent next", "take the need away: covenant intent edit "+r.ID.Short()+" --needs ''"))
	}
	quiet := *d.Env
	if !o.json {
		quiet.Out = io.Discard // a shell reads what is printed
	}
	told := d.Env
	d.Env = &quiet
	_, err = o.walk(ctx, d, name, func(from intent.State) []intent.State {
		if under[from] {
			return nil
		}
		return wayTo(from, intent.InProgress)
	})
	d.Env = told
	if err != nil {
		return err
	}
	s, err := d.book.Intent(r.ID)
	if err != nil {
		return explain(err)
	}
	state := string(s.State)
	if under[r.State] { // who came first may be at it
		state += fmt.Sprintf(" already, taken there by %s, %s", say.Line(r.Mover), r.Moved)
	}
	env.Talk().Note("%s is %s: %s", s.ID.Short(), state, s.Fields.Title)
	if tree {
		if err := d.OwnWorktreeConfig(ctx); err != nil {
			return err
		}
		if err := d.SetConfig(ctx, true, provenance.IntentKey, string(s.ID)); err != nil {
			return err
		}
		env.Talk().Note("commits of this work tree are made for it; git config --worktree --unset %s ends that", provenance.IntentKey)
		return nil
	}
	if o.json {
		return nil
	}
	_, err = fmt.Fprintf(env.Out, "export COVENANT_INTENT=%s\n", s.ID)
	return err
}

// orDash is a text, or "-" where there is none.
func orDash(s string) string { return cmp.Or(s, "-") }
