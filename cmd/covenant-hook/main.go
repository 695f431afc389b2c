// Command covenant-hook is what Git starts at a moment: covenant-hook MOMENT
// [ARGUMENT]…, with the moment's standard input. It exits 1 when Git shall not go on,
// and says why. Where commits stand already it exits 0, and says on standard error
// what was not sealed and how to mend it.
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
	"runtime/debug"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/terminal"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/provenance"
	"github.com/open-covenant/covenant-git/hooks"
	"github.com/open-covenant/covenant-git/runtime/gate"
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
	moment := os.Args[1]
	if !hooks.Reads(moment) { // what says something may say much, and is verified
		debug.SetGCPercent(1600) // a moment is shorter than it takes to collect what it leaves
		debug.SetMemoryLimit(256 << 20)
	}
	var stdin []byte
	if hooks.Reads(moment) { // a hand-over needs it again
		var err error
		if stdin, err = io.ReadAll(io.LimitReader(os.Stdin, 64<<20)); err != nil {
			tell(moment, fmt.Errorf("%s: standard input: %w", moment, err))
			os.Exit(1)
		}
	}
	in := hooks.Input{
		Moment: moment, Args: os.Args[2:], Stdin: bytes.NewReader(stdin), Env: os.Environ(), ConfigDir: terminal.ConfigDir(os.LookupEnv),
		Attended: terminal.Attended(), Ask: terminal.Passphrase, Confirm: terminal.Confirm, Out: os.Stderr, Now: time.Now,
	}
	ctx := context.Background()
	exe, err := os.Executable()
	if err != nil {
		exe = "" // then there is no gate, and everything is denied
	}
	here := func(r *git.Repo) gate.Local { return gate.Here(exe, in.ConfigDir, r.Config().Get, os.LookupEnv) }
	var ahead *gate.Gate // started while facts are gathered
	in.Ahead = func(r *git.Repo) {
		ahead = here(r).For(nil)
		ahead.Start(ctx)
	}
	in.Gate = func(r *git.Repo, root *provenance.Root, a *capability.Authority) verdict.Asker {
		g := here(r).For(root.Policy)
		if ahead != nil {
			ahead.Plugins, g = g.Plugins, ahead
		}
		return &gate.Asker{Authority: a, Gate: g, Context: ctx}
	}
	_, err = hooks.Run(ctx, in)
	if ahead != nil {
		ahead.Close()
	}
	if err == nil {
		return
	}
	// What only the everyday program links, OpenPGP, it does for us.
	if errors.Is(err, identity.ErrKeyType) && os.Getenv("COVENANT_HOOK_FAT") == "" {
		if code, ok := handOver(stdin); ok {
			os.Exit(code)
		}
	}
	os.Exit(tell(moment, err))
}

// handOver returns the exit code of the everyday program; false when it can't be started.
func handOver(stdin []byte) (int, bool) {
	exe, err := os.Executable()
	if err != nil {
		return 0, false
	}
	cmd := exec.Command(filepath.Join(filepath.Dir(exe), "covenant"), append([]string{"hooks", "run"}, os.Args[1:]...)...) //nolint:gosec // our own sibling
	cmd.Env = append(os.Environ(), "COVENANT_HOOK_FAT=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), os.Stdout, os.Stderr
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return min(exit.ExitCode(), 1), true
	}
	return 0, err == nil
}

// tell says what went wrong and returns the exit code: 1 when Git shall not go on.
func tell(moment string, err error) int {
	code := 0
	lines := []string{"covenant: " + say.Line(err.Error())}
	var se *hooks.SealError
	var re *hooks.RefusedError
	switch {
	case errors.As(err, &re):
		code = 1
		lines[0] = "covenant: refused: " + say.Line(re.Error())
		for _, h := range re.Hint {
			lines = append(lines, "hint: "+say.Line(h))
		}
	case errors.As(err, &se):
		lines = standing(se)
	case hooks.Quiet(moment):
		return 0 // the moment that follows says it
	}
	for _, l := range lines {
		fmt.Fprintln(os.Stderr, l)
	}
	return code
}

func standing(se *hooks.SealError) []string {
	ids := make([]string, 0, len(se.Commits))
	for _, id := range se.Commits {
		ids = append(ids, id.Short())
	}
	if len(ids) > 8 {
		ids = append(ids[:8], "…")
	}
	var denied *provenance.DeniedError
	if errors.As(se, &denied) {
		lines := []string{"covenant: the gate refuses this commit, and it stands all the same: " + say.Line(se.Error()), "covenant: it will not verify, and the refusal is recorded"}
		if denied.Entry != "" {
			lines = append(lines, "hint: see why, and what would be needed: covenant capability explain "+denied.Entry.Short())
		}
		if se.Rebase {
			return append(lines, "hint: take it all back: git rebase --abort, or when that is over: git reset --keep ORIG_HEAD")
		}
		return append(lines, "hint: take it back: git reset --soft 'HEAD@{1}'")
	}
	return []string{
		"covenant: the commit stands, but it is not sealed: " + say.Line(se.Error()),
		"hint: " + say.Line(hooks.Mend(se.Err)),
		"hint: then, who may vouch for it: covenant provenance seal " + strings.Join(ids, " "),
	}
}
