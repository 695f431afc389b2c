package doctorcmd

import (
	"fmt"
	"strings"

	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	form "github.com/open-covenant/covenant-git/envelope/handoff"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/handoff"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
	"github.com/open-covenant/covenant-git/git/sync"
)

const handoffPending verdict.Code = "handoff.pending"

// handoffs are those that a process left half done, and refs of handoffs that are not what statements say.
func handoffs(w *work.Work, facts *provenance.Facts) ([]ailment, error) {
	var out []ailment
	for _, p := range handoff.Pendings(w.Session.Repo()) {
		if d := p.Damaged; d != nil {
			out = append(out, ailment{Finding: verdict.Finding{
				Code: handoffPending, Object: d.Dir, Message: fmt.Sprintf("the journal of a handoff that was being put into a work tree is damaged: %v", d.Why),
				Hint: "what stood in the work tree is kept there; put back what you miss, then: rm -r " + say.Shell(d.Dir),
			}})
			continue
		}
		out = append(out, ailment{Finding: verdict.Finding{
			Code: handoffPending, Object: p.WorkTree, Message: "handoff " + handoff.Short(p.ID) + " is not all in this work tree",
			Hint: "covenant -C " + say.Shell(p.WorkTree) + " handoff apply --continue, or --abort",
		}})
	}
	refs, err := w.Session.Tips(handoff.Prefix, handoff.ClaimPrefix)
	if err != nil {
		return nil, err
	}
	at := map[string]oid.ID{}
	for _, r := range refs {
		at[r.Name] = r.ID
	}
	rec := handoff.Of(facts)
	for _, r := range refs {
		id, ok := handoff.IDOf(r.Name)
		if !ok {
			continue // told as astray
		}
		why := ""
		switch h, err := rec.Find(string(id)); {
		case err != nil:
			why = "no statement is of this handoff"
		case strings.HasPrefix(r.Name, handoff.ClaimPrefix):
			if _, ok := rec.Resumption(id, r.ID); !ok {
				why = "is no statement that somebody took this handoff up"
			}
		case h.Commit != r.ID:
			out = append(out, ailment{
				Finding: verdict.Finding{Code: sync.HandoffObjects, Object: r.Name, Message: fmt.Sprintf("is at %s, and %s was signed", r.ID.Short(), h.Commit.Short()), Hint: "let it go: git update-ref -d " + say.Shell(r.Name) + "; then: covenant sync"},
			})
		}
		if why != "" {
			out = append(out, ailment{Finding: verdict.Finding{Code: refStray, Object: r.Name, Message: why, Hint: "look at it, then: git update-ref -d " + say.Shell(r.Name)}})
		}
	}
	for _, h := range rec.List {
		if a, ok := unkept(w.Session, h, at); ok {
			out = append(out, a)
		}
	}
	return out, nil
}

// unkept is a handoff whose objects are here and that no ref keeps.
func unkept(s *git.Session, h *form.Handoff, at map[string]oid.ID) (ailment, bool) {
	ref := handoff.Ref(h.ID)
	if h.By() != nil || !at[ref].IsZero() {
		return ailment{}, false
	}
	if _, err := s.Commit(h.Commit.String()); err != nil {
		return ailment{}, false // it is elsewhere
	}
	return ailment{
		Finding: verdict.Finding{Code: sync.HandoffObjects, Object: ref, Message: "no ref keeps its objects, and Git will collect them", Hint: "git update-ref " + ref + " " + h.Commit.String()},
		mend:    func() error { return s.Update("covenant doctor", git.RefUpdate{Name: ref, New: h.Commit}) },
	}, true
}
