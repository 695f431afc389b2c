package provenancecmd

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/report"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// withOutput runs f with the report going to the file name, which appears whole once
// there is an answer, yes or no, and is left as it was when there is none. With "" or
// "-" the report goes to standard output. No symbolic link of a checkout is followed.
func withOutput(env *cli.Env, name string, f func(*cli.Env) error) error {
	if name == "" || name == "-" {
		return f(env)
	}
	path, err := env.Output(name)
	if err != nil {
		return err
	}
	inner := *env
	inner.StdoutTTY = false
	if st, err := os.Stat(path); err == nil && !st.Mode().IsRegular() {
		if st.IsDir() {
			return cli.Usage("--output %s is a directory", say.Name(name))
		}
		dev, err := os.OpenFile(path, os.O_WRONLY, 0) //nolint:gosec // the person's own file: a device or a pipe, which no rename may replace
		if err != nil {
			return fmt.Errorf("report: %w", err)
		}
		inner.Out = dev
		return errors.Join(f(&inner), dev.Close())
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	buf := bufio.NewWriter(tmp)
	inner.Out = buf
	answer := f(&inner)
	err = errors.Join(buf.Flush(), tmp.Chmod(0o644), tmp.Close())
	if answer != nil && cli.ExitCode(answer) != cli.ExitNo {
		return answer
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return answer
}

// describe says what is known before the first commit.
func describe(env *cli.Env, w *work.Work, o verifyOptions, span provenance.Span, revs []string, pinned work.Pinned) (report.Run, error) {
	run := report.Run{Revisions: revs, Root: string(pinned.Digest), Pinned: pinned.Source, Now: env.Now(), Version: Version()}
	if _, document := report.Named(o.format); !document {
		return run, nil
	}
	if len(revs) == 0 {
		run.Revisions = []string{"HEAD"}
	}
	var err error
	if run.Ref, err = span.UnderReview(w.Session); err != nil {
		return run, err
	}
	for _, id := range span.Tips {
		c, err := w.Session.Commit(id.String())
		if err != nil {
			return run, err
		}
		run.Tips = append(run.Tips, report.Tip{Commit: id.String(), Tree: c.Tree.String()})
	}
	for _, id := range span.Except {
		run.Except = append(run.Except, id.String())
	}
	if run.Repository = o.source; run.Repository == "" {
		name := remote(w, o.remote)
		at, named := w.Session.Repo().Config().Get("remote." + name + ".url")
		if !named {
			at = name // a URL, as Git takes one there; of a word repositoryURI makes nothing
		}
		run.Repository = repositoryURI(at)
	} else if u, err := url.Parse(o.source); err != nil || u.Scheme == "" {
		return run, cli.Usage("--resource-uri takes a URI such as https://example.com/repository, not %s", say.Name(o.source))
	}
	if o.format == "vsa" && run.Repository == "" {
		return run, cli.Hint(errors.New("a verification summary names the repository by a URI, and this one has no remote that tells it"),
			"name it: --resource-uri https://example.com/repository")
	}
	return run, nil
}

// Version is that of this program.
func Version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// scpLike is the form host:path of gitremote URLs.
var scpLike = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(?:[^@/:]+@)?([A-Za-z0-9.-]{2,}):([^/\\:].*)$`) })

// repositoryURI is a remote's URL as a URI, without user, password and query; "" when
// it is none.
func repositoryURI(remote string) string {
	if filepath.IsAbs(remote) {
		return (&url.URL{Scheme: "file", Path: filepath.ToSlash(remote)}).String()
	}
	if m := scpLike().FindStringSubmatch(remote); m != nil && !strings.Contains(remote, "://") {
		return (&url.URL{Scheme: "ssh", Host: m[1], Path: "/" + m[2]}).String()
	}
	u, err := url.Parse(remote)
	if err != nil || u.Scheme == "" || u.Opaque != "" {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// maxSummary is how many bytes GitHub takes as the summary of one step.
const maxSummary = 1 << 20

// A publisher puts a second report where it belongs; nil does nothing.
type publisher func() error

// tell publishes. That it can't does not change the answer, and is said.
func (p publisher) tell(env *cli.Env) {
	if p == nil {
		return
	}
	if err := p(); err != nil {
		env.Talk().Warn("%v", err)
	}
}

// encoder makes the encoder of a form. In a workflow of GitHub the report for people
// goes to the summary of the step, too: publish, which is called last, puts it there.
func encoder(env *cli.Env, f report.Format, run report.Run) (out report.Encoder, publish publisher) {
	out = f.New(env.Out, run)
	name := env.Value("GITHUB_STEP_SUMMARY")
	if f.Name != "github" || name == "" {
		return out, nil
	}
	name = env.Path(name)
	var page bytes.Buffer
	markdown, _ := report.Named("markdown")
	size := int64(0)
	if st, err := os.Stat(name); err == nil {
		size = st.Size()
	}
	run.Limit = int(max(1, (maxSummary-size)/4)) // a character has at most four bytes
	publish = func() error {
		if size+int64(page.Len()) > maxSummary {
			return fmt.Errorf("the report does not fit into the step's summary %s any more", say.Name(name))
		}
		file, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644) //nolint:gosec // the runner reads it, as another user
		if err != nil {
			return err
		}
		_, err = file.Write(page.Bytes())
		return errors.Join(err, file.Close())
	}
	return both{out, markdown.New(&page, run)}, publish
}

// both is two encoders.
type both [2]report.Encoder

// Commit hands on.
func (b both) Commit(c report.Commit) error { return errors.Join(b[0].Commit(c), b[1].Commit(c)) }

// Problem hands on.
func (b both) Problem(f verdict.Finding, refused bool) error {
	return errors.Join(b[0].Problem(f, refused), b[1].Problem(f, refused))
}

// Ref hands on.
func (b both) Ref(r report.Ref) error { return errors.Join(b[0].Ref(r), b[1].Ref(r)) }

// End hands on.
func (b both) End(s report.Summary) error { return errors.Join(b[0].End(s), b[1].End(s)) }

// inForce is the version of the trust root that was judged by.
func inForce(rep *provenance.Report) string {
	if rep == nil {
		return ""
	}
	return string(rep.Facts.Root.Digest)
}

// admitter names who admitted that a ref is where it is.
func admitter(r *verdict.RefState, f *provenance.Facts) string {
	if r.Newest == nil {
		return ""
	}
	if p, ok := f.Authority.ByKey(r.Newest.KeyID); ok {
		return p.Name
	}
	return r.Newest.KeyID
}
