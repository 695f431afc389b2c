package synccmd

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/intent"
	"github.com/open-covenant/covenant-git/git/intents"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/provenance"
	"github.com/open-covenant/covenant-git/git/sync"
)

// lost tells who took steps on intents in this clone which of them do not count beside others' that a run brought: each step was
// answered as done when it was taken.
func lost(ctx context.Context, w *work.Work, rep *sync.Report, pin envelope.Digest) error {
	had := map[string]uint64{} // of each ledger that gained something, how many entries were here
	for _, m := range rep.Adopted {
		if !strings.HasPrefix(m.Name, intent.Topic+"/") {
			continue
		}
		had[m.Name] = 0
		if m.From.IsZero() {
			continue
		}
		out, err := w.Session.Repo().Run(ctx, nil, "rev-list", "--count", m.From.String())
		if err != nil {
			return err
		}
		if had[m.Name], err = strconv.ParseUint(strings.TrimSpace(string(out)), 10, 64); err != nil {
			return err
		}
	}
	if len(had) == 0 {
		return nil
	}
	cache := w.Cache(false)
	root, err := cache.OpenRoot(w.Session, pin)
	if err != nil {
		return err
	}
	book, err := intents.Open(ctx, w.Session, root, cache)
	if err != nil {
		return err
	}
	defer book.Close()
	for r := range book.Rows(func(*intents.Brief) bool { return true }) {
		if r.Lost == 0 {
			continue
		}
		s, err := book.Intent(r.ID)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(s.Steps, func(x intent.Step) bool { n, came := had[x.Ledger]; return came && x.Seq > n }) {
			continue
		}
		var mine []intent.Step
		for _, x := range s.Lost() {
			_, writer, _ := strings.Cut(x.Ledger, "/")
			if own, err := provenance.Own(w.Session.Repo(), ledger.Name{Topic: intent.Topic, Writer: ledger.Writer(writer)}); err != nil {
				return err
			} else if own {
				mine = append(mine, x)
			}
		}
		if len(mine) == 0 {
			continue
		}
		first := slices.MinFunc(mine, func(a, b intent.Step) int { return cmp.Compare(a.Seq, b.Seq) }) // the others follow it, as a rule
		what := "what you said of it"
		if m := first.Moved; m != nil {
			what = "your step from " + string(m.From) + " to " + string(m.To)
		}
		w.Env.Talk().Warn("intent %s: %s does not count: %s; see all of it: covenant intent show %s", s.ID.Short(), what, say.Line(first.Why), s.ID.Short())
	}
	return nil
}
