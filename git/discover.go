package git

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/git/oid"
)

// discover finds the directories of the repository. It guesses them from the file system as Git
// does in the common cases and lets one "git config" child confirm the guess: that child reads the
// repository's own configuration only where Git itself finds and trusts the repository. What it answered before is taken
// from memory, if there is one and nothing the answer came from has changed. Anything unusual is asked of "git rev-parse".
func (r *Repo) discover(ctx context.Context, reads bool, keep Memory) error {
	now := time.Now()
	g, guessed := r.guess()
	var m *memory
	if guessed {
		var answer []byte
		if answer, m = r.recollect(keep, g, now); answer != nil {
			if c, err := parseConfig(answer); err == nil {
				r.prepare(ctx, reads)
				if r.config = c; r.confirm(g) {
					return nil
				}
			}
		}
	}
	argv := []string{"config", "--list", "-z", "--show-origin", "--show-scope"}
	p, err := r.startRaw(ctx, r.env, nil, argv, argv)
	if err != nil {
		return err
	}
	r.prepare(ctx, reads && guessed)
	out, err := p.readAll(configLimit)
	if err != nil {
		p.kill()
		return fmt.Errorf("read the configuration: %w", err)
	}
	if err := p.wait(); err != nil {
		return err
	}
	if r.config, err = parseConfig(out); err != nil {
		return err
	}
	if guessed && r.confirm(g) {
		r.keepAnswer(m, g, out, now)
		return nil
	}
	return r.ask(ctx)
}

// prepare starts the child that reads objects, unless it was started before.
func (r *Repo) prepare(ctx context.Context, reads bool) {
	if !reads || r.ready.Load() != nil {
		return
	}
	if c, err := r.start(ctx, r.env, pipeInput, readArgs...); err == nil {
		r.ready.Store(c)
	}
}

// layout is a guess at where a repository's parts are.
type layout struct {
	gitDir, commonDir string
	top               string // the directory that holds .git, "" when gitDir itself was found
	fromEnv           bool   // GIT_DIR said so
}

// guess looks for the repository as git(1) and gitrepository-layout(5) describe. It gives up
// (false) on settings that change the rules.
func (r *Repo) guess() (layout, bool) {
	for _, name := range []string{"GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_CEILING_DIRECTORIES", "GIT_IMPLICIT_WORK_TREE"} {
		if v, _ := lookupEnv(r.base, name); v != "" {
			return layout{}, false
		}
	}
	if d, ok := lookupEnv(r.base, "GIT_DIR"); ok {
		g := layout{gitDir: r.abs(d), fromEnv: true}
		return g, g.complete()
	}
	for d := r.dir; ; {
		g := layout{gitDir: filepath.Join(d, ".git"), top: d}
		if st, err := os.Stat(g.gitDir); err == nil && st.Mode().IsRegular() {
			line, err := readLine(g.gitDir)
			target, ok := strings.CutPrefix(line, "gitdir: ")
			if err != nil || !ok {
				return layout{}, false
			}
			if g.gitDir = target; !filepath.IsAbs(target) {
				g.gitDir = filepath.Join(d, target)
			}
			return g, g.complete()
		}
		if g.complete() {
			return g, true
		}
		if g = (layout{gitDir: d}); g.complete() {
			return g, true
		}
		up := filepath.Dir(d)
		if up == d {
			return layout{}, false
		}
		d = up
	}
}

// complete reports whether gitDir looks like a git directory, and finds the common directory.
func (g *layout) complete() bool {
	if _, err := os.Lstat(filepath.Join(g.gitDir, "HEAD")); err != nil {
		return false
	}
	g.commonDir = g.gitDir
	if line, err := readLine(filepath.Join(g.gitDir, "commondir")); err == nil {
		if g.commonDir = line; !filepath.IsAbs(line) {
			g.commonDir = filepath.Join(g.gitDir, line)
		}
	}
	st, err := os.Stat(filepath.Join(g.commonDir, "refs"))
	return err == nil && st.IsDir()
}

// confirm accepts the guess if Git read the local configuration from its common directory, and
// nothing in it makes the work tree something else than the guess.
func (r *Repo) confirm(g layout) bool {
	want, err := os.Stat(filepath.Join(g.commonDir, "config"))
	if err != nil {
		return false
	}
	linked := g.gitDir != g.commonDir
	base := g.top
	if base == "" {
		base = r.dir
	}
	found, bare, format := false, false, ""
	origins := map[string]bool{}
	for _, s := range r.config.entries {
		own := false
		if file, ok := strings.CutPrefix(s.origin, "file:"); ok && s.scope == "local" {
			same, seen := origins[file]
			if !seen {
				if !filepath.IsAbs(file) {
					file = filepath.Join(base, file)
				}
				st, err := os.Stat(file)
				same = err == nil && os.SameFile(st, want)
				origins[s.origin[len("file:"):]] = same
			}
			own = same
		}
		found = found || own
		switch {
		case s.key == "core.worktree" && (s.scope == "worktree" || !linked):
			top := s.value
			if !filepath.IsAbs(top) {
				top = filepath.Join(g.gitDir, top)
			}
			if g.top == "" || !sameFile(top, g.top) {
				return false
			}
		case s.key == "core.bare" && s.scope == "worktree" && linked:
			return false
		case s.key == "core.bare" && (s.scope == "local" || s.scope == "worktree"):
			bare = s.bare || parseBool(s.value, false)
		case s.key == "extensions.objectformat" && own:
			format = s.value
		}
	}
	if !found {
		return false
	}
	if r.format, err = oid.ParseFormat(format); err != nil {
		return false
	}
	top := g.top
	if g.fromEnv {
		top = r.dir
	}
	if bare && !linked {
		top = ""
	}
	return r.place(g.gitDir, g.commonDir, top) == nil
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// place records the directories, free of symbolic links. A work tree that is the git directory
// itself, which Git assumes in the hooks of a push to a repository that has one, is none.
func (r *Repo) place(gitDir, commonDir, top string) error {
	var err error
	if r.gitDir, err = filepath.EvalSymlinks(gitDir); err != nil {
		return err
	}
	if r.commonDir, err = filepath.EvalSymlinks(commonDir); err != nil {
		return err
	}
	r.workTree = ""
	if top != "" {
		if r.workTree, err = filepath.EvalSymlinks(top); err != nil {
			return err
		}
		if r.workTree == r.gitDir {
			r.workTree = ""
		}
	}
	return nil
}

// ask lets Git say where the repository is, and repeats its words when it refuses.
func (r *Repo) ask(ctx context.Context) error {
	args := []string{"rev-parse", "--path-format=absolute", "--git-dir", "--git-common-dir", "--show-object-format", "--show-toplevel"}
	out, err := r.capture(ctx, r.env, nil, headerLimit, args...)
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(lines) < 3 || len(lines) > 4 {
		var ce *CommandError
		if errors.As(err, &ce) {
			return fmt.Errorf("%w: %s", ErrNotRepository, strings.TrimSpace(ce.Stderr))
		}
		if err == nil {
			err = errors.New("git rev-parse: unexpected answer")
		}
		return err
	}
	// Only --show-toplevel, the last question, may fail: there is no work tree then.
	top := ""
	if len(lines) == 4 && err == nil {
		top = lines[3]
	}
	if r.format, err = oid.ParseFormat(lines[2]); err != nil {
		return err
	}
	return r.place(lines[0], lines[1], top)
}
