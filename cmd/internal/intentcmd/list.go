package intentcmd

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/envelope/intent"
	"github.com/open-covenant/covenant-git/git/intents"
)

// Listed is an intent of a list, with --json.
type Listed struct {
	Type     string   `json:"type"` // "intent"
	ID       string   `json:"id"`
	Name     string   `json:"name,omitempty"`
	State    string   `json:"state,omitempty"`
	Priority string   `json:"priority,omitempty"`
	Role     string   `json:"role,omitempty"` // whose turn it is
	Title    string   `json:"title,omitempty"`
	Next     string   `json:"next,omitempty"`
	Parent   string   `json:"parent,omitempty"`
	Needs    []string `json:"needs,omitempty"`
	Waits    []string `json:"waits,omitempty"`  // those of needs that are not integrated
	Circle   bool     `json:"circle,omitempty"` // a need leads back to it
	Opened   string   `json:"opened,omitempty"`
	Opener   string   `json:"opener,omitempty"`
	Moved    string   `json:"moved,omitempty"`
	Mover    string   `json:"mover,omitempty"`
	Lost     int      `json:"lost,omitempty"`   // statements that do not count
	Reason   string   `json:"reason,omitempty"` // why it is none
	Rank     int      `json:"rank,omitempty"`   // of next
	Why      string   `json:"why,omitempty"`    // of next
}

func listed(b *intents.Book, r *intents.Row) Listed {
	on, circle := b.Waits(r)
	return Listed{
		Type: "intent", ID: string(r.ID), Name: r.Name, State: string(r.State), Priority: string(r.Priority), Role: string(r.Role), Title: r.Title, Next: r.Next, Parent: string(r.Parent),
		Needs: texts(r.Needs), Waits: texts(on), Circle: circle, Opened: r.Opened, Opener: r.Opener, Moved: r.Moved, Mover: r.Mover, Lost: r.Lost, Reason: r.Void,
	}
}

func texts(ids []intent.ID) []string {
	var out []string
	for _, id := range ids {
		out = append(out, string(id))
	}
	return out
}

// listing is what is asked for.
type listing struct {
	states, priorities, roles []string
	mine                      string
	all, own, json, noCache   bool
	root, who                 string
}

