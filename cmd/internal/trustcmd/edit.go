package trustcmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/git/provenance"
)

func jsonFlag(cmd *cobra.Command, asJSON *bool) {
	cmd.Flags().BoolVar(asJSON, "json", false, "print one JSON object")
}

func thresholdFlag(cmd *cobra.Command, n *int) {
	cmd.Flags().IntVar(n, "threshold", 0, "how many operators must sign from then on (default: as it is)")
}

func newAdd(env *cli.Env) *cobra.Command {
	var o struct {
		kind         string
		keys, emails []string
		operator     bool
		threshold    int
		json         bool
	}
	cmd := &cobra.Command{
		Use:   "add NAME [--key PUB]... [--email ADDRESS]... [--operator]",
		Short: "Add a person, or a further key or address to one, or make one an operator",
		Long: `Add a person to the trust root, or to a person who is there a further key or e-mail
address; with --operator make the person an operator. A key is the path of a .pub
file, an OpenSSH public key line, what gpg --export --armor prints, or "-" for standard
input. Automation belongs here when it must act without a human who answers for it;
agents do not, see "covenant identity new".`,
		Example: `  covenant trust add ben --key ben.pub --email ben@example.org --operator --threshold 2
  covenant trust add ada --key laptop.pub
  covenant trust add ci --kind automation --key ci.pub`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := args[0]
			if o.kind != "" && o.kind != string(trust.Human) && o.kind != string(trust.Automation) {
				return cli.Usage("--kind is human or automation, not %q", o.kind)
			}
			if !trust.ValidName(name) {
				return cli.Usage("%q is no name: letters, digits, and ._- inside", name)
			}
			return Do(cmd.Context(), env, Change{Act: "add " + name, JSON: o.json, Edit: func(_ *Hand, r *trust.Root) ([]identity.Signer, error) {
				var keys []identity.PublicKey
				for _, text := range o.keys {
					k, err := work.PublicKey(cmd.Context(), env, text)
					if err != nil {
						return nil, err
					}
					keys = append(keys, k)
				}
				if err := r.Add(name, trust.Kind(o.kind), o.emails, keys...); err != nil {
					if len(keys) == 0 {
						return nil, cli.Hint(err, "name the public key with: --key PUB")
					}
					return nil, err
				}
				if p := r.Person(name); len(p.Emails) == 0 {
					env.Talk().Warn("%s has no e-mail address: commits of %s's are vouched for, not witnessed; name one with --email", name, name)
				}
				if o.operator {
					if err := r.Promote(name); err != nil {
						return nil, err
					}
				}
				return nil, setThreshold(r, o.threshold)
			}})
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.kind, "kind", "", "what it is: human or automation (default: human)")
	f.StringArrayVar(&o.keys, "key", nil, "public key: file, text, or - for standard input; may be repeated")
	f.StringArrayVar(&o.emails, "email", nil, "e-mail address the person commits with; may be repeated")
	f.BoolVar(&o.operator, "operator", false, "make the person an operator")
	thresholdFlag(cmd, &o.threshold)
	jsonFlag(cmd, &o.json)
	return cmd
}

func setThreshold(r *trust.Root, n int) error {
	if n != 0 {
		r.Threshold = n
	}
	return nil
}

// leaving reads the flags that say how keys leave.
func leaving(env *cli.Env, grants, since, otherwise string) (trust.Leaving, error) {
	how := trust.Leaving{Grants: otherwise}
	if since != "" {
		var err error
		if how.Compromised, err = work.Ago("--compromised-since", since, env.Now()); err != nil {
			return how, err
		}
		how.Grants = trust.Lapse
	}
	if grants != "" {
		if grants != trust.Lapse && grants != trust.Stand {
			return how, cli.Usage("--grants is lapse or stand, not %q", grants)
		}
		how.Grants = grants
	}
	return how, nil
}

