// Package evidence runs a command against an exact tree, watches how that ends, and records it.
//
// It runs in the work tree where that equals the tree exactly, else in a checkout made for it, and says which. What the command
// starts ends with it. Its output goes on as it comes; of what is recorded secrets are taken out first, and its length is
// bounded. Reports of tests are found in the output, or read from JUnit files.
//
// All of that happens under the control of whoever runs it: package envelope/evidence has the statement, and says what it
// proves.
package evidence

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/evidence"
	"github.com/open-covenant/covenant-git/envelope/redaction"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/oid"
)

// ErrReport says that a report that was asked for can't be used.
var ErrReport = errors.New("the report of tests can't be used")

// A Request is a command to run against a tree.
type Request struct {
	Name    string
	Argv    []string
	Tree    oid.ID
	Commit  oid.ID // that has the tree; zero: there is none to name
	Dir     string // below the top, with slashes; "" for the top
	Clean   bool   // in a checkout, whatever the work tree is
	Timeout time.Duration
	JUnit   []string   // files that the command writes, as seen from its directory
	Tools   [][]string // commands that say which version of something there is
	Rerun   envelope.Digest

	Env      []string // the environment, as the caller has it
	Temp     string   // where checkouts are made; "" for the system's place
	Key      []byte   // by which environments are told apart; nil: they are not
	Redactor *redaction.Redactor
	Out, Err io.Writer        // get the output as it comes
	Signals  <-chan os.Signal // are passed on
	Now      func() time.Time
}

// An Outcome is how a run ended. [Outcome.Redact] makes of it what may be written.
type Outcome struct {
	Predicate   evidence.Predicate // but for its entry and principal
	Interrupted bool               // a signal was passed on: how it ended says nothing of the tree
	Output      []byte             // all of it, redacted; nil where it was too long to keep
	begin, end  string             // then, what of it is looked through
	Warnings    []string           // for people
	Hits        []redaction.Hit    // what was taken out of the output
}

// Below returns where a directory is in a repository's work tree, as [Request.Dir] has it.
func Below(r *git.Repo, dir string) string { return below(r.WorkTree(), dir) }

// Environment returns an environment without the variables that bind Git to a repository: the command's Git finds the one that
// it is in.
func Environment(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return slices.Contains(local, name)
	})
}

// local are the variables that git rev-parse --local-env-vars lists, and what a server's hook has besides.
var local = []string{
	"GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_CONFIG", "GIT_CONFIG_COUNT", "GIT_CONFIG_PARAMETERS", "GIT_DIR", "GIT_GRAFT_FILE", "GIT_IMPLICIT_WORK_TREE",
	"GIT_INDEX_FILE", "GIT_INTERNAL_SUPER_PREFIX", "GIT_NAMESPACE", "GIT_NO_REPLACE_OBJECTS", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX", "GIT_QUARANTINE_PATH", "GIT_REPLACE_REF_BASE",
	"GIT_SHALLOW_FILE", "GIT_WORK_TREE",
}

// Run runs the command. head is the tree of HEAD, zero where there is none. An error says that nothing was run, or that what
// happened isn't known; it wraps [ErrNotFound] or [ErrNotExecutable] where that is why.
func (q *Request) Run(ctx context.Context, s *git.Session, head oid.ID) (*Outcome, error) {
	asked := evidence.Run{Dir: q.Dir, Name: q.Name, Rerun: q.Rerun}
	for _, a := range q.Argv {
		text, _ := q.Redactor.Redact(a)
		asked.Argv = append(asked.Argv, strings.ToValidUTF8(text, "\ufffd"))
	}
	if err := asked.CheckAsked(); err != nil { // what can't be recorded is not run
		return nil, err
	}
	p, err := q.choose(ctx, s, head, q.Now())
	if err != nil {
		return nil, err
	}
	out, err := q.runIn(ctx, s, p, asked)
	return out, errors.Join(err, p.remove())
}

