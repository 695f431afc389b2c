package provenance

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
)

// A Remake is a commit to vouch for, and what it is derived of, in whole or in part.
type Remake struct {
	Commit git.Commit
	Of     []oid.ID // sealed commits, each once; none where it is nobody else's
	Sealed bool     // it has a seal of its own, whatever that is worth
	Over   bool     // there is more about it than is looked at: Of may lack some
}

// Derived judges a span whose ref under review is named and returns its derived commits, those that a seal is worth having for: where all
// verify. Else the error is an *UnverifiedError or a *CondemnedError.
func Derived(ctx context.Context, s *git.Session, sp Span, o Options) (*Facts, []Remake, error) {
	o.Cache = nil // what a derived commit is made of is not remembered
	var out []Remake
	f, err := verified(ctx, s, sp, o, func(c git.Commit, r *verdict.Result) {
		if r.Verdict != verdict.Derived {
			return
		}
		out = append(out, Remake{Commit: c, Of: madeOf(r)})
	})
	return f, out, err
}

// Remakes returns those of some commits that are wanted, to be vouched for or rewritten, with what they are made of where no seal of them counts: those that sealed
// changes lead over, in whole or in part, of who ever might bring them somewhere. Whose they are is to be known wherever they come to, and whatever their signers
// said of it since. What the holder of a key made of one of them before names nobody, and is left out. The error is a *ShallowError where the parents of one can't be told.
func Remakes(ctx context.Context, s *git.Session, hand string, commits []git.Commit, want map[oid.ID]bool, o Options) ([]Remake, error) {
	shallow, err := s.Repo().Shallow()
	if err != nil {
		return nil, err
	}
	var out []Remake
	at := map[oid.ID]int{}
	for _, c := range commits {
		if !want[c.ID] {
			continue
		}
		if shallow[c.ID] {
			return nil, &ShallowError{c.ID}
		}
		at[c.ID] = len(out)
		out = append(out, Remake{Commit: c})
	}
	leads := map[oid.ID]bool{}
	for _, c := range commits {
		for _, p := range c.Parents {
			leads[p] = true
		}
	}
	var sp Span
	for _, c := range commits {
		if !leads[c.ID] {
			sp.Tips = append(sp.Tips, c.ID)
		}
	}
	o.AnyAge = true
	o.made = func(f *Facts, e *verdict.Exam) {
		r := &out[at[e.Commit]]
		for _, of := range e.Derived.Of() {
			if of == e.Commit || f.madeAlone(of, e.Commit, hand) {
				continue
			}
			if r.Over = len(r.Of) == maxOriginals; r.Over {
				break
			}
			r.Of = append(r.Of, of)
		}
		r.Over = r.Over || e.Derived != nil && len(e.Derived.Over) > 0
		r.Sealed = slices.ContainsFunc(e.Seals, func(x verdict.ExamSeal) bool { return x.Opened })
	}
	return out, judgeSome(ctx, s, sp, commits, want, o, func(r *verdict.Result) {
		out[at[r.Commit]].Sealed = out[at[r.Commit]].Sealed || r.SealID != ""
	})
}

// madeAlone reports whether a commit is sealed by one key alone, whose holder said to have made it of another one.
func (f *Facts) madeAlone(id, of oid.ID, keyID string) bool {
	return slices.ContainsFunc(f.Rewritten[id], func(x Origin) bool { return x.By == keyID && x.Commit == of }) &&
		!slices.ContainsFunc(f.SealsOf(id), func(x verdict.Candidate) bool { return x.KeyID != keyID })
}

// Unclear returns those of some commits of which their notes do not make plain who made them: no seal of theirs is by the hand, by who answers for
// themselves, or by whose address committed it and who might. Notes are a view, and anybody's: for these the ledgers are to be asked, as by [Remakes].
func (k *Sealer) Unclear(ctx context.Context, commits []git.Commit) ([]git.Commit, error) {
	var out []git.Commit
	for i := range commits {
		plain, err := k.plain(ctx, &commits[i])
		if err != nil {
			return nil, err
		}
		if !plain {
			out = append(out, commits[i])
		}
	}
	return out, nil
}

func (k *Sealer) plain(ctx context.Context, c *git.Commit) (bool, error) {
	if done, err := k.Sealed(c.ID); err != nil || done {
		return done, err
	}
	return k.noted(ctx, c.ID, func(seal *prov.Seal, h envelope.Header, keyID string) (bool, error) {
		if seal.Tree() != c.Tree || !slices.Equal(seal.Predicate.Parents, c.Parents) {
			return false, nil
		}
		return k.mightSeal(ctx, c, seal, keyID, h.When())
	})
}

