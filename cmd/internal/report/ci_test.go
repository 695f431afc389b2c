package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/envelope/verdict"
)

var command = regexp.MustCompile(`^::(error|warning) (file=[^:,]*,)?title=[^:,]*::`)

// commands returns the lines of out as a runner splits them, and fails when one of them
// is a command that is none of ours, or when there is more or less than lines of them.
func commands(t *testing.T, out string, lines int) (found []string) {
	t.Helper()
	all := regexp.MustCompile("\r\n|\r|\n").Split(strings.TrimSuffix(out, "\n"), -1)
	if len(all) != lines {
		t.Errorf("%d lines, want %d: %.300q", len(all), lines, out)
	}
	for _, l := range all {
		if command.MatchString(l) {
			found = append(found, l)
			continue
		}
		if strings.HasPrefix(strings.TrimSpace(l), "::") || strings.Contains(l, "##[") {
			t.Errorf("a runner takes this for a command: %q", l)
		}
	}
	return found
}

func TestGitHub(t *testing.T) {
	for _, s := range hostile {
		out := string(write(t, "github", s, nil))
		// A line for each commit that is judged, 12 annotations, and the sum.
		got := commands(t, out, 6+5+7+1)
		if len(got) != 12 {
			t.Errorf("%.40q: %d commands", s, len(got))
		}
	}
}

func TestGitHubEscapes(t *testing.T) {
	f := verdict.Finding{Code: "seal.missing", Path: "a,b:c%d\ne", Message: "100% wrong:\nof a, b", Hint: "do x"}
	var b bytes.Buffer
	e := newGitHub(&b, testRun("x"))
	if err := e.Commit(Commit{Result: &verdict.Result{Commit: id(t, 0), Verdict: verdict.Unsealed, Findings: []verdict.Finding{f}}, Subject: "s"}); err != nil {
		t.Fatal(err)
	}
	want := "unsealed " + id(t, 0).Short() + "  s\n" +
		`::error file=a%2Cb%3Ac%25d\ne,title=seal.missing in ` + id(t, 0).Short() + `::100%25 wrong:\nof a, b (do x)` + "\n"
	if b.String() != want {
		t.Errorf("got  %q\nwant %q", b.String(), want)
	}
}

func TestGitHubLimit(t *testing.T) {
	var b bytes.Buffer
	e := newGitHub(&b, testRun("x"))
	for i := range 25 {
		r := &verdict.Result{
			Commit: id(t, i), Verdict: verdict.Unsealed, Findings: []verdict.Finding{{Code: verdict.SealMissing, Message: fmt.Sprint(i)}},
			Warnings: []verdict.Finding{{Code: verdict.NoteJunk, Message: "junk"}},
		}
		if err := e.Commit(Commit{Result: r}); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.End(Summary{Commits: 25, Unsealed: 25}); err != nil {
		t.Fatal(err)
	}
	out := b.String()
	if strings.Count(out, "::error ") != 10 || strings.Count(out, "::warning ") != 10 {
		t.Errorf("%d and %d annotations", strings.Count(out, "::error "), strings.Count(out, "::warning "))
	}
	for _, want := range []string{"15 more of level error", "15 more of level warning", "refused: 25 commits: 25 unsealed"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q", want)
		}
	}
}

