package provenancecmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/attested"
	"github.com/open-covenant/covenant-git/git/notes"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

func newExport(env *cli.Env) *cobra.Command {
	var toNotes bool
	var root string
	cmd := &cobra.Command{
		Use:   "export [REV | A..B]...",
		Short: "Write seals for programs that read in-toto attestations",
		Long: `Write the seals of commits that verify, one DSSE envelope with an in-toto statement on each
line (*.intoto.jsonl), oldest commit first. As for "verify", A..B is a range and REV its whole
history; the default is HEAD. A commit that is derived, exempt or from before governance has no
seal of its own to write: standard error counts them. The exit code is 1 when a commit does not verify.

With --notes they are put into Git's own notes, refs/notes/commits, where the SLSA source tool and
others look. What stands there stays.`,
		Example: `  covenant provenance export v1.2..v1.3 >v1.3.intoto.jsonl
  covenant provenance export --notes origin/main..main && git push origin refs/notes/commits`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runExport(cmd.Context(), env, root, toNotes, args)
		},
	}
	cmd.Flags().BoolVar(&toNotes, "notes", false, "put them into "+attested.Notes+" instead of standard output")
	cmd.Flags().StringVar(&root, "root", "", "digest of the trust root (default: COVENANT_ROOT, else covenant.root)")
	return cmd
}

func runExport(ctx context.Context, env *cli.Env, root string, toNotes bool, args []string) error {
	revs, err := env.Lines(args)
	if err != nil {
		return err
	}
	w, pin, err := work.OpenPinned(ctx, env, root)
	if err != nil {
		return err
	}
	defer w.Close()
	span, err := provenance.ParseSpan(w.Session, revs...)
	if err != nil {
		return work.Explain(err)
	}
	rep, err := provenance.Verify(ctx, w.Session, span, w.Verifying(pin))
	if err == nil {
		err = rep.Condemned()
	}
	if err != nil {
		return work.Explain(err)
	}
	var sealed []*verdict.Candidate
	refused, without := 0, 0
	for r, err := range rep.Results {
		if err != nil {
			return work.Explain(err)
		}
		seals := rep.Facts.SealsOf(r.Commit)
		i := slices.IndexFunc(seals, func(c verdict.Candidate) bool { return c.ID == r.SealID && c.Seal != nil })
		switch {
		case !r.Verdict.OK():
			refused++
		case r.Verdict != verdict.Sealed || i < 0:
			without++
		default:
			sealed = append(sealed, &seals[i])
		}
	}
	var adds []notes.Add
	n := 0
	for o, err := range w.Session.Objects(blobs(sealed), envelope.MaxSize) {
		if n == len(sealed) {
			break
		}
		if err != nil {
			return err
		}
		line := bytes.TrimSuffix(o.Data, []byte{'\n'})
		if toNotes {
			adds = append(adds, notes.Add{Object: sealed[n].Seal.Commit(), Line: slices.Clone(line), Other: true})
		} else if _, err := fmt.Fprintf(env.Out, "%s\n", line); err != nil {
			return err
		}
		n++
	}
	if toNotes {
		if err := note(ctx, w, adds); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(env.Out, "%d in %s\n", len(adds), attested.Notes); err != nil {
			return err
		}
	}
	if without > 0 {
		env.Talk().Warn("%d of %d commits verify without a seal of their own", without, len(rep.Commits))
	}
	if refused > 0 {
		return cli.No(cli.Hint(fmt.Errorf("%d of %d commits do not verify", refused, len(rep.Commits)), "see why: covenant verify"))
	}
	return nil
}

// note puts lines into Git's own notes, beside what others write there meanwhile.
func note(ctx context.Context, w *work.Work, adds []notes.Add) error {
	return git.Retry(ctx, func() error {
		refs, err := w.Session.Refs(attested.Notes)
		if err != nil {
			return err
		}
		var base oid.ID
		for _, r := range refs {
			if r.Name == attested.Notes {
				base = r.ID
			}
		}
		tip, err := notes.Edit(w.Session, base, notes.Ident(w.Env.Now()), "seals, by covenant provenance export", adds)
		if errors.Is(err, notes.ErrUnreadable) {
			return cli.Hint(err, "see what it holds: git notes --ref=commits list")
		}
		if err != nil || tip == base {
			return err
		}
		return w.Session.Update("covenant provenance export", git.RefUpdate{Name: attested.Notes, New: tip, Old: base})
	})
}

func blobs(seals []*verdict.Candidate) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, c := range seals {
			if !yield(c.Blob.String()) {
				return
			}
		}
	}
}
