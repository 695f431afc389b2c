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

// commands are the names of all commands and what builds them, in the order of the names.
var commands = []struct {
	name  string
	build func(*cli.Env) *cobra.Command
}{
	{"audit", auditcmd.New},
	{"blame", blamecmd.New},
	{"capability", capabilitycmd.New},
	{"disable", disablecmd.New},
	{"doctor", doctorcmd.New},
	{"evidence", evidencecmd.New},
	{"explain", blamecmd.NewExplain},
	{"handoff", handoffcmd.New},
	{"hooks", hookscmd.New},
	{"identity", identitycmd.New},
	{"init", initcmd.New},
	{"intent", intentcmd.New},
	{"log", logcmd.New},
	{"plugin", plugincmd.New},
	{"policy", policycmd.New},
	{"provenance", provenancecmd.New},
	{"ref", refcmd.New},
	{"review", reviewcmd.New},
	{"show", showcmd.New},
	{"stats", statscmd.New},
	{"status", statuscmd.New},
	{"sync", synccmd.New},
	{"trust", trustcmd.New},
	{"verify", newVerify},
	{"version", versioncmd.New},
}

func newVerify(env *cli.Env) *cobra.Command {
	verify := provenancecmd.NewVerify(env)
	verify.ValidArgsFunction = cli.Complete(env, 0, work.Revisions(env))
	return verify
}

// For is New for the one run that env's arguments ask for: where they name a command, only that one is built, since
// to build them all takes longer than many of them.
func For(env *cli.Env) *cobra.Command {
	root := bare()
	word := env.Word(root.Name())
	for _, c := range commands {
		if c.name == word {
			root.AddCommand(c.build(env))
			return root
		}
	}
	return New(env)
}

// New returns the command "covenant" with all its subcommands. Nothing has run
// yet, and nothing is read from env before a command runs.
func New(env *cli.Env) *cobra.Command {
	root := bare()
	for _, c := range commands {
		root.AddCommand(c.build(env))
	}
	return root
}

func bare() *cobra.Command {
	return &cobra.Command{
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
}
