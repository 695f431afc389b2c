package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/event"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/audit"
)

// people are principals with keys that sign nothing here.
func people(t testing.TB, names ...string) (*capability.Authority, []*capability.Principal) {
	t.Helper()
	var persons []capability.Principal
	for _, name := range names {
		s, err := identity.Generate(t.TempDir()+"/key", "key", nil)
		if err != nil {
			t.Fatal(err)
		}
		persons = append(persons, capability.Principal{Name: name, Kind: "human", Accountable: name, Operator: true, Keys: []identity.PublicKey{s.Public()}})
	}
	a := capability.Fold(persons, nil, nil)
	var out []*capability.Principal
	for _, name := range names {
		p, _ := a.ByName(name)
		out = append(out, p)
	}
	return a, out
}

func record(p *capability.Principal, seq int, at time.Time, kind string, outcome event.Outcome, fields ...string) *audit.Record {
	r := &audit.Record{Kind: kind, Outcome: outcome, At: at, Index: 1, Of: 1, Principal: p}
	r.Place = capability.Place{Ledger: "audit/x", Seq: uint64(seq), Time: at, KeyID: "SHA256:nobody"}
	if p != nil {
		r.KeyID, r.Ledger = p.Keys[0].ID(), "audit/"+p.Name
	}
	m := map[string]string{}
	for i := 0; i < len(fields); i += 2 {
		m[fields[i]] = fields[i+1]
	}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		v, _ := json.Marshal(m[name])
		r.Data = append(r.Data, audit.Field{Name: name, Value: v})
	}
	return r
}

// testAccount has s everywhere somebody else's text can be.
func testAccount(t testing.TB, s string, auth *capability.Authority, who []*capability.Principal) *Account {
	t.Helper()
	run := testRun("x")
	a := NewAccount(run, NewAsked(now.Add(-time.Hour), now, s, s))
	a.Tips = s
	k := NewReckoner(auth, now.Add(-time.Hour), now, now)
	p := *who[0]
	p.Name, p.Kind, p.Accountable = s, s, s+"2"
	for i, x := range []*capability.Principal{&p, who[1], nil} {
		at := now.Add(-time.Duration(i+1) * time.Minute)
		for _, r := range []*audit.Record{
			record(x, 1, at, "seal", event.OK), record(x, 2, at, "note", event.OK, "text", s), record(x, 3, at, "kind"+s, event.Failed),
			record(x, 4, at, "tool_call_completed", event.Failed, "tool", s), record(x, 5, at, "gate.decided", event.Denied, "action", s, "ref", s, "reason", s, "key", who[1].Keys[0].ID()),
			record(x, 6, at, "secret_access_denied", event.Denied, "secret", s, "reason", s),
		} {
			r.Session, r.Intent = s, s
			k.Add(r)
		}
	}
	k.Into(a)
	a.Problem(testFinding(s))
	a.InForce = []Holding{{ID: s, To: s, Kind: s, Accountable: s + "2", Action: s, Scope: s, By: s, Given: stamp(now), State: "active", Reason: s, EndedBy: s}}
	a.Ended = slices.Clone(a.InForce)
	j := NewBranch("refs/heads/"+s, true, time.Time{}, time.Time{})
	j.Add(strings.Repeat("a", 40), verdict.Unsealed, []verdict.Code{verdict.SealMissing, verdict.Code(s)}, now, s)
	j.Into(a)
	j = NewBranch("refs/heads/other", true, time.Time{}, time.Time{})
	j.Fail(s)
	j.Into(a)
	a.Committers(func(string) string { return s })
	return a
}

