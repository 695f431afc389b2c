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
	var storage, asJSON bool
	cmd := &cobra.Command{
		Use:     "stats --storage",
		Short:   "Count what Covenant keeps in this repository",
		Long:    "Count the refs, ledger entries, objects and bytes on disk that Covenant keeps in\nthis repository and that no branch, tag or remote needs.",
		Example: "  covenant stats --storage",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !storage {
				return cli.Usage("say what to count: --storage")
			}
			return run(cmd.Context(), env, asJSON)
		},
	}
	cmd.Flags().BoolVar(&storage, "storage", false, "refs, objects and bytes")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
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
