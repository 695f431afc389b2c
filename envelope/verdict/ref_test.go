package verdict_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/oid"
)

// everybody may do everything, but for those whose key begins with "bad".
type everybody struct{}

func (everybody) Decide(q capability.Query) capability.Decision {
	if strings.HasPrefix(q.KeyID, "bad") {
		return capability.Decision{Reason: "no grant"}
	}
	return capability.Decision{Allowed: true}
}

// oneself answers for oneself.
func oneself(keyID string) (verdict.Principal, bool) {
	return verdict.Principal{Name: keyID, Kind: "human", Accountable: keyID, Key: keyID}, true
}

func at(name string) oid.ID {
	if name == "" {
		return oid.ID{}
	}
	return oid.SHA1.Hash("blob", []byte(name))
}

// steps reads "A>B" for an admission of ada's, "key:A>B" for another's, in the order in which
// they were made; "key@3:A>B" has seen the first three.
func steps(text string) []verdict.Step {
	var out []verdict.Step
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i, w := range strings.Fields(text) {
		key, move, ok := strings.Cut(w, ":")
		if !ok {
			key, move = "ada", w
		}
		seen := 0
		if k, n, ok := strings.Cut(key, "@"); ok {
			key = k
			_, _ = fmt.Sscan(n, &seen)
		}
		from, to, _ := strings.Cut(move, ">")
		s := verdict.Step{
			ID: envelope.Digest(fmt.Sprintf("sha256:%064x", i+1)), KeyID: key, Ledger: "provenance/" + key, Seq: uint64(i + 1), Time: begin.Add(time.Duration(i) * time.Minute),
			Old: at(from), New: at(to), Action: capability.Push, Saw: map[string]uint64{},
		}
		for _, o := range out[:seen] {
			s.Saw[o.Ledger] = max(s.Saw[o.Ledger], o.Seq)
		}
		out = append(out, s)
	}
	return out
}

func TestLine(t *testing.T) {
	for _, c := range []struct {
		name, since, steps, head string
		want                     []verdict.Code
	}{
		{"nobody admitted anything", "S", "", "A", []verdict.Code{verdict.RefUnadmitted}},
		{"it never moved", "S", "", "S", nil},
		{"there is no such ref", "", "", "", nil},
		{"from where governance began", "S", "S>A A>B", "B", nil},
		{"from nothing", "", ">A A>B", "B", nil},
		{"from nothing, though governed since", "S", ">A A>B", "B", nil},
		{"from anywhere", "S", "X>A", "A", []verdict.Code{verdict.RefGap}},
		{"it was moved back", "S", "S>A A>B", "A", []verdict.Code{verdict.RefMoved}},
		{"it was moved on", "S", "S>A A>B", "C", []verdict.Code{verdict.RefMoved}},
		{"it is gone", "S", "S>A", "", []verdict.Code{verdict.RefMoved}},
		{"it was deleted", "S", "S>A A>", "", nil},
		{"it was deleted and is there", "S", "S>A A>", "A", []verdict.Code{verdict.RefMoved}},
		{"it was deleted and made again", "S", "S>A A> >B", "B", nil},
		{"a gap", "S", "S>A B>C", "C", []verdict.Code{verdict.RefGap, verdict.RefMoved}},
		{"a gap that was filled later", "S", "S>A B>C A>B", "C", nil},
		{"a fork", "S", "S>A bob:A>B A>C", "C", []verdict.Code{verdict.RefGap}},
		{"a fork at the beginning", "S", "S>A bob:S>B", "B", []verdict.Code{verdict.RefGap}},
		{"a fork brought together", "S", "S>A bob:A>B A>C B>M C>M", "M", nil},
		{"and gone on from", "S", "S>A bob:A>B A>C B>M C>M bob:M>N", "N", nil},
		{"two say the same", "S", "S>A bob:S>A A>B", "B", nil},
		{"there and back", "S", "S>A A>B B>A", "A", nil},
		{"there and back, and it is there", "S", "S>A A>B B>A", "B", []verdict.Code{verdict.RefMoved}},
		{"there and back and there", "S", "S>A A>B B>A A>B", "B", nil},
		{"there and back and elsewhere", "S", "S>A bob:A>B B>A A>C", "C", nil},
		{"back by who saw it", "S", "S>A bob:A>B ada@2:B>A", "A", nil},
		{"by nobody", "S", "bad:S>A", "A", []verdict.Code{verdict.RefUnadmitted, verdict.RefAuthority}},
		{"then by nobody", "S", "S>A bad:A>B", "B", []verdict.Code{verdict.RefMoved, verdict.RefAuthority}},
		{"nobody's word turns nothing red", "S", "S>A bad:A>B bad:X>Y bad:S>C", "A", nil},
		{"a circle apart", "S", "S>A X>Y Y>X", "A", []verdict.Code{verdict.RefGap}},
	} {
		l := verdict.Line{Ref: "refs/heads/main", Steps: steps(c.steps)}
		if c.since != "" {
			l.Since = []oid.ID{at(c.since)}
		}
		for range 8 {
			rand.Shuffle(len(l.Steps), func(i, j int) { l.Steps[i], l.Steps[j] = l.Steps[j], l.Steps[i] })
			r := l.Judge(&verdict.World{Authority: everybody{}, Principal: oneself}, at(c.head), at(c.head), time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC))
			var got []verdict.Code
			for _, f := range r.Findings {
				if !slices.Contains(got, f.Code) {
					got = append(got, f.Code)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Fatalf("%s: %s at %s: found %v, want %v\n%v", c.name, c.steps, c.head, got, c.want, r.Findings)
			}
			if r.OK() && c.steps != "" && (r.Newest == nil || r.Newest.New != at(c.head)) {
				t.Errorf("%s: newest is %v", c.name, r.Newest)
			}
		}
	}
}

