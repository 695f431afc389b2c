package trustcmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/terminal"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// PinLine is what pin prints with --json.
type PinLine struct {
	Type       string `json:"type"` // "pin"
	Pin        string `json:"pin"`
	Version    int    `json:"version"` // of the pinned version
	Repository string `json:"repository"`
	Was        string `json:"was,omitempty"` // what was pinned before
}

func newPin(env *cli.Env) *cobra.Command {
	var force, asJSON bool
	cmd := &cobra.Command{
		Use:   "pin [DIGEST]",
		Short: "Pin a version of the trust root in this clone",
		Long: `Pin a version of the trust root in this clone (git config covenant.root). Without
DIGEST the pin goes forward along the verified chain to the version in force, so that a server
can never roll it back behind that. With DIGEST it must be a version of the root that is here;
compare it with what an operator tells you. Where a remote has another version in the place of it,
or of one before it, DIGEST decides against that one. Going back is refused without --force.`,
		Example: "  covenant trust pin\n  covenant trust pin sha256:…",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text := ""
			if len(args) > 0 {
				text = args[0]
			}
			return runPin(cmd.Context(), env, text, force, asJSON)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "let the pin go back to an older version")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func runPin(ctx context.Context, env *cli.Env, text string, force, asJSON bool) error {
	w, err := work.Open(ctx, env)
	if err != nil {
		return err
	}
	defer w.Close()
	was, _ := w.Session.Repo().Config().Get(provenance.PinKey)
	if text == "" && was == "" {
		_, err := w.PinFrom("") // COVENANT_ROOT alone is a pin to go forward from
		if err != nil {
			return err
		}
	}
	target, version, repository, err := chooseTarget(ctx, w, text, was, force)
	if err != nil {
		return work.Explain(err)
	}
	if err := w.SetConfig(ctx, false, provenance.PinKey, string(target)); err != nil {
		return err
	}
	if text != "" {
		if err := decide(ctx, w, target); err != nil {
			return work.Explain(err)
		}
	}
	if other := w.Env.Value("COVENANT_ROOT"); other != "" && other != string(target) {
		switch later, ok := provenance.Later(w.Session, envelope.Digest(other), target); {
		case !ok:
			env.Talk().Warn("COVENANT_ROOT says %s; as long as it does, no command decides anything", other)
		case later != target:
			env.Talk().Warn("COVENANT_ROOT says %s, which is later, and counts as long as it does", other)
		}
	}
	l := PinLine{"pin", string(target), version, string(repository), was}
	if asJSON {
		return env.JSON(l)
	}
	word := "pinned"
	if was == l.Pin {
		word = "pinned already"
	}
	_, err = fmt.Fprintf(env.Out, "%s: version %d %s\n", env.Palette().Good(word), version, target)
	return err
}

// decide writes down that who names a version means it, and not another one that remotes have in the place of it or of
// one before.
func decide(ctx context.Context, w *work.Work, target envelope.Digest) error {
	root, err := provenance.OpenHistory(w.Session, target)
	if err != nil {
		return err
	}
	against, err := provenance.Against(w.Session, root, target)
	if err != nil {
		return err
	}
	text, _ := w.Session.Repo().Config().Get(provenance.RejectedKey)
	all := strings.Fields(text)
	for _, id := range against {
		if !slices.Contains(all, string(id)) {
			all = append(all, string(id))
			w.Env.Talk().Note("decided against %s; where it was found, operators put theirs in its place", id)
		}
	}
	if len(all) == len(strings.Fields(text)) {
		return nil
	}
	return w.SetConfig(ctx, false, provenance.RejectedKey, strings.Join(all, " "))
}

// chooseTarget finds the version to pin, and holds it to what is pinned.
func chooseTarget(ctx context.Context, w *work.Work, text, was string, force bool) (envelope.Digest, int, envelope.Digest, error) {
	if text == "" {
		pin, err := w.PinFrom("")
		if err != nil {
			return "", 0, "", err
		}
		root, err := provenance.OpenRoot(w.Session, pin.Digest)
		if err != nil {
			return "", 0, "", err
		}
		if err := provenance.Rivals(w.Session, root); err != nil {
			return "", 0, "", err
		}
		return root.Digest, root.Version, root.ID, nil
	}
	target, err := work.Digest("DIGEST", text)
	if err != nil {
		return "", 0, "", err
	}
	root, err := provenance.OpenRoot(w.Session, target)
	if err != nil {
		return "", 0, "", err
	}
	version := root.Versions[0].Version
	if old := envelope.Digest(was); was != "" && old != target {
		known, err := provenance.OpenRoot(w.Session, old)
		switch {
		case err == nil && slices.ContainsFunc(known.Versions, func(v *trust.Version) bool { return v.ID == target }): // forward
		case err == nil && !force:
			return "", 0, "", cli.No(cli.Hint(fmt.Errorf("version %d is older than the pinned one, version %d: a pin goes forward only", version, known.Versions[0].Version), "if you mean it: --force"))
		case errors.Is(err, provenance.ErrRootMismatch):
			if !force && !replaces(w, root, old) {
				return "", 0, "", cli.No(cli.Hint(fmt.Errorf("%w; pinning %s gives up what was pinned", err, target), "fetch the right one: git fetch origin '+refs/covenant/trust/root:refs/covenant/trust/root'", "if an operator you know stands by that digest: --force"))
			}
			w.Env.Talk().Warn("this is a new pin: nothing that was pinned proves the root of the repository %s", root.ID)
			if err := provenance.ForgetReplica(ctx, w.Session.Repo()); err != nil {
				return "", 0, "", err
			}
		case err != nil && !force:
			return "", 0, "", err
		}
	}
	return target, version, root.ID, nil
}

// replaces reports whether a root says that it replaces the repository of which old is a version.
func replaces(w *work.Work, root *provenance.Root, old envelope.Digest) bool {
	return slices.ContainsFunc(root.Succeeds, func(p trust.Predecessor) bool {
		if p.Head == old || p.Repository == old {
			return true
		}
		former, err := provenance.OpenRootAt(w.Session, provenance.FormerPrefix+p.Repository.Short(), old)
		return err == nil && former.ID == p.Repository
	})
}

func newReroot(env *cli.Env) *cobra.Command {
	var o struct {
		operator, key, expires string
		yes, json              bool
	}
	cmd := &cobra.Command{
		Use:   "reroot --operator NAME --key KEY",
		Short: "Begin anew when the operators' keys are lost: a new trust root, with you as its operator",
		Long: `Begin anew when so many operators' keys are lost that no next version can be signed:
write a new version 1, which names the repository it replaces, with one operator. History up to
the present branches is told as "before". Grants and seals of the old root count for nothing any
more; its chain is kept under refs/covenant/trust/former. Nothing anybody has pinned proves that
you may do this: every other clone must compare the new digest with you, and pin it.`,
		Example: "  covenant trust reroot --operator ada --key ~/.ssh/id_new --yes",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runReroot(cmd.Context(), env, o.operator, o.key, o.expires, o.yes, o.json)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.operator, "operator", "", "name of the new operator")
	f.StringVar(&o.key, "key", "", "the operator's key: private key file, agent, or openpgp:FINGERPRINT (default: one is made)")
	f.StringVar(&o.expires, "expires", "", "when the new root expires, such as 2027-01-31 or 365d (default: never)")
	f.BoolVar(&o.yes, "yes", false, "do not ask")
	jsonFlag(cmd, &o.json)
	return cmd
}

// Rerooted is what reroot prints with --json.
type Rerooted struct {
	Type     string `json:"type"` // "rerooted"
	Root     string `json:"root"`
	Operator string `json:"operator"`
	Key      string `json:"key"`
	Replaces string `json:"replaces"`
	Kept     string `json:"kept"` // ref of the old chain
}

func runReroot(ctx context.Context, env *cli.Env, name, key, expires string, yes, asJSON bool) error {
	if !trust.ValidName(name) {
		return cli.Usage("no name for the operator: %q; name one with --operator NAME", name)
	}
	o, err := open(ctx, env, current)
	if err != nil {
		return err
	}
	defer o.w.Close()
	by := provenance.Founder{Name: name}
	if expires != "" {
		if by.Expires, err = work.In("--expires", expires, env.Now()); err != nil {
			return err
		}
	}
	email, _ := o.w.Session.Repo().Config().Get("user.email")
	if email == "" {
		return cli.Hint(errors.New("no e-mail address: Git has none for you"), "set it: git config user.email you@example.org")
	}
	by.Emails = []string{email}
	if !yes {
		ok, err := terminal.Confirm(fmt.Sprintf("Replace the trust root %s for good? Every other clone must pin the new one.", o.root.ID.Short()))
		if err != nil {
			return cli.Hint(fmt.Errorf("this replaces the trust root for good, and nobody can be asked: %w", err), "if you mean it: --yes")
		}
		if !ok {
			return cli.No(errors.New("nothing was changed"))
		}
	}
	where := ""
	if key == "" {
		if by.Signer, where, _, err = generate(o.w, o.root.Root, name, name+"-"+o.root.Digest.Short()); err != nil {
			return err
		}
	} else if by.Signer, where, err = o.w.LoadKey(key); err != nil {
		return work.Explain(err)
	}
	if err := o.w.SetConfig(ctx, false, provenance.NextKeyOf(name), where); err != nil { // the new root is of no use without its key
		return err
	}
	root, err := provenance.Reroot(ctx, o.w.Session, o.root, by, env.Now())
	if err != nil {
		return explain(o.root, env.Now(), err)
	}
	var failed error
	for _, kv := range [][2]string{{provenance.PinKey, string(root.ID)}, {provenance.IdentityKey, name}, {provenance.KeyOf(name), where}} {
		if failed == nil {
			failed = o.w.SetConfig(ctx, false, kv[0], kv[1])
		}
	}
	if failed == nil {
		failed = o.w.UnsetConfig(ctx, provenance.NextKeyOf(name))
	}
	if failed != nil {
		env.Talk().Warn("the new root stands, and this clone's configuration could not be written: %v", failed)
		env.Talk().Hint(append(cli.Hints(failed), "then pin it: covenant trust pin "+string(root.ID), "and act: covenant identity use "+name+" --key "+say.Shell(where))...)
	}
	if o.pin.Source != work.Config {
		env.Talk().Warn("%s still says %s; it must be %s", o.pin.Source, o.pin.Digest, root.ID)
	}
	kept := provenance.FormerPrefix + o.root.ID.Short()
	if asJSON {
		return env.JSON(Rerooted{"rerooted", string(root.ID), name, by.Signer.Public().ID(), string(o.root.ID), kept})
	}
	_, err = fmt.Fprintf(env.Out, "%s by %s (%s)\ntrust root %s\nreplaces %s, kept at %s\n", env.Palette().Good("governed anew"), name, by.Signer.Public().ID(), root.ID, o.root.ID, kept)
	env.Talk().Hint("publish it: git push origin +refs/covenant/trust/root 'refs/covenant/trust/former/*:refs/covenant/trust/former/*'",
		"everybody else, after comparing the digest with you: git fetch origin '+refs/covenant/trust/*:refs/covenant/trust/*' && covenant trust pin "+string(root.ID))
	return err
}
