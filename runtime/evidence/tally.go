package evidence

import (
	"bytes"
	"cmp"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/open-covenant/covenant-git/envelope/evidence"
)

// Limits of what is read of a report.
const (
	maxLine  = 64 << 10 // bytes; a longer line tells nothing
	maxKnown = 10_000   // names of failed tests that are told apart
	maxName  = 512      // bytes of one; the rest is cut off, when it has been looked through
	maxLook  = maxName + 4096
	maxCount = 1_000_000_000
)

// A Report is what was found in a report of tests.
type Report struct {
	Tests  evidence.Tests
	Failed []string // names, sorted, each once; not all of very many
}

// A format reads lines of output. It tells a report from any other text by itself.
type format interface {
	line(b []byte)
	report() (Report, bool)
}

// Tally finds reports of tests in what a command writes to standard output: go test -json, cargo test, pytest and TAP. It holds
// one line at most.
type Tally struct {
	formats []format
	rest    []byte
	skip    bool // the line that is being read is too long
}

// NewTally returns a tally that has read nothing.
func NewTally() *Tally {
	return &Tally{formats: []format{&goTest{failed: names{}, broken: map[string]bool{}}, &cargo{failed: names{}}, &pytest{failed: names{}}, &tap{failed: names{}}}}
}

// Write reads text. It never fails.
func (t *Tally) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			if t.skip = t.skip || len(t.rest)+len(p) > maxLine; t.skip {
				t.rest = t.rest[:0]
			} else {
				t.rest = append(t.rest, p...)
			}
			break
		}
		if t.skip || len(t.rest)+i > maxLine {
			t.skip = false
		} else if len(t.rest) == 0 {
			t.line(p[:i])
		} else {
			t.line(append(t.rest, p[:i]...))
		}
		t.rest, p = t.rest[:0], p[i+1:]
	}
	return n, nil
}

func (t *Tally) line(b []byte) {
	b = bytes.TrimSuffix(b, []byte("\r"))
	for _, f := range t.formats {
		f.line(b)
	}
}

// Report returns what was found; false where no report was.
func (t *Tally) Report() (Report, bool) {
	if len(t.rest) > 0 && !t.skip {
		t.line(t.rest)
		t.rest = nil
	}
	for _, f := range t.formats {
		if r, ok := f.report(); ok {
			return r, true
		}
	}
	return Report{}, false
}

// names are names of failed tests, each once.
type names map[string]bool

func (n names) add(name string) {
	if len(n) < maxKnown {
		n[clean(name, maxLook)] = true
	}
}

// clean is a name as it may stand in a statement, of so many bytes at most.
func clean(name string, most int) string {
	return cmp.Or(first(strings.ToValidUTF8(name, "\ufffd"), most), "?")
}

