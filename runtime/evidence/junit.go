package evidence

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"

	"github.com/open-covenant/covenant-git/envelope/evidence"
)

// Limits of a JUnit report.
const (
	maxJUnit = 64 << 20 // bytes
	maxDepth = 32       // elements within elements
)

// ErrJUnit says that a file is no JUnit report that is read.
var ErrJUnit = errors.New("not a JUnit report")

// JUnit reads a JUnit report: each testcase counts once, as failed with an element failure or error in it, as skipped with skipped.
// Nothing that the file refers to is read, and no entities are defined.
func JUnit(r io.Reader) (Report, error) {
	limited := &io.LimitedReader{R: r, N: maxJUnit + 1}
	d := xml.NewDecoder(limited)
	failed := names{}
	out := Report{Tests: evidence.Tests{Format: "junit"}}
	bad := func(format string, a ...any) (Report, error) {
		return Report{}, fmt.Errorf("%w: %s", ErrJUnit, fmt.Sprintf(format, a...))
	}
	depth, suite := 0, false
	test, state := 0, "" // depth of the testcase that is being read, and what became of it
	name := ""
	for {
		tok, err := d.Token()
		if limited.N <= 0 {
			return bad("more than %d bytes", maxJUnit)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return bad("%v", err)
		}
		switch e := tok.(type) {
		case xml.StartElement:
			if depth++; depth > maxDepth {
				return bad("elements nest deeper than %d", maxDepth)
			}
			switch tag := e.Name.Local; {
			case depth == 1 && tag != "testsuites" && tag != "testsuite":
				return bad("it begins with %.80q", tag)
			case tag == "testsuite" || tag == "testsuites":
				suite = true
			case tag == "testcase" && test == 0:
				test, state, name = depth, "", attribute(e, "name")
				if class := attribute(e, "classname"); class != "" {
					name = class + "." + name
				}
			case test > 0 && depth == test+1 && (tag == "failure" || tag == "error"):
				state = "failed"
			case test > 0 && depth == test+1 && tag == "skipped" && state == "":
				state = "skipped"
			}
		case xml.EndElement:
			if depth == test && test > 0 {
				switch state {
				case "failed":
					out.Tests.Failed++
					failed.add(name)
				case "skipped":
					out.Tests.Skipped++
				default:
					out.Tests.Passed++
				}
				test = 0
			}
			if depth--; depth < 0 {
				return bad("an element ends that did not begin")
			}
		}
	}
	if !suite || depth != 0 {
		return bad("it ends within an element, or has none")
	}
	out.Failed = failed.sorted()
	return out, nil
}

func attribute(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// add joins two reports of one run.
func (r *Report) add(o Report) {
	all := names{}
	for _, list := range [][]string{r.Failed, o.Failed} {
		for _, n := range list {
			all.add(n)
		}
	}
	r.Tests = evidence.Tests{Format: o.Tests.Format, Passed: r.Tests.Passed + o.Tests.Passed, Failed: r.Tests.Failed + o.Tests.Failed, Skipped: r.Tests.Skipped + o.Tests.Skipped}
	r.Failed = all.sorted()
}
