package audit_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/event"
	"github.com/open-covenant/covenant-git/git/audit"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/provenance"
)

func TestPruneLies(t *testing.T) {
	ms := func(w *world, d time.Duration) string {
		b, _ := json.Marshal(map[string]any{"version": 1, "before_ms": w.clock.Add(d).UnixMilli()})
		return string(b)
	}
	other := envelope.Digest("sha256:" + strings.Repeat("1", 64))
	for name, row := range map[string]struct {
		action    string
		scope     func(w *world) string
		seen      bool // alice sees the statement
		lie       func(w *world, says *event.Pruning)
		elsewhere bool // it is a statement of another repository
		holds     bool // it may be obeyed, as far as anybody can tell who has not what it drops
		obeyed    bool // it is obeyed by who has that
	}{
		"an honest one":                {action: provenance.PurgeAction, seen: true, holds: true, obeyed: true},
		"one that nobody saw":          {action: provenance.PurgeAction},
		"of another repository":        {action: provenance.PurgeAction, seen: true, elsewhere: true},
		"by who may not":               {seen: true},
		"by who may do something else": {action: "audit.append", seen: true},
		"up to its cutoff":             {action: provenance.PurgeAction, scope: func(w *world) string { return ms(w, time.Hour) }, seen: true, holds: true, obeyed: true},
		"beyond its cutoff":            {action: provenance.PurgeAction, scope: func(w *world) string { return ms(w, -time.Hour) }, seen: true},
		"another root":                 {action: provenance.PurgeAction, seen: true, lie: func(_ *world, p *event.Pruning) { p.Root = other }},
		"another identity":             {action: provenance.PurgeAction, seen: true, lie: func(_ *world, p *event.Pruning) { p.Last = other }},
		"another ledger":               {action: provenance.PurgeAction, seen: true, lie: func(_ *world, p *event.Pruning) { p.Of = "audit/0123456789abcdef-01234567" }},
		"fewer than are dropped": {action: provenance.PurgeAction, seen: true, lie: func(_ *world, p *event.Pruning) {
			p.Ranges[0][0]++
			p.Dropped--
			p.Kinds["tool_call_completed"]--
		}, obeyed: true},
		"other kinds":                       {action: provenance.PurgeAction, seen: true, lie: func(_ *world, p *event.Pruning) { p.Kinds["note"] = 1 }, holds: true},
		"a time before they were made":      {action: provenance.PurgeAction, seen: true, lie: func(_ *world, p *event.Pruning) { p.Before = "2020-01-01T00:00:00Z" }, holds: true},
		"what names another ledger is gone": {action: provenance.PurgeAction, seen: true, lie: func(_ *world, p *event.Pruning) { p.Ranges[0][0]--; p.Dropped++; p.Kinds["tool_call_completed"]++ }, holds: true},
		"a denial is gone": {action: provenance.PurgeAction, seen: true, lie: func(w *world, p *event.Pruning) {
			p.Ranges[0][1]++
			p.Dropped++
			p.UpTo++
			p.Kinds["secret_access_denied"] = 1
			c := w.facts().Chains[p.Of]
			p.Last = c.Entries[p.UpTo-1].ID
			p.Root = rootOf(w.t, c, p.UpTo)
		}, holds: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			bob := w.agent("bob", "", "")
			scope := `{"version":1}`
			if row.scope != nil {
				scope = row.scope(w)
			}
			eve := w.agent("eve", row.action, scope)
			n := w.record(w.as("bob", bob), append(append(calls(4), denial()), calls(1)...)...)
			honest := w.plan(n, w.now()).Says
			honest.Reason = "x"
			says := honest
			says.Ranges, says.Kinds = slices.Clone(honest.Ranges), maps.Clone(honest.Kinds)
			if row.lie != nil {
				row.lie(w, &says)
			}
			k := w.as("eve", eve)
			if row.elsewhere {
				r := *k.Root
				r.ID, k.Root = other, &r
			}
			w.state(k, says)
			if row.seen {
				w.checkpoint()
			}
			tip := w.git("rev-parse", n.Ref())
			err := w.forget()
			if obeyed := err == nil; obeyed != row.obeyed {
				t.Errorf("obeyed %v: %v", obeyed, err)
			}
			if now := w.git("rev-parse", n.Ref()); (now != tip) != row.obeyed {
				t.Errorf("moved %v", now != tip)
			}
			w.git("update-ref", n.Ref(), tip)
			drops := honest
			if strings.HasSuffix(name, "is gone") {
				drops = says
			}
			w.force(n, drops)
			if wrong := w.wrong(); slices.Contains(wrong, "ledger.pruned") == row.holds {
				t.Errorf("forced: %q", wrong)
			}
		})
	}
}

