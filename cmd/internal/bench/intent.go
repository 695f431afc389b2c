package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/intent"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// lives are the moves that intents of the bench make in turn, ten each.
var lives = [][]intent.State{
	{intent.Triaged, intent.Planned, intent.InProgress, intent.SelfReview, intent.CrossReview, intent.Repair, intent.Validation, intent.Repair, intent.Validation, intent.Ready},
	{intent.Triaged, intent.Planned, intent.InProgress, intent.SelfReview, intent.CrossReview, intent.Validation, intent.Repair, intent.Validation, intent.Ready, intent.Integrated},
	{intent.Triaged, intent.Blocked, intent.Triaged, intent.Planned, intent.Blocked, intent.Triaged, intent.Planned, intent.Blocked, intent.Triaged, intent.Planned},
}

// intents makes as many intents, with ten moves each, and returns their ids.
func (r *repo) intents(n int) ([]intent.ID, error) {
	ctx := context.Background()
	g, err := git.Open(ctx, git.Options{Dir: r.dir, Env: r.env})
	if err != nil {
		return nil, err
	}
	s := g.Session(ctx)
	defer func() { _ = s.Close() }()
	pin, err := provenance.Pin(s, "")
	if err != nil {
		return nil, err
	}
	f, err := provenance.LoadAuthority(ctx, s, pin)
	if err != nil {
		return nil, err
	}
	hand, err := provenance.ChooseHand(g, f.Authority, provenance.Choice{ConfigDir: filepath.Join(filepath.Dir(r.dir), "home", "covenant"), Attended: true})
	if err != nil {
		return nil, err
	}
	k := &provenance.Sealer{Session: s, Root: f.Root, Authority: f.Authority, Hand: hand, Moment: "bench", Now: time.Now}
	ids, last := make([]intent.ID, n), make([]envelope.Digest, n)
	record := func(item func(i int) provenance.Item) error {
		const most = 10_000
		for from := 0; from < n; from += most {
			var items []provenance.Item
			for i := from; i < min(n, from+most); i++ {
				items = append(items, item(i))
			}
			made, err := k.Record(ctx, intent.Topic, items...)
			if err != nil {
				return err
			}
			for i, m := range made {
				last[from+i] = m.ID
			}
		}
		return nil
	}
	err = record(func(i int) provenance.Item {
		text := fmt.Sprintf("Number %d: the page forgets the language of who reads it, and shows another one.\nIt should not.", i)
		return provenance.Item{Type: intent.OpenedType, Subject: "intent.opened", Body: intent.Opened{Fields: intent.Fields{
			Name: fmt.Sprintf("task-%05d", i), Text: text, Title: intent.TitleOf(text), Priority: intent.Priorities[i%4], Role: intent.Implementer, Scope: []string{"web/**"}, Verification: []string{"go test ./web/..."},
		}}}
	})
	for i := range ids {
		ids[i] = intent.IDOf(last[i])
	}
	for step := 0; step < 10 && err == nil; step++ {
		err = record(func(i int) provenance.Item {
			life := lives[i%len(lives)]
			from := intent.Proposed
			if step > 0 {
				from = life[step-1]
			}
			return provenance.Item{Type: intent.MovedType, Subject: "intent.moved", Body: intent.Moved{
				After: last[i], From: from, Intent: ids[i], Role: intent.RolesFor(from, life[step])[0], To: life[step],
			}}
		})
	}
	return ids, err
}

// work measures the commands about intents in a repository with that many of them.
func (b *bench) work(n int) error {
	r, err := b.repo(20, 10)
	if err != nil {
		return err
	}
	ids, err := r.intents(n)
	if err != nil {
		return err
	}
	if _, err := b.out(r.dir, r.env, "git", "repack", "-q", "-d"); err != nil {
		return err
	}
	what := fmt.Sprintf("%d intents, %d moves", n, 10*n)
	start := time.Now()
	out, err := r.covenant("intent", "list", "--all", "--json")
	if err != nil {
		return err
	}
	first := time.Since(start)
	if got := strings.Count(out, `"lost"`) + strings.Count(out, `"reason"`); strings.Count(out, "\n") != n || got > 0 {
		return errors.New("not all intents are listed, or some of their statements do not count")
	}
	row("intent, the first fold, "+what, ms(first), "-", true)
	const bar = 30 * time.Millisecond
	id := string(ids[0])
	measure := func(name string, step func(i int) []string) error {
		var took []time.Duration
		for i := range 12 {
			args := step(i)
			start := time.Now()
			if _, err := r.covenant(args...); err != nil {
				return err
			}
			if i > 1 {
				took = append(took, time.Since(start))
			}
		}
		kids, err := r.children(func() error {
			_, err := r.covenant(step(12)...)
			return err
		})
		if err != nil {
			return err
		}
		return b.held(name+", "+what, median(took), fmt.Sprintf(", %d git children", kids), bar)
	}
	same := func(args ...string) func(int) []string { return func(int) []string { return args } }
	for _, c := range []struct {
		name string
		step func(int) []string
	}{
		{"intent next", same("intent", "next")},
		{"intent show", same("intent", "show", id)},
		{"intent log", same("intent", "log", id)},
		{"intent list --state blocked", same("intent", "list", "--state", "blocked")},
		{"intent stats", same("intent", "stats")},
		{"review list", same("review", "list")},
		{"review approve", same("review", "approve", "HEAD~1..HEAD")},
		{"review verify", same("review", "verify", "HEAD~1..HEAD")},
		{"intent move", func(i int) []string {
			return []string{"intent", "move", string(ids[2]), string([]intent.State{intent.Blocked, intent.Triaged, intent.Planned}[i%3])}
		}},
		{"intent open", func(i int) []string { return []string{"intent", "open", fmt.Sprint("one more, ", i)} }},
	} {
		if err := measure(c.name, c.step); err != nil {
			return err
		}
	}
	// What came since is read, and no more.
	var took []time.Duration
	for i := range 8 {
		if _, err := r.covenant("intent", "edit", id, "--next", fmt.Sprint("step ", i)); err != nil {
			return err
		}
		start := time.Now()
		if _, err := r.covenant("intent", "show", id); err != nil {
			return err
		}
		took = append(took, time.Since(start))
	}
	return b.held("intent show after one statement more, "+what, median(took), "", bar)
}
