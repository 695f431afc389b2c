package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/open-covenant/covenant-git/envelope/verdict"
)

// schema is the official one of SARIF 2.1.0.
func schema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "..", "..", "testdata", "vectors", "sarif", "sarif-schema-2.1.0.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	doc, err := jsonschema.UnmarshalJSON(f)
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource(sarifSchema, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(sarifSchema)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func valid(t testing.TB, s *jsonschema.Schema, out []byte) sarifLog {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(v); err != nil {
		t.Fatalf("%v\n%.2000s", err, out)
	}
	var log sarifLog
	if err := json.Unmarshal(out, &log); err != nil {
		t.Fatal(err)
	}
	return log
}

func TestSARIFSchema(t *testing.T) {
	s := schema(t)
	for _, text := range hostile {
		log := valid(t, s, write(t, "sarif", text, nil))
		run := log.Runs[0]
		if len(run.Results) != 12 {
			t.Errorf("%d results", len(run.Results))
		}
		seen := map[string]bool{}
		for _, r := range run.Results {
			print := r.Fingerprints["covenantFinding/v1"]
			if seen[print] {
				t.Errorf("%.40q: two results have the fingerprint %s", text, print)
			}
			seen[print] = true
			if rule := run.Tool.Driver.Rules[r.RuleIndex]; rule.ID != r.RuleID || rule.ShortDescription.Text == "" {
				t.Errorf("%s has the rule %v", r.RuleID, rule)
			}
			if strings.Contains(r.Message.Text, "](") {
				t.Errorf("a message has a link: %q", r.Message.Text)
			}
			if len(r.Locations) != 1 || r.Locations[0].Physical.Artifact.URI == "" || r.Locations[0].Logical[0].Full == "" {
				t.Errorf("GitHub refuses a result like %v", r)
			}
		}
	}
	valid(t, s, write(t, "sarif", "x", func(r *Run) { r.Repository = "" }))
	for _, sum := range []Summary{{OK: true}, {Undecided: "newer"}, {Findings: []verdict.Finding{testFinding("x")}}} {
		var b bytes.Buffer
		if err := newSARIF(&b, testRun("x")).End(sum); err != nil {
			t.Fatal(err)
		}
		valid(t, s, b.Bytes())
	}
	// The schema is asked: it refuses what is wrong.
	v, _ := jsonschema.UnmarshalJSON(strings.NewReader(`{"version":"2.1.0","runs":[{"results":[]}]}`))
	if s.Validate(v) == nil {
		t.Error("a run without a tool is valid")
	}
}

func TestSARIFLevels(t *testing.T) {
	log := valid(t, schema(t), write(t, "sarif", "a", nil))
	levels := map[string]string{}
	for _, r := range log.Runs[0].Results {
		at := r.Locations[0].Logical[0].Full
		levels[at] += r.Level[:1]
	}
	for at, want := range map[string]string{
		id(t, 0).String(): "w", id(t, 1).String(): "w", id(t, 2).String(): "eew", id(t, 3).String(): "eew", id(t, 4).String(): "w", "refs/heads/a": "ew",
	} {
		if levels[at] != want {
			t.Errorf("%s has %q, want %q", at, levels[at], want)
		}
	}
	if p := log.Runs[0].Versions[0]; p.RevisionID != strings.Repeat("a", 40) || p.Branch != "a" || p.RepositoryURI != "https://example.com/r" {
		t.Errorf("provenance %v", p)
	}
}

func TestSARIFLimit(t *testing.T) {
	var b bytes.Buffer
	run := testRun("x")
	run.Limit = 3
	e := newSARIF(&b, run)
	for i := range 5 {
		r := &verdict.Result{Commit: id(t, i), Verdict: verdict.Unsealed, Findings: []verdict.Finding{{Code: verdict.SealMissing, Message: fmt.Sprint(i)}}}
		if err := e.Commit(Commit{Result: r}); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.End(Summary{Commits: 5, Unsealed: 5}); err != nil {
		t.Fatal(err)
	}
	got := valid(t, schema(t), b.Bytes()).Runs[0]
	if len(got.Results) != 3 || !strings.HasPrefix(got.Invocations[0].Notifications[0].Message.Text, "2 more findings") {
		t.Errorf("%d results, %v", len(got.Results), got.Invocations)
	}
}

// FuzzPathURI: a path comes back from its URI byte for byte, and the URI is no more
// than a path.
func FuzzPathURI(f *testing.F) {
	for _, s := range hostile {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		got := pathURI(path)
		u, err := url.Parse(got)
		if err != nil {
			t.Fatal(err)
		}
		if u.Scheme != "" || u.Host != "" || u.RawQuery != "" || u.Fragment != "" || u.Path != path {
			t.Errorf("%q is %q, which reads as %#v", path, got, u)
		}
		for part := range strings.SplitSeq(got, "/") {
			if part == "." || part == ".." {
				t.Errorf("%q climbs: %q", path, got)
			}
		}
		for i := range len(got) {
			if got[i] <= ' ' || got[i] >= 0x7f {
				t.Errorf("%q is not ASCII: %q", path, got)
			}
		}
	})
}
