package work

import (
	"fmt"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// Pinned is a version of the trust root that was pinned, and where.
type Pinned struct {
	Digest envelope.Digest
	Source string // "--root", "COVENANT_ROOT" or "git config covenant.root", as people type it
}

// Config says how people find the pin of the configuration.
const Config = "git config " + provenance.PinKey

// Digest reads the digest of a version of the trust root that a person gave; from says where.
func Digest(from, text string) (envelope.Digest, error) {
	d, err := envelope.ParseDigest(text)
	if err != nil {
		return "", cli.Hint(fmt.Errorf("%s: %w", from, err), "an operator tells it, whole: covenant trust show, or "+Config)
	}
	return d, nil
}

// Pin returns the digest of the trust root that the person or the clone has pinned.
func (w *Work) Pin(explicit string) (envelope.Digest, error) {
	p, err := w.PinFrom(explicit)
	return p.Digest, err
}

// PinFrom is Pin, and says where the pin came from: explicit (--root), else
// COVENANT_ROOT, else the configuration. Of two that are versions of one chain the later one
// counts: a pin is a floor. Where two of them differ otherwise nothing is decided, and the error names both.
func (w *Work) PinFrom(explicit string) (Pinned, error) {
	configured, _ := w.Session.Repo().Config().Get(provenance.PinKey)
	var found Pinned
	for _, p := range []struct{ text, source string }{{explicit, "--root"}, {w.Env.Value("COVENANT_ROOT"), "COVENANT_ROOT"}, {configured, Config}} {
		if p.text == "" {
			continue
		}
		d, err := Digest(p.source, p.text)
		if err != nil {
			return Pinned{}, err
		}
		if found.Digest != "" && found.Digest != d {
			if later, ok := provenance.Later(w.Session, found.Digest, d); ok {
				if later == d {
					found = Pinned{d, p.source}
				}
				continue
			}
			hints := []string{"find out which one an operator stands by, and take the other one away"}
			if p.source == Config {
				later := "when " + found.Source + " says a later version than this clone has seen: "
				if found.Source == "COVENANT_ROOT" {
					later += "env -u COVENANT_ROOT "
				}
				hints = append(hints, later+"covenant sync", "what this clone has pinned: "+Config)
			}
			return Pinned{}, cli.Hint(fmt.Errorf("the pins of the trust root disagree: %s says %s, %s says %s", found.Source, found.Digest, p.source, d), hints...)
		}
		if found.Digest == "" {
			found = Pinned{d, p.source}
		}
	}
	if found.Digest != "" {
		return found, nil
	}
	_, err := provenance.Pin(w.Session, "") // says why there is none
	return Pinned{}, Explain(err)
}
