// Package logcmd is the command "log": history with a verdict on each line.
package logcmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/provenancecmd"
	"github.com/open-covenant/covenant-git/cmd/internal/report"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/intents"
	"github.com/open-covenant/covenant-git/git/provenance"
)

type options struct {
	json, reverse            bool
	max                      int
	principal, verdict, root string
	intent                   string // as it is typed, then its id
	git                      selection
}

// selection is which commits Git is asked to pick, in its own words.
type selection struct {
	since, until, author, grep string
	merges, noMerges, first    bool
	paths                      []string
}

// args are the arguments of git rev-list; none when every commit is wanted.
func (s *selection) args() []string {
	var out []string
	for _, f := range []struct{ name, value string }{{"--since", s.since}, {"--until", s.until}, {"--author", s.author}, {"--grep", s.grep}} {
		if f.value != "" {
			out = append(out, f.name+"="+f.value)
		}
	}
	for _, f := range []struct {
		name string
		on   bool
	}{{"--merges", s.merges}, {"--no-merges", s.noMerges}, {"--first-parent", s.first}} {
		if f.on {
			out = append(out, f.name)
		}
	}
	return out
}

// New returns the command.
func New(env *cli.Env) *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "log [REV | A..B]... [-- PATH...]",
		Short: "Show history, newest first, with who answers for each commit",
		Long: `Show history, newest first, with the verdict of each commit and who answers for it.
Lines are printed as they are judged. Git picks the commits that --since, --author,
--first-parent, paths and the like ask for, as git log does; -5 is -n 5. Filters and
--json compose with Git's own commands. The exit code does not tell verdicts: that is
what verify is for.`,
		Example: `  covenant log -20
  covenant log --since=yesterday --no-merges -- src docs
  covenant log main..HEAD --verdict unsealed
  covenant log --intent fix-login
  covenant log --principal coder --json | jq -r .commit | git log --stdin --no-walk`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if n := cmd.ArgsLenAtDash(); n >= 0 {
				args, o.git.paths = args[:n], args[n:]
			}
			return run(cmd.Context(), env, o, args)
		},
	}
	cmd.ValidArgsFunction = cli.Complete(env, 0, work.Revisions(env))
	f := cmd.Flags()
	f.BoolVar(&o.json, "json", false, "print one JSON object per commit, as verify does")
	f.Bool("oneline", true, "one line per commit, as it is without it")
	f.BoolVar(&o.reverse, "reverse", false, "oldest first")
	f.IntVarP(&o.max, "max-count", "n", 0, "show at most this many commits")
	f.StringVar(&o.principal, "principal", "", "only commits this principal sealed or made, or answers for")
	f.StringVar(&o.intent, "intent", "", "only commits that were made for this intent: its id, its name, or the beginning of one")
	f.StringVar(&o.verdict, "verdict", "", "only commits with this verdict")
	f.StringVar(&o.git.since, "since", "", "only commits after this date, as git log reads dates")
	f.StringVar(&o.git.until, "until", "", "only commits before this date")
	f.StringVar(&o.git.author, "author", "", "only commits whose author line matches; what it says is a claim")
	f.StringVar(&o.git.grep, "grep", "", "only commits whose message matches")
	f.BoolVar(&o.git.merges, "merges", false, "only merges")
	f.BoolVar(&o.git.noMerges, "no-merges", false, "no merges")
	f.BoolVar(&o.git.first, "first-parent", false, "of a merge follow the first parent only")
	f.StringVar(&o.root, "root", "", "digest of the trust root (default: COVENANT_ROOT, else covenant.root)")
	return cmd
}

