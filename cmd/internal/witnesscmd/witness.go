// Package witnesscmd is the program covenant-witness: a witness of logs, and who asks for cosignatures.
package witnesscmd

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/tlog"
)

// New returns the program's command with its subcommands.
func New(env *cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "covenant-witness",
		Short: "Witness transparency logs, and ask witnesses",
		Long: `A witness remembers how large a log was, and cosigns only what goes on from there. Whoever
demands cosignatures is not shown an older state of everything, nor another one than
everybody else, unless the witnesses help.

"serve" is a witness, run by somebody who does not keep the repository's server; "cosign", in a
clone, asks witnesses to cosign its newest checkpoint. The protocol is that of C2SP tlog-witness,
so each works with any other program for it. "covenant audit witness" is this program.`,
	}
	cmd.AddCommand(newCosign(env), newKey(env), newServe(env))
	return cmd
}

// name is how a witness is called, and file where its private key is.
type named struct{ name, file string }

func (n *named) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&n.name, "name", "", "name of the witness, such as a host and a path that are yours: witness.example/a")
	f.StringVar(&n.file, "key", "", "file of its private key: a plain ed25519 key that signs for nothing else")
	_ = cmd.MarkFlagRequired("name")
	_ = cmd.MarkFlagRequired("key")
}

// explain says what kind of key and name a witness needs.
func explain(err error) error {
	switch {
	case errors.Is(err, tlog.ErrKeyType):
		return cli.Hint(err, "cosignatures are made with plain ed25519 keys: covenant-witness key --new --name NAME --key FILE")
	case errors.Is(err, identity.ErrNoKey), errors.Is(err, os.ErrNotExist):
		return cli.Hint(err, "make one: covenant-witness key --new --name NAME --key FILE")
	case errors.Is(err, tlog.ErrSyntax):
		return cli.Hint(err, "a name has no spaces and no +, such as witness.example/a")
	}
	return err
}

func newKey(env *cli.Env) *cobra.Command {
	var n named
	var anew bool
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Print the key by which a witness is believed",
		Long: `Print the public key of a witness as policies and other programs take it:
<name>+<key id>+<base64>. With --new the private key is made first, in a file that must not be there.

A key signs for one witness only, and for nothing else: what is signed does not have the name in
it. An SSH key that a person uses is not one.`,
		Example: "  covenant-witness key --new --name witness.example/a --key witness.key",
		RunE: func(*cobra.Command, []string) error {
			if _, err := tlog.ParseOrigin(n.name); err != nil { // the grammar is one
				return explain(err)
			}
			if anew {
				if _, err := identity.Generate(env.Path(n.file), n.name, nil); err != nil {
					if errors.Is(err, identity.ErrExists) {
						err = cli.Hint(err, "it is there already; print it: leave --new out")
					}
					return err
				}
			}
			pk, err := identity.PublicOfFile(env.Path(n.file))
			if err != nil {
				return explain(err)
			}
			k, err := tlog.NewWitnessKey(n.name, pk)
			if err != nil {
				return explain(err)
			}
			_, err = fmt.Fprintln(env.Out, k)
			return err
		},
	}
	n.flags(cmd)
	cmd.Flags().BoolVar(&anew, "new", false, "make the private key, without a passphrase")
	return cmd
}
