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
			option, arg, has := strings.Cut(v.text, "=")
			given := func() value {
				if has {
					return literal(arg)
				}
				return next()
			}
			switch {
			case option == "-C":
				to := next()
				a.reads(to)
				a.cd([]value{to})
			case option == "-c":
				a.config(next())
			case option == "--config-env":
				key, _, _ := strings.Cut(given().text, "=")
				if gateKey(key) || strings.HasPrefix(strings.ToLower(key), "remote.") {
					a.around("git --config-env " + key)
				}
				a.setting(key, value{}) // to what a variable has, which is not read
			case option == "--git-dir":
				elsewhere = true
				a.reads(given())
			case option == "--work-tree":
				to := given()
				a.reads(to)
				a.writes(to, agent.Write{Folder: true})
			case option == "--namespace":
				a.binds("GIT_NAMESPACE", binding{value: given()})
			case option == "--super-prefix" || option == "--attr-source":
				given()
			case option == "--exec-path" && has:
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
			a.around("it names " + clip(v.text))
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
	"filter-repo": "it rewrites commits past every hook", "replace": "it puts other objects in the place of commits", "receive-pack": "it moves refs itself", "http-push": "it moves refs itself", "http-fetch": "it takes objects unseen",
	"unpack-objects": "it takes objects unseen",
}

// reading are the commands of git that may name our refs.
var reading = []string{
	"archive", "blame", "branch", "bundle", "cat-file", "check-ref-format", "cherry", "count-objects", "describe", "diff", "diff-tree", "for-each-ref", "format-patch", "fsck", "grep", "log", "ls-files", "ls-remote", "ls-tree", "merge-base",
	"name-rev", "range-diff", "rev-list", "rev-parse", "shortlog", "show", "show-branch", "show-ref", "status", "var", "verify-commit", "verify-pack", "whatchanged",
}

// gitPrograms say which options of commands of git name what it writes and runs. says are options whose argument is text for people.
var gitPrograms = map[string]struct {
	program
	says string
}{
	"am":             {program{grammar: grammar{takes: "Cp", may: "S", longs: "directory= exclude= include= no-verify patch-format="}}, ""},
	"archive":        {program{grammar: grammar{takes: "o", longs: "add-file= add-virtual-file= exec= format= mtime= output= prefix= remote="}, writes: "o output", runs: "exec"}, ""},
	"bugreport":      {program{grammar: grammar{takes: "os", longs: "output-directory= suffix="}, into: "o output-directory"}, ""},
	"checkout-index": {program{grammar: grammar{longs: "prefix= stage="}, into: "prefix"}, ""},
	"cherry-pick":    {program{grammar: grammar{takes: "mX", may: "S", longs: "cleanup= gpg-sign mainline= no-verify strategy= strategy-option="}}, ""},
	"clone":          {program{grammar: grammar{takes: "bcjou", longs: "branch= bundle-uri= config= depth= filter= jobs= origin= recurse-submodules reference= reference-if-able= separate-git-dir= server-option= shallow-exclude= shallow-since= template= upload-pack="}, runs: "u upload-pack", into: "separate-git-dir", operands: folders}, ""},
	"commit":         {program{grammar: grammar{takes: "cCFmt", may: "Su", longs: "all amend allow-empty author= cleanup= date= edit file= fixup= gpg-sign message= no-edit no-gpg-sign no-verify patch pathspec-from-file= quiet reedit-message= reset-author reuse-message= signoff squash= template= trailer= untracked-files verbose"}}, "m message author date trailer"},
	"diagnose":       {program{grammar: grammar{takes: "os", longs: "mode= output-directory= suffix="}, into: "o output-directory"}, ""},
	"difftool":       {program{grammar: grammar{takes: "tx", longs: "extcmd= tool="}, runs: "x extcmd"}, ""},
	"fast-export":    {program{grammar: grammar{longs: "export-marks= import-marks="}, writes: "export-marks"}, ""},
	"format-patch":   {program{grammar: grammar{takes: "o", longs: "output= output-directory= stdout"}, writes: "output", into: "o output-directory"}, ""},
	"grep":           {program{grammar: grammar{takes: "ABCefm", may: "O", longs: "open-files-in-pager"}, runs: "O open-files-in-pager"}, "e"},
	"init":           {program{grammar: grammar{takes: "b", longs: "initial-branch= object-format= ref-format= separate-git-dir= shared template="}, operands: folders}, ""},
	"ls-remote":      {program{grammar: grammar{takes: "o", longs: "exec= server-option= sort= upload-pack="}, runs: "exec upload-pack"}, ""},
	"merge":          {program{grammar: grammar{takes: "FmsX", may: "S", longs: "cleanup= file= gpg-sign into-name= log message= no-verify strategy= strategy-option="}}, "m message"},
	"notes":          {program{grammar: grammar{takes: "cCFm", longs: "file= message= ref= reedit-message= reuse-message= separator= strategy="}}, "m message"},
	"read-tree":      {program{grammar: grammar{longs: "index-output= prefix="}, writes: "index-output"}, ""},
	"rebase":         {program{grammar: grammar{takes: "CsxX", may: "S", longs: "empty= exec= gpg-sign no-verify onto= strategy= strategy-option= whitespace="}, runs: "x exec"}, ""},
	"revert":         {program{grammar: grammar{takes: "mX", may: "S", longs: "cleanup= gpg-sign mainline= no-verify strategy= strategy-option="}}, ""},
	"stash":          {program{grammar: grammar{takes: "m", longs: "message= pathspec-from-file="}}, "m message"},
	"submodule":      {program{grammar: grammar{takes: "bj", longs: "branch= depth= jobs= name= reference="}}, ""},
	"tag":            {program{grammar: grammar{takes: "Fmu", longs: "cleanup= file= local-user= message= trailer="}}, "m message trailer"},
	"worktree":       {program{grammar: grammar{takes: "bB", longs: "expire= reason="}, operands: folders}, "reason"},
}

