// Package policycmd is the command group "policy": what the trust root demands, and how that changes.
package policycmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/trustcmd"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// New returns the command group.
func New(env *cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Show, check and change what the trust root demands of commits",
		Long: `The policy is part of the trust root: which refs are protected, who may change which
paths there and how, which plugins are asked. A change of it is a new version of the trust
root, signed by operators like any other; nothing in a branch can change it.`,
	}
	cmd.AddCommand(newShow(env), newEdit(env), newCheck(env))
	return cmd
}

// Shown is what show prints with --json.
type Shown struct {
	Type    string          `json:"type"` // "policy"
	Version int             `json:"version"`
	Digest  string          `json:"digest"` // of the version of the trust root
	Default bool            `json:"default"`
	Policy  json.RawMessage `json:"policy"` // defaults spelled out
}

func newShow(env *cli.Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show the policy in force",
		Long: `Show the policy of the version of the trust root that is in force, with the defaults
spelled out. What it prints can be changed and given to "policy edit --file".`,
		Example: "  covenant policy show\n  covenant policy show | jq '.reviews = 1' | covenant policy edit --file -",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			w, root, err := open(cmd.Context(), env)
			if err != nil {
				return err
			}
			defer w.Close()
			doc, err := root.Policy.Document()
			if err != nil {
				return err
			}
			if !asJSON {
				_, err = env.Out.Write([]byte(say.Clean(string(doc))))
				return err
			}
			return env.JSON(Shown{"policy", root.Version, string(root.Digest), root.Policy == nil, doc})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func open(ctx context.Context, env *cli.Env) (*work.Work, *provenance.Root, error) {
	w, err := work.Open(ctx, env)
	if err != nil {
		return nil, nil, err
	}
	pin, err := w.Pin("")
	if err == nil {
		var root *provenance.Root
		if root, err = provenance.OpenRoot(w.Session, pin); err == nil {
			return w, root, nil
		}
	}
	w.Close()
	return nil, nil, work.Explain(err)
}

// header explains the fields to who edits them. Lines that begin with // are not read.
const header = `// The policy of this repository. Lines that begin with // are not read. Save and leave
// to sign a new version of the trust root; leave it as it is, or empty, to change nothing.
//
// version           1
// protected         patterns of refs that only admitted commits may reach: ["refs/heads/main"]
// exempt            kinds whose commits need no seal where Git's own signature shows who
//                   made them: ["human"], or []
// modes             seals that are enough: "witness" (made at the moment), "vouch" (made later)
// coverage          how a commit may be covered: "own" always; "blob", by sealed content; "partial", also
//                   by a part of a sealed commit; "patch", by sealed changes applied to other content
// operators         actions that operators may do without a grant, such as "repo.commit" or
//                   "trust.*"; without the field all, with [] none
// presence          how operator acts ask for a person: "" not, "ask" on a terminal,
//                   "sk" by the touch of a security key
// rules             who may change paths on protected refs; all rules for a path must be kept:
//                   {"paths": ["deploy/**"], "principals": ["ada"], "kinds": ["human"],
//                    "modes": ["witness"], "evidence": ["test"], "reviews": 1}
// evidence          names of evidence that commits on protected refs need, on their own trees
// checks            what counts as evidence of a name, instead of what anybody known here recorded:
//                   {"name": "test", "kinds": ["automation"], "principals": ["ci"], "maxAge": "24h",
//                    "command": ["make", "test"]}
// reviews           how many humans must have reviewed what reaches a protected ref
// plugins           {"name": "cedar", "pins": {"linux/amd64": "sha256:…"}, "config": {"file": "text"}}
// maxCheckpointAge  how old the newest checkpoint may be, such as "24h"; without the field any
// witnesses         keys of witnesses that cosign checkpoints, such as "name+1a2b3c4d+BASE64", and
// witnessQuorum     how many of them must have cosigned one that is new enough
//
`

// strip takes away lines that begin with //, and keeps their line breaks so that errors name the right line.
func strip(text []byte) []byte {
	var out [][]byte
	for line := range bytes.SplitSeq(text, []byte{'\n'}) {
		if bytes.HasPrefix(bytes.TrimLeft(line, " \t"), []byte("//")) {
			line = nil
		}
		out = append(out, line)
	}
	return bytes.Join(out, []byte{'\n'})
}

func newEdit(env *cli.Env) *cobra.Command {
	var file string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "edit [--file FILE]",
		Short: "Change the policy in an editor, or take it from a file",
		Long: `Change the policy in the editor that Git uses (GIT_EDITOR, core.editor, VISUAL, EDITOR),
or take it from a file, "-" for standard input. Fields that are not known are refused. The
change is a new version of the trust root: it comes into force when enough operators signed,
and is staged until then.`,
		Example: "  covenant policy edit\n  covenant policy edit --file policy.json",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runEdit(cmd.Context(), env, file, asJSON) },
	}
	cmd.Flags().StringVar(&file, "file", "", "take the policy from this file, - for standard input")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func runEdit(ctx context.Context, env *cli.Env, file string, asJSON bool) error {
	d := &draft{}
	if file != "" {
		text, err := read(ctx, env, file)
		if err != nil {
			return err
		}
		if d.policy, err = parse(text, file); err != nil {
			return err
		}
	} else {
		if err := trustcmd.MayChange(ctx, env); err != nil {
			return err
		}
		var changed bool
		var err error
		if d, changed, err = edited(ctx, env); err != nil {
			return err
		}
		if !changed {
			env.Talk().Note("nothing changed")
			return nil
		}
	}
	warnOfStrangers(ctx, env, d.policy)
	defer hintAdmissions(ctx, env, d.policy)
	return d.done(trustcmd.Do(ctx, env, trustcmd.Change{Act: "change the policy", JSON: asJSON, Base: d.base, Edit: func(_ *trustcmd.Hand, r *trust.Root) ([]identity.Signer, error) {
		r.Policy = d.policy
		return nil, nil
	}}))
}

