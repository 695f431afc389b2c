// Package attested finds what other programs attest of commits, where they keep it in a
// repository: lines in Git's own notes (the SLSA source tool), files below refs/attestations (gitsign), and
// gittuf's attestations. Nothing is written there.
package attested

import (
	"errors"
	"fmt"
	"path"
	"slices"
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
	maxBytes   = 4 * attestation.MaxSize // of documents that are read for one commit
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
	keys   *attestation.Keys
	gittuf map[oid.ID][]place // tree that something was authorized for → where; nil: not read yet
}

type place struct {
	path string
	blob oid.ID
}

// New returns a finder that knows some keys.
func New(s *git.Session, keys []attestation.Known) *Finder {
	return &Finder{s: s, keys: attestation.NewKeys(keys)}
}

// Of returns what is attested of a commit. What can't be read is in errs, and keeps nothing else from being found.
func (f *Finder) Of(c *git.Commit) (out []Found, errs []error) {
	keys, left := f.keys.Again(), maxBytes
	read := func(where string, data []byte, always bool) {
		left -= len(data)
		if left < 0 {
			return
		}
		claims, bad := attestation.Read(data)
		for i := range claims {
			about := claims[i].About(c.ID.String(), c.Tree.String())
			if about == "" && !always {
				continue
			}
			claims[i].Verify(keys)
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
			if path.Ext(e.Name) != ".sig" || !e.Mode.IsRegular() || left < 0 {
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
		if left < 0 {
			break
		}
		where := Gittuf + ":" + p.path
		o, err := f.s.Object(p.blob.String(), attestation.MaxSize)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", where, err))
			continue
		}
		read(where, o.Data, true)
	}
	if left < 0 {
		errs = append(errs, fmt.Errorf("more than %d bytes are attested of commit %s: not all of it was read", maxBytes, c.ID.Short()))
	}
	return out, errs
}

// File is a file of attestations.
type File struct {
	name   string
	keys   *attestation.Keys
	claims []attestation.Claim
	of     map[string][]int // which of the claims, by what they name
}

// File reads attestations from a file. What can't be read is in errs.
func (f *Finder) File(name string, data []byte) (out *File, errs []error) {
	out = &File{name: name, keys: f.keys.Again(), of: map[string][]int{}}
	out.claims, errs = attestation.Read(data)
	for i := range out.claims {
		for _, s := range out.claims[i].Subjects {
			for _, digest := range s.Digest {
				if list := out.of[digest]; len(list) == 0 || list[len(list)-1] != i {
					out.of[digest] = append(list, i)
				}
			}
		}
	}
	for i, err := range errs {
		errs[i] = fmt.Errorf("%s: %w", name, err)
	}
	return out, errs
}

// About returns what the file attests of a commit.
func (f *File) About(c *git.Commit) (out []Found) {
	list := slices.Concat(f.of[c.ID.String()], f.of[c.Tree.String()])
	slices.Sort(list)
	for _, i := range slices.Compact(list) {
		if about := f.claims[i].About(c.ID.String(), c.Tree.String()); about != "" {
			f.claims[i].Verify(f.keys)
			out = append(out, Found{f.claims[i], f.name, about})
		}
	}
	return out
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
			if !e.Mode.IsTree() {
				continue // a link, or a commit of elsewhere
			}
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
