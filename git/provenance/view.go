package provenance

import (
	"bytes"
	"strings"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/notes"
	"github.com/open-covenant/covenant-git/git/oid"
)

// NotesLost returns the objects of which a later state of the notes view lacks an envelope that an earlier one showed and a
// ledger has. Junk, and pointers, which are hints, may go.
//
// The error wraps notes.ErrUnreadable where the later state has not the shape of a view.
func (f *Facts) NotesLost(s *git.Session, from, to oid.ID) ([]oid.ID, error) {
	var trees [2]oid.ID
	for i, id := range [2]oid.ID{from, to} {
		c, err := s.Commit(id.String())
		if err != nil {
			return nil, err
		}
		trees[i] = c.Tree
	}
	if trees[0] == trees[1] {
		return nil, nil
	}
	if err := notes.Check(s, to.String()); err != nil {
		return nil, err
	}
	if notes.Check(s, from.String()) != nil {
		return nil, nil // what can't be read shows nothing that could be taken out
	}
	diff, err := s.Diff(trees[0], trees[1])
	if err != nil {
		return nil, err
	}
	var lost []oid.ID
	for i := range diff {
		c := &diff[i]
		object, err := oid.Parse(strings.ReplaceAll(c.Path, "/", ""))
		if c.Status == 'A' || err != nil {
			continue
		}
		was, err := s.Object(c.Old.String(), envelope.MaxSize)
		if err != nil {
			return nil, err
		}
		now, err := notes.Of(s, to.String(), object)
		if err != nil {
			return nil, err
		}
		there := map[string]bool{}
		for _, b := range now {
			for line := range bytes.SplitSeq(b, []byte{'\n'}) {
				there[string(line)] = true
			}
		}
		for line := range bytes.SplitSeq(was.Data, []byte{'\n'}) {
			if len(line) == 0 || there[string(line)] {
				continue
			}
			if env, err := envelope.Parse(line); err == nil {
				if _, known := f.byID[env.ID()]; known {
					lost = append(lost, object)
					break
				}
			}
		}
	}
	return lost, nil
}
