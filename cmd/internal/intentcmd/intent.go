// Package intentcmd is the command group "intent": work that somebody asked for, and how far it is.
package intentcmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope/intent"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/intents"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// New returns the command group.
func New(env *cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "intent",
		Short: "Ask for work, take it from state to state, and see how far it is",
		Long: `An intent is a piece of work that somebody asked for. It is opened, triaged, planned,
worked on, reviewed, validated and integrated; each step is a statement that its maker
signed, and names the one before it. Operators may take any step; anybody else needs a grant
of intent.open, intent.move or intent.edit. Where two took a step at the same time one of
them counts, the same in every clone, and the other is told.

An intent is named by its id, its name, or the beginning of one of these.`,
	}
	cmd.AddCommand(
		newBlock(env), newDone(env), newEdit(env), newExport(env), newImport(env), newList(env), newLog(env), newMove(env), newNext(env), newOpen(env), newReopen(env),
		newRoute(env), newShow(env), newStart(env), newStats(env),
	)
	return cmd
}

// desk is an opened repository with its intents, and, where something is to be written, who writes.
type desk struct {
	*work.Work
	book   *intents.Book
	sealer *provenance.Sealer
	unlock func()
}

// Close ends it.
func (d *desk) Close() {
	d.book.Close()
	if d.unlock != nil {
		d.unlock()
	}
	d.Work.Close()
}

// look opens the intents for who only looks.
func look(ctx context.Context, env *cli.Env, root string, noCache bool) (*desk, error) {
	w, pin, err := work.OpenPinnedIdle(ctx, env, root)
	if err != nil {
		return nil, err
	}
	cache := w.Cache(noCache)
	d := &desk{Work: w}
	r, err := cache.OpenRoot(w.Session, pin)
	if err == nil {
		d.book, err = intents.Open(ctx, w.Session, r, cache)
	}
	if err != nil {
		w.Close()
		return nil, work.Explain(err)
	}
	d.tellProblems()
	return d, nil
}

// act opens the intents for who writes: nobody else of this clone does meanwhile.
func act(ctx context.Context, env *cli.Env, who string) (*desk, error) {
	w, err := work.OpenIdle(ctx, env)
	if err != nil {
		return nil, err
	}
	w.Explicit = who
	w.Session.Warm() // what is written follows what was, which is in a pack as a rule
	d := &desk{Work: w}
	if d.sealer, err = w.Writer(); err == nil {
		if d.sealer.Root.Policy != nil && len(d.sealer.Root.Policy.Plugins) > 0 {
			d.sealer.Asker = w.Ask(d.sealer.Root, d.sealer.Authority)
		}
		d.unlock, err = w.Session.Repo().Lock(ctx)
	}
	if err == nil {
		d.sealer.Locked, d.sealer.Moment = true, "intent"
		if d.book, err = intents.Open(ctx, w.Session, d.sealer.Root, w.Cache(false)); err != nil {
			d.unlock()
		}
	}
	if err != nil {
		w.Close()
		return nil, work.Explain(err)
	}
	d.tellProblems()
	return d, nil
}

// tellProblems tells what is wrong with ledgers of intents: what they say is not all there.
func (d *desk) tellProblems() {
	for _, p := range d.book.Problems() {
		d.Env.Talk().Warn("%s: %s: %s", p.Code, p.Object, p.Message)
		if p.Code == verdict.LedgerFork {
			d.Env.Talk().Hint(p.Hint)
		}
	}
}

// find returns the intent that a person means.
func (d *desk) find(name string) (intents.Row, error) {
	r, err := d.book.Find(name)
	return r, explain(err)
}

// explain says what to type next about an error of this package's kind.
func explain(err error) error {
	var many *intents.AmbiguousError
	var refused *intents.RefusedError
	switch {
	case err == nil, len(cli.Hints(err)) > 0:
		return err
	case errors.As(err, &many):
		var lines []string
		for _, r := range many.Of[:min(len(many.Of), 5)] {
			lines = append(lines, fmt.Sprintf("%s %s", r.ID.Short(), title(&r)))
		}
		return cli.Hint(err, append(lines, "type more of the id: covenant intent show ID")...)
	case errors.Is(err, intents.ErrUnknown):
		return cli.Hint(err, "see what there is: covenant intent list --all", "others' come with: covenant sync")
	case errors.As(err, &refused):
		return cli.No(cli.Hint(err, mend(refused)...))
	case errors.Is(err, intent.ErrInvalid), errors.Is(err, intent.ErrSeed):
		return cli.Hint(err, "nothing was written", "limits and forms: docs/spec/intent.md")
	case errors.Is(err, git.ErrMissing):
		return cli.Hint(err, "an artifact is PATH@REVISION, the sha256:… of an entry, or text:…")
	}
	return work.Explain(err)
}

