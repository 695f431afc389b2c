package shell

import (
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/open-covenant/covenant-git/hooks/agent"
)

func (a *analysis) redirects(list []*syntax.Redirect) {
	a.sockets(list)
	for _, r := range list {
		if r.Word != nil {
			a.inside(r.Word)
		}
		if r.Hdoc != nil {
			a.inside(r.Hdoc)
		}
		if r.N != nil && strings.HasPrefix(r.N.Value, "{") {
			a.binds(strings.Trim(r.N.Value, "{}"), binding{lasting: true})
		}
		switch r.Op {
		case syntax.RdrOut, syntax.AppOut, syntax.RdrInOut, syntax.RdrClob, syntax.RdrAll, syntax.AppAll, syntax.DplOut, syntax.AppClob, syntax.RdrAllClob, syntax.AppAllClob:
			for _, v := range a.values(r.Word) {
				if r.Op == syntax.DplOut && (v.text == "-" || v.known && strings.Trim(v.text, "0123456789-") == "") {
					continue
				}
				a.writes(v, agent.Write{})
			}
		case syntax.RdrIn:
			for _, v := range a.values(r.Word) {
				a.reads(v)
			}
		}
	}
}

// at returns the paths that a word may be: also those at which it is through links that the command itself makes.
func (a *analysis) at(v value) ([]string, bool) {
	if !v.known {
		return nil, false
	}
	if strings.HasPrefix(v.text, "/") {
		return a.through([]string{v.text}), true
	}
	out := make([]string, 0, len(a.dirs))
	for _, d := range a.dirs {
		out = append(out, d+"/"+v.text)
	}
	return a.through(out), !a.lost
}

// A link is a name that the command gives to what has another one.
type link struct{ at, to string }

func (a *analysis) through(paths []string) []string {
	for i := 0; i < len(paths) && len(a.links) > 0; i++ {
		p := path.Clean(paths[i])
		for _, l := range a.links {
			rest, below := strings.CutPrefix(p, l.at+"/")
			if p == l.at {
				rest = ""
			} else if !below {
				continue
			}
			if to := path.Join(l.to, rest); !slices.Contains(paths, to) {
				if len(paths) >= maxSays {
					a.hidden("which file is written")
					return paths
				}
				paths = append(paths, to)
			}
		}
	}
	return paths
}

// linked reads that one name is made for another: to is as it stands in a symbolic link, or a file that gets a second name.
func (a *analysis) linked(at, to value, symbolic bool) {
	if !to.known || !at.known {
		a.hidden("where a link leads")
		return
	}
	if !symbolic { // what is done to one is done to both
		a.writes(to, agent.Write{Tree: true})
	}
	ends, _ := a.at(at)
	for _, end := range ends {
		for _, end := range []string{path.Clean(end), path.Join(end, path.Base(to.text))} { // it may be a folder, into which the link comes
			target := to.text
			if symbolic && !strings.HasPrefix(target, "/") {
				target = path.Dir(end) + "/" + target
			}
			if symbolic {
				a.writes(literal(target), agent.Write{Folder: true})
			} else if paths, _ := a.at(to); len(paths) > 0 {
				target = paths[0]
			}
			if a.links = append(a.links, link{end, path.Clean(target)}); len(a.links) > maxSays {
				a.links = a.links[:maxSays]
				a.hidden("where links lead")
			}
		}
	}
}

// shifting reports whether a path is another file for each process that opens it.
func shifting(p string) bool {
	for _, p := range []string{p, path.Clean(p)} {
		if agent.Shifts(p) {
			return !device(p)
		}
	}
	return false
}

// cd reads a change of directory.
func (a *analysis) cd(args []value) {
	_, args = grammar{}.read(args)
	if len(args) == 0 {
		args = []value{literal(a.in.Home)}
	}
	a.passes()
	defer a.passes()
	v := args[0]
	switch {
	case shifting(v.text):
		a.around("it goes where only its own process is, through " + clip(v.text))
		a.lost = true
	case v.text == "-" && v.known || v.text != "" && strings.Trim(v.text, "+-0123456789") == "":
		a.back()
	case !v.known || v.glob || v.text == "":
		a.lost, a.away = true, true
	default:
		relative := !strings.HasPrefix(v.text, "/") && !strings.HasPrefix(v.text, ".")
		a.reads(v)
		a.dirs, _ = a.at(v)
		a.away = a.away && !strings.HasPrefix(v.text, "/")
		a.lost = a.lost && !strings.HasPrefix(v.text, "/") || relative && a.cdpath
		if slices.ContainsFunc(a.dirs, func(d string) bool { return len(d) > maxPath }) {
			a.dirs, a.lost = nil, true
		}
	}
}

// passes notes where the shell is: it may come back, and a trap may run there.
func (a *analysis) passes() {
	p := place{a.seen, a.strayed, false}.or(a.place)
	a.seen, a.strayed = p.dirs, p.lost
}

// back reads a return to a directory: one that it was in, or one that it was in before the command.
func (a *analysis) back() {
	a.place = a.or(place{a.seen, true, false})
}

// devices take what is written and keep none of it. Not all below /dev is one: /dev/shm is a folder.
var devices = []string{"/dev/full", "/dev/null", "/dev/random", "/dev/stderr", "/dev/stdin", "/dev/stdout", "/dev/tty", "/dev/urandom", "/dev/zero"}

// device reports whether a path is that of a device, or of a file that is open already.
func device(p string) bool {
	for _, folder := range []string{"/dev/fd/", "/proc/self/fd/"} {
		if fd, open := strings.CutPrefix(p, folder); open && fd != "" && strings.Trim(fd, "0123456789") == "" {
			return true
		}
	}
	return slices.Contains(devices, p)
}

// writes notes that a word is a path that is written.
func (a *analysis) writes(v value, w agent.Write) {
	if v.known && (v.text == "" || device(v.text)) {
		return
	}
	if shifting(v.text) {
		a.around("it writes where only its own process finds it, " + clip(v.text))
		return
	}
	paths, certain := a.at(v)
	if !certain {
		a.hidden("which file is written")
	}
	if a.away && !strings.HasPrefix(v.text, "/") { // only what is guarded counts
		w.Folder = true
	}
	if v.found {
		w.Found, w.Names, w.Spared = true, a.search.names, a.search.spared && (!w.Tree || len(a.search.names) > 0) && (!a.search.top || v.text == "." || v.text == "./")
		w.Tree = true
	}
	for _, p := range paths {
		if len(a.out.Writes) >= maxItems {
			a.hidden("more files than are counted")
			return
		}
		w.Path, w.Glob = p, v.glob
		if v.glob {
			w.Path = strings.TrimSuffix(p, v.text) + v.pattern
		}
		a.out.Writes = append(a.out.Writes, w)
	}
}

func (a *analysis) reads(v value) { a.takes(v, false) }
