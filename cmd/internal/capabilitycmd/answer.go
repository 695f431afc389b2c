package capabilitycmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/terminal"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
)

// For how long an answer lasts.
const (
	once    = 15 * time.Minute
	session = 8 * time.Hour
)

func newAnswer(env *cli.Env) *cobra.Command {
	var who string
	cmd := &cobra.Command{
		Use:   "answer [REQUEST]",
		Short: "Go through what is asked for, and grant or decline it",
		Long: `Go through the requests that nobody has answered, on a terminal: who asks for what, and why. Of
each it is asked whether to grant it once (for 15 minutes), for a session (8 hours), as it was asked for,
not at all, or to leave it for later; a grant never lasts longer than was asked. What is
declined is on record with the reason, and is asked no more; the agent may ask again.
Without a terminal: covenant capability grant --request REQUEST.`,
		Example: "  covenant capability answer\n  covenant capability answer 1a2b3c4d",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runAnswer(cmd.Context(), env, who, args)
		},
	}
	cmd.Flags().StringVar(&who, "identity", "", "act as this principal: a name, or the path of a private key")
	return cmd
}

func runAnswer(ctx context.Context, env *cli.Env, who string, args []string) error {
	c, err := open(ctx, env)
	if err != nil {
		return err
	}
	defer c.Close()
	var open []capability.Wish
	if len(args) == 1 {
		w, err := c.wish(args[0])
		if err != nil {
			return err
		}
		if l := c.wished(&w); l.State != capability.Open {
			return cli.No(fmt.Errorf("request %s is %s already", w.ID.Short(), l.State))
		}
		open = append(open, w)
	} else {
		for _, w := range c.facts.Wishes {
			if _, known := c.facts.Authority.ByKey(w.KeyID); known && c.wished(&w).State == capability.Open {
				open = append(open, w)
			}
		}
	}
	slices.SortFunc(open, func(a, b capability.Wish) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Ledger, b.Ledger), cmp.Compare(a.Seq, b.Seq))
	})
	if len(open) == 0 {
		env.Talk().Note("nobody waits for an answer")
		return nil
	}
	for i := range open {
		w := &open[i]
		p, _ := c.facts.Authority.ByKey(w.KeyID)
		about := fmt.Sprintf("%s, for whom %s answers, asks for %s\n  why: %s\n  request %s of %s",
			say.Line(p.Name), say.Line(p.Accountable), say.Line(c.asked(w)), say.Line(orNone(w.Reason)), w.ID.Short(), envelope.Timestamp(w.Time))
		answer, err := terminal.Choose(about+"\ngrant it [o]nce (for 15 minutes), for a [s]ession (8 hours), [a]s asked; [n]o, or [l]ater?", "osanl", 'l')
		if errors.Is(err, terminal.ErrNone) {
			return cli.Hint(err, "see what is asked for: covenant capability list --state open", "grant it: covenant capability grant --request "+w.ID.Short())
		}
		if err != nil {
			return err
		}
		switch answer {
		case 'l':
			continue
		case 'n':
			err = c.decline(ctx, who, w)
		default:
			last := map[rune]time.Duration{'o': once, 's': session}[answer]
			err = give(ctx, env, who, false, true, func(c *court) (capability.Grant, error) { return grantOf(c, w.ID, last) })
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// grantOf is the grant of what a request asks for, for no longer than last; zero: for as long as it asks.
func grantOf(c *court, id envelope.Digest, last time.Duration) (capability.Grant, error) {
	var o scopeFlags
	g, err := fromRequest(c, string(id), &o, func(string) bool { return false })
	if until := envelope.Timestamp(c.Env.Now().Add(last)); err == nil && last > 0 && (g.Expires == "" || until < g.Expires) {
		g.Expires = until
	}
	return g, err
}

// decline records that a request is not granted, and why.
func (c *court) decline(ctx context.Context, who string, w *capability.Wish) error {
	why, err := terminal.Ask("why not?")
	if err != nil {
		return err
	}
	if why, err = work.Redacted(c.Env, "the reason", why); err != nil {
		return err
	}
	c.Explicit = who
	k, err := c.Sealer(c.facts)
	if err != nil {
		return err
	}
	if _, err := k.Decline(ctx, capability.Declining{Reason: why, Request: w.ID}); err != nil {
		return denied(err)
	}
	c.Env.Talk().Note("declined: %s", w.ID.Short())
	return nil
}
