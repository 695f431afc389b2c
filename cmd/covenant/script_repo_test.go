package main_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// templates are the repositories that "repo" hands out. Git makes each once, and a story
// gets a copy: what a story sets before it calls repo has no say in it.
type templates struct {
	dir string

	mu   sync.Mutex
	made map[string]*template
}

func newTemplates(t *testing.T) *templates {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir()) // Git writes down the resolved name
	if err != nil {
		t.Fatal(err)
	}
	return &templates{dir: dir, made: make(map[string]*template)}
}

// template returns the repository of a variant under a name.
func (ts *templates) template(v variant, name string) (*template, error) {
	ts.mu.Lock()
	key := v.String() + "/" + name
	tmpl := ts.made[key]
	if tmpl == nil {
		tmpl = &template{dir: filepath.Join(ts.dir, filepath.FromSlash(key))}
		ts.made[key] = tmpl
	}
	ts.mu.Unlock()
	tmpl.once.Do(func() { tmpl.err = tmpl.make(v, name) })
	return tmpl, tmpl.err
}

// A template is a folder with all that "repo" puts into $WORK.
type template struct {
	dir   string
	trees []string          // the work trees, below dir
	vars  map[string]string // what repo sets; names of files begin with dir

	once sync.Once
	err  error
}

// copyTo puts the repository into a folder, as if it had been made there, and returns the variables.
func (tmpl *template) copyTo(work string) (map[string]string, error) {
	if err := copyTree(work, tmpl.dir); err != nil {
		return nil, err
	}
	vars := maps.Clone(tmpl.vars)
	for k, v := range vars {
		vars[k] = strings.Replace(v, tmpl.dir, work, 1)
	}
	return vars, nil
}

// make has Git make the repository.
func (tmpl *template) make(v variant, name string) error {
	const seconds = "1767225600"
	home := tmpl.dir + ".home"
	repo := filepath.Join(tmpl.dir, name)
	upstream := filepath.Join(tmpl.dir, ".upstream", name+".git")
	for _, dir := range []string{home, filepath.Dir(upstream)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(home, ".gitconfig"), []byte(gitconfig), 0o644); err != nil {
		return err
	}
	g := &gitter{dir: tmpl.dir, env: append(environ(), "HOME="+home, "XDG_CONFIG_HOME="+home, "GIT_CONFIG_NOSYSTEM=1", "LC_ALL=C", "TZ=UTC",
		"GIT_AUTHOR_DATE="+seconds+" +0000", "GIT_COMMITTER_DATE="+seconds+" +0000")}
	base := tmpl.dir + ".base"
	if err := makeBase(base, v.format); err != nil {
		return err
	}
	if err := copyTree(upstream, filepath.Join(base, ".git")); err != nil {
		return err
	}
	g.git("--git-dir", upstream, "config", "core.bare", "true")

	url := "file://" + filepath.ToSlash(upstream)
	tmpl.trees = []string{repo}
	bare := ""
	switch v.layout {
	case "main":
		if err := copyTree(repo, base); err != nil {
			return err
		}
		g.dir = repo
		g.git("remote", "add", "origin", url)
		g.git("fetch", "-q", "origin")
		g.git("branch", "-q", "--set-upstream-to=origin/main")
		g.git("reset", "-q", "--hard")
	case "linked":
		first := repo + ".main"
		g.git("clone", "-q", url, first)
		g.dir = first
		g.git("checkout", "-q", "--detach")
		g.git("worktree", "add", "-q", repo, "main")
		tmpl.trees = append(tmpl.trees, first)
	case "bare":
		bare = repo + ".git"
		g.git("clone", "-q", "--bare", url, bare)
		g.dir = bare
		g.git("config", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*")
		g.git("fetch", "-q", "origin")
		g.git("worktree", "add", "-q", repo, "main")
	case "shallow":
		g.git("clone", "-q", "--depth=1", url, repo)
	case "partial":
		g.git("clone", "-q", "--filter=blob:none", url, repo)
	}
	g.dir = repo
	dirs := g.git("rev-parse", "--path-format=absolute", "--git-dir", "--git-common-dir")
	gitDir, common, _ := strings.Cut(dirs, "\n")
	tmpl.vars = map[string]string{
		"REPO": repo, "GITDIR": gitDir, "COMMON": common, "BARE": bare, "UPSTREAM": upstream, "BASE": g.git("rev-parse", "HEAD"),
	}
	if v.storage == "packed" {
		g.git("gc", "--quiet", "--prune=now")
		g.git("pack-refs", "--all")
	}
	return g.err
}

// makeBase makes a repository of three commits on main, which those of the scripts come from.
func makeBase(dir, format string) error {
	g := &gitter{env: append(environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull, "LC_ALL=C",
		"GIT_AUTHOR_NAME=Grace Hopper", "GIT_AUTHOR_EMAIL=grace@example.com", "GIT_AUTHOR_DATE=1735689600 +0000",
		"GIT_COMMITTER_NAME=Grace Hopper", "GIT_COMMITTER_EMAIL=grace@example.com", "GIT_COMMITTER_DATE=1735689600 +0000")}
	g.git("init", "-q", "-b", "main", "--object-format="+format, dir)
	g.dir = dir
	for i, step := range []map[string]string{
		{"README": "A repository with a past.\n"},
		{"src/main.c": "int main(void) { return 1; }\n", "src/lib.c": "int one(void) { return 1; }\n"},
		{"src/main.c": "int main(void) { return 0; }\n"},
	} {
		for name, body := range step {
			file := filepath.Join(dir, filepath.FromSlash(name))
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(file, []byte(body), 0o644); err != nil {
				return err
			}
		}
		g.git("add", "-A")
		g.git("commit", "-q", "-m", fmt.Sprintf("base %d", i+1))
	}
	g.git("config", "uploadpack.allowFilter", "true")
	g.git("config", "uploadpack.allowAnySHA1InWant", "true")
	if g.err != nil {
		return g.err
	}
	return os.RemoveAll(filepath.Join(dir, ".git", "hooks")) // what git init adds for people to read
}

// environ is the environment without what steers Git.
func environ() []string {
	return slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "GIT_") })
}

// A gitter runs git until something fails.
type gitter struct {
	dir string
	env []string
	err error
}

func (g *gitter) git(args ...string) string {
	if g.err != nil {
		return ""
	}
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Env = g.dir, g.env
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		g.err = fmt.Errorf("git %s: %w\n%s", strings.Join(args, " "), err, said.String())
	}
	return strings.TrimSuffix(string(out), "\n")
}

// copyTree copies regular files and folders. Where a file names the folder that it
// comes from, as the configuration of a clone does, it names the new one afterwards;
// objects are left as they are.
func copyTree(dst, src string) error {
	return filepath.WalkDir(src, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(src, name)
		if err != nil {
			return err
		}
		to := filepath.Join(dst, rel)
		if d.IsDir() {
			return os.MkdirAll(to, 0o755)
		}
		body, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if !strings.Contains(filepath.ToSlash(rel), "/objects/") {
			body = bytes.ReplaceAll(body, []byte(filepath.ToSlash(src)), []byte(filepath.ToSlash(dst)))
		}
		return os.WriteFile(to, body, info.Mode().Perm())
	})
}
