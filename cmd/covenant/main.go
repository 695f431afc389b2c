// Command covenant records and verifies who did what in a Git repository.
package main

import (
	"os"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/root"
	"github.com/open-covenant/covenant-git/envelope/identity/openpgp"
)

func main() {
	openpgp.Enable()
	env := cli.Process()
	os.Exit(cli.Main(env, root.For(env)))
}
