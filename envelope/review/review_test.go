package review_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/review"
	"github.com/open-covenant/covenant-git/envelope/vectors"
)

const dir = "../../testdata/vectors/review"

func parse(payload []byte) ([]byte, error) {
	s, err := review.Parse(&envelope.Opened{PayloadType: envelope.TypeInToto, Payload: payload})
	if err != nil {
		return nil, err
	}
	return s.Encode()
}

// Each file is the payload of a statement; what is refused is named after its reason.
func TestVectors(t *testing.T) { vectors.Hold(t, dir, written(t), parse) }

// What parses is written as the same bytes.
func FuzzStatement(f *testing.F) { vectors.Fuzz(f, dir, parse) }

const (
	digest = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	head   = "2222222222222222222222222222222222222222"
	tree   = "3333333333333333333333333333333333333333"
	base   = "4444444444444444444444444444444444444444"
	from   = "5555555555555555555555555555555555555555"
)

// written are the vectors as they are written, by their names.
func written(t *testing.T) map[string]string {
	t.Helper()
	entry := fmt.Sprintf(`"entry":{"prev":"%s","repository":"%s","seq":2,"time":"2026-01-31T12:00:00Z","topic":"provenance","writer":"0123456789abcdef-01234567"}`, digest, digest)
	who := `"principal":{"accountable":"ben","kind":"human","name":"ben"}`
	all := func(predicate, subject string) string {
		return `{"_type":"https://in-toto.io/Statement/v1","predicate":` + predicate + `,"predicateType":"` + review.Type + `","subject":` + subject + `}`
	}
	subjects := func(commit, tree string) string {
		return `[{"digest":{"gitCommit":"` + commit + `"},"name":"commit"},{"digest":{"gitTree":"` + tree + `"},"name":"tree"}]`
	}
	rest := func(verdict, before, between, ref string) string {
		return `{"attended":true,"base":{"commit":"` + base + `","tree":"` + from + `"},` + entry + before + "," + who + `,"ref":"` + ref + `"` + between + `,"verdict":"` + verdict + `"}`
	}
	one := func(verdict, before, between string) string {
		return all(rest(verdict, before, between, "refs/heads/main"), subjects(head, tree))
	}
	forge := func(account, at string) string {
		return `,"forge":{"account":"` + account + `","at":"` + at + `","url":"https://github.com/o/r/pull/1"}`
	}
	return map[string]string{
		"accept/approve":           one("approve", `,"gates":["docs","security"]`, `,"text":"reads well"`),
		"accept/reject":            one("reject", `,"findings":[{"line":3,"path":"src/a.go","severity":"error","text":"off by one"},{"severity":"note","text":"x"}]`, ``),
		"accept/request":           one("request", `,"from":["ben","cat"]`, ``),
		"accept/withdraw":          one("withdraw", ``, ``),
		"accept/forge":             one("approve", forge("github.com/octocat", "2026-01-31T11:00:00Z"), ``),
		"accept/first":             all(strings.Replace(rest("comment", ``, ``, "refs/heads/main"), `"base":{"commit":"`+base+`","tree":"`+from+`"}`, `"base":{}`, 1), subjects(head, tree)),
		"accept/forge-withdraw":    one("withdraw", forge("github.com/octocat", "2026-01-31T11:00:00Z"), ``),
		"reject/verdict-unknown":   one("lgtm", ``, ``),
		"reject/ref-short":         all(rest("approve", ``, ``, "main"), subjects(head, tree)),
		"reject/changes-nothing":   all(rest("approve", ``, ``, "refs/heads/main"), subjects(head, from)),
		"reject/base-half":         all(strings.Replace(rest("approve", ``, ``, "refs/heads/main"), `"commit":"`+base+`",`, ``, 1), subjects(head, tree)),
		"reject/formats-mixed":     all(rest("approve", ``, ``, "refs/heads/main"), subjects(head, strings.Repeat("3", 64))),
		"reject/subject-missing":   all(rest("approve", ``, ``, "refs/heads/main"), `[{"digest":{"gitCommit":"`+head+`"},"name":"commit"}]`),
		"reject/subject-two-in-1":  all(rest("approve", ``, ``, "refs/heads/main"), `[{"digest":{"gitCommit":"`+head+`","sha1":"`+head+`"},"name":"commit"},{"digest":{"gitTree":"`+tree+`"},"name":"tree"}]`),
		"reject/from-not-request":  one("approve", `,"from":["ben"]`, ``),
		"reject/from-unsorted":     one("request", `,"from":["cat","ben"]`, ``),
		"reject/text-control":      one("approve", ``, `,"text":"a\u001bb"`),
		"reject/text-empty":        one("approve", ``, `,"text":""`),
		"reject/finding-line-only": one("reject", `,"findings":[{"line":3,"severity":"error","text":"x"}]`, ``),
		"reject/finding-dot-dot":   one("reject", `,"findings":[{"path":"../x","severity":"error","text":"x"}]`, ``),
		"reject/finding-severity":  one("reject", `,"findings":[{"severity":"fatal","text":"x"}]`, ``),
		"reject/forge-no-host":     one("approve", forge("octocat", "2026-01-31T11:00:00Z"), ``),
		"reject/forge-time":        one("approve", forge("github.com/octocat", "yesterday"), ``),
		"reject/forge-asks":        one("request", forge("github.com/octocat", "2026-01-31T11:00:00Z"), ``),
		"reject/field-unknown":     one("approve", ``, `,"stars":5`),
		"reject/newer":             strings.Replace(one("approve", ``, ``), "review/v1", "review/v2", 1),
	}
}

