package hooks

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/git/treepath"
	"github.com/open-covenant/covenant-git/hooks/agent"
)

// Limits of what is looked at to find out what a tool would write.
const (
	maxSites = 4096
	maxLinks = 40
)

// site is a place that a tool would write.
type site struct {
	path  string // absolute, its folder as the system finds it
	final string // where a link there leads; path where there is none
	// bare: only what is guarded counts; it is a folder, or it is not known whether it is written.
	bare bool
	gone bool // it is removed
}

var (
	errLinks = errors.New("too many links")
	errSites = errors.New("it would write more files than are looked at")
	errShift = errors.New("it would write where only its own process finds it, below /proc or /dev/fd")
)

// follow returns where the system finds a path: links of its folders are followed, and of itself where last says so. What is
// not there is taken as it stands.
func follow(p string, last bool) (string, error) {
	at, _, err := trace(p, last)
	return at, err
}

// trace is follow; it also reports whether another process may find another file there.
func trace(p string, last bool) (found string, shifted bool, err error) {
	done := string(filepath.Separator)
	if v := filepath.VolumeName(p); v != "" {
		done, p = v+done, p[len(v):]
	}
	rest := strings.Split(filepath.ToSlash(p), "/")
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			done = filepath.Dir(done)
			continue
		}
		at := filepath.Join(done, name)
		shifted = shifted || agent.Shifts(at)
		end := !slices.ContainsFunc(rest, func(s string) bool { return s != "" && s != "." })
		if end && !last {
			return at, shifted, nil
		}
		info, err := os.Lstat(at)
		if err != nil || info.Mode()&fs.ModeSymlink == 0 {
			done = at
			continue
		}
		if links++; links > maxLinks {
			return "", shifted, errLinks
		}
		to, err := os.Readlink(at)
		if err != nil {
			return "", shifted, err
		}
		if filepath.IsAbs(to) {
			done = filepath.VolumeName(to) + string(filepath.Separator)
		}
		rest = slices.Concat(strings.Split(filepath.ToSlash(to), "/"), rest)
	}
	return done, shifted, nil
}

func siteAt(p string) (site, error) {
	at, shifted, err := trace(p, false)
	if err != nil {
		return site{}, err
	}
	final, end, err := trace(at, true)
	if shifted || end {
		return site{}, errShift
	}
	return site{path: at, final: final}, err
}

