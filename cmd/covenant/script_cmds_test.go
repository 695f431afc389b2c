package main_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// positive fails the script when a command that cannot be negated was, or when it
// has too few arguments.
func positive(ts *testscript.TestScript, neg bool, args []string, least int, usage string) {
	if neg {
		ts.Fatalf("unsupported: ! %s", usage)
	}
	if len(args) < least {
		ts.Fatalf("usage: %s", usage)
	}
}

// git runs git where the script is, and returns what it printed.
func git(ts *testscript.TestScript, args ...string) string {
	ts.Check(ts.Exec("git", args...))
	return strings.TrimSuffix(ts.ReadFile("stdout"), "\n")
}

// cmdRepo is "repo [DIR]": it copies a repository of the variant with three base
// commits on main and goes there. It sets
//
//	REPO      the work tree, which is $WORK/DIR
//	GITDIR    the git directory of that work tree
//	COMMON    the git directory that linked work trees share
//	BARE      the bare repository, in the variants that have one
//	UPSTREAM  the repository it was cloned from, its remote "origin"
//	BASE      the newest base commit
func cmdRepo(ts *testscript.TestScript, neg bool, args []string, v variant, made *templates) {
	positive(ts, neg, args, 0, "repo [DIR]")
	name := "repo"
	if len(args) > 0 {
		name = args[0]
	}
	tmpl, err := made.template(v, name)
	ts.Check(err)
	vars, err := tmpl.copyTo(ts.Getenv("WORK"))
	ts.Check(err)
	for _, tree := range tmpl.trees { // the index knows files by their inodes, and these are others
		ts.Check(ts.Chdir(strings.Replace(tree, tmpl.dir, ts.Getenv("WORK"), 1)))
		git(ts, "update-index", "-q", "--refresh")
	}
	ts.Check(ts.Chdir(vars["REPO"]))
	for k, v := range vars {
		ts.Setenv(k, v)
	}
}

// cmdSettle is "settle": in the packed variants everything is packed, objects and
// refs, and what is unreachable is gone. In the others it does nothing.
func cmdSettle(ts *testscript.TestScript, neg bool, args []string, v variant) {
	positive(ts, neg, args, 0, "settle")
	if v.storage == "packed" {
		git(ts, "gc", "--quiet", "--prune=now")
		git(ts, "pack-refs", "--all")
	}
}

// cmdTick is "tick [SECONDS]": the dates of the commits that follow are a minute,
// or that much, later.
func cmdTick(ts *testscript.TestScript, neg bool, args []string) {
	positive(ts, neg, args, 0, "tick [SECONDS]")
	step := int64(60)
	if len(args) > 0 {
		var err error
		step, err = strconv.ParseInt(args[0], 10, 64)
		ts.Check(err)
	}
	now, err := strconv.ParseInt(ts.Getenv("SECONDS"), 10, 64)
	ts.Check(err)
	s := strconv.FormatInt(now+step, 10)
	ts.Setenv("SECONDS", s)
	ts.Setenv("GIT_AUTHOR_DATE", s+" +0000")
	ts.Setenv("GIT_COMMITTER_DATE", s+" +0000")
}

// cmdCommit is "commit MESSAGE FILE…": a line is added to each file, the change is
// committed by git commit, hooks and all, and COMMIT is set to the new commit. What
// git and the hooks said can be looked at with stdout and stderr.
func cmdCommit(ts *testscript.TestScript, neg bool, args []string) {
	positive(ts, neg, args, 2, "commit MESSAGE FILE…")
	cmdTick(ts, false, nil)
	for _, name := range args[1:] {
		file := ts.MkAbs(name)
		ts.Check(os.MkdirAll(filepath.Dir(file), 0o755))
		f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		ts.Check(err)
		_, err = fmt.Fprintf(f, "%s\n", args[0])
		ts.Check(err)
		ts.Check(f.Close())
	}
	git(ts, append([]string{"add", "--"}, args[1:]...)...)
	out, err := exec.Command("git", "-C", ts.MkAbs("."), "rev-parse", "-q", "--verify", "HEAD").Output()
	before := ""
	if err == nil { // else the branch is unborn
		before = strings.TrimSpace(string(out))
	}
	git(ts, "commit", "-q", "-m", args[0])
	out, err = exec.Command("git", "-C", ts.MkAbs("."), "rev-parse", "HEAD").Output()
	ts.Check(err)
	after := strings.TrimSpace(string(out))
	if after == before {
		ts.Fatalf("git commit made no commit")
	}
	ts.Setenv("COMMIT", after)
}

// cmdCovenant is "covenant ARG…": short for "exec covenant ARG…".
func cmdCovenant(ts *testscript.TestScript, neg bool, args []string) {
	err := ts.Exec("covenant", args...)
	if neg != (err != nil) {
		ts.Fatalf("covenant %s: %v", strings.Join(args, " "), err)
	}
}

// cmdExits is "exits CODE PROGRAM [ARG…]": the program must end with exactly that
// code.
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	positive(ts, neg, args, 2, "exits CODE PROGRAM [ARG…]")
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) || !exit.Exited() {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// cmdCapture is "capture NAME PROGRAM [ARG…]": the variable becomes what the
// program printed, without the last line break.
func cmdCapture(ts *testscript.TestScript, neg bool, args []string) {
	positive(ts, neg, args, 2, "capture NAME PROGRAM [ARG…]")
	ts.Check(ts.Exec(args[1], args[2:]...))
	ts.Setenv(args[0], strings.TrimSuffix(ts.ReadFile("stdout"), "\n"))
}

// recipeFiles hold shell that people copy, with a comment "# story: NAME" before it.
var recipeFiles = []string{"../../docs/guide/ci.md", "../../docs/spec/provenance.md", "../../.pre-commit-hooks.yaml"}

// cmdRecipe is "recipe NAME": the shell that follows "# story: NAME" in a guide is
// written to $WORK/NAME.sh, so that a story runs what people copy.
func cmdRecipe(ts *testscript.TestScript, neg bool, args []string) {
	positive(ts, neg, args, 1, "recipe NAME")
	for _, file := range recipeFiles {
		text, err := os.ReadFile(file)
		ts.Check(err)
		if shell, ok := recipe(string(text), args[0]); ok {
			ts.Check(os.WriteFile(filepath.Join(ts.Getenv("WORK"), args[0]+".sh"), []byte(shell), 0o644))
			return
		}
	}
	ts.Fatalf("no recipe %s in %s", args[0], strings.Join(recipeFiles, ", "))
}

// recipe finds the shell after a mark: a block of YAML ("run: |", "- |"), the value of
// "entry:", or the rest of the fenced block the mark stands in.
func recipe(text, name string) (string, bool) {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if strings.TrimSpace(l) != "# story: "+name {
			continue
		}
		indent := func(l string) int { return len(l) - len(strings.TrimLeft(l, " ")) }
		rest := lines[i+1:]
		if entry, ok := strings.CutPrefix(strings.TrimSpace(rest[0]), "entry: "); ok {
			return entry + "\n", true
		}
		end := func(l string) bool { return strings.HasPrefix(l, "```") }
		if strings.HasSuffix(rest[0], "|") {
			margin := indent(rest[0])
			rest = rest[1:]
			end = func(l string) bool { return strings.TrimSpace(l) != "" && indent(l) <= margin }
		}
		var b strings.Builder
		for _, l := range rest {
			if end(l) {
				break
			}
			b.WriteString(strings.TrimSpace(l) + "\n")
		}
		return b.String(), strings.TrimSpace(b.String()) != ""
	}
	return "", false
}