// TestLineByWrongClocks: where a line comes back to no place, the times its writers claim change nothing.
func TestLineByWrongClocks(t *testing.T) {
	list := steps("S>A bob:A>B eve:B>C bob:C>D")
	for range 50 {
		for i := range list {
			list[i].Time = time.Unix(rand.Int64N(1<<30), 0)
		}
		l := verdict.Line{Ref: "refs/heads/main", Since: []oid.ID{at("S")}, Steps: list}
		if r := l.Judge(&verdict.World{Authority: everybody{}, Principal: oneself}, at("D"), at("D"), time.Unix(1<<31, 0)); !r.OK() {
			t.Fatalf("%v", r.Findings)
		}
	}
}

func TestLongLine(t *testing.T) {
	var text strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&text, "%d>%d ", i, i+1)
	}
	l := verdict.Line{Ref: "refs/heads/main", Since: []oid.ID{at("0")}, Steps: steps(text.String())}
	begin := time.Now()
	if r := l.Judge(&verdict.World{Authority: everybody{}, Principal: oneself}, at("20000"), at("20000"), time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)); !r.OK() {
		t.Fatal(r.Findings)
	}
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
}

// TestManyAdmissions: somebody who may admit, and does so a thousand times to and fro, costs no more than a moment's thought.
func TestManyAdmissions(t *testing.T) {
	id := func(n byte) oid.ID {
		x, err := oid.Parse(strings.Repeat(string("0123456789abcdef"[n]), 40))
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	l := verdict.Line{Ref: "refs/heads/main", Since: []oid.ID{id(1)}}
	for i := range 2000 {
		from, to := id(1), id(2)
		if i%2 == 1 {
			from, to = id(2), id(1)
		}
		if i%3 == 0 {
			to = id(3)
		}
		l.Steps = append(l.Steps, verdict.Step{ID: envelope.Digest(fmt.Sprintf("sha256:%064x", i)), KeyID: "k", Ledger: fmt.Sprint("provenance/", i%7), Seq: uint64(i/7 + 1), Old: from, New: to, Time: time.Unix(int64(i%5), 0)})
	}
	w := &verdict.World{Authority: allower{}, Principal: func(string) (verdict.Principal, bool) { return verdict.Principal{Name: "x"}, true }}
	done := make(chan verdict.RefState, 1)
	go func() { done <- l.Judge(w, id(2), id(2), time.Unix(100, 0)) }()
	select {
	case r := <-done:
		if len(r.Findings) == 0 {
			t.Errorf("%+v", r)
		}
	case <-time.After(60 * time.Second): // it takes a fraction of a second; without a bound it took hours
		t.Fatal("it does not end")
	}
}

type allower struct{}

func (allower) Decide(capability.Query) capability.Decision {
	return capability.Decision{Allowed: true}
}
