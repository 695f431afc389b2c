package handoff

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// unlockIndex takes away the lock of the index, where it is ours.
func (j *journal) unlockIndex(r *git.Repo) error {
	lock := r.IndexFile() + ".lock"
	held, err := sumFile(lock)
	if err == nil && held != "" && (held == j.IndexAfter || held == j.IndexBefore) {
		err = os.Remove(lock)
	}
	return err
}

// Continue finishes what was begun in the work tree of the sealer's repository. Errors are those of Apply, and ErrNoPending.
func Continue(ctx context.Context, k *provenance.Sealer, o Applying) (*Done, error) {
	return resume(ctx, k, func(j *journal, l *hold, root *os.Root) (*Done, error) {
		if o.at == nil {
			o.at = func(string) {}
		}
		if err := may(k); err != nil {
			return nil, err
		}
		done, err := j.carryOut(ctx, k, l, root, &o)
		var by *AlreadyResumedError
		if errors.As(err, &by) && !j.lost {
			written, werr := j.written(k.Session.Repo(), root)
			if written || werr != nil { // it was let go since: what stood there is put back first
				return nil, &begunError{errors.Join(err, werr, j.unlockIndex(k.Session.Repo()))}
			}
			err = errors.Join(err, j.unlockIndex(k.Session.Repo()), j.end())
		}
		return done, err
	})
}

// written reports whether anything of the work tree or its index has changed.
func (j *journal) written(r *git.Repo, root *os.Root) (bool, error) {
	modes := r.Config().Bool("core.fileMode", true)
	for i := range j.Steps {
		x := &j.Steps[i]
		now, _, err := readState(root, string(x.Path), modes)
		if err != nil {
			return false, err
		}
		if now != x.Before && (!now.Mode.IsTree() || x.Before.Mode != 0) {
			return true, nil
		}
	}
	at, err := sumFile(r.IndexFile())
	return at != j.IndexBefore, err
}

// Abort takes back what was begun, and lets the handoff go again. A file that somebody changed since stops it, and is not touched.
func Abort(ctx context.Context, k *provenance.Sealer) (*Done, error) {
	return resume(ctx, k, func(j *journal, _ *hold, root *os.Root) (*Done, error) { return j.takeBack(ctx, k, root) })
}

func resume(ctx context.Context, k *provenance.Sealer, do func(*journal, *hold, *os.Root) (*Done, error)) (*Done, error) {
	r := k.Session.Repo()
	l, err := take(ctx, k)
	if err != nil {
		return nil, err
	}
	defer l.free()
	j, err := readJournal(placeOf(r))
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(r.WorkTree())
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return do(j, l, root)
}

func (j *journal) takeBack(ctx context.Context, k *provenance.Sealer, root *os.Root) (*Done, error) {
	r := k.Session.Repo()
	modes := r.Config().Bool("core.fileMode", true)
	var changed []string
	for i := range j.Steps { // all of them are looked at before one is touched
		now, _, err := readState(root, string(j.Steps[i].Path), modes)
		if err != nil {
			return nil, err
		}
		if x := &j.Steps[i]; now != x.Before && now != x.After && !now.Mode.IsTree() {
			changed = append(changed, string(x.Path))
		}
	}
	if len(changed) > 0 {
		return nil, &BlockedError{ErrChanged, changed}
	}
	if err := j.whole(root, modes); err != nil {
		return nil, err
	}
	index := r.IndexFile()
	at, err := sumFile(index)
	if err != nil {
		return nil, err
	}
	swapped := j.IndexAfter != j.IndexBefore && at == j.IndexAfter
	if swapped && j.IndexBefore != "" {
		if err := j.lockIndex(index, filepath.Join(j.dir, fileBefore), j.IndexBefore); err != nil {
			return nil, err
		}
	}
	for i := range slices.Backward(j.Steps) {
		if err := j.unstep(root, i, modes); err != nil {
			return nil, &begunError{err}
		}
	}
	for _, dir := range slices.Backward(j.Dirs) {
		if info, err := lstat(root, dir); err == nil && info != nil && info.IsDir() {
			_ = root.Remove(dir) // one that has something in it stays
		}
	}
	switch {
	case swapped && j.IndexBefore == "":
		err = os.Remove(index)
	case swapped:
		err = os.Rename(index+".lock", index)
	default:
		err = j.unlockIndex(r)
	}
	if err == nil {
		err = j.release(ctx, k, "taken back")
	}
	if err == nil {
		err = j.clean(root)
	}
	if err != nil {
		return nil, err
	}
	return &Done{Paths: len(j.Steps), Index: swapped}, j.end()
}

// unstep brings one path back.
func (j *journal) unstep(root *os.Root, i int, modes bool) error {
	x := &j.Steps[i]
	name := string(x.Path)
	now, _, err := readState(root, name, modes)
	if err != nil {
		return err
	}
	if now.Mode.IsTree() && x.Before.Mode != 0 {
		if err := root.Remove(name); err == nil {
			now = state{}
		}
	}
	if now == x.Before || now.Mode.IsTree() && x.Before.Mode == 0 {
		return nil
	}
	if now != x.After { // since all were looked at
		return fmt.Errorf("%w: %q", ErrChanged, name)
	}
	if x.Before.Mode == 0 {
		return root.Remove(name)
	}
	data, err := j.keptBytes(i)
	if err != nil {
		return err
	}
	return j.put(root, name, x.Before.Mode, data)
}

// whole reports whether what was kept of all that is to be put back is as it was, before anything is.
func (j *journal) whole(root *os.Root, modes bool) error {
	var bad []string
	for i := range j.Steps {
		x := &j.Steps[i]
		if x.Before.Mode == 0 {
			continue
		}
		now, _, err := readState(root, string(x.Path), modes)
		if err != nil {
			return err
		}
		if now == x.Before {
			continue
		}
		if _, err := j.keptBytes(i); err != nil {
			bad = append(bad, string(x.Path))
		}
	}
	if len(bad) > 0 {
		return &BlockedError{ErrKept, bad}
	}
	return nil
}

// keptBytes are those that stood at the path of a step.
func (j *journal) keptBytes(i int) ([]byte, error) {
	data, err := readFile(j.kept(i))
	if err == nil && fmt.Sprintf("%x", sha256.Sum256(data)) != j.Steps[i].Before.Sum {
		err = fmt.Errorf("%w: %q", ErrKept, j.Steps[i].Path)
	}
	return data, err
}
