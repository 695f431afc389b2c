package hookscmd

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/hooks"
	"github.com/open-covenant/covenant-git/hooks/agent"
	"github.com/open-covenant/covenant-git/hooks/settings"
)

// agentFlags say which agent's settings are meant.
type agentFlags struct {
	name string
	user bool
}

func (a *agentFlags) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&a.name, "agent", "", "of this coding agent, instead of Git's: "+strings.Join(settings.Agents(), ", "))
	f.BoolVar(&a.user, "user", false, "with --agent: in the settings of the user, for all repositories, instead of the project's")
}

// alone refuses flags that go with Git's hooks only, and --user without an agent.
func (a *agentFlags) alone(cmd *cobra.Command, others ...string) error {
	if a.name == "" && a.user {
		return cli.Usage("--user goes with --agent")
	}
	for _, f := range others {
		if a.name != "" && cmd.Flags().Changed(f) {
			return cli.Usage("--%s is for Git's hooks, and --agent for an agent's", f)
		}
	}
	return nil
}

// place finds the settings. r is nil where there is no repository, which only the user's do without.
func (a *agentFlags) place(env *cli.Env, r *git.Repo) (settings.Place, error) {
	if !settings.Known(a.name) {
		return settings.Place{}, cli.Hint(cli.Usage("no agent is called %q", a.name), "one of "+strings.Join(settings.Agents(), ", ")+"; any other calls: covenant hooks exec --agent generic EVENT")
	}
	p := settings.Place{Agent: a.name, User: a.user, Home: env.Value("HOME"), Binary: sibling(env, settings.Program)}
	if p.Home == "" {
		p.Home = env.Value("USERPROFILE")
	}
	if r != nil {
		p.Project, p.State = r.WorkTree(), hooks.SettingsState(r)
	}
	switch {
	case a.user && p.Home == "":
		return p, errors.New("it is not known where the user's settings are: HOME is not set")
	case a.user:
		p.State = userState(env)
	case p.Project == "":
		return p, cli.Hint(errors.New("there is no work tree here, and so no settings of a project"), "in the user's settings: covenant hooks install --agent "+a.name+" --user")
	}
	return p, nil
}

func userState(env *cli.Env) string { return filepath.Join(work.ConfigDir(env), "agents") }

// open finds the settings, and the repository unless only the user's are meant and there is none.
func (a *agentFlags) open(ctx context.Context, env *cli.Env) (settings.Place, error) {
	w, err := work.Open(ctx, env)
	if err != nil {
		if a.user && errors.Is(err, git.ErrNotRepository) {
			return a.place(env, nil)
		}
		return settings.Place{}, err
	}
	defer w.Close()
	return a.place(env, w.Session.Repo())
}

func (a *agentFlags) install(ctx context.Context, env *cli.Env, asJSON bool) error {
	p, err := a.open(ctx, env)
	if err != nil {
		return err
	}
	if p.Binary == "" {
		return cli.Hint(fmt.Errorf("%s is neither beside this program nor on PATH", settings.Program), "install all programs: make install")
	}
	done, err := settings.Install(p)
	if err != nil {
		return explain(err, p)
	}
	action := "installed"
	if !done.Changed {
		action = "unchanged"
	}
	if err := tellDone(env, p, done, action, asJSON); err != nil {
		return err
	}
	if step := p.Step(); step != "" {
		env.Talk().Note("%s", step)
	}
	if !a.user {
		env.Talk().Note("the settings of a project are found by whoever has it, and start %s from PATH", settings.Program)
	}
	env.Talk().Hint("see whether it is reached: covenant hooks status --agent " + p.Agent + map[bool]string{true: " --user"}[a.user])
	return nil
}

func explain(err error, p settings.Place) error {
	if errors.Is(err, settings.ErrFile) {
		return cli.Hint(err, "nothing was changed; look at "+p.File())
	}
	return err
}

func (a *agentFlags) uninstall(ctx context.Context, env *cli.Env, asJSON bool) error {
	p, err := a.open(ctx, env)
	if err != nil {
		return err
	}
	done, err := settings.Uninstall(p)
	if err != nil {
		return explain(err, p)
	}
	action := "removed"
	if !done.Changed {
		action = "unchanged"
	}
	return tellDone(env, p, done, action, asJSON)
}

func tellDone(env *cli.Env, p settings.Place, done settings.Done, action string, asJSON bool) error {
	if asJSON {
		return env.JSON(Line{Type: "hook", Agent: p.Agent, Action: action, Where: done.File})
	}
	_, err := fmt.Fprintf(env.Out, "%-10s %-16s %s\n", action, p.Agent, say.Name(done.File))
	return err
}

