// Package audit reads all ledgers of a repository as one log, and adds to it.
//
// There is no log beside the ledgers: what happened is recorded once, in the ledger of who did it, and the log is their
// union in causal order. An entry comes after the one before it in its ledger and after all that its header says its
// writer had seen; among those that know nothing of each other the earlier claimed time comes first, then the smaller
// identity. Only what the ledgers prove is in it: entries that no known key signed, or that stand beyond a break, are
// not; [provenance.Facts] tells of them.
package audit

import (
	"cmp"
	"container/heap"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/event"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// Record is one line of the log: an entry of a ledger, or one event of an entry that has several.
type Record struct {
	capability.Place                       // its entry: identity, key, ledger, number, claimed time
	Commit           oid.ID                // the entry's commit
	Index, Of        int                   // which event of how many of the entry, from 1
	Kind             string                // of an event; else the statement's type without its version; [Seal]
	Outcome          event.Outcome         // how it ended: what decides says Denied, or OK
	At               time.Time             // when it happened: as the event says, else the entry's time
	Intent, Session  string                // it was done for, and in; "" where nobody says
	Principal        *capability.Principal // whose key signed it
	Data             []Field               // the rest of its statement, by name
	Err              error                 // why a recording says nothing: its writer signed what is none; then only its place is known
}

// Field is a field of a statement, as JSON.
type Field struct {
	Name  string
	Value json.RawMessage
}

// Seal is the kind of a commit's seal, Evidence and Review those of what they say; Unread that of a recording whose events can't be read, and which says nothing.
const (
	Seal     = "seal"
	Evidence = "evidence"
	Review   = "review"

	Attestation = "attestation"
	Unread      = "audit.recorded"
)

// Get returns a field's value as text: a string as it is, anything else as JSON; "" where there is none.
func (r *Record) Get(name string) string {
	i, ok := slices.BinarySearchFunc(r.Data, name, func(f Field, n string) int { return cmp.Compare(f.Name, n) })
	if !ok {
		return ""
	}
	var s string
	if json.Unmarshal(r.Data[i].Value, &s) == nil {
		return s
	}
	return string(r.Data[i].Value)
}

// Filter picks records; its zero value picks all.
type Filter struct {
	Since, Until time.Time // when it happened, both included
	Principal    string    // who did it, was asked about, or answers for it
	Kinds        []string  // any of these; "capability.*" is all that begin with "capability."
	Intent       string
	Outcome      event.Outcome
	After        map[string]uint64 // of these ledgers only entries with higher numbers
}

func (f *Filter) wants(r *Record, a *capability.Authority) bool {
	if (!f.Since.IsZero() && r.At.Before(f.Since)) || (!f.Until.IsZero() && r.At.After(f.Until)) ||
		(f.Intent != "" && r.Intent != f.Intent) || (f.Outcome != "" && r.Outcome != f.Outcome) {
		return false
	}
	if len(f.Kinds) > 0 && !slices.ContainsFunc(f.Kinds, func(k string) bool { return k == r.Kind || capability.Covers(k, r.Kind) }) {
		return false
	}
	return f.Principal == "" || f.is(r.Principal) || f.about(r, a)
}

func (f *Filter) is(p *capability.Principal) bool {
	return p != nil && (p.Name == f.Principal || p.Accountable == f.Principal)
}

// about reports whether a decision or check, which a gate may have signed, was asked about somebody.
func (f *Filter) about(r *Record, a *capability.Authority) bool {
	if r.Kind != "gate.decided" && r.Kind != "capability.checked" {
		return false // anybody may write an event with such a field
	}
	p, ok := a.ByKey(r.Get("key"))
	return ok && f.is(p)
}

// An entry's place among all chains.
type spot struct {
	chain *verdict.Chain
	i     int
}

func (s spot) entry() *verdict.Entry { return &s.chain.Entries[s.i] }

// ready are the entries whose causes have all come, the earliest on top.
type ready []spot

func (r ready) Len() int { return len(r) }
func (r ready) Less(i, j int) bool {
	a, b := r[i].entry(), r[j].entry()
	return cmp.Or(cmp.Compare(a.Header.Time, b.Header.Time), cmp.Compare(a.ID, b.ID)) < 0 // times have one form, and sort as texts
}
func (r ready) Swap(i, j int) { r[i], r[j] = r[j], r[i] }
func (r *ready) Push(x any)   { *r = append(*r, x.(spot)) }
func (r *ready) Pop() any {
	old := *r
	last := old[len(old)-1]
	*r = old[:len(old)-1]
	return last
}

// order returns all entries that count, in causal order, without those that were dropped.
func order(f *provenance.Facts) []spot {
	n := 0
	ends := map[string]int{} // ledger → how many of its entries count
	for name, c := range f.Chains {
		ends[name] = counting(c)
		n += ends[name]
	}
	out := make([]spot, 0, n)
	came := map[string]int{}
	waiting := map[string][]spot{} // for more of a ledger
	var r ready
	// blocked returns a ledger of which an entry must come first; "" when none must.
	// A decision names no heads: the seal that follows it in the same transaction names them for both.
	blocked := func(s spot) string {
		heads := s.entry().Header.Heads
		if f.Decides(s.entry().ID) && len(heads) == 0 && s.i+1 < ends[s.chain.Name] {
			heads = s.chain.Entries[s.i+1].Header.Heads
		}
		for _, h := range heads {
			if seq := int(h.Seq); seq <= ends[h.Ledger] && seq > came[h.Ledger] && f.Chains[h.Ledger].Entries[seq-1].ID == h.ID { //nolint:gosec // bounded by envelope.Header.Check
				return h.Ledger
			}
		}
		return ""
	}
	offer := func(s spot) {
		if s.i >= ends[s.chain.Name] {
			return
		}
		if on := blocked(s); on != "" {
			waiting[on] = append(waiting[on], s)
			return
		}
		heap.Push(&r, s)
	}
	for _, name := range slices.Sorted(maps.Keys(f.Chains)) {
		offer(spot{f.Chains[name], 0})
	}
	for r.Len() > 0 || len(waiting) > 0 {
		if r.Len() == 0 { // some wait for each other, as no honest writer's entries do: one of them goes first, and nothing is left out
			on, i := circle(f, waiting, came, blocked)
			heap.Push(&r, waiting[on][i])
			if waiting[on] = slices.Delete(waiting[on], i, i+1); len(waiting[on]) == 0 {
				delete(waiting, on)
			}
		}
		s := heap.Pop(&r).(spot) //nolint:forcetypeassert // nothing else is in it
		if !s.entry().Dropped {
			out = append(out, s)
		}
		name := s.chain.Name
		came[name]++
		again := waiting[name]
		delete(waiting, name)
		offer(spot{s.chain, s.i + 1})
		for _, w := range again {
			offer(w)
		}
	}
	return out
}

// circle finds an entry that waits for itself, in the end: for which ledger it waits, and its place among those who do.
func circle(f *provenance.Facts, waiting map[string][]spot, came map[string]int, blocked func(spot) string) (on string, i int) {
	on = slices.Min(slices.Collect(maps.Keys(waiting)))
	at := waiting[on][0]
	for seen := map[string]bool{}; !seen[at.chain.Name]; {
		seen[at.chain.Name] = true
		on = blocked(at)
		at = spot{f.Chains[on], came[on]} // the next of the ledger it waits for, which waits as well
	}
	on = blocked(at)
	return on, slices.Index(waiting[on], at)
}

// Log returns the records that a filter picks, causes before effects. Statements are read as they are
// asked for; what was verified when f was read is held to its identity.
func Log(s *git.Session, f *provenance.Facts, filter Filter) iter.Seq2[Record, error] {
	return read(s, f, filter, order(f), slices.Values)
}

// Backwards is Log, effects before causes: what happened last comes first.
func Backwards(s *git.Session, f *provenance.Facts, filter Filter) iter.Seq2[Record, error] {
	spots := order(f)
	slices.Reverse(spots)
	return read(s, f, filter, spots, func(list []Record) iter.Seq[Record] {
		slices.Reverse(list)
		return slices.Values(list)
	})
}

// read reads what stands at spots; within gives the records of one entry in their order.
func read(s *git.Session, f *provenance.Facts, filter Filter, spots []spot, within func([]Record) iter.Seq[Record]) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for batch, err := range entries(s, f, filter, spots) {
			if err != nil {
				yield(Record{}, err)
				return
			}
			for r := range within(batch) {
				if filter.wants(&r, f.Authority) && !yield(r, nil) {
					return
				}
			}
		}
	}
}

