package handoffcmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
	form "github.com/open-covenant/covenant-git/envelope/handoff"
	"github.com/open-covenant/covenant-git/envelope/redaction"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/audit"
	"github.com/open-covenant/covenant-git/git/handoff"
	"github.com/open-covenant/covenant-git/git/intents"
	"github.com/open-covenant/covenant-git/git/provenance"
	"github.com/open-covenant/covenant-git/hooks"
)

type creating struct {
	who, bundle, most, file string
	evidence                []string
	secrets, json           bool
	handoff.Creating
}

func newCreate(env *cli.Env) *cobra.Command {
	var o creating
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Hand off the work tree as it is",
		Long: `Take what is staged, what is not, and the files that are not tracked into commits, and sign
a statement that names them, with what the next session must know. Nothing changes here: not
HEAD, not the index, not the work tree, not the stash.

Not in it, and told: files above --max-file, or beyond --max-bytes together; untracked files
that hold a secret, unless --include-secrets; changes within submodules; repositories within.
A conflict, or a merge or rebase that is not finished, is finished first.

It goes to others with "covenant sync", with a push, or as a file: --bundle writes all that
is needed to verify and apply it to where nothing can be fetched from here. A bundle leaves
out the commits that remote-tracking branches have.`,
		Example: `  covenant handoff create --note 'parser done, tests red' --next 'mend TestQuote' --question 'keep v1 of the format?'
  covenant handoff create --intent 8f3c --bundle work.bundle`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runCreate(cmd.Context(), env, o) },
	}
	f := cmd.Flags()
	f.StringVarP(&o.Note, "note", "m", "", "what the next one should know")
	f.StringVar(&o.Next, "next", "", "what is to be done next")
	f.StringArrayVar(&o.Questions, "question", nil, "a question that is open; can be given several times")
	f.StringVar(&o.Intent, "intent", "", "the intent that the work is for: an id, a name, or the beginning of one (default: COVENANT_INTENT, else covenant.intent of the configuration)")
	f.StringVar(&o.IntentState, "intent-state", "", "the digest of its state, where it is not kept here")
	f.StringArrayVar(&o.evidence, "evidence", nil, "the id of evidence; can be given several times")
	f.StringArrayVar(&o.Memory, "memory", nil, "a reference to memory; can be given several times")
	f.StringVar(&o.bundle, "bundle", "", "write it to this file, too")
	f.StringVar(&o.most, "max-bytes", "256m", "how much is taken together")
	f.StringVar(&o.file, "max-file", "32m", "how large a file may be")
	f.BoolVar(&o.secrets, "include-secrets", false, "take untracked files that hold a secret, too")
	f.StringVar(&o.who, "identity", "", "act as this principal: a name, or the path of a private key")
	f.BoolVar(&o.json, "json", false, "print one JSON object")
	return cmd
}

func runCreate(ctx context.Context, env *cli.Env, o creating) error {
	for _, text := range o.evidence {
		d, err := envelope.ParseDigest(text)
		if err != nil {
			return cli.Usage("--evidence takes the id of evidence, sha256: and 64 digits, not %.80q", text)
		}
		o.Evidence = append(o.Evidence, d)
	}
	var err error
	if o.Limits.Total, err = size("--max-bytes", o.most); err != nil {
		return err
	}
	if o.Limits.File, err = size("--max-file", o.file); err != nil {
		return err
	}
	if err := work.Refuse(env, "the intent", o.Intent); err != nil {
		return err
	}
	for what, text := range o.texts() {
		if *text, err = work.Redacted(env, what, *text); err != nil {
			return err
		}
	}
	w, err := work.Open(ctx, env)
	if err != nil {
		return err
	}
	defer w.Close()
	w.Explicit, o.Creating.Secrets = o.who, o.secrets
	x, err := audit.Redactor(env.Environ, work.ConfigDir(env))
	if err != nil {
		return err
	}
	o.Secret = func(data []byte) string {
		for _, h := range x.Scan(string(data[:min(len(data), scanned)])) {
			if slices.Contains(sure, h.Rule) {
				return string(h.Rule)
			}
		}
		return ""
	}
	k, err := w.Writer()
	if err != nil {
		return err
	}
	if err := o.about(ctx, w, k); err != nil {
		return err
	}
	made, err := handoff.Create(ctx, k, o.Creating)
	if errors.Is(err, form.ErrInvalid) {
		return cli.Hint(err, "see what a handoff may hold: covenant handoff create --help")
	}
	if errors.Is(err, git.ErrUnsound) {
		return cli.No(cli.Hint(fmt.Errorf("nobody could take it up: %w", err), "mend the file that Git tells of, or move it away; nothing was recorded"))
	}
	if err != nil {
		return explain(err, "ID")
	}
	if o.bundle != "" {
		if err := handoff.WriteBundle(ctx, w.Session, made.ID, env.Path(o.bundle)); err != nil {
			return cli.Hint(fmt.Errorf("handoff %s is recorded, and its bundle could not be written: %w", handoff.Short(made.ID), err), "try again, or send it with: covenant sync")
		}
	}
	tellLeft(env, &made.Creation)
	for i, s := range made.Suspects {
		if i == maxTold {
			break
		}
		env.Talk().Warn("%s holds a secret (%s), and is in the handoff: it is tracked, or --include-secrets was given", say.Name(s.Path), s.Rule)
	}
	l := lineOf(made.ID, &made.Creation)
	l.Time, l.Principal, l.Kind, l.Accountable = envelope.Timestamp(env.Now()), k.Hand.Principal.Name, k.Hand.Principal.Kind, k.Hand.Principal.Accountable
	l.Bundle, l.Here = o.bundle, true
	if o.json {
		return env.JSON(l)
	}
	if _, err := fmt.Fprintf(env.Out, "%s %s, %d bytes\n", made.ID, say.Count(made.Files, "file"), made.Bytes); err != nil {
		return err
	}
	env.Talk().Hint("who takes it up: covenant handoff apply " + handoff.Short(made.ID) + "; it gets there with: covenant sync")
	return nil
}

