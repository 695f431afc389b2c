package intents_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/intent"
	"github.com/open-covenant/covenant-git/git/intents"
)

// all writes down everything that a book says.
func (w *world) all(remembered bool) string {
	w.t.Helper()
	b := w.book(remembered)
	var out strings.Builder
	for r := range b.Rows(nil) {
		s, err := b.Intent(r.ID)
		if err != nil {
			w.t.Fatal(err)
		}
		text, err := json.Marshal(s)
		if err != nil {
			w.t.Fatal(err)
		}
		fmt.Fprintf(&out, "%s %s %s %s %d %s\n%s\n", r.ID, r.State, r.Opener, r.Mover, r.Lost, r.Trail, text)
	}
	return out.String()
}

// Two clones take an intent from the same state at the same time: one counts, the same in both, and the other one is told.
func TestTwoAtOnce(t *testing.T) {
	w := newWorld(t, "coder", "tester")
	id := w.open("alice", intent.Fields{})
	w.move("alice", id, intent.Triaged, intent.Planned)
	other := w.clone()
	w.move("coder", id, intent.InProgress)
	other.move("tester", id, intent.Blocked)
	w.fetch(other)
	other.fetch(w)
	if a, b := w.all(true), other.all(true); a != b {
		t.Fatalf("one clone says\n%s\nthe other\n%s", a, b)
	}
	s, err := other.book(true).Intent(id)
	if err != nil {
		t.Fatal(err)
	}
	if lost := s.Lost(); s.State != intent.InProgress || len(lost) != 1 || !strings.Contains(lost[0].Why, "coder moved it to in_progress at the same time") {
		t.Fatalf("%s, lost %+v", s.State, s.Lost())
	}
	if r, ok := other.book(true).Row(id); !ok || r.Lost != 1 {
		t.Errorf("%+v", r)
	}
	// The loser's next move goes on from what counts.
	other.move("tester", id, intent.SelfReview)
}

// Whatever happens, in whatever order it comes to a clone, and whatever was remembered of before: two clones with the same ledgers say
// the same, and memory says what the ledgers say.
func TestMemoryIsWhatLedgersSay(t *testing.T) {
	seeds := []uint64{1, 2}
	if testing.Short() {
		seeds = seeds[:1]
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { wander(t, rand.New(rand.NewPCG(seed, 7))) }) //nolint:gosec // a test wants the same each time
	}
}

// apart cuts two texts to where they differ.
func apart(a, b string) (string, string) {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	cut := func(s string) string { return s[max(0, i-300):min(len(s), i+200)] }
	return cut(a), cut(b)
}

func wander(t *testing.T, r *rand.Rand) {
	w := newWorld(t, "coder", "tester")
	ids := []intent.ID{w.open("alice", intent.Fields{}), w.open("alice", intent.Fields{Gates: []intent.Gate{intent.PlanGate}})}
	clones := []*world{w, w.clone()}
	var grants []envelope.Digest
	names := []string{"alice", "coder", "tester"}
	steps := 20
	for i := range steps {
		c := clones[r.IntN(2)]
		id := ids[r.IntN(len(ids))]
		who := names[r.IntN(3)]
		if c != w && who == "alice" && r.IntN(2) == 0 {
			who = "coder"
		}
		what := ""
		switch n := r.IntN(20); {
		case n < 9: // an honest move
			s, err := c.book(true).Intent(id)
			if err != nil {
				continue // it is not there yet
			}
			ways := intent.After(s.State)
			to := ways[r.IntN(len(ways))]
			_, err = c.book(true).Move(context.Background(), c.sealer(who), id, intents.Step{To: to, Artifacts: []intent.Artifact{{Gate: intent.PlanGate, Ref: "text:x"}}})
			if err != nil && !errors.Is(err, intents.ErrRefused) {
				t.Fatal(err)
			}
			what = fmt.Sprintf("%s moves to %s: %v", who, to, err)
		case n < 11: // one that is written past our commands, at any time
			s, err := c.book(true).Intent(id)
			if err != nil {
				continue
			}
			x := s.Steps[r.IntN(len(s.Steps))]
			from := intent.States[r.IntN(len(intent.States))]
			ways := intent.After(from)
			to := ways[r.IntN(len(ways))]
			roles := intent.RolesFor(from, to)
			at := c.clock.at.Add(time.Duration(r.IntN(7200)-3600) * time.Second)
			if who == "alice" {
				at = c.clock.now()
			}
			c.write(who, moved(id, x.ID, from, to, roles[r.IntN(len(roles))]), at)
			what = who + " writes anything"
		case n < 12:
			ids = append(ids, c.open(names[r.IntN(2)], intent.Fields{Text: fmt.Sprint("number ", i)}))
			what = "opens"
		case n < 13:
			_, err := c.book(true).Edit(context.Background(), c.sealer(who), id, func(f *intent.Fields) error {
				f.Next = fmt.Sprint("after ", i)
				return nil
			})
			if err != nil && !errors.Is(err, intents.ErrRefused) && !errors.Is(err, intents.ErrUnknown) {
				t.Fatal(err)
			}
			what = "edits"
		case n < 14 && len(grants) > 0:
			c.revoke(grants[len(grants)-1])
			grants = grants[:len(grants)-1]
			what = "revokes"
		case n < 15:
			grants = append(grants, w.grant("tester", "intent.move", capability.Scope{Version: 1, Roles: []string{"implementer", "planner"}}, envelope.Timestamp(w.clock.at.Add(20*time.Second))))
			what = "grants"
		case n < 18:
			clones[0].fetch(clones[1])
			what = "fetches"
		default:
			clones[1].fetch(clones[0])
			what = "fetches, the other"
		}
		for j, c := range clones {
			if got, want := c.all(true), c.all(false); got != want {
				a, b := apart(got, want)
				t.Fatalf("step %d, %s: clone %d remembers …%s\nand the ledgers say …%s", i, what, j, a, b)
			}
		}
	}
	clones[0].fetch(clones[1])
	clones[1].fetch(clones[0])
	if a, b := clones[0].all(true), clones[1].all(true); a != b {
		t.Fatalf("one clone says\n%s\nthe other\n%s", a, b)
	}
}
