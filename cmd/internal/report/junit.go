package report

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/envelope/verdict"
)

// junit writes a test suite with one test case for each commit, and one more for a
// protected ref and for what speaks against the run as a whole.
type junit struct {
	w               io.Writer
	run             Run
	cases           bytes.Buffer
	tests, failures int
}

func newJUnit(w io.Writer, run Run) Encoder { return &junit{w: w, run: run} }

// xmlText makes s content of an element or of an attribute in double quotes. What XML
// 1.0 can't say was made an escape by package say; what it can't say and a terminal
// shows becomes U+FFFD.
func xmlText(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(say.Line(s))) // a Builder does not fail
	return b.String()
}

func (j *junit) testcase(class, name, kind string, failures, warnings []verdict.Finding) {
	j.tests++
	_, _ = fmt.Fprintf(&j.cases, `    <testcase classname="%s" name="%s" time="0"`, xmlText(class), xmlText(name))
	if len(failures)+len(warnings) == 0 {
		j.cases.WriteString("/>\n")
		return
	}
	j.cases.WriteString(">\n")
	if len(failures) > 0 {
		j.failures++
		_, _ = fmt.Fprintf(&j.cases, `      <failure type="%s" message="%s">`, xmlText(kind), xmlText(line(failures[0])))
		j.lines(failures)
		j.cases.WriteString("</failure>\n")
	}
	if len(warnings) > 0 {
		j.cases.WriteString("      <system-out>")
		j.lines(warnings)
		j.cases.WriteString("</system-out>\n")
	}
	j.cases.WriteString("    </testcase>\n")
}

func (j *junit) lines(list []verdict.Finding) {
	for _, f := range list {
		j.cases.WriteString(xmlText(line(f)) + "\n")
	}
}

// line is a finding with its code and path.
func line(f verdict.Finding) string {
	s := string(f.Code) + ": "
	if f.Path != "" {
		s += say.Name(f.Path) + ": "
	}
	return s + text(f)
}

func (j *junit) Commit(c Commit) error {
	failures, warnings := c.Findings, c.Warnings
	if c.Verdict.OK() {
		failures, warnings = nil, append(append([]verdict.Finding{}, c.Findings...), c.Warnings...)
	} else if len(failures) == 0 {
		failures = []verdict.Finding{{Code: verdict.SealMissing, Message: string(c.Verdict)}}
	}
	j.testcase("covenant.commit", short(c)+" "+c.Subject, string(c.Verdict), failures, warnings)
	return nil
}

func (j *junit) Problem(f verdict.Finding, refused bool) error {
	if refused {
		j.testcase("covenant.repository", string(f.Code)+" "+f.Object, "repository", []verdict.Finding{about(f)}, nil)
		return nil
	}
	j.testcase("covenant.repository", string(f.Code)+" "+f.Object, "warning", nil, []verdict.Finding{about(f)})
	return nil
}

func (j *junit) Ref(r Ref) error {
	j.testcase("covenant.ref", r.RefState.Ref, "ref", r.Findings, r.Warnings)
	return nil
}

func (j *junit) End(s Summary) error {
	if len(s.Findings) > 0 {
		j.testcase("covenant.root", "trust root", "root", s.Findings, nil)
	}
	if s.Undecided != "" {
		j.testcase("covenant.run", "answer", "undecided", []verdict.Finding{s.undecided()}, nil)
	}
	out := sticky{w: j.w}
	out.printf("%s<testsuites name=\"covenant verify\" tests=\"%d\" failures=\"%d\" errors=\"0\">\n", xml.Header, j.tests, j.failures)
	out.printf("  <testsuite name=\"covenant verify\" tests=\"%d\" failures=\"%d\" errors=\"0\" skipped=\"0\" timestamp=\"%s\">\n",
		j.tests, j.failures, j.run.Now.UTC().Format(time.RFC3339))
	out.printf("    <properties>\n")
	for _, p := range []struct{ name, value string }{
		{"revisions", strings.Join(j.run.Revisions, " ")}, {"root", j.run.Root}, {"pinned", j.run.Pinned}, {"answer", s.answer()},
	} {
		out.printf("      <property name=\"%s\" value=\"%s\"/>\n", p.name, xmlText(p.value))
	}
	out.printf("    </properties>\n%s  </testsuite>\n</testsuites>\n", j.cases.Bytes())
	return out.err
}
