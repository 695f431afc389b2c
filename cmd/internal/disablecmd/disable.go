// Package disablecmd is the command "disable": it undoes everything local.
package disablecmd

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/hookscmd"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/notes"
	"github.com/open-covenant/covenant-git/git/provenance"
	"github.com/open-covenant/covenant-git/hooks"
)

// New returns the command.
func New(env *cli.Env) *cobra.Command {
	var refs bool
	cmd := &cobra.Command{
		Use:   "disable",
		Short: "Undo everything local: hooks, configuration, caches",
		Long: `Undo everything that init and hooks set up in this clone: the hooks (what they
replaced comes back byte for byte), those in the settings of agents that were written here, the covenant.* configuration, that of its other
worktrees too, and .git/covenant.
The record itself, refs/covenant and refs/notes/covenant, stays unless --refs is
given. Your private keys are not in the repository and are not touched.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), env, refs) },
	}
	cmd.Flags().BoolVar(&refs, "refs", false, "also delete this clone's copy of the record: refs/covenant/*, refs/covenant-fork/*, refs/covenant-remote/*, refs/covenant-transcript/* and refs/notes/covenant")
	return cmd
}

func run(ctx context.Context, env *cli.Env, refs bool) error {
	w, err := work.Open(ctx, env)
	if err != nil {
		return err
	}
	defer w.Close()
	r := w.Session.Repo()
	if err := hookscmd.UninstallFor(ctx, env, r); err != nil {
		return err
	}
	for _, key := range r.Config().Keys("covenant.") {
		switch scope := r.Config().Scope(key); scope {
		case "local", "worktree":
			if _, err := r.Run(ctx, nil, "config", "--"+scope, "--unset-all", key); err != nil {
				return err
			}
		}
	}
	if _, err := r.Run(ctx, nil, "config", "--local", "--get-regexp", `^covenant\.`); err == nil {
		return fmt.Errorf("some covenant.* configuration is left; see: git config --local --get-regexp '^covenant'")
	}
	if err := worktrees(ctx, r); err != nil {
		return err
	}
	if err := os.RemoveAll(r.StateDir()); err != nil {
		return err
	}
	if refs {
		if err := deleteRefs(w.Session); err != nil {
			return err
		}
	}
	what := "hooks, configuration and caches are gone"
	if refs {
		what = "hooks, configuration, caches and this clone's copy of the record are gone"
	}
	if _, err := fmt.Fprintln(env.Out, strings.ToUpper(what[:1])+what[1:]+"."); err != nil {
		return err
	}
	for _, key := range r.Config().Keys("covenant.") {
		if scope := r.Config().Scope(key); scope == "global" || scope == "system" {
			env.Talk().Hint(fmt.Sprintf("%s is set for all repositories, and stays; take it away with: git config --%s --unset-all %s", key, scope, key))
		}
	}
	if !refs {
		env.Talk().Hint("the record stays in refs/covenant; delete this clone's copy with: covenant disable --refs")
	}
	return nil
}

// worktrees takes out what other worktrees of this clone have in configurations of their own: whom they act as.
func worktrees(ctx context.Context, r *git.Repo) error {
	files, err := filepath.Glob(filepath.Join(r.CommonDir(), "worktrees", "*", "config.worktree"))
	if err != nil {
		return err
	}
	for _, file := range append(files, filepath.Join(r.CommonDir(), "config.worktree")) {
		out, err := r.Run(ctx, nil, "config", "--file", file, "-z", "--name-only", "--get-regexp", `^covenant\.`)
		if err != nil {
			continue // it is not there, or has nothing of ours
		}
		keys := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
		slices.Sort(keys)
		for _, key := range slices.Compact(keys) {
			if _, err := r.Run(ctx, nil, "config", "--file", file, "--unset-all", key); err != nil {
				return err
			}
		}
	}
	return nil
}

func deleteRefs(s *git.Session) error {
	list, err := s.Refs("refs/covenant/", provenance.ForkPrefix, provenance.RemotePrefix, hooks.TranscriptPrefix, notes.Ref)
	if err != nil {
		return err
	}
	updates := make([]git.RefUpdate, 0, len(list))
	for _, ref := range list {
		updates = append(updates, git.RefUpdate{Name: ref.Name, Old: ref.ID})
	}
	if len(updates) == 0 {
		return nil
	}
	return s.Update("covenant disable", updates...)
}
