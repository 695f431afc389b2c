package intentcmd

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/git/intents"
)

// Stats is how work went, with --json.
type Stats struct {
	Type                  string       `json:"type"` // "intent-stats"
	Since                 string       `json:"since,omitempty"`
	From                  string       `json:"from,omitempty"` // the first move
	To                    string       `json:"to,omitempty"`   // the last one
	Opened                int          `json:"opened"`
	Integrated            int          `json:"integrated"`
	Moves                 int          `json:"moves"`
	RepairRate            *float64     `json:"repairRate"`            // of intents that were examined, those that were repaired; null where none was examined
	ValidationFailureRate *float64     `json:"validationFailureRate"` // of validations that ended, those that ended in repair; null where none did
	PerWeek               *float64     `json:"perWeek"`               // integrated, over the time between the first move and the last; null within an hour
	LeadMedianSeconds     int64        `json:"leadMedianSeconds"`     // from opened to integrated
	LeadP90Seconds        int64        `json:"leadP90Seconds"`
	States                []StateStats `json:"states"`
	Roles                 []RoleStats  `json:"roles"` // those that moved most first
	Worst                 []WorstStats `json:"worst"` // those with most repairs first
}

// StateStats is how long intents were in a state.
type StateStats struct {
	State         string `json:"state"`
	Now           int    `json:"now"`
	Stays         int    `json:"stays"`
	MedianSeconds int64  `json:"medianSeconds"`
	P90Seconds    int64  `json:"p90Seconds"`
}

// RoleStats is how many moves were made in a role.
type RoleStats struct {
	Role  string `json:"role"`
	Moves int    `json:"moves"`
}

// WorstStats is an intent that was repaired often.
type WorstStats struct {
	ID      string `json:"id"`
	Name    string `json:"name,omitempty"`
	Title   string `json:"title"`
	Repairs int    `json:"repairs"`
	Seconds int64  `json:"seconds"`
}

func newStats(env *cli.Env) *cobra.Command {
	var since string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Tell how work goes: repairs, failures, throughput, time in each state",
		Long: `Tell how work goes, by the moves that count: how many of the intents that were examined were
repaired, how many validations failed, how many were integrated a week, how long intents were
in each state (the median, and what nine of ten did not exceed), in which roles moves were
made, and which intents were repaired most. Times are as the moves claim them.`,
		Example: "  covenant intent stats --since 30d\n  covenant intent stats --json | jq .repairRate",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runStats(cmd.Context(), env, since, asJSON)
		},
	}
	cmd.Flags().StringVar(&since, "since", "", "only what happened since: a time, a day, or 30d or 12h ago")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func runStats(ctx context.Context, env *cli.Env, since string, asJSON bool) error {
	var from time.Time
	if since != "" {
		text, err := work.Ago("--since", since, env.Now())
		if err != nil {
			return err
		}
		if from, err = time.Parse(time.RFC3339, text); err != nil {
			return err
		}
	}
	d, err := look(ctx, env, "", false)
	if err != nil {
		return err
	}
	defer d.Close()
	s := d.book.Stats(from)
	if asJSON {
		return env.JSON(statsOf(s, from))
	}
	return printStats(env, s, from)
}

func rate(part, of int) *float64 {
	if of == 0 {
		return nil
	}
	r := float64(part) / float64(of)
	return &r
}

func perWeek(s *intents.Stats) *float64 {
	took := s.To.Sub(s.From)
	if took < time.Hour {
		return nil
	}
	r := float64(s.Integrated) / (took.Hours() / (7 * 24))
	return &r
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

func statsOf(s *intents.Stats, since time.Time) Stats {
	stamp := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return envelope.Timestamp(t)
	}
	out := Stats{
		Type: "intent-stats", Since: stamp(since), From: stamp(s.From), To: stamp(s.To), Opened: s.Opened, Integrated: s.Integrated, Moves: s.Moves,
		RepairRate: rate(s.Repaired, s.Examined), ValidationFailureRate: rate(s.Failed, s.Validated), PerWeek: perWeek(s),
		LeadMedianSeconds: seconds(s.Lead.Median), LeadP90Seconds: seconds(s.Lead.P90), States: []StateStats{}, Roles: []RoleStats{}, Worst: []WorstStats{},
	}
	for _, x := range s.States {
		out.States = append(out.States, StateStats{string(x.State), x.Now, x.N, seconds(x.Median), seconds(x.P90)})
	}
	for _, r := range s.RolesByMoves() {
		out.Roles = append(out.Roles, RoleStats{string(r), s.Roles[r]})
	}
	for i := range s.Worst {
		w := &s.Worst[i]
		out.Worst = append(out.Worst, WorstStats{string(w.ID), w.Name, w.Title, w.Repairs, seconds(w.Took)})
	}
	return out
}

