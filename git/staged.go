package git

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/open-covenant/covenant-git/git/oid"
)

// Staged returns all changes from a commit or tree to the index, as [Session.Diff] gives them; a zero
// name is the empty tree. The index is the one Git would commit: a hook's GIT_INDEX_FILE is
// kept. It costs one child.
func (s *Session) Staged(against oid.ID) ([]Change, error) { return s.StagedAhead(against)() }

// StagedAhead begins what [Session.Staged] does, and returns what waits for it.
func (s *Session) StagedAhead(against oid.ID) func() ([]Change, error) {
	if against.IsZero() {
		against = s.repo.format.EmptyTree()
	}
	p, err := s.repo.start(s.ctx, s.repo.localEnv(), nil, "diff-index", "--cached", "--raw", "-z", "--no-abbrev", "--full-index", "--no-renames",
		"--ignore-submodules=none", "--no-ext-diff", "--no-textconv", "--no-relative", "--no-color", against.String(), "--")
	return func() ([]Change, error) {
		changes, err := readStaged(s.repo.format, p, err)
		if err != nil {
			return nil, fmt.Errorf("read what is staged: %w", err)
		}
		return changes, nil
	}
}

func readStaged(format oid.Format, p *process, err error) ([]Change, error) {
	if err != nil {
		return nil, err
	}
	out, err := p.readAll(captureLimit)
	if err != nil {
		p.kill()
		return nil, err
	}
	if err := p.wait(); err != nil {
		return nil, err
	}
	var changes []Change
	r := bufio.NewReader(bytes.NewReader(out))
	for {
		if _, err := r.Peek(1); errors.Is(err, io.EOF) {
			return changes, nil
		}
		c, err := readChange(r, format)
		if err != nil {
			return nil, err
		}
		changes = append(changes, c)
	}
}

// StagedTree writes the tree of what is staged and returns its name. The index is not touched: a
// copy of it is read.
func (s *Session) StagedTree() (oid.ID, error) {
	index, ok := lookupEnv(s.repo.env, "GIT_INDEX_FILE")
	if !ok || index == "" {
		index = filepath.Join(s.repo.gitDir, "index")
	}
	b, err := os.ReadFile(s.repo.abs(index)) //nolint:gosec // Git's own index
	if errors.Is(err, os.ErrNotExist) {
		return s.repo.format.EmptyTree(), nil
	}
	if err != nil {
		return oid.ID{}, fmt.Errorf("read the index: %w", err)
	}
	tmp, err := os.MkdirTemp("", "covenant-index-")
	if err != nil {
		return oid.ID{}, fmt.Errorf("read the index: %w", err)
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	file := filepath.Join(tmp, "index")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		return oid.ID{}, fmt.Errorf("read the index: %w", err)
	}
	out, err := s.repo.capture(s.ctx, withEnv(s.repo.env, "GIT_INDEX_FILE="+file), nil, headerLimit, "write-tree", "--missing-ok")
	if err != nil {
		return oid.ID{}, fmt.Errorf("write what is staged: %w", err)
	}
	return oid.Parse(strings.TrimSpace(string(out)))
}

// MergeHeads returns the commits that a merge under way brings in, besides HEAD.
func (r *Repo) MergeHeads() ([]oid.ID, error) {
	b, err := readFile(filepath.Join(r.gitDir, "MERGE_HEAD"), 1<<20)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read MERGE_HEAD: %w", err)
	}
	var out []oid.ID
	for line := range strings.Lines(string(b)) {
		id, err := oid.Parse(strings.TrimSpace(line))
		if err != nil {
			return nil, fmt.Errorf("read MERGE_HEAD: %w", err)
		}
		out = append(out, id)
	}
	return out, nil
}

// ActingRef returns the branch that commits made now are for: the one HEAD is on, or the one that a
// rebase under way will move. It is "" where HEAD is detached.
func (s *Session) ActingRef() (string, error) {
	ref, err := s.HeadRef()
	if err != nil || ref != "" {
		return ref, err
	}
	for _, dir := range []string{"rebase-merge", "rebase-apply"} {
		line, err := readLine(filepath.Join(s.repo.gitDir, dir, "head-name"))
		if err == nil && checkRefName(line) == nil {
			return line, nil
		}
	}
	return "", nil
}
