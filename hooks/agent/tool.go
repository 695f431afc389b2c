package agent

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
)

// What tools of all agents do, by their names in small letters; what is none of these is [Other]. A name means the same for every agent; who is given another meaning by
// one agent is not here.
var kinds = map[Kind][]string{
	Edit: {
		"apply_patch", "applypatch", "create", "create_file", "delete", "delete_file", "deletesymbol", "edit", "edit_file", "edit_notebook_file", "editor", "insert_edit_into_file", "multi_edit", "multi_replace_string_in_file", "multiedit",
		"notebook_edit", "notebookedit", "patch", "rename", "renamesymbol", "replace", "replace_in_file", "replace_string_in_file", "search_replace", "str_replace", "str_replace_based_edit_tool",
		"str_replace_editor", "strreplace", "undo_edit", "write", "write_file", "write_to_file", "writefile",
	},
	Shell: {
		"bash", "exec_command", "execute", "execute_bash", "execute_command", "local_shell", "local_shell_call", "monitor", "powershell", "run_command", "run_commands",
		"run_in_terminal", "run_shell_command", "run_terminal_cmd", "run_terminal_command", "shell", "shell_command", "terminal", "unified_exec", "write_bash", "write_powershell", "write_stdin",
	},
	Read: {
		"cat", "codebase_search", "file_search", "glob", "grep", "grep_search", "list", "list_dir", "list_directory", "ls", "lsp", "notebookread", "read", "read_file", "read_many_files",
		"rg", "search_file_content", "semantic_search", "semsearch", "view", "view_image",
	},
}

// kindOf returns what a tool of this name does.
func kindOf(tool string) Kind {
	name := strings.ToLower(tool)
	name = strings.TrimPrefix(name, "functions.")
	for kind, names := range kinds {
		if slices.Contains(names, name) {
			return kind
		}
	}
	if strings.HasPrefix(name, "mcp__") || strings.HasPrefix(name, "mcp:") || strings.HasPrefix(name, "mcp_") {
		return MCP
	}
	return Other
}

// Lists reports whether a tool only tells which files there are.
func Lists(tool string) bool {
	return slices.Contains([]string{"file_search", "glob", "list", "list_dir", "list_directory", "ls"}, strings.TrimPrefix(strings.ToLower(tool), "functions."))
}

// Names of arguments.
var (
	pathNames    = []string{"file_path", "path", "filePath", "notebook_path", "target_file", "targetFile", "absolute_path", "filename", "file", "target_notebook", "filepath", "file_name", "fileName", "relative_path", "relativePath"}
	globNames    = []string{"glob", "include", "includes", "file_pattern"}
	moreNames    = []string{"old_path", "new_path", "oldPath", "newPath", "source", "destination", "move_path"}
	commandNames = []string{"command", "cmd", "script", "chars", "input", "commands"}
	patchNames   = []string{"command", "input", "patch", "patchText", "patch_text", "diff", "changes"}
	oldNames     = []string{"old_string", "oldString", "old_str"}
	textNames    = []string{"content", "contents", "new_string", "newString", "new_str", "new_source", "file_text", "text", "insert_text"}
)

// call fills in what a tool is called with.
func (e *Event) call(tool string, args payload) error {
	e.Tool = tool
	e.Kind = kindOf(tool)
	if args == nil {
		args = payload{}
	}
	if uses, ok := args["tool_uses"]; ok && strings.EqualFold(strings.TrimPrefix(strings.ToLower(tool), "functions."), "multi_tool_use.parallel") {
		return e.parallel(uses)
	}
	switch e.Kind {
	case Shell:
		return e.shell(args)
	case Edit:
		return e.edit(args)
	case MCP, Other:
		e.runs(args)
	}
	for _, names := range [][]string{pathNames, moreNames, {"paths", "files", "directory", "dir_path", "dir", "uri"}} {
		for _, name := range names {
			e.Paths = append(e.Paths, args.places(name)...)
		}
	}
	if e.Kind == Read {
		below := ""
		if len(e.Paths) == 1 {
			below = e.Paths[0]
		}
		for _, name := range globNames {
			for _, pattern := range args.places(name) {
				e.Paths = append(e.Paths, under(below, pattern))
			}
		}
	}
	for i, p := range e.Paths {
		e.Paths[i] = filePath(p)
	}
	return nil
}

// places are the paths in an argument: a text, or a list of texts and of objects that have one.
func (p payload) places(name string) []string {
	raw, ok := p[name]
	if !ok {
		return nil
	}
	if s, err := p.text(name); err == nil {
		return slices.DeleteFunc([]string{s}, func(s string) bool { return s == "" })
	}
	if list, err := p.list(name); err == nil {
		return list
	}
	var items []payload
	if json.Unmarshal(raw, &items) != nil {
		return nil
	}
	var out []string
	for _, item := range items {
		for _, n := range pathNames {
			out = append(out, item.places(n)...)
		}
	}
	return out
}

