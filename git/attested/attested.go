// Package attested finds what other programs attest of commits, where they keep it in a
// repository: lines in Git's own notes (the SLSA source tool), files below refs/attestations (gitsign), and
// gittuf's attestations. Nothing is written there.
package attested

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/open-covenant/covenant-git/envelope/attestation"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/notes"
	"github.com/open-covenant/covenant-git/git/oid"
)

// Where others keep what they attest.
const (
	Notes   = "refs/notes/commits"
	Commits = "refs/attestations/commits"
	Trees   = "refs/attestations/trees"
	Gittuf  = "refs/gittuf/attestations"
)

// Limits of what is looked at in a tree of attestations.
const (
	maxTree    = 16 << 20
	maxEntries = 50_000
	maxDepth   = 8
)

// Found is a claim about a commit, or about its tree.
type Found struct {
	attestation.Claim
	Where string // a ref, with a path where it has one
	About string // attestation.OfCommit or OfTree
}

// Finder looks for attestations in one repository.
type Finder struct {
	s      *git.Session
	keys   []attestation.Known
	gittuf map[oid.ID][]place // tree that something was authorized for → where; nil: not read yet
}

type place struct {
	path string
	blob oid.ID
}

// New returns a finder that knows some keys.
func New(s *git.Session, keys []attestation.Known) *Finder { return &Finder{s: s, keys: keys} }

// Of returns what is attested of a commit. What can't be read is in errs, and keeps nothing else from being found.
func (f *Finder) Of(c *git.Commit) (out []Found, errs []error) {
	read := func(where string, data []byte, always bool) {
		claims, bad := attestation.Read(data, f.keys)
		for i := range claims {
			about := claims[i].About(c.ID.String(), c.Tree.String())
			if about == "" && !always {
				continue
			}
			out = append(out, Found{claims[i], where, about})
		}
		for _, err := range bad {
			if always {
				errs = append(errs, fmt.Errorf("%s: %w", where, err))
			}
		}
	}
	for _, id := range []oid.ID{c.ID, c.Tree} {
		list, err := notes.Of(f.s, Notes, id)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", Notes, err))
		}
		for _, data := range list {
			read(Notes, data, false) // people write what they like there
		}
	}
	for ref, id := range map[string]oid.ID{Commits: c.ID, Trees: c.Tree} {
		entries, err := f.tree(ref + ":" + id.String())
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", ref, err))
		}
		for _, e := range entries {
			if path.Ext(e.Name) != ".sig" || !e.Mode.IsRegular() {
				continue // the file beside it is what was signed
			}
			where := ref + ":" + id.String() + "/" + e.Name
			o, err := f.s.Object(e.ID.String(), attestation.MaxSize)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", where, err))
				continue
			}
			read(where, o.Data, true)
		}
	}
	if f.gittuf == nil {
		f.gittuf = map[oid.ID][]place{}
		n := maxEntries
		if err := f.walk(Gittuf+"^{tree}", "", 0, &n); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", Gittuf, err))
		}
	}
	for _, p := range f.gittuf[c.Tree] {
		where := Gittuf + ":" + p.path
		o, err := f.s.Object(p.blob.String(), attestation.MaxSize)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", where, err))
			continue
		}
		read(where, o.Data, true)
	}
	return out, errs
}

// Files reads attestations from a file, of which those about the commit are returned, and how many there were.
func (f *Finder) Files(name string, data []byte, c *git.Commit) (out []Found, errs []error) {
	claims, bad := attestation.Read(data, f.keys)
	for i := range claims {
		if about := claims[i].About(c.ID.String(), c.Tree.String()); about != "" {
			out = append(out, Found{claims[i], name, about})
		}
	}
	for _, err := range bad {
		errs = append(errs, fmt.Errorf("%s: %w", name, err))
	}
	return out, errs
}

// tree reads a tree; there is none where nothing stands.
func (f *Finder) tree(name string) ([]git.TreeEntry, error) {
	o, err := f.s.Object(name, maxTree)
	if errors.Is(err, git.ErrMissing) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if o.Kind != "tree" {
		return nil, fmt.Errorf("%s is no folder", name)
	}
	return git.ParseTree(f.s.Repo().Format(), o.Data)
}

// walk finds gittuf's files, whose names end with the tree that they authorize.
func (f *Finder) walk(name, at string, depth int, left *int) error {
	entries, err := f.tree(name)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if *left--; *left < 0 || depth > maxDepth {
			return fmt.Errorf("more than %d entries, or %d folders in each other", maxEntries, maxDepth)
		}
		full := path.Join(at, e.Name)
		if !e.Mode.IsRegular() {
			if err := f.walk(e.ID.String(), full, depth+1, left); err != nil {
				return err
			}
			continue
		}
		i := strings.LastIndexByte(e.Name, '-')
		if tree, err := oid.Parse(e.Name[i+1:]); err == nil && i >= 0 {
			f.gittuf[tree] = append(f.gittuf[tree], place{full, e.ID})
		}
	}
	return nil
}
