// Package hooks is what happens at the moments Git calls us: it parses what Git
// says, asks whether it may be, refuses, records, and seals the commits that came to
// be. Every program that stands at such a moment calls [Run].
package hooks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/identity"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// ProbeVariable names the file to which a probed hook adds its moment, and does nothing else. The file is there, is
// called answer, and its folder begins with covenant-probe-. At a gate nobody passes by a probe: the
// environment of a server's hooks may be that of who pushes.
const ProbeVariable = "COVENANT_PROBE"

// Input is one moment.
type Input struct {
	Moment    string
	Args      []string
	Stdin     io.Reader
	Dir       string   // "" is the process's
	Env       []string // of the process
	ConfigDir string   // the user's configuration directory of this program
	Tool      string   // the agent tool that calls us; "": the environment tells
	Attended  bool     // a terminal is there
	Ask       identity.Passphrase
	// Gate returns who decides; nil: the built-in checker, in this process.
	Gate func(*git.Repo, *provenance.Root, *capability.Authority) verdict.Asker
	// Ahead is called when it is certain that the gate will be asked, and may make it ready. nil: nothing.
	Ahead func(*git.Repo)
	// Confirm asks a person yes or no, no being the answer of silence; an error says that nobody can
	// be asked. nil: nobody can.
	Confirm func(question string) (bool, error)
	// Out is where a moment talks to the person who waits for it, such as who pushes. nil: nobody.
	Out io.Writer
	GPG func(identity.PublicKey) (identity.Signer, error) // nil: OpenPGP is not linked
	Now func() time.Time

	pairs   []prov.Rewrite            // of a post-rewrite, once read
	besides []prov.Rewrite            // sealed commits that old ones of them were made of: the new ones did not come into their places
	moves   []move                    // of a reference transaction, once read
	refs    func() ([]git.Ref, error) // ledgers and notes that are being read already
	last    git.Commit                // that was read last
	memo    func() *provenance.Cache  // see cache
}

func (in *Input) lookup(key string) (string, bool) { return variable(in.Env, key) }

func variable(environ []string, key string) (string, bool) {
	for i := len(environ) - 1; i >= 0; i-- {
		if k, v, ok := strings.Cut(environ[i], "="); ok && k == key {
			return v, true
		}
	}
	return "", false
}

// A SealError says that commits stand and were not sealed.
type SealError struct {
	Commits []oid.ID
	Err     error
	Rebase  bool // they came to be in one that may have gone on since
}

func (e *SealError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *SealError) Unwrap() error { return e.Err }

// ErrMoment says that Git has no such moment, or that this program has nothing to do at it.
var ErrMoment = errors.New("unknown moment")

// maxRewritten bounds the lines of a post-rewrite; a rebase of more commits is sealed afterwards.
const maxRewritten = 100_000

// A RefusedError says that Git shall not go on.
type RefusedError struct {
	Err  error
	Hint []string // what to do about it, without a command's name where there is none

	refusals []refusal // of a push
}

func (e *RefusedError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *RefusedError) Unwrap() error { return e.Err }

// moment is one of Git's hooks as [Run] sees it.
type moment struct {
	gate  bool // Git does not go on when it is refused; elsewhere what happened stands
	input bool // Git says something on standard input
	quiet bool // what follows says what could not be answered
	// closed says that Git does not go on without an answer either, whatever the
	// mode: whoever sent something is not the one who answers for this repository.
	closed bool
	strict bool // it is installed in strict mode only: without an answer Git does not go on
	reads  bool // objects are read in any case
	// do is called where the repository is governed.
	do func(ctx context.Context, in *Input, s *git.Session, pin envelope.Digest) ([]provenance.Made, error)
}

var moments = map[string]moment{
	"pre-commit":            {gate: true, quiet: true, do: before},
	"pre-merge-commit":      {gate: true, quiet: true, do: before},
	"pre-applypatch":        {gate: true, quiet: true, do: before},
	"commit-msg":            {quiet: true, do: message},
	"reference-transaction": {gate: true, input: true, strict: true, reads: true, do: transaction},
	"pre-push":              {gate: true, input: true, reads: true, do: push},
	"post-commit":           {reads: true, do: after},
	"post-merge":            {reads: true, do: merged},
	"post-applypatch":       {reads: true, do: after},
	"post-rewrite":          {input: true, reads: true, do: merged},
	"pre-receive":           {gate: true, input: true, closed: true, reads: true, do: receive},
	"post-receive":          {input: true, reads: true, do: received},
}

// Reads reports whether Git says something to a moment on its standard input.
func Reads(moment string) bool { return moments[moment].input }

// Quiet reports whether a moment that could not be answered says nothing of it, because
// the one that follows does.
func Quiet(moment string) bool { return moments[moment].quiet }

