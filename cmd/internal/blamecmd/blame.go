// Package blamecmd is the command "blame": who answers for each line of a file.
package blamecmd

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	pathpkg "path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/provenancecmd"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

type options struct {
	json, space   bool
	trace, calls  bool
	claims        string
	root          string
	lines         []string
	moved, copied int
}

// blame are the arguments of git blame.
func (o *options) blame() []string {
	return append([]string{"blame", "--porcelain", "--ignore-revs-file=", "--no-textconv"}, o.how()...) // what is configured would give lines to others, and run programs
}

// how are those that the person chose.
func (o *options) how() (args []string) {
	for _, l := range o.lines {
		args = append(args, "-L"+l)
	}
	if o.space {
		args = append(args, "-w")
	}
	if o.moved > 0 {
		args = append(args, "-M")
	}
	for range min(o.copied, 3) {
		args = append(args, "-C")
	}
	return args
}

// New returns the command.
func New(env *cli.Env) *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "blame [REV] FILE",
		Short: "Show for each line the commit, who sealed it, who answers for it, and the verdict",
		Long: `Show for each line of FILE, as it is at REV (default HEAD), the commit that Git
blames, the principal that sealed that commit, the accountable human, and whether
the seal holds; of a derived commit, who sealed what the file was made of. Of a commit that
somebody made by an amend, a rebase or a pick, the lines that the old ones brought are
those of who sealed these, and who rewrote them is named beside. Where several made a file
so, a line is of who brought it, as far as the contents that it came through are here. Git's own blame decides
which commit a line is from; -L, -w, -M and -C are handed to it.

Agent tools write down which lines were an agent's, in the Agent Trace format: nobody
signs that. With --claims it is shown beside who sealed the line, and decides nothing: what records
of the commit say that brought the line, and records of REV.
With --agent-trace the file is printed as such a record, for tools that read it.

What the hooks of agents recorded tells more, and is signed: with --calls the call of a tool is
named that put a line in, with its session and model, also where a person committed it.`,
		Example: `  covenant blame src/main.go
  covenant blame -L 10,20 -w src/main.go
  covenant blame --calls src/main.go
  covenant blame --claims .agent-trace/traces.jsonl src/main.go
  covenant blame v1.2 src/main.go --json | jq -r 'select(.verdict!="sealed")|.line'`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error { return run(cmd.Context(), env, o, args) },
	}
	f := cmd.Flags()
	f.BoolVar(&o.json, "json", false, "print one JSON object per line")
	f.StringArrayVarP(&o.lines, "lines", "L", nil, "only these lines: START,END or :FUNCTION, as git blame -L; may be repeated")
	f.BoolVarP(&o.space, "ignore-space", "w", false, "ignore whitespace when lines are compared")
	f.CountVarP(&o.moved, "moved", "M", "find lines that were moved or copied within the file")
	f.CountVarP(&o.copied, "copied", "C", "find lines from other files of the same commit; twice and thrice look further")
	f.BoolVar(&o.trace, "agent-trace", false, "print one record of the Agent Trace format for the file")
	f.BoolVar(&o.calls, "calls", false, "name the call of an agent's tool that put a line in, as the agent's hooks recorded it")
	f.StringVar(&o.claims, "claims", "", "show what Agent Trace records in this file (one on each line; - for standard input) say of each line, too")
	f.StringVar(&o.root, "root", "", "digest of the trust root (default: COVENANT_ROOT, else covenant.root)")
	numbers(cmd)
	return cmd
}

// Line is one line with --json.
type Line struct {
	Type      string             `json:"type"` // "line"
	Line      int                `json:"line"`
	Commit    string             `json:"commit"`
	Verdict   verdict.Verdict    `json:"verdict"`
	Mode      string             `json:"mode,omitempty"`
	Principal *verdict.Principal `json:"principal,omitempty"`
	// Principals are those who sealed what the file was made of in a derived commit, where they are several and it is not known whose the line is.
	Principals []verdict.Principal `json:"principals,omitempty"`
	// RewrittenBy is who amended, rebased or picked what they made, and sealed the commit that the line is of.
	RewrittenBy *verdict.Principal `json:"rewrittenBy,omitempty"`
	Call        *work.Call         `json:"call,omitempty"`  // that put it in, with --calls
	Claim       string             `json:"claim,omitempty"` // what an Agent Trace record says, with --claims
	Text        string             `json:"text"`
}

type blamed struct {
	commit oid.ID
	number int    // in the file
	origin int    // in the commit
	path   string // of the file in the commit
	text   string
}

