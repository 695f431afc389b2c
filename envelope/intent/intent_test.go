package intent_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/canonical"
	"github.com/open-covenant/covenant-git/envelope/intent"
	"github.com/open-covenant/covenant-git/envelope/vectors"
)

const dir = "../../testdata/vectors/intent"

// parse reads a statement of any type of this package, and returns it as it would be written.
func parse(payload []byte) ([]byte, error) {
	o := &envelope.Opened{PayloadType: envelope.TypeLedger, Payload: payload}
	p, err := intent.Parse(o)
	if err != nil {
		return nil, err
	}
	switch {
	case p.Opened != nil:
		return envelope.Statement(intent.OpenedType, p.Entry, p.Opened)
	case p.Edited != nil:
		return envelope.Statement(intent.EditedType, p.Entry, p.Edited)
	}
	return envelope.Statement(intent.MovedType, p.Entry, p.Moved)
}

// Each file is the payload of a statement; what is refused is named after its reason.
func TestVectors(t *testing.T) { vectors.Hold(t, dir, written(t), parse) }

// What parses is written as the same bytes.
func FuzzStatement(f *testing.F) { vectors.Fuzz(f, dir, parse) }

// A task that is read is written as the same bytes, and its fields make an intent that can be written.
func FuzzSeed(f *testing.F) {
	f.Add([]byte(`{"id":"a","title":"t","state":"proposed","priority":"low","ownerRole":"planner","scope":["a/"],"summary":"s","x":1.50}`), `{"taskId":"a","to":"proposed"}`)
	f.Add([]byte(`{"id":"a","state":"ready","summary":"s","gates":["plan","docs"]}`), `{"taskId":"b","to":"proposed"}`)
	f.Fuzz(func(t *testing.T, record []byte, event string) {
		events := map[int]string{7: event}
		if event == "" {
			events = nil
		}
		o, _, err := intent.ReadSeed(record, events)
		if err != nil {
			return
		}
		if err := o.Validate(); err != nil {
			t.Fatalf("%s: %v", record, err)
		}
		opening := fact(1, "", func(x *intent.Fact) { x.Opened = &o })
		s := intent.Fold(intent.IDOf(opening.ID), []intent.Fact{opening}, anybody)
		again, err := s.WriteSeed()
		if err != nil || !bytes.Equal(again, record) {
			t.Fatalf("%s is written as %s: %v", record, again, err)
		}
		lines, err := s.SeedEvents()
		if err != nil || event != "" && (len(lines) != 1 || lines[0].Text != event) {
			t.Fatalf("%q is written as %v: %v", event, lines, err)
		}
		ways := intent.After(s.State)
		moved := fact(2, opening.ID, func(x *intent.Fact) {
			x.Moved = &intent.Moved{After: opening.ID, From: s.State, Intent: s.ID, Role: intent.RolesFor(s.State, ways[0])[0], To: ways[0]}
			for _, g := range s.Missing(ways[0], nil) {
				x.Moved.Artifacts = append(x.Moved.Artifacts, intent.Artifact{Gate: g, Ref: "text:x"})
			}
		})
		s = intent.Fold(s.ID, []intent.Fact{moved, opening}, anybody)
		if s.State != ways[0] {
			t.Fatalf("it is %s", s.State)
		}
		text, err := s.WriteSeed()
		if err != nil {
			t.Fatal(err)
		}
		if o, _, err = intent.ReadSeed(text, nil); err != nil || o.State != ways[0] {
			t.Fatalf("%s: %v", text, err)
		}
	})
}

// A rule matches as the slow way to look does, which tries every place.
func FuzzIgnored(f *testing.F) {
	f.Add("deploy*prod\n!/as", "deploy to production")
	f.Add("**x?/", "a/b/x1/")
	f.Fuzz(func(t *testing.T, text, words string) {
		rules, err := intent.ParseRules(text)
		if err != nil || len(text) > 64 || len(words) > 32 || !utf8.ValidString(words) {
			return
		}
		rule, ignored := intent.Ignored(rules, words)
		want, wantIgnored := "", false
		for _, r := range rules {
			glob, keep := strings.CutPrefix(r.Text, "!")
			glob, anchored := strings.CutPrefix(glob, "/")
			for i := range len(words) + 1 {
				if anchored && i > 0 || i < len(words) && i > 0 && words[i]&0xc0 == 0x80 {
					continue
				}
				if begins([]rune(glob), []rune(words[i:])) {
					want, wantIgnored = r.Text, !keep
					break
				}
			}
		}
		if rule != want || ignored != wantIgnored {
			t.Errorf("%q of %q: %q %v, not %q %v", words, text, rule, ignored, want, wantIgnored)
		}
	})
}

