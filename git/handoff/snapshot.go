package handoff

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/open-covenant/covenant-git/envelope/handoff"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
)

// Limits bound the contents of a handoff, in bytes.
type Limits struct{ File, Total int64 }

// Default are the limits where nobody says others. The total is what a sync takes at once.
var Default = Limits{File: 32 << 20, Total: 256 << 20}

// Refusals of a work tree.
var (
	ErrNoWorkTree = errors.New("there is no work tree here")
	ErrUnmerged   = errors.New("the index has conflicts")
	ErrOperation  = errors.New("an operation of Git is not finished")
	ErrTooLarge   = errors.New("larger than is taken")
	ErrTooMany    = fmt.Errorf("more than %d files", handoff.MaxFiles)
	ErrRacing     = errors.New("it changed while it was read")
)

// An UnmergedError names the paths in conflict. It wraps ErrUnmerged.
type UnmergedError struct{ Paths []string }

func (e *UnmergedError) Error() string { return fmt.Sprintf("%v: %d paths", ErrUnmerged, len(e.Paths)) }

// Unwrap returns ErrUnmerged.
func (e *UnmergedError) Unwrap() error { return ErrUnmerged }

// An OperationError names what is not finished: a merge, a rebase. It wraps ErrOperation.
type OperationError struct{ What string }

func (e *OperationError) Error() string { return fmt.Sprintf("%v: %s", ErrOperation, e.What) }

// Unwrap returns ErrOperation.
func (e *OperationError) Unwrap() error { return ErrOperation }

// queueLimit is how many bytes wait in memory to be written.
const queueLimit = 32 << 20

// Suspect is a tracked file that is in the handoff and seems to hold a secret.
type Suspect struct {
	Path string
	Rule string
}

// snapshot reads a work tree.
type snapshot struct {
	ctx     context.Context //nolint:containedctx // a snapshot is one call
	s       *git.Session
	root    *os.Root
	limits  Limits
	secret  func([]byte) string // as Creating.Secret
	secrets bool                // untracked files with secrets are taken
	trees   *trees

	bytes    int64
	queued   int64
	left     []handoff.Left
	more     int
	suspects []Suspect

	base        oid.ID // commit
	baseTree    oid.ID
	index, work oid.ID // trees
	untracked   oid.ID
}

// take reads index, tracked and untracked files into trees. Only what Git's index does not know to be unchanged is read.
func (p *snapshot) take(st *git.Status) error {
	var conflicts []string
	for _, c := range st.Changes {
		if c.Unmerged {
			conflicts = append(conflicts, c.Path)
		}
	}
	if len(conflicts) > 0 {
		return &UnmergedError{conflicts}
	}
	if len(st.Changes)+len(st.Untracked) > handoff.MaxFiles {
		return fmt.Errorf("%w: %d", ErrTooMany, len(st.Changes)+len(st.Untracked))
	}
	if p.base = st.Head; !p.base.IsZero() {
		c, err := p.s.Commit(p.base.String())
		if err != nil {
			return err
		}
		p.baseTree = c.Tree
	}
	staged, work := map[string]file{}, map[string]file{}
	for i := range st.Changes {
		c := &st.Changes[i]
		if c.Staged != '.' {
			staged[c.Path] = file{c.Index, c.IndexID}
			if c.Index == 0 {
				staged[c.Path] = file{}
			}
		}
	}
	var err error
	if p.index, err = p.trees.edit(p.baseTree, staged); err != nil {
		return err
	}
	for i := range st.Changes {
		if err := p.tracked(&st.Changes[i], work); err != nil {
			return err
		}
	}
	if p.work, err = p.trees.edit(p.index, work); err != nil {
		return err
	}
	extra := map[string]file{}
	slices.Sort(st.Untracked)
	for _, path := range st.Untracked {
		if err := p.other(path, extra); err != nil {
			return err
		}
	}
	if len(extra) > 0 {
		p.untracked, err = p.trees.edit(oid.ID{}, extra)
	}
	return err
}