func TestPruneOtherTopics(t *testing.T) {
	w := newWorld(t)
	w.agent("bob", provenance.PurgeAction, `{"version":1}`)
	w.note("one")
	f := w.facts()
	for name := range f.Chains {
		if strings.HasPrefix(name, provenance.AuditTopic) {
			continue
		}
		n, _ := ledger.ParseRef(ledger.Prefix + name)
		c := f.Chains[name]
		if len(c.Entries) < 2 {
			continue
		}
		if _, err := f.PlanPruning(w.session(), name, w.now()); !errors.Is(err, provenance.ErrNotPrunable) {
			t.Errorf("%s: %v", name, err)
		}
		says := event.Pruning{
			Before: envelope.Timestamp(w.now()), Dropped: 1, Last: c.Entries[0].ID, Kinds: map[string]uint64{"x": 1}, Of: name,
			Ranges: []event.Range{{1, 1}}, Reason: "x", Root: rootOf(t, c, 1), UpTo: 1,
		}
		w.renew() // a statement in the very ledger would go with it
		w.state(w.sealer(), says)
		if err := w.forget(); err == nil {
			t.Errorf("%s was pruned", name)
		}
		w.force(n, says)
		if f := w.facts(); len(f.Problems) == 0 || f.Chains[name].Broken == nil {
			t.Errorf("%s: nobody noticed: %v", name, f.Problems)
		}
		return
	}
	t.Fatal("there is no such ledger")
}

func TestPruneBackdated(t *testing.T) {
	w := newWorld(t)
	bob := w.agent("bob", "", "")
	k := w.as("bob", bob)
	was := w.clock
	w.clock = w.clock.Add(-10 * 365 * 24 * time.Hour)
	places, err := audit.Append(ctx, k, false, calls(4)...)
	if err != nil {
		t.Fatal(err)
	}
	w.clock = was
	n, _ := ledger.ParseRef(ledger.Prefix + places[0].Ledger)
	if p := w.plan(n, w.now()); p.New != 0 || p.Young != 3 {
		t.Errorf("nobody saw them: %+v", p)
	}
	before := w.now()
	w.checkpoint()
	if p := w.plan(n, before); p.New != 0 || p.Young != 3 {
		t.Errorf("seen later: %+v", p)
	}
	p := w.plan(n, w.now())
	if p.New != 2 {
		t.Fatalf("seen before: %+v", p)
	}
	p.Says.Before, p.Says.Reason = envelope.Timestamp(before), "x"
	w.state(w.sealer(), p.Says)
	if err := w.forget(); !errors.Is(err, provenance.ErrStays) {
		t.Errorf("%v", err)
	}
}

