package auditcmd

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
)

// witnessProgram has the commands about witnesses: it speaks HTTP, which the everyday program does without.
const witnessProgram = "covenant-witness"

func newWitness(env *cli.Env) *cobra.Command {
	return &cobra.Command{
		Use:   "witness COMMAND [ARGUMENT]...",
		Short: "Have witnesses cosign a checkpoint, or be one",
		Long: `Run covenant-witness, which stands beside this program or on PATH, with the same arguments:

  covenant audit witness cosign --url https://witness.example/a
  covenant audit witness serve --listen unix:PATH --name NAME --key FILE --state DIR --log KEY
  covenant audit witness key --new --name NAME --key FILE

"cosign" is the only command here that uses the network, and only to where --url says. Its help:
covenant audit witness cosign --help.`,
		Example:            "  covenant audit checkpoint\n  covenant audit witness cosign --url https://witness.example/a\n  covenant verify",
		Args:               cobra.ArbitraryArgs,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			err := cli.Sibling(cmd.Context(), env, witnessProgram, args...)
			if errors.Is(err, cli.ErrNoProgram) {
				return cli.Hint(err, "it is built and installed with the others: make install")
			}
			return err
		},
	}
}