// targets returns what a tool would write, and what it names and does not.
func (b *bench) targets(dir string) (written []site, reads []agent.Named, err error) {
	add := func(p string, bare, gone bool) error {
		if !filepath.IsAbs(p) {
			p = dir + string(filepath.Separator) + p
		}
		s, err := siteAt(p)
		if err != nil {
			return err
		}
		if s.bare, s.gone = bare, gone; len(written) >= maxSites {
			return errSites
		}
		written = append(written, s)
		return nil
	}
	for _, p := range b.e.Paths {
		if rest, ok := strings.CutPrefix(p, "~"); ok && b.t.Home != "" && (rest == "" || rest[0] == '/') {
			p = filepath.Join(b.t.Home, rest)
		}
		switch b.e.Kind {
		case agent.Edit:
			err = add(p, false, false)
		case agent.MCP, agent.Other:
			err = add(p, true, false)
		}
		if b.e.Kind != agent.Edit {
			if !filepath.IsAbs(p) {
				p = filepath.Join(dir, p)
			}
			whole := !agent.Lists(b.e.Tool)
			if i := strings.IndexAny(p, "*?[{"); i >= 0 && whole { // some tools take patterns
				reads = append(reads, agent.Named{Path: filepath.Dir(p[:i] + "x"), Whole: true})
			}
			reads = append(reads, agent.Named{Path: p, Whole: whole})
		}
		if err != nil {
			return nil, nil, err
		}
	}
	if b.e.Kind == agent.Read && len(b.e.Paths) == 0 && !agent.Lists(b.e.Tool) { // a search of where it works
		reads = append(reads, agent.Named{Path: dir, Whole: true})
	}
	for _, w := range b.out.Writes {
		places, err := spread(w)
		if errors.Is(err, errSites) && w.Found && (w.Spared || len(w.Names) > 0) {
			b.out.Hidden = append(b.out.Hidden, "which files find comes upon") // none of them is Git's own
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		for _, p := range places {
			if err := add(p, w.Folder, w.Gone); err != nil {
				return nil, nil, err
			}
		}
	}
	for _, r := range b.out.Reads {
		reads = append(reads, expanded(r)...)
	}
	return written, reads, nil
}

// expanded returns what a pattern stands for; where that is too much, the folder that all of it is in.
func expanded(r agent.Named) []agent.Named {
	if !r.Glob {
		return []agent.Named{r}
	}
	found, err := spread(agent.Write{Path: r.Path, Glob: true})
	if err != nil {
		r.Path, r.Glob, r.Whole = filepath.Dir(r.Path[:strings.IndexAny(r.Path, "*?[")+1]), false, true
		return []agent.Named{r}
	}
	out := make([]agent.Named, 0, len(found))
	for _, p := range found {
		out = append(out, agent.Named{Path: p, Whole: r.Whole})
	}
	return out
}

// spread returns the paths that a write is of: what a pattern stands for, what comes into a folder, and what is below one.
func spread(w agent.Write) ([]string, error) {
	roots := []string{w.Path}
	if w.Glob {
		found, err := filepath.Glob(strings.ReplaceAll(w.Path, "[!", "[^"))
		if err == nil && len(found) > 0 {
			roots = found
		}
	}
	if len(roots) > maxSites {
		return nil, errSites
	}
	if len(w.Into) > 0 {
		var names []string
		for _, r := range roots {
			if info, err := os.Stat(r); (err != nil || !info.IsDir()) && !strings.HasSuffix(r, "/") {
				names = append(names, r)
				continue
			}
			for _, name := range w.Into {
				names = append(names, r+string(filepath.Separator)+name)
			}
		}
		if roots = names; len(roots) > maxSites {
			return nil, errSites
		}
	}
	if w.Found {
		return searched(roots, w)
	}
	var out []string
	for _, r := range roots {
		info, err := os.Stat(r)
		if err != nil || !info.IsDir() {
			out = append(out, r)
			continue
		}
		if link, err := os.Lstat(r); err == nil && link.Mode()&fs.ModeSymlink != 0 {
			out = append(out, r)
		}
		if !w.Tree {
			out = append(out, r)
			continue
		}
		n := len(out)
		err = filepath.WalkDir(r, func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				return nil //nolint:nilerr // what can't be read can't be removed either
			}
			if d.IsDir() && d.Name() == ".git" {
				out = append(out, p)
				return fs.SkipDir
			}
			if !d.IsDir() {
				out = append(out, p)
			}
			if len(out) > maxSites {
				return errSites
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if len(out) == n {
			out = append(out, r)
		}
	}
	return out, nil
}

// searched returns what find comes upon. Git's own objects are not looked at one by one: their folder stands for them, where one may have such a name.
func searched(roots []string, w agent.Write) ([]string, error) {
	var out []string
	matches := func(name string) bool {
		return len(w.Names) == 0 || slices.ContainsFunc(w.Names, func(pattern string) bool {
			ok, err := filepath.Match(strings.ToLower(strings.ReplaceAll(pattern, "[!", "[^")), strings.ToLower(name))
			return ok || err != nil
		})
	}
	for _, r := range roots {
		before := len(out)
		within, n := "", 0 // a folder that was found
		err := filepath.WalkDir(r, func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				return nil //nolint:nilerr // what can't be read can't be found either
			}
			if n++; n > maxWalked {
				return errSites
			}
			if _, below := below(within, p); within == "" || !below {
				within = ""
			}
			found := within != "" || matches(d.Name())
			switch {
			case d.IsDir() && w.Spared && d.Name() == ".git" && filepath.Dir(p) == filepath.Clean(r):
				return fs.SkipDir
			case d.IsDir() && d.Name() == ".git" && len(w.Names) == 0:
				out = append(out, p)
				return fs.SkipDir
			case d.IsDir() && d.Name() == "objects" && filepath.Base(filepath.Dir(p)) == ".git":
				if found || matches("0a") || matches(strings.Repeat("0a", 19)) || matches("pack") || matches("pack-"+strings.Repeat("0a", 20)+".pack") || matches("pack-"+strings.Repeat("0a", 20)+".idx") {
					out = append(out, p)
				}
				return fs.SkipDir
			case found && d.IsDir() && within == "" && p != r:
				within = p
			}
			if found && !d.IsDir() {
				out = append(out, p)
			}
			if len(out) > maxSites {
				return errSites
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if len(out) == before && len(w.Names) == 0 && !w.Spared {
			out = append(out, r)
		}
	}
	return out, nil
}

// apart puts what is in other work trees apart, by the folder that they begin at.
func (b *bench) apart(written []site) (mine []site, others map[string][]site) {
	others = map[string][]site{}
	tops := map[string]string{}
	top := func(p string) string {
		dir := filepath.Dir(p)
		if t, ok := tops[dir]; ok {
			return t
		}
		t := treeOf(dir)
		tops[dir] = t
		return t
	}
	work := ""
	if b.s != nil {
		work = b.workTree()
	}
	for _, s := range written {
		mine = append(mine, s) // what is guarded is guarded from here, too
		for _, p := range []string{s.path, s.final} {
			if t := top(p); t != "" && t != work && !slices.Contains(others[t], s) {
				others[t] = append(others[t], s)
			}
		}
	}
	return mine, others
}

// treeOf returns the folder of the work tree that a folder is in, "" for none.
func treeOf(dir string) string {
	for {
		at := filepath.Join(dir, ".git")
		if info, err := os.Lstat(at); err == nil {
			if info.Mode().IsRegular() {
				return dir
			}
			if _, err := os.Stat(filepath.Join(at, "HEAD")); err == nil {
				return dir
			}
		}
		up := filepath.Dir(dir)
		if up == dir {
			return ""
		}
		dir = up
	}
}

// workTree is the repository's work tree, as the system finds it; "" for none.
func (b *bench) workTree() string {
	w := b.s.Repo().WorkTree()
	if w == "" {
		return ""
	}
	if real, err := follow(w, true); err == nil {
		return real
	}
	return w
}

// inTree returns the paths of the repository's tree that are written, sorted.
func (b *bench) inTree(written []site) []string {
	work := b.workTree()
	if work == "" {
		return nil
	}
	var out []string
	b.removed = map[string]bool{}
	gits := b.gitDirs()
	for _, s := range written {
		if s.bare {
			continue
		}
		for _, p := range []string{s.path, s.final} {
			if slices.ContainsFunc(gits, func(g string) bool { _, in := below(g, p); return in }) {
				continue // in no commit
			}
			if rel, ok := below(work, p); ok && rel != "." && treeOf(filepath.Dir(p)) == work {
				rel = filepath.ToSlash(rel)
				if gone, again := b.removed[rel]; !again || gone {
					b.removed[rel] = s.gone
				}
				out = append(out, rel)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// below returns the path within a folder.
func below(dir, p string) (string, bool) {
	if p == dir {
		return ".", true
	}
	rest, ok := strings.CutPrefix(p, strings.TrimSuffix(dir, string(filepath.Separator))+string(filepath.Separator))
	return rest, ok
}

// free are the files of a git directory that everybody may write: none says what is called, or holds what was recorded.
var free = []string{"COMMIT_EDITMSG", "MERGE_MSG", "SQUASH_MSG", "index.lock", "info/exclude", "HEAD.lock"}

// guarded says which of the places that a tool would write, or look at, is none of its business.
func (b *bench) guarded(written []site, reads []agent.Named) string {
	repo := b.s.Repo()
	work := b.workTree()
	var dirs []guard
	for _, f := range agent.Settings("", work) {
		dirs = append(dirs, guard{f, "settings by which agents are watched"})
	}
	if hp, ok := repo.Config().Get("core.hookspath"); ok && filepath.IsAbs(hp) {
		if _, in := below(work, filepath.Clean(hp)); work == "" || !in {
			dirs = append(dirs, guard{filepath.Clean(hp), "hooks"})
		}
	}
	gits := b.gitDirs()
	for _, s := range written {
		for _, p := range []string{s.path, s.final} {
			for _, g := range gits {
				if rel, ok := below(g, p); ok && !slices.Contains(free, filepath.ToSlash(rel)) {
					return quoted(p) + " is Git's own"
				}
			}
			if rel, ok := below(work, p); ok && work != "" && rel != "." {
				inGit := slices.ContainsFunc(gits, func(g string) bool { _, in := below(g, p); return in })
				if why := treepath.Unsafe(filepath.ToSlash(rel)); why != "" && !inGit {
					return quoted(p) + ": " + why
				}
			}
		}
	}
	if why := among(dirs, written); why != "" {
		return why
	}
	if b.second {
		return ""
	}
	return b.guardedAtHome(written, reads)
}

// gitDirs are the repository's own folders, by every name.
func (b *bench) gitDirs() []string {
	gits := []string{b.s.Repo().GitDir(), b.s.Repo().CommonDir()}
	if work := b.workTree(); work != "" { // of a linked work tree, a file
		if at := filepath.Join(work, ".git"); !slices.Contains(gits, at) {
			gits = append(gits, at)
		}
	}
	for _, g := range gits {
		if real, err := follow(g, true); err == nil && !slices.Contains(gits, real) {
			gits = append(gits, real)
		}
	}
	return gits
}

func quoted(p string) string { return "\"" + oneLine(strings.ToValidUTF8(p, "\uFFFD")) + "\"" }

func sortedKeys(m map[string][]site) []string { return slices.Sorted(maps.Keys(m)) }
