// Package install puts covenant-hook where Git calls it, beside whatever is there
// already, and takes it away again without a trace.
//
// There are three ways, and [Install] takes the first that fits:
//
//   - Git 2.54 and newer runs hooks named in the configuration beside hook files and
//     whatever core.hooksPath says: hook.covenant-MOMENT.event and .command, in the
//     configuration of the repository.
//   - Under husky the folder that Git runs is husky's own, so a section between the
//     marks "# >>> covenant" and "# <<< covenant" goes to the file of the moment that
//     husky runs.
//   - Else a hook file. A hook that was there is kept, byte for byte and with its mode,
//     as MOMENT.pre-covenant; our file runs it first, with the same arguments,
//     environment and input, and its failure counts as before.
//
// A folder that other repositories use too (core.hooksPath of the user or the system,
// or one outside the repository) is left alone unless [Options.Shared] says otherwise.
// core.hooksPath itself is never set.
//
// What is installed starts covenant-hook by its absolute path, else finds it on PATH.
// When it is neither there nor on PATH it says so in one line and lets Git go on,
// unless [Options.Strict] was given.
//
// [Status] proves that covenant-hook is reached: it has Git run our hook with
// [ProbeVariable] set. Hooks of others never run for that.
package install

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/git"
)

// ProbeVariable names, in the environment of a probed hook, the file to which
// covenant-hook adds a line with its moment, and does nothing else.
const ProbeVariable = "COVENANT_PROBE"

// Moments are the hooks that are installed when [Options] names none: those before and
// after commits come to be, and before a push.
var Moments = []string{
	"pre-commit", "pre-merge-commit", "pre-applypatch", "commit-msg",
	"post-commit", "post-merge", "post-applypatch", "post-rewrite", "pre-push",
}

// StrictMoments are installed besides in strict mode.
var StrictMoments = []string{"reference-transaction"}

// ServerMoments are installed where pushes arrive, and nothing else.
var ServerMoments = []string{"pre-receive", "post-receive"}

// A moment is what githooks(5) says of a hook.
type moment struct {
	input bool // Git writes to its standard input
	gate  bool // when it fails, Git does not go on
	husky bool // husky 9 runs it
}

var known = map[string]moment{
	"applypatch-msg":        {gate: true, husky: true},
	"commit-msg":            {gate: true, husky: true},
	"post-applypatch":       {husky: true},
	"post-checkout":         {husky: true},
	"post-commit":           {husky: true},
	"post-merge":            {husky: true},
	"post-receive":          {input: true},
	"post-rewrite":          {input: true, husky: true},
	"post-update":           {},
	"pre-applypatch":        {gate: true, husky: true},
	"pre-auto-gc":           {gate: true, husky: true},
	"pre-commit":            {gate: true, husky: true},
	"pre-merge-commit":      {gate: true, husky: true},
	"pre-push":              {input: true, gate: true, husky: true},
	"pre-rebase":            {gate: true, husky: true},
	"pre-receive":           {input: true, gate: true},
	"prepare-commit-msg":    {gate: true, husky: true},
	"push-to-checkout":      {gate: true},
	"reference-transaction": {input: true, gate: true},
	"update":                {gate: true},
}

// Options say what to install. For [Uninstall] and [Status] only Moments, Shared and
// Env count.
type Options struct {
	Binary  string   // absolute path of covenant-hook; it need not exist yet
	Strict  bool     // a missing covenant-hook fails the hook
	Shared  bool     // also in a folder that others use: other repositories, or everybody, where its files are tracked
	Files   bool     // hook files even where Git has hooks in the configuration
	Moments []string // nil: [Moments]; for Uninstall all there are
	Env     []string // what Status probes under, as git.Options.Env
}

// ErrOptions says that the options cannot be followed: the binary is no absolute
// path, or there is no such moment.
var ErrOptions = errors.New("bad options")

// A SharedError says that nothing was installed because the folder Git takes hooks
// from is not this repository's own. The report that comes with it has a snippet for
// each moment, to be put there by hand.
type SharedError struct {
	Dir   string // the folder
	Scope string // where core.hooksPath is set: "global", "system", …; "" when it is not
	// Tracked: its files are part of the repository's content. What is written there is committed.
	Tracked bool
}

func (e *SharedError) Error() string {
	if e.Tracked {
		return fmt.Sprintf("core.hooksPath is %s, whose files are tracked: what is written there is committed, for everybody", e.Dir)
	}
	if e.Scope == "" {
		return fmt.Sprintf("the hooks folder is %s, outside the repository", e.Dir)
	}
	return fmt.Sprintf("core.hooksPath (%s) is %s, which other repositories may use too", e.Scope, e.Dir)
}

// An Action is what was done at one moment.
type Action string

// The actions.
const (
	Installed Action = "installed"
	Updated   Action = "updated" // ours was there, with other settings
	Kept      Action = "kept"    // ours was there already, just so
	Removed   Action = "removed"
	Restored  Action = "restored" // removed, and what was there before put back
	Refused   Action = "refused"  // a person has to: see Snippet
)

