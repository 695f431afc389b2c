// Package hookscmd is the command group "hooks".
package hookscmd

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/git"
)

func New(env *cli.Env) *cobra.Command { return &cobra.Command{Use: "hooks"} }

// InstallFor installs the hooks of a repository and names the moments.
func InstallFor(ctx context.Context, env *cli.Env, r *git.Repo) ([]string, error) {
	return []string{}, nil
}
func UninstallFor(ctx context.Context, env *cli.Env, r *git.Repo) error { return nil }
func Unreached(ctx context.Context, env *cli.Env, r *git.Repo) ([]string, error) {
	return []string{}, nil
}