func newList(env *cli.Env) *cobra.Command {
	var o listing
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List intents, the oldest first",
		Long: `List intents, the oldest first: id, state, priority, whose turn it is, title. Those that are
integrated, and those whose opening does not count, are listed with --all only, or when --state
names theirs. Where statements about one do not count, their number is told; "covenant intent
show" says why.`,
		Example: `  covenant intent list --state in_progress,repair --priority high,critical
  covenant intent list --mine
  covenant intent list --all --json | jq -r 'select(.state=="integrated") | .id'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), env) },
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.states, "state", nil, "only those in one of these states; may be repeated, or have commas")
	f.StringArrayVar(&o.priorities, "priority", nil, "only those of one of these priorities; likewise")
	f.StringArrayVar(&o.roles, "role", nil, "only those whose turn is one of these roles; likewise")
	f.BoolVar(&o.own, "mine", false, "only those that you opened, or moved last")
	f.BoolVar(&o.all, "all", false, "also those that are integrated, or that do not count")
	f.StringVar(&o.who, "identity", "", "with --mine: as whom, a name or the path of a private key")
	f.StringVar(&o.root, "root", "", "digest of the trust root to hold everything to (default: COVENANT_ROOT, else covenant.root)")
	f.BoolVar(&o.noCache, "no-cache", false, "believe nothing that was remembered, and remember nothing")
	f.BoolVar(&o.json, "json", false, "print one JSON object per intent")
	return cmd
}

func (o *listing) run(ctx context.Context, env *cli.Env) error {
	states, err := one(o.states, intent.ParseState)
	if err != nil {
		return err
	}
	priorities, err := one(o.priorities, intent.ParsePriority)
	if err != nil {
		return err
	}
	roles, err := one(o.roles, intent.ParseRole)
	if err != nil {
		return err
	}
	d, err := look(ctx, env, o.root, o.noCache)
	if err != nil {
		return err
	}
	defer d.Close()
	if o.own {
		w := *d.Work
		w.Explicit = o.who
		k, err := w.Writer()
		if err != nil {
			return err
		}
		o.mine = k.Hand.Principal.Name
	}
	n, hidden := 0, 0
	wanted := func(r *intents.Brief) bool {
		switch {
		case len(priorities) > 0 && !slices.Contains(priorities, r.Priority):
			return false
		case len(states) > 0:
			return slices.Contains(states, r.State) && !r.Void()
		case !o.all && (r.State == intent.Integrated || r.Void()):
			hidden++
			return false
		}
		return true
	}
	for r := range d.book.Rows(wanted) {
		if len(roles) > 0 && !slices.Contains(roles, r.Role) || o.mine != "" && r.Opener != o.mine && r.Mover != o.mine {
			continue
		}
		n++
		if o.json {
			if err := env.JSON(listed(d.book, r)); err != nil {
				return err
			}
			continue
		}
		if err := d.printRow(r); err != nil {
			return err
		}
	}
	switch {
	case n == 0 && d.book.Len() == 0:
		env.Talk().Note("nobody asked for anything yet")
		env.Talk().Hint("ask: covenant intent open TEXT")
	case n == 0 && hidden > 0 && len(roles) == 0 && o.mine == "":
		env.Talk().Note("nothing is open; --all lists %s more", say.Count(hidden, "intent"))
	}
	return nil
}

func (d *desk) printRow(r *intents.Row) error {
	p := d.Env.Palette()
	text := title(r)
	if on, circle := d.book.Waits(r); len(on) > 0 {
		text += p.Dim(" (waits for " + string(on[0].Short()) + more(len(on)-1) + ")")
	} else if circle {
		text += p.Warn(" (needs itself)")
	}
	if r.Lost > 0 && r.Void == "" {
		text += p.Warn(fmt.Sprintf(" (%s %s not count)", say.Count(r.Lost, "statement"), map[bool]string{true: "does", false: "do"}[r.Lost == 1]))
	}
	if r.Void != "" {
		text = p.Bad("does not count: ") + say.Line(r.Void) + ": " + text
	}
	_, err := fmt.Fprintf(d.Env.Out, "%s  %-12s %-8s  %-17s %s\n", p.Mark(r.ID.Short()), orDash(string(r.State)), orDash(string(r.Priority)), orDash(string(r.Role)), text)
	return err
}

func more(n int) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf(" and %d more", n)
}

func newNext(env *cli.Env) *cobra.Command {
	var asJSON bool
	var n int
	var role string
	cmd := &cobra.Command{
		Use:   "next",
		Short: "Tell what to work on next, and why",
		Long: `Tell what to work on next. What is nearest to its end goes first (repair, validation,
cross_review, self_review, in_progress, ready, planned, triaged, proposed), then the priority
decides, then the name or id. What is blocked or integrated, and what needs something that is
not integrated, is left out. The exit code is 1 when there is nothing.`,
		Example: "  covenant intent next\n  covenant intent next --role reviewer\n  covenant intent next --json | jq -r .id",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runNext(cmd.Context(), env, n, role, asJSON)
		},
	}
	f := cmd.Flags()
	f.IntVarP(&n, "count", "n", 1, "how many")
	f.StringVar(&role, "role", "", "only what this role may take to another state")
	f.BoolVar(&asJSON, "json", false, "print one JSON object per intent")
	return cmd
}

func runNext(ctx context.Context, env *cli.Env, n int, role string, asJSON bool) error {
	var as intent.Role
	if role != "" {
		var err error
		if as, err = intent.ParseRole(role); err != nil {
			return cli.Usage("%v", err)
		}
	}
	d, err := look(ctx, env, "", false)
	if err != nil {
		return err
	}
	defer d.Close()
	var wanted func(intent.State) bool
	if as != "" {
		wanted = func(from intent.State) bool { return takes(as, from) }
	}
	list, total, waiting := d.book.Next(n, wanted)
	for i := range list {
		c := &list[i]
		why := fmt.Sprintf("%s (%d), priority %s", c.State, c.Rank, c.Priority)
		switch {
		case c.Same > 1 && c.First:
			why += fmt.Sprintf(", the first by name of %d", c.Same)
		case c.Same > 1:
			why += fmt.Sprintf(", one of %d", c.Same)
		}
		if waiting > 0 {
			why += fmt.Sprintf("; %d more wait for others", waiting)
		}
		if asJSON {
			l := listed(d.book, c.Row)
			l.Rank, l.Why = c.Rank, why
			if err := env.JSON(l); err != nil {
				return err
			}
			continue
		}
		if err := d.printRow(c.Row); err != nil {
			return err
		}
		p := env.Palette()
		if _, err := fmt.Fprintf(env.Out, "    %s\n", p.Dim("because: "+why)); err != nil {
			return err
		}
		if c.Next != "" {
			if _, err := fmt.Fprintf(env.Out, "    next: %s\n", say.Line(c.Next)); err != nil {
				return err
			}
		}
	}
	if total == 0 {
		return cli.No(cli.Hint(fmt.Errorf("there is nothing to work on%s", map[bool]string{true: "", false: fmt.Sprintf(": %d wait for others", waiting)}[waiting == 0]),
			"see all: covenant intent list --all", "ask for something: covenant intent open TEXT"))
	}
	return nil
}

// takes reports whether a role may take an intent on from a state, other than to block it.
func takes(r intent.Role, from intent.State) bool {
	return slices.ContainsFunc(intent.After(from), func(to intent.State) bool {
		return to != intent.Blocked && slices.Contains(intent.RolesFor(from, to), r)
	})
}