func (a *analysis) subcommand(name string, args []value) {
	if name == "covenant" || strings.HasPrefix(name, "covenant-") {
		a.run(append([]value{literal(name)}, args...), nil)
		return
	}
	a.acts = a.acts || !slices.Contains(reading, name)
	if why := plumbing[name]; why != "" {
		a.around("git " + name + ": " + why)
	}
	a.gitReads(name, args)
	p, listed := gitPrograms[name]
	if slices.Contains([]string{"diff", "log", "show", "whatchanged", "diff-tree", "range-diff"}, name) {
		p.longs, p.writes = "output= output-indicator-new=", "output"
	}
	options, operands := p.read(args)
	words := operands
	for _, o := range options {
		if !slices.Contains(strings.Fields(p.says), o.name) {
			words = append(words, o.value)
		}
	}
	a.options("git "+name, p.program, options)
	if p.operands == folders || slices.Contains([]string{"checkout", "clean", "reset", "restore", "stash"}, name) {
		for _, v := range operands {
			a.touches(v)
		}
	}
	if slices.Contains(hookless, name) {
		a.unhooked(name, listed, options, operands)
	}
	known := !slices.ContainsFunc(words, func(v value) bool { return !v.known })
	if !slices.Contains(reading, name) || !known || name == "branch" && given(options, "d D m M c C f delete move copy force") || name == "bundle" && len(operands) > 0 && operands[0].text != "create" {
		for _, v := range words {
			if covenantRef(v.text) {
				a.around("git " + name + " names " + clip(v.text))
			}
		}
	}
	switch name {
	case "config":
		a.gitConfig(args)
	case "notes":
		a.notes(options, operands)
	case "fetch", "pull", "push", "send-pack":
		a.transfer(name, args)
	case "annex", "archive", "fetch-pack", "http-fetch", "imap-send", "lfs", "ls-remote", "p4", "remote-ftp", "remote-ftps", "remote-http", "remote-https", "send-email", "svn":
		a.gitConnects(name, options, operands)
	case "remote":
		options, names := grammar{takes: "mt", longs: "auto fetch mirror master= track="}.read(args)
		if len(names) > 0 && names[0].text == "add" && given(options, "mirror") {
			a.around("git remote add --mirror: it takes the record away")
		}
		a.gitConnects(name, options, names)
	case "init", "clone":
		if name == "init" && given(options, "template separate-git-dir") {
			a.around("git init with other hooks, or another git directory")
		}
		a.gitConnects(name, options, operands)
		settings, _ := has(options, "c config")
		for _, v := range settings {
			a.config(v)
		}
	case "bisect":
		if len(operands) > 0 && operands[0].text == "run" {
			i := slices.IndexFunc(args, func(v value) bool { return v.text == "run" })
			a.run(args[i+1:], nil)
		}
	case "submodule":
		a.gitConnects(name, options, operands)
		if i := slices.IndexFunc(args, func(v value) bool { return v.text == "foreach" }); i >= 0 {
			_, words := grammar{early: true}.read(args[i+1:])
			a.joined(words, "what git submodule runs")
		}
	case "for-each-repo":
		_, words := grammar{longs: "config=", early: true}.read(args)
		a.git(words)
	case "format-patch":
		if folders, _ := has(options, "o output-directory"); !given(options, "output stdout") {
			a.numbered(append(folders, literal(".")), "/0001-.patch")
		}
	case "bundle":
		if len(operands) > 1 && operands[0].text == "create" {
			a.writes(operands[1], agent.Write{})
		}
	case "rm", "mv":
		for _, v := range operands {
			a.writes(v, agent.Write{Tree: true})
		}
	case "apply", "am", "mailinfo":
		a.opaque("what a patch changes")
	case "hash-object":
		options, _ := grammar{takes: "t", longs: "literally no-filters path= stdin stdin-paths"}.read(args)
		if kinds, _ := has(options, "t"); slices.ContainsFunc(kinds, func(v value) bool { return v.text != "blob" && v.text != "tree" }) && given(options, "w") {
			a.around("git hash-object: " + plumbing["commit-tree"])
		}
	case "update-index":
		options, _ := grammar{longs: "add again assume-unchanged cacheinfo chmod= force-remove fsmonitor-valid ignore-missing index-info no-assume-unchanged no-fsmonitor-valid no-skip-worktree really-refresh refresh remove replace skip-worktree stdin unmerged"}.read(args)
		if given(options, "assume-unchanged fsmonitor-valid skip-worktree") {
			a.around("git update-index hides what changes")
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

// unhooked reads the options by which hooks are not called.
func (a *analysis) unhooked(name string, listed bool, options []option, operands []value) {
	for _, o := range options {
		if isNoVerify("--" + o.name) {
			a.around("git " + name + " --no-verify")
		}
		if name == "commit" && o.name == "n" {
			a.around("git commit -n")
		}
		if !o.value.known && !listed && !strings.ContainsAny(o.value.text, " /.") {
			a.hidden("an option of git " + name)
		}
	}
	for _, v := range operands {
		if !v.known && !strings.ContainsAny(v.text, " /.") {
			a.hidden("an option of git " + name)
		}
	}
}

// joined reads words that something joins to a command.
func (a *analysis) joined(words []value, what string) {
	text := make([]string, 0, len(words))
	for _, v := range words {
		if !v.known {
			a.hidden(what)
			a.gitWithin(words, true)
			return
		}
		text = append(text, v.text)
	}
	a.text(strings.Join(text, " "))
}

func clip(s string) string {
	if len(s) > 80 {
		s = s[:80]
	}
	return strings.ToValidUTF8(s, "")
}

// notes reads git notes: it loses what others write at the same time, and the view of our record is among them.
func (a *analysis) notes(options []option, operands []value) {
	if len(operands) == 0 || operands[0].known && slices.Contains([]string{"list", "show", "get-ref"}, operands[0].text) {
		return
	}
	refs, there := has(options, "ref")
	if !there || slices.ContainsFunc(refs, func(v value) bool { return !v.known || v.text == "" }) {
		a.around("git notes " + clip(operands[0].text) + " without a --ref")
		return
	}
	for _, v := range refs {
		if strings.HasSuffix(strings.ToLower(v.text), "covenant") {
			a.around("git notes --ref " + clip(v.text) + " " + clip(operands[0].text))
		}
	}
}
