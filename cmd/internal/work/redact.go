package work

import (
	"strings"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/envelope/redaction"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// Redactor takes secrets and personal paths out of what people and programs tell, before it is written. It knows the values
// of variables of the environment that are named like secrets, and this user's home.
func Redactor(env *cli.Env) (*redaction.Redactor, error) {
	home, _ := env.Lookup("HOME")
	var secrets []string
	for _, kv := range env.Environ {
		name, value, _ := strings.Cut(kv, "=")
		if secretName(name) {
			secrets = append(secrets, value)
		}
	}
	return redaction.New(redaction.Rules{}.For(redaction.Person{Home: home}).Secrets(secrets...), provenance.RedactionKey(ConfigDir(env)))
}

// secretName reports whether a variable is named like one that holds a secret.
func secretName(name string) bool {
	name = strings.ToUpper(name)
	if strings.HasSuffix(name, "_SOCK") || strings.HasSuffix(name, "_FILE") || strings.HasSuffix(name, "_PATH") {
		return false
	}
	for _, word := range []string{"TOKEN", "SECRET", "PASSWORD", "PASSWD", "API_KEY", "APIKEY", "ACCESS_KEY", "PRIVATE_KEY", "CREDENTIAL"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// Redacted is what a text becomes before it is written; what was taken out is told, by its rule.
func Redacted(env *cli.Env, what, text string) (string, error) {
	x, err := Redactor(env)
	if err != nil {
		return "", err
	}
	out, hits := x.Redact(text)
	for _, h := range hits {
		env.Talk().Warn("%s: redacted: %s", what, h.Rule)
	}
	return out, nil
}
