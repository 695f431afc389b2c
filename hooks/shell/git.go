package shell

import (
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/hooks/agent"
)

// isNoVerify reports whether a word is --no-verify, or short for it: Git takes the beginning of an option for it.
func isNoVerify(s string) bool {
	return len(s) >= len("--no-veri") && strings.HasPrefix("--no-verify", s)
}

// gateKey reports whether a variable of Git's configuration decides whether, or how, we are called.
func gateKey(key string) bool {
	key = strings.ToLower(key)
	for _, p := range []string{"core.hookspath", "hook.", "covenant.", "include.", "includeif.", "core.notesref", "notes.", "core.fsmonitor", "gpg.", "core.worktree", "extensions."} {
		if key == strings.TrimSuffix(p, ".") || strings.HasPrefix(key, p) {
			return true
		}
	}
	return false
}

// git reads the arguments of git.
func (a *analysis) git(args []value) {
	a.within(func() {
		elsewhere := false
		for i := 0; i < len(args); i++ {
			v := args[i]
			if !v.known {
				a.hidden("a command of git")
				a.loose(args[i+1:])
				return
			}
			next := func() value {
				if i+1 < len(args) {
					i++
					return args[i]
				}
				return value{}
			}
			switch {
			case v.text == "-C":
				to := next()
				a.reads(to)
				a.cd([]value{to})
			case v.text == "-c":
				a.config(next())
			case strings.HasPrefix(v.text, "--config-env"):
				key := strings.TrimPrefix(v.text, "--config-env=")
				if v.text == "--config-env" {
					key = next().text
				}
				key, _, _ = strings.Cut(key, "=")
				if gateKey(key) || strings.HasPrefix(strings.ToLower(key), "alias.") {
					a.around("git --config-env " + key)
				}
			case v.text == "--git-dir" || v.text == "--work-tree":
				elsewhere = elsewhere || v.text == "--git-dir"
				a.reads(next())
			case strings.HasPrefix(v.text, "--git-dir="), strings.HasPrefix(v.text, "--work-tree="):
				_, dir, _ := strings.Cut(v.text, "=")
				elsewhere = elsewhere || strings.HasPrefix(v.text, "--git-dir")
				a.reads(literal(dir))
			case v.text == "--namespace" || v.text == "--super-prefix" || v.text == "--attr-source":
				next()
			case strings.HasPrefix(v.text, "--exec-path="):
				a.around("git --exec-path")
			case strings.HasPrefix(v.text, "-"):
			default:
				if elsewhere && !slices.Contains(reading, v.text) {
					a.around("git --git-dir, which may have other hooks")
				}
				a.subcommand(v.text, args[i+1:])
				return
			}
		}
	})
}

// loose looks at the arguments of a command of git that is not known.
func (a *analysis) loose(args []value) {
	for _, v := range args {
		if isNoVerify(v.text) {
			a.around("--no-verify")
		}
		if covenantRef(v.text) {
			a.around("it names " + v.text)
		}
	}
}

// config reads KEY=VALUE as git -c takes it.
func (a *analysis) config(v value) {
	key, val, _ := strings.Cut(v.text, "=")
	if !v.known && !strings.Contains(v.text, "=") {
		a.around("git -c with a name that is not written out")
		return
	}
	if gateKey(key) {
		a.around("git -c " + key)
	}
	a.alias(key, value{text: val, known: v.known})
	a.remote(key, value{text: val, known: v.known})
	a.program(key, value{text: val, known: v.known})
}

// alias reads the definition of an alias.
func (a *analysis) alias(key string, v value) {
	if !strings.HasPrefix(strings.ToLower(key), "alias.") {
		return
	}
	if !v.known {
		a.around("an alias that is not written out")
		return
	}
	a.expand(v.text)
}

// program reads the value of a variable that names a program.
func (a *analysis) program(key string, v value) {
	switch strings.ToLower(key) {
	case "core.editor", "sequence.editor", "core.pager", "core.sshcommand", "core.askpass", "credential.helper", "diff.external":
		if v.known {
			a.text(strings.TrimPrefix(v.text, "!"))
		}
	}
}

// expand reads what an alias stands for.
func (a *analysis) expand(text string) {
	if rest, ok := strings.CutPrefix(text, "!"); ok {
		a.text(rest)
		return
	}
	a.text("git " + text)
}

// hookless are the commands of git that take --no-verify.
var hookless = []string{"am", "cherry-pick", "citool", "commit", "gui", "merge", "pull", "push", "rebase", "revert"}