// entries reads the records of each entry.
func entries(s *git.Session, f *provenance.Facts, filter Filter, spots []spot) iter.Seq2[[]Record, error] {
	spots = slices.DeleteFunc(spots, func(x spot) bool { return uint64(x.i) < filter.After[x.chain.Name] }) //nolint:gosec // an index is no negative number
	return func(yield func([]Record, error) bool) {
		i := 0
		for o, err := range s.Objects(func(yield func(string) bool) {
			for _, x := range spots {
				if !yield(x.entry().Commit.String() + ":" + ledger.File) {
					return
				}
			}
		}, envelope.MaxSize) {
			if i >= len(spots) {
				return
			}
			x := spots[i]
			i++
			var list []Record
			if err == nil {
				list, err = records(f, x, o.Data)
			}
			if err != nil {
				err = fmt.Errorf("entry %d of %s: %w", x.i+1, x.chain.Name, err)
			}
			if !yield(list, err) || err != nil {
				return
			}
		}
	}
}

// records reads an entry that was verified before: it must be the very one.
func records(f *provenance.Facts, x spot, blob []byte) ([]Record, error) {
	env, err := ledger.ParseBlob(blob)
	if err != nil {
		return nil, err
	}
	e := x.entry()
	o, err := env.OpenPinned(env.PayloadType(), e.ID)
	if err != nil {
		return nil, err
	}
	r := Record{
		Place:  capability.Place{ID: e.ID, KeyID: e.KeyID, Ledger: x.chain.Name, Seq: e.Header.Seq, Time: e.Header.When()},
		Commit: e.Commit, Index: 1, Of: 1, Outcome: event.OK, At: e.Header.When(),
	}
	r.Principal, _ = f.Authority.ByKey(e.KeyID)
	if o.PayloadType == envelope.TypeInToto {
		return []Record{r}, r.about(o)
	}
	kind, err := envelope.TypeOf(o)
	if err != nil {
		return nil, err
	}
	if kind == event.Recorded {
		return r.events(o)
	}
	r.Kind = event.Name(kind)
	var s struct {
		Body map[string]json.RawMessage `json:"body"`
	}
	if err := json.Unmarshal(o.Payload, &s); err != nil {
		return nil, err
	}
	r.fields(s.Body)
	r.Intent = r.Get("intent")
	if r.Get("allowed") == "false" {
		r.Outcome = event.Denied
	}
	return []Record{r}, nil
}

