package handoffcmd

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/git/handoff"
)

type releasing struct {
	who, reason string
	json        bool
}

func newRelease(env *cli.Env) *cobra.Command {
	var o releasing
	cmd := &cobra.Command{
		Use:   "release ID",
		Short: "Let a handoff go, so that somebody else can take it up",
		Long: `Record that whoever has a handoff does not have it any more. Who took it up may say so, and
an operator may of anybody. Nothing of a work tree changes: what was begun and is not finished
is taken back with "covenant handoff apply --abort".`,
		Example: `  covenant handoff release 3f9a0c51b7de --reason 'the session is gone'`,
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return runRelease(cmd.Context(), env, o, args[0]) },
	}
	f := cmd.Flags()
	f.StringVarP(&o.reason, "reason", "m", "", "why, for people")
	f.StringVar(&o.who, "identity", "", "act as this principal: a name, or the path of a private key")
	f.BoolVar(&o.json, "json", false, "print one JSON object")
	return cmd
}

// LetGo is a handoff that was let go, with --json.
type LetGo struct {
	Type    string `json:"type"` // "released"
	ID      string `json:"id"`
	Entry   string `json:"entry"`
	Resumed string `json:"resumed"` // the statement that is over
	From    string `json:"from"`    // who had it
	Time    string `json:"time"`    // since when
}

func runRelease(ctx context.Context, env *cli.Env, o releasing, id string) error {
	var err error
	if o.reason, err = work.Redacted(env, "the reason", o.reason); err != nil {
		return err
	}
	w, err := open(ctx, env)
	if err != nil {
		return err
	}
	defer w.Close()
	w.Explicit = o.who
	h, err := w.find(id)
	if err != nil {
		return err
	}
	k, err := w.Sealer(w.Facts)
	if err != nil {
		return err
	}
	had, entry, err := handoff.Release(ctx, k, string(h.ID), o.reason)
	if err != nil {
		return explain(err, handoff.Short(h.ID))
	}
	if o.json {
		return env.JSON(LetGo{"released", string(h.ID), string(entry), string(had.ID), w.Who(had.KeyID), envelope.Timestamp(had.Time)})
	}
	_, err = fmt.Fprintf(env.Out, "%s %s: %s had it, %s\n", env.Palette().Good("released"), handoff.Short(h.ID), say.Name(w.Who(had.KeyID)), envelope.Timestamp(had.Time))
	return err
}
