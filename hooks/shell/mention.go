package shell

import (
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/hooks/agent"
)

// guardedText is what is not to be named to a program that may do anything with it, in small letters.
var guardedText = func() []string {
	out := []string{
		"--no-verify", "core.hookspath", "covenant.root", "hook.covenant", "refs/covenant", "refs/notes/covenant", "update-ref", "commit-tree", "fast-import", ".git/hooks", ".git/covenant", ".git/config", "covenant/keys", ".gitconfig",
	}
	for _, f := range agent.Settings("/", "/") {
		out = append(out, strings.ToLower(strings.TrimPrefix(f, "/")))
	}
	slices.Sort(out)
	return slices.Compact(out)
}()

// guardedName reports whether a name is that of a variable that decides whether, how or as whom the gate is asked.
func guardedName(name string) bool {
	return name != "COVENANT_INTENT" && strings.HasPrefix(name, "COVENANT_") || agent.IsMarker(name) || strings.HasPrefix(name, "GIT_CONFIG") || strings.HasPrefix(name, "GIT_") && slices.Contains(gateless, name)
}

// names returns what is guarded and a text names, as it stands or without quotes and backslashes; "" for nothing.
func names(text string) string {
	plain := strings.NewReplacer(`"`, "", `'`, "", `\`, "").Replace(text)
	for _, t := range []string{text, plain} {
		small := strings.ToLower(t)
		for _, g := range guardedText {
			if strings.Contains(small, g) {
				return g
			}
		}
		for name := range strings.FieldsFuncSeq(t, func(r rune) bool {
			return r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
		}) {
			if guardedName(name) {
				return name
			}
		}
	}
	return ""
}

// mentions refuses words that name what is guarded to something that may do anything with it: it is not known what, and a mention is enough.
func (a *analysis) mentions(who string, words []value) {
	var all strings.Builder
	for _, v := range words {
		all.WriteString(v.text)
		all.WriteByte('\n')
	}
	if n := names(all.String()); n != "" {
		a.around(who + " is told of " + n)
	}
}

// unknown reads the call of a program of which it is not known what it does with its words, and with what it is given to read.
func (a *analysis) unknown(name string, args []value, in *input) {
	a.mentions(clip(name), args)
	a.spoken(args)
	if in != nil {
		a.spoken(in.texts)
		a.mentions(clip(name), in.texts)
	}
	a.touches(literal(".")) // where it works
	a.wholes(args)
	for _, v := range args {
		if v.known && strings.Contains(v.text, "git ") {
			a.text(v.text) // some run their words
		}
		if _, rest, ok := strings.Cut(v.text, "="); ok && strings.HasPrefix(v.text, "-") {
			v = v.from(len(v.text) - len(rest))
		}
		if !v.glob && !strings.Contains(v.text, "://") && !strings.ContainsAny(v.text, " \t\n'\"(){};$\\|<>") && (strings.Contains(v.text, "/") || strings.HasPrefix(v.text, ".")) && !shifting(v.text) {
			a.touches(v)
		}
	}
}

// touches notes that a word is a path, and that it is not known what happens to it: only what is guarded counts.
func (a *analysis) touches(v value) {
	paths, _ := a.at(v)
	for _, p := range paths {
		if len(a.out.Writes) < maxItems && !device(p) {
			a.out.Writes = append(a.out.Writes, agent.Write{Path: p, Folder: true})
		}
	}
}

// look looks in a command that hides something for what is guarded.
func (a *analysis) look(command string) {
	if n := names(command); n != "" {
		a.around("it hides what it runs, and names " + n)
	}
	if !slices.ContainsFunc(a.out.Hidden, func(s string) bool { return s == hiddenDeep || s == hiddenLong || s == hiddenBash }) {
		return // it was read
	}
	plain := strings.NewReplacer(`"`, "", `'`, "", `\`, "").Replace(command)
	a.spoken([]value{literal(plain)})
	separators := func(r rune) bool { return strings.ContainsRune(";&|(){}`\n", r) }
	for i, part := range strings.FieldsFunc(plain, separators) {
		words := strings.Fields(part)
		if len(words) == 0 || i >= maxItems {
			continue
		}
		if _, name, reaches := callerOf(base(words[0])); reaches {
			a.unnamed(name)
		}
		if !strings.Contains(part, "git") {
			continue
		}
		values := make([]value, 0, min(len(words), maxItems))
		for _, w := range words[:min(len(words), maxItems)] {
			values = append(values, literal(w))
		}
		a.gitWithin(values, true)
	}
}
