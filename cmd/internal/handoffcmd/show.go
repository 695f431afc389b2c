package handoffcmd

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	form "github.com/open-covenant/covenant-git/envelope/handoff"
	"github.com/open-covenant/covenant-git/git/handoff"
)

func newList(env *cli.Env) *cobra.Command {
	var all, asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List handoffs, the newest first",
		Long:  "List the handoffs that nobody has taken up, the newest first; with --all the others, too, and who has them.",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return runList(cmd.Context(), env, all, asJSON) },
	}
	f := cmd.Flags()
	f.BoolVar(&all, "all", false, "those that somebody has, too")
	f.BoolVar(&asJSON, "json", false, "print one JSON object per handoff")
	return cmd
}

func runList(ctx context.Context, env *cli.Env, all, asJSON bool) error {
	o, err := open(ctx, env)
	if err != nil {
		return err
	}
	defer o.Close()
	for _, h := range o.List {
		if h.By() != nil && !all {
			continue
		}
		l := line(o.Session, o.Record, h)
		if asJSON {
			if err := env.JSON(l); err != nil {
				return err
			}
			continue
		}
		where := "detached"
		if l.Ref != "" {
			where = strings.TrimPrefix(l.Ref, "refs/heads/")
		}
		state := "open"
		if by := h.By(); by != nil {
			state = "resumed by " + say.Name(o.Who(by.KeyID))
		}
		if !l.Here {
			state += ", not here"
		}
		if n := len(h.Lost()); n > 0 {
			state += ", lost by " + say.Name(o.Who(h.Lost()[0].KeyID))
		}
		if _, err := fmt.Fprintf(env.Out, "%s %s %s on %s: %s, %s%s\n", handoff.Short(h.ID), l.Time, say.Name(l.Principal), say.Name(where), say.Count(l.Files, "file"), state, short(l.Note)); err != nil {
			return err
		}
	}
	for _, p := range handoff.Pendings(o.Session.Repo()) {
		if p.Damaged != nil {
			env.Talk().Warn("%v", p.Damaged)
			env.Talk().Hint(mendJournal(p.Damaged))
			continue
		}
		env.Talk().Warn("handoff %s is not all in %s yet", handoff.Short(p.ID), say.Name(p.WorkTree))
		env.Talk().Hint("finish it there: covenant handoff apply --continue, or take it back: --abort")
	}
	return nil
}

func short(note string) string {
	if note == "" {
		return ""
	}
	first, _, _ := strings.Cut(note, "\n")
	return ": " + say.Line(strings.ToValidUTF8(first[:min(len(first), 80)], ""))
}

func newShow(env *cli.Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show a handoff: what it holds, and who has it",
		Long: `Show what a handoff holds and who took it up. Where two clones took it up without
knowing of each other, one of them has it, the same one everywhere: the one that the other
had seen, else the earlier one. The other is told as lost.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runShow(cmd.Context(), env, asJSON, args[0]) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func runShow(ctx context.Context, env *cli.Env, asJSON bool, id string) error {
	o, err := open(ctx, env)
	if err != nil {
		return err
	}
	defer o.Close()
	h, err := o.find(id)
	if err != nil {
		return err
	}
	l := line(o.Session, o.Record, h)
	if asJSON {
		return env.JSON(l)
	}
	return tell(env.Out, &l, &h.Creation)
}

// tell prints a handoff for people.
func tell(out io.Writer, l *Line, c *form.Creation) error {
	var b strings.Builder
	row := func(name, format string, a ...any) { fmt.Fprintf(&b, "%-10s %s\n", name, fmt.Sprintf(format, a...)) }
	row("handoff", "%s", l.ID)
	who := say.Name(l.Principal)
	if l.Accountable != "" && l.Accountable != l.Principal {
		who += " (" + say.Name(l.Kind) + " of " + say.Name(l.Accountable) + ")"
	}
	row("by", "%s, %s", who, l.Time)
	base, where := "no commit", "detached"
	if l.Base != "" {
		base = l.Base
	}
	if l.Ref != "" {
		where = say.Name(l.Ref)
	}
	row("base", "%s, %s", base, where)
	row("commit", "%s", l.Commit)
	if l.Intent != "" {
		row("intent", "%s", intent(l.Intent, l.IntentState))
	}
	here := ""
	if !l.Here {
		here = "; they are not here"
	}
	row("contents", "%s, %d bytes%s", say.Count(l.Files, "file"), l.Bytes, here)
	paragraph(&b, "note", l.Note)
	paragraph(&b, "next", l.Next)
	for _, q := range l.Questions {
		paragraph(&b, "question", q)
	}
	for _, m := range l.Memory {
		row("memory", "%s", say.Name(m))
	}
	for _, e := range l.Evidence {
		row("evidence", "%s", e)
	}
	for i, x := range c.Left {
		if i == maxTold {
			row("left out", "and %d more", len(c.Left)-i+c.LeftMore)
			break
		}
		row("left out", "%s: %s", say.Name(x.PathBytes()), reasons[x.Reason])
	}
	if len(l.Resumed) == 0 {
		row("state", "open")
	}
	for _, t := range l.Resumed {
		what := map[string]string{"has it": "resumed", "lost": "lost", "again": "again", "released": "let go", "void": "void"}[t.State]
		row(what, "%s, %s", say.Name(t.Principal), t.Time)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// intent shows an intent, and the digest of its state where that is known.
func intent(name, state string) string {
	if state == "" {
		return say.Name(name)
	}
	return say.Name(name) + " " + say.Name(state)
}

func paragraph(b *strings.Builder, name, text string) {
	for line := range strings.Lines(text) {
		fmt.Fprintf(b, "%-10s %s\n", name, say.Line(strings.TrimSuffix(line, "\n")))
		name = ""
	}
}
