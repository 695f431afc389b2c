package provenance

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/git"
)

// KeyOf is the configuration variable that says where the private key of an
// identity is: a path, "agent" for ssh-agent, or "openpgp" for gpg.
func KeyOf(name string) string { return "covenant." + name + ".key" }

// NextKeyOf is the configuration variable that says where the key is which a version of the trust root gives a
// person that is not in force yet, or was not when it was written. It stands before the version does: whatever
// comes in between, the person's key is found on either side.
func NextKeyOf(name string) string { return "covenant." + name + ".nextkey" }

// A KeyError says that the key which is chosen for a principal is none of its. It wraps ErrOtherKey.
type KeyError struct {
	Name  string
	Where string // of the private key
	KeyID string
}

func (e *KeyError) Error() string { return fmt.Sprintf("%v: %s has %s", ErrOtherKey, e.Where, e.KeyID) }

// Unwrap returns ErrOtherKey.
func (e *KeyError) Unwrap() error { return ErrOtherKey }

// findKey returns the signer of a principal's key: the one that is chosen for it, else, when that is
// none of its any more, another one that is on this machine.
func findKey(r *git.Repo, p *capability.Principal, c Choice) (identity.Signer, error) {
	where, configured := chosenKey(r, p.Name, c)
	s, err := c.keyAt(p, where)
	if err == nil {
		return s, nil
	}
	if next, ok := r.Config().Get(NextKeyOf(p.Name)); ok && c.Holds(p, next) {
		return c.keyAt(p, next)
	}
	if configured && where != "agent" && where != "openpgp" && !errors.Is(err, ErrOtherKey) {
		return nil, err // it is the right one, or may be
	}
	if other, ok := OtherKey(r, p, c); ok {
		return c.keyAt(p, other)
	}
	return nil, err
}

// chosenKey says where the key of an identity is looked for first, and whether the configuration says so.
func chosenKey(r *git.Repo, name string, c Choice) (string, bool) {
	if where, ok := r.Config().Get(KeyOf(name)); ok {
		return where, true
	}
	where := filepath.Join(KeysDir(c.ConfigDir), name)
	if _, err := os.Lstat(where); err != nil {
		return "agent", false
	}
	return where, false
}

// CheckKey returns a *KeyError when the key that is chosen for a principal here is none of its. A key whose public
// half can't be read without asking somebody is not looked at.
func CheckKey(r *git.Repo, p *capability.Principal, c Choice) error {
	where, _ := chosenKey(r, p.Name, c)
	if where == "agent" || where == "openpgp" {
		return nil
	}
	pub, err := identity.PublicOfFile(where)
	if err != nil || hasKey(p, pub.ID()) {
		return nil //nolint:nilerr // it is told when it is to sign
	}
	return &KeyError{Name: p.Name, Where: where, KeyID: pub.ID()}
}

// OtherKey finds a key of a principal that is on this machine and not the one that is chosen for it here: the one
// that a version of the trust root was to give it, one that this program made, or one in ssh-agent. Only public
// halves are looked at, and nobody is asked.
func OtherKey(r *git.Repo, p *capability.Principal, c Choice) (where string, ok bool) {
	chosen, _ := chosenKey(r, p.Name, c)
	var places []string
	if next, ok := r.Config().Get(NextKeyOf(p.Name)); ok {
		places = append(places, next)
	}
	made, _ := os.ReadDir(KeysDir(c.ConfigDir))
	for _, e := range made {
		if name, ok := strings.CutSuffix(e.Name(), ".pub"); ok {
			places = append(places, filepath.Join(KeysDir(c.ConfigDir), name))
		}
	}
	for _, where := range append(places, "agent") {
		if where != chosen && c.Holds(p, where) {
			return where, true
		}
	}
	return "", false
}

// Holds reports whether a key of a principal's is at a place.
func (c Choice) Holds(p *capability.Principal, where string) bool {
	switch where {
	case "agent":
		if c.AgentSock == "" {
			return false
		}
		keys, err := identity.AgentKeys(c.AgentSock)
		return err == nil && slices.ContainsFunc(keys, func(k identity.PublicKey) bool { return hasKey(p, k.ID()) })
	case "openpgp":
		return c.GPG != nil && openPGP(p) != nil
	}
	pub, err := identity.PublicOfFile(where)
	return err == nil && hasKey(p, pub.ID())
}

func hasKey(p *capability.Principal, keyID string) bool {
	return slices.ContainsFunc(p.Keys, func(k identity.PublicKey) bool { return k.ID() == keyID })
}

func openPGP(p *capability.Principal) identity.PublicKey {
	for _, k := range p.Keys {
		if strings.HasPrefix(k.ID(), "openpgp:") {
			return k
		}
	}
	return nil
}

// keyAt returns the signer of a principal's key at a place; a *KeyError when the key there is another one.
func (c Choice) keyAt(p *capability.Principal, where string) (identity.Signer, error) {
	switch where {
	case "agent":
		if c.AgentSock == "" {
			return nil, fmt.Errorf("%w: %s, and there is no ssh-agent", identity.ErrNoKey, filepath.Join(KeysDir(c.ConfigDir), p.Name))
		}
		var last error = identity.ErrNoKey
		for _, k := range p.Keys {
			s, err := identity.FromAgent(c.AgentSock, k.ID())
			if err == nil {
				return s, nil
			}
			last = err
		}
		return nil, last
	case "openpgp":
		if k := openPGP(p); k != nil && c.GPG != nil {
			return c.GPG(k)
		}
		return nil, fmt.Errorf("%w: OpenPGP", identity.ErrKeyType)
	}
	s, err := identity.LoadFile(where, nil)
	if err != nil {
		// Nobody is asked for the passphrase of a key that would not do.
		if pub, perr := identity.PublicOfFile(where); perr == nil && !hasKey(p, pub.ID()) {
			return nil, &KeyError{p.Name, where, pub.ID()}
		}
		if s, err = c.LoadKey(where); err != nil {
			return nil, err
		}
	}
	if !hasKey(p, s.Public().ID()) {
		return nil, &KeyError{p.Name, where, s.Public().ID()}
	}
	return s, nil
}