func (n names) sorted() []string {
	out := make([]string, 0, len(n))
	for name := range n {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// goTest reads what go test -json writes, one event a line: see go doc test2json. A package that fails without a failed test of
// its own, as one that can't be built, counts as one.
type goTest struct {
	tests  evidence.Tests
	failed names
	broken map[string]bool // packages with failed tests
	seen   bool
}

var goActions = []string{"start", "run", "pause", "cont", "pass", "bench", "fail", "output", "skip", "build-output", "build-fail", "attr", "artifacts"}

func (g *goTest) line(b []byte) {
	if len(b) == 0 || b[0] != '{' {
		return
	}
	var e struct{ Action, Package, ImportPath, Test string }
	if json.Unmarshal(b, &e) != nil || !slices.Contains(goActions, e.Action) || e.Package+e.ImportPath == "" {
		return
	}
	g.seen = true
	switch name := e.Package; {
	case e.Test != "":
		name += "." + e.Test
		switch e.Action {
		case "pass":
			g.tests.Passed++
		case "skip":
			g.tests.Skipped++
		case "fail":
			g.tests.Failed++
			g.failed.add(name)
			if len(g.broken) < maxKnown {
				g.broken[e.Package] = true
			}
		}
	case e.Action == "fail" && !g.broken[e.Package]:
		g.tests.Failed++
		g.failed.add(name)
	}
}

func (g *goTest) report() (Report, bool) {
	g.tests.Format = "go-test-json"
	return Report{g.tests, g.failed.sorted()}, g.seen
}

// cargo reads what cargo test writes for people, of all test programs together.
type cargo struct {
	tests  evidence.Tests
	failed names
	seen   bool
}

// lazily compiles an expression when it is first needed: few runs of the program count tests.
func lazily(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}

var (
	cargoResult = lazily(`^test result: (?:ok|FAILED)\. (\d{1,9}) passed; (\d{1,9}) failed; (\d{1,9}) ignored; \d+ measured; \d+ filtered out`)
	cargoFailed = lazily(`^test (.+) \.\.\. FAILED$`)
)

func (c *cargo) line(b []byte) {
	if !bytes.HasPrefix(b, []byte("test ")) {
		return
	}
	if m := cargoResult().FindSubmatch(b); m != nil {
		c.seen = true
		c.tests.Passed += number(m[1])
		c.tests.Failed += number(m[2])
		c.tests.Skipped += number(m[3])
	} else if m := cargoFailed().FindSubmatch(b); m != nil {
		c.failed.add(string(m[1]))
	}
}

func (c *cargo) report() (Report, bool) {
	c.tests.Format = "cargo"
	return Report{c.tests, c.failed.sorted()}, c.seen
}

func number(b []byte) uint64 {
	n, _ := strconv.ParseUint(string(b), 10, 64) // of at most 9 digits
	return n
}

// pytest reads the last line that pytest writes, and its short summary.
type pytest struct {
	tests  evidence.Tests
	failed names
	seen   bool
}

var (
	pytestEnd    = lazily(`^(?:=+ )?(\d{1,9} [a-z]+(?:, \d{1,9} [a-z]+)*) in \d+(?:\.\d+)?s(?: \(\d+(?:[:\d]+|[^=]*)\))?(?: =+)?$`)
	pytestWords  = lazily(`(\d{1,9}) ([a-z]+)`)
	pytestFailed = lazily(`^(?:FAILED|ERROR) (\S+(?:\[.*?\])?)(?: - .*)?$`)
	colours      = lazily("\x1b\\[[0-9;]*m")
)

func (p *pytest) line(b []byte) {
	if bytes.IndexByte(b, 0x1b) >= 0 {
		b = colours().ReplaceAll(b, nil)
	}
	if len(b) == 0 || (b[0] != '=' && b[0] != 'F' && b[0] != 'E' && (b[0] < '0' || b[0] > '9')) {
		return
	}
	if m := pytestFailed().FindSubmatch(b); m != nil {
		p.failed.add(string(m[1]))
		return
	}
	m := pytestEnd().FindSubmatch(b)
	if m == nil {
		return
	}
	var t evidence.Tests
	known := false
	for _, w := range pytestWords().FindAllSubmatch(m[1], -1) {
		n := number(w[1])
		switch string(w[2]) {
		case "passed", "xpassed":
			t.Passed += n
		case "failed", "error", "errors":
			t.Failed += n
		case "skipped", "xfailed":
			t.Skipped += n
		case "deselected", "warning", "warnings", "rerun":
		default:
			return // another program's words
		}
		known = true
	}
	p.tests, p.seen = t, known
}

func (p *pytest) report() (Report, bool) {
	p.tests.Format = "pytest"
	return Report{p.tests, p.failed.sorted()}, p.seen
}

// tap reads the Test Anything Protocol, 12 to 14. Tests of the plan that did not come failed. Indented lines are of subtests, which
// the test they belong to sums up.
type tap struct {
	tests  evidence.Tests
	failed names
	lines  uint64
	plan   uint64
	stated bool // a version or a plan
	bailed bool
}

var (
	tapPlan = lazily(`^1\.\.(\d{1,9})(?:\s*#.*)?$`)
	tapLine = lazily(`^(not )?ok\b(?:\s+(\d{1,9}))?(?:\s+-)?\s*(.*)$`)
	tapMark = lazily(`(?i)\s*(?:^|[^\\])#\s*(skip\S*|todo)\b.*$`)
)

func (t *tap) line(b []byte) {
	if len(b) == 0 || !strings.ContainsRune("1TnoB", rune(b[0])) {
		return
	}
	switch m := tapPlan().FindSubmatch(b); {
	case m != nil:
		t.plan, t.stated = number(m[1]), true
		return
	case bytes.HasPrefix(b, []byte("TAP version ")):
		t.stated = true
		return
	case bytes.HasPrefix(b, []byte("Bail out!")):
		t.bailed = true
		return
	}
	m := tapLine().FindSubmatch(b)
	if m == nil || t.lines >= maxCount {
		return
	}
	t.lines++
	mark := tapMark().Find(m[3])
	switch name := strings.TrimSpace(string(bytes.TrimSuffix(m[3], mark))); {
	case mark != nil && (len(m[1]) > 0 || bytes.Contains(bytes.ToLower(mark), []byte("skip"))):
		t.tests.Skipped++ // of what is to be done it is expected that it fails
	case len(m[1]) > 0:
		t.tests.Failed++
		t.failed.add(cmp.Or(name, "test "+strconv.FormatUint(t.lines, 10)))
	default:
		t.tests.Passed++
	}
}

func (t *tap) report() (Report, bool) {
	out := t.tests
	out.Format = "tap"
	if t.plan > t.lines {
		out.Failed += t.plan - t.lines
	} else if t.bailed {
		out.Failed++
	}
	return Report{out, t.failed.sorted()}, t.stated && (t.lines > 0 || t.plan == 0 || t.bailed)
}

// locked is a writer that many may write to.
type locked struct {
	mu sync.Mutex
	to []func([]byte)
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.to {
		f(p)
	}
	return len(p), nil
}
