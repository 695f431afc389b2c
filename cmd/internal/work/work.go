// Package work opens the repository a command works in, and says in people's
// words why it could not.
package work

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/terminal"
	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/identity/openpgp"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/intents"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
	"github.com/open-covenant/covenant-git/hooks"
	"github.com/open-covenant/covenant-git/hooks/agent"
	"github.com/open-covenant/covenant-git/runtime/gate"
)

// Work is an opened repository and how the person chose to work in it.
type Work struct {
	Env      *cli.Env
	Session  *git.Session
	Explicit string // --identity

	ctx context.Context //nolint:containedctx // a Work lives for one command
}

// Open opens the repository the environment is in. The caller closes it.
func Open(ctx context.Context, env *cli.Env) (*Work, error) {
	return open(ctx, env, git.Options{Reads: true, Memory: memory(env)})
}

// OpenIdle is Open for a command that may find all it needs remembered: no child is started ahead.
func OpenIdle(ctx context.Context, env *cli.Env) (*Work, error) {
	return open(ctx, env, git.Options{Memory: memory(env)})
}

// OpenFresh is Open, and believes nothing that was remembered.
func OpenFresh(ctx context.Context, env *cli.Env) (*Work, error) {
	return open(ctx, env, git.Options{Reads: true})
}

func memory(env *cli.Env) git.Memory { return provenance.MemoryFor(ConfigDir(env), env.Lookup) }

func open(ctx context.Context, env *cli.Env, o git.Options) (*Work, error) {
	o.Dir, o.Env = env.Dir, env.Environ
	r, err := git.Open(ctx, o)
	if err != nil {
		return nil, Explain(err)
	}
	return &Work{Env: env, Session: r.Session(ctx), ctx: ctx}, nil
}

// OpenPinned opens the repository with the trust root that is pinned here, or with the one that root names. The caller
// closes it.
func OpenPinned(ctx context.Context, env *cli.Env, root string) (*Work, envelope.Digest, error) {
	w, err := Open(ctx, env)
	return pinned(w, root, err)
}

// OpenPinnedIdle is OpenPinned, as OpenIdle is Open.
func OpenPinnedIdle(ctx context.Context, env *cli.Env, root string) (*Work, envelope.Digest, error) {
	w, err := OpenIdle(ctx, env)
	return pinned(w, root, err)
}

func pinned(w *Work, root string, err error) (*Work, envelope.Digest, error) {
	if err != nil {
		return nil, "", err
	}
	pin, err := w.Pin(root)
	if err != nil {
		w.Close()
		return nil, "", err
	}
	return w, pin, nil
}

// Close ends the repository's child processes.
func (w *Work) Close() { _ = w.Session.Close() }

// Cache is what earlier verifications of this clone remembered; nil in CI, and where the person says so.
func (w *Work) Cache(off bool) *provenance.Cache {
	if off || provenance.Automated(w.Env.Lookup) {
		return nil
	}
	return provenance.OpenCache(w.Session.Repo(), ConfigDir(w.Env))
}

// Gate is what decides in this environment: the built-in checker and what the policy pins.
func (w *Work) Gate(p *trust.Policy) *gate.Gate {
	return gate.Here(w.Env.Exe, ConfigDir(w.Env), w.Session.Repo().Config().Get, w.Env.Lookup).For(p)
}

// Ask says whom verification asks again: where the policy pins no plugin the built-in
// checker, in this process, else all of them through the gate.
func (w *Work) Ask(root *provenance.Root, a *capability.Authority) verdict.Asker {
	if root.Policy == nil || len(root.Policy.Plugins) == 0 {
		return a
	}
	return &gate.Asker{Authority: a, Gate: w.Gate(root.Policy), Context: w.ctx}
}

// Verifying are the options that every verification starts from.
func (w *Work) Verifying(pin envelope.Digest) provenance.Options {
	return provenance.Options{Pin: pin, Now: w.Env.Now(), Asker: w.Ask}
}

