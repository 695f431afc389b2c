package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/say"
)

// external runs the program that provides a command which root does not have.
func external(ctx context.Context, env *Env, root *cobra.Command, args []string) error {
	name := args[0]
	file := ""
	if commandName(name) {
		file = env.find(root.Name() + "-" + name)
	}
	if file == "" {
		return unknown(root, name)
	}
	return start(ctx, env, file, args[1:])
}

// ErrNoProgram says that a program which provides a command is not installed.
var ErrNoProgram = errors.New("there is no such program")

// Sibling runs a program of ours that provides a command: from next to our own file, else from PATH. Its exit code
// is the error's. Where there is none the error wraps [ErrNoProgram].
func Sibling(ctx context.Context, env *Env, program string, args ...string) error {
	file := ""
	if commandName(program) {
		file = env.find(program)
	}
	if file == "" {
		return fmt.Errorf("%w: %s, beside this one or on PATH", ErrNoProgram, say.Name(program))
	}
	return start(ctx, env, file, args)
}

// start runs a program in our place.
func start(ctx context.Context, env *Env, file string, args []string) error {
	cmd := exec.CommandContext(ctx, file, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = env.In, env.Out, env.Err
	cmd.Dir, cmd.Env = env.Dir, env.Environ
	cmd.Cancel = func() error { return cancelChild(cmd.Process) }
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil || cmd.ProcessState != nil && cmd.ProcessState.Success(): // also when it was asked to end, and did well
		return nil
	case errors.As(err, &exit) && exit.ExitCode() >= 0:
		return Code(exit.ExitCode(), nil)
	case errors.As(err, &exit):
		return Code(signalCode(exit), nil)
	}
	return fmt.Errorf("starting %s: %w", say.Name(file), err)
}

// commandName reports whether name matches ^[a-z][a-z0-9-]*$, so that nothing
// which is a path, an option or a surprise ever names a program.
func commandName(name string) bool {
	for i, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z':
		case i > 0 && ('0' <= c && c <= '9' || c == '-'):
		default:
			return false
		}
	}
	return name != ""
}

// find returns the path of a program: next to our own file, next to the name we
// were started under, or on PATH. Relative directories of PATH are passed over,
// since what lies in a repository is not ours to run.
func (e *Env) find(program string) string {
	if runtime.GOOS == "windows" {
		program += ".exe"
	}
	var dirs []string
	for _, f := range []string{e.Exe, e.Args0} {
		if filepath.IsAbs(f) {
			dirs = append(dirs, filepath.Dir(f))
		}
	}
	for _, d := range append(dirs, filepath.SplitList(e.Value("PATH"))...) {
		if !filepath.IsAbs(d) {
			continue
		}
		file := filepath.Join(d, program)
		st, err := os.Stat(file)
		if err == nil && st.Mode().IsRegular() && (runtime.GOOS == "windows" || st.Mode()&0o111 != 0) {
			return file
		}
	}
	return ""
}

func unknown(root *cobra.Command, name string) error {
	err := Usage("%s has no command %s, and there is no program %s",
		root.Name(), say.Name(name), say.Name(root.Name()+"-"+name))
	root.SuggestionsMinimumDistance = 2
	near := root.SuggestionsFor(name)
	slices.Sort(near)
	var hints []string
	for _, n := range slices.Compact(near) {
		hints = append(hints, fmt.Sprintf("did you mean: %s %s", root.Name(), n))
	}
	return Hint(err, hints...)
}
