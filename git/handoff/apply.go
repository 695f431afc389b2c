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
	"github.com/open-covenant/covenant-git/envelope/handoff"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// Applying says how a handoff is put into a work tree.
type Applying struct {
	Again bool // also when somebody has it
	Force bool // beside changes that are not in the way
	// Remote is asked whether the handoff can be had, by Claim, after that was recorded here and before anything is written; "": nobody
	// is. ledger is the ref of the ledger, entry its commit. Where Claim fails the record is taken back. It may be called again for one entry.
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
	unlock, err := r.Lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	k.Locked = true
	if _, ok := PendingHere(r); ok {
		return nil, ErrPending
	}
	if what := r.InProgress(); what != "" {
		return nil, &OperationError{what}
	}
	if err := held(ctx, k, v.Handoff, o.Again); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(r.WorkTree())
	if err != nil {
		return nil, err
	}
	defer root.Close()
	p, err := makePlan(ctx, s, root, v, o.Force)
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
	if err := os.RemoveAll(j.dir); err != nil { // what a process left that died before its journal was there
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
	done, err := j.carryOut(ctx, k, root, &o)
	var began *begunError
	if err != nil && !errors.As(err, &began) { // nothing of the work tree has changed
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

// held asks whether somebody has the handoff, as it is now.
func held(ctx context.Context, k *provenance.Sealer, h *handoff.Handoff, again bool) error {
	if again {
		return nil
	}
	rec, claim, err := current(ctx, k, h.ID)
	if err != nil {
		return err
	}
	now, err := rec.Find(string(h.ID))
	if err != nil {
		return err
	}
	if by := rec.Held(now, claim); by != nil {
		return by
	}
	return nil
}

// current reads what the ledgers say now, and the claim.
func current(ctx context.Context, k *provenance.Sealer, id envelope.Digest) (*Record, oid.ID, error) {
	rec, err := Load(ctx, k.Session, k.Root.Digest)
	if err != nil {
		return nil, oid.ID{}, err
	}
	claim, err := tip(k.Session, Claim(id))
	return rec, claim, err
}

func tip(s *git.Session, ref string) (oid.ID, error) {
	refs, err := s.Tips(ref)
	for _, x := range refs {
		if x.Name == ref {
			return x.ID, nil
		}
	}
	return oid.ID{}, err
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
	j.IndexAfter, err = sumFile(after)
	return err
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

// begunError says that files of the work tree have changed: the journal stays.
type begunError struct{ error }

func (e *begunError) Unwrap() error { return e.error }

// carryOut does what the journal says, from wherever it was left. It can be called again after a crash.
func (j *journal) carryOut(ctx context.Context, k *provenance.Sealer, root *os.Root, o *Applying) (*Done, error) {
	r := k.Session.Repo()
	index := r.IndexFile()
	at, err := sumFile(index)
	if err != nil {
		return nil, err
	}
	swaps := j.IndexAfter != j.IndexBefore
	if swaps && at != j.IndexAfter {
		if err := j.lockIndex(index, filepath.Join(j.dir, fileAfter)); err != nil {
			return nil, err
		}
		if at, err = sumFile(index); err != nil { // nobody moves it any more
			return nil, err
		}
	}
	if at != j.IndexBefore && at != j.IndexAfter {
		return nil, ErrIndex
	}
	o.at("locked")
	resumed, err := j.record(ctx, k, o)
	if err != nil {
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

// record says in the ledger that the hand has the handoff, unless it was said by this very attempt. The claim comes to be
// with the entry, or neither.
func (j *journal) record(ctx context.Context, k *provenance.Sealer, o *Applying) (envelope.Digest, error) {
	rec, claim, err := current(ctx, k, j.ID)
	if err != nil {
		return "", err
	}
	h, err := rec.Find(string(j.ID))
	if err != nil {
		return "", err
	}
	for _, t := range h.Taken {
		if t.Serial == j.Serial && !t.Released { // whoever goes on with it
			return t.ID, j.claim(ctx, k, o, ledger.Prefix+t.Ledger, t.Commit)
		}
	}
	if by := rec.Held(h, claim); by != nil && !j.Again {
		return "", by
	}
	body := handoff.Resumption{Again: j.Again, Created: j.ID, Serial: j.Serial}
	made, err := k.ComposeWith(ctx, handoff.Topic, func(ledger.Name, []envelope.Head) ([]provenance.Item, error) {
		return []provenance.Item{{Type: handoff.Resumed, Body: body, Subject: "handoff.resumed " + Short(j.ID)}}, nil
	}, func(a []ledger.Appended) []git.RefUpdate {
		if j.Again {
			return nil
		}
		return []git.RefUpdate{{Name: Claim(j.ID), New: a[0].Commit, Old: claim}}
	})
	if err != nil {
		return "", err
	}
	return made[0].ID, j.claim(ctx, k, o, made[0].Ledger.Ref(), made[0].Commit)
}

// claim asks the remote for the handoff, where one is to be asked and has not said yes, and lets it go where it says no.
func (j *journal) claim(ctx context.Context, k *provenance.Sealer, o *Applying, ref string, entry oid.ID) error {
	if j.Remote == "" || j.Claimed {
		return nil
	}
	o.at("claiming")
	if err := o.Claim(ctx, j.ID, j.Remote, ref, entry); err != nil {
		return errors.Join(err, j.release(ctx, k, "it could not be claimed elsewhere"))
	}
	j.Claimed = true
	return j.write()
}

// release says that this attempt does not have the handoff any more, where it did.
func (j *journal) release(ctx context.Context, k *provenance.Sealer, why string) error {
	rec, claim, err := current(ctx, k, j.ID)
	if err != nil {
		return err
	}
	h, err := rec.Find(string(j.ID))
	if err != nil {
		return err
	}
	i := slices.IndexFunc(h.Taken, func(t handoff.Taken) bool { return t.Serial == j.Serial && !t.Released })
	if i < 0 {
		return nil
	}
	t := h.Taken[i]
	if t.KeyID != k.Hand.Signer.Public().ID() {
		return fmt.Errorf("%w: %s took it up, and lets it go", provenance.ErrOtherKey, rec.Who(t.KeyID))
	}
	_, err = k.ComposeWith(ctx, handoff.Topic, func(ledger.Name, []envelope.Head) ([]provenance.Item, error) {
		return []provenance.Item{{Type: handoff.Released, Body: handoff.Release{Resumed: t.ID, Reason: why}, Subject: "handoff.released " + Short(j.ID)}}, nil
	}, func([]ledger.Appended) []git.RefUpdate {
		if claim != t.Commit {
			return nil
		}
		return []git.RefUpdate{{Name: Claim(j.ID), Old: claim}}
	})
	return err
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