func TestPruneRevoked(t *testing.T) {
	for name, early := range map[string]bool{"afterwards": false, "before": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			bob := w.agent("bob", "", "")
			eve := w.agent("eve", "", "")
			may := w.grant("eve", eve, provenance.PurgeAction, `{"version":1}`)
			n := w.record(w.as("bob", bob), calls(5)...)
			says := w.plan(n, w.now()).Says
			says.Reason = "x"
			revoke := func() {
				if _, err := w.sealer().Revoke(ctx, capability.Revocation{Grant: may, Reason: "x"}); err != nil {
					t.Fatal(err)
				}
			}
			k := w.as("eve", eve)
			if early {
				revoke()
				w.clock = w.clock.Add(-time.Minute) // and she says that it was before
			}
			w.state(k, says)
			if early {
				w.clock = w.clock.Add(time.Minute)
			}
			w.checkpoint()
			if err := w.forget(); (err == nil) == early {
				t.Fatalf("%v", err)
			}
			if !early {
				revoke()
				w.checkpoint()
				if wrong := w.wrong(); len(wrong) > 0 {
					t.Errorf("revoked since: %q", wrong)
				}
				return
			}
			w.force(n, says)
			if wrong := w.wrong(); !slices.Contains(wrong, "ledger.pruned") {
				t.Errorf("%q", wrong)
			}
		})
	}
}

func TestPruneDisagree(t *testing.T) {
	w := newWorld(t)
	bob := w.agent("bob", "", "")
	n := w.record(w.as("bob", bob), calls(8)...)
	all := w.plan(n, w.now()).Says
	part := func(from, to uint64) event.Pruning {
		c := w.facts().Chains[n.String()]
		return event.Pruning{
			Before: all.Before, Dropped: to - from + 1, Last: c.Entries[to-1].ID, Kinds: map[string]uint64{"tool_call_completed": to - from + 1}, Of: n.String(),
			Ranges: []event.Range{{from, to}}, Reason: "x", Root: rootOf(t, c, to), UpTo: to,
		}
	}
	tip := w.git("rev-parse", n.Ref())
	w.state(w.sealer(), part(2, 4))
	if err := w.forget(); err != nil {
		t.Fatal(err)
	}
	first := w.git("rev-parse", n.Ref())
	w.state(w.sealer(), part(5, 7))
	if f := w.facts(); len(f.Pending()) != 1 || len(f.Problems) > 0 {
		t.Fatalf("%+v, %v", f.Pending(), f.Problems)
	}
	if err := w.forget(); err != nil {
		t.Fatal(err)
	}
	both := w.git("rev-parse", n.Ref())
	if wrong := w.wrong(); len(wrong) > 0 || both == first || w.facts().Dropped(n.String()) != 6 {
		t.Errorf("%q, %d", wrong, w.facts().Dropped(n.String()))
	}

	// Somebody who has everything puts it back: it is seen, and goes again, to the very same commits.
	w.git("update-ref", n.Ref(), tip)
	if f := w.facts(); len(f.Pending()) != 2 || len(f.Problems) > 0 {
		t.Fatalf("%+v, %v", f.Pending(), f.Problems)
	}
	if err := w.forget(); err != nil {
		t.Fatal(err)
	}
	if now := w.git("rev-parse", n.Ref()); now != both {
		t.Errorf("%s, %s", now, both)
	}

	// The next one says it all, and of no kind more than there was: who has everything takes that as well.
	w.git("update-ref", n.Ref(), tip)
	w.record(w.as("bob", bob), calls(3)...)
	whole := w.git("rev-parse", n.Ref())
	for err := error(nil); err == nil; err = w.forget() {
	}
	p := w.prune(w.sealer(), n)
	if wrong := w.wrong(); len(wrong) > 0 || p.Says.Dropped <= 6 || p.Says.Kinds["tool_call_completed"] > p.Says.Dropped {
		t.Errorf("%q, %+v", wrong, p.Says)
	}
	end := w.git("rev-parse", n.Ref())
	w.git("update-ref", n.Ref(), whole)
	if err := w.forget(); err != nil {
		t.Fatal(err)
	}
	if now := w.git("rev-parse", n.Ref()); now != end {
		t.Errorf("two who drop the same have %s and %s", end, now)
	}
}

