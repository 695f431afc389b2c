// Command covenant-witness cosigns the checkpoints of logs that it watches, and asks those that do.
package main

import (
	"os"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/witnesscmd"
	"github.com/open-covenant/covenant-git/envelope/identity/openpgp"
)

func main() {
	openpgp.Enable()
	env := cli.Process()
	os.Exit(cli.Main(env, witnesscmd.New(env)))
}
