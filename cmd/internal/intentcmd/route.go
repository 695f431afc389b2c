package intentcmd

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/intent"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// Choice is whom a text is for, with --json.
type Choice struct {
	Type    string         `json:"type"`            // "route"
	Agent   string         `json:"agent,omitempty"` // absent: nobody suits it
	Score   int            `json:"score"`           // words
	Matches []intent.Match `json:"matches"`
	Others  []Other        `json:"others"` // who suits it as well or less, the best first
	Why     string         `json:"why"`
	Echo    string         `json:"echo,omitempty"` // the text, where nobody suits it
}

// Other is somebody who was not chosen.
type Other struct {
	Agent string `json:"agent"`
	Score int    `json:"score"`
}

func newRoute(env *cli.Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "route TEXT | -",
		Short: "Choose the agent that a text is for, and say why",
		Long: `Choose the agent that a text is for, by the grants that agents hold and that are in force. Each
action has words that ask for it: tool.web_search search, find, look up, papers, articles,
research, news, what is; tool.summarize summarize, summarise, tl;dr, brief, summary;
tool.gpu_inference generate, render, image, diffusion, infer; memory.write remember, save, note,
store, log; memory.read recall, what did, previous, earlier; intent.delegate assign, delegate,
ask another, route to; intent.subscribe hello, hi, echo, ping, test. A word counts where no
letter or digit stands beside it. Most words win; then most actions; then the first name.

Where nobody suits it, "echo" and the text are printed. Nothing is written. A text that a rule of
.covenantignore keeps out is refused, with exit code 1.`,
		Example: "  covenant intent route 'find papers about Merkle trees'\n  echo 'remember the milk' | covenant intent route - --json",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runRoute(cmd.Context(), env, args, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func runRoute(ctx context.Context, env *cli.Env, args []string, asJSON bool) error {
	text, err := read(ctx, env, args)
	if err != nil {
		return err
	}
	if len(text) > intent.MaxText {
		return explain(fmt.Errorf("%w: a text has at most %d bytes", intent.ErrInvalid, intent.MaxText))
	}
	w, pin, err := work.OpenPinned(ctx, env, "")
	if err != nil {
		return err
	}
	defer w.Close()
	rule, err := ignored(w.Session.Repo(), text)
	if err != nil {
		return err
	}
	if rule != "" {
		return refusedBy(rule)
	}
	f, err := provenance.LoadAuthority(ctx, w.Session, pin)
	if err != nil {
		return work.Explain(err)
	}
	list := intent.Route(text, cards(f.Authority, env))
	out := Choice{Type: "route", Matches: []intent.Match{}, Others: []Other{}, Why: "no agent holds a grant in force of what the text asks for", Echo: text}
	if len(list) > 0 {
		best := list[0]
		out.Agent, out.Score, out.Matches, out.Echo = best.Name, best.Score, best.Matches, ""
		var parts []string
		for _, m := range best.Matches {
			parts = append(parts, m.Action+" by "+strings.Join(m.Words, ", "))
		}
		out.Why = strings.Join(parts, "; ")
		for _, o := range list[1:] {
			out.Others = append(out.Others, Other{o.Name, o.Score})
		}
		if len(list) > 1 && list[1].Score == best.Score {
			out.Why += fmt.Sprintf("; %s has as many words", list[1].Name)
			if len(list[1].Matches) < len(best.Matches) {
				out.Why += ", for fewer actions"
			} else {
				out.Why += ", and a later name"
			}
		}
	}
	if asJSON {
		return env.JSON(out)
	}
	if out.Agent == "" {
		env.Talk().Note("%s", out.Why)
		_, err = fmt.Fprintf(env.Out, "echo %s\n", say.Line(strings.Join(strings.Fields(text), " ")))
		return err
	}
	env.Talk().Note("%s", out.Why)
	_, err = fmt.Fprintln(env.Out, out.Agent)
	return err
}

// cards are what agents may do, by grants in force.
func cards(a *capability.Authority, env *cli.Env) []intent.Card {
	var out []intent.Card
	for _, p := range a.Principals() {
		if p.Kind != "agent" {
			continue
		}
		c := intent.Card{Name: p.Name}
		for _, action := range intent.RoutedActions() {
			for _, g := range a.Grants() {
				if g.Granted.Subject.Name == p.Name && capability.Covers(g.Granted.Action, action) && a.State(g.ID, env.Now()) == capability.Active {
					c.Actions = append(c.Actions, action)
					break
				}
			}
		}
		out = append(out, c)
	}
	return out
}
