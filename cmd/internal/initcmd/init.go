// Package initcmd is the command "init": it puts a repository under governance.
package initcmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/hookscmd"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/terminal"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/git/provenance"
	"github.com/open-covenant/covenant-git/hooks"
)

type options struct {
	operator, key, root string
	expires             string
	remote              string
	noHooks, passphrase bool
	noFetch, json       bool
}

// New returns the command.
func New(env *cli.Env) *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Put this repository under governance, with you as its operator",
		Long: `Put this repository under governance: write version 1 of its trust root with one
operator, pin it in this clone, and install the hooks that seal every commit.
History up to now stays as it is, and is told as "before".

The operator's key is the one Git signs with already (user.signingkey, in a file
or in ssh-agent, when gpg.format is ssh), else a new one in your configuration
directory.

In a clone of a repository that is governed already, init joins it: it fetches the
trust root, shows its digest and operators, and pins it when you say that you
compared it, or when --root names it. All remotes are asked; nothing is founded
while one can't be reached, or another than the branch's is governed, nor where commits
say that they were made in a governed repository which no remote has, as in a fork.
A file .covenant of the work tree is shown, and believed by nobody.`,
		Example: `  covenant init
  covenant init --operator alice --key ~/.ssh/id_ed25519
  covenant init --key agent
  covenant init --root sha256:…`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), env, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.operator, "operator", "", "name of the operator (default: from user.name)")
	f.StringVar(&o.key, "key", "", "private key file, \"agent\" for the key in ssh-agent, or openpgp:FINGERPRINT for one of gpg (default: user.signingkey, else a new key)")
	f.StringVar(&o.root, "root", "", "in a clone of a governed repository: the digest of its trust root, got from somebody you trust")
	f.StringVar(&o.expires, "expires", "", "when the trust root expires, such as 2027-01-31 or 365d (default: never)")
	f.StringVar(&o.remote, "remote", "", "where to look whether the repository is governed already (default: all remotes)")
	f.BoolVar(&o.noFetch, "no-fetch", false, "do not look: use no network")
	f.BoolVar(&o.noHooks, "no-hooks", false, "do not install hooks")
	f.BoolVar(&o.passphrase, "passphrase", false, "ask for a passphrase for the new key")
	f.BoolVar(&o.json, "json", false, "print one JSON object")
	return cmd
}

// Made is what init prints with --json.
type Made struct {
	Type     string   `json:"type"` // "init"
	Root     string   `json:"root"`
	Operator string   `json:"operator,omitempty"`
	Key      string   `json:"key,omitempty"` // key id
	Joined   bool     `json:"joined"`        // the root was there already
	Hooks    []string `json:"hooks"`
}

func run(ctx context.Context, env *cli.Env, o options) error {
	w, err := work.Open(ctx, env)
	if err != nil {
		return err
	}
	defer w.Close()
	made := Made{Type: "init", Hooks: []string{}}
	found, err := provenance.RootDigest(w.Session)
	switch {
	case err == nil:
		if err := o.joins(); err != nil {
			return err
		}
		pinned, err := join(ctx, w, o, found)
		if err != nil {
			return err
		}
		made.Root, made.Joined = string(pinned), true
	case errors.Is(err, provenance.ErrNotGoverned):
		pinned, err := joinRemote(ctx, w, o)
		if err != nil {
			return err
		}
		if pinned != "" {
			made.Root, made.Joined = string(pinned), true
			break
		}
		if pinned, ok := w.Session.Repo().Config().Get(provenance.PinKey); ok {
			return cli.Hint(fmt.Errorf("this clone pins trust root %s, which is not here", pinned),
				"fetch it from a remote that has it: covenant sync REMOTE", "or give the pin up: git config --unset covenant.root")
		}
		if err := rival(ctx, w, o); err != nil {
			return err
		}
		if err := establish(ctx, w, o, &made); err != nil {
			return err
		}
	default:
		return work.Explain(err)
	}
	if !o.noHooks {
		if made.Hooks, err = hookscmd.InstallFor(ctx, env, w.Session.Repo()); err != nil {
			err = fmt.Errorf("the repository is governed, and its hooks are not installed: %w", err)
			if len(cli.Hints(err)) > 0 {
				return err
			}
			return cli.Hint(err, "install them with: covenant hooks install")
		}
	}
	if o.json {
		return env.JSON(made)
	}
	p := env.Palette()
	if made.Joined {
		_, err = fmt.Fprintf(env.Out, "%s trust root %s\n", p.Good("joined"), made.Root)
		if _, chosen := w.Session.Repo().Config().Get(provenance.IdentityKey); !chosen && env.Value("COVENANT_IDENTITY") == "" {
			env.Talk().Note("no identity is chosen here; see who is known: covenant identity list; choose one: covenant identity use NAME")
		}
		env.Talk().Note("what is recorded here goes to a remote when you agree, once: covenant sync --yes")
		return err
	}
	_, err = fmt.Fprintf(env.Out, "%s by %s (%s)\ntrust root %s\n", p.Good("governed"), made.Operator, made.Key, made.Root)
	return err
}

