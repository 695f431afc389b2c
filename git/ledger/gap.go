package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
)

// DroppedFile is the name, in the tree of a gap, of what is left of entries that were dropped: their identities, oldest first, each
// as 64 hexadecimal digits and a newline.
const DroppedFile = "dropped"

// MaxGap bounds the entries that one gap stands for; a longer stretch is several gaps. MaxDropped bounds those of all gaps that are read at once: a few
// commits that name one file, under as many names as one likes, could stand for any number.
const (
	MaxGap     = 1 << 19
	MaxDropped = 1 << 21
)

const (
	gapLine    = 65 // bytes
	gapSubject = "ledger.pruned "
)

// ErrGap says that something is not what is left of dropped entries.
var ErrGap = errors.New("not the identities of dropped entries")

// FormatGap returns the content of a gap's file.
func FormatGap(ids []envelope.Digest) []byte {
	b := make([]byte, 0, len(ids)*gapLine)
	for _, id := range ids {
		b = append(append(b, strings.TrimPrefix(string(id), digestPrefix)...), '\n')
	}
	return b
}

const digestPrefix = "sha256:"

// ParseGap reads the content of a gap's file. The error wraps ErrGap.
func ParseGap(b []byte) ([]envelope.Digest, error) {
	if n := len(b); n == 0 || n%gapLine != 0 || n/gapLine > MaxGap {
		return nil, fmt.Errorf("%w: %d bytes", ErrGap, n)
	}
	all := string(b)
	out := make([]envelope.Digest, 0, len(b)/gapLine)
	for line := range strings.Lines(all) {
		digits, ended := strings.CutSuffix(line, "\n")
		id := envelope.Digest(digestPrefix + digits)
		if len(line) != gapLine || !ended || !id.Valid() {
			return nil, fmt.Errorf("%w: line %d", ErrGap, len(out)+1)
		}
		out = append(out, id)
	}
	return out, nil
}

// A Slot is the place of one entry in a chain.
type Slot struct {
	Commit  oid.ID          // that holds it, or that stands for it and others that were dropped
	Dropped envelope.Digest // its identity, where it was dropped; else ""
}

// Expand returns the places that the commits of a chain, oldest first, stand for: one each, but for gaps. A commit that calls
// itself a gap and is none, or stands for what another one does, stands for one entry, which can't be read then; so do all where
// they stand for more than may be dropped.
func Expand(s *git.Session, commits []git.Commit) ([]Slot, error) {
	return ExpandUpTo(s, commits, MaxDropped)
}

// ExpandUpTo is Expand where gaps may stand for so many dropped entries. Of more none is read.
func ExpandUpTo(s *git.Session, commits []git.Commit, most int) ([]Slot, error) {
	var gaps []string
	for i := range commits {
		if isGap(&commits[i]) {
			gaps = append(gaps, commits[i].ID.String()+":"+DroppedFile)
		}
	}
	lines := int64(0)
	for size, err := range s.Sizes(slices.Values(gaps)) {
		if err == nil { // else it is none
			lines += size / gapLine
		}
	}
	if lines > int64(most) {
		gaps = nil
	}
	out := make([]Slot, 0, len(commits))
	if len(gaps) == 0 {
		for i := range commits {
			out = append(out, Slot{Commit: commits[i].ID})
		}
		return out, nil
	}
	var dropped [][]envelope.Digest
	seen := map[oid.ID]bool{}
	for o, err := range s.Objects(slices.Values(gaps), MaxGap*gapLine) {
		var ids []envelope.Digest
		if err == nil && !seen[o.ID] {
			ids, _ = ParseGap(o.Data)
			seen[o.ID] = true
		}
		dropped = append(dropped, ids)
	}
	if len(dropped) < len(gaps) {
		return nil, fmt.Errorf("%w: %d of %d gaps came", ErrDamaged, len(dropped), len(gaps))
	}
	n := 0
	for i := range commits {
		var ids []envelope.Digest
		if isGap(&commits[i]) {
			ids = dropped[n]
			n++
		}
		for _, id := range ids {
			out = append(out, Slot{commits[i].ID, id})
		}
		if len(ids) == 0 {
			out = append(out, Slot{Commit: commits[i].ID})
		}
	}
	return out, nil
}

