package report

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	vsav1 "github.com/in-toto/attestation/go/predicates/vsa/v1"
	"github.com/in-toto/attestation/go/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
)

// read is a summary as in-toto's own types read it.
func read(t *testing.T, out []byte) (*v1.Statement, *vsav1.VerificationSummary) {
	t.Helper()
	var st v1.Statement
	if err := protojson.Unmarshal(out, &st); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := st.Validate(); err != nil {
		t.Fatal(err)
	}
	b, err := protojson.Marshal(st.Predicate)
	if err != nil {
		t.Fatal(err)
	}
	var p vsav1.VerificationSummary
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(b, &p); err != nil { // it lacks verifier.version, which SLSA has
		t.Fatal(err)
	}
	return &st, &p
}

func summary(t *testing.T, run Run, sum Summary, ref *Ref, commits ...verdict.Result) []byte {
	t.Helper()
	var b bytes.Buffer
	e := newVSA(&b, run)
	for i := range commits {
		if err := e.Commit(Commit{Result: &commits[i]}); err != nil {
			t.Fatal(err)
		}
	}
	if ref != nil {
		if err := e.Ref(*ref); err != nil {
			t.Fatal(err)
		}
	}
	sum.Commits = len(commits)
	if err := e.End(sum); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestVSA(t *testing.T) {
	sealedBy := func(m provenance.Mode) verdict.Result { return verdict.Result{Verdict: verdict.Sealed, Mode: m} }
	in := &Ref{RefState: &verdict.RefState{Ref: "refs/heads/main", Newest: &verdict.Step{}}}
	never := &Ref{RefState: &verdict.RefState{Ref: "refs/heads/main"}}
	astray := &Ref{RefState: &verdict.RefState{Ref: "refs/heads/main", Newest: &verdict.Step{}, Findings: []verdict.Finding{{Code: verdict.RefMoved}}}}
	for _, c := range []struct {
		name    string
		ok      bool
		ref     *Ref
		commits []verdict.Result
		want    []string
	}{
		{"witnessed", true, nil, []verdict.Result{sealedBy(provenance.Witness)}, []string{level1, sealed, witnessed}},
		{"vouched", true, nil, []verdict.Result{sealedBy(provenance.Witness), sealedBy(provenance.Vouching)}, []string{level1, sealed}},
		{"exempt", true, nil, []verdict.Result{sealedBy(provenance.Witness), {Verdict: verdict.Exempt}}, []string{level1}},
		{"before", true, nil, []verdict.Result{sealedBy(provenance.Witness), {Verdict: verdict.Before}}, []string{level1}},
		{"admitted", true, in, []verdict.Result{sealedBy(provenance.Witness)}, []string{level1, sealed, witnessed, admitted}},
		{"unmoved", true, never, []verdict.Result{sealedBy(provenance.Witness)}, []string{level1, sealed, witnessed}},
		{"moved", false, astray, []verdict.Result{sealedBy(provenance.Witness)}, []string{"FAILED"}},
		{"unsealed", false, nil, []verdict.Result{sealedBy(provenance.Witness), {Verdict: verdict.Unsealed}}, []string{"FAILED"}},
		{"nothing", true, nil, nil, []string{"FAILED"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			st, p := read(t, summary(t, testRun("main"), Summary{OK: c.ok}, c.ref, c.commits...))
			if !slices.Equal(p.VerifiedLevels, c.want) {
				t.Errorf("levels %q, want %q", p.VerifiedLevels, c.want)
			}
			if want := map[bool]string{true: "PASSED", false: "FAILED"}[c.want[0] != "FAILED"]; p.VerificationResult != want {
				t.Errorf("result %s", p.VerificationResult)
			}
			if p.ResourceUri != "git+https://example.com/r" || p.SlsaVersion != "1.2" || p.TimeVerified.AsTime() != now ||
				st.Predicate.Fields["verifier"].GetStructValue().Fields["version"].GetStructValue().Fields["covenant"].GetStringValue() != "v1.2.3" {
				t.Errorf("predicate %v", p)
			}
			if st.PredicateType != summaryType || st.Subject[0].Digest["gitCommit"] != strings.Repeat("a", 40) || st.Subject[0].Digest["gitTree"] != strings.Repeat("b", 40) {
				t.Errorf("statement %v", st)
			}
			for _, key := range []string{"sourceRefs", "source_refs"} {
				if got := st.Subject[0].Annotations.Fields[key].GetListValue().Values[0].GetStringValue(); got != "refs/heads/main" {
					t.Errorf("%s is %q", key, got)
				}
			}
		})
	}
}

// TestVSANoAnswer: where nothing can be decided there is no summary to show.
func TestVSANoAnswer(t *testing.T) {
	if out := summary(t, testRun("main"), Summary{OK: true, Undecided: "newer"}, nil, verdict.Result{Verdict: verdict.Sealed}); len(out) != 0 {
		t.Errorf("no answer is %s", out)
	}
}

// TestVSALevels: nothing that is claimed of two parties, whoever sealed.
func TestVSALevels(t *testing.T) {
	for _, s := range hostile {
		out := string(write(t, "vsa", strings.ToValidUTF8(s, "?"), nil))
		for _, no := range []string{"TWO_PARTY", "LEVEL_2", "LEVEL_3", "LEVEL_4"} {
			if strings.Contains(out, no) {
				t.Errorf("it claims %s", no)
			}
		}
	}
}