func newRemove(env *cli.Env) *cobra.Command {
	var o struct {
		keys          []string
		grants, since string
		threshold     int
		json          bool
	}
	cmd := &cobra.Command{
		Use:   "remove NAME [--key ID]... [--grants lapse|stand] [--compromised-since TIME]",
		Short: "Remove a person, or a key of one",
		Long: `Remove a person from the trust root, or with --key single keys. The root keeps them
as former, so that what they signed can still be read. --grants says what becomes of the
grants they gave: lapse, or stand when they were given before. Without it they lapse when
the person goes, and stand when only a key goes. --compromised-since voids what nobody else
had seen before that time; it can also be said later, of somebody who has gone already.`,
		Example: `  covenant trust remove ben
  covenant trust remove ada --key SHA256:… --compromised-since 3d`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := args[0]
			return Do(cmd.Context(), env, Change{Act: "remove " + name, JSON: o.json, Edit: func(_ *Hand, r *trust.Root) ([]identity.Signer, error) {
				p := r.Person(name)
				otherwise := trust.Lapse
				if p != nil && len(o.keys) > 0 && len(o.keys) < len(p.Keys) {
					otherwise = trust.Stand
				}
				how, err := leaving(env, o.grants, o.since, otherwise)
				if err != nil {
					return nil, err
				}
				if p == nil && how.Compromised != "" {
					return nil, r.Taint(name, how.Compromised)
				}
				if err := r.Remove(name, how, o.keys...); err != nil {
					return nil, err
				}
				if o.threshold == 0 && r.Threshold > len(r.Operators) {
					return nil, cli.Hint(fmt.Errorf("%w: %d operators would be left, and %d must sign", trust.ErrChange, len(r.Operators), r.Threshold), "say how many must sign from then on: --threshold N")
				}
				return nil, setThreshold(r, o.threshold)
			}})
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.keys, "key", nil, "id of a key to remove, as trust show prints it; may be repeated (default: all)")
	f.StringVar(&o.grants, "grants", "", "what becomes of the grants they gave: lapse or stand")
	f.StringVar(&o.since, "compromised-since", "", "since when somebody else may have had the key, such as 2027-01-31 or 3d")
	thresholdFlag(cmd, &o.threshold)
	jsonFlag(cmd, &o.json)
	return cmd
}

