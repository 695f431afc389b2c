package intentcmd

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/envelope/intent"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// Shown is an intent whole, with --json.
type Shown struct {
	Listed
	Text         string     `json:"text,omitempty"`
	Scope        []string   `json:"scope,omitempty"`
	Failures     []string   `json:"failures,omitempty"`
	Gates        []string   `json:"gates,omitempty"`
	Artifacts    []Artifact `json:"artifacts,omitempty"` // shown, and not used up
	Verification []string   `json:"verification,omitempty"`
	Escalations  []string   `json:"escalations,omitempty"`
	Entry        string     `json:"entry,omitempty"`  // that opened it
	Last         string     `json:"last,omitempty"`   // the last statement that counts
	Digest       string     `json:"digest,omitempty"` // of its state
	Ways         []string   `json:"ways,omitempty"`   // where it may go
	Imported     string     `json:"imported,omitempty"`
	Steps        []Logged   `json:"steps"`
}

// Artifact is what was shown at a gate, and what became of it, with --json.
type Artifact struct {
	Gate  string `json:"gate"`
	Ref   string `json:"ref"`
	Holds bool   `json:"holds"`
	provenance.Held
}

// Logged is one statement about an intent, with --json.
type Logged struct {
	Type      string     `json:"type"` // "step"
	Intent    string     `json:"intent"`
	ID        string     `json:"id"`   // its entry
	What      string     `json:"what"` // "opened", "moved" or "edited"
	Time      string     `json:"time"`
	Principal string     `json:"principal,omitempty"`
	Key       string     `json:"key"`
	From      string     `json:"from,omitempty"`
	To        string     `json:"to,omitempty"`
	Role      string     `json:"role,omitempty"`
	Note      string     `json:"note,omitempty"`
	Next      string     `json:"next,omitempty"`
	Artifacts []Artifact `json:"artifacts,omitempty"`
	Counts    bool       `json:"counts"`
	Reason    string     `json:"reason,omitempty"` // why it does not count
	Seen      string     `json:"seen,omitempty"`   // when an operator had seen it
}

// artifacts says of what was shown whether it holds.
func artifacts(list []intent.Artifact, held map[intent.Artifact]provenance.Held) []Artifact {
	var out []Artifact
	for _, a := range list {
		h := held[a]
		out = append(out, Artifact{string(a.Gate), a.Ref, h.Why == "", h})
	}
	return out
}

// held asks of all that was ever shown of an intent whether it holds.
func (d *desk) held(ctx context.Context, s *intent.Intent) (map[intent.Artifact]provenance.Held, error) {
	list := slices.Clone(s.Artifacts)
	for i := range s.Steps {
		if m := s.Steps[i].Moved; m != nil {
			list = append(list, m.Artifacts...)
		}
	}
	held, err := d.book.Held(ctx, s, list, "", d.Env.Now())
	return held, explain(err)
}

func logged(s *intent.Intent, x *intent.Step, held map[intent.Artifact]provenance.Held) Logged {
	l := Logged{Type: "step", Intent: string(s.ID), ID: string(x.ID), What: "edited", Time: x.Time, Principal: x.By, Key: x.Key, Counts: x.Why == "", Reason: x.Why, Seen: x.Seen}
	switch {
	case x.Opened != nil:
		l.What, l.To = "opened", string(intent.Proposed)
		if x.Opened.State != "" {
			l.To = string(x.Opened.State)
		}
	case x.Moved != nil:
		m := x.Moved
		l.What, l.From, l.To, l.Role, l.Note, l.Next, l.Artifacts = "moved", string(m.From), string(m.To), string(m.Role), m.Note, m.Next, artifacts(m.Artifacts, held)
	}
	return l
}

