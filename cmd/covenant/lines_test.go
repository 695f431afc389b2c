package main_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// typists is a history in which every line says who typed it.
type typists struct {
	*world
	r        *rand.Rand
	lines    int
	branches int
}

// hookless is what keeps hooks from running, wherever they are configured.
var hookless = []string{
	"-c", "core.hooksPath=" + os.DevNull, "-c", "hook.covenant-pre-commit.enabled=false", "-c", "hook.covenant-commit-msg.enabled=false",
	"-c", "hook.covenant-post-commit.enabled=false", "-c", "hook.covenant-post-merge.enabled=false", "-c", "hook.covenant-post-rewrite.enabled=false",
}

// as runs Git as somebody, and reports whether it did what was asked.
func (w *typists) as(who string, args ...string) bool {
	was := w.env
	defer func() { w.env = was }()
	w.env = append(slices.Clone(was), "COVENANT_IDENTITY="+who, "GIT_EDITOR=true", "GIT_SEQUENCE_EDITOR=true",
		"GIT_AUTHOR_NAME="+who, "GIT_AUTHOR_EMAIL="+who+"@example.org", "GIT_COMMITTER_NAME="+who, "GIT_COMMITTER_EMAIL="+who+"@example.org")
	_, err := w.try("repo", append([]string{"git"}, args...)...)
	return err == nil
}

func (w *typists) anybody() string { return []string{"ada", "ben", "coder", "helper"}[w.r.IntN(4)] }

func (w *typists) line(who string) string {
	w.lines++
	return fmt.Sprintf("%s L%04d %08x\n", who, w.lines, w.r.Uint32())
}

// files are the files of lines.
func (w *typists) files() []string { return strings.Fields(w.run("repo", "git", "ls-files", "*.txt")) }

