package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/oid"
)

// hostile texts try to end the place they stand in.
var hostile = []string{
	"plain",
	"new\nline\r\n::error::x",
	"\r::set-env name=PATH::/tmp",
	"::error file=a::b",
	" ::stop-commands::x",
	"##[add-mask]x",
	"x ##[set-env name=PATH]/tmp",
	"a|b",
	"| a | b |",
	"trailing \\",
	"a|b \\| c \\\\| d | e",
	"`code` ``two`` ```three",
	"`</code>` </code><b>",
	"<script>alert(1)</script>",
	"</td></tr></table><img src=x onerror=alert(1)>",
	"<!-- --> <![CDATA[ ]]> ]]>",
	"@team @org/team #1 org/repo#1 GH-1",
	"[link](https://example.com) ![i](x) https://example.com www.example.com a@example.com",
	"&lt; &#64;team &amp;",
	"# head\n## head\n- item\n> quote\n---",
	"*a* _b_ ~~c~~ **d** $x$ $$y$$",
	"\"quoted\" 'single' --> %0A%0D%25%3A%2C,a:b",
	"\u202eevil\u202c \u2066x\u2069 zero\u200bwidth \u2028 \u2029 \u0085",
	"bad \xff\xfe bytes \xc0\x80",
	"\x00\x01\x08\x0b\x1b[31m\x7f",
	"\ufffe \uffff \U0001fffe",
	"..",
	"../../etc/passwd",
	"//0 ",
	"javascript:alert(1)//",
	"//host/path?query#fragment",
	"C:\\windows",
	"-",
	"1. one",
	"    indented",
	strings.Repeat("long ", 4000),
	strings.Repeat("`|", 3000),
}

func id(t testing.TB, n int) oid.ID {
	t.Helper()
	x, err := oid.Parse(fmt.Sprintf("%040x", n+1))
	if err != nil {
		t.Fatal(err)
	}
	return x
}

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func testRun(s string) Run {
	return Run{
		Revisions: []string{s}, Ref: "refs/heads/" + s, Root: "sha256:" + strings.Repeat("0", 64), Pinned: "--root", Version: "v1.2.3", Now: now,
		Repository: "https://example.com/r", Tips: []Tip{{strings.Repeat("a", 40), strings.Repeat("b", 40)}}, Except: []string{strings.Repeat("c", 40)},
	}
}

// testFinding puts s everywhere somebody else's text can be.
func testFinding(s string) verdict.Finding {
	return verdict.Finding{Code: verdict.SealMissing, Path: s, Object: s, Message: s, Hint: s}
}

// write encodes one commit of each verdict with s everywhere.
func write(t testing.TB, name string, s string, change func(*Run)) []byte {
	t.Helper()
	f, ok := Named(name)
	if !ok {
		t.Fatalf("no form %s", name)
	}
	run := testRun(s)
	if change != nil {
		change(&run)
	}
	var b bytes.Buffer
	e := f.New(&b, run)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	sum := Summary{}
	for i, v := range []verdict.Verdict{verdict.Sealed, verdict.Exempt, verdict.Unsealed, verdict.Invalid, verdict.Before} {
		r := &verdict.Result{
			Commit: id(t, i), Verdict: v, Mode: provenance.Witness, Coverage: "own",
			Principal: &verdict.Principal{Name: s, Kind: "agent", Accountable: s + "2", Key: s}, Warnings: []verdict.Finding{testFinding(s)},
		}
		if !v.OK() {
			r.Findings = []verdict.Finding{testFinding(s), {Code: "of.another-release", Message: s}}
		}
		check(e.Commit(Commit{Result: r, Subject: s, Paths: []string{s, s + "x"}, Grants: []Grant{{ID: "0123456789ab", By: s}}}))
	}
	who := verdict.Principal{Name: s, Kind: s, Accountable: s + "2", Key: s}
	made := []verdict.Made{{Path: s, By: []verdict.Principal{{Name: s + "3", Kind: "human", Accountable: s + "3"}}, Part: true}}
	for i, r := range []*verdict.Result{
		{Verdict: verdict.Derived, Mode: provenance.Vouching, Coverage: "blob", Principal: &who, Covers: []verdict.Cover{
			{Commit: id(t, 8), Seal: s, Principal: who, Mode: provenance.Witness, Took: 1, Paths: []string{s}, Made: made, Rewritten: true}, {Commit: id(t, 9), Principal: who, Joined: true},
		}},
		{Verdict: verdict.Sealed, Mode: provenance.Witness, Coverage: "own", Principal: &who, Made: made, Rewritten: true},
	} {
		r.Commit = id(t, 6+i)
		check(e.Commit(Commit{
			Result: r, Subject: s, Paths: []string{s}, Grants: []Grant{{ID: s, By: s}}, Covered: [][]Grant{{{ID: s, By: s}}, nil},
			Evidence: []Ran{{ID: s, Name: s, Result: s, By: s, Kind: s, Time: s, Who: &who}}, Reviews: []Review{{ID: s, Verdict: s, State: "open", Ref: s, By: s, Account: s, Time: s}}, More: 1,
		}))
	}
	check(e.Problem(testFinding(s), false))
	check(e.Problem(testFinding(s), true))
	check(e.Ref(Ref{RefState: &verdict.RefState{Ref: "refs/heads/" + s, Findings: []verdict.Finding{testFinding(s)}, Warnings: []verdict.Finding{testFinding(s)}}}))
	sum.Commits, sum.Sealed, sum.Derived, sum.Exempt, sum.Unsealed, sum.Invalid, sum.Before = 7, 2, 1, 1, 1, 1, 1
	check(e.End(sum))
	return b.Bytes()
}

