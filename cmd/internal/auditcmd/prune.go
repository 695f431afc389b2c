package auditcmd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/event"
	"github.com/open-covenant/covenant-git/git/provenance"
)

type pruning struct {
	before, reason, who string
	ledgers             []string
	again, dry, json    bool
}

// Pruned is what is dropped of one ledger, or would be, with --json.
type Pruned struct {
	Type    string         `json:"type"`         // "pruning"
	ID      string         `json:"id,omitempty"` // the statement
	Ledger  string         `json:"ledger"`
	Before  string         `json:"before"`
	New     uint64         `json:"new"`     // entries that go now
	Dropped uint64         `json:"dropped"` // with those that went before
	Stays   map[string]int `json:"stays"`   // older entries that stay, by why
	Young   int            `json:"young"`   // entries that are not known to be older
	Done    bool           `json:"done"`    // they are dropped here
}

func newPrune(env *cli.Env) *cobra.Command {
	var o pruning
	cmd := &cobra.Command{
		Use:   "prune {--before TIME | --again --ledger LEDGER} --reason TEXT",
		Short: "Drop what old events say, and keep the proof that they were there",
		Long: `Drop events from the ledgers of topic audit that were made before a time. Of each entry its
identity is kept: what others had seen still resolves, checkpoints and proofs that were made
before still hold. Who dropped how much of what, and why, is an entry itself, and stays.

Never dropped are grants, commits, reviews and all else that decides about something; denials,
and what had to be on record for somebody to go on; what an accountable person or automation
had seen of other ledgers; and the newest entry of a ledger. An entry is as old as it is known
to be: from when somebody accountable had seen it, whatever time it claims.

It takes audit.purge. An operator has that, or gives it, up to a time: "covenant capability
grant --action audit.purge --scope '{"version":1,"before_ms":…}'". What an agent says is done
when somebody accountable has seen it.

What somebody dropped whose key was removed before others knew of it, or counts as stolen since
before then, nobody who counts says any more. Where it was right, an operator says so again, of
one ledger: --again. Nobody can look at what is gone: the operator answers for it.

"covenant sync" takes it to others: each clone looks at what it has first, and drops nothing
that stays. Git deletes the bytes when it collects what nothing leads to (git gc --prune=now).
What backups, and clones that do not sync, have is theirs.`,
		Example: "  covenant audit prune --before 365d --reason 'kept for a year' --dry-run\n  covenant audit prune --before 2026-01-01 --reason 'kept for a year'",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), env) },
	}
	f := cmd.Flags()
	f.StringVar(&o.before, "before", "", "what was made before then: a time, a day, or 365d for a year ago")
	f.StringVarP(&o.reason, "reason", "m", "", "why")
	f.StringArrayVar(&o.ledgers, "ledger", nil, "only of this one, or of the writer whose name begins so; may be repeated")
	f.BoolVar(&o.again, "again", false, "say again, as an operator, what somebody dropped of --ledger whose word counts no more")
	f.BoolVar(&o.dry, "dry-run", false, "only say what would go, and what would stay")
	f.StringVar(&o.who, "identity", "", "act as this principal: a name, or the path of a private key")
	f.BoolVar(&o.json, "json", false, "print one JSON object per ledger")
	return cmd
}

func (o *pruning) run(ctx context.Context, env *cli.Env) error {
	text, before, err := o.check(env)
	if err != nil {
		return err
	}
	r, err := openRecord(ctx, env, "", false)
	if err != nil {
		return err
	}
	defer r.Close()
	r.Explicit = o.who
	plans, err := o.plans(env, r, before)
	if err != nil {
		return err
	}
	going := slices.DeleteFunc(slices.Clone(plans), func(p *provenance.Plan) bool { return p.New == 0 && !p.Again })
	if o.dry || len(going) == 0 {
		for _, p := range plans {
			if err := o.print(env, p, Pruned{}); err != nil {
				return err
			}
		}
		if !o.dry {
			env.Talk().Note("there is nothing to drop that is known to be older than %s", text)
		}
		return nil
	}
	k, err := r.Sealer(r.facts)
	if err != nil {
		return err
	}
	if k.Hand.Principal.Operator {
		if err := r.Presence(r.facts.Root, k.Hand.Signer.Public(), o.act(going, text)); err != nil {
			return err
		}
	}
	if o.reason, err = work.Redacted(env, "--reason", o.reason); err != nil {
		return err
	}
	made, err := k.Prune(ctx, r.facts, o.reason, going...)
	if err != nil {
		return work.Explain(err)
	}
	ids := map[string]envelope.Digest{}
	for i, m := range made {
		ids[going[i].Says.Of] = m.ID
	}
	done, err := o.forget(ctx, env, r, ids)
	if err != nil {
		return err
	}
	for _, p := range plans {
		if err := o.print(env, p, Pruned{ID: string(ids[p.Says.Of]), Done: done[p.Says.Of]}); err != nil {
			return err
		}
	}
	if len(done) > 0 {
		env.Talk().Hint("Git deletes the bytes later, or now: git gc --prune=now", "others drop it, too: covenant sync")
	}
	return nil
}

// check looks at what was asked, and returns the time before which what is dropped was made.
func (o *pruning) check(env *cli.Env) (text string, before time.Time, err error) {
	switch {
	case o.again && (o.before != "" || len(o.ledgers) == 0):
		return "", before, cli.Usage("--again is of what was dropped already, of a ledger: it takes --ledger, and no --before")
	case !o.again && o.before == "":
		return "", before, cli.Usage("--before says how old what is dropped must be")
	case o.reason == "" && !o.dry:
		return "", before, cli.Usage("--reason says why: it is all that people will find in the place of what is gone")
	}
	if err := checkReason(o.reason); err != nil || o.again {
		return "", before, err
	}
	if text, err = work.Ago("--before", o.before, env.Now()); err != nil {
		return "", before, err
	}
	if before, err = time.Parse(time.RFC3339, text); err == nil && before.After(env.Now()) {
		err = cli.Usage("--before %s is to come", text)
	}
	return text, before, err
}

