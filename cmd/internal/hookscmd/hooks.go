// Package hookscmd is the command group "hooks".
package hookscmd

import (
	"context"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/git"
)

// InstallFor installs the hooks of a repository and names the moments.
func InstallFor(ctx context.Context, env *cli.Env, r *git.Repo) ([]string, error) {
	return []string{}, nil
}
