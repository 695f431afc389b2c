package provenance

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/git"
)

// IdentityKey is the configuration variable that names the identity of a worktree or repository.
const IdentityKey = "covenant.identity"

// IntentKey is the configuration variable that names the intent that commits of a worktree or repository are made for, where
// the environment names none.
const IntentKey = "covenant.intent"

// Refusals of identities.
var (
	ErrNoIdentity   = errors.New("no identity is chosen here")
	ErrNobody       = errors.New("nobody of this name or key is known here")
	ErrAgentAsHuman = errors.New("an agent runs here, and no identity was chosen for it")
	ErrOtherKey     = errors.New("the key is not the one this principal is known by")
)

// A NobodyError names who is not known here. It wraps ErrNobody.
type NobodyError struct {
	Name string
	Near string // somebody known whose name differs by a slip of the keys; "" when nobody's does
}

func (e *NobodyError) Error() string { return fmt.Sprintf("%v: %.80q", ErrNobody, e.Name) }

// Unwrap returns ErrNobody.
func (e *NobodyError) Unwrap() error { return ErrNobody }

// Nobody returns the error for a name that an authority does not know.
func Nobody(a *capability.Authority, name string) *NobodyError {
	e := &NobodyError{Name: name}
	best := 3
	for _, p := range a.Principals() {
		if d := slips(name, p.Name); d < best && d < len(p.Name) {
			best, e.Near = d, p.Name
		}
	}
	return e
}

// slips counts the bytes to add, drop or change to make b of a; names of over 64 bytes are not compared.
func slips(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return len(a) + len(b)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// Choice is how an identity is chosen: in this order Explicit, the worktree's
// configuration, the repository's.
type Choice struct {
	Explicit  string // COVENANT_IDENTITY or --identity: a name, or the path of a private key
	Tool      string // the agent tool that runs us: then no human's key is taken unless Explicit says so
	ConfigDir string // the user's configuration directory of this program
	AgentSock string // of ssh-agent, "" for none
	Cache     *Cache // nil: nothing is remembered
	// Refs are ledgers and notes that are being read already, from [RefsAhead]; nil: they are read when they are needed.
	Refs     func() ([]git.Ref, error)
	Ask      identity.Passphrase
	Attended bool
	// GPG signs with an OpenPGP key that gpg holds; nil in programs that do not link OpenPGP.
	GPG func(identity.PublicKey) (identity.Signer, error)
}

// RefsAhead begins to read ledgers and notes while something else is read. What it returns waits for them.
func RefsAhead(s *git.Session) func() ([]git.Ref, error) {
	type result struct {
		refs []git.Ref
		err  error
	}
	got := make(chan result, 1)
	go func() {
		refs, err := s.Tips(prefixes...)
		got <- result{refs, err}
	}()
	return sync.OnceValues(func() ([]git.Ref, error) {
		r := <-got
		return r.refs, r.err
	})
}

// KeysDir is where private keys made by this program stand.
func KeysDir(configDir string) string { return filepath.Join(configDir, "keys") }

// AuthorityFor returns the authority as far as the chosen identity needs it:
// an operator's is the trust root alone, anybody else's needs the ledgers.
// The refs are ledgers and notes, where they were read for it.
func AuthorityFor(ctx context.Context, s *git.Session, root *Root, c Choice) (*capability.Authority, []git.Ref, error) {
	a := capability.Fold(Persons(root), nil, nil)
	name := c.Explicit
	if name == "" {
		name, _ = s.Repo().Config().Get(IdentityKey)
	}
	if p, ok := a.ByName(name); ok && p.Operator && !isPath(name) {
		if c.Refs == nil {
			return a, nil, nil
		}
		refs, err := c.Refs()
		return a, refs, err
	}
	if isPath(name) {
		name = ""
	}
	return authorityAndRefs(ctx, s, root, name, c.Cache, c.Refs)
}

// ChooseHand finds who acts here, and the key to do it with.
func ChooseHand(r *git.Repo, a *capability.Authority, c Choice) (Hand, error) {
	h := Hand{Attended: c.Attended, Tool: c.Tool}
	name := c.Explicit
	if isPath(name) {
		signer, err := c.LoadKey(name)
		if err != nil {
			return h, fmt.Errorf("identity %s: %w", name, err)
		}
		p, ok := a.ByKey(signer.Public().ID())
		if !ok {
			return h, fmt.Errorf("%w: %s", ErrNobody, signer.Public().ID())
		}
		h.Principal, h.Signer = p, signer
		return h, nil
	}
	if name == "" {
		name, _ = r.Config().Get(IdentityKey)
	}
	if name == "" {
		return h, ErrNoIdentity
	}
	p, ok := a.ByName(name)
	if !ok {
		return h, Nobody(a, name)
	}
	if c.Explicit == "" && c.Tool != "" && p.Kind == "human" {
		return h, fmt.Errorf("%w: %s runs, %s is a person", ErrAgentAsHuman, c.Tool, p.Name)
	}
	signer, err := findKey(r, p, c)
	if err != nil {
		return h, fmt.Errorf("identity %s: %w", name, err)
	}
	h.Principal, h.Signer = p, signer
	return h, nil
}

// Named returns the name of the identity that is chosen here, without a look at who
// that is; "" when none is, or when a key file is named.
func (c Choice) Named(r *git.Repo) string {
	name := c.Explicit
	if name == "" {
		name, _ = r.Config().Get(IdentityKey)
	}
	if isPath(name) {
		return ""
	}
	return name
}

// ChoosePrincipal finds who acts here as ChooseHand does, and asks for no key where a
// name says it: nobody is asked for a passphrase before something is to be signed.
func ChoosePrincipal(r *git.Repo, a *capability.Authority, c Choice) (*capability.Principal, []string, error) {
	name := c.Named(r)
	if name == "" {
		h, err := ChooseHand(r, a, c)
		if err != nil {
			return nil, nil, err
		}
		return h.Principal, []string{h.Signer.Public().ID()}, nil
	}
	p, ok := a.ByName(name)
	if !ok {
		return nil, nil, Nobody(a, name)
	}
	if c.Explicit == "" && c.Tool != "" && p.Kind == "human" {
		return nil, nil, fmt.Errorf("%w: %s runs, %s is a person", ErrAgentAsHuman, c.Tool, p.Name)
	}
	var keys []string
	for _, k := range p.Keys {
		keys = append(keys, k.ID())
	}
	return p, keys, nil
}

// LoadKey returns the signer of a private key file. One that a passphrase keeps, or a security key, is
// asked of ssh-agent first where that has it, as Git and ssh do.
func (c Choice) LoadKey(path string) (identity.Signer, error) {
	s, err := identity.LoadFile(path, nil)
	if !errors.Is(err, identity.ErrPassphrase) && !errors.Is(err, identity.ErrKeyType) {
		return s, err
	}
	if pub, perr := identity.PublicOfFile(path); perr == nil && c.AgentSock != "" {
		if s, aerr := identity.FromAgent(c.AgentSock, pub.ID()); aerr == nil {
			return s, nil
		}
	}
	return identity.LoadFile(path, c.Ask)
}

func isPath(s string) bool { return strings.ContainsAny(s, `/\`) }
