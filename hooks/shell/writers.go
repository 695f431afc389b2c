package shell

import (
	"path"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/hooks/agent"
)

// writers are the programs whose operands are read as files that they write.
var writers = []string{
	"chgrp", "chmod", "chown", "cp", "curl", "dd", "ed", "ex", "gofmt", "gofumpt", "goimports", "install", "link", "ln", "mkdir", "mv", "patch", "prettier", "rm", "rmdir", "rsync", "scp", "sed", "gsed", "shred", "sort", "split", "sponge", "tar", "tee", "touch",
	"truncate", "unlink", "unzip", "vi", "vim", "wget", "gtee", "gcp", "gmv", "grm",
}

// writer reads the call of one of them; false for any other program.
func (a *analysis) writer(name string, args []value) bool {
	if !slices.Contains(writers, name) {
		return false
	}
	if len(name) > 2 && name[0] == 'g' && slices.Contains(writers, name[1:]) {
		name = name[1:]
	}
	has := func(letters string, longs ...string) bool {
		return slices.ContainsFunc(args, func(v value) bool {
			if strings.HasPrefix(v.text, "--") {
				return slices.ContainsFunc(longs, func(l string) bool { return strings.HasPrefix(v.text, l) })
			}
			return strings.HasPrefix(v.text, "-") && strings.ContainsAny(v.text[1:], letters)
		})
	}
	all := func(list []value, w agent.Write) {
		for _, v := range list {
			a.writes(v, w)
		}
	}
	ops := operands(args)
	switch name {
	case "tee", "touch", "truncate", "unlink", "shred", "rmdir", "sponge", "mkdir":
		if name == "truncate" || name == "touch" || name == "mkdir" || name == "shred" {
			ops = without(args, "-s", "-r", "-d", "-t", "-m", "--size", "--reference", "--date", "--mode", "-n")
		}
		all(ops, agent.Write{Folder: name == "mkdir" || name == "rmdir"})
	case "rm":
		all(ops, agent.Write{Tree: has("rR", "--recursive")})
	case "chmod", "chown", "chgrp":
		minus := slices.ContainsFunc(args, func(v value) bool { // a mode such as -x
			return len(v.text) > 1 && v.text[0] == '-' && strings.Trim(v.text[1:], "rwxXstugo,=+-") == "" && v.text != "--"
		})
		if !has("", "--reference") && !(name == "chmod" && minus) && len(ops) > 0 {
			ops = ops[1:]
		}
		all(ops, agent.Write{Tree: has("R", "--recursive")})
	case "sed":
		a.sed(args)
	case "cp", "mv", "install", "ln", "link", "scp", "rsync":
		a.copies(name, args, has("rRa", "--recursive", "--archive"))
	case "dd":
		for _, v := range args {
			if rest, ok := strings.CutPrefix(v.text, "of="); ok {
				a.writes(value{text: rest, known: v.known, pattern: escapeGlob(rest)}, agent.Write{})
			}
		}
	case "sort", "curl", "wget", "split":
		a.output(name, args)
	case "gofmt", "gofumpt", "goimports":
		if has("w") {
			all(ops, agent.Write{Tree: true})
		}
	case "prettier":
		if has("w", "--write") {
			all(ops, agent.Write{Tree: true})
		}
	case "vi", "vim", "ed", "ex":
		all(ops, agent.Write{})
		a.hidden("what an editor does")
	case "patch":
		all(ops[:min(len(ops), 1)], agent.Write{})
		if len(ops) == 0 {
			a.hidden("what a patch changes")
		}
	case "tar", "unzip":
		if name == "unzip" || len(args) > 0 && strings.Contains(strings.SplitN(args[0].text, " ", 2)[0], "x") || has("x", "--extract", "--get") {
			a.hidden("what an archive holds")
		}
		if name == "tar" && (has("c", "--create") || len(args) > 0 && strings.Contains(args[0].text, "c")) {
			for i, v := range args {
				if strings.HasSuffix(v.text, "f") && i+1 < len(args) {
					a.writes(args[i+1], agent.Write{})
				}
			}
		}
	}
	return true
}

// without are the operands, where some options take the word that follows.
func without(args []value, options ...string) []value {
	var kept []value
	for i := 0; i < len(args); i++ {
		if args[i].text == "--" {
			return append(kept, args[i+1:]...)
		}
		if slices.Contains(options, args[i].text) {
			i++
			continue
		}
		if !strings.HasPrefix(args[i].text, "-") || args[i].text == "-" {
			kept = append(kept, args[i])
		}
	}
	return kept
}