// Chain lists the places of a chain as it stands at a commit, oldest first; none at the zero one.
func Chain(s *git.Session, tip oid.ID) ([]Slot, error) {
	if tip.IsZero() {
		return nil, nil
	}
	var commits []git.Commit
	for c, err := range s.Log(git.LogQuery{Revs: []string{tip.String()}}) {
		if err != nil {
			return nil, err
		}
		last := len(commits) - 1
		if len(c.Parents) > 1 || (len(c.Parents) == 1) != (last >= 0) || last >= 0 && commits[last].ID != c.Parents[0] {
			return nil, fmt.Errorf("%w: its entries do not follow each other", ErrDamaged)
		}
		commits = append(commits, c)
	}
	return Expand(s, commits)
}

func isGap(c *git.Commit) bool { return strings.HasPrefix(c.Subject, gapSubject) }

// Gapped reports whether any of the commits of a chain says that it stands for dropped entries.
func Gapped(commits []git.Commit) bool {
	return slices.ContainsFunc(commits, func(c git.Commit) bool { return isGap(&c) })
}

// Prune puts the commits of a chain that has these places: gaps where entries were dropped, the entries that follow in commits that say what they
// said. The places before the first gap stay what they are. The same places make the same commits, whoever
// prunes.
func Prune(s *git.Session, n Name, slots []Slot) (tip oid.ID, err error) {
	i := slices.IndexFunc(slots, func(x Slot) bool { return x.Dropped != "" })
	if i < 0 {
		i = len(slots)
	}
	if i > 0 {
		tip = slots[i-1].Commit
	}
	for i < len(slots) {
		j := i
		var ids []envelope.Digest
		for ; j < len(slots) && slots[j].Dropped != "" && len(ids) < MaxGap; j++ {
			ids = append(ids, slots[j].Dropped)
		}
		if len(ids) > 0 {
			if tip, err = putGap(s, n, tip, ids); err != nil {
				return tip, err
			}
			i = j
			continue
		}
		for ; j < len(slots) && slots[j].Dropped == ""; j++ {
		}
		if tip, err = onto(s, tip, slots[i:j]); err != nil {
			return tip, err
		}
		i = j
	}
	return tip, nil
}

func putGap(s *git.Session, n Name, after oid.ID, ids []envelope.Digest) (oid.ID, error) {
	tree, err := git.EncodeTree([]git.TreeEntry{{Mode: git.ModeFile, Name: DroppedFile, ID: s.Put("blob", FormatGap(ids))}})
	if err != nil {
		return oid.ID{}, err
	}
	var parents []oid.ID
	if !after.IsZero() {
		parents = []oid.ID{after}
	}
	who := git.Ident{Name: "covenant", Email: string(n.Writer) + "@covenant", When: time.Unix(0, 0)}
	return s.Put("commit", git.EncodeCommit(s.Put("tree", tree), parents, who, who, fmt.Sprintf("%s%d entries\n", gapSubject, len(ids)))), nil
}

// onto puts entries again in commits that follow another one, and else say what they said. The zero commit is none.
func onto(s *git.Session, tip oid.ID, slots []Slot) (oid.ID, error) {
	i := 0
	for o, err := range s.Objects(func(yield func(string) bool) {
		for _, x := range slots {
			if !yield(x.Commit.String()) {
				return
			}
		}
	}, maxCommit) {
		if i == len(slots) {
			break
		}
		i++
		if err != nil {
			return tip, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		tip = s.Put("commit", after(tip, o.Data))
	}
	if i < len(slots) {
		return tip, fmt.Errorf("%w: %d of %d entries came", ErrDamaged, i, len(slots))
	}
	return tip, nil
}

// after is the body of a commit with another parent.
func after(parent oid.ID, body []byte) []byte {
	tree, rest, _ := bytes.Cut(body, []byte{'\n'})
	for bytes.HasPrefix(rest, []byte("parent ")) {
		_, rest, _ = bytes.Cut(rest, []byte{'\n'})
	}
	out := append(slices.Clone(tree), '\n')
	if !parent.IsZero() {
		out = append(out, "parent "+parent.String()+"\n"...)
	}
	return append(out, rest...)
}