// Makers verifies commits of a span for whoever asks whose lines they have, and returns what is said of each.
func (w *Work) Makers(span provenance.Span, o provenance.Options) (map[oid.ID]verdict.Result, error) {
	o.Cache, o.Origins = w.Cache(false), true
	rep, err := provenance.Verify(w.ctx, w.Session, span, o)
	if err != nil {
		return nil, Explain(err)
	}
	out := map[oid.ID]verdict.Result{}
	for r, err := range rep.Results {
		if err != nil {
			return nil, Explain(err)
		}
		out[r.Commit] = r
	}
	return out, nil
}

// Looking is Verifying for who only looks: also where the newest checkpoint is older than the policy wants.
func (w *Work) Looking(pin envelope.Digest) provenance.Options {
	o := w.Verifying(pin)
	o.AnyAge, o.Opened = true, w.Cache(false)
	return o
}

// TellStale warns of a checkpoint that is older than the policy wants, where that is all that is wrong with asking.
func (w *Work) TellStale(problems []verdict.Finding) {
	for _, p := range problems {
		if p.Code == provenance.CheckpointStale {
			w.Env.Talk().Warn("%s: %s", p.Code, p.Message)
			w.Env.Talk().Hint(p.Hint)
		}
	}
}

// Choice is how an identity is chosen in this environment.
func (w *Work) Choice() provenance.Choice {
	explicit := w.Explicit
	if explicit == "" {
		explicit = w.Env.Value("COVENANT_IDENTITY")
	}
	if strings.ContainsAny(explicit, `/\`) {
		explicit = w.Env.Path(explicit)
	}
	return provenance.Choice{
		Explicit: explicit, Tool: agent.Running(w.Env.Lookup), ConfigDir: ConfigDir(w.Env), AgentSock: w.Env.Value("SSH_AUTH_SOCK"),
		Ask: terminal.Passphrase, Attended: terminal.Attended(), GPG: GPG(w.Env),
	}
}

// GPG signs with the user's gpg.
func GPG(env *cli.Env) func(identity.PublicKey) (identity.Signer, error) {
	return openpgp.GPG{Env: env.Environ}.Signer
}

// ConfigDir is the user's configuration directory of this program.
func ConfigDir(env *cli.Env) string { return terminal.ConfigDir(env.Lookup) }

// Sealer returns what writes statements as the chosen identity.
func (w *Work) Sealer(f *provenance.Facts) (*provenance.Sealer, error) {
	hand, err := provenance.ChooseHand(w.Session.Repo(), f.Authority, w.Choice())
	if err != nil {
		return nil, Explain(err)
	}
	k := &provenance.Sealer{Session: w.Session, Root: f.Root, Authority: f.Authority, Hand: hand, Moment: "command", Now: w.Env.Now}
	k.Asker = w.Ask(f.Root, f.Authority)
	if k.Intent, err = hooks.Intent(w.Env.Environ, ConfigDir(w.Env), w.Session.Repo()); err != nil {
		return nil, cli.Usage("%v", err)
	}
	k.StateOf = func(ctx context.Context, id string) *prov.IntentState {
		return intents.StateFor(ctx, w.Session, f.Root, w.Cache(false), id)
	}
	return k, nil
}

// SetConfig writes a variable of the repository's own configuration.
func (w *Work) SetConfig(ctx context.Context, worktree bool, key, value string) error {
	where := "--local"
	if worktree {
		where = "--worktree"
	}
	_, err := w.Session.Repo().Run(ctx, nil, "config", where, key, value)
	if err == nil {
		return nil
	}
	lock := filepath.Join(w.Session.Repo().CommonDir(), "config.lock")
	if worktree {
		lock = filepath.Join(w.Session.Repo().GitDir(), "config.worktree.lock")
	}
	if _, lerr := os.Lstat(lock); lerr == nil {
		return cli.Hint(err, "another git writes it, or died while it did; when none runs any more: rm "+say.Shell(lock))
	}
	return err
}

// OwnWorktreeConfig has Git keep a configuration for each worktree. As
// git-worktree(1) asks, what only the main worktree may see moves to its own.
func (w *Work) OwnWorktreeConfig(ctx context.Context) error {
	r := w.Session.Repo()
	if r.Config().Bool("extensions.worktreeConfig", false) {
		return nil
	}
	common := filepath.Join(r.CommonDir(), "config")
	for _, key := range []string{"core.bare", "core.worktree"} {
		v, err := r.Run(ctx, nil, "config", "--file", common, "--get", key)
		value := strings.TrimSpace(string(v))
		if err != nil || value == "" || value == "false" {
			continue
		}
		if _, err := r.Run(ctx, nil, "config", "--file", filepath.Join(r.CommonDir(), "config.worktree"), key, value); err != nil {
			return err
		}
		if _, err := r.Run(ctx, nil, "config", "--file", common, "--unset", key); err != nil {
			return err
		}
	}
	return w.SetConfig(ctx, false, "extensions.worktreeConfig", "true")
}

// UnsetConfig takes a variable that is there out of the repository's own configuration.
func (w *Work) UnsetConfig(ctx context.Context, key string) error {
	_, err := w.Session.Repo().Run(ctx, nil, "config", "--local", "--unset-all", key)
	return err
}

// Explain adds to an error what a person types next, and the exit code the
// kind of error stands for.
func Explain(err error) error {
	var shallow *provenance.ShallowError
	var root *provenance.RootError
	var key *provenance.KeyError
	var many *provenance.AmbiguousError
	var unknown *provenance.RevisionError
	var nobody *provenance.NobodyError
	var ref *provenance.RefNameError
	switch {
	case err == nil:
		return nil
	case len(cli.Hints(err)) > 0:
		return err
	case errors.Is(err, git.ErrNotRepository):
		return cli.Hint(err, "change into one, or make one with: git init")
	case errors.Is(err, provenance.ErrNotGoverned):
		return cli.Hint(err, "govern it with: covenant init", "in a clone of a governed repository the same command joins it")
	case errors.Is(err, provenance.ErrRootMissing):
		return cli.Hint(err, "fetch it: git fetch --no-filter origin 'refs/covenant/*:refs/covenant/*' 'refs/notes/covenant:refs/notes/covenant'")
	case errors.Is(err, provenance.ErrNotPinned):
		return cli.Hint(err, "compare that digest with one from somebody you trust, then: covenant init --root DIGEST", "without hooks, to verify alone: git config covenant.root DIGEST")
	case errors.Is(err, provenance.ErrRootMismatch):
		return cli.No(cli.Hint(err, "fetch the right one: git fetch origin '+refs/covenant/trust/root:refs/covenant/trust/root'",
			"if its operators replaced it, compare the digest with one they tell you, then: covenant trust pin DIGEST"))
	case errors.Is(err, provenance.ErrRootHistory):
		return cli.Hint(err, "in a partial clone: git fetch --no-filter --refetch origin 'refs/covenant/*:refs/covenant/*'",
			"in a shallow one: git fetch --unshallow origin 'refs/covenant/trust/*:refs/covenant/trust/*'")
	case errors.Is(err, trust.ErrFork):
		return cli.No(cli.Hint(err, "ask the operators which one is theirs, then: covenant trust pin DIGEST"))
	case errors.Is(err, trust.ErrExpired):
		return cli.No(cli.Hint(err, "its operators sign the next version: covenant trust set --expires 365d"))
	case errors.Is(err, envelope.ErrNewer):
		return cli.Hint(err, "a newer release of covenant reads it; see which one this is: covenant version")
	case errors.As(err, &root):
		return cli.No(cli.Hint(err, "see what is damaged: covenant doctor"))
	case errors.As(err, &shallow):
		return cli.Hint(err, "fetch the rest: git fetch --unshallow")
	case errors.Is(err, provenance.ErrPartial):
		return cli.Hint(err, "fetch what it left out: git fetch --refetch --no-filter origin")
	case errors.Is(err, provenance.ErrForgotten):
		return cli.Hint(err, "ask again; see what is damaged: covenant doctor")
	case errors.Is(err, provenance.ErrUnanswered):
		return cli.Hint(err, hooks.Mend(err))
	case errors.Is(err, provenance.ErrFreshness):
		return cli.Hint(err, "fetch the newest: covenant sync", "who may makes one: covenant audit checkpoint", "see what the policy demands: covenant policy show")
	case errors.As(err, &many):
		return cli.Hint(err, "say which one: "+say.Shell(many.Refs[0]))
	case errors.Is(err, provenance.ErrSeveral):
		return cli.Hint(err, "verify one at a time, or say for which ref all of them are meant: --ref NAME")
	case errors.As(err, &unknown) && unknown.Rev == "HEAD":
		return cli.Hint(fmt.Errorf("there are no commits yet on this branch: %w", err), "make one with: git commit", "or see what there is: git branch --all")
	case errors.As(err, &ref) && ref.Meant != "":
		return cli.Hint(err, "when it is that branch or tag: --ref "+say.Shell(ref.Meant), "when a branch is called just that: --ref "+say.Shell(provenance.FullRef(strings.TrimPrefix(ref.Name, "refs/"))))
	case errors.As(err, &ref):
		return cli.Hint(err, "a full name is taken, such as refs/heads/main, or a branch, such as main")
	case errors.Is(err, provenance.ErrRevision):
		return cli.Hint(err, "see what there is: git branch --all")
	case errors.Is(err, provenance.ErrEmptyRange):
		return cli.Hint(err, "A..B is what B has and A has not; see it with: git log A..B")
	case errors.Is(err, provenance.ErrKeyRemoved):
		return cli.Hint(err, "see what changed, and try again: covenant trust log")
	case errors.Is(err, provenance.ErrRootMoved):
		return cli.Hint(err, "look at it, and try again: covenant trust show")
	case errors.As(err, &key):
		return cli.Hint(err, "say where its key is: covenant identity use "+key.Name+" --key PATH", "see its keys: covenant identity show "+key.Name)
	case errors.Is(err, provenance.ErrNobody) && !errors.As(err, &nobody): // whom a key is named by
		return cli.Hint(err, "an operator introduces its holder: covenant identity add NAME --key PATH.pub", "of a person: covenant trust add NAME --key PATH.pub", "see who is known, by which keys: covenant identity list")
	case errors.Is(err, provenance.ErrNoIdentity):
		return cli.Hint(err, hooks.Mend(err), "who is not known here yet (covenant identity list) gives an operator a public key: covenant trust add NAME --key PATH.pub --email ADDRESS")
	case errors.Is(err, identity.ErrNoKey), errors.Is(err, identity.ErrNoAgent), errors.Is(err, identity.ErrPassphrase),
		errors.Is(err, provenance.ErrNobody), errors.Is(err, provenance.ErrAgentAsHuman):
		return cli.Hint(err, hooks.Mend(err))
	case errors.Is(err, provenance.ErrDenied):
		return cli.No(cli.Hint(err, hooks.Mend(err)))
	case errors.Is(err, git.ErrMissing):
		return cli.Hint(err, "see what there is: git for-each-ref", "fetch what is not here: git fetch")
	case errors.Is(err, os.ErrPermission):
		return cli.Hint(err, "look at the owner and mode of the file")
	}
	return err
}

// Writer returns what writes statements as the chosen identity, and reads no more than that needs: what only tells of
// something asks nobody whether it may.
func (w *Work) Writer() (*provenance.Sealer, error) {
	ledger.Ahead(w.Session) // what will be needed starts while the rest is read
	return w.Hand()
}

// Hand is Writer for what is written later, if at all: nothing is made ready for it, and the refs are read again then.
func (w *Work) Hand() (*provenance.Sealer, error) {
	pin, err := w.Pin("")
	if err != nil {
		return nil, err
	}
	cache := w.Cache(false)
	c := w.Choice()
	c.Cache, c.Refs = cache, provenance.RefsAhead(w.Session) // while the root is read
	root, err := cache.OpenRoot(w.Session, pin)
	if err != nil {
		return nil, Explain(err)
	}
	a, refs, err := provenance.AuthorityFor(w.ctx, w.Session, root, c)
	if err != nil {
		return nil, Explain(err)
	}
	hand, err := provenance.ChooseHand(w.Session.Repo(), a, c)
	if err != nil {
		return nil, Explain(err)
	}
	return &provenance.Sealer{Session: w.Session, Root: root, Authority: a, Hand: hand, Moment: "command", Now: w.Env.Now, Refs: refs}, nil
}
