package hooks

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/notes"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// A move is one ref as Git tells hooks of it: "<old> SP <new> SP <ref>".
type move struct {
	old, new oid.ID
	ref      string
	symbolic bool // it is pointed at another ref, and its old and new are not told
}

// maxMoves bounds what is read of a hook's input.
const maxMoves = 100_000

// readMoves reads lines of "<old> SP <new> SP <ref>".
func readMoves(r io.Reader) ([]move, error) {
	if r == nil {
		return nil, nil
	}
	var out []move
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 0, 4096), 1<<20)
	for sc.Scan() {
		f := strings.SplitN(sc.Text(), " ", 3)
		if len(f) != 3 || len(out) == maxMoves {
			return nil, fmt.Errorf("%w: line %d of the hook's input", ErrMoment, len(out)+1)
		}
		m := move{ref: f[2]}
		if strings.HasPrefix(f[0], "ref:") || strings.HasPrefix(f[1], "ref:") {
			m.symbolic = true
			out = append(out, m)
			continue
		}
		var err error
		if m.old, err = oid.Parse(f[0]); err != nil {
			return nil, fmt.Errorf("%w: line %d of the hook's input: %w", ErrMoment, len(out)+1, err)
		}
		if m.new, err = oid.Parse(f[1]); err != nil {
			return nil, fmt.Errorf("%w: line %d of the hook's input: %w", ErrMoment, len(out)+1, err)
		}
		out = append(out, m)
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("the hook's input: %w", err)
	}
	return out, nil
}

// idle reports, before a repository is opened, whether a reference transaction has
// nothing to look at: it is not prepared, or moves no branch, tag or record of ours.
func (in *Input) idle() bool {
	if len(in.Args) == 0 || in.Args[0] != "prepared" {
		return true
	}
	var err error
	if in.moves, err = readMoves(in.Stdin); err != nil {
		return false // told when it is looked at
	}
	for _, m := range in.moves {
		if strings.HasPrefix(m.ref, "refs/heads/") || strings.HasPrefix(m.ref, "refs/tags/") || (m.new.IsZero() && ours(m.ref)) {
			return false
		}
	}
	return true
}

// ours reports whether a ref holds what nobody takes away: ledgers, trust root, notes.
func ours(ref string) bool {
	return strings.HasPrefix(ref, ledger.Prefix) || ref == provenance.RootRef || ref == notes.Ref
}

