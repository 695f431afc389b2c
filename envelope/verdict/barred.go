package verdict

import (
	"fmt"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/git/oid"
)

// Barred is a sealed commit that has what another one changes, which its signer may not bring to the ref under review.
type Barred struct {
	Commit  oid.ID    `json:"commit"`
	KeyID   string    `json:"key"`
	Claimed Principal `json:"claimed"`
}

// Barred returns seals of which each of some changes is one, a seal for each; none where a change is in none, or their signers may all bring them. It
// covers nothing: it is for people who wonder why.
func (o *Offers) Barred(changes []provenance.Raw, may func(c *Candidate, path string) bool) []Barred {
	var out []Barred
	barred := false
	for i := range changes {
		c := &changes[i]
		w := o.byPath[c.Path]
		if w == nil {
			return nil
		}
		at := slices.IndexFunc(w.to[Node{c.NewMode, c.New}], func(i int) bool { return o.exam(w.list[i].Seal) != nil })
		if at < 0 {
			return nil
		}
		seal := w.list[w.to[Node{c.NewMode, c.New}][at]].Seal
		barred = barred || !may(seal, c.Path)
		b := Barred{seal.Seal.Commit(), seal.KeyID, o.exam(seal).Claimed}
		if !slices.Contains(out, b) {
			out = append(out, b)
		}
	}
	if !barred {
		return nil
	}
	return out
}

// nobodys tells of a commit that nobody known sealed, and what to do: whoever vouches for it first answers for it.
func (e *Exam) nobodys(w *World, more string) Finding {
	id := e.Commit.Short()
	f := Finding{
		Code: SealMissing, Object: e.Commit.String(), Message: "nobody known here sealed it" + more,
		Hint: "find out who made it: git show " + id + "; if it is right, who may vouch for it: covenant provenance seal " + id,
	}
	var names, commits []string
	for _, b := range e.Barred {
		if p, ok := w.Principal(b.KeyID); ok && p == b.Claimed {
			commits = append(commits, b.Commit.Short())
			if !slices.Contains(names, p.Name) {
				names = append(names, p.Name)
			}
		}
	}
	if len(names) == 0 {
		return f
	}
	f.Message += "; what it changes was sealed by " + listed(names) + " (" + listed(commits) + ")"
	if e.Ref == "" {
		f.Hint = "say for which ref it is looked at: --ref REF"
		return f
	}
	f.Message += ", and not all of it may come to " + e.Ref + " by them"
	f.Hint = "see who may: covenant capability list; who may vouch for it all the same: covenant provenance seal " + id
	return f
}

// listed names a few.
func listed(list []string) string {
	const few = 4
	if more := len(list) - few; more > 0 {
		return strings.Join(list[:few], ", ") + fmt.Sprintf(", and %d more", more)
	}
	return strings.Join(list, ", ")
}
