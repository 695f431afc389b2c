package handoff

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// Applying says how a handoff is put into a work tree.
type Applying struct {
	Again bool // also when somebody has it
	Force bool // beside changes that are not in the way
	// Remote is asked whether the handoff can be had, by Claim, after that was recorded here and before anything is written; "": nobody
	// is. ledger is the ref of the ledger, entry its commit. The repository's lock is not held. Where Claim fails the record is taken back. It may be
	// called again for one entry, also by another process meanwhile.
	Remote string
	Claim  func(ctx context.Context, id envelope.Digest, remote, ledger string, entry oid.ID) error

	at func(moment string) // told of every moment at which a process could die; for tests
}

// Done is what was done.
type Done struct {
	Resumed envelope.Digest // the statement; "" of an abort that had none to let go
	Paths   int             // of the work tree
	Index   bool            // the index was put back, too
}

// Apply puts a handoff into the work tree of the sealer's repository, and records that its hand has it. Everything is looked at
// before anything is written. Errors: ErrPending, ErrNoWorkTree, *OperationError, *BaseError, *BlockedError, *AlreadyResumedError, ErrIndexLock, ErrUnsafe.
func Apply(ctx context.Context, k *provenance.Sealer, v *Verified, o Applying) (*Done, error) {
	s := k.Session
	r := s.Repo()
	if r.WorkTree() == "" {
		return nil, ErrNoWorkTree
	}
	if o.at == nil {
		o.at = func(string) {}
	}
	l, err := take(ctx, k)
	if err != nil {
		return nil, err
	}
	defer l.free()
	if _, err := readJournal(placeOf(r)); err == nil {
		return nil, ErrPending
	} else if !errors.Is(err, ErrNoPending) {
		return nil, err
	}
	if what := r.InProgress(); what != "" {
		return nil, &OperationError{what}
	}
	if err := may(k); err != nil {
		return nil, err
	}
	if err := held(ctx, k, v.Handoff, o.Again); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(r.WorkTree())
	if err != nil {
		return nil, err
	}
	defer root.Close()
	p, err := makePlan(ctx, s, root, v, o.Force, false)
	if err != nil {
		return nil, err
	}
	var b [16]byte
	rand.Read(b[:]) //nolint:errcheck // it never fails
	j := &journal{
		ID: v.ID, Serial: hex.EncodeToString(b[:]), Again: o.Again, Remote: o.Remote, WorkTree: r.WorkTree(), GitDir: r.GitDir(), Steps: order(p.steps),
		Dirs: slices.Sorted(maps.Keys(p.dirs)), dir: placeOf(r),
	}
	if err := j.room(root, p); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(j.dir); err != nil { // what a process left that died before its journal was there: it had changed nothing
		return nil, err
	}
	if err := os.MkdirAll(j.dir, 0o700); err != nil {
		return nil, err
	}
	if err := j.prepareIndex(ctx, r, p); err != nil {
		return nil, errors.Join(err, os.RemoveAll(j.dir))
	}
	o.at("prepared")
	if err := j.begin(root, p.modes); err != nil {
		return nil, errors.Join(err, os.RemoveAll(j.dir))
	}
	o.at("journal")
	done, err := j.carryOut(ctx, k, l, root, &o)
	var began *begunError
	if err != nil && !j.lost && !errors.As(err, &began) { // nothing of the work tree has changed
		return nil, errors.Join(err, j.unlockIndex(r), j.end())
	}
	return done, err
}

// room reports whether the name under which files are written first is free.
func (j *journal) room(root *os.Root, p *plan) error {
	if slices.ContainsFunc(p.steps, func(x step) bool {
		return string(x.Path) == j.scratch() || strings.HasPrefix(string(x.Path), j.scratch()+"/")
	}) {
		return fmt.Errorf("%w: %q: files are written under this name first", ErrUnsafe, j.scratch())
	}
	if _, err := root.Lstat(j.scratch()); err == nil {
		return &BlockedError{ErrInTheWay, []string{j.scratch()}}
	}
	return nil
}

// prepareIndex makes the index that will be, beside the one that is: what the handoff does not change keeps what Git knows of it.
func (j *journal) prepareIndex(ctx context.Context, r *git.Repo, p *plan) error {
	before, after := filepath.Join(j.dir, fileBefore), filepath.Join(j.dir, fileAfter)
	err := copyIndex(r.IndexFile(), before)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	} else if err == nil {
		err = copyIndex(before, after)
	}
	if err != nil {
		return err
	}
	if j.IndexBefore, err = sumFile(before); err != nil {
		return err
	}
	hidden, err := j.hidden(ctx, r, before)
	if err != nil {
		return err
	}
	if len(p.index) == 0 && len(p.adds) == 0 && len(hidden) == 0 {
		j.IndexAfter = j.IndexBefore
		return nil
	}
	if err := reveal(ctx, r.WithIndex(after, r.WorkTree()), hidden); err != nil {
		return err
	}
	var in strings.Builder
	null := r.Format().Null().String()
	for _, c := range p.index { // what ends goes first: it may be in the way of what comes
		if c.NewMode == 0 {
			fmt.Fprintf(&in, "0 %s\t%s\x00", null, c.Path)
		}
	}
	for _, c := range p.index {
		if c.NewMode != 0 {
			fmt.Fprintf(&in, "%s %s\t%s\x00", c.NewMode, c.New, c.Path)
		}
	}
	if _, err := r.WithIndex(after, "").Run(ctx, strings.NewReader(in.String()), "update-index", "--replace", "-z", "--index-info"); err != nil {
		return err
	}
	if err := j.intend(ctx, r, p.adds, after); err != nil {
		return err
	}
	if j.IndexAfter, err = sumFile(after); err != nil {
		return err
	}
	if j.IndexBefore != "" {
		err = syncFile(before)
	}
	return errors.Join(err, syncFile(after))
}

