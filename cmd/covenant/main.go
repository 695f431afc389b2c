// Command covenant records and verifies who did what in a Git repository.
package main

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/root"
	"github.com/open-covenant/covenant-git/envelope/identity/openpgp"
)

func main() {
	collectLater()
	openpgp.Enable()
	env := cli.Process()
	os.Exit(cli.Main(env, root.For(env)))
}

// collectLater lets the heap grow before it is collected at all: most commands end before that is worth while.
func collectLater() {
	const enough = 48 << 20
	normal, limit := debug.SetGCPercent(-1), debug.SetMemoryLimit(enough)
	if normal < 0 || limit != math.MaxInt64 { // somebody said how it should be: GOGC, GOMEMLIMIT
		debug.SetGCPercent(normal)
		debug.SetMemoryLimit(limit)
		return
	}
	first := new([4]*int) // not so small that it shares its place with what lives on
	runtime.AddCleanup(first, func(percent int) {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(math.MaxInt64)
	}, normal)
}
