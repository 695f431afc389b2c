package intentcmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope/event"
	"github.com/open-covenant/covenant-git/envelope/intent"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/audit"
)

// fieldFlags are what an intent says, as flags.
type fieldFlags struct {
	title, name, priority, role, next, parent       string
	scope, failures, gates, verify, escalate, needs []string
}

func (o *fieldFlags) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.title, "title", "", "one line that names it (default: the first line of the text)")
	f.StringVar(&o.name, "name", "", "a name to type in the place of the id, such as fix-login")
	f.StringVar(&o.priority, "priority", "", "low, medium, high or critical (default medium)")
	f.StringVar(&o.role, "role", "", "whose turn it is, such as implementer (the default) or reviewer")
	f.StringArrayVar(&o.scope, "scope", nil, "pattern of paths that it is about, such as 'src/**'; may be repeated")
	f.StringArrayVar(&o.failures, "failure", nil, "how it is expected to go wrong; may be repeated")
	f.StringArrayVar(&o.gates, "gate", nil, "gate that must be shown something: plan, fan_out, test_expansion, security, docs or escalation; may be repeated")
	f.StringArrayVar(&o.verify, "verify", nil, "command that tells whether it is done; may be repeated")
	f.StringArrayVar(&o.escalate, "escalate", nil, "when a person is to be asked; may be repeated")
	f.StringVar(&o.next, "next", "", "what is to be done next")
	f.StringVar(&o.parent, "parent", "", "intent that this one is a part of")
	f.StringArrayVar(&o.needs, "needs", nil, "intent that must be integrated before this one is worked on; may be repeated")
}

// apply puts what was said on a command line into fields; what changed tells apart from what was not said.
func (o *fieldFlags) apply(d *desk, f *intent.Fields, changed func(string) bool) error {
	for _, x := range []struct {
		flag, text string
		into       *string
	}{{"title", o.title, &f.Title}, {"name", o.name, &f.Name}, {"next", o.next, &f.Next}} {
		if changed(x.flag) {
			text, err := work.Redacted(d.Env, "--"+x.flag, x.text)
			if err != nil {
				return err
			}
			*x.into = text
		}
	}
	for _, x := range []struct {
		flag string
		list []string
		into *[]string
	}{{"scope", o.scope, &f.Scope}, {"failure", o.failures, &f.Failures}, {"verify", o.verify, &f.Verification}, {"escalate", o.escalate, &f.Escalations}} {
		if !changed(x.flag) {
			continue
		}
		var list []string
		for _, text := range x.list {
			text, err := work.Redacted(d.Env, "--"+x.flag, text)
			if err != nil {
				return err
			}
			if text != "" { // --scope '' empties the list
				list = append(list, text)
			}
		}
		*x.into = list
	}
	var err error
	if changed("priority") {
		if f.Priority, err = intent.ParsePriority(o.priority); err != nil {
			return cli.Usage("%v", err)
		}
	}
	if changed("role") {
		if f.Role, err = intent.ParseRole(o.role); err != nil {
			return cli.Usage("%v", err)
		}
	}
	if changed("gate") {
		if f.Gates, err = one(slices.DeleteFunc(o.gates, func(s string) bool { return s == "" }), intent.ParseGate); err != nil {
			return err
		}
	}
	if changed("parent") {
		f.Parent = ""
		if o.parent != "" {
			r, err := d.find(o.parent)
			if err != nil {
				return err
			}
			f.Parent = r.ID
		}
	}
	if changed("needs") {
		f.Needs = nil
		for _, n := range o.needs {
			if n == "" {
				continue
			}
			r, err := d.find(n)
			if err != nil {
				return err
			}
			f.Needs = append(f.Needs, r.ID)
		}
		slices.Sort(f.Needs)
		f.Needs = slices.Compact(f.Needs)
	}
	return nil
}

func newOpen(env *cli.Env) *cobra.Command {
	var o fieldFlags
	var who string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "open TEXT | -",
		Short: "Ask for work: open an intent",
		Long: `Open an intent: what is asked for, as words or, for "-", on standard input. Its id is
printed. It is written without the secrets and personal paths that are found in it. A text
that a rule of .covenantignore, at the top of the work tree, keeps out is refused, and that is
recorded.

Gates must be shown something before the state that they guard: plan and fan_out before
in_progress, test_expansion before validation, security and docs before ready, escalation before
integrated.`,
		Example: `  covenant intent open 'The login page forgets the language'
  covenant intent open --name fix-login --priority high --scope 'web/**' --gate security --verify 'go test ./web/...' - <text
  covenant intent open --json 'Write the guide' | jq -r .id`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runOpen(cmd.Context(), env, &o, who, asJSON, args, cmd.Flags().Changed)
		},
	}
	o.bind(cmd)
	cmd.Flags().StringVar(&who, "identity", "", "act as this principal: a name, or the path of a private key")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// Written is an intent that was opened, moved or edited, with --json.
type Written struct {
	Type     string `json:"type"` // "intent"
	ID       string `json:"id"`
	Name     string `json:"name,omitempty"`
	State    string `json:"state"`
	Priority string `json:"priority"`
	Role     string `json:"role"`
	Title    string `json:"title"`
	From     string `json:"from,omitempty"` // the state it was in before
	Entry    string `json:"entry"`          // the statement that was written
	Digest   string `json:"digest"`         // of its state
}