// transaction refuses, in strict mode, moves of protected refs that the one who acts may
// not make. A commit that is sealed already is judged by its seal; one that is just
// being made has none yet, and the one who makes it must be allowed to.
func transaction(ctx context.Context, in *Input, s *git.Session, pin envelope.Digest) ([]provenance.Made, error) {
	var a *acting
	var root *provenance.Root
	for _, m := range in.moves {
		if m.new.IsZero() && packed(s.Repo(), m) {
			continue
		}
		if m.new.IsZero() && ours(m.ref) { // gone, or the name of something else
			return nil, &RefusedError{Err: fmt.Errorf("%s is a record, and strict mode lets nobody take it away", m.ref), Hint: []string{"take governance out of this clone: covenant disable"}}
		}
		if !strings.HasPrefix(m.ref, "refs/heads/") && !strings.HasPrefix(m.ref, "refs/tags/") {
			continue
		}
		if root == nil {
			var err error
			if root, err = provenance.OpenRoot(s, pin); err != nil {
				return nil, err
			}
		}
		if !root.Policy.Protects(m.ref) || (m.old == m.new && !m.new.IsZero()) { // a deletion may tell no old value
			continue
		}
		if m.symbolic {
			return nil, &RefusedError{Err: fmt.Errorf("%s is protected, and is made no name of another ref", m.ref), Hint: []string{"merge what it shall have"}}
		}
		if a == nil {
			var err error
			if a, err = in.whoUnder(ctx, s, root); err != nil {
				return nil, &RefusedError{Err: fmt.Errorf("%s is protected: %w", m.ref, err), Hint: []string{Mend(err)}}
			}
			// Who says to be somebody proves it: the key must be there.
			hand, err := provenance.ChooseHand(s.Repo(), a.authority, a.choice)
			if err != nil {
				return nil, &RefusedError{Err: fmt.Errorf("%s is protected: %w", m.ref, err), Hint: []string{Mend(err)}}
			}
			a.keys = []string{hand.Signer.Public().ID()}
		}
		if err := in.mayMove(ctx, s, a, pin, m); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// packed reports whether what Git tells of as a deletion only takes a file away after "git pack-refs" wrote the ref elsewhere: who deletes a ref holds the lock of that.
func packed(r *git.Repo, m move) bool {
	if m.old.IsZero() {
		return false
	}
	file, err := filepath.EvalSymlinks(filepath.Join(r.CommonDir(), "packed-refs")) // what Git locks, where it is a link
	if err != nil {
		return false
	}
	if _, err := os.Lstat(file + ".lock"); !errors.Is(err, os.ErrNotExist) {
		return false
	}
	f, err := os.Open(file) //nolint:gosec // Git's own
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // read only
	want := m.old.String() + " " + m.ref
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		if sc.Text() == want {
			return true
		}
	}
	return false
}

// mayMove judges one move of a protected ref.
func (in *Input) mayMove(ctx context.Context, s *git.Session, a *acting, pin envelope.Digest, m move) error {
	old := m.old
	if old.IsZero() { // it is made, or Git was not told where it must be
		if c, err := s.Commit(m.ref); err == nil {
			old = c.ID
		} else if !errors.Is(err, git.ErrMissing) {
			return err
		}
	}
	forward := false
	if !old.IsZero() && !m.new.IsZero() {
		var err error
		if forward, err = provenance.Forward(ctx, s, old, m.new); err != nil {
			return err
		}
	}
	to := provenance.Admission{Admission: prov.Admission{Ref: m.ref, Old: old, New: m.new}}
	if action := to.Action(forward); action != capability.Push { // forward it goes if its commits do
		q := capability.Query{Action: action, At: in.Now(), Ref: m.ref}
		if d := a.may(q, a.asker); !d.Allowed {
			return in.protected(ctx, s, a, &q, git.Commit{}, d)
		}
		if action == capability.Tag || m.new.IsZero() {
			return nil
		}
	}
	sp := provenance.Span{Tips: []oid.ID{m.new}, Ranged: true, Ref: m.ref}
	if !old.IsZero() {
		sp.Except = []oid.ID{old}
	}
	rep, err := provenance.Verify(ctx, s, sp, provenance.Options{Pin: pin, Now: in.Now(), Asker: in.askers(s.Repo())})
	if errors.Is(err, provenance.ErrEmptyRange) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := rep.Condemned(); err != nil {
		return &RefusedError{Err: fmt.Errorf("%s is protected: %w", m.ref, err), Hint: []string{"fetch it from who has it: covenant sync"}}
	}
	i := 0
	for r, err := range rep.Results {
		if err != nil {
			return err
		}
		c := rep.Commits[i]
		i++
		if r.Verdict.OK() {
			continue
		}
		if r.Verdict == verdict.Unsealed {
			if done, err := in.mayMake(ctx, s, a, m.ref, c); err != nil || done {
				if err != nil {
					return err
				}
				continue
			}
		}
		f := r.Findings[0]
		return &RefusedError{Err: fmt.Errorf("%s is protected, and commit %s is %s: %s", m.ref, c.ID.Short(), r.Verdict, f.Message), Hint: []string{"see all of it: covenant show " + c.ID.Short()}}
	}
	return nil
}

// mayMake asks whether the one who acts may make a commit that nobody has sealed yet.
func (in *Input) mayMake(ctx context.Context, s *git.Session, a *acting, ref string, c git.Commit) (bool, error) {
	touched, err := provenance.TouchedBy(s, c.Tree, c.Parents)
	if err != nil {
		return false, err
	}
	intent, err := Intent(in.Env, in.ConfigDir, s.Repo())
	if err != nil {
		return false, err
	}
	q := capability.Query{Action: capability.Commit, At: in.Now(), Ref: ref, Intent: intent, Changes: touched}
	d := a.may(q, a.asker)
	if d.Allowed {
		return true, nil
	}
	return false, in.protected(ctx, s, a, &q, c, d)
}

// protected records that a move of a protected ref was refused, and returns that.
func (in *Input) protected(ctx context.Context, s *git.Session, a *acting, q *capability.Query, c git.Commit, d capability.Decision) error {
	d.Reason = q.Ref + " is protected: " + d.Reason
	err := refused(a, in.deny(ctx, s, a, q, c, d), q)
	if ref, id := renamed(s); ref != "" {
		err.Hint = append(err.Hint, "the branch that was to get this name is gone, and is made again with: git update-ref "+ref+" "+id.String())
	}
	return err
}

// renamed tells which branch HEAD is on and is not there, and where it was: Git takes the old name of a branch away before it asks for the
// new one, and does not put it back. Its last trace is in the log of HEAD.
func renamed(s *git.Session) (ref string, was oid.ID) {
	ref, err := s.HeadRef()
	if err != nil || ref == "" {
		return "", was
	}
	if refs, err := s.Tips(ref); err != nil || len(refs) > 0 {
		return "", was
	}
	b, err := os.ReadFile(filepath.Join(s.Repo().GitDir(), "logs", "HEAD"))
	if err != nil {
		return "", was
	}
	lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	f := strings.Fields(lines[len(lines)-1])
	if len(f) < 2 || strings.Trim(f[1], "0") != "" {
		return "", was
	}
	if was, err = oid.Parse(f[0]); err != nil || was.IsZero() {
		return "", was
	}
	return ref, was
}

// askers makes Verify ask who this moment asks.
func (in *Input) askers(r *git.Repo) func(*provenance.Root, *capability.Authority) verdict.Asker {
	return func(root *provenance.Root, a *capability.Authority) verdict.Asker { return in.asker(r, root, a) }
}
