package provenance

import (
	"errors"
	"math"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/git"
)

// policyOf returns the policy of a version of the trust root.
func (f *Facts) policyOf(root envelope.Digest) (*trust.Policy, bool) {
	v := f.versionOf(root)
	if v == nil {
		return nil, false
	}
	return v.Policy, true
}

// versionOf returns a version of the trust root that is here, else nil.
func (f *Facts) versionOf(root envelope.Digest) *trust.Version {
	for _, v := range f.Root.Versions {
		if v.ID == root {
			return v
		}
	}
	return f.older[root]
}

// learn reads the versions of the trust root before the pinned one, where they are here.
func (f *Facts) learn(s *git.Session) error {
	if f.older != nil || f.Root.Versions[0].Version == 1 {
		return nil
	}
	at := RootRef
	if id := f.overlay[RootRef]; !id.IsZero() {
		at = id.String()
	}
	f.older = map[envelope.Digest]*trust.Version{}
	whole, err := openRoot(s, at, f.Root.pin, true)
	if errors.Is(err, ErrRootHistory) {
		return nil // what is not here is held to what is demanded now
	}
	if err != nil {
		return err
	}
	for _, v := range whole.Versions {
		f.older[v.ID] = v
	}
	return nil
}

// inForceAt returns the version of the trust root that was in force at a moment, "" where that is not known. Of versions made in that very
// second those after the one that is named, which was in force when the name was written down, came later.
func (f *Facts) inForceAt(at time.Time, named envelope.Digest) envelope.Digest {
	var best *trust.Version
	last := math.MaxInt
	if v := f.versionOf(named); v != nil {
		last = v.Version
	}
	look := func(v *trust.Version) {
		created, err := time.Parse(time.RFC3339, v.Created)
		if err != nil || created.After(at) || created.Equal(at) && v.Version > last {
			return
		}
		if best == nil || v.Version > best.Version {
			best = v
		}
	}
	for _, v := range f.older {
		look(v)
	}
	for _, v := range f.Root.Versions {
		look(v)
	}
	if best == nil {
		return ""
	}
	return best.ID
}
