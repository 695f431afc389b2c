// Package plugincmd is the command group "plugin": the capability plugins that
// must allow what is asked here, beside the built-in checker.
package plugincmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/trustcmd"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/canonical"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/git/provenance"
	"github.com/open-covenant/covenant-git/plugins/pluginapi"
	"github.com/open-covenant/covenant-git/runtime/gate"
)

// New returns the command group.
func New(env *cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plugin",
		Short: "See and pin the programs that decide with the built-in checker",
		Long: `A capability plugin is a program that must allow what is asked, beside the built-in
checker. It is pinned in the trust root by the digest of its file, for each platform,
with its configuration. One that is missing, changed, or gives no answer denies.

Its program is covenant-capability-NAME beside covenant, or in plugins/ of your
configuration directory, or what git config covenant.plugin.NAME.path says.`,
	}
	cmd.AddCommand(newList(env), newPin(env), newUnpin(env), newVerify(env), newDoctor(env), newRedactors(env))
	return cmd
}

const platform = runtime.GOOS + "/" + runtime.GOARCH

// Listed is one line of list, verify and doctor with --json.
type Listed struct {
	Type   string `json:"type"` // "plugin"
	Name   string `json:"name"`
	State  string `json:"state"`            // "ok", "missing", "changed", "unpinned" (for this platform), "failed"
	Pin    string `json:"pin,omitempty"`    // for this platform
	Digest string `json:"digest,omitempty"` // of the program that is there
	Path   string `json:"path,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// look finds the programs of the policy's plugins, the built-in checker first.
func look(w *work.Work, p *trust.Policy) []Listed {
	out := []Listed{{Type: "plugin", Name: gate.Builtin, State: "ok", Path: w.Gate(nil).Program}}
	if _, err := os.Stat(out[0].Path); err != nil {
		out[0].State, out[0].Reason = "missing", err.Error()
	}
	for _, g := range w.Gate(p).Plugins {
		l := Listed{Type: "plugin", Name: g.Name, State: "ok", Pin: g.Digest, Path: g.Path}
		digest, err := gate.Digest(g.Path)
		switch {
		case err != nil:
			l.State, l.Reason = "missing", err.Error()
		case g.Digest == "":
			l.State, l.Digest, l.Reason = "unpinned", digest, "it is not pinned for "+platform
		case g.Digest != digest:
			l.State, l.Digest, l.Reason = "changed", digest, "it is not the program that is pinned"
		default:
			l.Digest = digest
		}
		out = append(out, l)
	}
	return out
}

func (l *Listed) print(env *cli.Env, asJSON bool) error {
	if asJSON {
		return env.JSON(l)
	}
	p := env.Palette()
	word := p.Good(fmt.Sprintf("%-8s", l.State))
	if l.State != "ok" {
		word = p.Bad(fmt.Sprintf("%-8s", l.State))
	}
	line := fmt.Sprintf("%s %-16s %s", word, l.Name, say.Name(l.Path))
	if l.Pin != "" {
		line += " " + envelope.Digest(l.Pin).Short()
	}
	if l.Reason != "" {
		line += "\n         " + say.Line(l.Reason)
	}
	_, err := fmt.Fprintln(env.Out, line)
	return err
}

type opened struct {
	w    *work.Work
	root *provenance.Root
}

func open(ctx context.Context, env *cli.Env) (*opened, error) {
	w, err := work.Open(ctx, env)
	if err != nil {
		return nil, err
	}
	pin, err := w.Pin("")
	if err == nil {
		var root *provenance.Root
		if root, err = provenance.OpenRoot(w.Session, pin); err == nil {
			return &opened{w, root}, nil
		}
	}
	w.Close()
	return nil, work.Explain(err)
}

func newList(env *cli.Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the checkers and where their programs are",
		Long:    `List the built-in checker and the plugins the policy pins, with what this machine has of them.`,
		Example: "  covenant plugin list --json | jq -r 'select(.state!=\"ok\").name'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := open(cmd.Context(), env)
			if err != nil {
				return err
			}
			defer o.w.Close()
			for _, l := range look(o.w, o.root.Policy) {
				if err := l.print(env, asJSON); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per checker")
	return cmd
}

func newPin(env *cli.Env) *cobra.Command {
	var path, on, digest string
	var config []string
	var asJSON, force bool
	cmd := &cobra.Command{
		Use:   "pin NAME",
		Short: "Pin a plugin in the trust root: from then on it must allow what is asked",
		Long: `Pin a plugin in a new version of the trust root, by the digest of its program for this
platform, or for the one --platform names. What it is configured by is pinned with
it. A plugin that is pinned already gets the new pin; its pins for other platforms stay.
It is asked first: one that denies a plain request of an operator is not pinned.`,
		Example: `  covenant plugin pin cedar --config agents.cedar
  covenant plugin pin cedar --platform darwin/arm64 --digest sha256:…`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := args[0]
			if !gate.ValidName(name) {
				return cli.Usage("%q is no name of a plugin", name)
			}
			files, err := readConfig(env, config)
			if err != nil {
				return err
			}
			return trustcmd.Do(cmd.Context(), env, trustcmd.Change{Act: "pin plugin " + name, JSON: asJSON, Edit: func(h *trustcmd.Hand, r *trust.Root) ([]identity.Signer, error) {
				d, file, kept := digest, env.Path(path), ""
				if d == "" {
					found, err := find(h.Work, env, name)
					switch {
					case path == "" && err != nil:
						return nil, err
					case path == "":
						file = found
					case found != file && on == platform: // where the gate would not look
						kept = file
					}
					if d, err = gate.Digest(file); err != nil {
						return nil, err
					}
				}
				if err := pin(r, name, on, d, files); err != nil {
					return nil, err
				}
				if on != platform || digest != "" {
					return nil, nil // it can't be asked here
				}
				if !force {
					if err := answers(cmd.Context(), h.Work, r.Policy, name, file, env.Now()); err != nil {
						return nil, err
					}
				}
				if kept == "" {
					return nil, nil
				}
				env.Talk().Note("it is found there: git config %s %s", gate.PathKey(name), say.Shell(kept))
				return nil, h.Work.SetConfig(cmd.Context(), false, gate.PathKey(name), kept)
			}})
		},
	}
	f := cmd.Flags()
	f.StringVar(&path, "path", "", "the program (default: where it is looked for); this clone finds it there from then on")
	f.StringVar(&on, "platform", platform, "the platform it is for: GOOS/GOARCH")
	f.StringVar(&digest, "digest", "", "its digest, sha256:…, when the program is not here")
	f.StringArrayVar(&config, "config", nil, "file of its configuration, kept in the trust root; may be repeated")
	f.BoolVar(&force, "force", false, "also when it denies what an operator asks, or gives no answer")
	f.BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// answers asks the plugin that is about to be pinned: one that can't be relied on, with this configuration, would deny everything.
func answers(ctx context.Context, w *work.Work, p *trust.Policy, name, file string, now time.Time) error {
	g := *w.Gate(p)
	g.Resident = false
	g.Plugins = slices.DeleteFunc(slices.Clone(g.Plugins), func(x gate.Plugin) bool { return x.Name != name })
	for i := range g.Plugins {
		g.Plugins[i].Path = file
	}
	ds, err := g.Ask(ctx, []*pluginapi.Request{probe(now)})
	switch {
	case err != nil:
		return err
	case ds[0].Failure != "" || !ds[0].Allowed:
		return cli.No(cli.Hint(fmt.Errorf("%s is not pinned: with this configuration it denies what operators ask: %s", name, ds[0].Reason),
			"mend its configuration, or the program; read docs/guide/plugins.md", "pin it all the same: --force"))
	}
	return nil
}

func find(w *work.Work, env *cli.Env, name string) (string, error) {
	configured, _ := w.Session.Repo().Config().Get(gate.PathKey(name))
	local := gate.Here(env.Exe, work.ConfigDir(env), w.Session.Repo().Config().Get, env.Lookup)
	p, err := gate.Find(name, configured, local.Dirs...)
	return p, cli.Hint(err, "name the program: --path PATH")
}

func readConfig(env *cli.Env, files []string) (map[string]string, error) {
	if len(files) == 0 {
		return nil, nil
	}
	out := map[string]string{}
	for _, f := range files {
		b, err := os.ReadFile(env.Path(f))
		if err != nil {
			return nil, err
		}
		name := filepath.Base(f)
		if _, twice := out[name]; twice {
			return nil, cli.Usage("two files are called %s", name)
		}
		out[name] = string(b)
	}
	return out, nil
}

// pin sets a pin in the draft of the next version.
func pin(r *trust.Root, name, on, digest string, config map[string]string) error {
	if r.Policy == nil {
		r.Policy = &trust.Policy{Version: 1}
	}
	i, found := slices.BinarySearchFunc(r.Policy.Plugins, name, func(p trust.Plugin, n string) int { return strings.Compare(p.Name, n) })
	if !found {
		r.Policy.Plugins = slices.Insert(slices.Clone(r.Policy.Plugins), i, trust.Plugin{Name: name})
	}
	p := &r.Policy.Plugins[i]
	pins := map[string]string{on: digest}
	for k, v := range p.Pins {
		if k != on {
			pins[k] = v
		}
	}
	p.Pins = pins
	if config != nil {
		p.Config = config
	}
	return r.Policy.Validate()
}

func newUnpin(env *cli.Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "unpin NAME",
		Short:   "Take a plugin out of the trust root",
		Long:    `Take a plugin out of a new version of the trust root: nobody asks it any more.`,
		Example: "  covenant plugin unpin cedar",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return trustcmd.Do(cmd.Context(), env, trustcmd.Change{Act: "unpin plugin " + args[0], JSON: asJSON, Edit: func(_ *trustcmd.Hand, r *trust.Root) ([]identity.Signer, error) {
				if r.Policy == nil {
					return nil, nil
				}
				r.Policy.Plugins = slices.DeleteFunc(slices.Clone(r.Policy.Plugins), func(p trust.Plugin) bool { return p.Name == args[0] })
				text, err := canonical.Marshal(r.Policy)
				if err == nil {
					r.Policy, err = trust.ParsePolicy(text) // nil when nothing is left that it says
				}
				return nil, err
			}})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func newVerify(env *cli.Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Ask every checker something, and tell which ones can't be relied on",
		Long: `Compare each plugin's program with its pin, start it as the gate does, and ask it
something. The exit code is 1 when one is missing, changed or gives no answer: then
everything is denied here.`,
		Example: "  covenant plugin verify",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return verify(cmd.Context(), env, asJSON, false) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per checker")
	return cmd
}

func newDoctor(env *cli.Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Tell what is wrong with a checker, how long they take, and what mends it",
		Long: `What verify does, with how long an answer takes cold and through the resident host,
and what mends each thing that is wrong.`,
		Example: "  covenant plugin doctor",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return verify(cmd.Context(), env, asJSON, true) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per checker")
	return cmd
}

// probe asks what an operator may always ask: it is answered by a checker that works.
func probe(now time.Time) *pluginapi.Request {
	return &pluginapi.Request{
		Version: pluginapi.Version, ID: strings.Repeat("0", 32), Repository: "probe", At: envelope.Timestamp(now), Action: "repo.commit",
		Principal: pluginapi.Principal{Name: "probe", Kind: "human", Accountable: "probe", Operator: true},
	}
}

func verify(ctx context.Context, env *cli.Env, asJSON, advise bool) error {
	o, err := open(ctx, env)
	if err != nil {
		return err
	}
	defer o.w.Close()
	bad := false
	list := look(o.w, o.root.Policy)
	whole := o.w.Gate(o.root.Policy)
	for i := range list {
		l := &list[i]
		if l.State == "ok" {
			g := *whole
			g.Plugins, g.Resident = nil, false
			if i > 0 {
				g.Plugins = whole.Plugins[i-1 : i]
			}
			ds, err := g.Ask(ctx, []*pluginapi.Request{probe(env.Now())})
			// A plugin may deny; what counts is that it answers.
			if err != nil || ds[0].Failure != "" {
				l.State, l.Reason = "failed", ds[0].Reason
			}
		}
		bad = bad || l.State != "ok"
		if err := l.print(env, asJSON); err != nil {
			return err
		}
		if h := mend(l); advise && !asJSON && h != "" {
			if _, err := fmt.Fprintf(env.Out, "         hint: %s\n", say.Line(h)); err != nil {
				return err
			}
		}
	}
	if advise && !asJSON {
		if err := timing(ctx, env, whole); err != nil {
			return err
		}
	}
	if bad {
		return cli.No(nil)
	}
	return nil
}

func mend(l *Listed) string {
	switch l.State {
	case "missing":
		if l.Name == gate.Builtin {
			return "install all programs: make install"
		}
		return "install it as " + gate.Prefix + l.Name + ", or say where it is: git config " + gate.PathKey(l.Name) + " PATH"
	case "changed":
		return "install the pinned one; or, if this one is meant, an operator pins it: covenant plugin pin " + l.Name
	case "unpinned":
		return "an operator pins it for this platform: covenant plugin pin " + l.Name
	case "failed":
		return "run the program by hand to see what it says, and read docs/spec/plugins.md"
	}
	return ""
}

func timing(ctx context.Context, env *cli.Env, g *gate.Gate) error {
	for _, resident := range []bool{false, true} {
		if resident && !g.Resident {
			_, err := fmt.Fprintf(env.Out, "no resident host is used here; use one with: git config %s true\n", gate.HostKey)
			return err
		}
		one := *g
		one.Resident = resident
		if resident { // the first one may start it
			_, _ = one.Ask(ctx, []*pluginapi.Request{probe(env.Now())})
		}
		start := time.Now()
		_, err := one.Ask(ctx, []*pluginapi.Request{probe(env.Now())})
		took := time.Since(start)
		var failed *gate.Error
		if errors.As(err, &failed) {
			_, err := fmt.Fprintf(env.Out, "no answer: %s\n", say.Line(failed.Error()))
			return err
		}
		how := "cold"
		if resident {
			how = "through the resident host"
		}
		if _, err := fmt.Fprintf(env.Out, "an answer takes %.1f ms, %s\n", float64(took.Microseconds())/1000, how); err != nil {
			return err
		}
	}
	return nil
}
