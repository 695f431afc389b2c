// Package hookscmd is the command group "hooks": Git's moments, and whether we are reached at them.
package hookscmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/terminal"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/provenance"
	"github.com/open-covenant/covenant-git/hooks"
	"github.com/open-covenant/covenant-git/hooks/install"
	"github.com/open-covenant/covenant-git/hooks/settings"
	"github.com/open-covenant/covenant-git/runtime/gate"
)

// New returns the command group.
func New(env *cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "hooks",
		Short: "Install the hooks that seal commits, take them out, prove that they are reached",
		Long: `Install the Git hooks before and after commits come to be, and before a push: they
refuse early what the one who acts may not do, add who it is to the message, judge and
seal the commit as it is in the end, and verify what is pushed. Hooks that are there already keep working, byte
for byte, and uninstall brings them back. With Git 2.54 and later the hooks stand in
the configuration; husky, lefthook, pre-commit and a core.hooksPath of the
repository's own are worked with, and core.hooksPath is never set.

With --agent they are about the hooks of a coding agent instead, by which it is asked
before its tools run.`,
	}
	cmd.AddCommand(newInstall(env), newUninstall(env), newStatus(env), newExec(env), newRun(env))
	return cmd
}

// hookName is the program that Git starts.
const hookName = "covenant-hook"

// binary finds covenant-hook: beside this program, else on PATH.
func binary(env *cli.Env) string { return sibling(env, hookName) }

// sibling finds one of our programs: beside this one, else on PATH.
func sibling(env *cli.Env, name string) string {
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	if env.Exe != "" {
		exe := env.Exe
		if real, err := filepath.EvalSymlinks(exe); err == nil {
			exe = real
		}
		if p, err := exec.LookPath(filepath.Join(filepath.Dir(exe), name)); err == nil {
			return p
		}
	}
	for _, dir := range filepath.SplitList(env.Value("PATH")) {
		if p, err := exec.LookPath(filepath.Join(dir, name)); err == nil && filepath.IsAbs(p) {
			return p
		}
	}
	return ""
}

func options(env *cli.Env) install.Options {
	return install.Options{Binary: binary(env), Env: env.Environ}
}

// here is options for a repository: in strict mode there are more moments.
func here(env *cli.Env, r *git.Repo) install.Options {
	o := options(env)
	if bare(r) {
		o.Strict, o.Moments = true, install.ServerMoments
		return o
	}
	if hooks.Strict(r) {
		o.Strict, o.Moments = true, append(slices.Clone(install.Moments), install.StrictMoments...)
	}
	return o
}

// bare reports whether a repository has no work tree at all: commits are made elsewhere, and pushed to it.
func bare(r *git.Repo) bool { return r.WorkTree() == "" && r.Config().Bool("core.bare", false) }

var errNoBinary = errors.New("covenant-hook is neither beside this program nor on PATH")

// InstallFor installs the hooks of a repository and names the moments. A bare one gets those of a server, and those of
// commits for the work trees that are linked to it.
func InstallFor(ctx context.Context, env *cli.Env, r *git.Repo) ([]string, error) {
	all := []install.Options{here(env, r)}
	if bare(r) {
		all = append([]install.Options{options(env)}, all...)
	}
	var names []string
	for _, o := range all {
		rep, err := doInstall(ctx, r, o)
		for _, d := range rep.Moments {
			names = append(names, d.Moment)
		}
		if err != nil {
			return names, err
		}
	}
	return names, nil
}

func doInstall(ctx context.Context, r *git.Repo, o install.Options) (install.Report, error) {
	if o.Binary == "" {
		return install.Report{}, cli.Hint(errNoBinary, "install both programs: make install")
	}
	rep, err := install.Install(ctx, r, o)
	var shared *install.SharedError
	if errors.As(err, &shared) {
		names := make([]string, 0, len(rep.Moments))
		for _, d := range rep.Moments {
			names = append(names, d.Moment)
		}
		return rep, cli.Hint(err, "have it written there all the same: covenant hooks install --shared",
			fmt.Sprintf("or put into each of the files %s there: %s MOMENT \"$@\"", strings.Join(names, ", "), say.Shell(o.Binary)))
	}
	return rep, err
}