// about finds out which intent the work is for, and what that came to. Who names one means one that is known here, unless its state is told, too;
// what the environment or the configuration names is taken as commits take it.
func (o *creating) about(ctx context.Context, w *work.Work, k *provenance.Sealer) (err error) {
	named := o.Intent != ""
	switch {
	case named && o.IntentState != "":
		return nil
	case !named:
		if o.Intent, err = hooks.Intent(w.Env.Environ, work.ConfigDir(w.Env), w.Session.Repo()); err != nil {
			return cli.Usage("%v", err)
		}
	}
	if o.Intent == "" || o.IntentState != "" {
		return nil
	}
	book, err := intents.Open(ctx, w.Session, k.Root, w.Cache(false))
	if err != nil {
		return work.Explain(err)
	}
	defer book.Close()
	row, err := book.Find(o.Intent)
	if err == nil {
		var state envelope.Digest
		if state, _, err = book.StateOf(row.ID); err == nil {
			o.Intent, o.IntentState = string(row.ID), string(state)
			return nil
		}
	}
	if !named {
		return nil
	}
	return cli.Hint(err, "see what there is: covenant intent list --all", "of one that is kept elsewhere, tell its state, too: --intent-state DIGEST")
}

// sure are the rules of redaction whose hits are secrets, whatever is around them.
var sure = []redaction.Rule{
	redaction.Known, redaction.PrivateKey, redaction.AgeKey, redaction.AWSAccessKey, redaction.AWSSecretKey, redaction.GCPKey, redaction.AzureKey,
	redaction.GitHubToken, redaction.GitLabToken, redaction.AtlassianToken, redaction.AnthropicKey, redaction.OpenAIKey, redaction.HuggingFace, redaction.ModelKey,
	redaction.SlackToken, redaction.StripeKey, redaction.SendGridKey, redaction.TwilioKey, redaction.TelegramToken, redaction.NPMToken, redaction.PyPIToken, redaction.ServiceToken,
	redaction.Netrc, redaction.PGPass,
}

// scanned is how much of a file is looked at for secrets.
const scanned = 4 << 20

// texts are what people write, by what it is.
func (o *creating) texts() map[string]*string {
	out := map[string]*string{"note": &o.Note, "next": &o.Next}
	for i := range o.Questions {
		out[fmt.Sprintf("question %d", i+1)] = &o.Questions[i]
	}
	for i := range o.Memory {
		out[fmt.Sprintf("memory %d", i+1)] = &o.Memory[i]
	}
	return out
}

// size reads a number of bytes such as 64m or 1g.
func size(flag, text string) (int64, error) {
	unit := int64(1)
	digits := strings.ToLower(text)
	for suffix, n := range map[string]int64{"k": 1 << 10, "m": 1 << 20, "g": 1 << 30} {
		if rest, ok := strings.CutSuffix(digits, suffix); ok {
			digits, unit = rest, n
			break
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n <= 0 || n > (1<<40)/unit {
		return 0, cli.Usage("%s: %.40q is no size, such as 64m or 1g", flag, text)
	}
	return n * unit, nil
}