// hintAdmissions says of branches here that the policy in force protects, and that nobody admitted yet, what to type.
func hintAdmissions(ctx context.Context, env *cli.Env, wanted *trust.Policy) {
	w, pin, err := work.OpenPinned(ctx, env, "")
	if err != nil {
		return
	}
	defer w.Close()
	f, err := w.Cache(false).Load(ctx, w.Session, pin)
	if err != nil || !reflect.DeepEqual(f.Root.Policy, wanted) {
		return // it waits for signatures
	}
	refs, err := w.Session.Refs("refs/heads")
	if err != nil {
		return
	}
	var names []string
	stuck := false
	for _, r := range refs {
		if f.Root.Policy.Protects(r.Name) && len(f.Line(r.Name).Steps) == 0 {
			name := say.Shell(strings.TrimPrefix(r.Name, "refs/heads/"))
			if reviews(f.Root.Policy) && !slices.ContainsFunc(f.Root.Governed, func(g trust.Since) bool {
				before, err := provenance.Forward(ctx, w.Session, r.ID, g.Commit)
				return before || err != nil
			}) {
				names, stuck = append([]string{name}, names...), true
				continue
			}
			names = append(names, name)
		}
	}
	switch {
	case len(names) == 0:
	case stuck:
		env.Talk().Warn("nobody said yet that %s may be where it is, and now nobody can: what is there had no reviews", names[0])
		env.Talk().Hint("leave reviews out of the policy, then: covenant ref admit "+names[0], "and then ask for reviews, from there on")
	default:
		env.Talk().Hint("nobody said yet that what is protected may be where it is: covenant ref admit " + names[0])
	}
}

// reviews reports whether a policy asks for any.
func reviews(p *trust.Policy) bool {
	return p.Reviews > 0 || slices.ContainsFunc(p.Rules, func(r trust.Rule) bool { return r.Reviews > 0 })
}

