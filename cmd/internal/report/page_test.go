package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	render "github.com/yuin/goldmark/renderer/html"
	"golang.org/x/net/html"

	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/envelope/verdict"
)

// githubMarkdown renders as GitHub's renderer does before it cleans up: raw HTML and
// bare links count.
var githubMarkdown = goldmark.New(goldmark.WithExtensions(extension.GFM), goldmark.WithRendererOptions(render.WithUnsafe()))

// A shape is what a document is made of, without its text.
type shape struct {
	elements map[string]int
	attrs    []string
	outside  string   // text that is in no code element, head or footer
	codes    []string // text of code elements
	links    []string // where they lead
}

func shapeOf(t testing.TB, page []byte) shape {
	t.Helper()
	root, err := html.Parse(bytes.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	s := shape{elements: map[string]int{}}
	var outside strings.Builder
	var walk func(n *html.Node, code bool)
	walk = func(n *html.Node, code bool) {
		switch n.Type {
		case html.ElementNode:
			s.elements[n.Data]++
			for _, a := range n.Attr {
				s.attrs = append(s.attrs, n.Data+" "+a.Key)
				if n.Data == "a" && a.Key == "href" {
					s.links = append(s.links, a.Val)
				}
			}
			if n.Data == "code" {
				code = true
				var b strings.Builder
				for d := range n.Descendants() {
					if d.Type == html.TextNode {
						b.WriteString(d.Data)
					}
				}
				s.codes = append(s.codes, b.String())
			}
		case html.TextNode:
			if !code {
				outside.WriteString(n.Data + " ")
			}
		case html.CommentNode:
			s.elements["comment"]++
		}
		for c := range n.ChildNodes() {
			walk(c, code)
		}
	}
	walk(root, false)
	s.outside = strings.Join(strings.Fields(outside.String()), " ")
	slices.Sort(s.attrs)
	s.attrs = slices.Compact(s.attrs)
	return s
}

func rendered(t testing.TB, page []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := githubMarkdown.Convert(page, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func roomy(r *Run) { r.Limit = maxSummary }

const maxSummary = 1 << 20 // characters

// TestMarkdown: whatever the texts are, the document has the same elements and the
// same words outside of code, and code says what was meant.
func TestMarkdown(t *testing.T) {
	want := shapeOf(t, rendered(t, write(t, "markdown", "plain", roomy)))
	if want.elements["table"] != 5 || want.elements["a"] != 1 || want.elements["tr"] != 5+6+2+2+2+2 {
		t.Fatalf("the document has %v", want.elements)
	}
	for _, s := range hostile {
		page := write(t, "markdown", s, roomy)
		got := shapeOf(t, rendered(t, page))
		if fmt.Sprint(got.elements) != fmt.Sprint(want.elements) || fmt.Sprint(got.attrs) != fmt.Sprint(want.attrs) {
			t.Errorf("%.40q: elements %v, attributes %v; want %v, %v\n%.3000s", s, got.elements, got.attrs, want.elements, want.attrs, page)
			continue
		}
		if !slices.Equal(got.links, []string{findingsPage}) {
			t.Errorf("%.40q: it links to %q", s, got.links)
		}
		if got.outside != want.outside {
			t.Errorf("%.40q: outside of code it says\n%.1000s\nwant\n%s", s, got.outside, want.outside)
		}
		meant := cut(say.Line(s), maxCell)
		if !slices.ContainsFunc(got.codes, func(c string) bool { return strings.TrimSpace(c) == strings.TrimSpace(meant) }) {
			t.Errorf("%.40q: no code says %q: %.2000q", s, meant, got.codes)
		}
	}
}

// FuzzMarkdown states the same of any text.
func FuzzMarkdown(f *testing.F) {
	for _, s := range hostile {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if code(s, maxCell) == "" {
			return
		}
		row := "| a | b |\n|---|---|\n| " + code(s, maxCell) + " | end |\n\n- x " + code(s, maxCell) + ": " + code(s, maxCell) + "\n"
		got := shapeOf(t, rendered(t, []byte(row)))
		if got.outside != "a b end x :" || got.elements["td"] != 2 || got.elements["code"] != 3 || got.elements["li"] != 1 || got.elements["a"] != 0 {
			t.Errorf("%q as %s\nis %v, outside of code %q", s, row, got.elements, got.outside)
		}
		for _, c := range got.codes {
			if strings.TrimSpace(c) != strings.TrimSpace(cut(say.Line(s), maxCell)) {
				t.Errorf("%q shows as %q", s, c)
			}
		}
	})
}

// TestMarkdownLimit: a report fits into a comment, tells what it left out, and always
// has its head and its root.
func TestMarkdownLimit(t *testing.T) {
	for _, limit := range []int{0, 10_000, 1} {
		var b bytes.Buffer
		run := testRun("x")
		run.Limit = limit
		e := newMarkdown(&b, run)
		long := strings.Repeat("|", 1000)
		proof, said := []Ran{{Name: long, Result: long, By: long, Time: long}}, []Review{{Verdict: long, By: long, Account: long, Ref: long, State: "open"}}
		for i := range 3000 {
			r := &verdict.Result{Commit: id(t, i), Verdict: verdict.Unsealed, Findings: []verdict.Finding{testFinding(long)}, Covers: []verdict.Cover{{Commit: id(t, i), Principal: verdict.Principal{Name: long}}}}
			if err := e.Commit(Commit{Result: r, Subject: strings.Repeat("ä", 1000), Paths: []string{fmt.Sprint("p", i)}, Evidence: proof, Reviews: said}); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.End(Summary{Commits: 3000, Unsealed: 3000}); err != nil {
			t.Fatal(err)
		}
		out := b.String()
		if limit == 0 {
			limit = maxComment
		}
		if n := utf8.RuneCountInString(out); n > max(limit, around) {
			t.Errorf("%d characters, the limit is %d", n, limit)
		}
		for _, want := range []string{"## Covenant: ❌ Refused", "3000 unsealed", "more errors are not shown", "more commits are not shown", "more files are not shown", "more covers are not shown", "more runs are not shown", "more reviews are not shown", "Held to the trust root `sha256:0"} {
			if !strings.Contains(out, want) {
				t.Errorf("with limit %d it does not say %q", limit, want)
			}
		}
	}
}

// TestLastChange: of each file the newest change in the range is told.
func TestLastChange(t *testing.T) {
	l := newLastChanges(Run{})
	ada := &verdict.Principal{Name: "ada", Kind: "human", Accountable: "ada"}
	coder := &verdict.Principal{Name: "coder", Kind: "agent", Accountable: "ada"}
	helper := verdict.Principal{Name: "helper", Kind: "agent", Accountable: "ada"}
	add := func(n int, v verdict.Verdict, p *verdict.Principal, grants []Grant, paths ...string) {
		l.add(Commit{Result: &verdict.Result{Commit: id(t, n), Verdict: v, Principal: p}, Grants: grants, Paths: paths})
	}
	add(0, verdict.Before, nil, nil, "old")
	add(1, verdict.Sealed, ada, []Grant{}, "a", "b")
	add(2, verdict.Sealed, coder, []Grant{{"g1", "ada"}, {"g2", "lead"}}, "b", "c")
	add(3, verdict.Unsealed, nil, nil, "c")
	add(4, verdict.Exempt, ada, nil, "d")
	add(5, verdict.Derived, nil, nil, "e")
	add(6, verdict.Sealed, ada, nil, "f")
	l.add(Commit{Result: &verdict.Result{Commit: id(t, 7), Verdict: verdict.Derived, Principal: coder, Covers: []verdict.Cover{
		{Principal: *coder, Paths: []string{"g"}},
		{Principal: helper, Paths: []string{"h"}},
		{Principal: *ada, Paths: []string{"i"}, Made: []verdict.Made{{Path: "i", By: []verdict.Principal{helper}, Part: true}}, Rewritten: true},
		{Principal: *ada, Joined: true},
	}}, Covered: [][]Grant{{{"g1", "ada"}}, {{"g2", "ada"}}, {}, {}}, Paths: []string{"g", "h", "i", "j", "f"}})
	made := []verdict.Made{{Path: "k", By: []verdict.Principal{*coder}}}
	l.add(Commit{Result: &verdict.Result{Commit: id(t, 8), Verdict: verdict.Sealed, Principal: ada, Made: made, Rewritten: true, Besides: true}, Grants: []Grant{}, Paths: []string{"k", "l"}})
	made = []verdict.Made{{Path: "m", By: []verdict.Principal{*coder}}}
	l.add(Commit{Result: &verdict.Result{Commit: id(t, 9), Verdict: verdict.Sealed, Principal: ada, Made: made}, Grants: []Grant{}, Paths: []string{"m"}})
	var got []string
	for _, x := range l.list() {
		got = append(got, x.path+" "+x.who+" "+x.authority)
	}
	want := []string{
		"a ada operator, by the trust root", "b coder (agent of ada) grant g1 by ada, then g2 by lead", "c nobody known here none: unsealed", "d ada exempt by the policy",
		"e nobody: what joining its sides gives that of the sealed commits it is made of", "f ada not known here",
		"g coder (agent of ada) grant g1 by ada", "h helper (agent of ada) grant g2 by ada", "i helper (agent of ada), ada, rewritten by ada operator, by the trust root",
		"j nobody: what joining its sides gives that of the sealed commits it is made of",
		"k coder (agent of ada), rewritten by ada operator, by the trust root", "l ada operator, by the trust root", "m coder (agent of ada), sealed by ada operator, by the trust root",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestProof: of each signer the last word counts, and what was run on the one commit that was asked about is told of all files.
func TestProof(t *testing.T) {
	run := func(name, result, by string) Ran { return Ran{Name: name, Result: result, By: by} }
	say := func(verdict, by, account, state string) Review {
		return Review{Verdict: verdict, By: by, Account: account, State: state}
	}
	l := newLastChanges(Run{Tips: []Tip{{Commit: id(t, 1).String()}}, Except: []string{"base"}})
	whole := say("approve", "fay", "", "open")
	whole.Base = "base"
	sealed := func(n int) *verdict.Result { return &verdict.Result{Commit: id(t, n), Verdict: verdict.Sealed} }
	l.add(Commit{Result: sealed(0), Paths: []string{"a"}, Evidence: []Ran{run("lint", "passed", "ci")}})
	l.add(Commit{
		Result: sealed(1), Paths: []string{"b"},
		Evidence: []Ran{run("test", "failed", "ci"), run("test", "passed", "ci"), run("test", "passed", "coder")},
		Reviews: []Review{
			say("approve", "ben", "", "open"), say("comment", "ben", "", "open"), say("approve", "eve", "", "open"), say("withdraw", "eve", "", "open"),
			say("approve", "bot", "carl", "used"), say("approve", "dan", "", "stale"), say("request", "ada", "", "open"), whole,
		},
	})
	const runs = "test failed (ci), test passed (coder), "
	var got []string
	for _, x := range l.list() {
		got = append(got, x.proof)
	}
	if want := []string{"lint passed (ci); at 000000000000: " + runs + "approved by fay", runs + "approved by ben, approved by carl, approved by fay"}; !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestLegend: the words that occur are explained, and no others.
func TestLegend(t *testing.T) {
	l := legend{}
	l.add(Commit{Result: &verdict.Result{Verdict: verdict.Before, Coverage: "own"}})
	l.add(Commit{
		Result: &verdict.Result{Verdict: verdict.Sealed, Mode: "vouch", Coverage: "own", Unattended: true, Principal: &verdict.Principal{Name: "ada", Kind: "human", Accountable: "ada"}},
		Grants: []Grant{}, Reviews: []Review{{State: "stale"}},
	})
	var got []string
	l.tell(func(word, _ string) { got = append(got, word) })
	if want := strings.Fields("sealed vouch unattended own operator stale"); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, g := range glossary {
		if len(g.meaning) > 120 {
			t.Errorf("%s takes %d characters", g.word, len(g.meaning))
		}
	}
}

// TestHTML: whatever the texts are, the page has the same elements and attributes, none
// of which runs or loads anything, and its policy allows its own style only.
func TestHTML(t *testing.T) {
	want := shapeOf(t, write(t, "html", "plain", nil))
	allowed := strings.Fields("html head meta title style body h1 h2 p div table thead tbody tr th td code footer ul li b a")
	for e := range want.elements {
		if !slices.Contains(allowed, e) {
			t.Errorf("the page has an element %s", e)
		}
	}
	for _, a := range want.attrs {
		if strings.Contains(a, " on") || strings.HasSuffix(a, " src") || strings.HasSuffix(a, " href") && a != "a href" || strings.HasSuffix(a, " style") {
			t.Errorf("the page has an attribute %s", a)
		}
	}
	for _, s := range hostile {
		got := shapeOf(t, write(t, "html", s, nil))
		if fmt.Sprint(got.elements) != fmt.Sprint(want.elements) || fmt.Sprint(got.attrs) != fmt.Sprint(want.attrs) || !slices.Equal(got.links, []string{findingsPage}) {
			t.Errorf("%.40q: %v, %v, %v", s, got.elements, got.attrs, got.links)
		}
	}
	page := string(write(t, "html", "plain", nil))
	_, rest, _ := strings.Cut(page, "<style>")
	css, _, _ := strings.Cut(rest, "</style>")
	sum := sha256.Sum256([]byte(css))
	if !strings.Contains(page, "style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") {
		t.Error("the policy refuses the page's own style")
	}
	for _, no := range []string{"url(", "@import", "http"} {
		if strings.Contains(css, no) {
			t.Errorf("the style has %q", no)
		}
	}
	if !strings.Contains(css, "prefers-color-scheme:dark") {
		t.Error("there is no dark mode")
	}
}
