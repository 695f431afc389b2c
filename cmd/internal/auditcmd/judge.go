package auditcmd

import (
	"context"
	"errors"
	"time"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/report"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// judge puts into an account which commits of the protected refs verify; of HEAD, where none is protected. All of their history is
// judged, since a commit is dated by who made it: what does not verify and is dated outside of the span is counted. That there is
// no answer for a ref is said in its place, and is no error.
func judge(ctx context.Context, w *work.Work, pinned work.Pinned, root *provenance.Root, a *report.Account, since, until time.Time) error {
	if err := judgeAll(ctx, w, pinned, root, a, since, until); err != nil {
		return err
	}
	a.Committers(func(commit string) string { // what is remembered of a commit does not have it
		c, err := w.Session.Commit(commit)
		if err != nil {
			return ""
		}
		return c.Committer.Name
	})
	return nil
}

func judgeAll(ctx context.Context, w *work.Work, pinned work.Pinned, root *provenance.Root, a *report.Account, since, until time.Time) error {
	refs, err := w.Session.Refs()
	if err != nil {
		return work.Explain(err)
	}
	told := map[[3]string]bool{}
	for _, p := range a.Problems {
		told[[3]string{p.Code, p.Object, p.Message}] = true
	}
	one := func(name, rev string, protected bool) error {
		b := report.NewBranch(name, protected, since, until)
		rep, err := judgeRef(ctx, w, pinned, rev, b)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, provenance.ErrEmptyRange), errors.Is(err, provenance.ErrRevision) && !protected:
			return nil
		case err != nil:
			b.Fail(reason(err))
		}
		if rep != nil {
			for _, p := range rep.Problems {
				x := report.ProblemOf(p)
				if key := [3]string{x.Code, x.Object, x.Message}; !told[key] {
					told[key] = true
					a.Problem(p)
				}
			}
		}
		b.Into(a)
		return nil
	}
	any := false
	for _, ref := range refs {
		if !root.Policy.Protects(ref.Name) {
			continue
		}
		any = true
		if err := one(ref.Name, ref.Name, true); err != nil {
			return err
		}
	}
	if any {
		return nil
	}
	name, err := w.Session.HeadRef()
	if err != nil {
		return work.Explain(err)
	}
	if name == "" {
		name = "HEAD"
	}
	return one(name, "HEAD", false)
}

func judgeRef(ctx context.Context, w *work.Work, pinned work.Pinned, rev string, b *report.Judged) (*provenance.Report, error) {
	span, err := provenance.ParseSpan(w.Session, rev)
	if err != nil {
		return nil, err
	}
	opts := w.Verifying(pinned.Digest)
	opts.Cache = w.Cache(false)
	rep, err := provenance.Verify(ctx, w.Session, span, opts)
	if err != nil {
		return nil, err
	}
	i := 0
	for r, err := range rep.Results {
		if err != nil {
			return rep, err
		}
		c := &rep.Commits[i]
		i++
		codes := make([]verdict.Code, 0, len(r.Findings))
		for _, f := range r.Findings {
			codes = append(codes, f.Code)
		}
		b.Add(r.Commit.String(), r.Verdict, codes, c.Committer.When, c.Subject)
	}
	return rep, nil
}

// reason is an error with the next thing to type.
func reason(err error) string {
	s := err.Error()
	if hints := cli.Hints(work.Explain(err)); len(hints) > 0 {
		s += " (" + hints[0] + ")"
	}
	return s
}