// filePath is the path in a file: URL; any other text is one itself.
func filePath(text string) string {
	if len(text) < len("file://") || !strings.EqualFold(text[:len("file://")], "file://") {
		return text
	}
	rest := text[len("file://"):]
	plain, err := url.PathUnescape(rest[max(0, strings.IndexByte(rest, '/')):])
	if err != nil || !strings.HasPrefix(plain, "/") {
		return text
	}
	return plain
}

// runs reads the command that a tool of somebody's is given, where it is given one.
func (e *Event) runs(args payload) {
	given := payload{}
	for _, name := range []string{"command", "cmd", "commands", "workdir", "working_directory", "cwd"} {
		if raw, ok := args[name]; ok {
			given[name] = raw
		}
	}
	one := Event{Cwd: e.Cwd}
	if one.shell(given) == nil && one.Command != "" {
		e.Command, e.Cwd = one.Command, one.Cwd
	}
}

// parallel reads several calls that are one; it does what any of them does, and the most of it decides.
func (e *Event) parallel(raw json.RawMessage) error {
	var uses []payload
	if err := json.Unmarshal(raw, &uses); err != nil || len(uses) == 0 || len(uses) > 64 {
		return bad("tool_uses is no list of calls")
	}
	e.Kind = Read
	for _, u := range uses {
		name, err := u.text("recipient_name", "tool_name", "name")
		if err != nil || name == "" {
			return bad("a call in tool_uses names no tool")
		}
		args, err := u.object("parameters", "tool_input", "arguments")
		if err != nil {
			return err
		}
		var one Event
		if err := one.call(name, args); err != nil {
			return err
		}
		if one.Tool == e.Tool {
			return bad("calls of calls")
		}
		if one.Kind == Edit && len(one.Paths) == 0 {
			return bad("%s names no file", name)
		}
		order := []Kind{Read, Other, MCP, Shell, Edit}
		if slices.Index(order, one.Kind) > slices.Index(order, e.Kind) {
			e.Kind = one.Kind
		}
		e.Paths, e.Edits = append(e.Paths, one.Paths...), append(e.Edits, one.Edits...)
		if one.Cwd != "" && one.Command != "" { // there, and not where the others are
			one.Command = "(cd " + quoted(one.Cwd) + " && eval " + quoted(one.Command) + ")"
		}
		if one.Command != "" {
			e.Command = strings.TrimPrefix(e.Command+"\n"+one.Command, "\n")
		}
	}
	return nil
}

// shell reads a command: a text, or the words of one. Where several names have one it is not known which is run, and any may be.
func (e *Event) shell(args payload) error {
	var all []string
	for _, name := range commandNames {
		raw, ok := args[name]
		if !ok || string(raw) == "null" {
			continue
		}
		var s string
		if json.Unmarshal(raw, &s) != nil {
			var words []string
			if err := json.Unmarshal(raw, &words); err != nil {
				return bad("%s is neither a text nor a list of texts", name)
			}
			s = joined(words, name == "commands")
		}
		if s != "" {
			all = append(all, s)
		}
	}
	e.Command = strings.Join(all, "\n")
	dir, err := args.text("workdir", "working_directory", "cwd", "dir_path", "directory")
	if err != nil {
		return err
	}
	if dir != "" {
		e.Cwd = under(e.Cwd, dir)
	}
	return nil
}

