package auditcmd

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/envelope/event"
)

// Kind is one kind of event, with --json.
type Kind struct {
	Type     string      `json:"type"` // "kind"
	Name     string      `json:"name"`
	About    string      `json:"about"`
	Fields   []KindField `json:"fields"`
	Outcome  bool        `json:"outcome"`  // it must say how it ended
	Required bool        `json:"required"` // what cannot record it must not go on
}

// KindField is a field of a kind.
type KindField struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Must bool   `json:"must"`
}

func newKinds(env *cli.Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "kinds [KIND]",
		Short: "List what events there are, and their fields",
		Long: `List the kinds of events that "append" records, each with its fields and their types. A
field marked * must be there, and so must "outcome" where it is listed. A kind marked ! is
one that must be recorded: what it tells of must not go on when it cannot be.`,
		Example: "  covenant audit kinds\n  covenant audit kinds note\n  covenant audit kinds --json | jq -r .name",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			list := event.Kinds
			if len(args) == 1 {
				k, ok := event.Find(args[0])
				if !ok {
					return cli.Hint(fmt.Errorf("there is no kind %q", args[0]), "see all: covenant audit kinds", "one of your own is x.WHO.WHAT, with any fields")
				}
				list = []event.Kind{k}
			}
			for i := range list {
				if err := printKind(env, &list[i], asJSON); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per kind")
	return cmd
}

func printKind(env *cli.Env, k *event.Kind, asJSON bool) error {
	if asJSON {
		out := Kind{Type: "kind", Name: k.Name, About: k.About, Fields: []KindField{}, Outcome: k.Outcome, Required: k.Must}
		for _, f := range k.Fields {
			out.Fields = append(out.Fields, KindField{f.Name, string(f.Type), f.Must})
		}
		return env.JSON(out)
	}
	var list []string
	for _, f := range k.Fields {
		star := ""
		if f.Must {
			star = "*"
		}
		list = append(list, fmt.Sprintf("%s%s (%s)", f.Name, star, f.Type))
	}
	if k.Outcome {
		list = append(list, "outcome*")
	}
	name := k.Name
	if k.Must {
		name += "!"
	}
	_, err := fmt.Fprintf(env.Out, "%s: %s\n    %s\n", env.Palette().Bold(name), k.About, strings.Join(list, ", "))
	return err
}