// draft is a policy that is to be signed, and where its text is kept until it is.
type draft struct {
	policy *trust.Policy
	base   envelope.Digest // the version of the root whose policy was shown; "" when none was
	path   string          // "" when it is a file of the person's own
}

// done takes the text away; one that was not signed is kept, and named.
func (d *draft) done(err error) error {
	switch {
	case d.path == "":
		return err
	case err == nil:
		return os.Remove(d.path)
	case errors.Is(err, trustcmd.ErrNothing): // it says what is in force, in other words
		return errors.Join(err, os.Remove(d.path))
	case errors.Is(err, provenance.ErrRootMoved):
		return cli.Hint(err, "your text is kept, and was made from the version before; compare the two: covenant policy show, and "+say.Shell(d.path))
	}
	return cli.Hint(err, "your text is kept; sign it with: covenant policy edit --file "+say.Shell(d.path))
}

func read(ctx context.Context, env *cli.Env, file string) ([]byte, error) {
	b, err := env.Read(ctx, file, 4<<20)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return b, nil
}

// parse reads a policy; what is wrong with it is the answer no. Of a newer one nothing is known.
func parse(text []byte, from string) (*trust.Policy, error) {
	p, err := trust.ParsePolicy(strip(text))
	if err != nil {
		if from == "-" {
			from = "standard input"
		}
		if errors.Is(err, envelope.ErrNewer) {
			return nil, cli.Hint(fmt.Errorf("%s: %w", from, err), "a newer release of covenant reads it; see which one this is: covenant version")
		}
		return nil, cli.No(cli.Hint(fmt.Errorf("%s: %w", from, err), "see what is in force: covenant policy show"))
	}
	return p, nil
}

// edited lets a person edit the policy in force, in a file that no other process has. What can't be read is kept.
func edited(ctx context.Context, env *cli.Env) (*draft, bool, error) {
	w, root, err := open(ctx, env)
	if err != nil {
		return nil, false, err
	}
	defer w.Close()
	doc, err := root.Policy.Document()
	if err != nil {
		return nil, false, err
	}
	editor, err := editorOf(ctx, env)
	if err != nil {
		return nil, false, err
	}
	dir := w.Session.Repo().StateDir()
	if err := os.MkdirAll(dir, 0o777); err != nil { //nolint:gosec // as Git makes its own; umask applies
		return nil, false, err
	}
	f, err := os.CreateTemp(dir, "policy-*.json") // mode 0600, and of this process alone
	if err != nil {
		return nil, false, err
	}
	d := &draft{base: root.Digest, path: f.Name()}
	before := append([]byte(header), doc...)
	_, err = f.Write(before)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, false, errors.Join(err, os.Remove(d.path))
	}
	failed := runEditor(ctx, env, editor, d.path)
	after, err := os.ReadFile(d.path)
	switch {
	case failed != nil && (err != nil || bytes.Equal(after, before)):
		return nil, false, errors.Join(failed, os.Remove(d.path))
	case failed != nil:
		return nil, false, cli.Hint(failed, "what it left is here: "+say.Shell(d.path))
	case err != nil:
		return nil, false, err
	}
	if text := bytes.TrimSpace(strip(after)); bytes.Equal(text, bytes.TrimSpace(doc)) || len(text) == 0 {
		return nil, false, os.Remove(d.path)
	}
	if d.policy, err = parse(after, d.path); err != nil {
		return nil, false, cli.Hint(err, "mend it there, then: covenant policy edit --file "+say.Shell(d.path))
	}
	return d, true, nil
}

