package showcmd

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/cmd/internal/provenancecmd"
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
	Intent   *Intent  `json:"work,omitempty"`
	Evidence []Ran    `json:"evidence,omitempty"`
	Reviews  []Review `json:"reviews,omitempty"`
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

// Ran is one run on the commit's tree.
type Ran struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Result string `json:"result"`
	Exit   int    `json:"exit"`
	By     string `json:"principal"`
	Kind   string `json:"kind,omitempty"`
	Time   string `json:"time"`
	Sealed bool   `json:"sealed,omitempty"` // the seal names it
}

// Review is one review that leads to the commit or its tree.
type Review struct {
	ID      string `json:"id"`
	Verdict string `json:"verdict"`
	State   string `json:"state"`
	Ref     string `json:"ref"`
	By      string `json:"principal"`
	Kind    string `json:"kind,omitempty"`
	Account string `json:"account,omitempty"` // on a forge
	Time    string `json:"time"`
	Sealed  bool   `json:"sealed,omitempty"` // the seal names it
}

// around reads it, beside what the seal that counts says. What can't be read of it is no error of the commit's.
func around(ctx context.Context, w *work.Work, f *provenance.Facts, c *git.Commit, seal *prov.Predicate) (Around, []error) {
	var out Around
	var errs []error
	who := func(keyID string) (name, kind string) {
		if p, ok := f.Authority.ByKey(keyID); ok {
			return p.Name, p.Kind
		}
		return keyID, ""
	}
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
	runs, _, err := f.ExamineEvidence(w.Session, c.Tree)
	if err != nil {
		errs = append(errs, err)
	}
	for i := range runs {
		p := &runs[i].Statement.Predicate
		r := Ran{ID: string(runs[i].ID), Name: p.Run.Name, Result: strings.ToLower(string(p.Result)), Exit: p.Run.Exit, Time: envelope.Timestamp(runs[i].Time)}
		r.By, r.Kind = who(runs[i].KeyID)
		r.Sealed = slices.Contains(seal.Evidence, runs[i].ID)
		out.Evidence = append(out.Evidence, r)
	}
	var reviews []provenance.Review
	for i := range f.Reviews {
		if st := f.Reviews[i].Statement; st.Commit() == c.ID || st.Tree() == c.Tree {
			reviews = append(reviews, f.Reviews[i])
		}
	}
	states, err := f.ReviewStates(w.Session, reviews)
	if err != nil {
		return out, append(errs, err)
	}
	for i := range reviews {
		p := &reviews[i].Statement.Predicate
		r := Review{ID: string(reviews[i].ID), Verdict: string(p.Verdict), State: string(states[i]), Ref: p.Ref, Time: envelope.Timestamp(reviews[i].Time)}
		r.Sealed = slices.Contains(seal.Reviews, reviews[i].ID)
		if r.By, r.Kind = who(reviews[i].KeyID); p.Forge != nil {
			r.Account = p.Forge.Account
		}
		out.Reviews = append(out.Reviews, r)
	}
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

// maxAround is how many of each are told to people.
const maxAround = 20

// around tells it.
func (t *teller) around(a *Around, f *provenance.Facts) {
	if a.Intent != nil {
		t.say("  work:        %s (%s), %.12s", say.Line(a.Intent.Title), a.Intent.State, a.Intent.ID)
		if was := a.Intent.Sealed; was != nil && !was.Counts {
			t.say("               what the seal says of it does not count now: %s", say.Line(was.Why))
		}
	}
	name := func(name, kind string) string {
		for _, p := range f.Authority.Principals() {
			if p.Name == name {
				return provenancecmd.Who(&verdict.Principal{Name: p.Name, Kind: kind, Accountable: p.Accountable})
			}
		}
		return say.Line(name)
	}
	for i, r := range a.Evidence {
		if i == maxAround {
			t.say("  evidence:    and %d more: covenant evidence list", len(a.Evidence)-maxAround)
			break
		}
		t.say("  evidence:    %s %s when %s ran it, at %s (%s%s)", say.Name(r.Name), r.Result, name(r.By, r.Kind), r.Time, envelope.Digest(r.ID).Short(), sealed(r.Sealed))
	}
	for i, r := range a.Reviews {
		if i == maxAround {
			t.say("  review:      and %d more: covenant review list", len(a.Reviews)-maxAround)
			break
		}
		by := name(r.By, r.Kind)
		if r.Account != "" {
			by = say.Line(r.Account) + ", as " + by + " says"
		}
		t.say("  review:      %s for %s by %s (%s, %s%s)", r.Verdict, say.Name(r.Ref), by, cmp.Or(r.State, "its change was not looked at"), envelope.Digest(r.ID).Short(), sealed(r.Sealed))
	}
}

// sealed says that a seal names something.
func sealed(named bool) string {
	if named {
		return ", named by the seal"
	}
	return ""
}
