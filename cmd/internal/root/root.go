// Package root assembles the everyday program from its commands.
package root

import (
	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/auditcmd"
	"github.com/open-covenant/covenant-git/cmd/internal/blamecmd"
	"github.com/open-covenant/covenant-git/cmd/internal/capabilitycmd"
	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/disablecmd"
	"github.com/open-covenant/covenant-git/cmd/internal/doctorcmd"
	"github.com/open-covenant/covenant-git/cmd/internal/evidencecmd"
	"github.com/open-covenant/covenant-git/cmd/internal/handoffcmd"
	"github.com/open-covenant/covenant-git/cmd/internal/hookscmd"
	"github.com/open-covenant/covenant-git/cmd/internal/identitycmd"
	"github.com/open-covenant/covenant-git/cmd/internal/initcmd"
	"github.com/open-covenant/covenant-git/cmd/internal/intentcmd"
	"github.com/open-covenant/covenant-git/cmd/internal/logcmd"
	"github.com/open-covenant/covenant-git/cmd/internal/plugincmd"
	"github.com/open-covenant/covenant-git/cmd/internal/policycmd"
	"github.com/open-covenant/covenant-git/cmd/internal/provenancecmd"
	"github.com/open-covenant/covenant-git/cmd/internal/refcmd"
	"github.com/open-covenant/covenant-git/cmd/internal/reviewcmd"
	"github.com/open-covenant/covenant-git/cmd/internal/showcmd"
	"github.com/open-covenant/covenant-git/cmd/internal/statscmd"
	"github.com/open-covenant/covenant-git/cmd/internal/statuscmd"
	"github.com/open-covenant/covenant-git/cmd/internal/synccmd"
	"github.com/open-covenant/covenant-git/cmd/internal/trustcmd"
	"github.com/open-covenant/covenant-git/cmd/internal/versioncmd"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
)

// New returns the command "covenant" with all its subcommands. Nothing has run
// yet, and nothing is read from env before a command runs.
func New(env *cli.Env) *cobra.Command {
	root := &cobra.Command{
		Use:   "covenant",
		Short: "Provenance for Git: who did what, under which authority, with what evidence",
		Long: `Covenant records, inside a Git repository, who made each commit, under which
authority and with what evidence, as signed statements that anybody with a clone
can verify.

Data goes to standard output, talk to standard error. The exit code is 0 for yes
or done, 1 for no (forged, denied, unsealed), 2 for no answer.

As with Git, "covenant -C DIR COMMAND" runs in another directory, "covenant --version"
is "covenant version", and a command that is not listed here is looked for as a program
covenant-COMMAND.`,
	}
	verify := provenancecmd.NewVerify(env)
	verify.ValidArgsFunction = cli.Complete(env, 0, work.Revisions(env))
	root.AddCommand(
		auditcmd.New(env),
		blamecmd.New(env),
		capabilitycmd.New(env),
		disablecmd.New(env),
		doctorcmd.New(env),
		evidencecmd.New(env),
		handoffcmd.New(env),
		hookscmd.New(env),
		identitycmd.New(env),
		initcmd.New(env),
		intentcmd.New(env),
		logcmd.New(env),
		plugincmd.New(env),
		policycmd.New(env),
		provenancecmd.New(env),
		verify,
		refcmd.New(env),
		reviewcmd.New(env),
		showcmd.New(env),
		statscmd.New(env),
		statuscmd.New(env),
		synccmd.New(env),
		trustcmd.New(env),
		versioncmd.New(env),
	)
	return root
}
