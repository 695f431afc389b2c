package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/git/oid"
)

// Status is how the work tree and the index differ from HEAD, as git-status(1) finds it.
type Status struct {
	Head      oid.ID // zero: the branch has no commit
	Branch    string // full name; "" when HEAD is detached
	Changes   []StatusChange
	Untracked []string // not ignored; a repository within ends in "/"
}

// StatusChange is a tracked path that differs between HEAD, index and work tree.
type StatusChange struct {
	Path              string
	Staged, Unstaged  byte   // as git-status(1) has X and Y: '.' where nothing differs
	Submodule         string // four characters, "N..." of what is none
	Head, Index, Work Mode   // 0 where it is not there
	HeadID, IndexID   oid.ID // zero there, and in the index of what is only intended to be added
	Unmerged          bool
	Moved, Within     bool // the submodule's HEAD is elsewhere; something in it differs
}

// errStatus says that Git answered what we do not understand.
var errStatus = errors.New("git status: unexpected answer")

// Status compares the work tree, under settings given as "-c", "NAME=VALUE". It writes nothing: what Git's index knows of files is used, and not
// brought up to date.
func (r *Repo) Status(ctx context.Context, settings ...string) (*Status, error) {
	out, err := r.Run(ctx, nil, append(slices.Clone(settings), "status", "--porcelain=v2", "--branch", "-z", "--untracked-files=all", "--no-renames", "--ignore-submodules=none", "--no-ahead-behind")...)
	if err != nil {
		return nil, err
	}
	return ParseStatus(r.format, out)
}

// ParseStatus reads what "git status --porcelain=v2 --branch -z" prints without renames.
func ParseStatus(format oid.Format, out []byte) (*Status, error) {
	st := &Status{}
	for len(out) > 0 {
		i := bytes.IndexByte(out, 0)
		if i < 0 {
			return nil, fmt.Errorf("%w: cut short", errStatus)
		}
		line := string(out[:i])
		out = out[i+1:]
		kind, rest, _ := strings.Cut(line, " ")
		var err error
		switch kind {
		case "#":
			err = st.header(format, rest)
		case "1", "u":
			err = st.change(format, kind, rest)
		case "?":
			if rest == "" {
				err = errStatus
			}
			st.Untracked = append(st.Untracked, rest)
		case "!":
		default:
			err = errStatus
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %q", err, clip(line))
		}
	}
	return st, nil
}

func (st *Status) header(format oid.Format, text string) error {
	name, value, _ := strings.Cut(text, " ")
	switch name {
	case "branch.oid":
		if value == "(initial)" {
			return nil
		}
		id, ok := parseName(format, value)
		if !ok {
			return errStatus
		}
		st.Head = id
	case "branch.head":
		if value != "(detached)" {
			st.Branch = "refs/heads/" + value
		}
	}
	return nil
}

// change reads "XY sub mH mI mW hH hI path", or of what is unmerged "XY sub m1 m2 m3 mW h1 h2 h3 path".
func (st *Status) change(format oid.Format, kind, text string) error {
	n := 8
	if kind == "u" {
		n = 10
	}
	f := strings.SplitN(text, " ", n)
	if len(f) != n || len(f[0]) != 2 || len(f[1]) != 4 || f[n-1] == "" {
		return errStatus
	}
	c := StatusChange{Path: f[n-1], Staged: f[0][0], Unstaged: f[0][1], Submodule: f[1], Unmerged: kind == "u"}
	c.Moved, c.Within = f[1][1] == 'C', f[1][0] == 'S' && f[1][2:] != ".."
	if !c.Unmerged {
		for i, into := range []*Mode{&c.Head, &c.Index, &c.Work} {
			m, err := parseMode(f[2+i])
			if err != nil {
				return errStatus
			}
			*into = m
		}
		for i, into := range []*oid.ID{&c.HeadID, &c.IndexID} {
			id, ok := parseName(format, f[5+i])
			if !ok && strings.Trim(f[5+i], "0") != "" {
				return errStatus
			}
			*into = id
		}
	}
	st.Changes = append(st.Changes, c)
	return nil
}

// InProgress says which operation of Git waits to be finished in this work tree, "" when none does.
func (r *Repo) InProgress() string {
	for _, x := range []struct{ file, what string }{
		{"MERGE_HEAD", "merge"},
		{"CHERRY_PICK_HEAD", "cherry-pick"},
		{"REVERT_HEAD", "revert"},
		{"rebase-merge", "rebase"},
		{"rebase-apply", "rebase or am"},
		{"sequencer", "cherry-pick or revert"},
	} {
		if _, err := os.Lstat(filepath.Join(r.gitDir, x.file)); err == nil {
			return x.what
		}
	}
	return ""
}

// IndexFile returns the absolute path of the index of this work tree.
func (r *Repo) IndexFile() string {
	if f, ok := lookupEnv(r.base, "GIT_INDEX_FILE"); ok && f != "" {
		return r.abs(f)
	}
	return filepath.Join(r.gitDir, "index")
}

// WithIndex returns the repository with another index, and where workTree is not "" another work tree, in which its children run.
func (r *Repo) WithIndex(file, workTree string) *Repo {
	settings := []string{"GIT_INDEX_FILE=" + file}
	dir := r.dir
	if workTree != "" {
		settings = append(settings, "GIT_DIR="+r.gitDir, "GIT_COMMON_DIR="+r.commonDir, "GIT_WORK_TREE="+workTree)
		dir = workTree
	}
	return &Repo{
		bin: r.bin, dir: dir, base: withEnv(r.base, settings...), env: withEnv(r.env, settings...), gitDir: r.gitDir, commonDir: r.commonDir,
		workTree: r.workTree, format: r.format, config: r.config, view: r.view,
	}
}