func run(ctx context.Context, env *cli.Env, o options, args []string) error {
	if o.max < 0 {
		return cli.Usage("-n takes a number of commits, not %d", o.max)
	}
	revs, err := env.Lines(args)
	if err != nil {
		return err
	}
	w, pin, err := work.OpenPinned(ctx, env, o.root)
	if err != nil {
		return err
	}
	defer w.Close()
	span, err := provenance.ParseSpan(w.Session, revs...)
	var unknown *provenance.RevisionError
	if errors.As(err, &unknown) {
		if _, serr := os.Lstat(env.Path(unknown.Rev)); serr == nil {
			return cli.Hint(err, "if the path is meant: covenant log -- "+say.Shell(unknown.Rev))
		}
	}
	if err != nil {
		return work.Explain(err)
	}
	opts := w.Looking(pin)
	opts.Cache, opts.NewestFirst, opts.Origins, opts.History = w.Cache(false), !o.reverse, true, true
	if asked := o.git.args(); len(asked) > 0 || len(o.git.paths) > 0 {
		if opts.Only, err = span.Select(ctx, w.Session, asked, o.git.paths); err != nil || len(opts.Only) == 0 {
			return err
		}
	}
	if o.intent != "" {
		if o.intent, err = named(ctx, w, pin, o.intent); err != nil {
			return err
		}
		opts.Cache = nil // what is remembered of a commit does not say what it was made for
	}
	rep, err := provenance.Verify(ctx, w.Session, span, opts)
	if err != nil {
		return work.Explain(err)
	}
	if len(rep.Facts.Root.Succeeds) > 0 { // who sealed what before is told by ledgers that a remembered run does not read
		opts.Cache = nil
		if rep, err = provenance.Verify(ctx, w.Session, span, opts); err != nil {
			return work.Explain(err)
		}
	}
	w.TellStale(rep.Problems)
	i, shown := 0, 0
	for r, err := range rep.Results {
		if err != nil {
			return work.Explain(err)
		}
		c := &rep.Commits[i]
		i++
		if !o.wants(&r) || o.intent != "" && provenancecmd.IntentOf(rep.Facts, &r) != o.intent {
			continue
		}
		formerly := ""
		if old := rep.Facts.Formerly(r.Commit); r.Principal == nil && len(old) > 0 {
			formerly = old[0].Name
		}
		if err := print(env, o, &r, c, formerly); err != nil {
			return err
		}
		if shown++; shown == o.max {
			break
		}
	}
	return nil
}

// named finds the id of an intent.
func named(ctx context.Context, w *work.Work, pin envelope.Digest, name string) (string, error) {
	cache := w.Cache(false)
	root, err := cache.OpenRoot(w.Session, pin)
	if err != nil {
		return "", work.Explain(err)
	}
	book, err := intents.Open(ctx, w.Session, root, cache)
	if err != nil {
		return "", work.Explain(err)
	}
	defer book.Close()
	r, err := book.Find(name)
	if err != nil {
		return "", cli.Hint(err, "see what there is: covenant intent list --all")
	}
	return string(r.ID), nil
}

func (o *options) wants(r *verdict.Result) bool {
	if o.verdict != "" && string(r.Verdict) != o.verdict {
		return false
	}
	if o.principal == "" {
		return true
	}
	made, rewrote := r.Everybody()
	if r.Principal != nil {
		made = append(made, *r.Principal)
	}
	return slices.ContainsFunc(append(made, rewrote...), func(p verdict.Principal) bool { return p.Name == o.principal || p.Accountable == o.principal })
}

func print(env *cli.Env, o options, r *verdict.Result, c *git.Commit, formerly string) error {
	if o.json {
		line := provenancecmd.Line(r)
		line.Formerly = formerly
		return env.JSON(line)
	}
	p := env.Palette()
	word := p.Good(fmt.Sprintf("%-8s", r.Verdict))
	switch {
	case r.Verdict == verdict.Before:
		word = p.Dim(fmt.Sprintf("%-8s", r.Verdict))
	case !r.Verdict.OK():
		word = p.Bad(fmt.Sprintf("%-8s", r.Verdict))
	}
	who := "-"
	switch {
	case len(r.Made) > 0 || len(r.Covers) > 1:
		who = report.Makers(r)
	case r.Principal != nil:
		who = provenancecmd.Who(r.Principal)
	case formerly != "":
		who = say.Line(formerly) + " (formerly)"
	}
	_, err := fmt.Fprintf(env.Out, "%s %s %s %-24s  %s\n", p.Mark(c.ID.Short()), c.Committer.When.UTC().Format("2006-01-02"), word, who, say.Line(c.Subject))
	return err
}