// rival refuses to found a repository where somebody says that it is governed already, and it is not known here.
func rival(ctx context.Context, w *work.Work, o options) error {
	if named := w.Env.Value("COVENANT_ROOT"); named != "" {
		return cli.Hint(fmt.Errorf("COVENANT_ROOT names trust root %s, which is not here, and this would found another", say.Line(named)), "fetch it from a remote that has it: covenant init --remote REMOTE", "or unset COVENANT_ROOT")
	}
	if named := advised(w); named != "" && !o.noFetch {
		return cli.Hint(fmt.Errorf("the file .covenant names trust root %s, which no remote of this clone has, and this would found another", say.Line(named)),
			"join it where it is: covenant init --remote REMOTE", "found a repository of your own all the same: covenant init --no-fetch")
	}
	if o.noFetch {
		return nil
	}
	commit, err := governedBefore(ctx, w)
	if err != nil {
		return err
	}
	if commit != "" {
		return cli.Hint(fmt.Errorf("commit %s was made in a governed repository, as it says (%s), no remote of this clone has that one's trust root, and this would found another", commit, hooks.PrincipalTrailer),
			"in a fork, join the repository that it is of: covenant init --remote URL", "found a repository of your own all the same: covenant init --no-fetch")
	}
	return nil
}

// maxLooked is how many commits are looked at for a sign of governance: where it is, it is new.
const maxLooked = 1000

// governedBefore is a commit of HEAD's newest whose message says that a hook of ours wrote it; "" for none. A fork that a forge makes, and a clone of one
// that nobody joined, have the commits and not the record.
func governedBefore(ctx context.Context, w *work.Work) (string, error) {
	if head, err := w.Session.Head(); err != nil || head.IsZero() {
		return "", err // there are no commits yet
	}
	out, err := w.Session.Repo().Run(ctx, nil, "-c", "log.showSignature=false", "log", "--max-count="+strconv.Itoa(maxLooked), "--format=%h %(trailers:key="+hooks.PrincipalTrailer+",valueonly,separator=%x20)", "HEAD", "--")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) > 1 {
			return f[0], nil
		}
	}
	return "", nil
}

// joins refuses what only a founder says.
func (o *options) joins() error {
	if o.operator == "" && o.key == "" && o.expires == "" {
		return nil
	}
	return cli.Hint(cli.Usage("this repository is governed already: init only joins it, and makes no operator"),
		"join it: covenant init --root DIGEST", "its operators add another: covenant trust add NAME --key PUB --operator")
}

