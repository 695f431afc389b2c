// Package hooks is what happens at the moments Git calls us: it parses what Git
// says, finds the commits that came to be, and seals them. Every program that
// stands at such a moment calls [Run].
package hooks

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope/identity"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// Moments are the Git hooks at which commits come to be.
var Moments = []string{"post-commit", "post-merge", "post-applypatch", "post-rewrite"}

// ProbeVariable names the file to which a probed hook adds its moment, and does nothing else.
const ProbeVariable = "COVENANT_PROBE"

// Input is one moment.
type Input struct {
	Moment    string
	Args      []string
	Stdin     io.Reader
	Dir       string   // "" is the process's
	Env       []string // of the process
	ConfigDir string   // the user's configuration directory of this program
	Attended  bool     // a terminal is there
	Ask       identity.Passphrase
	GPG       func(identity.PublicKey) (identity.Signer, error) // nil: OpenPGP is not linked
	Now       func() time.Time
}

func (in *Input) lookup(key string) (string, bool) {
	for i := len(in.Env) - 1; i >= 0; i-- {
		if k, v, ok := strings.Cut(in.Env[i], "="); ok && k == key {
			return v, true
		}
	}
	return "", false
}

// A SealError says that commits stand and were not sealed.
type SealError struct {
	Commits []oid.ID
	Err     error
}

func (e *SealError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *SealError) Unwrap() error { return e.Err }

// ErrMoment says that Git has no such moment, or that this program has nothing to do at it.
var ErrMoment = errors.New("unknown moment")

// maxRewritten bounds the lines of a post-rewrite; a rebase of more commits is sealed afterwards.
const maxRewritten = 100_000

// Run does what is to do at a moment and returns the seals it made. In a
// repository without a trust root it does nothing. When sealing fails the error
// is a *SealError, and the failure is remembered for doctor; no commit is lost.
func Run(ctx context.Context, in Input) ([]provenance.Made, error) {
	if file, ok := in.lookup(ProbeVariable); ok && file != "" {
		return nil, answerProbe(file, in.Moment)
	}
	repo, err := git.Open(ctx, git.Options{Dir: in.Dir, Env: in.Env})
	if err != nil {
		return nil, err
	}
	s := repo.Session(ctx)
	defer func() { _ = s.Close() }()
	pin, err := provenance.Pin(s, "")
	if err != nil {
		if errors.Is(err, provenance.ErrNotGoverned) {
			return nil, nil
		}
		return nil, err
	}
	ids, err := in.commits(ctx, s)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	root, err := provenance.OpenRoot(s, pin)
	if err != nil {
		return nil, in.failed(repo, ids, err)
	}
	made, err := in.seal(ctx, s, root, ids)
	if err != nil {
		return nil, in.failed(repo, ids, err)
	}
	return made, nil
}

func (in *Input) seal(ctx context.Context, s *git.Session, root *provenance.Root, ids []oid.ID) ([]provenance.Made, error) {
	explicit, _ := in.lookup("COVENANT_IDENTITY")
	sock, _ := in.lookup("SSH_AUTH_SOCK")
	choice := provenance.Choice{
		Explicit: explicit, Tool: Agent(in.lookup), ConfigDir: in.ConfigDir, AgentSock: sock, Ask: in.Ask, Attended: in.Attended, GPG: in.GPG,
	}
	authority, err := provenance.AuthorityFor(ctx, s, root, choice)
	if err != nil {
		return nil, err
	}
	hand, err := provenance.ChooseHand(s.Repo(), authority, choice)
	if err != nil {
		return nil, err
	}
	ref, err := s.HeadRef()
	if err != nil {
		return nil, err
	}
	k := &provenance.Sealer{Session: s, Root: root, Authority: authority, Hand: hand, Moment: in.Moment, Now: in.Now, Locked: true}
	unlock, err := s.Repo().Lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if in.Moment == "post-commit" {
		if ids, err = in.overtaken(s, k, ids[0]); err != nil {
			return nil, err
		}
	}
	commits := make([]git.Commit, 0, len(ids))
	for _, id := range ids {
		c, err := s.Commit(id.String())
		if err != nil {
			return nil, err
		}
		commits = append(commits, c)
	}
	return k.Seal(ctx, prov.Witness, ref, commits)
}

// How far a hook looks for the commit it was called for.
const (
	overtakenBy  = 1024
	overtakenFor = time.Minute
)

// overtaken finds the commit a post-commit hook was called for. Git does not say
// which: it is what HEAD was when the hook began, unless another process in the same worktree has committed
// since. Then that one's hook, or ours, sealed HEAD before, and the nearest fresh
// commit without a seal is ours. There are as many hooks as commits, and each
// seals one, under the lock.
func (in *Input) overtaken(s *git.Session, k *provenance.Sealer, head oid.ID) ([]oid.ID, error) {
	id := head
	for range overtakenBy {
		done, err := k.Sealed(id)
		if err != nil {
			return nil, err
		}
		c, err := s.Commit(id.String())
		if err != nil {
			return nil, err
		}
		if age := in.Now().Sub(c.Committer.When); id != head && (age > overtakenFor || age < -overtakenFor) {
			return nil, nil
		}
		if !done {
			return []oid.ID{id}, nil
		}
		if len(c.Parents) == 0 {
			return nil, nil
		}
		id = c.Parents[0]
	}
	return nil, nil
}

