package work

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/identity/openpgp"
)

// PublicKey reads a public key as people give it: the path of a .pub file, its
// text, what gpg --export --armor prints, or "-" for standard input.
func PublicKey(env *cli.Env, text string) (identity.PublicKey, error) {
	switch {
	case text == "-":
		b, err := io.ReadAll(io.LimitReader(env.In, 1<<16))
		if err != nil {
			return nil, err
		}
		text = string(b)
	case !strings.HasPrefix(text, "ssh-") && !strings.HasPrefix(text, "ecdsa-") && !strings.HasPrefix(text, "sk-") && !strings.HasPrefix(text, "openpgp:"):
		b, err := os.ReadFile(env.Path(text))
		if err != nil {
			return nil, cli.Hint(err, "--key takes a public key: the path of a .pub file, its text, or - for standard input")
		}
		if len(b) > 1<<16 {
			return nil, fmt.Errorf("%s is no public key: it is too large", text)
		}
		text = string(b)
	}
	if strings.Contains(text, "PRIVATE KEY-----") || strings.Contains(text, "PRIVATE KEY BLOCK") {
		return nil, cli.Hint(errors.New("this is a private key"), "give the public half; it is usually in the file of the same name with .pub")
	}
	if strings.HasPrefix(text, "-----BEGIN PGP") {
		return openpgp.Import([]byte(text))
	}
	return identity.ParsePublicKey(strings.TrimSpace(text))
}

// LoadKey returns the signer of a private key as people name it: a file, "agent" for
// the one key in ssh-agent, "agent:" and a key id, or "openpgp:" and a fingerprint.
// where is what [provenance.KeyOf] says in the configuration.
func (w *Work) LoadKey(key string) (s identity.Signer, where string, err error) {
	c := w.Choice()
	if key == "agent" {
		s, err := identity.FromAgent(c.AgentSock, "")
		return s, "agent", cli.Hint(err, "see what it has: ssh-add -l", "name a key file instead: --key PATH")
	}
	if id, ok := strings.CutPrefix(key, "agent:"); ok {
		s, err := identity.FromAgent(c.AgentSock, id)
		return s, "agent", err
	}
	if fpr, ok := strings.CutPrefix(key, "openpgp:"); ok {
		pub, err := openpgp.GPG{Env: w.Env.Environ}.Key(fpr)
		if err != nil {
			return nil, "", err
		}
		s, err := c.GPG(pub)
		return s, "openpgp", err
	}
	path := w.Env.Path(key)
	if s, err = c.LoadKey(path); err != nil {
		err = fmt.Errorf("key %s: %w", path, err)
		switch {
		case errors.Is(err, identity.ErrNoKey), errors.Is(err, os.ErrNotExist):
			err = cli.Hint(err, "--key takes the file of a private key, \"agent\" for the one in ssh-agent, or openpgp:FINGERPRINT; without it one is made")
		case errors.Is(err, identity.ErrPassphrase):
			err = cli.Hint(err, "put it into ssh-agent: ssh-add "+say.Shell(path), "or type the command on a terminal")
		}
		return nil, "", err
	}
	return s, path, nil
}
