package git

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A Memory keeps what [Open] found out of configuration files, so that a hook need not start Git to read
// them. It must give back only what it was given itself: whoever may write into the repository must not be able to put
// something there. What can't be kept is found out again.
type Memory interface {
	// Recall returns what was remembered under a name for the repository with that common directory, nil where nothing was.
	Recall(commonDir, name string) []byte
	// Remember keeps b under a name, a file's.
	Remember(r *Repo, name string, b []byte)
}

// Limits on what is remembered of a configuration.
const (
	// memoryAge is how long it is believed. Only a system-wide file in a place that is not known here can be overlooked, and no longer.
	memoryAge    = time.Hour
	memoryFile   = 1 << 20 // bytes of a configuration file
	memoryAnswer = 1 << 20 // bytes of what Git says of all of them
)

// remembered is what Git answered, and the bytes of the files it had read for it.
type remembered struct {
	World  string      `json:"world"` // what else the answer depends on
	At     int64       `json:"at"`    // seconds since 1970
	Files  [][2]string `json:"files"` // path, and digest of the content or "" where there is none
	Answer []byte      `json:"answer"`
}

// world writes down what Git's answer depends on besides the files: who asks, where, with which Git, and whose the
// repository is, since Git reads nothing of somebody else's. "" says that nothing is remembered: settings come from the
// command line or the environment, or the system has other rules.
func (r *Repo) world(g layout) string {
	if runtime.GOOS == "windows" {
		return ""
	}
	var b strings.Builder
	for _, kv := range r.env {
		name, _, _ := strings.Cut(kv, "=")
		if name == "GIT_CONFIG_PARAMETERS" || name == "GIT_CONFIG_COUNT" {
			return ""
		}
		if name == "HOME" || name == "XDG_CONFIG_HOME" || name == "SUDO_UID" || strings.HasPrefix(name, "GIT_CONFIG") || name == "GIT_DIR" || name == "GIT_DISCOVERY_ACROSS_FILESYSTEM" {
			fmt.Fprintf(&b, "%q\n", kv)
		}
	}
	at := g.top
	if at == "" {
		at = r.dir
	}
	fmt.Fprintf(&b, "%q %q %q %v %v %d\n", at, g.gitDir, g.commonDir, g.top == "", g.fromEnv, os.Geteuid())
	for _, path := range []string{r.bin, g.top, g.gitDir, g.commonDir, filepath.Join(g.top, ".git")} {
		if path == ".git" || path == "" {
			continue
		}
		st, err := os.Stat(path)
		if err != nil {
			return ""
		}
		who := owner(st)
		if path == r.bin {
			fmt.Fprintln(&b, st.Size(), st.ModTime().UnixNano(), who)
		} else {
			fmt.Fprintln(&b, st.Mode(), who)
		}
	}
	return b.String()
}

// configFiles are the files that Git reads where they are, by git-config(1), "FILES". The system's may stand elsewhere
// too; where it is there, Git names it.
func (r *Repo) configFiles(g layout) []string {
	files := []string{filepath.Join(g.commonDir, "config"), filepath.Join(g.gitDir, "config.worktree"), "/etc/gitconfig"}
	if bin, err := filepath.EvalSymlinks(r.bin); err == nil {
		files = append(files, filepath.Join(filepath.Dir(filepath.Dir(bin)), "etc", "gitconfig"))
	}
	home, _ := lookupEnv(r.env, "HOME")
	xdg, _ := lookupEnv(r.env, "XDG_CONFIG_HOME")
	if xdg == "" && home != "" {
		xdg = filepath.Join(home, ".config")
	}
	if xdg != "" {
		files = append(files, filepath.Join(xdg, "git", "config"))
	}
	if home != "" {
		files = append(files, filepath.Join(home, ".gitconfig"))
	}
	for _, name := range []string{"GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"} {
		if file, ok := lookupEnv(r.env, name); ok && file != "" {
			files = append(files, r.abs(file))
		}
	}
	slices.Sort(files)
	return slices.Compact(files)
}

