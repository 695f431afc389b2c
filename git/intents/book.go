// Package intents reads the statements about intents out of the ledgers, and adds to them.
//
// What an intent comes to is a function of the statements of topic intent, the trust root and the grants, and of nothing else: no clock, no
// order in which ledgers arrived. Whose time is believed is that of operators: a statement of anybody else was there when the first
// operator's entry, of topic intent or capability, named it, and may be as late as the newest of those until then.
package intents

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/intent"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// Errors of looking for an intent.
var (
	ErrUnknown   = errors.New("there is no such intent")
	ErrAmbiguous = errors.New("several intents begin so")
)

// An AmbiguousError names what was meant by too few letters. It wraps ErrAmbiguous.
type AmbiguousError struct {
	Name string
	Of   []Row
}

func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("%q may be any of %d intents", e.Name, len(e.Of))
}

// Unwrap returns ErrAmbiguous.
func (e *AmbiguousError) Unwrap() error { return ErrAmbiguous }

// Book is all intents, as the ledgers that are here tell of them.
type Book struct {
	ctx   context.Context //nolint:containedctx // a book is read for one command
	s     *git.Session
	root  *provenance.Root
	cache *provenance.Cache

	tips  map[string]oid.ID // what the ledgers were, as of the last look or act
	head  head
	rows  *shelf // by the time of their opening, then by id
	byID  map[intent.ID]int
	rings map[intent.ID]int // see circles
	lines *os.File
	whole map[intent.ID]*intent.Intent // that were read, or folded just now
	kept  <-chan struct{}              // closed when the index is written; nil where none is on its way
}

// Open reads the book: what was remembered, and what ledgers gained since. A nil cache remembers nothing. The caller closes it.
func Open(ctx context.Context, s *git.Session, root *provenance.Root, cache *provenance.Cache) (*Book, error) {
	b := &Book{ctx: ctx, s: s, root: root, cache: cache}
	tips, err := provenance.Tips(s, intent.Topic, provenance.CapabilityTopic)
	if err != nil {
		return nil, err
	}
	b.tips, b.whole = tips, map[intent.ID]*intent.Intent{}
	if b.recall() && b.update(ctx, tips) == nil {
		return b, nil
	}
	return b, b.again(tips)
}

// again reads all from the ledgers: nothing is remembered, or what is derived is damaged.
func (b *Book) again(tips map[string]oid.ID) error {
	b.forget()
	return b.update(b.ctx, tips)
}

// number finds rows by their ids.
func (b *Book) number() map[intent.ID]int {
	if b.byID != nil {
		return b.byID
	}
	b.byID = make(map[intent.ID]int, b.rows.len())
	for i := range b.rows.len() {
		b.byID[b.rows.id(i)] = i
	}
	return b.byID
}

// Close ends reading. What was read is remembered then.
func (b *Book) Close() {
	b.wait()
	if b.lines != nil {
		_ = b.lines.Close()
		b.lines = nil
	}
}

// Len is how many rows there are.
func (b *Book) Len() int { return b.rows.len() }

// Rows are all intents that are wanted, those that were opened first before others; nil wants all. What is none, since its opening does
// not count or is not here, is among them with the reason.
func (b *Book) Rows(want func(*Brief) bool) iter.Seq[*Row] {
	return func(yield func(*Row) bool) {
		for i := range b.rows.len() {
			if want != nil {
				if x := b.rows.brief(i); !want(&x) {
					continue
				}
			}
			if !yield(b.rows.at(i)) {
				return
			}
		}
	}
}

// Row returns the row of an intent.
func (b *Book) Row(id intent.ID) (Row, bool) {
	i, ok := b.number()[id]
	if !ok {
		return Row{}, false
	}
	return *b.rows.at(i), true
}

// Problems tell what is wrong with ledgers of intents, by the names of these.
func (b *Book) Problems() []verdict.Finding {
	var out []verdict.Finding
	for _, name := range slices.Sorted(maps.Keys(b.head.Problems)) {
		out = append(out, b.head.Problems[name])
	}
	return out
}

// Find returns the intent that people mean: by its id, its name, or the beginning of one of these that no other intent has.
func (b *Book) Find(name string) (Row, error) {
	var exact, begin []Row
	for i := range b.rows.len() {
		r := b.rows.brief(i)
		switch {
		case string(r.ID) == name:
			return *b.rows.at(i), nil
		case r.Void() || name == "":
		case r.Name == name:
			exact = append(exact, *b.rows.at(i))
		case len(name) >= 4 && strings.HasPrefix(string(r.ID), name), strings.HasPrefix(r.Name, name):
			begin = append(begin, *b.rows.at(i))
		}
	}
	found := exact
	if len(found) == 0 || intent.LikeID(name) { // a name of before that rule, or somebody else's, is not taken for an id that it begins
		found = append(found, begin...)
	}
	switch len(found) {
	case 0:
		return Row{}, fmt.Errorf("%w: %.80q", ErrUnknown, name)
	case 1:
		return found[0], nil
	}
	return Row{}, &AmbiguousError{name, found}
}

// Intent returns an intent whole.
func (b *Book) Intent(id intent.ID) (*intent.Intent, error) {
	if s, ok := b.whole[id]; ok {
		return s, nil
	}
	i, ok := b.number()[id]
	if !ok {
		return nil, fmt.Errorf("%w: %.80q", ErrUnknown, id)
	}
	s, err := b.wholeOf(b.rows.at(i))
	if err == nil {
		return s, nil
	}
	tips, err := provenance.Tips(b.s, intent.Topic, provenance.CapabilityTopic)
	if err == nil {
		err = b.again(tips)
	}
	if err != nil {
		return nil, err
	}
	if s, ok := b.whole[id]; ok {
		return s, nil
	}
	return nil, fmt.Errorf("%w: %.80q", ErrUnknown, id)
}