func newShow(env *cli.Env) *cobra.Command {
	var root string
	var asJSON, noCache bool
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Tell an intent as a story",
		Long: `Tell an intent as a story: what is asked for, what was done, by whom and in which role, what
did not count and why, what its gates still want, and where it may go from here.`,
		Example:           "  covenant intent show fix-login\n  covenant intent show fix-login --json | jq .digest",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: complete(env),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := look(cmd.Context(), env, root, noCache)
			if err != nil {
				return err
			}
			defer d.Close()
			return d.show(cmd.Context(), args[0], asJSON)
		},
	}
	f := cmd.Flags()
	f.StringVar(&root, "root", "", "digest of the trust root to hold everything to (default: COVENANT_ROOT, else covenant.root)")
	f.BoolVar(&noCache, "no-cache", false, "believe nothing that was remembered, and remember nothing")
	f.BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func (d *desk) show(ctx context.Context, name string, asJSON bool) error {
	r, err := d.find(name)
	if err != nil {
		return err
	}
	s, err := d.book.Intent(r.ID)
	if err != nil {
		return explain(err)
	}
	held, err := d.held(ctx, s)
	if err != nil {
		return err
	}
	if asJSON {
		out := Shown{
			Listed: listed(d.book, &r), Text: s.Fields.Text, Scope: s.Fields.Scope, Failures: s.Fields.Failures, Artifacts: artifacts(s.Artifacts, held), Verification: s.Fields.Verification,
			Escalations: s.Fields.Escalations, Entry: string(s.Entry), Last: string(s.Last), Digest: string(s.Digest()), Steps: []Logged{},
		}
		for _, g := range s.Fields.Gates {
			out.Gates = append(out.Gates, string(g))
		}
		for _, w := range intent.After(s.State) {
			out.Ways = append(out.Ways, string(w))
		}
		if o := s.Opening(); o != nil && o.Opened.Imported != nil {
			out.Imported = o.Opened.Imported.Format
		}
		for i := range s.Steps {
			out.Steps = append(out.Steps, logged(s, &s.Steps[i], held))
		}
		return d.Env.JSON(out)
	}
	t := &teller{d: d, held: held}
	t.story(s)
	return t.err
}

// teller prints lines until one fails.
type teller struct {
	d    *desk
	held map[intent.Artifact]provenance.Held // what became of what was shown
	err  error
}

// shown is an artifact, and that it does not hold where it does not.
func (t *teller) shown(a intent.Artifact) string {
	out, h := say.Line(a.Ref), t.held[a]
	if h.What != "" {
		out += " (" + say.Line(h.What) + ")"
	}
	if h.Why != "" {
		out += " " + t.d.Env.Palette().Bad("does not hold: "+say.Line(h.Why))
	}
	return out
}

func (t *teller) say(format string, a ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.d.Env.Out, format+"\n", a...)
	}
}

func (t *teller) list(what string, items []string) {
	for i, x := range items {
		if i > 0 {
			what = ""
		}
		t.say("  %-13s %s", what, say.Line(x))
	}
}

func (t *teller) story(s *intent.Intent) {
	p := t.d.Env.Palette()
	f := &s.Fields
	t.say("%s %s", p.Mark("intent "+string(s.ID)), p.Bold(say.Line(f.Title)))
	if s.Void != "" {
		t.say("%s %s", p.Bad("does not count:"), say.Line(s.Void))
	}
	if f.Name != "" {
		t.say("  %-13s %s", "name:", f.Name)
	}
	if s.Entry != "" {
		t.say("  %-13s %s, priority %s, %s", "state:", p.Bold(string(s.State)), f.Priority, turn(s))
	}
	if f.Next != "" {
		t.say("  %-13s %s", "next:", say.Line(f.Next))
	}
	if f.Parent != "" {
		t.say("  %-13s %s", "part of:", t.named(f.Parent))
	}
	for i, n := range f.Needs {
		t.say("  %-13s %s", map[bool]string{true: "needs:"}[i == 0], t.named(n))
	}
	if r, ok := t.d.book.Row(s.ID); ok {
		if _, circle := t.d.book.Waits(&r); circle {
			t.say("  %-13s %s", "", p.Warn("what it needs leads back to it: that holds nothing up"))
		}
	}
	t.list("scope:", f.Scope)
	t.list("may fail by:", f.Failures)
	t.list("verify with:", f.Verification)
	t.list("ask when:", f.Escalations)
	for i, g := range f.Gates {
		guard, _ := intent.GuardOf(g)
		told := p.Warn(fmt.Sprintf("to be shown before %s: %s", guard.Before, guard.Wants))
		if j := slices.IndexFunc(s.Artifacts, func(a intent.Artifact) bool { return a.Gate == g }); j >= 0 {
			told = t.shown(s.Artifacts[j])
		}
		t.say("  %-13s %s: %s", map[bool]string{true: "gates:"}[i == 0], g, told)
	}
	if strings.TrimSpace(f.Text) != f.Title && f.Text != "" {
		t.say("")
		for l := range strings.SplitSeq(f.Text, "\n") {
			t.say("    %s", say.Line(l))
		}
	}
	t.say("")
	t.steps(s)
	if ways := intent.After(s.State); s.Void == "" {
		t.say("")
		t.say("  from here to: %s", intent.List(ways))
		t.say("  digest:       %s", s.Digest())
		t.say("  commits:      covenant log --intent %s", s.ID.Short())
	}
}