// digests returns each file with the digest of its content. ok is false where one can't be read.
func digests(files []string) (out [][2]string, ok bool) {
	for _, file := range files {
		b, err := readFile(file, memoryFile)
		switch {
		case err == nil:
			sum := sha256.Sum256(b)
			out = append(out, [2]string{file, hex.EncodeToString(sum[:])})
		case errors.Is(err, fs.ErrNotExist):
			out = append(out, [2]string{file, ""})
		default:
			return nil, false
		}
	}
	return out, true
}

// memory is one question about the configuration of a repository that was guessed.
type memory struct {
	keep   Memory
	name   string
	common string
	world  string
	before [][2]string // the files, before Git was asked
}

// recollect returns what was remembered of the configuration, nil where nothing was or anything it came from is different
// now; and what [memory.keepAnswer] needs, nil where nothing can be remembered.
func (r *Repo) recollect(keep Memory, g layout, now time.Time) ([]byte, *memory) {
	if keep == nil {
		return nil, nil
	}
	m := &memory{keep: keep, common: g.commonDir, world: r.world(g)}
	if m.world == "" {
		return nil, nil
	}
	sum := sha256.Sum256([]byte(m.world))
	m.name = "config-" + hex.EncodeToString(sum[:8])
	var was remembered
	if b := keep.Recall(m.common, m.name); b != nil && json.Unmarshal(b, &was) == nil && was.World == m.world {
		if age := now.Sub(time.Unix(was.At, 0)); age >= 0 && age < memoryAge && was.holds(r.configFiles(g)) {
			return was.Answer, nil
		}
	}
	var ok bool
	if m.before, ok = digests(r.configFiles(g)); !ok {
		return nil, nil
	}
	return nil, m
}

// holds reports whether all files are as they were; files are those there must be an entry of.
func (m *remembered) holds(files []string) bool {
	paths := make([]string, 0, len(m.Files))
	for _, f := range m.Files {
		paths = append(paths, f[0])
	}
	if slices.ContainsFunc(files, func(f string) bool { return !slices.Contains(paths, f) }) {
		return false
	}
	now, ok := digests(paths)
	return ok && slices.Equal(now, m.Files)
}

// keepAnswer remembers what Git answered, if no file changed while it did. What includes other files is not remembered: which
// those are may depend on the branch, and one that is not there is not named.
func (r *Repo) keepAnswer(m *memory, g layout, answer []byte, now time.Time) {
	if m == nil || len(answer) > memoryAnswer {
		return
	}
	base := g.top
	if base == "" {
		base = r.dir
	}
	var more []string
	for _, s := range r.config.entries {
		file, isFile := strings.CutPrefix(s.origin, "file:")
		if !isFile || strings.HasPrefix(s.key, "include.") || strings.HasPrefix(s.key, "includeif.") {
			return
		}
		if !filepath.IsAbs(file) {
			file = filepath.Join(base, file)
		}
		if known := slices.ContainsFunc(m.before, func(f [2]string) bool { return f[0] == file }); !known && !slices.Contains(more, file) {
			st, err := os.Stat(file)
			if err != nil || now.Sub(st.ModTime()) < 2*time.Second {
				return // what it was when Git read it is not known
			}
			more = append(more, file)
		}
	}
	paths := make([]string, 0, len(m.before))
	for _, f := range m.before {
		paths = append(paths, f[0])
	}
	after, ok := digests(paths)
	if !ok || !slices.Equal(after, m.before) {
		return
	}
	others, ok := digests(more)
	if !ok {
		return
	}
	b, err := json.Marshal(remembered{World: m.world, At: now.Unix(), Files: append(after, others...), Answer: answer})
	if err == nil {
		m.keep.Remember(r, m.name, b)
	}
}
