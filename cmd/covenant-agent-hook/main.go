// Command covenant-agent-hook is what a coding agent starts at its hooks: covenant-agent-hook AGENT EVENT, with what the
// agent says on standard input. Output and exit code are those that the agent understands; docs/spec/agent-hooks.md has them.
//
// Where a tool would run and there is no answer (a payload that is not understood, a repository that can't be read), it does not run.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/open-covenant/covenant-git/cmd/internal/terminal"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/provenance"
	"github.com/open-covenant/covenant-git/hooks"
	"github.com/open-covenant/covenant-git/hooks/agent"
	"github.com/open-covenant/covenant-git/hooks/shell"
	"github.com/open-covenant/covenant-git/runtime/gate"
)

// patience bounds what is done at a moment: agents wait for hooks, some for ten seconds, and go on.
const patience = 8 * time.Second

// restPatience bounds what nobody waits for.
const restPatience = 5 * time.Minute

func main() {
	if len(os.Args) == 2 && os.Args[1] == "version" {
		fmt.Println("covenant-agent-hook")
		return
	}
	answered, rest := restOf(os.Args)
	if len(os.Args) != 3 && !rest || !agent.Known(os.Args[1]) || !agent.IsMoment(os.Args[2]) {
		fmt.Fprintln(os.Stderr, "usage: covenant-agent-hook AGENT EVENT\nAgents start it; people type: covenant hooks status")
		os.Exit(2)
	}
	debug.SetGCPercent(800) // a moment is shorter than it takes to collect what it leaves
	debug.SetMemoryLimit(512 << 20)
	name, moment := os.Args[1], agent.Moment(os.Args[2])
	limit := patience
	if rest {
		limit = restPatience
	}
	late := time.AfterFunc(limit+time.Second, func() { finish(agent.Refuse(name, moment, "covenant: no answer in time")) })
	out := run(name, moment, limit, answered)
	late.Stop()
	finish(out)
}

func finish(out agent.Output) {
	_, _ = os.Stdout.Write(out.Stdout)
	_, _ = os.Stderr.Write(out.Stderr)
	os.Exit(out.Code)
}

func run(name string, moment agent.Moment, limit time.Duration, answered time.Time) (out agent.Output) {
	defer func() { // whatever it is, a tool does not run for it
		if r := recover(); r != nil {
			out = agent.Refuse(name, moment, fmt.Sprintf("covenant: no answer: %.200v", r))
		}
	}()
	payload, err := io.ReadAll(io.LimitReader(os.Stdin, agent.MaxPayload+1))
	if err == nil && len(payload) > agent.MaxPayload {
		_, err = io.Copy(io.Discard, os.Stdin) // who writes must not die of it
	}
	if err != nil {
		return agent.Refuse(name, moment, "covenant: standard input: "+err.Error())
	}
	if done, ok := hooks.AnswerProbe(os.LookupEnv, name+" "+string(moment)); ok {
		return done
	}
	e, err := agent.Decode(name, moment, payload)
	if err != nil {
		return agent.Refuse(name, moment, "covenant: "+err.Error())
	}
	in := hooks.Input{Env: os.Environ(), ConfigDir: terminal.ConfigDir(os.LookupEnv), Now: time.Now}
	if in.Dir, err = os.Getwd(); err != nil {
		return agent.Refuse(name, moment, "covenant: no answer: "+err.Error())
	}
	exe, err := os.Executable()
	if err != nil {
		exe = "" // then there is no gate, and where plugins are pinned everything is denied
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	in.Gate = func(r *git.Repo, root *provenance.Root, a *capability.Authority) verdict.Asker {
		g := gate.Here(exe, in.ConfigDir, r.Config().Get, os.LookupEnv).For(root.Policy)
		g.Timeout = patience / 2
		return &gate.Asker{Authority: a, Gate: g, Context: ctx}
	}
	t := hooks.Tooling{Shell: analyse, Bin: filepath.Dir(exe), Above: above, Stop: hooks.Afterwards{Answered: answered}}
	if answered.IsZero() && exe != "" {
		t.Stop.Go = func(at time.Time) error { return afterwards(exe, name, moment, payload, at) }
	}
	t.Home, _ = os.UserHomeDir()
	r, err := hooks.RunAgent(ctx, in, t, e)
	if err != nil {
		return agent.Refuse(name, moment, "covenant: no answer: "+err.Error()+"\nhint: "+hooks.Mend(err))
	}
	return agent.Encode(name, e, r)
}

func analyse(command, dir, home string, alias func(string) (string, bool)) agent.Effects {
	return shell.Effects(command, shell.Surroundings{Dir: dir, Home: home, Alias: alias})
}
