package shell

import (
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode"
)

// ownText returns the text of a program of awk, perl or python that stands in the command, and the other words; false where that is not all of it.
func ownText(name string, g grammar, args []value, in *input) (text string, rest []value, ok bool) {
	kind := kindOf(name)
	g.early = kind != "awk"
	options, files := g.read(args)
	allowed := map[string]string{"awk": "F v assign field-separator", "perl": "e E n l a w 0", "python": "c B u I s"}[kind]
	for _, o := range options {
		if !slices.Contains(strings.Fields(allowed), o.name) || !o.value.known {
			return "", nil, false
		}
	}
	var texts []value
	switch kind {
	case "awk":
		if len(files) == 0 {
			return "", nil, false
		}
		texts, rest = files[:1], files[1:]
	case "perl":
		texts, _ = has(options, "e E")
		rest = files
	case "python":
		texts, _ = has(options, "c")
		rest = files
		if len(texts) == 0 && in.known() && (len(files) == 0 || files[0].text == "-") {
			texts = in.texts
		}
	}
	all := make([]string, 0, len(texts))
	for _, v := range texts {
		if !v.known {
			return "", nil, false
		}
		all = append(all, v.text)
	}
	return strings.Join(all, "\n"), rest, len(all) > 0
}

// kindOf is the language of an interpreter that is looked into; "" for any other.
func kindOf(name string) string {
	switch name = strings.TrimRight(name, "0123456789."); {
	case strings.HasSuffix(name, "awk"):
		return "awk"
	case name == "perl", name == "python":
		return name
	}
	return ""
}

// does is what a program that only looks has nothing of: what writes, starts something, changes the environment, or runs what it puts together.
var does = sync.OnceValue(func() map[string]*regexp.Regexp {
	return map[string]*regexp.Regexp{
		"awk":    regexp.MustCompile(`(?s)\bsystem\b|\||@|\\\n|print.*>`),
		"perl":   regexp.MustCompile("(?s)`|\\$\\^|\\||\\$\\{|@\\{|%\\{|&|->|::|\\*|%ENV|ENV\\s*\\{[^}]*\\}\\s*[^\\s=;,)}.?:\"]*=[^=~]|\\?\\{|\\b(system|exec|qx|open\\w*|sysopen|syswrite|unlink|rename|mkdir|rmdir|link|symlink|chmod|chown|chdir|truncate|utime|fork|eval|evalbytes|do|require|use|no|local|delete|dump|syscall|socket|pipe|dbmopen|tie|glob|select|BEGIN|ARGV|argv|__DATA__|kill|readpipe|sub|my|our|format|write|s|y|tr|map|foreach|for)\\b|print\\w*\\s*\\(?\\s*[A-Z{]|>\\s*[^\\s=0-9$]"),
		"python": regexp.MustCompile(`__|\\\n|\bopen\b|environ(b)?\s*\[[^\]\n]*\]\s*[^\s=\])},:.]*=[^=]|environb?\s*(\|=|\.\s*(update|pop\w*|clear|setdefault))|\bdel\b|\bfile\s*=|\b(system|popen\w*|Popen|subprocess|exec\w*|eval|compile|spawn\w*|posix\w*|fork\w*|putenv|unsetenv|setattr|getattr|delattr|globals|locals|vars|builtins|importlib|import_module|ctypes|pty|multiprocessing|socket|shutil|unlink|remove\w*|rename\w*|replace|rmdir|rmtree|mkdir|makedirs|mknod|mkfifo|chmod|chown|utime|symlink\w*|hardlink\w*|link|truncate|write\w*|writelines|dump|touch|copy\w*|move|lambda|with|as|class|def|startfile|help|kill|breakpoint|input|fdopen|fileinput|runpy|code|pdb|pickle|marshal|chdir|from)\b`),
	}
})

// pythonLooks are the modules that a program that only looks may have.
var pythonLooks = strings.Fields("base64 collections datetime difflib hashlib itertools json math os re statistics string sys textwrap time tomllib")

var pythonImport = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\bimport\s+([^\n;]*)`) })

// plainOpen opens a file to read it.
var plainOpen = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\bopen\s*\([^(),]*\)`) })

// onlyLooks reports whether a program neither writes nor starts anything. What it is not sure of does.
func onlyLooks(name, text string) bool {
	kind := kindOf(name)
	verbs := does()[kind]
	if verbs == nil || len(text) > maxParse || strings.ContainsFunc(text, func(r rune) bool { return r > unicode.MaxASCII }) { // python reads letters of many kinds as one
		return false
	}
	switch kind {
	case "awk":
		text = strings.ReplaceAll(text, "||", "")
	case "python":
		for _, m := range pythonImport().FindAllStringSubmatch(text, -1) {
			for module := range strings.SplitSeq(m[1], ",") {
				if !slices.Contains(pythonLooks, strings.TrimSpace(module)) {
					return false
				}
			}
		}
		text = strings.ReplaceAll(text, "sys.stdout.write(", "print(")
		text = plainOpen().ReplaceAllString(text, "")
	}
	return !verbs.MatchString(text)
}