func run(ctx context.Context, env *cli.Env, o options, args []string) error {
	if o.trace && (o.json || o.claims != "") {
		return cli.Usage("--agent-trace prints a record and nothing else")
	}
	var said claims
	if o.claims != "" {
		b, err := env.Read(ctx, o.claims, maxTraces)
		if err == nil {
			said, err = readClaims(ctx, b)
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", o.claims, err)
		}
		if errors.Is(err, errTrace) {
			err = cli.Hint(err, "a record is one JSON object on a line, with version, id and files")
		}
		if err != nil {
			return err
		}
	}
	rev, file := "HEAD", args[len(args)-1]
	if len(args) == 2 {
		rev = args[0]
	}
	w, pin, err := work.OpenPinnedIdle(ctx, env, o.root)
	if err != nil {
		return err
	}
	defer w.Close()
	span, ok := provenance.ParseTip(w.Session, rev)
	if !ok {
		if span, err = provenance.ParseSpan(w.Session, rev); err != nil {
			return work.Explain(err)
		}
	}
	if span.Ranged {
		return cli.Usage("blame looks at one revision, not at the range %q", rev)
	}
	blame := sync.OnceValues(func() ([]blamed, error) {
		out, err := w.Session.Repo().Run(ctx, nil, append(o.blame(), span.Tips[0].String(), "--", file)...)
		if err != nil {
			return nil, err
		}
		return parse(out)
	})
	go func() { _, _ = blame() }() // while what is remembered is read
	opts := w.Looking(pin)
	opts.Among = func() map[oid.ID]bool {
		lines, _ := blame()
		out := map[oid.ID]bool{}
		for i := range lines {
			out[lines[i].commit] = true
		}
		return out
	}
	results, judgeErr := w.Makers(span, opts)
	lines, err := blame()
	if err != nil {
		return failed(ctx, w, o, err, rev, span.Tips[0].String(), file)
	}
	if judgeErr != nil && len(lines) > 0 {
		return judgeErr
	}
	call := func(*verdict.Result, *blamed) *work.Call { return nil }
	unread := func() error { return nil }
	if o.calls || o.trace {
		paths := map[string]bool{}
		for i := range lines {
			paths[lines[i].path] = true
		}
		calls, err := w.Calls(pin, paths)
		if err != nil {
			return err
		}
		unread = calls.Err
		call = func(r *verdict.Result, l *blamed) *work.Call { return work.CallOf(calls.At(r, l.path, l.origin)) }
	}
	if o.trace {
		tip, err := w.Session.Commit(span.Tips[0].String())
		if err != nil {
			return err
		}
		return env.JSON(trace(path(ctx, w, file), tip.ID.String(), tip.Committer.When.UTC().Format(time.RFC3339), o.how(), lines, func(l *blamed) (*verdict.Result, []verdict.Principal, *work.Call) {
			r := results[l.commit]
			made, _ := work.MadeBy(&r, l.path, l.origin)
			return &r, made, call(&r, l)
		}))
	}
	claimed, err := said.of(ctx, span.Tips[0], func() string { return path(ctx, w, file) }, lines)
	if err != nil {
		return err
	}
	lineEnv := *env
	out := bufio.NewWriter(env.Out)
	lineEnv.Out = out
	for i := range lines {
		l := lines[i]
		r := results[l.commit]
		made, rewrote := work.MadeBy(&r, l.path, l.origin)
		claim, put := claimed[i], call(&r, &l)
		if o.json {
			line := Line{RewrittenBy: rewrote, Call: put, Claim: claim, Type: "line", Line: l.number, Commit: l.commit.String(), Verdict: r.Verdict, Mode: string(r.Mode), Text: l.text}
			if len(made) == 1 {
				line.Principal = &made[0]
			} else {
				line.Principals = made
			}
			err = lineEnv.JSON(line)
		} else {
			err = print(&lineEnv, l, &r, made, rewrote, put, claim)
		}
		if err != nil {
			return err
		}
	}
	return cmp.Or(out.Flush(), unread())
}

// failed explains why git blame failed.
func failed(ctx context.Context, w *work.Work, o options, err error, rev, tip, file string) error {
	if _, wrong := provenance.ParseSpan(w.Session, rev); wrong != nil { // a branch that points at nothing
		return work.Explain(wrong)
	}
	if ce := (*git.CommandError)(nil); errors.As(err, &ce) {
		if _, why, ok := strings.Cut(ce.Stderr, "fatal: "); ok { // which command it was says nothing to who typed another
			err = errors.New("git blame: " + say.Line(strings.TrimSpace(why)))
		}
	}
	switch mode := modeOf(ctx, w, tip, file); {
	case mode == "040000" || mode == "160000":
		what := map[string]string{"040000": "a folder", "160000": "a submodule"}[mode]
		return cli.Hint(fmt.Errorf("%s is %s in %s, and no file", say.Name(file), what, say.Name(rev)), "name a file; list them with: git ls-tree -r --name-only "+say.Shell(rev))
	case mode != "":
		var hints []string
		if len(o.lines) > 0 {
			hints = append(hints, "name lines that the file has in "+say.Name(rev)+"; -L of blame takes START,END or :FUNCTION")
		}
		if w.Session.Repo().Partial() {
			hints = append(hints, "in a partial clone, git blame fetches what is missing: git blame "+say.Shell(rev)+" -- "+say.Shell(file))
		}
		return cli.Hint(err, hints...)
	}
	return cli.Hint(err, "FILE is a path of that revision, as seen from here; list them with: git ls-tree -r --name-only "+say.Shell(rev))
}