func TestPruneOnlyOperators(t *testing.T) {
	w := newWorld(t)
	eve := w.agent("eve", provenance.PurgeAction, `{"version":1}`)
	alices := w.note("one", "two", "three", "four")
	n, _ := ledger.ParseRef(ledger.Prefix + alices[0].Ledger)
	own := w.record(w.as("eve", eve), calls(5)...)
	tips := map[ledger.Name]string{}
	for _, n := range []ledger.Name{n, own} {
		p := w.plan(n, w.now())
		if p.New == 0 {
			t.Fatalf("%s: %+v", n, p)
		}
		if _, err := w.as("eve", eve).Prune(ctx, w.facts(), "x", p); !errors.Is(err, provenance.ErrDenied) {
			t.Errorf("%s: %v", n, err)
		}
		p.Says.Reason = "x"
		w.state(w.as("eve", eve), p.Says)
		w.checkpoint()
		if err := w.forget(); err == nil {
			t.Errorf("%s was pruned", n)
		}
		tips[n] = w.git("rev-parse", n.Ref())
		w.force(n, p.Says)
	}
	wrong := w.wrong()
	if !slices.Contains(wrong, "ledger.pruned") || !slices.Contains(wrong, "ledger.withheld") {
		t.Errorf("%q", wrong)
	}
	for n, tip := range tips {
		w.git("update-ref", n.Ref(), tip)
		w.prune(w.sealer(), n)
	}
	if wrong := w.wrong(); !slices.Equal(wrong, []string{"ledger.pruned", "ledger.pruned"}) { // her statements
		t.Errorf("pruned by alice: %q", wrong)
	}
}

