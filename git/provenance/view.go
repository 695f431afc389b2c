package provenance

import (
	"bytes"
	"errors"
	"strings"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
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

// seen is what ledgers and notes offer for one commit.
type seen struct {
	candidates []verdict.Candidate
	warnings   []verdict.Finding
}

// view joins ledger seals with the notes on the commits. A note whose blob is
// the ledger entry's is not read again; any other line is a warning, or, where
// the ledger has no seal, a candidate that says what became of it.
func (f *Facts) view(s *git.Session, commits []git.Commit, before map[oid.ID]bool) (map[oid.ID]seen, []verdict.Finding, error) {
	out := make(map[oid.ID]seen, len(commits))
	for _, c := range commits {
		if !before[c.ID] {
			out[c.ID] = seen{candidates: f.seals[c.ID]}
		}
	}
	at, err := f.at(notes.Ref), git.ErrMissing
	if at != "" {
		var tip git.Object
		tip, err = s.Object(at, 1<<20)
		f.NotesTip = tip.ID
	}
	if errors.Is(err, git.ErrMissing) {
		if len(f.seals) == 0 {
			return out, nil, nil // there is nothing to view
		}
		return out, []verdict.Finding{{Code: verdict.NoteMissing, Object: notes.Ref, Message: "the notes view is not in this clone", Hint: "covenant doctor --fix"}}, nil
	}
	list, err := notes.List(s, at)
	if err != nil {
		return out, []verdict.Finding{{Code: verdict.NoteJunk, Object: notes.Ref, Message: err.Error(), Hint: "covenant doctor --fix"}}, nil
	}
	noted := map[oid.ID]map[oid.ID]bool{} // commit → ledger blobs its note is known to show
	var strange []notes.Note
	for _, n := range list {
		v, ok := out[n.Object]
		if !ok {
			continue
		}
		if noted[n.Object] == nil {
			noted[n.Object] = map[oid.ID]bool{}
		}
		same := false
		for i := range v.candidates {
			if v.candidates[i].Blob == n.Blob {
				same, noted[n.Object][n.Blob] = true, true
			}
		}
		if !same {
			strange = append(strange, n)
		}
	}
	i := 0
	for o, err := range s.Objects(func(yield func(string) bool) {
		for _, n := range strange {
			if !yield(n.Blob.String()) {
				return
			}
		}
	}, envelope.MaxSize) {
		if i >= len(strange) {
			break
		}
		n := strange[i]
		i++
		v := out[n.Object]
		if err != nil {
			v.warnings = append(v.warnings, noteWarning(verdict.NoteJunk, n, "can't be read: "+err.Error()))
		} else {
			f.readNote(&v, n, o.Data, noted[n.Object])
		}
		out[n.Object] = v
	}
	unnoted := func(ledgerName string) bool { // a ledger that is looked at and not here yet: its notes come with it
		return at == notes.Ref && !f.overlay[ledger.Prefix+ledgerName].IsZero()
	}
	for id, v := range out {
		for i := range v.candidates {
			if c := &v.candidates[i]; c.Ledger != "" && c.Err == nil && !noted[id][c.Blob] && !unnoted(c.Ledger) {
				v.warnings = append(v.warnings, verdict.Finding{Code: verdict.NoteMissing, Object: string(c.ID), Message: "its note lacks the seal that its ledger has", Hint: "covenant doctor --fix"})
			}
		}
		out[id] = v
	}
	return out, nil, nil
}

func noteWarning(code verdict.Code, n notes.Note, msg string) verdict.Finding {
	return verdict.Finding{Code: code, Object: n.Blob.String(), Message: "a line of its note " + msg, Hint: "covenant doctor --fix"}
}

func (f *Facts) readNote(v *seen, n notes.Note, data []byte, shown map[oid.ID]bool) {
	junk := 0
	for line := range bytes.SplitSeq(data, []byte{'\n'}) {
		if len(line) == 0 {
			continue
		}
		env, err := envelope.Parse(line)
		if err != nil {
			if junk++; junk > maxJunk {
				v.warnings = append(v.warnings, noteWarning(verdict.NoteJunk, n, "is no envelope, and more are not; the rest was not read"))
				return
			}
			v.warnings = append(v.warnings, noteWarning(verdict.NoteJunk, n, "is no envelope: "+err.Error()))
			continue
		}
		if blob, ok := f.byID[env.ID()]; ok {
			// The same statement stands in a ledger: is it one of this commit's?
			mine := false
			for i := range v.candidates {
				mine = mine || v.candidates[i].ID == env.ID()
			}
			if mine {
				shown[blob] = true
				if _, _, err := openEnvelope(env, f.Root.ID, f.Authority.Ring); err != nil {
					v.warnings = append(v.warnings, noteWarning(verdict.NoteJunk, n, "is refused: "+err.Error()))
				}
				continue
			}
		}
		c := verdict.Candidate{ID: env.ID(), Blob: n.Blob, InNote: true}
		if ids := env.KeyIDs(); len(ids) > 0 {
			c.KeyID = ids[0]
		}
		var st statement
		st, c.Header, c.Err = openEnvelope(env, f.Root.ID, f.Authority.Ring)
		if c.Err == nil && st.seal != nil && f.cameOf(n.Object, st.seal.Commit()) {
			continue // git notes copied it at a rewrite, as it was told to
		}
		switch c.Seal = st.seal; {
		case c.Err == nil && c.Seal == nil:
			v.warnings = append(v.warnings, noteWarning(verdict.NoteJunk, n, "is no seal"))
			continue
		case c.Err != nil:
			c.Seal = nil
			// In a ledger of a known writer the same broken bytes are that ledger's; in a note they are junk unless nothing better is here.
			_, inLedger := f.byID[env.ID()]
			c.InNote = !inLedger
		case c.Seal.Commit() != n.Object:
			c.InNote = false // whatever ledger it is in, it is not this commit's
		}
		if hasGood(v.candidates) {
			msg := "seals another commit"
			code := verdict.NoteElsewhere
			if c.Err != nil {
				code, msg = verdict.NoteJunk, "is refused: "+c.Err.Error()
				if errors.Is(c.Err, envelope.ErrUnknownKey) {
					code = verdict.NoteUnknown
				}
			} else if c.Seal.Commit() == n.Object {
				v.candidates = append(v.candidates, c) // a seal its ledger lacks: the judge says what that means
				continue
			}
			v.warnings = append(v.warnings, noteWarning(code, n, msg))
			continue
		}
		v.candidates = append(v.candidates, c)
	}
}

// maxJunk is how many lines of a note may be junk before the rest is left unread.
const maxJunk = 16

func hasGood(list []verdict.Candidate) bool {
	for i := range list {
		if list[i].Err == nil && !list[i].InNote {
			return true
		}
	}
	return false
}

// cameOf reports whether a commit was made of another one, as who rewrote it says.
func (f *Facts) cameOf(id, old oid.ID) bool {
	seen := map[oid.ID]bool{id: true}
	for todo := []oid.ID{id}; len(todo) > 0 && len(seen) <= maxOriginals; todo = todo[1:] {
		for _, x := range f.Rewritten[todo[0]] {
			if !seen[x.Commit] {
				if x.Commit == old {
					return true
				}
				seen[x.Commit] = true
				todo = append(todo, x.Commit)
			}
		}
	}
	return false
}