func TestParseForge(t *testing.T) {
	github := `[
 {"user":{"login":"octocat"},"state":"APPROVED","body":"ok\r\n\u001b[31m","commit_id":"` + head + `","submitted_at":"2026-01-31T13:00:00+01:00","html_url":"https://github.com/o/r/pull/1#r1"},
 {"user":{"login":"hubot"},"state":"CHANGES_REQUESTED","body":"","commit_id":"` + head + `","submitted_at":"2026-01-31T11:00:00Z"},
 {"user":{"login":"gone"},"state":"APPROVED","commit_id":null,"submitted_at":"2026-01-31T12:00:00Z"},
 {"user":{"login":"late"},"state":"DISMISSED","submitted_at":"2026-01-31T12:00:00Z"}]
 [{"user":null,"state":"APPROVED","commit_id":"` + head + `","submitted_at":"2026-01-31T12:00:00Z"}, {"user":{"login":""},"state":"COMMENTED","commit_id":"` + head + `","submitted_at":"2026-01-31T12:00:00Z"}]
 []`
	found, err := review.ParseForge("github", []byte(github))
	if err != nil || len(found.Given) != 3 || found.Gone != 2 || found.Whole {
		t.Fatalf("%+v, %v", found, err)
	}
	got := found.Given
	if g := got[2]; g.Name != "late" || g.Verdict != review.Withdraw || !g.Commit.IsZero() {
		t.Errorf("%+v", g)
	}
	if g := got[0]; g.Name != "hubot" || g.Verdict != review.Reject || g.At != "2026-01-31T11:00:00Z" {
		t.Errorf("%+v", g)
	}
	if g := got[1]; g.Name != "octocat" || g.Verdict != review.Approve || g.At != "2026-01-31T12:00:00Z" || g.Text != "ok\n[31m" || g.Commit.String() != head {
		t.Errorf("%+v", g)
	}
	found, err = review.ParseForge("gitlab", []byte(`{"updated_at":"2026-01-31T12:00:00.123Z","approved_by":[{"user":{"username":"ben"}}]}`))
	if got = found.Given; err != nil || len(got) != 1 || !found.Whole || !found.Of.IsZero() || got[0].Name != "ben" || !got[0].Commit.IsZero() || got[0].Verdict != review.Approve {
		t.Errorf("%+v %v", got, err)
	}
	found, err = review.ParseForge("gerrit", []byte(")]}'\n"+`{"current_revision":"`+head+`","labels":{"Code-Review":{"all":[{"username":"ben","value":2,"date":"2026-01-31 12:00:00.000000000"},{"username":"cat","value":1,"date":"x"}]}}}`))
	if got = found.Given; err != nil || len(got) != 1 || !found.Whole || found.Of.String() != head || got[0].Name != "ben" || got[0].Commit.String() != head {
		t.Errorf("%+v %v", got, err)
	}
	for name, text := range map[string]string{
		"no time":    `[{"user":{"login":"a"},"state":"APPROVED","submitted_at":"soon"}]`,
		"a path":     `[{"user":{"login":"a/b"},"state":"APPROVED","commit_id":"` + head + `","submitted_at":"2026-01-31T12:00:00Z"}]`,
		"no object":  `[{"user":{"login":"a"},"state":"APPROVED","commit_id":"main","submitted_at":"2026-01-31T12:00:00Z"}]`,
		"no array":   `{"message":"Not Found"}`,
		"no members": `{}`,
		"a number":   `[{"user":7}]`,
		"one number": `7`,
		"a tail":     `[] x`,
		"nothing":    ` `,
		"pages":      strings.Repeat("[]", 1001),
	} {
		if got, err := review.ParseForge("github", []byte(text)); !errors.Is(err, review.ErrInvalid) || strings.Contains(err.Error(), "struct") || strings.Contains(err.Error(), "Go ") {
			t.Errorf("%s: %v %v", name, got, err)
		}
	}
	for _, forge := range review.Forges {
		if _, err := review.ParseForge(forge, []byte(`{"message":"Not Found"}`)); !errors.Is(err, review.ErrInvalid) || !strings.Contains(err.Error(), `says "Not Found"`) {
			t.Errorf("%s: %v", forge, err)
		}
	}
	if _, err := review.ParseForge("gerrit", []byte(`{"labels":{"Code-Review":{"all":[{"username":"ben","value":2,"date":"2026-01-31 12:00:00.000000000"}]}}}`)); !errors.Is(err, review.ErrInvalid) {
		t.Error("votes of no revision", err)
	}
	if _, err := review.ParseForge("sourcehut", nil); !errors.Is(err, review.ErrInvalid) {
		t.Error(err)
	}
}