// TestHidden: no form shows raw what a terminal would not.
func TestHidden(t *testing.T) {
	for _, f := range Formats {
		for _, s := range hostile {
			out := string(write(t, f.Name, s, nil))
			if f.Name == "sarif" || f.Name == "vsa" {
				// JSON escapes on its own what it must.
				var v any
				if err := json.Unmarshal([]byte(out), &v); err != nil {
					t.Errorf("%s of %.40q: %v", f.Name, s, err)
				}
			}
			for line := range strings.Lines(out) {
				line = strings.NewReplacer("✅", "", "❌", "", "❔", "").Replace(strings.TrimRight(line, "\n"))
				if f.Name != "vsa" && say.Clean(line) != line {
					t.Errorf("%s of %.40q shows raw: %.200q", f.Name, s, line)
				}
			}
		}
	}
}

// TestRules: docs/spec/findings.md and the rules are one list in the same words.
func TestRules(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "spec", "findings.md"))
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("^\\| `([a-z.-]+)` \\| ([^|]*) \\| ([^|]*) \\|")
	link := regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
	found, section := 0, ""
	for line := range strings.Lines(string(page)) {
		if title, ok := strings.CutPrefix(line, "## "); ok {
			section = strings.ToLower(strings.NewReplacer(" ", "-", ",", "", "\n", "").Replace(title))
		}
		m := row.FindStringSubmatch(line)
		if m == nil || strings.Trim(strings.NewReplacer("doctor", "", "sync", "", "audit", "", "evidence", "", "with `--deep`", "").Replace(m[2]), ", ") == "" {
			continue
		}
		found++
		want := rule{section, strings.ReplaceAll(link.ReplaceAllString(strings.TrimSpace(m[3]), "$1"), "`", "")}
		if got := rules[verdict.Code(m[1])]; got != want {
			t.Errorf("%s is %q, the page says %q", m[1], got, want)
		}
	}
	if found == 0 || found != len(rules) {
		t.Errorf("the page has %d codes that verify tells, the rules have %d", found, len(rules))
	}
	if got := ruleOf("of.another-release"); got.meaning != "of.another-release" || got.help() != findingsPage {
		t.Errorf("an unknown code is %q", got)
	}
}

// TestFingerprint: findings have distinct, stable names.
func TestFingerprint(t *testing.T) {
	f := verdict.Finding{Code: "a", Path: "b", Object: "c"}
	if got, want := fingerprint("x", f, 0), fingerprint("x", f, 0); got != want {
		t.Errorf("%s and %s", got, want)
	}
	seen := map[string]bool{}
	for _, g := range []string{
		fingerprint("x", f, 0), fingerprint("x", f, 1), fingerprint("y", f, 0),
		fingerprint("x", verdict.Finding{Code: "a", Path: "bc"}, 0), fingerprint("x", verdict.Finding{Code: "a", Object: "bc"}, 0),
		fingerprint("xa", verdict.Finding{Path: "b", Object: "c"}, 0),
	} {
		if seen[g] {
			t.Errorf("%s stands for two", g)
		}
		seen[g] = true
	}
	message := f
	message.Message, message.Hint = "said otherwise", "in another release"
	if fingerprint("x", f, 0) != fingerprint("x", message, 0) {
		t.Error("the words of a message change the fingerprint")
	}
}

func TestCut(t *testing.T) {
	for _, c := range []struct {
		in   string
		n    int
		want string
	}{{"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"äöü", 3, "äöü"}, {"äöüß", 3, "äö…"}} {
		if got := cut(c.in, c.n); got != c.want {
			t.Errorf("cut(%q, %d) = %q", c.in, c.n, got)
		}
	}
}
