package evidence_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/open-covenant/covenant-git/runtime/evidence"
)

const vectors = "../../testdata/vectors/test-report"

func reports(t testing.TB, pattern string) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(vectors, pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("no vectors %s: %v", pattern, err)
	}
	out := map[string][]byte{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(file)] = b
	}
	return out
}

func tally(b []byte, piece int) (evidence.Report, bool) {
	t := evidence.NewTally()
	for len(b) > 0 {
		n := min(piece, len(b))
		_, _ = t.Write(b[:n])
		b = b[n:]
	}
	return t.Report()
}

// Names are WHAT.FORMAT.PASSED-FAILED-SKIPPED.txt, of JUnit .xml; what is no report is named after the reason.
func TestReports(t *testing.T) {
	for name, b := range reports(t, "accept/*") {
		part := strings.Split(name, ".")
		r, ok := tally(b, len(b))
		if part[3] == "xml" {
			var err error
			if r, err = evidence.JUnit(bytes.NewReader(b)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			ok = true
		}
		got := fmt.Sprintf("%s.%d-%d-%d", r.Tests.Format, r.Tests.Passed, r.Tests.Failed, r.Tests.Skipped)
		if want := part[1] + "." + part[2]; !ok || got != want {
			t.Errorf("%s: %t %s", name, ok, got)
		}
	}
	for name, b := range reports(t, "reject/*.txt") {
		if r, ok := tally(b, len(b)); ok {
			t.Errorf("%s was taken for %+v", name, r)
		}
	}
	for name, b := range reports(t, "reject/*.xml") {
		if r, err := evidence.JUnit(bytes.NewReader(b)); err == nil {
			t.Errorf("%s was taken for %+v", name, r)
		}
	}
}

func TestFailedNames(t *testing.T) {
	for file, want := range map[string]string{
		"plain.go-test-json.2-1-1.txt":          "[a/b.TestD]",
		"does-not-build.go-test-json.0-1-0.txt": "[a/b]",
		"two-programs.cargo.6-1-2.txt":          "[a::two]",
		"summary.pytest.3-3-3.txt":              "[test_a.py::test_x[1] test_b.py::test_y]",
		"plan-first.tap.2-2-2.txt":              "[bad]",
	} {
		b := reports(t, "accept/"+strings.ReplaceAll(file, "[", "?"))[file]
		if r, _ := tally(b, len(b)); fmt.Sprint(r.Failed) != want {
			t.Errorf("%s: %v", file, r.Failed)
		}
	}
	r, err := evidence.JUnit(bytes.NewReader(reports(t, "accept/suites.junit.1-2-1.xml")["suites.junit.1-2-1.xml"]))
	if fmt.Sprint(r.Failed) != "[a.bad a.broken]" {
		t.Errorf("%v: %v", r.Failed, err)
	}
}

// However output is cut into pieces, the same is found; and what is found may stand in a statement.
func FuzzTally(f *testing.F) {
	for _, b := range reports(f, "*/*.txt") {
		f.Add(b, 7)
	}
	f.Fuzz(func(t *testing.T, b []byte, piece int) {
		r, ok := tally(b, max(1, len(b)))
		again, same := tally(b, 1+max(0, piece)%97)
		if ok != same || fmt.Sprint(r) != fmt.Sprint(again) {
			t.Errorf("%+v, in pieces %+v", r, again)
		}
		sound(t, r)
	})
}

func sound(t *testing.T, r evidence.Report) {
	t.Helper()
	for i, n := range r.Failed {
		if n == "" || len(n) > 512 || !utf8.ValidString(n) || i > 0 && r.Failed[i-1] >= n {
			t.Errorf("name %q", n)
		}
	}
	if r.Tests.Passed >= 1<<53 || r.Tests.Failed >= 1<<53 || r.Tests.Skipped >= 1<<53 {
		t.Errorf("%+v", r.Tests)
	}
}

// A report that is read twice says the same, and what is found may stand in a statement.
func FuzzJUnit(f *testing.F) {
	for _, b := range reports(f, "*/*.xml") {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := evidence.JUnit(bytes.NewReader(b))
		again, err2 := evidence.JUnit(io.MultiReader(bytes.NewReader(b)))
		if (err == nil) != (err2 == nil) || fmt.Sprint(r) != fmt.Sprint(again) {
			t.Errorf("%+v %v, then %+v %v", r, err, again, err2)
		}
		if n := uint64(bytes.Count(b, []byte("testcase"))); r.Tests.Passed+r.Tests.Failed+r.Tests.Skipped > n {
			t.Errorf("%d tests of %d elements", r.Tests.Passed+r.Tests.Failed+r.Tests.Skipped, n)
		}
		sound(t, r)
	})
}

// A line without an end, of any length, costs no memory, and hides no report that follows.
func TestLongLine(t *testing.T) {
	tl := evidence.NewTally()
	block := bytes.Repeat([]byte("x"), 1<<16)
	for range 1000 {
		_, _ = tl.Write(block)
	}
	_, _ = io.WriteString(tl, "\n1..1\nok 1\n")
	if r, ok := tl.Report(); !ok || r.Tests.Passed != 1 {
		t.Errorf("%+v %t", r, ok)
	}
}
