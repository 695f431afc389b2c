package gate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/open-covenant/covenant-git/envelope/redaction"
	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

// RedactorPrefix begins the names of programs of redactors.
const RedactorPrefix = "covenant-redactor-"

// RedactorKey is the key of the configuration that names redactors, one in each value. What it says is the user's own: no repository brings
// configuration with it.
const RedactorKey = "covenant.redactor"

// RedactorPathKey is the key of a redactor's program.
func RedactorPathKey(name string) string { return RedactorKey + "." + name + ".path" }

// RedactorDigestKey is the key of the digest that a redactor is pinned to.
func RedactorDigestKey(name string) string { return RedactorKey + "." + name + ".digest" }

// Redactors says whom to ask for secrets in texts. The zero value asks nobody, and finds nothing.
type Redactors struct {
	Program string   // covenant-gate
	Plugins []Plugin // all are asked
	Timeout time.Duration
	Env     []string // of covenant-gate itself
}

// Redactors finds the redactors that the configuration names.
func (l Local) Redactors(all func(key string) []string) (*Redactors, error) {
	r := &Redactors{Program: l.Program, Env: l.Env}
	for _, name := range all(RedactorKey) {
		if name == "" || slices.ContainsFunc(r.Plugins, func(p Plugin) bool { return p.Name == name }) {
			continue
		}
		path, err := l.Redactor(name, last(all(RedactorPathKey(name))))
		if err != nil {
			return nil, fmt.Errorf("redactor %s: %w", name, err)
		}
		digest := last(all(RedactorDigestKey(name)))
		if digest == "" {
			return nil, fmt.Errorf("redactor %s: %s says no digest", name, RedactorDigestKey(name))
		}
		r.Plugins = append(r.Plugins, Plugin{Name: name, Path: path, Digest: digest})
	}
	if len(r.Plugins) > MaxPlugins {
		return nil, fmt.Errorf("%d redactors: at most %d", len(r.Plugins), MaxPlugins)
	}
	return r, nil
}

func last(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

// Redactor finds the program of a redactor: at the configured path, else in the folders of plugins.
func (l Local) Redactor(name, configured string) (string, error) {
	if !ValidName(name) {
		return "", fmt.Errorf("%.80q is no name of a plugin", name)
	}
	if configured != "" {
		if !filepath.IsAbs(configured) {
			return "", fmt.Errorf("%s: %s is no absolute path", RedactorPathKey(name), configured)
		}
		return configured, program(configured)
	}
	return in(l.Dirs, RedactorPrefix+name)
}

// TextsDocument is what covenant-gate reads to ask redactors.
type TextsDocument struct {
	Version int      `json:"version"`
	Timeout int64    `json:"timeout,omitempty"` // in milliseconds
	Texts   []string `json:"texts"`
	Plugins []Plugin `json:"plugins"`
}

// FoundDocument is what it answers: of each plugin, in their order, what it found, or why it did not answer.
type FoundDocument struct {
	Version int         `json:"version"`
	Plugins []SaidFound `json:"plugins"`
}

// SaidFound is what one redactor says.
type SaidFound struct {
	Plugin  string             `json:"plugin"` // with the digest
	Found   [][]pluginapi.Span `json:"found,omitempty"`
	Failure pluginapi.Failure  `json:"failure,omitempty"`
	Error   string             `json:"error,omitempty"`
}

// A Secret is a part of a text that a redactor takes for one.
type Secret struct {
	Text string // what was named, or a part of it between marks
	Rule string // of the redactor, after its name: "gitleaks/github-pat"
}

// ErrRedactor says that a redactor gave no answer. Nothing it was to look at may be written.
var ErrRedactor = errors.New("a redactor gave no answer")

// Find asks all redactors about texts, and returns the secrets that are in them, each once. The texts are those that will be written, letter
// by letter: one that is no UTF-8 is refused, since what a redactor names would not be found in it. Where one gives no answer the error wraps
// [ErrRedactor].
func (r *Redactors) Find(ctx context.Context, texts ...string) ([]Secret, error) {
	asked := slices.DeleteFunc(slices.Clone(texts), func(t string) bool { return t == "" })
	if r == nil || len(r.Plugins) == 0 || len(asked) == 0 {
		return nil, nil
	}
	if i := slices.IndexFunc(asked, func(t string) bool { return !utf8.ValidString(t) }); i >= 0 {
		return nil, fmt.Errorf("%w: a text of %d bytes is not UTF-8", ErrRedactor, len(asked[i]))
	}
	timeout := r.Timeout
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	doc, err := json.Marshal(TextsDocument{Version, (timeout * 9 / 10).Milliseconds(), asked, r.Plugins})
	if err == nil && len(doc) > MaxDocument {
		err = fmt.Errorf("%d bytes are more than can be looked at", len(doc))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRedactor, err)
	}
	if _, err := os.Stat(r.Program); err != nil || r.Program == "" {
		return nil, missing(r.Program, err)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	g := Gate{Program: r.Program, Env: r.Env}
	b, err := g.exec(ctx, "redact", bytes.NewReader(doc), nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRedactor, err)
	}
	return r.read(b, asked)
}

func (r *Redactors) read(b []byte, texts []string) ([]Secret, error) {
	var said FoundDocument
	if err := pluginapi.Decode(b, &said); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRedactor, err)
	}
	if said.Version != Version || len(said.Plugins) != len(r.Plugins) {
		return nil, fmt.Errorf("%w: covenant-gate answers of %d plugins, of %d", ErrRedactor, len(said.Plugins), len(r.Plugins))
	}
	var out []Secret
	seen := map[string]bool{}
	for i, s := range said.Plugins {
		p := &r.Plugins[i]
		if s.Plugin != p.FullName() {
			return nil, fmt.Errorf("%w: an answer of %.100q, not %s", ErrRedactor, s.Plugin, p.FullName())
		}
		if s.Failure != "" {
			return nil, fmt.Errorf("%w: %s: %s: %s", ErrRedactor, p.Name, s.Failure, s.Error)
		}
		if err := pluginapi.CheckFound(s.Found, texts); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrRedactor, p.Name, err)
		}
		for j, list := range s.Found {
			if len(list) == 0 {
				continue
			}
			unmarked := redaction.Unmarked(texts[j])
			for _, at := range list {
				for _, text := range unmarked(at.Start, at.End) {
					if len(text) >= redaction.MinSecret && !seen[text] {
						seen[text] = true
						out = append(out, Secret{text, p.Name + "/" + at.Rule})
					}
				}
				if len(out) > redaction.MaxSecrets { // more than anybody looks for
					return nil, fmt.Errorf("%w: %s: %w", ErrRedactor, p.Name, redaction.ErrSecrets)
				}
			}
		}
	}
	return out, nil
}
