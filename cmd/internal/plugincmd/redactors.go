package plugincmd

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/runtime/gate"
)

// redactors is what is to be done about the redactors of the configuration.
type redactors struct {
	add, remove, path string
	global, json      bool
}

func newRedactors(env *cli.Env) *cobra.Command {
	var o redactors
	cmd := &cobra.Command{
		Use:   "redactors",
		Short: "See, add and remove the programs that find more secrets than the rules do",
		Long: `A redactor is a program that is shown what tools and commands said, before it is written
to the record, and names the secrets in it: those are taken out, as what the built-in rules
find. It is asked by "audit append", "evidence run" and "audit scan", and where it is
missing, changed, or gives no answer, nothing is written.

Its program is covenant-redactor-NAME beside covenant, or in plugins/ of your
configuration directory, or what --path says. It is yours, and no part of the trust root:
it is named in Git's configuration, with the digest of its file. Without --add or
--remove those that are named are listed, and asked whether they answer; the exit code is 1
when one does not.`,
		Example: `  covenant plugin redactors --add gitleaks
  covenant plugin redactors --add ours --path /opt/redact/ours --global
  covenant plugin redactors --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), env) },
	}
	f := cmd.Flags()
	f.StringVar(&o.add, "add", "", "name one, and pin it to the program that is there now")
	f.StringVar(&o.remove, "remove", "", "ask this one no more")
	f.StringVar(&o.path, "path", "", "with --add, its program (default: where it is looked for)")
	f.BoolVar(&o.global, "global", false, "for all your repositories, not for this one alone")
	f.BoolVar(&o.json, "json", false, "print one JSON object per redactor")
	return cmd
}

func (o *redactors) run(ctx context.Context, env *cli.Env) error {
	if o.add != "" && o.remove != "" || o.path != "" && o.add == "" {
		return cli.Usage("--add NAME with or without --path, or --remove NAME, or neither")
	}
	w, err := work.Open(ctx, env)
	if err != nil {
		return err
	}
	defer w.Close()
	switch {
	case o.add != "":
		return o.adds(ctx, w)
	case o.remove != "":
		return o.removes(ctx, w)
	}
	return o.list(ctx, w)
}

// set runs git config where the answer is to be kept.
func (o *redactors) set(ctx context.Context, w *work.Work, args ...string) error {
	where := "--local"
	if o.global {
		where = "--global"
	}
	_, err := w.Session.Repo().Run(ctx, nil, append([]string{"config", where}, args...)...)
	return err
}

func (o *redactors) adds(ctx context.Context, w *work.Work) error {
	configured := ""
	if o.path != "" {
		configured = w.Env.Path(o.path)
	}
	local := gate.Here(w.Env.Exe, work.ConfigDir(w.Env), w.Session.Repo().Config().Get, w.Env.Lookup)
	path, err := local.Redactor(o.add, configured)
	if err != nil {
		return cli.Hint(err, "install it beside covenant, or name it: --path PATH", "gitleaks comes with the sources of covenant: make gitleaks")
	}
	digest, err := gate.Digest(path)
	if err != nil {
		return err
	}
	one := &gate.Redactors{Program: local.Program, Env: local.Env, Plugins: []gate.Plugin{{Name: o.add, Path: path, Digest: digest}}}
	if _, err := one.Find(ctx, "a word"); err != nil {
		return cli.No(cli.Hint(err, "it is not named: one that gives no answer keeps everything from being written"))
	}
	if configured != "" {
		if err := o.set(ctx, w, gate.RedactorPathKey(o.add), configured); err != nil {
			return err
		}
	}
	if err := o.set(ctx, w, gate.RedactorDigestKey(o.add), digest); err != nil {
		return err
	}
	if err := o.set(ctx, w, "--replace-all", gate.RedactorKey, o.add, "^"+o.add+"$"); err != nil {
		return err
	}
	l := Listed{Type: "redactor", Name: o.add, State: "ok", Pin: digest, Digest: digest, Path: path}
	return l.print(w.Env, o.json)
}

func (o *redactors) removes(ctx context.Context, w *work.Work) error {
	if !gate.ValidName(o.remove) {
		return cli.Usage("%q is no name of a plugin", o.remove)
	}
	if err := o.set(ctx, w, "--unset-all", gate.RedactorKey, "^"+o.remove+"$"); err != nil {
		return cli.No(cli.Hint(fmt.Errorf("no redactor %s is named there", say.Name(o.remove)), "see which are: covenant plugin redactors", "those of all repositories: --global"))
	}
	_ = o.set(ctx, w, "--remove-section", gate.RedactorKey+"."+o.remove)
	return nil
}

func (o *redactors) list(ctx context.Context, w *work.Work) error {
	cfg := w.Session.Repo().Config()
	local := gate.Here(w.Env.Exe, work.ConfigDir(w.Env), cfg.Get, w.Env.Lookup)
	bad, n := 0, 0
	seen := map[string]bool{}
	for _, name := range cfg.All(gate.RedactorKey) {
		if seen[name] || name == "" {
			continue
		}
		seen[name] = true
		n++
		l := Listed{Type: "redactor", Name: name, State: "ok"}
		l.Pin, _ = cfg.Get(gate.RedactorDigestKey(name))
		configured, _ := cfg.Get(gate.RedactorPathKey(name))
		var err error
		if l.Path, err = local.Redactor(name, configured); err == nil {
			l.Digest, err = gate.Digest(l.Path)
		}
		switch {
		case err != nil:
			l.State, l.Reason = "missing", err.Error()
		case l.Pin == "":
			l.State, l.Reason = "unpinned", gate.RedactorDigestKey(name)+" says no digest"
		case l.Pin != l.Digest:
			l.State, l.Reason = "changed", "it is not the program that is pinned"
		default:
			one := &gate.Redactors{Program: local.Program, Env: local.Env, Plugins: []gate.Plugin{{Name: name, Path: l.Path, Digest: l.Pin}}}
			if _, err := one.Find(ctx, "a word"); err != nil {
				l.State, l.Reason = "failed", err.Error()
			}
		}
		if l.State != "ok" {
			bad++
		}
		if err := l.print(w.Env, o.json); err != nil {
			return err
		}
	}
	switch {
	case bad > 0:
		return cli.No(cli.Hint(fmt.Errorf("%d of %s not as it should be: nothing is written that it did not look at", bad, say.Count(n, "redactor")), "after an update of it: covenant plugin redactors --add NAME", "do without: covenant plugin redactors --remove NAME"))
	case n == 0 && !o.json:
		w.Env.Talk().Note("none is named; the built-in rules are in docs/spec/redaction.md")
	}
	return nil
}