func (w *typists) rewrite(file string, do func(lines []string) []string) {
	name := filepath.Join(w.dir, "repo", file)
	b, err := os.ReadFile(name)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(strings.Join(do(strings.SplitAfter(string(b), "\n")), "")), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// types has somebody add, change or take away lines of a file; commits is with hooks.
func (w *typists) types(who string) {
	files := w.files()
	w.rewrite(files[w.r.IntN(len(files))], func(l []string) []string {
		for range 1 + w.r.IntN(3) {
			at := w.r.IntN(len(l))
			switch n := w.r.IntN(10); {
			case n < 6:
				for range 1 + w.r.IntN(4) {
					l = slices.Insert(l, at, w.line(who))
				}
			case n < 9 && l[at] != "":
				l[at] = w.line(who)
			case l[at] != "" && len(l) > 4:
				l = slices.Delete(l, at, at+1)
			}
		}
		return l
	})
}

func (w *typists) commits(who string, args ...string) bool {
	return w.as(who, "add", "-A") && w.as(who, append([]string{"commit", "-q", "-m", "by " + who}, args...)...)
}

// settles takes what both sides of a conflict have, as Git puts it.
func (w *typists) settles(who string) {
	for _, f := range strings.Fields(w.run("repo", "git", "diff", "--name-only", "--diff-filter=U")) {
		if _, err := os.Stat(filepath.Join(w.dir, "repo", f)); err != nil {
			continue
		}
		w.rewrite(f, func(l []string) []string {
			return slices.DeleteFunc(l, func(s string) bool {
				return strings.HasPrefix(s, "<<<<<<<") || strings.HasPrefix(s, "=======") || strings.HasPrefix(s, ">>>>>>>")
			})
		})
	}
	w.as(who, "add", "-A")
}

// goes on until what somebody began is done, settling conflicts, or gives it up.
func (w *typists) goesOn(who, what string, done bool) {
	for range 8 {
		if done {
			return
		}
		w.settles(who)
		if done = w.as(who, what, "--continue"); !done && w.run("repo", "git", "status", "--porcelain", "-uno") == "" {
			done = w.as(who, what, "--skip")
		}
	}
	w.as(who, what, "--abort")
}

// something happens, by somebody, to what others made.
func (w *typists) something() {
	by, then := w.anybody(), w.anybody()
	switch what := w.r.IntN(9); what {
	case 0:
		w.types(by)
		w.commits(by)
	case 1:
		w.types(by)
		w.commits(by)
		w.types(then)
		w.as(then, "commit", "-q", "-a", "--amend", "-m", "amended")
	case 2:
		w.types(by)
		w.commits(by)
		w.types(then)
		w.commits(then)
		other := w.anybody()
		w.as(other, "reset", "-q", "--soft", "HEAD~2")
		w.as(other, "commit", "-q", "-m", "again")
	case 3:
		files := w.files()
		from := files[w.r.IntN(len(files))]
		w.lines++
		w.as(by, "mv", from, fmt.Sprintf("m%d.txt", w.lines))
		w.commits(by)
	default:
		w.branches++
		branch := fmt.Sprint("b", w.branches)
		w.as(by, "switch", "-q", "-c", branch)
		for range 1 + w.r.IntN(3) {
			who := w.anybody()
			w.types(who)
			w.commits(who)
		}
		w.as(by, "switch", "-q", "main")
		if w.r.IntN(3) > 0 {
			who := w.anybody()
			w.types(who)
			w.commits(who)
		}
		switch what {
		case 4:
			w.as(by, "switch", "-q", branch)
			w.goesOn(then, "rebase", w.as(then, "rebase", "-q", "main"))
			w.as(by, "switch", "-q", "main")
			w.as(by, "merge", "-q", "--ff-only", branch)
		case 5:
			w.goesOn(then, "cherry-pick", w.as(then, "cherry-pick", "main.."+branch))
		case 6:
			if !w.as(then, "merge", "-q", "--squash", branch) {
				w.settles(then)
			}
			w.as(then, "commit", "-q", "-m", "squash")
		case 7:
			if w.as(then, append(slices.Clone(hookless), "merge", "-q", "--squash", branch)...) {
				w.as(then, append(slices.Clone(hookless), "commit", "-q", "-m", "button")...)
			}
		case 8:
			if !w.as(then, "merge", "-q", "--no-edit", branch) {
				w.settles(then)
				w.as(then, "commit", "-q", "--no-edit")
			}
		}
	}
	if w.run("repo", "git", "status", "--porcelain") != "" {
		w.as(by, "reset", "-q", "--hard")
	}
}

// Whatever four hands do to each other's work, with hooks, or as a merge button does it, a line is told as of who typed it.
func TestWhoseLines(t *testing.T) {
	if testing.Short() {
		t.Skip("histories take a while")
	}
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			w := &typists{world: newWorld(t), r: rand.New(rand.NewPCG(seed, 1))}
			w.run("", "git", "init", "-q", "-b", "main", "repo")
			w.run("repo", "covenant", "init", "--operator", "ada")
			w.run("", "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "ben")
			key := filepath.Join(w.dir, "ben")
			w.run("repo", "covenant", "trust", "add", "ben", "--operator", "--key", key+".pub", "--email", "ben@example.org")
			w.run("repo", "git", "config", "covenant.ben.key", key)
			for _, agent := range []string{"coder", "helper"} {
				w.run("repo", "covenant", "identity", "new", agent, "--kind", "agent", "--email", agent+"@example.org")
				w.run("repo", "covenant", "capability", "grant", "--to", agent, "--action", "repo.commit")
				w.run("repo", "covenant", "capability", "grant", "--to", agent, "--action", "repo.vouch")
			}
			for i := range 3 {
				text := ""
				for range 8 {
					text += w.line("ada")
				}
				if err := os.WriteFile(filepath.Join(w.dir, "repo", fmt.Sprintf("f%d.txt", i)), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			w.commits("ada")
			for range 18 {
				w.something()
			}
			w.check()
		})
	}
}

// check holds what is told of each line to who typed it. Whoever settles a conflict puts lines next to others, and Git may find them new there: of such a line it is enough
// that it stood in the history before.
func (w *typists) check() {
	lines, several := 0, 0
	for _, f := range w.files() {
		for _, l := range strings.Split(w.run("repo", "covenant", "blame", "--json", "--", f), "\n") {
			var line struct {
				Commit, Text, Verdict string
				Principal             struct{ Name string }
				Principals            []struct{ Name string }
			}
			if err := json.Unmarshal([]byte(l), &line); err != nil {
				w.t.Fatalf("%s: %v", l, err)
			}
			typed, _, _ := strings.Cut(line.Text, " ")
			said := []string{line.Principal.Name}
			for i, p := range line.Principals {
				if i == 0 {
					said = nil
				}
				said = append(said, p.Name)
			}
			switch lines++; {
			case slices.Equal(said, []string{typed}):
			case slices.Contains(said, typed):
				several++
			case w.run("repo", "git", "log", "-1", "--format=%h", "-S"+line.Text, line.Commit+"^@", "--") == "":
				w.t.Errorf("%s: %q is told as of %v, in a commit that is %s: %s", f, line.Text, said, line.Verdict, w.run("repo", "git", "log", "-1", "--format=%h %s", line.Commit))
			}
		}
	}
	if lines < 50 || several > lines/20 {
		w.t.Errorf("%d lines, %d of them told as of several", lines, several)
	}
	w.t.Logf("%d lines, %d of them told as of several", lines, several)
}