// checkReason refuses a reason that nobody could read in a statement.
func checkReason(text string) error {
	if event.CheckReason(text) != nil {
		return cli.Usage("--reason has at most %d bytes of UTF-8, and no control characters but line feeds and tabs", event.MaxText)
	}
	return nil
}

// act says what who is asked for presence is to do.
func (o *pruning) act(going []*provenance.Plan, text string) string {
	if o.again {
		return "answer for what others dropped of " + say.Count(len(going), "ledger")
	}
	return fmt.Sprintf("drop what %s of before %s say", say.Count(len(going), "ledger"), text)
}

// plan finds what can go of a ledger, or what is said again.
func (o *pruning) plan(env *cli.Env, r *record, name string, before time.Time) (*provenance.Plan, error) {
	if !o.again {
		return r.facts.PlanPruning(r.Session, name, before)
	}
	p, said, err := r.facts.PlanAgain(r.Session, name)
	for _, x := range said {
		by, _ := r.facts.Authority.ByKey(x.KeyID)
		env.Talk().Note("that %d entries of %s were dropped said %s, in %s of %s, and it counts for nothing: %v", x.Says.Dropped, name, say.Line(by.Name), x.ID.Short(), envelope.Timestamp(x.Time), x.Err)
	}
	return p, err
}

// plans finds what can go of the ledgers that are meant.
func (o *pruning) plans(env *cli.Env, r *record, before time.Time) ([]*provenance.Plan, error) {
	meant := func(name string) bool {
		return len(o.ledgers) == 0 || slices.ContainsFunc(o.ledgers, func(l string) bool {
			return l == name || strings.HasPrefix(name, provenance.AuditTopic+"/"+l)
		})
	}
	var out []*provenance.Plan
	for _, name := range slices.Sorted(maps.Keys(r.facts.Chains)) {
		if !strings.HasPrefix(name, provenance.AuditTopic+"/") && !slices.Contains(o.ledgers, name) || !meant(name) {
			continue
		}
		p, err := o.plan(env, r, name, before)
		switch {
		case errors.Is(err, provenance.ErrNotPrunable) && len(o.ledgers) == 0:
			env.Talk().Warn("%v", err)
			continue
		case errors.Is(err, provenance.ErrNotPrunable):
			hint := "see what can be: covenant audit prune --before " + say.Shell(o.before) + " --dry-run"
			if o.again {
				hint = "see what is wrong: covenant audit verify"
			}
			return nil, cli.No(cli.Hint(err, hint))
		case err != nil:
			return nil, err
		}
		out = append(out, p)
	}
	if len(out) == 0 && len(o.ledgers) > 0 {
		return nil, cli.Hint(fmt.Errorf("no ledger of events is here that is called %s", strings.Join(o.ledgers, " or ")), "see which there are: git for-each-ref refs/covenant/ledger/audit")
	}
	return out, nil
}

// forget drops here what statements say that count, and returns of which ledgers.
func (o *pruning) forget(ctx context.Context, env *cli.Env, r *record, ids map[string]envelope.Digest) (map[string]bool, error) {
	f, err := provenance.Load(ctx, r.Session, r.pin)
	if err != nil {
		return nil, work.Explain(err)
	}
	done := map[string]bool{}
	for _, p := range f.Pending() {
		if err := f.Forget(ctx, r.Session, p); err != nil {
			if ids[p.Says.Of] == p.ID {
				return nil, cli.Hint(fmt.Errorf("it is stated (%s), and %s was not pruned: %w", p.ID.Short(), p.Says.Of, err), "try again: covenant doctor --fix")
			}
			env.Talk().Warn("somebody else says (%s) that entries of %s were dropped, and they stay: %v", p.ID.Short(), p.Says.Of, err)
			continue
		}
		done[p.Says.Of] = true
	}
	for _, p := range f.Prunings() {
		if ids[p.Says.Of] == p.ID && p.Err != nil {
			env.Talk().Note("%s: it is stated, and nothing is dropped yet: %v", p.Says.Of, p.Err)
			env.Talk().Hint("it is, once an entry of somebody accountable names it, with: covenant sync, or covenant doctor --fix")
		}
	}
	return done, nil
}

func (o *pruning) print(env *cli.Env, p *provenance.Plan, out Pruned) error {
	out.Type, out.Ledger, out.Before, out.New, out.Dropped, out.Stays, out.Young = "pruning", p.Says.Of, p.Says.Before, p.New, p.Says.Dropped, p.Stays, p.Young
	if o.json {
		return env.JSON(out)
	}
	what, n := "would drop", p.New
	if p.Again {
		n = p.Says.Dropped
	}
	switch {
	case p.Again && out.ID != "":
		what = "says again that it lacks"
	case p.Again:
		what = "would say again that it lacks"
	case out.Done:
		what = "dropped"
	case out.ID != "":
		what = "is to drop"
	}
	if _, err := fmt.Fprintf(env.Out, "%s %s %s\n", say.Line(out.Ledger), what, entriesOf(int(n))); err != nil { //nolint:gosec // entries in memory
		return err
	}
	for _, why := range p.Stayed() {
		if _, err := fmt.Fprintf(env.Out, "  stays %s\n", why); err != nil {
			return err
		}
	}
	if p.Young > 0 {
		_, err := fmt.Fprintf(env.Out, "  stays %d: not known to be older than %s\n", p.Young, p.Says.Before)
		return err
	}
	return nil
}
