// Package statscmd is the command "stats".
package statscmd

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// New returns the command.
func New(env *cli.Env) *cobra.Command {
	var storage, asJSON, calls bool
	cmd := &cobra.Command{
		Use:   "stats [REV | A..B]...",
		Short: "Count whose lines a range brought, or what Covenant keeps in this repository",
		Long: `Count the lines that the commits of a range, or of a history (default HEAD), added and
deleted, by who made them: who sealed a commit, or, where it is derived, who sealed
what each of its paths was made of, line by line where that is known. Human, agent, mixed
and unknown are told apart; a commit that does not verify is nobody's. What was moved is not counted; a merge counts
for nothing itself.

What the hooks of agents recorded is counted with --calls: how many of the added lines were
put in by a call of an agent's tool, and by which model, where the agent says.

With --storage, count the refs, ledger entries, objects and bytes on disk that Covenant
keeps and that no branch, tag or remote needs.`,
		Example: `  covenant stats main..HEAD
  covenant stats v1.2..v1.3 --json | jq 'select(.kind=="agent")'
  covenant stats --calls v1.2..v1.3
  covenant stats --storage`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if storage && len(args) > 0 {
				return cli.Usage("--storage counts all of it, no range")
			}
			if storage && calls {
				return cli.Usage("--storage counts no lines, and --calls does")
			}
			if storage {
				return run(cmd.Context(), env, asJSON)
			}
			revs, err := env.Lines(args)
			if err != nil {
				return err
			}
			return lines(cmd.Context(), env, revs, asJSON, calls)
		},
	}
	cmd.Flags().BoolVar(&storage, "storage", false, "refs, objects and bytes")
	cmd.Flags().BoolVar(&calls, "calls", false, "count what calls of agents' tools put in, too")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per line")
	return cmd
}

// Line is what stats --storage prints with --json.
type Line struct {
	Type string `json:"type"` // "storage"
	provenance.Storage
}

func run(ctx context.Context, env *cli.Env, asJSON bool) error {
	w, err := work.Open(ctx, env)
	if err != nil {
		return err
	}
	defer w.Close()
	st, err := provenance.Count(ctx, w.Session)
	if err != nil {
		return work.Explain(err)
	}
	if asJSON {
		return env.JSON(Line{"storage", st})
	}
	per := ""
	if st.Entries > 0 {
		per = fmt.Sprintf(" (%d an entry)", st.Bytes/int64(st.Entries))
	}
	_, err = fmt.Fprintf(env.Out, "refs     %d\nledgers  %d\nentries  %d\nobjects  %d\nbytes    %d%s\n", st.Refs, st.Ledgers, st.Entries, st.Objects, st.Bytes, per)
	return err
}
