package work

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/identity/openpgp"
)

// maxPublic is how many bytes the text of a public key may have.
const maxPublic = 1 << 16

// PublicKey reads a public key as people give it: the path of a .pub file, its
// text, what gpg --export --armor prints, or "-" for standard input.
func PublicKey(ctx context.Context, env *cli.Env, text string) (identity.PublicKey, error) {
	file := ""
	switch {
	case text == "-":
		b, err := env.Read(ctx, "-", maxPublic)
		if err != nil {
			return nil, err
		}
		text = string(b)
	case !strings.HasPrefix(text, "ssh-") && !strings.HasPrefix(text, "ecdsa-") && !strings.HasPrefix(text, "sk-") && !strings.HasPrefix(text, "openpgp:"):
		b, err := env.Read(ctx, text, maxPublic)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			return nil, cli.Hint(err, "--key takes a public key: the path of a .pub file, its text, or - for standard input")
		}
		if len(b) > maxPublic {
			return nil, fmt.Errorf("%s is no public key: it is too large", text)
		}
		file, text = text, string(b)
	}
	if private(text) {
		return nil, cli.Hint(fmt.Errorf("%s: %w", cmp.Or(say.Name(file), "the key"), errPrivate), publicHalf(env, file)...)
	}
	if strings.HasPrefix(text, "-----BEGIN PGP") {
		return openpgp.Import([]byte(text))
	}
	return identity.ParsePublicKey(strings.TrimSpace(text))
}

var errPrivate = errors.New("this is a private key, which its holder shows to nobody; here its public half is wanted")

// private reports whether a text is a private key, whatever kind.
func private(text string) bool {
	return strings.Contains(text, "PRIVATE KEY-----") || strings.Contains(text, "PRIVATE KEY BLOCK")
}

// publicHalf tells where the public half is of a private key in a file; "" where it came otherwise.
func publicHalf(env *cli.Env, file string) []string {
	switch _, err := os.Stat(env.Path(file) + ".pub"); {
	case file == "":
		return []string{"print it: ssh-keygen -y -f FILE"}
	case err == nil:
		return []string{"it is here: --key " + say.Shell(file+".pub")}
	}
	return []string{"make it: ssh-keygen -y -f " + say.Shell(file) + " >" + say.Shell(file+".pub"), "then: --key " + say.Shell(file+".pub")}
}

// NotAName says what is meant where a person gave the path of a key in the place of a name; nil where it is no such file.
func NotAName(env *cli.Env, name string) error {
	st, err := os.Stat(env.Path(name))
	if name == "" || err != nil || !st.Mode().IsRegular() || st.Size() > 1<<16 {
		return nil
	}
	b, err := os.ReadFile(env.Path(name))
	if err != nil {
		return nil //nolint:nilerr // it is told as a name that nobody has
	}
	if private(string(b)) {
		return cli.Hint(fmt.Errorf("%s: %w", say.Name(name), errPrivate), publicHalf(env, name)...)
	}
	if _, err := identity.ParsePublicKey(strings.TrimSpace(string(b))); err != nil {
		return nil //nolint:nilerr // likewise
	}
	return cli.Hint(fmt.Errorf("%s is the file of a key, and no name", say.Name(name)), "name its holder, too: --to NAME --key "+say.Shell(name))
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
