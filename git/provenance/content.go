package provenance

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/git"
)

// changes computes what a seal says of a commit against each parent: Git's raw
// diff, the SHA-256 of all new content, and the patch digest of what was modified.
func changes(s *git.Session, pairs []git.TreePair) ([][]prov.Change, error) {
	var lists [][]prov.Change
	for _, p := range pairs {
		diff, err := s.Diff(p.Old, p.New)
		if err != nil {
			return nil, fmt.Errorf("comparing trees %s and %s: %w", p.Old.Short(), p.New.Short(), err)
		}
		list := make([]prov.Change, 0, len(diff))
		for _, d := range diff {
			c := prov.Change{Status: string(d.Status), OldMode: modeText(d.OldMode), NewMode: modeText(d.NewMode), Old: d.Old.String(), New: d.New.String()}
			c.SetPath(d.Path)
			list = append(list, c)
		}
		if err := describe(s, list, diff); err != nil {
			return nil, err
		}
		lists = append(lists, list)
	}
	return lists, nil
}

// need is one object whose content a change is described by.
type need struct {
	i   int
	old bool
}

// describe fills in the digests of content: it reads each object once, in order, and holds two at a time.
func describe(s *git.Session, list []prov.Change, diff []git.Change) error {
	var needs []need
	for i, d := range diff {
		c := &list[i]
		switch {
		case d.Status == 'D':
			continue
		case d.NewMode.IsGitlink():
			c.SHA256 = prov.IsGitlink
		default:
			if patched(d) && !d.OldMode.IsGitlink() {
				needs = append(needs, need{i, true})
			}
			needs = append(needs, need{i, false})
		}
		if patched(d) {
			switch {
			case d.NewMode.IsGitlink() || d.OldMode.IsGitlink():
				c.Patch = prov.IsGitlink
			case d.NewMode.IsLink() || d.OldMode.IsLink():
				c.Patch = prov.IsLink
			}
		}
	}
	var before []byte
	beforeErr := error(nil)
	n := 0
	for o, err := range s.Objects(func(yield func(string) bool) {
		for _, w := range needs {
			d := diff[w.i]
			name := d.New.String()
			if w.old {
				name = d.Old.String()
			}
			if !yield(name) {
				return
			}
		}
	}, prov.MaxContent) {
		if n >= len(needs) {
			break
		}
		w := needs[n]
		n++
		if word, err := missing(err); err != nil {
			return fmt.Errorf("content of %q: %w", diff[w.i].Path, err)
		} else if word != "" && !w.old {
			c := &list[w.i]
			c.SHA256 = word
			if patched(diff[w.i]) && c.Patch == "" {
				c.Patch = word
			}
			continue
		} else if w.old {
			before, beforeErr = o.Data, nil
			if word != "" {
				beforeErr = errors.New(word)
			}
			continue
		}
		c, d := &list[w.i], diff[w.i]
		sum := sha256.Sum256(o.Data)
		c.SHA256 = hex.EncodeToString(sum[:])
		if patched(d) && c.Patch == "" {
			if beforeErr != nil {
				c.Patch = beforeErr.Error()
			} else {
				c.Patch = prov.Patch(d.Path, c.OldMode, c.NewMode, before, o.Data)
			}
		}
		before = nil
	}
	if n < len(needs) {
		return fmt.Errorf("reading content: %d of %d objects came", n, len(needs))
	}
	return nil
}

// patched reports whether a change is one of content, for which a patch digest stands.
func patched(d git.Change) bool { return d.Status == 'M' && d.Old != d.New }

// missing tells in a seal's words why content can't be had; other errors are returned.
func missing(err error) (string, error) {
	var large *git.TooLargeError
	switch {
	case err == nil:
		return "", nil
	case errors.Is(err, git.ErrMissing):
		return prov.Missing, nil
	case errors.As(err, &large):
		return prov.TooLarge, nil
	}
	return "", err
}