func newRotate(env *cli.Env) *cobra.Command {
	var o struct {
		key, since string
		json       bool
	}
	cmd := &cobra.Command{
		Use:   "rotate [--key NEW]",
		Short: "Replace your own key by another one",
		Long: `Replace the key you act with by another one; both sign. The new key is a private key
file, "agent" for the one in ssh-agent, or openpgp:FINGERPRINT; without --key one is made in
your configuration directory. Grants you gave stand, unless the old key was stolen.`,
		Example: `  covenant trust rotate
  covenant trust rotate --key ~/.ssh/id_new
  covenant trust rotate --compromised-since 2d`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			how, err := leaving(env, "", o.since, trust.Stand)
			if err != nil {
				return err
			}
			var where, made string
			err = Do(cmd.Context(), env, Change{
				Act: "rotate your key", JSON: o.json,
				Edit: func(h *Hand, r *trust.Root) ([]identity.Signer, error) {
					var fresh identity.Signer
					if o.key == "" {
						var isNew bool
						fresh, where, isNew, err = generate(h.Work, h.Root.Root, h.Name, h.Name+"-"+strconv.Itoa(r.Version))
						if isNew {
							made = where
						}
					} else {
						fresh, where, err = h.Work.LoadKey(o.key)
					}
					if err != nil {
						return nil, work.Explain(err)
					}
					if err := errors.Join(r.Add(h.Name, "", nil, fresh.Public()), r.Remove(h.Name, how, h.Signer.Public().ID())); err != nil {
						return nil, err
					}
					return []identity.Signer{fresh}, nil
				},
				Key: func() string { return where },
			})
			if made != "" && errors.Is(err, work.ErrAbsent) { // nothing names it yet
				env.Talk().Note("the key that was made is taken away again: %s", made)
				return errors.Join(err, os.Remove(made), os.Remove(made+".pub"))
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.key, "key", "", "the new key: private key file, agent, or openpgp:FINGERPRINT (default: one is made)")
	f.StringVar(&o.since, "compromised-since", "", "since when somebody else may have had the old key, such as 2027-01-31 or 3d")
	jsonFlag(cmd, &o.json)
	return cmd
}

// maxMade is how many names for a new key are tried.
const maxMade = 100

// generate makes a key of this base name in the user's configuration directory. One that an attempt before left there is
// taken, unless the trust root knows it already; any other file there is left alone.
func generate(w *work.Work, r *trust.Root, name, base string) (s identity.Signer, path string, isNew bool, err error) {
	dir := provenance.KeysDir(work.ConfigDir(w.Env))
	for n := 1; ; n++ {
		path = filepath.Join(dir, base)
		if n > 1 {
			path += "." + strconv.Itoa(n)
		}
		s, err = identity.Generate(path, name, nil)
		switch {
		case err == nil:
			w.Env.Talk().Note("made a key for you: %s", path)
			return s, path, true, nil
		case !errors.Is(err, identity.ErrExists) || n == maxMade:
			return nil, "", false, cli.Hint(fmt.Errorf("key %s: %w", path, err), "name a key of yours instead: --key PATH")
		}
		pub, err := identity.PublicOfFile(path)
		if err != nil || knows(r, pub) {
			continue // the half of a key, no key, or a used one
		}
		if s, path, err = w.LoadKey(path); err == nil && ours(path, name) {
			w.Env.Talk().Note("took the key that was made for you before: %s", path)
			return s, path, false, nil
		}
	}
}

// ours reports whether a key was made for this name by this program.
func ours(path, name string) bool {
	b, err := os.ReadFile(path + ".pub") //nolint:gosec // the public half of a key of ours
	fields := strings.Fields(string(b))
	return err == nil && len(fields) == 3 && fields[2] == name
}

// knows reports whether a version names a key, or did once.
func knows(r *trust.Root, pub identity.PublicKey) bool {
	has := func(keys []string) bool { return slices.Contains(keys, pub.String()) }
	return slices.ContainsFunc(r.Persons, func(p trust.Person) bool { return has(p.Keys) }) ||
		slices.ContainsFunc(r.Former, func(f trust.Former) bool { return has(f.Keys) })
}

func newSet(env *cli.Env) *cobra.Command {
	var o struct {
		threshold int
		expires   string
		operators []string
		against   []string
		json      bool
	}
	cmd := &cobra.Command{
		Use:   "set [--threshold N] [--expires TIME] [--operators NAME,...] [--against DIGEST]...",
		Short: "Set how many operators must sign, when the root expires, or who is operator",
		Long: `Set how many operators must sign a change, when the version in force expires (or
never), or which persons are operators: --operators takes all their names. Grants of a person
who is no operator any more count for nothing; what that person revoked or narrowed stays so. --against says to everybody that a version which
the record names, and which another one took the place of, is not meant.`,
		Example: `  covenant trust set --threshold 2
  covenant trust set --expires 365d
  covenant trust set --operators ada,ben --threshold 1`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.threshold == 0 && o.expires == "" && len(o.operators) == 0 && len(o.against) == 0 {
				return cli.Usage("nothing to set: name --threshold, --expires, --operators or --against")
			}
			expires := ""
			if o.expires != "" && o.expires != "never" {
				var err error
				if expires, err = work.In("--expires", o.expires, env.Now()); err != nil {
					return err
				}
			}
			return Do(cmd.Context(), env, Change{Act: "change its settings", JSON: o.json, Edit: func(_ *Hand, r *trust.Root) ([]identity.Signer, error) {
				if o.expires != "" {
					r.Expires = expires
				}
				if len(o.operators) > 0 {
					if err := r.SetOperators(o.operators); err != nil {
						return nil, err
					}
				}
				for _, text := range o.against {
					d, err := envelope.ParseDigest(text)
					if err != nil {
						return nil, cli.Usage("--against takes the digest of a version: %v", err)
					}
					if err := r.DecideAgainst(d); err != nil {
						return nil, err
					}
				}
				return nil, setThreshold(r, o.threshold)
			}})
		},
	}
	f := cmd.Flags()
	thresholdFlag(cmd, &o.threshold)
	f.StringArrayVar(&o.against, "against", nil, "digest of a version that the record names and that is not meant; may be repeated")
	f.StringVar(&o.expires, "expires", "", "when the root expires, such as 2027-01-31 or 365d, or never")
	f.StringSliceVar(&o.operators, "operators", nil, "names of all operators")
	jsonFlag(cmd, &o.json)
	return cmd
}

