package main_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// A variant is one kind of repository that every story must come out the same in.
type variant struct {
	format  string // sha1, sha256
	layout  string // main, linked, bare, shallow, partial
	storage string // loose, packed
}

func (v variant) String() string { return v.format + "/" + v.layout + "/" + v.storage }

// variants returns the whole matrix, the most ordinary one first.
func variants() []variant {
	var all []variant
	for _, f := range []string{"sha1", "sha256"} {
		for _, l := range []string{"main", "linked", "bare", "shallow", "partial"} {
			for _, s := range []string{"loose", "packed"} {
				all = append(all, variant{f, l, s})
			}
		}
	}
	return all
}

// condition decides conditions such as [bare], [sha256], [packed], [git:2.54] (that
// release or a newer one) and [have:husky9] (a tool in $COVENANT_MANAGERS).
func condition(v variant, cond string) (bool, error) {
	if cond == v.format || cond == v.layout || cond == v.storage {
		return true, nil
	}
	for _, o := range variants() {
		if cond == o.format || cond == o.layout || cond == o.storage {
			return false, nil
		}
	}
	if want, ok := strings.CutPrefix(cond, "git:"); ok {
		have, err := gitVersion()
		return err == nil && slices.Compare(have, numbers(want)) >= 0, err
	}
	if tool, ok := strings.CutPrefix(cond, "have:"); ok {
		dir := os.Getenv("COVENANT_MANAGERS")
		if dir == "" {
			return false, nil
		}
		_, err := os.Stat(filepath.Join(dir, "node_modules", tool))
		return err == nil, err // who sets the variable wants the tools, all of them
	}
	return false, fmt.Errorf("unknown condition")
}

var gitVersion = sync.OnceValues(func() ([]int, error) {
	out, err := exec.Command("git", "version").Output()
	return numbers(strings.TrimPrefix(string(out), "git version ")), err
})

// numbers returns the leading numbers of a dotted version.
func numbers(s string) []int {
	var ns []int
	for part := range strings.SplitSeq(strings.TrimSpace(s), ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			break
		}
		ns = append(ns, n)
	}
	return ns
}

const gitconfig = `[user]
	name = Ada Lovelace
	email = ada@example.com
[init]
	defaultBranch = main
[advice]
	detachedHead = false
[gc]
	auto = 0
[maintenance]
	auto = false
[protocol "file"]
	allow = always
[commit]
	gpgSign = false
`

// setup gives a script its own home, a fixed clock and time zone, the programs on
// PATH, and nothing of the environment that the tests were started in.
func setup(e *testscript.Env, v variant, bin string) error {
	home := filepath.Join(e.WorkDir, "home")
	if err := os.MkdirAll(filepath.Join(home, ".config"), 0o700); err != nil {
		return err
	}
	config := filepath.Join(home, ".gitconfig")
	if _, err := os.Stat(config); os.IsNotExist(err) {
		if err := os.WriteFile(config, []byte(gitconfig), 0o644); err != nil {
			return err
		}
	}
	vectors, err := filepath.Abs("../../testdata/vectors")
	if err != nil {
		return err
	}
	sep := string(filepath.ListSeparator)
	search := bin + sep + without(e.Getenv("PATH"), "covenant", "covenant-hook")
	if managers := os.Getenv("COVENANT_MANAGERS"); managers != "" {
		modules := filepath.Join(managers, "node_modules")
		search += sep + filepath.Join(modules, ".bin")
		e.Setenv("NODE_MODULES", modules)
	}
	for _, kv := range [][2]string{
		{"HOME", home},
		{"USERPROFILE", home},
		{"XDG_CONFIG_HOME", filepath.Join(home, ".config")},
		{"XDG_CACHE_HOME", filepath.Join(home, ".cache")},
		{"PATH", search},
		{"TOOLS", strings.TrimPrefix(search, bin+sep)}, // PATH without the programs
		{"BIN", bin},
		{"VECTORS", vectors},
		{"TZ", "UTC"},
		{"LC_ALL", "C"},
		{"GIT_CONFIG_NOSYSTEM", "1"},
		{"GIT_TERMINAL_PROMPT", "0"},
		{"GIT_EDITOR", "true"},
		{"VARIANT", v.String()},
		{"SECONDS", "1767225600"},
		{"GIT_AUTHOR_DATE", "1767225600 +0000"},
		{"GIT_COMMITTER_DATE", "1767225600 +0000"},
	} {
		e.Setenv(kv[0], kv[1])
	}
	return nil
}