func begins(glob, text []rune) bool {
	if len(glob) == 0 {
		return true
	}
	if len(glob) > 1 && glob[0] == '*' && glob[1] == '*' {
		return begins(glob[2:], text) || len(text) > 0 && begins(glob, text[1:])
	}
	switch {
	case glob[0] == '*':
		return begins(glob[1:], text) || len(text) > 0 && text[0] != '/' && begins(glob, text[1:])
	case len(text) == 0:
		return false
	case glob[0] == '?' && text[0] != '/', glob[0] == text[0] && glob[0] != '?':
		return begins(glob[1:], text[1:])
	}
	return false
}

func anybody(*intent.Fact, string, intent.ID, intent.Role) string { return "" }

// digest numbers an entry.
func digest(n int) envelope.Digest {
	return envelope.Digest(fmt.Sprintf("sha256:%064x", n))
}

func fact(n int, _ envelope.Digest, with func(*intent.Fact)) intent.Fact {
	f := intent.Fact{ID: envelope.Digest(fmt.Sprintf("sha256:%032x%032x", n, n)), Key: "k", By: "ada", Ledger: "intent/a", Seq: uint64(n), Time: "2026-01-01T00:00:00Z"} //nolint:gosec // small
	with(&f)
	return f
}

// What statements come to does not depend on the order in which they are given, and of those that follow one at most one counts.
func TestFoldIsOfTheSet(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same each time
	for range 300 {
		facts := []intent.Fact{fact(1, "", func(f *intent.Fact) {
			f.Opened = &intent.Opened{Fields: intent.Fields{Text: "x", Title: "x", Priority: intent.Low, Role: intent.Planner}}
		})}
		id := intent.IDOf(facts[0].ID)
		for n := 2; n < 30; n++ {
			after := facts[r.IntN(len(facts))]
			from := intent.Proposed
			if after.Moved != nil {
				from = after.Moved.To
			}
			ways := intent.After(from)
			to := ways[r.IntN(len(ways))]
			facts = append(facts, fact(n, after.ID, func(f *intent.Fact) {
				f.By = []string{"ada", "coder"}[r.IntN(2)]
				f.Ledger = []string{"intent/a", "intent/b", "intent/c"}[r.IntN(3)]
				f.Time = fmt.Sprintf("2026-01-01T00:00:%02dZ", r.IntN(60))
				if r.IntN(3) == 0 {
					f.Seen = fmt.Sprintf("2026-01-01T00:01:%02dZ", r.IntN(60))
				}
				if r.IntN(4) == 0 {
					f.Saw = map[string]uint64{"intent/b": uint64(r.IntN(30))} //nolint:gosec // small
				}
				f.Moved = &intent.Moved{After: after.ID, From: from, Intent: id, Role: intent.RolesFor(from, to)[0], To: to}
			}))
		}
		want := text(t, intent.Fold(id, facts, anybody))
		r.Shuffle(len(facts), func(i, j int) { facts[i], facts[j] = facts[j], facts[i] })
		s := intent.Fold(id, facts, anybody)
		if got := text(t, s); got != want {
			t.Fatalf("%s\n%s", got, want)
		}
		if len(s.Steps) != len(facts) {
			t.Fatalf("%d of %d statements are told", len(s.Steps), len(facts))
		}
		followed := map[envelope.Digest]bool{}
		for _, x := range s.Counted()[1:] {
			if followed[x.Moved.After] {
				t.Fatalf("two follow %s", x.Moved.After)
			}
			followed[x.Moved.After] = true
		}
	}
}