func newSign(env *cli.Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "sign [N | DIGEST]",
		Short: "Sign a staged version; with enough signatures it comes into force",
		Long: `Sign the version N of the trust root that is staged, here or as fetched from a
remote; the default is the next version. Where drafts differ, name one by its digest. What it
changes is printed. With enough signatures it comes into force.`,
		Example: `  covenant sync
  covenant trust sign
  covenant sync`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			which := ""
			if len(args) > 0 {
				which = args[0]
			}
			return runSign(cmd.Context(), env, which, asJSON)
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func runSign(ctx context.Context, env *cli.Env, which string, asJSON bool) error {
	o, err := open(ctx, env, current)
	if err != nil {
		return err
	}
	defer o.w.Close()
	d, err := o.choose(which)
	if err != nil {
		return err
	}
	h, err := o.hand(ctx, d.Draft.Root)
	if err != nil {
		return err
	}
	changes := trust.Changes(o.root.Root, d.Draft.Root)
	if err := o.w.Presence(o.root, h.Signer.Public(), fmt.Sprintf("sign version %d of the trust root (%s)", d.Version, strings.Join(changes, "; "))); err != nil {
		return err
	}
	if err := o.warnOfLate(ctx, d.Draft.Root); err != nil {
		return explain(o.root, env.Now(), err)
	}
	out, err := provenance.Countersign(ctx, o.w.Session, o.root, d, env.Now(), h.Signer)
	if err != nil {
		return explain(o.root, env.Now(), err)
	}
	return o.finish(ctx, h, out, changes, asJSON, o.nextKeys())
}

// choose finds the draft that is meant by a version number, the beginning of a digest, or nothing.
func (o *opened) choose(which string) (provenance.Staged, error) {
	list, err := provenance.Drafts(o.w.Session, o.root)
	if err != nil {
		return provenance.Staged{}, err
	}
	n, number := o.root.Version+1, which == ""
	if v, err := strconv.Atoi(which); err == nil {
		n, number = v, true
	}
	switch {
	case number && n <= o.root.Version:
		return provenance.Staged{}, cli.Hint(fmt.Errorf("version %d is in force already, as version %d is", n, o.root.Version), "see what is in force: covenant trust show")
	case !number && (!strings.HasPrefix(which, "sha256:") || len(which) < len("sha256:")+8):
		return provenance.Staged{}, cli.Hint(cli.Usage("%q is neither the number of a version nor the beginning of a digest, sha256: and 8 digits of it", which), "see what is staged: covenant trust show")
	}
	var fit []provenance.Staged
	for _, d := range list {
		if number && d.Version == n || !number && strings.HasPrefix(string(d.ID), which) {
			fit = append(fit, d)
		}
	}
	good := slices.DeleteFunc(slices.Clone(fit), func(d provenance.Staged) bool { return d.Err != nil })
	switch {
	case len(good) == 1:
		return good[0], nil
	case len(good) > 1:
		hints := []string{"look at them: covenant trust show"}
		for _, d := range good {
			hints = append(hints, fmt.Sprintf("sign that of %s: covenant trust sign %s", strings.Join(d.Draft.Signed(), ", "), d.ID))
		}
		return provenance.Staged{}, cli.Hint(fmt.Errorf("there are %d drafts of version %d, and one can come into force", len(good), good[0].Version), hints...)
	case len(fit) > 0:
		return provenance.Staged{}, cli.No(cli.Hint(fmt.Errorf("the draft at %s can't be signed: %w", strings.Join(fit[0].Refs, ", "), fit[0].Err), "ask who staged it; it counts for nothing"))
	}
	what := which
	if number {
		what = "version " + strconv.Itoa(n)
	}
	hints := []string{"fetch what others staged: covenant sync"}
	for _, d := range list {
		if d.Err == nil {
			hints = append(hints, fmt.Sprintf("or sign version %d, which is staged here: covenant trust sign %s", d.Version, d.ID))
		}
	}
	return provenance.Staged{}, cli.Hint(fmt.Errorf("%w: %s", provenance.ErrNoDraft, what), hints...)
}
