package git

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/git/oid"
)

// RefUpdate moves one ref. A zero Old says that the ref must not exist, a zero New deletes it. Where both
// are the same the ref stays as it is, and must be so for the others to move.
type RefUpdate struct {
	Name     string
	New, Old oid.ID
}

// ConflictError says that nothing was moved because a ref is no longer at its old value, or is
// locked by another process. Read the refs again, decide anew and retry; [Retry] does.
type ConflictError struct {
	Refs  []string // the refs that moved, or that are locked
	Locks []string // lock files that stood in the way, if that was the reason
}

func (e *ConflictError) Error() string {
	if len(e.Locks) > 0 {
		return fmt.Sprintf("refs are locked by another process: %s (if no git process is running, a crash left the lock file behind: remove it)",
			strings.Join(e.Locks, ", "))
	}
	return "refs were moved by somebody else: " + strings.Join(e.Refs, ", ")
}

// Update writes what is queued, as [Session.Flush] does, and then moves all refs in one transaction
// of Git, or none; msg is for the reflogs of refs that have one. Each Old is checked under the
// ref's lock. If the machine stops while the transaction is carried out, each ref is at its old or its new value, and refs given first moved first.
// A symbolic ref is followed, as Git does. It costs one child.
//
// The error is *[ConflictError] when another value or another process was in the way. Anything
// else, a hook's refusal or a name that clashes with a directory among them, is a *[CommandError].
func (s *Session) Update(msg string, updates ...RefUpdate) error {
	if len(updates) == 0 {
		return nil
	}
	if err := s.checkUpdates(updates); err != nil {
		return fmt.Errorf("update refs: %w", err)
	}
	// A lock can vanish between Git's failure and our look at it. So a failure that shows no cause
	// is tried again before it is believed.
	for try := 1; ; try++ {
		p, err := s.updater(msg)
		if err != nil {
			return fmt.Errorf("update refs: %w", err)
		}
		if err := s.Flush(); err != nil { // while the child gets ready; it looks for objects when it is told of them
			p.close()
			return err
		}
		committing, err := transact(s.repo, p, updates)
		if err == nil {
			s.end(p)
			return nil
		}
		var conflict *ConflictError
		if errors.As(err, &conflict) || s.ctx.Err() != nil {
			return fmt.Errorf("update refs: %w", err)
		}
		done, cause := s.diagnose(updates, committing)
		if done {
			return nil
		}
		if cause != nil {
			return fmt.Errorf("update refs: %w", cause)
		}
		if try == 2 {
			return fmt.Errorf("update refs: %w", err)
		}
	}
}

func (s *Session) checkUpdates(updates []RefUpdate) error {
	seen := map[string]bool{}
	for _, u := range updates {
		if err := checkRefName(u.Name); err != nil {
			return err
		}
		if seen[u.Name] {
			return fmt.Errorf("%s is given twice", u.Name)
		}
		seen[u.Name] = true
		for _, id := range []oid.ID{u.Old, u.New} {
			if !id.IsZero() && id.Format() != s.repo.format {
				return fmt.Errorf("%s: %s is no object name of this repository", u.Name, id)
			}
		}
		if u.Old.IsZero() && u.New.IsZero() {
			return fmt.Errorf("%s: neither an old nor a new value", u.Name)
		}
	}
	return nil
}

const updatePurpose = "update-ref "

// UpdateAhead starts the child that [Session.Update] with the same message will need, so that it is ready. What can't be
// started is started, and told of, when it is needed. A child that is not needed ends with the session.
func (s *Session) UpdateAhead(msg string) {
	if p, err := s.updater(msg); err == nil {
		s.give(updatePurpose+msg, p)
	}
}

// updater starts a child for one transaction, or takes the one that waits for it. Each has its own, since one that lives
// on trusts what it read before (see current.go); one that waits has read no ref.
func (s *Session) updater(msg string) (*process, error) {
	args := []string{"update-ref", "--no-deref"} // a ref of ours that somebody made another name of a branch moves no branch
	if msg = strings.ReplaceAll(msg, "\x00", ""); strings.TrimSpace(msg) != "" {
		args = append(args, "-m", msg)
	}
	return s.take(updatePurpose+msg, s.repo.env, append(args, "--stdin")...)
}

// transact runs one transaction of "git update-ref --stdin". committing says that the failure came
// after Git was told to commit.
func transact(r *Repo, p *process, updates []RefUpdate) (committing bool, err error) {
	p.w.WriteString("start\n")
	for _, u := range updates {
		switch {
		case u.Old.IsZero():
			fmt.Fprintf(p.w, "create %s %s\n", u.Name, u.New)
		case u.New.IsZero():
			fmt.Fprintf(p.w, "delete %s %s\n", u.Name, u.Old)
		default: // also where nothing moves: hooks take Git's "verify" for a deletion
			fmt.Fprintf(p.w, "update %s %s %s\n", u.Name, u.New, u.Old)
		}
	}
	p.w.WriteString("prepare\n")
	if err = p.w.Flush(); err == nil {
		err = readAcks(p.out, "start: ok\n", "prepare: ok\n")
	}
	if err == nil {
		if moved, merr := r.moved(updates); merr != nil || len(moved) > 0 {
			p.close() // gives the locks back
			if merr == nil {
				merr = &ConflictError{Refs: moved}
			}
			return false, merr
		}
		committing = true
		p.w.WriteString("commit\n")
		if err = p.w.Flush(); err == nil {
			err = readAcks(p.out, "commit: ok\n")
		}
	}
	if err != nil {
		return committing, p.failure(err)
	}
	return false, nil
}

