package work

import (
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// HintMoved has the findings of a ref that is not where it was admitted say what to type: admit it where it only went on, else
// look for what others admitted.
func (w *Work) HintMoved(r *verdict.RefState) {
	for i := range r.Findings {
		f := &r.Findings[i]
		if f.Code != verdict.RefMoved {
			continue
		}
		f.Hint = "what others admitted comes with: covenant sync; see who put it where: covenant ref log " + say.Shell(r.Ref)
		if len(r.Ends) > 1 {
			continue
		}
		if r.Head.IsZero() {
			at := "COMMIT"
			if len(r.Ends) == 1 {
				at = r.Ends[0].String()
			}
			f.Hint = "make it again: git update-ref " + say.Shell(r.Ref) + " " + at + "; who may admits that it is gone: covenant ref admit " + say.Shell(r.Ref) + "; or somebody did: covenant sync"
			continue
		}
		if len(r.Ends) == 0 || r.Ends[0].IsZero() {
			continue
		}
		if back, err := provenance.Forward(w.ctx, w.Session, r.Head, r.Ends[0]); err == nil && back {
			f.Hint = "put it there again: git merge --ff-only " + r.Ends[0].Short() + ", on it; who may go back admits it: covenant ref admit " + say.Shell(r.Ref) + "; where somebody did, it comes with: covenant sync"
			continue
		}
		if on, err := provenance.Forward(w.ctx, w.Session, r.Ends[0], r.Head); err == nil && on {
			f.Hint = "who may admits it: covenant ref admit " + say.Shell(r.Ref) + "; where somebody did, it comes with: covenant sync"
		}
	}
}