// UninstallFor takes the hooks of a repository out, and those in settings of agents that this clone wrote for its project.
func UninstallFor(ctx context.Context, env *cli.Env, r *git.Repo) error {
	for _, p := range settings.Installed(hooks.SettingsState(r)) {
		tracked, err := r.Run(ctx, nil, "ls-files", "-z", "--", p.File())
		if err != nil {
			return err
		}
		if len(tracked) > 0 {
			env.Talk().Note("%s is in the repository, for everybody, and stays; without governance here it refuses tools: covenant hooks uninstall --agent %s", say.Name(p.File()), p.Agent)
			continue
		}
		done, err := settings.Uninstall(p)
		if err != nil {
			return explain(err, p)
		}
		if done.Changed {
			env.Talk().Note("taken out of the settings of %s: %s", p.Agent, say.Name(done.File))
		}
	}
	o := options(env)
	o.Moments = nil
	_, err := install.Uninstall(ctx, r, o)
	return err
}

// Unreached names the moments at which Git does not reach us.
func Unreached(ctx context.Context, env *cli.Env, r *git.Repo) ([]string, error) {
	list, err := install.Status(ctx, r, here(env, r))
	if err != nil {
		return nil, err
	}
	out := []string{}
	for _, m := range list {
		if m.State != install.Reached {
			out = append(out, m.Moment)
		}
	}
	return out, nil
}

// Line is one moment with --json.
type Line struct {
	Type    string `json:"type"` // "hook"
	Moment  string `json:"moment,omitempty"`
	Agent   string `json:"agent,omitempty"`  // a coding agent, whose hook it is
	Event   string `json:"event,omitempty"`  // as that agent has it
	Action  string `json:"action,omitempty"` // of install and uninstall
	State   string `json:"state,omitempty"`  // of status
	Where   string `json:"where,omitempty"`
	Chained string `json:"chained,omitempty"`
	By      string `json:"by,omitempty"` // what shadows it
	Note    string `json:"note,omitempty"`
	Mend    string `json:"mend,omitempty"`
}

func newInstall(env *cli.Env) *cobra.Command {
	var strict, shared, server, asJSON bool
	var root string
	var a agentFlags
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Install the hooks of this repository",
		Long: `Install the hooks of this repository, or renew them. A hook that is there already
is kept byte for byte and runs first, with the same arguments and input. Where other
repositories use the hooks folder too (a global core.hooksPath), nothing is written
without --shared, and the lines to put there by hand are printed.

With --server, in a bare repository that others push to: pre-receive verifies every
push before a ref moves, and post-receive admits protected refs where the
repository has an identity. The trust root is pinned; --root names it where none
is pinned yet, and it may arrive with the first push. Without covenant-hook no
push is taken.

With --agent, into the settings of a coding agent, those of the project or, with --user,
of the user: order, comments and hooks of others stay as they are, and uninstall brings the
file back byte for byte. What the agent wants to be asked of a person is left to you.`,
		Example: "  covenant hooks install\n  covenant hooks install --agent claude-code\n  covenant hooks install --strict\n  covenant hooks install --server --root sha256:…",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.alone(cmd, "strict", "shared", "server", "root"); err != nil {
				return err
			}
			if a.name != "" {
				return a.install(cmd.Context(), env, asJSON)
			}
			w, err := work.Open(cmd.Context(), env)
			if err != nil {
				return err
			}
			defer w.Close()
			if server {
				return installServer(cmd.Context(), w, root, shared, asJSON)
			}
			if root != "" {
				return cli.Usage("--root goes with --server")
			}
			o := options(env)
			if !cmd.Flags().Changed("strict") {
				strict = hooks.Strict(w.Session.Repo()) // it is left by --strict=false
			}
			o.Strict, o.Shared = strict, shared
			if strict {
				o.Moments = append(slices.Clone(install.Moments), install.StrictMoments...)
			}
			rep, err := doInstall(cmd.Context(), w.Session.Repo(), o)
			if err != nil {
				return err
			}
			if err := printDone(env, rep, asJSON); err != nil {
				return err
			}
			if bare(w.Session.Repo()) {
				env.Talk().Note("nobody commits in a bare repository; to verify what is pushed to it: covenant hooks install --server")
			}
			return setStrict(cmd.Context(), w, strict)
		},
	}
	a.bind(cmd)
	f := cmd.Flags()
	f.BoolVar(&strict, "strict", false, "refuse moves of protected refs on the spot, at the cost of two processes for each moved ref; what can't be answered, a missing covenant-hook included, stops Git")
	f.BoolVar(&shared, "shared", false, "also write into a hooks folder that others use: other repositories, or everybody, where its files are tracked")
	f.BoolVar(&server, "server", false, "in a bare repository: verify what is pushed to it")
	f.StringVar(&root, "root", "", "with --server: digest of the trust root to pin, got from somebody you trust")
	f.BoolVar(&asJSON, "json", false, "print one JSON object per hook")
	return cmd
}

