package doctorcmd

import (
	"context"
	"errors"
	"fmt"

	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
	"github.com/open-covenant/covenant-git/hooks"
)

// protected are refs here that the policy protects and that are not where their newest admissions put them.
func protected(w *work.Work, pin envelope.Digest) ([]ailment, error) {
	states, err := w.RefStates(pin, nil)
	if errors.Is(err, provenance.ErrShallow) || errors.Is(err, provenance.ErrPartial) {
		return nil, nil // what is not here is not damaged
	}
	if err != nil {
		return nil, work.Explain(err)
	}
	var out []ailment
	for i := range states {
		for _, x := range states[i].Findings {
			x.Message = states[i].Ref + ": " + x.Message
			if x.Object == states[i].Ref {
				x.Object = ""
			}
			out = append(out, ailment{Finding: x})
		}
	}
	return out, nil
}

// unverified are commits of this branch that do not verify, but for those that were told already. A history that ends too
// early, or that nobody began, has none to tell.
func unverified(ctx context.Context, w *work.Work, pin envelope.Digest, told []ailment) ([]ailment, error) {
	span, err := provenance.ParseSpan(w.Session)
	if errors.Is(err, provenance.ErrRevision) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	opts := w.Looking(pin)
	opts.Cache = w.Cache(false)
	rep, err := provenance.Verify(ctx, w.Session, span, opts)
	var out []ailment
	known := map[string]bool{}
	for _, a := range told {
		known[a.Object] = true
	}
	more := 0
	if err == nil {
		for r, rerr := range rep.Results {
			if err = rerr; err != nil {
				break
			}
			switch {
			case r.Verdict.OK() || known[r.Commit.String()]:
			case len(out) == maxRed:
				more++
			default:
				first := r.Findings[0]
				out = append(out, ailment{Finding: verdict.Finding{
					Code: first.Code, Object: r.Commit.String(), Path: first.Path, Message: "it does not verify: " + first.Message, Hint: "covenant show " + r.Commit.Short(),
				}})
			}
		}
	}
	if more > 0 {
		out = append(out, ailment{Finding: verdict.Finding{Code: out[0].Code, Message: fmt.Sprintf("and %d more commits do not verify", more), Hint: "covenant verify -q"}})
	}
	if errors.Is(err, provenance.ErrShallow) || errors.Is(err, provenance.ErrEmptyRange) || errors.Is(err, provenance.ErrPartial) || errors.As(err, new(*provenance.RootError)) || errors.Is(err, provenance.ErrFreshness) {
		err = nil // or what is wrong with the root was told
	}
	return out, work.Explain(err)
}

// failures are the commits that hooks could not seal and nobody sealed since.
func failures(ctx context.Context, w *work.Work, f *provenance.Facts) []ailment {
	var out []ailment
	r := w.Session.Repo()
	list := hooks.Failures(r)
	open := 0
	for _, x := range list {
		if len(f.SealsOf(x.Commit)) > 0 {
			continue
		}
		commits, err := provenance.Commits(w.Session, x.Commit.String())
		if err != nil {
			continue // rewritten away and collected
		}
		if exempt, err := f.Root.Exempted(ctx, w.Session, commits, w.Verifying(f.Root.Pin())); err == nil && exempt[x.Commit] {
			continue
		}
		open++ // remembered: what was taken back may come back
		if !held(ctx, w, x.Commit.String()) {
			continue
		}
		if denied := f.Denied[x.Commit]; len(denied) > 0 { // nobody vouches for that unasked
			out = append(out, ailment{Finding: verdict.Finding{
				Code: verdict.SealBypassed, Object: x.Commit.String(), Message: "the gate refused it, and it stands: " + denied[0].Reason,
				Hint: "covenant capability explain " + denied[0].ID.Short(),
			}})
			continue
		}
		if x.Refused {
			out = append(out, ailment{Finding: verdict.Finding{
				Code: verdict.SealBypassed, Object: x.Commit.String(), Message: "the gate refused it, which is not on record, and it stands: " + x.Reason, Hint: "covenant show " + x.Commit.Short(),
			}})
			continue
		}
		out = append(out, ailment{
			Finding: verdict.Finding{Code: hookFailed, Object: x.Commit.String(), Message: x.Moment + " could not seal it: " + x.Reason, Hint: "covenant provenance seal " + x.Commit.Short()},
			mend: func() error {
				k, err := w.Sealer(f)
				if err != nil {
					return err
				}
				list, err := provenance.Remakes(ctx, w.Session, k.Hand.Signer.Public().ID(), commits, map[oid.ID]bool{x.Commit: true}, w.Verifying(f.Root.Pin()))
				if err == nil {
					_, err = k.Reseal(ctx, "", list)
				}
				return err
			},
		})
	}
	if open == 0 && len(list) > 0 {
		_ = hooks.ForgetFailures(r)
	}
	return out
}

// held reports whether a ref, or HEAD, leads to a commit.
func held(ctx context.Context, w *work.Work, commit string) bool {
	r := w.Session.Repo()
	if out, err := r.Run(ctx, nil, "for-each-ref", "--count=1", "--format=%(refname)", "--contains", commit); err != nil || len(out) > 0 {
		return true
	}
	_, err := r.Run(ctx, nil, "merge-base", "--is-ancestor", commit, "HEAD")
	return err == nil
}