// hidden are paths that change and that Git is told not to look at: it is to see what becomes of them.
func (j *journal) hidden(ctx context.Context, r *git.Repo, index string) ([]blind, error) {
	if j.IndexBefore == "" {
		return nil, nil
	}
	list, err := blinds(ctx, r.WithIndex(index, r.WorkTree()))
	if err != nil || len(list) == 0 {
		return nil, err
	}
	changes := map[string]bool{}
	for i := range j.Steps {
		changes[string(j.Steps[i].Path)] = true
	}
	return slices.DeleteFunc(list, func(b blind) bool { return !changes[b.path] }), nil
}

// intend enters paths that are intended to be added. Git does so for files that are there: they are, in a work tree of their own.
func (j *journal) intend(ctx context.Context, r *git.Repo, paths map[string]git.Mode, index string) error {
	if len(paths) == 0 {
		return nil
	}
	dir := filepath.Join(j.dir, "adds")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for name, mode := range paths {
		if err := root.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return err
		}
		switch mode {
		case git.ModeLink:
			err = root.Symlink("x", name)
		case git.ModeExecutable:
			err = root.WriteFile(name, nil, 0o700)
		default:
			err = root.WriteFile(name, nil, 0o600)
		}
		if err != nil {
			return err
		}
	}
	_, err = r.WithIndex(index, dir).Run(ctx, strings.NewReader(strings.Join(slices.Sorted(maps.Keys(paths)), "\x00")+"\x00"), "--literal-pathspecs", "add", "--sparse", "--force", "--intent-to-add", "--pathspec-from-file=-", "--pathspec-file-nul")
	return err
}

// begunError says that something has changed: the journal stays. It wraps ErrBegun.
type begunError struct{ error }

func (e *begunError) Unwrap() []error { return []error{e.error, ErrBegun} }

// carryOut does what the journal says, from wherever it was left. It can be called again after a crash.
func (j *journal) carryOut(ctx context.Context, k *provenance.Sealer, l *hold, root *os.Root, o *Applying) (*Done, error) {
	r := k.Session.Repo()
	index := r.IndexFile()
	at, err := sumFile(index)
	if err != nil {
		return nil, err
	}
	swaps := j.IndexAfter != j.IndexBefore
	if swaps && at != j.IndexAfter {
		if err := j.lockIndex(index, filepath.Join(j.dir, fileAfter), j.IndexAfter); err != nil {
			return nil, err
		}
		if at, err = sumFile(index); err != nil { // nobody moves it any more
			return nil, err
		}
	}
	if at != j.IndexBefore && at != j.IndexAfter {
		return nil, errors.Join(ErrIndex, j.unlockIndex(r))
	}
	o.at("locked")
	resumed, ref, entry, err := j.record(ctx, k)
	if err != nil {
		return nil, err
	}
	if err := j.claim(ctx, k, l, o, ref, entry); err != nil {
		return nil, err
	}
	o.at("recorded")
	modes := r.Config().Bool("core.fileMode", true)
	for i := range j.Steps {
		if err := j.step(k.Session, root, i, modes); err != nil {
			return nil, &begunError{err}
		}
		o.at("written")
	}
	if swaps && at != j.IndexAfter {
		if err := os.Rename(index+".lock", index); err != nil {
			return nil, &begunError{err}
		}
	}
	o.at("indexed")
	if err := errors.Join(j.clean(root), j.end()); err != nil {
		return nil, &begunError{err}
	}
	return &Done{Resumed: resumed, Paths: len(j.Steps), Index: swaps}, nil
}

// clean takes away a file that a process left half written.
func (j *journal) clean(root *os.Root) error {
	if err := root.Remove(j.scratch()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// step brings one path to where it should be. One that is there already is left alone, and anything else than what stood
// there before stops it.
func (j *journal) step(s *git.Session, root *os.Root, i int, modes bool) error {
	x := &j.Steps[i]
	name := string(x.Path)
	now, _, err := readState(root, name, modes)
	if err != nil {
		return err
	}
	if now.Mode.IsTree() && x.After.Mode != 0 { // what was in it has gone before
		if err := root.Remove(name); err == nil {
			now = state{}
		}
	}
	if now == x.After || now.Mode.IsTree() && x.After.Mode == 0 {
		return nil
	}
	if now != x.Before {
		return fmt.Errorf("%w: %q", ErrChanged, name)
	}
	if x.After.Mode == 0 {
		if err := root.Remove(name); err != nil {
			return err
		}
		emptied(root, name)
		return nil
	}
	id, err := oid.Parse(x.Blob)
	if err != nil {
		return err
	}
	o, err := s.Object(id.String(), maxBlob)
	if err != nil {
		return err
	}
	return j.put(root, name, x.After.Mode, o.Data)
}

// maxBlob bounds one content that is put back: its size was looked at when it was verified.
const maxBlob = 1 << 40

// put puts bytes at a path, whole or not at all.
func (j *journal) put(root *os.Root, name string, mode git.Mode, data []byte) error {
	if err := errors.Join(makeWay(root, name), j.clean(root)); err != nil {
		return err
	}
	tmp := j.scratch()
	var err error
	switch mode {
	case git.ModeLink:
		err = root.Symlink(string(data), tmp)
	case git.ModeExecutable:
		err = root.WriteFile(tmp, data, 0o777)
	default:
		err = root.WriteFile(tmp, data, 0o666)
	}
	if err != nil {
		return err
	}
	return root.Rename(tmp, name)
}
