package shell

import "strings"

// recorded are where the record is: these refs, and all below them.
var recorded = []string{"refs/covenant", "refs/notes/covenant"}

// covenantRef reports whether a word names a ref of the record, or a pattern in it reaches one.
func covenantRef(s string) bool {
	s = strings.ToLower(s)
	for _, r := range recorded {
		if strings.Contains(s, r) {
			return true
		}
	}
	return false
}

// reaches reports whether a ref is one of the record, or a pattern of refs may stand for one. A name without refs/ in front of it
// is looked for below refs/, too.
func reaches(ref string) bool {
	for _, name := range []string{strings.ToLower(ref), "refs/" + strings.ToLower(ref)} {
		before, _, pattern := strings.Cut(name, "*")
		for _, r := range recorded {
			if name == r || strings.HasPrefix(name, r+"/") || pattern && (strings.HasPrefix(r+"/", before) || strings.HasPrefix(before, r)) {
				return true
			}
		}
	}
	return false
}

// writesRecord reports whether a refspec lets refs of the record be written: those that it writes are its right side, or its only one.
func writesRecord(spec string) bool {
	from, to, two := strings.Cut(strings.TrimPrefix(spec, "+"), ":")
	if !two {
		return reaches(from)
	}
	return to == "" && reaches(from) || to != "" && reaches(to)
}

// transfer reads the commands of git that move refs between repositories.
func (a *analysis) transfer(name string, args []value) {
	g := grammar{takes: "jo", longs: "all depth= deepen= dry-run exec= jobs= mirror multiple no-verify prune push-option= receive-pack= recurse-submodules refmap= repo= server-option= shallow-exclude= shallow-since= signed stdin strategy= strategy-option= tags upload-pack="}
	switch name {
	case "pull":
		g.takes = "josX"
	case "push", "send-pack":
		g.takes = "o"
	}
	options, specs := g.read(args)
	a.gitConnects(name, options, specs)
	if name != "fetch" && name != "pull" && given(options, "mirror prune") {
		a.around("git " + name + " --mirror or --prune takes the record away elsewhere")
	}
	if given(options, "stdin") {
		a.around("git " + name + " --stdin takes refs that are not written out")
	}
	if programs, _ := has(options, "exec receive-pack upload-pack"); len(programs) > 0 {
		for _, v := range programs {
			a.given(v, "what git "+name+" runs")
		}
	}
	maps, _ := has(options, "refmap")
	for i, v := range append(maps, specs...) {
		sure := i < len(maps) || strings.Contains(v.text, ":") || strings.Contains(v.text, "*") || name == "push" || name == "send-pack"
		if sure && writesRecord(v.text) {
			a.around("git " + name + " " + clip(v.text) + " writes the record")
		}
		if !v.known && strings.Contains(v.text, ":") {
			a.hidden("which refs git " + name + " writes")
		}
	}
}

// remote reads a setting of a remote repository, by its name in the configuration.
func (a *analysis) remote(key string, v value) {
	key = strings.ToLower(key)
	if !strings.HasPrefix(key, "remote.") {
		return
	}
	switch {
	case strings.HasSuffix(key, ".mirror"):
		a.around("a remote that is a mirror takes the record away")
	case strings.HasSuffix(key, ".fetch"), strings.HasSuffix(key, ".push"):
		if !v.known {
			a.hidden("which refs a remote writes")
		}
		if writesRecord(v.text) {
			a.around(clip(key) + " " + clip(v.text) + " writes the record")
		}
	}
}