// path is the name of a file from the top of the repository.
func path(ctx context.Context, w *work.Work, file string) string {
	if top := w.Session.Repo().WorkTree(); filepath.IsAbs(file) && top != "" {
		if folder, err := filepath.EvalSymlinks(filepath.Dir(file)); err == nil { // the file may be gone here, or be a link itself
			file = filepath.Join(folder, filepath.Base(file))
		}
		if real, err := filepath.EvalSymlinks(top); err == nil {
			top = real
		}
		if rel, err := filepath.Rel(top, file); err == nil {
			return filepath.ToSlash(rel)
		}
	}
	out, err := w.Session.Repo().Run(ctx, nil, "rev-parse", "--show-prefix")
	if err != nil {
		return file
	}
	return pathpkg.Join(strings.TrimSuffix(string(out), "\n"), file)
}

// modeOf is the mode that the revision has the path with, as seen from here, in Git's words; "" where it has none. Where it is a file blame
// failed for want of objects.
func modeOf(ctx context.Context, w *work.Work, rev, file string) string {
	name := pathpkg.Clean(file) // of "src/" Git lists what is in it
	if name == "." || pathpkg.Base(name) == ".." {
		return "040000"
	}
	out, err := w.Session.Repo().Run(ctx, nil, "--literal-pathspecs", "ls-tree", "-z", rev, "--", name)
	if err != nil {
		return ""
	}
	mode, _, _ := strings.Cut(string(out), " ")
	return mode
}

// numbers has the error for -M5 say that these flags take no number, as those of git blame do.
func numbers(cmd *cobra.Command) {
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		var unknown *pflag.NotExistError
		said := cmd.Parent().FlagErrorFunc()(cmd, err)
		if errors.As(err, &unknown) && len(unknown.GetSpecifiedShortnames()) > 0 && strings.Contains("0123456789", unknown.GetSpecifiedName()) {
			return cli.Hint(said, "-M and -C take no number here, and find what git blame finds with its own: "+cmd.CommandPath()+" -M")
		}
		return said
	})
}

func print(env *cli.Env, l blamed, r *verdict.Result, made []verdict.Principal, rewrote *verdict.Principal, put *work.Call, claim string) error {
	who := "-"
	for i := range made {
		if i == 0 {
			who = provenancecmd.Who(&made[i])
		} else {
			who += ", " + provenancecmd.Who(&made[i])
		}
	}
	if rewrote != nil {
		who += ", rewritten by " + say.Line(rewrote.Name)
	}
	if put != nil {
		who += " [" + put.Say() + "]"
	}
	if claim != "" {
		who += " [claimed: " + say.Line(claim) + "]"
	}
	p := env.Palette()
	word := fmt.Sprintf("%-8s", r.Verdict)
	if !r.Verdict.OK() {
		word = p.Bad(word)
	}
	_, err := fmt.Fprintf(env.Out, "%s %s %-24s %5d  %s\n", p.Mark(l.commit.Short()), word, who, l.number, say.Clean(l.text))
	return err
}

// parse reads git blame --porcelain: of each line a header that starts with the commit, where that is told first other headers, and
// the line after a tab. A commit's path is told again where it has several.
func parse(b []byte) ([]blamed, error) {
	var out []blamed
	var at blamed
	paths := map[oid.ID]string{}
	for line := range bytes.Lines(b) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		if text, ok := bytes.CutPrefix(line, []byte("\t")); ok {
			if at.commit.IsZero() {
				return nil, fmt.Errorf("git blame: line %d has no commit", len(out)+1)
			}
			at.text, at.path = string(text), paths[at.commit]
			out = append(out, at)
			at = blamed{}
			continue
		}
		if !at.commit.IsZero() {
			if name, ok := bytes.CutPrefix(line, []byte("filename ")); ok {
				paths[at.commit] = git.Unquote(string(name))
			}
			continue
		}
		f := strings.Fields(string(line)) // commit, line there, line here
		if len(f) < 3 {
			return nil, fmt.Errorf("git blame: unexpected line %.60q", line)
		}
		var err error
		if at.commit, err = oid.Parse(f[0]); err == nil {
			at.origin, err = strconv.Atoi(f[1])
		}
		if err == nil {
			at.number, err = strconv.Atoi(f[2])
		}
		if err != nil {
			return nil, fmt.Errorf("git blame: unexpected line %.60q: %w", line, err)
		}
	}
	return out, nil
}
