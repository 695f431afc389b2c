package auditcmd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/event"
	"github.com/open-covenant/covenant-git/git/audit"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/provenance"
)

type looking struct {
	since, until, principal, intent, outcome, root string
	kinds                                          []string
	max                                            int
	json, follow, reverse                          bool
}

func newLog(env *cli.Env) *cobra.Command {
	var o looking
	cmd := &cobra.Command{
		Use:   "log",
		Short: "Show all that happened, causes before effects",
		Long: `Show the entries of all ledgers, of all who write here, as one log: an entry comes after
all that its writer had seen when it was made. What knows nothing of each other comes by the
time it claims. Only what verifies is shown; what does not is told on standard error, and
"covenant audit verify" is the command that judges.

With --follow it goes on as more is recorded, until it is interrupted.`,
		Example: `  covenant audit log --principal coder --since 2026-11-24 --until 2026-11-25
  covenant audit log --outcome denied -n 20
  covenant audit log --kind 'capability.*' --json | jq -r .subject.name
  covenant audit log --follow`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runLog(cmd.Context(), env, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.since, "since", "", "what happened then or later: a time, a day, or 2d for two days ago")
	f.StringVar(&o.until, "until", "", "what happened then or before; a day counts whole")
	f.StringVar(&o.principal, "principal", "", "what this principal did, was refused, or answers for")
	f.StringArrayVar(&o.kinds, "kind", nil, "of this kind, such as note, seal or capability.*; may be repeated")
	f.StringVar(&o.intent, "intent", "", "done for this intent")
	f.StringVar(&o.outcome, "outcome", "", "that ended so: ok, denied, failed or ignored")
	f.IntVarP(&o.max, "max-count", "n", 0, "only the last so many")
	f.BoolVar(&o.reverse, "reverse", false, "what happened last comes first")
	f.BoolVarP(&o.follow, "follow", "f", false, "go on as more is recorded")
	f.BoolVar(&o.json, "json", false, "print one JSON object per line, with the fields of the statement")
	f.StringVar(&o.root, "root", "", "digest of the trust root (default: COVENANT_ROOT, else covenant.root)")
	_ = cmd.RegisterFlagCompletionFunc("principal", cli.Complete(env, 0, work.Names(env)))
	return cmd
}

func (o *looking) filter(now time.Time) (audit.Filter, error) {
	f := audit.Filter{Principal: o.principal, Kinds: o.kinds, Intent: o.intent, Outcome: event.Outcome(o.outcome)}
	switch f.Outcome {
	case "", event.OK, event.Failed, event.Denied, event.Ignored:
	default:
		return f, cli.Usage("--outcome takes ok, denied, failed or ignored, not %q", o.outcome)
	}
	if o.max < 0 {
		return f, cli.Usage("-n takes a number of lines, not %d", o.max)
	}
	if o.follow && (o.reverse || o.until != "") {
		return f, cli.Usage("--follow goes on without end: it takes neither --reverse nor --until")
	}
	var err error
	f.Since, f.Until, err = between(o.since, o.until, now)
	return f, err
}

// between reads the ends of a span as people give them.
func between(from, to string, now time.Time) (since, until time.Time, err error) {
	for _, t := range []struct {
		flag, text string
		into       *time.Time
	}{{"--since", from, &since}, {"--until", to, &until}} {
		if t.text == "" {
			continue
		}
		at, err := work.Ago(t.flag, t.text, now)
		if err != nil {
			return since, until, err
		}
		if *t.into, err = time.Parse(time.RFC3339, at); err != nil {
			return since, until, err
		}
	}
	if _, err := time.Parse(time.DateOnly, to); err == nil {
		until = until.Add(24*time.Hour - time.Second)
	}
	return since, until, nil
}

func runLog(ctx context.Context, env *cli.Env, o looking) error {
	filter, err := o.filter(env.Now())
	if err != nil {
		return err
	}
	r, err := openRecord(ctx, env, o.root, true)
	if err != nil {
		return err
	}
	defer r.Close()
	told := map[string]bool{}
	if warn(env, told, r.facts.Problems); len(told) > 0 {
		env.Talk().Hint("what does not verify is left out; see all of it: covenant audit verify")
	}
	show := func() error { return o.print(env, r.facts, o.some(r.Work, r.facts, filter)) }
	if !o.follow {
		return env.Page(ctx, show)
	}
	if err := show(); err != nil {
		return err
	}
	return o.goOn(ctx, env, r, filter, told)
}

// some are the records that are asked for: the last ones, in the order that is asked for.
func (o *looking) some(w *work.Work, f *provenance.Facts, filter audit.Filter) iter.Seq2[audit.Record, error] {
	switch {
	case o.max == 0 && !o.reverse:
		return audit.Log(w.Session, f, filter)
	case o.max == 0:
		return audit.Backwards(w.Session, f, filter)
	}
	return func(yield func(audit.Record, error) bool) {
		var last []audit.Record
		for r, err := range audit.Backwards(w.Session, f, filter) {
			if err != nil {
				yield(r, err)
				return
			}
			if o.reverse {
				if !yield(r, nil) {
					return
				}
			}
			if last = append(last, r); len(last) == o.max {
				break
			}
		}
		for i := len(last) - 1; i >= 0 && !o.reverse; i-- {
			if !yield(last[i], nil) {
				return
			}
		}
	}
}

func (o *looking) print(env *cli.Env, f *provenance.Facts, records iter.Seq2[audit.Record, error]) error {
	for r, err := range records {
		if err != nil {
			return work.Explain(err)
		}
		switch {
		case r.Err != nil:
			env.Talk().Warn("%s: entry %d of %s, by %s: %v", r.ID.Short(), r.Seq, r.Ledger, name(&r), r.Err)
		case o.json:
			err = printJSON(env, &r)
		default:
			err = printLine(env, f, &r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// interval is how often --follow looks.
const interval = 500 * time.Millisecond

// goOn shows what comes to be.
func (o *looking) goOn(ctx context.Context, env *cli.Env, r *record, filter audit.Filter, told map[string]bool) error {
	filter.After = map[string]uint64{} // what was shown is not shown again, also where a ledger goes back
	f := r.facts
	for tick := time.NewTicker(interval); ; {
		select {
		case <-ctx.Done():
			tick.Stop()
			return nil
		case <-tick.C:
		}
		refs, err := r.Session.Tips(ledger.Prefix)
		if err != nil {
			return err
		}
		moved := len(refs) != len(f.Tips)
		for _, r := range refs {
			moved = moved || f.Tips[r.Name] != r.ID
		}
		if !moved {
			continue
		}
		for name, seq := range audit.Heads(f) {
			filter.After[name] = max(filter.After[name], seq)
		}
		if f, err = r.Cache(false).Load(ctx, r.Session, r.pin); err != nil {
			return work.Explain(err)
		}
		warn(env, told, f.Problems)
		if err := o.print(env, f, audit.Log(r.Session, f, filter)); err != nil {
			return err
		}
	}
}

// printJSON writes a record as one object: what every line has, then the fields of the statement. No field of an event has
// a name of the former; one of another statement that has stays out.
func printJSON(env *cli.Env, r *audit.Record) error {
	head := []struct {
		name  string
		value any
		omit  bool
	}{
		{"type", "entry", false},
		{"id", r.ID, false},
		{"ledger", r.Ledger, false},
		{"seq", r.Seq, false},
		{"index", r.Index, r.Of == 1},
		{"object", r.Commit, false},
		{"time", envelope.Timestamp(r.Time), false},
		{"at", envelope.Timestamp(r.At), r.At.Equal(r.Time)},
		{"principal", name(r), r.Principal == nil},
		{"accountable", accountable(r), r.Principal == nil},
		{"kind", r.Kind, false},
		{"outcome", r.Outcome, false},
		{"intent", r.Intent, r.Intent == ""},
		{"session", r.Session, r.Session == ""},
	}
	var b bytes.Buffer
	put := func(name string, value any) error {
		v, err := json.Marshal(value)
		if err != nil {
			return err
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:%s", name, v)
		return nil
	}
	taken := map[string]bool{}
	for _, h := range head {
		taken[h.name] = true
		if h.omit {
			continue
		}
		if err := put(h.name, h.value); err != nil {
			return err
		}
	}
	for _, f := range r.Data {
		if taken[f.Name] {
			continue
		}
		if err := put(f.Name, f.Value); err != nil {
			return err
		}
	}
	return env.JSON(json.RawMessage("{" + b.String() + "}"))
}

func name(r *audit.Record) string {
	if r.Principal == nil {
		return ""
	}
	return r.Principal.Name
}

func accountable(r *audit.Record) string {
	if r.Principal == nil {
		return ""
	}
	return r.Principal.Accountable
}

func printLine(env *cli.Env, f *provenance.Facts, r *audit.Record) error {
	p := env.Palette()
	word := fmt.Sprintf("%-7s", r.Outcome)
	switch r.Outcome {
	case event.OK:
		word = p.Dim(word)
	default:
		word = p.Bad(word)
	}
	who := name(r)
	if r.Principal != nil && r.Principal.Accountable != r.Principal.Name {
		who += " for " + r.Principal.Accountable
	}
	_, err := fmt.Fprintf(env.Out, "%s %s %s %-16s %s  %s\n", p.Mark(r.ID.Short()), r.At.UTC().Format("2006-01-02 15:04:05"), word, say.Line(who), p.Bold(say.Line(r.Kind)), say.Line(about(f, r)))
	return err
}

// about says in a few words what a record is of.
func about(f *provenance.Facts, r *audit.Record) string {
	g := r.Get
	short := func(id string) string {
		if d := envelope.Digest(id); d.Valid() {
			return d.Short()
		}
		return id[:min(len(id), 12)]
	}
	because := func(s string) string {
		if why := g("reason"); why != "" {
			return s + ": " + why
		}
		return s
	}
	switch r.Kind {
	case audit.Seal:
		if g("ref") == "" { // vouched for, wherever it was made
			return "commit " + short(g("commit"))
		}
		return "commit " + short(g("commit")) + " on " + g("ref")
	case audit.Evidence:
		return g("name") + " " + strings.ToLower(g("result")) + " on tree " + short(g("tree"))
	case "gate.decided", "capability.checked":
		who := ""
		if p, ok := f.Authority.ByKey(g("key")); ok && (r.Principal == nil || p.Name != r.Principal.Name) {
			who = " to " + p.Name
		}
		on := ""
		if ref := g("ref"); ref != "" {
			on = " on " + ref
		}
		return because(g("action") + who + on)
	case "capability.granted":
		var s struct{ Name string }
		for _, x := range r.Data {
			if x.Name == "subject" {
				_ = json.Unmarshal(x.Value, &s)
			}
		}
		return strings.TrimSpace(g("action") + " to " + s.Name)
	case "capability.revoked":
		return because("grant " + short(g("grant")))
	case "capability.requested":
		return because(g("action"))
	case "ref.admitted":
		return g("ref") + " at " + short(g("new"))
	case event.Name(event.Checkpointed):
		if lines := strings.SplitN(g("note"), "\n", 4); len(lines) == 4 {
			return lines[1] + " entries, root " + lines[2]
		}
	case event.Name(event.Cosigned):
		return "checkpoint " + short(g("checkpoint"))
	case event.Name(event.Resolved):
		return because(g("ledger") + " goes on with " + short(g("keep")))
	case event.Name(event.Pruned):
		return because(g("dropped") + " entries of " + g("of") + " from before " + g("before"))
	case "note":
		return g("text")
	}
	var list []string
	for _, x := range r.Data {
		if v := g(x.Name); v != "" && len(v) <= 80 {
			list = append(list, x.Name+"="+v)
		}
	}
	return strings.Join(list, " ")
}