// plumbing changes refs, objects or configuration past the moments at which we are called.
var plumbing = map[string]string{
	"update-ref": "it moves refs itself", "commit-tree": "it makes commits past every hook", "fast-import": "it makes commits past every hook", "filter-branch": "it rewrites commits past every hook",
	"filter-repo": "it rewrites commits past every hook", "replace": "it puts other objects in the place of commits", "receive-pack": "it moves refs itself", "http-push": "it moves refs itself", "http-fetch": "it takes objects unseen", "unpack-objects": "it takes objects unseen",
	"update-server-info": "", "pack-refs": "", "symbolic-ref": "",
}

// reading are the commands of git that may name our refs.
var reading = []string{
	"archive", "blame", "branch", "cat-file", "check-ref-format", "cherry", "count-objects", "describe", "diff", "diff-tree", "for-each-ref", "format-patch", "fsck", "grep", "log", "ls-remote", "ls-tree", "merge-base", "name-rev",
	"rev-list", "rev-parse", "shortlog", "show", "show-branch", "show-ref", "status", "var", "verify-commit", "verify-pack", "whatchanged",
}

// takesNext reports whether the word that follows an option of git commit is its argument.
func takesNext(s string) bool {
	if strings.HasPrefix(s, "--") {
		return slices.Contains([]string{"--author", "--cleanup", "--date", "--file", "--fixup", "--message", "--reedit-message", "--reuse-message", "--squash", "--template", "--trailer"}, s)
	}
	i := strings.IndexAny(s, "mFcCt")
	return strings.HasPrefix(s, "-") && i > 0 && i == len(s)-1 && !strings.Contains(s[:i], "n")
}

func (a *analysis) subcommand(name string, args []value) {
	if name == "covenant" || strings.HasPrefix(name, "covenant-") {
		a.run(append([]value{literal(name)}, args...), nil)
		return
	}
	a.acts = a.acts || !slices.Contains(reading, name)
	known := true
	for _, v := range args {
		known = known && v.known
	}
	if why := plumbing[name]; why != "" {
		a.around("git " + name + ": " + why)
	}
	if slices.Contains(hookless, name) {
		for i := 0; i < len(args); i++ {
			v := args[i]
			if v.text == "--" {
				break
			}
			if name == "commit" && takesNext(v.text) {
				i++
				continue
			}
			if isNoVerify(v.text) {
				a.around("git " + name + " --no-verify")
			}
			if name == "commit" && !strings.HasPrefix(v.text, "--") && strings.HasPrefix(v.text, "-") && short(v.text, 'n', "mFcCtSu") {
				a.around("git commit -n")
			}
			if !v.known && !strings.ContainsAny(v.text, " /.") {
				a.hidden("an option of git " + name)
			}
		}
	}
	if !slices.Contains(reading, name) || !known {
		for _, v := range args {
			if covenantRef(v.text) {
				a.around("git " + name + " names " + clip(v.text))
			}
		}
	}
	switch name {
	case "config":
		a.gitConfig(args)
	case "notes":
		a.notes(args)
	case "fetch", "pull", "push", "send-pack":
		a.transfer(name, args)
	case "remote":
		options, names := grammar{takes: "mt", longs: "mirror master= track="}.read(args)
		if len(names) > 0 && names[0].text == "add" && given(options, "mirror") {
			a.around("git remote add --mirror: it takes the record away")
		}
	case "rebase", "bisect":
		for i, v := range args {
			if (v.text == "-x" || v.text == "--exec" || v.text == "run") && i+1 < len(args) {
				if v.text == "run" {
					a.run(args[i+1:], nil)
				} else if args[i+1].known {
					a.text(args[i+1].text)
				}
			}
			if rest, ok := strings.CutPrefix(v.text, "--exec="); ok && v.known {
				a.text(rest)
			}
		}
	case "submodule":
		for i, v := range args {
			if v.text == "foreach" && i+1 < len(args) {
				for _, w := range args[i+1:] {
					if w.known && !strings.HasPrefix(w.text, "-") {
						a.text(w.text)
					}
				}
			}
		}
	case "rm", "mv":
		for _, v := range operands(args) {
			a.writes(v, agent.Write{Tree: true})
		}
	case "apply", "am", "mailinfo":
		a.hidden("what a patch changes")
	case "archive":
		for i, v := range args {
			if (v.text == "-o" || v.text == "--output") && i+1 < len(args) {
				a.writes(args[i+1], agent.Write{})
			} else if rest, ok := strings.CutPrefix(v.text, "--output="); ok {
				a.writes(literal(rest), agent.Write{})
			}
		}
	case "show", "diff", "log", "format-patch":
		for _, v := range args {
			if rest, ok := strings.CutPrefix(v.text, "--output="); ok {
				a.writes(literal(rest), agent.Write{})
			}
		}
	case "update-index":
		for _, v := range args {
			if v.text == "--assume-unchanged" || v.text == "--skip-worktree" {
				a.around("git update-index " + v.text + " hides what changes")
			}
		}
	}
	if a.in.Alias != nil && a.texts < maxText {
		if text, ok := a.in.Alias(name); ok {
			words := make([]string, 0, len(args))
			for _, v := range args {
				words = append(words, quote(v))
			}
			a.expand(text + " " + strings.Join(words, " "))
		}
	}
}