// under is a directory as seen from another.
func under(base, dir string) string {
	if base == "" || strings.HasPrefix(dir, "/") || strings.HasPrefix(dir, `\`) || len(dir) > 1 && dir[1] == ':' {
		return dir
	}
	return strings.TrimSuffix(base, "/") + "/" + dir
}

// joined makes a command of words, or of several commands: a shell that is given a script is that script.
func joined(words []string, commands bool) string {
	if commands {
		return strings.Join(words, "\n")
	}
	if len(words) == 3 && words[1] == "-c" || len(words) == 3 && words[1] == "-lc" {
		switch words[0][strings.LastIndexByte(words[0], '/')+1:] {
		case "sh", "bash", "zsh", "dash", "ksh":
			return words[2]
		}
	}
	all := make([]string, len(words))
	for i, w := range words {
		all[i] = quoted(w)
	}
	return strings.Join(all, " ")
}

// quoted is a word as a shell reads it.
func quoted(w string) string { return "'" + strings.ReplaceAll(w, "'", `'\''`) + "'" }

// edit reads which files are written, and what comes into them.
func (e *Event) edit(args payload) error {
	if verb, err := args.text("command"); err == nil && verb == "view" && strings.HasPrefix(strings.ToLower(e.Tool), "str_replace") {
		e.Kind = Read
	}
	add := func(p payload) (string, error) {
		first := ""
		for _, name := range slices.Concat(pathNames, moreNames) {
			s, err := p.text(name)
			if err != nil {
				return "", err
			}
			if s = filePath(s); s != "" && !slices.Contains(e.Paths, s) {
				e.Paths = append(e.Paths, s)
			}
			if first == "" {
				first = s
			}
		}
		return first, nil
	}
	at, err := add(args)
	if err != nil {
		return err
	}
	if e.Kind == Read {
		return nil
	}
	e.change(at, args)
	for _, name := range []string{"edits", "files", "file_edits", "changes", "operations", "replacements"} {
		raw, ok := args[name]
		if !ok {
			continue
		}
		var items []payload
		if json.Unmarshal(raw, &items) != nil {
			continue // a patch, or words
		}
		for _, item := range items {
			to, err := add(item)
			if err != nil {
				return err
			}
			if to == "" {
				to = at
			}
			e.change(to, item)
		}
	}
	for _, name := range patchNames {
		s, err := args.text(name)
		if err != nil || s == "" {
			continue
		}
		paths, edits := patched(s)
		e.Edits = append(e.Edits, edits...)
		for _, p := range paths {
			if !slices.Contains(e.Paths, p) {
				e.Paths = append(e.Paths, p)
			}
		}
	}
	return nil
}

// change notes a text that comes into a file.
func (e *Event) change(path string, args payload) {
	if path == "" {
		return
	}
	for _, name := range textNames {
		raw, ok := args[name]
		if !ok {
			continue
		}
		var s string
		if json.Unmarshal(raw, &s) != nil || s == "" {
			continue
		}
		c := Change{Path: path, Text: s, Whole: name == "content" || name == "contents" || name == "file_text"}
		if old, err := args.text(oldNames...); err == nil && old != "" && !c.Whole {
			c.Head, c.Tail = kept(old, s)
		}
		for _, all := range []string{"replace_all", "replaceAll"} {
			if v, err := args.flag(all); err == nil && v {
				c.All = true
			}
		}
		e.Edits = append(e.Edits, c)
	}
}

// kept is how many lines at the beginning and at the end of a text stand there in another, too.
func kept(before, after string) (head, tail int) {
	a, b := strings.Split(strings.TrimSuffix(before, "\n"), "\n"), strings.Split(strings.TrimSuffix(after, "\n"), "\n")
	for head < min(len(a), len(b)) && a[head] == b[head] {
		head++
	}
	for tail < min(len(a), len(b))-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	return head, tail
}

// Patched returns the files that a patch changes, in the form of apply_patch or of diff(1).
func Patched(text string) []string {
	paths, _ := patched(text)
	return paths
}

// patched returns the files that a patch changes, in the form of apply_patch or of diff(1), and the texts it puts in.
func patched(s string) (paths []string, edits []Change) {
	var at string
	var text strings.Builder
	flush := func() {
		if text.Len() > 0 && at != "" {
			edits = append(edits, Change{Path: at, Text: text.String()})
		}
		text.Reset()
	}
	for l := range strings.Lines(s) {
		l = strings.TrimRight(l, "\r\n")
		trimmed := strings.TrimSpace(l)
		named := ""
		for _, head := range []string{"*** Update File: ", "*** Add File: ", "*** Delete File: ", "*** Move to: ", "*** Move File: "} {
			if rest, ok := strings.CutPrefix(trimmed, head); ok {
				named = strings.TrimSpace(rest)
			}
		}
		if named == "" {
			for _, head := range []string{"+++ ", "--- "} {
				if rest, ok := strings.CutPrefix(l, head); ok {
					named = diffName(rest)
				}
			}
			for _, head := range []string{"rename to ", "rename from ", "copy to "} {
				if rest, ok := strings.CutPrefix(l, head); ok {
					named = rest
				}
			}
		}
		switch {
		case named != "":
			flush()
			at = named
			paths = append(paths, named)
		case strings.HasPrefix(l, "+"):
			text.WriteString(l[1:])
			text.WriteByte('\n')
		case strings.HasPrefix(l, "@@"), strings.HasPrefix(l, " "), strings.HasPrefix(l, "-"):
			flush()
		}
	}
	flush()
	slices.Sort(paths)
	return slices.Compact(paths), edits
}

// diffName is the name in a header of a diff; "" for none.
func diffName(s string) string {
	s, _, _ = strings.Cut(s, "\t")
	s = strings.TrimSpace(s)
	if s == "/dev/null" || s == "" {
		return ""
	}
	for _, side := range []string{"a/", "b/"} {
		if rest, ok := strings.CutPrefix(s, side); ok {
			return rest
		}
	}
	return s
}
