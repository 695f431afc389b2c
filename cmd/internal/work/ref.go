package work

import (
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// Protected returns the refs that the policy protects and are here.
func (w *Work) Protected(pin envelope.Digest) ([]provenance.Head, error) {
	r, err := provenance.OpenRoot(w.Session, pin)
	if err != nil {
		return nil, err
	}
	refs, err := w.Session.Refs()
	if err != nil {
		return nil, err
	}
	var heads []provenance.Head
	for _, ref := range refs {
		if !r.Policy.Protects(ref.Name) {
			continue
		}
		h := provenance.Head{Ref: ref.Name, Here: ref.Name, ID: ref.ID}
		if c, err := w.Session.Commit(ref.ID.String() + "^{commit}"); err == nil {
			h.Commit = c.ID
		}
		heads = append(heads, h)
	}
	return heads, nil
}

// RefStates returns how the refs stand that the policy protects and are here: whether each is where its newest admission put it. Of a cache
// what ledgers said is believed; nil: they are read.
func (w *Work) RefStates(pin envelope.Digest, cache *provenance.Cache) ([]verdict.RefState, error) {
	heads, err := w.Protected(pin)
	if err != nil || len(heads) == 0 {
		return nil, err
	}
	f, err := cache.LoadRefs(w.ctx, w.Session, pin, heads)
	if err != nil {
		return nil, err
	}
	ask := w.Ask(f.Root, f.Authority)
	out := make([]verdict.RefState, 0, len(heads))
	for _, h := range heads {
		state := f.RefState(h, w.Env.Now(), ask)
		w.HintMoved(&state)
		out = append(out, state)
	}
	return out, nil
}

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