// Done says what was done at one moment.
type Done struct {
	Moment  string
	Action  Action
	Where   string // the file, or the key in the configuration
	Chained string // the file with the hook that ours runs first, "" when there is none
	Snippet string // what a person can put into a hook of their own
	Note    string // what a person should know
}

// A Report says what was done. Moments at which there was nothing to do for
// [Uninstall] are not in it.
type Report struct {
	Manager string // "config", "husky" or "files"
	Dir     string // the folder with hook files, absolute
	Moments []Done
}

// Install makes Git call covenant-hook at the moments of o. It is idempotent, renews
// what an older call installed with other options, and mends what another manager
// moved aside meanwhile. A call that fails leaves the moments it did not come to as
// they were; the report holds what was done.
//
// The errors are [ErrOptions], *[SharedError], and those of git and the file system.
func Install(ctx context.Context, repo *git.Repo, o Options) (Report, error) {
	moments, err := o.moments(Moments)
	if err != nil {
		return Report{}, err
	}
	if !filepath.IsAbs(o.Binary) || strings.ContainsRune(o.Binary, 0) {
		return Report{}, fmt.Errorf("%w: %q is no absolute path of a program", ErrOptions, o.Binary)
	}
	p, err := find(ctx, repo)
	if err != nil {
		return Report{}, err
	}
	unlock, err := repo.Lock(ctx)
	if err != nil {
		return Report{}, err
	}
	defer unlock()

	if p.configured && !o.Files {
		return p.installConfig(ctx, moments, o)
	}
	report := Report{Manager: "files", Dir: p.dir}
	if p.husky != nil {
		report.Manager = "husky"
	}
	tracked := false
	if !p.shared && p.husky == nil && p.scope != "" {
		if tracked, err = p.tracked(ctx); err != nil {
			return report, err
		}
	}
	if (p.shared || tracked) && !o.Shared {
		for _, m := range moments {
			report.Moments = append(report.Moments, Done{
				Moment: m, Action: Refused, Where: filepath.Join(p.dir, m), Snippet: section(m, o.call(), ""),
			})
		}
		return report, &SharedError{Dir: p.dir, Scope: p.scope, Tracked: tracked}
	}
	for _, m := range moments {
		done, err := p.installFile(m, o.call())
		if err != nil {
			return report, fmt.Errorf("install %s: %w", m, err)
		}
		report.Moments = append(report.Moments, done)
		if err := p.unsetConfig(ctx, m); err != nil { // else newer releases of Git call us twice
			return report, fmt.Errorf("install %s: %w", m, err)
		}
	}
	return report, nil
}

// installConfig installs by configuration, and takes away what older releases of Git
// needed.
func (p *place) installConfig(ctx context.Context, moments []string, o Options) (Report, error) {
	report := Report{Manager: "config", Dir: p.dir}
	for _, m := range moments {
		done, err := p.setConfig(ctx, m, o.call())
		if err == nil {
			_, err = p.uninstallFiles(m, o.Shared)
		}
		if err != nil {
			return report, fmt.Errorf("install %s: %w", m, err)
		}
		report.Moments = append(report.Moments, done)
	}
	return report, nil
}

// Uninstall takes away what Install made, in every way it knows, and puts back what
// was there before, byte for byte and with its mode. What is left of it elsewhere
// (a folder that core.hooksPath named at the time) is found when it is the folder of
// the repository itself.
func Uninstall(ctx context.Context, repo *git.Repo, o Options) (Report, error) {
	moments, err := o.moments(everyMoment())
	if err != nil {
		return Report{}, err
	}
	p, err := find(ctx, repo)
	if err != nil {
		return Report{}, err
	}
	unlock, err := repo.Lock(ctx)
	if err != nil {
		return Report{}, err
	}
	defer unlock()

	report := Report{Manager: "files", Dir: p.dir}
	switch {
	case p.configured:
		report.Manager = "config"
	case p.husky != nil:
		report.Manager = "husky"
	}
	for _, m := range moments {
		key := configKey(m)
		if _, ok := p.keys[key]; ok {
			if err := p.unsetConfig(ctx, m); err != nil {
				return report, fmt.Errorf("uninstall %s: %w", m, err)
			}
			report.Moments = append(report.Moments, Done{Moment: m, Action: Removed, Where: key})
		}
		done, err := p.uninstallFiles(m, o.Shared)
		report.Moments = append(report.Moments, done...)
		if err != nil {
			return report, fmt.Errorf("uninstall %s: %w", m, err)
		}
	}
	return report, nil
}

// moments returns the moments asked for, or def.
func (o Options) moments(def []string) ([]string, error) {
	if o.Moments == nil {
		return def, nil
	}
	for _, m := range o.Moments {
		if _, ok := known[m]; !ok {
			return nil, fmt.Errorf("%w: Git has no hook %q", ErrOptions, m)
		}
	}
	return o.Moments, nil
}

func everyMoment() []string {
	all := make([]string, 0, len(known))
	for m := range known {
		all = append(all, m)
	}
	slices.Sort(all)
	return all
}
