// Command covenant-hook is what Git starts at a moment: covenant-hook MOMENT
// [ARGUMENT]…, with the moment's standard input. It always lets the commit stand:
// it exits 0, and says on standard error what was not sealed and how to mend it.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/terminal"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/hooks"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: covenant-hook MOMENT [ARGUMENT]...\nGit starts it; people type: covenant hooks status")
		os.Exit(2)
	}
	if os.Args[1] == "version" {
		fmt.Println("covenant-hook")
		return
	}
	var stdin []byte
	if os.Args[1] == "post-rewrite" { // the only moment here with input; a hand-over needs it again
		var err error
		if stdin, err = io.ReadAll(io.LimitReader(os.Stdin, 64<<20)); err != nil {
			tell(fmt.Errorf("%s: standard input: %w", os.Args[1], err))
			return
		}
	}
	in := hooks.Input{
		Moment: os.Args[1], Args: os.Args[2:], Stdin: bytes.NewReader(stdin), Env: os.Environ(), ConfigDir: terminal.ConfigDir(os.LookupEnv),
		Attended: terminal.Attended(), Ask: terminal.Passphrase, Now: time.Now,
	}
	_, err := hooks.Run(context.Background(), in)
	if err == nil {
		return
	}
	// What only the everyday program links, OpenPGP, it does for us.
	if errors.Is(err, identity.ErrKeyType) && os.Getenv("COVENANT_HOOK_FAT") == "" {
		if handOver(stdin) {
			return
		}
	}
	tell(err)
}

func handOver(stdin []byte) bool {
	exe, err := os.Executable()
	if err != nil {
		return false
	}
	cmd := exec.Command(filepath.Join(filepath.Dir(exe), "covenant"), append([]string{"hooks", "run"}, os.Args[1:]...)...) //nolint:gosec // our own sibling
	cmd.Env = append(os.Environ(), "COVENANT_HOOK_FAT=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), os.Stdout, os.Stderr
	return cmd.Run() == nil
}

func tell(err error) {
	lines := []string{"covenant: " + say.Line(err.Error())}
	var se *hooks.SealError
	if errors.As(err, &se) {
		ids := make([]string, 0, len(se.Commits))
		for _, id := range se.Commits {
			ids = append(ids, id.Short())
		}
		if len(ids) > 8 {
			ids = append(ids[:8], "…")
		}
		lines = []string{
			"covenant: the commit stands, but it is not sealed: " + say.Line(err.Error()),
			"hint: " + say.Line(hooks.Mend(se.Err)),
			"hint: then: covenant provenance seal " + strings.Join(ids, " "),
		}
	}
	for _, l := range lines {
		fmt.Fprintln(os.Stderr, l)
	}
}
