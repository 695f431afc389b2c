package evidencecmd

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	stated "github.com/open-covenant/covenant-git/envelope/evidence"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/runtime/evidence"
)

func newShow(env *cli.Env) *cobra.Command {
	var asJSON, output bool
	cmd := &cobra.Command{
		Use:   "show ID|NAME",
		Short: "Show what was run, by whom, and how that ended",
		Long: `Show one statement of evidence: by its id or the beginning of that, or by its name; then it
is the newest about the tree of HEAD, else the newest of all. With --output, what the command
wrote: all of it where this clone has that, else its beginning and end. Characters that a
terminal would obey are shown as escapes. --json prints the statement as it was signed.`,
		Example: "  covenant evidence show test\n  covenant evidence show sha256:1b4f0e98 --output",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runShow(cmd.Context(), env, args[0], asJSON, output)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&output, "output", false, "print what the command wrote, and nothing else")
	f.BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// Whole is a statement with --json.
type Whole struct {
	Shown
	Statement *stated.Statement `json:"statement"`
}

func runShow(ctx context.Context, env *cli.Env, what string, asJSON, output bool) error {
	r, err := openRecord(ctx, env, "")
	if err != nil {
		return err
	}
	defer r.Close()
	var tree oid.ID
	if head, err := r.Session.Commit("HEAD"); err == nil {
		tree = head.Tree
	}
	e, err := r.facts.FindEvidence(what, tree)
	if err != nil {
		return explain(err)
	}
	st, err := r.facts.ReadEvidence(r.Session, e)
	if err != nil {
		return explain(err)
	}
	x := shown(r.facts, &e)
	whole, here := evidence.KeptOutput(r.Session.Repo(), st.Predicate.Run.Output.SHA256)
	switch {
	case asJSON:
		return env.JSON(Whole{x, st})
	case output:
		return printOutput(env.Out, &st.Predicate.Run.Output, whole, here)
	}
	return printStory(env, &x, st, here)
}

// printOutput writes what is here of an output: all of it where somebody kept that.
func printOutput(w io.Writer, o *stated.Output, whole []byte, here bool) error {
	text := o.Head
	switch {
	case here:
		text = string(whole)
	case o.Tail != "":
		left := o.Bytes - min(o.Bytes, uint64(len(o.Head)+len(o.Tail)))
		text = o.Head + fmt.Sprintf("\n[… %d bytes were left out …]\n", left) + o.Tail
	}
	_, err := io.WriteString(w, say.Clean(text))
	return err
}

func printStory(env *cli.Env, x *Shown, st *stated.Statement, here bool) error {
	p := env.Palette()
	var b strings.Builder
	row := func(name, text string) {
		if text != "" {
			fmt.Fprintf(&b, "  %-12s %s\n", name, say.Line(text))
		}
	}
	run := &st.Predicate.Run
	fmt.Fprintln(&b, line(env, x))
	quoted := make([]string, len(x.Argv))
	for i, a := range x.Argv {
		quoted[i] = say.Shell(a)
	}
	row("command", strings.Join(quoted, " "))
	row("id", x.ID)
	row("tree", x.Tree)
	by := x.Principal
	if x.Kind != "human" {
		by += ", " + x.Kind + ", for which " + x.Accountable + " answers"
	}
	row("observed for", by)
	row("directory", x.Dir)
	row("program", st.Predicate.Configuration[0].Name)
	row("platform", run.Platform)
	for _, t := range run.Tools {
		row("tool", t.Command+": "+t.Said)
	}
	row("repeats", x.Rerun)
	for _, name := range x.FailedTests {
		row("failed", name)
	}
	o := &run.Output
	size := fmt.Sprintf("%d bytes, sha256 %s", o.Bytes, o.SHA256)
	if o.Redacted > 0 {
		size += fmt.Sprintf(", %s taken out", say.Count(int(min(o.Redacted, 1<<30)), "secret")) //nolint:gosec // bounded
	}
	if !o.Whole() && !here {
		size += "; here is its beginning and end"
	}
	row("output", size)
	fmt.Fprintf(&b, "  %s\n", p.Dim("what it wrote: covenant evidence show --output "+x.ID[:19]))
	_, err := io.WriteString(env.Out, b.String())
	return err
}