// mend says how somebody gets past a refusal.
func mend(e *intents.RefusedError) []string {
	id := "ID"
	if e.Intent != nil {
		id = e.Intent.ID.Short()
	}
	switch e.Kind {
	case intents.Illegal:
		out := []string{}
		if ways := intent.After(e.Intent.State); len(ways) > 0 {
			out = append(out, fmt.Sprintf("from %s it goes to %s: covenant intent move %s %s", e.Intent.State, intent.List(ways), id, ways[0]))
		}
		return out
	case intents.WrongRole:
		return []string{fmt.Sprintf("say in which role: covenant intent move %s %s --role %s", id, e.To, intent.RolesFor(e.Intent.State, e.To)[0])}
	case intents.Unshown:
		var out []string
		for _, g := range e.Gates {
			guard, _ := intent.GuardOf(g)
			out = append(out, fmt.Sprintf("gate %s wants %s: covenant intent move %s %s --artifact %s=PATH@REVISION", g, guard.Wants, id, e.To, g))
		}
		return out
	case intents.Ungranted:
		scope := map[string]any{}
		if e.Intent != nil {
			scope["intent"] = string(e.Intent.ID)
		}
		if e.Role != "" {
			roles := []string{string(e.Role)}
			for _, r := range e.Ahead {
				if !slices.Contains(roles, string(r)) {
					roles = append(roles, string(r))
				}
			}
			slices.Sort(roles)
			scope["roles"] = roles
		}
		ask := "covenant capability request --action " + e.Action
		if len(scope) > 0 {
			ask += " --scope " + say.Shell(compact(scope))
		}
		out := []string{"ask for a grant: " + ask + " --expires 8h --reason WHY"}
		if e.Record != "" {
			out = append(out, "it is on record: covenant audit log --kind capability.checked --outcome denied")
		}
		return out
	case intents.Circle, intents.Taken:
		return []string{"see it: covenant intent list --all"}
	}
	return nil
}

// read returns a text that a person gave: words, or standard input for "-" and where there are none and it is no terminal.
func read(ctx context.Context, env *cli.Env, args []string) (string, error) {
	text := strings.Join(args, " ")
	if text == "-" || text == "" && !env.StdinTTY {
		b, err := env.Read(ctx, "-", intent.MaxText+1)
		if err != nil {
			return "", fmt.Errorf("standard input: %w", err)
		}
		text = string(b)
	}
	text = strings.TrimRight(strings.ReplaceAll(text, "\r\n", "\n"), " \t\n")
	if text == "" {
		return "", cli.Hint(cli.Usage("there is no text"), "say what is asked for: covenant intent open TEXT", "or on standard input: covenant intent open - <FILE")
	}
	return text, nil
}

// title is a row's title, for people.
func title(r *intents.Row) string {
	t := say.Line(r.Title)
	if r.Name != "" {
		t = r.Name + ": " + t
	}
	return t
}

// complete completes the names of intents.
func complete(env *cli.Env) cobra.CompletionFunc {
	return cli.Complete(env, 1, func(ctx context.Context, _ string) []string {
		d, err := look(ctx, env, "", false)
		if err != nil {
			return nil
		}
		defer d.Close()
		var out []string
		for r := range d.book.Rows(func(r *intents.Brief) bool { return !r.Void() }) {
			if r.Name != "" {
				out = append(out, r.Name)
			}
			out = append(out, string(r.ID))
		}
		return out
	})
}

// then completes the names of intents, and states after them.
func then(env *cli.Env) cobra.CompletionFunc {
	first := complete(env)
	return func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) == 1 {
			var out []string
			for _, s := range intent.States {
				if strings.HasPrefix(string(s), typed) {
					out = append(out, string(s))
				}
			}
			return out, cobra.ShellCompDirectiveNoFileComp
		}
		return first(cmd, args, typed)
	}
}

// one returns the words that are given, for a flag that takes any of a list.
func one[T ~string](texts []string, parse func(string) (T, error)) ([]T, error) {
	var out []T
	for _, t := range texts {
		for p := range strings.SplitSeq(t, ",") {
			v, err := parse(strings.TrimSpace(p))
			if err != nil {
				return nil, cli.Usage("%v", err)
			}
			out = append(out, v)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}