// What a forge says can be said in a review.
func FuzzForge(f *testing.F) {
	f.Add("github", []byte(`[{"user":{"login":"octocat"},"state":"APPROVED","body":"ok","commit_id":"`+head+`","submitted_at":"2026-01-31T13:00:00+01:00"}]`))
	f.Add("gitlab", []byte(`{"updated_at":"2026-01-31T12:00:00.123Z","approved_by":[{"user":{"username":"ben"}}]}`))
	f.Add("gerrit", []byte(")]}'\n"+`{"current_revision":"`+head+`","labels":{"Code-Review":{"all":[{"username":"ben","value":2,"date":"2026-01-31 12:00:00.000000000"}]}}}`))
	f.Fuzz(func(t *testing.T, forge string, b []byte) {
		found, err := review.ParseForge(forge, b)
		if err != nil {
			return
		}
		for _, g := range found.Given {
			b, err := parse([]byte(accept(t)))
			if err != nil {
				t.Fatal(err)
			}
			s, err := review.Parse(&envelope.Opened{PayloadType: envelope.TypeInToto, Payload: b})
			if err != nil {
				t.Fatal(err)
			}
			s.Predicate.Verdict, s.Predicate.Text, s.Predicate.Forge = g.Verdict, g.Text, &review.Forge{Account: "h/" + g.Name, At: g.At, URL: g.URL}
			if _, err := s.Encode(); err != nil {
				t.Errorf("%+v: %v", g, err)
			}
		}
	})
}

func accept(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "accept", "withdraw.json"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(string(b), "\n")
}
