package work

import (
	"errors"
	"slices"
	"strings"
	"unicode"

	"github.com/open-covenant/covenant-git/envelope"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// Limits of the commits that are looked at to tell apart who made the lines of a file.
const (
	maxBrought = 64    // of one commit
	maxLooked  = 2_000 // of one command
)

// Brought tells several makers of a file apart, line by line, by the commits that theirs was made of, where these are here.
type Brought struct {
	w     *Work
	pin   envelope.Digest
	facts *provenance.Facts              // nil: not asked for yet
	memo  map[string]map[string][]string // by commit and path: who brought a text; nil: not known
	left  int                            // commits that are looked at yet
}

// Brought returns a teller for one command.
func (w *Work) Brought(pin envelope.Digest) *Brought {
	return &Brought{w: w, pin: pin, memo: map[string]map[string][]string{}, left: maxLooked}
}

// MadeBy is [MadeBy], without those of several who brought no such line, where that is known of all of them. Lines without a letter and a digit
// are everybody's: which is whose such a text does not tell.
func (b *Brought) MadeBy(r *verdict.Result, path string, line int, text string) (made []verdict.Principal, rewrote *verdict.Principal, err error) {
	made, rewrote = MadeBy(r, path, line)
	if len(made) < 2 || !strings.ContainsFunc(text, func(c rune) bool { return unicode.IsLetter(c) || unicode.IsDigit(c) }) {
		return made, rewrote, nil
	}
	name := r.Commit.String() + ":" + path
	by, known := b.memo[name]
	if !known {
		if r.Verdict == verdict.Derived {
			by, err = b.covers(r, path)
		} else {
			by, err = b.originals(r, path)
		}
		if err != nil {
			return nil, nil, Explain(err)
		}
		b.memo[name] = by
	}
	if names := by[text]; len(names) > 0 {
		if some := slices.DeleteFunc(slices.Clone(made), func(p verdict.Principal) bool { return !slices.Contains(names, p.Name) }); len(some) > 0 {
			made = some
		}
		if len(made) == 1 && rewrote != nil && made[0].Name == rewrote.Name { // it is of who rewrote the others
			rewrote = nil
		}
	}
	return made, rewrote, nil
}

// covers tells who brought which text of a file to what a derived commit is made of.
func (b *Brought) covers(r *verdict.Result, path string) (map[string][]string, error) {
	out := map[string][]string{}
	n := 0
	for i := range r.Covers {
		c := &r.Covers[i]
		if !slices.Contains(c.Paths, path) {
			continue
		}
		if n++; n > maxBrought {
			return nil, nil
		}
		came, ok, err := b.came(c.Commit, path)
		if err != nil || !ok {
			return nil, err
		}
		names := []string{c.Principal.Name}
		if m := slices.IndexFunc(c.Made, func(m verdict.Made) bool { return m.Path == path }); m >= 0 {
			if !c.Made[m].Part {
				names = nil
			}
			for _, p := range c.Made[m].By {
				names = append(names, p.Name)
			}
		}
		credit(out, came, names)
	}
	return out, nil
}

// originals tells who brought which text of a file to what its sealer rewrote. What an old commit has that was rewritten before is of those
// who had brought it then.
func (b *Brought) originals(r *verdict.Result, path string) (map[string][]string, error) {
	if b.facts == nil {
		f, err := b.w.Cache(false).Load(b.w.ctx, b.w.Session, b.pin)
		if err != nil {
			return nil, err
		}
		b.facts = f
	}
	f := b.facts
	var first, again []oid.ID
	for _, o := range f.Rewritten[r.Commit] {
		if p, ok := f.Authority.ByKey(o.By); !ok || p.Name != r.Principal.Name {
			continue
		}
		for _, old := range f.OutOf(r.Commit, o.By) {
			list := &first
			if len(f.Rewritten[old]) > 0 {
				list = &again
			}
			if !slices.Contains(*list, old) {
				*list = append(*list, old)
			}
		}
	}
	if len(first)+len(again) > maxBrought {
		return nil, nil
	}
	out := map[string][]string{}
	for i, old := range slices.Concat(first, again) {
		came, ok, err := b.came(old, path)
		if err != nil || !ok {
			return nil, err
		}
		if i >= len(first) {
			for text := range came {
				if len(out[text]) > 0 {
					delete(came, text)
				}
			}
		}
		var names []string
		seals := f.SealsOf(old)
		for i := range seals {
			if p, ok := f.Authority.ByKey(seals[i].KeyID); ok && seals[i].Err == nil && seals[i].Seal != nil {
				names = append(names, p.Name)
			}
		}
		credit(out, came, names)
	}
	return out, nil
}

// credit says that these brought the texts.
func credit(out map[string][]string, came map[string]bool, names []string) {
	for text := range came {
		for _, name := range names {
			if !slices.Contains(out[text], name) {
				out[text] = append(out[text], name)
			}
		}
	}
}

// came returns the lines that a commit brought to a file; ok is false where that is not known: it is a merge, or not here, or more than is compared.
func (b *Brought) came(id oid.ID, path string) (lines map[string]bool, ok bool, err error) {
	s := b.w.Session
	gone := func(err error) (map[string]bool, bool, error) {
		if large := (*git.TooLargeError)(nil); errors.Is(err, git.ErrMissing) || errors.As(err, &large) {
			return nil, false, nil
		}
		return nil, false, err
	}
	if b.left--; b.left < 0 {
		return nil, false, nil
	}
	c, err := s.Commit(id.String())
	if err != nil {
		return gone(err)
	}
	if len(c.Parents) > 1 {
		return nil, false, nil
	}
	var before oid.ID
	if len(c.Parents) == 1 {
		p, err := s.Commit(c.Parents[0].String())
		if err != nil {
			return gone(err)
		}
		before = p.Tree
	}
	changes, err := s.Diff(before, c.Tree)
	if err != nil {
		return gone(err)
	}
	lines = map[string]bool{}
	i := slices.IndexFunc(changes, func(x git.Change) bool { return x.Path == path })
	if i < 0 || changes[i].New.IsZero() {
		return lines, true, nil
	}
	var texts [2][]byte
	for side, id := range []oid.ID{changes[i].Old, changes[i].New} {
		if id.IsZero() {
			continue
		}
		o, err := s.Object(id.String(), prov.MaxPatchContent)
		if err != nil {
			return gone(err)
		}
		texts[side] = o.Data
	}
	now := strings.Split(strings.TrimSuffix(string(texts[1]), "\n"), "\n")
	ranges := []prov.Lines{{Start: 1, End: len(now)}}
	if !changes[i].Old.IsZero() {
		d, ok := prov.CompareText(texts[0], texts[1])
		if !ok {
			return nil, false, nil
		}
		ranges = d.Came()
	}
	for _, x := range ranges {
		for _, text := range now[x.Start-1 : x.End] {
			lines[text] = true
		}
	}
	return lines, true, nil
}
