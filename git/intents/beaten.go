package intents

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/open-covenant/covenant-git/envelope/intent"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// Beaten is the first step that this clone took on an intent and that does not count beside others'; it was answered as done when it was taken.
type Beaten struct {
	Intent intent.ID
	Step   intent.Step
}

func (b Beaten) String() string {
	what := "what you said of it"
	if m := b.Step.Moved; m != nil {
		what = "your step from " + string(m.From) + " to " + string(m.To)
	}
	return fmt.Sprintf("intent %s: %s does not count: %s; see all of it: covenant intent show %s", b.Intent.Short(), what, b.Step.Why, b.Intent.Short())
}

// BeatenBy returns what lost to entries that ledgers of this topic gained: from is, of each ledger that came or grew, where it ended before.
func BeatenBy(ctx context.Context, s *git.Session, root *provenance.Root, cache *provenance.Cache, from map[string]oid.ID) ([]Beaten, error) {
	had := map[string]uint64{} // entries
	for name, at := range from {
		if !strings.HasPrefix(name, intent.Topic+"/") {
			continue
		}
		had[name] = 0
		if at.IsZero() {
			continue
		}
		out, err := s.Repo().Run(ctx, nil, "rev-list", "--count", at.String())
		if err != nil {
			return nil, err
		}
		if had[name], err = strconv.ParseUint(strings.TrimSpace(string(out)), 10, 64); err != nil {
			return nil, err
		}
	}
	if len(had) == 0 {
		return nil, nil
	}
	book, err := Open(ctx, s, root, cache)
	if err != nil {
		return nil, err
	}
	defer book.Close()
	var out []Beaten
	for r := range book.Rows(func(*Brief) bool { return true }) {
		if r.Lost == 0 {
			continue
		}
		x, err := book.Intent(r.ID)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(x.Steps, func(y intent.Step) bool { n, came := had[y.Ledger]; return came && y.Seq > n }) {
			continue
		}
		var mine []intent.Step
		for _, y := range x.Lost() {
			_, writer, _ := strings.Cut(y.Ledger, "/")
			own, err := provenance.Own(s.Repo(), ledger.Name{Topic: intent.Topic, Writer: ledger.Writer(writer)})
			if err != nil {
				return nil, err
			}
			if own {
				mine = append(mine, y)
			}
		}
		if len(mine) > 0 { // the others follow the first, as a rule
			out = append(out, Beaten{r.ID, slices.MinFunc(mine, func(a, b intent.Step) int { return cmp.Compare(a.Seq, b.Seq) })})
		}
	}
	return out, nil
}
