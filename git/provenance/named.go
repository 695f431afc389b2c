package provenance

import (
	"errors"
	"slices"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/intent"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
)

// keepNamed takes in an entry that seals may name. That of a part of a ledger that counts for nothing is one all the same: it is there.
func (f *Facts) keepNamed(r entryRef, st *statement) {
	n := verdict.Named{}
	switch {
	case st.evidence != nil:
		n.Evidence, n.Tree = true, st.evidence.Tree()
		n.Why = f.claimed(st.evidence, r.entry().KeyID)
	case st.review != nil:
		n.Review, n.Base, n.Tree = true, st.review.Predicate.Base.Tree, st.review.Tree()
	default:
		return
	}
	n.ID, n.KeyID = r.entry().ID, r.entry().KeyID
	if r.chain != f.Chains[r.chain.Name] {
		n.Why = "it stands in another way that ledger " + r.chain.Name + " went"
	} else {
		if seen, ok := f.seenBy(r.chain.Name, r.i); ok {
			n.Seen = seen.Time
		}
		if wrong := r.chain.Wrong(r.i); wrong != nil {
			n.Why = wrong.Message
		}
	}
	if had, twice := f.bound[n.ID]; !twice || had.Why != "" {
		f.bound[n.ID] = n
	}
}

// Named returns what an entry is that a seal names; false where no ledger here has it.
func (f *Facts) Named(id envelope.Digest) (verdict.Named, bool) {
	if n, ok := f.bound[id]; ok {
		return n, true
	}
	_, ok := f.byID[id]
	return verdict.Named{}, ok
}

// works returns what tells to what the statements about intents come, down to each that is asked for. Entries are read when they are.
func (f *Facts) works(s *git.Session) func(envelope.Digest) (verdict.Work, bool) {
	t := &trails{s: s, at: map[envelope.Digest]*trail{}}
	return func(last envelope.Digest) (verdict.Work, bool) {
		if t.entries == nil {
			t.entries = f.intentEntries()
		}
		if t.entries[last] == nil {
			return verdict.Work{}, false
		}
		return t.to(last).Work, true
	}
}

// trails are the ways through the statements about intents that were gone.
type trails struct {
	s       *git.Session
	entries map[envelope.Digest]*verdict.Entry
	at      map[envelope.Digest]*trail // by the statement that somebody asked for
}

// trail is one way, from the opening to a statement: what the intent is there.
type trail struct {
	verdict.Work
	intent *intent.Intent // nil where no way leads there
}

// intentEntries finds the entries of ledgers of intents, whichever way these went.
func (f *Facts) intentEntries() map[envelope.Digest]*verdict.Entry {
	out := map[envelope.Digest]*verdict.Entry{}
	of := func(topic string) bool { return topic == intent.Topic }
	for _, r := range slices.Concat(f.forkEntries(of), f.entriesOf(of)) {
		if e := r.entry(); e.Err == nil {
			out[e.ID] = e
		}
	}
	return out
}

// to follows the statements about an intent back from one to the opening, or to one that was asked for before, and goes on from there by these
// alone: what else was said of the intent at the same time does not make them something that never was.
func (t *trails) to(last envelope.Digest) *trail {
	var facts []intent.Fact
	from := &trail{}
	end := func(w verdict.Work) *trail {
		t.at[last] = &trail{Work: w}
		return t.at[last]
	}
	for id := last; id != ""; {
		if was := t.at[id]; was != nil {
			if was.intent == nil {
				return end(was.Work)
			}
			from = was
			break
		}
		e := t.entries[id]
		switch {
		case e == nil:
			return end(verdict.Work{Lacks: id})
		case len(facts) == prov.MaxStatements:
			return end(verdict.Work{Why: tooManySteps})
		}
		fact, err := intentFact(t.s, e)
		switch {
		case errors.Is(err, envelope.ErrNewer):
			return end(verdict.Work{Newer: true})
		case err != nil:
			return end(verdict.Work{Why: id.Short() + " is no statement about an intent: " + err.Error()})
		}
		facts = append(facts, fact)
		id = fact.Follows()
	}
	if from.Statements+len(facts) > prov.MaxStatements {
		return end(verdict.Work{Why: tooManySteps})
	}
	w, x := from.Work, from.intent
	w.Acts = slices.Clone(w.Acts)
	for i := range slices.Backward(facts) {
		next, why := x.Next(&facts[i], func(f *intent.Fact, action string, about intent.ID, role intent.Role) string {
			a := verdict.Act{ID: f.ID, KeyID: f.Key, Action: action, Intent: string(about), Role: string(role)}
			if !slices.ContainsFunc(w.Acts, a.Like) {
				w.Acts = append(w.Acts, a)
			}
			return ""
		})
		if why != "" {
			w.Why = why
			return end(w)
		}
		x = next
		w.Intent, w.State, w.Statements = string(x.ID), string(x.State), w.Statements+1
		if w.Statements%halting == 0 || i == 0 {
			t.at[x.Last] = &trail{Work: w, intent: x}
		}
	}
	return t.at[last]
}

// halting is after how many statements a place is remembered that nobody asked for: ways that part from a long one are gone from there.
const halting = 64

const tooManySteps = "more statements lead there than are followed"

// intentFact reads one statement. It is held to the identity that was verified.
func intentFact(s *git.Session, e *verdict.Entry) (intent.Fact, error) {
	o, err := s.Object(e.Blob.String(), envelope.MaxSize+1)
	if err != nil {
		return intent.Fact{}, err
	}
	env, err := ledger.ParseBlob(o.Data)
	if err != nil {
		return intent.Fact{}, err
	}
	opened, err := env.OpenPinned(env.PayloadType(), e.ID)
	if err != nil {
		return intent.Fact{}, err
	}
	p, err := intent.Parse(opened)
	if err != nil {
		return intent.Fact{}, err
	}
	return intent.Fact{ID: e.ID, Key: e.KeyID, Ledger: e.Header.Ledger(), Seq: e.Header.Seq, Time: e.Header.Time, Opened: p.Opened, Edited: p.Edited, Moved: p.Moved}, nil
}

// IntentQuery is what is asked of the authority about an act on an intent, in a role where there is one.
func IntentQuery(keyID, action, about, role string) capability.Query {
	q := capability.Query{KeyID: keyID, Action: action, Intent: about, Resource: map[string]any{}}
	if about != "" {
		q.Resource["intent"] = about
	}
	if role != "" {
		q.Resource["role"] = role
	}
	return q
}

// might reports whether who acted on an intent ever held anything by which that could be done.
func (f *Facts) might(a verdict.Act) bool {
	return f.Authority.MightEver(IntentQuery(a.KeyID, a.Action, a.Intent, a.Role))
}