// FuzzGitHub: whatever the text is, it makes no line and no command, and what a
// message or a property says is read back as it was.
func FuzzGitHub(f *testing.F) {
	for _, s := range hostile {
		f.Add(s)
	}
	back := strings.NewReplacer("%0D", "\r", "%0A", "\n", "%3A", ":", "%2C", ",", "%25", "%")
	f.Fuzz(func(t *testing.T, s string) {
		if got := back.Replace(githubProperty(s)); got != s {
			t.Errorf("property %q reads back as %q", s, got)
		}
		if got := strings.NewReplacer("%0D", "\r", "%0A", "\n", "%25", "%").Replace(githubData(s)); got != s {
			t.Errorf("data %q reads back as %q", s, got)
		}
		var b bytes.Buffer
		e := newGitHub(&b, testRun(s))
		r := &verdict.Result{Commit: id(t, 0), Verdict: verdict.Unsealed, Findings: []verdict.Finding{testFinding(s)}, Principal: &verdict.Principal{Name: s, Kind: s, Accountable: s + "x"}}
		if err := errors.Join(e.Commit(Commit{Result: r, Subject: s}), e.End(Summary{Commits: 1, Unsealed: 1})); err != nil {
			t.Fatal(err)
		}
		if got := commands(t, b.String(), 3); len(got) != 1 {
			t.Errorf("%d commands: %q", len(got), b.String())
		}
	})
}

func TestGitLab(t *testing.T) {
	for _, s := range hostile {
		var issues []issue
		if err := json.Unmarshal(write(t, "gitlab", s, nil), &issues); err != nil {
			t.Fatalf("%.40q: %v", s, err)
		}
		if len(issues) != 13 {
			t.Errorf("%d issues", len(issues))
		}
		seen := map[string]bool{}
		for _, i := range issues {
			if i.Description == "" || i.CheckName == "" || i.Location.Path == "" || i.Location.Lines.Begin != 1 || len(i.Fingerprint) != 32 || seen[i.Fingerprint] {
				t.Errorf("%.40q: %v", s, i)
			}
			seen[i.Fingerprint] = true
			if i.Severity != "blocker" && i.Severity != "minor" {
				t.Errorf("severity %s", i.Severity)
			}
		}
	}
	var b bytes.Buffer
	if err := newGitLab(&b, testRun("x")).End(Summary{OK: true}); err != nil || b.String() != "[]\n" {
		t.Errorf("nothing wrong is %q, %v", b.String(), err)
	}
	b.Reset()
	if err := newGitLab(&b, testRun("x")).End(Summary{Undecided: "newer"}); err != nil || !strings.Contains(b.String(), "undecided") {
		t.Errorf("no answer is %q, %v", b.String(), err)
	}
}

// suite is JUnit as its readers take it.
type suite struct {
	Tests    int `xml:"tests,attr"`
	Failures int `xml:"failures,attr"`
	Suites   []struct {
		Cases []struct {
			Name     string   `xml:"name,attr"`
			Failures []string `xml:"failure"`
			Out      []string `xml:"system-out"`
		} `xml:"testcase"`
	} `xml:"testsuite"`
}

func TestJUnit(t *testing.T) {
	for _, s := range hostile {
		out := write(t, "junit", s, nil)
		dec := xml.NewDecoder(bytes.NewReader(out))
		dec.Strict = true
		names := map[string]bool{}
		for {
			tok, err := dec.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%.40q: %v", s, err)
			}
			switch tok := tok.(type) {
			case xml.StartElement:
				names[tok.Name.Local] = true
			case xml.Comment, xml.Directive:
				t.Errorf("%.40q: %v", s, tok)
			}
		}
		if len(names) != 7 {
			t.Errorf("%.40q: elements %v", s, names)
		}
		var x suite
		if err := xml.Unmarshal(out, &x); err != nil {
			t.Fatal(err)
		}
		if x.Tests != 10 || x.Failures != 4 || len(x.Suites) != 1 || len(x.Suites[0].Cases) != 10 {
			t.Errorf("%.40q: %d tests, %d failures", s, x.Tests, x.Failures)
		}
	}
}

// FuzzJUnit: what is written is XML 1.0, whatever the bytes are.
func FuzzJUnit(f *testing.F) {
	for _, s := range hostile {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var x struct {
			Attr string `xml:"a,attr"`
			Text string `xml:",chardata"`
		}
		if err := xml.Unmarshal([]byte(`<x a="`+xmlText(s)+`">`+xmlText(s)+`</x>`), &x); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		if x.Attr != x.Text {
			t.Errorf("%q and %q", x.Attr, x.Text)
		}
	})
}
