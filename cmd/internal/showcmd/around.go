package showcmd

import (
	"cmp"
	"context"
	"errors"

	"github.com/open-covenant/covenant-git/cmd/internal/provenancecmd"
	"github.com/open-covenant/covenant-git/cmd/internal/report"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/intent"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/intents"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// Around is what the record has of a commit beside its seal: the work that it was made for, what was run on its tree, and what
// people said of the change that leads to it.
type Around struct {
	Intent   *Intent         `json:"work,omitempty"`
	Evidence []report.Ran    `json:"evidence,omitempty"`
	Reviews  []report.Review `json:"reviews,omitempty"`
}

// Intent is the work that the seal names, as it stands now.
type Intent struct {
	ID     string `json:"id"`
	Title  string `json:"title"`
	State  string `json:"state"`
	Sealed *Was   `json:"sealed,omitempty"` // as the seal has it
}

// Was is what an intent had come to when a commit was sealed for it.
type Was struct {
	State      string `json:"state"`
	Statements int    `json:"statements"`
	Last       string `json:"last"`
	Digest     string `json:"digest"` // of that state
	Counts     bool   `json:"counts"` // the last of them counts now
	Why        string `json:"why,omitempty"`
}

// around reads it, beside what the seal that counts says. What can't be read of it is no error of the commit's.
func around(ctx context.Context, w *work.Work, f *provenance.Facts, c *git.Commit, seal *prov.Predicate) (Around, []error) {
	var out Around
	var errs []error
	if named := seal.Intent; named != "" {
		book, err := intents.Open(ctx, w.Session, f.Root, w.Cache(false))
		if err == nil {
			defer book.Close()
			row, ferr := book.Find(named)
			switch {
			case ferr == nil:
				out.Intent = &Intent{ID: string(row.ID), Title: row.Title, State: string(row.State)}
				out.Intent.Sealed, err = was(book, row.ID, seal.IntentState)
			case !errors.Is(ferr, intents.ErrUnknown): // any text may be an intent's
				err = ferr
			}
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	var err error
	if out.Evidence, err = provenancecmd.Runs(w.Session, f, c, seal); err != nil {
		errs = append(errs, err)
	}
	reviews, err := provenancecmd.Reviews(w.Session, f, []git.Commit{*c})
	if err != nil {
		return out, append(errs, err)
	}
	out.Reviews = reviews(c, seal)
	return out, errs
}

// was tells what a seal says of an intent, and whether that stands.
func was(book *intents.Book, id intent.ID, said *prov.IntentState) (*Was, error) {
	if said == nil {
		return nil, nil
	}
	x, err := book.Intent(id)
	if err != nil {
		return nil, err
	}
	then := intent.Intent{ID: id, State: intent.State(said.State), Last: said.Last}
	out := &Was{State: said.State, Statements: said.Statements, Last: string(said.Last), Digest: string(then.Digest()), Why: "it is not here"}
	for i := range x.Steps {
		if s := &x.Steps[i]; s.ID == said.Last {
			out.Counts, out.Why = s.Why == "", s.Why
		}
	}
	return out, nil
}

// around tells it.
func (t *teller) around(a *Around, of *verdict.Result) {
	if a.Intent != nil {
		t.say("  work:        %s (%s), %.12s", say.Line(a.Intent.Title), a.Intent.State, a.Intent.ID)
		if was := a.Intent.Sealed; was != nil && !was.Counts {
			t.say("               what the seal says of it does not count now: %s", say.Line(was.Why))
		}
	}
	for i, r := range a.Evidence {
		if i == report.MaxAround {
			t.say("  evidence:    and %d more: covenant evidence list", len(a.Evidence)-report.MaxAround)
			break
		}
		t.say("  evidence:    %s %s when %s ran it, at %s (%s%s)", say.Name(r.Name), r.Result, r.Signer(), r.Time, envelope.Digest(r.ID).Short(), sealed(r.Sealed))
	}
	for i, r := range a.Reviews {
		if i == report.MaxAround {
			t.say("  review:      and %d more: covenant review list", len(a.Reviews)-report.MaxAround)
			break
		}
		t.say("  review:      %s for %s by %s (%s, %s%s)", r.Verdict, say.Name(r.Ref), say.Line(r.Voice(of)), cmp.Or(r.State, "its change was not looked at"), envelope.Digest(r.ID).Short(), sealed(r.Sealed))
	}
}

// sealed says that a seal names something.
func sealed(named bool) string {
	if named {
		return ", named by the seal"
	}
	return ""
}