func (q *Request) runIn(ctx context.Context, s *git.Session, p *place, run evidence.Run) (*Outcome, error) {
	dir, err := p.in(q.Dir)
	if err != nil {
		return nil, err
	}
	environ := append(slices.DeleteFunc(Environment(q.Env), func(kv string) bool { return strings.HasPrefix(kv, "PWD=") }), "PWD="+dir)
	path, err := find(q.Argv[0], dir, environ)
	if err != nil {
		return nil, err
	}
	reports := make([]time.Time, len(q.JUnit))
	for i, name := range q.JUnit {
		if st, err := os.Stat(file(dir, name)); err == nil {
			reports[i] = st.ModTime()
		}
	}
	program := make(chan evidence.Program, 1)
	go func() { program <- q.program(path) }()

	tally, kept := NewTally(), newKeeper()
	redacted := q.Redactor.Writer(kept)
	all := &locked{to: []func([]byte){func(b []byte) { _, _ = redacted.Write(b) }}}
	c := command{
		path: path, argv: q.Argv, dir: dir, env: environ, timeout: q.Timeout, signals: q.Signals, now: q.Now,
		out: io.MultiWriter(passing(q.Out), tally, all), err: io.MultiWriter(passing(q.Err), all),
	}
	run.Started = envelope.Timestamp(q.Now())
	end, err := c.run(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	if !end.interrupted {
		ledger.Ahead(s) // it is recorded, as a rule
	}
	if err := errors.Join(redacted.Close(), kept.Close()); err != nil {
		return nil, err
	}
	o := &Outcome{Interrupted: end.interrupted, Hits: redacted.Hits()}
	if kept.long() {
		o.begin, o.end = kept.shown()
	} else {
		o.Output = append([]byte{}, kept.begin...)
	}
	run.Absent, run.Environment, run.Exit, run.How, run.Left = p.absent, q.environment(environ), end.exit, evidence.Observed, end.left
	run.Milliseconds = uint64(max(0, end.took.Milliseconds())) //nolint:gosec // no negative number
	run.Output, run.Platform = kept.output(redacted.Hits()), runtime.GOOS+"/"+runtime.GOARCH
	run.Signal, run.TimedOut, run.Version, run.Where = end.signal, end.timedOut, 1, p.where

	looked := make(chan error, 1)
	go func() { // at what a stranger may have left: a signal ends that
		version := make(chan string, 1)
		go func() { version <- q.gitSays(ctx, p.repo) }()
		var err error
		if run.Changed, err = p.changed(ctx, q.Tree); err != nil {
			looked <- err
			return
		}
		var failed []string
		report, ok := tally.Report()
		if r, found := q.reports(o, dir, reports); found {
			report, ok = r, true
		}
		if ok {
			run.Tests = &report.Tests
			failed = q.named(report)
		}
		run.Tools = append([]evidence.Tool{{Command: "git version", Said: <-version}}, q.tools(ctx, dir, environ)...)
		o.Predicate = evidence.Predicate{Configuration: []evidence.Program{<-program}, FailedTests: failed, Run: run}
		o.Predicate.Result = o.Predicate.Outcome()
		looked <- nil
	}()
	select {
	case err := <-looked:
		return o, err
	case sig := <-q.Signals:
		n, _ := sig.(syscall.Signal)
		return &Outcome{Interrupted: true, Predicate: evidence.Predicate{Run: evidence.Run{Exit: 128 + int(n)}}}, nil
	}
}

func file(dir, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}

// open opens a regular file, and waits for nobody: at a pipe that a command left there is nobody to write.
func open(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) //nolint:gosec // what was asked for
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = errors.New("it is no file")
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// reports reads the JUnit files that the command wrote. One that it did not write is another run's.
func (q *Request) reports(o *Outcome, dir string, before []time.Time) (Report, bool) {
	var sum Report
	found := false
	for i, name := range q.JUnit {
		r, err := func() (Report, error) {
			f, err := open(file(dir, name))
			if err != nil {
				return Report{}, err
			}
			defer f.Close()
			st, err := f.Stat()
			switch {
			case err != nil:
				return Report{}, err
			case st.ModTime().Equal(before[i]):
				return Report{}, errors.New("it was there before, and the command did not write it")
			}
			return JUnit(f)
		}()
		if err != nil {
			o.Warnings = append(o.Warnings, fmt.Sprintf("%v: %q: %v", ErrReport, name, err))
			continue
		}
		sum.add(r)
		found = true
	}
	return sum, found
}

// named are the names of failed tests that a statement has.
func (q *Request) named(r Report) []string {
	out := names{}
	for _, n := range r.Failed {
		if text, _ := q.Redactor.Redact(n); uint64(len(out)) < min(evidence.MaxFailed, r.Tests.Failed) {
			out.add(text)
		}
	}
	return out.sorted()
}

// maxProgram is the size up to which a program's digest is taken.
const maxProgram = 1 << 30

// program says which file is run.
func (q *Request) program(path string) evidence.Program {
	name, _ := q.Redactor.Redact(path)
	out := evidence.Program{Name: clean(name, maxLook)}
	f, err := open(path)
	if err != nil {
		return out
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || st.Size() > maxProgram {
		return out
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err == nil {
		out.Digest = map[string]string{"sha256": hex.EncodeToString(sum.Sum(nil))}
	}
	return out
}

// passive are variables that differ from shell to shell and decide nothing.
var passive = []string{"_", "OLDPWD", "PWD", "SHLVL"}

// environment says which variables were set; a keyed digest of all of them lets only the holder of the key compare.
func (q *Request) environment(environ []string) evidence.Environment {
	values := map[string]string{}
	for _, kv := range environ {
		if name, v, ok := strings.Cut(kv, "="); ok && !slices.Contains(passive, name) {
			values[name] = v
		}
	}
	out := evidence.Environment{Names: []string{}}
	all := make([]string, 0, len(values))
	for name := range values {
		all = append(all, name)
	}
	slices.Sort(all)
	mac := hmac.New(sha256.New, q.Key)
	for _, name := range all {
		_, _ = fmt.Fprintf(mac, "%q=%q\n", name, values[name])
		if len(out.Names) < evidence.MaxNames && name != "" && len(name) <= evidence.MaxText && utf8.ValidString(name) {
			out.Names = append(out.Names, name)
		}
	}
	if len(q.Key) > 0 {
		out.Digest = hex.EncodeToString(mac.Sum(nil))
	}
	return out
}

// toolTime is how long a tool may take to say its version.
const toolTime = 10 * time.Second

func (q *Request) tools(ctx context.Context, dir string, environ []string) []evidence.Tool {
	var out []evidence.Tool
	for _, argv := range q.Tools {
		if len(argv) == 0 || len(out)+1 == evidence.MaxTools {
			continue
		}
		name, _ := q.Redactor.Redact(strings.Join(argv, " "))
		said := "could not be run"
		if path, err := find(argv[0], dir, environ); err == nil {
			k := newKeeper()
			sink := &locked{to: []func([]byte){func(b []byte) { _, _ = k.Write(b) }}}
			c := command{path: path, argv: argv, dir: dir, env: environ, out: sink, err: sink, timeout: toolTime, now: q.Now}
			if _, err := c.run(ctx); err == nil {
				said = q.line(string(k.begin))
			}
		}
		out = append(out, evidence.Tool{Command: clean(name, maxLook), Said: said})
	}
	return out
}

func (q *Request) gitSays(ctx context.Context, r *git.Repo) string {
	b, err := r.Run(ctx, nil, "version")
	if err != nil {
		return "could not be run"
	}
	return q.line(string(b))
}

// line is the first line of a text, as a statement may have it.
func (q *Request) line(text string) string {
	text, _, _ = strings.Cut(text, "\n")
	text, _ = q.Redactor.Redact(strings.TrimSpace(text))
	return clean(cmp.Or(text, "-"), maxLook)
}

// passing goes on when nobody reads any more what is written: the command is recorded all the same.
func passing(w io.Writer) io.Writer { return &passer{w: w} }

type passer struct {
	w    io.Writer
	gone bool
}

func (p *passer) Write(b []byte) (int, error) {
	if !p.gone && p.w != nil {
		_, err := p.w.Write(b)
		p.gone = err != nil
	}
	return len(b), nil
}

// Differences says in which ways a second run of a command came out otherwise than the first: its exit, and what its report
// counted. Times and the text of the output differ always, and say nothing.
func Differences(first, second *evidence.Predicate) []string {
	var out []string
	add := func(what string, a, b any) {
		if fmt.Sprint(a) != fmt.Sprint(b) {
			out = append(out, fmt.Sprintf("%s: %v, then %v", what, a, b))
		}
	}
	add("exit", first.Run.Exit, second.Run.Exit)
	add("signal", cmp.Or(first.Run.Signal, "none"), cmp.Or(second.Run.Signal, "none"))
	add("timed out", first.Run.TimedOut, second.Run.TimedOut)
	add("changed the tree", first.Run.Changed, second.Run.Changed)
	a, b := first.Run.Tests, second.Run.Tests
	if a == nil || b == nil {
		add("report of tests", a != nil, b != nil)
		return out
	}
	add("tests passed", a.Passed, b.Passed)
	add("tests failed", a.Failed, b.Failed)
	add("tests skipped", a.Skipped, b.Skipped)
	add("failed tests", strings.Join(first.FailedTests, " "), strings.Join(second.FailedTests, " "))
	return out
}