// What the commits of others stand for is read where somebody who might says so, and of all ledgers no more than of one.
func TestPruneBomb(t *testing.T) {
	w := newWorld(t)
	bob := w.agent("bob", "", "")
	eve := w.agent("eve", "", "")
	n := w.record(w.as("bob", bob), calls(4)...)
	says := w.plan(n, w.now()).Says
	says.Reason = "x"
	s := w.session()
	slots := make([]ledger.Slot, 3*ledger.MaxGap)
	for i := range slots {
		slots[i].Dropped = envelope.Digest("sha256:" + strings.Repeat("1", 64))
		if i%ledger.MaxGap == 0 { // else all are one file
			slots[i].Dropped = envelope.Digest(fmt.Sprintf("sha256:%064x", i))
		}
	}
	bomb, err := ledger.Prune(s, n, slots)
	if err == nil {
		err = s.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	read := func() (sum int) {
		for _, c := range w.facts().Chains {
			sum += len(c.Entries)
		}
		return sum
	}
	w.state(w.sealer(), says)
	w.git("update-ref", n.Ref(), bomb.String()) // more than is said
	if c := w.facts().Chains[n.String()]; len(c.Entries) > 4 || c.Broken == nil {
		t.Errorf("%d entries, %v", len(c.Entries), c.Broken)
	}
	w.git("update-ref", "-d", n.Ref())

	// Eve says it of ledgers that she makes up, of her own key and of her friend's. First she may not, then she may.
	var made []ledger.Name
	for i, digits := range []string{ledger.KeyDigits(eve.Public().Digest()), ledger.KeyDigits(bob.Public().Digest()), ledger.KeyDigits(bob.Public().Digest())} {
		m, _ := ledger.ParseRef(fmt.Sprintf("%s%s/%s-%08x", ledger.Prefix, provenance.AuditTopic, digits, i))
		lie := says
		lie.Of, lie.UpTo, lie.Ranges = m.String(), 3*ledger.MaxGap, []event.Range{{1, 3 * ledger.MaxGap}}
		w.git("update-ref", m.Ref(), bomb.String())
		lie.Dropped, lie.Last = lie.UpTo, envelope.Digest("sha256:"+strings.Repeat("1", 64))
		w.state(w.as("eve", eve), lie)
		made = append(made, m)
	}
	w.checkpoint()
	if sum := read(); sum > 100 {
		t.Errorf("who may not had %d entries read", sum)
	}
	w.grant("eve", eve, provenance.PurgeAction, `{"version":1}`)
	if sum := read(); sum < ledger.MaxGap || sum > ledger.MaxDropped+100 {
		t.Errorf("who may had %d entries read", sum)
	}
	f := w.facts()
	for _, m := range made {
		if c := f.Chains[m.String()]; c == nil || c.Broken == nil {
			t.Errorf("%s stands", m)
		}
	}
	if wrong := w.wrong(); !slices.Contains(wrong, "ledger.pruned") {
		t.Errorf("%q", wrong)
	}
}

// Who may drop only what is older than what was dropped before prunes on, as far as that goes.
func TestPruneEarlierCutoff(t *testing.T) {
	w := newWorld(t)
	bob := w.agent("bob", "", "")
	n := w.record(w.as("bob", bob), calls(5)...)
	cutoff := w.now()
	scope, _ := json.Marshal(map[string]any{"version": 1, "before_ms": cutoff.UnixMilli()})
	eve := w.agent("eve", provenance.PurgeAction, string(scope))
	w.record(w.as("bob", bob), calls(3)...)
	tip := w.git("rev-parse", n.Ref())
	c := w.facts().Chains[n.String()]
	part := event.Pruning{
		Before: envelope.Timestamp(w.now()), Dropped: 1, Last: c.Entries[6].ID, Kinds: map[string]uint64{"tool_call_completed": 1}, Of: n.String(),
		Ranges: []event.Range{{7, 7}}, Reason: "x", Root: rootOf(t, c, 7), UpTo: 7,
	}
	w.state(w.sealer(), part) // the operator's, of a later one
	if err := w.forget(); err != nil {
		t.Fatal(err)
	}
	p := w.plan(n, cutoff)
	if p.New == 0 || p.Says.Dropped != p.New+1 {
		t.Fatalf("%+v", p)
	}
	if _, err := w.as("eve", eve).Prune(ctx, w.facts(), "x", p); err != nil {
		t.Fatal(err)
	}
	w.checkpoint()
	if err := w.forget(); err != nil {
		t.Fatal(err)
	}
	if wrong := w.wrong(); len(wrong) > 0 {
		t.Errorf("%q", wrong)
	}

	// Each entry is held to who dropped it: hers do not reach as far as the operator's.
	end := w.git("rev-parse", n.Ref())
	w.git("update-ref", n.Ref(), tip)
	for err := error(nil); err == nil; err = w.forget() {
	}
	if now := w.git("rev-parse", n.Ref()); now != end {
		t.Errorf("%s, %s", now, end)
	}
}

// Kinds that nobody can name all are counted together, and that count is held to what there was.
func TestPruneManyKinds(t *testing.T) {
	w := newWorld(t)
	bob := w.agent("bob", "", "")
	k := w.as("bob", bob)
	if _, err := audit.Append(ctx, k, false, calls(1)...); err != nil {
		t.Fatal(err)
	}
	var many []event.Event
	for i := range 1100 {
		many = append(many, event.Event{Kind: fmt.Sprintf("x.me.k%d", i)})
	}
	if _, err := audit.Append(ctx, k, true, many...); err != nil {
		t.Fatal(err)
	}
	n := w.record(k, calls(3)...)
	tip := w.git("rev-parse", n.Ref())
	p := w.prune(w.sealer(), n)
	if len(p.Says.Kinds) != 1024 || p.Says.Kinds[event.Rest] < 70 {
		t.Errorf("%d kinds, %d beside them", len(p.Says.Kinds), p.Says.Kinds[event.Rest])
	}
	if wrong := w.wrong(); len(wrong) > 0 {
		t.Errorf("%q", wrong)
	}
	w.git("update-ref", n.Ref(), tip)
	lie := p.Says
	lie.Kinds = maps.Clone(lie.Kinds)
	lie.Kinds[event.Rest]++
	if err := lie.Counts(nil, p.Says.Kinds); err == nil {
		t.Error("more records than there were are taken")
	}
	if err := w.forget(); err != nil {
		t.Error(err)
	}
}

// A reason that nobody could read is not signed.
func TestPruneReasons(t *testing.T) {
	w := newWorld(t)
	bob := w.agent("bob", "", "")
	n := w.record(w.as("bob", bob), calls(4)...)
	p := w.plan(n, w.now())
	for _, reason := range []string{strings.Repeat("a", event.MaxText+1), "a\x01b", "a\x1b[31m", "a\xffb"} {
		if _, err := w.sealer().Prune(ctx, w.facts(), reason, p); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("%.10q: %v", reason, err)
		}
	}
	if got := w.facts().Prunings(); len(got) > 0 {
		t.Errorf("%+v", got)
	}
}

