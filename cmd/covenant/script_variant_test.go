package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

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
