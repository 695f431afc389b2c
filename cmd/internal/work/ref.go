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
		if len(r.Ends) != 1 || r.Head.IsZero() || r.Ends[0].IsZero() {
			continue
		}
		if on, err := provenance.Forward(w.ctx, w.Session, r.Ends[0], r.Head); err == nil && on {
			f.Hint = "who may admits it: covenant ref admit " + say.Shell(r.Ref) + "; where somebody did, it comes with: covenant sync"
		}
	}
}
