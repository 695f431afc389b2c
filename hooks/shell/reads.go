package shell

import (
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"mvdan.cc/sh/v3/syntax"

	"github.com/open-covenant/covenant-git/hooks/agent"
)

// What is read as a whole is a folder with all that is below it: what is given to a program that reads folders, or to one that is not known.
// Every other word of a command only names what it names.

// signs stand before a path in a word: --file=a, f=@a, x:a.
const signs = "=@:,;"

// named are the paths that a word may have in it: all of it, and what is behind one of the signs. What stands behind them as "/" is rather a sign itself
// (cut -d/, PREFIX=/).
func named(v value) []value {
	if strings.HasPrefix(v.text, "file:") {
		return []value{local(v)}
	}
	out := []value{v}
	if end := strings.IndexAny(v.text, ":"); end > 0 && v.known && !v.glob {
		out = append(out, literal(v.text[:end]))
	}
	if i := strings.Index(v.text, "file:"); i > 0 {
		out = append(out, local(v.from(i)))
	}
	for i := range len(v.text) {
		if rest := v.text[i+1:]; strings.IndexByte(signs, v.text[i]) >= 0 && rest != "" && strings.Trim(rest, "/") != "" {
			out = append(out, v.from(i+1))
			if end := strings.IndexAny(rest, ":;"); end > 0 && v.known && !v.glob {
				out = append(out, literal(rest[:end]))
			}
		}
		if len(out) > maxSays {
			break
		}
	}
	if strings.HasPrefix(v.text, "-") { // -C/a
		out = slices.Delete(out, 0, 1)
		if i := strings.IndexByte(v.text, '/'); i > 0 && strings.Trim(v.text[i:], "/") != "" {
			out = append(out, v.from(i))
		}
	}
	return out
}

// local is the path of a file: URL. Of one that stands for several it is the folder that these are in.
func local(v value) value {
	text := strings.TrimPrefix(v.text, "file:")
	if rest, host := strings.CutPrefix(text, "//"); host {
		text = rest[max(0, strings.IndexByte(rest, '/')):]
	}
	if i := strings.IndexAny(text, "{["); i >= 0 {
		text = text[:strings.LastIndexByte(text[:i], '/')+1]
	}
	if plain, err := url.PathUnescape(text); err == nil {
		text = plain
	}
	out := literal(text)
	out.known = v.known
	return out
}

// idle are programs that read nothing of what is in the files that they name.
var idle = append(strings.Fields("fd fdfind find mkdir rm rmdir unlink"), listers...)

// idlers says which words of a command name files of which it reads nothing that is in them.
func idlers(words []value) func(i int) bool {
	name := base(words[0].text)
	given := func(prefixes ...string) bool {
		return slices.ContainsFunc(words[1:], func(v value) bool {
			return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(v.text, p) })
		})
	}
	only := 0
	switch {
	case slices.Contains(idle, name), name == "git" && len(words) > 1 && slices.Contains([]string{"check-ignore", "ls-files", "rm", "status"}, words[1].text):
		return func(int) bool { return true }
	case slices.Contains([]string{"cp", "gcp", "install", "ln", "mv"}, name) && !given("-t", "--target"):
		only = len(words) - 1 // it is written
	case slices.Contains([]string{"ack", "ag", "egrep", "fgrep", "grep", "rg"}, name) && !given("-e", "-f", "--regexp", "--file"):
		only = slices.IndexFunc(words, func(v value) bool { return v.text != words[0].text && !strings.HasPrefix(v.text, "-") }) // the pattern
	}
	return func(i int) bool { return i > 0 && i == only }
}

// mentioned notes what the words of a command name, the first of which is its own name.
func (a *analysis) mentioned(words []value) {
	idle := idlers(words)
	for i, v := range words {
		if i == 0 {
			continue
		}
		if a.looks > maxLooks {
			return
		}
		if !v.known && strings.Contains(v.text, "covenant/keys") {
			a.around("it names " + clip(v.text))
		}
		for _, p := range named(v) {
			a.names(p, idle(i))
		}
	}
}

// wholes notes what is read as a whole.
func (a *analysis) wholes(words []value) {
	for _, v := range words {
		if a.looks > maxLooks {
			return
		}
		for _, p := range named(v) {
			a.takes(p, true)
		}
	}
}

// names notes that a word is a path that is named. idle: of what is in it nothing is read.
func (a *analysis) names(v value, idle bool) { a.noted(v, agent.Named{Idle: idle}) }

// takes notes that a word is a path that is read, or read as a whole.
func (a *analysis) takes(v value, whole bool) { a.noted(v, agent.Named{Whole: whole}) }

func (a *analysis) noted(v value, r agent.Named) {
	if v.text == "" || a.looks > maxLooks {
		return
	}
	if a.looks += 1 + len(a.dirs)*(1+len(a.links)); a.looks > maxLooks || len(a.taken) >= maxItems {
		a.looks = maxLooks + 1
		a.around("it names more files than are looked at")
		return
	}
	paths, _ := a.at(v)
	for _, p := range paths {
		r.Path, r.Glob = path.Clean(p), v.glob
		if v.glob {
			r.Path = strings.TrimSuffix(p, v.text) + v.pattern
		}
		if a.taken[r] {
			continue
		}
		a.taken[r] = true
		a.out.Reads = append(a.out.Reads, r)
	}
}