func written(s *intent.Intent, from intent.State) Written {
	return Written{
		Type: "intent", ID: string(s.ID), Name: s.Fields.Name, State: string(s.State), Priority: string(s.Fields.Priority), Role: string(s.Fields.Role), Title: s.Fields.Title,
		From: string(from), Entry: string(s.Last), Digest: string(s.Digest()),
	}
}

func runOpen(ctx context.Context, env *cli.Env, o *fieldFlags, who string, asJSON bool, args []string, changed func(string) bool) error {
	text, err := read(ctx, env, args)
	if err != nil {
		return err
	}
	if text, err = work.Redacted(env, "the text", text); err != nil {
		return err
	}
	d, err := act(ctx, env, who)
	if err != nil {
		return err
	}
	defer d.Close()
	f := intent.Fields{Text: text, Title: intent.TitleOf(text), Priority: intent.Medium, Role: intent.Implementer}
	if err := o.apply(d, &f, changed); err != nil {
		return err
	}
	if err := d.heed(ctx, f.Text, f.Title); err != nil {
		return err
	}
	id, entry, err := d.book.Begin(ctx, d.sealer, intent.Opened{Fields: f})
	if err != nil {
		return explain(err)
	}
	if asJSON {
		s := intent.Intent{ID: id, Fields: f, State: intent.Proposed, Last: entry}
		return env.JSON(written(&s, ""))
	}
	_, err = fmt.Fprintln(env.Out, id)
	return err
}

// ignoreFile has the rules of what is not to be asked for, at the top of the work tree.
const ignoreFile = ".covenantignore"

// ignored returns the rule that keeps one of some texts out; "" for none.
func ignored(r *git.Repo, texts ...string) (string, error) {
	top := r.WorkTree()
	if top == "" {
		return "", nil
	}
	name := filepath.Join(top, ignoreFile)
	st, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err == nil && !st.Mode().IsRegular() { // nobody may write into a pipe
		err = errors.New("it is no file")
	}
	var b []byte
	if err == nil {
		var f *os.File
		if f, err = os.Open(name); err == nil { //nolint:gosec // of the work tree
			b, err = io.ReadAll(io.LimitReader(f, intent.MaxRuleFile+1))
			_ = f.Close()
		}
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", ignoreFile, err)
	}
	rules, err := intent.ParseRules(string(b))
	if err != nil {
		return "", cli.Hint(fmt.Errorf("%s: %w", ignoreFile, err), "it has one rule a line, at most 256")
	}
	for _, text := range texts {
		if rule, no := intent.Ignored(rules, text); no {
			return rule, nil
		}
	}
	return "", nil
}

// refusedBy says that a rule keeps a text out.
func refusedBy(rule string, hints ...string) error {
	return cli.No(cli.Hint(fmt.Errorf("refused: the rule %q of %s keeps this text out", rule, ignoreFile), append([]string{"say it otherwise, or change the rule"}, hints...)...))
}

// heed refuses texts of which a rule keeps one out, and records that it did.
func (d *desk) heed(ctx context.Context, texts ...string) error {
	rule, err := ignored(d.Session.Repo(), texts...)
	if err != nil || rule == "" {
		return err
	}
	e := event.Event{Kind: "intent_ignored", Outcome: event.Ignored, Data: map[string]any{"rule": rule}}
	if _, err := audit.Append(ctx, d.sealer, false, e); err != nil {
		d.Env.Talk().Warn("that it was refused could not be recorded: %v", err)
	}
	return refusedBy(rule, "see such refusals: covenant audit log --kind intent_ignored")
}

func newEdit(env *cli.Env) *cobra.Command {
	var o fieldFlags
	var who, text string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "edit ID",
		Short: "Change what an intent says",
		Long: `Change what an intent says. What is not named stays as it is; a flag with an empty text
empties it. To take a gate away needs intent.waive beside intent.edit.`,
		Example: `  covenant intent edit fix-login --priority critical --next 'ask the designers'
  covenant intent edit fix-login --needs 1a2b3c4d --gate security --gate docs
  covenant intent edit fix-login --text - <text`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: complete(env),
		RunE: func(cmd *cobra.Command, args []string) error {
			changed := cmd.Flags().Changed
			if changed("text") { // nobody else waits for who types
				var err error
				if text, err = read(cmd.Context(), env, []string{text}); err != nil {
					return err
				}
				if text, err = work.Redacted(env, "the text", text); err != nil {
					return err
				}
			}
			d, err := act(cmd.Context(), env, who)
			if err != nil {
				return err
			}
			defer d.Close()
			r, err := d.find(args[0])
			if err != nil {
				return err
			}
			s, err := d.book.Edit(cmd.Context(), d.sealer, r.ID, func(f *intent.Fields) error {
				if changed("text") {
					f.Text = text
				}
				if err := o.apply(d, f, changed); err != nil {
					return err
				}
				if changed("text") || changed("title") {
					return d.heed(cmd.Context(), f.Text, f.Title)
				}
				return nil
			})
			if err != nil {
				return explain(err)
			}
			if asJSON {
				return env.JSON(written(s, ""))
			}
			_, err = fmt.Fprintf(env.Out, "%s %s\n", env.Palette().Good("edited"), s.ID)
			return err
		},
	}
	o.bind(cmd)
	cmd.Flags().StringVar(&text, "text", "", "what is asked for, or - for standard input")
	cmd.Flags().StringVar(&who, "identity", "", "act as this principal: a name, or the path of a private key")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func compact(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(b)
}
