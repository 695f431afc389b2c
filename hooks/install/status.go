package install

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/open-covenant/covenant-git/git"
)

// A State is whether covenant-hook is reached at a moment.
type State string

// The states.
const (
	Reached       State = "reached"        // proven: Git ran it
	NotInstalled  State = "not installed"  // nothing of ours is there
	Shadowed      State = "shadowed"       // ours is there, and does not run
	BinaryMissing State = "binary missing" // ours runs, and finds no covenant-hook
)

// MomentStatus says whether covenant-hook is reached at a moment, and what to do when
// it is not.
type MomentStatus struct {
	Moment string
	State  State
	Where  string // what is installed: a file, or the key in the configuration
	By     string // what shadows it
	Mend   string // what a person does about it: a command, or a sentence
}

const mendInstall = "covenant hooks install"

// Status finds out, for each moment of o, whether Git reaches covenant-hook there. It
// has Git run our hook with [ProbeVariable] set in o.Env; other hooks do not run: those
// of the configuration are off for it, ours does not go on to the one it is chained
// to, and a hook file of somebody else in front of ours is read, not run. The one
// exception is pre-commit, which is run in an empty folder, where it has no
// configuration and starts nothing but ours.
func Status(ctx context.Context, repo *git.Repo, o Options) ([]MomentStatus, error) {
	moments, err := o.moments(Moments)
	if err != nil {
		return nil, err
	}
	p, err := find(ctx, repo)
	if err != nil {
		return nil, err
	}
	all := make([]MomentStatus, 0, len(moments))
	for _, m := range moments {
		s := p.look(m)
		s.Moment = m
		if s.State == Reached { // as far as can be seen
			if err := p.prove(ctx, &s, o.Env); err != nil {
				return all, fmt.Errorf("probe %s: %w", m, err)
			}
		}
		all = append(all, s)
	}
	return all, nil
}

// look says what can be seen without running anything; Reached means that nothing
// speaks against it.
func (p *place) look(m string) MomentStatus {
	key := configKey(m)
	_, configured := p.keys[key]
	if configured && p.configured {
		return MomentStatus{State: Reached, Where: key}
	}
	s := p.lookFiles(m)
	if s.State == NotInstalled && configured {
		return MomentStatus{
			State: Shadowed, Where: key, Mend: mendInstall,
			By: fmt.Sprintf("Git %d.%d, which passes over hooks in the configuration", p.version[0], p.version[1]),
		}
	}
	return s
}

func (p *place) lookFiles(m string) MomentStatus {
	hook := filepath.Join(p.dir, m)
	if file := p.husky.section(m); file != "" {
		if s := p.lookSection(hook, file); s.State != NotInstalled {
			return s
		}
	}
	switch {
	case isOurs(hook):
		if !runnable(hook) {
			return MomentStatus{State: Shadowed, Where: hook, By: hook + " is not executable", Mend: "chmod +x " + quote(hook)}
		}
		return MomentStatus{State: Reached, Where: hook}
	case isOurs(hook + legacySuffix):
		s := MomentStatus{State: Reached, Where: hook + legacySuffix}
		switch {
		case !strings.Contains(read(hook), preCommitMark):
			s.State, s.By, s.Mend = Shadowed, whose(hook), mendInstall
		case !p.behindPreCommit(m):
			s.State, s.By, s.Mend = Shadowed, "pre-commit, which does not pass on what Git writes to this hook", mendInstall
		case !runnable(hook):
			s.State, s.By, s.Mend = Shadowed, hook+" is not executable", "chmod +x "+quote(hook)
		case !runnable(s.Where):
			s.State, s.By, s.Mend = Shadowed, s.Where+" is not executable", "chmod +x "+quote(s.Where)
		}
		return s
	case isOurs(hook + oldSuffix):
		return MomentStatus{State: Shadowed, Where: hook + oldSuffix, By: whose(hook), Mend: mendInstall}
	case exists(hook + backupSuffix):
		return MomentStatus{State: Shadowed, Where: hook, By: whose(hook), Mend: mendInstall}
	}
	if own := filepath.Join(p.own, m); p.dir != p.own && isOurs(own) {
		return MomentStatus{
			State: Shadowed, Where: own, Mend: mendInstall,
			By: fmt.Sprintf("core.hooksPath (%s), which is %s", p.scope, p.dir),
		}
	}
	return MomentStatus{State: NotInstalled, Mend: mendInstall}
}

// lookSection looks for our section in the file that husky's hook runs.
func (p *place) lookSection(hook, file string) MomentStatus {
	if _, found, _ := remove(read(file)); !found {
		return MomentStatus{State: NotInstalled, Mend: mendInstall}
	}
	s := MomentStatus{State: Reached, Where: file}
	switch {
	case !exists(hook):
		s.State, s.By, s.Mend = Shadowed, hook+" is not there: husky is not set up in this clone", "npx husky"
	case !runnable(hook):
		s.State, s.By, s.Mend = Shadowed, hook+" is not executable", "chmod +x "+quote(hook)
	case !p.husky.nine && !exists(filepath.Join(p.husky.dir, "_", "husky.sh")):
		s.State, s.By, s.Mend = Shadowed, "husky is not set up in this clone", "npx husky install"
	}
	return s
}