// quotedPath is a path in the text of a program in another language, quotedName what may be one, and quotedCall a call of git whose words are apart.
var (
	quotedPath = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile("['\"`](~?/[^'\"`\n]+)['\"`]") })
	quotedCall = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile("['\"`]git['\"`]\\s*,\\s*\\[?([^\\])]*)") })
	quotedName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile("['\"`]([^'\"`\\s\\\\]{1,255})['\"`]") })
)

// programText notes the paths that stand in quotes in the text of a program.
func (a *analysis) programText(text string) {
	for _, m := range quotedCall().FindAllStringSubmatch(text, maxSays) {
		var words []value
		for _, w := range quotedName().FindAllStringSubmatch(m[1], maxSays) {
			if len(words) > 0 || w[1] != "git" { // its own name
				words = append(words, literal(w[1]))
			}
		}
		a.git(words)
	}
	for _, m := range quotedName().FindAllStringSubmatch(text, maxItems/4) {
		a.names(literal(m[1]), false)
	}
	for _, m := range quotedPath().FindAllStringSubmatch(text, maxItems) {
		p := m[1]
		if rest, home := strings.CutPrefix(p, "~"); home {
			p = a.in.Home + rest
		}
		if strings.Trim(p, "/") != "" {
			a.takes(literal(p), true)
		}
	}
}

// folderReaders reads the call of a program that is known to read folders, or of one that lists them for another.
func (a *analysis) folderReaders(name string, args []value) {
	switch name {
	case "ack", "ag", "pax", "zip":
		a.wholes(args)
	case "cp", "gcp", "install", "rsync", "scp":
		options, ops := programs[strings.TrimPrefix(name, "g")].read(args)
		if name == "rsync" || name == "scp" || !given(options, "t target-directory") {
			ops = ops[:max(0, len(ops)-1)] // it is written
		}
		a.wholes(ops)
	case "curl", "wget":
		for _, v := range args {
			if i := strings.Index(v.text, "file:"); i >= 0 {
				a.takes(local(v.from(i)), true) // it may stand for several
			}
		}
	case "gtar", "tar":
		options, ops := programs["tar"].read(bundled(args))
		if given(options, "x extract get t list d diff compare") && !given(options, "c create r append u update A catenate concatenate") {
			return
		}
		a.within(func() {
			dirs, _ := has(options, "C directory")
			for i, v := range dirs {
				if a.cd([]value{v}); i > 0 { // which operand is where is not told
					a.wholes(dirs)
				}
			}
			a.wholes(ops)
		})
	case "egrep", "fgrep", "grep", "zgrep":
		options, ops := grammar{takes: "ABCDdefm", longs: "after-context= before-context= color= context= dereference-recursive directories= exclude= exclude-dir= exclude-from= file= include= max-count= recursive regexp="}.read(args)
		if how, _ := has(options, "d directories"); !given(options, "r R recursive dereference-recursive") && !slices.ContainsFunc(how, func(v value) bool { return v.text == "recurse" }) {
			return
		}
		a.searches(ops, given(options, "e f regexp file"))
	case "rg":
		options, ops := grammar{takes: "ABCDEefgjmMrtT", longs: "file= files glob= regexp= type="}.read(args)
		a.searches(ops, given(options, "e f regexp file files"))
	case "diff":
		a.wholes(operands(args))
	case "du", "fd", "fdfind", "find", "ls", "tree":
		if a.feeds {
			ops := operands(args)
			if len(ops) == 0 {
				ops = []value{literal(".")}
			}
			a.wholes(ops)
		}
	}
}

// gitReads reads what commands of Git take in that is in no repository.
func (a *analysis) gitReads(name string, args []value) {
	options, ops := gitPrograms[name].read(args)
	switch name {
	case "add", "archive", "diff", "hash-object", "stage":
		a.wholes(args)
	case "grep":
		if given(options, "no-index") {
			a.searches(ops, given(options, "e f"))
		}
	}
}

// searches reads what a search goes through: all but the pattern, or where it works.
func (a *analysis) searches(ops []value, given bool) {
	if !given {
		ops = ops[min(1, len(ops)):]
	}
	if len(ops) == 0 {
		ops = []value{literal(".")}
	}
	a.wholes(ops)
}

// feeding runs f where what is printed may be the names of files that something else opens.
func (a *analysis) feeding(f func()) {
	before := a.feeds
	a.feeds = true
	f()
	a.feeds = before
}

// opens reports whether a statement may open the files that it is told of on its input.
func opens(s *syntax.Stmt) bool {
	call, ok := s.Cmd.(*syntax.CallExpr)
	if !ok || len(call.Args) == 0 {
		return true
	}
	name := path.Base(call.Args[0].Lit())
	return name == "xargs" || !slices.Contains(readers, name) && name != "sort" && name != "uniq" && name != "less" && name != "sed" && !strings.HasSuffix(name, "awk")
}

// listers look at a folder, and read nothing of what is in it.
var listers = []string{"[", "basename", "chmod", "chown", "dirname", "du", "echo", "ls", "printf", "readlink", "realpath", "stat", "test", "touch"}
