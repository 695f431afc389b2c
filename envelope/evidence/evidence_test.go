package evidence_test

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"

	testresult "github.com/in-toto/attestation/go/predicates/test_result/v0"
	v1 "github.com/in-toto/attestation/go/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/canonical"
	"github.com/open-covenant/covenant-git/envelope/evidence"
	"github.com/open-covenant/covenant-git/envelope/vectors"
)

const dir = "../../testdata/vectors/evidence"

func parse(payload []byte) ([]byte, error) {
	s, err := statement(payload)
	if err != nil {
		return nil, err
	}
	return s.Encode()
}

func statement(payload []byte) (*evidence.Statement, error) {
	return evidence.Parse(&envelope.Opened{PayloadType: envelope.TypeInToto, Payload: payload})
}

// Each file is the payload of a statement; what is refused is named after its reason.
func TestVectors(t *testing.T) { vectors.Hold(t, dir, written(t), parse) }

// What parses is written as the same bytes, and its result is the one that follows.
func FuzzStatement(f *testing.F) {
	vectors.Seed(f, dir)
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := statement(b)
		if err != nil {
			return
		}
		if again, err := canonical.Marshal(s); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%s is written as %s: %v", b, again, err)
		}
		if s.Predicate.Result != s.Predicate.Outcome() || s.Tree().IsZero() {
			t.Errorf("%s was taken", b)
		}
	})
}

// in-toto's own types read the statement, and its predicate as a test result.
func TestInTotoReadsIt(t *testing.T) {
	for name, b := range vectors.Read(t, dir+"/accept") {
		var s v1.Statement
		if err := protojson.Unmarshal(b, &s); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := s.Validate(); err != nil && !strings.HasPrefix(name, "sha256") { // its check of gitTree knows SHA-1 only
			t.Errorf("%s: %v", name, err)
		}
		p, err := s.GetPredicate().MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		var r testresult.TestResult
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(p, &r); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		ours, err := statement(b)
		if err != nil {
			t.Fatal(err)
		}
		if r.GetResult() != string(ours.Predicate.Result) || len(r.GetConfiguration()) != 1 || len(r.GetFailedTests()) != len(ours.Predicate.FailedTests) {
			t.Errorf("%s: in-toto reads %v", name, &r)
		}
	}
}

// The worked example of the page is a statement.
func TestWorkedExample(t *testing.T) {
	page, err := os.ReadFile("../../docs/spec/evidence.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?ms)^```json\n(.*?)\n```$").FindSubmatch(page)
	if m == nil {
		t.Fatal("evidence.md has no example")
	}
	b, err := canonical.Of(m[1])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := statement(b); err != nil {
		t.Error(err)
	}
}

