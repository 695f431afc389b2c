package hooks

import (
	"path/filepath"
	"strings"

	"github.com/open-covenant/covenant-git/hooks/agent"
)

// guardedAtHome says which of the places that a tool would write, or look at, is none of its business wherever it works: they are the user's, and decide about every
// repository that is governed.
func (b *bench) guardedAtHome(written []site, reads []agent.Named) string {
	dirs := []guard{{b.in.ConfigDir, "the keys and settings of covenant"}}
	for _, f := range agent.Settings(b.t.Home, "") {
		dirs = append(dirs, guard{f, "settings by which agents are watched"})
	}
	if b.t.Home != "" {
		for _, f := range []string{".gitconfig", ".config/git", ".ssh"} {
			dirs = append(dirs, guard{filepath.Join(b.t.Home, f), "settings of Git and keys"})
		}
	}
	if why := among(dirs, written); why != "" {
		return why
	}
	for _, s := range written {
		for _, p := range []string{s.path, s.final} {
			if b.t.Bin != "" && filepath.Dir(p) == b.t.Bin && strings.HasPrefix(filepath.Base(p), "covenant") {
				return quoted(p) + " is a program of covenant"
			}
		}
	}
	return b.keysAmong(reads)
}

// keysAmong says which of the places that a tool names, or reads as a whole, has private keys.
func (b *bench) keysAmong(reads []agent.Named) string {
	keys := filepath.Join(b.in.ConfigDir, "keys")
	places := []string{keys}
	if real, err := follow(keys, true); err == nil && real != keys {
		places = append(places, real)
	}
	for _, r := range reads {
		at, err := follow(r.Path, true)
		if err != nil {
			continue
		}
		for _, k := range places {
			if within(k, at) {
				return quoted(at) + " is among private keys"
			}
			if r.Whole && within(at, k) {
				return quoted(at) + " holds private keys, and may be read as a whole"
			}
		}
	}
	return ""
}

// within reports whether a path is a folder or in it, in any case of letters: some systems take them for one.
func within(dir, p string) bool {
	_, ok := below(strings.ToLower(dir), strings.ToLower(p))
	return ok
}

// A guard is a file or folder that tools leave alone, and what it is, for people.
type guard struct{ at, what string }

// among says which guarded place is written, or holds what is; by what it is called, and by where links lead from there.
func among(dirs []guard, written []site) string {
	for i := range dirs {
		if real, err := follow(dirs[i].at, true); err == nil && real != dirs[i].at {
			dirs = append(dirs, guard{real, dirs[i].what})
		}
	}
	for _, s := range written {
		for _, p := range []string{s.path, s.final} {
			for _, g := range dirs {
				if within(g.at, p) {
					return quoted(p) + " is among " + g.what
				}
				if !s.bare && within(p, g.at) {
					return quoted(p) + " holds " + g.what
				}
			}
		}
	}
	return ""
}