// commits finds what came to be at the moment.
func (in *Input) commits(ctx context.Context, s *git.Session) ([]oid.ID, error) {
	switch in.Moment {
	case "post-commit", "post-applypatch":
		return head(s)
	case "post-merge":
		if len(in.Args) > 0 && in.Args[0] == "1" {
			return nil, nil // --squash: there is no commit yet
		}
		if forwarded(ctx, s) {
			return nil, nil // others made these commits
		}
		return head(s)
	case "post-rewrite":
		return in.rewritten(s)
	}
	return nil, fmt.Errorf("%w: %q", ErrMoment, in.Moment)
}

func head(s *git.Session) ([]oid.ID, error) {
	c, err := s.Commit("HEAD")
	if err != nil {
		return nil, fmt.Errorf("HEAD: %w", err)
	}
	return []oid.ID{c.ID}, nil
}

// forwarded reports whether the merge only moved the branch. Git says so in the
// reflog, in words it does not translate; where there is no reflog, a commit
// with fewer than two parents was not made by a merge.
func forwarded(ctx context.Context, s *git.Session) bool {
	out, err := s.Repo().Run(ctx, nil, "log", "-g", "-1", "--format=%gs", "HEAD", "--")
	subject := strings.TrimSpace(string(out))
	if err == nil && subject != "" {
		return strings.HasSuffix(subject, "Fast-forward")
	}
	c, err := s.Commit("HEAD")
	return err != nil || len(c.Parents) < 2
}

func (in *Input) rewritten(s *git.Session) ([]oid.ID, error) {
	if in.Stdin == nil {
		return nil, nil
	}
	var out []oid.ID
	seen := map[oid.ID]bool{}
	sc := bufio.NewScanner(in.Stdin)
	sc.Buffer(make([]byte, 0, 4096), 1<<20)
	for n := 0; sc.Scan(); n++ {
		if n == maxRewritten {
			return nil, fmt.Errorf("%w: over %d rewritten commits; seal them with: covenant provenance seal", ErrMoment, maxRewritten)
		}
		_, rest, ok := strings.Cut(sc.Text(), " ")
		to, _, _ := strings.Cut(rest, " ")
		id, err := oid.Parse(to)
		if !ok || err != nil || id.Format() != s.Repo().Format() {
			return nil, fmt.Errorf("post-rewrite: line %d is no pair of commits", n+1)
		}
		if !seen[id] {
			seen[id] = true
			out = append(out, id)
		}
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("post-rewrite: %w", err)
	}
	return out, nil
}

// Failure is a commit that a hook could not seal.
type Failure struct {
	Commit oid.ID `json:"commit"`
	Moment string `json:"moment"`
	Reason string `json:"reason"`
	Time   string `json:"time"`
}

func failuresFile(r *git.Repo) string { return filepath.Join(r.StateDir(), "unsealed") }

// failed remembers for doctor what was not sealed. The memory is a help, not a record.
func (in *Input) failed(r *git.Repo, ids []oid.ID, reason error) error {
	if err := os.MkdirAll(r.StateDir(), 0o777); err == nil { //nolint:gosec // as Git makes its own; umask applies
		if f, err := os.OpenFile(failuresFile(r), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666); err == nil { //nolint:gosec // likewise
			enc := json.NewEncoder(f)
			for _, id := range ids {
				_ = enc.Encode(Failure{id, in.Moment, reason.Error(), in.Now().UTC().Format(time.RFC3339)})
			}
			_ = f.Close()
		}
	}
	return &SealError{Commits: ids, Err: reason}
}

// Failures returns what hooks could not seal, oldest first.
func Failures(r *git.Repo) []Failure {
	f, err := os.Open(failuresFile(r))
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	var out []Failure
	sc := bufio.NewScanner(io.LimitReader(f, 16<<20))
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		var x Failure
		if json.Unmarshal(sc.Bytes(), &x) == nil && !x.Commit.IsZero() {
			out = append(out, x)
		}
	}
	return out
}

// ForgetFailures empties the memory of failures.
func ForgetFailures(r *git.Repo) error {
	if err := os.Remove(failuresFile(r)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("forgetting failures: %w", err)
	}
	return nil
}

func answerProbe(file, moment string) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600) //nolint:gosec // status named it
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	_, err = fmt.Fprintln(f, moment)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	return nil
}

// Mend says what a person does about the reason a seal failed.
func Mend(err error) string {
	switch {
	case errors.Is(err, provenance.ErrNoIdentity):
		return "choose one: covenant identity use NAME"
	case errors.Is(err, provenance.ErrAgentAsHuman):
		return "give the agent an identity: COVENANT_IDENTITY=NAME, or in its worktree: covenant identity use NAME --worktree"
	case errors.Is(err, provenance.ErrNobody):
		return "an operator introduces it: covenant identity new NAME --kind agent"
	case errors.Is(err, provenance.ErrDenied):
		return "see who may do what: covenant identity list"
	case errors.Is(err, identity.ErrPassphrase):
		return "put the key into ssh-agent: ssh-add"
	case errors.Is(err, identity.ErrNoKey):
		return "the private key is not here; choose another identity: covenant identity use NAME"
	case errors.Is(err, provenance.ErrRootMismatch):
		return "somebody replaced the trust root: covenant doctor"
	}
	return "see what is wrong: covenant doctor"
}