// turn says whose turn it is: what the intent says, where that role can go on; else who can.
func turn(s *intent.Intent) string {
	var all []intent.Role
	for _, to := range intent.After(s.State) {
		if to == intent.Blocked {
			continue
		}
		for _, r := range intent.RolesFor(s.State, to) {
			if r == s.Fields.Role {
				return "the turn of " + string(r)
			}
			if !slices.Contains(all, r) {
				all = append(all, r)
			}
		}
	}
	return fmt.Sprintf("for %s; it goes on by %s", s.Fields.Role, intent.List(all))
}

// named is an intent that another one names.
func (t *teller) named(id intent.ID) string {
	r, ok := t.d.book.Row(id)
	if !ok || r.Void != "" {
		return id.Short() + " (not here, or not counted)"
	}
	return fmt.Sprintf("%s %s: %s", id.Short(), r.State, title(&r))
}

func (t *teller) steps(s *intent.Intent) {
	p := t.d.Env.Palette()
	for i := range s.Steps {
		x := &s.Steps[i]
		l := logged(s, x, t.held)
		what := l.What
		switch l.What {
		case "opened":
			what += " as " + l.To
		case "moved":
			what = fmt.Sprintf("%s → %s", l.From, l.To)
		}
		who := l.Principal
		if who == "" {
			who = l.Key
		}
		if l.Role != "" {
			who += " as " + l.Role
		}
		mark := " "
		if !l.Counts {
			mark = p.Bad("x")
		}
		t.say("%s %s  %-26s by %s  %s", mark, l.Time, what, say.Line(who), p.Dim(x.ID.Short()))
		if l.Note != "" {
			for line := range strings.SplitSeq(l.Note, "\n") {
				t.say("    %s", say.Line(line))
			}
		}
		for _, a := range l.Artifacts {
			t.say("    gate %s: %s", a.Gate, t.shown(intent.Artifact{Gate: intent.Gate(a.Gate), Ref: a.Ref}))
		}
		if !l.Counts {
			t.say("    %s %s", p.Bad("does not count:"), say.Line(l.Reason))
		}
	}
}

func newLog(env *cli.Env) *cobra.Command {
	var asJSON, noCache bool
	cmd := &cobra.Command{
		Use:   "log ID",
		Short: "List the statements about an intent",
		Long: `List the statements about an intent: first those that count, in their order, then those that
do not, each with the reason.`,
		Example:           "  covenant intent log fix-login\n  covenant intent log fix-login --json | jq 'select(.counts|not)'",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: complete(env),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runLog(cmd.Context(), env, args[0], asJSON, noCache)
		},
	}
	cmd.Flags().BoolVar(&noCache, "no-cache", false, "believe nothing that was remembered, and remember nothing")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per statement")
	return cmd
}

func runLog(ctx context.Context, env *cli.Env, name string, asJSON, noCache bool) error {
	d, err := look(ctx, env, "", noCache)
	if err != nil {
		return err
	}
	defer d.Close()
	r, err := d.find(name)
	if err != nil {
		return err
	}
	s, err := d.book.Intent(r.ID)
	if err != nil {
		return explain(err)
	}
	held, err := d.held(ctx, s)
	if err != nil {
		return err
	}
	if !asJSON {
		t := &teller{d: d, held: held}
		t.steps(s)
		return t.err
	}
	for i := range s.Steps {
		if err := env.JSON(logged(s, &s.Steps[i], held)); err != nil {
			return err
		}
	}
	return nil
}