// Run does what is to do at a moment and returns the seals it made. In a
// repository without a trust root it does nothing.
//
// The error is a *RefusedError where Git must not go on; a *SealError where commits
// stand and were not sealed, which is remembered for doctor; anything else says that
// there was no answer, which stops Git in strict mode only.
func Run(ctx context.Context, in Input) ([]provenance.Made, error) {
	m, ok := moments[in.Moment]
	if !ok {
		return nil, fmt.Errorf("%w: %q", ErrMoment, in.Moment)
	}
	if file, ok := in.lookup(ProbeVariable); ok && file != "" {
		err := answerProbe(file, in.Moment)
		if m.gate {
			return nil, &RefusedError{Err: cmp.Or(err, errProbed), Hint: []string{"take " + ProbeVariable + " out of the environment"}}
		}
		if !errors.Is(err, errNoProbe) {
			return nil, err
		}
	}
	if in.Moment == "reference-transaction" && in.idle() {
		return nil, nil
	}
	made, err := in.run(ctx, m)
	var refused *RefusedError
	if err != nil && m.closed && !errors.As(err, &refused) {
		return made, &RefusedError{Err: fmt.Errorf("nothing was taken, since there is no answer: %w", err), Hint: []string{"ask who keeps this repository"}}
	}
	return made, err
}

func (in *Input) run(ctx context.Context, m moment) ([]provenance.Made, error) {
	var memory git.Memory
	if !m.closed && in.Moment != "post-receive" { // whoever sends something brings the environment
		memory = provenance.MemoryFor(in.ConfigDir, in.lookup)
	}
	repo, err := git.Open(ctx, git.Options{Dir: in.Dir, Env: in.Env, Reads: m.reads, Stored: stored, Memory: memory})
	if err != nil {
		return nil, m.unanswered(err, m.strict)
	}
	strict := m.strict || m.gate && Strict(repo)
	s := repo.Session(ctx)
	defer func() { _ = s.Close() }()
	pin, err := provenance.Pin(s, "")
	if err != nil {
		if errors.Is(err, provenance.ErrNotGoverned) && !m.closed {
			return nil, nil
		}
		return nil, m.unanswered(err, strict)
	}
	made, err := m.do(ctx, in, s, pin)
	in.tellRefused(ctx, s, pin, err)
	return made, m.unanswered(err, strict)
}

// stored are the settings that no command line and no environment changes for a hook: they say what is held to what.
var stored = []string{provenance.PinKey, provenance.RejectedKey, StrictKey, TranscriptsKey, "covenant.plugin."}

// unanswered makes a refusal of an error where strict says so.
func (m *moment) unanswered(err error, strict bool) error {
	var refused *RefusedError
	if err == nil || !strict || errors.As(err, &refused) {
		return err
	}
	return &RefusedError{Err: err, Hint: []string{Mend(err)}}
}

// StrictKey is the configuration variable that strict mode sets.
const StrictKey = "covenant.strict"

// Strict reports whether a moment without an answer stops Git here.
func Strict(r *git.Repo) bool {
	v, _ := r.Config().Get(StrictKey)
	return v == "true"
}

// Mend says what a person does about the reason a seal failed.
func Mend(err error) string {
	var nobody *provenance.NobodyError
	switch {
	case errors.As(err, &nobody) && nobody.Near != "":
		return "did you mean: " + nobody.Near
	case errors.Is(err, provenance.ErrNoIdentity):
		return "choose one: covenant identity use NAME"
	case errors.Is(err, provenance.ErrAgentAsHuman):
		return "give the agent an identity: COVENANT_IDENTITY=NAME, or in its worktree: covenant identity use NAME --worktree"
	case errors.Is(err, provenance.ErrNobody):
		return "an operator introduces it: covenant identity add NAME --key PATH.pub, or makes it a key: covenant identity new NAME; a person is added with: covenant trust add NAME --key PATH.pub"
	case errors.Is(err, ErrUntold):
		return "see whether the agent's hooks are reached: covenant hooks status"
	case errors.Is(err, provenance.ErrUnanswered):
		return "see who gives no answer: covenant plugin doctor"
	case errors.Is(err, provenance.ErrDenied):
		return "see who may do what: covenant capability list"
	case errors.Is(err, identity.ErrPassphrase):
		return "put the key into ssh-agent: ssh-add"
	case errors.Is(err, identity.ErrNoKey):
		return "the private key is not there; say where it is: covenant identity use NAME --key PATH; or choose another identity: covenant identity use NAME"
	case errors.Is(err, provenance.ErrRootMismatch):
		return "somebody replaced the trust root: covenant doctor"
	}
	return "see what is wrong: covenant doctor"
}
