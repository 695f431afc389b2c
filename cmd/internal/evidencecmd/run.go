package evidencecmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
	stated "github.com/open-covenant/covenant-git/envelope/evidence"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/git/audit"
	"github.com/open-covenant/covenant-git/git/provenance"
	"github.com/open-covenant/covenant-git/runtime/evidence"
)

type running struct {
	who, name, tree string
	clean           bool
	timeout         time.Duration
	junit, tools    []string
}

func (o *running) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.who, "identity", "", "act as this principal: a name, or the path of a private key")
	f.DurationVar(&o.timeout, "timeout", 0, "end it after that long, such as 10m (default: never)")
	f.StringArrayVar(&o.junit, "junit", nil, "read a JUnit report from this file, which the command writes; may be given several times")
	f.StringArrayVar(&o.tools, "tool", nil, "also record the first line that this says, such as 'go version'; may be given several times")
}

func newRun(env *cli.Env) *cobra.Command {
	var o running
	cmd := &cobra.Command{
		Use:   "run [--name NAME] [--tree REV] -- COMMAND [ARGUMENT]...",
		Short: "Run a command against a tree, and record how that ended",
		Long: `Run a command against the tree of HEAD, or of --tree, and record how that ended. Where the
work tree is that tree exactly (nothing changed, staged, or there and neither tracked nor
ignored) it runs there, else, or with --clean, in a checkout made for it; the record says
which. Output goes on as it comes. The command has no terminal and nothing on standard input;
signals are passed on to it, and what it started ends with it.

The exit status is the command's own; 128 and the signal's number where one ended it; 127
when there is no such command, 126 when it can't be executed, 125 when covenant failed. A run
that was interrupted is not recorded, one that ran out of --timeout is.

Recorded are: the command, its exit, how long it took, the names of the environment's
variables, the digest of the program, versions of tools, what reports of tests count
(go test -json, cargo test, pytest and TAP are found in the output), and of the output,
without the secrets that are found in it, the beginning, the end and a digest. Files of the
tree that the command changed turn a pass into a warning.`,
		Example: "  covenant evidence run --name test -- go test -json ./...\n  covenant evidence run --name lint --clean --timeout 10m -- make lint\n  covenant evidence run --name test --junit report.xml --tool 'mvn -v' -- mvn -q test",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), env, args)
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return cli.Code(cli.ExitOwn, cli.Usage("%w", err)) })
	cmd.Flags().SetInterspersed(false)
	cmd.Flags().StringVar(&o.name, "name", "", "what it is evidence of, by which policies ask for it, such as test (default: the program's name)")
	cmd.Flags().StringVar(&o.tree, "tree", "HEAD", "run it against the tree of this revision")
	cmd.Flags().BoolVar(&o.clean, "clean", false, "run it in a checkout, also where the work tree would do")
	o.flags(cmd)
	return cmd
}

func (o *running) run(ctx context.Context, env *cli.Env, argv []string) error {
	if len(argv) == 0 {
		return cli.Code(cli.ExitOwn, cli.Hint(cli.Usage("it names no command to run"), "such as: covenant evidence run --name test -- make test"))
	}
	if o.name == "" {
		o.name = filepath.Base(argv[0])
	}
	if !identity.ValidName(o.name) {
		return cli.Code(cli.ExitOwn, cli.Usage("--name: %s is no name: 1 to 64 letters, digits, \".\", \"_\" and \"-\"", say.Name(o.name)))
	}
	if err := work.Refuse(env, "--name", o.name); err != nil {
		return cli.Code(cli.ExitOwn, err)
	}
	w, err := work.OpenIdle(context.WithoutCancel(ctx), env) // a signal is for the command
	if err != nil {
		return cli.Code(cli.ExitOwn, err)
	}
	defer w.Close()
	w.Explicit = o.who
	k, err := w.Hand() // who can't sign need not wait for the command
	if err != nil {
		return cli.Code(cli.ExitOwn, err)
	}
	q := &evidence.Request{Name: o.name, Argv: argv, Clean: o.clean, Dir: evidence.Below(w.Session.Repo(), env.Dir)}
	if q.Tree, q.Commit, err = treeOf(w.Session, o.tree); err != nil {
		return cli.Code(cli.ExitOwn, err)
	}
	q.Out, q.Err = env.Out, env.Err
	out, err := o.observe(w, q)
	if err != nil {
		return ownFailure(err)
	}
	if out.Interrupted {
		env.Talk().Note("it was interrupted: nothing was recorded")
		return cli.Status(out.Predicate.Run.Exit)
	}
	id, err := keep(w, k, q, out)
	if err != nil {
		return cli.Code(cli.ExitOwn, cli.Hint(err, "the command ended with status "+fmt.Sprint(out.Predicate.Run.Exit)+"; nothing of it is recorded"))
	}
	place := "in the work tree"
	if out.Predicate.Run.Where == stated.Checkout {
		place = "in a checkout"
	}
	env.Talk().Note("%s %s on tree %s, %s: %s", q.Name, result(&out.Predicate), q.Tree.Short(), place, id)
	return cli.Status(out.Predicate.Run.Exit)
}