// StateOf returns what a seal binds of an intent: the digest of its state, and the intent. The error wraps ErrUnknown where there is none
// of this id that counts.
func (b *Book) StateOf(id intent.ID) (envelope.Digest, *intent.Intent, error) {
	s, err := b.Intent(id)
	if err != nil {
		return "", nil, err
	}
	if s.Void != "" {
		return "", nil, fmt.Errorf("%w: %s: %s", ErrUnknown, id.Short(), s.Void)
	}
	return s.Digest(), s, nil
}

// Waits returns those intents that one needs and that are not integrated. What leads back to the intent itself is
// a circle: it holds nobody up, and is told as such.
func (b *Book) Waits(r *Row) (on []intent.ID, circle bool) {
	if len(r.Needs) == 0 {
		return nil, false
	}
	if b.rings == nil {
		b.rings = b.circles()
	}
	for _, n := range r.Needs {
		i, ok := b.number()[n]
		switch {
		case ok && (n == r.ID || b.rings[n] != 0 && b.rings[n] == b.rings[r.ID]):
			circle = true
		case !ok, b.rows.at(i).State != intent.Integrated, b.rows.at(i).Void != "":
			on = append(on, n)
		}
	}
	return on, circle
}

// circles numbers the groups of intents whose needs lead from each to all others of the group, from 1 on.
// It is Tarjan's way: an intent's low is the first that is still being looked at which its needs lead to.
func (b *Book) circles() map[intent.ID]int {
	order, low, group := map[intent.ID]int{}, map[intent.ID]int{}, map[intent.ID]int{}
	var stack []intent.ID
	groups := 0
	var visit func(id intent.ID)
	visit = func(id intent.ID) {
		order[id] = len(order) + 1
		low[id] = order[id]
		stack = append(stack, id)
		if i, ok := b.number()[id]; ok {
			for _, n := range b.rows.at(i).Needs {
				if order[n] == 0 {
					visit(n)
				}
				if group[n] == 0 {
					low[id] = min(low[id], low[n])
				}
			}
		}
		if low[id] != order[id] {
			return
		}
		groups++
		for {
			top := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			if group[top] = groups; top == id {
				return
			}
		}
	}
	for i := range b.rows.len() {
		if x := b.rows.brief(i); x.needs != "" && order[x.ID] == 0 {
			visit(x.ID)
		}
	}
	return group
}

// reaches reports whether needs lead from one intent to another.
func (b *Book) reaches(from, to intent.ID, seen map[intent.ID]bool) bool {
	if from == to {
		return true
	}
	i, ok := b.number()[from]
	if !ok || seen[from] {
		return false
	}
	seen[from] = true
	return slices.ContainsFunc(b.rows.at(i).Needs, func(n intent.ID) bool { return b.reaches(n, to, seen) })
}

// above reports whether an intent is another or one of those that it is a part of.
func (b *Book) above(from, to intent.ID) bool {
	for range b.rows.len() + 1 {
		if from == to {
			return true
		}
		i, ok := b.number()[from]
		if !ok || b.rows.at(i).Parent == "" {
			return false
		}
		from = b.rows.at(i).Parent
	}
	return false
}

// rank says how much an intent wants to be worked on, by its state: what is nearest to its end goes first.
var rank = map[intent.State]int{
	intent.Repair: 100, intent.Validation: 90, intent.CrossReview: 80, intent.SelfReview: 70, intent.InProgress: 60, intent.Ready: 55, intent.Planned: 50, intent.Triaged: 40, intent.Proposed: 30,
}

// Candidate is an intent that may be worked on, and how it ranks.
type Candidate struct {
	*Row
	Rank  int
	Same  int  // how many have its rank and priority
	First bool // of those
}

// Next returns the first n of the intents that may be worked on, and how many there are: by state, then priority, then name or id.
// Those that are blocked, integrated, wait for others, or are in a state that is not wanted, are left out; waiting says how many wait. A nil wanted
// wants any state.
func (b *Book) Next(n int, wanted func(intent.State) bool) (list []Candidate, total, waiting int) {
	type group struct{ rank, priority int }
	groups := map[group][]int{}
	for i := range b.rows.len() {
		x := b.rows.brief(i)
		r, ok := rank[x.State]
		if !ok || x.Void() {
			continue
		}
		if x.needs != "" {
			if on, _ := b.Waits(b.rows.at(i)); len(on) > 0 {
				waiting++
				continue
			}
		}
		if wanted != nil && !wanted(x.State) {
			continue
		}
		total++
		g := group{r, slices.Index(intent.Priorities, x.Priority)}
		groups[g] = append(groups[g], i)
	}
	called := func(i int) string {
		x := b.rows.brief(i)
		return cmp.Or(x.Name, string(x.ID))
	}
	order := func(i, j int) int { return cmp.Compare(called(i), called(j)) }
	for _, g := range slices.SortedFunc(maps.Keys(groups), func(a, b group) int {
		return cmp.Or(cmp.Compare(b.rank, a.rank), cmp.Compare(b.priority, a.priority))
	}) {
		of := groups[g]
		switch left := n - len(list); {
		case left <= 0:
			return list, total, waiting
		case left == 1:
			of = []int{slices.MinFunc(of, order)}
		default:
			of = slices.SortedFunc(slices.Values(of), order)
			of = of[:min(left, len(of))]
		}
		for k, i := range of {
			list = append(list, Candidate{b.rows.at(i), g.rank, len(groups[g]), k == 0})
		}
	}
	return list, total, waiting
}
