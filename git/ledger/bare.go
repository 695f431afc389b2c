package ledger

import (
	"errors"
	"fmt"

	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
)

// ErrNotBare says that a commit holds more than an entry: whoever may write refs can wrap a signed envelope with anything.
var ErrNotBare = errors.New("it holds more than an envelope")

// What an entry's commit and tree may have. The commit is a line, two names and its parents; the tree has one name.
const (
	maxCommit = 16 << 10
	maxTree   = 64
)

// Bare reports whether each of the commits holds one envelope as a file, and nothing else. It returns how many of the
// commits, from the first on, do; the error says what is wrong with the next one.
func Bare(s *git.Session, commits []oid.ID) (int, error) { return bare(s, commits, File) }

// BareGaps is Bare of gaps: each commit holds what is left of dropped entries, and nothing else.
func BareGaps(s *git.Session, commits []oid.ID) (int, error) { return bare(s, commits, DroppedFile) }

func bare(s *git.Session, commits []oid.ID, file string) (int, error) {
	bad := func(n int, format string, a ...any) (int, error) {
		return n, fmt.Errorf("%w: %s: "+format, append([]any{ErrNotBare, commits[n].Short()}, a...)...)
	}
	n, long := 0, false
	for size, err := range s.Sizes(func(yield func(string) bool) {
		for _, id := range commits {
			if !yield(id.String()) {
				return
			}
		}
	}) {
		if err != nil {
			return 0, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		if long = size > maxCommit; long {
			break
		}
		n++
	}
	all := n
	n = 0
	for o, err := range s.Objects(func(yield func(string) bool) {
		for _, id := range commits[:all] {
			if !yield(id.String() + "^{tree}") {
				return
			}
		}
	}, maxTree) {
		if err != nil {
			return bad(n, "%w", err)
		}
		entries, err := git.ParseTree(s.Repo().Format(), o.Data)
		if err != nil || len(entries) != 1 || entries[0].Mode != git.ModeFile || entries[0].Name != file {
			return bad(n, "its tree has more than the file %s", file)
		}
		n++
	}
	if long {
		return bad(n, "the commit has more than %d bytes", maxCommit)
	}
	return n, nil
}
