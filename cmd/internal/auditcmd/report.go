package auditcmd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/provenancecmd"
	"github.com/open-covenant/covenant-git/cmd/internal/report"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/audit"
	"github.com/open-covenant/covenant-git/git/provenance"
)

type reporting struct {
	since, until, principal, intent, format, output, root string
}

// forms are what a report can be written as.
var forms = []string{"markdown", "html", "json", "otlp-json"}

func newReport(env *cli.Env) *cobra.Command {
	var o reporting
	cmd := &cobra.Command{
		Use:   "report",
		Short: "Write what happened in a span of time, for an auditor or a manager",
		Long: `Write a report of a span of time, from this repository alone: who did what; what was denied,
to whom and why; the grants in force at its end, and those that ended; the commits of the
protected refs (of HEAD where the policy protects none) that do not verify; and first of
all what is wrong with the record itself, where something is.

The page of --format html is one file that runs and loads nothing. Its timeline, lists and
texts are bounded however long the log is; what is left out is counted. --format json is one
object, docs/spec/audit.md describes it. A span is of the times that records claim.

--format otlp-json is no report: it writes tool calls, checks and seals as OpenTelemetry
spans, under one for each intent and session, in lines as OpenTelemetry's file exporter
writes them and its collector reads them.

The exit code is 0 when the report was written, whatever it says, and 2 when there is none.
-o replaces only a regular file, at once, when all of the report is there.`,
		Example: `  covenant audit report --since 2026-11-01 --until 2026-11-30 --format html -o november.html
  covenant audit report --since 7d --principal coder
  covenant audit report --format json | jq '.denials[] | [.principal, .action, .reason, .count]'
  covenant audit report --since 1d --format otlp-json -o traces.jsonl
  covenant audit report --since 1d --format json | jq -e '.problems + .commits == []'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := runReport(cmd.Context(), env, o); err != nil {
				return cli.Code(cli.ExitNoAnswer, err) // of whatever kind: a report is no verdict
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.since, "since", "", "what happened then or later: a time, a day, or 2d for two days ago")
	f.StringVar(&o.until, "until", "", "what happened then or before; a day counts whole")
	f.StringVar(&o.principal, "principal", "", "what this principal did, was refused, or answers for")
	f.StringVar(&o.intent, "intent", "", "done for this intent")
	f.StringVar(&o.format, "format", "markdown", "markdown, html, json, or otlp-json for tools that read traces")
	f.StringVarP(&o.output, "output", "o", "", "write the report to this file (default: standard output)")
	f.StringVar(&o.root, "root", "", "digest of the trust root (default: COVENANT_ROOT, else covenant.root)")
	_ = cmd.RegisterFlagCompletionFunc("principal", cli.Complete(env, 0, work.Names(env)))
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(forms, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func runReport(ctx context.Context, env *cli.Env, o reporting) error {
	if !slices.Contains(forms, o.format) {
		return cli.Usage("--format takes %s, not %q", strings.Join(forms, ", "), o.format)
	}
	now := env.Now()
	since, until, err := between(o.since, o.until, now)
	if err != nil {
		return err
	}
	if !since.IsZero() && !until.IsZero() && until.Before(since) {
		return cli.Usage("--until %s is before --since %s", say.Name(o.until), say.Name(o.since))
	}
	w, err := work.Open(ctx, env)
	if err != nil {
		return err
	}
	defer w.Close()
	pinned, err := w.PinFrom(o.root)
	if err != nil {
		return err
	}
	return writeTo(env, o.output, func(out *cli.Env) error {
		if o.format == "otlp-json" {
			return o.spans(ctx, w, out, pinned, since, until)
		}
		a, err := o.account(ctx, w, pinned, since, until, now)
		if err != nil {
			return err
		}
		switch o.format {
		case "json":
			return out.JSON(a)
		case "html":
			return a.HTML(out.Out)
		}
		return a.Markdown(out.Out)
	})
}

// load reads the ledgers, in which somebody must be called as the question says.
func (o *reporting) load(ctx context.Context, w *work.Work, pinned work.Pinned) (*provenance.Facts, error) {
	f, err := w.Cache(false).Load(ctx, w.Session, pinned.Digest)
	if err != nil {
		return nil, work.Explain(err)
	}
	if o.principal != "" && !slices.ContainsFunc(f.Authority.Principals(), func(p *capability.Principal) bool { return p.Name == o.principal || p.Accountable == o.principal }) {
		return nil, cli.Hint(fmt.Errorf("nobody here is called %s", say.Name(o.principal)), "see who is: covenant identity list")
	}
	return f, nil
}

// spans writes the records of the span for tools that read traces. What is wrong with the record is told beside it.
func (o *reporting) spans(ctx context.Context, w *work.Work, out *cli.Env, pinned work.Pinned, since, until time.Time) error {
	f, err := o.load(ctx, w, pinned)
	if err != nil {
		return err
	}
	warn(out, map[string]bool{}, f.Problems)
	s := report.NewSpans(string(f.Root.ID), provenancecmd.Version(), len(f.Problems), out.JSON)
	for r, err := range audit.Log(w.Session, f, audit.Filter{Since: since, Until: until, Principal: o.principal, Intent: o.intent}) {
		if err == nil {
			err = s.Add(&r)
		}
		if err != nil {
			return work.Explain(err)
		}
	}
	return s.Close()
}

// account gathers all that a report says.
func (o *reporting) account(ctx context.Context, w *work.Work, pinned work.Pinned, since, until, now time.Time) (*report.Account, error) {
	f, err := o.load(ctx, w, pinned)
	if err != nil {
		return nil, err
	}
	a := report.NewAccount(report.Run{Now: now, Version: provenancecmd.Version(), Root: string(pinned.Digest), Pinned: pinned.Source},
		report.NewAsked(since, until, o.principal, o.intent))
	a.Tips, a.Ledgers = string(f.TipsDigest()), len(f.Chains)
	wrong, err := audit.Wrong(f, w.Cache(false), now)
	if err != nil {
		return nil, err
	}
	for _, p := range slices.Concat(f.Problems, wrong) {
		a.Problem(p)
	}
	k := report.NewReckoner(f.Authority, since, until, now)
	// All of the log, whatever it claims of its times: what lies outside of the span is counted, too.
	for r, err := range audit.Log(w.Session, f, audit.Filter{Principal: o.principal, Intent: o.intent}) {
		if err != nil {
			return nil, work.Explain(err)
		}
		k.Add(&r)
	}
	k.Into(a)
	for name, c := range f.Chains {
		if p, ok := f.Authority.ByKey(keyOf(c)); o.principal == "" || ok && (p.Name == o.principal || p.Accountable == o.principal) {
			a.Records.Dropped += f.Dropped(name)
		}
	}
	end := now
	if !until.IsZero() && until.Before(now) {
		end = until
	}
	var want func(...string) bool
	if o.principal != "" {
		want = func(names ...string) bool { return slices.Contains(names, o.principal) }
	}
	a.Holdings(f.Authority, since, end, want)
	return a, judge(ctx, w, pinned, f.Root, a, since, until)
}

// keyOf returns the key of a ledger's writer.
func keyOf(c *verdict.Chain) string {
	if len(c.Entries) == 0 {
		return ""
	}
	return c.Entries[0].KeyID
}

// writeTo has write write to the file of a name, which appears whole or not at all; "" and "-" are standard output. What is
// there already must be a regular file.
func writeTo(env *cli.Env, name string, write func(*cli.Env) error) error {
	inner := *env
	if name == "" || name == "-" {
		buf := bufio.NewWriter(env.Out)
		inner.Out = buf
		return errors.Join(write(&inner), buf.Flush())
	}
	if err := replaceable(env.Path(name), name); err != nil {
		return err
	}
	path, err := env.Output(name)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // does nothing where it has its name
	buf := bufio.NewWriter(tmp)
	inner.Out, inner.StdoutTTY = io.Writer(buf), false
	if err := write(&inner); err != nil {
		_ = tmp.Close()
		return err
	}
	if err := errors.Join(buf.Flush(), tmp.Chmod(0o644), tmp.Sync(), tmp.Close(), replaceable(path, name)); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// replaceable reports why a file must stay as it is.
func replaceable(path, name string) error {
	st, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("report: %w", err)
	case !st.Mode().IsRegular():
		return cli.Usage("-o %s is no regular file, and stays as it is", say.Name(name))
	}
	return nil
}