// installServer installs the moments of a repository that others push to, and pins its trust root.
func installServer(ctx context.Context, w *work.Work, root string, shared, asJSON bool) error {
	r := w.Session.Repo()
	if !bare(r) {
		return cli.Hint(errors.New("this repository is not bare: people commit in it"), "on the server, in the repository that is pushed to: git clone --bare, or git init --bare", "here: covenant hooks install")
	}
	pinned, _ := r.Config().Get(provenance.PinKey)
	switch {
	case root == "" && pinned == "":
		return cli.Hint(errors.New("no trust root is pinned here, and --root names none"),
			"ask an operator for the digest (covenant trust show), then: covenant hooks install --server --root sha256:…")
	case root != "" && pinned != "" && root != pinned:
		return cli.No(cli.Hint(fmt.Errorf("this repository pins trust root %s, not %s", pinned, root), "give the pin up, when you are sure: git config --unset "+provenance.PinKey))
	case root != "":
		if _, err := work.Digest("--root", root); err != nil {
			return err
		}
	}
	o := options(w.Env)
	o.Strict, o.Shared, o.Moments = true, shared, install.ServerMoments
	rep, err := doInstall(ctx, r, o)
	if err != nil {
		return err
	}
	if pinned == "" {
		if err := w.SetConfig(ctx, false, provenance.PinKey, root); err != nil {
			return err
		}
	}
	return printDone(w.Env, rep, asJSON)
}

// setStrict remembers the mode; leaving it takes its own hooks out, entering it says what they cost.
func setStrict(ctx context.Context, w *work.Work, strict bool) error {
	r := w.Session.Repo()
	if !strict {
		if !hooks.Strict(r) {
			return nil
		}
		o := options(w.Env)
		o.Moments = install.StrictMoments
		if _, err := install.Uninstall(ctx, r, o); err != nil {
			return err
		}
		_, err := r.Run(ctx, nil, "config", "--unset-all", hooks.StrictKey)
		return err
	}
	if err := w.SetConfig(ctx, false, hooks.StrictKey, "true"); err != nil {
		return err
	}
	root := inForce(w)
	if root != nil && (root.Policy == nil || len(root.Policy.Protected) == 0) {
		w.Env.Talk().Warn("the policy protects no ref: strict mode refuses no move until it does")
		w.Env.Talk().Hint(`name what to protect, such as "protected": ["refs/heads/main"], in: covenant policy edit`)
	}
	kind, probe := probeOf(root)
	with, without, err := costOfMove(ctx, w, probe)
	var failed *git.CommandError
	switch {
	case errors.Is(err, git.ErrMissing):
		w.Env.Talk().Note("strict mode: what moving a branch takes was not measured, there is no commit yet")
	case errors.As(err, &failed):
		w.Env.Talk().Note("strict mode: what moving a branch takes was not measured: git: %s", strings.TrimSpace(failed.Stderr))
	case err != nil:
		return err
	default:
		w.Env.Talk().Note("strict mode: moving a %s takes %.1f ms here, %.1f ms without its hook; each moved ref costs that, packing refs too", kind, with, without)
	}
	return nil
}

// inForce is the trust root in force; nil in a repository that is not governed yet.
func inForce(w *work.Work) *provenance.Root {
	pin, err := w.Pin("")
	if err != nil {
		return nil
	}
	root, err := provenance.OpenRoot(w.Session, pin)
	if err != nil {
		return nil
	}
	return root
}

