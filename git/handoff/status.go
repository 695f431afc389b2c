package handoff

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/open-covenant/covenant-git/git"
)

// blind is a tracked path that Git is told not to look at.
type blind struct {
	path         string
	assume, skip bool // git update-index --assume-unchanged, --skip-worktree
}

// blinds lists them, of a repository whose children run at the top of the work tree.
func blinds(ctx context.Context, r *git.Repo) ([]blind, error) {
	out, err := r.Run(ctx, nil, "ls-files", "-v", "-z")
	if err != nil {
		return nil, err
	}
	var list []blind
	for entry := range bytes.SplitSeq(out, []byte{0}) {
		if len(entry) < 3 || entry[0] == 'H' || entry[0] == 'M' {
			continue
		}
		list = append(list, blind{path: string(entry[2:]), assume: entry[0] >= 'a', skip: entry[0]|0x20 == 's'})
	}
	return list, nil
}

// reveal has Git look at them again, in the index of a repository whose children run at the top of the work tree.
func reveal(ctx context.Context, r *git.Repo, list []blind) error {
	for _, mark := range []struct {
		option string
		has    func(blind) bool
	}{{"--no-assume-unchanged", func(b blind) bool { return b.assume }}, {"--no-skip-worktree", func(b blind) bool { return b.skip }}} {
		var in strings.Builder
		for _, b := range list {
			if mark.has(b) {
				in.WriteString(b.path + "\x00")
			}
		}
		if in.Len() == 0 {
			continue
		}
		if _, err := r.Run(ctx, strings.NewReader(in.String()), "update-index", mark.option, "-z", "--stdin"); err != nil {
			return err
		}
	}
	return nil
}

// closely are settings under which Git looks at files itself, and at all that it knows of them: who watches them for it may be late, and a size
// and a time that were set are no content.
var closely = append([]string{"-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false", "-c", "core.trustctime=true", "-c", "core.checkStat=default"}, apartByCase...)

// apartByCase are settings under which an untracked file is not taken for a tracked one of a name that differs by case, where file systems tell them apart.
var apartByCase = map[bool][]string{true: {"-c", "core.ignoreCase=false"}}[runtime.GOOS != "windows" && runtime.GOOS != "darwin"]

// status is what Git says of the work tree when it looks at all files: also at those that it is told not to look at, which are hidden. One that
// is not checked out (sparse checkout) is not gone.
func status(ctx context.Context, r *git.Repo, root *os.Root) (st *git.Status, hidden map[string]bool, err error) {
	list, err := blinds(ctx, r.WithIndex(r.IndexFile(), r.WorkTree()))
	if err != nil {
		return nil, nil, err
	}
	hidden = map[string]bool{}
	var there []blind
	for _, b := range list {
		info, err := lstat(root, b.path)
		if err != nil {
			return nil, nil, err
		}
		if info != nil || !b.skip {
			there = append(there, b)
			hidden[b.path] = true
		}
	}
	if len(there) == 0 {
		st, err = r.Status(ctx, closely...)
		return st, hidden, err
	}
	dir, err := os.MkdirTemp(r.GitDir(), "covenant-index-")
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	index := filepath.Join(dir, "index")
	if err := copyIndex(r.IndexFile(), index); err != nil {
		return nil, nil, err
	}
	at := r.WithIndex(index, r.WorkTree())
	if err := reveal(ctx, at, there); err != nil {
		return nil, nil, err
	}
	st, err = at.Status(ctx, closely...)
	return st, hidden, err
}

// copyIndex copies an index with its time: by that Git knows which files may have changed since it looked at them.
func copyIndex(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	b, err := readFile(from)
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(to, b, 0o600), os.Chtimes(to, info.ModTime(), info.ModTime()))
}
