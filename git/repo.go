// Package git is the one door to Git repositories: it reads and writes objects and refs through
// the git binary (2.36 or newer), because only that binary knows every repository there is:
// linked worktrees, alternates, quarantines, partial clones, SHA-256, reftable.
//
// A [Repo] is an opened repository, immutable and safe for concurrent use. A [Session] owns the
// long-lived children (one cat-file, one diff-tree) of one piece of work, so that the number of
// processes does not grow with the number of objects and diffs.
//
// Every child runs with replace refs, grafts, the commit-graph, lazy fetching, external diff
// programs and terminal prompts off, whatever the user's configuration says: what is read is what
// the objects are. The other GIT_* variables of the caller are kept, so a hook sees its own index,
// object directory and quarantine.
//
// Nothing here checks that an object's content hashes to its name (Git does not either when it
// reads); [oid.Format.Hash] does.
package git

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/open-covenant/covenant-git/git/oid"
)

// ErrNotRepository says that Git finds no repository it is willing to use. The error that wraps it
// carries Git's own words: there may be none, or it may belong to another user (safe.directory).
var ErrNotRepository = errors.New("not a usable Git repository")

// Limits on what is read from files and children, in bytes. Each is far above what a sound
// repository holds; beyond it the input is refused, never cut short.
const (
	configLimit  = 8 << 20
	shallowLimit = 64 << 20
	captureLimit = 256 << 20
	headerLimit  = 64 << 10
	pathLimit    = 64 << 10
	fieldLimit   = 16 << 20
)

// Options say which repository to open.
type Options struct {
	// Dir is where to start looking, as "git -C" does; "" is the working directory of the process.
	Dir string
	// Env is the environment, as "NAME=value" strings: it steers discovery (GIT_DIR and the like)
	// and is what children get, with the changes the package comment names. Nil is os.Environ().
	Env []string
	// Reads says that a [Session] follows at once that reads objects: its child gets ready while the
	// configuration is read.
	Reads bool
	// Stored are the beginnings of configuration keys, in the form of [Config.Keys], of which only what files say
	// counts: neither "git -c" nor the environment.
	Stored []string
	// Memory spares the child that reads the configuration where its files are as they were; nil: nothing is remembered.
	Memory Memory
}

// Repo is an opened repository. It is immutable and safe for concurrent use.
type Repo struct {
	bin  string   // absolute path of the git binary
	dir  string   // absolute directory children run in
	base []string // the environment as given
	env  []string // the environment of children

	gitDir, commonDir, workTree string

	format oid.Format
	config Config
	view   bool // reading children need a view without promisor remotes, see view.go

	children atomic.Int64
	ready    atomic.Pointer[process] // reads objects, for the first session; see Options.Reads
}

// Open finds the repository that Git would use in o.Dir under o.Env. It normally costs one child, or none where
// o.Memory knows what that one would say.
//
// The error is [ErrNotRepository] wrapped with Git's message when Git refuses, and *[CommandError]
// when Git fails otherwise, for instance on a configuration it cannot parse.
func Open(ctx context.Context, o Options) (*Repo, error) {
	env := o.Env
	if env == nil {
		env = os.Environ()
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("open repository: %w", err)
	}
	bin, err := lookGit(env)
	if err != nil {
		return nil, fmt.Errorf("open repository %s: %w", dir, err)
	}
	r := &Repo{bin: bin, dir: dir, base: env, env: childEnv(env)}
	if err := r.discover(ctx, o.Reads, o.Memory); err != nil {
		r.unready()
		return nil, fmt.Errorf("open repository %s: %w", dir, err)
	}
	if len(o.Stored) > 0 {
		r.config = r.config.without(o.Stored)
	}
	if r.promisor() {
		r.unready() // such a child would ask the remote
		if r.view, err = r.needsView(ctx); err != nil {
			return nil, fmt.Errorf("open repository %s: %w", dir, err)
		}
	}
	return r, nil
}

// unready ends the child that waits for the first session.
func (r *Repo) unready() {
	if p := r.ready.Swap(nil); p != nil {
		p.kill()
	}
}

// GitDir returns the absolute git directory of this worktree.
func (r *Repo) GitDir() string { return r.gitDir }

// CommonDir returns the absolute git directory that all linked worktrees share. It is GitDir
// unless this is a linked worktree.
func (r *Repo) CommonDir() string { return r.commonDir }

// WorkTree returns the absolute top level of the work tree, "" when there is none: the repository
// is bare, or Dir lies inside the git directory.
func (r *Repo) WorkTree() string { return r.workTree }

// Format returns the object format.
func (r *Repo) Format() oid.Format { return r.format }

// Config returns the configuration as it was when the repository was opened.
func (r *Repo) Config() Config { return r.config }

// StateDir returns the directory of our caches in the common directory. It may not exist.
func (r *Repo) StateDir() string { return StateIn(r.commonDir) }

// StateIn returns the directory of our caches in a common directory.
func StateIn(commonDir string) string { return filepath.Join(commonDir, "covenant") }

// Shallow returns the commits whose parents were cut off by a shallow clone or fetch; empty when
// the history is whole. It reads GIT_SHALLOW_FILE where a server hook's environment names one,
// else <common>/shallow (gitrepository-layout(5)).
func (r *Repo) Shallow() (map[oid.ID]bool, error) {
	path := filepath.Join(r.commonDir, "shallow")
	if f, ok := lookupEnv(r.base, "GIT_SHALLOW_FILE"); ok {
		if f == "" {
			return map[oid.ID]bool{}, nil
		}
		path = r.abs(f)
	}
	b, err := readFile(path, shallowLimit)
	if errors.Is(err, os.ErrNotExist) {
		return map[oid.ID]bool{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the shallow boundary: %w", err)
	}
	m := map[oid.ID]bool{}
	for line := range strings.Lines(string(b)) {
		id, err := oid.Parse(strings.TrimRight(line, "\r\n"))
		if err != nil || id.Format() != r.format {
			return nil, fmt.Errorf("read the shallow boundary: %s: bad line %q", path, clip(line))
		}
		m[id] = true
	}
	return m, nil
}

// abs makes a path of the environment absolute: such paths are relative to the caller's directory.
func (r *Repo) abs(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(r.dir, path)
}

// clip shortens text for an error message.
func clip(s string) string {
	if len(s) > 120 {
		return s[:120] + "…"
	}
	return s
}
