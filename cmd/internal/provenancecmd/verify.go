package provenancecmd

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/report"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
	"github.com/open-covenant/covenant-git/git/sync"
)

type verifyOptions struct {
	json, deep, noCache, quiet, fetch         bool
	root, ref, format, output, remote, source string
	tips, from                                string
	paths                                     []string

	settled bool  // with fetch: nothing more can be brought
	held    *held // likewise: what was found about the trust root; nil without
}

// formats are the names of all forms, the two that are printed line by line first.
func formats() []string {
	out := []string{"text", "json"}
	for _, f := range report.Formats {
		out = append(out, f.Name)
	}
	return out
}

// NewVerify returns the command "verify".
func NewVerify(env *cli.Env) *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use:   "verify [REV | A..B]...",
		Short: "Tell for each commit whether its seal holds",
		Long: `Tell for each commit whether a key that is trusted for it sealed exactly this
commit. A..B is a range under review, REV is its whole history; the default is HEAD.

Verdicts: sealed, derived, exempt (the policy lets this human's commits go without a
seal, and Git's own signature holds), unsealed, invalid, and before (older than
governance). All findings are told; their codes are stable. The exit code is 0 when
every commit is sealed, derived, exempt or before, 1 when one is unsealed or invalid,
and 2 when there is no answer: an empty range, an unknown revision, history that ends
too early. The form of the report does not change it.

When REV is a ref that the policy protects, the ref itself is judged as well: it
must be where its newest admission put it.

Forms: text, json, sarif (SARIF 2.1.0), junit, github (annotations of a workflow, and
its summary), gitlab (Code Quality), markdown (for a comment), html (one static page),
and vsa (a SLSA Source verification summary, not signed).

With --path only commits that change something there are judged, whole: for a part of a
large repository. What is not looked at is not vouched for.

With --from ledgers are borrowed from another remote, such as the fork that a change comes
from: judged as any hostile input, used for this run, and not kept.

With --fetch what is missing here is fetched first: ledgers and trust root, the
commits that were named, and history as far as the range needs it. Without it nothing
uses the network.`,
		Example: `  covenant verify
  covenant verify origin/main..HEAD
  covenant verify main --json | jq 'select(.type=="commit" and .verdict!="sealed")'
  covenant verify --root sha256:… --deep main
  covenant verify origin/main..HEAD --format sarif --output covenant.sarif
  covenant verify --fetch --ref main "$BASE..$HEAD" --format github`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(cmd); err != nil {
				return err
			}
			return runVerify(cmd.Context(), env, o, args)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.format, "format", "text", "form of the report: "+strings.Join(formats(), ", "))
	f.BoolVar(&o.json, "json", false, "print one JSON object per commit, and a summary; the same as --format json")
	f.StringVarP(&o.output, "output", "o", "", "write the report to this file, whole or not at all, instead of standard output")
	f.BoolVar(&o.fetch, "fetch", false, "fetch what is missing here from the remote")
	f.StringVar(&o.remote, "remote", "", "remote to fetch from, and whose URL reports name (default: the branch's, else origin)")
	f.StringVar(&o.from, "from", "", "name or URL of a remote, such as a fork, whose ledgers are looked at for this run and not kept")
	f.StringVar(&o.source, "resource-uri", "", "URI of the repository, as reports name it (default: the remote's URL)")
	f.BoolVar(&o.deep, "deep", false, "hash every commit, tree and blob again, and every content digest")
	f.StringVar(&o.tips, "tips", "", "file that remembers how far each ledger reached: what was taken back since is refused, else the file is renewed")
	f.BoolVar(&o.noCache, "no-cache", false, "believe nothing remembered from earlier runs")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "leave out the commits that pass (text only)")
	f.StringArrayVar(&o.paths, "path", nil, "only commits that change something at this path, as git log finds them; may be repeated")
	f.StringVar(&o.ref, "ref", "", "the ref that the commits are for, a full name or a branch (default: the one the revision names)")
	f.StringVar(&o.root, "root", "", "digest of the trust root to hold everything to (default: COVENANT_ROOT, else covenant.root)")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(formats(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// check refuses flags that contradict each other, and makes --json and --format json one.
func (o *verifyOptions) check(cmd *cobra.Command) error {
	f := cmd.Flags()
	if !slices.Contains(formats(), o.format) {
		return cli.Usage("there is no form %s, only: %s", say.Name(o.format), strings.Join(formats(), ", "))
	}
	if o.json && f.Changed("format") && o.format != "json" {
		return cli.Usage("--json and --format %s contradict each other", o.format)
	}
	if f.Changed("json") && !o.json && o.format == "json" {
		return cli.Usage("--json=false and --format json contradict each other")
	}
	for flag, remote := range map[string]string{"--remote": o.remote, "--from": o.from} {
		if strings.HasPrefix(remote, "-") {
			return cli.Usage("%s is no name of a remote", say.Name(remote))
		}
		if u, err := url.Parse(remote); err == nil && u.User != nil {
			if _, secret := u.User.Password(); secret { // what is fetched is told, and would tell it
				return cli.Usage("%s takes no URL with a password in it; Git asks a credential helper", flag)
			}
		}
	}
	if f.Changed("ref") && o.ref == "" {
		return cli.Hint(cli.Usage("--ref names nothing"), "without it the ref that the revision names is meant")
	}
	if o.from != "" && o.tips != "" {
		return cli.Usage("--tips remembers what is here, and what --from borrows is not kept")
	}
	if slices.Contains(o.paths, "") {
		return cli.Hint(cli.Usage("--path names nothing"), "all that is below here is: --path .")
	}
	if len(o.paths) > 0 && o.format == "vsa" {
		return cli.Usage("a verification summary is of all commits, not of those at a path")
	}
	if o.json {
		o.format = "json"
	} else if o.format == "json" {
		return f.Set("json", "true") // errors are told in that form, too
	}
	return nil
}

// runVerify verifies; with --fetch it fetches what that needs and tries again.
func runVerify(ctx context.Context, env *cli.Env, o verifyOptions, args []string) error {
	revs, err := env.Lines(args)
	if err != nil {
		return err
	}
	env.Talk() // one talker for all that follows
	return withOutput(env, o.output, func(env *cli.Env) error {
		if !o.fetch {
			return offerFetch(ctx, env, o.remote, revs, verifyOnce(ctx, env, o, revs))
		}
		f := fetcher{ctx: ctx, env: env, remote: o.remote}
		if o.held, err = f.record(o.root); err != nil {
			return err
		}
		for {
			err := verifyHeld(ctx, env, o, revs)
			again, ferr := f.mend(err, revs)
			switch {
			case ferr != nil:
				return ferr
			case again:
			case errors.Is(err, errCut): // nothing brings it: so it is said
				o.settled = true
			default:
				return err
			}
		}
	})
}

// verifyHeld is verifyOnce, and prints nothing where it returns errCut.
func verifyHeld(ctx context.Context, env *cli.Env, o verifyOptions, revs []string) error {
	if o.settled {
		return verifyOnce(ctx, env, o, revs)
	}
	var out bytes.Buffer
	held := *env
	held.Out = &out
	err := verifyOnce(ctx, &held, o, revs)
	if errors.Is(err, errCut) {
		return err
	}
	_, werr := out.WriteTo(env.Out)
	return cmp.Or(err, werr)
}

// verifyOnce verifies what is here. Where it returns an error that [fetcher.mend]
// knows, nothing was printed yet, or it is errCut.
func verifyOnce(ctx context.Context, env *cli.Env, o verifyOptions, revs []string) error {
	open := work.Open
	if o.noCache || o.deep {
		open = work.OpenFresh
	}
	w, err := open(ctx, env)
	if err != nil {
		return err
	}
	defer w.Close()
	var pinned work.Pinned
	if o.held != nil {
		pinned = o.held.pinned
	} else if pinned, err = w.PinFrom(o.root); err != nil {
		return err
	}
	span, err := provenance.ParseSpan(w.Session, revs...)
	if err != nil {
		return work.Explain(err)
	}
	if span.Ref, err = provenance.Meant(w.Session, o.ref); err != nil {
		return work.Explain(err)
	}
	if o.fetch {
		if err := wholeRange(ctx, w, span); err != nil {
			return work.Explain(err)
		}
	}
	run, err := describe(env, w, o, span, revs, pinned)
	if err != nil {
		return err
	}
	format, document := report.Named(o.format)
	opts := w.Verifying(pinned.Digest)
	if len(o.paths) > 0 {
		if opts.Only, err = touching(ctx, w, span, o.paths); err != nil {
			return work.Explain(err)
		}
	}
	opts.Origins = true
	opts.Opened = w.Cache(o.noCache || o.tips != "")
	opts.Deep, opts.Cache = o.deep, w.Cache(o.noCache || format.Seals || o.tips != "")
	session, told := w.Session, []verdict.Finding(nil)
	if o.from != "" {
		b, err := sync.Borrow(ctx, w.Session, sync.Options{Remote: o.from, Pin: pinned.Digest, Now: env.Now()})
		if err != nil {
			err = work.Explain(fmt.Errorf("--from %s: %w", say.Name(sync.Shown(o.from)), err))
			if failed := (*git.CommandError)(nil); errors.As(err, &failed) && len(cli.Hints(err)) == 0 {
				err = cli.Hint(err, "it takes a remote of this clone (git remote -v), or the URL of a repository that may be read")
			}
			return err
		}
		defer b.Close()
		session, told, opts.Overlay = b.Session, b.Told, b.Ledgers
		env.Talk().Note("with %s of %s, which %s kept", say.Count(len(b.Ledgers), "ledger"), say.Name(sync.Shown(o.from)), map[bool]string{true: "is not", false: "are not"}[len(b.Ledgers) == 1])
	}
	var rep *provenance.Report
	if o.held != nil && o.held.unfit != nil {
		err = o.held.unfit
	} else {
		rep, err = provenance.Verify(ctx, session, span, opts)
	}
	if rep != nil {
		rep.Problems = append(rep.Problems, told...)
	}
	var refused *provenance.RootError
	if err != nil && !errors.As(err, &refused) {
		return work.Explain(err)
	}
	var out report.Encoder
	var publish publisher
	if document {
		run.InForce = inForce(rep)
		out, publish = encoder(env, format, run)
	} else {
		l := &lines{env: env, json: o.format == "json", quiet: o.quiet, run: run}
		if rep != nil {
			l.facts = rep.Facts
		}
		out = l
	}
	if refused != nil {
		if err := out.End(report.Summary{Findings: []verdict.Finding{rootFinding(refused)}}); err != nil {
			return err
		}
		publish.tell(env)
		if o.format == "text" {
			return cli.No(work.Explain(refused))
		}
		return cli.No(nil)
	}
	sum, err := judge(env, w, session, span, rep, format, out)
	if err != nil {
		return err
	}
	if o.fetch && !o.settled && sum.Undecided == cutHistory {
		return errCut
	}
	if o.tips != "" {
		if err := remembered(env, o.tips, rep.Facts, out, &sum); err != nil {
			return err
		}
	}
	if err := out.End(sum); err != nil {
		return err
	}
	publish.tell(env)
	if o.format == "text" && !o.quiet && sum.OK && o.ref == "" && len(revs) == 1 {
		tellTarget(env, session, rep.Facts.Root, run.Ref, revs[0])
	}
	if sum.Undecided != "" {
		hint := "install the newer one: https://github.com/open-covenant/covenant-git"
		if sum.Undecided == cutHistory {
			hint = "get what it lacks: " + sum.Mend
		}
		return cli.Hint(errors.New(sum.Undecided), hint)
	}
	if !sum.OK {
		return cli.No(nil)
	}
	return nil
}

// tellTarget says that a change was judged for the branch it is on, where it is compared with one that the policy protects: what that
// demands was not asked.
func tellTarget(env *cli.Env, s *git.Session, root *provenance.Root, judged, rev string) {
	from, _, ranged := strings.Cut(rev, "..")
	if !ranged || from == "" {
		return
	}
	if target, err := provenance.RefOf(s, from); err == nil && target != judged && root.Policy.Protects(target) {
		env.Talk().Hint(fmt.Sprintf("whether it may come to %s: covenant verify --ref %s %s", say.Name(target), say.Shell(strings.TrimPrefix(target, "refs/heads/")), say.Shell(rev)))
	}
}

// touching returns the commits of a span that change something at a path, and the merges where that came together or was
// dropped; no blob is read.
func touching(ctx context.Context, w *work.Work, span provenance.Span, paths []string) (map[oid.ID]bool, error) {
	only, err := span.Select(ctx, w.Session, []string{"--simplify-merges"}, paths)
	if err != nil {
		return nil, err
	}
	// A merge that has what its second parent has is simplified away, and it is what brought that to the ref.
	brought, err := span.Select(ctx, w.Session, []string{"--first-parent"}, paths)
	if err != nil {
		return nil, err
	}
	maps.Copy(only, brought)
	if len(only) == 0 {
		return nil, cli.Hint(fmt.Errorf("%w that changes anything at %s", provenance.ErrEmptyRange, strings.Join(paths, ", ")), "paths are seen from here, as git log sees them")
	}
	return only, nil
}

// remembered holds ledgers and trust root to how far they reached when a file was written, and writes how far they reach
// now where nothing was taken back. A file that is not there yet is the first one.
func remembered(env *cli.Env, name string, f *provenance.Facts, out report.Encoder, sum *report.Summary) error {
	path, err := env.Output(name)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(path) //nolint:gosec // the person's own file
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err == nil {
		was, err := provenance.ParseReach(bytes.TrimSuffix(b, []byte("\n")))
		if err != nil {
			return cli.Hint(fmt.Errorf("%s: %w", name, err), "if that is no file of ours, name another; if it was damaged, remove it knowingly: what was seen is forgotten with it")
		}
		gone, err := f.Lacks(was)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, x := range gone {
			if err := out.Problem(x, true); err != nil {
				return err
			}
		}
		if len(gone) > 0 {
			sum.OK = false
			return nil
		}
	}
	if b, err = f.Reached().Bytes(); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, err = tmp.Write(append(b, '\n'))
	if err = errors.Join(err, tmp.Chmod(0o644), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	return err
}

// newerRelease is why there may be no answer although all was looked at.
const newerRelease = "a statement was written by a newer release; this one can't decide"

// errCut says that history, or content, which this clone lacks would decide, and may be fetched.
var errCut = errors.New(cutHistory)

// cutHistory is why there is no answer about a commit that may be derived.
const cutHistory = "what a commit is made of can't be told: this clone lacks history, or content of it"

// judge hands all results to the encoder, but for the sum, which it returns.
func judge(env *cli.Env, w *work.Work, session *git.Session, span provenance.Span, rep *provenance.Report, format report.Format, out report.Encoder) (report.Summary, error) {
	sum := report.Summary{OK: true}
	bar := env.Talk().Progress("verifying", len(rep.Commits))
	defer bar.Done()
	look := looker{session: session, report: rep, talk: env.Talk()}
	i := 0
	for r, err := range rep.Results {
		if err != nil {
			return sum, work.Explain(err)
		}
		count(&sum, r.Verdict)
		for _, f := range r.Findings {
			if f.Code == verdict.SealNewer || f.Code == verdict.LedgerNewer {
				sum.Undecided = newerRelease
			}
			if f.Code == verdict.DerivedHistory {
				sum.Undecided, sum.Mend = cutHistory, f.Hint
			}
		}
		if err := out.Commit(look.commit(&r, &rep.Commits[i], format)); err != nil {
			return sum, err
		}
		i++
		bar.Add(1)
	}
	bar.Done()
	for _, p := range rep.Problems {
		if rep.Facts.Undecided(p) {
			sum.Undecided = newerRelease
		}
		if err := out.Problem(p, p.Code.Condemns()); err != nil {
			return sum, err
		}
		sum.OK = sum.OK && !p.Code.Condemns()
	}
	for _, f := range sync.TakenBack(w.Session.Repo()) {
		if err := out.Problem(f, false); err != nil {
			return sum, err
		}
	}
	sum.OK = sum.OK && sum.Unsealed+sum.Invalid == 0
	head, whole, err := span.Head(w.Session)
	if err != nil {
		return sum, work.Explain(err)
	}
	if whole && rep.Facts.Root.Policy.Protects(head.Ref) {
		state := rep.Facts.RefState(head, env.Now(), w.Ask(rep.Facts.Root, rep.Facts.Authority))
		w.HintMoved(&state)
		sum.OK = sum.OK && state.OK()
		if err := out.Ref(report.Ref{RefState: &state, By: admitter(&state, rep.Facts)}); err != nil {
			return sum, err
		}
	}
	return sum, nil
}

// rootFinding says why nothing here can be held to the pinned root.
func rootFinding(e *provenance.RootError) verdict.Finding {
	f := verdict.Finding{Code: verdict.RootInvalid, Object: string(e.Found), Message: e.Error()}
	switch {
	case errors.Is(e, provenance.ErrRootMismatch):
		f.Code = verdict.RootMismatch
	case errors.Is(e, trust.ErrExpired):
		f.Code = provenance.RootExpired
	case errors.Is(e, trust.ErrFork):
		f.Code = provenance.RootFork
	}
	return f
}