func runnable(name string) bool {
	st, err := os.Stat(name)
	return err == nil && st.Mode().IsRegular() && (st.Mode().Perm()&0o111 != 0 || os.PathSeparator == '\\')
}

// whose names what stands in the place of our hook.
func whose(hook string) string {
	text := read(hook)
	switch {
	case !exists(hook):
		return hook + " is gone"
	case strings.Contains(text, preCommitMark):
		return "pre-commit wrote " + hook
	case strings.Contains(text, lefthookMark):
		return "lefthook wrote " + hook
	}
	return "something else wrote " + hook
}

// prove has Git run our hook and corrects s by what happened.
func (p *place) prove(ctx context.Context, s *MomentStatus, env []string) error {
	dir, err := os.MkdirTemp(p.repo.GitDir(), "covenant-probe-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	answer := filepath.Join(dir, "answer")
	if err := os.WriteFile(answer, nil, 0o600); err != nil { // hooks make none
		return err
	}
	settings := []string{ProbeVariable + "=" + answer}
	config := p.othersOff(s.Moment)
	if strings.HasPrefix(s.Where, configKey("")) {
		// Of the hook files none is asked; ours in the configuration does not need them.
		config = append(config, [2]string{"core.hooksPath", filepath.Join(dir, "none")})
	}
	work := p.repo.WorkTree()
	if strings.HasSuffix(s.Where, legacySuffix) {
		// Not in the git directory: there pre-commit does not run.
		if work, err = os.MkdirTemp(lookup(env, "TMPDIR"), "covenant-probe-"); err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(work) }()
		settings = append(settings, "PRE_COMMIT_ALLOW_NO_CONFIG=1", "GIT_DIR="+p.repo.GitDir(), "GIT_WORK_TREE="+work)
	}
	if work == "" {
		work = p.repo.GitDir()
	}
	env = append(withConfig(env, config), settings...)
	probed, err := git.Open(ctx, git.Options{Dir: work, Env: env})
	if err != nil {
		return err
	}
	_, failed := probed.Run(ctx, nil, append([]string{"hook", "run", "--ignore-missing", s.Moment, "--"}, arguments(s.Moment)...)...)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	text, err := os.ReadFile(answer)
	switch {
	case err == nil && slices.Contains(strings.Split(string(text), "\n"), s.Moment):
	case err == nil && strings.HasPrefix(string(text), s.Moment+missingWord):
		s.State, s.Mend = BinaryMissing, "put covenant-hook on PATH, or type: "+mendInstall
	default:
		s.State, s.By, s.Mend = Shadowed, p.unproven(probed, s.Moment, failed), mendInstall
	}
	return nil
}

// unproven guesses why a hook against which nothing spoke was not reached.
func (p *place) unproven(probed *git.Repo, m string, failed error) string {
	for _, name := range []string{"hook." + m + ".enabled", configKey(m) + ".enabled"} {
		if !probed.Config().Bool(name, true) {
			return name + " is false"
		}
	}
	var command *git.CommandError
	if errors.As(failed, &command) && strings.TrimSpace(command.Stderr) != "" {
		return "the hook failed: " + strings.TrimSpace(command.Stderr)
	}
	if failed != nil {
		return failed.Error()
	}
	if p.husky != nil {
		return "husky, which did not come to it (HUSKY=0, or its own startup file)"
	}
	return "covenant-hook did not answer; it may be of another release"
}

// othersOff returns the settings that turn off all hooks in the configuration but ours
// for m.
func (p *place) othersOff(m string) [][2]string {
	var off [][2]string
	for _, key := range p.repo.Config().Keys("hook.") {
		name, ok := strings.CutSuffix(key, ".event")
		if ok && name != configKey(m) {
			off = append(off, [2]string{name + ".enabled", "false"})
		}
	}
	return off
}

func lookup(env []string, key string) string {
	value := ""
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, key+"="); ok {
			value = v
		}
	}
	return value
}

// withConfig returns env with more settings of Git's, in the numbered variables that
// git-config(1) describes. Those win over the files.
func withConfig(env []string, settings [][2]string) []string {
	n, _ := strconv.Atoi(lookup(env, "GIT_CONFIG_COUNT")) // what is no number, Git refuses
	out := slices.Clone(env)
	for _, s := range settings {
		out = append(out, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", n, s[0]), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", n, s[1]))
		n++
	}
	return append(out, "GIT_CONFIG_COUNT="+strconv.Itoa(n))
}

// arguments returns what Git may call the hook with.
func arguments(m string) []string {
	switch m {
	case "post-merge":
		return []string{"0"}
	case "post-rewrite":
		return []string{"amend"}
	case "pre-push":
		return []string{"probe", "probe"}
	case "reference-transaction":
		return []string{"aborted"}
	}
	return nil
}