// editorOf is the editor that Git would start. Variables that are empty name none; where nothing names one, one that needs a terminal
// is not started without.
func editorOf(ctx context.Context, env *cli.Env) (string, error) {
	hints := []string{"name an editor: git config core.editor NAME", "or take the policy from a file: covenant policy edit --file FILE"}
	named := false
	var environ []string
	for _, kv := range env.Environ {
		key, value, _ := strings.Cut(kv, "=")
		isEditor := key == "GIT_EDITOR" || key == "VISUAL" || key == "EDITOR"
		if isEditor && value == "" {
			continue
		}
		named = named || isEditor
		environ = append(environ, kv)
	}
	r, err := git.Open(ctx, git.Options{Dir: env.Dir, Env: environ})
	if err != nil {
		return "", work.Explain(err)
	}
	if core, _ := r.Config().Get("core.editor"); core == "" && !named && !env.StdinTTY {
		return "", cli.Hint(errors.New("no editor is named, and there is no terminal to edit on"), hints...)
	}
	out, err := r.Run(ctx, nil, "var", "GIT_EDITOR")
	if err != nil {
		return "", cli.Hint(err, hints...)
	}
	return strings.TrimSpace(string(out)), nil
}

// runEditor starts an editor as Git does.
func runEditor(ctx context.Context, env *cli.Env, editor, path string) error {
	cmd := exec.CommandContext(ctx, "sh", "-c", editor+` "$@"`, editor, path) //nolint:gosec // the editor the user chose, as Git starts it
	cmd.Dir, cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = env.Dir, env.Environ, env.In, env.Out, env.Err
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("the editor %s failed: %w; nothing was changed", say.Name(editor), err)
	}
	if err != nil {
		return fmt.Errorf("starting the editor %s: %w", say.Name(editor), err)
	}
	return nil
}

// warnOfStrangers tells of principals whom rules name and nobody here knows. A grant may introduce them later, so
// that is no fault of the policy. Where there is no repository to ask nothing is told.
func warnOfStrangers(ctx context.Context, env *cli.Env, p *trust.Policy) {
	if p == nil || !slices.ContainsFunc(p.Rules, func(r trust.Rule) bool { return len(r.Principals) > 0 }) {
		return
	}
	w, err := work.Open(ctx, env)
	if err != nil {
		return
	}
	defer w.Close()
	pin, err := w.Pin("")
	if err != nil {
		return
	}
	f, err := provenance.LoadAuthority(ctx, w.Session, pin)
	if err != nil {
		return
	}
	told := map[string]bool{}
	for i, r := range p.Rules {
		for _, name := range r.Principals {
			if _, known := f.Authority.ByName(name); known || told[name] {
				continue
			}
			told[name] = true
			near := ""
			if n := provenance.Nobody(f.Authority, name).Near; n != "" {
				near = "; did you mean " + n + "?"
			}
			env.Talk().Warn("rules[%d].principals: nobody of the name %q is known here yet%s", i, name, near)
		}
	}
	if len(told) > 0 {
		env.Talk().Hint("see who is: covenant identity list")
	}
}

// Checked is what check prints with --json.
type Checked struct {
	Type    string          `json:"type"` // "policy-checked"
	OK      bool            `json:"ok"`
	Default bool            `json:"default"` // it demands nothing but the default
	Policy  json.RawMessage `json:"policy"`
}

func newCheck(env *cli.Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check [FILE | -]",
		Short: "Tell whether a policy is valid, without changing anything",
		Long: `Tell whether the policy in a file, or on standard input, is valid. The exit code is
0 when it is, 1 with what is wrong when it is not, and 2 when a newer release is needed
to read it. No repository is needed; in one that is governed, names in rules that nobody
has there are told of.`,
		Example: "  covenant policy check policy.json\n  covenant policy show | covenant policy check",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			file := "-"
			if len(args) > 0 {
				file = args[0]
			}
			text, err := read(cmd.Context(), env, file)
			if err != nil {
				return err
			}
			p, err := parse(text, file)
			if err != nil {
				return err
			}
			warnOfStrangers(cmd.Context(), env, p)
			if asJSON {
				doc, err := p.Document()
				if err != nil {
					return err
				}
				return env.JSON(Checked{"policy-checked", true, p == nil, doc})
			}
			_, err = fmt.Fprintln(env.Out, env.Palette().Good("ok"))
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}