// fields takes a statement's fields in.
func (r *Record) fields(m map[string]json.RawMessage) {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		r.Data = append(r.Data, Field{name, m[name]})
	}
}

func (r *Record) events(o *envelope.Opened) ([]Record, error) {
	s, err := event.Parse(o)
	if err != nil { // it keeps its place, and spoils nothing else
		one := *r
		one.Kind, one.Outcome, one.Err = Unread, "", err
		return []Record{one}, nil //nolint:nilerr // it is the record's
	}
	out := make([]Record, 0, len(s.Body.Events))
	for i := range s.Body.Events {
		e, one := &s.Body.Events[i], *r
		one.Index, one.Of, one.Kind, one.Outcome, one.Intent, one.Session = i+1, len(s.Body.Events), e.Kind, e.Ended(), e.Intent, e.Session
		if e.At != "" {
			if one.At, err = time.Parse(time.RFC3339, e.At); err != nil {
				return nil, err
			}
		}
		m := map[string]json.RawMessage{}
		for name, v := range e.Data {
			if m[name], err = json.Marshal(v); err != nil {
				return nil, err
			}
		}
		one.fields(m)
		out = append(out, one)
	}
	return out, nil
}

// Heads returns how far each ledger reaches, for [Filter.After].
func Heads(f *provenance.Facts) map[string]uint64 {
	out := make(map[string]uint64, len(f.Chains))
	for name, c := range f.Chains {
		out[name] = uint64(counting(c)) //nolint:gosec // a count
	}
	return out
}

// counting returns how many entries of a ledger count, from its first on.
func counting(c *verdict.Chain) int {
	n := 0
	for n < len(c.Entries) && c.Whole(n) && c.Entries[n].Err == nil {
		n++
	}
	return n
}