// observe runs what is asked for, with what only a program knows.
func (o *running) observe(w *work.Work, q *evidence.Request) (*evidence.Outcome, error) {
	env := w.Env
	x, err := audit.Redactor(env.Environ, work.ConfigDir(env))
	if err != nil {
		return nil, err
	}
	more, err := w.Redactors()
	if err != nil {
		return nil, err
	}
	if q.Temp = env.Value("TMPDIR"); q.Temp != "" {
		q.Temp = env.Path(q.Temp)
	}
	q.Env, q.Key, q.Redactor, q.Now = env.Environ, provenance.RedactionKey(work.ConfigDir(env)), x, env.Now
	q.Timeout, q.JUnit = o.timeout, o.junit
	for _, t := range o.tools {
		if argv := strings.Fields(t); len(argv) > 0 {
			q.Tools = append(q.Tools, argv)
		}
	}
	if len(q.Tools) >= stated.MaxTools {
		return nil, cli.Usage("--tool: at most %d", stated.MaxTools-1)
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer signal.Stop(signals)
	q.Signals = signals
	broken := make(chan os.Signal, 1) // who reads our output may go, and what happened is recorded all the same
	signal.Notify(broken, syscall.SIGPIPE)
	defer signal.Stop(broken)
	head, err := w.Session.Commit("HEAD")
	if err != nil {
		head.Tree = q.Tree // unborn: there is no work tree to compare
		q.Clean = true
	}
	out, err := q.Run(context.Background(), w.Session, head.Tree)
	if err != nil {
		return nil, work.Explain(err)
	}
	for _, warning := range out.Warnings {
		env.Talk().Warn("%s", warning)
	}
	if x, err = w.Redactor(context.Background(), more, out.Texts()...); err != nil {
		return nil, err
	}
	out.Redact(x)
	told := map[string]bool{}
	for _, h := range out.Hits {
		if !told[string(h.Rule)] {
			told[string(h.Rule)] = true
			env.Talk().Warn("redacted in what is recorded of the output: %s", h.Rule)
		}
	}
	return out, nil
}

// keep records an outcome, and leaves output that the statement has not whole beside the record.
func keep(w *work.Work, k *provenance.Sealer, q *evidence.Request, out *evidence.Outcome) (envelope.Digest, error) {
	k.Refs = nil // the command may have taken long
	made, err := k.RecordEvidence(context.Background(), q.Tree, out.Predicate)
	if err != nil {
		return "", work.Explain(err)
	}
	if run := &out.Predicate.Run; out.Output != nil && !run.Output.Whole() {
		if err := evidence.KeepOutput(w.Session.Repo(), run.Output.SHA256, out.Output); err != nil {
			w.Env.Talk().Warn("the whole output could not be kept: %v", err)
		}
	}
	return made.ID, nil
}

// ownFailure says with which status a command that was not run ends.
func ownFailure(err error) error {
	switch {
	case errors.Is(err, evidence.ErrNotFound):
		return cli.Code(127, cli.Hint(err, "look at its name, and at PATH"))
	case errors.Is(err, evidence.ErrNotExecutable):
		return cli.Code(126, cli.Hint(err, "make it executable: chmod +x FILE", "or name what runs it: -- sh FILE"))
	case errors.Is(err, stated.ErrInvalid):
		return cli.Code(cli.ExitOwn, cli.Hint(err, "nothing was run", "put what is long into a file, and run that"))
	case errors.Is(err, evidence.ErrNoDirectory):
		return cli.Code(cli.ExitOwn, cli.Hint(err, "change to the top of the work tree, or to a directory that the tree has"))
	}
	return cli.Code(cli.ExitOwn, err)
}