func clip(s string) string {
	if len(s) > 80 {
		s = s[:80]
	}
	return strings.ToValidUTF8(s, "")
}

// short reports whether a word of short options has one, where others of them take what follows as their argument.
func short(word string, option byte, takes string) bool {
	for i := 1; i < len(word); i++ {
		if word[i] == option {
			return true
		}
		if strings.IndexByte(takes, word[i]) >= 0 {
			return false
		}
	}
	return false
}

// operands are the words that are no options.
func operands(args []value) []value {
	var out []value
	rest := false
	for _, v := range args {
		if v.text == "--" && v.known && !rest {
			rest = true
			continue
		}
		if rest || !strings.HasPrefix(v.text, "-") || v.text == "-" {
			out = append(out, v)
		}
	}
	return out
}

// gitConfig reads git config: what it asks about changes nothing.
func (a *analysis) gitConfig(args []value) {
	var names []value
	asks, changes := false, false
	for i := 0; i < len(args); i++ {
		v := args[i]
		switch {
		case v.text == "-f" || v.text == "--file" || v.text == "--blob" || v.text == "--type" || v.text == "--default" || v.text == "--comment" || v.text == "--value" || v.text == "--url":
			if (v.text == "-f" || v.text == "--file") && i+1 < len(args) {
				a.writes(args[i+1], agent.Write{})
			}
			i++
		case strings.HasPrefix(v.text, "--file="):
			a.writes(literal(strings.TrimPrefix(v.text, "--file=")), agent.Write{})
		case strings.HasPrefix(v.text, "--get") || v.text == "-l" || v.text == "--list":
			asks = true
		case v.text == "-e" || v.text == "--edit":
			a.around("git config --edit")
		case strings.HasPrefix(v.text, "--unset") || strings.HasPrefix(v.text, "--remove") || strings.HasPrefix(v.text, "--rename") || v.text == "--add" || strings.HasPrefix(v.text, "--replace"):
			changes = true
		case strings.HasPrefix(v.text, "-"):
		default:
			names = append(names, v)
		}
	}
	if len(names) > 0 {
		switch names[0].text {
		case "get", "list":
			asks, names = true, names[1:]
		case "set", "unset", "remove-section", "rename-section":
			changes, names = true, names[1:]
		case "edit":
			a.around("git config edit")
			return
		}
	}
	if asks || !changes && len(names) < 2 {
		return
	}
	for i, v := range names {
		if i > 1 {
			break
		}
		if !v.known && i == 0 {
			a.around("git config with a name that is not written out")
		}
		if gateKey(v.text) {
			a.around("git config " + clip(v.text))
		}
	}
	if len(names) > 1 {
		a.alias(names[0].text, names[1])
		a.remote(names[0].text, names[1])
		a.program(names[0].text, names[1])
	}
}

// notes reads git notes: it loses what others write at the same time, and the view of our record is among them.
func (a *analysis) notes(args []value) {
	ref, verb := "", ""
	for i := 0; i < len(args); i++ {
		v := args[i]
		switch {
		case v.text == "--ref" && i+1 < len(args):
			i++
			if ref = args[i].text; !args[i].known {
				ref = ""
			}
		case strings.HasPrefix(v.text, "--ref="):
			if ref = strings.TrimPrefix(v.text, "--ref="); !v.known {
				ref = ""
			}
		case strings.HasPrefix(v.text, "-"):
		default:
			if verb == "" {
				verb = v.text
			}
		}
	}
	if verb == "" || verb == "list" || verb == "show" || verb == "get-ref" {
		return
	}
	if ref == "" {
		a.around("git notes " + clip(verb) + " without a --ref")
	} else if strings.HasSuffix(ref, "covenant") {
		a.around("git notes --ref " + clip(ref) + " " + clip(verb))
	}
}