// probeOf names a ref to measure with that the policy does not protect: a move of it is not refused, and a refusal is recorded.
func probeOf(root *provenance.Root) (kind, ref string) {
	const name = "covenant-strict-probe"
	if root == nil || !root.Policy.Protects("refs/heads/"+name) {
		return "branch", "refs/heads/" + name
	}
	if !root.Policy.Protects("refs/tags/" + name) {
		return "tag", "refs/tags/" + name
	}
	return "ref that is neither branch nor tag", "refs/" + name + "/ref"
}

// costOfMove makes and deletes a ref a few times, with hooks and without, and returns the medians of one move in milliseconds. The
// error wraps git.ErrMissing where there is no commit to point it at.
func costOfMove(ctx context.Context, w *work.Work, probe string) (with, without float64, err error) {
	const times = 5
	r := w.Session.Repo()
	head, err := w.Session.Commit("HEAD")
	if err != nil {
		return 0, 0, err
	}
	none := strings.Repeat("0", len(head.ID.String())) // it must not be there: a ref of that name is somebody's
	var took [2][]float64
	for i := range 2 * times {
		var off []string
		if i%2 == 1 {
			off = []string{"-c", "core.hooksPath=" + os.DevNull, "-c", "hook.covenant-reference-transaction.enabled=false"}
		}
		for _, args := range [][]string{{"update-ref", probe, head.ID.String(), none}, {"update-ref", "-d", probe, head.ID.String()}} {
			start := time.Now()
			if _, err := r.Run(ctx, nil, append(slices.Clone(off), args...)...); err != nil {
				if args[1] == "-d" {
					_, _ = r.Run(ctx, nil, "-c", "core.hooksPath="+os.DevNull, "-c", "hook.covenant-reference-transaction.enabled=false", "update-ref", "-d", probe, head.ID.String())
				}
				return 0, 0, err
			}
			took[i%2] = append(took[i%2], float64(time.Since(start).Microseconds())/1000)
		}
	}
	slices.Sort(took[0])
	slices.Sort(took[1])
	return took[0][times], took[1][times], nil
}

func newUninstall(env *cli.Env) *cobra.Command {
	var shared, asJSON bool
	var a agentFlags
	cmd := &cobra.Command{
		Use:   "uninstall",
		Short: "Take the hooks out; what was there before comes back",
		Long: `Take the hooks out. What they replaced comes back byte for byte, with its mode.
Seals that were made stay.`,
		Example: "  covenant hooks uninstall\n  covenant hooks uninstall --agent claude-code",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.alone(cmd, "shared"); err != nil {
				return err
			}
			if a.name != "" {
				return a.uninstall(cmd.Context(), env, asJSON)
			}
			w, err := work.Open(cmd.Context(), env)
			if err != nil {
				return err
			}
			defer w.Close()
			o := options(env)
			o.Moments, o.Shared = nil, shared
			rep, err := install.Uninstall(cmd.Context(), w.Session.Repo(), o)
			if err != nil {
				return err
			}
			return printDone(env, rep, asJSON)
		},
	}
	a.bind(cmd)
	cmd.Flags().BoolVar(&shared, "shared", false, "also from a hooks folder that other repositories use")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per hook")
	return cmd
}

func printDone(env *cli.Env, rep install.Report, asJSON bool) error {
	for _, d := range rep.Moments {
		if asJSON {
			if err := env.JSON(Line{Type: "hook", Moment: d.Moment, Action: string(d.Action), Where: d.Where, Chained: d.Chained, Note: d.Note}); err != nil {
				return err
			}
			continue
		}
		line := fmt.Sprintf("%-10s %-16s %s", d.Action, d.Moment, say.Name(d.Where))
		if d.Chained != "" {
			line += "\n           after your own hook, kept as " + say.Name(d.Chained)
		}
		if d.Note != "" {
			line += "\n           " + say.Line(d.Note)
		}
		if _, err := fmt.Fprintln(env.Out, line); err != nil {
			return err
		}
	}
	return nil
}