// establish writes version 1.
func establish(ctx context.Context, w *work.Work, o options, made *Made) error {
	if o.root != "" {
		if _, err := work.Digest("--root", o.root); err != nil {
			return err
		}
		return cli.Hint(fmt.Errorf("there is no trust root here to hold to %s", o.root), "name a remote that has it: covenant init --remote REMOTE")
	}
	cfg := w.Session.Repo().Config()
	name := o.operator
	if name == "" {
		user, _ := cfg.Get("user.name")
		name = nameOf(user)
	}
	if !trust.ValidName(name) {
		return cli.Hint(cli.Usage("no name for the operator: %q", name), "name one with: --operator NAME (letters, digits and ._- inside)")
	}
	email, _ := cfg.Get("user.email")
	if email == "" {
		return cli.Hint(errors.New("no e-mail address: Git has none for you"), "set it: git config user.email you@example.org")
	}
	expires := ""
	if o.expires != "" {
		var err error
		if expires, err = work.In("--expires", o.expires, w.Env.Now()); err != nil {
			return err
		}
	}
	signer, where, err := operatorKey(w, o, name)
	if err != nil {
		return work.Explain(err)
	}
	root, err := provenance.Found(ctx, w.Session, provenance.Founder{Name: name, Emails: []string{email}, Signer: signer, Expires: expires}, w.Env.Now())
	if err != nil {
		return work.Explain(err)
	}
	for _, kv := range [][2]string{{provenance.PinKey, string(root.ID)}, {provenance.IdentityKey, name}, {provenance.KeyOf(name), where}} {
		if kv[1] == "" {
			continue
		}
		if err := w.SetConfig(ctx, false, kv[0], kv[1]); err != nil {
			return err
		}
	}
	made.Root, made.Operator, made.Key = string(root.ID), name, signer.Public().ID()
	return nil
}

// operatorKey finds or makes the key, and says where the configuration must say it is ("": where it is looked for anyway).
func operatorKey(w *work.Work, o options, name string) (identity.Signer, string, error) {
	c := w.Choice()
	key := o.key
	if key == "" {
		key = signingKey(w)
	}
	if key != "" {
		return w.LoadKey(key)
	}
	path := filepath.Join(provenance.KeysDir(c.ConfigDir), name)
	if _, err := os.Lstat(path); err == nil {
		s, err := c.LoadKey(path)
		if err != nil {
			return nil, "", fmt.Errorf("key %s: %w", path, err)
		}
		w.Env.Talk().Note("using your key %s", path)
		return s, "", nil
	}
	var pass []byte
	if o.passphrase {
		var err error
		if pass, err = terminal.Passphrase("the new key"); err != nil {
			return nil, "", err
		}
	}
	s, err := identity.Generate(path, name, pass)
	if err != nil {
		return nil, "", fmt.Errorf("key %s: %w", path, err)
	}
	w.Env.Talk().Note("made a key for you: %s", path)
	if len(pass) == 0 {
		w.Env.Talk().Hint("it has no passphrase, and whoever can use it acts as you; give it one: ssh-keygen -p -f " + say.Shell(path))
	}
	return s, "", nil
}

// signingKey is the key Git signs with by SSH already: a private key file, or one that ssh-agent holds.
func signingKey(w *work.Work) string {
	cfg := w.Session.Repo().Config()
	if format, _ := cfg.Get("gpg.format"); format != "ssh" {
		return ""
	}
	key, ok := cfg.Get("user.signingkey")
	if !ok || key == "" {
		return ""
	}
	if text, ok := strings.CutPrefix(key, "key::"); ok || strings.HasPrefix(key, "ssh-") {
		if !ok {
			text = key
		}
		if pub, err := identity.ParsePublicKey(text); err == nil {
			return "agent:" + pub.ID()
		}
		return ""
	}
	if rest, ok := strings.CutPrefix(key, "~/"); ok {
		key = filepath.Join(w.Env.Value("HOME"), rest)
	}
	key = w.Env.Path(key)
	// Git may be given the public half; the private one then stands beside it, or in the agent.
	private := strings.TrimSuffix(key, ".pub")
	if _, err := os.Stat(private); err == nil {
		return private
	}
	if b, err := os.ReadFile(key); err == nil && len(b) < 1<<16 { //nolint:gosec // a file the user's configuration names
		if pub, err := identity.ParsePublicKey(strings.TrimSpace(string(b))); err == nil {
			return "agent:" + pub.ID()
		}
	}
	return ""
}

// nameOf makes a principal's name of a display name: "Ada Lovelace" is ada-lovelace.
func nameOf(user string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(user) {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '.', r == '_':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	return strings.Trim(b.String(), "-._")
}