func printStats(env *cli.Env, s *intents.Stats, since time.Time) error {
	p := env.Palette()
	var b strings.Builder
	span := "ever"
	if !since.IsZero() {
		span = "since " + envelope.Timestamp(since)
	}
	fmt.Fprintf(&b, "%s, %s: %d opened, %d integrated, %s\n", p.Bold("intents"), span, s.Opened, s.Integrated, say.Count(s.Moves, "move"))
	percent := func(what string, part, of int, unit string) {
		if r := rate(part, of); r != nil {
			fmt.Fprintf(&b, "%-22s %5.1f %%  (%d of %s)\n", what, *r*100, part, say.Count(of, unit))
		} else {
			fmt.Fprintf(&b, "%-22s     -\n", what)
		}
	}
	percent("repair rate", s.Repaired, s.Examined, "examined intent")
	percent("validation failures", s.Failed, s.Validated, "validation")
	if r := perWeek(s); r != nil {
		fmt.Fprintf(&b, "%-22s %5.1f\n", "integrated a week", *r)
	} else {
		fmt.Fprintf(&b, "%-22s     -\n", "integrated a week")
	}
	if s.Lead.N > 0 {
		fmt.Fprintf(&b, "%-22s %s, nine of ten within %s\n", "opened to integrated", took(s.Lead.Median), took(s.Lead.P90))
	}
	b.WriteString("\nstate          now  stays     median        p90\n")
	longest := time.Duration(1)
	for _, x := range s.States {
		longest = max(longest, x.Median)
	}
	for _, x := range s.States {
		median, p90 := "-", "-"
		if x.N > 0 {
			median, p90 = took(x.Median), took(x.P90)
		}
		fmt.Fprintf(&b, "%-12s %5d %6d %10s %10s%s\n", x.State, x.Now, x.N, median, p90, bar(env, x.Median, longest))
	}
	if len(s.Roles) > 0 {
		b.WriteString("\nmoves by role\n")
	}
	for _, r := range s.RolesByMoves() {
		fmt.Fprintf(&b, "  %-18s %6d\n", r, s.Roles[r])
	}
	if len(s.Worst) > 0 {
		b.WriteString("\nrepaired most\n")
	}
	for i := range s.Worst {
		w := &s.Worst[i]
		fmt.Fprintf(&b, "  %s  %s, %s  %s\n", p.Mark(w.ID.Short()), say.Count(w.Repairs, "repair"), took(w.Took), title(&w.Row))
	}
	_, err := fmt.Fprint(env.Out, b.String())
	return err
}

// bar draws how long something took beside what took longest, on a terminal only.
func bar(env *cli.Env, d, longest time.Duration) string {
	const before = 50
	room := min(env.Width-before, 40)
	if !env.StdoutTTY || room < 8 || d <= 0 {
		return ""
	}
	n := int(float64(room*8) * float64(d) / float64(longest))
	full := strings.Repeat("█", n/8)
	if n%8 > 0 {
		full += string(rune('█' + 8 - n%8)) // the eighths follow it, the widest first
	}
	return "  " + env.Palette().Mark(full)
}

// took says how long something took, for people.
func took(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%.1f d", d.Hours()/24)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%.1f h", d.Hours())
	case d >= 2*time.Minute:
		return fmt.Sprintf("%.1f min", d.Minutes())
	}
	return fmt.Sprintf("%d s", int64(d/time.Second))
}