// tracked reads a tracked file that differs from HEAD or the index, as its bytes are: no filter of Git's touches them.
func (p *snapshot) tracked(c *git.StatusChange, work map[string]file) error {
	if c.Index.IsGitlink() || c.Work.IsGitlink() {
		if c.Moved || c.Within || c.Unstaged != '.' {
			p.leave(handoff.NewLeft(c.Path, handoff.Submodule))
		}
		return nil
	}
	if c.Work == 0 {
		switch {
		case c.Index == 0 && c.Staged == '.': // to be added, and not there
			p.leave(handoff.NewLeft(c.Path, handoff.Absent))
		case c.Index == 0: // staged as gone, and gone
		default:
			work[c.Path] = file{}
		}
		return nil
	}
	f, ok, err := p.read(c.Path, c.Work, false)
	if errors.Is(err, fs.ErrNotExist) && c.Unstaged == '.' {
		return nil // not checked out (sparse checkout): the index has it
	}
	if err != nil || !ok {
		return err
	}
	work[c.Path] = f
	return nil
}

// other reads an untracked file.
func (p *snapshot) other(path string, extra map[string]file) error {
	if strings.HasSuffix(path, "/") {
		p.leave(handoff.NewLeft(path, handoff.Nested))
		return nil
	}
	if handoff.Unsafe(path) != "" {
		p.leave(handoff.NewLeft(path[:min(len(path), handoff.MaxPath)], handoff.Name))
		return nil
	}
	f, ok, err := p.read(path, 0, true)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%q: %w: it is gone", path, ErrRacing)
	}
	if err != nil || !ok {
		return err
	}
	extra[path] = f
	return nil
}

func (p *snapshot) leave(l handoff.Left) {
	if len(p.left) < handoff.MaxLeft {
		p.left = append(p.left, l)
	} else {
		p.more++
	}
}

// read queues the bytes of a file as a blob. ok is false for one that was left out. Mode 0 is told by the file.
func (p *snapshot) read(path string, mode git.Mode, untracked bool) (f file, ok bool, err error) {
	if err := p.ctx.Err(); err != nil {
		return f, false, context.Cause(p.ctx)
	}
	info, err := p.root.Lstat(path)
	if err != nil {
		return f, false, err
	}
	left := handoff.NewLeft(path, "")
	left.Bytes = info.Size()
	var data []byte
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := p.root.Readlink(path)
		if err != nil {
			return f, false, err
		}
		if data = []byte(target); mode == 0 {
			mode = git.ModeLink
		}
	case !info.Mode().IsRegular():
		left.Bytes, left.Reason = 0, handoff.Special
		p.leave(left)
		return f, false, nil
	case info.Size() > p.limits.File, p.bytes+info.Size() > p.limits.Total:
		left.Reason = handoff.TooLarge
		if info.Size() <= p.limits.File {
			left.Reason = handoff.TooMuch
		}
		p.leave(left)
		return f, false, nil
	default:
		if mode == 0 {
			mode = git.ModeFile
			if info.Mode().Perm()&0o100 != 0 && p.s.Repo().Config().Bool("core.fileMode", true) {
				mode = git.ModeExecutable
			}
		}
		if data, err = p.bytesOf(path, info.Size()); err != nil {
			return f, false, err
		}
	}
	if rule := p.secret(data); rule != "" {
		if untracked && !p.secrets {
			left.Reason, left.Rule = handoff.Secret, rule
			p.leave(left)
			return f, false, nil
		}
		p.suspects = append(p.suspects, Suspect{path, rule})
	}
	p.bytes += int64(len(data))
	f = file{mode, p.s.Put("blob", data)}
	if p.queued += int64(len(data)); p.queued > queueLimit {
		p.queued = 0
		err = p.s.Flush()
	}
	return f, true, err
}

func (p *snapshot) bytesOf(path string, size int64) ([]byte, error) {
	in, err := p.root.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	data, err := io.ReadAll(io.LimitReader(in, size+1))
	if err == nil && int64(len(data)) > size {
		err = fmt.Errorf("%q: %w: it grew", path, ErrRacing)
	}
	return data, err
}
