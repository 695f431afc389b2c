package provenancecmd

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/git/provenance"
)

func newReseal(env *cli.Env) *cobra.Command {
	var asJSON bool
	var who, ref string
	cmd := &cobra.Command{
		Use:   "reseal [REV | A..B]...",
		Short: "Vouch for derived commits, as those that a merge button made",
		Long: `Seal the commits of a range that verify as derived, such as squashes and merges that a
server made, in mode "vouch", and record which sealed commits they are derived of: whose lines they
have stays as it was. It is for a principal of CI that has repo.vouch on that ref. Commits
that have a seal are passed over. When any commit does not verify, nothing is sealed and
the exit code is 1.`,
		Example: `  covenant provenance reseal origin/main..main
  covenant provenance reseal --identity ci --ref main "$BEFORE..$AFTER" && covenant ref admit main --identity ci`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runReseal(cmd.Context(), env, who, ref, asJSON, args)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per seal, and a summary")
	cmd.Flags().StringVar(&who, "identity", "", "act as this principal: a name, or the path of a private key")
	cmd.Flags().StringVar(&ref, "ref", "", "the ref that the commits are for, a full name or a branch (default: the one the revision names)")
	return cmd
}

func runReseal(ctx context.Context, env *cli.Env, who, ref string, asJSON bool, args []string) error {
	revs, err := env.Lines(args)
	if err != nil {
		return err
	}
	w, pin, err := work.OpenPinned(ctx, env, "")
	if err != nil {
		return err
	}
	defer w.Close()
	w.Explicit = who
	span, err := provenance.ParseSpan(w.Session, revs...)
	if err != nil {
		return work.Explain(err)
	}
	if span.Ref, err = provenance.Meant(w.Session, ref); err != nil {
		return work.Explain(err)
	}
	if span.Ref, err = span.UnderReview(w.Session); err != nil {
		return work.Explain(err)
	}
	if span.Ref == "" {
		return cli.Usage("nobody said which ref the commits are for: name a branch, or --ref")
	}
	switch there, err := provenance.HasRef(w.Session, span.Ref); {
	case err != nil:
		return work.Explain(err)
	case !there:
		return cli.Hint(fmt.Errorf("there is no %s, here or at a remote", say.Name(span.Ref)), "see what there is: git branch --all")
	}
	f, derived, err := provenance.Derived(ctx, w.Session, span, w.Verifying(pin))
	var bad *provenance.UnverifiedError
	switch {
	case errors.As(err, &bad):
		see := "covenant verify --ref " + say.Shell(span.Ref)
		for _, rev := range revs {
			see += " " + say.Shell(rev)
		}
		return cli.No(cli.Hint(fmt.Errorf("nothing was sealed: %w", err), "see all of it: "+see))
	case errors.Is(err, provenance.ErrUnverified):
		return cli.No(work.Explain(err))
	case err != nil:
		return work.Explain(err)
	}
	sum := SealSummary{Type: "summary", Commits: len(derived)}
	if len(derived) > 0 {
		k, err := w.Sealer(f)
		if err != nil {
			return err
		}
		k.Again, k.Moment = true, "provenance reseal"
		made, err := k.Reseal(ctx, span.Ref, derived)
		if err != nil {
			return work.Explain(err)
		}
		sum.Sealed = len(made)
		if err := printSeals(env, made, asJSON); err != nil {
			return err
		}
	}
	if asJSON {
		return env.JSON(sum)
	}
	_, err = fmt.Fprintf(env.Out, "%d derived, %d sealed\n", sum.Commits, sum.Sealed)
	return err
}
