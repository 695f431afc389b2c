package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope/event"
	"github.com/open-covenant/covenant-git/envelope/redaction"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// Redactor takes secrets and personal paths out of what people and programs tell, before it is written. It knows the values of variables
// of an environment that are named like secrets, the home that it names, and other values that somebody knows to be secrets; the key of its
// marks is the user's.
func Redactor(environ []string, configDir string, secrets ...string) (*redaction.Redactor, error) {
	home := ""
	secrets = slices.Clone(secrets)
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		if name == "HOME" {
			home = value
		}
		if secretName(name) {
			secrets = append(secrets, value)
		}
	}
	return redaction.New(redaction.Rules{}.For(redaction.Person{Home: home}).Secrets(secrets...), provenance.RedactionKey(configDir))
}

// Refuse says [ErrSecret] of words that are written as they are, since they name what is acted on, where a secret is in one. Personal paths are
// none here: a path says where something is.
func Refuse(environ []string, configDir string, words ...string) error {
	x, err := Redactor(environ, configDir)
	if err != nil {
		return err
	}
	for _, w := range words {
		for _, h := range x.Scan(w) {
			if h.Rule != redaction.Home {
				return fmt.Errorf("%w (%s)", ErrSecret, h.Rule)
			}
		}
	}
	return nil
}

// ErrSecret says that a secret is in what can't be redacted.
var ErrSecret = errors.New("it has a secret in it, and would be written as it is")

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

// Redact takes secrets and personal paths out of an event before it is written: history does not forget. It returns what was found.
func Redact(x *redaction.Redactor, e *event.Event) ([]redaction.Hit, error) {
	var hits []redaction.Hit
	for path, s := range map[string]*string{"/intent": &e.Intent, "/session": &e.Session} {
		text, found := x.Redact(*s)
		if len(text) > event.MaxWord { // marks can be longer than what they stand for
			text = strings.ToValidUTF8(text[:event.MaxWord], "")
		}
		for i := range found {
			found[i].Path = path
		}
		*s, hits = text, append(hits, found...)
	}
	if len(e.Data) == 0 {
		return hits, nil
	}
	data, found, err := x.Value(e.Data)
	if err != nil {
		return nil, err
	}
	e.Data, _ = data.(map[string]any)
	return append(hits, found...), nil
}

// Texts are all that an event says in words, names of its data included: what [Redact] looks at.
func Texts(e *event.Event) []string {
	out := []string{e.Intent, e.Session}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			out = append(out, v)
		case []any:
			for _, x := range v {
				walk(x)
			}
		case map[string]any:
			for name, x := range v {
				out = append(out, name)
				walk(x)
			}
		}
	}
	walk(e.Data)
	return out
}

// Scan finds what slipped through: secrets and personal paths in what a record says.
func Scan(x *redaction.Redactor, r *Record) ([]redaction.Hit, error) {
	said, err := Said(r)
	if err != nil {
		return nil, err
	}
	_, hits, err := x.Value(said)
	return hits, err
}

// Said is all that a record says, as a value of JSON.
func Said(r *Record) (map[string]any, error) {
	said := map[string]any{}
	for _, f := range r.Data {
		var v any
		if err := json.Unmarshal(f.Value, &v); err != nil {
			return nil, err
		}
		said[f.Name] = v
	}
	for name, text := range map[string]string{"intent": r.Intent, "session": r.Session} {
		if text != "" {
			said[name] = text
		}
	}
	return said, nil
}