// written are the vectors as they are written, by their names.
func written(t *testing.T) map[string]string {
	t.Helper()
	d := strings.Repeat("1", 64)
	good := `{"_type":"https://in-toto.io/Statement/v1","predicate":{"configuration":[{"digest":{"sha256":"` + d + `"},"name":"/usr/bin/go"}],` +
		`"entry":{"prev":"sha256:` + d + `","repository":"sha256:` + d + `","seq":2,"time":"2026-01-31T12:00:00Z","topic":"provenance","writer":"0123456789abcdef-01234567"},` +
		`"result":"PASSED","run":{"argv":["go","test"],"environment":{"digest":"` + d + `","names":["HOME","PATH"]},"exit":0,"how":"observed","milliseconds":7,"name":"test",` +
		`"output":{"bytes":3,"head":"ok\n","sha256":"` + evidence.Sum([]byte("ok\n")) + `"},"platform":"linux/amd64","principal":{"accountable":"ada","kind":"agent","name":"coder"},` +
		`"started":"2026-01-31T12:00:00Z","version":1,"where":"worktree"}},"predicateType":"https://in-toto.io/attestation/test-result/v0.1","subject":[{"digest":{"gitTree":"` + strings.Repeat("a", 40) + `"},"name":"tree"}]}`
	with := func(pairs ...string) string {
		out := good
		for i := 0; i < len(pairs); i += 2 {
			if !strings.Contains(out, pairs[i]) {
				t.Fatalf("there is no %s", pairs[i])
			}
			out = strings.Replace(out, pairs[i], pairs[i+1], 1)
		}
		return out
	}
	failed := []string{`"PASSED"`, `"FAILED"`, `"exit":0`, `"exit":3`}
	warned := []string{`"PASSED"`, `"WARNED"`, `"argv":["go","test"],`, `"argv":["go","test"],"changed":true,`}
	tests := func(n string) []string {
		return []string{`"result":"PASSED"`, `"failedTests":["TestA","TestB"],"result":"WARNED"`, `"started":"2026-01-31T12:00:00Z",`, `"started":"2026-01-31T12:00:00Z","tests":{"failed":` + n + `,"format":"tap","passed":1,"skipped":0},`}
	}
	whole := `"output":{"bytes":3,"head":"ok\n","sha256":"` + evidence.Sum([]byte("ok\n")) + `"}`
	return map[string]string{
		"accept/passed":                   good,
		"accept/sha256-tree":              with(strings.Repeat("a", 40), strings.Repeat("a", 64)),
		"accept/failed":                   with(failed...),
		"accept/warned":                   with(warned...),
		"accept/failed-tests":             with(tests("2")...),
		"accept/killed":                   with(`"PASSED"`, `"FAILED"`, `"exit":0`, `"exit":137`, `"started":`, `"signal":"SIGKILL","started":`, `"version"`, `"timedOut":true,"version"`),
		"accept/checkout":                 with(`"worktree"`, `"checkout"`, `"argv"`, `"absent":["lfs","submodules"],"argv"`, `"environment"`, `"dir":"a/b","environment"`),
		"accept/long-output":              with(whole, `"output":{"bytes":99999,"head":"a","redacted":2,"sha256":"`+d+`","tail":"z"}`),
		"accept/lossy-output":             with(whole, `"output":{"bytes":3,"head":"?","lossy":true,"sha256":"`+d+`"}`),
		"accept/rerun":                    with(`"started"`, `"rerun":"sha256:`+d+`","started"`),
		"accept/tools":                    with(`"version":1`, `"tools":[{"command":"go version","said":"go1.26"}],"version":1`),
		"accept/no-digests":               with(`"digest":{"sha256":"`+d+`"},"name":"/usr/bin/go"`, `"name":"/usr/bin/go"`, `"digest":"`+d+`","names"`, `"names"`),
		"reject/result-better":            with(`"exit":0`, `"exit":1`),
		"reject/result-worse":             with(`"PASSED"`, `"FAILED"`),
		"reject/result-unknown":           with(`"PASSED"`, `"FINE"`),
		"reject/result-of-changed":        with(warned[2:]...),
		"reject/output-edited":            with(`"ok\n"`, `"OK\n"`),
		"reject/output-length":            with(`"bytes":3`, `"bytes":2`),
		"reject/output-too-long":          with(whole, `"output":{"bytes":99999,"head":"`+strings.Repeat("a", evidence.MaxHead+1)+`","sha256":"`+d+`","tail":"z"}`),
		"reject/exit-256":                 with(`"PASSED"`, `"FAILED"`, `"exit":0`, `"exit":256`),
		"reject/exit-negative":            with(`"PASSED"`, `"FAILED"`, `"exit":0`, `"exit":-1`),
		"reject/signal-and-exit-0":        with(`"PASSED"`, `"FAILED"`, `"started":`, `"signal":"SIGKILL","started":`),
		"reject/two-trees":                with(`"name":"tree"}`, `"name":"tree"},{"digest":{"gitTree":"`+strings.Repeat("b", 40)+`"},"name":"tree"}`),
		"reject/subject-a-commit":         with(`"gitTree"`, `"gitCommit"`),
		"reject/subject-no-object":        with(strings.Repeat("a", 40), strings.Repeat("a", 39)),
		"reject/how-claimed":              with(`"observed"`, `"claimed"`),
		"reject/where-elsewhere":          with(`"worktree"`, `"here"`),
		"reject/worktree-lacks":           with(`"argv"`, `"absent":["lfs"],"argv"`),
		"reject/dir-up":                   with(`"environment"`, `"dir":"../a","environment"`),
		"reject/dir-absolute":             with(`"environment"`, `"dir":"/a","environment"`),
		"reject/name-with-slash":          with(`"name":"test"`, `"name":"a/b"`),
		"reject/argv-empty":               with(`["go","test"]`, `[]`),
		"reject/field-unknown":            with(`"exit":0`, `"exit":0,"exited":0`),
		"reject/more-failed-than-counted": with(tests("1")...),
		"reject/names-unsorted":           with(`["HOME","PATH"]`, `["PATH","HOME"]`),
		"reject/time-with-zone":           with(`"started":"2026-01-31T12:00:00Z"`, `"started":"2026-01-31T12:00:00+01:00"`),
		"reject/not-canonical":            with(`"exit":0`, `"exit": 0`),
		"reject/without-run":              `{"_type":"https://in-toto.io/Statement/v1","predicate":{"configuration":[],"result":"PASSED"},"predicateType":"https://in-toto.io/attestation/test-result/v0.1","subject":[]}`,
		"reject/newer-run":                with(`"version":1`, `"version":2`),
	}
}