func written(t testing.TB, write func(io.Writer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestAccountTexts: whatever the texts are, the documents have the same elements and the same words of ours, nothing in them runs
// or loads anything, and what a terminal would not show is shown as an escape.
func TestAccountTexts(t *testing.T) {
	auth, who := people(t, "ada", "ben")
	plain := testAccount(t, "plain", auth, who)
	page := shapeOf(t, written(t, plain.HTML))
	doc := shapeOf(t, rendered(t, written(t, plain.Markdown)))
	allowed := strings.Fields("html head meta title style body h1 h2 p div table thead tbody tr th td code footer ul li details summary svg desc path text rect")
	for e := range page.elements {
		if !slices.Contains(allowed, e) {
			t.Errorf("the page has an element %s", e)
		}
	}
	for _, a := range page.attrs {
		if _, name, _ := strings.Cut(a, " "); strings.HasPrefix(name, "on") || slices.Contains([]string{"src", "href", "xlink:href", "style"}, name) {
			t.Errorf("the page has an attribute %s", a)
		}
	}
	if page.elements["svg"] != 1 || page.elements["a"]+doc.elements["a"]+page.elements["script"] != 0 || doc.elements["table"] != 9 {
		t.Fatalf("%v, %v", page.elements, doc.elements)
	}
	for _, s := range append(slices.Clone(hostile), "javascript:alert(1)", "[a](javascript:alert(1))", "\u202eevil\u202c|`</code>", "a\n\n# b\n") {
		if s == "\x00\x01\x08\x0b\x1b[31m\x7f" || strings.TrimSpace(say.Line(s)) == "" {
			continue
		}
		if len(s) > 150 { // texts that are cut can be equal
			s = s[:150]
		}
		a := testAccount(t, s, auth, who)
		html, md := written(t, a.HTML), written(t, a.Markdown)
		got := shapeOf(t, html)
		if fmt.Sprint(got.elements) != fmt.Sprint(page.elements) || fmt.Sprint(got.attrs) != fmt.Sprint(page.attrs) {
			t.Errorf("%.40q: the page has %v %v\nwant %v %v", s, got.elements, got.attrs, page.elements, page.attrs)
		}
		got = shapeOf(t, rendered(t, md))
		if fmt.Sprint(got.elements) != fmt.Sprint(doc.elements) || inOrder(got.outside) != inOrder(doc.outside) {
			t.Errorf("%.40q: the document has %v\nwant %v\nand says\n%.3000s\nwant\n%.3000s", s, got.elements, doc.elements, got.outside, doc.outside)
		}
		for _, out := range [][]byte{html, md} {
			for line := range strings.Lines(string(out)) {
				if line = strings.TrimRight(line, "\n"); say.Clean(line) != line {
					t.Errorf("%.40q shows raw: %.200q", s, line)
				}
			}
		}
		parts(t, html)
	}
}

// inOrder sorts words: rows are sorted by texts.
func inOrder(s string) string {
	words := strings.Fields(s)
	slices.Sort(words)
	return strings.Join(words, " ")
}

// parts parses the drawing as XML.
func parts(t testing.TB, page []byte) map[string]int {
	t.Helper()
	_, rest, ok := bytes.Cut(page, []byte("<svg "))
	svg, _, end := bytes.Cut(rest, []byte("</svg>"))
	if !ok || !end {
		t.Fatal("there is no drawing")
	}
	found := map[string]int{}
	for d := xml.NewDecoder(strings.NewReader("<svg " + string(svg) + "</svg>")); ; {
		x, err := d.Token()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatalf("the drawing is no XML: %v", err)
		}
		if e, ok := x.(xml.StartElement); ok {
			found[e.Name.Local]++
		}
	}
}

// TestAccountNumbers holds the sums against a count that knows nothing of the reckoner.
func TestAccountNumbers(t *testing.T) {
	auth, who := people(t, "ada", "ben", "cyd")
	rng := rand.New(rand.NewSource(1)) //nolint:gosec // a test's
	since, until := now.Add(-time.Hour), now
	k := NewReckoner(auth, since, until, now)
	outcomes := []event.Outcome{event.OK, event.Denied, event.Failed, event.Ignored}
	want, kinds := map[string]int{}, map[string]int{}
	for i := range 5000 {
		p := who[rng.Intn(3)]
		at := now.Add(time.Duration(rng.Intn(7200)-5400) * time.Second)
		kind := []string{"seal", "note", "tool_call_completed", "gate.decided", "capability.revoked", "x.a.b", "ref.admitted"}[rng.Intn(7)]
		outcome := outcomes[rng.Intn(4)]
		asked := who[rng.Intn(3)]
		r := record(p, i, at, kind, outcome, "key", asked.Keys[0].ID(), "tool", fmt.Sprint("t", rng.Intn(5)), "reason", fmt.Sprint(rng.Intn(3)))
		k.Add(r)
		switch {
		case at.Before(since):
			want["before"]++
			continue
		case at.After(until):
			want["after"]++
			want["ahead"]++
			continue
		}
		name := p.Name
		if kind == "gate.decided" {
			if name = asked.Name; outcome == event.Denied {
				want[name+" denied"]++
			} else {
				want[name+" allowed"]++
			}
		}
		want["all"]++
		want[name]++
		if outcome == event.Denied {
			want["denials"]++
		}
		kinds[name+" "+kind+" "+string(outcome)]++
		switch kind {
		case "seal":
			want[name+" sealed"]++
		case "capability.revoked":
			want[name+" revoked"]++
		case "note":
			want[name+" notes"]++
		}
	}
	a := NewAccount(testRun("x"), Asked{})
	k.Into(a)
	got, gotKinds := map[string]int{"all": a.Records.Counted, "before": a.Records.Before, "after": a.Records.After, "ahead": a.Records.Ahead}, map[string]int{}
	for _, p := range a.Principals {
		got[p.Principal], got[p.Principal+" sealed"], got[p.Principal+" allowed"], got[p.Principal+" denied"] = p.Records, p.Sealed, p.Allowed, p.Denied
		got[p.Principal+" revoked"], got[p.Principal+" notes"] = p.Revoked, p.Notes
		for _, x := range p.Kinds {
			for o, n := range map[event.Outcome]int{event.OK: x.OK, event.Denied: x.Denied, event.Failed: x.Failed, event.Ignored: x.Ignored} {
				if n > 0 {
					gotKinds[p.Principal+" "+x.Name+" "+string(o)] = n
				}
			}
		}
	}
	got["denials"] = a.More.Denials
	for _, d := range a.Denials {
		got["denials"] += d.Count
	}
	if !maps.Equal(got, want) || !maps.Equal(gotKinds, kinds) {
		t.Errorf("got  %v\nwant %v\n%v\n%v", got, want, gotKinds, kinds)
	}
	drawn, listed := 0, 0
	for _, l := range a.Timeline.Lanes {
		for _, m := range l.Marks {
			drawn += m.OK + m.NotOK
		}
	}
	for _, p := range a.Timeline.periods() {
		for _, n := range p.kinds {
			listed += n
		}
	}
	if drawn != want["all"] || listed != want["all"] {
		t.Errorf("the timeline shows %d of %d, its table %d", drawn, want["all"], listed)
	}
}

// TestAccountOrder: whatever order records come in, the bytes are the same.
func TestAccountOrder(t *testing.T) {
	auth, who := people(t, "ada", "ben", "cyd")
	rng := rand.New(rand.NewSource(2)) //nolint:gosec // a test's
	var list []*audit.Record
	for i := range 2000 {
		r := record(who[i%3], i, now.Add(-time.Duration(rng.Intn(1<<22))*time.Second), []string{"seal", "gate.decided", "note"}[i%3], []event.Outcome{event.OK, event.Denied}[i%2], "reason", fmt.Sprint(rng.Intn(9)))
		r.Session, r.Ledger = fmt.Sprint(i%7), fmt.Sprint(i) // of a ledger each, so that no order is given
		list = append(list, r)
	}
	var first []byte
	for range 5 {
		k := NewReckoner(auth, time.Time{}, time.Time{}, now)
		for _, r := range list {
			k.Add(r)
		}
		a := NewAccount(testRun("x"), Asked{})
		k.Into(a)
		j, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		all := slices.Concat(j, written(t, a.HTML), written(t, a.Markdown))
		if first == nil {
			first = all
		}
		if !bytes.Equal(first, all) {
			t.Fatal("another order gives other bytes")
		}
		rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	}
	if bytes.Contains(first, []byte("null")) {
		t.Error("a list is null")
	}
}

// TestAccountBounds: 200,000 records of one who wants to drown out the others, and of many principals, give no more than so many
// bytes and keep no more than so much; and what is left out is counted.
func TestAccountBounds(t *testing.T) {
	names := []string{"ada"}
	for i := range 40 {
		names = append(names, fmt.Sprint("agent", i))
	}
	auth, who := people(t, names...)
	k := NewReckoner(auth, time.Time{}, time.Time{}, now)
	const n = 200_000
	noise := strings.Repeat("<&>|`", 45)
	k.Add(record(who[0], 1, now, "secret_access_denied", event.Denied, "secret", "s", "reason", "the one that matters"))
	before := memory()
	for i := range n {
		kind := []string{"tool_call_completed", "note", "x.a.b" + fmt.Sprint(i), "secret_access_denied"}[i%4]
		text := fmt.Sprint(i)
		if i < 10_000 { // the first of each: later ones are not kept
			text += noise
		}
		at := now.Add(-time.Duration(i*997%(1<<28)) * time.Second)
		r := record(who[1+i%40], i, at, kind, event.Denied)
		value, _ := json.Marshal(text)
		for _, name := range []string{"reason", "ref", "secret", "tool"} {
			r.Data = append(r.Data, audit.Field{Name: name, Value: value})
		}
		r.Session, r.Intent = fmt.Sprint("s", i), fmt.Sprint("i", i)
		k.Add(r)
	}
	if grown := memory() - before; grown > 24<<20 {
		t.Errorf("it keeps %d bytes", grown)
	}
	a := NewAccount(testRun("x"), Asked{})
	k.Into(a)
	j, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	html, md := written(t, a.HTML), written(t, a.Markdown)
	svg := a.Timeline.chart()
	t.Logf("html %d bytes, of it the drawing %d; markdown %d; json %d", len(html), len(svg), len(md), len(j))
	for what, size := range map[string]int{"html": len(html), "markdown": len(md), "json": len(j)} {
		if size > 6<<20 {
			t.Errorf("%s has %d bytes", what, size)
		}
	}
	if len(svg) > 1<<20 || len(a.Timeline.Lanes) > maxLanes {
		t.Errorf("the drawing has %d bytes and %d lanes", len(svg), len(a.Timeline.Lanes))
	}
	if x := parts(t, html); x["path"] > 500 {
		t.Errorf("the drawing has %v", x)
	}
	total := a.More.Denials
	for _, d := range a.Denials {
		total += d.Count
	}
	if total != n+1 {
		t.Errorf("%d of %d denials are told or counted", total, n+1)
	}
	if !slices.ContainsFunc(a.Denials, func(d Denial) bool { return d.Reason == "the one that matters" }) {
		t.Error("others drown a denial out")
	}
}

func memory() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestSeries: steps that are made longer add up what came, in whatever order, and times far apart are no trouble.
func TestSeries(t *testing.T) {
	var s series
	for _, at := range []int64{1000, 0, -1 << 40, 5, 1 << 40, -62135596800, 253402300799, 7} {
		s.add(at, tools, at%2 != 0)
		if len(s.steps) > maxBuckets {
			t.Fatalf("%d steps", len(s.steps))
		}
	}
	n := 0
	for _, m := range s.list() {
		n += m.OK + m.NotOK
	}
	if n != 8 {
		t.Errorf("it counts %d of 8", n)
	}
}

// TestOdd: times that are set back or ahead, recordings that say nothing, and who tells of another's denial.
func TestOdd(t *testing.T) {
	auth, who := people(t, "ada", "ben")
	k := NewReckoner(auth, time.Time{}, time.Time{}, now)
	k.Add(record(who[0], 1, now, "note", event.OK))
	k.Add(record(who[0], 2, now.Add(-time.Hour), "note", event.OK))
	k.Add(record(who[0], 3, now.Add(time.Hour), "note", event.OK))
	bad := record(who[0], 4, now.Add(time.Hour), "audit.recorded", "")
	bad.Err = event.ErrInvalid
	k.Add(bad)
	k.Add(record(who[0], 5, now.Add(time.Hour), "gate.decided", event.Denied, "key", who[1].Keys[0].ID(), "action", "repo.commit", "reason", "no"))
	a := NewAccount(testRun("x"), Asked{})
	k.Into(a)
	r := a.Records
	if r.Counted != 4 || r.Backwards != 1 || r.Ahead != 3 || r.Unreadable != 1 {
		t.Errorf("%+v", r)
	}
	if len(a.Denials) != 1 || a.Denials[0].Principal != "ben" || a.Denials[0].By != "ada" || a.Principals[1].Told != 1 {
		t.Errorf("%+v %+v", a.Denials, a.Principals)
	}
}

func TestScopeWords(t *testing.T) {
	three := int64(3)
	many := make([]string, 30)
	for i := range many {
		many[i] = fmt.Sprint("p", i)
	}
	for want, s := range map[string]capability.Scope{
		"without limits": capability.Whole,
		"at most so many files: 3; paths a, b; refs none":   {Version: 1, Paths: []string{"a", "b"}, Refs: []string{}, MaxFiles: &three},
		"paths p0, p1, p2, p3, p4, p5, p6, p7, and 22 more": {Version: 1, Paths: many},
	} {
		if got := scopeWords(&s); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestProblemsFirst: what leaves nothing to rely on is never left out, and comes first.
func TestProblemsFirst(t *testing.T) {
	a := NewAccount(testRun("x"), Asked{})
	for i := range 300 {
		a.Problem(verdict.Finding{Code: verdict.GrantRefused, Message: fmt.Sprint(i)})
	}
	a.Problem(verdict.Finding{Code: verdict.LedgerWithheld, Message: "gone"})
	if !a.broken() || len(a.Problems) != maxProblems || a.More.Problems != 201 {
		t.Errorf("%d problems, %d more, %+v", len(a.Problems), a.More.Problems, a.Problems[0])
	}
	for _, out := range []string{string(written(t, a.Markdown)), string(written(t, a.HTML))} {
		if i, j := strings.Index(out, "nothing that follows can be relied on"), strings.Index(out, "Who did what"); i < 0 || j < i {
			t.Errorf("it is told at %d, after %d", i, j)
		}
	}
}
