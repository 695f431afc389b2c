package provenance

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/git"
)

// ErrRefName says that a name is none of a ref that commits can be for.
var ErrRefName = errors.New("not the name of a ref that commits are for")

// A RefNameError is such a name. It wraps ErrRefName.
type RefNameError struct {
	Name  string
	Meant string // the ref that is called so here, by its full name; "" where that can't be told
}

func (e *RefNameError) Error() string { return fmt.Sprintf("%v: %q", ErrRefName, e.Name) }

// Unwrap returns ErrRefName.
func (e *RefNameError) Unwrap() error { return ErrRefName }

// Meant is [FullRef] of what somebody typed. A ref need not be here, so nothing else tells a name that was meant otherwise, as origin/main or heads/main, and
// commits would be held to what is demanded of a branch that nobody protects. Such a name is a *RefNameError, unless a branch is called just that.
func Meant(s *git.Session, name string) (string, error) {
	full := FullRef(name)
	if full == "" {
		return "", nil
	}
	if !git.ValidRef(full) {
		return "", &RefNameError{Name: name}
	}
	config := s.Repo().Config()
	if strings.HasPrefix(full, "refs/remotes/") {
		return "", &RefNameError{name, trackedBy(config, full)}
	}
	if full == name {
		return full, nil
	}
	meant := ""
	switch first, _, _ := strings.Cut(name, "/"); {
	case first == name:
		return full, nil
	case first == "heads", first == "tags":
		meant = "refs/" + name
	case first == "remotes":
		meant = trackedBy(config, "refs/"+name)
	case slices.ContainsFunc(config.Keys("remote."), func(key string) bool {
		remote, isURL := strings.CutSuffix(strings.TrimPrefix(key, "remote."), ".url")
		return isURL && strings.HasPrefix(name, remote+"/")
	}):
		meant = trackedBy(config, "refs/remotes/"+name)
	default:
		return full, nil
	}
	refs, err := s.Tips(full) // a branch of that name at a remote is anybody's
	if err != nil || slices.ContainsFunc(refs, func(r git.Ref) bool { return r.Name == full }) {
		return full, err
	}
	return "", &RefNameError{name, meant}
}