// sed reads sed(1): files that it changes in place, and those that its program writes.
func (a *analysis) sed(args []value) {
	inPlace, given := false, false
	var scripts, files []value
	for i := 0; i < len(args); i++ {
		v := args[i]
		switch {
		case v.text == "-e" || v.text == "--expression" || v.text == "-f" || v.text == "--file":
			given = true
			if i+1 < len(args) {
				i++
				if v.text == "-f" || v.text == "--file" {
					a.hidden("a script of sed")
				} else {
					scripts = append(scripts, args[i])
				}
			}
		case strings.HasPrefix(v.text, "--expression="):
			given = true
			scripts = append(scripts, value{text: strings.TrimPrefix(v.text, "--expression="), known: v.known})
		case strings.HasPrefix(v.text, "--in-place") || v.text == "-i" || strings.HasPrefix(v.text, "-i"):
			inPlace = true
		case strings.HasPrefix(v.text, "--"):
		case strings.HasPrefix(v.text, "-") && len(v.text) > 1:
			if k := strings.IndexByte(v.text, 'e'); k > 0 && !strings.Contains(v.text[:k], "i") { // -ne SCRIPT, -eSCRIPT
				given = true
				if k+1 < len(v.text) {
					scripts = append(scripts, value{text: v.text[k+1:], known: v.known})
				} else if i+1 < len(args) {
					i++
					scripts = append(scripts, args[i])
				}
			}
			inPlace = inPlace || short(v.text, 'i', "elf")
		default:
			files = append(files, v)
		}
	}
	if !given && len(files) > 0 {
		scripts, files = files[:1], files[1:]
	}
	if inPlace {
		for _, v := range files {
			if v.text != "" {
				a.writes(v, agent.Write{})
			}
		}
	}
	for _, s := range scripts {
		if !s.known {
			a.hidden("a script of sed")
			continue
		}
		for i := 0; i+2 < len(s.text); i++ {
			if s.text[i] != 'w' && s.text[i] != 'W' || s.text[i+1] != ' ' {
				continue
			}
			if i > 0 && !strings.ContainsRune("/;|,#{}0123456789gpIiMme$ \n\t", rune(s.text[i-1])) {
				continue
			}
			name, _, _ := strings.Cut(s.text[i+2:], "\n")
			a.writes(literal(strings.TrimSpace(name)), agent.Write{})
		}
	}
}

// copies reads what puts files somewhere.
func (a *analysis) copies(name string, args []value, tree bool) {
	target := value{}
	aimed := false
	var ops []value
	for i := 0; i < len(args); i++ {
		v := args[i]
		switch {
		case (v.text == "-t" || v.text == "--target-directory") && i+1 < len(args):
			i++
			target, aimed = args[i], true
		case strings.HasPrefix(v.text, "--target-directory="):
			rest := strings.TrimPrefix(v.text, "--target-directory=")
			target, aimed = value{text: rest, known: v.known, pattern: escapeGlob(rest)}, true
		case name == "install" && (v.text == "-m" || v.text == "-o" || v.text == "-g"), v.text == "-S", v.text == "--suffix", name == "rsync" && (v.text == "-e" || v.text == "--exclude" || v.text == "--include"):
			i++
		case v.text == "--":
			ops = append(ops, args[i+1:]...)
			i = len(args)
		case strings.HasPrefix(v.text, "-") && len(v.text) > 1:
		default:
			ops = append(ops, v)
		}
	}
	if !aimed {
		if len(ops) < 2 {
			if name == "ln" && len(ops) == 1 && ops[0].known {
				a.writes(literal(path.Base(ops[0].text)), agent.Write{})
			}
			return
		}
		target, ops = ops[len(ops)-1], ops[:len(ops)-1]
	}
	if strings.Contains(target.text, ":") && (name == "scp" || name == "rsync") {
		return // elsewhere
	}
	into := make([]string, 0, len(ops))
	for _, v := range ops {
		if !v.known || v.glob {
			tree = true
			continue
		}
		into = append(into, path.Base(v.text))
	}
	a.writes(target, agent.Write{Into: into, Tree: tree || name == "rsync" || name == "mv"})
	if name == "mv" {
		for _, v := range ops {
			a.writes(v, agent.Write{Tree: true})
		}
	}
}

// output reads programs that name the file they write by an option.
func (a *analysis) output(name string, args []value) {
	for i, v := range args {
		next := value{known: true}
		if i+1 < len(args) {
			next = args[i+1]
		}
		switch {
		case name == "sort" && v.text == "-o", name == "curl" && (v.text == "-o" || v.text == "-D" || v.text == "-c"), name == "wget" && (v.text == "-O" || v.text == "-o"), v.text == "--output", name == "wget" && v.text == "--output-document":
			a.writes(next, agent.Write{})
		case strings.HasPrefix(v.text, "--output="), strings.HasPrefix(v.text, "--output-document="):
			_, rest, _ := strings.Cut(v.text, "=")
			a.writes(value{text: rest, known: v.known, pattern: escapeGlob(rest)}, agent.Write{})
		case strings.HasPrefix(v.text, "-o") && name != "wget" && len(v.text) > 2 && !strings.HasPrefix(v.text, "--"), strings.HasPrefix(v.text, "-O") && name == "wget" && len(v.text) > 2:
			a.writes(value{text: v.text[2:], known: v.known, pattern: escapeGlob(v.text[2:])}, agent.Write{})
		case name == "curl" && (v.text == "-O" || v.text == "--remote-name" || v.text == "-OJ" || v.text == "-LO" || v.text == "-fsSLO"), name == "split":
			a.hidden("the name of what is written")
		}
	}
	if name == "wget" && !slices.ContainsFunc(args, func(v value) bool {
		return strings.HasPrefix(v.text, "-O") || strings.HasPrefix(v.text, "--output-document")
	}) {
		for _, v := range operands(args) {
			if b := path.Base(v.text); v.known && b != "." && b != "/" {
				a.writes(literal(b), agent.Write{})
			}
		}
	}
}