func readAcks(r *bufio.Reader, want ...string) error {
	for _, w := range want {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if string(line) != w {
			return fmt.Errorf("unexpected answer %q", clip(string(line)))
		}
	}
	return nil
}

// diagnose finds the cause of a failed transaction in the state of the refs, since Git's exit
// status does not tell. done says that the refs moved after all.
func (s *Session) diagnose(updates []RefUpdate, committing bool) (done bool, cause error) {
	names := make([]string, len(updates))
	for i, u := range updates {
		names[i] = u.Name
	}
	refs, err := s.refs("%(objectname) ref %(refname)", names)
	if err != nil {
		return false, err
	}
	at := map[string]oid.ID{}
	for _, r := range refs {
		at[r.Name] = r.ID
	}
	var conflict ConflictError
	moved, all := 0, 0
	for _, u := range updates {
		now := at[u.Name]
		if u.New != u.Old {
			all++
			if same(now, u.New) {
				moved++
			}
		}
		if !same(now, u.Old) {
			conflict.Refs = append(conflict.Refs, u.Name)
		}
	}
	if committing && moved == all {
		return true, nil
	}
	if committing && moved > 0 {
		return false, fmt.Errorf("a transaction was interrupted; now at the new value: %s", strings.Join(conflict.Refs, ", "))
	}
	if len(conflict.Refs) > 0 {
		return false, &conflict
	}
	conflict.Refs, conflict.Locks = s.repo.locked(names)
	if len(conflict.Locks) > 0 {
		return false, &conflict
	}
	return false, nil
}

// locked returns which of the refs are locked, and the lock files: the refs' own, else those that
// concern all of them, of HEAD, which a branch's reflog is written under, and of packed-refs.
func (r *Repo) locked(names []string) (refs, locks []string) {
	for _, name := range names {
		lock := r.refPath(name) + ".lock"
		if _, err := os.Lstat(lock); err == nil {
			refs, locks = append(refs, name), append(locks, lock)
		}
	}
	if len(locks) > 0 {
		return refs, locks
	}
	for _, lock := range []string{filepath.Join(r.gitDir, "HEAD.lock"), filepath.Join(r.commonDir, "packed-refs.lock")} {
		if _, err := os.Lstat(lock); err == nil {
			refs, locks = names, append(locks, lock)
		}
	}
	return refs, locks
}

func same(a, b oid.ID) bool { return a == b || a.IsZero() && b.IsZero() }

// refPath is where the files backend keeps a ref. Some hierarchies belong to one worktree
// (git-worktree(1), "REFS").
func (r *Repo) refPath(name string) string {
	dir := r.commonDir
	for _, own := range []string{"refs/bisect/", "refs/worktree/", "refs/rewritten/"} {
		if strings.HasPrefix(name, own) {
			dir = r.gitDir
		}
	}
	return filepath.Join(dir, filepath.FromSlash(name))
}

// Patience is how many tries, some seconds with what Git itself waits, a lock may stand in the way. From then on who can do
// without the ref does, and a lock that is older than any living process holds one is taken for a dead one's.
const Patience = 9

// lifetime is how long a living process may hold a lock: a hook of its transaction may take its time.
const lifetime = 10 * time.Second

// abandoned reports whether a lock in the way was left by a process that died.
func (e *ConflictError) abandoned() bool {
	for _, lock := range e.Locks {
		if st, err := os.Lstat(lock); err == nil && time.Since(st.ModTime()) > lifetime {
			return true
		}
	}
	return false
}

// Retry calls fn until it returns something that is no *[ConflictError], waiting a random time
// that grows between calls. It gives up after 64 calls, when ctx ends, or after [Patience] when a
// lock in the way is older than any living process holds one, with an error that wraps the last
// conflict. fn reads the refs afresh each time.
func Retry(ctx context.Context, fn func() error) error {
	const tries = 64
	wait := time.Millisecond
	for try := 1; ; try++ {
		err := fn()
		var conflict *ConflictError
		if !errors.As(err, &conflict) {
			return err
		}
		if try == tries || try > Patience && conflict.abandoned() {
			return fmt.Errorf("gave up after %d tries: %w", try, err)
		}
		t := time.NewTimer(rand.N(wait) + wait/4)
		select {
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("gave up after %d tries: %w: %w", try, context.Cause(ctx), err)
		case <-t.C:
		}
		wait = min(2*wait, 128*time.Millisecond)
	}
}
