package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/open-covenant/covenant-git/cmd/internal/say"
)

// Main runs the command that env's arguments name, tells its error, and returns
// the exit code.
//
// It understands leading "-C DIR" arguments as Git does. A program started as
// git-ROOT is ROOT; one started as ROOT-NAME runs ROOT's command NAME, if there is
// one. A command that root does not have is looked for as a program ROOT-NAME, next
// to env.Exe and then on PATH; its name must match ^[a-z][a-z0-9-]*$.
//
// Commands get these defaults: a command without Args takes no arguments; a
// group called without one of its subcommands, or with one it does not have, is
// a usage error, as are wrong flags and wrong numbers of arguments.
func Main(env *Env, root *cobra.Command) int {
	ctx, stop, signalled := interruptible()
	defer stop()
	Prepare(env, root)
	cmd, err := run(ctx, env, root)
	if err == nil {
		return ExitYes
	}
	code := ExitCode(err)
	s, ok := signalled().(syscall.Signal)
	var by interface{ Interrupted() os.Signal }
	if !ok && errors.As(err, &by) { // who waited heard of it before
		s, ok = by.Interrupted().(syscall.Signal)
	}
	if ok && !isStatus(err) { // whatever failed, failed for this
		code = 128 + int(s)
		err = Hint(errors.New("interrupted"), Hints(err)...)
	}
	tell(env, cmd, err, code)
	return code
}

// run finds and runs the command. The returned command is never nil.
func run(ctx context.Context, env *Env, root *cobra.Command) (*cobra.Command, error) {
	args, err := env.args(root)
	if err != nil {
		return root, err
	}
	if len(args) > 0 && (args[0] == "--version" || args[0] == "-v") && builtin(root, "version") { // as Git does
		args[0] = "version"
	}
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") && !builtin(root, args[0]) {
		return root, external(ctx, env, root, args)
	}
	root.SetArgs(counted(root, args))
	cmd, err := root.ExecuteContextC(ctx)
	if cmd == nil {
		cmd = root
	}
	return cmd, err
}

// counted turns -N into --max-count=N for a command that has that flag, as git-log(1) reads it.
func counted(root *cobra.Command, args []string) []string {
	cmd, _, err := root.Find(args)
	if err != nil || cmd.Flags().Lookup("max-count") == nil {
		return args
	}
	out := slices.Clone(args)
	for i, a := range out {
		if a == "--" {
			break
		}
		if n, ok := strings.CutPrefix(a, "-"); ok && n != "" && strings.Trim(n, "0123456789") == "" {
			out[i] = "--max-count=" + n
		}
	}
	return out
}

// Word returns what would be the name of a command of a program called root, for who builds only that command; "" where the arguments
// begin with something else.
func (e *Env) Word(root string) string {
	if name, ok := strings.CutPrefix(e.base(), root+"-"); ok {
		return name
	}
	args := e.Args
	for len(args) > 1 && args[0] == "-C" {
		args = args[2:]
	}
	switch {
	case len(args) == 0:
		return ""
	case args[0] == "--version" || args[0] == "-v":
		return "version"
	}
	return args[0]
}

func (e *Env) base() string { return strings.TrimSuffix(filepath.Base(e.Args0), ".exe") }

// args returns the arguments for root: the multi-call name and -C are taken out.
func (e *Env) args(root *cobra.Command) ([]string, error) {
	args := e.Args
	if name, ok := strings.CutPrefix(e.base(), root.Name()+"-"); ok && builtin(root, name) {
		args = append([]string{name}, args...)
	}
	for len(args) > 0 && args[0] == "-C" {
		if len(args) < 2 {
			return nil, Usage("-C needs a directory")
		}
		if args[1] != "" {
			e.Dir = e.Path(args[1])
			st, err := os.Stat(e.Dir)
			if err == nil && !st.IsDir() {
				err = fmt.Errorf("%s is not a directory", say.Name(e.Dir))
			}
			if err != nil {
				return nil, Hint(err, "-C takes the directory to work in: "+root.Name()+" -C DIR COMMAND")
			}
		}
		args = args[2:]
	}
	return slices.Clone(args), nil
}