func text(t *testing.T, s *intent.Intent) string {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Who had seen another comes after it; what somebody saw whose time is believed comes first; then whoever made the one before.
func TestWhichCounts(t *testing.T) {
	open := fact(1, "", func(f *intent.Fact) {
		f.Opened = &intent.Opened{Fields: intent.Fields{Text: "x", Title: "x", Priority: intent.Low, Role: intent.Planner}}
	})
	id := intent.IDOf(open.ID)
	move := func(n int, to intent.State, with func(*intent.Fact)) intent.Fact {
		return fact(n, open.ID, func(f *intent.Fact) {
			f.Moved = &intent.Moved{After: open.ID, From: intent.Proposed, Intent: id, Role: intent.Planner, To: to}
			f.By, f.Ledger = "coder", fmt.Sprint("intent/", n)
			with(f)
		})
	}
	plain := move(2, intent.Triaged, func(f *intent.Fact) { f.Time = "2026-01-01T10:00:00Z" })
	for name, other := range map[string]intent.Fact{
		"seen, and later":            move(3, intent.Blocked, func(f *intent.Fact) { f.Time, f.Seen = "2026-01-01T11:00:00Z", "2026-01-01T12:00:00Z" }),
		"by who made the one before": move(3, intent.Blocked, func(f *intent.Fact) { f.Time, f.By = "2026-01-01T11:00:00Z", "ada" }),
		"earlier":                    move(3, intent.Blocked, func(f *intent.Fact) { f.Time = "2026-01-01T09:00:00Z" }),
		"at the same time, smaller":  move(1, intent.Blocked, func(f *intent.Fact) { f.ID, f.Time = digest(7), "2026-01-01T10:00:00Z" }),
	} {
		if s := intent.Fold(id, []intent.Fact{open, plain, other}, anybody); s.State != intent.Blocked {
			t.Errorf("%s: it is %s", name, s.State)
		}
		other.Saw = map[string]uint64{plain.Ledger: plain.Seq}
		if s := intent.Fold(id, []intent.Fact{open, plain, other}, anybody); s.State != intent.Triaged {
			t.Errorf("%s, and it had seen the other: it is %s", name, s.State)
		}
	}
	// One that may not be made keeps none from counting.
	denied := move(3, intent.Blocked, func(f *intent.Fact) { f.Time, f.By, f.Seen = "2026-01-01T09:00:00Z", "ada", "2026-01-01T09:00:00Z" })
	s := intent.Fold(id, []intent.Fact{open, plain, denied}, func(f *intent.Fact, _ string, _ intent.ID, _ intent.Role) string {
		if f.ID == denied.ID {
			return "it had no grant"
		}
		return ""
	})
	if s.State != intent.Triaged || len(s.Lost()) != 1 || s.Lost()[0].Why != "it had no grant" {
		t.Errorf("%s %+v", s.State, s.Lost())
	}
}

// Every bit of a state changes its digest.
func TestDigest(t *testing.T) {
	a := &intent.Intent{ID: "0123456789abcdef0123456789abcdef", Last: digest(1), State: intent.Ready}
	for _, b := range []*intent.Intent{
		{ID: "1123456789abcdef0123456789abcdef", Last: digest(1), State: intent.Ready}, {ID: a.ID, Last: digest(2), State: intent.Ready}, {ID: a.ID, Last: digest(1), State: intent.Repair},
	} {
		if a.Digest() == b.Digest() {
			t.Errorf("%+v", b)
		}
	}
	if got := a.Digest(); got != "sha256:92236ab7e4f1e82fbab427978be61b13d7d70836ba977f6945bb8a19302934d9" {
		t.Errorf("%s", got)
	}
}

// There is a way from everywhere to the end and back, and each has its roles.
func TestWays(t *testing.T) {
	n := 0
	for _, from := range intent.States {
		if intent.Path(from, intent.Integrated) == nil && from != intent.Integrated {
			t.Errorf("no way from %s to its end", from)
		}
		for _, to := range intent.After(from) {
			n++
			if len(intent.RolesFor(from, to)) == 0 || from == to {
				t.Errorf("%s to %s", from, to)
			}
		}
	}
	for _, seed := range []string{ // those of the system before
		"proposed triaged", "triaged planned", "planned in_progress", "in_progress self_review", "self_review cross_review", "self_review validation", "cross_review validation", "validation repair",
		"repair validation", "validation ready", "ready integrated", "proposed blocked", "triaged blocked", "planned blocked", "in_progress blocked", "blocked triaged",
	} {
		from, to, _ := strings.Cut(seed, " ")
		if intent.RolesFor(intent.State(from), intent.State(to)) == nil {
			t.Errorf("%s is no way", seed)
		}
	}
	if n != 20 {
		t.Errorf("%d ways", n)
	}
	if !slices.IsSortedFunc(intent.Guards, func(a, b intent.Guard) int {
		return slices.Index(intent.States, a.Before) - slices.Index(intent.States, b.Before)
	}) {
		t.Error("gates are not in the order of what they guard")
	}
}

// written are the vectors as they are written, by their names.
func written(t *testing.T) map[string]string {
	t.Helper()
	d := "sha256:" + strings.Repeat("1", 64)
	id, id2 := strings.Repeat("2", 32), strings.Repeat("3", 32)
	entry := fmt.Sprintf(`"entry":{"prev":"%s","repository":"%s","seq":2,"time":"2026-01-31T12:00:00Z","topic":"intent","writer":"0123456789abcdef-01234567"}`, d, d)
	all := func(typ, body string) string { return `{"body":` + body + `,` + entry + `,"type":"` + typ + `"}` }
	opened := func(more map[string]any) string {
		m := map[string]any{"priority": "medium", "role": "implementer", "text": "x", "title": "x"}
		for k, v := range more {
			if m[k] = v; v == nil {
				delete(m, k)
			}
		}
		b, err := canonical.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return all(intent.OpenedType, string(b))
	}
	moved := func(body string) string {
		return all(intent.MovedType, `{"after":"`+d+`",`+body+`}`)
	}
	whole := map[string]any{
		"escalations": []string{"a"}, "failures": []string{"b"}, "gates": []string{"docs", "plan"}, "name": "fix-login", "needs": []string{id, id2}, "next": "n", "parent": id, "priority": "high",
		"scope": []string{"src/**"}, "text": "two\nlines", "title": "t", "verification": []string{"make test"}, "state": "ready",
		"imported": map[string]any{"format": "autonomy/v1", "record": "{}", "events": []string{"{}"}, "lines": []int{3}},
	}
	return map[string]string{
		"accept/opened":                  opened(nil),
		"accept/opened-whole":            opened(whole),
		"accept/edited":                  all(intent.EditedType, `{"after":"`+d+`","intent":"`+id+`","set":{"priority":"low","role":"planner","text":"x","title":"x"}}`),
		"accept/moved":                   moved(`"from":"planned","intent":"` + id + `","role":"implementer","to":"in_progress"`),
		"accept/moved-with-artifacts":    moved(`"artifacts":[{"gate":"docs","ref":"` + d + `"},{"gate":"plan","ref":"docs/plan.md@` + strings.Repeat("4", 40) + `"},{"gate":"security","ref":"text:none"}],"from":"validation","intent":"` + id + `","next":"n","note":"a\nb","role":"verifier","to":"ready"`),
		"accept/moved-illegally":         moved(`"from":"proposed","intent":"` + id + `","role":"verifier","to":"integrated"`),
		"reject/text-missing":            opened(map[string]any{"text": nil}),
		"reject/text-too-long":           opened(map[string]any{"text": strings.Repeat("x", intent.MaxText+1)}),
		"reject/text-with-bell":          opened(map[string]any{"text": "a\ab"}),
		"reject/text-with-c1":            opened(map[string]any{"text": "a\u009bb"}),
		"reject/title-of-lines":          opened(map[string]any{"title": "a\nb"}),
		"reject/title-missing":           opened(map[string]any{"title": nil}),
		"reject/priority-unknown":        opened(map[string]any{"priority": "urgent"}),
		"reject/role-unknown":            opened(map[string]any{"role": "boss"}),
		"reject/scope-up":                opened(map[string]any{"scope": []string{"../x"}}),
		"reject/scope-absolute":          opened(map[string]any{"scope": []string{"/etc"}}),
		"reject/gates-unsorted":          opened(map[string]any{"gates": []string{"plan", "docs"}}),
		"reject/gates-twice":             opened(map[string]any{"gates": []string{"plan", "plan"}}),
		"reject/gate-unknown":            opened(map[string]any{"gates": []string{"moat"}}),
		"reject/needs-no-id":             opened(map[string]any{"needs": []string{"fix-login"}}),
		"reject/parent-no-id":            opened(map[string]any{"parent": "x"}),
		"reject/name-upper-case":         opened(map[string]any{"name": "Fix"}),
		"reject/name-like-an-id":         opened(map[string]any{"name": id}),
		"reject/state-proposed-said":     opened(map[string]any{"state": "proposed"}),
		"reject/state-unknown":           opened(map[string]any{"state": "done"}),
		"reject/field-unknown":           opened(map[string]any{"owner": "ada"}),
		"reject/list-empty":              opened(map[string]any{"scope": []string{}}),
		"reject/items-too-many":          opened(map[string]any{"failures": slices.Repeat([]string{"x"}, intent.MaxItems+1)}),
		"reject/imported-from-elsewhere": opened(map[string]any{"imported": map[string]any{"format": "jira", "record": "{}"}}),
		"reject/imported-without-lines":  opened(map[string]any{"imported": map[string]any{"format": "autonomy/v1", "record": "{}", "events": []string{"{}"}}}),
		"reject/moved-to-nowhere":        moved(`"from":"planned","intent":"` + id + `","role":"implementer","to":"done"`),
		"reject/moved-of-nothing":        moved(`"from":"planned","intent":"fix","role":"implementer","to":"in_progress"`),
		"reject/moved-without-role":      moved(`"from":"planned","intent":"` + id + `","role":"","to":"in_progress"`),
		"reject/artifact-up":             moved(`"artifacts":[{"gate":"plan","ref":"../plan@` + strings.Repeat("4", 40) + `"}],"from":"planned","intent":"` + id + `","role":"implementer","to":"in_progress"`),
		"reject/artifact-of-a-branch":    moved(`"artifacts":[{"gate":"plan","ref":"plan.md@main"}],"from":"planned","intent":"` + id + `","role":"implementer","to":"in_progress"`),
		"reject/artifact-says-nothing":   moved(`"artifacts":[{"gate":"plan","ref":"text: "}],"from":"planned","intent":"` + id + `","role":"implementer","to":"in_progress"`),
		"reject/artifact-twice":          moved(`"artifacts":[{"gate":"plan","ref":"text:a"},{"gate":"plan","ref":"text:b"}],"from":"planned","intent":"` + id + `","role":"implementer","to":"in_progress"`),
		"reject/edited-after-nothing":    all(intent.EditedType, `{"after":"","intent":"`+id+`","set":{"priority":"low","role":"planner","text":"x","title":"x"}}`),
		"reject/newer-opened":            all("intent.opened/v2", `{}`),
		"reject/newer-moved":             all("intent.moved/v2", `{}`),
		"reject/newer-edited":            all("intent.edited/v2", `{}`),
	}
}

// The worked example of docs/spec/intent.md is what the page says, and its tables are those of the program.
func TestSpec(t *testing.T) {
	b, err := os.ReadFile("../../docs/spec/intent.md")
	if err != nil {
		t.Fatal(err)
	}
	page, n := string(b), 0
	for _, part := range strings.Split(page, "```json\n")[1:] {
		example, _, _ := strings.Cut(part, "\n```")
		if _, err := parse([]byte(example)); err != nil {
			t.Errorf("%s: %v", example, err)
		}
		n++
	}
	if n != 2 {
		t.Errorf("%d examples", n)
	}
	for _, from := range intent.States {
		for _, to := range intent.After(from) {
			found := false
			for line := range strings.Lines(page) {
				cells := strings.Split(line, " | ")
				if len(cells) != 3 || !strings.Contains(cells[0], "`"+string(from)+"`") || !strings.Contains(cells[1], "`"+string(to)+"`") {
					continue
				}
				roles := intent.RolesFor(from, to)
				want := intent.List(roles)
				if len(roles) == len(intent.Roles) {
					want = "any"
				}
				found = found || strings.TrimSuffix(strings.TrimSpace(cells[2]), " |") == want
			}
			if !found {
				t.Errorf("the page does not say who takes it from %s to %s", from, to)
			}
		}
	}
}
