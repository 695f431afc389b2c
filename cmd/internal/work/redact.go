package work

import (
	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/git/audit"
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