// What is said again of a ledger must be what others had seen of it, whoever once might have said it, and whatever hangs together in itself.
func TestPruneAgainForged(t *testing.T) {
	for name, row := range map[string]struct{ forge, seen, holds bool }{
		"what was there":                {seen: true, holds: true},
		"another history":               {forge: true, seen: true},
		"another that nobody else knew": {forge: true, holds: true}, // who says it again answers for it
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			bob := w.agent("bob", "", "")
			eve := w.agent("eve", provenance.PurgeAction, `{"version":1}`)
			places, err := audit.Append(ctx, w.as("bob", bob), false, calls(6)...)
			if err != nil {
				t.Fatal(err)
			}
			if row.seen {
				w.checkpoint()
			}
			n, _ := ledger.ParseRef(ledger.Prefix + places[0].Ledger)
			c := w.facts().Chains[n.String()]
			if row.forge {
				c.Entries[2].ID = envelope.Digest("sha256:" + strings.Repeat("3", 64))
			}
			says := event.Pruning{
				Before: envelope.Timestamp(w.now()), Dropped: 4, Last: c.Entries[4].ID, Kinds: map[string]uint64{"tool_call_completed": 4}, Of: n.String(),
				Ranges: []event.Range{{2, 5}}, Reason: "x", Root: rootOf(t, c, 5), UpTo: 5,
			}
			w.state(w.as("eve", eve), says) // nobody accountable sees it: it does not count
			s := w.session()
			tips, err := s.Tips(n.Ref())
			if err != nil {
				t.Fatal(err)
			}
			slots, err := ledger.Chain(s, tips[0].ID)
			if err != nil {
				t.Fatal(err)
			}
			for i := 1; i < 5; i++ {
				slots[i].Dropped = c.Entries[i].ID
			}
			tip, err := ledger.Prune(s, n, slots)
			if err == nil {
				err = s.Flush()
			}
			if err != nil {
				t.Fatal(err)
			}
			w.git("update-ref", n.Ref(), tip.String())
			f := w.facts()
			p, said, err := f.PlanAgain(w.session(), n.String())
			if (err == nil) != row.holds || err != nil && !errors.Is(err, provenance.ErrNotPrunable) {
				t.Fatalf("%v", err)
			}
			if err != nil {
				return
			}
			if len(said) != 1 || !slices.Equal(p.Says.Ranges, says.Ranges) || p.Says.Before != says.Before || p.Says.Root != says.Root {
				t.Errorf("%+v, %+v", p.Says, said)
			}
			if _, err := w.as("eve", eve).Prune(ctx, f, "x", p); !errors.Is(err, provenance.ErrDenied) {
				t.Errorf("an agent says it again: %v", err)
			}
			if _, err := w.sealer().Prune(ctx, f, "x", p); err != nil {
				t.Fatal(err)
			}
			w.checkpoint()
			if wrong := w.wrong(); len(wrong) > 0 {
				t.Errorf("%q", wrong)
			}
		})
	}
}