func newStatus(env *cli.Env) *cobra.Command {
	var asJSON bool
	var a agentFlags
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Prove for each hook whether Git reaches it, by having Git fire it",
		Long: `Prove for each hook whether Git reaches covenant-hook, by having Git fire it as a
probe that does nothing else. The exit code is 1 when one is not reached.

With --agent, and for agents whose hooks were installed from here: the line that stands in
the settings is run as the agent would run it, with a probe. Whether the agent runs it is
told by its settings; that it does, only by the agent.`,
		Example: "  covenant hooks status\n  covenant hooks status --agent codex --user",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.alone(cmd); err != nil {
				return err
			}
			if a.name != "" {
				return a.status(cmd.Context(), env, asJSON)
			}
			w, err := work.Open(cmd.Context(), env)
			if err != nil {
				return err
			}
			defer w.Close()
			list, err := install.Status(cmd.Context(), w.Session.Repo(), here(env, w.Session.Repo()))
			if err != nil {
				return err
			}
			err = printStatus(env, list, asJSON)
			for _, p := range AgentPlaces(env, w.Session.Repo()) {
				said, lerr := look(cmd.Context(), env, p)
				if lerr != nil {
					return lerr
				}
				if perr := printAgents(env, p.Agent, said, asJSON); err == nil {
					err = perr
				}
			}
			return err
		},
	}
	a.bind(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per hook")
	return cmd
}

func printStatus(env *cli.Env, list []install.MomentStatus, asJSON bool) error {
	p := env.Palette()
	bad := false
	for _, m := range list {
		bad = bad || m.State != install.Reached
		if asJSON {
			if err := env.JSON(Line{Type: "hook", Moment: m.Moment, State: string(m.State), Where: m.Where, By: m.By, Mend: m.Mend}); err != nil {
				return err
			}
			continue
		}
		word := p.Good(fmt.Sprintf("%-14s", m.State))
		if m.State != install.Reached {
			word = p.Bad(fmt.Sprintf("%-14s", m.State))
		}
		line := word + " " + m.Moment
		if m.Where != "" {
			line = fmt.Sprintf("%s %-16s %s", word, m.Moment, say.Name(m.Where))
		}
		if m.By != "" {
			line += "\n               by " + say.Line(m.By)
		}
		if m.Mend != "" && m.State != install.Reached {
			line += "\n               hint: " + say.Line(m.Mend)
		}
		if _, err := fmt.Fprintln(env.Out, line); err != nil {
			return err
		}
	}
	if bad {
		return cli.No(nil)
	}
	return nil
}

// newRun is what covenant-hook hands a moment to when it meets a kind of key that it does not link.
func newRun(env *cli.Env) *cobra.Command {
	return &cobra.Command{
		Use:   "run MOMENT [ARGUMENT]...",
		Short: "Do what is to do at a moment, as covenant-hook does",
		Long: `Do what is to do at one of Git's moments, as covenant-hook does. covenant-hook
starts it when it meets a kind of key that only this program links.`,
		Example: "  covenant hooks run post-commit",
		Args:    cobra.MinimumNArgs(1),
		Hidden:  true,
		RunE: func(cmd *cobra.Command, args []string) error {
			in := hooks.Input{
				Moment: args[0], Args: args[1:], Dir: env.Dir, Env: env.Environ, ConfigDir: work.ConfigDir(env), Confirm: terminal.Confirm, Out: env.Err,
				Attended: terminal.Attended(), Ask: terminal.Passphrase, GPG: work.GPG(env), Now: env.Now,
			}
			in.Gate = func(r *git.Repo, root *provenance.Root, a *capability.Authority) verdict.Asker {
				g := gate.Here(env.Exe, in.ConfigDir, r.Config().Get, env.Lookup).For(root.Policy)
				return &gate.Asker{Authority: a, Gate: g, Context: cmd.Context()}
			}
			if hooks.Reads(in.Moment) {
				b, err := io.ReadAll(io.LimitReader(env.In, 64<<20))
				if err != nil {
					return err
				}
				in.Stdin = bytes.NewReader(b)
			}
			_, err := hooks.Run(cmd.Context(), in)
			var re *hooks.RefusedError
			if errors.As(err, &re) {
				return cli.No(cli.Hint(re, re.Hint...))
			}
			if err != nil && hooks.Quiet(in.Moment) {
				return nil
			}
			var se *hooks.SealError
			if errors.As(err, &se) {
				ids := make([]string, 0, len(se.Commits))
				for _, id := range se.Commits {
					ids = append(ids, id.Short())
				}
				return cli.Hint(fmt.Errorf("the commit stands, but it is not sealed: %w", err), hooks.Mend(se.Err), "then: covenant provenance seal "+strings.Join(ids, " "))
			}
			return err
		},
	}
}
