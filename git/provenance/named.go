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
	entries := map[envelope.Digest]*verdict.Entry(nil)
	known := map[envelope.Digest]verdict.Work{}
	return func(last envelope.Digest) (verdict.Work, bool) {
		if entries == nil {
			entries = f.intentEntries()
		}
		if w, ok := known[last]; ok {
			return w, true
		}
		if entries[last] == nil {
			return verdict.Work{}, false
		}
		w := workTo(s, entries, last)
		known[last] = w
		return w, true
	}
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

// workTo follows the statements about an intent back from one to the opening, and folds these alone: what else was said of the intent at the
// same time does not make them something that never was.
func workTo(s *git.Session, entries map[envelope.Digest]*verdict.Entry, last envelope.Digest) verdict.Work {
	var facts []intent.Fact
	for id := last; id != ""; {
		e := entries[id]
		switch {
		case e == nil:
			return verdict.Work{Lacks: id}
		case len(facts) == prov.MaxStatements:
			return verdict.Work{Why: "more statements lead there than are followed"}
		}
		fact, err := intentFact(s, e)
		switch {
		case errors.Is(err, envelope.ErrNewer):
			return verdict.Work{Newer: true}
		case err != nil:
			return verdict.Work{Why: id.Short() + " is no statement about an intent: " + err.Error()}
		}
		facts = append(facts, fact)
		id = fact.Follows()
	}
	w := verdict.Work{Intent: string(facts[0].Intent())}
	x := intent.Fold(facts[0].Intent(), facts, func(f *intent.Fact, action string, about intent.ID, role intent.Role) string {
		w.Acts = append(w.Acts, verdict.Act{ID: f.ID, KeyID: f.Key, Action: action, Intent: string(about), Role: string(role)})
		return ""
	})
	w.State, w.Statements = string(x.State), len(x.Counted())
	if lost := x.Lost(); len(lost) > 0 {
		w.Why = lost[0].Why
	} else if w.Statements != len(facts) {
		w.Why = "its statements are about different intents"
	}
	return w
}

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
