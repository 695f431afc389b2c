// Package provenancecmd is the command group "provenance": seal and verify.
package provenancecmd

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// New returns the command group.
func New(env *cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "provenance",
		Short: "Seal commits, and verify seals",
		Long: `A seal is the signed statement of who made a commit, on whose authority, and what
exactly it changes. Hooks make seals at the moment of a commit; "seal" makes them
later, and says so; "verify" judges them. "export" writes them for other programs, and
"attestations" shows what other programs say.`,
	}
	cmd.AddCommand(newSeal(env), newReseal(env), NewVerify(env), newExport(env), newAttestations(env))
	return cmd
}

func newSeal(env *cli.Env) *cobra.Command {
	var asJSON bool
	var who string
	cmd := &cobra.Command{
		Use:   "seal [REV | A..B]...",
		Short: "Vouch for commits that have no seal",
		Long: `Vouch for commits that have no seal: history from before, or a commit whose hook
was not there. A seal made now says so: its mode is "vouch", and it needs
repo.vouch, which operators have. REV is that one commit, A..B all of a range,
"-" reads revisions from standard input. Commits that have a seal which holds, whoever
made it, are passed over, so an interrupted run is resumed by starting it again. What sealed
commits of others cover stays theirs: it is recorded what a commit is made of.`,
		Example: `  covenant provenance seal HEAD
  covenant provenance seal v1.0..main`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error { return runSeal(cmd.Context(), env, who, asJSON, args) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per seal, and a summary")
	cmd.Flags().StringVar(&who, "identity", "", "act as this principal: a name, or the path of a private key")
	return cmd
}

// Sealed is one seal as seal prints it with --json.
type Sealed struct {
	Type     string    `json:"type"` // "seal"
	Commit   string    `json:"commit"`
	Envelope string    `json:"envelope"`
	Mode     prov.Mode `json:"mode"`
}

// SealSummary is the last line of seal with --json.
type SealSummary struct {
	Type    string `json:"type"` // "summary"
	Commits int    `json:"commits"`
	Sealed  int    `json:"sealed"`
	Skipped int    `json:"skipped"` // had a good seal already
}

func runSeal(ctx context.Context, env *cli.Env, who string, asJSON bool, args []string) error {
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
	f, err := w.Cache(false).Load(ctx, w.Session, pin)
	if err != nil {
		return work.Explain(err)
	}
	k, err := w.Sealer(f)
	if err != nil {
		return err
	}
	commits, err := provenance.Commits(w.Session, revs...)
	if err != nil {
		return work.Explain(err)
	}
	ref, err := w.Session.ActingRef()
	if err != nil {
		return work.Explain(err)
	}
	opts := w.Verifying(pin)
	opts.Opened = w.Cache(false)
	good, err := f.Sealed(ctx, w.Session, ref, commits, opts)
	if err != nil {
		return work.Explain(err)
	}
	want := make(map[oid.ID]bool, len(commits))
	for _, c := range commits {
		want[c.ID] = !good[c.ID]
	}
	todo, err := provenance.Remakes(ctx, w.Session, k.Hand.Signer.Public().ID(), commits, want, opts)
	if err != nil {
		return work.Explain(err)
	}
	k.Again, k.Moment = true, "provenance seal"
	bar := env.Talk().Progress("sealing", len(todo))
	sum := SealSummary{Type: "summary", Commits: len(commits), Skipped: len(commits) - len(todo)}
	const batch = 256
	for some := range slices.Chunk(todo, batch) {
		if err := sealBatch(ctx, env, k, some, asJSON, &sum); err != nil {
			bar.Done()
			return resumable(err, sum)
		}
		bar.Add(len(some))
	}
	bar.Done()
	if asJSON {
		return env.JSON(sum)
	}
	_, err = fmt.Fprintf(env.Out, "%d sealed, %d had a seal already\n", sum.Sealed, sum.Skipped)
	return err
}

func sealBatch(ctx context.Context, env *cli.Env, k *provenance.Sealer, list []provenance.Remake, asJSON bool, sum *SealSummary) error {
	made, err := k.Reseal(ctx, "", list)
	if err != nil {
		return err
	}
	sum.Sealed += len(made)
	sum.Skipped += len(list) - len(made)
	if !asJSON && sum.Commits <= fewSealed { // people see which, and not only how many
		for _, m := range made {
			i := slices.IndexFunc(list, func(c provenance.Remake) bool { return c.Commit.ID == m.Commit })
			if _, err := fmt.Fprintf(env.Out, "sealed   %s %s\n", m.Commit.Short(), say.Line(list[i].Commit.Subject)); err != nil {
				return err
			}
		}
	}
	return printSeals(env, made, asJSON)
}

// fewSealed is how many commits are named one by one to people.
const fewSealed = 20

// printSeals prints what was sealed, one JSON object each; nothing for people, who get the summary.
func printSeals(env *cli.Env, made []provenance.Made, asJSON bool) error {
	if !asJSON {
		return nil
	}
	for _, m := range made {
		if err := env.JSON(Sealed{"seal", m.Commit.String(), string(m.ID), m.Mode}); err != nil {
			return err
		}
	}
	return nil
}

// resumable says how far an interrupted run came; what was sealed stays.
func resumable(err error, sum SealSummary) error {
	if sum.Sealed > 0 || errors.Is(err, context.Canceled) {
		return cli.Hint(work.Explain(err), fmt.Sprintf("%d of %d are sealed and stay so; start the same command again to go on", sum.Sealed+sum.Skipped, sum.Commits))
	}
	return work.Explain(err)
}
