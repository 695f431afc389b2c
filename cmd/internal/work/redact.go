package work

import (
	"context"
	"errors"
	"slices"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/envelope/redaction"
	"github.com/open-covenant/covenant-git/git/audit"
	"github.com/open-covenant/covenant-git/runtime/gate"
)

// Redacted is what a text becomes before it is written; what was taken out is told, by its rule.
func Redacted(env *cli.Env, what, text string) (string, error) {
	x, err := audit.Redactor(env.Environ, ConfigDir(env))
	if err != nil {
		return "", err
	}
	out, hits := x.Redact(text)
	for _, h := range hits {
		env.Talk().Warn("%s: redacted: %s", what, h.Rule)
	}
	return out, nil
}

// Refuse refuses words that would be written as they are, since they name what is acted on, where a secret is in one.
func Refuse(env *cli.Env, what string, words ...string) error {
	err := audit.Refuse(env.Environ, ConfigDir(env), words...)
	if errors.Is(err, audit.ErrSecret) {
		return cli.Hint(cli.Usage("%s: %w", what, err), "say it without the secret; what each rule means: docs/spec/redaction.md")
	}
	return err
}

// Redactors are the programs that the configuration names for finding more secrets than the rules do.
func (w *Work) Redactors() (*gate.Redactors, error) {
	cfg := w.Session.Repo().Config()
	r, err := gate.Here(w.Env.Exe, ConfigDir(w.Env), cfg.Get, w.Env.Lookup).Redactors(cfg.All)
	return r, unanswered(err)
}

// Redactor takes out of texts what the rules find, and what redactors find in them. What the latter found is told, by their rules.
func (w *Work) Redactor(ctx context.Context, r *gate.Redactors, texts ...string) (*redaction.Redactor, error) {
	found, err := r.Find(ctx, texts...)
	if err != nil {
		return nil, unanswered(err)
	}
	var secrets, told []string
	for _, s := range found {
		secrets = append(secrets, s.Text)
		if !slices.Contains(told, s.Rule) {
			told = append(told, s.Rule)
			w.Env.Talk().Warn("a redactor found a secret: %s", s.Rule)
		}
	}
	return audit.Redactor(w.Env.Environ, ConfigDir(w.Env), secrets...)
}

// unanswered says what to do where a redactor is not there, or gives no answer: nothing is written that it did not look at.
func unanswered(err error) error {
	if err == nil {
		return nil
	}
	hints := []string{"nothing is written that a redactor did not look at; see what is wrong: covenant plugin redactors", "do without: covenant plugin redactors --remove NAME"}
	var own *gate.Error
	if errors.As(err, &own) && own.Hint != "" {
		hints = append([]string{own.Hint}, hints...)
	}
	return cli.Hint(err, hints...)
}