func (a *agentFlags) status(ctx context.Context, env *cli.Env, asJSON bool) error {
	p, err := a.open(ctx, env)
	if err != nil {
		return err
	}
	list, err := look(ctx, env, p)
	if err != nil {
		return err
	}
	return printAgents(env, p.Agent, list, asJSON)
}

func look(ctx context.Context, env *cli.Env, p settings.Place) ([]settings.Status, error) {
	dir := p.Project
	if dir == "" {
		dir = p.Home
	}
	return settings.Look(ctx, p, dir, env.Environ)
}

func printAgents(env *cli.Env, name string, list []settings.Status, asJSON bool) error {
	palette := env.Palette()
	bad := false
	for _, s := range list {
		bad = bad || s.State != settings.Reached
		if asJSON {
			if err := env.JSON(Line{Type: "hook", Agent: name, Event: s.Event, State: string(s.State), Where: s.File, Mend: s.Mend}); err != nil {
				return err
			}
			continue
		}
		word := palette.Good(fmt.Sprintf("%-14s", s.State))
		if s.State != settings.Reached {
			word = palette.Bad(fmt.Sprintf("%-14s", s.State))
		}
		line := fmt.Sprintf("%s %-16s %s", word, name+" "+say.Line(s.Event), say.Name(s.File))
		if s.Mend != "" {
			line += "\n               hint: " + say.Line(s.Mend)
		}
		if _, err := fmt.Fprintln(env.Out, line); err != nil {
			return err
		}
	}
	if bad {
		return cli.No(nil)
	}
	return nil
}

// AgentPlaces are the settings that hooks of agents were installed into, from this repository or for this user.
func AgentPlaces(env *cli.Env, r *git.Repo) []settings.Place {
	var out []settings.Place
	for _, state := range []string{hooks.SettingsState(r), userState(env)} {
		for _, p := range settings.Installed(state) {
			p.Binary = sibling(env, settings.Program)
			if p.Home == "" {
				p.Home = env.Value("HOME")
			}
			if p.User {
				p.Project = r.WorkTree()
			}
			if p.User || p.Project == r.WorkTree() {
				out = append(out, p)
			}
		}
	}
	return out
}

// AgentsUnreached are the events, of agents whose hooks were installed, at which we are not reached.
func AgentsUnreached(ctx context.Context, env *cli.Env, r *git.Repo) (map[string][]settings.Status, error) {
	out := map[string][]settings.Status{}
	for _, p := range AgentPlaces(env, r) {
		list, err := look(ctx, env, p)
		if err != nil {
			return nil, err
		}
		out[p.Agent] = append(out[p.Agent], slices.DeleteFunc(list, func(s settings.Status) bool { return s.State == settings.Reached })...)
	}
	return out, nil
}

// newExec is the agents' hook by the everyday program, for agents that are told of hooks in other ways.
func newExec(env *cli.Env) *cobra.Command {
	var name string
	names := make([]string, 0, len(agent.Moments))
	for _, m := range agent.Moments {
		names = append(names, string(m))
	}
	cmd := &cobra.Command{
		Use:   "exec --agent NAME EVENT",
		Short: "Answer what a coding agent says at one of its hooks",
		Long: `Answer what a coding agent says at one of its hooks, on standard input, as
covenant-agent-hook does, which it starts. The events are ` + strings.Join(names, ", ") + `.
An agent without hooks of a known form says the generic one, for instance from a script
that it calls before it uses a tool; docs/spec/agent-hooks.md has the fields. The exit
code is 2 where the tool must not run.`,
		Example: `  echo '{"version":1,"tool":"save","kind":"edit","paths":["src/a.go"],"cwd":"/work"}' | covenant hooks exec --agent generic before-tool`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !agent.Known(name) {
				return cli.Usage("no agent is called %q; one of %s", name, strings.Join(agent.Names(), ", "))
			}
			if !agent.IsMoment(args[0]) {
				return cli.Usage("there is no event %q; one of %s", args[0], strings.Join(names, ", "))
			}
			program := sibling(env, settings.Program)
			if program == "" {
				return cli.Hint(fmt.Errorf("%s is neither beside this program nor on PATH", settings.Program), "install all programs: make install")
			}
			run := exec.CommandContext(cmd.Context(), program, name, args[0]) //nolint:gosec // our own sibling
			run.Dir, run.Env, run.Stdin, run.Stdout, run.Stderr = env.Dir, env.Environ, env.In, env.Out, env.Err
			err := run.Run()
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				return cli.Status(exit.ExitCode())
			}
			return err
		},
	}
	cmd.Flags().StringVar(&name, "agent", "generic", "who speaks: "+strings.Join(agent.Names(), ", "))
	return cmd
}
