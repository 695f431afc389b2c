package install

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/open-covenant/covenant-git/git"
)

// A place is where Git takes hooks from in a repository.
type place struct {
	repo       *git.Repo
	version    [2]int
	configured bool              // Git has hooks in the configuration
	keys       map[string]string // ours in the repository's configuration: hook.NAME → command
	dir        string            // the folder of hook files, absolute
	own        string            // the folder it is without core.hooksPath
	scope      string            // where core.hooksPath is set, "" when it is not
	shared     bool              // dir is not the repository's alone
	husky      *husky            // dir is husky's
}

// A husky is a folder with hook files that husky owns.
type husky struct {
	dir  string // where the files of people are
	nine bool   // husky 9, whose files need no mode and run under its own in dir/_
}

// configHooks is the first release of Git with hooks in the configuration.
var configHooks = [2]int{2, 54}

func (p *place) olderThan(v [2]int) bool {
	return p.version[0] < v[0] || p.version[0] == v[0] && p.version[1] < v[1]
}

// find asks Git where it takes hooks from.
func find(ctx context.Context, repo *git.Repo) (*place, error) {
	p := &place{repo: repo, own: filepath.Join(repo.CommonDir(), "hooks")}
	out, err := repo.Run(ctx, nil, "version")
	if err != nil {
		return nil, err
	}
	p.version = version(string(out))
	p.configured = !p.olderThan(configHooks)
	if p.keys, err = p.readConfig(ctx); err != nil {
		return nil, err
	}
	if out, err = repo.Run(ctx, nil, "rev-parse", "--path-format=absolute", "--git-path", "hooks"); err != nil {
		return nil, err
	}
	p.dir = filepath.FromSlash(strings.TrimSuffix(string(out), "\n"))
	if _, ok := repo.Config().Get("core.hooksPath"); ok {
		p.scope = repo.Config().Scope("core.hooksPath")
	}
	// A path in the user's configuration may be anything, even relative; what is in
	// the repository's belongs to it when the folder lies inside.
	p.shared = p.scope != "" && p.scope != "local" && p.scope != "worktree" || !p.inside(p.dir)
	if !p.shared && p.scope != "" {
		p.husky = findHusky(p.dir)
	}
	return p, nil
}

// inside reports whether dir lies in the work tree or a git directory of the
// repository, links followed.
func (p *place) inside(dir string) bool {
	dir = resolve(dir)
	for _, top := range []string{p.repo.CommonDir(), p.repo.GitDir(), p.repo.WorkTree()} {
		if top == "" {
			continue
		}
		rel, err := filepath.Rel(resolve(top), dir)
		if err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
			return true
		}
	}
	return false
}

// tracked reports whether Git tracks files of the folder.
func (p *place) tracked(ctx context.Context) (bool, error) {
	if p.repo.WorkTree() == "" {
		return false, nil
	}
	rel, err := filepath.Rel(resolve(p.repo.WorkTree()), resolve(p.dir))
	if err != nil || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return false, nil //nolint:nilerr // it lies elsewhere
	}
	out, err := p.repo.Run(ctx, nil, "ls-files", "-z", "--", ":(top,literal)"+filepath.ToSlash(rel))
	return len(out) > 0, err
}

// resolve follows the links in path as far as it exists.
func resolve(path string) string {
	path = filepath.Clean(path)
	if followed, err := filepath.EvalSymlinks(path); err == nil {
		return followed
	}
	if parent := filepath.Dir(path); parent != path {
		return filepath.Join(resolve(parent), filepath.Base(path))
	}
	return path
}

// findHusky tells whether a folder that core.hooksPath names is husky's: "…/_" with
// husky 9, and the folder above it with husky 8. A folder of that name in which husky
// was never set up has hook files like any other.
func findHusky(dir string) *husky {
	base, parent := filepath.Base(dir), filepath.Dir(dir)
	if base == "_" && (isFile(filepath.Join(dir, "h")) || filepath.Base(parent) == ".husky") {
		return &husky{dir: parent, nine: true}
	}
	if isFile(filepath.Join(dir, "_", "husky.sh")) || base == ".husky" && (isDir(filepath.Join(dir, "_")) || hasSection(dir)) {
		return &husky{dir: dir}
	}
	return nil
}

// hasSection reports whether a file of the folder holds a section of ours: husky was there when it was written.
func hasSection(dir string) bool {
	for m := range known {
		if _, found, _ := remove(read(filepath.Join(dir, m))); found {
			return true
		}
	}
	return false
}

// section returns the file of people for m that husky runs, "" when it runs none.
func (h *husky) section(m string) string {
	if h == nil || h.nine && !known[m].husky {
		return ""
	}
	return filepath.Join(h.dir, m)
}

func isFile(name string) bool {
	st, err := os.Stat(name)
	return err == nil && st.Mode().IsRegular()
}

func isDir(name string) bool {
	st, err := os.Stat(name)
	return err == nil && st.IsDir()
}

// configKey returns the section of our hook for m in the configuration.
func configKey(m string) string { return "hook.covenant-" + m }

// readConfig reads our hooks from the repository's configuration.
func (p *place) readConfig(ctx context.Context) (map[string]string, error) {
	out, err := p.repo.Run(ctx, nil, "config", "--local", "-z", "--get-regexp", `^hook\.covenant-.*\.(command|event)$`)
	var failed *git.CommandError
	if errors.As(err, &failed) && failed.Code == 1 {
		return nil, nil // there are none
	}
	if err != nil {
		return nil, err
	}
	keys := make(map[string]string)
	for entry := range strings.SplitSeq(string(out), "\x00") {
		key, value, _ := strings.Cut(entry, "\n")
		if name, ok := strings.CutSuffix(key, ".command"); ok {
			keys[name] = value
		} else if name, ok := strings.CutSuffix(key, ".event"); ok {
			if _, there := keys[name]; !there {
				keys[name] = "" // half a hook is one to take away, too
			}
		}
	}
	return keys, nil
}

// setConfig installs our hook for m in the repository's configuration. The event comes
// last: without it the hook is not one.
func (p *place) setConfig(ctx context.Context, m string, c call) (Done, error) {
	key := configKey(m)
	done := Done{Moment: m, Action: Installed, Where: key}
	old, there := p.keys[key]
	switch {
	case there && old == c.command(m):
		done.Action = Kept
	case there:
		done.Action = Updated
	}
	if done.Action != Kept {
		if _, err := p.repo.Run(ctx, nil, "config", "--local", "--replace-all", key+".command", c.command(m)); err != nil {
			return done, err
		}
	}
	_, err := p.repo.Run(ctx, nil, "config", "--local", "--replace-all", key+".event", m)
	return done, err
}

// unsetConfig takes our hook for m out of the repository's configuration.
func (p *place) unsetConfig(ctx context.Context, m string) error {
	key := configKey(m)
	if _, ok := p.keys[key]; !ok {
		return nil
	}
	if _, err := p.repo.Run(ctx, nil, "config", "--local", "--remove-section", key); err != nil {
		return fmt.Errorf("remove %s from the configuration: %w", key, err)
	}
	return nil
}