// mightSeal reports whether the holder of a key answers for itself, or committed what it sealed and might bring that, then or now.
func (k *Sealer) mightSeal(ctx context.Context, c *git.Commit, seal *prov.Seal, keyID string, at time.Time) (bool, error) {
	who, ok := k.Authority.ByKey(keyID)
	if !ok || who.Gone(at) {
		return false, nil
	}
	if who.Accountable == who.Name {
		return true, nil
	}
	if !who.Commits(c.Committer.Email) {
		return false, nil
	}
	if !k.all { // it may be no more than what the hand itself may
		if err := k.knowEverybody(ctx); err != nil {
			return false, err
		}
	}
	_, _, touched, err := k.brings(c)
	if err != nil {
		return false, err
	}
	q := capability.Query{KeyID: keyID, Action: capability.Commit, At: at, EndedBy: at, Past: true, Ref: seal.Predicate.Ref, Intent: seal.Predicate.Intent, Changes: touched}
	if seal.Predicate.Mode == prov.Vouching {
		q.Action = capability.Vouch
	}
	return k.Authority.Decide(q).Allowed, nil
}

// judgeSome judges those of some commits that are wanted, from the tips of a span down and on its ref.
func judgeSome(ctx context.Context, s *git.Session, sp Span, commits []git.Commit, want map[oid.ID]bool, o Options, take func(*verdict.Result)) error {
	in := make(map[oid.ID]bool, len(commits))
	for _, c := range commits {
		in[c.ID] = true
	}
	open := map[oid.ID]bool{}
	for _, c := range commits {
		if want[c.ID] {
			open[c.ID] = true
		}
		for _, p := range c.Parents { // one that is among them leads to others below
			if !in[p] {
				sp.Except = append(sp.Except, p)
			}
		}
	}
	judge := func(sp Span) error {
		rep, err := Verify(ctx, s, sp, o)
		if errors.Is(err, ErrEmptyRange) {
			return nil
		}
		if err != nil {
			return err
		}
		for r, err := range rep.Results {
			if err != nil {
				return err
			}
			delete(open, r.Commit)
			take(&r)
		}
		return nil
	}
	if len(open) == 0 {
		return nil
	}
	o.Only = maps.Clone(open)
	if err := judge(sp); err != nil {
		return err
	}
	if o.made != nil && len(open) > 0 { // what is left out below others has them; all at once, as no ref is looked at
		sp.Except, o.Only = nil, maps.Clone(open)
		return judge(sp)
	}
	for _, c := range commits {
		if !open[c.ID] {
			continue
		}
		one := One(c) // likewise
		one.Ref, o.Only = sp.Ref, map[oid.ID]bool{c.ID: true}
		if err := judge(one); err != nil {
			return err
		}
	}
	return nil
}

// madeOf are the sealed commits, each once, that a result is made of.
func madeOf(r *verdict.Result) []oid.ID {
	var out []oid.ID
	for i := range r.Covers {
		if of := r.Covers[i].Commit; of != r.Commit && !slices.Contains(out, of) {
			out = append(out, of)
		}
	}
	return out
}

// Reseal vouches for commits on the ref they were judged on, and records what they are derived of, which goes first: an interrupted
// run leaves no seal without it. What the hand must be allowed is what [Sealer.Seal] asks in that mode.
func (k *Sealer) Reseal(ctx context.Context, ref string, list []Remake) ([]Made, error) {
	var items []Item
	var pairs []prov.Rewrite
	commits := make([]git.Commit, 0, len(list))
	for _, m := range list {
		commits = append(commits, m.Commit)
		for _, old := range m.Of {
			pairs = append(pairs, prov.Rewrite{New: m.Commit.ID, Old: old})
		}
	}
	for some := range slices.Chunk(pairs, prov.MaxRewrites) {
		items = append(items, Item{Type: prov.Rewritten, Body: prov.Rewriting{Command: prov.Reseal, Pairs: some}, Subject: fmt.Sprintf("commit.rewritten %s %d", prov.Reseal, len(some))})
	}
	return k.sealAfter(ctx, prov.Vouching, ref, commits, func() error {
		if len(items) == 0 {
			return nil
		}
		_, err := k.Record(ctx, prov.Topic, items...)
		return err
	})
}