// Prepare applies the defaults that [Main] promises to root and all its commands,
// and adds the commands help and completion. Main calls it; only what reads the
// commands without running them, such as a generator of documents, calls it too.
func Prepare(env *Env, root *cobra.Command) {
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetIn(env.In)
	root.SetOut(env.Out)
	root.SetErr(env.Err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		if errors.Is(err, pflag.ErrHelp) {
			return err
		}
		return usageError{err}
	})
	root.SetHelpCommand(helpCommand())
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	each(root, func(c *cobra.Command) {
		c.DisableFlagsInUseLine = true
		if c != root && c.HasSubCommands() && !c.Runnable() {
			c.Args = cobra.ArbitraryArgs
			c.RunE = group
			return
		}
		if check := c.Args; check != nil {
			c.Args = func(c *cobra.Command, args []string) error { return miscounted(c, args, check(c, args)) }
		} else if c != root {
			c.Args = func(c *cobra.Command, args []string) error {
				if len(args) > 0 {
					return Usage("%s takes no arguments, got %s", c.CommandPath(), say.Name(args[0]))
				}
				return nil
			}
		}
	})
}

// miscounted says of arguments that a command does not take which ones it does.
func miscounted(c *cobra.Command, args []string, err error) error {
	if err == nil {
		return nil
	}
	got := "nothing"
	if len(args) > 0 {
		got = say.Name(strings.Join(args, " "))
	}
	_, wanted, some := strings.Cut(c.Use, " ")
	if !some {
		return Usage("%s takes no arguments, got %s", c.CommandPath(), got)
	}
	return Hint(Usage("%s takes %s, and got %s", c.CommandPath(), wanted, got), "usage: "+c.UseLine())
}

// group is what a command does that only holds others.
func group(c *cobra.Command, args []string) error {
	var names []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	if len(args) == 0 {
		return Usage("%s needs one of: %s", c.CommandPath(), strings.Join(names, ", "))
	}
	return Usage("%s has no command %s, only: %s", c.CommandPath(), say.Name(args[0]), strings.Join(names, ", "))
}

func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Explain a command",
		Args:  cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			cmd, rest, err := c.Root().Find(args)
			if err != nil || cmd == nil || len(rest) > 0 {
				return Usage("no help for %s", say.Name(strings.Join(args, " ")))
			}
			cmd.InitDefaultHelpFlag()
			return cmd.Help()
		},
	}
}

func each(c *cobra.Command, f func(*cobra.Command)) {
	f(c)
	for _, sub := range c.Commands() {
		each(sub, f)
	}
}

// builtin reports whether root has a command of that name, the ones that shells
// call for completion included.
func builtin(root *cobra.Command, name string) bool {
	if name == cobra.ShellCompRequestCmd || name == cobra.ShellCompNoDescRequestCmd {
		return true
	}
	return slices.ContainsFunc(root.Commands(), func(c *cobra.Command) bool {
		return c.Name() == name || c.HasAlias(name)
	})
}

// tell says what went wrong, in the form that the command was asked for.
func tell(env *Env, cmd *cobra.Command, err error, code int) {
	hints := Hints(err)
	var u usageError
	if errors.As(err, &u) {
		hints = append(hints, fmt.Sprintf("see: %s --help", cmd.CommandPath()))
	}
	var c coded
	if errors.As(err, &c) && c.err == nil && len(hints) == 0 {
		return
	}
	if wantsJSON(env, cmd) {
		_ = writeJSON(env.Err, struct {
			Type    string   `json:"type"`
			Code    int      `json:"code"`
			Message string   `json:"message"`
			Hints   []string `json:"hints,omitempty"`
		}{"error", code, err.Error(), hints})
		return
	}
	env.Talk().Error(err)
	env.Talk().Hint(hints...)
}

func wantsJSON(env *Env, cmd *cobra.Command) bool {
	if f := cmd.Flags().Lookup("json"); f != nil && f.Changed {
		return f.Value.String() != "false"
	}
	// The flags may have failed to parse before --json was reached.
	end := slices.Index(env.Args, "--")
	if end < 0 {
		end = len(env.Args)
	}
	return slices.Contains(env.Args[:end], "--json")
}

// interruptible returns a context that the first SIGINT or SIGTERM ends, and a
// function that tells which one it was. A second signal kills as usual.
func interruptible() (ctx context.Context, stop func(), which func() os.Signal) {
	ctx, cancel := context.WithCancelCause(context.Background())
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case s := <-ch:
			signal.Stop(ch)
			cancel(signalError{s})
		case <-ctx.Done():
		}
	}()
	stop = func() {
		signal.Stop(ch)
		cancel(nil)
	}
	which = func() os.Signal {
		var s signalError
		if errors.As(context.Cause(ctx), &s) {
			return s.Signal
		}
		return nil
	}
	return ctx, stop, which
}

type signalError struct{ os.Signal }

func (s signalError) Error() string { return s.String() }
