package handoff_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/canonical"
	"github.com/open-covenant/covenant-git/envelope/handoff"
	"github.com/open-covenant/covenant-git/envelope/vectors"
)

const dir = "../../testdata/vectors/handoff"

// parse reads a statement, and returns it as it would be written.
func parse(payload []byte) ([]byte, error) {
	o := &envelope.Opened{PayloadType: envelope.TypeLedger, Payload: payload}
	s, err := handoff.Parse(o)
	if err != nil {
		return nil, err
	}
	switch {
	case s.Creation != nil:
		return canonical.Marshal(envelope.Ledger[handoff.Creation]{Body: *s.Creation, Entry: s.Entry, Type: handoff.Created})
	case s.Resume != nil:
		return canonical.Marshal(envelope.Ledger[handoff.Resumption]{Body: *s.Resume, Entry: s.Entry, Type: handoff.Resumed})
	}
	return canonical.Marshal(envelope.Ledger[handoff.Release]{Body: *s.Release, Entry: s.Entry, Type: handoff.Released})
}

// Each file is the payload of a statement; what is refused is named after its reason.
func TestVectors(t *testing.T) { vectors.Hold(t, dir, written(t), parse) }

// The example of the specification is a statement.
func TestWorkedExample(t *testing.T) {
	b, err := os.ReadFile("../../docs/spec/handoff.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(b), "```json\n")
	text, _, end := strings.Cut(rest, "\n```")
	if !ok || !end {
		t.Fatal("it has no example")
	}
	if again, err := parse([]byte(text)); err != nil || string(again) != text {
		t.Errorf("%v: %s", err, again)
	}
}

// What parses is written as the same bytes.
func FuzzStatement(f *testing.F) { vectors.Fuzz(f, dir, parse) }

// written are the vectors as they are written, by their names.
func written(t *testing.T) map[string]string {
	t.Helper()
	d := "sha256:" + strings.Repeat("1", 64)
	a, b, c, e := strings.Repeat("a", 40), strings.Repeat("b", 40), strings.Repeat("c", 40), strings.Repeat("e", 40)
	entry := func(topic string) string {
		return fmt.Sprintf(`"entry":{"prev":"%s","repository":"%s","seq":2,"time":"2026-01-31T12:00:00Z","topic":"%s","writer":"0123456789abcdef-01234567"}`, d, d, topic)
	}
	all := func(typ, topic, body string) string {
		return `{"body":` + body + `,` + entry(topic) + `,"type":"` + typ + `"}`
	}
	made := func(body string) string { return all(handoff.Created, "intent", body) }
	least := `{"bytes":0,"commit":"` + a + `","files":0,"index":{"commit":"` + b + `","tree":"` + c + `"},"manifest":"` + d + `","tree":"` + c + `"}`
	with := func(before, after string) string {
		out := strings.Replace(least, before, after, 1)
		if out == least {
			t.Fatalf("%s is not there", before)
		}
		return out
	}
	serial := strings.Repeat("0", 32)
	resumed := func(body string) string { return all(handoff.Resumed, "intent", body) }
	return map[string]string{
		"accept/least": made(least),
		"accept/full": made(`{"base":"` + e + `","bytes":7,"commit":"` + a + `","evidence":["` + d + `"],"files":2,"index":{"commit":"` + b + `","tree":"` + c + `"},"intent":"i-1","intentState":"` + d + `","left":[{"bytes":9,"path":"big","reason":"size"},{"path64":"/w==","reason":"secret","rule":"private-key"}],"manifest":"` + d +
			`","memory":["m1"],"next":"mend it","note":"a\nb","questions":["why?"],"ref":"refs/heads/main","tree":"` + c + `","untracked":{"commit":"` + e + `","tree":"` + b + `"}}`),
		"accept/resumed":                   resumed(`{"created":"` + d + `","serial":"` + serial + `"}`),
		"accept/again":                     resumed(`{"again":true,"created":"` + d + `","serial":"` + serial + `"}`),
		"accept/released":                  all(handoff.Released, "intent", `{"reason":"taken back","resumed":"`+d+`"}`),
		"reject/another-topic":             all(handoff.Created, "audit", least),
		"reject/no-commit":                 made(with(`"commit":"`+a+`",`, ``)),
		"reject/commit-zero":               made(with(a, strings.Repeat("0", 40))),
		"reject/mixed-formats":             made(with(a, strings.Repeat("a", 64))),
		"reject/manifest-short":            made(with(d, "sha256:11")),
		"reject/files-negative":            made(with(`"files":0`, `"files":-1`)),
		"reject/files-too-many":            made(with(`"files":0`, `"files":100001`)),
		"reject/field-unknown":             made(with(`"files":0`, `"files":0,"force":true`)),
		"reject/ref-short":                 made(with(`"manifest":"`+d+`"`, `"manifest":"`+d+`","ref":"main"`)),
		"reject/state-without-intent":      made(with(`"manifest"`, `"intentState":"x","manifest"`)),
		"reject/left-for-no-reason":        made(with(`"manifest"`, `"left":[{"path":"a","reason":"whim"}],"manifest"`)),
		"reject/left-nameless":             made(with(`"manifest"`, `"left":[{"reason":"size"}],"manifest"`)),
		"reject/path64-of-utf8":            made(with(`"manifest"`, `"left":[{"path64":"YQ==","reason":"size"}],"manifest"`)),
		"reject/more-left-than-are-listed": made(with(`"manifest"`, `"leftMore":3,"manifest"`)),
		"reject/question-empty":            made(with(`"manifest":"`+d+`"`, `"manifest":"`+d+`","questions":[""]`)),
		"reject/list-empty":                made(with(`"files":0`, `"evidence":[],"files":0`)),
		"reject/not-canonical":             made(with(`"bytes":0,"commit":"`+a+`"`, `"commit":"`+a+`","bytes":0`)),
		"reject/serial-short":              resumed(`{"created":"` + d + `","serial":"00"}`),
		"reject/serial-missing":            resumed(`{"created":"` + d + `"}`),
		"reject/again-false":               resumed(`{"again":false,"created":"` + d + `","serial":"` + serial + `"}`),
		"reject/resumes-nothing":           resumed(`{"created":"main","serial":"` + serial + `"}`),
		"reject/releases-nothing":          all(handoff.Released, "intent", `{"resumed":"x"}`),
		"reject/newer-created":             all("handoff.created/v2", "intent", least),
		"reject/newer-resumed":             all("handoff.resumed/v2", "intent", `{}`),
	}
}

// Everybody finds the same winner, in whatever order statements come.
func TestFold(t *testing.T) {
	id := func(n byte) envelope.Digest { return envelope.Digest("sha256:" + strings.Repeat(string(n), 64)) }
	at := func(n byte, key string, minute int) handoff.Place {
		return handoff.Place{ID: id(n), KeyID: key, Ledger: "intent/" + key, Seq: 1, Time: time.Date(2026, 1, 1, 0, minute, 0, 0, time.UTC)}
	}
	made := handoff.Entry{Place: at('0', "ada", 0), Statement: handoff.Statement{Creation: &handoff.Creation{}}}
	resume := func(n byte, key string, minute int, again bool) handoff.Entry {
		return handoff.Entry{Place: at(n, key, minute), Statement: handoff.Statement{Resume: &handoff.Resumption{Created: id('0'), Again: again}}}
	}
	release := func(of byte, key string) handoff.Entry {
		return handoff.Entry{Place: at('f', key, 9), Statement: handoff.Statement{Release: &handoff.Release{Resumed: id(of)}}}
	}
	for name, c := range map[string]struct {
		entries []handoff.Entry
		saw     string // who saw whom, as digits: "21" is 2 saw 1
		want    string
	}{
		"nobody":                            {nil, "", ""},
		"one":                               {[]handoff.Entry{resume('1', "a", 1, false)}, "", "1"},
		"the earlier":                       {[]handoff.Entry{resume('1', "a", 2, false), resume('2', "b", 1, false)}, "", "2"},
		"at once: the smaller":              {[]handoff.Entry{resume('2', "a", 1, false), resume('1', "b", 1, false)}, "", "1"},
		"the one that was seen":             {[]handoff.Entry{resume('1', "a", 2, false), resume('2', "b", 1, false)}, "21", "1"},
		"each saw the other":                {[]handoff.Entry{resume('1', "a", 2, false), resume('2', "b", 1, false)}, "21 12", "2"},
		"again does not count":              {[]handoff.Entry{resume('1', "a", 1, true), resume('2', "b", 2, false)}, "", "2"},
		"let go":                            {[]handoff.Entry{resume('1', "a", 1, false), release('1', "a"), resume('2', "b", 2, false)}, "", "2"},
		"let go by somebody else":           {[]handoff.Entry{resume('1', "a", 1, false), release('1', "b")}, "", "1"},
		"let go by an operator":             {[]handoff.Entry{resume('1', "a", 1, false), release('1', "op")}, "", ""},
		"let go, and the next one has it":   {[]handoff.Entry{resume('1', "a", 1, false), release('1', "op"), resume('2', "b", 2, false)}, "", "2"},
		"by a key that lost everything":     {[]handoff.Entry{resume('1', "lost", 1, false)}, "", ""},
		"after a key that lost everything":  {[]handoff.Entry{resume('1', "lost", 1, false), resume('2', "b", 2, false)}, "21", "2"},
		"twice the same entry":              {[]handoff.Entry{resume('1', "a", 1, false), resume('1', "a", 1, false)}, "", "1"},
		"of a handoff that nobody knows of": {[]handoff.Entry{{Place: at('3', "a", 1), Statement: handoff.Statement{Resume: &handoff.Resumption{Created: id('9')}}}}, "", ""},
	} {
		saw := func(by, seen handoff.Place) bool {
			return slices.Contains(strings.Fields(c.saw), string(by.ID[7])+string(seen.ID[7]))
		}
		standing := handoff.Standing{Saw: saw, Operator: func(at handoff.Place) bool { return at.KeyID == "op" }, Void: func(at handoff.Place) string {
			if at.KeyID == "lost" {
				return "all was revoked"
			}
			return ""
		}}
		for range 2 {
			slices.Reverse(c.entries)
			list := handoff.Fold(append([]handoff.Entry{made}, c.entries...), standing)
			got := ""
			if by := list[0].By(); by != nil {
				got = string(by.ID[7])
			}
			if len(list) != 1 || got != c.want {
				t.Errorf("%s: %q has it, not %q", name, got, c.want)
			}
		}
	}
}

func TestUnsafe(t *testing.T) {
	for path, safe := range map[string]bool{
		"a": true, "a/b": true, ".gitignore": true, "git": true, ".github/x": true, "a..b": true, "...": true, "c:": true, `a\b`: true, "git~2": true, " ": true, ".git-x": true, "\xff": true, "a\nb": true,
		"": false, "/a": false, "a//b": false, "a/": false, ".": false, "./a": false, "..": false, "a/../b": false, ".git": false, "a/.GIT/b": false, ".git/x": false, "GIT~1": false, ".git.": false, ".git ": false,
		".git:x": false, ".Git::$INDEX_ALLOCATION/x": false, ".g\u200dit": false, "\ufeff.git": false, `..\a`: false, `a\..\b`: false, `a\.git\b`: false, "a\x00b": false,
		strings.Repeat("a", 4097): false, strings.Repeat("a/", 256) + "a": false,
	} {
		if why := handoff.Unsafe(path); (why == "") != safe {
			t.Errorf("%.60q: %q", path, why)
		}
	}
}