// without takes the directories out of a list that have one of these programs: an installation of
// the machine's is no part of a story.
func without(list string, programs ...string) string {
	var out []string
	for _, dir := range filepath.SplitList(list) {
		has := false
		for _, p := range programs {
			for _, name := range []string{p, p + ".exe"} {
				_, err := os.Stat(filepath.Join(dir, name))
				has = has || err == nil
			}
		}
		if _, err := os.Stat(filepath.Join(dir, "git")); err == nil || !has { // Git itself is needed
			out = append(out, dir)
		}
	}
	return strings.Join(out, string(filepath.ListSeparator))
}

// upstreams are the repositories that those of the scripts come from: three base
// commits on main, made once for each object format.
type upstreams struct {
	dir  string
	mu   sync.Mutex
	made map[string]string
}

func newUpstreams(t *testing.T) *upstreams {
	return &upstreams{dir: t.TempDir(), made: make(map[string]string)}
}

// path returns the work tree of the upstream repository of a format.
func (u *upstreams) path(format string) (string, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if dir := u.made[format]; dir != "" {
		return dir, nil
	}
	dir := filepath.Join(u.dir, format)
	git := func(args ...string) error {
		cmd := exec.Command("git", args...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull, "LC_ALL=C",
			"GIT_AUTHOR_NAME=Grace Hopper", "GIT_AUTHOR_EMAIL=grace@example.com", "GIT_AUTHOR_DATE=1735689600 +0000",
			"GIT_COMMITTER_NAME=Grace Hopper", "GIT_COMMITTER_EMAIL=grace@example.com", "GIT_COMMITTER_DATE=1735689600 +0000")
		if len(args) > 0 && args[0] != "init" {
			cmd.Dir = dir
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("git %s: %w\n%s", strings.Join(args, " "), err, out)
		}
		return nil
	}
	if err := git("init", "-q", "-b", "main", "--object-format="+format, dir); err != nil {
		return "", err
	}
	for i, step := range []map[string]string{
		{"README": "A repository with a past.\n"},
		{"src/main.c": "int main(void) { return 1; }\n", "src/lib.c": "int one(void) { return 1; }\n"},
		{"src/main.c": "int main(void) { return 0; }\n"},
	} {
		for name, body := range step {
			file := filepath.Join(dir, filepath.FromSlash(name))
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				return "", err
			}
			if err := os.WriteFile(file, []byte(body), 0o644); err != nil {
				return "", err
			}
		}
		for _, args := range [][]string{{"add", "-A"}, {"commit", "-q", "-m", fmt.Sprintf("base %d", i+1)}} {
			if err := git(args...); err != nil {
				return "", err
			}
		}
	}
	for _, kv := range [][2]string{{"uploadpack.allowFilter", "true"}, {"uploadpack.allowAnySHA1InWant", "true"}} {
		if err := git("config", kv[0], kv[1]); err != nil {
			return "", err
		}
	}
	if err := removeSamples(filepath.Join(dir, ".git")); err != nil {
		return "", err
	}
	u.made[format] = dir
	return dir, nil
}

// removeSamples takes away what git init adds for people to read.
func removeSamples(gitDir string) error {
	return os.RemoveAll(filepath.Join(gitDir, "hooks"))
}

// copyTree copies regular files and folders.
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
		return os.WriteFile(to, body, info.Mode().Perm())
	})
}
